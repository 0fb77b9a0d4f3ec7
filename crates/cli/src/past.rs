//! Reads the journals of earlier runs of a runbook, for estimates.
//!
//! Owns which runs are read and how much of them: a plan must not take long because the store is full. What their
//! journals say of time is `core`'s. Never changes a store, and never makes one.

use crate::error::CliError;
use piton_core::RunId;
use piton_core::event::Runbook;
use piton_core::plan::past::{Past, PastRun};
use piton_core::ports::{RunSummary, Store as _};
use piton_core::state::Status;
use piton_store::SqliteStore;
use std::ops::ControlFlow;

/// Runs that an estimate is made from, at most.
const MAX_RUNS: usize = 20;
/// Runs of this title whose first record is read, at most: another runbook may have the same title.
const MAX_CANDIDATES: usize = 60;
/// Records read for one estimate, over all runs, and bytes of them: some 100 ms on a machine of today.
const MAX_RECORDS: u64 = 40_000;
const MAX_BYTES: usize = 64 << 20;

/// What earlier runs of this runbook took. `but`: a run that is no earlier one.
pub(crate) fn read(store: &SqliteStore, title: &str, file: &str, but: Option<&RunId>) -> Result<Past, CliError> {
    let statuses = [Status::Succeeded, Status::Undone, Status::Aborted, Status::Held].map(Status::word);
    let mut runs = Vec::new();
    let (mut records, mut bytes) = (0, 0);
    for summary in store.runs_of(title, &statuses, MAX_CANDIDATES)? {
        let too_long = records + summary.head_seq > MAX_RECORDS && records > 0;
        if runs.len() == MAX_RUNS || too_long || bytes > MAX_BYTES {
            break;
        }
        if but != Some(&summary.id)
            && let Some(run) = one(store, &summary, file, &mut bytes)?
        {
            records += summary.head_seq.min(MAX_RECORDS);
            runs.push(run);
        }
    }
    Ok(Past::of(runs))
}

/// The same for a run that goes on; none where nobody can tell.
pub(crate) fn before(store: &SqliteStore, run: &RunId, runbook: &Runbook) -> Option<Past> {
    read(store, &runbook.title, &runbook.file, Some(run)).ok().filter(|past| !past.is_empty())
}

/// What one run took; none: it is of another runbook, or nobody can tell.
fn one(store: &SqliteStore, summary: &RunSummary, file: &str, bytes: &mut usize) -> Result<Option<PastRun>, CliError> {
    let mut run = PastRun::default();
    let mut sound = true;
    let mut records = 0;
    store.read(&summary.id, 0, &mut |sealed| {
        sound = run.see(sealed.at, &sealed.body) && run.file == file;
        records += 1;
        *bytes += sealed.body.len();
        let enough = records >= MAX_RECORDS || *bytes > MAX_BYTES;
        if sound && !enough { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    run.cut = sound && run.finished.is_none() && summary.status == Status::Succeeded.word();
    Ok((sound && records > 0).then_some(run))
}
