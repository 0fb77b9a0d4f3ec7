//! Parked runs: engines in the background leave them, what becomes of them is kept with the record that parks them, and
//! branches that wait hold no slot.

use crate::sim::{Book, Ctx, Result, Sim, is_ok, sh, value};
use piton_core::Value;
use piton_core::event::Event;
use piton_core::park::Rest;
use piton_engine::End;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(20);

fn rest(sim: &Sim) -> Rest {
    sim.store.kept().rest
}

/// Seconds of the simulation until it goes on by itself.
fn due_in(sim: &Sim) -> i64 {
    let now_us = piton_core::ports::Clock::now(&*sim.clock).wall_us;
    match rest(sim) {
        Rest::Parked { due_us: Some(due_us) } => (due_us - now_us + 500_000).div_euclid(1_000_000),
        other => panic!("{other:?}\n{}", sim.story()),
    }
}

fn soaks() -> Book {
    Book::new(|run| {
        run.step("before", sh("add before")).go()?;
        run.wait("soak", 3_600_000)?;
        run.step("after", sh("add after")).go()?;
        Ok(Value::None)
    })
}

#[test]
fn an_engine_in_the_background_leaves_a_run_to_its_timer() {
    let sim = Sim::new(soaks());
    assert!(matches!(sim.live(), End::Waiting));
    assert!((3590..=3600).contains(&due_in(&sim)));
    // Started too early, as after a clock that jumped: it leaves again.
    assert!(matches!(sim.live(), End::Waiting));
    sim.clock.jump(Duration::from_secs(3600));
    assert!(matches!(sim.live(), End::Succeeded(_)));
    sim.check();
    assert_eq!((rest(&sim), sim.world.var("before"), sim.world.var("after")), (Rest::ForPeople, 1, 1));
}

#[test]
fn what_becomes_of_a_run_is_durable_with_the_record_that_parks_it() {
    for moment in 1.. {
        let sim = Sim::new(soaks());
        sim.world.kill_after(moment);
        if matches!(sim.live(), End::Waiting) {
            assert!(moment > 4, "it was never killed");
            break;
        }
        let parked = sim.store.any(|event| matches!(event, Event::TimerSet(_)));
        assert_eq!(matches!(rest(&sim), Rest::Parked { due_us: Some(_) }), parked, "{}", sim.story());
    }
}

#[test]
fn in_the_foreground_whoever_sits_before_it_decides_what_becomes_of_it() {
    let sim = Sim::new(soaks());
    assert!(matches!(sim.live(), End::Waiting));
    let sim = sim.staying();
    let beside = sim.beside();
    while rest(&sim) != Rest::ForPeople {
        std::thread::yield_now();
    }
    sim.clock.jump(Duration::from_secs(3600));
    assert!(matches!(beside.join_within(PATIENCE), End::Succeeded(_)));
    sim.check();
}

#[test]
fn what_runs_when_its_engine_dies_is_for_a_person_and_not_for_the_waker() {
    let sim = Sim::new(
        Book::new(|run| run.parallel("both", &["soaks", "works"]))
            .function("soaks", |branch, _| {
                branch.wait("soak", 3_600_000)?;
                Ok(Value::None)
            })
            .function("works", |branch, _| {
                branch.step("work", sh("signal working; await soaking; die")).go()?;
                Ok(Value::None)
            }),
    );
    let beside = sim.beside();
    sim.world.wait_for("working");
    while !sim.store.any(|event| matches!(event, Event::TimerSet(_))) {
        std::thread::yield_now();
    }
    sim.world.signal("soaking");
    assert!(matches!(beside.join_within(PATIENCE), End::Broken(_)));
    assert_eq!(rest(&sim), Rest::ForPeople);
}

#[test]
fn a_retry_that_is_far_off_frees_its_thread_and_its_engine() {
    let sim = Sim::new(Book::new(|run| {
        run.step("flaky", sh("fail 2; add done")).retry_after(5, 600_000).go()?;
        Ok(Value::None)
    }));
    for _ in 0..2 {
        assert!(matches!(sim.live(), End::Waiting), "{}", sim.story());
        // Back-offs are spread by up to a quarter.
        assert!((400..=800).contains(&due_in(&sim)), "{}", due_in(&sim));
        let calls = sim.world.facts().calls;
        assert!(matches!(sim.live(), End::Waiting));
        assert_eq!(sim.world.facts().calls, calls, "not before it is due");
        sim.clock.jump(Duration::from_secs(800));
    }
    assert!(matches!(sim.live(), End::Succeeded(_)));
    sim.check();
    assert_eq!((sim.world.var("done"), rest(&sim)), (1, Rest::ForPeople));
}

