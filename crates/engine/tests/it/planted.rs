//! Planted faults: each makes the engine act as one with that mistake in its code would, and must be caught.
//!
//! Owns the five faults and, of each, which check catches it. What catches nothing would pass everything.

use crate::campaign::caught;
use crate::random::{ends_the_same, is_taken_back};
use crate::sim::{Book, Plant, Sim, path, sh};
use piton_core::event::{Event, How};
use piton_core::{Path, Value};
use piton_engine::End;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

/// Random runbooks in which a fault must show.
const SEEDS: std::ops::Range<u64> = 1..60;

/// The first failure that says this, of a trial over seeds. Other checks may see the fault too, at other seeds.
fn a_seed_catches(says: &str, trial: impl Fn(u64)) -> String {
    for seed in SEEDS {
        if let Err(why) = caught(|| trial(seed))
            && why.contains(says)
        {
            return why;
        }
    }
    panic!("nothing says {says:?} in the seeds {SEEDS:?}: the fault is not caught");
}

fn three_slow() -> Sim {
    Sim::new(Book::new(|run| {
        run.step("one", sh("signal working; await go; add one")).go()?;
        run.step("two", sh("add two")).go()?;
        Ok(Value::None)
    }))
}

/// A slow engine goes on after another has taken its run over.
fn an_engine_appends_after_its_lease_was_taken(plant: Option<Plant>) -> Result<(), String> {
    let sim = three_slow();
    sim.store.kept().plant = plant;
    let slow = sim.beside();
    sim.world.wait_for("working");
    let second = sim.attach().expect("it attaches");
    sim.world.signal("go");
    let end = slow.join();
    drop(second);
    caught(|| {
        sim.check_journal();
        assert!(matches!(end, End::Broken(_)), "the slow engine went on to its end");
    })
}

/// Caught by a rule of the receipt: the journal's fences never fall.
#[test]
fn a_lost_fence_is_caught() {
    assert_eq!(an_engine_appends_after_its_lease_was_taken(None), Ok(()));
    let plant = Plant { ignores_fence: true, ..Plant::nothing() };
    let why = an_engine_appends_after_its_lease_was_taken(Some(plant)).expect_err("it is caught");
    assert!(why.contains("appended under the lease 1 after the lease 2 was taken"), "{why}");
}

/// A step is recorded as done when its attempt begins; its real end is not recorded.
fn finishing_first() -> Plant {
    let finished: Arc<Mutex<BTreeSet<(Path, u32)>>> = Arc::default();
    Plant::writing(move |event| match event {
        Event::AttemptStarted(started) => {
            let done = Event::StepSucceeded(Box::new(crate::sim::performed(&started)));
            finished.lock().unwrap().insert((started.path.clone(), started.generation));
            vec![Event::AttemptStarted(started), done]
        }
        Event::StepSucceeded(done) if finished.lock().unwrap().contains(&(done.path.clone(), done.generation)) => {
            vec![]
        }
        other => vec![other],
    })
}

/// Caught by the simulator's executor, at the action: its step counts as finished already. And by the comparison with
/// the run that nobody killed: an engine that died before the action is followed by one that never performs it.
#[test]
fn a_finish_written_before_the_action_is_caught() {
    let plant = finishing_first();
    a_seed_catches("a finished step is performed again", |seed| ends_the_same(seed, Some(&plant)));
}

fn without_undo_at_the_start() -> Plant {
    Plant::writing(|event| match event {
        Event::AttemptStarted(mut started) => {
            started.undo = None;
            vec![Event::AttemptStarted(started)]
        }
        other => vec![other],
    })
}

/// Caught by the world after taking back: what the runbook declared an undo for is still there.
#[test]
fn an_undo_not_recorded_at_the_start_is_caught_by_the_world() {
    let plant = without_undo_at_the_start();
    a_seed_catches("has an undo and is not taken back", |seed| is_taken_back(seed, Some(&plant)));
}

/// Caught by a rule of the receipt: where the engine that began a step takes it back, the journal has no such undo.
#[test]
fn an_undo_not_recorded_at_the_start_is_caught_by_the_receipt() {
    let plant = without_undo_at_the_start();
    a_seed_catches("by an action that was not declared for it", |seed| is_taken_back(seed, Some(&plant)));
}

/// What was already true is recorded as if the run had made it so, with the undo of its step.
fn taking_credit() -> Plant {
    Plant::writing(|event| match event {
        Event::StepSucceeded(mut done) if done.how == How::AlreadyTrue => {
            done.how = How::Performed;
            done.undo = Some(sh(&format!("clear {}", crate::random::STANDS)));
            vec![Event::StepSucceeded(done)]
        }
        other => vec![other],
    })
}

/// Caught by the world after taking back: what stood before the run began is gone.
#[test]
fn an_already_true_step_that_is_undone_is_caught_by_the_world() {
    let plant = taking_credit();
    a_seed_catches("what was already true is taken back", |seed| is_taken_back(seed, Some(&plant)));
}

/// Caught by a rule of the receipt as well, taken back or not: nothing was performed without an intent.
#[test]
fn an_already_true_step_that_is_undone_is_caught_by_the_receipt() {
    let plant = taking_credit();
    a_seed_catches("was performed without its intent being recorded before", |seed| ends_the_same(seed, Some(&plant)));
}

/// A scope that catches has settled; the next engine, with another source, evaluates it again.
fn a_settled_scope_is_replayed(plant: Option<Plant>) -> Result<(), String> {
    let book = |also: bool| {
        Book::new(move |run| {
            run.attempt("try", |inner| {
                if also {
                    inner.step("late", sh("add late")).go()?;
                }
                inner.step("fails", sh("fail")).go()?;
                Ok(Value::None)
            })?;
            run.approve("go on")?;
            Ok(Value::None)
        })
    };
    let mut sim = Sim::new(book(false));
    sim.store.kept().plant = plant;
    assert!(matches!(sim.live(), End::Waiting));
    assert!(sim.state().scopes[&path("try")].settled.is_some());
    sim.edit(book(true));
    assert!(matches!(sim.live(), End::Waiting));
    caught(|| sim.check_journal())
}

/// Caught by a rule of the receipt: nothing begins in a scope whose end is settled.
#[test]
fn a_settled_scope_that_acts_on_replay_is_caught() {
    assert_eq!(a_settled_scope_is_replayed(None), Ok(()));
    let plant = Plant::reading(|event| !matches!(event, Event::ScopeSettled(_)));
    let why = a_settled_scope_is_replayed(Some(plant)).expect_err("it is caught");
    assert!(why.contains("begins in a scope whose end is settled"), "{why}");
}

/// What the faulty engines are is told by the plants alone: planting nothing changes nothing.
#[test]
fn an_engine_behind_a_plant_that_does_nothing_is_sound() {
    for seed in 1..6 {
        ends_the_same(seed, Some(&Plant::nothing()));
        is_taken_back(seed, Some(&Plant::nothing()));
    }
}
