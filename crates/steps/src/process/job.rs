//! One command's life under its supervisor: claimed, started, listened to, ended in time, accounted for.
//!
//! Owns the order of those and the rules of ending: at a deadline or when asked, TERM, grace, KILL, until nothing is
//! left; by itself, what it left running stays, and is said. Never decides what a failure means for the run.

use super::attempt::{Attempt, Claim};
use super::ending;
use super::mask::Masker;
use super::memory::Limit;
use super::output::{Output, READ_BYTES};
use super::record::{Cause, Kept, Record, listed};
use super::supervise::{Control, Notice};
use super::wire::{Job, ToSupervisor};
use crate::linux::{self, Ended, Identity, Reaped};
use piton_core::outcome::MAX_INLINE_BYTES;
use piton_core::record::Moment;
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::process::Signal;
use std::fs::File;
use std::io::{self, Seek, Write};
use std::os::fd::BorrowedFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// After the command's own end: how long stragglers may take to end and outputs to close.
const LINGER_US: u64 = 200_000;

/// Between two rounds of KILL, in which something may have forked.
const KILL_ROUND_US: u64 = 20_000;

/// What KILL has not ended after this long hangs in the kernel (a dead disk, a dead server).
const GIVE_UP_US: u64 = 10_000_000;

/// How a job ended. The lock is released when the record is written.
pub(super) struct JobEnded {
    pub(super) record: Record,
    pub(super) retires: bool,
    pub(super) lock: File,
}

/// Why a job has no record.
pub(super) enum NoRecord {
    /// It did not begin and never will.
    Refused(String),
    /// The supervisor cannot go on. It ended what it had started as well as it could, and must exit: whoever finds the
    /// claim without a record looks for what is left.
    Broken(io::Error),
}

impl From<String> for NoRecord {
    fn from(why: String) -> Self {
        Self::Refused(why)
    }
}

/// Runs the job to its end.
pub(super) fn run(control: &mut Control, job: Job, attempt: &Attempt) -> Result<JobEnded, NoRecord> {
    let at = |what: &str| {
        let dir = attempt.dir.display().to_string();
        let what = what.to_owned();
        move |error: io::Error| format!("cannot {what} {dir}: {error}")
    };
    let lock = File::open(&attempt.dir).map_err(at("open"))?;
    linux::lock(&lock).map_err(at("lock"))?;
    let masker = Arc::new(Masker::new(job.patterns.clone()).map_err(|error| error.to_string())?);
    let mut notes = Vec::new();
    let limit = job.memory_bytes.and_then(|bytes| Limit::new(bytes).map_err(|why| notes.push(why)).ok());
    let process = linux::identity_of_self().map_err(at("claim"))?;
    let boot = linux::boot_id().map_err(at("claim"))?.to_owned();
    let claim = attempt.claim(&Claim::Supervisor { process, boot }).map_err(at("claim"))?;
    let mut claim = claim.ok_or_else(|| "a later engine has claimed it".to_owned())?;

    let started = now();
    let mut child = match spawn(&job, limit.as_ref(), &mut notes) {
        Ok(child) => child,
        Err(error) => return Ok(JobEnded { record: not_started(&job, started, &error, notes), retires: false, lock }),
    };
    let mut running = Running::new(&job, attempt, &mut child, masker, started).map_err(NoRecord::Broken)?;
    // For whoever must find what is left of it without us. It runs already; an error only makes that harder.
    let line = serde_json::to_string(&running.main).unwrap_or_default() + "\n";
    let _ = claim.write_all(line.as_bytes());
    while !running.is_over() {
        if let Err(error) = running.turn(control) {
            running.signal(Signal::KILL);
            return Err(NoRecord::Broken(error));
        }
    }
    let (record, retires) = running.finish(limit, notes);
    Ok(JobEnded { record, retires, lock })
}

fn now() -> Moment {
    let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Moment { wall_us: i64::try_from(wall.as_micros()).unwrap_or(i64::MAX), boot_us: linux::boot_us() }
}

