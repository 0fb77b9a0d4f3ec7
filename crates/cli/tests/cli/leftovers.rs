//! What `inverse()` keeps beside files: there as long as an undo can need it, and gone afterwards.

use crate::place::Place;

fn book(then: &str) -> Place {
    Place::with(&format!(
        "def main():\n    step(\"before\", write_file(\"a\", \"new\"), undo = inverse())\n    {then}\n    step(\"after\", write_file(\"b\", \"new\"), undo = inverse())\n"
    ))
    .file("a", "old")
    .file("b", "old")
}

fn hidden(place: &Place) -> Vec<String> {
    let names = std::fs::read_dir(place.path("")).unwrap().map(|entry| entry.unwrap().file_name());
    names.map(|name| name.into_string().unwrap()).filter(|name| name.starts_with('.')).collect()
}

#[test]
fn behind_a_commit_point_nothing_is_kept_and_the_rest_can_be_taken_back() {
    let place = book("commit_point(\"moved\")");
    place.ran(&["run", "book.star"]).ends(0);
    let kept = hidden(&place);
    assert!(matches!(kept.as_slice(), [b] if b.starts_with(".b.piton-")), "{kept:?}");
    place.ran(&["undo", "@last"]).ends(4);
    assert_eq!((place.read("a"), place.read("b"), hidden(&place)), ("new".into(), "old".into(), vec![]));
}

#[test]
fn a_run_that_was_taken_back_leaves_nothing_beside_the_files() {
    let place = book("step(\"fail\", sh(\"test -e mended\"))");
    place.ran(&["run", "book.star"]).ends(1);
    assert_eq!(hidden(&place).len(), 1);
    place.ran(&["undo", "@last"]).ends(4);
    assert_eq!((place.read("a"), place.read("b"), hidden(&place)), ("old".into(), "old".into(), vec![]));
}

#[test]
fn an_engine_killed_after_its_last_record_leaves_it_to_the_next_command() {
    let whole = book("commit_point(\"moved\")");
    whole.ran(&["run", "book.star"]).ends(0);
    let records = whole.show()["journal"]["records"].as_u64().unwrap();
    let place = book("commit_point(\"moved\")");
    let ran = place.piton(&["run", "book.star"]).env("PITON_CRASH_AFTER", &records.to_string()).ran();
    assert_eq!((ran.code, place.show()["status"].as_str()), (None, Some("succeeded")));
    assert_eq!(hidden(&place).len(), 2);
    place.ran(&["resume", "@last"]).ends(2).says("error[P0022]");
    let kept = hidden(&place);
    assert!(matches!(kept.as_slice(), [b] if b.starts_with(".b.piton-")), "{kept:?}");
}
