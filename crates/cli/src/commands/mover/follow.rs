//! `piton move preflight`, `copy`, `follow`, `verify`, `audit`, `repair`: a mover until something is reached.
//!
//! Owns what is waited for, and telling how far it is. Never changes who is true.

use super::{config, ended, registers, show};
use crate::args::MoverArgs;
use crate::error::{CliError, Kind};
use crate::exit::Exit;
use crate::print;
use crate::ui::text::printable;
use piton_move::cutover::{Fault, Looked};
use piton_move::{Difference, MoveError, Mover, Verified, audit as audits, preflight as preflights};
use serde_json::json;
use std::time::{Duration, Instant};

/// How often it is told how far a move is.
const TOLD_EVERY: Duration = Duration::from_millis(500);

pub(super) async fn preflight(args: &MoverArgs, to_come: bool) -> Result<Exit, CliError> {
    let found = preflights(&config(args, args.epoch)?, to_come).await.map_err(ended)?;
    if args.sides.json {
        print::out(&format!("{:#}\n", show::preflight_json(&found)));
        return Ok(if found.refusals.is_empty() { Exit::Done } else { Exit::Failed });
    }
    print::out(&show::preflight(&found));
    if found.refusals.is_empty() { Ok(Exit::Done) } else { Err(ended(MoveError::Refused(found.refusals))) }
}

/// Does something with a mover, and tells how far it is meanwhile.
async fn telling<T>(
    mover: &mut Mover,
    work: impl AsyncFnOnce(&mut Mover) -> Result<T, MoveError>,
) -> Result<T, CliError> {
    let progress = mover.progress();
    let mut teller = show::Teller::default();
    let work = work(mover);
    tokio::pin!(work);
    loop {
        tokio::select! {
            outcome = &mut work => {
                teller.end();
                return outcome.map_err(ended);
            }
            () = tokio::time::sleep(TOLD_EVERY) => teller.tell(&progress.borrow()),
        }
    }
}

async fn start(args: &MoverArgs) -> Result<Mover, CliError> {
    Mover::start(config(args, args.epoch)?).await.map_err(ended)
}

pub(super) async fn copy(args: &MoverArgs) -> Result<Exit, CliError> {
    let began = Instant::now();
    let mut mover = start(args).await?;
    telling(&mut mover, async |mover| mover.wait_copied().await).await?;
    let look = mover.look();
    mover.stop().await;
    let answer = json!({
        "rows": look.copied_rows, "bytes": look.copied_bytes, "rows_per_s": look.rows_per_s.round(),
        "took_ms": began.elapsed().as_millis() as u64, "applied_changes": look.applied_changes,
        "position": look.applied.to_string(),
    });
    let text = format!("copied: {} rows\n", show::grouped(look.copied_rows));
    print::out(&if args.sides.json { format!("{answer:#}\n") } else { text });
    Ok(Exit::Done)
}

pub(super) async fn follow(args: &MoverArgs, close: Duration) -> Result<Exit, CliError> {
    let mut mover = start(args).await?;
    telling(&mut mover, async |mover| {
        mover.wait_copied().await?;
        let mut progress = mover.progress();
        loop {
            if progress.borrow_and_update().lag.is_some_and(|lag| lag <= close) {
                // A small lag says how long it would take, not that it is there.
                let end = mover.source_position().await?;
                return mover.wait_applied(&end).await;
            }
            tokio::select! {
                error = mover.ended() => return Err(error),
                Ok(()) = progress.changed() => {}
            }
        }
    })
    .await?;
    let look = mover.look();
    mover.stop().await;
    let lag = look.lag.unwrap_or_default().as_millis() as u64;
    let answer = json!({
        "lag_ms": lag, "applied_changes": look.applied_changes, "position": look.applied.to_string(),
    });
    let text = format!("{lag} ms behind at {}\n", look.applied);
    print::out(&if args.sides.json { format!("{answer:#}\n") } else { text });
    Ok(Exit::Done)
}

