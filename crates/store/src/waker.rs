//! The waker's seat: at most one process sits in it for each store, and a bell tells it to look.
//!
//! Owns `waker.lock` and `waker.bell` in the store's directory. Never knows what there is to look at.
//!
//! The lock is a flock on a file of its own, which ends with its holder, and holds the holder's process number for
//! people. The bell is a FIFO: whoever sits keeps it open, so ringing where nobody sits does nothing. A ring is one
//! byte, never waited for: many that nobody has heard yet are one.
//!
//! Nothing is lost between a waker that leaves and a run that parks: the run's row is durable before its engine looks
//! whether somebody sits, and the waker looks once more after it has left its seat.

use crate::lock::lock;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{CWD, FlockOperation, Mode, OFlags, mkfifoat};
use rustix::io::Errno;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const LOCK_FILE: &str = "waker.lock";
const BELL_FILE: &str = "waker.bell";

/// Whoever wants the seat tries so often: those who look whether somebody sits hold the lock for microseconds.
const TRIES: u32 = 10;
const PAUSE: Duration = Duration::from_millis(5);
/// Where the file system has no FIFOs, nobody can be told: the waker looks this often.
const DEAF_LOOK: Duration = Duration::from_secs(1);

/// Left when dropped, or when the process ends.
#[derive(Debug)]
pub struct Seat {
    path: PathBuf,
    lock: File,
    /// Absent: this file system has none.
    bell: Option<File>,
}

impl Seat {
    /// `None`: somebody sits there already.
    pub(crate) fn take(home: &Path) -> io::Result<Option<Self>> {
        for tries in 0..TRIES {
            if tries > 0 {
                std::thread::sleep(PAUSE);
            }
            if let Some(seat) = Self::sit(home, FlockOperation::NonBlockingLockExclusive)? {
                return Ok(Some(seat));
            }
        }
        Ok(None)
    }

    /// Waits for as long as it takes.
    pub(crate) fn wait(home: &Path) -> io::Result<Self> {
        loop {
            if let Some(seat) = Self::sit(home, FlockOperation::LockExclusive)? {
                return Ok(seat);
            }
        }
    }

    fn sit(home: &Path, how: FlockOperation) -> io::Result<Option<Self>> {
        let path = home.join(LOCK_FILE);
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path)?;
        if !lock(&file, how)? {
            return Ok(None);
        }
        let mut seat = Self { path, lock: file, bell: bell(home) };
        if !seat.is_there() {
            return Ok(None);
        }
        // For people: a full disk keeps nobody from sitting.
        let _ = seat.lock.set_len(0).and_then(|()| writeln!(seat.lock, "{}", std::process::id()));
        Ok(Some(seat))
    }

    /// False once the store's directory, or the lock in it, is gone: whoever sits guards nothing any more.
    pub fn is_there(&self) -> bool {
        let Ok(ours) = self.lock.metadata() else { return false };
        self.path.metadata().is_ok_and(|theirs| (ours.dev(), ours.ino()) == (theirs.dev(), theirs.ino()))
    }

    /// Rests until the bell rings, or the time is over.
    pub fn rest(&self, time: Duration) {
        let Some(bell) = &self.bell else { return std::thread::sleep(time.min(DEAF_LOOK)) };
        let end = Instant::now() + time;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let timeout = Timespec::try_from(left).unwrap_or(Timespec { tv_sec: 1, tv_nsec: 0 });
            match poll(&mut [PollFd::new(bell, PollFlags::IN)], Some(&timeout)) {
                Err(Errno::INTR) => {}
                _ => break,
            }
        }
        let mut rings = [0u8; 512];
        while (&*bell).read(&mut rings).is_ok_and(|read| read == rings.len()) {}
    }

    /// To ring it from within, as from a signal handler.
    pub fn bell(&self) -> Option<OwnedFd> {
        self.bell.as_ref().and_then(|bell| bell.try_clone().ok()).map(OwnedFd::from)
    }
}

/// Opened for both ways, so that it has a reader as long as somebody sits, and never an end.
fn bell(home: &Path) -> Option<File> {
    let path = home.join(BELL_FILE);
    if !path.symlink_metadata().is_ok_and(|known| known.file_type().is_fifo()) {
        // What stands there under its name is left from nobody knows what.
        let _ = std::fs::remove_file(&path);
        mkfifoat(CWD, &path, Mode::RUSR | Mode::WUSR).ok()?;
    }
    OpenOptions::new().read(true).write(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed()).open(path).ok()
}

/// Whether somebody sits; who does is told to look.
pub(crate) fn ring(home: &Path) -> bool {
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    if let Ok(mut bell) = OpenOptions::new().write(true).custom_flags(flags).open(home.join(BELL_FILE)) {
        // Full: it has been told.
        let _ = bell.write(&[1]);
    }
    is_taken(home)
}

fn is_taken(home: &Path) -> bool {
    // Without the file nobody has ever sat.
    File::open(home.join(LOCK_FILE))
        .is_ok_and(|file| matches!(lock(&file, FlockOperation::NonBlockingLockShared), Ok(false)))
}

/// The process that sits, by its own word.
pub(crate) fn sitter(home: &Path) -> Option<u32> {
    is_taken(home).then(|| std::fs::read_to_string(home.join(LOCK_FILE)).ok()?.trim().parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_sits_and_hears_the_bell() {
        let temp = tempfile::tempdir().unwrap();
        let home = temp.path();
        assert!(!ring(home) && sitter(home).is_none());
        let seat = Seat::take(home).unwrap().unwrap();
        assert!(Seat::take(home).unwrap().is_none());
        assert_eq!(sitter(home), Some(std::process::id()));
        // Rung before it rests, and many times: it looks once.
        for _ in 0..70_000 {
            assert!(ring(home));
        }
        let start = Instant::now();
        seat.rest(Duration::from_secs(60));
        assert!(start.elapsed() < Duration::from_secs(30));
        let start = Instant::now();
        seat.rest(Duration::from_millis(50));
        assert!(start.elapsed() >= Duration::from_millis(50), "nobody has rung since");
        drop(seat);
        assert!(!ring(home) && sitter(home).is_none());
        assert!(Seat::take(home).unwrap().is_some(), "what was left there is used again");
    }

    #[test]
    fn whoever_waits_for_the_seat_gets_it_and_one_in_a_store_that_is_gone_is_told() {
        let temp = tempfile::tempdir().unwrap();
        let first = Seat::take(temp.path()).unwrap().unwrap();
        let second = std::thread::scope(|scope| {
            let waiting = scope.spawn(|| Seat::wait(temp.path()).unwrap());
            drop(first);
            waiting.join().unwrap()
        });
        assert!(second.is_there());
        std::fs::remove_file(temp.path().join(LOCK_FILE)).unwrap();
        assert!(!second.is_there());
    }
}
