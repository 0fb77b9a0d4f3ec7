//! `wait` and `poll`: durable timers.
//!
//! Owns what they journal: the due time at the start, the last look at the end. A crash in between loses no time: the
//! due time stands in the journal.

use crate::checks::Look;
use crate::shared::Shared;
use crate::step::{About, Done, Failed};
use piton_core::action::Effect;
use piton_core::decide::{Decision, decide};
use piton_core::event::{Event, How, Stored, TimerSet};
use piton_core::outcome::{Failure, FailureKind};
use piton_core::park::PARK_AFTER_US;
use piton_core::ports::Unwind;
use piton_core::request::{Callbacks, PollRequest, Predicate, StepKind, WaitRequest};
use piton_core::scope::Scope;
use piton_core::state::Phase;
use piton_core::{Duration, Outcome};
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration as StdDuration;

/// Looks of a poll come at least this far apart.
const MIN_POLL_PAUSE: StdDuration = StdDuration::from_millis(5);

impl Shared {
    pub(crate) fn run_wait(&self, scope: &Arc<Scope>, request: &WaitRequest) -> Result<(), Unwind> {
        let fingerprint = request.fingerprint();
        let about =
            About { scope, path: &request.path, kind: StepKind::Wait, site: &request.site, fingerprint, effect: None };
        let summary = || format!("wait {}", request.duration);
        let Some(due_at_us) = self.timer(about, request.duration, &request.duration, summary)? else {
            return Ok(());
        };
        self.journal.flush()?;
        let registered = self.register(about.path);
        loop {
            let left_us = due_at_us.saturating_sub(self.journal.now().wall_us);
            if left_us <= 0 {
                break;
            }
            let left = StdDuration::from_micros(u64::try_from(left_us).unwrap_or(0));
            if left_us > PARK_AFTER_US && scope.window().is_none() {
                return Err(Unwind::Parked);
            }
            let stop = self.sleep_slice(left, &registered.cancel)
                || !self.journal.with(|state| piton_core::decide::may_act(state, scope, about.path));
            if stop {
                return Err(Unwind::Stopping);
            }
        }
        self.timer_done(about, Outcome { ok: true, ..Outcome::default() }, format!("wait {}", request.duration), None);
        Ok(())
    }

    pub(crate) fn run_poll(
        &self,
        scope: &Arc<Scope>,
        request: &PollRequest,
        callbacks: &mut dyn Callbacks,
    ) -> Result<Stored<Outcome>, Unwind> {
        let fingerprint = request.fingerprint();
        let about = About {
            scope,
            path: &request.path,
            kind: StepKind::Poll,
            site: &request.site,
            fingerprint,
            effect: Some(Effect::Read),
        };
        let action = &request.check.action;
        let pause = request.every.to_std().max(MIN_POLL_PAUSE);
        let parked_until_us = self.journal.next_look_us(about.path);
        // Before the timer is set: what is kept with it says when somebody looks, should this engine die.
        self.journal.look_next(about.path, parked_until_us.or_else(|| Some(self.after(pause))));
        let Some(due_at_us) = self.timer(about, request.timeout, action, || action.summary())? else {
            self.journal.look_next(about.path, None);
            let outcome = self.journal.with(|state| match state.steps.get(about.path).map(|step| &step.phase) {
                Some(Phase::Succeeded { outcome, .. }) => Some(outcome.clone()),
                _ => None,
            });
            return outcome.ok_or_else(|| Unwind::Broken("a poll's outcome is missing".into()));
        };
        self.open_window(scope)?;
        let parks = pause > StdDuration::from_micros(PARK_AFTER_US.unsigned_abs()) && scope.window().is_none();
        let now_us = self.journal.now().wall_us;
        if parks && now_us < due_at_us && parked_until_us.is_some_and(|until_us| now_us < until_us) {
            // Woken for something else.
            self.journal.flush()?;
            return Err(Unwind::Parked);
        }
        let registered = self.register(about.path);
        loop {
            let (saw, look) =
                match self.look(about.path, &request.check, Predicate::Check, callbacks, &registered.cancel)? {
                    Look::Holds(outcome, evidence) => {
                        let outcome = self.timer_done(about, outcome, request.check.action.summary(), Some(evidence));
                        self.journal.look_next(about.path, None);
                        return Ok(outcome);
                    }
                    Look::Hold(reason) => return Err(self.hold(about, reason)?),
                    Look::DoesNot(evidence) => (evidence.saw, None),
                    Look::CannotTell(failure, evidence) => (evidence.saw, Some(failure)),
                };
            if registered.cancel.fired()
                || !self.journal.with(|state| piton_core::decide::may_act(state, scope, about.path))
            {
                return Err(Unwind::Stopping);
            }
            let left_us = due_at_us.saturating_sub(self.journal.now().wall_us);
            if left_us <= 0 {
                return self.poll_expired(about, request, &saw, look);
            }
            let left = StdDuration::from_micros(u64::try_from(left_us).unwrap_or(0));
            self.journal.look_next(about.path, Some(self.after(pause.min(left))));
            if parks {
                return Err(Unwind::Parked);
            }
            self.ports.clock.sleep(pause.min(left), &registered.cancel);
        }
    }

