//! The supervisor: a process of its own that waits for a job, runs it to its end whatever becomes of the engine, tells
//! how it ended, and waits for the next.
//!
//! Owns the process's life and what wakes it: its engine, its children, those who want it to end. It exits when its
//! engine is gone and no job runs. Never prints anything but the protocol, and never writes outside an attempt's
//! directory.

use super::attempt::Attempt;
use super::job::{self, NoRecord};
use super::wire::{self, Frames, FromSupervisor, Job, ToSupervisor};
use crate::linux;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGPIPE, SIGTERM};
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

/// Longest sleep: poll(2) does not count the time a machine is suspended, deadlines do.
const MAX_SLEEP: Duration = Duration::from_secs(10);

/// How often, and how many times, a record is tried again that could not be written (a full disk) while no engine
/// listens: ten minutes, in which a person may make room. The lock is held meanwhile, so nobody takes it for dead. A
/// later engine that asks us to end does not wait for that: it goes back, and needs to know only that nothing is alive.
const RECORD_RETRY: Duration = Duration::from_secs(1);
const RECORD_RETRIES: u32 = 600;

/// The whole of the hidden command. Returns when the engine is gone and no job runs.
pub fn supervise_main() -> ExitCode {
    match Control::new().and_then(|mut control| serve(&mut control)) {
        Ok(()) => ExitCode::SUCCESS,
        // There is nobody to tell: the engine sees the end of our output.
        Err(_) => ExitCode::FAILURE,
    }
}

/// What woke the supervisor.
pub(super) enum Notice {
    Message(ToSupervisor),
    /// Its input is at its end.
    EngineGone,
    /// Somebody sent TERM, INT or HUP: a later engine, or the machine's shutdown.
    EndAsked,
}

/// What was ready beside the control's own sources.
pub(super) struct Woken {
    pub(super) notices: Vec<Notice>,
    pub(super) ready: Vec<bool>,
}

/// Everything that can wake a supervisor.
pub(super) struct Control {
    input: io::Stdin,
    frames: Frames,
    children: UnixStream,
    ends: UnixStream,
    pub(super) engine_gone: bool,
    /// Somebody has sent TERM, INT or HUP.
    end_asked: bool,
}

impl Control {
    fn new() -> io::Result<Self> {
        linux::become_supervisor()?;
        // Read once, now that nobody waits for us.
        linux::identity_of_self()?;
        linux::boot_id()?;
        let (children, wake) = UnixStream::pair()?;
        signal_hook::low_level::pipe::register(SIGCHLD, wake)?;
        let (ends, wake) = UnixStream::pair()?;
        for signal in [SIGTERM, SIGINT, SIGHUP] {
            signal_hook::low_level::pipe::register(signal, wake.try_clone()?)?;
        }
        // An engine's death must be an error of `write`, whatever the program did about this signal. A handler, for what
        // is ignored would be ignored by the commands too.
        signal_hook::flag::register(SIGPIPE, Arc::default())?;
        children.set_nonblocking(true)?;
        ends.set_nonblocking(true)?;
        let input = io::stdin();
        Ok(Self { input, frames: Frames::default(), children, ends, engine_gone: false, end_asked: false })
    }

