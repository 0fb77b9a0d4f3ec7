//! The data mover: copies live tables from one MySQL-protocol server to another and follows their changes.
//!
//! ```text
//!  source ── binlog ──▶ stream ──transactions, watermarks──▶ sequence ──▶ lanes ──▶ target
//!     └────── chunks between two watermarks ──▶ copy ───────────┘           └ rows and checkpoint in one transaction
//! ```
//!
//! [`Mover::start`] begins a move or goes on with one: what is done stands on the target, written in the same
//! transactions as the rows it speaks of. The [`Mover`] then tells how far it is ([`Mover::progress`]), waits until a
//! position is applied ([`Mover::wait_applied`]), compares both sides ([`Mover::verify`], [`audit`]) and stops.
//!
//! Owns everything between reading a row on the source and having it on the target, and the proof that both are equal.
//! Never decides *when* to cut over, never fences anybody, knows nothing of runbooks, gates or people, prints nothing.
//!
//! The invariants I1 to I9, and where each is held, stand in `docs/design/014-the-mover.md`.

pub mod accounts;
mod apply;
pub mod audit;
mod checkpoint;
mod config;
mod copy;
mod counters;
pub mod cutover;
mod depend;
mod error;
mod keys;
mod mover;
mod position;
mod preflight;
mod progress;
mod ready;
mod row;
mod schema;
mod sequence;
mod session;
mod source;
mod target;
mod throttle;
mod verify;

pub use config::{Config, Limits, TableName};
pub use error::{Halt, MoveError, Side};
pub use mover::{Mover, Reverse};
pub use position::Position;
pub use preflight::{Preflight, Refusal, preflight};
pub use progress::{Phase, Progress};
pub use verify::dirty::Dirty;
pub use verify::{Difference, Verified};
