//! A world for a run: a directory of its own, the real binary, and someone who answers what is asked.
//!
//! Owns what tests of whole runs share. Never looks into the store: what it knows, `piton` has said.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use serde_json::Value;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// A run of a test takes no longer than this.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);
const LOOK: Duration = Duration::from_millis(10);

pub(crate) struct World {
    _temp: tempfile::TempDir,
    pub(crate) dir: PathBuf,
}

pub(crate) fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples").join(name)
}

pub(crate) fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

impl World {
    pub(crate) fn new() -> Self {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().canonicalize().unwrap();
        Self { _temp: temp, dir }
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.dir.join(name), text).unwrap();
    }

    pub(crate) fn command<S: AsRef<std::ffi::OsStr>>(&self, args: &[S]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_piton"));
        command.args(args).current_dir(&self.dir).env("PITON_HOME", self.dir.join("home"));
        // Where the tests are started by a service, windows are meant all the same.
        command.env("PITON_ACCEPT", "1").stdin(Stdio::null());
        command
    }

    pub(crate) fn piton<S: AsRef<std::ffi::OsStr>>(&self, args: &[S]) -> Output {
        self.command(args).output().unwrap()
    }

    /// Starts it with its words in files, which a killed engine's children may keep open.
    pub(crate) fn spawn<S: AsRef<std::ffi::OsStr>>(&self, args: &[S], crash_after: Option<u64>) -> Child {
        let words = fs::File::options().create(true).append(true).open(self.dir.join("words")).unwrap();
        let mut command = self.command(args);
        command.stdout(words.try_clone().unwrap()).stderr(words);
        if let Some(crash_after) = crash_after {
            command.env("PITON_CRASH_AFTER", crash_after.to_string());
        }
        command.spawn().unwrap()
    }

    pub(crate) fn words(&self) -> String {
        fs::read_to_string(self.dir.join("words")).unwrap_or_default()
    }

    /// `piton show @last --json`; `None`: there is no run, or nothing in it.
    pub(crate) fn show(&self) -> Option<Value> {
        let output = self.piton(&["show", "@last", "--json"]);
        output.status.success().then(|| serde_json::from_slice(&output.stdout).unwrap())
    }

    pub(crate) fn events(&self) -> u64 {
        self.show().unwrap()["journal"]["records"].as_u64().unwrap()
    }

    /// How the run ended: its status, value and what it emitted.
    pub(crate) fn outcome(&self) -> String {
        let show = self.show().unwrap();
        format!("{} {} {}\n", show["status"], show["value"], show["emitted"])
    }

    /// Waits for its end, answering what is asked meanwhile; its exit code, `None` where it crashed.
    pub(crate) fn wait(&self, mut child: Child) -> Option<i32> {
        let start = Instant::now();
        loop {
            if let Some(status) = child.try_wait().unwrap() {
                return status.code();
            }
            if start.elapsed() > PATIENCE {
                child.kill().unwrap();
                panic!("still running after {PATIENCE:?}\n{}", self.words());
            }
            self.answer();
            std::thread::sleep(LOOK);
        }
    }

    pub(crate) fn run_to_end(&self, args: &[String]) {
        let code = self.wait(self.spawn(args, None));
        assert_eq!(code, Some(0), "{}", self.words());
    }

    /// Runs until its engine dies after `cut` events; false where it ended before.
    pub(crate) fn run_until_crash(&self, args: &[String], cut: u64) -> bool {
        self.wait(self.spawn(args, Some(cut))).is_none()
    }

    pub(crate) fn resume_to_end(&self) {
        // The run that died may be driven on by a watchdog, which dies with nothing to do when it is not.
        let start = Instant::now();
        loop {
            let code = self.wait(self.spawn(&["resume", "@last"], None));
            let ended = self.show().is_some_and(|show| show["status"] == "succeeded");
            if ended {
                return;
            }
            assert!(code == Some(2) && start.elapsed() < PATIENCE, "resume ended with {code:?}\n{}", self.words());
            self.answer();
            std::thread::sleep(LOOK);
        }
    }

    /// Answers whatever waits for a person.
    fn answer(&self) {
        // Looking is not free: only where something was asked, in this life or the one before.
        let words = self.words();
        if !words.contains("asked") && !words.contains("resumed") {
            return;
        }
        let Some(show) = self.show() else { return };
        for waiting in show["waiting"].as_array().into_iter().flatten() {
            let path = waiting["path"].as_str().unwrap();
            match waiting["kind"].as_str().unwrap() {
                "approve" => drop(self.piton(&["approve", "@last", path, "--as", "tester"])),
                "ask" => drop(self.piton(&["answer", "@last", path, "ticket=T-1", "loud=true"])),
                "manual" => drop(self.piton(&["answer", "@last", path, "--done"])),
                _ => {}
            }
        }
    }

    /// The receipt's own rules: intents before effects, nothing performed twice within its generation.
    pub(crate) fn nothing_runs_twice(&self) {
        let made = self.piton(&["receipt", "@last", "-o", "receipt.json"]);
        assert!(made.status.success(), "{}", text(&made));
        let verified = self.piton(&["verify", "receipt.json"]);
        assert!(verified.status.success(), "{}", text(&verified));
    }
}

/// Every file below `dir` with its content. Backups that `inverse()` keeps are left out.
pub(crate) fn files(dir: &Path) -> String {
    let mut found = Vec::new();
    let mut dirs = vec![dir.to_path_buf()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                dirs.push(path);
            } else if !entry.file_name().to_string_lossy().contains(".piton-") {
                found.push(path);
            }
        }
    }
    found.sort();
    found.into_iter().fold(String::new(), |mut text, path| {
        let name = path.strip_prefix(dir).unwrap().display();
        let _ = writeln!(text, "{name}: {:?}", fs::read_to_string(&path).unwrap());
        text
    })
}

/// Every row of these tables.
pub(crate) fn tables(db: &Path, tables: &[&str]) -> String {
    let db = rusqlite::Connection::open(db).unwrap();
    let mut text = String::new();
    for table in tables {
        let mut rows = db.prepare(&format!("select * from {table} order by 1")).unwrap();
        let columns = rows.column_count();
        let mut rows = rows.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            let values: Vec<rusqlite::types::Value> = (0..columns).map(|column| row.get(column).unwrap()).collect();
            let _ = writeln!(text, "{table}: {values:?}");
        }
    }
    text
}

pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Peak memory of a process that runs, MiB.
pub(crate) fn peak_mib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap() / 1024
}
