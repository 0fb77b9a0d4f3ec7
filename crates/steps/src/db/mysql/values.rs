//! MySQL's types as values, the same from both of its protocols.
//!
//! Owns the mapping. Exact or nothing: integers stay integers, DECIMAL stays text, times are ISO 8601 with
//! microseconds (zero dates included), what is not text in UTF-8 is bytes.

use super::super::params::Param;
use mysql_async::consts::{ColumnFlags, ColumnType};
use mysql_async::{Column, Value as Raw};
use piton_core::Value;

/// The character set number that means "not text".
const BINARY: u16 = 63;

pub(super) fn to_raw(param: Param) -> Raw {
    match param {
        Param::Null => Raw::NULL,
        Param::Bool(value) => Raw::Int(i64::from(value)),
        Param::Int(value) => Raw::Int(value),
        Param::UInt(value) => Raw::UInt(value),
        Param::Float(value) => Raw::Double(value),
        Param::Text(value) => Raw::Bytes(value.into_bytes()),
        Param::Bytes(value) => Raw::Bytes(value),
    }
}

/// Bytes a value weighs in the bound on results.
pub(super) fn weight(raw: &Raw) -> usize {
    match raw {
        Raw::Bytes(bytes) => bytes.len() + 16,
        _ => 16,
    }
}

pub(super) fn from_raw(column: &Column, raw: Raw) -> Value {
    match raw {
        Raw::NULL => Value::None,
        Raw::Int(value) => Value::Int(i128::from(value)),
        Raw::UInt(value) => Value::Int(i128::from(value)),
        // The shortest decimal that means this float, as the text protocol gives it.
        Raw::Float(value) => Value::Float(value.to_string().parse().unwrap_or(f64::from(value))),
        Raw::Double(value) => Value::Float(value),
        Raw::Date(year, month, day, hour, minute, second, micro) => {
            let date = format!("{year:04}-{month:02}-{day:02}");
            if matches!(column.column_type(), ColumnType::MYSQL_TYPE_DATE | ColumnType::MYSQL_TYPE_NEWDATE) {
                return Value::str(date);
            }
            Value::str(format!("{date}T{hour:02}:{minute:02}:{second:02}.{micro:06}"))
        }
        Raw::Time(negative, days, hours, minutes, seconds, micro) => {
            let hours = u64::from(days) * 24 + u64::from(hours);
            let sign = if negative { "-" } else { "" };
            Value::str(format!("{sign}{hours:02}:{minutes:02}:{seconds:02}.{micro:06}"))
        }
        Raw::Bytes(bytes) => from_bytes(column, bytes),
    }
}

fn from_bytes(column: &Column, bytes: Vec<u8>) -> Value {
    use ColumnType::{
        MYSQL_TYPE_BIT, MYSQL_TYPE_DATE, MYSQL_TYPE_DATETIME, MYSQL_TYPE_DATETIME2, MYSQL_TYPE_DECIMAL,
        MYSQL_TYPE_DOUBLE, MYSQL_TYPE_ENUM, MYSQL_TYPE_FLOAT, MYSQL_TYPE_GEOMETRY, MYSQL_TYPE_INT24, MYSQL_TYPE_JSON,
        MYSQL_TYPE_LONG, MYSQL_TYPE_LONGLONG, MYSQL_TYPE_NEWDATE, MYSQL_TYPE_NEWDECIMAL, MYSQL_TYPE_SET,
        MYSQL_TYPE_SHORT, MYSQL_TYPE_TIME, MYSQL_TYPE_TIME2, MYSQL_TYPE_TIMESTAMP, MYSQL_TYPE_TIMESTAMP2,
        MYSQL_TYPE_TINY, MYSQL_TYPE_YEAR,
    };
    match column.column_type() {
        MYSQL_TYPE_BIT if bytes.len() <= 8 => {
            Value::Int(i128::from(bytes.iter().fold(0u64, |all, byte| (all << 8) | u64::from(*byte))))
        }
        MYSQL_TYPE_TINY | MYSQL_TYPE_SHORT | MYSQL_TYPE_INT24 | MYSQL_TYPE_LONG | MYSQL_TYPE_LONGLONG
        | MYSQL_TYPE_YEAR => text(bytes, |text| text.parse().ok().map(Value::Int)),
        MYSQL_TYPE_FLOAT | MYSQL_TYPE_DOUBLE => text(bytes, |text| text.parse().ok().map(Value::Float)),
        MYSQL_TYPE_DATETIME | MYSQL_TYPE_DATETIME2 | MYSQL_TYPE_TIMESTAMP | MYSQL_TYPE_TIMESTAMP2 => {
            text(bytes, |text| Some(Value::from(micros(&text.replacen(' ', "T", 1)))))
        }
        MYSQL_TYPE_TIME | MYSQL_TYPE_TIME2 => text(bytes, |text| Some(Value::from(micros(text)))),
        // Numbers and names have the binary character set too, and are text all the same.
        MYSQL_TYPE_DECIMAL
        | MYSQL_TYPE_NEWDECIMAL
        | MYSQL_TYPE_DATE
        | MYSQL_TYPE_NEWDATE
        | MYSQL_TYPE_JSON
        | MYSQL_TYPE_ENUM
        | MYSQL_TYPE_SET => text(bytes, |_| None),
        MYSQL_TYPE_GEOMETRY => Value::Bytes(bytes),
        _ if column.character_set() == BINARY && !is_named(column) => Value::Bytes(bytes),
        _ => text(bytes, |_| None),
    }
}

/// ENUM and SET travel as strings with a flag.
fn is_named(column: &Column) -> bool {
    column.flags().intersects(ColumnFlags::ENUM_FLAG | ColumnFlags::SET_FLAG)
}

/// What `read` makes of it, else the text; bytes where it is not UTF-8.
fn text(bytes: Vec<u8>, read: impl Fn(&str) -> Option<Value>) -> Value {
    match String::from_utf8(bytes) {
        Ok(text) => read(&text).unwrap_or_else(|| Value::from(text)),
        Err(error) => Value::Bytes(error.into_bytes()),
    }
}

/// Six digits behind the seconds, whatever the column's precision.
fn micros(text: &str) -> String {
    match text.split_once('.') {
        Some((whole, fraction)) => format!("{whole}.{fraction:0<6}"),
        None => format!("{text}.000000"),
    }
}
