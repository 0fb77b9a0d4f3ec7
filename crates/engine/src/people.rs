//! `approve`, `ask`, `manual`: people decide, and a branch waits for them.
//!
//! Owns what a question journals and what its answers become. Answers arrive through `inbox`; whether one is valid is
//! `core`'s to say.

use crate::checks::Look;
use crate::shared::Shared;
use crate::step::{About, Done, Failed};
use piton_core::decide::{PersonDecision, decide_person, end_of_failure};
use piton_core::event::{Answer, Event, How, PersonAnswered, PersonAsked, Stored};
use piton_core::hold::{Choice, HoldReason};
use piton_core::outcome::{Failure, FailureKind};
use piton_core::ports::Unwind;
use piton_core::request::{Ask, Callbacks, PersonRequest};
use piton_core::scope::Scope;
use piton_core::state::{Phase, Step};
use piton_core::{Digest, Outcome, Path, Value};
use std::sync::Arc;

impl Shared {
    pub(crate) fn run_person(
        &self,
        scope: &Arc<Scope>,
        request: &PersonRequest,
        callbacks: &mut dyn Callbacks,
    ) -> Result<Stored<Outcome>, Unwind> {
        let fingerprint = request.fingerprint();
        let about = About {
            scope,
            path: &request.path,
            kind: request.ask.kind(),
            site: &request.site,
            fingerprint,
            effect: None,
        };
        if scope.window().is_some() {
            let message = format!("{}: a window never waits for a person: ask before it opens", request.site);
            return Err(Unwind::Program(message));
        }
        loop {
            self.stop_if_failing(scope)?;
            let now = self.journal.now();
            match self.journal.with(|state| decide_person(state, scope, about.path, fingerprint, now)) {
                PersonDecision::Answer(outcome) => {
                    self.journal.depend_on_all();
                    return Ok(outcome);
                }
                PersonDecision::Ask => {
                    self.keep_behind_commit_points(about)?;
                    self.before_acting(scope)?;
                    self.keep_to_plan(about, &request.ask, || crate::plan::question(&request.ask))?;
                    if let Some(outcome) = self.ask(about, request, callbacks)? {
                        return Ok(outcome);
                    }
                }
                PersonDecision::Wait => {
                    self.before_acting(scope)?;
                    self.journal.flush()?;
                    return Err(Unwind::Parked);
                }
                PersonDecision::Settle(answers) => {
                    if let Some(outcome) = self.settle_person(about, request, &answers, callbacks)? {
                        return Ok(outcome);
                    }
                }
                PersonDecision::Raise(failure) if self.asks(about) => {
                    return Err(self.person_failed(about, failure)?);
                }
                PersonDecision::Raise(failure) => return Err(Unwind::Failed { path: about.path.clone(), failure }),
                PersonDecision::Hold(reason) => return Err(self.hold(about, reason)?),
                PersonDecision::Held => return Err(Unwind::Held),
                PersonDecision::Redo => return Err(self.begin_redo(about.path)),
                PersonDecision::Stop => return Err(Unwind::Stopping),
            }
        }
    }

    /// The question stands: its end is not journaled yet.
    fn asks(&self, about: About<'_>) -> bool {
        let asked = |step: &Step| matches!(step.phase, Phase::Asked { .. });
        self.journal.with(|state| state.steps.get(about.path).is_some_and(asked))
    }

