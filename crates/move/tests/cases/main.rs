//! The edge-case suite: page 5's checklist, each case with changes that arrive while it is copied.
//!
//! The copy stands between two chunks, inside a pair of watermarks, while a case's changes are made: so they really
//! arrive during it. All cases share one pair of servers, a schema each. The same cases run against TiDB.
//!
//! Owns running the cases and comparing by a path of its own. What a case is, see `case.rs`.

#![allow(clippy::unwrap_used, reason = "tests")]

mod case;
mod checklist;
mod play;
#[path = "../support/mod.rs"]
mod support;

use std::path::Path;

use case::Case;
use play::{Stage, Target};

fn cases() -> Vec<Case> {
    let only = std::env::var("PITON_CASE").unwrap_or_default();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let mut cases = case::all(&folder);
    cases.retain(|case| only.split(',').any(|word| case.name.contains(word)));
    cases
}

/// Nothing is killed here: the suite need not wait for disks.
const UNFLUSHED: &[&str] = &["--sync-binlog=0", "--innodb-flush-log-at-trx-commit=0"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_case_has_its_verdict_on_mariadb() {
    let (Some(source), Some(target)) = (support::server(1, UNFLUSHED), support::server(2, UNFLUSHED)) else { return };
    let stage = Stage { source, target: Target::MariaDb(target) };
    assert_eq!(play::all(&stage, cases()).await, "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_case_has_its_verdict_on_tidb() {
    let Some(tidb) = support::tidb() else { return };
    let Some(source) = support::server(1, UNFLUSHED) else { return };
    let stage = Stage { source, target: Target::TiDb(tidb) };
    assert_eq!(play::all(&stage, cases()).await, "");
}

#[test]
fn every_line_of_the_checklist_has_a_case() {
    let cases = case::all(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases"));
    assert!(cases.len() >= 80, "{} cases", cases.len());
    let unknown: Vec<_> = cases
        .iter()
        .flat_map(|case| case.covers.iter().map(move |line| (case.name.as_str(), line.as_str())))
        .filter(|(_, line)| !checklist::LINES.contains(line))
        .collect();
    assert_eq!(unknown, [], "no such line");
    let covered = |line: &str| cases.iter().any(|case| case.covers.iter().any(|covers| covers == line));
    let uncovered: Vec<_> = checklist::LINES.iter().filter(|line| !covered(line)).collect();
    assert_eq!(uncovered, Vec::<&&str>::new());
}
