//! Edits that would lose something: refused, or held, or asked again, each where a hostile reader found a hole.

use crate::children::{sound, until};
use crate::place::Place;

#[test]
fn a_run_that_ended_while_it_was_being_edited_is_not_edited_any_more() {
    let book = "def main():\n    step(\"S\", sh(\"touch begun; until [ -e go ]; do sleep 0.02; done\"))\n";
    for _ in 0..4 {
        let place = Place::with(book);
        let running = place.piton(&["run", "book.star"]).started();
        place.wait_for("begun");
        let place = place.file("go", "");
        // As near to its end as can be had: it is driven still, or ended, never edited after its end.
        let edited = loop {
            let edited = place.ran(&["resume", "@last", "--edited", "book.star"]);
            if !edited.err.contains("drives run") {
                break edited;
            }
        };
        assert_eq!(edited.code, Some(2), "{}{}", edited.out, edited.err);
        assert!(edited.err.contains("P0022"), "{}", edited.err);
        running.ended().ends(0);
        sound(&place);
    }
}

/// Some account that is not the one of the tests.
const NOBODY: u32 = 65534;

const WINDOW: &str = r#""""A window that fails past its commit point."""

def work():
    step("W1", sh("echo w1 >> world"), undo = sh("echo undo w1 >> world"))
    commit_point("Switch")
    step("W2", sh("echo w2 >> world; test -e fine"), undo = sh("true"))

def main():
    window("Pause", work, budget = "1h")
    step("Z", sh("echo z >> world"))
"#;

#[test]
fn an_edit_without_a_window_that_is_open_is_refused() {
    let place = Place::with(WINDOW);
    place.ran(&["run", "book.star", "--accept"]).ends(1);
    for edited in [
        WINDOW.replace("    window(\"Pause\", work, budget = \"1h\")\n", ""),
        WINDOW.replace("window(\"Pause\", work, budget = \"1h\")", "phase(\"Pause\", work)"),
        WINDOW.replace("\"Pause\"", "\"Renamed\""),
    ] {
        let place_now = place.path("book.star");
        std::fs::write(place_now, edited).unwrap();
        for words in [&["--plan"][..], &["--keep-orphans"]] {
            let words = [&["resume", "@last", "--edited", "book.star"][..], words].concat();
            let refused = place.ran(&words).ends(2);
            assert!(refused.err.contains("the window \"Pause\" is open"), "{}", refused.err);
        }
    }
    std::fs::write(place.path("book.star"), WINDOW.replace("test -e fine", "true")).unwrap();
    place.ran(&["resume", "@last", "--edited", "book.star"]).ends(0);
    assert_eq!(place.read("world"), "w1\nw2\nw2\nz\n");
    sound(&place);
}

#[test]
fn a_window_that_only_the_run_could_miss_is_never_left_open_and_an_abort_does_not_spin_there() {
    let place = Place::with(WINDOW);
    place.ran(&["run", "book.star", "--accept"]).ends(1);
    let hidden = WINDOW.replace(
        "    window(\"Pause\"",
        "    if step(\"Look\", sh(\"printf no\", reads = True)).out == \"yes\":\n        window(\"Pause\"",
    );
    let place = place.file("book.star", &hidden.replace("    step(\"Z\", sh(\"echo z >> world\"))\n", ""));
    // A new step before the commit point holds first.
    place.ran(&["resume", "@last", "--edited", "book.star", "--keep-orphans"]).ends(1);
    let held = place.ran(&["resume", "@last", "--retry", "Look"]).ends(1);
    assert!(held.err.contains("its window \"Pause\" is open past its commit point"), "{}", held.err);
    place.ran(&["abort", "@last"]).ends(1);
    assert_eq!(place.show()["status"], "held");
    sound(&place);
}

#[test]
fn a_standing_question_that_some_have_answered_is_asked_again_when_what_it_allows_has_changed() {
    let book = r#""""Delete a row."""

def main():
    approve("Go?", by = "ops", count = 2)
    step("Act", sh("echo delete one row >> world"))
"#;
    let place = Place::with(book).given_to(NOBODY);
    let mut running = place.piton(&["run", "book.star"]).by_uid(NOBODY).started();
    running.until("asked");
    place.piton(&["approve", "@last"]).by_uid(NOBODY).ran().ends(0);
    running.kill();
    let place = place.file("book.star", &book.replace("delete one row", "drop database"));
    let looked = place.ran(&["resume", "@last", "--edited", "book.star", "--plan"]).ends(0);
    assert!(looked.out.contains("asked again (1)"), "{}", looked.out);
    place.ran(&["resume", "@last", "--edited", "book.star", "--detach"]).ends(0);
    until("it is asked again", || {
        let waiting = place.show()["waiting"].clone();
        waiting[0]["answered_by"].as_array().is_some_and(Vec::is_empty)
    });
    place.ran(&["approve", "@last"]).ends(0);
    assert_eq!(place.show()["status"], "waiting", "one approval of the new text is not two");
    assert!(!place.path("world").exists());
    sound(&place);
}

