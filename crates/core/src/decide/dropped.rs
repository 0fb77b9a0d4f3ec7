//! What an edit leaves behind in flight: steps that have begun and not ended, and that the edited program has no more.
//!
//! Owns which steps those are, when each may be dropped, and when a person has to be asked first. Pure: nothing is ended
//! here, and whether anything of a step is alive is not known here.

use crate::hold::{Choice, HoldReason};
use crate::path::Path;
use crate::state::{Phase, RunState, Step};

/// Steps that the last edit drops and that are not dropped yet, in the order in which they began. Each is ended first.
pub fn to_drop(state: &RunState) -> Vec<Path> {
    let Some(edited) = &state.edited else { return Vec::new() };
    let mut left: Vec<(&Path, u64)> = (edited.dropped.iter())
        .filter_map(|path| Some((path, state.steps.get(path)?)))
        .filter(|(_, step)| is_in_flight(step))
        .map(|(path, step)| (path, step.first_seq))
        .collect();
    left.sort_by_key(|(_, first_seq)| *first_seq);
    left.into_iter().map(|(path, _)| path.clone()).collect()
}

/// It has begun in one way or another, and how it ends is not journaled.
pub fn is_in_flight(step: &Step) -> bool {
    step.open.is_some() || (step.done().is_none() && !matches!(step.phase, Phase::Undone | Phase::Dropped))
}

/// What to do about a step that an edited program has come to its end without.
#[derive(Clone, Debug, PartialEq)]
pub enum LeftOver {
    /// It did nothing, or a person keeps what it did. Whatever of it is alive is ended first.
    Drop,
    Hold(HoldReason),
}

/// What an edited program has not come to in the whole of its evaluation, in the order of first mention. Empty where
/// nothing was edited: the same program on the same journal comes to the same steps.
pub fn left_over(state: &RunState, visited: impl Fn(&Path) -> bool) -> Vec<(Path, LeftOver)> {
    let Some(edited) = &state.edited else { return Vec::new() };
    let told = |path: &Path| edited.orphaned.contains(path);
    // A settled scope answers for what is in it, where the program comes to that scope.
    let settled = |path: &Path| {
        let mut around = std::iter::successors(path.parent(), Path::parent);
        around.any(|scope| visited(&scope) && state.is_settled(&scope))
    };
    let steps = state.steps_in_order().into_iter().filter(|(path, _)| !visited(path));
    steps
        .filter(|(path, step)| step.open.is_some() || !settled(path))
        .filter_map(|(path, step)| Some((path.clone(), end_of(step, told(path))?)))
        .collect()
}

