//! Lanes: connections that apply transactions, each in the order of the source, waiting for each other where they must.
//!
//! A lane takes as many waiting transactions as may go now and writes their net effect in one transaction of the
//! target, with its checkpoint as the first statement. A transaction too large for memory arrives in parts and stays
//! one transaction on the target.
//!
//! Owns one connection each, and trying again after a deadlock. Never reorders within a lane.

use std::collections::HashSet;
use std::sync::Arc;

use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use tokio::sync::{OwnedSemaphorePermit, mpsc, watch};

use crate::checkpoint::{Chunk, Right};
use crate::depend::After;
use crate::error::{MoveError, Result, Side};
use crate::position::Position;
use crate::progress::Frontier;
use crate::row::Row;
use crate::schema::Table;
use crate::source::rows::Change;
use crate::target::net::Net;
use crate::target::write;
use crate::verify::Difference;
use crate::verify::dirty::DirtyKeys;

/// Transactions of the source in one of the target at most: bounds what a retry repeats.
const MOST_TOGETHER: usize = 256;
/// Bytes of changes in one transaction of the target, likewise.
const MOST_BYTES: usize = 2 << 20;
/// A deadlock that comes back this often is no accident.
const MOST_TRIES: u32 = 20;

/// The changes of a transaction or of a part of one, by table.
pub(crate) type Changes = Vec<(u32, Vec<Change>)>;

/// What a lane is handed.
#[derive(Debug)]
pub(crate) enum Work {
    Transaction(Task<Changes>),
    /// A part of a large transaction; the last one says where it ends.
    Part {
        task: Task<Changes>,
        end: Option<Position>,
        /// How many changes of this transaction came before.
        before: u64,
    },
    /// Nothing more of this lane up to here: keeps an idle lane's checkpoint young.
    Idle(Position),
    Chunk(Task<ChunkRows>),
}

/// One thing to apply.
#[derive(Debug)]
pub(crate) struct Task<T> {
    /// In this lane.
    pub(crate) number: u64,
    pub(crate) after: After,
    /// In the order of all.
    pub(crate) ticket: Option<u64>,
    pub(crate) end: Position,
    pub(crate) bytes: usize,
    pub(crate) load: T,
    /// Room in memory that is given back when this is dropped.
    pub(crate) room: Option<OwnedSemaphorePermit>,
}

/// The rows of a chunk that nobody touched while it was read.
#[derive(Debug)]
pub(crate) struct ChunkRows {
    pub(crate) table: u32,
    pub(crate) chunk: Chunk,
    pub(crate) rows: Vec<Row>,
    /// Rows that are to be made like the source's, whether they stand there or not; then this is no chunk.
    pub(crate) repair: Option<Vec<Difference>>,
    /// Told when it is on the target.
    pub(crate) written: mpsc::UnboundedSender<Chunk>,
}

/// What all lanes share.
pub(crate) struct Shared {
    pub(crate) tables: Vec<Table>,
    pub(crate) statement_bytes: usize,
    /// A transaction of more is committed in several.
    pub(crate) split_bytes: Option<usize>,
    pub(crate) dirty: Arc<DirtyKeys>,
    pub(crate) frontier: Arc<Frontier>,
    /// The last number applied in each lane.
    pub(crate) done: Vec<watch::Sender<u64>>,
}

pub(crate) struct Lane {
    pub(crate) index: usize,
    pub(crate) conn: Conn,
    pub(crate) right: Right,
    pub(crate) shared: Arc<Shared>,
    pub(crate) work: mpsc::UnboundedReceiver<Work>,
}

impl Lane {
    /// Applies until nothing more is to come.
    pub(crate) async fn run(mut self) -> Result<()> {
        self.conn
            .query_drop("SET autocommit = 0")
            .await
            .map_err(MoveError::server(Side::Target, "set up a session"))?;
        let mut held = None;
        loop {
            let next = match held.take() {
                Some(work) => Some(work),
                None => self.work.recv().await,
            };
            let Some(work) = next else { return Ok(()) };
            match work {
                Work::Transaction(task) => held = self.together(task).await?,
                Work::Part { task, end, before } => self.parts(task, end, before).await?,
                Work::Chunk(task) => self.chunk(task).await?,
                Work::Idle(position) => {
                    self.right.advance(&mut self.conn, &position).await?;
                    self.commit().await?;
                }
            }
        }
    }

