//! A place to run the real binary in: a project and a store of its own, in a temporary directory.
//!
//! Owns starting `piton`, and making what it printed comparable. Never touches the user's own store.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// What a test waits for happens within this time.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Place {
    dir: TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("project")).unwrap();
        Self { dir }
    }

    /// A place with this runbook as `book.star`.
    pub(crate) fn with(runbook: &str) -> Self {
        Self::new().file("book.star", runbook)
    }

    pub(crate) fn file(self, path: &str, text: &str) -> Self {
        std::fs::write(self.path(path), text).unwrap();
        self
    }

    /// Everything here belongs to another account from now on.
    pub(crate) fn given_to(self, uid: u32) -> Self {
        let own = |path: &std::path::Path| std::os::unix::fs::chown(path, Some(uid), None).unwrap();
        own(self.dir.path());
        own(&self.path(""));
        self
    }

    /// Below the project's root.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join("project").join(path)
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.dir.path().join("home")
    }

    pub(crate) fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.path(path)).unwrap_or_default()
    }

    /// Waits until a command of a runbook has made this file.
    pub(crate) fn wait_for(&self, path: &str) {
        let until = Instant::now() + PATIENCE;
        while !self.path(path).exists() {
            assert!(Instant::now() < until, "{path} was never made");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// `piton` with these words, not started yet.
    pub(crate) fn piton(&self, words: &[&str]) -> Piton {
        let mut command = Command::new(env!("CARGO_BIN_EXE_piton"));
        command
            .args(words)
            .current_dir(self.path(""))
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.dir.path())
            .env("PITON_HOME", self.home())
            // Where the tests are started by a service, windows are meant all the same.
            .env("PITON_ACCEPT", "1")
            .env("USER", "ada")
            .env("TZ", "UTC")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        Piton { command }
    }

    /// Runs `piton` with these words to its end.
    pub(crate) fn ran(&self, words: &[&str]) -> Ran {
        self.piton(words).ran()
    }

    /// The run's state as `show --json` gives it.
    pub(crate) fn show(&self) -> serde_json::Value {
        let ran = self.ran(&["show", "@last", "--json"]);
        serde_json::from_str(&ran.out).unwrap_or_else(|error| panic!("{error}: {}{}", ran.out, ran.err))
    }

    /// What stands in a text that differs from run to run, replaced.
    /// Waits until the last run has this status.
    pub(crate) fn wait_until(&self, status: &str) {
        let until = Instant::now() + PATIENCE;
        while self.show()["status"] != status {
            assert!(Instant::now() < until, "it never {status}: {}", self.show()["status"]);
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub(crate) fn plain(&self, text: &str) -> String {
        let mut text = text.replace(&*self.dir.path().to_string_lossy(), "‹dir›");
        let runs = self.piton(&["runs", "--json"]).command.output().unwrap().stdout;
        let runs: serde_json::Value = serde_json::from_slice(&runs).unwrap_or_default();
        for run in runs.as_array().into_iter().flatten() {
            let id = run["id"].as_str().unwrap();
            text = text.replace(id, "‹run›").replace(&format!(" {} ", &id[..4]), " ‹run› ");
            text = text.replace(&format!(" {}\n", &id[..4]), " ‹run›\n");
        }
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let uid = rustix::process::getuid().as_raw();
        text = text.replace(&format!("(uid {uid} on {host})"), "(uid ‹uid› on ‹host›)");
        text = text.replace(&format!(" on {host}"), " on ‹host›");
        volatile(&text)
    }
}

impl Drop for Place {
    /// No waker stays behind for a store that is about to be gone.
    fn drop(&mut self) {
        let Ok(told) = std::fs::read_to_string(self.home().join("waker.lock")) else { return };
        let Some(pid) = told.trim().parse().ok().and_then(rustix::process::Pid::from_raw) else { return };
        let words = std::fs::read(format!("/proc/{}/cmdline", pid.as_raw_nonzero())).unwrap_or_default();
        if words.starts_with(b"piton\0__waker\0") {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }
}

pub(crate) struct Piton {
    command: Command,
}

impl Piton {
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    pub(crate) fn words(mut self, words: &[&str]) -> Self {
        self.command.args(words);
        self
    }

    /// With its standard output there.
    pub(crate) fn into_file(mut self, file: std::fs::File) -> Self {
        self.command.stdout(file);
        self
    }

    /// As another account of this machine; only root may.
    pub(crate) fn by_uid(mut self, uid: u32) -> Self {
        use std::os::unix::process::CommandExt as _;
        self.command.uid(uid);
        self
    }

    pub(crate) fn ran(mut self) -> Ran {
        let output = self.command.output().unwrap();
        Ran {
            code: output.status.code(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    pub(crate) fn started(mut self) -> Started {
        let mut child = self.command.spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        Started { child, out, seen: String::new() }
    }
}

/// How it ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    #[track_caller]
    pub(crate) fn ends(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "stdout:\n{}\nstderr:\n{}", self.out, self.err);
        self
    }

    #[track_caller]
    pub(crate) fn says(self, words: &str) -> Self {
        assert!(
            self.out.contains(words) || self.err.contains(words),
            "{words:?} is not in\n{}\n{}",
            self.out,
            self.err
        );
        self
    }
}

/// A `piton` that runs beside the test.
pub(crate) struct Started {
    child: Child,
    out: BufReader<ChildStdout>,
    seen: String,
}

impl Started {
    /// Waits for a line with these words.
    #[track_caller]
    pub(crate) fn until(&mut self, words: &str) -> String {
        loop {
            let mut line = String::new();
            let read = self.out.read_line(&mut line).unwrap();
            assert!(read > 0, "{words:?} never came:\n{}", self.seen);
            self.seen.push_str(&line);
            if line.contains(words) {
                return line;
            }
        }
    }

    pub(crate) fn interrupt(&self) {
        let pid = rustix::process::Pid::from_raw(self.child.id() as i32).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    }

    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Nobody reads any more.
    pub(crate) fn closes_and_ends(self) -> Ran {
        let Self { mut child, out, seen } = self;
        drop(out);
        let mut err = String::new();
        child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
        Ran { code: child.wait().unwrap().code(), out: seen, err }
    }

    pub(crate) fn ended(mut self) -> Ran {
        self.out.read_to_string(&mut self.seen).unwrap();
        let mut err = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
        let status = self.child.wait().unwrap();
        Ran { code: status.code(), out: self.seen, err }
    }
}

/// Times, spans, processes, digests and keys, by their form.
fn volatile(text: &str) -> String {
    let mut out = String::new();
    for line in text.split_inclusive('\n') {
        let words: Vec<String> = line.split(' ').map(word).collect();
        out.push_str(&words.join(" "));
    }
    // Spans are set flush right, so the space before them varies with them.
    while out.contains("   ‹span›") {
        out = out.replace("   ‹span›", "  ‹span›");
    }
    number_after(&out, "process ")
}

fn word(word: &str) -> String {
    let bare = word.trim_matches(|c: char| "(),.;:\n".contains(c));
    let stand_in = if is_form(bare, "99:99:99.999") {
        "‹time›"
    } else if is_form(bare, "9999-99-99") {
        "‹date›"
    } else if is_form(bare, "99:99:99") {
        "‹time›"
    } else if is_span(bare) {
        "‹span›"
    } else if let Some(hex) = bare.strip_prefix("sha256:").filter(|hex| hex.len() == 64) {
        return word.replace(hex, "‹digest›");
    } else {
        return word.to_owned();
    };
    word.replacen(bare, stand_in, 1)
}

fn is_form(text: &str, form: &str) -> bool {
    text.len() == form.len()
        && text.chars().zip(form.chars()).all(|(c, form)| if form == '9' { c.is_ascii_digit() } else { c == form })
}

/// A measured time: `12ms`, `0.4s`, `1m02s`; not a declared one such as `20s`.
fn is_span(text: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    text.strip_suffix("ms").is_some_and(digits)
        || text.strip_suffix('s').and_then(|text| text.split_once('.')).is_some_and(|(a, b)| digits(a) && digits(b))
}

fn number_after(text: &str, before: &str) -> String {
    let mut parts = text.split(before);
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        out.push_str(before);
        let rest = part.trim_start_matches(|c: char| c.is_ascii_digit());
        out.push_str(if rest.len() < part.len() { "‹pid›" } else { "" });
        out.push_str(rest);
    }
    out
}
