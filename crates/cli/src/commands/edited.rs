//! `piton resume --edited`: a run goes on with its runbook as it is now.
//!
//! Owns making the five lists before anything runs, what must be said before it may go on, and replacing the snapshot.
//! What the lists are is `core`'s; keeping, redoing and asking again are the engine's.

use crate::args::ResumeArgs;
use crate::commands::check;
use crate::commands::ended::ended;
use crate::commands::engine::{self, Driven, Waiting};
use crate::commands::plan::Planned;
use crate::commands::undo::taken_back_first;
use crate::error::{CliError, Kind};
use crate::exit::Exit;
use crate::print;
use crate::project::{self, SourceFile, Tree};
use crate::ui::Screen;
use crate::ui::edit as page;
use crate::ui::story::Story;
use crate::ui::text::{count, printable, shell_word};
use crate::wire::{PLAN_SOURCE, Wire, never_started};
use piton_core::event::{Attach, Doubt, Event, RunEdited, Runbook as Described};
use piton_core::hold::Decision;
use piton_core::ids::RunId;
use piton_core::plan::edit::{Lists, lists};
use piton_core::plan::{Entry, FORMAT, Known, Plan, PlannedRunbook, compare};
use piton_core::ports::Store as _;
use piton_core::record::Chain;
use piton_core::request::StepKind;
use piton_core::state::Phase;
use piton_core::{Digest, Path, RunState, Value};
use piton_engine::plan::Journaled;
use piton_lang::Runbook;
use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;

/// The runbook as it is now, and what it means for the run.
struct Edit {
    runbook: Runbook,
    described: Described,
    files: Vec<SourceFile>,
    params: Vec<(String, Value)>,
    lists: Lists,
    /// Questions that were answered about something else.
    asks_again: Vec<Path>,
}

pub(super) fn go_on(
    wire: &mut Wire,
    run: &RunId,
    mut story: Story,
    decision: &Decision,
    (file, args): (&std::path::Path, &ResumeArgs),
) -> Result<Exit, CliError> {
    // From here on nobody else drives it.
    let lease = engine::take_lease(wire, run)?;
    wire.read_on(run, &mut story)?;
    let state = &story.state;
    if state.finished.is_some() {
        return Err(ended(wire, run, state));
    }
    if state.undoing.is_some() {
        return Err(taken_back_first(state, run));
    }
    let edit = look(wire, run, state, file)?;
    let shown = match args.json {
        true => format!("{}\n", page::json(&edit.lists, &edit.asks_again)),
        false => page::page(&edit.lists, &edit.asks_again),
    };
    print::out(&shown);
    if let Some(window) = edit.lists.windows.first() {
        return Err(window_gone(run, window));
    }
    if args.plan {
        return Ok(Exit::Done);
    }
    refuse_orphans(run, state, &edit.lists, args.keep_orphans)?;
    wire.survival.accept(args.accept);
    wire.survival.check(&edit.runbook, Some(state))?;
    wire.survival.accept(state.open_window().is_some());
    let mut files = edit.files.clone();
    // The plan it is bound to stays, and holds what it excludes.
    files.extend(wire.store.sources(run)?.into_iter().filter(|(path, ..)| path == PLAN_SOURCE));
    wire.store.replace_sources(&*lease, &files)?;
    let event = edit.event(decision);
    let driven = Driven {
        run: run.clone(),
        lease,
        attach: Attach::Resumed,
        by: Some(decision.by.clone()),
        program: wire.program_of(run, &event.runbook)?,
        root: PathBuf::from(&event.runbook.root),
        known: Some(story),
        start: None,
        edit: Some(event),
        waiting: Waiting::Stays,
    };
    if args.detach {
        engine::announce(wire, driven)?;
        engine::spawn_detached(wire, run)?;
        print::line(&format!("run {run} goes on in the background; follow it: piton watch {}", run.short()));
        return Ok(Exit::Done);
    }
    engine::drive(wire, driven, Arc::new(Screen::foreground(args.json)))
}

