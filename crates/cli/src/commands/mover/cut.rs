//! `piton move prepare`, `cutover`, `settle`, `status`: who is true.
//!
//! Owns how often a cutover is tried and what is said of it. Each of them may be killed anywhere: `settle`, or the next
//! cutover, finishes what is left.

use super::{config, ended, registers, sides, usage};
use crate::args::{CutArgs, CutoverArgs, MoverArgs, SidesArgs};
use crate::error::{CliError, Kind};
use crate::exit::Exit;
use crate::print;
use crate::ui::text::printable;
use piton_move::accounts::Copied;
use piton_move::cutover::register::{Row, Server};
use piton_move::cutover::steps::{Goal, Outcome, WayBack};
use piton_move::cutover::{Account, ControlSocket, Driver, Fault, Feed, Gate, Looked, Plan, Report, Stream};
use piton_move::{Mover, Reverse, accounts};
use serde_json::{Value, json};
use signal_hook::consts::{SIGINT, SIGTERM};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, UNIX_EPOCH};

/// How often it is looked whether a cutover can begin.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How often it is told why it has not begun yet.
const TOLD_EVERY: Duration = Duration::from_secs(2);

fn account(text: &str) -> Result<Account, CliError> {
    match text.rsplit_once('@') {
        Some((user, host)) if !user.is_empty() && !host.is_empty() => Ok(Account::new(user, host)),
        _ => Err(usage(format!("--account {text}: write USER@HOST, as the servers have it; any host is USER@%"))),
    }
}

fn named(given: &[String]) -> Result<Vec<Account>, CliError> {
    given.iter().map(|text| account(text)).collect()
}

fn plan(args: &CutArgs) -> Result<Plan, CliError> {
    let (first, second) = sides()?;
    Ok(Plan::without_hold(&args.sides.name, args.epoch, (&first, &second), named(&args.accounts)?))
}

fn unprepared(fault: Fault) -> CliError {
    let (kind, why) = match fault {
        Fault::No(why) => (Kind::CutoverBack, why),
        Fault::Lost(why) => (Kind::MoveLost, why),
    };
    CliError::new(kind, format!("the servers cannot be prepared: {}", printable(&why)))
}

pub(super) async fn copy_accounts(args: &MoverArgs, given: &[String]) -> Result<Exit, CliError> {
    let config = config(args, args.epoch)?;
    let copied = accounts::copy(&config.source, &config.target, &named(given)?, &config.tables).await.map_err(ended)?;
    let name = |one: &Copied| format!("{}@{}", one.account.user, one.account.host);
    if args.sides.json {
        let account = |one: &Copied| {
            let account = name(one);
            json!({"account": account, "made": one.made, "rights": one.rights, "left_out": one.left_out})
        };
        let answer = json!({"accounts": copied.iter().map(account).collect::<Vec<Value>>()});
        print::out(&format!("{answer:#}\n"));
        return Ok(Exit::Done);
    }
    for one in &copied {
        let made = if one.made { "made" } else { "was there" };
        let left = match one.left_out.len() {
            0 => String::new(),
            count => format!("; {count} rights beyond the moved schemas are left out: {}", one.left_out.join(", ")),
        };
        print::line(&printable(&format!("{} {made}, with {}{left}", name(one), one.rights.join(", "))));
    }
    Ok(Exit::Done)
}

pub(super) async fn prepare(args: &CutArgs) -> Result<Exit, CliError> {
    Driver::new(plan(args)?, Vec::new()).prepare().await.map_err(unprepared)?;
    if args.sides.json {
        print::line("{}");
    } else {
        print::line("prepared: the registers are there, and the side that is to become true refuses the application");
    }
    Ok(Exit::Done)
}

pub(super) async fn settle(args: &CutArgs) -> Result<Exit, CliError> {
    let plan = plan(args)?;
    let report = Driver::new(plan.clone(), Vec::new()).run(Goal::Settle).await;
    tell(&args.sides, &report);
    retire(&plan, &report).await?;
    Ok(Exit::Done)
}

