//! What every store must do, as checks that run against any of them.
//!
//! Owns the list of checks and what they need of the place they run in. A check panics where the store is wrong. Never
//! knows which store it checks.

#![allow(clippy::unwrap_used, reason = "a check fails by panicking, like the tests it is called from")]

mod journal;
mod leases;
mod locks;
mod names;
mod peer;
mod people;

use piton_core::event::Event;
use piton_core::hold::Decision;
use piton_core::ids::{Actor, EngineId};
use piton_core::ports::{Lease, LeaseOutcome, NewRun, Store};
use piton_core::record::{Moment, Sealed};
use piton_core::{Digest, Path, RunId};
use std::process::Command;

pub use peer::run_peer;

/// A place with one store in it, empty at first.
pub trait World: Sync {
    /// Opens the store once more, as another process would.
    fn open(&self) -> Box<dyn Store>;

    /// A command that opens the same store in a process of its own and calls `run_peer` with it, `role` and `run`.
    fn peer(&self, role: &str, run: &str) -> Command;
}

pub struct Check {
    pub name: &'static str,
    pub run: fn(&dyn World),
}

/// Every check, each for a world of its own.
pub const CHECKS: &[Check] = &[
    check("what is appended is read back byte for byte", journal::reads_back),
    check("records with a gap, a foreign chain or a later lease are refused whole", journal::refuses_disorder),
    check("ten thousand records stay in order and are read from anywhere", journal::ten_thousand),
    check("a journal is read in pieces, and whoever reads keeps nobody waiting", journal::in_pieces),
    check("appending many records happens whole or not at all", journal::all_or_nothing),
    check("runs do not see each other's records", journal::runs_are_apart),
    check("after SIGKILL everything acknowledged is there and the chain is whole", journal::survives_kills),
    check("engines of several processes append side by side", journal::side_by_side),
    check("a run is found by any unique prefix and by @last", names::finds),
    check("listings are newest first and tell status, times and head", names::lists),
    check("runs of a title and a status are listed without the others", names::lists_of_a_title),
    check("two handles on one store are one store, and two stores are two", names::identity),
    check("a lease excludes others until it is dropped", leases::excludes),
    check("a lease excludes another process and ends with its kill", leases::excludes_processes),
    check("a killed holder is not listed any more", leases::forgets_the_dead),
    check("whoever waits for a lease gets it when its holder is killed", leases::waits),
    check("an older lease cannot append, nor replace the snapshot", leases::fences),
    check("listings never keep an engine from its lease", leases::listings_do_not_disturb),
    check("messages are kept in order, by run, and read from any point", people::inbox),
    check("a message from another process changes the version", people::version),
    check("a lock is one scope's until the record that ends it, and asking again changes nothing", locks::excludes),
    check("a lock outlives its holder's process, and of many that ask at once one gets it", locks::outlives),
    check("an older lease takes no lock and gives none up", locks::fences),
    check("an append that is refused gives up nothing", locks::released_whole),
    check("scopes that wait for each other in a circle are told", locks::deadlocks),
    check("a snapshot reads back byte for byte, as created and as replaced", people::snapshot),
];

const fn check(name: &'static str, run: fn(&dyn World)) -> Check {
    Check { name, run }
}

fn run_id(number: u64) -> RunId {
    // Spread out, so that ids share no prefix by accident.
    RunId::from_random(number.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(17))
}

fn actor() -> Actor {
    Actor { name: "zoë".to_owned(), uid: 1000, host: "bench".to_owned() }
}

fn engine() -> EngineId {
    EngineId { host: "bench".to_owned(), boot_id: "boot".to_owned(), pid: std::process::id() }
}

fn decision() -> Decision {
    Decision { by: actor(), saw: Digest::of_bytes(b"seen"), why: Some("\"because\"\n🧗".to_owned()) }
}

fn new_run(id: &RunId, created_at_us: i64) -> NewRun {
    let title = format!("title of {id} 'ü'\n");
    NewRun { id: id.clone(), title, created_at_us, by: actor(), parent: None, rehearsal: None, sources: Vec::new() }
}

fn create(store: &dyn Store, number: u64) -> RunId {
    let id = run_id(number);
    store.create_run(&new_run(&id, number as i64)).unwrap();
    id
}

fn lease(store: &dyn Store, run: &RunId) -> Box<dyn Lease> {
    match store.lease(run, &engine()).unwrap() {
        LeaseOutcome::Held(lease) => lease,
        LeaseOutcome::Busy(who) => panic!("the lease of {run} should be free, and is held by {who:?}"),
    }
}

fn busy(store: &dyn Store, run: &RunId) -> Option<EngineId> {
    match store.lease(run, &engine()).unwrap() {
        LeaseOutcome::Held(_) => panic!("the lease of {run} should be held by another"),
        LeaseOutcome::Busy(who) => who,
    }
}

/// The next record of a run, with a body that no re-serialisation would leave alone.
fn record(previous: &Sealed, fence: u64) -> Sealed {
    let seq = previous.seq + 1;
    let event = Event::Noted { path: Path::root().child("n"), markdown: format!("{seq} 🧗 \"'\\ \u{1f}") };
    let body = format!(" {}\n", serde_json::to_string(&event).unwrap());
    let at = Moment { wall_us: -(seq as i64), boot_us: 1 << 40 };
    Sealed::new(previous.hash, seq, at, fence, body)
}

/// Stands before the first record.
fn start() -> Sealed {
    Sealed { seq: 0, at: Moment::default(), fence: 0, body: String::new(), hash: Digest::ZERO }
}

fn records_after(previous: &Sealed, fence: u64, count: usize) -> Vec<Sealed> {
    let mut records: Vec<Sealed> = Vec::with_capacity(count);
    for _ in 0..count {
        let next = record(records.last().unwrap_or(previous), fence);
        records.push(next);
    }
    records
}
