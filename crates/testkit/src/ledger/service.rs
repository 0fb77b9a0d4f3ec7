//! The service's process: starts the writers, watches its address, stops when asked, leaves its statistics.
//!
//! Owns the threads and what they share. Never decides what a failed write means: that is the client's.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use super::LedgerError;
use super::client::Client;
use super::records::{Records, Stats, unix_ms};
use super::tables::runtime;
use crate::endpoint::{Account, Endpoint};

/// How often acknowledgements are put on disk and the address file is looked at.
const TICK: Duration = Duration::from_millis(20);
/// How long writes in progress may still be tried after the service was asked to stop.
const GRACE: Duration = Duration::from_secs(5);

/// How to run the service.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The file that holds the database's address as `host:port`.
    pub endpoint_file: PathBuf,
    /// Where its records go; it is created.
    pub folder: PathBuf,
    pub account: Account,
    pub clients: usize,
    /// What each client waits between two writes.
    pub pause: Duration,
}

pub(super) struct Shared {
    pub(super) records: Records,
    pub(super) endpoint: Endpoint,
    pub(super) account: Account,
    /// Makes ids of two runs of the service differ.
    pub(super) session: u64,
    pub(super) stop: Arc<AtomicBool>,
    stopped_at: OnceLock<Instant>,
    pause: Duration,
}

impl Shared {
    pub(super) fn pause(&self) -> Duration {
        self.pause
    }

    pub(super) fn grace_is_over(&self) -> bool {
        self.stopped_at.get().is_some_and(|since| since.elapsed() >= GRACE)
    }
}

/// Serves until `stop` becomes true, then writes `stats.json`.
///
/// # Errors
/// When the address file or a record cannot be used. Refused writes are no error here: they are counted and tried again.
pub fn serve(settings: &Settings, stop: Arc<AtomicBool>) -> Result<Stats, LedgerError> {
    let shared = Shared {
        records: Records::open(&settings.folder, settings.clients)?,
        endpoint: Endpoint::read(&settings.endpoint_file)?,
        account: settings.account.clone(),
        session: unix_ms(),
        stop,
        stopped_at: OnceLock::new(),
        pause: settings.pause,
    };
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..settings.clients)
            .map(|number| {
                let shared = &shared;
                scope.spawn(move || runtime()?.block_on(Client::new(shared, number).run()))
            })
            .collect();
        let watched = watch(&shared, || writers.iter().all(std::thread::ScopedJoinHandle::is_finished));
        let mut outcome = watched;
        for writer in writers {
            let ended = writer.join().unwrap_or_else(|_| {
                Err(LedgerError::Io {
                    doing: "keep a writer running".to_owned(),
                    source: std::io::Error::other("it panicked"),
                })
            });
            outcome = outcome.and(ended);
        }
        outcome
    })?;
    shared.records.finish(&settings.folder)
}

/// Flushes the record and looks at the address until the writers have ended.
fn watch(shared: &Shared, writers_ended: impl Fn() -> bool) -> Result<(), LedgerError> {
    while !writers_ended() {
        if shared.stop.load(Ordering::Relaxed) {
            shared.stopped_at.get_or_init(Instant::now);
        }
        shared.endpoint.refresh();
        if let Err(error) = shared.records.flush() {
            // A service that cannot keep its record must not take more writes.
            shared.stop.store(true, Ordering::Relaxed);
            shared.stopped_at.get_or_init(Instant::now);
            return Err(error);
        }
        std::thread::sleep(TICK);
    }
    Ok(())
}
