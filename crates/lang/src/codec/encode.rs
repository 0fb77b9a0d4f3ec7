//! Starlark values to plain values.

use crate::error::{AuthorError, author};
use crate::limits::MAX_VALUES;
use crate::registry::Registry;
use crate::values::{ActionValue, Blob, DurationValue, Hole, OutcomeValue, Partial, SecretValue};
use num_bigint::BigInt;
use piton_core::Value as Plain;
use piton_core::value::{Callable, MAX_DEPTH, Record as PlainRecord};
use starlark::values::bytes::StarlarkBytes;
use starlark::values::dict::DictRef;
use starlark::values::enumeration::EnumValue;
use starlark::values::float::UnpackFloat;
use starlark::values::list::ListRef;
use starlark::values::record::Record;
use starlark::values::structs::StructRef;
use starlark::values::tuple::TupleRef;
use starlark::values::{Heap, UnpackValue, Value, ValueLike};

/// What cannot cross, and where in the value it is.
#[derive(Debug)]
pub(crate) struct CodecError {
    /// Such as `items[3].x`.
    pub(crate) path: String,
    pub(crate) what: String,
    pub(crate) help: Option<String>,
}

impl CodecError {
    /// As seen from one level further out. Written only where something is wrong: most values cross.
    fn within(mut self, place: &str) -> Self {
        self.path.insert_str(0, place);
        self
    }
}

impl From<CodecError> for AuthorError {
    fn from(error: CodecError) -> Self {
        let message = author(format!("{}: {}", error.path, error.what));
        match error.help {
            Some(help) => message.help(help),
            None => message,
        }
    }
}

/// Encodes `value`, which errors call `name`.
pub(crate) fn encode<'v>(
    value: Value<'v>,
    name: &str,
    registry: &Registry,
    heap: Heap<'v>,
) -> Result<Plain, AuthorError> {
    let mut encoder = Encoder { registry, heap, depth: 0, left: MAX_VALUES };
    Ok(encoder.value(value).map_err(|error| error.within(name))?)
}

/// Encodes the value of an action's parameter: the registry is not needed where no function may stand.
pub(crate) fn encode_action(value: Value<'_>) -> Option<&ActionValue> {
    ActionValue::from_value(value)
}

struct Encoder<'r, 'v> {
    registry: &'r Registry,
    heap: Heap<'v>,
    depth: usize,
    left: usize,
}

