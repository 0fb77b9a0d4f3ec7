//! `make bench`: speed, each figure beside what it is compared to, measured in turns in one run.
//!
//! `xtask bench WORD` measures only the rows whose name contains the word.
//!
//! Owns the figures, their goals and `target/bench.json`. Machines are noisy: pairs are interleaved and the median
//! ratio counts. Never a test: a slow machine fails nothing but the figure.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it prints its figures")]

mod parked;

use piton_core::ports::Store as _;
use piton_store::SqliteStore;
use serde::Serialize;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

/// Pairs of measurements for each figure.
const ROUNDS: usize = 7;
/// Durable steps, and bare commits beside them.
const STEPS: u32 = 1000;
/// Steps over all branches.
const BRANCH_STEPS: u32 = 10_000;
/// `sh("true")` steps, and bare shells beside them.
const SHELLS: u32 = 200;

#[derive(Serialize)]
pub(crate) struct Figure {
    pub(crate) name: &'static str,
    pub(crate) value: f64,
    pub(crate) unit: &'static str,
    /// What it is compared to, in the same unit.
    pub(crate) baseline: f64,
    pub(crate) ratio: f64,
    pub(crate) goal: &'static str,
    pub(crate) ok: bool,
}

struct Bench {
    piton: PathBuf,
    dir: PathBuf,
    homes: std::cell::Cell<u32>,
}

pub(crate) fn run(word: &str) -> ExitCode {
    match measure(word) {
        Ok(figures) => report(&figures, "target/bench.json"),
        Err(error) => could_not(&error),
    }
}

pub(crate) fn could_not(error: &io::Error) -> ExitCode {
    eprintln!("the benchmark could not be run: {error}");
    ExitCode::FAILURE
}

/// Prints the figures and writes them to a file.
pub(crate) fn report(figures: &[Figure], file: &str) -> ExitCode {
    println!("{:<44} {:>12} {:>12} {:>8}  goal", "", "value", "beside", "ratio");
    for figure in figures {
        let Figure { name, value, unit, baseline, ratio, goal, ok } = figure;
        let mark = if *ok { "✓" } else { "✗" };
        println!("{mark} {name:<42} {value:>9.1} {unit:<5} {baseline:>6.1} {unit:<5} {ratio:>7.2}  {goal}");
    }
    let json = serde_json::to_string_pretty(figures).unwrap_or_default();
    if let Err(error) = fs::create_dir_all("target").and_then(|()| fs::write(file, json + "\n")) {
        eprintln!("{file} cannot be written: {error}");
        return ExitCode::FAILURE;
    }
    if figures.iter().all(|figure| figure.ok) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Rows that are measured together, by what their names say.
type Rows = (&'static [&'static str], fn(&Bench) -> io::Result<Vec<Figure>>);

const ROWS: &[Rows] = &[
    (&["piton --version"], |bench| Ok(vec![bench.version()?])),
    (&["1,000 sequential durable no-op steps"], |bench| Ok(vec![bench.sequential()?])),
    (&["1,000 no-op steps on 64 branches"], |bench| Ok(vec![bench.branches()?])),
    (&["10,000 branches, whole run"], |bench| Ok(vec![bench.many_branches()?])),
    (&["200 sh(\"true\") steps"], |bench| Ok(vec![bench.shells()?])),
    (
        &[
            "make-100k, wall time",
            "make-100k, peak memory",
            "make-100k, steps of its second half",
            "resume-100k, wall time",
            "resume-100k, peak memory",
        ],
        Bench::large,
    ),
    (&["piton runs, 10,000 parked", "piton runs --json, 10,000 parked"], Bench::parked),
    (&["plan of 5,000 steps"], |bench| Ok(vec![bench.plan()?])),
    (&["plan of 5,000 steps, with estimates"], |bench| Ok(vec![bench.estimated()?])),
];

fn measure(word: &str) -> io::Result<Vec<Figure>> {
    let own = std::env::current_exe()?;
    let piton = own.with_file_name("piton");
    // On the disk of the checkout, where a journal would be: a temporary directory may be memory.
    let dir = std::env::current_dir()?.join("target/bench");
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(&dir)?;
    fs::write(dir.join("bench.star"), RUNBOOK)?;
    let bench = Bench { piton, dir, homes: std::cell::Cell::new(0) };
    let mut figures = Vec::new();
    for (names, rows) in ROWS {
        if names.iter().any(|name| name.contains(word)) {
            figures.extend(rows(&bench)?.into_iter().filter(|figure| figure.name.contains(word)));
        }
    }
    fs::remove_dir_all(&bench.dir)?;
    Ok(figures)
}

