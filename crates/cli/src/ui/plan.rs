//! A plan as people read it.
//!
//! Owns the lines of a plan and of how two plans differ. Never makes or compares plans.

use super::estimate::{self, TIME_COLUMNS};
use super::text::{clip, count, pad, printable, width};
use crate::print;
use piton_core::Path;
use piton_core::action::Effect;
use piton_core::hole;
use piton_core::plan::estimate::{Estimate, Span, WindowEstimate};
use piton_core::plan::{Changes, Counts, Entry, Known, Line, Plan, Step, What};
use piton_core::request::StepKind;
use piton_core::scope::ScopeKind;
use serde_json::{Value as Json, json};
use std::collections::HashMap;

/// Columns where standard output is no terminal.
const COLUMNS: usize = 160;
/// Columns that a step's name is filled to, so that what it does stands below each other.
const NAME_COLUMNS: usize = 32;

/// `full`: nothing is left out or cut off.
pub(crate) fn page(plan: &Plan, estimate: Option<&Estimate>, full: bool) -> String {
    let columns = if full { usize::MAX } else { print::columns().unwrap_or(COLUMNS) };
    let mut text = format!("{}\n", shown(&plan.runbook.title));
    text.push_str(&format!("plan {} of {}\n", plan.digest().short(), shown(&plan.runbook.file)));
    for (name, value) in &plan.params {
        text.push_str(&format!(
            "  {name} = {}\n",
            clip(&shown(&value.to_string()), columns.saturating_sub(name.len() + 5))
        ));
    }
    text.push('\n');
    let mut times = Times::of(plan, estimate);
    for (at, entry) in plan.entries.iter().enumerate() {
        for line in lines(entry, times.at(at), full) {
            text.push_str(&clip(&line, columns));
            text.push('\n');
        }
    }
    text.push_str(&format!("\n{}\n", summary(&plan.counts(), plan.offline)));
    text.push_str(&estimate.map(estimate::total).unwrap_or_default());
    text.push_str(
        "✓ known now   ▶ writes   · reads later   ? asks a person   ~ waits   ✗ would fail   … not known yet\n",
    );
    text
}

/// How long each line takes, asked for in the order of the lines.
struct Times<'a> {
    estimate: Option<&'a Estimate>,
    next: usize,
    windows: HashMap<&'a Path, &'a WindowEstimate>,
    entries: &'a [Entry],
}

/// Of one line. Without an estimate there is no column for it.
#[derive(Clone, Copy)]
struct Time<'a> {
    column: bool,
    span: Option<Span>,
    window: Option<&'a WindowEstimate>,
}

impl<'a> Times<'a> {
    fn of(plan: &'a Plan, estimate: Option<&'a Estimate>) -> Self {
        let windows = estimate.iter().flat_map(|estimate| &estimate.windows);
        let windows = windows.map(|window| (&window.path, window)).collect();
        Self { estimate, next: 0, windows, entries: &plan.entries }
    }

    fn at(&mut self, line: usize) -> Time<'a> {
        let Some(estimate) = self.estimate else { return Time { column: false, span: None, window: None } };
        let known = estimate.lines.get(self.next).filter(|(at, _)| *at == line);
        self.next += usize::from(known.is_some());
        let entry = &self.entries[line];
        let window = matches!(entry.what, What::Scope { .. }).then(|| self.windows.get(&entry.path).copied()).flatten();
        Time { column: true, span: known.map(|(_, span)| *span), window }
    }
}

fn lines(entry: &Entry, time: Time<'_>, full: bool) -> Vec<String> {
    let depth = entry.path.depth().saturating_sub(1);
    let indent = "  ".repeat(depth);
    let name = shown(&entry.path.name());
    let site =
        || entry.site.as_ref().filter(|_| full).map(|site| format!("{indent}      at {}", shown(&site.to_string())));
    match &entry.what {
        What::Scope { kind: ScopeKind::Run, .. } => vec![],
        What::Scope { kind, total, guards, .. } => {
            let total = total.map_or_else(String::new, |total| format!(" × {total}"));
            let about = time.span.map(estimate::about_scope).unwrap_or_default();
            let first = match kind {
                ScopeKind::Branch | ScopeKind::Phase => format!("{indent}{name}{about}"),
                kind => format!("{indent}{name}   [{}{total}]{about}", kind.describe()),
            };
            let window = time.window.map(estimate::window).unwrap_or_default();
            let window = window.into_iter().map(|line| format!("{indent}  {line}"));
            let guards = guards.iter().map(|guard| format!("{indent}  ⊙ {}", shown(&guard.to_string())));
            std::iter::once(first).chain(window).chain(guards).collect()
        }
        What::CommitPoint => vec![format!("{indent}── {name}: commit point, no way back beyond ──")],
        What::End { why } => vec![format!("{indent}  … {}", shown(why))],
        What::Fails { message, hint } => {
            let hint = hint.as_ref().map(|hint| format!("{indent}      {}", shown(hint)));
            std::iter::once(format!("{indent}  ✗ would fail now: {}", shown(message))).chain(hint).collect()
        }
        What::Step(step) => {
            let room = NAME_COLUMNS.saturating_sub(indent.len()).max(width(&name)).max(8);
            let about = time.span.map(estimate::about).unwrap_or_default();
            let about = if time.column { format!("{about:>TIME_COLUMNS$}  ") } else { String::new() };
            let (name, does, told) = (pad(&name, room), shown(&step.summary), told(step));
            let first = format!("{indent}{} {name} {about}{does}{told}", sign(step));
            let more = |word: &str, text: &Option<String>| {
                text.as_ref().filter(|_| full).map(|text| format!("{indent}      {word} {}", shown(text)))
            };
            let details =
                [more("requires", &step.requires), more("ensures ", &step.ensures), more("undo    ", &step.undo)];
            std::iter::once(first).chain(site()).chain(details.into_iter().flatten()).collect()
        }
    }
}

