//! Parameters as a person gives them: on a command line, in a form, as JSON.
//!
//! Owns the conversion by type and its messages. A secret's plain value never gets into one.

use crate::interface::{Interface, Param};
use piton_core::request::FieldType;
use piton_core::value::{Definition, Record};
use piton_core::{Duration, SecretRef, Text, Value};
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::fmt;

/// What is wrong with a given parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParamError {
    pub name: String,
    pub message: String,
}

impl fmt::Display for ParamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.message)
    }
}

impl std::error::Error for ParamError {}

fn error<T>(name: &str, message: impl Into<String>) -> Result<T, ParamError> {
    Err(ParamError { name: name.to_owned(), message: message.into() })
}

impl Interface {
    pub fn param(&self, name: &str) -> Option<&Param> {
        self.params.iter().find(|param| param.name == name)
    }

    /// Reads one parameter from its text.
    fn parse(&self, name: &str, text: &str) -> Result<Value, ParamError> {
        match self.param(name) {
            Some(param) => Reader { definitions: &self.definitions, name }.text(&param.ty, text),
            None => error(name, self.unknown()),
        }
    }

    /// Reads one parameter from the texts of a flag that may be repeated: a list takes all, anything else the only one.
    pub(crate) fn parse_all(&self, name: &str, texts: &[String]) -> Result<Value, ParamError> {
        let Some(param) = self.param(name) else { return error(name, self.unknown()) };
        match (&param.ty, texts) {
            (_, [only]) => self.parse(name, only),
            (FieldType::List(_), many) => {
                let mut items = Vec::new();
                for text in many {
                    match self.parse(name, text)? {
                        Value::List(more) => items.extend(more),
                        other => items.push(other),
                    }
                }
                Ok(Value::List(items))
            }
            (_, many) => error(name, format!("given {} times; once is enough", many.len())),
        }
    }

    /// Reads a value of any field type, for what a person answers to `ask`.
    pub fn parse_field(&self, name: &str, ty: &FieldType, text: &str) -> Result<Value, ParamError> {
        Reader { definitions: &self.definitions, name }.text(ty, text)
    }

    fn unknown(&self) -> String {
        let names: Vec<&str> = self.params.iter().map(|param| param.name.as_str()).collect();
        match names.as_slice() {
            [] => "there is no such parameter: the runbook takes none".to_owned(),
            names => format!("there is no such parameter; the runbook takes {}", names.join(", ")),
        }
    }

    /// The given parameters in the signature's order; those with defaults may be absent.
    pub(crate) fn complete(&self, given: &[(String, Value)]) -> Result<Vec<(String, Value)>, ParamError> {
        if let Some((name, _)) = given.iter().find(|(name, _)| self.param(name).is_none()) {
            return error(name, self.unknown());
        }
        let mut params = Vec::new();
        for param in &self.params {
            match given.iter().find(|(name, _)| *name == param.name) {
                Some((name, value)) => {
                    if param.ty == FieldType::Secret && !matches!(value, Value::Secret(_)) {
                        return error(
                            name,
                            "a secret is needed, given by reference: env:NAME, file:PATH or cmd:COMMAND",
                        );
                    }
                    params.push((name.clone(), value.clone()));
                }
                None if param.default.is_none() => return error(&param.name, "it must be given"),
                None => {}
            }
        }
        Ok(params)
    }
}

struct Reader<'r> {
    definitions: &'r BTreeMap<String, Definition>,
    name: &'r str,
}

