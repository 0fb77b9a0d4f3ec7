//! What the service keeps outside every database.
//!
//! Owns four files: `acknowledged` (one id per line, appended the moment a commit was confirmed), `errors.jsonl` (each
//! failed attempt with its time, id, code and kind), `slow` (statements that took long: when they began, and how long, in
//! microseconds) and `stats.json` (written at the end). Never holds a write back in
//! memory: a line is with the operating system before the write counts as acknowledged, and on disk soon after.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::LedgerError;

pub(super) const ACKNOWLEDGED: &str = "acknowledged";
pub(super) const ERRORS: &str = "errors.jsonl";
const SLOW: &str = "slow";
const STATS: &str = "stats.json";

/// Statements that take less are not recorded: no pause is as short.
pub const SLOW_STATEMENT: Duration = Duration::from_millis(5);

/// Gaps shorter than this are the ordinary time between two acknowledgements.
const GAP_WORTH_KEEPING: Duration = Duration::from_millis(250);
/// A service that stutters for hours must not fill its memory with gaps.
const GAPS_KEPT: usize = 64;

/// How an attempt failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    /// No connection, or a login refused: nothing was written.
    Connect,
    /// The server said no before or at the commit: nothing was written.
    Refused,
    /// A deadlock or lock wait timeout: nothing was written, and a service tries again as a matter of course.
    Conflict,
    /// The connection was lost before the commit was sent: nothing was written.
    Lost,
    /// The commit was sent and no answer came: it is there once or not at all.
    Indeterminate,
    /// The service stopped before it had an answer for this id.
    Unresolved,
}

/// One failed attempt, one line of `errors.jsonl`.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Failure {
    pub(super) unix_ms: u64,
    pub(super) id: String,
    pub(super) kind: Kind,
    pub(super) code: u16,
    pub(super) message: String,
}

/// A statement that took at least [`SLOW_STATEMENT`], whatever came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slow {
    pub began_unix_us: u64,
    pub took_us: u64,
}

/// A stretch in which no write was acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    pub started_unix_ms: u64,
    pub length_ms: u64,
}

/// What the service saw, from its start to its end.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Stats {
    pub clients: usize,
    pub started_unix_ms: u64,
    pub stopped_unix_ms: u64,
    /// Writes whose commit was confirmed.
    pub acknowledged: u64,
    /// Of those, writes that a look found after an indeterminate attempt.
    pub found_after_indeterminate: u64,
    /// Failed attempts of every kind but conflicts: what users of the service would have noticed without its retries.
    pub service_errors: u64,
    pub connect_failures: u64,
    pub refused: u64,
    pub lost: u64,
    pub indeterminate: u64,
    pub conflicts: u64,
    /// Writes that never got an answer before the service stopped.
    pub unresolved: u64,
    /// The longest time without any acknowledged write, and when it began: the write pause as the service saw it.
    pub longest_gap_ms: u64,
    pub longest_gap_started_unix_ms: u64,
    /// Gaps of a quarter of a second and more, in order.
    pub gaps: Vec<Gap>,
    /// Addresses written to, in order.
    pub endpoints: Vec<String>,
}

pub(super) struct Records {
    inner: Mutex<Inner>,
}

struct Inner {
    acknowledged: File,
    errors: File,
    slow: File,
    stats: Stats,
    /// Why a slow statement could not be recorded.
    broken: Option<std::io::Error>,
    last: Instant,
    last_unix_ms: u64,
}

impl Records {
    pub(super) fn open(folder: &Path, clients: usize) -> Result<Self, LedgerError> {
        std::fs::create_dir_all(folder).map_err(LedgerError::io(format!("create {}", folder.display())))?;
        let now = unix_ms();
        let inner = Inner {
            acknowledged: append(&folder.join(ACKNOWLEDGED))?,
            errors: append(&folder.join(ERRORS))?,
            slow: append(&folder.join(SLOW))?,
            stats: Stats { clients, started_unix_ms: now, ..Stats::default() },
            broken: None,
            last: Instant::now(),
            last_unix_ms: now,
        };
        Ok(Self { inner: Mutex::new(inner) })
    }

    /// Records a confirmed commit; only when this returns is the write acknowledged.
    pub(super) fn acknowledge(&self, id: &str, found: bool, address: &str) -> Result<(), LedgerError> {
        let mut inner = self.lock();
        if let Some(broken) = inner.broken.take() {
            return Err(LedgerError::io("record a slow statement")(broken));
        }
        let line = format!("{id}\n");
        inner.acknowledged.write_all(line.as_bytes()).map_err(LedgerError::io("record an acknowledged write"))?;
        inner.close_gap();
        let stats = &mut inner.stats;
        stats.acknowledged += 1;
        stats.found_after_indeterminate += u64::from(found);
        if stats.endpoints.last().is_none_or(|last| last != address) {
            stats.endpoints.push(address.to_owned());
        }
        Ok(())
    }

