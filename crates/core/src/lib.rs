//! The heart of Piton: values, actions, events, state and the pure functions that decide what a run does next.
//!
//! Owns: the vocabulary every other crate speaks, the fold of the journal (`RunState::apply`), the decision
//! (`decide`), undo planning, window arithmetic and the receipt. The ports at the end are interfaces only.
//! Never does: I/O, clocks, threads, randomness, SQL, HTTP, Starlark, environment. What it needs of those it is given.

#![cfg_attr(not(test), warn(clippy::unwrap_used))]

// What a runbook handles.
pub mod digest;
pub mod duration;
pub mod ids;
pub mod path;
pub mod secret;
pub mod value;

// What a step is and what comes of it.
pub mod action;
pub mod outcome;
pub mod progress;
pub mod request;
pub mod scope;

// What happened, and what follows from it.
pub mod child;
pub mod decide;
pub mod event;
pub mod guard;
pub mod hold;
pub mod hole;
pub mod lock;
pub mod park;
pub mod plan;
pub mod record;
pub mod rehearsal;
pub mod state;
pub mod stored;
pub mod undo;
pub mod window;

// What a stranger is given.
pub mod receipt;

// What others must provide.
pub mod ports;

#[cfg(test)]
mod fixture;

pub use action::Action;
pub use digest::Digest;
pub use duration::Duration;
pub use event::Event;
pub use ids::{Actor, RunId};
pub use outcome::Outcome;
pub use path::Path;
pub use record::Record;
pub use secret::{SecretRef, Text};
pub use state::RunState;
pub use value::Value;
