//! One kill: a run, a death in it, what a service manager and an operator do then, and what is seen when the run has ended.
//!
//! Owns doing and seeing; `judge` says what must hold. Nothing is repaired here but what was killed: a dead server is
//! started again on its port and its files, a dead gate as well, and a dead engine's run is resumed.

use std::path::Path;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use piton_testkit::ledger::reconcile;
use piton_testkit::{Guarded, probe};
use rustix::process::Signal;
use serde_json::{Value, json};

use super::Result;
use super::judge::Seen;
use super::kills::{Kill, Victim, When};
use super::piton::{End, Piton, signal, standing, until};
use super::world::{Service, World};

/// A run comes to its point, and later to its end, within this.
const RUN_LIMIT: Duration = Duration::from_secs(150);
/// A mover is there within this of any instant; between two commands is none.
const MOVER_LIMIT: Duration = Duration::from_secs(10);
/// Writes of the service after the run has ended.
const LAST_WRITES: usize = 20;
/// A gate that was started again, or that nobody told, knows within this.
const GATE_LIMIT: Duration = Duration::from_secs(10);

/// What is struck in, for all kills of a campaign.
pub(super) struct Field<'a> {
    pub(super) world: &'a mut World,
    pub(super) piton: &'a Piton,
    pub(super) folder: &'a Path,
    pub(super) deadline: Duration,
}

/// What a kill brought, and what it took.
pub(super) struct Struck {
    pub(super) seen: Seen,
    /// The service's longest time without an acknowledged write.
    pub(super) pause_ms: u64,
    /// Tries and pause as the cutover itself tells them.
    pub(super) report: Option<Value>,
    pub(super) took: Duration,
}

/// The run ended before its mover stood where it was to be killed.
#[derive(Debug)]
pub(super) struct NeverCame(&'static str);

impl std::fmt::Display for NeverCame {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "the run ended before it came to {}", self.0)
    }
}

impl std::error::Error for NeverCame {}

/// A death: when the service wrote again after it, and how many of its connections ended by it.
struct Death {
    next_write: JoinHandle<Duration>,
    cut_off: u64,
}

