//! `piton move` and its pack as a person uses them: the real binary, real servers, a real gate, a service that writes.
//!
//! Owns one move there and back by hand, and one by a runbook. Without the servers' package it says so and is skipped.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test's own trouble is a failed test")]

use piton_testkit::SetupError;
use piton_testkit::gate::Gate;
use piton_testkit::ledger::{Account, Settings, Stats, prepare, reconcile, serve};
use piton_testkit::mariadb::{MariaDb, Options};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

const PASSWORD: &str = "secret of the service";
const TABLES: [&str; 2] = ["shop.ledger_accounts", "shop.ledger_entries"];

struct World {
    old: MariaDb,
    new: MariaDb,
    gate: Gate,
    dir: tempfile::TempDir,
}

/// The ledger service, writing through the gate.
struct Service {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Stats>,
}

impl Service {
    fn stop(self) -> Stats {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.join().unwrap()
    }
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Standard output beside what was said on standard error.
fn parsed(answer: &str) -> Value {
    let json = answer.find('{').zip(answer.rfind('}')).map(|(from, to)| &answer[from..=to]);
    serde_json::from_str(json.unwrap_or_default()).unwrap_or_else(|error| panic!("{error}: {answer}"))
}

fn server(server_id: u32) -> Option<MariaDb> {
    match MariaDb::start(Options { server_id, ..Options::default() }) {
        Err(SetupError::Missing { .. }) if std::env::var_os("PITON_REQUIRE_SERVERS").is_none() => {
            println!("SKIPPED: no MariaDB server here");
            None
        }
        server => Some(server.unwrap()),
    }
}

fn account() -> Account {
    Account { user: "app".to_owned(), password: PASSWORD.to_owned(), schema: "shop".to_owned() }
}

fn gate(old: &MariaDb, new: &MariaDb) -> Gate {
    let (one, other) = (format!("old={}", old.address()), format!("new={}", new.address()));
    let words = ["--backend", &one, "--backend", &other, "--account", "gate", "--register", "shop"];
    Gate::start(Path::new(env!("CARGO_BIN_EXE_piton")), &words, PASSWORD).unwrap()
}

impl World {
    fn start() -> Option<Self> {
        let (old, new) = (server(1)?, server(2)?);
        old.sql(&format!("create user app@'%' identified by '{PASSWORD}'; grant all on shop.* to app@'%'")).unwrap();
        for server in [&old, &new] {
            server
                .sql(&format!(
                    "create database shop;
                     create user gate@'%' identified by '{PASSWORD}'; grant select on mysql.* to gate@'%';
                     grant all on piton_move.* to gate@'%';
                     grant binlog admin, read only admin, connection admin, process, create user on *.* to gate@'%'"
                ))
                .unwrap();
        }
        prepare(&old.address(), &account()).unwrap();
        for table in TABLES {
            let shape = old.sql(&format!("show create table {table}")).unwrap().replace("\\n", "\n");
            let create = shape.split_once('\t').unwrap().1;
            new.sql(&format!("set foreign_key_checks = 0; use shop; {create}")).unwrap();
        }
        let dir = tempfile::tempdir().unwrap();
        let gate = gate(&old, &new);
        Some(Self { old, new, gate, dir })
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_piton"));
        command.args(words).current_dir(self.dir.path()).stdin(Stdio::null());
        command.env("PITON_MOVE_OLD", self.old.url("")).env("PITON_MOVE_NEW", self.new.url(""));
        command
    }

    fn ask(&self, words: &[&str], code: i32) -> String {
        let output = self.command(words).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{words:?}: {}", text(&output));
        text(&output)
    }

    /// `piton move`, about all tables.
    fn moves(&self, command: &str, more: &[&str], code: i32) -> String {
        let mut words = vec!["move", command, "--name", "shop"];
        words.extend(TABLES.iter().flat_map(|table| ["--table", table]));
        words.extend(more);
        self.ask(&words, code)
    }

    fn json(&self, command: &str, more: &[&str]) -> Value {
        parsed(&self.moves(command, &[more, &["--json"]].concat(), 0))
    }

