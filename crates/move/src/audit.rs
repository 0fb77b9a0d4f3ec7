//! An audit that shares no code with the mover: it streams every row of both sides in the binary protocol and
//! compares the values as they arrive. Both sides must be quiet.
//!
//! Owns its own connections and statements. Never uses what [`crate::verify`] uses.

use mysql_async::prelude::Queryable;
use mysql_async::{BinaryProtocol, Conn, Opts, QueryResult, Row};

use crate::config::TableName;
use crate::error::{MoveError, Side};

/// What an audit of one table found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audited {
    pub table: TableName,
    /// On the source.
    pub rows: u64,
    /// The first row that is not the same, as each side has it.
    pub difference: Option<String>,
}

/// Compares tables row by row in the order of their primary keys.
///
/// # Errors
/// When a server cannot be reached or read.
pub async fn audit(source: &str, target: &str, tables: &[TableName]) -> Result<Vec<Audited>, MoveError> {
    let mut source = open(Side::Source, source).await?;
    let mut target = open(Side::Target, target).await?;
    let mut audited = Vec::with_capacity(tables.len());
    for table in tables {
        let select = statement(&mut source, table).await?;
        audited.push(compare(&mut source, &mut target, table, &select).await?);
    }
    Ok(audited)
}

async fn open(side: Side, url: &str) -> Result<Conn, MoveError> {
    let opts = Opts::from_url(url).map_err(|source| MoveError::Address { side, source })?;
    let mut conn = Conn::new(opts).await.map_err(MoveError::server(side, "connect"))?;
    conn.query_drop("SET time_zone = '+00:00', character_set_results = NULL")
        .await
        .map_err(MoveError::server(side, "set up a session"))?;
    Ok(conn)
}

async fn statement(conn: &mut Conn, table: &TableName) -> Result<String, MoveError> {
    let columns: Vec<(String, String)> = conn
        .exec(
            "select column_name, column_key from information_schema.columns
             where table_schema = ? and table_name = ? order by ordinal_position",
            (&table.schema, &table.name),
        )
        .await
        .map_err(MoveError::server(Side::Source, "read a table's columns"))?;
    let quoted = |name: &str| format!("`{}`", name.replace('`', "``"));
    let all = columns.iter().map(|(name, _)| quoted(name)).collect::<Vec<_>>().join(", ");
    let key: Vec<_> = columns.iter().filter(|(_, key)| key == "PRI").map(|(name, _)| quoted(name)).collect();
    Ok(format!("SELECT {all} FROM {}.{} ORDER BY {}", quoted(&table.schema), quoted(&table.name), key.join(", ")))
}

async fn compare(source: &mut Conn, target: &mut Conn, table: &TableName, select: &str) -> Result<Audited, MoveError> {
    let mut ours: QueryResult<'_, '_, BinaryProtocol> =
        source.exec_iter(select, ()).await.map_err(MoveError::server(Side::Source, "read a table"))?;
    let mut theirs: QueryResult<'_, '_, BinaryProtocol> =
        target.exec_iter(select, ()).await.map_err(MoveError::server(Side::Target, "read a table"))?;
    let mut audited = Audited { table: table.clone(), rows: 0, difference: None };
    loop {
        let one = shown(ours.next().await.map_err(MoveError::server(Side::Source, "read a table"))?);
        let other = shown(theirs.next().await.map_err(MoveError::server(Side::Target, "read a table"))?);
        if one.is_none() && other.is_none() {
            return Ok(audited);
        }
        audited.rows += u64::from(one.is_some());
        if one != other && audited.difference.is_none() {
            let side = |row: Option<String>| row.unwrap_or_else(|| "no row".to_owned());
            audited.difference = Some(format!("{} / {}", side(one), side(other)));
        }
    }
}

/// Tells every two values apart, also 0.0 from -0.0 and NULL from ''.
fn shown(row: Option<Row>) -> Option<String> {
    row.map(|row| format!("{:?}", row.unwrap_raw()))
}
