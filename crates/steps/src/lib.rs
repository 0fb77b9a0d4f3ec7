//! Executors: what performs actions, one file per action, and the vault that opens and masks their secrets.
//!
//! Owns everything that touches the world on a step's behalf: processes, databases, HTTP, files. An action comes in
//! through `Executors`, and whatever leaves goes through `masking`. Never journals, never decides what happens next,
//! and never evaluates a runbook.

#![cfg_attr(not(test), warn(clippy::unwrap_used))]

// From action to file.
mod executors;
mod masking;

// Secrets.
mod opened;
mod vault;

// One file per action.
mod files;
mod http;
mod plain;
pub mod process;
mod query;
mod sql;

// Outside any run.
mod post;

// What several of them need.
mod db;
mod linux;
mod stop;
mod text;

pub use executors::Executors;
pub use files::forget;
pub use post::{PostError, post_json};
pub use vault::{MAX_SECRET_BYTES, MIN_SECRET_BYTES, Vault};
