//! Taking back: performs the undo plan of a scope.
//!
//! Owns the attempts of undos, and proving interrupted actions dead before anything is taken back. Never evaluates the
//! program. In a window that goes back, one undo's failure does not keep the others from their turn: what reopens the
//! service must not wait behind what failed before it.

use crate::shared::{Admission, Shared};
use piton_core::event::{
    AttemptFailed, AttemptStarted, Event, Handle, StepHeld, UndoBegan, UndoFailed, UndoReason, UndoStarted,
};
use piton_core::hold::{Decision, HoldReason};
use piton_core::outcome::{Failure, FailureKind};
use piton_core::ports::{ActionFailed, Cancel, Purpose, Remains, Unwind};
use piton_core::undo::{UNDO_ATTEMPTS, UNDO_BACKOFF_MS, UndoItem, UndoPlan, redo_plan, undo_plan};
use piton_core::{Action, Duration, Path, RunState};
use std::sync::Arc;
use std::time::Duration as StdDuration;

/// An undo may take this long.
const UNDO_TIMEOUT: Duration = Duration::from_secs(3600);

pub(crate) enum Mode {
    /// A person asked; the first undo that fails holds.
    Asked(Decision),
    /// A person has a step done anew: it, and what came after it.
    Redo { step: Path, decision: Decision },
    /// A window goes back; every undo gets its turn.
    Window { window: Path, why: String },
    /// A guard tripped; the first undo that fails holds.
    Guard { guard: Path, why: String },
}

impl Mode {
    /// Of a taking back that a person asked for.
    pub(crate) fn of(reason: &UndoReason) -> Option<Self> {
        match reason {
            UndoReason::Asked { decision } => Some(Self::Asked(decision.clone())),
            UndoReason::Redo { step, decision } => Some(Self::Redo { step: step.clone(), decision: decision.clone() }),
            UndoReason::Window { .. } | UndoReason::Guard { .. } => None,
        }
    }

    /// Nothing wider has taken its place. A window has its turn before what is around it.
    fn is_going_on(&self, state: &RunState, scope: &Path) -> bool {
        let going_on = state.undoing.as_ref();
        matches!(self, Self::Window { .. })
            || going_on.is_some_and(|going_on| going_on.scope == *scope && going_on.reason == self.reason())
    }

    fn reason(&self) -> UndoReason {
        match self {
            Self::Asked(decision) => UndoReason::Asked { decision: decision.clone() },
            Self::Redo { step, decision } => UndoReason::Redo { step: step.clone(), decision: decision.clone() },
            Self::Window { window, why } => UndoReason::Window { window: window.clone(), why: why.clone() },
            Self::Guard { guard, why } => UndoReason::Guard { guard: guard.clone(), why: why.clone() },
        }
    }

    /// What is taken back, in its order.
    fn plan(&self, state: &RunState, scope: &Path) -> UndoPlan {
        match self {
            Self::Redo { step, .. } => redo_plan(state, step),
            Self::Asked(_) | Self::Window { .. } | Self::Guard { .. } => undo_plan(state, scope),
        }
    }
}

impl Shared {
    /// Takes back everything in `scope` since the last commit point. False where an undo holds.
    pub(crate) fn take_back(&self, scope: &Path, mode: &Mode) -> Result<bool, Unwind> {
        self.journal.transact(|state| {
            let began = Event::UndoBegan(UndoBegan { scope: scope.clone(), reason: mode.reason() });
            (if state.undoing.is_some() { vec![] } else { vec![began] }, ())
        });
        self.journal.flush()?;
        let in_window = matches!(mode, Mode::Window { .. });
        let mut whole = self.end_interrupted(scope)?;
        // Nothing is taken back beside an undo that an earlier engine began, in whatever order that was.
        let running: Vec<Arc<UndoStarted>> = self.journal.with(|state| {
            let steps = state.steps.iter().filter(|(path, _)| path.is_within(scope));
            steps.filter_map(|(_, step)| step.undo.running.clone()).collect()
        });
        running.iter().for_each(|running| self.end_undo(running));
        for item in self.journal.with(|state| mode.plan(state, scope)).items {
            if !whole && !in_window {
                break;
            }
            match self.undo_step(&item, (scope, mode)) {
                Ok(undone) => whole &= undone,
                // A wider taking back has taken its place, and goes on from here.
                Err(Unwind::Stopping) => return Ok(true),
                Err(unwind) => return Err(unwind),
            }
        }
        if whole {
            self.journal.transact(|state| {
                let finished = Event::UndoFinished { scope: scope.clone() };
                (mode.is_going_on(state, scope).then_some(finished).into_iter().collect(), ())
            });
            self.journal.flush()?;
        } else {
            self.changes.notify();
        }
        Ok(whole)
    }

