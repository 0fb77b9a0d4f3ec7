//! Runs that go on with an edited runbook: the five lists, keeping, redoing, asking again.

use crate::place::Place;

const BOOK: &str = r#""""Prepare, load, and finish."""

def fill(extra):
    step("Make room", sh("echo room >> world"), undo = sh("echo 'no room' >> world"))
    step("Load", sh("echo load >> world; test -e mended"))

def main(extra: str = "none"):
    step("Open", sh("echo open >> world"), undo = sh("echo close >> world"))
    seen = step("See", sh("printf 1", reads = True)).out
    step("Mark", sh("echo mark " + seen + " >> world"), undo = sh("echo unmark >> world"))
    phase("Work", fill, extra)
    step("Last", sh("echo last >> world"))
"#;

/// A run that holds at `Work/Load`.
fn held() -> Place {
    let place = Place::with(BOOK);
    place.ran(&["run", "book.star"]).ends(1);
    assert_eq!(place.read("world"), "open\nmark 1\nroom\nload\n");
    place
}

fn edit(place: &Place, changes: &[(&str, &str)]) {
    let mut text = BOOK.to_owned();
    for (from, to) in changes {
        assert!(text.contains(from), "{from}");
        text = text.replace(from, to);
    }
    std::fs::write(place.path("book.star"), text).unwrap();
}

