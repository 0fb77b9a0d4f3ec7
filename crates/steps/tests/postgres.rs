//! `query` and `sql` against a real PostgreSQL.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use piton_core::action::{Query, Sql};
use piton_core::event::Handle;
use piton_core::outcome::FailureKind;
use piton_core::ports::{Cancel, Executor};
use piton_core::{Action, Value};
use piton_testkit::postgres::Postgres;
use support::proxy::Proxy;
use support::{World, eventually, name, once, postgres, query, sql, within};

fn bank(server: &Postgres, database: &str) -> String {
    server.sql("postgres", &format!("create database {database}")).unwrap();
    server
        .sql(
            database,
            "create table account (id int primary key, amount int not null); insert into account values (1, 100), (2, 100)",
        )
        .unwrap();
    server.url(database)
}

const MOVE: &str =
    "update account set amount = amount - 10 where id = 1; update account set amount = amount + 10 where id = 2";

fn amounts(world: &World, url: &str) -> Value {
    world.value(url, "select string_agg(amount::text, ',' order by id) from account")
}

#[test]
fn every_type_comes_back_exact_with_and_without_parameters() {
    let Some(server) = postgres() else { return };
    let (world, url) = (World::new(), server.url("postgres"));
    let columns = "true, 1::smallint, 9223372036854775807, 12345678901234567890.0123456789::numeric, 0.1::real, \
        1e-300::float8, 'Grüße 🧗'::text, '\\x00ff'::bytea, date '2024-02-29', timestamp '2024-02-29 01:02:03.000004', \
        timestamptz '2024-02-29 01:02:03+02' at time zone 'UTC', time '23:59:59', '{\"a\": [1]}'::jsonb, \
        null, array[1, 2], 'a2f0c5d0-0000-4000-8000-000000000001'::uuid, interval '1 day 02:00', 'NaN'::float8::text, \
        timestamptz 'infinity', date '0044-03-15 BC'";
    let str = |text: &str| Value::str(text);
    let expected = [
        Value::Bool(true),
        Value::Int(1),
        Value::Int(i128::from(i64::MAX)),
        str("12345678901234567890.0123456789"),
        Value::Float(0.1),
        Value::Float(1e-300),
        str("Grüße 🧗"),
        Value::Bytes(vec![0, 255]),
        str("2024-02-29"),
        str("2024-02-29T01:02:03.000004"),
        str("2024-02-28T23:02:03.000000"),
        str("23:59:59.000000"),
        str("{\"a\": [1]}"),
        Value::None,
        str("{1,2}"),
        str("a2f0c5d0-0000-4000-8000-000000000001"),
        str("P1DT2H"),
        str("NaN"),
        str("infinity"),
        str("0044-03-15 BC"),
    ];
    assert_eq!(world.query(&url, &format!("select {columns}"), &[]).unwrap()[0], expected);
    let with = world.query(&url, &format!("select {columns}, $1::int + 1"), &[Value::Int(41)]).unwrap();
    assert_eq!(with[0][..expected.len()], expected);
    assert_eq!(with[0][expected.len()], Value::Int(42));
}

#[test]
fn parameters_are_bound_and_never_pasted() {
    let Some(server) = postgres() else { return };
    let (world, url) = (World::new(), server.url("postgres"));
    let evil = "'; drop table x; -- \\' $$";
    let params = [
        Value::str(evil),
        Value::Int(-5),
        Value::Float(0.1),
        Value::Bool(true),
        Value::None,
        Value::Bytes(vec![0, 255]),
    ];
    let sql = "select $1::text, $2::bigint, $3::float8, $4::bool, $5::text, $6::bytea";
    assert_eq!(world.query(&url, sql, &params).unwrap()[0], params);
    let failure = world.query(&url, "select ?", &[Value::Int(1)]).unwrap_err();
    assert!(failure.hint.unwrap().contains("$1"), "{}", failure.message);
}

