//! Private gates for tests: the `piton gate` that is tested, as a process of its own.
//!
//! Owns its port, control socket, log and life. Never decides what it does, and never looks for the binary by itself.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::free_port;
use crate::process::{Guarded, SetupError, tail};

const READY_LIMIT: Duration = Duration::from_secs(20);
const READY_EVERY: Duration = Duration::from_millis(5);
const STOP_LIMIT: Duration = Duration::from_secs(5);
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// A gate before some servers. Dropping it ends it and removes its files.
#[derive(Debug)]
pub struct Gate {
    process: Option<Guarded>,
    program: PathBuf,
    words: Vec<String>,
    password: String,
    folder: TempDir,
    port: u16,
}

impl Gate {
    /// Starts `program gate` with `words` (backends, account, register) on a free port of 127.0.0.1; `password` is its account's.
    ///
    /// # Errors
    /// When it does not come up: with the end of what it said.
    pub fn start(program: &Path, words: &[&str], password: &str) -> Result<Self, SetupError> {
        let folder = tempfile::Builder::new()
            .prefix("piton-gate-")
            .tempdir()
            .map_err(SetupError::io("make a temporary directory"))?;
        let words = words.iter().map(|word| (*word).to_owned()).collect();
        let (program, password) = (program.to_owned(), password.to_owned());
        let mut gate = Self { process: None, program, words, password, folder, port: free_port()? };
        gate.restart()?;
        Ok(gate)
    }

    /// Starts it again on its port, after [`Gate::kill`] or a death of its own.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn restart(&mut self) -> Result<(), SetupError> {
        self.kill()?;
        let log = self.log();
        let output = File::create(&log).map_err(SetupError::io("write the gate's log"))?;
        let errors = output.try_clone().map_err(SetupError::io("write the gate's log"))?;
        let (listen, control) = (self.address(), self.control());
        let mut process = Guarded::start(&[], &self.program, |command| {
            command.args(["gate", "--listen", &listen, "--control"]).arg(control).args(&self.words);
            command.env("PITON_GATE_PASSWORD", &self.password).stdin(Stdio::null()).stdout(output).stderr(errors);
        })?;
        let deadline = Instant::now() + READY_LIMIT;
        // It may warn of something first.
        while !fs::read_to_string(&log).is_ok_and(|said| said.lines().any(|line| line.starts_with("listening on "))) {
            let name = || "piton gate".to_owned();
            if let Some(status) = process.ended().map_err(SetupError::io("look after the gate"))? {
                return Err(SetupError::Died { program: name(), status, log: tail(&log) });
            }
            if Instant::now() >= deadline {
                return Err(SetupError::NotReady { program: name(), seconds: READY_LIMIT.as_secs(), log: tail(&log) });
            }
            std::thread::sleep(READY_EVERY);
        }
        self.process = Some(process);
        Ok(())
    }

    /// SIGKILL: its clients lose their connections.
    ///
    /// # Errors
    /// When the operating system cannot say whether it ended.
    pub fn kill(&mut self) -> Result<(), SetupError> {
        match self.process.take() {
            Some(mut process) => process.kill().map(drop).map_err(SetupError::io("kill the gate")),
            None => Ok(()),
        }
    }

    /// Asks its control socket one thing and gives its answer.
    ///
    /// # Errors
    /// When nobody answers in time, or what comes is no answer.
    pub fn ask(&self, request: &Value) -> Result<Value, SetupError> {
        let asked = || -> std::io::Result<Value> {
            let mut stream = UnixStream::connect(self.control())?;
            stream.set_read_timeout(Some(ANSWER_LIMIT))?;
            stream.write_all(format!("{request}\n").as_bytes())?;
            let mut line = String::new();
            BufReader::new(stream).read_line(&mut line)?;
            Ok(serde_json::from_str(&line)?)
        };
        asked().map_err(SetupError::io("ask the gate"))
    }

    /// Where clients connect, as `host:port`.
    #[must_use]
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The TCP port on 127.0.0.1 where clients connect.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its control socket.
    #[must_use]
    pub fn control(&self) -> PathBuf {
        self.folder.path().join("gate.sock")
    }

    /// What it says: of this life only.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    /// Its process id while it runs.
    #[must_use]
    pub fn process_id(&self) -> Option<u32> {
        self.process.as_ref().map(Guarded::id)
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        if let Some(process) = &mut self.process {
            // What does not end is killed with its guard.
            let _ = process.stop(Signal::TERM, STOP_LIMIT);
        }
    }
}
