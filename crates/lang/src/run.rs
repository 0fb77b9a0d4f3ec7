//! Evaluates a loaded runbook: `main`, or a function as a branch.
//!
//! Owns the heap and the bounds of one evaluation. Same answers from the host give the same requests to it.

use crate::callbacks::failure;
use crate::check::definition;
use crate::codec::{decode, encode};
use crate::error::{author, explain};
use crate::guard;
use crate::load::Loaded;
use crate::session::Session;
use piton_core::outcome::Failure;
use piton_core::ports::{Host, Unwind};
use piton_core::scope::Scope;
use piton_core::value::{Callable, Definition};
use piton_core::{Outcome, Value as Plain};
use starlark::environment::Module;
use starlark::eval::Evaluator;
use starlark::values::Value;
use std::sync::Arc;

pub(crate) fn call(loaded: &Loaded, host: &dyn Host, scope: &Arc<Scope>, call: &Callable) -> Result<Plain, Unwind> {
    let registry = &loaded.registry;
    Module::with_temp_heap(|module| {
        let session = Session::running(registry, host, scope.clone(), loaded.limits.steps);
        let mut eval = Evaluator::new(&module);
        eval.extra = Some(&session);
        guard::set(&mut eval, loaded.limits).map_err(|error| Unwind::Program(explain(&error).to_string()))?;
        evaluate(call, &session, &mut eval).map_err(|error| {
            let source = loaded.sources.get(&call.function.file);
            session.ended_at(&error, source.and_then(|source| definition(&source.ast, &call.function.name)).as_ref())
        })
    })
}

/// Asks a top-level function about an outcome, on a heap of its own. It may only look.
pub(crate) fn judge(loaded: &Loaded, predicate: &Callable, outcome: &Arc<Outcome>) -> Result<bool, Failure> {
    const WHAT: &str = "the predicate of a guard";
    Module::with_temp_heap(|module| {
        let session = Session::judging(&loaded.registry);
        let mut eval = Evaluator::new(&module);
        eval.extra = Some(&session);
        let mut judged = || -> starlark::Result<bool> {
            guard::set(&mut eval, loaded.limits)?;
            let mut call = predicate.clone();
            call.args.push(Plain::Outcome(outcome.clone()));
            let (function, args, kwargs) = called(&call, &session, &mut eval)?;
            let kwargs: Vec<_> = kwargs.iter().map(|(name, value)| (name.as_str(), *value)).collect();
            session.asking(WHAT, || Ok(eval.eval_function(function, &args, &kwargs)?.to_bool()))
        };
        judged().map_err(|error| failure(WHAT, &error))
    })
}

/// Whether a value given from outside fits the types it names; else what is wrong.
pub(crate) fn check_value(loaded: &Loaded, value: &Plain) -> Result<(), String> {
    Module::with_temp_heap(|module| {
        let session = Session::loading(&loaded.registry, "");
        let mut eval = Evaluator::new(&module);
        eval.extra = Some(&session);
        decode(value, &loaded.registry, &mut eval).map(drop).map_err(|error| error.to_string())
    })
}

type Called<'v> = (Value<'v>, Vec<Value<'v>>, Vec<(String, Value<'v>)>);

/// A function and its arguments on this heap.
fn called<'v>(
    call: &Callable,
    session: &Session<'_>,
    eval: &mut Evaluator<'v, '_, '_>,
) -> starlark::Result<Called<'v>> {
    let heap = eval.heap();
    let registry = session.registry;
    let Some(owned) = registry.value(&call.function) else {
        let Definition { file, name } = &call.function;
        return Err(author(format!("`{name}` is not defined in {file}")).raise());
    };
    let function = heap.access_owned_frozen_value(&owned);
    let mut args = Vec::with_capacity(call.args.len());
    for value in &call.args {
        args.push(decode(value, registry, eval)?);
    }
    let mut kwargs = Vec::with_capacity(call.kwargs.len());
    for (name, value) in &call.kwargs {
        kwargs.push((name.clone(), decode(value, registry, eval)?));
    }
    Ok((function, args, kwargs))
}

fn evaluate<'v>(call: &Callable, session: &Session<'_>, eval: &mut Evaluator<'v, '_, '_>) -> starlark::Result<Plain> {
    let (function, args, kwargs) = called(call, session, eval)?;
    let kwargs: Vec<_> = kwargs.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    let result = eval.eval_function(function, &args, &kwargs)?;
    Ok(encode(result, &format!("the result of {}", call.function.name), session.registry, eval.heap())?)
}
