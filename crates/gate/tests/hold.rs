//! Hold, switch and release, with real clients and two real servers.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "what fails here fails its test")]

mod support;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Value};
use piton_gate::{HoldEnd, HoldOptions, ask};
use serde_json::json;
use support::{World, block_on};

const LONG: Duration = Duration::from_secs(30);

fn options(drain: Duration, deadline: Duration) -> HoldOptions {
    HoldOptions { drain, deadline, attempt: None }
}

/// Waits for what another thread brings about; a test that waits in vain fails.
fn until(what: &str, holds: impl Fn() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < LONG, "never: {what}");
        std::thread::yield_now();
    }
}

fn rows(world: &World, index: usize) -> BTreeSet<u64> {
    let text = world.servers[index].sql("select id from shop.w").unwrap();
    text.lines().map(|line| line.parse().unwrap()).collect()
}

fn tables(world: &World) {
    for server in &world.servers {
        server.sql("create table shop.w (id bigint primary key, note varchar(50))").unwrap();
    }
}

/// Writes numbers until told to stop, in one of several ways; gives those that were acknowledged.
async fn write(mut conn: Conn, writer: u64, acknowledged: Arc<AtomicU64>, stop: Arc<AtomicBool>) -> Vec<u64> {
    let mut done = Vec::new();
    let mut next = writer << 32;
    while !stop.load(Ordering::SeqCst) {
        next += 1;
        match writer % 3 {
            0 => conn.query_drop(format!("insert into w values ({next}, 'text')")).await.unwrap(),
            1 => conn.exec_drop("insert into w values (?, ?)", (next, "prepared")).await.unwrap(),
            _ => {
                conn.query_drop("begin").await.unwrap();
                conn.exec_drop("insert into w values (?, 'first')", (next,)).await.unwrap();
                next += 1;
                conn.query_drop(format!("insert into w values ({next}, 'second')")).await.unwrap();
                conn.query_drop("commit").await.unwrap();
                done.push(next - 1);
            }
        }
        done.push(next);
        acknowledged.fetch_add(1, Ordering::SeqCst);
    }
    done
}

#[test]
fn every_acknowledged_write_is_there_exactly_once_through_many_switches() {
    let Some(world) = World::start(2) else { return };
    tables(&world);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let counts: Vec<_> = (0..12).map(|_| Arc::new(AtomicU64::new(0))).collect();
    let writers: Vec<_> = counts
        .iter()
        .enumerate()
        .map(|(index, count)| {
            let conn = runtime.block_on(world.client("shop"));
            runtime.spawn(write(conn, index as u64 + 1, Arc::clone(count), Arc::clone(&stop)))
        })
        .collect();
    let mut longest = Duration::ZERO;
    for (round, target) in ["new", "old", "new", "old", "new"].into_iter().enumerate() {
        let wanted = 20 * (round as u64 + 1);
        until("all writers write", || counts.iter().all(|count| count.load(Ordering::SeqCst) >= wanted));
        let report = world.gate().hold(&options(LONG, LONG * 2)).unwrap();
        assert!(report.drained, "{report:?}");
        let (before, other) = (rows(&world, 0), rows(&world, 1));
        world.gate().switch(target).unwrap();
        until("all writers wait", || world.gate().status().waiting == 12);
        // Nothing was written while the gate was held.
        assert_eq!((rows(&world, 0), rows(&world, 1)), (before, other));
        longest = longest.max(Duration::from_micros(world.gate().release().unwrap().held_us));
    }
    let seen = counts.iter().map(|count| count.load(Ordering::SeqCst)).collect::<Vec<_>>();
    until("all go on", || counts.iter().zip(&seen).all(|(count, seen)| count.load(Ordering::SeqCst) > *seen));
    stop.store(true, Ordering::SeqCst);
    let mut acknowledged = BTreeSet::new();
    for writer in writers {
        for id in runtime.block_on(writer).unwrap() {
            assert!(acknowledged.insert(id));
        }
    }
    let (old, new) = (rows(&world, 0), rows(&world, 1));
    assert!(old.is_disjoint(&new), "a write was sent twice");
    assert!(!new.is_empty());
    assert_eq!(&old | &new, acknowledged, "a write is lost, or there without having been acknowledged");
    println!("{} writes, longest hold {longest:?}", acknowledged.len());
}

