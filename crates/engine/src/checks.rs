//! Looking: evaluates `requires`, `ensures`, `expect` and polls.
//!
//! Owns how a check's action and the author's predicate make one answer. Looks need no intent and are not journaled
//! one by one; what a look saw stands in the event it leads to.

use crate::shared::{Admission, Shared};
use piton_core::event::Evidence;
use piton_core::hold::HoldReason;
use piton_core::outcome::Failure;
use piton_core::ports::{ActionFailed, AttemptContext, Cancel, Executor, Unwind};
use piton_core::request::{Callbacks, Check, Predicate};
use piton_core::{Duration, Outcome, Path};
use std::time::Duration as StdDuration;

/// First pause between two looks at a postcondition; doubles up to `LAST_PAUSE`.
const FIRST_PAUSE: StdDuration = StdDuration::from_millis(20);
const LAST_PAUSE: StdDuration = StdDuration::from_secs(1);
/// A single look may take this long.
pub(crate) const LOOK_TIMEOUT: Duration = Duration::from_secs(60);

#[allow(clippy::large_enum_variant, reason = "one at a time, never stored")]
pub(crate) enum Look {
    Holds(Outcome, Evidence),
    DoesNot(Evidence),
    /// The look itself failed: nothing is known.
    CannotTell(Failure, Evidence),
    /// A secret has another value than before.
    Hold(HoldReason),
}

impl Shared {
    /// One look.
    pub(crate) fn look(
        &self,
        path: &Path,
        check: &Check,
        which: Predicate,
        callbacks: &mut dyn Callbacks,
        cancel: &Cancel,
    ) -> Result<Look, Unwind> {
        match self.admit_secrets(&check.action) {
            Ok(()) => {}
            Err(Admission::Failed(failure)) => {
                return Ok(Look::CannotTell(failure.clone(), saw(check, &failure.message)));
            }
            Err(Admission::Hold(reason)) => return Ok(Look::Hold(reason)),
        }
        // What is seen may depend on anything done before.
        self.journal.flush()?;
        Ok(look_once(&*self.ports.executor, self.look_context(path), check, which, callbacks, cancel))
    }

    /// Looks until the check holds, at most for `settle`. Gives the last look.
    pub(crate) fn settle(
        &self,
        path: &Path,
        check: &Check,
        settle: Duration,
        callbacks: &mut dyn Callbacks,
        cancel: &Cancel,
    ) -> Result<Look, Unwind> {
        let start_us = self.journal.now().boot_us;
        let mut pause = FIRST_PAUSE;
        loop {
            let look = self.look(path, check, Predicate::Ensures, callbacks, cancel)?;
            let passed_us = self.journal.now().boot_us.saturating_sub(start_us);
            let left = settle.to_std().saturating_sub(StdDuration::from_micros(passed_us));
            if matches!(look, Look::Holds(..) | Look::Hold(_)) || left.is_zero() {
                return Ok(look);
            }
            if self.ports.clock.sleep(pause.min(left), cancel) {
                return Ok(look);
            }
            pause = (pause * 2).min(LAST_PAUSE);
        }
    }
}

/// Performs a check's action and judges what came back.
pub(crate) fn look_once(
    executor: &dyn Executor,
    mut context: AttemptContext,
    check: &Check,
    which: Predicate,
    callbacks: &mut dyn Callbacks,
    cancel: &Cancel,
) -> Look {
    context.timeout = Some(LOOK_TIMEOUT);
    let result = executor
        .prepare(&check.action, &context)
        .map_err(ActionFailed::from)
        .and_then(|prepared| prepared.perform(cancel));
    match result {
        Ok(outcome) => judge(check, which, outcome, callbacks),
        // A command that says no is an answer; a database that cannot be reached is not.
        Err(ActionFailed { outcome: Some(outcome), failure, .. }) => {
            let evidence = saw(check, &failure.message);
            if check.has_predicate {
                judge(check, which, outcome, callbacks)
            } else if outcome.code.is_some() || outcome.status.is_some() {
                Look::DoesNot(evidence)
            } else {
                Look::CannotTell(failure, evidence)
            }
        }
        Err(ActionFailed { failure, .. }) => Look::CannotTell(failure.clone(), saw(check, &failure.message)),
    }
}

fn judge(check: &Check, which: Predicate, outcome: Outcome, callbacks: &mut dyn Callbacks) -> Look {
    let evidence = saw(check, &outcome.summary());
    let holds = if check.has_predicate { callbacks.predicate(which, &outcome) } else { Ok(outcome.holds()) };
    match holds {
        Ok(true) => Look::Holds(outcome, evidence),
        Ok(false) => Look::DoesNot(evidence),
        Err(failure) => Look::CannotTell(failure, evidence),
    }
}

fn saw(check: &Check, saw: &str) -> Evidence {
    Evidence { check: check.action.summary(), saw: saw.to_owned() }
}
