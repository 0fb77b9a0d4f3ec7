//! Comparing both sides while they change.
//!
//! Chunk by chunk, each server sums up its own rows; only where the sums differ are rows fetched and told apart. A
//! row that differs may only be on its way: it is looked at again after the log has passed the place where the source
//! was. What then still differs in the same way is a difference.
//!
//! Owns that comparison. Never repairs anything.

use std::collections::{BTreeMap, BTreeSet};

use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use tokio::sync::watch;

use crate::config::{Config, TableName};
use crate::error::{MoveError, Result, Side};
use crate::keys;
use crate::position::Position;
use crate::row::{Row, named, taken};
use crate::schema::{Kind, Table};

/// How often a row may change while it is looked at, before its table counts as too busy to verify now.
const MOST_LOOKS: usize = 50;
/// Differences that are kept; there may be as many as rows.
const MOST_DIFFERENCES: usize = 1000;

/// A row that is not the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    pub table: TableName,
    /// For people.
    pub key: String,
    /// The row on each side, if there is one.
    pub source: Option<String>,
    pub target: Option<String>,
}

/// What a comparison found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verified {
    pub tables: u64,
    pub rows: u64,
    pub chunks: u64,
    /// Rows that were looked at again, most of them because they changed meanwhile.
    pub rechecked: u64,
    /// At most a thousand.
    pub differences: Vec<Difference>,
}

pub(crate) async fn verify(config: &Config, tables: &[Table], applied: watch::Receiver<Position>) -> Result<Verified> {
    let mut verifier = Verifier {
        source: crate::session::open(Side::Source, &config.source).await?,
        target: crate::session::open(Side::Target, &config.target).await?,
        chunk_rows: config.limits.chunk_rows,
        applied,
        found: Verified::default(),
    };
    for table in tables {
        verifier.table(table).await?;
        verifier.found.tables += 1;
    }
    Ok(verifier.found)
}

struct Verifier {
    source: Conn,
    target: Conn,
    chunk_rows: usize,
    applied: watch::Receiver<Position>,
    found: Verified,
}

type Rows = BTreeMap<Row, Row>;

impl Verifier {
    async fn table(&mut self, table: &Table) -> Result<()> {
        let mut lower: Option<Row> = None;
        loop {
            let upper = self.upper(table, lower.as_ref()).await?;
            self.chunk(table, lower.as_ref(), upper.as_ref()).await?;
            self.found.chunks += 1;
            if upper.is_none() {
                return Ok(());
            }
            lower = upper;
        }
    }

    /// The last key of a chunk; `None` when the rest of the table is smaller.
    async fn upper(&mut self, table: &Table, lower: Option<&Row>) -> Result<Option<Row>> {
        let mut sql = keys::select(table, &table.select_keys(), lower, None, Some(1));
        sql.extend_from_slice(format!(" OFFSET {}", self.chunk_rows - 1).as_bytes());
        let row = self.source.query_first(sql).await.map_err(MoveError::server(Side::Source, "find a chunk's end"))?;
        Ok(row.map(taken))
    }

    async fn chunk(&mut self, table: &Table, lower: Option<&Row>, upper: Option<&Row>) -> Result<()> {
        let mut sql = format!("SELECT COUNT(*), {} FROM {}", sum(table), table.name.quoted()).into_bytes();
        keys::range(&mut sql, table, lower, upper);
        let (ours, theirs) = tokio::join!(
            self.source.query_first::<(u64, u64), _>(sql.clone()),
            self.target.query_first::<(u64, u64), _>(sql)
        );
        let ours = ours.map_err(MoveError::server(Side::Source, "sum up a chunk"))?;
        let theirs = theirs.map_err(MoveError::server(Side::Target, "sum up a chunk"))?;
        self.found.rows += ours.map_or(0, |(rows, _)| rows);
        if ours == theirs {
            return Ok(());
        }
        let sql = keys::select(table, &table.select_list(), lower, upper, None);
        let (ours, theirs) = self.rows(table, sql).await?;
        self.again(table, &ours, &theirs).await
    }

