//! Child runs as a person meets them: who waits for whom, the links both ways, ending, taking back, editing.

use crate::place::Place;
use serde_json::Value;
use std::time::{Duration, Instant};

const PARENT: &str = r#""""Moves services."""

def main():
    step("Before", sh("echo before >> world"), repeatable = True, undo = sh("echo undo before >> world"))
    moved = run("Move", "child.star", service = "payments")
    step("After", sh("echo after " + quote(moved.value) + " >> world"), repeatable = True,
         undo = sh("echo undo after >> world"))
    return moved.value
"#;

/// Holds until there is a file `fine`.
const CHILD: &str = r#""""Moves one service."""

def main(service: str):
    step("Copy", sh("echo copy " + quote(service) + " >> world"), repeatable = True,
         undo = sh("echo undo copy >> world"))
    step("Check", sh("test -e fine", reads = True))
    return service + " moved"
"#;

/// Works until there is a file `go`.
const SLOW_CHILD: &str = r#""""Moves one service."""

def main(service: str):
    step("Copy", sh("echo copy >> world; touch copying; until [ -e go ]; do sleep 0.02; done; echo copied >> world"),
         undo = sh("echo undo copy >> world"))
    return service + " moved"
"#;

fn place(child: &str) -> Place {
    Place::with(PARENT).file("child.star", child)
}

