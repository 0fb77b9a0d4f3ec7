//! A real gate that obeys the registers on real servers: who decides, and that the gate obeys, whoever dies.
//!
//! Owns what a mover would write, as plain statements: so nothing here depends on a mover's order.

#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr, reason = "tests")]

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, OptsBuilder};
use piton_gate::{Attempt, Backend, Gate, HoldEnd, HoldOptions};
use piton_move::cutover::steps::WayBack;
use piton_move::cutover::{Account, Driver, Looked, Plan, Registers};
use piton_testkit::mariadb::MariaDb;
use support::Servers;

const PASSWORD: &str = "secret";
const LONG: Duration = Duration::from_secs(30);
/// As long as a cutover has.
const DEADLINE: Duration = Duration::from_millis(800);

fn until(what: &str, holds: impl Fn() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < LONG, "never: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(work)
}

struct World {
    servers: Servers,
    gate: Option<Arc<Gate>>,
}

/// Two servers that are prepared for a cutover, and a gate whose registers say that nothing was moved.
fn world() -> Option<World> {
    let servers = support::start(&[])?;
    for server in [&servers.source, &servers.target] {
        // The gate's account has what the page on the gate says that it needs.
        server
            .sql(&format!(
                "create database shop; create table shop.w (id bigint primary key);
                 create user app@'%' identified by '{PASSWORD}'; grant all on shop.* to app@'%';
                 create user gate@'%' identified by '{PASSWORD}'; grant select on mysql.* to gate@'%';
                 grant all on piton_move.* to gate@'%';
                 grant binlog admin, read only admin, connection admin, process, create user on *.* to gate@'%'"
            ))
            .unwrap();
    }
    let mut world = World { servers, gate: None };
    block_on(Driver::new(world.plan(), Vec::new()).prepare()).unwrap();
    // Only the tests' statements decide here which side takes writes.
    world.servers.target.sql("set global read_only = 0; alter user app@'%' account unlock").unwrap();
    world.restart_gate();
    until("the gate has read its registers", || !world.gate().status().held);
    Some(world)
}

impl World {
    fn plan(&self) -> Plan {
        Plan {
            name: "shop".to_owned(),
            epoch: 1,
            first: self.servers.source.url(""),
            second: self.servers.target.url(""),
            accounts: vec![Account::new("app", "%")],
            way_back: WayBack::Armed,
            drain: DEADLINE,
            deadline: DEADLINE,
        }
    }

    fn gate(&self) -> &Gate {
        self.gate.as_ref().unwrap()
    }

    fn registers(&self) -> Registers {
        let url = |server: &MariaDb| format!("mysql://gate:{PASSWORD}@{}/", server.address());
        Registers::new("shop", &url(&self.servers.source), &url(&self.servers.target))
    }

    fn restart_gate(&mut self) {
        self.gate = None;
        let backend = |name, server: &MariaDb| Backend::plain(name, &server.address());
        let backends = vec![backend("old", &self.servers.source), backend("new", &self.servers.target)];
        let mut config = piton_gate::Config::new(([127, 0, 0, 1], 0).into(), backends);
        config.account = Some(piton_gate::Account { user: "gate".to_owned(), password: PASSWORD.to_owned() });
        self.gate = Some(Gate::start_with(config, Arc::new(self.registers()), DEADLINE).unwrap());
    }

    fn server(&self, index: usize) -> &MariaDb {
        [&self.servers.source, &self.servers.target][index]
    }

    fn set(&self, index: usize, epoch: u64, number: u64, state: &str) {
        let sql = format!("update piton_move.register set epoch = {epoch}, number = {number}, state = '{state}'");
        self.server(index).sql(&format!("set sql_log_bin = 0; {sql}")).unwrap();
    }

    /// What a mover does at c7; whether it won.
    fn commit(&self, index: usize, epoch: u64, number: u64) -> bool {
        let is = format!("epoch = {epoch} and number = {number} and state = 'open'");
        let sql = format!("update piton_move.register set state = 'committed' where {is}; select row_count()");
        self.server(index).sql(&sql).unwrap().trim() == "1"
    }

    fn state(&self, index: usize) -> String {
        let sql = "select concat(epoch, ' ', number, ' ', state) from piton_move.register";
        self.server(index).sql(sql).unwrap().trim().to_owned()
    }

    fn rows(&self, index: usize) -> String {
        self.server(index).sql("select group_concat(id order by id) from shop.w").unwrap().trim().to_owned()
    }

    fn ended(&self) -> Option<HoldEnd> {
        self.gate().status().last_hold.map(|hold| hold.how)
    }

    fn options(&self) -> OptsBuilder {
        let port = self.gate().address().port();
        let base = OptsBuilder::default().ip_or_hostname("127.0.0.1").tcp_port(port).prefer_socket(false);
        base.user(Some("app")).pass(Some(PASSWORD)).db_name(Some("shop"))
    }

    fn held(&self, epoch: u64, number: u64, deadline: Duration) -> bool {
        self.gate().hold(&hold(epoch, number, deadline)).unwrap().drained
    }
}

