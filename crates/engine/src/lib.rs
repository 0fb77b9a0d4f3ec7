//! Drives runs: asks `decide`, performs what it says through executors, and journals it.
//!
//! Owns dispatch, recovery, taking back, windows, timers, people and the group commit. The only crate that appends to
//! a journal. Never names a concrete step or store, never prints, and knows time only through its `Clock`.

#![cfg_attr(not(test), warn(clippy::unwrap_used))]

// The way of a run: it is driven, its program evaluated, its steps performed.
mod attempt;
mod bound;
mod checks;
mod drive;
mod dropped;
mod host;
mod recover;
mod step;

// What a program is made of besides steps.
mod branches;
mod children;
mod guards;
mod locks;
mod people;
mod scopes;
mod timers;
mod windows;

// Without a run.
pub mod plan;

// Beside the program.
mod inbox;
mod undo;

// What all of it stands on.
mod journal;
mod shared;
pub mod watchdog;

pub use bound::Approved;
pub use drive::{Control, Drive, End, Engine};
pub use journal::Broken;
pub use shared::{Due, Fault, Observer, Options, Ports};
