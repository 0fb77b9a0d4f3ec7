//! `piton waker`: starts engines for parked runs when their time, or their turn at a lock, has come. One for each store.
//!
//! Owns the waker's life: its looks, how many engines it starts at once, its log; and seeing to it that one lives where
//! runs are parked. What is due is the store's to say, when to try again `core`'s; how a run goes on is its engine's.

use crate::commands::engine;
use crate::error::CliError;
use crate::exit::Exit;
use crate::survival::ACCEPT_VARIABLE;
use crate::ui::text::date;
use crate::wire::Wire;
use crate::{fault, print};
use piton_core::RunId;
use piton_core::ports::{Clock as _, Parked, Parking as _, Store as _, StoreError};
use piton_store::waker::Seat;
use signal_hook::consts::SIGCHLD;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

/// Engines that have been started and do not drive their run yet: each reads a journal, as fast as it can.
const MAX_STARTING: usize = 8;
/// Engines of one waker that live at the same time. What is due waits then; a machine that is out of memory helps nobody.
const MAX_ENGINES: usize = 64;
/// However far off what comes next is: the clock may jump.
const LONGEST_REST: Duration = Duration::from_secs(60);
/// Whether a started engine drives its run is looked at this often.
const STARTING_LOOK: Duration = Duration::from_millis(50);
/// Its log is begun anew beyond this; the one before is kept.
const LOG_BYTES: u64 = 1024 * 1024;
const LOG: &str = "waker.log";

/// Opens the store for a person's command. Where runs are parked in it, a waker lives from then on: it may have been
/// killed, or the machine started anew.
pub(crate) fn open() -> Result<Wire, CliError> {
    let wire = Wire::open()?;
    summon(&wire);
    Ok(wire)
}

/// Sees to it that a waker lives where runs are parked. One that does looks: it may have something to do, or nothing any
/// more. What fails here is tried again by the next command.
pub(crate) fn summon(wire: &Wire) {
    let wanted = wire.store.any_parked().unwrap_or(false);
    if wire.store.ring_waker() || !wanted || !is_ours(&wire.home) {
        return;
    }
    if let Err(error) = spawn(wire) {
        print::note(&format!("warning: no waker can be started for the runs that are parked: {error}"));
    }
}

/// Whoever looks into another account's store starts nothing there in its own name.
fn is_ours(home: &Path) -> bool {
    home.metadata().is_ok_and(|home| home.uid() == rustix::process::geteuid().as_raw())
}

fn spawn(wire: &Wire) -> io::Result<Child> {
    let path = wire.home.join(LOG);
    if path.metadata().is_ok_and(|log| log.len() > LOG_BYTES) {
        std::fs::rename(&path, wire.home.join(format!("{LOG}.1")))?;
    }
    let log = OpenOptions::new().create(true).append(true).open(path)?;
    Command::new(&wire.program)
        .arg0("piton")
        .arg("__waker")
        .env("PITON_HOME", &wire.home)
        // What was accepted for one run was not for all others.
        .env_remove(ACCEPT_VARIABLE)
        // A fault that struck an engine is not meant for who wakes others.
        .env_remove(fault::CRASH_AFTER)
        .env_remove(fault::STOP_AFTER)
        .current_dir(&wire.home)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
}

/// `stays`: in the foreground, as a service, until it is ended. Otherwise it ends when no run is parked.
pub(crate) fn run(stays: bool) -> Result<Exit, CliError> {
    if !stays {
        // A session of its own: no terminal's signals reach it.
        let _ = rustix::process::setsid();
    }
    let wire = Wire::open()?;
    let mut waker = Waker { wire, binary: Binary::own(), engines: Vec::new(), trouble: None };
    while let Some(seat) = waker.sit(stays)? {
        waker.say(&format!("the waker of {} is process {}", waker.wire.home.display(), std::process::id()));
        if !waker.watch(&seat, stays) {
            return Ok(Exit::Done);
        }
        drop(seat);
        // What was parked before the seat was free has seen somebody in it.
        if !waker.wire.store.any_parked()? {
            return Ok(Exit::Done);
        }
    }
    Ok(Exit::Done)
}

struct Waker {
    wire: Wire,
    binary: Option<Binary>,
    engines: Vec<Started>,
    /// The last thing that went wrong, so that it is told once.
    trouble: Option<String>,
}

/// An engine that this waker has started.
struct Started {
    run: RunId,
    child: Child,
    /// It has been seen to drive its run.
    drives: bool,
    tries: u32,
    not_before_us: i64,
}

impl Waker {
    fn sit(&self, stays: bool) -> Result<Option<Seat>, StoreError> {
        match self.wire.store.waker_seat()? {
            None if stays => {
                let who = self.wire.store.waker().map_or_else(String::new, |pid| format!(", process {pid}"));
                self.say(&format!("another waker lives{who}; this one begins when that has ended"));
                self.wire.store.waker_seat_when_free().map(Some)
            }
            seat => Ok(seat),
        }
    }

