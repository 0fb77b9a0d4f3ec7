//! Taking back: in reverse order of completion, everything that may have begun, resumable, up to the commit point.

use crate::sim::{Book, Sim, at_every_moment, http, noop, sh, write_file};
use piton_core::Value;
use piton_core::event::Event;
use piton_core::hold::{Choice, HoldReason};
use piton_core::ports::{InboxMessage, Purpose};
use piton_engine::End;

/// What undos did, in order.
fn taken_back(sim: &Sim) -> Vec<String> {
    let facts = sim.world.facts();
    let undos = facts.ledger.iter().filter(|effect| effect.who.purpose == Purpose::Undo);
    undos.map(|effect| effect.what.clone()).collect()
}

/// Runs until it waits or holds, then takes everything back.
fn undone(book: Book) -> (Sim, End) {
    let sim = Sim::new(book);
    sim.live();
    sim.undo("");
    let end = sim.live();
    sim.check();
    (sim, end)
}

#[test]
fn steps_are_taken_back_in_reverse_order_of_completion() {
    let (sim, end) = undone(
        Book::new(|run| {
            run.step("one", sh("set one")).undo(sh("clear one")).go()?;
            run.parallel("both", &["slow", "quick"])?;
            run.step("read", noop(1)).go()?;
            run.step("last", sh("set last")).undo(sh("clear last")).go()?;
            run.approve("sure?")?;
            Ok(Value::None)
        })
        .function("slow", |branch, _| {
            branch.step("do", sh("set slow; await quick")).undo(sh("clear slow")).go()?;
            Ok(Value::None)
        })
        .function("quick", |branch, _| {
            branch.step("do", sh("set quick")).undo(sh("clear quick")).go()?;
            branch.step("say so", sh("signal quick")).go()?;
            Ok(Value::None)
        }),
    );
    assert!(matches!(end, End::Undone), "{end:?}");
    assert_eq!(taken_back(&sim), ["clear last", "clear slow", "clear quick", "clear one"]);
}

#[test]
fn a_failed_attempt_is_taken_back_and_what_was_true_already_is_not() {
    let sim = Sim::new(Book::new(|run| {
        run.step("already", sh("set there")).ensures("there").undo(sh("clear there")).go()?;
        run.step("half", sh("set half; fail")).undo(sh("clear half")).go()?;
        Ok(Value::None)
    }));
    sim.world.set_var("there", 1);
    assert!(matches!(sim.live(), End::Held));
    sim.undo("");
    assert!(matches!(sim.live(), End::Undone));
    sim.check();
    assert_eq!(taken_back(&sim), ["clear half"]);
    assert_eq!(sim.world.var("there"), 1);
}

#[test]
fn an_interrupted_attempt_is_taken_back_and_one_that_never_began_is_not() {
    let sim = Sim::new(Book::new(|run| {
        run.step("half", http("set half; die; set more")).undo(sh("clear half")).go()?;
        Ok(Value::None)
    }));
    assert!(matches!(sim.live(), End::Broken(_)));
    sim.undo("");
    assert!(matches!(sim.live(), End::Undone));
    assert_eq!(taken_back(&sim), ["clear half"]);

    let sim = Sim::new(Book::new(|run| {
        run.step("never", sh("set never")).undo(sh("clear never")).go()?;
        Ok(Value::None)
    }));
    // Start, engine, intent: then it dies, before anything is claimed.
    sim.world.kill_after(3);
    assert!(matches!(sim.live(), End::Broken(_)));
    sim.undo("");
    assert!(matches!(sim.live(), End::Undone));
    sim.check();
    assert!(taken_back(&sim).is_empty() && sim.world.ledger().is_empty(), "{}", sim.story());
}

#[test]
fn the_undo_knows_the_outcome_where_there_is_one() {
    let (sim, _) = undone(Book::new(|run| {
        run.step("create", sh("add thing")).undo(sh("clear maybe")).undo_after(sh("sub thing")).go()?;
        run.step("fails", sh("add other; fail 1")).retry(1).undo(sh("clear other")).undo_after(sh("sub other")).go()?;
        run.approve("sure?")?;
        Ok(Value::None)
    }));
    // The first attempt of the second step failed: nobody knows what it did, so its own undo is performed too.
    assert_eq!(taken_back(&sim), ["sub other", "clear other", "sub thing"]);
}

