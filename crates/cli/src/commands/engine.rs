//! `piton __engine`, and what every command does that drives a run: attach, follow signals, end.
//!
//! Owns the life of an engine in this process, and starting one in the background. Never decides how a run goes on.

use crate::children;
use crate::commands::{leftovers, waker};
use crate::error::{CliError, Kind};
use crate::exit::Exit;
use crate::print;
use crate::survival::ACCEPT_VARIABLE;
use crate::ui::Screen;
use crate::ui::story::Story;
use crate::wire::{Wire, never_started};
use crate::world;
use piton_core::RunState;
use piton_core::event::{Attach, RunEdited, RunStarted};
use piton_core::ids::{Actor, RunId};
use piton_core::ports::{Lease, LeaseOutcome, Store as _};
use piton_engine::{Control, Drive, Engine, Options, Ports};
use piton_lang::Runbook;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::fs::OpenOptions;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

/// How a run is driven here.
pub(crate) struct Driven {
    pub(crate) run: RunId,
    pub(crate) lease: Box<dyn Lease>,
    pub(crate) attach: Attach,
    pub(crate) by: Option<Actor>,
    pub(crate) program: Arc<Runbook>,
    pub(crate) root: PathBuf,
    /// What was read of its journal already.
    pub(crate) known: Option<Story>,
    pub(crate) start: Option<RunStarted>,
    /// The run goes on with this program from here.
    pub(crate) edit: Option<RunEdited>,
    pub(crate) waiting: Waiting,
}

/// What an engine does when all that is left waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waiting {
    /// In the foreground it stays: somebody sits before it.
    Stays,
    /// In the background it leaves: whoever answers starts another, or the store's waker does when its time comes.
    Leaves,
}

/// `piton __engine RUN`: an engine in the background.
pub(crate) fn run(run: &str) -> Result<Exit, CliError> {
    // A session of its own: no terminal's signals reach it. It fails where this process leads one already, as it should.
    let _ = rustix::process::setsid();
    let mut wire = Wire::open()?;
    let run = wire.store.find(run)?.id;
    let lease = match take_lease(&wire, &run) {
        // The waker and a person may start one at the same time: whichever comes first does what there is to do.
        Err(error) if error.kind == Kind::RunBusy => {
            print::note(&error.message);
            return Ok(Exit::Done);
        }
        lease => lease?,
    };
    // What is open must be finished or taken back, here as anywhere.
    let story = wire.story(&run)?;
    let open = story.state.open_window().is_some();
    wire.survival.accept(open);
    let attach = Attach::Resumed;
    drive_existing(&wire, lease, attach, None, Some(story), Waiting::Leaves, Arc::new(Screen::plain()))
}

/// Drives an existing run in the foreground of this process. `known`: its story, as far as it has been read.
pub(crate) fn drive_foreground(
    wire: &Wire,
    run: &RunId,
    by: Option<Actor>,
    known: Option<Story>,
    json: bool,
) -> Result<Exit, CliError> {
    let lease = take_lease(wire, run)?;
    drive_existing(wire, lease, Attach::Resumed, by, known, Waiting::Stays, Arc::new(Screen::foreground(json)))
}

pub(crate) fn drive_existing(
    wire: &Wire,
    lease: Box<dyn Lease>,
    attach: Attach,
    by: Option<Actor>,
    known: Option<Story>,
    waiting: Waiting,
    screen: Arc<Screen>,
) -> Result<Exit, CliError> {
    let run = lease.run().clone();
    // The runbook may have been edited before this engine had the lease.
    let mut story = known.unwrap_or_default();
    wire.read_on(&run, &mut story)?;
    let runbook = story.state.runbook().ok_or_else(|| never_started(&run))?;
    let program = wire.program_of(&run, runbook)?;
    let root = PathBuf::from(&runbook.root);
    let known = Some(story);
    drive(wire, Driven { run, lease, attach, by, program, root, known, start: None, edit: None, waiting }, screen)
}

/// Makes the records that a start or an edit begins with, and lets go of the run.
pub(crate) fn announce(wire: &Wire, driven: Driven) -> Result<(), CliError> {
    let ports = wire.ports(&driven.run, &driven.root, Arc::new(Screen::silent()))?;
    attach(wire, driven, ports).map(drop)
}

fn attach(wire: &Wire, driven: Driven, ports: Ports) -> Result<Engine, CliError> {
    let Driven { run, lease, attach, by, program, root: _, known, start, edit, waiting } = driven;
    let options = Options { leave_when_waiting: waiting == Waiting::Leaves, ..wire.options(&run, &program)? };
    let engine = Engine::attach(Drive {
        ports,
        program,
        lease,
        engine: world::engine_id(&*wire.clock),
        attach,
        by,
        piton: world::VERSION.to_owned(),
        run_dir: wire.store.run_dir(&run),
        known: known.map(|story| story.state),
        start,
        edit,
        options,
    })?;
    Ok(engine)
}

pub(crate) fn take_lease(wire: &Wire, run: &RunId) -> Result<Box<dyn Lease>, CliError> {
    match wire.store.lease(run, &world::engine_id(&*wire.clock))? {
        LeaseOutcome::Held(lease) => Ok(lease),
        LeaseOutcome::Busy(holder) => {
            let who = holder.map_or_else(String::new, |engine| format!(" (process {} on {})", engine.pid, engine.host));
            Err(CliError::new(Kind::RunBusy, format!("an engine drives run {run} already{who}"))
                .hint(format!("follow it: piton watch {}", run.short())))
        }
    }
}

