//! Child runs: a step whose effect is another run of the same store.
//!
//! Owns following one from its intent to its end, telling it to pause, end and be taken back, and starting an engine for
//! it where it has none. Performing it and finding it again after a crash are one and the same: its id is durable before
//! it exists, and whoever holds the parent's lease makes what is missing. What its standing means is `core`'s to say; its
//! journal is its own engine's, and this one only reads it.

use crate::attempt::Numbers;
use crate::shared::{Shared, lock};
use crate::step::{About, Done, Failed};
use piton_core::action::ChildRun;
use piton_core::child::{self, ChildEnd, ChildStands, ChildWait, MAX_DEPTH, Next, Parent, Seen};
use piton_core::event::{Again, Attach, AttemptStarted, Event, Finish, Handle, How, Stored};
use piton_core::hold::{Decision, HoldReason};
use piton_core::ids::Actor;
use piton_core::outcome::{Failure, FailureKind};
use piton_core::ports::{Cancel, InboxMessage, NewChild, StoreError, StoreErrorKind, Unwind};
use piton_core::progress::Said;
use piton_core::record::Chain;
use piton_core::request::StepRequest;
use piton_core::{Action, Outcome, Path, RunId, RunState, Value};
use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

/// A child run is looked at this often while its parent has nothing else to do for it.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Engines in a row that end without a single record before a person is asked.
const MAX_IDLE_ENGINES: u32 = 5;
/// Pause before another engine is started where the last one got nowhere, milliseconds; doubles.
const ENGINE_BACKOFF_MS: u64 = 200;

/// What this engine knows of its run's children.
#[derive(Default)]
pub(crate) struct Children {
    known: HashMap<RunId, Arc<RunState>>,
    /// Told to go on, once in an engine's life.
    woken: HashSet<RunId>,
    /// Their branches have parked, and are not called again before they have a thread.
    parked: HashSet<RunId>,
}

/// An engine for a child run, each time it has none.
#[derive(Default)]
struct Engines {
    idle: u32,
    records: u64,
}

impl Shared {
    /// Journals the intent: the id of a run that does not exist yet, and that taking the step back takes it back.
    pub(crate) fn begin_child(&self, about: About<'_>, request: &StepRequest, numbers: Numbers) -> Result<(), Unwind> {
        if let Some(window) = about.scope.window() {
            let message =
                format!("{}: a window waits for nobody: run() cannot be inside \"{}\"", about.site, window.path);
            return Err(Unwind::Program(message));
        }
        let depth = self.journal.with(|state| parent_of(state).map_or(0, Parent::depth));
        if depth >= MAX_DEPTH {
            let message = format!("{}: runs start runs more than {MAX_DEPTH} levels deep", about.site);
            return Err(Unwind::Program(message));
        }
        let run = RunId::from_random(self.ports.clock.random() as u64);
        let undo = Some(Action::UndoRun { run: run.clone() });
        self.intend(about, request, numbers, (undo, Handle::Run { run }, Again::Never)).map(drop)
    }

