//! Where commands and watchdogs would not survive this engine: saying so, and refusing windows unless that is accepted.
//!
//! Owns the words and who accepts. What there is to warn of is found by `steps`; windows are refused before a run starts
//! or goes on, and once more by `world` when one is about to open.

use crate::error::{CliError, Kind};
use crate::print;
use piton_core::RunState;
use piton_lang::Runbook;
use piton_steps::process::survival_warning;

/// As `--accept`, for every engine started from here.
pub(crate) const ACCEPT_VARIABLE: &str = "PITON_ACCEPT";

/// What is known of an engine in this process.
#[derive(Clone, Debug)]
pub(crate) struct Survival {
    warning: Option<String>,
    accepted: bool,
}

impl Survival {
    /// Of this process, looked at while its parent still lives.
    pub(crate) fn of_this_process() -> Self {
        let accepted = std::env::var_os(ACCEPT_VARIABLE).is_some_and(|value| !value.is_empty() && value != "0");
        Self { warning: survival_warning(), accepted }
    }

    pub(crate) fn accept(&mut self, accepted: bool) {
        self.accepted |= accepted;
    }

    pub(crate) fn accepted(&self) -> bool {
        self.accepted
    }

    /// Why no window may be opened here.
    pub(crate) fn refusal(&self) -> Option<&str> {
        self.warning.as_deref().filter(|_| !self.accepted)
    }

    /// Says what is known, and refuses what must not be begun here.
    pub(crate) fn check(&self, runbook: &Runbook, state: Option<&RunState>) -> Result<(), CliError> {
        // What is open must be finished or taken back, here as anywhere.
        let open = state.is_some_and(|state| state.open_window().is_some());
        match (&self.warning, self.refusal()) {
            (_, Some(why)) if runbook.has_windows() && !open => Err(CliError::new(
                Kind::WouldNotSurvive,
                format!("{why}; the runbook has windows, which would stay open"),
            )
            .hint("start it from a shell, or with `systemd-run --scope`; or, if that may happen, say --accept")),
            (Some(warning), _) => {
                print::note(&format!("warning: {warning}"));
                Ok(())
            }
            (None, _) => Ok(()),
        }
    }
}