impl<'v> Encoder<'_, 'v> {
    fn error<T>(&self, what: impl Into<String>, help: Option<&str>) -> Result<T, CodecError> {
        Err(CodecError { path: String::new(), what: what.into(), help: help.map(str::to_owned) })
    }

    fn value(&mut self, value: Value<'v>) -> Result<Plain, CodecError> {
        let Some(left) = self.left.checked_sub(1) else {
            return self.error(format!("more than {MAX_VALUES} values"), Some("keep large data in a file or a table"));
        };
        self.left = left;
        if self.depth >= MAX_DEPTH {
            return self.error(format!("nested deeper than {MAX_DEPTH} levels"), None);
        }
        self.depth += 1;
        let plain = match self.scalar(value)? {
            Some(plain) => plain,
            None => self.compound(value)?,
        };
        self.depth -= 1;
        Ok(plain)
    }

    fn scalar(&self, value: Value<'v>) -> Result<Option<Plain>, CodecError> {
        if value.is_none() {
            return Ok(Some(Plain::None));
        }
        if let Some(value) = value.unpack_bool() {
            return Ok(Some(Plain::Bool(value)));
        }
        if let Some(text) = value.unpack_str() {
            return Ok(Some(Plain::str(text)));
        }
        if let Some(value) = value.unpack_i32() {
            return Ok(Some(Plain::Int(i128::from(value))));
        }
        if value.get_type() == "int" {
            let int = BigInt::unpack_value(value).ok().flatten().and_then(|int| i128::try_from(int).ok());
            return match int {
                Some(int) => Ok(Some(Plain::Int(int))),
                None => {
                    self.error("an integer beyond 128 bits cannot leave this function", Some("give it as a string"))
                }
            };
        }
        if value.get_type() == "float" {
            return Ok(UnpackFloat::unpack_value(value).ok().flatten().map(|float| Plain::Float(float.0)));
        }
        Ok(own(value))
    }

    fn compound(&mut self, value: Value<'v>) -> Result<Plain, CodecError> {
        if let Some(items) = ListRef::from_value(value) {
            return Ok(Plain::List(self.items(items.content())?));
        }
        if let Some(items) = TupleRef::from_value(value) {
            return Ok(Plain::Tuple(self.items(items.content())?));
        }
        if let Some(items) = DictRef::from_value(value) {
            let mut plain = Vec::with_capacity(items.len());
            for (key, value) in items.iter() {
                let entry = self.value(key).and_then(|key| Ok((key, self.value(value)?)));
                plain.push(entry.map_err(|error| {
                    let shown = key.unpack_str().map_or_else(|| key.get_type().to_owned(), |key| format!("{key:?}"));
                    error.within(&format!("[{shown}]"))
                })?);
            }
            return Ok(Plain::Dict(plain));
        }
        if let Some(fields) = StructRef::from_value(value) {
            let fields: Vec<_> = fields.iter().map(|(name, value)| (name.as_str().to_owned(), value)).collect();
            return Ok(Plain::Struct(self.fields(fields)?));
        }
        if let Some(record) = Record::from_value(value) {
            let fields: Vec<_> = record.iter().map(|(name, value)| (name.to_owned(), value)).collect();
            let Some(of) = self.registry.definition_of_instance(value) else {
                return self.error(
                    "its record type has no name at the top level of a file",
                    Some("assign record(...) to a name at the top level"),
                );
            };
            return Ok(Plain::Record(Box::new(PlainRecord { of: of.clone(), fields: self.fields(fields)? })));
        }
        if EnumValue::from_value(value).is_some() {
            let (Some(of), Ok(Some(inner))) =
                (self.registry.definition_of_instance(value), value.get_attr("value", self.heap))
            else {
                return self.error(
                    "its enum type has no name at the top level of a file",
                    Some("assign enum(...) to a name at the top level"),
                );
            };
            return Ok(Plain::Enum { of: Box::new(of.clone()), value: Box::new(self.value(inner)?) });
        }
        self.function(value)
    }

    fn function(&mut self, value: Value<'v>) -> Result<Plain, CodecError> {
        if value.get_type() != "function" {
            let help = match value.get_type() {
                "range" | "set" => Some("make a list of it: list(...)"),
                "check" | "retry" | "inverse" => Some("make it where the step is"),
                _ => None,
            };
            return self.error(format!("{} cannot be passed on", crate::builtins::a_kind(value)), help);
        }
        if let Some(function) = self.registry.definition_of_function(value) {
            return Ok(Plain::Function(Box::new(Callable {
                function: function.clone(),
                args: vec![],
                kwargs: vec![],
            })));
        }
        let name = value.function_name().unwrap_or_default();
        let what = match name {
            "lambda" => "a lambda belongs to the function that made it and cannot be passed on".to_owned(),
            name => format!("`{name}` is not defined at the top level of a file and cannot be passed on"),
        };
        self.error(what, Some("write a top-level `def`; give it what it needs with partial(fn, ...)"))
    }

    fn items(&mut self, items: &[Value<'v>]) -> Result<Vec<Plain>, CodecError> {
        let mut plain = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            plain.push(self.value(*item).map_err(|error| error.within(&format!("[{index}]")))?);
        }
        Ok(plain)
    }

    fn fields(&mut self, fields: Vec<(String, Value<'v>)>) -> Result<Vec<(String, Plain)>, CodecError> {
        let mut plain = Vec::with_capacity(fields.len());
        for (name, value) in fields {
            let value = self.value(value).map_err(|error| error.within(&format!(".{name}")))?;
            plain.push((name, value));
        }
        Ok(plain)
    }
}

/// Values of our own kinds.
fn own(value: Value<'_>) -> Option<Plain> {
    if let Some(hole) = value.downcast_ref::<Hole>() {
        return Some(Plain::from(hole.mark()));
    }
    if let Some(duration) = value.downcast_ref::<DurationValue>() {
        return Some(Plain::Duration(duration.0));
    }
    if let Some(secret) = value.downcast_ref::<SecretValue>() {
        return Some(Plain::Secret(secret.0.clone()));
    }
    if let Some(action) = value.downcast_ref::<ActionValue>() {
        return Some(Plain::Action(Box::new((*action.0).clone())));
    }
    if let Some(outcome) = OutcomeValue::from_value(value) {
        return outcome.outcome.open().ok().map(Plain::Outcome);
    }
    if let Some(partial) = value.downcast_ref::<Partial>() {
        return Some(Plain::Function(Box::new(partial.0.clone())));
    }
    if let Some(blob) = value.downcast_ref::<Blob>() {
        return Some(Plain::Bytes(blob.0.clone()));
    }
    value.downcast_ref::<StarlarkBytes>().map(|bytes| Plain::Bytes(bytes.as_bytes().to_vec()))
}
