//! The supervisors an engine keeps: one is always started ahead, so that a step does not pay for it.
//!
//! Owns their starting, handing out, taking back and reaping. Never knows what a job is for, and never ends a job:
//! a supervisor that is let go of finishes what it has, then exits.

use super::executor::SupervisorCommand;
use super::wire::{self, FromSupervisor, ToSupervisor};
use piton_core::ports::Cancel;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

/// What `ps` shows instead of the program's path.
const NAME: &str = "piton-supervisor";

/// Idle supervisors kept at most. Each is a process of a few megabytes, most of them shared.
const MAX_IDLE: usize = 64;

/// An idle supervisor beyond the spare one is let go after this long.
const MAX_IDLE_TIME: Duration = Duration::from_secs(30);

/// Orders waiting for the keeper. More are not needed: an order says only that a spare is missing.
const MAX_ORDERS: usize = 4;

/// How often a wait for a supervisor looks whether it has become hopeless. Answers do not wait for this.
const SLICE: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };

/// How long dropping a pool waits for idle supervisors to exit. They do nothing but exit, so this is for a busy machine.
const GOODBYE: Duration = Duration::from_secs(2);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is guarded here is valid after every statement.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(super) struct Pool {
    command: SupervisorCommand,
    idle: Mutex<Vec<Supervisor>>,
    /// Let go of, not reaped yet.
    gone: Mutex<Vec<Child>>,
    keeper: OnceLock<SyncSender<()>>,
}

/// A started supervisor without a job.
pub(super) struct Supervisor {
    child: Child,
    input: Arc<Mutex<ChildStdin>>,
    output: ChildStdout,
    since: Instant,
}

impl Pool {
    pub(super) fn new(command: SupervisorCommand) -> Arc<Self> {
        Arc::new(Self { command, idle: Mutex::default(), gone: Mutex::default(), keeper: OnceLock::new() })
    }

    /// Has a spare started where there is none, without waiting for it.
    pub(super) fn warm(self: &Arc<Self>) {
        if !lock(&self.idle).is_empty() {
            return;
        }
        let keeper = self.keeper.get_or_init(|| {
            let (sender, orders) = sync_channel(MAX_ORDERS);
            let pool = Arc::downgrade(self);
            // Without this thread every step starts its own supervisor: slower, not wrong.
            let _ = std::thread::Builder::new().name("supervisors".into()).spawn(move || keep(&pool, &orders));
            sender
        });
        match keeper.try_send(()) {
            Ok(()) | Err(TrySendError::Full(()) | TrySendError::Disconnected(())) => {}
        }
    }

    /// The supervisor used last, for its memory is warm; a new one where all are busy.
    pub(super) fn take(self: &Arc<Self>) -> io::Result<Supervisor> {
        let idle = lock(&self.idle).pop();
        let supervisor = match idle {
            Some(supervisor) => Ok(supervisor),
            None => self.start(),
        };
        self.warm();
        supervisor
    }

    pub(super) fn give_back(&self, mut supervisor: Supervisor) {
        supervisor.since = Instant::now();
        let extra = {
            let mut idle = lock(&self.idle);
            idle.push(supervisor);
            // The first was not needed for the longest time.
            let stale = idle.len() > 1 && idle[0].since.elapsed() > MAX_IDLE_TIME;
            (stale || idle.len() > MAX_IDLE).then(|| idle.remove(0))
        };
        if let Some(extra) = extra {
            self.let_go(extra);
        }
    }

    /// The supervisor exits by itself, at once where it is idle.
    pub(super) fn let_go(&self, supervisor: Supervisor) {
        let Supervisor { child, .. } = supervisor;
        let mut gone = lock(&self.gone);
        gone.push(child);
        gone.retain_mut(|child| matches!(child.try_wait(), Ok(None)));
    }

    fn start(&self) -> io::Result<Supervisor> {
        let mut command = Command::new(&self.command.program);
        command.arg0(NAME).args(&self.command.args).current_dir("/");
        // It begins a session of its own, which a group's leader may not: so no process group here.
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn()?;
        match (child.stdin.take(), child.stdout.take()) {
            (Some(input), Some(output)) => {
                Ok(Supervisor { child, input: Arc::new(Mutex::new(input)), output, since: Instant::now() })
            }
            _ => Err(io::Error::other("the supervisor has no pipes")),
        }
    }
}

fn keep(pool: &Weak<Pool>, orders: &Receiver<()>) {
    while orders.recv().is_ok() {
        let Some(pool) = pool.upgrade() else { return };
        if !lock(&pool.idle).is_empty() {
            continue;
        }
        if let Ok(supervisor) = pool.start() {
            // At the bottom: what was used last is taken first.
            lock(&pool.idle).insert(0, supervisor);
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let idle = std::mem::take(&mut *lock(&self.idle));
        let mut children: Vec<Child> = idle.into_iter().map(|supervisor| supervisor.child).collect();
        let end = Instant::now() + GOODBYE;
        while Instant::now() < end {
            children.retain_mut(|child| matches!(child.try_wait(), Ok(None)));
            if children.is_empty() {
                return;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Supervisor {
    /// Gives it a job and waits for the answer. `Err`: the supervisor is dead, or does not end what it was told to end
    /// within `patience`.
    pub(super) fn run(
        &mut self,
        job: &[u8],
        id: &str,
        cancel: &Cancel,
        patience: Duration,
    ) -> io::Result<FromSupervisor> {
        use std::io::Write as _;
        lock(&self.input).write_all(job)?;
        let input = self.input.clone();
        let id = id.to_owned();
        let _registration = cancel.on_fire(move |reason| {
            let message = ToSupervisor::Cancel { id: id.clone(), reason: reason.to_owned() };
            // Where it is gone, the wait below sees it.
            let _ = wire::send(&mut *lock(&input), &message);
        });
        let mut asked: Option<Instant> = None;
        loop {
            let mut fds = [PollFd::new(&self.output, PollFlags::IN)];
            match poll(&mut fds, Some(&SLICE)) {
                Ok(0) | Err(Errno::INTR) => {}
                Ok(_) => return wire::receive(&mut self.output),
                Err(error) => return Err(error.into()),
            }
            if cancel.fired() && asked.get_or_insert_with(Instant::now).elapsed() > patience {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "it was told to end its command and did not"));
            }
        }
    }

    /// Makes sure that it is dead, and reaps it.
    pub(super) fn bury(mut self) -> io::Result<()> {
        self.child.kill()?;
        self.child.wait().map(drop)
    }
}
