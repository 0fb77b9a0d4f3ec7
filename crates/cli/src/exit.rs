//! Exit codes: what a script learns from how `piton` ends.
//!
//! Owns the codes and which end of a run gives which. Never ends the process: `main` does.

use piton_core::state::Status;
use piton_engine::End;
use std::process::ExitCode;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// What was asked for is done.
    Done,
    /// A step failed, or something else holds the run; for `check` and `verify`: the answer is no.
    Failed,
    /// The runbook or the call is wrong; nothing was done.
    Wrong,
    /// The run waits for a person.
    Waiting,
    /// The run was aborted or taken back.
    Ended,
    /// The store cannot be used, or the machine refuses what an engine needs.
    Store,
    /// A bug in Piton.
    Bug,
    /// Something was lost that may be there again in a moment: the same command goes on where this one ended. The number
    /// is `EX_TEMPFAIL` of sysexits.h.
    Again,
}

impl Exit {
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Wrong => 2,
            Self::Waiting => 3,
            Self::Ended => 4,
            Self::Store => 5,
            Self::Bug => 70,
            Self::Again => 75,
        }
    }

    /// Of a run as its journal has it, with nobody driving it on.
    pub(crate) fn of_status(status: Status) -> Self {
        match status {
            Status::Succeeded => Self::Done,
            Status::Aborted | Status::Undone => Self::Ended,
            Status::Waiting => Self::Waiting,
            Status::Held | Status::Running | Status::Undoing => Self::Failed,
        }
    }

    /// Of an engine's life.
    pub(crate) fn of_end(end: &End) -> Self {
        match end {
            End::Succeeded(_) => Self::Done,
            End::Held => Self::Failed,
            End::Waiting => Self::Waiting,
            End::Aborted | End::Undone => Self::Ended,
            End::Broken(_) => Self::Store,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
