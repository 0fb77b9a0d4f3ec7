//! Rehearsals: a window turns round at its commit point, whatever dies when, and the run ends as it should.

use crate::sim::{Book, Ctx, Sim, at_every_moment_and, is_ok, sh, value};
use piton_core::Value;
use piton_core::event::{Event, Finish, Rehearsal};
use piton_core::ports::InboxMessage;
use piton_core::window::Window;
use piton_engine::End;

/// Long enough that no test comes near it.
const LONG: (u64, u64) = (7200, 600);

fn cut(window: &Ctx<'_>) -> crate::sim::Result {
    window.step("close", sh("add closed")).undo(sh("clear closed")).go()?;
    window.step("work", sh("set work")).undo(sh("clear work")).go()?;
    window.commit_point("moved")?;
    window.step("open", sh("sub closed")).go()?;
    Ok(Value::None)
}

/// A commit point outside of any window, one inside, and something behind it.
fn book() -> Book {
    Book::new(|run| {
        run.step("before", sh("set before")).undo(sh("clear before")).go()?;
        run.commit_point("prepared")?;
        run.window("pause", LONG, cut)?;
        run.step("after", sh("add after")).go()?;
        Ok(5i64.into())
    })
}

fn window(sim: &Sim) -> Window {
    sim.state().windows.values().next().cloned().expect("a window was entered")
}

fn rehearsed(sim: &Sim) -> bool {
    let window = window(sim);
    window.rehearsed && !window.committed && window.back_took_us.is_some()
}

#[test]
fn a_window_turns_round_at_its_commit_point_and_the_rehearsal_ends_well_whatever_moment_its_engine_dies_at() {
    at_every_moment_and(
        || Sim::new(book()).rehearsing(Rehearsal::Back),
        |sim, vars| {
            assert!(rehearsed(sim), "{}", sim.story());
            assert!(matches!(sim.state().finished, Some((Finish::Succeeded, _))), "{}", sim.story());
            // What was done before the window stays, what it did is taken back, nothing comes after it.
            assert_eq!(vars.keys().map(String::as_str).collect::<Vec<_>>(), ["before"], "{}", sim.story());
            let turns = |event: &Event| matches!(event, Event::WindowGoingBack { rehearsed: true, .. });
            assert_eq!((sim.store.count(turns), sim.state().commit_points.len()), (1, 1), "{}", sim.story());
        },
    );
}

#[test]
fn a_rehearsal_forward_is_performed_as_any_run_is() {
    at_every_moment_and(
        || Sim::new(book()).rehearsing(Rehearsal::Forward),
        |sim, vars| {
            assert_eq!((vars.get("after"), vars.get("work")), (Some(&1), Some(&1)), "{}", sim.story());
            assert_eq!((sim.state().commit_points.len(), window(sim).rehearsed), (2, false));
        },
    );
}

#[test]
fn a_window_without_a_commit_point_turns_round_at_its_end_whatever_moment_its_engine_dies_at() {
    at_every_moment_and(
        || {
            let book = Book::new(|run| {
                run.window("pause", LONG, |window| {
                    window.step("close", sh("add closed")).undo(sh("clear closed")).go()?;
                    window.step("open", sh("add opened")).undo(sh("clear opened")).go()?;
                    Ok(Value::None)
                })?;
                run.step("after", sh("add after")).go()?;
                Ok(Value::None)
            });
            Sim::new(book).rehearsing(Rehearsal::Back)
        },
        |sim, vars| assert!(rehearsed(sim) && vars.is_empty(), "{}", sim.story()),
    );
}

