//! Guards over real commands: what a trip stops, what a person is told, and what looking again and waiving do.

use crate::place::Place;

/// Two guarded steps; the first waits until it is let go.
fn soaks(on_trip: &str) -> Place {
    let book = format!(
        r#""""Soak."""

def calm(outcome):
    return int(outcome.out.strip()) < 5

def main():
    step("Before", sh("touch before"), undo = sh("rm -f before"))
    phase("Soak", soak, guards = [
        guard("Errors stay low", sh("cat errors", reads = True), below = 5, every = "50ms", on_trip = "{on_trip}"),
        guard("As the function says", sh("cat errors", reads = True), predicate = calm, every = "1h"),
    ])
    step("After", sh("touch after"))

def soak():
    step("One", sh("touch started; until [ -e go ]; do sleep 0.02; done; touch one"),
         undo = sh("rm -f started one"), repeatable = True)
    step("Two", sh("touch two"))
"#
    );
    Place::with(&book).file("errors", "0\n")
}

fn exists(place: &Place, names: [&str; 5]) -> [bool; 5] {
    names.map(|name| place.path(name).exists())
}

const ALL: [&str; 5] = ["before", "started", "one", "two", "after"];

#[test]
fn a_guard_that_trips_holds_the_run_and_says_what_it_saw_and_what_to_do() {
    let place = soaks("hold");
    let mut run = place.piton(&["run", "book.star"]).started();
    place.wait_for("started");
    std::fs::write(place.path("errors"), "9\n").unwrap();
    run.until("tripped");
    std::fs::write(place.path("go"), "").unwrap();
    let ran = run.ended().ends(1);
    insta::assert_snapshot!(place.plain(&ran.err), @r#"
    the run holds

    ✗ Soak/Errors stay low
      at        book.star:9:9
      why       the guard "Errors stay low" tripped: sh cat errors gave 9, and must be below 5
      next      look again, and go on where it passes
                  piton resume ‹run› --retry 'Soak/Errors stay low'
                go on although it fails, until it has passed again
                  piton resume ‹run› --waive 'Soak/Errors stay low' --reason '...'

      or        show what taking back would do     piton undo ‹run› --plan
                take back what the run did         piton undo ‹run›
                end it here; what was done stays   piton abort ‹run›
    "#);
    assert_eq!(exists(&place, ALL), [true, true, true, false, false], "the running command finishes, none is started");
    insta::assert_snapshot!(place.plain(&ran.out), @r#"
    ‹time› run      ‹run› Soak. (book.star)
    ‹time› engine   started by ada, process ‹pid›
    ‹time› begin    Before  sh touch before
    ‹time› done     Before (‹span›)
    ‹time› phase    Soak
    ‹time› begin    Soak/One  sh touch started; until [ -e go ]; do sleep 0.02; done; touch one
    ‹time› tripped  Soak/Errors stay low: the guard "Errors stay low" tripped: sh cat errors gave 9, and must be below 5; the run holds
    ‹time› done     Soak/One (‹span›)
    "#);
    let shown = place.ran(&["show", "@last"]).ends(0);
    assert!(shown.out.ends_with(&ran.err), "{}", shown.out);
    let run = place.show();
    assert_eq!((&run["status"], &run["holds"][0]["reason"]["hold"]), (&"held".into(), &"tripped".into()));
    assert_eq!(run["guards"][0]["state"], "tripped");

    // Only a word about the guard lets it go on; looking again finds what it found.
    place.ran(&["resume", "@last"]).ends(1);
    place.ran(&["resume", "@last", "--retry"]).ends(1).says("gave 9");
    place.ran(&["resume", "@last", "--waive", "Errors stay low"]).ends(2);
    std::fs::write(place.path("errors"), "1\n").unwrap();
    place.ran(&["resume", "@last", "--retry", "Errors stay low"]).ends(0);
    assert_eq!(exists(&place, ALL), [true; 5]);
}

#[test]
fn a_waived_guard_stands_in_the_receipt_with_who_and_why() {
    let place = soaks("hold");
    std::fs::write(place.path("go"), "").unwrap();
    std::fs::write(place.path("errors"), "9\n").unwrap();
    place.ran(&["run", "book.star"]).ends(1);
    assert_eq!(exists(&place, ALL), [true, false, false, false, false], "nothing starts before it has passed");
    let waive = |guard| {
        ["resume", "@last", "--waive", guard, "--reason", "a known false alarm", "--as", "grace"].map(str::to_owned)
    };
    let said = |words: [String; 8]| place.ran(&words.iter().map(String::as_str).collect::<Vec<_>>());
    said(waive("Errors stay low")).ends(1).says("As the function says");
    said(waive("Soak/As the function says")).ends(0);
    place.ran(&["receipt", "@last", "-o", "receipt.json"]).ends(0);
    place.ran(&["verify", "receipt.json"]).ends(0);
    let page = place.ran(&["receipt", "@last", "--format", "md"]).ends(0).out;
    assert!(page.contains("## Guards") && page.contains("| **waived** | `Soak/Errors stay low` |"), "{page}");
    assert!(page.contains("a known false alarm"), "{page}");
}

#[test]
fn a_guard_that_undoes_ends_the_running_command_and_takes_its_scope_back() {
    let place = soaks("undo");
    let mut run = place.piton(&["run", "book.star"]).started();
    place.wait_for("started");
    std::fs::write(place.path("errors"), "9\n").unwrap();
    run.until("tripped");
    let ran = run.ended().ends(1);
    assert!(ran.err.contains("Errors stay low"), "{}", ran.err);
    assert_eq!(exists(&place, ALL), [true, false, false, false, false], "{}", ran.out);
    std::fs::write(place.path("errors"), "0\n").unwrap();
    std::fs::write(place.path("go"), "").unwrap();
    place.ran(&["resume", "@last", "--retry"]).ends(0);
    assert_eq!(exists(&place, ALL), [true; 5]);
    place.ran(&["receipt", "@last", "-o", "receipt.json"]).ends(0);
    place.ran(&["verify", "receipt.json"]).ends(0);
}

#[test]
fn a_plan_shows_the_guards_of_a_scope_and_which_scopes_are_locks() {
    let place = soaks("hold").file(
        "locked.star",
        r#"
def main():
    lock("deploy", work, guards = [guard("Load", noop(1), above = 0, below = 9, every = "5s", tolerate = 2)])

def work():
    step("Write", sh("touch x"), repeatable = True)
"#,
    );
    let plan = place.ran(&["plan", "book.star"]).ends(0);
    let scope: Vec<&str> = plan.out.lines().skip_while(|line| *line != "Soak").take(3).collect();
    insta::assert_snapshot!(scope.join("\n"), @r#"
    Soak
      ⊙ guard "Errors stay low": sh cat errors must be below 5, every 50ms, else it holds
      ⊙ guard "As the function says": sh cat errors must be as calm() says, every 1h, else it holds
    "#);
    let plan = place.ran(&["plan", "locked.star"]).ends(0);
    let scope: Vec<&str> = plan.out.lines().skip_while(|line| !line.starts_with("deploy")).take(2).collect();
    insta::assert_snapshot!(scope.join("\n"), @r#"
    deploy   [lock]
      ⊙ guard "Load": noop must be above 0 and below 9, every 5s, 2 failures tolerated, else it holds
    "#);
}
