//! `sql` against a real MariaDB: transactions, warnings, exactly once, and what is left of attempts after a crash.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use piton_core::action::Sql;
use piton_core::event::Handle;
use piton_core::outcome::FailureKind;
use piton_core::ports::{Cancel, Executor, Purpose};
use piton_core::{Action, Value};
use piton_testkit::mariadb::MariaDb;
use support::proxy::Proxy;
use support::{World, eventually, mariadb, name, once, own_mariadb, sql, within};

/// A schema with an accounts table of two rows of 100.
fn bank(server: &MariaDb, schema: &str) -> String {
    server
        .sql(&format!(
            "create database {schema}; create table {schema}.account (id int primary key, amount int not null);
             insert into {schema}.account values (1, 100), (2, 100);"
        ))
        .unwrap();
    server.url(schema)
}

const MOVE: &str =
    "update account set amount = amount - 10 where id = 1; update account set amount = amount + 10 where id = 2";

/// As it travels: the command byte of a query, then its text.
const COMMIT: &str = "\u{3}commit";

fn amounts(world: &World, url: &str) -> Value {
    world.value(url, "select group_concat(amount order by id) from account")
}

#[test]
fn several_statements_are_one_transaction() {
    let Some(server) = mariadb() else { return };
    let (world, url) = (World::new(), bank(&server, "several"));
    let prepared = world.prepare(&sql(&url, MOVE), &world.context("move", 1));
    assert!(prepared.atomic());
    assert!(matches!(prepared.handle(), Handle::Session { .. }));
    assert_eq!(prepared.perform(&Cancel::new()).unwrap().affected, Some(2));
    assert_eq!(amounts(&world, &url), Value::str("90,110"));
    let failed = world.sql(&url, "update account set amount = 0; insert into account values (1, 1)").unwrap_err();
    assert!(failed.never_began && failed.failure.message.starts_with("statement 2 of 2: error 1062"), "{failed:?}");
    assert_eq!(amounts(&world, &url), Value::str("90,110"));
}

#[test]
fn warnings_are_errors_and_notes_are_not() {
    let Some(server) = mariadb() else { return };
    let (world, url) = (World::new(), bank(&server, "warned"));
    let failed = world.sql(&url, "insert ignore into account values (3, 1), (1, 5)").unwrap_err();
    assert!(failed.never_began, "{failed:?}");
    assert!(failed.failure.message.contains("the server warns: warning 1062"), "{}", failed.failure);
    assert_eq!(amounts(&world, &url), Value::str("100,100"));
    let outcome = world.sql(&url, "drop table if exists nowhere").unwrap();
    assert!(outcome.notes[0].contains("1051"), "{:?}", outcome.notes);
    let failed = world.sql(&url, "set session sql_mode = ''; insert into account values (4, 'x')").unwrap_err();
    assert!(failed.failure.message.starts_with("statement 2 of 2: the server warns"), "{}", failed.failure);
}

#[test]
fn a_transaction_is_promised_only_where_one_holds_everything() {
    let Some(server) = mariadb() else { return };
    let (world, url) = (World::new(), bank(&server, "promised"));
    server
        .sql(
            "use promised; create table old (a int) engine = MyISAM; create view v as select * from account;
             create table audited (a int); create trigger audit before insert on audited for each row insert into old values (new.a);
             create table fine (a int); create trigger ok before insert on fine for each row insert into account values (new.a, 1)",
        )
        .unwrap();
    for (text, holds) in [
        ("update account set amount = 1", true),
        ("insert into promised.account select seq, 1 from seq_10_to_12", true),
        ("delete from account where id in (select a from old)", true),
        ("set @x = 1; insert into account values (@x, 1)", true),
        ("insert into fine values (50)", true),
        ("insert into old values (1)", false),
        ("insert into audited values (1)", false),
        ("update v set amount = 1", false),
        ("create table n (a int)", false),
        ("insert into account values (5, 5); create table n (a int)", false),
        ("set global max_connections = 150", false),
        ("insert into missing values (1)", false),
    ] {
        let prepared = world.prepare(&sql(&url, text), &world.context(text, 1));
        assert_eq!(prepared.atomic(), holds, "{text}");
        drop(prepared);
        let prepared = world.executors.prepare(&once(&url, text), &world.context(text, 2));
        assert_eq!(prepared.is_ok(), holds, "{text}");
    }
    let failure = world.executors.prepare(&once(&url, "drop table account"), &world.context("x", 1)).err().unwrap();
    assert!(failure.message.contains("DROP TABLE"), "{failure}");
}

