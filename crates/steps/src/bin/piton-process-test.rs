//! For the tests of the process executor: `__supervise` is a supervisor; `engine RUN_DIR SCRIPT [TIMEOUT_MS]` runs a
//! script and waits, to be killed meanwhile.
//!
//! Never used by anything else.

use piton_core::action::{Process, Program};
use piton_core::outcome::Failure;
use piton_core::ports::{AttemptContext, Cancel, Purpose};
use piton_core::{Duration, Path, RunId, Text};
use piton_steps::process::mask::Pattern;
use piton_steps::process::{Config, Opener, Processes, SupervisorCommand, supervise_main};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

struct NoSecrets;

impl Opener for NoSecrets {
    fn open_text(&self, text: &Text) -> Result<String, Failure> {
        Ok(text.as_plain().unwrap_or_default().to_owned())
    }

    fn patterns(&self) -> Vec<Pattern> {
        Vec::new()
    }
}

fn engine(run_dir: PathBuf, script: String, timeout: Option<Duration>) -> Option<ExitCode> {
    let program = std::env::current_exe().ok()?;
    let supervisor = SupervisorCommand { program, args: vec!["__supervise".into()] };
    let processes = Processes::new(Config::new(supervisor, Arc::new(NoSecrets)));
    let context = AttemptContext {
        run: RunId::from_random(7),
        root: run_dir.clone(),
        run_dir,
        path: Path::root().child("step"),
        generation: 1,
        attempt: 1,
        purpose: Purpose::Act,
        timeout,
        memory_bytes: None,
    };
    let program = Program::Shell { script };
    let process = Process { program, env: Default::default(), cwd: None, stdin: None, reads: false };
    let outcome = processes.prepare(&process, &context).ok()?.perform(&Cancel::new()).ok()?;
    outcome.ok.then_some(ExitCode::SUCCESS)
}

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    match (args.next().as_deref(), args.next(), args.next(), args.next()) {
        (Some("__supervise"), None, None, None) => supervise_main(),
        (Some("engine"), Some(run_dir), Some(script), timeout) => {
            let timeout = timeout.and_then(|ms| ms.parse().ok()).map(Duration::from_ms);
            engine(run_dir.into(), script, timeout).unwrap_or(ExitCode::FAILURE)
        }
        _ => ExitCode::from(2),
    }
}
