//! Ten thousand parked runs, and how long `piton runs` takes over them.
//!
//! Owns how they are made: one real run is started and parks; the others are its journal under other ids, each created,
//! leased and appended through the store's own interface, and chained anew. Never writes a row by itself.

use super::{Bench, Figure, median};
use piton_core::RunId;
use piton_core::ids::EngineId;
use piton_core::ports::{LeaseOutcome, NewRun, RunSummary, Store as _};
use piton_core::record::Sealed;
use piton_store::SqliteStore;
use std::io;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

const RUNS: u64 = 10_000;
/// Milliseconds in which they are to be listed.
const LIST_MS: f64 = 100.0;
const ROUNDS: usize = 7;
/// The run in the background has parked within this.
const PATIENCE: Duration = Duration::from_secs(30);

const RUNBOOK: &str = r#""""Waits for a person."""

def main():
    step("Look", noop({"tables": 24}))
    approve("Go", by = "ops")
"#;

impl Bench {
    pub(super) fn parked(&self) -> io::Result<Vec<Figure>> {
        let home = self.dir.join("home-parked");
        std::fs::write(self.dir.join("park.star"), RUNBOOK)?;
        self.piton(&home, &["run", "park.star", "--detach"])?;
        let store = SqliteStore::open(&home).map_err(io::Error::other)?;
        let first = parked_run(&store)?;
        copies(&store, &first)?;
        drop(store);
        let listed = self.piton(&home, &["runs"])?;
        let waiting = listed.lines().filter(|line| line.contains("waiting")).count() as u64;
        if waiting != RUNS {
            return Err(io::Error::other(format!("{waiting} runs wait, not {RUNS}")));
        }
        let mut table = Vec::new();
        let mut json = Vec::new();
        for _ in 0..ROUNDS {
            table.push(self.listing(&home, &["runs"])?);
            json.push(self.listing(&home, &["runs", "--json"])?);
        }
        let figure = |name, value: f64| {
            let ratio = value / LIST_MS;
            let goal = "under 100 ms";
            Figure { name, value, unit: "ms", baseline: LIST_MS, ratio, goal, ok: ratio < 1.0 }
        };
        Ok(vec![
            figure("piton runs, 10,000 parked", median(table)),
            figure("piton runs --json, 10,000 parked", median(json)),
        ])
    }

    /// What it prints.
    fn piton(&self, home: &Path, args: &[&str]) -> io::Result<String> {
        let output = self.command(home, args).output()?;
        if !output.status.success() {
            return Err(io::Error::other(format!("piton {args:?}: {}", output.status)));
        }
        String::from_utf8(output.stdout).map_err(io::Error::other)
    }

    /// Milliseconds.
    fn listing(&self, home: &Path, args: &[&str]) -> io::Result<f64> {
        let start = Instant::now();
        self.command(home, args).stdout(Stdio::null()).status()?;
        Ok(start.elapsed().as_secs_f64() * 1000.0)
    }
}

/// The run that was started, once its engine has left.
fn parked_run(store: &SqliteStore) -> io::Result<RunSummary> {
    let until = Instant::now() + PATIENCE;
    loop {
        let run = store.find("@last").map_err(io::Error::other)?;
        if run.status == "waiting" && run.held_by.is_none() {
            return Ok(run);
        }
        if Instant::now() > until {
            return Err(io::Error::other(format!("the run did not park: it is {}", run.status)));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn copies(store: &SqliteStore, first: &RunSummary) -> io::Result<()> {
    let records = store.read_all(&first.id, 0).map_err(io::Error::other)?;
    let sources = store.sources(&first.id).map_err(io::Error::other)?;
    let engine = EngineId { host: "bench".to_owned(), boot_id: String::new(), pid: std::process::id() };
    for number in 1..RUNS {
        // An odd factor keeps the ids apart, and no two begin alike for long.
        let id = RunId::from_random(number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 14);
        let (title, by) = (first.title.clone(), first.by.clone());
        let (created_at_us, sources) = (first.created_at_us, sources.clone());
        let new = NewRun { id: id.clone(), title, created_at_us, by, parent: None, rehearsal: None, sources };
        store.create_run(&new).map_err(io::Error::other)?;
        let LeaseOutcome::Held(lease) = store.lease(&id, &engine).map_err(io::Error::other)? else {
            return Err(io::Error::other(format!("run {id} is driven by another")));
        };
        let mut copy: Vec<Sealed> = Vec::with_capacity(records.len());
        for record in &records {
            let previous = copy.last().map(|record| record.hash).unwrap_or_default();
            let body = record.body.replace(first.id.as_str(), id.as_str());
            copy.push(Sealed::new(previous, record.seq, record.at, lease.fence(), body));
        }
        store.append(&*lease, &copy, Some(&first.status)).map_err(io::Error::other)?;
    }
    Ok(())
}
