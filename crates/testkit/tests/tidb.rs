//! What TiDB answers to the statements a move to it depends on, as transcripts against a real server.
//!
//! Owns the facts that docs/design/015-tidb-as-a-target.md tells. Never a fake: without a TiDB server these tests say
//! so and pass, unless `PITON_REQUIRE_TIDB=1`.
#![allow(clippy::unwrap_used)] // a test helper, where a failure should stop the test

use std::collections::HashMap;

use mysql_async::prelude::Queryable as _;
use mysql_async::{Conn, Error, Opts, OptsBuilder, SslOpts, Value};
use piton_testkit::available;
use piton_testkit::tidb::{Options, TiDb};

/// The password of every account that a transcript makes.
const PASSWORD: &str = "pw";

fn server(options: &Options) -> Option<TiDb> {
    available(TiDb::start(options))
}

/// Plays `name: statement` lines and compares what comes back with the `= answer` below each. A name without its digits
/// is an account, and each name is a session of its own. An answer that ends with `...` is only the beginning of one.
fn play(server: &TiDb, transcript: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut sessions: HashMap<String, Conn> = HashMap::new();
    let (mut seen, mut differs) = (String::new(), false);
    let lines: Vec<&str> = transcript.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    for (at, line) in lines.iter().enumerate().filter(|(_, line)| !line.starts_with('=')) {
        let (name, statement) = line.split_once(": ").unwrap();
        let wanted = lines.get(at + 1).and_then(|next| next.strip_prefix('=')).map_or("", str::trim);
        let answer = runtime.block_on(async {
            if !sessions.contains_key(name) {
                match Conn::new(options(server, name.trim_end_matches(char::is_numeric), None)).await {
                    Ok(session) => _ = sessions.insert(name.to_owned(), session),
                    Err(error) => return told(&error),
                }
            }
            ask(sessions.get_mut(name).unwrap(), statement).await
        });
        let fits = match wanted.strip_suffix("...") {
            Some(beginning) => answer.starts_with(beginning),
            None => answer == wanted,
        };
        differs |= !fits;
        seen += &format!("{line}\n{} {answer}\n", if fits { "=" } else { "= (*)" });
    }
    assert!(!differs, "TiDB answers otherwise where (*) stands:\n{seen}");
}

fn options(server: &TiDb, account: &str, tls: Option<SslOpts>) -> Opts {
    let password = if account == TiDb::ADMIN { server.password() } else { PASSWORD };
    OptsBuilder::default()
        .ip_or_hostname("127.0.0.1")
        .tcp_port(server.port())
        .user(Some(account))
        .pass(Some(password))
        .prefer_socket(Some(false))
        .ssl_opts(tls)
        .into()
}

async fn ask(session: &mut Conn, statement: &str) -> String {
    let mut answer = match session.query_iter(statement).await {
        Err(error) => return told(&error),
        Ok(mut result) => {
            let columns = !result.columns_ref().is_empty();
            let rows: Vec<mysql_async::Row> = match result.collect().await {
                Ok(rows) => rows,
                Err(error) => return told(&error),
            };
            let rows: Vec<String> = rows.into_iter().map(|row| cells(&row.unwrap())).collect();
            if columns { format!("[{}]", rows.join("; ")) } else { format!("ok, {} rows", result.affected_rows()) }
        }
    };
    if session.get_warnings() > 0 {
        let warnings: Vec<(String, u16, String)> = session.query("show warnings").await.unwrap();
        for (level, code, message) in warnings {
            answer += &format!(", {} {code}: {message}", level.to_lowercase());
        }
    }
    answer
}

fn cells(row: &[Value]) -> String {
    let cells: Vec<String> = row
        .iter()
        .map(|value| match value {
            Value::NULL => "NULL".to_owned(),
            Value::Bytes(bytes) => String::from_utf8_lossy(bytes).replace('\n', " "),
            other => other.as_sql(true),
        })
        .collect();
    cells.join(", ")
}