const UNKNOWN: &str = r#""""Killed in the middle."""

def main():
    step("S", sh("echo OLD >> world; touch begun; until [ -e go ]; do sleep 0.02; done"))
    step("Z", sh("echo z >> world"))
"#;

#[test]
fn what_a_person_says_is_done_is_what_was_intended_and_not_what_an_edit_made_of_it() {
    // Its supervisor and itself die, and no record says how it ended.
    let dies = UNKNOWN.replace("until [ -e go ]", "kill -9 $PPID $$; until [ -e go ]");
    let place = Place::with(&dies);
    let held = place.ran(&["run", "book.star"]).ends(1);
    assert!(held.err.contains("nobody knows whether it happened"), "{}", held.err);
    let place = place.file("book.star", &dies.replace("echo OLD", "echo NEW"));
    let looked = place.ran(&["resume", "@last", "--edited", "book.star", "--plan"]).ends(0);
    assert!(looked.out.contains("overtaken (1)"), "{}", looked.out);
    place.ran(&["resume", "@last", "--edited", "book.star"]).ends(1);
    let held = place.ran(&["resume", "@last", "--done", "S"]).ends(1);
    assert!(held.err.contains("it was done with another action"), "{}", held.err);
    place.ran(&["resume", "@last", "--keep", "S"]).ends(0);
    assert_eq!(place.read("world"), "OLD\nz\n");
    sound(&place);
}

#[test]
fn what_was_done_in_a_settled_scope_that_the_run_does_not_come_to_is_held_and_not_forgotten() {
    let book = r#""""Tries."""

def tried():
    step("Write", sh("echo written >> world"), undo = sh("echo undone >> world"))
    step("Fail", sh("exit 3"))

def main():
    attempt("Try", tried)
    step("Z", sh("echo z >> world; test -e fine"))
"#;
    let place = Place::with(book);
    place.ran(&["run", "book.star"]).ends(1);
    let hidden = book.replace(
        "    attempt(\"Try\"",
        "    if step(\"Look\", sh(\"printf no\", reads = True)).out == \"yes\":\n        attempt(\"Try\"",
    );
    let place = place.file("book.star", &hidden).file("fine", "");
    let held = place.ran(&["resume", "@last", "--edited", "book.star"]).ends(1);
    assert!(held.err.contains("✗ Try/Write") && held.err.contains("--keep Try/Write"), "{}", held.err);
    place.ran(&["resume", "@last", "--keep", "Try/Write"]);
    if place.show()["status"] == "held" {
        place.ran(&["resume", "@last", "--keep", "Try/Fail"]).ends(0);
    }
    assert_eq!(place.show()["status"], "succeeded");
    sound(&place);
}

#[test]
fn what_cannot_be_taken_back_is_not_offered_nor_said_to_be_taken_back() {
    let book = r#""""Commits."""

def main():
    step("A", sh("echo a >> world"), undo = sh("echo undo a >> world"))
    commit_point("No way back")
    step("Z", sh("echo z >> world; test -e fine"))
"#;
    let place = Place::with(book);
    place.ran(&["run", "book.star"]).ends(1);
    let gone = book.find("    step(\"A\"").unwrap();
    let edited = format!("{}{}", &book[..gone], &book[book.find("    commit_point").unwrap()..]);
    let place = place.file("book.star", &edited).file("fine", "");
    let refused = place.ran(&["resume", "@last", "--edited", "book.star"]).ends(2);
    assert!(refused.err.contains("A was done before a commit point: it can only stay"), "{}", refused.err);
    assert!(!refused.err.contains("piton undo"), "{}", refused.err);
    let refused = place.ran(&["undo", "@last", "--to", "A"]).ends(2);
    assert!(refused.err.contains("nothing of \"A\" can be taken back"), "{}", refused.err);
    place.ran(&["resume", "@last", "--edited", "book.star", "--keep-orphans"]).ends(0);
    sound(&place);
}

