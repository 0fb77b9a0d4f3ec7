//! Locks: one holder over all runs, through deaths, waits and holds, and given up exactly when its scope ends.

use crate::sim::{Book, Ctx, Result, Sim, actor, at_every_moment_and, is_ok, path, sh};
use piton_core::Value;
use piton_core::event::Event;
use piton_core::hold::{Choice, HoldReason};
use piton_core::lock::LockState;
use piton_core::ports::InboxMessage;
use piton_engine::End;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(20);

/// Something before, something in the lock, something after.
fn locked(script: &'static str) -> Book {
    Book::new(move |run| {
        run.step("before", sh("add before")).undo(sh("sub before")).go()?;
        run.lock("db", |inside| {
            inside.step("work", sh(script)).undo(sh("clear work")).go()?;
            Ok(Value::None)
        })?;
        run.step("after", sh("add after")).go()?;
        Ok(Value::None)
    })
}

fn until(what: &str, is: impl Fn() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is() {
        assert!(Instant::now() < end, "waited too long until {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn waits_for(sim: &Sim, holder: &Sim) -> bool {
    let is = |lock: &LockState| matches!(lock, LockState::Waiting { held_by, .. } if held_by == holder.id());
    sim.state().locks.values().any(is)
}

fn nobody_holds(sim: &Sim) {
    let locks = sim.store.locks_now();
    assert!(locks.held.is_empty() && locks.waiting.is_empty(), "{locks:?}\n{}", sim.story());
}

#[test]
fn two_runs_that_want_one_lock_have_it_one_after_the_other() {
    let one = Sim::new(locked("add work; signal in; await go"));
    let two = one.another(8, locked("add work")).staying();
    let (first, second) = {
        let first = one.beside();
        one.world.wait_for("in");
        (first, two.beside())
    };
    until("it waits", || waits_for(&two, &one));
    assert_eq!((two.world.var("before"), two.world.var("work")), (1, 0), "what is not in the lock goes on");
    one.world.signal("go");
    assert!(matches!(first.join(), End::Succeeded(_)));
    assert!(matches!(second.join_within(PATIENCE), End::Succeeded(_)));
    assert_eq!((two.world.var("work"), two.world.var("after")), (1, 1));
    one.check();
    two.check();
    nobody_holds(&one);
}

#[test]
fn many_runs_are_never_in_the_lock_together() {
    let inside = std::sync::Arc::new(std::sync::Mutex::new((0, 0)));
    let one = Sim::new(locked("hook in; sleep 20; hook out")).staying();
    let sims: Vec<Sim> =
        (1..8).map(|number| one.another(number * 100, locked("hook in; sleep 20; hook out")).staying()).collect();
    for sim in sims.iter().chain([&one]) {
        let (enters, leaves) = (inside.clone(), inside.clone());
        sim.world.on("in", move || {
            let mut inside = enters.lock().unwrap();
            inside.0 += 1;
            inside.1 = inside.0.max(inside.1);
        });
        sim.world.on("out", move || leaves.lock().unwrap().0 -= 1);
    }
    let lives: Vec<_> = sims.iter().chain([&one]).map(Sim::beside).collect();
    for life in lives {
        assert!(matches!(life.join_within(PATIENCE), End::Succeeded(_)));
    }
    assert_eq!(*inside.lock().unwrap(), (0, 1));
    sims.iter().for_each(Sim::check);
    nobody_holds(&one);
}

#[test]
fn a_lock_is_given_up_with_its_scope_whatever_moment_its_engine_dies_at() {
    at_every_moment_and(
        || Sim::new(locked("add work")),
        |sim, _| {
            nobody_holds(sim);
            let taken = sim.store.count(|event| matches!(event, Event::LockTaken { .. }));
            assert_eq!(taken, 1, "{}", sim.story());
        },
    );
}

#[test]
fn whoever_waits_gets_the_lock_whatever_moment_its_holder_dies_at() {
    // The release may not be lost, nor come before its scope has ended.
    at_every_moment_and(
        || Sim::new(locked("add work; sleep 10")),
        |sim, _| {
            let other = sim.another(8, locked("add work"));
            assert!(matches!(other.beside().join_within(PATIENCE), End::Succeeded(_)));
            other.check();
            nobody_holds(&other);
        },
    );
}

#[test]
fn a_lock_survives_its_holders_death_and_whoever_waits_waits_on() {
    let one = Sim::new(locked("die; add work"));
    assert!(matches!(one.live(), End::Broken(_)));
    assert_eq!(one.store.held_by(one.id()), ["db"]);
    let two = one.another(8, locked("add work")).staying();
    let second = two.beside();
    until("it waits", || waits_for(&two, &one));
    assert_eq!(two.world.var("work"), 0);
    assert!(matches!(one.live(), End::Succeeded(_)));
    assert!(matches!(second.join_within(PATIENCE), End::Succeeded(_)));
    one.check();
    two.check();
    nobody_holds(&one);
}

#[test]
fn a_lock_survives_parking_and_holds_and_its_waiters_death() {
    let one = Sim::new(Book::new(|run| {
        run.lock("db", |inside| {
            inside.step("work", sh("fail 1; add work")).go()?;
            inside.approve("sure?")?;
            inside.step("more", sh("add more")).go()?;
            Ok(Value::None)
        })
    }));
    assert!(matches!(one.live(), End::Held));
    assert_eq!(one.store.held_by(one.id()), ["db"], "a run that holds keeps it");
    one.decide("db/work", Choice::Retry);
    assert!(matches!(one.live(), End::Waiting));
    assert_eq!(one.store.held_by(one.id()), ["db"], "a run that waits for a person keeps it");
    let two = one.another(8, locked("add work")).staying();
    let second = two.beside();
    until("it waits", || waits_for(&two, &one));
    two.world.kill(1);
    until("it notices", || !matches!(two.store.locks_now().waiting.as_slice(), []));
    drop(second);
    assert!(one.approve("db/sure?"));
    assert!(matches!(one.live(), End::Succeeded(_)));
    assert!(matches!(two.live(), End::Succeeded(_)), "{}", two.story());
    one.check();
    two.check();
    nobody_holds(&one);
}

#[test]
fn a_run_that_ends_otherwise_gives_up_its_locks() {
    for (message, end) in [
        (InboxMessage::Abort, "Aborted"),
        (InboxMessage::Undo { scope: path("") }, "Undone"),
        (InboxMessage::Undo { scope: path("db") }, "Held"),
    ] {
        let sim = Sim::new(locked("set work; fail"));
        assert!(matches!(sim.live(), End::Held));
        assert_eq!(sim.store.held_by(sim.id()), ["db"]);
        sim.tell(message);
        assert_eq!(format!("{:?}", sim.live()), end);
        sim.check();
        nobody_holds(&sim);
    }
}

#[test]
fn a_failure_that_is_caught_gives_up_the_lock() {
    let sim = Sim::new(
        Book::new(|run| {
            let items = run.each_continue("all", 3, 3, "item")?;
            let tried = run.attempt("try", |inside| {
                inside.lock("db", |inside| {
                    inside.step("work", sh("fail")).go()?;
                    Ok(Value::None)
                })
            })?;
            assert!(!is_ok(&tried));
            Ok(items)
        })
        .function("item", |item, key| {
            // All want the same lock: who fails must not keep it from its siblings.
            item.lock("db", |inside| {
                inside.step("work", sh(if key == Value::str("item-1") { "add x" } else { "fail" })).go()?;
                Ok(Value::None)
            })
        }),
    );
    let end = sim.beside().join_within(PATIENCE);
    sim.check();
    assert!(matches!(end, End::Succeeded(_)), "{end:?} {}", sim.story());
    assert_eq!(sim.world.var("x"), 1);
    nobody_holds(&sim);
}

#[test]
fn branches_of_one_run_exclude_each_other() {
    let make = || {
        Sim::new(Book::new(|run| run.each("all", 3, 3, "item")).function("item", |item: &Ctx<'_>, _| -> Result {
            item.lock("db", |inside| {
                inside.step("in", sh("add inside")).go()?;
                inside.step("look", sh("hook look")).go()?;
                inside.step("out", sh("sub inside")).go()?;
                Ok(Value::None)
            })
        }))
    };
    let sim = make();
    let world = sim.world.clone();
    sim.world.on("look", move || assert_eq!(world.var("inside"), 1, "two are inside"));
    let end = sim.beside().join_within(PATIENCE);
    sim.check();
    assert!(matches!(end, End::Succeeded(_)), "{end:?} {}", sim.story());
    nobody_holds(&sim);
}

#[test]
fn a_lock_that_a_person_breaks_stops_its_holder_until_it_has_it_again() {
    let book = |script: &'static str| {
        Book::new(move |run| {
            run.lock("db", |inside| {
                inside.step("one", sh(script)).go()?;
                inside.step("two", sh("add two")).go()?;
                Ok(Value::None)
            })
        })
    };
    let one = Sim::new(book("signal in; await go; add one")).staying();
    let two = one.another(8, book("signal in; await go; add one")).staying();
    let first = one.beside();
    one.world.wait_for("in");
    let second = two.beside();
    until("it waits", || waits_for(&two, &one));
    let broken = InboxMessage::BreakLock { scope: path("db"), name: "db".to_owned() };
    one.post(&actor("bob", 2), one.state().head, broken.clone());
    two.world.wait_for("in");
    one.world.signal("go");
    assert!(matches!(first.join_within(PATIENCE), End::Held));
    one.check();
    assert_eq!((one.world.var("one"), one.world.var("two")), (1, 0), "what ran finishes, nothing more starts");
    let hold = one.state().other_holds[&path("db")].to_string();
    assert_eq!(hold, "its lock \"db\" was broken by bob: because");
    // Who had it wants it again, and waits like everybody else.
    one.decide("db", Choice::Retry);
    let first = one.beside();
    until("it waits", || waits_for(&one, &two));
    assert_eq!(one.world.var("two"), 0);
    // What one does not hold cannot be broken.
    one.tell(broken);
    until("it is refused", || !one.notebook.warnings.lock().unwrap().is_empty());
    two.world.signal("go");
    assert!(matches!(second.join_within(PATIENCE), End::Succeeded(_)));
    assert!(matches!(first.join_within(PATIENCE), End::Succeeded(_)));
    one.check();
    two.check();
    nobody_holds(&one);
}

