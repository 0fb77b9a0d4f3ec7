//! Connections to MySQL and MariaDB, and the proof that one is gone.
//!
//! **The proof.** A connection's id tells nothing after a crash: ids begin again when the server restarts, so the
//! process list may show a stranger under ours. But a named lock (`GET_LOCK`) belongs to one session and ends with it,
//! after its transaction is rolled back (`THD::cleanup` releases locks of users last). So a writing session takes a
//! lock whose name no other attempt ever has, before its intent is journaled. `IS_USED_LOCK(name)` then answers the
//! question that matters, whoever asks and whenever: NULL means that nothing of the attempt is alive, not even a
//! commit in flight; a number is the session to kill. A restart of the server ends both, which is right.
//!
//! The answer is this server's: behind a balancer the question may reach another one. So the handle records which
//! server it was, and another server's answer proves nothing.
//!
//! Owns how long all of this may take. Never decides what a proof means for a step.

use super::super::url::{Server, Tls};
use super::super::{CONNECT_LIMIT, END_LIMIT, END_LOOK, MAX_RESULT_BYTES, failure};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts, OptsBuilder, SslOpts};
use piton_core::Digest;
use piton_core::outcome::Failure;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tokio::time::timeout;

/// Idle reading connections kept for each URL.
const MAX_IDLE: usize = 8;
/// Servers and what stands between drop idle connections sooner or later; we do so first.
const IDLE_LIMIT: Duration = Duration::from_secs(30);
/// How long an idle connection may take to show that it works.
const RESET_LIMIT: Duration = Duration::from_secs(3);
/// How often a session that lives on is killed again.
const KILL_AGAIN: Duration = Duration::from_secs(2);
/// The server's own default; given, so that it is not asked for at every connection.
const WAIT_TIMEOUT_S: usize = 28_800;

#[derive(Clone)]
pub(in crate::db) struct MySql {
    pub(super) server: Server,
    pub(super) opts: Opts,
    pub(super) runtime: Arc<Runtime>,
    pub(super) idle: Arc<Idle>,
}

/// Reading connections between two uses.
#[derive(Default)]
pub(in crate::db) struct Idle {
    by_url: Mutex<HashMap<Digest, Vec<(Conn, Instant)>>>,
}

impl Idle {
    fn take(&self, url: &Digest) -> Option<Conn> {
        let mut by_url = self.by_url.lock().unwrap_or_else(PoisonError::into_inner);
        let idle = by_url.get_mut(url)?;
        idle.retain(|(_, since)| since.elapsed() < IDLE_LIMIT);
        idle.pop().map(|(conn, _)| conn)
    }

    pub(in crate::db) async fn close(&self) {
        let all = std::mem::take(&mut *self.by_url.lock().unwrap_or_else(PoisonError::into_inner));
        for (conn, _) in all.into_values().flatten() {
            let _ = conn.disconnect().await;
        }
    }

    /// What is too much is closed.
    pub(super) fn put(&self, url: Digest, conn: Conn) {
        let mut by_url = self.by_url.lock().unwrap_or_else(PoisonError::into_inner);
        let idle = by_url.entry(url).or_default();
        if idle.len() < MAX_IDLE {
            idle.push((conn, Instant::now()));
        }
    }
}

impl MySql {
    pub(in crate::db) fn new(server: Server, runtime: Arc<Runtime>, idle: Arc<Idle>) -> Result<Self, Failure> {
        if matches!(server.tls, Tls::Checked { host_name: false, .. }) {
            // The driver recognises "wrong name" by words that newer versions of rustls no longer say.
            return Err(failure("verify-ca is not to be had for MySQL here")
                .hint("use tls=verify-full, with tls-name=NAME where the certificate is for another name"));
        }
        let opts = OptsBuilder::default()
            .ip_or_hostname(server.host.clone())
            .tcp_port(server.port)
            .user(Some(server.user.clone()))
            .pass(server.password.clone())
            .db_name(server.database.clone())
            .socket(server.socket.as_ref().map(|path| path.display().to_string()))
            // The URL says where; a silent move to another transport would also change who is logged in.
            .prefer_socket(false)
            .stmt_cache_size(0)
            .max_allowed_packet(Some(MAX_RESULT_BYTES))
            .wait_timeout(Some(WAIT_TIMEOUT_S))
            .tcp_keepalive(Some(Duration::from_secs(30)))
            .ssl_opts(ssl(&server));
        Ok(Self { opts: opts.into(), server, runtime, idle })
    }

    pub(super) async fn connect(&self) -> Result<Conn, Failure> {
        let place = self.server.place();
        match timeout(CONNECT_LIMIT, Conn::new(self.opts.clone())).await {
            Ok(Ok(conn)) => Ok(conn),
            Ok(Err(error)) => Err(failure(format!("cannot connect to the database at {place}: {}", said(&error)))),
            Err(_) => {
                Err(failure(format!("the database at {place} does not answer within {} s", CONNECT_LIMIT.as_secs())))
            }
        }
    }

