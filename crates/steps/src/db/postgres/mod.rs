//! PostgreSQL.
//!
//! Reading order: `connect` (options, idle connections, the proof that a session is gone), `tls`, `read` (`query`),
//! `values` (types), `held` (what refuses a transaction), `write` (the session behind `sql`).

mod connect;
mod held;
mod read;
mod tls;
mod values;
mod write;

pub(super) use connect::{Idle, Postgres};
