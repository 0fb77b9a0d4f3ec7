//! The decision table, a row at a time, each with its counterexample.

use super::*;
use crate::event::{Attach, AttemptFailed, AttemptStarted, Event, PersonAsked};
use crate::fixture::*;
use crate::request::StepKind;
use crate::scope::ScopeKind;
use crate::value::Value;

const EACH_CONTINUE: ScopeKind = ScopeKind::Each { continue_on_failure: true };
const EACH_HOLD: ScopeKind = ScopeKind::Each { continue_on_failure: false };

fn begin(generation: u32, attempt: u32, tries: u32, untouched: bool) -> Decision {
    Decision::Begin { generation, attempt, tries, untouched }
}

fn run() -> Arc<Scope> {
    Scope::run()
}

fn inside(kind: ScopeKind) -> Arc<Scope> {
    scopes(&[(kind, "s")])
}

fn in_window() -> Arc<Scope> {
    scopes(&[(window_kind(), "w")])
}

// A step that the journal does not know, or no longer.

#[test]
fn an_unknown_step_begins_untouched() {
    assert_eq!(Log::new().decide(&run(), "a"), begin(1, 1, 1, true));
}

#[test]
fn an_undone_step_begins_as_the_next_generation_with_nothing_carried_over() {
    let mut log = Log::new();
    log.start("a").fail_retry_in("a", 0).start("a").succeed("a");
    log.begin_undo("").undo("a").end_undo("").add(Event::RunResumed { by: actor("ada", 1000) });
    assert_eq!(log.decide(&run(), "a"), begin(2, 1, 1, true));
    log.done("a").begin_undo("").undo("a").end_undo("");
    assert_eq!(log.decide(&run(), "a"), begin(3, 1, 1, true));
}

#[test]
fn a_read_in_a_scope_that_was_taken_back_is_read_again() {
    let mut log = Log::new();
    log.read("a").begin_undo("").end_undo("");
    assert_eq!(log.decide(&run(), "a"), begin(2, 1, 1, true));
}

// Succeeded.

#[test]
fn a_finished_step_is_answered_from_the_journal_even_where_nothing_may_start() {
    let mut log = Log::new();
    log.done("a").start("b").hold_failed("b").begin_undo("c").add(Event::AbortAsked { by: actor("ada", 1), why: None });
    let Decision::Answer(outcome) = log.decide(&run(), "a") else { panic!("{:?}", log.decide(&run(), "a")) };
    assert_eq!(outcome.open().unwrap(), ok("a"));
}

#[test]
fn a_finished_step_with_another_action_holds_and_names_both() {
    let mut log = Log::new();
    log.done("a");
    let (was, now) = (fingerprint("v1"), fingerprint("v2"));
    assert_eq!(decide(&log.state, &run(), &path("a"), now), Decision::Hold(HoldReason::Changed { was, now }));
    log.hold("a", HoldReason::Changed { was, now });
    assert_eq!(decide(&log.state, &run(), &path("a"), now), Decision::Held);
}

#[test]
fn keeping_a_changed_step_gives_what_it_had_given() {
    let mut log = Log::new();
    log.done("a").hold("a", HoldReason::Changed { was: fingerprint("v1"), now: fingerprint("v2") });
    log.choose("a", Choice::Keep);
    let Decision::Accept { generation: 1, attempt: 1, how: How::Kept, outcome: Some(outcome) } =
        log.decide(&run(), "a")
    else {
        panic!("{:?}", log.decide(&run(), "a"))
    };
    assert_eq!(outcome.open().unwrap(), ok("a"));
}

#[test]
fn redoing_a_changed_step_is_never_a_second_performance_in_its_generation() {
    let mut log = Log::new();
    log.done("a").hold("a", HoldReason::Changed { was: fingerprint("v1"), now: fingerprint("v2") });
    for choice in [Choice::Retry, Choice::NotDone, Choice::Done, Choice::Waive] {
        assert!(check_decision(&log.state, &path("a"), &choice).is_err(), "{choice:?}");
    }
    assert_eq!(check_decision(&log.state, &path("a"), &Choice::Redo), Ok(()));
    log.choose("a", Choice::Redo);
    assert_eq!(log.decide(&run(), "a"), Decision::Redo);
}

