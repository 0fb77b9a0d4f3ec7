//! `make demo` and `make demo-classic`: a live database moves while a service writes and the engine is killed twice.
//!
//! Owns the order of the show and its verdict. It believes nobody: the ledger is reconciled from its own record, tables are
//! compared by reading every row, the receipt is verified, and verified again with one byte changed. What it starts, it ends,
//! also when it fails or is interrupted. Never touches a system service.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod classic;
mod engine;
mod ledger;
mod moved;
mod packages;
mod receipt;
mod sysbench;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use engine::Engine;

/// What is promised: a move of this many steps, each of which does something.
const FEWEST_STEPS: u64 = 200;
/// No part of the show takes longer on a machine that can show it at all, beside what it is told to wait.
const PART_LIMIT: Duration = Duration::from_secs(600);
/// A move whose engine dies all the time takes longer.
const DEATHS_LIMIT: Duration = Duration::from_secs(3600);
pub(crate) type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// `make demo`.
pub(crate) fn main() -> ExitCode {
    end(Demo::new("target/demo", None).and_then(|demo| demo.run_move()))
}

/// `make demo-classic`.
pub(crate) fn classic() -> ExitCode {
    end(Demo::new("target/demo-classic", None).and_then(|demo| demo.run_classic()))
}

/// The classic move with an engine that dies once at each place of its journal: `make crash-move`, and with a few tables
/// in the tests.
pub(crate) fn with_deaths(few_tables: bool) -> ExitCode {
    end(Demo::new("target/crash-move", Some(few_tables)).and_then(|demo| demo.run_classic()))
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
    /// How long any part of it may take.
    pub(crate) limit: Duration,
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
            limit: PART_LIMIT + moved::writes_there(),
            root,
            folder,
            deaths: deaths.is_some(),
            few_tables: deaths == Some(true),
        })
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
        let deadline = Instant::now() + self.limit;
        loop {
            self.check_interrupted()?;
            if let Some(found) = look()? {
                return Ok(found);
            }
            if Instant::now() >= deadline {
                return Err(format!("waited {} s in vain until {what}", self.limit.as_secs()).into());
            }
            std::thread::sleep(EVERY);
        }
    }

    pub(crate) fn check_interrupted(&self) -> Result<()> {
        if self.interrupted.load(Ordering::Relaxed) { Err("interrupted".into()) } else { Ok(()) }
    }
}
