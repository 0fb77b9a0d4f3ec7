//! The rest of the outside: clocks, randomness, and watchdogs of open windows.
//!
//! Owns interfaces only; `cli` hands in the real ones, `testkit` simulated ones.

use super::cancel::Cancel;
use crate::ids::RunId;
use crate::record::Moment;
use std::time::Duration;

pub trait Clock: Send + Sync {
    fn now(&self) -> Moment;

    /// Identifies this boot of this machine; boot-time clocks compare only within one.
    fn boot_id(&self) -> &str;

    /// Sleeps, or until cancelled; true where cancelled.
    fn sleep(&self, duration: Duration, cancel: &Cancel) -> bool {
        cancel.sleep(duration)
    }

    fn random(&self) -> u128;
}

/// Starts watchdogs.
pub trait Watchdogs: Send + Sync {
    /// Starts a process in a session of its own that waits on the run's lease, and returns when it does wait.
    fn start(&self, run: &RunId) -> Result<Box<dyn Watchdog>, String>;
}

/// A started watchdog. Dropped without `dismiss`, it stays on guard.
pub trait Watchdog: Send {
    fn pid(&self) -> u32;
    /// Says that the engine is alive and its journal moves, and at which boot-time clock, microseconds, an engine that
    /// has gone silent is to be replaced; `None`: the window is not open, or only warns: its engine is replaced when it
    /// dies, and not before. Cheap; called several times a second.
    fn beat(&mut self, deadline_boot_us: Option<u64>);
    /// The window is closed: it may go.
    fn dismiss(self: Box<Self>);
}
