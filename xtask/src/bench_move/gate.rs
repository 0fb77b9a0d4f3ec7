//! The gate's rows: sysbench's point selects through the gate and through HAProxy in TCP mode, and what a hold costs.
//!
//! HAProxy understands no byte of what it passes on: it is what any proxy costs. Owns the server, both proxies and the load.

use crate::bench::{Figure, median};
use piton_testkit::gate::Gate;
use piton_testkit::haproxy::HaProxy;
use piton_testkit::mariadb::{MariaDb, Options};
use serde_json::{Value, json};
use std::fs;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

pub(super) const NAMES: [&str; 3] =
    ["gate: point selects, 16 connections", "gate: processor time per query", "gate: hold to release beyond the drain"];

/// Pairs of measurements.
const ROUNDS: usize = 9;
/// Seconds of each.
const SECONDS: &str = "5";
const CONNECTIONS: &str = "--threads=16";
const HOLDS: usize = 200;
/// How often the load is looked at until it is there.
const LOOK: Duration = Duration::from_millis(10);
const PASSWORD: &str = "bench";

/// What one measurement says of a proxy.
struct Load {
    /// Queries a second.
    speed: f64,
    /// Microseconds of its processor time for each.
    cost_us: f64,
}

pub(super) fn measure(piton: &Path) -> io::Result<Vec<Figure>> {
    let server = MariaDb::start(Options { buffer_pool_mib: 256, ..Options::default() }).map_err(io::Error::other)?;
    let account = format!("create database bench; create user bench@'%' identified by '{PASSWORD}';");
    server.sql(&format!("{account} grant all on bench.* to bench@'%'")).map_err(io::Error::other)?;
    let dir = tempfile::tempdir()?;
    let gate = start(piton, &server, dir.path())?;
    let proxy = HaProxy::tcp(server.port()).map_err(io::Error::other)?;
    sysbench(server.port(), &["prepare"])?;
    let through = |port: u16, id: u32| -> io::Result<Load> {
        let before = processor_us(id)?;
        let queries = queries(&sysbench(port, &[&format!("--time={SECONDS}"), "run"])?)?;
        let seconds: f64 = SECONDS.parse().unwrap_or(1.0);
        Ok(Load { speed: queries / seconds, cost_us: (processor_us(id)? - before) / queries })
    };
    let id = gate.process_id().ok_or_else(|| io::Error::other("the gate has ended"))?;
    through(gate.port(), id)?;
    through(proxy.port(), proxy.process_id())?;
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        rounds.push((through(gate.port(), id)?, through(proxy.port(), proxy.process_id())?));
    }
    let of = |pick: fn(&(Load, Load)) -> f64| median(rounds.iter().map(pick).collect());
    let speed = of(|(gate, proxy)| gate.speed / proxy.speed);
    let cost = of(|(gate, proxy)| gate.cost_us / proxy.cost_us);
    let held = holds(&gate)?;
    Ok(vec![
        Figure {
            name: NAMES[0],
            value: of(|(gate, _)| gate.speed),
            unit: "q/s",
            baseline: of(|(_, proxy)| proxy.speed),
            ratio: speed,
            goal: "at least 0.95 times HAProxy in TCP mode",
            ok: speed >= 0.95,
        },
        Figure {
            name: NAMES[1],
            value: of(|(gate, _)| gate.cost_us),
            unit: "us",
            baseline: of(|(_, proxy)| proxy.cost_us),
            ratio: cost,
            goal: "reported, beside HAProxy's",
            ok: true,
        },
        held,
    ])
}

fn start(piton: &Path, server: &MariaDb, dir: &Path) -> io::Result<Gate> {
    let file = dir.join("accounts.json");
    fs::write(&file, json!([{"user": "bench", "password": PASSWORD}]).to_string())?;
    let backend = format!("one={}", server.address());
    let words = ["--backend", &backend, "--accounts", &file.display().to_string()];
    Gate::start(piton, &words, "").map_err(io::Error::other)
}

