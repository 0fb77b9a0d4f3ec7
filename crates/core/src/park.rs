//! Parked runs: runs that wait with nobody driving them.
//!
//! Owns which runs somebody other than a person has to go on with, when, and how soon again where that fails. Pure: the
//! store keeps it beside the journal, and a waker goes by it.

use crate::path::Path;
use crate::state::{RunState, Status};

/// What waits longer than this frees its thread; and an engine in the background stays for what is due sooner.
pub const PARK_AFTER_US: i64 = 30_000_000;
/// Until an engine is started again for a run that stayed due, at first, and at most; each time four times as long.
const FIRST_BACK_OFF_US: i64 = 10_000_000;
const LONGEST_BACK_OFF_US: i64 = 3_600_000_000;

/// What becomes of a run when nobody drives it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rest {
    /// A person goes on with it, or nobody.
    #[default]
    ForPeople,
    /// The waker starts an engine: at this time (wall clock, microseconds), where one is known, and when a lock that it
    /// waits for is free.
    Parked { due_us: Option<i64> },
}

/// What becomes of a run in the background. Where something was under way a person looks at it first, as after every crash:
/// only what waited, and for something else than a person, goes on by itself. `look_us`: when something is polled next.
/// `after_us`: what was due by then and still waits is nothing that its runbook has now.
pub fn rest(state: &RunState, look_us: Option<i64>, after_us: i64) -> Rest {
    if state.status() != Status::Waiting {
        return Rest::ForPeople;
    }
    let first = state.next_due_us(&Path::root(), after_us);
    match first.into_iter().chain(look_us).min() {
        None if !state.waits_for_locks() => Rest::ForPeople,
        due_us => Rest::Parked { due_us },
    }
}

/// Until an engine is started again for a run that is still due after so many were.
pub fn back_off_us(tries: u32) -> i64 {
    let times = 4i64.saturating_pow(tries.saturating_sub(1));
    FIRST_BACK_OFF_US.saturating_mul(times).min(LONGEST_BACK_OFF_US)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::*;
    use crate::hold::Choice;

    fn rest(state: &RunState, look_us: Option<i64>) -> Rest {
        super::rest(state, look_us, i64::MIN)
    }

    #[test]
    fn what_waits_for_a_time_goes_on_by_itself_and_nothing_else_does() {
        let mut log = Log::new();
        assert_eq!(rest(&log.state, None), Rest::ForPeople, "its engine died before it asked for anything");
        log.timer("soak", 500);
        let due_us = log.state.dues.first().map(|(due_us, _)| *due_us);
        assert!(due_us.is_some());
        assert_eq!(rest(&log.state, None), Rest::Parked { due_us });
        assert_eq!(rest(&log.state, due_us.map(|due| due - 7)), Rest::Parked { due_us: due_us.map(|due| due - 7) });
        log.start("beside");
        assert_eq!(rest(&log.state, None), Rest::ForPeople, "something is under way");
        log.fail("beside").hold_failed("beside");
        assert_eq!(rest(&log.state, None), Rest::ForPeople, "a person has to decide");
        log.choose("beside", Choice::Waive);
        assert_eq!(rest(&log.state, None), Rest::Parked { due_us });
        let gone = super::rest(&log.state, None, due_us.unwrap_or_default());
        assert_eq!(gone, Rest::ForPeople, "an edit took it out of the runbook");
    }

    #[test]
    fn an_attempt_that_is_due_again_is_waited_for() {
        let mut log = Log::new();
        log.start("a").fail_retry_in("a", 90);
        let due_us = log.step("a").due_us();
        assert_eq!(rest(&log.state, None), Rest::Parked { due_us });
        log.start("a").succeed("a");
        assert_eq!((rest(&log.state, None), log.state.dues.len()), (Rest::ForPeople, 0));
    }

    #[test]
    fn a_lock_is_waited_for_without_a_time() {
        let mut log = Log::new();
        log.await_lock("db", None);
        assert_eq!(rest(&log.state, None), Rest::Parked { due_us: None });
    }

    #[test]
    fn engines_that_end_at_once_are_started_ever_more_rarely() {
        let seconds: Vec<i64> = (1..9).map(|tries| back_off_us(tries) / 1_000_000).collect();
        assert_eq!(seconds, [10, 40, 160, 640, 2560, 3600, 3600, 3600]);
        assert_eq!(back_off_us(u32::MAX), LONGEST_BACK_OFF_US);
    }
}
