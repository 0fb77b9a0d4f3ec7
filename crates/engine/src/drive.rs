//! Drives one run from wherever its journal stands to its end, a hold, or a wait.
//!
//! Owns attaching (reading the journal, importing a side log, continuing an interrupted taking back), evaluating the
//! program again and again until nothing is left to do, and how a run ends.

use crate::journal::{Broken, Journal};
use crate::shared::{EVALUATION_STACK_BYTES, FLUSH_DELAY, Options, Ports, Shared};
use crate::undo::Mode;
use piton_core::decide::windows::rehearsal_is_over;
use piton_core::event::{
    Attach, EngineAttached, Event, Finish, Handle, RunEdited, RunStarted, Stored, UndoBegan, UndoReason,
};
use piton_core::hold::HoldReason;
use piton_core::ids::{Actor, EngineId, RunId};
use piton_core::park::PARK_AFTER_US;
use piton_core::ports::{Cancel, Lease, Program, SideLog, StoreError, StoreErrorKind, Unwind};
use piton_core::progress::Said;
use piton_core::record::{Chain, Sealed};
use piton_core::state::Phase;
use piton_core::{Path, RunState, Value};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// A run that waits looks at its timers at least this often, in case the wall clock jumped.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// What an engine is started with.
pub struct Drive {
    pub ports: Ports,
    pub program: Arc<dyn Program>,
    pub lease: Box<dyn Lease>,
    pub engine: EngineId,
    pub attach: Attach,
    pub by: Option<Actor>,
    /// Version of Piton, for the journal.
    pub piton: String,
    /// The run's own directory, absolute.
    pub run_dir: PathBuf,
    /// The run's state as far as the caller has read its journal, and shown it: the rest is read from there.
    pub known: Option<RunState>,
    /// The first record of a new run.
    pub start: Option<RunStarted>,
    /// The program is an edited one from here on.
    pub edit: Option<RunEdited>,
    pub options: Options,
}

/// How an engine's life ended.
#[derive(Debug, Clone)]
pub enum End {
    Succeeded(Value),
    /// A person has to decide something.
    Held,
    /// It waits for an answer, a time or a lock, and was told not to wait for it.
    Waiting,
    Aborted,
    Undone,
    /// The journal could not be written, or the lease is lost.
    Broken(String),
}

pub struct Engine {
    shared: Arc<Shared>,
    attach: Attach,
}

/// For signals: told to a running engine from other threads.
#[derive(Clone)]
pub struct Control {
    shared: Arc<Shared>,
}

impl Control {
    /// Finish the running steps, then hold.
    pub fn pause(&self, by: &Actor) -> Result<(), Broken> {
        self.shared.pause(by)
    }

    /// The state as the journal has it, durable or not. For screens that poll.
    pub fn with_state<R>(&self, look: impl FnOnce(&RunState) -> R) -> R {
        self.shared.journal.with(look)
    }

    /// What a running step has printed last.
    pub fn said(&self, path: &Path) -> Option<Said> {
        let started = self.shared.journal.with(|state| match &state.steps.get(path)?.phase {
            Phase::Running(started) => Some(started.clone()),
            _ => None,
        })?;
        if let Handle::Run { run } = &started.handle {
            return self.shared.child_progress(run);
        }
        let purpose = piton_core::ports::Purpose::Act;
        let context = self.shared.context(path, started.generation, started.attempt, purpose);
        self.shared.ports.executor.said(&context)
    }
}

