//! Connections to PostgreSQL, and the proof that one is gone.
//!
//! **The proof.** A backend's process id may be used again, but not with the same start: `pid` and `backend_start`
//! name one session of one server for all time. A backend leaves `pg_stat_activity` after its transaction is rolled
//! back (`ShutdownPostgres` runs before the status entry is cleared), so when that pair is gone nothing of the attempt
//! is alive. The answer is this server's: the handle records the cluster's identifier and address, and another
//! server's answer proves nothing.
//!
//! Owns how long all of this may take. Never decides what a proof means for a step.

use super::super::url::{Server, Tls};
use super::super::{CONNECT_LIMIT, END_LIMIT, END_LOOK, failure};
use super::tls::Rustls;
use piton_core::Digest;
use piton_core::outcome::Failure;
use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_postgres::config::SslMode;
use tokio_postgres::{AsyncMessage, Client, Config, Connection, NoTls};

/// Idle reading connections kept for each URL.
const MAX_IDLE: usize = 8;
/// Servers and what stands between drop idle connections sooner or later; we do so first.
const IDLE_LIMIT: Duration = Duration::from_secs(30);
/// How long an idle connection may take to show that it works.
const RESET_LIMIT: Duration = Duration::from_secs(3);
/// How often a session that lives on is terminated again.
const KILL_AGAIN: Duration = Duration::from_secs(2);
/// Notices kept until someone looks.
const MAX_NOTICES: usize = 100;

#[derive(Clone)]
pub(in crate::db) struct Postgres {
    pub(super) server: Server,
    config: Config,
    /// `None`: a plain transport.
    tls: Option<Rustls>,
    pub(super) runtime: Arc<Runtime>,
    pub(super) idle: Arc<Idle>,
}

/// A connection, the task that moves its bytes, and what the server remarked.
pub(super) struct Link {
    pub(super) client: Client,
    driver: JoinHandle<()>,
    notices: Arc<Mutex<Vec<Notice>>>,
}

pub(super) struct Notice {
    pub(super) is_warning: bool,
    pub(super) text: String,
}

