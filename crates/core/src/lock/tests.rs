//! Which events give a lock up, and which waits close a circle.

use super::*;
use crate::event::*;
use crate::fixture::*;
use crate::hold::Choice;
use crate::scope::ScopeKind;

fn held(log: &Log) -> Vec<&str> {
    log.state.locks.keys().map(Path::as_str).collect()
}

#[test]
fn a_lock_is_given_up_by_the_end_of_its_scope_and_by_nothing_less() {
    let mut log = Log::new();
    log.enter("db", ScopeKind::Lock).take_lock("db").done("db/a").start("db/b").crash(Attach::Resumed);
    log.enter("db/in", ScopeKind::Phase).add(Event::ScopeLeft { path: path("db/in") });
    log.fail("db/b").hold_failed("db/b");
    assert_eq!(held(&log), ["db"], "it survives deaths, holds, and the scopes in it");
    let ends: [(&str, Event); 5] = [
        ("its scope is left", Event::ScopeLeft { path: path("db") }),
        (
            "a scope around it is settled",
            Event::ScopeSettled(ScopeSettled { path: path(""), value: None, failures: vec![] }),
        ),
        ("it is taken back", Event::UndoFinished { scope: path("db") }),
        ("the run ends", Event::RunFinished { how: Finish::Aborted, value: None }),
        ("a person breaks it", Event::LockBroken { path: path("db"), name: "db".into(), decision: log.by("ada", 1) }),
    ];
    for (what, event) in ends {
        assert_eq!(released(&log.state, &event), [path("db")], "{what}");
        let mut ended = log.clone();
        ended.add(event);
        assert!(held(&ended).is_empty(), "{what}");
    }
    for other in ["dbx", "other"] {
        assert!(released(&log.state, &Event::ScopeLeft { path: path(other) }).is_empty());
    }
}

#[test]
fn a_broken_lock_holds_the_run_until_a_person_says_to_take_it_again() {
    let mut log = Log::new();
    log.enter("db", ScopeKind::Lock).take_lock("db");
    let decision = log.by("ada", 1);
    log.add(Event::LockBroken { path: path("db"), name: "db".into(), decision });
    assert!(log.state.is_held());
    assert!(crate::decide::check_decision(&log.state, &path("db"), &Choice::Waive).is_err(), "nobody works without it");
    log.choose("db", Choice::Retry);
    assert!(!log.state.is_held() && held(&log).is_empty());
}

#[test]
fn a_run_that_waits_for_a_lock_waits_and_one_that_would_wait_for_ever_holds() {
    let mut log = Log::new();
    log.enter("db", ScopeKind::Lock).await_lock("db", None);
    assert_eq!(log.state.status(), crate::state::Status::Waiting);
    log.take_lock("db");
    assert_eq!(log.state.status(), crate::state::Status::Running);
    let mut log = Log::new();
    log.enter("db", ScopeKind::Lock).await_lock("db", Some("a circle"));
    assert_eq!(log.state.status(), crate::state::Status::Held);
    assert_eq!(crate::decide::check_decision(&log.state, &path("db"), &Choice::Retry), Ok(()));
}

fn locked(name: &str, run: u64, at: &str) -> Locked {
    Locked { name: name.into(), run: RunId::from_random(run), path: path(at), since_us: 0 }
}

#[test]
fn only_a_wait_inside_what_is_held_closes_a_circle() {
    let locks = Locks {
        held: vec![locked("x", 1, "x"), locked("y", 2, "y"), locked("z", 3, "a/z")],
        waiting: vec![locked("z", 2, "y/z"), locked("x", 3, "a/z/deep/x"), locked("x", 3, "a/x")],
        called: vec![],
    };
    let (one, two, three) = (RunId::from_random(1), RunId::from_random(2), RunId::from_random(3));
    let names = |chain: Option<Vec<Locked>>| chain.map(|chain| chain.iter().map(|held| held.name.clone()).collect());
    assert_eq!(names(locks.deadlock("y", &one, &path("x/y"))), Some(vec!["y".into(), "z".into(), "x".into()]));
    // A branch beside the lock waits, and the lock is given up all the same.
    assert_eq!(names(locks.deadlock("y", &one, &path("other/y"))), None::<Vec<String>>);
    assert_eq!(names(locks.deadlock("x", &two, &path("q"))), None);
    assert_eq!(names(locks.deadlock("free", &three, &path("a/z/free"))), None);
    // Its own lock, once more, inside itself.
    assert_eq!(names(locks.deadlock("x", &one, &path("x/p/x"))), Some(vec!["x".into()]));
}

#[test]
fn whoever_waits_longest_has_its_turn_and_who_does_not_come_is_gone_past() {
    let since = |wait: Locked, since_us: i64| Locked { since_us, ..wait };
    let (first, second, other) = (locked("x", 2, "p"), locked("x", 1, "p"), locked("y", 3, "p"));
    let mut locks = Locks {
        waiting: vec![since(second.clone(), 8), since(first.clone(), 7), since(other.clone(), 1)],
        ..Locks::default()
    };
    let turn = |locks: &Locks, now_us: i64| locks.turn("x", now_us).map(|wait| wait.run.clone());
    assert_eq!(turn(&locks, 100), Some(first.run.clone()));
    let late = 100 + CALL_PATIENCE_US as i64;
    locks.called.push(since(first.clone(), 100));
    assert_eq!(turn(&locks, late - 1), Some(first.run.clone()));
    assert_eq!(turn(&locks, late), Some(second.run.clone()));
    locks.called.push(since(second.clone(), late));
    assert_eq!(turn(&locks, late), Some(second.run));
    assert_eq!(turn(&locks, late + late), None, "whoever asks has it");
    assert_eq!(turn(&locks, -late), None, "the clock was set back");
    assert_eq!(locks.turn("free", 100), None);
}
