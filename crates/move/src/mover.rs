//! A move that runs, and what others may ask of it.
//!
//! Owns the answers, and ending all parts together: the first error ends all. Dropping a [`Mover`] is as good as
//! killing its process: what is committed stands, and the next [`Mover::start`] goes on from it.

use std::sync::Arc;

use mysql_async::Conn;
use mysql_async::prelude::Queryable as _;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

use crate::apply::Shared;
use crate::checkpoint::{self, Found};
use crate::config::Config;
use crate::copy::Repair;
use crate::counters;
use crate::error::{MoveError, Result, Side};
use crate::position::Position;
use crate::progress::{Phase, Progress};
use crate::ready::Ready;
use crate::schema::{Dialect, Table};
use crate::session;
use crate::throttle::Pace;
use crate::verify::dirty::Dirty;
use crate::verify::{Difference, Ends, Verified, Verifier};

/// Dirty keys looked at together when somebody waits for it.
const AT_ONCE: usize = 1000;

/// A running move.
pub struct Mover {
    pub(crate) config: Config,
    pub(crate) tables: Arc<Vec<(Table, Table)>>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) copied: watch::Receiver<bool>,
    pub(crate) pace: Arc<Pace>,
    pub(crate) tasks: JoinSet<Result<()>>,
    /// For the caller's questions; taken out while one is asked, as [`Mover::asking`] says.
    pub(crate) asked: Option<Asked>,
    pub(crate) repair: mpsc::UnboundedSender<Repair>,
}

/// Sessions for the caller's questions.
pub(crate) struct Asked {
    pub(crate) source: Conn,
    pub(crate) verifier: Verifier,
}

impl std::fmt::Debug for Mover {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Mover").field("config", &self.config).finish_non_exhaustive()
    }
}

/// The feed of the other direction: the same machine with source and target exchanged. Its record stands on its target
/// before anybody waits, so that arming it inside a pause writes nothing.
pub struct Reverse {
    ready: Ready,
    found: Found,
}

impl std::fmt::Debug for Reverse {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Reverse").finish_non_exhaustive()
    }
}

impl Reverse {
    /// Connects, looks at both sides, and records the feed, durably, as one that follows everything from here on. `config`
    /// names as its source the server that will be written to, as its target the one that was, and the epoch of the new
    /// direction.
    ///
    /// What its source logs until the application writes there, movers have written, and it goes past that (I9).
    ///
    /// # Errors
    /// [`MoveError::Refused`] when the preflight finds something: that the new platform writes no log, for one.
    /// [`MoveError::Retired`] when its target belongs to a later epoch.
    pub async fn prepare(config: Config) -> std::result::Result<Self, MoveError> {
        let mut ready = Ready::make(config, true).await?;
        let here = session::position(&mut ready.source).await?;
        let found = ready.record(&here, true).await?;
        Ok(Self { ready, found })
    }

    /// Where the log of the new direction ends now: c6's position, before anybody writes there (I5).
    ///
    /// # Errors
    /// When the server cannot say.
    pub async fn position(&mut self) -> std::result::Result<Position, MoveError> {
        session::position(&mut self.ready.source).await
    }

    /// Whether a later [`Mover::start`] with the same configuration follows everything after `from`. Both sides must be
    /// equal there: nothing is copied.
    ///
    /// # Errors
    /// When the record does not reach as far back, as the log was begun anew since.
    pub fn stands(&self, from: &Position) -> std::result::Result<(), MoveError> {
        if self.found.positions.iter().all(|recorded| recorded <= from) {
            return Ok(());
        }
        Err(MoveError::halt(
            format!(
                "the log of the new side ends at {from}, before the place from where the way back was to follow it"
            ),
            "somebody has reset that log; leave it alone, and cut over again",
        ))
    }

    /// Starts to follow everything after `from`.
    ///
    /// # Errors
    /// As [`Reverse::stands`], and when its source cannot give its log.
    pub async fn arm(self, from: &Position) -> std::result::Result<Mover, MoveError> {
        self.stands(from)?;
        self.ready.launch(self.found).await
    }
}

impl Mover {
    /// Begins the move, or goes on with it where a mover of the same name stopped.
    ///
    /// # Errors
    /// [`MoveError::Refused`] when the preflight finds something; a halt when the source is no longer the server it
    /// was; and when a server cannot be used.
    pub async fn start(config: Config) -> std::result::Result<Self, MoveError> {
        let mut ready = Ready::make(config, false).await?;
        // Before the first chunk is read: whatever changes from here on is in the log.
        let start = session::position(&mut ready.source).await?;
        let found = ready.record(&start, false).await?;
        ready.launch(found).await
    }

