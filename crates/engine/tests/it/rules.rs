//! The rules that may never break, each with what would break it. The fakes check some of them in every test: an intent
//! before its effect, a finished step performed once, a result durable before the next act, nothing shown too early.

use crate::sim::{Book, Sim, noop, query, sh, sh_with, sql, value, write_file};
use piton_core::Value;
use piton_core::event::{Answer, Event};
use piton_core::hold::Choice;
use piton_core::ports::{InboxMessage, Lease as _};
use piton_core::window::WindowPhase;
use piton_engine::End;
use std::time::Duration;

fn three() -> Book {
    Book::new(|run| {
        for name in ["one", "two", "three"] {
            run.step(name, sh(&format!("add {name}"))).go()?;
        }
        Ok(Value::None)
    })
}

fn asks() -> Book {
    Book::new(|run| {
        run.approve("sure?")?;
        run.step("after", sh("add after")).go()?;
        Ok(Value::None)
    })
}

#[test]
fn without_a_durable_intent_nothing_is_done() {
    let sim = Sim::new(three());
    // Room for the start and the engine, not for the first intent.
    sim.store.kept().full_at = Some(2);
    assert!(matches!(sim.live(), End::Broken(_)));
    assert!(sim.world.ledger().is_empty());
    sim.check();
}

#[test]
fn the_run_stops_where_the_journal_cannot_be_written_and_goes_on_when_it_can() {
    for full_at in 2..8 {
        let sim = Sim::new(three());
        sim.store.kept().full_at = Some(full_at);
        let end = sim.live();
        let End::Broken(why) = end else { panic!("{full_at}: {end:?}") };
        assert!(why.contains("the disk is full"), "{why}");
        let done = sim.world.ledger().len();
        assert!(done < full_at, "{full_at}: {}", sim.story());
        sim.store.kept().full_at = None;
        assert!(matches!(sim.live(), End::Succeeded(_)), "{full_at}");
        sim.check();
        assert_eq!(sim.world.ledger(), ["one: add one", "two: add two", "three: add three"]);
    }
}

#[test]
fn the_first_append_must_succeed_too() {
    let sim = Sim::new(three());
    sim.store.kept().full_at = Some(0);
    assert!(sim.attach().is_err());
    assert!(sim.world.ledger().is_empty());
}

#[test]
fn a_result_is_durable_before_it_is_shown_or_waited_on() {
    let sim = Sim::new(Book::new(|run| {
        run.step("one", sql("add one")).go()?;
        run.step("look", query("get one")).go()?;
        run.wait("a moment", 50)?;
        run.approve("sure?")?;
        Ok(Value::None)
    }));
    assert!(matches!(sim.live(), End::Waiting));
    // What the fakes have seen: nothing was shown or depended on before it was durable.
    sim.check();
}

#[test]
fn what_an_inverse_captures_is_looked_at_after_what_it_depends_on_is_durable() {
    let sim = Sim::new(Book::new(|run| {
        run.step("one", sql("add one")).go()?;
        // The fake checks it when the former text is captured, before the intent is.
        run.step("file", write_file("f", "new")).inverse().go()?;
        Ok(Value::None)
    }));
    assert!(matches!(sim.live(), End::Succeeded(_)));
    sim.check();
}

/// Much longer than an engine needs to notice, and shorter than the looks it takes without being woken.
const NOTICED: Duration = Duration::from_secs(30);

#[test]
fn a_journal_that_breaks_while_the_engine_waits_ends_it() {
    // Real time: an engine that is not woken looks again after a minute.
    let sim = Sim::at_speed(1.0, asks()).staying();
    let beside = sim.beside();
    while sim.state().waiting_steps == 0 {
        std::thread::yield_now();
    }
    sim.store.kept().full_at = Some(sim.state().seq as usize);
    assert!(sim.approve("sure?"));
    let End::Broken(why) = beside.join_within(NOTICED) else { panic!("{}", sim.story()) };
    assert!(why.contains("the journal cannot be written: the disk is full"), "{why}");
    assert_eq!(sim.world.var("after"), 0, "what was answered is not durable");
    sim.store.kept().full_at = None;
    assert!(matches!(sim.live(), End::Succeeded(_)), "the answer is still in the inbox");
    sim.check();
}