const RUNBOOK: &str = r#""""Steps that do nothing, to measure what a step costs."""

def main(steps: int = 0, branches: int = 0, shells: int = 0, large: int = 0, writes: int = 0):
    for i in range(writes):
        step("write %d" % i, sh("touch part-%d" % i), undo = sh("rm part-%d" % i), repeatable = True)
    for i in range(steps):
        step("noop %d" % i, noop())
    if large:
        each("large", [str(i) for i in range(large)], thousand, concurrency = 64)
        expect("stop", noop(False))
    if branches:
        each("branches", [str(i) for i in range(branches)], one, concurrency = 64)
    for i in range(shells):
        step("shell %d" % i, sh("true"), repeatable = True)

def one(item):
    step("noop", noop())

ROWS = [
    {"id": 1, "name": "accounts", "rows": 1204331},
    {"id": 2, "name": "ledger", "rows": 2300111},
    {"id": 3, "name": "payments", "rows": 812004},
]

def thousand(item):
    for i in range(1000):
        step("noop %d" % i, noop(ROWS))
"#;

/// Thousands of finished steps, each with an outcome of three rows, in the run that is made and resumed.
const LARGE_THOUSANDS: u32 = 100;
/// What `piton` exits with where the run holds: the large one ends with a step that cannot succeed.
const HOLDS: i32 = 1;
/// Goals of resuming it, milliseconds and MiB.
const RESUME_MS: f64 = 1500.0;
const RESUME_MIB: f64 = 300.0;
/// Steps late in a run may take this many times as long as early ones: what a busy machine makes of equal work.
const GROWTH: f64 = 1.3;
/// Steps of the plan that is made, none of which reads, and milliseconds in which it is to be made.
const PLAN_STEPS: usize = 5000;
const PLAN_MS: f64 = 500.0;
/// Runs of as many steps in the store of a plan with estimates: more records than are read for one.
const PAST_RUNS: usize = 10;
/// How often the memory of a process is looked at; its peak so far is what the kernel tells.
const LOOK_AT_MEMORY: Duration = Duration::from_millis(5);

impl Bench {
    fn command(&self, home: &Path, args: &[&str]) -> Command {
        let mut command = Command::new(&self.piton);
        command.args(args).current_dir(&self.dir).env("PITON_HOME", home).stderr(Stdio::null());
        command
    }

    /// Wall time of a whole run.
    fn run(&self, flag: &str, count: u32) -> io::Result<Duration> {
        // A home of its own, removed at the end: ext4 searches long for an inode where many were deleted just before
        // (`recently_deleted`), which would be measured as the cost of a command's files.
        self.homes.set(self.homes.get() + 1);
        let home = self.dir.join(format!("home-{}", self.homes.get()));
        let start = Instant::now();
        let status = Command::new(&self.piton)
            .args(["run", "bench.star", flag, &count.to_string()])
            .current_dir(&self.dir)
            .env("PITON_HOME", &home)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()?;
        let took = start.elapsed();
        if status.success() { Ok(took) } else { Err(io::Error::other(format!("piton run {flag} {count}: {status}"))) }
    }

    /// What `count` steps cost beyond a run of none.
    fn steps(&self, flag: &str, count: u32) -> io::Result<Duration> {
        let empty = self.run("--steps", 0)?;
        Ok(self.run(flag, count)?.saturating_sub(empty))
    }

    fn sequential(&self) -> io::Result<Figure> {
        let pairs = pairs(|| self.steps("--steps", STEPS), || self.bare_commits(STEPS))?;
        Ok(at_most("1,000 sequential durable no-op steps", pairs, 1.5, "at most 1.5 times bare SQLite commits"))
    }

    /// One-row commits with SQLite alone, as durable as the journal's.
    fn bare_commits(&self, count: u32) -> io::Result<Duration> {
        let path = self.dir.join("bare.db");
        for suffix in ["", "-wal", "-shm"] {
            let _ = fs::remove_file(format!("{}{suffix}", path.display()));
        }
        let sqlite = |error: rusqlite::Error| io::Error::other(error);
        let db = rusqlite::Connection::open(&path).map_err(sqlite)?;
        db.execute_batch(
            "pragma journal_mode = wal; pragma synchronous = full; create table t (id integer primary key, body text)",
        )
        .map_err(sqlite)?;
        let start = Instant::now();
        let mut insert = db.prepare("insert into t (body) values (?1)").map_err(sqlite)?;
        for _ in 0..count {
            insert.execute(["x"]).map_err(sqlite)?;
        }
        Ok(start.elapsed())
    }

