//! Plans: what a run would do, made without doing it; and runs that keep to one.

use crate::place::Place;
use serde_json::Value;

const BOOK: &str = r#""""Copy the files of a directory."""

def copy(name):
    step("Make", sh("mkdir -p copies; cp files/" + quote(name) + " copies/"), undo = sh("rm -f copies/" + quote(name)))
    seen = expect("Look", sh("cat copies/" + quote(name), reads = True), predicate = lambda seen: seen.out != "")
    step("Tell", sh("echo " + quote(seen.out) + " >> told"))

def check_copies():
    if step("Count", sh("ls copies | wc -l", reads = True)).out == "0":
        fail("nothing was copied")

def cut(late, extra):
    step("Close", sh("touch closed"), undo = sh("rm -f closed"))
    for name in late:
        step("Late " + name, sh("echo late >> told"), undo = noop())
    step("Open", sh("rm closed"), undo = noop())
    if extra:
        commit_point("Moved")

def main(directory: str = "files", extra: bool = False):
    files = step("List", sh("ls " + quote(directory), reads = True)).out.splitlines()
    late = step("List late ones", sh("cat late 2>/dev/null || true", reads = True)).out.splitlines()
    each("Copy", files, copy)
    phase("Check", check_copies)
    window("Pause", cut, late, extra, budget = "60s")
"#;

fn place() -> Place {
    let place = Place::with(BOOK);
    std::fs::create_dir(place.path("files")).unwrap();
    place.file("files/a", "one").file("files/b's", "two")
}

fn planned(place: &Place, words: &[&str]) -> Value {
    let ran = place.ran(&[&["plan", "book.star", "--json"], words].concat()).ends(0);
    serde_json::from_str(&ran.out).unwrap()
}

