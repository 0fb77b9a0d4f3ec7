//! The receipt as a page for people, in Markdown.
//!
//! Owns what is shown, in which order, and the escaping: names come from runbooks, databases and people, and none of
//! them may forge a row, a heading or a link. The JSON is the receipt; this is its reading aid.

use super::statement::*;
use super::time::human;
use crate::event::{Finish, How, UndoReason};
use crate::guard::Then;
use crate::request::Ask;
use crate::value::Value;
use std::fmt::Write as _;

/// Longest text in a cell, characters.
const MAX_CELL_CHARS: usize = 160;
/// Longest note shown, characters; the JSON has it whole.
const MAX_NOTE_CHARS: usize = 4000;

/// Characters that show nothing or change how others are shown: controls, zero-width and bidirectional marks.
pub(super) fn is_unprintable(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// Text as it stands, in a code span: nothing in it is markup. Safe in a table's cell, too.
fn code(text: &str) -> String {
    let mut line = String::new();
    for c in text.chars().take(MAX_CELL_CHARS) {
        match c {
            // A table's cell ends at a pipe, in a code span too; a backslash before ours would undo it.
            '|' if line.ends_with('\\') => line.push_str(" \\|"),
            '|' => line.push_str("\\|"),
            '\n' | '\t' | '\r' => line.push(' '),
            c if is_unprintable(c) => line.push('\u{fffd}'),
            c => line.push(c),
        }
    }
    if text.chars().nth(MAX_CELL_CHARS).is_some() {
        line.push('…');
    }
    if line.trim().is_empty() {
        return "–".to_owned();
    }
    if line.ends_with('\\') {
        // It would escape the pipe after the cell.
        line.push(' ');
    }
    let fence = "`".repeat(longest_run(&line) + 1);
    let pad = if line.starts_with(['`', ' ']) || line.ends_with(['`', ' ']) { " " } else { "" };
    format!("{fence}{pad}{line}{pad}{fence}")
}

fn longest_run(text: &str) -> usize {
    text.split(|c| c != '`').map(str::len).max().unwrap_or(0)
}

/// Text of several lines, as it stands.
fn block(text: &str) -> String {
    let shown: String = (text.chars().take(MAX_NOTE_CHARS))
        .map(|c| if c != '\n' && is_unprintable(c) { '\u{fffd}' } else { c })
        .collect();
    let fence = "`".repeat(longest_run(&shown).max(2) + 1);
    format!("{fence}text\n{shown}\n{fence}\n")
}

/// The receipt as a page.
pub fn markdown(statement: &Statement) -> String {
    let told = &statement.predicate;
    let mut page = String::new();
    summary(&mut page, told);
    windows(&mut page, told);
    people(&mut page, told);
    beside(&mut page, told);
    holds(&mut page, told);
    undos(&mut page, told);
    steps(&mut page, told);
    children(&mut page, told);
    emitted(&mut page, told);
    verification(&mut page, told);
    page
}

/// A heading and a table, left out where there are no rows.
fn table(page: &mut String, heading: &str, columns: &[&str], rows: Vec<Vec<String>>) {
    if rows.is_empty() {
        return;
    }
    let _ = write!(page, "\n## {heading}\n\n| {} |\n|{}\n", columns.join(" | "), "---|".repeat(columns.len()));
    for row in rows {
        let _ = writeln!(page, "| {} |", row.join(" | "));
    }
}

fn summary(page: &mut String, told: &Predicate) {
    let run = &told.run;
    let took = u64::try_from(run.last_at.0.saturating_sub(run.started_at.0)).unwrap_or(0);
    let _ = writeln!(page, "# Receipt of run {}\n", code(run.id.as_str()));
    let mut line = |name: &str, text: String| {
        let _ = writeln!(page, "- **{name}**: {text}");
    };
    line("Runbook", format!("{} ({}, {})", code(&run.title), code(&told.runbook.file), told.runbook.digest.short()));
    let status = match run.finished {
        Some(Finish::Succeeded) => "succeeded",
        Some(Finish::Aborted) => "aborted: what was done stays",
        Some(Finish::Undone) => "undone: everything that could be taken back was",
        None => run.status,
    };
    line("Status", format!("{status}{}", if run.finished.is_none() { " (not finished)" } else { "" }));
    if let Some(rehearsal) = &run.rehearsal {
        line("Rehearsal", format!("{rehearsal}, on stand-in systems, says who started it"));
    }
    if let Some(parent) = &run.parent {
        line("Part of", format!("run {}, its step {}", code(parent.run.as_str()), code(parent.path.as_str())));
    }
    line("Started", format!("{} by {}", run.started_at, code(&told.started_by.to_string())));
    line("Last record", format!("{} ({} later)", run.last_at, human(took)));
    if let Some(plan) = &told.plan {
        line("Plan", format!("bound to {}", plan.short()));
    }
    let params: Vec<String> =
        told.params.iter().map(|param| code(&format!("{} = {}", param.name, param.value))).collect();
    if !params.is_empty() {
        line("Parameters", params.join(", "));
    }
    line("Steps", counts(&told.counts));
    line("Engines", engines(told));
    if let Some(value) = run.value.as_ref().filter(|value| **value != Value::None) {
        line("Result", code(&value.to_string()));
    }
}

pub(super) fn counts(counts: &Counts) -> String {
    let mut parts = vec![format!("{} of {} done", counts.done, counts.steps)];
    for (count, word) in [
        (counts.already_true, "already true"),
        (counts.recovered, "recovered by probing"),
        (counts.adopted, "adopted from a command that survived"),
        (counts.said_done, "done by a person's word"),
        (counts.waived, "**waived**"),
        (counts.kept, "kept as done before"),
        (counts.failed, "failed"),
        (counts.held, "held"),
        (counts.dropped, "dropped"),
        (counts.undone, "taken back"),
    ] {
        if count > 0 {
            parts.push(format!("{count} {word}"));
        }
    }
    format!("{}; {} attempts", parts.join(", "), counts.attempts)
}

fn engines(told: &Predicate) -> String {
    let lives = match (told.engines.len(), told.counts.take_overs) {
        (1, 0) => "one, without interruption".to_owned(),
        (lives, 0) => format!("{lives} lives"),
        (lives, take_overs) => format!("{lives} lives, {take_overs} of them a watchdog that took over"),
    };
    // Other versions than the one that started it, each once.
    let mut others: Vec<&str> = Vec::new();
    for version in told.engines.iter().filter_map(|engine| engine.piton.as_deref()) {
        if version != told.run.piton && !others.contains(&version) {
            others.push(version);
        }
    }
    if others.is_empty() { lives } else { format!("{lives}, also by Piton {}", code(&others.join(", "))) }
}

fn windows(page: &mut String, told: &Predicate) {
    let rows = told.windows.iter().map(|window| {
        let measured = window.measured_us.map_or("open".to_owned(), human);
        let verdict = match (window.went_back, window.within_budget) {
            (None, _) => "open".to_owned(),
            (Some(true), within) => {
                let late = if within == Some(false) { ", **over budget**" } else { "" };
                let rehearsed = window.rehearsed_back_us.map_or_else(String::new, |us| {
                    format!("; it took {} of a reserve of {}", human(us), window.reserve)
                });
                format!("went back{late}: {}{rehearsed}", code(window.going_back.as_deref().unwrap_or_default()))
            }
            (Some(false), Some(true)) => "within budget".to_owned(),
            (Some(false), _) => "**over budget**".to_owned(),
        };
        let clock = if window.same_boot == Some(false) { " (wall clock: the machine was restarted)" } else { "" };
        vec![
            code(window.path.as_str()),
            window.budget.to_string(),
            format!("{measured}{clock}"),
            verdict,
            if window.committed { "passed".to_owned() } else { "–".to_owned() },
            window.take_overs.to_string(),
        ]
    });
    let columns = ["Window", "Budget", "Measured", "Result", "Commit point", "Take-overs"];
    table(page, "Windows", &columns, rows.collect());
}

pub(super) fn did(did: Did) -> &'static str {
    match did {
        Did::Approved => "approved",
        Did::Rejected => "rejected",
        Did::FilledIn => "filled in",
        Did::SaidDone => "said it is done",
        Did::ChoseRetry => "chose to retry",
        Did::ChoseDone => "decided: it was done",
        Did::ChoseNotDone => "decided: it was not done",
        Did::ChoseWaive => "**waived**",
        Did::ChoseKeep => "kept what was done",
        Did::ChoseRedo => "chose to redo",
        Did::ChoseDepart => "**departed from the plan**",
        Did::AskedUndo => "asked to take back",
        Did::AskedRedo => "asked to redo",
        Did::AskedAbort => "asked to abort",
        Did::BrokeLock => "**broke its lock**",
        Did::Resumed => "resumed",
        Did::Edited => "**went on with an edited runbook**",
    }
}

