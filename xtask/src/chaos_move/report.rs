//! What a campaign says: a line for each kill, a table at its end, and `target/chaos-move.json`.
//!
//! Owns their form. Never softens a finding: one failure and the campaign has failed.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use super::Result;
use super::judge::Outcome;
use super::kills::{Kill, Victim, When};
use super::strike::Struck;

#[derive(Serialize)]
pub(super) struct Report {
    seed: u64,
    deadline_ms: u128,
    /// Of a run that nobody disturbs.
    pub(super) length_ms: u128,
    kills: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    number: usize,
    victim: &'static str,
    when: String,
    named: bool,
    epoch: u64,
    outcome: Outcome,
    /// The service's longest time without an acknowledged write.
    pause_ms: u64,
    /// From the mover's death to the service's next write, and the most that is allowed.
    released_ms: Option<u64>,
    allowed_ms: Option<u64>,
    cut_off: u64,
    indeterminate: u64,
    /// What the service's users would have noticed without its retries.
    service_errors: u64,
    acknowledged: u64,
    attempt: Option<u64>,
    way_back: bool,
    end: String,
    took_ms: u128,
    failures: Vec<String>,
}

impl Report {
    pub(super) fn new(seed: u64, deadline: Duration) -> Self {
        Self { seed, deadline_ms: deadline.as_millis(), length_ms: 0, kills: Vec::new() }
    }

    pub(super) fn add(&mut self, number: usize, struck: &Struck, outcome: Outcome, failures: Vec<String>) {
        let seen = &struck.seen;
        self.push(Row {
            number,
            victim: seen.kill.victim.word(),
            when: seen.kill.to_string(),
            named: matches!(seen.kill.when, When::At { .. }),
            epoch: seen.epoch,
            outcome,
            pause_ms: struck.pause_ms,
            released_ms: seen.released_ms.map(|(released, _)| released),
            allowed_ms: seen.released_ms.map(|(_, allowed)| allowed),
            cut_off: seen.cut_off,
            indeterminate: seen.stats.indeterminate,
            service_errors: seen.stats.service_errors,
            acknowledged: seen.stats.acknowledged,
            attempt: struck.report.as_ref().and_then(|report| report["attempt"].as_u64()),
            way_back: seen.way_back,
            end: format!("{:?}", seen.end),
            took_ms: struck.took.as_millis(),
            failures,
        });
    }

    /// A kill after which nothing could be judged.
    pub(super) fn broken(&mut self, number: usize, kill: Kill, epoch: u64, why: &str, took: Duration) {
        self.push(Row {
            number,
            victim: kill.victim.word(),
            when: kill.to_string(),
            named: matches!(kill.when, When::At { .. }),
            epoch,
            outcome: Outcome::Neither,
            pause_ms: 0,
            released_ms: None,
            allowed_ms: None,
            cut_off: 0,
            indeterminate: 0,
            service_errors: 0,
            acknowledged: 0,
            attempt: None,
            way_back: false,
            end: String::new(),
            took_ms: took.as_millis(),
            failures: vec![why.to_owned()],
        });
    }

    fn push(&mut self, row: Row) {
        let released = row.released_ms.map_or_else(String::new, |ms| format!(", released after {ms} ms"));
        let lost = if row.cut_off > 0 {
            format!(", {} of {} indeterminate", row.indeterminate, row.cut_off)
        } else {
            String::new()
        };
        println!(
            "{:>3}  epoch {:<2} {:<32} {:<8} pause {:>5} ms{released}{lost}  ({:.1} s)",
            row.number,
            row.epoch,
            row.when,
            format!("{:?}", row.outcome).to_lowercase(),
            row.pause_ms,
            row.took_ms as f64 / 1000.0
        );
        for failure in &row.failures {
            println!("     FAILED  {failure}");
        }
        if !row.failures.is_empty() {
            println!("     the run: {}", row.end);
        }
        self.kills.push(row);
    }

    pub(super) fn write(&self, file: &Path) -> Result<()> {
        std::fs::write(file, serde_json::to_vec_pretty(self)?)?;
        Ok(())
    }

    /// Prints the table; true means that everything held after every kill.
    pub(super) fn print(&self, wanted: usize) -> bool {
        println!("\n  victim   named  random  moved  back  worst pause  indeterminate  failed");
        for victim in Victim::ALL {
            let rows: Vec<&Row> = self.kills.iter().filter(|row| row.victim == victim.word()).collect();
            let count = |wanted: &dyn Fn(&Row) -> bool| rows.iter().filter(|row| wanted(row)).count();
            println!(
                "  {:<8} {:>5}  {:>6}  {:>5}  {:>4}  {:>8} ms  {:>13}  {:>6}",
                victim.word(),
                count(&|row| row.named),
                count(&|row| !row.named),
                count(&|row| row.outcome == Outcome::Moved),
                count(&|row| row.outcome == Outcome::Back),
                rows.iter().map(|row| row.pause_ms).max().unwrap_or_default(),
                rows.iter().map(|row| row.indeterminate).sum::<u64>(),
                count(&|row| !row.failures.is_empty()),
            );
        }
        let mut by_point: BTreeMap<&str, u64> = BTreeMap::new();
        for (when, released) in self.kills.iter().filter_map(|row| Some((row.when.as_str(), row.released_ms?))) {
            let worst = by_point.entry(when).or_default();
            *worst = released.max(*worst);
        }
        if let Some(worst) = by_point.values().max() {
            let allowed = self.deadline_ms + 1000;
            println!("\n  movers killed between c2 and c8: released within {worst} ms, {allowed} ms are allowed");
            by_point.iter().for_each(|(when, ms)| println!("    {when:<32} {ms:>5} ms"));
        }
        let failed: Vec<&Row> = self.kills.iter().filter(|row| !row.failures.is_empty()).collect();
        println!("\n  {} kills, {} with failures", self.kills.len(), failed.len());
        for row in &failed {
            row.failures.iter().for_each(|failure| println!("  FAILED  {} {}: {failure}", row.number, row.when));
        }
        // A campaign that did less than it was to do has not shown anything.
        failed.is_empty() && self.kills.len() == wanted && wanted > 0
    }
}