#[test]
fn a_plan_shows_what_would_be_done_and_does_nothing() {
    let place = place();
    let ran = place.ran(&["plan", "book.star"]).ends(0);
    insta::assert_snapshot!(ran.out, @r#"
    Copy the files of a directory.
    plan 804ded9b7835 of book.star
      directory = "files"
      extra = False

    ✓ List                             sh ls files   → b's
    ✓ List late ones                   sh cat late 2>/dev/null || true   → ok
    Copy   [each × 2]
      a
        ▶ Make                         sh mkdir -p copies; cp files/a copies/
        · Look                         sh cat copies/a
        ▶ Tell                         sh echo ‹out of "Look"› >> told
      b's
        ▶ Make                         sh mkdir -p copies; cp files/'b'\''s' copies/
        · Look                         sh cat copies/'b'\''s'
        ▶ Tell                         sh echo ‹out of "Look"› >> told
    Check
      · Count                          sh ls copies | wc -l
      … depends on out of "Count"
    Pause   [window, budget 1m, reserve 15s, goes back by itself when it cannot be kept]
      ▶ Close                          sh touch closed
      ▶ Open                           sh rm closed

    11 steps · 6 writes · 2 read now · 1 unknown value · 1 scope not known to the end
    ✓ known now   ▶ writes   · reads later   ? asks a person   ~ waits   ✗ would fail   … not known yet
    "#);
    assert!(!place.path("copies").exists() && !place.home().exists());
    // The same plan made again is the same; made otherwise it is not.
    let digest = |words: &[&str]| planned(&place, words)["digest"].clone();
    assert_eq!(digest(&[]), digest(&[]));
    assert_ne!(digest(&[]), digest(&["--extra=true"]));
}

#[test]
fn offline_nothing_is_read() {
    let place = place();
    let ran = place.ran(&["plan", "book.star", "--offline", "--full"]).ends(0);
    insta::assert_snapshot!(ran.out, @r#"
    Copy the files of a directory.
    plan 2e67b8c91b29 of book.star
      directory = "files"
      extra = False

    · List                             sh ls files
          at book.star:21:13
      … depends on out of "List"

    1 step · 0 writes · 1 scope not known to the end · made offline
    ✓ known now   ▶ writes   · reads later   ? asks a person   ~ waits   ✗ would fail   … not known yet
    "#);
}

#[test]
fn a_run_keeps_to_its_plan() {
    let place = place();
    place.ran(&["plan", "book.star", "-o", "plan.json", "--extra=true"]).ends(0);
    // Parameters are the plan's.
    place.ran(&["run", "book.star", "--plan", "plan.json"]).ends(0);
    assert_eq!(place.read("told"), "one\ntwo\n");
    assert_eq!(place.show()["params"]["extra"], true);
    let receipt = place.ran(&["receipt", "@last", "--format", "md"]).ends(0).out;
    let digest = planned(&place, &["--extra=true"])["digest"].as_str().unwrap().to_owned();
    assert!(receipt.contains(&digest["sha256:".len()..][..12]), "{receipt}");
}

#[test]
fn a_run_stops_where_its_plan_excludes_what_comes() {
    let place = place();
    place.ran(&["plan", "book.star", "-o", "plan.json"]).ends(0);
    let place = place.file("files/c", "three");
    let ran = place.ran(&["run", "book.star", "--plan", "plan.json"]).ends(1);
    insta::assert_snapshot!(place.plain(&ran.err), @r"
    the run holds: a step needs a decision

    ✗ Copy/c/Make
      at        book.star:4:5
      why       the plan has no such step: sh mkdir -p copies; cp files/c copies/
      next      perform it although the plan excludes it
                  piton resume ‹run› --depart Copy/c/Make --reason '...'

      or        go on with the runbook as you mended it
                  piton resume ‹run› --edited book.star
                show what taking back would do     piton undo ‹run› --plan
                take back what the run did         piton undo ‹run›
                end it here; what was done stays   piton abort ‹run›
    ");
    assert_eq!(place.read("told"), "one\ntwo\n");
    place.ran(&["resume", "@last", "--retry"]).ends(1);
    place.ran(&["resume", "@last", "--depart", "Copy/c/Make"]).ends(2);
    place.ran(&["resume", "@last", "--depart", "Copy/c/Make", "--reason", "new since"]).ends(1);
    place.ran(&["resume", "@last", "--depart", "Copy/c/Look", "--reason", "new since"]).ends(1);
    place.ran(&["resume", "@last", "--depart", "Copy/c/Tell", "--reason", "new since"]).ends(0);
    assert_eq!(place.read("told"), "one\ntwo\nthree\n");
    place.ran(&["receipt", "@last", "-o", "receipt.json"]).ends(0);
    place.ran(&["verify", "receipt.json"]).ends(0);
}

#[test]
fn a_departure_inside_a_window_is_found_before_it_opens() {
    let place = place();
    place.ran(&["plan", "book.star", "-o", "plan.json"]).ends(0);
    let place = place.file("late", "x\n");
    let ran = place.ran(&["run", "book.star", "--plan", "plan.json"]).ends(1);
    insta::assert_snapshot!(place.plain(&ran.err), @r"
    the run holds: a step needs a decision

    ✗ Pause/Late x
      at        book.star:15:9
      why       the plan has no such step: sh echo late >> told
      next      perform it although the plan excludes it
                  piton resume ‹run› --depart 'Pause/Late x' --reason '...'

      or        go on with the runbook as you mended it
                  piton resume ‹run› --edited book.star
                show what taking back would do     piton undo ‹run› --plan
                take back what the run did         piton undo ‹run›
                end it here; what was done stays   piton abort ‹run›
    ");
    let show = place.show();
    assert_eq!((place.path("closed").exists(), &show["windows"]), (false, &serde_json::json!([])));
    place.ran(&["resume", "@last", "--depart", "Pause/Late x", "--reason", "harmless"]).ends(0);
    assert_eq!(place.read("told"), "one\ntwo\nlate\n");
    assert_eq!(place.show()["windows"][0]["went_back"], false);
}

#[test]
fn a_plan_of_something_else_is_refused_before_anything_runs() {
    let place = place();
    place.ran(&["plan", "book.star", "-o", "plan.json"]).ends(0);
    let refused = |words: &[&str]| {
        let ran = place.ran(&[&["run", "book.star", "--plan"], words].concat()).ends(2);
        place.plain(&ran.err)
    };
    insta::assert_snapshot!(refused(&["plan.json", "--extra=true"]), @r"
    error[P0032]: the plan was made with another value of extra
      = leave the parameters out: the plan's are taken
      = make a new plan and review what differs: piton plan FILE --against PLANFILE
    ");
    insta::assert_snapshot!(refused(&["nothing.json"]), @r"
    error[P0005]: nothing.json cannot be read
      because: No such file or directory (os error 2)
    ");
    insta::assert_snapshot!(refused(&["book.star"]), @r"
    error[P0032]: book.star is no plan
      because: trailing characters at line 1 column 3
    ");
    let text = place.read("plan.json");
    std::fs::write(place.path("tampered.json"), text.replace("touch closed", "touch other")).unwrap();
    insta::assert_snapshot!(refused(&["tampered.json"]), @r"
    error[P0032]: tampered.json was changed after it was made
      = its hash is of other steps than it has; make it again: piton plan
    ");
    std::fs::write(place.path("newer.json"), text.replace("\"format\": 1", "\"format\": 7")).unwrap();
    insta::assert_snapshot!(refused(&["newer.json"]), @r"
    error[P0032]: newer.json was written by a newer version of Piton
      = its format is 7, this version knows up to 1: use that version
    ");
    std::fs::write(place.path("book.star"), BOOK.replace("one.", "two.") + "\n").unwrap();
    insta::assert_snapshot!(refused(&["plan.json"]), @r"
    error[P0032]: the plan is of another runbook than this one is now
      = book.star has changed
      = make a new plan and review what differs: piton plan FILE --against PLANFILE
    ");
    assert!(!place.path("copies").exists());
}

#[test]
fn what_differs_from_an_older_plan_is_shown_alone() {
    let place = place();
    place.ran(&["plan", "book.star", "-o", "plan.json"]).ends(0);
    let same = place.ran(&["plan", "book.star", "--against", "plan.json"]).ends(0);
    assert!(same.out.contains("nothing differs"), "{}", same.out);
    std::fs::write(place.path("book.star"), BOOK.replace("touch closed", "touch shut")).unwrap();
    std::fs::remove_file(place.path("files/a")).unwrap();
    let ran = place.ran(&["plan", "book.star", "--against", "plan.json", "--extra=true"]).ends(1);
    insta::assert_snapshot!(ran.out, @r#"
    plan 4b817c56ceb4 against 804ded9b7835
    ~ parameter extra
        was False
        now True
    - Copy/a
        branch
    - Copy/a/Make   at book.star:4:5
        sh mkdir -p copies; cp files/a copies/; undo: sh rm -f copies/a
    - Copy/a/Look   at book.star:5:12
        sh cat copies/a
    - Copy/a/Tell   at book.star:6:5
        sh echo ‹out of "Look"› >> told
    ~ Pause/Close   at book.star:13:5
        was sh touch closed; undo: sh rm -f closed
        now sh touch shut; undo: sh rm -f closed
    + Pause/Moved
        commit point

    4 removed · 1 changed · 1 added · 12 as before
    "#);
    let json = place.ran(&["plan", "book.star", "--against", "plan.json", "--extra=true", "--json"]).ends(1);
    let json: Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(json["changed"].as_array().unwrap().len(), 1);
    assert_eq!(json["params"][0]["name"], "extra");
}

#[test]
fn a_read_that_says_so_is_performed_whatever_goes_before_it() {
    let place = Place::with(
        r#"
def main():
    step("Write", sh("touch written"), repeatable = True)
    step("Later", sh("cat tables", reads = True))
    for table in step("List", sh("cat tables", reads = True), plan = "live").out.splitlines():
        step("Copy " + table, sh("true"), repeatable = True)
    expect("Enough", sh("cat tables", reads = True), predicate = lambda seen: "c" in seen.out, plan = "live")
"#,
    )
    .file("tables", "a\nb\n");
    let ran = place.ran(&["plan", "book.star"]).ends(0);
    insta::assert_snapshot!(ran.out, @r#"
    book.star
    plan d1bec66de8c0 of book.star

    ▶ Write                            sh touch written
    · Later                            sh cat tables
    ✓ List                             sh cat tables   → b
    ▶ Copy a                           sh true
    ▶ Copy b                           sh true
    · Enough                           sh cat tables
      ✗ would fail now: expected otherwise: sh cat tables gave b
      … "Enough" would fail

    6 steps · 3 writes · 1 read now · 1 scope not known to the end · 1 would fail now
    ✓ known now   ▶ writes   · reads later   ? asks a person   ~ waits   ✗ would fail   … not known yet
    "#);
    assert!(!place.path("written").exists());
    let offline = place.ran(&["plan", "book.star", "--offline"]).ends(0).out;
    assert!(offline.contains("· List") && offline.contains("… depends on"), "{offline}");
    // In a run it is a step like any other.
    std::fs::write(place.path("tables"), "c\n").unwrap();
    place.ran(&["run", "book.star"]).ends(0);
    assert!(place.path("written").exists());
}
