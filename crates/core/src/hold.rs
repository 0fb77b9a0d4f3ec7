//! Holds: a run or branch waiting for a person's decision, and the decisions people make.
//!
//! Owns the reasons, each with what may be chosen. Never asks or answers: the command line does.

use crate::digest::Digest;
use crate::event::GuardTripped;
use crate::ids::{Actor, RunId};
use crate::outcome::Failure;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Why a step, or the run, waits for a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "hold", rename_all = "snake_case")]
pub enum HoldReason {
    /// Retries are used up, or there were none.
    Failed {
        failure: Failure,
    },
    /// The attempt was interrupted, nothing of it is alive, `ensures` cannot tell or says "not yet", and the action
    /// is neither atomic nor repeatable.
    Unknown {
        why: String,
    },
    /// It cannot be proven that nothing of the interrupted attempt is still alive.
    Unprovable {
        why: String,
    },
    /// The step is done, with another action than the runbook asks for now.
    Changed {
        was: Digest,
        now: Digest,
    },
    /// The step is done, and the postcondition that an edit gave it does not hold.
    Doubted {
        check: String,
        saw: String,
    },
    /// An edit put it before a commit point that is passed, or into a window that is closed.
    Inserted {
        why: String,
    },
    /// The edited runbook has come to its end without it, and it may have changed something.
    Orphaned {
        why: String,
    },
    /// A secret's value is another than when the run first used it.
    Rotated {
        secret: String,
        source: String,
    },
    UndoFailed {
        failure: Failure,
    },
    /// A failure after a window's commit point: only forward from here.
    PastCommitPoint {
        failure: Failure,
    },
    /// A window went back by itself; `resume --retry` enters it again.
    WentBack {
        window: String,
        why: String,
    },
    /// The runbook itself raised an error.
    Program {
        message: String,
    },
    /// The plan that the run is bound to excludes this step. `planned`: what it has there instead.
    Departed {
        now: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        planned: Option<String>,
    },
    /// A guard tripped; it must pass, or a person waives it.
    Tripped {
        trip: Box<GuardTripped>,
    },
    /// A person took away a lock that a scope of this run held.
    LockBroken {
        lock: String,
        by: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        why: Option<String>,
    },
    /// Runs wait for each other's locks in a circle.
    Deadlock {
        lock: String,
        held_by: RunId,
        why: String,
    },
    /// A person paused the run.
    Paused {
        by: String,
    },
}

impl HoldReason {
    /// The step was done, and an edit has made something else of it: the next edit may put that right.
    pub fn is_about_an_edit(&self) -> bool {
        matches!(self, Self::Changed { .. } | Self::Doubted { .. } | Self::Orphaned { .. })
    }

    /// What a person may choose, as `piton resume` takes it. Trying again is a person's to ask for after an edit or a
    /// repair, too; not where the step is done: that would perform it twice.
    pub fn choices(&self) -> &'static [&'static str] {
        match self {
            Self::Failed { .. } | Self::PastCommitPoint { .. } | Self::Tripped { .. } => &["--retry", "--waive"],
            Self::LockBroken { .. } | Self::Deadlock { .. } => &["--retry"],
            Self::Unknown { .. } => &["--done", "--not-done", "--retry"],
            Self::Unprovable { .. } => &["--retry", "--done", "--not-done"],
            Self::Changed { .. } | Self::Doubted { .. } => &["--keep", "--redo"],
            Self::Orphaned { .. } => &["--keep"],
            Self::Inserted { .. } => &["--waive", "--retry", "--edited"],
            Self::Rotated { .. } | Self::WentBack { .. } | Self::UndoFailed { .. } => &["--retry"],
            Self::Program { .. } => &["--edited", "--retry"],
            Self::Departed { .. } => &["--depart"],
            Self::Paused { .. } => &[],
        }
    }
}

impl fmt::Display for HoldReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed { failure } => write!(f, "{failure}"),
            Self::Unknown { why } => write!(f, "nobody knows whether it happened: {why}"),
            Self::Unprovable { why } => write!(f, "it may still be running: {why}"),
            Self::Changed { .. } => f.write_str("it was done with another action than the runbook asks for now"),
            Self::Doubted { check, saw } => {
                write!(f, "it is done, but its new postcondition does not hold: {check} gave {saw}")
            }
            Self::Inserted { why } => write!(f, "it is new, {why}"),
            Self::Orphaned { why } => write!(f, "the edited runbook has it no more: {why}"),
            Self::Rotated { secret, .. } => {
                write!(
                    f,
                    "the secret {secret} has another value than when this run first used it: is it the same place?"
                )
            }
            Self::UndoFailed { failure } => write!(f, "its undo failed: {failure}"),
            Self::PastCommitPoint { failure } => {
                write!(f, "it failed after the commit point, there is no way back: {failure}")
            }
            Self::WentBack { window, why } => write!(f, "the window \"{window}\" went back: {why}"),
            Self::Program { message } => f.write_str(message),
            Self::Departed { now, planned: None } => write!(f, "the plan has no such step: {now}"),
            Self::Departed { now, planned: Some(planned) } => {
                write!(f, "the plan has another step here: it wants {now}; planned is {planned}")
            }
            Self::Tripped { trip } => trip.fmt(f),
            Self::LockBroken { lock, by, why } => {
                let why = why.as_deref().map(|why| format!(": {why}")).unwrap_or_default();
                write!(f, "its lock \"{lock}\" was broken by {by}{why}")
            }
            Self::Deadlock { lock, why, .. } => {
                write!(f, "waiting for the lock \"{lock}\" would never end: {why}")
            }
            Self::Paused { by } => write!(f, "paused by {by}"),
        }
    }
}

/// What a person decided about a held step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "choose", rename_all = "snake_case")]
pub enum Choice {
    /// Perform it again, with the retry policy's attempts afresh.
    Retry,
    /// It did happen: take it as succeeded.
    Done,
    /// It did not happen: perform it.
    NotDone,
    /// Go past it, whatever became of it.
    Waive,
    /// Keep what was done although the action changed, or the runbook has the step no more.
    Keep,
    /// Undo what was done and do it anew.
    Redo,
    /// Perform it although the plan excludes it.
    Depart,
}

impl Choice {
    /// As `piton resume` takes it, and as `HoldReason::choices` offers it.
    pub fn flag(&self) -> &'static str {
        match self {
            Self::Retry => "--retry",
            Self::Done => "--done",
            Self::NotDone => "--not-done",
            Self::Waive => "--waive",
            Self::Keep => "--keep",
            Self::Redo => "--redo",
            Self::Depart => "--depart",
        }
    }
}

/// A person's decision: who, what they saw, why. The record it stands in says when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    pub by: Actor,
    /// Hash of what was shown to them: the journal's head when they decided.
    pub saw: Digest,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}
