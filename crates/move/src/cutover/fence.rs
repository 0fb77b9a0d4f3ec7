//! What keeps the application out of a server, and the proof that it does.
//!
//! Owns both fences of MariaDB and MySQL. Account locks are durable and stop new sessions only; `read_only` stops open
//! sessions and is gone after a restart: so both. They are proven by a write that must fail, in a session of an account
//! with exactly the application's privileges, opened before the fence. Never decides when to fence.

use std::time::{Duration, Instant};

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, OptsBuilder};

use super::link::{Fault, Link, Reply};
use crate::source::heartbeat::SCHEMA;

/// What a server says to a write while it is read-only.
const READ_ONLY: u16 = 1290;
/// TiDB's switches, in the order in which they are to be set back: the first one sets the second, and does not take it back.
const TIDB_SWITCHES: [&str; 2] = ["tidb_restricted_read_only", "tidb_super_read_only"];
const PROOF_LIMIT: Duration = Duration::from_secs(2);
/// Sessions of gates leave within this: one that nobody held looks four times a second for a commit, and drains.
const LEAVE_LIMIT: Duration = Duration::from_secs(1);
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// An account of the application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    pub user: String,
    pub host: String,
}

impl Account {
    #[must_use]
    pub fn new(user: &str, host: &str) -> Self {
        Self { user: user.to_owned(), host: host.to_owned() }
    }

    /// As SQL names it.
    pub(crate) fn quoted(&self) -> String {
        let quoted = |text: &str| format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"));
        format!("{}@{}", quoted(&self.user), quoted(&self.host))
    }
}

/// All accounts of the application.
#[derive(Debug, Clone)]
pub(super) struct Fence {
    accounts: Vec<Account>,
}

impl Fence {
    pub(super) fn new(accounts: &[Account]) -> Self {
        Self { accounts: accounts.to_vec() }
    }

    fn list(&self) -> String {
        self.accounts.iter().map(Account::quoted).collect::<Vec<_>>().join(", ")
    }

    /// Refuses the application, whatever it is doing there: a target before its time.
    pub(super) async fn close(&self, link: &mut Link) -> Reply<()> {
        if link.is_tidb() {
            // Complete by itself, and it survives a restart: docs/design/015.
            return link.run(&format!("SET GLOBAL {} = 1", TIDB_SWITCHES[0])).await;
        }
        self.lock_accounts(link).await?;
        link.run("SET GLOBAL read_only = 1").await?;
        self.kill_sessions(link).await.map(drop)
    }

    /// Whether a server refuses the application durably.
    pub(super) async fn is_up(&self, link: &mut Link) -> Reply<bool> {
        if link.is_tidb() {
            let on: Option<u8> = link.first(&format!("SELECT @@GLOBAL.{}", TIDB_SWITCHES[0])).await?;
            return Ok(on == Some(1));
        }
        Ok(self.locked(link).await? == self.count())
    }

    pub(super) async fn lock_accounts(&self, link: &mut Link) -> Reply<()> {
        link.run(&format!("ALTER USER {} ACCOUNT LOCK", self.list())).await
    }

    /// Waits for statements that write at most this long.
    pub(super) async fn set_read_only(&self, link: &mut Link, limit: Duration) -> Reply<()> {
        link.run_within("SET GLOBAL read_only = 1", limit).await
    }

    pub(super) async fn lift(&self, link: &mut Link) -> Reply<()> {
        if link.is_tidb() {
            for switch in TIDB_SWITCHES {
                link.run(&format!("SET GLOBAL {switch} = 0")).await?;
            }
            return Ok(());
        }
        link.run("SET GLOBAL read_only = 0").await?;
        link.run(&format!("ALTER USER {} ACCOUNT UNLOCK", self.list())).await?;
        let read_only: Option<u8> = link.first("SELECT @@GLOBAL.read_only").await?;
        match (read_only, self.locked(link).await?) {
            (Some(0), 0) => Ok(()),
            (_, locked) => Err(Fault::No(format!("{locked} accounts are locked still, or the server is read-only"))),
        }
    }

    /// How many of the accounts are locked.
    pub(super) async fn locked(&self, link: &mut Link) -> Reply<usize> {
        let mut locked = 0;
        for account in &self.accounts {
            let created: Option<String> = link.first(&format!("SHOW CREATE USER {}", account.quoted())).await?;
            locked += usize::from(created.is_some_and(|text| text.contains("ACCOUNT LOCK")));
        }
        Ok(locked)
    }

    pub(super) fn count(&self) -> usize {
        self.accounts.len()
    }

    async fn sessions(&self, link: &mut Link) -> Reply<Vec<u64>> {
        let sessions: Vec<(u64, String)> = link.all("SELECT id, user FROM information_schema.processlist").await?;
        let ours = sessions.into_iter().filter(|(_, user)| self.accounts.iter().any(|account| account.user == *user));
        Ok(ours.map(|(id, _)| id).collect())
    }

