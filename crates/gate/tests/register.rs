//! A gate and its register on real servers: who decides, and that the gate obeys, whoever dies.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "what fails here fails its test")]

mod support;

use std::time::{Duration, Instant};

use mysql_async::prelude::Queryable;
use piton_gate::{HoldEnd, HoldOptions, RegisterRow, RegisterSettings, RegisterState, RegisterTable, read_registers};
use support::{World, block_on};

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

fn table() -> RegisterTable {
    RegisterTable::new("piton", "shop").unwrap()
}

/// Two servers, and a gate whose register says nothing yet.
fn world() -> Option<World> {
    let world = World::start_with(2, |config| {
        config.register = Some(RegisterSettings { table: table(), deadline: DEADLINE });
    })?;
    for server in &world.servers {
        server.sql(&table().create().join(";")).unwrap();
        server.sql("create table shop.w (id bigint primary key)").unwrap();
    }
    until("the gate has read its registers", || !world.gate().status().held);
    Some(world)
}

/// What a mover does, with its statements.
fn open(world: &World, index: usize, epoch: u64, attempt: u64, side: &str) {
    world.servers[index].sql(&table().open(epoch, attempt, side).join(";")).unwrap();
}

fn commit(world: &World, index: usize, epoch: u64, attempt: u64) -> bool {
    let sql = format!("{}; select row_count()", table().commit(epoch, attempt));
    world.servers[index].sql(&sql).unwrap().trim() == "1"
}

fn copy(world: &World, index: usize, epoch: u64, attempt: u64, side: &str) {
    let row = RegisterRow { epoch, attempt, state: RegisterState::Committed, side: side.to_owned() };
    world.servers[index].sql(&table().copy(&row)).unwrap();
}

fn state(world: &World, index: usize, epoch: u64) -> Option<RegisterState> {
    let reads = read_registers(&world.config.backends, world.config.account.as_ref().unwrap(), &table()).unwrap();
    reads[index].rows.as_ref().unwrap().iter().find(|row| row.epoch == epoch).map(|row| row.state)
}

fn hold(attempt: u64, deadline: Duration) -> HoldOptions {
    HoldOptions { drain: LONG.min(deadline), deadline, attempt: Some(attempt) }
}

fn ended(world: &World) -> Option<HoldEnd> {
    world.gate().status().last_hold.map(|hold| hold.how)
}

fn rows(world: &World, index: usize) -> String {
    world.servers[index].sql("select group_concat(id order by id) from shop.w").unwrap().trim().to_owned()
}

#[test]
fn each_epoch_goes_where_it_was_committed_and_the_gate_needs_nobody_to_tell_it() {
    let Some(world) = world() else { return };
    block_on(async {
        let mut conn = world.client("shop").await;
        open(&world, 0, 1, 1, "new");
        assert!(world.gate().hold(&hold(1, LONG)).unwrap().drained);
        assert!(world.gate().release().unwrap_err().to_string().contains("not decided"));
        assert!(world.gate().switch("new").unwrap_err().to_string().contains("register"));
        assert!(commit(&world, 0, 1, 1));
        conn.query_drop("insert into w values (1)").await.unwrap();
        assert_eq!((rows(&world, 1).as_str(), ended(&world)), ("1", Some(HoldEnd::Committed)));
        copy(&world, 1, 1, 1, "new");
        // The way back is decided on the new server: its first attempt is given up, the second goes.
        open(&world, 1, 2, 1, "old");
        assert!(world.gate().hold(&hold(1, LONG)).unwrap().drained);
        assert_eq!(world.gate().abort().unwrap().how, HoldEnd::Aborted);
        assert!(!commit(&world, 1, 2, 1), "what was aborted cannot be committed");
        conn.query_drop("insert into w values (2)").await.unwrap();
        assert!(world.gate().hold(&hold(1, LONG)).unwrap_err().to_string().contains("decided this attempt already"));
        open(&world, 1, 2, 2, "old");
        assert!(world.gate().hold(&hold(2, LONG)).unwrap().drained);
        assert!(commit(&world, 1, 2, 2));
        conn.query_drop("insert into w values (3)").await.unwrap();
        assert_eq!((rows(&world, 0).as_str(), rows(&world, 1).as_str()), ("3", "1,2"));
        assert_eq!(world.gate().status().epoch, 2);
    });
}

#[test]
fn at_the_deadline_the_gate_wins_the_abort_on_a_fenced_server_and_outside_its_log() {
    let Some(world) = world() else { return };
    open(&world, 0, 1, 1, "new");
    // An abort that a crash could take back is none.
    world.servers[0].sql("set global innodb_flush_log_at_trx_commit = 2").unwrap();
    assert!(world.gate().hold(&hold(1, Duration::from_millis(100))).unwrap().drained);
    world.servers[0].sql("set global read_only = 1").unwrap();
    until("the gate refuses it", || world.gate().status().why.is_some_and(|why| why.contains("does not flush")));
    assert!(world.gate().status().held);
    let position = world.servers[0].sql("show master status").unwrap();
    world.servers[0].sql("set global innodb_flush_log_at_trx_commit = 1").unwrap();
    until("the gate has opened", || !world.gate().status().held);
    assert_eq!((ended(&world), state(&world, 0, 1)), (Some(HoldEnd::Expired), Some(RegisterState::Aborted)));
    assert!(!commit(&world, 0, 1, 1));
    assert_eq!(world.servers[0].sql("show master status").unwrap(), position);
    assert_eq!(world.gate().status().epoch, 0);
}

