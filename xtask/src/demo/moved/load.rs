//! The writers: the ledger, sysbench, and the changes of the shop's tables.
//!
//! Owns their processes and threads, and what each of them saw go wrong.

use std::fs::File;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use piton_testkit::churn::{self, Churn, Failures};
use piton_testkit::ledger::{self, Reconciliation, Stats};
use piton_testkit::{Account, Guarded};

use super::super::engine::Binaries;
use super::super::sysbench::{self, Hidden};
use super::super::{Demo, Result};
use super::platforms::{Platforms, SCHEMA};

/// Writers of the ledger, and what each waits between two writes.
const CLIENTS: &str = "8";
const PAUSE_MS: &str = "30";
/// The ledger may try open writes for five seconds after it was asked to stop.
const STOP_LIMIT: Duration = Duration::from_secs(15);

/// Everything that writes while the move runs. Dropping it stops it.
pub(super) struct Load {
    ledger: Guarded,
    account: Account,
    record: PathBuf,
    churn: Churn,
    sysbench: Guarded,
    sysbench_log: PathBuf,
}

/// What the writers saw.
pub(super) struct Seen {
    pub(super) ledger: Stats,
    pub(super) churn: Failures,
    pub(super) sysbench: Hidden,
    /// sysbench gave up.
    pub(super) sysbench_ended: bool,
}

impl Load {
    /// The ledger and the shop find their database by the service's file; sysbench has come through the gate from the beginning.
    pub(super) fn start(demo: &Demo, binaries: &Binaries, platforms: &Platforms, gate: &str) -> Result<Self> {
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
        let changes = std::fs::read_to_string(demo.root.join("examples/move/changes.sql"))?;
        let churn = Churn::start(&platforms.endpoint_file(), platforms.shop.clone(), churn::transactions(&changes))?;
        let sysbench_log = demo.folder.join("sysbench.log");
        let more = ["--report-interval=1", "--verbosity=5"];
        let sysbench = platforms.sysbench.start(gate, &more, File::create(&sysbench_log)?.into())?;
        let account = platforms.ledger.clone();
        let mut load = Self { ledger, account, record, churn, sysbench, sysbench_log };
        let acknowledged = load.record.join("acknowledged");
        demo.wait_until("all writers write", || {
            if let Some(status) = load.ledger.ended()? {
                return Err(format!("the ledger ended with {status}").into());
            }
            let any = std::fs::metadata(&acknowledged).is_ok_and(|file| file.len() > 0);
            let sysbench = std::fs::read_to_string(&load.sysbench_log).unwrap_or_default();
            Ok((any && load.churn.rounds() > 0 && sysbench::hidden(&sysbench).transactions > 0).then_some(()))
        })?;
        Ok(load)
    }

    /// Stops all writers; tells what they saw.
    pub(super) fn stop(&mut self) -> Result<Seen> {
        self.churn.stop();
        let sysbench_ended = self.sysbench.ended()?.is_some();
        self.sysbench.terminate(STOP_LIMIT)?;
        let ledger = match self.ledger.terminate(STOP_LIMIT)? {
            Some(status) if status.success() => ledger::read_stats(&self.record)?,
            status => return Err(format!("the ledger did not stop as it should: {status:?}").into()),
        };
        Ok(Seen {
            ledger,
            churn: self.churn.failures(),
            sysbench: sysbench::hidden(&String::from_utf8_lossy(&std::fs::read(&self.sysbench_log)?)),
            sysbench_ended,
        })
    }

    /// Compares what the ledger was promised with what a server holds.
    pub(super) fn reconcile(&self, address: &str) -> Result<Reconciliation> {
        Ok(ledger::reconcile(&self.record, address, &self.account)?)
    }
}
