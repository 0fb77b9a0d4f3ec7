//! What is done, written on the target in the same transactions as the rows it speaks of (I2).
//!
//! `lanes`: one row for each connection that writes rows, with the generation of the mover that may, and the position
//! up to which everything of that lane is applied. A transaction begins by writing its row `WHERE generation = ?`: a
//! mover that was replaced finds no row and stops. `chunks`: what has been copied. `moves`: how the move began.
//! `defects`: rows that differed and were repaired.
//!
//! Owns these tables and their statements. Never decides what a lane applies.

use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use crate::config::{Config, TableName};
use crate::error::{MoveError, Result, Side};
use crate::position::Position;
use crate::row::Row;
use crate::source::heartbeat::SCHEMA;
use crate::verify::Difference;

pub(crate) const LANES: &str = "lanes";
/// What a server says of a table that it has not.
const NO_TABLE: u16 = 1146;

/// What a mover finds on the target, once it is the only one.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub(crate) generation: u64,
    /// How many lanes apply, as recorded when the move began: which lane a transaction belongs to depends on it.
    pub(crate) lanes: u32,
    pub(crate) identity: String,
    /// Where each applying lane is.
    pub(crate) positions: Vec<Position>,
    /// How many changes of the transaction after that are on the target already, because it was committed in several.
    pub(crate) partial: Vec<u64>,
    /// A feed that follows only: both sides were equal when it began.
    pub(crate) armed: bool,
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

/// Makes the tables.
pub(crate) async fn install(conn: &mut Conn) -> Result<()> {
    // Binary, as everything our sessions send: an index serves only comparisons in its own collation.
    let name = "name VARBINARY(64) NOT NULL";
    let place = "log_file VARCHAR(255) NOT NULL, log_offset BIGINT UNSIGNED NOT NULL";
    let tables = [
        format!("CREATE DATABASE IF NOT EXISTS {SCHEMA}"),
        format!(
            "CREATE TABLE IF NOT EXISTS {SCHEMA}.moves ({name}, lanes INT UNSIGNED NOT NULL,
             identity VARCHAR(255) NOT NULL, {place}, armed TINYINT NOT NULL, PRIMARY KEY (name))"
        ),
        format!(
            "CREATE TABLE IF NOT EXISTS {SCHEMA}.{LANES} ({name}, lane INT UNSIGNED NOT NULL,
             generation BIGINT UNSIGNED NOT NULL, epoch BIGINT UNSIGNED NOT NULL, {place},
             done BIGINT UNSIGNED NOT NULL, beat BIGINT UNSIGNED NOT NULL, PRIMARY KEY (name, lane))"
        ),
        format!(
            "CREATE TABLE IF NOT EXISTS {SCHEMA}.chunks ({name},
             table_schema VARBINARY(256) NOT NULL,
             table_name VARBINARY(256) NOT NULL,
             number BIGINT UNSIGNED NOT NULL, above BLOB, upto BLOB, row_count BIGINT UNSIGNED NOT NULL,
             byte_count BIGINT UNSIGNED NOT NULL, PRIMARY KEY (name, table_schema, table_name, number))"
        ),
        format!(
            "CREATE TABLE IF NOT EXISTS {SCHEMA}.defects (id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT, {name},
             table_schema VARBINARY(256) NOT NULL, table_name VARBINARY(256) NOT NULL, row_key BLOB NOT NULL,
             source_row BLOB, target_row BLOB, repaired TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
             PRIMARY KEY (id))"
        ),
    ];
    for table in tables {
        conn.query_drop(table).await.map_err(failed("make the checkpoint tables"))?;
    }
    Ok(())
}

