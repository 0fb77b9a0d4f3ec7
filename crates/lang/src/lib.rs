//! The runbook language: Starlark sources to requests for the engine.
//!
//! Owns loading and checking of sources, the built-ins, the codec between Starlark's values and plain ones, the
//! interface that a runbook's `main` declares, and diagnostics. Nothing outside this crate sees Starlark.
//! Never performs an action, reads a clock or a file of its own accord: it asks `Host` and `Sources`.

#![cfg_attr(not(test), warn(clippy::unwrap_used))]

// What others use.
mod diagnostic;
mod docs;
mod interface;
pub mod packs;
mod params;
mod runbook;

// From sources to something that can be called.
mod check;
mod children;
mod load;
mod plan;
mod registry;
mod source;

// While it runs.
mod callbacks;
mod guard;
mod limits;
mod run;
mod session;

// What authors handle.
mod builtins;
mod codec;
mod error;
mod values;

pub use diagnostic::{Diagnostic, Diagnostics, Place, Severity};
pub use docs::{flag, type_name};
pub use interface::{Interface, Param};
pub use limits::Limits;
pub use params::ParamError;
pub use runbook::Runbook;
