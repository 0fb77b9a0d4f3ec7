//! A plan: the steps that a runbook would make, with holes where that depends on results.
//!
//! Owns what a plan says, its digest, what it excludes (`Bound`), and how two plans differ (`compare`). Pure: a plan is
//! made by `engine`'s planner and printed by `cli`.
//!
//! Compatibility: plan files outlive versions. Add optional fields; never rename or reuse one.

mod bound;
mod compare;
pub mod edit;
pub mod estimate;
pub mod past;

pub use bound::{Asked, Bound, Departure};
pub use compare::{Changed, Changes, Line, compare};

use crate::action::Effect;
use crate::digest::Digest;
use crate::event::Evidence;
use crate::guard::GuardTold;
use crate::hole;
use crate::path::Path;
use crate::request::{Site, StepKind};
use crate::scope::ScopeKind;
use crate::value::Value;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use std::collections::BTreeSet;

/// Version of what a plan says. A newer plan is refused, not guessed.
pub const FORMAT: u32 = 1;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    pub format: u32,
    pub runbook: PlannedRunbook,
    /// Parameters in the signature's order; secrets as references.
    pub params: Vec<(String, Value)>,
    /// Version of Piton that made it.
    pub piton: String,
    /// True where nothing was read.
    pub offline: bool,
    /// In program order; branches in the order of their items.
    pub entries: Vec<Entry>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedRunbook {
    pub title: String,
    /// Below the project's root.
    pub file: String,
    /// Digest of the sources and scripts, as a run's snapshot has it.
    pub digest: Digest,
    pub sources: Vec<(String, Digest)>,
}

/// One line of a plan. Names within a path may be holes, whole or in part.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    pub path: Path,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<Site>,
    pub what: What,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// A scope is entered. `total`: its branches, where it has any and their number is known.
    Scope {
        kind: ScopeKind,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        total: Option<u64>,
        /// Branches at a time, at most. Words of a run's speed: no part of the plan's digest.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        concurrency: Option<u32>,
        /// What watches over it.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        guards: Vec<GuardTold>,
    },
    Step(Box<Step>),
    CommitPoint,
    /// The plan of this scope ends here, and why. What follows in it is not known.
    End {
        why: String,
    },
    /// The step above this line was looked at, and would fail now.
    Fails {
        message: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        hint: Option<String>,
    },
}

/// What is known of a step's outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Known {
    /// Nothing: a hole stands for it.
    Later,
    /// It reads, and was read while the plan was made.
    Read,
    /// Its postcondition holds: it would do nothing.
    AlreadyTrue,
    /// The run's journal has it.
    Done,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    pub kind: StepKind,
    /// Absent: it has no action (a wait, a question).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effect: Option<Effect>,
    /// The action, a wait's duration, or the question; holes are marks in its texts.
    pub action: Json,
    /// The same in one line.
    pub summary: String,
    /// Absent: the action has holes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<Digest>,
    pub known: Known,
    /// What came back, in one line. Live: no part of the plan's digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub saw: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requires: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ensures: Option<String>,
    /// Done, and its postcondition is another one now, which does not hold: what was looked at and seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub doubt: Option<Evidence>,
    /// What would take it back, were nothing more known than before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undo: Option<String>,
}

/// How much of what a plan has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    pub steps: u64,
    /// Steps that would change the world.
    pub writes: u64,
    /// Reads done while the plan was made.
    pub read_now: u64,
    pub already_true: u64,
    /// Different things that the plan uses and does not know.
    pub holes: u64,
    /// Scopes whose plan ends early.
    pub ends: u64,
    pub fails_now: u64,
}

impl Plan {
    /// What is approved: the runbook, the parameters and the steps. Not the version that made it, and not what reads
    /// gave: the same plan made again has the same digest.
    pub fn digest(&self) -> Digest {
        let entries: Vec<Entry> = self.entries.iter().map(Entry::without_live).collect();
        Digest::of_json(&(self.format, &self.runbook, &self.params, entries))
    }

    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        let mut holes = BTreeSet::new();
        for entry in &self.entries {
            find_holes(entry.path.as_str(), &mut holes);
            match &entry.what {
                What::Step(step) => {
                    counts.steps += 1;
                    let acts = step.effect == Some(Effect::Write) && step.known == Known::Later;
                    counts.writes += u64::from(acts);
                    counts.read_now += u64::from(step.known == Known::Read);
                    counts.already_true += u64::from(step.known == Known::AlreadyTrue);
                    find_holes(&step.action.to_string(), &mut holes);
                }
                What::End { .. } => counts.ends += 1,
                What::Fails { .. } => counts.fails_now += 1,
                What::Scope { .. } | What::CommitPoint => {}
            }
        }
        counts.holes = holes.len() as u64;
        counts
    }

    /// The windows of the plan.
    pub fn windows(&self) -> impl Iterator<Item = &Entry> {
        let window = |entry: &&Entry| matches!(entry.what, What::Scope { kind: ScopeKind::Window { .. }, .. });
        self.entries.iter().filter(window)
    }
}

impl Entry {
    pub fn step(&self) -> Option<&Step> {
        match &self.what {
            What::Step(step) => Some(step),
            _ => None,
        }
    }

    fn without_live(&self) -> Self {
        let mut entry = self.clone();
        match &mut entry.what {
            What::Step(step) => step.saw = None,
            What::Fails { message, hint } => (*message, *hint) = (String::new(), None),
            What::Scope { concurrency, .. } => *concurrency = None,
            What::CommitPoint | What::End { .. } => {}
        }
        entry
    }
}

fn find_holes(text: &str, holes: &mut BTreeSet<String>) {
    let mut rest = text;
    while let Some(what) = hole::first(rest) {
        holes.insert(what.to_owned());
        rest = rest.split_once(hole::CLOSE).map_or("", |(_, after)| after);
    }
}

#[cfg(test)]
mod tests;
