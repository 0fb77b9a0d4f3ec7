//! What the mover must not go past (I8): each case is something done on the source, and words of the halt that follows.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use mysql_async::prelude::Queryable;
use piton_move::{MoveError, Mover, preflight};
use support::{catch_up, servers};

/// A case: its name, what is done on the source while the log is followed (in sessions), words that the halt must say.
const HALTS: &[(&str, &str, &[&str])] = &[
    (
        "xa",
        "xa start 'x'; update t set n = 2; xa end 'x'; xa prepare 'x'; xa commit 'x'",
        &["XA", "begin the move anew"],
    ),
    (
        "statement",
        "set session binlog_format = statement; update t set n = 2",
        &["logged as a statement", "binlog_format = ROW"],
    ),
    ("minimal", "set session binlog_row_image = minimal; update t set n = 2", &["does not show column", "FULL"]),
    ("truncated", "truncate table t", &["names truncated.t", "truncate table t"]),
    ("altered", "alter table t add x int; insert into t (id) values (9)", &["names altered.t"]),
    ("renamed", "create table other (id int); rename table t to gone, other to t", &["names renamed.t"]),
    ("dropped", "drop database dropped", &["names dropped.t"]),
    (
        "compressed",
        "set global log_bin_compress = on; set global log_bin_compress_min_len = 10;
        \n-- as another session\n insert into t select seq, 1, repeat('x', 100) from seq_50_to_999",
        &["compressed event"],
    ),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_replayed_halts_with_its_place_and_a_remedy() {
    // Servers of its own: what is done here halts every mover that reads this log.
    let Some(servers) = support::start(&[]) else { return };
    for (case, done, words) in HALTS {
        servers.both(case, "create table t (id int primary key, n int, pad varchar(100))");
        servers.on_source(case, "insert into t values (1, 1, null)");
        let mut mover = Mover::start(servers.config(case, &["t"])).await.unwrap();
        catch_up(&mut mover).await;
        done.split("-- as another session").for_each(|done| servers.on_source(case, done));
        let error = mover.ended().await;
        let MoveError::Halted(halt) = &error else { panic!("{case}: {error:?}") };
        let position = halt.position.as_ref().expect(case);
        assert!(position.file.starts_with("binlog.") && position.offset > 4, "{case}: {position}");
        assert!(words.iter().all(|word| error.to_string().contains(word)), "{case}: {error}");
        mover.stop().await;
        let kept = servers.target.sql(&format!("select count(*), sum(n) from {case}.t")).unwrap();
        assert_eq!(kept, "1\t1\n", "{case}: something of it was applied");
    }
}

/// What stays unnoticed must be as harmless as it looks.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_concern_the_moved_tables_is_gone_past() {
    let Some(servers) = servers() else { return };
    servers.both("passing", "create table t (id int primary key, n int)");
    let mut mover = Mover::start(servers.config("passing", &["t"])).await.unwrap();
    servers.on_source(
        "passing",
        "create table other (id int); insert into other values (1); truncate other; alter table other add x int;
         create temporary table t2 (id int); insert into t2 values (1); drop temporary table t2;
         begin; insert into t values (1, 1); savepoint a; insert into t values (2, 2); rollback to a; commit;
         flush binary logs; grant select on passing.t to nobody@localhost identified by 'x';
         insert into t values (3, 3); drop table other; flush binary logs;",
    );
    catch_up(&mut mover).await;
    mover.stop().await;
    assert_eq!(servers.target.sql("select group_concat(id order by id) from passing.t").unwrap(), "1,3\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_somebody_else_wrote_on_the_target_halts_instead_of_being_replaced() {
    let Some(servers) = servers() else { return };
    servers.both("stranger", "create table t (id int primary key, u int unique)");
    let mut mover = Mover::start(servers.config("stranger", &["t"])).await.unwrap();
    catch_up(&mut mover).await;
    servers.target.sql("insert into stranger.t values (7, 70)").unwrap();
    servers.on_source("stranger", "insert into t values (1, 70)");
    let error = mover.ended().await.to_string();
    assert!(error.contains("Duplicate entry '70'") && error.contains("binlog."), "{error}");
    assert_eq!(servers.target.sql("select id from stranger.t").unwrap(), "7\n");
}

/// A case: its name, tables on the source, tables on the target, words of the refusal.
const REFUSALS: &[(&str, &str, &str, &str)] = &[
    ("no_key", "create table t (id int)", "create table t (id int)", "no primary key"),
    (
        "myisam",
        "create table t (id int primary key) engine = myisam",
        "create table t (id int primary key)",
        "its engine is MyISAM",
    ),
    ("absent", "create table t (id int primary key)", "", "not on the target"),
    (
        "narrow",
        "create table t (id bigint primary key)",
        "create table t (id int primary key)",
        "id bigint(20) on the source is id int(11)",
    ),
    ("unsign", "create table t (id int unsigned primary key)", "create table t (id int primary key)", "on the target"),
    (
        "charset",
        "create table t (id int primary key, v varchar(5))",
        "create table t (id int primary key, v varchar(5) character set latin1)",
        "in utf8mb4 on the source",
    ),
    (
        "with_rows",
        "create table t (id int primary key)",
        "create table t (id int primary key); insert into t values (1)",
        "has rows",
    ),
    (
        "keyless",
        "create table t (id int primary key, u int unique)",
        "create table t (id int primary key, u int)",
        "the target lacks u",
    ),
    (
        "stricter",
        "create table t (id int primary key, u int)",
        "create table t (id int primary key, u int unique)",
        "only the target has u",
    ),
    (
        "cascades",
        "create table p (id int primary key);
        create table t (id int primary key, p int, foreign key c (p) references p (id) on delete cascade)",
        "create table t (id int primary key, p int)",
        "changes rows without the log telling",
    ),
    (
        "fired",
        "create table t (id int primary key)",
        "create table t (id int primary key); create trigger g before insert on t for each row set new.id = 1",
        "the target has g",
    ),
    ("view", "create view t as select 1 as id", "create table t (id int primary key)", "it is a view"),
    (
        "versioned",
        "create table t (id int primary key) with system versioning",
        "create table t (id int primary key)",
        "it is a system versioned",
    ),
    ("sequence", "create sequence t", "create table t (id int primary key)", "it is a sequence"),
    (
        "real_key",
        "create table t (id double primary key)",
        "create table t (id double primary key)",
        "key has id double",
    ),
    (
        "prefix",
        "create table t (id text, primary key (id(10)))",
        "create table t (id text, primary key (id(10)))",
        "no primary key of whole",
    ),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_moved_is_refused_with_a_remedy() {
    let Some(servers) = servers() else { return };
    for (case, source, target, word) in REFUSALS {
        servers.source.sql(&format!("create database {case}; use {case}; {source}")).unwrap();
        servers.target.sql(&format!("create database {case}; use {case}; {target}")).unwrap();
        let found = preflight(&servers.config(case, &["t"]), false).await.unwrap();
        let said = found.refusals.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        assert!(
            said.contains(word) && found.refusals.iter().all(|refusal| !refusal.remedy.is_empty()),
            "{case}: {said}"
        );
        let error = Mover::start(servers.config(case, &["t"])).await.unwrap_err();
        assert!(matches!(error, MoveError::Refused(_)), "{case}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_that_does_not_log_what_is_needed_is_refused() {
    let Some(servers) = support::start(&["--binlog-row-image=MINIMAL", "--binlog-row-metadata=NO_LOG"]) else { return };
    servers.both("settings", "create table t (id int primary key)");
    let mut conn = servers.source_conn("settings").await;
    conn.query_drop("xa start 'p'; insert into t values (1); xa end 'p'; xa prepare 'p'").await.unwrap();
    let found = preflight(&servers.config("settings", &["t"]), false).await.unwrap();
    let checks: Vec<_> = found.refusals.iter().map(|refusal| refusal.check).collect();
    assert_eq!(checks, ["binlog_row_image", "binlog_row_metadata", "xa"]);
}
