//! The cutover: c0 to c9 of the move, in one process that may die anywhere.
//!
//! `register`, `steps` and `holding` decide, without touching anything; the model of the protocol in `campaigns` calls
//! the same functions. [docs/design/016](../../../../docs/design/016-the-cutover.md) has the table of transitions and what
//! the model found.
//!
//! Owns the order of a cutover, its fences, its register, and finishing what a dead mover left. Never decides *when* to
//! cut over, and knows no runbook.

mod drive;
mod fence;
mod gates;
pub mod holding;
mod link;
mod parts;
mod points;
mod preflight;
pub mod register;
mod registers;
pub mod steps;
mod table;

pub use drive::{Driver, Plan, Report};
pub use fence::Account;
pub use gates::ControlSocket;
pub use link::Fault;
pub use parts::{Answer, Feed, Gate, Reverse, Stream};
pub use registers::{Both, Looked, Registers};