fn hold(epoch: u64, number: u64, deadline: Duration) -> HoldOptions {
    HoldOptions { drain: LONG.min(deadline), deadline, attempt: Some(Attempt { epoch, number }) }
}

#[test]
fn each_epoch_goes_where_it_was_committed_and_the_gate_needs_nobody_to_tell_it() {
    let Some(world) = world() else { return };
    block_on(async {
        let mut conn = Conn::new(world.options()).await.unwrap();
        world.set(0, 1, 1, "open");
        assert!(world.held(1, 1, LONG));
        assert!(world.gate().release().unwrap_err().to_string().contains("not decided"));
        assert!(world.gate().switch("new").unwrap_err().to_string().contains("register"));
        assert!(world.commit(0, 1, 1));
        // Committed is not open: it waits for the new side to say so itself.
        assert!(world.gate().release().unwrap_err().to_string().contains("not decided"));
        world.set(1, 1, 1, "committed");
        conn.query_drop("insert into w values (1)").await.unwrap();
        assert_eq!((world.rows(1).as_str(), world.ended()), ("1", Some(HoldEnd::Committed)));
        // The way back is decided on the new server: its first attempt is given up, the second goes.
        world.set(1, 2, 1, "open");
        assert!(world.held(2, 1, LONG));
        assert_eq!(world.gate().abort().unwrap().how, HoldEnd::Aborted);
        assert_eq!(world.state(1), "2 1 reopened");
        assert!(!world.commit(1, 2, 1), "what was aborted cannot be committed");
        conn.query_drop("insert into w values (2)").await.unwrap();
        let again = world.gate().hold(&hold(2, 1, LONG)).unwrap_err().to_string();
        assert!(again.contains("decided this attempt already"), "{again}");
        world.set(1, 2, 2, "open");
        assert!(world.held(2, 2, LONG));
        assert!(world.commit(1, 2, 2));
        world.set(0, 2, 2, "committed");
        conn.query_drop("insert into w values (3)").await.unwrap();
        assert_eq!((world.rows(0).as_str(), world.rows(1).as_str()), ("3", "1,2"));
        assert_eq!(world.gate().status().epoch, 2);
    });
}

#[test]
fn at_the_deadline_the_gate_wins_the_abort_outside_the_log_and_lifts_the_fence_before_it_opens() {
    let Some(world) = world() else { return };
    world.set(0, 1, 1, "open");
    // An abort that a crash could take back is none.
    world.server(0).sql("set global innodb_flush_log_at_trx_commit = 2").unwrap();
    assert!(world.held(1, 1, Duration::from_millis(100)));
    world.server(0).sql("set global read_only = 1; set sql_log_bin = 0; alter user app@'%' account lock").unwrap();
    until("the gate refuses it", || world.gate().status().why.is_some_and(|why| why.contains("does not flush")));
    assert!(world.gate().status().held);
    let position = world.server(0).sql("show master status").unwrap();
    world.server(0).sql("set global innodb_flush_log_at_trx_commit = 1").unwrap();
    until("the gate has opened", || !world.gate().status().held);
    assert_eq!((world.ended(), world.state(0).as_str()), (Some(HoldEnd::Expired), "1 1 reopened"));
    assert!(!world.commit(0, 1, 1));
    assert_eq!(world.server(0).sql("show master status").unwrap(), position);
    assert_eq!(world.gate().status().epoch, 0);
    block_on(async {
        let mut conn = Conn::new(world.options()).await.unwrap();
        conn.query_drop("insert into w values (1)").await.unwrap();
    });
}

#[test]
fn a_hold_that_does_not_drain_stays_until_its_attempt_is_aborted() {
    let Some(world) = world() else { return };
    block_on(async {
        let mut blocking = Conn::new(world.options()).await.unwrap();
        blocking.query_drop("begin; insert into w values (1)").await.unwrap();
        world.set(0, 1, 1, "open");
        let attempt = Some(Attempt { epoch: 1, number: 1 });
        let options = HoldOptions { drain: Duration::from_millis(30), deadline: LONG, attempt };
        let report = world.gate().hold(&options).unwrap();
        assert!(!report.drained && report.blockers[0].statement.starts_with("begin"), "{report:?}");
        assert!(world.gate().status().held);
        // The mover that hears of it aborts, and says so when the old side is open.
        world.set(0, 1, 1, "aborted");
        assert!(world.gate().release().unwrap_err().to_string().contains("not decided"));
        world.set(0, 1, 1, "reopened");
        until("the gate has opened", || !world.gate().status().held);
        assert_eq!(world.ended(), Some(HoldEnd::Aborted));
        blocking.query_drop("commit").await.unwrap();
    });
}