#[test]
fn once_happens_once_over_retries_and_redos() {
    let Some(server) = mariadb() else { return };
    let (world, url) = (World::new(), bank(&server, "retried"));
    let action = once(&url, MOVE);
    assert_eq!(world.perform(&action, &world.context("move", 1)).unwrap().affected, Some(2));
    let again = world.perform(&action, &world.context("move", 2)).unwrap();
    assert!(again.notes[0].contains("had happened before"), "{:?}", again.notes);
    assert_eq!(amounts(&world, &url), Value::str("90,110"));
    let mut redo = world.context("move", 1);
    redo.generation = 2;
    world.perform(&action, &redo).unwrap();
    assert_eq!(amounts(&world, &url), Value::str("80,120"));
    let mut undo = world.context("move", 1);
    undo.purpose = Purpose::Undo;
    world.perform(&once(&url, "update account set amount = 100"), &undo).unwrap();
    assert_eq!(amounts(&world, &url), Value::str("100,100"));
    assert!(
        world
            .executors
            .prepare(&once(&server.url(""), "insert into retried.account values (9, 9)"), &world.context("y", 1))
            .is_err()
    );
}

#[test]
fn after_a_crash_the_mark_tells_what_happened() {
    let Some(server) = mariadb() else { return };
    let (world, url) = (World::new(), bank(&server, "crashed"));
    let action = once(&url, MOVE);
    // The engine dies after the intent and before the action.
    let context = world.context("before", 1);
    let prepared = world.prepare(&action, &context);
    let handle = prepared.handle();
    drop(prepared);
    assert_eq!(name(&World::new().remains(&action, &handle, &context)), "never began");
    // The engine dies after the commit and before its result is durable.
    let context = world.context("after", 1);
    let prepared = world.prepare(&action, &context);
    let handle = prepared.handle();
    prepared.perform(&Cancel::new()).unwrap();
    let remains = name(&World::new().remains(&action, &handle, &context));
    assert!(remains.starts_with("exited: its mark shows"), "{remains}");
    // Without a mark nobody can know, but nothing is alive.
    let context = world.context("unmarked", 1);
    let prepared = world.prepare(&sql(&url, MOVE), &context);
    let handle = prepared.handle();
    prepared.perform(&Cancel::new()).unwrap();
    assert_eq!(name(&World::new().remains(&sql(&url, MOVE), &handle, &context)), "gone");
}

#[test]
fn a_statement_in_flight_of_a_dead_engine_is_killed_and_never_lands() {
    let Some(server) = mariadb() else { return };
    let (world, url) = (World::new(), bank(&server, "flight"));
    for (action, expected) in [(sql(&url, MOVE), "gone"), (once(&url, MOVE), "never began")] {
        // Somebody holds the second row's lock.
        let holder = sql(&url, "update account set amount = amount where id = 2; do sleep(600)");
        let holding = world.context(&format!("holder {expected}"), 1);
        let prepared = world.prepare(&holder, &holding);
        let held = prepared.handle();
        let holder_thread = std::thread::spawn(move || prepared.perform(&Cancel::new()));
        eventually("the lock is held", || {
            server.sql("select count(*) from information_schema.processlist where info = 'do sleep(600)'").unwrap()
                == "1\n"
        });
        // The engine's session has updated the first row and waits for the second, when the engine dies.
        let context = world.context(&format!("flight {expected}"), 1);
        let prepared = world.prepare(&action, &context);
        let handle = prepared.handle();
        let flying = std::thread::spawn(move || prepared.perform(&Cancel::new()));
        eventually("it waits", || {
            // The server looks anew only when nobody has looked for a tenth of a second.
            std::thread::sleep(std::time::Duration::from_millis(150));
            server.sql("select count(*) from information_schema.innodb_lock_waits").unwrap() != "0\n"
        });
        assert_eq!(name(&World::new().remains(&action, &handle, &context)), expected);
        let failed = flying.join().unwrap().unwrap_err();
        assert!(failed.never_began && !failed.unknown, "{failed:?}");
        assert_eq!(name(&World::new().remains(&holder, &held, &holding)), "gone");
        assert!(holder_thread.join().unwrap().is_err());
        assert_eq!(amounts(&world, &url), Value::str("100,100"));
    }
}

