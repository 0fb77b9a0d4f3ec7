//! Tables that are moved while several writers change them, between two real servers.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use piton_move::{Limits, Mover};
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

/// Seen with 32 tables: as each table's keys waited for the stream by themselves, and for those that change all the time, more
/// keys changed than were looked at, and no cutover ever began.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_changes_all_the_time_in_many_tables_does_not_keep_the_rest_dirty() {
    const TABLES: u64 = 40;
    /// Some that always change, beside as many as a cutover takes.
    const FEW: usize = 1000;
    let Some(servers) = servers() else { return };
    let names: Vec<String> = (0..TABLES).map(|table| format!("t{table}")).collect();
    let each = |what: &str| names.iter().map(|name| what.replace("{}", name)).collect::<Vec<_>>().join("; ");
    servers.both("wide", &each("create table {} (id int primary key, n int)"));
    servers.on_source("wide", &each("insert into {} select seq, 0 from seq_1_to_500"));
    let tables: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut mover = Mover::start(servers.config("wide", &tables)).await.unwrap();
    mover.wait_copied().await.unwrap();
    mover.verify().await.unwrap();
    let writers = Writers::start(&servers, "wide", 4, |writer, step| {
        let table = scatter(writer, step, 1) % TABLES;
        vec![
            format!("update t{table} set n = n + 1 where id between {0} and {0} + 4", writer * 10),
            "do sleep(0.005)".to_owned(),
        ]
    });
    servers.on_source("wide", &each("update {} set n = n + 1 where id > 100"));
    catch_up(&mut mover).await;
    let patience = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while mover.dirty().keys > FEW || mover.dirty().tables > 0 {
        assert!(std::time::Instant::now() < patience, "it stays dirty: {:?}", mover.dirty());
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert!(writers.stop() > 0);
    assert_eq!(mover.verify_dirty().await.unwrap().differences, []);
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
