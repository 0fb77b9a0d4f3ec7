//! The move as a show: a service behind a gate moves to TiDB, or to MariaDB where no TiDB is at hand, while three programs
//! write; the engine is killed while rows are copied, and between the fence and the release of the cutover.
//!
//! Owns the order of the show and its verdict. It believes nobody: what was promised is reconciled, rows are compared, the receipt
//! is verified.

mod load;
mod platforms;
mod summary;

use std::time::{Duration, Instant};

use piton_testkit::gate::Gate;
use piton_testkit::question::Question;
use serde_json::{Value, json};

use super::engine::{self, Engine, Piton, Runbook, State};
use super::{Demo, Result, packages};
use load::Load;
use platforms::{Platforms, SCHEMA};
use summary::{Pause, Summary};

/// The runbook's question at its end, and our answer: once we have looked for ourselves, or while everybody writes on.
const QUESTION: &str = "Remove the gates?";
const REMOVE: &str = "decision=remove";
const BACK: &str = "decision=back";
/// For how many seconds the service writes on the new side before it goes back. Not set: it stays.
const BACK_AFTER: &str = "PITON_DEMO_BACK_AFTER";
/// How often it is looked whether the old server is fenced: the pause is some dozens of milliseconds.
const FENCE_EVERY: Duration = Duration::from_micros(500);

fn list(words: impl IntoIterator<Item = String>) -> String {
    json!(words.into_iter().collect::<Vec<_>>()).to_string()
}

fn back_after() -> Option<u64> {
    std::env::var(BACK_AFTER).ok()?.parse().ok()
}

/// How long the runbook looks on after the cut.
pub(super) fn writes_there() -> Duration {
    const USUAL: u64 = 3;
    Duration::from_secs(back_after().unwrap_or(USUAL))
}

fn soak() -> String {
    format!("{}s", writes_there().as_secs())
}

fn runbook(platforms: &Platforms, gate: &Gate) -> Runbook {
    let accounts = platforms.applications().map(|account| format!("{}@%", account.user));
    Runbook {
        file: "examples/move/move.star",
        arguments: vec![
            ("service", SCHEMA.to_owned()),
            ("old", "env:PITON_MOVE_OLD".to_owned()),
            ("new", "env:PITON_MOVE_NEW".to_owned()),
            ("schema", SCHEMA.to_owned()),
            ("accounts", list(accounts)),
            ("gates", list([gate.control().display().to_string()])),
            ("endpoint-file", platforms.endpoint_file().display().to_string()),
            ("gate-address", gate.address()),
            ("new-address", platforms.new.address()),
            ("soak", soak()),
            ("go", "yes".to_owned()),
        ],
        environment: vec![
            ("PITON_MOVE_OLD", platforms.old.url_as(&platforms.mover.user, &platforms.mover.password, "")),
            ("PITON_MOVE_NEW", platforms.new.url_as(&platforms.mover.user, &platforms.mover.password, "")),
        ],
    }
}

impl Demo {
    pub(super) fn run_move(&self) -> Result<bool> {
        packages::ensure(self)?;
        let binaries = engine::build(self)?;
        self.say("starting two private servers in temporary directories, on free ports of 127.0.0.1");
        let platforms = Platforms::start()?;
        self.say(&format!("the service moves from MariaDB to {}; filling the old server", platforms.new.kind()));
        platforms.fill(self)?;
        let gate = platforms.gate(&binaries.piton)?;
        let piton = Piton::new(self, &binaries, runbook(&platforms, &gate))?;
        let mut load = Load::start(self, &binaries, &platforms, &gate.address())?;
        self.say("sysbench (read-write), the ledger and the shop now write to the old server");
        let outcome = self.show_move(&piton, &platforms, &gate, &mut load);
        if outcome.is_err() {
            piton.explain();
        }
        piton.sweep();
        outcome
    }

