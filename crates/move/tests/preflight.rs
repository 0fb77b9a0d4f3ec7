//! What the preflight tells of the source as a server, and the throttle, which looks at it later.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use mysql_async::prelude::Queryable;
use piton_move::{Limits, MoveError, Mover, preflight};
use support::catch_up;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_must_be_known_before_a_cutover_is_noted() {
    let Some(servers) = support::start(&[]) else { return };
    servers.both("noted", "create table t (id int primary key)");
    let found = preflight(&servers.config("noted", &["t"]), false).await.unwrap();
    assert!(found.refusals.is_empty(), "{:?}", found.refusals);
    let checks = |found: &piton_move::Preflight| found.notes.iter().map(|note| note.check).collect::<Vec<_>>();
    // The administrators of a private server.
    assert_eq!(checks(&found), ["read-only-admin"], "{:?}", found.notes);
    let mut older = servers.source_conn("noted").await;
    servers.on_source(
        "noted",
        "create user dba@'%' identified by 'pw'; grant read only admin on *.* to dba@'%';
         create event tick on schedule every 1 day do select 1;
         set global binlog_format = mixed; set global binlog_format = row;",
    );
    let mut dba = mysql_async::Conn::new(mysql_async::Opts::from_url(&servers.source.url_as("dba", "pw", "")).unwrap())
        .await
        .unwrap();
    let found = preflight(&servers.config("noted", &["t"]), false).await.unwrap();
    assert_eq!(checks(&found), ["older-sessions", "events", "read-only-admin"], "{:?}", found.notes);
    let said = found.notes.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert!(said[0].contains(&format!("{} admin@", older.id())), "{}", said[0]);
    assert!(said[1].contains("tick"), "{}", said[1]);
    assert!(said[2].contains("'dba'@'%'") && said[2].contains("connected now: dba"), "{}", said[2]);
    older.query_drop("select 1").await.unwrap();
    dba.query_drop("select 1").await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_that_are_still_to_be_made_are_judged_as_if_they_were_there() {
    let Some(servers) = support::start(&[]) else { return };
    servers.both("come", "create table there (id int primary key)");
    servers.on_source(
        "come",
        "create table fine (id int primary key, code char(2) character set ascii); create table keyless (a int)",
    );
    let told = async |config: &piton_move::Config, to_come| {
        let found = preflight(config, to_come).await.unwrap().refusals;
        found.iter().map(|one| (one.check, one.subject.clone())).collect::<Vec<_>>()
    };
    let of = |check, table: &str| (check, format!("come.{table}"));
    let config = servers.config("come", &["there", "fine", "keyless", "nowhere"]);
    assert_eq!(told(&config, true).await, [of("primary-key", "keyless"), of("exists", "nowhere")]);
    let missing = [of("exists", "fine"), of("exists", "keyless"), of("exists", "nowhere")];
    assert_eq!(told(&config, false).await, missing);
    // What TiDB could not make is known before it is tried.
    let Some(target) = support::tidb() else { return };
    let config = piton_move::Config { target: target.url(""), ..servers.config("come", &["there", "fine"]) };
    let found = preflight(&config, true).await.unwrap().refusals;
    assert_eq!(found.iter().map(|one| one.check).collect::<Vec<_>>(), ["collation-missing"], "{found:?}");
    assert!(found[0].what.contains("ascii_general_ci"), "{found:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_is_not_kept_for_long_enough_is_refused_and_one_that_is_gone_halts() {
    let Some(servers) = support::start(&[]) else { return };
    servers.both("kept", "create table t (id int primary key)");
    servers.on_source("kept", "set global binlog_expire_logs_seconds = 600");
    let found = preflight(&servers.config("kept", &["t"]), false).await.unwrap();
    assert_eq!(found.refusals.iter().map(|refusal| refusal.check).collect::<Vec<_>>(), ["retention"]);
    servers.on_source("kept", "set global binlog_expire_logs_seconds = 864000; insert into t values (1)");
    let config = servers.config("kept", &["t"]);
    let mut mover = Mover::start(config.clone()).await.unwrap();
    catch_up(&mut mover).await;
    mover.stop().await;
    servers.on_source("kept", "flush binary logs; insert into t values (2); flush binary logs");
    let last = servers.source.sql("show master status").unwrap();
    let file = last.split('\t').next().unwrap();
    servers.on_source("kept", &format!("purge binary logs to '{file}'"));
    let mut mover = Mover::start(config).await.unwrap();
    let error = mover.ended().await;
    assert!(matches!(&error, MoveError::Halted(_)) && error.to_string().contains("is gone"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_busy_source_is_left_alone_and_says_why() {
    let Some(servers) = support::start(&[]) else { return };
    servers.both("throttled", "create table t (id int primary key)");
    servers.on_source("throttled", "insert into t select seq from seq_1_to_50");
    let mut sleepers = Vec::new();
    for _ in 0..6 {
        let mut conn = servers.source_conn("throttled").await;
        sleepers.push(tokio::spawn(async move {
            let _ = conn.query_drop("select sleep(600)").await;
        }));
    }
    let running = "select count(*) from information_schema.processlist where info like 'select sleep%'";
    while servers.source.sql(running).unwrap() != "6\n" {}
    let mut config = servers.config("throttled", &["t"]);
    config.limits = Limits { threads_running: 5, chunk_rows: 10, ..Limits::default() };
    let mut mover = Mover::start(config).await.unwrap();
    let mut progress = mover.progress();
    let why = progress.wait_for(|progress| progress.throttled.is_some()).await.unwrap().throttled.clone().unwrap();
    assert!(why.contains("threads run on the source, more than 5"), "{why}");
    // The log is followed meanwhile; nothing is copied.
    servers.on_source("throttled", "insert into t values (1000)");
    let end = mover.source_position().await.unwrap();
    mover.wait_applied(&end).await.unwrap();
    assert_eq!(servers.target.sql("select count(*) from throttled.t").unwrap(), "1\n");
    let kill =
        "select concat('kill query ', id, ';') from information_schema.processlist where info like 'select sleep%'";
    let kill = servers.source.sql(kill).unwrap();
    servers.source.sql(&kill).unwrap();
    mover.wait_copied().await.unwrap();
    assert_eq!(mover.look().throttled, None);
    assert_eq!(servers.target.sql("select count(*) from throttled.t").unwrap(), "51\n");
    mover.stop().await;
}
