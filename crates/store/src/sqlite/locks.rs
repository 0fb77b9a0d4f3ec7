//! Locks of runs: who holds a name, and who waits for it.
//!
//! Owns the rows of `locks` and `lock_waits`. Never guesses who is alive: a row stays until its run gives it up.

use super::records::{fenced_row, run_row};
use crate::error::Fault;
use piton_core::Path;
use piton_core::lock::{Locked, Locking, Locks};
use piton_core::ports::Lease;
use rusqlite::{Connection, Row, params};

pub(crate) fn take(
    connection: &Connection,
    lease: &dyn Lease,
    name: &str,
    scope: &Path,
    at_us: i64,
) -> Result<Locking, Fault> {
    let run = fenced_row(connection, lease)?.number;
    let locks = all(connection)?;
    let own = |other: &Locked| other.run == *lease.run() && other.path == *scope;
    match (locks.holder(name), locks.turn(name, at_us)) {
        (Some(holder), _) if !own(holder) => {
            if let Some(chain) = locks.deadlock(name, lease.run(), scope) {
                return Ok(Locking::Deadlock(chain));
            }
            wait(connection, run, scope, name, at_us)?;
            return Ok(Locking::Busy(holder.clone()));
        }
        (Some(_), _) => {}
        (None, Some(first)) if !own(first) => {
            call(connection, first, at_us)?;
            wait(connection, run, scope, name, at_us)?;
            return Ok(Locking::Busy(first.clone()));
        }
        (None, _) => {
            connection
                .prepare_cached("INSERT INTO locks (name, run, scope, since_us) VALUES (?1, ?2, ?3, ?4)")?
                .execute(params![name, run, scope.as_str(), at_us])?;
        }
    }
    connection
        .prepare_cached("DELETE FROM lock_waits WHERE run = ?1 AND scope = ?2")?
        .execute(params![run, scope.as_str()])?;
    Ok(Locking::Taken)
}

/// The scope waits, since it first asked; having asked again it is to be called again.
fn wait(connection: &Connection, run: i64, scope: &Path, name: &str, at_us: i64) -> Result<(), Fault> {
    connection
        .prepare_cached(
            "INSERT INTO lock_waits (run, scope, name, since_us) VALUES (?1, ?2, ?3, ?4) \
             ON CONFLICT (run, scope) DO UPDATE SET name = ?3, called_us = NULL, \
             since_us = CASE WHEN name = ?3 THEN since_us ELSE ?4 END WHERE name <> ?3 OR called_us IS NOT NULL",
        )?
        .execute(params![run, scope.as_str(), name, at_us])?;
    Ok(())
}

/// Its turn has come, if it had not before.
pub(crate) fn call(connection: &Connection, waiting: &Locked, at_us: i64) -> Result<(), Fault> {
    let run = run_row(connection, &waiting.run)?.number;
    connection
        .prepare_cached("UPDATE lock_waits SET called_us = ?3 WHERE run = ?1 AND scope = ?2 AND called_us IS NULL")?
        .execute(params![run, waiting.path.as_str(), at_us])?;
    Ok(())
}

/// Gives up what these scopes of a run hold and wait for.
pub(crate) fn release(connection: &Connection, run: i64, released: &[Path]) -> Result<(), Fault> {
    for scope in released {
        for sql in
            ["DELETE FROM locks WHERE run = ?1 AND scope = ?2", "DELETE FROM lock_waits WHERE run = ?1 AND scope = ?2"]
        {
            connection.prepare_cached(sql)?.execute(params![run, scope.as_str()])?;
        }
    }
    Ok(())
}

pub(crate) fn all(connection: &Connection) -> Result<Locks, Fault> {
    let rows = |sql: &str| -> Result<Vec<Locked>, Fault> {
        let mut select = connection.prepare_cached(sql)?;
        let rows = select.query_map([], locked)?;
        Ok(rows.collect::<Result<_, _>>()?)
    };
    Ok(Locks {
        held: rows(
            "SELECT l.name, r.id, l.scope, l.since_us FROM locks l JOIN runs r ON r.number = l.run ORDER BY l.name",
        )?,
        waiting: rows(
            "SELECT w.name, r.id, w.scope, w.since_us FROM lock_waits w JOIN runs r ON r.number = w.run \
             ORDER BY w.name, w.since_us, r.id, w.scope",
        )?,
        called: rows(
            "SELECT w.name, r.id, w.scope, w.called_us FROM lock_waits w JOIN runs r ON r.number = w.run \
             WHERE w.called_us IS NOT NULL ORDER BY w.name, w.since_us, r.id, w.scope",
        )?,
    })
}

fn locked(row: &Row<'_>) -> rusqlite::Result<Locked> {
    let scope: String = row.get(2)?;
    Ok(Locked {
        name: row.get(0)?,
        run: super::runs::id(row, 1)?,
        path: Path::from_escaped(&scope),
        since_us: row.get(3)?,
    })
}
