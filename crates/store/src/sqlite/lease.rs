//! Leases of runs: the lock on the run's directory, and the fencing number that the lock's holder takes.
//!
//! Owns taking a lease and giving it back. The lock makes it exclusive; the number, durable before the lease exists,
//! refuses the appends of a holder that somehow outlived its lock. Never guesses by time who is alive.
//!
//! One exception: a run with a side log has an open window, and going back must not fail because the disk is full. There
//! the lock suffices, and the number becomes durable with the first append that succeeds. Until then every holder that
//! takes the run over has the same number, one after the other, under the lock; what they record is in the side log. A
//! lease taken durably again skips that number, which fences them.

use super::connection::Writer;
use super::records::{signed, to_json, unknown, unsigned};
use crate::error::Fault;
use crate::fence;
use crate::lock::RunLock;
use piton_core::RunId;
use piton_core::ids::EngineId;
use piton_core::ports::{Lease, StoreError, StoreErrorKind};
use rusqlite::{Connection, OptionalExtension, params};
use std::sync::Arc;
use std::time::Duration;

/// Waiting for other writers when a lease is given back. The name it would clear is only for listings.
const CLEAR_WAIT: Duration = Duration::from_secs(1);

pub(crate) struct SqliteLease {
    writer: Arc<Writer>,
    run: RunId,
    fence: u64,
    /// Dropped after the row is cleared, so that no newer holder's name can be.
    _lock: RunLock,
}

impl SqliteLease {
    /// Takes the number for whoever holds the lock. `known` is the number of the lease before, to go on from where that
    /// cannot be made durable; `None` where it must be.
    pub(crate) fn take(
        writer: &Arc<Writer>,
        lock: RunLock,
        run: &RunId,
        engine: &EngineId,
        known: Option<u64>,
    ) -> Result<Self, StoreError> {
        let step = fence::step(known.is_some());
        let raised = writer.write("take the lease of the run", |connection| raise_fence(connection, run, engine, step));
        let fence = match (raised, known) {
            (Err(error), Some(known)) if error.kind == StoreErrorKind::Unavailable => fence::unwritten(known),
            (raised, _) => raised?,
        };
        Ok(Self { writer: writer.clone(), run: run.clone(), fence, _lock: lock })
    }
}

impl Lease for SqliteLease {
    fn run(&self) -> &RunId {
        &self.run
    }

    fn fence(&self) -> u64 {
        self.fence
    }
}

impl Drop for SqliteLease {
    fn drop(&mut self) {
        // Best effort: a name left behind is not shown, as the lock is free.
        let _ = self.writer.write_soon(CLEAR_WAIT, "give back the lease of the run", |connection| {
            let mut clear = connection.prepare_cached("UPDATE runs SET holder = NULL WHERE id = ?1 AND fence = ?2")?;
            clear.execute(params![self.run.as_str(), signed(self.fence)?])?;
            Ok(())
        });
    }
}

fn raise_fence(connection: &Connection, run: &RunId, engine: &EngineId, step: u64) -> Result<u64, Fault> {
    connection
        .prepare_cached("UPDATE runs SET fence = fence + ?3, holder = ?2 WHERE id = ?1 RETURNING fence")?
        .query_row(params![run.as_str(), to_json(engine)?, signed(step)?], |row| unsigned(row, 0))
        .optional()?
        .ok_or_else(|| unknown(run))
}