#[test]
fn breaking_a_lock_is_survived_whatever_moment_its_holder_dies_at() {
    at_every_moment_and(
        || {
            Sim::new(Book::new(|run| {
                run.lock("db", |inside| {
                    inside.approve("sure?")?;
                    inside.step("work", sh("add work")).go()?;
                    Ok(Value::None)
                })
            }))
            .person(|sim| {
                let state = sim.state();
                let broken = sim.store.any(|event| matches!(event, Event::LockBroken { .. }));
                if !state.other_holds.is_empty() {
                    sim.tell(InboxMessage::RetryAll);
                } else if !broken {
                    sim.tell(InboxMessage::BreakLock { scope: path("db"), name: "db".to_owned() });
                } else if !sim.approve("db/sure?") {
                    return false;
                }
                true
            })
        },
        |sim, _| {
            nobody_holds(sim);
            let taken = sim.store.count(|event| matches!(event, Event::LockTaken { .. }));
            assert_eq!(taken, 2, "{}", sim.story());
        },
    );
}

#[test]
fn a_window_in_a_broken_lock_goes_back_and_past_its_commit_point_forward() {
    for committed in [false, true] {
        let sim = Sim::new(Book::new(move |run| {
            run.lock("db", |inside| {
                inside.window("pause", (7200, 600), |window| {
                    window.step("close", sh("add closed")).undo(sh("clear closed")).go()?;
                    if committed {
                        window.commit_point("no way back")?;
                    }
                    window.step("work", sh("signal in; await go; set work")).undo(sh("clear work")).go()?;
                    window.step("open", sh("clear closed")).go()?;
                    Ok(Value::None)
                })?;
                inside.step("after", sh("add after")).go()?;
                Ok(Value::None)
            })
        }));
        let beside = sim.beside();
        sim.world.wait_for("in");
        sim.tell(InboxMessage::BreakLock { scope: path("db"), name: "db".to_owned() });
        until("it is broken", || !sim.state().other_holds.is_empty());
        sim.world.signal("go");
        assert!(matches!(beside.join_within(PATIENCE), End::Held));
        sim.check();
        assert!(sim.state().open_window().is_none());
        let vars = ["closed", "work", "after"].map(|name| sim.world.var(name));
        assert_eq!(vars, [0, i64::from(committed), 0], "{}", sim.story());
        sim.tell(InboxMessage::RetryAll);
        assert!(matches!(sim.live(), End::Succeeded(_)), "{}", sim.story());
        sim.check();
        nobody_holds(&sim);
    }
}

