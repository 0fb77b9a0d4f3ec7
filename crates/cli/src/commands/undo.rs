//! `piton undo`: takes back what a run did, or shows what taking back would do.
//!
//! Owns the preview and the request. The engine takes back, here or where the run is driven already.

use crate::args::UndoArgs;
use crate::children;
use crate::commands::ended::nothing_to_take_back;
use crate::commands::follow::{self, Reader};
use crate::commands::{engine, names, post, waker};
use crate::error::{CliError, Kind};
use crate::exit::Exit;
use crate::print;
use crate::ui::text::{count, path_word, printable};
use crate::wire::Wire;
use crate::world;
use piton_core::event::{Finish, UndoReason};
use piton_core::hold::Decision;
use piton_core::ids::RunId;
use piton_core::ports::{InboxMessage, Store as _, StoreErrorKind};
use piton_core::undo::{Begins, Stays, UndoPlan, begins, undo_plan};
use piton_core::{Action, Path, RunState};
use serde_json::{Value as Json, json};
use std::collections::HashMap;

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
        let below = children_of(&wire, &plan)?;
        print::out(&if args.json {
            format!("{:#}\n", plan_json(&run, &scope, &plan, &below))
        } else {
            plan_text(&state, &scope, &plan, &below)
        });
        return Ok(Exit::Done);
    }
    children::refuse_behind_parent(&wire, &run, &state)?;
    if let Some((Finish::Undone, _)) = state.finished {
        return Err(CliError::new(Kind::RunEnded, format!("run {run} has been taken back already"))
            .hint(format!("see what it did: piton show {}", run.short())));
    }
    if state.finished.is_some() && plan.items.is_empty() {
        print::line(&nothing_to_take_back(&run, &plan));
        return Ok(Exit::Done);
    }
    let open = state.steps.iter().any(|(path, step)| path.is_within(&scope) && step.open.is_some());
    // What has no undo is forgotten at least, and performed anew; what is behind a commit point is not even that.
    let committed = !plan.stays.is_empty() && plan.stays.iter().all(|(_, stays)| *stays == Stays::BeforeCommitPoint);
    if !scope.is_root() && plan.items.is_empty() && !open && committed && state.undoing.is_none() {
        let (name, why) = (printable(scope.as_str()), stays_because(Stays::BeforeCommitPoint));
        return Err(CliError::new(Kind::WrongChoice, format!("nothing of \"{name}\" can be taken back: {why}"))
            .hint(format!("see what stays: piton undo {} --to {} --plan", run.short(), path_word(&scope))));
    }
    let by = world::actor(args.actor.as_deref());
    let exit = match begins(&state, &scope) {
        // An interrupted taking back goes on by itself.
        Begins::Covered if !post::is_driven(&wire, &run)? => {
            engine::drive_foreground(&wire, &run, Some(by), None, args.json)?
        }
        Begins::Later => return Err(taken_back_first(&state, &run)),
        Begins::Now | Begins::Covered => {
            let decision = Decision { by: by.clone(), saw: state.head, why: args.reason };
            ask(&wire, &run, &scope, &decision, args.json)?
        }
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

pub(super) fn taken_back_first(state: &RunState, run: &RunId) -> CliError {
    let what = state.undoing.as_ref().map_or_else(String::new, |going_on| match &going_on.reason {
        UndoReason::Redo { step, .. } => format!("having \"{}\" done anew", printable(step.as_str())),
        _ => format!("taking back \"{}\"", printable(going_on.scope.as_str())),
    });
    let mut stuck = state.steps_in_order().into_iter().filter(|(_, step)| step.undo.held.is_some());
    let go_on = match stuck.next() {
        Some((path, _)) => format!(" --retry {}", path_word(path)),
        None => String::new(),
    };
    CliError::new(Kind::WrongChoice, format!("run {run} is {what}, which comes first"))
        .hint(format!("let it come to its end: piton resume {}{go_on}", run.short()))
        .hint(format!("or take the whole run back: piton undo {}", run.short()))
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

/// What taking back a child run would do.
struct Below {
    state: RunState,
    plan: UndoPlan,
    below: Children,
}

type Children = HashMap<RunId, Below>;

/// Of every child run that a plan takes back. Runs are not nested deeper than `MAX_DEPTH`.
fn children_of(wire: &Wire, plan: &UndoPlan) -> Result<Children, CliError> {
    let mut children = Children::new();
    for action in plan.items.iter().flat_map(|item| &item.actions) {
        let Action::UndoRun { run } = &**action else { continue };
        // One that was never made has nothing to take back.
        let state = match wire.store.find(run.as_str()) {
            Ok(_) => wire.state(run)?,
            Err(error) if error.kind == StoreErrorKind::Unknown => continue,
            Err(error) => return Err(error.into()),
        };
        let plan = undo_plan(&state, &Path::root());
        let below = children_of(wire, &plan)?;
        children.insert(run.clone(), Below { state, plan, below });
    }
    Ok(children)
}

fn plan_text(state: &RunState, scope: &Path, plan: &UndoPlan, children: &Children) -> String {
    let what = if scope.is_root() { "the run".to_owned() } else { format!("\"{}\"", printable(scope.as_str())) };
    let mut text = match plan.items.len() as u64 {
        0 => format!("taking back {what} would perform nothing\n"),
        items => format!("taking back {what} would undo {}, in this order:\n", count(items, "step")),
    };
    for (index, item) in plan.items.iter().enumerate() {
        text.push_str(&format!("{:>4}  {}\n", index + 1, printable(item.path.as_str())));
        for action in &item.actions {
            text.push_str(&format!("      {}\n", printable(&action.summary())));
            if let Action::UndoRun { run } = &**action
                && let Some(child) = children.get(run)
            {
                let inner = plan_text(&child.state, &Path::root(), &child.plan, &child.below);
                // Its first line says what the line above says.
                inner.lines().skip(1).for_each(|line| text.push_str(&format!("      {line}\n")));
            }
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

fn plan_json(run: &RunId, scope: &Path, plan: &UndoPlan, children: &Children) -> Json {
    let items: Vec<_> = (plan.items.iter())
        .map(|item| {
            let actions: Vec<String> = item.actions.iter().map(|action| action.summary()).collect();
            let runs = item.actions.iter().filter_map(|action| match &**action {
                Action::UndoRun { run } => Some((run, children.get(run)?)),
                _ => None,
            });
            let runs: Vec<Json> =
                runs.map(|(run, child)| plan_json(run, &Path::root(), &child.plan, &child.below)).collect();
            json!({ "path": item.path, "generation": item.generation, "actions": actions, "child_runs": runs })
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
    json!({ "run": run, "scope": scope, "items": items, "stays": stays })
}
