//! Values as they cross threads, the journal and the wire: plain data, without a Starlark heap behind it.
//!
//! Owns the type, its JSON form (readable by people, exact for every kind) and the bound on its depth.
//! Never holds a secret's value, and never a run-time closure.
//!
//! JSON form: None, booleans, integers within 64 bits, floats, strings, lists and string-keyed dicts stand for
//! themselves. Everything else is `{"$": KIND, "v": ...}`, with `"of"` for the defining file and name where it has one.

use crate::action::Action;
use crate::duration::Duration;
use crate::outcome::Outcome;
use crate::secret::Text;
use serde::de::{self, MapAccess, SeqAccess, Visitor};
use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::sync::Arc;

/// Deepest nesting a value may have. A level costs up to three levels of JSON, and the JSON reader stops at 128
/// so that a hostile journal cannot overflow the stack.
pub const MAX_DEPTH: usize = 32;

/// Where a record type, an enum type or a function is defined.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Definition {
    /// Path below the project's root, as in `load()`.
    pub file: String,
    pub name: String,
}

impl fmt::Display for Definition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.name)
    }
}

/// A top-level function, perhaps with leading and keyword arguments given (`partial`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Callable {
    pub function: Definition,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<Value>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kwargs: Vec<(String, Value)>,
}

/// A record type's value, its fields in the type's order.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    pub of: Definition,
    pub fields: Vec<(String, Value)>,
}

/// What is rare in a runbook's data is boxed: a run may hold millions of these.
#[derive(Clone, Debug, PartialEq, Default)]
pub enum Value {
    #[default]
    None,
    Bool(bool),
    Int(i128),
    Float(f64),
    Str(Arc<str>),
    Bytes(Vec<u8>),
    List(Vec<Value>),
    Tuple(Vec<Value>),
    /// In insertion order, as Starlark keeps it.
    Dict(Vec<(Value, Value)>),
    Struct(Vec<(String, Value)>),
    Record(Box<Record>),
    Enum {
        of: Box<Definition>,
        value: Box<Value>,
    },
    Duration(Duration),
    /// A text with at least one secret in it.
    Secret(Text),
    Action(Box<Action>),
    Outcome(Arc<Outcome>),
    Function(Box<Callable>),
}

impl Value {
    pub fn str(text: impl AsRef<str>) -> Self {
        Self::Str(Arc::from(text.as_ref()))
    }

    /// The word an author knows this kind by.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Float(_) => "float",
            Self::Str(_) => "str",
            Self::Bytes(_) => "bytes",
            Self::List(_) => "list",
            Self::Tuple(_) => "tuple",
            Self::Dict(_) => "dict",
            Self::Struct(_) => "struct",
            Self::Record(_) => "record",
            Self::Enum { .. } => "enum",
            Self::Duration(_) => "duration",
            Self::Secret(_) => "secret",
            Self::Action(_) => "action",
            Self::Outcome(_) => "outcome",
            Self::Function(_) => "function",
        }
    }

    /// Truth as in Starlark; as a database says it for the texts `"0"` and `"1"` is left to `Outcome::holds`.
    pub fn truth(&self) -> bool {
        match self {
            Self::None => false,
            Self::Bool(value) => *value,
            Self::Int(value) => *value != 0,
            Self::Float(value) => *value != 0.0,
            Self::Str(value) => !value.is_empty(),
            Self::Bytes(value) => !value.is_empty(),
            Self::List(items) | Self::Tuple(items) => !items.is_empty(),
            Self::Dict(items) => !items.is_empty(),
            _ => true,
        }
    }

    /// Number of levels, counted without recursion deeper than the value itself is bounded to.
    pub fn depth(&self) -> usize {
        let inner = |values: &mut dyn Iterator<Item = &Value>| values.map(Value::depth).max().unwrap_or(0);
        1 + match self {
            Self::List(items) | Self::Tuple(items) => inner(&mut items.iter()),
            Self::Dict(items) => inner(&mut items.iter().flat_map(|(k, v)| [k, v])),
            Self::Struct(fields) => inner(&mut fields.iter().map(|(_, v)| v)),
            Self::Record(record) => inner(&mut record.fields.iter().map(|(_, v)| v)),
            Self::Enum { value, .. } => value.depth(),
            Self::Function(callable) => inner(&mut callable.args.iter().chain(callable.kwargs.iter().map(|(_, v)| v))),
            _ => 0,
        }
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::str(value)
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::str(value)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(i128::from(value))
    }
}

