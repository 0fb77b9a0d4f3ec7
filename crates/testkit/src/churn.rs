//! Calls a stored procedure again and again, wherever the service's database is.
//!
//! Owns one connection and one thread. It keeps tables changing that no benchmark touches; nobody counts on what it
//! wrote, so failures are only counted.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use crate::endpoint::{Account, Endpoint};
use crate::ledger::LedgerError;

/// Between two calls, and after a failed one.
const PAUSE: Duration = Duration::from_millis(100);
const AFTER_FAILURE: Duration = Duration::from_millis(100);
/// A call that takes longer is given up with its connection.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// The calling thread. Dropping it stops it.
#[derive(Debug)]
pub struct Churn {
    stop: Arc<AtomicBool>,
    calls: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Churn {
    /// Calls `procedure` with 1, 2, 3 and so on, at the address that `endpoint_file` holds.
    ///
    /// # Errors
    /// When the file holds no address.
    pub fn start(endpoint_file: &Path, account: Account, procedure: &'static str) -> Result<Self, LedgerError> {
        let endpoint = Endpoint::read(endpoint_file)?;
        let runtime = crate::ledger::runtime()?;
        let (stop, calls) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (told, count) = (Arc::clone(&stop), Arc::clone(&calls));
        let thread = std::thread::spawn(move || {
            let mut caller = Caller { endpoint, account, connection: None };
            let mut number = 0;
            while !told.load(Ordering::Relaxed) {
                number += 1;
                let call = format!("call {procedure}({number})");
                let answered = runtime.block_on(async { tokio::time::timeout(ANSWER_LIMIT, caller.call(&call)).await });
                let pause = if matches!(answered, Ok(Some(()))) {
                    count.fetch_add(1, Ordering::Relaxed);
                    PAUSE
                } else {
                    caller.connection = None;
                    AFTER_FAILURE
                };
                std::thread::sleep(pause);
            }
        });
        Ok(Self { stop, calls, thread: Some(thread) })
    }

    /// Calls that succeeded so far.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    /// Ends the thread after its current call.
    pub fn stop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic of the thread shows as calls that stopped rising.
            let _ = thread.join();
        }
    }
}

impl Drop for Churn {
    fn drop(&mut self) {
        self.stop();
    }
}

struct Caller {
    endpoint: Endpoint,
    account: Account,
    connection: Option<(u64, Conn)>,
}

impl Caller {
    async fn call(&mut self, call: &str) -> Option<()> {
        let epoch = self.endpoint.refresh();
        if self.connection.as_ref().is_none_or(|(mine, _)| *mine != epoch) {
            let (epoch, address) = self.endpoint.current();
            let conn = Conn::new(self.account.options(&address).ok()?).await.ok()?;
            self.connection = Some((epoch, conn));
        }
        let (_, conn) = self.connection.as_mut()?;
        conn.query_drop(call).await.ok()
    }
}
