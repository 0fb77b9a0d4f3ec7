//! People: who may answer, what counts, and what goes on while a branch waits for them.

use crate::sim::{Book, Ctx, Result, Sim, actor, is_ok, sh, value};
use piton_core::event::{Answer, Event, How};
use piton_core::hold::Choice;
use piton_core::ports::InboxMessage;
use piton_core::state::Phase;
use piton_core::{Digest, Value};
use piton_engine::End;
use std::time::Duration;

fn asks(ask: impl Fn(&Ctx<'_>) -> Result<std::sync::Arc<piton_core::Outcome>> + Send + Sync + 'static) -> Sim {
    Sim::new(Book::new(move |run| {
        let outcome = ask(run)?;
        Ok(outcome.value.clone().unwrap_or_default())
    }))
}

fn refusals(sim: &Sim) -> Vec<String> {
    sim.notebook.warnings.lock().unwrap().clone()
}

#[test]
fn whoever_started_the_run_may_not_approve_where_that_is_asked_for_whatever_name_they_give() {
    let sim = asks(|run| run.approve_by("sure?", 1, true, None));
    assert!(matches!(sim.live(), End::Waiting));
    assert!(sim.answer_as(&actor("somebody else", 1), "sure?", Answer::Approve));
    assert!(matches!(sim.live(), End::Waiting));
    assert!(refusals(&sim)[0].contains("whoever started the run"), "{:?}", refusals(&sim));
    assert!(sim.answer_as(&actor("ada", 2), "sure?", Answer::Approve));
    assert_eq!(value(&sim.live()).to_string(), r#"["ada"]"#);
    sim.check();
}

#[test]
fn two_approvals_are_of_two_accounts() {
    let sim = asks(|run| run.approve_by("sure?", 2, false, None));
    assert!(matches!(sim.live(), End::Waiting));
    for name in ["bob", "bob again"] {
        assert!(sim.answer_as(&actor(name, 2), "sure?", Answer::Approve));
        assert!(matches!(sim.live(), End::Waiting));
    }
    assert!(refusals(&sim)[0].contains("approved already"), "{:?}", refusals(&sim));
    assert!(sim.answer_as(&actor("eve", 3), "sure?", Answer::Approve));
    assert_eq!(value(&sim.live()).to_string(), r#"["bob", "eve"]"#);
    sim.check();
}

#[test]
fn an_answer_to_something_else_than_what_is_asked_is_refused() {
    let sim = asks(|run| run.approve("sure?"));
    assert!(matches!(sim.live(), End::Waiting));
    let at = crate::sim::path("sure?");
    let answer = |answer| InboxMessage::Answer { path: at.clone(), answer };
    sim.post(&actor("bob", 2), Digest::of_bytes(b"another page"), answer(Answer::Approve));
    assert!(matches!(sim.live(), End::Waiting));
    assert!(refusals(&sim)[0].contains("has changed since"), "{:?}", refusals(&sim));
    assert!(sim.answer_as(&actor("bob", 2), "sure?", Answer::Done));
    assert!(matches!(sim.live(), End::Waiting));
    assert!(refusals(&sim)[1].contains("no answer to this question"), "{:?}", refusals(&sim));
    sim.check();
}

#[test]
fn a_question_that_was_edited_is_asked_again() {
    let ask = |count| {
        Book::new(move |run| {
            run.approve_by("sure?", count, false, None)?;
            Ok(Value::None)
        })
    };
    let mut sim = Sim::new(ask(2));
    assert!(matches!(sim.live(), End::Waiting));
    assert!(sim.approve("sure?"));
    assert!(matches!(sim.live(), End::Waiting));
    sim.edit(ask(1));
    assert!(matches!(sim.live(), End::Waiting), "what was approved is another question");
    assert!(sim.approve("sure?"));
    assert!(matches!(sim.live(), End::Succeeded(_)));
    sim.check();
}

#[test]
fn a_rejection_is_a_failure_that_holds_and_may_be_asked_again() {
    let sim = asks(|run| run.approve("sure?"));
    assert!(matches!(sim.live(), End::Waiting));
    assert!(sim.answer_as(&actor("bob", 2), "sure?", Answer::Reject));
    assert!(matches!(sim.live(), End::Held));
    assert!(sim.held("sure?").is_some_and(|reason| reason.to_string().contains("rejected by bob: because")));
    sim.decide("sure?", Choice::Retry);
    assert!(matches!(sim.live(), End::Waiting));
    assert!(sim.approve("sure?"));
    assert!(matches!(sim.live(), End::Succeeded(_)));
    sim.check();
}

#[test]
fn an_approval_that_nobody_gives_in_time_is_a_failure() {
    let sim = Sim::new(Book::new(|run| {
        run.attempt("try", |inside| {
            inside.approve_by("sure?", 1, false, Some(63))?;
            Ok(Value::None)
        })
    }));
    assert!(matches!(sim.live(), End::Waiting));
    sim.clock.jump(Duration::from_secs(24));
    assert!(matches!(sim.live(), End::Waiting));
    sim.clock.jump(Duration::from_secs(40));
    assert!(sim.approve("try/sure?"), "it may be sent, too late");
    let end = sim.live();
    sim.check();
    assert!(!is_ok(&value(&end)), "{end:?}");
}

#[test]
fn what_was_asked_beside_a_failure_that_was_caught_is_asked_no_more() {
    let sim = Sim::new(
        Book::new(|run| {
            run.attempt("try", |inside| inside.parallel("both", &["asks", "waits", "fails"]))?;
            run.approve("sure?")?;
            Ok(Value::None)
        })
        .function("asks", |branch, _| {
            branch.approve("sure?")?;
            Ok(Value::None)
        })
        .function("waits", |branch, _| {
            branch.wait("an hour", 3_600_000)?;
            Ok(Value::None)
        })
        .function("fails", |branch, _| {
            branch.poll("never", "get nothing", (10, 100))?;
            Ok(Value::None)
        }),
    );
    assert!(matches!(sim.live(), End::Waiting), "no timer is pending");
    assert!(!sim.approve("try/both/asks/sure?"));
    assert!(sim.approve("sure?"));
    assert!(matches!(sim.live(), End::Succeeded(_)));
    sim.check();
}

#[test]
fn what_a_person_fills_in_is_the_value() {
    let sim = asks(|run| run.ask("how many?"));
    assert!(matches!(sim.live(), End::Waiting));
    let fields = Answer::Fields { fields: vec![("number".to_owned(), 5i64.into())] };
    assert!(sim.answer_as(&actor("bob", 2), "how many?", fields));
    assert_eq!(value(&sim.live()).to_string(), "struct(number = 5)");
    sim.check();
}

#[test]
fn a_manual_step_is_verified_and_one_that_is_done_already_is_not_asked() {
    let sim = asks(|run| run.manual("turn the key", "key"));
    assert!(matches!(sim.live(), End::Waiting));
    assert!(sim.answer_as(&actor("bob", 2), "turn the key", Answer::Done));
    assert!(matches!(sim.live(), End::Held), "nobody has turned it");
    sim.decide("turn the key", Choice::Retry);
    assert!(matches!(sim.live(), End::Waiting));
    sim.world.set_var("key", 1);
    assert!(sim.answer_as(&actor("bob", 2), "turn the key", Answer::Done));
    assert!(matches!(sim.live(), End::Succeeded(_)));
    sim.check();

    let sim = asks(|run| run.manual("turn the key", "key"));
    sim.world.set_var("key", 1);
    assert!(matches!(sim.live(), End::Succeeded(_)));
    let phase = &sim.state().steps[&crate::sim::path("turn the key")].phase;
    assert!(matches!(phase, Phase::Succeeded { how: How::AlreadyTrue, .. }));
    sim.check();
}

#[test]
fn a_manual_step_that_is_waived_is_gone_past_whatever_its_check_says() {
    let sim = asks(|run| run.manual("turn the key", "key"));
    assert!(matches!(sim.live(), End::Waiting));
    assert!(sim.answer_as(&actor("bob", 2), "turn the key", Answer::Done));
    assert!(matches!(sim.live(), End::Held));
    sim.decide("turn the key", Choice::Waive);
    assert!(matches!(sim.live(), End::Succeeded(_)));
    sim.check();
}

/// Branches that ask before they act, and two that do not.
fn some_wait(concurrency: u32) -> Book {
    Book::new(move |run| {
        let values = run.each("all", 4, concurrency, "item")?;
        run.step("after", sh("add after")).go()?;
        Ok(values)
    })
    .function("item", |item, key| {
        item.step("before", sh("add before")).go()?;
        if key == Value::str("item-0") || key == Value::str("item-2") {
            item.approve("sure?")?;
        }
        item.step("do", sh("add done; signal done")).go()?;
        Ok(key)
    })
}

#[test]
fn one_by_one_a_branch_that_waits_for_a_person_keeps_its_turn() {
    let sim = Sim::new(some_wait(1));
    for (at, before, done) in [("all/item-0/sure?", 1, 0), ("all/item-2/sure?", 3, 2)] {
        assert!(matches!(sim.live(), End::Waiting));
        assert_eq!((sim.world.var("before"), sim.world.var("done"), sim.world.var("after")), (before, done, 0));
        assert!(sim.approve(at));
    }
    assert_eq!(value(&sim.live()).to_string(), r#"["item-0", "item-1", "item-2", "item-3"]"#);
    sim.check();
    assert_eq!((sim.world.var("before"), sim.world.var("done"), sim.world.var("after")), (4, 4, 1));
}

#[test]
fn side_by_side_a_branch_that_waits_for_a_person_frees_its_slot() {
    let sim = Sim::new(some_wait(2));
    assert!(matches!(sim.live(), End::Waiting));
    // Two slots, and yet all four got as far as they could.
    assert_eq!((sim.world.var("before"), sim.world.var("done"), sim.world.var("after")), (4, 2, 0));
    assert!(sim.approve("all/item-2/sure?"));
    assert!(matches!(sim.live(), End::Waiting));
    assert_eq!(sim.world.var("done"), 3);
    assert!(sim.approve("all/item-0/sure?"));
    assert_eq!(value(&sim.live()).to_string(), r#"["item-0", "item-1", "item-2", "item-3"]"#);
    sim.check();
    assert_eq!((sim.world.var("before"), sim.world.var("done"), sim.world.var("after")), (4, 4, 1));
}

#[test]
fn an_engine_that_stays_is_woken_by_an_answer() {
    let sim = Sim::new(some_wait(2)).staying();
    let beside = sim.beside();
    for at in ["all/item-0/sure?", "all/item-2/sure?"] {
        while !sim.approve(at) {
            std::thread::yield_now();
        }
    }
    assert!(matches!(beside.join(), End::Succeeded(_)));
    sim.check();
    assert_eq!((sim.world.var("before"), sim.world.var("done")), (4, 4));
}

#[test]
fn a_branch_is_woken_by_its_answer_while_a_sibling_works() {
    let sim = Sim::new(
        Book::new(|run| run.parallel("both", &["asks", "works"]))
            .function("asks", |branch, _| {
                branch.approve("sure?")?;
                branch.step("do", sh("set done; signal done")).go()?;
                Ok(Value::None)
            })
            .function("works", |branch, _| {
                branch.step("long", sh("await done")).go()?;
                Ok(Value::None)
            }),
    );
    let beside = sim.beside();
    while !sim.approve("both/asks/sure?") {
        std::thread::yield_now();
    }
    assert!(matches!(beside.join(), End::Succeeded(_)));
    sim.check();
}

#[test]
fn a_branch_is_woken_by_its_timer_while_a_sibling_works() {
    let sim = Sim::new(
        Book::new(|run| run.parallel("both", &["waits", "works"]))
            .function("waits", |branch, _| {
                // Long enough to park.
                branch.wait("an hour", 3_600_000)?;
                branch.step("do", sh("set done; signal done")).go()?;
                Ok(Value::None)
            })
            .function("works", |branch, _| {
                branch.step("long", sh("signal working; await done")).go()?;
                Ok(Value::None)
            }),
    );
    let beside = sim.beside();
    sim.world.wait_for("working");
    while !sim.store.any(|event| matches!(event, Event::TimerSet(_))) {
        std::thread::yield_now();
    }
    sim.clock.jump(Duration::from_secs(3600));
    assert!(matches!(beside.join(), End::Succeeded(_)));
    sim.check();
}

#[test]
fn a_long_wait_parks_and_a_later_engine_finds_it_due() {
    let sim = Sim::new(Book::new(|run| {
        run.wait("an hour", 3_600_000)?;
        run.step("do", sh("add a")).go()?;
        Ok(Value::None)
    }));
    // Start, engine, timer: then it dies.
    sim.world.kill_after(3);
    assert!(matches!(sim.live(), End::Broken(_)));
    sim.clock.jump(Duration::from_secs(3600));
    assert!(matches!(sim.live(), End::Succeeded(_)));
    sim.check();
    assert_eq!(sim.store.count(|event| matches!(event, Event::TimerSet(_))), 1);
}