/// Without a pre-exec hook, so that std takes posix_spawn(3): the supervisor is not copied to be thrown away.
fn spawn(job: &Job, limit: Option<&Limit>, notes: &mut Vec<String>) -> io::Result<Child> {
    let (program, args) = job.argv.split_first().ok_or_else(|| io::Error::other("no program is named"))?;
    let stdin = match &job.stdin {
        None => Stdio::null(),
        // In memory only: it may hold secrets.
        Some(text) => {
            let mut file = File::from(memfd_create("stdin", MemfdFlags::CLOEXEC)?);
            file.write_all(text.as_bytes())?;
            file.rewind()?;
            file.into()
        }
    };
    let mut command = Command::new(program);
    command.args(args).envs(job.env.iter().map(|(k, v)| (k, v))).current_dir(&job.cwd);
    command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let inside = limit.is_some_and(|limit| limit.enter().map_err(|why| notes.push(why)).is_ok());
    let spawned = command.spawn();
    if inside && let Some(Err(error)) = limit.map(Limit::leave) {
        notes.push(format!("the supervisor shares the memory limit: {error}"));
    }
    match spawned {
        Err(error) if error.kind() == io::ErrorKind::NotFound && !std::path::Path::new(&job.cwd).is_dir() => {
            Err(io::Error::new(io::ErrorKind::NotFound, format!("its working directory {} is missing", job.cwd)))
        }
        other => other,
    }
}

fn not_started(job: &Job, started: Moment, error: &io::Error, notes: Vec<String>) -> Record {
    Record {
        cause: Cause::SpawnFailed,
        reason: Some(error.to_string()),
        code: None,
        signal: None,
        program: job.argv.first().cloned().unwrap_or_default(),
        started,
        ended: now(),
        cpu_us: 0,
        max_rss_bytes: 0,
        out: Kept::nothing(),
        err: Kept::nothing(),
        timeout_ms: job.timeout_ms,
        killed: false,
        unkillable: Vec::new(),
        notes,
    }
}

/// It must end, and why.
struct Ending {
    cause: Cause,
    reason: Option<String>,
    /// Boot clock, microseconds.
    kill_at: u64,
    give_up_at: u64,
    killed: bool,
}

struct Running<'a> {
    job: &'a Job,
    main: Identity,
    started: Moment,
    ended: Option<(Ended, Moment)>,
    /// Whether we have children at all, the command itself included.
    children: bool,
    cpu_us: u64,
    max_rss_bytes: u64,
    out: Output,
    err: Output,
    buffer: Vec<u8>,
    ending: Option<Ending>,
    /// Boot clock: when waiting for stragglers ends.
    settle_at: Option<u64>,
}

impl<'a> Running<'a> {
    fn new(
        job: &'a Job,
        attempt: &Attempt,
        child: &mut Child,
        masker: Arc<Masker>,
        started: Moment,
    ) -> io::Result<Self> {
        let pid = i32::try_from(child.id()).map_err(io::Error::other)?;
        // Not reaped by anyone but us, so it is in /proc even when it has ended already.
        let main = linux::stat(pid).ok().flatten().map_or(Identity { pid, start: 0 }, |stat| stat.id);
        let (Some(out), Some(err)) = (child.stdout.take(), child.stderr.take()) else {
            return Err(io::Error::other("the command has no pipes"));
        };
        let limit = job.output_bytes;
        Ok(Self {
            job,
            main,
            started,
            ended: None,
            children: true,
            cpu_us: 0,
            max_rss_bytes: 0,
            out: Output::new(out, attempt.file("out"), masker.clone(), limit),
            err: Output::new(err, attempt.file("err"), masker, limit),
            buffer: vec![0; READ_BYTES],
            ending: None,
            settle_at: None,
        })
    }

    /// Waits for whatever comes next and deals with it.
    fn turn(&mut self, control: &mut Control) -> io::Result<()> {
        let pipes: Vec<BorrowedFd<'_>> = [self.out.pipe(), self.err.pipe()].into_iter().flatten().collect();
        let woken = control.wait(&pipes, self.sleep())?;
        let mut ready = woken.ready.into_iter();
        for output in [&mut self.out, &mut self.err] {
            if output.pipe().is_some() && ready.next() == Some(true) {
                output.read(&mut self.buffer);
            }
        }
        self.reap()?;
        for notice in woken.notices {
            match notice {
                Notice::Message(ToSupervisor::Cancel { id, reason }) if id == self.job.id => {
                    self.end(Cause::Cancelled, Some(reason));
                }
                Notice::EndAsked => self.end(Cause::Cancelled, Some("its supervisor was told to end".into())),
                // An engine sends no second job before it has heard of the first.
                Notice::Message(_) | Notice::EngineGone => {}
            }
        }
        self.enforce();
        Ok(())
    }

    fn reap(&mut self) -> io::Result<()> {
        loop {
            match linux::reap()? {
                Reaped::Child(ended) => {
                    self.cpu_us += ended.cpu_us;
                    self.max_rss_bytes = self.max_rss_bytes.max(ended.max_rss_bytes);
                    if ended.pid == self.main.pid && self.ended.is_none() {
                        self.ended = Some((ended, now()));
                    }
                }
                Reaped::NoneYet => return Ok(()),
                Reaped::NoChildren => {
                    self.children = false;
                    return Ok(());
                }
            }
        }
    }

