//! The writers: the ledger, sysbench, and the procedure that changes the awkward tables.
//!
//! Owns their processes and threads. sysbench knows one address and gives up when it is refused, so it is started again at
//! the address that the service's file holds, as a service manager would.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use piton_testkit::churn::Churn;
use piton_testkit::ledger::{self, Reconciliation, Stats};
use piton_testkit::{Account, Guarded};

use super::super::engine::Binaries;
use super::super::sysbench::Sysbench;
use super::super::{Demo, Result};
use super::platforms::{Platforms, SCHEMA};

/// Writers of the ledger, and what each waits between two writes.
const CLIENTS: &str = "8";
const PAUSE_MS: &str = "30";
/// The ledger may try open writes for five seconds after it was asked to stop.
const STOP_LIMIT: Duration = Duration::from_secs(15);
/// How often a sysbench that gave up is started again.
const RESTART_EVERY: Duration = Duration::from_millis(250);

/// Runs sysbench until told to stop, wherever the service's database is.
fn keep_running(sysbench: &Sysbench, endpoint_file: &Path, stop: &AtomicBool) -> Result<u64> {
    let mut starts = 0;
    while !stop.load(Ordering::Relaxed) {
        let mut process = sysbench.start(&std::fs::read_to_string(endpoint_file)?, &[], Stdio::null())?;
        starts += 1;
        while process.ended()?.is_none() && !stop.load(Ordering::Relaxed) {
            std::thread::sleep(RESTART_EVERY);
        }
        process.terminate(STOP_LIMIT)?;
        std::thread::sleep(RESTART_EVERY);
    }
    Ok(starts)
}

/// Everything that writes while the move runs. Dropping it stops it.
pub(super) struct Load {
    ledger: Guarded,
    account: Account,
    record: PathBuf,
    churn: Churn,
    stop: Arc<AtomicBool>,
    sysbench: Option<JoinHandle<std::result::Result<u64, String>>>,
}

impl Load {
    pub(super) fn start(demo: &Demo, binaries: &Binaries, platforms: &Platforms) -> Result<Self> {
        let record = demo.folder.join("ledger");
        let ledger = Guarded::start(&[], &binaries.ledger, |command| {
            command
                .arg("serve")
                .args(["--schema", SCHEMA, "--clients", CLIENTS, "--pause-ms", PAUSE_MS])
                .arg("--endpoint-file")
                .arg(platforms.endpoint_file())
                .arg("--folder")
                .arg(&record)
                .env("PITON_LEDGER_USER", &platforms.ledger.user)
                .env("PITON_LEDGER_PASSWORD", &platforms.ledger.password)
                .stdin(Stdio::null())
                .stdout(Stdio::null());
        })?;
        let churn = Churn::start(
            &platforms.endpoint_file(),
            platforms.ledger.clone(),
            vec![vec!["call churn({n})".to_owned()]],
        )?;
        let stop = Arc::new(AtomicBool::new(false));
        let (sysbench, told, endpoint_file) =
            (platforms.sysbench.clone(), Arc::clone(&stop), platforms.endpoint_file());
        let sysbench = std::thread::spawn(move || {
            keep_running(&sysbench, &endpoint_file, &told).map_err(|error| error.to_string())
        });
        let account = platforms.ledger.clone();
        let mut load = Self { ledger, account, record, churn, stop, sysbench: Some(sysbench) };
        let acknowledged = load.record.join("acknowledged");
        demo.wait_until("the ledger writes", || {
            if let Some(status) = load.ledger.ended()? {
                return Err(format!("the ledger ended with {status}").into());
            }
            let any = std::fs::metadata(&acknowledged).is_ok_and(|file| file.len() > 0);
            Ok((any && load.churn.rounds() > 0).then_some(()))
        })?;
        Ok(load)
    }

    /// Stops all writers; the ledger leaves its statistics.
    pub(super) fn stop(&mut self) -> Result<Stats> {
        self.stop.store(true, Ordering::Relaxed);
        self.churn.stop();
        if let Some(thread) = self.sysbench.take() {
            thread.join().map_err(|_| "the thread that keeps sysbench running panicked")??;
        }
        match self.ledger.terminate(STOP_LIMIT)? {
            Some(status) if status.success() => Ok(ledger::read_stats(&self.record)?),
            status => Err(format!("the ledger did not stop as it should: {status:?}").into()),
        }
    }

    /// Compares what the ledger was promised with what a server holds.
    pub(super) fn reconcile(&self, address: &str) -> Result<Reconciliation> {
        Ok(ledger::reconcile(&self.record, address, &self.account)?)
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.sysbench.take() {
            // Only on the way out of a failed show, whose error is the one to report.
            let _ = thread.join();
        }
    }
}
