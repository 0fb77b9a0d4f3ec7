//! The one place where the order of the source becomes work for lanes.
//!
//! Reads the log, assigns each transaction to the lane of its first key (always the same, so that a checkpoint of a
//! lane says which transactions it covers), finds what it must wait for, and, between two watermarks, remembers every
//! key that is touched, so that a chunk read meanwhile gives way to the log.
//!
//! Owns the order and the bound on memory. Never writes to a server.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::apply::{Changes, ChunkRows, Shared, Task, Work};
use crate::copy::{FromCopier, Read, Round, Spoiled};
use crate::depend::{Dependencies, Place, Touched};
use crate::error::{MoveError, Result};
use crate::position::Position;
use crate::row::Row;
use crate::schema::Table;
use crate::source::heartbeat::Mark;
use crate::source::log::{Item, Log};
use crate::source::rows::Change;

/// Keys remembered between two watermarks. With more, the chunks are read again, in smaller ones.
const MAX_TOUCHED: usize = 1 << 18;
/// A transaction of more parts counts as touching its tables whole: its values would fill the memory of dependencies.
const MAX_PARTS_BY_VALUE: usize = 8;
/// What a change costs beside its bytes.
const CHANGE_OVERHEAD: usize = 160;

/// A transaction being read.
#[derive(Default)]
struct Open {
    changes: Changes,
    bytes: usize,
    touched: Touched,
    /// Once parts of it are on their way: its lane, number and ticket.
    begun: Option<(Place, Option<u64>)>,
    parts: usize,
    /// How many of its first changes are on the target already, and how many have been seen.
    drop: u64,
    seen: u64,
    /// Its lane has it already.
    skipped: bool,
    lane: Option<usize>,
}

/// Keys touched since a round's low watermark, by table.
struct Watch {
    round: u64,
    touched: HashMap<u32, HashSet<Row>>,
    count: usize,
    spoiled: bool,
}

pub(crate) struct Sequencer {
    pub(crate) log: Log,
    pub(crate) shared: Arc<Shared>,
    pub(crate) lanes: Vec<mpsc::UnboundedSender<Work>>,
    /// How many of the lanes apply; the others write chunks.
    pub(crate) applying: usize,
    /// Where each applying lane was when this mover took over.
    pub(crate) checkpoints: Vec<Position>,
    /// How many changes of the transaction after that each has.
    pub(crate) partial: Vec<u64>,
    pub(crate) room: Arc<Semaphore>,
    pub(crate) queue_bytes: usize,
    pub(crate) part_bytes: usize,
    /// Where the log was opened.
    pub(crate) from: Position,
    pub(crate) copier: mpsc::UnboundedReceiver<FromCopier>,
    pub(crate) spoiled: mpsc::UnboundedSender<Spoiled>,
}

struct State {
    numbers: Vec<u64>,
    dependencies: Dependencies,
    open: Open,
    watch: Option<Watch>,
    opened: Option<u64>,
    rounds: Vec<Round>,
    next_copier: usize,
    read: Position,
}

impl Sequencer {
    /// Runs until something ends it.
    pub(crate) async fn run(mut self) -> Result<()> {
        let lanes = self.lanes.len();
        let mut state = State {
            numbers: vec![0; lanes],
            dependencies: Dependencies::new(lanes),
            open: Open::default(),
            watch: None,
            opened: None,
            rounds: Vec::new(),
            next_copier: 0,
            read: self.from.clone(),
        };
        loop {
            match self.log.next().await? {
                Item::Begin => state.open = Open::default(),
                Item::Changes(table, changes) => self.changes(&mut state, table, changes).await?,
                Item::Mark(mark) => self.mark(&mut state, mark).await?,
                Item::Commit(end) => self.commit(&mut state, end).await?,
                Item::Passed(position) => {
                    self.shared.frontier.foreign(self.log.foreign());
                    state.read = position.clone();
                    self.shared.frontier.read(position);
                }
            }
        }
    }