    fn show_move(&self, piton: &Piton, platforms: &Platforms, gate: &Gate, load: &mut Load) -> Result<bool> {
        let (between, _engine) = self.move_with_two_kills(piton, platforms, gate)?;
        piton.wait_for(State::Asking, "the run asks whether to remove the gates")?;
        let back = back_after().is_some();
        if back {
            self.say(&format!("the service has written on the new platform for {}. Answering: {BACK}", soak()));
            piton.answer(QUESTION, BACK)?;
            piton.wait_for(State::Succeeded, "the run ends")?;
        }
        let side = if back { "old" } else { "new" };
        self.say(&format!("the service writes on the {side} platform. Stopping the writers to look for ourselves"));
        let seen = load.stop()?;
        let audited = self.audit(piton, platforms, back)?;
        let books = load.reconcile(&if back { platforms.old.address() } else { platforms.new.address() })?;
        let status = gate.ask(&json!({"do": "status"}))?;
        if !back {
            self.say(&format!("answering the run's question: {REMOVE}"));
            piton.answer(QUESTION, REMOVE)?;
            piton.wait_for(State::Succeeded, "the run ends")?;
        }

        let receipt = self.folder.join("receipt.json");
        piton.receipt(&receipt)?;
        let left = piton.sweep();
        let pause = Pause::read(&status["last_hold"])?;
        let target = platforms.new.kind();
        let target = if back { "MariaDB, and back" } else { target };
        let summary = Summary::new(self, target, pause, between, &seen, &books, &audited, &receipt, left)?;
        summary.write(&self.folder.join("summary.json"))?;
        Ok(summary.print(self))
    }

    /// Starts the move, kills the engine while rows are copied, resumes, and kills it again inside the pause. Says whether the
    /// gate still held when the engine had died for the second time; the last engine goes on.
    fn move_with_two_kills(&self, piton: &Piton, platforms: &Platforms, gate: &Gate) -> Result<(bool, Engine)> {
        self.say("piton plan examples/move/move.star -o plan.json");
        let steps = piton.plan()?;
        self.say(&format!("piton run examples/move/move.star --plan plan.json, which has {steps} steps"));
        let engine = piton.run()?;
        self.wait_until("rows are copied", || {
            self.alive(piton)?;
            let rows = platforms.new.sql("select count(*) from shop.customers").unwrap_or_default();
            Ok((rows.trim().parse::<u64>().unwrap_or(0) > 0).then_some(()))
        })?;
        self.kill(engine, "while rows are copied")?;

        self.say("piton resume @last");
        let mut engine = piton.resume()?;
        engine.wait_for_line(self, "the new side is closed", |line| {
            line.contains("Close the side that is to become true")
        })?;
        self.wait_for_fence(&mut engine, platforms)?;
        let id = engine.id();
        engine.kill()?;
        let held = gate.ask(&json!({"do": "status"}))?;
        self.say(&format!("SIGKILL to the engine (process {id}), between the fence and the release"));
        self.wait_until("the gate has let the service go on", || {
            Ok((gate.ask(&json!({"do": "status"}))?["held"] == false).then_some(()))
        })?;
        self.say("the gate is open again, with no engine alive. piton resume @last");
        Ok((held["held"] == true, piton.resume()?))
    }

    fn alive(&self, piton: &Piton) -> Result<()> {
        match piton.state() {
            Ok(State::Ended(status)) => Err(format!("the run is {status}").into()),
            _ => Ok(()),
        }
    }

    fn wait_for_fence(&self, engine: &mut Engine, platforms: &Platforms) -> Result<()> {
        let fenced = "select @@global.read_only";
        let mut asked = Question::open(&platforms.old.address(), &platforms.mover, fenced)?;
        let deadline = Instant::now() + self.limit;
        while asked.ask()? == 0 {
            if Instant::now() >= deadline || !engine.is_running()? {
                return Err("the engine ended, or nothing happened, before the old server was fenced".into());
            }
            std::thread::sleep(FENCE_EVERY);
        }
        Ok(())
    }

    /// Compares every row on both sides by `piton move audit`: brings the side that is left up to date first, where it can be; on
    /// TiDB as it was at the cut.
    fn audit(&self, piton: &Piton, platforms: &Platforms, back: bool) -> Result<Value> {
        let names = platforms.old.sql(&format!(
            "select table_name from information_schema.tables where table_schema = '{SCHEMA}' order by 1"
        ))?;
        let tables: Vec<String> = names.lines().map(|name| format!("{SCHEMA}.{name}")).collect();
        let of = |words: &[&str]| {
            let mut all = vec!["move"];
            all.extend(words);
            all.extend(["--name", SCHEMA, "--json"]);
            all.extend(tables.iter().flat_map(|table| ["--table", table.as_str()]));
            piton.succeed(&all)
        };
        let audited = if platforms.new.is_tidb() {
            of(&["audit", "--at-cut"])?
        } else {
            let epoch = if back { "3" } else { "2" };
            of(&["follow", "--epoch", epoch])?;
            of(&["audit", "--epoch", epoch])?
        };
        Ok(serde_json::from_str(&audited)?)
    }
}
