//! The exit record: how a command ended, as its supervisor saw it; and what an outcome makes of it.
//!
//! Owns the record's form and its words for people. Never holds unmasked text.

use super::attempt::Attempt;
use super::output::READ_BYTES;
use crate::linux::Identity;
use piton_core::Digest;
use piton_core::outcome::{Artifact, Failure, FailureKind, MAX_INLINE_BYTES, Outcome, Usage};
use piton_core::ports::ActionFailed;
use piton_core::progress::Said;
use piton_core::record::Moment;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::fmt;
use std::fs;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;

/// Bytes of an output looked at for its last line.
const TAIL_BYTES: u64 = 8 * 1024;

/// Characters of a command's last line in a failure's message.
const MAX_LINE_CHARS: usize = 300;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Cause {
    /// By itself, or by a signal that was not ours.
    Exited,
    Timeout,
    Cancelled,
    /// Killed by the kernel for its memory.
    Oom,
    /// The program could not be started.
    SpawnFailed,
}

/// One output as kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Kept {
    pub(super) bytes: u64,
    pub(super) digest: Digest,
    /// Why not all of it is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) lost: Option<String>,
}

impl Kept {
    pub(super) fn nothing() -> Self {
        Self { bytes: 0, digest: Digest::of_bytes(b""), lost: None }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Survivor {
    pub(super) process: Identity,
    pub(super) name: String,
}

impl fmt::Display for Survivor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (pid {})", self.name, self.process.pid)
    }
}

/// As people read it: `a (pid 1), b (pid 2)`.
pub(super) fn listed(survivors: &[Survivor]) -> String {
    survivors.iter().map(Survivor::to_string).collect::<Vec<_>>().join(", ")
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) cause: Cause,
    /// Why it was cancelled, or could not be started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) code: Option<i32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) signal: Option<i32>,
    pub(super) program: String,
    pub(super) started: Moment,
    pub(super) ended: Moment,
    pub(super) cpu_us: u64,
    pub(super) max_rss_bytes: u64,
    pub(super) out: Kept,
    pub(super) err: Kept,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) timeout_ms: Option<u64>,
    /// TERM was not enough.
    #[serde(default)]
    pub(super) killed: bool,
    /// Still alive although they had to end: stuck in the kernel, or another user's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) unkillable: Vec<Survivor>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) notes: Vec<String>,
}

impl Record {
    /// What the engine is told. `Err` with an outcome where the command did not succeed.
    pub(super) fn told(&self, attempt: &Attempt) -> Result<Outcome, ActionFailed> {
        let mut outcome = Outcome {
            ok: self.cause == Cause::Exited && self.code == Some(0),
            code: self.code,
            signal: self.signal,
            took_us: self.ended.boot_us.saturating_sub(self.started.boot_us),
            usage: Some(Usage { cpu_us: self.cpu_us, max_rss_bytes: self.max_rss_bytes }),
            notes: self.notes.clone(),
            ..Outcome::default()
        };
        outcome.out = inline("out", &self.out, attempt, &mut outcome);
        outcome.err = inline("err", &self.err, attempt, &mut outcome);
        if outcome.ok {
            return Ok(outcome);
        }
        let never_began = self.cause == Cause::SpawnFailed;
        let outcome = (!never_began).then_some(outcome);
        // What is still alive may still act: the engine must look again before it does anything.
        let unknown = !self.unkillable.is_empty();
        Err(ActionFailed { failure: self.failure(attempt), outcome, never_began, unknown })
    }

