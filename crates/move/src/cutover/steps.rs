//! What a mover at a c-step does next, given what it saw.
//!
//! Owns the order of a cutover and what every answer, refusal and silence leads to. Never does anything itself: the
//! driver performs a step and tells what it saw, and so does the model of the protocol.
//!
//! Three rules carry it. All that changes a fence is done in the one session that holds the source's named lock, so a
//! successor that gets the lock knows that nothing of its predecessor can land any more. Before c7 whatever is not as
//! it should be leads to an abort, and only a won abort to unfencing. From c7 on every failure leads forward.

use super::register::{Attempt, Row, State};

/// Where a cutover stands: what is to be done now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Step {
    /// A session on the source that holds its named lock: whoever had it before is gone, with all it had sent.
    Connect,
    /// Reads the register in that session.
    Look,
    /// c0: everything that can be known before anybody waits.
    Preflight,
    /// Opens the attempt in the register. Before the hold, so that a gate that restarts from here on finds it.
    OpenAttempt,
    /// c1: the gates hold and drain.
    Hold,
    /// c2: locks the accounts that write.
    LockAccounts,
    /// c2: sets `read_only`.
    SetReadOnly,
    /// c2: a write as the application must fail, and so must a new connection.
    ProveFence,
    /// c3: the end of the source's log.
    ReadEnd,
    /// c4: until all up to the end is applied.
    WaitApplied,
    /// c5: the dirty keys are equal.
    VerifyDirty,
    /// c6: the target's position; the way back is armed from there, durably.
    ArmReverse,
    /// c6b: after the end there is nothing but our heartbeat.
    ReadEndAgain,
    /// c7: the compare-and-set, in the session that did c2, where it is fenced.
    Commit,
    /// c8: the target takes writes.
    OpenTarget,
    /// c8: a write as the application succeeds.
    ProveOpen,
    /// c8: the committed row is copied to the target. Gates go there from here on.
    CopyRegister,
    /// c8: the gates are told, so that they need not ask.
    ReleaseForward,
    /// c8: the application's sessions on the source end.
    KillSessions,
    /// c9: the other compare-and-set.
    Abort,
    /// c9: the source takes writes.
    Unfence,
    /// c9: the register says so. Gates open from here on.
    RecordReopened,
    /// c9: the gates are told.
    ReleaseBack,
    /// Nothing more is to be done.
    End(Outcome),
}

/// How a cutover ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Outcome {
    /// The target is true and open.
    Moved,
    /// The source is true and open.
    Back,
    /// There was nothing to settle, or the preflight refused before anything began.
    Nothing,
}

/// What came of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Seen {
    /// It is done.
    Done,
    /// It answered no, or could not be done; the session on the source still stands.
    No,
    /// The session on the source is gone: what it was doing may have happened, or happen yet.
    Lost,
    /// The deadline has passed: the step was not begun.
    Late,
    /// The register says this now (after a look, or after a compare-and-set, won or not).
    Row(Row),
}

/// What a mover was started for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Goal {
    /// To cut over. What an earlier mover left is settled first, and then this one ends.
    Move,
    /// Only to settle what an earlier mover left: forward when it committed, back otherwise.
    Settle,
    /// Only the way back, as a gate does whose hold has run out; what is committed is left to a mover.
    Reopen,
}

/// The way back of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WayBack {
    /// Armed at c6, before the first write on the target.
    Armed,
    /// Given up by explicit parameter: this target writes no log that could be followed.
    GivenUp,
}

/// A cutover, as the mover that drives it knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Cutover {
    pub goal: Goal,
    pub way_back: WayBack,
    /// The epoch that it was started for, and the attempt that is opened or settled, which the register tells. A mover
    /// that waited behind another must not take the other's commit for its own beginning.
    pub attempt: Attempt,
    pub step: Step,
}

impl Cutover {
    /// A mover that begins for an epoch, first of all or after another's death: it cannot know which.
    #[must_use]
    pub fn begin(epoch: u64, goal: Goal, way_back: WayBack) -> Self {
        Self { goal, way_back, attempt: Attempt { epoch, number: 0 }, step: Step::Connect }
    }

