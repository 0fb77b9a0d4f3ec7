//! The state of a run: a fold of its journal.
//!
//! Owns `RunState` and `apply`, the one transition function that live runs, recovery, listings, receipts and tests
//! share. Total: any sequence of events, a hostile one too, gives some state and never a panic.
//! Never decides what happens next (see `decide`), and never reads a clock.

mod apply;
mod beside;
mod step;

pub use step::{Began, Phase, Step, UndoProgress};

use crate::child::Child;
use crate::digest::Digest;
use crate::event::{EngineAttached, Finish, Rehearsal, RunEdited, RunStarted, Runbook, Stored, UndoBegan};
use crate::guard::{GuardState, GuardTold};
use crate::hold::HoldReason;
use crate::ids::Actor;
use crate::lock::LockState;
use crate::outcome::Failure;
use crate::path::Path;
use crate::record::Moment;
use crate::request::Site;
use crate::scope::ScopeKind;
use crate::value::Value;
use crate::window::Window;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

#[derive(Clone, Debug, Default)]
pub struct RunState {
    /// Sequence number, hash and time of the last applied record.
    pub seq: u64,
    pub head: Digest,
    pub at: Moment,
    pub started: Option<Arc<RunStarted>>,
    pub started_at: Moment,
    /// The last edit.
    pub edited: Option<Arc<RunEdited>>,
    pub engine: Option<EngineAttached>,
    pub steps: HashMap<Path, Step>,
    pub scopes: HashMap<Path, ScopeState>,
    pub windows: HashMap<Path, Window>,
    /// Keyed hash of each secret's value, by source.
    pub secrets: BTreeMap<String, Digest>,
    /// Path and sequence number of each commit point passed, in order.
    pub commit_points: Vec<(Path, u64)>,
    /// Holds of the run itself; holds of steps are their phase.
    pub run_holds: Vec<HoldReason>,
    /// Holds of what stands beside steps: guards that tripped, locks that were broken or cannot be had.
    pub other_holds: BTreeMap<Path, HoldReason>,
    /// Guards that have tripped, by their path.
    pub guards: BTreeMap<Path, GuardState>,
    /// Locks held and waited for, by their scope.
    pub locks: BTreeMap<Path, LockState>,
    /// Each step's last child run.
    pub children: BTreeMap<Path, Child>,
    pub abort: Option<(Actor, Option<String>)>,
    /// A taking back that has begun and not finished.
    pub undoing: Option<UndoBegan>,
    /// What a person asked for was taken back; that the run ends or holds for it is not journaled yet.
    pub taken_back: Option<UndoBegan>,
    pub finished: Option<(Finish, Option<Stored<Value>>)>,
    pub emitted: Vec<(String, Value)>,
    /// Paths of `emit`s and `note`s made.
    pub noted: HashSet<Path>,
    /// Id of the last inbox message taken into account.
    pub inbox_seen: u64,
    /// Steps whose phase is `Held`, and undos that hold.
    pub held_steps: u64,
    /// Of them, those that stop a taking back: their undo holds, or nobody can say that nothing of them is alive.
    pub stuck_steps: u64,
    /// Steps that succeeded and were not taken back.
    pub done_steps: u64,
    /// Steps with something of theirs under way, and steps that wait for a person or a time: counted, since a run
    /// tells its status at every commit and may have a hundred thousand steps.
    pub running_steps: u64,
    pub waiting_steps: u64,
    /// When waiting steps go on by themselves, and which; the earliest first.
    pub dues: BTreeSet<(i64, Path)>,
    /// An `inverse()` keeps, or kept, a former file beside one that was written.
    pub keeps_files: bool,
    files: HashSet<Arc<str>>,
}

#[derive(Clone, Debug)]
pub struct ScopeState {
    pub kind: ScopeKind,
    pub total: Option<u64>,
    pub entered_at: Moment,
    pub left_at: Option<Moment>,
    pub settled: Option<Settled>,
    pub guards: Vec<GuardTold>,
    /// Order of first entry.
    pub seq: u64,
}

#[derive(Clone, Debug)]
pub struct Settled {
    pub value: Option<Stored<Value>>,
    pub failures: Vec<(String, Failure)>,
}

/// A run in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It has work to do. Whether an engine does it is the lease's to say.
    Running,
    /// It waits for a person, a time or a lock, and nothing is under way.
    Waiting,
    Held,
    Undoing,
    Succeeded,
    Aborted,
    Undone,
}

impl Status {
    pub fn word(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Held => "held",
            Self::Undoing => "undoing",
            Self::Succeeded => "succeeded",
            Self::Aborted => "aborted",
            Self::Undone => "undone",
        }
    }

    pub fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Aborted | Self::Undone)
    }
}

