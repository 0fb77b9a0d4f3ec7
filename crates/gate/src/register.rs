//! The decision of a cutover, as the gate sees it: a row elsewhere on which commit and abort are a compare-and-set.

use std::future::Future;
use std::pin::Pin;

/// How an epoch was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// The new backend is true.
    Committed,
    /// The old backend stays true.
    Aborted,
}

/// A future that a register gives.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, String>> + Send + 'a>>;

/// Where the decision stands. An error means that nobody knows: the gate keeps holding and asks again.
pub trait Register: Send + Sync {
    /// The decision on an epoch, when there is one.
    fn decided(&self, epoch: u64) -> Answer<'_, Option<Decision>>;

    /// Tries to decide for abort; gives what was decided, by whomever.
    fn try_abort(&self, epoch: u64) -> Answer<'_, Decision>;
}

/// No register: a hold that runs out goes back to the old backend.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoRegister;

impl Register for NoRegister {
    fn decided(&self, _: u64) -> Answer<'_, Option<Decision>> {
        Box::pin(async { Ok(None) })
    }

    fn try_abort(&self, _: u64) -> Answer<'_, Decision> {
        Box::pin(async { Ok(Decision::Aborted) })
    }
}
