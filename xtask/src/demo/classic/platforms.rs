//! The two platforms: private servers, the accounts, the schema and its rows.
//!
//! Owns the servers and every password, all made up for this show. Never reaches beyond 127.0.0.1.

use std::fs::File;
use std::path::{Path, PathBuf};

use piton_testkit::mariadb::{MariaDb, Options};
use piton_testkit::{Account, ledger};

use super::super::sysbench::Sysbench;
use super::super::{Demo, Result};

pub(super) const SCHEMA: &str = "shop";

/// How long the old platform may take to apply what the new one wrote last.
const DRAIN_LIMIT_S: u32 = 60;

pub(super) struct Platforms {
    pub(super) old: MariaDb,
    pub(super) new: MariaDb,
    /// Where the service's address stands and the dump goes.
    pub(super) folder: tempfile::TempDir,
    pub(super) replication_password: String,
    pub(super) ledger: Account,
    pub(super) sysbench: Sysbench,
}

impl Platforms {
    pub(super) fn start(few_tables: bool) -> Result<Self> {
        let start = |server_id| move || MariaDb::start(Options { server_id, ..Options::default() });
        let (old, new) = std::thread::scope(|scope| {
            let (old, new) = (scope.spawn(start(101)), scope.spawn(start(102)));
            (old.join(), new.join())
        });
        let panicked = "the thread that starts a server panicked";
        let (old, new) = (old.map_err(|_| panicked)??, new.map_err(|_| panicked)??);
        // The administrators' passwords are random: those of the other accounts are made from them.
        let account = |user: &str| Account {
            user: user.to_owned(),
            password: format!("{user}-{}", old.password()),
            schema: SCHEMA.to_owned(),
        };
        let folder = tempfile::Builder::new().prefix("piton-demo-").tempdir()?;
        Ok(Self {
            replication_password: format!("replication-{}", new.password()),
            ledger: account("ledger"),
            sysbench: Sysbench {
                account: account("sbtest"),
                options_file: folder.path().join("sysbench.conf"),
                tables: if few_tables { 1 } else { 4 },
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

    pub(super) fn application_url(&self) -> String {
        self.old.url_as(&self.ledger.user, &self.ledger.password, SCHEMA)
    }

    pub(super) fn fill(&self, demo: &Demo) -> Result<()> {
        for server in [&self.old, &self.new] {
            server.sql(&format!("create database {SCHEMA} character set utf8mb4"))?;
        }
        for account in [&self.ledger, &self.sysbench.account] {
            self.old.sql(&format!(
                "create user {user}@'%' identified by '{password}'; grant all privileges on {SCHEMA}.* to {user}@'%'",
                user = account.user,
                password = account.password,
            ))?;
        }
        self.old.sql(&format!(
            "create user reports@'%' identified by 'reports-{password}'; grant select on {SCHEMA}.* to reports@'%';
             create user shop_code@'%' identified by 'code-{password}' account lock;
             grant all privileges on {SCHEMA}.* to shop_code@'%'",
            password = self.old.password()
        ))?;
        self.load_file(&demo.root.join("examples/move-classic/schema.sql"))?;
        if demo.few_tables {
            self.load_file(&demo.root.join("xtask/src/demo/classic/few.sql"))?;
        }
        demo.check_interrupted()?;
        ledger::prepare(&self.old.address(), &self.ledger)?;
        self.sysbench.prepare(&self.old.address())?;
        std::fs::write(self.endpoint_file(), format!("{}\n", self.old.address()))?;
        Ok(())
    }

    fn load_file(&self, file: &Path) -> Result<()> {
        let status = self.old.client()?.arg(SCHEMA).stdin(File::open(file)?).status()?;
        if status.success() { Ok(()) } else { Err(format!("{} could not be loaded", file.display()).into()) }
    }

    /// Waits until the old platform has applied everything that the new one logged.
    pub(super) fn drain_way_back(&self) -> Result<()> {
        let status = self.new.sql("show master status")?;
        let mut words = status.split_whitespace();
        let (file, position) = (words.next().ok_or("no log")?, words.next().ok_or("no log position")?);
        let waited = self.old.sql(&format!("select master_pos_wait('{file}', {position}, {DRAIN_LIMIT_S})"))?;
        match waited.trim().parse::<i64>() {
            Ok(events) if events >= 0 => Ok(()),
            _ => Err(format!("the old platform does not follow the new one: {}", waited.trim()).into()),
        }
    }
}
