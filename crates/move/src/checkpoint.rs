//! What is done, written on the target in the same transactions as the rows it speaks of (I2).
//!
//! `lanes`: one row for each connection that writes rows, with the generation of the mover that may, and the position
//! up to which everything of that lane is applied. A transaction begins by writing its row `WHERE generation = ?`: a
//! mover that was replaced finds no row and stops. `chunks`: what has been copied. `moves`: how the move began.
//!
//! Owns these three tables and their statements. Never decides what a lane applies.

use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use crate::config::{Config, TableName};
use crate::error::{MoveError, Result, Side};
use crate::position::Position;
use crate::row::Row;
use crate::source::heartbeat::SCHEMA;

pub(crate) const LANES: &str = "lanes";

/// What a mover finds on the target, once it is the only one.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub(crate) generation: u64,
    /// How many lanes apply, as recorded when the move began: which lane a transaction belongs to depends on it.
    pub(crate) lanes: u32,
    pub(crate) identity: String,
    /// Where each applying lane is.
    pub(crate) positions: Vec<Position>,
    pub(crate) chunks: Vec<Chunk>,
}

/// A range of keys of one table: above `lower`, up to and with `upper`; without them, from the beginning and to the
/// end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chunk {
    pub(crate) table: TableName,
    /// Grows with the keys within a table.
    pub(crate) number: u64,
    pub(crate) lower: Option<Row>,
    pub(crate) upper: Option<Row>,
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
}

fn failed(doing: &'static str) -> impl FnOnce(mysql_async::Error) -> MoveError {
    MoveError::server(Side::Target, doing)
}

/// Makes the tables and, when this move is new, its rows.
pub(crate) async fn install(conn: &mut Conn, config: &Config, identity: &str, start: &Position) -> Result<()> {
    // Binary, as everything our sessions send: an index serves only comparisons in its own collation.
    let name = "name VARBINARY(64) NOT NULL";
    let place = "log_file VARCHAR(255) NOT NULL, log_offset BIGINT UNSIGNED NOT NULL";
    let tables = [
        format!("CREATE DATABASE IF NOT EXISTS {SCHEMA}"),
        format!(
            "CREATE TABLE IF NOT EXISTS {SCHEMA}.moves ({name}, lanes INT UNSIGNED NOT NULL,
             identity VARCHAR(255) NOT NULL, {place}, PRIMARY KEY (name))"
        ),
        format!(
            "CREATE TABLE IF NOT EXISTS {SCHEMA}.{LANES} ({name}, lane INT UNSIGNED NOT NULL,
             generation BIGINT UNSIGNED NOT NULL, {place},
             beat BIGINT UNSIGNED NOT NULL, PRIMARY KEY (name, lane))"
        ),
        format!(
            "CREATE TABLE IF NOT EXISTS {SCHEMA}.chunks ({name},
             table_schema VARBINARY(256) NOT NULL,
             table_name VARBINARY(256) NOT NULL,
             number BIGINT UNSIGNED NOT NULL, above BLOB, upto BLOB, row_count BIGINT UNSIGNED NOT NULL,
             byte_count BIGINT UNSIGNED NOT NULL, PRIMARY KEY (name, table_schema, table_name, number))"
        ),
    ];
    for table in tables {
        conn.query_drop(table).await.map_err(failed("make the checkpoint tables"))?;
    }
    conn.query_drop("BEGIN").await.map_err(failed("record the move"))?;
    conn.exec_drop(
        format!("INSERT IGNORE INTO {SCHEMA}.moves VALUES (?, ?, ?, ?, ?)"),
        (&config.name, config.limits.lanes, identity, &start.file, start.offset),
    )
    .await
    .map_err(failed("record the move"))?;
    if conn.affected_rows() == 1 {
        // The copying lanes' rows stand above those of the applying ones.
        for lane in 0..config.limits.lanes {
            conn.exec_drop(
                format!("INSERT INTO {SCHEMA}.{LANES} VALUES (?, ?, 0, ?, ?, 0)"),
                (&config.name, lane, &start.file, start.offset),
            )
            .await
            .map_err(failed("record a lane"))?;
        }
    }
    conn.query_drop("COMMIT").await.map_err(failed("record the move"))
}

