//! Stores: where journals live.
//!
//! Owns the SQLite store with its file formats, the directory it lives in, leases by file lock, side logs, the waker's
//! seat, the store's keys, and the conformance suite that every store must pass. The only crate that knows the journal's SQL.
//! Never decides what is appended (the engine does), and never prints.

#![cfg_attr(not(test), warn(clippy::unwrap_used))]

mod error;
mod home;
mod keys;
mod lock;

pub mod fence;
pub mod side_log;
pub mod sqlite;
pub mod waker;

#[cfg(any(test, feature = "conformance"))]
pub mod conformance;

pub use sqlite::SqliteStore;
