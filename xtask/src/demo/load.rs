//! The writers: the ledger, sysbench, and the procedure that changes the awkward tables.
//!
//! Owns their processes and threads. sysbench knows one address and gives up when it is refused, so it is started again at
//! the address that the service's file holds, as a service manager would.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use piton_testkit::churn::Churn;
use piton_testkit::ledger::{self, Reconciliation, Stats};
use piton_testkit::{Account, Guarded, find_program};

use super::engine::Binaries;
use super::platforms::{Platforms, SCHEMA};
use super::{Demo, Result};

/// Writers of the ledger, and what each waits between two writes.
const CLIENTS: &str = "8";
const PAUSE_MS: &str = "30";
/// The ledger may try open writes for five seconds after it was asked to stop.
const STOP_LIMIT: Duration = Duration::from_secs(15);
/// How often a sysbench that gave up is started again.
const RESTART_EVERY: Duration = Duration::from_millis(250);

/// sysbench's command line, the same on both platforms but for the address.
#[derive(Clone)]
pub(super) struct Sysbench {
    pub(super) account: Account,
    /// Holds the password, so that no argument does.
    pub(super) options_file: PathBuf,
}

impl Sysbench {
    pub(super) fn command(&self, address: &str, verb: &str) -> Result<Command> {
        let mut command = Command::new(find_program(&["sysbench"], "sysbench")?);
        command.args(self.arguments(address, verb)?).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Ok(command)
    }

    fn arguments(&self, address: &str, verb: &str) -> Result<Vec<String>> {
        let (host, port) = address.trim().rsplit_once(':').ok_or("an address without a port")?;
        let Account { user, password, .. } = &self.account;
        let options = format!(
            "db-driver=mysql\nmysql-host={host}\nmysql-port={port}\nmysql-user={user}\nmysql-password={password}\n\
             mysql-db={SCHEMA}\nthreads=2\nrate=15\ntime=0\n"
        );
        std::fs::write(&self.options_file, options)?;
        // The file is for sysbench's own options only: a test's options have to be arguments.
        let file = format!("--config-file={}", self.options_file.display());
        Ok([&file, "oltp_read_write", "--tables=4", "--table-size=10000", verb].map(str::to_owned).to_vec())
    }

    /// Runs it until told to stop, wherever the service's database is.
    fn keep_running(&self, endpoint_file: &PathBuf, stop: &AtomicBool) -> Result<u64> {
        let program = find_program(&["sysbench"], "sysbench")?;
        let mut starts = 0;
        while !stop.load(Ordering::Relaxed) {
            let arguments = self.arguments(&std::fs::read_to_string(endpoint_file)?, "run")?;
            let mut process = Guarded::start(&[], &program, |command| {
                command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            })?;
            starts += 1;
            while process.ended()?.is_none() && !stop.load(Ordering::Relaxed) {
                std::thread::sleep(RESTART_EVERY);
            }
            process.terminate(STOP_LIMIT)?;
            std::thread::sleep(RESTART_EVERY);
        }
        Ok(starts)
    }
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
        let sysbench =
            std::thread::spawn(move || sysbench.keep_running(&endpoint_file, &told).map_err(|error| error.to_string()));
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
