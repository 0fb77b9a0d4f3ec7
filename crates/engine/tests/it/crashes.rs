//! Runs that are killed at every moment end as runs that nobody killed.

use crate::sim::{
    Book, Sim, at_every_moment, at_every_moment_and, http, is_ok, noop, query, sh, sql, sql_once, value, write_file,
};
use piton_core::Value;
use piton_core::event::{Answer, Event};
use piton_core::hold::Choice;
use piton_core::ports::InboxMessage;

fn list(items: &[i64]) -> Value {
    Value::List(items.iter().map(|item| Value::from(*item)).collect())
}

#[test]
fn a_sequence_of_steps() {
    at_every_moment(|| {
        Sim::new(Book::new(|run| {
            run.step("one", sh("add a; add b")).go()?;
            let seven = run.step("read", noop(7)).go()?;
            run.phase("inside", |inside| {
                inside.step("two", sql("set c")).go()?;
                Ok(Value::None)
            })?;
            run.emit("seven", 7)?;
            Ok(seven.scalar().unwrap_or_default())
        }))
        .person(Sim::say_what_is_known)
    });
}

fn branches(count: usize, concurrency: u32) -> impl Fn() -> Sim {
    move || {
        Sim::new(
            Book::new(move |run| {
                run.step("before", sh("add before")).go()?;
                let values = run.each("all", count, concurrency, "item")?;
                run.step("after", sh("add after")).go()?;
                Ok(values)
            })
            .function("item", |item, key| {
                item.step("first", sh(&format!("add {}", item.path().name()))).go()?;
                item.step("second", sql_once(&format!("add {}", item.path().name()))).go()?;
                Ok(key)
            }),
        )
        .person(Sim::say_what_is_known)
    }
}

#[test]
fn branches_one_after_the_other() {
    at_every_moment(branches(3, 1));
}

#[test]
fn branches_four_at_a_time() {
    at_every_moment(branches(5, 4));
}

#[test]
fn sixty_four_branches_side_by_side() {
    crate::sim::at_some_moments(97, branches(64, 64));
}

#[test]
fn a_failure_that_is_caught() {
    at_every_moment(|| {
        Sim::new(
            Book::new(|run| {
                let failed = run.attempt("maybe", |inside| {
                    inside.step("good", sh("add good")).go()?;
                    inside.step("bad", sh("add bad; fail")).go()?;
                    Ok(Value::None)
                })?;
                let fine = run.attempt("surely", |inside| {
                    inside.step("fine", sh("add fine")).go()?;
                    Ok(3i64.into())
                })?;
                assert!(!is_ok(&failed) && is_ok(&fine));
                let passed = run.each_continue("all", 3, 2, "item")?;
                run.step("after", sh("add after")).go()?;
                Ok(Value::List(vec![failed, fine, passed]))
            })
            .function("item", |item, key| {
                let script = if key == Value::str("item-1") { "add x; fail" } else { "add x" };
                item.step("do", sh(script)).go()?;
                Ok(key)
            }),
        )
    });
}

#[test]
fn retries() {
    at_every_moment(|| {
        Sim::new(Book::new(|run| {
            run.step("flaky", sh("fail 2; add a")).retry(3).go()?;
            run.step("flaky read", query("fail 1; get a")).retry(1).go()?;
            Ok(Value::None)
        }))
    });
}

/// Asks to take back everything, once.
fn undo_once(sim: &Sim) -> bool {
    let asked = sim.store.any(|event| matches!(event, Event::UndoBegan(_)));
    if !asked {
        sim.undo("");
    }
    !asked
}

#[test]
fn an_undo_that_a_person_asked_for() {
    at_every_moment(|| {
        Sim::new(Book::new(|run| {
            run.step("one", sh("set a")).undo(sh("clear a")).go()?;
            run.step("file", write_file("f", "new")).inverse().go()?;
            run.step("two", http("set b")).repeatable().undo(http("clear b")).go()?;
            run.approve("go on?")?;
            run.step("three", sh("set c")).go()?;
            Ok(Value::None)
        }))
        .person(undo_once)
    });
}

#[test]
fn an_undo_to_a_scope_and_then_on() {
    at_every_moment(|| {
        Sim::new(Book::new(|run| {
            run.step("before", sh("set a")).undo(sh("clear a")).go()?;
            run.phase("inner", |inner| {
                inner.step("one", sh("set b")).undo(sh("clear b")).go()?;
                inner.step("two", sh("set c")).undo(sh("clear c")).go()?;
                Ok(Value::None)
            })?;
            run.approve("go on?")?;
            Ok(Value::None)
        }))
        .person(|sim| {
            if sim.store.any(|event| matches!(event, Event::UndoBegan(_))) {
                return sim.approve("go on?");
            }
            sim.undo("inner");
            true
        })
    });
}

