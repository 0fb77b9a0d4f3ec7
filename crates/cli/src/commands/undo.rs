//! `piton undo`: takes back what a run did, or shows what taking back would do.
//!
//! Owns the preview and the request. The engine takes back, here or where the run is driven already.

use crate::args::UndoArgs;
use crate::commands::follow::{self, Reader};
use crate::commands::{engine, names, post, waker};
use crate::error::{CliError, Kind};
use crate::exit::Exit;
use crate::print;
use crate::ui::text::{count, printable};
use crate::wire::Wire;
use crate::world;
use piton_core::event::Finish;
use piton_core::hold::Decision;
use piton_core::ids::RunId;
use piton_core::ports::{InboxMessage, Store as _};
use piton_core::undo::{Stays, UndoPlan, undo_plan};
use piton_core::{Path, RunState};
use serde_json::json;

pub(crate) fn run(args: UndoArgs) -> Result<Exit, CliError> {
    let wire = waker::open()?;
    let run = wire.store.find(&args.run)?.id;
    let state = wire.state(&run)?;
    let scope = match &args.to {
        Some(name) => names::scope(&state, name, run.short())?,
        None => Path::root(),
    };
    let plan = undo_plan(&state, &scope);
    if args.plan {
        print::out(&if args.json { plan_json(&run, &scope, &plan) } else { plan_text(&state, &scope, &plan) });
        return Ok(Exit::Done);
    }
    if let Some((Finish::Undone, _)) = state.finished {
        return Err(CliError::new(Kind::RunEnded, format!("run {run} is taken back already"))
            .hint(format!("see what it did: piton show {}", run.short())));
    }
    if state.finished.is_some() && plan.items.is_empty() {
        print::line("there is nothing to take back");
        return Ok(Exit::Done);
    }
    let by = world::actor(args.actor.as_deref());
    let exit = if state.undoing.is_some() && !post::is_driven(&wire, &run)? {
        // An interrupted taking back goes on by itself.
        engine::drive_foreground(&wire, &run, Some(by), None, args.json)?
    } else {
        let decision = Decision { by: by.clone(), saw: state.head, why: args.reason };
        ask(&wire, &run, &scope, &decision, args.json)?
    };
    taken_back(&wire, &run, &scope, exit)
}

fn ask(wire: &Wire, run: &RunId, scope: &Path, decision: &Decision, json: bool) -> Result<Exit, CliError> {
    let mut reader = Reader::new(wire, run);
    reader.skip()?;
    let id = post::post(wire, run, decision, &InboxMessage::Undo { scope: scope.clone() })?;
    if !post::is_driven(wire, run)? {
        return engine::drive_foreground(wire, run, Some(decision.by.clone()), None, json);
    }
    match post::await_taken(wire, &mut reader, id, decision)? {
        post::Sent::Accepted => follow::follow(wire, run, json),
        post::Sent::Refused => Err(CliError::new(Kind::WrongChoice, format!("run {run} is being taken back already"))
            .hint(format!("follow it: piton watch {}", run.short()))),
    }
}

/// A part was asked for and is taken back: that is done, although the run now waits to be told what next.
fn taken_back(wire: &Wire, run: &RunId, scope: &Path, exit: Exit) -> Result<Exit, CliError> {
    let state = wire.state(run)?;
    let held = state.steps.iter().any(|(path, step)| path.is_within(scope) && step.undo.held.is_some());
    let done = !scope.is_root() && state.undoing.is_none() && !held;
    Ok(if done && exit == Exit::Failed { Exit::Done } else { exit })
}

fn stays_because(stays: Stays) -> &'static str {
    match stays {
        Stays::BeforeCommitPoint => "done before a commit point",
        Stays::NoUndo => "no undo is declared",
    }
}

fn plan_text(state: &RunState, scope: &Path, plan: &UndoPlan) -> String {
    let what = if scope.is_root() { "the run".to_owned() } else { format!("\"{}\"", printable(scope.as_str())) };
    let mut text = match plan.items.len() as u64 {
        0 => format!("taking back {what} would perform nothing\n"),
        items => format!("taking back {what} would undo {}, in this order:\n", count(items, "step")),
    };
    for (index, item) in plan.items.iter().enumerate() {
        text.push_str(&format!("{:>4}  {}\n", index + 1, printable(item.path.as_str())));
        for action in &item.actions {
            text.push_str(&format!("      {}\n", printable(&action.summary())));
        }
    }
    if !plan.stays.is_empty() {
        text.push_str("\nwould stay:\n");
        for (path, stays) in &plan.stays {
            text.push_str(&format!("      {}  ({})\n", printable(path.as_str()), stays_because(*stays)));
        }
    }
    if let Some((path, _)) = state.commit_points.last() {
        text.push_str(&format!(
            "\nthe commit point \"{}\" is passed: what was done before it stays\n",
            printable(path.as_str())
        ));
    }
    text
}

fn plan_json(run: &RunId, scope: &Path, plan: &UndoPlan) -> String {
    let items: Vec<_> = (plan.items.iter())
        .map(|item| {
            let actions: Vec<String> = item.actions.iter().map(|action| action.summary()).collect();
            json!({ "path": item.path, "generation": item.generation, "actions": actions })
        })
        .collect();
    let stays: Vec<_> = (plan.stays.iter())
        .map(|(path, stays)| {
            let why = match stays {
                Stays::BeforeCommitPoint => "before_commit_point",
                Stays::NoUndo => "no_undo",
            };
            json!({ "path": path, "why": why })
        })
        .collect();
    let plan = json!({ "run": run, "scope": scope, "items": items, "stays": stays });
    format!("{plan:#}\n")
}