    pub(super) fn fail(&self, id: &str, kind: Kind, code: u16, message: &str) -> Result<(), LedgerError> {
        let failure = Failure { unix_ms: unix_ms(), id: id.to_owned(), kind, code, message: message.to_owned() };
        let mut line =
            serde_json::to_vec(&failure).map_err(|source| LedgerError::Record { file: ERRORS.to_owned(), source })?;
        line.push(b'\n');
        let mut inner = self.lock();
        inner.errors.write_all(&line).map_err(LedgerError::io("record a failed write"))?;
        let stats = &mut inner.stats;
        match kind {
            Kind::Connect => stats.connect_failures += 1,
            Kind::Refused => stats.refused += 1,
            Kind::Lost => stats.lost += 1,
            Kind::Indeterminate => stats.indeterminate += 1,
            Kind::Conflict => stats.conflicts += 1,
            Kind::Unresolved => stats.unresolved += 1,
        }
        stats.service_errors += u64::from(!matches!(kind, Kind::Conflict | Kind::Unresolved));
        Ok(())
    }

    /// Awaits the answer to a statement, and records it if that takes long. A record that cannot be written fails the
    /// next acknowledgement, not the statement.
    pub(super) async fn timed<T>(&self, statement: impl Future<Output = T>) -> T {
        let (began_unix_us, began) = (unix_us(), Instant::now());
        let answer = statement.await;
        let took = began.elapsed();
        if took >= SLOW_STATEMENT {
            let line = format!("{began_unix_us} {}\n", took.as_micros());
            let mut inner = self.lock();
            let written = inner.slow.write_all(line.as_bytes());
            inner.broken = inner.broken.take().or(written.err());
        }
        answer
    }

    /// Puts what was recorded on disk. The lock is not held meanwhile: writers go on.
    pub(super) fn flush(&self) -> Result<(), LedgerError> {
        let file = self.lock().acknowledged.try_clone().map_err(LedgerError::io("share the record"))?;
        file.sync_data().map_err(LedgerError::io("flush the record"))
    }

    /// Writes the statistics. The time since the last acknowledged write does not count as a gap: the service stopped.
    pub(super) fn finish(&self, folder: &Path) -> Result<Stats, LedgerError> {
        self.flush()?;
        let mut inner = self.lock();
        inner.stats.stopped_unix_ms = unix_ms();
        let file = folder.join(STATS);
        let text = serde_json::to_vec_pretty(&inner.stats)
            .map_err(|source| LedgerError::Record { file: STATS.to_owned(), source })?;
        std::fs::write(&file, text).map_err(LedgerError::io(format!("write {}", file.display())))?;
        Ok(inner.stats.clone())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn close_gap(&mut self) {
        let (now, gap) = (Instant::now(), self.last.elapsed());
        let length_ms = u64::try_from(gap.as_millis()).unwrap_or(u64::MAX);
        let started_unix_ms = self.last_unix_ms;
        if length_ms > self.stats.longest_gap_ms {
            self.stats.longest_gap_ms = length_ms;
            self.stats.longest_gap_started_unix_ms = started_unix_ms;
        }
        if gap >= GAP_WORTH_KEEPING && self.stats.gaps.len() < GAPS_KEPT {
            self.stats.gaps.push(Gap { started_unix_ms, length_ms });
        }
        self.last = now;
        self.last_unix_ms = unix_ms();
    }
}

/// Reads the statistics that a service left in its folder.
///
/// # Errors
/// When the file is missing or not the ledger's.
pub fn read_stats(folder: &Path) -> Result<Stats, LedgerError> {
    let file = folder.join(STATS);
    let text = std::fs::read(&file).map_err(LedgerError::io(format!("read {}", file.display())))?;
    serde_json::from_slice(&text).map_err(|source| LedgerError::Record { file: file.display().to_string(), source })
}

/// Reads the slow statements that a service has recorded so far, in the order of their ends.
///
/// # Errors
/// When the file is missing or not the ledger's.
pub fn read_slow(folder: &Path) -> Result<Vec<Slow>, LedgerError> {
    let file = folder.join(SLOW);
    let text = std::fs::read_to_string(&file).map_err(LedgerError::io(format!("read {}", file.display())))?;
    let slow = |line: &str| {
        let (began, took) = line.split_once(' ')?;
        Some(Slow { began_unix_us: began.parse().ok()?, took_us: took.parse().ok()? })
    };
    let wrong = || LedgerError::io(format!("read {}", file.display()))(std::io::ErrorKind::InvalidData.into());
    text.lines().map(|line| slow(line).ok_or_else(wrong)).collect()
}

pub(super) fn unix_ms() -> u64 {
    unix_us() / 1000
}

fn unix_us() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

fn append(file: &Path) -> Result<File, LedgerError> {
    OpenOptions::new().create(true).append(true).open(file).map_err(LedgerError::io(format!("open {}", file.display())))
}