fn until(what: &str, is: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(30);
    while !is() {
        assert!(Instant::now() < end, "waited too long until {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn runs(place: &Place) -> Vec<Value> {
    serde_json::from_str(&place.ran(&["runs", "--json"]).ends(0).out).unwrap()
}

/// Ids of the child runs, newest first.
pub(crate) fn children(place: &Place) -> Vec<String> {
    let runs = runs(place).into_iter().filter(|run| !run["parent"].is_null());
    runs.map(|run| run["id"].as_str().unwrap().to_owned()).collect()
}

fn touch(place: &Place, name: &str) {
    std::fs::write(place.path(name), "").unwrap();
}

/// Every run's receipt keeps the rules.
pub(crate) fn sound(place: &Place) {
    for run in runs(place) {
        let id = run["id"].as_str().unwrap();
        place.ran(&["receipt", id, "-o", "receipt.json"]).ends(0);
        place.ran(&["verify", "receipt.json"]).ends(0);
    }
}

#[test]
fn a_child_that_holds_is_waited_for_and_its_parent_goes_on_by_itself_when_it_ends() {
    let place = place(CHILD);
    let mut parent = place.piton(&["run", "book.star"]).started();
    parent.until("waits for its child run");
    let child = children(&place).remove(0);
    assert_eq!(place.show()["status"], "waiting");
    let shown = place.ran(&["show", "@last"]).ends(0);
    insta::assert_snapshot!(place.plain(&shown.out), @r#"
    run ‹run›   waiting   Moves services.
      runbook   book.star in ‹dir›/project
      started   ‹date› ‹time› by ada (uid ‹uid› on ‹host›)
      engine    process ‹pid› on ‹host› drives it

     ✓ Before  ‹span›
     ? Move  ‹span›  waits for its child run ‹run›: piton resume ‹run›   (holds: "Check": exit code 1)

    the run waits for a person

    ? Move
      child run ‹run›
      why       "Check": exit code 1
      next      see what it waits for         piton show ‹run›
                go on with it                 piton resume ‹run›
                end it; its step fails then   piton abort ‹run›
    "#);
    let shown = place.ran(&["show", &child]).ends(0);
    insta::assert_snapshot!(place.plain(&shown.out), @r#"
    run ‹run›   held   Moves one service.
      runbook   child.star in ‹dir›/project
      part of   run ‹run›, its step "Move"   piton show ‹run›
      started   ‹date› ‹time› by ada (uid ‹uid› on ‹host›)
      with      service = "payments"
      engines   2 have driven it so far

     ✓ Copy  ‹span›
     ✗ Check  ‹span›  exit code 1

    the run holds: a step needs a decision

    ✗ Check
      at        child.star:6:5
      failed    ‹time›
      why       exit code 1
      next      try it again            piton resume ‹run› --retry Check
                go past it
                  piton resume ‹run› --waive Check --reason '...'
                read its whole output   piton logs ‹run› Check

      or        go on with the runbook as you mended it
                  piton resume ‹run› --edited child.star
                show what taking back would do     piton undo ‹run› --plan
                take back what the run did         piton undo ‹run›
                end it here; what was done stays   piton abort ‹run›
    "#);
    let listed = place.ran(&["runs"]).ends(0);
    insta::assert_snapshot!(place.plain(&listed.out), @r"
    ‹run›  waiting  ‹date› ‹time›  ada  Moves services.
    ‹run›  held     ‹date› ‹time›  ada    Moves one service.
    ");
    let told = place.show();
    let step = told["steps"].as_array().unwrap().iter().find(|step| step["path"] == "Move").unwrap().clone();
    assert_eq!(
        (&step["child_run"], &step["status"], &step["kind"]),
        (&child.as_str().into(), &"waiting".into(), &"run".into())
    );
    touch(&place, "fine");
    let resumed = Instant::now();
    place.ran(&["resume", &child, "--retry"]).ends(0);
    parent.ended().ends(0);
    assert!(resumed.elapsed() < Duration::from_secs(10), "{:?}", resumed.elapsed());
    assert_eq!(place.read("world"), "before\ncopy payments\nafter payments moved\n");
    assert_eq!(place.show()["value"], "payments moved");
    sound(&place);
}

#[test]
fn whoever_ends_a_child_starts_an_engine_for_a_parent_that_has_none() {
    let place = place(CHILD);
    place.ran(&["run", "book.star", "--detach"]).ends(0);
    place.wait_until("waiting");
    until("the parent's engine has left", || place.show()["driven_by"].is_null());
    touch(&place, "fine");
    place.ran(&["resume", &children(&place)[0], "--retry"]).ends(0);
    place.wait_until("succeeded");
    assert_eq!(place.read("world"), "before\ncopy payments\nafter payments moved\n");
    sound(&place);
}

#[test]
fn a_child_survives_its_killed_parent_and_is_not_started_twice() {
    let place = place(SLOW_CHILD);
    let parent = place.piton(&["run", "book.star"]).started();
    place.wait_for("copying");
    parent.kill();
    // Nobody drives the parent; the child goes on, and an engine that follows it again starts no other.
    let mut second = place.piton(&["resume", "@last"]).started();
    second.until("engine");
    second.kill();
    touch(&place, "go");
    place.wait_until("succeeded");
    assert_eq!(children(&place).len(), 1);
    assert_eq!(place.read("world"), "before\ncopy\ncopied\nafter payments moved\n");
    sound(&place);
}

#[test]
fn a_childs_killed_engine_is_replaced_by_its_parent() {
    let place = place(SLOW_CHILD);
    let parent = place.piton(&["run", "book.star"]).started();
    place.wait_for("copying");
    let child = children(&place).remove(0);
    let shown: Value = serde_json::from_str(&place.ran(&["show", &child, "--json"]).out).unwrap();
    let pid = i32::try_from(shown["driven_by"]["pid"].as_i64().unwrap()).unwrap();
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    touch(&place, "go");
    parent.ended().ends(0);
    assert_eq!(place.read("world"), "before\ncopy\ncopied\nafter payments moved\n");
    sound(&place);
}

#[test]
fn what_is_edited_on_disk_changes_nothing_for_a_child_that_is_yet_to_start() {
    let parent = PARENT.replace("echo before >> world", "touch begun; until [ -e go ]; do sleep 0.02; done");
    let place = Place::with(&parent).file("child.star", CHILD).file("fine", "");
    let running = place.piton(&["run", "book.star"]).started();
    place.wait_for("begun");
    let place = place.file("child.star", &CHILD.replace("copy", "EDITED"));
    touch(&place, "go");
    running.ended().ends(0);
    assert_eq!(place.read("world"), "copy payments\nafter payments moved\n");
}

#[test]
fn ending_a_parent_ends_its_child_and_ending_a_child_fails_its_step() {
    let place = place(SLOW_CHILD);
    let parent = place.piton(&["run", "book.star"]).started();
    place.wait_for("copying");
    place.ran(&["abort", "@last", "--reason", "enough"]).ends(4);
    parent.ended().ends(4);
    let statuses: Vec<Value> = runs(&place).into_iter().map(|run| run["status"].clone()).collect();
    assert_eq!(statuses, ["aborted", "aborted"]);
    assert_eq!(place.read("world"), "before\ncopy\n");
    sound(&place);

    let place = self::place(CHILD);
    let mut parent = place.piton(&["run", "book.star", "--as", "ada"]).started();
    parent.until("waits for its child run");
    let first = children(&place).remove(0);
    place.ran(&["abort", &first, "--as", "grace", "--reason", "wrong service"]).ends(4);
    let ran = parent.ended().ends(1);
    assert!(ran.out.contains(&format!("its child run {first} was aborted by grace: wrong service")), "{}", ran.out);
    // Trying again starts another run; both are taken back with the step.
    touch(&place, "fine");
    place.ran(&["resume", "@last", "--retry", "Move"]).ends(0);
    assert_eq!(children(&place).len(), 2);
    place.ran(&["undo", "@last"]).ends(4);
    assert_eq!(
        place.read("world"),
        "before\ncopy payments\ncopy payments\nafter payments moved\nundo after\nundo copy\nundo copy\nundo before\n"
    );
    assert!(runs(&place).iter().all(|run| run["status"] == "undone"));
    sound(&place);
}

#[test]
fn taking_back_a_step_takes_back_its_run_which_is_shown_before_and_refused_beside_it() {
    let place = place(CHILD).file("fine", "");
    place.ran(&["run", "book.star"]).ends(0);
    let child = children(&place).remove(0);
    let refused = place.ran(&["undo", &child]).ends(2);
    insta::assert_snapshot!(place.plain(&refused.err), @r#"
    error[P0034]: run ‹run› is a step of run ‹run›, "Move", and is done: it is taken back there
      = see what that would take back: piton undo ‹run› --to Move --plan
      = take it back: piton undo ‹run› --to Move
    "#);
    let plan = place.ran(&["undo", "@last", "--plan"]).ends(0);
    insta::assert_snapshot!(place.plain(&plan.out), @r"
    taking back the run would undo 3 steps, in this order:
       1  After
          sh echo undo after >> world
       2  Move
          undo run ‹run›
             1  Copy
                sh echo undo copy >> world
       3  Before
          sh echo undo before >> world
    ");
    let plan: Value = serde_json::from_str(&place.ran(&["undo", "@last", "--plan", "--json"]).ends(0).out).unwrap();
    assert_eq!(plan["items"][1]["child_runs"][0]["items"][0]["path"], "Copy");
    place.ran(&["undo", "@last", "--to", "Move"]).ends(0);
    assert_eq!(place.read("world"), "before\ncopy payments\nafter payments moved\nundo copy\n");
    let shown: Value = serde_json::from_str(&place.ran(&["show", &child, "--json"]).out).unwrap();
    assert_eq!(shown["status"], "undone");
    sound(&place);
}

#[test]
fn an_undo_that_fails_in_a_child_holds_its_parents_step_and_is_tried_again_from_there() {
    let child = CHILD.replace("echo undo copy >> world", "test -e mended && echo undo copy >> world");
    let place = place(&child).file("fine", "");
    place.ran(&["run", "book.star"]).ends(0);
    let failed = place.ran(&["undo", "@last"]).ends(1);
    assert!(failed.out.contains("holds while it is taken back"), "{}\n{}", failed.out, failed.err);
    touch(&place, "mended");
    place.ran(&["resume", "@last", "--retry"]).ends(4);
    assert_eq!(
        place.read("world"),
        "before\ncopy payments\nafter payments moved\nundo after\nundo copy\nundo before\n"
    );
    sound(&place);
}

#[test]
fn a_child_taken_back_while_its_parent_waits_fails_the_step() {
    let place = place(CHILD);
    let mut parent = place.piton(&["run", "book.star"]).started();
    parent.until("waits for its child run");
    let child = children(&place).remove(0);
    place.ran(&["undo", &child]).ends(4);
    let ran = parent.ended().ends(1);
    assert!(ran.out.contains(&format!("its child run {child} was taken back")), "{}", ran.out);
    assert_eq!(place.read("world"), "before\ncopy payments\nundo copy\n");
    sound(&place);
}

#[test]
fn pausing_a_parent_pauses_its_child_and_resuming_it_resumes_both() {
    let child = SLOW_CHILD
        .replace("    return", "    step(\"Last\", sh(\"echo last >> world\"), repeatable = True)\n    return");
    let place = place(&child);
    let parent = place.piton(&["run", "book.star"]).started();
    place.wait_for("copying");
    parent.interrupt();
    until("the child is told", || {
        let shown = place.ran(&["show", &children(&place)[0], "--json"]).out;
        serde_json::from_str::<Value>(&shown).is_ok_and(|shown| shown["status"] == "held")
    });
    touch(&place, "go");
    parent.ended().ends(1);
    until("the child's step has ended", || place.read("world").contains("copied"));
    assert_eq!(place.read("world"), "before\ncopy\ncopied\n");
    place.ran(&["resume", "@last"]).ends(0);
    assert_eq!(place.read("world"), "before\ncopy\ncopied\nlast\nafter payments moved\n");
    assert_eq!(children(&place).len(), 1);
    sound(&place);
}

#[test]
fn an_edited_child_is_a_changed_step_to_keep_or_to_redo() {
    let parent = PARENT.replace("echo after", "test -e mended && echo after");
    let place = Place::with(&parent).file("child.star", CHILD).file("fine", "");
    place.ran(&["run", "book.star"]).ends(1);
    let place = place.file("child.star", &CHILD.replace("echo copy", "echo COPY")).file("mended", "");
    let looked = place.ran(&["resume", "@last", "--edited", "book.star", "--plan"]).ends(0);
    insta::assert_snapshot!(place.plain(&looked.out), @r#"
    the edit keeps 1 step as done

    changed (1): done, with another action than now; each holds until you --keep or --redo it
      Move   run child.star service="payments"   at book.star:5:13

    tried again (1): it failed, or was held
      After   sh test -e mended && echo after ‹value of "Move"› >> world   at book.star:6:5
    "#);
    place.ran(&["resume", "@last", "--edited", "book.star", "--redo", "Move"]).ends(0);
    assert_eq!(
        place.read("world"),
        "before\ncopy payments\nundo after\nundo copy\nCOPY payments\nafter payments moved\n"
    );
    sound(&place);
}

#[test]
fn a_secret_goes_to_a_child_by_reference_and_to_no_file() {
    let parent = "def main(token: secret):\n    run(\"child.star\", token = token)\n";
    let child = "def main(token: secret):\n    step(\"Use\", sh(\"test ${#TOKEN} -gt 5 && echo $TOKEN\", env = {\"TOKEN\": token}), repeatable = True)\n";
    let place = Place::with(parent).file("child.star", child);
    let value = "hunter2-and-more";
    place.piton(&["run", "book.star", "--token", "env:MY_TOKEN"]).env("MY_TOKEN", value).ran().ends(0);
    let shown: Value = serde_json::from_str(&place.ran(&["show", &children(&place)[0], "--json"]).out).unwrap();
    assert_eq!(shown["params"]["token"]["v"][0]["secret"]["source"], "env:MY_TOKEN");
    for file in walk(&place.home()) {
        let bytes = std::fs::read(&file).unwrap();
        assert!(!bytes.windows(value.len()).any(|part| part == value.as_bytes()), "{}", file.display());
    }
    sound(&place);
}

fn walk(dir: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap().flatten().map(|entry| entry.path());
    entries
        .flat_map(|path| {
            if path.is_dir() {
                walk(&path)
            } else if path.is_file() {
                vec![path]
            } else {
                vec![]
            }
        })
        .collect()
}

#[test]
fn a_lock_held_around_a_child_run_is_no_lock_that_it_can_wait_for() {
    let parent = "def main():\n    lock(\"db\", inside)\n\ndef inside():\n    run(\"child.star\")\n";
    let child = "def main():\n    lock(\"db\", work)\n\ndef work():\n    step(\"Work\", sh(\"echo work >> world\"), repeatable = True)\n";
    let place = Place::with(parent).file("child.star", child);
    let mut running = place.piton(&["run", "book.star"]).started();
    running.until("waits for its child run");
    let shown = place.ran(&["show", &children(&place)[0]]).ends(0);
    assert!(shown.out.contains("would never end"), "{}", shown.out);
    place.ran(&["abort", "@last"]).ends(4);
    running.ended().ends(4);
    assert_eq!(place.read("world"), "");
}

#[test]
fn a_plan_shows_a_childs_steps_below_its_step_and_binds_the_child_to_them() {
    let child = "def main(service: str):\n    for table in step(\"Tables\", sh(\"cat tables\", reads = True)).out.split():\n        step(\"Copy \" + table, sh(\"echo \" + quote(table) + \" >> world\"), repeatable = True)\n    commit_point(\"No way back\")\n    return service\n";
    let parent = "def main():\n    moved = run(\"Move\", \"child.star\", service = \"payments\")\n    step(\"After\", sh(\"echo after >> world\"), repeatable = True)\n";
    let place = Place::with(parent).file("child.star", child).file("tables", "a b\n");
    let plan = place.ran(&["plan", "book.star", "-o", "plan.json"]).ends(0);
    let steps = plan.out[plan.out.find('▶').unwrap()..].to_owned();
    insta::assert_snapshot!(steps, @r#"
    ▶ Move                             run child.star service="payments"
      ✓ Tables                         sh cat tables   → a b
      ▶ Copy a                         sh echo a >> world
      ▶ Copy b                         sh echo b >> world
      ── No way back: commit point, no way back beyond ──
    ▶ After                            sh echo after >> world

    5 steps · 4 writes · 1 read now
    ✓ known now   ▶ writes   · reads later   ? asks a person   ~ waits   ✗ would fail   … not known yet
    "#);
    let place = place.file("tables", "a b c\n");
    let mut running = place.piton(&["run", "book.star", "--plan", "plan.json"]).started();
    running.until("waits for its child run");
    let shown = place.ran(&["show", &children(&place)[0]]).ends(0);
    assert!(shown.out.contains("the plan has no such step"), "{}", shown.out);
    assert_eq!(place.read("world"), "a\nb\n");
    place.ran(&["resume", &children(&place)[0], "--depart", "Copy c", "--reason", "a new table"]).ends(0);
    running.ended().ends(0);
    assert_eq!(place.read("world"), "a\nb\nc\nafter\n");
    sound(&place);
}