    async fn wait(&self, after: &After) -> Result<()> {
        for (lane, number) in after.0.iter().enumerate().filter(|(_, number)| **number > 0) {
            let mut done = self.shared.done[lane].subscribe();
            done.wait_for(|done| done >= number).await.map_err(|_| MoveError::Ended)?;
        }
        Ok(())
    }

    fn may_go(&self, after: &After) -> bool {
        after.0.iter().zip(&self.shared.done).all(|(number, done)| *done.borrow() >= *number)
    }

    /// Applies a transaction and those behind it that may go too. Gives back what was taken and could not.
    async fn together(&mut self, first: Task<Changes>) -> Result<Option<Work>> {
        self.wait(&first.after).await?;
        let mut bytes = first.bytes;
        let mut tasks = vec![first];
        let mut held = None;
        while tasks.len() < MOST_TOGETHER && bytes < MOST_BYTES {
            match self.work.try_recv() {
                Ok(Work::Transaction(task)) if self.may_go(&task.after) => {
                    bytes += task.bytes;
                    tasks.push(task);
                }
                Ok(other) => {
                    held = Some(other);
                    break;
                }
                Err(_) => break,
            }
        }
        let mut net = Net::default();
        let (mut end, mut number, mut changes) = (Position::default(), 0, 0);
        let mut tickets = Vec::with_capacity(tasks.len());
        let mut rooms = Vec::with_capacity(tasks.len());
        for task in tasks {
            for (table, all) in task.load {
                let shape = &self.shared.tables[table as usize];
                changes += all.len();
                all.into_iter().for_each(|change| net.add(table, shape, change));
            }
            (end, number) = (task.end, task.number);
            tickets.extend(task.ticket);
            rooms.push(task.room);
        }
        self.tried(&net, &end).await?;
        self.finish(number, &tickets, changes);
        Ok(held)
    }

    async fn tried(&mut self, net: &Net, end: &Position) -> Result<()> {
        let mut tries = 0;
        loop {
            tries += 1;
            match self.transaction(net, end).await {
                Err(error) if tries < MOST_TRIES && is_conflict(&error) => self.rollback().await?,
                outcome => return outcome.map_err(|error| error.at(end)),
            }
        }
    }

    async fn transaction(&mut self, net: &Net, end: &Position) -> Result<()> {
        self.right.advance(&mut self.conn, end).await?;
        self.write(net).await?;
        self.commit().await
    }

    /// All deletions come before the first insertion, over all tables.
    async fn write(&mut self, net: &Net) -> Result<()> {
        let shared = Arc::clone(&self.shared);
        for (number, table) in &net.tables {
            write::delete(&mut self.conn, &shared.tables[*number as usize], table.gone()).await?;
        }
        for (number, table) in &net.tables {
            let shape = &shared.tables[*number as usize];
            write::insert(&mut self.conn, shape, table.come(), shared.statement_bytes).await?;
        }
        Ok(())
    }

    /// A transaction in parts. It cannot be tried again, as its parts are gone: an accident ends the mover, and the
    /// next one reads the transaction again from the log.
    ///
    /// Where the target takes no transaction as large, it is committed in several, and the checkpoint says how many of
    /// its changes are done.
    async fn parts(&mut self, first: Task<Changes>, end: Option<Position>, before: u64) -> Result<()> {
        self.right.hold(&mut self.conn).await?;
        let (mut task, mut end) = (first, end);
        let (mut changes, mut bytes) = (0, 0);
        loop {
            self.wait(&task.after).await?;
            let mut net = Net::default();
            for (table, all) in std::mem::take(&mut task.load) {
                let shape = &self.shared.tables[table as usize];
                changes += all.len();
                all.into_iter().for_each(|change| net.add(table, shape, change));
            }
            bytes += task.bytes;
            self.write(&net).await?;
            drop(net);
            task.room = None;
            if let Some(end) = end {
                self.right.advance(&mut self.conn, &end).await?;
                self.commit().await?;
                self.finish(task.number, task.ticket.as_slice(), changes);
                return Ok(());
            }
            if self.shared.split_bytes.is_some_and(|split| bytes >= split) {
                self.right.partly(&mut self.conn, before + changes as u64).await?;
                self.commit().await?;
                bytes = 0;
                self.right.hold(&mut self.conn).await?;
            }
            match self.work.recv().await {
                Some(Work::Part { task: next, end: next_end, .. }) => (task, end) = (next, next_end),
                _ => return Err(MoveError::Ended),
            }
        }
    }

