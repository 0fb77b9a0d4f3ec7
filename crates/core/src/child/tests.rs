//! What a parent does about a child run, state by state.

use super::*;
use crate::event::{Event, Finish};
use crate::fixture::*;
use crate::hold::Choice;

fn seen(log: &Log, driven: bool) -> Seen {
    Seen { exists: true, driven, state: log.state.clone().into() }
}

#[test]
fn a_child_is_created_driven_followed_waited_for_and_taken_as_it_ended() {
    assert_eq!(next(&Seen::default()), Next::Create);
    // Its row stands, its first record does not: the parent died between the two.
    assert_eq!(next(&Seen { exists: true, driven: false, state: Log::empty().state.into() }), Next::Create);
    let mut log = Log::new();
    assert_eq!(next(&seen(&log, false)), Next::Drive);
    log.start("a");
    assert_eq!(next(&seen(&log, true)), Next::Follow);
    log.hold_failed("a");
    let wait = ChildWait { held: true, why: "\"a\": exit 1".into() };
    assert_eq!(next(&seen(&log, false)), Next::Wait(wait.clone()));
    // Its engine in the foreground of another terminal stays while it holds.
    assert_eq!(next(&seen(&log, true)), Next::Wait(wait));
    log.choose("a", Choice::Retry);
    assert_eq!(next(&seen(&log, false)), Next::Drive);
    log.done("a").add(Event::RunFinished { how: Finish::Succeeded, value: None });
    assert_eq!(next(&seen(&log, true)), Next::Ended { how: Finish::Succeeded, value: None });
    let end = seen(&log, false).ended().unwrap();
    assert_eq!((end.records, end.head), (log.state.seq, log.state.head));
    // Somebody takes it back: it has no end until that is done.
    log.begin_undo("");
    assert_eq!((seen(&log, true).ended(), next(&seen(&log, true))), (None, Next::Follow));
}

#[test]
fn what_held_a_child_before_it_was_taken_back_does_not_hold_that() {
    let mut log = Log::new();
    log.start("a").succeed("a").start("b").hold_failed("b");
    assert_eq!(seen(&log, false).holds_going_back(), None);
    log.begin_undo("");
    assert_eq!(seen(&log, false).holds_going_back(), None);
    log.start_undo("b").undone("b").start_undo("a").hold("a", HoldReason::UndoFailed { failure: broke() });
    // Its engine has yet to leave, or does something about it.
    assert_eq!(seen(&log, true).holds_going_back(), None);
    assert_eq!(seen(&log, false).holds_going_back().as_deref(), Some("\"a\": its undo failed: exit 1"));
    for (open, reason) in [
        (true, HoldReason::Unprovable { why: "no answer".into() }),
        (false, HoldReason::Rotated { secret: "pw".into(), source: "env:PW".into() }),
    ] {
        let mut log = Log::new();
        log.start("a");
        if !open {
            log.succeed("a");
        }
        log.begin_undo("").hold("a", reason.clone());
        assert_eq!(seen(&log, false).holds_going_back(), Some(format!("\"a\": {reason}")));
    }
}

#[test]
fn a_child_is_open_while_its_step_is_at_it_and_waits_only_where_a_person_is_awaited() {
    let (first, second) = (RunId::from_random(8), RunId::from_random(9));
    let open_runs = |log: &Log| open(&log.state).map(|(_, run)| run.clone()).collect::<Vec<_>>();
    let mut log = Log::new();
    log.start_child("a", &first).start_child("b", &second);
    assert_eq!(open_runs(&log), [first, second.clone()]);
    log.child_done("a", &second);
    assert_eq!(open_runs(&log), [second]);
    assert_eq!((waits_now(&Seen::default()), waits_now(&seen(&log, false))), (None, None));
    log.start("c").hold_failed("c");
    assert_eq!(waits_now(&seen(&log, false)), Some(ChildWait { held: true, why: "\"c\": exit 1".into() }));
}

#[test]
fn what_a_timer_or_a_lock_will_end_is_no_wait_for_a_person() {
    let mut log = Log::new();
    log.ask("go", Log::approval(1, false));
    assert!(matches!(next(&seen(&log, false)), Next::Wait(ChildWait { held: false, .. })));
    let mut log = Log::new();
    log.enter("db", crate::scope::ScopeKind::Lock).await_lock("db", None);
    assert_eq!(next(&seen(&log, true)), Next::Follow);
    assert_eq!(next(&seen(&log, false)), Next::Drive);
}

#[test]
fn a_parent_whose_only_work_waits_for_a_person_waits_and_says_so_to_its_own_parent() {
    let run = RunId::from_random(8);
    let mut log = Log::new();
    log.start_child("sub", &run);
    assert_eq!(log.state.status(), Status::Running);
    log.child_stands("sub", &run, Some("\"a\": exit 1"));
    assert_eq!(log.state.status(), Status::Waiting);
    let wait = ChildWait { held: true, why: "\"sub\": \"a\": exit 1".into() };
    assert_eq!(waits(&log.state), Some(wait));
    // A sibling works.
    log.start("b");
    assert_eq!(log.state.status(), Status::Running);
    log.succeed("b").child_stands("sub", &run, None);
    assert_eq!(log.state.status(), Status::Running);
    log.child_stands("sub", &run, Some("again")).child_done("sub", &run);
    assert_eq!((log.state.status(), log.state.children[&path("sub")].waits.is_none()), (Status::Running, true));
}
