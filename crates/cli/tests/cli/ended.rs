//! What is said to whoever does something to a run that has ended: how it ended, and what can still be done.

use crate::children::children;
use crate::place::Place;

/// What each command says and how it ends; those that say the same together.
fn said(place: &Place, run: &str) -> String {
    let mut said: Vec<(String, String)> = Vec::new();
    for words in [
        &["resume"][..],
        &["resume", "--retry"],
        &["resume", "--waive", "Do", "--reason", "no"],
        &["abort"],
        &["approve"],
        &["answer", "Do", "--done"],
        &["undo"],
    ] {
        let ran = place.ran(&[&words[..1], &[run], &words[1..]].concat());
        let text = format!("exit code {}\n{}{}\n", ran.code.unwrap(), ran.out, ran.err);
        match said.iter_mut().find(|(_, known)| *known == text) {
            Some((commands, _)) => commands.push_str(&format!(", {}", words.join(" "))),
            None => said.push((words.join(" "), text)),
        }
    }
    let said: Vec<String> = said.into_iter().map(|(commands, text)| format!("{commands}: {text}")).collect();
    place.plain(&said.concat())
}

const DO: &str = "def main():\n    step(\"Do\", sh(\"echo did >> world\"), undo = sh(\"echo undid >> world\"))\n";
const ALONE: &str = "def main():\n    step(\"Do\", sh(\"echo did >> world\"))\n";
const HOLDS: &str = "def main():\n    step(\"Do\", sh(\"exit 1\"))\n";

#[test]
fn a_run_that_was_taken_back_or_has_no_undo_is_refused_in_words_that_fit() {
    let place = Place::with(DO).file("alone.star", ALONE);
    place.ran(&["run", "book.star"]).ends(0);
    place.ran(&["undo", "@last"]).ends(4);
    insta::assert_snapshot!(said(&place, "@last"), @r"
    resume, resume --retry, resume --waive Do --reason no, abort, approve, answer Do --done: exit code 2
    error[P0022]: run ‹run› has ended: it was taken back
      = see what it did: piton show ‹run›

    undo: exit code 2
    error[P0022]: run ‹run› has been taken back already
      = see what it did: piton show ‹run›
    ");
    place.ran(&["run", "alone.star"]).ends(0);
    insta::assert_snapshot!(said(&place, "@last"), @r"
    resume, resume --retry, resume --waive Do --reason no, abort, approve, answer Do --done: exit code 2
    error[P0022]: run ‹run› has ended: it succeeded
      = see what it did: piton show ‹run›

    undo: exit code 0
    there is nothing to take back: what the run did has no undo; see what stays: piton undo ‹run› --plan
    ");
}

#[test]
fn a_run_that_succeeded_or_was_aborted_is_refused_with_the_way_back_that_there_is() {
    let place = Place::with(DO).file("holds.star", HOLDS);
    place.ran(&["run", "holds.star"]).ends(1);
    place.ran(&["abort", "@last"]).ends(4);
    insta::assert_snapshot!(said(&place, "@last"), @r"
    resume, resume --retry, resume --waive Do --reason no, abort, approve, answer Do --done: exit code 2
    error[P0022]: run ‹run› has ended: it was aborted
      = see what it did: piton show ‹run›

    undo: exit code 0
    there is nothing to take back: what the run did has no undo; see what stays: piton undo ‹run› --plan
    ");
    place.ran(&["run", "book.star"]).ends(0);
    insta::assert_snapshot!(said(&place, "@last"), @r"
    resume, resume --retry, resume --waive Do --reason no, abort, approve, answer Do --done: exit code 2
    error[P0022]: run ‹run› has ended: it succeeded
      = see what it did: piton show ‹run›
      = what it did can still be taken back: piton undo ‹run›

    undo: exit code 4
    ‹time› engine   resumed by ada, process ‹pid›
    ‹time› undo     the whole run is taken back: asked by ada (uid ‹uid› on ‹host›)
    ‹time› undoing  Do  sh echo undid >> world
    ‹time› undone   Do
    ‹time› undo     the whole run is taken back
    ‹time› ended    taken back, ‹span› after it started
    ↶ taken back, ‹span› after it started
      next      write its signed receipt   piton receipt ‹run› -o receipt.json
    ");
}

#[test]
fn a_child_that_is_done_is_refused_with_its_parents_way_back() {
    let place = Place::with("def main():\n    run(\"Part\", \"child.star\")\n").file("child.star", DO);
    place.ran(&["run", "book.star"]).ends(0);
    insta::assert_snapshot!(said(&place, &children(&place)[0]), @r#"
    resume, resume --retry, resume --waive Do --reason no, abort, approve, answer Do --done: exit code 2
    error[P0022]: run ‹run› has ended: it succeeded
      = see what it did: piton show ‹run›
      = show what taking it back would do: piton undo ‹run› --to Part --plan
      = take it back: piton undo ‹run› --to Part

    undo: exit code 2
    error[P0034]: run ‹run› is a step of run ‹run›, "Part", and is done: it is taken back there
      = show what taking it back would do: piton undo ‹run› --to Part --plan
      = take it back: piton undo ‹run› --to Part
    "#);
}
