//! What `inverse()` kept beside files, removed when a run has ended and no undo can need it any more.
//!
//! Owns which those are, from the run's journal. A run that succeeded can still be taken back, so what its undo plan
//! names stays; what lies behind a commit point, or was taken back, goes. Never removes what the journal does not name.

use crate::error::CliError;
use crate::wire::Wire;
use piton_core::ids::RunId;
use piton_core::record::Chain;
use piton_core::undo::undo_plan;
use piton_core::{Action, Event, Path, RunState};
use std::ops::ControlFlow;
use std::sync::Arc;

/// Called by whoever holds the run's lease, so that no engine needs them meanwhile. Safe to do twice.
pub(crate) fn clear(wire: &Wire, run: &RunId) -> Result<(), CliError> {
    let mut state = RunState::default();
    let mut kept: Vec<Action> = Vec::new();
    wire.records(run, &mut Chain::default(), |record| {
        if let Event::AttemptStarted(started) = &record.event
            && let Some(undo @ Action::RestoreFile { backup: Some(_), .. }) = &started.undo
        {
            kept.push(undo.clone());
        }
        state.apply(&record);
        ControlFlow::Continue(())
    })?;
    if !state.status().is_final() || state.undoing.is_some() {
        return Ok(());
    }
    let needed: Vec<Arc<Action>> =
        undo_plan(&state, &Path::root()).items.into_iter().flat_map(|item| item.actions).collect();
    kept.iter().filter(|undo| !needed.iter().any(|needed| **needed == **undo)).for_each(piton_steps::forget);
    Ok(())
}