    /// Waits until the application's sessions have left by themselves, not for long: gates ask each what it knows of its
    /// client's session before they let it go.
    pub(super) async fn let_sessions_leave(&self, link: &mut Link) -> Reply<()> {
        let began = Instant::now();
        while !self.sessions(link).await?.is_empty() && began.elapsed() < LEAVE_LIMIT {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    /// Ends all sessions of the application; how many there were.
    pub(super) async fn kill_sessions(&self, link: &mut Link) -> Reply<usize> {
        let mut killed = 0;
        for id in self.sessions(link).await? {
            match link.run(&format!("KILL CONNECTION {id}")).await {
                Ok(()) => killed += 1,
                // It has ended by itself.
                Err(Fault::No(_)) => {}
                Err(lost) => return Err(lost),
            }
        }
        Ok(killed)
    }
}

/// Accounts of ours with the application's privileges, one for each of its accounts, and a permanent table to write to.
pub(super) struct Probes {
    opts: Vec<OptsBuilder>,
    open: Vec<Conn>,
}

impl Probes {
    pub(super) async fn make(link: &mut Link, url: &str, fence: &Fence) -> Reply<Self> {
        link.run(&format!(
            "CREATE TABLE IF NOT EXISTS {SCHEMA}.probe (id BIGINT AUTO_INCREMENT PRIMARY KEY, at TIMESTAMP(6))
             ENGINE = InnoDB"
        ))
        .await?;
        let password: Option<String> = link.first("SELECT HEX(RANDOM_BYTES(16))").await?;
        let password = password.unwrap_or_default();
        let mut opts = Vec::new();
        for (index, account) in fence.accounts.iter().enumerate() {
            let probe = format!("piton_probe_{index}");
            link.run(&format!("DROP USER IF EXISTS '{probe}'@'%'")).await?;
            link.run(&format!("CREATE USER '{probe}'@'%' IDENTIFIED BY '{password}'")).await?;
            let grants: Vec<String> = link.all(&format!("SHOW GRANTS FOR {}", account.quoted())).await?;
            for grant in grants {
                // USAGE is no right, but who gives it on everything needs one.
                let rights = |what: &str| what.starts_with("GRANT ") && what != "GRANT USAGE ON *.*";
                if let Some((what, _)) = grant.split_once(" TO ").filter(|(what, _)| rights(what)) {
                    link.run(&format!("{what} TO '{probe}'@'%'")).await?;
                }
            }
            link.run(&format!("GRANT INSERT ON {SCHEMA}.probe TO '{probe}'@'%'")).await?;
            let base = crate::session::options(url).map_err(|error| Fault::No(error.to_string()))?;
            let as_probe = base.user(Some(&probe)).pass(Some(&password)).prefer_socket(false);
            opts.push(as_probe.db_name(None::<String>));
        }
        Ok(Self { opts, open: Vec::new() })
    }

    /// Sessions that are open before the fence is up.
    pub(super) async fn open(&mut self) -> Reply<()> {
        self.open.clear();
        for opts in &self.opts {
            let conn = Conn::new(opts.clone()).await.map_err(|error| Fault::No(format!("log in to prove: {error}")))?;
            self.open.push(conn);
        }
        Ok(())
    }

    /// Every open session must be refused, by the fence and nothing else.
    pub(super) async fn are_refused(&mut self) -> Reply<()> {
        if self.open.is_empty() {
            return Err(Fault::No("no session is open to prove the fence with".to_owned()));
        }
        for conn in &mut self.open {
            let wrote = tokio::time::timeout(PROOF_LIMIT, conn.query_drop(write())).await;
            match wrote {
                Ok(Err(mysql_async::Error::Server(error))) if error.code == READ_ONLY => {}
                Ok(Ok(())) => return Err(Fault::No("a write as the application was not refused".to_owned())),
                other => return Err(Fault::No(format!("the fence could not be proven: {other:?}"))),
            }
        }
        Ok(())
    }

    /// New sessions must be able to write.
    pub(super) async fn write(&mut self) -> Reply<()> {
        self.open().await?;
        for conn in &mut self.open {
            let wrote = tokio::time::timeout(PROOF_LIMIT, conn.query_drop(write())).await;
            match wrote {
                Ok(Ok(())) => {}
                other => return Err(Fault::No(format!("a write as the application failed: {other:?}"))),
            }
        }
        Ok(())
    }

    pub(super) async fn remove(self, link: &mut Link) -> Reply<()> {
        for index in 0..self.opts.len() {
            link.run(&format!("DROP USER IF EXISTS 'piton_probe_{index}'@'%'")).await?;
        }
        Ok(())
    }
}

fn write() -> String {
    format!("INSERT INTO {SCHEMA}.probe (at) VALUES (NOW(6))")
}
