//! Ports: what the heart needs of others, and what others may ask of an engine.
//!
//! Owns interfaces only. `lang` implements `Program` and calls `Host`; `engine` implements `Host` and calls the rest;
//! `steps` implements `Executor` and `Vault`; `store` implements `Store`; `cli` wires them.

mod cancel;
mod children;
mod executor;
mod host;
mod store;
mod world;

pub use cancel::{Cancel, Registration};
pub use children::{Children, NewChild};
pub use executor::{ActionFailed, AttemptContext, Executor, Prepared, Purpose, Remains, Running, Vault};
pub use host::{Host, Program, SourceError, Sources, Unwind};
pub use store::{
    Along, InboxEntry, InboxMessage, Lease, LeaseOutcome, NewRun, Parked, Parking, RunSummary, SideLog, SideLogs,
    Store, StoreError, StoreErrorKind, Woken,
};
pub use world::{Clock, Watchdog, Watchdogs};
