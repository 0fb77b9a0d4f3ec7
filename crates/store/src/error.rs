//! How failures of files and of SQLite become `StoreError`s.
//!
//! Owns the wording for what an operator meets: full disk, read-only, busy, damaged. A message says what was being
//! done, what is wrong and what to do; the library's own words follow as the source. Never retries anything.

use piton_core::ports::{StoreError, StoreErrorKind};
use rusqlite::ErrorCode;
use rustix::io::Errno;
use std::path::Path;

/// What can go wrong inside a transaction: SQLite's failure, or a refusal of ours.
#[derive(Debug)]
pub(crate) enum Fault {
    Sqlite(rusqlite::Error),
    Refused(StoreError),
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        Self::Refused(error)
    }
}

impl Fault {
    /// `doing` completes "cannot …".
    pub(crate) fn into_error(self, doing: &str) -> StoreError {
        match self {
            Self::Sqlite(error) => from_sqlite(doing, error),
            Self::Refused(error) => error,
        }
    }
}

pub(crate) fn refused(kind: StoreErrorKind, message: impl Into<String>) -> StoreError {
    StoreError { kind, message: message.into(), source: None }
}

pub(crate) fn unreadable(
    message: impl Into<String>,
    source: impl std::error::Error + Send + Sync + 'static,
) -> StoreError {
    StoreError { kind: StoreErrorKind::Unreadable, message: message.into(), source: Some(Box::new(source)) }
}

pub(crate) fn from_sqlite(doing: &str, error: rusqlite::Error) -> StoreError {
    use StoreErrorKind::{Unavailable, Unreadable};
    let (kind, why) = match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => (Unavailable, "the disk that holds the store is full; nothing of this was stored"),
        Some(ErrorCode::ReadOnly) => (Unavailable, "the store cannot be written: it is read-only for this user"),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            (Unavailable, "another process has kept the store locked for more than 30 seconds")
        }
        Some(ErrorCode::CannotOpen) => (Unavailable, "the store's file cannot be opened or created"),
        Some(ErrorCode::PermissionDenied) => (Unavailable, "access to the store's file is denied"),
        Some(ErrorCode::SystemIoFailure) => {
            (Unavailable, "reading or writing the store's disk failed; nothing of this counts as stored")
        }
        Some(ErrorCode::OutOfMemory) => (Unavailable, "there is not enough memory"),
        Some(ErrorCode::DatabaseCorrupt) => (Unreadable, "the store's file is damaged; restore it from a backup"),
        Some(ErrorCode::NotADatabase) => (Unreadable, "the store's file is not a database, or its start is damaged"),
        Some(_) => (Unavailable, "the database refused it; nothing of this was stored"),
        // No code: a value of the file has another type than the schema says.
        None => (Unreadable, "the store holds something this version of Piton does not understand"),
    };
    StoreError { kind, message: format!("cannot {doing}: {why}"), source: Some(Box::new(error)) }
}

/// For files beside the database. `doing` completes "cannot …".
pub(crate) fn from_io(doing: &str, path: &Path, error: std::io::Error) -> StoreError {
    let why = match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::NOSPC | Errno::DQUOT) => "the disk that holds the store is full",
        Some(Errno::FBIG) => "the file would be larger than this process may write",
        Some(Errno::ROFS) => "the file system is read-only",
        Some(Errno::ACCESS | Errno::PERM) => "permission is denied",
        Some(Errno::NOENT) => "it does not exist",
        Some(Errno::NOTDIR) => "part of its path is a file, not a directory",
        Some(Errno::EXIST) => "something else of that name is in the way",
        _ => "the operating system refused it",
    };
    StoreError {
        kind: StoreErrorKind::Unavailable,
        message: format!("cannot {doing} {}: {why}", path.display()),
        source: Some(Box::new(error)),
    }
}
