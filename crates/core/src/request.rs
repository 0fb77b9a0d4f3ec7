//! What a runbook asks of the engine: one type for each built-in that touches the world.
//!
//! Owns the requests and their options. Never decides anything (see `decide`) and never knows Starlark: what only the
//! author's code can answer, an engine asks through `Callbacks`.

use crate::action::Action;
use crate::digest::Digest;
use crate::duration::Duration;
use crate::outcome::{Failure, Outcome};
use crate::path::Path;
use crate::value::{Callable, Value};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// Where in a source a call stands; lines and columns from 1.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Site {
    pub file: Arc<str>,
    pub line: u32,
    pub column: u32,
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// Which built-in made a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepKind {
    Step,
    Expect,
    /// `now`, `new_id`, `env`.
    Read,
    Poll,
    Wait,
    Approve,
    Ask,
    Manual,
    /// A child run.
    Run,
}

/// `check(action, predicate)`; without a predicate the action's own truth counts (`Outcome::holds`).
#[derive(Clone, Debug, PartialEq)]
pub struct Check {
    pub action: Action,
    pub has_predicate: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UndoForm {
    None,
    /// `undo = fn` or `undo = ACTION`: ask `Callbacks::undo`.
    Asked,
    /// `undo = inverse()`: the executor captures the former state.
    Inverse,
}

/// `retry(times, backoff, factor, cap, on)`. `times` counts attempts after the first.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Retry {
    pub times: u32,
    pub backoff: Duration,
    pub factor: f64,
    pub cap: Duration,
    pub has_predicate: bool,
}

impl Retry {
    pub const NONE: Self = Self {
        times: 0,
        backoff: Duration::from_secs(1),
        factor: 2.0,
        cap: Duration::from_secs(60),
        has_predicate: false,
    };

    /// Pause before the attempt after `failed` failed ones (from 1): `backoff * factor^(failed-1)`, at most `cap`,
    /// times a jitter in 0.5..1 that is derived from `salt` (run id and path), so that replay agrees.
    pub fn pause(&self, failed: u32, salt: &[u8]) -> Duration {
        let exponent = f64::from(failed.saturating_sub(1).min(64));
        let full = (self.backoff.as_ms() as f64 * self.factor.max(1.0).powf(exponent)).min(self.cap.as_ms() as f64);
        let digest = Digest::of_parts(&[salt, &failed.to_be_bytes()]);
        let jitter = 0.5 + f64::from(digest.as_bytes()[0]) / 512.0;
        Duration::from_ms((full * jitter) as u64)
    }
}

/// `step`, `expect`, `now`, `new_id`, `env`.
#[derive(Clone, Debug)]
pub struct StepRequest {
    pub path: Path,
    pub site: Site,
    pub kind: StepKind,
    /// The author's own: most steps of a resumed run are answered, and nobody needs another.
    pub action: Arc<Action>,
    pub requires: Option<Check>,
    pub ensures: Option<Check>,
    /// `expect`'s own predicate on the action's outcome.
    pub has_predicate: bool,
    pub hint: Option<String>,
    pub undo: UndoForm,
    pub retry: Retry,
    pub timeout: Option<Duration>,
    /// How long `ensures` is polled after the action; zero: looked at once.
    pub settle: Duration,
    pub repeatable: bool,
    pub memory_bytes: Option<u64>,
    /// A read that a plan performs whatever goes before it: the author's word that no write of the runbook changes it.
    pub live: bool,
    pub doc: Option<String>,
}

impl StepRequest {
    /// Hash of what makes the step the same step: its kind and its action. Words, checks and retry policies change
    /// nothing that was done.
    pub fn fingerprint(&self) -> Digest {
        Digest::of_json(&(self.kind, &self.action, self.memory_bytes))
    }
}

/// `poll(name, check, every=, timeout=)`.
#[derive(Clone, Debug)]
pub struct PollRequest {
    pub path: Path,
    pub site: Site,
    pub check: Check,
    pub every: Duration,
    pub timeout: Duration,
    pub doc: Option<String>,
}

impl PollRequest {
    pub fn fingerprint(&self) -> Digest {
        Digest::of_json(&(StepKind::Poll, &self.check.action))
    }
}

/// `wait(name, duration)`.
#[derive(Clone, Debug)]
pub struct WaitRequest {
    pub path: Path,
    pub site: Site,
    pub duration: Duration,
    pub doc: Option<String>,
}

impl WaitRequest {
    pub fn fingerprint(&self) -> Digest {
        Digest::of_json(&(StepKind::Wait, self.duration))
    }
}

/// What is asked of people.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case")]
pub enum Ask {
    /// `by` is a team or a name, for people to read; `count` different uids must agree.
    Approve { by: String, count: u32, not_starter: bool, show: Value, expires: Option<Duration> },
    /// Field names with the types they are checked against.
    Fields { fields: Vec<(String, FieldType)> },
    /// Instructions in Markdown; verified by `ensures` where there is one.
    Manual { instructions: String },
}

