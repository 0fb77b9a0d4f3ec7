//! Windows: measured critical sections that are never left alone.
//!
//! Owns opening (with the first step), the monitor that holds the budget and tells the watchdog that this engine is
//! alive, and closing or going back. The decisions and the arithmetic are `core`'s; taking back stands in `undo`.

use crate::shared::{Shared, lock};
use crate::undo::Mode;
use piton_core::decide::windows::{closing, going_back, hold_of, only_warns, rehearsal_is_over, turning_round};
use piton_core::event::{Event, WindowOpened};
use piton_core::outcome::{Failure, FailureKind};
use piton_core::ports::{Cancel, SideLog, StoreError, Unwind, Watchdog};
use piton_core::scope::{Catcher, OnOver, Scope, ScopeKind};
use piton_core::window::WindowPhase;
use piton_core::{Duration, Path, RunState, Value};
use std::sync::Arc;
use std::time::Duration as StdDuration;

/// The monitor looks, and the watchdog hears of us, this often.
const BEAT: StdDuration = StdDuration::from_millis(50);
/// A commit that takes longer counts as stuck: the watchdog hears nothing until it is through.
const STUCK_US: u64 = 500_000;

/// A window whose scope is entered: it opens with the first step.
pub(crate) struct Opening {
    path: Path,
    generation: u32,
    budget: Duration,
    reserve: Duration,
    watchdog: Box<dyn Watchdog>,
    opened: bool,
}

impl Shared {
    pub(crate) fn run_window(
        &self,
        scope: &Arc<Scope>,
        body: &mut dyn FnMut() -> Result<Value, Unwind>,
    ) -> Result<Value, Unwind> {
        let ScopeKind::Window { budget, reserve, on_over } = scope.kind else { return body() };
        let known = self.journal.with(|state| state.windows.get(&scope.path).cloned());
        let closed_well =
            known.as_ref().is_some_and(|window| matches!(window.phase, WindowPhase::Closed { went_back: false, .. }));
        let open = known.as_ref().is_some_and(piton_core::window::Window::is_open);
        if known.as_ref().is_some_and(|w| matches!(w.phase, WindowPhase::Closed { went_back: true, .. }) && !w.reopens)
        {
            return Err(self.went_back(scope)?);
        }
        let may_open = self.journal.with(|state| piton_core::decide::may_act(state, scope, &scope.path));
        if closed_well || !(open || may_open) {
            // Replay, or a run that starts nothing: no step acts, so nothing needs to be measured or guarded.
            return body();
        }
        if !open {
            self.take_locks(scope)?;
            self.look_ahead(scope)?;
        }
        let generation = known.map_or(1, |window| window.generation + u32::from(!window.is_open()));
        if let Err(unwind) = self.arm(scope, (generation, budget, reserve), open) {
            self.unguarded(scope, open, unwind)?;
        }
        self.enter(scope, None);
        let done = Cancel::new();
        let result = std::thread::scope(|threads| {
            let monitor = std::thread::Builder::new().name("window".into());
            let spawned = monitor.spawn_scoped(threads, || self.monitor(&scope.path, on_over, &done));
            let result = match spawned {
                Ok(_) => body(),
                Err(error) => Err(Unwind::Broken(format!("no thread for the window's monitor: {error}"))),
            };
            let result = self.end_window(scope, result);
            done.fire("the window has ended");
            result
        });
        // A broken engine leaves the window to the watchdog, whatever it has not been able to record.
        self.disarm(!matches!(result, Err(Unwind::Broken(_))));
        result
    }

    /// A window that nobody guards is not opened. One that an earlier engine left open goes back, and past its commit
    /// point forward.
    fn unguarded(&self, scope: &Arc<Scope>, open: bool, unwind: Unwind) -> Result<(), Unwind> {
        if !open {
            return Err(unwind);
        }
        let why = explain(&unwind);
        if self.journal.with(|state| state.windows.get(&scope.path).is_some_and(|window| window.committed)) {
            self.ports.observer.warn(&why);
            return Ok(());
        }
        self.go_back(&scope.path, &why);
        self.finish_going_back(&scope.path)?;
        self.after_going_back(scope, unwind).map(drop)
    }

    /// Watchdog and side log, before anything can open the window.
    fn arm(
        &self,
        scope: &Arc<Scope>,
        (generation, budget, reserve): (u32, Duration, Duration),
        opened: bool,
    ) -> Result<(), Unwind> {
        let cannot = |what: &str, why: String| {
            Unwind::Program(format!("the window \"{}\" is not opened: {what}: {why}", scope.path))
        };
        let side =
            self.side_log(opened).map_err(|error| cannot("its side log cannot be allocated", error.to_string()))?;
        let watchdog =
            self.ports.watchdogs.start(&self.run).map_err(|error| cannot("its watchdog cannot be started", error))?;
        self.journal.set_side_log(Some(side));
        let path = scope.path.clone();
        *lock(&self.window) = Some(Opening { path, generation, budget, reserve, watchdog, opened });
        Ok(())
    }

