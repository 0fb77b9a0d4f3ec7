//! Rehearsals in receipts: told as what they are, and journals that no sound rehearsal writes.

use super::*;
use crate::decide::windows::{rehearsal_is_over, turning_round};
use crate::event::{Attach, Event, Finish, Rehearsal};
use crate::fixture::{Log, path, run_started};

fn started(rehearsal: Option<Rehearsal>) -> Log {
    let mut log = Log::empty();
    log.add(Event::RunStarted(Box::new(crate::event::RunStarted { rehearsal, ..run_started() })));
    log.attach(Attach::Started);
    log
}

fn turn_round(log: &mut Log) -> &mut Log {
    let window = path("w");
    let generation = log.state.windows[&window].generation;
    log.add(Event::WindowGoingBack { path: window, generation, why: "a rehearsal".into(), rehearsed: true })
}

/// A rehearsal that has gone back; its way back took 340 ms.
fn gone_back() -> Log {
    let mut log = started(Some(Rehearsal::Back));
    log.done("before").open_window("w").done("w/close");
    turn_round(&mut log).begin_undo_for_window("w").wait_ms(290).undo("w/close").end_undo("w");
    log.close_window("w", true).leave("w");
    log
}

fn told(log: &Log) -> Vec<String> {
    failures(&verify(&receipt(log), None)).iter().map(|told| told.split_once(": ").unwrap().1.to_owned()).collect()
}

#[test]
fn a_rehearsal_is_told_with_what_its_way_back_took() {
    let mut log = gone_back();
    log.finish(Finish::Succeeded);
    assert_eq!(told(&log), [""; 0]);
    let statement = Statement::from_journal(&log.sealed).unwrap();
    let window = &statement.predicate.windows[0];
    assert_eq!((statement.predicate.run.rehearsal, window.rehearsed_back_us), (Some(Rehearsal::Back), Some(340_000)));
    let page = markdown(&statement);
    assert!(page.contains("**Rehearsal**: back") && page.contains("it took 340.0ms of a reserve of 20s"), "{page}");
}

#[test]
fn no_sound_rehearsal_passes_its_windows_commit_point_or_goes_on_afterwards() {
    let mut passed = started(Some(Rehearsal::Back));
    passed.open_window("w").commit_point("w/c");
    assert_eq!(told(&passed), ["the commit point \"w/c\" is passed in a rehearsal that turns round there"]);
    let mut outside = started(Some(Rehearsal::Back));
    outside.commit_point("c");
    assert_eq!(told(&outside), [""; 0]);
    for rehearsal in [None, Some(Rehearsal::Forward)] {
        let mut none = started(rehearsal);
        none.open_window("w");
        assert_eq!(told(turn_round(&mut none)), ["the window \"w\" turns round as a rehearsal does, and this is none"]);
    }
    let mut on = gone_back();
    on.start("after");
    assert_eq!(told(&on), ["\"after\" begins after the rehearsal has gone back"]);
}

#[test]
fn a_rehearsal_turns_round_where_a_run_would_pass_and_is_over_where_nothing_catches_that() {
    let turns = |log: &Log| turning_round(&log.state, &path("w"), "its commit point").is_some();
    for (rehearsal, expected) in [(None, false), (Some(Rehearsal::Forward), false), (Some(Rehearsal::Back), true)] {
        let mut log = started(rehearsal);
        log.open_window("w");
        assert_eq!(turns(&log), expected, "{rehearsal:?}");
        log.go_back("w");
        assert!(!turns(&log), "it goes back already");
        log.close_window("w", true);
        // It went back for another reason: that is no rehearsal.
        assert!(!rehearsal_is_over(&log.state));
    }
    let log = gone_back();
    assert!(rehearsal_is_over(&log.state) && log.state.windows[&path("w")].back_took_us == Some(340_000));
}
