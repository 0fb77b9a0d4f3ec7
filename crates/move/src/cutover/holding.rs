//! What a gate does that holds, and what one does that has just started.
//!
//! Owns that decision. Never asks or opens anything: a gate reads both registers, asks here, and obeys.
//!
//! A gate goes to the target when the *target's* register has the committed epoch, for that is written when the target
//! is open. The source's register alone says only that there is no way back any more; and a commit that was read there
//! may still be lost with the source, as a row is seen before it is flushed.

use super::register::{Attempt, Row, Server, State};

/// What a gate has read of the registers since it asked itself this question; `None`: no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Looks {
    pub first: Option<Row>,
    pub second: Option<Row>,
}

impl Looks {
    #[must_use]
    pub fn of(self, server: Server) -> Option<Row> {
        match server {
            Server::First => self.first,
            Server::Second => self.second,
        }
    }
}

/// What a gate does now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GateAct {
    /// It holds and looks again.
    Keep,
    /// Tries the abort, and looks again.
    Abort(Attempt),
    /// Unfences the source of an aborted attempt, in a session that holds its lock, and looks again.
    Reopen(Attempt),
    /// Lets everything pass to the server of this epoch.
    Open(u64),
}

/// A gate that holds for an attempt. `late`: its deadline has passed.
#[must_use]
pub fn held(hold: Attempt, late: bool, looks: Looks) -> GateAct {
    match looks.of(hold.target()) {
        // It is over since long, and what came after it is not this gate's hold.
        Some(row) if row.attempt.epoch > hold.epoch => return started(late, looks),
        Some(row) if !row.lacks(hold) => return GateAct::Open(hold.epoch),
        _ => {}
    }
    let Some(row) = looks.of(hold.source()) else { return GateAct::Keep };
    if row.attempt > hold {
        // The hold's attempt is over and another has begun, which this gate knows as a gate knows that has started.
        return started(late, looks);
    }
    match row.says(hold) {
        Some(State::Reopened) => GateAct::Open(hold.epoch - 1),
        Some(state) => undecided(hold, state, late),
        // Whoever asked for the hold has opened no such attempt.
        None if late => started(late, looks),
        None => GateAct::Keep,
    }
}

/// A gate that has just started. The highest committed epoch wins; of the two rows that of its server counts, because
/// there the next epoch would begin. So one row is enough where it says of its own server that it is true: the other
/// server may be gone for good.
#[must_use]
pub fn started(late: bool, looks: Looks) -> GateAct {
    let rows = || [looks.first, looks.second].into_iter().flatten();
    let Some(committed) = rows().map(Row::committed).max() else { return GateAct::Keep };
    match looks.of(Server::of(committed)) {
        Some(row) if row.committed() == committed => match row.state {
            State::Committed | State::Reopened => GateAct::Open(committed),
            state => undecided(row.attempt, state, late),
        },
        // Committed, and not open yet: whoever finishes it will say so there. Or it cannot be read.
        _ => GateAct::Keep,
    }
}

fn undecided(attempt: Attempt, state: State, late: bool) -> GateAct {
    match state {
        State::Open if late => GateAct::Abort(attempt),
        State::Aborted if late => GateAct::Reopen(attempt),
        _ => GateAct::Keep,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A1: Attempt = Attempt { epoch: 1, number: 1 };

    fn looks(first: State, second: Row) -> Looks {
        Looks { first: Some(Row { attempt: A1, state: first }), second: Some(second) }
    }

    const COPY: Row = Row { attempt: A1, state: State::Committed };

    #[test]
    fn at_its_deadline_a_gate_decides_by_the_register_and_not_by_itself() {
        let open = looks(State::Open, Row::FIRST);
        assert_eq!(held(A1, false, open), GateAct::Keep);
        assert_eq!(held(A1, true, open), GateAct::Abort(A1));
        // Won is not open: the source is fenced until somebody unfenced it.
        assert_eq!(held(A1, true, looks(State::Aborted, Row::FIRST)), GateAct::Reopen(A1));
        assert_eq!(held(A1, true, looks(State::Reopened, Row::FIRST)), GateAct::Open(0));
        // Lost: it holds however late it is, until the target is open.
        assert_eq!(held(A1, true, looks(State::Committed, Row::FIRST)), GateAct::Keep);
        assert_eq!(held(A1, true, looks(State::Committed, COPY)), GateAct::Open(1));
        assert_eq!(held(A1, true, Looks::default()), GateAct::Keep, "nobody knows");
    }

    #[test]
    fn a_gate_that_was_down_at_c8_goes_to_the_target_when_it_starts() {
        assert_eq!(started(false, looks(State::Committed, COPY)), GateAct::Open(1));
        assert_eq!(started(false, looks(State::Committed, Row::FIRST)), GateAct::Keep, "the target is not open yet");
    }

    /// The old server is gone for good, or the new one is not there yet.
    #[test]
    fn one_row_is_enough_where_it_says_of_its_own_server_that_it_is_true() {
        let first = |row| Looks { first: Some(row), second: None };
        let second = |row| Looks { first: None, second: Some(row) };
        assert_eq!(started(false, second(COPY)), GateAct::Open(1));
        assert_eq!(started(false, first(Row::FIRST)), GateAct::Open(0));
        assert_eq!(started(false, first(Row { attempt: A1, state: State::Reopened })), GateAct::Open(0));
        // What is missing may hide a commit.
        assert_eq!(started(true, second(Row::FIRST)), GateAct::Keep);
        assert_eq!(started(true, first(COPY)), GateAct::Keep, "the way back may have been committed there");
        assert_eq!(started(true, first(Row { attempt: A1, state: State::Open })), GateAct::Abort(A1));
    }

    #[test]
    fn a_hold_for_an_attempt_that_nobody_opened_ends_at_its_deadline() {
        let fresh = Looks { first: Some(Row::FIRST), second: Some(Row::FIRST) };
        assert_eq!(held(A1, false, fresh), GateAct::Keep);
        assert_eq!(held(A1, true, fresh), GateAct::Open(0));
    }

    #[test]
    fn a_gate_that_slept_through_the_next_epoch_does_not_open_to_the_last_one() {
        let next = Row { attempt: Attempt { epoch: 2, number: 1 }, state: State::Committed };
        let both = Looks { first: Some(next), second: Some(next) };
        assert_eq!(held(A1, false, both), GateAct::Open(2));
        let half = Looks { first: Some(COPY), second: Some(next) };
        assert_eq!(held(A1, false, half), GateAct::Keep, "committed, and not open yet");
    }

    #[test]
    fn a_gate_that_starts_in_an_open_attempt_holds_and_ends_it_when_it_is_late() {
        assert_eq!(started(false, looks(State::Open, Row::FIRST)), GateAct::Keep);
        assert_eq!(started(true, looks(State::Open, Row::FIRST)), GateAct::Abort(A1));
        let fresh = Looks { first: Some(Row::FIRST), second: Some(Row::FIRST) };
        assert_eq!(started(false, fresh), GateAct::Open(0));
    }

    #[test]
    fn after_the_way_back_the_first_server_is_true_again() {
        let back = Row { attempt: Attempt { epoch: 2, number: 3 }, state: State::Committed };
        let both = Looks { first: Some(back), second: Some(back) };
        assert_eq!(started(false, both), GateAct::Open(2));
        let on_the_way = Row { attempt: back.attempt, state: State::Open };
        let looks = Looks { first: Some(COPY), second: Some(on_the_way) };
        assert_eq!(started(true, looks), GateAct::Abort(back.attempt));
    }
}
