//! What a window may record beside a store that fails, and what it may not: found by the model of the window
//! (`crates/campaigns/tests/models/window.rs`).

use crate::sim::{Book, Sim, sh};
use piton_core::Value;
use piton_core::event::Event;
use piton_core::window::WindowPhase;
use piton_engine::End;

fn moves(speed: f64) -> Sim {
    let book = Book::new(|run| {
        run.step("before", sh("set before")).go()?;
        run.window("pause", (60, 10), |window| {
            window.step("close", sh("set closed; hook closed")).undo(sh("clear closed")).go()?;
            window.step("wait for the last write", sh("set waited")).go()?;
            window.commit_point("moved")?;
            window.step("move", sh("set moved; clear closed")).go()?;
            Ok(Value::None)
        })?;
        Ok(Value::None)
    });
    Sim::at_speed(speed, book)
}

fn aside(sim: &Sim, is: impl Fn(&Event) -> bool) -> bool {
    let side = sim.store.kept().side.clone();
    side.iter().any(|sealed| is(&serde_json::from_str(&sealed.body).expect("an event")))
}

#[test]
fn a_window_does_not_open_beside_a_store_that_fails() {
    // An engine that finds its store full at the opening: its watchdog would see no window there to take over.
    let undisturbed = moves(20.0);
    assert!(matches!(undisturbed.live(), End::Succeeded(_)));
    let events = undisturbed.store.kept().events.clone();
    let opening = events.iter().position(|event| matches!(event, Event::WindowOpened(_))).expect("it opens");

    let sim = moves(20.0);
    sim.store.kept().full_at = Some(opening);
    // Space for all but the opening, when the window is armed.
    sim.store.kept().ignore_full_when_preparing = true;
    assert!(matches!(sim.live(), End::Broken(_)), "{}", sim.story());
    assert_eq!(sim.world.times("set closed"), 0, "nothing is done in a window that is not open");
    assert!(sim.store.kept().side.is_empty(), "{}", sim.story());
    sim.store.kept().full_at = None;
    assert!(matches!(sim.live(), End::Succeeded(_)));
    sim.check();
}

#[test]
fn a_commit_point_is_not_passed_beside_a_store_that_has_failed() {
    // So slow that the monitor, which would go back, looks once and not again.
    let sim = moves(0.005);
    let store = sim.store.clone();
    sim.world.on("closed", move || {
        let mut kept = store.kept();
        kept.full_at = Some(kept.records.len());
    });
    assert!(matches!(sim.live(), End::Broken(_)), "{}", sim.story());
    assert!(!aside(&sim, |event| matches!(event, Event::CommitPointPassed { .. })), "{}", sim.story());
    assert!(aside(&sim, |event| matches!(event, Event::WindowGoingBack { .. })), "{}", sim.story());
    assert_eq!((sim.world.var("closed"), sim.world.times("set moved")), (0, 0), "{}", sim.story());
    sim.store.kept().full_at = None;
    sim.live();
    let window = sim.state().windows.values().next().cloned().expect("it was open");
    assert!(matches!(window.phase, WindowPhase::Closed { went_back: true, .. }), "{window:?}");
    sim.check();
}