#[test]
fn what_catches_a_window_goes_on_in_a_rehearsal_too_whatever_moment_its_engine_dies_at() {
    at_every_moment_and(
        || {
            let book = Book::new(|run| {
                let tried = run.attempt("try", |inside| inside.window("first", LONG, cut))?;
                assert!(!is_ok(&tried));
                run.step("between", sh("add between")).go()?;
                run.window("second", LONG, cut)?;
                run.step("after", sh("add after")).go()?;
                Ok(Value::None)
            });
            Sim::new(book).rehearsing(Rehearsal::Back)
        },
        |sim, vars| {
            let windows = sim.state().windows;
            assert!(windows.len() == 2 && windows.values().all(|window| window.rehearsed), "{}", sim.story());
            assert_eq!(vars.keys().map(String::as_str).collect::<Vec<_>>(), ["between"], "{}", sim.story());
        },
    );
}

#[test]
fn nobodys_answer_is_waited_for_once_a_rehearsal_has_gone_back() {
    let book = Book::new(|run| run.parallel("both", &["wait", "cut"]))
        .function("wait", |branch, _| {
            branch.approve("go")?;
            branch.step("late", sh("add late")).go()?;
            Ok(Value::None)
        })
        .function("cut", |branch, _| {
            branch.window("pause", LONG, |window| {
                window.step("close", sh("add closed")).undo(sh("clear closed")).go()?;
                Ok(Value::None)
            })
        });
    let sim = Sim::new(book).rehearsing(Rehearsal::Back).staying();
    let end = sim.beside().join_within(std::time::Duration::from_secs(20));
    assert!(matches!(end, End::Succeeded(Value::None)), "{end:?}\n{}", sim.story());
    sim.check();
    assert!(sim.world.facts().vars.values().all(|value| *value == 0), "{}", sim.story());
}

#[test]
fn what_runs_beside_a_rehearsed_window_is_finished_and_nothing_else_is_started() {
    let book = Book::new(|run| run.parallel("both", &["beside", "cut"]))
        .function("beside", |branch, _| {
            branch.step("running", sh("signal begun; await gone; sleep 4000; add finished")).go()?;
            branch.step("late", sh("add late")).go()?;
            Ok(Value::None)
        })
        .function("cut", |branch, _| {
            branch.window("pause", LONG, |window| {
                window.step("close", sh("await begun; add closed")).undo(sh("clear closed; signal gone")).go()?;
                Ok(Value::None)
            })
        });
    let sim = Sim::new(book).rehearsing(Rehearsal::Back);
    assert_eq!(value(&sim.finish()), Value::None);
    let vars = sim.world.facts().vars.clone();
    let left: Vec<&str> = vars.iter().filter(|(_, value)| **value != 0).map(|(name, _)| name.as_str()).collect();
    assert_eq!(left, ["finished"], "{}", sim.story());
    sim.check();
}

#[test]
fn a_window_that_goes_back_before_it_is_rehearsed_holds_as_in_any_run() {
    let book = Book::new(|run| {
        run.window("pause", LONG, |window| {
            window.step("close", sh("add closed")).undo(sh("clear closed")).go()?;
            window.step("work", sh("fail 1; set work")).undo(sh("clear work")).go()?;
            window.commit_point("moved")?;
            Ok(Value::None)
        })
    });
    let sim = Sim::new(book).rehearsing(Rehearsal::Back);
    assert!(matches!(sim.live(), End::Held), "{}", sim.story());
    assert!(!window(&sim).rehearsed);
    // Entered again, it comes to its commit point and turns round there.
    sim.tell(InboxMessage::RetryAll);
    assert_eq!(value(&sim.finish()), Value::None);
    assert!(rehearsed(&sim) && window(&sim).generation == 2, "{}", sim.story());
    sim.check();
}

#[test]
fn replaying_a_rehearsal_that_has_ended_performs_nothing() {
    let sim = Sim::new(book()).rehearsing(Rehearsal::Back);
    value(&sim.finish());
    let (records, performed) = (sim.store.kept().records.len(), sim.world.facts().performed.len());
    value(&sim.finish());
    // One more engine was attached.
    assert_eq!((sim.store.kept().records.len(), sim.world.facts().performed.len()), (records + 1, performed));
    sim.check();
    // And it can be taken back as any run can.
    sim.undo("");
    assert!(matches!(sim.finish(), End::Undone), "{}", sim.story());
    sim.check();
}
