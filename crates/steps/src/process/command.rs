//! From an author's words to a job: argv, environment, working directory, standard input.
//!
//! Owns what `sh`, `exec` and `script` mean. Opens secrets, into the environment and the standard input only.
//! Never starts anything.

use super::attempt::{Attempt, MARKER};
use super::mask::Pattern;
use super::wire::Job;
use piton_core::action::{Process, Program};
use piton_core::outcome::{Failure, FailureKind};
use piton_core::ports::AttemptContext;
use piton_core::{Digest, Text};
use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};

/// Directory of a run's snapshot, below the run's directory.
const TREE: &str = "tree";

/// Longest first line looked at; the kernel reads 256 bytes of it (execve(2)).
const MAX_SHEBANG_BYTES: usize = 256;

/// As a program's name: this binary, wherever it is. Packs use it for what `piton` does by itself.
const OURSELVES: &str = "@piton";

const SHELL: [&str; 3] = ["bash", "-euo", "pipefail"];

/// Who opens secrets, and knows what must not be seen of them.
pub trait Opener: Send + Sync {
    /// The text with its secrets' values in place.
    fn open_text(&self, text: &Text) -> Result<String, Failure>;

    /// Every form of every secret opened so far, as `mask::forms` gives them.
    fn patterns(&self) -> Vec<Pattern>;
}

fn failed(message: impl Into<String>) -> Failure {
    Failure::new(FailureKind::Action, message)
}

/// What does not depend on the action.
pub(super) struct Terms {
    pub(super) grace_ms: u64,
    pub(super) output_bytes: u64,
}

pub(super) fn job(
    process: &Process,
    context: &AttemptContext,
    attempt: &Attempt,
    opener: &dyn Opener,
    terms: &Terms,
) -> Result<Job, Failure> {
    let mut env = Vec::with_capacity(process.env.len() + 4);
    for (name, text) in &process.env {
        if name.is_empty() || name.contains(['=', '\0']) {
            return Err(failed(format!("\"{name}\" cannot be the name of an environment variable")));
        }
        env.push((name.clone(), opener.open_text(text)?));
    }
    // Last, so that an author cannot hide an attempt from whoever must find what is left of it.
    env.push(("PITON_RUN".into(), context.run.to_string()));
    env.push(("PITON_STEP".into(), context.path.to_string()));
    env.push(("PITON_ATTEMPT_ID".into(), attempt.id.clone()));
    let mark = attempt.mark().map_err(|error| failed(format!("the attempt's directory cannot be read: {error}")))?;
    env.push((MARKER.into(), mark));
    let stdin = process.stdin.as_ref().map(|text| opener.open_text(text)).transpose()?;
    let cwd = context.root.join(process.cwd.as_deref().unwrap_or_default());
    Ok(Job {
        id: attempt.id.clone(),
        dir: text(&attempt.dir)?,
        argv: argv(&process.program, context)?,
        env,
        cwd: text(&cwd)?,
        stdin,
        timeout_ms: context.timeout.map(piton_core::Duration::as_ms),
        grace_ms: terms.grace_ms,
        memory_bytes: context.memory_bytes,
        output_bytes: terms.output_bytes,
        // After opening: what was opened now is among them.
        patterns: opener.patterns(),
    })
}

fn text(path: &Path) -> Result<String, Failure> {
    path.to_str().map(str::to_owned).ok_or_else(|| failed(format!("{} is not a path in UTF-8", path.display())))
}

fn argv(program: &Program, context: &AttemptContext) -> Result<Vec<String>, Failure> {
    let shell = SHELL.map(str::to_owned);
    match program {
        Program::Shell { script } => Ok(shell.into_iter().chain(["-c".to_owned(), script.clone()]).collect()),
        Program::Argv { argv } if argv.first().is_none_or(String::is_empty) => {
            Err(failed("exec needs the name of a program"))
        }
        Program::Argv { argv } if argv[0] == OURSELVES => {
            let ours = std::env::current_exe().ok().filter(|path| path.exists());
            let ours = ours.ok_or_else(|| failed("this binary is not where it was started from any more"))?;
            Ok(std::iter::once(text(&ours)?).chain(argv[1..].iter().cloned()).collect())
        }
        Program::Argv { argv } => Ok(argv.clone()),
        Program::Script { path, digest, args } => {
            let file = snapshot(context, path)?;
            let start = start_of(&file, path, *digest)?;
            let file = text(&file)?;
            Ok(interpreter(&start).into_iter().chain([file]).chain(args.iter().cloned()).collect())
        }
    }
}

/// The script's place in the run's snapshot.
fn snapshot(context: &AttemptContext, path: &str) -> Result<PathBuf, Failure> {
    let below = Path::new(path);
    if path.is_empty() || below.components().any(|part| !matches!(part, Component::Normal(_) | Component::CurDir)) {
        return Err(failed(format!("script \"{path}\" is not below the project's root")));
    }
    Ok(context.run_dir.join(TREE).join(below))
}

/// What decides how a script is started.
struct Start {
    executable: bool,
    /// As much of it as matters.
    head: Vec<u8>,
}

/// Reads the script and makes sure that it is the one the run started with.
fn start_of(file: &Path, path: &str, digest: Digest) -> Result<Start, Failure> {
    let unreadable = |error| failed(format!("script {path}: its copy in the run's snapshot cannot be read: {error}"));
    let mut opened = fs::File::open(file).map_err(unreadable)?;
    let executable = opened.metadata().map_err(unreadable)?.permissions().mode() & 0o111 != 0;
    let mut bytes = Vec::new();
    opened.read_to_end(&mut bytes).map_err(unreadable)?;
    if Digest::of_bytes(&bytes) != digest {
        return Err(failed(format!("script {path}: its copy in the run's snapshot was changed"))
            .hint("a run keeps the scripts it started with; an edited one is taken by `piton resume --edited`"));
    }
    bytes.truncate(MAX_SHEBANG_BYTES);
    Ok(Start { executable, head: bytes })
}

/// What stands before the script's own path: nothing where the kernel starts it by itself.
fn interpreter(start: &Start) -> Vec<String> {
    let shebang = start.head.strip_prefix(b"#!");
    if start.executable && (shebang.is_some() || start.head.starts_with(b"\x7fELF")) {
        return Vec::new();
    }
    let line = shebang.and_then(|rest| rest.split(|byte| *byte == b'\n').next()).map(String::from_utf8_lossy);
    // The kernel passes everything behind the interpreter's name as one argument.
    let mut words = line.as_deref().unwrap_or_default().trim().splitn(2, [' ', '\t']).map(str::trim);
    match words.next().filter(|word| !word.is_empty()) {
        Some(word) => [word].into_iter().chain(words).map(str::to_owned).collect(),
        None => SHELL.map(str::to_owned).to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_started_as_the_kernel_would_or_else_by_bash() {
        for (executable, head, expected) in [
            (true, "#!/bin/sh\n", vec![]),
            (true, "\x7fELF", vec![]),
            (true, "echo", vec!["bash", "-euo", "pipefail"]),
            (false, "#!/usr/bin/env -S python3 -u\nx", vec!["/usr/bin/env", "-S python3 -u"]),
            (false, "#! /bin/sh \n", vec!["/bin/sh"]),
            (false, "#!\n", vec!["bash", "-euo", "pipefail"]),
        ] {
            let start = Start { executable, head: head.into() };
            assert_eq!(interpreter(&start), expected, "{head}");
        }
    }
}
