//! Where a cutover is decided, as a gate sees it.
//!
//! Owns the question that a gate asks. Who decides, and how it is written down, is the mover's: whoever starts a gate brings
//! a register of its own.

use std::future::Future;
use std::pin::Pin;

use serde::{Deserialize, Serialize};

/// One try to begin an epoch.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Attempt {
    /// The epoch that it would begin.
    pub epoch: u64,
    /// Which try it is.
    pub number: u64,
}

/// What a look at the register brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Look {
    /// This epoch's backend is true and takes writes: the first before any epoch and after every even one, the second
    /// after every odd one.
    Open(u64),
    /// Every register answers, and none lets it open yet: the gate holds and asks again. Says why.
    Undecided(String),
    /// Nobody knows: a gate that holds goes on holding and asks again, and none begins to hold. Says why.
    Unknown(String),
}

/// A future that a register gives.
pub type Answer<'a> = Pin<Box<dyn Future<Output = Look> + Send + 'a>>;

/// Where the decision stands.
pub trait Register: Send + Sync {
    /// Where a gate may let things pass now. `hold`: the attempt that it holds for; `None` for a gate that has just
    /// started, or that is open. `late`: its time is up, so that the register is to win the abort and to see that the
    /// old backend takes writes again.
    ///
    /// An answer that nobody waits for any more must do no harm.
    fn look(&self, hold: Option<Attempt>, late: bool) -> Answer<'_>;
}