    /// Proves that no attempt in the scope is alive, ending those that are. False where one cannot be proven.
    pub(crate) fn end_interrupted(&self, scope: &Path) -> Result<bool, Unwind> {
        self.end_open(|path| path.is_within(scope), "ended, to be taken back")
    }

    /// The same for the steps at these paths, in the order in which their attempts began; `why` is journaled.
    pub(crate) fn end_open(&self, which: impl Fn(&Path) -> bool, why: &str) -> Result<bool, Unwind> {
        let interrupted: Vec<Arc<AttemptStarted>> = self.journal.with(|state| {
            // Held and decided steps too: what a person was asked about may still be alive.
            let open = state.steps.iter().filter(|(path, _)| which(path));
            let mut open: Vec<_> = open.filter_map(|(_, step)| Some((step.last_seq, step.open.clone()?))).collect();
            open.sort_by_key(|(last_seq, _)| *last_seq);
            open.into_iter().map(|(_, started)| started).collect()
        });
        let mut whole = true;
        for started in interrupted {
            let mut context = self.context(&started.path, started.generation, started.attempt, Purpose::Act);
            context.timeout = started.timeout;
            if let Err(admission) = self.admit_secrets(&started.action) {
                whole = false;
                self.hold_undo(&started, HoldReason::Unprovable { why: admission.explain() });
                continue;
            }
            if let Handle::Run { run } = &started.handle {
                match self.end_child(run)? {
                    Ok(never_began) => self.ended(&started, never_began, why),
                    Err(stuck) => {
                        whole = false;
                        self.hold_undo(&started, HoldReason::Unprovable { why: stuck });
                    }
                }
                continue;
            }
            let never_began = match self.ports.executor.remains(&started.action, &started.handle, &context) {
                Remains::Running(running) => {
                    let cancel = Cancel::new();
                    cancel.fire(why);
                    running.wait(&cancel).is_err_and(|failed| failed.never_began)
                }
                Remains::Exited(result) => result.is_err_and(|failed| failed.never_began),
                Remains::Gone => false,
                Remains::NeverBegan => true,
                Remains::Unprovable(doubt) => {
                    whole = false;
                    self.hold_undo(&started, HoldReason::Unprovable { why: doubt });
                    continue;
                }
            };
            self.ended(&started, never_began, why);
        }
        Ok(whole)
    }

    fn ended(&self, started: &AttemptStarted, never_began: bool, why: &str) {
        self.journal.append([Event::AttemptFailed(Box::new(AttemptFailed {
            path: started.path.clone(),
            generation: started.generation,
            attempt: started.attempt,
            fingerprint: started.fingerprint,
            kind: started.kind,
            site: started.site.clone(),
            failure: Failure::new(FailureKind::Stopped, why),
            outcome: None,
            retry_at_us: None,
            never_began,
        }))]);
    }

    fn hold_undo(&self, started: &AttemptStarted, reason: HoldReason) {
        self.journal.append([Event::StepHeld(StepHeld {
            path: started.path.clone(),
            generation: started.generation,
            kind: started.kind,
            site: started.site.clone(),
            reason,
        })]);
    }

    /// Takes one step back. False where its undo holds.
    fn undo_step(&self, item: &UndoItem, whole: (&Path, &Mode)) -> Result<bool, Unwind> {
        let held = self.journal.with(|state| {
            // What may still be alive is not taken back under its feet.
            state.steps.get(&item.path).is_some_and(|step| step.undo.held.is_some() || step.open.is_some())
        });
        if held {
            return Ok(false);
        }
        for action in &item.actions {
            // Another value may be another place, and only a person can say that it is the same.
            if let Err(Admission::Hold(reason)) = self.admit_secrets(action) {
                return self.undo_holds(item, reason);
            }
            if let Some(failure) = self.perform_undo(item, action, whole)? {
                return self.undo_holds(item, HoldReason::UndoFailed { failure });
            }
        }
        self.journal.append([Event::StepUndone { path: item.path.clone(), generation: item.generation }]);
        Ok(true)
    }

