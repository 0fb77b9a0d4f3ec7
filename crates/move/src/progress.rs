//! How far a move is, for people and for the cutover.
//!
//! Owns the figures and the frontier of what is applied. Never decides anything.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::copy::now_us;
use crate::position::Position;

/// What the move is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Phase {
    #[default]
    Copying,
    /// Everything is copied; changes are followed.
    Following,
}

/// A look at a move.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Progress {
    pub phase: Phase,
    /// Rows and bytes copied by this move, earlier movers of it included.
    pub copied_rows: u64,
    pub copied_bytes: u64,
    /// The source's own guess of all rows, never less than what is copied.
    pub total_rows: u64,
    /// Rows copied per second since this mover started.
    pub rows_per_s: f64,
    /// At that rate; `None` until there is one.
    pub remaining: Option<Duration>,
    /// Row changes and transactions applied by this mover.
    pub applied_changes: u64,
    pub applied_transactions: u64,
    /// How old the newest heartbeat was when everything before it was applied.
    pub lag: Option<Duration>,
    /// Why copying pauses, when it does.
    pub throttled: Option<String>,
    pub read: Position,
    pub applied: Position,
    /// The end of the last thing in the log that no mover wrote: what c6b of a cutover compares with the
    /// end that it drained to. Read, not yet applied.
    pub foreign: Position,
    /// Rows repaired by this mover.
    pub repaired_rows: u64,
}

/// Everything up to the frontier is applied.
#[derive(Debug)]
pub(crate) struct Frontier {
    inner: Mutex<Pending>,
    applied: watch::Sender<Position>,
    progress: watch::Sender<Progress>,
    started: Instant,
    copied_before: u64,
}

#[derive(Debug)]
struct Pending {
    /// Each transaction on its way, by its number, with the position up to which all was read before it.
    before: BTreeMap<u64, Position>,
    read: Position,
    next: u64,
    /// Heartbeats that were read, each with the number of the last transaction before it and when it was written, in
    /// microseconds since 1970.
    beats: VecDeque<(u64, u64)>,
}

impl Frontier {
    pub(crate) fn new(from: Position, progress: Progress) -> Self {
        Self {
            inner: Mutex::new(Pending { before: BTreeMap::new(), read: from.clone(), next: 0, beats: VecDeque::new() }),
            applied: watch::Sender::new(from),
            started: Instant::now(),
            copied_before: progress.copied_rows,
            progress: watch::Sender::new(progress),
        }
    }

    /// A transaction is on its way.
    pub(crate) fn begin(&self) -> u64 {
        let mut pending = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        pending.next += 1;
        let (number, read) = (pending.next, pending.read.clone());
        pending.before.insert(number, read);
        number
    }

    /// Everything up to here has been read, and what is not applied of it has begun.
    pub(crate) fn read(&self, position: Position) {
        self.change(|pending| pending.read = position);
    }

    /// Up to here the log may hold what is not ours.
    pub(crate) fn foreign(&self, position: &Position) {
        self.progress.send_if_modified(|progress| {
            let changed = progress.foreign != *position;
            if changed {
                progress.foreign.clone_from(position);
            }
            changed
        });
    }

    /// A heartbeat was read. The lag is known when everything before it is applied.
    pub(crate) fn beat(&self, at_us: u64) {
        self.change(|pending| pending.beats.push_back((pending.next, at_us)));
    }

    pub(crate) fn finish(&self, numbers: &[u64]) {
        self.change(|pending| {
            for number in numbers {
                pending.before.remove(number);
            }
        });
    }

    fn change(&self, change: impl FnOnce(&mut Pending)) {
        let mut pending = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut pending);
        let first = pending.before.first_key_value().map_or(u64::MAX, |(number, _)| *number);
        let mut beaten = None;
        while let Some((_, at_us)) = pending.beats.pop_front_if(|(last, _)| *last < first) {
            beaten = Some(at_us);
        }
        if let Some(at_us) = beaten {
            let lag = Duration::from_micros(now_us().saturating_sub(at_us));
            self.progress.send_modify(|progress| progress.lag = Some(lag));
        }
        let applied = pending.before.first_key_value().map_or(&pending.read, |(_, before)| before);
        // Sent under the lock: two lanes that finish at once must not set it back.
        self.applied.send_if_modified(|old| {
            let changed = old != applied;
            if changed {
                old.clone_from(applied);
            }
            changed
        });
    }

    pub(crate) fn applied(&self) -> watch::Receiver<Position> {
        self.applied.subscribe()
    }

    pub(crate) fn note(&self, change: impl FnOnce(&mut Progress)) {
        self.progress.send_modify(|progress| {
            change(progress);
            let elapsed = self.started.elapsed().as_secs_f64();
            let copied = progress.copied_rows.saturating_sub(self.copied_before);
            progress.total_rows = progress.total_rows.max(progress.copied_rows);
            #[allow(clippy::cast_precision_loss)] // Figures for people.
            if elapsed > 0.0 && copied > 0 && progress.phase == Phase::Copying {
                progress.rows_per_s = copied as f64 / elapsed;
                let left = (progress.total_rows - progress.copied_rows) as f64;
                progress.remaining = Duration::try_from_secs_f64(left / progress.rows_per_s).ok();
            }
        });
    }

    pub(crate) fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    pub(crate) fn look(&self) -> Progress {
        let read = self.inner.lock().unwrap_or_else(PoisonError::into_inner).read.clone();
        Progress { read, applied: self.applied.borrow().clone(), ..self.progress.borrow().clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seen: a heartbeat that was read told a lag of milliseconds while the lanes were seconds behind.
    #[test]
    fn a_heartbeat_tells_the_lag_when_what_came_before_it_is_applied() {
        let frontier = Frontier::new(Position::default(), Progress::default());
        let (first, second) = (frontier.begin(), frontier.begin());
        frontier.beat(now_us() - 5_000_000);
        frontier.finish(&[second]);
        assert_eq!(frontier.look().lag, None, "the first one is on its way");
        let later = frontier.begin();
        frontier.finish(&[first]);
        assert!(frontier.look().lag.is_some_and(|lag| lag >= Duration::from_secs(5)));
        frontier.beat(now_us());
        assert!(frontier.look().lag.is_some_and(|lag| lag >= Duration::from_secs(5)));
        frontier.finish(&[later]);
        assert!(frontier.look().lag.is_some_and(|lag| lag < Duration::from_secs(5)));
    }

    #[test]
    fn what_is_applied_never_passes_a_transaction_on_its_way() {
        let at = |offset| Position::new("binlog.000001", offset);
        let frontier = Frontier::new(at(4), Progress::default());
        let applied = frontier.applied();
        let first = frontier.begin();
        frontier.read(at(100));
        let second = frontier.begin();
        frontier.read(at(200));
        frontier.finish(&[second]);
        assert_eq!(*applied.borrow(), at(4));
        frontier.finish(&[first]);
        assert_eq!(*applied.borrow(), at(200));
    }
}