    async fn chunk(&mut self, task: Task<ChunkRows>) -> Result<()> {
        self.wait(&task.after).await?;
        let mut tries = 0;
        loop {
            tries += 1;
            match self.chunk_transaction(&task.load).await {
                Err(error) if tries < MOST_TRIES && is_conflict(&error) => self.rollback().await?,
                outcome => break outcome.map_err(|error| error.at(&task.end))?,
            }
        }
        let is_repair = task.load.repair.is_some();
        let (rows, bytes) = (task.load.chunk.rows, task.load.chunk.bytes);
        self.shared.done[self.index].send_replace(task.number);
        self.shared.frontier.note(|progress| {
            if is_repair {
                progress.repaired_rows += rows;
            } else {
                progress.copied_rows += rows;
                progress.copied_bytes += bytes;
            }
        });
        self.shared.frontier.finish(task.ticket.as_slice());
        // The copier may be gone: then the move is ending.
        let _ = task.load.written.send(task.load.chunk);
        Ok(())
    }

    async fn chunk_transaction(&mut self, load: &ChunkRows) -> Result<()> {
        let shared = Arc::clone(&self.shared);
        let table = &shared.tables[load.table as usize];
        self.right.hold(&mut self.conn).await?;
        if let Some(differences) = &load.repair {
            let keys: Vec<Row> = differences.iter().map(|difference| difference.at.1.clone()).collect();
            write::delete(&mut self.conn, table, keys.iter()).await?;
            write::insert(&mut self.conn, table, load.rows.iter(), shared.statement_bytes).await?;
            for difference in differences {
                self.right.defect(&mut self.conn, difference).await?;
            }
            return self.commit().await;
        }
        if !load.rows.is_empty() {
            let standing = standing(&mut self.conn, table, load).await?;
            write::delete(&mut self.conn, table, standing.iter()).await?;
            write::insert(&mut self.conn, table, load.rows.iter(), shared.statement_bytes).await?;
        }
        self.right.copied(&mut self.conn, &load.chunk).await?;
        self.commit().await
    }

    fn finish(&self, number: u64, tickets: &[u64], changes: usize) {
        self.shared.done[self.index].send_replace(number);
        // The figures first: whoever waits for a position reads them when it is there.
        self.shared.frontier.note(|progress| {
            progress.applied_transactions += tickets.len() as u64;
            progress.applied_changes += changes as u64;
        });
        self.shared.frontier.finish(tickets);
    }

    async fn commit(&mut self) -> Result<()> {
        self.conn.query_drop("COMMIT").await.map_err(MoveError::server(Side::Target, "commit"))
    }

    async fn rollback(&mut self) -> Result<()> {
        self.conn.query_drop("ROLLBACK").await.map_err(MoveError::server(Side::Target, "roll back"))
    }
}

/// Keys of the chunk that stand on the target already, because the log told of them before. Where both servers order
/// keys by the same rule, a read of the range finds them, most often none; else all of the chunk's keys are taken for
/// standing.
async fn standing(conn: &mut Conn, table: &Table, load: &ChunkRows) -> Result<Vec<Row>> {
    let keys = load.rows.iter().map(|row| row.pick(table.key()));
    if !table.key_orders_alike() {
        return Ok(keys.collect());
    }
    let (lower, upper) = (load.chunk.lower.as_ref(), load.chunk.upper.as_ref());
    let sql = crate::keys::select(table, &table.select_keys(), lower, upper, None);
    let found: Vec<mysql_async::Row> =
        conn.query(sql).await.map_err(MoveError::server(Side::Target, "read keys of a range"))?;
    if found.is_empty() {
        return Ok(Vec::new());
    }
    let found: HashSet<Row> = found.into_iter().map(crate::row::taken).collect();
    Ok(keys.filter(|key| found.contains(key)).collect())
}

/// The server chose this transaction as a victim, or it waited too long: rolled back, it may be tried again. Of TiDB:
/// 8005 and 9007 are write conflicts, 8002 and 8022 failed commits that may be tried again, 8027 and 8028 say that a
/// schema was out of date.
fn is_conflict(error: &MoveError) -> bool {
    const CONFLICTS: [u16; 8] = [1205, 1213, 8002, 8005, 8022, 8027, 8028, 9007];
    let MoveError::Server { source: mysql_async::Error::Server(error), .. } = error else { return false };
    CONFLICTS.contains(&error.code)
}
