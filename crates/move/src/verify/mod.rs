//! Comparing both sides while they change.
//!
//! Chunk by chunk, each server sums up its own rows; only where the sums differ are rows fetched and told apart. A
//! row that differs may only be on its way: it is looked at again after the log has passed the place where the source
//! was. What then still differs in the same way is a difference.
//!
//! Owns that comparison, and keeping it up: [`keep`] passes over every table once and then looks at what changes.
//! Never repairs anything.

pub(crate) mod dirty;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use tokio::sync::watch;

use self::dirty::{DirtyKeys, Taken};
use crate::config::{Config, TableName};
use crate::error::{MoveError, Result, Side};
use crate::keys;
use crate::position::Position;
use crate::progress::Progress;
use crate::row::{self, Row, taken};
use crate::schema::{Dialect, Kind, Table};

/// How often a row may change while it is looked at, before its table counts as too busy to verify now.
const MOST_LOOKS: usize = 50;
/// How often a chunk is summed up before its rows are read: one of its rows may have been on its way. Reading costs several sums.
const MOST_SUMS: usize = 3;
/// Differences that are kept; there may be as many as rows.
const MOST_DIFFERENCES: usize = 1000;
/// Dirty keys looked at together.
const BATCH: usize = 500;
/// How far the target may be behind while it is compared unasked.
const NEAR: Duration = Duration::from_secs(1);
/// Between two looks at dirty keys: bounds what a few rows that change all the time cost the source.
const PAUSE: Duration = Duration::from_millis(50);

/// A row that is not the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    pub table: TableName,
    /// For people.
    pub key: String,
    /// The row on each side, if there is one.
    pub source: Option<String>,
    pub target: Option<String>,
    /// Where both have the row: the columns that differ, each with both values.
    pub columns: Vec<String>,
    /// The place of the table and the exact key.
    pub(crate) at: (u32, Row),
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

pub(crate) struct Verifier {
    pub(crate) source: Conn,
    pub(crate) target: Conn,
    /// Each table as statements for the source and as those for the target name it.
    pub(crate) tables: Arc<Vec<(Table, Table)>>,
    pub(crate) applied: watch::Receiver<Position>,
    pub(crate) found: Verified,
    /// The last chunk differed however often it was summed up: the next one is read at once.
    pub(crate) changes_too_often: bool,
}

/// Where the chunks of a table end, on a session of its own: the next end is looked for while a chunk is summed up.
pub(crate) struct Ends {
    pub(crate) source: Conn,
    pub(crate) tables: Arc<Vec<(Table, Table)>>,
    pub(crate) chunk_rows: usize,
}

/// Keeps what is dirty small: passes over each table once, then looks at what has changed since, until the move ends.
///
/// Not while the target is far behind: every chunk would differ and wait for the stream, which needs the servers more.
pub(crate) async fn keep(
    mut verifier: Verifier,
    mut ends: Ends,
    dirty: Arc<DirtyKeys>,
    mut copied: watch::Receiver<bool>,
    mut progress: watch::Receiver<Progress>,
) -> Result<()> {
    copied.wait_for(|copied| *copied).await.map_err(|_| MoveError::Ended)?;
    loop {
        progress.wait_for(is_near).await.map_err(|_| MoveError::Ended)?;
        let alone = dirty.alone().await;
        if let Some(table) = dirty.unpassed() {
            verifier.found = Verified::default();
            dirty.begin_pass(table);
            // Whoever asks for a comparison of everything has this table compared, too.
            let Some(busy) = verifier.table(&mut ends, table, || dirty.is_asked()).await? else { continue };
            dirty.touch(table, busy.into_iter());
            std::mem::take(&mut verifier.found.differences).into_iter().for_each(|found| dirty.differs(found));
            dirty.end_pass(table);
            continue;
        }
        drop(alone);
        let batch = dirty.oldest(BATCH);
        if batch.is_empty() {
            dirty.changed().await;
            continue;
        }
        let full = batch.len() == BATCH;
        verifier.look(&dirty, batch).await?;
        if !full {
            tokio::time::sleep(PAUSE).await;
        }
    }
}

fn is_near(progress: &Progress) -> bool {
    progress.lag.is_some_and(|lag| lag <= NEAR)
}

type Rows = BTreeMap<Row, Row>;

impl Verifier {
    pub(crate) async fn open(
        config: &Config,
        tables: Arc<Vec<(Table, Table)>>,
        applied: watch::Receiver<Position>,
    ) -> Result<Self> {
        let source = crate::session::open(Side::Source, &config.source).await?;
        let target = crate::session::open(Side::Target, &config.target).await?;
        Ok(Self::new((source, target), tables, applied))
    }

