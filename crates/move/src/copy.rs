//! Copying tables in chunks of their primary keys, while they change.
//!
//! A round: commit a low watermark, read a few chunks with plain SELECTs, commit a high watermark. Ordered commits make
//! every transaction logged before the low watermark visible to the SELECTs; what is logged between the two is told
//! by the log, and the [`crate::sequence`] drops those rows from the chunks. So nothing is locked, and no snapshot is
//! held. Source: "DBLog: A Watermark Based Change-Data-Capture Framework" (Andreakis, Papapanagiotou, 2020).
//!
//! Owns which ranges are still to be read. Never writes rows.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};

use crate::checkpoint::Chunk;
use crate::config::Config;
use crate::error::{MoveError, Result, Side};
use crate::keys::{among, select};
use crate::progress::{Frontier, Phase};
use crate::row::{Row, taken};
use crate::schema::Table;
use crate::source::heartbeat::{self, Mark};
use crate::throttle::{Pace, Throttle};
use crate::verify::Difference;

/// Distance of chunk numbers, so that a gap can be filled by several.
const STEP: u64 = 1 << 32;
/// Rows of the first chunk where the server has no idea how large rows are.
const FIRST_ROWS: u64 = 1000;

/// A chunk that has been read.
#[derive(Debug)]
pub(crate) struct Read {
    pub(crate) table: u32,
    pub(crate) chunk: Chunk,
    /// The number of the chunk before it: numbers between the two are free.
    pub(crate) after: u64,
    pub(crate) rows: Vec<Row>,
    /// Rows to be made like the source's: then this is no chunk.
    pub(crate) repair: Option<Vec<Difference>>,
    pub(crate) room: Option<OwnedSemaphorePermit>,
    pub(crate) written: mpsc::UnboundedSender<Chunk>,
}

/// Chunks read between two watermarks.
#[derive(Debug)]
pub(crate) struct Round {
    pub(crate) low: u64,
    pub(crate) high: u64,
    pub(crate) chunks: Vec<Read>,
}

/// What the copier tells, each before it commits the watermark that it speaks of.
#[derive(Debug)]
pub(crate) enum FromCopier {
    Opening { low: u64 },
    Read(Round),
}

/// Too many keys were touched meanwhile: to be read again.
#[derive(Debug)]
pub(crate) struct Spoiled {
    pub(crate) table: u32,
    pub(crate) chunk: Chunk,
    pub(crate) after: u64,
    pub(crate) repair: bool,
}

/// Rows to be repaired, and whom to tell how many were.
#[derive(Debug)]
pub(crate) struct Repair {
    pub(crate) differences: Vec<Difference>,
    pub(crate) repaired: oneshot::Sender<u64>,
}

/// A range to be read: above `lower`, up to `upper`. Its chunks take numbers between the two.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Range {
    table: u32,
    lower: Option<Row>,
    upper: Option<Row>,
    after: u64,
    before: Option<u64>,
}

/// What of a table is not among the chunks, which are in the order of their numbers.
fn missing(table: u32, chunks: &[&Chunk]) -> Vec<Range> {
    let mut ranges = Vec::new();
    let (mut lower, mut after) = (None, 0);
    for chunk in chunks {
        if chunk.lower != lower {
            let before = Some(chunk.number);
            ranges.push(Range { table, lower: lower.clone(), upper: chunk.lower.clone(), after, before });
        }
        (lower, after) = (chunk.upper.clone(), chunk.number);
    }
    // The last chunk of a table has no upper end.
    if chunks.is_empty() || lower.is_some() {
        ranges.push(Range { table, lower, upper: None, after, before: None });
    }
    ranges
}

pub(crate) struct Copier {
    pub(crate) config: Config,
    pub(crate) tables: Vec<Table>,
    pub(crate) conn: Conn,
    pub(crate) throttle: Throttle,
    pub(crate) pace: Arc<Pace>,
    pub(crate) frontier: Arc<Frontier>,
    pub(crate) tokens: Arc<AtomicU64>,
    pub(crate) tell: mpsc::UnboundedSender<FromCopier>,
    pub(crate) spoiled: mpsc::UnboundedReceiver<Spoiled>,
    pub(crate) copied: watch::Sender<bool>,
    /// Once all is copied.
    pub(crate) repairs: mpsc::UnboundedReceiver<Repair>,
}