#[test]
fn an_engine_whose_inbox_cannot_be_read_does_not_wait_for_ever_and_tells_it_once() {
    let sim = Sim::new(asks()).staying();
    let beside = sim.beside();
    while sim.state().waiting_steps == 0 {
        std::thread::yield_now();
    }
    sim.store.kept().inbox_fails = true;
    let End::Broken(why) = beside.join_within(NOTICED) else { panic!("{}", sim.story()) };
    assert!(why.contains("the inbox cannot be read: the disk is gone"), "{why}");
    assert_eq!(sim.notebook.warnings.lock().unwrap().len(), 1);
    sim.store.kept().inbox_fails = false;
    assert!(sim.approve("sure?"));
    assert!(matches!(sim.live(), End::Succeeded(_)));
    sim.check();
}

#[test]
fn an_engine_that_works_goes_on_although_its_inbox_cannot_be_read() {
    let sim = Sim::new(Book::new(|run| {
        run.step("long", sh("hook cut; sleep 20000")).go()?;
        run.step("after", sh("add after")).go()?;
        Ok(Value::None)
    }));
    let store = sim.store.clone();
    sim.world.on("cut", move || store.kept().inbox_fails = true);
    assert!(matches!(sim.beside().join_within(NOTICED), End::Succeeded(_)));
    assert_eq!(sim.notebook.warnings.lock().unwrap().len(), 1);
    sim.check();
}

#[test]
fn a_run_that_waits_is_woken_by_its_own_clock() {
    // Ten minutes of the simulation in a fraction of a second; the machine's own minute would be too long.
    let sim = Sim::at_speed(
        2000.0,
        Book::new(|run| {
            run.wait("ten minutes", 600_000)?;
            Ok(Value::None)
        }),
    )
    .staying();
    assert!(matches!(sim.beside().join_within(NOTICED), End::Succeeded(_)));
    sim.check();
}

#[test]
fn branches_one_by_one_each_wait_for_the_result_before() {
    let sim = Sim::new(
        Book::new(|run| {
            run.each("one by one", 40, 1, "item")?;
            Ok(Value::None)
        })
        .function("item", |item, _| {
            item.step("look", noop(1)).go()?;
            Ok(Value::None)
        }),
    );
    sim.finish();
    // What the fakes have seen: the first step of each branch after the last one of its predecessor.
    sim.check();
}

#[test]
fn replaying_a_finished_run_performs_nothing() {
    let sim = Sim::new(
        Book::new(|run| {
            run.step("one", sh("add one")).ensures("one").go()?;
            run.each_continue("all", 3, 2, "item")?;
            run.poll("until", "get one", (10, 1000))?;
            run.window("pause", (7200, 60), |window| {
                window.step("in it", sql("add two")).go()?;
                Ok(Value::None)
            })?;
            Ok(9i64.into())
        })
        .function("item", |item, key| {
            item.step("do", sh(if key == Value::str("item-1") { "fail" } else { "add x" })).go()?;
            Ok(Value::None)
        }),
    );
    assert_eq!(value(&sim.live()), 9i64.into());
    let calls = sim.world.facts().calls;
    let events = sim.store.kept().events.len();
    for name in ["one", "two", "x"] {
        sim.world.set_var(name, 0);
    }
    assert_eq!(value(&sim.live()), 9i64.into());
    sim.check();
    assert_eq!(sim.world.facts().calls, calls);
    assert_eq!(sim.store.kept().events.len(), events + 1, "only the new engine is told");
    assert_eq!(sim.watchdogs.all().len(), 1);
}