fn told(error: &Error) -> String {
    match error {
        Error::Server(error) => format!("error {}: {}", error.code, error.message),
        other => format!("lost: {other}"),
    }
}

const FENCES: &str = "
    admin: select version() like '8.0.11-TiDB-v%'
    = [1]
    admin: create database s
    = ok, 0 rows
    admin: create table s.t (id int primary key, v int)
    = ok, 0 rows
    admin: create user app identified by 'pw', mover identified by 'pw'
    = ok, 0 rows
    admin: grant all on s.* to app
    = ok, 0 rows
    admin: grant all on *.* to mover
    = ok, 0 rows
    admin: grant restricted_replica_writer_admin on *.* to mover
    = ok, 0 rows
    admin: lock tables s.t write
    = ok, 0 rows, warning 1235: LOCK TABLES is not supported...
    app1: insert into s.t values (1, 1)
    = ok, 1 rows
    admin: flush tables with read lock
    = error 1105: FLUSH TABLES WITH READ LOCK is not supported.  Please use @@tidb_snapshot
    admin: set global read_only = 1
    = error 1235: function READ ONLY has only noop implementation in tidb now...
    admin: set global tidb_enable_noop_functions = 1
    = ok, 0 rows
    admin2: set global read_only = 1
    = ok, 0 rows
    app1: insert into s.t values (2, 2)
    = ok, 1 rows
    app2: begin
    = ok, 0 rows
    app2: insert into s.t values (3, 3)
    = ok, 1 rows
    admin: set global tidb_restricted_read_only = 1
    = ok, 0 rows
    admin: select @@global.tidb_restricted_read_only, @@global.tidb_super_read_only
    = [1, 1]
    app1: insert into s.t values (4, 4)
    = error 1836: Running in read-only mode
    app1: select * from s.t where id = 1 for update
    = error 1836: Running in read-only mode
    app2: insert into s.t values (5, 5)
    = error 1836: Running in read-only mode
    app2: commit
    = error 1836: Running in read-only mode
    app1: select count(*) from s.t
    = [2]
    admin: insert into s.t values (6, 6)
    = error 1836: Running in read-only mode
    admin: alter user app account lock
    = error 1836: Running in read-only mode
    mover: insert into s.t values (7, 7)
    = ok, 1 rows
    mover: alter user app account lock
    = ok, 0 rows
    admin: set global tidb_restricted_read_only = 0
    = ok, 0 rows
    app1: insert into s.t values (8, 8)
    = error 1836: Running in read-only mode
    admin: set global tidb_super_read_only = 0
    = ok, 0 rows
    app1: insert into s.t values (8, 8)
    = ok, 1 rows
    app9: select 1
    = error 3118: Access denied for user 'app'@'127.0.0.1'. Account is locked.
    admin: alter user app account unlock
    = ok, 0 rows
    app9: select 1
    = [1]
";

const GROUPS: &str = "
    admin: select @@tidb_enable_resource_control
    = [1]
    admin: create resource group rg ru_per_sec = 500
    = ok, 0 rows
    admin: create resource group rg ru_per_sec = 700
    = error 8248: Resource group 'rg' already exists
    admin: create resource group if not exists rg ru_per_sec = 700
    = ok, 0 rows, note 8248: Resource group 'rg' already exists
    admin: select * from information_schema.resource_groups where name = 'rg'
    = [rg, 500, MEDIUM, NO, NULL, NULL]
    admin: alter resource group rg ru_per_sec = 1000 burstable
    = ok, 0 rows
    admin: alter resource group rg ru_per_sec = 1000 burstable
    = ok, 0 rows
    admin: show create resource group rg
    = [rg, CREATE RESOURCE GROUP `rg` RU_PER_SEC=1000, PRIORITY=MEDIUM, BURSTABLE]
    admin: create user app identified by 'pw' resource group rg
    = ok, 0 rows
    app: select current_resource_group()
    = [rg]
    admin: drop resource group rg
    = error 1105: user [app] depends on the resource group to drop
    admin: alter user app resource group nowhere
    = error 8249: Unknown resource group 'nowhere'
    admin: alter user app resource group `default`
    = ok, 0 rows
    app: select current_resource_group()
    = [rg]
    admin: drop resource group rg
    = ok, 0 rows
    admin: drop resource group if exists rg
    = ok, 0 rows, note 8249: Unknown resource group 'rg'
    admin: alter resource group rg ru_per_sec = 1
    = error 8249: Unknown resource group 'rg'
    app: select 1
    = [1]
