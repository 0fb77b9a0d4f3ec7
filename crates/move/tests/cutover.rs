//! Cutovers between two real servers, under writers that go through a real gate; and movers that die at each step.

#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr, reason = "tests")]

mod support;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts};
use piton_gate::Backend;
use piton_move::cutover::steps::{Goal, Outcome, Step, WayBack};
use piton_move::cutover::{Account, ControlSocket, Driver, Feed, Gate, Plan, Registers, Report, Stream};
use piton_move::{Config, Mover, Reverse, TableName};
use piton_testkit::mariadb::MariaDb;
use support::Servers;
use support::clients::{Clients, PASSWORD, as_app};

struct World {
    servers: Servers,
    gate: Arc<piton_gate::Gate>,
    folder: tempfile::TempDir,
    runtime: tokio::runtime::Runtime,
}

fn plan(source: &str, target: &str, deadline: Duration) -> Plan {
    Plan {
        name: "shop".to_owned(),
        epoch: 1,
        first: source.to_owned(),
        second: target.to_owned(),
        accounts: vec![Account::new("app", "%")],
        way_back: WayBack::Armed,
        drain: deadline / 2,
        deadline,
    }
}

fn config(source: &str, target: &str, server_id: u32) -> Config {
    Config {
        name: "shop".to_owned(),
        source: source.to_owned(),
        target: target.to_owned(),
        replicas: Vec::new(),
        tables: vec![TableName::new("shop", "w")],
        server_id,
        epoch: 1,
        limits: piton_move::Limits::default(),
    }
}

