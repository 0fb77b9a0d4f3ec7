//! `piton watch`: follows a run from another terminal.
//!
//! Owns nothing of its own; see `follow`.

use crate::args::WatchArgs;
use crate::commands::follow;
use crate::commands::waker;
use crate::error::CliError;
use crate::exit::Exit;
use piton_core::ports::Store as _;

pub(crate) fn run(args: WatchArgs) -> Result<Exit, CliError> {
    let wire = waker::open()?;
    let run = wire.store.find(&args.run)?.id;
    follow::watch(&wire, &run, args.json)
}