// Started, and no end is known.

#[test]
fn an_interrupted_attempt_is_looked_after_first_even_where_nothing_may_start() {
    let mut log = Log::new();
    log.start("a").crash(Attach::Resumed);
    let recovers = |log: &Log| matches!(log.decide(&run(), "a"), Decision::Recover(started) if started.attempt == 1);
    assert!(recovers(&log));
    log.begin_undo("").add(Event::AbortAsked { by: actor("ada", 1), why: None });
    assert!(recovers(&log));
}

#[test]
fn trying_again_looks_after_an_attempt_that_may_be_alive_before_it_performs_anything() {
    let rotated = HoldReason::Rotated { secret: "db".into(), source: "env:DB".into() };
    for reason in [HoldReason::Unprovable { why: "no answer".into() }, rotated] {
        let mut log = Log::new();
        log.start("a").hold("a", reason).choose("a", Choice::Retry);
        assert!(matches!(log.decide(&run(), "a"), Decision::Recover(_)), "{:?}", log.decide(&run(), "a"));
    }
}

#[test]
fn a_person_says_done_or_not_done_of_an_attempt_that_may_be_alive() {
    let mut log = Log::new();
    log.start("a").hold("a", HoldReason::Unprovable { why: "no answer".into() });
    let mut other = log.clone();
    log.choose("a", Choice::NotDone);
    assert_eq!(log.decide(&run(), "a"), begin(1, 2, 2, false));
    other.choose("a", Choice::Done);
    let accepted = Decision::Accept { generation: 1, attempt: 1, how: How::SaidDone, outcome: None };
    assert_eq!(other.decide(&run(), "a"), accepted);
}

#[test]
fn trying_an_unknown_outcome_again_performs_since_nothing_of_it_is_alive() {
    let mut log = Log::new();
    log.start("a").hold("a", HoldReason::Unknown { why: "interrupted".into() }).choose("a", Choice::Retry);
    assert_eq!(log.decide(&run(), "a"), begin(1, 2, 1, false));
}

// Failed.

#[test]
fn a_failed_step_is_retried_when_its_pause_is_over_and_not_before() {
    let mut log = Log::new();
    log.start("a").fail_retry_in("a", 500);
    let due = log.now.wall_us - 10_000 + 500_000;
    assert_eq!(log.decide(&run(), "a"), Decision::PauseUntil(due));
    log.wait_ms(500).read("clock moves on");
    assert_eq!(log.decide(&run(), "a"), begin(1, 2, 2, false));
}

#[test]
fn an_interruption_does_not_use_up_a_retry_but_a_failure_does() {
    let mut log = Log::new();
    log.start("a");
    let interrupted = Failure::new(FailureKind::Interrupted, "the engine died");
    let failed = AttemptFailed { failure: interrupted, retry_at_us: Some(0), ..log.failing("a") };
    log.add(Event::AttemptFailed(Box::new(failed)));
    assert_eq!(log.decide(&run(), "a"), begin(1, 2, 1, false));
    log.start("a").fail_retry_in("a", -1);
    assert_eq!(log.decide(&run(), "a"), begin(1, 3, 2, false));
}

#[test]
fn an_attempt_proven_never_to_have_begun_leaves_the_step_untouched() {
    let mut log = Log::new();
    log.start("a");
    let failed = AttemptFailed { never_began: true, retry_at_us: Some(0), ..log.failing("a") };
    log.add(Event::AttemptFailed(Box::new(failed)));
    assert_eq!(log.decide(&run(), "a"), begin(1, 2, 2, true));
}