impl Copier {
    /// Copies all that is not among `done`, which is in the order of tables and numbers; then repairs what it is asked
    /// to. Where there is nothing to copy, `done` is `None`.
    pub(crate) async fn run(mut self, done: Option<Vec<Chunk>>) -> Result<()> {
        let mut ranges = VecDeque::new();
        if let Some(done) = done {
            for (number, table) in (0..).zip(&self.tables) {
                let of_table: Vec<&Chunk> = done.iter().filter(|chunk| chunk.table == table.name).collect();
                ranges.extend(missing(number, &of_table));
            }
        }
        self.copy(ranges).await?;
        self.frontier.note(|progress| progress.phase = Phase::Following);
        self.copied.send_replace(true);
        while let Some(repair) = self.repairs.recv().await {
            let repaired = self.repair(repair.differences).await?;
            // Who asked may have gone.
            let _ = repair.repaired.send(repaired);
        }
        Ok(())
    }

    async fn copy(&mut self, mut ranges: VecDeque<Range>) -> Result<()> {
        let copiers = self.config.limits.copiers as usize;
        // One round is written while the next is read.
        let room = Arc::new(Semaphore::new(2 * copiers));
        let (written, mut finished) = mpsc::unbounded_channel();
        let (mut outstanding, mut chunks_read) = (0_usize, 0);
        let mut row_bytes: Vec<u64> = self.tables.iter().map(|table| table.average_row_bytes).collect();
        loop {
            while let Ok(chunk) = finished.try_recv() {
                let _: Chunk = chunk;
                outstanding -= 1;
            }
            while let Ok(spoiled) = self.spoiled.try_recv() {
                outstanding -= 1;
                // Smaller ones next time: rows count as if they were four times as large.
                row_bytes[spoiled.table as usize] *= 4;
                ranges.push_front(again(spoiled));
            }
            if ranges.is_empty() && outstanding == 0 {
                break;
            }
            if ranges.is_empty() {
                tokio::select! {
                    chunk = finished.recv() => outstanding -= usize::from(chunk.is_some()),
                    Some(spoiled) = self.spoiled.recv() => {
                        outstanding -= 1;
                        row_bytes[spoiled.table as usize] *= 4;
                        ranges.push_front(again(spoiled));
                    }
                }
                continue;
            }
            self.throttle.wait(&self.frontier).await?;
            let low = self.token();
            self.tell.send(FromCopier::Opening { low }).map_err(|_| MoveError::Ended)?;
            self.mark(low).await?;
            let mut chunks = Vec::with_capacity(copiers);
            while chunks.len() < copiers
                && let Some(range) = ranges.pop_front()
            {
                self.pace.pass(chunks_read).await;
                chunks_read += 1;
                let permit = Arc::clone(&room).acquire_owned().await.map_err(|_| MoveError::Ended)?;
                let (read, rest) = self.read(&range, &mut row_bytes[range.table as usize]).await?;
                // The tables take turns: of the chunks that are written at the same time, as few as can be are of one
                // table. Neighbours in an index would split each other's pages.
                ranges.extend(rest);
                let (chunk, rows) = read;
                let (written, room) = (written.clone(), Some(permit));
                chunks.push(Read { table: range.table, chunk, after: range.after, rows, repair: None, room, written });
            }
            outstanding += chunks.len();
            let high = self.token();
            self.tell.send(FromCopier::Read(Round { low, high, chunks })).map_err(|_| MoveError::Ended)?;
            self.mark(high).await?;
        }
        Ok(())
    }

    /// Reads rows that differ between two watermarks, as chunks are read, and has them written whatever stands there.
    /// Gives how many were; those that changed meanwhile are left to the log.
    async fn repair(&mut self, differences: Vec<Difference>) -> Result<u64> {
        let mut by_table: BTreeMap<u32, Vec<Difference>> = BTreeMap::new();
        for difference in differences {
            by_table.entry(difference.at.0).or_default().push(difference);
        }
        let (written, mut finished) = mpsc::unbounded_channel();
        let low = self.token();
        self.tell.send(FromCopier::Opening { low }).map_err(|_| MoveError::Ended)?;
        self.mark(low).await?;
        let mut chunks = Vec::with_capacity(by_table.len());
        for (number, differences) in by_table {
            let table = &self.tables[number as usize];
            let mut rows = Vec::with_capacity(differences.len());
            let keys: Vec<Row> = differences.iter().map(|difference| difference.at.1.clone()).collect();
            let mut left = keys.iter();
            while left.len() > 0 {
                let mut sql = format!("SELECT {} FROM {}", table.select_list(), table.name.quoted()).into_bytes();
                among(&mut sql, table, &mut left);
                let some: Vec<mysql_async::Row> =
                    self.conn.query(sql).await.map_err(MoveError::server(Side::Source, "read rows to repair"))?;
                rows.extend(some.into_iter().map(taken));
            }
            // A coarse collation may find more than was asked for.
            rows.retain(|row: &Row| keys.contains(&row.pick(table.key())));
            let chunk = Chunk { table: table.name.clone(), number: 0, lower: None, upper: None, rows: 0, bytes: 0 };
            let (repair, written) = (Some(differences), written.clone());
            chunks.push(Read { table: number, chunk, after: 0, rows, repair, room: None, written });
        }
        let mut outstanding = chunks.len();
        let high = self.token();
        self.tell.send(FromCopier::Read(Round { low, high, chunks })).map_err(|_| MoveError::Ended)?;
        self.mark(high).await?;
        let mut repaired = 0;
        while outstanding > 0 {
            tokio::select! {
                Some(chunk) = finished.recv() => repaired += chunk.rows,
                // Too much changed meanwhile.
                Some(spoiled) = self.spoiled.recv() => debug_assert!(spoiled.repair),
            }
            outstanding -= 1;
        }
        Ok(repaired)
    }

