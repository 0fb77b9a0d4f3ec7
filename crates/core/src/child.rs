//! Child runs: what links a run to the run that started it, and how it stands to that one.
//!
//! Owns the links, the words for a child's standing, and what a parent does next about it, a pure function of the child's
//! state. Never reads a store and starts nothing: the parent's engine does.

use crate::digest::Digest;
use crate::event::{Finish, Handle, Stored};
use crate::hold::HoldReason;
use crate::ids::RunId;
use crate::path::Path;
use crate::state::{Phase, RunState, Status};
use crate::value::Value;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Runs that start runs, inside each other. Each is a process; a circle of runbooks is refused when it is loaded, and one
/// that edits have closed ends here.
pub const MAX_DEPTH: usize = 8;

/// Which step of which run started this run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parent {
    pub run: RunId,
    pub path: Path,
    /// Of the parent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<Box<Parent>>,
}

impl Parent {
    /// The steps above, from the nearest outwards.
    pub fn outward(&self) -> impl Iterator<Item = &Self> {
        std::iter::successors(Some(self), |parent| parent.parent.as_deref())
    }

    /// Runs above, from 1.
    pub fn depth(&self) -> usize {
        self.outward().count()
    }
}

/// A child run began to wait for a person, or goes on again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChildStands {
    /// The parent's step.
    pub path: Path,
    pub run: RunId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits: Option<ChildWait>,
}

/// What a child run waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChildWait {
    /// It holds; otherwise it asks a person something.
    pub held: bool,
    pub why: String,
}

impl ChildWait {
    /// The command with which a person goes on.
    pub fn command(&self, run: &RunId) -> String {
        format!("piton {} {}", if self.held { "resume" } else { "show" }, run.short())
    }
}

/// How a child run ended, bound to its journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChildEnd {
    pub run: RunId,
    pub how: Finish,
    /// Its records at the end, and the hash of the last.
    pub records: u64,
    pub head: Digest,
}

/// A step's last child run, as its parent's journal knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Child {
    pub run: RunId,
    pub waits: Option<ChildWait>,
}

/// What a parent sees of a child run.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Its row is in the store.
    pub exists: bool,
    /// An engine holds its lease.
    pub driven: bool,
    /// As far as its journal goes. Shared: it may be large, and is looked at often.
    pub state: Arc<RunState>,
}

/// What a parent does about a child run.
#[derive(Clone, Debug, PartialEq)]
pub enum Next {
    /// Its id is journaled, and nothing of it has begun.
    Create,
    /// It has work to do, and nobody does it.
    Drive,
    /// Its engine is at work.
    Follow,
    /// It waits for a person.
    Wait(ChildWait),
    Ended {
        how: Finish,
        value: Option<Stored<Value>>,
    },
}

impl Seen {
    /// Nothing of it has begun, and nothing ever does: only the holder of the parent's lease creates it.
    pub fn never_began(&self) -> bool {
        self.state.started.is_none()
    }

    /// It has an end, and is not being taken back.
    pub fn ended(&self) -> Option<ChildEnd> {
        let (how, _) = self.state.finished.as_ref().filter(|_| self.state.undoing.is_none())?;
        let run = self.state.started.as_ref()?.run.clone();
        Some(ChildEnd { run, how: *how, records: self.state.seq, head: self.state.head })
    }

    /// Nothing holds it but that it was told to pause.
    pub fn is_paused(&self) -> bool {
        let state = &self.state;
        let paused = |hold: &HoldReason| matches!(hold, HoldReason::Paused { .. });
        state.held_steps == 0
            && state.other_holds.is_empty()
            && !state.run_holds.is_empty()
            && state.run_holds.iter().all(paused)
    }