    /// Sees a child run through to its end and journals that; parks where it waits for a person.
    pub(crate) fn follow_child(&self, about: About<'_>, started: &AttemptStarted, run: &RunId) -> Result<(), Unwind> {
        // What is done was intended so, whatever an edit has made of the step since.
        let asked = about.fingerprint;
        let about = About { fingerprint: started.fingerprint, ..about };
        let registered = self.register(about.path);
        lock(&self.children).parked.remove(run);
        let mut engines = Engines::default();
        let (mut paused, mut told) = (false, 0);
        loop {
            let seen = self.look_at_child(run)?;
            let waits_for_message = seen.state.inbox_seen < told;
            match child::next(&seen) {
                Next::Create if asked != started.fingerprint => {
                    self.give_up_attempt(about, started, crate::step::interrupted(), true);
                    return Ok(());
                }
                Next::Create if registered.cancel.fired() => return Err(Unwind::Stopping),
                Next::Create => self.create_child(about, started, run)?,
                Next::Ended { how, value } => return self.child_ended(about, started, &seen, (how, value)),
                Next::Wait(_) if waits_for_message => {
                    self.drive_child(about, &seen, run, &mut engines)?;
                }
                Next::Wait(wait) => match self.wakes(&seen, run)? {
                    Some(id) => told = id,
                    None => {
                        self.child_stands(about.path, run, Some(wait));
                        self.journal.flush()?;
                        lock(&self.children).parked.insert(run.clone());
                        return Err(Unwind::Parked);
                    }
                },
                Next::Drive => {
                    self.child_stands(about.path, run, None);
                    self.drive_child(about, &seen, run, &mut engines)?;
                }
                Next::Follow => drop(self.child_stands(about.path, run, None)),
            }
            if !paused && self.journal.with(is_paused) && !seen.never_began() {
                paused = true;
                told = self.tell_child(&seen, run, &InboxMessage::Pause, "the run it belongs to is paused")?;
            }
            if self.ports.clock.sleep(LOOK_EVERY, &registered.cancel) {
                return Err(Unwind::Stopping);
            }
        }
    }

    fn create_child(&self, about: About<'_>, started: &AttemptStarted, run: &RunId) -> Result<(), Unwind> {
        let Action::Run(what) = &started.action else {
            return Err(Unwind::Broken("a bug in Piton: a child run without a runbook".to_owned()));
        };
        // Nothing of it may act before the intent is durable, by whichever way control came here.
        self.journal.flush()?;
        let new = self.new_child(about.path, what, run)?;
        match self.ports.children.create(&new) {
            Ok(()) => Ok(()),
            Err(why) => Err(self.hold(about, unprovable(run, "cannot be created", &why))?),
        }
    }

    fn new_child(&self, path: &Path, what: &ChildRun, run: &RunId) -> Result<NewChild, Unwind> {
        self.journal.with(|state| {
            let started = state.started.as_ref();
            let by = started.map(|started| started.by.clone());
            let by = by.ok_or_else(|| Unwind::Broken("a bug in Piton: a run without a start".to_owned()))?;
            let above = parent_of(state).cloned().map(Box::new);
            let parent = Parent { run: self.run.clone(), path: path.clone(), parent: above };
            Ok(NewChild { run: run.clone(), parent, what: what.clone(), by })
        })
    }

    /// Starts an engine where the child has none; holds the step where engines end again and again without a record.
    fn drive_child(&self, about: About<'_>, seen: &Seen, run: &RunId, engines: &mut Engines) -> Result<(), Unwind> {
        if seen.driven {
            return Ok(());
        }
        match self.start_engine(seen, run, engines) {
            Ok(()) => Ok(()),
            Err(why) => Err(self.hold(about, unprovable(run, "has no engine", &why))?),
        }
    }

    fn start_engine(&self, seen: &Seen, run: &RunId, engines: &mut Engines) -> Result<(), String> {
        if seen.state.seq > engines.records {
            *engines = Engines { idle: 0, records: seen.state.seq };
        }
        if engines.idle >= MAX_IDLE_ENGINES {
            return Err(format!("{MAX_IDLE_ENGINES} engines were started and ended without doing anything"));
        }
        if engines.idle > 0 {
            let pause = Duration::from_millis(ENGINE_BACKOFF_MS << (engines.idle - 1));
            self.ports.clock.sleep(pause, &Cancel::new());
        }
        engines.idle += 1;
        self.ports.children.drive(run)
    }

    /// Journals how the child stands, where that has changed: true.
    fn child_stands(&self, path: &Path, run: &RunId, waits: Option<ChildWait>) -> bool {
        self.journal.transact(|state| {
            let is_at = child::open(state).any(|(at, child)| at == path && child == run);
            let changed = is_at && state.children.get(path).is_some_and(|child| child.waits != waits);
            let stands = Event::ChildStands(ChildStands { path: path.clone(), run: run.clone(), waits });
            (if changed { vec![stands] } else { Vec::new() }, changed)
        })
    }

