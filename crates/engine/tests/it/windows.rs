//! Windows: never left open, never waiting for a person, going back in time.

use crate::sim::{Book, Ctx, Sim, actor, at_every_moment, at_every_moment_and, is_ok, noop, query, sh, value};
use piton_core::Value;
use piton_core::event::Event;
use piton_core::hold::{Choice, HoldReason};
use piton_core::ports::InboxMessage;
use piton_core::window::{Window, WindowPhase};
use piton_engine::End;
use std::time::Duration;

/// Long enough that no test comes near it.
const LONG: (u64, u64) = (7200, 600);

/// Closes the source, does the rest, opens it again: as every window does.
fn pause(script: &'static str, budget: (u64, u64)) -> Book {
    Book::new(move |run| {
        run.step("before", sh("set before")).go()?;
        run.window("pause", budget, |window| {
            window.step("close", sh("add closed; signal closed")).undo(sh("clear closed")).go()?;
            window.step("work", sh(script)).undo(sh("clear work")).go()?;
            window.step("open", sh("sub closed")).go()?;
            Ok(5i64.into())
        })
    })
}

fn window(sim: &Sim) -> Window {
    sim.state().windows.values().next().cloned().expect("a window was entered")
}

fn went_back(sim: &Sim) -> bool {
    matches!(window(sim).phase, WindowPhase::Closed { went_back: true, .. })
}

fn within_budget(sim: &Sim) -> bool {
    matches!(window(sim).phase, WindowPhase::Closed { within_budget: true, .. })
}

#[test]
fn a_window_within_its_budget_survives_a_death_at_every_moment() {
    at_every_moment(|| Sim::new(pause("set work", LONG)));
}

#[test]
fn a_window_with_a_failing_step_goes_back_whatever_moment_its_engine_dies_at() {
    at_every_moment(|| Sim::new(pause("set work; fail", LONG)));
}

#[test]
fn a_window_that_went_back_inside_an_attempt_is_a_caught_failure_whatever_moment_its_engine_dies_at() {
    at_every_moment(|| {
        Sim::new(Book::new(|run| {
            let tried = run.attempt("try", |inside| {
                inside.window("pause", LONG, |window| {
                    window.step("close", sh("set closed")).undo(sh("clear closed")).go()?;
                    window.step("work", sh("fail")).go()?;
                    Ok(Value::None)
                })
            })?;
            assert!(!is_ok(&tried));
            run.step("after", sh("add after")).go()?;
            Ok(Value::None)
        }))
    });
}

#[test]
fn a_window_that_went_back_inside_a_passed_item_is_a_caught_failure_whatever_moment_its_engine_dies_at() {
    at_every_moment(|| {
        Sim::new(
            Book::new(|run| {
                let items = run.each_continue("all", 2, 1, "item")?;
                run.step("after", sh("add after")).go()?;
                run.step("again", noop(1)).go()?;
                Ok(items)
            })
            .function("item", |item, key| {
                item.window("pause", LONG, |window| {
                    window.step("close", sh("set closed")).undo(sh("clear closed")).go()?;
                    window.step("work", sh(if key == Value::str("item-0") { "fail" } else { "add x" })).go()?;
                    window.step("open", sh("clear closed")).go()?;
                    Ok(Value::None)
                })
            }),
        )
    });
}

#[test]
fn a_window_that_went_back_is_entered_again_when_a_person_says_so_and_only_then() {
    let make = || {
        Sim::new(pause("fail 1; set work", LONG)).person(|sim| {
            let held = sim.state().run_holds.iter().any(|hold| matches!(hold, HoldReason::WentBack { .. }));
            if held {
                sim.tell(InboxMessage::RetryAll);
            }
            held
        })
    };
    at_every_moment_and(make, |sim, _| {
        let opened = sim.store.count(|event| matches!(event, Event::WindowOpened(_)));
        let told = sim.store.count(|event| matches!(event, Event::RunResumed { .. }));
        assert_eq!((opened, told), (2, 1), "{}", sim.story());
    });
}

#[test]
fn past_its_commit_point_a_window_goes_forward_whatever_moment_its_engine_dies_at() {
    at_every_moment(|| {
        Sim::new(Book::new(|run| {
            run.window("pause", LONG, |window| {
                window.step("close", sh("add closed")).undo(sh("clear closed")).go()?;
                window.commit_point("no way back")?;
                window.step("switch", sh("fail 1; add switched")).undo(sh("clear switched")).go()?;
                window.step("open", sh("sub closed")).go()?;
                Ok(Value::None)
            })
        }))
        .person(|sim| {
            if !sim.state().is_held() {
                return false;
            }
            sim.tell(InboxMessage::RetryAll);
            true
        })
    });
}