impl Engine {
    /// Reads the journal and takes over the run.
    pub fn attach(mut drive: Drive) -> Result<Self, Broken> {
        let run = drive.lease.run().clone();
        let mut state = drive.known.take().unwrap_or_default();
        read_journal(&drive, &run, &mut state)?;
        let aside = import_side_log(&drive, &run, &mut state)?;
        let started = drive.start.as_ref().or(state.started.as_deref());
        let Some(started) = started else {
            return Err(Broken("this run was never started: its engine died before the first record".into()));
        };
        let root = PathBuf::from(&started.runbook.root);
        let journal = Journal::new(&drive.ports, drive.lease, state, &drive.options);
        if let Some(aside) = aside {
            journal.set_side_log(Some(aside.log));
            if let Some(why) = aside.store_failed {
                journal.go_aside(&why);
            }
        }
        let first = drive.start.map(|start| Event::RunStarted(Box::new(start)));
        let attached =
            EngineAttached { engine: drive.engine, reason: drive.attach, by: drive.by, piton: Some(drive.piton) };
        let edited = drive.edit.map(|edit| Event::RunEdited(Box::new(edit)));
        journal.append(first.into_iter().chain([Event::EngineAttached(attached)]).chain(edited));
        journal.flush()?;
        let places = (run, drive.run_dir, root);
        let shared = Arc::new(Shared::new(places, drive.ports, drive.program, journal, drive.options));
        Ok(Self { shared, attach: drive.attach })
    }

    pub fn control(&self) -> Control {
        Control { shared: self.shared.clone() }
    }

    /// Lets go of the run, once its life has ended and what belongs to it is tidied up: whoever shows it may live longer.
    pub fn give_back(&self) {
        self.shared.journal.give_back();
    }

    /// Drives the run until it ends, holds, or waits and was told to leave then.
    pub fn run(&self) -> End {
        let shared = &*self.shared;
        let done = Cancel::new();
        let end = std::thread::scope(|threads| {
            threads.spawn(|| shared.journal.flusher(FLUSH_DELAY));
            threads.spawn(|| shared.watch_inbox(&done));
            threads.spawn(|| shared.keep_guards(threads, &done));
            let end = self.drive().unwrap_or_else(|unwind| match unwind {
                Unwind::Broken(why) => End::Broken(why),
                _ => End::Held,
            });
            done.fire("the engine ends");
            shared.journal.close();
            end
        });
        match shared.journal.flush() {
            Ok(()) => end,
            Err(broken) => End::Broken(broken.0),
        }
    }

    fn drive(&self) -> Result<End, Unwind> {
        let shared = &*self.shared;
        shared.give_up_unknown_locks()?;
        shared.read_inbox()?;
        self.go_on_after_pause();
        loop {
            let (seen, now_us) = (shared.changes.seen(), shared.journal.now().wall_us);
            shared.journal.check()?;
            if let Some(end) = self.take_care_of_the_past()? {
                return Ok(end);
            }
            match self.evaluate() {
                Ok(value) => {
                    if let Some(end) = self.succeeded(value)? {
                        return Ok(end);
                    }
                }
                Err(Unwind::Parked) => {
                    shared.journal.flush()?;
                    if shared.journal.with(RunState::is_held)
                        && let Some(end) = self.stopped(Unwind::Held)?
                    {
                        return Ok(end);
                    }
                    if shared.options.leave_when_waiting && !self.has_to_stay(now_us) && self.parks(seen, now_us)? {
                        return Ok(End::Waiting);
                    }
                    shared.reachable()?;
                    shared.changes.wait(&*shared.ports.clock, seen, self.until_next_timer(now_us));
                }
                Err(unwind) => {
                    if let Some(end) = self.stopped(unwind)? {
                        return Ok(end);
                    }
                }
            }
        }
    }

    /// The program has come to its end. `None`: the run is to be taken back or aborted all the same.
    fn succeeded(&self, value: Value) -> Result<Option<End>, Unwind> {
        if self.shared.journal.with(|state| state.undoing.is_none()) {
            if self.shared.window_left_open()? {
                return Ok(None);
            }
            if self.shared.journal.with(|state| state.abort.is_none()) {
                self.shared.leave_nothing_behind()?;
            }
        }
        let stored = Some(Stored::seal(&value));
        let end = self.shared.journal.transact(|state| {
            if state.abort.is_some() || state.undoing.is_some() {
                (Vec::new(), None)
            } else if state.is_held() {
                (Vec::new(), Some(End::Held))
            } else {
                (vec![Event::RunFinished { how: Finish::Succeeded, value: stored }], Some(End::Succeeded(value)))
            }
        });
        self.shared.journal.flush()?;
        Ok(end)
    }

