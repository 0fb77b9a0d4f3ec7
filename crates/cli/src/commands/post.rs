//! Sending to a run: a message into its inbox, and what came of it.
//!
//! Owns the wait for a live engine, and starting one where nobody drives the run. Whether a message is valid is the
//! engine's to say; what is certain to be refused is refused here, before it is sent.

use crate::commands::engine;
use crate::commands::follow::Reader;
use crate::error::{CliError, Kind};
use crate::print;
use crate::wire::Wire;
use piton_core::event::Event;
use piton_core::hold::Decision;
use piton_core::ids::RunId;
use piton_core::ports::{Clock as _, InboxMessage, Store as _};
use std::time::{Duration, Instant};

/// How long a live engine is waited for.
const PATIENCE: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    Accepted,
    Refused,
}

/// Posts a message; its number.
pub(crate) fn post(wire: &Wire, run: &RunId, decision: &Decision, message: &InboxMessage) -> Result<u64, CliError> {
    Ok(wire.store.post(run, decision, message, wire.clock.now().wall_us)?)
}

/// Posts a message, sees to it that an engine takes it up, and says what came of it.
pub(crate) fn send(wire: &Wire, run: &RunId, decision: &Decision, message: &InboxMessage) -> Result<Sent, CliError> {
    print::tells_of(run);
    let mut reader = Reader::new(wire, run);
    reader.skip()?;
    let id = post(wire, run, decision, message)?;
    if !is_driven(wire, run)? {
        engine::spawn_detached(wire, run)?;
    }
    await_taken(wire, &mut reader, id, decision)
}

/// Waits until an engine has taken the message into account.
pub(crate) fn await_taken(
    wire: &Wire,
    reader: &mut Reader<'_>,
    id: u64,
    decision: &Decision,
) -> Result<Sent, CliError> {
    let until = Instant::now() + PATIENCE;
    let mut accepted = false;
    let mut started_another = false;
    loop {
        for record in reader.next()? {
            match &record.event {
                // The events of a message come right before its number, in the same append.
                Event::InboxRead { up_to } if *up_to >= id => {
                    return Ok(if accepted { Sent::Accepted } else { Sent::Refused });
                }
                Event::InboxRead { .. } => accepted = false,
                event => accepted |= is_decided_by(event, decision),
            }
        }
        if Instant::now() >= until {
            return Err(CliError::new(
                Kind::NotTaken,
                "the message is sent, but the run's engine has not taken it up yet",
            )
            .hint(format!("see when it does: piton watch {}", reader.run().short())));
        }
        if !started_another && !is_driven(wire, reader.run())? {
            // The engine ended between our look and our message.
            started_another = true;
            engine::spawn_detached(wire, reader.run())?;
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

pub(crate) fn is_driven(wire: &Wire, run: &RunId) -> Result<bool, CliError> {
    Ok(wire.store.find(run.as_str())?.held_by.is_some())
}

/// The event is what this decision became.
fn is_decided_by(event: &Event, decision: &Decision) -> bool {
    match event {
        Event::PersonAnswered(answered) => answered.decision == *decision,
        Event::Decided(decided) => decided.decision == *decision,
        Event::AbortAsked { by, why } => *by == decision.by && *why == decision.why,
        Event::UndoBegan(began) => {
            matches!(&began.reason, piton_core::event::UndoReason::Asked { decision: known } if known == decision)
        }
        Event::RunResumed { by } => *by == decision.by,
        Event::LockBroken { decision: known, .. } => known == decision,
        _ => false,
    }
}