fn sysbench(port: u16, words: &[&str]) -> io::Result<String> {
    let output = command(port).args(words).output()?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = [output.stdout, output.stderr].concat();
    Err(io::Error::other(format!("sysbench: {}", String::from_utf8_lossy(&said))))
}

fn command(port: u16) -> Command {
    let mut command = Command::new("sysbench");
    command.args(["oltp_point_select", "--db-driver=mysql", "--mysql-host=127.0.0.1", "--mysql-user=bench"]);
    command.args([&format!("--mysql-password={PASSWORD}"), "--mysql-db=bench", &format!("--mysql-port={port}")]);
    command.args(["--tables=1", "--table-size=10000", CONNECTIONS]);
    command
}

/// How many it has made, of which none may have failed.
fn queries(text: &str) -> io::Result<f64> {
    let number = |name: &str| {
        let line = text.lines().find_map(|line| line.trim_start().strip_prefix(name));
        line.and_then(|rest| rest.split_whitespace().next()).and_then(|number| number.parse::<f64>().ok())
    };
    match (number("queries:"), number("ignored errors:"), number("reconnects:")) {
        (Some(queries), Some(0.0), Some(0.0)) => Ok(queries),
        _ => Err(io::Error::other(format!("sysbench saw errors, or says nothing: {text}"))),
    }
}

/// Microseconds of processor time that a process has taken.
fn processor_us(id: u32) -> io::Result<f64> {
    let text = fs::read_to_string(format!("/proc/{id}/stat"))?;
    let fields: Vec<&str> = text.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |index: usize| fields.get(index).and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0);
    // Linux counts a hundred of them a second, for every architecture's user space.
    Ok((ticks(11) + ticks(12)) * 10_000.0)
}

/// Holds and releases at once, with sysbench at work: how long the gate was closed beyond what it had to wait for.
fn holds(gate: &Gate) -> io::Result<Figure> {
    let mut load = command(gate.port()).args(["--time=600", "run"]).stdout(Stdio::null()).spawn()?;
    let socket = gate.control();
    // Not before all of its connections are there.
    while load.try_wait()?.is_none() && ask(&socket, &[json!({"do": "status"})])?[0]["clients"].as_u64() < Some(16) {
        std::thread::sleep(LOOK);
    }
    let beyond = (0..HOLDS).map(|_| beyond_the_drain(&socket)).collect::<io::Result<Vec<f64>>>();
    load.kill()?;
    load.wait()?;
    let beyond = beyond?;
    let worst = beyond.iter().copied().fold(0.0, f64::max);
    let usual = median(beyond);
    Ok(Figure {
        name: NAMES[2],
        value: usual,
        unit: "ms",
        baseline: worst,
        ratio: usual / 5.0,
        goal: "under 5 ms (beside it the worst of 200)",
        ok: usual < 5.0,
    })
}

fn beyond_the_drain(socket: &Path) -> io::Result<f64> {
    let hold = json!({"do": "hold", "drain_ms": 5000, "deadline_ms": 10000});
    let answers = ask(socket, &[hold, json!({"do": "release"})])?;
    let us = |index: usize, name: &str| answers.get(index).and_then(|answer| answer[name].as_f64()).unwrap_or(f64::NAN);
    Ok((us(1, "held_us") - us(0, "drain_us")) / 1000.0)
}

/// Asks a gate one thing after another over one connection.
pub(super) fn ask(socket: &Path, requests: &[Value]) -> io::Result<Vec<Value>> {
    let mut stream = UnixStream::connect(socket)?;
    let mut answers = BufReader::new(stream.try_clone()?);
    let one = |request: &Value| -> io::Result<Value> {
        stream.write_all(format!("{request}\n").as_bytes())?;
        let mut line = String::new();
        answers.read_line(&mut line)?;
        let answer: Value = serde_json::from_str(&line)?;
        if answer["ok"] == json!(true) { Ok(answer) } else { Err(io::Error::other(answer.to_string())) }
    };
    requests.iter().map(one).collect()
}
