//! Who comes in and how: TLS on both sides, `caching_sha2_password`, credentials from a file, PROXY protocol, many clients.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "what fails here fails its test")]

mod support;

use std::fs;

use mysql_async::prelude::Queryable;
use piton_gate::{BackendTls, ClientTls, Credentials, ProxyProtocol};
use piton_testkit::mariadb::Options;
use support::{PASSWORD, World, block_on};

#[test]
fn a_client_under_tls_sees_what_one_in_plain_text_sees() {
    let Some(world) = World::start(1) else { return };
    block_on(async {
        let mut conn = world.encrypted("shop").await;
        let text = "z".repeat(3_000_000);
        let back: Option<String> = conn.exec_first("select concat(?, 'a')", (&text,)).await.unwrap();
        assert_eq!(back.map(|back| back.len()), Some(3_000_001));
    });
}

/// `$A$005$`, a salt of twenty characters and the hash of `secret`, as MySQL stores it; in hexadecimal digits.
const STORED: &str = "24412430303524303132333435363738396162636465666768696a447a785739547671597a576c75492e633054454b476976315746327a7074567363696743326450654b5032";

#[test]
fn an_account_with_a_sha2_hash_comes_in_in_full_under_tls_and_then_fast() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("accounts.json");
    fs::write(&path, format!(r#"[{{"user": "modern", "sha2": "{STORED}"}}]"#)).unwrap();
    let Some(world) = World::start_with(1, |config| config.credentials = Credentials::read(&path).unwrap()) else {
        return;
    };
    // The backend knows the account by another plugin: the gate has the password and speaks both.
    world.servers[0].sql(&format!("set password for app@'%' = password('{PASSWORD}')")).unwrap();
    world.servers[0].sql("rename user app@'%' to modern@'%'").unwrap();
    let enter = |password: &str, option: &str| {
        let output = world.cli_as("modern", password, &[option], "select 'in'").unwrap();
        output.status.success() || !String::from_utf8_lossy(&output.stderr).contains("1045")
    };
    assert!(!enter(PASSWORD, "--skip-ssl"), "the password would have travelled in plain text");
    assert!(!enter("wrong", "--ssl"));
    assert!(enter(PASSWORD, "--ssl"));
    // Proven once, it is known: the fast reply suffices, in plain text too.
    assert!(enter(PASSWORD, "--skip-ssl"));
    assert!(!enter("wrong", "--skip-ssl"));
}

#[test]
fn an_account_of_ed25519_comes_in_with_its_password_from_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("accounts.json");
    fs::write(&path, r#"[{"user": "signer", "password": "a long password"}]"#).unwrap();
    let Some(mut world) = World::start(1) else { return };
    world.servers[0]
        .sql(
            "install soname 'auth_ed25519';
             create user signer@'%' identified via ed25519 using password('a long password'); grant all on shop.* to signer@'%';
             create user other@'%' identified via ed25519 using password('x')",
        )
        .unwrap();
    world.config.credentials = Credentials::read(&path).unwrap();
    world.restart_gate();
    let enter = |password: &str| {
        let output = world.cli_as("signer", password, &[], "select current_user()").unwrap();
        assert_eq!(output.status.success(), output.stderr.is_empty());
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
    };
    assert_eq!(enter("a long password"), "current_user()\nsigner@%\n");
    assert!(enter("another").contains("Access denied"));
    let unchecked = world.gate().status().unchecked;
    assert!(unchecked.contains(&"other (ed25519)".to_owned()), "{unchecked:?}");
    assert!(!unchecked.iter().any(|account| account.starts_with("signer")), "{unchecked:?}");
}

#[test]
fn a_backend_is_reached_under_tls_and_hears_the_clients_address() {
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let (certificate, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    fs::write(&certificate, made.cert.pem()).unwrap();
    fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let extra = vec![
        format!("--ssl-cert={}", certificate.display()),
        format!("--ssl-key={}", key.display()),
        "--proxy-protocol-networks=*".to_owned(),
    ];
    let Some(world) = World::start_on(vec![Options { extra, ..Options::default() }], |config| {
        config.backends[0].tls = BackendTls::Verified(certificate.clone());
        config.backends[0].proxy_protocol = Some(ProxyProtocol::V2);
        config.tls = ClientTls::Files { certificates: certificate.clone(), key: key.clone() };
        config.workers = 1;
    }) else {
        return;
    };
    world.servers[0]
        .sql("create user seen@'127.0.0.1' identified by 'x'; grant all on *.* to seen@'127.0.0.1'")
        .unwrap();
    block_on(async {
        let mut conn = world.encrypted("shop").await;
        let (_, cipher): (String, String) = conn.query_first("show status like 'Ssl_cipher'").await.unwrap().unwrap();
        assert!(!cipher.is_empty());
        let host: String = conn
            .query_first("select host from information_schema.processlist where id = connection_id()")
            .await
            .unwrap()
            .unwrap();
        assert!(host.starts_with("127.0.0.1:"), "{host}");
    });
}

#[test]
fn accounts_can_come_from_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("accounts.json");
    fs::write(&path, format!(r#"[{{"user": "filed", "password": "{PASSWORD}"}}]"#)).unwrap();
    let Some(world) = World::start_with(1, |config| {
        config.credentials = Credentials::read(&path).unwrap();
        config.account = None;
    }) else {
        return;
    };
    world.servers[0]
        .sql(&format!("create user filed@'%' identified by '{PASSWORD}'; grant all on *.* to filed@'%'"))
        .unwrap();
    assert!(world.cli_as("filed", PASSWORD, &[], "select 1").unwrap().status.success());
    assert!(!world.cli_as("app", PASSWORD, &[], "select 1").unwrap().status.success());
}

#[test]
fn a_user_is_changed_on_the_same_connection() {
    let Some(world) = World::start_with(1, |config| config.credentials.add_password("second", "other")) else {
        return;
    };
    world.servers[0].sql("create user second@'%' identified by 'other'; grant all on *.* to second@'%'").unwrap();
    block_on(async {
        let mut conn = world.client("shop").await;
        conn.query_drop("set @a = 1").await.unwrap();
        let options = mysql_async::ChangeUserOpts::default()
            .with_user(Some("second".to_owned()))
            .with_pass(Some("other".to_owned()))
            .with_db_name(Some("mysql".to_owned()));
        conn.change_user(options).await.unwrap();
        let (user, database, gone): (String, String, Option<u8>) =
            conn.query_first("select current_user(), database(), @a").await.unwrap().unwrap();
        assert_eq!((user.as_str(), database.as_str(), gone), ("second@%", "mysql", None));
    });
}

/// Enough to need more than one of anything that is shared, few enough for a machine that does other things as well.
const CLIENTS: usize = 300;

#[test]
fn hundreds_of_clients_are_held_and_released_together() {
    let options = Options { extra: vec!["--max-connections=500".to_owned()], ..Options::default() };
    let Some(world) = World::start_on(vec![options], |_| {}) else { return };
    block_on(async {
        let mut clients = Vec::new();
        for _ in 0..CLIENTS {
            clients.push(world.client("shop").await);
        }
        let long = std::time::Duration::from_secs(60);
        let hold = piton_gate::HoldOptions { drain: long, deadline: long * 2, attempt: None };
        assert!(world.gate().hold(&hold).unwrap().drained);
        let asked: Vec<_> = clients
            .into_iter()
            .map(|mut client| tokio::spawn(async move { client.query_first::<u8, _>("select 7").await.unwrap() }))
            .collect();
        let began = std::time::Instant::now();
        while world.gate().status().waiting < CLIENTS {
            assert!(began.elapsed() < long, "not all wait");
            tokio::task::yield_now().await;
        }
        world.gate().release().unwrap();
        for answer in asked {
            assert_eq!(answer.await.unwrap(), Some(7));
        }
    });
}

#[test]
fn what_a_backend_says_against_a_login_reaches_the_client() {
    let Some(world) = World::start_with(1, |config| config.credentials.add_password("ghost", PASSWORD)) else {
        return;
    };
    // Known to the gate, but to no backend.
    let denied = world.cli_as("ghost", PASSWORD, &[], "select 1").unwrap();
    let text = String::from_utf8_lossy(&denied.stderr).into_owned();
    assert!(text.contains("1045") && text.contains("Access denied for user 'ghost'@'127.0.0.1'"), "{text}");
}
