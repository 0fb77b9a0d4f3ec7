//! The feed of the other direction, as a cutover arms it, and the feed that it ends.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::time::Duration;

use piton_move::{Config, MoveError, Mover, Reverse};
use support::{catch_up, servers};

fn turned(config: &Config, epoch: u64) -> Config {
    Config {
        source: config.target.clone(),
        target: config.source.clone(),
        server_id: support::next_id(),
        epoch,
        ..config.clone()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_armed_feed_brings_back_what_is_written_after_its_position_and_nothing_of_the_movers_own() {
    // Of its own: what other tests write is foreign.
    let Some(servers) = support::start(&[]) else { return };
    servers.both("turned", "create table t (id int primary key, n int)");
    servers.on_source("turned", "insert into t select seq, seq from seq_1_to_100");
    let config = servers.config("turned", &["t"]);
    let mut forward = Mover::start(config.clone()).await.unwrap();
    catch_up(&mut forward).await;
    let mut reverse = Reverse::prepare(turned(&config, 2)).await.unwrap();
    servers.on_source("turned", "update t set n = -n");
    // c3 to c6: the end, applied; the position of the other side; armed.
    let end = forward.source_position().await.unwrap();
    forward.wait_applied(&end).await.unwrap();
    assert!(forward.verify_dirty().await.unwrap().is_equal());
    let from = reverse.position().await.unwrap();
    let mut back = reverse.arm(&from).await.unwrap();
    assert!(forward.look().foreign <= end, "nothing but heartbeats came after the end");
    Mover::retire(&config.target, &config.name, 2).await.unwrap();
    // The old direction cannot commit any more: not the mover that runs, nor a new one.
    servers.on_source("turned", "insert into t values (7777, 0)");
    assert!(matches!(forward.ended().await, MoveError::Fenced { .. }));
    let error = Mover::start(config.clone()).await.unwrap_err();
    assert!(matches!(error, MoveError::Retired { ours: 1, found: 2 }), "{error}");
    servers.on_source("turned", "delete from t where id = 7777");
    // The application writes on the new side.
    servers.target.sql("use turned; update t set n = 1 where id <= 10; delete from t where id > 90").unwrap();
    let end = back.source_position().await.unwrap();
    back.wait_applied(&end).await.unwrap();
    assert_eq!(back.look().applied_changes, 20, "what the forward mover wrote does not come back");
    assert!(back.verify().await.unwrap().is_equal());
    back.stop().await;
    // Killed and started again, it goes on without copying.
    servers.target.sql("use turned; insert into t values (500, 5)").unwrap();
    let mut back = Mover::start(turned(&config, 2)).await.unwrap();
    let end = back.source_position().await.unwrap();
    back.wait_applied(&end).await.unwrap();
    assert_eq!((back.look().copied_rows, servers.differences("turned")), (0, vec![]));
    back.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_foreign_after_a_position_is_told_from_our_heartbeat() {
    let Some(servers) = support::start(&[]) else { return };
    servers.both("strange", "create table t (id int primary key); create table other (id int primary key)");
    let mut mover = Mover::start(servers.config("strange", &["t"])).await.unwrap();
    catch_up(&mut mover).await;
    let before = mover.source_position().await.unwrap();
    servers.on_source("strange", "insert into other values (1)");
    // The server's word, and then at least one heartbeat.
    let end = mover.source_position().await.unwrap();
    let mut applied = mover.applied();
    applied.wait_for(|applied| *applied > end).await.unwrap();
    let written = mover.look().foreign;
    assert!(written > before && written <= end, "{before} {written} {end}");
    mover.stop().await;
}

/// Seen: c5 was late once, and each later try of the cutover failed, as the answer to its question was the late one's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_question_that_nobody_waited_for_spoils_no_later_one() {
    let Some(servers) = support::start(&[]) else { return };
    servers.both("asked", "create table t (id int primary key auto_increment, n int)");
    servers.on_source("asked", "insert into t select seq, seq from seq_1_to_1000");
    let mut mover = Mover::start(servers.config("asked", &["t"])).await.unwrap();
    catch_up(&mut mover).await;
    for wait_us in (0..40).map(|step| step * 50) {
        let wait = Duration::from_micros(wait_us);
        servers.on_source("asked", "update t set n = n + 1 where id % 7 = 0");
        // Whether the answer came in time is all the same.
        let _ = tokio::time::timeout(wait, mover.verify_dirty()).await;
        let _ = tokio::time::timeout(wait, mover.counters_behind()).await;
        let _ = tokio::time::timeout(wait, mover.source_position()).await;
        mover.raise_counters().await.unwrap();
        assert_eq!(mover.counters_behind().await.unwrap(), Vec::<String>::new());
        let end = mover.source_position().await.unwrap();
        mover.wait_applied(&end).await.unwrap();
        assert!(mover.verify_dirty().await.unwrap().is_equal());
    }
    mover.stop().await;
}

/// An attempt that was aborted has armed it; then the server whose log it was to follow was started again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn arming_again_begins_at_the_new_position_whatever_an_earlier_attempt_had_armed() {
    let Some(mut servers) = support::start(&[]) else { return };
    servers.both("again", "create table t (id int primary key, n int)");
    servers.on_source("again", "insert into t select seq, seq from seq_1_to_10");
    let config = servers.config("again", &["t"]);
    let mut forward = Mover::start(config.clone()).await.unwrap();
    catch_up(&mut forward).await;
    let mut reverse = Reverse::prepare(turned(&config, 2)).await.unwrap();
    let from = reverse.position().await.unwrap();
    reverse.arm(&from).await.unwrap().stop().await;
    forward.stop().await;
    // Lives are told apart by the second.
    tokio::time::sleep(Duration::from_secs(4)).await;
    servers.target.crash().unwrap();
    servers.target.restart().unwrap();
    let mut forward = Mover::start(config.clone()).await.unwrap();
    catch_up(&mut forward).await;
    let mut reverse = Reverse::prepare(turned(&config, 2)).await.unwrap();
    let from = reverse.position().await.unwrap();
    let mut back = reverse.arm(&from).await.unwrap();
    Mover::retire(&config.target, &config.name, 2).await.unwrap();
    servers.target.sql("insert into again.t values (99, 99)").unwrap();
    let end = back.source_position().await.unwrap();
    back.wait_applied(&end).await.unwrap();
    assert_eq!(servers.differences("again"), Vec::<String>::new());
    back.stop().await;
    // What the next epoch has taken, an old one records no more.
    Mover::retire(&config.source, &config.name, 3).await.unwrap();
    let late = Reverse::prepare(turned(&config, 2)).await.unwrap_err();
    assert!(matches!(late, MoveError::Retired { ours: 2, found: 3 }), "{late}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn there_is_no_way_back_from_tidb() {
    let (Some(servers), Some(tidb)) = (servers(), support::tidb()) else { return };
    let mut config = servers.config("no_way", &["t"]);
    servers.both("no_way", "create table t (id int primary key)");
    tidb.sql("create database no_way; create table no_way.t (id int primary key)").unwrap();
    config.source = tidb.url("");
    let error = Reverse::prepare(config).await.unwrap_err().to_string();
    assert!(error.contains("TiDB writes no log") && error.contains("no way back"), "{error}");
}