    /// Space for the way back. An open window has it: asking a full disk for it again would be asking in vain.
    fn side_log(&self, opened: bool) -> Result<Box<dyn SideLog>, StoreError> {
        let known = if opened { self.ports.side_logs.reopen(&self.run)? } else { None };
        known.map_or_else(|| self.ports.side_logs.prepare(&self.run), Ok)
    }

    /// Dropped without being dismissed, the watchdog stays on guard.
    fn disarm(&self, dismiss: bool) {
        let opening = lock(&self.window).take();
        if let Some(opening) = opening.filter(|_| dismiss) {
            opening.watchdog.dismiss();
        }
        self.put_side_log_away();
    }

    /// The window has ended. What it has recorded beside the store stays there until the next engine brings it home.
    fn put_side_log_away(&self) {
        self.journal.set_side_log(None);
        let ended = self.journal.with(|state| state.open_window().is_none());
        if ended && !self.journal.on_side_log() && self.ports.side_logs.clear(&self.run).is_err() {
            self.ports.observer.warn("the window's side log cannot be removed; the next engine will");
        }
    }

    /// Opens the window around this scope, if there is one that is not open. Called before each step's start.
    pub(crate) fn open_window(&self, scope: &Arc<Scope>) -> Result<(), Unwind> {
        let Some(window) = scope.window() else { return Ok(()) };
        let mut opening = lock(&self.window);
        let Some(opening) = opening.as_mut().filter(|opening| opening.path == window.path && !opening.opened) else {
            return Ok(());
        };
        self.journal.append([Event::WindowOpened(WindowOpened {
            path: opening.path.clone(),
            generation: opening.generation,
            budget: opening.budget,
            reserve: opening.reserve,
            boot_id: self.ports.clock.boot_id().to_owned(),
            watchdog_pid: opening.watchdog.pid(),
        })]);
        opening.opened = true;
        // Before the first step acts, the watchdog knows when to lose patience.
        let deadline = self.deadline_boot_us(&opening.path);
        opening.watchdog.beat(deadline);
        Ok(())
    }

    /// Boot-time clock, microseconds, at which the window starts going back; none where it only warns.
    fn deadline_boot_us(&self, path: &Path) -> Option<u64> {
        let now = self.journal.now();
        let boot_id = self.ports.clock.boot_id();
        self.journal.with(|state| {
            let window = state.windows.get(path).filter(|window| window.is_open() && !only_warns(state, path))?;
            Some(now.boot_us.saturating_add(window.until_going_back_us(now, boot_id)))
        })
    }

    /// Holds the budget and tells the watchdog that this engine lives, until the window has ended.
    fn monitor(&self, path: &Path, on_over: OnOver, done: &Cancel) {
        // Kept once it is known: that the window has closed is durable only when this ends, and an engine that goes
        // silent before that must still be replaced.
        let mut deadline = None;
        loop {
            let now = self.journal.now();
            let left_us = self.journal.with(|state| {
                let window = state.windows.get(path).filter(|window| window.is_open())?;
                Some(window.until_going_back_us(now, self.ports.clock.boot_id()))
            });
            if left_us == Some(0) && on_over == OnOver::Undo {
                self.go_back(path, "its budget cannot be kept otherwise");
            }
            if self.journal.on_side_log() {
                self.go_back(path, "the store has failed");
            }
            if self.journal.stuck_us() < STUCK_US {
                deadline = self.deadline_boot_us(path).or(deadline);
                if let Some(opening) = lock(&self.window).as_mut() {
                    opening.watchdog.beat(deadline);
                }
            }
            let until = left_us.filter(|us| *us > 0).map_or(BEAT, StdDuration::from_micros);
            if self.ports.clock.sleep(BEAT.min(until), done) {
                return;
            }
        }
    }

    /// Decides that the window goes back, unless its commit point is passed or it goes back already; ends what runs in
    /// it. The thread that entered the window does the taking back, once all of its branches have ended.
    pub(crate) fn go_back(&self, path: &Path, why: &str) {
        self.send_back(path, |state| going_back(state, path, why));
    }

    /// At a commit point: a rehearsal goes back here instead of passing it.
    pub(crate) fn turns_round(&self, scope: &Scope, commit_point: &Path) -> bool {
        let Some(window) = scope.window() else { return false };
        self.send_back(&window.path, |state| {
            let passed = state.commit_points.iter().any(|(known, _)| known == commit_point);
            let turns = !passed && piton_core::decide::may_act(state, scope, commit_point);
            turns.then(|| turning_round(state, &window.path, "its commit point")).flatten()
        })
    }

    fn send_back(&self, path: &Path, decide: impl FnOnce(&RunState) -> Option<Event>) -> bool {
        let mut because = String::new();
        let decided = self.journal.transact(|state| {
            let event = decide(state);
            if let Some(Event::WindowGoingBack { why, .. }) = &event {
                because.clone_from(why);
            }
            let decided = event.is_some();
            (event.into_iter().collect(), decided)
        });
        if decided {
            self.ports.side_logs.make_room(&self.run);
            // If this flush fails, so does the next one, and that one is reported.
            let _ = self.journal.flush();
            self.cancel_within(path, &format!("the window goes back: {because}"));
            self.changes.notify();
        }
        decided
    }