/// Raises the generation, which waits for the transactions of a mover that died, and reads what is done.
pub(crate) async fn take_over(conn: &mut Conn, config: &Config) -> Result<Found> {
    let name = &config.name;
    conn.query_drop("BEGIN").await.map_err(failed("take over"))?;
    let about: Option<(u32, String)> = conn
        .exec_first(format!("SELECT lanes, identity FROM {SCHEMA}.moves WHERE name = ? FOR UPDATE"), (name,))
        .await
        .map_err(failed("read the move"))?;
    let (lanes, identity) = about.ok_or(MoveError::Ended)?;
    for copier in 0..config.limits.copiers {
        conn.exec_drop(
            format!("INSERT IGNORE INTO {SCHEMA}.{LANES} VALUES (?, ?, 0, '', 0, 0)"),
            (name, lanes + copier),
        )
        .await
        .map_err(failed("record a lane"))?;
    }
    conn.exec_drop(format!("UPDATE {SCHEMA}.{LANES} SET generation = generation + 1 WHERE name = ?"), (name,))
        .await
        .map_err(failed("raise the generation"))?;
    // Lanes that are new have a lower one: all get the highest.
    let generation: Option<u64> = conn
        .exec_first(format!("SELECT MAX(generation) FROM {SCHEMA}.{LANES} WHERE name = ?"), (name,))
        .await
        .map_err(failed("read the generation"))?;
    let generation = generation.unwrap_or(1);
    conn.exec_drop(format!("UPDATE {SCHEMA}.{LANES} SET generation = ? WHERE name = ?"), (generation, name))
        .await
        .map_err(failed("raise the generation"))?;
    conn.query_drop("COMMIT").await.map_err(failed("take over"))?;
    let positions: Vec<(String, u64)> = conn
        .exec(
            format!("SELECT log_file, log_offset FROM {SCHEMA}.{LANES} WHERE name = ? AND lane < ? ORDER BY lane"),
            (name, lanes),
        )
        .await
        .map_err(failed("read the checkpoints"))?;
    let positions = positions.into_iter().map(|(file, offset)| Position { file, offset }).collect();
    Ok(Found { generation, lanes, identity, positions, chunks: chunks(conn, name).await? })
}

type Stored = (String, String, u64, Option<Vec<u8>>, Option<Vec<u8>>, u64, u64);

async fn chunks(conn: &mut Conn, name: &str) -> Result<Vec<Chunk>> {
    let stored: Vec<Stored> = conn
        .exec(
            format!(
                "SELECT table_schema, table_name, number, above, upto, row_count, byte_count FROM {SCHEMA}.chunks
                 WHERE name = ? ORDER BY table_schema, table_name, number"
            ),
            (name,),
        )
        .await
        .map_err(failed("read what is copied"))?;
    let chunk = |(schema, table, number, lower, upper, rows, bytes): Stored| Chunk {
        table: TableName::new(schema, table),
        number,
        lower: lower.map(Row::from_bytes),
        upper: upper.map(Row::from_bytes),
        rows,
        bytes,
    };
    Ok(stored.into_iter().map(chunk).collect())
}

/// The right of one lane to write, of one mover.
#[derive(Debug, Clone)]
pub(crate) struct Right {
    pub(crate) name: String,
    pub(crate) lane: u32,
    pub(crate) generation: u64,
}

impl Right {
    /// The first statement of a transaction: everything of this lane up to `position` is applied when it commits.
    pub(crate) async fn advance(&self, conn: &mut Conn, position: &Position) -> Result<()> {
        conn.exec_drop(
            format!(
                "UPDATE {SCHEMA}.{LANES} SET log_file = ?, log_offset = ?, beat = beat + 1
                 WHERE name = ? AND lane = ? AND generation = ?"
            ),
            (&position.file, position.offset, &self.name, self.lane, self.generation),
        )
        .await
        .map_err(failed("write a checkpoint"))?;
        self.held(conn)
    }

    /// The same for a transaction whose end is not known yet, and for chunks, which have no place of their own.
    pub(crate) async fn hold(&self, conn: &mut Conn) -> Result<()> {
        conn.exec_drop(
            format!("UPDATE {SCHEMA}.{LANES} SET beat = beat + 1 WHERE name = ? AND lane = ? AND generation = ?"),
            (&self.name, self.lane, self.generation),
        )
        .await
        .map_err(failed("write a checkpoint"))?;
        self.held(conn)
    }

    fn held(&self, conn: &Conn) -> Result<()> {
        if conn.affected_rows() == 1 {
            return Ok(());
        }
        Err(MoveError::Fenced { lane: self.lane, generation: self.generation })
    }

    pub(crate) async fn copied(&self, conn: &mut Conn, chunk: &Chunk) -> Result<()> {
        let bytes = |row: &Option<Row>| row.as_ref().map(|row| row.bytes().to_vec());
        conn.exec_drop(
            format!("INSERT INTO {SCHEMA}.chunks VALUES (?, ?, ?, ?, ?, ?, ?, ?)"),
            (
                &self.name,
                &chunk.table.schema,
                &chunk.table.name,
                chunk.number,
                bytes(&chunk.lower),
                bytes(&chunk.upper),
                chunk.rows,
                chunk.bytes,
            ),
        )
        .await
        .map_err(failed("record a chunk"))
    }
}

/// Whether a move of this name has begun.
pub(crate) async fn exists(conn: &mut Conn, config: &Config) -> Result<bool> {
    let table: Option<u8> = conn
        .exec_first(
            "select 1 from information_schema.tables where table_schema = ? and table_name = 'moves'",
            (SCHEMA,),
        )
        .await
        .map_err(failed("look for the move"))?;
    if table.is_none() {
        return Ok(false);
    }
    let row: Option<u8> = conn
        .exec_first(format!("SELECT 1 FROM {SCHEMA}.moves WHERE name = ?"), (&config.name,))
        .await
        .map_err(failed("look for the move"))?;
    Ok(row.is_some())
}