    fn service(&self) -> Service {
        let folder = self.folder();
        std::fs::create_dir_all(&folder).unwrap();
        let endpoint_file = self.dir.path().join("endpoint");
        std::fs::write(&endpoint_file, format!("{}\n", self.gate.address())).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let settings =
            Settings { endpoint_file, folder, account: account(), clients: 8, pause: Duration::from_millis(20) };
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || serve(&settings, stopped).unwrap());
        Service { stop, thread }
    }

    fn folder(&self) -> PathBuf {
        self.dir.path().join("ledger")
    }

    /// The service saw no failed write, and all of them are there.
    fn reconciled(&self, server: &MariaDb, stats: &Stats) {
        let found = reconcile(&self.folder(), &server.address(), &account()).unwrap();
        println!("{} writes, the longest gap {} ms", stats.acknowledged, stats.longest_gap_ms);
        assert!(found.is_clean(), "{found:?}");
        assert!(found.acknowledged > 50, "{found:?}");
        let failed = stats.service_errors + stats.refused + stats.lost + stats.indeterminate + stats.connect_failures;
        let failures = std::fs::read_to_string(self.folder().join("errors.jsonl")).unwrap_or_default();
        assert_eq!(failed, 0, "{stats:?}\n{failures}");
    }
}

#[test]
fn a_service_moves_and_comes_back_and_sees_no_error() {
    let Some(world) = World::start() else { return };
    let service = world.service();
    let preflight = world.json("preflight", &[]);
    assert_eq!(preflight["refusals"], serde_json::json!([]));
    assert!(world.ask(&["move", "status", "--name", "shop"], 0).contains("the old side is true (epoch 0)"));
    assert!(world.json("copy", &[])["rows"].as_u64().unwrap() > 0);
    assert!(world.json("copy", &[])["took_ms"].is_u64(), "again is nothing new");
    assert_eq!(world.json("verify", &[])["differences"], serde_json::json!([]));
    let cut = ["--account", "app@%"];
    let made = world.moves("accounts", &cut, 0);
    assert_eq!(made, "app@% made, with ALL PRIVILEGES ON `shop`.*\n");
    let again = world.json("accounts", &cut);
    assert_eq!(
        (&again["accounts"][0]["made"], &again["accounts"][0]["left_out"]),
        (&false.into(), &serde_json::json!([]))
    );
    let locked = world.new.sql("show create user app@'%'").unwrap();
    assert!(locked.contains("ACCOUNT LOCK"), "{locked}");
    // Nothing is decided where nothing could be written down.
    let socket = world.gate.control().display().to_string();
    let early = world.moves("cutover", &["--account", "app@%", "--gate", &socket], 1);
    assert!(early.contains("error[P0047]") && early.contains("prepare the cutover first"), "{early}");
    assert!(world.ask(&[&["move", "prepare", "--name", "shop"], &cut[..]].concat(), 0).contains("prepared"));
    // Slow machines hold longer than the usual deadline; how long it took is printed.
    let with = ["--account", "app@%", "--gate", &socket, "--deadline", "20s", "--drain", "10s"];
    let report = world.json("cutover", &with);
    assert_eq!((&report["outcome"], &report["epoch"]), (&"moved".into(), &1.into()), "{report:#}");
    println!("there: {} ms", report["pause_ms"]);
    assert!(world.ask(&["move", "status", "--name", "shop"], 0).contains("the new side is true (epoch 1)"));
    // What was left behind by nobody is nothing, and an epoch is committed once.
    assert_eq!(world.json("cutover", &with)["outcome"], "moved", "again finds it done");
    let settle = [&["move", "settle", "--name", "shop", "--json"], &cut[..]].concat();
    assert_eq!(parsed(&world.ask(&settle, 0))["outcome"], "moved");
    assert!(world.json("follow", &["--epoch", "2"])["applied_changes"].is_u64());
    let report = world.json("cutover", &[&with[..], &["--epoch", "2"]].concat());
    assert_eq!((&report["outcome"], &report["epoch"]), (&"moved".into(), &2.into()), "{report:#}");
    println!("back: {} ms", report["pause_ms"]);
    let stats = service.stop();
    world.reconciled(&world.old, &stats);
    assert!(world.json("follow", &["--epoch", "3"])["lag_ms"].is_u64());
    assert_eq!(world.json("audit", &["--epoch", "3"])["equal"], true);
}