#[test]
fn an_attempt_that_was_never_begun_cannot_begin_once_its_hold_is_over() {
    let Some(world) = world() else { return };
    block_on(async {
        let mut blocking = world.client("shop").await;
        blocking.query_drop("begin; insert into w values (1)").await.unwrap();
        let options = HoldOptions { drain: Duration::from_millis(30), deadline: LONG, attempt: Some(1) };
        let report = world.gate().hold(&options).unwrap();
        assert!(!report.drained && report.blockers[0].statement.starts_with("begin"), "{report:?}");
        assert_eq!((ended(&world), world.gate().status().held), (Some(HoldEnd::NotDrained), false));
        open(&world, 0, 1, 1, "new");
        assert_eq!(state(&world, 0, 1), Some(RegisterState::Aborted));
        open(&world, 0, 1, 2, "new");
        assert_eq!(state(&world, 0, 1), Some(RegisterState::Open));
        blocking.query_drop("commit").await.unwrap();
    });
}

#[test]
fn while_nobody_knows_the_gate_holds_and_a_commit_counts_however_late_it_learns_of_it() {
    let Some(world) = world() else { return };
    open(&world, 0, 1, 1, "new");
    assert!(world.gate().hold(&hold(1, Duration::from_secs(3))).unwrap().drained);
    world.servers[0].sql("revoke all on piton.* from gate@'%'").unwrap();
    until("the gate cannot read", || world.gate().status().why.is_some());
    assert!(commit(&world, 0, 1, 1));
    let began = Instant::now();
    until("the deadline is long gone", || began.elapsed() > Duration::from_millis(3500));
    let status = world.gate().status();
    assert!(status.held && status.why.unwrap().contains("denied"));
    world.servers[0].sql("grant all on piton.* to gate@'%'").unwrap();
    until("the gate has opened", || !world.gate().status().held);
    assert_eq!((ended(&world), world.gate().status().epoch), (Some(HoldEnd::Committed), 1));
}

#[test]
fn a_dead_source_leaves_the_decision_to_the_targets_copy() {
    let Some(mut world) = world() else { return };
    open(&world, 0, 1, 1, "new");
    assert!(world.gate().hold(&hold(1, Duration::from_millis(200))).unwrap().drained);
    world.servers[0].crash().unwrap();
    until("the gate cannot read", || world.gate().status().why.is_some());
    assert!(world.gate().status().held);
    copy(&world, 1, 1, 1, "new");
    until("the gate has opened", || !world.gate().status().held);
    assert_eq!((ended(&world), world.gate().status().backend.as_str()), (Some(HoldEnd::Committed), "new"));
    // So does a gate that starts now, from the new server alone.
    world.restart_gate();
    until("the new gate has read", || !world.gate().status().starting);
    assert_eq!((world.gate().status().epoch, world.gate().status().backend.as_str()), (1, "new"));
}

#[test]
fn a_gate_that_starts_holds_until_it_knows_which_side_is_true() {
    let Some(mut world) = world() else { return };
    open(&world, 0, 1, 1, "new");
    world.servers[0].crash().unwrap();
    world.restart_gate();
    until("the gate cannot read", || world.gate().status().why.is_some());
    let status = world.gate().status();
    assert!(status.held && status.starting && status.why.unwrap().contains("old may be true"));
    assert!(world.gate().release().unwrap_err().to_string().contains("just started"));
    block_on(async {
        // A client waits in its login, and is answered as soon as the gate knows.
        let opts = world.options(world.gate().address().port(), "shop");
        let waiting = tokio::spawn(async move {
            let mut conn = mysql_async::Conn::new(opts).await.unwrap();
            conn.query_drop("insert into w values (1)").await.unwrap();
        });
        until("a login waits", || world.gate().status().waiting == 1);
        world.servers[0].restart().unwrap();
        // The attempt is still open; nobody commits it, so that the gate wins the abort.
        waiting.await.unwrap();
    });
    assert_eq!((ended(&world), rows(&world, 0).as_str()), (Some(HoldEnd::Started), "1"));
    assert!(!commit(&world, 0, 1, 1), "the gate had aborted it before it opened");
}

#[test]
fn a_gate_that_starts_amid_an_attempt_waits_for_its_commit() {
    let Some(mut world) = world() else { return };
    open(&world, 0, 1, 1, "new");
    world.restart_gate();
    until("the gate sees the attempt", || world.gate().status().why.is_some_and(|why| why.contains("attempt 1")));
    assert!(commit(&world, 0, 1, 1));
    until("the gate has opened", || !world.gate().status().held);
    assert_eq!((world.gate().status().epoch, world.gate().status().backend.as_str()), (1, "new"));
}

#[test]
fn a_gate_that_nobody_held_follows_a_commit_all_the_same() {
    let Some(world) = world() else { return };
    block_on(async {
        let mut conn = world.client("shop").await;
        conn.query_drop("set @a = 'kept'").await.unwrap();
        open(&world, 0, 1, 1, "new");
        world.servers[0].sql("set global read_only = 1").unwrap();
        assert!(commit(&world, 0, 1, 1));
        until("the gate follows", || world.gate().status().epoch == 1);
        let kept: (u32, String) = conn.query_first("select @@server_id, @a").await.unwrap().unwrap();
        assert_eq!(kept, (2, "kept".to_owned()));
        assert_eq!(ended(&world), Some(HoldEnd::Committed));
    });
}
