//! How long a plan will take, from what past runs took.
//!
//! Owns the arithmetic: steps after each other add up, branches side by side are given to as many hands as the runbook
//! allows, a scope whose plan ends early takes what it took before. Never guesses: what was never timed is counted and
//! said. People's time is not estimated at all.

mod pause;

pub use pause::{Measured, Warning, WindowEstimate};

use super::past::{Past, Typical};
use super::{Entry, Known, Plan, What};
use crate::duration::Duration;
use crate::path::Path;
use crate::request::StepKind;
use crate::scope::ScopeKind;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};

/// Branches that a template stands for, at most: what past runs say is not ours.
const MAX_BRANCHES: u64 = 1_000_000;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Estimate {
    /// Runs that succeeded, and rehearsals, which it is from.
    pub runs: u32,
    pub rehearsals: u32,
    /// The whole run.
    pub total: Span,
    /// Questions to people: their time comes on top.
    pub people: u64,
    /// What each line of the plan takes, where anything is known of it; by the line's number, from 0.
    pub lines: Vec<(usize, Span)>,
    pub windows: Vec<WindowEstimate>,
}

/// A span of time, as far as it is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    pub us: u64,
    /// Steps and scopes in it of which no past run tells: their time comes on top.
    pub untimed: u64,
    /// Some of it only rehearsals tell.
    pub rehearsed: bool,
}

impl Span {
    const UNTIMED: Self = Self { us: 0, untimed: 1, rehearsed: false };
    const NOTHING: Self = Self { us: 0, untimed: 0, rehearsed: false };

    fn then(self, next: Self) -> Self {
        Self {
            us: self.us.saturating_add(next.us),
            untimed: self.untimed + next.untimed,
            rehearsed: self.rehearsed || next.rehearsed,
        }
    }

    fn of(known: Option<Typical>) -> Self {
        known.map_or(Self::UNTIMED, |known| Self { us: known.value, untimed: 0, rehearsed: known.rehearsed })
    }
}

/// What the plan's steps and scopes will take. `None`: no past run tells anything.
pub fn estimate(plan: &Plan, past: &Past) -> Option<Estimate> {
    if past.is_empty() {
        return None;
    }
    let mut timing = Timing::new(&plan.entries, past);
    let total = timing.scope(None);
    let people = |entry: &&Entry| entry.step().is_some_and(|step| asks(step.kind) && step.known == Known::Later);
    Some(Estimate {
        runs: past.runs,
        rehearsals: past.rehearsals,
        total,
        people: plan.entries.iter().filter(people).count() as u64,
        windows: timing.windows(),
        lines: timing.lines(),
    })
}

fn asks(kind: StepKind) -> bool {
    matches!(kind, StepKind::Approve | StepKind::Ask | StepKind::Manual)
}

/// The plan as a tree, and what is known of each of its lines.
struct Timing<'a> {
    entries: &'a [Entry],
    past: &'a Past,
    /// Scopes whose branches have keys, as the past knows them.
    each: HashSet<String>,
    /// Lines inside each scope, in their order, by the scope's line; those of the run itself have none.
    inside: HashMap<Option<usize>, Vec<usize>>,
    spans: Vec<Option<Span>>,
}

impl<'a> Timing<'a> {
    fn new(entries: &'a [Entry], past: &'a Past) -> Self {
        let scopes = entries.iter().enumerate().filter_map(|(at, entry)| match &entry.what {
            What::Scope { kind, .. } => Some((&entry.path, (at, kind))),
            _ => None,
        });
        let scopes: HashMap<&Path, (usize, &ScopeKind)> = scopes.collect();
        let each = scopes.iter().filter(|(_, (_, kind))| matches!(kind, ScopeKind::Each { .. }));
        let each = each.map(|(path, _)| path.as_str().to_owned()).collect();
        let mut inside: HashMap<Option<usize>, Vec<usize>> = HashMap::new();
        for (at, entry) in entries.iter().enumerate() {
            let around = match &entry.what {
                What::End { .. } => scopes.get(&entry.path).copied(),
                _ => std::iter::successors(entry.path.parent(), Path::parent)
                    .find_map(|scope| scopes.get(&scope).copied()),
            };
            inside.entry(around.map(|(scope, _)| scope)).or_default().push(at);
        }
        Self { entries, past, each, inside, spans: vec![None; entries.len()] }
    }

