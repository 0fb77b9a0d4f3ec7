//! One step: what it requires, what it ensures, its retries, its timeout, and a reply that never comes.

use crate::sim::{Book, Sim, http, noop, query, sh, sql, value};
use piton_core::Value;
use piton_core::event::How;
use piton_core::hold::HoldReason;
use piton_core::outcome::FailureKind;
use piton_core::state::Phase;
use piton_engine::End;

fn how(sim: &Sim, at: &str) -> How {
    match &sim.state().steps[&crate::sim::path(at)].phase {
        Phase::Succeeded { how, .. } => *how,
        other => panic!("{other:?}"),
    }
}

fn why(sim: &Sim, at: &str) -> FailureKind {
    match sim.held(at) {
        Some(HoldReason::Failed { failure }) => failure.kind,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_a_step_requires_is_looked_at_before_anything_is_done() {
    let sim = Sim::new(Book::new(|run| {
        run.step("do", sh("set a")).requires("ready").retry(5).go()?;
        Ok(Value::None)
    }));
    assert!(matches!(sim.live(), End::Held));
    assert_eq!(why(&sim, "do"), FailureKind::Requires);
    assert!(sim.world.ledger().is_empty());
    sim.check();
}

#[test]
fn a_step_whose_postcondition_holds_is_already_done() {
    let sim = Sim::new(Book::new(|run| {
        run.step("do", sh("add a")).ensures("a").go()?;
        Ok(Value::None)
    }));
    sim.world.set_var("a", 1);
    assert!(matches!(sim.live(), End::Succeeded(_)));
    assert_eq!(how(&sim, "do"), How::AlreadyTrue);
    assert!(sim.world.ledger().is_empty());
    sim.check();
}

#[test]
fn a_step_is_done_when_its_postcondition_holds_and_not_before() {
    let sim = Sim::new(Book::new(|run| {
        run.step("in vain", sh("set a")).ensures("b").go()?;
        Ok(Value::None)
    }));
    assert!(matches!(sim.live(), End::Held));
    assert_eq!(why(&sim, "in vain"), FailureKind::Ensures);
    sim.check();

    let sim = Sim::new(Book::new(|run| {
        run.step("settles", sh("set a")).ensures("fail 2; get a").settle(10_000).go()?;
        Ok(Value::None)
    }));
    assert!(matches!(sim.live(), End::Succeeded(_)));
    sim.check();
}

#[test]
fn retries_are_as_many_as_the_policy_says() {
    let sim = Sim::new(Book::new(|run| {
        run.step("hopeless", sh("add tries; fail")).retry(3).go()?;
        Ok(Value::None)
    }));
    assert!(matches!(sim.live(), End::Held));
    assert_eq!(sim.world.var("tries"), 4);
    sim.check();
}

#[test]
fn an_interruption_uses_up_no_retry() {
    let sim = Sim::new(Book::new(|run| {
        run.step("do", http("add tries; hook die once; fail")).repeatable().retry(1).go()?;
        Ok(Value::None)
    }));
    let world = sim.world.clone();
    sim.world.on("die once", move || {
        world.on("die once", || {});
        world.kill(1);
    });
    assert!(matches!(sim.live(), End::Broken(_)));
    assert!(matches!(sim.live(), End::Held));
    assert_eq!(sim.world.var("tries"), 3);
    sim.check();
}

#[test]
fn a_step_that_takes_too_long_is_ended() {
    let sim = Sim::new(Book::new(|run| {
        run.step("slow", sh("sleep 600000; set a")).timeout(500).go()?;
        Ok(Value::None)
    }));
    assert!(matches!(sim.live(), End::Held));
    assert_eq!(why(&sim, "slow"), FailureKind::Timeout);
    assert_eq!(sim.world.var("a"), 0);
    sim.check();
}

#[test]
fn a_write_whose_reply_was_lost_is_found_out_as_after_a_crash() {
    for (action, ensures, expected) in [
        (http("add a; lost"), Some("a"), Ok(How::Recovered)),
        (sh("add a; lost"), None, Ok(How::Adopted)),
        (http("add a; lost"), None, Err(())),
    ] {
        let sim = Sim::new(Book::new(move |run| {
            let step = run.step("do", action.clone());
            match ensures {
                Some(var) => step.ensures(var).go()?,
                None => step.go()?,
            };
            Ok(Value::None)
        }));
        let end = sim.live();
        match expected {
            Ok(expected) => assert_eq!(how(&sim, "do"), expected),
            Err(()) => {
                assert!(matches!(end, End::Held));
                assert!(matches!(sim.held("do"), Some(HoldReason::Unknown { .. })));
            }
        }
        sim.check();
        assert_eq!(sim.world.var("a"), 1);
    }
}

#[test]
fn an_atomic_write_whose_outcome_nobody_can_look_up_is_not_performed_again() {
    let sim = Sim::new(Book::new(|run| {
        run.step("insert", sql("add a")).go()?;
        Ok(Value::None)
    }));
    // Start, engine, intent, its transaction begins, it is committed: then the engine dies.
    sim.world.kill_after(5);
    assert!(matches!(sim.live(), End::Broken(_)));
    assert!(matches!(sim.live(), End::Held));
    assert!(matches!(sim.held("insert"), Some(HoldReason::Unknown { .. })));
    assert!(sim.say_what_is_known());
    assert!(matches!(sim.live(), End::Succeeded(_)));
    sim.check();
    assert_eq!(sim.world.var("a"), 1);
}

#[test]
fn an_expectation_that_does_not_hold_fails_with_its_hint() {
    let sim = Sim::new(Book::new(|run| {
        run.step("expect", query("get a")).expect("set a first").go()?;
        Ok(Value::None)
    }));
    assert!(matches!(sim.live(), End::Held));
    assert_eq!(why(&sim, "expect"), FailureKind::Expect);
    assert!(sim.story().contains("set a first"));
    sim.check();
}

#[test]
fn a_command_that_outlives_its_engine_is_adopted_with_its_output() {
    let sim = Sim::new(Book::new(|run| {
        let said = run.step("talks", sh("add a; die; add b; say done")).go()?;
        Ok(said.out.as_deref().unwrap_or_default().into())
    }));
    assert!(matches!(sim.live(), End::Broken(_)));
    assert_eq!(sim.world.var("b"), 0);
    assert_eq!(value(&sim.live()), "done".into());
    assert_eq!(how(&sim, "talks"), How::Adopted);
    assert_eq!((sim.world.var("a"), sim.world.var("b")), (1, 1));
    sim.check();
}

#[test]
fn a_value_is_the_same_in_every_replay() {
    let sim = Sim::new(Book::new(|run| {
        let first = run.step("look", query("get a")).go()?;
        run.step("change", sql("set a")).go()?;
        run.step("constant", noop(3)).go()?;
        run.approve("sure?")?;
        Ok(first.scalar().unwrap_or_default())
    }));
    assert!(matches!(sim.live(), End::Waiting));
    assert!(sim.approve("sure?"));
    assert_eq!(value(&sim.live()), 0i64.into(), "what it saw then, not what it would see now");
    sim.check();
}
