//! `piton move`: the mover and the cutover as programs that end. What is done stands on the servers, so each goes on
//! where an earlier one stopped, killed or not.
//!
//! Owns what its words mean to a mover. What a mover does is `piton_move`'s.

mod cut;
mod follow;
mod show;

use crate::args::{MoveArgs, MoveCommand, MoverArgs, SidesArgs};
use crate::error::{CliError, Kind};
use crate::exit::Exit;
use piton_move::cutover::Registers;
use piton_move::{Config, Limits, MoveError, TableName};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

/// The URL of the side that is true before any epoch, and of the other.
const OLD: &str = "PITON_MOVE_OLD";
const NEW: &str = "PITON_MOVE_NEW";
/// Ids that movers take for themselves begin here: those of people's servers are small.
const FIRST_ID: u32 = 0x4000_0000;

pub(crate) fn run(args: MoveArgs) -> Result<Exit, CliError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| CliError::new(Kind::MoveEnded, "no thread can be started").source(error))?;
    let outcome = runtime.block_on(async {
        match args.command {
            MoveCommand::Preflight { to_come, mover } => follow::preflight(&mover, to_come).await,
            MoveCommand::Copy(args) => follow::copy(&args).await,
            MoveCommand::Follow { lag, mover } => follow::follow(&mover, lag.to_std()).await,
            MoveCommand::Verify(args) => follow::verify(&args).await,
            MoveCommand::Audit { at_cut, mover } => follow::audit(&mover, at_cut).await,
            MoveCommand::Repair(args) => follow::repair(&args).await,
            MoveCommand::Accounts { accounts, mover } => cut::copy_accounts(&mover, &accounts).await,
            MoveCommand::Prepare(args) => cut::prepare(&args).await,
            MoveCommand::Cutover(args) => cut::cutover(&args).await,
            MoveCommand::Settle(args) => cut::settle(&args).await,
            MoveCommand::Status(args) => cut::status(&args).await,
        }
    });
    // What a session still has to say goodbye to must not keep a command from ending.
    runtime.shutdown_background();
    outcome
}

fn usage(message: impl Into<String>) -> CliError {
    CliError::new(Kind::Usage, message).hint("see: piton move --help")
}

fn from_environment(variable: &str, whose: &str) -> Result<String, CliError> {
    std::env::var(variable).map_err(|_| {
        usage(format!("{variable} is not set: the URL of {whose}, mysql://USER:PASSWORD@HOST:PORT/"))
            .hint("a URL holds a password, which everybody could read among a command's arguments")
    })
}

/// Both URLs, that of the side which is true before any epoch first.
fn sides() -> Result<(String, String), CliError> {
    Ok((from_environment(OLD, "the old side")?, from_environment(NEW, "the new side")?))
}

fn registers(args: &SidesArgs) -> Result<Registers, CliError> {
    let (old, new) = sides()?;
    Ok(Registers::new(&args.name, &old, &new))
}

fn table(text: &str) -> Result<TableName, CliError> {
    match text.split_once('.') {
        Some((schema, name)) if !schema.is_empty() && !name.is_empty() => Ok(TableName::new(schema, name)),
        _ => Err(usage(format!("--table {text}: write SCHEMA.TABLE"))),
    }
}

/// The feed that leads to an epoch.
fn config(args: &MoverArgs, epoch: u64) -> Result<Config, CliError> {
    if epoch == 0 {
        return Err(usage("the first epoch that a move can lead to is 1"));
    }
    let (old, new) = sides()?;
    let (source, target) = if epoch.is_multiple_of(2) { (new, old) } else { (old, new) };
    let usual = Limits::default();
    let limits = Limits {
        lanes: args.lanes.unwrap_or(usual.lanes),
        copiers: args.copiers.unwrap_or(usual.copiers),
        threads_running: args.threads_running.unwrap_or(usual.threads_running),
        ..usual
    };
    Ok(Config {
        name: args.sides.name.clone(),
        source,
        target,
        replicas: args
            .replicas
            .iter()
            .map(|variable| from_environment(variable, "a replica"))
            .collect::<Result<_, _>>()?,
        tables: args.tables.iter().map(|text| table(text)).collect::<Result<_, _>>()?,
        server_id: args.server_id.unwrap_or_else(|| server_id(&args.sides.name, epoch)),
        epoch,
        limits,
    })
}

/// The same for the same move, unlike that of any other.
fn server_id(name: &str, epoch: u64) -> u32 {
    let mut hasher = DefaultHasher::new();
    (name, epoch).hash(&mut hasher);
    FIRST_ID | (hasher.finish() as u32 & (FIRST_ID - 1))
}

/// Why a mover ended, as an operator tells cases apart.
fn ended(error: MoveError) -> CliError {
    match error {
        MoveError::Refused(refusals) => {
            let list: Vec<_> = refusals.iter().map(|refusal| format!("  {refusal}")).collect();
            CliError::new(Kind::MoveRefused, format!("{} things stand in the way of this move", refusals.len()))
                .detail(list.join("\n"))
        }
        MoveError::Halted(halt) => {
            let place = halt.position.map_or_else(String::new, |position| format!(" at {position}"));
            CliError::new(Kind::MoveEnded, format!("the move has halted{place}: {}", halt.what)).hint(halt.remedy)
        }
        error if error.is_lost() => CliError::new(Kind::MoveLost, "the move has lost a server")
            .source(error)
            .hint("start it again: it goes on from what it has committed"),
        error => CliError::new(Kind::MoveEnded, "the move has ended").source(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_a_schema() {
        assert_eq!(table("shop.orders").unwrap(), TableName::new("shop", "orders"));
        assert_eq!(table("shop.odd.name").unwrap(), TableName::new("shop", "odd.name"));
        for wrong in ["orders", ".orders", "shop."] {
            assert!(table(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn each_feed_has_an_id_of_its_own_and_always_the_same() {
        assert_eq!(server_id("shop", 1), server_id("shop", 1));
        assert_ne!(server_id("shop", 1), server_id("shop", 2));
        assert!(server_id("shop", 1) >= FIRST_ID);
    }
}
