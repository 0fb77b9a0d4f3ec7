//! Snapshots: a run's sources and scripts as they were when it started, or last edited.
//!
//! Owns `sources` and the contents they point to, kept once however many runs share them. Never reads a project's tree.

use super::records::{digest, fenced_row, run_row};
use crate::error::{Fault, refused};
use piton_core::ports::{Lease, StoreErrorKind};
use piton_core::{Digest, RunId};
use rusqlite::{Connection, params};

/// Path below the project's root, bytes, executable or not.
pub(crate) type Source = (String, Vec<u8>, bool);

pub(crate) fn insert(connection: &Connection, number: i64, sources: &[Source]) -> Result<(), Fault> {
    let mut blob = connection.prepare_cached("INSERT OR IGNORE INTO blobs (digest, bytes) VALUES (?1, ?2)")?;
    let mut source = connection
        .prepare_cached("INSERT INTO sources (run, position, path, digest, executable) VALUES (?1, ?2, ?3, ?4, ?5)")?;
    for (position, (path, bytes, executable)) in sources.iter().enumerate() {
        let digest = Digest::of_bytes(bytes);
        blob.execute(params![digest.as_bytes().as_slice(), bytes])?;
        source.execute(params![number, position as i64, path, digest.as_bytes().as_slice(), executable])?;
    }
    Ok(())
}

pub(crate) fn replace(connection: &Connection, lease: &dyn Lease, sources: &[Source]) -> Result<(), Fault> {
    let number = fenced_row(connection, lease)?.number;
    connection.prepare_cached("DELETE FROM sources WHERE run = ?1")?.execute([number])?;
    insert(connection, number, sources)
}

pub(crate) fn read(connection: &Connection, run: &RunId) -> Result<Vec<Source>, Fault> {
    let number = run_row(connection, run)?.number;
    let mut select = connection.prepare_cached(
        "SELECT s.path, b.bytes, s.executable, s.digest FROM sources s JOIN blobs b ON b.digest = s.digest \
         WHERE s.run = ?1 ORDER BY s.position",
    )?;
    let rows = select.query_map([number], |row| Ok(((row.get(0)?, row.get(1)?, row.get(2)?), digest(row, 3)?)))?;
    rows.map(|row| {
        let (source, digest): (Source, Digest) = row?;
        if Digest::of_bytes(&source.1) != digest {
            let what = format!("the snapshot of {} in run {run} is damaged: its digest does not match", source.0);
            return Err(refused(StoreErrorKind::Unreadable, what).into());
        }
        Ok(source)
    })
    .collect()
}