#[test]
fn replaying_up_to_the_frontier_performs_and_journals_nothing() {
    let sim = Sim::new(
        Book::new(|run| {
            run.phase("first", |first| {
                first.step("one", sh("add one")).go()?;
                first.emit("one", 1)?;
                Ok(Value::None)
            })?;
            run.attempt("try", |inside| {
                inside.step("bad", sh("fail")).go()?;
                Ok(Value::None)
            })?;
            run.each_continue("all", 3, 3, "item")?;
            run.window("pause", (7200, 60), |window| {
                window.step("in it", sql("add two")).go()?;
                window.commit_point("no way back")?;
                Ok(Value::None)
            })?;
            run.approve("sure?")?;
            Ok(Value::None)
        })
        .function("item", |item, key| {
            if key == Value::str("item-1") {
                item.approve_by("no", 1, false, Some(3600))?;
            }
            item.step("do", sh(if key == Value::str("item-2") { "fail" } else { "add x" })).go()?;
            Ok(Value::None)
        }),
    );
    assert!(matches!(sim.live(), End::Waiting));
    assert!(sim.answer_as(&crate::sim::actor("bob", 2), "all/item-1/no", Answer::Reject));
    assert!(matches!(sim.live(), End::Waiting));
    let (calls, events) = (sim.world.facts().calls, sim.store.kept().events.len());
    for _ in 0..3 {
        assert!(matches!(sim.live(), End::Waiting));
    }
    sim.check();
    assert_eq!(sim.world.facts().calls, calls);
    assert_eq!(sim.store.kept().events.len(), events + 3, "{}", sim.story());
}

#[test]
fn every_decision_is_an_event_with_who_what_they_saw_and_why() {
    let sim = Sim::new(Book::new(|run| {
        run.step("bad", sh("fail")).go()?;
        run.approve("sure?")?;
        Ok(Value::None)
    }));
    assert!(matches!(sim.live(), End::Held));
    let saw = sim.state().head;
    sim.decide("bad", Choice::Waive);
    assert!(matches!(sim.live(), End::Waiting));
    assert!(sim.approve("sure?"));
    assert!(matches!(sim.live(), End::Succeeded(_)));
    sim.check();
    let kept = sim.store.kept();
    let decisions: Vec<_> = kept
        .events
        .iter()
        .filter_map(|event| match event {
            Event::Decided(decided) => Some(&decided.decision),
            Event::PersonAnswered(answered) => Some(&answered.decision),
            _ => None,
        })
        .collect();
    assert_eq!(decisions.len(), 2);
    assert_eq!(decisions[0].saw, saw);
    assert!(decisions.iter().all(|decision| decision.by.uid == 2 && decision.why.as_deref() == Some("because")));
}

#[test]
fn a_secret_that_an_action_prints_reaches_no_record() {
    let secret = piton_core::SecretRef::parse(Some("token"), "env:TOKEN").expect("a reference");
    let sim = Sim::new(Book::new(move |run| {
        let said = run.step("leak", sh_with("say hunter2hunter2; add a", &secret)).go()?;
        run.emit("a", 1)?;
        run.step("fails", sh_with("say hunter2hunter2; fail", &secret)).go()?;
        Ok(said.out.as_deref().unwrap_or_default().into())
    }));
    sim.vault.put("env:TOKEN", "hunter2hunter2");
    assert!(matches!(sim.live(), End::Held));
    sim.decide("fails", Choice::Waive);
    assert!(matches!(sim.live(), End::Succeeded(_)));
    sim.check();
    let story = sim.story();
    assert!(!story.contains("hunter2"), "{story}");
    assert!(story.contains("«secret token»"));
}

#[test]
fn only_the_leaseholder_appends_and_a_fenced_engine_stops() {
    let sim = Sim::new(three_slow());
    let beside = sim.beside();
    sim.world.wait_for("working");
    // Another engine takes over while the first is slow.
    let lease = sim.store.take_lease(&piton_core::RunId::from_random(7));
    assert_eq!(lease.fence(), 2);
    sim.world.signal("go");
    let end = beside.join();
    let End::Broken(why) = end else { panic!("{end:?}") };
    assert!(why.contains("another engine has taken over"), "{why}");
    assert_eq!(sim.world.times("add two"), 0, "it starts nothing that it could not record");
    assert!(sim.store.kept().records.iter().all(|record| record.fence == 1));
    drop(lease);
    assert!(matches!(sim.live(), End::Succeeded(_)));
    sim.check();
    assert_eq!((sim.world.times("add one"), sim.world.times("add two")), (1, 1));
}

