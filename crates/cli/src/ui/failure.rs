//! What a person is told when a run stops: what happened, where, what came back, and what is safe to do next, each as
//! a command to paste.
//!
//! Owns these screens and the commands they offer. Foreign text in them is made harmless, and commands are quoted for
//! a shell. Never prints.

use super::plain;
use super::story::{Failed, Story, span_us};
use super::text::{clock, count, date, path_word, printable, printable_lines, shell_word, tail, took};
use piton_core::event::{Finish, UndoReason};
use piton_core::hold::HoldReason;
use piton_core::outcome::FailureKind;
use piton_core::request::Ask;
use piton_core::state::{Phase, Status, Step};
use piton_core::window::WindowPhase;
use piton_core::{Outcome, Path, RunState};

/// Held steps, and questions, shown in full; of the others only how many.
const MAX_SHOWN: usize = 5;
/// Last lines of an output shown.
const TAIL_LINES: usize = 8;
/// Columns of one such line.
const TAIL_COLUMNS: usize = 160;

/// Columns of a narrow terminal.
const COLUMNS: usize = 79;

/// A command to paste, and what it does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Offer {
    pub(crate) command: String,
    pub(crate) does: &'static str,
}

fn offer(command: String, does: &'static str) -> Offer {
    Offer { command, does }
}

/// What is said when an engine's life, or watching a run, ends. `run` is the name for commands.
pub(crate) fn ending(story: &Story, run: &str) -> String {
    match story.state.status() {
        Status::Succeeded | Status::Aborted | Status::Undone => finished(story, run),
        Status::Held => held(story, run),
        Status::Waiting => waiting(story, run),
        Status::Undoing => interrupted_undo(story, run),
        Status::Running => interrupted(run),
    }
}

/// A taking back that no engine drives on.
fn interrupted_undo(story: &Story, run: &str) -> String {
    let Some(undoing) = &story.state.undoing else { return interrupted(run) };
    let what = match &undoing.reason {
        UndoReason::Redo { step, .. } => printable(step.as_str()),
        _ => printable(&plain::whole(&undoing.scope)),
    };
    let why = printable(&plain::why_undone(&undoing.reason));
    let mut text = format!("taking back {what} has begun and is not finished: {why}\n");
    let mut offers = vec![offer(format!("piton resume {run}"), "go on taking it back")];
    if !undoing.scope.is_root() {
        offers.push(offer(format!("piton undo {run}"), "take back all that the run did"));
    }
    offers.push(offer(format!("piton undo {run} --plan"), "show what that would do"));
    push_offers(&mut text, "next", &offers);
    text
}

/// What can be done about a run that no engine drives on.
pub(crate) fn interrupted(run: &str) -> String {
    let mut text = String::from("the run is not finished, and nothing of it is lost; commands that run go on\n");
    let mut offers = vec![offer(format!("piton resume {run}"), "go on")];
    offers.extend(ways_out(run));
    push_offers(&mut text, "next", &offers);
    text
}

fn ways_out(run: &str) -> [Offer; 3] {
    [
        offer(format!("piton undo {run} --plan"), "show what taking back would do"),
        offer(format!("piton undo {run}"), "take back what the run did"),
        offer(format!("piton abort {run}"), "end it here; what was done stays"),
    ]
}

fn finished(story: &Story, run: &str) -> String {
    let state = &story.state;
    let time = took(span_us(state.started_at, story.ended_at.unwrap_or(state.at)));
    let done = count(state.done_steps, "step");
    let mut text = match state.finished.as_ref().map(|(how, _)| how) {
        Some(Finish::Aborted) => format!("✗ aborted after {time}; what was done stays: {done}\n"),
        Some(Finish::Undone) => format!("↶ taken back, {time} after it started\n"),
        _ => match state.rehearsal() {
            Some(how) => format!("✓ rehearsed {how} in {time}: {done} done and left so\n"),
            None => format!("✓ {done} done in {time}\n"),
        },
    };
    let dropped = state.steps.values().filter(|step| matches!(step.phase, Phase::Dropped)).count() as u64;
    if dropped > 0 {
        push_field(&mut text, "dropped", &format!("{} that an edit left out", count(dropped, "step")));
    }
    if state.rehearses_back() && !state.windows.values().any(|window| window.rehearsed) {
        push_field(&mut text, "window", "none was entered: no way back was rehearsed");
    }
    for window in windows_in_order(story) {
        push_field(&mut text, "window", &window_line(window));
    }
    for (name, value) in &state.emitted {
        push_field(&mut text, "emitted", &format!("{name} = {value}"));
    }
    let receipt = offer(format!("piton receipt {run} -o receipt.json"), "write its signed receipt");
    push_offers(&mut text, "next", &[receipt]);
    text
}

