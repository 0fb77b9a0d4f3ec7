//! The checker: what the service was promised, against what a server holds.
//!
//! Owns the comparison. Reads only; trusts neither the service's memory nor anything that a runbook says.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::Path;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Row};
use serde::Serialize;

use super::LedgerError;
use super::records::{ACKNOWLEDGED, ERRORS, Failure, Kind};
use super::tables::runtime;
use crate::endpoint::Account;

/// How many ids of each finding are named; the counts are always complete.
const EXAMPLES: usize = 10;

/// What the comparison found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Reconciliation {
    /// Distinct ids that the service was told are written.
    pub acknowledged: u64,
    /// Rows in the table.
    pub entries: u64,
    /// Acknowledged ids that are not in the table.
    pub missing: u64,
    /// Rows beyond the first of their id.
    pub duplicated: u64,
    /// Rows nobody was told of, whose attempt ended without an answer: allowed, each once.
    pub indeterminate_present: u64,
    /// Rows nobody was told of and that no attempt without an answer explains.
    pub unexplained: u64,
    /// Accounts whose balance is not the sum of their entries.
    pub unbalanced: u64,
    /// The sum of all balances, which moves of money leave at zero.
    pub total: String,
    /// Some of the ids behind the counts above.
    pub examples: Vec<String>,
}

impl Reconciliation {
    /// Whether everything acknowledged is there exactly once, nothing else is, and the books balance.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.missing == 0 && self.duplicated == 0 && self.unexplained == 0 && self.unbalanced == 0 && self.total == "0"
    }
}

/// Compares the record in `folder` with the server at `address`. The service must have stopped.
///
/// # Errors
/// When the record or the server cannot be read.
pub fn reconcile(folder: &Path, address: &str, account: &Account) -> Result<Reconciliation, LedgerError> {
    let acknowledged = read_lines(&folder.join(ACKNOWLEDGED))?;
    let open = read_open_ids(&folder.join(ERRORS))?;
    let mut found = Reconciliation::default();
    runtime()?.block_on(async {
        let mut conn = Conn::new(account.options(address)?).await.map_err(LedgerError::database("connect"))?;
        let counts = read_entries(&mut conn).await?;
        compare(&acknowledged, &open, &counts, &mut found);
        check_balances(&mut conn, &mut found).await?;
        conn.disconnect().await.map_err(LedgerError::database("say goodbye"))
    })?;
    Ok(found)
}

fn compare(acknowledged: &[String], open: &HashSet<String>, counts: &HashMap<String, u64>, found: &mut Reconciliation) {
    let told: HashSet<&str> = acknowledged.iter().map(String::as_str).collect();
    found.acknowledged = told.len() as u64;
    found.entries = counts.values().sum();
    let mut examples = Vec::new();
    for id in &told {
        if !counts.contains_key(*id) {
            found.missing += 1;
            examples.push(format!("missing {id}"));
        }
    }
    for (id, count) in counts {
        if *count > 1 {
            found.duplicated += count - 1;
            examples.push(format!("{count} times {id}"));
        }
        if !told.contains(id.as_str()) {
            if open.contains(id) {
                found.indeterminate_present += 1;
            } else {
                found.unexplained += 1;
                examples.push(format!("unexplained {id}"));
            }
        }
    }
    examples.sort();
    examples.truncate(EXAMPLES);
    found.examples = examples;
}

async fn read_entries(conn: &mut Conn) -> Result<HashMap<String, u64>, LedgerError> {
    let doing = "read the entries";
    let rows: Vec<(String, u64)> = conn
        .query("select id, count(*) from ledger_entries group by id")
        .await
        .map_err(LedgerError::database(doing))?;
    Ok(rows.into_iter().collect())
}

async fn check_balances(conn: &mut Conn, found: &mut Reconciliation) -> Result<(), LedgerError> {
    let doing = "compare balances with entries";
    let unbalanced: Vec<Row> = conn
        .query(
            "select a.id from ledger_accounts a
             left join (
                 select account, sum(amount) as total from (
                     select debit as account, -amount as amount from ledger_entries
                     union all select credit, amount from ledger_entries
                 ) moves group by account
             ) sums on sums.account = a.id
             where a.balance <> ifnull(sums.total, 0)",
        )
        .await
        .map_err(LedgerError::database(doing))?;
    found.unbalanced = unbalanced.len() as u64;
    let total: Option<String> = conn
        .query_first("select cast(ifnull(sum(balance), 0) as char) from ledger_accounts")
        .await
        .map_err(LedgerError::database(doing))?;
    found.total = total.unwrap_or_default();
    Ok(())
}

/// Complete lines only: a line cut short by a kill of the service was never acknowledged to anyone.
fn read_lines(file: &Path) -> Result<Vec<String>, LedgerError> {
    let text = fs::read_to_string(file).map_err(LedgerError::io(format!("read {}", file.display())))?;
    let complete = text.rfind('\n').map_or("", |end| &text[..end]);
    Ok(complete.lines().map(str::to_owned).collect())
}

/// Ids with an attempt whose effect nobody was told.
fn read_open_ids(file: &Path) -> Result<HashSet<String>, LedgerError> {
    let mut open = HashSet::new();
    for line in read_lines(file)? {
        let failure: Failure = serde_json::from_str(&line)
            .map_err(|source| LedgerError::Record { file: file.display().to_string(), source })?;
        if failure.kind == Kind::Indeterminate {
            open.insert(failure.id);
        }
    }
    Ok(open)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compared(acknowledged: &[&str], open: &[&str], rows: &[(&str, u64)]) -> Reconciliation {
        let acknowledged: Vec<String> = acknowledged.iter().map(|id| (*id).to_owned()).collect();
        let open = open.iter().map(|id| (*id).to_owned()).collect();
        let rows = rows.iter().map(|(id, count)| ((*id).to_owned(), *count)).collect();
        let mut found = Reconciliation { total: "0".to_owned(), ..Reconciliation::default() };
        compare(&acknowledged, &open, &rows, &mut found);
        found
    }

    #[test]
    fn what_was_acknowledged_must_be_there_once() {
        let found = compared(&["a", "b", "c"], &[], &[("a", 1), ("b", 2)]);
        assert_eq!((found.acknowledged, found.missing, found.duplicated), (3, 1, 1));
        assert_eq!(found.examples, ["2 times b", "missing c"]);
        assert!(!found.is_clean());
    }

    #[test]
    fn a_row_without_an_answer_is_allowed_and_one_without_an_attempt_is_not() {
        let found = compared(&["a"], &["x"], &[("a", 1), ("x", 1)]);
        assert_eq!((found.indeterminate_present, found.unexplained), (1, 0));
        assert!(found.is_clean());
        assert_eq!(compared(&["a"], &[], &[("a", 1), ("x", 1)]).unexplained, 1);
    }
}
