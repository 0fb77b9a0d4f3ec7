//! What is taken back, in which order, and what stays.

use super::*;
use crate::event::{AttemptFailed, AttemptStarted, Event, StepSucceeded, UndoBegan, UndoReason};
use crate::fixture::*;
use crate::outcome::{Failure, FailureKind};

/// The plan of a scope: `path: undo; undo` for each item, in order.
fn plan(log: &Log, scope: &str) -> Vec<String> {
    undo_plan(&log.state, &path(scope))
        .items
        .iter()
        .map(|item| {
            let undos: Vec<_> = item.actions.iter().map(|action| action.summary().replace("sh undo ", "")).collect();
            format!("{}: {}", item.path, undos.join("; "))
        })
        .collect()
}

fn stays(log: &Log, scope: &str) -> Vec<(String, Stays)> {
    undo_plan(&log.state, &path(scope)).stays.iter().map(|(path, stays)| (path.to_string(), *stays)).collect()
}

/// Starts a step with this undo; `None`: none is declared.
fn start_with(log: &mut Log, at: &str, undo: Option<&str>) {
    let started = AttemptStarted { undo: undo.map(|undo| sh(&format!("undo {undo}"))), ..log.starting(at) };
    log.add(Event::AttemptStarted(Box::new(started)));
}

#[test]
fn taking_back_goes_in_reverse_order_of_completion_not_of_start() {
    let mut log = Log::new();
    log.start("a").start("b").start("c").succeed("b").succeed("a").succeed("c");
    assert_eq!(plan(&log, ""), ["c: c", "a: a", "b: b"]);
}

#[test]
fn failed_and_interrupted_attempts_are_taken_back_too() {
    let mut log = Log::new();
    log.start("failed").fail("failed").start("running").start("held").hold_failed("held");
    log.start("retried").fail_retry_in("retried", 5);
    // What runs is ended before anything is taken back, and so ends last.
    assert_eq!(plan(&log, ""), ["running: running", "retried: retried", "held: held", "failed: failed"]);
}

#[test]
fn an_attempt_proven_never_to_have_begun_is_not_taken_back() {
    let mut log = Log::new();
    log.start("a");
    let failed = AttemptFailed { never_began: true, ..log.failing("a") };
    log.add(Event::AttemptFailed(Box::new(failed)));
    assert_eq!(plan(&log, ""), [""; 0]);
    assert_eq!(stays(&log, ""), []);
}

#[test]
fn reads_and_what_was_already_true_are_neither_taken_back_nor_said_to_stay() {
    let mut log = Log::new();
    log.read("look").already_true("there");
    assert_eq!((plan(&log, ""), stays(&log, "")), (vec![], vec![]));
}

#[test]
fn a_write_without_an_undo_stays_and_is_said_to() {
    let mut log = Log::new();
    start_with(&mut log, "a", None);
    log.succeed("a");
    assert_eq!((plan(&log, ""), stays(&log, "")), (vec![], vec![("a".into(), Stays::NoUndo)]));
}

#[test]
fn equal_undos_of_several_attempts_are_performed_once_and_different_ones_latest_first() {
    let mut log = Log::new();
    for undo in ["drop 1", "drop 1", "drop 2"] {
        start_with(&mut log, "a", Some(undo));
        log.fail_retry_in("a", -1);
    }
    assert_eq!(plan(&log, ""), ["a: drop 2; drop 1"]);
}

#[test]
fn an_undo_known_after_success_replaces_that_attempts_undo_and_leaves_the_others() {
    let mut log = Log::new();
    log.start("a").fail_retry_in("a", -1).start("a");
    let succeeded = StepSucceeded { undo: Some(sh("undo drop 42")), ..log.succeeding("a") };
    log.add(Event::StepSucceeded(Box::new(succeeded)));
    assert_eq!(plan(&log, ""), ["a: drop 42; a"]);
}

#[test]
fn nothing_from_before_the_last_commit_point_is_taken_back() {
    let mut log = Log::new();
    log.done("a").commit_point("c1").done("b").commit_point("c2").done("d");
    assert_eq!(plan(&log, ""), ["d: d"]);
    let before = |at: &str| (at.to_string(), Stays::BeforeCommitPoint);
    assert_eq!(stays(&log, ""), [before("b"), before("a")]);
}