    /// Sleeps until something happens: to us, to a child, or to one of `others`.
    pub(super) fn wait(&mut self, others: &[BorrowedFd<'_>], timeout: Duration) -> io::Result<Woken> {
        let timeout = timeout.min(MAX_SLEEP);
        let mut fds = vec![PollFd::new(&self.children, PollFlags::IN), PollFd::new(&self.ends, PollFlags::IN)];
        fds.extend(others.iter().map(|fd| PollFd::from_borrowed_fd(*fd, PollFlags::IN)));
        if !self.engine_gone {
            fds.push(PollFd::new(&self.input, PollFlags::IN));
        }
        let spec = Timespec { tv_sec: timeout.as_secs().cast_signed(), tv_nsec: timeout.subsec_nanos().into() };
        match poll(&mut fds, Some(&spec)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let hits: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        drop(fds);
        let mut notices = Vec::new();
        // A woken poll may have been interrupted before it looked: then nothing is ready, and nothing is lost.
        if hits[0] {
            drain(&self.children);
        }
        if hits[1] {
            drain(&self.ends);
            self.end_asked = true;
            notices.push(Notice::EndAsked);
        }
        if hits.get(2 + others.len()) == Some(&true) {
            self.read(&mut notices);
        }
        Ok(Woken { notices, ready: hits[2..2 + others.len()].to_vec() })
    }

    fn read(&mut self, notices: &mut Vec<Notice>) {
        let mut buffer = [0; 16 * 1024];
        // Unbuffered: what poll announces must not hide in a buffer of ours.
        let count = match rustix::io::read(self.input.as_fd(), &mut buffer) {
            Ok(count) => count,
            Err(Errno::INTR | Errno::AGAIN) => return,
            Err(_) => 0,
        };
        if count == 0 {
            self.engine_gone = true;
            notices.push(Notice::EngineGone);
        }
        self.frames.push(&buffer[..count]);
        loop {
            match self.frames.next() {
                Ok(Some(message)) => notices.push(Notice::Message(message)),
                Ok(None) => return,
                // Not a message of ours. What runs goes on to its end; there is nobody to listen to any more.
                Err(_) => {
                    self.engine_gone = true;
                    notices.push(Notice::EngineGone);
                    return;
                }
            }
        }
    }

    fn tell(&mut self, message: &FromSupervisor) {
        let bytes = wire::frame(message).unwrap_or_default();
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            match rustix::io::write(io::stdout(), rest) {
                Ok(count) => rest = &rest[count..],
                Err(Errno::INTR) => {}
                Err(_) => {
                    self.engine_gone = true;
                    return;
                }
            }
        }
    }
}

fn drain(mut wakes: &UnixStream) {
    let mut buffer = [0; 64];
    while matches!(wakes.read(&mut buffer), Ok(count) if count > 0) {}
}

fn serve(control: &mut Control) -> io::Result<()> {
    // Told to the engine, whose journal makes it durable, unless the engine dies first.
    let mut unsynced: Option<Attempt> = None;
    loop {
        if control.engine_gone {
            if let Some(attempt) = unsynced {
                attempt.sync()?;
            }
            return Ok(());
        }
        for notice in control.wait(&[], MAX_SLEEP)?.notices {
            match notice {
                Notice::Message(ToSupervisor::Run(job)) => {
                    let attempt = attempt_of(&job);
                    if run(control, *job, &attempt)? {
                        return Ok(());
                    }
                    unsynced = Some(attempt);
                }
                // Of a job that has ended meanwhile.
                Notice::Message(ToSupervisor::Cancel { .. }) => {}
                Notice::EngineGone => {}
                Notice::EndAsked => control.engine_gone = true,
            }
        }
    }
}

fn attempt_of(job: &Job) -> Attempt {
    Attempt { dir: PathBuf::from(&job.dir), handle: String::new(), id: job.id.clone() }
}

/// Runs one job. True where the supervisor must not take another.
fn run(control: &mut Control, job: Job, attempt: &Attempt) -> io::Result<bool> {
    let ended = match job::run(control, job, attempt) {
        Ok(ended) => ended,
        Err(NoRecord::Refused(why)) => {
            control.tell(&FromSupervisor::Refused { why });
            return Ok(false);
        }
        Err(NoRecord::Broken(error)) => return Err(error),
    };
    let mut record = ended.record;
    for _ in 0..RECORD_RETRIES {
        match attempt.write_record(&record) {
            Ok(()) => break,
            Err(error) if !control.engine_gone => {
                // The engine hears it from us, so its journal knows.
                record.notes.push(format!("the exit record cannot be written: {error}"));
                break;
            }
            Err(_) if control.end_asked => break,
            Err(_) => drop(control.wait(&[], RECORD_RETRY)?),
        }
    }
    if control.engine_gone {
        attempt.sync()?;
    } else {
        control.tell(&FromSupervisor::Done { record: Box::new(record), retires: ended.retires });
        if ended.retires || control.engine_gone {
            attempt.sync()?;
        }
    }
    drop(ended.lock);
    Ok(ended.retires || control.engine_gone)
}