fn sign(step: &Step) -> char {
    match (step.known, step.kind) {
        (Known::Read | Known::AlreadyTrue | Known::Done, _) => '✓',
        (Known::Later, StepKind::Approve | StepKind::Ask | StepKind::Manual) => '?',
        (Known::Later, StepKind::Wait | StepKind::Poll) => '~',
        (Known::Later, _) if step.effect == Some(Effect::Write) => '▶',
        (Known::Later, _) => '·',
    }
}

fn told(step: &Step) -> String {
    match (step.known, &step.saw) {
        (Known::Later, _) => String::new(),
        (Known::AlreadyTrue, _) => "   (already true)".to_owned(),
        (Known::Done, _) => "   (done)".to_owned(),
        (Known::Read, Some(saw)) => format!("   → {}", shown(saw)),
        (Known::Read, None) => String::new(),
    }
}

fn summary(counts: &Counts, offline: bool) -> String {
    let mut parts = vec![count(counts.steps, "step"), count(counts.writes, "write")];
    let mut add = |number: u64, words: String| parts.extend((number > 0).then_some(words));
    add(counts.read_now, format!("{} read now", counts.read_now));
    add(counts.already_true, format!("{} already true", counts.already_true));
    add(counts.holes, count(counts.holes, "unknown value"));
    add(counts.ends, format!("{} not known to the end", count(counts.ends, "scope")));
    add(counts.fails_now, format!("{} would fail now", counts.fails_now));
    add(u64::from(offline), "made offline".to_owned());
    parts.join(" · ")
}

/// What differs, for whoever reviews the newer plan.
pub(crate) fn changes(old: &Plan, new: &Plan, changes: &Changes) -> String {
    let mut text = format!("plan {} against {}\n", new.digest().short(), old.digest().short());
    let params = changed_params(old, new);
    if changes.is_empty() && params.is_empty() {
        text.push_str(&format!("nothing differs in {}\n", count(changes.unchanged, "line")));
        return text;
    }
    for (name, was, now) in params {
        text.push_str(&format!("~ parameter {name}\n    was {}\n    now {}\n", shown(&was), shown(&now)));
    }
    let line = |sign: char, line: &Line| {
        let site = line.site.as_ref().map(|site| format!("   at {}", shown(&site.to_string()))).unwrap_or_default();
        format!("{sign} {}{site}\n    {}\n", shown(line.path.as_str()), shown(&line.does))
    };
    for removed in &changes.removed {
        text.push_str(&line('-', removed));
    }
    for changed in &changes.changed {
        let site = changed.site.as_ref().map(|site| format!("   at {}", shown(&site.to_string()))).unwrap_or_default();
        let path = shown(changed.path.as_str());
        text.push_str(&format!("~ {path}{site}\n    was {}\n    now {}\n", shown(&changed.was), shown(&changed.now)));
    }
    for added in &changes.added {
        text.push_str(&line('+', added));
    }
    text.push_str(&format!(
        "\n{} removed · {} changed · {} added · {} as before\n",
        changes.removed.len(),
        changes.changed.len(),
        changes.added.len(),
        changes.unchanged
    ));
    text
}

fn changed_params(old: &Plan, new: &Plan) -> Vec<(String, String, String)> {
    let was = |name: &str| old.params.iter().find(|(known, _)| known == name).map(|(_, value)| value);
    new.params
        .iter()
        .filter(|(name, value)| was(name) != Some(value))
        .map(|(name, value)| {
            (name.clone(), was(name).map_or_else(|| "nothing".to_owned(), ToString::to_string), value.to_string())
        })
        .collect()
}

pub(crate) fn changes_json(old: &Plan, new: &Plan, changes: &Changes) -> Json {
    let params: Vec<Json> = changed_params(old, new)
        .into_iter()
        .map(|(name, was, now)| json!({ "name": name, "was": was, "now": now }))
        .collect();
    json!({
        "old": old.digest(),
        "new": new.digest(),
        "params": params,
        "removed": changes.removed,
        "changed": changes.changed,
        "added": changes.added,
        "unchanged": changes.unchanged,
    })
}

/// A text with holes as people read them, harmless to a terminal.
fn shown(text: &str) -> String {
    printable(&hole::render(text))
}