    fn child_ended(
        &self,
        about: About<'_>,
        started: &AttemptStarted,
        seen: &Seen,
        (how, value): (Finish, Option<Stored<Value>>),
    ) -> Result<(), Unwind> {
        let unreadable = |error| Unwind::Broken(format!("the value of a child run cannot be read: {error}"));
        let value = value.map(|value| value.open()).transpose().map_err(unreadable)?;
        let took_us = seen.state.at.wall_us.saturating_sub(seen.state.started_at.wall_us);
        let outcome = Outcome {
            ok: how == Finish::Succeeded,
            value,
            run: seen.ended().map(Box::new),
            took_us: u64::try_from(took_us).unwrap_or(0),
            ..Outcome::default()
        };
        let numbers = (started.generation, started.attempt);
        let event = if how == Finish::Succeeded {
            let done = Done { attempt: started.attempt, ..Done::unattempted(How::Performed, None) };
            about.succeeded(started.generation, Stored::seal(&outcome), done)
        } else {
            let failure = why_failed(&seen.state, how);
            let failed = Failed { failure, outcome: Some(outcome), never_began: false, is_final: true };
            about.failed(numbers, failed, None)
        };
        self.journal.append([event]);
        Ok(())
    }

    /// What was paused goes on with the run it belongs to, once, where a person told that to go on. The number of the
    /// message.
    fn wakes(&self, seen: &Seen, run: &RunId) -> Result<Option<u64>, Unwind> {
        let told = self.journal.with(|state| {
            let engine = state.engine.as_ref();
            engine.is_some_and(|engine| engine.reason == Attach::Resumed && engine.by.is_some()) && !is_paused(state)
        });
        if !told || !seen.is_paused() || !lock(&self.children).woken.insert(run.clone()) {
            return Ok(None);
        }
        self.tell_child(seen, run, &InboxMessage::RetryAll, "the run it belongs to goes on").map(Some)
    }

    /// Ends a child run whose step is ended, and waits for that. `Ok(true)`: it never began. `Err`: why it goes on.
    pub(crate) fn end_child(&self, run: &RunId) -> Result<Result<bool, String>, Unwind> {
        let (mut engines, mut told) = (Engines::default(), None);
        loop {
            let seen = self.look_at_child(run)?;
            if seen.never_began() {
                return Ok(Ok(true));
            }
            if seen.ended().is_some() {
                return Ok(Ok(false));
            }
            let taken = told.is_some_and(|id| seen.state.inbox_seen >= id);
            if seen.is_stuck_forward() && (taken || seen.state.abort.is_some()) {
                return Ok(Err(stuck(run)));
            }
            if told.is_none() && seen.state.abort.is_none() {
                told = Some(self.tell_child(&seen, run, &InboxMessage::Abort, "the run it belongs to ends it")?);
            }
            if let Some(why) = self.keep_driven(&seen, run, &mut engines) {
                return Ok(Err(why));
            }
        }
    }