#[test]
fn a_failure_without_a_retry_goes_to_the_innermost_catcher_and_to_a_person_where_there_is_none() {
    let failed = |at: &str| {
        let mut log = Log::new();
        log.start(at).fail(at);
        log
    };
    let hold = Decision::Hold(HoldReason::Failed { failure: broke() });
    for (scope, at, expected) in [
        (run(), "a", hold.clone()),
        (inside(ScopeKind::Phase), "s/a", hold.clone()),
        (inside(EACH_HOLD), "s/a", hold),
        (inside(ScopeKind::Attempt), "s/a", Decision::Raise(broke())),
        (inside(EACH_CONTINUE), "s/a", Decision::Raise(broke())),
        (in_window(), "w/a", Decision::Raise(broke())),
    ] {
        assert_eq!(failed(at).decide(&scope, at), expected, "{scope:?}");
    }
}

#[test]
fn a_failure_in_an_open_window_never_holds_before_the_commit_point_and_holds_loudly_after_it() {
    let mut log = Log::new();
    log.open_window("w").start("w/a").fail("w/a");
    assert_eq!(log.decide(&in_window(), "w/a"), Decision::Raise(broke()));
    let mut log = Log::new();
    log.open_window("w").done("w/a").commit_point("w/no way back").start("w/b").fail("w/b");
    assert_eq!(log.decide(&in_window(), "w/b"), Decision::Hold(HoldReason::PastCommitPoint { failure: broke() }));
}

#[test]
fn an_attempt_inside_a_window_catches_before_the_window_does() {
    let scope = scopes(&[(window_kind(), "w"), (ScopeKind::Attempt, "maybe")]);
    let mut log = Log::new();
    log.open_window("w").commit_point("w/c").start("w/maybe/a").fail("w/maybe/a");
    assert_eq!(log.decide(&scope, "w/maybe/a"), Decision::Raise(broke()));
}

#[test]
fn a_step_ended_because_the_run_stops_is_nobodys_failure_while_nothing_may_start() {
    let stopped = |then: Option<Event>| {
        let mut log = Log::new();
        log.start("a").add_all(then);
        let failure = Failure::new(FailureKind::Stopped, "ended: the run is aborted");
        let failed = AttemptFailed { failure, ..log.failing("a") };
        log.add(Event::AttemptFailed(Box::new(failed)));
        log.decide(&run(), "a")
    };
    let abort = Event::AbortAsked { by: actor("ada", 1000), why: None };
    assert_eq!(stopped(Some(abort)), Decision::Stop);
    assert!(matches!(stopped(None), Decision::Hold(HoldReason::Failed { .. })));
}

// Held and decided.

#[test]
fn a_held_step_stays_held_until_a_person_decides() {
    let mut log = Log::new();
    log.start("a").hold_failed("a");
    assert_eq!(log.decide(&run(), "a"), Decision::Held);
    log.choose("a", Choice::Retry);
    assert_eq!(log.decide(&run(), "a"), begin(1, 2, 1, false));
}

#[test]
fn retrying_by_a_persons_word_counts_the_policy_afresh() {
    let mut log = Log::new();
    log.start("a").fail_retry_in("a", -1).start("a").fail_retry_in("a", -1).start("a").hold_failed("a");
    log.choose("a", Choice::Retry);
    assert_eq!(log.decide(&run(), "a"), begin(1, 4, 1, false));
    log.start("a").fail_retry_in("a", -1);
    assert_eq!(log.decide(&run(), "a"), begin(1, 5, 2, false));
}

#[test]
fn a_waived_step_counts_as_done_with_what_its_last_attempt_gave() {
    let mut log = Log::new();
    log.start("a").hold_failed("a").choose("a", Choice::Waive);
    let Decision::Accept { how: How::Waived, attempt: 1, outcome: Some(outcome), .. } = log.decide(&run(), "a") else {
        panic!("{:?}", log.decide(&run(), "a"))
    };
    assert_eq!(outcome.open().unwrap().code, Some(1));
    log.accepted("a", How::Waived);
    assert!(matches!(log.decide(&run(), "a"), Decision::Answer(_)));
}

