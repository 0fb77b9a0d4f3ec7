//! `piton logs`: a run's events, or a step's output.
//!
//! Owns what of a step is printed: its events, and under each attempt's end what the attempt printed. Outputs were
//! masked before they were kept; control characters in them are made visible here. Never changes a file.

use crate::args::LogsArgs;
use crate::commands::follow::{Told, Unread, until_stopped};
use crate::commands::names;
use crate::commands::waker;
use crate::error::CliError;
use crate::exit::Exit;
use crate::print;
use crate::ui::plain;
use crate::ui::story::Story;
use crate::ui::text::{day, printable, printable_lines};
use piton_core::event::{Event, Handle, Stored};
use piton_core::ids::RunId;
use piton_core::ports::Store as _;
use piton_core::record::{Chain, Record};
use piton_core::{Outcome, Path};
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::ops::ControlFlow;
use std::path::PathBuf;

/// Read at once; a line longer than this is printed in pieces.
const CHUNK_BYTES: usize = 64 * 1024;

pub(crate) fn run(args: LogsArgs) -> Result<Exit, CliError> {
    let wire = waker::open()?;
    let run = wire.store.find(&args.run)?.id;
    let path = match &args.step {
        Some(name) => Some(names::step(&wire.state(&run)?, name, run.short())?),
        None => None,
    };
    let mut log = Log { run_dir: wire.store.run_dir(&run), path, story: Story::default(), outputs: Vec::new() };
    if args.follow {
        until_stopped(&wire, &run, Unread::Ends, |records| {
            log.see(records);
            log.pump(false);
            Told::of(&log.story.state)
        })?;
    } else {
        wire.records(&run, &mut Chain::default(), |record| {
            log.see(std::slice::from_ref(&record));
            if print::closed() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
    }
    log.pump(true);
    log.not_supervised(&run);
    Ok(Exit::Done)
}

struct Log {
    run_dir: PathBuf,
    /// Absent: the events of the whole run.
    path: Option<Path>,
    story: Story,
    /// Outputs of the attempt that runs.
    outputs: Vec<Output>,
}

impl Log {
    fn see(&mut self, records: &[Record]) {
        for record in records {
            let wanted = self.path.as_ref().is_none_or(|path| path_of(&record.event) == Some(path));
            if wanted {
                self.tell(record);
            }
            self.story.apply(record);
        }
    }

    fn tell(&mut self, record: &Record) {
        let line = plain::line(&self.story, record).map(|line| format!("{} {line}", day(record.at.wall_us)));
        if self.path.is_none() {
            line.iter().for_each(|line| print::line(line));
            return;
        }
        match &record.event {
            Event::AttemptStarted(started) => self.begin(line, &started.handle),
            Event::UndoStarted(started) => self.begin(line, &started.handle),
            Event::AttemptFailed(failed) => self.end(line, failed.outcome.as_ref()),
            Event::StepSucceeded(succeeded) => self.end(line, Some(&succeeded.outcome)),
            _ => line.iter().for_each(|line| print::line(line)),
        }
    }

    fn begin(&mut self, line: Option<String>, handle: &Handle) {
        self.pump(true);
        line.iter().for_each(|line| print::line(line));
        self.outputs = match handle {
            Handle::Supervisor { dir } => {
                ["out", "err"].map(|name| Output::new(self.run_dir.join(dir).join(name), name)).into()
            }
            _ => Vec::new(),
        };
    }

    /// What is left of the attempt's files; of an attempt without files, what its outcome kept.
    fn end(&mut self, line: Option<String>, outcome: Option<&Stored<Outcome>>) {
        self.pump(true);
        let had_files = self.outputs.iter().any(|output| output.offset > 0);
        self.outputs.clear();
        if let Some(outcome) = outcome.and_then(|outcome| outcome.open().ok()).filter(|_| !had_files) {
            print::out(&printable_lines(&kept(&outcome)));
        }
        line.iter().for_each(|line| print::line(line));
    }

    /// Prints what has been written since the last time; `all`: a last line without an end, too.
    fn pump(&mut self, all: bool) {
        let both = self.outputs.iter().all(|output| output.path.exists());
        for output in &mut self.outputs {
            output.pump(both, all);
        }
    }

    /// Says so where a running attempt keeps no output that could be shown.
    fn not_supervised(&self, run: &RunId) {
        if let Some(path) = &self.path
            && self.story.state.steps.get(path).is_some_and(piton_core::state::Step::is_running)
            && self.outputs.is_empty()
        {
            print::note(&format!("\"{}\" of run {} has no output yet", printable(path.as_str()), run.short()));
        }
    }
}

/// A growing file.
struct Output {
    path: PathBuf,
    name: &'static str,
    offset: u64,
    announced: bool,
}

impl Output {
    fn new(path: PathBuf, name: &'static str) -> Self {
        Self { path, name, offset: 0, announced: false }
    }

    /// Prints what is new. `announce`: the attempt has two outputs, so each is said.
    fn pump(&mut self, announce: bool, all: bool) {
        let Ok(mut file) = File::open(&self.path) else { return };
        if file.seek(SeekFrom::Start(self.offset)).is_err() {
            return;
        }
        let mut rest = Vec::new();
        let mut chunk = vec![0; CHUNK_BYTES];
        while let Ok(read) = file.read(&mut chunk) {
            if read == 0 || print::closed() {
                break;
            }
            if announce && !self.announced {
                self.announced = true;
                print::line(if self.name == "err" { "-- standard error:" } else { "-- standard output:" });
            }
            self.offset += read as u64;
            rest.extend_from_slice(chunk.get(..read).unwrap_or_default());
            // Whole lines at a time: a character may be cut at a chunk's end.
            let whole = rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            let whole = if whole == 0 && rest.len() >= CHUNK_BYTES { rest.len() } else { whole };
            print::out(&printable_lines(&String::from_utf8_lossy(rest.get(..whole).unwrap_or_default())));
            rest.drain(..whole);
        }
        if all && !rest.is_empty() {
            print::line(&printable_lines(&String::from_utf8_lossy(&rest)));
        } else {
            self.offset -= rest.len() as u64;
        }
    }
}

/// What an outcome kept: output, rows, value.
fn kept(outcome: &Outcome) -> String {
    let mut text = String::new();
    for output in [&outcome.out, &outcome.err].into_iter().flatten() {
        text.push_str(output);
        if !output.is_empty() && !output.ends_with('\n') {
            text.push('\n');
        }
    }
    if let Some(rows) = &outcome.rows {
        text.push_str(&rows.columns.join("\t"));
        text.push('\n');
        for row in &rows.rows {
            let cells: Vec<String> = row.iter().map(cell).collect();
            text.push_str(&cells.join("\t"));
            text.push('\n');
        }
    }
    if let Some(value) = &outcome.value {
        text.push_str(&format!("{value}\n"));
    }
    text
}

fn cell(value: &piton_core::Value) -> String {
    match value {
        piton_core::Value::None => "NULL".to_owned(),
        piton_core::Value::Str(text) => printable(text),
        other => other.to_string(),
    }
}

/// The step an event is about.
fn path_of(event: &Event) -> Option<&Path> {
    Some(match event {
        Event::AttemptStarted(event) => &event.path,
        Event::AttemptFailed(event) => &event.path,
        Event::StepSucceeded(event) => &event.path,
        Event::StepHeld(event) => &event.path,
        Event::Decided(event) => &event.path,
        Event::PersonAsked(event) => &event.path,
        Event::PersonAnswered(event) => &event.path,
        Event::TimerSet(event) => &event.path,
        Event::UndoStarted(event) => &event.path,
        Event::UndoFailed(event) => &event.path,
        Event::StepUndone { path, .. } | Event::StepDropped { path, .. } => path,
        _ => return None,
    })
}