#[test]
fn a_step_in_flight_that_becomes_a_question_or_a_timer_is_ended_and_decided() {
    for now in ["approve(\"S\", by = \"ops\")", "manual(\"S\", \"do it\")", "wait(\"S\", \"1h\")"] {
        let place = Place::with(UNKNOWN);
        let running = place.piton(&["run", "book.star"]).started();
        place.wait_for("begun");
        running.kill();
        let start = UNKNOWN.find("step(\"S\"").unwrap();
        let end = start + UNKNOWN[start..].find('\n').unwrap();
        let place = place.file("book.star", &format!("{}{now}{}", &UNKNOWN[..start], &UNKNOWN[end..]));
        let looked = place.ran(&["resume", "@last", "--edited", "book.star", "--plan"]).ends(0);
        assert!(looked.out.contains("dropped (1)"), "{now}: {}", looked.out);
        let held = place.ran(&["resume", "@last", "--edited", "book.star", "--keep-orphans"]).ends(1);
        assert!(held.err.contains("an edit had dropped it"), "{now}: {}", held.err);
        place.ran(&["resume", "@last", "--done", "S"]).ends(0);
        assert_eq!(place.read("world"), "OLD\nz\n", "{now}");
        sound(&place);
    }
}

#[test]
fn a_done_command_that_becomes_a_question_can_be_done_anew_as_that() {
    let book = r#""""Becomes a question."""

def main():
    step("S", sh("echo s >> world"), undo = sh("echo undo s >> world"))
    step("Z", sh("echo z >> world; test -e fine"))
"#;
    let place = Place::with(book);
    place.ran(&["run", "book.star"]).ends(1);
    let asks = book.replace(
        "step(\"S\", sh(\"echo s >> world\"), undo = sh(\"echo undo s >> world\"))",
        "approve(\"S\", by = \"ops\")",
    );
    let place = place.file("book.star", &asks).file("fine", "");
    place.ran(&["resume", "@last", "--edited", "book.star"]).ends(1);
    let going_on = place.piton(&["resume", "@last", "--redo", "S"]).started();
    until("it is asked", || place.show()["waiting"][0]["kind"] == "approve");
    place.ran(&["approve", "@last"]).ends(0);
    going_on.ended().ends(0);
    assert_eq!(place.read("world"), "s\nz\nundo s\nz\n");
    sound(&place);
}

#[test]
fn a_run_whose_undo_keeps_failing_can_be_ended() {
    let book = r#""""Cannot be undone."""

def main():
    step("A", sh("echo a >> world"), undo = sh("false"))
    step("Z", sh("exit 1"))
"#;
    let place = Place::with(book);
    place.ran(&["run", "book.star"]).ends(1);
    place.ran(&["undo", "@last"]).ends(1);
    let edited = place.ran(&["resume", "@last", "--edited", "book.star", "--plan"]).ends(2);
    assert!(edited.err.contains("--retry A"), "{}", edited.err);
    place.ran(&["abort", "@last"]).ends(4);
    assert_eq!(place.show()["status"], "aborted");
    sound(&place);
}

#[test]
fn a_lock_of_a_scope_that_an_edit_removed_is_given_up() {
    let book = r#""""Locks."""

def work():
    step("W", sh("echo w >> world; test -e fine"))

def main():
    lock("L", work)
"#;
    let place = Place::with(book);
    place.ran(&["run", "book.star"]).ends(1);
    let moved =
        book.replace("    lock(\"L\", work)", "    phase(\"P\", outer)") + "\ndef outer():\n    lock(\"L\", work)\n";
    let place = place.file("book.star", &moved).file("fine", "");
    let looked = place.ran(&["resume", "@last", "--edited", "book.star", "--plan"]).ends(0);
    assert!(looked.out.contains("left (1)"), "{}", looked.out);
    place.ran(&["resume", "@last", "--edited", "book.star", "--keep-orphans"]).ends(0);
    assert_eq!(place.read("world"), "w\nw\n");
    assert!(!place.ran(&["locks"]).ends(0).out.contains('L'));
    sound(&place);
}

#[test]
fn what_holds_for_an_edit_is_judged_anew_by_the_next() {
    let book = r#""""Edited twice."""

def main():
    step("S", sh("echo s >> world"), undo = sh("echo undo s >> world"))
    step("Z", sh("echo z >> world; test -e fine"))
"#;
    let place = Place::with(book);
    place.ran(&["run", "book.star"]).ends(1);
    let place = place.file("book.star", &book.replace("echo s >>", "echo other >>")).file("fine", "");
    place.ran(&["resume", "@last", "--edited", "book.star"]).ends(1);
    assert_eq!(place.show()["holds"][0]["reason"]["hold"], "changed");
    // Put back as it was, it is what was done.
    let place = place.file("book.star", book);
    let looked = place.ran(&["resume", "@last", "--edited", "book.star", "--plan"]).ends(0);
    assert!(looked.out.contains("keeps 1 step"), "{}", looked.out);
    place.ran(&["resume", "@last", "--edited", "book.star"]).ends(0);
    assert_eq!(place.read("world"), "s\nz\nz\n");
    sound(&place);
}

