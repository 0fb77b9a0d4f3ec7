//! MySQL as a source and as a target: what it answers otherwise than MariaDB. Skipped, loudly, where `make mysql` has fetched none.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::time::Duration;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts};
use piton_move::cutover::steps::{Goal, Outcome, Step, WayBack};
use piton_move::cutover::{Account, Driver, Feed, Plan, Report, Stream};
use piton_move::{Config, Limits, Mover, Reverse, TableName, audit};
use piton_testkit::available;
use piton_testkit::mariadb::{Brand, MariaDb, Options};
use support::{Servers, catch_up};

/// Columns and values, each written before the copy and again while the log is followed.
const TYPES: &[(&str, &[&str])] = &[
    ("bigint unsigned", &["18446744073709551615", "0", "null"]),
    ("int", &["-2147483648", "2147483647"]),
    ("decimal(30,10)", &["-12345678901234567890.0123456789"]),
    ("float", &["0.1", "16777217"]),
    ("double", &["1.7976931348623157e308", "4.9e-324"]),
    ("bit(13)", &["b'1000000000001'"]),
    ("date", &["'9999-12-31'"]),
    ("datetime(6)", &["'2026-11-21 20:52:51.000001'"]),
    ("timestamp(6) null", &["'2026-10-25 01:30:00.123456'"]),
    ("time(2)", &["'-00:00:01.10'", "'838:59:59'"]),
    ("year", &["1901", "2155"]),
    ("char(10) character set latin1", &["'a'", "0xff80"]),
    ("varchar(300) collate utf8mb4_bin", &["'ä😀 '", "''", "'NULL'", "repeat('x', 300)"]),
    ("varbinary(20)", &["0x00ff00", "''"]),
    ("binary(4)", &["0x61", "0x00000000"]),
    ("longtext collate utf8mb4_bin", &["repeat('long', 20000)"]),
    ("longblob", &["repeat(0x00ff, 20000)"]),
    ("enum('a', 'b') collate utf8mb4_bin", &["'b'"]),
    ("set('a', 'b') collate utf8mb4_bin", &["'a,b'", "''"]),
];

/// What docs/move.md says that a mover's account needs.
const MOVER: &str = "create user mover@'%' identified by 'moves'; create database piton_move;
    grant all on shop.* to mover@'%' with grant option; grant all on piton_move.* to mover@'%' with grant option;
    grant select on mysql.* to mover@'%';
    grant replication slave, replication client, process, create user, system_variables_admin, connection_admin, xa_recover_admin on *.* to mover@'%'";

fn mysql(server_id: u32) -> Option<MariaDb> {
    // On by itself there, and refused before a cutover.
    let extra = vec!["--event-scheduler=OFF".to_owned()];
    let options = Options { brand: Brand::MySql, server_id, extra, ..Options::default() };
    available(MariaDb::start(options))
}

fn shape() -> String {
    let columns: Vec<String> = TYPES.iter().zip(0..).map(|((kind, _), at)| format!("c{at} {kind}")).collect();
    format!("create table types (id int primary key auto_increment, {}) collate utf8mb4_bin", columns.join(", "))
}

fn values() -> String {
    let of = |(at, values): (usize, &&[&str])| {
        values.iter().map(|value| format!("insert into types (c{at}) values ({value})")).collect::<Vec<_>>()
    };
    TYPES.iter().map(|(_, values)| values).enumerate().flat_map(of).collect::<Vec<_>>().join("; ")
}