/// Its client sends the types of parameters once for each statement, so that the gate must say them again.
#[test]
fn sysbench_goes_on_through_switches_without_an_error() {
    let Some(world) = World::start(2) else { return };
    let Some(first) = world.sysbench("oltp_read_write", &["prepare"]) else { return };
    switch(&world, "new");
    let second = world.sysbench("oltp_read_write", &["prepare"]).unwrap();
    assert!(first.status.success() && second.status.success(), "{second:?}");
    std::thread::scope(|scope| {
        let run = scope.spawn(|| {
            world.sysbench(
                "oltp_read_write",
                &["--threads=4", "--events=600", "--time=120", "--mysql-ignore-errors=1213", "run"],
            )
        });
        for target in ["old", "new", "old"] {
            let before = commands(&world);
            until("sysbench works", || commands(&world) > before + 500);
            switch(&world, target);
        }
        let run = run.join().unwrap().unwrap();
        let text = String::from_utf8_lossy(&run.stdout).into_owned();
        assert!(run.status.success(), "{text} {}", String::from_utf8_lossy(&run.stderr));
        let line = text.lines().find(|line| line.trim_start().starts_with("reconnects:")).unwrap();
        assert_eq!(line.split_whitespace().nth(1), Some("0"), "{text}");
    });
}

fn commands(world: &World) -> u64 {
    let metrics = world.gate().metrics();
    let line = metrics.lines().find_map(|line| line.strip_prefix("piton_gate_commands_total "));
    line.unwrap().parse().unwrap()
}

#[test]
fn a_session_moves_with_all_that_it_set() {
    let Some(world) = World::start(2) else { return };
    for server in &world.servers {
        server
            .sql("create database other; create table other.t (id int auto_increment primary key, n double)")
            .unwrap();
        server.sql("create table other.marks (name varchar(10)); ").unwrap();
    }
    world.servers[0].sql("insert into other.marks values ('old')").unwrap();
    world.servers[1].sql("insert into other.marks values ('new')").unwrap();
    block_on(async {
        let mut conn = world.client("shop").await;
        conn.query_drop("use other").await.unwrap();
        conn.query_drop("set sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES', time_zone = '+03:00'").await.unwrap();
        conn.query_drop("set @a = 1, @b = 1.5e0, @c = 'é', @d = x'00ff', @e = null, @f = 2.50").await.unwrap();
        conn.query_drop("set names latin1; set group_concat_max_len = 12345").await.unwrap();
        conn.query_drop("set session transaction isolation level serializable").await.unwrap();
        conn.query_drop("insert into t (id, n) values (null, 1), (null, 2)").await.unwrap();
        let typed = conn.prep("select ? + 1, cast(? as char), (select name from marks)").await.unwrap();
        let before: Option<(Value, String, String)> = conn.exec_first(&typed, (41, "x")).await.unwrap();
        assert_eq!(before.unwrap().2, "old");
        const ASKED: &str = "select database(), @@sql_mode, @@time_zone, @a, @b, hex(@c), hex(@d), @e, @f, \
             @@character_set_client, @@character_set_results, @@collation_connection, @@group_concat_max_len, \
             @@tx_isolation, last_insert_id(), (select name from marks)";
        let old: mysql_async::Row = conn.query_first(ASKED).await.unwrap().unwrap();
        switch(&world, "new");
        let new: mysql_async::Row = conn.query_first(ASKED).await.unwrap().unwrap();
        let (mut old, mut new) = (old.unwrap(), new.unwrap());
        assert_eq!((old.pop(), new.pop()), (Some(Value::Bytes(b"old".to_vec())), Some(Value::Bytes(b"new".to_vec()))));
        assert_eq!(old, new);
        let after: Option<(Value, String, String)> = conn.exec_first(&typed, (41, "x")).await.unwrap();
        assert_eq!(after.unwrap().2, "new");
        conn.close(typed).await.unwrap();
        assert_eq!(world.gate().status().epoch, 1);
        assert!(world.gate().metrics().contains("piton_gate_moved_total 1\n"));
    });
}

fn switch(world: &World, to: &str) {
    let report = world.gate().hold(&options(LONG, LONG * 2)).unwrap();
    assert!(report.drained, "{report:?}");
    world.gate().switch(to).unwrap();
    world.gate().release().unwrap();
}

#[test]
fn a_session_at_rest_needs_its_old_backend_no_more_after_a_switch() {
    let Some(world) = World::start(2) else { return };
    block_on(async {
        let mut conn = world.client("shop").await;
        conn.query_drop("set @a = 'kept'").await.unwrap();
        let server: u32 = conn.query_first("select @@server_id").await.unwrap().unwrap();
        assert_eq!(server, 1);
        let epoch = world.gate().hold(&options(LONG, LONG * 2)).map(|_| world.gate().switch("new").unwrap()).unwrap();
        assert_eq!(epoch, 1);
        // A session at rest asks its old backend what it must know at the switch, and leaves.
        until("the session has left its old backend", || {
            world.servers[0].sql("select count(*) from information_schema.processlist where user = 'app'").unwrap()
                == "0\n"
        });
        world.gate().release().unwrap();
        let (server, kept): (u32, String) = conn.query_first("select @@server_id, @a").await.unwrap().unwrap();
        assert_eq!((server, kept.as_str()), (2, "kept"));
    });
}