#[test]
fn a_retry_beside_a_failure_that_was_caught_is_waited_for_no_more() {
    let sim = Sim::new(
        Book::new(|run| {
            let tried = run.attempt("try", |inside| inside.parallel("both", &["flaky", "fails"]))?;
            assert!(!is_ok(&tried));
            run.approve("sure?")?;
            Ok(Value::None)
        })
        .function("flaky", |branch, _| {
            branch.step("flaky", sh("signal tried; fail")).retry_after(5, 600_000).go()?;
            Ok(Value::None)
        })
        .function("fails", |branch, _| {
            branch.step("fails", sh("await tried; sleep 200; fail")).go()?;
            Ok(Value::None)
        }),
    );
    assert!(matches!(sim.live(), End::Waiting));
    assert_eq!((rest(&sim), sim.state().status().word()), (Rest::ForPeople, "waiting"), "{}", sim.story());
    sim.check();
}

#[test]
fn a_poll_that_looks_rarely_leaves_between_its_looks_and_looks_no_oftener_for_being_woken() {
    let sim = Sim::new(
        Book::new(|run| run.parallel("both", &["polls", "asks"]))
            .function("polls", |branch, _| {
                branch.poll("ready", "ready", (300_000, 7_200_000))?;
                Ok(Value::None)
            })
            .function("asks", |branch, _| {
                branch.approve("sure?")?;
                branch.step("do", sh("add done")).go()?;
                Ok(Value::None)
            }),
    );
    assert!(matches!(sim.live(), End::Waiting));
    assert!((290..=300).contains(&due_in(&sim)), "{}", due_in(&sim));
    // Each life looks once, whatever it was woken for, and however often its branches are.
    let looks = sim.world.facts().calls;
    assert!(sim.approve("both/asks/sure?"));
    assert!(matches!(sim.live(), End::Waiting));
    assert_eq!((sim.world.var("done"), sim.world.facts().calls), (1, looks + 2), "{}", sim.story());
    sim.clock.jump(Duration::from_secs(301));
    assert!(matches!(sim.live(), End::Waiting));
    sim.world.set_var("ready", 1);
    sim.clock.jump(Duration::from_secs(301));
    assert!(matches!(sim.live(), End::Succeeded(_)), "{}", sim.story());
    sim.check();
    assert_eq!(rest(&sim), Rest::ForPeople);
}

#[test]
fn an_engine_that_stays_looks_at_a_rare_poll_when_it_is_due() {
    let book = Book::new(|run| {
        run.poll("ready", "hook look; get ready", (60_000, 7_200_000))?;
        Ok(Value::None)
    });
    let sim = Sim::at_speed(600.0, book).staying();
    let looks = Arc::new(AtomicUsize::new(0));
    let (counted, world) = (looks.clone(), Arc::downgrade(&sim.world));
    sim.world.on("look", move || {
        if counted.fetch_add(1, Ordering::SeqCst) == 3
            && let Some(world) = world.upgrade()
        {
            std::thread::spawn(move || world.set_var("ready", 1));
        }
    });
    assert!(matches!(sim.beside().join_within(PATIENCE), End::Succeeded(_)));
    sim.check();
    assert!((4..8).contains(&looks.load(Ordering::SeqCst)), "{looks:?}");
}

fn locked(script: &'static str) -> Book {
    Book::new(move |run| {
        run.lock("db", |inside| {
            inside.step("work", sh(script)).go()?;
            Ok(Value::None)
        })
    })
}

#[test]
fn an_engine_in_the_background_leaves_a_run_that_waits_for_a_lock_and_it_has_its_turn_before_who_came_later() {
    let holder = Sim::new(locked("signal in; await go"));
    let first = holder.beside();
    holder.world.wait_for("in");
    let parked = holder.another(8, locked("add work"));
    assert!(matches!(parked.live(), End::Waiting));
    assert_eq!(rest(&parked), Rest::Parked { due_us: None });
    let late = holder.another(9, locked("add work")).staying();
    let late_life = late.beside();
    while holder.store.locks_now().waiting.len() < 2 {
        std::thread::yield_now();
    }
    holder.world.signal("go");
    assert!(matches!(first.join_within(PATIENCE), End::Succeeded(_)));
    // Whoever looks finds that it is the parked one's turn, and calls it.
    while holder.store.locks_now().called.is_empty() {
        std::thread::yield_now();
    }
    assert_eq!(late.world.var("work"), 0);
    assert!(matches!(parked.live(), End::Succeeded(_)), "{}", parked.story());
    assert!(matches!(late_life.join_within(PATIENCE), End::Succeeded(_)));
    let locks = holder.store.locks_now();
    assert!(locks.held.is_empty() && locks.waiting.is_empty() && locks.called.is_empty(), "{locks:?}");
    for sim in [&holder, &parked, &late] {
        sim.check();
    }
}

