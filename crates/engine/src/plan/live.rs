//! What a planner performs: reads and checks, each with a time of its own.
//!
//! Owns that nothing but a read is performed while planning. Never decides whether one may be: the host does.

use super::Planner;
use super::host::About;
use crate::attempt::{expectation, unmet};
use crate::checks::{LOOK_TIMEOUT, Look, look_once};
use piton_core::action::Effect;
use piton_core::event::Evidence;
use piton_core::hole;
use piton_core::ids::RunId;
use piton_core::outcome::{Failure, FailureKind};
use piton_core::ports::{ActionFailed, AttemptContext, Purpose};
use piton_core::request::{Callbacks, Check, Predicate, StepKind, StepRequest};
use piton_core::{Action, Outcome, Path};
use std::sync::atomic::Ordering;

#[allow(clippy::large_enum_variant, reason = "one at a time, never stored")]
pub(super) enum Live {
    Holds(Outcome),
    DoesNot(Failure),
    /// It may not be looked at, or the look failed.
    Unseen,
}

impl Planner {
    /// Performs a step that reads.
    pub(super) fn perform(&self, request: &StepRequest, callbacks: &mut dyn Callbacks) -> Result<Outcome, Failure> {
        let mut context = self.context(&request.path);
        context.timeout = request.timeout.or(Some(LOOK_TIMEOUT));
        context.memory_bytes = request.memory_bytes;
        let result = self.admit(&request.action).and_then(|()| {
            let prepared = self.planning.executor.prepare(&request.action, &context)?;
            prepared.perform(&self.planning.cancel).map_err(|failed: ActionFailed| failed.failure)
        });
        match result {
            Ok(outcome) => match expectation(request, &outcome, callbacks) {
                Some(failure) => Err(failure),
                None => Ok(outcome),
            },
            Err(mut failure) => {
                if request.kind == StepKind::Expect {
                    failure.hint = request.hint.clone().or(failure.hint);
                }
                Err(failure)
            }
        }
    }

    /// Looks at a check, where reads still see the world as a run would.
    pub(super) fn look(
        &self,
        about: About<'_>,
        check: &Check,
        which: Predicate,
        callbacks: &mut dyn Callbacks,
    ) -> Live {
        let text = serde_json::to_string(&check.action).unwrap_or_default();
        let reads = check.action.effect() == Effect::Read && hole::first(&text).is_none();
        if !reads || !self.sees(about.scope) || self.admit(&check.action).is_err() {
            return Live::Unseen;
        }
        let context = self.context(about.path);
        match look_once(&*self.planning.executor, context, check, which, callbacks, &self.planning.cancel) {
            Look::Holds(outcome, _) => Live::Holds(outcome),
            Look::DoesNot(evidence) if which == Predicate::Requires => {
                Live::DoesNot(unmet("requires", &evidence, FailureKind::Requires))
            }
            Look::DoesNot(_) | Look::CannotTell(..) | Look::Hold(_) => Live::Unseen,
        }
    }

    /// What a postcondition sees that does not hold now; one that cannot be looked at does not hold either.
    pub(super) fn denied(&self, about: About<'_>, check: &Check, callbacks: &mut dyn Callbacks) -> Option<Evidence> {
        let evidence = |saw: &str| Some(Evidence { check: check.action.summary(), saw: saw.to_owned() });
        if let Err(failure) = self.admit(&check.action) {
            return evidence(&failure.message);
        }
        let (context, cancel) = (self.context(about.path), &self.planning.cancel);
        match look_once(&*self.planning.executor, context, check, Predicate::Ensures, callbacks, cancel) {
            Look::Holds(..) => None,
            Look::DoesNot(evidence) => Some(evidence),
            Look::CannotTell(failure, _) => evidence(&failure.message),
            Look::Hold(_) => evidence("a secret of another value than when this run first used it"),
        }
    }

    /// Opens the action's secrets, so that they are masked in what comes back.
    fn admit(&self, action: &Action) -> Result<(), Failure> {
        action.secrets().into_iter().try_for_each(|secret| self.planning.vault.admit(secret).map(drop))
    }

    fn context(&self, path: &Path) -> AttemptContext {
        AttemptContext {
            // No run: its directory is a temporary one.
            run: RunId::from_random(0),
            run_dir: self.planning.run_dir.clone(),
            root: self.planning.root.clone(),
            path: path.clone(),
            generation: 0,
            attempt: self.looks.fetch_add(1, Ordering::Relaxed),
            purpose: Purpose::Look,
            timeout: None,
            memory_bytes: None,
        }
    }
}
