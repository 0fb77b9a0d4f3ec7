//! `query` against a real MariaDB: types, bounds, and that it only reads.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use piton_core::outcome::FailureKind;
use piton_core::{Action, Value};
use support::{World, eventually, mariadb, query, within};

#[test]
fn every_type_comes_back_exact_from_both_protocols() {
    let Some(server) = mariadb() else { return };
    let world = World::new();
    server
        .sql(
            "create database types; use types;
             create table t (
               id int primary key, big bigint unsigned, small tinyint, flag boolean, money decimal(30,10),
               single float, dbl double, day date, moment datetime(6), moment0 datetime, clock time(6),
               stamp timestamp(6) null, yr year, bits bit(10), name varchar(40), bin varbinary(10), big_blob blob,
               long_text text, kind enum('a','b'), tags set('x','y'), doc json, latin varchar(10) character set latin1,
               nothing int, u24 mediumint unsigned);
             set time_zone = '+00:00', sql_mode = '';
             insert into t values (1, 18446744073709551615, -128, true, '12345678901234567890.0123456789',
               0.1, 1e-300, '2024-02-29', '2024-02-29 01:02:03.000004', '2024-02-29 01:02:03', '-838:59:58.5',
               '2024-01-02 03:04:05.6', 2024, b'1000000001', 'Grüße 🧗', x'00ff', x'ff', 'text', 'b', 'x,y',
               '{\"a\": [1, 2]}', 'é', null, 16777215);
             insert into t (id, day, moment, clock, bits) values (2, '0000-00-00', '0000-00-00', '26:00:00', b'0');",
        )
        .unwrap();
    let url = server.url("types");
    let str = |text: &str| Value::str(text);
    let expected = vec![
        Value::Int(1),
        Value::Int(i128::from(u64::MAX)),
        Value::Int(-128),
        Value::Int(1),
        str("12345678901234567890.0123456789"),
        Value::Float(0.1),
        Value::Float(1e-300),
        str("2024-02-29"),
        str("2024-02-29T01:02:03.000004"),
        str("2024-02-29T01:02:03.000000"),
        str("-838:59:58.500000"),
        str("2024-01-02T03:04:05.600000"),
        Value::Int(2024),
        Value::Int(513),
        str("Grüße 🧗"),
        Value::Bytes(vec![0, 255]),
        Value::Bytes(vec![255]),
        str("text"),
        str("b"),
        str("x,y"),
        str("{\"a\": [1, 2]}"),
        str("é"),
        Value::None,
        Value::Int(16_777_215),
    ];
    let text = world.query(&url, "select * from t where id = 1", &[]).unwrap();
    let binary = world.query(&url, "select * from t where id = ?", &[Value::Int(1)]).unwrap();
    assert_eq!(text, vec![expected.clone()]);
    assert_eq!(binary, vec![expected]);
    let odd = "select day, moment, clock, bits, name from t where id = ";
    let expected = vec![vec![
        str("0000-00-00"),
        str("0000-00-00T00:00:00.000000"),
        str("26:00:00.000000"),
        Value::Int(0),
        Value::None,
    ]];
    assert_eq!(world.query(&url, &format!("{odd}2"), &[]).unwrap(), expected);
    assert_eq!(world.query(&url, &format!("{odd}?"), &[Value::Int(2)]).unwrap(), expected);
}

#[test]
fn parameters_are_bound_and_never_pasted() {
    let Some(server) = mariadb() else { return };
    let (world, url) = (World::new(), server.url(""));
    let evil = "'; drop table x; -- \\";
    let params = [
        Value::str(evil),
        Value::Int(i128::from(u64::MAX)),
        Value::Int(i128::from(i64::MIN)),
        Value::Float(0.1),
        Value::Bool(true),
        Value::None,
        Value::Bytes(vec![0, 255]),
    ];
    let rows = world.query(&url, "select ?, ?, ?, ?, ?, ?, hex(?)", &params).unwrap();
    assert_eq!(rows[0][..4], params[..4]);
    assert_eq!(rows[0][4..], [Value::Int(1), Value::None, Value::str("00FF")]);
    let secret = world.secret("token", "hunter2hunter2");
    let rows = world.query(&url, "select length(?)", &[Value::Secret(secret)]).unwrap();
    assert_eq!(rows[0][0], Value::Int(14));
    assert!(world.query(&url, "select ?", &[]).is_err());
    assert!(world.query(&url, "select ?", &[Value::Int(1), Value::Int(2)]).is_err());
}