    /// A pause ends with the next engine that a person starts.
    fn go_on_after_pause(&self) {
        let attach = self.attach;
        self.shared.journal.transact(|state| {
            let paused = |hold: &HoldReason| matches!(hold, HoldReason::Paused { .. });
            let go_on = attach == Attach::Resumed && !state.run_holds.is_empty() && state.run_holds.iter().all(paused);
            let by = state.engine.as_ref().and_then(|engine| engine.by.clone());
            (by.filter(|_| go_on).map(|by| Event::RunResumed { by }).into_iter().collect(), ())
        });
    }

    /// What must be finished before the program may be evaluated: a window that goes back, a taking back, an abort.
    fn take_care_of_the_past(&self) -> Result<Option<End>, Unwind> {
        let shared = &*self.shared;
        if shared.journal.with(|state| state.finished.is_some() && state.undoing.is_none()) {
            return Ok(Some(self.finished()));
        }
        self.late_window()?;
        let undoing = shared.journal.with(|state| state.undoing.clone());
        if let Some(undoing) = undoing
            && let Some(mode) = Mode::of(&undoing.reason)
            && !shared.take_back(&undoing.scope, &mode)?
        {
            return self.given_up().map(Some);
        }
        if !shared.take_back_for_guards()? {
            return self.given_up().map(Some);
        }
        if let Some(taken) = shared.journal.with(|state| state.taken_back.clone()) {
            return self.taken_back(&taken).map(Some);
        }
        if !shared.drop_what_the_edit_drops()? {
            return Ok(Some(End::Held));
        }
        if shared.journal.with(|state| rehearsal_is_over(state) && !state.is_held() && state.abort.is_none()) {
            return self.rehearsed().map(Some);
        }
        let window_to_finish = shared.journal.with(|state| state.open_window().is_some_and(|window| window.committed));
        if shared.journal.with(|state| state.abort.is_some()) && !window_to_finish {
            shared.end_interrupted(&Path::root())?;
            shared.journal.append([Event::RunFinished { how: Finish::Aborted, value: None }]);
            shared.journal.flush()?;
            return Ok(Some(End::Aborted));
        }
        Ok(None)
    }

    /// Taking back does not get on: the run holds, or ends where a person has asked for that.
    fn given_up(&self) -> Result<End, Unwind> {
        let ends = self.shared.journal.transact(|state| {
            let ends = state.abort.is_some() && state.stuck_steps > 0 && state.open_window().is_none();
            let finish = Event::RunFinished { how: Finish::Aborted, value: None };
            (ends.then_some(finish).into_iter().collect(), ends)
        });
        self.shared.journal.flush()?;
        Ok(if ends { End::Aborted } else { End::Held })
    }

    /// A rehearsal has gone back: it ends as it should, and what was done before the window stays.
    fn rehearsed(&self) -> Result<End, Unwind> {
        let shared = &*self.shared;
        shared.end_interrupted(&Path::root())?;
        let finished = shared.journal.transact(|state| {
            // What cannot be proven dead is a person's to look at.
            let ends = !state.is_held();
            let finish = Event::RunFinished { how: Finish::Succeeded, value: None };
            (ends.then_some(finish).into_iter().collect(), ends)
        });
        shared.journal.flush()?;
        Ok(if finished { self.finished() } else { End::Held })
    }

    /// What a person asked for is taken back: the run ends, or waits for the word to go on.
    fn taken_back(&self, taken: &UndoBegan) -> Result<End, Unwind> {
        let by = match &taken.reason {
            UndoReason::Asked { decision } | UndoReason::Redo { decision, .. } => decision.by.name.clone(),
            UndoReason::Window { .. } | UndoReason::Guard { .. } => String::new(),
        };
        let (event, end) = if taken.scope.is_root() {
            (Event::RunFinished { how: Finish::Undone, value: None }, End::Undone)
        } else {
            (Event::RunHeld { reason: HoldReason::Paused { by } }, End::Held)
        };
        self.shared.journal.append([event]);
        self.shared.journal.flush()?;
        Ok(end)
    }

