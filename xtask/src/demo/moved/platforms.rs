//! The two servers of the move, their accounts, the shop and its rows, and the gate before them.
//!
//! Owns the servers, the gate and every password, all made up for this show. Never reaches beyond 127.0.0.1.

use std::fs::File;
use std::path::{Path, PathBuf};

use piton_testkit::gate::Gate;
use piton_testkit::mariadb::{MariaDb, Options};
use piton_testkit::server::Server;
use piton_testkit::tidb::{self, TiDb};
use piton_testkit::{Account, ledger};

use super::super::sysbench::Sysbench;
use super::super::{Demo, Result};

pub(super) const SCHEMA: &str = "shop";
/// Which target is wanted: `mariadb`, `tidb`, or whichever is at hand.
const TARGET: &str = "PITON_DEMO_TARGET";

/// What a mover's account needs on MariaDB, as docs/move.md says.
const MOVER: &str = "grant all on shop.* to mover@'%' with grant option;
    grant all on piton_move.* to mover@'%'; grant select on mysql.* to mover@'%';
    grant replication slave, slave monitor, binlog monitor, binlog admin, read only admin, connection admin, process, create user on *.* to mover@'%' with grant option";
/// What a gate's account needs on MariaDB, as docs/gate.md says.
const GATE: &str = "grant select on mysql.* to gate@'%'; grant all on piton_move.* to gate@'%';
    grant binlog admin, read only admin, connection admin, process, create user on *.* to gate@'%'";
/// The same on TiDB.
const MOVER_ON_TIDB: &str =
    "grant all on *.* to mover@'%' with grant option; grant restricted_replica_writer_admin on *.* to mover@'%'";
const GATE_ON_TIDB: &str =
    "grant select on mysql.* to gate@'%'; grant all on piton_move.* to gate@'%'; grant process on *.* to gate@'%'";

/// The platform that the service moves to.
fn new_platform() -> Result<Server> {
    let wanted = std::env::var(TARGET).unwrap_or_default();
    let at_hand = wanted != "mariadb" && tidb::program().is_ok();
    if wanted == "tidb" && !at_hand {
        return Err("there is no TiDB at hand: make tidb".into());
    }
    if at_hand {
        return Ok(Server::TiDb(TiDb::start(&tidb::Options::default())?));
    }
    Ok(Server::MariaDb(MariaDb::start(Options { server_id: 202, ..Options::default() })?))
}

pub(super) struct Platforms {
    pub(super) old: MariaDb,
    pub(super) new: Server,
    /// Where the service's address stands.
    pub(super) folder: tempfile::TempDir,
    pub(super) mover: Account,
    gate: Account,
    pub(super) ledger: Account,
    pub(super) shop: Account,
    pub(super) sysbench: Sysbench,
}

impl Platforms {
    pub(super) fn start() -> Result<Self> {
        let old = MariaDb::start(Options { server_id: 201, ..Options::default() })?;
        let new = new_platform()?;
        // The administrators' passwords are random: those of the other accounts are made from them.
        let account = |user: &str, schema: &str| Account {
            user: user.to_owned(),
            password: format!("{user}-{}", old.password()),
            schema: schema.to_owned(),
        };
        let folder = tempfile::Builder::new().prefix("piton-demo-").tempdir()?;
        Ok(Self {
            mover: account("mover", ""),
            gate: account("gate", ""),
            ledger: account("ledger", SCHEMA),
            shop: account("shop", SCHEMA),
            sysbench: Sysbench {
                account: account("sbtest", SCHEMA),
                options_file: folder.path().join("sysbench.conf"),
                tables: 4,
            },
            folder,
            old,
            new,
        })
    }

    /// The file from which the service reads its database's address.
    pub(super) fn endpoint_file(&self) -> PathBuf {
        self.folder.path().join("endpoint")
    }

    /// Accounts that the application writes with.
    pub(super) fn applications(&self) -> [&Account; 3] {
        [&self.ledger, &self.shop, &self.sysbench.account]
    }

    pub(super) fn fill(&self, demo: &Demo) -> Result<()> {
        self.old.sql(&format!("create database {SCHEMA} character set utf8mb4 collate utf8mb4_general_ci"))?;
        for Account { user, password, .. } in self.applications() {
            self.old.sql(&format!(
                "create user {user}@'%' identified by '{password}'; grant all privileges on {SCHEMA}.* to {user}@'%'"
            ))?;
        }
        let (on_new, gate_on_new) = if self.new.is_tidb() { (MOVER_ON_TIDB, GATE_ON_TIDB) } else { (MOVER, GATE) };
        for (account, here, there) in [(&self.mover, MOVER, on_new), (&self.gate, GATE, gate_on_new)] {
            let made = format!("create user {}@'%' identified by '{}'", account.user, account.password);
            self.old.sql(&format!("{made}; {here}"))?;
            self.new.sql(&format!("{made}; {there}"))?;
        }
        let schema = File::open(demo.root.join("examples/move/schema.sql"))?;
        if !self.old.client()?.arg(SCHEMA).stdin(schema).status()?.success() {
            return Err("examples/move/schema.sql could not be loaded".into());
        }
        demo.check_interrupted()?;
        ledger::prepare(&self.old.address(), &self.ledger)?;
        self.sysbench.prepare(&self.old.address())?;
        std::fs::write(self.endpoint_file(), format!("{}\n", self.old.address()))?;
        Ok(())
    }

    /// A gate before the old server, which knows the new one.
    pub(super) fn gate(&self, piton: &Path) -> Result<Gate> {
        let (old, new) = (format!("old={}", self.old.address()), format!("new={}", self.new.address()));
        let words = ["--backend", &old, "--backend", &new, "--account", &self.gate.user, "--register", SCHEMA];
        Ok(Gate::start(piton, &words, &self.gate.password)?)
    }
}