#[test]
fn more_rows_than_the_limit_fail_and_the_next_query_works() {
    let Some(server) = mariadb() else { return };
    let (world, url) = (World::new(), server.url(""));
    let Action::Query(mut limited) = query(&url, "select seq from seq_1_to_5000000", &[]) else { panic!() };
    limited.sql =
        "with recursive n(i) as (select 1 union all select i + 1 from n where i < 900) select a.i from n a, n b".into();
    limited.limit = 7;
    let start = std::time::Instant::now();
    let failed = world.perform(&Action::Query(limited.clone()), &world.context("limit", 1)).unwrap_err();
    assert!(failed.failure.message.contains("more than 7 rows"), "{}", failed.failure);
    assert!(start.elapsed().as_secs() < 20);
    limited.limit = 3;
    limited.sql = "values (1), (2), (3)".into();
    assert_eq!(world.perform(&Action::Query(limited), &world.context("limit", 1)).unwrap().rows.unwrap().rows.len(), 3);
    let heavy = "with recursive n(i) as (select 1 union all select i + 1 from n where i < 200) select repeat('x', 1000000) from n";
    let failure = world.query(&url, heavy, &[]).unwrap_err();
    assert!(failure.message.contains("MiB"), "{failure}");
}

#[test]
fn a_query_cannot_write_by_any_way_we_know() {
    let Some(server) = mariadb() else { return };
    let (world, url) = (World::new(), server.url("readonly"));
    server
        .sql(
            "create database readonly; create table readonly.t (a int); insert into readonly.t values (1);\ndelimiter //\n\
             create function readonly.sly() returns int deterministic modifies sql data \
             begin delete from readonly.t; return 1; end//",
        )
        .unwrap();
    for text in [
        "delete from t",
        "insert into t values (2)",
        "drop table t",
        "select sly()",
        "select 1; delete from t",
        "select * from t into outfile '/tmp/piton-must-not-be'",
        "set global max_connections = 100",
        "/*! delete from t */",
        "create temporary table x (a int)",
        "select * from t for update",
        "analyze delete from t",
        "analyze format=json delete from t",
        "select 1 from t lock in share mode",
        "xa start 'x'",
        "explain delete from t; delete from t",
    ] {
        assert!(world.query(&url, text, &[]).is_err(), "{text}");
    }
    assert_eq!(world.value(&url, "select count(*) from t"), Value::Int(1));
}

#[test]
fn statements_that_read_without_a_transaction_work() {
    let Some(server) = mariadb() else { return };
    let (world, url) = (World::new(), server.url("shows"));
    server.sql("create database shows; create table shows.t (a int); insert into shows.t values (1)").unwrap();
    for text in [
        "show slave status",
        "show master status",
        "show all slaves status",
        "show binary logs",
        "checksum table t",
        "xa recover",
        "values (1)",
        "analyze format=json select * from t",
        "help 'select'",
        "with a as (select 1) select * from a",
        "show create table t",
        "describe t",
        "explain select * from t",
        "show grants",
        "show variables like 'gtid%'",
        "select master_pos_wait('binlog.000001', 0, 0)",
        "select @@gtid_binlog_pos",
        "show engine innodb status",
        "show processlist",
    ] {
        if let Err(failure) = world.query(&url, text, &[]) {
            panic!("{text}: {failure}");
        }
    }
    assert_eq!(world.query(&url, "checksum table t extended", &[]).unwrap()[0][0], Value::str("shows.t"));
}

