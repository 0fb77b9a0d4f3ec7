//! Parameters: which values of the language a database can be given, and in what form.
//!
//! Owns the refusals and their words. Never opens a secret: that is done before values get here.

use super::failure;
use piton_core::outcome::Failure;
use piton_core::value::Value;

/// A value a statement is given, in terms that every database has.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Param {
    Null,
    Bool(bool),
    Int(i64),
    UInt(u64),
    Float(f64),
    Text(String),
    Bytes(Vec<u8>),
}

pub(super) fn params(values: &[Value]) -> Result<Vec<Param>, Failure> {
    values.iter().enumerate().map(|(index, value)| param(value).map_err(|why| refused(index, value, why))).collect()
}

fn param(value: &Value) -> Result<Param, &'static str> {
    Ok(match value {
        Value::None => Param::Null,
        Value::Bool(value) => Param::Bool(*value),
        Value::Int(value) => match (i64::try_from(*value), u64::try_from(*value)) {
            (Ok(value), _) => Param::Int(value),
            (_, Ok(value)) => Param::UInt(value),
            _ => return Err("it does not fit into 64 bits; give it as a string"),
        },
        Value::Float(value) if value.is_finite() => Param::Float(*value),
        Value::Float(_) => return Err("it is not a finite number"),
        Value::Str(value) => Param::Text(value.to_string()),
        Value::Bytes(value) => Param::Bytes(value.clone()),
        Value::Enum { value, .. } => return param(value),
        Value::Duration(_) => return Err("a database has no such type; give its milliseconds or a string"),
        _ => return Err("None, bool, int, float, str, bytes and secrets can be given"),
    })
}

fn refused(index: usize, value: &Value, why: &str) -> Failure {
    failure(format!("parameter {} is a {}: {why}", index + 1, value.kind()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_keep_their_exact_size() {
        let given = [Value::Int(i128::from(u64::MAX)), Value::Int(-1), Value::None, Value::str("x")];
        let expected = [Param::UInt(u64::MAX), Param::Int(-1), Param::Null, Param::Text("x".into())];
        assert_eq!(params(&given).unwrap(), expected);
    }

    #[test]
    fn what_no_database_takes_is_refused_by_position_and_kind() {
        for (value, said) in [
            (Value::Int(1 << 70), "parameter 2 is a int: it does not fit"),
            (Value::Duration(piton_core::Duration::from_secs(1)), "parameter 2 is a duration"),
            (Value::List(vec![]), "parameter 2 is a list"),
            (Value::Float(f64::NAN), "not a finite number"),
        ] {
            let failure = params(&[Value::None, value]).unwrap_err();
            assert!(failure.message.contains(said), "{failure}");
        }
    }
}