#[test]
fn an_open_transaction_is_named_and_the_gate_opens_again() {
    let Some(world) = World::start(1) else { return };
    tables(&world);
    block_on(async {
        let mut open = world.client("shop").await;
        open.query_drop("begin").await.unwrap();
        open.query_drop("insert into w values (1, 'my secret')").await.unwrap();
        let mut fine = world.client("shop").await;
        fine.query_drop("select 1").await.unwrap();
        let report = world.gate().hold(&options(Duration::from_millis(30), LONG)).unwrap();
        assert!(!report.drained && report.blocking == 1, "{report:?}");
        assert_eq!(report.blockers[0].user, "app");
        assert_eq!(report.blockers[0].id, open.id());
        assert_eq!(report.blockers[0].statement, "insert into w values (?, ?)");
        assert_eq!(last_end(&world), Some(HoldEnd::NotDrained));
        fine.query_drop("select 1").await.unwrap();
        open.query_drop("commit").await.unwrap();
        let report = world.gate().drill(LONG).unwrap();
        assert!(report.drained && report.blocking == 0, "{report:?}");
        assert!(world.gate().switch("old").is_err() && world.gate().release().is_err());
    });
}

#[test]
fn what_is_open_may_end_while_the_gate_drains() {
    let Some(world) = World::start(1) else { return };
    tables(&world);
    let world = Arc::new(world);
    block_on(async {
        let mut open = world.client("shop").await;
        open.query_drop("begin").await.unwrap();
        open.query_drop("insert into w values (1, '')").await.unwrap();
        let holding = {
            let world = Arc::clone(&world);
            std::thread::spawn(move || world.gate().hold(&options(LONG, LONG * 2)).unwrap())
        };
        until("the gate is held", || world.gate().status().held);
        open.query_drop("insert into w values (2, '')").await.unwrap();
        open.query_drop("commit").await.unwrap();
        assert!(holding.join().unwrap().drained);
        assert_eq!(rows(&world, 0).len(), 2);
        world.gate().abort().unwrap();
    });
}

#[test]
fn an_error_in_a_transaction_does_not_keep_a_hold_from_draining() {
    let Some(world) = World::start(1) else { return };
    tables(&world);
    block_on(async {
        let (mut one, mut other) = (world.client("shop").await, world.client("shop").await);
        one.query_drop("insert into w values (1, ''), (2, '')").await.unwrap();
        one.query_drop("begin; update w set note = 'a' where id = 1").await.unwrap();
        other.query_drop("begin; update w set note = 'b' where id = 2").await.unwrap();
        let (first, second) = tokio::join!(
            one.query_drop("update w set note = 'a' where id = 2"),
            other.query_drop("update w set note = 'b' where id = 1"),
        );
        // The loser's transaction is gone, which its error did not say: only the backend can tell.
        assert!(first.is_err() != second.is_err());
        let survivor = if first.is_err() { &mut other } else { &mut one };
        survivor.query_drop("commit").await.unwrap();
        assert!(survivor.query_drop("begin; select * from nothing").await.is_err());
        survivor.query_drop("rollback").await.unwrap();
        survivor.query_drop("set autocommit = 0").await.unwrap();
        assert!(survivor.query_drop("select * from nothing").await.is_err());
        assert!(world.gate().drill(LONG).unwrap().drained);
    });
}

#[test]
fn a_client_that_leaves_takes_its_held_statement_with_it() {
    let Some(world) = World::start(1) else { return };
    tables(&world);
    block_on(async {
        let mut leaving = world.client("shop").await;
        let mut staying = world.client("shop").await;
        assert!(world.gate().hold(&options(LONG, LONG * 2)).unwrap().drained);
        let gone = tokio::spawn(async move { leaving.query_drop("insert into w values (1, 'gone')").await });
        let stays = tokio::spawn(async move { staying.query_drop("insert into w values (2, 'stays')").await });
        until("both wait", || world.gate().status().waiting == 2);
        gone.abort();
        assert!(gone.await.unwrap_err().is_cancelled());
        until("one has left", || world.gate().status().clients == 1);
        world.gate().release().unwrap();
        stays.await.unwrap().unwrap();
        assert_eq!(rows(&world, 0), BTreeSet::from([2]));
        assert!(world.gate().metrics().contains("piton_gate_dropped_total 1\n"));
    });
}

