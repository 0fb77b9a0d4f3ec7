//! Locks between real processes: who waits, who gets it, and how a person takes one away.

use crate::place::Place;
use serde_json::Value;
use std::time::{Duration, Instant};

/// Works in the lock until it is let go; each run leaves files with its name.
const BOOK: &str = r#""""Deploy."""

def main(name: str):
    step("Before", sh("touch before-" + quote(name)), repeatable = True)
    lock("deploy", deploy, name)
    step("After", sh("touch after-" + quote(name)), repeatable = True)

def deploy(name):
    step("Work", sh("touch in-%s; until [ -e go-%s ]; do sleep 0.02; done; test ! -e bad-%s" % (quote(name), quote(name), quote(name))),
         repeatable = True)
    step("More", sh("touch more-" + quote(name)), repeatable = True)
"#;

fn locks(place: &Place) -> Value {
    serde_json::from_str(&place.ran(&["locks", "--json"]).ends(0).out).unwrap()
}

fn until(what: &str, is: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(30);
    while !is() {
        assert!(Instant::now() < end, "waited too long until {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn somebody_waits(place: &Place) -> bool {
    locks(place)[0]["waiting"].as_array().is_some_and(|waiting| waiting.len() == 1)
}

fn touch(place: &Place, name: &str) {
    std::fs::write(place.path(name), "").unwrap();
}

fn id_of(place: &Place, title_at: usize) -> String {
    let runs: Value = serde_json::from_str(&place.ran(&["runs", "--json"]).out).unwrap();
    runs[title_at]["id"].as_str().unwrap().to_owned()
}

fn sound(place: &Place, run: &str) {
    place.ran(&["receipt", run, "-o", "receipt.json"]).ends(0);
    place.ran(&["verify", "receipt.json"]).ends(0);
}

#[test]
fn whoever_waits_gets_the_lock_when_a_killed_holder_has_been_resumed_and_not_before() {
    let place = Place::with(BOOK);
    let holder = place.piton(&["run", "book.star", "--name", "a"]).started();
    place.wait_for("in-a");
    let mut waiter = place.piton(&["run", "book.star", "--name", "b"]).started();
    waiter.until("waits");
    until("it waits", || somebody_waits(&place));
    assert!(place.path("before-b").exists() && !place.path("in-b").exists());
    let shown = place.ran(&["show", "@last"]).ends(0);
    let told = shown.out[shown.out.find("the run waits").expect("it waits")..].to_owned();
    insta::assert_snapshot!(place.plain(&told), @r#"
    the run waits

    ? deploy
      lock      "deploy" is held by run ‹run› at deploy since ‹date› ‹time›
      next      see who holds it   piton show ‹run›
                take the lock away from who holds it
                  piton locks break deploy --reason '...'
    "#);
    let listed = place.ran(&["locks"]).ends(0);
    insta::assert_snapshot!(place.plain(&listed.out), @r"
    deploy
      held by run ‹run› at deploy since ‹date› ‹time›
      run ‹run› at deploy waits since ‹date› ‹time›
      take it away: piton locks break deploy --reason '...'
    ");

    holder.kill();
    let a = id_of(&place, 1);
    assert_eq!(locks(&place)[0]["run"], a.as_str(), "it survives its holder's engine");
    assert!(!place.path("in-b").exists());
    touch(&place, "go-a");
    touch(&place, "go-b");
    place.ran(&["resume", &a]).ends(0);
    waiter.ended().ends(0);
    assert!(place.path("more-b").exists() && place.path("after-a").exists());
    assert_eq!(locks(&place), Value::Array(vec![]));
    assert!(place.ran(&["locks"]).ends(0).err.contains("no lock is held"));
    sound(&place, &a);
    sound(&place, "@last");
}

#[test]
fn a_lock_that_is_taken_away_goes_to_whoever_waits_and_its_holder_holds_until_it_has_it_again() {
    let place = Place::with(BOOK);
    touch(&place, "go-a");
    touch(&place, "bad-a");
    place.ran(&["run", "book.star", "--name", "a"]).ends(1);
    let a = id_of(&place, 0);
    let mut waiter = place.piton(&["run", "book.star", "--name", "b"]).started();
    waiter.until("waits");
    place.ran(&["locks", "break", "deploy"]).ends(2).says("--reason");
    place.ran(&["locks", "break", "nothing", "--reason", "x"]).ends(2).says("P0029");
    let broken = place.ran(&["locks", "break", "deploy", "--reason", "a is abandoned", "--as", "grace"]).ends(0);
    insta::assert_snapshot!(place.plain(&broken.out), @r#"
    the lock "deploy" is free; run ‹run› holds until it may have it again
    go on with it: piton resume ‹run› --retry
    "#);
    place.wait_for("in-b");
    let shown = place.ran(&["show", &a]).ends(0);
    assert!(shown.out.contains("its lock \"deploy\" was broken by grace: a is abandoned"), "{}", shown.out);

    // What it wants again, it waits for.
    std::fs::remove_file(place.path("bad-a")).unwrap();
    let mut again = place.piton(&["resume", &a, "--retry"]).started();
    again.until("waits");
    assert!(!place.path("more-a").exists());
    touch(&place, "go-b");
    waiter.ended().ends(0);
    again.ended().ends(0);
    assert!(place.path("more-a").exists());
    assert_eq!(locks(&place), Value::Array(vec![]));
    sound(&place, &a);
    let page = place.ran(&["receipt", &a, "--format", "md"]).ends(0).out;
    assert!(page.contains("**broke its lock**") && page.contains("a is abandoned"), "{page}");
}

#[test]
fn runs_that_would_wait_for_each_other_for_ever_are_told() {
    let place = Place::with(
        r#"
def main(one: str, two: str):
    lock(one, outer, one, two)

def outer(one, two):
    step("Take", sh("touch in-%s; until [ -e both ]; do sleep 0.02; done" % quote(one)), repeatable = True)
    lock(two, inner)

def inner():
    step("Work", noop())
    step("Write", sh("echo x >> written"), repeatable = True)
"#,
    );
    let mut x = place.piton(&["run", "book.star", "--one", "x", "--two", "y"]).started();
    let y = place.piton(&["run", "book.star", "--one", "y", "--two", "x"]).started();
    place.wait_for("in-x");
    place.wait_for("in-y");
    touch(&place, "both");
    // Whichever comes last would close the circle.
    until("one of them holds", || {
        let runs: Value = serde_json::from_str(&place.ran(&["runs", "--json"]).out).unwrap();
        runs.as_array().unwrap().iter().any(|run| run["status"] == "held")
    });
    let runs: Value = serde_json::from_str(&place.ran(&["runs", "--json"]).out).unwrap();
    let held = runs.as_array().unwrap().iter().find(|run| run["status"] == "held").unwrap();
    let held = held["id"].as_str().unwrap();
    place.ran(&["show", held]).ends(0).says("would never end");
    place.ran(&["abort", held]).ends(4);
    let _ = x.until("run");
    let codes = [x.ended().code, y.ended().code];
    assert!(codes.contains(&Some(0)) && codes.contains(&Some(1)), "{codes:?}");
    assert_eq!(place.read("written"), "x\n");
    assert_eq!(locks(&place), Value::Array(vec![]));
    sound(&place, held);
}