pub(super) async fn cutover(args: &CutoverArgs) -> Result<Exit, CliError> {
    let (first, second) = sides()?;
    let feed = config(&args.mover, args.mover.epoch)?;
    let back = config(&args.mover, args.mover.epoch + 1)?;
    let plan = Plan {
        name: args.mover.sides.name.clone(),
        epoch: args.mover.epoch,
        first,
        second,
        accounts: named(&args.accounts)?,
        way_back: if args.no_way_back { WayBack::GivenUp } else { WayBack::Armed },
        drain: args.drain.to_std(),
        deadline: args.deadline.to_std(),
    };
    // What a dead cutover left is finished at once: a fence must not stand until the move is close again.
    let left = Driver::new(plan.clone(), Vec::new()).run(Goal::Settle).await;
    if left.outcome == Outcome::Moved {
        tell(&args.mover.sides, &left);
        retire(&plan, &left).await?;
        return Ok(Exit::Done);
    }
    // A signal asks for an abort, and what comes of that is obeyed; a second one does not wait for it.
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register_conditional_shutdown(signal, Exit::Failed.code().into(), Arc::clone(&stop))
            .and_then(|_| signal_hook::flag::register(signal, Arc::clone(&stop)))
            .map_err(|error| CliError::new(Kind::CutoverBack, "signals cannot be followed").source(error))?;
    }
    let gates: Vec<Arc<dyn Gate>> =
        args.gates.iter().map(|path| Arc::new(ControlSocket::new(path)) as Arc<dyn Gate>).collect();
    let mut mover = Mover::start(feed.clone()).await.map_err(ended)?;
    let mut tries = 0;
    let report = loop {
        tries += 1;
        begin_when_close(&mut mover, args.patience.to_std(), &stop).await?;
        let mut way_back = match plan.way_back {
            WayBack::Armed => Some(Feed::ready(Reverse::prepare(back.clone()).await.map_err(ended)?)),
            WayBack::GivenUp => None,
        };
        let driver = Driver::new(plan.clone(), gates.clone()).stopped_by(Arc::clone(&stop));
        let way = way_back.as_mut().map(|feed| feed as &mut dyn piton_move::cutover::Reverse);
        let report = driver.with(&mut mover, way).run(Goal::Move).await;
        let stopped = stop.load(Ordering::SeqCst);
        if report.outcome == Outcome::Moved || stopped || tries >= args.attempts {
            break report;
        }
        print::note(&format!("try {tries}: {}", reasons(&report)));
        tokio::time::sleep(args.pause.to_std()).await;
    };
    // First of all: what comes after it changes nothing of who is true.
    tell(&args.mover.sides, &report);
    mover.stop().await;
    retire(&plan, &report).await?;
    match report.outcome {
        Outcome::Moved => Ok(Exit::Done),
        _ if args.mover.sides.json => Ok(Exit::Failed),
        _ => Err(CliError::new(Kind::CutoverBack, format!("the cutover has gone back: {}", reasons(&report)))
            .hint("the side that was true is true and takes writes; see to the reason, and cut over again")),
    }
}

/// From here on no mover of the old direction commits, whatever became of it, and whoever it was that moved.
async fn retire(plan: &Plan, report: &Report) -> Result<(), CliError> {
    if report.outcome != Outcome::Moved {
        return Ok(());
    }
    let target = if plan.epoch.is_multiple_of(2) { &plan.first } else { &plan.second };
    Mover::retire(target, &plan.name, plan.epoch + 1).await.map_err(ended)
}

