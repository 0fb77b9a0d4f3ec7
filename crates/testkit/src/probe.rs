//! Writes as the application, straight to servers, to see which of them takes one.
//!
//! Owns one row-less table's worth of knowledge: `probe (at)` in the account's schema, which nobody counts. A prober keeps
//! sessions open, as an application does, and opens new ones, and remembers when each server took a write.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use crate::endpoint::Account;
use crate::ledger::{LedgerError, runtime};

/// The table that is written to, in the account's schema on every server.
pub const TABLE: &str = "create table probe (at datetime(6) not null)";
const WRITE: &str = "insert into probe values (now(6))";
/// A server that takes longer has not taken it.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);
/// Between two rounds over all servers.
const PAUSE: Duration = Duration::from_millis(50);

/// Why a server took no write; `None`: it did.
///
/// # Errors
/// When no runtime can be had to ask with.
pub fn refusal(address: &str, account: &Account) -> Result<Option<String>, LedgerError> {
    let options = account.options(address)?;
    Ok(runtime()?.block_on(async {
        let write = async { Conn::new(options).await?.query_drop(WRITE).await };
        match tokio::time::timeout(ANSWER_LIMIT, write).await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(late) => Some(late.to_string()),
        }
    }))
}

/// A write that a server took.
#[derive(Debug, Clone, Copy)]
pub struct Taken {
    /// Which of the servers.
    pub server: usize,
    pub began: Instant,
    pub ended: Instant,
}

/// A thread that writes to all servers in turn until it is stopped.
#[derive(Debug)]
pub struct Prober {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Vec<Taken>>,
}

impl Prober {
    /// # Errors
    /// When an address is none, or no runtime can be had.
    pub fn start(addresses: [String; 2], account: Account) -> Result<Self, LedgerError> {
        let stop = Arc::new(AtomicBool::new(false));
        let options = [account.options(&addresses[0])?, account.options(&addresses[1])?];
        let (runtime, told) = (runtime()?, Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            let mut taken = Vec::new();
            let mut kept: [Option<Conn>; 2] = [None, None];
            while !told.load(Ordering::Relaxed) {
                for (server, kept) in kept.iter_mut().enumerate() {
                    let began = Instant::now();
                    let write = write(kept, &options[server]);
                    let took = runtime.block_on(async { tokio::time::timeout(ANSWER_LIMIT, write).await });
                    match took {
                        Ok(true) => taken.push(Taken { server, began, ended: Instant::now() }),
                        Ok(false) => {}
                        Err(_) => *kept = None,
                    }
                }
                std::thread::sleep(PAUSE);
            }
            taken
        });
        Ok(Self { stop, thread })
    }

    /// Stops, and gives every write that a server took, in order.
    #[must_use]
    pub fn stop(self) -> Vec<Taken> {
        self.stop.store(true, Ordering::Relaxed);
        // A prober that panicked has seen nothing, which whoever asks will notice.
        self.thread.join().unwrap_or_default()
    }
}

/// In the open session; and where that refuses, in a new one, so that neither kind of fence alone is taken for both.
async fn write(kept: &mut Option<Conn>, options: &mysql_async::Opts) -> bool {
    if let Some(conn) = kept {
        match conn.query_drop(WRITE).await {
            Ok(()) => return true,
            Err(mysql_async::Error::Server(_)) => {}
            Err(_) => *kept = None,
        }
    }
    let Ok(mut fresh) = Conn::new(options.clone()).await else { return false };
    let taken = fresh.query_drop(WRITE).await.is_ok();
    if kept.is_none() {
        *kept = Some(fresh);
    }
    taken
}
