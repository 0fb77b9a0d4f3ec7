//! A service of three nodes behind a balancer: real processes, kept running, under load.
//!
//! Owns the nodes' processes, the program that brings one to a release, and the clients that count what they are answered.
//! A node is this test's own binary in another process.

use crate::common::World;
use piton_testkit::haproxy::HaProxy;
use piton_testkit::{Guarded, free_port};
use rustix::process::Signal;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

pub(crate) const NODES: [&str; 3] = ["n1", "n2", "n3"];
const NODE_DIR: &str = "PITON_TEST_NODE";
const SLICE: Duration = Duration::from_millis(5);

/// Deploys as a service's own tool would: writes what is to run, ends what runs, and waits for the next.
const DEPLOY: &str = r#"#!/usr/bin/env bash
set -euo pipefail
node=$(dirname "$0")/$1
printf '%s' "$2" >"$node/release.new"
mv "$node/release.new" "$node/release"
pid=$(cat "$node/pid")
kill -TERM "$pid"
for _ in $(seq 1000); do
    [ "$(cat "$node/pid")" = "$pid" ] || exit 0
    sleep 0.01
done
echo "$1 does not come back" >&2
exit 1
"#;

pub(crate) struct Fleet {
    dir: PathBuf,
    balancer: Option<HaProxy>,
    ending: Arc<AtomicBool>,
    keepers: Vec<JoinHandle<()>>,
}

/// What clients were answered.
#[derive(Default)]
pub(crate) struct Answers {
    pub(crate) good: AtomicU64,
    pub(crate) bad: AtomicU64,
}

impl Fleet {
    /// Three nodes with release 1, in rotation.
    pub(crate) fn start(world: &World) -> Self {
        let dir = world.dir.join("fleet");
        let ending = Arc::new(AtomicBool::new(false));
        let (mut keepers, mut servers) = (Vec::new(), Vec::new());
        for name in NODES {
            let node = dir.join(name);
            fs::create_dir_all(&node).unwrap();
            let port = free_port().unwrap();
            fs::write(node.join("port"), port.to_string()).unwrap();
            fs::write(node.join("release"), "1").unwrap();
            servers.push((name.to_owned(), port));
            let ending = ending.clone();
            keepers.push(std::thread::spawn(move || keep(&node, &ending)));
        }
        let deploy = dir.join("deploy");
        fs::write(&deploy, DEPLOY).unwrap();
        fs::set_permissions(&deploy, fs::Permissions::from_mode(0o755)).unwrap();
        let balancer = Some(HaProxy::start("app", &servers).unwrap());
        let fleet = Self { dir, balancer, ending, keepers };
        until("all nodes answer", || NODES.iter().all(|name| fleet.release(name).is_some()));
        until("all nodes are in rotation", || fleet.in_rotation() == 3);
        fleet
    }

    fn balancer(&self) -> &HaProxy {
        self.balancer.as_ref().unwrap()
    }

    /// The runbook's parameters.
    pub(crate) fn args(&self, release: &str) -> Vec<String> {
        let deploy = self.dir.join("deploy").display().to_string();
        let words = ["run", "runbook/restart.star", "--backend", "app", "--admin", &self.balancer().admin()];
        let more =
            ["--deploy", &deploy, "--release", release, "--soak", "100ms", "--start-timeout", "30s", "--every", "4s"];
        words.iter().chain(&more).map(|word| (*word).to_owned()).collect()
    }

    /// What a node says that it runs; `None`: it does not answer.
    pub(crate) fn release(&self, name: &str) -> Option<String> {
        let (status, body) = ask(self.port(name), "/health")?;
        let release = body.split("\"release\":\"").nth(1)?.split('"').next()?.to_owned();
        (status == 200).then_some(release)
    }

    /// How often a node was started.
    pub(crate) fn starts(&self, name: &str) -> usize {
        fs::read_to_string(self.dir.join(name).join("starts")).unwrap_or_default().lines().count()
    }

    fn port(&self, name: &str) -> u16 {
        fs::read_to_string(self.dir.join(name).join("port")).unwrap().parse().unwrap()
    }