#[test]
fn a_waiter_that_does_not_come_when_it_is_called_keeps_nobody_waiting_for_long() {
    let holder = Sim::new(locked("signal in; await go"));
    let first = holder.beside();
    holder.world.wait_for("in");
    let dead = holder.another(8, locked("add work"));
    assert!(matches!(dead.live(), End::Waiting));
    let late = holder.another(9, locked("add work")).staying();
    let late_life = late.beside();
    while holder.store.locks_now().waiting.len() < 2 {
        std::thread::yield_now();
    }
    holder.world.signal("go");
    assert!(matches!(first.join_within(PATIENCE), End::Succeeded(_)));
    assert!(matches!(late_life.join_within(PATIENCE), End::Succeeded(_)), "{}", late.story());
    assert!(matches!(dead.live(), End::Succeeded(_)), "it comes late, and nobody is in the way");
    dead.check();
    late.check();
}

#[test]
fn a_lock_that_is_given_up_while_its_waiter_leaves_is_not_missed() {
    // Many times: the release comes at any moment of the leaving.
    for round in 0..60 {
        let holder = Sim::new(locked("signal in; await go"));
        let first = holder.beside();
        holder.world.wait_for("in");
        let waiter = holder.another(8, locked("add work"));
        let life = waiter.beside();
        std::thread::sleep(Duration::from_micros(round * 150));
        holder.world.signal("go");
        assert!(matches!(first.join_within(PATIENCE), End::Succeeded(_)));
        match life.join_within(PATIENCE) {
            End::Succeeded(_) => {}
            End::Waiting => {
                // It is parked for the lock, so the waker finds it, and so does who asks first.
                assert_eq!(rest(&waiter), Rest::Parked { due_us: None });
                let locks = holder.store.locks_now();
                assert!(locks.held.is_empty());
                let turn = locks.turn("db", 0).expect("it has its turn");
                assert_eq!(&turn.run, waiter.id());
                assert!(matches!(waiter.live(), End::Succeeded(_)));
            }
            other => panic!("{other:?}"),
        }
        waiter.check();
    }
}

#[test]
fn a_timer_that_an_edit_took_out_of_the_runbook_keeps_nobody_awake() {
    let mut sim = Sim::new(soaks());
    assert!(matches!(sim.live(), End::Waiting));
    sim.edit(Book::new(|run| {
        run.step("before", sh("add before")).go()?;
        run.approve("sure?")?;
        Ok(Value::None)
    }));
    sim.clock.jump(Duration::from_secs(7200));
    // It neither stays for what was due nor turns round and round.
    assert!(matches!(sim.beside().join_within(PATIENCE), End::Waiting));
    assert_eq!(rest(&sim), Rest::ForPeople);
    assert!(sim.approve("sure?"));
    assert!(matches!(sim.live(), End::Succeeded(_)));
}

/// A thousand branches, the first half of which wait for `how`; four slots.
fn half_of_a_thousand_waits(how: fn(&Ctx<'_>) -> Result<()>) -> (Sim, Arc<Mutex<(usize, usize)>>) {
    let inside = Arc::new(Mutex::new((0, 0)));
    let counted = inside.clone();
    let sim = Sim::new(Book::new(|run| run.each("all", 1000, 4, "item")).function("item", move |item, key| {
        {
            let mut inside = counted.lock().unwrap();
            inside.0 += 1;
            inside.1 = inside.0.max(inside.1);
        }
        let name = key.to_string();
        let number: usize = name.trim_matches('"').trim_start_matches("item-").parse().unwrap();
        let done = (|| {
            if number < 500 {
                how(item)?;
            }
            item.step("do", sh("add done")).go()?;
            Ok(Value::None)
        })();
        counted.lock().unwrap().0 -= 1;
        done
    }));
    (sim, inside)
}

#[test]
fn branches_that_wait_hold_no_slot_and_no_thread() {
    let approved: fn(&Ctx<'_>) -> Result<()> = |item| item.approve("sure?").map(drop);
    for how in [approved, |item| item.wait("soak", 3_600_000)] {
        let (sim, inside) = half_of_a_thousand_waits(how);
        assert!(matches!(sim.live(), End::Waiting));
        assert_eq!(sim.world.var("done"), 500, "those that need not wait have run");
        assert_eq!(sim.state().waiting_steps, 500);
        assert_eq!(*inside.lock().unwrap(), (0, 4), "never more than there are slots");
        sim.clock.jump(Duration::from_secs(3600));
        (0..500).for_each(|number| {
            let _ = sim.approve(&format!("all/item-{number}/sure?"));
        });
        let end = sim.live();
        assert_eq!(value(&end), Value::List(vec![Value::None; 1000]));
        assert_eq!((sim.world.var("done"), inside.lock().unwrap().1), (1000, 4));
        sim.check();
    }
}
