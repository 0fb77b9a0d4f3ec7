//! `piton` as an operator has it: runs, what they did, and the processes that they started.
//!
//! Owns every call of the binary and a home of its own for the campaign's runs. Ends only processes that carry that home's
//! name in their environment.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use piton_testkit::Guarded;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::world::{TABLES, World};
use super::{BOOK, Result};

/// Supervisors and watchdogs that have nothing left to do go away by themselves within this time.
const SETTLE: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(2);

pub(super) struct Piton {
    binary: PathBuf,
    folder: PathBuf,
    home: PathBuf,
    deadline: String,
    drain: String,
}

/// Where a run has come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    Succeeded,
    /// It waits for a person: why.
    Held(String),
}

impl Piton {
    pub(super) fn new(binary: &Path, folder: &Path, deadline: &str, drain: &str) -> Result<Self> {
        let home = folder.join("home");
        std::fs::create_dir_all(&home)?;
        std::fs::write(folder.join("move.star"), BOOK)?;
        Ok(Self {
            binary: binary.to_owned(),
            folder: folder.to_owned(),
            home,
            deadline: deadline.to_owned(),
            drain: drain.to_owned(),
        })
    }

    fn command(&self, world: &World, command: &mut Command) {
        command.current_dir(&self.folder).stdin(Stdio::null()).env("PITON_HOME", &self.home);
        command.env("PITON_MOVE_OLD", world.server(0).url("")).env("PITON_MOVE_NEW", world.server(1).url(""));
    }

    fn engine(&self, world: &World, words: &[String], stop: Option<&str>) -> Result<Guarded> {
        let log = File::options().create(true).append(true).open(self.folder.join("engines.log"))?;
        let errors = log.try_clone()?;
        Ok(Guarded::start(&[], &self.binary, |command| {
            command.args(words).stdout(log).stderr(errors);
            self.command(world, command);
            if let Some(stop) = stop {
                command.env("PITON_CUTOVER_STOP", stop);
            }
        })?)
    }

    /// An engine that moves the service to where `epoch` leads; `stop`: where its mover stands still.
    pub(super) fn run(&self, world: &World, epoch: u64, stop: Option<&str>) -> Result<Guarded> {
        let tables = serde_json::to_string(&TABLES)?;
        let control = world.gate()?.control().display().to_string();
        let epoch = epoch.to_string();
        let words = ["run", "move.star", "--old", "env:PITON_MOVE_OLD", "--new", "env:PITON_MOVE_NEW"];
        let more = ["--gate", &control, "--tables", &tables, "--epoch", &epoch];
        let limits = ["--deadline", &self.deadline, "--drain", &self.drain];
        let words: Vec<String> = words.iter().chain(&more).chain(&limits).map(|word| (*word).to_owned()).collect();
        self.engine(world, &words, stop)
    }

    pub(super) fn resume(&self, world: &World) -> Result<Guarded> {
        self.engine(world, &["resume".to_owned(), "@last".to_owned()], None)
    }

    /// Which run is the last; `None` before the first.
    pub(super) fn last(&self, world: &World) -> Option<String> {
        let shown = self.json(world, &["show", "@last", "--json"]).ok()?;
        shown["id"].as_str().map(str::to_owned)
    }

    /// Where the last run is; `None` while it goes on.
    pub(super) fn end(&self, world: &World) -> Result<Option<End>> {
        let shown = self.json(world, &["show", "@last", "--json"])?;
        Ok(match shown["status"].as_str() {
            Some("succeeded") => Some(End::Succeeded),
            Some("running" | "waiting") => None,
            Some(other) => {
                let holds = shown["holds"].as_array().map(Vec::as_slice).unwrap_or_default();
                let why: Vec<&str> = holds.iter().filter_map(|hold| hold["text"].as_str()).collect();
                Some(End::Held(format!("{other}: {}", why.join("; "))))
            }
            None => return Err("piton show --json has no status".into()),
        })
    }