impl From<u64> for Value {
    fn from(value: u64) -> Self {
        Self::Int(i128::from(value))
    }
}

impl fmt::Display for Value {
    /// As a person reads it: Starlark's notation, secrets masked, outcomes and actions in one line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fn list(f: &mut fmt::Formatter<'_>, open: &str, items: &[Value], close: &str) -> fmt::Result {
            f.write_str(open)?;
            for (index, item) in items.iter().enumerate() {
                write!(f, "{}{item}", if index > 0 { ", " } else { "" })?;
            }
            f.write_str(close)
        }
        fn fields(f: &mut fmt::Formatter<'_>, name: &str, fields: &[(String, Value)]) -> fmt::Result {
            write!(f, "{name}(")?;
            for (index, (field, value)) in fields.iter().enumerate() {
                write!(f, "{}{field} = {value}", if index > 0 { ", " } else { "" })?;
            }
            f.write_str(")")
        }
        match self {
            Self::None => f.write_str("None"),
            Self::Bool(true) => f.write_str("True"),
            Self::Bool(false) => f.write_str("False"),
            Self::Int(value) => write!(f, "{value}"),
            Self::Float(value) => write!(f, "{value:?}"),
            Self::Str(value) => write!(f, "{value:?}"),
            Self::Bytes(value) => write!(f, "‹{} bytes›", value.len()),
            Self::List(items) => list(f, "[", items, "]"),
            Self::Tuple(items) => list(f, "(", items, if items.len() == 1 { ",)" } else { ")" }),
            Self::Dict(items) => {
                f.write_str("{")?;
                for (index, (key, value)) in items.iter().enumerate() {
                    write!(f, "{}{key}: {value}", if index > 0 { ", " } else { "" })?;
                }
                f.write_str("}")
            }
            Self::Struct(items) => fields(f, "struct", items),
            Self::Record(record) => fields(f, &record.of.name, &record.fields),
            Self::Enum { of, value } => write!(f, "{}({value})", of.name),
            Self::Duration(value) => write!(f, "{value}"),
            Self::Secret(text) => write!(f, "{text}"),
            Self::Action(action) => f.write_str(&action.summary()),
            Self::Outcome(outcome) => f.write_str(&outcome.summary()),
            Self::Function(callable) => write!(f, "<function {}>", callable.function.name),
        }
    }
}

/// `{"$": kind, "of": ..., "v": ...}`.
fn tagged<S: Serializer, T: Serialize + ?Sized>(
    serializer: S,
    kind: &str,
    of: Option<&Definition>,
    value: &T,
) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(2 + usize::from(of.is_some())))?;
    map.serialize_entry("$", kind)?;
    if let Some(of) = of {
        map.serialize_entry("of", of)?;
    }
    map.serialize_entry("v", value)?;
    map.end()
}

/// Fields in order, as an object.
struct Fields<'a>(&'a [(String, Value)]);