    /// True where the outputs on disk are those the record speaks of. A machine's death may have lost them.
    pub(super) fn outputs_are_whole(&self, attempt: &Attempt) -> io::Result<bool> {
        for (name, kept) in [("out", &self.out), ("err", &self.err)] {
            let digest = match fs::File::open(attempt.file(name)) {
                Ok(file) => digest_of(file)?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => Digest::of_bytes(b""),
                Err(error) => return Err(error),
            };
            if digest != kept.digest {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn failure(&self, attempt: &Attempt) -> Failure {
        let reason = self.reason.as_deref().unwrap_or("no reason was given");
        let ended = if self.killed { "TERM was not enough, KILL ended it" } else { "TERM ended it" };
        let mut failure = match self.cause {
            Cause::SpawnFailed => Failure::new(FailureKind::Action, format!("cannot start {}: {reason}", self.program)),
            Cause::Timeout => {
                let limit = piton_core::Duration::from_ms(self.timeout_ms.unwrap_or(0));
                Failure::new(FailureKind::Timeout, format!("took longer than {limit}; {ended}"))
            }
            Cause::Cancelled => Failure::new(FailureKind::Stopped, format!("ended: {reason}")),
            Cause::Oom => {
                Failure::new(FailureKind::Memory, format!("killed for its memory, at {} MiB", self.max_rss_bytes >> 20))
                    .hint("raise memory= or make it need less")
            }
            Cause::Exited => Failure::new(FailureKind::Action, self.exited(attempt)),
        };
        if !self.unkillable.is_empty() {
            failure.message = format!("{}; still alive: {}", failure.message, listed(&self.unkillable));
        }
        failure
    }

    fn exited(&self, attempt: &Attempt) -> String {
        let how = match (self.code, self.signal) {
            (Some(127), _) => "exit code 127 (a command was not found)".to_owned(),
            (Some(code), _) => format!("exit code {code}"),
            (None, Some(signal)) => format!("ended by {}", signal_name(signal)),
            (None, None) => "ended in an unknown way".to_owned(),
        };
        let line = last_line(attempt, "err").or_else(|| last_line(attempt, "out"));
        match line {
            Some(line) => format!("{how}: {}", clip(&line)),
            None => how,
        }
    }
}

fn digest_of(mut file: fs::File) -> io::Result<Digest> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; READ_BYTES];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(Digest::from_bytes(hasher.finalize().into())),
            count => hasher.update(&buffer[..count]),
        }
    }
}

pub(super) fn signal_name(signal: i32) -> String {
    match signal_hook::low_level::signal_name(signal) {
        Some(name) => format!("signal {signal} ({name})"),
        None => format!("signal {signal}"),
    }
}

fn clip(line: &str) -> String {
    let mut text: String = line.chars().take(MAX_LINE_CHARS).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if line.chars().nth(MAX_LINE_CHARS).is_some() {
        text.push('…');
    }
    text
}

/// The output as text where it is short; what is long, or no text, is kept as a file.
fn inline(name: &str, kept: &Kept, attempt: &Attempt, outcome: &mut Outcome) -> Option<Arc<str>> {
    if let Some(lost) = &kept.lost {
        outcome.notes.push(format!("{name}: {lost}"));
    }
    if kept.bytes == 0 {
        return kept.lost.is_none().then(|| Arc::from(""));
    }
    let keep = |outcome: &mut Outcome, why: &str| {
        let file = format!("{}/{name}", attempt.handle);
        outcome.notes.push(format!("{name}: {} bytes, {why}, kept in {file}", kept.bytes));
        outcome.artifacts.push(Artifact { name: name.to_owned(), file, bytes: kept.bytes, digest: kept.digest });
    };
    if kept.bytes > MAX_INLINE_BYTES as u64 {
        keep(outcome, "more than an outcome holds");
        return None;
    }
    match fs::read(attempt.file(name)).map(String::from_utf8) {
        Ok(Ok(text)) => Some(Arc::from(text)),
        Ok(Err(error)) => {
            keep(outcome, "not all of it text");
            Some(Arc::from(String::from_utf8_lossy(error.as_bytes())))
        }
        Err(error) => {
            outcome.notes.push(format!("{name}: cannot be read back: {error}"));
            None
        }
    }
}

/// The last line of an output that says something. What a carriage return overwrote does not count.
fn last_line(attempt: &Attempt, name: &str) -> Option<String> {
    let text = end_of(&attempt.file(name))?;
    text.rsplit(['\n', '\r']).map(str::trim_end).find(|line| !line.trim().is_empty()).map(str::to_owned)
}

/// What the attempt in this directory has said so far, in whole lines; where it prints none, on its standard error.
pub fn said(dir: &Path) -> Option<Said> {
    let of = |name: &str| {
        let text = end_of(&dir.join(name))?;
        Said::of(text[..text.rfind(['\n', '\r'])?].split(['\n', '\r']))
    };
    let (out, err) = (of("out").unwrap_or_default(), of("err").unwrap_or_default());
    let said = Said { line: out.line.or(err.line), progress: out.progress.or(err.progress) };
    (said != Said::default()).then_some(said)
}

/// The end of a file that may still be written.
fn end_of(file: &Path) -> Option<String> {
    let mut file = fs::File::open(file).ok()?;
    let length = file.seek(SeekFrom::End(0)).ok()?;
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES))).ok()?;
    let mut tail = Vec::new();
    file.take(TAIL_BYTES).read_to_end(&mut tail).ok()?;
    Some(String::from_utf8_lossy(&tail).into_owned())
}
