//! Child runs whose engines die, their parents' and their own, after any event: nothing is lost, nothing runs twice.

use crate::children::{children, sound};
use crate::place::Place;
use std::time::{Duration, Instant};

const PARENT: &str = r#""""Moves services."""

def main():
    step("Before", sh("echo before >> world"), undo = sh("echo undo before >> world"))
    each("Move", ["a", "b"], move)
    step("After", sh("echo after >> world"), undo = sh("echo undo after >> world"))

def move(name):
    run("child.star", name = name)
"#;

const CHILD: &str = r#""""Moves one."""

def main(name: str):
    step("Copy", sh("echo copy " + quote(name) + " >> world"), undo = sh("echo undo " + quote(name) + " >> world"))
    step("Switch", sh("echo switch " + quote(name) + " >> world"), undo = sh("echo back " + quote(name) + " >> world"))
"#;

const DONE: &str = "before\ncopy a\nswitch a\ncopy b\nswitch b\nafter\n";
const UNDONE: &str = "undo after\nback b\nundo b\nback a\nundo a\nundo before\n";

fn place() -> Place {
    Place::with(PARENT).file("child.star", CHILD)
}

/// Resumes the parent, and where nobody drives them its children, until it stands so.
fn live_on(place: &Place, status: &str, words: &[&str], deaths: Option<&str>) {
    let end = Instant::now() + Duration::from_secs(300);
    while place.show()["status"] != status {
        assert!(Instant::now() < end, "it never {status}: {}", place.show());
        let piton = place.piton(words);
        let ran = match deaths {
            Some(deaths) => piton.env("PITON_CRASH_ONCE_AT_EACH", deaths).ran(),
            None => piton.ran(),
        };
        if ran.code == Some(2) {
            // An engine that a child has started is at work.
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

#[test]
fn a_parent_killed_after_any_event_ends_as_one_that_was_not_with_no_child_started_twice() {
    let whole = place();
    whole.ran(&["run", "book.star"]).ends(0);
    let events = whole.show()["journal"]["records"].as_u64().unwrap();
    assert_eq!((whole.read("world").as_str(), children(&whole).len()), (DONE, 2));
    for cut in 1..events {
        let place = place();
        place.piton(&["run", "book.star"]).env("PITON_CRASH_AFTER", &cut.to_string()).ran();
        live_on(&place, "succeeded", &["resume", "@last"], None);
        assert_eq!((place.read("world").as_str(), children(&place).len()), (DONE, 2), "killed after event {cut}");
        sound(&place);
    }
}

#[test]
fn parents_and_children_die_after_every_event_there_is_on_the_way_there_and_back() {
    let place = place();
    let deaths = place.path("deaths");
    let deaths = deaths.to_str().unwrap();
    place.piton(&["run", "book.star"]).env("PITON_CRASH_ONCE_AT_EACH", deaths).ran();
    live_on(&place, "succeeded", &["resume", "@last"], Some(deaths));
    assert_eq!((place.read("world").as_str(), children(&place).len()), (DONE, 2));
    let there = std::fs::read_to_string(deaths).unwrap();
    for place in ["run_started ", "attempt_started Move/a/child", "attempt_started Copy", "step_succeeded Move/b/child"]
    {
        assert!(there.lines().any(|line| line == place), "nobody died at {place:?}:\n{there}");
    }
    sound(&place);
    live_on(&place, "undone", &["undo", "@last"], Some(deaths));
    let world = place.read("world");
    let undone: Vec<&str> = world.strip_prefix(DONE).unwrap().lines().collect();
    // An undo may be performed twice, and never out of its turn.
    let mut once = undone.clone();
    once.dedup();
    assert_eq!(once.join("\n") + "\n", UNDONE, "{undone:?}");
    sound(&place);
}
