//! Every type of column, with the values that bit others, copied and then changed through the log.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use mysql_async::prelude::Queryable;
use piton_move::Mover;
use support::{catch_up, servers};

/// Each row of the matrix: a column's declaration and values for it. All values are written twice: before the copy, and
/// again (as updates and inserts) while the log is followed.
const TYPES: &[(&str, &[&str])] = &[
    ("tinyint", &["-128", "127", "0", "null"]),
    ("tinyint unsigned", &["255"]),
    ("smallint", &["-32768", "32767"]),
    ("smallint unsigned zerofill", &["65535", "7"]),
    ("mediumint", &["-8388608", "8388607"]),
    ("mediumint unsigned", &["16777215"]),
    ("int", &["-2147483648", "2147483647"]),
    ("int unsigned", &["4294967295"]),
    ("bigint", &["-9223372036854775808", "9223372036854775807"]),
    ("bigint unsigned", &["18446744073709551615"]),
    ("bool", &["true"]),
    ("decimal(30,10)", &["-12345678901234567890.0123456789", "0", "0.0000000001", "99999999999999999999.9999999999"]),
    ("decimal(65,30)", &["-0.000000000000000000000000000001", "12345678901234567890123456789012345.5"]),
    ("decimal(5,0)", &["-99999", "3"]),
    ("decimal(9,9)", &["0.123456789", "-0.000000001"]),
    ("float", &["0.1", "-0e0", "1.17549e-38", "3.40282e38", "16777217"]),
    ("float(7,2)", &["12345.67"]),
    ("double", &["0.1", "-0e0", "4.9e-324", "1.7976931348623157e308", "1e300"]),
    ("double(10,3)", &["-1234.567"]),
    ("bit(1)", &["b'1'"]),
    ("bit(8)", &["b'10000001'"]),
    ("bit(13)", &["b'1000000000001'"]),
    ("bit(64)", &["18446744073709551615", "0"]),
    ("date", &["'2026-02-28'", "'0000-00-00'", "'2026-00-00'", "'2026-02-00'", "'9999-12-31'", "'0001-01-01'"]),
    ("datetime", &["'2026-11-21 20:52:51'", "'0000-00-00 00:00:00'", "'2026-00-01 00:00:00'"]),
    ("datetime(6)", &["'2026-11-21 20:52:51.000001'", "'9999-12-31 23:59:59.999999'"]),
    ("datetime(3)", &["'2026-11-21 20:52:51.120'"]),
    ("datetime(1)", &["'2026-11-21 20:52:51.1'"]),
    (
        "timestamp null",
        &["'2026-03-29 02:30:00'", "'0000-00-00 00:00:00'", "'1970-01-01 00:00:01'", "'2038-01-19 03:14:07'"],
    ),
    ("timestamp(6) null", &["'2026-10-25 01:30:00.123456'", "'2026-10-25 02:30:00'"]),
    ("time", &["'-838:59:59'", "'838:59:59'", "'00:00:00'", "'-00:00:01'"]),
    ("time(6)", &["'-838:59:59.999999'", "'25:00:00.5'", "'-00:00:00.000001'"]),
    ("time(2)", &["'-00:00:01.10'"]),
    ("year", &["1901", "2155", "'0000'", "2026"]),
    ("char(10) character set latin1", &["'a'", "''", "'trailing  '", "0xff80"]),
    ("char(10)", &["'ä😀'", "'NULL'"]),
    ("char(200)", &["repeat('ü', 200)"]),
    ("varchar(20)", &["'a '", "''", "'NULL'", "'😀'", "'back\\\\slash''quote'", "'line\\nfeed\\0zero'"]),
    ("varchar(300)", &["repeat('x', 300)"]),
    ("varchar(20) character set latin1", &["0xe4fc80ff"]),
    ("varchar(20) character set gbk", &["0xbf5c", "0xb0a1"]),
    ("varchar(20) character set utf16", &["'aä😀'"]),
    ("varchar(20) character set ucs2", &["'aä'"]),
    ("varchar(20) collate utf8mb4_bin", &["'A '"]),
    ("tinytext", &["'x'", "''"]),
    ("text", &["repeat('long ', 5000)"]),
    ("mediumtext character set latin1", &["repeat(0xff, 70000)"]),
    ("longtext", &["'😀'"]),
    ("binary(8)", &["0x0100", "0x00", "''", "0x2020"]),
    ("binary(255)", &["0x0100"]),
    ("varbinary(20)", &["0x010000", "0x5c27220a1a", "''"]),
    ("tinyblob", &["0x00"]),
    ("blob", &["repeat(0x00, 60000)"]),
    ("mediumblob", &["repeat(0x5c27, 40000)"]),
    ("longblob", &["0xdeadbeef"]),
    ("enum('a','B','ü','')", &["'a'", "'b'", "'ü'", "0", "''"]),
    ("set('a','b','c')", &["'a,c'", "''", "7"]),
    ("json", &["'{\"n\": 1.0, \"big\": 12345678901234567890}'", "'null'", "'[1, \"ä\"]'"]),
    (
        "uuid",
        &[
            "'00000000-0000-0000-0000-000000000000'",
            "'123e4567-e89b-12d3-a456-426655440000'",
            "'9b2e7d52-3f53-4b6e-8a8d-0242ac120002'",
            "'ffffffff-ffff-ffff-ffff-ffffffffffff'",
            "'017f22e2-79b0-7cc3-98c4-dc0c0c07398f'",
            "'1ec9414c-232a-6b00-b3c8-9e6bdeced846'",
            "'12345678-1234-1234-1234-123456789abc'",
            "'320c3d4d-cc00-875b-8ec9-32d5f69181c0'",
        ],
    ),
    ("inet6", &["'2001:db8::ff00:42:8329'", "'::'", "'::1'", "'::ffff:192.0.2.1'", "'::192.0.2.1'", "'fe80::1:0:0:1'"]),
    ("inet4", &["'192.0.2.1'", "'0.0.0.0'"]),
    ("point", &["point(1, -2.5)"]),
    ("geometry", &["st_geomfromtext('polygon((0 0,1 0,1 1,0 0))', 4326)"]),
];