fn people(page: &mut String, told: &Predicate) {
    let asked = told.questions.iter().map(|question| {
        let what = match &question.ask {
            Ask::Approve { by, count, not_starter, .. } => {
                let who = if *not_starter { ", not by who started it" } else { "" };
                format!("{count} approval{} by {}{who}", if *count == 1 { "" } else { "s" }, code(by))
            }
            Ask::Fields { fields } => {
                code(&fields.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", "))
            }
            Ask::Manual { instructions } => code(instructions),
        };
        let (path, shown) = (code(question.path.as_str()), question.shown.short());
        (
            question.record,
            vec![question.at.to_string(), "Piton".to_owned(), format!("asked: {what}"), path, shown, "–".to_owned()],
        )
    });
    let answered = told.people.iter().map(|person| {
        let fields: Vec<String> =
            person.fields.iter().map(|field| code(&format!("{} = {}", field.name, field.value))).collect();
        let row = vec![
            person.at.to_string(),
            code(&person.who.to_string()),
            [did(person.did).to_owned(), fields.join(", ")].join(" ").trim_end().to_owned(),
            code(person.path.as_ref().map_or("", |path| path.as_str())),
            person.saw.map_or("–".to_owned(), |saw| saw.short()),
            code(person.why.as_deref().unwrap_or_default()),
        ];
        (person.record, row)
    });
    let mut rows: Vec<(u64, Vec<String>)> = asked.chain(answered).collect();
    rows.sort_by_key(|(record, _)| *record);
    let columns = ["When", "Who", "Did", "Where", "Saw", "Why"];
    table(page, "People", &columns, rows.into_iter().map(|(_, row)| row).collect());
}

