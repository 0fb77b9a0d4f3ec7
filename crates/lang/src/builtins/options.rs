//! `check`, `retry`, `inverse`, `partial`: words for options; and what the next version brings.

use super::args::{DurationArg, duration, function, number, shown, whole};
use super::scopes::plain_args;
use crate::codec::encode;
use crate::error::{AuthorError, author};
use crate::session::Session;
use crate::values::{ActionValue, Check, Inverse, Partial, RetryValue};
use piton_core::Value as Plain;
use piton_core::request::Retry;
use piton_core::value::{Callable, Definition};
use starlark::environment::GlobalsBuilder;
use starlark::eval::Evaluator;
use starlark::starlark_module;
use starlark::values::dict::DictRef;
use starlark::values::none::NoneOr;
use starlark::values::tuple::UnpackTuple;
use starlark::values::{Value, ValueLike};

/// Attempts after the first. More is a `poll`.
const MAX_RETRIES: u32 = 10_000;

pub(crate) fn not_yet(what: &str) -> AuthorError {
    author(format!("{what} is not yet in this version")).help("the language page lists what is")
}

/// A top-level function of the file that is loading, or of a loaded one.
pub(crate) fn top_level<'v>(
    function: Value<'v>,
    what: &str,
    eval: &Evaluator<'v, '_, '_>,
) -> Result<Callable, AuthorError> {
    if let Some(partial) = function.downcast_ref::<Partial>() {
        return Ok(partial.0.clone());
    }
    let function = self::function(function, what)?;
    let session = Session::of(eval)?;
    if let (Some(file), Some(name)) = (&session.loading, function.function_name()) {
        // Not frozen yet, so the registry does not know it.
        if eval.module().get(name).is_some_and(|defined| defined.ptr_eq(function)) {
            let function = Definition { file: file.clone(), name: name.to_owned() };
            return Ok(Callable { function, args: vec![], kwargs: vec![] });
        }
    }
    match encode(function, what, session.registry, eval.heap())? {
        Plain::Function(callable) => Ok(*callable),
        _ => Err(author(format!("{what}: a function is needed, not {}", shown(function)))),
    }
}

#[starlark_module]
pub(crate) fn globals(builder: &mut GlobalsBuilder) {
    /// For `ensures`, `requires`, `poll`: the action, and what must hold of its outcome.
    fn check<'v>(
        #[starlark(require = pos)] action: &ActionValue,
        #[starlark(default = NoneOr::None)] predicate: NoneOr<Value<'v>>,
    ) -> starlark::Result<Check<'v>> {
        let predicate = predicate.into_option().map(|p| function(p, "predicate")).transpose()?;
        Ok(Check { action: action.0.clone(), predicate: predicate.unwrap_or_else(Value::new_none) })
    }

    /// How often and how soon a failed step is tried again.
    fn retry<'v>(
        #[starlark(require = pos)] times: Value<'v>,
        #[starlark(require = named, default = NoneOr::None)] backoff: NoneOr<DurationArg<'v>>,
        #[starlark(require = named)] factor: Option<Value<'v>>,
        #[starlark(require = named, default = NoneOr::None)] cap: NoneOr<DurationArg<'v>>,
        #[starlark(require = named, default = NoneOr::None)] on: NoneOr<Value<'v>>,
    ) -> starlark::Result<RetryValue<'v>> {
        let times = whole::<u32>(times, "retry()", "a number of times")
            .ok()
            .filter(|times| *times <= MAX_RETRIES)
            .ok_or_else(|| author(format!("retry(): 0 to {MAX_RETRIES} times, not {}", shown(times))))?;
        let factor = factor.map_or(Ok(Retry::NONE.factor), |factor| number(factor, "factor"))?;
        if !(1.0..=100.0).contains(&factor) {
            return Err(author(format!("factor: 1 to 100, not {factor}")).raise());
        }
        let on = on.into_option().map(|on| function(on, "on")).transpose()?;
        let or = |value: NoneOr<DurationArg<'v>>, what, default| match value {
            NoneOr::None => Ok(default),
            NoneOr::Other(value) => duration(value.get(), what),
        };
        let policy = Retry {
            times,
            backoff: or(backoff, "backoff", Retry::NONE.backoff)?,
            factor,
            cap: or(cap, "cap", Retry::NONE.cap)?,
            has_predicate: on.is_some(),
        };
        Ok(RetryValue { policy, on: on.unwrap_or_else(Value::new_none) })
    }

    /// As `undo=`: the former state is captured before the action.
    fn inverse() -> starlark::Result<Inverse> {
        Ok(Inverse)
    }

    /// A top-level function with some of its arguments given, which may cross threads.
    fn partial<'v>(
        #[starlark(require = pos)] r#fn: Value<'v>,
        #[starlark(args)] args: UnpackTuple<Value<'v>>,
        #[starlark(kwargs)] kwargs: DictRef<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Partial> {
        let mut callable = top_level(r#fn, "partial()", eval)?;
        let given = plain_args(&args.items, &kwargs, eval)?;
        callable.args.extend(given.args);
        for (name, value) in given.kwargs {
            callable.kwargs.retain(|(known, _)| *known != name);
            callable.kwargs.push((name, value));
        }
        Ok(Partial(callable))
    }
}