impl Ask {
    pub fn kind(&self) -> StepKind {
        match self {
            Self::Approve { .. } => StepKind::Approve,
            Self::Fields { .. } => StepKind::Ask,
            Self::Manual { .. } => StepKind::Manual,
        }
    }
}

/// Type of a parameter or of a field that a person fills in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FieldType {
    Str,
    Int,
    Float,
    Bool,
    Duration,
    Secret,
    Path,
    List(Box<FieldType>),
    Enum { name: String, values: Vec<String> },
    Record { name: String, fields: Vec<(String, FieldType)> },
    Optional(Box<FieldType>),
    Any,
}

impl FieldType {
    /// Whether a value is of this type.
    pub fn accepts(&self, value: &Value) -> bool {
        match (self, value) {
            (Self::Any, _) | (Self::Optional(_), Value::None) => true,
            (Self::Str | Self::Path, Value::Str(_))
            | (Self::Int, Value::Int(_))
            | (Self::Float, Value::Float(_) | Value::Int(_))
            | (Self::Bool, Value::Bool(_))
            | (Self::Duration, Value::Duration(_))
            | (Self::Secret, Value::Secret(_)) => true,
            (Self::List(item), Value::List(items)) => items.iter().all(|value| item.accepts(value)),
            (Self::Enum { values, .. }, Value::Str(text)) => values.iter().any(|value| **value == **text),
            (Self::Enum { values, .. }, Value::Enum { value, .. }) => {
                matches!(&**value, Value::Str(text) if values.iter().any(|value| **value == **text))
            }
            (Self::Record { fields, .. }, Value::Record(given)) => {
                fields.len() == given.fields.len()
                    && fields
                        .iter()
                        .zip(&given.fields)
                        .all(|((name, kind), (known, value))| name == known && kind.accepts(value))
            }
            (Self::Optional(inner), value) => inner.accepts(value),
            _ => false,
        }
    }
}

impl fmt::Display for FieldType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Str => f.write_str("str"),
            Self::Int => f.write_str("int"),
            Self::Float => f.write_str("float"),
            Self::Bool => f.write_str("bool"),
            Self::Duration => f.write_str("duration"),
            Self::Secret => f.write_str("secret"),
            Self::Path => f.write_str("path"),
            Self::List(item) => write!(f, "list[{item}]"),
            Self::Enum { values, .. } => write!(f, "one of {}", values.join(", ")),
            Self::Record { name, .. } => f.write_str(name),
            Self::Optional(inner) => write!(f, "{inner} or None"),
            Self::Any => f.write_str("any"),
        }
    }
}

#[derive(Clone, Debug)]
pub struct PersonRequest {
    pub path: Path,
    pub site: Site,
    pub ask: Ask,
    /// For `manual`.
    pub ensures: Option<Check>,
    pub settle: Duration,
    pub doc: Option<String>,
}

impl PersonRequest {
    pub fn fingerprint(&self) -> Digest {
        Digest::of_json(&self.ask)
    }
}

/// One function call of `each` or `parallel`.
#[derive(Clone, Debug)]
pub struct Branch {
    pub key: String,
    pub call: Callable,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// A failed branch holds the run; its siblings finish their current step.
    Hold,
    /// A failed branch is passed: its result says so.
    Continue,
}

#[derive(Clone, Debug)]
pub struct BranchesRequest {
    pub branches: Vec<Branch>,
    pub concurrency: u32,
    pub on_failure: OnFailure,
}

/// What the engine needs the author's code for while it works on a step. Lives on the evaluating thread.
pub trait Callbacks {
    /// Evaluates a predicate that the request said it has. An error is the author's: a predicate that raised.
    fn predicate(&mut self, which: Predicate, outcome: &Outcome) -> Result<bool, Failure>;
    /// `undo =` before the step (`None`) and after it. `Ok(None)`: nothing to undo.
    fn undo(&mut self, outcome: Option<&Outcome>) -> Result<Option<Action>, Failure>;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Predicate {
    Requires,
    Ensures,
    /// Of `expect` and `poll`.
    Check,
    /// Of `retry(on=)`: asked with the failed attempt's outcome.
    Retry,
}

/// For requests without any predicate or undo.
#[derive(Debug)]
pub struct NoCallbacks;

impl Callbacks for NoCallbacks {
    fn predicate(&mut self, _: Predicate, outcome: &Outcome) -> Result<bool, Failure> {
        Ok(outcome.holds())
    }

    fn undo(&mut self, _: Option<&Outcome>) -> Result<Option<Action>, Failure> {
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_the_cap_and_a_replay_pauses_as_long() {
        let retry = Retry { times: 9, ..Retry::NONE };
        let pauses: Vec<u64> = (1..=9).map(|n| retry.pause(n, b"run/path").as_ms()).collect();
        assert!((500..=1000).contains(&pauses[0]), "{pauses:?}");
        assert!(pauses.iter().all(|ms| *ms <= 60_000), "{pauses:?}");
        assert!(pauses[8] >= 30_000, "{pauses:?}");
        assert_eq!(retry.pause(3, b"run/path"), retry.pause(3, b"run/path"));
    }
}