    /// Begins to end it, unless it has ended by itself or is being ended.
    fn end(&mut self, cause: Cause, reason: Option<String>) {
        if self.ended.is_some() || self.ending.is_some() {
            return;
        }
        let kill_at = linux::boot_us() + self.job.grace_ms * 1000;
        self.ending = Some(Ending { cause, reason, kill_at, give_up_at: kill_at + GIVE_UP_US, killed: false });
        self.signal(Signal::TERM);
        // What is stopped hears TERM only when it goes on.
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let group = self.ended.is_none().then_some(self.main);
        // Only an unreadable /proc makes this fail; the group has been signalled by then, and the next round tries again.
        let _ = ending::signal_all(group, signal);
    }

    fn enforce(&mut self) {
        let now = linux::boot_us();
        if self.deadline().is_some_and(|deadline| now >= deadline) {
            self.end(Cause::Timeout, None);
        }
        if self.ended.is_some() && (self.ending.is_none() || !self.children) && self.settle_at.is_none() {
            self.settle_at = Some(now + LINGER_US);
        }
        if self.children && self.ending.as_ref().is_some_and(|ending| now >= ending.kill_at) {
            self.signal(Signal::KILL);
            if let Some(ending) = &mut self.ending {
                ending.killed = true;
                ending.kill_at = now + KILL_ROUND_US;
            }
        }
    }

    fn deadline(&self) -> Option<u64> {
        let open = self.ended.is_none() && self.ending.is_none();
        self.job.timeout_ms.filter(|_| open).map(|ms| self.started.boot_us + ms * 1000)
    }

    fn sleep(&self) -> Duration {
        let kill_at = self.ending.as_ref().filter(|_| self.children).map(|ending| ending.kill_at);
        let next = [self.deadline(), self.settle_at, kill_at].into_iter().flatten().min();
        match next {
            // One more millisecond: poll(2) may wake a little early.
            Some(at) => Duration::from_micros(at.saturating_sub(linux::boot_us()) + 500),
            None => Duration::MAX,
        }
    }

    fn is_over(&self) -> bool {
        let silent = self.out.pipe().is_none() && self.err.pipe().is_none();
        if self.ended.is_some() && !self.children && silent {
            return true;
        }
        let now = linux::boot_us();
        self.settle_at.is_some_and(|at| now >= at)
            || self.ending.as_ref().is_some_and(|ending| now >= ending.give_up_at)
    }

    fn finish(self, limit: Option<Limit>, mut notes: Vec<String>) -> (Record, bool) {
        let left =
            if self.children { ending::survivors(&ending::descendants().unwrap_or_default()) } else { Vec::new() };
        let held: Vec<&str> = [("out", &self.out), ("err", &self.err)]
            .iter()
            .filter(|(_, o)| o.pipe().is_some())
            .map(|(n, _)| *n)
            .collect();
        if !held.is_empty() {
            notes.push(format!("reading stopped although something still holds its {} open", held.join(" and ")));
        }
        let forced = self.ending.is_some();
        if !left.is_empty() && !forced {
            notes.push(format!("left running: {}", listed(&left)));
        }
        let retires = self.children;
        let (ended, at) = self.ended.map_or((None, now()), |(ended, at)| (Some(ended), at));
        let (cause, reason, killed) =
            self.ending.map_or((Cause::Exited, None, false), |ending| (ending.cause, ending.reason, ending.killed));
        let mut record = Record {
            cause,
            reason,
            code: ended.and_then(|ended| ended.code),
            signal: ended.and_then(|ended| ended.signal),
            program: self.job.argv.first().cloned().unwrap_or_default(),
            started: self.started,
            ended: at,
            cpu_us: self.cpu_us,
            max_rss_bytes: self.max_rss_bytes,
            out: self.out.finish(MAX_INLINE_BYTES as u64),
            err: self.err.finish(MAX_INLINE_BYTES as u64),
            timeout_ms: self.job.timeout_ms,
            killed,
            unkillable: if forced { left } else { Vec::new() },
            notes,
        };
        if let Some(limit) = limit {
            account(&mut record, &limit);
        }
        (record, retires)
    }
}

/// Takes what the command's cgroup knows into the record.
fn account(record: &mut Record, limit: &Limit) {
    let told = limit.told();
    record.max_rss_bytes = told.peak_bytes.unwrap_or(record.max_rss_bytes);
    if told.oom_kills == 0 {
        return;
    }
    if record.cause == Cause::Exited && record.code != Some(0) {
        record.cause = Cause::Oom;
    } else {
        record.notes.push(format!("{} of its processes were killed for their memory", told.oom_kills));
    }
}
