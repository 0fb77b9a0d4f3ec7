//! `piton move` and its pack as a person uses them: the real binary, real servers, a real gate, a service that writes.
//!
//! Owns one move there and back by hand, and the moves of `examples/move`, to MariaDB and to TiDB. Without the servers it says so
//! and is skipped.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test's own trouble is a failed test")]

use piton_testkit::gate::Gate;
use piton_testkit::ledger::{Account, Settings, Stats, prepare, reconcile, serve};
use piton_testkit::mariadb::{MariaDb, Options};
use piton_testkit::server::Server;
use piton_testkit::tidb::{self, TiDb};
use piton_testkit::{SetupError, available};
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
    new: Server,
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
    available(MariaDb::start(Options { server_id, ..Options::default() }))
}

fn account() -> Account {
    Account { user: "app".to_owned(), password: PASSWORD.to_owned(), schema: "shop".to_owned() }
}

/// What the mover and the gate are allowed on TiDB; on MariaDB an administrator's account is used.
const ON_TIDB: &str = "create user mover@'%' identified by 'moves'; grant all on *.* to mover@'%' with grant option; \
    grant restricted_replica_writer_admin on *.* to mover@'%'; grant select on mysql.* to gate@'%'; \
    grant all on piton_move.* to gate@'%'; grant process on *.* to gate@'%'";
const ON_MARIADB: &str = "grant select on mysql.* to gate@'%'; grant all on piton_move.* to gate@'%'; \
    grant binlog admin, read only admin, connection admin, process, create user on *.* to gate@'%'";

fn tidb() -> Option<Server> {
    available(TiDb::start(&tidb::Options::default())).map(Server::TiDb)
}

fn gate(old: &MariaDb, new: &Server) -> Gate {
    let (one, other) = (format!("old={}", old.address()), format!("new={}", new.address()));
    let words = ["--backend", &one, "--backend", &other, "--account", "gate", "--register", "shop"];
    Gate::start(Path::new(env!("CARGO_BIN_EXE_piton")), &words, PASSWORD).unwrap()
}

impl World {
    /// Two MariaDB servers that have the tables.
    fn start() -> Option<Self> {
        let world = Self::before(Server::MariaDb(server(2)?))?;
        world.new.sql("create database shop").unwrap();
        for table in TABLES {
            let shape = world.old.sql(&format!("show create table {table}")).unwrap().replace("\\n", "\n");
            let create = shape.split_once('\t').unwrap().1;
            world.new.sql(&format!("set foreign_key_checks = 0; use shop; {create}")).unwrap();
        }
        Some(world)
    }

    /// The old server has the service's tables, the new one has nothing.
    fn before(new: Server) -> Option<Self> {
        let old = server(1)?;
        let made = format!("create user gate@'%' identified by '{PASSWORD}'");
        old.sql(&format!("create user app@'%' identified by '{PASSWORD}'; grant all on shop.* to app@'%'")).unwrap();
        old.sql(&format!("create database shop; {made}; {ON_MARIADB}")).unwrap();
        new.sql(&format!("{made}; {}", if new.is_tidb() { ON_TIDB } else { ON_MARIADB })).unwrap();
        prepare(&old.address(), &account()).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let gate = gate(&old, &new);
        Some(Self { old, new, gate, dir })
    }

    fn new_url(&self) -> String {
        if self.new.is_tidb() { self.new.url_as("mover", "moves", "") } else { self.new.url("") }
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_piton"));
        command.args(words).current_dir(self.dir.path()).stdin(Stdio::null());
        command.env("PITON_MOVE_OLD", self.old.url("")).env("PITON_MOVE_NEW", self.new_url());
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

    /// It finds its database by a file, which holds `address` at first.
    fn service(&self, address: &str) -> Service {
        let folder = self.folder();
        std::fs::create_dir_all(&folder).unwrap();
        let endpoint_file = self.endpoint_file();
        std::fs::write(&endpoint_file, format!("{address}\n")).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let settings =
            Settings { endpoint_file, folder, account: account(), clients: 8, pause: Duration::from_millis(20) };
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || serve(&settings, stopped).unwrap());
        Service { stop, thread }
    }

