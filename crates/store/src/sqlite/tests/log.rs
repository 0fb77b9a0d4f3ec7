//! The write-ahead log: bounded, lengthened ahead, and safe to cut anywhere.

use super::{chain_of, next, one_run, start};
use crate::SqliteStore;
use crate::home::Home;
use crate::sqlite::connection::{self, Writer};
use crate::sqlite::log::Log;
use crate::sqlite::turn::Turns;
use piton_core::ports::Store;
use piton_core::record::open_all;
use std::fs;
use std::path::Path;
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

fn length(home: &Path, file: &str) -> u64 {
    fs::metadata(home.join(file)).unwrap().len()
}

#[test]
fn the_log_stays_bounded_however_much_is_appended() {
    let temp = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(temp.path()).unwrap();
    let lease = one_run(&store);
    let mut head = chain_of(lease.fence(), 1).remove(0);
    store.append(&*lease, std::slice::from_ref(&head), None).unwrap();
    for _ in 0..60 {
        head = next(&head, lease.fence(), 256 * 1024);
        store.append(&*lease, std::slice::from_ref(&head), None).unwrap();
        assert!(length(temp.path(), "journal.db-wal") < BOUND);
    }
    assert_eq!(open_all(&store.read_all(lease.run(), 0).unwrap()).unwrap().len(), 61);
}

/// The limit of 800 pages in tests, one commit, one piece.
const BOUND: u64 = 4 * 1024 * 1024;

#[test]
fn the_checkpointer_empties_the_log_by_itself() {
    let temp = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(temp.path()).unwrap();
    let lease = one_run(&store);
    // More than is due, less than the limit at which the commit itself would do it.
    store.append(&*lease, &[next(&start(), lease.fence(), 400 * 4096)], None).unwrap();
    let end = Instant::now() + Duration::from_secs(30);
    while length(temp.path(), "journal.db") < 400 * 4096 {
        assert!(Instant::now() < end, "nothing was moved into the database");
        std::thread::yield_now();
    }
}

#[test]
fn without_a_checkpointer_commits_keep_the_log_bounded() {
    let temp = tempfile::tempdir().unwrap();
    let home = Home::open(temp.path()).unwrap();
    let mut connection = connection::open(&home).unwrap();
    let (calls, called) = sync_channel(1);
    let log = Log::watch(&mut connection, &home.database(), calls).unwrap();
    drop(called);
    let writer = Writer::new(connection, Turns::open(&temp.path().join("turn.lock")), log);
    for key in 0..60 {
        let insert = |connection: &rusqlite::Connection| {
            connection.execute("INSERT INTO meta VALUES (?1, zeroblob(262144))", [key.to_string()])?;
            Ok(())
        };
        writer.write("fill", insert).unwrap();
        assert!(length(temp.path(), "journal.db-wal") < BOUND);
    }
    assert!(length(temp.path(), "journal.db") > BOUND);
}

#[test]
fn a_log_cut_or_zeroed_anywhere_gives_a_whole_beginning_of_the_journal() {
    let temp = tempfile::tempdir().unwrap();
    let (home, copy) = (temp.path().join("home"), temp.path().join("copy"));
    let store = SqliteStore::open(&home).unwrap();
    let lease = one_run(&store);
    let records = chain_of(lease.fence(), 40);
    for record in &records {
        store.append(&*lease, std::slice::from_ref(record), None).unwrap();
    }
    let database = fs::read(home.join("journal.db")).unwrap();
    let log = fs::read(home.join("journal.db-wal")).unwrap();
    let used = log.iter().rposition(|byte| *byte != 0).unwrap();
    // Lengthened ahead of the commits, not by them.
    assert!(log.len() > used + 8 * 4096, "{} of {} bytes used", used, log.len());
    let mut lengths = Vec::new();
    for cut in (0..=used + 1).step_by(1777).chain([used, used + 1, log.len()]) {
        for zeroed in [false, true] {
            let mut torn = log[..cut].to_vec();
            torn.resize(if zeroed { log.len() } else { cut }, 0);
            let _ = fs::remove_dir_all(&copy);
            fs::create_dir_all(&copy).unwrap();
            fs::write(copy.join("journal.db"), &database).unwrap();
            fs::write(copy.join("journal.db-wal"), &torn).unwrap();
            let read = SqliteStore::open(&copy).unwrap().read_all(lease.run(), 0);
            // Cut before the run was created, there is no run.
            let read = read.unwrap_or_default();
            assert!(records.starts_with(&read), "cut at {cut}");
            lengths.push(read.len());
        }
    }
    assert!(lengths.is_sorted());
    assert_eq!((lengths.first(), lengths.last()), (Some(&0), Some(&40)));
}