    fn after(&self, pause: StdDuration) -> i64 {
        self.journal.now().wall_us.saturating_add(i64::try_from(pause.as_micros()).unwrap_or(i64::MAX))
    }

    /// The poll's time is over: a failure like any other, which an `attempt` may catch.
    fn poll_expired(
        &self,
        about: About<'_>,
        request: &PollRequest,
        saw: &str,
        cause: Option<Failure>,
    ) -> Result<Stored<Outcome>, Unwind> {
        self.journal.look_next(about.path, None);
        let why = cause.map_or_else(|| format!("last seen: {saw}"), |failure| failure.message);
        let failure = Failure::new(
            FailureKind::Expired,
            format!("it did not come true within {}: {} ({why})", request.timeout, request.check.action.summary()),
        );
        let numbers = self.journal.with(|state| {
            state.steps.get(about.path).map_or((1, 1), |step| (step.generation, step.attempts.saturating_add(1)))
        });
        self.journal.append([about.failed(numbers, Failed::never_began(failure.clone()), None)]);
        match self.journal.with(|state| piton_core::decide::end_of_failure(state, about.scope, &failure)) {
            Decision::Hold(reason) => Err(self.hold(about, reason)?),
            _ => Err(Unwind::Failed { path: about.path.clone(), failure }),
        }
    }

    /// When the timer is due; `None`: it is done. Sets it where it is not set.
    fn timer<T: Serialize>(
        &self,
        about: About<'_>,
        duration: Duration,
        action: &T,
        summary: impl FnOnce() -> String,
    ) -> Result<Option<i64>, Unwind> {
        self.stop_if_failing(about.scope)?;
        let set = self.journal.with(|state| match state.steps.get(about.path).map(|step| &step.phase) {
            Some(Phase::Timer(timer)) if timer.fingerprint == about.fingerprint => Some(timer.due_at_us),
            _ => None,
        });
        let decision = self.journal.with(|state| decide(state, about.scope, about.path, about.fingerprint));
        if let Decision::Begin { .. } = decision {
            self.before_acting(about.scope)?;
        }
        match (decision, set) {
            (Decision::Answer(_), _) => {
                self.journal.depend_on_all();
                Ok(None)
            }
            (Decision::Begin { .. }, Some(due_at_us)) => Ok(Some(due_at_us)),
            // `PauseUntil`: it had failed as another kind of step.
            (Decision::Begin { .. } | Decision::PauseUntil(_), None) => {
                self.keep_behind_commit_points(about)?;
                self.keep_to_plan(about, action, summary)?;
                self.open_window(about.scope)?;
                let due_at_us =
                    self.journal.now().wall_us.saturating_add_unsigned(duration.as_ms().saturating_mul(1000));
                self.journal.append([Event::TimerSet(TimerSet {
                    path: about.path.clone(),
                    kind: about.kind,
                    fingerprint: about.fingerprint,
                    site: about.site.clone(),
                    due_at_us,
                })]);
                Ok(Some(due_at_us))
            }
            (Decision::Accept { how, outcome, .. }, _) => {
                let outcome = outcome.and_then(|outcome| outcome.open().ok());
                let outcome = outcome.unwrap_or_else(|| Outcome { ok: true, ..Outcome::default() });
                self.timer_event(about, outcome, Done::unattempted(how, None));
                Ok(None)
            }
            (Decision::Raise(failure), _) => Err(Unwind::Failed { path: about.path.clone(), failure }),
            (Decision::Hold(reason), _) => Err(self.hold(about, reason)?),
            (Decision::Held, _) => Err(Unwind::Held),
            (Decision::Redo, _) => Err(self.begin_redo(about.path)),
            (Decision::Recover(_), _) => Err(self.hold(about, piton_core::decide::overtaken_kind())?),
            (Decision::PauseUntil(_) | Decision::Stop, _) => Err(Unwind::Stopping),
        }
    }

    fn timer_done(
        &self,
        about: About<'_>,
        outcome: Outcome,
        summary: String,
        evidence: Option<piton_core::event::Evidence>,
    ) -> Stored<Outcome> {
        let done = Done { summary: Some(summary), ..Done::unattempted(How::Performed, evidence) };
        self.timer_event(about, outcome, done)
    }

    fn timer_event(&self, about: About<'_>, outcome: Outcome, done: Done) -> Stored<Outcome> {
        let generation = self.journal.with(|state| state.next_generation(about.path));
        let outcome = Stored::seal(&outcome);
        self.journal.append([about.succeeded(generation, outcome.clone(), done)]);
        outcome
    }
}
