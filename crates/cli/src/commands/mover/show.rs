//! How a mover's figures look to a person, to a script, and to the engine that runs it as a step.
//!
//! Owns their text. Values of rows cannot control the terminal.

use crate::print;
use crate::ui::text::{printable, took};
use piton_move::{Difference, Phase, Preflight, Progress, Refusal};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write as _};

/// Digits in groups of three.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

/// Says on standard error how far a move is: one line that changes on a terminal, else lines that an engine reads.
#[derive(Debug, Default)]
pub(super) struct Teller {
    last: String,
}

impl Teller {
    pub(super) fn tell(&mut self, progress: &Progress) {
        let terminal = io::stderr().is_terminal();
        let text = if terminal { for_person(progress) } else { for_engine(progress) };
        if text == self.last {
            return;
        }
        let mut stderr = io::stderr().lock();
        // Nowhere is left to say that standard error is gone.
        let _ = if terminal { write!(stderr, "\r\x1b[2K{text}") } else { writeln!(stderr, "{text}") };
        let _ = stderr.flush();
        self.last = text;
    }

    pub(super) fn end(&mut self) {
        if io::stderr().is_terminal() && !self.last.is_empty() {
            print::note("");
        }
    }
}

fn for_engine(progress: &Progress) -> String {
    let Progress { copied_rows, total_rows, lag, .. } = progress;
    match (progress.phase, lag) {
        (Phase::Copying, _) => format!("piton:progress {copied_rows}/{total_rows} rows"),
        (Phase::Following, Some(lag)) => format!("{} ms behind", lag.as_millis()),
        (Phase::Following, None) => "following".to_owned(),
    }
}

fn for_person(progress: &Progress) -> String {
    let Progress { copied_rows, copied_bytes, total_rows, rows_per_s, remaining, lag, throttled, .. } = progress;
    let mut text = match progress.phase {
        Phase::Copying => format!(
            "copying  {} / {} rows  {} MB  {}/s",
            grouped(*copied_rows),
            grouped(*total_rows),
            copied_bytes / 1_000_000,
            grouped(*rows_per_s as u64)
        ),
        Phase::Following => format!("following  {} changes", grouped(progress.applied_changes)),
    };
    if let Some(remaining) = remaining.filter(|_| progress.phase == Phase::Copying) {
        let _ = write!(text, "  {} left", took(remaining.as_micros() as u64));
    }
    if let Some(lag) = lag {
        let _ = write!(text, "  {} ms behind", lag.as_millis());
    }
    if let Some(why) = throttled {
        let _ = write!(text, "  pausing: {}", printable(why));
    }
    text
}

fn refusal_json(refusal: &Refusal) -> Value {
    json!({"check": refusal.check, "subject": refusal.subject, "what": refusal.what, "remedy": refusal.remedy})
}

pub(super) fn preflight_json(found: &Preflight) -> Value {
    json!({
        "refusals": found.refusals.iter().map(refusal_json).collect::<Vec<_>>(),
        "notes": found.notes.iter().map(refusal_json).collect::<Vec<_>>(),
        "estimated_rows": found.estimated_rows,
        "estimated_bytes": found.estimated_bytes,
    })
}

pub(super) fn preflight(found: &Preflight) -> String {
    let (rows, megabytes) = (grouped(found.estimated_rows), found.estimated_bytes / 1_000_000);
    let mut text = format!("about {rows} rows, {megabytes} MB\n");
    for note in &found.notes {
        let _ = writeln!(text, "before the cutover: {}", printable(&note.to_string()));
    }
    if found.refusals.is_empty() {
        text.push_str("nothing stands in the way of the move\n");
    }
    text
}

pub(super) fn difference_json(found: &Difference) -> Value {
    json!({
        "table": found.table.to_string(), "key": found.key, "source": found.source, "target": found.target,
        "columns": found.columns,
    })
}

pub(super) fn differences(all: &[Difference]) -> String {
    let mut text = String::new();
    for found in all.iter().take(MOST_SHOWN) {
        let what = match (&found.source, &found.target) {
            (Some(source), None) => format!("only on the source: {source}"),
            (None, Some(target)) => format!("only on the target: {target}"),
            _ => found.columns.join("; "),
        };
        let _ = writeln!(text, "  {}", printable(&format!("{} {}: {what}", found.table, found.key)));
    }
    if all.len() > MOST_SHOWN {
        let _ = writeln!(text, "  and {} more", all.len() - MOST_SHOWN);
    }
    text.truncate(text.trim_end().len());
    text
}

/// Differences that are shown; more help nobody.
const MOST_SHOWN: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_stand_in_groups() {
        assert_eq!([0, 999, 1000, 1_234_567].map(grouped), ["0", "999", "1 000", "1 234 567"]);
    }
}