    /// The open window around a scope that would still go back.
    pub(crate) fn going_back_window(&self, scope: &Scope) -> Option<Path> {
        let path = &scope.window()?.path;
        self.journal.with(|state| {
            state
                .windows
                .get(path)
                .filter(|window| window.is_open() && !window.committed)
                .map(|window| window.path.clone())
        })
    }

    /// Closes the window, or goes back and closes it.
    fn end_window(&self, scope: &Arc<Scope>, result: Result<Value, Unwind>) -> Result<Value, Unwind> {
        let path = &scope.path;
        let result = result.and_then(|value| self.ends_well(scope).map(|()| value));
        if result.is_ok() {
            // Only where it has no commit point: past one it goes forward, in a rehearsal too.
            self.send_back(path, |state| turning_round(state, path, "its end"));
        }
        if result.is_ok() && self.close_well(path) {
            self.journal.flush()?;
            // That it has closed stands beside a store that failed: the run does not go on before it is brought home.
            return if self.journal.on_side_log() { Err(self.store_failed()) } else { result };
        }
        let open = self.journal.with(|state| state.windows.get(path).filter(|window| window.is_open()).cloned());
        let Some(window) = open else { return result };
        let unwind = match result {
            Ok(_) => Unwind::Stopping,
            Err(unwind) => unwind,
        };
        if window.committed {
            return Err(unwind);
        }
        self.go_back(path, &explain(&unwind));
        self.finish_going_back(path)?;
        self.after_going_back(scope, unwind)
    }

    /// Takes back everything in a window that goes back, then closes it. Errors leave it open: loudly.
    pub(crate) fn finish_going_back(&self, path: &Path) -> Result<(), Unwind> {
        let why = self.journal.with(|state| match state.windows.get(path).map(|window| &window.phase) {
            Some(WindowPhase::GoingBack { why }) => why.clone(),
            _ => String::new(),
        });
        if !self.take_back(path, &Mode::Window { window: path.clone(), why })? {
            return Err(Unwind::Held);
        }
        self.close(path, true);
        self.journal.flush()?;
        if lock(&self.window).is_none() {
            // An earlier engine's window: nothing here was armed.
            self.put_side_log_away();
        }
        Ok(())
    }

    fn after_going_back(&self, scope: &Arc<Scope>, unwind: Unwind) -> Result<Value, Unwind> {
        if let Unwind::Program(_) | Unwind::Broken(_) = unwind {
            return Err(unwind);
        }
        if self.journal.on_side_log() {
            return Err(self.store_failed());
        }
        let stopping = self.journal.with(|state| {
            let reopens = state.windows.get(&scope.path).is_some_and(|window| window.reopens);
            reopens || state.abort.is_some() || state.undoing.is_some()
        });
        Err(if stopping { Unwind::Stopping } else { self.went_back(scope)? })
    }

    /// The window went back by itself: a failure where that is caught, else a hold. In every evaluation, until a person
    /// says that it may be entered again.
    fn went_back(&self, scope: &Arc<Scope>) -> Result<Unwind, Unwind> {
        if let Some(Catcher::Caught(_)) = scope.parent.as_deref().map(Scope::catcher) {
            let window = self.journal.with(|state| state.windows.get(&scope.path).cloned());
            let why = window.map(|window| window.went_back_because).unwrap_or_default();
            let failure =
                Failure::new(FailureKind::WentBack, format!("the window \"{}\" went back: {why}", scope.path));
            return Ok(Unwind::Failed { path: scope.path.clone(), failure });
        }
        let rehearsed = self.journal.transact(|state| {
            let hold = state.windows.get(&scope.path).and_then(|window| hold_of(state, window));
            (hold.into_iter().collect(), rehearsal_is_over(state))
        });
        self.journal.flush()?;
        Ok(if rehearsed { Unwind::Stopping } else { Unwind::Held })
    }

    /// Closes the window with its last step's end. False where it goes back, or never opened.
    fn close_well(&self, path: &Path) -> bool {
        let never_opened = self.journal.with(|state| !state.windows.get(path).is_some_and(|w| w.is_open()));
        never_opened || self.close(path, false)
    }

    fn close(&self, path: &Path, went_back: bool) -> bool {
        let now = self.journal.now();
        let boot_id = self.ports.clock.boot_id().to_owned();
        self.journal.transact(|state| {
            let events = closing(state, path, went_back, now, &boot_id);
            let closes = events.is_some();
            (events.unwrap_or_default(), closes)
        })
    }
}

/// Why a window goes back, from how its body ended.
pub(crate) fn explain(unwind: &Unwind) -> String {
    match unwind {
        Unwind::Failed { path, failure } => format!("\"{path}\" failed: {failure}"),
        Unwind::Program(message) => {
            format!("the runbook raised an error: {}", message.lines().next().unwrap_or_default())
        }
        Unwind::Broken(message) => message.clone(),
        Unwind::Held | Unwind::Parked | Unwind::Stopping | Unwind::Undetermined(_) => "the run is stopping".to_owned(),
    }
}
