//! What the journal knows of one step.
//!
//! Owns the phases. Only `apply` moves a step from one to another.

use crate::action::Action;
use crate::digest::Digest;
use crate::event::{AttemptStarted, How, PersonAnswered, PersonAsked, Stored, TimerSet, UndoStarted};
use crate::hold::{Choice, Decision, HoldReason};
use crate::outcome::{Failure, Outcome};
use crate::record::Moment;
use crate::request::{Site, StepKind};
use std::sync::Arc;

/// A run may have a hundred thousand: what is rare is boxed, what they share is shared.
#[derive(Clone, Debug)]
pub struct Step {
    pub kind: StepKind,
    pub site: Site,
    /// Of the last attempt, success or question.
    pub fingerprint: Digest,
    /// From 1; grows each time the step is begun again after it was taken back.
    pub generation: u32,
    /// Attempts of this generation, whatever became of them.
    pub attempts: u32,
    /// Attempts that a person's `Retry` has made forgotten: the retry policy counts from here.
    pub forgiven: u32,
    pub phase: Phase,
    /// The attempt of which something may be alive: it began, and neither its end nor its death is journaled. A hold
    /// and a person's decision leave it, so that trying again looks after it first.
    pub open: Option<Arc<AttemptStarted>>,
    /// What the last attempt of this generation gave, for whoever keeps or waives it.
    pub outcome: Option<Stored<Outcome>>,
    /// How it came to be done, in this generation; a hold over what an edit made of it leaves that.
    pub how: Option<How>,
    /// Attempts of this generation that may have had an effect, oldest first.
    pub began: Vec<Began>,
    pub undo: UndoProgress,
    pub first_seq: u64,
    /// Of its last attempt's start or end. Taking back goes from the largest down.
    pub last_seq: u64,
    pub started_at: Moment,
    pub ended_at: Option<Moment>,
}

/// An attempt that may have had an effect, and what takes it back.
#[derive(Clone, Debug)]
pub struct Began {
    pub attempt: u32,
    pub undo: Option<Arc<Action>>,
}

#[derive(Clone, Debug)]
pub enum Phase {
    /// Its intent is durable; no end is known.
    Running(Arc<AttemptStarted>),
    Failed {
        failure: Box<Failure>,
        retry_at_us: Option<i64>,
    },
    Held(Box<HoldReason>),
    /// A person decided; the engine has not acted on it yet.
    Decided {
        choice: Choice,
        decision: Box<Decision>,
        outcome: Option<Stored<Outcome>>,
    },
    Succeeded {
        how: How,
        outcome: Stored<Outcome>,
    },
    Asked {
        asked: Arc<PersonAsked>,
        answers: Vec<PersonAnswered>,
    },
    Timer(Box<TimerSet>),
    /// The edited runbook does not come to it, and a person keeps what it may have done: it can still be taken back.
    Dropped,
    /// Taken back, or forgotten with the scope that was taken back.
    Undone,
}

/// How far taking back this step has come.
#[derive(Clone, Debug, Default)]
pub struct UndoProgress {
    pub attempts: u32,
    pub running: Option<Arc<UndoStarted>>,
    pub retry_at_us: Option<i64>,
    /// Retries are used up.
    pub held: Option<Box<Failure>>,
}

impl Step {
    pub(super) fn new(kind: StepKind, site: Site, fingerprint: Digest, seq: u64, at: Moment) -> Self {
        Self {
            kind,
            site,
            fingerprint,
            generation: 1,
            attempts: 0,
            forgiven: 0,
            phase: Phase::Undone,
            open: None,
            outcome: None,
            how: None,
            began: Vec::new(),
            undo: UndoProgress::default(),
            first_seq: seq,
            last_seq: seq,
            started_at: at,
            ended_at: None,
        }
    }

    pub fn is_done(&self) -> bool {
        matches!(self.phase, Phase::Succeeded { .. })
    }

    /// It is done, or was, and holds for what an edit has made of it: its outcome stands until a person decides.
    pub fn done(&self) -> Option<(How, &Stored<Outcome>)> {
        match &self.phase {
            Phase::Succeeded { how, outcome } => Some((*how, outcome)),
            Phase::Held(reason) if reason.is_about_an_edit() => self.how.zip(self.outcome.as_ref()),
            _ => None,
        }
    }

    pub fn is_held(&self) -> bool {
        matches!(self.phase, Phase::Held(_)) || self.undo.held.is_some()
    }

    /// Taking back does not get past it.
    pub fn is_stuck(&self) -> bool {
        let stops = |reason: &HoldReason| matches!(reason, HoldReason::Unprovable { .. } | HoldReason::Rotated { .. });
        self.undo.held.is_some() || matches!(&self.phase, Phase::Held(reason) if stops(reason))
    }

    /// Something of it is under way. What was decided is not: it may have to wait behind a question; nor is what failed.
    pub fn is_running(&self) -> bool {
        matches!(self.phase, Phase::Running(_))
    }

    /// For a person, a timer, or the time of its next attempt.
    pub fn is_waiting(&self) -> bool {
        matches!(self.phase, Phase::Asked { .. } | Phase::Timer(_) | Phase::Failed { retry_at_us: Some(_), .. })
    }

    /// When it goes on by itself, wall clock, microseconds: a timer, the end of a question, the next attempt.
    pub fn due_us(&self) -> Option<i64> {
        match &self.phase {
            Phase::Timer(timer) => Some(timer.due_at_us),
            Phase::Asked { asked, .. } => asked.expires_at_us,
            Phase::Failed { retry_at_us, .. } => *retry_at_us,
            _ => None,
        }
    }

    /// What takes this step back: the undos of all attempts that may have begun, latest first, equal ones once.
    pub fn undo_actions(&self) -> Vec<Arc<Action>> {
        let mut actions: Vec<Arc<Action>> = Vec::new();
        for began in self.began.iter().rev() {
            if let Some(undo) = &began.undo
                && !actions.iter().any(|known| known == undo)
            {
                actions.push(undo.clone());
            }
        }
        actions
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_small_for_a_run_may_have_a_hundred_thousand() {
        assert!(size_of::<Phase>() <= 40, "{}", size_of::<Phase>());
        assert!(size_of::<Step>() <= 256, "{}", size_of::<Step>());
    }
}