/// Waits until a pause would be short, and says meanwhile what it waits for. A mover that has ended never is close: what it said
/// last counts no more.
async fn begin_when_close(mover: &mut Mover, patience: Duration, stop: &AtomicBool) -> Result<(), CliError> {
    let began = Instant::now();
    let mut told = began;
    loop {
        tokio::select! {
            biased;
            error = mover.ended() => return Err(ended(error)),
            () = std::future::ready(()) => {}
        }
        let refusals = Stream::refusals(&*mover);
        if refusals.is_empty() {
            return Ok(());
        }
        if stop.load(Ordering::SeqCst) {
            return Err(CliError::new(Kind::CutoverBack, "the cutover was ended by a signal before it began"));
        }
        if began.elapsed() >= patience {
            return Err(CliError::new(Kind::CutoverBack, "the cutover has not begun: the move is not close enough")
                .detail(refusals.iter().map(|one| format!("  {one}")).collect::<Vec<_>>().join("\n")));
        }
        if told.elapsed() >= TOLD_EVERY {
            told = Instant::now();
            print::note(&format!("not begun yet: {}", refusals.join("; ")));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn reasons(report: &Report) -> String {
    if report.reasons.is_empty() { "no reason".to_owned() } else { printable(&report.reasons.join("; ")) }
}

fn side(server: Server) -> &'static str {
    match server {
        Server::First => "old",
        Server::Second => "new",
    }
}

fn tell(args: &SidesArgs, report: &Report) {
    let pause = report.pause.map(|pause| pause.as_micros() as f64 / 1000.0);
    let outcome = match report.outcome {
        Outcome::Moved => "moved",
        Outcome::Back => "back",
        Outcome::Nothing => "nothing",
    };
    if args.json {
        let step = |(step, took, seen): &(_, Duration, _)| {
            let ms = took.as_micros() as f64 / 1000.0;
            json!({"step": format!("{step:?}"), "ms": ms, "seen": format!("{seen:?}")})
        };
        let since = report.held_at.and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        let held_at = since.map(|since| since.as_micros() as u64);
        let answer = json!({
            "outcome": outcome, "epoch": report.attempt.epoch, "attempt": report.attempt.number, "pause_ms": pause,
            "held_at_unix_us": held_at,
            "steps": report.steps.iter().map(step).collect::<Vec<Value>>(), "reasons": report.reasons,
        });
        print::out(&format!("{answer:#}\n"));
        return;
    }
    let paused = pause.map_or_else(String::new, |pause| format!(", writes paused for {pause:.1} ms"));
    match report.outcome {
        Outcome::Moved => print::line(&format!("the {} side is true{paused}", side(report.attempt.target()))),
        Outcome::Back => print::line(&format!("the {} side stays true{paused}", side(report.attempt.source()))),
        Outcome::Nothing => print::line("nothing was begun, and nothing was left to finish"),
    }
}

pub(super) async fn status(args: &SidesArgs) -> Result<Exit, CliError> {
    let both = registers(args)?.read().await;
    let truth = both.truth();
    let rows = [(Server::First, &both.first), (Server::Second, &both.second)];
    if args.json {
        let (epoch, why) = match &truth {
            Looked::Open(epoch) => (Some(*epoch), None),
            Looked::Undecided(why) | Looked::Unknown(why) => (None, Some(why)),
        };
        let row = |(server, row): &(Server, &Result<Row, String>)| row_json(*server, row);
        let answer = json!({
            "epoch": epoch, "side": epoch.map(|epoch| side(Server::of(epoch))), "why": why,
            "registers": rows.iter().map(row).collect::<Vec<_>>(),
        });
        print::out(&format!("{answer:#}\n"));
    }
    match truth {
        Looked::Open(_) if args.json => Ok(Exit::Done),
        Looked::Undecided(_) | Looked::Unknown(_) if args.json => Ok(Exit::Failed),
        Looked::Open(epoch) => {
            print::line(&format!("the {} side is true (epoch {epoch})", side(Server::of(epoch))));
            Ok(Exit::Done)
        }
        Looked::Undecided(why) | Looked::Unknown(why) => {
            Err(CliError::new(Kind::EpochUnknown, format!("nobody can tell which side is true: {why}"))
                .hint("settle what a dead cutover left: piton move settle ..."))
        }
    }
}

fn row_json(server: Server, row: &Result<Row, String>) -> Value {
    match row {
        Ok(row) => json!({
            "side": side(server), "epoch": row.attempt.epoch, "attempt": row.attempt.number, "state": row.state.word(),
            "error": null,
        }),
        Err(why) => json!({"side": side(server), "epoch": null, "attempt": null, "state": null, "error": why}),
    }
}