impl World {
    fn start(deadline: Duration) -> Option<Self> {
        let servers = support::start(&[])?;
        for server in [&servers.source, &servers.target] {
            server
                .sql(&format!(
                    "create database shop; create user app@'%' identified by '{PASSWORD}';
                     grant select, insert, update, delete on shop.* to app@'%';
                     create table shop.w (id bigint primary key, note varchar(50));"
                ))
                .unwrap();
        }
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let plan = plan(&servers.source.url(""), &servers.target.url(""), deadline);
        runtime.block_on(Driver::new(plan.clone(), Vec::new()).prepare()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let backends =
            vec![Backend::plain("old", &servers.source.address()), Backend::plain("new", &servers.target.address())];
        let mut gate = piton_gate::Config::new(([127, 0, 0, 1], 0).into(), backends);
        let password = servers.source.password().to_owned();
        gate.account = Some(piton_gate::Account { user: MariaDb::ADMIN.to_owned(), password });
        gate.control = Some(folder.path().join("gate.sock"));
        let registers = Arc::new(Registers::new(&plan.name, &plan.first, &plan.second));
        let gate = piton_gate::Gate::start_with(gate, registers, deadline).unwrap();
        Some(Self { servers, gate, folder, runtime })
    }

    fn plan(&self, deadline: Duration) -> Plan {
        plan(&self.servers.source.url(""), &self.servers.target.url(""), deadline)
    }

    fn control(&self) -> PathBuf {
        self.folder.path().join("gate.sock")
    }

    /// Whether an application account can write there.
    fn writable(&self, server: &MariaDb) -> bool {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let id = (1 << 60) + NEXT.fetch_add(1, Ordering::SeqCst);
        self.runtime.block_on(async {
            let Ok(mut conn) = Conn::new(as_app(server.port())).await else { return false };
            let wrote = conn.query_drop(format!("insert into w values ({id}, 'probe')")).await.is_ok();
            drop(conn.query_drop(format!("delete from w where id = {id}")).await);
            wrote
        })
    }

    fn rows(server: &MariaDb) -> BTreeSet<u64> {
        let text = server.sql("select id from shop.w").unwrap();
        text.lines().map(|line| line.parse().unwrap()).collect()
    }
}

/// The feed of the way back, which follows once the cutover has armed it.
fn turned(source: &str, target: &str, server_id: u32) -> Config {
    Config { epoch: 2, ..config(target, source, server_id + 100) }
}

async fn cut(source: &str, target: &str, control: PathBuf, deadline: Duration, server_id: u32) -> (Report, Feed) {
    let mut mover = Mover::start(config(source, target, server_id)).await.unwrap();
    mover.wait_copied().await.unwrap();
    while !Stream::refusals(&mover).is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let mut feed = Feed::ready(Reverse::prepare(turned(source, target, server_id)).await.unwrap());
    let gates: Vec<Arc<dyn Gate>> = vec![Arc::new(ControlSocket::new(control))];
    let driver = Driver::new(plan(source, target, deadline), gates);
    let report = driver.with(&mut mover, Some(&mut feed)).run(Goal::Move).await;
    mover.stop().await;
    (report, feed)
}

/// What makes a cutover end before anybody waits: what somebody does on the source, what is told of it, how it is taken back.
const SPOILT: &[(&str, &str, &str)] = &[
    ("set global event_scheduler = on", "the source's event scheduler writes", "set global event_scheduler = off"),
    (
        "xa start 'x'; insert into shop.w values (1, 'x'); xa end 'x'; xa prepare 'x'",
        "1 XA transactions are prepared",
        "xa rollback 'x'",
    ),
    (
        "set global innodb_flush_log_at_trx_commit = 2",
        "innodb_flush_log_at_trx_commit of the source is not 1",
        "set global innodb_flush_log_at_trx_commit = 1",
    ),
    ("alter user app@'%' account lock", "is locked on the source", "alter user app@'%' account unlock"),
    ("change master to master_host = '127.0.0.1', master_user = 'x'", "a replica of another", "reset slave all"),
];

/// What a session does as long as it is there, its account, and what is told of it.
const PRESENT: &[(&str, &str, &str)] = &[
    ("dba", "do sleep(600)", "writes on in spite of the fence; let it leave, or revoke READ ONLY ADMIN"),
    ("owner", "/* by hand */ alter table shop.slow add column c int", "runs ALTER on the source; let it end"),
];

#[test]
fn what_would_spoil_a_cutover_is_named_before_anybody_waits() {
    let deadline = Duration::from_secs(10);
    let Some(world) = World::start(deadline) else { return };
    let source = &world.servers.source;
    let accounts = "create user dba@'%' identified by 'pw'; grant read only admin on *.* to dba@'%';
        create user owner@'%' identified by 'pw'; grant all on shop.* to owner@'%'";
    source.sql(&format!("create table shop.slow (id int primary key); {accounts}")).unwrap();
    let plan = world.plan(deadline);
    let told = || world.runtime.block_on(Driver::new(plan.clone(), Vec::new()).run(Goal::Move));
    for (spoil, reason, mend) in SPOILT {
        source.sql(spoil).unwrap();
        let report = told();
        assert_eq!(report.outcome, Outcome::Nothing, "{spoil}: {report:?}");
        assert!(report.reasons.iter().any(|told| told.contains(reason)), "{spoil}: {report:?}");
        assert!(report.pause.is_none(), "{spoil}: {report:?}");
        source.sql(mend).unwrap();
    }
    // Who reads keeps a definition waiting.
    let url = source.url("shop");
    let mut reader = world.runtime.block_on(Conn::from_url(&url)).unwrap();
    world.runtime.block_on(reader.query_drop("start transaction; select * from slow")).unwrap();
    for (user, does, reason) in PRESENT {
        let opts = as_app(source.port()).user(Some(*user)).pass(Some("pw")).db_name(None::<String>);
        let session = world.runtime.spawn(async move {
            let mut conn = Conn::new(opts).await.unwrap();
            conn.query_drop(*does).await
        });
        let there =
            format!("select count(*) from information_schema.processlist where user = '{user}' and info is not null");
        while source.sql(&there).unwrap() != "1\n" {
            std::thread::sleep(Duration::from_millis(5));
        }
        let report = told();
        assert_eq!(report.outcome, Outcome::Nothing, "{user}: {report:?}");
        let named = |told: &&String| told.starts_with(&format!("{user}@")) && told.contains(reason);
        assert_eq!(report.reasons.iter().filter(named).count(), 1, "{user}: {report:?}");
        let kill = format!("select concat('kill ', id) from information_schema.processlist where user = '{user}'");
        source.sql(source.sql(&kill).unwrap().trim()).unwrap();
        assert!(world.runtime.block_on(session).unwrap().is_err());
    }
}

#[test]
fn a_cutover_under_writers_loses_no_write_and_fails_none() {
    let deadline = Duration::from_secs(10);
    let Some(world) = World::start(deadline) else { return };
    let clients = Clients::start(&world.runtime, world.gate.address().port());
    clients.go_on();
    let (source, target) = (world.servers.source.url(""), world.servers.target.url(""));
    let (report, feed) = world.runtime.block_on(cut(&source, &target, world.control(), deadline, 900));
    assert_eq!(report.outcome, Outcome::Moved, "{report:?}");
    clients.go_on();
    let (acknowledged, longest) = clients.stop(&world.runtime);
    for (step, took, _) in &report.steps {
        println!("{step:?} {took:?}");
    }
    println!("pause {:?}, longest statement {longest:?}, {} writes", report.pause.unwrap(), acknowledged.len());
    assert_eq!(World::rows(&world.servers.target), acknowledged);
    assert!(World::rows(&world.servers.source).is_subset(&acknowledged));
    assert!(!world.writable(&world.servers.source) && world.writable(&world.servers.target));
    // The way back is known from before the first write there, and everything since has gone it.
    let registers = Registers::new("shop", &source, &target);
    let from = world.runtime.block_on(registers.reverse(1)).unwrap().unwrap();
    let events = world.servers.target.sql(&format!("show binlog events in '{}' from {}", from.file, from.offset));
    assert!(events.unwrap().contains("(shop.w)"));
    world.runtime.block_on(async {
        let mut back = feed.armed().await.unwrap().unwrap();
        let end = back.source_position().await.unwrap();
        back.wait_applied(&end).await.unwrap();
        back.stop().await;
    });
    assert_eq!(World::rows(&world.servers.source), acknowledged);
}

#[test]
#[ignore = "a mover in a process of its own, which other tests start and which dies there"]
fn a_mover_that_dies() {
    let told = |name: &str| std::env::var(name).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let deadline = Duration::from_millis(told("PITON_TEST_DEADLINE_MS").parse().unwrap());
    let control = PathBuf::from(told("PITON_TEST_CONTROL"));
    let id = told("PITON_TEST_ID").parse().unwrap();
    let (report, _) =
        runtime.block_on(cut(&told("PITON_TEST_SOURCE"), &told("PITON_TEST_TARGET"), control, deadline, id));
    panic!("it was to die: {report:?}");
}

fn dies_at(world: &World, point: &str, deadline: Duration, server_id: u32) {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_mover_that_dies", "--ignored", "--nocapture"])
        .env("PITON_CUTOVER_KILL", point)
        .env("PITON_TEST_DEADLINE_MS", deadline.as_millis().to_string())
        .env("PITON_TEST_CONTROL", world.control())
        .env("PITON_TEST_SOURCE", world.servers.source.url(""))
        .env("PITON_TEST_TARGET", world.servers.target.url(""))
        .env("PITON_TEST_ID", server_id.to_string())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    // Nothing but the abort at that point: a test that failed ends with a code.
    assert!(output.status.code().is_none(), "{point}: {text}");
}

/// Nobody but the gate is left: it decides at its deadline, unfences, and lets the writers go on.
#[test]
fn a_mover_that_dies_before_c7_is_taken_back_by_the_gate() {
    let deadline = Duration::from_secs(3);
    let Some(world) = World::start(deadline) else { return };
    let clients = Clients::start(&world.runtime, world.gate.address().port());
    let points = ["after:OpenAttempt", "after:Hold", "after:LockAccounts", "after:SetReadOnly", "after:ReadEnd"];
    let later = ["after:WaitApplied", "after:ArmReverse", "before:Commit"];
    for (point, server_id) in points.into_iter().chain(later).zip(900..) {
        dies_at(&world, point, deadline, server_id);
        let died = Instant::now();
        if point == "after:OpenAttempt" {
            // No gate holds for it yet: a successor settles it.
            let report = world.runtime.block_on(Driver::new(world.plan(deadline), Vec::new()).run(Goal::Settle));
            assert_eq!(report.outcome, Outcome::Back, "{report:?}");
        }
        clients.go_on();
        println!("{point}: writers go on after {:?}", died.elapsed());
        assert!(world.writable(&world.servers.source) && !world.writable(&world.servers.target), "{point}");
    }
    let (acknowledged, _) = clients.stop(&world.runtime);
    assert_eq!(World::rows(&world.servers.source), acknowledged);
}

#[test]
fn a_mover_that_dies_from_c7_on_is_finished_forward() {
    let deadline = Duration::from_secs(3);
    for point in ["after:Commit", "after:OpenTarget", "after:CopyRegister"] {
        let Some(world) = World::start(deadline) else { return };
        let clients = Clients::start(&world.runtime, world.gate.address().port());
        dies_at(&world, point, deadline, 900);
        assert!(!world.writable(&world.servers.source), "{point}");
        let died = Instant::now();
        if point != "after:CopyRegister" {
            let report = world.runtime.block_on(Driver::new(world.plan(deadline), Vec::new()).run(Goal::Settle));
            assert_eq!(report.outcome, Outcome::Moved, "{report:?}");
            assert!(report.steps.iter().all(|(step, ..)| *step != Step::Unfence));
        }
        // The gate reads it on the target, which nobody told it.
        clients.go_on();
        println!("{point}: writers go on after {:?}", died.elapsed());
        let (acknowledged, _) = clients.stop(&world.runtime);
        assert!(!world.writable(&world.servers.source) && world.writable(&world.servers.target), "{point}");
        assert_eq!(World::rows(&world.servers.target), acknowledged, "{point}");
    }
}

/// Seen: `read_only` is gone after kill -9 and restart. The account lock stays, and nobody commits any more.
#[test]
fn a_source_that_dies_behind_its_fence_does_not_open_by_itself() {
    let deadline = Duration::from_secs(30);
    let Some(mut world) = World::start(deadline) else { return };
    dies_at(&world, "after:ProveFence", deadline, 900);
    world.servers.source.crash().unwrap();
    world.servers.source.restart().unwrap();
    assert_eq!(world.servers.source.sql("select @@global.read_only").unwrap(), "0\n");
    assert!(!world.writable(&world.servers.source) && !world.writable(&world.servers.target));
    let report = world.runtime.block_on(Driver::new(world.plan(deadline), Vec::new()).run(Goal::Settle));
    assert_eq!(report.outcome, Outcome::Back, "{report:?}");
    assert!(world.writable(&world.servers.source) && !world.writable(&world.servers.target));
    let by_opts = Opts::from(as_app(world.gate.address().port()));
    assert!(world.runtime.block_on(Conn::new(by_opts)).is_ok(), "the gate has opened to the source");
}
