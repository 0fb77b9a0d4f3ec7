//! `piton resume`: goes on with a run, perhaps with decisions about what holds it.
//!
//! Owns which decisions the flags make. The engine judges whether they fit; what
//! certainly does not is refused before it is sent.

use crate::args::ResumeArgs;
use crate::commands::follow::{self, Reader};
use crate::commands::post::{self, Sent};
use crate::commands::{engine, leftovers, names};
use crate::error::{CliError, Kind};
use crate::exit::Exit;
use crate::ui::text::printable;
use crate::wire::Wire;
use crate::world;
use piton_core::RunState;
use piton_core::decide::check_decision;
use piton_core::hold::{Choice, Decision};
use piton_core::ports::{InboxMessage, LeaseOutcome, Store as _};

pub(crate) fn run(args: ResumeArgs) -> Result<Exit, CliError> {
    let mut wire = Wire::open()?;
    let found = wire.store.find(&args.run)?;
    let run = found.id;
    let state = wire.state(&run)?;
    if state.status().is_final() && state.undoing.is_none() {
        // Its engine may have been killed between its last record and this.
        if let LeaseOutcome::Held(_lease) = wire.store.lease(&run, &world::engine_id(&*wire.clock))? {
            leftovers::clear(&wire, &run)?;
        }
        return Err(CliError::new(Kind::RunEnded, format!("run {run} has ended: it {}", state.status().word()))
            .hint(format!("see what it did: piton show {}", run.short())));
    }
    let by = world::actor(args.actor.as_deref());
    let decision = Decision { by: by.clone(), saw: state.head, why: args.reason.clone() };
    // All of them are looked at before the first is sent.
    let messages = messages(&args, &state, run.short())?;
    let driven = post::is_driven(&wire, &run)?;
    if driven && messages.is_empty() {
        return Err(CliError::new(Kind::RunBusy, format!("an engine drives run {run} already"))
            .hint(format!("follow it: piton watch {}", run.short())));
    }
    if !driven {
        wire.survival.accept(args.accept);
        wire.survival.check(&*wire.program_of(&run, &wire.started(&run)?)?, Some(&state))?;
        wire.survival.accept(state.open_window().is_some());
    }
    let mut reader = Reader::after(&wire, &run, &state);
    // The engine makes a state of its own, and a run may have a hundred thousand steps.
    drop(state);
    let mut last = None;
    for message in &messages {
        last = Some(post::post(&wire, &run, &decision, message)?);
    }
    if let (true, Some(id)) = (driven, last) {
        if post::await_taken(&wire, &mut reader, id, &decision)? == Sent::Refused {
            return Err(CliError::new(Kind::WrongChoice, "the run's engine refused it: what it decides had changed")
                .hint(format!("see how it stands: piton show {}", run.short())));
        }
        return follow::follow(&wire, &run, args.json);
    }
    if args.detach {
        engine::spawn_detached(&wire, &run)?;
        crate::print::line(&format!("run {run} goes on in the background; follow it: piton watch {}", run.short()));
        return Ok(Exit::Done);
    }
    engine::drive_foreground(&wire, &run, Some(by), args.json)
}

fn messages(args: &ResumeArgs, state: &RunState, run: &str) -> Result<Vec<InboxMessage>, CliError> {
    let retry = args.retry.clone().filter(|step| !step.is_empty());
    let asked = [
        (&args.waive, Choice::Waive),
        (&args.done, Choice::Done),
        (&args.not_done, Choice::NotDone),
        (&args.depart, Choice::Depart),
        (&retry, Choice::Retry),
    ];
    let mut messages = Vec::new();
    for (step, choice) in asked {
        if let Some(name) = step {
            let path = names::decided(state, name, run)?;
            // What the engine would refuse is refused before it is sent.
            check_decision(state, &path, &choice).map_err(|why| {
                CliError::new(Kind::WrongChoice, printable(&why))
                    .hint(format!("see what can be decided: piton show {run}"))
            })?;
            messages.push(InboxMessage::Decide { path, choice });
        }
    }
    if args.retry.as_deref() == Some("") {
        messages.push(InboxMessage::RetryAll);
    }
    Ok(messages)
}