impl Field<'_> {
    /// A run without a kill: how long it takes.
    pub(super) fn undisturbed(&mut self, epoch: u64) -> Result<Duration> {
        let service = self.world.service()?;
        let began = Instant::now();
        let mut engine = self.piton.run(self.world, epoch, None)?;
        until(&mut engine, RUN_LIMIT, || None::<()>)?;
        let took = began.elapsed();
        service.stop()?;
        match self.piton.end(self.world)? {
            Some(End::Succeeded) => Ok(took),
            other => Err(format!("a run that nobody disturbs ends as {other:?}").into()),
        }
    }

    pub(super) fn strike(&mut self, kill: Kill, epoch: u64, length: Duration) -> Result<Struck> {
        let marker = self.folder.join("standing");
        if marker.exists() {
            std::fs::remove_file(&marker)?;
        }
        let stop = match kill.when {
            When::At { point, .. } => Some(format!("{point}={}", marker.display())),
            When::Instant(_) => None,
        };
        let began = Instant::now();
        let service = self.world.service()?;
        let prober = probe::Prober::start(self.world.addresses(), self.world.account())?;
        let last = self.piton.last(self.world);
        let mut engine = self.piton.run(self.world, epoch, stop.as_deref())?;
        let stands = match kill.when {
            When::At { point, .. } => {
                let stands = until(&mut engine, RUN_LIMIT, || standing(&marker))?;
                Some(stands.ok_or(NeverCame(point))?)
            }
            When::Instant(part) => {
                std::thread::sleep(length.mul_f64(part));
                None
            }
        };
        let death = self.kill(kill, epoch, stands, (&mut engine, &service));
        if let Some(stands) = stands {
            signal(stands, Signal::CONT);
        }
        let death = death?;
        self.bring_back(kill.victim, epoch, (&mut engine, last))?;
        until(&mut engine, RUN_LIMIT, || None::<()>)?;
        let end = self.piton.end(self.world)?.ok_or("the engine has ended, and its run has not")?;
        service.writes_again(LAST_WRITES)?;
        let released = death.next_write.join().map_err(|_| "the thread that waits for a write panicked")?;
        let released_ms = u64::try_from(released.as_millis())?;
        let taken = prober.stop();
        let left = self.piton.sweep();
        let gate = self.settled_gate()?;
        let report = if end == End::Succeeded { self.piton.report(self.world) } else { None };
        let way_back = self.piton.way_back(self.world)?;
        let stats = service.stop()?;
        let took = began.elapsed();
        let (truth, world) = (self.piton.truth(self.world)?, &*self.world);
        let allowed = u64::try_from(self.deadline.as_millis())? + 1000;
        let writable =
            |epoch| -> Result<bool> { Ok(probe::refusal(&world.server(epoch).address(), &world.account())?.is_none()) };
        let seen = Seen {
            kill,
            epoch,
            end,
            truth,
            gate,
            books: reconcile(
                &world.ledger_folder(),
                &world.server(truth.unwrap_or(epoch)).address(),
                &world.account(),
            )?,
            cut_off: death.cut_off,
            writable: (writable(epoch + 1)?, writable(epoch)?),
            taken,
            places: (world.place(epoch + 1), world.place(epoch)),
            way_back,
            released_ms: kill.is_measured().then_some((released_ms, allowed)),
            left,
            stats,
        };
        Ok(Struck { pause_ms: seen.stats.longest_gap_ms, seen, report, took })
    }

    /// SIGKILL, exactly where it was to be.
    fn kill(&mut self, kill: Kill, epoch: u64, stands: Option<u32>, who: (&mut Guarded, &Service)) -> Result<Death> {
        let (engine, service) = who;
        let status = self.world.gate()?.ask(&json!({"do": "status"}))?;
        let clients = status["clients"].as_u64().unwrap_or_default();
        let gate_at = status["epoch"].as_u64().unwrap_or_default();
        // At c8 the gate goes to the target of its own accord, and its sessions follow one by one; so they may at a random instant.
        let at_c8 = matches!(kill.when, When::At { step: "c8", .. });
        let on_the_way = matches!(kill.when, When::Instant(_));
        let cut_off = match kill.victim {
            Victim::Gate => clients,
            Victim::Source if gate_at < epoch || at_c8 || on_the_way => clients,
            Victim::Target if gate_at >= epoch || at_c8 => clients,
            _ => 0,
        };
        let next_write = service.next_write();
        match kill.victim {
            Victim::Engine => drop(engine.kill()?),
            Victim::Mover => {
                let mover = match stands {
                    Some(stands) => Some(stands),
                    None => until(engine, MOVER_LIMIT, || self.piton.mover())?,
                };
                // None: the run was over; nothing is left to be killed.
                mover.iter().for_each(|id| signal(*id, Signal::KILL));
            }
            Victim::Gate => self.world.gate_mut()?.kill()?,
            Victim::Source => self.world.server_mut(epoch + 1).crash()?,
            Victim::Target => self.world.server_mut(epoch).crash()?,
        }
        Ok(Death { next_write, cut_off })
    }

    /// What a service manager does, and for an engine an operator.
    fn bring_back(&mut self, victim: Victim, epoch: u64, who: (&mut Guarded, Option<String>)) -> Result<()> {
        let (engine, before) = who;
        match victim {
            // It died before there was a run: what did not begin is begun.
            Victim::Engine if self.piton.last(self.world) == before => {
                *engine = self.piton.run(self.world, epoch, None)?;
            }
            Victim::Engine => *engine = self.piton.resume(self.world)?,
            Victim::Mover => {}
            Victim::Gate => self.world.gate_mut()?.restart()?,
            Victim::Source => self.world.server_mut(epoch + 1).restart()?,
            Victim::Target => self.world.server_mut(epoch).restart()?,
        }
        Ok(())
    }

    /// The gate's epoch and whether it holds, once it holds no more or for too long.
    fn settled_gate(&self) -> Result<(Option<u64>, bool)> {
        let began = Instant::now();
        loop {
            let status = self.piton.gate_status(self.world)?;
            let held = status["held"] != false;
            if !held || began.elapsed() > GATE_LIMIT {
                return Ok((status["epoch"].as_u64(), held));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
