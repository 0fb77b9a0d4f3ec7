//! Where journals live: runs, their records, leases, inboxes, snapshots.
//!
//! Owns the interface every store implements, and what its errors mean. One conformance suite runs against each.

use crate::digest::Digest;
use crate::event::{Answer, Rehearsal};
use crate::hold::{Choice, Decision};
use crate::ids::{Actor, EngineId, RunId};
use crate::lock::{Locking, Locks};
use crate::park::Rest;
use crate::path::Path;
use crate::record::Sealed;
use serde::{Deserialize, Serialize};
use std::ops::ControlFlow;

#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct StoreError {
    pub kind: StoreErrorKind,
    pub message: String,
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreErrorKind {
    /// Full disk, read-only, I/O: nothing of the call was stored.
    Unavailable,
    /// Another lease was taken since: this engine must stop.
    Fenced,
    /// No such run, or more than one.
    Unknown,
    /// Damaged, or written by a newer version.
    Unreadable,
    /// The records do not continue the journal: a bug in whoever appends. Nothing was stored.
    OutOfOrder,
}

/// What a run is created with.
#[derive(Clone, Debug)]
pub struct NewRun {
    pub id: RunId,
    pub title: String,
    /// Wall clock, microseconds.
    pub created_at_us: i64,
    pub by: Actor,
    /// The run that started it.
    pub parent: Option<RunId>,
    pub rehearsal: Option<Rehearsal>,
    /// Path below the project's root, bytes, executable or not.
    pub sources: Vec<(String, Vec<u8>, bool)>,
}

/// One row of `piton runs`. `status` is the word the last appending engine left; the journal is the truth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunSummary {
    pub id: RunId,
    pub title: String,
    pub created_at_us: i64,
    pub updated_at_us: i64,
    pub status: String,
    pub by: Actor,
    /// The run that started it.
    pub parent: Option<RunId>,
    pub head_seq: u64,
    /// Who holds the lease now, where anyone does.
    pub held_by: Option<EngineId>,
    /// Of a rehearsal, as its first record says.
    pub rehearsal: Option<Rehearsal>,
}

/// What goes along with records, in their transaction.
#[derive(Clone, Copy, Debug, Default)]
pub struct Along<'a> {
    /// A word for listings.
    pub status: Option<&'a str>,
    /// Scopes of the run: what they hold and wait for is given up.
    pub released: &'a [Path],
    /// What becomes of the run when nobody drives it; absent: what became of it before.
    pub rest: Option<Rest>,
}

/// The right to append to a run's journal. Ends when dropped, or with the process.
pub trait Lease: Send + Sync {
    fn run(&self) -> &RunId;
    /// Grows with every lease of the run.
    fn fence(&self) -> u64;
}

pub enum LeaseOutcome {
    Held(Box<dyn Lease>),
    /// Someone alive holds it.
    Busy(Option<EngineId>),
}

/// What a person sends to a run, through whoever holds its lease.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "message", rename_all = "snake_case")]
pub enum InboxMessage {
    Answer {
        path: Path,
        answer: Answer,
    },
    Decide {
        path: Path,
        choice: Choice,
    },
    /// Retry everything that failed.
    RetryAll,
    /// Finish the running steps, then hold.
    Pause,
    Abort,
    /// Take back everything in a scope.
    Undo {
        scope: Path,
    },
    /// Take away the lock that this scope holds.
    BreakLock {
        scope: Path,
        name: String,
    },
}

#[derive(Clone, Debug, PartialEq)]
pub struct InboxEntry {
    /// Grows; an engine asks for those after the last it has seen.
    pub id: u64,
    pub at_us: i64,
    pub decision: Decision,
    pub message: InboxMessage,
}

pub trait Store: Send + Sync {
    fn create_run(&self, run: &NewRun) -> Result<(), StoreError>;

    /// Newest first.
    fn runs(&self) -> Result<Vec<RunSummary>, StoreError>;

    /// Of runs with this title and one of these statuses, the newest ones, newest first.
    fn runs_of(&self, title: &str, statuses: &[&str], limit: usize) -> Result<Vec<RunSummary>, StoreError> {
        let mut runs = self.runs()?;
        runs.retain(|run| run.title == title && statuses.contains(&run.status.as_str()));
        runs.truncate(limit);
        Ok(runs)
    }

    /// By unique prefix of the id, or `@last`: the last one that a person started.
    fn find(&self, name: &str) -> Result<RunSummary, StoreError>;

    /// Hands on the records after `after_seq`, in order, until it is told to stop: a journal is read in pieces, and need
    /// not fit into memory. What is appended meanwhile may be among them.
    fn read(
        &self,
        run: &RunId,
        after_seq: u64,
        see: &mut dyn FnMut(Sealed) -> ControlFlow<()>,
    ) -> Result<(), StoreError>;

    /// All of them at once.
    fn read_all(&self, run: &RunId, after_seq: u64) -> Result<Vec<Sealed>, StoreError> {
        let mut records = Vec::new();
        self.read(run, after_seq, &mut |record| {
            records.push(record);
            ControlFlow::Continue(())
        })?;
        Ok(records)
    }

