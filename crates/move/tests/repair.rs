//! Differences that somebody made on the target: seen, told row by row, repaired and logged; and keys that are dirty.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use piton_move::{Mover, TableName, audit};
use support::{catch_up, servers};

/// A difference of each kind: its name, what somebody does on the target, the key and the columns that are told.
const PLANTED: &[(&str, &str, &str, &[&str])] = &[
    ("missing", "delete from t where id = 3", "(\"3\")", &[]),
    ("stray", "insert into t values (77, 7, null, 0)", "(\"77\")", &[]),
    ("changed", "update t set n = 5 where id = 1", "(\"1\")", &["n: \"1\" / \"5\""]),
    ("null", "update t set v = null where id = 2", "(\"2\")", &["v: \"\" / NULL"]),
    ("float", "update t set f = 0.5000000000000001 where id = 4", "(\"4\")", &["f: \"0.5\" / \"0.5000000000000001\""]),
    ("spaces", "update t set v = 'x ' where id = 4", "(\"4\")", &["v: \"x\" / \"x \""]),
];

const ROWS: &str = "insert into t values (1, 1, 'NULL', 0), (2, 2, '', 0), (3, 3, null, 0), (4, 4, 'x', 0.5)";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_difference_of_each_kind_is_seen_by_both_comparisons_and_repaired() {
    let Some(servers) = servers() else { return };
    servers.both("planted", "create table t (id int primary key, n int unique, v varchar(9), f double)");
    servers.on_source("planted", ROWS);
    let mut mover = Mover::start(servers.config("planted", &["t"])).await.unwrap();
    catch_up(&mut mover).await;
    let urls = (servers.source.url(""), servers.target.url(""));
    let tables = [TableName::new("planted", "t")];
    for (case, planted, key, columns) in PLANTED {
        servers.target.sql(&format!("use planted; {planted}")).unwrap();
        let audited = audit::audit(&urls.0, &urls.1, &tables, None).await.unwrap();
        assert!(audited[0].difference.is_some(), "{case}: the audit sees nothing");
        let found = mover.verify().await.unwrap().differences;
        assert_eq!(found.len(), 1, "{case}: {found:?}");
        assert_eq!((found[0].key.as_str(), &found[0].columns[..]), (*key, &columns.map_to_strings()[..]), "{case}");
        assert_eq!(mover.repair(&found).await.unwrap(), 1, "{case}");
        assert_eq!(mover.verify().await.unwrap().differences, [], "{case}");
        assert_eq!(audit::audit(&urls.0, &urls.1, &tables, None).await.unwrap()[0].difference, None, "{case}");
    }
    assert_eq!(mover.look().repaired_rows, PLANTED.len() as u64);
    let logged = "select group_concat(row_key order by id) from piton_move.defects where name = 'planted'";
    assert_eq!(servers.target.sql(logged).unwrap(), "(\"3\"),(\"77\"),(\"1\"),(\"2\"),(\"4\"),(\"4\")\n");
    mover.stop().await;
}

trait Strings {
    fn map_to_strings(&self) -> Vec<String>;
}

impl Strings for &[&str] {
    fn map_to_strings(&self) -> Vec<String> {
        self.iter().map(|text| (*text).to_owned()).collect()
    }
}

/// What two columns hold together reads alike here on both sides, or would without each value's length.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_that_read_alike_side_by_side_are_told_apart() {
    let Some(servers) = servers() else { return };
    servers.both("alike", "create table t (id int primary key, a varchar(9), b varchar(9), c char(9), d binary(3))");
    let source =
        "(1, 'a', '', 'x', 'y'), (2, null, 'N', 'x', 'y'), (3, 'a,1,b', 'c', 'x', 'y'), (4, 'q', 'q', 'p', 'r')";
    servers.on_source("alike", &format!("insert into t values {source}"));
    let mut mover = Mover::start(servers.config("alike", &["t"])).await.unwrap();
    catch_up(&mut mover).await;
    assert_eq!(mover.verify().await.unwrap().differences, []);
    let rows = "(1, '', 'a', 'x', 'y'), (2, 'N', null, 'x', 'y'), (3, 'a', 'b,1,c', 'x', 'y'), (4, 'q', 'q', 'p', 'r')";
    servers.target.sql(&format!("use alike; delete from t; insert into t values {rows}")).unwrap();
    let found = mover.verify().await.unwrap().differences;
    assert_eq!(found.iter().map(|one| one.key.as_str()).collect::<Vec<_>>(), ["(\"1\")", "(\"2\")", "(\"3\")"]);
    mover.stop().await;
}

/// A row that somebody put in the way of another's unique value: both are repaired in one transaction.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_stand_in_each_others_way_are_repaired_together() {
    let Some(servers) = servers() else { return };
    servers.both("crossed", "create table t (id int primary key, u int unique)");
    servers.on_source("crossed", "insert into t values (1, 10), (2, 20), (3, 30)");
    let mut mover = Mover::start(servers.config("crossed", &["t"])).await.unwrap();
    catch_up(&mut mover).await;
    servers.target.sql("use crossed; delete from t; insert into t values (1, 20), (2, 10), (9, 30)").unwrap();
    let found = mover.verify().await.unwrap().differences;
    assert_eq!(found.len(), 4, "{found:?}");
    assert_eq!(mover.repair(&found).await.unwrap(), 4);
    assert_eq!(mover.verify().await.unwrap().differences, []);
    mover.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changed_keys_become_clean_again_by_themselves_and_one_that_differs_stays_dirty() {
    let Some(servers) = servers() else { return };
    servers.both("dirty", "create table t (id int primary key, n int)");
    servers.on_source("dirty", "insert into t select seq, seq from seq_1_to_3000");
    let mut mover = Mover::start(servers.config("dirty", &["t"])).await.unwrap();
    assert_eq!(mover.dirty().tables, 1, "nothing was compared yet");
    catch_up(&mut mover).await;
    clean(&mover).await;
    servers.on_source("dirty", "update t set n = n + 1 where id <= 1500");
    catch_up(&mut mover).await;
    clean(&mover).await;
    // Nobody told the mover of this row; a change of the source's makes it look.
    servers.target.sql("update dirty.t set n = -1 where id in (7, 8)").unwrap();
    servers.on_source("dirty", "update t set n = 100 where id = 8; insert into t values (5000, 0)");
    catch_up(&mut mover).await;
    let verified = mover.verify_dirty().await.unwrap();
    assert_eq!(verified.differences, [], "the change itself mended row 8");
    clean(&mover).await;
    servers.target.sql("delete from dirty.t where id = 9").unwrap();
    servers.on_source("dirty", "begin; update t set n = 9000 where id = 10; delete from t where id = 11; commit");
    catch_up(&mut mover).await;
    servers.target.sql("update dirty.t set n = -2 where id = 10").unwrap();
    servers.on_source("dirty", "insert into t values (11, 0)");
    catch_up(&mut mover).await;
    clean_but(&mover).await;
    mover.stop().await;
}

/// Until the mover itself found everything equal.
async fn clean(mover: &Mover) {
    while mover.dirty() != piton_move::Dirty::default() {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

/// Row 10 may have been looked at before it was spoilt; then nothing is dirty and a whole verification must see it.
async fn clean_but(mover: &Mover) {
    for _ in 0..50 {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let dirty = mover.dirty();
    assert!(dirty.tables == 0 && dirty.keys <= 1, "{dirty:?}");
    assert_eq!(mover.differences().len(), dirty.keys, "a dirty key of a quiet source is a difference");
}
