//! `piton gate` as a person runs it: the real binary before real servers, with real clients.
//!
//! Owns one life of a gate in each test. Without the servers' package it says so and is skipped.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test's own trouble is a failed test")]

use piton_testkit::available;
use piton_testkit::mariadb::{MariaDb, Options};
use rustix::process::{Resource, getrlimit, setrlimit};
use serde_json::Value;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(120);
const PASSWORD: &str = "not for the command line";

struct World {
    old: MariaDb,
    new: MariaDb,
    dir: tempfile::TempDir,
}

struct Gate {
    process: Child,
    words: BufReader<std::process::ChildStdout>,
    port: u16,
}

impl Drop for Gate {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn server(options: Options) -> Option<MariaDb> {
    let server = available(MariaDb::start(options))?;
    server
        .sql(&format!(
            "create database shop; create table shop.w (id int primary key, note varchar(20)); create database piton_move; \
             create user app@'%' identified by 'app'; grant all on shop.* to app@'%'; \
             create user gate@'%' identified by '{PASSWORD}'; grant select on mysql.* to gate@'%'; \
             grant all on piton_move.* to gate@'%'; \
             grant binlog admin, read only admin, connection admin, process, create user on *.* to gate@'%'"
        ))
        .unwrap();
    Some(server)
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < end, "never: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

impl World {
    fn start() -> Option<Self> {
        Self::with(Options::default())
    }

    fn with(options: Options) -> Option<Self> {
        let new = server(Options { server_id: 2, ..Options::default() })?;
        Some(Self { old: server(options)?, new, dir: tempfile::tempdir().unwrap() })
    }

    fn backends(&self) -> Vec<String> {
        let (old, new) = (self.old.address(), self.new.address());
        let words = ["--backend", &format!("old={old}"), "--backend", &format!("new={new}"), "--account", "gate"];
        words.map(str::to_owned).to_vec()
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_piton"));
        command.arg("gate").args(words).current_dir(self.dir.path()).stdin(Stdio::null());
        command.env("PITON_GATE_PASSWORD", PASSWORD).env_remove("PITON_GATE");
        command
    }

    fn ask(&self, words: &[&str], code: i32) -> String {
        let output = self.command(words).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{words:?}: {}", text(&output));
        text(&output)
    }

    fn json(&self, words: &[&str]) -> Value {
        serde_json::from_str(&self.ask(&[words, &["--json"]].concat(), 0)).unwrap()
    }

    fn gate(&self, more: &[&str]) -> Gate {
        self.gate_at("127.0.0.1:0", more)
    }

    fn gate_at(&self, listen: &str, more: &[&str]) -> Gate {
        let mut command = self.command(&["--listen", listen]);
        let mut process = command.args(self.backends()).args(more).stdout(Stdio::piped()).spawn().unwrap();
        let mut words = BufReader::new(process.stdout.take().unwrap());
        let mut line = String::new();
        words.read_line(&mut line).unwrap();
        let port = line.split([':', ',']).nth(1).and_then(|port| port.parse().ok());
        Gate { process, words, port: port.unwrap_or_else(|| panic!("no port in {line:?}")) }
    }

    /// A gate that is to follow, and may not.
    fn refused(&self, listen: &str) -> String {
        let output = self.command(&["--listen", listen, "--take-over"]).args(self.backends()).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{}", text(&output));
        text(&output)
    }