    /// What is to be done after a step.
    #[must_use]
    pub fn after(self, seen: Seen) -> Self {
        match self.step {
            Step::Connect | Step::Look | Step::Preflight | Step::OpenAttempt => self.beginning(seen),
            Step::Commit | Step::Abort | Step::RecordReopened => self.deciding(seen),
            Step::OpenTarget | Step::ProveOpen | Step::CopyRegister | Step::ReleaseForward | Step::KillSessions => {
                self.forward(seen)
            }
            Step::Unfence | Step::ReleaseBack => self.back(seen),
            Step::End(_) => self,
            _ => self.toward_commit(seen),
        }
    }

    /// Whether the deadline still ends it: the pause begins with the hold, and from c7 on there is no way back.
    #[must_use]
    pub fn obeys_deadline(self) -> bool {
        (Step::Hold..=Step::Commit).contains(&self.step)
    }

    fn at(self, step: Step) -> Self {
        Self { step, ..self }
    }

    fn beginning(self, seen: Seen) -> Self {
        match (self.step, seen) {
            (Step::Connect, Seen::Done) => self.at(Step::Look),
            (Step::Look, Seen::Row(row)) => self.found(row),
            (Step::Preflight, Seen::Done) => self.at(Step::OpenAttempt),
            // Nothing of ours stands on the source yet.
            (Step::Preflight, Seen::No) => self.at(Step::End(Outcome::Nothing)),
            (Step::OpenAttempt, Seen::Row(row)) => match row.state {
                State::Open => Self { attempt: row.attempt, step: Step::Hold, ..self },
                _ => self.found(row),
            },
            _ => self.at(Step::Connect),
        }
    }

    /// In a session that holds the lock, the register says where to go on, whoever wrote it.
    fn found(self, row: Row) -> Self {
        let Row { attempt, state } = row;
        let known = Self { attempt, ..self };
        let is_before = attempt.epoch + 1 == self.attempt.epoch && state == State::Committed;
        if is_before && self.goal == Goal::Move {
            return self.at(Step::Preflight);
        }
        if attempt.epoch != self.attempt.epoch {
            // Nobody began this epoch, or it is long over and its source no longer true.
            return self.at(Step::End(Outcome::Nothing));
        }
        match state {
            State::Open => known.at(Step::Abort),
            State::Aborted => known.at(Step::Unfence),
            State::Committed => known.committed(),
            State::Reopened if self.goal == Goal::Move => known.at(Step::Preflight),
            State::Reopened => known.at(Step::ReleaseBack),
        }
    }

    fn toward_commit(self, seen: Seen) -> Self {
        let next = match self.step {
            Step::Hold => Step::LockAccounts,
            Step::LockAccounts => Step::SetReadOnly,
            Step::SetReadOnly => Step::ProveFence,
            Step::ProveFence => Step::ReadEnd,
            Step::ReadEnd => Step::WaitApplied,
            Step::WaitApplied => Step::VerifyDirty,
            Step::VerifyDirty if self.way_back == WayBack::Armed => Step::ArmReverse,
            Step::VerifyDirty | Step::ArmReverse => Step::ReadEndAgain,
            _ => Step::Commit,
        };
        match seen {
            Seen::Done => self.at(next),
            Seen::No | Seen::Late => self.at(Step::Abort),
            // The fence may have gone with the session: no other session ever commits this attempt.
            Seen::Lost | Seen::Row(_) => self.settle(),
        }
    }

    /// After a compare-and-set only the row counts, whoever changed it.
    fn deciding(self, seen: Seen) -> Self {
        let row = match seen {
            Seen::Row(row) => row,
            Seen::Late | Seen::No if self.step == Step::Commit => return self.at(Step::Abort),
            _ => return self.settle(),
        };
        match row.says(self.attempt) {
            Some(State::Committed) => self.committed(),
            Some(State::Aborted) => self.at(Step::Unfence),
            Some(State::Reopened) => self.at(Step::ReleaseBack),
            // The commit found the source not fenced.
            Some(State::Open) if self.step == Step::Commit => self.at(Step::Abort),
            Some(State::Open) | None => self.settle(),
        }
    }

    fn committed(self) -> Self {
        self.at(if self.goal == Goal::Reopen { Step::End(Outcome::Nothing) } else { Step::OpenTarget })
    }

