//! Windows in an estimate: the pause beside its budget, the way back beside its reserve.
//!
//! Owns what is compared and when a person is warned. What past runs measured counts as it is; the sums of single steps
//! count where no run has measured the whole. Never changes a budget: the runbook's author does.

use super::{Span, Timing};
use crate::duration::Duration;
use crate::path::Path;
use crate::plan::past::{Pause, Typical};
use crate::plan::{Entry, What};
use crate::scope::{OnOver, ScopeKind};
use std::fmt;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WindowEstimate {
    pub path: Path,
    pub budget: Duration,
    pub reserve: Duration,
    /// From the first step to the last, by the sums of its steps.
    pub pause: Span,
    /// Until its commit point, where the plan shows one: only until there does it go back.
    pub until_commit: Option<Span>,
    /// Taking back everything before the commit point, by the sums of the undos; absent: none was ever performed.
    pub back: Option<Span>,
    /// What past runs measured, and what rehearsals did.
    pub measured: Option<Measured>,
    pub rehearsed: Option<Measured>,
    pub warnings: Vec<Warning>,
}

/// The longest that was measured, microseconds, and how often something was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Measured {
    pub pauses: u64,
    pub longest_us: u64,
    pub longest_until_commit_us: u64,
    pub backs: u64,
    pub longest_back_us: u64,
}

/// Why a budget or a reserve will not hold. Microseconds beside durations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Warning {
    /// The sums of its steps are longer than the budget.
    TooLong { about_us: u64, budget: Duration },
    /// It will go back before its commit point is reached.
    GoesBack { about_us: u64, after: Duration, commit_point: bool },
    /// Past runs took longer than the budget is now.
    TookLonger { longest_us: u64, over: u64, of: u64, budget: Duration, rehearsed: bool },
    /// Going back took longer than the reserve is now.
    BackTookLonger { longest_us: u64, over: u64, of: u64, reserve: Duration, rehearsed: bool },
    /// The sums of the undos are longer than the reserve.
    BackTooLong { about_us: u64, reserve: Duration },
}

impl Timing<'_> {
    pub(super) fn windows(&self) -> Vec<WindowEstimate> {
        let window = |(at, entry): (usize, &Entry)| match entry.what {
            What::Scope { kind: ScopeKind::Window { budget, reserve, on_over }, .. } => {
                Some(self.window(at, &entry.path, (budget, reserve, on_over)))
            }
            _ => None,
        };
        self.entries.iter().enumerate().filter_map(window).collect()
    }

    fn window(&self, at: usize, path: &Path, limits: (Duration, Duration, OnOver)) -> WindowEstimate {
        let (budget, reserve, _) = limits;
        let pauses = self.past.pauses(path, &self.each);
        let (until, passes) = self.until_commit(Some(at));
        let mut told = WindowEstimate {
            path: path.clone(),
            budget,
            reserve,
            pause: self.spans.get(at).copied().flatten().unwrap_or(Span::UNTIMED),
            until_commit: passes.then_some(until),
            back: self.way_back(at),
            measured: measured(pauses, false),
            rehearsed: measured(pauses, true),
            warnings: Vec::new(),
        };
        told.warnings = warnings(&told, limits, pauses);
        told
    }

    /// What stands before the commit point in this scope, and whether there is one.
    fn until_commit(&self, at: Option<usize>) -> (Span, bool) {
        let mut span = Span::NOTHING;
        for line in self.inside.get(&at).into_iter().flatten() {
            match &self.entries[*line].what {
                What::CommitPoint => return (span, true),
                What::Scope { kind: ScopeKind::Each { .. } | ScopeKind::Parallel, .. } | What::Step(_) => {
                    span = span.then(self.spans[*line].unwrap_or(Span::NOTHING));
                }
                What::Scope { .. } => match self.until_commit(Some(*line)) {
                    (inner, true) => return (span.then(inner), true),
                    _ => span = span.then(self.spans[*line].unwrap_or(Span::NOTHING)),
                },
                What::End { .. } | What::Fails { .. } => {}
            }
        }
        (span, false)
    }

    /// Undos are performed one after the other, branches or not.
    fn way_back(&self, window: usize) -> Option<Span> {
        let path = &self.entries[window].path;
        let inside = self.entries[window..].iter().take_while(|entry| entry.path.is_within(path));
        let before = inside.take_while(|entry| !matches!(entry.what, What::CommitPoint));
        let undos = before.filter(|entry| entry.step().is_some_and(|step| step.undo.is_some()));
        let spans = undos.map(|entry| self.past.undo(&entry.path, &self.each));
        let spans: Vec<Option<Typical>> = spans.collect();
        let any = spans.iter().any(Option::is_some);
        any.then(|| spans.into_iter().fold(Span::NOTHING, |span, undo| span.then(Span::of(undo))))
    }
}

