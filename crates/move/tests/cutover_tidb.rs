//! A cutover from MariaDB to TiDB, under writers that go through a real gate. There is no way back, so that is given up.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]

mod support;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use piton_gate::Backend;
use piton_move::cutover::steps::{Goal, Outcome, WayBack};
use piton_move::cutover::{Account, ControlSocket, Driver, Gate, Looked, Plan, Registers, Stream};
use piton_move::{Config, Mover, Reverse, TableName};
use piton_testkit::mariadb::MariaDb;
use piton_testkit::tidb::TiDb;
use support::clients::{Clients, PASSWORD, as_app};

/// What a mover's account needs on TiDB beside all rights: named, as ALL does not contain it.
const MOVER: &str = "create user mover@'%' identified by 'moves'; grant all on *.* to mover@'%' with grant option; \
                     grant restricted_replica_writer_admin on *.* to mover@'%'";

fn prepared(source: &MariaDb, target: &TiDb) {
    source
        .sql(&format!(
            "create database shop; create table shop.w (id bigint primary key, note varchar(50)) collate utf8mb4_bin;
             create user app@'%' identified by '{PASSWORD}'; grant select, insert, update, delete on shop.* to app@'%'"
        ))
        .unwrap();
    target
        .sql(&format!(
            "create database shop; create table shop.w (id bigint primary key, note varchar(50)) collate utf8mb4_bin;
             create user app@'%' identified by '{PASSWORD}'; grant select, insert, update, delete on shop.* to app@'%';
             {MOVER}"
        ))
        .unwrap();
}

fn rows(sql: Result<String, piton_testkit::SetupError>) -> BTreeSet<u64> {
    sql.unwrap().lines().map(|line| line.parse().unwrap()).collect()
}

async fn writes(port: u16, id: u64) -> Result<(), mysql_async::Error> {
    Conn::new(as_app(port)).await?.query_drop(format!("insert into w values ({id}, 'probe')")).await
}

#[test]
fn a_service_moves_to_tidb_and_sees_no_error() {
    let (Some(source), Some(target)) = (support::server(1, &[]), support::tidb()) else { return };
    prepared(&source, &target);
    let (old, new) = (source.url(""), target.url_as("mover", "moves", ""));
    let deadline = Duration::from_secs(20);
    let plan = Plan {
        name: "shop".to_owned(),
        epoch: 1,
        first: old.clone(),
        second: new.clone(),
        accounts: vec![Account::new("app", "%")],
        way_back: WayBack::GivenUp,
        drain: deadline / 2,
        deadline,
    };
    let config = Config {
        name: "shop".to_owned(),
        source: old.clone(),
        target: new.clone(),
        replicas: Vec::new(),
        tables: vec![TableName::new("shop", "w")],
        server_id: support::next_id(),
        epoch: 1,
        limits: piton_move::Limits::default(),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let control = folder.path().join("gate.sock");
    let backends = vec![Backend::plain("old", &source.address()), Backend::plain("new", &target.address())];
    let mut settings = piton_gate::Config::new(([127, 0, 0, 1], 0).into(), backends);
    settings.account =
        Some(piton_gate::Account { user: MariaDb::ADMIN.to_owned(), password: source.password().to_owned() });
    settings.control = Some(control.clone());
    let registers = || Registers::new("shop", &old, &new);
    let gate = piton_gate::Gate::start_with(settings, Arc::new(registers()), deadline).unwrap();
    runtime.block_on(Driver::new(plan.clone(), Vec::new()).prepare()).unwrap();
    let fenced = runtime.block_on(writes(target.port(), 1)).unwrap_err().to_string();
    assert!(fenced.contains("1836"), "the target refuses the application before its time: {fenced}");
    let clients = Clients::start(&runtime, gate.address().port());
    clients.go_on();
    let report = runtime.block_on(async {
        let mut mover = Mover::start(config.clone()).await.unwrap();
        mover.wait_copied().await.unwrap();
        let refused = Reverse::prepare(Config { source: new.clone(), target: old.clone(), epoch: 2, ..config }).await;
        assert!(refused.unwrap_err().to_string().contains("no way back"));
        while !Stream::refusals(&mover).is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let gates: Vec<Arc<dyn Gate>> = vec![Arc::new(ControlSocket::new(control))];
        // A way back that is not given up is refused in the preflight, and nothing begins.
        let armed = Plan { way_back: WayBack::Armed, ..plan.clone() };
        let refused = Driver::new(armed, gates.clone()).with(&mut mover, None).run(Goal::Move).await;
        assert_eq!(refused.outcome, Outcome::Nothing, "{refused:?}");
        assert!(refused.reasons.iter().any(|why| why.contains("no way back")), "{refused:?}");
        let report = Driver::new(plan, gates).with(&mut mover, None).run(Goal::Move).await;
        mover.stop().await;
        report
    });
    assert_eq!(report.outcome, Outcome::Moved, "{report:?}");
    clients.go_on();
    let (acknowledged, longest) = clients.stop(&runtime);
    println!("pause {:?}, longest statement {longest:?}, {} writes", report.pause.unwrap(), acknowledged.len());
    assert_eq!(rows(target.sql("select id from shop.w")), acknowledged);
    assert!(runtime.block_on(writes(source.port(), 2)).is_err(), "the source is closed");
    assert_eq!(runtime.block_on(async { registers().read().await }).truth(), Looked::Open(1));
    assert_eq!(gate.status().backend, "new");
}