impl Reader<'_> {
    fn error<T>(&self, message: impl Into<String>) -> Result<T, ParamError> {
        error(self.name, message)
    }

    fn definition(&self, name: &str) -> Result<Definition, ParamError> {
        match self.definitions.get(name) {
            Some(of) => Ok(of.clone()),
            None => self.error(format!("the type {name} is not defined")),
        }
    }

    fn text(&self, ty: &FieldType, text: &str) -> Result<Value, ParamError> {
        match ty {
            FieldType::Str => Ok(Value::str(text)),
            FieldType::Path if text.is_empty() => self.error("a path cannot be empty"),
            FieldType::Path => Ok(Value::str(text)),
            FieldType::Int => match text.trim().replace('_', "").parse::<i128>() {
                Ok(int) => Ok(Value::Int(int)),
                Err(_) => self.error(format!("{text:?} is not an integer")),
            },
            FieldType::Float => match text.trim().parse::<f64>() {
                Ok(float) if float.is_finite() => Ok(Value::Float(float)),
                _ => self.error(format!("{text:?} is not a number")),
            },
            FieldType::Bool => match text.trim().to_ascii_lowercase().as_str() {
                "true" | "yes" | "on" | "1" => Ok(Value::Bool(true)),
                "false" | "no" | "off" | "0" => Ok(Value::Bool(false)),
                _ => self.error(format!("{text:?} is neither true nor false")),
            },
            FieldType::Duration => match Duration::parse(text) {
                Ok(duration) => Ok(Value::Duration(duration)),
                Err(error) => self.error(error.to_string()),
            },
            // The text may be the secret itself: the message never repeats it.
            FieldType::Secret => match SecretRef::parse(Some(self.name), text) {
                Ok(secret) => Ok(Value::Secret(Text::secret(secret))),
                Err(error) => self.error(error.to_string()),
            },
            FieldType::Enum { name, values } => self.choice(name, values, text),
            FieldType::Optional(_) if matches!(text, "" | "None") => Ok(Value::None),
            FieldType::Optional(inner) => self.text(inner, text),
            FieldType::List(_) | FieldType::Record { .. } if text.trim_start().starts_with(['[', '{']) => {
                match serde_json::from_str::<Json>(text) {
                    Ok(value) => self.json(ty, &value),
                    Err(error) => self.error(format!("this is not JSON: {error}")),
                }
            }
            FieldType::List(inner) => {
                let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
                Ok(Value::List(items.map(|item| self.text(inner, item)).collect::<Result<_, _>>()?))
            }
            FieldType::Record { name, fields } => {
                let names: Vec<&str> = fields.iter().map(|(name, _)| name.as_str()).collect();
                self.error(format!("a {name} is given as a JSON object with {}", names.join(", ")))
            }
            FieldType::Any => {
                Ok(serde_json::from_str::<Json>(text).map_or_else(|_| Value::str(text), |json| plain(&json)))
            }
        }
    }

    fn choice(&self, name: &str, values: &[String], text: &str) -> Result<Value, ParamError> {
        if !values.iter().any(|value| value == text) {
            return self.error(format!("{text:?} is not one of {}", values.join(", ")));
        }
        Ok(Value::Enum { of: Box::new(self.definition(name)?), value: Box::new(Value::str(text)) })
    }

    fn json(&self, ty: &FieldType, json: &Json) -> Result<Value, ParamError> {
        match (ty, json) {
            (FieldType::Optional(_), Json::Null) => Ok(Value::None),
            (FieldType::Optional(inner), json) => self.json(inner, json),
            (FieldType::Any, json) => Ok(plain(json)),
            (FieldType::Bool, Json::Bool(value)) => Ok(Value::Bool(*value)),
            (FieldType::Int | FieldType::Float, Json::Number(number)) => self.text(ty, &number.to_string()),
            (FieldType::List(inner), Json::Array(items)) => {
                Ok(Value::List(items.iter().map(|item| self.json(inner, item)).collect::<Result<_, _>>()?))
            }
            (FieldType::Record { name, fields }, Json::Object(given)) => {
                let mut values = Vec::new();
                for (field, value) in given {
                    let Some((_, ty)) = fields.iter().find(|(known, _)| known == field) else {
                        return self.error(format!("a {name} has no field {field:?}"));
                    };
                    values.push((field.clone(), self.json(ty, value)?));
                }
                Ok(Value::Record(Box::new(Record { of: self.definition(name)?, fields: values })))
            }
            (FieldType::Bool | FieldType::Int | FieldType::Float, _) | (_, Json::Array(_) | Json::Object(_)) => {
                self.error("the JSON has another type than the parameter")
            }
            (ty, Json::String(text)) => self.text(ty, text),
            _ => self.error("the JSON has another type than the parameter"),
        }
    }
}

/// JSON as a plain value: objects are dicts.
fn plain(json: &Json) -> Value {
    match json {
        Json::Null => Value::None,
        Json::Bool(value) => Value::Bool(*value),
        Json::String(text) => Value::str(text),
        Json::Number(number) => {
            let text = number.to_string();
            text.parse().map_or_else(|_| Value::Float(text.parse().unwrap_or(f64::NAN)), Value::Int)
        }
        Json::Array(items) => Value::List(items.iter().map(plain).collect()),
        Json::Object(fields) => Value::Dict(fields.iter().map(|(k, v)| (Value::str(k), plain(v))).collect()),
    }
}
