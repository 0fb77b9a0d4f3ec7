//! What the fuzzers feed: one function for each kind of bytes that Piton reads from outside.
//!
//! Owns the targets, which `fuzz/` runs with libFuzzer and `tests/fuzzed.rs` over the seeds and their mutations. The model
//! checks of leases and windows are tests of this crate. Never a part of the binary.

#![cfg_attr(not(test), warn(clippy::unwrap_used))]

mod journal;
mod receipt;
mod runbook;
mod side_log;

/// A target takes any bytes, and panics where Piton does or where it broke a promise.
pub type Target = fn(&[u8]);

/// Name, as of its files below `fuzz/`, and function.
pub const TARGETS: [(&str, Target); 4] =
    [("journal", journal), ("side_log", side_log), ("receipt", receipt), ("runbook", runbook)];

pub use journal::journal;
pub use receipt::receipt;
pub use runbook::runbook;
pub use side_log::side_log;
