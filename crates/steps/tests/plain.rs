//! The small actions, and SQLite, through the executor of all.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use piton_core::event::Handle;
use piton_core::ports::{Cancel, Vault as _};
use piton_core::{Action, Value};
use support::{World, name, once, sql};

#[test]
fn clock_and_randomness_are_those_handed_in() {
    let world = World::new();
    let value = |action: Action| world.perform(&action, &world.context("x", 1)).unwrap().value;
    assert_eq!(value(Action::Now), Some(Value::str("2023-11-14T22:13:20.000000Z")));
    assert_eq!(value(Action::NewId), Some(Value::str("0000000000000000000000000000002a")));
    assert_eq!(value(Action::Noop { value: Value::Int(7) }), Some(Value::Int(7)));
    assert_eq!(value(Action::Env { variable: "PATH".into() }), Some(Value::from(std::env::var("PATH").unwrap())));
    assert!(world.perform(&Action::Env { variable: "PITON_NO_SUCH".into() }, &world.context("x", 1)).is_err());
}

#[test]
fn what_any_action_gives_is_masked() {
    let world = World::new();
    let token = world.secret("token", "hunter2hunter2");
    world.vault.admit(token.secrets().next().unwrap()).unwrap();
    let action = Action::Noop { value: Value::List(vec![Value::str("hunter2hunter2")]) };
    let outcome = world.perform(&action, &world.context("x", 1)).unwrap();
    assert_eq!(outcome.value, Some(Value::List(vec![Value::str("«secret token»")])));
    std::fs::write(world.folder.path().join("log"), "the token is hunter2hunter2\n").unwrap();
    let read = world.perform(&Action::ReadFile { path: "log".into() }, &world.context("x", 1)).unwrap();
    assert_eq!(read.out.as_deref(), Some("the token is «secret token»\n"));
}

#[test]
fn an_action_that_is_ended_before_it_starts_never_began() {
    let world = World::new();
    let cancel = Cancel::new();
    cancel.fire("the run was aborted");
    let prepared = world.prepare(&sql("sqlite:test.db", "create table t (a)"), &world.context("x", 1));
    assert!(prepared.perform(&cancel).unwrap_err().never_began);
}

#[test]
fn a_sqlite_file_is_found_from_the_projects_root_and_its_marks_tell_after_a_crash() {
    let (world, url) = (World::new(), "sqlite:data/../test.db");
    std::fs::create_dir(world.folder.path().join("data")).unwrap();
    world.sql(url, "create table t (a integer)").unwrap();
    assert!(world.folder.path().join("test.db").exists());
    let (action, context) = (once(url, "insert into t values (1)"), world.context("insert", 1));
    let prepared = world.prepare(&action, &context);
    assert!(prepared.atomic());
    assert_eq!(prepared.handle(), Handle::Engine);
    assert_eq!(name(&world.remains(&action, &Handle::Engine, &context)), "never began");
}

#[test]
fn sqlite_happens_once_and_shows_anothers_lock() {
    let (world, url) = (World::new(), "sqlite:test.db");
    world.sql(url, "create table t (a integer)").unwrap();
    let action = once(url, "insert into t values (1)");
    world.perform(&action, &world.context("insert", 1)).unwrap();
    let remains = name(&world.remains(&action, &Handle::Engine, &world.context("insert", 1)));
    assert!(remains.starts_with("exited: its mark shows"), "{remains}");
    world.perform(&action, &world.context("insert", 2)).unwrap();
    assert_eq!(world.value(url, "select count(*) from t"), Value::Int(1));
    assert_eq!(name(&world.remains(&sql(url, "delete from t"), &Handle::Engine, &world.context("d", 1))), "gone");
    let other = rusqlite::Connection::open(world.folder.path().join("test.db")).unwrap();
    other.execute_batch("begin immediate").unwrap();
    let failed = world.sql(url, "insert into t values (2)").unwrap_err();
    assert!(
        failed.never_began && failed.failure.hint.unwrap().contains("another process"),
        "{}",
        failed.failure.message
    );
    assert!(world.query("sqlite:absent.db", "select 1", &[]).is_err());
    assert!(!world.prepare(&sql(url, "vacuum"), &world.context("v", 1)).atomic());
}
