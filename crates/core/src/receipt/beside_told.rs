//! What stands beside steps, as a receipt tells it: guards with their trips, locks with their waits.
//!
//! Owns the fold of these events, and the holds they make. Never says what should have held the run (see `guard`).

use super::statement::{GuardRow, HoldTold, LockRow, TripTold, WaitTold};
use super::time::Instant;
use crate::event::{Event, LockAwaited, ScopeEntered};
use crate::guard::Then;
use crate::hold::HoldReason;
use crate::lock::released;
use crate::path::Path;
use crate::record::Record;
use crate::state::RunState;
use std::collections::HashMap;

#[derive(Default)]
pub(super) struct Beside {
    pub(super) guards: Vec<GuardRow>,
    pub(super) locks: Vec<LockRow>,
    guard_rows: HashMap<Path, usize>,
    /// Locks that are held or waited for, by their scope.
    open: HashMap<Path, usize>,
}

impl Beside {
    /// `state` is the state before the record.
    pub(super) fn record(&mut self, state: &RunState, record: &Record) {
        let at = Instant(record.at.wall_us);
        for path in released(state, &record.event) {
            if let Some(index) = self.open.remove(&path) {
                self.locks[index].released_at = self.locks[index].taken_at.map(|_| at);
            }
        }
        match &record.event {
            Event::ScopeEntered(entered) => self.entered(entered, record.seq),
            Event::GuardTripped(trip) => {
                if let Some(guard) = self.guard_rows.get(&trip.path).map(|index| &mut self.guards[*index]) {
                    guard.trips.push(TripTold {
                        saw: trip.saw.clone(),
                        failures: trip.failures,
                        then: trip.then,
                        at,
                        armed_at: None,
                        record: record.seq,
                    });
                }
            }
            Event::GuardArmed { path, .. } => {
                let guard = self.guard_rows.get(path).map(|index| &mut self.guards[*index]);
                if let Some(trip) = guard.and_then(|guard| guard.trips.last_mut()) {
                    trip.armed_at = Some(at);
                }
            }
            Event::LockTaken { path, name } => self.lock(path, name, record.seq).taken_at = Some(at),
            Event::LockAwaited(awaited) => {
                let LockAwaited { path, name, held_by, held_at, deadlock, .. } = awaited.clone();
                self.lock(&path, &name, record.seq).waits.push(WaitTold { held_by, held_at, deadlock, at });
            }
            Event::LockBroken { path, .. } => {
                if let Some(lock) = self.locks.iter_mut().rev().find(|lock| lock.path == *path) {
                    lock.broken = true;
                }
            }
            _ => {}
        }
    }

    fn entered(&mut self, entered: &ScopeEntered, seq: u64) {
        for guard in &entered.guards {
            let path = entered.path.child(&guard.name);
            match self.guard_rows.get(&path) {
                Some(index) => self.guards[*index].guard = guard.clone(),
                None => {
                    self.guard_rows.insert(path.clone(), self.guards.len());
                    self.guards.push(GuardRow { path, guard: guard.clone(), trips: Vec::new(), record: seq });
                }
            }
        }
    }

    fn lock(&mut self, path: &Path, name: &str, seq: u64) -> &mut LockRow {
        let index = *self.open.entry(path.clone()).or_insert_with(|| {
            self.locks.push(LockRow {
                path: path.clone(),
                name: name.to_owned(),
                taken_at: None,
                released_at: None,
                broken: false,
                waits: Vec::new(),
                record: seq,
            });
            self.locks.len() - 1
        });
        &mut self.locks[index]
    }
}

/// The hold that an event is for what stands beside steps.
pub(super) fn hold(record: &Record) -> Option<HoldTold> {
    let (path, reason) = match &record.event {
        Event::GuardTripped(trip) if trip.then != Then::Warn => {
            (trip.path.clone(), HoldReason::Tripped { trip: trip.clone() })
        }
        Event::LockAwaited(awaited) => {
            let (lock, held_by) = (awaited.name.clone(), awaited.held_by.clone());
            (awaited.path.clone(), HoldReason::Deadlock { lock, held_by, why: awaited.deadlock.clone()? })
        }
        Event::LockBroken { path, name, decision } => {
            let (lock, by, why) = (name.clone(), decision.by.name.clone(), decision.why.clone());
            (path.clone(), HoldReason::LockBroken { lock, by, why })
        }
        _ => return None,
    };
    let (text, at) = (reason.to_string(), Instant(record.at.wall_us));
    Some(HoldTold { path: Some(path), reason, text, at, record: record.seq })
}
