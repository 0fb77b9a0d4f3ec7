//! `piton` as a newcomer uses it: the command line, its lines on a pipe, its JSON.
//!
//! Owns every call of the binary and every place that knows its output. Keeps the runs of the show in a home of their own,
//! and ends every process that carries that home's name when the show is over.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use piton_testkit::Guarded;

use super::{Demo, Result};

/// Supervisors and watchdogs that have nothing left to do go away by themselves within this time.
const SETTLE: Duration = Duration::from_secs(3);

/// How often a life is asked whether it waits for an answer.
const LOOK_EVERY: Duration = Duration::from_millis(1500);

/// The programs that the show runs.
pub(super) struct Binaries {
    pub(super) piton: PathBuf,
    pub(super) ledger: PathBuf,
}

/// Builds the release binaries, unless PITON_DEMO_BINARIES names a folder that has them.
pub(super) fn build(demo: &Demo) -> Result<Binaries> {
    let folder = match std::env::var_os("PITON_DEMO_BINARIES") {
        Some(folder) => PathBuf::from(folder),
        None => {
            demo.say("building the release binaries");
            let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
            let built = Command::new(cargo)
                .args(["build", "--quiet", "--release", "-p", "piton-cli", "-p", "piton-testkit", "--bins"])
                .current_dir(&demo.root)
                .status()?;
            if !built.success() {
                return Err("the build failed".into());
            }
            demo.root.join("target/release")
        }
    };
    let binaries = Binaries { piton: folder.join("piton"), ledger: folder.join("piton-ledger") };
    for binary in [&binaries.piton, &binaries.ledger] {
        if !binary.is_file() {
            return Err(format!("{} is not there", binary.display()).into());
        }
    }
    Ok(binaries)
}

/// Where a run is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum State {
    /// It runs, or waits for a timer.
    Going,
    /// It waits for an answer.
    Asking,
    Succeeded,
    /// Held, undone or aborted: nothing that this show wants.
    Ended(String),
}

