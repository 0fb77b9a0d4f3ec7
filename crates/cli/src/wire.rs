//! Wires the crates together: the store at its place, the ports of an engine, the program of a run.
//!
//! Owns which concrete part stands behind each port. Commands ask it; it asks nobody.

use crate::children::ChildRuns;
use crate::error::{CliError, Kind};
use crate::project::{self, Snapshot, SourceFile};
use crate::survival::Survival;
use crate::ui::story::Story;
use crate::world::{SystemClock, WatchdogProcesses};
use piton_core::event::{FORMAT, RunStarted, Runbook as Described};
use piton_core::ids::RunId;
use piton_core::plan::Bound;
use piton_core::ports::{Clock, Store as _};
use piton_core::record::{Chain, Record, Sealed, open_all};
use piton_core::{Event, RunState};
use piton_engine::{Approved, Observer, Options, Ports};
use piton_lang::Runbook;
use piton_steps::process::{Config, Processes, SupervisorCommand};
use piton_steps::{Executors, Vault};
use piton_store::SqliteStore;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const HOME_VARIABLE: &str = "PITON_HOME";
const HOME_DIR: &str = ".piton";
/// What a directory has where it is a store.
const DATABASE: &str = "journal.db";
/// Among a run's sources: the plan it is bound to. No file of a project has such a name.
pub(crate) const PLAN_SOURCE: &str = "@plan.json";
/// The very file that runs, whatever stands at its path by now: an upgrade during a run must not mix two versions.
const OWN_BINARY: &str = "/proc/self/exe";
#[derive(Clone)]
pub(crate) struct Wire {
    pub(crate) home: PathBuf,
    pub(crate) store: Arc<SqliteStore>,
    pub(crate) clock: Arc<SystemClock>,
    /// This binary.
    pub(crate) program: PathBuf,
    pub(crate) survival: Survival,
}

impl Wire {
    /// Opens the store: `$PITON_HOME`, else the nearest `.piton/` upward, else a new one here.
    pub(crate) fn open() -> Result<Self, CliError> {
        let home = home()?;
        let store = Arc::new(SqliteStore::open(&home)?);
        let (clock, survival) = (Arc::new(SystemClock::new()), Survival::of_this_process());
        Ok(Self { home, store, clock, program: PathBuf::from(OWN_BINARY), survival })
    }

    /// Opens the store where there is one, and makes none.
    pub(crate) fn open_existing() -> Result<Option<Self>, CliError> {
        let exists = home()?.join(DATABASE).is_file();
        exists.then(Self::open).transpose()
    }

    /// Of an engine that drives this run, whose program this is.
    pub(crate) fn options(&self, run: &RunId, program: &Runbook) -> Result<Options, CliError> {
        let approved = self.approved(run, program)?;
        Ok(Options { fault: crate::fault::asked(), leave_when_waiting: false, approved })
    }

    /// The plan that the run is bound to, from its sources.
    fn approved(&self, run: &RunId, program: &Runbook) -> Result<Option<Approved>, CliError> {
        let files: Vec<SourceFile> = self.store.sources(run)?;
        let Some((_, bytes, _)) = files.iter().find(|(path, ..)| path == PLAN_SOURCE) else { return Ok(None) };
        let plan = crate::commands::plan::parse(bytes, &format!("the plan of run {run}"))?;
        let copy = program
            .planning()
            .map_err(|diagnostics| CliError::runbook("the planning copy of the runbook", &diagnostics))?;
        Ok(Some(Approved { plan: Arc::new(Bound::new(Arc::new(plan))), program: Arc::new(copy) }))
    }

    /// The ports of an engine that drives `run`.
    pub(crate) fn ports(&self, run: &RunId, root: &Path, observer: Arc<dyn Observer>) -> Result<Ports, CliError> {
        let run_dir = self.store.run_dir(run);
        let clock: Arc<dyn Clock> = self.clock.clone();
        let (vault, executor) = hands(root, self.store.store_key()?, clock.clone());
        let watchdogs = WatchdogProcesses {
            program: self.program.clone(),
            home: self.home.clone(),
            run_dir,
            survival: self.survival.clone(),
        };
        Ok(Ports {
            store: self.store.clone(),
            side_logs: self.store.clone(),
            executor,
            vault,
            clock,
            children: Arc::new(ChildRuns(self.clone())),
            watchdogs: Arc::new(watchdogs),
            observer,
        })
    }

