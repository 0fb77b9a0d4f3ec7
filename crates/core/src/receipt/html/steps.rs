//! Every step, grouped by scope: how it came to be done, what it did, what came back, what its postcondition saw.
//!
//! Owns the groups, and which of them are unfolded on the screen; on paper all are.

use super::super::markdown::{child_end, how};
use super::super::statement::*;
use super::super::time::{Instant, human};
use super::markup::Markup;
use super::spans::Spans;
use super::timeline::moment;
use super::tree::{Tree, is_notable};

/// Scopes with at most so many steps are one table; larger ones have a group for each scope in them.
const MAX_TABLE: u64 = 40;
/// Runs with at most so many steps are shown unfolded.
const MAX_UNFOLDED: usize = 120;
/// Steps beside each other in one table; more get a group for each so many.
const MAX_BESIDE: usize = 100;

pub(super) fn steps(page: &mut Markup, told: &Predicate, tree: &Tree, spans: &Spans) {
    if told.steps.is_empty() {
        return;
    }
    page.heading("steps", "Steps");
    let unfolded = told.steps.len() <= MAX_UNFOLDED;
    if !unfolded {
        page.raw(
            "<p class=\"muted\">Scopes in which something is worth a look are unfolded; the others unfold with a ",
        );
        page.raw("click, and in print.</p>\n");
    }
    Groups { told, tree, spans, unfolded }.inside(page, 0);
}

struct Groups<'a> {
    told: &'a Predicate,
    tree: &'a Tree,
    spans: &'a Spans,
    unfolded: bool,
}