fn windows_in_order(story: &Story) -> Vec<&piton_core::window::Window> {
    let mut windows: Vec<_> = story.state.windows.values().collect();
    windows.sort_by_key(|window| (window.opened_at.wall_us, window.path.clone()));
    windows
}

/// Closed in time and for good: nothing to tell at 3 a.m.
fn kept_its_budget(window: &piton_core::window::Window) -> bool {
    matches!(window.phase, WindowPhase::Closed { within_budget: true, went_back: false, .. })
}

/// `Write pause: 2.1s of 90s`.
fn window_line(window: &piton_core::window::Window) -> String {
    let how = match &window.phase {
        WindowPhase::Open => "open".to_owned(),
        WindowPhase::GoingBack { why } => format!("going back: {why}"),
        WindowPhase::Closed { measured_us, within_budget, went_back } => {
            let over = if *within_budget { "" } else { ", OVER ITS BUDGET" };
            let went = if *went_back { way_back(window) } else { String::new() };
            format!("{} of {}{over}{went}", took(*measured_us), window.budget)
        }
    };
    format!("{}: {how}", window.path)
}

/// A rehearsal is made to learn how long going back takes.
fn way_back(window: &piton_core::window::Window) -> String {
    match window.back_took_us.filter(|_| window.rehearsed) {
        Some(us) => {
            let over = if us > window.reserve.as_ms().saturating_mul(1000) { ", MORE THAN ITS RESERVE" } else { "" };
            format!("; it went back in {} of a reserve of {}{over}", took(us), window.reserve)
        }
        None => "; it went back".to_owned(),
    }
}

fn held(story: &Story, run: &str) -> String {
    let state = &story.state;
    let steps: Vec<_> = state.steps_in_order().into_iter().filter(|(_, step)| step.is_held()).collect();
    let mut text = match (steps.len(), state.run_holds.first()) {
        (0, Some(HoldReason::Paused { .. })) if state.other_holds.is_empty() => "the run is paused\n".to_owned(),
        (0, _) => "the run holds\n".to_owned(),
        (1, _) => "the run holds: a step needs a decision\n".to_owned(),
        (many, _) => format!("the run holds: {many} steps need a decision\n"),
    };
    for (path, step) in steps.iter().take(MAX_SHOWN) {
        held_step(&mut text, story, run, path, step);
    }
    if steps.len() > MAX_SHOWN {
        text.push_str(&format!("\n… and {} more: piton show {run}\n", steps.len() - MAX_SHOWN));
    }
    for (path, reason) in &state.other_holds {
        text.push_str(&format!("\n✗ {}\n", printable(path.as_str())));
        if let HoldReason::Tripped { trip } = reason {
            push_field(&mut text, "at", &trip.site.to_string());
        }
        push_field(&mut text, "why", &reason.to_string());
        push_offers(&mut text, "next", &choices(reason, run, path));
    }
    for reason in &state.run_holds {
        run_hold(&mut text, story, reason);
    }
    for window in windows_in_order(story).into_iter().filter(|window| !kept_its_budget(window)) {
        push_field(&mut text, "window", &window_line(window));
    }
    let mut offers = Vec::new();
    text.push('\n');
    let told = steps.len() + state.other_holds.len();
    if told > 1 {
        offers.push(offer(format!("piton resume {run} --retry"), "try everything again that failed"));
    } else if told == 0 {
        offers.extend(run_offers(state, &state.run_holds, run));
    }
    if !steps.is_empty() {
        offers.extend(edited(state, run));
    }
    offers.extend(ways_out(run));
    push_offers(&mut text, if told == 0 { "next" } else { "or" }, &offers);
    text
}