#[test]
fn a_person_may_choose_only_what_the_hold_offers() {
    let all = [Choice::Retry, Choice::Done, Choice::NotDone, Choice::Waive, Choice::Keep, Choice::Redo, Choice::Depart];
    let failure = broke;
    let (was, now, why) = (Digest::ZERO, Digest::ZERO, String::new);
    for (reason, offered) in [
        (HoldReason::Failed { failure: failure() }, &[Choice::Retry, Choice::Waive][..]),
        (HoldReason::PastCommitPoint { failure: failure() }, &[Choice::Retry, Choice::Waive]),
        (HoldReason::Unknown { why: why() }, &[Choice::Retry, Choice::Done, Choice::NotDone]),
        (HoldReason::Unprovable { why: why() }, &[Choice::Retry, Choice::Done, Choice::NotDone]),
        (HoldReason::Changed { was, now }, &[Choice::Keep, Choice::Redo]),
        (HoldReason::Rotated { secret: why(), source: why() }, &[Choice::Retry]),
        (HoldReason::UndoFailed { failure: failure() }, &[Choice::Retry]),
        (HoldReason::WentBack { window: why(), why: why() }, &[Choice::Retry]),
        (HoldReason::Program { message: why() }, &[Choice::Retry]),
        (HoldReason::Departed { now: why(), planned: None }, &[Choice::Depart]),
        (HoldReason::Paused { by: why() }, &[]),
    ] {
        let mut log = Log::new();
        log.start("a").hold("a", reason.clone()).read("b");
        for choice in &all {
            let answer = check_decision(&log.state, &path("a"), choice);
            assert_eq!(answer.is_ok(), offered.contains(choice), "{reason:?}, {choice:?}: {answer:?}");
            assert!(check_decision(&log.state, &path("b"), choice).is_err(), "a finished step: {choice:?}");
            assert!(check_decision(&log.state, &path("c"), choice).is_err(), "an unknown step: {choice:?}");
        }
    }
    let mut log = Log::new();
    log.start("a").hold_failed("a");
    let refused = check_decision(&log.state, &path("a"), &Choice::Done).unwrap_err();
    assert_eq!(refused, "\"a\" takes --retry or --waive, not --done");
}

// Where nothing new may start.

/// What decide says about an unknown step `at` after something happened.
fn new_step(scope: &Arc<Scope>, at: &str, happened: impl FnOnce(&mut Log)) -> Decision {
    let mut log = Log::new();
    happened(&mut log);
    log.decide(scope, at)
}

#[test]
fn a_step_unknown_to_the_journal_never_acts_inside_a_settled_scope() {
    for scope in [inside(ScopeKind::Attempt), inside(EACH_CONTINUE)] {
        let inner = scope.child(ScopeKind::Branch, "k");
        let settled = |log: &mut Log| {
            log.enter("s", scope.kind.clone()).settle("s", vec![]);
        };
        assert_eq!(new_step(&inner, "s/k/new", settled), Decision::Stop);
        assert_eq!(new_step(&run(), "s beside", settled), begin(1, 1, 1, true));
    }
}

#[test]
fn a_failure_inside_a_settled_scope_is_final_even_with_a_retry_left() {
    let mut log = Log::new();
    log.enter("s", ScopeKind::Attempt).start("s/a").fail_retry_in("s/a", -1).settle("s", vec![]);
    assert_eq!(log.decide(&inside(ScopeKind::Attempt), "s/a"), Decision::Raise(broke()));
}

#[test]
fn a_settled_scope_that_was_taken_back_is_open_again() {
    let mut log = Log::new();
    log.enter("s", ScopeKind::Attempt).done("s/a").settle("s", vec![]);
    log.begin_undo("s").undo("s/a").end_undo("s");
    assert_eq!(log.decide(&inside(ScopeKind::Attempt), "s/b"), begin(1, 1, 1, true));
    assert_eq!(log.decide(&inside(ScopeKind::Attempt), "s/a"), begin(2, 1, 1, true));
}

