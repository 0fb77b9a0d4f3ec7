//! Guards: what a trip stops, takes back and leaves alone, and when a guard looks at all.

use crate::sim::{Book, Sim, at_every_moment, at_every_moment_and, guard, is_ok, judged, path, sh, value};
use piton_core::Value;
use piton_core::event::{Event, GuardTripped};
use piton_core::guard::{Guard, OnTrip, Then};
use piton_core::hold::{Choice, HoldReason};
use piton_core::ports::InboxMessage;
use piton_core::window::WindowPhase;
use piton_engine::End;
use std::time::{Duration, Instant};

const CALM: &str = "work/calm";

fn calm(on_trip: OnTrip) -> Vec<Guard> {
    vec![guard("calm", "get load", on_trip)]
}

/// Two guarded steps between two others. The first of them runs until it is let go.
fn guarded(on_trip: OnTrip, first: &'static str) -> Book {
    Book::new(move |run| {
        run.step("before", sh("add before")).undo(sh("sub before")).go()?;
        run.guarded_phase("work", calm(on_trip), |work| {
            work.step("first", sh(first)).undo(sh("clear first")).go()?;
            work.step("second", sh("add second")).undo(sh("sub second")).go()?;
            Ok(Value::None)
        })?;
        run.step("after", sh("add after")).undo(sh("sub after")).go()?;
        Ok(Value::None)
    })
}

/// The load rises when a script says so.
fn stormy(book: Book) -> Sim {
    let sim = Sim::new(book);
    let world = sim.world.clone();
    sim.world.on("storm", move || world.set_var("load", 9));
    sim
}

/// Calms the load down and tries again whatever holds.
fn calms_down(sim: &Sim) -> bool {
    let held = sim.state().is_held();
    sim.world.set_var("load", 0);
    if held {
        sim.tell(InboxMessage::RetryAll);
    }
    held
}

/// The same, and then no storm comes again.
fn calms_for_good(sim: &Sim) -> bool {
    let world = sim.world.clone();
    sim.world.on("storm", move || world.set_var("load", 0));
    calms_down(sim)
}

fn trips(sim: &Sim) -> Vec<GuardTripped> {
    let kept = sim.store.kept();
    let trips = kept.events.iter().filter_map(|event| match event {
        Event::GuardTripped(trip) => Some((**trip).clone()),
        _ => None,
    });
    trips.collect()
}

fn held_by_guard(sim: &Sim, at: &str) -> bool {
    matches!(sim.state().other_holds.get(&path(at)), Some(HoldReason::Tripped { .. }))
}

