//! What a program may ask: each built-in's call goes to the file that owns it.
//!
//! Owns the small ones (commit points, `emit`, `note`) and the way in. Never knows Starlark.

use crate::shared::Shared;
use piton_core::event::{Event, Stored};
use piton_core::ports::{Host, Unwind};
use piton_core::request::{BranchesRequest, Callbacks, PersonRequest, PollRequest, StepRequest, WaitRequest};
use piton_core::scope::{Scope, ScopeKind};
use piton_core::{Outcome, Path, Value};
use std::sync::Arc;

impl Host for Shared {
    fn step(
        &self,
        scope: &Arc<Scope>,
        request: &StepRequest,
        callbacks: &mut dyn Callbacks,
    ) -> Result<Stored<Outcome>, Unwind> {
        self.visit(&request.path);
        self.perform_step(scope, request, callbacks)
    }

    fn poll(
        &self,
        scope: &Arc<Scope>,
        request: &PollRequest,
        callbacks: &mut dyn Callbacks,
    ) -> Result<Stored<Outcome>, Unwind> {
        self.visit(&request.path);
        self.run_poll(scope, request, callbacks)
    }

    fn wait(&self, scope: &Arc<Scope>, request: &WaitRequest) -> Result<(), Unwind> {
        self.visit(&request.path);
        self.run_wait(scope, request)
    }

    fn person(
        &self,
        scope: &Arc<Scope>,
        request: &PersonRequest,
        callbacks: &mut dyn Callbacks,
    ) -> Result<Stored<Outcome>, Unwind> {
        self.visit(&request.path);
        self.run_person(scope, request, callbacks)
    }

    fn scope(&self, scope: &Arc<Scope>, body: &mut dyn FnMut() -> Result<Value, Unwind>) -> Result<Value, Unwind> {
        self.stop_if_failing(scope)?;
        self.visit(&scope.path);
        let result = match scope.kind {
            ScopeKind::Attempt => self.run_attempt(scope, body),
            ScopeKind::Window { .. } => self.run_window(scope, body),
            ScopeKind::Lock => self.run_lock(scope, body),
            _ => self.run_phase(scope, body),
        };
        self.unguard(scope, result)
    }

    fn branches(&self, scope: &Arc<Scope>, request: BranchesRequest) -> Result<Vec<Value>, Unwind> {
        self.stop_if_failing(scope)?;
        self.visit(&scope.path);
        let result = self.run_branches(self, scope, &request);
        self.unguard(scope, result)
    }

    fn commit_point(&self, scope: &Arc<Scope>, path: &Path) -> Result<(), Unwind> {
        if scope.in_branch() {
            let message = format!("the commit point \"{path}\" is inside a branch: other branches would be half done");
            return Err(Unwind::Program(message));
        }
        self.stop_if_failing(scope)?;
        self.before_acting(scope)?;
        self.open_window(scope)?;
        if self.turns_round(scope, path) {
            return Err(Unwind::Stopping);
        }
        // What was done before it is durable with it, and a monitor that decides to go back comes before or after.
        let passed = self.journal.transact(|state| {
            if state.commit_points.iter().any(|(known, _)| known == path) {
                (Vec::new(), true)
            } else if piton_core::decide::may_act(state, scope, path) {
                (vec![Event::CommitPointPassed { path: path.clone() }], true)
            } else {
                (Vec::new(), false)
            }
        });
        self.journal.flush()?;
        crate::shared::lock(&self.commit_points_seen).insert(path.clone());
        if passed { Ok(()) } else { Err(Unwind::Stopping) }
    }

    fn emit(&self, scope: &Arc<Scope>, path: &Path, name: &str, value: &Value) -> Result<(), Unwind> {
        self.record_once(scope, path, || Event::Emitted {
            path: path.clone(),
            name: name.to_owned(),
            value: value.clone(),
        })
    }

    fn note(&self, scope: &Arc<Scope>, path: &Path, markdown: &str) -> Result<(), Unwind> {
        self.record_once(scope, path, || Event::Noted { path: path.clone(), markdown: markdown.to_owned() })
    }
}

impl Shared {
    /// Before anything begins in a scope: its locks are held and its guards have passed.
    pub(crate) fn before_acting(&self, scope: &Scope) -> Result<(), Unwind> {
        self.take_locks(scope)?;
        self.arm_guards(scope)
    }

    fn record_once(&self, scope: &Scope, path: &Path, event: impl FnOnce() -> Event) -> Result<(), Unwind> {
        let go_on = self.journal.transact(|state| {
            if state.noted.contains(path) {
                (Vec::new(), true)
            } else if piton_core::decide::may_act(state, scope, path) {
                (vec![event()], true)
            } else {
                (Vec::new(), false)
            }
        });
        if go_on { Ok(()) } else { Err(Unwind::Stopping) }
    }
}
