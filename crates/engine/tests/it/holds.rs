//! Holds: a person decides, and what goes on meanwhile.

use crate::sim::{Book, Sim, http, noop, sh, value};
use piton_core::Value;
use piton_core::event::Event;
use piton_core::hold::{Choice, HoldReason};
use piton_core::ports::InboxMessage;
use piton_engine::End;

#[test]
fn while_a_sibling_is_held_the_others_finish_their_step_and_start_no_other() {
    let sim = Sim::new(
        Book::new(|run| run.parallel("both", &["bad", "good"]))
            .function("bad", |branch, _| {
                branch.step("fail", sh("await working; fail 1")).go()?;
                Ok(Value::None)
            })
            .function("good", |branch, _| {
                branch.step("slow", sh("signal working; await held; set slow")).go()?;
                branch.step("next", sh("set next")).go()?;
                Ok(Value::None)
            }),
    );
    let beside = sim.beside();
    while !beside.control.with_state(piton_core::RunState::is_held) {
        std::thread::yield_now();
    }
    sim.world.signal("held");
    assert!(matches!(beside.join(), End::Held));
    assert_eq!((sim.world.var("slow"), sim.world.var("next")), (1, 0));
    assert!(sim.done("both/good/slow"));
    sim.tell(InboxMessage::RetryAll);
    assert!(matches!(sim.live(), End::Succeeded(_)));
    sim.check();
    assert_eq!(sim.world.var("next"), 1);
}

/// A step that nobody can tell of: half done, its engine dead.
fn unknown() -> Sim {
    let sim = Sim::new(Book::new(|run| {
        let outcome = run.step("blind", http("add a; die; add b")).go()?;
        Ok(outcome.ok.into())
    }));
    assert!(matches!(sim.live(), End::Broken(_)));
    assert!(matches!(sim.live(), End::Held));
    assert!(matches!(sim.held("blind"), Some(HoldReason::Unknown { .. })));
    sim
}

#[test]
fn a_person_says_that_it_is_done() {
    let sim = unknown();
    sim.decide("blind", Choice::Done);
    assert_eq!(value(&sim.live()), true.into());
    sim.check();
    assert_eq!(sim.world.var("a"), 1);
}

#[test]
fn a_person_says_that_it_is_not_done() {
    let sim = unknown();
    sim.world.on("die", || {});
    sim.decide("blind", Choice::NotDone);
    // The second attempt kills its engine as the first did.
    assert!(matches!(sim.live(), End::Broken(_)));
    assert!(matches!(sim.live(), End::Held));
    sim.check();
    assert_eq!(sim.world.var("a"), 2);
}

#[test]
fn what_nobody_can_tell_of_is_not_retried_with_everything_else() {
    let sim = unknown();
    sim.tell(InboxMessage::RetryAll);
    assert!(matches!(sim.live(), End::Held));
    sim.check();
    assert_eq!(sim.world.var("a"), 1);
}

#[test]
fn a_choice_that_is_not_offered_is_refused() {
    let sim = unknown();
    sim.decide("blind", Choice::Waive);
    sim.decide("nowhere", Choice::Retry);
    assert!(matches!(sim.live(), End::Held));
    sim.check();
    assert_eq!(sim.notebook.warnings.lock().unwrap().len(), 2);
    assert_eq!(sim.store.count(|event| matches!(event, Event::Decided(_))), 0);
}

#[test]
fn after_a_persons_retry_the_retries_are_all_there_again() {
    let sim = Sim::new(Book::new(|run| {
        run.step("flaky", sh("fail 5; set a")).retry(2).go()?;
        Ok(Value::None)
    }));
    assert!(matches!(sim.live(), End::Held));
    assert_eq!(sim.state().steps[&crate::sim::path("flaky")].attempts, 3);
    sim.decide("flaky", Choice::Retry);
    assert!(matches!(sim.live(), End::Succeeded(_)));
    sim.check();
    assert_eq!(sim.state().steps[&crate::sim::path("flaky")].attempts, 6);
}

#[test]
fn a_waived_step_is_gone_past_and_still_taken_back() {
    let sim = Sim::new(Book::new(|run| {
        let outcome = run.step("bad", sh("set a; fail")).undo(sh("clear a")).go()?;
        run.approve("sure?")?;
        Ok(outcome.ok.into())
    }));
    assert!(matches!(sim.live(), End::Held));
    sim.decide("bad", Choice::Waive);
    assert!(matches!(sim.live(), End::Waiting));
    sim.undo("");
    assert!(matches!(sim.live(), End::Undone));
    sim.check();
    assert_eq!(sim.world.var("a"), 0);
}