";

const TRANSACTIONS: &str = "
    admin: select @@tidb_txn_mode, @@transaction_isolation, @@tidb_disable_txn_auto_retry
    = [pessimistic, REPEATABLE-READ, 1]
    admin: create database s
    = ok, 0 rows
    admin: create table s.t (id int primary key, v int)
    = ok, 0 rows
    admin: insert into s.t values (1, 0), (2, 0)
    = ok, 2 rows
    admin1: begin optimistic
    = ok, 0 rows
    admin1: update s.t set v = 1 where id = 1
    = ok, 1 rows
    admin2: update s.t set v = 2 where id = 1
    = ok, 1 rows
    admin1: commit
    = error 9007: Write conflict...
    admin1: begin
    = ok, 0 rows
    admin1: select v from s.t where id = 1
    = [2]
    admin2: update s.t set v = 3 where id = 1
    = ok, 1 rows
    admin1: update s.t set v = v + 10 where id = 1
    = ok, 1 rows
    admin1: select v from s.t where id = 1
    = [13]
    admin2: set innodb_lock_wait_timeout = 1
    = ok, 0 rows
    admin2: begin
    = ok, 0 rows
    admin2: update s.t set v = 4 where id = 1
    = error 1205: Lock wait timeout exceeded; try restarting transaction
    admin2: select id from s.t for update nowait
    = error 3572: Statement aborted because lock(s) could not be acquired immediately and NOWAIT is set.
    admin2: select id from s.t for update skip locked
    = [1; 2]
    admin2: rollback
    = ok, 0 rows
    admin1: insert into s.t values (3, 0)
    = ok, 1 rows
    admin1: create table s.u (id int)
    = ok, 0 rows
    admin1: rollback
    = ok, 0 rows
    admin2: select id, v from s.t
    = [1, 13; 2, 0; 3, 0]
    admin1: xa start 'x'
    = error 1064: ...
    admin1: select get_lock('piton', 0)
    = [1]
    admin2: select get_lock('piton', 0)
    = [0]
    admin: create table s.large (id int primary key, v longtext)
    = ok, 0 rows
    admin: select @@tidb_txn_entry_size_limit, @@max_allowed_packet, @@tidb_mem_quota_query
    = [0, 67108864, 1073741824]
    admin: insert into s.large values (1, repeat('x', 2000000))
    = error 8025: entry too large, the max entry size is 1500000, the size of data is ...
    admin: set tidb_txn_entry_size_limit = 4000000
    = ok, 0 rows
    admin: insert into s.large values (1, repeat('x', 2000000))
    = ok, 1 rows
    admin: insert into s.large values (2, repeat('x', 2000000)), (3, repeat('x', 2000000)), (4, repeat('x', 2000000))
    = error 8004: Transaction is too large...
    admin: select count(*) from s.large
    = [1]
";

