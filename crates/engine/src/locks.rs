//! Locks: names that a scope holds while something acts in it, over all runs of the store.
//!
//! Owns taking them, waiting for them, and having them taken away. Who holds what is the store's; when a lock is given up
//! follows from the journal, with the record that ends its scope.
//!
//! A lock is taken when something is about to act in its scope, as a window opens with its first step: replay takes none,
//! and a scope that goes on after its lock was broken takes it again.

use crate::journal::Broken;
use crate::shared::{Shared, lock};
use piton_core::child::Parent;
use piton_core::event::{Event, LockAwaited};
use piton_core::hold::Decision;
use piton_core::lock::{LockState, Locked, Locking, tell};
use piton_core::ports::{Along, StoreError, StoreErrorKind, Unwind};
use piton_core::scope::{Catcher, Scope, ScopeKind};
use piton_core::{Path, RunState, Value};
use std::sync::Arc;

impl Shared {
    /// `lock`: while something acts in it, no other scope holds its name.
    pub(crate) fn run_lock(
        &self,
        scope: &Arc<Scope>,
        body: &mut dyn FnMut() -> Result<Value, Unwind>,
    ) -> Result<Value, Unwind> {
        let outer = scope.parent.as_deref();
        if let Some(window) = outer.and_then(Scope::window) {
            let message = format!(
                "the lock \"{}\" is inside the window \"{}\": a window waits for nobody; take the lock around it",
                scope.path, window.path
            );
            return Err(Unwind::Program(message));
        }
        if outer.is_some_and(|outer| outer.lock(&scope.path.name()).is_some()) {
            return Err(Unwind::Program(format!("the lock \"{}\" is inside itself", scope.path)));
        }
        self.enter(scope, None);
        let result = body();
        let ended = match &result {
            Ok(_) => self.ends_well(scope).map(|()| true)?,
            // What catches it goes on, and another may have the lock; a run that holds keeps it.
            Err(Unwind::Failed { .. }) => matches!(scope.catcher(), Catcher::Caught(_)),
            Err(_) => false,
        };
        if ended {
            let held = self.journal.with(|state| state.locks.contains_key(&scope.path));
            self.leave(&scope.path);
            if held {
                // A sibling may wait for it.
                self.changes.notify();
            }
        }
        result
    }

    /// Before anything acts in a scope: the locks around it are held.
    pub(crate) fn take_locks(&self, scope: &Scope) -> Result<(), Unwind> {
        if scope.outward().all(|scope| scope.kind != ScopeKind::Lock) {
            return Ok(());
        }
        let around: Vec<&Scope> = scope.outward().filter(|scope| scope.kind == ScopeKind::Lock).collect();
        // From the outside in.
        for scope in around.into_iter().rev() {
            self.take_lock(scope)?;
        }
        Ok(())
    }

    fn take_lock(&self, scope: &Scope) -> Result<(), Unwind> {
        let path = &scope.path;
        // One at a time, and not while a person takes one away.
        let _one = lock(&self.locking);
        let (held, goes) = self.journal.with(|state| {
            // An open window waits for nobody: it goes back, or past its commit point forward.
            let held = holds(state, path) || state.open_window().is_some_and(|window| window.path.is_within(path));
            (held, piton_core::decide::may_act(state, scope, path))
        });
        if held {
            return Ok(());
        }
        if !goes {
            return Err(Unwind::Stopping);
        }
        // What was given up is given up in the store before it is asked for again.
        self.journal.flush()?;
        let (name, at_us) = (path.name(), self.journal.now().wall_us);
        let taken = self.journal.as_holder(|store, lease| store.take_lock(lease, &name, path, at_us));
        match taken.map_err(|error| lock_broken(&name, &error))? {
            Locking::Taken => {
                self.journal.append([Event::LockTaken { path: path.clone(), name }]);
                self.journal.flush()?;
                Ok(())
            }
            Locking::Busy(holder) if self.is_held_above(&holder) => {
                let why = format!("{}, which waits for this run", tell(std::slice::from_ref(&holder)));
                self.await_lock(path, &holder, Some(why));
                self.journal.flush()?;
                self.changes.notify();
                Err(Unwind::Held)
            }
            Locking::Busy(holder) => {
                self.await_lock(path, &holder, None);
                self.journal.flush()?;
                Err(Unwind::Parked)
            }
            Locking::Deadlock(chain) => {
                let why = tell(&chain);
                if let Some(holder) = chain.first() {
                    self.await_lock(path, holder, Some(why));
                }
                self.journal.flush()?;
                self.changes.notify();
                Err(Unwind::Held)
            }
        }
    }