impl Groups<'_> {
    /// Steps right inside the scope as tables, scopes inside it as groups, in the order of the journal.
    fn inside(&self, page: &mut Markup, at: usize) {
        let mut beside: Vec<usize> = Vec::new();
        for child in &self.tree.nodes[at].children {
            let node = &self.tree.nodes[*child];
            beside.extend(&node.rows);
            if !node.children.is_empty() {
                self.tables(page, &beside, at);
                beside.clear();
                self.group(page, *child);
            }
        }
        self.tables(page, &beside, at);
    }

    fn tables(&self, page: &mut Markup, rows: &[usize], scope: usize) {
        if rows.len() <= MAX_BESIDE {
            return self.table(page, rows, scope);
        }
        for part in rows.chunks(MAX_BESIDE) {
            let (Some(first), Some(last)) = (part.first(), part.last()) else { continue };
            let notable = part.iter().any(|row| is_notable(&self.told.steps[*row]));
            page.raw(if notable || self.unfolded {
                "<details class=\"group\" open>"
            } else {
                "<details class=\"group\">"
            });
            page.raw("<summary>Steps ").number(*first as u64 + 1).raw(" to ").number(*last as u64 + 1);
            page.raw("</summary>\n");
            self.table(page, part, scope);
            page.raw("</details>\n");
        }
    }

    fn group(&self, page: &mut Markup, at: usize) {
        let node = &self.tree.nodes[at];
        let open = self.unfolded || node.notable;
        page.raw(if open { "<details class=\"group\" open><summary>" } else { "<details class=\"group\"><summary>" });
        page.clipped(&node.name, 200).raw(" <span class=\"muted\">");
        page.number(node.steps).raw(if node.steps == 1 { " step" } else { " steps" });
        let rows = self.tree.rows(&[at]);
        let spans = || rows.iter().flat_map(|row| &self.spans.steps[*row]);
        if let (Some(from), Some(to)) = (spans().map(|span| span.from).min(), spans().map(|span| span.to).max()) {
            page.raw(", ").text(&human(to.abs_diff(from)));
        }
        page.raw("</span></summary>\n");
        if node.steps <= MAX_TABLE {
            // Those of the scope itself stand before it.
            let inner: Vec<usize> = rows.into_iter().filter(|row| !node.rows.contains(row)).collect();
            self.table(page, &inner, at);
        } else {
            self.inside(page, at);
        }
        page.raw("</details>\n");
    }

    fn table(&self, page: &mut Markup, rows: &[usize], scope: usize) {
        if rows.is_empty() {
            return;
        }
        page.raw(
            "<table class=\"steps\"><colgroup><col class=\"n\"><col><col class=\"h\"><col class=\"t\"></colgroup>",
        );
        page.raw("<thead><tr><th scope=\"col\">#</th><th scope=\"col\">Step</th>");
        page.raw("<th scope=\"col\">How</th><th scope=\"col\">Time</th></tr></thead>\n<tbody>\n");
        let scope = self.tree.nodes[scope].path.as_str();
        for row in rows {
            let step = &self.told.steps[*row];
            let path = step.path.as_str();
            let below = path.strip_prefix(scope).map_or(path, |below| below.trim_start_matches('/'));
            self.row(page, *row, step, below);
        }
        page.raw("</tbody></table>\n");
    }

    fn row(&self, page: &mut Markup, row: usize, step: &StepTold, name: &str) {
        let number = row as u64 + 1;
        page.raw("<tr id=\"step-").number(number).raw("\"><td>").number(number).raw("</td><td><b>");
        page.clipped(name, 300).raw("</b> <span class=\"muted\">").clipped(&step.at, 120).raw("</span>");
        if step.action.is_some() || step.outcome.is_some() {
            page.raw("<p>");
            if let Some(action) = &step.action {
                page.code(action).raw(" ");
            }
            if let Some(outcome) = &step.outcome {
                page.raw("<i>gave</i> ").code(outcome);
            }
            page.raw("</p>");
        }
        if let Some(evidence) = &step.evidence {
            page.raw("<p class=\"saw\"><i>ensures</i> ").code(&evidence.check).raw(" <i>saw</i> ");
            page.code(&evidence.saw).raw("</p>");
        }
        for child in step.attempts.iter().filter_map(|attempt| attempt.child.as_ref()) {
            page.raw("<p><i>child run</i> ").code(child.run.as_str()).raw(" ").code(&child_end(child)).raw("</p>");
        }
        for attempt in &step.attempts {
            let Some(failure) = &attempt.failure else { continue };
            page.raw("<p class=\"bad\">attempt ").number(u64::from(attempt.attempt)).raw(": ");
            page.code(&failure.to_string());
            page.raw(if attempt.never_began { ", proven never to have begun</p>" } else { "</p>" });
        }
        if !step.undo.is_empty() {
            page.raw("<p><i>undo</i> ");
            for action in step.undo.iter().take(4) {
                page.code(action).raw(" ");
            }
            page.raw("</p>");
        }
        page.raw("</td><td>");
        page.raw("<span class=\"how ").raw(mood(step)).raw("\">").words(how(step).trim_matches('*')).raw("</span>");
        if step.attempts.len() > 1 {
            page.raw("<p class=\"muted\">").number(step.attempts.len() as u64).raw(" attempts</p>");
        }
        page.raw("</td><td>").raw("<b>");
        match step.took_us {
            Some(us) => page.text(&human(us)),
            None => page.raw("–"),
        };
        page.raw("</b><p class=\"muted\">").text(&self.clock(step.started_at)).raw("</p></td></tr>\n");
    }

    /// The time of day, with the day where it is another than the run's first.
    fn clock(&self, at: Instant) -> String {
        let (first, own) = (moment(self.told.run.started_at), moment(at));
        match (first.split_once(' '), own.split_once(' ')) {
            (Some((day, _)), Some((same, time))) if day == same => time.to_owned(),
            _ => own,
        }
    }
}

/// The class in the style sheet.
fn mood(step: &StepTold) -> &'static str {
    use crate::event::How;
    match step.status {
        StepStatus::Dropped => "warn",
        StepStatus::Done if matches!(step.how, Some(How::Waived)) => "warn",
        StepStatus::Done if matches!(step.how, Some(How::Kept | How::SaidDone)) => "note",
        StepStatus::Done => "good",
        StepStatus::Failed | StepStatus::Held => "bad",
        StepStatus::Running | StepStatus::Waiting => "note",
        StepStatus::Undone => "gone",
    }
}
