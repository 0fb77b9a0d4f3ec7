//! Looking at runs and runbooks: check, docs, runs, show, watch, logs, completions.

use crate::place::Place;
use std::time::{Duration, Instant};

const TWO: &str = r#""""Greet people, one by one."""

def main(who: list[str] = ["ada", "bob"]):
    """Greets.

    Args:
      who: whom to greet
    """
    phase("Prepare", prepare)
    each("Greet", who, greet)
    emit("greeted", len(who))

def prepare():
    step("Make room", sh("echo some room; echo careful >&2"), undo = sh("echo gone"))

def greet(name):
    step("Say hello", sh("echo hello " + quote(name)))
"#;

#[test]
fn a_run_in_a_pipe_prints_a_line_for_each_event() {
    let place = Place::with(TWO);
    let ran = place.ran(&["run", "book.star"]).ends(0);
    insta::assert_snapshot!(place.plain(&ran.out), @r#"
    ‹time› run      ‹run› Greet people, one by one. (book.star)
    ‹time› engine   started by ada, process ‹pid›
    ‹time› phase    Prepare
    ‹time› begin    Prepare/Make room  sh echo some room; echo careful >&2
    ‹time› done     Prepare/Make room (‹span›)
    ‹time› left     Prepare (‹span›)
    ‹time› each     Greet (2 branches)
    ‹time› begin    Greet/ada/Say hello  sh echo hello ada
    ‹time› done     Greet/ada/Say hello (‹span›)
    ‹time› begin    Greet/bob/Say hello  sh echo hello bob
    ‹time› done     Greet/bob/Say hello (‹span›)
    ‹time› left     Greet (‹span›)
    ‹time› emit     greeted = 2
    ‹time› ended    succeeded: 3 steps in ‹span›
    "#);
    insta::assert_snapshot!(place.plain(&ran.err), @r#"
    ✓ 3 steps done in ‹span›
      emitted   greeted = 2
      next      write its signed receipt   piton receipt ‹run› -o receipt.json
    "#);
    assert!(!ran.out.contains('\x1b'));
}

#[test]
fn a_run_for_machines_prints_a_record_for_each_event() {
    let place = Place::with(TWO);
    let ran = place.ran(&["run", "book.star", "--json"]).ends(0);
    let lines: Vec<serde_json::Value> = ran.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[0]["seq"], 1);
    assert_eq!(lines[0]["event"]["run_started"]["runbook"]["title"], "Greet people, one by one.");
    assert!(lines.iter().enumerate().all(|(index, line)| line["seq"] == index as u64 + 1));
    assert_eq!(lines.last().unwrap()["event"]["run_finished"]["how"], "succeeded");
    let watched = place.ran(&["watch", "@last", "--json"]).ends(0);
    assert_eq!(watched.out, ran.out, "watching an ended run gives the same records");
}

#[test]
fn a_finished_run_shows_as_folded_scopes() {
    let place = Place::with(TWO);
    place.ran(&["run", "book.star"]).ends(0);
    insta::assert_snapshot!(place.plain(&place.ran(&["show", "@last"]).ends(0).out), @r#"
    run ‹run›   succeeded   Greet people, one by one.
      runbook   book.star in ‹dir›/project
      started   ‹date› ‹time› by ada (uid ‹uid› on ‹host›)
      with      who = ["ada", "bob"]

     ✓ Prepare      1 step  ‹span›
     ✓ Greet       2 steps  ‹span›

    ✓ 3 steps done in ‹span›
      emitted   greeted = 2
      next      write its signed receipt   piton receipt ‹run› -o receipt.json
    "#);
}

#[test]
fn a_run_as_json_keeps_its_documented_shape() {
    let place = Place::with(TWO);
    place.ran(&["run", "book.star"]).ends(0);
    let run = place.show();
    assert_eq!(run["status"], "succeeded");
    assert_eq!(run["counts"]["steps"], 3);
    assert_eq!(run["counts"]["done"], 3);
    assert_eq!(run["params"]["who"], serde_json::json!(["ada", "bob"]));
    assert_eq!(run["emitted"], serde_json::json!([{ "name": "greeted", "value": 2 }]));
    assert_eq!(run["steps"][0]["path"], "Prepare/Make room");
    assert_eq!(run["steps"][0]["site"], "book.star:14:5");
    assert_eq!(run["steps"][0]["how"], "performed");
    assert_eq!(run["steps"][0]["summary"], "sh echo some room; echo careful >&2");
    assert_eq!(run["by"]["name"], "ada");
    let documented = include_str!("../../../../docs/json.md");
    for (name, value) in run.as_object().unwrap() {
        assert!(documented.contains(&format!("`{name}`")), "{name} is not documented");
        let inner = if value.is_array() { &value[0] } else { value };
        for inner in inner.as_object().iter().flat_map(|inner| inner.keys()).filter(|_| name != "params") {
            assert!(documented.contains(&format!("`{inner}`")), "{name}.{inner} is not documented");
        }
    }
}

#[test]
fn runs_are_listed_newest_first() {
    let place = Place::with(TWO).file("bad.star", "def main():\n    step(\"x\", sh(\"exit 1\"))\n");
    assert!(place.ran(&["runs"]).ends(0).err.contains("there is no run yet"));
    place.ran(&["run", "book.star"]).ends(0);
    place.ran(&["run", "bad.star", "--as", "bob"]).ends(1);
    insta::assert_snapshot!(place.plain(&place.ran(&["runs"]).ends(0).out), @r#"
    ‹run›  held       ‹date› ‹time›  bob  bad.star
    ‹run›  succeeded  ‹date› ‹time›  ada  Greet people, one by one.
    "#);
    let runs: serde_json::Value = serde_json::from_str(&place.ran(&["runs", "--json"]).out).unwrap();
    assert_eq!(runs[0]["status"], "held");
    assert_eq!(runs[0]["by"]["name"], "bob");
    assert_eq!(runs[1]["status"], "succeeded");
}

#[test]
fn an_engine_that_has_left_is_not_looked_for_when_runs_are_listed() {
    let place = Place::with(TWO).file("park.star", "def main():\n    approve(\"Go\", by = \"ops\")\n");
    place.ran(&["run", "book.star"]).ends(0);
    place.ran(&["run", "park.star", "--detach"]).ends(0);
    let db = rusqlite::Connection::open(place.home().join("journal.db")).unwrap();
    let named = || {
        let count = "SELECT count(*) FROM runs WHERE holder IS NOT NULL OR status NOT IN ('succeeded', 'waiting')";
        db.query_row(count, [], |row| row.get::<_, i64>(0)).unwrap()
    };
    // The engine in the background parks in its own time; its name goes with it.
    let until = Instant::now() + Duration::from_secs(30);
    while named() > 0 && Instant::now() < until {
        std::thread::yield_now();
    }
    assert_eq!(named(), 0);
}

#[test]
fn logs_give_a_steps_output_and_a_runs_events() {
    let place = Place::with(TWO);
    place.ran(&["run", "book.star"]).ends(0);
    insta::assert_snapshot!(place.plain(&place.ran(&["logs", "@last", "Make room"]).ends(0).out), @r#"
    ‹date› ‹time› begin    Prepare/Make room  sh echo some room; echo careful >&2
    -- standard output:
    some room
    -- standard error:
    careful
    ‹date› ‹time› done     Prepare/Make room (‹span›)
    "#);
    let events = place.ran(&["logs", "@last"]).ends(0).out;
    assert_eq!(events.lines().count(), place.ran(&["watch", "@last"]).out.lines().count(), "{events}");
    place.ran(&["logs", "@last", "Say hello"]).ends(2).says("Greet/ada/Say").says("Greet/bob/Say");
    place.ran(&["logs", "@last", "Nothing"]).ends(2).says("error[P0023]");
}

#[test]
fn watching_follows_a_run_from_another_process_to_its_end() {
    let place = Place::with(
        "def main():\n    step(\"begin\", noop())\n    step(\"wait\", sh(\"until test -e go; do sleep 0.02; done\"))\n",
    );
    let mut run = place.piton(&["run", "book.star"]).started();
    run.until("begin    wait");
    let mut watch = place.piton(&["watch", "@last"]).started();
    watch.until("begin    wait");
    let mut logs = place.piton(&["logs", "-f", "@last"]).started();
    logs.until("begin    wait");
    std::fs::write(place.path("go"), "").unwrap();
    watch.until("done     wait");
    watch.ended().ends(0).says("ended    succeeded");
    logs.ended().ends(0).says("ended    succeeded");
    run.ended().ends(0);
}

#[test]
fn a_run_whose_engine_was_killed_is_said_to_be_interrupted_and_goes_on() {
    let place = Place::with(
        "def main():\n    step(\"one\", write_file(\"one\", \"1\"))\n    step(\"two\", sh(\"touch begun; sleep 0.3; echo x >> two\"))\n",
    );
    let run = place.piton(&["run", "book.star"]).started();
    place.wait_for("begun");
    run.kill();
    place.ran(&["runs"]).ends(0).says("interrupted");
    let watched = place.ran(&["watch", "@last"]).ends(1);
    insta::assert_snapshot!(place.plain(&watched.err), @r#"
    the run is not finished, and nothing of it is lost; commands that run go on
      next      go on                              piton resume ‹run›
                show what taking back would do     piton undo ‹run› --plan
                take back what the run did         piton undo ‹run›
                end it here; what was done stays   piton abort ‹run›
    "#);
    place.ran(&["resume", "@last"]).ends(0).says("adopted");
    assert_eq!(place.read("two"), "x\n");
    let engines = place.show()["engines"].clone();
    assert_eq!(engines.as_array().unwrap().len(), 2);
    for engine in engines.as_array().unwrap() {
        assert_eq!(engine["piton"], env!("CARGO_PKG_VERSION"));
    }
}

#[test]
fn checking_says_ok_or_where() {
    let place = Place::with(TWO).file("bad.star", "def main():\n    nothing()\n");
    insta::assert_snapshot!(place.ran(&["check", "book.star"]).ends(0).out, @r#"
    warning: a crash during this sh() leaves a person to say what became of it
      ┌─ book.star:14:5
    14│     step("Make room", sh("echo some room; echo careful >&2"), undo = sh("echo gone"))
      │     ^^^^
      = help: say repeatable = True where it is safe to run again after any part of it

    warning: a crash during this sh() leaves a person to say what became of it
      ┌─ book.star:17:5
    17│     step("Say hello", sh("echo hello " + quote(name)))
      │     ^^^^
      = help: say repeatable = True where it is safe to run again after any part of it

    book.star: ok, with 2 warnings
    "#);
    insta::assert_snapshot!(place.ran(&["check", "book.star", "bad.star"]).ends(2).out, @r#"
    warning: a crash during this sh() leaves a person to say what became of it
      ┌─ book.star:14:5
    14│     step("Make room", sh("echo some room; echo careful >&2"), undo = sh("echo gone"))
      │     ^^^^
      = help: say repeatable = True where it is safe to run again after any part of it

    warning: a crash during this sh() leaves a person to say what became of it
      ┌─ book.star:17:5
    17│     step("Say hello", sh("echo hello " + quote(name)))
      │     ^^^^
      = help: say repeatable = True where it is safe to run again after any part of it

    book.star: ok, with 2 warnings
    error: unknown name `nothing`
     ┌─ bad.star:2:5
    2│     nothing()
     │     ^^^^^^^

    bad.star: 1 error
    "#);
    let json: serde_json::Value =
        serde_json::from_str(&place.ran(&["check", "--json", "bad.star"]).ends(2).out).unwrap();
    assert_eq!(json["ok"], false);
    assert_eq!(json["files"][0]["diagnostics"][0]["severity"], "error");
    assert_eq!(json["files"][0]["diagnostics"][0]["place"]["line"], 2);
}

#[test]
fn docs_are_the_signature_as_a_page() {
    let place = Place::with(TWO);
    insta::assert_snapshot!(place.ran(&["docs", "book.star"]).ends(0).out, @r#"
    # Greet people, one by one.

    Greets.

    ```
    piton run book.star
    ```

    | parameter | type | default | |
    |---|---|---|---|
    | `--who` | list[str] | `["ada", "bob"]` | whom to greet |
    "#);
}

#[test]
fn completions_know_the_commands() {
    let place = Place::new();
    for shell in ["bash", "zsh", "fish"] {
        let script = place.ran(&["completions", shell]).ends(0).out;
        assert!(script.contains("approve") && !script.contains("__engine"), "{shell}");
    }
}
