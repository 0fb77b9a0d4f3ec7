//! The register: one row that says what became of an attempt to cut over (I7).
//!
//! Owns what a row may become and what it says; the statements in `table` are held to these functions by a test. Never
//! reads or writes anything, so the model of the protocol calls the same functions.
//!
//! Each server has one row. An epoch is decided on the row of its *source*, the server that is true before it; the
//! row of its *target* gets a copy of a committed epoch once the target is open, and only then.

/// One of the two servers of a move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Server {
    /// True at the beginning and after every even epoch.
    First,
    /// True after every odd epoch.
    Second,
}

impl Server {
    /// The server that is true once this epoch is committed.
    #[must_use]
    pub fn of(epoch: u64) -> Self {
        if epoch.is_multiple_of(2) { Self::First } else { Self::Second }
    }

    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::First => Self::Second,
            Self::Second => Self::First,
        }
    }
}

/// One try to commit one epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Attempt {
    pub epoch: u64,
    pub number: u64,
}

impl Attempt {
    /// Where its decision stands, and what it fences.
    #[must_use]
    pub fn source(self) -> Server {
        Server::of(self.epoch).other()
    }

    /// What it opens.
    #[must_use]
    pub fn target(self) -> Server {
        Server::of(self.epoch)
    }
}

/// What became of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum State {
    /// Undecided.
    Open,
    /// From here on only forward. On the target's row: and it is open.
    Committed,
    /// Never to be committed; the source may still be fenced.
    Aborted,
    /// Aborted, and the source takes writes again.
    Reopened,
}

impl State {
    /// As it stands in the table, and as people and scripts are told.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Committed => "committed",
            Self::Aborted => "aborted",
            Self::Reopened => "reopened",
        }
    }

    /// What a word of the table means.
    #[must_use]
    pub fn of(word: &str) -> Option<Self> {
        [Self::Open, Self::Committed, Self::Aborted, Self::Reopened].into_iter().find(|state| state.word() == word)
    }
}

/// How a row is changed; each is a compare-and-set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Change {
    /// c7. Only where the source is fenced at that moment.
    Commit,
    /// c9, by anyone.
    Abort,
    /// c9, by whoever unfenced the source under its lock.
    Reopen,
}

/// The register's row on one server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Row {
    pub attempt: Attempt,
    pub state: State,
}

impl Row {
    /// What stands on both servers before the first attempt: nothing was moved.
    pub const FIRST: Self = Self { attempt: Attempt { epoch: 0, number: 0 }, state: State::Committed };

    /// The next attempt from here, undecided. `None` while the last one is not settled.
    #[must_use]
    pub fn next(self) -> Option<Self> {
        let Attempt { epoch, number } = self.attempt;
        let attempt = match self.state {
            State::Committed => Attempt { epoch: epoch + 1, number: 1 },
            State::Reopened => Attempt { epoch, number: number + 1 },
            State::Open | State::Aborted => return None,
        };
        Some(Self { attempt, state: State::Open })
    }

    /// The row after a compare-and-set, which changes it or not. `fenced`: what the server says of itself meanwhile.
    #[must_use]
    pub fn changed(self, attempt: Attempt, change: Change, fenced: bool) -> Self {
        let to = match (change, self.state) {
            (Change::Commit, State::Open) if fenced => State::Committed,
            (Change::Abort, State::Open) => State::Aborted,
            (Change::Reopen, State::Aborted) => State::Reopened,
            _ => return self,
        };
        if attempt == self.attempt { Self { attempt, state: to } } else { self }
    }

    /// What the row says of an attempt; `None` when it knows nothing of it yet.
    #[must_use]
    pub fn says(self, attempt: Attempt) -> Option<State> {
        if attempt == self.attempt {
            return Some(self.state);
        }
        if attempt > self.attempt {
            return None;
        }
        // The next epoch begins only after a commit, the next attempt only after the source was open again.
        Some(if attempt.epoch < self.attempt.epoch { State::Committed } else { State::Reopened })
    }

    /// The last epoch that is committed as far as this row knows.
    #[must_use]
    pub fn committed(self) -> u64 {
        match self.state {
            State::Committed => self.attempt.epoch,
            _ => self.attempt.epoch.saturating_sub(1),
        }
    }

    /// Whether the target's row lacks the copy of a committed attempt: only then is the target still to be opened.
    #[must_use]
    pub fn lacks(self, attempt: Attempt) -> bool {
        self.committed() < attempt.epoch
    }

    /// What the target's row becomes when it is open.
    #[must_use]
    pub fn copied(self, attempt: Attempt) -> Self {
        if self.lacks(attempt) { Self { attempt, state: State::Committed } } else { self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A1: Attempt = Attempt { epoch: 1, number: 1 };
    const A2: Attempt = Attempt { epoch: 1, number: 2 };

    fn row(attempt: Attempt, state: State) -> Row {
        Row { attempt, state }
    }

    #[test]
    fn an_attempt_is_decided_once() {
        let open = Row::FIRST.next().unwrap();
        assert_eq!(open, row(A1, State::Open));
        let committed = open.changed(A1, Change::Commit, true);
        let aborted = open.changed(A1, Change::Abort, true);
        assert_eq!((committed.state, aborted.state), (State::Committed, State::Aborted));
        assert_eq!(committed.changed(A1, Change::Abort, true), committed);
        assert_eq!(aborted.changed(A1, Change::Commit, true), aborted);
    }

    /// Seen: the UPDATE of a killed client, waiting on a lock, landed after its successor had read the old value.
    #[test]
    fn a_dead_movers_commit_that_lands_late_changes_nothing() {
        let open = Row::FIRST.next().unwrap();
        // The successor reads "open" and must not believe it: it aborts, and what lands then finds no open attempt.
        let aborted = open.changed(A1, Change::Abort, true);
        assert_eq!(aborted.changed(A1, Change::Commit, true), aborted);
        // Not even when the next attempt is open already.
        let next = aborted.changed(A1, Change::Reopen, false).next().unwrap();
        assert_eq!(next, row(A2, State::Open));
        assert_eq!(next.changed(A1, Change::Commit, true), next);
    }

    #[test]
    fn a_source_that_is_not_fenced_commits_nothing() {
        let open = Row::FIRST.next().unwrap();
        assert_eq!(open.changed(A1, Change::Commit, false), open);
    }

    #[test]
    fn no_attempt_begins_before_the_last_is_settled() {
        assert_eq!(row(A1, State::Open).next(), None);
        assert_eq!(row(A1, State::Aborted).next(), None);
        assert_eq!(row(A1, State::Committed).next(), Some(row(Attempt { epoch: 2, number: 1 }, State::Open)));
    }

    #[test]
    fn a_later_row_tells_what_became_of_earlier_attempts() {
        assert_eq!(row(A2, State::Open).says(A1), Some(State::Reopened));
        assert_eq!(row(Attempt { epoch: 2, number: 1 }, State::Open).says(A2), Some(State::Committed));
        assert_eq!(Row::FIRST.says(A1), None);
    }

    #[test]
    fn the_targets_row_is_never_put_back() {
        assert!(Row::FIRST.lacks(A1));
        let later = row(Attempt { epoch: 2, number: 1 }, State::Open);
        assert_eq!(later.copied(A1), later, "an open of a dead mover must not undo the fence of the way back");
    }
}