/// Takes two locks, one inside the other.
fn both(outer: &'static str, inner: &'static str) -> Book {
    Book::new(move |run| {
        run.lock(outer, |outside| {
            outside.step("one", sh("add one; signal in; await both")).undo(sh("sub one")).go()?;
            outside.lock(inner, |inside| {
                inside.step("two", sh("add two")).go()?;
                Ok(Value::None)
            })
        })
    })
}

#[test]
fn runs_that_wait_for_each_other_in_a_circle_are_told_and_one_of_them_holds() {
    let one = Sim::new(both("x", "y")).staying();
    let two = one.another(8, both("y", "x")).staying();
    let (first, second) = (one.beside(), two.beside());
    one.world.wait_for("in");
    two.world.wait_for("in");
    one.world.signal("both");
    until("it waits", || waits_for(&one, &two));
    two.world.signal("both");
    assert!(matches!(second.join_within(PATIENCE), End::Held));
    two.check();
    let hold = two.state().other_holds[&path("y/x")].clone();
    let HoldReason::Deadlock { lock, held_by, why } = hold else { panic!("{hold:?}") };
    assert_eq!((lock.as_str(), &held_by), ("x", one.id()));
    let (one_id, two_id) = (one.id(), two.id());
    assert_eq!(why, format!(r#""x", held by run {one_id} at "x", which waits for "y", held by run {two_id} at "y""#));
    // Trying again changes nothing while the circle stands; taking back what the other waits for does.
    two.decide("y/x", Choice::Retry);
    assert!(matches!(two.live(), End::Held));
    two.undo("");
    assert!(matches!(two.live(), End::Undone));
    assert!(matches!(first.join_within(PATIENCE), End::Succeeded(_)));
    one.check();
    two.check();
    nobody_holds(&one);
}

#[test]
fn a_lock_inside_a_window_or_inside_itself_is_the_authors_mistake() {
    let in_window =
        Sim::new(Book::new(|run| run.window("pause", (90, 10), |window| window.lock("db", |_| Ok(Value::None)))));
    let in_itself = Sim::new(Book::new(|run| run.lock("db", |outer| outer.lock("db", |_| Ok(Value::None)))));
    for (sim, says) in [(in_window, "inside the window"), (in_itself, "inside itself")] {
        assert!(matches!(sim.live(), End::Held));
        let holds = sim.state().run_holds.clone();
        assert!(matches!(&holds[..], [HoldReason::Program { message }] if message.contains(says)), "{holds:?}");
        sim.check();
    }
}

#[test]
fn a_finished_run_replays_without_asking_for_its_locks() {
    let one = Sim::new(Book::new(|run| {
        run.lock("db", |inside| {
            inside.step("work", sh("add work")).go()?;
            Ok(Value::None)
        })?;
        run.approve("sure?")?;
        Ok(Value::None)
    }));
    assert!(matches!(one.live(), End::Waiting));
    // Another has it now.
    let two = one.another(8, locked("fail"));
    assert!(matches!(two.live(), End::Held));
    assert!(one.approve("sure?"));
    assert!(matches!(one.live(), End::Succeeded(_)));
    one.check();
    assert_eq!(one.store.held_by(two.id()), ["db"]);
}
