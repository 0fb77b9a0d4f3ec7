//! A move that runs: its tasks, and what others may ask of it.
//!
//! Owns starting the parts in the right order and ending them together: the first error ends all. Dropping a
//! [`Mover`] is as good as killing its process: what is committed stands, and the next [`Mover::start`] goes on from
//! it.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use mysql_async::Conn;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;

use crate::apply::{Lane, Shared};
use crate::checkpoint::{self, Found, Right};
use crate::config::Config;
use crate::copy::{Copier, now_us};
use crate::error::{MoveError, Result, Side};
use crate::position::Position;
use crate::progress::{Frontier, Phase, Progress};
use crate::schema::Table;
use crate::sequence::Sequencer;
use crate::session;
use crate::source::heartbeat::{self, Mark};
use crate::source::log::Log;
use crate::throttle::Throttle;
use crate::verify::{self, Verified};

/// How often the source gets a heartbeat: bounds how far an idle lane's checkpoint lies back, and how fresh the lag is.
const BEAT: Duration = Duration::from_millis(500);

/// A running move.
pub struct Mover {
    config: Config,
    tables: Vec<Table>,
    frontier: Arc<Frontier>,
    copied: watch::Receiver<bool>,
    tasks: JoinSet<Result<()>>,
    /// For the caller's questions.
    source: Conn,
}

impl std::fmt::Debug for Mover {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Mover").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Mover {
    /// Begins the move, or goes on with it where a mover of the same name stopped.
    ///
    /// # Errors
    /// [`MoveError::Refused`] when the preflight finds something; a halt when the source is no longer the server it
    /// was; and when a server cannot be used.
    pub async fn start(config: Config) -> std::result::Result<Self, MoveError> {
        let mut source = session::open(Side::Source, &config.source).await?;
        let mut target = session::open(Side::Target, &config.target).await?;
        let (preflight, tables) = crate::preflight::look(&config, &mut source, &mut target).await?;
        if !preflight.refusals.is_empty() {
            return Err(MoveError::Refused(preflight.refusals));
        }
        heartbeat::install(&mut source, &config.name).await?;
        let shape =
            crate::schema::read(&mut source, Side::Source, &heartbeat::table()).await?.ok_or(MoveError::Ended)?;
        let identity = session::identity(&mut source).await?;
        // Before the first chunk is read: whatever changes from here on is in the log.
        let start = session::position(&mut source).await?;
        checkpoint::install(&mut target, &config, &identity, &start).await?;
        let found = checkpoint::take_over(&mut target, &config).await?;
        if !session::is_same(&found.identity, &identity) {
            return Err(MoveError::halt(
                format!("the source was {} when the move began and is {identity}", found.identity),
                "a file and an offset mean nothing after a promotion or restart: begin the move anew",
            ));
        }
        Self::launch(config, tables, shape, found, source).await
    }

    async fn launch(config: Config, tables: Vec<Table>, shape: Table, found: Found, source: Conn) -> Result<Self> {
        let from = found.positions.iter().min().cloned().ok_or(MoveError::Ended)?;
        let done = Progress {
            copied_rows: found.chunks.iter().map(|chunk| chunk.rows).sum(),
            copied_bytes: found.chunks.iter().map(|chunk| chunk.bytes).sum(),
            total_rows: tables.iter().map(|table| table.estimated_rows).sum(),
            ..Progress::default()
        };
        let frontier = Arc::new(Frontier::new(from.clone(), done));
        let applying = found.lanes as usize;
        let lanes = applying + config.limits.copiers as usize;
        let shared = Arc::new(Shared {
            tables: tables.clone(),
            statement_bytes: config.limits.statement_bytes,
            frontier: Arc::clone(&frontier),
            done: (0..lanes).map(|_| watch::Sender::new(0)).collect(),
        });
        let mut tasks = JoinSet::new();
        let mut senders = Vec::with_capacity(lanes);
        for (index, lane) in (0..lanes).zip(0..) {
            let (sender, work) = mpsc::unbounded_channel();
            let conn = session::open(Side::Target, &config.target).await?;
            let right = Right { name: config.name.clone(), lane, generation: found.generation };
            tasks.spawn(Lane { index, conn, right, shared: Arc::clone(&shared), work }.run());
            senders.push(sender);
        }
        let (tell, copier) = mpsc::unbounded_channel();
        let (spoil, spoiled) = mpsc::unbounded_channel();
        let log = Log::open(&config, tables.clone(), shape, from.clone()).await?;
        let sequencer = Sequencer {
            log,
            shared,
            lanes: senders,
            applying,
            checkpoints: found.positions.clone(),
            room: Arc::new(Semaphore::new(config.limits.queue_bytes)),
            queue_bytes: config.limits.queue_bytes,
            part_bytes: config.limits.part_bytes,
            from,
            copier,
            spoiled: spoil,
        };
        tasks.spawn(sequencer.run());
        let copied = watch::Sender::new(false);
        let is_copied = copied.subscribe();
        let mut replicas = Vec::with_capacity(config.replicas.len());
        for replica in &config.replicas {
            replicas.push(session::open(Side::Source, replica).await?);
        }
        let throttle =
            Throttle { conn: session::open(Side::Source, &config.source).await?, replicas, limits: config.limits };
        let copier = Copier {
            conn: session::open(Side::Source, &config.source).await?,
            config: config.clone(),
            tables: tables.clone(),
            throttle,
            frontier: Arc::clone(&frontier),
            // Microseconds: no mover before this one used a token as high.
            tokens: Arc::new(AtomicU64::new(now_us())),
            tell,
            spoiled,
            copied,
        };
        tasks.spawn(copier.run(found.chunks));
        tasks.spawn(beat(session::open(Side::Source, &config.source).await?, config.name.clone()));
        Ok(Self { config, tables, frontier, copied: is_copied, tasks, source })
    }

    /// How far the move is, now and whenever it changes.
    #[must_use]
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.frontier.progress()
    }

    /// How far the move is, with positions.
    #[must_use]
    pub fn look(&self) -> Progress {
        self.frontier.look()
    }

    /// Everything of the log up to this position is on the target, as far as it concerns the moved tables. Changes as
    /// lanes commit: the cutover's c4 waits on it.
    #[must_use]
    pub fn applied(&self) -> watch::Receiver<Position> {
        self.frontier.applied()
    }

    /// Where the source's log ends now. For an end that stays, fence the source first.
    ///
    /// # Errors
    /// When the source cannot say.
    pub async fn source_position(&mut self) -> std::result::Result<Position, MoveError> {
        session::position(&mut self.source).await
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

    /// Waits until everything up to `position` is applied.
    ///
    /// # Errors
    /// What ended the move, if it ends before.
    pub async fn wait_applied(&mut self, position: &Position) -> std::result::Result<(), MoveError> {
        let mut applied = self.frontier.applied();
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
        let verifying = verify::verify(&self.config, &self.tables, self.frontier.applied());
        tokio::select! {
            verified = verifying => verified,
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

async fn beat(mut conn: Conn, name: String) -> Result<()> {
    let mut every = tokio::time::interval(BEAT);
    loop {
        every.tick().await;
        heartbeat::write(&mut conn, &name, Mark { token: 0, at_us: now_us() }).await?;
    }
}
