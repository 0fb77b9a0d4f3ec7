//! One attempt of a step: requires, already true, intent, action, ensures.
//!
//! Owns the order of these and what each journals. Rule 1 lives here: a write's `AttemptStarted`, with its undo, is
//! durable before it is performed.

use crate::checks::Look;
use crate::shared::{Admission, Shared};
use crate::step::{About, Done, Failed};
use piton_core::action::Effect;
use piton_core::event::{Again, AttemptStarted, Event, Evidence, Handle, How, Stored};
use piton_core::outcome::{Failure, FailureKind};
use piton_core::ports::{ActionFailed, Prepared, Purpose, Unwind};
use piton_core::request::{Callbacks, Check, Predicate, StepKind, StepRequest, UndoForm};
use piton_core::{Action, Duration, Outcome};

#[derive(Clone, Copy)]
pub(crate) struct Numbers {
    pub(crate) generation: u32,
    pub(crate) attempt: u32,
    /// This attempt's number for the retry policy, from 1.
    pub(crate) tries: u32,
    /// No attempt of this generation may have had an effect.
    pub(crate) untouched: bool,
}

impl From<ActionFailed> for Failed {
    fn from(failed: ActionFailed) -> Self {
        let ActionFailed { failure, outcome, never_began, .. } = failed;
        let is_final = failure.kind == FailureKind::Stopped;
        Self { failure, outcome, never_began, is_final }
    }
}

type Attempted = Result<Option<Stored<Outcome>>, Unwind>;

impl Shared {
    /// Makes an attempt. `None`: what it journaled is for `decide` to say more about.
    pub(crate) fn attempt(
        &self,
        about: About<'_>,
        request: &StepRequest,
        numbers: Numbers,
        callbacks: &mut dyn Callbacks,
    ) -> Attempted {
        self.before_acting(about.scope)?;
        if numbers.untouched
            && let Some(end) = self.before(about, request, numbers, callbacks)?
        {
            return end;
        }
        if let Action::Run(_) = *request.action {
            // Its secrets are references here; it opens them itself.
            return self.begin_child(about, request, numbers).map(|()| None);
        }
        match self.admit_secrets(&request.action) {
            Ok(()) => {}
            Err(Admission::Hold(reason)) => return Err(self.hold(about, reason)?),
            Err(Admission::Failed(failure)) => {
                return self.failed(about, request, numbers, Failed::never_began(failure), callbacks);
            }
        }
        if request.action.effect() == Effect::Read {
            self.read(about, request, numbers, callbacks)
        } else {
            self.write(about, request, numbers, callbacks)
        }
    }

    /// `requires`, and `ensures` before anything is done. `Some`: the attempt ends here.
    fn before(
        &self,
        about: About<'_>,
        request: &StepRequest,
        numbers: Numbers,
        callbacks: &mut dyn Callbacks,
    ) -> Result<Option<Attempted>, Unwind> {
        let registered = self.register(about.path);
        if let Some(requires) = &request.requires {
            let failure = match self.look(about.path, requires, Predicate::Requires, callbacks, &registered.cancel)? {
                Look::Holds(..) => None,
                Look::Hold(reason) => return Err(self.hold(about, reason)?),
                Look::DoesNot(evidence) => Some(unmet("requires", &evidence, FailureKind::Requires)),
                Look::CannotTell(failure, _) => Some(failure),
            };
            if let Some(failure) = failure {
                let failed = Failed { is_final: true, ..Failed::never_began(failure) };
                return Ok(Some(self.failed(about, request, numbers, failed, callbacks)));
            }
        }
        // A read's `ensures` is about its own outcome; only a write can be already true.
        let Some(ensures) = request.ensures.as_ref().filter(|_| request.action.effect() == Effect::Write) else {
            return Ok(None);
        };
        match self.look(about.path, ensures, Predicate::Ensures, callbacks, &registered.cancel)? {
            Look::Holds(outcome, evidence) => {
                let done = Done::unattempted(How::AlreadyTrue, Some(evidence));
                Ok(Some(Ok(Some(self.succeeded(about, request, numbers.generation, outcome, done)))))
            }
            Look::Hold(reason) => Err(self.hold(about, reason)?),
            Look::DoesNot(_) | Look::CannotTell(..) => Ok(None),
        }
    }

