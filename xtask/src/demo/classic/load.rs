//! The writers: the ledger, sysbench, and the procedure that changes the awkward tables.
//!
//! Owns their processes and threads. sysbench knows one address and gives up when it is refused, so it is started again at
//! the address that the service's file holds, as a service manager would.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use piton_testkit::churn::Churn;
use piton_testkit::ledger::{Reconciliation, Stats};

use super::super::engine::Binaries;
use super::super::ledger::Ledger;
use super::super::sysbench::Sysbench;
use super::super::{Demo, Result};
use super::platforms::{Platforms, SCHEMA};

/// sysbench ends its transactions first.
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
    ledger: Ledger,
    churn: Churn,
    stop: Arc<AtomicBool>,
    sysbench: Option<JoinHandle<std::result::Result<u64, String>>>,
}

impl Load {
    pub(super) fn start(demo: &Demo, binaries: &Binaries, platforms: &Platforms) -> Result<Self> {
        let ledger = Ledger::start(demo, binaries, SCHEMA, &platforms.ledger, &platforms.endpoint_file())?;
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
        let mut load = Self { ledger, churn, stop, sysbench: Some(sysbench) };
        demo.wait_until("the ledger writes", || Ok((load.ledger.writes()? && load.churn.rounds() > 0).then_some(())))?;
        Ok(load)
    }

    /// Stops all writers; the ledger leaves its statistics.
    pub(super) fn stop(&mut self) -> Result<Stats> {
        self.stop.store(true, Ordering::Relaxed);
        self.churn.stop();
        if let Some(thread) = self.sysbench.take() {
            thread.join().map_err(|_| "the thread that keeps sysbench running panicked")??;
        }
        self.ledger.stop()
    }

    /// Compares what the ledger was promised with what a server holds.
    pub(super) fn reconcile(&self, address: &str) -> Result<Reconciliation> {
        self.ledger.reconcile(address)
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
