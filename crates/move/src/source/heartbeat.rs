//! Watermarks: rows of a table of ours on the source, which the log shows in the order of its transactions.
//!
//! Owns that table. It is the only thing the mover writes on the source.

use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use crate::config::TableName;
use crate::error::{MoveError, Result, Side};
use crate::row::Row;

/// Everything of ours, on both servers, stands in this schema.
pub(crate) const SCHEMA: &str = "piton_move";
const TABLE: &str = "heartbeat";

/// What a mark says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    /// Grows within one mover; unknown ones are another mover's, and mean nothing.
    pub(crate) token: u64,
    /// The mover's clock when it wrote it, in microseconds since 1970.
    pub(crate) at_us: u64,
}

pub(crate) fn table() -> TableName {
    TableName::new(SCHEMA, TABLE)
}

pub(crate) async fn install(conn: &mut Conn, name: &str) -> Result<()> {
    let failed = || MoveError::server(Side::Source, "make the heartbeat table");
    conn.query_drop(format!("CREATE DATABASE IF NOT EXISTS {SCHEMA}")).await.map_err(failed())?;
    conn.query_drop(format!(
        "CREATE TABLE IF NOT EXISTS {SCHEMA}.{TABLE} (name VARBINARY(64) PRIMARY KEY,
         token BIGINT UNSIGNED NOT NULL, at_us BIGINT UNSIGNED NOT NULL) ENGINE = InnoDB"
    ))
    .await
    .map_err(failed())?;
    conn.exec_drop(format!("INSERT IGNORE INTO {SCHEMA}.{TABLE} VALUES (?, 0, 0)"), (name,)).await.map_err(failed())
}

/// Commits a mark. When this returns, the mark is in the log.
pub(crate) async fn write(conn: &mut Conn, name: &str, mark: Mark) -> Result<()> {
    conn.exec_drop(
        format!("UPDATE {SCHEMA}.{TABLE} SET token = ?, at_us = ? WHERE name = ?"),
        (mark.token, mark.at_us, name),
    )
    .await
    .map_err(MoveError::server(Side::Source, "write a watermark"))
}

/// The mark in a row of the heartbeat table, if it is one of this move.
pub(crate) fn read(row: &Row, name: &str) -> Option<Mark> {
    let values: Vec<_> = row.values().map(|value| value.and_then(|bytes| std::str::from_utf8(bytes).ok())).collect();
    match values[..] {
        [Some(whose), Some(token), Some(at_us)] if whose == name => {
            Some(Mark { token: token.parse().ok()?, at_us: at_us.parse().ok()? })
        }
        _ => None,
    }
}
