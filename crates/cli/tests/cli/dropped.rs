//! Edits that leave out a step in flight: it is named, ended before anything else runs, and never forgotten.

use crate::children::{children, sound, until};
use crate::place::Place;

/// `S` works until there is a file `go`.
const BOOK: &str = r#""""Two commands."""

def main():
    step("A", sh("echo A >> world"), undo = sh("echo undo A >> world"))
    step("S", sh("echo S >> world; touch begun; until [ -e go ]; do sleep 0.02; done; echo S ended >> world"),
         undo = sh("echo undo S >> world"))
    step("Z", sh("echo Z >> world"), undo = sh("echo undo Z >> world"))
"#;

fn without(book: &str, from: &str, to: &str) -> String {
    let start = book.find(from).unwrap();
    let end = start + book[start..].find(to).unwrap();
    format!("{}{}", &book[..start], &book[end..])
}

/// Its engine is killed while `S` works, and `S` goes on.
fn interrupted() -> Place {
    let place = Place::with(BOOK);
    let running = place.piton(&["run", "book.star"]).started();
    place.wait_for("begun");
    running.kill();
    place
}

#[test]
fn a_running_command_that_an_edit_leaves_out_is_named_refused_and_ended_before_the_rest_by_ones_word() {
    let place = interrupted().file("book.star", &without(BOOK, "    step(\"S\"", "    step(\"Z\""));
    let looked = place.ran(&["resume", "@last", "--edited", "book.star", "--plan"]).ends(0);
    insta::assert_snapshot!(place.plain(&looked.out), @r"
    the edit keeps 1 step as done

    dropped (1): begun and not ended, and no longer in the runbook; each is ended before anything else runs
      S   it has begun, and nothing says how it ended   undo: sh echo undo S >> world
    ");
    let refused = place.ran(&["resume", "@last", "--edited", "book.star"]).ends(2);
    insta::assert_snapshot!(place.plain(&refused.err), @r"
    error[P0028]: 1 step that changed something would be left behind
      = take it back: piton undo ‹run› --to S
      = or let what has begun come to its end first: piton resume ‹run›
      = or keep what the runbook no longer has, as far as it has come: --keep-orphans
    ");
    assert_eq!(place.read("world"), "A\nS\n");
    let kept = place.ran(&["resume", "@last", "--edited", "book.star", "--keep-orphans"]).ends(0);
    insta::assert_snapshot!(place.plain(&kept.out), @r"
    the edit keeps 1 step as done

    dropped (1): begun and not ended, and no longer in the runbook; each is ended before anything else runs
      S   it has begun, and nothing says how it ended   undo: sh echo undo S >> world

    ‹time› engine   resumed by ada, process ‹pid›
    ‹time› edited   book.star by ada (uid ‹uid› on ‹host›)
    ‹time› failed   S: ended: the edited runbook has it no more
    ‹time› dropped  S: the edited runbook has it no more
    ‹time› begin    Z  sh echo Z >> world
    ‹time› done     Z (‹span›)
    ‹time› ended    succeeded: 2 steps in ‹span›
    ");
    std::fs::write(place.path("go"), "").unwrap();
    let shown = place.ran(&["show", "@last"]).ends(0);
    insta::assert_snapshot!(place.plain(&shown.out), @r"
    run ‹run›   succeeded   Two commands.
      runbook   book.star in ‹dir›/project
      started   ‹date› ‹time› by ada (uid ‹uid› on ‹host›)
      engines   2 have driven it so far

     ✓ A  ‹span›
     – S  ‹span›  dropped: the edited runbook has it no more
     ✓ Z  ‹span›

    ✓ 2 steps done in ‹span›
      dropped   1 step that an edit left out
      next      write its signed receipt   piton receipt ‹run› -o receipt.json
    ");
    assert_eq!(place.read("world"), "A\nS\nZ\n");
    sound(&place);
    place.ran(&["receipt", "@last", "--format", "md"]).ends(0).says("**dropped**");
    // What it had done by then can still be taken back.
    place.ran(&["undo", "@last"]).ends(4);
    assert_eq!(place.read("world"), "A\nS\nZ\nundo Z\nundo S\nundo A\n");
    sound(&place);
}

#[test]
fn it_can_be_taken_back_first_and_then_the_edit_has_nothing_to_drop() {
    let place = interrupted().file("book.star", &without(BOOK, "    step(\"S\"", "    step(\"Z\""));
    let planned = place.ran(&["undo", "@last", "--to", "S", "--plan"]).ends(0);
    assert!(planned.out.contains("undo S"), "{}", planned.out);
    place.ran(&["undo", "@last", "--to", "S"]).ends(0);
    let went_on = place.ran(&["resume", "@last", "--edited", "book.star"]).ends(0);
    assert!(!went_on.out.contains("dropped"), "{}", went_on.out);
    assert_eq!(place.read("world"), "A\nS\nundo S\nZ\n");
    sound(&place);
}

#[test]
fn dropping_survives_a_death_after_every_event() {
    for deaths in 1.. {
        let place = interrupted().file("book.star", &without(BOOK, "    step(\"S\"", "    step(\"Z\""));
        let words = ["resume", "@last", "--edited", "book.star", "--keep-orphans"];
        let ran = place.piton(&words).env("PITON_CRASH_AFTER", &deaths.to_string()).ran();
        if ran.code == Some(0) {
            assert!(deaths > 4, "{deaths}");
            return;
        }
        // Before the edit is on record it has to be made again; after the last record nothing is left to do.
        match place.ran(&["resume", "@last"]).code {
            Some(0) => {}
            Some(2) => assert_eq!(place.show()["status"], "succeeded"),
            _ => _ = place.ran(&words).ends(0),
        }
        assert_eq!(place.read("world"), "A\nS\nZ\n", "after {deaths}");
        sound(&place);
    }
}

#[test]
fn a_dropped_step_that_a_later_edit_has_again_is_a_persons_to_decide() {
    let place = interrupted().file("fine", "");
    let edited = without(BOOK, "    step(\"S\"", "    step(\"Z\"").replace("echo Z", "test -e mended && echo Z");
    let place = place.file("book.star", &edited);
    place.ran(&["resume", "@last", "--edited", "book.star", "--keep-orphans"]).ends(1);
    let place = place.file("book.star", BOOK).file("mended", "").file("go", "");
    let held = place.ran(&["resume", "@last", "--edited", "book.star"]).ends(1);
    assert!(held.err.contains("an edit had dropped it"), "{}", held.err);
    place.ran(&["resume", "@last", "--not-done", "S"]).ends(0);
    assert_eq!(place.read("world"), "A\nS\nS\nS ended\nZ\n");
    sound(&place);
}

#[test]
fn what_an_interrupted_command_gives_after_an_edit_changed_it_is_no_result_of_the_new_one() {
    let place = interrupted().file("book.star", &BOOK.replace("echo S >> world", "echo other >> world"));
    let looked = place.ran(&["resume", "@last", "--edited", "book.star", "--plan"]).ends(0);
    insta::assert_snapshot!(place.plain(&looked.out), @r"
    the edit keeps 1 step as done

    overtaken (1): begun with another action than now: what it gives holds until you --keep or --redo it, what waits begins anew
      S   sh echo other >> world; touch begun; until [ -e go ]; do sleep 0.02; done; echo S ended >> world   at book.star:5:5
    ");
    let place = place.file("go", "");
    let held = place.ran(&["resume", "@last", "--edited", "book.star"]).ends(1);
    assert!(held.err.contains("it was done with another action"), "{}", held.err);
    place.ran(&["resume", "@last", "--redo", "S"]).ends(0);
    assert_eq!(place.read("world"), "A\nS\nS ended\nundo S\nother\nS ended\nZ\n");
    sound(&place);
}

const SLOW_CHILD: &str = r#""""Works until there is a file."""

def main():
    step("Copy", sh("echo copy >> world; touch begun; until [ -e go ]; do sleep 0.02; done; echo copied >> world"),
         undo = sh("echo undo copy >> world"))
"#;

const PARENT: &str = r#""""Has a child."""

def main():
    step("A", sh("echo A >> world"), undo = sh("echo undo A >> world"))
    run("Kid", "child.star")
    step("Z", sh("echo Z >> world"), undo = sh("echo undo Z >> world"))
"#;

#[test]
fn a_live_child_run_that_an_edit_leaves_out_is_ended_or_taken_back_with_ones_word() {
    for taken_back in [false, true] {
        let place = Place::with(PARENT).file("child.star", SLOW_CHILD);
        let running = place.piton(&["run", "book.star"]).started();
        place.wait_for("begun");
        running.kill();
        let parent = place.show()["id"].as_str().unwrap().to_owned();
        let place = place.file("book.star", &PARENT.replace("    run(\"Kid\", \"child.star\")\n", ""));
        let refused = place.ran(&["resume", &parent, "--edited", "book.star"]).ends(2);
        assert!(refused.out.contains("its child run"), "{}", refused.out);
        assert!(refused.err.contains("--to Kid"), "{}", refused.err);
        let world = if taken_back {
            place.ran(&["undo", &parent, "--to", "Kid"]).ends(0);
            place.ran(&["resume", &parent, "--edited", "book.star"]).ends(0);
            "A\ncopy\nundo copy\nZ\n"
        } else {
            place.ran(&["resume", &parent, "--edited", "book.star", "--keep-orphans"]).ends(0);
            "A\ncopy\nZ\n"
        };
        assert_eq!(place.read("world"), world);
        let child = children(&place).remove(0);
        let child = place.ran(&["show", &child]).ends(0).out;
        assert!(child.contains(if taken_back { "undone" } else { "aborted" }), "{child}");
        sound(&place);
    }
}

#[test]
fn what_waits_is_dropped_without_a_word_more_and_asks_nobody_any_longer() {
    let book = r#""""Waits in three ways."""

def one(item):
    step("Do", sh("echo do " + item + " >> world"))
    approve("Go?", by = "ops")

def rest():
    wait("Rest", "1h")

def fails():
    step("Fail", sh("exit 1"), retry = retry(5, backoff = "1h"))

def main():
    parallel("All", {"a": partial(one, "a"), "b": partial(one, "b"), "rest": partial(rest), "fails": partial(fails)})
    step("Z", sh("echo Z >> world"))
"#;
    let place = Place::with(book);
    place.ran(&["run", "book.star", "--detach"]).ends(0);
    until("all of it waits", || {
        let shown = place.show();
        shown["waiting"].as_array().unwrap().len() == 3
            && shown["counts"]["running"] == 1
            && shown["status"] == "waiting"
    });
    let gone = book.replace(", \"b\": partial(one, \"b\"), \"rest\": partial(rest), \"fails\": partial(fails)", "");
    let place = place.file("book.star", &gone);
    let refused = place.ran(&["resume", "@last", "--edited", "book.star"]).ends(2);
    for line in [
        "All/b/Do   (no undo is declared)",
        "dropped (3)",
        "All/rest/Rest   it waits for a time",
        "All/fails/Fail   it failed   (no undo is declared)",
        "All/b/Go?   it waits for a person",
    ] {
        assert!(refused.out.contains(line), "{line}: {}", refused.out);
    }
    assert!(refused.err.contains("2 steps that changed something"), "{}", refused.err);
    place.ran(&["resume", "@last", "--edited", "book.star", "--keep-orphans", "--detach"]).ends(0);
    until("one question is left", || {
        let waiting = place.show()["waiting"].clone();
        waiting.as_array().unwrap().len() == 1 && waiting[0]["path"] == "All/a/Go?"
    });
    place.ran(&["approve", "@last"]).ends(0);
    place.wait_until("succeeded");
    sound(&place);
}

#[test]
fn what_only_the_run_could_tell_is_held_at_its_end_and_not_forgotten() {
    let place = Place::with(&BOOK.replace("echo Z >> world", "echo Z >> world; test -e mended")).file("go", "");
    place.ran(&["run", "book.star"]).ends(1);
    let edited = BOOK.replace(
        "    step(\"S\"",
        "    if step(\"Look\", sh(\"printf no\", reads = True)).out == \"yes\":\n        step(\"S\"",
    );
    let place = place.file("book.star", &edited);
    let held = place.ran(&["resume", "@last", "--edited", "book.star"]).ends(1);
    insta::assert_snapshot!(place.plain(&held.err), @r"
    the run holds: a step needs a decision

    ✗ S
      at        book.star:5:5
      did       sh echo S >> world; touch begun; until [ -e go ]; do sleep 0.02; done; echo S ended >> world
      why       the edited runbook has it no more: it is done, and has changed something
      next      keep what was done      piton resume ‹run› --keep S
                take it back            piton undo ‹run› --to S
                read its whole output   piton logs ‹run› S

      or        go on with the runbook as you mended it
                  piton resume ‹run› --edited book.star
                show what taking back would do     piton undo ‹run› --plan
                take back what the run did         piton undo ‹run›
                end it here; what was done stays   piton abort ‹run›
    ");
    assert_eq!(place.show()["status"], "held");
    place.ran(&["resume", "@last", "--keep", "S"]).ends(0);
    assert_eq!(place.read("world"), "A\nS\nS ended\nZ\nZ\n");
    sound(&place);
}

#[test]
fn an_undo_is_performed_in_the_order_that_its_preview_shows() {
    let book = r#""""Two at a time."""

def slow():
    step("S", sh("echo S >> world; touch begun; until [ -e go ]; do sleep 0.02; done"), undo = sh("echo undo S >> world"))

def quick():
    step("Q", sh("until [ -e begun ]; do sleep 0.02; done; echo Q >> world"), undo = sh("echo undo Q >> world"))
    step("R", sh("touch quick"), undo = sh("echo undo R >> world"))

def main():
    parallel("Both", {"slow": partial(slow), "quick": partial(quick)})
"#;
    let place = Place::with(book);
    let running = place.piton(&["run", "book.star"]).started();
    place.wait_for("quick");
    place.wait_for("begun");
    running.kill();
    let planned = place.ran(&["undo", "@last", "--plan"]).ends(0).out;
    let mut order: Vec<_> = ["undo S", "undo R", "undo Q"].map(|undo| (planned.find(undo).unwrap(), undo)).into();
    order.sort_unstable();
    place.ran(&["undo", "@last"]).ends(4);
    let undone: String = order.into_iter().map(|(_, undo)| format!("{undo}\n")).collect();
    assert!(place.read("world").ends_with(&undone), "{planned}{}", place.read("world"));
    assert!(undone.starts_with("undo R\nundo S\n") || undone.starts_with("undo S\n"), "{planned}");
    sound(&place);
}