    /// What one line takes.
    fn line(&mut self, at: usize) -> Span {
        let entry = &self.entries[at];
        let span = match &entry.what {
            What::Step(step) if asks(step.kind) => return Span::NOTHING,
            What::Step(step) if step.kind == StepKind::Wait => {
                // It says so itself, unless the time is not known yet.
                let known: Option<Duration> = serde_json::from_value(step.action.clone()).ok();
                let known = known.map(|wait| Typical { value: wait.as_ms().saturating_mul(1000), rehearsed: false });
                Span::of(known.or_else(|| self.past.step(&entry.path, &self.each)))
            }
            What::Step(_) => Span::of(self.past.step(&entry.path, &self.each)),
            What::Scope { .. } => self.scope(Some(at)),
            What::CommitPoint | What::End { .. } | What::Fails { .. } => return Span::NOTHING,
        };
        self.spans[at] = Some(span);
        span
    }

    /// What a scope takes, with everything in it.
    fn scope(&mut self, at: Option<usize>) -> Span {
        let inside = self.inside.get(&at).cloned().unwrap_or_default();
        let sum = match at.map(|at| &self.entries[at].what) {
            Some(What::Scope { kind: ScopeKind::Each { .. } | ScopeKind::Parallel, total, concurrency, .. }) => {
                let hands = concurrency.unwrap_or(1).max(1) as usize;
                let branches: Vec<Span> = inside.iter().map(|branch| self.line(*branch)).collect();
                let path = at.map_or_else(Path::root, |at| self.entries[at].path.clone());
                self.side_by_side(&path, &branches, *total, hands)
            }
            _ => inside.iter().fold(Span::NOTHING, |span, line| span.then(self.line(*line))),
        };
        let ends = inside.iter().any(|line| matches!(self.entries[*line].what, What::End { .. }));
        if !ends {
            return sum;
        }
        // What follows in it is not planned; the past knows how long the whole of it takes.
        let path = at.map_or_else(Path::root, |at| self.entries[at].path.clone());
        match self.past.scope(&path, &self.each) {
            Some(known) => Span { us: known.value.max(sum.us), untimed: 0, rehearsed: known.rehearsed },
            None => sum.then(Span::UNTIMED),
        }
    }

    /// Branches are begun in their order, each by the first hand that is free. One template branch stands for as many as
    /// past runs had.
    fn side_by_side(&self, path: &Path, branches: &[Span], total: Option<u64>, hands: usize) -> Span {
        let mut all = branches.iter().fold(Span::NOTHING, |all, branch| all.then(*branch));
        if let (None, [template]) = (total, branches) {
            let Some(number) = self.past.branches(path, &self.each) else {
                return Span { untimed: all.untimed.max(1), ..all };
            };
            let turns = number.value.min(MAX_BRANCHES).div_ceil(hands as u64);
            let us = template.us.saturating_mul(turns);
            return Span { us, rehearsed: all.rehearsed || number.rehearsed, ..all };
        }
        let mut free: BinaryHeap<Reverse<u64>> = (0..hands.min(branches.len())).map(|_| Reverse(0)).collect();
        let mut end = 0;
        for branch in branches {
            let Reverse(start) = free.pop().unwrap_or(Reverse(0));
            let ends = start.saturating_add(branch.us);
            free.push(Reverse(ends));
            end = end.max(ends);
        }
        all.us = end;
        all
    }

    fn lines(&self) -> Vec<(usize, Span)> {
        let known = |(at, span): (usize, &Option<Span>)| Some((at, (*span)?));
        let told = |(_, span): &(usize, Span)| span.us > 0 || span.untimed == 0;
        self.spans.iter().enumerate().filter_map(known).filter(told).collect()
    }
}

#[cfg(test)]
mod tests;
