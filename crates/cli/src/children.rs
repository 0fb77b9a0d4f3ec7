//! Child runs in the real world: made from their parent's snapshot, driven by processes of their own, and what a person
//! may do to one beside its parent.
//!
//! Owns creating a child and starting engines for it and for the parent that waits for it. When to do so is the engine's to
//! say, and never decided here.

use crate::commands::engine::{self, Driven, Waiting};
use crate::commands::plan;
use crate::error::{CliError, Kind};
use crate::project::{self, Snapshot, SourceFile};
use crate::ui::text::{path_word, printable};
use crate::wire::{PLAN_SOURCE, Wire};
use crate::world;
use piton_core::child::{self, Next, Parent, Seen};
use piton_core::event::{Attach, FORMAT, RunStarted, Runbook as Described};
use piton_core::ids::RunId;
use piton_core::plan::{Entry, Plan, PlannedRunbook};
use piton_core::ports::{Children, Clock as _, LeaseOutcome, NewChild, NewRun, Store as _, StoreErrorKind};
use piton_core::progress::Said;
use piton_core::record::Chain;
use piton_core::state::{Phase, Status, Step};
use piton_core::{Path, RunState, Value};
use piton_lang::Runbook;
use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long an ending child waits for its parent's engine to have seen it, or to be gone.
const PARENT_PATIENCE: Duration = Duration::from_secs(10);
const PARENT_LOOK: Duration = Duration::from_millis(50);

/// What an engine asks for its run's children.
pub(crate) struct ChildRuns(pub(crate) Wire);

impl Children for ChildRuns {
    fn create(&self, child: &NewChild) -> Result<(), String> {
        create(&self.0, child).map_err(|error| error.one_line())
    }

    fn drive(&self, run: &RunId) -> Result<(), String> {
        engine::spawn_child(&self.0, run).map_err(|error| error.one_line())
    }
}

fn create(wire: &Wire, child: &NewChild) -> Result<(), CliError> {
    let begun = match wire.store.find(child.run.as_str()) {
        Ok(known) => known.head_seq > 0,
        Err(error) if error.kind == StoreErrorKind::Unknown => {
            insert(wire, child)?;
            false
        }
        Err(error) => return Err(error.into()),
    };
    if begun { Ok(()) } else { announce(wire, child) }
}

/// Its row and its snapshot: of its parent's, what it needs.
fn insert(wire: &Wire, child: &NewChild) -> Result<(), CliError> {
    let mut files: Vec<SourceFile> = wire.store.sources(&child.parent.run)?;
    let approved = files.iter().position(|(path, ..)| path == PLAN_SOURCE).map(|at| files.swap_remove(at));
    let runbook = load(&child.what.file, &files)?;
    let digest = runbook.digest().map_err(|error| CliError::bug("a script is missing").source(error))?;
    if digest != child.what.digest {
        let message = format!("{} is not what it was when its step began", child.what.file);
        return Err(CliError::new(Kind::StoreUnreadable, message));
    }
    let title = runbook.interface().title.clone();
    let mut sources = needed(&runbook, files);
    let parent = wire.started(&child.parent.run)?;
    let rehearsal = parent.rehearsal;
    if let Some((_, bytes, _)) = approved {
        let described = project::describe(parent.runbook.root.as_ref(), runbook.file(), &title, &sources);
        let bound = plan_below(&plan::parse(&bytes, "the parent's plan")?, child, &described);
        sources.push((PLAN_SOURCE.to_owned(), plan::bytes(&bound), false));
    }
    let (parent, created_at_us) = (Some(child.parent.run.clone()), wire.clock.now().wall_us);
    let new = NewRun { id: child.run.clone(), title, created_at_us, by: child.by.clone(), parent, rehearsal, sources };
    Ok(wire.store.create_run(&new)?)
}

