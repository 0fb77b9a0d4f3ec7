//! What an edit means for a run, as people read it: the five lists.
//!
//! Owns their lines. Never makes them.

use super::text::{count, printable};
use piton_core::Path;
use piton_core::plan::edit::{Lists, Touched};
use serde_json::{Value as Json, json};

pub(crate) fn page(lists: &Lists, asks_again: &[Path]) -> String {
    let mut text = format!("the edit keeps {} as done\n", count(lists.kept, "step"));
    let mut list = |title: &str, what: &str, lines: Vec<String>| {
        if !lines.is_empty() {
            text.push_str(&format!("\n{title} ({}): {what}\n", lines.len()));
            lines.iter().for_each(|line| text.push_str(&format!("  {line}\n")));
        }
    };
    let changed = "done, with another action than now; each holds until you --keep or --redo it";
    list("changed", changed, touched(&lists.changed));
    let doubted = lists.doubted.iter().map(|one| {
        format!("{}   {} gave {}", shown(&one.path), printable(&one.evidence.check), printable(&one.evidence.saw))
    });
    let title = "done, but the new postcondition does not hold; each holds until you --keep or --redo it";
    list("doubted", title, doubted.collect());
    let orphaned = lists.orphaned.iter().map(|one| match (one.wrote, one.undo.is_empty()) {
        (false, _) => format!("{}   (it changed nothing)", shown(&one.path)),
        (true, true) => format!("{}   (no undo is declared)", shown(&one.path)),
        (true, false) => format!("{}   undo: {}", shown(&one.path), printable(&one.undo.join("; "))),
    });
    list("orphaned", "done, and no longer in the runbook", orphaned.collect());
    let dropped = lists.dropped.iter().map(|one| {
        let maybe = if one.undetermined { ", and perhaps the runbook comes to it again" } else { "" };
        let undo = match (one.wrote, one.undo.is_empty()) {
            (false, _) => String::new(),
            (true, true) => "   (no undo is declared)".to_owned(),
            (true, false) => format!("   undo: {}", printable(&one.undo.join("; "))),
        };
        format!("{}   {}{maybe}{undo}", shown(&one.path), printable(&one.was))
    });
    let title = "begun and not ended, and no longer in the runbook; each is ended before anything else runs";
    list("dropped", title, dropped.collect());
    let title =
        "begun with another action than now: what it gives holds until you --keep or --redo it, what waits begins anew";
    list("overtaken", title, touched(&lists.overtaken));
    let open = "open, and no longer in the runbook: such an edit is refused";
    list("windows", open, lists.windows.iter().map(shown).collect());
    let left = "entered, and no longer in the runbook; each is left, with its lock, before anything else runs";
    list("left", left, lists.left.iter().map(shown).collect());
    list("held", "waits for your decision still", touched(&lists.held));
    list("inserted", "new, before something that is done", touched(&lists.inserted));
    let undetermined = lists.undetermined.iter().map(|one| {
        let scope = if one.scope.is_root() { "the run".to_owned() } else { shown(&one.scope) };
        format!("{scope}   {}", printable(&one.why))
    });
    list("undetermined", "only the run itself can tell", undetermined.collect());
    list("asked again", "what was approved has changed", asks_again.iter().map(shown).collect());
    list("tried again", "it failed, was held or dropped", touched(&lists.tried_again));
    text.push('\n');
    text
}

fn touched(steps: &[Touched]) -> Vec<String> {
    let site = |one: &Touched| one.site.as_ref().map(|site| format!("   at {}", printable(&site.to_string())));
    let line =
        |one: &Touched| format!("{}   {}{}", shown(&one.path), printable(&one.now), site(one).unwrap_or_default());
    steps.iter().map(line).collect()
}

fn shown(path: &Path) -> String {
    printable(&piton_core::hole::render(path.as_str()))
}

/// The same for machines, as `docs/json.md` has it.
pub(crate) fn json(lists: &Lists, asks_again: &[Path]) -> Json {
    json!({ "edit": lists, "asks_again": asks_again })
}
