//! The ledger against real servers: it loses nothing when its server is killed, and its checker sees what is wrong.
//!
//! Owns the proof that the witness of the demo can be believed. Never uses a fake database.
#![allow(clippy::unwrap_used)] // a test helper, where a failure should stop the test

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use piton_testkit::ledger::{Account, Settings, prepare, reconcile, serve};
use piton_testkit::mariadb::{MariaDb, Options};

const LIMIT: Duration = Duration::from_secs(60);

fn account() -> Account {
    Account { user: "ledger".into(), password: "a-ledger-password".into(), schema: "shop".into() }
}

fn server() -> MariaDb {
    let server = MariaDb::start(Options::default()).unwrap();
    let Account { user, password, schema } = account();
    server
        .sql(&format!(
            "create database {schema}; create user {user}@'%' identified by '{password}';
             grant all privileges on {schema}.* to {user}@'%'"
        ))
        .unwrap();
    prepare(&server.address(), &account()).unwrap();
    server
}

fn wait_for_acknowledged(folder: &Path, more_than: usize) -> usize {
    let deadline = Instant::now() + LIMIT;
    loop {
        let lines = std::fs::read_to_string(folder.join("acknowledged")).map_or(0, |text| text.lines().count());
        if lines > more_than {
            return lines;
        }
        assert!(Instant::now() < deadline, "the ledger stays at {lines} writes");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_ledger_loses_nothing_when_its_server_is_killed_refuses_and_comes_back() {
    let mut server = server();
    let folder = tempfile::tempdir().unwrap();
    let endpoint_file = folder.path().join("endpoint");
    std::fs::write(&endpoint_file, server.address()).unwrap();
    let settings = Settings {
        endpoint_file,
        folder: folder.path().join("record"),
        account: account(),
        clients: 4,
        pause: Duration::from_millis(1),
    };
    let stop = Arc::new(AtomicBool::new(false));
    let stats = std::thread::scope(|scope| {
        let service = scope.spawn(|| serve(&settings, Arc::clone(&stop)));
        let before = wait_for_acknowledged(&settings.folder, 100);
        server.crash().unwrap();
        server.restart().unwrap();
        let after = wait_for_acknowledged(&settings.folder, before + 100);
        server.sql("set global read_only = 1").unwrap();
        std::thread::sleep(Duration::from_millis(400));
        server.sql("set global read_only = 0").unwrap();
        wait_for_acknowledged(&settings.folder, after + 100);
        stop.store(true, Ordering::Relaxed);
        service.join().unwrap().unwrap()
    });
    let found = reconcile(&settings.folder, &server.address(), &account()).unwrap();
    assert!(found.is_clean(), "{found:?} {stats:?}");
    assert_eq!(found.acknowledged, stats.acknowledged);
    assert!(stats.refused > 0 && stats.service_errors > 0 && stats.longest_gap_ms >= 350, "{stats:?}");

    server.sql("delete from shop.ledger_entries order by seq limit 1").unwrap();
    let found = reconcile(&settings.folder, &server.address(), &account()).unwrap();
    assert_eq!((found.missing, found.unbalanced), (1, 2), "a lost row is seen: {found:?}");
}