#[test]
fn a_file_is_put_back_as_it_was_and_one_that_was_not_there_is_removed() {
    let sim = Sim::new(Book::new(|run| {
        run.step("old", write_file("old", "new text")).inverse().go()?;
        run.step("new", write_file("new", "text")).inverse().go()?;
        run.approve("sure?")?;
        Ok(Value::None)
    }));
    sim.world.facts().files.insert("old".to_owned(), "old text".to_owned());
    assert!(matches!(sim.live(), End::Waiting));
    assert_eq!(sim.world.facts().files.len(), 2);
    sim.undo("");
    assert!(matches!(sim.live(), End::Undone));
    sim.check();
    let facts = sim.world.facts();
    assert_eq!(facts.files.iter().map(|(k, v)| format!("{k}: {v}")).collect::<Vec<_>>(), ["old: old text"]);
}

#[test]
fn a_commit_point_is_where_taking_back_stops() {
    let (sim, end) = undone(Book::new(|run| {
        run.step("before", sh("set before")).undo(sh("clear before")).go()?;
        run.commit_point("no way back")?;
        run.step("after", sh("set after")).undo(sh("clear after")).go()?;
        run.approve("sure?")?;
        Ok(Value::None)
    }));
    assert!(matches!(end, End::Undone), "{end:?}");
    assert_eq!((sim.world.var("before"), sim.world.var("after")), (1, 0));
    assert!(sim.done("before") && sim.undone("after"));
}

#[test]
fn a_commit_point_in_a_branch_is_refused() {
    let sim = Sim::new(Book::new(|run| run.each("all", 2, 2, "item")).function("item", |item, _| {
        item.commit_point("no way back")?;
        Ok(Value::None)
    }));
    assert!(matches!(sim.live(), End::Held));
    sim.check();
    assert!(sim.state().commit_points.is_empty());
}

fn stubborn() -> Book {
    Book::new(|run| {
        run.step("first", sh("set first")).undo(sh("clear first")).go()?;
        run.step("stubborn", sh("set stubborn")).undo(sh("fail 3; clear stubborn")).go()?;
        run.step("last", sh("set last")).undo(sh("clear last")).go()?;
        run.approve("sure?")?;
        Ok(Value::None)
    })
}

#[test]
fn an_undo_that_fails_holds_and_is_resumed_where_it_stopped() {
    let (sim, end) = undone(stubborn());
    assert!(matches!(end, End::Held), "{end:?}");
    assert_eq!(taken_back(&sim), ["clear last"], "what was done before it waits behind it");
    sim.tell(InboxMessage::RetryAll);
    assert!(matches!(sim.live(), End::Undone));
    sim.check();
    assert_eq!(taken_back(&sim), ["clear last", "clear stubborn", "clear first"]);
}

#[test]
fn an_undo_that_fails_is_resumed_whatever_moment_its_engine_dies_at() {
    at_every_moment(|| {
        Sim::new(stubborn()).person(|sim| {
            let state = sim.state();
            if state.undoing.is_some() {
                sim.tell(InboxMessage::RetryAll);
            } else {
                assert!(!sim.store.any(|event| matches!(event, Event::UndoBegan(_))), "taken back: {}", sim.story());
                sim.undo("");
            }
            true
        })
    });
}

#[test]
fn what_was_taken_back_is_not_done_again_by_itself_whatever_moment_its_engine_dies_at() {
    at_every_moment(|| {
        Sim::new(Book::new(|run| {
            run.step("one", sh("add one")).undo(sh("sub one")).go()?;
            run.approve("sure?")?;
            Ok(Value::None)
        }))
        .person(|sim| {
            assert!(!sim.store.any(|event| matches!(event, Event::UndoBegan(_))), "asked again: {}", sim.story());
            sim.undo("");
            true
        })
    });
}

#[test]
fn a_scope_is_taken_back_and_done_again_as_a_new_generation() {
    let sim = Sim::new(Book::new(|run| {
        run.step("before", sh("add before")).undo(sh("sub before")).go()?;
        run.phase("inner", |inner| {
            inner.step("do", sh("add inner")).undo(sh("sub inner")).go()?;
            Ok(Value::None)
        })?;
        run.approve("sure?")?;
        Ok(Value::None)
    }));
    assert!(matches!(sim.live(), End::Waiting));
    sim.undo("inner");
    assert!(matches!(sim.live(), End::Held));
    assert!(sim.undone("inner/do") && sim.done("before"));
    assert_eq!((sim.world.var("before"), sim.world.var("inner")), (1, 0));
    assert!(matches!(sim.live(), End::Waiting), "whoever resumes goes on");
    assert!(sim.done("inner/do"));
    assert_eq!(sim.state().steps[&crate::sim::path("inner/do")].generation, 2);
    sim.check();
}