#[test]
fn a_reply_lost_behind_the_commit_is_found_out() {
    let Some(server) = mariadb() else { return };
    let (world, url) = (World::new(), bank(&server, "lost"));
    let through = |proxy: &Proxy| url.replace(&format!(":{}/", server.port()), &format!(":{}/", proxy.port));
    for (reaches, amount) in [(true, "90,110"), (false, "90,110")] {
        let proxy = Proxy::start(server.port(), COMMIT, reaches);
        let action = once(&through(&proxy), MOVE);
        let told = world.perform(&action, &world.context(&format!("once {reaches}"), 1));
        assert_eq!(proxy.cuts(), 1);
        match told {
            Ok(outcome) => assert!(reaches && outcome.notes[0].contains("its mark shows"), "{outcome:?}"),
            Err(failed) => assert!(!reaches && failed.never_began && !failed.unknown, "{failed:?}"),
        }
        assert_eq!(amounts(&world, &url), Value::str(amount));
        // Without a mark the outcome is not known, and nobody says otherwise.
        let proxy = Proxy::start(server.port(), COMMIT, reaches);
        let failed = world.sql(&through(&proxy), "update account set amount = amount").unwrap_err();
        assert!(failed.unknown && !failed.never_began, "{failed:?}");
        assert!(failed.failure.message.contains("not known"), "{}", failed.failure);
    }
    // Before the commit nothing can have happened.
    let proxy = Proxy::start(server.port(), "where id = 2", true);
    let failed = world.sql(&through(&proxy), MOVE).unwrap_err();
    assert!(failed.never_began && !failed.unknown, "{failed:?}");
    assert_eq!(amounts(&world, &url), Value::str("90,110"));
    // What no transaction holds may have happened.
    let proxy = Proxy::start(server.port(), "create table", true);
    let failed = world.sql(&through(&proxy), "create table landed (a int)").unwrap_err();
    assert!(failed.unknown, "{failed:?}");
}

#[test]
fn a_timeout_ends_the_session_before_it_returns() {
    let Some(server) = mariadb() else { return };
    let (world, url) = (World::new(), bank(&server, "slow"));
    let slow = sql(&url, "update account set amount = 0; do sleep(603)");
    let failed = world.perform(&slow, &within(world.context("slow", 1), 300)).unwrap_err();
    assert_eq!(failed.failure.kind, FailureKind::Timeout);
    assert!(failed.never_began && !failed.unknown, "{failed:?}");
    let alive = "select count(*) from information_schema.processlist where info like 'do sleep(603)'";
    assert_eq!(server.sql(alive).unwrap(), "0\n");
    assert_eq!(amounts(&world, &url), Value::str("100,100"));
    // The table's rows are free again.
    assert_eq!(world.sql(&url, "update account set amount = 1").unwrap().affected, Some(2));
    // Outside of any transaction it is over too, and may have done something.
    let failed = world
        .perform(
            &sql(&url, "begin not atomic update account set amount = 7; do sleep(604); end"),
            &within(world.context("slow", 2), 300),
        )
        .unwrap_err();
    assert!(!failed.never_began && !failed.unknown, "{failed:?}");
}

#[test]
fn a_session_that_an_engine_prepared_and_never_used_does_not_stand_in_the_way() {
    let Some(server) = mariadb() else { return };
    let (world, url) = (World::new(), bank(&server, "twice"));
    let context = world.context("move", 1);
    let stale = world.prepare(&sql(&url, MOVE), &context);
    let fresh = World::new().prepare(&sql(&url, MOVE), &context);
    assert_ne!(stale.handle(), fresh.handle());
    fresh.perform(&Cancel::new()).unwrap();
    assert!(stale.perform(&Cancel::new()).unwrap_err().never_began);
    assert_eq!(amounts(&world, &url), Value::str("90,110"));
}

