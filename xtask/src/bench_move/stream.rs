//! The stream's rows: how fast a backlog is applied, beside MariaDB's own parallel replica, and the lag at a rate.
//!
//! Both begin where the tables were equal, and apply the same backlogs in turns. Owns three servers and the load.

use super::servers::{Load, Pair, caught_up, fill, note, other, replica, sysbench, tables, timed};
use crate::bench::{Figure, median};
use piton_testkit::mariadb::MariaDb;
use std::fs::File;
use std::io;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

pub(super) const NAMES: [&str; 3] =
    ["stream: a backlog of 60 s", "stream: the same, beside a parallel replica", "stream: worst lag at 100 tx/s"];

const ROUNDS: usize = 3;
const TABLES: u32 = 4;
const ROWS: u32 = 100_000;
/// Seconds in which sysbench makes a backlog.
const BACKLOG_S: f64 = 60.0;
/// Transactions a second while the lag is looked at, for how long, and what comes before.
const RATE: u32 = 100;
const LAG_FOR: Duration = Duration::from_secs(30);
const WARM_UP: Duration = Duration::from_secs(5);
const LAG_MS: f64 = 50.0;
const NAME: &str = "stream";

pub(super) fn measure(piton: &Path, word: &str) -> io::Result<Vec<Figure>> {
    let pair = Pair::start(piton)?;
    let beside = NAMES[..2].iter().any(|name| name.contains(word));
    let replica = if beside { Some(replica(&pair.old, 3)?) } else { None };
    fill(&pair.old, TABLES, ROWS)?;
    let all = tables(TABLES);
    pair.shape(&all)?;
    pair.moves("copy", NAME, &all, &[])?;
    let mut figures = Vec::new();
    if let Some(replica) = replica {
        caught_up(&pair.old, &replica)?;
        replica.sql("stop slave").map_err(other)?;
        figures.extend(backlogs(&pair, &replica, &all)?);
    }
    if NAMES[2].contains(word) {
        figures.push(lag(&pair, &all)?);
    }
    Ok(figures)
}

fn backlogs(pair: &Pair, replica: &MariaDb, all: &[String]) -> io::Result<Vec<Figure>> {
    let mut rounds = Vec::new();
    for round in 0..ROUNDS {
        let made = sysbench(&pair.old, TABLES, ROWS, &["--threads=16", &format!("--time={BACKLOG_S}"), "run"])?;
        let made = timed(made)?.output;
        let transactions = made.lines().find_map(|line| line.trim_start().strip_prefix("transactions:"));
        note(&format!("stream: the backlog is {}", transactions.unwrap_or("of unknown size").trim()));
        let (mut ours, mut theirs) = (0.0, 0.0);
        for turn in 0..2 {
            if (turn + round) % 2 == 0 {
                ours = pair.moves("follow", NAME, all, &[])?.time.as_secs_f64();
            } else {
                theirs = replicated(pair, replica)?;
            }
        }
        note(&format!("stream: applied in {ours:.1} s; by the replica in {theirs:.1} s"));
        rounds.push((ours, theirs));
    }
    let ours = median(rounds.iter().map(|(ours, _)| *ours).collect());
    let ratio = median(rounds.iter().map(|(ours, theirs)| ours / theirs).collect());
    let theirs = median(rounds.iter().map(|(_, theirs)| *theirs).collect());
    let of_backlog = ours / BACKLOG_S;
    let figure = |name, baseline, ratio, goal, ok| Figure { name, value: ours, unit: "s", baseline, ratio, goal, ok };
    Ok(vec![
        figure(
            NAMES[0],
            BACKLOG_S,
            of_backlog,
            "in at most a third of the time it took to make it",
            of_backlog <= 1.0 / 3.0,
        ),
        figure(NAMES[1], theirs, ratio, "not slower than MariaDB's parallel replica", ratio <= 1.0),
    ])
}

/// Seconds until the replica has what the old side has logged.
fn replicated(pair: &Pair, replica: &MariaDb) -> io::Result<f64> {
    let began = Instant::now();
    replica.sql("start slave").map_err(other)?;
    caught_up(&pair.old, replica)?;
    let took = began.elapsed().as_secs_f64();
    replica.sql("stop slave").map_err(other)?;
    Ok(took)
}

/// Looks at the lag that the move tells while a load writes.
fn lag(pair: &Pair, all: &[String]) -> io::Result<Figure> {
    let mut load = Load::start(&pair.old, TABLES, ROWS, RATE)?;
    let dir = tempfile::tempdir()?;
    let told = dir.path().join("told");
    // No lag is small enough for it to end by itself.
    let mut command = pair.command("follow", NAME, all, &["--lag", "0s"]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(&told)?);
    let mut mover = command.spawn()?;
    std::thread::sleep(WARM_UP);
    let before = std::fs::read_to_string(&told)?.lines().count();
    std::thread::sleep(LAG_FOR);
    let ended = mover.try_wait()?;
    mover.kill()?;
    mover.wait()?;
    let told = std::fs::read_to_string(&told)?;
    if let Some(status) = ended {
        return Err(io::Error::other(format!("piton move follow: {status}: {told}")));
    }
    let ms = |line: &str| line.strip_suffix(" ms behind").and_then(|ms| ms.parse::<f64>().ok());
    let lags: Vec<f64> = told.lines().skip(before).filter_map(ms).collect();
    note(&format!("stream: {:.1} transactions a second, {} looks at the lag", load.rate()?, lags.len()));
    let worst = lags.iter().copied().fold(f64::NAN, f64::max);
    Ok(Figure {
        name: NAMES[2],
        value: worst,
        unit: "ms",
        baseline: median(lags),
        ratio: worst / LAG_MS,
        goal: "under 50 ms (beside it the median)",
        ok: worst < LAG_MS,
    })
}