/// Records a move that is new, from `start` on. `armed`: nothing is to be copied, as both sides are equal at `start`; so
/// what an earlier feed of this name had come to, of an attempt that was aborted or of an epoch that is over, counts no
/// more. It may have followed the same server in another life, from whose log nobody could go on.
pub(crate) async fn record(
    conn: &mut Conn,
    config: &Config,
    identity: &str,
    start: &Position,
    armed: bool,
) -> Result<()> {
    conn.query_drop("BEGIN").await.map_err(failed("record the move"))?;
    conn.exec_drop(
        format!("INSERT IGNORE INTO {SCHEMA}.moves VALUES (?, ?, ?, ?, ?, ?)"),
        (&config.name, config.limits.lanes, identity, &start.file, start.offset, armed),
    )
    .await
    .map_err(failed("record the move"))?;
    let is_new = conn.affected_rows() == 1;
    if is_new {
        // The copying lanes' rows stand above those of the applying ones.
        let lanes: Vec<u32> = (0..config.limits.lanes).collect();
        insert_lanes(conn, config, &lanes, start).await?;
    }
    if armed && !is_new {
        begin_anew(conn, config, identity, start).await?;
    }
    conn.query_drop("COMMIT").await.map_err(failed("record the move"))
}

async fn begin_anew(conn: &mut Conn, config: &Config, identity: &str, start: &Position) -> Result<()> {
    let Config { name, epoch, limits, .. } = config;
    let later: Option<u64> = conn
        .exec_first(format!("SELECT MAX(epoch) FROM {SCHEMA}.{LANES} WHERE name = ? FOR UPDATE"), (name,))
        .await
        .map_err(failed("read the epoch"))?;
    if later > Some(*epoch) {
        // Whoever takes it over hears so.
        return Ok(());
    }
    conn.exec_drop(
        format!(
            "UPDATE {SCHEMA}.moves SET lanes = ?, identity = ?, log_file = ?, log_offset = ?, armed = 1 WHERE name = ?"
        ),
        (limits.lanes, identity, &start.file, start.offset, name),
    )
    .await
    .map_err(failed("record the move"))?;
    conn.exec_drop(
        format!("UPDATE {SCHEMA}.{LANES} SET log_file = ?, log_offset = ?, done = 0 WHERE name = ?"),
        (&start.file, start.offset, name),
    )
    .await
    .map_err(failed("record the lanes"))?;
    let lanes: Vec<u32> = (0..limits.lanes).collect();
    insert_lanes(conn, config, &lanes, start).await
}

/// Raises the generation, which waits for the transactions of a mover that died, and reads what is done.
pub(crate) async fn take_over(conn: &mut Conn, config: &Config) -> Result<Found> {
    let name = &config.name;
    conn.query_drop("BEGIN").await.map_err(failed("take over"))?;
    let about: Option<(u32, String, bool)> = conn
        .exec_first(format!("SELECT lanes, identity, armed FROM {SCHEMA}.moves WHERE name = ? FOR UPDATE"), (name,))
        .await
        .map_err(failed("read the move"))?;
    let (lanes, identity, armed) = about.ok_or(MoveError::Ended)?;
    let epoch: Option<u64> = conn
        .exec_first(format!("SELECT MAX(epoch) FROM {SCHEMA}.{LANES} WHERE name = ?"), (name,))
        .await
        .map_err(failed("read the epoch"))?;
    if let Some(found) = epoch.filter(|epoch| *epoch > config.epoch) {
        conn.query_drop("ROLLBACK").await.map_err(failed("take over"))?;
        return Err(MoveError::Retired { ours: config.epoch, found });
    }
    let copiers: Vec<u32> = (lanes..lanes + config.limits.copiers).collect();
    insert_lanes(conn, config, &copiers, &Position::default()).await?;
    conn.exec_drop(
        format!("UPDATE {SCHEMA}.{LANES} SET generation = generation + 1, epoch = ? WHERE name = ?"),
        (config.epoch, name),
    )
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
    let places: Vec<(String, u64, u64)> = conn
        .exec(
            format!(
                "SELECT log_file, log_offset, done FROM {SCHEMA}.{LANES} WHERE name = ? AND lane < ? ORDER BY lane"
            ),
            (name, lanes),
        )
        .await
        .map_err(failed("read the checkpoints"))?;
    let partial = places.iter().map(|(.., done)| *done).collect();
    let positions = places.into_iter().map(|(file, offset, _)| Position { file, offset }).collect();
    Ok(Found { generation, lanes, identity, positions, partial, armed, chunks: chunks(conn, name).await? })
}