/// Its first record. Whoever is killed before it leaves a run of which nothing has begun.
fn announce(wire: &Wire, child: &NewChild) -> Result<(), CliError> {
    let lease = match wire.store.lease(&child.run, &world::engine_id(&*wire.clock))? {
        LeaseOutcome::Held(lease) => lease,
        // Only the holder of the parent's lease makes it: one that was killed in doing so still ends.
        LeaseOutcome::Busy(_) => return Ok(()),
    };
    let mut files: Vec<SourceFile> = wire.store.sources(&child.run)?;
    let approved = files.iter().position(|(path, ..)| path == PLAN_SOURCE).map(|at| files.swap_remove(at));
    // In the order in which the journal names them.
    files.sort();
    let program = Arc::new(load(&child.what.file, &files)?);
    let parent = wire.started(&child.parent.run)?;
    let root = std::path::PathBuf::from(&parent.runbook.root);
    let runbook = project::describe(&root, program.file(), &program.interface().title, &files);
    let bound = approved.map(|(_, bytes, _)| plan::parse(&bytes, "the run's plan")).transpose()?;
    let start = RunStarted {
        format: FORMAT,
        run: child.run.clone(),
        runbook,
        params: child.what.params.clone(),
        by: child.by.clone(),
        piton: world::VERSION.to_owned(),
        plan: bound.as_ref().map(Plan::digest),
        rehearsal: parent.rehearsal,
        parent: Some(child.parent.clone()),
    };
    let driven = Driven {
        run: child.run.clone(),
        lease,
        attach: Attach::Started,
        by: Some(child.by.clone()),
        program,
        root,
        known: None,
        start: Some(start),
        edit: None,
        waiting: Waiting::Leaves,
    };
    engine::announce(wire, driven)
}

fn load(file: &str, files: &[SourceFile]) -> Result<Runbook, CliError> {
    Runbook::load(Arc::new(Snapshot::new(files)), file).map_err(|diagnostics| CliError::runbook(file, &diagnostics))
}

/// The sources, the scripts, and what lies beside those.
fn needed(runbook: &Runbook, files: Vec<SourceFile>) -> Vec<SourceFile> {
    let scripts = runbook.scripts();
    let own: Vec<&str> = runbook.sources().map(|(path, _)| path).chain(scripts.iter().map(String::as_str)).collect();
    let dir = |path: &str| path.rsplit_once('/').map(|(dir, _)| dir.to_owned());
    let beside: Vec<String> = scripts.iter().filter_map(|script| dir(script)).collect();
    let keeps = |path: &str| own.contains(&path) || dir(path).is_some_and(|dir| beside.contains(&dir));
    let mut files: Vec<SourceFile> = files.into_iter().filter(|(path, ..)| keeps(path)).collect();
    files.sort();
    files
}

/// What a run's plan has for its child.
fn plan_below(plan: &Plan, child: &NewChild, described: &Described) -> Plan {
    let step = &child.parent.path;
    let below = |entry: &Entry| {
        let path = entry.path.as_str().strip_prefix(step.as_str())?;
        let inside = path.strip_prefix('/').map(Path::from_escaped);
        // The step itself is the parent's; that its plan ends is the child's.
        let ends = path.is_empty() && entry.step().is_none();
        Some(Entry { path: inside.or_else(|| ends.then(Path::root))?, ..entry.clone() })
    };
    let runbook = PlannedRunbook {
        title: described.title.clone(),
        file: described.file.clone(),
        digest: described.digest,
        sources: described.sources.clone(),
    };
    let params: Vec<(String, Value)> = child.what.params.clone();
    let entries = plan.entries.iter().filter_map(below).collect();
    Plan { format: plan.format, runbook, params, piton: plan.piton.clone(), offline: plan.offline, entries }
}

/// Sees to it that whoever waits for this run goes on: its end is journaled, and its parent may have no engine.
pub(crate) fn wake_parent(wire: &Wire, run: &RunId, state: &RunState) -> Result<(), CliError> {
    let Some(parent) = state.started.as_ref().and_then(|started| started.parent.as_ref()) else { return Ok(()) };
    if state.finished.is_none() || state.undoing.is_some() {
        return Ok(());
    }
    let until = Instant::now() + PARENT_PATIENCE;
    // An engine of the parent's that has looked before the end, and ends now, looks no more.
    while waits(wire, parent, run)? && Instant::now() < until {
        if wire.store.find(parent.run.as_str())?.held_by.is_none() {
            return engine::spawn_child(wire, &parent.run);
        }
        std::thread::sleep(PARENT_LOOK);
    }
    Ok(())
}

/// The parent's journal does not have this run's end.
fn waits(wire: &Wire, parent: &Parent, run: &RunId) -> Result<bool, CliError> {
    let state = wire.state(&parent.run)?;
    let of_this = state.children.get(&parent.path).is_some_and(|child| child.run == *run);
    let open = state.steps.get(&parent.path).is_some_and(|step| match &step.phase {
        Phase::Running(_) => true,
        _ => step.undo.running.is_some(),
    });
    Ok(of_this && open && state.finished.is_none())
}