const MODE: &str =
    "set names utf8mb4; set time_zone = '+00:00'; set sql_mode = 'NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES';";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_type_arrives_as_it_is_by_the_copy_and_by_the_log() {
    let Some(servers) = servers() else { return };
    let tables: Vec<String> = (0..TYPES.len()).map(|number| format!("t{number}")).collect();
    let mut definitions = String::new();
    let (mut before, mut after) = (MODE.to_owned(), MODE.to_owned());
    for (table, (kind, values)) in tables.iter().zip(TYPES) {
        definitions.push_str(&format!(
            "create table {table} (id int primary key, v {kind}, hidden int invisible default 5,
             twice int as (id * 2) stored, thrice int as (id * 3) virtual);"
        ));
        for (id, value) in values.iter().chain(&["null"]).enumerate() {
            before.push_str(&format!("insert into {table} (id, v) values ({id}, {value});"));
            after.push_str(&format!(
                "insert into {table} (id, v) values (100 + {id}, {value});
                 insert into {table} (id, v, hidden) values (200 + {id}, null, {id});
                 update {table} set v = {value} where id = 200 + {id};"
            ));
        }
    }
    servers.both("types", &definitions);
    servers.on_source("types", &before);
    let names: Vec<&str> = tables.iter().map(String::as_str).collect();
    let mut mover = Mover::start(servers.config("types", &names)).await.unwrap();
    mover.wait_copied().await.unwrap();
    assert_eq!(servers.differences("types"), Vec::<String>::new(), "by the copy");
    servers.on_source("types", &after);
    catch_up(&mut mover).await;
    let verified = mover.verify().await.unwrap();
    assert_eq!(verified.differences, []);
    mover.stop().await;
    assert_eq!(servers.differences("types"), Vec::<String>::new(), "by the log");
}

