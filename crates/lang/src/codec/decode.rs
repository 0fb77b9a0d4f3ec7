//! Plain values to Starlark values.

use crate::error::{AuthorError, author, explain};
use crate::registry::Registry;
use crate::values::{ActionValue, Blob, DurationValue, Given, Hole, OutcomeValue, Partial, SecretValue};
use num_bigint::BigInt;
use piton_core::Value as Plain;
use piton_core::value::Definition;
use starlark::eval::Evaluator;
use starlark::values::dict::AllocDict;
use starlark::values::list::AllocList;
use starlark::values::structs::AllocStruct;
use starlark::values::tuple::AllocTuple;
use starlark::values::{Heap, Value};

/// Decodes a value into the evaluator's heap.
pub(crate) fn decode<'v>(
    value: &Plain,
    registry: &Registry,
    eval: &mut Evaluator<'v, '_, '_>,
) -> Result<Value<'v>, AuthorError> {
    let heap = eval.heap();
    match (&registry.planning, value) {
        (Some(_), Plain::Str(text)) if let Some(what) = piton_core::hole::whole(text) => {
            return Ok(heap.alloc(Hole::parse(what)));
        }
        // Holes may be inside.
        (Some(_), Plain::List(_) | Plain::Tuple(_) | Plain::Dict(_) | Plain::Struct(_)) => {}
        _ => {
            if let Some(value) = plain(value, heap) {
                return Ok(value);
            }
        }
    }
    let all = |values: &[Plain], eval: &mut Evaluator<'v, '_, '_>| -> Result<Vec<Value<'v>>, AuthorError> {
        values.iter().map(|value| decode(value, registry, eval)).collect()
    };
    Ok(match value {
        Plain::List(items) => heap.alloc(AllocList(all(items, eval)?)),
        Plain::Tuple(items) => heap.alloc(AllocTuple(all(items, eval)?)),
        Plain::Dict(items) => {
            let mut entries = Vec::with_capacity(items.len());
            for (key, value) in items {
                entries.push((decode(key, registry, eval)?, decode(value, registry, eval)?));
            }
            heap.alloc(AllocDict(entries))
        }
        Plain::Struct(fields) => heap.alloc(AllocStruct(decode_fields(fields, registry, eval)?)),
        Plain::Record(record) => {
            let piton_core::value::Record { of, fields } = &**record;
            let constructor = defined(of, registry, heap)?;
            let fields = decode_fields(fields, registry, eval)?;
            let named: Vec<(&str, Value<'v>)> = fields.iter().map(|(name, value)| (*name, *value)).collect();
            eval.eval_function(constructor, &[], &named)
                .map_err(|error| author(format!("this is no {}: {}", of.name, explain(&error).message)))?
        }
        Plain::Enum { of, value } => {
            let ty = defined(of, registry, heap)?;
            let value = decode(value, registry, eval)?;
            eval.eval_function(ty, &[value], &[]).map_err(|_| author(format!("{} has no value {value}", of.name)))?
        }
        Plain::Outcome(outcome) => alloc_outcome(Given::Open(outcome.clone()), registry, eval)?,
        Plain::Function(callable) => {
            let function = defined(&callable.function, registry, heap)?;
            if callable.args.is_empty() && callable.kwargs.is_empty() {
                function
            } else {
                heap.alloc(Partial((**callable).clone()))
            }
        }
        _ => Value::new_none(),
    })
}

fn decode_fields<'f, 'v>(
    fields: &'f [(String, Plain)],
    registry: &Registry,
    eval: &mut Evaluator<'v, '_, '_>,
) -> Result<Vec<(&'f str, Value<'v>)>, AuthorError> {
    fields.iter().map(|(name, value)| Ok((name.as_str(), decode(value, registry, eval)?))).collect()
}

fn defined<'v>(of: &Definition, registry: &Registry, heap: Heap<'v>) -> Result<Value<'v>, AuthorError> {
    match registry.value(of) {
        Some(owned) => Ok(heap.access_owned_frozen_value(&owned)),
        None => Err(author(format!("`{}` is no longer defined in {}", of.name, of.file))
            .help("a recorded value needs it; keep the name, or start a new run")),
    }
}