/// Drives a run until it ends, holds, or a signal ends this process.
pub(crate) fn drive(wire: &Wire, driven: Driven, screen: Arc<Screen>) -> Result<Exit, CliError> {
    let (run, by) = (driven.run.clone(), driven.by.clone());
    print::tells_of(&run);
    // Steps are cloned, their texts and outcomes shared: reading the journal a second time would cost far more.
    if let Some(story) = &driven.known {
        screen.remember(story.clone());
    }
    let runbook = (driven.start.as_ref().map(|start| &start.runbook))
        .or_else(|| driven.known.as_ref().and_then(|story| story.state.runbook()));
    if let Some(runbook) = runbook.cloned() {
        let (store, run) = (wire.store.clone(), run.clone());
        screen.look_back(move || crate::past::before(&store, &run, &runbook));
    }
    let ports = wire.ports(&run, &driven.root, screen.clone())?;
    let engine = attach(wire, driven, ports)?;
    screen.begin(engine.control());
    let signals = follow_signals(engine.control(), by.unwrap_or_else(|| world::actor(None)), screen.clone())?;
    let end = engine.run();
    signals.end();
    let is_child = |state: &RunState| state.started.as_ref().is_some_and(|started| started.parent.is_some());
    let ended =
        engine.control().with_state(|state| (is_child(state) && state.finished.is_some()).then(|| state.clone()));
    // The engine still holds the lease.
    let keeps_files = engine.control().with_state(|state| state.keeps_files);
    let cleared = if keeps_files { leftovers::clear(wire, &run) } else { Ok(()) };
    // Told before the process ends: whoever lists runs need not look who still lives.
    engine.give_back();
    // It may have left this run parked, or given up what another one waits for.
    waker::summon(wire);
    screen.end(&run, &end);
    let woken = ended.map_or(Ok(()), |state| children::wake_parent(wire, &run, &state));
    if let piton_engine::End::Broken(why) = end {
        return Err(piton_engine::Broken(why).into());
    }
    cleared?;
    woken?;
    Ok(Exit::of_end(&end))
}

/// Ctrl-C once: finish the running steps, then hold. Twice: leave at once; commands go on under their supervisors.
/// A terminal that hangs up changes nothing: the run goes on.
fn follow_signals(control: Control, by: Actor, screen: Arc<Screen>) -> Result<Following, CliError> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])
        .map_err(|error| CliError::new(Kind::EngineNotStarted, "signals cannot be followed").source(error))?;
    let handle = signals.handle();
    let thread = std::thread::spawn(move || {
        let mut asked = false;
        for signal in signals.forever() {
            if signal == SIGHUP {
                continue;
            }
            if asked {
                screen.leaving();
                std::process::exit(i32::from(Exit::Failed.code()));
            }
            asked = true;
            screen.pausing();
            if let Err(broken) = control.pause(&by) {
                crate::print::note(&CliError::from(broken).render());
            }
        }
    });
    Ok(Following { handle, thread })
}

/// The thread that follows signals; it holds on to the engine.
struct Following {
    handle: signal_hook::iterator::Handle,
    thread: std::thread::JoinHandle<()>,
}

impl Following {
    fn end(self) {
        self.handle.close();
        // A panic in it has been reported.
        let _ = self.thread.join();
    }
}

/// Starts an engine for the run in the background and returns when it has the lease, or says why not.
pub(crate) fn spawn_detached(wire: &Wire, run: &RunId) -> Result<(), CliError> {
    print::tells_of(run);
    spawn(wire, run, &[])
}

/// The same for another run than the one that is driven here: a fault that is to strike this engine is not meant for it.
pub(crate) fn spawn_child(wire: &Wire, run: &RunId) -> Result<(), CliError> {
    spawn(wire, run, &[crate::fault::CRASH_AFTER, crate::fault::STOP_AFTER])
}

fn spawn(wire: &Wire, run: &RunId, without: &[&str]) -> Result<(), CliError> {
    let mut child = start(wire, run, without).map_err(cannot_start)?;
    for _ in 0..DETACH_LOOKS {
        if wire.store.find(run.as_str())?.held_by.is_some() {
            // Whoever started it may live longer, and its end is to leave nothing behind.
            std::thread::spawn(move || child.wait());
            return Ok(());
        }
        if let Ok(Some(status)) = child.try_wait() {
            // It may have done all there was to do.
            if status
                .code()
                .is_some_and(|code| code != i32::from(Exit::Wrong.code()) && code != i32::from(Exit::Store.code()))
            {
                return Ok(());
            }
            return Err(CliError::new(Kind::EngineNotStarted, "the engine in the background ended at once")
                .hint(format!("its words are in {}", engine_log(wire, run).display())));
        }
        std::thread::sleep(DETACH_LOOK);
    }
    Ok(())
}

/// Starts an engine for the run, in a session of its own, `without` these variables; its words go to the run's `engine.log`.
pub(crate) fn start(wire: &Wire, run: &RunId, without: &[&str]) -> std::io::Result<Child> {
    let log = OpenOptions::new().create(true).append(true).open(engine_log(wire, run))?;
    let mut command = Command::new(&wire.program);
    if wire.survival.accepted() {
        command.env(ACCEPT_VARIABLE, "1");
    }
    for variable in without {
        command.env_remove(variable);
    }
    command
        .arg0("piton")
        .arg("__engine")
        .arg(run.as_str())
        .env("PITON_HOME", &wire.home)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
}

pub(crate) fn cannot_start(error: std::io::Error) -> CliError {
    CliError::new(Kind::EngineNotStarted, "no engine can be started in the background").source(error)
}

fn engine_log(wire: &Wire, run: &RunId) -> PathBuf {
    wire.store.run_dir(run).join("engine.log")
}

/// A started engine shows itself within this many looks, so far apart.
const DETACH_LOOKS: u32 = 500;
const DETACH_LOOK: std::time::Duration = std::time::Duration::from_millis(10);