    /// The run's program, from its snapshot, which is written out where its scripts run from.
    pub(crate) fn program_of(&self, run: &RunId, runbook: &Described) -> Result<Arc<Runbook>, CliError> {
        let mut files: Vec<SourceFile> = self.store.sources(run)?;
        files.retain(|(path, ..)| path != PLAN_SOURCE);
        project::materialise(&self.store.run_dir(run), &files).map_err(|error| {
            CliError::new(Kind::StoreUnavailable, "the run's sources cannot be written out").source(error)
        })?;
        let file = &runbook.file;
        if project::describe(Path::new(&runbook.root), file, &runbook.title, &files).digest != runbook.digest {
            let message =
                format!("the sources of run {run} are not those that its journal names: an edit was interrupted");
            return Err(CliError::new(Kind::StoreUnreadable, message)
                .hint(format!("edit it again: piton resume {} --edited FILE", run.short())));
        }
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

    /// A run as it is told, its state with it, read from its journal.
    pub(crate) fn story(&self, run: &RunId) -> Result<Story, CliError> {
        let mut story = Story::default();
        self.read_on(run, &mut story)?;
        Ok(story)
    }

    /// What its journal has got since.
    pub(crate) fn read_on(&self, run: &RunId, story: &mut Story) -> Result<(), CliError> {
        let mut chain = Chain { seq: story.state.seq, head: story.state.head };
        self.records(run, &mut chain, |record| {
            story.apply(&record);
            ControlFlow::Continue(())
        })
    }

    /// Hands on what a run's journal says after where the chain stands, one record after the other, each checked. A
    /// journal that a newer version of Piton wrote is refused: what that meant by an event is not guessed.
    pub(crate) fn records(
        &self,
        run: &RunId,
        chain: &mut Chain,
        mut see: impl FnMut(Record) -> ControlFlow<()>,
    ) -> Result<(), CliError> {
        let mut unreadable = None;
        self.store.read(run, chain.seq, &mut |sealed| {
            let opened = match newer(run, &sealed) {
                Some(error) => Err(error),
                None => chain.open(&sealed).map_err(CliError::from),
            };
            match opened {
                Ok(record) => see(record),
                Err(error) => {
                    unreadable = Some(error);
                    ControlFlow::Break(())
                }
            }
        })?;
        unreadable.map_or(Ok(()), Err)
    }

    /// A run's journal as it is stored, every record checked: a damaged journal is the store's trouble, whatever is
    /// made of it.
    pub(crate) fn sealed(&self, run: &RunId) -> Result<Vec<Sealed>, CliError> {
        let sealed = self.store.read_all(run, 0)?;
        match sealed.first().and_then(|first| newer(run, first)) {
            Some(error) => Err(error),
            None => {
                open_all(&sealed)?;
                Ok(sealed)
            }
        }
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
            _ => Err(never_started(run)),
        }
    }
}

pub(crate) fn never_started(run: &RunId) -> CliError {
    CliError::new(Kind::RunEnded, format!("run {run} was never started: its engine died before the first record"))
        .hint("start the runbook again; nothing of this run was done")
}

/// What performs actions, with the vault that opens their secrets. `root`: the project's.
pub(crate) fn hands(root: &Path, key: [u8; 32], clock: Arc<dyn Clock>) -> (Arc<Vault>, Arc<Executors>) {
    let vault = Arc::new(Vault::new(root.to_path_buf(), key));
    let supervisor = SupervisorCommand { program: PathBuf::from(OWN_BINARY), args: vec!["__supervise".into()] };
    let processes = Processes::new(Config::new(supervisor, vault.clone()));
    (vault.clone(), Arc::new(Executors::new(vault, clock, processes)))
}

/// The refusal of a journal that a newer version of Piton wrote, which its first record tells.
fn newer(run: &RunId, sealed: &Sealed) -> Option<CliError> {
    let format = if sealed.seq == 1 { format_of(&sealed.body)? } else { return None };
    (format > FORMAT.into()).then(|| {
        let message = format!("the journal of run {run} was written by a newer version of Piton");
        CliError::new(Kind::StoreUnreadable, message)
            .hint(format!("its format is {format}, this version knows up to {FORMAT}: use that version"))
    })
}

/// The format that a journal's first record names, whatever else stands in it.
fn format_of(body: &str) -> Option<u64> {
    let first: serde_json::Value = serde_json::from_str(body).ok()?;
    first.get("run_started")?.get("format")?.as_u64()
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
