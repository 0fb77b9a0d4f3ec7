//! What events change beside steps: guards, locks and the holds they make, child runs.
//!
//! Owns their part of the transition function. Whether a guard may trip, or a lock be taken, is not judged here.

use super::RunState;
use crate::child::Child;
use crate::event::{AttemptStarted, Decided, Event, GuardTripped, Handle, LockAwaited};
use crate::guard::{GuardState, Standing, Then};
use crate::hold::{Choice, HoldReason};
use crate::lock::LockState;
use crate::path::Path;

impl RunState {
    pub(super) fn apply_beside(&mut self, event: &Event) {
        match event {
            Event::GuardTripped(trip) => self.guard_tripped(trip),
            Event::GuardArmed { path, .. } => {
                if let Some(guard) = self.guards.get_mut(path) {
                    guard.standing = Standing::Armed;
                }
            }
            Event::LockTaken { path, name } => {
                self.locks.insert(path.clone(), LockState::Held { name: name.clone() });
                if let Some(scope) = self.scopes.get_mut(path) {
                    // What acts in it again, as after an edit, ends it again.
                    scope.left_at = None;
                }
            }
            Event::LockAwaited(awaited) => self.lock_awaited(awaited),
            Event::LockBroken { path, name, decision } => {
                let hold = HoldReason::LockBroken {
                    lock: name.clone(),
                    by: decision.by.name.clone(),
                    why: decision.why.clone(),
                };
                self.other_holds.insert(path.clone(), hold);
            }
            Event::ChildStands(stands) => {
                if let Some(child) = self.children.get_mut(&stands.path).filter(|child| child.run == stands.run) {
                    child.waits.clone_from(&stands.waits);
                }
            }
            _ => {}
        }
    }

    /// An attempt that is a child run.
    pub(super) fn child_started(&mut self, started: &AttemptStarted) {
        if let Handle::Run { run } = &started.handle {
            self.children.insert(started.path.clone(), Child { run: run.clone(), waits: None });
        }
    }

    fn guard_tripped(&mut self, trip: &GuardTripped) {
        let warned = trip.then == Then::Warn;
        if !warned {
            self.other_holds.insert(trip.path.clone(), HoldReason::Tripped { trip: Box::new(trip.clone()) });
        }
        let standing = if warned { Standing::Quiet } else { Standing::Tripped };
        let guard = GuardState { standing, trip: trip.clone(), undo_due: trip.then == Then::Undo };
        self.guards.insert(trip.path.clone(), guard);
    }

    fn lock_awaited(&mut self, awaited: &LockAwaited) {
        let LockAwaited { path, name, held_by, held_at, since_us, deadlock } = awaited.clone();
        match deadlock {
            Some(why) => drop(self.other_holds.insert(path, HoldReason::Deadlock { lock: name, held_by, why })),
            None => drop(self.locks.insert(path, LockState::Waiting { name, held_by, held_at, since_us })),
        }
    }

    /// A person has everything in a scope taken back: its guards look again when it is entered again.
    pub(super) fn look_again_within(&mut self, scope: &Path) {
        self.other_holds.retain(|path, _| !path.is_within(scope));
        for (_, guard) in self.guards.iter_mut().filter(|(path, _)| path.is_within(scope)) {
            guard.undo_due = false;
            if guard.standing == Standing::Tripped {
                guard.standing = Standing::Checking;
            }
        }
    }

    /// A person's decision about a guard or a lock.
    pub(super) fn decided_beside(&mut self, decided: &Decided) -> bool {
        let known = self.other_holds.remove(&decided.path).is_some();
        if let Some(guard) = self.guards.get_mut(&decided.path).filter(|_| known) {
            let waived = decided.choice == Choice::Waive;
            guard.standing = if waived { Standing::Quiet } else { Standing::Checking };
            guard.undo_due &= !waived;
        }
        known
    }
}