    /// Journals the question. A manual step whose postcondition holds already is not asked.
    fn ask(
        &self,
        about: About<'_>,
        request: &PersonRequest,
        callbacks: &mut dyn Callbacks,
    ) -> Result<Option<Stored<Outcome>>, Unwind> {
        if let Some(ensures) = &request.ensures {
            let registered = self.register(about.path);
            let which = piton_core::request::Predicate::Ensures;
            if let Look::Holds(outcome, evidence) =
                self.look(about.path, ensures, which, callbacks, &registered.cancel)?
            {
                let done = Done::unattempted(How::AlreadyTrue, Some(evidence));
                return Ok(Some(self.person_done(about, outcome, done)));
            }
        }
        let expires_at_us = match &request.ask {
            Ask::Approve { expires: Some(expires), .. } => {
                Some(self.journal.now().wall_us.saturating_add_unsigned(expires.as_ms().saturating_mul(1000)))
            }
            _ => None,
        };
        let shown = self.journal.with(|state| {
            let runbook = state.runbook().map(|runbook| runbook.digest);
            Digest::of_json(&(&request.ask, about.path, runbook))
        });
        self.journal.append([Event::PersonAsked(Box::new(PersonAsked {
            path: about.path.clone(),
            fingerprint: about.fingerprint,
            site: about.site.clone(),
            ask: request.ask.clone(),
            shown,
            expires_at_us,
        }))]);
        self.journal.flush()?;
        Ok(None)
    }

    /// Enough was answered: `None` where a manual step turned out not to be done.
    fn settle_person(
        &self,
        about: About<'_>,
        request: &PersonRequest,
        answers: &[PersonAnswered],
        callbacks: &mut dyn Callbacks,
    ) -> Result<Option<Stored<Outcome>>, Unwind> {
        let mut evidence = None;
        // No answers: a person has waived it, whatever its postcondition says.
        if let Some(ensures) = request.ensures.as_ref().filter(|_| !answers.is_empty()) {
            let registered = self.register(about.path);
            match self.settle(about.path, ensures, request.settle, callbacks, &registered.cancel)? {
                Look::Holds(_, seen) => evidence = Some(seen),
                Look::Hold(reason) => return Err(self.hold(about, reason)?),
                Look::DoesNot(seen) | Look::CannotTell(_, seen) => {
                    let message = format!("said to be done, but {} gave {}", seen.check, seen.saw);
                    return Err(self.person_failed(about, Failure::new(FailureKind::Ensures, message))?);
                }
            }
        }
        let value = match (&request.ask, answers.first().map(|answer| &answer.answer)) {
            (_, Some(Answer::Fields { fields })) => Value::Struct(fields.clone()),
            (Ask::Approve { .. }, _) => {
                Value::List(answers.iter().map(|answer| Value::str(&answer.decision.by.name)).collect())
            }
            _ => Value::Bool(true),
        };
        let how = if answers.is_empty() { self.decided_how(about.path) } else { How::Performed };
        let outcome = Outcome { ok: true, value: Some(value), ..Outcome::default() };
        Ok(Some(self.person_done(about, outcome, Done::unattempted(how, evidence))))
    }

    /// How a person settled the step without answering its question.
    fn decided_how(&self, path: &Path) -> How {
        self.journal.with(|state| match state.steps.get(path).map(|step| &step.phase) {
            Some(Phase::Decided { choice: Choice::Keep, .. }) => How::Kept,
            Some(Phase::Decided { choice: Choice::Done, .. }) => How::SaidDone,
            _ => How::Waived,
        })
    }

    fn person_done(&self, about: About<'_>, outcome: Outcome, done: Done) -> Stored<Outcome> {
        let generation = self.journal.with(|state| state.next_generation(about.path));
        let outcome = Stored::seal(&outcome);
        self.journal.append([about.succeeded(generation, outcome.clone(), done)]);
        outcome
    }

    /// A rejection, an expiry, a manual step that is not done: a failure like any other.
    fn person_failed(&self, about: About<'_>, failure: Failure) -> Result<Unwind, Unwind> {
        let numbers = self.journal.with(|state| {
            let attempts = state.steps.get(about.path).map_or(0, |step| step.attempts);
            (state.next_generation(about.path), attempts.saturating_add(1))
        });
        self.journal.append([about.failed(numbers, Failed::never_began(failure.clone()), None)]);
        match self.journal.with(|state| end_of_failure(state, about.scope, &failure)) {
            piton_core::decide::Decision::Hold(_) => self.hold(about, HoldReason::Failed { failure }),
            _ => Ok(Unwind::Failed { path: about.path.clone(), failure }),
        }
    }
}
