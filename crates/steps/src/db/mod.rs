//! Databases: what `sql` and `query` need of one, and which one a URL means.
//!
//! Reading order: `lexer` (statements in a text), `url` (which server), `session` (the interface of a writing
//! session), then one module per database. The two actions know only what stands here.

mod classify;
mod lexer;
mod params;
mod reads;
mod url;

mod mark;
mod session;

mod mysql;
mod postgres;
mod sqlite;

pub(crate) use classify::{ends_with_the_step, refused};
pub(crate) use lexer::{Dialect, Statement, split};
pub(crate) use mark::Mark;
pub(crate) use reads::reads;
pub(crate) use session::{Effects, Read, Session, Work};

use crate::db::session::Database;
use piton_core::outcome::{Failure, FailureKind};
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::runtime::Runtime;

/// Threads that move bytes for all sessions; statements wait at the server, not here.
const RUNTIME_THREADS: usize = 2;
/// How long a server may take to accept a connection and greet.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// How long the end of a session is waited for before it counts as unprovable.
const END_LIMIT: Duration = Duration::from_secs(30);
/// How often the end of a session is looked for.
const END_LOOK: Duration = Duration::from_millis(20);
/// How long a session may take to get ready: longer waits are for somebody's lock on a table.
const PREPARE_LIMIT: Duration = Duration::from_secs(40);
/// How long the goodbyes at an engine's end may take.
const CLOSE_LIMIT: Duration = Duration::from_millis(500);
/// Bytes of values one `query` may return: it is held in memory, journaled and shown.
const MAX_RESULT_BYTES: usize = 64 * 1024 * 1024;

/// All databases an engine talks to: the runtime their sessions live on, and idle reading connections.
#[derive(Default)]
pub(crate) struct Databases {
    /// Started at the first use: many runs never talk to a database.
    runtime: OnceLock<Arc<Runtime>>,
    idle: Arc<mysql::Idle>,
    idle_postgres: Arc<postgres::Idle>,
}

impl Databases {
    /// The database an opened URL means. Never connects.
    pub(crate) fn at(&self, opened: &str, root: &Path) -> Result<Arc<dyn Database>, Failure> {
        match url::Target::parse(opened, root)? {
            url::Target::MySql(server) => Ok(Arc::new(mysql::MySql::new(server, self.runtime()?, self.idle.clone())?)),
            url::Target::Postgres(server) => {
                Ok(Arc::new(postgres::Postgres::new(server, self.runtime()?, self.idle_postgres.clone())?))
            }
            url::Target::Sqlite(path) => Ok(Arc::new(sqlite::Sqlite::new(path))),
        }
    }

    /// Says goodbye to idle sessions, so that servers do not log them as broken off.
    fn close(&self) {
        // On a thread of another runtime nothing may block; the sockets are closed without a word then.
        let Some(runtime) = self.runtime.get().filter(|_| tokio::runtime::Handle::try_current().is_err()) else {
            return;
        };
        let closing = async { futures_util::future::join(self.idle.close(), self.idle_postgres.close()).await };
        runtime.block_on(async { drop(tokio::time::timeout(CLOSE_LIMIT, closing).await) });
    }

    fn runtime(&self) -> Result<Arc<Runtime>, Failure> {
        if let Some(runtime) = self.runtime.get() {
            return Ok(runtime.clone());
        }
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(RUNTIME_THREADS)
            .thread_name("piton-db")
            .enable_all()
            .build()
            .map_err(|error| failure(format!("the threads that talk to databases cannot be started: {error}")))?;
        Ok(self.runtime.get_or_init(|| Arc::new(runtime)).clone())
    }
}

impl Drop for Databases {
    fn drop(&mut self) {
        self.close();
    }
}

fn failure(message: impl Into<String>) -> Failure {
    Failure::new(FailureKind::Action, message)
}

fn too_many_rows(limit: u64) -> Failure {
    failure(format!("the query gives more than {limit} rows"))
        .hint("ask for fewer, or say limit= if so many are meant to be held in memory and in the journal")
}

fn too_many_bytes() -> Failure {
    failure(format!("the query gives more than {} MiB", MAX_RESULT_BYTES / 1024 / 1024))
        .hint("select fewer columns or rows; what is large belongs into a file, with the database's own tools")
}

fn too_slow(what: &str) -> Failure {
    failure(format!("{what} took longer than {} s", PREPARE_LIMIT.as_secs()))
}