    fn client(&self, gate: &Gate, sql: &str) -> Child {
        client(gate.port, sql)
    }
}

fn client(port: u16, sql: &str) -> Child {
    let mut command = Command::new("mariadb");
    command.args(["--no-defaults", "--protocol=tcp", "--host=127.0.0.1", "--user=app", "--password=app"]);
    command.args(["--batch", "--skip-column-names", &format!("--port={port}"), "shop"]);
    command.args(["--execute", sql]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

fn ended(client: Child) -> String {
    let output = client.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    text(&output)
}

#[test]
fn a_service_is_held_switched_and_released_by_hand() {
    let Some(world) = World::start() else { return };
    let mut gate = world.gate(&[]);
    assert_eq!(ended(world.client(&gate, "insert into w values (1, 'old'); select @@server_id")), "1\n");
    assert!(world.ask(&["status"], 0).starts_with("open to old (epoch 0)\n"));
    assert!(world.ask(&["switch", "new"], 1).contains("error[P0041]"));
    assert!(world.ask(&["hold", "--deadline", "5m"], 0).starts_with("held: drained in "));
    assert!(world.ask(&["hold"], 1).contains("held already"));
    let waits = world.client(&gate, "insert into w values (2, 'new')");
    until("the client waits", || world.json(&["status"])["waiting"] == 1);
    assert!(world.ask(&["switch", "elsewhere"], 1).contains("no backend is called elsewhere"));
    assert!(world.ask(&["switch", "new"], 0).contains("switched to new (epoch 1)"));
    assert!(world.ask(&["abort"], 1).contains("only forward"));
    assert!(world.ask(&["release"], 0).starts_with("open after "));
    ended(waits);
    assert_eq!(world.old.sql("select id from shop.w").unwrap(), "1\n");
    assert_eq!(world.new.sql("select id from shop.w").unwrap(), "2\n");
    assert_eq!(world.json(&["status"])["last_hold"]["how"], "released");
    assert!(world.ask(&["metrics"], 0).contains("\npiton_gate_epoch 1\n"));
    assert!(world.ask(&["reload"], 0).contains("read again"));
    // A service manager's way to end it: the socket goes with it.
    assert!(Command::new("kill").arg(gate.process.id().to_string()).status().unwrap().success());
    assert!(gate.process.wait().unwrap().success());
    let mut rest = String::new();
    while gate.words.read_line(&mut rest).unwrap() > 0 {}
    assert_eq!(rest, "open to old (epoch 0)\n");
    assert!(!world.dir.path().join("gate.sock").exists());
    assert!(world.ask(&["status"], 75).contains("error[P0040]"));
}

#[test]
fn sessions_that_come_through_no_gate_are_named() {
    let Some(world) = World::start() else { return };
    let (one, other) = (world.gate(&["--control", "one.sock"]), world.gate(&["--control", "other.sock"]));
    let both = ["outside", "--control", "one.sock", "--control", "other.sock"];
    assert_eq!(world.ask(&[&both[..], &["--user", "app"]].concat(), 0), "nobody comes in but through the gates\n");
    let inside = [world.client(&one, "do sleep(600)"), world.client(&other, "do sleep(600)")];
    let mut command = Command::new("mariadb");
    command.args(["--no-defaults", "--protocol=tcp", "--host=127.0.0.1", "--user=app", "--password=app"]);
    command.args([&format!("--port={}", world.old.port()), "--execute", "do sleep(600)"]).stdin(Stdio::null());
    let mut around = command.spawn().unwrap();
    let sleeping = "select count(*) from information_schema.processlist where info like 'do sleep(600)%'";
    until("all three are there", || world.old.sql(sleeping).unwrap() == "3\n");
    let told = world.ask(&[&both[..], &["--user", "app"]].concat(), 1);
    assert!(told.starts_with("1 session through no gate\n  app@127.0.0.1:"), "{told}");
    // One gate alone takes the other's for strangers.
    let told = world.ask(&["outside", "--control", "one.sock", "--user", "app"], 1);
    assert!(told.starts_with("2 sessions through no gate\n"), "{told}");
    let told = world.ask(&[&both[..], &["--json", "--user", "nobody"]].concat(), 0);
    assert_eq!(serde_json::from_str::<Value>(&told).unwrap()["outside"], serde_json::json!([]));
    around.kill().unwrap();
    around.wait().unwrap();
    for mut client in inside {
        client.kill().unwrap();
        client.wait().unwrap();
    }
}

#[test]
fn a_gate_hands_its_listener_to_the_one_that_follows_and_no_client_is_refused() {
    let Some(world) = World::start() else { return };
    // What stands in a service's unit: the first start has nobody to follow.
    let mut first = world.gate(&["--take-over"]);
    let mut line = String::new();
    first.words.read_line(&mut line).unwrap();
    assert_eq!(line, "there was no gate to take over\n");
    let stays = world.client(&first, "begin; insert into w values (1, 'long'); do sleep(4); commit");
    until("its transaction is open", || world.ask(&["look"], 0).contains("do sleep(?)"));
    let listen = format!("127.0.0.1:{}", first.port);
    let (stop, port) = (AtomicBool::new(false), first.port);
    let mut second = std::thread::scope(|scope| {
        let clients = scope.spawn(|| {
            let (mut id, mut failures) = (100, Vec::new());
            while !stop.load(Ordering::SeqCst) {
                id += 1;
                let output = client(port, &format!("insert into w values ({id}, 'new')")).wait_with_output().unwrap();
                failures.extend((!output.status.success()).then(|| text(&output)));
            }
            (id - 100, failures)
        });
        let written = || world.old.sql("select count(*) from shop.w").unwrap().trim().parse::<u64>().unwrap();
        until("clients come in", || written() > 5);
        // It is not taken from a gate that holds, or that listens elsewhere.
        world.ask(&["hold", "--drain", "1m", "--deadline", "5m"], 0);
        let refused = world.refused(&listen);
        assert!(refused.contains("error[P0042]") && refused.contains("it is held"), "{refused}");
        world.ask(&["release"], 0);
        let refused = world.refused("127.0.0.1:1");
        assert!(refused.contains("it listens at another address"), "{refused}");
        let second = world.gate_at(&listen, &["--take-over"]);
        let before = written();
        until("clients come in by the second gate", || written() > before + 5);
        stop.store(true, Ordering::SeqCst);
        let (tried, failures) = clients.join().unwrap();
        assert!(tried > 10 && failures.is_empty(), "{tried}: {failures:?}");
        second
    });
    assert_eq!(world.json(&["status"])["leaving"], false, "the control socket is the second gate's");
    ended(stays);
    assert_eq!(world.old.sql("select count(*) from shop.w where id = 1").unwrap(), "1\n");
    assert!(first.process.wait().unwrap().success(), "it ends by itself");
    let mut said = String::new();
    first.words.read_to_string(&mut said).unwrap();
    assert!(said.contains("another gate has followed; "), "{said}");
    line.clear();
    second.words.read_line(&mut line).unwrap();
    assert_eq!(line, "taken over from the gate before\n");
    let left = std::fs::read_dir(world.dir.path()).unwrap();
    let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["gate.sock"], "nothing of the first gate is left");
}

#[test]
fn a_drill_names_who_keeps_it_waiting_and_who_could_not_move() {
    let Some(world) = World::start() else { return };
    let gate = world.gate(&[]);
    let open = world.client(
        &gate,
        "create temporary table mine (id int); begin; insert into w values (7, 'a secret'); do sleep(600)",
    );
    until("its transaction is open", || {
        let look = world.ask(&["look"], 0);
        look.contains("1 session busy") && look.contains("temporary table") && look.contains("do sleep(?)")
    });
    let drill = world.ask(&["drill", "--drain", "50ms"], 1);
    assert!(drill.starts_with("a hold would not drain: 1 session did not end in "), "{drill}");
    assert!(drill.contains("  app@127.0.0.1:") && drill.contains(": do sleep(?)"), "{drill}");
    assert!(!drill.contains("a secret"));
    assert!(world.ask(&["status"], 0).contains("1 busy, 0 held, 1 that cannot move"));
    // Its client may leave: what the server is doing goes on, with a gate as without.
    let mut open = open;
    open.kill().unwrap();
    open.wait().unwrap();
    assert!(world.ask(&["look"], 0).contains("1 session busy"));
    let kill = "select concat('kill ', id) from information_schema.processlist where info like 'do sleep(600)%'";
    world.old.sql(world.old.sql(kill).unwrap().trim()).unwrap();
    until("it has ended", || world.json(&["status"])["clients"] == 0);
    // A short transaction is waited for, and named with what it was doing.
    let short = world.client(&gate, "begin; insert into w values (8, ''); do sleep(2); commit");
    until("its transaction is open", || world.ask(&["look"], 0).contains("do sleep(?)"));
    let drill = world.json(&["drill", "--drain", "1m"]);
    assert!(drill["drained"] == true && drill["waited"].as_u64().unwrap() >= 1, "{drill}");
    assert!(drill["waited_for"][0]["ended_us"].as_u64().unwrap() > 0, "{drill}");
    ended(short);
}

#[test]
fn the_servers_say_which_side_is_true_with_the_gate_dead() {
    let Some(mut world) = World::start() else { return };
    // What a mover prepares; the rest are its statements at c0, c7 and c8.
    let table = "create table piton_move.register (name varbinary(64) primary key, epoch bigint unsigned not null, number \
                 bigint unsigned not null, state enum('open', 'committed', 'aborted', 'reopened') not null)";
    let row = "insert into piton_move.register values ('shop', 0, 0, 'committed')";
    world.old.sql(&format!("{table}; {row}")).unwrap();
    world.new.sql(&format!("{table}; {row}")).unwrap();
    let state = |server: &MariaDb, state: &str| {
        server.sql(&format!("update piton_move.register set epoch = 1, number = 1, state = '{state}'")).unwrap();
    };
    let gate = world.gate(&["--register", "shop"]);
    until("the gate has read its registers", || world.json(&["status"])["held"] == false);
    let backends = world.backends();
    let words: Vec<&str> =
        ["status", "--epoch", "--register", "shop"].into_iter().chain(backends.iter().map(String::as_str)).collect();
    assert_eq!(world.ask(&words, 0), "old: nothing was moved\nnew: nothing was moved\nold is true (epoch 0)\n");
    state(&world.old, "open");
    assert!(world.ask(&words, 1).contains("attempt 1 at epoch 1 is open"));
    let hold = serde_json::json!({"do": "hold", "deadline_ms": 300_000, "drain_ms": 60_000,
        "attempt": {"epoch": 1, "number": 1}});
    let held = piton_gate::ask(&world.dir.path().join("gate.sock"), &hold, PATIENCE).unwrap();
    assert_eq!(held["drained"], true, "{held}");
    let waits = world.client(&gate, "insert into w values (1, '')");
    until("the client waits", || world.json(&["status"])["waiting"] == 1);
    assert!(world.ask(&["release"], 1).contains("not decided yet"));
    state(&world.old, "committed");
    let told = world.ask(&words, 1);
    assert!(told.contains("epoch 1 is committed, and the new side not open yet"), "{told}");
    state(&world.new, "committed");
    ended(waits);
    assert_eq!(world.new.sql("select id from shop.w").unwrap(), "1\n");
    drop(gate);
    world.old.crash().unwrap();
    let told = world.ask(&words, 0);
    assert!(told.starts_with("old: the register of 127.0.0.1:"), "{told}");
    assert!(told.ends_with("new: epoch 1, attempt 1 committed\nnew is true (epoch 1)\n"), "{told}");
    let json = world.json(&words);
    assert_eq!((&json["backend"], &json["epoch"]), (&"new".into(), &1.into()));
    assert_eq!(json["registers"][1]["state"], "committed");
    // And a gate that starts goes there, with the old server gone.
    let gate = world.gate(&["--register", "shop"]);
    until("the gate knows", || world.json(&["status"])["starting"] == false);
    assert_eq!(world.json(&["status"])["backend"], "new");
    drop(gate);
    // The old server alone may not know of the way back.
    world.old.restart().unwrap();
    world.new.crash().unwrap();
    assert!(world.ask(&words, 1).contains("error[P0043]"));
}

#[test]
fn words_that_make_no_gate_are_refused_with_what_is_missing() {
    let dir = tempfile::tempdir().unwrap();
    let gate = |words: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_piton"));
        command.arg("gate").args(words).current_dir(dir.path()).env_remove("PITON_GATE_PASSWORD");
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{words:?}: {}", text(&output));
        text(&output)
    };
    let listen = ["--listen", "127.0.0.1:0"];
    let with = |more: &[&str]| gate(&[&listen, more].concat());
    assert!(with(&[]).contains("at least one --backend"));
    assert!(with(&["--backend", "db1:3306"]).contains("NAME=HOST:PORT"));
    assert!(with(&["--backend", "a=h:1", "--backend", "a=h:2"]).contains("two backends are called a"));
    assert!(with(&["--backend", "a=h:1"]).contains("nobody could come in"));
    assert!(with(&["--backend", "a=h:1", "--account", "gate"]).contains("PITON_GATE_PASSWORD"));
    assert!(with(&["--backend", "a=h:1", "--register", "shop"]).contains("--account"));
    std::fs::write(dir.path().join("password"), "x").unwrap();
    let one = ["--backend", "a=h:1", "--register", "shop", "--account", "gate", "--password-file", "password"];
    assert!(with(&one).contains("two backends"));
    assert!(gate(&["serve"]).contains("--listen"));
    std::fs::write(dir.path().join("accounts"), "[{\"user\": \"app\", \"password\": \"x\"}]").unwrap();
    let silent = with(&["--backend", "a=127.0.0.1:1", "--accounts", "accounts"]);
    assert!(silent.contains("error[P0042]") && silent.contains("backend a"), "{silent}");
}

/// Logs in by hand as an account without a password; the connection then stays idle.
fn idle_client(port: u16) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let packet = |stream: &mut TcpStream| {
        let mut header = [0; 4];
        stream.read_exact(&mut header).unwrap();
        let mut payload = vec![0; u32::from_le_bytes([header[0], header[1], header[2], 0]) as usize];
        stream.read_exact(&mut payload).unwrap();
        payload
    };
    packet(&mut stream);
    let flags: u32 = 1 | 1 << 9 | 1 << 15 | 1 << 19;
    let mut response = flags.to_le_bytes().to_vec();
    response.extend([0, 0, 0, 1, 45]);
    response.extend([0; 23]);
    response.extend(b"idle\0\0mysql_native_password\0");
    let mut framed = (response.len() as u32 | 1 << 24).to_le_bytes().to_vec();
    framed.extend(response);
    stream.write_all(&framed).unwrap();
    assert_eq!(packet(&mut stream)[0], 0, "the login is taken");
    stream
}

fn resident_kib(id: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

#[test]
fn thousands_of_idle_clients_cost_little_and_are_held_with_the_others() {
    const CLIENTS: u64 = 2000;
    /// What a client may cost a gate of a debug build.
    const KIB_EACH: u64 = 24;
    let wanted = rustix::process::Rlimit { current: Some(CLIENTS + 500), ..getrlimit(Resource::Nofile) };
    if setrlimit(Resource::Nofile, wanted).is_err() {
        println!("SKIPPED: no {CLIENTS} descriptors here");
        return;
    }
    let more = ["--max-connections=2100", "--thread-stack=192K", "--open-files-limit=10000"];
    let options = Options { extra: more.map(str::to_owned).to_vec(), ..Options::default() };
    let Some(world) = World::with(options) else { return };
    world.old.sql("create user idle@'%' identified by ''").unwrap();
    let gate = world.gate(&[]);
    let first: Vec<TcpStream> = (0..50).map(|_| idle_client(gate.port)).collect();
    let before = resident_kib(gate.process.id());
    let clients: Vec<TcpStream> = (0..CLIENTS - 50).map(|_| idle_client(gate.port)).collect();
    until("all are in", || world.json(&["status"])["clients"] == CLIENTS);
    let each = (resident_kib(gate.process.id()) - before) as f64 / clients.len() as f64;
    println!("{each:.1} KiB for each idle client");
    assert!(each < KIB_EACH as f64, "{each} KiB for each idle client");
    world.ask(&["hold", "--drain", "1m", "--deadline", "5m"], 0);
    for mut client in &clients {
        client.write_all(b"\x09\0\0\0\x03select 1").unwrap();
    }
    until("all wait", || world.json(&["status"])["waiting"] == clients.len());
    world.ask(&["release"], 0);
    for mut client in &clients {
        let mut head = [0; 5];
        client.read_exact(&mut head).unwrap();
        assert_eq!(head, [1, 0, 0, 1, 1], "one column");
    }
    drop(first);
}

/// Where the words of a gate's own password end up: nowhere.
#[test]
fn a_password_comes_from_a_file_and_is_never_shown() {
    let dir = tempfile::tempdir().unwrap();
    let file: PathBuf = dir.path().join("password");
    std::fs::write(&file, format!("{PASSWORD}\n")).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_piton"))
        .args(["gate", "--listen", "127.0.0.1:0", "--backend", "a=127.0.0.1:1", "--account", "gate", "--password-file"])
        .arg(&file)
        .current_dir(dir.path())
        .output()
        .unwrap();
    assert!(text(&output).contains("error[P0042]"), "{}", text(&output));
    assert!(!text(&output).contains(PASSWORD));
}