#[test]
fn while_a_sibling_is_held_no_other_step_starts_and_no_retry_either() {
    let mut log = Log::new();
    log.start("a").start("b").fail_retry_in("b", -1).hold_failed("a");
    assert_eq!(log.decide(&run(), "c"), Decision::Stop);
    assert_eq!(log.decide(&run(), "b"), Decision::Stop);
    log.choose("a", Choice::Retry);
    assert_eq!(log.decide(&run(), "c"), begin(1, 1, 1, true));
}

#[test]
fn abort_pause_and_taking_back_start_nothing() {
    for happened in [
        Event::AbortAsked { by: actor("ada", 1000), why: None },
        Event::RunHeld { reason: HoldReason::Paused { by: "ada".into() } },
        Event::RunFinished { how: crate::event::Finish::Succeeded, value: None },
    ] {
        let decision = new_step(&run(), "a", |log| {
            log.add(happened.clone());
        });
        assert_eq!(decision, Decision::Stop, "{happened:?}");
    }
    let undoing = |log: &mut Log| {
        log.begin_undo("b");
    };
    assert_eq!(new_step(&run(), "a", undoing), Decision::Stop);
}

#[test]
fn a_paused_run_goes_on_when_a_person_resumes_it() {
    let decision = new_step(&run(), "a", |log| {
        log.add(Event::RunHeld { reason: HoldReason::Paused { by: "ada".into() } });
        log.add(Event::RunResumed { by: actor("ada", 1000) });
    });
    assert_eq!(decision, begin(1, 1, 1, true));
}

#[test]
fn a_window_that_goes_back_starts_nothing() {
    let happened = |log: &mut Log| {
        log.open_window("w").done("w/a").go_back("w");
    };
    assert_eq!(new_step(&in_window(), "w/b", happened), Decision::Stop);
}

#[test]
fn past_the_commit_point_a_window_goes_forward_through_pause_and_abort_but_not_past_a_hold() {
    let committed = |then: Event| {
        move |log: &mut Log| {
            log.open_window("w").done("w/a").commit_point("w/c").add(then);
        }
    };
    let pause = Event::RunHeld { reason: HoldReason::Paused { by: "ada".into() } };
    let abort = Event::AbortAsked { by: actor("ada", 1000), why: None };
    for then in [pause.clone(), abort] {
        assert_eq!(new_step(&in_window(), "w/b", committed(then)), begin(1, 1, 1, true));
    }
    let before = |log: &mut Log| {
        log.open_window("w").done("w/a").add(pause);
    };
    assert_eq!(new_step(&in_window(), "w/b", before), Decision::Stop);
    let held = |log: &mut Log| {
        log.open_window("w").done("w/a").commit_point("w/c").start("w/x").hold_failed("w/x");
    };
    assert_eq!(new_step(&in_window(), "w/b", held), Decision::Stop);
}

#[test]
fn a_step_new_in_a_closed_window_holds_and_known_ones_answer() {
    let mut log = Log::new();
    log.open_window("w").done("w/a").close_window("w", false);
    assert!(matches!(log.decide(&in_window(), "w/new"), Decision::Hold(HoldReason::Inserted { .. })));
    assert!(matches!(log.decide(&in_window(), "w/a"), Decision::Answer(_)));
    assert_eq!(log.decide(&run(), "beside"), begin(1, 1, 1, true));
}

#[test]
fn a_window_that_went_back_is_entered_again() {
    let mut log = Log::new();
    log.open_window("w").done("w/a").go_back("w").begin_undo_for_window("w").undo("w/a").end_undo("w");
    log.close_window("w", true);
    assert_eq!(log.decide(&in_window(), "w/a"), begin(2, 1, 1, true));
}