#[test]
fn steps_that_were_true_already_or_turn_out_to_be_done() {
    at_every_moment(|| {
        let sim = Sim::new(Book::new(|run| {
            run.step("already", sh("add a")).ensures("there").undo(sh("clear there")).go()?;
            run.step("told", http("set b")).ensures("b").undo(http("clear b")).go()?;
            run.step("settles", http("set c")).ensures("c").settle(500).go()?;
            Ok(Value::None)
        }))
        .person(Sim::say_what_is_known);
        sim.world.set_var("there", 1);
        sim
    });
}

#[test]
fn writes_that_nobody_can_tell_of_are_decided_by_a_person() {
    at_every_moment(|| {
        Sim::new(Book::new(|run| {
            run.step("blind", http("add a; add b; add c")).go()?;
            run.step("next", http("add d")).go()?;
            Ok(Value::None)
        }))
        .person(Sim::say_what_is_known)
    });
}

#[test]
fn repeatable_and_atomic_writes_are_repeated_at_most_once_a_death() {
    let deaths = |_: &Sim, vars: &mut std::collections::BTreeMap<String, i64>| {
        for (name, most) in [("a", 3), ("b", 1), ("c", 1)] {
            let times = vars.remove(name).unwrap_or(0);
            assert!((1..=most).contains(&times), "{name}: {times}");
        }
    };
    let make = || {
        Sim::new(Book::new(|run| {
            run.step("repeatable", http("add a")).repeatable().go()?;
            // Whole or not at all, and its look tells which of the two: exactly once.
            run.step("atomic", sql("add b")).ensures("b").go()?;
            run.step("once", sql_once("add c")).go()?;
            Ok(Value::None)
        }))
    };
    at_every_moment_and(make, deaths);
}

#[test]
fn people_who_approve_answer_and_act() {
    at_every_moment(|| {
        Sim::new(Book::new(|run| {
            run.approve("sure?")?;
            let answer = run.ask("how many?")?;
            run.manual("turn the key", "key")?;
            run.step("do", sh("add a")).go()?;
            Ok(answer.value.clone().unwrap_or_default())
        }))
        .person(|sim| {
            let fields = Answer::Fields { fields: vec![("number".to_owned(), 5i64.into())] };
            let bob = crate::sim::actor("bob", 2);
            sim.world.set_var("key", 1);
            sim.approve("sure?")
                || sim.answer_as(&bob, "how many?", fields)
                || sim.answer_as(&bob, "turn the key", Answer::Done)
        })
    });
}

#[test]
fn timers() {
    at_every_moment(|| {
        Sim::new(Book::new(|run| {
            run.wait("a moment", 100)?;
            run.step("do", sh("add a")).go()?;
            run.poll("until", "get a", (20, 60_000))?;
            let late = run.attempt("never", |inside| {
                inside.poll("comes", "get nothing", (20, 200))?;
                Ok(Value::None)
            })?;
            assert!(!is_ok(&late));
            Ok(Value::None)
        }))
    });
}

#[test]
fn a_failure_that_a_person_retries_and_another_that_is_waived() {
    at_every_moment(|| {
        Sim::new(Book::new(|run| {
            run.step("flaky", sh("fail 1; add a")).go()?;
            run.step("hopeless", sh("fail")).go()?;
            run.step("after", sh("add b")).go()?;
            Ok(Value::None)
        }))
        .person(|sim| {
            if sim.held("flaky").is_some() {
                sim.tell(InboxMessage::RetryAll);
            } else if sim.held("hopeless").is_some() {
                sim.decide("hopeless", Choice::Waive);
            } else {
                return false;
            }
            true
        })
    });
}

#[test]
fn a_commit_point_and_a_failure_after_it() {
    at_every_moment(|| {
        Sim::new(Book::new(|run| {
            run.step("stays", sh("set a")).undo(sh("clear a")).go()?;
            run.commit_point("no way back")?;
            run.step("goes", sh("set b")).undo(sh("clear b")).go()?;
            run.step("fails", sh("set c; fail")).undo(sh("clear c")).go()?;
            Ok(Value::None)
        }))
        .person(undo_once)
    });
}

#[test]
fn a_whole_run_gives_its_value() {
    let sim = branches(3, 3)();
    let end = sim.finish();
    sim.check();
    assert_eq!(value(&end).to_string(), r#"["item-0", "item-1", "item-2"]"#);
    assert_ne!(value(&end), list(&[]));
}
