//! The decision of a cutover, as the gate sees it: a row on which commit and abort are a compare-and-set.
//!
//! Owns what a gate may ask ([`Register`]); the table's form and what its rows mean stand in `table`, reading and writing
//! them in `client`. Never commits: that is the mover's.

mod client;
mod table;

use std::future::Future;
use std::pin::Pin;

pub use client::{SqlRegister, read_registers};
pub use table::{RegisterRead, RegisterRow, RegisterState, RegisterTable, truth};

/// One try to move to another backend, as a hold that belongs to it knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// The epoch that it would begin.
    pub epoch: u64,
    /// Which try it is.
    pub number: u64,
    /// The backend that is true until then; its register decides.
    pub source: String,
}

/// How an attempt was decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// The epoch has begun: this backend is true.
    Committed(String),
    /// The old backend stays true.
    Aborted,
}

/// Which backend is true.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Truth {
    /// The highest committed epoch; 0 when nothing was ever committed.
    pub epoch: u64,
    /// The backend that it names; `None` for the first one, before any commit.
    pub side: Option<String>,
    /// A try that is not decided: it may be committed at any time.
    pub open: Option<Attempt>,
}

/// A future that a register gives.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, String>> + Send + 'a>>;

/// Where the decision stands. An error means that nobody knows: the gate keeps holding and asks again.
pub trait Register: Send + Sync {
    /// The decision on an attempt, when there is one.
    fn decided<'a>(&'a self, attempt: &'a Attempt) -> Answer<'a, Option<Decision>>;

    /// Tries to decide for abort; gives what was decided, by whomever.
    fn try_abort<'a>(&'a self, attempt: &'a Attempt) -> Answer<'a, Decision>;

    /// Which backend is true, from every register there is.
    fn truth(&self) -> Answer<'_, Truth>;
}
