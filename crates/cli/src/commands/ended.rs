//! What is said where a run has ended already: how, and what can still be done about it.
//!
//! Owns these words. Changes nothing.

use crate::children;
use crate::error::{CliError, Kind};
use crate::wire::Wire;
use piton_core::event::Finish;
use piton_core::ids::RunId;
use piton_core::undo::{Stays, UndoPlan, undo_plan};
use piton_core::{Path, RunState};

/// The refusal of what makes no sense any more.
pub(crate) fn ended(wire: &Wire, run: &RunId, state: &RunState) -> CliError {
    let error = |how: &str| {
        CliError::new(Kind::RunEnded, format!("run {run} {how}"))
            .hint(format!("see what it did: piton show {}", run.short()))
    };
    match state.finished.as_ref().map(|(how, _)| how) {
        Some(Finish::Undone) => error("has ended: it was taken back"),
        Some(Finish::Succeeded) => with_way_back(error("has ended: it succeeded"), wire, run, state),
        Some(Finish::Aborted) => with_way_back(error("has ended: it was aborted"), wire, run, state),
        // It had ended when it was asked, and somebody has had it taken back since.
        None => error("had ended, and is being taken back by now"),
    }
}

fn with_way_back(error: CliError, wire: &Wire, run: &RunId, state: &RunState) -> CliError {
    if undo_plan(state, &Path::root()).items.is_empty() {
        return error;
    }
    match children::refuse_behind_parent(wire, run, state) {
        Ok(()) => error.hint(format!("what it did can still be taken back: piton undo {}", run.short())),
        Err(refused) if refused.kind == Kind::PartOfAnother => refused.hints.into_iter().fold(error, CliError::hint),
        // What cannot be looked at is not offered.
        Err(_) => error,
    }
}

/// Why a run that has ended has nothing to take back.
pub(crate) fn nothing_to_take_back(run: &RunId, plan: &UndoPlan) -> String {
    let committed = plan.stays.iter().any(|(_, stays)| *stays == Stays::BeforeCommitPoint);
    let why = match plan.stays.len() {
        0 => return "there is nothing to take back: the run has changed nothing that is left".to_owned(),
        _ if committed => "what the run did was done before a commit point, or has no undo",
        _ => "what the run did has no undo",
    };
    format!("there is nothing to take back: {why}; see what stays: piton undo {} --plan", run.short())
}
