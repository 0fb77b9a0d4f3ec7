//! Runs that stop: what a person is told at 3 a.m., and that each command offered works.

use crate::place::Place;

const BREAKS: &str = r#""""Break in the middle."""

def main():
    step("Open", sh("touch open"), undo = sh("rm -f open"))
    phase("Work", work)
    step("Last", noop())

def work():
    step("Load", sh("echo loading 12 rows; echo 'table is full' >&2; test -e mended"), retry = retry(1, backoff = "1ms"))
"#;

#[test]
fn a_failing_step_holds_the_run_and_says_what_to_do() {
    let place = Place::with(BREAKS);
    let ran = place.ran(&["run", "book.star"]).ends(1);
    insta::assert_snapshot!(place.plain(&ran.err), @r"
    the run holds: a step needs a decision

    ✗ Work/Load
      at        book.star:9:5
      did       sh echo loading 12 rows; echo 'table is full' >&2; test -e mended
      failed    ‹time›, after 2 attempts
      why       exit code 1: table is full
      stderr    | table is full
      output    | loading 12 rows
      next      try it again            piton resume ‹run› --retry Work/Load
                go past it
                  piton resume ‹run› --waive Work/Load --reason '...'
                read its whole output   piton logs ‹run› Work/Load

      or        go on with the runbook as you mended it
                  piton resume ‹run› --edited book.star
                show what taking back would do     piton undo ‹run› --plan
                take back what the run did         piton undo ‹run›
                end it here; what was done stays   piton abort ‹run›
    ");
    let shown = place.ran(&["show", "@last"]).ends(0);
    assert!(shown.out.ends_with(&ran.err), "{}", shown.out);
    let run = place.show();
    assert_eq!(run["status"], "held");
    assert_eq!(run["holds"][0]["path"], "Work/Load");
    assert_eq!(run["holds"][0]["choices"], serde_json::json!(["--retry", "--waive"]));
    assert_eq!(run["steps"][1]["attempts"], 2);
    assert_eq!(run["steps"][1]["error"], "exit code 1: table is full");
}

#[test]
fn what_was_mended_is_tried_again_and_the_run_goes_on() {
    let place = Place::with(BREAKS);
    place.ran(&["run", "book.star"]).ends(1);
    place.ran(&["resume", "@last"]).ends(1);
    std::fs::write(place.path("mended"), "").unwrap();
    let ran = place.ran(&["resume", "@last", "--retry"]).ends(0);
    insta::assert_snapshot!(place.plain(&ran.out), @r#"
    ‹time› engine   resumed by ada, process ‹pid›
    ‹time› decided  Work/Load: try again by ada (uid ‹uid› on ‹host›)
    ‹time› begin    Work/Load (attempt 3)  sh echo loading 12 rows; echo 'table is full' >&2; test -e mended
    ‹time› done     Work/Load (‹span›, attempt 3)
    ‹time› left     Work (‹span›)
    ‹time› done     Last (‹span›)
    ‹time› ended    succeeded: 3 steps in ‹span›
    "#);
    let run = place.show();
    assert_eq!(run["counts"]["done"], 3);
}

#[test]
fn a_waived_step_is_passed_with_its_reason() {
    let place = Place::with(BREAKS);
    place.ran(&["run", "book.star"]).ends(1);
    place.ran(&["resume", "@last", "--waive", "Work/Load"]).ends(2).says("--reason");
    place.ran(&["resume", "@last", "--waive", "Work/Load", "--reason", "not needed"]).ends(0).says("waived by ada");
    assert_eq!(place.show()["steps"][1]["how"], "waived");
}

#[test]
fn taking_back_is_previewed_then_done() {
    let place = Place::with(BREAKS);
    place.ran(&["run", "book.star"]).ends(1);
    insta::assert_snapshot!(place.plain(&place.ran(&["undo", "@last", "--plan"]).ends(0).out), @r#"
    taking back the run would undo 1 step, in this order:
       1  Open
          sh rm -f open

    would stay:
          Work/Load  (no undo is declared)
    "#);
    assert!(place.path("open").exists(), "a preview does nothing");
    let plan: serde_json::Value = serde_json::from_str(&place.ran(&["undo", "@last", "--plan", "--json"]).out).unwrap();
    assert_eq!(plan["items"][0]["actions"], serde_json::json!(["sh rm -f open"]));
    assert_eq!(plan["stays"], serde_json::json!([{ "path": "Work/Load", "why": "no_undo" }]));
    let ran = place.ran(&["undo", "@last", "--reason", "wrong night"]).ends(4);
    insta::assert_snapshot!(place.plain(&ran.out), @r#"
    ‹time› engine   resumed by ada, process ‹pid›
    ‹time› undo     the whole run is taken back: asked by ada (uid ‹uid› on ‹host›): wrong night
    ‹time› undoing  Open  sh rm -f open
    ‹time› undone   Open
    ‹time› undo     the whole run is taken back
    ‹time› ended    taken back, ‹span› after it started
    "#);
    assert!(!place.path("open").exists());
    assert_eq!(place.show()["status"], "undone");
    place.ran(&["undo", "@last"]).ends(2).says("error[P0022]");
}

#[test]
fn a_part_is_taken_back_and_the_run_can_go_on() {
    let place = Place::with(
        r#"
def main():
    phase("A", one, "a")
    phase("B", one, "b")
    step("Last", sh("test -e mended"))

def one(name):
    step("make", sh("echo x >> " + quote(name)), undo = sh("rm " + quote(name)))
"#,
    );
    place.ran(&["run", "book.star"]).ends(1);
    place.ran(&["undo", "@last", "--to", "nowhere"]).ends(2).says("error[P0023]");
    place.ran(&["undo", "@last", "--to", "B"]).ends(0).says("undone   B/make");
    assert!(place.path("a").exists() && !place.path("b").exists());
    std::fs::write(place.path("mended"), "").unwrap();
    place.ran(&["resume", "@last", "--retry"]).ends(0);
    assert_eq!((place.read("a"), place.read("b")), ("x\n".into(), "x\n".into()));
}

#[test]
fn an_aborted_run_keeps_what_it_did() {
    let place = Place::with(BREAKS);
    place.ran(&["run", "book.star"]).ends(1);
    let ran = place.ran(&["abort", "@last", "--reason", "enough"]).ends(4);
    insta::assert_snapshot!(place.plain(&ran.out), @r#"
    ‹time› engine   resumed by ada, process ‹pid›
    ‹time› abort    asked by ada (uid ‹uid› on ‹host›): enough
    ‹time› ended    aborted after ‹span›; what was done stays: 1 step
    "#);
    assert!(place.path("open").exists());
    place.ran(&["abort", "@last"]).ends(2).says("error[P0022]").says("piton undo");
    place.ran(&["resume", "@last"]).ends(2).says("error[P0022]");
}

#[test]
fn a_running_run_is_aborted_from_another_terminal_and_ends_what_runs() {
    let place = Place::with("def main():\n    step(\"long\", sh(\"sleep 60\"))\n");
    let mut run = place.piton(&["run", "book.star"]).started();
    run.until("begin    long");
    place.ran(&["abort", "@last"]).ends(4).says("aborted");
    run.ended().ends(4);
}

#[test]
fn a_running_run_is_taken_back_from_another_terminal() {
    let place = Place::with(
        "def main():\n    step(\"one\", sh(\"touch one\"), undo = sh(\"rm one\"))\n    step(\"long\", sh(\"sleep 60\"), undo = sh(\"touch undone\"))\n",
    );
    let mut run = place.piton(&["run", "book.star"]).started();
    run.until("begin    long");
    place.ran(&["undo", "@last"]).ends(4).says("undone   long").says("undone   one");
    run.ended().ends(4);
    assert!(!place.path("one").exists() && place.path("undone").exists());
}

#[test]
fn a_decision_that_a_hold_does_not_offer_is_refused_before_it_is_sent() {
    let place = Place::with(BREAKS);
    place.ran(&["run", "book.star"]).ends(1);
    let refused = |words: &[&str]| place.plain(&place.piton(&["resume", "@last"]).words(words).ran().ends(2).err);
    insta::assert_snapshot!(refused(&["--done", "Load"]), @r#"
    error[P0026]: "Work/Load" takes --retry or --waive, not --done
      = see what can be decided: piton show ‹run›
    "#);
    insta::assert_snapshot!(refused(&["--retry", "Open"]), @r#"
    error[P0026]: "Open" does not wait for a decision
      = see what can be decided: piton show ‹run›
    "#);
    insta::assert_snapshot!(refused(&["--retry", "Lost"]), @r#"
    error[P0023]: run ‹run› has no step or guard "Lost"
      = see its paths: piton show ‹run›
    "#);
    assert_eq!(place.show()["engines"].as_array().unwrap().len(), 1, "nothing was driven");
}

#[test]
fn a_run_in_the_background_is_left_and_found_again() {
    let place = Place::with(BREAKS);
    place.ran(&["run", "book.star", "--detach"]).ends(0).says("goes on in the background; follow it: piton watch");
    place.ran(&["watch", "@last"]).ends(1).says("held     Work/Load");
    std::fs::write(place.path("mended"), "").unwrap();
    place.ran(&["resume", "@last", "--retry", "--detach"]).ends(0);
    place.ran(&["watch", "@last"]).ends(0).says("ended    succeeded");
}

#[test]
fn ctrl_c_finishes_the_running_step_then_holds() {
    let place =
        Place::with("def main():\n    step(\"one\", sh(\"sleep 0.4; echo x >> one\"))\n    step(\"two\", noop())\n");
    let mut run = place.piton(&["run", "book.star"]).started();
    run.until("begin    one");
    run.interrupt();
    let ran = run.ended().ends(1);
    insta::assert_snapshot!(place.plain(&ran.err), @r#"
    the run is paused

    · paused by ada

      next      go on                              piton resume ‹run›
                show what taking back would do     piton undo ‹run› --plan
                take back what the run did         piton undo ‹run›
                end it here; what was done stays   piton abort ‹run›
    "#);
    assert_eq!(place.read("one"), "x\n");
    place.ran(&["resume", "@last"]).ends(0);
    assert_eq!(place.read("one"), "x\n", "what was done is not done again");
}

#[test]
fn an_error_of_the_runbook_is_shown_with_its_line() {
    let place = Place::with("def main():\n    rows = step(\"x\", noop([1])).value\n    step(\"y\", noop(rows[3]))\n");
    let ran = place.ran(&["run", "book.star"]).ends(1);
    insta::assert_snapshot!(place.plain(&ran.err), @r#"
    the run holds

    ✗ the runbook cannot go on
    error: index `3` is out of bound
     ┌─ book.star:3:20
    3│     step("y", noop(rows[3]))
     │                    ^^^^^^^

      next      go on with the runbook as you mended it
                  piton resume ‹run› --edited book.star
                show what taking back would do     piton undo ‹run› --plan
                take back what the run did         piton undo ‹run›
                end it here; what was done stays   piton abort ‹run›
    "#);
}

#[test]
fn a_window_that_goes_back_says_why() {
    let place = Place::with(
        r#"
def main():
    window("Pause", cut, budget = "20s")

def cut():
    step("Close", sh("touch closed"), undo = sh("rm -f closed"))
    step("Switch", sh("test -e ready"))
"#,
    );
    let ran = place.ran(&["run", "book.star"]).ends(1);
    insta::assert_snapshot!(place.plain(&ran.err), @r#"
    the run holds

    ✗ the window "Pause" went back: "Pause/Switch" failed: exit code 1
      step      Pause/Switch
      at        book.star:7:5
      did       sh test -e ready
      failed    ‹time›
      window    Pause: ‹span› of 20s; it went back

      next      enter the window again             piton resume ‹run› --retry
                go on with the runbook as you mended it
                  piton resume ‹run› --edited book.star
                show what taking back would do     piton undo ‹run› --plan
                take back what the run did         piton undo ‹run›
                end it here; what was done stays   piton abort ‹run›
    "#);
    assert!(!place.path("closed").exists());
    let window = place.show()["windows"][0].clone();
    assert_eq!((&window["state"], &window["went_back"]), (&"closed".into(), &true.into()));
    assert_eq!(window["budget_ms"], 20_000);
    std::fs::write(place.path("ready"), "").unwrap();
    place.ran(&["resume", "@last", "--retry"]).ends(0);
    assert!(place.path("closed").exists());
}
