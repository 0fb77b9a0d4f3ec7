//! Where journals live: runs, their records, leases, inboxes, snapshots.
//!
//! Owns the interface every store implements, and what its errors mean. One conformance suite runs against each.

use crate::digest::Digest;
use crate::event::Answer;
use crate::hold::{Choice, Decision};
use crate::ids::{Actor, EngineId, RunId};
use crate::lock::{Locking, Locks};
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
        self.append_releasing(lease, records, status, &[])
    }

    /// Appends, and with it gives up what these scopes of the run hold and wait for.
    fn append_releasing(
        &self,
        lease: &dyn Lease,
        records: &[Sealed],
        status: Option<&str>,
        released: &[Path],
    ) -> Result<(), StoreError>;

    /// Takes the lock for a scope of the lease's run, or says who holds it; durably on return. Asking again for what the
    /// scope holds changes nothing. It survives engines: only `append_releasing` gives it up.
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