const BOOK: &str = r#""""Moves a service to another server."""

load("@piton/move.star", "mover", "look", "copy", "verify", "prepare", "accounts", "drill", "cutover", "gates", "follow")

def main(old: secret, new: secret, gate: str, tables: list[str]):
    m = mover("shop", old, new, tables, accounts = ["app@%"], gates = [gate], deadline = duration("20s"), drain = duration("10s"))
    found = phase("Assess", look, m)
    emit("estimated rows", found["estimated_rows"])
    phase("Copy", copy, m)
    phase("Verify", verify, m)
    phase("Accounts", accounts, m)
    phase("Prepare", prepare, m)
    phase("Drill", drill, m, drain = duration("10s"))
    commit_point("The service writes to the new side")
    phase("Cut", cutover, m)
    emit("gates", [gate["last_hold"]["how"] for gate in phase("Gates", gates, m)])
    phase("Way back", follow, m, epoch = 2)
"#;

#[test]
fn a_runbook_moves_the_service_with_the_pack_and_its_receipt_says_so() {
    let Some(world) = World::start() else { return };
    std::fs::write(world.dir.path().join("move.star"), BOOK).unwrap();
    let service = world.service();
    let tables = serde_json::to_string(&TABLES).unwrap();
    let socket = world.gate.control().display().to_string();
    let words = ["--old", "env:PITON_MOVE_OLD", "--new", "env:PITON_MOVE_NEW", "--gate", &socket, "--tables", &tables];
    let plan = world.ask(&[&["plan", "move.star"], &words[..]].concat(), 0);
    assert!(plan.contains("Copy the tables while they change") && plan.contains("Cut over"), "{plan}");
    let told = world.ask(&[&["run", "move.star"], &words[..]].concat(), 0);
    assert!(told.contains("succeeded"), "{told}");
    let stats = service.stop();
    world.reconciled(&world.new, &stats);
    world.ask(&["receipt", "@last", "-o", "receipt.json"], 0);
    assert!(world.ask(&["verify", "receipt.json"], 0).contains("succeeded"));
    let receipt = std::fs::read_to_string(world.dir.path().join("receipt.json")).unwrap();
    assert!(!receipt.contains(world.old.password()) && !told.contains(world.old.password()));
    // The cutover's own account of the pause is the step's output.
    let log = world.ask(&["logs", "@last", "Cut/Cut over"], 0);
    let report = parsed(&log);
    assert_eq!(report["outcome"], "moved");
    println!("pause {} ms", report["pause_ms"]);
}

#[test]
fn words_that_make_no_move_are_refused_with_what_is_missing() {
    let dir = tempfile::tempdir().unwrap();
    let ask = |words: &[&str], urls: bool| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_piton"));
        command.arg("move").args(words).current_dir(dir.path());
        command.env_remove("PITON_MOVE_OLD").env_remove("PITON_MOVE_NEW");
        if urls {
            command.env("PITON_MOVE_OLD", "mysql://u:hidden@127.0.0.1:1/");
            command.env("PITON_MOVE_NEW", "mysql://u:hidden@127.0.0.1:1/");
        }
        let output = command.output().unwrap();
        (output.status.code().unwrap(), text(&output))
    };
    let (code, told) = ask(&["copy", "--name", "a", "--table", "s.t"], false);
    assert!(code == 2 && told.contains("PITON_MOVE_OLD is not set"), "{told}");
    let (code, told) = ask(&["copy", "--name", "a", "--table", "t"], true);
    assert!(code == 2 && told.contains("SCHEMA.TABLE"), "{told}");
    let (code, told) = ask(&["prepare", "--name", "a", "--account", "app"], true);
    assert!(code == 2 && told.contains("USER@HOST"), "{told}");
    let (code, told) = ask(&["copy", "--name", "a", "--table", "s.t"], true);
    assert!(code == 75 && told.contains("error[P0048]") && !told.contains("hidden"), "{told}");
    let (code, told) = ask(&["status", "--name", "a"], true);
    assert!(code == 1 && told.contains("error[P0043]") && told.contains("127.0.0.1:1"), "{told}");
}
