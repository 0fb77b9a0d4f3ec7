//! What a supervised command costs beside a bare one: `sh("true")` through the pool against fork, exec and wait of the
//! same shell, taken in turns so that the machine's moods meet both alike.
//!
//! Prints the medians and their ratio. The goal is at most 2.

use piton_core::action::{Process, Program};
use piton_core::outcome::Failure;
use piton_core::ports::{AttemptContext, Cancel, Purpose};
use piton_core::{Path, RunId, Text};
use piton_steps::process::mask::Pattern;
use piton_steps::process::{Config, Opener, Processes, SupervisorCommand, supervise_main};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

const ROUNDS: u32 = 1000;

struct NoSecrets;

impl Opener for NoSecrets {
    fn open_text(&self, text: &Text) -> Result<String, Failure> {
        Ok(text.as_plain().unwrap_or_default().to_owned())
    }

    fn patterns(&self) -> Vec<Pattern> {
        Vec::new()
    }
}

fn bare() -> Duration {
    let begin = Instant::now();
    let status = Command::new("bash").args(["-euo", "pipefail", "-c", "true"]).stdin(Stdio::null()).status();
    assert!(status.is_ok_and(|status| status.success()));
    begin.elapsed()
}

fn supervised(processes: &Processes, context: &AttemptContext) -> Duration {
    let program = Program::Shell { script: "true".into() };
    let process = Process { program, env: Default::default(), cwd: None, stdin: None, reads: false };
    let begin = Instant::now();
    let outcome = processes.prepare(&process, context).ok().and_then(|ready| ready.perform(&Cancel::new()).ok());
    assert!(outcome.is_some_and(|outcome| outcome.ok));
    begin.elapsed()
}

#[allow(clippy::print_stdout)]
fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some("__supervise") {
        return supervise_main();
    }
    let Ok(program) = std::env::current_exe() else { return ExitCode::FAILURE };
    let dir = program.with_file_name(format!("process-cost-{}", std::process::id()));
    let supervisor = SupervisorCommand { program, args: vec!["__supervise".into()] };
    let processes = Processes::new(Config::new(supervisor, Arc::new(NoSecrets)));
    processes.warm();
    let mut times = (Vec::new(), Vec::new());
    for attempt in 1..=ROUNDS {
        let context = AttemptContext {
            run: RunId::from_random(7),
            root: dir.clone(),
            run_dir: dir.clone(),
            path: Path::root().child("true"),
            generation: 1,
            attempt,
            purpose: Purpose::Act,
            timeout: None,
            memory_bytes: None,
        };
        if attempt == 1 && std::fs::create_dir_all(&dir).is_err() {
            return ExitCode::FAILURE;
        }
        times.0.push(bare());
        times.1.push(supervised(&processes, &context));
    }
    times.0.sort();
    times.1.sort();
    let at = |times: &[Duration], part: usize| times[times.len() * part / 100].as_secs_f64() * 1e6;
    for (name, times) in [("bare fork, exec, wait", &times.0), ("supervised", &times.1)] {
        println!("{name:24} p50 {:8.0} us   p99 {:8.0} us", at(times, 50), at(times, 99));
    }
    println!("ratio of the medians     {:.2}   (goal: at most 2)", at(&times.1, 50) / at(&times.0, 50));
    drop(processes);
    let _ = std::fs::remove_dir_all(&dir);
    ExitCode::SUCCESS
}