    /// Nodes that the balancer sends requests to.
    pub(crate) fn in_rotation(&self) -> usize {
        let mut admin = TcpStream::connect(self.balancer().admin()).unwrap();
        admin.write_all(b"show stat\n").unwrap();
        let mut table = String::new();
        admin.read_to_string(&mut table).unwrap();
        let is_up = |line: &&str| line.starts_with("app,n") && line.split(',').nth(17) == Some("UP");
        table.lines().filter(is_up).count()
    }

    /// Clients that ask without end, until what is returned is called.
    pub(crate) fn load(&self) -> impl FnOnce() -> Arc<Answers> + use<> {
        let (answers, stop) = (Arc::new(Answers::default()), Arc::new(AtomicBool::new(false)));
        let port = self.balancer().port();
        let clients: Vec<_> = (0..2)
            .map(|_| {
                let (answers, stop) = (answers.clone(), stop.clone());
                std::thread::spawn(move || {
                    while !stop.load(Ordering::Relaxed) {
                        let counted = if ask(port, "/").is_some_and(|(status, _)| status == 200) {
                            &answers.good
                        } else {
                            &answers.bad
                        };
                        counted.fetch_add(1, Ordering::Relaxed);
                        std::thread::sleep(SLICE);
                    }
                })
            })
            .collect();
        move || {
            stop.store(true, Ordering::Relaxed);
            for client in clients {
                client.join().unwrap();
            }
            answers
        }
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        self.balancer = None;
        self.ending.store(true, Ordering::Relaxed);
        for keeper in self.keepers.drain(..) {
            let _ = keeper.join();
        }
    }
}

pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(30), "not within 30 s: {what}");
        std::thread::sleep(SLICE);
    }
}

/// Asks for a path; status and body. `None`: no whole answer came.
fn ask(port: u16, path: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(30))).ok()?;
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let status = answer.split(' ').nth(1)?.parse().ok()?;
    Some((status, answer.split_once("\r\n\r\n")?.1.to_owned()))
}

/// As a service manager does: one process after the other, each written down.
fn keep(node: &Path, ending: &AtomicBool) {
    let own = std::env::current_exe().unwrap();
    while !ending.load(Ordering::Relaxed) {
        let mut starts = fs::File::options().create(true).append(true).open(node.join("starts")).unwrap();
        let mut process = Guarded::start(&[], &own, |command| {
            command.args(["--exact", "a_node_of_the_service", "--ignored", "--nocapture"]).env(NODE_DIR, node);
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        })
        .unwrap();
        writeln!(starts, "{}", process.id()).unwrap();
        while process.wait(SLICE).unwrap().is_none() {
            if ending.load(Ordering::Relaxed) {
                process.stop(Signal::KILL, Duration::from_secs(5)).unwrap();
            }
        }
    }
}

/// One node, until it is told to end: it warms up, answers, and ends what it has begun.
pub(crate) fn be_a_node() {
    let Some(dir) = std::env::var_os(NODE_DIR).map(PathBuf::from) else { return };
    let read = |name: &str| fs::read_to_string(dir.join(name)).unwrap();
    let (release, port) = (read("release"), read("port").parse::<u16>().unwrap());
    let told = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(signal_hook::consts::SIGTERM, told.clone()).unwrap();
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    listener.set_nonblocking(true).unwrap();
    fs::write(dir.join("pid"), std::process::id().to_string()).unwrap();
    let warm = Instant::now() + Duration::from_millis(50);
    let mut asked = 0_u64;
    while !told.load(Ordering::Relaxed) {
        match listener.accept() {
            Ok((stream, _)) => {
                asked += 1;
                answer(stream, &release, Instant::now() >= warm, asked);
            }
            Err(_) => std::thread::sleep(Duration::from_millis(1)),
        }
    }
}

/// A release that is "dead" is never healthy; one that is "bad" is, and fails.
fn answer(mut stream: TcpStream, release: &str, warm: bool, asked: u64) {
    let _ = stream.set_nonblocking(false);
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
    let first = lines.next().unwrap_or_default();
    let _ = lines.take_while(|line| !line.is_empty()).count();
    let status = match first.contains("/health") {
        true if !warm || release.contains("dead") => "503 Service Unavailable",
        false if release.contains("bad") && asked.is_multiple_of(2) => "500 Internal Server Error",
        _ => "200 OK",
    };
    let body = format!("{{\"release\":\"{release}\",\"started\":{}}}", std::process::id());
    // Who has gone away needs no answer.
    let _ = write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
}
