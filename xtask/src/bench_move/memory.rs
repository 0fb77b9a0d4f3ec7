//! The memory's rows: the peak of a move's process while it copies a table of ten million rows, and while it applies a
//! transaction of a million.
//!
//! Owns the table. The peak is the kernel's (`VmHWM`), of the process alone.

use super::servers::{Pair, note, other, parsed};
use crate::bench::Figure;
use std::io;
use std::path::Path;

pub(super) const NAMES: [&str; 2] = ["memory: copy of 10 million rows", "memory: one transaction of a million rows"];

const ROWS: u32 = 10_000_000;
const CHANGED: u32 = 1_000_000;
/// Rows in a transaction of ours that fills the table.
const FILLED: u32 = 500_000;
const LIMIT_MIB: f64 = 256.0;
const NAME: &str = "memory";

pub(super) fn measure(piton: &Path) -> io::Result<Vec<Figure>> {
    let pair = Pair::start(piton)?;
    let all = ["wide.big".to_owned()];
    let shape = "id bigint unsigned primary key, counted int not null, name varchar(100) not null";
    pair.old.sql(&format!("create database wide; create table wide.big ({shape})")).map_err(other)?;
    for from in (0..ROWS).step_by(FILLED as usize) {
        let row = format!("select seq, seq % 1000, concat('the row with the number ', seq) from seq_{}_to_", from + 1);
        let fill = format!("use wide; set sql_log_bin = 0; insert into big {row}{}", from + FILLED);
        pair.old.sql(&fill).map_err(other)?;
    }
    pair.shape(&all)?;
    let copied = pair.moves("copy", NAME, &all, &[])?;
    expect(&parsed(&copied.output)?["rows"], ROWS)?;
    note(&format!("memory: copied in {:.0} s", copied.time.as_secs_f64()));
    pair.old.sql(&format!("update wide.big set counted = counted + 1 where id <= {CHANGED}")).map_err(other)?;
    let applied = pair.moves("follow", NAME, &all, &[])?;
    expect(&parsed(&applied.output)?["applied_changes"], CHANGED)?;
    note(&format!("memory: applied in {:.0} s", applied.time.as_secs_f64()));
    let figure = |name, value: f64| Figure {
        name,
        value,
        unit: "MiB",
        baseline: LIMIT_MIB,
        ratio: value / LIMIT_MIB,
        goal: "under 256 MiB",
        ok: value < LIMIT_MIB,
    };
    Ok(vec![figure(NAMES[0], copied.peak_mib), figure(NAMES[1], applied.peak_mib)])
}

fn expect(told: &serde_json::Value, count: u32) -> io::Result<()> {
    if told.as_u64() == Some(u64::from(count)) {
        return Ok(());
    }
    Err(io::Error::other(format!("{told} where {count} rows were expected")))
}
