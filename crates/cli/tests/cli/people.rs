//! People answer: approvals, questions, manual steps; in the foreground, and with nobody driving the run.

use crate::place::Place;

const ASKS: &str = r#"
def main():
    approve("Cut over?", by = "oncall", show = {"tables": 24})
    step("cut", write_file("cut", "x"))
"#;

const FORM: &str = r#"
def main():
    answer = ask("Sizes", {"rows": int, "pause": duration, "note": str})
    step("write", write_file("answer", "%d %s %s" % (answer.rows, answer.pause, answer.note)))
"#;

const MANUAL: &str = r#"
def main():
    manual("Turn the key", "Go to the safe.\nTurn the key.", ensures = sh("test -e key", reads = True))
    step("after", write_file("after", "x"))
"#;

/// Starts the run and waits until it asks; the run goes on waiting in this process.
fn asking(place: &Place) -> crate::place::Started {
    let mut run = place.piton(&["run", "book.star"]).started();
    run.until("asked ");
    run
}

/// The run asks, and nobody drives it.
fn parked(runbook: &str) -> Place {
    let place = Place::with(runbook);
    asking(&place).kill();
    place
}

#[test]
fn a_waiting_run_wakes_when_another_terminal_approves() {
    let place = Place::with(ASKS);
    let run = asking(&place);
    insta::assert_snapshot!(place.plain(&place.ran(&["show", "@last"]).ends(0).out), @r#"
    run ‹run›   waiting   book.star
      runbook   book.star in ‹dir›/project
      started   ‹date› ‹time› by ada (uid ‹uid› on ‹host›)
      engine    process ‹pid› on ‹host› drives it

     ? Cut over?  ‹span›  piton approve ‹run› 'Cut over?'

    the run waits for a person

    ? Cut over?
      at        book.star:3:5
      needs     approval by oncall
      shows     tables = 24
      next      approve it   piton approve ‹run› 'Cut over?'
                say no       piton approve ‹run› 'Cut over?' --reject --reason '...'
    "#);
    place.ran(&["approve", "@last"]).ends(0).says("approved: Cut over?; follow the run");
    run.ended().ends(0).says("answered Cut over?: approved by ada");
    assert_eq!(place.read("cut"), "x");
    place.ran(&["approve", "@last"]).ends(2).says("error[P0022]");
}

#[test]
fn an_answer_to_a_run_that_nobody_drives_starts_an_engine() {
    let place = parked(ASKS);
    let run = place.show();
    assert_eq!(run["waiting"][0]["kind"], "approve");
    assert_eq!(run["waiting"][0]["ask"]["by"], "oncall");
    assert!(run["waiting"][0]["shown"].as_str().unwrap().starts_with("sha256:"));
    place.ran(&["approve", "@last", "Cut over?", "--as", "grace"]).ends(0);
    place.ran(&["watch", "@last"]).ends(0).says("approved by grace");
    assert_eq!(place.read("cut"), "x");
}

#[test]
fn an_engine_in_the_background_leaves_a_run_that_waits_for_a_person() {
    let place = Place::with(ASKS);
    place.ran(&["run", "book.star", "--detach"]).ends(0);
    let watched = place.ran(&["watch", "@last"]).ends(3);
    assert!(watched.err.starts_with("the run waits for a person"), "{}", watched.err);
    assert_eq!(place.show()["driven_by"], serde_json::Value::Null);
    place.ran(&["approve", "@last"]).ends(0);
    place.ran(&["watch", "@last"]).ends(0);
    assert_eq!(place.read("cut"), "x");
}

#[test]
fn a_rejection_is_a_failure_with_its_reason() {
    let place = Place::with(ASKS);
    let run = asking(&place);
    place.ran(&["approve", "@last", "--reject", "--reason", "not tonight"]).ends(0).says("rejected: Cut over?");
    run.ended().ends(1).says("rejected by ada: not tonight");
}

#[test]
fn whoever_started_the_run_may_not_approve_under_another_name() {
    let place = parked("def main():\n    approve(\"Sure?\", by = \"x\", not_starter = True, count = 1)\n");
    let ran = place.ran(&["approve", "@last", "--as", "grace"]).ends(2);
    insta::assert_snapshot!(place.plain(&ran.err), @r#"error[P0025]: "Sure?": whoever started the run may not approve this step"#);
}

#[test]
fn two_accounts_are_two_accounts_whatever_their_names() {
    let place = parked("def main():\n    approve(\"Sure?\", by = \"x\", count = 2)\n");
    place.ran(&["approve", "@last"]).ends(0).says("(1 of 2); it waits for the others");
    place.ran(&["approve", "@last", "--as", "grace"]).ends(2).says("error[P0025]");
    assert_eq!(place.show()["waiting"][0]["answered_by"].as_array().unwrap().len(), 1);
}

#[test]
fn fields_are_typed_and_wrong_ones_refused() {
    let place = parked(FORM);
    let refused = |fields: &[&str]| {
        let ran = place.piton(&["answer", "@last", "Sizes"]).words(fields).ran().ends(2);
        place.plain(&ran.err)
    };
    insta::assert_snapshot!(refused(&["rows=many", "pause=90s", "note=x"]), @r#"
    error[P0025]: rows: "many" is not a whole number
      = the question asks for: rows=<int> pause=<duration> note=<str>
    "#);
    insta::assert_snapshot!(refused(&["rows=1", "pause=90"]), @r#"
    error[P0025]: pause: "90" is not a duration: write a number and a unit, as in "250ms", "90s", "10m", "2h", "1d" or "1h30m"; at most 10 years
      = the question asks for: rows=<int> pause=<duration> note=<str>
    "#);
    insta::assert_snapshot!(refused(&["rows=1", "pause=90s", "note=x", "more=1"]), @r#"
    error[P0025]: the question has no field "more"
      = the question asks for: rows=<int> pause=<duration> note=<str>
    "#);
    place.ran(&["answer", "@last", "Sizes", "--done"]).ends(2).says("error[P0001]");
    place.ran(&["answer", "@last", "Sizes", "rows=3", "pause=90s", "note=a=b"]).ends(0);
    place.ran(&["watch", "@last"]).ends(0);
    assert_eq!(place.read("answer"), "3 1m30s a=b");
}

#[test]
fn a_manual_step_is_verified_whatever_the_person_says() {
    let place = Place::with(MANUAL);
    let run = asking(&place);
    place.ran(&["answer", "@last", "Turn the key", "--done"]).ends(0);
    run.ended().ends(1).says("said to be done, but");
    std::fs::write(place.path("key"), "").unwrap();
    place.ran(&["resume", "@last", "--retry"]).ends(0);
    assert_eq!(place.read("after"), "x");
}

#[test]
fn where_several_questions_stand_one_must_be_named() {
    let place = Place::with(
        "def main():\n    parallel(\"Both\", {\"a\": partial(one, \"A?\"), \"b\": partial(one, \"B?\")})\n\ndef one(name):\n    approve(name, by = \"x\")\n",
    );
    let mut run = place.piton(&["run", "book.star"]).started();
    run.until("asked ");
    run.until("asked ");
    let ran = place.ran(&["approve", "@last"]).ends(2);
    insta::assert_snapshot!(place.plain(&ran.err), @r#"
    error[P0001]: run ‹run› asks more than one question: say which
      = piton approve ‹run› 'Both/a/A?'
      = piton approve ‹run› 'Both/b/B?'
    "#);
    place.ran(&["approve", "@last", "A?"]).ends(0);
    place.ran(&["approve", "@last"]).ends(0);
    run.ended().ends(0);
}

#[test]
fn nothing_is_asked_of_a_run_that_asks_nothing() {
    let place = Place::with("def main():\n    step(\"x\", sh(\"exit 1\"))\n");
    place.ran(&["run", "book.star"]).ends(1);
    let ran = place.ran(&["approve", "@last"]).ends(2);
    insta::assert_snapshot!(place.plain(&ran.err), @r#"
    error[P0024]: run ‹run› asks for no approval now
      = see how it stands: piton show ‹run›
    "#);
    place.ran(&["approve", "@last", "x"]).ends(2).says("error[P0024]");
}

#[test]
fn another_account_approves_what_its_starter_may_not() {
    const NOBODY: u32 = 65_534;
    if !rustix::process::getuid().is_root() {
        // Only root may act as another account.
        return;
    }
    let book = "def main():\n    approve(\"Sure?\", by = \"x\", not_starter = True, count = 1)\n";
    let place = Place::with(book).given_to(NOBODY);
    let mut run = place.piton(&["run", "book.star"]).by_uid(NOBODY).started();
    run.until("asked ");
    place.piton(&["approve", "@last", "--as", "root"]).by_uid(NOBODY).ran().ends(2).says("error[P0025]");
    place.ran(&["approve", "@last"]).ends(0).says("approved: Sure?");
    run.ended().ends(0);
}
