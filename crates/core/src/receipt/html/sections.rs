//! The sections between the timeline and the steps: parameters, windows, people, holds, what was taken back, values.
//!
//! Owns what each shows; a section of which nothing happened is left out. Words that the Markdown form has too are its.

use super::super::markdown::did;
use super::super::statement::*;
use super::super::time::human;
use super::markup::{Markup, code, words};
use super::timeline::moment;
use crate::event::UndoReason;
use crate::request::Ask;
use crate::value::Value;

pub(super) fn given(page: &mut Markup, told: &Predicate) {
    if told.params.is_empty() && told.secrets.is_empty() {
        return;
    }
    page.heading("given", "Parameters");
    let rows: Vec<_> =
        told.params.iter().map(|param| vec![code(&param.name), code(&param.value.to_string())]).collect();
    page.table(&["Parameter", "Value"], &rows);
    if told.secrets.is_empty() {
        return;
    }
    page.raw(
        "<p class=\"muted\">Secrets stand here as hashes of their values, keyed with a key that the store keeps: ",
    );
    page.raw("the same value has the same hash, and the hash tells nothing else.</p>\n");
    let row =
        |secret: &SecretTold| vec![code(&secret.name), code(&secret.source), code(&secret.keyed_hash.to_string())];
    page.table(&["Secret", "Source", "Keyed hash"], &told.secrets.iter().map(row).collect::<Vec<_>>());
}

/// Width of a window's bar, tenths.
const BAR: i64 = 10_000;

pub(super) fn windows(page: &mut Markup, told: &Predicate) {
    if told.windows.is_empty() {
        return;
    }
    page.heading("windows", "Windows");
    for (index, window) in told.windows.iter().enumerate() {
        page.raw("<div class=\"card\"><h3>").clipped(window.path.as_str(), 300).raw(" ");
        let (mood, verdict) = verdict(window);
        page.raw("<span class=\"how ").raw(mood).raw("\">").raw(verdict).raw("</span></h3>\n");
        let next = told.windows[index + 1..].iter().find(|next| next.path == window.path);
        let until = next.map_or(u64::MAX, |next| next.record);
        let commit = told
            .commit_points
            .iter()
            .find(|point| point.record > window.record && point.record < until && point.path.is_within(&window.path));
        let commit_us = commit.map(|point| point.at.0.saturating_sub(window.opened_at.0).max(0).unsigned_abs());
        bar(page, window, commit_us);
        page.raw("<p>measured <b>")
            .text(&window.measured_us.map_or("open".to_owned(), human))
            .raw("</b> of a budget of <b>");
        page.text(&window.budget.to_string()).raw("</b>, of which ").text(&window.reserve.to_string());
        page.raw(" in reserve for going back · opened ").text(&moment(window.opened_at)).raw(" UTC");
        match (commit, commit_us) {
            (Some(point), Some(us)) => {
                page.raw(" · commit point ").code(&point.path.name()).raw(" after ").text(&human(us));
            }
            _ if window.committed => {
                page.raw(" · commit point passed");
            }
            _ => {
                page.raw(" · no commit point passed");
            }
        }
        if window.take_overs > 0 {
            page.raw(" · its watchdog took over ").number(window.take_overs);
            page.raw(if window.take_overs == 1 { " time" } else { " times" });
        }
        if window.same_boot == Some(false) {
            page.raw(" · by the wall clock, since the machine was restarted meanwhile");
        }
        if let Some(why) = &window.going_back {
            page.raw("<br>went back because ").code(why);
        }
        if let Some(us) = window.rehearsed_back_us {
            page.raw("<br>rehearsed: going back took ").text(&human(us));
            page.raw(" of a reserve of ").text(&window.reserve.to_string());
        }
        page.raw("</p></div>\n");
    }
}

fn verdict(window: &WindowTold) -> (&'static str, &'static str) {
    match (window.went_back, window.within_budget) {
        (None, _) => ("bad", "still open"),
        (Some(true), Some(false)) => ("bad", "went back, over budget"),
        (Some(true), _) => ("warn", "went back, within budget"),
        (Some(false), Some(true)) => ("good", "within budget"),
        (Some(false), _) => ("bad", "over budget"),
    }
}

