//! Tests of the SQLite store: the conformance suite, and the faults a disk and an operator bring.

mod faults;
mod log;
mod opening;
mod parked;

use super::SqliteStore;
use crate::conformance::{CHECKS, World, run_peer};
use piton_core::event::Event;
use piton_core::ids::{Actor, EngineId};
use piton_core::ports::{Lease, LeaseOutcome, NewRun, Store};
use piton_core::record::{Moment, Sealed};
use piton_core::{Digest, RunId};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where a peer process finds its store and its part.
const PEER_HOME: &str = "PITON_TEST_PEER_HOME";
const PEER_ROLE: &str = "PITON_TEST_PEER_ROLE";
const PEER_RUN: &str = "PITON_TEST_PEER_RUN";

struct Directory(PathBuf);

impl World for Directory {
    fn open(&self) -> Box<dyn Store> {
        Box::new(SqliteStore::open(&self.0).unwrap())
    }

    fn peer(&self, role: &str, run: &str) -> Command {
        let mut command = this_test("sqlite::tests::a_peer_process_plays_its_part");
        command.env(PEER_HOME, &self.0).env(PEER_ROLE, role).env(PEER_RUN, run);
        command
    }
}

/// This very test program, to run one of its ignored tests in a process of its own.
fn this_test(name: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", name, "--ignored", "--nocapture", "--test-threads=1"]);
    command
}

#[test]
fn the_store_conforms() {
    let failed: Vec<&str> = CHECKS
        .iter()
        .filter(|check| {
            let temp = tempfile::tempdir().unwrap();
            let world = Directory(temp.path().join(".piton"));
            let started = std::time::Instant::now();
            let passed = catch_unwind(AssertUnwindSafe(|| (check.run)(&world))).is_ok();
            eprintln!("{} {} ({:?})", if passed { "ok    " } else { "FAILED" }, check.name, started.elapsed());
            !passed
        })
        .map(|check| check.name)
        .collect();
    assert!(failed.is_empty(), "{failed:#?}");
}

#[test]
#[ignore = "the other process of conformance checks, started by them"]
fn a_peer_process_plays_its_part() {
    let Some(home) = std::env::var_os(PEER_HOME) else { return };
    let store = SqliteStore::open(Path::new(&home)).unwrap();
    run_peer(&store, &std::env::var(PEER_ROLE).unwrap(), &std::env::var(PEER_RUN).unwrap());
}

/// A new run in the store, and its lease.
fn one_run(store: &SqliteStore) -> Box<dyn Lease> {
    let mut bits = [0; 8];
    getrandom::fill(&mut bits).unwrap();
    let by = Actor { name: "test".to_owned(), uid: 1, host: "here".to_owned() };
    let id = RunId::from_random(u64::from_ne_bytes(bits));
    let run = NewRun {
        id: id.clone(),
        title: "a test".to_owned(),
        created_at_us: 1,
        by,
        parent: None,
        rehearsal: None,
        sources: Vec::new(),
    };
    store.create_run(&run).unwrap();
    one_lease(store, &id)
}

fn one_lease(store: &SqliteStore, run: &RunId) -> Box<dyn Lease> {
    let engine = EngineId { host: "here".to_owned(), boot_id: "b".to_owned(), pid: std::process::id() };
    match store.lease(run, &engine).unwrap() {
        LeaseOutcome::Held(lease) => lease,
        LeaseOutcome::Busy(who) => panic!("the run is held by {who:?}"),
    }
}

/// A record after this one, with a body of about so many bytes.
fn next(previous: &Sealed, fence: u64, bytes: usize) -> Sealed {
    let event = Event::Noted { path: piton_core::Path::root().child("n"), markdown: "x".repeat(bytes) };
    let body = serde_json::to_string(&event).unwrap();
    Sealed::new(previous.hash, previous.seq + 1, Moment::default(), fence, body)
}

/// Stands before the first record.
fn start() -> Sealed {
    Sealed { seq: 0, at: Moment::default(), fence: 0, body: String::new(), hash: Digest::ZERO }
}

/// The first records of a journal.
fn chain_of(fence: u64, count: usize) -> Vec<Sealed> {
    std::iter::successors(Some(next(&start(), fence, 300)), |previous| Some(next(previous, fence, 300)))
        .take(count)
        .collect()
}
