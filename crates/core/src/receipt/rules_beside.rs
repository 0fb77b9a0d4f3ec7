//! Rules of what stands beside steps: a guard that tripped stays so until it passes or a person waives it, and nothing acts
//! in a lock's scope without the lock; a step that is a child run ends as that run did.
//!
//! Owns the rules about guards', locks' and child runs' events. Never says whether a guard's limit was wise.

use super::rules::{Rules, name};
use crate::child::ChildStands;
use crate::event::{Finish, GuardTripped, Handle, StepSucceeded};
use crate::guard::{Standing, Then, standing};
use crate::hold::Decision;
use crate::lock::LockState;
use crate::path::Path;
use crate::request::StepKind;
use crate::scope::ScopeKind;
use crate::state::{Phase, Step};
use crate::window::WindowPhase;

impl Rules {
    pub(super) fn guard_tripped(&mut self, trip: &GuardTripped) {
        let guard = name(&trip.path);
        let scope = trip.path.parent().unwrap_or_else(Path::root);
        let declared = self.state.scopes.get(&scope).is_some_and(|scope| {
            let own = trip.path.name();
            scope.guards.iter().any(|guard| guard.name == own)
        });
        let again = standing(&self.state, &trip.path);
        let open = self.window_around(&trip.path).cloned();
        let why = match (&open, trip.then) {
            _ if !declared => Some("trips, and its scope has no such guard"),
            _ if matches!(again, Standing::Tripped | Standing::Quiet) => Some("trips although it has not passed since"),
            (Some(window), then) if window.committed != (then == Then::Warn) => {
                Some("trips in a window, and leads elsewhere than a window goes")
            }
            (Some(window), _) if !window.committed && window.phase != WindowPhase::Open => {
                Some("trips in a window that goes back already")
            }
            (None, Then::GoBack | Then::Warn) => Some("sends a window back, and none is open around it"),
            _ => None,
        };
        if let Some(why) = why {
            self.fail(format!("the guard {guard} {why}"));
        }
    }

    pub(super) fn guard_armed(&mut self, path: &Path) {
        if !matches!(standing(&self.state, path), Standing::Checking | Standing::Quiet) {
            self.fail(format!("the guard {} is armed again, and nobody had decided about it", name(path)));
        }
    }

    /// What is told of a child run is told while its step goes on.
    pub(super) fn child_stands(&mut self, stands: &ChildStands) {
        let step = self.state.steps.get(&stands.path);
        let runs = step.and_then(|step| match &step.phase {
            Phase::Running(started) => Some(&started.handle),
            _ => None,
        });
        if runs != Some(&Handle::Run { run: stands.run.clone() }) {
            self.fail(format!("{} waits for a child run that it did not start", name(&stands.path)));
        }
    }

    /// A step that is a child run is done where that run, and no other, succeeded.
    pub(super) fn other_child(&self, succeeded: &StepSucceeded, step: Option<&Step>) -> bool {
        let Some(Handle::Run { run }) = step.and_then(|step| step.open.as_ref()).map(|open| &open.handle) else {
            return succeeded.kind == StepKind::Run;
        };
        let end = succeeded.outcome.open().ok().and_then(|outcome| outcome.run);
        !end.is_some_and(|end| end.run == *run && end.how == Finish::Succeeded)
    }

    /// A scope ends well only where its guards let it.
    pub(super) fn scope_left(&mut self, path: &Path) {
        let scope = self.state.scopes.get(path);
        let guards = scope.map(|scope| scope.guards.clone()).unwrap_or_default();
        let went_back = self
            .state
            .windows
            .get(path)
            .is_some_and(|window| matches!(window.phase, WindowPhase::Closed { went_back: true, .. }));
        let edited_away = self.state.edited.as_ref().is_some_and(|edited| edited.left.contains(path));
        for guard in guards.iter().filter(|_| !went_back && !edited_away) {
            let guard = path.child(&guard.name);
            if matches!(standing(&self.state, &guard), Standing::Tripped | Standing::Checking) {
                self.fail(format!("{} ends although its guard {} has not passed", name(path), name(&guard)));
            }
        }
    }

    pub(super) fn lock_taken(&mut self, path: &Path) {
        let is_lock = self.state.scopes.get(path).is_some_and(|scope| scope.kind == ScopeKind::Lock);
        let held = matches!(self.state.locks.get(path), Some(LockState::Held { .. }));
        if !is_lock || held {
            let why = if held { "it holds already" } else { "is none of a lock's scope" };
            self.fail(format!("{} takes a lock, which {why}", name(path)));
        }
        if self.state.other_holds.contains_key(path) {
            self.fail(format!("{} takes its lock while a person is to decide", name(path)));
        }
    }

    pub(super) fn lock_broken(&mut self, path: &Path, decision: &Decision) {
        if !matches!(self.state.locks.get(path), Some(LockState::Held { .. })) {
            let who = &decision.by.name;
            self.fail(format!("{who} broke a lock that {} does not hold", name(path)));
        }
    }

    /// A lock around this path that is not held. Past a window's opening nothing waits for one.
    pub(super) fn lock_missing(&self, path: &Path) -> bool {
        let around = std::iter::successors(path.parent(), Path::parent).any(|scope| {
            let is_lock = self.state.scopes.get(&scope).is_some_and(|scope| scope.kind == ScopeKind::Lock);
            is_lock && !matches!(self.state.locks.get(&scope), Some(LockState::Held { .. }))
        });
        around && self.window_around(path).is_none()
    }
}
