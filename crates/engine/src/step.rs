//! A step, from the request to its outcome: asks `decide`, does what it says, asks again.
//!
//! Owns the loop, and what the ends of steps and attempts are journaled as. What an attempt is stands in `attempt`, what
//! is left of an interrupted one in `recover`.

use crate::shared::Shared;
use piton_core::action::Effect;
use piton_core::decide::{Decision, decide_at};
use piton_core::event::{AttemptFailed, Event, Evidence, How, StepHeld, StepSucceeded, Stored, UndoBegan, UndoReason};
use piton_core::hold::{Choice, HoldReason};
use piton_core::outcome::{Failure, FailureKind};
use piton_core::park::PARK_AFTER_US;
use piton_core::ports::{Cancel, Unwind};
use piton_core::request::{Callbacks, Site, StepKind, StepRequest};
use piton_core::scope::{Scope, ScopeKind};
use piton_core::state::Phase;
use piton_core::{Action, Digest, Outcome, Path};
use std::sync::Arc;

/// What a hold, a failure or a success is about.
#[derive(Clone, Copy)]
pub(crate) struct About<'a> {
    pub(crate) scope: &'a Arc<Scope>,
    pub(crate) path: &'a Path,
    pub(crate) kind: StepKind,
    pub(crate) site: &'a Site,
    pub(crate) fingerprint: Digest,
    /// What its action does; absent: it has none.
    pub(crate) effect: Option<Effect>,
}

/// What a success is journaled with.
pub(crate) struct Done {
    pub(crate) how: How,
    pub(crate) attempt: u32,
    pub(crate) undo: Option<Action>,
    /// What it did, where no intent says so.
    pub(crate) summary: Option<String>,
    pub(crate) evidence: Option<Evidence>,
}

impl Done {
    /// Without an attempt that began.
    pub(crate) fn unattempted(how: How, evidence: Option<Evidence>) -> Self {
        Self { how, attempt: 0, undo: None, summary: None, evidence }
    }
}

/// How an attempt failed, for the retry policy and the journal.
pub(crate) struct Failed {
    pub(crate) failure: Failure,
    pub(crate) outcome: Option<Outcome>,
    pub(crate) never_began: bool,
    /// Another attempt cannot help, or must not be made.
    pub(crate) is_final: bool,
}

impl Failed {
    /// Nothing of it was done.
    pub(crate) fn never_began(failure: Failure) -> Self {
        Self { failure, outcome: None, never_began: true, is_final: false }
    }
}

impl About<'_> {
    pub(crate) fn succeeded(&self, generation: u32, outcome: Stored<Outcome>, done: Done) -> Event {
        Event::StepSucceeded(Box::new(StepSucceeded {
            path: self.path.clone(),
            generation,
            attempt: done.attempt,
            fingerprint: self.fingerprint,
            kind: self.kind,
            effect: self.effect,
            site: self.site.clone(),
            how: done.how,
            outcome,
            undo: done.undo,
            summary: done.summary,
            evidence: done.evidence,
        }))
    }

    pub(crate) fn failed(&self, (generation, attempt): (u32, u32), failed: Failed, retry_at_us: Option<i64>) -> Event {
        Event::AttemptFailed(Box::new(AttemptFailed {
            path: self.path.clone(),
            generation,
            attempt,
            fingerprint: self.fingerprint,
            kind: self.kind,
            site: self.site.clone(),
            failure: failed.failure,
            outcome: failed.outcome.as_ref().map(Stored::seal),
            retry_at_us,
            never_began: failed.never_began,
        }))
    }
}

impl Shared {
    pub(crate) fn perform_step(
        &self,
        scope: &Arc<Scope>,
        request: &StepRequest,
        callbacks: &mut dyn Callbacks,
    ) -> Result<Stored<Outcome>, Unwind> {
        let about = About {
            scope,
            path: &request.path,
            kind: request.kind,
            site: &request.site,
            fingerprint: request.fingerprint(),
            effect: Some(request.action.effect()),
        };
        loop {
            self.stop_if_failing(scope)?;
            let now_us = self.journal.now().wall_us;
            match self.journal.with(|state| decide_at(state, scope, about.path, about.fingerprint, now_us)) {
                Decision::Answer(outcome) => {
                    self.answered.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    // Perhaps a sibling's, as with `env`, and not durable yet.
                    self.journal.depend_on_all();
                    return Ok(outcome);
                }
                Decision::Begin { generation, attempt, tries, untouched } => {
                    self.keep_behind_commit_points(about)?;
                    self.keep_to_plan(about, &request.action, || request.action.summary())?;
                    let numbers = crate::attempt::Numbers { generation, attempt, tries, untouched };
                    if let Some(outcome) = self.attempt(about, request, numbers, callbacks)? {
                        return Ok(outcome);
                    }
                }
                Decision::Recover(started) => self.recover(about, request, &started, callbacks)?,
                Decision::PauseUntil(at_us) => self.pause_until(about, at_us)?,
                Decision::Raise(failure) => return Err(Unwind::Failed { path: about.path.clone(), failure }),
                Decision::Accept { generation, attempt, how, outcome } => {
                    let ok = how == How::SaidDone;
                    // What a person says is done is what was intended, whatever an edit has made of the step since.
                    let known = self.journal.with(|state| state.steps.get(about.path).map(|step| step.fingerprint));
                    let fingerprint = known.filter(|_| ok).unwrap_or(about.fingerprint);
                    let about = About { fingerprint, ..about };
                    let outcome = outcome.unwrap_or_else(|| Stored::seal(&Outcome { ok, ..Outcome::default() }));
                    let summary = Some(request.action.summary());
                    let done = Done { how, attempt, undo: None, summary, evidence: None };
                    self.journal.append([about.succeeded(generation, outcome, done)]);
                }
                Decision::Redo => return Err(self.begin_redo(about.path)),
                Decision::Hold(reason) => return Err(self.hold(about, reason)?),
                Decision::Held => return Err(Unwind::Held),
                Decision::Stop => return Err(Unwind::Stopping),
            }
        }
    }

