//! Everything that a mover needs before its first statement, so that arming a feed inside a write pause costs nothing.
//!
//! Owns opening connections, the preflight, and starting a mover's tasks in the right order. Never decides when.

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
use crate::mover::{Asked, Mover};
use crate::position::Position;
use crate::preflight::{Looked, Mode};
use crate::progress::{Frontier, Phase, Progress};
use crate::schema::Table;
use crate::sequence::Sequencer;
use crate::session;
use crate::source::heartbeat::{self, Mark};
use crate::source::log::Log;
use crate::throttle::{Pace, Throttle};
use crate::verify::dirty::DirtyKeys;
use crate::verify::{self, Ends, Verifier};

/// How often the source gets a heartbeat: bounds how far an idle lane's checkpoint lies back, and how fresh the lag is.
const BEAT: Duration = Duration::from_millis(500);
/// The server's codes for a write to a server that is fenced: MariaDB's and MySQL's, and TiDB's.
const READ_ONLY: [u16; 2] = [1290, 1836];

/// A mover that has not begun.
pub(crate) struct Ready {
    config: Config,
    looked: Looked,
    shape: Table,
    identity: String,
    pub(crate) source: Conn,
    target: Conn,
    lanes: Vec<Conn>,
    log: Conn,
    copier: Conn,
    throttle: Throttle,
    beat: Conn,
    verifiers: [(Conn, Conn); 2],
    ends: Conn,
}

impl Ready {
    /// Opens everything. `armed`: both sides are equal already.
    pub(crate) async fn make(config: Config, armed: bool) -> Result<Self> {
        let mut source = session::open(Side::Source, &config.source).await?;
        let mut target = session::open(Side::Target, &config.target).await?;
        let mode = if armed { Mode::Armed } else { Mode::There };
        let looked = crate::preflight::look(&config, &mut source, &mut target, mode).await?;
        if !looked.found.refusals.is_empty() {
            return Err(MoveError::Refused(looked.found.refusals));
        }
        heartbeat::install(&mut source, &config.name).await?;
        let shape =
            crate::schema::read(&mut source, Side::Source, &heartbeat::table()).await?.ok_or(MoveError::Ended)?;
        let identity = session::identity(&mut source).await?;
        checkpoint::install(&mut target).await?;
        let mut lanes = Vec::new();
        for _ in 0..config.limits.lanes + config.limits.copiers {
            lanes.push(session::open(Side::Target, &config.target).await?);
        }
        let mut replicas = Vec::with_capacity(config.replicas.len());
        for replica in &config.replicas {
            replicas.push(session::open(Side::Source, replica).await?);
        }
        let on_source = || session::open(Side::Source, &config.source);
        let on_target = || session::open(Side::Target, &config.target);
        Ok(Self {
            log: on_source().await?,
            copier: on_source().await?,
            throttle: Throttle { conn: on_source().await?, replicas, limits: config.limits },
            beat: on_source().await?,
            verifiers: [(on_source().await?, on_target().await?), (on_source().await?, on_target().await?)],
            ends: on_source().await?,
            config,
            looked,
            shape,
            identity,
            source,
            target,
            lanes,
        })
    }

    /// Records the move, if it is new, as beginning at `start`, and takes it over: durable when this returns.
    pub(crate) async fn record(&mut self, start: &Position, armed: bool) -> Result<Found> {
        checkpoint::record(&mut self.target, &self.config, &self.identity, start, armed).await?;
        let found = checkpoint::take_over(&mut self.target, &self.config).await?;
        if !session::is_same(&found.identity, &self.identity) {
            return Err(MoveError::halt(
                format!("the source was {} when the move began and is {}", found.identity, self.identity),
                "a file and an offset mean nothing after a promotion or restart: begin the move anew",
            ));
        }
        Ok(found)
    }

