//! What an edit drops, and a taking back that takes another's place: told where it cannot have happened so.

use super::*;
use crate::event::*;
use crate::fixture::*;
use crate::hold::{Choice, HoldReason};

fn broken(happens: impl FnOnce(&mut Log)) -> Vec<String> {
    let mut log = Log::new();
    happens(&mut log);
    failures(&verify(&receipt(&log), None))
}

fn edit(log: &mut Log, dropped: &[&str]) {
    let edited = RunEdited {
        runbook: run_started().runbook,
        params: Vec::new(),
        decision: log.by("ada", 1000),
        changed: Vec::new(),
        orphaned: Vec::new(),
        dropped: dropped.iter().map(|at| path(at)).collect(),
        left: Vec::new(),
        inserted: Vec::new(),
        undetermined: Vec::new(),
        asks_again: Vec::new(),
        doubted: Vec::new(),
    };
    log.add(Event::RunEdited(Box::new(edited)));
}

fn dropping(log: &mut Log, at: &str) {
    log.add(Event::StepDropped { path: path(at), generation: 1 });
}

#[test]
fn a_step_is_dropped_where_an_edit_or_a_person_says_so_and_nothing_of_it_is_alive() {
    let sound = broken(|log| {
        log.start("told").start("kept").timer("rest", 5);
        edit(log, &["told"]);
        log.fail("told");
        dropping(log, "told");
        log.fail("kept")
            .hold("kept", HoldReason::Orphaned { why: "it failed".to_owned() })
            .choose("kept", Choice::Keep);
        dropping(log, "kept");
        dropping(log, "rest");
        log.finish(Finish::Succeeded);
    });
    assert_eq!(sound, [""; 0]);
    let alive = broken(|log| {
        log.start("a");
        edit(log, &["a"]);
        dropping(log, "a");
        log.finish(Finish::Succeeded);
    });
    assert_eq!(
        alive,
        [
            "record 5: \"a\" is dropped while nothing says how it ended",
            "record 6: the run finishes while nothing says how \"a\" ended"
        ]
    );
    let of_itself = broken(|log| {
        log.start("a").fail("a");
        edit(log, &[]);
        dropping(log, "a");
    });
    assert_eq!(of_itself, ["record 6: \"a\" is dropped with what it had done, and by the word of nobody"]);
    let unedited = broken(|log| {
        log.timer("a", 5);
        dropping(log, "a");
    });
    assert_eq!(unedited, ["record 4: \"a\" is dropped, and no edit left it out"]);
    let unknown = broken(|log| {
        edit(log, &["a"]);
        dropping(log, "a");
    });
    assert_eq!(unknown, ["record 4: \"a\" is dropped, and had not begun"]);
    let twice = broken(|log| {
        log.timer("a", 5);
        edit(log, &["a"]);
        dropping(log, "a");
        dropping(log, "a");
    });
    assert_eq!(twice, ["record 6: \"a\" is dropped a second time"]);
}

#[test]
fn a_wider_taking_back_takes_the_place_of_a_narrower_one_and_no_other_does() {
    let wider = broken(|log| {
        log.done("s/a").done("s/b").done("c").begin_undo("s").undo("s/b").begin_undo("");
        log.undo("c").undo("s/a").end_undo("");
    });
    assert_eq!(wider, [""; 0]);
    for (first, then) in [("", ""), ("", "s"), ("s", "c"), ("s", "s")] {
        let told = broken(|log| {
            log.done("s/a").done("c").begin_undo(first).begin_undo(then);
        });
        assert!(told[0].ends_with("taking back begins while it is going on"), "{first} {then}: {told:?}");
    }
    let unfinished = broken(|log| {
        log.done("s/a").done("c").begin_undo("s").begin_undo("").undo("c").end_undo("");
    });
    assert_eq!(unfinished, ["record 11: taking back is finished, and \"s/a\" is not taken back"]);
}

#[test]
fn what_was_dropped_can_still_be_taken_back() {
    let mut log = Log::new();
    log.start("a");
    edit(&mut log, &["a"]);
    log.fail("a");
    dropping(&mut log, "a");
    log.finish(Finish::Succeeded).begin_undo("").undo("a").end_undo("").finish(Finish::Undone);
    assert_eq!(failures(&verify(&receipt(&log), None)), [""; 0]);
}
