//! What a window may record beside a store that fails, and what it may not: found by the model of the window
//! (`crates/campaigns/tests/models/window.rs`).

use crate::sim::{Book, Sim, sh};
use piton_core::Value;
use piton_core::event::Event;
use piton_core::window::WindowPhase;
use piton_engine::End;
use std::time::Duration;

/// Real time: long enough that a commit point is asked for while a record is being written beside the store.
const WRITES_ASIDE: Duration = Duration::from_millis(400);

fn moves() -> Sim {
    let book = Book::new(|run| {
        run.step("before", sh("set before")).go()?;
        run.window("pause", (7200, 600), |window| {
            window.step("close", sh("set closed; hook closed")).undo(sh("clear closed")).go()?;
            std::thread::sleep(WRITES_ASIDE / 4);
            window.commit_point("moved")?;
            window.step("move", sh("set moved; clear closed")).go()?;
            Ok(Value::None)
        })?;
        Ok(Value::None)
    });
    Sim::new(book)
}

fn aside(sim: &Sim, is: impl Fn(&Event) -> bool) -> bool {
    let side = sim.store.kept().side.clone();
    side.iter().any(|sealed| is(&serde_json::from_str(&sealed.body).expect("an event")))
}

#[test]
fn a_commit_point_is_not_passed_beside_a_store_that_is_failing() {
    let sim = moves();
    let store = sim.store.clone();
    sim.world.on("closed", move || {
        let mut kept = store.kept();
        kept.full_at = Some(kept.records.len());
        kept.side_takes = WRITES_ASIDE;
    });
    assert!(matches!(sim.live(), End::Broken(_)), "{}", sim.story());
    assert!(!aside(&sim, |event| matches!(event, Event::CommitPointPassed { .. })), "{}", sim.story());
    assert_eq!(sim.world.times("set moved"), 0, "{}", sim.story());
    assert!(!sim.watchdogs.all()[0].dismissed, "its watchdog is there to go back");
    sim.live();
    assert_eq!(sim.world.var("closed"), 0, "the store still failing: {}", sim.story());
    sim.store.kept().full_at = None;
    sim.live();
    let window = sim.state().windows.values().next().cloned().expect("it was open");
    assert!(matches!(window.phase, WindowPhase::Closed { went_back: true, .. }), "{window:?}");
    sim.check();
}