    fn read(
        &self,
        about: About<'_>,
        request: &StepRequest,
        numbers: Numbers,
        callbacks: &mut dyn Callbacks,
    ) -> Attempted {
        self.open_window(about.scope)?;
        self.journal.flush_own()?;
        let registered = self.register(about.path);
        let mut context = self.context(about.path, numbers.generation, numbers.attempt, Purpose::Act);
        context.timeout = request.timeout;
        context.memory_bytes = request.memory_bytes;
        let result = self
            .ports
            .executor
            .prepare(&request.action, &context)
            .map_err(ActionFailed::from)
            .and_then(|prepared| prepared.perform(&registered.cancel));
        match result {
            Ok(outcome) => {
                if let Some(failure) = expectation(request, &outcome, callbacks) {
                    let failed = Failed { failure, outcome: Some(outcome), never_began: true, is_final: false };
                    return self.failed(about, request, numbers, failed, callbacks);
                }
                self.finish(about, request, numbers, outcome, callbacks)
            }
            Err(failed) => {
                let mut failed = Failed { never_began: true, ..failed.into() };
                if request.kind == StepKind::Expect {
                    failed.failure.hint = request.hint.clone().or(failed.failure.hint);
                }
                self.failed(about, request, numbers, failed, callbacks)
            }
        }
    }

    fn write(
        &self,
        about: About<'_>,
        request: &StepRequest,
        numbers: Numbers,
        callbacks: &mut dyn Callbacks,
    ) -> Attempted {
        let mut context = self.context(about.path, numbers.generation, numbers.attempt, Purpose::Act);
        context.timeout = request.timeout;
        context.memory_bytes = request.memory_bytes;
        if request.undo == UndoForm::Inverse {
            // It looks at the former state and keeps it: a read, and like one after what it depends on.
            self.journal.flush_own()?;
        }
        let ready = self
            .ports
            .executor
            .prepare(&request.action, &context)
            .and_then(|mut prepared| Ok((undo_before(request, &mut *prepared, callbacks)?, prepared)));
        let (undo, prepared) = match ready {
            Ok(ready) => ready,
            Err(failure) => return self.failed(about, request, numbers, Failed::never_began(failure), callbacks),
        };
        if let Some(undo) = &undo {
            // Its secrets are masked in what follows, and noticed when they change before it is needed.
            match self.admit_secrets(undo) {
                Ok(()) => {}
                Err(Admission::Hold(reason)) => return Err(self.hold(about, reason)?),
                Err(Admission::Failed(failure)) => {
                    return self.failed(about, request, numbers, Failed::never_began(failure), callbacks);
                }
            }
        }
        let again = match (prepared.atomic(), request.repeatable || request.action.is_idempotent()) {
            (_, true) => Again::Repeatable,
            (true, false) => Again::Atomic,
            (false, false) => Again::Never,
        };
        let registered = self.register(about.path);
        if !self.intend(about, request, numbers, (undo, prepared.handle(), again))? {
            return Ok(None);
        }
        match prepared.perform(&registered.cancel) {
            Ok(outcome) => self.finish(about, request, numbers, outcome, callbacks),
            // The reply was lost: what it did is found out as after a crash.
            Err(failed) if failed.unknown => Ok(None),
            Err(failed) => self.failed(about, request, numbers, failed.into(), callbacks),
        }
    }

    /// Journals the intent durably. False where the run has stopped starting things meanwhile.
    pub(crate) fn intend(
        &self,
        about: About<'_>,
        request: &StepRequest,
        numbers: Numbers,
        (undo, handle, again): (Option<Action>, Handle, Again),
    ) -> Result<bool, Unwind> {
        self.open_window(about.scope)?;
        let started = AttemptStarted {
            path: about.path.clone(),
            generation: numbers.generation,
            attempt: numbers.attempt,
            fingerprint: about.fingerprint,
            kind: about.kind,
            site: about.site.clone(),
            action: (*request.action).clone(),
            undo,
            handle,
            again,
            timeout: request.timeout,
        };
        let event = Event::AttemptStarted(Box::new(started.clone()));
        let go = self.journal.transact(|state| {
            if piton_core::decide::may_act(state, about.scope, about.path) {
                (vec![event], true)
            } else {
                (Vec::new(), false)
            }
        });
        self.journal.flush()?;
        if go && self.journal.on_side_log() {
            // Its intent stands beside a store that failed, where only going back may be recorded.
            let failure = Failure::new(FailureKind::Stopped, "the store has failed");
            self.give_up_attempt(about, &started, failure, true);
            return Ok(false);
        }
        Ok(go)
    }

    fn finish(
        &self,
        about: About<'_>,
        request: &StepRequest,
        numbers: Numbers,
        outcome: Outcome,
        callbacks: &mut dyn Callbacks,
    ) -> Attempted {
        self.finish_as(about, request, numbers, outcome, How::Performed, callbacks)
    }

    /// After the action succeeded: the postcondition, then the success.
    pub(crate) fn finish_as(
        &self,
        about: About<'_>,
        request: &StepRequest,
        numbers: Numbers,
        outcome: Outcome,
        how: How,
        callbacks: &mut dyn Callbacks,
    ) -> Attempted {
        let evidence = match self.hold_true(about, request, callbacks)? {
            Ok(evidence) => evidence,
            Err(failure) => {
                let failed = Failed { failure, outcome: Some(outcome), never_began: false, is_final: false };
                return self.failed(about, request, numbers, failed, callbacks);
            }
        };
        let undo = match undo_after(request, &outcome, callbacks) {
            Ok(undo) => undo,
            Err(failure) => {
                let failed = Failed { failure, outcome: Some(outcome), never_began: false, is_final: true };
                return self.failed(about, request, numbers, failed, callbacks);
            }
        };
        let done = Done { how, attempt: numbers.attempt, undo, summary: None, evidence };
        Ok(Some(self.succeeded(about, request, numbers.generation, outcome, done)))
    }