fn three_slow() -> Book {
    Book::new(|run| {
        run.step("one", sh("signal working; await go; add one")).go()?;
        run.step("two", sh("add two")).go()?;
        Ok(Value::None)
    })
}

#[test]
fn a_message_is_taken_into_account_once() {
    let sim = Sim::new(Book::new(|run| {
        run.step("flaky", sh("fail 2; add a")).go()?;
        Ok(Value::None)
    }));
    assert!(matches!(sim.live(), End::Held));
    sim.tell(InboxMessage::RetryAll);
    assert!(matches!(sim.live(), End::Held), "one retry for one message");
    assert_eq!(sim.store.count(|event| matches!(event, Event::Decided(_))), 1);
    sim.tell(InboxMessage::RetryAll);
    assert!(matches!(sim.live(), End::Succeeded(_)));
    sim.check();
}

// The store fails while a window is open.

fn pause() -> Book {
    Book::new(|run| {
        let tried = run.attempt("try", |inside| {
            inside.window("pause", (7200, 600), |window| {
                window.step("close", sh("set closed")).undo(sh("clear closed")).go()?;
                window.step("work", sh("set work")).undo(sh("clear work")).go()?;
                window.step("more", sh("set more")).undo(sh("clear more")).go()?;
                Ok(Value::None)
            })
        })?;
        run.step("after", sh("set after")).go()?;
        Ok(tried)
    })
}

#[test]
fn where_the_store_fails_in_a_window_going_back_is_recorded_beside_it_and_brought_home() {
    // Start, engine, attempt, window entered, window opened, intent, then success and the next intent, and so on.
    for full_at in 6..10 {
        let sim = Sim::new(pause());
        sim.store.kept().full_at = Some(full_at);
        let end = sim.live();
        assert!(matches!(end, End::Broken(_)), "{full_at}: {end:?}\n{}", sim.story());
        assert_eq!(sim.world.var("closed"), 0, "{full_at}: the source is open again");
        assert_eq!((sim.world.times("set more"), sim.world.var("after")), (0, 0), "{full_at}: nothing new begins");
        assert!(!sim.notebook.aside.lock().unwrap().is_empty());
        sim.store.kept().full_at = None;
        let end = sim.live();
        sim.check();
        assert!(matches!(end, End::Succeeded(_)), "{full_at}: {end:?}");
        assert!(sim.store.kept().side.is_empty());
        let state = sim.state();
        let window = state.windows.values().next().expect("it was opened");
        assert!(matches!(window.phase, WindowPhase::Closed { went_back: true, .. }), "{full_at}");
        assert_eq!(sim.world.var("after"), 1, "the failure was caught, and the run went on");
    }
}

#[test]
fn whoever_takes_an_open_window_over_while_the_store_fails_goes_back_beside_it() {
    for full_at in 6..10 {
        for moment in 1.. {
            let sim = Sim::new(pause());
            sim.store.kept().full_at = Some(full_at);
            sim.world.kill_after(moment);
            sim.live();
            let killed = sim.world.is_dead(1);
            sim.world.never_kill();
            // The watchdog; and somebody who tries again before there is space.
            for life in 2..4 {
                let end = sim.live();
                assert!(matches!(end, End::Broken(_)), "{full_at}, {moment}, {life}: {end:?}\n{}", sim.story());
                let vars = (sim.world.var("closed"), sim.world.var("work"), sim.world.var("more"));
                assert_eq!(vars, (0, 0, 0), "{full_at}, {moment}, {life}: {}", sim.story());
            }
            sim.store.kept().full_at = None;
            let end = sim.live();
            sim.check();
            assert!(matches!(end, End::Succeeded(_)), "{full_at}, {moment}: {end:?}\n{}", sim.story());
            assert!(!sim.store.kept().side_prepared && sim.state().open_window().is_none());
            if !killed {
                break;
            }
        }
    }
}