#[test]
fn a_query_is_bounded_and_cannot_write() {
    let Some(server) = postgres() else { return };
    let (world, url) = (World::new(), bank(&server, "bounded"));
    let mut action =
        Query { url: url.as_str().into(), sql: "select generate_series(1, 50000000)".into(), params: vec![], limit: 7 };
    let failed = world.perform(&Action::Query(action.clone()), &world.context("limit", 1)).unwrap_err();
    assert!(failed.failure.message.contains("more than 7 rows"), "{}", failed.failure);
    action.sql = "select repeat('x', 1000000) from generate_series(1, 200)".into();
    action.limit = 1000;
    let failed = world.perform(&Action::Query(action), &world.context("limit", 1)).unwrap_err();
    assert!(failed.failure.message.contains("MiB"), "{}", failed.failure);
    for text in [
        "delete from account",
        "with gone as (delete from account returning 1) select * from gone",
        "explain analyze delete from account",
        "explain (analyze) insert into account values (9, 9)",
        "select * from account for update",
        "select 1 as a into x",
        "select 1; delete from account",
        "select nextval('x')",
        "create temp table x (a int)",
        "copy account to stdout",
    ] {
        assert!(world.query(&url, text, &[]).is_err(), "{text}");
    }
    for text in [
        "show max_connections",
        "explain select 1",
        "explain delete from account",
        "explain (analyze) select 1",
        "table account",
        "values (1)",
        "select pg_backend_pid()",
    ] {
        world.query(&url, text, &[]).unwrap_or_else(|failure| panic!("{text}: {failure}"));
    }
    assert_eq!(amounts(&world, &url), Value::str("100,100"));
}

#[test]
fn a_timeout_really_ends_the_statement() {
    let Some(server) = postgres() else { return };
    let (world, url) = (World::new(), bank(&server, "slow"));
    let sleep = query(&url, "select pg_sleep(61)", &[]);
    let failed = world.perform(&sleep, &within(world.context("sleep", 1), 200)).unwrap_err();
    assert_eq!(failed.failure.kind, FailureKind::Timeout);
    let asleep = "select count(*) from pg_stat_activity where state = 'active' and (query like '%pg_sleep(61)%' or query like '%pg_sleep(62)%') and pid <> pg_backend_pid()";
    assert_eq!(world.value(&url, asleep), Value::Int(0));
    let slow = sql(&url, "update account set amount = 0; select pg_sleep(62)");
    let failed = world.perform(&slow, &within(world.context("slow", 1), 300)).unwrap_err();
    assert_eq!(failed.failure.kind, FailureKind::Timeout);
    assert!(failed.never_began && !failed.unknown, "{failed:?}");
    assert_eq!(world.value(&url, asleep), Value::Int(0));
    assert_eq!(world.sql(&url, "update account set amount = amount").unwrap().affected, Some(2));
    assert_eq!(amounts(&world, &url), Value::str("100,100"));
}

#[test]
fn several_statements_are_one_transaction_definitions_included() {
    let Some(server) = postgres() else { return };
    let (world, url) = (World::new(), bank(&server, "several"));
    let prepared = world.prepare(&sql(&url, MOVE), &world.context("move", 1));
    assert!(prepared.atomic());
    assert_eq!(prepared.perform(&Cancel::new()).unwrap().affected, Some(2));
    let failed = world.sql(&url, "create table n (a int); insert into account values (1, 1)").unwrap_err();
    assert!(failed.never_began && failed.failure.message.contains("23505"), "{failed:?}");
    assert_eq!(world.value(&url, "select to_regclass('n')"), Value::None);
    let failed = world.sql(&url, "do $$ begin raise warning 'careful'; end $$; delete from account").unwrap_err();
    assert!(failed.never_began && failed.failure.message.contains("careful"), "{failed:?}");
    let outcome = world.sql(&url, "drop table if exists nowhere").unwrap();
    assert!(outcome.notes[0].contains("nowhere"), "{:?}", outcome.notes);
    assert_eq!(amounts(&world, &url), Value::str("90,110"));
    let deferred = "create table d (a int unique deferrable initially deferred); insert into d values (1), (1)";
    assert!(world.sql(&url, deferred).unwrap_err().never_began);
    let with = Action::Sql(Sql {
        url: url.as_str().into(),
        statements: vec!["update account set amount = $1 where id = $2".into()],
        params: vec![Value::Int(5), Value::str("1")],
        once: false,
    });
    assert_eq!(world.perform(&with, &world.context("params", 1)).unwrap().affected, Some(1));
}

#[test]
fn what_refuses_a_transaction_runs_alone() {
    let Some(server) = postgres() else { return };
    let (world, url) = (World::new(), bank(&server, "alone"));
    for text in ["vacuum account", "create index concurrently i on account (amount)", "create database piton_made"] {
        let prepared = world.prepare(&sql(&url, text), &world.context(text, 1));
        assert!(!prepared.atomic(), "{text}");
        prepared.perform(&Cancel::new()).unwrap_or_else(|failed| panic!("{text}: {failed:?}"));
        assert!(world.executors.prepare(&once(&url, text), &world.context(text, 2)).is_err(), "{text}");
    }
}