    /// A window that an earlier engine left: it is finished going back, or sent back where its time is over.
    fn late_window(&self) -> Result<(), Unwind> {
        let shared = &*self.shared;
        let now = shared.journal.now();
        let boot_id = shared.ports.clock.boot_id();
        let store_failed = shared.journal.on_side_log();
        let late = shared.journal.with(|state| piton_core::decide::windows::late(state, now, boot_id, store_failed));
        if let Some((path, why)) = late {
            shared.go_back(&path, why);
            shared.finish_going_back(&path)?;
        }
        if shared.journal.on_side_log() { Err(shared.store_failed()) } else { Ok(()) }
    }

    /// Evaluates `main` on a thread with room for it.
    fn evaluate(&self) -> Result<Value, Unwind> {
        let shared = &*self.shared;
        let params = shared.journal.with(|state| state.params().to_vec());
        crate::shared::lock(&shared.commit_points_seen).clear();
        std::thread::scope(|threads| {
            let thread = std::thread::Builder::new().name("main".into()).stack_size(EVALUATION_STACK_BYTES);
            let thread = thread
                .spawn_scoped(threads, || shared.program.main(shared, &params))
                .map_err(|error| Unwind::Broken(format!("no thread to evaluate on: {error}")))?;
            thread.join().unwrap_or_else(|_| Err(Unwind::Broken("a bug in Piton: evaluating panicked".into())))
        })
    }

    /// The evaluation stopped before its end. `None`: something is left to take care of first.
    fn stopped(&self, unwind: Unwind) -> Result<Option<End>, Unwind> {
        let shared = &*self.shared;
        let reason = match unwind {
            Unwind::Broken(_) => return Err(unwind),
            Unwind::Failed { failure, .. } => Some(HoldReason::Failed { failure }),
            Unwind::Program(message) => Some(HoldReason::Program { message }),
            Unwind::Held | Unwind::Stopping | Unwind::Parked | Unwind::Undetermined(_) => None,
        };
        let more = shared.journal.transact(|state| {
            let more = state.abort.is_some()
                || (rehearsal_is_over(state) && !state.is_held())
                || piton_core::guard::undo_due(state).is_some()
                || state.undoing.as_ref().is_some_and(|undoing| !matches!(undoing.reason, UndoReason::Window { .. }));
            let event = match reason {
                Some(reason) if !state.run_holds.contains(&reason) => Some(Event::RunHeld { reason }),
                None if !more && !state.is_held() => {
                    Some(Event::RunHeld { reason: HoldReason::Program { message: shared.why_stopped(state) } })
                }
                _ => None,
            };
            // A step that was ended for an abort or a taking back holds, and must not keep it from being finished. Past a
            // window's commit point it does: an abort waits there for the decision.
            let forward = state.open_window().is_some_and(|window| window.committed);
            (event.into_iter().collect(), more && !(forward && state.held_steps > 0))
        });
        shared.journal.flush()?;
        Ok((!more).then_some(End::Held))
    }

    fn finished(&self) -> End {
        self.shared.journal.with(|state| match &state.finished {
            Some((Finish::Succeeded, value)) => {
                End::Succeeded(value.as_ref().and_then(|value| value.open().ok()).unwrap_or_default())
            }
            Some((Finish::Aborted, _)) => End::Aborted,
            _ => End::Undone,
        })
    }

