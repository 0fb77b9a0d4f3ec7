//! What a person types, as values of the types that a question asks for.
//!
//! Owns the reading of each type. A secret's text is never repeated in an error.

use crate::error::{CliError, Kind};
use piton_core::request::FieldType;
use piton_core::{Duration, SecretRef, Text, Value};

/// Every wanted field exactly once, in the question's order.
pub(crate) fn parse(wanted: &[(String, FieldType)], given: &[String]) -> Result<Vec<(String, Value)>, CliError> {
    let mut pairs = Vec::new();
    for pair in given {
        let Some((name, text)) = pair.split_once('=') else {
            return Err(refused(format!("\"{pair}\" is not FIELD=VALUE"), wanted));
        };
        if !wanted.iter().any(|(known, _)| known == name) {
            return Err(refused(format!("the question has no field \"{name}\""), wanted));
        }
        if pairs.iter().any(|(known, _)| *known == name) {
            return Err(refused(format!("the field \"{name}\" is given twice"), wanted));
        }
        pairs.push((name, text));
    }
    let mut fields = Vec::new();
    for (name, kind) in wanted {
        let value = match (pairs.iter().find(|(known, _)| known == name), kind) {
            (Some((_, text)), _) => value(kind, name, text).map_err(|why| refused(format!("{name}: {why}"), wanted))?,
            (None, FieldType::Optional(_)) => Value::None,
            (None, _) => return Err(refused(format!("the field \"{name}\" ({kind}) is missing"), wanted)),
        };
        fields.push((name.clone(), value));
    }
    Ok(fields)
}

fn refused(message: String, wanted: &[(String, FieldType)]) -> CliError {
    let form: Vec<String> = wanted.iter().map(|(name, kind)| format!("{name}=<{kind}>")).collect();
    CliError::new(Kind::AnswerRefused, message).hint(format!("the question asks for: {}", form.join(" ")))
}

fn value(kind: &FieldType, name: &str, text: &str) -> Result<Value, String> {
    let not = |what: &str| format!("\"{text}\" is not {what}");
    Ok(match kind {
        FieldType::Str | FieldType::Path => Value::str(text),
        FieldType::Int => Value::Int(text.parse().map_err(|_| not("a whole number"))?),
        FieldType::Float => {
            let number: f64 = text.parse().map_err(|_| not("a number"))?;
            Value::Float(Some(number).filter(|number| number.is_finite()).ok_or_else(|| not("a finite number"))?)
        }
        FieldType::Bool => match text.to_ascii_lowercase().as_str() {
            "true" | "yes" => Value::Bool(true),
            "false" | "no" => Value::Bool(false),
            _ => return Err(not("true or false")),
        },
        FieldType::Duration => Value::Duration(Duration::parse(text).map_err(|error| error.to_string())?),
        FieldType::Secret => {
            Value::Secret(Text::secret(SecretRef::parse(Some(name), text).map_err(|error| error.to_string())?))
        }
        FieldType::Enum { values, .. } if values.iter().any(|value| value == text) => Value::str(text),
        FieldType::Optional(_) if text.is_empty() => Value::None,
        FieldType::Optional(inner) => value(inner, name, text)?,
        FieldType::List(_) | FieldType::Any => {
            let parsed = serde_json::from_str::<Value>(text);
            let value = match (parsed, kind) {
                (Ok(value), _) => value,
                (Err(_), FieldType::Any) => Value::str(text),
                (Err(_), _) => {
                    return Err(format!("\"{text}\" is not a list; write it as JSON, as in '[\"a\", \"b\"]'"));
                }
            };
            if !kind.accepts(&value) {
                return Err(not(&kind.to_string()));
            }
            value
        }
        FieldType::Enum { .. } => return Err(not(&kind.to_string())),
        FieldType::Record { name, .. } => return Err(format!("a {name} cannot be given on a command line")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(kind: FieldType, text: &str) -> Result<String, String> {
        let wanted = [("x".to_owned(), kind)];
        let parsed = parse(&wanted, &[format!("x={text}")]);
        parsed.map(|fields| fields[0].1.to_string()).map_err(|error| error.message)
    }

    #[test]
    fn each_type_reads_what_people_type() {
        let color = FieldType::Enum { name: "Color".into(), values: vec!["red".into(), "blue".into()] };
        for (kind, text, value) in [
            (FieldType::Str, "a=b", "\"a=b\""),
            (FieldType::Int, "-12", "-12"),
            (FieldType::Float, "1.5", "1.5"),
            (FieldType::Bool, "yes", "True"),
            (FieldType::Duration, "1h30m", "1h30m"),
            (FieldType::Secret, "env:TOKEN", "«secret x»"),
            (color.clone(), "red", "\"red\""),
            (FieldType::Optional(Box::new(FieldType::Int)), "", "None"),
            (FieldType::Optional(Box::new(FieldType::Int)), "3", "3"),
            (FieldType::List(Box::new(FieldType::Int)), "[1,2]", "[1, 2]"),
            (FieldType::Any, "plain", "\"plain\""),
        ] {
            assert_eq!(parsed(kind.clone(), text).as_deref(), Ok(value), "{kind} {text}");
        }
        for (kind, text) in [
            (FieldType::Int, "1.5"),
            (FieldType::Float, "nan"),
            (FieldType::Bool, "maybe"),
            (FieldType::Duration, "90"),
            (color, "green"),
            (FieldType::List(Box::new(FieldType::Int)), "[\"a\"]"),
            (FieldType::List(Box::new(FieldType::Int)), "1,2"),
        ] {
            assert!(parsed(kind.clone(), text).is_err(), "{kind} {text}");
        }
    }

    #[test]
    fn a_plain_secret_is_refused_without_being_repeated() {
        let error = parsed(FieldType::Secret, "hunter2hunter2").unwrap_err();
        assert!(!error.contains("hunter2"), "{error}");
    }

    #[test]
    fn fields_are_wanted_each_once() {
        let wanted =
            [("a".to_owned(), FieldType::Int), ("b".to_owned(), FieldType::Optional(Box::new(FieldType::Str)))];
        let given = |given: &[&str]| {
            let given: Vec<String> = given.iter().map(|text| (*text).to_owned()).collect();
            parse(&wanted, &given).map(|fields| fields.len()).map_err(|error| error.message)
        };
        assert_eq!(given(&["a=1"]), Ok(2));
        assert_eq!(given(&["b=x", "a=1"]), Ok(2));
        assert!(given(&[]).is_err_and(|why| why.contains("missing")));
        assert!(given(&["a=1", "a=2"]).is_err_and(|why| why.contains("twice")));
        assert!(given(&["a=1", "c=2"]).is_err_and(|why| why.contains("no field")));
        assert!(given(&["a"]).is_err_and(|why| why.contains("FIELD=VALUE")));
    }
}