#[test]
fn until_its_close_is_durable_a_window_keeps_its_watchdogs_deadline() {
    // An engine that is stopped in the commit of the close has told nobody that the window is closed.
    for script in ["set work", "fail"] {
        let sim = Sim::new(pause(script, LONG));
        sim.store.kept().commit_takes = Duration::from_millis(2);
        sim.live();
        sim.check();
        let guards = sim.watchdogs.all();
        assert!(guards.iter().all(|guard| guard.dismissed && !guard.lulled), "{guards:?}");
    }
}

#[test]
fn a_window_over_its_budget_goes_back_within_it_while_a_step_runs() {
    let sim = Sim::new(pause("set work; await never", (60, 50)));
    let end = sim.live();
    sim.check();
    assert!(matches!(end, End::Held), "{end:?}");
    assert!(went_back(&sim) && within_budget(&sim), "{:?}", window(&sim));
    assert_eq!((sim.world.var("closed"), sim.world.var("work")), (0, 0));
    assert!(sim.watchdogs.all().iter().all(|guard| guard.dismissed && !guard.deadlines.is_empty()));
}

#[test]
fn a_window_over_its_budget_goes_back_whatever_moment_its_engine_dies_at() {
    // Its time is over for whoever comes later.
    at_every_moment(|| {
        let sim = Sim::new(pause("set work; hook late; await never", (60, 50)));
        let clock = sim.clock.clone();
        sim.world.on("late", move || clock.jump(Duration::from_secs(3600)));
        sim
    });
}

#[test]
fn a_failure_in_one_branch_of_a_window_ends_the_others_at_once() {
    let sim = Sim::new(
        Book::new(|run| run.window("pause", LONG, |window| window.parallel("both", &["slow", "bad"])))
            .function("slow", |branch, _| {
                branch.step("wait", sh("set slow; signal slow; await never")).undo(sh("clear slow")).go()?;
                Ok(Value::None)
            })
            .function("bad", |branch, _| {
                branch.step("fail", sh("await slow; fail")).go()?;
                Ok(Value::None)
            }),
    );
    let end = sim.live();
    sim.check();
    assert!(matches!(end, End::Held), "{end:?}");
    assert!(went_back(&sim));
    assert_eq!(sim.world.var("slow"), 0);
}

/// Runs the window until its slow step runs, then does something.
fn while_it_works(book: Book, act: impl FnOnce(&Sim, &piton_engine::Control)) -> (Sim, End) {
    let sim = Sim::new(book);
    let beside = sim.beside();
    sim.world.wait_for("working");
    act(&sim, &beside.control);
    let end = beside.join();
    sim.check();
    (sim, end)
}

#[test]
fn a_pause_in_a_window_goes_back_at_once() {
    let (sim, end) = while_it_works(pause("set work; signal working; await never", LONG), |_, control| {
        control.pause(&actor("ada", 1)).expect("the journal is whole");
    });
    assert!(matches!(end, End::Held), "{end:?}");
    assert!(went_back(&sim));
    assert_eq!((sim.world.var("closed"), sim.world.var("work")), (0, 0));
}

#[test]
fn an_abort_in_a_window_goes_back_at_once_and_ends_the_run() {
    let (sim, end) = while_it_works(pause("set work; signal working; await never", LONG), |sim, _| {
        sim.tell(InboxMessage::Abort);
    });
    assert!(matches!(end, End::Aborted), "{end:?}");
    assert!(went_back(&sim));
    assert_eq!((sim.world.var("closed"), sim.world.var("work")), (0, 0));
}

#[test]
fn an_undo_asked_for_in_a_window_goes_back_and_then_takes_back_the_rest() {
    let (sim, end) = while_it_works(pause("set work; signal working; await never", LONG), |sim, _| sim.undo(""));
    assert!(matches!(end, End::Undone), "{end:?}");
    assert!(went_back(&sim));
    assert_eq!((sim.world.var("closed"), sim.world.var("work")), (0, 0));
}

/// A window whose slow step comes after the commit point.
fn committed(script: &'static str) -> Book {
    Book::new(move |run| {
        run.window("pause", LONG, |window| {
            window.step("close", sh("add closed")).undo(sh("clear closed")).go()?;
            window.commit_point("no way back")?;
            window.step("work", sh(script)).undo(sh("clear work")).go()?;
            window.step("open", sh("sub closed")).go()?;
            Ok(Value::None)
        })?;
        run.step("after", sh("set after")).go()?;
        Ok(Value::None)
    })
}