    /// Takes a child run back, and waits for that. `Err`: why it is not.
    pub(crate) fn undo_child(&self, run: &RunId) -> Result<Result<(), Failure>, Unwind> {
        let failed = |why: String| Failure::new(FailureKind::Action, why);
        let (mut engines, mut told) = (Engines::default(), None);
        loop {
            let seen = self.look_at_child(run)?;
            let state = &seen.state;
            let taken = told.is_some_and(|id| state.inbox_seen >= id);
            match seen.ended() {
                _ if seen.never_began() => return Ok(Ok(())),
                Some(ChildEnd { how: Finish::Undone, .. }) => return Ok(Ok(())),
                _ if seen.is_stuck_forward() => return Ok(Err(failed(stuck(run)))),
                _ if taken && state.undoing.is_none() && state.taken_back.is_none() => {
                    return Ok(Err(failed(format!("its child run {run} did not begin to take itself back"))));
                }
                _ if taken && let Some(why) = seen.holds_going_back() => {
                    return Ok(Err(failed(format!("its child run {run} holds while it is taken back: {why}"))));
                }
                _ if told.is_some() => {}
                _ if state.undoing.is_none() => {
                    let message = InboxMessage::Undo { scope: Path::root() };
                    told = Some(self.tell_child(&seen, run, &message, "the run it belongs to takes it back")?);
                }
                // What failed is tried again with the step that failed for it.
                _ if seen.holds_going_back().is_some() => {
                    let message = InboxMessage::RetryAll;
                    told = Some(self.tell_child(&seen, run, &message, "the run it belongs to takes it back")?);
                }
                _ => {}
            }
            if let Some(why) = self.keep_driven(&seen, run, &mut engines) {
                return Ok(Err(failed(format!("its child run {run} has no engine: {why}"))));
            }
        }
    }

    /// Pauses until the next look; why no engine can be had.
    fn keep_driven(&self, seen: &Seen, run: &RunId, engines: &mut Engines) -> Option<String> {
        let started = if seen.driven { Ok(()) } else { self.start_engine(seen, run, engines) };
        self.ports.clock.sleep(LOOK_EVERY, &Cancel::new());
        started.err()
    }

    /// Sends a message, in the name of whoever is behind this run now. Its number.
    fn tell_child(&self, seen: &Seen, run: &RunId, message: &InboxMessage, why: &str) -> Result<u64, Unwind> {
        let by = self.journal.with(behind);
        let by = by.ok_or_else(|| Unwind::Broken("a bug in Piton: a run without a start".to_owned()))?;
        let decision = Decision { by, saw: seen.state.head, why: Some(why.to_owned()) };
        let posted = self.ports.store.post(run, &decision, message, self.journal.now().wall_us);
        posted.map_err(|error| child_broken(run, &error))
    }

    /// Looks again at what was seen last.
    pub(crate) fn look_at_child(&self, run: &RunId) -> Result<Seen, Unwind> {
        self.seen_child(run).map_err(|error| child_broken(run, &error))
    }

    /// One that nobody drives may wait for a child run of its own, which goes on all the same: how that stands now is looked
    /// up, for its own journal tells only how it stood when its last engine left.
    fn seen_child(&self, run: &RunId) -> Result<Seen, StoreError> {
        let row = match self.ports.store.find(run.as_str()) {
            Ok(row) => row,
            Err(error) if error.kind == StoreErrorKind::Unknown => return Ok(Seen::default()),
            Err(error) => return Err(error),
        };
        let state = self.read_child(run, row.head_seq)?;
        let mut seen = Seen { exists: true, driven: row.held_by.is_some(), state };
        if !seen.driven {
            // Runs are not nested deeper than `MAX_DEPTH`.
            let open: Vec<_> = child::open(&seen.state).map(|(path, run)| (path.clone(), run.clone())).collect();
            for (path, below) in open {
                let waits = child::waits_now(&self.seen_child(&below)?);
                if seen.state.children.get(&path).is_some_and(|known| known.waits != waits)
                    && let Some(known) = Arc::make_mut(&mut seen.state).children.get_mut(&path)
                {
                    known.waits = waits;
                }
            }
        }
        Ok(seen)
    }