/// Adds rows for lanes that have none.
async fn insert_lanes(conn: &mut Conn, config: &Config, lanes: &[u32], start: &Position) -> Result<()> {
    for lane in lanes {
        conn.exec_drop(
            format!("INSERT IGNORE INTO {SCHEMA}.{LANES} VALUES (?, ?, 0, ?, ?, ?, 0, 0)"),
            (&config.name, lane, config.epoch, &start.file, start.offset),
        )
        .await
        .map_err(failed("record a lane"))?;
    }
    Ok(())
}

/// Gives the target to another epoch: from here on no mover of an older one commits. Waits for transactions on their
/// way.
pub(crate) async fn retire(conn: &mut Conn, name: &str, epoch: u64) -> Result<()> {
    let sql =
        format!("UPDATE {SCHEMA}.{LANES} SET generation = generation + 1, epoch = ? WHERE name = ? AND epoch < ?");
    match conn.exec_drop(sql, (epoch, name, epoch)).await {
        // Nothing was ever fed to this server.
        Err(mysql_async::Error::Server(error)) if error.code == NO_TABLE => Ok(()),
        outcome => outcome.map_err(failed("retire the feed")),
    }
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
    pub(crate) epoch: u64,
}

impl Right {
    /// The first statement of a transaction: everything of this lane up to `position` is applied when it commits.
    pub(crate) async fn advance(&self, conn: &mut Conn, position: &Position) -> Result<()> {
        conn.exec_drop(
            format!(
                "UPDATE {SCHEMA}.{LANES} SET log_file = ?, log_offset = ?, done = 0, beat = beat + 1
                 WHERE name = ? AND lane = ? AND generation = ? AND epoch = ?"
            ),
            (&position.file, position.offset, &self.name, self.lane, self.generation, self.epoch),
        )
        .await
        .map_err(failed("write a checkpoint"))?;
        self.held(conn)
    }

    /// The same for a transaction whose end is not known yet, and for chunks, which have no place of their own.
    pub(crate) async fn hold(&self, conn: &mut Conn) -> Result<()> {
        conn.exec_drop(
            format!(
                "UPDATE {SCHEMA}.{LANES} SET beat = beat + 1
                 WHERE name = ? AND lane = ? AND generation = ? AND epoch = ?"
            ),
            (&self.name, self.lane, self.generation, self.epoch),
        )
        .await
        .map_err(failed("write a checkpoint"))?;
        self.held(conn)
    }

    /// So many changes of the transaction after the checkpoint are on the target when this commits.
    pub(crate) async fn partly(&self, conn: &mut Conn, done: u64) -> Result<()> {
        conn.exec_drop(
            format!(
                "UPDATE {SCHEMA}.{LANES} SET done = ?, beat = beat + 1
                 WHERE name = ? AND lane = ? AND generation = ? AND epoch = ?"
            ),
            (done, &self.name, self.lane, self.generation, self.epoch),
        )
        .await
        .map_err(failed("write a checkpoint"))?;
        self.held(conn)
    }

    /// Logs a row that differed, in the transaction that repairs it.
    pub(crate) async fn defect(&self, conn: &mut Conn, defect: &Difference) -> Result<()> {
        conn.exec_drop(
            format!(
                "INSERT INTO {SCHEMA}.defects (name, table_schema, table_name, row_key, source_row, target_row)
                 VALUES (?, ?, ?, ?, ?, ?)"
            ),
            (&self.name, &defect.table.schema, &defect.table.name, &defect.key, &defect.source, &defect.target),
        )
        .await
        .map_err(failed("log a defect"))
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
