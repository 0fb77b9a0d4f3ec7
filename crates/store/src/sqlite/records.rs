//! A run's records: appended in one transaction, read in order.
//!
//! Owns the append, the hot path of a run: two look-ups in cached pages, the inserts, one sync. Never interprets an
//! event, and recomputes only the one hash that ties a batch to the journal's head.

use super::{locks, parked};
use crate::error::{Fault, refused};
use crate::fence::{self, Admission};
use piton_core::ports::StoreErrorKind::{Fenced, OutOfOrder, Unreadable};
use piton_core::ports::{Along, Lease, StoreErrorKind};
use piton_core::record::{Moment, Sealed, chain};
use piton_core::{Digest, RunId};
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Row, params};
use std::ops::RangeInclusive;

/// Bits of a record's key that hold its sequence number.
const SEQ_BITS: u32 = 32;
const SEQ_MAX: u64 = (1 << SEQ_BITS) - 1;

/// What identifies a run inside the database, and the fencing number of its newest lease.
pub(crate) struct RunRow {
    pub(crate) number: i64,
    pub(crate) fence: u64,
}

pub(crate) fn run_row(connection: &Connection, run: &RunId) -> Result<RunRow, Fault> {
    connection
        .prepare_cached("SELECT number, fence FROM runs WHERE id = ?1")?
        .query_row([run.as_str()], |row| Ok(RunRow { number: row.get(0)?, fence: unsigned(row, 1)? }))
        .optional()?
        .ok_or_else(|| unknown(run))
}

pub(crate) fn unknown(run: &RunId) -> Fault {
    refused(StoreErrorKind::Unknown, format!("there is no run {run}; `piton runs` lists them")).into()
}

/// The run's row, if this lease is still the newest.
pub(crate) fn fenced_row(connection: &Connection, lease: &dyn Lease) -> Result<RunRow, Fault> {
    let row = run_row(connection, lease.run())?;
    match fence::admit(row.fence, lease.fence()) {
        Admission::Newest => return Ok(row),
        Admission::Raises => {
            connection
                .prepare_cached("UPDATE runs SET fence = ?2 WHERE number = ?1")?
                .execute(params![row.number, signed(lease.fence())?])?;
            return Ok(RunRow { fence: lease.fence(), ..row });
        }
        Admission::Fenced => {}
    }
    let what = format!(
        "another engine has taken over run {}: its lease has the number {}, this engine's {}",
        lease.run(),
        row.fence,
        lease.fence()
    );
    Err(refused(Fenced, what).into())
}

pub(crate) fn append(
    connection: &Connection,
    lease: &dyn Lease,
    records: &[Sealed],
    along: &Along<'_>,
) -> Result<(), Fault> {
    let run = fenced_row(connection, lease)?;
    if !records.is_empty() {
        check_follows(head(connection, run.number)?, lease, records)?;
        insert(connection, run.number, records)?;
    }
    if let Some(status) = along.status {
        // Unchanged words touch no page.
        connection
            .prepare_cached("UPDATE runs SET status = ?2 WHERE number = ?1 AND status <> ?2")?
            .execute(params![run.number, status])?;
    }
    if let Some(rest) = along.rest {
        parked::keep(connection, run.number, rest)?;
    }
    locks::release(connection, run.number, along.released)
}

fn insert(connection: &Connection, number: i64, records: &[Sealed]) -> Result<(), Fault> {
    let mut insert = connection.prepare_cached(
        "INSERT INTO records (key, wall_us, boot_us, fence, body, hash) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    for record in records {
        insert.execute(params![
            key(number, record.seq)?,
            record.at.wall_us,
            signed(record.at.boot_us)?,
            signed(record.fence)?,
            record.body,
            record.hash.as_bytes().as_slice(),
        ])?;
    }
    Ok(())
}

/// The records must continue the journal without a gap, and must not claim a later lease than the caller's. Earlier ones
/// may appear: those of a side log were made under the lease that wrote it.
fn check_follows((head_seq, head_hash): (u64, Digest), lease: &dyn Lease, records: &[Sealed]) -> Result<(), Fault> {
    let out_of_order = |what: String| -> Result<(), Fault> {
        Err(refused(OutOfOrder, format!("run {}: {what}; nothing of it was stored", lease.run())).into())
    };
    for (expected, record) in (head_seq + 1..).zip(records) {
        if record.seq != expected {
            return out_of_order(format!("record {} cannot follow record {}", record.seq, expected - 1));
        }
        if record.fence > lease.fence() {
            let (seq, fence) = (record.seq, record.fence);
            return out_of_order(format!("record {seq} claims lease {fence}, and the lease is {}", lease.fence()));
        }
    }
    let Some(first) = records.first() else { return Ok(()) };
    if chain(head_hash, first.seq, first.at, first.fence, &first.body) != first.hash {
        return out_of_order(format!("record {} is not chained to record {head_seq}", first.seq));
    }
    Ok(())
}

