//! Actions: values that say what to do. They do nothing until a step performs them, in `steps`.
//!
//! Owns what an author can ask for, its effect on the world, and its one-line description.
//! Never performs anything, and never holds an opened secret.

use crate::ids::RunId;
use crate::secret::{SecretRef, Text};
use crate::value::Value;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What an action does to the world, as far as its own form tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Changes nothing; may be performed at any time, any number of times.
    Read,
    /// Changes the world.
    Write,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Action {
    /// `sh`, `exec`, `script`: a program under the supervisor.
    Process(Process),
    Query(Query),
    Sql(Sql),
    Http(Http),
    WriteFile(WriteFile),
    ReadFile {
        path: String,
    },
    /// What `inverse()` of `write_file` captures: puts the former file back, or removes a file that was not there.
    RestoreFile {
        path: String,
        backup: Option<String>,
    },
    Noop {
        #[serde(default)]
        value: Value,
    },
    /// `now(name)`: the wall clock, RFC 3339 in UTC.
    Now,
    /// `new_id(name)`: 128 random bits in hexadecimal.
    NewId,
    /// `env(variable)`: an environment variable of the engine, read once a run.
    Env {
        variable: String,
    },
    /// `run(name, runbook, ...)`: another run of the same store. The engine itself sees to it.
    Run(ChildRun),
    /// What takes a child run back.
    UndoRun {
        run: RunId,
    },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChildRun {
    /// The file with `main`, below the project's root.
    pub file: String,
    /// Of its sources and scripts: an edited one makes it another step.
    pub digest: crate::Digest,
    /// In the signature's order, defaults among them; secrets as references.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub params: Vec<(String, Value)>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    pub program: Program,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, Text>,
    /// Relative to the project's root, which is the default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stdin: Option<Text>,
    /// The author's word that it changes nothing.
    #[serde(default)]
    pub reads: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Program {
    /// `bash -euo pipefail -c SCRIPT`.
    Shell { script: String },
    /// A program and its arguments, no shell in between.
    Argv { argv: Vec<String> },
    /// A file of the project's tree, run from the run's snapshot. The digest makes an edited script another step.
    Script { path: String, digest: crate::Digest, args: Vec<String> },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Query {
    pub url: Text,
    pub sql: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub params: Vec<Value>,
    /// More rows than this fail.
    pub limit: u64,
}

/// Rows a `query` may return unless it says otherwise.
pub const DEFAULT_ROW_LIMIT: u64 = 10_000;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sql {
    pub url: Text,
    /// Each may hold several statements separated by semicolons; all run in one transaction.
    pub statements: Vec<String>,
    /// For a single statement only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub params: Vec<Value>,
    /// Leaves a mark in the same transaction, so that it happens exactly once.
    #[serde(default)]
    pub once: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Http {
    pub method: String,
    pub url: Text,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<(String, Text)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub json: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Text>,
    /// Status codes that count as success; empty: 200 to 299.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expect: Vec<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WriteFile {
    pub path: String,
    pub text: Text,
    /// Permission bits; default: the former file's, else 0644, or 0600 where the text holds a secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<u32>,
}

impl Action {
    pub fn effect(&self) -> Effect {
        match self {
            Self::Process(process) if process.reads => Effect::Read,
            Self::Http(http) if matches!(http.method.as_str(), "GET" | "HEAD") => Effect::Read,
            Self::Query(_) | Self::ReadFile { .. } | Self::Noop { .. } | Self::Now | Self::NewId | Self::Env { .. } => {
                Effect::Read
            }
            Self::Process(_) | Self::Sql(_) | Self::Http(_) | Self::WriteFile(_) | Self::RestoreFile { .. } => {
                Effect::Write
            }
            Self::Run(_) | Self::UndoRun { .. } => Effect::Write,
        }
    }

    /// Performing it again after any part of it gives the same as performing it once.
    pub fn is_idempotent(&self) -> bool {
        matches!(self, Self::WriteFile(_) | Self::RestoreFile { .. } | Self::UndoRun { .. })
    }

    /// The name an author calls it by.
    pub fn verb(&self) -> &'static str {
        match self {
            Self::Process(process) => match process.program {
                Program::Shell { .. } => "sh",
                Program::Argv { .. } => "exec",
                Program::Script { .. } => "script",
            },
            Self::Query(_) => "query",
            Self::Sql(_) => "sql",
            Self::Http(_) => "http",
            Self::WriteFile(_) => "write_file",
            Self::ReadFile { .. } => "read_file",
            Self::RestoreFile { .. } => "restore_file",
            Self::Noop { .. } => "noop",
            Self::Now => "now",
            Self::NewId => "new_id",
            Self::Env { .. } => "env",
            Self::Run(_) => "run",
            Self::UndoRun { .. } => "undo run",
        }
    }

    /// What it does, in one line without secrets, for screens and receipts.
    pub fn summary(&self) -> String {
        let what = match self {
            Self::Process(process) => match &process.program {
                Program::Shell { script } => script.clone(),
                Program::Argv { argv } => argv.join(" "),
                Program::Script { path, args, .. } => format!("{path} {}", args.join(" ")),
            },
            Self::Query(query) => format!("{}: {}", query.url, query.sql),
            Self::Sql(sql) => format!("{}: {}", sql.url, sql.statements.join("; ")),
            Self::Http(http) => format!("{} {}", http.method, http.url),
            Self::WriteFile(WriteFile { path, .. }) | Self::ReadFile { path } | Self::RestoreFile { path, .. } => {
                path.clone()
            }
            Self::Env { variable } => variable.clone(),
            Self::Run(child) => child.summary(),
            Self::UndoRun { run } => run.to_string(),
            Self::Noop { .. } | Self::Now | Self::NewId => String::new(),
        };
        let words = what.split_whitespace().collect::<Vec<_>>().join(" ");
        if words.is_empty() { self.verb().to_owned() } else { format!("{} {words}", self.verb()) }
    }

    /// Every secret the action will open.
    pub fn secrets(&self) -> Vec<&SecretRef> {
        let mut texts: Vec<&Text> = Vec::new();
        match self {
            Self::Process(process) => texts.extend(process.env.values().chain(&process.stdin)),
            Self::Query(query) => {
                texts.push(&query.url);
                secret_values(&query.params, &mut texts);
            }
            Self::Sql(sql) => {
                texts.push(&sql.url);
                secret_values(&sql.params, &mut texts);
            }
            Self::Http(http) => {
                texts.push(&http.url);
                texts.extend(http.headers.iter().map(|(_, value)| value).chain(&http.body));
                secret_values(http.json.as_slice(), &mut texts);
            }
            Self::WriteFile(write) => texts.push(&write.text),
            _ => {}
        }
        texts.into_iter().flat_map(Text::secrets).collect()
    }
}

impl ChildRun {
    /// The file and what it is given; secrets by their names.
    fn summary(&self) -> String {
        let given = self.params.iter().map(|(name, value)| format!(" {name}={value}"));
        std::iter::once(self.file.clone()).chain(given).collect()
    }
}

fn secret_values<'a>(values: &'a [Value], texts: &mut Vec<&'a Text>) {
    for value in values {
        match value {
            Value::Secret(text) => texts.push(text),
            Value::List(items) | Value::Tuple(items) => secret_values(items, texts),
            Value::Dict(items) => items.iter().for_each(|(_, v)| secret_values(std::slice::from_ref(v), texts)),
            Value::Struct(fields) => secret_fields(fields, texts),
            Value::Record(record) => secret_fields(&record.fields, texts),
            _ => {}
        }
    }
}

fn secret_fields<'a>(fields: &'a [(String, Value)], texts: &mut Vec<&'a Text>) {
    fields.iter().for_each(|(_, value)| secret_values(std::slice::from_ref(value), texts));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_is_one_line_and_masks_secrets() {
        let url = Text::secret(SecretRef::parse(Some("source"), "env:S").unwrap());
        let action = Action::Sql(Sql { url, statements: vec!["drop\n   table x".into()], params: vec![], once: false });
        assert_eq!(action.summary(), "sql «secret source»: drop table x");
        assert_eq!(action.secrets().len(), 1);
        assert_eq!(action.effect(), Effect::Write);
    }

    #[test]
    fn an_action_reads_back_from_its_json() {
        let action = Action::Noop { value: Value::Tuple(vec![1i64.into()]) };
        let json = serde_json::to_string(&action).unwrap();
        assert_eq!(json, r#"{"do":"noop","value":{"$":"tuple","v":[1]}}"#);
        assert_eq!(serde_json::from_str::<Action>(&json).unwrap(), action);
    }
}
