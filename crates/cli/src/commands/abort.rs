//! `piton abort`: ends a run where it is; what was done stays.
//!
//! Owns the request. The engine ends what runs, here or where the run is driven already.

use crate::args::DecideArgs;
use crate::commands::ended::ended;
use crate::commands::follow::{self, Reader};
use crate::commands::{engine, post, waker};
use crate::error::CliError;
use crate::exit::Exit;
use crate::world;
use piton_core::hold::Decision;
use piton_core::ports::{InboxMessage, Store as _};

pub(crate) fn run(args: DecideArgs) -> Result<Exit, CliError> {
    let wire = waker::open()?;
    let run = wire.store.find(&args.run)?.id;
    let state = wire.state(&run)?;
    if state.finished.is_some() {
        return Err(ended(&wire, &run, &state));
    }
    let by = world::actor(args.actor.as_deref());
    let decision = Decision { by: by.clone(), saw: state.head, why: args.reason };
    let mut reader = Reader::new(&wire, &run);
    reader.skip()?;
    let id = post::post(&wire, &run, &decision, &InboxMessage::Abort)?;
    if !post::is_driven(&wire, &run)? {
        return engine::drive_foreground(&wire, &run, Some(by), None, false);
    }
    match post::await_taken(&wire, &mut reader, id, &decision)? {
        post::Sent::Accepted => follow::follow(&wire, &run, false),
        post::Sent::Refused => Err(ended(&wire, &run, &wire.state(&run)?)),
    }
}
