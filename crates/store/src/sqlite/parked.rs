//! Parked runs: which of them are due, and how often an engine was started for them.
//!
//! Owns the rows of `parked`, and calling those whose turn at a free lock has come. Never knows why a run is due, nor
//! starts anything.

use super::locks;
use super::records::{run_row, signed};
use crate::error::Fault;
use piton_core::RunId;
use piton_core::lock::{CALL_PATIENCE_US, Locked, Locks};
use piton_core::park::{Rest, back_off_us};
use piton_core::ports::{Parked, Woken};
use rusqlite::{Connection, OptionalExtension, params};
use std::collections::BTreeSet;

/// A run that is due and driven may be left again at any moment, or killed: looked at again after this time.
const LOOK_AT_DRIVEN_US: i64 = 5_000_000;

/// What went along with an append. A run that stays due for the same keeps its back-off.
pub(crate) fn keep(connection: &Connection, number: i64, rest: Rest) -> Result<(), Fault> {
    match rest {
        Rest::ForPeople => connection.prepare_cached("DELETE FROM parked WHERE run = ?1")?.execute([number])?,
        Rest::Parked { due_us } => connection
            .prepare_cached(
                "INSERT INTO parked (run, due_us) VALUES (?1, ?2) ON CONFLICT (run) DO UPDATE \
                 SET due_us = ?2, tries = 0, retry_us = 0 WHERE due_us IS NOT ?2",
            )?
            .execute(params![number, due_us])?,
    };
    Ok(())
}

pub(crate) fn any(connection: &Connection) -> Result<bool, Fault> {
    Ok(connection.prepare_cached("SELECT 1 FROM parked LIMIT 1")?.exists([])?)
}

pub(crate) fn until(connection: &Connection, run: &RunId) -> Result<Option<Option<i64>>, Fault> {
    let mut select =
        connection.prepare_cached("SELECT p.due_us FROM parked p JOIN runs r ON r.number = p.run WHERE r.id = ?1")?;
    Ok(select.query_row([run.as_str()], |row| row.get(0)).optional()?)
}

/// Waiters to be called: their lock is free, it is their turn, and they do not know it yet.
pub(crate) fn to_call(locks: &Locks, now_us: i64) -> Vec<Locked> {
    let names: BTreeSet<&str> = locks.waiting.iter().map(|wait| wait.name.as_str()).collect();
    let free = names.into_iter().filter(|name| locks.holder(name).is_none());
    let turns = free.filter_map(|name| locks.turn(name, now_us));
    turns.filter(|wait| locks.called_us(wait).is_none()).cloned().collect()
}

/// What is due. `is_driven` tells those that an engine has; of the others, at most so many.
pub(crate) fn look(
    connection: &Connection,
    now_us: i64,
    most: usize,
    is_driven: impl Fn(&RunId) -> bool,
) -> Result<Parked, Fault> {
    let mut found = Parked { any: any(connection)?, ..Parked::default() };
    let mut looks = Looks { again_us: None, most, is_driven };
    looks.called(connection, &locks::all(connection)?, now_us, &mut found.due)?;
    looks.in_time(connection, now_us, &mut found.due)?;
    found.look_again_us = looks.again_us;
    Ok(found)
}

struct Looks<F> {
    again_us: Option<i64>,
    most: usize,
    is_driven: F,
}

impl<F: Fn(&RunId) -> bool> Looks<F> {
    fn again(&mut self, at_us: i64) {
        self.again_us = Some(self.again_us.map_or(at_us, |known| known.min(at_us)));
    }

    fn add(&mut self, run: RunId, now_us: i64, due: &mut Vec<RunId>) {
        if (self.is_driven)(&run) {
            self.again(now_us.saturating_add(LOOK_AT_DRIVEN_US));
        } else if !due.contains(&run) {
            due.push(run);
        }
    }

    /// Those that were called to a lock which is free still.
    fn called(
        &mut self,
        connection: &Connection,
        locks: &Locks,
        now_us: i64,
        due: &mut Vec<RunId>,
    ) -> Result<(), Fault> {
        for call in locks.called.iter().filter(|call| locks.holder(&call.name).is_none()) {
            let late_us = call.since_us.saturating_add(CALL_PATIENCE_US.cast_signed());
            if late_us > now_us {
                // Then it is the next one's turn.
                self.again(late_us);
            }
            let number = run_row(connection, &call.run)?.number;
            let retry_us = connection
                .prepare_cached("SELECT retry_us FROM parked WHERE run = ?1")?
                .query_row([number], |row| row.get::<_, i64>(0))
                .optional()?;
            match retry_us {
                Some(retry_us) if retry_us > now_us => self.again(retry_us),
                Some(_) if due.len() < self.most => self.add(call.run.clone(), now_us, due),
                _ => {}
            }
        }
        Ok(())
    }

    fn in_time(&mut self, connection: &Connection, now_us: i64, due: &mut Vec<RunId>) -> Result<(), Fault> {
        let mut select = connection.prepare_cached(
            "SELECT r.id, p.retry_us FROM parked p JOIN runs r ON r.number = p.run WHERE p.due_us <= ?1 ORDER BY p.due_us",
        )?;
        let mut rows = select.query([now_us])?;
        while let Some(row) = rows.next()? {
            let retry_us: i64 = row.get(1)?;
            if retry_us > now_us {
                self.again(retry_us);
            } else if due.len() < self.most {
                self.add(super::runs::id(row, 0)?, now_us, due);
            } else {
                // Whoever has started so many looks again when they have begun.
                break;
            }
        }
        let next = connection
            .prepare_cached("SELECT min(due_us) FROM parked WHERE due_us > ?1")?
            .query_row([now_us], |row| row.get::<_, Option<i64>>(0))?;
        next.into_iter().for_each(|next_us| self.again(next_us));
        Ok(())
    }
}

pub(crate) fn waking(connection: &Connection, run: &RunId, now_us: i64) -> Result<Option<Woken>, Fault> {
    let number = run_row(connection, run)?.number;
    let tries: Option<u32> = connection
        .prepare_cached("SELECT tries FROM parked WHERE run = ?1")?
        .query_row([number], |row| row.get(0))
        .optional()?;
    let Some(tries) = tries.map(|tries| tries.saturating_add(1)) else { return Ok(None) };
    let not_before_us = now_us.saturating_add(back_off_us(tries));
    connection.prepare_cached("UPDATE parked SET tries = ?2, retry_us = ?3 WHERE run = ?1")?.execute(params![
        number,
        signed(tries.into())?,
        not_before_us
    ])?;
    Ok(Some(Woken { tries, not_before_us }))
}