    /// A child run as its journal has it.
    fn read_child(&self, run: &RunId, head_seq: u64) -> Result<Arc<RunState>, StoreError> {
        let mut children = lock(&self.children);
        let known = children.known.entry(run.clone()).or_default();
        if head_seq > known.seq {
            let state = Arc::make_mut(known);
            let mut chain = Chain { seq: state.seq, head: state.head };
            let mut damaged = None;
            self.ports.store.read(run, state.seq, &mut |sealed| match chain.open(&sealed) {
                Ok(record) => {
                    state.apply(&record);
                    ControlFlow::Continue(())
                }
                Err(error) => {
                    damaged = Some(error.to_string());
                    ControlFlow::Break(())
                }
            })?;
            if let Some(message) = damaged {
                return Err(StoreError { kind: StoreErrorKind::Unreadable, message, source: None });
            }
        }
        Ok(known.clone())
    }

    /// Sees how the child runs stand whose branches wait for them, and wakes those: nobody else would tell this run. A branch
    /// that has no thread yet says nothing, so that is journaled here.
    pub(crate) fn look_for_children(&self) {
        let parked = lock(&self.children).parked.clone();
        let waiting = self.journal.with(|state| {
            let waits = |path: &Path| state.children.get(path).is_some_and(|child| child.waits.is_some());
            let nobody_follows = child::open(state).filter(|(path, run)| waits(path) || parked.contains(*run));
            nobody_follows.map(|(path, run)| (path.clone(), run.clone())).collect::<Vec<_>>()
        });
        for (path, run) in waiting {
            let Ok(seen) = self.seen_child(&run) else { continue };
            if self.child_stands(&path, &run, child::waits_now(&seen)) {
                self.changes.notify();
            }
        }
    }

    /// What a child run is at, as it was last looked at.
    pub(crate) fn child_progress(&self, run: &RunId) -> Option<Said> {
        let line = lock(&self.children).known.get(run).map(|state| child::progress(run, state));
        line.map(|line| Said { line: Some(line), progress: None })
    }
}

fn parent_of(state: &RunState) -> Option<&Parent> {
    state.started.as_ref()?.parent.as_ref()
}

fn is_paused(state: &RunState) -> bool {
    state.run_holds.iter().any(|hold| matches!(hold, HoldReason::Paused { .. }))
}

/// Who told this run to do what it does: who aborts it, has it taken back, goes on with it, started it.
fn behind(state: &RunState) -> Option<Actor> {
    use piton_core::event::UndoReason;
    let undone_by = state.undoing.as_ref().and_then(|undoing| match &undoing.reason {
        UndoReason::Asked { decision } | UndoReason::Redo { decision, .. } => Some(decision.by.clone()),
        UndoReason::Window { .. } | UndoReason::Guard { .. } => None,
    });
    let aborted_by = || state.abort.as_ref().map(|(by, _)| by.clone());
    let driven_by = || state.engine.as_ref().and_then(|engine| engine.by.clone());
    undone_by.or_else(aborted_by).or_else(driven_by).or_else(|| Some(state.started.as_ref()?.by.clone()))
}

fn why_failed(state: &RunState, how: Finish) -> Failure {
    let run = state.started.as_ref().map_or_else(String::new, |started| started.run.to_string());
    let message = match (how, &state.abort) {
        (Finish::Aborted, Some((by, why))) => {
            let why = why.as_deref().map(|why| format!(": {why}")).unwrap_or_default();
            format!("its child run {run} was aborted by {}{why}", by.name)
        }
        _ => format!("its child run {run} was taken back"),
    };
    let name = state.started.as_ref().map_or("RUN", |started| started.run.short());
    let hint = format!("what it did: piton show {name}; trying again starts another run");
    Failure { hint: Some(hint), ..Failure::new(FailureKind::Action, message) }
}

fn unprovable(run: &RunId, what: &str, why: &str) -> HoldReason {
    HoldReason::Unprovable { why: format!("its child run {run} {what}: {why}") }
}

fn stuck(run: &RunId) -> String {
    format!("its child run {run} is past its window's commit point and holds: piton resume {}", run.short())
}

fn child_broken(run: &RunId, error: &StoreError) -> Unwind {
    Unwind::Broken(format!("the child run {run} cannot be looked at: {error}"))
}
