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
/// Events of a life in the short version of `make crash-move`.
const EVENTS_A_LIFE: u64 = 60;
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

/// The same move with an engine that dies again and again, every so many events: `make crash-move`, and a short version
/// in the tests.
pub(crate) fn with_deaths() -> ExitCode {
    let every = std::env::var("PITON_MOVE_DEATHS").ok().and_then(|text| text.parse().ok()).unwrap_or(EVENTS_A_LIFE);
    end(Demo::new("target/crash-move", Some(every)).and_then(|demo| demo.run()))
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
    /// Events of an engine's life, on average, where it dies again and again.
    pub(crate) deaths: Option<u64>,
}

impl Demo {
    fn new(folder: &str, deaths: Option<u64>) -> Result<Self> {
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
        Ok(Self { started: Instant::now(), interrupted, root, folder, deaths })
    }

    fn run(&self) -> Result<bool> {
        packages::ensure(self)?;
        let binaries = engine::build(self)?;
        self.say("starting two private MariaDB servers in temporary directories, on free ports of 127.0.0.1");
        let platforms = Platforms::start()?;
        self.say("filling the old one: 33 awkward tables, sysbench's, the ledger's");
        platforms.fill(self)?;

        let piton = Piton::new(self, &binaries, &platforms)?;
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
        let kills = match self.deaths {
            None => self.run_with_two_kills(piton)?,
            Some(every) => self.run_with_deaths(piton, every)?,
        };
        piton.wait_for(State::Asking, "the run asks whether to close the way back")?;
        self.say("the service writes on the new platform; the old one follows it. Stopping the writers to look for ourselves");
        let stats = load.stop()?;
        platforms.drain_way_back()?;
        let compared = piton_testkit::compare::compare(&platforms.old.url("shop"), &platforms.new.url("shop"))?;
        let books = load.reconcile(&platforms.new.address())?;
        self.say(&format!("answering the run's question: {ANSWER}"));
        piton.answer(QUESTION, ANSWER)?;
        piton.wait_for(State::Succeeded, "the run ends")?;

        let receipt = self.folder.join("receipt.json");
        piton.receipt(&receipt)?;
        let told = read_receipt(&receipt)?;
        let left = piton.sweep();
        let summary = Summary::new(self, kills, told, &stats, &books, &compared, &receipt, left);
        summary.write(&self.folder.join("summary.json"))?;
        Ok(summary.print(self))
    }

    /// Starts the move, kills the engine while tables are loaded, resumes, and kills it again inside the window.
    fn run_with_two_kills(&self, piton: &Piton) -> Result<u64> {
        self.say("piton run examples/move-classic/move.star");
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
        self.kill(engine, "inside the window; nobody resumes it: its watchdog has to")?;
        Ok(2)
    }

    /// The engine dies after a few events, is resumed, and dies again, until the run asks its question. Lives differ in
    /// length, so that deaths come at every kind of event and each life gets a little further.
    fn run_with_deaths(&self, piton: &Piton, every: u64) -> Result<u64> {
        self.say(&format!("piton run examples/move-classic/move.star, an engine living {every} events on average"));
        let mut deaths = 0;
        let mut events = every;
        let mut died = piton.live(None, events)?;
        loop {
            self.check_interrupted()?;
            if self.started.elapsed() > DEATHS_LIMIT {
                return Err(format!("not done after {deaths} deaths").into());
            }
            deaths += u64::from(died);
            // Where a window is open its watchdog goes on; nobody else may.
            piton.wait_until_idle()?;
            match piton.state()? {
                State::Asking | State::Succeeded => break,
                State::Going => {}
                State::Ended(status) => return Err(format!("the run is {status} after {deaths} deaths").into()),
            }
            // A step of 7 modulo twice the average visits every length.
            events = 2 + (events + 7) % (2 * every).max(2);
            died = piton.live(Some("@last"), events)?;
        }
        self.say(&format!("the engine died {deaths} times"));
        Ok(deaths)
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
