//! What an action produced, and what made an attempt fail.
//!
//! Owns the shape authors see as `.ok .code .out .rows ...` and the meaning of "a bare action holds".
//! Never holds a secret: executors mask every text before it gets here.

use crate::child::ChildEnd;
use crate::value::Value;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Bytes of one output kept in the outcome; more is an artifact file kept as long as its run.
pub const MAX_INLINE_BYTES: usize = 1024 * 1024;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Outcome {
    pub ok: bool,
    /// Exit code of a process; absent where a signal ended it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signal: Option<i32>,
    /// Standard output of a process, a file's text, a response's body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub out: Option<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub err: Option<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows: Option<Rows>,
    /// Rows changed by `sql`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub affected: Option<u64>,
    /// Value of `noop`, `ask`, `now`, `new_id`, `env`; a query's value is taken from its rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<(String, String)>,
    /// Outputs longer than `MAX_INLINE_BYTES`, whole.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub artifacts: Vec<Artifact>,
    /// Microseconds the action took.
    pub took_us: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// The child run that it was, and how that ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<Box<ChildEnd>>,
    /// What a person should know about how it ran: output cut, limit not enforced, processes left.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Rows {
    pub columns: Vec<String>,
    pub rows: Vec<Vec<Value>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artifact {
    /// `out` or `err`.
    pub name: String,
    /// Below the run's directory.
    pub file: String,
    pub bytes: u64,
    pub digest: crate::Digest,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    pub cpu_us: u64,
    pub max_rss_bytes: u64,
}

impl Outcome {
    /// A planner's outcome of what it does not perform: a hole, as a whole.
    pub fn hole(of: &str) -> Self {
        Self { ok: true, value: Some(Value::from(crate::hole::mark(of))), ..Self::default() }
    }

    /// What a planner's outcome stands for.
    pub fn as_hole(&self) -> Option<&str> {
        match &self.value {
            Some(Value::Str(text)) => crate::hole::whole(text),
            _ => None,
        }
    }

    /// Meaning of a bare action in `ensures`, `requires`, `expect`: it succeeded, and if it gives a value, the value
    /// is true. Databases say truth as 1, '1', 't', 'true', so those texts count as they mean.
    pub fn holds(&self) -> bool {
        self.ok
            && self.scalar().is_none_or(|value| match &value {
                Value::Str(text) => {
                    !matches!(text.to_ascii_lowercase().as_str(), "" | "0" | "f" | "false" | "no" | "off")
                }
                other => other.truth(),
            })
    }

    /// The value it gives: its own, else the only column of a query's only row. A query that gives no rows, or a
    /// NULL, gives `None`, which is not true.
    pub fn scalar(&self) -> Option<Value> {
        if let Some(value) = &self.value {
            return Some(value.clone());
        }
        match self.rows.as_ref()?.rows.as_slice() {
            [] => Some(Value::None),
            [row] if row.len() == 1 => row.first().cloned(),
            // Rows without a single value: that there are any is what a bare check asks for.
            _ => None,
        }
    }

    /// One line for screens.
    pub fn summary(&self) -> String {
        let mut parts = Vec::new();
        if let Some(code) = self.code.filter(|code| *code != 0) {
            parts.push(format!("exit {code}"));
        }
        if let Some(signal) = self.signal {
            parts.push(format!("signal {signal}"));
        }
        if let Some(status) = self.status {
            parts.push(format!("status {status}"));
        }
        match (&self.rows, self.scalar()) {
            (_, Some(value)) => parts.push(clip(&value.to_string())),
            (Some(rows), None) => parts.push(format!("{} rows", rows.rows.len())),
            _ => {}
        }
        if let Some(line) = self.out.as_deref().and_then(|out| out.lines().rfind(|line| !line.trim().is_empty())) {
            parts.push(clip(line.trim()));
        }
        if parts.is_empty() {
            parts.push(if self.ok { "ok".into() } else { "failed".into() });
        }
        parts.join(", ")
    }
}

/// First 120 characters.
fn clip(text: &str) -> String {
    let mut line: String = text.chars().take(120).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().nth(120).is_some() {
        line.push('…');
    }
    line
}

/// Why an attempt, a check or a scope failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    pub kind: FailureKind,
    /// What happened, for a person; secrets masked.
    pub message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// The action did not succeed.
    Action,
    Timeout,
    /// The engine died meanwhile; it may be performed again.
    Interrupted,
    /// Killed for its memory.
    Memory,
    /// `requires` did not hold.
    Requires,
    /// The action succeeded and `ensures` did not hold in time.
    Ensures,
    /// An `expect` that does not hold.
    Expect,
    /// A predicate of the author's raised an error.
    Predicate,
    /// `fail()`.
    Fail,
    /// A person said no.
    Rejected,
    /// An approval or a poll ran out of time.
    Expired,
    /// A window went back.
    WentBack,
    /// It was ended because the run was aborted or went back.
    Stopped,
}

impl Failure {
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), hint: None }
    }

    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(rows: Vec<Vec<Value>>) -> Outcome {
        Outcome { ok: true, rows: Some(Rows { columns: vec![], rows }), ..Outcome::default() }
    }

    #[test]
    fn a_bare_check_holds_when_the_database_says_so() {
        for (outcome, holds) in [
            (query(vec![vec![Value::Int(1)]]), true),
            (query(vec![vec![Value::Int(0)]]), false),
            (query(vec![vec![Value::str("t")]]), true),
            (query(vec![vec![Value::str("0")]]), false),
            (query(vec![vec![Value::None]]), false),
            (query(vec![]), false),
            (query(vec![vec![Value::Int(0), Value::Int(0)]]), true),
            (Outcome { ok: true, ..Outcome::default() }, true),
            (Outcome { ok: false, ..Outcome::default() }, false),
            (Outcome { ok: true, value: Some(Value::Bool(false)), ..Outcome::default() }, false),
        ] {
            assert_eq!(outcome.holds(), holds, "{outcome:?}");
        }
    }
}
