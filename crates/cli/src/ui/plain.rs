//! The plain view: one line for each event, for pipes, CI and logs. No control codes.
//!
//! Owns the lines' form, which scripts may rely on: time, a word padded to eight columns, the path, and details.
//! Lines for events that a person does not need (scopes of branches, the inbox) are left out.

use super::story::{Story, span_us};
use super::text::{clip, clock, count, printable, took};
use piton_core::Path;
use piton_core::event::{
    Answer, Attach, AttemptFailed, Event, Finish, How, ScopeEntered, StepSucceeded, UndoBegan, UndoReason, WindowClosed,
};
use piton_core::hold::Choice;
use piton_core::record::Record;
use piton_core::request::{Ask, StepKind};
use piton_core::scope::ScopeKind;

/// Characters of details in one line; whole texts are in the journal.
const MAX_DETAIL_CHARS: usize = 300;

/// The line for a record; `before`: the story up to it. `None`: nothing a person needs.
pub(crate) fn line(before: &Story, record: &Record) -> Option<String> {
    let (word, what) = words(before, record)?;
    Some(format!("{} {word:<8} {}", clock(record.at.wall_us), printable(&what)))
}

fn words(before: &Story, record: &Record) -> Option<(&'static str, String)> {
    let of_scopes =
        || of_scopes(before, record).or_else(|| super::beside::line(record)).or_else(|| super::children::line(record));
    of_steps(before, record).or_else(of_scopes).or_else(|| of_the_run(before, record))
}

/// Steps: begun, ended, held, asked, taken back.
fn of_steps(before: &Story, record: &Record) -> Option<(&'static str, String)> {
    Some(match &record.event {
        Event::AttemptStarted(started) => {
            let again = if started.attempt > 1 { format!(" (attempt {})", started.attempt) } else { String::new() };
            let run = super::children::started_as(&started.handle);
            ("begin", format!("{}{again}  {}{run}", started.path, short(&started.action.summary())))
        }
        Event::AttemptFailed(failed) => ("failed", attempt_failed(failed, record)),
        Event::StepSucceeded(succeeded) => ("done", step_done(before, succeeded, record)),
        Event::StepHeld(held) => ("held", format!("{}: {}", held.path, short(&held.reason.to_string()))),
        Event::Decided(decided) => {
            let why = because(decided.decision.why.as_deref());
            ("decided", format!("{}: {} by {}{why}", decided.path, choice(&decided.choice), decided.decision.by))
        }
        Event::PersonAsked(asked) => ("asked", format!("{}: {}", asked.path, question(&asked.ask))),
        Event::PersonAnswered(answered) => {
            let what = match &answered.answer {
                Answer::Approve => "approved",
                Answer::Reject => "rejected",
                Answer::Fields { .. } => "filled in",
                Answer::Done => "said to be done",
            };
            let why = because(answered.decision.why.as_deref());
            ("answered", format!("{}: {what} by {}{why}", answered.path, answered.decision.by))
        }
        Event::TimerSet(timer) => {
            let until = if timer.kind == StepKind::Poll { "polls until" } else { "waits until" };
            ("timer", format!("{}: {until} {}", timer.path, super::text::date(timer.due_at_us)))
        }
        Event::UndoStarted(started) => ("undoing", format!("{}  {}", started.path, short(&started.action.summary()))),
        Event::UndoFailed(failed) => {
            let next = failed.retry_at_us.map(|retry| in_time(retry, record.at.wall_us)).unwrap_or_default();
            ("failed", format!("undo of {}: {}{next}", failed.path, short(&failed.failure.message)))
        }
        Event::StepUndone { path, .. } => ("undone", path.to_string()),
        Event::StepDropped { path, .. } => ("dropped", format!("{path}: the edited runbook has it no more")),
        _ => return None,
    })
}