    async fn rows(&mut self, table: &Table, sql: Vec<u8>) -> Result<(Rows, Rows)> {
        let (ours, theirs) = tokio::join!(
            self.source.query::<mysql_async::Row, _>(sql.clone()),
            self.target.query::<mysql_async::Row, _>(sql)
        );
        let ours = ours.map_err(MoveError::server(Side::Source, "read a chunk to compare"))?;
        let theirs = theirs.map_err(MoveError::server(Side::Target, "read a chunk to compare"))?;
        let by_key = |rows: Vec<mysql_async::Row>| {
            rows.into_iter().map(taken).map(|row| (row.pick(table.key()), row)).collect::<Rows>()
        };
        Ok((by_key(ours), by_key(theirs)))
    }

    /// Looks at rows that differ until they are equal, or differ in the same way after the log has passed.
    async fn again(&mut self, table: &Table, ours: &Rows, theirs: &Rows) -> Result<()> {
        let mut open = differing(ours, theirs);
        let mut looks = 0;
        while !open.is_empty() {
            looks += 1;
            if looks > MOST_LOOKS {
                return Err(MoveError::halt(
                    format!("{} rows of {} change faster than they can be compared", open.len(), table.name),
                    "verify again when fewer of them change",
                ));
            }
            let position = crate::session::position(&mut self.source).await?;
            self.applied.wait_for(|applied| *applied >= position).await.map_err(|_| MoveError::Ended)?;
            self.found.rechecked += open.len() as u64;
            let keys: Vec<Row> = open.keys().cloned().collect();
            let (mut ours, mut theirs) = (Rows::new(), Rows::new());
            let mut left = keys.iter().peekable();
            while left.peek().is_some() {
                let mut sql = format!("SELECT {} FROM {}", table.select_list(), table.name.quoted()).into_bytes();
                keys::among(&mut sql, table, &mut left);
                let (some, others) = self.rows(table, sql).await?;
                ours.extend(some);
                theirs.extend(others);
            }
            let mut now = differing(&ours, &theirs);
            now.retain(|key, pair| {
                let stays = open.get(key) == Some(pair);
                if stays {
                    self.found.add(table, key, pair);
                }
                !stays
            });
            open = now;
        }
        Ok(())
    }
}

impl Verified {
    /// Whether both sides hold the same.
    #[must_use]
    pub fn is_equal(&self) -> bool {
        self.differences.is_empty()
    }

    fn add(&mut self, table: &Table, key: &Row, (ours, theirs): &Pair) {
        if self.differences.len() < MOST_DIFFERENCES {
            self.differences.push(Difference {
                table: table.name.clone(),
                key: key.shown(),
                source: ours.as_ref().map(Row::shown),
                target: theirs.as_ref().map(Row::shown),
            });
        }
    }
}

/// The row on either side.
type Pair = (Option<Row>, Option<Row>);

fn differing(ours: &Rows, theirs: &Rows) -> BTreeMap<Row, Pair> {
    let keys: BTreeSet<&Row> = ours.keys().chain(theirs.keys()).collect();
    let pair = |key: &Row| (ours.get(key).cloned(), theirs.get(key).cloned());
    keys.into_iter().map(|key| (key.clone(), pair(key))).filter(|(_, (one, other))| one != other).collect()
}

/// 64 bits for the rows of a chunk, whatever their order. Values stand with their lengths, so that no two rows read
/// alike; long ones by their digests, as a server cuts what grows beyond a packet to NULL.
fn sum(table: &Table) -> String {
    let value = |column: &crate::schema::Column| {
        let name = named(&column.name);
        let text = match column.kind {
            Kind::Float => format!("CAST({name} AS DOUBLE)"),
            Kind::Enum | Kind::Set => format!("CAST({name} AS UNSIGNED)"),
            Kind::Text | Kind::Blob | Kind::Json | Kind::Geometry => format!("MD5({name})"),
            _ => name,
        };
        format!("IFNULL(LENGTH({text}), 'N'), ':', IFNULL(CAST({text} AS CHAR CHARACTER SET binary), '')")
    };
    let values = table.columns().map(value).collect::<Vec<_>>().join(", ");
    format!("CAST(IFNULL(BIT_XOR(CAST(CONV(LEFT(MD5(CONCAT({values})), 16), 16, 10) AS UNSIGNED)), 0) AS UNSIGNED)")
}