pub(super) async fn verify(args: &MoverArgs) -> Result<Exit, CliError> {
    let mut mover = start(args).await?;
    let verified = telling(&mut mover, async |mover| mover.verify().await).await?;
    mover.stop().await;
    let Verified { tables, rows, chunks, rechecked, differences } = &verified;
    if args.sides.json {
        let answer = json!({
            "tables": tables, "rows": rows, "chunks": chunks, "rechecked": rechecked,
            "differences": differences.iter().map(show::difference_json).collect::<Vec<_>>(),
        });
        print::out(&format!("{answer:#}\n"));
    } else if differences.is_empty() {
        print::line(&format!("equal: {} rows of {tables} tables", show::grouped(*rows)));
    }
    told(args, differences)
}

fn told(args: &MoverArgs, differences: &[Difference]) -> Result<Exit, CliError> {
    if differences.is_empty() {
        return Ok(Exit::Done);
    }
    if args.sides.json {
        return Ok(Exit::Failed);
    }
    Err(CliError::new(Kind::MoveDiffers, format!("{} rows differ", differences.len()))
        .detail(show::differences(differences))
        .hint("find out what wrote to the new side, then: piton move repair ..."))
}

/// When the epoch was committed, as its target tells time.
async fn cut(args: &MoverArgs) -> Result<u64, CliError> {
    let registers = registers(&args.sides)?;
    let failed = |why: &str| CliError::new(Kind::MoveEnded, format!("there is no cut to audit: {}", printable(why)));
    match registers.read().await.truth() {
        Looked::Open(epoch) if epoch == args.epoch => {}
        Looked::Open(epoch) => return Err(failed(&format!("epoch {epoch} is true, not {}", args.epoch))),
        Looked::Undecided(why) | Looked::Unknown(why) => return Err(failed(&why)),
    }
    match registers.reverse(args.epoch).await {
        Ok(Some(position)) => Ok(position.offset),
        Ok(None) => Err(failed("its position was not kept")),
        Err(Fault::No(why) | Fault::Lost(why)) => Err(failed(&why)),
    }
}

pub(super) async fn audit(args: &MoverArgs, at_cut: bool) -> Result<Exit, CliError> {
    let config = config(args, args.epoch)?;
    let at = if at_cut { Some(cut(args).await?) } else { None };
    let audited = audits::audit(&config.source, &config.target, &config.tables, at).await.map_err(ended)?;
    let rows: u64 = audited.iter().map(|one| one.rows).sum();
    let differing: Vec<_> = audited.iter().filter(|one| one.difference.is_some()).collect();
    if args.sides.json {
        let table = |one: &audits::Audited| {
            json!({
                "table": one.table.to_string(), "rows": one.rows, "difference": one.difference,
            })
        };
        let answer = json!({"rows": rows, "equal": differing.is_empty(), "tables": audited.iter().map(table).collect::<Vec<_>>()});
        print::out(&format!("{answer:#}\n"));
        return Ok(if differing.is_empty() { Exit::Done } else { Exit::Failed });
    }
    if differing.is_empty() {
        print::line(&format!("equal: {} rows of {} tables", show::grouped(rows), audited.len()));
        return Ok(Exit::Done);
    }
    let list: Vec<_> = differing
        .iter()
        .map(|one| format!("  {}: {}", one.table, one.difference.as_deref().unwrap_or_default()))
        .collect();
    Err(CliError::new(Kind::MoveDiffers, format!("{} tables differ", differing.len())).detail(list.join("\n")))
}

pub(super) async fn repair(args: &MoverArgs) -> Result<Exit, CliError> {
    let mut mover = start(args).await?;
    let (repaired, left) = telling(&mut mover, async |mover| {
        let found = mover.verify().await?.differences;
        let repaired = if found.is_empty() { 0 } else { mover.repair(&found).await? };
        Ok((repaired, mover.verify().await?.differences))
    })
    .await?;
    mover.stop().await;
    if args.sides.json {
        let left: Vec<_> = left.iter().map(show::difference_json).collect();
        print::out(&format!("{:#}\n", json!({"repaired": repaired, "differences": left})));
    } else {
        print::line(&format!("repaired: {repaired} rows, each logged in piton_move.defects of the new side"));
    }
    told(args, &left)
}
