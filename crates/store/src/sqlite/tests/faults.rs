//! Faults of disks: full, limited, read-only, busy. Nothing acknowledged is lost, and the error says what is wrong.

use super::{PEER_HOME, chain_of, next, one_lease, one_run, this_test};
use crate::SqliteStore;
use piton_core::RunId;
use piton_core::ports::{Lease, SideLogs, Store, StoreError, StoreErrorKind};
use piton_core::record::{Sealed, open_all};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

fn peer_home() -> Option<PathBuf> {
    std::env::var_os(PEER_HOME).map(PathBuf::from)
}

/// Runs an ignored test of this file through a shell that first does `before`.
fn through_shell(before: &str, name: &str, home: &Path) -> std::process::Output {
    let test = this_test(&format!("sqlite::tests::faults::{name}"));
    let script = format!("{before} exec \"$0\" \"$@\"");
    Command::new("sh")
        .args(["-c", &script])
        .arg(test.get_program())
        .args(test.get_args())
        .env(PEER_HOME, home)
        .output()
        .unwrap()
}

fn assert_passed(output: &std::process::Output) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}\n{}", text(&output.stdout), text(&output.stderr));
    assert!(text(&output.stdout).contains("1 passed"), "{}", text(&output.stdout));
}

/// Appends until that fails; gives what was acknowledged and the error.
fn append_until_it_fails(store: &SqliteStore, lease: &dyn Lease) -> (Vec<Sealed>, StoreError) {
    let mut acknowledged = chain_of(lease.fence(), 1);
    store.append(lease, &acknowledged, None).unwrap();
    loop {
        let record = next(acknowledged.last().unwrap(), lease.fence(), 3000);
        match store.append(lease, std::slice::from_ref(&record), Some("running")) {
            Ok(()) => acknowledged.push(record),
            Err(error) => return (acknowledged, error),
        }
    }
}

#[test]
fn a_full_disk_loses_nothing_and_going_back_is_still_recorded() {
    let temp = tempfile::tempdir().unwrap();
    let mount = format!("mount -t tmpfs -o size=8m tmpfs {}", temp.path().display());
    let in_own_mounts = |script: &str| {
        let mut command = Command::new("unshare");
        command.args(["-rm", "sh", "-c", script]);
        command
    };
    if !in_own_mounts(&mount).output().is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: this user may not mount a small disk of its own");
        return;
    }
    let test = this_test("sqlite::tests::faults::on_a_tiny_disk");
    let output = in_own_mounts(&format!("{mount} && exec \"$0\" \"$@\""))
        .arg(test.get_program())
        .args(test.get_args())
        .env(PEER_HOME, temp.path().join("home"))
        .output()
        .unwrap();
    assert_passed(&output);
}

#[test]
#[ignore = "run on a disk of 8 MiB by a_full_disk_loses_nothing_and_going_back_is_still_recorded"]
fn on_a_tiny_disk() {
    let Some(home) = peer_home() else { return };
    let store = SqliteStore::open(&home).unwrap();
    let lease = one_run(&store);
    let run = lease.run().clone();
    let mut side_log = store.prepare(&run).unwrap();
    let ballast = home.with_file_name("ballast");
    fs::write(&ballast, vec![1; 1024 * 1024]).unwrap();
    let (acknowledged, error) = append_until_it_fails(&store, &*lease);
    assert_eq!(error.kind, StoreErrorKind::Unavailable);
    assert!(error.message.contains("full"), "{error}");
    assert!(acknowledged.len() > 10);
    assert_eq!(Store::read_all(&store, &run, 0).unwrap(), acknowledged);
    // Again and again: still nothing lost, still said.
    let lost = next(acknowledged.last().unwrap(), lease.fence(), 3000);
    assert!(store.append(&*lease, std::slice::from_ref(&lost), None).is_err());
    // The window's way back is recorded while the disk is full.
    let back = vec![lost.clone(), next(&lost, lease.fence(), 2000)];
    side_log.append(&back).unwrap();
    assert_eq!(SideLogs::read(&store, &run).unwrap(), back);
    drop((lease, side_log));
    // The disk being full, another engine takes over and goes on going back.
    let mut held = one_lease(&store, &run);
    let mut side_log = store.reopen(&run).unwrap().unwrap();
    let mut all = back.clone();
    for _ in 0..2 {
        assert!(store.append(&*held, &back, None).is_err());
        let record = next(all.last().unwrap(), held.fence(), 500);
        side_log.append(std::slice::from_ref(&record)).unwrap();
        all.push(record);
        drop(held);
        held = one_lease(&store, &run);
    }
    assert_eq!(SideLogs::read(&store, &run).unwrap(), all);
    // With space again, the same handle goes on, and the side log is brought in.
    fs::remove_file(&ballast).unwrap();
    let old = one_lease_number(&store, &run);
    store.append(&*held, &all, Some("went back")).unwrap();
    store.clear(&run).unwrap();
    let whole = Store::read_all(&store, &run, 0).unwrap();
    assert_eq!(open_all(&whole).unwrap().len(), acknowledged.len() + all.len());
    assert_eq!((old, one_lease_number(&store, &run)), (held.fence() - 1, held.fence()));
    drop(held);
    assert_eq!(one_lease(&store, &run).fence(), old + 2);
}

