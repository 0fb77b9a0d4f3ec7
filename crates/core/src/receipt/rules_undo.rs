//! Rules of taking back: only what was done, by the undo declared for it, latest first, nothing before a commit point.
//!
//! Owns the rules about undo events. Never says whether an undo succeeded in the world: its own outcome does.

use super::rules::{Rules, name};
use crate::event::{UndoBegan, UndoFailed, UndoReason, UndoStarted};
use crate::path::Path;
use crate::undo::{Begins, begins, undo_plan};
use crate::window::WindowPhase;
use std::collections::HashMap;

/// The order of one taking back, as planned when its first undo started.
#[derive(Default)]
pub(super) struct UndoRules {
    plan: Option<Plan>,
}

struct Plan {
    scope: Path,
    place: HashMap<Path, usize>,
    tried: Vec<bool>,
    /// Everything before this has had its turn.
    turn: usize,
}

impl Rules {
    pub(super) fn undo_began(&mut self, began: &UndoBegan) {
        let asked = matches!(began.reason, UndoReason::Asked { .. });
        if self.state.undoing.is_some() && (!asked || begins(&self.state, &began.scope) != Begins::Now) {
            self.fail("taking back begins while it is going on");
        }
        if let UndoReason::Guard { guard, .. } = &began.reason
            && !self.state.guards.get(guard).is_some_and(|known| known.undo_due)
        {
            self.fail(format!("taken back for the guard {}, which did not ask for it", name(guard)));
        }
        if let UndoReason::Window { window, .. } = &began.reason {
            let phase = self.state.windows.get(window).map(|window| &window.phase);
            if !matches!(phase, Some(WindowPhase::GoingBack { .. })) {
                self.fail(format!("taken back for the window {}, which does not go back", name(window)));
            }
        }
    }

    /// Whether this step may be taken back now; tells why where not.
    fn undo_allowed(&mut self, path: &Path, generation: u32) -> bool {
        let within = self.state.undoing.as_ref().is_some_and(|undoing| path.is_within(&undoing.scope))
            || self.going_back_around(path);
        let why = match self.state.steps.get(path) {
            _ if !within => "is taken back, and nobody began taking it back",
            None => "is taken back and was never done",
            Some(step) if step.generation != generation || step.began.is_empty() => "is taken back and was not done",
            Some(step) if step.last_seq <= self.state.last_commit_seq() => {
                "is taken back although a commit point was passed since"
            }
            Some(_) => return true,
        };
        self.fail(format!("{} {why}", name(path)));
        false
    }

    /// A window goes back by itself, even while something else is to be taken back.
    fn going_back_around(&self, path: &Path) -> bool {
        self.window_around(path).is_some_and(|window| matches!(window.phase, WindowPhase::GoingBack { .. }))
    }

    pub(super) fn undo_failed(&mut self, failed: &UndoFailed) {
        self.undo_allowed(&failed.path, failed.generation);
    }

    pub(super) fn undo_finished(&mut self, scope: &Path) {
        let Some(undoing) = &self.state.undoing else {
            return self.fail("taking back is finished and never began");
        };
        if !scope.is_within(&undoing.scope) && !self.going_back_around(scope) {
            return self.fail(format!("taking back {} is finished, and another scope was taken back", name(scope)));
        }
        if let UndoReason::Redo { .. } = undoing.reason {
            return;
        }
        if let Some(left) = undo_plan(&self.state, scope).items.first() {
            let path = left.path.clone();
            self.fail(format!("taking back is finished, and {} is not taken back", name(&path)));
        }
    }
}

impl UndoRules {
    pub(super) fn started(&mut self, rules: &mut Rules, started: &UndoStarted) {
        if !rules.undo_allowed(&started.path, started.generation) {
            return;
        }
        let declared = rules.state.steps.get(&started.path).map(|step| step.undo_actions()).unwrap_or_default();
        if !declared.iter().any(|action| **action == started.action) {
            rules.fail(format!("{} is taken back by an action that was not declared for it", name(&started.path)));
        }
        let Some(undoing) = rules.state.undoing.clone() else { return };
        if matches!(undoing.reason, UndoReason::Redo { .. }) || !started.path.is_within(&undoing.scope) {
            return;
        }
        // A window inside a larger scope has its turn first.
        let window = rules.window_around(&started.path).map(|window| window.path.clone());
        let scope = window.filter(|window| window.is_within(&undoing.scope)).unwrap_or(undoing.scope);
        if self.plan.as_ref().is_some_and(|plan| plan.scope != scope) {
            self.plan = None;
        }
        let plan = self.plan.get_or_insert_with(|| {
            let items = undo_plan(&rules.state, &scope).items;
            let tried = vec![false; items.len()];
            let place = items.into_iter().enumerate().map(|(index, item)| (item.path, index)).collect();
            Plan { scope, place, tried, turn: 0 }
        });
        let Some(place) = plan.place.get(&started.path).copied() else { return };
        plan.tried[place] = true;
        while plan.tried.get(plan.turn) == Some(&true) {
            plan.turn += 1;
        }
        if plan.turn < place {
            rules.fail(format!("{} is taken back before what was done after it", name(&started.path)));
        }
    }

    pub(super) fn done(&mut self, rules: &mut Rules, path: &Path, generation: u32) {
        if !rules.undo_allowed(path, generation) {
            return;
        }
        if rules.state.steps.get(path).is_none_or(|step| step.undo.running.is_none()) {
            rules.fail(format!("{} is taken back, and no undo of it was begun", name(path)));
        }
    }
}