async fn follows(servers: &Servers) {
    servers.both("shop", &shape());
    servers.on_source("shop", &values());
    let mut mover = Mover::start(servers.config("shop", &["types"])).await.unwrap();
    mover.wait_copied().await.unwrap();
    servers.on_source("shop", &format!("{}; begin; update types set id = id + 1000 where id < 9; commit", values()));
    servers.on_source("shop", "delete from types where id between 20 and 22; flush binary logs");
    servers.on_source("shop", &values());
    catch_up(&mut mover).await;
    let verified = mover.verify().await.unwrap();
    assert_eq!(verified.differences, []);
    let rows: u64 = servers.source.sql("select count(*) from shop.types").unwrap().trim().parse().unwrap();
    assert_eq!(verified.rows, rows);
    mover.stop().await;
    let tables = [TableName::new("shop", "types")];
    let audited = audit::audit(&servers.source.url(""), &servers.target.url(""), &tables, None).await.unwrap();
    assert_eq!(audited[0].difference, None);
    assert_eq!(servers.differences("shop"), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_type_arrives_from_mysql_on_mariadb() {
    let (Some(source), Some(target)) = (mysql(1), support::server(2, &[])) else { return };
    follows(&Servers { source, target }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_type_arrives_from_mariadb_on_mysql() {
    let (Some(source), Some(target)) = (support::server(1, &[]), mysql(2)) else { return };
    follows(&Servers { source, target }).await;
}

/// A cutover without a gate, at a moment when nobody writes. `held` locks the table once it is copied.
async fn cut(servers: &Servers, plan: &Plan, held: Option<&mut Conn>) -> Report {
    let config = Config {
        name: plan.name.clone(),
        source: plan.first.clone(),
        target: plan.second.clone(),
        replicas: Vec::new(),
        tables: vec![TableName::new("shop", "w")],
        server_id: support::next_id(),
        epoch: plan.epoch,
        limits: Limits::default(),
    };
    let mut mover = Mover::start(config.clone()).await.unwrap();
    mover.wait_copied().await.unwrap();
    while !Stream::refusals(&mover).is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    if let Some(conn) = held {
        conn.query_drop("lock tables w write").await.unwrap();
    }
    let turned = Config {
        source: config.target.clone(),
        target: config.source.clone(),
        server_id: support::next_id(),
        epoch: plan.epoch + 1,
        ..config
    };
    let mut feed = Feed::ready(Reverse::prepare(turned).await.unwrap());
    let report = Driver::new(plan.clone(), Vec::new()).with(&mut mover, Some(&mut feed)).run(Goal::Move).await;
    mover.stop().await;
    if report.outcome == Outcome::Moved {
        // Everything since the cut goes the way back.
        servers.target.sql("insert into shop.w values (100, 'there')").unwrap();
        let mut back = feed.armed().await.unwrap().unwrap();
        let end = back.source_position().await.unwrap();
        back.wait_applied(&end).await.unwrap();
        back.stop().await;
    }
    report
}

async fn writes(server: &MariaDb, id: u64) -> Result<(), mysql_async::Error> {
    let mut app = Conn::new(Opts::from_url(&server.url_as("app", "secret", "shop")).unwrap()).await?;
    app.query_drop(format!("insert into w values ({id}, 'app')")).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_is_cut_over_from_mysql_and_a_lock_that_is_held_ends_the_attempt() {
    let (Some(source), Some(target)) = (mysql(1), mysql(2)) else { return };
    let servers = Servers { source, target };
    servers.both(
        "shop",
        "create table w (id bigint primary key, note varchar(50)); create user app@'%' identified by 'secret';
         grant select, insert, update, delete, lock tables on shop.* to app@'%'",
    );
    servers.both("shop", MOVER);
    let plan = Plan {
        name: "shop".to_owned(),
        epoch: 1,
        first: servers.source.url_as("mover", "moves", ""),
        second: servers.target.url_as("mover", "moves", ""),
        accounts: vec![Account::new("app", "%")],
        way_back: WayBack::Armed,
        drain: Duration::from_secs(5),
        deadline: Duration::from_secs(10),
    };
    Driver::new(plan.clone(), Vec::new()).prepare().await.unwrap();
    writes(&servers.source, 1).await.unwrap();
    assert!(writes(&servers.target, 1).await.is_err(), "the target refuses the application before its time");
    let mut holder = Conn::new(Opts::from_url(&servers.source.url_as("app", "secret", "shop")).unwrap()).await.unwrap();
    let hasty = Plan { drain: Duration::from_secs(1), deadline: Duration::from_secs(2), ..plan.clone() };
    let report = cut(&servers, &hasty, Some(&mut holder)).await;
    assert_eq!(report.outcome, Outcome::Back, "{report:?}");
    // A quarter of the deadline, where the server itself would wait for a whole second.
    let (_, took, _) = report.steps.iter().find(|(step, _, _)| *step == Step::SetReadOnly).unwrap();
    assert!(*took < Duration::from_secs(1), "{report:?}");
    holder.query_drop("unlock tables").await.unwrap();
    writes(&servers.source, 2).await.unwrap();
    let report = cut(&servers, &plan, None).await;
    assert_eq!(report.outcome, Outcome::Moved, "{report:?}");
    assert!(
        writes(&servers.source, 3).await.is_err() && holder.query_drop("insert into w values (4, '')").await.is_err()
    );
    writes(&servers.target, 5).await.unwrap();
    assert_eq!(servers.target.sql("select id from shop.w order by id").unwrap(), "1\n2\n5\n100\n");
    assert_eq!(servers.source.sql("select id from shop.w order by id").unwrap(), "1\n2\n100\n");
}
