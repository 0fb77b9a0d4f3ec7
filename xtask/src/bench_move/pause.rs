//! The pause's rows: fifty cutovers there and back under the ledger's writes, as its client and as the gate saw them.
//!
//! Each is `piton move cutover` with a deadline of 800 ms, tried once and again until it has moved: a hold that went back
//! counts among the pauses as one that moved. Owns two servers, the gate and the service. The service's own statements are
//! measured at its client, by its clock.

use super::gate::ask;
use super::servers::{Pair, note, other, parsed};
use crate::bench::{Figure, median};
use piton_testkit::Account;
use piton_testkit::gate::Gate;
use piton_testkit::ledger::{SLOW_STATEMENT, Settings, Stats, prepare, read_slow, reconcile, serve};
use serde_json::{Value, json};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

pub(super) const NAMES: [&str; 4] = [
    "pause: 50 cutovers, at the client, worst",
    "pause: 50 cutovers, at the client, median",
    "pause: 50 cutovers, in the gate, worst",
    "pause: failed statements",
];

const CUTOVERS: u64 = 50;
const CLIENTS: usize = 16;
/// What each client waits between two transfers; a transfer writes three times, and commits.
const BETWEEN: Duration = Duration::from_millis(60);
const WRITES: f64 = 3.0;
/// Statements a second that the service must make at least.
const LEAST_WRITES: f64 = 200.0;
/// So often one epoch is tried before the row counts as unmeasurable.
const MOST_TRIES: u32 = 20;
const WORST_MS: f64 = 1000.0;
const USUAL_MS: f64 = 100.0;
const NAME: &str = "pause";
const ACCOUNT: &str = "app@%";
const PASSWORD: &str = "bench";
const TABLES: [&str; 2] = ["shop.ledger_accounts", "shop.ledger_entries"];

/// One hold.
struct Hold {
    moved: bool,
    from_unix_us: u64,
    pause_us: u64,
    gate_ms: f64,
    /// Each step of the cutover's own report, and its milliseconds.
    steps: Vec<(String, f64)>,
}

pub(super) fn measure(piton: &Path) -> io::Result<Vec<Figure>> {
    let pair = Pair::start(piton)?;
    accounts(&pair)?;
    prepare(&pair.old.address(), &account()).map_err(io::Error::other)?;
    let all = TABLES.map(str::to_owned);
    pair.shape(&all)?;
    let gate = gate(&pair)?;
    let dir = tempfile::tempdir()?;
    let service = Service::start(&gate, dir.path())?;
    pair.moves("copy", NAME, &all, &[])?;
    pair.moves("accounts", NAME, &all, &["--account", ACCOUNT])?;
    super::servers::timed(prepared(&pair))?;
    let mut holds = Vec::new();
    for epoch in 1..=CUTOVERS {
        cut(&pair, &gate, &all, epoch, &mut holds)?;
    }
    say_steps(&holds);
    let (folder, began) = (service.folder.clone(), service.began);
    let stats = service.stop()?;
    let a_second = stats.acknowledged as f64 * WRITES / began.elapsed().as_secs_f64();
    note(&format!("pause: {a_second:.0} write statements a second on {CLIENTS} connections"));
    if a_second < LEAST_WRITES {
        return Err(io::Error::other(format!("the service made only {a_second:.0} write statements a second")));
    }
    // An even number of cutovers ends where they began.
    let found = reconcile(&folder, &pair.old.address(), &account()).map_err(io::Error::other)?;
    if !found.is_clean() {
        return Err(io::Error::other(format!("the service's writes are not all there once: {found:?}")));
    }
    figures(&holds, &seen(&folder, &holds)?, &stats)
}

fn figures(holds: &[Hold], client: &[f64], stats: &Stats) -> io::Result<Vec<Figure>> {
    let worst = |values: &[f64]| values.iter().copied().fold(0.0, f64::max);
    let gate: Vec<f64> = holds.iter().map(|hold| hold.gate_ms).collect();
    let moved = holds.iter().filter(|hold| hold.moved).count();
    let (went_back, usual) = (holds.len() - moved, median(client.to_vec()));
    note(&format!("pause: {moved} holds moved, {went_back} went back; {} conflicts between writers", stats.conflicts));
    let failed = (stats.service_errors + stats.unresolved) as f64;
    let figure = |name, value: f64, unit, baseline: f64, limit: f64, goal| Figure {
        name,
        value,
        unit,
        baseline,
        ratio: value / limit,
        goal,
        ok: value < limit,
    };
    Ok(vec![
        figure(NAMES[0], worst(client), "ms", usual, WORST_MS, "under 1,000 ms (beside it the median)"),
        figure(NAMES[1], usual, "ms", median(gate.clone()), USUAL_MS, "under 100 ms (beside it the gate's)"),
        figure(NAMES[2], worst(&gate), "ms", median(gate.clone()), WORST_MS, "under 1,000 ms (beside it the median)"),
        figure(NAMES[3], failed, "", went_back as f64, 1.0, "none (beside it: holds that went back)"),
    ])
}

fn steps(report: &Value) -> Vec<(String, f64)> {
    let step = |step: &Value| Some((step["step"].as_str()?.to_owned(), step["ms"].as_f64()?));
    report["steps"].as_array().into_iter().flatten().filter_map(step).collect()
}

