//! Leaving the source alone while it is busy.
//!
//! Owns looking at the source's own signals between rounds of copying. Following the log is never throttled: it costs
//! the source little, and falling behind costs more.

use std::sync::Arc;
use std::time::Duration;

use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use crate::config::Limits;
use crate::error::{MoveError, Result, Side};
use crate::progress::Frontier;

/// How long copying pauses before the source is looked at again.
const PAUSE: Duration = Duration::from_millis(250);

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
            let status: Option<mysql_async::Row> = replica
                .query_first("SHOW SLAVE STATUS")
                .await
                .map_err(MoveError::server(Side::Source, "look at a replica's lag"))?;
            let Some(status) = status else { continue };
            // NULL: it does not replicate at all. Waiting for it would wait for a person.
            let lag: Option<u64> = status.get::<Option<u64>, _>("Seconds_Behind_Master").flatten();
            if lag.is_some_and(|lag| lag > self.limits.replica_lag_s) {
                return Ok(Some(format!("a replica is {} s behind", lag.unwrap_or(0))));
            }
        }
        Ok(None)
    }
}