#[test]
fn a_window_passed_and_then_taken_back_is_entered_again() {
    let mut log = Log::new();
    log.open_window("w").done("w/a").close_window("w", false);
    log.begin_undo("").undo("w/a").end_undo("");
    assert_eq!(log.decide(&in_window(), "w/a"), begin(2, 1, 1, true));
}

// People.

fn asked(count: u32, not_starter: bool) -> (Log, Ask) {
    let ask = Log::approval(count, not_starter);
    let mut log = Log::new();
    log.ask("go", ask.clone());
    (log, ask)
}

fn check(log: &Log, name: &str, uid: u32, answer: &Answer) -> Result<(), String> {
    let decision = crate::hold::Decision { by: actor(name, uid), saw: fingerprint("shown"), why: None };
    check_answer(&log.state, &path("go"), answer, &decision, log.now.wall_us)
}

#[test]
fn a_question_is_asked_once_and_waits() {
    let ask = Log::approval(1, false);
    assert_eq!(Log::new().decide_person("go", &ask), PersonDecision::Ask);
    let (log, ask) = asked(1, false);
    assert_eq!(log.decide_person("go", &ask), PersonDecision::Wait);
}

#[test]
fn enough_approvals_count_different_accounts_not_names() {
    let (mut log, ask) = asked(2, false);
    log.answer("go", "grace", 1001, Answer::Approve);
    assert_eq!(log.decide_person("go", &ask), PersonDecision::Wait);
    assert!(check(&log, "grace by another name", 1001, &Answer::Approve).unwrap_err().contains("already"));
    // Were it journaled nevertheless, it would not count.
    log.answer("go", "grace by another name", 1001, Answer::Approve);
    assert_eq!(log.decide_person("go", &ask), PersonDecision::Wait);
    log.answer("go", "linus", 1002, Answer::Approve);
    let PersonDecision::Settle(answers) = log.decide_person("go", &ask) else { panic!() };
    assert_eq!(answers.iter().map(|answer| answer.decision.by.uid).collect::<Vec<_>>(), [1001, 1002]);
}

#[test]
fn whoever_started_the_run_may_not_approve_where_that_is_asked() {
    let (log, _) = asked(1, true);
    assert!(check(&log, "not ada", 1000, &Answer::Approve).is_err());
    assert_eq!(check(&log, "not ada", 1000, &Answer::Reject), Ok(()));
    assert_eq!(check(&log, "ada", 1001, &Answer::Approve), Ok(()));
    let (log, _) = asked(1, false);
    assert_eq!(check(&log, "ada", 1000, &Answer::Approve), Ok(()));
}

#[test]
fn one_rejection_fails_the_question_whoever_else_approved() {
    let (mut log, ask) = asked(1, false);
    log.answer("go", "grace", 1001, Answer::Reject).answer("go", "linus", 1002, Answer::Approve);
    let PersonDecision::Raise(failure) = log.decide_person("go", &ask) else { panic!() };
    assert_eq!((failure.kind, failure.message.as_str()), (FailureKind::Rejected, "rejected by grace"));
}

#[test]
fn an_answer_to_something_else_than_was_shown_is_refused() {
    let (log, _) = asked(1, false);
    let decision = crate::hold::Decision { by: actor("grace", 1001), saw: fingerprint("old plan"), why: None };
    let refused = check_answer(&log.state, &path("go"), &Answer::Approve, &decision, 0);
    assert!(refused.unwrap_err().contains("changed"));
}

#[test]
fn an_answer_of_another_kind_or_to_nobodys_question_is_refused() {
    let (log, _) = asked(1, false);
    for answer in [Answer::Done, Answer::Fields { fields: vec![] }] {
        assert!(check(&log, "grace", 1001, &answer).is_err(), "{answer:?}");
    }
    assert!(check(&Log::new(), "grace", 1001, &Answer::Approve).unwrap_err().contains("nothing is asked"));
    let mut log = Log::new();
    log.ask("go", Ask::Manual { instructions: "turn it off and on".into() });
    assert_eq!(check(&log, "grace", 1001, &Answer::Done), Ok(()));
    assert!(check(&log, "grace", 1001, &Answer::Approve).is_err());
}