/// What became of the run when a guard tripped.
pub(super) fn trip_led_to(then: Then) -> &'static str {
    match then {
        Then::Hold => "the run held",
        Then::Undo => "its scope was taken back",
        Then::GoBack => "the window went back",
        Then::Warn => "after the commit point: recorded only",
    }
}

/// What watched over scopes, and which locks they held.
fn beside(page: &mut String, told: &Predicate) {
    let rows = told.guards.iter().map(|guard| {
        let trips =
            guard.trips.iter().map(|trip| format!("{} saw {}: {}", trip.at, code(&trip.saw), trip_led_to(trip.then)));
        let trips: Vec<String> = trips.collect();
        vec![
            code(guard.path.as_str()),
            code(&guard.guard.check),
            code(&guard.guard.limit),
            guard.guard.every.to_string(),
            guard.guard.tolerate.to_string(),
            if trips.is_empty() { "none".to_owned() } else { format!("**{}**", trips.join("; ")) },
        ]
    });
    table(page, "Guards", &["Guard", "Looks at", "Must be", "Every", "Tolerates", "Trips"], rows.collect());
    let rows = told.locks.iter().map(|lock| {
        let when = |at: Option<super::time::Instant>| at.map_or("–".to_owned(), |at| at.to_string());
        let waits = lock.waits.iter().map(|wait| match &wait.deadlock {
            Some(why) => format!("**deadlock**: {}", code(why)),
            None => format!("for run {}", code(wait.held_by.as_str())),
        });
        let waits: Vec<String> = waits.collect();
        vec![
            code(&lock.name),
            code(lock.path.as_str()),
            when(lock.taken_at),
            if lock.broken { format!("{} **broken**", when(lock.released_at)) } else { when(lock.released_at) },
            if waits.is_empty() { "–".to_owned() } else { waits.join("; ") },
        ]
    });
    table(page, "Locks", &["Lock", "Scope", "Taken", "Released", "Waited"], rows.collect());
}

fn holds(page: &mut String, told: &Predicate) {
    let rows = told.holds.iter().map(|hold| {
        vec![
            hold.at.to_string(),
            hold.path.as_ref().map_or("the run".to_owned(), |path| code(path.as_str())),
            code(&hold.text),
        ]
    });
    table(page, "Holds", &["When", "Where", "Why"], rows.collect());
    let rows = told.caught.iter().flat_map(|caught| {
        caught
            .failures
            .iter()
            .map(|item| vec![caught.at.to_string(), code(caught.scope.as_str()), code(&item.key), code(&item.message)])
    });
    table(page, "Caught failures", &["When", "Scope", "Item", "Failure"], rows.collect());
}

