//! Child processes that cannot outlive us.
//!
//! Owns finding a server's program (or naming the Debian package that has it), starting it so that the kernel kills it
//! when this process dies, and stopping it. Never ends a process that it did not start.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Sender, SyncSender, channel, sync_channel};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// What a script exits with that finds no program.
const NOT_AT_HAND: i32 = 3;
/// How often a process that was asked to stop is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Why a private server could not be had.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    #[error("`{program}` is not on this machine: install it with `apt-get install {package}`")]
    Missing { program: String, package: &'static str },
    #[error("{program} is not at hand:\n{message}")]
    NotAtHand { program: &'static str, message: String },
    #[error("cannot {doing}")]
    Io { doing: String, source: io::Error },
    #[error("{program} ended with {status}; the end of its log:\n{log}")]
    Died { program: String, status: ExitStatus, log: String },
    #[error("{program} was not ready within {seconds} s; the end of its log:\n{log}")]
    NotReady { program: String, seconds: u64, log: String },
    #[error("{program} refused: {message}")]
    Refused { program: String, message: String },
}

impl SetupError {
    pub(crate) fn io(doing: impl Into<String>) -> impl FnOnce(io::Error) -> SetupError {
        let doing = doing.into();
        move |source| SetupError::Io { doing, source }
    }
}

/// A server's program, by the script that finds or makes it, which makes none here. It exits with 3 when there is none.
///
/// # Errors
/// [`SetupError::NotAtHand`], which says what to do, when there is none.
pub(crate) fn found_by(script: &str, program: &'static str) -> Result<PathBuf, SetupError> {
    let output = Command::new(script)
        .arg("--if-cached")
        .stdin(Stdio::null())
        .output()
        .map_err(SetupError::io(format!("start {script}")))?;
    let path = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if output.status.success() && !path.is_empty() {
        return Ok(PathBuf::from(path));
    }
    let message = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    match output.status.code() {
        Some(NOT_AT_HAND) => Err(SetupError::NotAtHand { program, message }),
        _ => Err(SetupError::Refused { program: script.to_owned(), message }),
    }
}

/// Finds the first of `names` in `PATH` or in the folders where Debian keeps servers.
///
/// # Errors
/// [`SetupError::Missing`], which names the package to install.
pub fn find_program(names: &[&str], package: &'static str) -> Result<PathBuf, SetupError> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin", "/usr/local/sbin", "/sbin"].map(PathBuf::from));
    for folder in folders {
        for name in names {
            let candidate = folder.join(name);
            if candidate.is_file() {
                return Ok(candidate);
            }
        }
    }
    Err(SetupError::Missing { program: names.first().copied().unwrap_or_default().to_owned(), package })
}

/// A child process that dies with this one, even if this one is killed with SIGKILL.
///
/// The kernel's parent-death signal is set by `setpriv` (util-linux), because setting it ourselves between fork and exec
/// would need `unsafe`. The kernel sends it when the *thread* that forked ends, so one thread that never ends starts them
/// all.
#[derive(Debug)]
pub struct Guarded {
    child: Child,
    stopped: bool,
}

impl Guarded {
    /// Starts `program` with what `configure` adds to the command, in front of it `wrapper` (such as a change of user).
    ///
    /// # Errors
    /// When `setpriv` is missing or the program cannot be started.
    pub fn start(wrapper: &[String], program: &Path, configure: impl FnOnce(&mut Command)) -> Result<Self, SetupError> {
        let setpriv = find_program(&["setpriv"], "util-linux")?;
        let mut words = wrapper.iter();
        let mut command = match words.next() {
            Some(first) => {
                let mut command = Command::new(first);
                command.args(words).arg(&setpriv);
                command
            }
            None => Command::new(&setpriv),
        };
        command.args(["--pdeathsig", "KILL", "--"]).arg(program);
        configure(&mut command);
        let child =
            spawn_from_lasting_thread(command).map_err(SetupError::io(format!("start {}", program.display())))?;
        Ok(Self { child, stopped: false })
    }

    /// The process id. `setpriv` replaces itself with the program, so it is the program's own.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The exit status, if it has ended already.
    ///
    /// # Errors
    /// When the operating system cannot say.
    pub fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        let status = self.child.try_wait()?;
        self.stopped |= status.is_some();
        Ok(status)
    }

    /// Sends a signal, if the process is still ours to signal.
    pub fn signal(&self, signal: Signal) {
        if self.stopped {
            return;
        }
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            // It may have ended in between: then there is nothing to signal, which is what was wanted.
            let _ = kill_process(pid, signal);
        }
    }

    /// Waits for its end, at most `limit`.
    ///
    /// # Errors
    /// When the operating system cannot say.
    pub fn wait(&mut self, limit: Duration) -> io::Result<Option<ExitStatus>> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = self.ended()? {
                return Ok(Some(status));
            }
            if Instant::now() >= deadline {
                return Ok(None);
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Asks with `signal`, waits at most `grace`, then kills.
    ///
    /// # Errors
    /// When the operating system cannot say whether it ended.
    pub fn stop(&mut self, signal: Signal, grace: Duration) -> io::Result<Option<ExitStatus>> {
        if self.stopped {
            return Ok(None);
        }
        self.signal(signal);
        if let Some(status) = self.wait(grace)? {
            return Ok(Some(status));
        }
        self.kill()
    }

    /// Asks with SIGTERM, waits at most `grace`, then kills.
    ///
    /// # Errors
    /// When the operating system cannot say whether it ended.
    pub fn terminate(&mut self, grace: Duration) -> io::Result<Option<ExitStatus>> {
        self.stop(Signal::TERM, grace)
    }

    /// Its standard output, where it was asked to be piped; given once.
    pub fn take_output(&mut self) -> Option<std::process::ChildStdout> {
        self.child.stdout.take()
    }

    /// Ends it at once, with SIGKILL.
    ///
    /// # Errors
    /// When the operating system cannot say whether it ended.
    pub fn kill(&mut self) -> io::Result<Option<ExitStatus>> {
        if self.stopped {
            return Ok(None);
        }
        self.child.kill()?;
        let status = self.child.wait()?;
        self.stopped = true;
        Ok(Some(status))
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // Owners stop their servers with a grace of their own before this; what is left is ended.
        let _ = self.kill();
    }
}

