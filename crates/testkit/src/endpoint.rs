//! Where the service's database is: one line `host:port` in a file that others may replace at any time.
//!
//! Owns reading and watching that file. Never writes it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use mysql_async::{Opts, OptsBuilder};

use crate::ledger::LedgerError;

/// A connection attempt to a server that does not answer is given up after this long.
pub(crate) const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// The account with which the service logs in, the same on every platform.
#[derive(Clone)]
pub struct Account {
    pub user: String,
    pub password: String,
    pub schema: String,
}

impl std::fmt::Debug for Account {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Account")
            .field("user", &self.user)
            .field("schema", &self.schema)
            .finish_non_exhaustive()
    }
}

impl Account {
    pub(crate) fn options(&self, address: &str) -> Result<Opts, LedgerError> {
        let (host, port) = split(address)
            .ok_or_else(|| LedgerError::Endpoint { file: "the address".to_owned(), text: address.to_owned() })?;
        Ok(OptsBuilder::default()
            .ip_or_hostname(host)
            .tcp_port(port)
            .user(Some(&self.user))
            .pass(Some(&self.password))
            .db_name(Some(&self.schema))
            .prefer_socket(Some(false))
            .into())
    }
}

/// The address that the file last held, with a number that rises each time it changes.
#[derive(Debug)]
pub(crate) struct Endpoint {
    file: PathBuf,
    known: Mutex<(u64, String)>,
}

impl Endpoint {
    pub(crate) fn read(file: &Path) -> Result<Self, LedgerError> {
        let address = read_address(file)?;
        Ok(Self { file: file.to_owned(), known: Mutex::new((1, address)) })
    }

    pub(crate) fn current(&self) -> (u64, String) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Looks again. A file that is missing or malformed for a moment leaves the last known address in force.
    pub(crate) fn refresh(&self) -> u64 {
        let fresh = read_address(&self.file);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Ok(address) = fresh
            && address != known.1
        {
            *known = (known.0 + 1, address);
        }
        known.0
    }
}

fn read_address(file: &Path) -> Result<String, LedgerError> {
    let text = fs::read_to_string(file).map_err(LedgerError::io(format!("read {}", file.display())))?;
    let address = text.trim();
    match split(address) {
        Some(_) => Ok(address.to_owned()),
        None => Err(LedgerError::Endpoint { file: file.display().to_string(), text }),
    }
}

fn split(address: &str) -> Option<(&str, u16)> {
    let (host, port) = address.trim().rsplit_once(':')?;
    if host.is_empty() {
        return None;
    }
    Some((host, port.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_file_raises_the_number_and_a_broken_one_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("endpoint");
        fs::write(&file, "127.0.0.1:3306\n").unwrap();
        let endpoint = Endpoint::read(&file).unwrap();
        assert_eq!(endpoint.refresh(), 1);
        fs::write(&file, "nonsense").unwrap();
        assert_eq!(endpoint.refresh(), 1);
        fs::write(&file, "127.0.0.1:3307").unwrap();
        assert_eq!(endpoint.refresh(), 2);
        assert_eq!(endpoint.current().1, "127.0.0.1:3307");
    }
}
