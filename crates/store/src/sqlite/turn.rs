//! Turns: writers of several processes come one after the other.
//!
//! Owns the file `turn.lock` of the store's directory and the pauses between tries. Never decides who may write: SQLite's
//! own lock does.
//!
//! Why: SQLite lets those who find the store busy try again after a pause, and lets whoever comes first have it. An
//! engine that commits without a break comes first every time: measured, a single message could not be posted beside
//! two such engines within 30 seconds. So a writer first takes the turn (a flock), then SQLite's lock, then passes the
//! turn on. Whoever has just committed finds the turn taken by the one who waits, and waits behind it. Beside nobody it
//! costs two system calls.

use crate::lock::lock;
use rustix::fs::{FlockOperation, flock};
use std::cell::Cell;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// Contention is waited for; a process that keeps the store longer than this is stuck, and a person should look.
const PATIENCE: Duration = Duration::from_secs(30);

/// Pauses between tries: short ones, as others' commits take hardly longer; after a second's worth, longer ones.
const SHORT_PAUSE: Duration = Duration::from_micros(100);
const LONG_PAUSE: Duration = Duration::from_millis(2);
const SHORT_PAUSES: i32 = 5000;

thread_local! {
    /// How long this thread is willing to wait, and when its present wait ends.
    static WAIT: Cell<(Duration, Instant)> = Cell::new((PATIENCE, Instant::now()));
}

/// Pauses before another try, counted from 0; false where patience is at its end. Also SQLite's busy handler.
pub(crate) fn pause(tries: i32) -> bool {
    let (patience, mut end) = WAIT.get();
    let now = Instant::now();
    if tries == 0 {
        end = now + patience;
        WAIT.set((patience, end));
    }
    if now >= end {
        return false;
    }
    std::thread::sleep(if tries < SHORT_PAUSES { SHORT_PAUSE } else { LONG_PAUSE });
    true
}

/// Does something with less patience than usual.
pub(crate) fn with_patience<T>(patience: Duration, what: impl FnOnce() -> T) -> T {
    WAIT.set((patience, Instant::now()));
    let result = what();
    WAIT.set((PATIENCE, Instant::now()));
    result
}

/// This connection's ticket. Without the file, turns are not kept, and nothing else is amiss.
#[derive(Debug)]
pub(crate) struct Turns(Option<File>);

/// Ends when dropped.
pub(crate) struct Turn<'a>(Option<&'a File>);

impl Turns {
    pub(crate) fn open(path: &Path) -> Self {
        Self(OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path).ok())
    }

    /// Waits for the turn. One that does not come in time is gone without: SQLite's lock is asked all the same.
    pub(crate) fn take(&self) -> Turn<'_> {
        let Some(file) = &self.0 else { return Turn(None) };
        for tries in 0.. {
            match lock(file, FlockOperation::NonBlockingLockExclusive) {
                Ok(true) => return Turn(Some(file)),
                Ok(false) if pause(tries) => {}
                _ => break,
            }
        }
        Turn(None)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if let Some(file) = self.0 {
            let _ = flock(file, FlockOperation::Unlock);
        }
    }
}
