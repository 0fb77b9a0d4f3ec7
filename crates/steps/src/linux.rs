//! What only Linux can do: process identity, process file descriptors, subreaping, the boot clock, resource usage.
//!
//! Owns the calls, the reading of `/proc`, and the crate's only `unsafe` (wait4 has no safe binding that gives usage).
//! Never decides anything: who is ended, and when, is said in `process`.

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};
use std::fs;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::OnceLock;

#[cfg(not(target_os = "linux"))]
compile_error!(
    "commands that survive their engine need Linux: pidfd, child subreaper, /proc and the boot clock are missing here"
);

/// Longest `/proc/PID/stat`: 52 numbers of at most 20 digits, and a name of at most 64 bytes (proc_pid_stat(5)).
const MAX_STAT_BYTES: usize = 2048;

/// A process that no other can be taken for, within one boot: numbers are reused, start times are not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    pub(crate) pid: i32,
    /// Clock ticks since boot, field 22 of `/proc/PID/stat` (proc(5)).
    pub(crate) start: u64,
}

/// What `/proc/PID/stat` says.
#[derive(Clone, Debug)]
pub(crate) struct Stat {
    pub(crate) id: Identity,
    pub(crate) name: String,
    pub(crate) state: char,
    pub(crate) parent: i32,
    pub(crate) group: i32,
    pub(crate) session: i32,
}

impl Stat {
    /// Ended; only its parent has not asked how yet.
    pub(crate) fn is_dead(&self) -> bool {
        matches!(self.state, 'Z' | 'X')
    }
}

/// `None`: there is no such process.
pub(crate) fn stat(pid: i32) -> io::Result<Option<Stat>> {
    // One read: the line is shorter, and the kernel makes it anew for every read from its beginning.
    let read = || {
        let mut line = [0; MAX_STAT_BYTES];
        let count = fs::File::open(format!("/proc/{pid}/stat"))?.read(&mut line)?;
        Ok(line[..count].to_vec())
    };
    match read() {
        Ok(bytes) => parse_stat(&bytes).map(Some),
        Err(error) if is_gone(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(Errno::SRCH.raw_os_error())
}

fn parse_stat(bytes: &[u8]) -> io::Result<Stat> {
    let text = String::from_utf8_lossy(bytes);
    let read = || {
        // The name may hold spaces and parentheses: it ends at the last parenthesis.
        let (head, tail) = text.rsplit_once(')')?;
        let (pid, name) = head.split_once('(')?;
        let fields: Vec<&str> = tail.split_ascii_whitespace().collect();
        // `fields[0]` is field 3.
        let number = |field: usize| fields.get(field - 3)?.parse::<i32>().ok();
        Some(Stat {
            id: Identity { pid: pid.trim().parse().ok()?, start: fields.get(22 - 3)?.parse().ok()? },
            name: name.to_owned(),
            state: fields.first()?.chars().next()?,
            parent: number(4)?,
            group: number(5)?,
            session: number(6)?,
        })
    };
    read().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "/proc/PID/stat is not as proc(5) describes it"))
}

/// Every process that can be seen now. A scan is not a snapshot: who kills by it scans again until nothing is found.
pub(crate) fn processes() -> io::Result<Vec<Stat>> {
    let mut all = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
        all.extend(stat(pid)?);
    }
    Ok(all)
}

/// True where the process was started with this variable (what it has set since is not seen). `None`: not allowed to
/// look.
pub(crate) fn started_with(pid: i32, variable: &str) -> io::Result<Option<bool>> {
    match fs::read(format!("/proc/{pid}/environ")) {
        Ok(environ) => Ok(Some(environ.split(|byte| *byte == 0).any(|entry| entry == variable.as_bytes()))),
        Err(error) if is_gone(&error) => Ok(Some(false)),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(None),
        Err(error) => Err(error),
    }
}

pub(crate) fn identity_of_self() -> io::Result<Identity> {
    static SELF: OnceLock<Identity> = OnceLock::new();
    if let Some(id) = SELF.get() {
        return Ok(*id);
    }
    let pid = i32::try_from(std::process::id()).map_err(io::Error::other)?;
    let stat = stat(pid)?.ok_or_else(|| io::Error::other("/proc does not show this process"))?;
    Ok(*SELF.get_or_init(|| stat.id))
}

/// A file descriptor for exactly this process; `None`: it is gone, or its number belongs to another by now.
pub(crate) fn open(id: Identity) -> io::Result<Option<OwnedFd>> {
    let Some(pid) = Pid::from_raw(id.pid).filter(|_| id.pid > 0) else { return Ok(None) };
    let fd = match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(fd) => fd,
        Err(Errno::SRCH) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    // The descriptor pins the number's present owner, so comparing after opening leaves no gap.
    let same = stat(id.pid)?.is_some_and(|stat| stat.id == id && !stat.is_dead());
    Ok(same.then_some(fd))
}

/// Signals exactly this process; nothing happens where it is gone.
pub(crate) fn signal(id: Identity, signal: Signal) -> io::Result<()> {
    match open(id)?.map(|fd| pidfd_send_signal(&fd, signal)) {
        None | Some(Ok(()) | Err(Errno::SRCH)) => Ok(()),
        Some(Err(error)) => Err(error.into()),
    }
}