    /// An undo was interrupted by a crash: nothing of it may be alive when it is performed again.
    fn end_undo(&self, running: &UndoStarted) {
        if let Handle::Run { .. } = running.handle {
            // Its own engine goes on with it, and it is waited for again.
            return;
        }
        let context = self.context(&running.path, running.generation, running.attempt, Purpose::Undo);
        if self.admit_secrets(&running.action).is_err() {
            return;
        }
        if let Remains::Running(alive) = self.ports.executor.remains(&running.action, &running.handle, &context) {
            // Undos are safe to perform twice; letting this one end is quicker than ending it.
            let _ = alive.wait(&Cancel::new());
        }
    }

    /// Performs one undo with its attempts. The failure of the last, where all fail.
    fn perform_undo(&self, item: &UndoItem, action: &Action, whole: (&Path, &Mode)) -> Result<Option<Failure>, Unwind> {
        // A child run has used up its own attempts, and holds for a person.
        let attempts = if matches!(action, Action::UndoRun { .. }) { 1 } else { UNDO_ATTEMPTS };
        let mut failure = None;
        for tries in 1..=attempts {
            let attempt =
                self.journal.with(|state| state.steps.get(&item.path).map_or(0, |step| step.undo.attempts)) + 1;
            match self.try_undo(item, (action, attempt), whole)? {
                Ok(()) => return Ok(None),
                Err(failed) => {
                    let pause = StdDuration::from_millis(UNDO_BACKOFF_MS << (tries - 1));
                    let again = tries < attempts;
                    let retry_at_us =
                        again.then(|| self.journal.now().wall_us.saturating_add_unsigned(pause.as_micros() as u64));
                    self.journal.append([Event::UndoFailed(UndoFailed {
                        path: item.path.clone(),
                        generation: item.generation,
                        attempt,
                        failure: failed.failure.clone(),
                        retry_at_us,
                    })]);
                    self.journal.flush()?;
                    failure = Some(failed.failure);
                    if again {
                        self.ports.clock.sleep(pause, &Cancel::new());
                    }
                }
            }
        }
        Ok(failure)
    }

    fn try_undo(
        &self,
        item: &UndoItem,
        (action, attempt): (&Action, u32),
        (scope, mode): (&Path, &Mode),
    ) -> Result<Result<(), ActionFailed>, Unwind> {
        if let Err(admission) = self.admit_secrets(action) {
            return Ok(Err(Failure::new(FailureKind::Action, admission.explain()).into()));
        }
        let intend = |handle| {
            let started = UndoStarted {
                path: item.path.clone(),
                generation: item.generation,
                attempt,
                action: action.clone(),
                handle,
            };
            let begins = self.journal.transact(|state| {
                let going_on = mode.is_going_on(state, scope);
                let started = going_on.then(|| Event::UndoStarted(Box::new(started)));
                (started.into_iter().collect(), going_on)
            });
            self.journal.flush()?;
            if begins { Ok(()) } else { Err(Unwind::Stopping) }
        };
        if let Action::UndoRun { run } = action {
            intend(Handle::Run { run: run.clone() })?;
            return Ok(self.undo_child(run)?.map_err(ActionFailed::from));
        }
        let mut context = self.context(&item.path, item.generation, attempt, Purpose::Undo);
        context.timeout = Some(UNDO_TIMEOUT);
        let prepared = match self.ports.executor.prepare(action, &context) {
            Ok(prepared) => prepared,
            Err(failure) => return Ok(Err(failure.into())),
        };
        intend(prepared.handle())?;
        Ok(prepared.perform(&Cancel::new()).map(|_| ()))
    }

    fn undo_holds(&self, item: &UndoItem, reason: HoldReason) -> Result<bool, Unwind> {
        let (kind, site) = self.journal.with(|state| {
            state.steps.get(&item.path).map_or_else(
                || (piton_core::request::StepKind::Step, piton_core::request::Site::default()),
                |step| (step.kind, step.site.clone()),
            )
        });
        self.journal.append([Event::StepHeld(StepHeld {
            path: item.path.clone(),
            generation: item.generation,
            kind,
            site,
            reason,
        })]);
        self.journal.flush()?;
        Ok(false)
    }
}

impl Admission {
    pub(crate) fn explain(&self) -> String {
        match self {
            Self::Failed(failure) => failure.message.clone(),
            Self::Hold(reason) => reason.to_string(),
        }
    }
}