/// Refuses to take back, beside its parent, what the parent counts on.
pub(crate) fn refuse_behind_parent(wire: &Wire, run: &RunId, state: &RunState) -> Result<(), CliError> {
    let Some(parent) = state.started.as_ref().and_then(|started| started.parent.as_ref()) else { return Ok(()) };
    let above = wire.state(&parent.run)?;
    let of_this = above.children.get(&parent.path).is_some_and(|child| child.run == *run);
    // What its parent takes back, and holds for, is taken back.
    let untouched = |step: &Step| step.undo.running.is_none() && step.undo.held.is_none();
    let done = above.steps.get(&parent.path).is_some_and(|step| step.is_done() && untouched(step));
    if !of_this || !done {
        return Ok(());
    }
    let (name, step) = (parent.run.short(), path_word(&parent.path));
    let message = format!(
        "run {run} is a step of run {}, \"{}\", and is done: it is taken back there",
        parent.run,
        printable(parent.path.as_str())
    );
    Err(CliError::new(Kind::PartOfAnother, message)
        .hint(format!("show what taking it back would do: piton undo {name} --to {step} --plan"))
        .hint(format!("take it back: piton undo {name} --to {step}")))
}

/// Runs and the runs below them as they stand now. A run that nobody drives does not know how its child runs have gone on:
/// its journal tells how they stood when its last engine left.
pub(crate) struct Standings {
    wire: Wire,
    /// What was read of their journals, so that looking again costs little.
    known: HashMap<RunId, Arc<RunState>>,
}

impl Standings {
    pub(crate) fn new(wire: &Wire) -> Self {
        Self { wire: wire.clone(), known: HashMap::new() }
    }

    /// Corrects, in the state of a run that nobody drives, how its child runs stand. True: it goes on by itself, since those
    /// that it waits for do, and nothing else of it was interrupted.
    pub(crate) fn correct(&mut self, state: &mut RunState) -> bool {
        let open: Vec<(Path, RunId)> = child::open(state).map(|(path, run)| (path.clone(), run.clone())).collect();
        let (mut going_on, mut waiting) = (0, 0);
        for (path, run) in open {
            // What cannot be looked at stands as the journal has it.
            let Ok((seen, goes_on)) = self.seen(&run) else { continue };
            let waits = child::waits_now(&seen);
            going_on += u64::from(goes_on);
            waiting += u64::from(waits.is_some());
            if let Some(known) = state.children.get_mut(&path) {
                known.waits = waits;
            }
        }
        going_on > 0 && state.status() == Status::Running && state.running_steps == going_on + waiting
    }

    /// How a run stands, and whether it goes on although nobody drives it.
    pub(crate) fn of(&mut self, run: &RunId) -> Result<(Status, bool), CliError> {
        let (seen, goes_on) = self.seen(run)?;
        Ok((seen.state.status(), goes_on && !seen.driven))
    }

    /// A run as it stands now, and whether it goes on: somebody is at work on it, or on what it waits for.
    fn seen(&mut self, run: &RunId) -> Result<(Seen, bool), CliError> {
        let driven = match self.wire.store.find(run.as_str()) {
            Ok(found) => found.held_by.is_some(),
            Err(error) if error.kind == StoreErrorKind::Unknown => return Ok((Seen::default(), false)),
            Err(error) => return Err(error.into()),
        };
        let mut state = self.known.remove(run).unwrap_or_default();
        let read = Arc::make_mut(&mut state);
        read_on(&self.wire, run, read)?;
        // Runs are not nested deeper than `MAX_DEPTH`.
        let by_itself = !driven && self.correct(read);
        self.known.insert(run.clone(), state.clone());
        let seen = Seen { exists: true, driven, state };
        let goes_on = by_itself || child::next(&seen) == Next::Follow;
        Ok((seen, goes_on))
    }
}

fn read_on(wire: &Wire, run: &RunId, state: &mut RunState) -> Result<(), CliError> {
    let mut chain = Chain { seq: state.seq, head: state.head };
    wire.records(run, &mut chain, |record| {
        state.apply(&record);
        ControlFlow::Continue(())
    })
}

/// What child runs are at, for screens that look again and again.
pub(crate) struct Progress {
    wire: Wire,
    known: Mutex<HashMap<RunId, RunState>>,
}

impl Progress {
    pub(crate) fn new(wire: &Wire) -> Self {
        Self { wire: wire.clone(), known: Mutex::default() }
    }

    pub(crate) fn of(&self, run: &RunId) -> Option<Said> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let state = known.entry(run.clone()).or_default();
        read_on(&self.wire, run, state).ok()?;
        state.started.as_ref()?;
        Some(Said { line: Some(piton_core::child::progress(run, state)), progress: None })
    }
}
