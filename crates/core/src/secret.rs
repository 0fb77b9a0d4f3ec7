//! Secrets by reference, and texts that may contain them.
//!
//! Owns the reference (`env:NAME`, `file:PATH`, `cmd:...`) and its printed form `«secret NAME»`.
//! Never holds a secret's value: references are opened in `steps`, for the length of an action.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Where a secret's value is found when an action needs it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SecretRef {
    /// The name people see: the parameter's, else the reference itself.
    pub name: String,
    /// `env:NAME`, `file:PATH` or `cmd:COMMAND`.
    pub source: String,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "a secret is given by reference, never as a plain value: env:NAME (an environment variable), file:PATH (a file's first line) or cmd:COMMAND (what a command prints)"
)]
pub struct SecretRefError;

impl SecretRef {
    pub fn parse(name: Option<&str>, source: &str) -> Result<Self, SecretRefError> {
        let known =
            ["env:", "file:", "cmd:"].iter().any(|scheme| source.len() > scheme.len() && source.starts_with(scheme));
        if !known {
            // The text may be the secret itself, so the error never repeats it.
            return Err(SecretRefError);
        }
        Ok(Self { name: name.unwrap_or(source).to_owned(), source: source.to_owned() })
    }
}

impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "«secret {}»", self.name)
    }
}

/// One piece of a text.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Part {
    Plain(String),
    Secret { secret: SecretRef },
}

/// A text that may contain secrets, which only the action that receives it opens.
///
/// In JSON: a plain string, or a list of strings and `{"secret": ...}`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct Text {
    parts: Vec<Part>,
}

impl Text {
    pub fn plain(text: impl Into<String>) -> Self {
        let text = text.into();
        Self { parts: if text.is_empty() { Vec::new() } else { vec![Part::Plain(text)] } }
    }

    pub fn secret(secret: SecretRef) -> Self {
        Self { parts: vec![Part::Secret { secret }] }
    }

    #[must_use]
    pub fn concat(mut self, other: Text) -> Self {
        for part in other.parts {
            match (self.parts.last_mut(), part) {
                (Some(Part::Plain(end)), Part::Plain(more)) => end.push_str(&more),
                (_, part) => self.parts.push(part),
            }
        }
        self
    }

    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    pub fn secrets(&self) -> impl Iterator<Item = &SecretRef> {
        self.parts.iter().filter_map(|part| match part {
            Part::Secret { secret } => Some(secret),
            Part::Plain(_) => None,
        })
    }

    /// The whole text where it holds no secret.
    pub fn as_plain(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [] => Some(""),
            [Part::Plain(text)] => Some(text),
            _ => None,
        }
    }
}

impl fmt::Display for Text {
    /// The masked form.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in &self.parts {
            match part {
                Part::Plain(text) => f.write_str(text)?,
                Part::Secret { secret } => write!(f, "{secret}")?,
            }
        }
        Ok(())
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self::plain(text)
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self::plain(text)
    }
}

impl Serialize for Text {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.as_plain() {
            Some(text) => serializer.serialize_str(text),
            None => self.parts.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            Plain(String),
            Parts(Vec<Part>),
        }
        Ok(match Form::deserialize(deserializer)? {
            Form::Plain(text) => Self::plain(text),
            Form::Parts(parts) => Self { parts },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_prints_masked_and_reads_back() {
        let token = SecretRef::parse(Some("token"), "env:TOKEN").unwrap();
        let text = Text::plain("Bearer ").concat(Text::secret(token)).concat(Text::plain("!"));
        assert_eq!(text.to_string(), "Bearer «secret token»!");
        assert_eq!(text.as_plain(), None);
        let json = serde_json::to_string(&text).unwrap();
        assert_eq!(serde_json::from_str::<Text>(&json).unwrap(), text);
        assert_eq!(serde_json::to_string(&Text::plain("x")).unwrap(), "\"x\"");
    }

    #[test]
    fn a_plain_value_is_refused_without_repeating_it() {
        let error = SecretRef::parse(Some("db"), "mysql://root:hunter2@h/db").unwrap_err();
        assert!(!error.to_string().contains("hunter2"));
        assert!(SecretRef::parse(None, "env:").is_err());
    }
}