/// `told`: its author was shown that it stays as it is.
fn end_of(step: &Step, told: bool) -> Option<LeftOver> {
    let hold = |why: &str| Some(LeftOver::Hold(HoldReason::Orphaned { why: why.to_owned() }));
    match &step.phase {
        Phase::Undone | Phase::Dropped if step.open.is_none() => None,
        Phase::Succeeded { .. } if told || step.began.is_empty() => None,
        Phase::Succeeded { .. } => hold("it is done, and has changed something"),
        Phase::Held(reason) if matches!(**reason, HoldReason::Orphaned { .. }) => None,
        Phase::Decided { choice: Choice::Keep | Choice::Waive | Choice::Done | Choice::NotDone, .. } => {
            Some(LeftOver::Drop)
        }
        _ if step.open.is_some() => hold("it has begun, and nothing says how it ended"),
        _ if step.began.is_empty() => Some(LeftOver::Drop),
        _ => hold("it did not succeed, and may have changed something"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Answer, AttemptFailed, Event, RunEdited};
    use crate::fixture::*;
    use crate::outcome::{Failure, FailureKind};
    use crate::scope::ScopeKind;

    fn edit(log: &mut Log, dropped: &[&str], orphaned: &[&str]) {
        let paths = |paths: &[&str]| paths.iter().map(|at| path(at)).collect();
        let edited = RunEdited {
            runbook: run_started().runbook,
            params: Vec::new(),
            decision: log.by("ada", 1000),
            changed: Vec::new(),
            orphaned: paths(orphaned),
            dropped: paths(dropped),
            left: Vec::new(),
            inserted: Vec::new(),
            undetermined: Vec::new(),
            asks_again: Vec::new(),
            doubted: Vec::new(),
        };
        log.add(Event::RunEdited(Box::new(edited)));
    }

    fn left(log: &Log, visited: &[&str]) -> Vec<(String, &'static str)> {
        let word = |what| match what {
            LeftOver::Drop => "drop",
            LeftOver::Hold(_) => "hold",
        };
        let left = left_over(&log.state, |at| visited.contains(&at.as_str()));
        left.into_iter().map(|(at, what)| (at.to_string(), word(what))).collect()
    }

    #[test]
    fn what_is_in_flight_is_dropped_in_the_order_in_which_it_began_until_it_has_ended() {
        let mut log = Log::new();
        log.start("b").start("a").done("c").timer("d", 5);
        edit(&mut log, &["a", "b", "c", "d", "unknown"], &[]);
        assert_eq!(to_drop(&log.state), ["b", "a", "d"].map(path));
        log.fail("b").add(Event::StepDropped { path: path("b"), generation: 1 });
        assert_eq!(to_drop(&log.state), ["a", "d"].map(path));
        log.add(Event::StepDropped { path: path("d"), generation: 1 });
        log.hold("b", HoldReason::Unknown { why: "an edit had dropped it".to_owned() });
        assert_eq!(to_drop(&log.state), [path("a")], "dropped once, and the program has come to it again");
        assert_eq!(log.state.waiting_steps, 0);
        assert_eq!(log.state.dues.len(), 0);
    }

    #[test]
    fn the_end_of_an_edited_program_forgets_nothing_that_it_did_not_come_to() {
        let mut log = Log::new();
        log.done("told").done("untold").read("read").start("open").start("failed").fail("failed");
        log.timer("timer", 5).ask("asked", Log::approval(1, false)).done("visited");
        log.answer("asked", "ada", 1000, Answer::Approve);
        assert_eq!(left(&log, &["visited"]), [], "without an edit every step is come to");
        edit(&mut log, &[], &["told"]);
        let expected = [("untold", "hold"), ("open", "hold"), ("failed", "hold"), ("timer", "drop"), ("asked", "drop")];
        assert_eq!(left(&log, &["visited"]), expected.map(|(at, what)| (at.to_owned(), what)));
    }

    #[test]
    fn what_never_had_an_effect_is_dropped_without_asking_and_what_a_person_keeps_too() {
        let mut log = Log::new();
        log.start("never");
        let failure = Failure::new(FailureKind::Stopped, "ended");
        let ended = AttemptFailed { never_began: true, failure, ..log.failing("never") };
        log.add(Event::AttemptFailed(Box::new(ended)));
        log.start("held").hold_failed("held").start("unknown");
        edit(&mut log, &[], &[]);
        log.hold("unknown", HoldReason::Orphaned { why: "it has begun".to_owned() });
        // An edit has what failed tried again, and a program without it cannot.
        let end = |log: &Log| left(log, &[]).into_iter().map(|(at, what)| format!("{at} {what}")).collect::<Vec<_>>();
        assert_eq!(end(&log), ["never drop", "held hold"]);
        log.choose("unknown", Choice::Keep);
        assert_eq!(end(&log), ["never drop", "held hold", "unknown drop"]);
        assert!(log.step("unknown").open.is_some(), "what is kept is ended before it is dropped");
    }

    #[test]
    fn beside_a_failure_that_was_caught_nobody_waits_and_what_is_alive_is_still_looked_after() {
        let mut log = Log::new();
        log.enter("try", ScopeKind::Attempt).done("try/c").start("try/a").fail("try/a").start("try/b");
        log.settle("try", Vec::new());
        edit(&mut log, &[], &[]);
        let held = |paths: &[&str]| paths.iter().map(|at| ((*at).to_owned(), "hold")).collect::<Vec<_>>();
        assert_eq!(left(&log, &["try"]), held(&["try/b"]));
        // Where the scope itself is not come to, nobody answers for what was done in it.
        assert_eq!(left(&log, &[]), held(&["try/c", "try/a", "try/b"]));
    }
}
