//! The gate: a packet-level proxy of the MySQL protocol that can hold, switch and release a service's connections.
//!
//! Open, it forwards bytes and reads only what it must: the head of each command, and of an answer the packets that end
//! something. So it knows of each session whether a transaction is open, and can be *held*: what is open may end, what is
//! new waits unsent. A held gate can be *switched* to another backend and *released*; sessions move with their state.
//!
//! What it promises:
//! - a statement that was sent, even in part, is never sent again;
//! - while it is held nothing new reaches a backend, and a client that leaves takes its held statement with it;
//! - a hold carries its deadline: when it passes, the gate asks the [`Register`] to abort and obeys the answer;
//! - a gate that starts holds until the registers have told it which backend is true;
//! - a session that cannot move (a temporary table, a named lock) is named beforehand, and never moved half.
//!
//! How it is made ([docs/design/013](../../../docs/design/013-the-gate.md)): each worker is one thread with its own event
//! loop; a session is one task on one of them and owns both its connections, so that nothing on the way of a statement is
//! locked. `wire` knows bytes, `sql` reads text, `session` serves one client, `hold` is the only place where phase and
//! route change, `follow` asks the register, `gate` starts it all. It knows nothing of runbooks and depends on no other crate of ours.

mod auth;
mod backend;
mod config;
mod control;
mod error;
mod follow;
mod gate;
mod handover;
mod hold;
mod metrics;
mod register;
mod session;
mod shared;
mod slot;
mod sql;
mod stream;
mod tls;
mod wire;

pub use auth::{CredentialError, Credentials};
pub use config::{Account, Backend, BackendTls, ClientTls, Config, ProxyProtocol};
pub use control::ask;
pub use error::GateError;
pub use gate::{Gate, Leaving, Outsider, Status};
pub use hold::{Blocker, HoldEnd, HoldOptions, HoldReport, Opened};
pub use register::{Answer, Attempt, Look, Register};
