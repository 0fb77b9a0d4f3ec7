//! PostgreSQL's types as values, from the text form that the server itself prints.
//!
//! Owns the mapping. Exact or nothing: numeric stays text, times are ISO 8601 with microseconds and their offset,
//! arrays, ranges and whatever else has no counterpart stay as PostgreSQL writes them.

use super::super::params::Param;
use crate::text::{from_hex, to_hex};
use piton_core::Value;
use tokio_postgres::types::private::BytesMut;
use tokio_postgres::types::{Format, IsNull, ToSql, Type, to_sql_checked};

pub(super) fn from_text(kind: &Type, text: Option<&str>) -> Value {
    let Some(text) = text else { return Value::None };
    let exact = match *kind {
        Type::BOOL => Some(Value::Bool(text == "t")),
        Type::INT2 | Type::INT4 | Type::INT8 | Type::OID => text.parse().ok().map(Value::Int),
        Type::FLOAT4 | Type::FLOAT8 => text.parse().ok().map(Value::Float),
        Type::BYTEA => text.strip_prefix("\\x").and_then(from_hex).map(Value::Bytes),
        Type::TIMESTAMP | Type::TIMESTAMPTZ | Type::TIME | Type::TIMETZ => Some(Value::from(iso(text))),
        Type::VOID => Some(Value::None),
        _ => None,
    };
    exact.unwrap_or_else(|| Value::str(text))
}

/// `2024-01-02 03:04:05.6+02` as `2024-01-02T03:04:05.600000+02:00`; `infinity` and years before Christ stay.
fn iso(text: &str) -> String {
    if !text.starts_with(|c: char| c.is_ascii_digit()) {
        return text.to_owned();
    }
    let (date, time) = match text.split_once(' ') {
        Some((date, time)) => (format!("{date}T"), time),
        None => (String::new(), text),
    };
    let end = time.find(['+', '-', ' ']).unwrap_or(time.len());
    let (clock, offset) = time.split_at(end);
    let clock = match clock.split_once('.') {
        Some((whole, fraction)) => format!("{whole}.{fraction:0<6}"),
        None => format!("{clock}.000000"),
    };
    let short = offset.len() == 3 && offset.starts_with(['+', '-']);
    format!("{date}{clock}{offset}{}", if short { ":00" } else { "" })
}

/// Every parameter is sent as text, which the server reads as whatever type it takes the parameter for.
#[derive(Debug)]
pub(super) struct AsText(Option<String>);

pub(super) fn as_text(param: &Param) -> Option<String> {
    Some(match param {
        Param::Null => return None,
        Param::Bool(value) => value.to_string(),
        Param::Int(value) => value.to_string(),
        Param::UInt(value) => value.to_string(),
        Param::Float(value) => format!("{value:?}"),
        Param::Text(value) => value.clone(),
        Param::Bytes(value) => format!("\\x{}", to_hex(value)),
    })
}

impl From<&Param> for AsText {
    fn from(param: &Param) -> Self {
        Self(as_text(param))
    }
}

impl ToSql for AsText {
    fn to_sql(&self, _kind: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match &self.0 {
            Some(text) => {
                out.extend_from_slice(text.as_bytes());
                Ok(IsNull::No)
            }
            None => Ok(IsNull::Yes),
        }
    }

    fn accepts(_kind: &Type) -> bool {
        true
    }

    fn encode_format(&self, _kind: &Type) -> Format {
        Format::Text
    }

    to_sql_checked!();
}

/// The value as an SQL string, `NULL` where there is none. Needs `standard_conforming_strings`.
pub(super) fn literal(param: &Param) -> String {
    match as_text(param) {
        Some(text) => format!("'{}'", text.replace('\'', "''")),
        None => "null".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_iso_with_microseconds() {
        for (text, expected) in [
            ("2024-01-02 03:04:05", "2024-01-02T03:04:05.000000"),
            ("2024-01-02 03:04:05.6+02", "2024-01-02T03:04:05.600000+02:00"),
            ("2024-01-02 03:04:05.123456-03:30", "2024-01-02T03:04:05.123456-03:30"),
            ("24:00:00", "24:00:00.000000"),
            ("03:04:05.5+00", "03:04:05.500000+00:00"),
            ("infinity", "infinity"),
            ("0044-03-15 12:00:00 BC", "0044-03-15T12:00:00.000000 BC"),
        ] {
            assert_eq!(iso(text), expected);
        }
    }
}