fn measured(pauses: &[Pause], rehearsed: bool) -> Option<Measured> {
    let mut told = Measured::default();
    for pause in pauses.iter().filter(|pause| pause.rehearsed == rehearsed) {
        told.pauses += u64::from(pause.whole_us.is_some());
        told.backs += u64::from(pause.back_us.is_some());
        told.longest_us = told.longest_us.max(pause.whole_us.unwrap_or(0));
        told.longest_until_commit_us = told.longest_until_commit_us.max(pause.until_commit_us.unwrap_or(0));
        told.longest_back_us = told.longest_back_us.max(pause.back_us.unwrap_or(0));
    }
    (told.pauses + told.backs > 0).then_some(told)
}

fn warnings(
    told: &WindowEstimate,
    (budget, reserve, on_over): (Duration, Duration, OnOver),
    pauses: &[Pause],
) -> Vec<Warning> {
    let us = |limit: Duration| limit.as_ms().saturating_mul(1000);
    let mut warnings = Vec::new();
    let after = Duration::from_ms(budget.as_ms().saturating_sub(reserve.as_ms()));
    let forward = told.until_commit.unwrap_or(told.pause);
    if told.pause.us > us(budget) {
        warnings.push(Warning::TooLong { about_us: told.pause.us, budget });
    }
    if forward.us > us(after) && on_over == OnOver::Undo {
        let commit_point = told.until_commit.is_some();
        warnings.push(Warning::GoesBack { about_us: forward.us, after, commit_point });
    }
    for rehearsed in [false, true] {
        let of_kind = || pauses.iter().filter(move |pause| pause.rehearsed == rehearsed);
        let longer = |values: Vec<u64>, limit: Duration| {
            let over = values.iter().filter(|value| **value > us(limit)).count() as u64;
            let longest_us = values.iter().copied().max().unwrap_or(0);
            (over > 0).then_some((longest_us, over, values.len() as u64))
        };
        if let Some((longest_us, over, of)) = longer(of_kind().filter_map(|pause| pause.whole_us).collect(), budget) {
            warnings.push(Warning::TookLonger { longest_us, over, of, budget, rehearsed });
        }
        if let Some((longest_us, over, of)) = longer(of_kind().filter_map(|pause| pause.back_us).collect(), reserve) {
            warnings.push(Warning::BackTookLonger { longest_us, over, of, reserve, rehearsed });
        }
    }
    // A whole way back that was measured says more than the sum of its parts.
    let back = told.back.filter(|_| pauses.iter().all(|pause| pause.back_us.is_none()));
    if let Some(back) = back.filter(|back| back.us > us(reserve)) {
        warnings.push(Warning::BackTooLong { about_us: back.us, reserve });
    }
    warnings
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let about = |us: u64| Duration::from_ms(us.div_ceil(1000));
        let whose = |rehearsed: bool, of: u64| match (rehearsed, of) {
            (false, 1) => "run",
            (false, _) => "runs",
            (true, 1) => "rehearsal",
            (true, _) => "rehearsals",
        };
        match *self {
            Self::TooLong { about_us, budget } => {
                write!(f, "its steps take about {}: more than its budget of {budget}", about(about_us))
            }
            Self::GoesBack { about_us, after, commit_point } => {
                let to = if commit_point { "its commit point" } else { "its end" };
                write!(f, "it takes about {} to {to}, and goes back by itself after {after}", about(about_us))
            }
            Self::TookLonger { longest_us, over, of, budget, rehearsed } => {
                let (longest, whose) = (about(longest_us), whose(rehearsed, of));
                write!(f, "{over} of {of} past {whose} took longer than its budget of {budget}, up to {longest}")
            }
            Self::BackTookLonger { longest_us, over, of, reserve, rehearsed } => {
                let (longest, whose) = (about(longest_us), whose(rehearsed, of));
                write!(
                    f,
                    "going back took longer than its reserve of {reserve} in {over} of {of} past {whose}, up to \
                     {longest}"
                )
            }
            Self::BackTooLong { about_us, reserve } => {
                write!(f, "its undos take about {}: more than its reserve of {reserve}", about(about_us))
            }
        }
    }
}
