//! The register's table: the statements of `register`, and nothing else.
//!
//! Owns `piton_move.register` on either server: InnoDB, never in the log, flushed because the preflight demands
//! `innodb_flush_log_at_trx_commit = 1`. A test holds each statement to its pure function.

use super::fence::Account;
use super::link::{Fault, Link, Reply};
use super::register::{Attempt, Change, Row, State};
use crate::position::Position;
use crate::source::heartbeat::SCHEMA;

/// No such schema, no such table.
const MISSING: [&str; 2] = ["1049 ", "1146 "];
const COLUMNS: &str = "epoch, number, state";

/// The register of one move.
#[derive(Debug, Clone)]
pub(super) struct Table {
    name: String,
}

impl Table {
    pub(super) fn new(name: &str) -> Self {
        Self { name: quoted(name) }
    }

    pub(super) async fn install(&self, link: &mut Link) -> Reply<()> {
        link.run(&format!("CREATE DATABASE IF NOT EXISTS {SCHEMA}")).await?;
        link.run(&format!(
            "CREATE TABLE IF NOT EXISTS {SCHEMA}.register (name VARBINARY(64) PRIMARY KEY,
             epoch BIGINT UNSIGNED NOT NULL, number BIGINT UNSIGNED NOT NULL,
             state ENUM('open', 'committed', 'aborted', 'reopened') NOT NULL,
             reverse_file VARCHAR(255), reverse_offset BIGINT UNSIGNED) ENGINE = InnoDB"
        ))
        .await?;
        link.run(&format!(
            "CREATE TABLE IF NOT EXISTS {SCHEMA}.account (name VARBINARY(64), user VARBINARY(255), host VARBINARY(255),
             PRIMARY KEY (name, user, host)) ENGINE = InnoDB"
        ))
        .await?;
        link.run(&format!(
            "INSERT IGNORE INTO {SCHEMA}.register (name, {COLUMNS}) VALUES ('{}', 0, 0, 'committed')",
            self.name
        ))
        .await
    }

    /// Keeps whose accounts the fence locks: whoever lifts it may know nothing else of the move.
    pub(super) async fn keep_accounts(&self, link: &mut Link, accounts: &[Account]) -> Reply<()> {
        let list: Vec<_> = accounts
            .iter()
            .map(|Account { user, host }| format!("('{}', '{}', '{}')", self.name, quoted(user), quoted(host)))
            .collect();
        link.run("START TRANSACTION").await?;
        link.run(&format!("DELETE FROM {SCHEMA}.account WHERE name = '{}'", self.name)).await?;
        if !list.is_empty() {
            link.run(&format!("INSERT INTO {SCHEMA}.account VALUES {}", list.join(", "))).await?;
        }
        link.run("COMMIT").await
    }

    pub(super) async fn accounts(&self, link: &mut Link) -> Reply<Vec<Account>> {
        let sql = format!("SELECT user, host FROM {SCHEMA}.account WHERE name = '{}'", self.name);
        let all: Vec<(String, String)> = link.all(&sql).await?;
        Ok(all.into_iter().map(|(user, host)| Account { user, host }).collect())
    }

    /// Where there is no row, nothing was ever moved.
    pub(super) async fn read(&self, link: &mut Link) -> Reply<Row> {
        Ok(self.row(link).await?.unwrap_or(Row::FIRST))
    }

    /// Whether a cutover was prepared: without a row nothing can be decided.
    pub(super) async fn is_there(&self, link: &mut Link) -> Reply<bool> {
        Ok(self.row(link).await?.is_some())
    }

    async fn row(&self, link: &mut Link) -> Reply<Option<Row>> {
        let sql = format!("SELECT epoch, number, state FROM {SCHEMA}.register WHERE name = '{}'", self.name);
        let row: Option<(u64, u64, String)> = match link.first(&sql).await {
            Err(Fault::No(why)) if MISSING.iter().any(|code| why.starts_with(code)) => None,
            other => other?,
        };
        let Some((epoch, number, state)) = row else { return Ok(None) };
        let state = State::of(&state).ok_or_else(|| Fault::No(format!("the register says {state}")))?;
        Ok(Some(Row { attempt: Attempt { epoch, number }, state }))
    }

    /// Opens the next attempt, and gives the row after it.
    pub(super) async fn open_next(&self, link: &mut Link) -> Reply<Row> {
        let before = self.read(link).await?;
        if let Some(next) = before.next() {
            let change = format!(
                "UPDATE {SCHEMA}.register SET epoch = {}, number = {}, state = 'open', reverse_file = NULL
                 WHERE {} AND state = '{}'",
                next.attempt.epoch,
                next.attempt.number,
                self.is(before.attempt),
                before.state.word()
            );
            link.run(&change).await?;
        }
        self.read(link).await
    }

    /// A compare-and-set, and the row after it, won or not.
    pub(super) async fn change(&self, link: &mut Link, attempt: Attempt, change: Change) -> Reply<Row> {
        let (from, to, fenced) = match change {
            Change::Commit => (State::Open, State::Committed, " AND @@GLOBAL.read_only = 1"),
            Change::Abort => (State::Open, State::Aborted, ""),
            Change::Reopen => (State::Aborted, State::Reopened, ""),
        };
        let sql = format!(
            "UPDATE {SCHEMA}.register SET state = '{}' WHERE {} AND state = '{}'{fenced}",
            to.word(),
            self.is(attempt),
            from.word()
        );
        if link.changes(&sql).await? {
            return Ok(Row { attempt, state: to });
        }
        self.read(link).await
    }

    /// Writes the copy of a committed attempt on the server that it made true.
    pub(super) async fn copy(&self, link: &mut Link, attempt: Attempt) -> Reply<()> {
        link.run(&format!(
            "UPDATE {SCHEMA}.register SET epoch = {epoch}, number = {}, state = 'committed'
             WHERE name = '{}' AND (epoch < {epoch} OR (epoch = {epoch} AND state <> 'committed'))",
            attempt.number,
            self.name,
            epoch = attempt.epoch,
        ))
        .await
    }

    /// From where the way back is to read the target's log.
    pub(super) async fn keep_reverse(&self, link: &mut Link, attempt: Attempt, from: &Position) -> Reply<bool> {
        link.changes(&format!(
            "UPDATE {SCHEMA}.register SET reverse_file = '{}', reverse_offset = {} WHERE {} AND state = 'open'",
            from.file,
            from.offset,
            self.is(attempt)
        ))
        .await
    }

    pub(super) async fn reverse(&self, link: &mut Link) -> Reply<Option<Position>> {
        let sql = format!("SELECT reverse_file, reverse_offset FROM {SCHEMA}.register WHERE name = '{}'", self.name);
        let row: Option<(Option<String>, Option<u64>)> = link.first(&sql).await?;
        Ok(row.and_then(|(file, offset)| Some(Position::new(file?, offset?))))
    }

    fn is(&self, attempt: Attempt) -> String {
        format!("name = '{}' AND epoch = {} AND number = {}", self.name, attempt.epoch, attempt.number)
    }
}