/// Leaves the terminal and the engine's session behind, and becomes the parent of every orphan below.
pub(crate) fn become_supervisor() -> io::Result<()> {
    // A process group leader may not; a spawned child is none.
    rustix::process::setsid()?;
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    // As `ps` shows it; 15 bytes are what fits.
    rustix::thread::set_name(c"piton-supervise")?;
    Ok(())
}

/// What waiting for any child gave.
pub(crate) enum Reaped {
    Child(Ended),
    /// There are children, all alive.
    NoneYet,
    /// There is no child.
    NoChildren,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Ended {
    pub(crate) pid: i32,
    pub(crate) code: Option<i32>,
    pub(crate) signal: Option<i32>,
    pub(crate) cpu_us: u64,
    pub(crate) max_rss_bytes: u64,
}

/// Reaps one child without waiting.
#[allow(unsafe_code)]
pub(crate) fn reap() -> io::Result<Reaped> {
    let mut status: libc::c_int = 0;
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: both pointers are valid for writing for the length of the call; an all-zero rusage is a valid value, so it
    // may be read even where the call wrote nothing.
    let (pid, usage) = unsafe {
        let pid = libc::wait4(-1, &raw mut status, libc::WNOHANG, usage.as_mut_ptr());
        (pid, usage.assume_init())
    };
    match pid {
        0 => Ok(Reaped::NoneYet),
        -1 => match io::Error::last_os_error() {
            error if error.raw_os_error() == Some(libc::ECHILD) => Ok(Reaped::NoChildren),
            error if error.kind() == io::ErrorKind::Interrupted => Ok(Reaped::NoneYet),
            error => Err(error),
        },
        pid => Ok(Reaped::Child(Ended {
            pid,
            code: libc::WIFEXITED(status).then(|| libc::WEXITSTATUS(status)),
            signal: libc::WIFSIGNALED(status).then(|| libc::WTERMSIG(status)),
            cpu_us: micros(usage.ru_utime) + micros(usage.ru_stime),
            // Kibibytes on Linux (getrusage(2)).
            max_rss_bytes: u64::try_from(usage.ru_maxrss).unwrap_or(0) * 1024,
        })),
    }
}

fn micros(time: libc::timeval) -> u64 {
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000 + u64::try_from(time.tv_usec).unwrap_or(0)
}

/// Identifies this boot of this machine.
pub(crate) fn boot_id() -> io::Result<&'static str> {
    static ID: OnceLock<String> = OnceLock::new();
    if let Some(id) = ID.get() {
        return Ok(id);
    }
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    Ok(ID.get_or_init(|| id.trim().to_owned()))
}

/// Microseconds since boot, sleep included.
pub(crate) fn boot_us() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    u64::try_from(now.tv_sec).unwrap_or(0) * 1_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0) / 1000
}

/// Locks the file for as long as its description is open anywhere (flock(2)). Waits where a looker holds it.
pub(crate) fn lock(file: impl AsFd) -> io::Result<()> {
    loop {
        match flock(&file, FlockOperation::LockExclusive) {
            Err(Errno::INTR) => {}
            other => return Ok(other?),
        }
    }
}

/// True where somebody holds the exclusive lock. Looking takes a shared lock for a moment.
pub(crate) fn is_locked(file: impl AsFd) -> io::Result<bool> {
    match flock(&file, FlockOperation::NonBlockingLockShared) {
        Ok(()) => {
            flock(&file, FlockOperation::Unlock)?;
            Ok(false)
        }
        Err(Errno::WOULDBLOCK) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_fields() {
        let line = b"42 (a) b (c)) S 1 2 3 0 -1 4 0 0 0 0 5 6 7 8 20 0 1 0 12345 9 9";
        let stat = parse_stat(line).unwrap();
        assert_eq!(stat.id, Identity { pid: 42, start: 12345 });
        assert_eq!((stat.name.as_str(), stat.state, stat.parent, stat.session), ("a) b (c)", 'S', 1, 3));
        assert!(parse_stat(b"rubbish").is_err());
    }

    #[test]
    fn a_number_with_another_start_time_is_not_the_process() {
        let me = identity_of_self().unwrap();
        assert!(open(me).unwrap().is_some());
        assert!(open(Identity { start: me.start + 1, ..me }).unwrap().is_none());
        assert!(open(Identity { pid: 0, start: 0 }).unwrap().is_none());
    }

    #[test]
    fn a_lock_is_seen_and_ends_with_its_holder() {
        let dir = std::env::temp_dir();
        let folder = dir.join(format!("piton-lock-{}", std::process::id()));
        fs::create_dir(&folder).unwrap();
        let holder = fs::File::open(&folder).unwrap();
        let looker = fs::File::open(&folder).unwrap();
        assert!(!is_locked(&looker).unwrap());
        lock(&holder).unwrap();
        assert!(is_locked(&looker).unwrap());
        drop(holder);
        assert!(!is_locked(&looker).unwrap());
        fs::remove_dir(&folder).unwrap();
    }
}