    /// Looks until no run is parked (true) or it has nothing to look after any more (false).
    fn watch(&mut self, seat: &Seat, stays: bool) -> bool {
        if let Some(bell) = seat.bell() {
            // Without it the end of an engine is noticed at the next look.
            let _ = signal_hook::low_level::pipe::register(SIGCHLD, bell);
        }
        while seat.is_there() {
            let now_us = self.wire.clock.now().wall_us;
            let found = self.look(now_us);
            if let Ok(parked) = &found
                && !parked.any
                && self.engines.is_empty()
                && !stays
            {
                self.say("no run is parked: the waker ends");
                return true;
            }
            self.tell_trouble(found.as_ref().err());
            if self.engines.is_empty()
                && let Some(new) = self.binary.as_ref().and_then(Binary::replaced_by)
            {
                self.hand_over(new, stays);
            }
            let again_us = found.ok().and_then(|parked| parked.look_again_us);
            seat.rest(self.until(again_us, now_us));
        }
        self.say("the store is gone: the waker ends");
        false
    }

    fn until(&self, again_us: Option<i64>, now_us: i64) -> Duration {
        let again = again_us.map(|at_us| Duration::from_micros(u64::try_from(at_us - now_us).unwrap_or(0)));
        let starting = self.engines.iter().any(|engine| !engine.drives).then_some(STARTING_LOOK);
        again.into_iter().chain(starting).fold(LONGEST_REST, Duration::min)
    }

    fn look(&mut self, now_us: i64) -> Result<Parked, CliError> {
        self.look_after_engines();
        let starting = self.engines.iter().filter(|engine| !engine.drives).count();
        let room = MAX_STARTING.saturating_sub(starting).min(MAX_ENGINES.saturating_sub(self.engines.len()));
        let parked = self.wire.store.look_at_parked(now_us, room)?;
        for run in &parked.due {
            if !self.engines.iter().any(|engine| engine.run == *run) {
                self.start(run, now_us)?;
            }
        }
        Ok(parked)
    }

    /// Counted before it is started: whatever kills this waker in between, or the engine at once, it is not started over
    /// and over.
    fn start(&mut self, run: &RunId, now_us: i64) -> Result<(), CliError> {
        let Some(woken) = self.wire.store.waking(run, now_us)? else { return Ok(()) };
        let child = engine::start(&self.wire, run, &[]).map_err(engine::cannot_start)?;
        let again = if woken.tries > 1 { format!(" (for the {}th time)", woken.tries) } else { String::new() };
        self.say(&format!("run {run} is due: its engine is process {}{again}", child.id()));
        let (tries, not_before_us) = (woken.tries, woken.not_before_us);
        self.engines.push(Started { run: run.clone(), child, drives: false, tries, not_before_us });
        Ok(())
    }

    fn look_after_engines(&mut self) {
        let mut ended = Vec::new();
        let store = &self.wire.store;
        self.engines.retain_mut(|engine| match engine.child.try_wait() {
            Ok(Some(status)) => {
                ended.push((engine.run.clone(), status, engine.tries, engine.not_before_us));
                false
            }
            _ => {
                engine.drives = engine.drives || store.find(engine.run.as_str()).is_ok_and(|run| run.held_by.is_some());
                true
            }
        });
        for (run, status, tries, not_before_us) in ended {
            if let Some(how) = went_wrong(status) {
                let log = self.wire.store.run_dir(&run).join("engine.log");
                let log = log.display();
                let again = date(not_before_us);
                self.say(&format!(
                    "run {run}: its engine {how}, after {tries} of them; its words are in {log}; where the run is still due, \
                     another is started at {again}"
                ));
            }
        }
    }

    /// An upgrade: the file that stands there now goes on.
    fn hand_over(&self, new: &Path, stays: bool) {
        self.say("another version of piton stands in the place of this one: it goes on as the waker");
        let mut command = Command::new(new);
        // Locks and bell are closed with it, and the new one takes them.
        let error = command.arg0("piton").arg(if stays { "waker" } else { "__waker" }).exec();
        self.say(&format!("it cannot be started, and this one goes on: {error}"));
    }

    fn tell_trouble(&mut self, error: Option<&CliError>) {
        let trouble = error.map(CliError::render);
        if let Some(trouble) = &trouble
            && self.trouble.as_ref() != Some(trouble)
        {
            self.say(trouble);
        }
        self.trouble = trouble;
    }

    fn say(&self, text: &str) {
        print::line(&format!("{} {text}", date(self.wire.clock.now().wall_us)));
    }
}

/// How it ended, where it has not driven its run as an engine should.
fn went_wrong(status: ExitStatus) -> Option<String> {
    let wrong = [Exit::Wrong, Exit::Store, Exit::Bug].map(|exit| i32::from(exit.code()));
    match status.code() {
        None => Some(format!("was killed ({status})")),
        Some(code) if wrong.contains(&code) => Some(format!("ended at once with exit code {code}")),
        Some(_) => None,
    }
}

/// The file that runs as this process.
struct Binary {
    path: PathBuf,
    /// Held open, so that its number is not used again.
    _file: File,
    is: (u64, u64),
}

impl Binary {
    fn own() -> Option<Self> {
        let path = std::env::current_exe().ok()?;
        let file = File::open(&path).ok()?;
        let is = file.metadata().ok()?;
        Some(Self { path, is: (is.dev(), is.ino()), _file: file })
    }

    /// Another file stands in its place, whole: it can be run.
    fn replaced_by(&self) -> Option<&Path> {
        let now = self.path.metadata().ok()?;
        let runs = now.is_file() && now.mode() & 0o111 != 0 && now.len() > 0;
        (runs && (now.dev(), now.ino()) != self.is).then_some(self.path.as_path())
    }
}
