//! The embedded store: one SQLite file for the journals of all runs.
//!
//! Reading order: `store` is the whole interface, `connection` how the file is opened and written, the others one
//! concern each.

mod store;

mod checkpoint;
mod connection;
mod inbox;
mod lease;
mod locks;
mod log;
mod migrate;
mod parked;
mod records;
mod runs;
mod snapshot;
mod turn;

#[cfg(test)]
mod tests;

pub use store::SqliteStore;