#[test]
fn a_server_that_crashed_took_its_sessions_along() {
    let Some(mut server) = own_mariadb() else { return };
    let (world, url) = (World::new(), bank(&server, "down"));
    let context = world.context("move", 1);
    let action = sql(&url, "update account set amount = 0; do sleep(605)");
    let prepared = world.prepare(&action, &context);
    let handle = prepared.handle();
    let flying = std::thread::spawn(move || prepared.perform(&Cancel::new()));
    eventually("it sleeps", || {
        server.sql("select count(*) from information_schema.processlist where info = 'do sleep(605)'").unwrap() == "1\n"
    });
    server.crash().unwrap();
    server.restart().unwrap();
    let failed = flying.join().unwrap().unwrap_err();
    assert!(failed.never_began && !failed.unknown, "{failed:?}");
    assert_eq!(name(&world.remains(&action, &handle, &context)), "gone");
    assert_eq!(amounts(&world, &url), Value::str("100,100"));
}

#[test]
fn another_servers_word_proves_nothing() {
    let Some(server) = mariadb() else { return };
    let (world, url) = (World::new(), bank(&server, "elsewhere"));
    let Handle::Session { id, lock, .. } = world.prepare(&sql(&url, MOVE), &world.context("move", 1)).handle() else {
        panic!("a session")
    };
    let handle = Handle::Session { id, lock, since: Some("db9:3306 /var/lib/mysql/".into()) };
    let remains = name(&world.remains(&sql(&url, MOVE), &handle, &world.context("move", 1)));
    assert!(remains.starts_with("unprovable: its session was on the server db9:3306"), "{remains}");
}

#[test]
fn administration_runs_in_order_outside_of_transactions() {
    let Some(server) = mariadb() else { return };
    let (world, url) = (World::new(), bank(&server, "admin"));
    let outcome =
        world.sql(&url, "create table n (a int); insert into n values (1), (2); alter table n add b int").unwrap();
    assert_eq!(outcome.affected, Some(2));
    world.sql(&url, "set global max_connections = 151; flush tables").unwrap();
    world
        .sql(
            &url,
            "create procedure p() begin insert into n (a) values (3); select * from n; end; call p(); drop procedure p",
        )
        .unwrap();
    assert_eq!(world.value(&url, "select count(*) from n"), Value::Int(3));
    let failed = world
        .sql(&url, "insert into n (a) values (4); create table n (a int); insert into n (a) values (5)")
        .unwrap_err();
    assert!(!failed.never_began && failed.failure.message.starts_with("statement 2 of 3: error 1050"), "{failed:?}");
    assert_eq!(world.value(&url, "select count(*) from n"), Value::Int(4));
    for text in [
        "set global read_only = 1; set global read_only = 0",
        "change master to master_host = '127.0.0.1', master_port = 1, master_user = 'x'",
        "start slave; stop slave; reset slave all",
        "create user u@localhost identified by 'long-enough'; grant select on admin.* to u@localhost; drop user u@localhost",
        "lock tables n write; insert into n (a) values (6); unlock tables; delete from n where a = 6",
        "flush tables with read lock; unlock tables",
        "analyze table n",
        "flush binary logs",
    ] {
        world.sql(&url, text).unwrap_or_else(|failed| panic!("{text}: {failed:?}"));
    }
    for text in ["begin; delete from n; commit", "delimiter //", "", "-- nothing"] {
        assert!(world.executors.prepare(&sql(&url, text), &world.context("x", 1)).is_err(), "{text}");
    }
}

#[test]
fn parameters_belong_to_one_statement() {
    let Some(server) = mariadb() else { return };
    let (world, url) = (World::new(), bank(&server, "params"));
    let with = |text: &str, params: Vec<Value>| {
        Action::Sql(Sql { url: url.as_str().into(), statements: vec![text.into()], params, once: false })
    };
    let update = with("update account set amount = ? where id = ?", vec![Value::Int(5), Value::Int(1)]);
    assert_eq!(world.perform(&update, &world.context("a", 1)).unwrap().affected, Some(1));
    assert_eq!(amounts(&world, &url), Value::str("5,100"));
    let two = with("update account set amount = ?; select 1", vec![Value::Int(5)]);
    assert!(world.executors.prepare(&two, &world.context("b", 1)).is_err());
    let few = with("update account set amount = ?", vec![Value::Int(5), Value::Int(6)]);
    assert!(world.perform(&few, &world.context("c", 1)).unwrap_err().never_began);
}