    fn branches(&self) -> io::Result<Figure> {
        let pairs = pairs(
            || self.steps("--branches", BRANCH_STEPS).map(|took| took / (BRANCH_STEPS / STEPS)),
            || self.steps("--steps", STEPS),
        )?;
        let (value, baseline, ratio) = medians(&pairs);
        let name = "1,000 no-op steps on 64 branches";
        let goal = "at most 0.1 times as long as one after the other";
        Ok(Figure { name, value, unit: "ms", baseline, ratio, goal, ok: ratio <= 0.1 })
    }

    fn many_branches(&self) -> io::Result<Figure> {
        let pairs = pairs(|| self.run("--branches", BRANCH_STEPS), || self.run("--steps", BRANCH_STEPS))?;
        let (value, baseline, ratio) = medians(&pairs);
        let name = "10,000 branches, whole run";
        Ok(Figure { name, value, unit: "ms", baseline, ratio, goal: "works", ok: true })
    }

    fn shells(&self) -> io::Result<Figure> {
        let pairs = pairs(|| self.steps("--shells", SHELLS), || bare_shells(SHELLS))?;
        Ok(at_most("200 sh(\"true\") steps", pairs, 2.0, "at most 2 times fork, exec and wait of the same shell"))
    }

    /// Making a run of very many steps, and resuming it: time, and the process's largest resident memory.
    fn large(&self) -> io::Result<Vec<Figure>> {
        let home = self.dir.join("home-large");
        let thousands = LARGE_THOUSANDS.to_string();
        let (made, made_mib) = self.measured(&home, &["run", "bench.star", "--large", &thousands])?;
        self.measured(&home, &["resume", "@last"])?;
        let mut resumed = Vec::new();
        for _ in 0..3 {
            resumed.push(self.measured(&home, &["resume", "@last"])?);
        }
        let ms = |took: &Duration| took.as_secs_f64() * 1000.0;
        let resume_ms = median(resumed.iter().map(|(took, _)| ms(took)).collect());
        let resume_mib = median(resumed.iter().map(|(_, mib)| *mib).collect());
        let (early, late) = halves(&home)?;
        let figure = |name, value: f64, unit, baseline: f64, goal, bound: bool| {
            let ratio = value / baseline;
            Figure { name, value, unit, baseline, ratio, goal, ok: !bound || ratio <= 1.0 }
        };
        Ok(vec![
            figure("make-100k, wall time", ms(&made), "ms", RESUME_MS, "works", false),
            figure("make-100k, peak memory", made_mib, "MiB", RESUME_MIB, "at most 300 MiB", true),
            figure(
                "make-100k, steps of its second half",
                late,
                "ms",
                early * GROWTH,
                "no dearer than the first's",
                true,
            ),
            figure("resume-100k, wall time", resume_ms, "ms", RESUME_MS, "at most 1,500 ms", true),
            figure("resume-100k, peak memory", resume_mib, "MiB", RESUME_MIB, "at most 300 MiB", true),
        ])
    }

    /// A plan of many steps that read nothing: what planning itself takes.
    fn plan(&self) -> io::Result<Figure> {
        let home = self.dir.join("home-plan");
        let steps = PLAN_STEPS.to_string();
        let mut took = Vec::new();
        for _ in 0..ROUNDS {
            let start = Instant::now();
            let output = self.command(&home, &["plan", "bench.star", "--writes", &steps]).output()?;
            took.push(start.elapsed().as_secs_f64() * 1000.0);
            let told = String::from_utf8_lossy(&output.stdout).matches("write ").count();
            if !output.status.success() || told < PLAN_STEPS {
                return Err(io::Error::other(format!("piton plan: {}, {told} steps", output.status)));
            }
        }
        let (name, value, baseline) = ("plan of 5,000 steps", median(took), PLAN_MS);
        let ratio = value / baseline;
        Ok(Figure { name, value, unit: "ms", baseline, ratio, goal: "under 500 ms", ok: ratio < 1.0 })
    }

