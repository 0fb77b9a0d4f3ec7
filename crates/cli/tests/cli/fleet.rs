//! Ten thousand parked runs, and a thousand parked branches: rows in a table, and no more threads than there is work.

use crate::place::Place;
use crate::waker::{now_us, parked, processes, store, until};
use piton_core::park::Rest;
use piton_core::ports::{Along, LeaseOutcome, RunSummary, Store as _};
use piton_core::record::Sealed;
use piton_core::{Digest, RunId};
use rusqlite::{Transaction, params};
use std::time::{Duration, Instant};

const RUNS: u64 = 10_000;
/// Of those that wait for a time.
const DUE: usize = 20;
/// However slow the build and the machine; `make bench ROW=parked` holds the release to 100 ms.
const LISTING: Duration = Duration::from_secs(5);
const WAKER_MIB: u64 = 50;
const FAR_US: i64 = 3600 * 24 * 30 * 1_000_000;

fn mib(pid: u32, field: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap_or("0 kB");
    line.trim_start_matches(':').trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap() / 1024
}

fn threads(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    status.lines().find_map(|line| line.strip_prefix("Threads:")).map_or(0, |count| count.trim().parse().unwrap())
}

#[test]
fn ten_thousand_parked_runs_are_rows_of_which_those_that_fall_due_go_on_and_no_others() {
    let place = Place::with(
        "def main():\n    wait(\"Soak\", \"30d\")\n    step(\"After\", sh(\"echo x >> after\"), repeatable = True)\n",
    )
    .file("asks.star", "def main():\n    approve(\"Go?\", by = \"ops\")\n");
    let soaks = parked(&place, "book.star");
    let asks = parked(&place, "asks.star");
    let store = store(&place);
    let (soaking, asking) = (store.read_all(&soaks.id, 0).unwrap(), store.read_all(&asks.id, 0).unwrap());
    let far_us = now_us() + FAR_US;
    let mut database = rusqlite::Connection::open(place.home().join("journal.db")).unwrap();
    // Half of them each, and all at once: a commit for each would take minutes.
    let rows = database.transaction().unwrap();
    let timers: Vec<RunId> =
        (1..RUNS / 2).map(|number| copy(&rows, &soaks, &soaking, number, Some(far_us + number as i64))).collect();
    (RUNS / 2..RUNS - 1).for_each(|number| drop(copy(&rows, &asks, &asking, number, None)));
    rows.commit().unwrap();
    assert_eq!(store.runs().unwrap().len() as u64, RUNS);

    let start = Instant::now();
    place.ran(&["runs"]).ends(0);
    let listing = start.elapsed();
    let waker = || store.waker().expect("a waker lives");
    until("only the waker lives", || processes(&place) == ["piton __waker"]);
    let (peak, count) = (mib(waker(), "VmHWM"), threads(waker()));
    println!("10,000 parked: listed in {listing:?}; the waker has {peak} MiB at most and {count} threads");
    assert!(listing < LISTING, "{listing:?}");
    assert!(peak < WAKER_MIB && count <= 4, "{peak} MiB, {count} threads");

    let before: Vec<_> = store.runs().unwrap();
    // Their time comes: what is told of them in the journal and beside it.
    let fall_due: Vec<RunId> = timers.iter().step_by(timers.len() / DUE).take(DUE).cloned().collect();
    let now = now_us();
    fall_due.iter().for_each(|run| comes_due(&place, run, now));
    let start = Instant::now();
    place.ran(&["runs"]).ends(0);
    let stands = |run: &RunId| store.find(run.as_str()).unwrap().status;
    until("they have ended", || fall_due.iter().all(|run| stands(run) == "succeeded"));
    println!("{DUE} of them went on and ended in {:?}", start.elapsed());
    until("only the waker lives", || processes(&place) == ["piton __waker"]);
    assert_eq!(place.read("after").len(), 2 * DUE);
    for (was, is) in before.iter().zip(store.runs().unwrap()) {
        assert_eq!(was.id, is.id);
        assert_eq!(was.head_seq == is.head_seq, !fall_due.contains(&was.id), "{}", was.id);
    }
    let peak = mib(waker(), "VmHWM");
    assert!(peak < WAKER_MIB, "{peak} MiB");
}

