//! TLS to real servers: what each mode of a URL checks, and that none falls back to a plain transport.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use piton_core::Value;
use piton_testkit::available;
use piton_testkit::mariadb::{self, MariaDb};
use piton_testkit::postgres::Postgres;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use support::{World, mariadb, postgres};

/// An authority, and a certificate of it for the name `db.test`, as files that any account may read but the key.
fn certificates(folder: &Path) -> bool {
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755)).unwrap();
    let openssl = |words: &str| {
        let done = Command::new("openssl").args(words.split_whitespace()).current_dir(folder).output();
        done.is_ok_and(|done| done.status.success())
    };
    std::fs::write(folder.join("names"), "subjectAltName = DNS:db.test\n").unwrap();
    openssl("req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=authority -keyout ca.key -out ca.pem")
        && openssl("req -newkey rsa:2048 -nodes -subj /CN=db.test -keyout server.key -out server.csr")
        && openssl(
            "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names -out server.pem",
        )
        && Command::new("chown").args(["-R", "postgres"]).arg(folder).status().is_ok()
}

/// What each mode gives against a server that offers a certificate for another name than the one in the URL.
fn check(world: &World, url: &str, encrypted: &str) {
    let ca = world.folder.path().join("ca.pem").display().to_string();
    for (query, works) in [
        ("tls=require".to_owned(), true),
        (format!("tls=verify-ca&ssl-ca={ca}"), true),
        (format!("sslmode=verify-full&sslrootcert={ca}"), false),
        (format!("sslmode=verify-full&sslrootcert={ca}&tls-name=db.test"), true),
        ("tls=verify-ca".to_owned(), false),
        ("ssl-mode=disabled".to_owned(), true),
    ] {
        let told = world.query(&format!("{url}?{query}"), encrypted, &[]);
        assert_eq!(told.is_ok(), works, "{query}: {told:?}");
        if let Ok(rows) = told {
            assert_eq!(rows[0][0], Value::Bool(!query.contains("disabled")), "{query}");
        }
    }
}

#[test]
fn postgresql_is_encrypted_and_checked_as_the_url_says() {
    let Some(plain) = postgres() else { return };
    let world = World::new();
    assert!(certificates(world.folder.path()), "openssl makes certificates");
    let file = |name: &str| world.folder.path().join(name).display().to_string();
    let (certificate, key) =
        (format!("ssl_cert_file={}", file("server.pem")), format!("ssl_key_file={}", file("server.key")));
    let Some(server) = available(Postgres::start(&["ssl=on", &certificate, &key])) else { return };
    let encrypted = "select ssl from pg_stat_ssl where pid = pg_backend_pid()";
    check(&world, &server.url("postgres"), encrypted);
    // A write, a timeout and its end go the same way.
    let url = format!("{}?sslmode=require", server.url("postgres"));
    world.sql(&url, "create table t (a int)").unwrap();
    let slow = support::query(&url, "select pg_sleep(60)", &[]);
    assert!(world.perform(&slow, &support::within(world.context("slow", 1), 200)).is_err());
    let refused = world.query(&format!("{}?tls=require", plain.url("postgres")), "select 1", &[]);
    assert!(refused.is_err(), "a server without TLS is not spoken to in plain");
}

#[test]
fn mariadb_is_encrypted_and_checked_as_the_url_says() {
    let Some(plain) = mariadb() else { return };
    let world = World::new();
    assert!(certificates(world.folder.path()), "openssl makes certificates");
    let file = |name: &str| world.folder.path().join(name).display().to_string();
    let extra = vec![format!("--ssl-cert={}", file("server.pem")), format!("--ssl-key={}", file("server.key"))];
    let Some(server) = available(MariaDb::start(mariadb::Options { extra, ..mariadb::Options::default() })) else {
        return;
    };
    let encrypted =
        "select variable_value <> '' from information_schema.session_status where variable_name = 'ssl_cipher'";
    let world_of_bools = |url: &str| world.query(url, encrypted, &[]).map(|rows| rows[0][0] == Value::Int(1));
    let ca = file("ca.pem");
    for (query, told) in [
        ("tls=require".to_owned(), Some(true)),
        (format!("tls=verify-full&ssl-ca={ca}&tls-name=db.test"), Some(true)),
        (format!("tls=verify-full&ssl-ca={ca}"), None),
        (format!("tls=verify-ca&ssl-ca={ca}"), None),
        ("tls=verify-full".to_owned(), None),
        ("tls=disable".to_owned(), Some(false)),
    ] {
        assert_eq!(world_of_bools(&format!("{}?{query}", server.url(""))).ok(), told, "{query}");
    }
    assert!(world.query(&format!("{}?tls=require", plain.url("")), "select 1", &[]).is_err());
}
