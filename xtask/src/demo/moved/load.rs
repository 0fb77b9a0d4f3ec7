//! The writers: the ledger, sysbench, and the changes of the shop's tables.
//!
//! Owns their processes and threads, and what each of them saw go wrong.

use std::fs::File;
use std::path::PathBuf;
use std::time::Duration;

use piton_testkit::Guarded;
use piton_testkit::churn::{self, Churn, Failures};
use piton_testkit::ledger::{Reconciliation, Stats};

use super::super::engine::Binaries;
use super::super::ledger::Ledger;
use super::super::sysbench::{self, Hidden};
use super::super::{Demo, Result};
use super::platforms::{Platforms, SCHEMA};

/// sysbench ends its transactions first.
const STOP_LIMIT: Duration = Duration::from_secs(15);

/// Everything that writes while the move runs. Dropping it stops it.
pub(super) struct Load {
    ledger: Ledger,
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
        let ledger = Ledger::start(demo, binaries, SCHEMA, &platforms.ledger, &platforms.endpoint_file())?;
        let changes = std::fs::read_to_string(demo.root.join("examples/move/changes.sql"))?;
        let churn = Churn::start(&platforms.endpoint_file(), platforms.shop.clone(), churn::transactions(&changes))?;
        let sysbench_log = demo.folder.join("sysbench.log");
        let more = ["--report-interval=1", "--verbosity=5"];
        let sysbench = platforms.sysbench.start(gate, &more, File::create(&sysbench_log)?.into())?;
        let mut load = Self { ledger, churn, sysbench, sysbench_log };
        demo.wait_until("all writers write", || {
            let sysbench = std::fs::read_to_string(&load.sysbench_log).unwrap_or_default();
            let all = load.ledger.writes()? && load.churn.rounds() > 0 && sysbench::hidden(&sysbench).transactions > 0;
            Ok(all.then_some(()))
        })?;
        Ok(load)
    }

    /// Stops all writers; tells what they saw.
    pub(super) fn stop(&mut self) -> Result<Seen> {
        self.churn.stop();
        let sysbench_ended = self.sysbench.ended()?.is_some();
        self.sysbench.terminate(STOP_LIMIT)?;
        Ok(Seen {
            ledger: self.ledger.stop()?,
            churn: self.churn.failures(),
            sysbench: sysbench::hidden(&String::from_utf8_lossy(&std::fs::read(&self.sysbench_log)?)),
            sysbench_ended,
        })
    }

    /// Compares what the ledger was promised with what a server holds.
    pub(super) fn reconcile(&self, address: &str) -> Result<Reconciliation> {
        self.ledger.reconcile(address)
    }
}