    /// Held around the step that this run is: it is given up when this run has ended, and no sooner.
    fn is_held_above(&self, holder: &Locked) -> bool {
        self.journal.with(|state| {
            let parent = state.started.as_ref().and_then(|started| started.parent.as_ref());
            let mut above = parent.into_iter().flat_map(Parent::outward);
            above.any(|above| above.run == holder.run && above.path.is_within(&holder.path))
        })
    }

    /// Journals who holds what this scope wants, once for each holder.
    fn await_lock(&self, path: &Path, holder: &Locked, deadlock: Option<String>) {
        let awaited = LockAwaited {
            path: path.clone(),
            name: holder.name.clone(),
            held_by: holder.run.clone(),
            held_at: holder.path.clone(),
            since_us: holder.since_us,
            deadlock,
        };
        self.journal.transact(|state| {
            let known = awaited.deadlock.is_none()
                && matches!(state.locks.get(path), Some(LockState::Waiting { held_by, held_at, since_us, .. })
                    if *held_by == awaited.held_by && *held_at == awaited.held_at && *since_us == awaited.since_us);
            (if known { Vec::new() } else { vec![Event::LockAwaited(awaited)] }, ())
        });
    }

    /// Wakes who waits for a lock that somebody has given up: whether another run has, only the store can tell.
    pub(crate) fn look_for_locks(&self) {
        let wanted = self.journal.with(|state| {
            let waiting = state.locks.values().filter_map(|lock| match lock {
                LockState::Waiting { name, held_by, held_at, since_us } => {
                    Some((name.clone(), held_by.clone(), held_at.clone(), *since_us))
                }
                LockState::Held { .. } => None,
            });
            waiting.collect::<Vec<_>>()
        });
        if wanted.is_empty() {
            return;
        }
        let Ok(locks) = self.ports.store.locks() else { return };
        let now_us = self.journal.now().wall_us;
        let changed = wanted.into_iter().any(|(name, run, path, since_us)| match locks.holder(&name) {
            Some(holder) => *holder != Locked { name, run, path, since_us },
            // Where it is another run's turn, and that run knows, it is left to it for a while.
            None => {
                locks.turn(&name, now_us).is_none_or(|first| first.run == self.run || locks.called_us(first).is_none())
            }
        });
        if changed {
            self.changes.notify();
        }
    }

    /// Gives up what the store says this run holds or waits for, and the journal does not know: an engine died between
    /// the two, or the run has been edited since.
    pub(crate) fn give_up_unknown_locks(&self) -> Result<(), Broken> {
        let locks = match self.ports.store.locks() {
            Ok(locks) => locks,
            // Whatever is wrong is told where it matters: going back must not wait for it.
            Err(_) => return Ok(()),
        };
        let own = locks.held.into_iter().chain(locks.waiting).filter(|lock| lock.run == self.run);
        let known = |path: &Path| self.journal.with(|state| state.locks.contains_key(path));
        let unknown: Vec<Path> = own.map(|lock| lock.path).filter(|path| !known(path)).collect();
        if unknown.is_empty() {
            return Ok(());
        }
        let along = Along { released: &unknown, ..Along::default() };
        match self.journal.as_holder(|store, lease| store.append_along(lease, &[], &along)) {
            Err(error) if error.kind != StoreErrorKind::Unavailable => Err(Broken(error.to_string())),
            _ => Ok(()),
        }
    }

    /// A person takes a lock away; `Err`: why not. The record gives it up.
    pub(crate) fn break_lock(
        state: &RunState,
        (scope, name): (&Path, &str),
        decision: &Decision,
    ) -> Result<Vec<Event>, String> {
        match state.locks.get(scope) {
            Some(LockState::Held { name: held }) if held == name => {
                let (path, name, decision) = (scope.clone(), name.to_owned(), decision.clone());
                Ok(vec![Event::LockBroken { path, name, decision }])
            }
            _ => Err(format!("\"{scope}\" does not hold the lock \"{name}\" any more")),
        }
    }
}

fn holds(state: &RunState, path: &Path) -> bool {
    matches!(state.locks.get(path), Some(LockState::Held { .. }))
}

fn lock_broken(name: &str, error: &StoreError) -> Unwind {
    Unwind::Broken(format!("the lock \"{name}\" cannot be asked for: {error}"))
}