    pub(crate) fn new(
        (source, target): (Conn, Conn),
        tables: Arc<Vec<(Table, Table)>>,
        applied: watch::Receiver<Position>,
    ) -> Self {
        Self { source, target, tables, applied, found: Verified::default(), changes_too_often: false }
    }

    /// All tables, whole. What is found counts for what is dirty, too: nobody has to pass over them again.
    pub(crate) async fn all(mut self, mut ends: Ends, dirty: &DirtyKeys) -> Result<Verified> {
        let _asked = dirty.ask();
        let _alone = dirty.alone().await;
        for table in 0..self.tables.len() {
            let table = u32::try_from(table).unwrap_or(u32::MAX);
            let before = self.found.differences.len();
            dirty.begin_pass(table);
            let busy = self.table(&mut ends, table, || false).await?.unwrap_or_default();
            if !busy.is_empty() {
                let name = &self.tables[table as usize].0.name;
                return Err(MoveError::halt(
                    format!("{} rows of {name} change faster than they can be compared", busy.len()),
                    "verify again when fewer of them change",
                ));
            }
            self.found.differences[before..].iter().cloned().for_each(|found| dirty.differs(found));
            dirty.end_pass(table);
            self.found.tables += 1;
        }
        Ok(self.found)
    }

    /// Looks at dirty keys once; those that are equal are clean, those that differ for certain are told.
    pub(crate) async fn look(&mut self, dirty: &DirtyKeys, batch: Vec<Taken>) -> Result<()> {
        self.found.rows += batch.len() as u64;
        // The stream is waited for once, not for each table: with many of them that would take longer than keys need to change.
        self.pass().await?;
        let mut open: Vec<(Taken, Option<Pair>)> = batch.into_iter().map(|taken| (taken, None)).collect();
        for look in 0..MOST_LOOKS {
            if look > 0 {
                self.pass().await?;
                // Which changed again has its turn again: nobody waits for those that always change.
                open.retain(|(taken, _)| dirty.has(taken));
                self.found.rechecked += open.len() as u64;
            }
            if open.is_empty() {
                break;
            }
            open = self.once(dirty, open).await?;
        }
        Ok(())
    }

    /// Looks at each of these keys once: equal ones are clean; those that differ as before differ. Gives the others.
    async fn once(
        &mut self,
        dirty: &DirtyKeys,
        keys: Vec<(Taken, Option<Pair>)>,
    ) -> Result<Vec<(Taken, Option<Pair>)>> {
        let mut by_table: BTreeMap<u32, Vec<(Taken, Option<Pair>)>> = BTreeMap::new();
        for key in keys {
            by_table.entry(key.0.0).or_default().push(key);
        }
        let mut left = Vec::new();
        for (table, keys) in by_table {
            let wanted: Vec<Row> = keys.iter().map(|((_, key, _), _)| key.clone()).collect();
            let (ours, theirs) = self.among(table, &wanted).await?;
            let mut now = differing(&ours, &theirs);
            for (taken, before) in keys {
                match now.remove(&taken.1) {
                    None => dirty.clean(taken),
                    Some(pair) if before.as_ref() == Some(&pair) => {
                        let from = self.found.differences.len();
                        self.found.add(table, &self.tables[table as usize].0, &taken.1, &pair);
                        self.found.differences[from..].iter().cloned().for_each(|found| dirty.differs(found));
                    }
                    Some(pair) => left.push((taken, Some(pair))),
                }
            }
            // Rows found by a key that their collation takes for the same: each is looked at by its own.
            dirty.touch(table, now.into_keys());
        }
        Ok(left)
    }

    /// Waits until what the source has logged by now is applied.
    async fn pass(&mut self) -> Result<()> {
        let position = crate::session::position(&mut self.source).await?;
        self.applied.wait_for(|applied| *applied >= position).await.map_err(|_| MoveError::Ended)?;
        Ok(())
    }

    /// Compares a table whole. Gives keys that changed too often to be told apart; `None` when it gave way between two chunks.
    async fn table(&mut self, ends: &mut Ends, place: u32, gives_way: impl Fn() -> bool) -> Result<Option<Vec<Row>>> {
        let mut lower: Option<Row> = None;
        let mut upper = ends.after(place, None).await?;
        let mut busy = Vec::new();
        while let Some(end) = upper {
            if gives_way() {
                return Ok(None);
            }
            let (next, left) =
                tokio::try_join!(ends.after(place, Some(&end)), self.chunk(place, lower.as_ref(), Some(&end)))?;
            busy.extend(left);
            (lower, upper) = (Some(end), next);
        }
        busy.extend(self.chunk(place, lower.as_ref(), None).await?);
        Ok(Some(busy))
    }

