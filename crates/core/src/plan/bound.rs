//! A run bound to a plan: whether what it asks for is something the plan excludes.
//!
//! Owns the index of a plan and the answer. Never decides what follows from it (see `decide::departure`), and never
//! compares outcomes.

use super::{Plan, Step, What};
use crate::digest::Digest;
use crate::hole;
use crate::path::Path;
use crate::request::StepKind;
use serde_json::Value as Json;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// What a run is about to do.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    pub path: &'a Path,
    pub kind: StepKind,
    pub action: &'a Json,
    pub fingerprint: Digest,
}

/// Why the plan excludes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Departure {
    /// The plan has no such step there.
    New,
    /// The plan has another one there: what it does.
    Changed { planned: String },
}

/// A plan, ready to be asked about each step of a run.
#[derive(Debug)]
pub struct Bound {
    plan: Arc<Plan>,
    digest: Digest,
    exact: HashMap<Path, usize>,
    /// Steps whose path has holes.
    patterns: Vec<usize>,
    /// Scopes whose plan ends early.
    ends: HashSet<Path>,
    end_patterns: Vec<Path>,
}

impl Bound {
    pub fn new(plan: Arc<Plan>) -> Self {
        let mut bound = Self {
            digest: plan.digest(),
            plan: plan.clone(),
            exact: HashMap::new(),
            patterns: Vec::new(),
            ends: HashSet::new(),
            end_patterns: Vec::new(),
        };
        for (index, entry) in plan.entries.iter().enumerate() {
            let has_holes = hole::first(entry.path.as_str()).is_some();
            match (&entry.what, has_holes) {
                (What::Step(_), true) => bound.patterns.push(index),
                (What::Step(_), false) => {
                    bound.exact.insert(entry.path.clone(), index);
                }
                (What::End { .. }, true) => bound.end_patterns.push(entry.path.clone()),
                (What::End { .. }, false) => {
                    bound.ends.insert(entry.path.clone());
                }
                _ => {}
            }
        }
        bound
    }

    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Whether the plan excludes what is asked. A step that the plan names must fit it; one that it does not name must
    /// be in a scope whose plan ends early.
    pub fn departure(&self, asked: Asked<'_>) -> Option<Departure> {
        let mut named: Option<&Step> = None;
        for step in self.steps_at(asked.path) {
            if fits(step, asked) {
                return None;
            }
            named = Some(named.unwrap_or(step));
        }
        match named {
            Some(step) => Some(Departure::Changed { planned: step.summary.clone() }),
            None if self.is_open(asked.path) => None,
            None => Some(Departure::New),
        }
    }

    fn steps_at<'a>(&'a self, path: &'a Path) -> impl Iterator<Item = &'a Step> {
        let exact = self.exact.get(path).copied();
        let fitting = |index: &usize| path_fits(&self.plan.entries[*index].path, path);
        let patterns = self.patterns.iter().copied().filter(fitting);
        exact.into_iter().chain(patterns).filter_map(|index| self.plan.entries[index].step())
    }

    /// The path is in a scope whose plan ends early.
    fn is_open(&self, path: &Path) -> bool {
        let around = || std::iter::successors(path.parent(), Path::parent);
        around().any(|scope| {
            self.ends.contains(&scope) || self.end_patterns.iter().any(|pattern| path_fits(pattern, &scope))
        })
    }
}

fn fits(planned: &Step, asked: Asked<'_>) -> bool {
    if planned.kind != asked.kind {
        return false;
    }
    // What is asked has holes only where it is planned itself: it may yet become what was planned.
    if hole::first(&asked.action.to_string()).is_some() {
        return true;
    }
    match planned.fingerprint {
        Some(fingerprint) => fingerprint == asked.fingerprint,
        None => hole::fits(&planned.action, asked.action),
    }
}

/// Name by name: a hole stands for a whole name or for a part of one, never for several.
fn path_fits(planned: &Path, known: &Path) -> bool {
    planned.depth() == known.depth()
        && planned.as_str().split('/').zip(known.as_str().split('/')).all(|(planned, known)| {
            // What is asked while planning has holes of its own.
            hole::text_fits(planned, known) || hole::whole(known).is_some()
        })
}
