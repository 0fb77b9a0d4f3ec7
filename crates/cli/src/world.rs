//! The real world: clocks, randomness, who we are, and watchdog processes.
//!
//! Owns the system's answers behind `core`'s ports. Never decides anything.

use crate::survival::{ACCEPT_VARIABLE, Survival};
use piton_core::ids::{Actor, EngineId, RunId};
use piton_core::ports::{Clock, Watchdog, Watchdogs};
use piton_core::record::Moment;
use rustix::time::{ClockId, clock_gettime};
use std::io::{Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};

/// What runs are started and driven by, in their journals.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The machine's clocks.
pub(crate) struct SystemClock {
    boot_id: String,
}

impl SystemClock {
    pub(crate) fn new() -> Self {
        let boot_id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        Self { boot_id: boot_id.trim().to_owned() }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Moment {
        let us = |id| {
            let time = clock_gettime(id);
            time.tv_sec.saturating_mul(1_000_000).saturating_add(time.tv_nsec / 1000)
        };
        // The boot-time clock goes on while the machine sleeps, as a write pause does.
        let boot_us = u64::try_from(us(ClockId::Boottime)).unwrap_or(0);
        Moment { wall_us: us(ClockId::Realtime), boot_us }
    }

    fn boot_id(&self) -> &str {
        &self.boot_id
    }

    fn random(&self) -> u128 {
        random()
    }
}

/// Random bits of the operating system. A system without them cannot make ids or keys at all.
pub(crate) fn random() -> u128 {
    let mut bytes = [0u8; 16];
    match getrandom::fill(&mut bytes) {
        Ok(()) => u128::from_ne_bytes(bytes),
        Err(error) => unreachable!("the operating system gives no random bytes: {error}"),
    }
}

/// Who runs this command. `claimed` is `--as NAME`.
pub(crate) fn actor(claimed: Option<&str>) -> Actor {
    let uid = rustix::process::getuid().as_raw();
    let login = || ["USER", "LOGNAME"].iter().find_map(|name| std::env::var(name).ok()).filter(|name| !name.is_empty());
    let name = claimed.map(str::to_owned).or_else(login).unwrap_or_else(|| format!("uid {uid}"));
    Actor { name, uid, host: host() }
}

pub(crate) fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

pub(crate) fn engine_id(clock: &dyn Clock) -> EngineId {
    EngineId { host: host(), boot_id: clock.boot_id().to_owned(), pid: std::process::id() }
}

/// Starts `piton __watchdog` processes.
pub(crate) struct WatchdogProcesses {
    pub(crate) program: PathBuf,
    pub(crate) home: PathBuf,
    pub(crate) run_dir: PathBuf,
    pub(crate) survival: Survival,
}

/// Told through its standard input: the boot-time clock of the deadline, 0 for none; `DISMISS` to go.
pub(crate) const DISMISS: u64 = u64::MAX;

impl Watchdogs for WatchdogProcesses {
    fn start(&self, run: &RunId) -> Result<Box<dyn Watchdog>, String> {
        if let Some(why) = self.survival.refusal() {
            return Err(format!("it would not outlive this engine: {why}; if that may happen, go on with --accept"));
        }
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.run_dir.join("watchdog.log"));
        let log = log.map_err(|error| format!("its log cannot be opened: {error}"))?;
        let mut child = Command::new(&self.program)
            .arg0("piton")
            .arg("__watchdog")
            .arg(run.as_str())
            .arg(std::process::id().to_string())
            .env("PITON_HOME", &self.home)
            // It takes over an open window, wherever that is.
            .env(ACCEPT_VARIABLE, "1")
            // A fault that struck the engine is not meant for who takes over.
            .env_remove(crate::fault::CRASH_AFTER)
            .env_remove(crate::fault::STOP_AFTER)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .map_err(|error| error.to_string())?;
        let stdin = child.stdin.take().ok_or("it has no standard input")?;
        // A watchdog that does not read must never block the engine.
        rustix::fs::fcntl_setfl(&stdin, rustix::fs::OFlags::NONBLOCK).map_err(|error| error.to_string())?;
        let mut ready = [0u8; 1];
        let said = child.stdout.as_mut().map(|stdout| stdout.read_exact(&mut ready));
        match said {
            Some(Ok(())) => Ok(Box::new(WatchdogProcess { child, stdin })),
            _ => {
                let _ = child.kill();
                let _ = child.wait();
                Err(format!("it ended at once; see {}", self.run_dir.join("watchdog.log").display()))
            }
        }
    }
}

struct WatchdogProcess {
    child: Child,
    stdin: ChildStdin,
}

impl WatchdogProcess {
    fn say(&mut self, word: u64) {
        // A full pipe means that it has not read for minutes, a broken one that it is gone: either way the engine goes
        // on, and the budget is held by the engine itself.
        let _ = self.stdin.write_all(&word.to_le_bytes());
    }
}

impl Watchdog for WatchdogProcess {
    fn pid(&self) -> u32 {
        self.child.id()
    }

    fn beat(&mut self, deadline_boot_us: Option<u64>) {
        self.say(deadline_boot_us.unwrap_or(0));
    }

    fn dismiss(mut self: Box<Self>) {
        self.say(DISMISS);
        let _ = self.child.wait();
    }
}