fn held_step(text: &mut String, story: &Story, run: &str, path: &Path, step: &Step) {
    let told = story.step(path);
    text.push_str(&format!("\n✗ {}\n", printable(path.as_str())));
    let undo_failed = step.undo.held.as_ref().map(|failure| HoldReason::UndoFailed { failure: (**failure).clone() });
    let reason = match &step.phase {
        _ if undo_failed.is_some() => undo_failed,
        Phase::Held(reason) => Some((**reason).clone()),
        _ => None,
    };
    what_happened(text, story, path, step);
    if let Some(reason) = &reason {
        push_field(text, "why", &reason.to_string());
    }
    if let Some(failed) = told.failed() {
        came_back(text, failed);
    }
    let mut offers: Vec<Offer> = reason.iter().flat_map(|reason| choices(reason, run, path)).collect();
    if let Some(child) = super::children::became(told.handle()) {
        offers.push(child);
    } else if told.handle().is_some() || told.failed().is_some_and(|failed| failed.outcome.is_some()) {
        offers.push(offer(format!("piton logs {run} {}", path_word(path)), "read its whole output"));
    }
    push_offers(text, "next", &offers);
}

/// Where it stands in the source, what it did, and when it failed.
fn what_happened(text: &mut String, story: &Story, path: &Path, step: &Step) {
    let told = story.step(path);
    push_field(text, "at", &step.site.to_string());
    if let Some(does) = &told.does {
        push_field(text, "did", does);
    }
    if let Some(failed) = told.failed() {
        let attempts = if failed.attempt > 1 { format!(", after {} attempts", failed.attempt) } else { String::new() };
        push_field(text, "failed", &format!("{}{attempts}", clock(failed.at.wall_us)));
    }
}

/// The last lines of what came back, standard error first: it says why.
fn came_back(text: &mut String, failed: &Failed) {
    let outcome: Option<Outcome> = failed.outcome.as_ref().and_then(|outcome| outcome.open().ok());
    if let Some(outcome) = outcome {
        for (name, output) in [("stderr", &outcome.err), ("output", &outcome.out)] {
            for (index, line) in
                tail(output.as_deref().unwrap_or_default(), TAIL_LINES, TAIL_COLUMNS).iter().enumerate()
            {
                push_field(text, if index == 0 { name } else { "" }, &format!("| {line}"));
            }
        }
        for note in &outcome.notes {
            push_field(text, "note", note);
        }
    }
    if let Some(hint) = &failed.failure.hint {
        push_field(text, "hint", hint);
    }
}

/// The commands that decide a held step, of those that this version offers.
pub(crate) fn choices(reason: &HoldReason, run: &str, path: &Path) -> Vec<Offer> {
    let beside = super::beside::choices(reason, run, path);
    if !beside.is_empty() {
        return beside;
    }
    let path = path_word(path);
    let command = |flag: &str| match flag {
        "--retry" => Some(offer(
            format!("piton resume {run} --retry {path}"),
            match reason {
                HoldReason::Rotated { .. } => "yes, it is the same place: go on",
                HoldReason::UndoFailed { .. } => "try its undo again",
                HoldReason::WentBack { .. } => "enter the window again",
                HoldReason::Unprovable { .. } => "look again, and try again",
                _ => "try it again",
            },
        )),
        "--waive" => Some(offer(format!("piton resume {run} --waive {path} --reason '...'"), "go past it")),
        "--done" => Some(offer(format!("piton resume {run} --done {path}"), "it did happen: go on from there")),
        "--not-done" => Some(offer(format!("piton resume {run} --not-done {path}"), "it did not happen: perform it")),
        "--depart" => Some(offer(
            format!("piton resume {run} --depart {path} --reason '...'"),
            "perform it although the plan excludes it",
        )),
        "--keep" => Some(offer(format!("piton resume {run} --keep {path}"), "keep what was done")),
        "--redo" => Some(offer(format!("piton resume {run} --redo {path}"), "take it back and do it anew")),
        _ => None,
    };
    let mut offers: Vec<Offer> =
        reason.choices().iter().filter(|flag| offered(flag)).filter_map(|flag| command(flag)).collect();
    if let HoldReason::Orphaned { .. } = reason {
        offers.push(offer(format!("piton undo {run} --to {path}"), "take it back"));
    }
    offers
}

/// `piton resume` has this flag.
fn offered(flag: &str) -> bool {
    let resume = <crate::args::ResumeArgs as clap::Args>::augment_args(clap::Command::new("resume"));
    resume.get_arguments().any(|arg| arg.get_long() == Some(flag.trim_start_matches('-')))
}