#[test]
fn a_fixed_step_is_tried_again_and_the_same_run_goes_on_to_success() {
    let place = held();
    edit(&place, &[("echo load >> world; test -e mended", "echo loaded >> world")]);
    let ran = place.ran(&["resume", "@last", "--edited", "book.star"]).ends(0);
    insta::assert_snapshot!(place.plain(&ran.out), @r"
    the edit keeps 4 steps as done

    tried again (1): it failed, was held or dropped
      Work/Load   sh echo loaded >> world   at book.star:5:5

    ‹time› engine   resumed by ada, process ‹pid›
    ‹time› edited   book.star by ada (uid ‹uid› on ‹host›)
    ‹time› begin    Work/Load (attempt 2)  sh echo loaded >> world
    ‹time› done     Work/Load (‹span›, attempt 2)
    ‹time› left     Work (‹span›)
    ‹time› begin    Last  sh echo last >> world
    ‹time› done     Last (‹span›)
    ‹time› ended    succeeded: 6 steps in ‹span›
    ");
    assert_eq!(place.read("world"), "open\nmark 1\nroom\nload\nloaded\nlast\n");
    let receipt = place.ran(&["receipt", "@last", "-o", "receipt.json"]).ends(0);
    receipt.says("receipt.json");
    place.ran(&["verify", "receipt.json"]).ends(0).says("valid");
    let page = place.ran(&["receipt", "@last", "--format", "md"]).ends(0);
    page.says("went on with an edited runbook");
}

#[test]
fn the_lists_are_shown_before_anything_runs() {
    let place = held();
    edit(
        &place,
        &[
            ("echo open >> world", "echo OPEN >> world"),
            ("    step(\"Mark\"", "    x = step(\"New\", sh(\"echo new\"))\n    step(\"Other\""),
            ("    phase(\"Work\"", "    if x.out == \"a\":\n        fail(\"a\")\n    phase(\"Work\""),
        ],
    );
    let ran = place.ran(&["resume", "@last", "--edited", "book.star", "--plan"]).ends(0);
    insta::assert_snapshot!(place.plain(&ran.out), @r#"
    the edit keeps 1 step as done

    changed (1): done, with another action than now; each holds until you --keep or --redo it
      Open   sh echo OPEN >> world   at book.star:8:5

    inserted (2): new, before something that is done
      New   sh echo new   at book.star:10:9
      Other   sh echo mark 1 >> world   at book.star:11:5

    undetermined (1): only the run itself can tell
      the run   depends on out of "New"
    "#);
    let json = place.ran(&["resume", "@last", "--edited", "book.star", "--plan", "--json"]).ends(0).out;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["edit"]["changed"][0]["path"], "Open");
    assert_eq!(place.read("world"), "open\nmark 1\nroom\nload\n");
    assert_eq!(place.show()["status"], "held");
}

#[test]
fn a_changed_step_is_kept_or_redone_as_its_author_says() {
    for (choice, world) in [
        ("--keep", "open\nmark 1\nroom\nload\nloaded\nlast\n"),
        ("--redo", "open\nmark 1\nroom\nload\nno room\nunmark\nclose\nOPEN\nmark 1\nroom\nloaded\nlast\n"),
    ] {
        let place = held();
        let changes = [
            ("echo open >> world", "echo OPEN >> world"),
            ("echo load >> world; test -e mended", "echo loaded >> world"),
        ];
        edit(&place, &changes);
        let ran = place.ran(&["resume", "@last", "--edited", "book.star"]).ends(1);
        if choice == "--keep" {
            insta::assert_snapshot!(place.plain(&ran.err), @r"
            the run holds: a step needs a decision

            ✗ Open
              at        book.star:8:5
              did       sh echo open >> world
              why       it was done with another action than the runbook asks for now
              next      keep what was done            piton resume ‹run› --keep Open
                        take it back and do it anew   piton resume ‹run› --redo Open
                        read its whole output         piton logs ‹run› Open

              or        go on with the runbook as you mended it
                          piton resume ‹run› --edited book.star
                        show what taking back would do     piton undo ‹run› --plan
                        take back what the run did         piton undo ‹run›
                        end it here; what was done stays   piton abort ‹run›
            ");
        }
        place.ran(&["resume", "@last", choice, "Open"]).ends(0);
        assert_eq!(place.read("world"), world, "{choice}");
        place.ran(&["receipt", "@last", "-o", "receipt.json"]).ends(0);
        place.ran(&["verify", "receipt.json"]).ends(0).says("valid");
        // Said in advance, it is the same.
        let place = held();
        edit(&place, &changes);
        place.ran(&["resume", "@last", "--edited", "book.star", choice, "Open"]).ends(0);
        assert_eq!(place.read("world"), world, "{choice}");
    }
}

#[test]
fn a_step_that_is_gone_is_never_dropped_silently() {
    let place = held();
    let gone = "    step(\"Mark\", sh(\"echo mark \" + seen + \" >> world\"), undo = sh(\"echo unmark >> world\"))\n";
    edit(&place, &[(gone, ""), ("echo load >> world; test -e mended", "echo loaded >> world")]);
    let ran = place.ran(&["resume", "@last", "--edited", "book.star"]).ends(2);
    insta::assert_snapshot!(place.plain(&ran.err), @r"
    error[P0028]: 1 step that changed something would be left behind
      = take it back: piton undo ‹run› --to Mark
      = or keep what the runbook no longer has, as far as it has come: --keep-orphans
    ");
    place.ran(&["undo", "@last", "--to", "Mark"]).ends(0);
    place.ran(&["resume", "@last", "--edited", "book.star"]).ends(0);
    assert_eq!(place.read("world"), "open\nmark 1\nroom\nload\nunmark\nloaded\nlast\n");

    let place = held();
    edit(&place, &[(gone, ""), ("echo load >> world; test -e mended", "echo loaded >> world")]);
    place.ran(&["resume", "@last", "--edited", "book.star", "--keep-orphans"]).ends(0);
    assert_eq!(place.read("world"), "open\nmark 1\nroom\nload\nloaded\nlast\n");
}

#[test]
fn an_interrupted_edit_is_refused_until_it_is_made_again() {
    let place = held();
    edit(&place, &[("echo load >> world; test -e mended", "echo loaded >> world")]);
    // The engine dies before the edit's record is durable; the snapshot is replaced already.
    let died = place.piton(&["resume", "@last", "--edited", "book.star"]).env("PITON_CRASH_AFTER", "1").ran();
    assert_ne!(died.code, Some(0));
    place.ran(&["resume", "@last"]).ends(5).says("--edited");
    place.ran(&["resume", "@last", "--edited", "book.star"]).ends(0);
    assert!(place.read("world").ends_with("loaded\nlast\n"));
}

const APPROVED: &str = r#""""Approve, then act."""

def main():
    approve("Go?", by = "ops")
    step("Act", sh("echo act >> world; test -e mended"))
    step("Then", sh("echo then >> world"))
"#;

#[test]
fn an_edit_that_changes_what_was_approved_asks_again() {
    let approved = || {
        let place = Place::with(APPROVED);
        place.ran(&["run", "book.star", "--detach"]).ends(0);
        place.wait_until("waiting");
        place.ran(&["approve", "@last", "--as", "grace"]).ends(0);
        place.wait_until("held");
        place
    };
    // What remains is the same: only words, and where they stand, have changed.
    let place = approved();
    std::fs::write(place.path("book.star"), APPROVED.replace("def main", "# A remark.\ndef main")).unwrap();
    std::fs::write(place.path("mended"), "").unwrap();
    place.ran(&["resume", "@last", "--edited", "book.star"]).ends(0);
    assert_eq!(place.read("world"), "act\nact\nthen\n");
    // Another action: it is asked again before anything of it is done.
    let place = approved();
    std::fs::write(place.path("book.star"), APPROVED.replace("echo then", "echo OTHER")).unwrap();
    std::fs::write(place.path("mended"), "").unwrap();
    let shown = place.ran(&["resume", "@last", "--edited", "book.star", "--plan"]).ends(0);
    insta::assert_snapshot!(place.plain(&shown.out), @r"
    the edit keeps 1 step as done

    asked again (1): what was approved has changed
      Go?

    tried again (1): it failed, was held or dropped
      Act   sh echo act >> world; test -e mended   at book.star:5:5
    ");
    place.ran(&["resume", "@last", "--edited", "book.star", "--detach"]).ends(0);
    place.wait_until("waiting");
    assert_eq!(place.read("world"), "act\n");
    place.ran(&["approve", "@last", "--as", "grace"]).ends(0);
    place.wait_until("succeeded");
    assert_eq!(place.read("world"), "act\nact\nOTHER\n");
}

#[test]
fn a_new_postcondition_is_looked_at_and_a_new_step_before_a_commit_point_holds() {
    const PASSED: &str = r#""""Two steps and a commit point."""

def main():
    step("One", sh("echo one >> world"))
    commit_point("Passed")
    step("Two", sh("echo two >> world; test -e mended"))
"#;
    let place = Place::with(PASSED);
    place.ran(&["run", "book.star"]).ends(1);
    let with = |from: &str, to: &str| std::fs::write(place.path("book.star"), PASSED.replace(from, to)).unwrap();
    with("echo one >> world\")", "echo one >> world\"), ensures = sh(\"test -e nothing\", reads = True)");
    let shown = place.ran(&["resume", "@last", "--edited", "book.star", "--plan"]).ends(0);
    insta::assert_snapshot!(place.plain(&shown.out), @r"
    the edit keeps 0 steps as done

    doubted (1): done, but the new postcondition does not hold; each holds until you --keep or --redo it
      One   sh test -e nothing gave exit code 1

    tried again (1): it failed, was held or dropped
      Two   sh echo two >> world; test -e mended   at book.star:6:5
    ");
    with("    commit_point", "    step(\"Before\", sh(\"echo before >> world\"))\n    commit_point");
    std::fs::write(place.path("mended"), "").unwrap();
    let ran = place.ran(&["resume", "@last", "--edited", "book.star"]).ends(1);
    insta::assert_snapshot!(place.plain(&ran.err), @r#"
    the run holds: a step needs a decision

    ✗ Before
      at        book.star:5:5
      why       it is new, and the commit point "Passed" behind it is passed
      next      go past it     piton resume ‹run› --waive Before --reason '...'
                try it again   piton resume ‹run› --retry Before

      or        go on with the runbook as you mended it
                  piton resume ‹run› --edited book.star
                show what taking back would do     piton undo ‹run› --plan
                take back what the run did         piton undo ‹run›
                end it here; what was done stays   piton abort ‹run›
    "#);
    assert_eq!(place.read("world"), "one\ntwo\n");
    place.ran(&["resume", "@last", "--waive", "Before", "--reason", "not needed"]).ends(0);
    assert_eq!(place.read("world"), "one\ntwo\ntwo\n");
}

#[test]
fn redoing_survives_a_death_after_every_event() {
    let place = held();
    let changes =
        [("echo open >> world", "echo OPEN >> world"), ("echo load >> world; test -e mended", "echo loaded >> world")];
    edit(&place, &changes);
    let deaths = place.path("deaths");
    let mut words = vec!["resume", "@last", "--edited", "book.star"];
    for life in 0.. {
        assert!(life < 80, "it never ends: {}", place.show()["status"]);
        let ran = place.piton(&words).env("PITON_CRASH_ONCE_AT_EACH", deaths.to_str().unwrap()).ran();
        let show = place.show();
        match show["status"].as_str().unwrap() {
            "succeeded" => break,
            // Its edit was recorded, and it holds where the author has to choose.
            "held" if show["holds"][0]["choices"][1] == "--redo" => words = vec!["resume", "@last", "--redo", "Open"],
            // Died before the edit was recorded: the snapshot is another one already.
            _ if ran.code == Some(5) => words = vec!["resume", "@last", "--edited", "book.star"],
            _ => words = vec!["resume", "@last"],
        }
    }
    let lives = std::fs::read_to_string(deaths).unwrap().lines().count();
    assert!(lives > 15, "{lives} deaths");
    assert_eq!(
        place.read("world"),
        "open\nmark 1\nroom\nload\nno room\nunmark\nclose\nOPEN\nmark 1\nroom\nloaded\nlast\n"
    );
    place.ran(&["receipt", "@last", "-o", "receipt.json"]).ends(0);
    place.ran(&["verify", "receipt.json"]).ends(0).says("valid");
}
