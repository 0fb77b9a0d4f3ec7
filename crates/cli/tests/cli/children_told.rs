//! What is told of a parent whose child runs go on without it: as they stand now, whether or not the parent has an engine.

use crate::children::{children, sound};
use crate::place::Place;
use serde_json::Value;
use std::time::{Duration, Instant};

const PARENT: &str = r#""""Moves services."""

def main():
    run("Move", "child.star")
    step("After", sh("echo after >> world"), repeatable = True)
"#;

/// Asks, then holds until there is a file `fine`, then works until there is a file `go`.
const CHILD: &str = r#""""Moves one service."""

def main():
    approve("Sure", by = "ops")
    step("Check", sh("test -e fine", reads = True))
    step("Work", sh("touch working; until [ -e go ]; do sleep 0.02; done"))
"#;

fn shown(place: &Place, run: &str) -> Value {
    let ran = place.ran(&["show", run, "--json"]).ends(0);
    serde_json::from_str(&ran.out).unwrap()
}

/// Waits until the page or the events of a run say so.
#[track_caller]
fn until_told(place: &Place, words: &[&str], what: &str) -> String {
    let end = Instant::now() + Duration::from_secs(30);
    loop {
        let ran = place.ran(words);
        if ran.out.contains(what) {
            return ran.out;
        }
        assert!(Instant::now() < end, "{words:?} never said {what:?}:\n{}", ran.out);
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Waits until a run has this status and nobody drives it.
#[track_caller]
fn until_left(place: &Place, run: &str, status: &str) {
    let end = Instant::now() + Duration::from_secs(30);
    loop {
        let shown = shown(place, run);
        if shown["status"] == status && shown["driven_by"].is_null() {
            return;
        }
        assert!(Instant::now() < end, "{run} never {status}: {shown}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn statuses(place: &Place) -> Vec<String> {
    let runs: Vec<Value> = serde_json::from_str(&place.ran(&["runs", "--json"]).ends(0).out).unwrap();
    runs.iter().map(|run| run["status"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_parent_without_an_engine_is_told_with_its_child_as_that_stands_now() {
    let place = Place::with(PARENT).file("child.star", CHILD);
    place.ran(&["run", "book.star", "--detach"]).ends(0);
    until_left(&place, "@last", "waiting");
    let child = children(&place).remove(0);
    until_left(&place, &child, "waiting");
    let offer = format!("piton resume {}", &child[..4]);
    assert!(!place.ran(&["show", "@last"]).ends(0).out.contains(&offer));

    // It holds, and is what a person has to go on with.
    place.ran(&["approve", &child]).ends(0);
    until_left(&place, &child, "held");
    let page = place.ran(&["show", "@last"]).ends(0);
    insta::assert_snapshot!(place.plain(&page.out), @r#"
    run ‹run›   waiting   Moves services.
      runbook   book.star in ‹dir›/project
      started   ‹date› ‹time› by ada (uid ‹uid› on ‹host›)
      engines   2 have driven it so far

     ? Move  ‹span›  waits for its child run ‹run›: piton resume ‹run›   (holds: "Check": exit code 1)

    the run waits for a person

    ? Move
      child run ‹run›
      why       "Check": exit code 1
      next      see what it waits for         piton show ‹run›
                go on with it                 piton resume ‹run›
                end it; its step fails then   piton abort ‹run›
    "#);
    let report = shown(&place, "@last");
    assert_eq!((&report["status"], &report["waiting"][0]["commands"][1]), (&"waiting".into(), &offer.as_str().into()));
    assert_eq!(report["steps"][0]["child_waits"], "\"Check\": exit code 1");
    let watched = place.ran(&["watch", "@last"]).ends(3);
    assert!(watched.err.contains(&offer), "{}", watched.err);

    // It works, and nobody has to do anything.
    std::fs::write(place.path("fine"), "").unwrap();
    let resumed = place.piton(&["resume", &child, "--retry"]).started();
    place.wait_for("working");
    let page = place.ran(&["show", "@last"]).ends(0);
    insta::assert_snapshot!(place.plain(&page.out.replace(&child[..4], "CHILD")), @r"
    run ‹run›   running   Moves services.
      runbook   book.star in ‹dir›/project
      started   ‹date› ‹time› by ada (uid ‹uid› on ‹host›)
      engines   2 have driven it so far

     ▶ Move  ‹span›  run CHILD: 2 steps done, Work

    the run goes on by itself when its child run has ended
      next      follow its child run   piton watch CHILD
    ");
    assert_eq!(statuses(&place), ["running", "running"]);
    assert_eq!(shown(&place, "@last")["steps"][0]["status"], "running");

    // It was killed: neither goes on by itself.
    resumed.kill();
    assert_eq!(statuses(&place), ["interrupted", "interrupted"]);
    let page = place.ran(&["show", "@last"]).ends(0);
    assert!(page.out.contains("the run is not finished"), "{}", page.out);

    // Whoever watches the parent sees it through, by whichever way it gets another engine.
    let resumed = place.piton(&["resume", &child]).started();
    until_told(&place, &["runs"], "running");
    let watching = place.piton(&["watch", "@last"]).started();
    // Longer than an engine is waited for of a run that does not go on.
    std::thread::sleep(Duration::from_secs(2));
    std::fs::write(place.path("go"), "").unwrap();
    resumed.ended().ends(0);
    watching.ended().ends(0);
    assert_eq!(place.read("world"), "after\n");
    sound(&place);
}

#[test]
fn an_engine_tells_of_the_run_below_its_child_which_has_no_engine() {
    let middle = "def main():\n    run(\"Below\", \"child.star\")\n";
    let place = Place::with(&PARENT.replace("child.star", "middle.star")).file("middle.star", middle);
    let place = place.file("child.star", CHILD);
    let mut parent = place.piton(&["run", "book.star"]).started();
    parent.until("\"Below\": \"Sure\" waits for a person");
    let [below, middle] = children(&place).try_into().unwrap();
    until_left(&place, &middle, "waiting");
    place.ran(&["approve", &below]).ends(0);
    parent.until("\"Below\": \"Check\": exit code 1");
    assert_eq!(shown(&place, &middle)["steps"][0]["child_waits"], "\"Check\": exit code 1");
    std::fs::write(place.path("fine"), "").unwrap();
    std::fs::write(place.path("go"), "").unwrap();
    place.ran(&["resume", &below, "--retry"]).ends(0);
    parent.ended().ends(0);
    assert_eq!(place.read("world"), "after\n");
    sound(&place);
}

#[test]
fn an_engine_tells_of_a_child_whose_branch_waits_for_a_thread() {
    let parent = r#"
def main():
    each("Move", ["a", "b", "c"], move, concurrency = 2)

def move(name):
    if name == "a":
        return run("child.star")
    step("Wait", sh("touch waiting-" + name + "; until [ -e go ]; do sleep 0.02; done"))
"#;
    let place = Place::with(parent).file("child.star", CHILD);
    let mut running = place.piton(&["run", "book.star"]).started();
    running.until("waits for its child run");
    place.wait_for("waiting-b");
    place.wait_for("waiting-c");
    place.ran(&["approve", &children(&place)[0]]).ends(0);
    // The page of a run that is driven tells what its journal says.
    until_told(&place, &["logs", "@last"], "\"Check\": exit code 1");
    std::fs::write(place.path("fine"), "").unwrap();
    std::fs::write(place.path("go"), "").unwrap();
    place.ran(&["resume", &children(&place)[0], "--retry"]).ends(0);
    running.ended().ends(0);
    sound(&place);
}
