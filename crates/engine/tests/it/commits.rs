//! Group commit: what one flush carries.

use crate::sim::{Book, Sim, noop, sql};
use piton_core::Value;
use piton_engine::End;
use std::time::Duration;

/// Real time.
const REAL: f64 = 1.0;
/// So slow that what is flushed because a few milliseconds have passed, on a busy machine, hardly shows.
const SLOW: f64 = 0.01;

fn appends(sim: &Sim) -> usize {
    assert!(matches!(sim.live(), End::Succeeded(_)));
    sim.check();
    sim.store.kept().appends.len()
}

#[test]
fn a_sequence_of_steps_costs_one_append_a_step() {
    const STEPS: usize = 100;
    for write in [false, true] {
        let sim = Sim::at_speed(
            SLOW,
            Book::new(move |run| {
                for index in 0..STEPS {
                    let action = if write { sql("set a") } else { noop(1) };
                    run.step(&format!("step {index}"), action).go()?;
                }
                Ok(Value::None)
            }),
        );
        let appends = appends(&sim);
        assert!((STEPS..=STEPS + 4).contains(&appends), "{appends} appends for {STEPS} steps");
    }
}

#[test]
fn branches_share_their_appends() {
    const BRANCHES: usize = 64;
    const STEPS: usize = 6;
    let sim = Sim::at_speed(
        REAL,
        Book::new(|run| run.each("all", BRANCHES, BRANCHES as u32, "item")).function("item", |item, _| {
            for index in 0..STEPS {
                item.step(&format!("step {index}"), sql("set a")).go()?;
            }
            Ok(Value::None)
        }),
    );
    sim.store.kept().commit_takes = Duration::from_millis(10);
    let appends = appends(&sim);
    assert!(appends < BRANCHES * STEPS / 4, "{appends} appends for {} steps", BRANCHES * STEPS);
}

#[test]
fn thousands_of_branches_need_few_threads() {
    const BRANCHES: usize = 2000;
    let sim = Sim::new(Book::new(|run| run.each("all", BRANCHES, 10_000, "item")).function("item", |item, key| {
        item.step("read", noop(1)).go()?;
        Ok(key)
    }));
    assert!(matches!(sim.live(), End::Succeeded(_)));
    assert_eq!(sim.state().done_steps, BRANCHES as u64);
}

#[test]
fn a_branch_may_have_branches_though_all_threads_are_taken() {
    let sim = Sim::new(
        Book::new(|run| run.each("all", 40, 40, "outer"))
            .function("outer", |outer, _| outer.each("each", 40, 40, "inner"))
            .function("inner", |inner, key| {
                inner.step("read", noop(1)).go()?;
                Ok(key)
            }),
    );
    assert!(matches!(sim.live(), End::Succeeded(_)));
    assert_eq!(sim.state().done_steps, 1600);
}
