//! Phases and attempts: named stretches that contain steps, and the only "try" of the language.
//!
//! Owns what entering, leaving and settling a scope journals. Windows stand in `windows`.

use crate::shared::Shared;
use piton_core::event::{Event, ScopeEntered, ScopeSettled, Stored};
use piton_core::guard::{Guard, GuardTold};
use piton_core::outcome::Failure;
use piton_core::ports::Unwind;
use piton_core::scope::Scope;
use piton_core::{Path, Value};
use std::collections::HashSet;
use std::sync::Arc;

impl Shared {
    pub(crate) fn run_phase(
        &self,
        scope: &Arc<Scope>,
        body: &mut dyn FnMut() -> Result<Value, Unwind>,
    ) -> Result<Value, Unwind> {
        self.enter(scope, None);
        let value = body()?;
        self.ends_well(scope)?;
        self.leave(&scope.path);
        Ok(value)
    }

    /// `attempt`: a failure inside becomes its value. Replay answers from the journal, never from a second try.
    pub(crate) fn run_attempt(
        &self,
        scope: &Arc<Scope>,
        body: &mut dyn FnMut() -> Result<Value, Unwind>,
    ) -> Result<Value, Unwind> {
        if let Some(settled) = self.journal.with(|state| state.scopes.get(&scope.path).and_then(|s| s.settled.clone()))
        {
            self.journal.depend_on_all();
            self.end_beside(&scope.path)?;
            return match (settled.failures.first(), &settled.value) {
                (Some((_, failure)), _) => Ok(passed(Err(failure))),
                (None, Some(value)) => Ok(passed(Ok(open_value(value)?))),
                (None, None) => Ok(passed(Ok(Value::None))),
            };
        }
        self.enter(scope, None);
        let (result, settled) = match body() {
            Ok(value) => {
                self.ends_well(scope)?;
                let stored = Stored::seal(&value);
                (
                    passed(Ok(value)),
                    ScopeSettled { path: scope.path.clone(), value: Some(stored), failures: Vec::new() },
                )
            }
            Err(Unwind::Failed { failure, .. }) => {
                let failures = vec![(String::new(), failure.clone())];
                (passed(Err(&failure)), ScopeSettled { path: scope.path.clone(), value: None, failures })
            }
            Err(other) => return Err(other),
        };
        self.journal.append([Event::ScopeSettled(settled)]);
        self.end_beside(&scope.path)?;
        Ok(result)
    }

    /// A child run that waits beside a failure that was caught is ended: its step is waited for by nobody any more. After
    /// the scope is settled, so that a crash between the two cannot take its end for the failure.
    pub(crate) fn end_beside(&self, scope: &Path) -> Result<(), Unwind> {
        let open: HashSet<Path> = self.journal.with(|state| {
            let open = |path: &&Path| state.steps.get(*path).is_some_and(|step| step.open.is_some());
            let paths = state.children.range(scope.clone()..).map(|(path, _)| path);
            // "A b" stands between "A" and "A/b".
            let paths = paths.take_while(|path| path.as_str().starts_with(scope.as_str()));
            paths.filter(|path| path.is_within(scope)).filter(open).cloned().collect()
        });
        if open.is_empty() || self.end_open(|path| open.contains(path), "ended: a failure beside it was caught")? {
            return Ok(());
        }
        Err(Unwind::Held)
    }

    /// Journals that a scope is entered, once.
    pub(crate) fn enter(&self, scope: &Scope, total: Option<u64>) {
        self.journal.transact(|state| {
            let guards: Vec<GuardTold> = scope.guards.iter().map(Guard::told).collect();
            let known = state
                .scopes
                .get(&scope.path)
                .is_some_and(|known| known.kind == scope.kind && known.total == total && known.guards == guards);
            if known || state.undoing.is_some() {
                return (Vec::new(), ());
            }
            let entered = ScopeEntered { path: scope.path.clone(), kind: scope.kind.clone(), total, guards };
            (vec![Event::ScopeEntered(entered)], ())
        });
    }

    /// Journals that a scope is left, once.
    pub(crate) fn leave(&self, path: &Path) {
        self.journal.transact(|state| {
            let left = state.scopes.get(path).is_none_or(|scope| scope.left_at.is_some());
            (if left { Vec::new() } else { vec![Event::ScopeLeft { path: path.clone() }] }, ())
        });
    }
}

/// What `attempt` and a passed item give: a struct `(ok, value, error)`.
pub(crate) fn passed(result: Result<Value, &Failure>) -> Value {
    let (ok, value, error) = match result {
        Ok(value) => (true, value, Value::None),
        Err(failure) => (false, Value::None, Value::str(&failure.message)),
    };
    Value::Struct(vec![("ok".into(), ok.into()), ("value".into(), value), ("error".into(), error)])
}

fn open_value(value: &Stored<Value>) -> Result<Value, Unwind> {
    value.open().map_err(|error| Unwind::Broken(format!("a value in the journal cannot be read: {error}")))
}
