//! Fencing numbers: which lease takes which, and whose appends a store admits.
//!
//! Owns the arithmetic, pure; stores keep the numbers, `sqlite::lease` tells why one may be taken without being written,
//! and the model of lease hand-over (`crates/campaigns/tests/lease`) checks it.

/// What a store makes of an append, by the newest number it has written and the one of the appending lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Nobody has taken over since.
    Newest,
    /// Taken while the store could not be written: nobody has had this number but under the run's lock. It is written
    /// with what is appended.
    Raises,
    /// Another lease was taken since.
    Fenced,
}

/// How far a lease that is written raises the number. `may_be_unwritten`: a holder before may have had the next one
/// without its being written, so that one is skipped.
pub fn step(may_be_unwritten: bool) -> u64 {
    if may_be_unwritten { 2 } else { 1 }
}

/// The number of a lease that is taken while the store cannot be written.
pub fn unwritten(newest: u64) -> u64 {
    newest.saturating_add(1)
}

pub fn admit(newest: u64, lease: u64) -> Admission {
    if newest == lease {
        Admission::Newest
    } else if unwritten(newest) == lease {
        Admission::Raises
    } else {
        Admission::Fenced
    }
}