    async fn chunk(&mut self, place: u32, lower: Option<&Row>, upper: Option<&Row>) -> Result<Vec<Row>> {
        self.found.chunks += 1;
        let tables = Arc::clone(&self.tables);
        let (ours, theirs) = &tables[place as usize];
        let statement = |table: &Table, what: &str| {
            let mut sql = format!("SELECT {what} FROM {}", table.name.quoted()).into_bytes();
            keys::range(&mut sql, table, lower, upper);
            sql
        };
        if let (Some(our_sum), Some(their_sum)) = (sum(ours, theirs), sum(theirs, theirs)) {
            let (our_sql, their_sql) = (format!("COUNT(*), {our_sum}"), format!("COUNT(*), {their_sum}"));
            let (our_sql, their_sql) = (statement(ours, &our_sql), statement(theirs, &their_sql));
            let most = if self.changes_too_often { 1 } else { MOST_SUMS };
            for look in 1..=most {
                let (ours, theirs) = tokio::join!(
                    self.source.query_first::<(u64, u64), _>(our_sql.clone()),
                    self.target.query_first::<(u64, u64), _>(their_sql.clone())
                );
                let ours = ours.map_err(MoveError::server(Side::Source, "sum up a chunk"))?;
                let theirs = theirs.map_err(MoveError::server(Side::Target, "sum up a chunk"))?;
                if ours == theirs || look == most {
                    self.found.rows += ours.map_or(0, |(rows, _)| rows);
                    self.changes_too_often = ours != theirs;
                }
                if ours == theirs {
                    return Ok(Vec::new());
                }
                if look < most {
                    self.pass().await?;
                }
            }
        }
        let sql = (statement(ours, &ours.select_list()), statement(theirs, &theirs.select_list()));
        let (our_rows, their_rows) = self.rows(place, sql).await?;
        if differs_in_sum(theirs) {
            self.found.rows += our_rows.len() as u64;
        }
        self.again(place, &our_rows, &their_rows).await
    }

    async fn rows(&mut self, place: u32, (ours, theirs): (Vec<u8>, Vec<u8>)) -> Result<(Rows, Rows)> {
        let (ours, theirs) = tokio::join!(
            self.source.query::<mysql_async::Row, _>(ours),
            self.target.query::<mysql_async::Row, _>(theirs)
        );
        let ours = ours.map_err(MoveError::server(Side::Source, "read a chunk to compare"))?;
        let theirs = theirs.map_err(MoveError::server(Side::Target, "read a chunk to compare"))?;
        let table = &self.tables[place as usize].1;
        let foreign = row::differs_in_form(table);
        let by_key = |rows: Vec<mysql_async::Row>, of_target: bool| {
            let form = |row: Row| if foreign { row::comparable(table, &row, of_target) } else { row };
            rows.into_iter().map(|row| form(taken(row))).map(|row| (row.pick(table.key()), row)).collect::<Rows>()
        };
        Ok((by_key(ours, false), by_key(theirs, true)))
    }

    /// The rows of these keys on both sides.
    async fn among(&mut self, place: u32, keys: &[Row]) -> Result<(Rows, Rows)> {
        let tables = Arc::clone(&self.tables);
        let (ours, theirs) = &tables[place as usize];
        let (mut our_rows, mut their_rows) = (Rows::new(), Rows::new());
        let statement = |table: &Table, left: &mut std::slice::Iter<'_, Row>| {
            let mut sql = format!("SELECT {} FROM {}", table.select_list(), table.name.quoted()).into_bytes();
            keys::among(&mut sql, table, left);
            sql
        };
        let (mut left, mut also_left) = (keys.iter(), keys.iter());
        while left.len() > 0 {
            let sql = (statement(ours, &mut left), statement(theirs, &mut also_left));
            let (some, others) = self.rows(place, sql).await?;
            our_rows.extend(some);
            their_rows.extend(others);
        }
        Ok((our_rows, their_rows))
    }

    /// Looks at rows that differ until they are equal, or differ in the same way after the log has passed. Gives the
    /// keys that never stopped changing.
    async fn again(&mut self, place: u32, ours: &Rows, theirs: &Rows) -> Result<Vec<Row>> {
        let mut open = differing(ours, theirs);
        let mut looks = 0;
        while !open.is_empty() {
            looks += 1;
            if looks > MOST_LOOKS {
                return Ok(open.into_keys().collect());
            }
            self.pass().await?;
            self.found.rechecked += open.len() as u64;
            let keys: Vec<Row> = open.keys().cloned().collect();
            let (ours, theirs) = self.among(place, &keys).await?;
            let mut now = differing(&ours, &theirs);
            now.retain(|key, pair| {
                let stays = open.get(key) == Some(pair);
                if stays {
                    self.found.add(place, &self.tables[place as usize].0, key, pair);
                }
                !stays
            });
            open = now;
        }
        Ok(Vec::new())
    }
}