    /// Gives the target of the move `name`, at the URL `target`, to a later epoch: once this returns, no mover of an
    /// older one can commit there, whether it still runs or not.
    ///
    /// # Errors
    /// When the target cannot be written to.
    pub async fn retire(target: &str, name: &str, epoch: u64) -> std::result::Result<(), MoveError> {
        let mut target = session::open(Side::Target, target).await?;
        checkpoint::retire(&mut target, name, epoch).await
    }

    /// How far the move is, now and whenever it changes.
    #[must_use]
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.shared.frontier.progress()
    }

    /// How far the move is, with positions.
    #[must_use]
    pub fn look(&self) -> Progress {
        self.shared.frontier.look()
    }

    /// Everything of the log up to this position is on the target, as far as it concerns the moved tables. Changes as
    /// lanes commit: the cutover's c4 waits on it.
    #[must_use]
    pub fn applied(&self) -> watch::Receiver<Position> {
        self.shared.frontier.applied()
    }

    /// Where the source's log ends now. For an end that stays, fence the source first.
    ///
    /// # Errors
    /// When the source cannot say.
    pub async fn source_position(&mut self) -> std::result::Result<Position, MoveError> {
        let mut asked = self.asking().await?;
        let position = session::position(&mut asked.source).await?;
        self.asked = Some(asked);
        Ok(position)
    }

    /// The sessions for a question; whoever has its answer puts them back. A session whose answer nobody waited for, as a
    /// deadline had passed, has that answer to come still and would give it to the next question: it is gone with the
    /// question, and the next one opens others.
    async fn asking(&mut self) -> Result<Asked> {
        if let Some(asked) = self.asked.take() {
            return Ok(asked);
        }
        let source = session::open(Side::Source, &self.config.source).await?;
        let applied = self.shared.frontier.applied();
        Ok(Asked { source, verifier: Verifier::open(&self.config, Arc::clone(&self.tables), applied).await? })
    }

    /// Waits until all tables are copied.
    ///
    /// # Errors
    /// What ended the move, if it ends before.
    pub async fn wait_copied(&mut self) -> std::result::Result<(), MoveError> {
        let mut copied = self.copied.clone();
        tokio::select! {
            // What a channel lends must not be held while waiting.
            is_copied = async { copied.wait_for(|copied| *copied).await.is_ok() } => match is_copied {
                true => Ok(()),
                false => Err(ended(&mut self.tasks).await),
            },
            error = ended(&mut self.tasks) => Err(error),
        }
    }

    /// Lets the copy read so many chunks more than [`crate::Limits::chunks`] and earlier calls allowed.
    pub fn allow_chunks(&self, more: u64) {
        self.pace.allow(more);
    }

    /// Waits until the copy stands because it may read no more chunks (`true`), or everything is copied (`false`). It
    /// stands between two watermarks, before a chunk is read.
    ///
    /// # Errors
    /// What ended the move, if it ends before.
    pub async fn wait_standing(&mut self) -> std::result::Result<bool, MoveError> {
        let mut copied = self.copied.clone();
        tokio::select! {
            () = self.pace.stood() => Ok(true),
            outcome = copied.wait_for(|copied| *copied) => match outcome {
                Ok(_) => Ok(false),
                Err(_) => Err(ended(&mut self.tasks).await),
            },
            error = ended(&mut self.tasks) => Err(error),
        }
    }

    /// Waits until everything up to `position` is applied.
    ///
    /// # Errors
    /// What ended the move, if it ends before.
    pub async fn wait_applied(&mut self, position: &Position) -> std::result::Result<(), MoveError> {
        let mut applied = self.shared.frontier.applied();
        tokio::select! {
            outcome = applied.wait_for(|applied| applied >= position) => match outcome {
                Ok(_) => Ok(()),
                Err(_) => Err(MoveError::Ended),
            },
            error = ended(&mut self.tasks) => Err(error),
        }
    }

    /// Waits until the move ends, and says why.
    pub async fn ended(&mut self) -> MoveError {
        ended(&mut self.tasks).await
    }

    /// Compares all tables, while they change. Rows that differ only because the stream is on its way are looked at
    /// again after it has passed.
    ///
    /// # Errors
    /// When a server cannot be read, or the move ends meanwhile.
    pub async fn verify(&mut self) -> std::result::Result<Verified, MoveError> {
        if self.look().phase == Phase::Copying {
            self.wait_copied().await?;
        }
        let (config, tables, applied) = (&self.config, Arc::clone(&self.tables), self.shared.frontier.applied());
        let dirty = &self.shared.dirty;
        let verifying = async {
            let ends = Ends::open(config, Arc::clone(&tables)).await?;
            Verifier::open(config, tables, applied).await?.all(ends, dirty).await
        };
        tokio::select! {
            verified = verifying => verified,
            error = ended(&mut self.tasks) => Err(error),
        }
    }

    /// How much changed since both sides were last seen to be equal there.
    #[must_use]
    pub fn dirty(&self) -> Dirty {
        self.shared.dirty.count()
    }

    /// Rows known to differ. They are looked at again until they do no more.
    #[must_use]
    pub fn differences(&self) -> Vec<Difference> {
        self.shared.dirty.differences()
    }

    /// Raises the target's counters of ids beyond the source's: before a fence, so that none is behind at it.
    ///
    /// # Errors
    /// When a server cannot be used.
    pub async fn raise_counters(&mut self) -> std::result::Result<(), MoveError> {
        let mut target = session::open(Side::Target, &self.config.target).await?;
        if session::dialect(&mut target, Side::Target).await? != Dialect::TiDb {
            let off = target.query_drop("SET SESSION sql_log_bin = 0").await;
            off.map_err(MoveError::server(Side::Target, "set up a session"))?;
        }
        let mut asked = self.asking().await?;
        counters::raise(&mut asked.source, &mut target, &self.config.tables).await?;
        self.asked = Some(asked);
        Ok(())
    }

    /// The tables whose ids the target would hand out again.
    ///
    /// # Errors
    /// When a server cannot be read.
    pub async fn counters_behind(&mut self) -> std::result::Result<Vec<String>, MoveError> {
        let mut asked = self.asking().await?;
        let behind = counters::behind(&mut asked.source, &mut asked.verifier.target, &self.config.tables).await?;
        self.asked = Some(asked);
        Ok(behind)
    }

    /// Looks at all keys that are dirty now, once, on connections of its own: the cutover's c5, after the fence and the
    /// drain. What it found equal is no longer dirty; what is left, [`Mover::dirty`] says.
    ///
    /// # Errors
    /// When a server cannot be read, or the move ends meanwhile.
    pub async fn verify_dirty(&mut self) -> std::result::Result<Verified, MoveError> {
        let mut asked = self.asking().await?;
        asked.verifier.found = Verified::default();
        let (dirty, verifier) = (Arc::clone(&self.shared.dirty), &mut asked.verifier);
        let looking = async {
            // At most what there is now: keys may become dirty as fast as they are looked at.
            let mut left = dirty.count().keys;
            while left > 0 {
                let batch = dirty.oldest(left.min(AT_ONCE));
                if batch.is_empty() {
                    break;
                }
                left -= batch.len();
                verifier.look(&dirty, batch).await?;
            }
            Ok(std::mem::take(&mut verifier.found))
        };
        let verified = tokio::select! {
            verified = looking => verified?,
            error = ended(&mut self.tasks) => return Err(error),
        };
        self.asked = Some(asked);
        Ok(verified)
    }

    /// Writes rows that differ anew, each logged as a defect on the target in the same transaction. They are read
    /// between two watermarks as every row is: one that changes meanwhile is left to the log. Gives how many were
    /// written.
    ///
    /// # Errors
    /// What ended the move, if it ends before.
    pub async fn repair(&mut self, differences: &[Difference]) -> std::result::Result<u64, MoveError> {
        self.wait_copied().await?;
        let (repaired, told) = oneshot::channel();
        let repair = Repair { differences: differences.to_vec(), repaired };
        self.repair.send(repair).map_err(|_| MoveError::Ended)?;
        tokio::select! {
            told = told => match told {
                Ok(repaired) => Ok(repaired),
                Err(_) => Err(ended(&mut self.tasks).await),
            },
            error = ended(&mut self.tasks) => Err(error),
        }
    }

    /// Stops. What is committed stands; a later [`Mover::start`] goes on from it.
    pub async fn stop(mut self) {
        self.tasks.shutdown().await;
    }
}

/// The first error that ends a task; tasks that end well are no reason.
async fn ended(tasks: &mut JoinSet<Result<()>>) -> MoveError {
    let mut consequence = None;
    while let Some(outcome) = tasks.join_next().await {
        match outcome {
            // Another task's end closed this one's channels: the cause is still to come.
            Ok(Err(MoveError::Ended)) => consequence = Some(MoveError::Ended),
            Ok(Err(error)) => return error,
            Ok(Ok(())) => {}
            Err(failure) if failure.is_panic() => std::panic::resume_unwind(failure.into_panic()),
            Err(_) => consequence = Some(MoveError::Ended),
        }
    }
    consequence.unwrap_or(MoveError::Ended)
}
