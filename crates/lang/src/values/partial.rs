//! `partial(fn, ...)`: a top-level function with some of its arguments given.
//!
//! Owns the call. Its arguments are copies in plain form, so it can cross threads and the journal, unlike a closure.

use crate::codec::decode;
use crate::session::Session;
use allocative::Allocative;
use piton_core::value::Callable;
use starlark::eval::{Arguments, Evaluator};
use starlark::starlark_simple_value;
use starlark::values::{NoSerialize, ProvidesStaticType, StarlarkValue, Value, ValueLike, starlark_value};
use std::fmt;

#[derive(Debug, ProvidesStaticType, NoSerialize, Allocative)]
pub(crate) struct Partial(#[allocative(skip)] pub(crate) Callable);

starlark_simple_value!(Partial);

impl fmt::Display for Partial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "partial({}", self.0.function.name)?;
        self.0.args.iter().try_for_each(|arg| write!(f, ", {arg}"))?;
        self.0.kwargs.iter().try_for_each(|(name, arg)| write!(f, ", {name} = {arg}"))?;
        f.write_str(")")
    }
}

#[starlark_value(type = "function")]
impl<'v> StarlarkValue<'v> for Partial {
    fn equals(&self, other: Value<'v>) -> starlark::Result<bool> {
        Ok(other.downcast_ref::<Self>().is_some_and(|other| self.0 == other.0))
    }

    fn name_for_call_stack(&self, _me: Value<'v>) -> String {
        self.0.function.name.clone()
    }

    fn invoke(
        &self,
        _me: Value<'v>,
        args: &Arguments<'v, '_>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        let heap = eval.heap();
        let registry = Session::of(eval)?.registry;
        let function = decode(
            &piton_core::Value::Function(Box::new(Callable {
                function: self.0.function.clone(),
                args: vec![],
                kwargs: vec![],
            })),
            registry,
            eval,
        )?;
        let mut positional = Vec::new();
        for arg in &self.0.args {
            positional.push(decode(arg, registry, eval)?);
        }
        positional.extend(args.positions(heap)?);
        let mut named: Vec<(String, Value<'v>)> = Vec::new();
        for (name, arg) in &self.0.kwargs {
            named.push((name.clone(), decode(arg, registry, eval)?));
        }
        for (name, value) in args.names_map()? {
            named.retain(|(given, _)| given != name.as_str());
            named.push((name.as_str().to_owned(), value));
        }
        let named: Vec<(&str, Value<'v>)> = named.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        eval.eval_function(function, &positional, &named)
    }
}
