//! How long a plan will take, from what past runs took.

use crate::place::Place;
use serde_json::Value;

/// Steps that take as long as a file says, so that no two runs need to agree.
const BOOK: &str = r#""""Moves some tables."""

def copy(table):
    step("Load", sh("sleep 0.2; touch copied-" + quote(table)), undo = sh("rm -f copied-" + quote(table)))

def cut():
    step("Close", sh("sleep 0.1; touch closed"), undo = sh("sleep $(cat reopen); rm -f closed"))
    commit_point("Moved")
    step("Open", sh("sleep 0.3; rm -f closed"))

def main(tables: list[str], budget: duration = duration("60s")):
    each("Copy", tables, copy, concurrency = 2)
    approve("Cut over", by = "ops")
    window("Pause", cut, budget = budget, reserve = "1s")
    wait("Soak", "300ms")
    step("New", sh("true"), undo = noop())
"#;

fn planned(place: &Place, words: &[&str]) -> Value {
    let ran = place.ran(&[&["plan", "book.star", "--json"], words].concat()).ends(0);
    let plan: Value = serde_json::from_str(&ran.out).unwrap();
    plan["estimate"].clone()
}

fn ms(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is no number"))
}

/// Runs the runbook to its end; someone approves.
fn run(place: &Place, words: &[&str]) {
    place.ran(&[&["run", "book.star", "--detach"], words].concat()).ends(0);
    place.wait_until("waiting");
    place.ran(&["approve", "@last", "Cut over"]).ends(0);
    place.wait_until("succeeded");
}

fn place() -> Place {
    Place::with(BOOK).file("reopen", "0")
}

#[test]
fn a_plan_tells_how_long_it_takes_as_past_runs_took() {
    let place = place();
    let words = ["--tables", "a", "--tables", "b", "--tables", "c"];
    assert_eq!(planned(&place, &words), Value::Null);
    run(&place, &["--tables", "a", "--tables", "b"]);
    let told = planned(&place, &words);
    let line = |path: &str| {
        let lines = told["lines"].as_array().unwrap();
        let line = lines.iter().find(|line| line["path"] == path).unwrap_or_else(|| panic!("no {path} in {told:#}"));
        ms(&line["about_ms"])
    };
    // A table that no run has copied takes what its siblings took, and two hands copy three tables in two turns.
    for table in ["a", "b", "c"] {
        assert!((200..1500).contains(&line(&format!("Copy/{table}/Load"))), "{told:#}");
    }
    let copy = line("Copy");
    let (a, b, c) = (line("Copy/a"), line("Copy/b"), line("Copy/c"));
    assert!(copy >= 400 && copy.abs_diff((a.min(b) + c).max(a.max(b))) <= 3, "{told:#}");
    assert!(line("Pause") >= 400 && line("Soak") == 300, "{told:#}");
    let sum = copy + line("Pause") + line("Soak") + line("New");
    assert!(ms(&told["about_ms"]).abs_diff(sum) <= 4, "{told:#}");
    assert_eq!((&told["runs"], &told["people"], &told["untimed"]), (&1.into(), &1.into(), &0.into()), "{told:#}");
    let window = &told["windows"][0];
    assert!(ms(&window["until_commit"]["about_ms"]) + 300 <= ms(&window["pause"]["about_ms"]), "{window:#}");
    assert_eq!((&window["measured_in_runs"]["pauses"], &window["warnings"]), (&1.into(), &serde_json::json!([])));
}

#[test]
fn a_plan_warns_of_a_budget_that_will_not_hold() {
    let place = place();
    run(&place, &["--tables", "a"]);
    let ran = place.ran(&["plan", "book.star", "--tables", "a", "--budget", "350ms"]).ends(2);
    assert!(ran.err.contains("reserve"), "{}", ran.err);
    std::fs::write(place.path("book.star"), BOOK.replace("\"1s\"", "\"300ms\"")).unwrap();
    let told = planned(&place, &["--tables", "a", "--budget", "350ms"]);
    let warnings = told["windows"][0]["warnings"].as_array().unwrap();
    let [sum, goes_back, measured] = &warnings[..] else { panic!("{told:#}") };
    assert!(sum.as_str().unwrap().ends_with("more than its budget of 350ms"), "{sum}");
    assert!(goes_back.as_str().unwrap().contains("goes back by itself after 50ms"), "{goes_back}");
    assert!(measured.as_str().unwrap().starts_with("1 of 1 past run took longer"), "{measured}");
    let page = place.ran(&["plan", "book.star", "--tables", "a", "--budget", "350ms"]).ends(0).out;
    assert!(page.contains("warning: the window \"Pause\": its steps take about "), "{page}");
    // An estimate is no part of what is approved.
    place.ran(&["plan", "book.star", "--tables", "a", "-o", "plan.json"]).ends(0);
    assert!(!place.read("plan.json").contains("estimate"));
}

#[test]
fn a_damaged_store_keeps_nobody_from_planning() {
    let place = place();
    std::fs::create_dir(place.home()).unwrap();
    std::fs::write(place.home().join("journal.db"), "no database").unwrap();
    let ran = place.ran(&["plan", "book.star", "--tables", "a"]).ends(0);
    assert!(ran.out.contains("Copy   [each × 1]") && ran.err.contains("nothing is estimated"), "{}", ran.err);
}

#[test]
fn a_run_that_goes_on_tells_what_is_left_of_it() {
    let place = Place::with(
        "def main():\n    step(\"A\", sh(\"touch a-$(cat b)\"), undo = noop())\n    step(\"B\", sh(\"sleep $(cat b)\"), undo = noop())\n",
    )
    .file("b", "2");
    let run = || place.ran(&["run", "book.star", "--detach"]).ends(0);
    run();
    place.wait_for("a-2");
    // No past run tells.
    assert!(!place.ran(&["show", "@last"]).ends(0).out.contains(" left"));
    place.wait_until("succeeded");
    std::fs::write(place.path("b"), "20").unwrap();
    run();
    place.wait_for("a-20");
    let shown = place.ran(&["show", "@last"]).ends(0).out;
    assert!(shown.contains("time      ~") && shown.contains("s left\n"), "{shown}");
    place.ran(&["abort", "@last"]).ends(4);
    assert!(!place.ran(&["show", "@last"]).out.contains(" left"));
}
