//! A session with a server whose loss is told apart from its refusals.
//!
//! Owns one connection, its limits of time and the server's named lock. Everything that changes a fence or the register
//! goes through the one session that holds the lock: the lock ends with the session, and the session only after its
//! last statement, so who gets the lock knows that nothing of its predecessor can land any more. Nothing that it
//! writes is logged.

use std::time::Duration;

use mysql_async::prelude::{FromRow, Queryable};
use mysql_async::{Conn, Error};
use tokio::time::timeout;

use crate::error::{GOING, MoveError, Side};
use crate::schema::Dialect;

/// A statement that takes longer is given up with its session: whether it happened is then found out in a new one.
const STATEMENT_LIMIT: Duration = Duration::from_secs(3);
/// How long one try waits for the lock of a session that is ending.
const LOCK_S: f64 = 1.0;
/// Whoever may end the holder waits this long first: it may be another that is opening the source again.
const LOCK_LITTLE_S: f64 = 0.25;

/// Why a statement brought nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The server refused it, or said what must not be.
    No(String),
    /// The session is gone: it may have happened, or happen yet.
    Lost(String),
}

pub(super) type Reply<T> = Result<T, Fault>;

pub(super) struct Link {
    conn: Conn,
    dialect: Dialect,
    side: Side,
    url: String,
}

fn fault(error: &Error) -> Fault {
    match error {
        Error::Server(server) if GOING.contains(&server.code) => Fault::Lost(server.to_string()),
        Error::Server(server) => Fault::No(format!("{} {}", server.code, server.message)),
        other => Fault::Lost(other.to_string()),
    }
}

impl Link {
    /// A session of ours.
    pub(super) async fn open(side: Side, url: &str) -> Reply<Self> {
        let lost = |error: MoveError| match &error {
            MoveError::Server { source, .. } => Fault::Lost(format!("{error}: {source}")),
            _ => Fault::Lost(error.to_string()),
        };
        let mut conn = crate::session::open(side, url).await.map_err(lost)?;
        let dialect = crate::session::dialect(&mut conn, side).await.map_err(lost)?;
        let mut link = Self { conn, dialect, side, url: url.to_owned() };
        if !link.is_tidb() {
            link.run("SET SESSION sql_log_bin = 0").await?;
        }
        Ok(link)
    }

    /// A session of ours that holds the server's lock for this move. `ends_holder`: whoever has it is ended; only
    /// after an abort was won.
    pub(super) async fn locked(side: Side, url: &str, name: &str, ends_holder: bool) -> Reply<Self> {
        let mut link = Self::open(side, url).await?;
        let lock = format!("piton-move/{}", name.replace('\\', "\\\\").replace('\'', "''"));
        if link.get_lock(&lock, if ends_holder { LOCK_LITTLE_S } else { LOCK_S }).await? {
            return Ok(link);
        }
        if ends_holder {
            let holder: Option<Option<u64>> = link.first(&format!("SELECT IS_USED_LOCK('{lock}')")).await?;
            if let Some(id) = holder.flatten() {
                // It may have ended by itself meanwhile.
                match link.run(&format!("KILL CONNECTION {id}")).await {
                    Ok(()) | Err(Fault::No(_)) => {}
                    Err(lost) => return Err(lost),
                }
            }
            if link.get_lock(&lock, LOCK_S).await? {
                return Ok(link);
            }
        }
        Err(Fault::Lost("another session holds the move's lock".to_owned()))
    }

    /// Its fence, its log and its settings are others.
    pub(super) fn is_tidb(&self) -> bool {
        self.dialect == Dialect::TiDb
    }

    pub(super) fn words(&self) -> crate::session::Words {
        crate::session::words(&self.conn)
    }

    /// Runs what may wait for locks of the server at most this long; what waits longer is a refusal, and has not happened.
    pub(super) async fn run_within(&mut self, sql: &str, limit: Duration) -> Reply<()> {
        if self.is_mariadb() {
            // `lock_wait_timeout` counts whole seconds; this one counts less, and ends the same wait.
            self.run(&format!("SET SESSION max_statement_time = {}", limit.as_secs_f64())).await?;
            let ran = self.run(sql).await;
            self.run("SET SESSION max_statement_time = 0").await?;
            return ran;
        }
        // MySQL has none for such statements: another session ends it, and should we die, the whole second does.
        self.run("SET SESSION lock_wait_timeout = 1").await?;
        let id = self.conn.id();
        let mut running = std::pin::pin!(self.conn.query_drop(sql));
        if let Ok(ran) = timeout(limit, &mut running).await {
            return ran.map_err(|error| fault(&error));
        }
        let lost = |error: MoveError| Fault::Lost(error.to_string());
        let mut other = crate::session::open(self.side, &self.url).await.map_err(lost)?;
        other.query_drop(format!("KILL QUERY {id}")).await.map_err(|error| Fault::Lost(error.to_string()))?;
        match timeout(STATEMENT_LIMIT, running).await {
            Ok(ran) => ran.map_err(|error| fault(&error)),
            Err(_) => Err(Fault::Lost(format!("no answer to {sql}"))),
        }
    }

    fn is_mariadb(&self) -> bool {
        self.conn.server_version().0 >= 10
    }

    async fn get_lock(&mut self, lock: &str, wait_s: f64) -> Reply<bool> {
        let got: Option<Option<u8>> = self.first(&format!("SELECT GET_LOCK('{lock}', {wait_s})")).await?;
        Ok(got.flatten() == Some(1))
    }

    pub(super) async fn run(&mut self, sql: &str) -> Reply<()> {
        match timeout(STATEMENT_LIMIT, self.conn.query_drop(sql)).await {
            Ok(outcome) => outcome.map_err(|error| fault(&error)),
            Err(_) => Err(Fault::Lost(format!("no answer to {sql}"))),
        }
    }

    /// Runs it, and says whether it changed a row.
    pub(super) async fn changes(&mut self, sql: &str) -> Reply<bool> {
        self.run(sql).await?;
        Ok(self.conn.affected_rows() > 0)
    }

    pub(super) async fn first<T: FromRow + Send + 'static>(&mut self, sql: &str) -> Reply<Option<T>> {
        Ok(self.all(sql).await?.into_iter().next())
    }

    pub(super) async fn all<T: FromRow + Send + 'static>(&mut self, sql: &str) -> Reply<Vec<T>> {
        match timeout(STATEMENT_LIMIT, self.conn.query(sql)).await {
            Ok(outcome) => outcome.map_err(|error| fault(&error)),
            Err(_) => Err(Fault::Lost(format!("no answer to {sql}"))),
        }
    }
}