fn until(what: &str, is: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !is() {
        assert!(Instant::now() < end, "waited too long until {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_trip_lets_the_running_action_finish_and_starts_none() {
    let sim = stormy(guarded(OnTrip::Hold, "hook storm; await go; add first"));
    let beside = sim.beside();
    until("it trips", || held_by_guard(&sim, CALM));
    sim.world.signal("go");
    let end = beside.join();
    sim.check();
    assert!(matches!(end, End::Held), "{end:?}");
    assert_eq!((sim.world.var("first"), sim.world.var("second")), (1, 0), "{}", sim.story());
    assert!(sim.done("work/first"));
    let [trip] = &trips(&sim)[..] else { panic!("{}", sim.story()) };
    assert_eq!((trip.saw.as_str(), trip.limit.as_str(), trip.then), ("9", "below 5", Then::Hold));
    let hold = sim.state().other_holds[&path(CALM)].to_string();
    assert_eq!(hold, "the guard \"calm\" tripped: query db: get load gave 9, and must be below 5");
}

#[test]
fn a_trip_that_holds_is_survived_whatever_moment_its_engine_dies_at() {
    // Killed between the trip's event and whatever follows from it, too.
    at_every_moment_and(
        || stormy(guarded(OnTrip::Hold, "add first; hook storm; sleep 400")).person(calms_down),
        |sim, _| {
            let armed = sim.store.count(|event| matches!(event, Event::GuardArmed { .. }));
            assert!(armed >= 1 && armed == trips(sim).len(), "{}", sim.story());
        },
    );
}

#[test]
fn a_trip_that_undoes_ends_what_runs_and_takes_its_scope_back_and_nothing_else() {
    let sim = stormy(guarded(OnTrip::Undo, "set first; hook storm; await never"));
    let end = sim.live();
    sim.check();
    assert!(matches!(end, End::Held), "{end:?}");
    assert_eq!((sim.world.var("before"), sim.world.var("first"), sim.world.var("second")), (1, 0, 0));
    assert!(sim.undone("work/first") && sim.done("before"), "{}", sim.story());
    assert!(held_by_guard(&sim, CALM));
}

#[test]
fn a_trip_that_undoes_is_survived_whatever_moment_its_engine_dies_at() {
    at_every_moment_and(
        || stormy(guarded(OnTrip::Undo, "set first; hook storm; sleep 400")).person(calms_for_good),
        |sim, _| {
            assert!(sim.store.any(|event| matches!(event, Event::UndoFinished { .. })), "{}", sim.story());
        },
    );
}

#[test]
fn a_guard_that_fails_keeps_its_scope_from_starting_and_trying_again_looks_again() {
    let sim = stormy(guarded(OnTrip::Hold, "add first"));
    sim.world.set_var("load", 9);
    for _ in 0..2 {
        assert!(matches!(sim.live(), End::Held));
        assert_eq!((sim.world.var("before"), sim.world.var("first")), (1, 0));
        sim.decide(CALM, Choice::Retry);
    }
    assert_eq!(trips(&sim).len(), 2);
    sim.world.set_var("load", 0);
    let end = sim.live();
    sim.check();
    assert!(matches!(end, End::Succeeded(_)), "{end:?}");
    assert_eq!(sim.world.var("first"), 1);
}

#[test]
fn a_run_that_a_guard_holds_goes_on_by_no_other_word_than_about_the_guard() {
    let sim = stormy(guarded(OnTrip::Hold, "add first"));
    sim.world.set_var("load", 9);
    assert!(matches!(sim.live(), End::Held));
    sim.world.set_var("load", 0);
    assert!(matches!(sim.live(), End::Held), "nobody has said anything");
    sim.decide(CALM, Choice::Done);
    assert!(matches!(sim.live(), End::Held), "there is nothing to be done by hand");
    assert!(sim.notebook.warnings.lock().unwrap()[0].contains("takes --retry or --waive"));
    sim.check();
}

#[test]
fn a_waived_guard_lets_the_run_go_on_and_trips_again_only_after_it_has_passed() {
    let sim = stormy(guarded(OnTrip::Hold, "add first; await calm; hook storm; await go"));
    sim.world.set_var("load", 9);
    assert!(matches!(sim.live(), End::Held));
    sim.decide(CALM, Choice::Waive);
    let beside = sim.beside();
    until("the first step runs", || sim.world.var("first") == 1);
    let calls = sim.world.facts().calls;
    until("it has looked again", || sim.world.facts().calls > calls + 3);
    assert_eq!(trips(&sim).len(), 1, "it is still red, and waived");
    sim.world.set_var("load", 0);
    until("it passes", || sim.store.any(|event| matches!(event, Event::GuardArmed { .. })));
    sim.world.signal("calm");
    until("it trips again", || trips(&sim).len() == 2);
    sim.world.signal("go");
    assert!(matches!(beside.join(), End::Held));
    sim.check();
    assert_eq!(sim.world.var("second"), 0);
}

#[test]
fn failures_in_a_row_are_tolerated_as_often_as_the_guard_says_and_a_read_that_fails_is_one() {
    for (tolerate, trips_expected) in [(2u32, 1usize), (3, 0)] {
        let sim = Sim::new(Book::new(move |run| {
            // Three failures, then calm.
            let calm = Guard { tolerate, ..guard("calm", "fail 3; get load", OnTrip::Hold) };
            run.guarded_phase("work", vec![calm], |work| {
                work.step("first", sh("add first")).go()?;
                Ok(Value::None)
            })
        }));
        let end = sim.live();
        sim.check();
        assert_eq!(trips(&sim).len(), trips_expected, "{}", sim.story());
        assert_eq!(matches!(end, End::Succeeded(_)), trips_expected == 0, "{end:?}");
        assert_eq!(sim.world.var("first"), i64::from(trips_expected == 0), "nothing starts before it has passed");
        if let [trip] = &trips(&sim)[..] {
            assert_eq!((trip.failures, trip.saw.as_str()), (3, "no answer: it failed"));
        }
    }
}

#[test]
fn a_predicate_is_asked_and_one_that_raises_an_error_is_a_failure() {
    for (load, saw) in [(0, None), (7, Some("7")), (13, Some("13 (it raised an error)"))] {
        let sim = Sim::new(Book::new(move |run| {
            run.guarded_phase("work", vec![judged(guard("calm", "get load", OnTrip::Hold))], |work| {
                work.step("first", sh("add first")).go()?;
                Ok(Value::None)
            })
        }));
        sim.world.set_var("load", load);
        sim.live();
        sim.check();
        let told: Vec<String> = trips(&sim).into_iter().map(|trip| trip.saw).collect();
        assert_eq!(told.first().map(String::as_str), saw);
        assert_eq!(sim.world.var("first"), i64::from(saw.is_none()));
    }
}

/// A window whose work raises the load, before or after its commit point.
fn guarded_window(on_trip: OnTrip, committed: bool) -> Book {
    Book::new(move |run| {
        run.guarded_window("pause", calm(on_trip), |window| {
            window.step("close", sh("add closed")).undo(sh("clear closed")).go()?;
            if committed {
                window.commit_point("no way back")?;
            }
            // Ended by the trip, if that comes before the commit point: as long as a busy machine may need for it.
            let work = if committed { "hook storm; sleep 400; set work" } else { "hook storm; sleep 2000; set work" };
            window.step("work", sh(work)).undo(sh("clear work")).go()?;
            window.step("open", sh("clear closed")).go()?;
            Ok(Value::None)
        })
    })
}

#[test]
fn a_trip_in_a_window_goes_back_at_once_whatever_it_says_and_moment_its_engine_dies_at() {
    for on_trip in [OnTrip::Hold, OnTrip::Undo] {
        let sim = stormy(guarded_window(on_trip, false));
        let end = sim.live();
        sim.check();
        assert!(matches!(end, End::Held) && held_by_guard(&sim, "pause/calm"), "{end:?} {}", sim.story());
        let window = sim.state().windows.values().next().cloned().unwrap();
        assert!(matches!(window.phase, WindowPhase::Closed { went_back: true, .. }));
        assert!(window.went_back_because.contains("calm"), "{}", window.went_back_because);
        assert_eq!((sim.world.var("closed"), sim.world.var("work")), (0, 0));
        assert_eq!(trips(&sim)[0].then, Then::GoBack);
    }
    // It is entered again when a person says so, and then the storm comes once more.
    at_every_moment(|| stormy(guarded_window(OnTrip::Hold, false)).person(calms_for_good));
}

#[test]
fn a_tripped_guard_keeps_a_window_from_opening() {
    let sim = stormy(guarded_window(OnTrip::Hold, false));
    sim.world.set_var("load", 9);
    let end = sim.live();
    sim.check();
    assert!(matches!(end, End::Held) && held_by_guard(&sim, "pause/calm"), "{end:?}");
    assert!(!sim.store.any(|event| matches!(event, Event::WindowOpened(_))), "{}", sim.story());
    assert!(sim.world.ledger().is_empty());
}

#[test]
fn past_its_commit_point_a_trip_only_warns_and_is_recorded() {
    for on_trip in [OnTrip::Hold, OnTrip::Undo] {
        let sim = stormy(guarded_window(on_trip, true));
        let end = sim.live();
        sim.check();
        assert!(matches!(end, End::Succeeded(_)), "{end:?} {}", sim.story());
        assert_eq!(trips(&sim)[0].then, Then::Warn);
        assert!(sim.notebook.warnings.lock().unwrap()[0].contains("calm"));
        assert_eq!((sim.world.var("closed"), sim.world.var("work")), (0, 1));
    }
    at_every_moment(|| stormy(guarded_window(OnTrip::Undo, true)));
}

#[test]
fn a_guard_around_a_window_sends_it_back_and_past_its_commit_point_waits_for_its_end() {
    for committed in [false, true] {
        let sim = stormy(Book::new(move |run| {
            run.guarded_phase("around", calm(OnTrip::Undo), |around| {
                around.window("pause", (7200, 600), |window| {
                    window.step("close", sh("add closed")).undo(sh("clear closed")).go()?;
                    if committed {
                        window.commit_point("no way back")?;
                    }
                    window.step("work", sh("hook storm; sleep 400; set work")).undo(sh("clear work")).go()?;
                    window.step("open", sh("clear closed")).go()?;
                    Ok(Value::None)
                })?;
                around.step("after", sh("add after")).go()?;
                Ok(Value::None)
            })
        }));
        let end = sim.live();
        sim.check();
        assert!(matches!(end, End::Held), "{end:?} {}", sim.story());
        assert!(sim.state().open_window().is_none());
        assert_eq!((sim.world.var("closed"), sim.world.var("work")), (0, i64::from(committed)));
        assert_eq!(sim.world.var("after"), 0);
        assert_eq!(trips(&sim)[0].then, if committed { Then::Hold } else { Then::Undo });
    }
}

#[test]
fn a_trip_is_never_caught() {
    let sim = stormy(Book::new(|run| {
        let tried = run.attempt("try", |inside| {
            inside.guarded_window("pause", calm(OnTrip::Hold), |window| {
                window.step("work", sh("hook storm; sleep 400; set work")).undo(sh("clear work")).go()?;
                Ok(Value::None)
            })
        })?;
        run.step("after", sh("add after")).go()?;
        Ok(is_ok(&tried).into())
    }));
    let end = sim.live();
    sim.check();
    assert!(matches!(end, End::Held), "{end:?} {}", sim.story());
    assert_eq!(sim.world.var("after"), 0);
    assert!(calms_for_good(&sim));
    assert_eq!(value(&sim.live()), Value::Bool(true));
    sim.check();
}

#[test]
fn replay_never_looks() {
    let sim = Sim::new(Book::new(|run| {
        run.guarded_phase("work", calm(OnTrip::Hold), |work| {
            work.step("first", sh("add first")).go()?;
            Ok(Value::None)
        })?;
        run.approve("sure?")?;
        Ok(Value::None)
    }));
    assert!(matches!(sim.live(), End::Waiting));
    // Whatever the world says since: what is over is not looked at again.
    sim.world.set_var("load", 9);
    let calls = sim.world.facts().calls;
    assert!(matches!(sim.live(), End::Waiting));
    assert_eq!(sim.world.facts().calls, calls);
    assert!(sim.approve("sure?"));
    assert!(matches!(sim.live(), End::Succeeded(_)));
    sim.check();
    assert!(trips(&sim).is_empty());
}

#[test]
fn a_guard_looks_while_its_scope_waits_and_its_engine_stays_for_it() {
    // The soak after a move: nothing runs, and the errors rise.
    for waits_for_a_person in [false, true] {
        let sim = Sim::new(Book::new(move |run| {
            run.guarded_phase("soak", calm(OnTrip::Hold), |soak| {
                soak.step("first", sh("add first; signal soaking")).go()?;
                if waits_for_a_person {
                    soak.approve("sure?")?;
                } else {
                    soak.wait("quiet", 3_600_000)?;
                }
                Ok(Value::None)
            })
        }));
        let beside = sim.beside();
        sim.world.wait_for("soaking");
        until("it is parked", || beside.control.with_state(|state| state.waiting_steps == 1));
        sim.world.set_var("load", 9);
        let end = beside.join_within(Duration::from_secs(10));
        sim.check();
        assert!(matches!(end, End::Held) && held_by_guard(&sim, "soak/calm"), "{end:?} {}", sim.story());
    }
}

#[test]
fn a_guard_of_branches_stops_all_of_them_and_one_inside_a_branch_is_over_with_it() {
    let book = Book::new(|run| {
        run.parallel("both", &["stormy", "slow"])?;
        Ok(Value::None)
    });
    let book = book
        .function("stormy", |branch, _| {
            branch.guarded_phase("work", calm(OnTrip::Hold), |work| {
                work.step("first", sh("await slow; hook storm; await go; add first")).go()?;
                work.step("second", sh("add second")).go()?;
                Ok(Value::None)
            })
        })
        .function("slow", |branch, _| {
            branch.step("one", sh("signal slow; await go; add one")).go()?;
            branch.step("two", sh("add two")).go()?;
            Ok(Value::None)
        });
    let sim = stormy(book);
    let beside = sim.beside();
    until("it trips", || held_by_guard(&sim, "both/stormy/work/calm"));
    sim.world.signal("go");
    assert!(matches!(beside.join(), End::Held));
    sim.check();
    let vars = ["first", "second", "one", "two"].map(|name| sim.world.var(name));
    assert_eq!(vars, [1, 0, 1, 0], "{}", sim.story());
}

#[test]
fn a_guard_looks_after_what_an_earlier_engine_started() {
    let sim = stormy(guarded(OnTrip::Hold, "die; hook storm; await go; add first"));
    assert!(matches!(sim.live(), End::Broken(_)));
    let beside = sim.beside();
    until("it trips", || held_by_guard(&sim, CALM));
    sim.world.signal("go");
    assert!(matches!(beside.join(), End::Held));
    sim.check();
    assert_eq!((sim.world.var("first"), sim.world.var("second")), (1, 0), "what ran is looked after and nothing more");
}
