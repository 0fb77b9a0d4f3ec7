//! Changes tables again and again, wherever the service's database is.
//!
//! Owns one connection and one thread. It keeps tables changing that no benchmark touches; nobody counts on what it
//! wrote, so failures are only counted, by what the server said.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error};

use crate::endpoint::{Account, Endpoint};
use crate::ledger::LedgerError;

/// Between two transactions of a round, between two rounds, and after a failed transaction.
const PAUSE: Duration = Duration::from_millis(5);
const AFTER_ROUND: Duration = Duration::from_millis(100);
const AFTER_FAILURE: Duration = Duration::from_millis(100);
/// A transaction that takes longer is given up with its connection.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// What failed: how often, by the server's code (0: none) and its first message.
pub type Failures = BTreeMap<u16, (u64, String)>;

/// The changing thread. Dropping it stops it.
#[derive(Debug)]
pub struct Churn {
    stop: Arc<AtomicBool>,
    rounds: Arc<AtomicU64>,
    failures: Arc<Mutex<Failures>>,
    thread: Option<JoinHandle<()>>,
}

/// The transactions of a text: a paragraph each, of statements that end with `;` and a line's end. Lines that begin with `--` are
/// remarks.
#[must_use]
pub fn transactions(text: &str) -> Vec<Vec<String>> {
    let code: String = text.lines().filter(|line| !line.starts_with("--")).map(|line| format!("{line}\n")).collect();
    let statements = |paragraph: &str| -> Vec<String> {
        let statements = paragraph.split(";\n").map(|statement| statement.trim().trim_end_matches(';').to_owned());
        statements.filter(|statement| !statement.is_empty()).collect()
    };
    code.split("\n\n").map(statements).filter(|statements| !statements.is_empty()).collect()
}

impl Churn {
    /// Performs `transactions` round after round, at the address that `endpoint_file` holds. `{n}` in a statement is the round's
    /// number: 1, 2, 3 and so on. A statement that is alone needs no transaction.
    ///
    /// # Errors
    /// When the file holds no address.
    pub fn start(endpoint_file: &Path, account: Account, transactions: Vec<Vec<String>>) -> Result<Self, LedgerError> {
        let endpoint = Endpoint::read(endpoint_file)?;
        let runtime = crate::ledger::runtime()?;
        let mut churn = Self { stop: Arc::default(), rounds: Arc::default(), failures: Arc::default(), thread: None };
        let (stop, rounds, failures) =
            (Arc::clone(&churn.stop), Arc::clone(&churn.rounds), Arc::clone(&churn.failures));
        let thread = std::thread::spawn(move || {
            let mut caller = Caller { endpoint, account, connection: None };
            let mut number = 0;
            while !stop.load(Ordering::Relaxed) {
                number += 1;
                for transaction in &transactions {
                    let work = caller.perform(transaction, number);
                    let done = runtime.block_on(async { tokio::time::timeout(ANSWER_LIMIT, work).await });
                    let failed = done.unwrap_or_else(|late| Err((0, late.to_string()))).err();
                    std::thread::sleep(if failed.is_some() { AFTER_FAILURE } else { PAUSE });
                    if let Some((code, message)) = failed {
                        caller.connection = None;
                        let mut failures = failures.lock().unwrap_or_else(PoisonError::into_inner);
                        failures.entry(code).or_insert((0, message)).0 += 1;
                    }
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                }
                rounds.fetch_add(1, Ordering::Relaxed);
                std::thread::sleep(AFTER_ROUND);
            }
        });
        churn.thread = Some(thread);
        Ok(churn)
    }

    /// Rounds so far.
    #[must_use]
    pub fn rounds(&self) -> u64 {
        self.rounds.load(Ordering::Relaxed)
    }

    /// What failed so far.
    #[must_use]
    pub fn failures(&self) -> Failures {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Ends the thread after its current transaction.
    pub fn stop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic of the thread shows as rounds that stopped rising.
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
    async fn perform(&mut self, transaction: &[String], number: u64) -> Result<(), (u16, String)> {
        let told = |error: Error| match error {
            Error::Server(error) => (error.code, error.message),
            other => (0, other.to_string()),
        };
        let epoch = self.endpoint.refresh();
        if self.connection.as_ref().is_none_or(|(mine, _)| *mine != epoch) {
            let (epoch, address) = self.endpoint.current();
            let options = self.account.options(&address).map_err(|error| (0, error.to_string()))?;
            self.connection = Some((epoch, Conn::new(options).await.map_err(told)?));
        }
        let Some((_, conn)) = self.connection.as_mut() else { return Ok(()) };
        let alone = transaction.len() == 1;
        if !alone {
            conn.query_drop("begin").await.map_err(told)?;
        }
        for statement in transaction {
            conn.query_drop(statement.replace("{n}", &number.to_string())).await.map_err(told)?;
        }
        if !alone {
            conn.query_drop("commit").await.map_err(told)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paragraphs_are_transactions() {
        let text = "-- a remark\n\ninsert into a\n  values (1);\ndelete from b;\n\nupdate c set d = ';x';\n";
        let all = transactions(text);
        assert_eq!(all, [vec!["insert into a\n  values (1)", "delete from b"], vec!["update c set d = ';x'"]]);
    }
}