/// An outcome's handle; its value is decoded now where that needs the evaluator, everything else on access.
pub(crate) fn alloc_outcome<'v>(
    given: Given,
    registry: &Registry,
    eval: &mut Evaluator<'v, '_, '_>,
) -> Result<Value<'v>, AuthorError> {
    let planning = registry.planning.is_some();
    let mut value = Value::new_none();
    if planning || !given.is_plain() {
        let outcome = given.open()?;
        if let Some(what) = outcome.as_hole().filter(|_| planning) {
            return Ok(eval.heap().alloc(Hole::parse(what)));
        }
        if let Some(plain) = &outcome.value {
            value = decode(plain, registry, eval)?;
        }
    }
    Ok(eval.heap().alloc(OutcomeValue { outcome: given, value }))
}

/// True for values that decode without looking up a definition.
pub(crate) fn is_plain(value: &Plain) -> bool {
    match value {
        Plain::List(items) | Plain::Tuple(items) => items.iter().all(is_plain),
        Plain::Dict(items) => items.iter().all(|(key, value)| is_plain(key) && is_plain(value)),
        Plain::Struct(fields) => fields.iter().all(|(_, value)| is_plain(value)),
        Plain::Record(_) | Plain::Enum { .. } | Plain::Function(_) => false,
        Plain::Outcome(outcome) => outcome.value.as_ref().is_none_or(is_plain),
        _ => true,
    }
}

/// Decodes what needs no definition; `None` for the rest.
pub(crate) fn plain<'v>(value: &Plain, heap: Heap<'v>) -> Option<Value<'v>> {
    Some(match value {
        Plain::None => Value::new_none(),
        Plain::Bool(value) => Value::new_bool(*value),
        Plain::Int(int) => match i64::try_from(*int) {
            Ok(int) => heap.alloc(int),
            Err(_) => heap.alloc(BigInt::from(*int)),
        },
        Plain::Float(float) => heap.alloc(*float),
        Plain::Str(text) => heap.alloc(&**text),
        Plain::Bytes(bytes) => heap.alloc(Blob(bytes.clone())),
        Plain::List(items) => {
            heap.alloc(AllocList(items.iter().map(|item| plain(item, heap)).collect::<Option<Vec<_>>>()?))
        }
        Plain::Tuple(items) => {
            heap.alloc(AllocTuple(items.iter().map(|item| plain(item, heap)).collect::<Option<Vec<_>>>()?))
        }
        Plain::Dict(items) => {
            let entry = |(key, value): &(Plain, Plain)| Some((plain(key, heap)?, plain(value, heap)?));
            heap.alloc(AllocDict(items.iter().map(entry).collect::<Option<Vec<_>>>()?))
        }
        Plain::Struct(fields) => {
            let field = |(name, value): &(String, Plain)| Some((name.clone(), plain(value, heap)?));
            heap.alloc(AllocStruct(fields.iter().map(field).collect::<Option<Vec<_>>>()?))
        }
        Plain::Duration(duration) => heap.alloc(DurationValue(*duration)),
        Plain::Secret(text) => heap.alloc(SecretValue(text.clone())),
        Plain::Action(action) => heap.alloc(ActionValue::new((**action).clone())),
        Plain::Outcome(outcome) if is_plain(value) => {
            heap.alloc(OutcomeValue { outcome: Given::Open(outcome.clone()), value: Value::new_none() })
        }
        Plain::Record(_) | Plain::Enum { .. } | Plain::Function(_) | Plain::Outcome(_) => return None,
    })
}

/// JSON as a program printed it: objects are dicts, whatever their keys.
pub(crate) fn json<'v>(value: &serde_json::Value, heap: Heap<'v>) -> Value<'v> {
    match value {
        serde_json::Value::Null => Value::new_none(),
        serde_json::Value::Bool(value) => Value::new_bool(*value),
        serde_json::Value::String(text) => heap.alloc(text.as_str()),
        serde_json::Value::Number(number) => {
            let text = number.to_string();
            match (text.parse::<i64>(), text.parse::<BigInt>()) {
                (Ok(int), _) => heap.alloc(int),
                (_, Ok(int)) => heap.alloc(int),
                _ => heap.alloc(text.parse::<f64>().unwrap_or(f64::NAN)),
            }
        }
        serde_json::Value::Array(items) => {
            heap.alloc(AllocList(items.iter().map(|item| json(item, heap)).collect::<Vec<_>>()))
        }
        serde_json::Value::Object(fields) => {
            heap.alloc(AllocDict(fields.iter().map(|(k, v)| (k.as_str(), json(v, heap))).collect::<Vec<_>>()))
        }
    }
}
