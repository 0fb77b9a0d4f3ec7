//! The verdict: what was counted, whether all of it is as it must be, on the screen and in `summary.json`.
//!
//! Owns the form of the summary. Never softens a finding: one wrong number and the
//! show has failed.

use std::path::Path;

use piton_testkit::compare::Comparison;
use piton_testkit::ledger::{Reconciliation, Stats};
use serde::{Deserialize, Serialize};

use super::super::{Demo, Result, receipt};

/// What the receipt says of the run.
#[derive(Debug)]
pub(super) struct Told {
    steps: u64,
    window: WindowTold,
}

#[derive(Debug, Deserialize)]
struct WindowTold {
    budget: u64,
    measured_us: Option<u64>,
    within_budget: Option<bool>,
    committed: bool,
    take_overs: u64,
}

/// What the receipt says of the run.
pub(super) fn read(file: &Path) -> Result<Told> {
    let Predicate { counts, windows } = receipt::predicate(file)?;
    let window = windows.into_iter().last().ok_or("the receipt tells of no window")?;
    Ok(Told { steps: counts.steps, window })
}

#[derive(Deserialize)]
struct Predicate {
    counts: Counts,
    windows: Vec<WindowTold>,
}

#[derive(Deserialize)]
struct Counts {
    steps: u64,
}

#[derive(Debug, Serialize)]
pub(super) struct Summary {
    steps: u64,
    kills: u64,
    window_budget_ms: u64,
    window_measured_ms: u64,
    acknowledged: u64,
    missing: u64,
    duplicated: u64,
    tables_equal: bool,
    service_errors: u64,
    receipt: String,
    /// The longest time in which the service had no write acknowledged: the pause as its users saw it.
    service_pause_ms: u64,
    /// Engines that took over inside the window, with nobody typing.
    watchdog_take_overs: u64,
    tables: u64,
    rows: u64,
    /// Entries without an answer that are there (allowed once), and entries that nothing explains (not allowed).
    indeterminate_present: u64,
    unexplained: u64,
    left_running: usize,
    took_ms: u128,
    /// Everything that is not as it must be. Empty: the show succeeded.
    failures: Vec<String>,
}

impl Summary {
    pub(super) fn new(
        demo: &Demo,
        kills: u64,
        told: Told,
        stats: &Stats,
        books: &Reconciliation,
        compared: &Comparison,
        receipt: &Path,
        left_running: usize,
    ) -> Self {
        let mut summary = Self {
            steps: told.steps,
            kills,
            window_budget_ms: told.window.budget,
            window_measured_ms: told.window.measured_us.unwrap_or(u64::MAX).div_ceil(1000),
            acknowledged: books.acknowledged,
            missing: books.missing,
            duplicated: books.duplicated,
            tables_equal: compared.is_equal(),
            service_errors: stats.service_errors,
            receipt: receipt.strip_prefix(&demo.root).unwrap_or(receipt).display().to_string(),
            service_pause_ms: stats.longest_gap_ms,
            watchdog_take_overs: told.window.take_overs,
            tables: compared.tables,
            rows: compared.rows,
            indeterminate_present: books.indeterminate_present,
            unexplained: books.unexplained,
            left_running,
            took_ms: demo.started.elapsed().as_millis(),
            failures: Vec::new(),
        };
        summary.failures = summary.judge(demo.few_tables, &told.window, stats, books, compared);
        if !demo.deaths && summary.watchdog_take_overs == 0 {
            summary.failures.push("the engine was not killed inside the window".to_owned());
        }
        summary
    }

    fn judge(
        &self,
        few_tables: bool,
        window: &WindowTold,
        stats: &Stats,
        books: &Reconciliation,
        compared: &Comparison,
    ) -> Vec<String> {
        let mut failures = Vec::new();
        let mut must = |holds: bool, failure: String| {
            if !holds {
                failures.push(failure);
            }
        };
        must(few_tables || self.steps >= super::super::FEWEST_STEPS, format!("only {} steps", self.steps));
        must(window.committed, "the window did not pass its commit point".to_owned());
        must(window.within_budget == Some(true), "the window was over its budget".to_owned());
        must(self.acknowledged > 0, "the ledger wrote nothing".to_owned());
        must(books.is_clean(), format!("the ledger does not reconcile: {books:?}"));
        must(stats.acknowledged == books.acknowledged, "the ledger's own count is another".to_owned());
        must(compared.is_equal(), format!("tables differ: {:?}", compared.differences));
        must(self.left_running == 0, format!("{} processes of Piton did not end by themselves", self.left_running));
        failures
    }

    pub(super) fn write(&self, file: &Path) -> Result<()> {
        std::fs::write(file, serde_json::to_vec_pretty(self)?)?;
        Ok(())
    }

    /// Prints the verdict; true means that the show succeeded.
    pub(super) fn print(&self, demo: &Demo) -> bool {
        println!();
        println!("  steps            {}", self.steps);
        println!("  engine killed    {} times, {} take-over by the watchdog", self.kills, self.watchdog_take_overs);
        println!("  write pause      {} ms measured, of {} ms allowed", self.window_measured_ms, self.window_budget_ms);
        println!(
            "  as the service   {} ms without an acknowledged write, {} errors, each tried again",
            self.service_pause_ms, self.service_errors
        );
        println!(
            "  ledger           {} acknowledged, {} missing, {} duplicated, {} unexplained",
            self.acknowledged, self.missing, self.duplicated, self.unexplained
        );
        println!(
            "  tables           {} with {} rows, {} on both platforms",
            self.tables,
            self.rows,
            if self.tables_equal { "equal" } else { "NOT equal" }
        );
        println!("  receipt          {} (valid; with one byte changed: invalid)", self.receipt);
        println!("  took             {:.1} s", demo.started.elapsed().as_secs_f64());
        for failure in &self.failures {
            println!("  FAILED           {failure}");
        }
        println!();
        self.failures.is_empty()
    }
}