    /// Nobody else would notice a guard's check failing; what is due soon is not worth an engine's start; and a child run that
    /// waits for nobody is followed by its parent, which would start another engine at once.
    fn has_to_stay(&self, evaluated_us: i64) -> bool {
        let journal = &self.shared.journal;
        let is_child = |state: &RunState| state.started.as_ref().is_some_and(|started| started.parent.is_some());
        if journal.with(|state| is_child(state) && piton_core::child::waits(state).is_none()) {
            return true;
        }
        let soon_us = journal.now().wall_us.saturating_add(PARK_AFTER_US);
        self.shared.watches.any() || journal.next_due_us(&Path::root(), evaluated_us).is_some_and(|due| due <= soon_us)
    }

    /// Leaves the run to whoever wakes it. False: something arrived meanwhile, and nobody would wake the run for that. Who
    /// gives a lock up after this looks for who waits for it.
    fn parks(&self, seen: u64, evaluated_us: i64) -> Result<bool, Unwind> {
        self.shared.look_for_locks();
        let quiet = self.shared.changes.seen() == seen;
        if quiet {
            self.shared.journal.park(evaluated_us)?;
        }
        Ok(quiet)
    }

    /// Time until the next timer or expiry.
    fn until_next_timer(&self, evaluated_us: i64) -> Duration {
        let now = self.shared.journal.now().wall_us;
        let due = self.shared.journal.next_due_us(&Path::root(), evaluated_us);
        due.map_or(LONGEST_WAIT, |due| Duration::from_micros(u64::try_from(due - now).unwrap_or(0)).min(LONGEST_WAIT))
    }
}

/// Folds the journal from where the state stands, record by record, and lets the observer do likewise.
fn read_journal(drive: &Drive, run: &RunId, state: &mut RunState) -> Result<(), Broken> {
    let mut chain = Chain { seq: state.seq, head: state.head };
    let mut unreadable = None;
    let read = drive.ports.store.read(run, state.seq, &mut |sealed| match chain.open(&sealed) {
        Ok(record) => {
            state.apply(&record);
            drive.ports.observer.recall(&record);
            ControlFlow::Continue(())
        }
        Err(error) => {
            unreadable = Some(Broken(error.to_string()));
            ControlFlow::Break(())
        }
    });
    read.map_err(|error| Broken(error.to_string()))?;
    unreadable.map_or(Ok(()), Err)
}

/// The side log of a window that an earlier engine left open.
struct Aside {
    log: Box<dyn SideLog>,
    /// Its records are not in the journal, for the store still fails.
    store_failed: Option<String>,
}

/// Going back in a window whose store had failed is recorded beside the store: bring it home. Where the window is still to
/// go back, the side log is kept, for the store may fail again, or still.
fn import_side_log(drive: &Drive, run: &RunId, state: &mut RunState) -> Result<Option<Aside>, Broken> {
    let side_logs = &drive.ports.side_logs;
    let broken = |error: StoreError| Broken(error.to_string());
    let aside: Vec<Sealed> =
        side_logs.read(run).map_err(broken)?.into_iter().filter(|record| record.seq > state.seq).collect();
    let mut chain = Chain { seq: state.seq, head: state.head };
    for (index, sealed) in aside.iter().enumerate() {
        let record = chain.open(sealed).map_err(|error| {
            Broken(format!("the side log does not continue the journal at its record {}: {error}", index + 1))
        })?;
        state.apply(&record);
        drive.ports.observer.recall(&record);
    }
    let imported = if aside.is_empty() { Ok(()) } else { drive.ports.store.append(&*drive.lease, &aside, None) };
    let goes_back = state.open_window().is_some_and(|window| !window.committed);
    let log = if goes_back { side_logs.reopen(run).map_err(broken)? } else { None };
    match (imported, log) {
        (Ok(()), Some(log)) => Ok(Some(Aside { log, store_failed: None })),
        (Err(error), Some(log)) if error.kind == StoreErrorKind::Unavailable => {
            Ok(Some(Aside { log, store_failed: Some(error.to_string()) }))
        }
        (imported, _) => {
            imported.map_err(broken)?;
            side_logs.clear(run).map_err(broken)?;
            Ok(None)
        }
    }
}
