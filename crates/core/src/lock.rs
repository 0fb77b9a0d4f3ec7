//! Locks: names that one scope of one run holds at a time, over all runs of a store.
//!
//! Owns what the journal knows of a run's locks, which events give them up, and when runs wait for each other in a
//! circle. Pure: the store keeps who holds what.

use crate::event::Event;
use crate::ids::RunId;
use crate::path::Path;
use crate::state::RunState;
use std::collections::HashSet;

/// A scope of a run that holds a lock, or waits for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Locked {
    pub name: String,
    pub run: RunId,
    /// Of the scope.
    pub path: Path,
    /// Wall clock, microseconds.
    pub since_us: i64,
}

/// Who holds and who waits, over all runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Locks {
    pub held: Vec<Locked>,
    pub waiting: Vec<Locked>,
    /// Those of the waiting whose turn came, since when, wall clock, microseconds.
    pub called: Vec<Locked>,
}

/// Whoever has not taken a lock so long after being called is gone past: its engine may be dead, or its run held. Long
/// enough for an engine to be started and to replay a long run.
pub const CALL_PATIENCE_US: u64 = 10_000_000;

/// What came of asking for a lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Locking {
    /// It is this scope's, now or before.
    Taken,
    /// Another scope holds it, or has its turn at it; that this one waits is known to the store.
    Busy(Locked),
    /// Waiting would never end: each of these holds what the one before it waits for, and the last of them waits for what
    /// the asking scope holds.
    Deadlock(Vec<Locked>),
}

/// What the journal knows of a lock scope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LockState {
    Held {
        name: String,
    },
    Waiting {
        name: String,
        held_by: RunId,
        held_at: Path,
        /// Since when the other has it, wall clock, microseconds.
        since_us: i64,
    },
}

impl Locks {
    pub fn holder(&self, name: &str) -> Option<&Locked> {
        self.held.iter().find(|held| held.name == name)
    }

    /// Whose turn it is at a lock that nobody holds: who has waited longest, but for those that were called and did not come.
    pub fn turn(&self, name: &str, now_us: i64) -> Option<&Locked> {
        let waiting = self.waiting.iter().filter(|wait| wait.name == name);
        // A clock that was set back must not make anybody wait longer.
        let late = |wait: &Locked| self.called_us(wait).is_some_and(|at| at.abs_diff(now_us) >= CALL_PATIENCE_US);
        waiting.filter(|wait| !late(wait)).min_by_key(|wait| (wait.since_us, wait.run.as_str(), wait.path.as_str()))
    }

    /// Since when it has been called.
    pub fn called_us(&self, wait: &Locked) -> Option<i64> {
        let same = |called: &&Locked| called.run == wait.run && called.path == wait.path;
        self.called.iter().find(same).map(|called| called.since_us)
    }

    /// The circle that would close if the scope waited for this name: a lock is given up when its scope ends, and a scope
    /// ends when nothing in it waits.
    pub fn deadlock(&self, name: &str, run: &RunId, path: &Path) -> Option<Vec<Locked>> {
        let mut chain = Vec::new();
        self.closes(name, (run, path), &mut chain, &mut HashSet::new()).then_some(chain)
    }

    fn closes<'a>(
        &'a self,
        name: &'a str,
        asks: (&RunId, &Path),
        chain: &mut Vec<Locked>,
        seen: &mut HashSet<&'a str>,
    ) -> bool {
        let Some(holder) = self.holder(name).filter(|_| seen.insert(name)) else { return false };
        chain.push(holder.clone());
        if holder.run == *asks.0 && asks.1.is_within(&holder.path) {
            return true;
        }
        let inside = self.waiting.iter().filter(|wait| wait.run == holder.run && wait.path.is_within(&holder.path));
        for wait in inside {
            if self.closes(&wait.name, asks, chain, seen) {
                return true;
            }
        }
        chain.pop();
        false
    }
}

/// The lock scopes that an event ends: what they hold, and that they wait, is taken off the store with it. `state` is the
/// state before.
pub fn released(state: &RunState, event: &Event) -> Vec<Path> {
    if state.locks.is_empty() {
        return Vec::new();
    }
    let within = |scope: &Path| state.locks.keys().filter(|path| path.is_within(scope)).cloned().collect();
    match event {
        Event::ScopeLeft { path } => within(path),
        Event::ScopeSettled(settled) => within(&settled.path),
        Event::UndoFinished { scope } => within(scope),
        Event::RunFinished { .. } => within(&Path::root()),
        Event::LockBroken { path, .. } => state.locks.get(path).map(|_| path.clone()).into_iter().collect(),
        _ => Vec::new(),
    }
}

/// How a circle is told.
pub fn tell(chain: &[Locked]) -> String {
    let told = chain.iter().map(|held| format!("\"{}\", held by run {} at \"{}\"", held.name, held.run, held.path));
    told.collect::<Vec<_>>().join(", which waits for ")
}

#[cfg(test)]
mod tests;