    fn endpoint_file(&self) -> PathBuf {
        self.dir.path().join("endpoint")
    }

    fn folder(&self) -> PathBuf {
        self.dir.path().join("ledger")
    }

    /// The service saw no failed write, and all of them are there.
    fn reconciled(&self, address: &str, stats: &Stats) {
        let found = reconcile(&self.folder(), address, &account()).unwrap();
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
    let service = world.service(&world.gate.address());
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
    world.reconciled(&world.old.address(), &stats);
    assert!(world.json("follow", &["--epoch", "3"])["lag_ms"].is_u64());
    assert_eq!(world.json("audit", &["--epoch", "3"])["equal"], true);
}

/// The whole move of `examples/move`, on a schema of two tables: from the service's own address through the gates to the new one's.
fn moved_by_the_example(world: &World, more: &[&str]) {
    let service = world.service(&world.old.address());
    let book = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/move/move.star");
    let gates = serde_json::json!([world.gate.control()]).to_string();
    let (endpoint, through, behind) =
        (world.endpoint_file().display().to_string(), world.gate.address(), world.new.address());
    let mut words = vec!["--service", "shop", "--old", "env:PITON_MOVE_OLD", "--new", "env:PITON_MOVE_NEW"];
    words.extend(["--schema", "shop", "--accounts", "app@%", "--gates", &gates, "--endpoint-file", &endpoint]);
    words.extend(["--gate-address", &through, "--new-address", &behind, "--soak", "1s", "--go", "yes"]);
    // Slow machines hold longer than the usual deadline; how long it took is printed.
    words.extend(["--deadline", "20s", "--drain", "10s"]);
    words.extend(more);
    let plan = world.ask(&[&["plan", book], &words[..]].concat(), 0);
    assert!(plan.contains("create table `shop`.`ledger_entries`") && plan.contains("Cut over"), "{plan}");
    let told = world.ask(&[&["run", book], &words[..]].concat(), 0);
    assert!(told.contains("succeeded"), "{told}");
    let stats = service.stop();
    let gone = world.old.sql("select count(*) from shop.ledger_entries").unwrap();
    let there = world.new.sql("select count(*) from shop.ledger_entries").unwrap();
    println!("{} rows on the old side, {} on the new one", gone.trim(), there.trim());
    world.reconciled(&world.new.address(), &stats);
    // Each of its clients goes when it has ended what it was doing.
    let (first, last) = (stats.endpoints.first(), stats.endpoints.last());
    assert_eq!((first, last), (Some(&world.old.address()), Some(&behind)), "{:?}", stats.endpoints);
    assert!(stats.endpoints.contains(&through), "it went by the gates: {:?}", stats.endpoints);
    world.ask(&["receipt", "@last", "-o", "receipt.json"], 0);
    assert!(world.ask(&["verify", "receipt.json"], 0).contains("succeeded"));
    let receipt = std::fs::read_to_string(world.dir.path().join("receipt.json")).unwrap();
    assert!(!receipt.contains(world.old.password()) && !told.contains(world.old.password()));
    // The indexes and foreign keys that came after the rows are what they were.
    let shape = |answer: Result<String, SetupError>| {
        let count = |text: &str, word: &str| text.matches(word).count();
        let text = answer.unwrap();
        [count(&text, " KEY `by_"), count(&text, " FOREIGN KEY "), count(&text, "ledger_moves")]
    };
    assert_eq!(shape(world.new.sql("show create table shop.ledger_entries")), [3, 2, 1]);
    // The cutover's own account of the pause is the step's output.
    let report = parsed(&world.ask(&["logs", "@last", "Cut over/Cut over"], 0));
    assert_eq!(report["outcome"], "moved");
    println!("pause {} ms", report["pause_ms"]);
}

#[test]
fn the_example_moves_a_service_to_mariadb() {
    let Some(world) = server(2).and_then(|new| World::before(Server::MariaDb(new))) else { return };
    moved_by_the_example(&world, &["--after", "remove"]);
    // The way back was followed until the end of the run, and can be gone on with.
    assert!(world.json("follow", &["--epoch", "2"])["applied_changes"].is_u64());
    assert_eq!(world.json("audit", &["--epoch", "2"])["equal"], true);
}

#[test]
fn the_example_moves_a_service_to_tidb() {
    let Some(world) = tidb().and_then(World::before) else { return };
    // It was there before with less: that is what taking the run back would give again.
    world.new.sql("create resource group shop ru_per_sec = 77").unwrap();
    moved_by_the_example(&world, &["--after", "remove"]);
    let group = "select concat(ru_per_sec, burstable) from information_schema.resource_groups where name = 'shop'";
    assert_eq!(world.new.sql(group).unwrap(), "100000YES\n");
    let of = "select user_attributes from mysql.user where user = 'app'";
    assert!(world.new.sql(of).unwrap().contains("\"shop\""));
    // At the cut both sides were equal, and the old one has stayed as it was.
    assert_eq!(world.json("audit", &["--at-cut"])["equal"], true);
    let changed = "set session sql_log_bin = 0; update shop.ledger_accounts set balance = balance + 1 where id = 7";
    world.old.sql(changed).unwrap();
    let told = world.moves("audit", &["--at-cut"], 1);
    assert!(told.contains("shop.ledger_accounts"), "{told}");
}

/// What `resource_group` and `use_resource_group` take back.
#[test]
fn a_resource_group_is_set_and_taken_back_to_what_it_was() {
    let Some(server) = tidb() else { return };
    let dir = tempfile::tempdir().unwrap();
    let book = r#"
load("@piton/mysql.star", "resource_group", "use_resource_group")

def main(db: secret, ru: int):
    phase("Group", resource_group, db, "Service", ru, priority = "HIGH")
    phase("Account", use_resource_group, "app@%", db, "service")
"#;
    std::fs::write(dir.path().join("group.star"), book).unwrap();
    server.sql("create user app@'%' identified by 'x'").unwrap();
    let url = server.url("");
    let ask = |words: &[&str], code: i32| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_piton"));
        let output = command.args(words).current_dir(dir.path()).env("DB", &url).stdin(Stdio::null()).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{words:?}: {}", text(&output));
        text(&output)
    };
    let groups = || {
        let named = "select concat(ru_per_sec, priority, burstable) from information_schema.resource_groups where name = 'service'";
        let of = "select ifnull(user_attributes, '') from mysql.user where user = 'app'";
        (server.sql(named).unwrap(), server.sql(of).unwrap().contains("\"service\""))
    };
    let run = |ru: &str| ask(&["run", "group.star", "--db", "env:DB", "--ru", ru], 0);
    run("500");
    assert_eq!(groups(), ("500HIGHNO\n".to_owned(), true));
    let again = run("500");
    assert!(again.contains("already true"), "{again}");
    ask(&["undo", "@last"], 0);
    assert_eq!(groups(), ("500HIGHNO\n".to_owned(), true), "what a run did not do it does not take back");
    server.sql("alter resource group service ru_per_sec = 40 priority = low burstable = true").unwrap();
    run("900");
    assert_eq!(groups(), ("900HIGHNO\n".to_owned(), true));
    ask(&["undo", "@last"], 4);
    assert_eq!(groups(), ("40LOWYES\n".to_owned(), true), "altered back");
    server.sql("alter user app@'%' resource group `default`; drop resource group service").unwrap();
    run("900");
    ask(&["undo", "@last"], 4);
    assert_eq!(groups(), (String::new(), false), "made, and dropped again");
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
