//! Between the language and the engine: `Host` is what built-ins call, `Program` what an engine evaluates.
//!
//! Owns the two interfaces and how control leaves a branch early (`Unwind`). Never knows Starlark or a journal.

use crate::event::Stored;
use crate::outcome::{Failure, Outcome};
use crate::path::Path;
use crate::request::{BranchesRequest, Callbacks, PersonRequest, PollRequest, StepRequest, WaitRequest};
use crate::scope::Scope;
use crate::value::{Callable, Value};
use std::sync::Arc;

/// Why an evaluation ends before its function returns. Only `Failed` may be caught by a runbook.
#[derive(Debug, Clone)]
pub enum Unwind {
    /// A step's failure with its retries used up, `fail()`, or an expiry.
    Failed { path: Path, failure: Failure },
    /// A hold is journaled; a person decides.
    Held,
    /// This branch waits for a person or a timer; it is evaluated again when woken.
    Parked,
    /// The run starts nothing more: paused, aborted, going back, or held by a sibling.
    Stopping,
    /// Only while planning: what comes next depends on a hole, on this one.
    Undetermined(String),
    /// The runbook itself is wrong; the text is a whole diagnostic with place and hint.
    Program(String),
    /// The engine cannot go on: the journal cannot be written, the lease is lost, or a bug.
    Broken(String),
}

/// What built-ins call. One host drives one run; it is called from every evaluating thread.
///
/// Outcomes are handed over as the journal keeps them: evaluating holds every one until it ends, and few are looked at.
pub trait Host: Send + Sync {
    /// Performs the step durably, or answers it from the journal. `scope` is the scope the step stands in.
    fn step(
        &self,
        scope: &Arc<Scope>,
        request: &StepRequest,
        callbacks: &mut dyn Callbacks,
    ) -> Result<Stored<Outcome>, Unwind>;

    fn poll(
        &self,
        scope: &Arc<Scope>,
        request: &PollRequest,
        callbacks: &mut dyn Callbacks,
    ) -> Result<Stored<Outcome>, Unwind>;

    fn wait(&self, scope: &Arc<Scope>, request: &WaitRequest) -> Result<(), Unwind>;

    /// `ask` gives its typed fields as a struct in `.value`; `approve` who approved, a list of names.
    fn person(
        &self,
        scope: &Arc<Scope>,
        request: &PersonRequest,
        callbacks: &mut dyn Callbacks,
    ) -> Result<Stored<Outcome>, Unwind>;

    /// Runs `body` as `scope`: a phase, an attempt, a window, a lock. An attempt gives a struct `(ok, value, error)`; the
    /// others give what `body` gives.
    fn scope(&self, scope: &Arc<Scope>, body: &mut dyn FnMut() -> Result<Value, Unwind>) -> Result<Value, Unwind>;

    /// Calls functions as branches of `scope` (an `each` or a `parallel`); results in the branches' order. With
    /// `OnFailure::Continue` each result is a struct `(ok, value, error)`.
    fn branches(&self, scope: &Arc<Scope>, request: BranchesRequest) -> Result<Vec<Value>, Unwind>;

    /// `path` is the commit point's own path.
    fn commit_point(&self, scope: &Arc<Scope>, path: &Path) -> Result<(), Unwind>;

    fn emit(&self, scope: &Arc<Scope>, path: &Path, name: &str, value: &Value) -> Result<(), Unwind>;

    fn note(&self, scope: &Arc<Scope>, path: &Path, markdown: &str) -> Result<(), Unwind>;
}

/// A loaded runbook. Evaluating it is deterministic: same answers from the host, same requests to it.
pub trait Program: Send + Sync {
    /// Evaluates `main` on the calling thread.
    fn main(&self, host: &dyn Host, params: &[(String, Value)]) -> Result<Value, Unwind>;

    /// Calls a top-level function as the branch `scope`, on the calling thread, with a heap of its own.
    fn call(&self, host: &dyn Host, scope: &Arc<Scope>, call: &Callable) -> Result<Value, Unwind>;

    /// The program of a runbook that this one may run as a child; a planning copy's are planning copies.
    fn child(&self, _file: &str) -> Option<Arc<dyn Program>> {
        None
    }

    /// Asks a top-level function about an outcome, on the calling thread, with a heap of its own. It can make no steps. An
    /// error is the author's: it raised one.
    fn judge(&self, predicate: &Callable, outcome: &Arc<Outcome>) -> Result<bool, Failure>;
}

#[derive(Debug, Clone, thiserror::Error)]
pub enum SourceError {
    #[error("{path} is outside the project: only files below its root can be loaded")]
    Outside { path: String },
    #[error("{path} does not exist in the project")]
    Missing { path: String },
    #[error("{path} cannot be read: {why}")]
    Unreadable { path: String, why: String },
    #[error("{path} has {bytes} bytes; a source or script may have at most {limit}")]
    TooLarge { path: String, bytes: u64, limit: u64 },
}

/// The project's tree, or a run's snapshot of it.
pub trait Sources: Send + Sync {
    /// Reads a file by its path below the root, with `/` between names. Never follows a path out of the root.
    fn read(&self, path: &str) -> Result<Vec<u8>, SourceError>;
}
