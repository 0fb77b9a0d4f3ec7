//! What must hold after every kill.
//!
//! Owns the verdict: a pure function of what was seen. What was seen comes from the servers, from the service's own record
//! and from probes; a run's own word counts only where it is compared with those.

use piton_testkit::ledger::{Reconciliation, Stats};
use piton_testkit::probe::Taken;
use serde::Serialize;

use super::kills::{Kill, Victim};
use super::piton::End;

/// Everything seen after a kill.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) kill: Kill,
    /// The epoch that the run was to reach.
    pub(super) epoch: u64,
    pub(super) end: End,
    /// The epoch that the registers call true.
    pub(super) truth: Option<u64>,
    /// What the gate says: its epoch, and whether it holds.
    pub(super) gate: (Option<u64>, bool),
    /// The true side's books.
    pub(super) books: Reconciliation,
    pub(super) stats: Stats,
    /// The service's connections that the kill ended.
    pub(super) cut_off: u64,
    /// Whether the side before this epoch, and the side after it, take a write of the application now.
    pub(super) writable: (bool, bool),
    /// Writes of the application that a server took meanwhile; the servers before and after.
    pub(super) taken: Vec<Taken>,
    pub(super) places: (usize, usize),
    pub(super) way_back: bool,
    /// From a mover's death to the service's next write, and what is allowed.
    pub(super) released_ms: Option<(u64, u64)>,
    /// Processes of the run that did not end by themselves.
    pub(super) left: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Outcome {
    Moved,
    Back,
    Neither,
}

pub(super) fn outcome(seen: &Seen) -> Outcome {
    match seen.truth {
        Some(truth) if truth == seen.epoch => Outcome::Moved,
        Some(truth) if truth + 1 == seen.epoch => Outcome::Back,
        _ => Outcome::Neither,
    }
}

/// Everything that is not as it must be.
pub(super) fn failures(seen: &Seen) -> Vec<String> {
    let mut failures = Vec::new();
    let mut must = |holds: bool, failure: String| {
        if !holds {
            failures.push(failure);
        }
    };
    let books = &seen.books;
    must(books.acknowledged > 0, "the service wrote nothing".to_owned());
    must(books.is_clean(), format!("the ledger does not reconcile: {books:?}"));
    let indeterminate = seen.stats.indeterminate;
    must(
        indeterminate <= seen.cut_off,
        format!("{indeterminate} writes without an answer, and {} clients cut off", seen.cut_off),
    );
    must(seen.stats.unresolved == 0, format!("{} writes never had an answer", seen.stats.unresolved));
    if seen.cut_off == 0 {
        let told = "statements failed, and nobody's connection was cut off";
        must(seen.stats.service_errors == 0, format!("{told}: {:?}", seen.stats));
    }
    let outcome = outcome(seen);
    must(outcome != Outcome::Neither, format!("neither moved nor back: the registers say epoch {:?}", seen.truth));
    let expected = (outcome == Outcome::Back, outcome == Outcome::Moved);
    must(seen.writable == expected, format!("{outcome:?}, and (old, new) take writes: {:?}", seen.writable));
    must(
        seen.gate == (seen.truth, false),
        format!("the gate is at {:?} (epoch, held), not at {:?}", seen.gate, seen.truth),
    );
    must(
        (outcome == Outcome::Moved) == (seen.end == End::Succeeded),
        format!("the run is {:?}, and it is {outcome:?}", seen.end),
    );
    must(both_took_writes(seen).is_none(), both_took_writes(seen).unwrap_or_default());
    if let Some((released, allowed)) = seen.released_ms {
        must(released <= allowed, format!("released {released} ms after the mover's death, {allowed} ms are allowed"));
    }
    // A feed cannot go on from a server that was another life ago.
    let lost_its_log = seen.kill.victim == Victim::Target;
    must(
        outcome != Outcome::Moved || seen.way_back || lost_its_log,
        "there is no way back, though the true side never died".to_owned(),
    );
    must(seen.left == 0, format!("{} processes did not end by themselves", seen.left));
    failures
}

