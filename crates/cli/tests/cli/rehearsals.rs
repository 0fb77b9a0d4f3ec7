//! Rehearsals: runs on stand-in systems, marked so wherever they are shown.

use crate::place::Place;
use serde_json::Value;

const BOOK: &str = r#""""Moves a service."""

def cut():
    step("Close", sh("touch closed"), undo = sh("sleep 0.2; rm -f closed"))
    step("Switch", sh("touch switched"), undo = sh("rm -f switched"))
    commit_point("Moved")
    step("Open", sh("rm closed"))

def main(place: str):
    step("Prepare", sh("echo " + quote(place) + " >> prepared"), undo = noop())
    approve("Cut over", by = "ops")
    window("Pause", cut, budget = "60s", reserve = "30s")
    step("Tell", sh("touch told"), undo = noop())
"#;

fn rehearse(how: &str) -> Place {
    let place = Place::with(BOOK);
    place.ran(&["run", "book.star", "--place", "stand-in", "--rehearse", how, "--detach"]).ends(0);
    place.wait_until("waiting");
    let shown = place.ran(&["show", "@last"]).ends(0);
    assert!(shown.out.contains(&format!("rehearsal {how}, on stand-in systems")), "{}", shown.out);
    // People are asked as in any run.
    place.ran(&["approve", "@last", "Cut over"]).ends(0);
    place.wait_until("succeeded");
    place
}

fn receipts_say_so(place: &Place, how: &str) {
    let markdown = place.ran(&["receipt", "@last", "--format", "md"]).ends(0).out;
    assert!(markdown.contains(&format!("**Rehearsal**: {how}, on stand-in systems")), "{markdown}");
    place.ran(&["receipt", "@last", "--format", "html", "-o", "receipt.html"]).ends(0);
    assert!(place.read("receipt.html").contains("A rehearsal ("));
    place.ran(&["verify", "receipt.html"]).ends(0);
}

#[test]
fn back_turns_round_at_the_commit_point_and_tells_how_long_the_way_back_took() {
    let place = rehearse("back");
    let exists = |name: &str| place.path(name).exists();
    assert!(!exists("closed") && !exists("switched") && !exists("told") && exists("prepared"));
    let show = place.show();
    let window = &show["windows"][0];
    assert_eq!(
        (&show["rehearsal"], &window["rehearsed"], &window["committed"]),
        (&"back".into(), &true.into(), &false.into())
    );
    assert!(window["back_ms"].as_f64().unwrap() >= 200.0, "{window}");
    let ending = place.ran(&["show", "@last"]).ends(0).out;
    assert!(ending.contains("✓ rehearsed back in ") && ending.contains(" of a reserve of 30s"), "{ending}");
    let listed = place.ran(&["runs"]).ends(0).out;
    assert!(listed.contains("[rehearsal back] Moves a service."), "{listed}");
    let listed: Value = serde_json::from_str(&place.ran(&["runs", "--json"]).ends(0).out).unwrap();
    assert_eq!(listed[0]["rehearsal"], "back");
    receipts_say_so(&place, "back");
    // Nothing is left to go on with, and what was prepared can be taken back.
    place.ran(&["resume", "@last"]).ends(2);
    place.ran(&["undo", "@last"]).ends(4);
}

#[test]
fn forward_is_performed_as_any_run_is() {
    let place = rehearse("forward");
    assert!(place.path("told").exists() && !place.path("closed").exists());
    let show = place.show();
    assert_eq!((&show["rehearsal"], &show["windows"][0]["committed"]), (&"forward".into(), &true.into()));
    receipts_say_so(&place, "forward");
}

#[test]
fn what_a_rehearsal_took_refines_the_plan_and_is_told_apart() {
    let place = rehearse("back");
    let plan = |words: &[&str]| place.ran(&[&["plan", "book.star", "--place", "real"], words].concat()).ends(0).out;
    let told: Value = serde_json::from_str(&plan(&["--json"])).unwrap();
    let told = &told["estimate"];
    assert_eq!((&told["runs"], &told["rehearsals"], &told["rehearsed"]), (&0.into(), &1.into(), &true.into()));
    let window = &told["windows"][0];
    assert!(window["measured_in_rehearsals"]["longest_back_ms"].as_u64().unwrap() >= 200, "{window}");
    assert_eq!((&window["measured_in_runs"], &window["warnings"]), (&Value::Null, &serde_json::json!([])));
    std::fs::write(place.path("book.star"), BOOK.replace("\"30s\"", "\"100ms\"")).unwrap();
    let page = plan(&[]);
    let warning =
        "warning: the window \"Pause\": going back took longer than its reserve of 100ms in 1 of 1 past rehearsal";
    assert!(page.contains(warning) && page.contains("as 1 rehearsal did"), "{page}");
}

#[test]
fn a_word_that_is_no_rehearsal_is_refused_and_a_run_is_none() {
    let place = Place::with("def main():\n    step(\"A\", noop())\n");
    let refused = place.ran(&["run", "book.star", "--rehearse", "sideways"]).ends(2);
    assert!(refused.err.contains("[possible values: forward, back]"), "{}", refused.err);
    place.ran(&["run", "book.star"]).ends(0);
    assert_eq!(place.show()["rehearsal"], Value::Null);
    // Without a window there is no way back to rehearse, and that is said.
    let ran = place.ran(&["run", "book.star", "--rehearse", "back"]).ends(0);
    assert!(ran.err.contains("none was entered"), "{}{}", ran.out, ran.err);
}