#[test]
fn a_done_step_whose_action_was_edited_holds_and_is_kept() {
    let book = |script: &'static str| {
        Book::new(move |run| {
            let outcome = run.step("do", sh(script)).go()?;
            run.approve("sure?")?;
            Ok(outcome.out.as_deref().unwrap_or_default().into())
        })
    };
    let mut sim = Sim::new(book("add a; say old"));
    assert!(matches!(sim.live(), End::Waiting));
    sim.edit(book("add a; say new"));
    assert!(matches!(sim.live(), End::Held));
    assert!(matches!(sim.held("do"), Some(HoldReason::Changed { .. })));
    sim.decide("do", Choice::Keep);
    assert!(matches!(sim.live(), End::Waiting));
    assert!(sim.approve("sure?"));
    assert_eq!(value(&sim.live()), "old".into());
    sim.check();
    assert_eq!(sim.world.var("a"), 1);
}

#[test]
fn a_secret_with_another_value_holds_until_a_person_says_that_it_is_the_same_place() {
    let secret = piton_core::SecretRef::parse(None, "env:TOKEN").expect("a reference");
    let sim = Sim::new(Book::new(move |run| {
        run.step("one", crate::sim::sh_with("add a", &secret)).go()?;
        run.approve("sure?")?;
        run.step("two", crate::sim::sh_with("add b", &secret)).go()?;
        Ok(Value::None)
    }));
    sim.vault.put("env:TOKEN", "first-value");
    assert!(matches!(sim.live(), End::Waiting));
    sim.vault.put("env:TOKEN", "second-value");
    assert!(sim.approve("sure?"));
    assert!(matches!(sim.live(), End::Held));
    assert!(matches!(sim.held("two"), Some(HoldReason::Rotated { .. })));
    sim.decide("two", Choice::Retry);
    assert!(matches!(sim.live(), End::Succeeded(_)));
    sim.check();
}

#[test]
fn a_failure_that_nothing_catches_and_no_step_has_holds_the_run() {
    let sim = Sim::new(Book::new(|run| {
        run.step("read", noop(1)).go()?;
        Err(run.fail("the author gives up"))
    }));
    assert!(matches!(sim.live(), End::Held));
    assert!(matches!(sim.live(), End::Held));
    sim.check();
    assert_eq!(sim.state().run_holds.len(), 1);
}

#[test]
fn a_pause_lets_running_steps_finish_and_whoever_resumes_goes_on() {
    let sim = Sim::new(Book::new(|run| {
        run.step("slow", sh("signal working; await go; set slow")).go()?;
        run.step("next", sh("set next")).go()?;
        Ok(Value::None)
    }));
    let beside = sim.beside();
    sim.world.wait_for("working");
    beside.control.pause(&crate::sim::actor("ada", 1)).expect("the journal is whole");
    sim.world.signal("go");
    assert!(matches!(beside.join(), End::Held));
    assert_eq!((sim.world.var("slow"), sim.world.var("next")), (1, 0));
    assert!(matches!(sim.live(), End::Succeeded(_)));
    sim.check();
}

#[test]
fn a_run_that_is_paused_in_its_last_step_holds_and_then_ends() {
    let sim = Sim::new(Book::new(|run| {
        run.step("last", sh("signal working; await go; set last")).go()?;
        Ok(5i64.into())
    }));
    let beside = sim.beside();
    sim.world.wait_for("working");
    beside.control.pause(&crate::sim::actor("ada", 1)).expect("the journal is whole");
    sim.world.signal("go");
    assert!(matches!(beside.join(), End::Held));
    assert_eq!(value(&sim.live()), 5i64.into());
    sim.check();
}

#[test]
fn a_pause_while_it_waits_for_an_answer_holds() {
    let sim = Sim::new(Book::new(|run| {
        run.approve("sure?")?;
        Ok(Value::None)
    }))
    .staying();
    let beside = sim.beside();
    while !sim.store.any(|event| matches!(event, Event::PersonAsked(_))) {
        std::thread::yield_now();
    }
    beside.control.pause(&crate::sim::actor("ada", 1)).expect("the journal is whole");
    assert!(matches!(beside.join(), End::Held));
    sim.check();
}

#[test]
fn an_abort_ends_the_running_step_and_the_run() {
    let sim = Sim::new(Book::new(|run| {
        run.attempt("try", |inside| {
            inside.step("slow", sh("set slow; signal working; await never")).go()?;
            Ok(Value::None)
        })?;
        run.step("next", sh("set next")).go()?;
        Ok(Value::None)
    }));
    let beside = sim.beside();
    sim.world.wait_for("working");
    sim.tell(InboxMessage::Abort);
    let end = beside.join();
    sim.check();
    assert!(matches!(end, End::Aborted), "{end:?}");
    assert_eq!((sim.world.var("slow"), sim.world.var("next")), (1, 0));
    assert!(sim.state().scopes[&crate::sim::path("try")].settled.is_none(), "an abort is nothing to catch");
}
