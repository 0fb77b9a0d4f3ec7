//! Versions of the database's schema.
//!
//! Owns the numbered files in `migrations/` and the two marks in the database's header: whose file it is
//! (`application_id`) and which schema it has (`user_version`). Never lowers a version: a newer one is refused.

use crate::error::{Fault, refused};
use piton_core::ports::StoreErrorKind;
use rusqlite::{Connection, params};

/// "Ptn1", in the file's header: tells `file(1)`, and us, that this is a journal of Piton's.
const APPLICATION_ID: i64 = 0x5074_6e31;

/// Migration `n` (from 1) leads from version `n - 1` to `n`.
const MIGRATIONS: &[&str] = &[
    include_str!("../../migrations/0001_journal.sql"),
    include_str!("../../migrations/0002_locks.sql"),
    include_str!("../../migrations/0003_parked.sql"),
    include_str!("../../migrations/0004_children.sql"),
];

/// Where a database stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Current,
    /// Of an older version.
    Behind,
    /// New, or all of it lost.
    Empty,
}

/// Looks at the header. Refuses another program's file, and a newer version's.
pub(crate) fn state(connection: &Connection) -> Result<State, Fault> {
    let application: i64 = pragma(connection, "application_id")?;
    let version: i64 = pragma(connection, "user_version")?;
    let known = MIGRATIONS.len() as i64;
    if application != APPLICATION_ID {
        let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
        if application != 0 || version != 0 || tables != 0 {
            let what = "the store's file journal.db is a database of another program: it is left as it is";
            return Err(refused(StoreErrorKind::Unreadable, what).into());
        }
        return Ok(State::Empty);
    }
    if version > known {
        let what = format!(
            "the store was written by a newer version of Piton (its format is {version}, this version knows up to \
             {known}): use that version"
        );
        return Err(refused(StoreErrorKind::Unreadable, what).into());
    }
    Ok(if version == known { State::Current } else { State::Behind })
}

/// Brings the database up to date; all or nothing. The caller keeps other processes from doing the same.
pub(crate) fn migrate(connection: &Connection) -> Result<(), Fault> {
    let version: i64 = pragma(connection, "user_version")?;
    connection.execute_batch("BEGIN IMMEDIATE")?;
    let done = apply(connection, usize::try_from(version).unwrap_or(0));
    match done {
        Ok(()) => Ok(connection.execute_batch("COMMIT")?),
        Err(fault) => {
            let _ = connection.execute_batch("ROLLBACK");
            Err(fault)
        }
    }
}

fn apply(connection: &Connection, version: usize) -> Result<(), Fault> {
    for sql in MIGRATIONS.iter().skip(version) {
        connection.execute_batch(sql)?;
    }
    if version == 0 {
        let mut identity = [0u8; 32];
        getrandom::fill(&mut identity).map_err(|error| {
            let mut refusal = refused(StoreErrorKind::Unavailable, "the operating system gives no randomness");
            refusal.source = Some(Box::new(error));
            refusal
        })?;
        connection.execute("INSERT INTO meta (key, value) VALUES ('identity', ?1)", params![identity.as_slice()])?;
    }
    connection.pragma_update(None, "application_id", APPLICATION_ID)?;
    connection.pragma_update(None, "user_version", MIGRATIONS.len() as i64)?;
    Ok(())
}

fn pragma(connection: &Connection, name: &str) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, name, |row| row.get(0))
}