type Order = (Command, SyncSender<io::Result<Child>>);

fn spawn_from_lasting_thread(command: Command) -> io::Result<Child> {
    static ORDERS: OnceLock<Mutex<Sender<Order>>> = OnceLock::new();
    let orders = ORDERS.get_or_init(|| {
        let (sender, receiver) = channel::<Order>();
        std::thread::spawn(move || {
            for (mut command, reply) in receiver {
                let _ = reply.send(command.spawn());
            }
        });
        Mutex::new(sender)
    });
    let (reply, answer) = sync_channel(1);
    let gone = || io::Error::other("the thread that starts processes is gone");
    orders.lock().unwrap_or_else(PoisonError::into_inner).send((command, reply)).map_err(|_| gone())?;
    answer.recv().map_err(|_| gone())?
}

/// The last lines of a log file, for an error message.
pub(crate) fn tail(log: &Path) -> String {
    const LINES: usize = 12;
    let text = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_names_its_package() {
        let error = find_program(&["no-such-server-anywhere"], "mariadb-server").unwrap_err();
        assert_eq!(
            error.to_string(),
            "`no-such-server-anywhere` is not on this machine: install it with `apt-get install mariadb-server`"
        );
    }

    #[test]
    fn a_guarded_child_ends_when_it_is_dropped() {
        let sleep = find_program(&["sleep"], "coreutils").unwrap();
        let child = Guarded::start(&[], &sleep, |command| {
            command.arg("600");
        })
        .unwrap();
        let id = child.id();
        drop(child);
        assert!(!Path::new(&format!("/proc/{id}")).exists());
    }
}
