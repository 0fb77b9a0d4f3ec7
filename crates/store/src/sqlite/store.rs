//! `SqliteStore`: the store's interface, each call one transaction or one read.
//!
//! Owns the home directory, one connection for writing, one for reading, and the checkpointer. Two processes on one home
//! share a store; so do two `SqliteStore`s of one process. Never appends without a lease.

use super::checkpoint::Checkpointer;
use super::connection::{self, Reader, Writer};
use super::lease::SqliteLease;
use super::log::Log;
use super::turn::Turns;
use super::{inbox, locks, parked, records, runs, snapshot};
use crate::error::from_io;
use crate::home::Home;
use crate::lock::RunLock;
use crate::side_log::{self, FileSideLog, SIDE_LOG_BYTES};
use crate::waker::{self, Seat};
use crate::{error::Fault, keys};
use piton_core::hold::Decision;
use piton_core::ids::EngineId;
use piton_core::lock::{Locking, Locks};
use piton_core::ports::{
    Along, InboxEntry, InboxMessage, Lease, LeaseOutcome, NewRun, Parked, Parking, RunSummary, SideLog, SideLogs,
    Store, StoreError, Woken,
};
use piton_core::record::Sealed;
use piton_core::{Digest, RunId};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::sync_channel;

#[derive(Debug)]
pub struct SqliteStore {
    home: Home,
    id: Digest,
    // Stops before the connections close, the last of which tidies the log away.
    _checkpointer: Checkpointer,
    pub(super) writer: Arc<Writer>,
    reader: Reader,
}

impl SqliteStore {
    /// Opens the store in this directory, making both if need be.
    pub fn open(home: &Path) -> Result<Self, StoreError> {
        let home = Home::open(home)?;
        let mut connection = connection::open(&home)?;
        let (calls, called) = sync_channel(1);
        let watched = Log::watch(&mut connection, &home.database(), calls.clone())
            .map_err(Fault::from)
            .and_then(|log| Ok((log, runs::identity(&connection)?)));
        let (log, id) = watched.map_err(|fault| fault.into_error("open the store"))?;
        let writer = Arc::new(Writer::new(connection, Turns::open(&home.path().join("turn.lock")), log));
        let reader = Reader::new(connection::open(&home)?);
        let checkpointer = Checkpointer::start(home.clone(), Arc::downgrade(&writer), calls, called);
        Ok(Self { home, id, _checkpointer: checkpointer, writer, reader })
    }

    /// The store's directory, absolute.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// The run's own directory, made with the run: attempts, outputs, locks. Absolute.
    pub fn run_dir(&self, run: &RunId) -> PathBuf {
        self.home.run_dir(run)
    }

    /// Key of keyed hashes of secrets (HMAC-SHA256), made when first asked for.
    pub fn store_key(&self) -> Result<[u8; 32], StoreError> {
        keys::store_key(&self.home)
    }

    /// Seed of the ed25519 key that signs receipts, made when first asked for.
    pub fn signing_key_seed(&self) -> Result<[u8; 32], StoreError> {
        keys::signing_key_seed(&self.home)
    }

    /// The waker's seat; `None`: somebody sits there already.
    pub fn waker_seat(&self) -> Result<Option<Seat>, StoreError> {
        Seat::take(self.home.path()).map_err(|error| from_io("take the waker's seat in", self.home.path(), error))
    }

    /// The waker's seat, once it is free.
    pub fn waker_seat_when_free(&self) -> Result<Seat, StoreError> {
        Seat::wait(self.home.path()).map_err(|error| from_io("take the waker's seat in", self.home.path(), error))
    }

    /// Whether a waker lives; one that does is told to look.
    pub fn ring_waker(&self) -> bool {
        waker::ring(self.home.path())
    }

    /// The process of the store's waker, where one lives.
    pub fn waker(&self) -> Option<u32> {
        waker::sitter(self.home.path())
    }