#[test]
fn a_timeout_really_ends_the_statement() {
    let Some(server) = mariadb() else { return };
    let (world, url) = (World::new(), server.url(""));
    let sleep = query(&url, "select sleep(61), 'timeout-test'", &[]);
    let failed = world.perform(&sleep, &within(world.context("sleep", 1), 200)).unwrap_err();
    assert_eq!(failed.failure.kind, FailureKind::Timeout);
    let count =
        "select count(*) from information_schema.processlist where info like '%sleep(61)%' and id <> connection_id()";
    // It is told to end before the step fails; on a busy server that takes a moment, and nowhere near a minute.
    eventually("the statement has ended", || world.value(&url, count) == Value::Int(0));
}

#[test]
fn an_engine_that_ends_a_query_ends_its_statement() {
    let Some(server) = mariadb() else { return };
    let (world, url) = (World::new(), server.url(""));
    let cancel = piton_core::ports::Cancel::new();
    let running = {
        let prepared = world.prepare(&query(&url, "select sleep(62)", &[]), &world.context("sleep", 1));
        let cancel = cancel.clone();
        std::thread::spawn(move || prepared.perform(&cancel))
    };
    let count = "select count(*) from information_schema.processlist where info = 'select sleep(62)'";
    eventually("it sleeps", || world.value(&url, count) == Value::Int(1));
    cancel.fire("the run was aborted");
    let failed = running.join().unwrap().unwrap_err();
    assert_eq!(failed.failure.kind, FailureKind::Stopped);
    assert_eq!(world.value(&url, count), Value::Int(0));
}

#[test]
fn an_idle_connection_remembers_nothing_and_a_dead_one_is_replaced() {
    let Some(server) = mariadb() else { return };
    let (world, url) = (World::new(), server.url(""));
    let first = world.value(&url, "select concat(connection_id(), '/', ifnull(@x := 5, 0))");
    let Value::Str(first) = first else { panic!() };
    let id = first.split('/').next().unwrap().to_owned();
    assert_eq!(world.value(&url, "select concat(connection_id())"), Value::str(&id));
    assert_eq!(world.value(&url, "select @x"), Value::None);
    server.sql(&format!("kill {id}")).unwrap();
    assert_ne!(world.value(&url, "select concat(connection_id())"), Value::str(&id));
}

#[test]
fn an_error_never_shows_the_password() {
    let world = World::new();
    let url = world.secret("db", "mysql://app:hunter2%21hunter2@127.0.0.1:1/shop");
    let Action::Query(mut action) = query("", "select 1", &[]) else { panic!() };
    action.url = url;
    let failed = world.perform(&Action::Query(action), &world.context("x", 1)).unwrap_err();
    let said = format!("{failed:?}");
    assert!(said.contains("127.0.0.1:1") && !said.contains("hunter2"), "{said}");
    let Some(server) = mariadb() else { return };
    let url = world.secret("other", &server.url_as("app", "wrong-password", "shop"));
    let Action::Query(mut action) = query("", "select 1", &[]) else { panic!() };
    action.url = url;
    let failed = world.perform(&Action::Query(action), &world.context("x", 1)).unwrap_err();
    assert!(failed.failure.message.contains("1045"), "{failed:?}");
    assert!(!format!("{failed:?}").contains("wrong-password"));
}

#[test]
fn a_secret_that_a_database_holds_is_masked_in_rows() {
    let Some(server) = mariadb() else { return };
    let (world, url) = (World::new(), server.url(""));
    let token = Value::Secret(world.secret("token", "hunter2hunter2"));
    let rows = world.query(&url, "select concat('x ', ?), unhex(hex('hunter2hunter2'))", &[token]).unwrap();
    assert_eq!(rows[0], [Value::str("x «secret token»"), Value::Bytes("«secret token»".as_bytes().to_vec())]);
}