/// The budget as a bar: what was used of it, the reserve at its end, the commit point.
fn bar(page: &mut Markup, window: &WindowTold, commit_us: Option<u64>) {
    let budget = u128::from(window.budget.as_ms()) * 1000;
    let measured = u128::from(window.measured_us.unwrap_or(0));
    let whole = budget.max(measured).max(1);
    let x = |us: u128| i64::try_from(us.min(whole) * BAR.unsigned_abs() as u128 / whole).unwrap_or(BAR);
    let limit = budget.saturating_sub(u128::from(window.reserve.as_ms()) * 1000);
    let over = window.within_budget == Some(false);
    let mut parts = vec![
        ("budget", 0, x(budget), 0, 240),
        ("reserve", x(limit), x(budget), 0, 240),
        (if over { "failed" } else { "work" }, 0, x(measured), 60, 120),
    ];
    parts.extend(commit_us.map(|us| ("commit", x(u128::from(us)), x(u128::from(us)), 0, 240)));
    page.raw("<svg class=\"bar\" role=\"img\" aria-label=\"Budget and measured time\" viewBox=\"0 0 1000 24\" ");
    page.raw("preserveAspectRatio=\"none\">");
    for (class, from, to, y, height) in parts {
        page.raw("<rect class=\"").raw(class).raw("\" x=\"").tenths(from).raw("\" y=\"").tenths(y);
        page.raw("\" width=\"").tenths((to - from).max(30)).raw("\" height=\"").tenths(height).raw("\"/>");
    }
    page.raw("</svg>\n");
}

/// What was asked of people, and everything they did, in the order of the journal.
pub(super) fn people(page: &mut Markup, told: &Predicate) {
    let asked = told.questions.iter().map(|question| {
        let mut what = Markup::new();
        what.raw("asked for ").push(&wanted(&question.ask));
        if let Some(at) = question.expires_at {
            what.raw(", until ").text(&moment(at));
        }
        let at = words(&moment(question.at));
        let place = code(question.path.as_str());
        (question.record, vec![at, words("Piton"), what, place, code(&question.shown.short()), words("–")])
    });
    let answered = told.people.iter().map(|person| {
        let mut what = words(did(person.did));
        for field in &person.fields {
            what.raw(" ").code(&format!("{} = {}", field.name, field.value));
        }
        let mut who = Markup::new();
        who.raw("<b>").clipped(&person.who.name, 100).raw("</b> <span class=\"muted\">uid ");
        who.number(u64::from(person.who.uid)).raw(" on ").clipped(&person.who.host, 100).raw("</span>");
        let place = code(person.path.as_ref().map_or("", |path| path.as_str()));
        let saw = person.saw.map_or(words("–"), |saw| code(&saw.short()));
        let why = code(person.why.as_deref().unwrap_or_default());
        (person.record, vec![words(&moment(person.at)), who, what, place, saw, why])
    });
    let mut rows: Vec<_> = asked.chain(answered).collect();
    if rows.is_empty() {
        return;
    }
    rows.sort_by_key(|(record, _)| *record);
    page.heading("people", "People");
    page.raw(
        "<p class=\"muted\">A name is what the person said; uid and host are the operating system's word. “Saw” is ",
    );
    page.raw("the start of the hash of what was shown.</p>\n");
    let rows: Vec<_> = rows.into_iter().map(|(_, row)| row).collect();
    page.table(&["When (UTC)", "Who", "Did", "Where", "Saw", "Why"], &rows);
}

