//! Two private servers and what the tests do to them.
//!
//! Owns starting them (once for a test file) and comparing their tables by another path than the mover's. Never waits
//! for time: tests wait for positions.

#![allow(dead_code, reason = "each test binary uses a part of it")]
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "tests")]

pub(crate) mod clients;

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread::JoinHandle;

use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use piton_move::{Config, Limits, Mover, TableName};
use piton_testkit::available;
use piton_testkit::mariadb::{MariaDb, Options};
use piton_testkit::tidb::{self, TiDb};

pub(crate) struct Servers {
    pub(crate) source: MariaDb,
    pub(crate) target: MariaDb,
}

/// Two servers that the tests of a file share, as long as one of them runs; `None` where MariaDB is not installed.
pub(crate) fn servers() -> Option<Arc<Servers>> {
    // Weak: what a static holds is never dropped, and the servers would outlive the tests.
    static SERVERS: Mutex<Weak<Servers>> = Mutex::new(Weak::new());
    let mut servers = SERVERS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(running) = servers.upgrade() {
        return Some(running);
    }
    let started = Arc::new(start(&[])?);
    *servers = Arc::downgrade(&started);
    Some(started)
}

/// Two servers of one's own, with more options for the source.
pub(crate) fn start(extra: &[&str]) -> Option<Servers> {
    Some(Servers { source: server(1, extra)?, target: server(2, &[])? })
}

/// One server; `None` where MariaDB is not installed.
pub(crate) fn server(server_id: u32, extra: &[&str]) -> Option<MariaDb> {
    let extra = extra.iter().map(|option| (*option).to_owned()).collect();
    available(MariaDb::start(Options { server_id, extra, ..Options::default() }))
}

/// A TiDB server; `None` where there is none.
pub(crate) fn tidb() -> Option<TiDb> {
    tidb_with(&[])
}

/// The same with lines of its section `[performance]`.
pub(crate) fn tidb_with(performance: &[&str]) -> Option<TiDb> {
    let performance = performance.iter().map(|line| (*line).to_owned()).collect();
    available(TiDb::start(&tidb::Options { performance, ..tidb::Options::default() }))
}

/// Replicas need numbers of their own.
pub(crate) fn next_id() -> u32 {
    static NEXT_ID: AtomicU32 = AtomicU32::new(100);
    NEXT_ID.fetch_add(1, Ordering::Relaxed)
}

impl Servers {
    /// Runs the same on both servers, in a schema of the test's own.
    pub(crate) fn both(&self, schema: &str, statements: &str) {
        let sql = format!("create database if not exists {schema}; use {schema}; {statements}");
        self.source.sql(&sql).unwrap();
        self.target.sql(&sql).unwrap();
    }

    pub(crate) fn on_source(&self, schema: &str, statements: &str) {
        self.source.sql(&format!("use {schema}; {statements}")).unwrap();
    }

    pub(crate) fn config(&self, schema: &str, tables: &[&str]) -> Config {
        Config {
            name: schema.to_owned(),
            source: self.source.url(""),
            target: self.target.url(""),
            replicas: Vec::new(),
            tables: tables.iter().map(|table| TableName::new(schema, *table)).collect(),
            server_id: next_id(),
            epoch: 1,
            limits: Limits::default(),
        }
    }

    /// What differs, by the testkit's own comparison. Both sides must be quiet.
    pub(crate) fn differences(&self, schema: &str) -> Vec<String> {
        // On a thread of its own: it brings its own runtime.
        let compare = || piton_testkit::compare::compare(&self.source.url(schema), &self.target.url(schema));
        std::thread::scope(|scope| scope.spawn(compare).join().unwrap()).unwrap().differences
    }

    pub(crate) async fn source_conn(&self, schema: &str) -> Conn {
        Conn::new(mysql_async::Opts::from_url(&self.source.url(schema)).unwrap()).await.unwrap()
    }
}

/// Applies all that the source has logged so far.
pub(crate) async fn catch_up(mover: &mut Mover) {
    mover.wait_copied().await.unwrap();
    let end = mover.source_position().await.unwrap();
    mover.wait_applied(&end).await.unwrap();
}

/// Threads that change the source until they are stopped. Each has a connection of its own.
pub(crate) struct Writers {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<u64>>,
}

impl Writers {
    /// `statements(writer, step)` gives what a writer does next: statements of one transaction.
    pub(crate) fn start(
        servers: &Servers,
        schema: &str,
        count: u64,
        statements: impl Fn(u64, u64) -> Vec<String> + Send + Sync + Copy + 'static,
    ) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let url = servers.source.url(schema);
        let thread = |writer| {
            let (stop, url) = (Arc::clone(&stop), url.clone());
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(async move {
                    let mut conn = Conn::new(mysql_async::Opts::from_url(&url).unwrap()).await.unwrap();
                    let mut step = 0;
                    while !stop.load(Ordering::Relaxed) {
                        step += 1;
                        transaction(&mut conn, statements(writer, step)).await;
                    }
                    step
                })
            })
        };
        Self { threads: (0..count).map(thread).collect(), stop }
    }

    /// Ends them after their current transaction; how many they made.
    pub(crate) fn stop(mut self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.threads.drain(..).map(|thread| thread.join().unwrap()).sum()
    }
}

impl Drop for Writers {
    /// A test that fails ends its writers before its servers go.
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.threads.drain(..).for_each(|thread| drop(thread.join()));
    }
}

/// Deadlocks and duplicate keys are part of a busy service: the transaction is given up.
async fn transaction(conn: &mut Conn, statements: Vec<String>) {
    conn.query_drop("begin").await.unwrap();
    for statement in statements {
        match conn.query_drop(&statement).await {
            Ok(()) => {}
            Err(mysql_async::Error::Server(error)) if matches!(error.code, 1213 | 1205 | 1062) => {
                conn.query_drop("rollback").await.unwrap();
                return;
            }
            Err(error) => panic!("{statement}: {error}"),
        }
    }
    conn.query_drop("commit").await.unwrap();
}

/// A number that looks random and is the same each time.
pub(crate) fn scatter(writer: u64, step: u64, salt: u64) -> u64 {
    let mut number = writer.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ step.wrapping_mul(0xbf58_476d_1ce4_e5b9) ^ salt;
    number ^= number >> 31;
    number = number.wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 29)
}
