//! What is tested where a server cannot be had.
//!
//! Owns that decision, for the tests of every crate: nothing, and loudly, unless somebody insists. Never starts anything.

use crate::SetupError;
use std::io::Write as _;

/// Whoever sets these to 1 has made sure of the servers: a test that cannot start one fails.
const INSIST_ON_PACKAGES: &str = "PITON_REQUIRE_SERVERS";
const INSIST_ON_TIDB: &str = "PITON_REQUIRE_TIDB";
const INSIST_ON_MYSQL: &str = "PITON_REQUIRE_MYSQL";

/// What was started; `None` where it is not on this machine and nobody insists.
///
/// # Panics
/// Where it could not be started for another reason, or somebody insists.
pub fn available<T>(started: Result<T, SetupError>) -> Option<T> {
    let insist = |name| std::env::var_os(name).is_some_and(|value| value == "1");
    let error = match started {
        Ok(started) => return Some(started),
        Err(error) => error,
    };
    let needless = match error {
        SetupError::Missing { .. } => !insist(INSIST_ON_PACKAGES),
        SetupError::NotAtHand { program: "mysqld", .. } => !insist(INSIST_ON_MYSQL),
        SetupError::NotAtHand { .. } => !insist(INSIST_ON_TIDB),
        _ => false,
    };
    assert!(needless, "{error}");
    // Not by a macro: what a passing test prints with one is not shown.
    let _ = writeln!(std::io::stderr(), "*** SKIPPED, NOTHING WAS TESTED: {error}");
    None
}
