//! Movers that are killed: the next one goes on, copies nothing twice, and both sides are equal in the end.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use mysql_async::prelude::Queryable;
use piton_move::{Limits, MoveError, Mover};
use support::{Servers, Writers, catch_up, scatter, servers};

const ROWS: u64 = 12_000;
const KILLS: u64 = 12;

fn busy(writer: u64, step: u64) -> Vec<String> {
    let id = scatter(writer, step, 1) % ROWS + 1;
    let other = scatter(writer, step, 2) % ROWS + 1;
    match scatter(writer, step, 3) % 5 {
        0 => vec![format!("insert into item values ({}, 'n{writer}-{step}', 1)", ROWS + writer * 1_000_000 + step)],
        // A unique value goes from row to row: applied twice or in another order, it collides.
        1 | 2 => vec![
            format!("update item set u = 'hand-{writer}-{}' where id = {id}", step % 40),
            format!("update item set u = concat('u', {id}, '-{writer}-{step}') where id = {id}"),
            format!("update item set u = 'hand-{writer}-{}', n = {step} where id = {other}", step % 40),
            format!("update item set u = concat('u', {other}) where id = {other}"),
        ],
        3 => vec![format!("delete from item where id = {id}")],
        _ => vec![format!("update item set n = n + 1 where id between {id} and {}", id + 40)],
    }
}

/// Where a chunk begins and ends; `None` at the ends of the table.
type Bounds = (Option<Vec<u8>>, Option<Vec<u8>>);

fn filled(schema: &str) -> Option<std::sync::Arc<Servers>> {
    let servers = servers()?;
    servers.both(schema, "create table item (id bigint primary key, u varchar(40) unique, n int)");
    servers.on_source(schema, &format!("insert into item select seq, concat('u', seq), 0 from seq_1_to_{ROWS}"));
    Some(servers)
}

fn spawn(servers: &Servers, schema: &str, server_id: u64) -> Child {
    Command::new(env!("CARGO_BIN_EXE_piton-move-test"))
        .args([&servers.source.url(""), &servers.target.url(""), schema, &server_id.to_string(), "200", "item"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Kills the mover once it has told of its progress so often.
fn kill_after(mut child: Child, lines: u64) {
    let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
    for _ in 0..lines {
        match output.next() {
            Some(line) => {
                let line = line.unwrap();
                assert!(!line.starts_with("error"), "{line}");
            }
            None => panic!("the mover ended by itself: {:?}", child.wait()),
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mover_killed_again_and_again_loses_nothing_and_copies_nothing_twice() {
    let Some(servers) = filled("killed") else { return };
    let writers = Writers::start(&servers, "killed", 3, busy);
    for kill in 0..KILLS {
        let lines = 1 + scatter(7, kill, 0) % 60;
        kill_after(spawn(&servers, "killed", 500 + kill), lines);
    }
    let mut config = servers.config("killed", &["item"]);
    config.limits = Limits { chunk_rows: 200, ..Limits::default() };
    let mut mover = Mover::start(config).await.unwrap();
    mover.wait_copied().await.unwrap();
    assert!(writers.stop() > 0);
    catch_up(&mut mover).await;
    assert_eq!(mover.verify().await.unwrap().differences, []);
    mover.stop().await;
    assert_eq!(servers.differences("killed"), Vec::<String>::new());
    // Chunks follow each other without a gap and without an overlap.
    let mut conn = mysql_async::Conn::new(mysql_async::Opts::from_url(&servers.target.url("")).unwrap()).await.unwrap();
    let chunks: Vec<Bounds> =
        conn.query("select above, upto from piton_move.chunks where name = 'killed' order by number").await.unwrap();
    assert_eq!((&chunks[0].0, &chunks[chunks.len() - 1].1), (&None, &None));
    assert!(chunks.windows(2).all(|pair| pair[0].1 == pair[1].0 && pair[0].1.is_some()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mover_that_was_replaced_writes_nothing_more() {
    let Some(servers) = filled("fenced") else { return };
    let mut first = Mover::start(servers.config("fenced", &["item"])).await.unwrap();
    catch_up(&mut first).await;
    let mut second = Mover::start(servers.config("fenced", &["item"])).await.unwrap();
    servers.on_source("fenced", "update item set n = -1 where id < 100");
    let error = first.ended().await;
    assert!(matches!(error, MoveError::Fenced { .. }), "{error:?}");
    catch_up(&mut second).await;
    second.stop().await;
    assert_eq!(servers.differences("fenced"), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_larger_than_the_memory_for_it_is_one_transaction_on_the_target() {
    let Some(servers) = filled("large") else { return };
    let mut config = servers.config("large", &["item"]);
    config.limits = Limits { part_bytes: 64 << 10, queue_bytes: 256 << 10, ..Limits::default() };
    let mut mover = Mover::start(config.clone()).await.unwrap();
    catch_up(&mut mover).await;
    // Every row comes, changes, changes its key, and some go: 80,000 changes in one transaction.
    servers.on_source(
        "large",
        "begin; insert into item select 100000 + seq, concat('large', seq), 7 from seq_1_to_20000;
         update item set n = n + 1; update item set id = id + 1000000 order by id desc;
         delete from item where n = 1 limit 5000; commit;
         update item set n = 9 where id between 1100000 and 1100100;",
    );
    let seen = servers.target.sql("select count(*) from large.item where id >= 1000000").unwrap();
    assert!(seen == "0\n" || seen == "27000\n", "a part of the transaction is visible: {seen}");
    catch_up(&mut mover).await;
    mover.stop().await;
    assert_eq!(servers.differences("large"), Vec::<String>::new());
    // The next mover copies nothing again.
    let mut mover = Mover::start(servers.config("large", &["item"])).await.unwrap();
    catch_up(&mut mover).await;
    assert_eq!(mover.look().copied_rows, ROWS);
    mover.stop().await;
    assert_eq!(servers.differences("large"), Vec::<String>::new());
}
