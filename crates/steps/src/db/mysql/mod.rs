//! MySQL and MariaDB.
//!
//! Reading order: `connect` (options, idle connections, the proof that a session is gone), `read` (`query`),
//! `values` (types), `held` (what a transaction really holds), `write` (the session behind `sql`).

mod connect;
mod held;
mod read;
mod values;
mod write;

pub(super) use connect::{Idle, MySql};