impl RunState {
    /// What is evaluated: the runbook as it was started, or last edited.
    pub fn runbook(&self) -> Option<&Runbook> {
        let edited = self.edited.as_ref().map(|edited| &edited.runbook);
        edited.or_else(|| self.started.as_ref().map(|started| &started.runbook))
    }

    /// The parameters it is evaluated with.
    pub fn params(&self) -> &[(String, Value)] {
        let edited = self.edited.as_ref().map(|edited| &edited.params);
        edited.or_else(|| self.started.as_ref().map(|started| &started.params)).map_or(&[], Vec::as_slice)
    }

    pub fn rehearsal(&self) -> Option<Rehearsal> {
        self.started.as_ref()?.rehearsal
    }

    /// A rehearsal that turns round where its first window could not any more.
    pub fn rehearses_back(&self) -> bool {
        self.rehearsal() == Some(Rehearsal::Back)
    }

    /// Sequence number of the last commit point; what was done before it stays.
    pub fn last_commit_seq(&self) -> u64 {
        self.commit_points.last().map_or(0, |(_, seq)| *seq)
    }

    pub fn status(&self) -> Status {
        match &self.finished {
            Some((Finish::Succeeded, _)) => return Status::Succeeded,
            Some((Finish::Aborted, _)) => return Status::Aborted,
            Some((Finish::Undone, _)) => return Status::Undone,
            None => {}
        }
        // What held before goes back as well, whoever has to decide about it.
        if self.undoing.is_some() && self.stuck_steps == 0 {
            Status::Undoing
        } else if self.is_held() {
            Status::Held
        } else if self.running_steps > self.waiting_children() {
            Status::Running
        } else if self.waiting_steps > 0 || self.waits_for_locks() || self.waiting_children() > 0 {
            Status::Waiting
        } else {
            Status::Running
        }
    }

    /// Child runs that wait for a person; their steps count as running, too.
    fn waiting_children(&self) -> u64 {
        self.children.values().filter(|child| child.waits.is_some()).count() as u64
    }

    /// True where a person has something to decide before the run can go on.
    pub fn is_held(&self) -> bool {
        self.held_steps > 0 || !self.run_holds.is_empty() || !self.other_holds.is_empty()
    }

    pub fn waits_for_locks(&self) -> bool {
        self.locks.values().any(|lock| matches!(lock, LockState::Waiting { .. }))
    }

    /// When a step in this scope goes on by itself, wall clock, microseconds: the earliest after this time.
    pub fn next_due_us(&self, scope: &Path, after_us: i64) -> Option<i64> {
        let later = self.dues.range((after_us.saturating_add(1), Path::root())..);
        later.into_iter().find(|(_, path)| path.is_within(scope)).map(|(due_us, _)| *due_us)
    }

    /// The end of this scope is settled.
    pub fn is_settled(&self, scope: &Path) -> bool {
        self.scopes.get(scope).is_some_and(|scope| scope.settled.is_some())
    }

    /// The settled scope around (or at) this path, if any.
    pub fn settled_around(&self, path: &Path) -> Option<&Settled> {
        std::iter::successors(Some(path.clone()), Path::parent)
            .find_map(|scope| self.scopes.get(&scope).and_then(|scope| scope.settled.as_ref()))
    }

    /// True where a scope around this path catches failures: an `attempt`, or an `each` that passes failed items.
    pub fn is_caught(&self, path: &Path) -> bool {
        std::iter::successors(path.parent(), Path::parent).any(|scope| {
            let kind = self.scopes.get(&scope).map(|scope| &scope.kind);
            matches!(kind, Some(ScopeKind::Attempt | ScopeKind::Each { continue_on_failure: true }))
        })
    }

    /// The open window, where one is. Windows do not nest and are not in branches side by side with another.
    pub fn open_window(&self) -> Option<&Window> {
        self.windows.values().find(|window| window.is_open())
    }

    /// The file a site names, kept once however many steps stand in it.
    fn shared(&mut self, site: &Site) -> Site {
        let file = match self.files.get(&site.file) {
            Some(known) => known.clone(),
            None => {
                self.files.insert(site.file.clone());
                site.file.clone()
            }
        };
        Site { file, ..*site }
    }

    /// Steps in the order in which the journal first named them.
    pub fn steps_in_order(&self) -> Vec<(&Path, &Step)> {
        let mut steps: Vec<_> = self.steps.iter().collect();
        steps.sort_by_key(|(_, step)| step.first_seq);
        steps
    }
}

#[cfg(test)]
pub(crate) mod tests;