    /// The cutover's own report, where that step has succeeded.
    pub(super) fn report(&self, world: &World) -> Option<Value> {
        let output = self.output(world, &["logs", "@last", "Cut/Cut over"]).ok()?;
        let text = String::from_utf8_lossy(&output);
        // Of several attempts, the last.
        let from = text.rfind("\n{\n").map_or_else(|| text.find('{'), |at| Some(at + 1))?;
        serde_json::from_str(text.get(from..=text.rfind('}')?)?).ok()
    }

    /// What the run emitted of the way back: whether it can be followed.
    pub(super) fn way_back(&self, world: &World) -> Result<bool> {
        let shown = self.json(world, &["show", "@last", "--json"])?;
        let emitted = shown["emitted"].as_array().map(Vec::as_slice).unwrap_or_default();
        Ok(emitted.iter().any(|one| one["name"] == "way back" && one["value"] == true))
    }

    /// What the registers say: the epoch that is true, if anybody can tell.
    pub(super) fn truth(&self, world: &World) -> Result<Option<u64>> {
        Ok(self.json(world, &["move", "status", "--name", "shop", "--json"])?["epoch"].as_u64())
    }

    pub(super) fn gate_status(&self, world: &World) -> Result<Value> {
        let control = world.gate()?.control().display().to_string();
        self.json(world, &["gate", "status", "--json", "--control", &control])
    }

    fn output(&self, world: &World, words: &[&str]) -> Result<Vec<u8>> {
        let mut command = Command::new(&self.binary);
        command.args(words).stderr(Stdio::null());
        self.command(world, &mut command);
        Ok(command.output()?.stdout)
    }

    fn json(&self, world: &World, words: &[&str]) -> Result<Value> {
        let output = self.output(world, words)?;
        serde_json::from_slice(&output)
            .map_err(|error| format!("piton {}: {error}: {}", words.join(" "), String::from_utf8_lossy(&output)).into())
    }

    /// Processes of this campaign whose command line has all these words.
    fn processes(&self, words: &[&str]) -> Vec<u32> {
        let home = format!("PITON_HOME={}", self.home.display());
        let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        let has = |id: &u32, file: &str, wanted: &str| {
            let text = std::fs::read(format!("/proc/{id}/{file}")).unwrap_or_default();
            text.split(|byte| *byte == 0).any(|part| part == wanted.as_bytes())
        };
        ids.filter(|id| has(id, "environ", &home) && words.iter().all(|word| has(id, "cmdline", word))).collect()
    }

    /// A mover of any kind that runs now.
    pub(super) fn mover(&self) -> Option<u32> {
        self.processes(&["move", "--name", "--lanes"]).first().copied()
    }

    /// Waits until nothing of the last run is alive; ends what stays, and says how many that were.
    pub(super) fn sweep(&self) -> usize {
        let began = Instant::now();
        loop {
            let left = self.processes(&[]);
            if left.is_empty() {
                return 0;
            }
            if began.elapsed() > SETTLE {
                left.iter().for_each(|id| signal(*id, Signal::KILL));
                return left.len();
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// A signal to a process of the campaign's: one that may be gone already.
pub(super) fn signal(id: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(id).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, signal);
    }
}

/// The process that stands still at its point; `None` while nobody does.
pub(super) fn standing(marker: &Path) -> Option<u32> {
    std::fs::read_to_string(marker).ok()?.strip_suffix('\n')?.parse().ok()
}

/// Waits for something, or for an engine's end (`None`), or for too long.
pub(super) fn until<T>(
    engine: &mut Guarded,
    limit: Duration,
    mut look: impl FnMut() -> Option<T>,
) -> Result<Option<T>> {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return Ok(Some(found));
        }
        if engine.ended()?.is_some() {
            return Ok(None);
        }
        if began.elapsed() > limit {
            return Err(format!("nothing came for {} s", limit.as_secs()).into());
        }
        std::thread::sleep(LOOK_EVERY);
    }
}