#[test]
fn while_nobody_knows_the_gate_holds_and_a_commit_counts_however_late_it_learns_of_it() {
    let Some(world) = world() else { return };
    world.set(0, 1, 1, "open");
    assert!(world.held(1, 1, Duration::from_secs(2)));
    for server in [0, 1] {
        world.server(server).sql("set sql_log_bin = 0; revoke all on piton_move.* from gate@'%'").unwrap();
    }
    until("the gate cannot read", || world.gate().status().why.is_some_and(|why| why.contains("denied")));
    assert!(world.commit(0, 1, 1));
    world.set(1, 1, 1, "committed");
    let began = Instant::now();
    until("the deadline is long gone", || began.elapsed() > Duration::from_millis(2500));
    let status = world.gate().status();
    assert!(status.held && status.why.unwrap().contains("denied"));
    for server in [0, 1] {
        world.server(server).sql("set sql_log_bin = 0; grant all on piton_move.* to gate@'%'").unwrap();
    }
    until("the gate has opened", || !world.gate().status().held);
    assert_eq!((world.ended(), world.gate().status().epoch), (Some(HoldEnd::Committed), 1));
}

#[test]
fn no_hold_begins_whose_end_nobody_could_learn() {
    let Some(mut world) = world() else { return };
    world.set(0, 1, 1, "open");
    world.servers.target.crash().unwrap();
    let refused = world.gate().hold(&hold(1, 1, LONG)).unwrap_err().to_string();
    assert!(refused.contains("does not say what was decided"), "{refused}");
    assert!(!world.gate().status().held);
}

#[test]
fn a_dead_source_leaves_the_decision_to_the_targets_row() {
    let Some(mut world) = world() else { return };
    world.set(0, 1, 1, "open");
    assert!(world.held(1, 1, Duration::from_millis(200)));
    world.servers.source.crash().unwrap();
    until("the gate cannot read", || world.gate().status().why.is_some_and(|why| why.contains("register of")));
    assert!(world.gate().status().held);
    world.set(1, 1, 1, "committed");
    until("the gate has opened", || !world.gate().status().held);
    assert_eq!((world.ended(), world.gate().status().backend.as_str()), (Some(HoldEnd::Committed), "new"));
    // So does a gate that starts now, from the new server alone; and whoever asks the servers.
    world.restart_gate();
    until("the new gate has read", || !world.gate().status().starting);
    assert_eq!((world.gate().status().epoch, world.gate().status().backend.as_str()), (1, "new"));
    let both = block_on(async { world.registers().read().await });
    assert!(both.first.is_err());
    assert_eq!(both.truth(), Looked::Open(1));
}

#[test]
fn a_gate_that_starts_holds_until_it_knows_which_side_is_true() {
    let Some(mut world) = world() else { return };
    world.set(0, 1, 1, "open");
    world.servers.source.crash().unwrap();
    world.restart_gate();
    until("the gate cannot read", || world.gate().status().why.is_some());
    let status = world.gate().status();
    assert!(status.held && status.starting, "{status:?}");
    assert!(world.gate().release().unwrap_err().to_string().contains("just started"));
    block_on(async {
        // A client waits in its login, and is answered as soon as the gate knows.
        let opts = world.options();
        let waiting = tokio::spawn(async move {
            let mut conn = Conn::new(opts).await.unwrap();
            conn.query_drop("insert into w values (1)").await.unwrap();
        });
        until("a login waits", || world.gate().status().waiting == 1);
        world.servers.source.restart().unwrap();
        // The attempt is still open; nobody commits it, so that the gate wins the abort.
        waiting.await.unwrap();
    });
    assert_eq!((world.ended(), world.rows(0).as_str()), (Some(HoldEnd::Started), "1"));
    assert!(!world.commit(0, 1, 1), "the gate had aborted it before it opened");
}

#[test]
fn a_gate_that_starts_amid_an_attempt_waits_for_its_commit() {
    let Some(mut world) = world() else { return };
    world.set(0, 1, 1, "open");
    world.restart_gate();
    until("the gate sees the attempt", || world.gate().status().why.is_some_and(|why| why.contains("attempt 1")));
    assert!(world.commit(0, 1, 1));
    until("the gate sees the commit", || world.gate().status().why.is_some_and(|why| why.contains("is committed")));
    assert!(world.gate().status().held);
    world.set(1, 1, 1, "committed");
    until("the gate has opened", || !world.gate().status().held);
    assert_eq!((world.gate().status().epoch, world.gate().status().backend.as_str()), (1, "new"));
}

#[test]
fn a_gate_that_nobody_held_follows_a_commit_all_the_same() {
    let Some(world) = world() else { return };
    block_on(async {
        let mut conn = Conn::new(world.options()).await.unwrap();
        conn.query_drop("set @a = 'kept'").await.unwrap();
        world.set(0, 1, 1, "open");
        world.server(0).sql("set global read_only = 1").unwrap();
        assert!(world.commit(0, 1, 1));
        world.set(1, 1, 1, "committed");
        until("the gate follows", || world.gate().status().epoch == 1);
        let (port, kept): (u16, String) = conn.query_first("select @@port, @a").await.unwrap().unwrap();
        assert_eq!((port, kept.as_str()), (world.server(1).port(), "kept"));
        assert_eq!(world.ended(), Some(HoldEnd::Committed));
    });
}
