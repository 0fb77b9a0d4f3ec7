//! The ledger that writes while a show moves its database.
//!
//! Owns its process and where its record lies. Never judges what it wrote.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use piton_testkit::ledger::{self, Reconciliation, Stats};
use piton_testkit::{Account, Guarded};

use super::engine::Binaries;
use super::{Demo, Result};

/// Its writers, and what each waits between two writes.
const CLIENTS: &str = "8";
const PAUSE_MS: &str = "30";
/// It may try open writes for five seconds after it was asked to stop.
const STOP_LIMIT: Duration = Duration::from_secs(15);

pub(super) struct Ledger {
    process: Guarded,
    account: Account,
    record: PathBuf,
}

impl Ledger {
    /// It finds its database by the service's file, each time it connects.
    pub(super) fn start(
        demo: &Demo,
        binaries: &Binaries,
        schema: &str,
        account: &Account,
        endpoint_file: &Path,
    ) -> Result<Self> {
        let record = demo.folder.join("ledger");
        let process = Guarded::start(&[], &binaries.ledger, |command| {
            command
                .args(["serve", "--schema", schema, "--clients", CLIENTS, "--pause-ms", PAUSE_MS, "--endpoint-file"])
                .arg(endpoint_file)
                .arg("--folder")
                .arg(&record)
                .env("PITON_LEDGER_USER", &account.user)
                .env("PITON_LEDGER_PASSWORD", &account.password)
                .stdin(Stdio::null())
                .stdout(Stdio::null());
        })?;
        Ok(Self { process, account: account.clone(), record })
    }

    /// Whether a write was acknowledged.
    ///
    /// # Errors
    /// When it has ended.
    pub(super) fn writes(&mut self) -> Result<bool> {
        if let Some(status) = self.process.ended()? {
            return Err(format!("the ledger ended with {status}").into());
        }
        Ok(std::fs::metadata(self.record.join("acknowledged")).is_ok_and(|file| file.len() > 0))
    }

    /// Ends it; it leaves its statistics.
    pub(super) fn stop(&mut self) -> Result<Stats> {
        match self.process.terminate(STOP_LIMIT)? {
            Some(status) if status.success() => Ok(ledger::read_stats(&self.record)?),
            status => Err(format!("the ledger did not stop as it should: {status:?}").into()),
        }
    }

    /// Compares what it was promised with what a server holds.
    pub(super) fn reconcile(&self, address: &str) -> Result<Reconciliation> {
        Ok(ledger::reconcile(&self.record, address, &self.account)?)
    }
}