/// The same run's journal under another id, chained anew.
fn copy(rows: &Transaction<'_>, first: &RunSummary, records: &[Sealed], number: u64, due_us: Option<i64>) -> RunId {
    // An odd factor keeps the ids apart, and no two begin alike for long.
    let id = RunId::from_random(number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 14);
    let of_first = "FROM runs WHERE id = ?1";
    let insert = format!(
        "INSERT INTO runs (id, title, created_us, actor, status, fence) SELECT ?2, title, created_us, actor, status, fence {of_first}"
    );
    rows.execute(&insert, params![first.id.as_str(), id.as_str()]).unwrap();
    let run = rows.last_insert_rowid();
    let insert = format!(
        "INSERT INTO sources (run, position, path, digest, executable) \
         SELECT ?2, position, path, digest, executable FROM sources WHERE run = (SELECT number {of_first})"
    );
    rows.execute(&insert, params![first.id.as_str(), run]).unwrap();
    let mut previous = Digest::ZERO;
    for record in records {
        let body = due_at(&record.body.replace(first.id.as_str(), id.as_str()), due_us.unwrap_or_default());
        let sealed = Sealed::new(previous, record.seq, record.at, record.fence, body);
        previous = sealed.hash;
        let insert = "INSERT INTO records (key, wall_us, boot_us, fence, body, hash) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        let (wall_us, boot_us) = (sealed.at.wall_us, sealed.at.boot_us as i64);
        let hash = sealed.hash.as_bytes().as_slice();
        let key = (run << 32) + sealed.seq as i64;
        rows.execute(insert, params![key, wall_us, boot_us, sealed.fence as i64, sealed.body, hash]).unwrap();
    }
    if due_us.is_some() {
        rows.execute("INSERT INTO parked (run, due_us) VALUES (?1, ?2)", params![run, due_us]).unwrap();
    }
    id
}

/// A record's body with its timer due at another time.
fn due_at(body: &str, at_us: i64) -> String {
    let Some((before, after)) = body.split_once("\"due_at_us\":") else { return body.to_owned() };
    format!("{before}\"due_at_us\":{at_us}{}", after.trim_start_matches(|c: char| c.is_ascii_digit()))
}

/// The run's timer is over, as it would be in a month: the clock of the machine is not ours to set.
fn comes_due(place: &Place, run: &RunId, at_us: i64) {
    let store = store(place);
    let records = store.read_all(run, 0).unwrap();
    let database = rusqlite::Connection::open(place.home().join("journal.db")).unwrap();
    let mut previous = Digest::ZERO;
    for record in records {
        let sealed = Sealed::new(previous, record.seq, record.at, record.fence, due_at(&record.body, at_us));
        previous = sealed.hash;
        let changed = database.execute(
            "UPDATE records SET body = ?3, hash = ?4 WHERE key = ((SELECT number FROM runs WHERE id = ?1) << 32) + ?2",
            params![run.as_str(), record.seq as i64, sealed.body, sealed.hash.as_bytes().as_slice()],
        );
        assert_eq!(changed.unwrap(), 1);
    }
    let engine = piton_core::ids::EngineId { host: "test".to_owned(), boot_id: String::new(), pid: 1 };
    let LeaseOutcome::Held(lease) = store.lease(run, &engine).unwrap() else { panic!("{run} is driven") };
    let along = Along { rest: Some(Rest::Parked { due_us: Some(at_us) }), ..Along::default() };
    store.append_along(&*lease, &[], &along).unwrap();
}

#[test]
fn a_thousand_branches_that_wait_hold_a_bounded_number_of_threads_and_none_once_they_are_parked() {
    let place = Place::with(
        "def main():\n    each(\"All\", list(range(1000)), one, concurrency = 1000)\n\ndef one(number):\n    approve(\"Go?\", by = \"ops\")\n",
    );
    let mut run = place.piton(&["run", "book.star"]).started();
    run.until("asked");
    let pid = place.show()["driven_by"]["pid"].as_u64().unwrap() as u32;
    let mut most = 0;
    let asked = || place.show()["waiting"].as_array().unwrap().len();
    let end = Instant::now() + Duration::from_secs(60);
    while asked() < 1000 {
        most = most.max(threads(pid));
        assert!(Instant::now() < end, "{} ask", asked());
    }
    until("their threads are gone", || threads(pid) <= 12);
    println!("1,000 parked branches: {} threads, {most} while they parked", threads(pid));
    assert!(most <= 530, "{most}");
    run.kill();
}