    /// The same of steps that past runs have done, as many of them as are looked at.
    fn estimated(&self) -> io::Result<Figure> {
        let home = self.dir.join("home-estimated");
        let steps = PLAN_STEPS.to_string();
        for _ in 0..PAST_RUNS {
            let ran = self.command(&home, &["run", "bench.star", "--steps", &steps]).stdout(Stdio::null()).status()?;
            if !ran.success() {
                return Err(io::Error::other(format!("piton run: {ran}")));
            }
        }
        let mut took = Vec::new();
        for _ in 0..ROUNDS {
            let start = Instant::now();
            let output = self.command(&home, &["plan", "bench.star", "--steps", &steps]).output()?;
            took.push(start.elapsed().as_secs_f64() * 1000.0);
            if !String::from_utf8_lossy(&output.stdout).contains(" past runs did") {
                return Err(io::Error::other(format!("piton plan: {}, and nothing is estimated", output.status)));
            }
        }
        let (name, value, baseline) = ("plan of 5,000 steps, with estimates", median(took), PLAN_MS);
        let ratio = value / baseline;
        Ok(Figure { name, value, unit: "ms", baseline, ratio, goal: "under 500 ms", ok: ratio < 1.0 })
    }

    /// Wall time and peak resident memory (MiB) of a command that ends with a hold.
    fn measured(&self, home: &Path, args: &[&str]) -> io::Result<(Duration, f64)> {
        let start = Instant::now();
        let mut child = self.command(home, args).stdout(Stdio::null()).spawn()?;
        let status_file = format!("/proc/{}/status", child.id());
        let mut peak_kib = 0.0;
        let status = loop {
            let told = fs::read_to_string(&status_file).unwrap_or_default();
            let peak = told.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
            peak_kib = peak.and_then(|kib| kib.parse().ok()).unwrap_or(peak_kib);
            if let Some(status) = child.try_wait()? {
                break status;
            }
            std::thread::sleep(LOOK_AT_MEMORY);
        };
        if status.code() == Some(HOLDS) {
            Ok((start.elapsed(), peak_kib / 1024.0))
        } else {
            Err(io::Error::other(format!("piton {args:?}: {status}")))
        }
    }

    fn version(&self) -> io::Result<Figure> {
        let version = || {
            let start = Instant::now();
            Command::new(&self.piton).arg("--version").stdout(Stdio::null()).status()?;
            Ok(start.elapsed())
        };
        let bare = || {
            let start = Instant::now();
            Command::new("/bin/true").status()?;
            Ok(start.elapsed())
        };
        let (value, baseline, ratio) = medians(&pairs(version, bare)?);
        Ok(Figure {
            name: "piton --version",
            value,
            unit: "ms",
            baseline,
            ratio,
            goal: "under 15 ms",
            ok: value < 15.0,
        })
    }
}

/// Milliseconds in which a run's journal grew through a fifth of it, early and late in its life, each while all branches
/// were under way.
fn halves(home: &Path) -> io::Result<(f64, f64)> {
    let store = SqliteStore::open(home).map_err(io::Error::other)?;
    let run = store.find("@last").map_err(io::Error::other)?.id;
    let mut at_us = Vec::new();
    let read = store.read(&run, 0, &mut |record| {
        at_us.push(record.at.wall_us);
        std::ops::ControlFlow::Continue(())
    });
    read.map_err(io::Error::other)?;
    let at = |percent: usize| at_us.get(at_us.len() * percent / 100).copied().unwrap_or_default();
    let ms = |from, to| (at(to) - at(from)) as f64 / 1000.0;
    Ok((ms(5, 25), ms(40, 60)))
}

fn bare_shells(count: u32) -> io::Result<Duration> {
    let start = Instant::now();
    for _ in 0..count {
        Command::new("bash").args(["-euo", "pipefail", "-c", "true"]).stdin(Stdio::null()).status()?;
    }
    Ok(start.elapsed())
}

type Pair = (Duration, Duration);

/// Measures two things in turns, after one round that does not count.
fn pairs(
    mut one: impl FnMut() -> io::Result<Duration>,
    mut other: impl FnMut() -> io::Result<Duration>,
) -> io::Result<Vec<Pair>> {
    one()?;
    other()?;
    (0..ROUNDS).map(|_| Ok((one()?, other()?))).collect()
}

/// Median of each side in milliseconds, and of the ratios pair by pair.
fn medians(pairs: &[Pair]) -> (f64, f64, f64) {
    let ms = |duration: Duration| duration.as_secs_f64() * 1000.0;
    (
        median(pairs.iter().map(|(one, _)| ms(*one)).collect()),
        median(pairs.iter().map(|(_, other)| ms(*other)).collect()),
        median(pairs.iter().map(|(one, other)| ms(*one) / ms(*other).max(f64::EPSILON)).collect()),
    )
}

pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn at_most(name: &'static str, pairs: Vec<Pair>, limit: f64, goal: &'static str) -> Figure {
    let (value, baseline, ratio) = medians(&pairs);
    Figure { name, value, unit: "ms", baseline, ratio, goal, ok: ratio <= limit }
}