/// Scopes: entered, left, windows, commit points, what is taken back.
fn of_scopes(before: &Story, record: &Record) -> Option<(&'static str, String)> {
    Some(match &record.event {
        Event::ScopeEntered(entered) => return scope_entered(entered),
        Event::ScopeLeft { path } => return scope_left(before, path, record),
        Event::ScopeSettled(settled) => return settled_scope(&settled.path, &settled.failures),
        Event::CommitPointPassed { path } => ("commit", format!("{path}: no way back beyond this")),
        Event::WindowOpened(opened) => (
            "window",
            format!("{} is open: budget {}, of it {} for going back", opened.path, opened.budget, opened.reserve),
        ),
        Event::WindowGoingBack { path, why, .. } => ("window", format!("{path} goes back: {}", short(why))),
        Event::WindowClosed(closed) => ("window", window_closed(before, closed)),
        Event::UndoBegan(began) => ("undo", format!("{}: {}", undone(began), why_undone(&began.reason))),
        Event::UndoFinished { scope } => {
            let known = before.state.undoing.as_ref().filter(|began| began.scope == *scope);
            ("undo", known.map_or_else(|| format!("{} is taken back", whole(scope)), undone))
        }
        _ => return None,
    })
}

/// The run itself, its engines, and what it says.
fn of_the_run(before: &Story, record: &Record) -> Option<(&'static str, String)> {
    Some(match &record.event {
        Event::RunStarted(started) => {
            let what = started.rehearsal.map_or_else(String::new, |how| format!("rehearsal {how} "));
            ("run", format!("{what}{} {} ({})", started.run, started.runbook.title, started.runbook.file))
        }
        Event::EngineAttached(attached) => {
            let how = match attached.reason {
                Attach::Started => "started",
                Attach::Resumed => "resumed",
                Attach::TookOver => "took over: the window's watchdog is the engine now",
            };
            let by = attached.by.as_ref().map(|by| format!(" by {}", by.name)).unwrap_or_default();
            ("engine", format!("{how}{by}, process {}", attached.engine.pid))
        }
        Event::RunEdited(edited) => ("edited", format!("{} by {}", edited.runbook.file, edited.decision.by)),
        Event::SecretSeen(seen) => ("secret", format!("{} opened from {}", seen.name, seen.source)),
        Event::Emitted { name, value, .. } => ("emit", format!("{name} = {}", short(&value.to_string()))),
        Event::Noted { markdown, .. } => ("note", short(markdown.trim())),
        Event::AbortAsked { by, why } => ("abort", format!("asked by {by}{}", because(why.as_deref()))),
        Event::RunHeld { reason } => ("held", format!("the run: {}", short(first_line(&reason.to_string())))),
        Event::RunResumed { by } => ("resumed", format!("by {by}")),
        Event::RunFinished { how, .. } => {
            let took = took(span_us(before.state.started_at, record.at));
            let done = count(before.state.done_steps, "step");
            let how = match how {
                Finish::Succeeded => format!("succeeded: {done} in {took}"),
                Finish::Aborted => format!("aborted after {took}; what was done stays: {done}"),
                Finish::Undone => format!("taken back, {took} after it started"),
            };
            ("ended", how)
        }
        _ => return None,
    })
}

fn because(why: Option<&str>) -> String {
    why.map(|why| format!(": {}", short(why))).unwrap_or_default()
}

/// Branches come by the thousand and say nothing that their steps do not.
fn scope_entered(entered: &ScopeEntered) -> Option<(&'static str, String)> {
    let word = match entered.kind {
        ScopeKind::Run | ScopeKind::Branch => return None,
        // Opening says it, with the budget.
        ScopeKind::Window { .. } => return None,
        ScopeKind::Phase => "phase",
        ScopeKind::Each { .. } => "each",
        ScopeKind::Parallel => "parallel",
        ScopeKind::Attempt => "attempt",
        ScopeKind::Lock => "lock",
    };
    let branches = entered.total.map(|total| format!(" ({total} branches)")).unwrap_or_default();
    Some((word, format!("{}{branches}", entered.path)))
}

fn scope_left(before: &Story, path: &Path, record: &Record) -> Option<(&'static str, String)> {
    let scope = before.state.scopes.get(path)?;
    match scope.kind {
        ScopeKind::Run | ScopeKind::Branch | ScopeKind::Window { .. } => None,
        _ => Some(("left", format!("{path} ({})", took(span_us(scope.entered_at, record.at))))),
    }
}

fn settled_scope(path: &Path, failures: &[(String, piton_core::outcome::Failure)]) -> Option<(&'static str, String)> {
    let (key, failure) = failures.first()?;
    let key = if key.is_empty() { String::new() } else { format!("{key}: ") };
    let more = if failures.len() > 1 { format!(" and {} more", failures.len() - 1) } else { String::new() };
    Some(("caught", format!("{path}: {key}{}{more}", short(&failure.message))))
}

