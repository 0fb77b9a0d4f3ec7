//! The inbox: what people send to a run, for whoever holds its lease.
//!
//! Owns the rows of `inbox`. Never removes one: an engine remembers how far it has read, in the journal.

use super::records::{json, run_row, signed, to_json, unsigned};
use crate::error::Fault;
use piton_core::RunId;
use piton_core::hold::Decision;
use piton_core::ports::{InboxEntry, InboxMessage};
use rusqlite::{Connection, params};

pub(crate) fn post(
    connection: &Connection,
    run: &RunId,
    decision: &Decision,
    message: &InboxMessage,
    at_us: i64,
) -> Result<u64, Fault> {
    let number = run_row(connection, run)?.number;
    connection
        .prepare_cached("INSERT INTO inbox (run, at_us, decision, message) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![number, at_us, to_json(decision)?, to_json(message)?])?;
    Ok(connection.last_insert_rowid().cast_unsigned())
}

pub(crate) fn read(connection: &Connection, run: &RunId, after_id: u64) -> Result<Vec<InboxEntry>, Fault> {
    let number = run_row(connection, run)?.number;
    let mut select = connection
        .prepare_cached("SELECT id, at_us, decision, message FROM inbox WHERE run = ?1 AND id > ?2 ORDER BY id")?;
    let entries = select.query_map(params![number, signed(after_id)?], |row| {
        Ok(InboxEntry { id: unsigned(row, 0)?, at_us: row.get(1)?, decision: json(row, 2)?, message: json(row, 3)? })
    })?;
    Ok(entries.collect::<Result<_, _>>()?)
}
