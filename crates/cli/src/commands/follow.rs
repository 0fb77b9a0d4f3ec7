//! Following a run from outside its engine: reading its journal as it grows.
//!
//! Owns the polling and when following ends. Never appends and never takes a lease.

use crate::children::{Progress, Standings};
use crate::error::CliError;
use crate::exit::Exit;
use crate::print;
use crate::ui::Screen;
use crate::wire::Wire;
use piton_core::RunState;
use piton_core::child;
use piton_core::event::Handle;
use piton_core::ids::RunId;
use piton_core::ports::{Parking as _, Store as _};
use piton_core::progress::Said;
use piton_core::record::{Chain, Record};
use piton_core::state::Status;
use piton_engine::Observer as _;
use piton_steps::process;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::{Duration, Instant};

/// The store is looked at this often: a look costs microseconds where nothing has changed.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Whether an engine is alive is looked at this often.
const LOOK_FOR_ENGINE: Duration = Duration::from_millis(250);
/// Between two engines (one parks, the next is started for an answer) following goes on for this long.
const WITHOUT_ENGINE: Duration = Duration::from_millis(1500);
/// Records handed on at once.
const BATCH: usize = 1000;

/// Reads a journal piece by piece, each record checked against the one before.
pub(crate) struct Reader<'a> {
    wire: &'a Wire,
    run: RunId,
    chain: Chain,
    version: Option<u64>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(wire: &'a Wire, run: &RunId) -> Self {
        Self { wire, run: run.clone(), chain: Chain::default(), version: None }
    }

    /// Behind what this state is the fold of.
    pub(crate) fn after(wire: &'a Wire, run: &RunId, state: &RunState) -> Self {
        Self { chain: Chain { seq: state.seq, head: state.head }, ..Self::new(wire, run) }
    }

    pub(crate) fn run(&self) -> &RunId {
        &self.run
    }

    /// Behind everything that was appended so far.
    pub(crate) fn skip(&mut self) -> Result<(), CliError> {
        self.wire.records(&self.run, &mut self.chain, |_| ControlFlow::Continue(()))
    }

    /// What was appended since the last time, at most a batch of it: a long journal comes in several.
    pub(crate) fn next(&mut self) -> Result<Vec<Record>, CliError> {
        let version = self.wire.store.version();
        if version.is_some() && version == self.version {
            return Ok(Vec::new());
        }
        let mut records = Vec::new();
        self.wire.records(&self.run, &mut self.chain, |record| {
            records.push(record);
            if records.len() < BATCH { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        // A whole batch may not have been all: the next look reads on, whatever the version.
        self.version = version.filter(|_| records.len() < BATCH);
        Ok(records)
    }
}

/// What following does when nobody reads what is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unread {
    /// It ends: somebody only looked.
    Ends,
    /// It goes on: how the run ends is how the command ends that did something to it.
    GoesOn,
}

/// What a run's journal tells of it.
pub(crate) struct Told {
    status: Status,
    /// It has child runs that have not ended.
    follows: bool,
}

impl Told {
    pub(crate) fn of(state: &RunState) -> Self {
        Self { status: state.status(), follows: child::open(state).next().is_some() }
    }
}

/// Shows what a command that did something to a run made of it, until it ends, or until nobody drives it any more; how it
/// stands then.
pub(crate) fn follow(wire: &Wire, run: &RunId, json: bool) -> Result<Exit, CliError> {
    print::tells_of(run);
    show(wire, run, json, Unread::GoesOn)
}

/// Shows the run to somebody who only looks.
pub(crate) fn watch(wire: &Wire, run: &RunId, json: bool) -> Result<Exit, CliError> {
    show(wire, run, json, Unread::Ends)
}

fn show(wire: &Wire, run: &RunId, json: bool, unread: Unread) -> Result<Exit, CliError> {
    let screen = Screen::foreground(json);
    let run_dir = wire.store.run_dir(run);
    let (store, of) = (wire.store.clone(), run.clone());
    if let Ok(started) = wire.started(run) {
        screen.look_back(move || crate::past::before(&store, &of, &started.runbook));
    }
    let progress = Progress::new(wire);
    screen.listen(move |_, handle| match handle {
        Some(Handle::Run { run }) => progress.of(run),
        handle => said(&run_dir, handle),
    });
    let shown = until_stopped(wire, run, unread, |records| {
        screen.durable(records);
        screen.with_story(|story| Told::of(&story.state))
    });
    if shown.is_ok() && wire.store.find(run.as_str())?.held_by.is_none() {
        screen.correct(|state| _ = Standings::new(wire).correct(state));
    }
    screen.close();
    shown?;
    if print::closed() && unread == Unread::Ends {
        return Ok(Exit::Done);
    }
    screen.show_ending(run.short());
    Ok(Exit::of_status(screen.with_story(|story| story.state.status())))
}

/// Hands on what the journal says, from its first record, until the run has ended, nobody drives it, or nobody reads
/// and that ends it. `see` gets new records, none where only time has passed, and says what they tell.
pub(crate) fn until_stopped(
    wire: &Wire,
    run: &RunId,
    unread: Unread,
    mut see: impl FnMut(&[Record]) -> Told,
) -> Result<(), CliError> {
    let mut reader = Reader::new(wire, run);
    let mut standings = Standings::new(wire);
    let mut last_engine = Instant::now();
    let mut looked: Option<Instant> = None;
    loop {
        let records = reader.next()?;
        let told = see(&records);
        if told.status.is_final() || (print::closed() && unread == Unread::Ends) {
            return Ok(());
        }
        if looked.is_none_or(|looked| looked.elapsed() >= LOOK_FOR_ENGINE) {
            looked = Some(Instant::now());
            if wire.store.find(run.as_str())?.held_by.is_some() {
                last_engine = Instant::now();
            } else if last_engine.elapsed() >= WITHOUT_ENGINE {
                // One that is parked goes on by itself, with another engine; so does one whose child runs are at work.
                if wire.store.parked_until(run)?.is_none() && !(told.follows && standings.of(run)?.1) {
                    return Ok(());
                }
                // When what it waits for is there, that engine has this long to start.
                last_engine = Instant::now();
            }
        }
        if records.is_empty() {
            std::thread::sleep(LOOK_EVERY);
        }
    }
}

/// What a supervised command has said, from its outputs' files.
fn said(run_dir: &Path, handle: Option<&Handle>) -> Option<Said> {
    let Some(Handle::Supervisor { dir }) = handle else { return None };
    process::said(&run_dir.join(dir))
}
