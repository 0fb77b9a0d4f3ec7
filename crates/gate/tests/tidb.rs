//! The gate before a TiDB server: `caching_sha2_password` on both sides, and sessions that move to it from MariaDB.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "what fails here fails its test")]

mod support;

use std::time::Duration;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, SslOpts};
use piton_gate::{Account, Backend, BackendTls, Config, Gate, HoldOptions};
use piton_testkit::available;
use piton_testkit::tidb::{Options, TiDb};
use support::{PASSWORD, World, block_on};

const LONG: Duration = Duration::from_secs(60);
/// What MariaDB stores of the password.
const HASH: &str = "*14E65567ABDB5135D0CFD9A70B3032C179A49EE7";

fn tidb() -> Option<TiDb> {
    available(TiDb::start(&Options { tls: true, ..Options::default() }))
}

fn backend(server: &TiDb) -> Backend {
    Backend { tls: BackendTls::Unverified, ..Backend::plain("tidb", &server.address()) }
}

#[test]
fn an_account_of_caching_sha2_password_goes_through_the_gate_under_tls() {
    let Some(server) = tidb() else { return };
    server
        .sql(&format!(
            "create database shop; create table shop.w (id int primary key); \
             create user modern identified with caching_sha2_password by '{PASSWORD}'; grant all on shop.* to modern; \
             create user gate identified by '{PASSWORD}'; grant select on mysql.* to gate"
        ))
        .unwrap();
    let mut config = Config::new(([127, 0, 0, 1], 0).into(), vec![backend(&server)]);
    config.account = Some(Account { user: "gate".to_owned(), password: PASSWORD.to_owned() });
    let gate = Gate::start(config).unwrap();
    let options = |password: &str, tls: bool| {
        let believing = SslOpts::default().with_danger_accept_invalid_certs(true);
        mysql_async::OptsBuilder::default()
            .ip_or_hostname("127.0.0.1")
            .tcp_port(gate.address().port())
            .user(Some("modern"))
            .pass(Some(password.to_owned()))
            .db_name(Some("shop"))
            .prefer_socket(false)
            .ssl_opts(tls.then_some(believing))
    };
    block_on(async {
        assert!(Conn::new(options("wrong", true)).await.unwrap_err().to_string().contains("1045"));
        let mut full = Conn::new(options(PASSWORD, true)).await.unwrap();
        full.exec_drop("insert into w values (?)", (1,)).await.unwrap();
        // Known from now on: a fast proof suffices, and wrong ones do not.
        let mut fast = Conn::new(options(PASSWORD, true)).await.unwrap();
        assert_eq!(fast.query_first::<u32, _>("select count(*) from w").await.unwrap(), Some(1));
        assert!(Conn::new(options("wrong", true)).await.is_err());
        assert!(gate.drill(LONG).unwrap().drained);
        fast.query_drop("begin; insert into w values (2)").await.unwrap();
        let report = gate.drill(Duration::from_millis(50)).unwrap();
        assert!(!report.drained && report.blockers[0].user == "modern", "{report:?}");
        fast.query_drop("rollback").await.unwrap();
    });
}

#[test]
fn a_session_moves_from_mariadb_to_tidb_with_its_state() {
    let Some(server) = tidb() else { return };
    server
        .sql(&format!(
            "create database shop; create table shop.w (id bigint primary key auto_increment, note varchar(50)); \
             create user app identified with mysql_native_password as '{HASH}'; grant all on *.* to app"
        ))
        .unwrap();
    let Some(world) = World::start_with(1, |config| config.backends.push(backend(&server))) else { return };
    world.servers[0].sql("create table shop.w (id bigint primary key auto_increment, note varchar(50))").unwrap();
    block_on(async {
        let mut conn = world.client("shop").await;
        conn.query_drop("set names utf8mb4; set time_zone = '+02:00', @a = 'é', @n = 1.5e0").await.unwrap();
        conn.query_drop("insert into w (note) values ('old')").await.unwrap();
        let prepared = conn.prep("insert into w (id, note) values (?, ?)").await.unwrap();
        conn.exec_drop(&prepared, (10, "old")).await.unwrap();
        conn.query_drop("insert into w (note) values ('counted')").await.unwrap();
        let options = HoldOptions { drain: LONG, deadline: LONG * 2, attempt: None };
        assert!(world.gate().hold(&options).unwrap().drained);
        world.gate().switch("tidb").unwrap();
        world.gate().release().unwrap();
        let asked = "select version(), database(), @@time_zone, @a, @n, last_insert_id()";
        let row: (String, String, String, String, f64, u64) = conn.query_first(asked).await.unwrap().unwrap();
        assert!(row.0.contains("TiDB"), "{}", row.0);
        assert_eq!((row.1.as_str(), row.2.as_str(), row.3.as_str(), row.4, row.5), ("shop", "+02:00", "é", 1.5, 11));
        conn.exec_drop(&prepared, (20, "new")).await.unwrap();
    });
    assert_eq!(server.sql("select id, note from shop.w").unwrap(), "20\tnew\n");
    assert_eq!(world.servers[0].sql("select count(*) from shop.w").unwrap(), "3\n");
}
