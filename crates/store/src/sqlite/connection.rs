//! Connections: how the database file is opened, read and written.
//!
//! Owns the settings that durability rests on, the one shape of a write (`BEGIN IMMEDIATE`, body, `COMMIT`) and the
//! wait for other processes. Never knows what a table holds.
//!
//! Durability: in WAL mode with `synchronous=FULL` SQLite syncs the log at every commit (<https://sqlite.org/wal.html>).

use super::log::Log;
use super::migrate::{self, State};
use super::turn::{self, Turns};
use crate::error::{Fault, from_io, refused};
use crate::home::Home;
use crate::lock as file_lock;
use piton_core::ports::{StoreError, StoreErrorKind};
use rusqlite::{Connection, OpenFlags};
use rustix::fs::{Access, FlockOperation};
use rustix::io::Errno;
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Prepared statements kept by a connection; we have about twenty.
const STATEMENTS: usize = 64;

/// Opens the database, making or migrating it if need be.
pub(crate) fn open(home: &Home) -> Result<Connection, StoreError> {
    let cannot = |fault: Fault| {
        // SQLite's word for it depends on which of its files it needs first.
        match rustix::fs::access(home.path(), Access::WRITE_OK) {
            Err(error @ Errno::ROFS) => from_io("open the store in", home.path(), error.into()),
            _ => fault.into_error("open the store"),
        }
    };
    let connection = connect(home).map_err(cannot)?;
    if needs_preparing(&connection).map_err(cannot)? {
        prepare(home, &connection)?;
    }
    Ok(connection)
}

fn connect(home: &Home) -> Result<Connection, Fault> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_PRIVATE_CACHE
        | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let mut connection = Connection::open_with_flags(home.database(), flags)?;
    connection.busy_handler(Some(turn::pause))?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    // A damaged page should be an error where it is read, and nothing in the schema may run code.
    connection.pragma_update(None, "cell_size_check", true)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    Ok(connection)
}

fn needs_preparing(connection: &Connection) -> Result<bool, Fault> {
    Ok(migrate::state(connection)? != State::Current || journal_mode(connection)? != "wal")
}

fn journal_mode(connection: &Connection) -> rusqlite::Result<String> {
    connection.pragma_query_value(None, "journal_mode", |row| row.get(0))
}

/// Makes a new database, or migrates an old one, while other processes wait: SQLite answers busy without waiting when
/// two of them change the journal mode at once.
fn prepare(home: &Home, connection: &Connection) -> Result<(), StoreError> {
    let path = home.path().join("open.lock");
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(|error| from_io("create", &path, error))?;
    file_lock::lock(&file, FlockOperation::LockExclusive).map_err(|error| from_io("lock", &path, error))?;
    let prepared = || -> Result<(), Fault> {
        match migrate::state(connection)? {
            State::Empty => refuse_to_replace(home)?,
            State::Current if journal_mode(connection)? == "wal" => return Ok(()),
            State::Current | State::Behind => {}
        }
        // Before the first page is written, or it has no effect.
        connection.pragma_update(None, "page_size", 4096)?;
        connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get::<_, String>(0))?;
        migrate::migrate(connection)?;
        Ok(())
    };
    prepared().map_err(|fault| fault.into_error("create the store"))
}

/// A new journal beside the directories of runs means that the old one is gone. Starting over in silence would hide that.
fn refuse_to_replace(home: &Home) -> Result<(), StoreError> {
    if !home.has_runs() {
        return Ok(());
    }
    let what = format!(
        "{} is missing or empty, and there are runs: restore it from a backup, or move {} away to start anew",
        home.database().display(),
        home.path().join("runs").display()
    );
    Err(refused(StoreErrorKind::Unreadable, what))
}

/// A connection that several threads share, for reading.
#[derive(Debug)]
pub(crate) struct Reader(Mutex<Connection>);

impl Reader {
    pub(crate) fn new(connection: Connection) -> Self {
        Self(Mutex::new(connection))
    }

    /// One read. Sees the latest commit; neither waits for writers nor keeps them waiting.
    pub(crate) fn read<T>(
        &self,
        doing: &str,
        body: impl FnOnce(&Connection) -> Result<T, Fault>,
    ) -> Result<T, StoreError> {
        body(&lock(&self.0)).map_err(|fault| fault.into_error(doing))
    }
}

/// The connection through which this process writes.
#[derive(Debug)]
pub(crate) struct Writer {
    /// Held while waiting for the connection, so that a thread that has just written does not come first again.
    next: Mutex<()>,
    connection: Mutex<Connection>,
    turns: Turns,
    log: Log,
}

impl Writer {
    pub(crate) fn new(connection: Connection, turns: Turns, log: Log) -> Self {
        Self { next: Mutex::new(()), connection: Mutex::new(connection), turns, log }
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        let _next = lock(&self.next);
        lock(&self.connection)
    }

    /// One transaction: all of `body` or nothing, durable on return.
    ///
    /// A failed sync leaves the outcome to the disk: the commit counts as refused, and a crash before the next commit
    /// may still bring it back. Whoever reads the journal afresh, as every new lease holder does, sees which.
    pub(crate) fn write<T>(
        &self,
        doing: &str,
        body: impl FnOnce(&Connection) -> Result<T, Fault>,
    ) -> Result<T, StoreError> {
        self.transaction(&self.connection(), body).map_err(|fault| fault.into_error(doing))
    }

    /// Like `write`, where it is not worth waiting long.
    pub(crate) fn write_soon<T>(
        &self,
        wait: Duration,
        doing: &str,
        body: impl FnOnce(&Connection) -> Result<T, Fault>,
    ) -> Result<T, StoreError> {
        turn::with_patience(wait, || self.write(doing, body))
    }

    /// Something to be done between two commits.
    pub(crate) fn between<T>(&self, what: impl FnOnce(&Connection) -> T) -> T {
        what(&self.connection())
    }

    fn transaction<T>(
        &self,
        connection: &Connection,
        body: impl FnOnce(&Connection) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        if !connection.is_autocommit() {
            connection.execute_batch("ROLLBACK")?;
        }
        let turn = self.turns.take();
        run(connection, "BEGIN IMMEDIATE")?;
        drop(turn);
        self.log.reserve();
        let result = body(connection).and_then(|value| {
            run(connection, "COMMIT")?;
            Ok(value)
        });
        if result.is_err() && !connection.is_autocommit() {
            // What failed is the caller's news; a rollback that fails too is tried again before the next transaction.
            let _ = connection.execute_batch("ROLLBACK");
        }
        result
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A holder that panicked may have left its transaction open; the next transaction rolls it back first.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs a statement from the cache: parsing it anew would cost as much as the rest of a commit's own work.
fn run(connection: &Connection, sql: &str) -> rusqlite::Result<()> {
    connection.prepare_cached(sql)?.execute([]).map(|_| ())
}
