//! How long a plan will take, as people and machines read it.
//!
//! Owns the words beside a plan's lines, those of its windows, and the JSON, documented in `docs/json.md`. Never adds
//! anything up.

use super::text::{count, printable, took};
use piton_core::Duration;
use piton_core::plan::Plan;
use piton_core::plan::estimate::{Estimate, Measured, Span, WindowEstimate};
use serde_json::{Value as Json, json};

/// Columns of a line's time.
pub(crate) const TIME_COLUMNS: usize = 7;

/// `~1.2s`, or `≈1.2s` where only rehearsals tell; empty where nothing is known.
pub(crate) fn about(span: Span) -> String {
    let sign = if span.rehearsed { '≈' } else { '~' };
    let known = span.us > 0 || span.untimed == 0;
    if known { format!("{sign}{}", took(span.us)) } else { String::new() }
}

/// The same of a scope, in which something may never have been timed.
pub(crate) fn about_scope(span: Span) -> String {
    let more = if span.untimed > 0 { " and more" } else { "" };
    match about(span) {
        about if about.is_empty() => about,
        about => format!("   {about}{more}"),
    }
}

/// The lines below a window: the pause beside its budget, the way back beside its reserve.
pub(crate) fn window(told: &WindowEstimate) -> Vec<String> {
    let after = Duration::from_ms(told.budget.as_ms().saturating_sub(told.reserve.as_ms()));
    let mut parts = Vec::new();
    let mut add = |what: &str, span: Span, of: Duration| {
        let about = about(span);
        parts.extend((!about.is_empty()).then(|| format!("{what} {about} of {of}")));
    };
    add("pause", told.pause, told.budget);
    if let Some(until) = told.until_commit {
        add("until its commit point", until, after);
    }
    if let Some(back) = told.back {
        add("undos", back, told.reserve);
    }
    let mut lines: Vec<String> = (!parts.is_empty()).then(|| parts.join(" · ")).into_iter().collect();
    lines.extend(told.measured.map(|it| measured(it, "run")));
    lines.extend(told.rehearsed.map(|it| measured(it, "rehearsal")));
    lines
}

fn measured(measured: Measured, whose: &str) -> String {
    let mut parts = Vec::new();
    if measured.pauses > 0 {
        parts.push(format!("pause up to {} in {}", took(measured.longest_us), count(measured.pauses, whose)));
    }
    if measured.backs > 0 {
        parts.push(format!("going back up to {} in {}", took(measured.longest_back_us), count(measured.backs, whose)));
    }
    format!("measured: {}", parts.join(" · "))
}

/// The whole, and what a window cannot keep.
pub(crate) fn total(estimate: &Estimate) -> String {
    let mut from = Vec::new();
    from.extend((estimate.runs > 0).then(|| count(estimate.runs.into(), "past run")));
    from.extend((estimate.rehearsals > 0).then(|| count(estimate.rehearsals.into(), "rehearsal")));
    let mut text = String::new();
    let about = about(estimate.total);
    if !from.is_empty() && !about.is_empty() {
        text.push_str(&format!("takes {about}, as {} did", from.join(" and ")));
        if estimate.total.untimed > 0 {
            text.push_str(&format!(" · {} never timed", count(estimate.total.untimed, "line")));
        }
        if estimate.people > 0 {
            text.push_str(&format!(" · {} of people not counted", count(estimate.people, "answer")));
        }
        text.push('\n');
    }
    for window in &estimate.windows {
        for warning in &window.warnings {
            text.push_str(&format!("warning: the window \"{}\": {warning}\n", printable(&window.path.name())));
        }
    }
    text
}

pub(crate) fn json(plan: &Plan, estimate: &Estimate) -> Json {
    let line = |(at, span): &(usize, Span)| {
        let mut told = json!({ "path": plan.entries.get(*at).map(|entry| &entry.path) });
        add(&mut told, *span);
        told
    };
    let mut told = json!({
        "runs": estimate.runs,
        "rehearsals": estimate.rehearsals,
        "people": estimate.people,
        "lines": estimate.lines.iter().map(line).collect::<Vec<_>>(),
        "windows": estimate.windows.iter().map(window_json).collect::<Vec<_>>(),
    });
    add(&mut told, estimate.total);
    told
}

fn add(to: &mut Json, span: Span) {
    if let (Some(to), Json::Object(span)) = (to.as_object_mut(), span_json(span)) {
        to.extend(span);
    }
}

fn span_json(span: Span) -> Json {
    json!({ "about_ms": ms(span.us), "untimed": span.untimed, "rehearsed": span.rehearsed })
}

fn window_json(told: &WindowEstimate) -> Json {
    let measured = |it: Option<Measured>| {
        it.map(|it| {
            json!({
                "pauses": it.pauses,
                "longest_ms": ms(it.longest_us),
                "longest_until_commit_ms": ms(it.longest_until_commit_us),
                "backs": it.backs,
                "longest_back_ms": ms(it.longest_back_us),
            })
        })
    };
    json!({
        "path": told.path,
        "budget_ms": told.budget.as_ms(),
        "reserve_ms": told.reserve.as_ms(),
        "pause": span_json(told.pause),
        "until_commit": told.until_commit.map(span_json),
        "back": told.back.map(span_json),
        "measured_in_runs": measured(told.measured),
        "measured_in_rehearsals": measured(told.rehearsed),
        "warnings": told.warnings.iter().map(ToString::to_string).collect::<Vec<_>>(),
    })
}

/// As long as is said elsewhere, and not a moment shorter than it was.
fn ms(us: u64) -> u64 {
    us.div_ceil(1000)
}
