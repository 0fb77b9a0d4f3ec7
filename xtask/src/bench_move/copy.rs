//! The copy's row: rows a second of `piton move copy`, beside `mydumper` with `myloader` and `mariadb-dump | mariadb`.
//!
//! All three copy the same tables between the same two servers while the same load writes to the old one, in turns, and end
//! with the same tables and indexes. Only the move also streams what the load changes. Its indexes that are not unique come
//! after the rows, as `@piton/mysql.star` has it (`add_indexes`); their time counts. Owns the servers, the load and the dumps'
//! directory.

use super::servers::{Load, Pair, SCHEMA, fill, note, other, tables, timed};
use crate::bench::{Figure, median};
use piton_testkit::find_program;
use piton_testkit::mariadb::MariaDb;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

pub(super) const NAMES: [&str; 1] = ["copy: rows, while 50 tx/s are streamed"];

/// Each round copies the tables with each of the three.
const ROUNDS: usize = 5;
const TABLES: u32 = 4;
const ROWS: u32 = 200_000;
/// Transactions a second that the load makes.
const RATE: u32 = 50;
/// How many connections each tool may write with.
const THREADS: &str = "4";

pub(super) fn measure(piton: &Path) -> io::Result<Vec<Figure>> {
    let pair = Pair::start(piton)?;
    fill(&pair.old, TABLES, ROWS)?;
    let rows = f64::from(TABLES * ROWS);
    let mut load = Load::start(&pair.old, TABLES, ROWS, RATE)?;
    let mut rounds = Vec::new();
    for round in 0..ROUNDS {
        // Each is the first as often as it can be: what one leaves behind on the disk is the next one's trouble.
        let mut took = [0.0; 3];
        for turn in 0..3 {
            let which = (turn + round) % 3;
            took[which] = match which {
                0 => moved(&pair, round)?,
                1 => loaded(&pair)?,
                _ => piped(&pair)?,
            };
            clean(&pair)?;
        }
        let [ours, mydumper, dump] = took.map(|seconds| rows / seconds);
        note(&format!("copy: {ours:.0} rows/s; mydumper and myloader {mydumper:.0}, mariadb-dump {dump:.0}"));
        rounds.push((ours, mydumper.max(dump)));
    }
    note(&format!("copy: the load made {:.1} transactions a second", load.rate()?));
    let ratio = median(rounds.iter().map(|(ours, theirs)| ours / theirs).collect());
    Ok(vec![Figure {
        name: NAMES[0],
        value: median(rounds.iter().map(|(ours, _)| *ours).collect()),
        unit: "row/s",
        baseline: median(rounds.iter().map(|(_, theirs)| *theirs).collect()),
        ratio,
        goal: "at least 1.0 times the better of mydumper and mariadb-dump",
        ok: ratio >= 1.0,
    }])
}

/// Seconds of a move's copy, from the command's start to its end, and of the indexes after it.
fn moved(pair: &Pair, round: usize) -> io::Result<f64> {
    let all = tables(TABLES);
    pair.shape(&all)?;
    for (table, number) in all.iter().zip(1..) {
        pair.new.sql(&format!("alter table {table} drop key k_{number}")).map_err(other)?;
    }
    let took = pair.moves("copy", &format!("copy-{round}"), &all, &["--copiers", THREADS])?;
    let began = Instant::now();
    let add = |(table, number): (&String, u32)| pair.new.sql(&format!("alter table {table} add key k_{number} (k)"));
    std::thread::scope(|scope| {
        let adding: Vec<_> = all.iter().zip(1..).map(|one| scope.spawn(move || add(one))).collect();
        adding.into_iter().try_for_each(|one| match one.join() {
            Ok(added) => added.map(drop).map_err(other),
            Err(_) => Err(io::Error::other("who adds an index panicked")),
        })
    })?;
    Ok((took.time + began.elapsed()).as_secs_f64())
}

fn account(command: &mut Command, server: &MariaDb) {
    command.args(["--host", "127.0.0.1", "--user", MariaDb::ADMIN]);
    command.arg(format!("--port={}", server.port())).arg(format!("--password={}", server.password()));
}

/// `mydumper`, then `myloader`, which writes to the target's log as everybody does here.
fn loaded(pair: &Pair) -> io::Result<f64> {
    let dir = tempfile::tempdir()?;
    let began = Instant::now();
    let mut dump = Command::new(find_program(&["mydumper"], "mydumper").map_err(other)?);
    account(&mut dump, &pair.old);
    dump.args(["--database", SCHEMA, "--threads", THREADS, "--trx-consistency-only", "--outputdir"]).arg(dir.path());
    timed(dump)?;
    let mut load = Command::new(find_program(&["myloader"], "mydumper").map_err(other)?);
    account(&mut load, &pair.new);
    load.args(["--database", SCHEMA, "--threads", THREADS, "--enable-binlog", "--directory"]).arg(dir.path());
    timed(load)?;
    Ok(began.elapsed().as_secs_f64())
}

/// `mariadb-dump` into `mariadb`.
fn piped(pair: &Pair) -> io::Result<f64> {
    pair.new.sql(&format!("create database {SCHEMA}")).map_err(other)?;
    let began = Instant::now();
    let mut dump = Command::new(find_program(&["mariadb-dump"], "mariadb-client").map_err(other)?);
    dump.arg("--no-defaults");
    account(&mut dump, &pair.old);
    let mut dump = dump.args(["--single-transaction", "--quick", SCHEMA]).stdout(Stdio::piped()).spawn()?;
    let rows = dump.stdout.take().map_or_else(Stdio::null, Stdio::from);
    let status = pair.new.client().map_err(other)?.arg(SCHEMA).stdin(rows).status()?;
    let dumped = dump.wait()?;
    if status.success() && dumped.success() {
        return Ok(began.elapsed().as_secs_f64());
    }
    Err(io::Error::other(format!("mariadb-dump: {dumped}, mariadb: {status}")))
}

/// Sees that all rows are there, and drops them.
fn clean(pair: &Pair) -> io::Result<()> {
    for table in tables(TABLES) {
        let count = pair.new.sql(&format!("select count(*) from {table}")).map_err(other)?;
        // The load deletes a row and inserts it again in one transaction.
        if count.trim() != ROWS.to_string() {
            return Err(io::Error::other(format!("{table} has {} of {ROWS} rows", count.trim())));
        }
    }
    pair.new.sql(&format!("drop database {SCHEMA}; reset master")).map_err(other).map(drop)
}
