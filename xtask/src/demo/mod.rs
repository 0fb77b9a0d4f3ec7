//! `make demo`: a live database moves while a service writes and the engine is killed twice.
//!
//! Owns the order of the show and its verdict. It believes nobody: the ledger is reconciled from its own record, tables are
//! compared by reading every row, the receipt is verified, and verified again with one byte changed. What it starts, it ends,
//! also when it fails or is interrupted. Never touches a system service.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod engine;
mod load;
mod packages;
mod platforms;
mod summary;

use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use engine::{Engine, Piton, State};
use load::Load;
use platforms::Platforms;
use summary::{Summary, read_receipt};

/// How many tables are loaded when the engine is killed for the first time.
const LOADS_BEFORE_KILL: usize = 10;
/// No part of the show takes longer on a machine that can show it at all.
const PART_LIMIT: Duration = Duration::from_secs(120);
/// A move whose engine dies all the time takes longer.
const DEATHS_LIMIT: Duration = Duration::from_secs(3600);
/// The runbook's question at its end, and our answer once we have looked for ourselves.
const QUESTION: &str = "Close the way back?";
const ANSWER: &str = "decision=close";

pub(crate) type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// `make demo`.
pub(crate) fn main() -> ExitCode {
    end(Demo::new("target/demo", None).and_then(|demo| demo.run()))
}

/// The same move with an engine that dies once at each place of its journal: `make crash-move`, and with a few tables
/// in the tests.
pub(crate) fn with_deaths(few_tables: bool) -> ExitCode {
    end(Demo::new("target/crash-move", Some(few_tables)).and_then(|demo| demo.run()))
}

fn end(shown: Result<bool>) -> ExitCode {
    match shown {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("\ndemo: {error}");
            let mut source = error.source();
            while let Some(cause) = source {
                eprintln!("  because: {cause}");
                source = cause.source();
            }
            ExitCode::FAILURE
        }
    }
}

/// What every part of the show needs.
pub(crate) struct Demo {
    started: Instant,
    interrupted: Arc<AtomicBool>,
    root: PathBuf,
    folder: PathBuf,
    /// Whether engines die after every event.
    pub(crate) deaths: bool,
    /// A move of a few tables, where each costs hundreds of deaths.
    pub(crate) few_tables: bool,
}

impl Demo {
    fn new(folder: &str, deaths: Option<bool>) -> Result<Self> {
        let interrupted = Arc::new(AtomicBool::new(false));
        for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM, signal_hook::consts::SIGHUP] {
            signal_hook::flag::register(signal, Arc::clone(&interrupted))?;
        }
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().ok_or("xtask has no parent folder")?.to_owned();
        let folder = root.join(folder);
        if folder.exists() {
            std::fs::remove_dir_all(&folder)?;
        }
        std::fs::create_dir_all(&folder)?;
        Ok(Self {
            started: Instant::now(),
            interrupted,
            root,
            folder,
            deaths: deaths.is_some(),
            few_tables: deaths == Some(true),
        })
    }

    fn run(&self) -> Result<bool> {
        packages::ensure(self)?;
        let binaries = engine::build(self)?;
        self.say("starting two private MariaDB servers in temporary directories, on free ports of 127.0.0.1");
        let platforms = Platforms::start()?;
        let awkward = if self.few_tables { "a few" } else { "33" };
        self.say(&format!("filling the old one: {awkward} awkward tables, sysbench's, the ledger's"));
        platforms.fill(self)?;

        let mut piton = Piton::new(self, &binaries, &platforms)?;
        if self.deaths {
            piton.die_once_at_each_place(&self.places());
        }
        let mut load = Load::start(self, &binaries, &platforms)?;
        self.say("sysbench (read-write), the ledger and a stored procedure now write to the old platform");
        let outcome = self.show(&piton, &platforms, &mut load);
        if outcome.is_err() {
            piton.explain();
        }
        piton.sweep();
        outcome
    }

    fn show(&self, piton: &Piton, platforms: &Platforms, load: &mut Load) -> Result<bool> {
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
        let told = read_receipt(&receipt)?;
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

    fn kill(&self, engine: Engine, when: &str) -> Result<()> {
        self.say(&format!("SIGKILL to the engine (process {}), {when}", engine.id()));
        engine.kill()
    }

    /// Tells how far the show is.
    pub(crate) fn say(&self, text: &str) {
        println!("[{:6.1} s] {text}", self.started.elapsed().as_secs_f64());
    }

    /// Waits until `look` gives something, an interruption, or the limit.
    pub(crate) fn wait_until<T>(&self, what: &str, mut look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
        const EVERY: Duration = Duration::from_millis(50);
        let deadline = Instant::now() + PART_LIMIT;
        loop {
            self.check_interrupted()?;
            if let Some(found) = look()? {
                return Ok(found);
            }
            if Instant::now() >= deadline {
                return Err(format!("waited {} s in vain until {what}", PART_LIMIT.as_secs()).into());
            }
            std::thread::sleep(EVERY);
        }
    }

    pub(crate) fn check_interrupted(&self) -> Result<()> {
        if self.interrupted.load(Ordering::Relaxed) { Err("interrupted".into()) } else { Ok(()) }
    }
}