/// Number of the run's last durable lease.
fn one_lease_number(store: &SqliteStore, run: &RunId) -> u64 {
    store
        .writer
        .between(|connection| {
            connection.query_row("SELECT fence FROM runs WHERE id = ?1", [run.as_str()], |row| row.get::<_, i64>(0))
        })
        .unwrap()
        .cast_unsigned()
}

#[test]
fn a_limit_on_file_sizes_is_an_error_and_loses_nothing() {
    let temp = tempfile::tempdir().unwrap();
    let home = temp.path().join("home");
    // In blocks of 512 bytes: 300 KiB. Ignored, the signal becomes an error of the write.
    assert_passed(&through_shell("trap '' XFSZ; ulimit -f 600;", "with_small_files", &home));
    let store = SqliteStore::open(&home).unwrap();
    let run = store.find("@last").unwrap();
    let records = Store::read_all(&store, &run.id, 0).unwrap();
    let acknowledged: usize = fs::read_to_string(home.with_file_name("acknowledged")).unwrap().parse().unwrap();
    assert!(acknowledged > 10);
    assert_eq!(open_all(&records).unwrap().len(), acknowledged);
}

#[test]
#[ignore = "run with a limit by a_limit_on_file_sizes_is_an_error_and_loses_nothing"]
fn with_small_files() {
    let Some(home) = peer_home() else { return };
    let store = SqliteStore::open(&home).unwrap();
    let lease = one_run(&store);
    let (acknowledged, error) = append_until_it_fails(&store, &*lease);
    assert_eq!(error.kind, StoreErrorKind::Unavailable, "{error}");
    assert_eq!(Store::read_all(&store, lease.run(), 0).unwrap(), acknowledged);
    let error = store.prepare(lease.run()).map(|_| ()).unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Unavailable, "{error}");
    fs::write(home.with_file_name("acknowledged"), acknowledged.len().to_string()).unwrap();
}

#[test]
fn a_store_that_may_not_be_written_says_so() {
    let temp = tempfile::tempdir().unwrap();
    let home = temp.path().join("home");
    drop(one_run(&SqliteStore::open(&home).unwrap()));
    let before = fs::read(home.join("journal.db")).unwrap();
    // Root may write anywhere, so the test is run by nobody, from a copy that nobody may read.
    let root = rustix::process::geteuid().is_root();
    let program = temp.path().join("test");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    for (path, mode) in [(temp.path().to_owned(), 0o755), (home.join("journal.db"), 0o444), (home.clone(), 0o555)] {
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
    }
    fs::set_permissions(home.join("runs"), Permissions::from_mode(0o555)).unwrap();
    let mut command = Command::new(&program);
    command.args(this_test("sqlite::tests::faults::without_the_right_to_write").get_args()).env(PEER_HOME, &home);
    if root {
        command.uid(65534).gid(65534);
    }
    assert_passed(&command.output().unwrap());
    assert_eq!(fs::read(home.join("journal.db")).unwrap(), before);
    fs::set_permissions(&home, Permissions::from_mode(0o755)).unwrap();
}

#[test]
#[ignore = "run as nobody by a_store_that_may_not_be_written_says_so"]
fn without_the_right_to_write() {
    let Some(home) = peer_home() else { return };
    let error = SqliteStore::open(&home).unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Unavailable, "{error}");
    assert!(error.message.contains("read-only"), "{error}");
    let error = SqliteStore::open(&home.join("below")).unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Unavailable, "{error}");
    assert!(error.message.contains("permission is denied"), "{error}");
}

#[test]
fn a_store_kept_locked_is_waited_for_and_readers_do_not_wait() {
    let temp = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(temp.path()).unwrap();
    let lease = one_run(&store);
    let records = chain_of(lease.fence(), 1);
    let blocker = rusqlite::Connection::open(temp.path().join("journal.db")).unwrap();
    blocker.execute_batch("BEGIN IMMEDIATE").unwrap();
    let waited = store.writer.write_soon(Duration::from_millis(20), "append", |_| Ok(())).unwrap_err();
    assert_eq!(waited.kind, StoreErrorKind::Unavailable);
    assert!(waited.message.contains("locked"), "{waited}");
    std::thread::scope(|scope| {
        let appending = scope.spawn(|| store.append(&*lease, &records, None));
        assert!(Store::read_all(&store, lease.run(), 0).unwrap().is_empty());
        assert!(!appending.is_finished());
        blocker.execute_batch("COMMIT").unwrap();
        appending.join().unwrap().unwrap();
    });
    assert_eq!(Store::read_all(&store, lease.run(), 0).unwrap(), records);
}