impl Edit {
    fn event(self, decision: &Decision) -> RunEdited {
        let paths = |touched: Vec<piton_core::plan::edit::Touched>| touched.into_iter().map(|one| one.path).collect();
        let lists = self.lists;
        RunEdited {
            runbook: self.described,
            params: self.params,
            decision: decision.clone(),
            changed: paths(lists.changed),
            orphaned: lists.orphaned.into_iter().map(|one| one.path).collect(),
            dropped: lists.dropped.into_iter().map(|one| one.path).collect(),
            left: lists.left,
            inserted: paths(lists.inserted),
            undetermined: lists.undetermined.into_iter().map(|one| one.scope).collect(),
            asks_again: self.asks_again,
            doubted: (lists.doubted.into_iter()).map(|one| Doubt { path: one.path, evidence: one.evidence }).collect(),
        }
    }
}

fn look(wire: &Wire, run: &RunId, state: &RunState, file: &std::path::Path) -> Result<Edit, CliError> {
    let name = file.display().to_string();
    let runbook = check::load(file)?.map_err(|diagnostics| CliError::runbook(&name, &diagnostics))?;
    let (root, below) = project::locate(file)
        .map_err(|error| CliError::new(Kind::File, format!("{name} cannot be read")).source(error))?;
    let sources: Vec<String> = runbook.sources().map(|(path, _)| path.to_owned()).collect();
    let files = Tree::new(root.clone()).snapshot(&sources, &runbook.scripts())?;
    let described = project::describe(&root, &below, &runbook.interface().title, &files);
    let params = params(&runbook, state)?;
    let oracle = Journaled::of(state).with_checks(checked(wire, run)?);
    let what = Planned { runbook: &runbook, described: &described, files: &files, params: &params };
    // Nothing new is read: what an inserted step would give is not known, and said so.
    let entries = own(what.entries(true, Arc::new(oracle))?);
    let mut lists = lists(&entries, state);
    // Another question has no answer yet: it is not a choice between keeping and redoing.
    let mut asks_again: Vec<Path> =
        lists.changed.extract_if(.., |one| is_question(state, &one.path)).map(|one| one.path).collect();
    let approved = state.steps_in_order().into_iter().filter(|(path, step)| {
        // One that is still asked may have been answered by some.
        let asked = matches!(step.phase, Phase::Succeeded { .. } | Phase::Asked { .. });
        step.kind == StepKind::Approve && asked && !asks_again.contains(path)
    });
    let approved: Vec<Path> = approved.map(|(path, _)| path.clone()).collect();
    if !approved.is_empty() {
        let before = before(wire, run, state)?;
        asks_again.extend(approved.into_iter().filter(|path| !is_same(&before, &entries, path)));
    }
    Ok(Edit { runbook, described, files, params, lists, asks_again })
}

/// Without what child runs would do: each has a journal of its own, and its own edits.
fn own(entries: Vec<Entry>) -> Vec<Entry> {
    let children: HashSet<Path> = (entries.iter())
        .filter(|entry| entry.step().is_some_and(|step| step.kind == StepKind::Run))
        .map(|entry| entry.path.clone())
        .collect();
    let is_own = |entry: &Entry| {
        let mut around = std::iter::successors(entry.path.parent(), Path::parent);
        let is_end = entry.step().is_none() && children.contains(&entry.path);
        !is_end && !around.any(|scope| children.contains(&scope))
    };
    entries.into_iter().filter(is_own).collect()
}

fn is_question(state: &RunState, path: &Path) -> bool {
    let kind = state.steps.get(path).map(|step| step.kind);
    matches!(kind, Some(StepKind::Approve | StepKind::Ask | StepKind::Manual))
}

/// The run's parameters, as the edited signature has them.
fn params(runbook: &Runbook, state: &RunState) -> Result<Vec<(String, Value)>, CliError> {
    let known = state.params();
    let mut params = Vec::new();
    for param in &runbook.interface().params {
        let given = known.iter().find(|(name, _)| *name == param.name).map(|(_, value)| value);
        let value = given.filter(|value| param.ty.accepts(value)).or(param.default.as_ref());
        let Some(value) = value else {
            let message = match given {
                Some(value) => format!("the parameter {} is {value}, which is no {} any more", param.name, param.ty),
                None => format!("the parameter {} is new and has no default", param.name),
            };
            return Err(CliError::new(Kind::Parameter, message)
                .hint("a run goes on with the parameters it was started with: give this one a default"));
        };
        params.push((param.name.clone(), value.clone()));
    }
    Ok(params)
}

