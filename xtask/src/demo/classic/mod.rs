//! The classic move as a show: dump, native replication, read-only switch, with an engine that dies twice, or after every
//! event.
//!
//! Owns the order of the show and its verdict.

mod load;
mod platforms;
mod summary;

use std::collections::{BTreeSet, HashSet};
use std::path::PathBuf;

use super::engine::{self, Piton, Runbook, State};
use super::{DEATHS_LIMIT, Demo, Result, packages};
use load::Load;
use platforms::{Platforms, SCHEMA};
use summary::Summary;

/// How many tables are loaded when the engine is killed for the first time.
const LOADS_BEFORE_KILL: usize = 10;
/// The runbook's question at its end, and our answer once we have looked for ourselves.
const QUESTION: &str = "Close the way back?";
const ANSWER: &str = "decision=close";

fn runbook(platforms: &Platforms) -> Runbook {
    Runbook {
        file: "examples/move-classic/move.star",
        arguments: vec![
            ("service", SCHEMA.to_owned()),
            ("source", "env:DEMO_SOURCE".to_owned()),
            ("target", "env:DEMO_TARGET".to_owned()),
            ("application", "env:DEMO_APPLICATION".to_owned()),
            ("replication-password", "env:DEMO_REPLICATION_PASSWORD".to_owned()),
            ("endpoint-file", platforms.endpoint_file().display().to_string()),
            ("source-address", platforms.old.address()),
            ("target-address", platforms.new.address()),
            ("work-dir", platforms.folder.path().display().to_string()),
            ("soak", "3s".to_owned()),
            ("go", "yes".to_owned()),
        ],
        environment: vec![
            ("DEMO_SOURCE", platforms.old.url(SCHEMA)),
            ("DEMO_TARGET", platforms.new.url(SCHEMA)),
            ("DEMO_APPLICATION", platforms.application_url()),
            ("DEMO_REPLICATION_PASSWORD", platforms.replication_password.clone()),
        ],
    }
}

impl Demo {
    pub(super) fn run_classic(&self) -> Result<bool> {
        packages::ensure(self)?;
        let binaries = engine::build(self)?;
        self.say("starting two private MariaDB servers in temporary directories, on free ports of 127.0.0.1");
        let platforms = Platforms::start(self.few_tables)?;
        let awkward = if self.few_tables { "a few" } else { "33" };
        self.say(&format!("filling the old one: {awkward} awkward tables, sysbench's, the ledger's"));
        platforms.fill(self)?;

        let mut piton = Piton::new(self, &binaries, runbook(&platforms))?;
        if self.deaths {
            piton.die_once_at_each_place(&self.places());
        }
        let mut load = Load::start(self, &binaries, &platforms)?;
        self.say("sysbench (read-write), the ledger and a stored procedure now write to the old platform");
        let outcome = self.show_classic(&piton, &platforms, &mut load);
        if outcome.is_err() {
            piton.explain();
        }
        piton.sweep();
        outcome
    }

    fn show_classic(&self, piton: &Piton, platforms: &Platforms, load: &mut Load) -> Result<bool> {
        if self.deaths {
            self.run_with_deaths(piton, State::Asking)?;
        } else {
            self.run_with_two_kills(piton)?;
            piton.wait_for(State::Asking, "the run asks whether to close the way back")?;
        }
        self.say("the service writes on the new platform; the old one follows it. Stopping the writers to look for ourselves");
        let stats = load.stop()?;
        platforms.drain_way_back()?;
        let compared = piton_testkit::compare::compare(&platforms.old.url("shop"), &platforms.new.url("shop"))?;
        let books = load.reconcile(&platforms.new.address())?;
        self.say(&format!("answering the run's question: {ANSWER}"));
        piton.answer(QUESTION, ANSWER)?;
        let kills = if self.deaths {
            self.run_with_deaths(piton, State::Succeeded)?;
            self.deaths_at_every_step(piton)?
        } else {
            piton.wait_for(State::Succeeded, "the run ends")?;
            2
        };

        let receipt = self.folder.join("receipt.json");
        piton.receipt(&receipt)?;
        let told = summary::read(&receipt)?;
        let left = piton.sweep();
        let summary = Summary::new(self, kills, told, &stats, &books, &compared, &receipt, left);
        summary.write(&self.folder.join("summary.json"))?;
        Ok(summary.print(self))
    }

    /// Starts the move, kills the engine while tables are loaded, resumes, and kills it again inside the window.
    fn run_with_two_kills(&self, piton: &Piton) -> Result<()> {
        self.say("piton plan examples/move-classic/move.star -o plan.json");
        let steps = piton.plan()?;
        self.say(&format!("piton run examples/move-classic/move.star --plan plan.json, which has {steps} steps"));
        let mut engine = piton.run()?;
        let mut loads = 0;
        engine.wait_for_line(self, "tables are loaded", |line| {
            loads += usize::from(line.contains("Load its rows"));
            loads >= LOADS_BEFORE_KILL
        })?;
        self.kill(engine, "in mid-copy")?;

        self.say("piton resume @last");
        let mut engine = piton.resume()?;
        engine.wait_for_line(self, "the window closes the old platform", |line| {
            line.contains("Prove that the service cannot write")
        })?;
        self.kill(engine, "inside the window; nobody resumes it: its watchdog has to")
    }

    /// Resumes the run until it gets there, whenever its engine has died.
    fn run_with_deaths(&self, piton: &Piton, wanted: State) -> Result<()> {
        let mut resumed = wanted == State::Succeeded;
        loop {
            self.check_interrupted()?;
            if self.started.elapsed() > DEATHS_LIMIT {
                return Err(format!("not there after {} s", DEATHS_LIMIT.as_secs()).into());
            }
            piton.live(resumed)?;
            resumed = true;
            match piton.state() {
                Ok(state) if state == wanted => return Ok(()),
                Ok(State::Ended(status)) => return Err(format!("the run is {status}").into()),
                _ => {}
            }
        }
    }

    /// How often an engine or a watchdog died: after the first event of each place.
    fn deaths_at_every_step(&self, piton: &Piton) -> Result<u64> {
        let list = std::fs::read_to_string(self.places())?;
        let places: HashSet<&str> = list.lines().collect();
        for step in piton.steps()? {
            if !places.contains(format!("step_succeeded {}", step.escape_debug()).as_str()) {
                return Err(format!("no engine died after \"{step}\" had succeeded").into());
            }
        }
        let kinds = places.iter().filter_map(|place| place.split(' ').next()).collect::<BTreeSet<_>>();
        self.say(&format!("an engine died {} times, after events of {} kinds: {kinds:?}", places.len(), kinds.len()));
        Ok(places.len() as u64)
    }

    fn places(&self) -> PathBuf {
        self.folder.join("places")
    }
}
