//! Between the engine and those who act: how an action is prepared, performed, re-attached and proven dead.
//!
//! Owns the interface. The engine journals `AttemptStarted` between `prepare` and `perform`: preparing has no effect
//! on the world that matters (a connection, a directory, a backup link), performing has.

use super::cancel::Cancel;
use crate::action::Action;
use crate::digest::Digest;
use crate::duration::Duration;
use crate::event::Handle;
use crate::ids::RunId;
use crate::outcome::{Failure, Outcome};
use crate::path::Path;
use crate::progress::Said;
use crate::secret::SecretRef;
use std::path::PathBuf;

/// What an action is performed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    Act,
    Undo,
    /// A read without intent: a check, a probe, a poll's look.
    Look,
}

/// Which attempt of which step of which run this is.
#[derive(Clone, Debug)]
pub struct AttemptContext {
    pub run: RunId,
    /// The run's own directory: attempts, outputs, snapshot. Absolute.
    pub run_dir: PathBuf,
    /// The project's root, where relative paths of actions start. Absolute.
    pub root: PathBuf,
    pub path: Path,
    pub generation: u32,
    pub attempt: u32,
    pub purpose: Purpose,
    pub timeout: Option<Duration>,
    pub memory_bytes: Option<u64>,
}

/// An action that did not succeed.
#[derive(Clone, Debug)]
pub struct ActionFailed {
    pub failure: Failure,
    /// What came back nevertheless: exit code, output.
    pub outcome: Option<Outcome>,
    /// True where it is proven that the action had no effect.
    pub never_began: bool,
    /// True where the reply was lost: it may have happened. The engine finds out as after a crash.
    pub unknown: bool,
}

impl From<Failure> for ActionFailed {
    fn from(failure: Failure) -> Self {
        Self { failure, outcome: None, never_began: false, unknown: false }
    }
}

pub trait Executor: Send + Sync {
    /// Gets ready: opens a session, makes the attempt's directory. A failure here means the action never began.
    fn prepare(&self, action: &Action, context: &AttemptContext) -> Result<Box<dyn Prepared>, Failure>;

    /// After a crash: finds out what became of an attempt, ending what can be ended (rule: prove that nothing of it is
    /// alive before anyone probes or acts). Blocks at most a bounded time.
    fn remains(&self, action: &Action, handle: &Handle, context: &AttemptContext) -> Remains;

    /// What a running attempt has printed last, for screens. Masked.
    fn said(&self, _context: &AttemptContext) -> Option<Said> {
        None
    }
}

pub trait Prepared: Send {
    /// How a later engine finds this attempt.
    fn handle(&self) -> Handle;

    /// True where the action happens whole or not at all (one transaction, an atomic rename).
    fn atomic(&self) -> bool;

    /// For `undo = inverse()`: captures the former state. `Ok(None)`: this action cannot capture it.
    fn inverse(&mut self) -> Result<Option<Action>, Failure>;

    /// Performs the action; when `cancel` fires, ends it and leaves nothing behind.
    fn perform(self: Box<Self>, cancel: &Cancel) -> Result<Outcome, ActionFailed>;
}

/// A command that survived the engine which started it.
pub trait Running: Send {
    /// Waits for it, with its output and timeout intact; when `cancel` fires, ends it.
    fn wait(self: Box<Self>, cancel: &Cancel) -> Result<Outcome, ActionFailed>;
}

/// What is left of an attempt whose engine is gone.
#[allow(clippy::large_enum_variant, reason = "one at a time, never stored")]
pub enum Remains {
    /// It ended by itself, and its record says how.
    Exited(Result<Outcome, ActionFailed>),
    /// It still runs.
    Running(Box<dyn Running>),
    /// Nothing of it is alive, and what it did is unknown.
    Gone,
    /// It is proven that it had no effect and never will.
    NeverBegan,
    /// It cannot be proven that nothing of it is alive.
    Unprovable(String),
}

/// Opens secrets and masks them.
pub trait Vault: Send + Sync {
    /// Opens the secret, remembers its value for masking, and gives its keyed hash (HMAC-SHA256, the store's key).
    /// Refuses values under 6 bytes, which cannot be masked without masking everything.
    fn admit(&self, secret: &SecretRef) -> Result<Digest, Failure>;

    /// Replaces every known secret, in all its encodings, by `«secret NAME»`. `None`: nothing to replace.
    fn mask(&self, text: &str) -> Option<String>;
}
