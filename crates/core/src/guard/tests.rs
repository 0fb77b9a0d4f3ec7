//! What keeps a limit, and what a trip leads to.

use super::*;
use crate::event::Event;
use crate::fixture::*;
use crate::hold::Choice;
use crate::outcome::Rows;
use crate::scope::ScopeKind;
use crate::value::Definition;

fn value(value: Value) -> Outcome {
    Outcome { ok: true, value: Some(value), ..Outcome::default() }
}

fn printed(text: &str) -> Outcome {
    Outcome { ok: true, out: Some(text.into()), ..Outcome::default() }
}

#[test]
fn a_number_keeps_its_limits_or_does_not_and_what_is_no_number_is_told() {
    let between = Limit::Number { below: Some(5.0), above: Some(1.0) };
    let row = |value| Outcome { rows: Some(Rows { columns: vec![], rows: vec![vec![value]] }), ..printed("") };
    for (outcome, keeps) in [
        (value(Value::Int(3)), Ok(true)),
        (value(Value::Int(5)), Ok(false)),
        (value(Value::Float(1.0)), Ok(false)),
        (value(Value::Float(f64::NAN)), Err(())),
        (value(Value::None), Err(())),
        (value(Value::Bool(true)), Err(())),
        // A database's decimal, and its NULL.
        (row(Value::str("4.999")), Ok(true)),
        (row(Value::None), Err(())),
        (printed(" 2\n"), Ok(true)),
        (printed("inf"), Err(())),
        (printed("2 errors"), Err(())),
        (printed(""), Err(())),
    ] {
        assert_eq!(between.keeps(&outcome).map_err(drop), keeps, "{outcome:?}");
    }
    assert_eq!(between.keeps(&printed("x")), Err("a number is needed".to_owned()));
    assert_eq!(Limit::Truth.keeps(&value(Value::Bool(false))), Ok(false));
    let one = Limit::Number { below: None, above: Some(0.5) };
    assert_eq!((one.keeps(&printed("0.5")), one.keeps(&printed("0.51"))), (Ok(false), Ok(true)));
}

#[test]
fn a_limit_is_told_as_it_was_written() {
    let callable =
        Callable { function: Definition { file: "x.star".into(), name: "calm".into() }, args: vec![], kwargs: vec![] };
    for (limit, told) in [
        (Limit::Number { below: Some(0.01), above: None }, "below 0.01"),
        (Limit::Number { below: Some(5.0), above: Some(1.5) }, "above 1.5 and below 5"),
        (Limit::Predicate(callable), "as calm() says"),
        (Limit::Truth, "true"),
    ] {
        assert_eq!(limit.to_string(), told);
    }
}

#[test]
fn a_trip_leads_to_what_the_guard_says_outside_of_windows() {
    let log = Log::new();
    let phase = scopes(&[(ScopeKind::Phase, "p")]);
    assert_eq!(trip(&log.state, &phase, OnTrip::Hold), Some(Then::Hold));
    assert_eq!(trip(&log.state, &phase, OnTrip::Undo), Some(Then::Undo));
}

#[test]
fn a_trip_in_a_window_goes_back_and_past_its_commit_point_only_warns() {
    let window = scopes(&[(window_kind(), "w")]);
    let inside = window.child(ScopeKind::Phase, "p");
    let mut log = Log::new();
    for on_trip in [OnTrip::Hold, OnTrip::Undo] {
        assert_eq!(trip(&log.state, &window, on_trip), Some(Then::Hold), "it is kept from opening");
    }
    log.open_window("w").done("w/a");
    for scope in [&window, &inside] {
        assert_eq!(trip(&log.state, scope, OnTrip::Undo), Some(Then::GoBack));
    }
    let mut back = log.clone();
    back.go_back("w");
    assert_eq!(trip(&back.state, &inside, OnTrip::Hold), None, "it goes back already");
    log.commit_point("w/no way back");
    for on_trip in [OnTrip::Hold, OnTrip::Undo] {
        assert_eq!(trip(&log.state, &inside, on_trip), Some(Then::Warn));
    }
}

