//! The author's predicates and undo functions, asked by the engine while it works on a step.
//!
//! Owns their evaluation on the live evaluator. Never lets them make steps.

use crate::codec::{alloc_outcome, encode_action};
use crate::error::{author, explain, needed_hole};
use crate::session::Session;
use crate::values::Given;
use piton_core::hole;
use piton_core::outcome::{Failure, FailureKind};
use piton_core::request::{Callbacks, Predicate};
use piton_core::{Action, Outcome};
use starlark::eval::Evaluator;
use starlark::values::Value;
use std::sync::Arc;

/// The functions of one request; absent ones are never asked for.
#[derive(Default, Clone, Copy)]
pub(crate) struct Functions<'v> {
    pub(crate) requires: Option<Value<'v>>,
    pub(crate) ensures: Option<Value<'v>>,
    pub(crate) check: Option<Value<'v>>,
    pub(crate) retry: Option<Value<'v>>,
    /// An action, or a function of an outcome.
    pub(crate) undo: Option<Value<'v>>,
}

pub(crate) struct Live<'s, 'v, 'a, 'e> {
    pub(crate) eval: &'s mut Evaluator<'v, 'a, 'e>,
    pub(crate) functions: Functions<'v>,
}

impl<'v> Live<'_, 'v, '_, '_> {
    fn ask(
        &mut self,
        function: Value<'v>,
        what: &'static str,
        outcome: Option<&Outcome>,
    ) -> Result<Value<'v>, starlark::Error> {
        let session = Session::of(self.eval)?;
        let argument = match outcome {
            Some(outcome) => alloc_outcome(Given::Open(Arc::new(outcome.clone())), session.registry, self.eval)?,
            None => Value::new_none(),
        };
        session.asking(what, || self.eval.eval_function(function, &[argument], &[]))
    }
}

/// One line: a failure stands in lists and receipts. While planning, what depends on a hole fails with its mark.
pub(crate) fn failure(what: &str, error: &starlark::Error) -> Failure {
    if let Some(needed) = needed_hole(error) {
        return Failure::new(FailureKind::Predicate, hole::mark(needed));
    }
    let diagnostic = explain(error);
    let place = diagnostic.place.as_ref().map(|place| format!(" at {}", place.site)).unwrap_or_default();
    let failure =
        Failure::new(FailureKind::Predicate, format!("{what} raised an error{place}: {}", diagnostic.message));
    match diagnostic.help {
        Some(help) => failure.hint(help),
        None => failure,
    }
}

impl Callbacks for Live<'_, '_, '_, '_> {
    fn predicate(&mut self, which: Predicate, outcome: &Outcome) -> Result<bool, Failure> {
        let (function, what) = match which {
            Predicate::Requires => (self.functions.requires, "the predicate of `requires`"),
            Predicate::Ensures => (self.functions.ensures, "the predicate of `ensures`"),
            Predicate::Check => (self.functions.check, "the predicate"),
            Predicate::Retry => (self.functions.retry, "the predicate of `retry`"),
        };
        let Some(function) = function else { return Ok(outcome.holds()) };
        match self.ask(function, what, Some(outcome)) {
            Ok(value) => Ok(value.to_bool()),
            Err(error) => Err(failure(what, &error)),
        }
    }

    fn undo(&mut self, outcome: Option<&Outcome>) -> Result<Option<Action>, Failure> {
        let Some(undo) = self.functions.undo else { return Ok(None) };
        if let Some(action) = encode_action(undo) {
            return Ok(Some((*action.0).clone()));
        }
        let what = "the function of `undo`";
        let given = self.ask(undo, what, outcome).map_err(|error| failure(what, &error))?;
        if given.is_none() {
            return Ok(None);
        }
        match encode_action(given) {
            Some(action) => Ok(Some((*action.0).clone())),
            None => {
                let error = author(format!("it gave {} where an action is needed", crate::builtins::a_kind(given)))
                    .help("give back an action such as sql(...), or None where there is nothing to undo");
                Err(failure(what, &error.raise()))
            }
        }
    }
}