    /// The run's directory, after making sure that there is such a run.
    fn dir_of(&self, run: &RunId) -> Result<PathBuf, StoreError> {
        self.reader.read("look up the run", |connection| records::run_row(connection, run))?;
        self.home.make_run_dir(run)
    }

    fn take_lease(&self, dir: &Path, lock: RunLock, run: &RunId, engine: &EngineId) -> Result<SqliteLease, StoreError> {
        let known = if side_log::exists(dir) {
            Some(self.reader.read("look up the run", |connection| Ok(records::run_row(connection, run)?.fence))?)
        } else {
            None
        };
        SqliteLease::take(&self.writer, lock, run, engine, known)
    }

    /// Whoever the row names is only shown while the run's lock is held: a crashed engine leaves its name behind.
    fn truthful(&self, mut run: RunSummary) -> RunSummary {
        if run.held_by.is_some() && !RunLock::is_held(&self.home.run_dir(&run.id)) {
            run.held_by = None;
        }
        run
    }
}

impl Store for SqliteStore {
    fn create_run(&self, run: &NewRun) -> Result<(), StoreError> {
        self.home.make_run_dir(&run.id)?;
        self.writer.write("create the run", |connection| runs::create(connection, run))
    }

    fn runs(&self) -> Result<Vec<RunSummary>, StoreError> {
        let runs = self.reader.read("list the runs", runs::list)?;
        Ok(runs.into_iter().map(|run| self.truthful(run)).collect())
    }

    fn runs_of(&self, title: &str, statuses: &[&str], limit: usize) -> Result<Vec<RunSummary>, StoreError> {
        let runs = self.reader.read("list the runs", |connection| runs::list_of(connection, title, statuses, limit))?;
        Ok(runs.into_iter().map(|run| self.truthful(run)).collect())
    }

    fn find(&self, name: &str) -> Result<RunSummary, StoreError> {
        let run = self.reader.read("find the run", |connection| runs::find(connection, name))?;
        Ok(self.truthful(run))
    }

    /// Page by page: whoever takes long over a record keeps neither other readers nor the checkpointer waiting.
    fn read(
        &self,
        run: &RunId,
        mut after_seq: u64,
        see: &mut dyn FnMut(Sealed) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        loop {
            let page = self.reader.read("read the journal", |connection| records::page(connection, run, after_seq))?;
            let Some(last) = page.last() else { return Ok(()) };
            after_seq = last.seq;
            for record in page {
                if see(record).is_break() {
                    return Ok(());
                }
            }
        }
    }

    fn lease(&self, run: &RunId, engine: &EngineId) -> Result<LeaseOutcome, StoreError> {
        let dir = self.dir_of(run)?;
        match RunLock::try_take(&dir).map_err(|error| from_io("lock the run's directory", &dir, error))? {
            Some(lock) => Ok(LeaseOutcome::Held(Box::new(self.take_lease(&dir, lock, run, engine)?))),
            None => Ok(LeaseOutcome::Busy(self.find(run.as_str())?.held_by)),
        }
    }

    fn lease_when_free(&self, run: &RunId, engine: &EngineId) -> Result<Box<dyn Lease>, StoreError> {
        let dir = self.dir_of(run)?;
        let lock = RunLock::wait(&dir).map_err(|error| from_io("lock the run's directory", &dir, error))?;
        Ok(Box::new(self.take_lease(&dir, lock, run, engine)?))
    }

    fn append_along(&self, lease: &dyn Lease, records: &[Sealed], along: &Along<'_>) -> Result<(), StoreError> {
        self.writer.write("append to the journal", |connection| records::append(connection, lease, records, along))?;
        if !along.released.is_empty() {
            // A run that is parked may wait for what was given up.
            self.ring_waker();
        }
        Ok(())
    }

