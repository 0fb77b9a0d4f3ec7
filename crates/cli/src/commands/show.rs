//! `piton show`: how a run stands.
//!
//! Owns the page; its JSON is `ui::report`.

use crate::args::ShowArgs;
use crate::children::{Progress, Standings};
use crate::commands::waker;
use crate::error::CliError;
use crate::exit::Exit;
use crate::print;
use crate::ui::checklist::{self, Canvas};
use crate::ui::children::{follows, part_of};
use crate::ui::failure;
use crate::ui::remaining;
use crate::ui::report::Report;
use crate::ui::story::Story;
use crate::ui::text::{date, printable};
use piton_core::ids::EngineId;
use piton_core::ports::{Clock as _, Parking as _, Store as _};
use piton_core::state::Status;

/// Columns where standard output is no terminal.
const COLUMNS: usize = 160;

pub(crate) fn run(args: ShowArgs) -> Result<Exit, CliError> {
    let wire = waker::open()?;
    let found = wire.store.find(&args.run)?;
    let mut story = wire.story(&found.id)?;
    // Who drives it was looked up before: an engine that has left since has told all of its child runs.
    let goes_on = found.held_by.is_none() && Standings::new(&wire).correct(&mut story.state);
    if story.state.started.is_none() {
        // Started and killed before the first record.
        wire.started(&found.id)?;
    }
    let name = found.id.short();
    let wakes = if found.held_by.is_none() { wire.store.parked_until(&found.id)? } else { None };
    if args.json {
        let wakes_at_us = wakes.flatten();
        let report = Report::of(&story, name, (found.held_by.as_ref(), wakes_at_us), wire.clock.now());
        let json =
            serde_json::to_string_pretty(&report).map_err(|error| CliError::bug("a run has no JSON").source(error))?;
        print::line(&json);
        return Ok(Exit::Done);
    }
    let progress = Progress::new(&wire);
    print::out(&head(&story, found.held_by.as_ref(), wakes));
    let running = found.held_by.is_some() && story.state.status() == Status::Running;
    let runbook = story.state.runbook().filter(|_| running);
    let past = runbook.and_then(|runbook| crate::past::before(&wire.store, &found.id, runbook));
    let canvas = Canvas {
        columns: print::columns().unwrap_or(COLUMNS),
        rows: usize::MAX,
        colors: print::colors(),
        now: wire.clock.now(),
        boot_id: wire.clock.boot_id(),
        past: past.as_ref(),
        told: &|path| {
            let child = story.state.children.get(path).and_then(|child| progress.of(&child.run));
            child.and_then(|said| said.line).into_iter().collect()
        },
    };
    let left = past.as_ref().and_then(|past| remaining::left(&story, past, canvas.now));
    if let Some(left) = left {
        print::out(&format!("  {:<9} {left}\n", "time"));
    }
    let lines = checklist::frame(&story, &canvas);
    let tree: Vec<&str> = lines.iter().skip(1).map(String::as_str).collect();
    print::out(&format!("\n{}\n", tree.join("\n")));
    let driven = found.held_by.is_some();
    let status = story.state.status();
    if goes_on {
        print::out(&format!("\n{}", follows(&story.state)));
    } else if !driven || !matches!(status, Status::Running | Status::Undoing) {
        print::out(&format!("\n{}", failure::ending(&story, name)));
    }
    Ok(Exit::Done)
}

/// `wakes`: it is parked, until a time or for a lock.
fn head(story: &Story, driven_by: Option<&EngineId>, wakes: Option<Option<i64>>) -> String {
    let state = &story.state;
    let Some(started) = &state.started else { return String::new() };
    let field = |name: &str, text: &str| format!("  {name:<9} {}\n", printable(text));
    let mut text = format!("run {}   {}   {}\n", started.run, state.status().word(), printable(&started.runbook.title));
    if let Some(how) = started.rehearsal {
        text.push_str(&field("rehearsal", &format!("{how}, on stand-in systems, says who started it")));
    }
    text.push_str(&field("runbook", &format!("{} in {}", started.runbook.file, started.runbook.root)));
    if let Some(parent) = &started.parent {
        text.push_str(&field("part of", &part_of(parent)));
    }
    text.push_str(&field("started", &format!("{} by {}", date(state.started_at.wall_us), started.by)));
    for (name, value) in &started.params {
        text.push_str(&field("with", &format!("{name} = {value}")));
    }
    if let Some(engine) = driven_by {
        text.push_str(&field("engine", &format!("process {} on {} drives it", engine.pid, engine.host)));
    }
    match wakes {
        Some(Some(at_us)) => text.push_str(&field("engine", &format!("none; the waker starts one at {}", date(at_us)))),
        Some(None) => text.push_str(&field("engine", "none; the waker starts one when it has its turn at the lock")),
        None => {}
    }
    let lives = story.engines.len();
    if lives > 1 {
        text.push_str(&field("engines", &format!("{lives} have driven it so far")));
    }
    for (path, _) in &state.commit_points {
        text.push_str(&field("commit", &format!("{path} is passed: no way back beyond it")));
    }
    text
}
