//! `piton __watchdog`: guards an open window. When the engine dies it becomes the engine; an engine that has gone
//! silent past the window's deadline is killed first.
//!
//! Owns waiting for the lease and killing. The rule of patience is the engine's.

use crate::commands::engine::{Waiting, drive_existing};
use crate::error::{CliError, Kind};
use crate::exit::Exit;
use crate::ui::Screen;
use crate::wire::Wire;
use crate::world::{self, DISMISS};
use piton_core::event::Attach;
use piton_core::ports::{Clock as _, Lease, Store as _};
use piton_engine::watchdog::Patience;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The engine's patience is looked at this often.
const LOOK: Duration = Duration::from_millis(50);

pub(crate) fn run(run: &str, engine_pid: u32) -> Result<Exit, CliError> {
    // Neither the terminal's signals nor the end of the engine's session reach it.
    let _ = rustix::process::setsid();
    let wire = Wire::open()?;
    let run = wire.store.find(run)?.id;
    // Opened while the engine, which waits for our word, certainly lives: a number used again later cannot fool it.
    let engine = i32::try_from(engine_pid)
        .ok()
        .and_then(Pid::from_raw)
        .and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok())
        .ok_or_else(|| {
            CliError::new(Kind::EngineNotStarted, format!("the engine, process {engine_pid}, cannot be watched"))
        })?;

    let (took, taken) = channel();
    let store = wire.store.clone();
    let (waiting_run, me) = (run.clone(), world::engine_id(&*wire.clock));
    std::thread::spawn(move || {
        let _ = took.send(store.lease_when_free(&waiting_run, &me));
    });
    let patience = Arc::new(Mutex::new(Patience::default()));
    listen(&wire, patience.clone());
    std::io::stdout()
        .write_all(b"R")
        .and_then(|()| std::io::stdout().flush())
        .map_err(|error| CliError::new(Kind::EngineNotStarted, "the engine does not listen").source(error))?;

    let lease = wait_for_lease(&wire, &taken, &patience, &engine)?;
    let open = wire.state(&run)?.open_window().is_some();
    if !open {
        // The engine died between two windows, or closed this one and had no time to say so: not ours to go on with.
        return Ok(Exit::Done);
    }
    drive_existing(&wire, lease, Attach::TookOver, None, None, Waiting::Leaves, Arc::new(Screen::plain()))
}

/// Hears the engine's beats until it dismisses us, which ends this process.
fn listen(wire: &Wire, patience: Arc<Mutex<Patience>>) {
    let clock = wire.clock.clone();
    std::thread::spawn(move || {
        let mut stdin = std::io::stdin().lock();
        let mut word = [0u8; 8];
        while stdin.read_exact(&mut word).is_ok() {
            match u64::from_le_bytes(word) {
                DISMISS => std::process::exit(0),
                deadline => {
                    let deadline = (deadline != 0).then_some(deadline);
                    patience.lock().unwrap_or_else(PoisonError::into_inner).beat(clock.now().boot_us, deadline);
                }
            }
        }
    });
}

type Taken = Receiver<Result<Box<dyn Lease>, piton_core::ports::StoreError>>;

fn wait_for_lease(
    wire: &Wire,
    taken: &Taken,
    patience: &Mutex<Patience>,
    engine: &OwnedFd,
) -> Result<Box<dyn Lease>, CliError> {
    loop {
        match taken.recv_timeout(LOOK) {
            Ok(lease) => return Ok(lease?),
            Err(RecvTimeoutError::Disconnected) => {
                return Err(CliError::bug("the thread that waits for the lease ended without it"));
            }
            Err(RecvTimeoutError::Timeout) => {
                let now_us = wire.clock.now().boot_us;
                if patience.lock().unwrap_or_else(PoisonError::into_inner).is_over(now_us) {
                    // Its lease ends with it. Already gone: the same.
                    let _ = pidfd_send_signal(engine, Signal::KILL);
                }
            }
        }
    }
}