/// The old side took a write after the new one had: both were writable at some time.
fn both_took_writes(seen: &Seen) -> Option<String> {
    let (before, after) = seen.places;
    let first_new = seen.taken.iter().filter(|taken| taken.server == after).map(|taken| taken.ended).min()?;
    let late = seen.taken.iter().find(|taken| taken.server == before && taken.began > first_new);
    let late_ms = late.map(|taken| taken.began.duration_since(first_new).as_millis());
    if outcome(seen) == Outcome::Back {
        return Some("the new side took a write, and the move has gone back".to_owned());
    }
    late_ms.map(|ms| format!("the old side took a write {ms} ms after the new one had"))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::super::kills::When;
    use super::*;

    fn seen(victim: Victim) -> Seen {
        let books = Reconciliation { acknowledged: 10, entries: 10, total: "0".to_owned(), ..Default::default() };
        Seen {
            kill: Kill { victim, when: When::Instant(0.5) },
            epoch: 1,
            end: End::Succeeded,
            truth: Some(1),
            gate: (Some(1), false),
            books,
            stats: Stats::default(),
            cut_off: if matches!(victim, Victim::Gate | Victim::Source) { 8 } else { 0 },
            writable: (false, true),
            taken: Vec::new(),
            places: (0, 1),
            way_back: true,
            released_ms: None,
            left: 0,
        }
    }

    fn back(victim: Victim) -> Seen {
        let held = End::Held("held".to_owned());
        Seen { truth: Some(0), gate: (Some(0), false), writable: (true, false), end: held, ..seen(victim) }
    }

    #[test]
    fn a_move_and_a_clean_way_back_pass() {
        for victim in Victim::ALL {
            assert_eq!(failures(&seen(victim)), Vec::<String>::new());
            assert_eq!(failures(&back(victim)), Vec::<String>::new());
        }
    }

    #[test]
    fn each_thing_that_must_not_be_is_a_failure_of_its_own() {
        let stats = |change: fn(&mut Stats)| {
            let mut stats = Stats::default();
            change(&mut stats);
            stats
        };
        let books = |change: fn(&mut Reconciliation)| {
            let mut books = seen(Victim::Mover).books;
            change(&mut books);
            books
        };
        let now = Instant::now();
        let taken = |server, ms| Taken {
            server,
            began: now + Duration::from_millis(ms),
            ended: now + Duration::from_millis(ms + 1),
        };
        let good = || seen(Victim::Mover);
        let rows: Vec<(&str, Seen)> = vec![
            ("does not reconcile", Seen { books: books(|b| b.missing = 1), ..good() }),
            ("does not reconcile", Seen { books: books(|b| b.duplicated = 1), ..good() }),
            ("does not reconcile", Seen { books: books(|b| b.unexplained = 1), ..good() }),
            ("wrote nothing", Seen { books: books(|b| b.acknowledged = 0), ..good() }),
            ("0 clients cut off", Seen { stats: stats(|s| s.indeterminate = 1), ..good() }),
            ("clients cut off", Seen { stats: stats(|s| s.indeterminate = 9), ..seen(Victim::Gate) }),
            ("never had an answer", Seen { stats: stats(|s| s.unresolved = 1), ..good() }),
            ("nobody's connection", Seen { stats: stats(|s| s.service_errors = 1), ..good() }),
            ("take writes", Seen { writable: (true, true), ..good() }),
            ("take writes", Seen { writable: (false, false), ..good() }),
            ("take writes", Seen { writable: (false, false), ..back(Victim::Source) }),
            ("the gate is at", Seen { gate: (Some(0), false), ..good() }),
            ("the gate is at", Seen { gate: (Some(1), true), ..good() }),
            ("the run is", Seen { end: End::Held("held".to_owned()), ..good() }),
            ("the run is", Seen { end: End::Succeeded, ..back(Victim::Mover) }),
            ("50 ms after", Seen { taken: vec![taken(0, 0), taken(1, 9), taken(0, 60)], ..good() }),
            ("gone back", Seen { taken: vec![taken(1, 9)], ..back(Victim::Mover) }),
            ("are allowed", Seen { released_ms: Some((1801, 1800)), ..good() }),
            ("no way back", Seen { way_back: false, ..good() }),
            ("by themselves", Seen { left: 1, ..good() }),
        ];
        for (wanted, seen) in rows {
            let found = failures(&seen);
            assert!(found.len() == 1 && found[0].contains(wanted), "{wanted}: {found:?}");
        }
        let nobody_knows = failures(&Seen { truth: None, gate: (None, true), ..good() });
        assert!(nobody_knows.iter().any(|one| one.contains("neither moved nor back")));
    }

    #[test]
    fn what_a_kill_may_cost_is_no_failure() {
        let indeterminate = Stats { indeterminate: 8, service_errors: 20, ..Stats::default() };
        assert!(failures(&Seen { stats: indeterminate, ..seen(Victim::Gate) }).is_empty());
        assert!(failures(&Seen { way_back: false, ..seen(Victim::Target) }).is_empty());
    }
}
