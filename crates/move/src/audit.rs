//! An audit that shares no code with the mover: it streams every row of both sides in the binary protocol and
//! compares the values as they arrive. Both sides must be quiet.
//!
//! Owns its own connections and statements. Never uses what [`crate::verify`] uses; only what a URL means is shared.

use mysql_async::prelude::Queryable;
use mysql_async::{BinaryProtocol, Conn, QueryResult, Row, Value};

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

/// Compares tables row by row in the order of their primary keys. `at`: the target as it was at that timestamp of TiDB's.
///
/// # Errors
/// When a server cannot be reached or read; a halt when the target is no TiDB, or keeps that past no longer.
pub async fn audit(
    source: &str,
    target: &str,
    tables: &[TableName],
    at: Option<u64>,
) -> Result<Vec<Audited>, MoveError> {
    let mut source = open(Side::Source, source).await?;
    let mut target = open(Side::Target, target).await?;
    let tidb = agree(&mut source, &mut target).await?;
    if let Some(at) = at {
        look_back(&mut target, tidb, at).await?;
    }
    let mut audited = Vec::with_capacity(tables.len());
    for table in tables {
        audited.push(compare(&mut source, &mut target, table, tidb).await?);
    }
    Ok(audited)
}

async fn open(side: Side, url: &str) -> Result<Conn, MoveError> {
    let opts = crate::session::options(url).map_err(|source| MoveError::Address { side, source })?;
    let mut conn = Conn::new(opts).await.map_err(MoveError::server(side, "connect"))?;
    conn.query_drop("SET time_zone = '+00:00'").await.map_err(MoveError::server(side, "set up a session"))?;
    Ok(conn)
}

/// Sets how both send text: as it is stored where both store it alike; as UTF-8 where one is TiDB, which stores
/// latin1 so. Says whether one is.
async fn agree(source: &mut Conn, target: &mut Conn) -> Result<bool, MoveError> {
    let failed = || MoveError::server(Side::Target, "read its version");
    let version: Option<String> = target.query_first("SELECT VERSION()").await.map_err(failed())?;
    let tidb = version.is_some_and(|version| version.contains("TiDB"));
    let set = if tidb { "SET NAMES utf8mb4" } else { "SET character_set_results = NULL" };
    source.query_drop(set).await.map_err(MoveError::server(Side::Source, "set up a session"))?;
    target.query_drop(set).await.map_err(MoveError::server(Side::Target, "set up a session"))?;
    Ok(tidb)
}

/// Has the session read what was there at a timestamp.
async fn look_back(target: &mut Conn, tidb: bool, at: u64) -> Result<(), MoveError> {
    if !tidb {
        return Err(MoveError::halt(
            "only TiDB can be read as it was",
            "bring the old side up to date (piton move follow --epoch N), then audit that epoch",
        ));
    }
    let set = target.query_drop(format!("SET SESSION tidb_snapshot = '{at}'")).await;
    match set {
        Err(mysql_async::Error::Server(error)) => Err(MoveError::halt(
            format!("TiDB cannot be read as it was at the cut: {}", error.message),
            "audit sooner after the cut, or SET GLOBAL tidb_gc_life_time to longer before it",
        )),
        set => set.map_err(MoveError::server(Side::Target, "set up a session")),
    }
}

/// Name, role in a key, type, collation.
type Described = (String, String, String, Option<String>);

async fn columns(conn: &mut Conn, side: Side, table: &TableName) -> Result<Vec<Described>, MoveError> {
    conn.exec(
        "select column_name, column_key, cast(column_type as char), collation_name from information_schema.columns
         where table_schema = ? and table_name = ? order by ordinal_position",
        (&table.schema, &table.name),
    )
    .await
    .map_err(MoveError::server(side, "read a table's columns"))
}

