//! A run's lock: what makes its lease a fact. Held through file locks (flock(2)), which end with their holder.
//!
//! Owns `lease.lock` and `lease.held` in a run's directory. Never knows a fencing number or a database.
//!
//! Why two files: `lease.lock` decides who holds the lease, and only those who want to hold it ever lock it, so that a
//! failed try always means a live holder. `lease.held` is locked by the holder as a witness for listings, which probe it
//! with a shared lock. Were listings to probe `lease.lock` itself, a listing (one stopped by Ctrl-Z, at worst) could
//! keep an engine or a watchdog from its run.
//!
//! A flock belongs to the open file description: a forked copy of the descriptor keeps it. Descriptors are opened with
//! O_CLOEXEC (std does), and Piton never forks without exec, so a child shares the lock only until its exec. An engine
//! killed in that instant leaves a lock that lasts milliseconds longer; therefore a try is patient for some.

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

const LOCK_FILE: &str = "lease.lock";
const WITNESS_FILE: &str = "lease.held";

/// Tries for the witness, a millisecond apart. Probes hold it for microseconds; a holder that still does not get it
/// goes on without, and only listings are wrong.
const WITNESS_TRIES: u32 = 100;

/// Tries for the lock, and the pause between them, before someone is said to hold it. A child that was being started by
/// a killed holder has closed its copy long before that.
const TRIES: u32 = 10;
const PAUSE: Duration = Duration::from_millis(5);

/// Held until dropped, or until the process ends.
#[derive(Debug)]
pub(crate) struct RunLock {
    _lock: File,
    _witness: Option<File>,
}

impl RunLock {
    /// `None`: someone alive holds it.
    pub(crate) fn try_take(dir: &Path) -> io::Result<Option<Self>> {
        for _ in 1..TRIES {
            if let Some(lock) = Self::take(dir, FlockOperation::NonBlockingLockExclusive)? {
                return Ok(Some(lock));
            }
            std::thread::sleep(PAUSE);
        }
        Self::take(dir, FlockOperation::NonBlockingLockExclusive)
    }

    /// Waits for as long as it takes.
    pub(crate) fn wait(dir: &Path) -> io::Result<Self> {
        loop {
            if let Some(lock) = Self::take(dir, FlockOperation::LockExclusive)? {
                return Ok(lock);
            }
        }
    }

    fn take(dir: &Path, how: FlockOperation) -> io::Result<Option<Self>> {
        let path = dir.join(LOCK_FILE);
        loop {
            let file = open(&path)?;
            if !lock(&file, how)? {
                return Ok(None);
            }
            // Whoever removed the file while we waited made our lock one on a file that nobody else will find.
            if is_same_file(&file, &path)? {
                return Ok(Some(Self { _lock: file, _witness: witness(dir) }));
            }
        }
    }

    /// Whether anyone alive holds the lock of the run with this directory. Delays nobody.
    pub(crate) fn is_held(dir: &Path) -> bool {
        // Without the file, or the right to read it, nobody has been seen to hold it.
        File::open(dir.join(WITNESS_FILE))
            .is_ok_and(|file| matches!(lock(&file, FlockOperation::NonBlockingLockShared), Ok(false)))
    }
}

fn witness(dir: &Path) -> Option<File> {
    let file = open(&dir.join(WITNESS_FILE)).ok()?;
    for _ in 0..WITNESS_TRIES {
        if lock(&file, FlockOperation::NonBlockingLockExclusive).ok()? {
            return Some(file);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    None
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

/// False: someone else has it.
pub(crate) fn lock(file: &File, how: FlockOperation) -> io::Result<bool> {
    loop {
        match flock(file, how) {
            Ok(()) => return Ok(true),
            Err(Errno::WOULDBLOCK) => return Ok(false),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

fn is_same_file(file: &File, path: &Path) -> io::Result<bool> {
    let ours = file.metadata()?;
    match path.metadata() {
        Ok(theirs) => Ok((ours.dev(), ours.ino()) == (theirs.dev(), theirs.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_holds_it_and_listings_see_that() {
        let temp = tempfile::tempdir().unwrap();
        assert!(!RunLock::is_held(temp.path()));
        let held = RunLock::try_take(temp.path()).unwrap().unwrap();
        assert!(RunLock::is_held(temp.path()));
        assert!(RunLock::try_take(temp.path()).unwrap().is_none());
        drop(held);
        assert!(!RunLock::is_held(temp.path()));
        assert!(RunLock::try_take(temp.path()).unwrap().is_some());
    }

    #[test]
    fn a_listing_that_is_stuck_in_its_probe_keeps_nobody_from_the_lock() {
        let temp = tempfile::tempdir().unwrap();
        drop(RunLock::try_take(temp.path()).unwrap());
        let stuck = File::open(temp.path().join(WITNESS_FILE)).unwrap();
        assert!(lock(&stuck, FlockOperation::NonBlockingLockShared).unwrap());
        assert!(RunLock::try_take(temp.path()).unwrap().is_some());
    }

    #[test]
    fn a_lock_file_removed_under_a_waiter_does_not_make_two_holders() {
        let temp = tempfile::tempdir().unwrap();
        let first = RunLock::try_take(temp.path()).unwrap().unwrap();
        std::fs::remove_file(temp.path().join(LOCK_FILE)).unwrap();
        drop(first);
        let second = RunLock::try_take(temp.path()).unwrap().unwrap();
        assert!(RunLock::try_take(temp.path()).unwrap().is_none());
        drop(second);
    }
}