/// Key types, each a table whose key is of that type: its values, then changes to them.
const KEYS: &[(&str, &[&str], &str)] = &[
    ("k bigint unsigned primary key", &["0", "18446744073709551615", "7"], "18446744073709551614"),
    ("k varchar(20) primary key", &["'a'", "'b '", "'ü'", "''"], "'A'"),
    ("k varchar(20) collate utf8mb4_bin primary key", &["'a'", "'A'", "'ü'"], "'Ä'"),
    ("k varchar(20) character set latin1 primary key", &["'a'", "'z'", "0xfc"], "0xe9"),
    ("k char(5) character set gbk primary key", &["0xb0a1", "'x'"], "0xbf5c"),
    ("k binary(4) primary key", &["0x01", "0x0100ff", "0x00"], "0x02"),
    ("k varbinary(10) primary key", &["0x01", "0x0100", "0x5c27"], "0x010000"),
    ("k enum('x','y','z') primary key", &["'x'", "'z'"], "'y'"),
    ("k set('x','y','z') primary key", &["'x'", "'x,z'"], "'y'"),
    ("k datetime(3) primary key", &["'2026-01-01 00:00:00.001'", "'0000-00-00 00:00:00'"], "'2026-01-01 00:00:00.002'"),
    ("k timestamp primary key", &["'2026-03-29 02:30:00'", "'2026-03-29 03:30:00'"], "'2026-10-25 02:30:00'"),
    ("k time(2) primary key", &["'-00:00:01.10'", "'838:59:59'"], "'-838:59:59'"),
    ("k date primary key", &["'2026-01-01'", "'2026-00-00'"], "'0000-00-00'"),
    ("k year primary key", &["1999", "'0000'"], "2000"),
    ("k decimal(20,4) primary key", &["-1.5", "0", "1.5000"], "-1.4999"),
    ("k bit(10) primary key", &["b'1'", "b'1000000000'"], "b'11'"),
    (
        "k uuid primary key",
        &["'123e4567-e89b-12d3-a456-426655440000'", "'9b2e7d52-3f53-4b6e-8a8d-0242ac120002'"],
        "uuid()",
    ),
    ("k inet6 primary key", &["'::1'", "'2001:db8::1'"], "'::2'"),
    ("k int, l varchar(5), m date, primary key (l, m, k)", &["1", "2"], "3"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_type_of_key_is_copied_in_chunks_of_one_row_and_followed() {
    let Some(servers) = servers() else { return };
    let mut definitions = String::new();
    let (mut before, mut after) = (MODE.to_owned(), MODE.to_owned());
    let tables: Vec<String> = (0..KEYS.len()).map(|number| format!("k{number}")).collect();
    for (table, (key, values, changed)) in tables.iter().zip(KEYS) {
        let composite = key.contains("l varchar");
        let extra = if composite { ", l, m" } else { "" };
        definitions.push_str(&format!("create table {table} ({key}, n int, u int, unique key (u));"));
        for (number, value) in values.iter().enumerate() {
            let more =
                if composite { format!(", 'l{}', '2026-01-0{}'", number % 2, number + 1) } else { String::new() };
            before.push_str(&format!("insert into {table} (k, n, u{extra}) values ({value}, 1, {number}{more});"));
            after.push_str(&format!("update {table} set n = 2 where k = {value};"));
        }
        let first = values[0];
        after.push_str(&format!(
            "update {table} set k = {changed}, n = 3 where k = {first};
             update {table} set u = 77 where u = 0;
             begin; update {table} set u = 99 where u = 1; update {table} set u = 1 where u = 77;
             update {table} set u = 77 where u = 99; commit;"
        ));
    }
    servers.both("key_types", &definitions);
    servers.on_source("key_types", &before);
    let names: Vec<&str> = tables.iter().map(String::as_str).collect();
    let mut config = servers.config("key_types", &names);
    config.limits.chunk_rows = 1;
    let mut mover = Mover::start(config).await.unwrap();
    mover.wait_copied().await.unwrap();
    assert_eq!(servers.differences("key_types"), Vec::<String>::new(), "by the copy");
    servers.on_source("key_types", &after);
    catch_up(&mut mover).await;
    assert_eq!(mover.verify().await.unwrap().differences, []);
    mover.stop().await;
    assert_eq!(servers.differences("key_types"), Vec::<String>::new(), "by the log");
}

/// No literal gives a negative zero: an application sends it as a parameter.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_negative_zero_arrives_by_the_copy_and_by_the_log() {
    let Some(servers) = servers() else { return };
    servers.both("zeros", "create table t (id int primary key, f float, d double)");
    let mut conn = servers.source_conn("zeros").await;
    let insert = "insert into t values (?, ?, ?)";
    conn.exec_drop(insert, (1, -0.0_f32, -0.0_f64)).await.unwrap();
    let mut mover = Mover::start(servers.config("zeros", &["t"])).await.unwrap();
    mover.wait_copied().await.unwrap();
    assert_eq!(servers.differences("zeros"), Vec::<String>::new(), "by the copy");
    conn.exec_drop(insert, (2, -0.0_f32, -0.0_f64)).await.unwrap();
    catch_up(&mut mover).await;
    assert_eq!(servers.differences("zeros"), Vec::<String>::new(), "by the log");
    mover.stop().await;
}