impl Ends {
    pub(crate) async fn open(config: &Config, tables: Arc<Vec<(Table, Table)>>) -> Result<Self> {
        let source = crate::session::open(Side::Source, &config.source).await?;
        Ok(Self { source, tables, chunk_rows: config.limits.chunk_rows })
    }

    /// The last key of the chunk that begins after `lower`; `None` when the rest of the table is smaller.
    async fn after(&mut self, place: u32, lower: Option<&Row>) -> Result<Option<Row>> {
        let table = &self.tables[place as usize].0;
        let mut sql = keys::select(table, &table.select_keys(), lower, None, Some(1));
        sql.extend_from_slice(format!(" OFFSET {}", self.chunk_rows - 1).as_bytes());
        let row = self.source.query_first(sql).await.map_err(MoveError::server(Side::Source, "find a chunk's end"))?;
        Ok(row.map(taken))
    }
}

impl Verified {
    /// Whether both sides hold the same.
    #[must_use]
    pub fn is_equal(&self) -> bool {
        self.differences.is_empty()
    }

    fn add(&mut self, place: u32, table: &Table, key: &Row, (ours, theirs): &Pair) {
        if self.differences.len() >= MOST_DIFFERENCES {
            return;
        }
        let mut columns = Vec::new();
        if let (Some(ours), Some(theirs)) = (ours, theirs) {
            let one = |value: Option<&[u8]>| {
                let mut row = Row::default();
                row.push(value);
                row.shown().trim_matches(['(', ')']).to_owned()
            };
            for (column, (ours, theirs)) in table.columns().zip(ours.values().zip(theirs.values())) {
                if ours != theirs {
                    columns.push(format!("{}: {} / {}", column.name, one(ours), one(theirs)));
                }
            }
        }
        self.differences.push(Difference {
            table: table.name.clone(),
            key: key.shown(),
            source: ours.as_ref().map(Row::shown),
            target: theirs.as_ref().map(Row::shown),
            columns,
            at: (place, key.clone()),
        });
    }
}

/// The row on either side.
type Pair = (Option<Row>, Option<Row>);

fn differing(ours: &Rows, theirs: &Rows) -> BTreeMap<Row, Pair> {
    let keys: BTreeSet<&Row> = ours.keys().chain(theirs.keys()).collect();
    let pair = |key: &Row| (ours.get(key).cloned(), theirs.get(key).cloned());
    keys.into_iter().map(|key| (key.clone(), pair(key))).filter(|(_, (one, other))| one != other).collect()
}

/// TiDB prints floats in other words than the source: its rows are compared here instead.
fn differs_in_sum(target: &Table) -> bool {
    let float = |column: &crate::schema::Column| matches!(column.kind, Kind::Float | Kind::Double);
    target.dialect == Dialect::TiDb && target.columns().any(float)
}

/// 64 bits for the rows of a chunk, whatever their order. Each value stands so that where it ends can be told, and no two
/// rows read alike; long ones by their digests, as a server cuts what grows beyond a packet to NULL. `None` where servers
/// do not print alike.
///
/// A digest, although it is a third of what this costs: the bits of a CRC are sums of the row's bits, and two rows that have
/// exchanged a value would sum up to the same. SHA-256 is the one that all servers have, and processors have instructions for.
fn sum(table: &Table, target: &Table) -> Option<String> {
    if differs_in_sum(target) {
        return None;
    }
    let utf8 = table.dialect == Dialect::MySql && target.dialect == Dialect::TiDb;
    let value = |column: &crate::schema::Column| {
        let mut name = Table::expression(column);
        if utf8 && column.charset.as_deref() == Some("latin1") {
            name = format!("CONVERT({name} USING utf8mb4)");
        }
        let text = match column.kind {
            Kind::Int { .. } | Kind::Decimal { .. } | Kind::Float | Kind::Double | Kind::Year => name,
            Kind::Date | Kind::Time | Kind::DateTime | Kind::Timestamp | Kind::Enum | Kind::Set => name,
            Kind::Text | Kind::Blob | Kind::Json | Kind::Geometry => format!("SHA2({name}, 256)"),
            // Without the cast a column's character set would win over that of the literals, and texts of two character sets
            // be converted, or not stand beside each other at all.
            _ => format!("CONCAT(LENGTH({name}), ',', CAST({name} AS CHAR CHARACTER SET binary))"),
        };
        format!("IFNULL({text}, 'N')")
    };
    let values = table.columns().map(value).collect::<Vec<_>>().join(", ',', ");
    Some(format!(
        "CAST(IFNULL(BIT_XOR(CAST(CONV(LEFT(SHA2(CONCAT({values}), 256), 16), 16, 10) AS UNSIGNED)), 0) AS UNSIGNED)"
    ))
}
