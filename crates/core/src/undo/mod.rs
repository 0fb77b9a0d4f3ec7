//! What taking back means for a scope: which undos, in which order, and what stays.
//!
//! Owns the undo plan, a pure function of the state. Never evaluates the program: undoing works without it.

use crate::action::Action;
use crate::event::UndoReason;
use crate::path::Path;
use crate::scope::ScopeKind;
use crate::state::{Phase, RunState, Step};
use std::sync::Arc;

/// Attempts of one undo before it holds, or, in a window that goes back, before the next undo gets its turn.
pub const UNDO_ATTEMPTS: u32 = 3;
/// Pause before an undo's second attempt, milliseconds; doubles.
pub const UNDO_BACKOFF_MS: u64 = 500;

#[derive(Clone, Debug, PartialEq)]
pub struct UndoItem {
    pub path: Path,
    pub generation: u32,
    /// Performed in this order; more than one where attempts recorded different undos.
    pub actions: Vec<Arc<Action>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stays {
    /// Done before a commit point.
    BeforeCommitPoint,
    /// It may have changed something, and no undo is declared.
    NoUndo,
}

/// What asking for a scope to be taken back comes to, beside a taking back that is going on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begins {
    /// It begins now, and what was going on is a part of it.
    Now,
    /// What is going on takes it back, too.
    Covered,
    /// Something else has to be taken back to its end first.
    Later,
}

/// A wider taking back takes the place of a narrower one, and a person's of a guard's or a redo's.
pub fn begins(state: &RunState, scope: &Path) -> Begins {
    let Some(going_on) = &state.undoing else { return Begins::Now };
    let asked = matches!(going_on.reason, UndoReason::Asked { .. });
    if going_on.scope.is_within(scope) && !(asked && going_on.scope == *scope) {
        Begins::Now
    } else if scope.is_within(&going_on.scope) && !matches!(going_on.reason, UndoReason::Redo { .. }) {
        Begins::Covered
    } else {
        Begins::Later
    }
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct UndoPlan {
    /// In the order of performing: reverse order of completion.
    pub items: Vec<UndoItem>,
    pub stays: Vec<(Path, Stays)>,
}

/// What taking back `scope` performs from this state on.
pub fn undo_plan(state: &RunState, scope: &Path) -> UndoPlan {
    plan_of(state, state.steps.iter().filter(|(path, _)| path.is_within(scope)))
}

/// What doing `step` anew takes back first.
pub fn redo_plan(state: &RunState, step: &Path) -> UndoPlan {
    plan_of(state, redone(state, step).into_iter())
}

/// The step and what ended after its start, in its scope and the scopes after it: what runs side by side with it, in
/// other branches, does not depend on it.
pub fn redone<'s>(state: &'s RunState, step: &Path) -> Vec<(&'s Path, &'s Step)> {
    let from = state.steps.get(step).map_or(u64::MAX, |step| step.first_seq);
    let committed = state.last_commit_seq();
    let after = |path: &Path, other: &Step| {
        path == step || (other.last_seq > from && other.last_seq > committed && !side_by_side(state, path, step))
    };
    state.steps.iter().filter(|(path, other)| after(path, other)).collect()
}

/// The two are in different branches of one `each` or `parallel`.
fn side_by_side(state: &RunState, one: &Path, other: &Path) -> bool {
    let parting = std::iter::successors(one.parent(), Path::parent).find(|scope| other.is_within(scope));
    let kind = parting.and_then(|scope| state.scopes.get(&scope)).map(|scope| &scope.kind);
    matches!(kind, Some(ScopeKind::Each { .. } | ScopeKind::Parallel))
}

fn plan_of<'s>(state: &RunState, steps: impl Iterator<Item = (&'s Path, &'s Step)>) -> UndoPlan {
    let committed = state.last_commit_seq();
    let mut touched: Vec<(&Path, &Step)> =
        steps.filter(|(_, step)| !step.began.is_empty() && !matches!(step.phase, Phase::Undone)).collect();
    // What has no end yet is ended first, in the order in which it began: that makes it the last.
    touched.sort_by_key(|(_, step)| std::cmp::Reverse((step.open.is_some(), step.last_seq)));

    let mut plan = UndoPlan::default();
    for (path, step) in touched {
        let actions = step.undo_actions();
        if step.last_seq <= committed {
            plan.stays.push((path.clone(), Stays::BeforeCommitPoint));
        } else if actions.is_empty() {
            plan.stays.push((path.clone(), Stays::NoUndo));
        } else {
            plan.items.push(UndoItem { path: path.clone(), generation: step.generation, actions });
        }
    }
    plan
}

#[cfg(test)]
mod tests;
