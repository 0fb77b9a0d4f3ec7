//! Test kit: real servers and a real service, for tests and the demo.
//!
//! Owns the private MariaDB, PostgreSQL, TiDB and HAProxy servers and gates that tests run against, the ledger service that writes throughout
//! a move, and the checker that compares what the service was promised with what a server holds. Development only: it
//! depends on no other crate of ours, so that what it finds is found independently.

mod available;
mod endpoint;
mod port;
mod process;
mod random;

pub mod churn;
pub mod compare;
pub mod gate;
pub mod haproxy;
pub mod ledger;
pub mod mariadb;
pub mod postgres;
pub mod probe;
pub mod question;
pub mod server;
pub mod tidb;

pub use available::available;
pub use endpoint::Account;
pub use port::free_port;
pub use process::{Guarded, SetupError, find_program};