#[test]
fn a_pinned_session_is_named_and_refused_unsent_after_a_switch() {
    let Some(world) = World::start(2) else { return };
    tables(&world);
    block_on(async {
        let mut pinned = world.client("shop").await;
        pinned.query_drop("create temporary table mine (id int)").await.unwrap();
        let mut cursors = world.client("shop").await;
        cursors.query_drop("select get_lock('x', 1)").await.unwrap();
        let look = world.gate().look();
        let pins: BTreeSet<_> = look.pinned_sessions.iter().flat_map(|session| session.pins.clone()).collect();
        assert_eq!((look.pinned, pins), (2, BTreeSet::from(["GET_LOCK".to_owned(), "temporary table".to_owned()])));
        cursors.query_drop("do release_all_locks()").await.unwrap();
        // The client has its answer a moment before the gate has drawn its conclusions.
        until("one is pinned no more", || world.gate().look().pinned == 1);
        switch(&world, "new");
        let refused = pinned.query_drop("insert into w values (1, '')").await.unwrap_err().to_string();
        assert!(refused.contains("cannot move"), "{refused}");
        cursors.query_drop("insert into w values (2, '')").await.unwrap();
        assert_eq!((rows(&world, 0), rows(&world, 1)), (BTreeSet::new(), BTreeSet::from([2])));
    });
}

#[test]
fn a_hold_that_nobody_ends_ends_at_its_deadline_on_the_old_backend() {
    let Some(world) = World::start(2) else { return };
    tables(&world);
    block_on(async {
        let mut conn = world.client("shop").await;
        assert!(world.gate().hold(&options(LONG, Duration::from_millis(100))).unwrap().drained);
        conn.query_drop("insert into w values (1, '')").await.unwrap();
        assert_eq!(last_end(&world), Some(HoldEnd::Expired));
        assert_eq!(rows(&world, 0), BTreeSet::from([1]));
    });
}

fn last_end(world: &World) -> Option<HoldEnd> {
    world.gate().status().last_hold.map(|hold| hold.how)
}

#[test]
fn the_control_socket_holds_switches_and_releases() {
    let Some(world) = World::start(2) else { return };
    let path = world.folder.path().join("gate.sock");
    let say = |request| ask(&path, &request, LONG).unwrap();
    assert_eq!(say(json!({"do": "reload"}))["ok"], json!(true));
    let held = say(json!({"do": "hold", "drain_ms": 1000, "deadline_ms": 60000}));
    assert_eq!((&held["ok"], &held["drained"]), (&json!(true), &json!(true)));
    assert_eq!(say(json!({"do": "hold"}))["error"], json!("the gate is held already"));
    assert_eq!(say(json!({"do": "switch", "backend": "nowhere"}))["ok"], json!(false));
    assert_eq!(say(json!({"do": "switch", "backend": "new"}))["epoch"], json!(1));
    assert_eq!(say(json!({"do": "abort"}))["ok"], json!(false));
    assert!(say(json!({"do": "release"}))["held_us"].as_u64().unwrap() > 0);
    assert_eq!(say(json!({"do": "status"}))["backend"], json!("new"));
    assert_eq!(say(json!({"do": "drill", "drain_ms": 1000}))["drained"], json!(true));
    assert!(say(json!({"do": "metrics"}))["text"].as_str().unwrap().contains("piton_gate_epoch 1\n"));
    assert_eq!(say(json!({"do": "dance"}))["ok"], json!(false));
}

#[test]
fn what_a_statement_left_behind_is_refused_rather_than_answered_wrongly_after_a_move() {
    let Some(world) = World::start(2) else { return };
    block_on(async {
        let mut conn = world.client("shop").await;
        conn.query_drop("select 1 union select 2 union select 3").await.unwrap();
        let found: u32 = conn.query_first("select found_rows()").await.unwrap().unwrap();
        assert_eq!(found, 3);
        conn.query_drop("select sql_calc_found_rows 1 union select 2 limit 1").await.unwrap();
        let mut other = world.client("shop").await;
        let id: u64 = other.query_first("select connection_id()").await.unwrap().unwrap();
        other.query_drop("select 1 union select 2").await.unwrap();
        switch(&world, "new");
        // It was likely to be asked for: the session stayed where its answer is.
        let found: u32 = conn.query_first("select found_rows()").await.unwrap().unwrap();
        assert_eq!(found, 2);
        until("the other has left its old backend", || {
            let there = format!("select count(*) from information_schema.processlist where id = {id}");
            world.servers[0].sql(&there).unwrap() == "0\n"
        });
        let refused = other.query_drop("select found_rows()").await.unwrap_err().to_string();
        assert!(refused.contains("has moved"), "{refused}");
        let server: u32 = other.query_first("select @@server_id").await.unwrap().unwrap();
        assert_eq!(server, 2);
        let warned: u32 =
            other.query_first("select row_count()").await.map(|row: Option<i32>| row.is_some().into()).unwrap();
        assert_eq!(warned, 1);
    });
}
