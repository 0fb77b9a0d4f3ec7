//! `piton runs`: the runs of this store, newest first.
//!
//! Owns the table and its JSON, documented in `docs/json.md`.

use crate::args::JsonArgs;
use crate::children::Standings;
use crate::commands::waker;
use crate::error::CliError;
use crate::exit::Exit;
use crate::print;
use crate::ui::text::{clip, date, pad, printable, rfc3339, width};
use piton_core::event::Rehearsal;
use piton_core::ids::{Actor, EngineId, RunId};
use piton_core::ports::{RunSummary, Store as _};
use piton_core::state::Status;
use serde::Serialize;
use std::collections::{HashMap, HashSet};

/// It has work to do, and nobody does it.
const INTERRUPTED: &str = "interrupted";
/// Columns of a title where nobody says how wide the terminal is.
const TITLE_COLUMNS: usize = 60;

pub(crate) fn run(args: JsonArgs) -> Result<Exit, CliError> {
    let wire = waker::open()?;
    let mut runs = wire.store.runs()?;
    let parents: HashSet<&RunId> = runs.iter().filter_map(|run| run.parent.as_ref()).collect();
    let mut standings = Standings::new(&wire);
    let stands: Vec<String> = runs.iter().map(|run| status(&mut standings, run, parents.contains(&run.id))).collect();
    runs.iter_mut().zip(stands).for_each(|(run, stands)| run.status = stands);
    if args.json {
        let rows: Vec<Row<'_>> = runs.iter().map(Row::of).collect();
        let json =
            serde_json::to_string_pretty(&rows).map_err(|error| CliError::bug("runs have no JSON").source(error))?;
        print::out(&format!("{json}\n"));
    } else if runs.is_empty() {
        print::note("there is no run yet; start one: piton run FILE");
    } else {
        print::out(&table(&runs));
    }
    Ok(Exit::Done)
}

/// The word the last engine left, unless that engine is gone. What nobody drives and waits for a child run stands as that
/// does now.
fn status(standings: &mut Standings, run: &RunSummary, is_parent: bool) -> String {
    let undriven = run.held_by.is_none();
    let may_wait = [Status::Running.word(), Status::Waiting.word()].contains(&run.status.as_str());
    // A journal that cannot be read is told of by whoever asks for that run.
    let now = if undriven && is_parent && may_wait { standings.of(&run.id).ok() } else { None };
    let word = match (now, run.status.as_str()) {
        (Some((Status::Running, false)), _) => INTERRUPTED,
        (Some((status, _)), _) => status.word(),
        (None, "running" | "undoing" | "new") if undriven => INTERRUPTED,
        (None, status) => status,
    };
    word.to_owned()
}

#[derive(Serialize)]
struct Row<'a> {
    id: &'a RunId,
    title: &'a str,
    status: &'a str,
    driven_by: Option<&'a EngineId>,
    started_at: String,
    last_at: String,
    by: &'a Actor,
    records: u64,
    rehearsal: Option<Rehearsal>,
    /// The run that started it.
    parent: Option<&'a RunId>,
}

impl<'a> Row<'a> {
    fn of(run: &'a RunSummary) -> Self {
        Self {
            id: &run.id,
            title: &run.title,
            status: &run.status,
            driven_by: run.held_by.as_ref(),
            started_at: rfc3339(run.created_at_us),
            last_at: rfc3339(run.updated_at_us),
            by: &run.by,
            records: run.head_seq,
            rehearsal: run.rehearsal,
            parent: run.parent.as_ref(),
        }
    }
}

/// A rehearsal is never taken for a run.
fn title(run: &RunSummary) -> String {
    let marked = run.rehearsal.map_or_else(String::new, |how| format!("[rehearsal {how}] "));
    format!("{marked}{}", printable(&run.title))
}

fn table(runs: &[RunSummary]) -> String {
    let statuses = runs.iter().map(|run| width(&run.status)).max().unwrap_or(0);
    let names = runs.iter().map(|run| width(&run.by.name)).max().unwrap_or(0).min(20);
    let title_columns = print::columns().map_or(TITLE_COLUMNS, |columns| columns.saturating_sub(36 + statuses + names));
    let mut text = String::new();
    for (depth, run) in families(runs) {
        let title = format!("{}{}", "  ".repeat(depth), title(run));
        text.push_str(&format!(
            "{}  {}  {}  {}  {}\n",
            run.id,
            pad(&run.status, statuses),
            date(run.created_at_us),
            pad(&printable(&run.by.name), names),
            clip(&title, title_columns),
        ));
    }
    text
}

/// Each run with its child runs below it, as many levels down as it says; those of one run in the order of their start.
fn families(runs: &[RunSummary]) -> Vec<(usize, &RunSummary)> {
    let known: HashSet<&RunId> = runs.iter().map(|run| &run.id).collect();
    let mut below: HashMap<&RunId, Vec<&RunSummary>> = HashMap::new();
    let mut tops = Vec::new();
    // Newest last, so that taking from the end gives the newest.
    for run in runs.iter().rev() {
        match run.parent.as_ref().filter(|parent| known.contains(parent)) {
            Some(parent) => below.entry(parent).or_default().push(run),
            None => tops.push((0, run)),
        }
    }
    let mut family = Vec::with_capacity(runs.len());
    while let Some((depth, run)) = tops.pop() {
        family.push((depth, run));
        let children = below.remove(&run.id).unwrap_or_default();
        tops.extend(children.into_iter().rev().map(|child| (depth + 1, child)));
    }
    family
}
