//! Opening: new, at once by many, damaged, newer, another program's.

use super::{PEER_HOME, chain_of, one_run, this_test};
use crate::SqliteStore;
use crate::conformance::{CHECKS, World};
use piton_core::ports::{Store, StoreError, StoreErrorKind};
use piton_core::record::open_all;
use rusqlite::Connection;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

fn refusal(home: &Path) -> StoreError {
    let error = SqliteStore::open(home).unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Unreadable, "{error}");
    error
}

#[test]
fn many_that_open_a_new_store_at_once_open_one_store() {
    let temp = tempfile::tempdir().unwrap();
    let home = temp.path().join(".piton");
    let open = || SqliteStore::open(&home).unwrap();
    let ids: Vec<_> = std::thread::scope(|scope| {
        let openers: Vec<_> = (0..8).map(|_| scope.spawn(|| open().id())).collect();
        openers.into_iter().map(|opener| opener.join().unwrap()).collect()
    });
    assert!(ids.iter().all(|id| *id == ids[0]));
}

#[test]
fn a_store_whose_making_was_killed_is_made_by_the_next() {
    let temp = tempfile::tempdir().unwrap();
    for delay_us in (0..16).map(|step| step * 700) {
        let home = temp.path().join(format!("home-{delay_us}"));
        let mut maker =
            this_test("sqlite::tests::opening::a_maker").env(PEER_HOME, &home).stdout(Stdio::null()).spawn().unwrap();
        // Not a wait for anything: each kill comes at another instant of the making.
        std::thread::sleep(Duration::from_micros(3000 + delay_us));
        maker.kill().unwrap();
        maker.wait().unwrap();
        drop(one_run(&SqliteStore::open(&home).unwrap()));
    }
}

#[test]
#[ignore = "killed by a_store_whose_making_was_killed_is_made_by_the_next"]
fn a_maker() {
    let Some(home) = std::env::var_os(PEER_HOME) else { return };
    SqliteStore::open(Path::new(&home)).unwrap();
}

#[test]
fn a_newer_store_is_refused_and_left_alone() {
    let temp = tempfile::tempdir().unwrap();
    drop(SqliteStore::open(temp.path()).unwrap());
    let raw = || Connection::open(temp.path().join("journal.db")).unwrap();
    raw().pragma_update(None, "user_version", 999).unwrap();
    let error = refusal(temp.path());
    assert!(error.message.contains("newer version of Piton") && error.message.contains("999"), "{error}");
    let version: i64 = raw().pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
    assert_eq!(version, 999);
}

#[test]
fn another_programs_database_is_refused_and_left_alone() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("journal.db");
    Connection::open(&path).unwrap().execute_batch("CREATE TABLE theirs (x)").unwrap();
    let before = fs::read(&path).unwrap();
    assert!(refusal(temp.path()).message.contains("another program"));
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn a_journal_lost_beside_its_runs_is_not_replaced_in_silence() {
    let temp = tempfile::tempdir().unwrap();
    drop(one_run(&SqliteStore::open(temp.path()).unwrap()));
    fs::write(temp.path().join("journal.db"), b"").unwrap();
    let error = refusal(temp.path());
    assert!(error.message.contains("restore it from a backup"), "{error}");
    fs::remove_file(temp.path().join("journal.db")).unwrap();
    refusal(temp.path());
}

/// Every page of the database in turn is overwritten. Whatever is read afterwards is an error or the truth.
#[test]
fn a_damaged_file_is_an_error_or_the_truth_but_never_a_lie() {
    let temp = tempfile::tempdir().unwrap();
    let (home, copy) = (temp.path().join("home"), temp.path().join("copy"));
    let store = SqliteStore::open(&home).unwrap();
    let lease = one_run(&store);
    let run = lease.run().clone();
    let records = chain_of(lease.fence(), 60);
    store.append(&*lease, &records, Some("running")).unwrap();
    drop((lease, store));
    let whole = fs::read(home.join("journal.db")).unwrap();
    let (mut refused, mut true_all_the_same) = (0, 0);
    for page in 0..whole.len() / 4096 {
        for (offset, length) in [(0, 4096), (100, 16), (4000, 90)] {
            let _ = fs::remove_dir_all(&copy);
            drop(SqliteStore::open(&copy).unwrap());
            fs::write(copy.join("journal.db"), &whole).unwrap();
            let file = fs::OpenOptions::new().write(true).open(copy.join("journal.db")).unwrap();
            file.write_all_at(&vec![0xa5; length], (page * 4096 + offset) as u64).unwrap();
            let read = SqliteStore::open(&copy).and_then(|store| store.read_all(&run, 0));
            match read {
                Err(error) => {
                    assert!(matches!(error.kind, StoreErrorKind::Unreadable | StoreErrorKind::Unknown), "{error}");
                    refused += 1;
                }
                Ok(read) if open_all(&read).is_err() => refused += 1,
                Ok(read) => {
                    // A lost end cannot be seen in what is left; a changed or missing middle is.
                    assert!(records.starts_with(&read), "page {page}, offset {offset}");
                    true_all_the_same += 1;
                }
            }
        }
    }
    assert!(refused > 5 && true_all_the_same > 5, "{refused} refused, {true_all_the_same} true");
    fs::write(copy.join("journal.db"), vec![b'x'; 8192]).unwrap();
    assert!(refusal(&copy).message.contains("not a database"));
}

#[test]
fn files_of_the_store_are_not_inherited_by_children() {
    let temp = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(temp.path()).unwrap();
    let lease = one_run(&store);
    store.append(&*lease, &chain_of(lease.fence(), 2), None).unwrap();
    let listed = std::process::Command::new("ls").args(["-l", "/proc/self/fd"]).output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert!(listed.contains("->"), "{listed}");
    assert!(!listed.contains(temp.path().to_str().unwrap()), "{listed}");
}

#[test]
fn checks_have_different_names() {
    let mut names: Vec<&str> = CHECKS.iter().map(|check| check.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), CHECKS.len());
    let temp = tempfile::tempdir().unwrap();
    let other = tempfile::tempdir().unwrap();
    let ids = [temp, other].map(|temp| super::Directory(temp.path().to_owned()).open().id());
    assert_ne!(ids[0], ids[1]);
}

#[test]
fn what_durability_rests_on_is_set() {
    let temp = tempfile::tempdir().unwrap();
    for _ in ["new", "opened again"] {
        let store = SqliteStore::open(temp.path()).unwrap();
        store.writer.between(|connection| {
            let text = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, String>(0)).unwrap();
            let number = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).unwrap();
            assert_eq!(text("journal_mode"), "wal");
            assert_eq!(number("synchronous"), 2, "FULL");
            assert_eq!(number("page_size"), 4096);
            assert_eq!(number("foreign_keys"), 1);
            assert_eq!(number("mmap_size"), 0);
        });
    }
}