#[test]
fn past_the_commit_point_a_pause_waits_for_the_end_of_the_window() {
    let (sim, end) = while_it_works(committed("set work; signal working; await go"), |sim, control| {
        control.pause(&actor("ada", 1)).expect("the journal is whole");
        sim.world.signal("go");
    });
    assert!(matches!(end, End::Held), "{end:?}");
    assert!(matches!(window(&sim).phase, WindowPhase::Closed { went_back: false, .. }));
    assert_eq!((sim.world.var("closed"), sim.world.var("work"), sim.world.var("after")), (0, 1, 0));
    assert!(matches!(sim.live(), End::Succeeded(_)), "a person who resumes ends the pause");
}

#[test]
fn past_the_commit_point_an_abort_waits_for_the_end_of_the_window() {
    let (sim, end) = while_it_works(committed("set work; signal working; await go"), |sim, control| {
        sim.tell(InboxMessage::Abort);
        while !control.with_state(|state| state.abort.is_some()) {
            std::thread::yield_now();
        }
        sim.world.signal("go");
    });
    assert!(matches!(end, End::Aborted), "{end:?}");
    assert!(matches!(window(&sim).phase, WindowPhase::Closed { went_back: false, .. }));
    assert_eq!((sim.world.var("closed"), sim.world.var("work"), sim.world.var("after")), (0, 1, 0));
}

#[test]
fn past_the_commit_point_an_undo_is_refused() {
    let (sim, end) = while_it_works(committed("set work; signal working; await go"), |sim, control| {
        sim.undo("");
        while control.with_state(|state| state.inbox_seen == 0) {
            std::thread::yield_now();
        }
        sim.world.signal("go");
    });
    assert!(matches!(end, End::Succeeded(_)), "{end:?}");
    assert_eq!((sim.world.var("closed"), sim.world.var("work"), sim.world.var("after")), (0, 1, 1));
    assert!(!sim.notebook.warnings.lock().unwrap().is_empty());
}

#[test]
fn a_failure_past_the_commit_point_holds_and_is_retried() {
    let sim = Sim::new(committed("set work; fail 1"));
    assert!(matches!(sim.live(), End::Held));
    assert!(matches!(sim.held("pause/work"), Some(HoldReason::PastCommitPoint { .. })));
    assert_eq!(sim.world.var("closed"), 1, "only forward");
    sim.decide("pause/work", Choice::Retry);
    assert!(matches!(sim.live(), End::Succeeded(_)));
    sim.check();
    assert_eq!(sim.world.var("closed"), 0);
}

#[test]
fn a_hold_inside_a_window_goes_back() {
    // The engine dies in the middle of a write that nobody can tell of: a person would be asked.
    let sim = Sim::new(Book::new(|run| {
        run.window("pause", LONG, |window| {
            window.step("close", sh("set closed")).undo(sh("clear closed")).go()?;
            window.step("blind", crate::sim::http("set blind; die")).undo(sh("clear blind")).go()?;
            Ok(Value::None)
        })
    }));
    assert!(matches!(sim.live(), End::Broken(_)));
    let end = sim.live();
    sim.check();
    assert!(matches!(end, End::Held), "{end:?}");
    assert!(went_back(&sim));
    assert_eq!((sim.world.var("closed"), sim.world.var("blind")), (0, 0));
}

#[test]
fn an_undo_that_fails_does_not_keep_the_others_from_their_turn_and_is_resumed() {
    let sim = Sim::new(Book::new(|run| {
        run.window("pause", LONG, |window| {
            window.step("close", sh("set closed")).undo(sh("clear closed")).go()?;
            window.step("stubborn", sh("set stubborn")).undo(sh("fail 3; clear stubborn")).go()?;
            window.step("fails", sh("fail")).go()?;
            Ok(Value::None)
        })
    }));
    assert!(matches!(sim.live(), End::Held));
    assert_eq!((sim.world.var("closed"), sim.world.var("stubborn")), (0, 1), "{}", sim.story());
    assert!(sim.state().open_window().is_some(), "what could not be taken back keeps it open, loudly");
    sim.tell(InboxMessage::RetryAll);
    assert!(matches!(sim.live(), End::Held));
    sim.check();
    assert!(went_back(&sim));
    assert_eq!(sim.world.var("stubborn"), 0);
}

#[test]
fn the_next_engine_finishes_forward_if_time_remains() {
    let sim = Sim::new(pause("set work; die; set more", LONG));
    assert!(matches!(sim.live(), End::Broken(_)));
    let end = sim.live();
    sim.check();
    assert_eq!(value(&end), 5i64.into());
    assert!(within_budget(&sim));
    assert_eq!((sim.world.var("closed"), sim.world.var("more")), (0, 1), "it adopted what went on without it");
    let guards = sim.watchdogs.all();
    assert!(!guards[0].dismissed && guards[1].dismissed);
}