impl Link {
    /// What the server remarked since the last look.
    pub(super) fn notices(&self) -> Vec<Notice> {
        std::mem::take(&mut *self.notices.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Closes the socket at once, whatever is under way on it.
    pub(super) fn cut(self) {
        self.driver.abort();
    }

    /// Says goodbye.
    pub(super) async fn close(self) {
        drop(self.client);
        let _ = timeout(RESET_LIMIT, self.driver).await;
    }
}

/// Reading connections between two uses.
#[derive(Default)]
pub(in crate::db) struct Idle {
    by_url: Mutex<HashMap<Digest, Vec<(Link, Instant)>>>,
}

impl Idle {
    fn take(&self, url: &Digest) -> Option<Link> {
        let mut by_url = self.by_url.lock().unwrap_or_else(PoisonError::into_inner);
        let idle = by_url.get_mut(url)?;
        idle.retain(|(_, since)| since.elapsed() < IDLE_LIMIT);
        idle.pop().map(|(link, _)| link)
    }

    pub(in crate::db) async fn close(&self) {
        let all = std::mem::take(&mut *self.by_url.lock().unwrap_or_else(PoisonError::into_inner));
        for (link, _) in all.into_values().flatten() {
            link.close().await;
        }
    }

    /// What is too much is closed.
    pub(super) fn put(&self, url: Digest, link: Link) {
        let mut by_url = self.by_url.lock().unwrap_or_else(PoisonError::into_inner);
        let idle = by_url.entry(url).or_default();
        if idle.len() < MAX_IDLE {
            idle.push((link, Instant::now()));
        }
    }
}

impl Postgres {
    pub(in crate::db) fn new(server: Server, runtime: Arc<Runtime>, idle: Arc<Idle>) -> Result<Self, Failure> {
        // A Unix socket has nobody in between.
        let tls = match (&server.tls, &server.socket) {
            (Tls::Off, _) | (_, Some(_)) => None,
            (tls, None) => Some(Rustls::new(tls, server.tls_name.clone())?),
        };
        let mut config = Config::new();
        match &server.socket {
            Some(socket) => config.host_path(socket),
            None => config.host(&server.host),
        };
        config
            .port(server.port)
            .user(&server.user)
            .dbname(server.database.as_deref().unwrap_or(&server.user))
            .ssl_mode(if tls.is_some() { SslMode::Require } else { SslMode::Disable })
            .connect_timeout(CONNECT_LIMIT)
            .keepalives_idle(Duration::from_secs(30))
            .application_name("piton");
        if let Some(password) = &server.password {
            config.password(password);
        }
        Ok(Self { server, config, tls, runtime, idle })
    }

    pub(super) async fn connect(&self, name: Option<&str>) -> Result<Link, Failure> {
        let place = self.server.place();
        let mut config = self.config.clone();
        if let Some(name) = name {
            config.application_name(name);
        }
        let connecting = async {
            match &self.tls {
                None => config.connect(NoTls).await.map(|(client, connection)| link(client, connection)),
                Some(tls) => config.connect(tls.clone()).await.map(|(client, connection)| link(client, connection)),
            }
        };
        match timeout(CONNECT_LIMIT, connecting).await {
            Ok(Ok(link)) => Ok(link),
            Ok(Err(error)) => Err(failure(format!("cannot connect to the database at {place}: {}", said(&error)))),
            Err(_) => {
                let seconds = CONNECT_LIMIT.as_secs();
                Err(failure(format!("the database at {place} does not answer within {seconds} s")))
            }
        }
    }

    /// Asks the server to end what this session does now.
    pub(super) async fn cancel(&self, link: &Link) -> bool {
        let token = link.client.cancel_token();
        let asked = async {
            match &self.tls {
                None => token.cancel_query(NoTls).await,
                Some(tls) => token.cancel_query(tls.clone()).await,
            }
        };
        matches!(timeout(CONNECT_LIMIT, asked).await, Ok(Ok(())))
    }

    /// A connection for reading: an idle one that works and remembers nothing, or a new one.
    pub(super) async fn connect_to_read(&self) -> Result<Link, Failure> {
        while let Some(link) = self.idle.take(&self.server.key) {
            let ready = async {
                link.client.batch_execute("discard all").await?;
                to_read(&link.client).await
            };
            if let Ok(Ok(())) = timeout(RESET_LIMIT, ready).await {
                return Ok(link);
            }
        }
        let link = self.connect(None).await?;
        to_read(&link.client).await.map_err(|error| failure(said(&error)))?;
        Ok(link)
    }

    /// Ends this session, and returns when it is gone.
    pub(super) async fn end_session(&self, pid: u64, since: &str) -> Result<(), String> {
        let end = Instant::now() + END_LIMIT;
        loop {
            // A server that restarts refuses connections for a while; what it says afterwards is a proof.
            let last = match self.connect(None).await {
                Ok(link) => match end_on(&link.client, pid, since, end).await {
                    Ok(proof) => {
                        link.close().await;
                        return proof;
                    }
                    Err(lost) => said(&lost),
                },
                Err(failure) => failure.message,
            };
            if Instant::now() >= end {
                return Err(last);
            }
            tokio::time::sleep(END_LOOK * 10).await;
        }
    }
}

/// Moves the connection's bytes on a task of its own, and keeps what the server remarks.
fn link<S, T>(client: Client, mut connection: Connection<S, T>) -> Link
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let notices = Arc::new(Mutex::new(Vec::new()));
    let kept = notices.clone();
    let driver = tokio::spawn(async move {
        while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await {
            let AsyncMessage::Notice(notice) = message else { continue };
            let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
            if kept.len() < MAX_NOTICES {
                let is_warning = notice.severity() == "WARNING";
                kept.push(Notice { is_warning, text: format!("{}: {}", notice.code().code(), notice.message()) });
            }
        }
    });
    Link { client, driver, notices }
}

/// Output forms that `values` reads, and writing refused.
async fn to_read(client: &Client) -> Result<(), tokio_postgres::Error> {
    client
        .batch_execute(
            "set datestyle = 'ISO'; set intervalstyle = 'iso_8601'; set bytea_output = 'hex'; \
             set extra_float_digits = 1; set standard_conforming_strings = on; \
             set default_transaction_read_only = on",
        )
        .await
}

/// Who this session is: its process id, and what with it names it for all time.
pub(super) async fn identity(client: &Client) -> Result<(u64, String), tokio_postgres::Error> {
    let row = client
        .query_one(
            "select pid, (extract(epoch from backend_start) * 1000000)::bigint::text \
             from pg_stat_activity where pid = pg_backend_pid()",
            &[],
        )
        .await?;
    let (pid, start): (i32, String) = (row.get(0), row.get(1));
    Ok((u64::try_from(pid).unwrap_or_default(), format!("{start} {}", place(client).await?)))
}

/// Which server this is.
async fn place(client: &Client) -> Result<String, tokio_postgres::Error> {
    let address = client
        .query_one("select coalesce(host(inet_server_addr()), 'local') || ':' || current_setting('port')", &[])
        .await?;
    // Some providers keep this from their customers; the address has to do then.
    let cluster = client.query_one("select system_identifier::text from pg_control_system()", &[]).await;
    let cluster = cluster.map(|row| row.get::<_, String>(0)).unwrap_or_default();
    Ok(format!("{} {cluster}", address.get::<_, String>(0)))
}

/// The outer error is a lost connection, the inner one a reason why there is no proof.
async fn end_on(
    client: &Client,
    pid: u64,
    since: &str,
    end: Instant,
) -> Result<Result<(), String>, tokio_postgres::Error> {
    let (start, server) = since.split_once(' ').unwrap_or((since, ""));
    let here = place(client).await?;
    if here != server {
        return Ok(Err(format!("its session was on the server {server}, and the URL leads to {here} now")));
    }
    let pid = i32::try_from(pid).unwrap_or_default();
    let mut killed: Option<Instant> = None;
    loop {
        let alive = client
            .query_opt(
                "select 1 from pg_stat_activity where pid = $1 and (backend_start is null \
                 or (extract(epoch from backend_start) * 1000000)::bigint::text = $2)",
                &[&pid, &start],
            )
            .await?;
        if alive.is_none() {
            return Ok(Ok(()));
        }
        if killed.is_none_or(|at| at.elapsed() >= KILL_AGAIN) {
            match client.query("select pg_terminate_backend($1)", &[&pid]).await {
                Err(error) if error.as_db_error().is_some() => {
                    return Ok(Err(format!("its session {pid} cannot be terminated: {}", said(&error))));
                }
                other => drop(other?),
            }
            killed = Some(Instant::now());
        }
        if Instant::now() >= end {
            let seconds = END_LIMIT.as_secs();
            return Ok(Err(format!("its session {pid} on {server} still lives {seconds} s after it was terminated")));
        }
        tokio::time::sleep(END_LOOK).await;
    }
}

/// An error in the server's words, or in plain ones where it is the connection's.
pub(super) fn said(error: &tokio_postgres::Error) -> String {
    use std::error::Error as _;
    if let Some(error) = error.as_db_error() {
        let mut text = format!("{} {}: {}", error.severity(), error.code().code(), error.message());
        for more in [error.detail(), error.hint()].into_iter().flatten() {
            text = format!("{text}; {more}");
        }
        return text;
    }
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
