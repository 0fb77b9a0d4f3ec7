//! The words of `piton move`.
//!
//! Owns parsing. What they mean to a mover is `commands::mover`'s.

use clap::{Args, Subcommand};
use std::path::PathBuf;

use piton_core::duration::Duration;

#[derive(Args)]
pub(crate) struct MoveArgs {
    #[command(subcommand)]
    pub(crate) command: MoveCommand,
}

#[derive(Subcommand)]
pub(crate) enum MoveCommand {
    /// Say what stands in the way of the move; changes nothing
    Preflight {
        /// Judge tables that are not on the new side yet as if they were there, made like those of the old side
        #[arg(long)]
        to_come: bool,
        #[command(flatten)]
        mover: MoverArgs,
    },
    /// Copy all tables while they change, or go on where an earlier copy stopped
    Copy(MoverArgs),
    /// Follow the changes until the target is close behind, and has all that was committed by then
    Follow {
        /// How close
        #[arg(long, value_name = "DURATION", default_value = "50ms", value_parser = Duration::parse)]
        lag: Duration,
        #[command(flatten)]
        mover: MoverArgs,
    },
    /// Compare both sides while they change
    Verify(MoverArgs),
    /// Compare both sides by a code path of its own, row by row; both must be quiet
    Audit {
        /// The new side as it was at the cut, before its first write of the application; only TiDB can be read so
        #[arg(long)]
        at_cut: bool,
        #[command(flatten)]
        mover: MoverArgs,
    },
    /// Write the rows that differ anew, each logged as a defect on the new side
    Repair(MoverArgs),
    /// Make the application's accounts on the other side, with their passwords and their rights on the moved schemas
    Accounts {
        /// An account that the application writes with
        #[arg(long = "account", value_name = "USER@HOST", required = true)]
        accounts: Vec<String>,
        #[command(flatten)]
        mover: MoverArgs,
    },
    /// Make the registers on both sides and close the side that is to become true to the application
    Prepare(CutArgs),
    /// Cut over: hold the gates, fence, compare, commit, open, release
    Cutover(Box<CutoverArgs>),
    /// Finish what a dead cutover left: forward where it had committed, back otherwise
    Settle(CutArgs),
    /// Say which side is true, from the servers' registers
    Status(SidesArgs),
}

/// Two servers and a name. Their URLs hold passwords, so they come by the environment.
#[derive(Args)]
pub(crate) struct SidesArgs {
    /// The move's name: whoever uses it again goes on with the move
    #[arg(long, value_name = "NAME")]
    pub(crate) name: String,
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args)]
pub(crate) struct MoverArgs {
    #[command(flatten)]
    pub(crate) sides: SidesArgs,
    /// A table to move; both sides have it with the same columns
    #[arg(long = "table", value_name = "SCHEMA.TABLE", required = true)]
    pub(crate) tables: Vec<String>,
    /// The epoch that the move leads to: an odd one goes from the old side to the new, an even one is the way back
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) epoch: u64,
    /// The mover's id among the source's replicas, which must be its own [default: from the name and the epoch]
    #[arg(long, value_name = "N")]
    pub(crate) server_id: Option<u32>,
    /// Connections that apply changes
    #[arg(long, value_name = "N")]
    pub(crate) lanes: Option<u32>,
    /// Connections that write what is copied
    #[arg(long, value_name = "N")]
    pub(crate) copiers: Option<u32>,
    /// The copy pauses while more threads than this run on the source
    #[arg(long, value_name = "N")]
    pub(crate) threads_running: Option<u64>,
    /// A replica of the source whose lag pauses the copy: the variable that holds its URL
    #[arg(long = "replica-env", value_name = "VARIABLE")]
    pub(crate) replicas: Vec<String>,
}

#[derive(Args)]
pub(crate) struct CutArgs {
    #[command(flatten)]
    pub(crate) sides: SidesArgs,
    /// The epoch that is committed: an odd one makes the new side true, an even one is the way back
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) epoch: u64,
    /// An account that the application writes with, on both sides
    #[arg(long = "account", value_name = "USER@HOST", required = true)]
    pub(crate) accounts: Vec<String>,
}

#[derive(Args)]
pub(crate) struct CutoverArgs {
    #[command(flatten)]
    pub(crate) mover: MoverArgs,
    /// An account that the application writes with, on both sides
    #[arg(long = "account", value_name = "USER@HOST", required = true)]
    pub(crate) accounts: Vec<String>,
    /// The control socket of a gate before the service
    #[arg(long = "gate", value_name = "SOCKET", required = true)]
    pub(crate) gates: Vec<PathBuf>,
    /// How long open transactions may take to end
    #[arg(long, value_name = "DURATION", default_value = "300ms", value_parser = Duration::parse)]
    pub(crate) drain: Duration,
    /// From the hold on: what is not committed by then is taken back
    #[arg(long, value_name = "DURATION", default_value = "800ms", value_parser = Duration::parse)]
    pub(crate) deadline: Duration,
    /// How often it is tried; between two tries is a pause
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) attempts: u32,
    /// The pause between two tries
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = Duration::parse)]
    pub(crate) pause: Duration,
    /// How long to wait until the move is close enough to begin
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = Duration::parse)]
    pub(crate) patience: Duration,
    /// Commit although the new side writes no log that could be followed back: there is no way back
    #[arg(long)]
    pub(crate) no_way_back: bool,
}