impl Serialize for Fields<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(k, v)| (k, v)))
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::None => serializer.serialize_unit(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Int(value) => match (i64::try_from(*value), u64::try_from(*value)) {
                (Ok(value), _) => serializer.serialize_i64(value),
                (_, Ok(value)) => serializer.serialize_u64(value),
                _ => tagged(serializer, "int", None, &value.to_string()),
            },
            Self::Float(value) if value.is_finite() => serializer.serialize_f64(*value),
            Self::Float(value) => tagged(serializer, "float", None, &value.to_string()),
            Self::Str(value) => serializer.serialize_str(value),
            Self::Bytes(value) => {
                use base64::Engine as _;
                tagged(serializer, "bytes", None, &base64::engine::general_purpose::STANDARD.encode(value))
            }
            Self::List(items) => {
                let mut seq = serializer.serialize_seq(Some(items.len()))?;
                for item in items {
                    seq.serialize_element(item)?;
                }
                seq.end()
            }
            Self::Tuple(items) => tagged(serializer, "tuple", None, items),
            Self::Dict(items) => {
                let plain = items.iter().all(|(key, _)| matches!(key, Self::Str(key) if &**key != "$"));
                if !plain {
                    return tagged(serializer, "dict", None, items);
                }
                serializer.collect_map(items.iter().map(|(k, v)| (k, v)))
            }
            Self::Struct(fields) => tagged(serializer, "struct", None, &Fields(fields)),
            Self::Record(record) => tagged(serializer, "record", Some(&record.of), &Fields(&record.fields)),
            Self::Enum { of, value } => tagged(serializer, "enum", Some(of), value),
            Self::Duration(value) => tagged(serializer, "duration", None, value),
            Self::Secret(text) => tagged(serializer, "secret", None, text),
            Self::Action(action) => tagged(serializer, "action", None, action),
            Self::Outcome(outcome) => tagged(serializer, "outcome", None, &**outcome),
            Self::Function(callable) => tagged(serializer, "function", None, callable),
        }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

/// Key under which `serde_json` hands over floats as text where any crate of the build (`starlark` does) turns its
/// feature `arbitrary_precision` on, which then holds for all.
const PRECISE_NUMBER: &str = "$serde_json::private::Number";

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::None)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Int(i128::from(value)))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Int(i128::from(value)))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::str(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Value::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut items: Vec<(Value, Value)> = Vec::new();
        while let Some(key) = map.next_key::<String>()? {
            if items.is_empty() && key == "$" {
                let kind: String = map.next_value()?;
                return read_tagged(&kind, map);
            }
            if items.is_empty() && key == PRECISE_NUMBER {
                let text: String = map.next_value()?;
                let int = text.parse().map(Value::Int);
                return int.or_else(|_| text.parse().map(Value::Float)).map_err(de::Error::custom);
            }
            items.push((Value::from(key), map.next_value()?));
        }
        Ok(Value::Dict(items))
    }
}

/// A struct's or record's fields in the order they were written.
struct ReadFields(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for ReadFields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FieldsVisitor;
        impl<'de> Visitor<'de> for FieldsVisitor {
            type Value = ReadFields;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("fields")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ReadFields, A::Error> {
                let mut fields = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    fields.push(entry);
                }
                Ok(ReadFields(fields))
            }
        }
        deserializer.deserialize_map(FieldsVisitor)
    }
}

fn read_tagged<'de, A: MapAccess<'de>>(kind: &str, mut map: A) -> Result<Value, A::Error> {
    let mut of: Option<Definition> = None;
    let mut value = None;
    while let Some(key) = map.next_key::<String>()? {
        match key.as_str() {
            "of" => of = Some(map.next_value()?),
            "v" => value = Some(read_kind(kind, of.take(), &mut map)?),
            other => return Err(de::Error::unknown_field(other, &["of", "v"])),
        }
    }
    value.ok_or_else(|| de::Error::missing_field("v"))
}