    fn forward(self, seen: Seen) -> Self {
        match (self.step, seen) {
            (Step::OpenTarget, Seen::Done) => self.at(Step::ProveOpen),
            (Step::ProveOpen, Seen::Done) => self.at(Step::CopyRegister),
            (Step::CopyRegister, Seen::Done) => self.at(Step::ReleaseForward),
            // A gate that does not answer reads the register itself.
            (Step::ReleaseForward, _) => self.at(Step::KillSessions),
            (Step::KillSessions, _) => self.at(Step::End(Outcome::Moved)),
            _ => self.at(Step::OpenTarget),
        }
    }

    fn back(self, seen: Seen) -> Self {
        match (self.step, seen) {
            (Step::Unfence, Seen::Done) => self.at(Step::RecordReopened),
            (Step::ReleaseBack, _) => self.at(Step::End(Outcome::Back)),
            _ => self.settle(),
        }
    }

    /// A session of its own with the lock, and then what the register says. It never leads back to this attempt's c7.
    fn settle(self) -> Self {
        let goal = if self.goal == Goal::Reopen { Goal::Reopen } else { Goal::Settle };
        Self { goal, step: Step::Connect, ..self }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::register::Change;
    use super::*;

    const A1: Attempt = Attempt { epoch: 1, number: 1 };
    const OPEN: Row = Row { attempt: A1, state: State::Open };

    fn row(state: State) -> Seen {
        Seen::Row(Row { attempt: A1, state })
    }

    fn at(step: Step) -> Cutover {
        Cutover { attempt: A1, step, ..Cutover::begin(1, Goal::Move, WayBack::Armed) }
    }

    /// Every step that a mover may come to from here, whatever it sees of its own attempt.
    fn reachable(from: Cutover) -> BTreeSet<Step> {
        let states = [State::Open, State::Committed, State::Aborted, State::Reopened].map(row);
        let all: Vec<Seen> = [Seen::Done, Seen::No, Seen::Lost, Seen::Late].into_iter().chain(states).collect();
        let mut steps = BTreeSet::new();
        let mut left = vec![from];
        while let Some(cutover) = left.pop() {
            for next in all.iter().map(|seen| cutover.after(*seen)) {
                if steps.insert(next.step) {
                    left.push(next);
                }
            }
        }
        steps
    }

    #[test]
    fn a_cutover_without_faults_takes_the_steps_in_order() {
        let mut cutover = Cutover::begin(1, Goal::Move, WayBack::Armed);
        let mut steps = vec![];
        while !matches!(cutover.step, Step::End(_)) {
            steps.push(cutover.step);
            cutover = cutover.after(match cutover.step {
                Step::Look => Seen::Row(Row::FIRST),
                Step::OpenAttempt => Seen::Row(OPEN),
                Step::Commit => row(State::Committed),
                _ => Seen::Done,
            });
        }
        assert!(steps.is_sorted(), "{steps:?}");
        assert_eq!((steps.len(), cutover.step), (19, Step::End(Outcome::Moved)));
        assert!(!steps.contains(&Step::Abort));
    }

    /// Seen: `read_only` is gone after kill -9 and restart. The session that set it is gone with it.
    #[test]
    fn a_mover_that_lost_its_fence_s_session_never_commits_that_attempt() {
        for step in [Step::SetReadOnly, Step::ProveFence, Step::ReadEnd, Step::ReadEndAgain, Step::Commit] {
            let lost = at(step).after(Seen::Lost);
            assert_eq!(lost.step, Step::Connect);
            assert!(!reachable(lost).contains(&Step::Commit), "from {step:?}");
        }
        assert!(reachable(at(Step::Hold)).contains(&Step::Commit));
    }

    /// Seen: ACCOUNT LOCK alone leaves open sessions writing.
    #[test]
    fn the_end_is_read_only_behind_both_fences_and_their_proof() {
        assert_eq!(at(Step::LockAccounts).after(Seen::Done).step, Step::SetReadOnly);
        assert_eq!(at(Step::SetReadOnly).after(Seen::Done).step, Step::ProveFence);
        assert_eq!(at(Step::ProveFence).after(Seen::Done).step, Step::ReadEnd);
        assert_eq!(at(Step::ProveFence).after(Seen::No).step, Step::Abort);
    }

    #[test]
    fn a_lost_reply_to_the_commit_is_looked_up_and_never_sent_again() {
        let asks = at(Step::Commit).after(Seen::Lost).after(Seen::Done);
        assert_eq!(asks.step, Step::Look);
        assert_eq!(asks.after(row(State::Committed)).step, Step::OpenTarget);
        // It did not land, and as the lock is ours now, it never will. But is it fenced? Back.
        assert_eq!(asks.after(row(State::Open)).step, Step::Abort);
    }

    #[test]
    fn of_two_movers_the_second_takes_the_first_s_attempt_away() {
        let second = Cutover::begin(1, Goal::Move, WayBack::Armed).after(Seen::Done).after(Seen::Row(OPEN));
        assert_eq!((second.step, second.attempt), (Step::Abort, A1));
        let aborted = OPEN.changed(second.attempt, Change::Abort, false);
        let first = at(Step::Commit).after(Seen::Row(aborted.changed(A1, Change::Commit, true)));
        assert_eq!(first.step, Step::Unfence);
    }

    /// Found by the model: it began the way back, from the server that was no longer true.
    #[test]
    fn a_mover_that_waited_while_another_committed_does_not_begin_the_next_epoch() {
        let second = Cutover::begin(1, Goal::Move, WayBack::Armed).after(Seen::Done).after(row(State::Committed));
        assert_eq!(second.step, Step::OpenTarget);
        let later = Row { attempt: Attempt { epoch: 2, number: 1 }, state: State::Committed };
        let third = Cutover::begin(1, Goal::Move, WayBack::Armed).after(Seen::Done).after(Seen::Row(later));
        assert_eq!(third.step, Step::End(Outcome::Nothing));
    }

    #[test]
    fn a_deadline_that_passes_between_c6b_and_c7_aborts() {
        let commit = at(Step::ReadEndAgain).after(Seen::Done);
        assert!(commit.obeys_deadline());
        assert_eq!(commit.after(Seen::Late).step, Step::Abort);
        assert!(!at(Step::OpenTarget).obeys_deadline());
    }

    #[test]
    fn nothing_is_unfenced_before_the_abort_is_won() {
        assert_eq!(at(Step::Abort).after(row(State::Aborted)).step, Step::Unfence);
        assert_eq!(at(Step::Abort).after(row(State::Committed)).step, Step::OpenTarget);
        for seen in [Seen::Done, Seen::No, Seen::Lost, row(State::Open)] {
            assert_eq!(at(Step::Abort).after(seen).step, Step::Connect, "{seen:?}");
        }
    }

    #[test]
    fn from_the_commit_on_it_goes_only_forward() {
        let steps = reachable(at(Step::OpenTarget));
        for back in [Step::Abort, Step::Unfence, Step::Commit, Step::End(Outcome::Back)] {
            assert!(!steps.contains(&back), "{back:?}");
        }
        for step in [Step::OpenTarget, Step::ProveOpen, Step::CopyRegister] {
            for seen in [Seen::No, Seen::Lost] {
                assert_eq!(at(step).after(seen).step, Step::OpenTarget);
            }
        }
    }

    #[test]
    fn the_way_back_is_armed_unless_it_was_given_up() {
        let given_up = Cutover { way_back: WayBack::GivenUp, ..at(Step::VerifyDirty) };
        assert_eq!(given_up.after(Seen::Done).step, Step::ReadEndAgain);
        assert_eq!(at(Step::VerifyDirty).after(Seen::Done).step, Step::ArmReverse);
        assert_eq!(at(Step::ArmReverse).after(Seen::No).step, Step::Abort);
    }

    #[test]
    fn a_successor_settles_what_it_finds_and_ends() {
        let found = |state| Cutover::begin(1, Goal::Settle, WayBack::Armed).after(Seen::Done).after(row(state)).step;
        assert_eq!(found(State::Open), Step::Abort);
        assert_eq!(found(State::Aborted), Step::Unfence);
        assert_eq!(found(State::Reopened), Step::ReleaseBack);
        assert_eq!(found(State::Committed), Step::OpenTarget);
        let gate = Cutover::begin(1, Goal::Reopen, WayBack::Armed).after(Seen::Done);
        assert_eq!(gate.after(row(State::Committed)).step, Step::End(Outcome::Nothing));
        let nothing = Cutover::begin(1, Goal::Settle, WayBack::Armed).after(Seen::Done).after(Seen::Row(Row::FIRST));
        assert_eq!(nothing.step, Step::End(Outcome::Nothing));
    }
}