    /// Takes the run's lease if nobody alive holds it.
    fn lease(&self, run: &RunId, engine: &EngineId) -> Result<LeaseOutcome, StoreError>;

    /// Waits until the lease is free, then takes it. For watchdogs.
    ///
    /// Where the store cannot be written and the run has a side log, the lease is taken all the same, here and in
    /// `lease`: its number becomes durable with the first append that succeeds.
    fn lease_when_free(&self, run: &RunId, engine: &EngineId) -> Result<Box<dyn Lease>, StoreError>;

    /// Appends, all or nothing, durably on return. `status` is a word for listings.
    fn append(&self, lease: &dyn Lease, records: &[Sealed], status: Option<&str>) -> Result<(), StoreError> {
        self.append_along(lease, records, &Along { status, ..Along::default() })
    }

    /// Appends, and changes with it what goes along, in one transaction.
    fn append_along(&self, lease: &dyn Lease, records: &[Sealed], along: &Along<'_>) -> Result<(), StoreError>;

    /// Takes the lock for a scope of the lease's run, or says who holds it or whose turn it is; durably on return. Asking
    /// again for what the scope holds changes nothing. It survives engines: only what goes along with an append gives it
    /// up.
    fn take_lock(&self, lease: &dyn Lease, name: &str, scope: &Path, at_us: i64) -> Result<Locking, StoreError>;

    /// Locks of all runs, by name.
    fn locks(&self) -> Result<Locks, StoreError>;

    fn post(&self, run: &RunId, decision: &Decision, message: &InboxMessage, at_us: i64) -> Result<u64, StoreError>;

    fn inbox(&self, run: &RunId, after_id: u64) -> Result<Vec<InboxEntry>, StoreError>;

    /// The run's snapshot, as created or last replaced.
    fn sources(&self, run: &RunId) -> Result<Vec<(String, Vec<u8>, bool)>, StoreError>;

    /// Replaces the snapshot (`resume --edited`).
    fn replace_sources(&self, lease: &dyn Lease, sources: &[(String, Vec<u8>, bool)]) -> Result<(), StoreError>;

    /// Digest of nothing but identity: tells two stores apart.
    fn id(&self) -> Digest;

    /// A number that changes with every commit of anyone, cheap enough to ask for many times a second; an inbox need not
    /// be read while it stays the same. `None`: cannot be told now, so read it.
    fn version(&self) -> Option<u64> {
        None
    }
}

/// Runs that wait with nobody driving them, as a waker finds them. What is kept is what went along with their last records.
pub trait Parking: Send + Sync {
    /// Whether any run is parked, whatever it waits for.
    fn any_parked(&self) -> Result<bool, StoreError>;

    /// When the run goes on by itself, where it is parked; the inner `None`: no time is known.
    fn parked_until(&self, run: &RunId) -> Result<Option<Option<i64>>, StoreError>;

    /// The runs to start an engine for by now, those first that have been due longest, and at most so many. Calls
    /// those whose turn at a free lock has come.
    fn look_at_parked(&self, now_us: i64, most: usize) -> Result<Parked, StoreError>;

    /// Counts an engine that is about to be started for the run, durably: none other is before its back-off is over, or the
    /// run waits for another time. `None`: it is not parked any more.
    fn waking(&self, run: &RunId, now_us: i64) -> Result<Option<Woken>, StoreError>;
}

/// What a waker finds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parked {
    pub due: Vec<RunId>,
    /// When to look again, wall clock, microseconds; `None`: nothing waits for a time.
    pub look_again_us: Option<i64>,
    /// Whether any run is parked.
    pub any: bool,
}

/// An engine is about to be started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Woken {
    /// How many were for what it waits for now, this one with them.
    pub tries: u32,
    /// No other is started before.
    pub not_before_us: i64,
}

/// A file with its space allocated beforehand, where going back in a window is recorded when the store fails.
pub trait SideLog: Send {
    /// Appends durably, or fails without having stored any of it.
    fn append(&mut self, records: &[Sealed]) -> Result<(), StoreError>;
}

/// Makes and reads side logs.
pub trait SideLogs: Send + Sync {
    /// Allocates and syncs the space; an older one of the run must have been imported before.
    fn prepare(&self, run: &RunId) -> Result<Box<dyn SideLog>, StoreError>;

    /// Opens the run's side log behind its last whole record, whoever wrote that; `None` where there is none. For whoever
    /// takes over an open window while the store still fails.
    fn reopen(&self, _run: &RunId) -> Result<Option<Box<dyn SideLog>>, StoreError> {
        Ok(None)
    }

    /// Gives back the space that was kept for what going back itself needs on that disk: its commands' files.
    fn make_room(&self, _run: &RunId) {}

    /// Whole records of an older side log, oldest first; a torn end is left out.
    fn read(&self, run: &RunId) -> Result<Vec<Sealed>, StoreError>;

    /// Removes it, its records being in the journal.
    fn clear(&self, run: &RunId) -> Result<(), StoreError>;
}
