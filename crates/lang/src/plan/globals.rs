//! Built-ins of the planning copy: each looks at what it is given before it begins.
//!
//! Owns which of them pass holes on, which need to know, and that types are not checked.

// The derives that make a Rust type a Starlark value.
#![allow(unsafe_code)]

use super::operators::{self, METHOD, as_text, entries, has_methods, remarked};
use crate::builtins;
use crate::error::{is_leaving, needed_hole};
use crate::values::hole::{hole_in, hole_within, needs};
use allocative::Allocative;
use piton_core::hole;
use starlark::environment::{Globals, GlobalsBuilder};
use starlark::eval::{Arguments, Evaluator};
use starlark::starlark_simple_value;
use starlark::values::tuple::{AllocTuple, TupleRef};
use starlark::values::{
    FrozenValue, Heap, NoSerialize, ProvidesStaticType, StarlarkValue, Value, ValueLike, starlark_value,
};
use std::fmt;

/// The language's own that write a hole into a text.
const WRITING: [&str; 2] = ["str", "repr"];
/// Those that look at how a value is made, not at what is in it: a hole as an item passes.
const HOLDING: [&str; 8] = ["enumerate", "len", "list", "map", "reversed", "struct", "tuple", "zip"];
/// Those that make a text of a value, for which a hole stands as a whole: how it is quoted depends on what it is.
const QUOTING: [&str; 4] = ["encode", "ident", "literal", "quote"];
/// Those that say what a type is. Types are not checked while planning.
const TYPING: [&str; 2] = ["field", "record"];
/// The language's own: they know nothing of holes, and need to know whatever they are given.
const DECIDING: [&str; 24] = [
    "abs",
    "all",
    "any",
    "bool",
    "chr",
    "dir",
    "enum",
    "eval_type",
    "filter",
    "float",
    "getattr",
    "hasattr",
    "hash",
    "int",
    "isinstance",
    "max",
    "min",
    "ord",
    "range",
    "set",
    "sorted",
    "type",
    "bytes",
    "prepr",
];

pub(crate) fn globals() -> Globals {
    let known = builtins::globals();
    let mut builder = GlobalsBuilder::new();
    wrap_all(&known, &mut builder);
    builder.namespace("json", |json| wrap_all(&builtins::json_members(), json));
    operators::globals(&mut builder);
    builder.build()
}

fn wrap_all(known: &Globals, builder: &mut GlobalsBuilder) {
    builder.frozen_heap().add_reference(known.heap());
    let typing = known.iter().find(|(name, _)| *name == "typing").map(|(_, typing)| typing);
    for (name, value) in known.iter() {
        if value.to_value().get_type() == "function" {
            builder.set(name, Planned { name: name.to_owned(), inner: value, typing });
        } else if name != "json" {
            builder.set(name, value);
        }
    }
}

/// A built-in, looking before it begins.
#[derive(Debug, ProvidesStaticType, NoSerialize, Allocative)]
struct Planned {
    name: String,
    #[allocative(skip)]
    inner: FrozenValue,
    /// Where the type is that everything has.
    #[allocative(skip)]
    typing: Option<FrozenValue>,
}

starlark_simple_value!(Planned);

impl fmt::Display for Planned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.inner.to_value())
    }
}

/// The built-in behind its look, where the value is one: for those that want the type itself.
pub(crate) fn unwrapped<'v>(value: Value<'v>) -> Value<'v> {
    value.downcast_ref::<Planned>().map_or(value, |planned| planned.inner.to_value())
}

impl Planned {
    /// The arguments as the built-in gets them: types are any, holes are texts where only texts can be.
    fn given<'v>(&self, value: Value<'v>, heap: Heap<'v>) -> starlark::Result<Value<'v>> {
        let name = self.name.as_str();
        if TYPING.contains(&name) {
            let any = self.typing.map(|typing| typing.to_value().get_attr("Any", heap)).transpose()?.flatten();
            return Ok(if value.get_type() == "field" { value } else { any.unwrap_or(value) });
        }
        if DECIDING.contains(&name) {
            return hole_within(value).map_or(Ok(unwrapped(value)), |what| Err(needs(&what)));
        }
        if name == "dict" {
            return entries(unwrapped(value));
        }
        if HOLDING.contains(&name) {
            return hole_in(value).map_or(Ok(unwrapped(value)), |what| Err(needs(&what)));
        }
        Ok(if WRITING.contains(&name) { value } else { as_text(unwrapped(value), heap) })
    }
}

#[starlark_value(type = "function")]
impl<'v> StarlarkValue<'v> for Planned {
    fn name_for_call_stack(&self, _me: Value<'v>) -> String {
        self.name.clone()
    }

    fn invoke(
        &self,
        _me: Value<'v>,
        args: &Arguments<'v, '_>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        let heap = eval.heap();
        let (mut positional, mut named, mut holes) = (Vec::new(), Vec::new(), None);
        for (index, value) in args.positions(heap)?.enumerate() {
            holes = holes.or_else(|| hole_within(value));
            // A field's default is a value.
            let is_default = self.name == "field" && index > 0;
            positional.push(if is_default { value } else { self.given(value, heap)? });
        }
        for (name, value) in args.names_map()? {
            holes = holes.or_else(|| hole_within(value));
            let is_default = self.name == "field" && name.as_str() != "typ";
            // What a struct holds stays what it is; a type's word for a field is any type.
            named.push((name, if is_default || self.name == "struct" { value } else { self.given(value, heap)? }));
        }
        let named: Vec<(&str, Value<'v>)> = named.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        if self.name == "getattr" && positional.first().is_some_and(|object| has_methods(*object)) {
            return Err(needs(METHOD));
        }
        if let (Some(what), true) = (&holes, QUOTING.contains(&self.name.as_str())) {
            return Ok(heap.alloc(hole::mark(what)));
        }
        // Whatever the built-in finds wrong with an argument that is not known yet may be right in the run.
        let result = eval.eval_function(self.inner.to_value(), &positional, &named);
        result.map(|value| remarked(value, heap)).map_err(|error| match holes {
            Some(what) if !is_leaving(&error) && needed_hole(&error).is_none() => needs(&what),
            _ => error,
        })
    }

    fn at(&self, index: Value<'v>, heap: Heap<'v>) -> starlark::Result<Value<'v>> {
        let index = match TupleRef::from_value(index) {
            Some(types) => heap.alloc(AllocTuple(types.content().iter().map(|ty| unwrapped(*ty)))),
            None => unwrapped(index),
        };
        self.inner.to_value().at(index, heap)
    }
}