    /// A connection for reading: an idle one that works and remembers nothing, or a new one.
    pub(super) async fn connect_to_read(&self) -> Result<Conn, Failure> {
        while let Some(mut conn) = self.idle.take(&self.server.key) {
            let ready = async { Ok::<_, mysql_async::Error>(conn.reset().await? && read_only(&mut conn).await?) };
            if let Ok(Ok(true)) = timeout(RESET_LIMIT, ready).await {
                return Ok(conn);
            }
        }
        let mut conn = self.connect().await?;
        read_only(&mut conn).await.map_err(|error| failure(said(&error)))?;
        Ok(conn)
    }

    /// Kills a session, whatever it does.
    pub(super) async fn kill(&self, id: u64) -> Result<(), String> {
        let mut conn = self.connect().await.map_err(|failure| failure.message)?;
        let killed = kill(&mut conn, id).await;
        let _ = conn.disconnect().await;
        killed
    }

    /// Ends the session that holds the named lock, and returns when there is none.
    pub(super) async fn end_session(&self, lock: &str, since: Option<&str>) -> Result<(), String> {
        let end = Instant::now() + END_LIMIT;
        loop {
            // A server that restarts refuses connections for a while; what it says afterwards is a proof.
            let last = match self.connect().await {
                Ok(conn) => match end_on(conn, lock, since, end).await {
                    Ok(proof) => return proof,
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

/// Which server this is: another one's answer about a lock proves nothing.
pub(super) const PLACE: &str = "concat(@@hostname, ':', @@port, ' ', @@datadir)";

/// The outer error is a lost connection, the inner one a reason why there is no proof.
async fn end_on(
    mut conn: Conn,
    lock: &str,
    since: Option<&str>,
    end: Instant,
) -> mysql_async::Result<Result<(), String>> {
    let place: Option<String> = conn.query_first(format!("select {PLACE}")).await?;
    let place = place.unwrap_or_default();
    if let Some(since) = since.filter(|since| *since != place) {
        return Ok(Err(format!("its session was on the server {since}, and the URL leads to {place} now")));
    }
    let mut killed: Option<Instant> = None;
    loop {
        let holder: Option<Option<u64>> = conn.exec_first("select is_used_lock(?)", (lock,)).await?;
        let Some(id) = holder.flatten() else {
            let _ = conn.disconnect().await;
            return Ok(Ok(()));
        };
        if killed.is_none_or(|at| at.elapsed() >= KILL_AGAIN) {
            if let Err(why) = kill(&mut conn, id).await {
                return Ok(Err(why));
            }
            killed = Some(Instant::now());
        }
        if Instant::now() >= end {
            let seconds = END_LIMIT.as_secs();
            return Ok(Err(format!(
                "its session {id} on the server {place} still lives {seconds} s after it was killed"
            )));
        }
        tokio::time::sleep(END_LOOK).await;
    }
}

async fn kill(conn: &mut Conn, id: u64) -> Result<(), String> {
    const NO_SUCH_THREAD: u16 = 1094;
    match conn.query_drop(format!("kill {id}")).await {
        Err(mysql_async::Error::Server(error)) if error.code == NO_SUCH_THREAD => Ok(()),
        other => other.map_err(|error| format!("its session {id} cannot be killed: {}", said(&error))),
    }
}

/// What TiDB says to what it only pretends to have, and has been told not to pretend.
const ONLY_PRETENDED: u16 = 1235;

/// Every statement becomes a read-only transaction of its own, and nothing else has to be sent around it. TiDB has none: there a
/// statement can only do what its text says, as no function or procedure of somebody's stands behind it, and the text has been
/// looked at.
async fn read_only(conn: &mut Conn) -> mysql_async::Result<bool> {
    let set = conn.query_drop("set session autocommit = 1; set session transaction read only").await;
    match set {
        Err(mysql_async::Error::Server(error)) if error.code == ONLY_PRETENDED => {
            let version: Option<String> = conn.query_first("select version()").await?;
            let is_tidb = version.is_some_and(|version| version.contains("TiDB"));
            if is_tidb { Ok(true) } else { Err(error.into()) }
        }
        set => set.map(|()| true),
    }
}

fn ssl(server: &Server) -> Option<SslOpts> {
    match &server.tls {
        Tls::Off => None,
        Tls::Unchecked => {
            Some(SslOpts::default().with_danger_accept_invalid_certs(true).with_danger_skip_domain_validation(true))
        }
        Tls::Checked { roots, .. } => {
            let opts = SslOpts::default()
                .with_root_certs(roots.iter().cloned().map(Into::into).collect())
                .with_disable_built_in_roots(roots.is_some());
            Some(match &server.tls_name {
                Some(name) => opts.with_danger_tls_hostname_override(Some(name.clone())),
                None => opts,
            })
        }
    }
}

/// An error in the server's words, or in plain ones where it is the connection's.
pub(super) fn said(error: &mysql_async::Error) -> String {
    match error {
        mysql_async::Error::Server(error) => format!("error {} ({}): {}", error.code, error.state, error.message),
        mysql_async::Error::Io(mysql_async::IoError::Io(error)) => format!("the connection failed: {error}"),
        other => other.to_string(),
    }
}
