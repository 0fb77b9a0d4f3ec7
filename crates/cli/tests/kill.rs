//! SIGKILL of the real binary at random instants of a run with real commands.
//!
//! An outside ledger, a file to which every command appends when it begins and when it ends, proves that commands which
//! survived the engine are adopted and not run again, and that finished steps are never performed twice.
//! `PITON_KILLS` says how many kills (50; `make crash` asks for 300), `PITON_SEED` replays a failure.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

const RUNBOOK: &str = r#""""Commands that say when they begin and when they end."""

def main(ledger: path):
    for i in range(8):
        say(ledger, "one-%d" % i)
    each("many", [str(i) for i in range(12)], branch, ledger, concurrency = 4)
    phase("last", last, ledger)

def say(ledger, name):
    step(
        name,
        sh("echo begin " + name + " >> " + quote(ledger) + "; sleep 0.03; echo end " + name + " >> " + quote(ledger)),
        ensures = sh("grep -qx 'end " + name + "' " + quote(ledger), reads = True),
    )

def branch(item, ledger):
    for i in range(3):
        # Without `ensures`: only its supervisor's record can tell what became of it.
        name = "many-%s-%d" % (item, i)
        step(name, sh("echo begin " + name + " >> " + quote(ledger) + "; sleep 0.02; echo end " + name + " >> " + quote(ledger)))

def last(ledger):
    say(ledger, "last")
"#;

/// Steps of the runbook above.
const STEPS: usize = 8 + 12 * 3 + 1;

/// A small generator (Steele, Lea, Flood: "Fast Splittable Pseudorandom Number Generators", splitmix64), so that a seed
/// replays a failure.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}

fn env_number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn piton(dir: &Path, args: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_piton"))
        .args(args)
        .current_dir(dir)
        .env("PITON_HOME", dir.join("home"))
        .env("PITON_ACCEPT", "1")
        .stdin(Stdio::null())
        .stdout(fs::File::options().create(true).append(true).open(dir.join("out.txt")).unwrap())
        .stderr(fs::File::options().create(true).append(true).open(dir.join("err.txt")).unwrap())
        .spawn()
        .unwrap()
}

/// Waits, at most until `kill_at`; true where it ended by itself, with success.
fn wait_or_kill(mut child: Child, kill_at: Option<Instant>, dir: &Path) -> bool {
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            let words =
                || fs::read_to_string(dir.join("err.txt")).unwrap() + &fs::read_to_string(dir.join("out.txt")).unwrap();
            // The kill before may have come between its last record and its exit.
            let over = status.code() == Some(2) && words().contains("has ended: it succeeded");
            assert!(status.success() || over, "piton ended with {status}\n{}", words());
            return true;
        }
        if kill_at.is_some_and(|at| Instant::now() >= at) {
            child.kill().unwrap();
            child.wait().unwrap();
            return false;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// One run, killed again and again; the number of kills it took.
fn one_run(random: &mut Random, kills_left: u64) -> u64 {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    fs::write(dir.join("kill.star"), RUNBOOK).unwrap();
    let ledger = dir.join("ledger").to_string_lossy().into_owned();
    let mut kills = 0;
    let mut started = false;
    let mut child = piton(dir, &["run", "kill.star", "--ledger", &ledger]);
    loop {
        // Long enough to start up, now and then; and sometimes not.
        let kill_at = (kills < kills_left).then(|| Instant::now() + Duration::from_micros(random.below(220_000)));
        if wait_or_kill(child, kill_at, dir) {
            break;
        }
        kills += 1;
        started = started || run_exists(dir);
        child = if started {
            piton(dir, &["resume", "@last"])
        } else {
            // Killed before there was a run: nothing was done, and the next starts afresh.
            assert!(!Path::new(&ledger).exists(), "a command ran before its run was stored");
            piton(dir, &["run", "kill.star", "--ledger", &ledger])
        };
    }
    check_ledger(&fs::read_to_string(&ledger).unwrap());
    kills
}

/// True once the run's first record is stored: before that `resume` has nothing to go on with.
fn run_exists(dir: &Path) -> bool {
    let output = Command::new(env!("CARGO_BIN_EXE_piton"))
        .args(["show", "@last", "--json"])
        .current_dir(dir)
        .env("PITON_HOME", dir.join("home"))
        .env("PITON_ACCEPT", "1")
        .output()
        .unwrap();
    serde_json::from_slice::<serde_json::Value>(&output.stdout).is_ok_and(|show| show["journal"]["records"] != 0)
}

fn check_ledger(ledger: &str) {
    let mut lines: BTreeMap<&str, u32> = BTreeMap::new();
    for line in ledger.lines() {
        *lines.entry(line).or_default() += 1;
    }
    let twice: Vec<_> = lines.iter().filter(|(_, count)| **count != 1).collect();
    assert!(twice.is_empty(), "not exactly once: {twice:?}\n{ledger}");
    assert_eq!(lines.len(), 2 * STEPS, "every step begins and ends\n{ledger}");
}

#[test]
fn a_run_killed_at_random_instants_does_everything_exactly_once() {
    let kills = env_number("PITON_KILLS").unwrap_or(50);
    let seed = env_number("PITON_SEED")
        .unwrap_or_else(|| SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos() as u64);
    println!("PITON_SEED={seed}");
    let mut random = Random(seed);
    let (mut done, mut runs) = (0, 0);
    while done < kills {
        // A few kills a run, so that runs get to their end as well.
        let kills_now = (kills - done).min(1 + random.below(12));
        done += one_run(&mut random, kills_now);
        runs += 1;
    }
    println!("{done} kills over {runs} runs: every command exactly once");
}