/// Closes and opens again.
fn closing(script: &'static str) -> Book {
    Book::new(move |run| {
        run.window("pause", (60, 20), |window| {
            window.step("close", sh(script)).undo(sh("clear closed")).go()?;
            window.step("open", sh("clear closed")).go()?;
            Ok(Value::None)
        })
    })
}

#[test]
fn a_window_that_another_engine_has_closed_can_be_entered_again_and_leaves_nothing_behind() {
    let mut sim = Sim::new(closing("set closed; die"));
    assert!(matches!(sim.live(), End::Broken(_)));
    assert!(sim.store.kept().side_prepared);
    sim.clock.jump(std::time::Duration::from_secs(41));
    assert!(matches!(sim.live(), End::Held));
    assert!(!sim.store.kept().side_prepared);
    sim.edit(closing("set closed"));
    sim.tell(InboxMessage::RetryAll);
    assert!(matches!(sim.live(), End::Succeeded(_)), "{}", sim.story());
    sim.check();
    assert!(!sim.store.kept().side_prepared);
}

#[test]
fn where_the_side_log_fails_too_the_engine_stops_and_the_watchdog_stays_on_guard() {
    let sim = Sim::new(pause());
    {
        let mut kept = sim.store.kept();
        kept.full_at = Some(7);
        kept.side_room = 1;
    }
    assert!(matches!(sim.live(), End::Broken(_)));
    assert!(sim.watchdogs.all().iter().all(|guard| !guard.dismissed), "an open window is never left alone");
    {
        let mut kept = sim.store.kept();
        kept.full_at = None;
        kept.side_room = 1000;
    }
    assert!(matches!(sim.live(), End::Succeeded(_)));
    sim.check();
}

#[test]
fn past_the_commit_point_a_failing_store_stops_the_engine_and_the_watchdog_stays_on_guard() {
    let sim = Sim::new(Book::new(|run| {
        run.window("pause", (7200, 600), |window| {
            window.step("close", sh("add closed")).undo(sh("clear closed")).go()?;
            window.commit_point("no way back")?;
            window.step("work", sh("hook full; add work")).go()?;
            window.step("open", sh("sub closed")).go()?;
            Ok(Value::None)
        })
    }));
    let store = sim.store.clone();
    sim.world.on("full", move || {
        let mut kept = store.kept();
        kept.full_at = Some(kept.records.len());
    });
    assert!(matches!(sim.live(), End::Broken(_)));
    assert!(sim.watchdogs.all().iter().all(|guard| !guard.dismissed));
    sim.world.on("full", || {});
    sim.store.kept().full_at = None;
    assert!(matches!(sim.live(), End::Succeeded(_)));
    sim.check();
    assert_eq!((sim.world.var("closed"), sim.world.var("work")), (0, 1));
}

#[test]
fn a_window_that_cannot_be_guarded_is_not_opened_and_one_that_is_open_goes_back() {
    let sim = Sim::new(pause());
    *sim.watchdogs.refuse.lock().unwrap() = true;
    assert!(matches!(sim.live(), End::Held));
    assert!(sim.world.ledger().is_empty() && sim.state().windows.is_empty());
    sim.check();

    let sim = Sim::new(Book::new(|run| {
        run.window("pause", (7200, 600), |window| {
            window.step("close", sh("set closed; die")).undo(sh("clear closed")).go()?;
            window.step("read", noop(1)).go()?;
            Ok(Value::None)
        })
    }));
    assert!(matches!(sim.live(), End::Broken(_)));
    *sim.watchdogs.refuse.lock().unwrap() = true;
    assert!(matches!(sim.live(), End::Held));
    sim.check();
    assert_eq!(sim.world.var("closed"), 0);
    assert!(sim.state().open_window().is_none(), "{}", sim.story());
}