    /// Looks at `ensures` until it holds or its time to settle is over.
    fn hold_true(
        &self,
        about: About<'_>,
        request: &StepRequest,
        callbacks: &mut dyn Callbacks,
    ) -> Result<Result<Option<Evidence>, Failure>, Unwind> {
        let Some(ensures) = &request.ensures else { return Ok(Ok(None)) };
        let registered = self.register(about.path);
        Ok(match self.settle(about.path, ensures, request.settle, callbacks, &registered.cancel)? {
            Look::Holds(_, evidence) => Ok(Some(evidence)),
            Look::DoesNot(evidence) => Err(unmet("ensures", &evidence, FailureKind::Ensures)),
            Look::CannotTell(failure, _) => Err(failure),
            Look::Hold(reason) => return Err(self.hold(about, reason)?),
        })
    }

    /// Journals a success. It becomes durable with whatever is flushed next.
    pub(crate) fn succeeded(
        &self,
        about: About<'_>,
        request: &StepRequest,
        generation: u32,
        outcome: Outcome,
        done: Done,
    ) -> Stored<Outcome> {
        let intended = done.attempt > 0 && request.action.effect() == Effect::Write;
        let summary = (!intended).then(|| request.action.summary());
        let outcome = Stored::seal(&outcome);
        self.journal.append([about.succeeded(generation, outcome.clone(), Done { summary, ..done })]);
        outcome
    }

    /// Journals a failed attempt, with the time of the next where the policy has one.
    pub(crate) fn failed(
        &self,
        about: About<'_>,
        request: &StepRequest,
        numbers: Numbers,
        failed: Failed,
        callbacks: &mut dyn Callbacks,
    ) -> Attempted {
        let wanted = !failed.is_final && numbers.tries <= request.retry.times;
        let agreed = wanted
            && (!request.retry.has_predicate
                || callbacks.predicate(Predicate::Retry, failed.outcome.as_ref().unwrap_or(&Outcome::default()))
                    == Ok(true));
        let retry_at_us = agreed.then(|| {
            let pause = request.retry.pause(numbers.tries, &self.salt(about.path));
            self.journal.now().wall_us.saturating_add_unsigned(us(pause))
        });
        self.journal.append([about.failed((numbers.generation, numbers.attempt), failed, retry_at_us)]);
        Ok(None)
    }
}

fn us(duration: Duration) -> u64 {
    duration.as_ms().saturating_mul(1000)
}

pub(crate) fn unmet(what: &str, evidence: &Evidence, kind: FailureKind) -> Failure {
    Failure::new(kind, format!("its {what} does not hold: {} gave {}", evidence.check, evidence.saw))
}

/// `expect`: its predicate, or the outcome's own truth.
pub(crate) fn expectation(request: &StepRequest, outcome: &Outcome, callbacks: &mut dyn Callbacks) -> Option<Failure> {
    if request.kind != StepKind::Expect {
        return None;
    }
    let check = Check { action: (*request.action).clone(), has_predicate: request.has_predicate };
    let holds = if check.has_predicate { callbacks.predicate(Predicate::Check, outcome) } else { Ok(outcome.holds()) };
    let mut failure = match holds {
        Ok(true) => return None,
        Ok(false) => Failure::new(
            FailureKind::Expect,
            format!("expected otherwise: {} gave {}", check.action.summary(), outcome.summary()),
        ),
        Err(failure) => failure,
    };
    failure.hint = request.hint.clone().or(failure.hint);
    Some(failure)
}

fn undo_before(
    request: &StepRequest,
    prepared: &mut dyn Prepared,
    callbacks: &mut dyn Callbacks,
) -> Result<Option<Action>, Failure> {
    match request.undo {
        UndoForm::None => Ok(None),
        UndoForm::Asked => callbacks.undo(None),
        UndoForm::Inverse => match prepared.inverse()? {
            Some(undo) => Ok(Some(undo)),
            None => Err(Failure::new(
                FailureKind::Action,
                format!("inverse() cannot capture the former state of {}: declare its undo", request.action.verb()),
            )),
        },
    }
}

fn undo_after(
    request: &StepRequest,
    outcome: &Outcome,
    callbacks: &mut dyn Callbacks,
) -> Result<Option<Action>, Failure> {
    match request.undo {
        UndoForm::Asked => callbacks.undo(Some(outcome)),
        UndoForm::None | UndoForm::Inverse => Ok(None),
    }
}
