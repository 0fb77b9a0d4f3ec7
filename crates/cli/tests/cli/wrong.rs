//! Runbooks that are wrong: each is refused, or ended, with its place and what to do, before it does harm.

use crate::place::Place;

/// What `run` says of the runbook; nothing of it was run, and `check` says the same.
fn refused(place: &Place) -> String {
    let ran = place.ran(&["run", "book.star"]).ends(2);
    assert_eq!((ran.out.as_str(), place.read("ran.txt").as_str()), ("", ""));
    assert!(ran.err.contains("error[P0002]: book.star has "), "{}", ran.err);
    place.ran(&["check", "book.star"]).ends(2);
    assert!(place.ran(&["runs"]).err.contains("there is no run yet"), "a run was made");
    place.plain(&ran.err)
}

#[test]
fn a_wrong_runbook_is_refused_where_it_is_wrong() {
    for (source, place_and_words) in [
        ("def main():\n    step(\"x\", noop()\n", &["book.star:", "syntax error"][..]),
        ("def main():\n    while True:\n        pass\n", &["book.star:2:5", "there is no `while`", "poll("]),
        ("def main(n: int = 1):\n    step(1, noop())\n", &["book.star:2:", "str"]),
        ("def main():\n    step(\"x\", noop(), ensure = noop())\n", &["book.star:2:", "ensure", "ensures"]),
        (
            "def main():\n    step(\"x\", write_file(\"ran.txt\", \"1\"))\n    step(\"x\", noop())\n",
            &["book.star:3:", "same name", "book.star:2:5"],
        ),
        ("load(\"../lib.star\", \"x\")\n\ndef main():\n    x()\n", &["book.star:1:", "outside the project"]),
        ("load(\"/etc/passwd\", \"x\")\n\ndef main():\n    x()\n", &["book.star:1:", "outside the project"]),
        ("load(\"none.star\", \"x\")\n\ndef main():\n    x()\n", &["book.star:1:", "none.star", "does not exist"]),
        ("load(\"book.star\", \"x\")\n\ndef main():\n    x()\n", &["book.star"]),
    ] {
        let said = refused(&Place::with(source));
        for words in place_and_words {
            assert!(said.contains(words), "{words:?} is not in what is said of\n{source}\n{said}");
        }
    }
}

#[test]
fn files_that_load_each_other_in_a_circle_are_shown_as_one() {
    let place = Place::with("load(\"a.star\", \"a\")\n\ndef main():\n    a()\n")
        .file("a.star", "load(\"b.star\", \"b\")\n\ndef a():\n    b()\n")
        .file("b.star", "load(\"a.star\", \"a\")\n\ndef b():\n    a()\n");
    let said = refused(&place);
    for words in ["a.star", "b.star", "b.star:1:"] {
        assert!(said.contains(words), "{said}");
    }
}

#[test]
fn a_link_out_of_the_project_is_not_followed() {
    let place = Place::with("load(\"lib.star\", \"x\")\n\ndef main():\n    x()\n");
    std::fs::write(place.home().with_file_name("lib.star"), "x = 1\n").unwrap();
    std::os::unix::fs::symlink("../lib.star", place.path("lib.star")).unwrap();
    assert!(refused(&place).contains("outside the project"));
}

#[test]
fn a_runbook_without_end_is_ended_and_what_it_did_is_kept() {
    // One that computes on and on takes its minute: the language's own tests have it, with a smaller bound.
    for (body, words) in [
        ("for i in range(100000000):\n        pass", "a range of more than"),
        ("a = [1]\n    for i in range(64):\n        a = a + a", "too"),
        ("s = \"x\"\n    for i in range(64):\n        s = s + s", "too"),
        ("deep(0)", "deep"),
    ] {
        let source = format!(
            "def deep(n):\n    return deep(n + 1)\n\ndef main():\n    step(\"one\", sh(\"echo x >> one\"))\n    {body}\n"
        );
        let place = Place::with(&source);
        // An endless loop inside the engine would be as endless here: the test's own end is the proof.
        let ran = place.ran(&["run", "book.star"]);
        let said = place.plain(&ran.err);
        assert!(said.contains("book.star:"), "{said}");
        assert!(said.to_lowercase().contains(words), "{words:?}: {said}");
        assert!(!said.contains("panicked") && ran.code.is_some_and(|code| code <= 2), "{:?} {said}", ran.code);
        if ran.code == Some(1) {
            assert_eq!(place.read("one"), "x\n");
            place.ran(&["undo", "@last", "--plan"]).ends(0);
        }
    }
}