#[test]
fn a_running_step_is_ended_and_taken_back() {
    let sim = Sim::new(Book::new(|run| {
        run.step("slow", sh("set slow; signal working; await never")).undo(sh("clear slow")).go()?;
        Ok(Value::None)
    }));
    let beside = sim.beside();
    sim.world.wait_for("working");
    sim.undo("");
    let end = beside.join();
    sim.check();
    assert!(matches!(end, End::Undone), "{end:?}");
    assert_eq!(sim.world.var("slow"), 0);
}

#[test]
fn a_step_ended_to_be_taken_back_is_no_failure_that_an_attempt_around_it_may_catch() {
    let sim = Sim::new(Book::new(|run| {
        run.attempt("try", |inside| {
            inside.phase("inner", |inner| {
                inner.step("slow", sh("set slow; signal working; await go")).undo(sh("clear slow")).go()?;
                Ok(7i64.into())
            })
        })
    }));
    let beside = sim.beside();
    sim.world.wait_for("working");
    sim.undo("try/inner");
    assert!(matches!(beside.join(), End::Held));
    sim.world.signal("go");
    let end = sim.live();
    sim.check();
    let End::Succeeded(value) = end else { panic!("{end:?}") };
    assert!(crate::sim::is_ok(&value), "{value}");
}

#[test]
fn what_may_still_be_alive_is_not_taken_back() {
    let sim = Sim::new(Book::new(|run| {
        run.step("one", sh("set one")).undo(sh("clear one")).go()?;
        run.step("ghost", sh("set ghost; die")).undo(sh("clear ghost")).go()?;
        Ok(Value::None)
    }));
    assert!(matches!(sim.live(), End::Broken(_)));
    sim.world.facts().unprovable = true;
    sim.undo("");
    assert!(matches!(sim.live(), End::Held));
    assert!(matches!(sim.held("ghost"), Some(HoldReason::Unprovable { .. })));
    assert!(taken_back(&sim).is_empty());
    // Trying again proves it anew.
    sim.decide("ghost", Choice::Retry);
    assert!(matches!(sim.live(), End::Held));
    assert!(taken_back(&sim).is_empty(), "{}", sim.story());
    sim.world.facts().unprovable = false;
    sim.decide("ghost", Choice::Retry);
    assert!(matches!(sim.live(), End::Undone));
    sim.check();
    assert_eq!(taken_back(&sim), ["clear ghost", "clear one"]);
}

#[test]
fn a_finished_run_is_taken_back_too() {
    let sim = Sim::new(Book::new(|run| {
        run.step("one", sh("set one")).undo(sh("clear one")).go()?;
        Ok(Value::None)
    }));
    assert!(matches!(sim.live(), End::Succeeded(_)));
    sim.undo("");
    assert!(matches!(sim.live(), End::Undone));
    sim.check();
    assert_eq!(sim.world.var("one"), 0);
}

#[test]
fn an_undo_whose_secret_has_another_value_now_asks_whether_it_is_the_same_place() {
    let secret = piton_core::SecretRef::parse(None, "env:TOKEN").expect("a reference");
    let sim = Sim::new(Book::new(move |run| {
        let undo = crate::sim::sh_with("clear one", &secret);
        run.step("one", crate::sim::sh_with("set one", &secret)).undo(undo).go()?;
        run.approve("sure?")?;
        Ok(Value::None)
    }));
    sim.vault.put("env:TOKEN", "first-value");
    assert!(matches!(sim.live(), End::Waiting));
    sim.vault.put("env:TOKEN", "second-value");
    sim.undo("");
    assert!(matches!(sim.live(), End::Held));
    assert_eq!(sim.world.var("one"), 1);
    sim.tell(InboxMessage::RetryAll);
    assert!(matches!(sim.live(), End::Undone), "{}", sim.story());
    sim.check();
    assert_eq!(sim.world.var("one"), 0);
}