#[test]
fn once_happens_once_and_after_a_crash_the_mark_tells() {
    let Some(server) = postgres() else { return };
    let (world, url) = (World::new(), bank(&server, "marked"));
    let action = once(&url, MOVE);
    let context = world.context("move", 1);
    let prepared = world.prepare(&action, &context);
    let handle = prepared.handle();
    drop(prepared);
    assert_eq!(name(&World::new().remains(&action, &handle, &context)), "never began");
    let prepared = world.prepare(&action, &world.context("move", 2));
    let handle = prepared.handle();
    prepared.perform(&Cancel::new()).unwrap();
    let remains = name(&World::new().remains(&action, &handle, &world.context("move", 2)));
    assert!(remains.starts_with("exited: its mark shows"), "{remains}");
    let again = world.perform(&action, &world.context("move", 3)).unwrap();
    assert!(again.notes[0].contains("had happened before"), "{:?}", again.notes);
    assert_eq!(amounts(&world, &url), Value::str("90,110"));
}

#[test]
fn a_statement_in_flight_of_a_dead_engine_is_ended_and_never_lands() {
    let Some(server) = postgres() else { return };
    let (world, url) = (World::new(), bank(&server, "flight"));
    let holder = sql(&url, "update account set amount = amount where id = 2; select pg_sleep(600)");
    let holding = world.context("holder", 1);
    let prepared = world.prepare(&holder, &holding);
    let held = prepared.handle();
    let holder_thread = std::thread::spawn(move || prepared.perform(&Cancel::new()));
    let active =
        |what: &str| server.sql("flight", &format!("select count(*) from pg_stat_activity where {what}")).unwrap();
    eventually("the lock is held", || active("query = 'select pg_sleep(600)'") == "1\n");
    let context = world.context("flight", 1);
    let prepared = world.prepare(&sql(&url, MOVE), &context);
    let handle = prepared.handle();
    assert!(matches!(&handle, Handle::Session { lock, .. } if lock.starts_with("piton:")));
    let flying = std::thread::spawn(move || prepared.perform(&Cancel::new()));
    eventually("it waits", || active("wait_event_type = 'Lock' and application_name like 'piton:%'") == "1\n");
    assert_eq!(name(&World::new().remains(&sql(&url, MOVE), &handle, &context)), "gone");
    let failed = flying.join().unwrap().unwrap_err();
    assert!(failed.never_began && !failed.unknown, "{failed:?}");
    assert_eq!(name(&World::new().remains(&holder, &held, &holding)), "gone");
    assert!(holder_thread.join().unwrap().is_err());
    assert_eq!(amounts(&world, &url), Value::str("100,100"));
}

#[test]
fn a_reply_lost_behind_the_commit_is_found_out() {
    let Some(server) = postgres() else { return };
    let (world, url) = (World::new(), bank(&server, "lost"));
    let through = |proxy: &Proxy| url.replace(&format!(":{}/", server.port()), &format!(":{}/", proxy.port));
    for reaches in [true, false] {
        let proxy = Proxy::start(server.port(), "commit\0", reaches);
        let told = world.perform(&once(&through(&proxy), MOVE), &world.context("once", 1));
        assert_eq!(proxy.cuts(), 1);
        match told {
            Ok(outcome) => assert!(reaches && outcome.notes[0].contains("its mark shows"), "{outcome:?}"),
            Err(failed) => assert!(!reaches && failed.never_began && !failed.unknown, "{failed:?}"),
        }
        let proxy = Proxy::start(server.port(), "commit\0", reaches);
        let failed = world.sql(&through(&proxy), "update account set amount = amount").unwrap_err();
        assert!(failed.unknown && !failed.never_began, "{failed:?}");
        if reaches {
            // The next round starts from nothing having happened.
            server.sql("lost", "delete from _piton_marks; update account set amount = 100").unwrap();
        }
    }
    assert_eq!(amounts(&world, &url), Value::str("100,100"));
}

#[test]
fn an_error_never_shows_the_password() {
    let world = World::new();
    let url = world.secret("db", "postgres://app:hunter2%21hunter2@127.0.0.1:1/shop");
    let action = Action::Query(Query { url, sql: "select 1".into(), params: vec![], limit: 1 });
    let failed = world.perform(&action, &world.context("x", 1)).unwrap_err();
    let said = format!("{failed:?}");
    assert!(said.contains("127.0.0.1:1") && !said.contains("hunter2"), "{said}");
}