/// Says where the pauses went: the median of each step from the hold on, over all holds that moved.
fn say_steps(holds: &[Hold]) {
    let mut by_step: Vec<(&str, Vec<f64>)> = Vec::new();
    for hold in holds.iter().filter(|hold| hold.moved) {
        for (name, ms) in hold.steps.iter().skip_while(|(name, _)| name != "Hold") {
            match by_step.iter_mut().find(|(known, _)| known == name) {
                Some((_, all)) => all.push(*ms),
                None => by_step.push((name, vec![*ms])),
            }
        }
    }
    let all: Vec<_> = by_step.into_iter().map(|(name, ms)| format!("{name} {:.1}", median(ms))).collect();
    note(&format!("pause: medians in ms: {}", all.join(", ")));
}

fn account() -> Account {
    Account { user: "app".to_owned(), password: PASSWORD.to_owned(), schema: "shop".to_owned() }
}

/// The application's account on the old side, the gate's on both.
fn accounts(pair: &Pair) -> io::Result<()> {
    let app = format!("create user app@'%' identified by '{PASSWORD}'; grant all on shop.* to app@'%'");
    pair.old.sql(&app).map_err(other)?;
    for server in [&pair.old, &pair.new] {
        let rights = "binlog admin, read only admin, connection admin, process, create user";
        let gate = format!("create user gate@'%' identified by '{PASSWORD}'; grant select on mysql.* to gate@'%'");
        let more = format!("grant all on piton_move.* to gate@'%'; grant {rights} on *.* to gate@'%'");
        server.sql(&format!("create database shop; {gate}; {more}")).map_err(other)?;
    }
    Ok(())
}

fn gate(pair: &Pair) -> io::Result<Gate> {
    let (one, another) = (format!("old={}", pair.old.address()), format!("new={}", pair.new.address()));
    let words = ["--backend", &one, "--backend", &another, "--account", "gate", "--register", NAME];
    Gate::start(&pair.piton, &words, PASSWORD).map_err(other)
}

fn prepared(pair: &Pair) -> std::process::Command {
    let mut command = std::process::Command::new(&pair.piton);
    command.args(["move", "prepare", "--name", NAME, "--account", ACCOUNT]);
    command.env("PITON_MOVE_OLD", pair.old.url("")).env("PITON_MOVE_NEW", pair.new.url(""));
    command
}

/// Cuts over to an epoch, however many holds that takes.
fn cut(pair: &Pair, gate: &Gate, all: &[String], epoch: u64, holds: &mut Vec<Hold>) -> io::Result<()> {
    let (socket, number) = (gate.control().display().to_string(), epoch.to_string());
    let words = ["--account", ACCOUNT, "--gate", &socket, "--deadline", "800ms", "--attempts", "1", "--epoch", &number];
    for _ in 0..MOST_TRIES {
        let output = pair.command("cutover", NAME, all, &words).stdin(Stdio::null()).output()?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let report = parsed(&String::from_utf8_lossy(&output.stdout))
            .map_err(|error| io::Error::other(format!("epoch {epoch}: {error}: {said}")))?;
        let moved = report["outcome"] == json!("moved");
        let us = |ms: &Value| ms.as_f64().map(|ms| (ms * 1000.0) as u64);
        // Where no hold began, nobody has waited.
        if let (Some(from_unix_us), Some(pause_us)) = (report["held_at_unix_us"].as_u64(), us(&report["pause_ms"])) {
            let gate_ms = held(gate)?;
            holds.push(Hold { moved, from_unix_us, pause_us, gate_ms, steps: steps(&report) });
            note(&format!("pause: epoch {epoch} {}, {:.1} ms in the gate", report["outcome"], gate_ms));
        }
        if moved {
            return Ok(());
        }
        note(&format!("pause: {} {said}", report["reasons"]));
    }
    Err(io::Error::other(format!("epoch {epoch} was tried {MOST_TRIES} times")))
}

/// Milliseconds of the gate's last hold.
fn held(gate: &Gate) -> io::Result<f64> {
    let status = ask(&gate.control(), &[json!({"do": "status"})])?;
    let held = status.first().and_then(|status| status["last_hold"]["held_us"].as_f64());
    held.map(|us| us / 1000.0).ok_or_else(|| io::Error::other(format!("the gate tells of no hold: {status:?}")))
}

/// For each hold, milliseconds of the longest statement that was under way at some moment of it. What is shorter than the
/// service records counts as that long.
fn seen(folder: &Path, holds: &[Hold]) -> io::Result<Vec<f64>> {
    let slow = read_slow(folder).map_err(io::Error::other)?;
    let least = SLOW_STATEMENT.as_micros() as u64;
    let longest = |hold: &Hold| {
        let (from, to) = (hold.from_unix_us, hold.from_unix_us + hold.pause_us);
        let overlaps = slow.iter().filter(|one| one.began_unix_us <= to && one.began_unix_us + one.took_us >= from);
        overlaps.map(|one| one.took_us).max().unwrap_or(least) as f64 / 1000.0
    };
    Ok(holds.iter().map(longest).collect())
}

/// The ledger service, writing through the gate.
struct Service {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<Stats, piton_testkit::ledger::LedgerError>>,
    folder: PathBuf,
    began: Instant,
}

impl Service {
    fn start(gate: &Gate, dir: &Path) -> io::Result<Self> {
        let (endpoint_file, folder) = (dir.join("endpoint"), dir.join("ledger"));
        std::fs::write(&endpoint_file, format!("{}\n", gate.address()))?;
        let settings =
            Settings { endpoint_file, folder: folder.clone(), account: account(), clients: CLIENTS, pause: BETWEEN };
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || serve(&settings, stopped));
        Ok(Self { stop, thread, folder, began: Instant::now() })
    }

    fn stop(self) -> io::Result<Stats> {
        self.stop.store(true, Ordering::SeqCst);
        let served = self.thread.join().map_err(|_| io::Error::other("the service panicked"))?;
        served.map_err(io::Error::other)
    }
}