    /// Starts its tasks.
    pub(crate) async fn launch(self, found: Found) -> Result<Mover> {
        let Self { config, looked, shape, source, mut lanes, log, copier, throttle, beat, verifiers, ends, .. } = self;
        let tables = looked.tables;
        let targets: Vec<Table> = tables.iter().map(|table| table.on_target(looked.dialect)).collect();
        let from = found.positions.iter().min().cloned().ok_or(MoveError::Ended)?;
        let done = Progress {
            phase: if found.armed { Phase::Following } else { Phase::Copying },
            copied_rows: found.chunks.iter().map(|chunk| chunk.rows).sum(),
            copied_bytes: found.chunks.iter().map(|chunk| chunk.bytes).sum(),
            total_rows: tables.iter().map(|table| table.estimated_rows).sum(),
            ..Progress::default()
        };
        let applying = found.lanes as usize;
        let count = applying + config.limits.copiers as usize;
        while lanes.len() < count {
            lanes.push(session::open(Side::Target, &config.target).await?);
        }
        let shared = Arc::new(Shared {
            statement_bytes: config.limits.statement_bytes,
            split_bytes: looked.split_bytes,
            dirty: Arc::new(DirtyKeys::new(tables.len())),
            frontier: Arc::new(Frontier::new(from.clone(), done)),
            done: (0..count).map(|_| watch::Sender::new(0)).collect(),
            tables: targets.clone(),
        });
        let mut tasks = JoinSet::new();
        let mut senders = Vec::with_capacity(count);
        for ((index, lane), conn) in (0..count).zip(0..).zip(lanes) {
            let (sender, work) = mpsc::unbounded_channel();
            let right = Right { name: config.name.clone(), lane, generation: found.generation, epoch: config.epoch };
            tasks.spawn(Lane { index, conn, right, shared: Arc::clone(&shared), work }.run());
            senders.push(sender);
        }
        let (tell, from_copier) = mpsc::unbounded_channel();
        let (spoil, spoiled) = mpsc::unbounded_channel();
        let log = Log::open(log, &config, tables.clone(), shape, from.clone()).await?;
        tasks.spawn(sequencer(log, &shared, &config, &found, from, senders, from_copier, spoil).run());
        let copied = watch::Sender::new(false);
        let is_copied = copied.subscribe();
        let pace = Arc::new(Pace::new(config.limits.chunks));
        let (repair, repairs) = mpsc::unbounded_channel();
        let copier = Copier {
            conn: copier,
            config: config.clone(),
            tables: tables.clone(),
            throttle,
            pace: Arc::clone(&pace),
            frontier: Arc::clone(&shared.frontier),
            // Microseconds: no mover before this one used a token as high.
            tokens: Arc::new(AtomicU64::new(now_us())),
            tell,
            spoiled,
            copied,
            repairs,
        };
        tasks.spawn(copier.run((!found.armed).then_some(found.chunks)));
        tasks.spawn(beats(beat, config.name.clone()));
        let pairs = Arc::new(tables.into_iter().zip(targets).collect::<Vec<_>>());
        let [kept, asked] = verifiers.map(|pair| Verifier::new(pair, Arc::clone(&pairs), shared.frontier.applied()));
        let ends = Ends { source: ends, tables: Arc::clone(&pairs), chunk_rows: config.limits.chunk_rows };
        tasks.spawn(verify::keep(kept, ends, Arc::clone(&shared.dirty), is_copied.clone(), shared.frontier.progress()));
        let asked = Asked { source, verifier: asked };
        Ok(Mover { config, tables: pairs, shared, copied: is_copied, pace, tasks, asked: Some(asked), repair })
    }
}

fn sequencer(
    log: Log,
    shared: &Arc<Shared>,
    config: &Config,
    found: &Found,
    from: Position,
    lanes: Vec<mpsc::UnboundedSender<crate::apply::Work>>,
    copier: mpsc::UnboundedReceiver<crate::copy::FromCopier>,
    spoiled: mpsc::UnboundedSender<crate::copy::Spoiled>,
) -> Sequencer {
    Sequencer {
        log,
        shared: Arc::clone(shared),
        lanes,
        applying: found.lanes as usize,
        checkpoints: found.positions.clone(),
        partial: found.partial.clone(),
        room: Arc::new(Semaphore::new(config.limits.queue_bytes)),
        queue_bytes: config.limits.queue_bytes,
        part_bytes: config.limits.part_bytes,
        from,
        copier,
        spoiled,
    }
}

/// A source that is fenced takes no heartbeat, and needs none: its log stands still.
async fn beats(mut conn: Conn, name: String) -> Result<()> {
    let mut every = tokio::time::interval(BEAT);
    loop {
        every.tick().await;
        match heartbeat::write(&mut conn, &name, Mark { token: 0, at_us: now_us() }).await {
            Err(MoveError::Server { source: mysql_async::Error::Server(error), .. })
                if READ_ONLY.contains(&error.code) => {}
            outcome => outcome?,
        }
    }
}