fn attempt_failed(failed: &AttemptFailed, record: &Record) -> String {
    let again = if failed.attempt > 1 || failed.retry_at_us.is_some() {
        format!(" (attempt {})", failed.attempt)
    } else {
        String::new()
    };
    let next = failed.retry_at_us.map(|at| in_time(at, record.at.wall_us)).unwrap_or_default();
    format!("{}{again}: {}{next}", failed.path, short(&failed.failure.message))
}

fn in_time(at_us: i64, now_us: i64) -> String {
    format!("; again in {}", took(u64::try_from(at_us.saturating_sub(now_us)).unwrap_or(0)))
}

fn step_done(before: &Story, succeeded: &StepSucceeded, record: &Record) -> String {
    let took = before.took_us(&succeeded.path, Some(&succeeded.outcome), record.at).map(took);
    let mut notes: Vec<String> = took.into_iter().collect();
    if succeeded.attempt > 1 {
        notes.push(format!("attempt {}", succeeded.attempt));
    }
    notes.extend(how(succeeded.how).map(str::to_owned));
    format!("{} ({})", succeeded.path, notes.join(", "))
}

/// How a step came to be done, where it was not simply performed.
pub(crate) fn how(how: How) -> Option<&'static str> {
    Some(match how {
        How::Performed => return None,
        How::AlreadyTrue => "already true",
        How::Recovered => "recovered: the interrupted attempt had done it",
        How::Adopted => "adopted from the engine before",
        How::SaidDone => "said to be done",
        How::Waived => "waived",
        How::Kept => "kept",
    })
}

fn window_closed(before: &Story, closed: &WindowClosed) -> String {
    let budget =
        before.state.windows.get(&closed.path).map(|window| format!(" of {}", window.budget)).unwrap_or_default();
    let went = if closed.went_back { " went back and is closed" } else { " is closed" };
    let over = if closed.within_budget { "" } else { ", OVER ITS BUDGET" };
    let clock = if closed.same_boot { "" } else { " (by the wall clock: the machine was restarted meanwhile)" };
    format!("{}{went} after {}{budget}{over}{clock}", closed.path, took(closed.measured_us))
}

/// What is asked, in one line.
pub(crate) fn question(ask: &Ask) -> String {
    match ask {
        Ask::Approve { by, count, not_starter, .. } => {
            let by = if by.is_empty() { String::new() } else { format!(" by {by}") };
            let many = if *count > 1 { format!(", {count} accounts") } else { String::new() };
            let not = if *not_starter { ", not whoever started the run" } else { "" };
            format!("approval{by}{many}{not}")
        }
        Ask::Fields { fields } => {
            let fields: Vec<String> = fields.iter().map(|(name, kind)| format!("{name} ({kind})")).collect();
            format!("answer {}", fields.join(", "))
        }
        Ask::Manual { instructions } => format!("do {}", short(instructions.trim())),
    }
}

/// A decision's word.
pub(crate) fn choice(choice: &Choice) -> &'static str {
    match choice {
        Choice::Retry => "try again",
        Choice::Done => "it did happen",
        Choice::NotDone => "it did not happen",
        Choice::Waive => "waived",
        Choice::Keep => "keep what was done",
        Choice::Redo => "undo and do anew",
        Choice::Depart => "depart from the plan",
    }
}

pub(super) fn why_undone(reason: &UndoReason) -> String {
    match reason {
        UndoReason::Asked { decision } => {
            format!("asked by {}{}", decision.by, because(decision.why.as_deref()))
        }
        UndoReason::Guard { why, .. } => short(why),
        UndoReason::Window { window, why } => format!("the window {window} goes back: {}", short(why)),
        UndoReason::Redo { decision, .. } => format!("to be done anew, asked by {}", decision.by),
    }
}

/// What is taken back.
fn undone(began: &UndoBegan) -> String {
    match &began.reason {
        UndoReason::Redo { step, .. } => format!("{step}, and what came after it, is taken back"),
        _ => format!("{} is taken back", whole(&began.scope)),
    }
}

pub(super) fn whole(scope: &Path) -> String {
    if scope.is_root() { "the whole run".to_owned() } else { scope.to_string() }
}

/// The first line: a program's error is a whole diagnostic.
fn first_line(text: &str) -> &str {
    text.trim_start().lines().next().unwrap_or_default()
}

fn short(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    clip(&words.join(" "), MAX_DETAIL_CHARS)
}