    async fn changes(&mut self, state: &mut State, table: u32, mut changes: Vec<Change>) -> Result<()> {
        let shared = Arc::clone(&self.shared);
        let shape = &shared.tables[table as usize];
        if let Some(watch) = &mut state.watch {
            watch.add(table, &changes, shape.key());
        }
        shared.dirty.touch(table, changes.iter().flat_map(Change::images).map(|row| row.pick(shape.key())));
        let open = &mut state.open;
        if open.lane.is_none()
            && let Some(row) = changes.first().and_then(|change| change.images().next())
        {
            let lane = self.lane_of(shape, row);
            open.lane = Some(lane);
            // A checkpoint is the end of a transaction or lies between two: past the beginning means past the end.
            open.skipped = self.checkpoints[lane] > state.read;
            if !open.skipped {
                open.drop = std::mem::take(&mut self.partial[lane]);
            }
        }
        if open.skipped {
            return Ok(());
        }
        let have = usize::try_from(open.drop).unwrap_or(usize::MAX).min(changes.len());
        changes.drain(..have);
        open.drop -= have as u64;
        open.seen += have as u64;
        for change in &changes {
            open.bytes += change.bytes() + CHANGE_OVERHEAD;
            for row in change.images() {
                open.touched.add(table, shape, row);
            }
        }
        open.changes.push((table, changes));
        if open.bytes >= self.part_bytes {
            self.send_part(state, None).await?;
        }
        Ok(())
    }

    /// The lane of a transaction whose first change is of this row. It follows from the row alone, so that it is the
    /// same when the transaction is read again by a later mover.
    fn lane_of(&self, table: &Table, row: &Row) -> usize {
        let name = format!("{}\0", table.name).into_bytes();
        let hash = twox_hash::XxHash64::oneshot(1, &[&name, row.pick(table.key()).bytes()].concat());
        usize::try_from(hash % self.applying as u64).unwrap_or(0)
    }

    /// Sends what has been read of a large transaction.
    async fn send_part(&mut self, state: &mut State, end: Option<Position>) -> Result<()> {
        let Some(lane) = state.open.lane else { return Ok(()) };
        let begun = match state.open.begun {
            Some((place, ticket)) => (place, ticket),
            None => {
                let place = next_place(&mut state.numbers, lane);
                (place, Some(self.shared.frontier.begin()))
            }
        };
        state.open.begun = Some(begun);
        let (place, ticket) = begun;
        let mut touched = std::mem::take(&mut state.open.touched);
        state.open.parts += 1;
        if state.open.parts > MAX_PARTS_BY_VALUE {
            touched.widen();
        }
        let after = state.dependencies.admit(place, &touched);
        let bytes = std::mem::take(&mut state.open.bytes);
        let before = state.open.seen;
        state.open.seen += state.open.changes.iter().map(|(_, changes)| changes.len() as u64).sum::<u64>();
        let task = Task {
            number: place.number,
            after,
            ticket,
            end: end.clone().unwrap_or_default(),
            bytes,
            load: std::mem::take(&mut state.open.changes),
            room: self.room(bytes).await?,
        };
        self.send(lane, Work::Part { task, end, before })
    }

    async fn commit(&mut self, state: &mut State, end: Position) -> Result<()> {
        if state.open.begun.is_some() {
            self.send_part(state, Some(end.clone())).await?;
        } else if let Some(lane) = state.open.lane
            && !state.open.skipped
        {
            let place = next_place(&mut state.numbers, lane);
            let after = state.dependencies.admit(place, &state.open.touched);
            let bytes = state.open.bytes;
            let task = Task {
                number: place.number,
                after,
                ticket: Some(self.shared.frontier.begin()),
                end: end.clone(),
                bytes,
                load: std::mem::take(&mut state.open.changes),
                room: self.room(bytes).await?,
            };
            self.send(lane, Work::Transaction(task))?;
        }
        state.open = Open::default();
        if state.dependencies.is_full() {
            let done: Vec<u64> = self.shared.done.iter().map(|done| *done.borrow()).collect();
            state.dependencies.forget(&done);
        }
        state.read = end.clone();
        self.shared.frontier.foreign(self.log.foreign());
        self.shared.frontier.read(end);
        Ok(())
    }

