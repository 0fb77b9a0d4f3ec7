//! `piton runs`: the runs of this store, newest first.
//!
//! Owns the table and its JSON, documented in `docs/json.md`.

use crate::args::JsonArgs;
use crate::error::CliError;
use crate::exit::Exit;
use crate::print;
use crate::ui::text::{clip, date, pad, printable, rfc3339, width};
use crate::wire::Wire;
use piton_core::ports::{RunSummary, Store as _};
use serde_json::json;

/// Columns of a title where nobody says how wide the terminal is.
const TITLE_COLUMNS: usize = 60;

pub(crate) fn run(args: JsonArgs) -> Result<Exit, CliError> {
    let wire = Wire::open()?;
    let runs = wire.store.runs()?;
    if args.json {
        let runs: Vec<_> = runs.iter().map(row_json).collect();
        print::out(&format!("{:#}\n", serde_json::Value::from(runs)));
    } else if runs.is_empty() {
        print::note("there is no run yet; start one: piton run FILE");
    } else {
        print::out(&table(&runs));
    }
    Ok(Exit::Done)
}

/// The word the last engine left, unless that engine is gone.
fn status(run: &RunSummary) -> &str {
    match run.status.as_str() {
        "running" | "undoing" | "new" if run.held_by.is_none() => "interrupted",
        status => status,
    }
}

fn row_json(run: &RunSummary) -> serde_json::Value {
    json!({
        "id": run.id,
        "title": run.title,
        "status": status(run),
        "driven_by": run.held_by,
        "started_at": rfc3339(run.created_at_us),
        "last_at": rfc3339(run.updated_at_us),
        "by": run.by,
        "records": run.head_seq,
    })
}

fn table(runs: &[RunSummary]) -> String {
    let statuses = runs.iter().map(|run| width(status(run))).max().unwrap_or(0);
    let names = runs.iter().map(|run| width(&run.by.name)).max().unwrap_or(0).min(20);
    let title_columns = print::columns().map_or(TITLE_COLUMNS, |columns| columns.saturating_sub(36 + statuses + names));
    let mut text = String::new();
    for run in runs {
        text.push_str(&format!(
            "{}  {}  {}  {}  {}\n",
            run.id,
            pad(status(run), statuses),
            date(run.created_at_us),
            pad(&printable(&run.by.name), names),
            clip(&printable(&run.title), title_columns),
        ));
    }
    text
}
