//! Statements that write rows: DELETE by primary key, then plain INSERT.
//!
//! Each statement says how many rows it touched and how many warnings it gave; what is not expected halts (I8). A
//! duplicate key halts too: it means that an order was not kept, and REPLACE would hide it by deleting the other row.
//!
//! Owns the statements and their checks. Never begins or ends a transaction.

use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use crate::error::{MoveError, Result, Side};
use crate::keys;
use crate::row::{Row, write_value};
use crate::schema::{Column, Dialect, Kind, Table};

/// The server's code for a duplicate key.
const DUPLICATE: u16 = 1062;
/// TiDB's: transaction too large, entry too large, memory quota exceeded.
const TOO_LARGE: [u16; 3] = [8004, 8025, 8175];

/// Deletes the rows that have these keys, as far as there are any.
pub(crate) async fn delete<'a>(conn: &mut Conn, table: &Table, keys: impl Iterator<Item = &'a Row>) -> Result<()> {
    let mut keys = keys.peekable();
    while keys.peek().is_some() {
        let mut sql = format!("DELETE FROM {}", table.name.quoted()).into_bytes();
        keys::among(&mut sql, table, &mut keys);
        run(conn, table, sql, None, 0).await?;
    }
    Ok(())
}

/// Inserts rows, as many in a statement as fit.
pub(crate) async fn insert<'a>(
    conn: &mut Conn,
    table: &Table,
    rows: impl Iterator<Item = &'a Row>,
    statement_bytes: usize,
) -> Result<()> {
    let columns: Vec<_> = table.columns().collect();
    let head = format!("INSERT INTO {} ({}) VALUES ", table.name.quoted(), table.insert_list()).into_bytes();
    let mut sql = head.clone();
    let (mut count, mut expected) = (0_u64, 0_u64);
    for row in rows {
        if count > 0 && sql.len() + row.len() > statement_bytes {
            let full = std::mem::replace(&mut sql, head.clone());
            run(conn, table, full, Some(count), expected).await?;
            (count, expected) = (0, 0);
        }
        sql.extend_from_slice(if count > 0 { b",(" } else { b"(" });
        for (place, (column, value)) in columns.iter().zip(row.values()).enumerate() {
            if place > 0 {
                sql.push(b',');
            }
            // The empty error value of an ENUM is stored, and warned about, each time.
            expected += u64::from(column.kind == Kind::Enum && value == Some(b"0"));
            write_value(&mut sql, column, value);
        }
        sql.push(b')');
        count += 1;
    }
    if count > 0 {
        run(conn, table, sql, Some(count), expected).await?;
    }
    Ok(())
}

/// TiDB's code for what has no other.
const REMARK: u16 = 1105;
/// The server counts warnings in two bytes.
const MOST_WARNINGS: u64 = 65_535;

async fn run(conn: &mut Conn, table: &Table, sql: Vec<u8>, rows: Option<u64>, warnings: u64) -> Result<()> {
    match conn.query_drop(sql).await {
        Err(mysql_async::Error::Server(error)) if error.code == DUPLICATE => {
            return Err(MoveError::halt(
                format!("{}: {}", table.name, error.message),
                "somebody else wrote to the target, or its unique keys are stricter than the source's; \
                 make both alike and begin the move of this table anew",
            ));
        }
        // Class 22 is "data exception".
        Err(mysql_async::Error::Server(error)) if error.state.starts_with("22") => {
            return Err(MoveError::halt(
                format!("{} does not take a value of the source: {}", table.name, error.message),
                "make the target's column hold what the source's holds",
            ));
        }
        // Class 23 is "integrity constraint violation"; TiDB has codes of its own for what is too large.
        Err(mysql_async::Error::Server(error)) if error.state.starts_with("23") => {
            return Err(MoveError::halt(
                format!("{} does not take a row of the source: {}", table.name, error.message),
                "drop the constraint on the target, or mend the rows on the source, and begin the move anew",
            ));
        }
        Err(mysql_async::Error::Server(error)) if TOO_LARGE.contains(&error.code) => {
            return Err(MoveError::halt(
                format!("{} does not take a row or a transaction: {}", table.name, error.message),
                "raise the target's limit (tidb_txn_entry_size_limit, txn-total-size-limit, tidb_mem_quota_query), or \
                 lower the move's split_bytes, and start the move again",
            ));
        }
        outcome => outcome.map_err(MoveError::server(Side::Target, "write rows"))?,
    }
    let found = u64::from(conn.get_warnings());
    if found != warnings.min(MOST_WARNINGS) {
        let affected = conn.affected_rows();
        let mut said: Vec<(String, u16, String)> =
            conn.query("SHOW WARNINGS").await.map_err(MoveError::server(Side::Target, "read its warnings"))?;
        let all = said.len();
        said.retain(|(_, code, text)| !is_beside(table, *code, text));
        let found = found.saturating_sub((all - said.len()) as u64);
        if found != warnings.min(MOST_WARNINGS) {
            said.truncate(3);
            return Err(MoveError::halt(
                format!("{}: the target warned {found} times, {warnings} were expected: {said:?}", table.name),
                "find out what the target changed in the values; nothing of this transaction was kept",
            ));
        }
        return inserted(table, rows, affected);
    }
    inserted(table, rows, conn.affected_rows())
}

/// Whether a warning says nothing of a value that is moved: TiDB's optimizer speaks of a table, or a server has rounded what it
/// computes for a generated column.
fn is_beside(table: &Table, code: u16, text: &str) -> bool {
    let computed =
        |column: &Column| column.generated && text.contains(&format!(" for column '{}' at row", column.name));
    (table.dialect == Dialect::TiDb && code == REMARK) || table.all.iter().any(computed)
}

fn inserted(table: &Table, rows: Option<u64>, affected: u64) -> Result<()> {
    match rows {
        Some(rows) if affected != rows => Err(MoveError::halt(
            format!("{}: {affected} of {rows} rows were inserted", table.name),
            "look for a trigger on the target's table",
        )),
        _ => Ok(()),
    }
}