#[test]
fn a_scope_with_a_committed_window_in_it_is_not_taken_back_under_it() {
    let phase = scopes(&[(ScopeKind::Phase, "p")]);
    let mut log = Log::new();
    log.open_window("p/w");
    assert_eq!(trip(&log.state, &phase, OnTrip::Undo), Some(Then::Undo));
    log.commit_point("p/w/no way back");
    assert_eq!(trip(&log.state, &phase, OnTrip::Undo), Some(Then::Hold));
}

#[test]
fn nothing_trips_where_nothing_goes_on() {
    let phase = scopes(&[(ScopeKind::Phase, "p")]);
    let none = |log: &Log| assert_eq!(trip(&log.state, &phase, OnTrip::Undo), None);
    let mut settled = Log::new();
    settled.enter("p", ScopeKind::Attempt).settle("p", vec![]);
    none(&settled);
    let mut undoing = Log::new();
    undoing.begin_undo("");
    none(&undoing);
    let mut aborted = Log::new();
    aborted.add(Event::AbortAsked { by: actor("ada", 1), why: None });
    none(&aborted);
}

#[test]
fn a_guard_that_tripped_holds_the_run_until_it_passes_or_is_waived() {
    for (choice, then) in [(Choice::Retry, Standing::Checking), (Choice::Waive, Standing::Quiet)] {
        let mut log = Log::new();
        log.guarded("p", "calm").trip("p/calm", Then::Hold);
        assert_eq!(standing(&log.state, &path("p/calm")), Standing::Tripped);
        assert!(log.state.is_held() && log.state.status() == crate::state::Status::Held);
        assert!(!crate::decide::may_act(&log.state, &scopes(&[(ScopeKind::Phase, "p")]), &path("p/a")));
        for wrong in [Choice::Done, Choice::NotDone, Choice::Keep] {
            assert!(crate::decide::check_decision(&log.state, &path("p/calm"), &wrong).is_err());
        }
        assert_eq!(crate::decide::check_decision(&log.state, &path("p/calm"), &choice), Ok(()));
        log.choose("p/calm", choice.clone());
        assert!(!log.state.is_held());
        assert_eq!(standing(&log.state, &path("p/calm")), then);
        assert!(crate::decide::check_decision(&log.state, &path("p/calm"), &choice).is_err(), "it is decided");
        log.add(Event::GuardArmed { path: path("p/calm"), saw: "0".into() });
        assert_eq!(standing(&log.state, &path("p/calm")), Standing::Armed);
    }
}

#[test]
fn a_guard_wants_its_scope_taken_back_once_and_a_waiver_ends_that() {
    let mut log = Log::new();
    log.guarded("p", "calm").trip("p/calm", Then::Undo);
    let (scope, guard, why) = undo_due(&log.state).unwrap();
    assert_eq!((scope, guard), (path("p"), path("p/calm")));
    assert!(why.contains("calm") && why.contains("gave 9"), "{why}");
    let mut waived = log.clone();
    waived.choose("p/calm", Choice::Waive);
    assert_eq!(undo_due(&waived.state), None);
    let mut retried = log.clone();
    retried.choose("p/calm", Choice::Retry);
    assert!(undo_due(&retried.state).is_some(), "trying again takes back first");
    log.begin_undo_for_guard("p", "p/calm");
    assert_eq!(undo_due(&log.state), None);
    log.end_undo("p");
    assert!(log.state.undoing.is_none() && log.state.taken_back.is_none(), "the guard's own hold is enough");
    assert!(log.state.is_held());
}

#[test]
fn taking_back_what_a_guard_holds_ends_its_hold_and_it_looks_again_before_anything_starts() {
    let mut log = Log::new();
    log.guarded("p", "calm").trip("p/calm", Then::Hold).begin_undo("");
    assert!(!log.state.is_held());
    assert_eq!(standing(&log.state, &path("p/calm")), Standing::Checking);
}

#[test]
fn past_a_commit_point_a_trip_holds_nothing_and_is_quiet_until_it_passes() {
    let mut log = Log::new();
    log.guarded("p", "calm").trip("p/calm", Then::Warn);
    assert!(!log.state.is_held());
    assert_eq!(standing(&log.state, &path("p/calm")), Standing::Quiet);
}
