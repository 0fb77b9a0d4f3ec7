//! Tables that are moved while several writers change them, between two real servers.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use piton_move::{Config, Limits, Mover};
use support::{Writers, catch_up, scatter, servers};

const ROWS: u64 = 20_000;

fn filled(schema: &str) -> Option<std::sync::Arc<support::Servers>> {
    let servers = servers()?;
    servers.both(
        schema,
        "create table account (id bigint unsigned primary key, u varchar(20) not null, n int, unique key (u));
         create table pair (a int, b varchar(20), note text, primary key (a, b));",
    );
    servers.on_source(
        schema,
        &format!(
            "insert into account select seq, concat('u', seq), seq from seq_1_to_{ROWS};
             insert into pair select seq % 97, concat('k', seq), repeat('x', seq % 200) from seq_1_to_{ROWS};"
        ),
    );
    Some(servers)
}

/// Inserts, updates, deletes, changes of keys, and swaps of unique values.
fn busy(writer: u64, step: u64) -> Vec<String> {
    let id = scatter(writer, step, 1) % ROWS + 1;
    let other = scatter(writer, step, 2) % ROWS + 1;
    match scatter(writer, step, 3) % 8 {
        0 => vec![format!(
            "insert into account values ({}, 'w{writer}-{step}', {step})",
            ROWS + writer * 1_000_000 + step
        )],
        1 => vec![format!("delete from account where id = {id}")],
        2 => vec![
            format!("update account set u = concat('swap-', {writer}) where id = {id}"),
            format!("update account set u = 'u{id}' where id = {other}"),
            format!("update account set u = 'u{other}' where id = {id}"),
        ],
        3 => vec![format!("update account set id = id + 100000000 where id = {id}")],
        4 => vec![format!("update pair set b = upper(b), note = 'moved' where a = {} and b = 'k{id}'", id % 97)],
        5 => vec![format!("delete from pair where a = {} and b = 'K{id}'", id % 97)],
        6 => vec![
            format!("delete from account where id = {id}"),
            format!("insert into account values ({id}, 'again-{writer}-{step}', 0)"),
        ],
        _ => vec![format!("update account set n = n + 1 where id between {id} and {}", id + 5)],
    }
}

/// Seen: four chunks of one table at a time split each other's pages, at a tenth more of the target's processor time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_take_turns_while_they_are_copied() {
    let Some(servers) = servers() else { return };
    servers.both("turns", "create table one (id int primary key); create table two (id int primary key)");
    servers.on_source("turns", "insert into one select seq from seq_1_to_100; insert into two select * from one");
    let mut config = servers.config("turns", &["one", "two"]);
    config.limits = Limits { chunk_rows: 10, chunks: 4, copiers: 4, ..Limits::default() };
    let mut mover = Mover::start(config).await.unwrap();
    assert!(mover.wait_standing().await.unwrap(), "it may read four chunks");
    mover.progress().wait_for(|progress| progress.copied_rows == 40).await.unwrap();
    let copied = servers.target.sql("select (select count(*) from turns.one), (select count(*) from turns.two)");
    assert_eq!(copied.unwrap(), "20\t20\n");
    mover.stop().await;
}

/// Seen with 32 tables: as each table's keys waited for the stream by themselves, keys changed faster than they were looked at, and
/// no cutover ever began.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_stream_is_waited_for_once_however_many_tables_have_changed() {
    const TABLES: u64 = 40;
    // Its own servers: what they were asked is counted.
    let Some(servers) = support::start(&[]) else { return };
    let names: Vec<String> = (0..TABLES).map(|table| format!("t{table}")).collect();
    let each = |what: &str| names.iter().map(|name| what.replace("{}", name)).collect::<Vec<_>>().join("; ");
    servers.both("wide", &each("create table {} (id int primary key, n int)"));
    servers.on_source("wide", &each("insert into {} select seq, 0 from seq_1_to_10"));
    let tables: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut mover = Mover::start(servers.config("wide", &tables)).await.unwrap();
    mover.wait_copied().await.unwrap();
    assert_eq!(mover.verify().await.unwrap().differences, []);
    let waits = || -> u64 {
        let status = servers.source.sql("show global status like 'Com_show_binlog_status'").unwrap();
        status.split_whitespace().nth(1).and_then(|times| times.parse().ok()).unwrap_or_else(|| panic!("{status:?}"))
    };
    let before = waits();
    servers.on_source("wide", &format!("begin; {}; commit", each("update {} set n = n + 1")));
    catch_up(&mut mover).await;
    while mover.dirty() != piton_move::Dirty::default() {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(mover.verify_dirty().await.unwrap().differences, []);
    let waited = waits() - before;
    assert!(waited < TABLES / 2, "it has waited for the stream {waited} times for {TABLES} tables");
    mover.stop().await;
}

/// Seen: the pass that a mover makes by itself stood before the one that was asked for, and a table was compared twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_comparison_that_is_asked_for_is_made_once() {
    const CHUNKS: u64 = 2_000;
    // Its own servers: what they were asked is counted.
    let Some(servers) = support::start(&[]) else { return };
    servers.both("once", "create table t (id int primary key)");
    servers.on_source("once", &format!("insert into t select seq from seq_1_to_{}", CHUNKS * 10));
    let config = servers.config("once", &["t"]);
    let mut mover = Mover::start(config.clone()).await.unwrap();
    mover.wait_copied().await.unwrap();
    mover.stop().await;
    let count = |what: &str| -> u64 {
        let status = servers.source.sql(&format!("show global status like '{what}'")).unwrap();
        status.split_whitespace().nth(1).and_then(|times| times.parse().ok()).unwrap_or_else(|| panic!("{status:?}"))
    };
    let limits = Limits { chunk_rows: 10, ..Limits::default() };
    let mut mover = Mover::start(Config { limits, server_id: support::next_id(), ..config }).await.unwrap();
    let before = count("Com_select");
    let verified = mover.verify().await.unwrap();
    assert_eq!((verified.rows, verified.differences.len()), (CHUNKS * 10, 0));
    // A sum and an end for each, and a few while the mover was alone.
    let selects = count("Com_select") - before;
    assert!(selects < CHUNKS * 3, "{selects} questions for {CHUNKS} chunks");
    mover.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_that_several_writers_change_while_they_are_copied_are_equal_in_the_end() {
    let Some(servers) = filled("busy") else { return };
    let writers = Writers::start(&servers, "busy", 4, busy);
    let mut config = servers.config("busy", &["account", "pair"]);
    config.limits = Limits { chunk_rows: 700, ..Limits::default() };
    let mut mover = Mover::start(config).await.unwrap();
    mover.wait_copied().await.unwrap();
    let verified = mover.verify().await.unwrap();
    assert_eq!(verified.differences, []);
    assert_eq!(mover.dirty().tables, 0, "what was compared is not compared again");
    assert!(writers.stop() > 0);
    catch_up(&mut mover).await;
    let progress = mover.look();
    assert!(progress.applied_changes > 0 && progress.copied_rows >= ROWS, "{progress:?}");
    mover.stop().await;
    assert_eq!(servers.differences("busy"), Vec::<String>::new());
}