#[test]
fn a_question_expires_at_its_time_and_takes_no_answer_given_later() {
    let (mut log, ask) = (Log::new(), Log::approval(1, false));
    let expires = log.now.wall_us + 60_000_000;
    let asked = PersonAsked { expires_at_us: Some(expires), ..log.asking("go", ask.clone()) };
    log.add(Event::PersonAsked(Box::new(asked)));
    assert_eq!(log.decide_person("go", &ask), PersonDecision::Wait);
    assert_eq!(check(&log, "grace", 1001, &Answer::Approve), Ok(()));
    log.now.wall_us = expires - 1;
    assert_eq!(log.decide_person("go", &ask), PersonDecision::Wait);
    log.now.wall_us = expires;
    let PersonDecision::Raise(failure) = log.decide_person("go", &ask) else { panic!() };
    assert_eq!(failure.kind, FailureKind::Expired);
    assert!(check(&log, "grace", 1001, &Answer::Approve).unwrap_err().contains("over"));
}

#[test]
fn a_question_that_changed_is_asked_again_and_old_answers_do_not_count() {
    let (mut log, _) = asked(1, false);
    log.answer("go", "grace", 1001, Answer::Approve);
    let mut changed = Log::approval(1, false);
    if let Ask::Approve { show, .. } = &mut changed {
        *show = Value::Int(25);
    }
    assert_eq!(log.decide_person("go", &changed), PersonDecision::Ask);
    log.ask("go", changed.clone());
    assert_eq!(log.decide_person("go", &changed), PersonDecision::Wait);
    log.begin_undo("elsewhere");
    assert_eq!(log.decide_person("go", &Log::approval(1, false)), PersonDecision::Stop);
}

#[test]
fn a_settled_question_is_answered_from_the_journal() {
    let (mut log, ask) = asked(1, false);
    log.answer("go", "grace", 1001, Answer::Approve).answered("go", &ask);
    assert!(matches!(log.decide_person("go", &ask), PersonDecision::Answer(_)));
}

#[test]
fn an_approval_beside_a_window_that_went_back_is_asked_again_and_one_elsewhere_stands() {
    let (mut log, ask) = asked(1, false);
    log.answer("go", "grace", 1001, Answer::Approve).answered("go", &ask);
    log.ask("far/go", ask.clone()).answer("far/go", "grace", 1001, Answer::Approve).answered("far/go", &ask);
    log.open_window("w").done("w/a").go_back("w").begin_undo_for_window("w").undo("w/a").end_undo("w");
    log.close_window("w", true);
    assert_eq!(log.decide_person("go", &ask), PersonDecision::Ask);
    assert!(matches!(log.decide_person("far/go", &ask), PersonDecision::Answer(_)));
}

#[test]
fn a_waived_question_settles_without_an_answer() {
    let (mut log, ask) = asked(1, false);
    let failed = AttemptFailed { attempt: 1, kind: StepKind::Approve, ..log.failing("go") };
    log.add(Event::AttemptFailed(Box::new(failed))).hold("go", HoldReason::Failed { failure: broke() });
    assert_eq!(log.decide_person("go", &ask), PersonDecision::Held);
    log.choose("go", Choice::Waive);
    assert_eq!(log.decide_person("go", &ask), PersonDecision::Settle(vec![]));
}

#[test]
fn an_attempt_under_way_is_recovered_with_what_it_was_started_with() {
    let mut log = Log::new();
    let started = AttemptStarted { action: sql("drop table x"), ..log.starting("a") };
    log.add(Event::AttemptStarted(Box::new(started.clone())));
    assert_eq!(log.decide(&run(), "a"), Decision::Recover(Arc::new(started)));
}