    /// Its taking back holds: why. What held it before is taken back like everything else, and holds nothing; and while it has
    /// an engine, that may be about to look at it.
    pub fn holds_going_back(&self) -> Option<String> {
        // Looked at again and again, and a run may have a hundred thousand steps.
        if self.driven || self.state.undoing.is_none() || self.state.stuck_steps == 0 {
            return None;
        }
        let steps = self.state.steps_in_order();
        let undo = steps.iter().find_map(|(path, step)| {
            let failure = step.undo.held.as_ref()?;
            Some(format!("\"{path}\": its undo failed: {failure}"))
        });
        // Nothing is taken back under the feet of what may still be alive, nor in what may be another place.
        let doubt = || {
            steps.iter().find_map(|(path, step)| match &step.phase {
                Phase::Held(reason) if step.is_stuck() => Some(format!("\"{path}\": {reason}")),
                _ => None,
            })
        };
        undo.or_else(doubt).as_deref().map(first_line)
    }

    /// It can neither be ended nor taken back: a person has to bring its window to an end first.
    pub fn is_stuck_forward(&self) -> bool {
        self.state.is_held() && self.state.open_window().is_some_and(|window| window.committed)
    }
}

/// The child runs that a run's steps are at. How they stood when the run's last engine looked is in its journal; nobody has
/// looked since, where it has none.
pub fn open(state: &RunState) -> impl Iterator<Item = (&Path, &RunId)> {
    let is_at = |path: &Path, child: &Child| {
        let phase = state.steps.get(path).map(|step| &step.phase);
        matches!(phase, Some(Phase::Running(started)) if matches!(&started.handle, Handle::Run { run } if *run == child.run))
    };
    state.children.iter().filter(move |(path, child)| is_at(path, child)).map(|(path, child)| (path, &child.run))
}

/// What a parent's journal should say that this child waits for.
pub fn waits_now(seen: &Seen) -> Option<ChildWait> {
    match next(seen) {
        Next::Wait(wait) => Some(wait),
        Next::Create | Next::Drive | Next::Follow | Next::Ended { .. } => None,
    }
}

pub fn next(seen: &Seen) -> Next {
    if seen.never_began() {
        return Next::Create;
    }
    if let (Some((how, value)), None) = (&seen.state.finished, &seen.state.undoing) {
        return Next::Ended { how: *how, value: value.clone() };
    }
    match waits(&seen.state) {
        Some(wait) => Next::Wait(wait),
        None if seen.driven => Next::Follow,
        None => Next::Drive,
    }
}

/// What a run waits for that only a person can give. Timers and locks are waited for by its own engine.
pub fn waits(state: &RunState) -> Option<ChildWait> {
    if state.is_held() {
        return Some(ChildWait { held: true, why: why_held(state) });
    }
    if state.status() != Status::Waiting {
        return None;
    }
    let asks = state.steps_in_order().into_iter().find(|(_, step)| matches!(step.phase, Phase::Asked { .. }));
    if let Some((path, _)) = asks {
        return Some(ChildWait { held: false, why: format!("\"{path}\" waits for a person") });
    }
    let mut children = state.children.iter().filter_map(|(path, child)| Some((path, child.waits.as_ref()?)));
    children.next().map(|(path, wait)| ChildWait { held: wait.held, why: format!("\"{path}\": {}", wait.why) })
}

fn why_held(state: &RunState) -> String {
    let step = state.steps_in_order().into_iter().find_map(|(path, step)| match (&step.undo.held, &step.phase) {
        (Some(failure), _) => Some(format!("\"{path}\": its undo failed: {failure}")),
        (None, Phase::Held(reason)) => Some(format!("\"{path}\": {reason}")),
        _ => None,
    });
    let beside = || state.other_holds.iter().next().map(|(path, reason)| format!("\"{path}\": {reason}"));
    let why = step.or_else(beside).or_else(|| state.run_holds.first().map(ToString::to_string)).unwrap_or_default();
    first_line(&why)
}

/// What a runbook raised is a whole diagnostic.
fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

/// What a child run is at, in one line, for its parent's screen.
pub fn progress(run: &RunId, state: &RunState) -> String {
    let done = state.done_steps;
    let steps = if done == 1 { "1 step".to_owned() } else { format!("{done} steps") };
    let mut running: Vec<_> = state.steps.iter().filter(|(_, step)| step.is_running()).collect();
    running.sort_by_key(|(_, step)| std::cmp::Reverse(step.last_seq));
    let at = running.first().map_or_else(String::new, |(path, _)| format!(", {path}"));
    format!("run {}: {steps} done{at}", run.short())
}

#[cfg(test)]
mod tests;
