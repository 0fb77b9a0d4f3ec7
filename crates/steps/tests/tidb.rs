//! `query` and `sql` against a real TiDB, which speaks MySQL's protocol and has no read-only transactions.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use piton_core::Value;
use support::{World, once, sql, tidb};

#[test]
fn tidb_is_read_and_written_like_any_other() {
    let Some(server) = tidb() else { return };
    let world = World::new();
    server
        .sql("create database shop; create table shop.t (id int primary key, v int); create sequence shop.s")
        .unwrap();
    let url = server.url("shop");
    let none: &[Value] = &[];
    assert_eq!(world.query(&url, "select * from t", none).unwrap(), Vec::<Vec<Value>>::new());
    world.sql(&url, "insert into t values (1, 2)").unwrap();
    assert_eq!(world.value(&url, "select v from t where id = 1"), Value::Int(2));
    assert_eq!(world.value(&url, "select count(*) = 1 from t where id = 1"), Value::Int(1), "an idle connection again");
    // Not by the session, which TiDB would not keep from it, but by the text.
    for writes in
        ["insert into t values (2, 2)", "select nextval(s)", "select * from t for update", "set global autocommit = 0"]
    {
        let refused = world.query(&url, writes, none).unwrap_err();
        assert!(refused.message.contains("only reads"), "{writes}: {refused:?}");
    }
    // A warning is an error, a note is none.
    let warned = world.sql(&url, "create table c (a int check (a > 0))").unwrap_err();
    assert!(format!("{warned:?}").contains("tidb_enable_check_constraint"), "{warned:?}");
    world.sql(&url, "drop table if exists nothing").unwrap();
    // Exactly once, by a mark in the same transaction.
    let (add, context) = (once(&url, "update t set v = v + 1"), world.context("once", 1));
    world.perform(&add, &context).unwrap();
    assert!(world.perform(&add, &context).is_ok());
    assert_eq!(world.value(&url, "select v from t where id = 1"), Value::Int(3));
    let failed = world.perform(&sql(&url, "insert into t values (1, 1)"), &world.context("twice", 1)).unwrap_err();
    assert!(format!("{failed:?}").contains("1062"), "{failed:?}");
}
