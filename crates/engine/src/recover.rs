//! After a crash: what became of an attempt that was interrupted.
//!
//! Owns the order of the questions: does its record say, does it still run, is it proven dead, does `ensures` hold,
//! may it be performed again. A person is asked only where none of these can tell.

use crate::attempt::Numbers;
use crate::checks::Look;
use crate::shared::{Admission, Shared};
use crate::step::{About, Done, Failed, interrupted};
use piton_core::Outcome;
use piton_core::event::{AttemptStarted, Handle, How};
use piton_core::hold::HoldReason;
use piton_core::outcome::Failure;
use piton_core::ports::{ActionFailed, Purpose, Remains, Unwind};
use piton_core::request::{Callbacks, StepRequest};

impl Shared {
    /// Journals what became of the attempt; `decide` goes on from there.
    pub(crate) fn recover(
        &self,
        about: About<'_>,
        request: &StepRequest,
        started: &AttemptStarted,
        callbacks: &mut dyn Callbacks,
    ) -> Result<(), Unwind> {
        self.watch_guards(about.scope)?;
        if let Handle::Run { run } = &started.handle {
            return self.follow_child(about, started, run);
        }
        // What it gave is what was intended then, whatever an edit has made of the step since.
        let about = About { fingerprint: started.fingerprint, ..about };
        // Its output is masked and its database reached with these.
        match self.admit_secrets(&started.action) {
            Ok(()) => {}
            Err(Admission::Hold(reason)) => return Err(self.hold(about, reason)?),
            Err(Admission::Failed(failure)) => {
                return Err(self.hold(about, HoldReason::Unprovable { why: failure.message })?);
            }
        }
        let mut context = self.context(about.path, started.generation, started.attempt, Purpose::Act);
        context.timeout = started.timeout;
        context.memory_bytes = request.memory_bytes;
        let registered = self.register(about.path);
        match self.ports.executor.remains(&started.action, &started.handle, &context) {
            Remains::Exited(result) => self.adopt(about, request, started, result, callbacks),
            Remains::Running(running) => {
                let result = running.wait(&registered.cancel);
                self.adopt(about, request, started, result, callbacks)
            }
            Remains::NeverBegan => {
                self.give_up_attempt(about, started, interrupted(), true);
                Ok(())
            }
            Remains::Unprovable(why) => Err(self.hold(about, HoldReason::Unprovable { why })?),
            Remains::Gone => self.probe(about, request, started, callbacks),
        }
    }

    /// The attempt ended by itself, under its supervisor: take its result as if the engine had been there.
    fn adopt(
        &self,
        about: About<'_>,
        request: &StepRequest,
        started: &AttemptStarted,
        result: Result<Outcome, ActionFailed>,
        callbacks: &mut dyn Callbacks,
    ) -> Result<(), Unwind> {
        let tries = self.journal.with(|state| {
            state.steps.get(about.path).map_or(1, |step| step.attempts.saturating_sub(step.forgiven)).max(1)
        });
        let numbers = Numbers { generation: started.generation, attempt: started.attempt, tries, untouched: false };
        match result {
            Ok(outcome) => self.finish_as(about, request, numbers, outcome, How::Adopted, callbacks)?,
            Err(failed) if failed.unknown => return self.probe(about, request, started, callbacks),
            Err(failed) => self.failed(about, request, numbers, failed.into(), callbacks)?,
        };
        Ok(())
    }

    /// Nothing of it is alive, and nobody knows what it did: the postcondition tells, else it is performed again where
    /// that is safe, else a person is asked.
    fn probe(
        &self,
        about: About<'_>,
        request: &StepRequest,
        started: &AttemptStarted,
        callbacks: &mut dyn Callbacks,
    ) -> Result<(), Unwind> {
        let registered = self.register(about.path);
        // Whole or not at all is no answer to which of the two it was: only a look that says "not yet" makes an atomic
        // action safe to perform again. Repeatable ones are safe whatever happened.
        let mut allowed = started.again.without_probe();
        let doubt = match &request.ensures {
            None => "it was interrupted, and it has no `ensures` that could tell".to_owned(),
            Some(ensures) => match self.settle(about.path, ensures, request.settle, callbacks, &registered.cancel)? {
                Look::Holds(_, evidence) => {
                    let note = "recovered: its postcondition holds; what the action itself gave is lost";
                    let outcome = Outcome { ok: true, notes: vec![note.to_owned()], ..Outcome::default() };
                    let attempt = started.attempt;
                    let done = Done { attempt, ..Done::unattempted(How::Recovered, Some(evidence)) };
                    self.succeeded(about, request, started.generation, outcome, done);
                    return Ok(());
                }
                Look::Hold(reason) => return Err(self.hold(about, reason)?),
                Look::DoesNot(evidence) => {
                    allowed = started.again.allowed();
                    format!(
                        "it was interrupted and may have done a part of it; {} gave {}",
                        evidence.check, evidence.saw
                    )
                }
                Look::CannotTell(failure, _) => {
                    format!("it was interrupted, and its `ensures` cannot be looked at: {failure}")
                }
            },
        };
        if allowed {
            self.give_up_attempt(about, started, interrupted(), false);
            return Ok(());
        }
        Err(self.hold(about, HoldReason::Unknown { why: doubt })?)
    }

    /// Journals that the attempt is over and another may follow at once.
    pub(crate) fn give_up_attempt(
        &self,
        about: About<'_>,
        started: &AttemptStarted,
        failure: Failure,
        never_began: bool,
    ) {
        let retry_at_us = Some(self.journal.now().wall_us);
        let about = About { fingerprint: started.fingerprint, ..about };
        let failed = Failed { never_began, ..Failed::never_began(failure) };
        self.journal.append([about.failed((started.generation, started.attempt), failed, retry_at_us)]);
    }
}