    async fn mark(&mut self, state: &mut State, mark: Mark) -> Result<()> {
        while let Ok(message) = self.copier.try_recv() {
            match message {
                FromCopier::Opening { low } => state.opened = Some(low),
                FromCopier::Read(round) => state.rounds.push(round),
            }
        }
        if state.opened == Some(mark.token) {
            state.opened = None;
            state.watch = Some(Watch { round: mark.token, touched: HashMap::new(), count: 0, spoiled: false });
        } else if let Some(place) = state.rounds.iter().position(|round| round.high == mark.token) {
            let round = state.rounds.swap_remove(place);
            self.write(state, round)?;
        } else {
            self.beat(state, mark)?;
        }
        Ok(())
    }

    /// A round has been read: its rows are written, save those that the log told of meanwhile.
    fn write(&mut self, state: &mut State, round: Round) -> Result<()> {
        let watch = state.watch.take().filter(|watch| watch.round == round.low && !watch.spoiled);
        let Some(watch) = watch else {
            // The copier may be gone: then the move is ending.
            for read in round.chunks {
                let repair = read.repair.is_some();
                let _ = self.spoiled.send(Spoiled { table: read.table, chunk: read.chunk, after: read.after, repair });
            }
            return Ok(());
        };
        let nothing = HashSet::new();
        for mut read in round.chunks {
            let shared = Arc::clone(&self.shared);
            let table = &shared.tables[read.table as usize];
            let touched = watch.touched.get(&read.table).unwrap_or(&nothing);
            if !touched.is_empty() {
                read.rows.retain(|row| !touched.contains(&row.pick(table.key())));
            }
            if let Some(repair) = &mut read.repair {
                repair.retain(|difference| !touched.contains(&difference.at.1));
                read.chunk.rows = repair.len() as u64;
                shared.dirty.touch(read.table, repair.iter().map(|difference| difference.at.1.clone()));
            }
            let mut keys = Touched::default();
            read.rows.iter().for_each(|row| keys.add(read.table, table, row));
            if read.repair.is_some() {
                // What stands on the target is not known: its unique values may be anybody's.
                keys.add_whole(read.table);
            }
            let lane = self.applying + state.next_copier % (self.lanes.len() - self.applying);
            state.next_copier += 1;
            let place = next_place(&mut state.numbers, lane);
            let after = state.dependencies.admit(place, &keys);
            let Read { chunk, rows, repair, written, .. } = read;
            let load = ChunkRows { table: read.table, chunk, rows, repair, written };
            let task = Task {
                number: place.number,
                after,
                ticket: Some(self.shared.frontier.begin()),
                end: state.read.clone(),
                bytes: 0,
                load,
                room: read.room,
            };
            self.send(lane, Work::Chunk(task))?;
        }
        Ok(())
    }

    /// A heartbeat without a chunk: tells the lag once it is applied, and keeps idle lanes' checkpoints young.
    fn beat(&mut self, state: &State, mark: Mark) -> Result<()> {
        self.shared.frontier.beat(mark.at_us);
        for lane in 0..self.applying {
            if state.read > self.checkpoints[lane] {
                self.send(lane, Work::Idle(state.read.clone()))?;
            }
        }
        Ok(())
    }

    fn send(&self, lane: usize, work: Work) -> Result<()> {
        self.lanes[lane].send(work).map_err(|_| MoveError::Ended)
    }

    /// Waits until there is room for so many bytes; one that is larger than all room takes all of it.
    async fn room(&self, bytes: usize) -> Result<Option<OwnedSemaphorePermit>> {
        let wanted = u32::try_from(bytes.min(self.queue_bytes)).unwrap_or(u32::MAX);
        let permit = Arc::clone(&self.room).acquire_many_owned(wanted).await;
        permit.map(Some).map_err(|_| MoveError::Ended)
    }
}

impl Watch {
    fn add(&mut self, table: u32, changes: &[Change], key: &[usize]) {
        if self.spoiled {
            return;
        }
        let touched = self.touched.entry(table).or_default();
        for row in changes.iter().flat_map(Change::images) {
            self.count += usize::from(touched.insert(row.pick(key)));
        }
        if self.count > MAX_TOUCHED {
            self.spoiled = true;
            self.touched = HashMap::new();
        }
    }
}

fn next_place(numbers: &mut [u64], lane: usize) -> Place {
    numbers[lane] += 1;
    Place { lane, number: numbers[lane] }
}