fn run_hold(text: &mut String, story: &Story, reason: &HoldReason) {
    match reason {
        HoldReason::Program { message } => {
            text.push_str(&format!("\n✗ the runbook cannot go on\n{}\n", printable_lines(message.trim_end())));
        }
        HoldReason::Paused { .. } => text.push_str(&format!("\n· {}\n", printable(&reason.to_string()))),
        reason => text.push_str(&format!("\n✗ {}\n", printable(&reason.to_string()))),
    }
    match reason {
        HoldReason::Failed { failure } => {
            if let Some(hint) = &failure.hint {
                push_field(text, "hint", hint);
            }
        }
        HoldReason::WentBack { window, .. } => {
            if let Some((path, step)) = blamed(story, window) {
                push_field(text, "step", path.as_str());
                what_happened(text, story, path, step);
                if let Some(failed) = story.step(path).failed() {
                    came_back(text, failed);
                }
            }
        }
        _ => {}
    }
}

/// The step whose failure made a window go back: the last that failed in it. A window that ran out of time has none.
fn blamed<'a>(story: &'a Story, window: &str) -> Option<(&'a Path, &'a Step)> {
    let windows = story.state.windows.values();
    let window = windows.filter(|known| known.path.name() == window).max_by_key(|known| known.opened_at.wall_us)?;
    let failed_at = |path: &Path| {
        let failed = story.step(path).failed()?;
        let own = failed.failure.kind != FailureKind::Stopped;
        (own && failed.at.wall_us >= window.opened_at.wall_us).then_some(failed.at.wall_us)
    };
    let steps = story.state.steps.iter().filter(|(path, _)| path.is_within(&window.path));
    steps
        .filter_map(|(path, step)| Some((failed_at(path)?, path, step)))
        .max_by_key(|(at, path, _)| (*at, *path))
        .map(|(_, path, step)| (path, step))
}

/// For where the runbook itself is what is wrong.
fn edited(state: &RunState, run: &str) -> Option<Offer> {
    let file = shell_word(&state.runbook()?.file);
    Some(offer(format!("piton resume {run} --edited {file}"), "go on with the runbook as you mended it"))
}

/// The commands that end holds of the run itself.
pub(crate) fn run_offers(state: &RunState, holds: &[HoldReason], run: &str) -> Vec<Offer> {
    let retry = |does| Some(offer(format!("piton resume {run} --retry"), does));
    let (on, mended) = match holds.last() {
        Some(HoldReason::Paused { .. }) => (Some(offer(format!("piton resume {run}"), "go on")), false),
        Some(HoldReason::WentBack { .. }) => (retry("enter the window again"), true),
        Some(HoldReason::Program { .. }) => (None, true),
        Some(HoldReason::Failed { .. }) => (retry("try again"), true),
        Some(_) => (retry("try again"), false),
        None => (None, false),
    };
    on.into_iter().chain(mended.then(|| edited(state, run)).flatten()).collect()
}

fn waiting(story: &Story, run: &str) -> String {
    let steps: Vec<_> = story.state.steps_in_order().into_iter().filter(|(_, step)| step.is_waiting()).collect();
    let asked = steps.iter().filter(|(_, step)| matches!(step.phase, Phase::Asked { .. })).count();
    let person = asked > 0 || super::children::awaited(&story.state).next().is_some();
    let mut text = if person { "the run waits for a person\n" } else { "the run waits\n" }.to_owned();
    for (path, step) in steps.iter().take(MAX_SHOWN) {
        text.push_str(&format!("\n? {}\n", printable(path.as_str())));
        push_field(&mut text, "at", &step.site.to_string());
        match &step.phase {
            Phase::Asked { asked, answers } => question(&mut text, run, path, asked, answers),
            Phase::Timer(timer) => push_field(&mut text, "until", &date(timer.due_at_us)),
            Phase::Failed { failure, retry_at_us: Some(at_us) } => {
                push_field(&mut text, "failed", &failure.message);
                push_field(&mut text, "again", &date(*at_us));
            }
            _ => {}
        }
    }
    if steps.len() > MAX_SHOWN {
        text.push_str(&format!("\n… and {} more: piton show {run}\n", steps.len() - MAX_SHOWN));
    }
    for child in super::children::awaited(&story.state) {
        text.push_str(&format!("\n? {}\n", printable(child.path.as_str())));
        push_field(&mut text, "child run", &child.run.to_string());
        push_field(&mut text, "why", child.why);
        push_offers(&mut text, "next", &child.offers);
    }
    for lock in super::beside::awaited(&story.state) {
        text.push_str(&format!("\n? {}\n", printable(lock.path.as_str())));
        push_field(&mut text, "lock", &lock.holder);
        push_offers(&mut text, "next", &lock.offers);
    }
    text
}

