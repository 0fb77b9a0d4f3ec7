//! The whole runbook of the language's design, from its sources to its requests.

mod support;

use expect_test::expect;
use piton_core::ports::Program;
use piton_core::secret::SecretRef;
use piton_core::{Duration, Outcome, Text, Value};
use std::sync::Arc;

const MOVE: &str = include_str!("data/move.star");

/// What the example loads and runs, in as few words as possible.
const LIB: &str = r#"
### lib/mysql.star
def columns(table, source, target):
    return check(query(source, "show columns"), lambda o: True)

def same_rows(table, source, target):
    return query(target, "select checksum")

def checksum(url, table):
    return query(url, "checksum table " + ident(table.name))
### scripts/dump-load.sh
### scripts/empty-target.sh
### scripts/start-replica.sh
"#;

/// All of it.
fn example() -> String {
    format!("{MOVE}{LIB}")
}

#[test]
fn it_tells_what_it_takes() {
    let runbook = support::load(&example()).unwrap_or_else(|wrong| panic!("{wrong}"));
    expect![[r#"
        # Move one service's MySQL database with the databases' own tools: dump, native replication, read-only switch.

        Moves every table while the service keeps writing; writes stop only inside the measured window.

        ```
        piton run main.star --service SERVICE --source SOURCE --target TARGET --endpoint-file ENDPOINT-FILE
        ```

        | parameter | type | default | |
        |---|---|---|---|
        | `--service` | str |  | name in the service catalogue |
        | `--source` | secret |  | the database the service uses today |
        | `--target` | secret |  | the platform it moves to |
        | `--endpoint-file` | path |  | the file from which the service reads its database's address |
        | `--pause-budget` | duration | `1m30s` | the longest the service may go without writes |
        | `--copiers` | int | `4` | tables dumped at the same time |

        A secret is given by reference: `env:NAME`, `file:PATH` or `cmd:COMMAND`.
    "#]]
    .assert_eq(&runbook.docs_markdown());
    expect![[r#"["scripts/dump-load.sh", "scripts/empty-target.sh", "scripts/start-replica.sh"]"#]]
        .assert_eq(&format!("{:?}", runbook.scripts()));
}

#[test]
fn it_asks_for_its_steps_in_order() {
    let run = support::on_engine_stack(|| {
        let runbook = support::load(&example()).unwrap_or_else(|wrong| panic!("{wrong}"));
        let mut fake = support::Fake::new(runbook.clone());
        let table = |name: &str, rows: i64| vec![name.into(), "InnoDB".into(), rows.into()];
        let tables = support::rows(&["name", "engine", "row_count"], vec![table("a", 3), table("b", 5)]);
        fake.outcomes.insert("Discover/List tables".into(), tables);
        let keys = vec![vec!["a".into(), "id".into()], vec!["b".into(), "id".into()], vec!["b".into(), "n".into()]];
        fake.outcomes.insert("Discover/List primary keys".into(), support::rows(&["name", "col"], keys));
        for name in ["a", "b"] {
            let ddl = support::rows(&["Create Table"], vec![vec![Value::from(format!("create table {name} (...)"))]]);
            fake.outcomes.insert(format!("Provision/{name}/Read definition"), ddl);
        }
        let dump = r#"{"file": "binlog.000001", "position": 12345678901}"#;
        let dump = Outcome { ok: true, out: Some(dump.into()), ..Outcome::default() };
        fake.outcomes.insert("Copy/Dump and load".into(), dump);
        let status =
            support::rows(&["Slave_SQL_Running", "Seconds_Behind_Master"], vec![vec!["Yes".into(), 0i64.into()]]);
        fake.outcomes.insert("Follow/Start replication".into(), status.clone());
        fake.outcomes.insert("Follow/Replica has caught up".into(), status);
        let end = support::rows(&["File", "Position"], vec![vec!["binlog.000002".into(), 99i64.into()]]);
        fake.outcomes.insert("Write pause/Read the end position".into(), end);
        let secret =
            |name: &str| Value::Secret(Text::secret(SecretRef::parse(Some(name), "env:URL").expect("a reference")));
        let params = [
            ("service".to_owned(), Value::str("payments")),
            ("source".to_owned(), secret("source")),
            ("target".to_owned(), secret("target")),
            ("endpoint_file".to_owned(), Value::str("/run/endpoint")),
            ("pause_budget".to_owned(), Value::Duration(Duration::from_secs(60))),
        ];
        let result = runbook.main(&fake, &params);
        let mut lines = fake.lines();
        lines.push(format!("{result:?}"));
        lines.join("\n") + "\n"
    });
    expect![[r#"
        enter Discover {"scope":"phase"}
        expect Discover/Binary log is row based @main.star:49:5: query «secret source»: select @@binlog_format = 'ROW' and @@binlog_row_image = 'FULL' hint="set global binlog_format = 'ROW', binlog_row_image = 'FULL'; then reconnect all writers"
        step Discover/List tables @main.star:54:13: query «secret source»: select table_name as name, engine, table_rows as row_count from information_schema.tables where table_schema = database() and table_type = 'BASE TABLE' order by 1
        step Discover/List primary keys @main.star:58:12: query «secret source»: select table_name as name, column_name as col from information_schema.key_column_usage where table_schema = database() and constraint_name = 'PRIMARY' order by 1, ordinal_position
        leave Discover
        branches Assess ["a", "b"] concurrency=8 Hold
        expect Assess/a/Engine is transactional @main.star:74:5: query «secret source»: select ? = 'InnoDB'
        expect Assess/a/No triggers @main.star:75:5: query «secret source»: select count(*) = 0 from information_schema.triggers where event_object_schema = database() and event_object_table = ? hint="triggers fire on both sides: move them after the cutover"
        expect Assess/a/Name is free on the target @main.star:79:5: query «secret target»: select count(*) = 0 from information_schema.tables where table_schema = database() and table_name = ?
        expect Assess/b/Engine is transactional @main.star:74:5: query «secret source»: select ? = 'InnoDB'
        expect Assess/b/No triggers @main.star:75:5: query «secret source»: select count(*) = 0 from information_schema.triggers where event_object_schema = database() and event_object_table = ? hint="triggers fire on both sides: move them after the cutover"
        expect Assess/b/Name is free on the target @main.star:79:5: query «secret target»: select count(*) = 0 from information_schema.tables where table_schema = database() and table_name = ?
        branches Provision ["a", "b"] concurrency=1 Hold
        step Provision/a/Read definition @main.star:84:11: query «secret source»: show create table `a`
        step Provision/a/Create table @main.star:85:5: sql «secret target»: create table a (...) ensures=[query «secret target»: select count(*) = 1 from information_schema.tables where table_schema = database() and table_name = ?] undo=Asked repeatable=True
          undo(None) -> sql «secret target»: drop table if exists `a`
          undo(outcome) -> sql «secret target»: drop table if exists `a`
        expect Provision/a/Columns agree @main.star:94:5: query «secret source»: show columns predicate=? hint="compare the two definitions in the receipt"
          Check -> true
        step Provision/b/Read definition @main.star:84:11: query «secret source»: show create table `b`
        step Provision/b/Create table @main.star:85:5: sql «secret target»: create table b (...) ensures=[query «secret target»: select count(*) = 1 from information_schema.tables where table_schema = database() and table_name = ?] undo=Asked repeatable=True
          undo(None) -> sql «secret target»: drop table if exists `b`
          undo(outcome) -> sql «secret target»: drop table if exists `b`
        expect Provision/b/Columns agree @main.star:94:5: query «secret source»: show columns predicate=? hint="compare the two definitions in the receipt"
          Check -> true
        enter Copy {"scope":"phase"}
        step Copy/Dump and load @main.star:98:12: script scripts/dump-load.sh a b undo=Asked timeout=6h repeatable=True memory=1073741824 doc="Takes one consistent snapshot and prints the log position it belongs to."
          undo(None) -> script scripts/empty-target.sh a b
          undo(outcome) -> script scripts/empty-target.sh a b
        leave Copy
        enter Follow {"scope":"phase"}
        step Follow/Start replication @main.star:110:5: script scripts/start-replica.sh binlog.000001 12345678901 ensures=[query «secret target»: show slave status ?] undo=Asked settle=30s repeatable=True
          Ensures -> true
          undo(None) -> sql «secret target»: stop slave; reset slave all
          undo(outcome) -> sql «secret target»: stop slave; reset slave all
        poll Follow/Replica has caught up @main.star:118:5: query «secret target»: show slave status every=1s timeout=2h
          Check -> true
        leave Follow
        branches Verify ["a", "b"] concurrency=4 Hold
        expect Verify/a/Rows agree @main.star:122:5: query «secret target»: select checksum hint="see the differing keys in the outcome"
        expect Verify/b/Rows agree @main.star:122:5: query «secret target»: select checksum hint="see the differing keys in the outcome"
        person Cut over payments now? @main.star:31:5: {"ask":"approve","by":"storage-oncall","count":1,"not_starter":true,"show":{"tables":2,"largest":5},"expires":null}
        enter Write pause {"scope":"window","budget":60000,"reserve":15000,"on_over":"undo"}
        step Write pause/Close the source to writes @main.star:125:5: sql «secret source»: set statement lock_wait_timeout = 5 for set global read_only = 1 ensures=[query «secret source»: select @@global.read_only = 1] undo=Asked repeatable=True
          undo(None) -> sql «secret source»: set global read_only = 0
          undo(outcome) -> sql «secret source»: set global read_only = 0
        step Write pause/Read the end position @main.star:132:11: query «secret source»: show master status
        poll Write pause/Target has applied it @main.star:133:5: query «secret target»: select master_pos_wait(?, ?, 1) >= 0 every=50ms timeout=20s
        branches Write pause/Last look ["a", "b"] concurrency=8 Hold
        expect Write pause/Last look/a/Rows agree @main.star:122:5: query «secret target»: select checksum hint="see the differing keys in the outcome"
        expect Write pause/Last look/b/Rows agree @main.star:122:5: query «secret target»: select checksum hint="see the differing keys in the outcome"
        step Write pause/Stop replication @main.star:136:5: sql «secret target»: stop slave undo=Asked repeatable=True
          undo(None) -> sql «secret target»: start slave
          undo(outcome) -> sql «secret target»: start slave
        commit point Write pause/The service writes to the new platform
        step Write pause/Open the target @main.star:138:5: sql «secret target»: set global read_only = 0 ensures=[query «secret target»: select @@global.read_only = 0] repeatable=True
        step Write pause/Point the service at it @main.star:140:5: write_file /run/endpoint
        leave Write pause
        enter Observe {"scope":"phase"}
        enter Observe/Soak {"scope":"phase"}
          guard "Errors stay low": http GET http://127.0.0.1:9100/errors must be below 0.01, every 5s, 2 failures tolerated, else it holds @main.star:144:9
        wait Observe/Soak/Ten quiet minutes @main.star:149:5: 10m
        leave Observe/Soak
        person Observe/Tell the owners of payments @main.star:146:5: {"ask":"manual","instructions":"Post the receipt in the service's channel."}
        leave Observe
        Ok(None)
    "#]].assert_eq(&run);
}

#[test]
fn a_plain_value_where_a_secret_belongs_is_refused_and_not_repeated() {
    let runbook = support::load(&example()).unwrap_or_else(|wrong| panic!("{wrong}"));
    let fake = support::Fake::new(Arc::clone(&runbook));
    let params = ["service", "source", "target", "endpoint_file"].map(|name| (name.to_owned(), Value::str("hunter2")));
    let Err(error) = runbook.main(&fake, &params) else { panic!("it must be refused") };
    expect![[
        r#"Program("error: source: a secret is needed, given by reference: env:NAME, file:PATH or cmd:COMMAND")"#
    ]]
    .assert_eq(&format!("{error:?}"));
}