/// The postconditions that were looked at when steps were done; empty: there was none.
fn checked(wire: &Wire, run: &RunId) -> Result<HashMap<Path, String>, CliError> {
    let mut checked = HashMap::new();
    wire.records(run, &mut Chain::default(), |record| {
        if let Event::StepSucceeded(succeeded) = record.event {
            let check = succeeded.evidence.map(|evidence| evidence.check).unwrap_or_default();
            checked.insert(succeeded.path, check);
        }
        ControlFlow::Continue(())
    })?;
    Ok(checked)
}

/// What the run would go on to do without the edit.
fn before(wire: &Wire, run: &RunId, state: &RunState) -> Result<Vec<Entry>, CliError> {
    let described = state.runbook().ok_or_else(|| never_started(run))?;
    let runbook = wire.program_of(run, described)?;
    let mut files = wire.store.sources(run)?;
    files.retain(|(path, ..)| path != PLAN_SOURCE);
    let what = Planned { runbook: &runbook, described, files: &files, params: state.params() };
    what.entries(true, Arc::new(Journaled::of(state)))
}

/// What an approval allowed, less what is done, is the same with the edit as without.
fn is_same(before: &[Entry], now: &[Entry], approval: &Path) -> bool {
    match (remaining(before, approval), remaining(now, approval)) {
        (Some(before), Some(now)) => compare(&before, &now).is_empty(),
        (before, now) => before.is_none() && now.is_none(),
    }
}

fn remaining(entries: &[Entry], approval: &Path) -> Option<Plan> {
    let at = entries.iter().position(|entry| entry.path == *approval)?;
    let left = |entry: &&Entry| entry.step().is_none_or(|step| step.known != Known::Done);
    let entries = entries.iter().skip(at + 1).filter(left).cloned().collect();
    let runbook =
        PlannedRunbook { title: String::new(), file: String::new(), digest: Digest::ZERO, sources: Vec::new() };
    Some(Plan { format: FORMAT, runbook, params: vec![], piton: String::new(), offline: true, entries })
}

fn window_gone(run: &RunId, window: &Path) -> CliError {
    let name = printable(window.as_str());
    CliError::new(Kind::Orphans, format!("the window \"{name}\" is open, and the edited runbook does not have it"))
        .hint("keep it in the runbook until it is closed")
        .hint(format!("or bring it to its end first: piton resume {}", run.short()))
}

fn refuse_orphans(run: &RunId, state: &RunState, lists: &Lists, keep: bool) -> Result<(), CliError> {
    let orphaned = lists.orphaned.iter().filter(|one| one.wrote).map(|one| &one.path);
    let dropped = lists.dropped.iter().filter(|one| one.wrote).map(|one| &one.path);
    let left: Vec<&Path> = orphaned.chain(dropped).collect();
    if left.is_empty() || keep {
        return Ok(());
    }
    let many = count(left.len() as u64, "step");
    let error = CliError::new(Kind::Orphans, format!("{many} that changed something would be left behind"));
    let committed = state.last_commit_seq();
    let stays =
        |path: &Path| state.steps.get(path).is_some_and(|step| step.open.is_none() && step.last_seq <= committed);
    let commands = left.iter().map(|path| match (printable(path.as_str()), stays(path)) {
        (name, true) => format!("{name} was done before a commit point: it can only stay"),
        (name, false) => format!("take it back: piton undo {} --to {}", run.short(), shell_word(&name)),
    });
    let error = commands.fold(error, CliError::hint);
    let error = match lists.dropped.iter().any(|one| one.wrote) {
        true => error.hint(format!("or let what has begun come to its end first: piton resume {}", run.short())),
        false => error,
    };
    Err(error.hint("or keep what the runbook no longer has, as far as it has come: --keep-orphans"))
}