/// All columns, in the order of the primary key. Where the sides would order text differently, by its bytes.
fn statement(table: &TableName, ours: &[Described], theirs: &[Described]) -> String {
    let quoted = |name: &str| format!("`{}`", name.replace('`', "``"));
    // Leading zeros are how a number is shown, not what it is, and not every server shows them.
    let column = |(name, _, kind, _): &Described| match kind.contains("decimal") && kind.contains("zerofill") {
        true => format!("{} + 0", quoted(name)),
        false => quoted(name),
    };
    let all = ours.iter().map(column).collect::<Vec<_>>().join(", ");
    let order = |(name, key, _, collation): &Described| {
        let other = theirs.iter().find(|(other, ..)| other == name).and_then(|(.., collation)| collation.as_deref());
        let alike = collation.as_deref() == other;
        let by = if alike { quoted(name) } else { format!("CAST(CONVERT({} USING utf8mb4) AS BINARY)", quoted(name)) };
        (key == "PRI").then_some(by)
    };
    let key = ours.iter().filter_map(order).collect::<Vec<_>>().join(", ");
    format!("SELECT {all} FROM {}.{} ORDER BY {key}", quoted(&table.schema), quoted(&table.name))
}

async fn compare(source: &mut Conn, target: &mut Conn, table: &TableName, tidb: bool) -> Result<Audited, MoveError> {
    let described = (columns(source, Side::Source, table).await?, columns(target, Side::Target, table).await?);
    let select = statement(table, &described.0, &described.1);
    let mut ours: QueryResult<'_, '_, BinaryProtocol> =
        source.exec_iter(select.as_str(), ()).await.map_err(MoveError::server(Side::Source, "read a table"))?;
    let mut theirs: QueryResult<'_, '_, BinaryProtocol> =
        target.exec_iter(select.as_str(), ()).await.map_err(MoveError::server(Side::Target, "read a table"))?;
    let mut audited = Audited { table: table.clone(), rows: 0, difference: None };
    loop {
        let one = ours.next().await.map_err(MoveError::server(Side::Source, "read a table"))?.map(Row::unwrap_raw);
        let other = theirs.next().await.map_err(MoveError::server(Side::Target, "read a table"))?.map(Row::unwrap_raw);
        if one.is_none() && other.is_none() {
            return Ok(audited);
        }
        audited.rows += u64::from(one.is_some());
        let same = match (&one, &other) {
            (Some(one), Some(other)) => {
                one.len() == other.len() && one.iter().zip(other).all(|(one, other)| is_same(one, other, tidb))
            }
            _ => false,
        };
        if !same && audited.difference.is_none() {
            audited.difference = Some(format!("{} / {}", shown(one.as_deref()), shown(other.as_deref())));
        }
    }
}

/// Tells every two values apart, also 0.0 from -0.0 where the target has both, and NULL from ''.
fn is_same(one: &Option<Value>, other: &Option<Value>, tidb: bool) -> bool {
    match (one, other) {
        (Some(Value::Float(one)), Some(Value::Float(other))) => {
            one.to_bits() == other.to_bits() || (tidb && one == other)
        }
        (Some(Value::Double(one)), Some(Value::Double(other))) => {
            one.to_bits() == other.to_bits() || (tidb && one == other)
        }
        // An unsigned number that fits arrives as either.
        (Some(Value::Int(one)), Some(Value::UInt(other))) | (Some(Value::UInt(other)), Some(Value::Int(one))) => {
            u64::try_from(*one).is_ok_and(|one| one == *other)
        }
        _ => one == other,
    }
}

fn shown(row: Option<&[Option<Value>]>) -> String {
    const LONGEST: usize = 200;
    match row {
        None => "no row".to_owned(),
        Some(values) => {
            let value = |value: &Option<Value>| value.as_ref().map_or("-".to_owned(), |value| value.as_sql(true));
            let all = values.iter().map(value).collect::<Vec<_>>().join(", ");
            all.chars().take(LONGEST).collect()
        }
    }
}