    /// Journals a hold; inside a window that has not passed its commit point the window goes back instead, since an
    /// open window never waits for a person.
    pub(crate) fn hold(&self, about: About<'_>, reason: HoldReason) -> Result<Unwind, Unwind> {
        if let Some(window) = self.going_back_window(about.scope) {
            self.go_back(&window, &format!("\"{}\": {reason}", about.path));
            return Ok(Unwind::Stopping);
        }
        let held = StepHeld {
            path: about.path.clone(),
            generation: self.journal.with(|state| state.next_generation(about.path)),
            kind: about.kind,
            site: about.site.clone(),
            reason,
        };
        self.journal.append([Event::StepHeld(held)]);
        self.journal.flush()?;
        self.changes.notify();
        Ok(Unwind::Held)
    }

    /// A person has the step done anew. What is to be taken back first is taken back before anything is evaluated again.
    pub(crate) fn begin_redo(&self, path: &Path) -> Unwind {
        self.journal.transact(|state| {
            let decided = state.steps.get(path).and_then(|step| match &step.phase {
                Phase::Decided { choice: Choice::Redo, decision, .. } => Some((**decision).clone()),
                _ => None,
            });
            let reason = decided.map(|decision| UndoReason::Redo { step: path.clone(), decision });
            let began = reason.filter(|_| state.undoing.is_none());
            (began.map(|reason| Event::UndoBegan(UndoBegan { scope: Path::root(), reason })).into_iter().collect(), ())
        });
        Unwind::Stopping
    }

    /// Sleeps until a retry is due, or parks; the sleep ends early when the run stops.
    fn pause_until(&self, about: About<'_>, at_us: i64) -> Result<(), Unwind> {
        // Nobody waits on a result that is not durable.
        self.journal.flush()?;
        let registered = self.register(about.path);
        loop {
            let now = self.journal.now().wall_us;
            if now >= at_us {
                return Ok(());
            }
            if at_us - now > PARK_AFTER_US && about.scope.window().is_none() {
                return Err(Unwind::Parked);
            }
            let left = std::time::Duration::from_micros(u64::try_from(at_us - now).unwrap_or(0));
            // In slices: the wall clock may jump, and a stopping run is noticed by asking `decide` again.
            if self.sleep_slice(left, &registered.cancel) || self.journal.with(|state| state.is_held()) {
                return Ok(());
            }
        }
    }

    /// Sleeps at most a second; true where cancelled.
    pub(crate) fn sleep_slice(&self, left: std::time::Duration, cancel: &Cancel) -> bool {
        self.ports.clock.sleep(left.min(std::time::Duration::from_secs(1)), cancel)
    }

    /// Only going back is recorded beside a store that failed; the run stops.
    pub(crate) fn store_failed(&self) -> Unwind {
        Unwind::Broken("the store failed while a window was open; going back is recorded beside it".to_owned())
    }

    /// Ends this branch where the store or a sibling's failure is already on its way to something that catches it.
    pub(crate) fn stop_if_failing(&self, scope: &Arc<Scope>) -> Result<(), Unwind> {
        if self.journal.on_side_log() {
            let Some(window) = scope.window() else { return Err(self.store_failed()) };
            self.go_back(&window.path, "the store has failed");
            return Err(Unwind::Stopping);
        }
        if !matches!(scope.kind, ScopeKind::Run) {
            let failing = crate::shared::lock(&self.failing);
            if failing.iter().any(|failed| scope.path.is_within(failed)) {
                return Err(Unwind::Stopping);
            }
        }
        Ok(())
    }
}

pub(crate) fn interrupted() -> Failure {
    Failure::new(
        FailureKind::Interrupted,
        "the engine died while it ran; nothing of it is alive, and it may be performed again",
    )
}