#[test]
fn a_step_started_before_a_commit_point_and_ended_after_it_is_taken_back() {
    let mut log = Log::new();
    log.start("a").commit_point("c").succeed("a");
    assert_eq!(plan(&log, ""), ["a: a"]);
}

#[test]
fn only_the_chosen_scope_is_taken_back_and_not_its_namesakes() {
    let mut log = Log::new();
    log.done("Copy/a").done("Copy more/b").done("Cut/c").done("Copy/deep/d");
    assert_eq!(plan(&log, "Copy"), ["Copy/deep/d: Copy/deep/d", "Copy/a: Copy/a"]);
    assert_eq!(plan(&log, "Copy/a"), ["Copy/a: Copy/a"]);
}

#[test]
fn a_hold_and_a_decision_do_not_change_the_order() {
    let mut log = Log::new();
    log.start("a").fail("a").done("b").hold("a", crate::hold::HoldReason::Failed { failure: broke() });
    log.choose("a", crate::hold::Choice::Retry);
    assert_eq!(plan(&log, ""), ["b: b", "a: a"]);
}

#[test]
fn what_is_taken_back_already_is_not_planned_again_and_what_failed_is() {
    let mut log = Log::new();
    log.done("a").done("b").done("c").begin_undo("").undo("c").start_undo("b").fail_undo("b", None);
    assert_eq!(plan(&log, ""), ["b: b", "a: a"]);
    log.undo("b");
    assert_eq!(plan(&log, ""), ["a: a"]);
    log.undo("a").end_undo("");
    assert_eq!(plan(&log, ""), [""; 0]);
}

#[test]
fn a_step_done_again_after_it_was_taken_back_is_taken_back_by_its_new_undo_only() {
    let mut log = Log::new();
    start_with(&mut log, "a", Some("old"));
    log.succeed("a").begin_undo("").undo("a").end_undo("");
    start_with(&mut log, "a", Some("new"));
    log.succeed("a");
    assert_eq!(plan(&log, ""), ["a: new"]);
}

#[test]
fn an_interrupted_attempt_that_was_ended_counts_as_completed_when_it_ended() {
    let mut log = Log::new();
    log.start("a").done("b").begin_undo("");
    let ended = Failure::new(FailureKind::Stopped, "ended, to be taken back");
    let failed = AttemptFailed { failure: ended, ..log.failing("a") };
    log.add(Event::AttemptFailed(Box::new(failed)));
    assert_eq!(plan(&log, ""), ["a: a", "b: b"]);
}

#[test]
fn doing_anew_takes_back_what_came_after_and_not_what_runs_beside() {
    let mut log = Log::new();
    let each = ScopeKind::Each { continue_on_failure: false };
    log.done("before").enter("e", each);
    log.start("e/1/a").start("e/2/a").succeed("e/1/a").succeed("e/2/a").done("e/1/b").read("e/1/look").done("after");
    let plan = redo_plan(&log.state, &path("e/1/a"));
    let items: Vec<_> = plan.items.iter().map(|item| item.path.as_str()).collect();
    assert_eq!(items, ["after", "e/1/b", "e/1/a"]);
    let mut concerned: Vec<_> = redone(&log.state, &path("e/1/a")).iter().map(|(path, _)| path.to_string()).collect();
    concerned.sort();
    assert_eq!(concerned, ["after", "e/1/a", "e/1/b", "e/1/look"]);
}

#[test]
fn what_was_done_anew_begins_anew_and_reads_are_made_again() {
    let mut log = Log::new();
    log.done("a").read("look").done("b");
    let (step, decision) = (path("a"), log.by("ada", 1));
    let reason = UndoReason::Redo { step, decision };
    log.add(Event::UndoBegan(UndoBegan { scope: Path::root(), reason }));
    log.undo("b").undo("a").end_undo("");
    for at in ["a", "look", "b"] {
        assert!(matches!(log.step(at).phase, Phase::Undone), "{at}");
    }
    assert!(log.state.undoing.is_none() && log.state.taken_back.is_none());
    assert_eq!(log.state.next_generation(&path("a")), 2);
}
