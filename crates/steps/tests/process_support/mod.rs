//! A run's directory, an executor over the real supervisor, and looks at real processes, for the process tests.
//!
//! Owns set-up and waiting. Asserts nothing about the executor.

// Shared by several test programs, none of which uses all of it; a helper's unwrap is a test's failure.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

use piton_core::action::{Process, Program};
use piton_core::event::Handle;
use piton_core::outcome::{Failure, Outcome};
use piton_core::ports::{ActionFailed, AttemptContext, Cancel, Prepared, Purpose};
use piton_core::secret::Part;
use piton_core::{Path, RunId, SecretRef, Text};
use piton_steps::process::mask::{Pattern, forms};
use piton_steps::process::{Config, Opener, Processes, SupervisorCommand};
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

pub const TEST_PROGRAM: &str = env!("CARGO_BIN_EXE_piton-process-test");

/// How long anything may take that is waited for. Long: the machine may be busy.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Opens `test:VALUE` to VALUE, and masks what was opened.
#[derive(Default)]
pub struct TestSecrets {
    patterns: Mutex<Vec<Pattern>>,
}

impl Opener for TestSecrets {
    fn open_text(&self, text: &Text) -> Result<String, Failure> {
        let mut out = String::new();
        for part in text.parts() {
            match part {
                Part::Plain(plain) => out.push_str(plain),
                Part::Secret { secret } => {
                    let value = secret.source.trim_start_matches("test:");
                    self.patterns.lock().unwrap().extend(forms(&secret.name, value.as_bytes()));
                    out.push_str(value);
                }
            }
        }
        Ok(out)
    }

    fn patterns(&self) -> Vec<Pattern> {
        self.patterns.lock().unwrap().clone()
    }
}

pub fn secret(name: &str, value: &str) -> Text {
    Text::secret(SecretRef { name: name.into(), source: format!("test:{value}") })
}

pub struct World {
    pub dir: tempfile::TempDir,
    pub processes: Arc<Processes>,
}

impl World {
    pub fn new() -> Self {
        Self::with(|_| {})
    }

    pub fn with(change: impl FnOnce(&mut Config)) -> Self {
        let supervisor = SupervisorCommand { program: TEST_PROGRAM.into(), args: vec!["__supervise".into()] };
        let mut config = Config::new(supervisor, Arc::new(TestSecrets::default()));
        change(&mut config);
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("root")).unwrap();
        Self { dir, processes: Arc::new(Processes::new(config)) }
    }

    pub fn run_dir(&self) -> PathBuf {
        self.dir.path().to_owned()
    }

    pub fn context(&self, attempt: u32) -> AttemptContext {
        AttemptContext {
            run: RunId::from_random(7),
            root: self.dir.path().join("root"),
            run_dir: self.run_dir(),
            path: Path::root().child("step"),
            generation: 1,
            attempt,
            purpose: Purpose::Act,
            timeout: None,
            memory_bytes: None,
        }
    }

    pub fn prepare(&self, process: &Process, context: &AttemptContext) -> Box<dyn Prepared> {
        self.processes.prepare(process, context).map_err(|failure| failure.message).unwrap()
    }

    /// Runs a script as this attempt.
    pub fn sh(&self, attempt: u32, script: &str) -> Result<Outcome, ActionFailed> {
        self.prepare(&sh(script), &self.context(attempt)).perform(&Cancel::new())
    }

    pub fn ok(&self, attempt: u32, script: &str) -> Outcome {
        self.sh(attempt, script).unwrap_or_else(|failed| panic!("{failed:?}"))
    }

    pub fn fails(&self, attempt: u32, script: &str) -> ActionFailed {
        self.sh(attempt, script).map(|outcome| panic!("{outcome:?}")).unwrap_err()
    }

    /// The only attempt's directory, or the one of this attempt's number.
    pub fn attempt_dir(&self, attempt: u32) -> PathBuf {
        let wanted = format!("-a{attempt}-");
        let found = || {
            let entries = fs::read_dir(self.dir.path().join("attempts")).ok()?;
            entries.map(|e| e.unwrap().path()).find(|p| p.to_str().unwrap().contains(&wanted))
        };
        until("the attempt's directory", || found().is_some());
        found().unwrap()
    }

    pub fn handle(&self, attempt: u32) -> String {
        format!("attempts/{}", self.attempt_dir(attempt).file_name().unwrap().to_str().unwrap())
    }

    /// Process that supervises, or supervised, the attempt.
    pub fn supervisor(&self, attempt: u32) -> i32 {
        claimed_pid(&self.attempt_dir(attempt), 0, |line| line["process"]["pid"].as_i64())
    }

    /// The command's own process.
    pub fn command(&self, attempt: u32) -> i32 {
        claimed_pid(&self.attempt_dir(attempt), 1, |line| line["pid"].as_i64())
    }
}

fn claimed_pid(dir: &std::path::Path, line: usize, pid: impl Fn(&serde_json::Value) -> Option<i64>) -> i32 {
    let read = || {
        let claim = fs::read_to_string(dir.join("claim")).ok()?;
        pid(&serde_json::from_str(claim.lines().nth(line)?).ok()?)
    };
    until("the claim", || read().is_some());
    i32::try_from(read().unwrap()).unwrap()
}

pub fn sh(script: &str) -> Process {
    Process {
        program: Program::Shell { script: script.into() },
        env: Default::default(),
        cwd: None,
        stdin: None,
        reads: false,
    }
}

pub fn exec(argv: &[&str]) -> Process {
    Process { program: Program::Argv { argv: argv.iter().map(|&a| a.to_owned()).collect() }, ..sh("") }
}

pub fn dir_of(handle: &Handle) -> String {
    match handle {
        Handle::Supervisor { dir } => dir.clone(),
        other => panic!("{other:?}"),
    }
}

/// Waits until it holds.
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < end, "waited too long for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A file's text, once there is a whole line in it.
pub fn line_of(path: impl AsRef<std::path::Path>) -> String {
    let read = || fs::read_to_string(&path).ok().filter(|text| text.ends_with('\n'));
    until(&format!("{}", path.as_ref().display()), || read().is_some());
    read().unwrap().trim().to_owned()
}

pub fn pid_in(path: impl AsRef<std::path::Path>) -> i32 {
    line_of(path).parse().unwrap()
}

/// Alive, and not only waiting to be reaped.
pub fn alive(pid: i32) -> bool {
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
    let state = stat.rsplit_once(')').unwrap().1.trim_start().chars().next().unwrap();
    !matches!(state, 'Z' | 'X')
}

pub fn kill(pid: i32) {
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    // It may have ended meanwhile.
    let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
}