    fn take_lock(
        &self,
        lease: &dyn Lease,
        name: &str,
        scope: &piton_core::Path,
        at_us: i64,
    ) -> Result<Locking, StoreError> {
        self.writer.write("take a lock", |connection| locks::take(connection, lease, name, scope, at_us))
    }

    fn locks(&self) -> Result<Locks, StoreError> {
        self.reader.read("list the locks", locks::all)
    }

    fn post(&self, run: &RunId, decision: &Decision, message: &InboxMessage, at_us: i64) -> Result<u64, StoreError> {
        self.writer.write("post to the run", |connection| inbox::post(connection, run, decision, message, at_us))
    }

    fn inbox(&self, run: &RunId, after_id: u64) -> Result<Vec<InboxEntry>, StoreError> {
        self.reader.read("read the run's inbox", |connection| inbox::read(connection, run, after_id))
    }

    fn sources(&self, run: &RunId) -> Result<Vec<(String, Vec<u8>, bool)>, StoreError> {
        self.reader.read("read the run's snapshot", |connection| snapshot::read(connection, run))
    }

    fn replace_sources(&self, lease: &dyn Lease, sources: &[(String, Vec<u8>, bool)]) -> Result<(), StoreError> {
        self.writer.write("replace the run's snapshot", |connection| snapshot::replace(connection, lease, sources))
    }

    fn id(&self) -> Digest {
        self.id
    }

    /// SQLite's `data_version` of the reading connection, which changes with every commit of any other connection, in
    /// this process or another: a look at shared memory, microseconds.
    fn version(&self) -> Option<u64> {
        let version = self.reader.read("look at the store", |connection| {
            let mut pragma = connection.prepare_cached("PRAGMA data_version")?;
            Ok(pragma.query_row([], |row| records::unsigned(row, 0))?)
        });
        version.ok()
    }
}

impl Parking for SqliteStore {
    fn any_parked(&self) -> Result<bool, StoreError> {
        self.reader.read("look for parked runs", parked::any)
    }

    fn parked_until(&self, run: &RunId) -> Result<Option<Option<i64>>, StoreError> {
        self.reader.read("look for parked runs", |connection| parked::until(connection, run))
    }

    fn look_at_parked(&self, now_us: i64, most: usize) -> Result<Parked, StoreError> {
        let calls = self
            .reader
            .read("look for parked runs", |connection| Ok(parked::to_call(&locks::all(connection)?, now_us)))?;
        if !calls.is_empty() {
            self.writer.write("call who waits for a lock", |connection| {
                calls.iter().try_for_each(|wait| locks::call(connection, wait, now_us))
            })?;
        }
        let is_driven = |run: &RunId| RunLock::is_held(&self.home.run_dir(run));
        self.reader.read("look for parked runs", |connection| parked::look(connection, now_us, most, is_driven))
    }

    fn waking(&self, run: &RunId, now_us: i64) -> Result<Option<Woken>, StoreError> {
        self.writer.write("count a start", |connection| parked::waking(connection, run, now_us))
    }
}

impl SideLogs for SqliteStore {
    fn prepare(&self, run: &RunId) -> Result<Box<dyn SideLog>, StoreError> {
        Ok(Box::new(FileSideLog::prepare(&self.home.make_run_dir(run)?, SIDE_LOG_BYTES)?))
    }

    fn reopen(&self, run: &RunId) -> Result<Option<Box<dyn SideLog>>, StoreError> {
        let log = FileSideLog::reopen(&self.home.run_dir(run))?;
        Ok(log.map(|log| Box::new(log) as Box<dyn SideLog>))
    }

    fn make_room(&self, run: &RunId) {
        side_log::make_room(&self.home.run_dir(run));
    }

    fn read(&self, run: &RunId) -> Result<Vec<Sealed>, StoreError> {
        side_log::read(&self.home.run_dir(run))
    }

    fn clear(&self, run: &RunId) -> Result<(), StoreError> {
        side_log::clear(&self.home.run_dir(run))
    }
}