/// Sequence number and hash of the run's last record.
pub(crate) fn head(connection: &Connection, number: i64) -> Result<(u64, Digest), Fault> {
    let (low, high) = keys(number, 1)?.into_inner();
    let head = connection
        .prepare_cached("SELECT key, hash FROM records WHERE key BETWEEN ?1 AND ?2 ORDER BY key DESC LIMIT 1")?
        .query_row([low, high], |row| Ok((seq_of(row.get(0)?), digest(row, 1)?)))
        .optional()?;
    Ok(head.unwrap_or((0, Digest::ZERO)))
}

/// Records read at once.
const PAGE: u32 = 1000;

/// The next records after `after_seq`, at most a page of them; none: that was the last.
pub(crate) fn page(connection: &Connection, run: &RunId, after_seq: u64) -> Result<Vec<Sealed>, Fault> {
    let number = run_row(connection, run)?.number;
    if after_seq >= SEQ_MAX {
        return Ok(Vec::new());
    }
    let (low, high) = keys(number, after_seq + 1)?.into_inner();
    let mut select = connection.prepare_cached(
        "SELECT key, wall_us, boot_us, fence, body, hash FROM records WHERE key BETWEEN ?1 AND ?2 ORDER BY key LIMIT ?3",
    )?;
    let records = select.query_map(params![low, high, PAGE], |row| {
        Ok(Sealed {
            seq: seq_of(row.get(0)?),
            at: Moment { wall_us: row.get(1)?, boot_us: unsigned(row, 2)? },
            fence: unsigned(row, 3)?,
            body: row.get(4)?,
            hash: digest(row, 5)?,
        })
    })?;
    Ok(records.collect::<Result<_, _>>()?)
}

fn key(number: i64, seq: u64) -> Result<i64, Fault> {
    if seq == 0 || seq > SEQ_MAX {
        let what = format!("record {seq} cannot be stored: a journal has at most {SEQ_MAX} records");
        return Err(refused(OutOfOrder, what).into());
    }
    let low = i64::try_from(seq).map_err(|_| too_large())?;
    Ok(number.checked_mul(1 << SEQ_BITS).ok_or_else(too_large)? | low)
}

fn keys(number: i64, from_seq: u64) -> Result<RangeInclusive<i64>, Fault> {
    Ok(key(number, from_seq)?..=key(number, SEQ_MAX)?)
}

pub(crate) fn seq_of(key: i64) -> u64 {
    key.cast_unsigned() & SEQ_MAX
}

/// SQLite's integers are signed; none of ours comes near the end of them.
pub(crate) fn signed(value: u64) -> Result<i64, Fault> {
    i64::try_from(value).map_err(|_| too_large())
}

fn too_large() -> Fault {
    refused(Unreadable, "a number is too large for the store").into()
}

pub(crate) fn unsigned(row: &Row<'_>, index: usize) -> rusqlite::Result<u64> {
    let value: i64 = row.get(index)?;
    u64::try_from(value).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(index, value))
}

pub(crate) fn digest(row: &Row<'_>, index: usize) -> rusqlite::Result<Digest> {
    let bytes = row.get_ref(index)?.as_blob().ok().and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
    bytes
        .map(Digest::from_bytes)
        .ok_or_else(|| rusqlite::Error::FromSqlConversionFailure(index, Type::Blob, "a digest has 32 bytes".into()))
}

/// A column that holds something else than it must.
pub(crate) fn json_error(index: usize, what: String) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(index, Type::Text, what.into())
}

/// Reads a column that holds JSON.
pub(crate) fn json<T: serde::de::DeserializeOwned>(row: &Row<'_>, index: usize) -> rusqlite::Result<T> {
    let text = row.get_ref(index)?.as_str()?;
    serde_json::from_str(text)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(index, Type::Text, Box::new(error)))
}

pub(crate) fn to_json<T: serde::Serialize>(value: &T) -> Result<String, Fault> {
    serde_json::to_string(value).map_err(|error| crate::error::unreadable("a value cannot be encoded", error).into())
}
