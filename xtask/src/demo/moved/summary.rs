//! The verdict: what was counted, whether all of it is as it must be, on the screen and in `summary.json`.
//!
//! Owns the form of the summary. Never softens a finding: one wrong number and the show has failed.

use std::collections::BTreeMap;
use std::path::Path;

use piton_testkit::ledger::Reconciliation;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::super::sysbench::OWN_CODES;
use super::super::{Demo, FEWEST_STEPS, Result, receipt};
use super::load::Seen;

/// What is promised of the pause.
const LONGEST_PAUSE_MS: f64 = 1000.0;
const KILLS: u64 = 2;

/// The pause by the gate's own clock.
pub(super) struct Pause {
    ms: f64,
    how: String,
}

impl Pause {
    /// From a gate's last hold.
    pub(super) fn read(hold: &Value) -> Result<Self> {
        let us = hold["held_us"].as_f64().ok_or("the gate tells of no hold")?;
        Ok(Self { ms: us / 1000.0, how: hold["how"].as_str().unwrap_or_default().to_owned() })
    }
}

#[derive(Deserialize)]
struct Told {
    counts: Counts,
}

#[derive(Deserialize)]
struct Counts {
    steps: u64,
}

#[derive(Debug, Serialize)]
pub(super) struct Summary {
    steps: u64,
    kills: u64,
    target: &'static str,
    /// From the hold to the release, by the gate's clock, with the engine killed in between.
    pause_ms: f64,
    /// The longest time in which the ledger had no write acknowledged, at any moment of the whole move.
    service_pause_ms: u64,
    acknowledged: u64,
    missing: u64,
    duplicated: u64,
    tables_equal: bool,
    /// Errors and reconnects of sysbench, hidden ones too, that are not the server's own.
    sysbench_errors: u64,
    /// Statements and connections of the ledger and the shop that failed, but for the server's own reasons.
    failed_statements: u64,
    /// Deadlocks and the like, which a server gives whatever stands before it: by code.
    own_errors: BTreeMap<u16, u64>,
    receipt: String,
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
        target: &'static str,
        pause: Pause,
        killed_inside: bool,
        seen: &Seen,
        books: &Reconciliation,
        audited: &Value,
        receipt: &Path,
        left_running: usize,
    ) -> Result<Self> {
        let Told { counts } = receipt::predicate(receipt)?;
        let mut own_errors = BTreeMap::new();
        let own = |code: u16| OWN_CODES.contains(&code);
        for (code, times) in seen.sysbench.by_code.iter().map(|(code, times)| (*code, *times)) {
            *own_errors.entry(code).or_default() += if own(code) { times } else { 0 };
        }
        for (code, (times, _)) in seen.churn.iter().filter(|(code, _)| own(**code)) {
            *own_errors.entry(*code).or_default() += times;
        }
        let foreign = |all: &mut dyn Iterator<Item = (u16, u64)>| -> u64 {
            all.filter(|(code, _)| !own(*code)).map(|(_, times)| times).sum()
        };
        let sysbench = foreign(&mut seen.sysbench.by_code.iter().map(|(code, times)| (*code, *times)));
        let shop = foreign(&mut seen.churn.iter().map(|(code, (times, _))| (*code, *times)));
        let list = audited["tables"].as_array().ok_or("the audit names no tables")?;
        let mut summary = Self {
            steps: counts.steps,
            kills: KILLS,
            target,
            pause_ms: pause.ms,
            service_pause_ms: seen.ledger.longest_gap_ms,
            acknowledged: books.acknowledged,
            missing: books.missing,
            duplicated: books.duplicated,
            tables_equal: audited["equal"] == true && !list.is_empty(),
            sysbench_errors: sysbench + seen.sysbench.reconnects + u64::from(seen.sysbench_ended),
            failed_statements: seen.ledger.service_errors + shop,
            own_errors: own_errors.into_iter().filter(|(_, times)| *times > 0).collect(),
            receipt: receipt.strip_prefix(&demo.root).unwrap_or(receipt).display().to_string(),
            tables: list.len() as u64,
            rows: audited["rows"].as_u64().unwrap_or(0),
            indeterminate_present: books.indeterminate_present,
            unexplained: books.unexplained,
            left_running,
            took_ms: demo.started.elapsed().as_millis(),
            failures: Vec::new(),
        };
        summary.failures = summary.judge(&pause, killed_inside, seen, books);
        Ok(summary)
    }

    fn judge(&self, pause: &Pause, killed_inside: bool, seen: &Seen, books: &Reconciliation) -> Vec<String> {
        let mut failures = Vec::new();
        let mut must = |holds: bool, failure: String| {
            if !holds {
                failures.push(failure);
            }
        };
        must(self.steps >= FEWEST_STEPS, format!("only {} steps", self.steps));
        must(pause.how == "committed", format!("the gate's last hold was {}", pause.how));
        must(self.pause_ms < LONGEST_PAUSE_MS, format!("the pause was {:.0} ms", self.pause_ms));
        must(killed_inside, "the engine did not die before the gate had released".to_owned());
        must(self.acknowledged > 0, "the ledger wrote nothing".to_owned());
        must(books.is_clean(), format!("the ledger does not reconcile: {books:?}"));
        must(seen.ledger.acknowledged == books.acknowledged, "the ledger's own count is another".to_owned());
        must(self.tables_equal, "tables differ by the audit".to_owned());
        must(!seen.sysbench_ended, "sysbench gave up".to_owned());
        must(seen.sysbench.transactions > 0, "sysbench did nothing".to_owned());
        must(self.sysbench_errors == 0, format!("sysbench saw errors: {:?}", seen.sysbench));
        must(self.failed_statements == 0, format!("statements failed: {:?} {:?}", seen.ledger, seen.churn));
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
        println!("  moved            from MariaDB to {}, in {} steps", self.target, self.steps);
        println!("  engine killed    while copying, and between the fence and the release");
        println!("  write pause      {:.1} ms from hold to release, by the gate's clock", self.pause_ms);
        println!(
            "  as the service   {} failed statements, {} errors of sysbench; {} ms at most without an acknowledged write",
            self.failed_statements, self.sysbench_errors, self.service_pause_ms
        );
        if !self.own_errors.is_empty() {
            println!("  the servers' own {:?} (error code: times)", self.own_errors);
        }
        println!(
            "  ledger           {} acknowledged, {} missing, {} duplicated, {} unexplained",
            self.acknowledged, self.missing, self.duplicated, self.unexplained
        );
        println!(
            "  tables           {} with {} rows, {} by the independent audit",
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