    fn token(&self) -> u64 {
        self.tokens.fetch_add(1, Ordering::Relaxed)
    }

    async fn mark(&mut self, token: u64) -> Result<()> {
        heartbeat::write(&mut self.conn, &self.config.name, Mark { token, at_us: now_us() }).await
    }

    /// Reads a chunk from the beginning of a range, and says what is left of it.
    async fn read(&mut self, range: &Range, row_bytes: &mut u64) -> Result<((Chunk, Vec<Row>), Option<Range>)> {
        let limits = self.config.limits;
        let table = &self.tables[range.table as usize];
        let wanted = match *row_bytes {
            0 => FIRST_ROWS,
            bytes => (limits.chunk_bytes as u64 / bytes).max(1),
        };
        let wanted = usize::try_from(wanted).unwrap_or(limits.chunk_rows).min(limits.chunk_rows);
        let sql = select(table, &table.select_list(), range.lower.as_ref(), range.upper.as_ref(), Some(wanted));
        let failed = || MoveError::server(Side::Source, "read a chunk");
        let mut rows = Vec::with_capacity(wanted.min(limits.chunk_rows));
        let (mut bytes, mut cut) = (0, false);
        let mut result = self.conn.query_iter(sql).await.map_err(failed())?;
        while let Some(row) = result.next().await.map_err(failed())? {
            // Rows far larger than those before: the rest of what the server sends is let go.
            cut |= bytes > 2 * limits.chunk_bytes;
            if !cut {
                let row = taken(row);
                bytes += row.len();
                rows.push(row);
            }
        }
        drop(result);
        let whole = rows.len() < wanted && !cut;
        if let Some(average) = (bytes as u64).checked_div(rows.len() as u64) {
            *row_bytes = average.max(1);
        }
        let last = rows.last().map(|row| row.pick(table.key()));
        let upper = if whole { range.upper.clone() } else { last };
        let number = match range.before {
            None => range.after + STEP,
            Some(before) => range.after + (before - range.after).div_ceil(2),
        };
        let chunk = Chunk {
            table: table.name.clone(),
            number,
            lower: range.lower.clone(),
            upper: upper.clone(),
            rows: rows.len() as u64,
            bytes: bytes as u64,
        };
        let rest = (!whole).then(|| Range { lower: upper, after: number, ..range.clone() });
        Ok(((chunk, rows), rest.filter(|rest| rest.upper.is_none() || rest.lower != rest.upper)))
    }
}

/// The range of a chunk, whose parts take numbers up to its own.
fn again(spoiled: Spoiled) -> Range {
    let Spoiled { table, chunk, after, .. } = spoiled;
    Range { table, lower: chunk.lower, upper: chunk.upper, after, before: Some(chunk.number + 1) }
}

pub(crate) fn now_us() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros());
    u64::try_from(since).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::TableName;

    fn key(value: &str) -> Option<Row> {
        let mut row = Row::default();
        row.push(Some(value.as_bytes()));
        Some(row)
    }

    fn chunk(number: u64, lower: Option<Row>, upper: Option<Row>) -> Chunk {
        Chunk { table: TableName::new("s", "t"), number, lower, upper, rows: 1, bytes: 1 }
    }

    #[test]
    fn what_is_missing_is_what_no_chunk_covers() {
        let range = |lower, upper, after, before| Range { table: 0, lower, upper, after, before };
        assert_eq!(missing(0, &[]), [range(None, None, 0, None)]);
        let (first, third) = (chunk(STEP, None, key("10")), chunk(3 * STEP, key("20"), key("30")));
        assert_eq!(
            missing(0, &[&first, &third]),
            [range(key("10"), key("20"), STEP, Some(3 * STEP)), range(key("30"), None, 3 * STEP, None)]
        );
        assert_eq!(missing(0, &[&third])[0], range(None, key("20"), 0, Some(3 * STEP)));
        let last = chunk(4 * STEP, key("30"), None);
        assert_eq!(missing(0, &[&first, &third, &last]).len(), 1);
    }
}
