//! Taking back that is interrupted, and one that takes another's place.

use crate::children::{sound, until};
use crate::place::Place;

/// The undo of `Slow` works until there is a file `go`; the run holds at its last step.
const BOOK: &str = r#""""Two phases."""

def work():
    step("Quick", sh("echo quick >> world"), undo = sh("echo undo quick >> world"))
    step("Slow", sh("echo slow >> world"),
         undo = sh("touch undoing; until [ -e go ]; do sleep 0.02; done; echo undo slow >> world"))

def main():
    step("First", sh("echo first >> world"), undo = sh("echo undo first >> world"))
    phase("Work", work)
    step("Last", sh("echo last >> world; exit 1"), undo = sh("echo undo last >> world"))
"#;

/// The run holds; `Work` is being taken back.
fn taking_back_a_part() -> (Place, crate::place::Started) {
    let place = Place::with(BOOK);
    place.ran(&["run", "book.star"]).ends(1);
    let undoing = place.piton(&["undo", "@last", "--to", "Work"]).started();
    place.wait_for("undoing");
    (place, undoing)
}

const WHOLE: &str = "first\nquick\nslow\nlast\nundo slow\nundo last\nundo quick\nundo first\n";

#[test]
fn asking_for_the_whole_run_takes_the_place_of_a_part_that_was_interrupted() {
    let (place, undoing) = taking_back_a_part();
    undoing.kill();
    let shown = place.ran(&["show", "@last"]).ends(0);
    insta::assert_snapshot!(place.plain(&shown.out), @r"
    run ‹run›   undoing   Two phases.
      runbook   book.star in ‹dir›/project
      started   ‹date› ‹time› by ada (uid ‹uid› on ‹host›)
      engines   2 have driven it so far

     ✓ First  ‹span›
     ▶ Work  ‹span›
       ✓ Quick  ‹span›
       ↶ Slow  ‹span›  sh echo slow >> world
     ✗ Last  ‹span›  exit code 1

    taking back Work has begun and is not finished: asked by ada (uid ‹uid› on ‹host›)
      next      go on taking it back             piton resume ‹run›
                take back all that the run did   piton undo ‹run›
                show what that would do          piton undo ‹run› --plan
    ");
    assert_eq!(place.show()["status"], "undoing");
    let place = place.file("go", "");
    place.ran(&["undo", "@last"]).ends(4);
    let world = place.read("world");
    assert!(world.ends_with("undo quick\nundo first\n") && world.contains("undo last\n"), "{world}");
    assert_eq!(place.show()["status"], "undone");
    sound(&place);
}

#[test]
fn asking_for_the_whole_run_takes_the_place_of_a_part_that_is_being_taken_back() {
    let (place, undoing) = taking_back_a_part();
    let asked = place.piton(&["undo", "@last"]).started();
    until("it is asked for", || place.show()["undoing"] == "");
    let place = place.file("go", "");
    asked.ended().ends(4);
    undoing.ended().ends(4);
    assert_eq!(place.read("world"), WHOLE);
    sound(&place);
}

#[test]
fn an_interrupted_part_goes_on_where_it_is_asked_for_again_and_another_waits_its_turn() {
    let (place, undoing) = taking_back_a_part();
    undoing.kill();
    let refused = place.ran(&["undo", "@last", "--to", "First"]).ends(2);
    insta::assert_snapshot!(place.plain(&refused.err), @r#"
    error[P0026]: run ‹run› is taking back "Work", which comes first
      = let it come to its end: piton resume ‹run›
      = or take the whole run back: piton undo ‹run›
    "#);
    let place = place.file("go", "");
    place.ran(&["undo", "@last", "--to", "Work"]).ends(0);
    assert!(place.read("world").ends_with("undo slow\nundo quick\n"), "{}", place.read("world"));
    assert_eq!(place.show()["status"], "held");
    sound(&place);
}

#[test]
fn an_engine_killed_while_a_guard_takes_back_leaves_a_run_that_says_so_and_goes_on() {
    let book = r#""""Soak."""

def soak():
    step("One", sh("touch started; until [ -e never ]; do sleep 0.02; done"),
         undo = sh("touch undoing; until [ -e go ]; do sleep 0.02; done; echo undo one >> world"))

def main():
    step("Before", sh("echo before >> world"), undo = sh("echo undo before >> world"))
    phase("Soak", soak, guards = [
        guard("Errors", sh("cat errors", reads = True), below = 5, every = "50ms", on_trip = "undo"),
    ])
"#;
    for whole in [false, true] {
        let place = Place::with(book).file("errors", "0\n");
        let running = place.piton(&["run", "book.star"]).started();
        place.wait_for("started");
        let place = place.file("errors", "9\n");
        place.wait_for("undoing");
        running.kill();
        let shown = place.ran(&["show", "@last"]).ends(0);
        let told = shown.out;
        assert!(told.contains("undoing"), "{told}");
        assert!(told.contains("taking back Soak has begun and is not finished"), "{told}");
        let place = place.file("go", "");
        if whole {
            place.ran(&["undo", "@last"]).ends(4);
            assert_eq!(place.read("world"), "before\nundo one\nundo one\nundo before\n");
        } else {
            place.ran(&["resume", "@last"]).ends(1).says("Errors");
            assert_eq!(place.show()["status"], "held");
        }
        sound(&place);
    }
}
