//! Leaving the source alone while it is busy.
//!
//! Owns looking at the source's own signals between rounds of copying. Following the log is never throttled: it costs
//! the source little, and falling behind costs more.

use std::sync::Arc;
use std::time::Duration;

use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use tokio::sync::watch;

use crate::config::Limits;
use crate::error::{MoveError, Result, Side};
use crate::progress::Frontier;

/// How long copying pauses before the source is looked at again.
const PAUSE: Duration = Duration::from_millis(250);

/// How many chunks may be read. Whoever holds it can stop the copy between any two chunks, and see that it stands.
#[derive(Debug)]
pub(crate) struct Pace {
    allowed: watch::Sender<u64>,
    /// How many have been read, when the copy waits for leave to read more.
    stands: watch::Sender<Option<u64>>,
}

impl Pace {
    pub(crate) fn new(allowed: u64) -> Self {
        Self { allowed: watch::Sender::new(allowed), stands: watch::Sender::new(None) }
    }

    pub(crate) fn allow(&self, more: u64) {
        self.allowed.send_modify(|allowed| *allowed = allowed.saturating_add(more));
    }

    /// Returns when one more than `read` chunks may be read.
    pub(crate) async fn pass(&self, read: u64) {
        let mut allowed = self.allowed.subscribe();
        if *allowed.borrow_and_update() > read {
            return;
        }
        self.stands.send_replace(Some(read));
        // The sender is ours: it cannot be gone.
        let _ = allowed.wait_for(|allowed| *allowed > read).await;
        self.stands.send_replace(None);
    }

    /// Returns when the copy has read all that it may.
    pub(crate) async fn stood(&self) {
        let mut stands = self.stands.subscribe();
        let _ = stands.wait_for(|stands| stands.is_some_and(|read| read >= *self.allowed.borrow())).await;
    }
}

pub(crate) struct Throttle {
    pub(crate) conn: Conn,
    /// One connection to each replica whose lag counts.
    pub(crate) replicas: Vec<Conn>,
    pub(crate) limits: Limits,
}

impl Throttle {
    /// Returns when the source is not too busy.
    pub(crate) async fn wait(&mut self, frontier: &Arc<Frontier>) -> Result<()> {
        loop {
            let why = self.busy().await?;
            let quiet = why.is_none();
            if frontier.look().throttled != why {
                frontier.note(|progress| progress.throttled = why);
            }
            if quiet {
                return Ok(());
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn busy(&mut self) -> Result<Option<String>> {
        let running: Option<(String, u64)> = self
            .conn
            .query_first("SHOW GLOBAL STATUS LIKE 'Threads_running'")
            .await
            .map_err(MoveError::server(Side::Source, "look at its load"))?;
        let running = running.map_or(0, |(_, running)| running);
        if running > self.limits.threads_running {
            return Ok(Some(format!("{running} threads run on the source, more than {}", self.limits.threads_running)));
        }
        for replica in &mut self.replicas {
            let words = crate::session::words(replica);
            let status: Option<mysql_async::Row> = replica
                .query_first(words.replica_status)
                .await
                .map_err(MoveError::server(Side::Source, "look at a replica's lag"))?;
            let Some(status) = status else { continue };
            // NULL: it does not replicate at all. Waiting for it would wait for a person.
            let lag: Option<u64> = status.get::<Option<u64>, _>(words.replica_lag).flatten();
            if lag.is_some_and(|lag| lag > self.limits.replica_lag_s) {
                return Ok(Some(format!("a replica is {} s behind", lag.unwrap_or(0))));
            }
        }
        Ok(None)
    }
}