fn undos(page: &mut String, told: &Predicate) {
    for undo in &told.undos {
        let scope = if undo.scope.is_root() { "the whole run".to_owned() } else { code(undo.scope.as_str()) };
        let why = match &undo.reason {
            UndoReason::Asked { decision } => format!("asked by {}", code(&decision.by.to_string())),
            UndoReason::Window { why, .. } => format!("the window went back: {}", code(why)),
            UndoReason::Guard { why, .. } => code(why),
            UndoReason::Redo { decision, .. } => format!("to be redone, asked by {}", code(&decision.by.to_string())),
        };
        let end = undo.finished_at.map_or("**not finished**".to_owned(), |at| format!("finished {at}"));
        let _ = write!(page, "\n## Taken back: {scope}\n\n{}, {why}; {end}\n", undo.began_at);
        let rows: Vec<Vec<String>> = (undo.steps.iter())
            .map(|step| {
                let last = step.attempts.last();
                let failure = step.attempts.iter().rev().find_map(|attempt| attempt.failure.as_ref());
                vec![
                    code(step.path.as_str()),
                    code(last.and_then(|attempt| attempt.action.as_deref()).unwrap_or_default()),
                    if step.undone { "taken back".to_owned() } else { "**failed**".to_owned() },
                    step.attempts.len().to_string(),
                    code(failure.map_or("", |failure| &failure.message)),
                ]
            })
            .collect();
        if !rows.is_empty() {
            let _ = write!(page, "\n| Step | Undo | Result | Attempts | Failure |\n|---|---|---|---|---|\n");
            rows.into_iter().for_each(|row| {
                let _ = writeln!(page, "| {} |", row.join(" | "));
            });
        }
    }
}

pub(super) fn how(step: &StepTold) -> String {
    let word = match step.status {
        StepStatus::Done => match step.how {
            Some(How::Performed) | None => "done",
            Some(How::AlreadyTrue) => "already true",
            Some(How::Recovered) => "recovered",
            Some(How::Adopted) => "adopted",
            Some(How::SaidDone) => "said done",
            Some(How::Waived) => "**waived**",
            Some(How::Kept) => "kept",
        },
        StepStatus::Failed => "failed",
        StepStatus::Held => "**held**",
        StepStatus::Running => "running",
        StepStatus::Waiting => "waiting",
        StepStatus::Dropped => "**dropped**",
        StepStatus::Undone if step.attempts.iter().any(|attempt| attempt.began_at.is_some()) => "taken back",
        // A read or an answer is not taken back: what it said no longer counts.
        StepStatus::Undone => "forgotten",
    };
    if step.generation > 1 { format!("{word} (generation {})", step.generation) } else { word.to_owned() }
}

fn steps(page: &mut String, told: &Predicate) {
    let rows = told.steps.iter().enumerate().map(|(index, step)| {
        let saw = step.evidence.as_ref().map(|evidence| evidence.saw.as_str());
        vec![
            (index + 1).to_string(),
            code(step.path.as_str()),
            how(step),
            code(step.action.as_deref().unwrap_or_default()),
            code(step.outcome.as_deref().unwrap_or_default()),
            code(saw.unwrap_or_default()),
            step.attempts.len().to_string(),
            step.took_us.map_or("–".to_owned(), human),
        ]
    });
    let columns = ["#", "Step", "How", "Action", "Outcome", "Postcondition saw", "Attempts", "Took"];
    table(page, "Steps", &columns, rows.collect());
}

/// A child run's end in words.
pub(super) fn child_end(child: &ChildTold) -> String {
    match (child.how, child.records, &child.head) {
        (Some(how), Some(records), Some(head)) => {
            let how = match how {
                Finish::Succeeded => "succeeded",
                Finish::Aborted => "aborted",
                Finish::Undone => "undone",
            };
            format!("{how}, {records} records, chain head {head}")
        }
        _ => "this journal does not have its end".to_owned(),
    }
}

fn children(page: &mut String, told: &Predicate) {
    let attempts = told.steps.iter().flat_map(|step| step.attempts.iter().map(move |attempt| (step, attempt)));
    let rows = attempts.filter_map(|(step, attempt)| {
        let child = attempt.child.as_ref()?;
        Some(vec![code(step.path.as_str()), code(child.run.as_str()), code(&child_end(child))])
    });
    table(page, "Child runs", &["Step", "Run", "End"], rows.collect());
}

fn emitted(page: &mut String, told: &Predicate) {
    let rows = told.emitted.iter().map(|emitted| vec![code(&emitted.name), code(&emitted.value.to_string())]);
    table(page, "Values", &["Name", "Value"], rows.collect());
    for note in &told.notes {
        let _ = write!(page, "\n## Note {}\n\n{}", code(note.path.as_str()), block(&note.markdown));
    }
}

fn verification(page: &mut String, told: &Predicate) {
    let _ = write!(
        page,
        "\n## Verification\n\n\
         {} records, chain head `{}`.\n\n\
         This page is a reading aid; the signed receipt is its JSON form. `piton verify RECEIPT --key PUBLIC_KEY` checks \
         it offline: the signature, the hash chain from the first record, that everything told here follows from the \
         records the receipt carries, and that these keep the engine's rules. Any DSSE and in-toto reader opens it.\n",
        told.chain.records, told.chain.head
    );
}
