//! sysbench as a service of the shows: a read-write load on tables of its own.
//!
//! Owns its command line and what it says of errors. It knows one address and gives up when it is refused.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use piton_testkit::{Account, Guarded, find_program};

use super::Result;

/// Codes that a server gives whatever stands before it: a changed row, a lock that was waited for in vain, a deadlock.
pub(super) const OWN_CODES: [u16; 3] = [1020, 1205, 1213];

#[derive(Clone)]
pub(super) struct Sysbench {
    pub(super) account: Account,
    /// Holds the password, so that no argument does.
    pub(super) options_file: PathBuf,
    pub(super) tables: u32,
}

impl Sysbench {
    /// Makes its tables.
    pub(super) fn prepare(&self, address: &str) -> Result<()> {
        let mut command = Command::new(find_program(&["sysbench"], "sysbench")?);
        command.args(self.arguments(address, &[], "prepare")?).stdin(Stdio::null());
        let made = command.stdout(Stdio::null()).stderr(Stdio::null()).status()?;
        if made.success() { Ok(()) } else { Err("sysbench prepare failed".into()) }
    }

    /// Starts it against an address.
    pub(super) fn start(&self, address: &str, more: &[&str], output: Stdio) -> Result<Guarded> {
        let program = find_program(&["sysbench"], "sysbench")?;
        let arguments = self.arguments(address, more, "run")?;
        Ok(Guarded::start(&[], &program, |command| {
            command.args(arguments).stdin(Stdio::null()).stdout(output).stderr(Stdio::null());
        })?)
    }

    fn arguments(&self, address: &str, more: &[&str], verb: &str) -> Result<Vec<String>> {
        let (host, port) = address.trim().rsplit_once(':').ok_or("an address without a port")?;
        let Account { user, password, schema } = &self.account;
        let options = format!(
            "db-driver=mysql\nmysql-host={host}\nmysql-port={port}\nmysql-user={user}\nmysql-password={password}\n\
             mysql-db={schema}\nthreads=2\nrate=15\ntime=0\n"
        );
        std::fs::write(&self.options_file, options)?;
        // The file is for sysbench's own options only: a test's options have to be arguments.
        let file = format!("--config-file={}", self.options_file.display());
        let tables = format!("--tables={}", self.tables);
        let words = [file.as_str(), "oltp_read_write", &tables, "--table-size=10000"];
        Ok(words.iter().chain(more).chain(&[verb]).map(|word| (*word).to_owned()).collect())
    }
}

/// What sysbench hides unless it is asked: errors that it tries again, by code, and connections that it makes anew.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Hidden {
    pub(super) by_code: BTreeMap<u16, u64>,
    pub(super) reconnects: u64,
    /// Transactions, to see that it did something.
    pub(super) transactions: u64,
}

/// Reads what `--report-interval=1 --verbosity=5` prints.
pub(super) fn hidden(text: &str) -> Hidden {
    let mut hidden = Hidden::default();
    let mut transactions = 0.0;
    for line in text.lines() {
        let after = |word: &str| {
            let (_, rest) = line.split_once(word)?;
            rest.trim_start().split([' ', ')', ',']).next()?.parse::<f64>().ok()
        };
        if let Some(code) = after("Ignoring error ") {
            *hidden.by_code.entry(code as u16).or_default() += 1;
        }
        // A number a second, of one second.
        hidden.reconnects += after("reconn/s:").unwrap_or(0.0).ceil() as u64;
        transactions += after(" tps:").unwrap_or(0.0);
    }
    hidden.transactions = transactions as u64;
    hidden
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_it_hides_is_counted() {
        let text = "DEBUG: Ignoring error 1213 Deadlock found when trying to get lock; try restarting transaction, \n\
             [ 1s ] thds: 2 tps: 15.00 qps: 300.00 (r/w/o: 210/60/30) lat (ms,95%): 13.22 err/s: 1.00 reconn/s: 0.00\n\
             [ 2s ] thds: 2 tps: 14.99 qps: 1.0 (r/w/o: 210/60/30) lat (ms,95%): 13.22 err/s: 0.00 reconn/s: 1.00\n";
        let wanted = Hidden { by_code: BTreeMap::from([(1213, 1)]), reconnects: 1, transactions: 29 };
        assert_eq!(hidden(text), wanted);
    }
}
