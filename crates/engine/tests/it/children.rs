//! Child runs: made once whatever dies, followed to their end, ended and taken back with their step.

use crate::sim::{Book, Sim, at_every_moment_and, query, sh, value};
use piton_core::Value;
use piton_core::event::{Event, Handle};
use piton_core::hold::{Choice, HoldReason};
use piton_core::ports::InboxMessage;
use piton_core::state::Status;
use piton_engine::End;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(20);

fn until(what: &str, is: impl Fn() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is() {
        assert!(Instant::now() < end, "waited too long until {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Something before, a child run, something after.
fn parent() -> Book {
    Book::new(|run| {
        run.step("before", sh("add before")).undo(sh("clear before")).ensures("before").go()?;
        let child = run.run("sub", "child.star")?;
        run.step("after", sh("add after")).undo(sh("clear after")).ensures("after").go()?;
        Ok(child.value.clone().unwrap_or_default())
    })
}

fn child() -> Book {
    Book::new(|run| {
        run.step("one", sh("add one")).undo(sh("sub one")).go()?;
        run.step("two", sh("add two")).undo(sh("sub two")).go()?;
        Ok(Value::from(7i64))
    })
}

/// Holds until the world has `fine`.
fn strict_child() -> Book {
    Book::new(|run| {
        run.step("one", sh("add one")).undo(sh("sub one")).go()?;
        run.step("check", query("get fine")).expect("make it fine").go()?;
        Ok(Value::from(7i64))
    })
}

fn sim(child: Book) -> Sim {
    let sim = Sim::new(parent());
    sim.family.book("child.star", child);
    sim
}

#[test]
fn a_child_runs_value_is_the_steps_and_its_end_is_bound_to_the_parents_journal() {
    let sim = sim(child());
    assert_eq!(value(&sim.live()), Value::from(7i64));
    let child = sim.family.only();
    assert_eq!(child.world.ledger(), ["one: add one", "two: add two"]);
    let state = child.state();
    let outcome = sim.state().steps[&crate::sim::path("sub")].outcome.clone().unwrap().open().unwrap();
    let end = outcome.run.unwrap();
    assert_eq!((end.run, end.records, end.head), (child.id().clone(), state.seq, state.head));
    let started = state.started.unwrap();
    let linked = started.parent.as_ref().unwrap();
    assert_eq!((&linked.run, linked.path.as_str(), &started.by), (sim.id(), "sub", &crate::sim::actor("ada", 1)));
    sim.check();
    child.check();
}

#[test]
fn a_parent_that_dies_at_any_moment_makes_one_child_and_no_other() {
    at_every_moment_and(
        || sim(child()),
        |sim, vars| {
            let child = sim.family.only();
            assert_eq!(child.world.ledger(), ["one: add one", "two: add two"]);
            // No engine of the parent's names another run.
            let named = |event: &Event| {
                matches!(event, Event::AttemptStarted(started)
                if matches!(&started.handle, Handle::Run { run } if run != child.id()))
            };
            assert_eq!(sim.store.count(named), 0, "{}", sim.story());
            child.check();
            vars.extend(child.world.facts().vars.clone());
        },
    );
}

#[test]
fn a_parent_that_dies_at_any_moment_of_taking_back_takes_its_child_back_once() {
    at_every_moment_and(
        || {
            let sim = sim(child());
            assert!(matches!(sim.live(), End::Succeeded(_)));
            sim.undo("");
            sim
        },
        |sim, vars| {
            let child = sim.family.only();
            assert_eq!(child.state().status(), Status::Undone);
            assert_eq!(child.world.ledger(), ["one: add one", "two: add two", "two: sub two", "one: sub one"]);
            child.check();
            vars.extend(child.world.facts().vars.clone());
        },
    );
}

#[test]
fn a_parent_leaves_while_its_child_holds_and_takes_up_what_became_of_it() {
    let sim = sim(strict_child());
    assert!(matches!(sim.live(), End::Waiting));
    assert_eq!(sim.state().status(), Status::Waiting);
    let waits = sim.state().children[&crate::sim::path("sub")].waits.clone().unwrap();
    assert!(waits.held && waits.why.contains("\"check\""), "{}", waits.why);
    let child = sim.family.only();
    until("its engine has left", || !child.store.is_held());
    child.world.set_var("fine", 1);
    // It ends while nobody drives the parent.
    child.decide("check", Choice::Retry);
    assert!(matches!(child.live(), End::Succeeded(_)));
    assert!(matches!(sim.live(), End::Succeeded(_)));
    assert_eq!(sim.family.engines(), 1, "nothing was left for another engine to do");
    sim.check();
}

#[test]
fn a_parent_that_stays_goes_on_when_somebody_else_has_finished_its_child() {
    // So slow a clock that nobody looks again before the test has given up.
    let sim = Sim::at_speed(1.0, parent()).staying();
    sim.family.book("child.star", strict_child());
    let beside = sim.beside();
    until("it waits", || sim.state().status() == Status::Waiting);
    let child = sim.family.only();
    until("its engine has left", || !child.store.is_held());
    child.world.set_var("fine", 1);
    child.decide("check", Choice::Retry);
    assert!(matches!(child.live(), End::Succeeded(_)));
    assert!(matches!(beside.join_within(PATIENCE), End::Succeeded(_)));
    sim.check();
}

#[test]
fn a_child_that_somebody_aborts_or_takes_back_fails_its_step_and_trying_again_makes_another() {
    for (message, status) in [
        (InboxMessage::Abort, "was aborted by bob: because"),
        (InboxMessage::Undo { scope: piton_core::Path::root() }, "was taken back"),
    ] {
        let sim = sim(strict_child());
        assert!(matches!(sim.live(), End::Waiting));
        let first = sim.family.only();
        until("its engine has left", || !first.store.is_held());
        first.tell(message);
        assert!(matches!(first.live(), End::Aborted | End::Undone));
        assert!(matches!(sim.live(), End::Held));
        let Some(HoldReason::Failed { failure }) = sim.held("sub") else { panic!("{}", sim.story()) };
        assert_eq!(failure.message, format!("its child run {} {status}", first.id()));
        sim.decide("sub", Choice::Retry);
        assert!(matches!(sim.live(), End::Waiting));
        let all = sim.family.all();
        assert_eq!(all.len(), 2);
        let second = all.into_iter().find(|child| child.id() != first.id()).unwrap();
        until("its engine has left", || !second.store.is_held());
        second.world.set_var("fine", 1);
        second.decide("check", Choice::Retry);
        second.live();
        assert!(matches!(sim.live(), End::Succeeded(_)));
        // Both are taken back with the step.
        sim.undo("");
        assert!(matches!(sim.live(), End::Undone));
        assert!([&first, &second].iter().all(|child| child.state().status() == Status::Undone));
        assert_eq!((first.world.var("one"), second.world.var("one")), (0, 0));
        sim.check();
    }
}

#[test]
fn ending_a_parent_ends_its_child_even_one_that_holds() {
    let sim = sim(strict_child());
    assert!(matches!(sim.live(), End::Waiting));
    sim.tell(InboxMessage::Abort);
    assert!(matches!(sim.live(), End::Aborted));
    assert_eq!(sim.family.only().state().status(), Status::Aborted);
    sim.check();
    sim.family.only().check();
}

#[test]
fn a_child_taken_back_behind_its_parents_back_is_taken_back_already() {
    let sim = sim(child());
    assert!(matches!(sim.live(), End::Succeeded(_)));
    let child = sim.family.only();
    until("its engine has left", || !child.store.is_held());
    child.undo("");
    assert!(matches!(child.live(), End::Undone));
    // What the journal has as done stays so: replay performs nothing.
    assert!(matches!(sim.live(), End::Succeeded(_)));
    let engines = sim.family.engines();
    sim.undo("");
    assert!(matches!(sim.live(), End::Undone));
    assert_eq!(sim.family.engines(), engines, "nothing was left to do");
    assert_eq!(child.world.ledger(), ["one: add one", "two: add two", "two: sub two", "one: sub one"]);
    sim.check();
}

#[test]
fn a_child_whose_undo_fails_holds_its_step_and_is_tried_again_with_it() {
    let broken = Book::new(|run| {
        run.step("one", sh("add one")).undo(query("fail 3")).go()?;
        Ok(Value::None)
    });
    let sim = sim(broken);
    assert!(matches!(sim.live(), End::Succeeded(_)));
    sim.undo("");
    // Its own three tries are used up: the step holds, and does not begin others before a person says so.
    assert!(matches!(sim.live(), End::Held), "{}", sim.story());
    let failed = |sim: &Sim| sim.store.count(|event| matches!(event, Event::UndoFailed(_)));
    assert_eq!((failed(&sim), failed(&sim.family.only())), (1, 3), "{}", sim.story());
    sim.decide("sub", Choice::Retry);
    assert!(matches!(sim.live(), End::Undone), "{}", sim.story());
    assert_eq!((failed(&sim), failed(&sim.family.only())), (1, 3), "{}", sim.story());
    assert_eq!(sim.family.only().state().status(), Status::Undone);
    sim.check();
    sim.family.only().check();
}

#[test]
fn a_run_eight_levels_deep_starts_no_other() {
    let sim = Sim::new(Book::new(|run| run.run("sub", "down.star").map(|_| Value::None)));
    sim.family.book("down.star", Book::new(|run| run.run("sub", "down.star").map(|_| Value::None)));
    assert!(matches!(sim.live(), End::Waiting));
    let all = sim.family.all();
    assert_eq!(all.len(), 8);
    let held = all.iter().find(|child| child.state().is_held()).expect("the last one holds");
    let holds = held.state().run_holds;
    assert!(matches!(&holds[..], [HoldReason::Program { message }] if message.contains("8 levels")), "{holds:?}");
}

#[test]
fn a_window_waits_for_no_child() {
    let sim = Sim::new(Book::new(|run| {
        run.window("pause", (60, 10), |inside| inside.run("sub", "child.star").map(|_| Value::None))
    }));
    sim.family.book("child.star", child());
    assert!(matches!(sim.live(), End::Held));
    assert!(sim.family.all().is_empty());
}