const SCHEMA: &str = "
    admin: create database s
    = ok, 0 rows
    admin: select character_set_name, default_collate_name from information_schema.character_sets order by 1
    = [ascii, ascii_bin; binary, binary; gbk, gbk_chinese_ci; latin1, latin1_bin; utf8, utf8_bin; utf8mb4, utf8mb4_bin]
    admin: select @@character_set_server, @@collation_server
    = [utf8mb4, utf8mb4_bin]
    admin: create table s.a (v varchar(9)) charset latin2
    = error 1115: Unknown character set: 'latin2'
    admin: create table s.a (v varchar(9) collate latin1_swedish_ci)
    = error 1273: Unsupported collation when new collation is enabled: 'latin1_swedish_ci'
    admin: create table s.a (v varchar(9) collate utf8mb4_uca1400_ai_ci)
    = error 1273: Unknown collation: 'utf8mb4_uca1400_ai_ci'
    admin: create table s.a (v varchar(9) collate utf8mb4_0900_ai_ci, w varchar(9) collate utf8mb4_unicode_ci)
    = ok, 0 rows
    admin: create table s.l (v varchar(9) charset latin1, g varchar(9) charset gbk)
    = ok, 0 rows
    admin: insert into s.l values ('é', '中')
    = ok, 1 rows
    admin: select v, hex(v), length(v), g, hex(g) from s.l
    = [é, C3A9, 2, 中, D6D0]
    admin: create table s.u (v uuid)
    = error 1064: ...
    admin: create table s.u (v inet6)
    = error 1064: ...
    admin: create table s.u (v point)
    = error 1064: ...
    admin: create table s.full (id int primary key, v text, fulltext (v))
    = ok, 0 rows, warning 1214: The used table type doesn't support FULLTEXT indexes
    admin: create table s.c (id int primary key, v int check (v > 0))
    = ok, 0 rows, warning 1105: tidb_enable_check_constraint is off
    admin: insert into s.c values (1, -1)
    = ok, 1 rows
    admin: create trigger s.x before insert on s.c for each row set new.v = 1
    = error 1064: ...
    admin: create procedure s.x() select 1
    = error 8108: ...
    admin: create event s.x on schedule every 1 day do select 1
    = error 1064: ...
    admin: create sequence s.q start with 5
    = ok, 0 rows
    admin: select nextval(s.q)
    = [5]
    admin: create table s.p (id int primary key)
    = ok, 0 rows
    admin: create table s.f (id int primary key, p int, foreign key (p) references s.p (id) on delete cascade)
    = ok, 0 rows
    admin: insert into s.p values (1)
    = ok, 1 rows
    admin: insert into s.f values (1, 1)
    = ok, 1 rows
    admin: insert into s.f values (2, 2)
    = error 1452: Cannot add or update a child row: a foreign key constraint fails...
    admin: delete from s.p
    = ok, 1 rows
    admin: select count(*) from s.f
    = [0]
    admin: set foreign_key_checks = 0
    = ok, 0 rows
    admin: insert into s.f values (2, 2)
    = ok, 1 rows
    admin: create table s.n (v int)
    = ok, 0 rows
    admin: insert into s.n values (7), (7)
    = ok, 2 rows
    admin: select _tidb_rowid, v from s.n
    = [1, 7; 2, 7]
    admin: insert into s.n (_tidb_rowid, v) values (9, 9)
    = error 1105: insert, update and replace statements for _tidb_rowid are not supported
    admin: set tidb_opt_write_row_id = 1
    = ok, 0 rows
    admin: insert into s.n (_tidb_rowid, v) values (9, 9)
    = ok, 1 rows
    admin: create table s.i (id bigint auto_increment primary key, v int)
    = ok, 0 rows
    admin: insert into s.i (v) values (1), (2)
    = ok, 2 rows
    admin: select last_insert_id()
    = [1]
    admin: show table s.i next_row_id
    = [s, i, id, 30001, _TIDB_ROWID]
    admin: alter table s.i auto_increment = 500
    = ok, 0 rows, warning 1105: Can't reset AUTO_INCREMENT to 500 without FORCE option, using 30001 instead
    admin: insert into s.i (v) values (3)
    = ok, 1 rows
    admin: select max(id) from s.i
    = [30001]
    admin: insert into s.i values (0, 4)
    = ok, 1 rows
    admin: insert into s.i values (100000, 5)
    = ok, 1 rows
    admin: select group_concat(id order by id) from s.i
    = [1,2,30001,30002,100000]
    admin: show binary logs
    = error 1064: ...
    admin: select @@log_bin
    = error 1193: Unknown system variable 'log_bin'
    admin: show master status
    = [tidb-binlog, ...
";

const AFTER_RESTART: &str = "
    admin: select count(*) from s.i
    = [5]
    admin: select @@global.tidb_restricted_read_only, @@global.tidb_super_read_only
    = [1, 1]
    admin: insert into s.i (v) values (6)
    = error 1836: Running in read-only mode
    admin: set global tidb_restricted_read_only = 0
    = ok, 0 rows
    admin: set global tidb_super_read_only = 0
    = ok, 0 rows
    admin: insert into s.i (v) values (6)
    = ok, 1 rows
    admin: select max(id) from s.i
    = [130001]
";

#[test]
fn only_restricted_read_only_fences_writers_and_it_reaches_into_open_transactions() {
    let Some(server) = server(&Options::default()) else { return };
    play(&server, FENCES);
}

#[test]
fn resource_groups_work_in_a_single_process_and_a_group_in_use_cannot_be_dropped() {
    let Some(server) = server(&Options::default()) else { return };
    play(&server, GROUPS);
}

#[test]
fn optimistic_conflicts_and_too_large_rows_and_transactions_have_codes_of_their_own() {
    let performance = ["txn-entry-size-limit = 1500000", "txn-total-size-limit = 5000000"].map(str::to_owned).to_vec();
    let Some(server) = server(&Options { performance, ..Options::default() }) else { return };
    play(&server, TRANSACTIONS);
}

#[test]
fn what_tidb_cannot_hold_is_refused_or_only_warned_about_and_a_restart_keeps_rows_and_fences() {
    let Some(mut server) = server(&Options::default()) else { return };
    play(&server, SCHEMA);
    server.sql("set global tidb_restricted_read_only = 1").unwrap();
    server.restart().unwrap();
    let error = server.sql("create table s.z (id int)").unwrap_err();
    assert!(error.to_string().contains("Running in read-only mode"), "{error}");
    play(&server, AFTER_RESTART);
}

#[test]
fn caching_sha2_accounts_need_tls_and_native_ones_do_not() {
    let Some(server) = server(&Options { tls: true, ..Options::default() }) else { return };
    play(
        &server,
        "
        admin: create user n identified with mysql_native_password by 'pw'
        = ok, 0 rows
        admin: create user c identified with caching_sha2_password by 'pw'
        = ok, 0 rows
        admin: create user e identified with ed25519 by 'pw'
        = error 1524: Plugin 'ed25519' is not loaded
        admin: create user h identified with mysql_native_password as '*D821809F681A40A6E379B50D0463EFAE20BDD122'
        = ok, 0 rows
        n: select current_user()
        = [n@%]
        h: select current_user()
        = [h@%]
        c: select current_user()
        = error 1045: Access denied for user 'c'@'127.0.0.1' (using password: YES)
        ",
    );
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let tls = SslOpts::default().with_danger_accept_invalid_certs(true);
    runtime.block_on(async {
        let mut session = Conn::new(options(&server, "c", Some(tls))).await.unwrap();
        assert_eq!(ask(&mut session, "select current_user()").await, "[c@%]");
    });
}

#[test]
fn a_private_server_leaves_nothing_behind_and_lets_nobody_in_without_a_password() {
    let Some(server) = server(&Options::default()) else { return };
    let id = server.process_id().unwrap();
    let folder = server.log().parent().unwrap().to_owned();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let url = format!("mysql://root@{}/?prefer_socket=false", server.address());
    let error = runtime.block_on(Conn::new(Opts::from_url(&url).unwrap())).unwrap_err();
    assert_eq!(told(&error), "error 1045: Access denied for user 'root'@'127.0.0.1' (using password: NO)");
    drop(server);
    assert!(!std::path::Path::new(&format!("/proc/{id}")).exists());
    assert!(!folder.exists());
}
