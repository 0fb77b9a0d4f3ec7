//! Wires the crates together: the store at its place, the ports of an engine, the program of a run.
//!
//! Owns which concrete part stands behind each port. Commands ask it; it asks nobody.

use crate::error::{CliError, Kind};
use crate::project::{self, Snapshot, SourceFile};
use crate::world::{SystemClock, WatchdogProcesses};
use piton_core::event::RunStarted;
use piton_core::ids::RunId;
use piton_core::ports::{Clock, Program, Store as _};
use piton_core::record::{Chain, Record};
use piton_core::{Event, RunState};
use piton_engine::{Fault, Observer, Options, Ports};
use piton_lang::Runbook;
use piton_steps::process::{Config, Processes, SupervisorCommand};
use piton_store::SqliteStore;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const HOME_VARIABLE: &str = "PITON_HOME";
const HOME_DIR: &str = ".piton";
/// The very file that runs, whatever stands at its path by now: an upgrade during a run must not mix two versions.
const OWN_BINARY: &str = "/proc/self/exe";
/// Fault injection for tests: die as if killed, or stop, after this many events of this life are durable.
const CRASH_VARIABLE: &str = "PITON_CRASH_AFTER";
const STOP_VARIABLE: &str = "PITON_STOP_AFTER";

pub(crate) struct Wire {
    pub(crate) home: PathBuf,
    pub(crate) store: Arc<SqliteStore>,
    pub(crate) clock: Arc<SystemClock>,
    /// This binary.
    pub(crate) program: PathBuf,
}

impl Wire {
    /// Opens the store: `$PITON_HOME`, else the nearest `.piton/` upward, else a new one here.
    pub(crate) fn open() -> Result<Self, CliError> {
        let home = home()?;
        let store = Arc::new(SqliteStore::open(&home)?);
        Ok(Self { home, store, clock: Arc::new(SystemClock::new()), program: PathBuf::from(OWN_BINARY) })
    }

    pub(crate) fn options(&self) -> Options {
        let asked = |variable: &str| std::env::var(variable).ok().and_then(|text| text.parse().ok());
        let crash = asked(CRASH_VARIABLE).map(|after| Fault { after, strike: || std::process::abort() });
        let stop = asked(STOP_VARIABLE).map(|after| Fault { after, strike: stop_here });
        Options { fault: crash.or(stop), leave_when_waiting: false }
    }

    /// The ports of an engine that drives `run`.
    pub(crate) fn ports(&self, run: &RunId, root: &Path, observer: Arc<dyn Observer>) -> Result<Ports, CliError> {
        let run_dir = self.store.run_dir(run);
        let vault = Arc::new(piton_steps::Vault::new(root.to_path_buf(), self.store.store_key()?));
        let supervisor = SupervisorCommand { program: self.program.clone(), args: vec!["__supervise".into()] };
        let clock: Arc<dyn Clock> = self.clock.clone();
        let processes = Processes::new(Config::new(supervisor, vault.clone()));
        let executor = Arc::new(piton_steps::Executors::new(vault.clone(), clock.clone(), processes));
        let watchdogs = WatchdogProcesses { program: self.program.clone(), home: self.home.clone(), run_dir };
        Ok(Ports {
            store: self.store.clone(),
            side_logs: self.store.clone(),
            executor,
            vault,
            clock,
            watchdogs: Arc::new(watchdogs),
            observer,
        })
    }

    /// The run's program, from its snapshot, which is written out where its scripts run from.
    pub(crate) fn program_of(&self, run: &RunId, started: &RunStarted) -> Result<Arc<dyn Program>, CliError> {
        let files: Vec<SourceFile> = self.store.sources(run)?;
        project::materialise(&self.store.run_dir(run), &files).map_err(|error| {
            CliError::new(Kind::StoreUnavailable, "the run's sources cannot be written out").source(error)
        })?;
        let file = &started.runbook.file;
        let runbook = Runbook::load(Arc::new(Snapshot::new(&files)), file)
            .map_err(|diagnostics| CliError::runbook(file, &diagnostics))?;
        Ok(Arc::new(runbook))
    }

    /// A run's state, read from its journal.
    pub(crate) fn state(&self, run: &RunId) -> Result<RunState, CliError> {
        let mut state = RunState::default();
        self.records(run, &mut Chain::default(), |record| {
            state.apply(&record);
            ControlFlow::Continue(())
        })?;
        Ok(state)
    }

    /// Hands on what a run's journal says after where the chain stands, one record after the other, each checked.
    pub(crate) fn records(
        &self,
        run: &RunId,
        chain: &mut Chain,
        mut see: impl FnMut(Record) -> ControlFlow<()>,
    ) -> Result<(), CliError> {
        let mut unreadable = None;
        self.store.read(run, chain.seq, &mut |sealed| match chain.open(&sealed) {
            Ok(record) => see(record),
            Err(error) => {
                unreadable = Some(error);
                ControlFlow::Break(())
            }
        })?;
        unreadable.map_or(Ok(()), |error| Err(error.into()))
    }

    /// How a run was started.
    pub(crate) fn started(&self, run: &RunId) -> Result<RunStarted, CliError> {
        let mut first = None;
        self.records(run, &mut Chain::default(), |record| {
            first = Some(record.event);
            ControlFlow::Break(())
        })?;
        match first {
            Some(Event::RunStarted(started)) => Ok(*started),
            _ => Err(CliError::new(
                Kind::RunEnded,
                format!("run {run} was never started: its engine died before the first record"),
            )
            .hint("start the runbook again; nothing of this run was done")),
        }
    }
}

fn stop_here() {
    // It cannot fail: every process may signal itself.
    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::STOP);
}

fn home() -> Result<PathBuf, CliError> {
    if let Some(home) = std::env::var_os(HOME_VARIABLE).filter(|home| !home.is_empty()) {
        return std::path::absolute(home)
            .map_err(|error| CliError::new(Kind::StoreUnavailable, "$PITON_HOME cannot be used").source(error));
    }
    let here = std::env::current_dir()
        .map_err(|error| CliError::new(Kind::StoreUnavailable, "the current directory cannot be used").source(error))?;
    let known = here.ancestors().map(|dir| dir.join(HOME_DIR)).find(|home| home.is_dir());
    Ok(known.unwrap_or_else(|| here.join(HOME_DIR)))
}