#[test]
fn an_aborted_run_whose_undo_was_stuck_can_be_taken_back_when_that_is_mended() {
    let book = r#""""Cannot be undone yet."""

def main():
    step("First", sh("echo first >> world"), undo = sh("echo undo first >> world"))
    step("A", sh("echo a >> world"), undo = sh("test -e mended; echo undo a >> world"))
    step("Z", sh("exit 1"))
"#;
    let place = Place::with(book);
    place.ran(&["run", "book.star"]).ends(1);
    place.ran(&["undo", "@last"]).ends(1);
    place.ran(&["abort", "@last"]).ends(4);
    let place = place.file("mended", "");
    place.ran(&["undo", "@last"]).ends(4);
    assert_eq!(place.show()["status"], "undone");
    assert_eq!(place.read("world"), "first\na\nundo a\nundo first\n");
    sound(&place);
}

#[test]
fn a_word_to_depart_is_about_what_it_was_given_for() {
    let plain = "def main():\n    step(\"A\", sh(\"echo a >> world\"))\n";
    let place = Place::with(plain);
    place.ran(&["plan", "book.star", "-o", "book.plan"]).ends(0);
    let more = |does: &str| format!("{plain}    step(\"B\", sh(\"echo {does} >> world; test -e fine\"))\n");
    place.ran(&["run", "book.star", "--plan", "book.plan"]).ends(0);
    // The plan is of this very file: the step comes with an edit.
    let place = Place::with(&format!("{plain}    step(\"Z\", sh(\"test -e fine\"))\n"));
    place.ran(&["plan", "book.star", "-o", "book.plan"]).ends(0);
    place.ran(&["run", "book.star", "--plan", "book.plan"]).ends(1);
    let place = place.file("book.star", &more("harmless"));
    let held = place.ran(&["resume", "@last", "--edited", "book.star", "--keep-orphans"]).ends(1);
    assert!(held.err.contains("the plan has no such step") && held.err.contains("harmless"), "{}", held.err);
    // Another action is told as that, before and after the word.
    let place = place.file("book.star", &more("drop"));
    let held = place.ran(&["resume", "@last", "--edited", "book.star"]).ends(1);
    assert!(held.err.contains("echo drop"), "{}", held.err);
    let place = place.file("book.star", &more("harmless"));
    place.ran(&["resume", "@last", "--edited", "book.star"]).ends(1);
    place.ran(&["resume", "@last", "--depart", "B", "--reason", "harmless"]).ends(1);
    assert_eq!(place.read("world"), "a\nharmless\n");
    let place = place.file("book.star", &more("drop"));
    let held = place.ran(&["resume", "@last", "--edited", "book.star"]).ends(1);
    assert!(held.err.contains("the plan has no such step") && held.err.contains("echo drop"), "{}", held.err);
    assert_eq!(place.read("world"), "a\nharmless\n");
    sound(&place);
}

#[test]
fn a_new_step_in_a_scope_that_is_settled_is_told_as_that() {
    let book = r#""""Some fail."""

def one(item):
    step("Do", sh("echo " + item + " >> world; test " + item + " != b"))

def main():
    each("E", ["a", "b"], one, on_failure = "continue")
    step("Z", sh("test -e fine"))
"#;
    let place = Place::with(book);
    place.ran(&["run", "book.star"]).ends(1);
    let place = place.file("book.star", &book.replace("[\"a\", \"b\"]", "[\"a\", \"b\", \"c\"]"));
    let held = place.ran(&["resume", "@last", "--edited", "book.star"]).ends(1);
    assert!(held.err.contains("a new step \"E/c/Do\" in \"E\", whose end is settled"), "{}", held.err);
    let place = place.file("book.star", book).file("fine", "");
    let looked = place.ran(&["resume", "@last", "--edited", "book.star", "--plan"]).ends(0);
    assert!(!looked.out.contains("E/b/Do"), "a caught failure is final: {}", looked.out);
    place.ran(&["resume", "@last", "--edited", "book.star"]).ends(0);
    sound(&place);
}