/// A runbook with its parameters, and the environment that its secrets are read from.
pub(super) struct Runbook {
    pub(super) file: &'static str,
    pub(super) arguments: Vec<(&'static str, String)>,
    pub(super) environment: Vec<(&'static str, String)>,
}

/// The command line, and the one run of the show.
pub(super) struct Piton<'a> {
    demo: &'a Demo,
    pub(super) binary: PathBuf,
    home: PathBuf,
    runbook: &'static str,
    environment: Vec<(&'static str, String)>,
    arguments: Vec<String>,
}

impl<'a> Piton<'a> {
    pub(super) fn new(demo: &'a Demo, binaries: &Binaries, runbook: Runbook) -> Result<Self> {
        let home = demo.folder.join("home");
        std::fs::create_dir_all(&home)?;
        let mut environment = runbook.environment;
        environment.push(("PITON_HOME", home.display().to_string()));
        // Where the demo is started by a service, its windows are meant all the same.
        environment.push(("PITON_ACCEPT", "1".to_owned()));
        let words = runbook.arguments.into_iter().flat_map(|(name, value)| [format!("--{name}"), value]);
        Ok(Self {
            demo,
            binary: binaries.piton.clone(),
            home,
            runbook: runbook.file,
            environment,
            arguments: words.collect(),
        })
    }

    /// Writes the move's plan down; how many steps it has.
    pub(super) fn plan(&self) -> Result<u64> {
        let plan = self.plan_file();
        let mut words = vec!["plan", self.runbook, "-o", &plan];
        words.extend(self.arguments.iter().map(String::as_str));
        self.succeed(&words)?;
        let plan: serde_json::Value = serde_json::from_slice(&std::fs::read(&plan)?)?;
        let entries = plan["entries"].as_array().ok_or("the plan has no entries")?;
        Ok(entries.iter().filter(|entry| entry["what"].get("step").is_some()).count() as u64)
    }

    fn plan_file(&self) -> String {
        self.demo.folder.join("plan.json").display().to_string()
    }

    /// Runs what was planned; the parameters are the plan's.
    pub(super) fn run(&self) -> Result<Engine> {
        self.start(&["run", self.runbook, "--plan", &self.plan_file()].map(str::to_owned), "run.log")
    }

    pub(super) fn resume(&self) -> Result<Engine> {
        self.start(&["resume".to_owned(), "@last".to_owned()], "resume.log")
    }

    /// Every engine of this run, its watchdogs too, dies after the first event of each place that the file does not list,
    /// having listed it.
    pub(super) fn die_once_at_each_place(&mut self, listed_in: &Path) {
        self.environment.push(("PITON_CRASH_ONCE_AT_EACH", listed_in.display().to_string()));
        // More than a hundred engines die inside the window, each after a start of its own.
        self.arguments.extend(["--pause-budget".to_owned(), "1h".to_owned()]);
        // Between the counters and the cut, too, the engine dies a hundred times.
        self.arguments.extend(["--id-slack".to_owned(), "1000000".to_owned()]);
    }

    /// One life of an engine: of a new run, or of the last one resumed. Ends when the engine does, or when it waits for
    /// an answer.
    pub(super) fn live(&self, resumed: bool) -> Result<()> {
        let mut words = if resumed { vec!["resume", "@last"] } else { vec!["run", self.runbook] };
        if !resumed {
            words.extend(self.arguments.iter().map(String::as_str));
        }
        let log = File::options().create(true).append(true).open(self.demo.folder.join("lives.log"))?;
        let mut command = self.command(&words);
        command.stdout(log.try_clone()?).stderr(log);
        let mut child = command.spawn()?;
        let mut looked = Instant::now();
        loop {
            if child.try_wait()?.is_some() {
                return Ok(());
            }
            // An engine that waits for the answer lives on. A look costs a process: few of them.
            let asks = looked.elapsed() > LOOK_EVERY && {
                looked = Instant::now();
                self.state().is_ok_and(|state| state == State::Asking)
            };
            if asks || self.demo.check_interrupted().is_err() {
                child.kill()?;
                child.wait()?;
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until the run is where it is wanted. A hold, or another end, is a failure.
    pub(super) fn wait_for(&self, wanted: State, what: &str) -> Result<()> {
        self.demo.wait_until(what, || match self.state()? {
            state if state == wanted => Ok(Some(())),
            State::Going | State::Asking => Ok(None),
            state => Err(format!("the run is {state:?}, before {what}").into()),
        })
    }

    /// Where the run is, from `piton show --json`: the only place that knows that form.
    pub(super) fn state(&self) -> Result<State> {
        let shown = self.show()?;
        let asks = |question: &serde_json::Value| question.get("kind").is_some_and(|kind| kind == "ask");
        let asked = shown.get("waiting").and_then(serde_json::Value::as_array).is_some_and(|all| all.iter().any(asks));
        match shown.get("status").and_then(serde_json::Value::as_str) {
            Some("waiting") if asked => Ok(State::Asking),
            Some("running" | "waiting") => Ok(State::Going),
            Some("succeeded") => Ok(State::Succeeded),
            Some(other) => Ok(State::Ended(other.to_owned())),
            None => Err("piton show --json has no status".into()),
        }
    }

    fn show(&self) -> Result<serde_json::Value> {
        let output = self.command(&["show", "@last", "--json"]).output()?;
        serde_json::from_slice(&output.stdout).map_err(|error| {
            format!("piton show --json gave no JSON ({error}): {}", String::from_utf8_lossy(&output.stderr)).into()
        })
    }

    pub(super) fn answer(&self, question: &str, answer: &str) -> Result<()> {
        self.succeed(&["answer", "@last", question, answer]).map(drop)
    }

    /// Writes the receipt, verifies it, and makes sure that a changed one does not verify.
    pub(super) fn receipt(&self, file: &Path) -> Result<()> {
        let path = file.display().to_string();
        self.succeed(&["receipt", "@last", "--format", "json", "-o", &path])?;
        self.succeed(&["verify", &path])?;
        let forged = file.with_extension("forged.json");
        let mut bytes = std::fs::read(file)?;
        let middle = bytes.len() / 2;
        let byte = bytes.get_mut(middle).ok_or("the receipt is empty")?;
        *byte = if *byte == b'A' { b'B' } else { b'A' };
        std::fs::write(&forged, bytes)?;
        let believed = self.command(&["verify", &forged.display().to_string()]).output()?.status.success();
        std::fs::remove_file(&forged)?;
        if believed { Err("piton verify believes a receipt with one byte changed".into()) } else { Ok(()) }
    }

    /// Paths of the steps that have succeeded, as `piton show` tells them.
    pub(super) fn steps(&self) -> Result<Vec<String>> {
        self.steps_that_are("done")
    }

    /// Paths of the steps that stand so.
    pub(super) fn steps_that_are(&self, status: &str) -> Result<Vec<String>> {
        let shown = self.show()?;
        let steps = shown["steps"].as_array().ok_or("piton show --json has no steps")?;
        let wanted = steps.iter().filter(|step| step["status"] == status);
        Ok(wanted.filter_map(|step| Some(step["path"].as_str()?.to_owned())).collect())
    }

    /// After a failure: what the run itself says.
    pub(super) fn explain(&self) {
        if let Ok(output) = self.command(&["show", "@last"]).output() {
            eprintln!("\n{}", String::from_utf8_lossy(&output.stdout));
        }
    }

    /// Ends what the show's engines left behind, and says how many processes did not go by themselves.
    pub(super) fn sweep(&self) -> usize {
        let deadline = Instant::now() + SETTLE;
        loop {
            let left = self.left_behind();
            if left.is_empty() {
                return 0;
            }
            if Instant::now() >= deadline {
                for id in &left {
                    // Each carries our own home in its environment: no other process is touched.
                    let _ = Command::new("kill").args(["-KILL", id]).status();
                }
                return left.len();
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn left_behind(&self) -> Vec<String> {
        let wanted = format!("PITON_HOME={}", self.home.display());
        let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        processes
            .filter_map(|entry| entry.file_name().into_string().ok())
            .filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()))
            .filter(|id| {
                let environment = std::fs::read(format!("/proc/{id}/environ")).unwrap_or_default();
                environment.split(|byte| *byte == 0).any(|variable| variable == wanted.as_bytes())
            })
            .collect()
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command.args(words);
        self.prepare(&mut command);
        command
    }

    fn prepare(&self, command: &mut Command) {
        command.current_dir(&self.demo.root).stdin(Stdio::null());
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
    }

    /// What it prints when it succeeds, as it must.
    pub(super) fn succeed(&self, words: &[&str]) -> Result<String> {
        let output = self.command(words).output()?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(format!("piton {} ended with {}:\n{said}", words.join(" "), output.status).into())
    }

    fn start(&self, words: &[String], log: &str) -> Result<Engine> {
        let log_file = self.demo.folder.join(log);
        let errors = File::create(log_file.with_extension("err"))?;
        let mut process = Guarded::start(&[], &self.binary, |command| {
            command.args(words).stdout(Stdio::piped()).stderr(errors);
            self.prepare(command);
        })?;
        let output = process.take_output().ok_or("the engine has no output")?;
        let (sender, lines) = channel();
        let mut log = File::create(&log_file)?;
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(std::result::Result::ok) {
                // A log that cannot be written, or a show that no longer listens, must not stop the engine's output.
                let _ = writeln!(log, "{line}");
                let _ = sender.send(line);
            }
        });
        Ok(Engine { process, lines, log: log_file })
    }
}

/// An engine in the foreground, with the plain lines that it prints.
pub(super) struct Engine {
    process: Guarded,
    lines: Receiver<String>,
    log: PathBuf,
}

impl Engine {
    pub(super) fn id(&self) -> u32 {
        self.process.id()
    }

    pub(super) fn is_running(&mut self) -> Result<bool> {
        Ok(self.process.ended()?.is_none())
    }

    /// Reads lines until one is the wanted one.
    pub(super) fn wait_for_line(
        &mut self,
        demo: &Demo,
        what: &str,
        mut wanted: impl FnMut(&str) -> bool,
    ) -> Result<()> {
        let deadline = Instant::now() + demo.limit;
        loop {
            demo.check_interrupted()?;
            match self.lines.recv_timeout(Duration::from_millis(50)) {
                Ok(line) if wanted(&line) => return Ok(()),
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout) if Instant::now() < deadline => {}
                Err(_) => {
                    let log = self.log.display();
                    return Err(
                        format!("the engine ended, or was silent, before {what}; its lines are in {log}").into()
                    );
                }
            }
        }
    }

    /// SIGKILL, as the kernel's memory killer or a careless hand would send it.
    pub(super) fn kill(mut self) -> Result<()> {
        match self.process.kill()? {
            Some(status) if status.success() => Err("the engine had ended before it was killed".into()),
            _ => Ok(()),
        }
    }
}