/// Text as it stands between quotes.
fn quoted(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\'', "''")
}

#[cfg(test)]
mod tests {
    use piton_testkit::available;
    use piton_testkit::mariadb::{MariaDb, Options};

    use super::*;
    use crate::error::Side;

    const STATES: [State; 4] = [State::Open, State::Committed, State::Aborted, State::Reopened];

    async fn put(link: &mut Link, row: Row) {
        let Row { attempt: Attempt { epoch, number }, state } = row;
        let sql =
            format!("REPLACE INTO piton_move.register VALUES ('m', {epoch}, {number}, '{}', NULL, NULL)", state.word());
        link.run(&sql).await.unwrap();
    }

    /// The model checks the functions; this checks that the statements are those functions.
    #[tokio::test]
    async fn every_statement_does_to_every_row_what_its_function_says() {
        let Some(server) = available(MariaDb::start(Options::default())) else { return };
        let table = Table::new("m");
        let mut link = Link::locked(Side::Source, &server.url(""), "m", false).await.unwrap();
        table.install(&mut link).await.unwrap();
        assert_eq!(table.read(&mut link).await.unwrap(), Row::FIRST);
        let attempts = [(1, 1), (1, 2), (2, 1)].map(|(epoch, number)| Attempt { epoch, number });
        for fenced in [false, true] {
            link.run(&format!("SET GLOBAL read_only = {}", u8::from(fenced))).await.unwrap();
            for (row, attempt) in STATES.iter().flat_map(|state| {
                let row = Row { attempt: attempts[1], state: *state };
                attempts.map(|attempt| (row, attempt))
            }) {
                for change in [Change::Commit, Change::Abort, Change::Reopen] {
                    put(&mut link, row).await;
                    let said = table.change(&mut link, attempt, change).await.unwrap();
                    let stands = table.read(&mut link).await.unwrap();
                    assert_eq!((said, stands), (row.changed(attempt, change, fenced), stands), "{row:?} {change:?}");
                    assert_eq!(said, stands);
                }
                put(&mut link, row).await;
                table.copy(&mut link, attempt).await.unwrap();
                assert_eq!(table.read(&mut link).await.unwrap(), row.copied(attempt), "{row:?} copy {attempt:?}");
                put(&mut link, row).await;
                assert_eq!(table.open_next(&mut link).await.unwrap(), row.next().unwrap_or(row), "{row:?}");
            }
        }
        // None of it is in the log.
        assert!(!server.sql("show binlog events").unwrap().contains("piton_move"));
        // Nobody else gets the lock while this session lives, and the next one after it does.
        let second = Link::locked(Side::Source, &server.url(""), "m", false).await;
        assert!(matches!(second, Err(Fault::Lost(_))));
        assert!(Link::locked(Side::Source, &server.url(""), "m", true).await.is_ok(), "whoever won the abort ends it");
        assert!(matches!(link.run("SELECT 1").await, Err(Fault::Lost(_))));
    }
}
