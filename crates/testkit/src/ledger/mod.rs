//! The ledger: a small real service that writes throughout a move, and the checker of its promises.
//!
//! Owns the service's tables, its writers, the records it keeps outside every database (what was acknowledged, what was
//! refused, how long it could not write) and their comparison with a server. Knows nothing of runbooks or of a move:
//! it reads its database's address from a file, as services do, and tries again when it is refused.

mod client;
mod reconcile;
mod records;
mod service;
mod tables;

pub use crate::endpoint::Account;
pub use reconcile::{Reconciliation, reconcile};
pub use records::{SLOW_STATEMENT, Slow, Stats, read_slow, read_stats};
pub use service::{Settings, serve};
pub(crate) use tables::runtime;
pub use tables::{ACCOUNTS, prepare};

/// What can go wrong outside the writes themselves, which are counted instead.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    #[error("cannot {doing}")]
    Io { doing: String, source: std::io::Error },
    #[error("the database refused to {doing}")]
    Database { doing: &'static str, source: mysql_async::Error },
    #[error("{file} does not hold host:port but {text:?}")]
    Endpoint { file: String, text: String },
    #[error("{file} is not the ledger's record")]
    Record { file: String, source: serde_json::Error },
}

impl LedgerError {
    pub(crate) fn io(doing: impl Into<String>) -> impl FnOnce(std::io::Error) -> LedgerError {
        let doing = doing.into();
        move |source| LedgerError::Io { doing, source }
    }

    pub(crate) fn database(doing: &'static str) -> impl FnOnce(mysql_async::Error) -> LedgerError {
        move |source| LedgerError::Database { doing, source }
    }
}
