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
    /// Lets everything pass to this server.
    Open(Server),
}

/// A gate that holds for an attempt. `late`: its deadline has passed.
#[must_use]
pub fn held(hold: Attempt, late: bool, looks: Looks) -> GateAct {
    if looks.of(hold.target()).is_some_and(|row| !row.lacks(hold)) {
        return GateAct::Open(hold.target());
    }
    let Some(row) = looks.of(hold.source()) else { return GateAct::Keep };
    if row.attempt > hold {
        // The hold's attempt is over and another has begun, which this gate knows as a gate knows that has started.
        return started(late, looks);
    }
    match row.says(hold) {
        Some(State::Reopened) => GateAct::Open(hold.source()),
        Some(state) => undecided(hold, state, late),
        None => GateAct::Keep,
    }
}

/// A gate that has just started: it holds until it has read both registers; the highest committed epoch wins.
#[must_use]
pub fn started(late: bool, looks: Looks) -> GateAct {
    let (Some(first), Some(second)) = (looks.first, looks.second) else { return GateAct::Keep };
    let committed = first.committed().max(second.committed());
    let is_true = Server::of(committed);
    let row = if is_true == Server::First { first } else { second };
    if row.committed() < committed {
        // Committed, and not open yet: whoever finishes it will say so there.
        return GateAct::Keep;
    }
    match row.state {
        State::Committed | State::Reopened => GateAct::Open(is_true),
        state => undecided(row.attempt, state, late),
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
        assert_eq!(held(A1, true, looks(State::Reopened, Row::FIRST)), GateAct::Open(Server::First));
        // Lost: it holds however late it is, until the target is open.
        assert_eq!(held(A1, true, looks(State::Committed, Row::FIRST)), GateAct::Keep);
        assert_eq!(held(A1, true, looks(State::Committed, COPY)), GateAct::Open(Server::Second));
        assert_eq!(held(A1, true, Looks::default()), GateAct::Keep, "nobody knows");
    }

    #[test]
    fn a_gate_that_was_down_at_c8_goes_to_the_target_when_it_starts() {
        assert_eq!(started(false, looks(State::Committed, COPY)), GateAct::Open(Server::Second));
        assert_eq!(started(false, looks(State::Committed, Row::FIRST)), GateAct::Keep, "the target is not open yet");
        let half = Looks { first: None, second: Some(Row::FIRST) };
        assert_eq!(started(true, half), GateAct::Keep, "a stale server alone says nothing");
    }

    #[test]
    fn a_gate_that_starts_in_an_open_attempt_holds_and_ends_it_when_it_is_late() {
        assert_eq!(started(false, looks(State::Open, Row::FIRST)), GateAct::Keep);
        assert_eq!(started(true, looks(State::Open, Row::FIRST)), GateAct::Abort(A1));
        let fresh = Looks { first: Some(Row::FIRST), second: Some(Row::FIRST) };
        assert_eq!(started(false, fresh), GateAct::Open(Server::First));
    }

    #[test]
    fn after_the_way_back_the_first_server_is_true_again() {
        let back = Row { attempt: Attempt { epoch: 2, number: 3 }, state: State::Committed };
        let both = Looks { first: Some(back), second: Some(back) };
        assert_eq!(started(false, both), GateAct::Open(Server::First));
        let on_the_way = Row { attempt: back.attempt, state: State::Open };
        let looks = Looks { first: Some(COPY), second: Some(on_the_way) };
        assert_eq!(started(true, looks), GateAct::Abort(back.attempt));
    }
}