fn wanted(ask: &Ask) -> Markup {
    let mut what = Markup::new();
    match ask {
        Ask::Approve { by, count, not_starter, show, .. } => {
            what.number(u64::from(*count)).raw(if *count == 1 { " approval by " } else { " approvals by " }).code(by);
            if *not_starter {
                what.raw(", not by who started the run");
            }
            if *show != Value::None {
                what.raw(", showing ").code(&show.to_string());
            }
        }
        Ask::Fields { fields } => {
            let names: Vec<&str> = fields.iter().map(|(name, _)| name.as_str()).collect();
            what.code(&names.join(", "));
        }
        Ask::Manual { instructions } => {
            what.raw("this to be done by hand: ").code(instructions);
        }
    }
    what
}

pub(super) fn holds(page: &mut Markup, told: &Predicate) {
    if !told.holds.is_empty() {
        page.heading("holds", "Holds");
        let row = |hold: &HoldTold| {
            let place = hold.path.as_ref().map_or(words("the run"), |path| code(path.as_str()));
            vec![words(&moment(hold.at)), place, code(&hold.text)]
        };
        let rows: Vec<_> = told.holds.iter().map(row).collect();
        page.table(&["When (UTC)", "Where", "Why"], &rows);
    }
    let row = |caught: &CaughtTold, item: &CaughtItem| {
        vec![words(&moment(caught.at)), code(caught.scope.as_str()), code(&item.key), code(&item.message)]
    };
    let rows: Vec<_> =
        told.caught.iter().flat_map(|caught| caught.failures.iter().map(move |item| row(caught, item))).collect();
    if !rows.is_empty() {
        page.heading("caught", "Failures that the runbook caught");
        page.table(&["When (UTC)", "Scope", "Item", "Failure"], &rows);
    }
}

pub(super) fn undos(page: &mut Markup, told: &Predicate) {
    if told.undos.is_empty() {
        return;
    }
    page.heading("undos", "Taken back");
    for undo in &told.undos {
        page.raw("<h3>");
        match undo.scope.is_root() {
            true => page.raw("The whole run"),
            false => page.clipped(undo.scope.as_str(), 300),
        };
        page.raw("</h3>\n<p>").text(&moment(undo.began_at)).raw(" UTC, ");
        match &undo.reason {
            UndoReason::Asked { decision } => page.raw("asked by ").code(&decision.by.to_string()),
            UndoReason::Window { why, .. } => page.raw("by itself: the window went back, because ").code(why),
            UndoReason::Guard { guard, why } => {
                page.raw("by itself: the guard ").code(guard.as_str()).raw(" tripped, because ").code(why)
            }
            UndoReason::Redo { decision, .. } => page.raw("to be redone, asked by ").code(&decision.by.to_string()),
        };
        match undo.finished_at {
            Some(at) => page.raw("; finished ").text(&moment(at)).raw(" UTC.</p>\n"),
            None => page.raw("; <strong>not finished</strong>.</p>\n"),
        };
        let row = |step: &UndoneTold| {
            let last = step.attempts.last();
            let failure = step.attempts.iter().rev().find_map(|attempt| attempt.failure.as_ref());
            let mut attempts = Markup::new();
            attempts.number(step.attempts.len() as u64);
            vec![
                code(step.path.as_str()),
                code(last.and_then(|attempt| attempt.action.as_deref()).unwrap_or_default()),
                words(if step.undone { "taken back" } else { "**not taken back**" }),
                attempts,
                code(&failure.map_or(String::new(), |failure| failure.to_string())),
            ]
        };
        let rows: Vec<_> = undo.steps.iter().map(row).collect();
        page.table(&["Step", "Undo", "Result", "Attempts", "Last failure"], &rows);
    }
}

pub(super) fn values(page: &mut Markup, told: &Predicate) {
    if !told.emitted.is_empty() {
        page.heading("values", "Values");
        let rows: Vec<_> =
            told.emitted.iter().map(|emitted| vec![code(&emitted.name), code(&emitted.value.to_string())]).collect();
        page.table(&["Name", "Value"], &rows);
    }
    if !told.notes.is_empty() {
        page.heading("notes", "Notes");
    }
    for note in &told.notes {
        page.raw("<h3>").clipped(note.path.as_str(), 300).raw("</h3>\n").block(&note.markdown);
    }
}
