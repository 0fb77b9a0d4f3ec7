//! The gate open: real clients, through the gate, to a real server.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "what fails here fails its test")]

mod support;

use mysql_async::prelude::Queryable;
use support::{World, block_on};

#[test]
fn a_client_sees_through_an_open_gate_what_it_sees_without() {
    let Some(world) = World::start(1) else { return };
    world.servers[0]
        .sql("create table shop.t (id int auto_increment primary key, name varchar(100), at datetime(6), n decimal(30,10))")
        .unwrap();
    block_on(async {
        let mut through = world.client("shop").await;
        let mut beside = world.direct(0, "shop").await;
        through
            .query_drop(
                "insert into t (name, at, n) values ('é', '2020-01-02 03:04:05.000006', 1.5), (null, null, null)",
            )
            .await
            .unwrap();
        assert_eq!(through.last_insert_id(), Some(1));
        let rows: Vec<mysql_async::Row> = through.exec("select * from t where id > ?", (0,)).await.unwrap();
        let same: Vec<mysql_async::Row> = beside.exec("select * from t where id > ?", (0,)).await.unwrap();
        assert_eq!(format!("{rows:?}"), format!("{same:?}"));
        assert_eq!(rows.len(), 2);
        let error = through.query_drop("select * from nothing").await.unwrap_err().to_string();
        assert_eq!(error, beside.query_drop("select * from nothing").await.unwrap_err().to_string());
        // Two results in one answer, then an error as the third.
        let mut results = through.query_iter("select 1; select 2, 3; select x").await.unwrap();
        assert_eq!(results.collect::<u8>().await.unwrap(), [1]);
        assert_eq!(results.collect::<(u8, u8)>().await.unwrap(), [(2, 3)]);
        assert!(results.collect::<u8>().await.is_err());
        drop(results);
        through.ping().await.unwrap();
        // A row and a statement longer than one packet.
        let long: Option<usize> = through.query_first("select length(repeat('x', 20000000))").await.unwrap();
        assert_eq!(long, Some(20_000_000));
        let text = "y".repeat(17_000_000);
        let back: Option<String> = through.query_first(format!("select '{text}'")).await.unwrap();
        assert!(back.as_deref() == Some(&text));
        let back: Option<String> = through.exec_first("select ?", (&text,)).await.unwrap();
        assert!(back.as_deref() == Some(&text));
        through.query_drop("set @a = 5").await.unwrap();
        through.reset().await.unwrap();
        let gone: Option<Option<u8>> = through.query_first("select @a").await.unwrap();
        assert_eq!(gone, Some(None));
        through.disconnect().await.unwrap();
    });
}

#[test]
fn the_command_line_client_works_with_tls_and_without() {
    let Some(world) = World::start(1) else { return };
    for options in [&["--skip-ssl"][..], &["--ssl"]] {
        let output = world.cli(options, "\\s").unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{} {text}", String::from_utf8_lossy(&output.stderr));
        let encrypted = text.lines().any(|line| line.starts_with("SSL:") && line.contains("Cipher in use"));
        assert_eq!(encrypted, options == ["--ssl"], "{text}");
    }
    let denied = world.cli_as("app", "wrong", &[], "select 1").unwrap();
    assert!(String::from_utf8_lossy(&denied.stderr).contains("1045"));
    let unknown = world.cli_as("nobody", "x", &[], "select 1").unwrap();
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("1045"));
}

#[test]
fn a_kill_by_the_gates_own_number_kills_the_right_session() {
    let Some(world) = World::start(1) else { return };
    block_on(async {
        let mut one = world.client("shop").await;
        let mut other = world.client("shop").await;
        assert!(one.id() >= 0x4000_0000);
        let real: u32 = one.query_first("select connection_id()").await.unwrap().unwrap();
        assert_ne!(real, one.id());
        other.query_drop(format!("kill connection {}", one.id())).await.unwrap();
        assert!(one.query_drop("select 1").await.is_err());
        other.query_drop("select 1").await.unwrap();
        let unknown = other.query_drop("kill 2000000000").await.unwrap_err().to_string();
        assert!(unknown.contains("Unknown thread id"), "{unknown}");
    });
}

#[test]
fn sysbench_runs_through_the_gate_without_an_error() {
    let Some(world) = World::start(1) else { return };
    let Some(prepared) = world.sysbench("oltp_read_write", &["prepare"]) else { return };
    assert!(prepared.status.success(), "{}", String::from_utf8_lossy(&prepared.stdout));
    for mode in ["auto", "disable"] {
        let option = format!("--db-ps-mode={mode}");
        let run =
            world.sysbench("oltp_read_write", &["--threads=4", "--events=400", "--time=60", &option, "run"]).unwrap();
        let text = String::from_utf8_lossy(&run.stdout).into_owned();
        assert!(run.status.success(), "{text} {}", String::from_utf8_lossy(&run.stderr));
        let line = text.lines().find(|line| line.trim_start().starts_with("reconnects:")).unwrap();
        assert_eq!(line.split_whitespace().nth(1), Some("0"), "{text}");
    }
}
