//! Asking a server one question again and again, faster than a client's program could.
//!
//! Owns one connection. Never changes anything.

use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use crate::endpoint::Account;
use crate::ledger::LedgerError;

/// A connection that waits to be asked.
pub struct Question {
    runtime: tokio::runtime::Runtime,
    conn: Conn,
    question: String,
}

impl Question {
    /// Connects; `question` gives one number.
    ///
    /// # Errors
    /// When the server cannot be reached.
    pub fn open(address: &str, account: &Account, question: &str) -> Result<Self, LedgerError> {
        let runtime = crate::ledger::runtime()?;
        let conn = runtime.block_on(Conn::new(account.options(address)?)).map_err(LedgerError::database("connect"))?;
        Ok(Self { runtime, conn, question: question.to_owned() })
    }

    /// What the server answers now; no row is 0.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn ask(&mut self) -> Result<u64, LedgerError> {
        let asked = self.runtime.block_on(self.conn.query_first(&self.question));
        Ok(asked.map_err(LedgerError::database("answer"))?.unwrap_or(0))
    }
}