fn read_kind<'de, A: MapAccess<'de>>(kind: &str, of: Option<Definition>, map: &mut A) -> Result<Value, A::Error> {
    let defined = |of: Option<Definition>| of.ok_or_else(|| de::Error::missing_field("of"));
    Ok(match kind {
        "int" => Value::Int(map.next_value::<String>()?.parse().map_err(de::Error::custom)?),
        "float" => Value::Float(map.next_value::<String>()?.parse().map_err(de::Error::custom)?),
        "bytes" => {
            use base64::Engine as _;
            let text: String = map.next_value()?;
            Value::Bytes(base64::engine::general_purpose::STANDARD.decode(text).map_err(de::Error::custom)?)
        }
        "tuple" => Value::Tuple(map.next_value()?),
        "dict" => Value::Dict(map.next_value()?),
        "struct" => Value::Struct(map.next_value::<ReadFields>()?.0),
        "record" => Value::Record(Box::new(Record { of: defined(of)?, fields: map.next_value::<ReadFields>()?.0 })),
        "enum" => Value::Enum { of: Box::new(defined(of)?), value: map.next_value()? },
        "duration" => Value::Duration(map.next_value()?),
        "secret" => Value::Secret(map.next_value()?),
        "action" => Value::Action(map.next_value()?),
        "outcome" => Value::Outcome(Arc::new(map.next_value()?)),
        "function" => Value::Function(map.next_value()?),
        other => return Err(de::Error::custom(format!("unknown kind of value \"{other}\""))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::SecretRef;

    fn round_trip(value: &Value) -> String {
        let json = serde_json::to_string(value).unwrap();
        assert_eq!(&serde_json::from_str::<Value>(&json).unwrap(), value, "{json}");
        json
    }

    #[test]
    fn every_kind_reads_back_as_it_was() {
        let of = Definition { file: "lib/a.star".into(), name: "Table".into() };
        let secret = SecretRef::parse(Some("db"), "env:DB").unwrap();
        for (value, json) in [
            (Value::None, "null"),
            (Value::Bool(true), "true"),
            (Value::from(u64::MAX), "18446744073709551615"),
            (Value::Int(i128::MIN), r#"{"$":"int","v":"-170141183460469231731687303715884105728"}"#),
            (Value::Float(1.0), "1.0"),
            (Value::Float(-0.0), "-0.0"),
            (Value::Float(f64::INFINITY), r#"{"$":"float","v":"inf"}"#),
            (Value::Bytes(vec![0, 255]), r#"{"$":"bytes","v":"AP8="}"#),
            (Value::Tuple(vec![Value::None]), r#"{"$":"tuple","v":[null]}"#),
            (Value::Dict(vec![("b".into(), 1i64.into()), ("a".into(), 2i64.into())]), r#"{"b":1,"a":2}"#),
            (Value::Dict(vec![("$".into(), 1i64.into())]), r#"{"$":"dict","v":[["$",1]]}"#),
            (Value::Dict(vec![(Value::Int(1), Value::None)]), r#"{"$":"dict","v":[[1,null]]}"#),
            (
                Value::Record(Box::new(Record {
                    of: of.clone(),
                    fields: vec![("z".into(), Value::None), ("a".into(), Value::None)],
                })),
                r#"{"$":"record","of":{"file":"lib/a.star","name":"Table"},"v":{"z":null,"a":null}}"#,
            ),
            (Value::Secret(Text::secret(secret)), r#"{"$":"secret","v":[{"secret":{"name":"db","source":"env:DB"}}]}"#),
            (Value::Duration(Duration::from_secs(1)), r#"{"$":"duration","v":1000}"#),
        ] {
            assert_eq!(round_trip(&value), json);
        }
        round_trip(&Value::Function(Box::new(Callable { function: of, args: vec![Value::None], kwargs: vec![] })));
        round_trip(&Value::Outcome(Arc::new(Outcome { ok: true, ..Outcome::default() })));
    }

    #[test]
    fn a_value_is_small_for_a_run_may_hold_millions() {
        assert!(size_of::<Value>() <= 32, "{}", size_of::<Value>());
    }

    #[test]
    fn the_deepest_allowed_value_reads_back() {
        let mut value = Value::None;
        while value.depth() < MAX_DEPTH {
            value = Value::Dict(vec![(Value::Int(1), value)]);
        }
        round_trip(&value);
    }

    #[test]
    fn a_hostile_nesting_is_refused_and_does_not_overflow() {
        let json = "[".repeat(100_000);
        assert!(serde_json::from_str::<Value>(&json).is_err());
    }
}
