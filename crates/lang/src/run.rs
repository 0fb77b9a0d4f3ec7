//! Evaluates a loaded runbook: `main`, or a function as a branch.
//!
//! Owns the heap and the bounds of one evaluation. Same answers from the host give the same requests to it.

use crate::check::definition;
use crate::codec::{decode, encode};
use crate::error::{author, explain};
use crate::guard;
use crate::load::Loaded;
use crate::session::Session;
use piton_core::Value as Plain;
use piton_core::ports::{Host, Unwind};
use piton_core::scope::Scope;
use piton_core::value::{Callable, Definition};
use starlark::environment::Module;
use starlark::eval::Evaluator;
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

/// Whether a value given from outside fits the types it names; else what is wrong.
pub(crate) fn check_value(loaded: &Loaded, value: &Plain) -> Result<(), String> {
    Module::with_temp_heap(|module| {
        let session = Session::loading(&loaded.registry, "");
        let mut eval = Evaluator::new(&module);
        eval.extra = Some(&session);
        decode(value, &loaded.registry, &mut eval).map(drop).map_err(|error| error.to_string())
    })
}

fn evaluate<'v>(call: &Callable, session: &Session<'_>, eval: &mut Evaluator<'v, '_, '_>) -> starlark::Result<Plain> {
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
        kwargs.push((name.as_str(), decode(value, registry, eval)?));
    }
    let result = eval.eval_function(function, &args, &kwargs)?;
    Ok(encode(result, &format!("the result of {}", call.function.name), registry, heap)?)
}
