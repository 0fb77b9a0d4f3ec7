//! What a later engine finds of an attempt whose engine is gone: its record, its living supervisor, or nothing.
//!
//! Owns the order of the questions, for each answer is only worth something after the one before it. Never starts a
//! command.

use super::attempt::{Attempt, Claim};
use super::orphans;
use super::record::{Cause, Record, listed};
use crate::linux::{self, Identity};
use piton_core::outcome::{Failure, FailureKind, Outcome};
use piton_core::ports::{ActionFailed, Cancel, Remains, Running};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Signal, pidfd_send_signal};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a lock may be held by something that is not the supervisor: a child between fork and exec, or another
/// engine's look.
const SETTLE: Duration = Duration::from_secs(2);

/// Between two looks at what no descriptor announces.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// While waiting for a living supervisor: its end is announced by its descriptor, the rest is looked at this often.
const WAIT_SLICE_MS: u32 = 250;

/// How long what is told to end may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// A command, between TERM and KILL.
    pub(super) grace: Duration,
    /// Its supervisor, beyond that grace, from TERM to its record; then it is killed.
    pub(super) stubborn: Duration,
}

pub(super) fn of(attempt: Attempt, patience: Patience) -> Remains {
    look(attempt, patience).unwrap_or_else(|error| Remains::Unprovable(format!("its traces cannot be read: {error}")))
}

fn look(attempt: Attempt, patience: Patience) -> io::Result<Remains> {
    let this_boot = attempt.is_of_this_boot()?;
    if let Some(record) = attempt.record()?
        && (this_boot || record.outputs_are_whole(&attempt)?)
    {
        // What was alive in another boot is not.
        return if this_boot { exited(&attempt, &record) } else { Ok(Remains::Exited(record.told(&attempt))) };
    }
    if !this_boot {
        // Nothing survives a boot. A claim that is missing now may have been there.
        return Ok(Remains::Gone);
    }
    match attempt.claim(&Claim::Engine { process: linux::identity_of_self()? }) {
        Ok(Some(_)) => return Ok(Remains::NeverBegan),
        Ok(None) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(Remains::Unprovable(format!("its directory {} was removed", attempt.dir.display())));
        }
        Err(error) => return Err(error),
    }
    let lock = File::open(&attempt.dir)?;
    let end = Instant::now() + SETTLE;
    loop {
        // Looked at before the claim is read: the holder has the lock before it makes the claim.
        let locked = linux::is_locked(&lock)?;
        let Some(claimed) = attempt.claimed()? else {
            return Ok(Remains::Unprovable("its claim was removed".into()));
        };
        match &claimed.claim {
            Some(Claim::Engine { .. }) => return Ok(Remains::NeverBegan),
            // Whoever makes a claim writes it before anything else, so nothing else was done.
            None if !locked => return Ok(Remains::NeverBegan),
            Some(Claim::Supervisor { .. }) if !locked => {
                return match ended(&attempt, patience.grace)? {
                    Ok(record) => exited(&attempt, &record),
                    Err(None) => Ok(Remains::Gone),
                    Err(Some(why)) => Ok(Remains::Unprovable(why)),
                };
            }
            Some(Claim::Supervisor { process, boot }) if boot == linux::boot_id()? => {
                if let Some(fd) = linux::open(*process)? {
                    return Ok(Remains::Running(Box::new(Attached {
                        attempt,
                        supervisor: *process,
                        fd: Arc::new(fd),
                        lock,
                        patience,
                    })));
                }
            }
            _ => {}
        }
        if Instant::now() >= end {
            return Ok(Remains::Unprovable("its lock is held by something that is not its supervisor".into()));
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// It has a record; what KILL could not end may be alive nevertheless.
fn exited(attempt: &Attempt, record: &Record) -> io::Result<Remains> {
    let mut alive = Vec::new();
    for survivor in &record.unkillable {
        if linux::open(survivor.process)?.is_some() {
            alive.push(survivor.clone());
        }
    }
    Ok(match alive.as_slice() {
        [] => Remains::Exited(Record { unkillable: Vec::new(), ..record.clone() }.told(attempt)),
        alive => Remains::Unprovable(format!("it was ended, and yet there live: {}", listed(alive))),
    })
}

/// Of an attempt whose supervisor is gone: its record, or `Err(None)` once nothing of it is alive, or why that cannot be
/// proven.
fn ended(attempt: &Attempt, grace: Duration) -> io::Result<Result<Record, Option<String>>> {
    if let Some(record) = attempt.record()? {
        return Ok(Ok(record));
    }
    let Some(claimed) = attempt.claimed()? else { return Ok(Err(Some("its claim was removed".into()))) };
    Ok(Err(orphans::end(attempt, &claimed, grace).err()))
}

/// A command whose supervisor lives on.
struct Attached {
    attempt: Attempt,
    supervisor: Identity,
    fd: Arc<OwnedFd>,
    /// To see whether the supervisor still holds it.
    lock: File,
    patience: Patience,
}

impl Running for Attached {
    fn wait(self: Box<Self>, cancel: &Cancel) -> Result<Outcome, ActionFailed> {
        let told = self.record(cancel).unwrap_or_else(|error| Err(Some(error.to_string())));
        match told {
            Ok(mut record) => {
                if let (Cause::Cancelled, Some(reason)) = (record.cause, cancel.reason()) {
                    record.reason = Some(reason);
                }
                record.told(&self.attempt)
            }
            Err(left) => {
                let rest = left.unwrap_or_else(|| "what was left of the command was ended".into());
                let failure =
                    Failure::new(FailureKind::Action, format!("its supervisor died without a record; {rest}"));
                Err(ActionFailed { unknown: true, ..failure.into() })
            }
        }
    }
}

impl Attached {
    fn record(&self, cancel: &Cancel) -> io::Result<Result<Record, Option<String>>> {
        let fd = self.fd.clone();
        let _registration = cancel.on_fire(move |_| {
            // Gone already: then there is nothing to end. The second wakes one that somebody has stopped.
            let _ = pidfd_send_signal(&fd, Signal::TERM);
            let _ = pidfd_send_signal(&fd, Signal::CONT);
        });
        let mut asked: Option<Instant> = None;
        while !self.is_over()? {
            if asked.is_none() && cancel.fired() {
                asked = Some(Instant::now());
            }
            if asked.is_some_and(|at| at.elapsed() > self.patience.grace + self.patience.stubborn) {
                linux::signal(self.supervisor, Signal::KILL)?;
            }
        }
        ended(&self.attempt, self.patience.grace)
    }

    /// Waits a while; true where the supervisor is dead or has let go of the attempt.
    fn is_over(&self) -> io::Result<bool> {
        let mut fds = [PollFd::new(&*self.fd, PollFlags::IN)];
        let slice = Timespec { tv_sec: 0, tv_nsec: i64::from(WAIT_SLICE_MS) * 1_000_000 };
        match poll(&mut fds, Some(&slice)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(!fds[0].revents().is_empty() || !linux::is_locked(&self.lock)?)
    }
}