#[test]
fn the_next_engine_goes_back_if_no_time_remains() {
    let sim = Sim::new(pause("set work; die; set more", (60, 20)));
    assert!(matches!(sim.live(), End::Broken(_)));
    sim.clock.jump(Duration::from_secs(41));
    assert!(matches!(sim.live(), End::Held));
    sim.check();
    assert!(went_back(&sim));
    assert_eq!((sim.world.var("closed"), sim.world.var("work")), (0, 0));
}

#[test]
fn a_window_that_only_warns_is_not_taken_back_by_the_next_engine_either() {
    let sim = Sim::new(Book::new(|run| {
        run.warning_window("pause", 10, |window| {
            window.step("close", sh("add closed; die")).undo(sh("clear closed")).go()?;
            window.step("open", sh("sub closed; hook late")).go()?;
            Ok(Value::None)
        })
    }));
    assert!(matches!(sim.live(), End::Broken(_)));
    sim.clock.jump(Duration::from_secs(60));
    let end = sim.live();
    sim.check();
    assert!(matches!(end, End::Succeeded(_)), "{end:?}");
    assert!(matches!(window(&sim).phase, WindowPhase::Closed { went_back: false, within_budget: false, .. }));
}

#[test]
fn the_watchdog_of_a_window_that_only_warns_knows_no_deadline_and_is_told_that_the_engine_lives() {
    for (warns, knows) in [(true, false), (false, true)] {
        let sim = Sim::new(Book::new(move |run| {
            let body = |window: &Ctx<'_>| {
                window.step("close", sh("set closed; sleep 1000")).undo(sh("clear closed")).go()?;
                window.step("open", sh("clear closed")).go()?;
                Ok(Value::None)
            };
            if warns { run.warning_window("pause", 7200, body) } else { run.window("pause", LONG, body) }
        }));
        assert!(matches!(sim.live(), End::Succeeded(_)));
        sim.check();
        let guards = sim.watchdogs.all();
        assert!(guards.iter().all(|guard| guard.beats > 1 && guard.dismissed), "{guards:?}");
        assert_eq!(guards.iter().any(|guard| !guard.deadlines.is_empty()), knows, "{guards:?}");
    }
}

#[test]
fn an_approval_beside_a_window_is_asked_again_after_going_back() {
    let sim = Sim::new(Book::new(|run| {
        run.approve("now?")?;
        run.window("pause", LONG, |window| {
            window.step("close", sh("set closed")).undo(sh("clear closed")).go()?;
            window.step("work", sh("fail 1; set work")).go()?;
            Ok(Value::None)
        })
    }));
    assert!(matches!(sim.live(), End::Waiting));
    assert!(sim.approve("now?"));
    assert!(matches!(sim.live(), End::Held));
    assert!(went_back(&sim));
    sim.tell(InboxMessage::RetryAll);
    assert!(matches!(sim.live(), End::Waiting), "{}", sim.story());
    assert!(sim.approve("now?"));
    assert!(matches!(sim.live(), End::Succeeded(_)));
    sim.check();
}

#[test]
fn a_window_never_waits_for_a_person() {
    let sim = Sim::new(Book::new(|run| {
        run.window("pause", LONG, |window| {
            window.step("close", sh("set closed")).undo(sh("clear closed")).go()?;
            window.approve("sure?")?;
            Ok(Value::None)
        })
    }));
    assert!(matches!(sim.live(), End::Held));
    sim.check();
    assert!(went_back(&sim));
    assert_eq!(sim.world.var("closed"), 0);
}

#[test]
fn a_read_that_begins_while_the_window_starts_to_go_back_does_not_hold_it_up() {
    let sim = Sim::new(Book::new(|run| {
        run.window("pause", LONG, |window| {
            window.step("close", sh("set closed")).undo(sh("clear closed")).go()?;
            let secret = piton_core::SecretRef::parse(None, "env:TOKEN").expect("a reference");
            let url = piton_core::secret::Text::secret(secret);
            let piton_core::Action::Query(mut read) = query("await never") else { unreachable!() };
            read.url = url;
            window.step("look", piton_core::Action::Query(read)).go()?;
            Ok(Value::None)
        })
    }));
    sim.vault.put("env:TOKEN", "hunter2hunter2");
    let engine = sim.attach().expect("it attaches");
    let control = engine.control();
    sim.vault.on_admit(move || control.pause(&actor("ada", 1)).expect("the journal is whole"));
    assert!(matches!(engine.run(), End::Held));
    drop(engine);
    sim.check();
    assert!(went_back(&sim));
}
