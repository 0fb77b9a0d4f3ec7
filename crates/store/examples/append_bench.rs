//! What an append costs beside the least that SQLite can do on the same disk: a one-row insert, committed with WAL and
//! `synchronous=FULL`.
//!
//! `cargo run --release -p piton-store --example append_bench [DIRECTORY]` (the directory decides the disk). Both sides
//! take turns in short rounds, so that a disturbance of the machine meets both; medians of the rounds are compared.

#![allow(clippy::print_stdout, reason = "a benchmark is there to print")]
#![allow(clippy::unwrap_used, reason = "a benchmark that cannot go on has nothing better to do than to stop")]

use piton_core::ids::{Actor, EngineId};
use piton_core::ports::{Lease, LeaseOutcome, NewRun, Store};
use piton_core::record::{Moment, Sealed};
use piton_core::{Digest, RunId};
use piton_store::SqliteStore;
use rusqlite::Connection;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const ROUNDS: usize = 40;
const COMMITS: usize = 50;
const BATCH: usize = 64;
const BODY_BYTES: usize = 400;

fn main() {
    let place = std::env::args_os().nth(1).map_or_else(std::env::temp_dir, PathBuf::from);
    let dir = place.join(format!("piton-append-bench-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let bare = bare(&dir);
    let store = SqliteStore::open(&dir.join("home")).unwrap();
    let lease = new_lease(&store, 1);
    let mut head = start();
    let mut rows: Vec<(String, Vec<Duration>)> = Vec::new();
    for round in 0..ROUNDS {
        for (at, batch) in [1, BATCH].into_iter().enumerate() {
            let commits = COMMITS / if batch == 1 { 1 } else { 5 };
            let name = |what: &str| format!("{what} of {batch}");
            let bare_time = time(commits, || insert(&bare, batch));
            let ours = time(commits, || append(&store, &*lease, &mut head, batch));
            if round == 0 {
                rows.extend([(name("bare commit"), vec![]), (name("append"), vec![])]);
            }
            rows[at * 2].1.push(bare_time);
            rows[at * 2 + 1].1.push(ours);
        }
    }
    for pair in rows.chunks_mut(2) {
        let medians: Vec<f64> = pair.iter_mut().map(|(_, times)| median(times)).collect();
        println!(
            "{:20} {:8.1} us   {:20} {:8.1} us   ratio {:.2}",
            pair[0].0,
            medians[0],
            pair[1].0,
            medians[1],
            medians[1] / medians[0]
        );
    }
    let version = time(10_000, || assert!(store.version().is_some()));
    println!("{:20} {:8.2} us", "version", version.as_secs_f64() * 1e6);
    let inbox = time(10_000, || drop(store.inbox(lease.run(), 0).unwrap()));
    println!("{:20} {:8.2} us", "empty inbox", inbox.as_secs_f64() * 1e6);
    let read = Instant::now();
    let records = store.read_all(lease.run(), 0).unwrap().len();
    println!(
        "{:20} {:8.2} us a record, {records} records",
        "read",
        read.elapsed().as_secs_f64() * 1e6 / records as f64
    );
    drop((lease, store, bare));
    fresh(&dir);
    listing(&dir);
    std::fs::remove_dir_all(&dir).unwrap();
}

/// `piton runs` with ten thousand runs, each with a record, none held.
fn listing(dir: &Path) {
    let store = SqliteStore::open(&dir.join("many")).unwrap();
    let create = time(10_000, {
        let mut bits = 1u64;
        let store = &store;
        move || {
            bits = bits.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            append(store, &*new_lease(store, bits >> 8), &mut start(), 1);
        }
    });
    println!("{:20} {:8.1} us", "create, lease, append", create.as_secs_f64() * 1e6);
    let list = time(5, || assert_eq!(store.runs().unwrap().len(), 10_000));
    println!("{:20} {:8.1} ms", "list 10000 runs", list.as_secs_f64() * 1e3);
    let find = time(1000, || assert!(store.find("@last").is_ok()));
    println!("{:20} {:8.1} us", "find @last", find.as_secs_f64() * 1e6);
}

/// The first thousand commits of new files, as a first run has them.
fn fresh(dir: &Path) {
    let (mut bare_times, mut our_times) = (Vec::new(), Vec::new());
    for round in 0..5 {
        let dir = dir.join(format!("fresh-{round}"));
        std::fs::create_dir_all(&dir).unwrap();
        let connection = bare(&dir);
        bare_times.push(time(1000, || insert(&connection, 1)));
        let store = SqliteStore::open(&dir.join("home")).unwrap();
        let lease = new_lease(&store, 1);
        let mut head = start();
        our_times.push(time(1000, || append(&store, &*lease, &mut head, 1)));
    }
    let (bare, ours) = (median(&mut bare_times), median(&mut our_times));
    println!(
        "{:20} {bare:8.1} us   {:20} {ours:8.1} us   ratio {:.2}",
        "first 1000 bare",
        "first 1000 appends",
        ours / bare
    );
}

fn bare(dir: &Path) -> Connection {
    let connection = Connection::open(dir.join("bare.db")).unwrap();
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(())).unwrap();
    connection.pragma_update(None, "synchronous", "FULL").unwrap();
    connection.execute_batch("CREATE TABLE t (id INTEGER PRIMARY KEY, body TEXT NOT NULL)").unwrap();
    connection
}

/// Statements from the cache, as any careful program does.
fn insert(connection: &Connection, batch: usize) {
    let run = |sql: &str| connection.prepare_cached(sql).unwrap().execute([]).unwrap();
    let body = "x".repeat(BODY_BYTES);
    if batch > 1 {
        run("BEGIN IMMEDIATE");
    }
    for _ in 0..batch {
        connection.prepare_cached("INSERT INTO t (body) VALUES (?1)").unwrap().execute([&body]).unwrap();
    }
    if batch > 1 {
        run("COMMIT");
    }
}

/// Sealing is the engine's work in production; it is counted here all the same.
fn append(store: &SqliteStore, lease: &dyn Lease, head: &mut Sealed, batch: usize) {
    let mut records: Vec<Sealed> = Vec::with_capacity(batch);
    for _ in 0..batch {
        let previous = records.last().unwrap_or(head);
        let body = format!("\"{}\"", "x".repeat(BODY_BYTES - 2));
        records.push(Sealed::new(previous.hash, previous.seq + 1, Moment::default(), lease.fence(), body));
    }
    store.append(lease, &records, Some("running")).unwrap();
    *head = records.pop().unwrap();
}

fn new_lease(store: &SqliteStore, bits: u64) -> Box<dyn Lease> {
    let by = Actor { name: "bench".to_owned(), uid: 0, host: "bench".to_owned() };
    let id = RunId::from_random(bits);
    let run = NewRun {
        id: id.clone(),
        title: "bench".to_owned(),
        created_at_us: 0,
        by,
        parent: None,
        rehearsal: None,
        sources: vec![],
    };
    store.create_run(&run).unwrap();
    let engine = EngineId { host: "bench".to_owned(), boot_id: "bench".to_owned(), pid: std::process::id() };
    match store.lease(&id, &engine).unwrap() {
        LeaseOutcome::Held(lease) => lease,
        LeaseOutcome::Busy(_) => unreachable!("a new run is nobody's"),
    }
}

fn start() -> Sealed {
    Sealed { seq: 0, at: Moment::default(), fence: 0, body: String::new(), hash: Digest::ZERO }
}

fn time(count: usize, mut what: impl FnMut()) -> Duration {
    let start = Instant::now();
    (0..count).for_each(|_| what());
    start.elapsed() / count as u32
}

/// Microseconds.
fn median(times: &mut [Duration]) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64() * 1e6
}