fn question(
    text: &mut String,
    run: &str,
    path: &Path,
    asked: &piton_core::event::PersonAsked,
    answers: &[piton_core::event::PersonAnswered],
) {
    match &asked.ask {
        Ask::Approve { show, .. } => {
            push_field(text, "needs", &plain::question(&asked.ask));
            for line in shown(show) {
                push_field(text, "shows", &line);
            }
        }
        Ask::Fields { .. } => push_field(text, "needs", &plain::question(&asked.ask)),
        Ask::Manual { instructions } => {
            for (index, line) in instructions.trim().lines().enumerate() {
                push_field(text, if index == 0 { "do" } else { "" }, line);
            }
        }
    }
    for answer in answers {
        push_field(text, "so far", &format!("{} agrees", answer.decision.by));
    }
    if let Some(expires) = asked.expires_at_us {
        push_field(text, "expires", &date(expires));
    }
    push_offers(text, "next", &answers_to(&asked.ask, run, path));
}

/// What is shown to whoever approves, a line for each entry.
pub(crate) fn shown(show: &piton_core::Value) -> Vec<String> {
    use piton_core::Value;
    match show {
        Value::None => Vec::new(),
        Value::Dict(entries) => entries
            .iter()
            .map(|(key, value)| match key {
                Value::Str(key) => format!("{key} = {value}"),
                key => format!("{key} = {value}"),
            })
            .collect(),
        Value::Struct(fields) => fields.iter().map(|(name, value)| format!("{name} = {value}")).collect(),
        other => vec![other.to_string()],
    }
}

/// The commands that answer a question.
pub(crate) fn answers_to(ask: &Ask, run: &str, path: &Path) -> Vec<Offer> {
    let path = path_word(path);
    match ask {
        Ask::Approve { .. } => vec![
            offer(format!("piton approve {run} {path}"), "approve it"),
            offer(format!("piton approve {run} {path} --reject --reason '...'"), "say no"),
        ],
        Ask::Fields { fields } => {
            let fields: Vec<String> = fields.iter().map(|(name, _)| format!("{}=...", shell_word(name))).collect();
            vec![offer(format!("piton answer {run} {path} {}", fields.join(" ")), "answer it")]
        }
        Ask::Manual { .. } => vec![
            offer(format!("piton answer {run} {path} --done"), "say that it is done"),
            offer(format!("piton approve {run} {path} --reject --reason '...'"), "say that it cannot be done"),
        ],
    }
}

/// `  name      text`, further lines of the text below its first.
fn push_field(out: &mut String, name: &str, text: &str) {
    for (index, line) in text.trim_end().lines().enumerate() {
        out.push_str(&format!("  {:<9} {}\n", if index == 0 { name } else { "" }, printable(line)));
    }
}

/// What each does first, so that the command is the rest of the line; one that does not fit there stands below, whole.
pub(crate) fn push_offers(out: &mut String, name: &str, offers: &[Offer]) {
    let wide = |offer: &Offer| super::text::width(offer.does);
    let fits = |offer: &Offer, does: usize| 12 + does + 3 + super::text::width(&offer.command) <= COLUMNS;
    let widest = offers.iter().filter(|offer| fits(offer, wide(offer))).map(wide).max().unwrap_or(0);
    for (index, offer) in offers.iter().enumerate() {
        let name = if index == 0 { name } else { "" };
        let Offer { command, does } = offer;
        match fits(offer, widest.max(wide(offer))) {
            true => out.push_str(&format!("  {name:<9} {}   {command}\n", super::text::pad(does, widest))),
            false => out.push_str(&format!("  {name:<9} {does}\n  {:<9}   {command}\n", "")),
        }
    }
}
