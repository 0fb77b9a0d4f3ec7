//! `piton resume`: goes on with a run, perhaps with decisions about what holds it.
//!
//! Owns which decisions the flags make. The engine judges whether they fit; what
//! certainly does not is refused before it is sent.

use crate::args::ResumeArgs;
use crate::children;
use crate::commands::ended::ended;
use crate::commands::follow::{self, Reader};
use crate::commands::post::{self, Sent};
use crate::commands::{edited, engine, leftovers, names, waker};
use crate::error::{CliError, Kind};
use crate::exit::Exit;
use crate::ui::text::printable;
use crate::wire::{Wire, never_started};
use crate::world;
use piton_core::RunState;
use piton_core::decide::check_decision;
use piton_core::hold::{Choice, Decision};
use piton_core::ids::{Actor, RunId};
use piton_core::ports::{InboxMessage, LeaseOutcome, Store as _};

pub(crate) fn run(args: ResumeArgs) -> Result<Exit, CliError> {
    let mut wire = waker::open()?;
    let found = wire.store.find(&args.run)?;
    let run = found.id;
    let story = wire.story(&run)?;
    let state = &story.state;
    if state.status().is_final() && state.undoing.is_none() {
        // Its engine may have been killed between its last record and this.
        if let LeaseOutcome::Held(_lease) = wire.store.lease(&run, &world::engine_id(&*wire.clock))? {
            leftovers::clear(&wire, &run)?;
        }
        children::wake_parent(&wire, &run, state)?;
        return Err(ended(&wire, &run, state));
    }
    let by = world::actor(args.actor.as_deref());
    let decision = Decision { by: by.clone(), saw: state.head, why: args.reason.clone() };
    if let Some(file) = &args.edited {
        let exit = edited::go_on(&mut wire, &run, story, &decision, (file, &args))?;
        return decide_in_turn(&wire, &run, &args, by, exit);
    }
    // All of them are looked at before the first is sent.
    let messages = messages(&args, state, run.short())?;
    let driven = post::is_driven(&wire, &run)?;
    if driven && messages.is_empty() {
        return Err(CliError::new(Kind::RunBusy, format!("an engine drives run {run} already"))
            .hint(format!("follow it: piton watch {}", run.short())));
    }
    if !driven {
        wire.survival.accept(args.accept);
        let runbook = state.runbook().ok_or_else(|| never_started(&run))?;
        wire.survival.check(&*wire.program_of(&run, runbook)?, Some(state))?;
        wire.survival.accept(state.open_window().is_some());
    }
    let mut reader = Reader::after(&wire, &run, state);
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
    engine::drive_foreground(&wire, &run, Some(by), Some(story), args.json)
}

/// What was said in advance of steps that an edit changed: each holds when it is its turn, and is decided then.
fn decide_in_turn(wire: &Wire, run: &RunId, args: &ResumeArgs, by: Actor, exit: Exit) -> Result<Exit, CliError> {
    let mut exit = exit;
    loop {
        let state = wire.state(run)?;
        let said = [(&args.keep, Choice::Keep), (&args.redo, Choice::Redo)];
        let mut decisions = said.iter().flat_map(|(steps, choice)| steps.iter().map(move |step| (step, choice)));
        let next = decisions.find_map(|(step, choice)| {
            let path = names::decided(&state, step, run.short()).ok()?;
            check_decision(&state, &path, choice).ok()?;
            Some(InboxMessage::Decide { path, choice: choice.clone() })
        });
        let Some(message) = next.filter(|_| exit == Exit::Failed) else { return Ok(exit) };
        let decision = Decision { by: by.clone(), saw: state.head, why: args.reason.clone() };
        post::post(wire, run, &decision, &message)?;
        exit = engine::drive_foreground(wire, run, Some(by.clone()), None, args.json)?;
    }
}

fn messages(args: &ResumeArgs, state: &RunState, run: &str) -> Result<Vec<InboxMessage>, CliError> {
    let retry = args.retry.clone().filter(|step| !step.is_empty());
    let one = |step: &Option<String>| step.iter().cloned().collect::<Vec<_>>();
    let asked = [
        (one(&args.waive), Choice::Waive),
        (one(&args.done), Choice::Done),
        (one(&args.not_done), Choice::NotDone),
        (one(&args.depart), Choice::Depart),
        (one(&retry), Choice::Retry),
        (args.keep.clone(), Choice::Keep),
        (args.redo.clone(), Choice::Redo),
    ];
    let mut messages = Vec::new();
    for (name, choice) in
        asked.into_iter().flat_map(|(steps, choice)| steps.into_iter().map(move |s| (s, choice.clone())))
    {
        let path = names::decided(state, &name, run)?;
        // What the engine would refuse is refused before it is sent.
        check_decision(state, &path, &choice).map_err(|why| {
            CliError::new(Kind::WrongChoice, printable(&why)).hint(format!("see what can be decided: piton show {run}"))
        })?;
        messages.push(InboxMessage::Decide { path, choice });
    }
    if args.retry.as_deref() == Some("") {
        messages.push(InboxMessage::RetryAll);
    }
    Ok(messages)
}
