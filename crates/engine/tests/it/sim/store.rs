//! A store in memory: one run's journal, its lease with a fencing number, its inbox, its side log.
//!
//! Owns refusing what a real store refuses (an old lease, a gap, a broken chain), failing on demand, and dying with the
//! engine: when the world kills a life in the middle of an append, what came before stays and nothing later is stored.

use super::children::Family;
use super::plant::Plant;
use super::world::{Who, World};
use piton_core::event::Event;
use piton_core::hold::Decision;
use piton_core::ids::EngineId;
use piton_core::lock::{Locked, Locking, Locks};
use piton_core::park::Rest;
use piton_core::ports::{
    Along, InboxEntry, InboxMessage, Lease, LeaseOutcome, NewRun, RunSummary, SideLog, SideLogs, Store, StoreError,
    StoreErrorKind,
};
use piton_core::record::{Chain, Sealed};
use piton_core::{Digest, Path, RunId, RunState};
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

#[derive(Default)]
pub(crate) struct Kept {
    pub(crate) records: Vec<Sealed>,
    pub(crate) events: Vec<Event>,
    state: RunState,
    fence: u64,
    held: bool,
    inbox: Vec<InboxEntry>,
    /// Number of records of each append.
    pub(crate) appends: Vec<usize>,
    /// Appends fail, storing nothing, once the journal has this many records.
    pub(crate) full_at: Option<usize>,
    /// The inbox cannot be read.
    pub(crate) inbox_fails: bool,
    pub(crate) commit_takes: Duration,
    pub(crate) side: Vec<Sealed>,
    pub(crate) side_room: usize,
    pub(crate) side_takes: Duration,
    pub(crate) side_prepared: bool,
    /// What becomes of the run where nobody drives it.
    pub(crate) rest: Rest,
    /// A fault between the engine and its journal.
    pub(crate) plant: Option<Plant>,
}

pub(crate) struct MemStore {
    world: Arc<World>,
    kept: Mutex<Kept>,
    /// Of all runs that share it.
    locks: Arc<Mutex<Locks>>,
    /// Child runs, which are in the same store.
    family: Arc<Family>,
}

pub(crate) struct MemLease {
    run: RunId,
    fence: u64,
    store: Arc<MemStore>,
}

impl Lease for MemLease {
    fn run(&self) -> &RunId {
        &self.run
    }

    fn fence(&self) -> u64 {
        self.fence
    }
}

impl Drop for MemLease {
    fn drop(&mut self) {
        let mut kept = self.store.kept();
        if kept.fence == self.fence {
            kept.held = false;
        }
    }
}

impl Kept {
    fn chain(&self) -> Chain {
        let head = self.records.last().map_or(Digest::ZERO, |last| last.hash);
        Chain { seq: self.records.len() as u64, head }
    }

    /// One that does not follow is a mistake of the engine's. Gives the scopes whose locks end with it.
    fn keep(&mut self, sealed: Sealed) -> Result<Vec<Path>, StoreError> {
        let record = self.chain().open(&sealed);
        let record = record.map_err(|error| refused(StoreErrorKind::OutOfOrder, &error.to_string()))?;
        let ended = piton_core::lock::released(&self.state, &record.event);
        self.state.apply(&record);
        self.events.push(record.event);
        self.records.push(sealed);
        Ok(ended)
    }
}

fn refused(kind: StoreErrorKind, message: &str) -> StoreError {
    StoreError { kind, message: message.to_owned(), source: None }
}

impl MemStore {
    pub(crate) fn new(world: &Arc<World>) -> Arc<Self> {
        let kept = Kept { side_room: 1000, ..Kept::default() };
        Arc::new(Self { world: world.clone(), kept: Mutex::new(kept), locks: Arc::default(), family: Arc::default() })
    }

    pub(crate) fn family(&self) -> Arc<Family> {
        self.family.clone()
    }

    /// An engine holds its lease, and lives.
    pub(crate) fn is_held(&self) -> bool {
        let kept = self.kept();
        kept.held && !self.world.is_dead(kept.fence as u32)
    }

    /// The store of that run, where it is another.
    fn other(&self, run: &RunId) -> Option<Arc<MemStore>> {
        self.family.store(run).filter(|other| !std::ptr::eq(&raw const **other, self))
    }

    /// A store of another run that shares this one's locks.
    pub(crate) fn beside(&self, world: &Arc<World>) -> Arc<Self> {
        let kept = Kept { side_room: 1000, ..Kept::default() };
        let (locks, family) = (self.locks.clone(), self.family.clone());
        Arc::new(Self { world: world.clone(), kept: Mutex::new(kept), locks, family })
    }

    pub(crate) fn locks_now(&self) -> Locks {
        self.locks.lock().unwrap().clone()
    }

    /// Names that the run holds now.
    pub(crate) fn held_by(&self, run: &RunId) -> Vec<String> {
        let held = self.locks_now().held.into_iter().filter(|held| held.run == *run);
        held.map(|held| held.name).collect()
    }

    fn release(&self, run: &RunId, released: &[Path]) {
        let mut locks = self.locks.lock().unwrap();
        let keeps = |held: &Locked| held.run != *run || !released.contains(&held.path);
        locks.held.retain(keeps);
        locks.waiting.retain(keeps);
        locks.called.retain(keeps);
    }

    pub(crate) fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the lease, by force where someone holds it. Lives are numbered by their fence.
    pub(crate) fn take_lease(self: &Arc<Self>, run: &RunId) -> MemLease {
        let mut kept = self.kept();
        kept.fence += 1;
        kept.held = true;
        MemLease { run: run.clone(), fence: kept.fence, store: self.clone() }
    }

    pub(crate) fn state(&self) -> RunState {
        self.kept().state.clone()
    }

    pub(crate) fn intended(&self, who: &Who) -> bool {
        self.any(|event| {
            matches!(event, Event::AttemptStarted(e)
                if e.path == who.path && e.generation == who.generation && e.attempt == who.attempt)
        })
    }

    pub(crate) fn undo_intended(&self, who: &Who) -> bool {
        self.any(|event| {
            matches!(event, Event::UndoStarted(e)
                if e.path == who.path && e.generation == who.generation && e.attempt == who.attempt)
        })
    }

    pub(crate) fn succeeded(&self, who: &Who) -> bool {
        self.any(
            |event| matches!(event, Event::StepSucceeded(e) if e.path == who.path && e.generation == who.generation),
        )
    }

    /// The attempt's end is durable, good or bad.
    pub(crate) fn ended(&self, who: &Who) -> bool {
        let is = |path: &Path, generation: u32| *path == who.path && generation == who.generation;
        self.any(|event| match event {
            Event::StepSucceeded(e) => is(&e.path, e.generation),
            Event::AttemptFailed(e) => is(&e.path, e.generation) && e.attempt >= who.attempt,
            Event::StepHeld(e) => is(&e.path, e.generation),
            Event::StepUndone { path, generation } => is(path, *generation),
            _ => false,
        })
    }

    /// Any event of the journal or of its side log.
    pub(crate) fn any(&self, is: impl Fn(&Event) -> bool) -> bool {
        let kept = self.kept();
        let aside = kept.side.iter().filter_map(|sealed| serde_json::from_str(&sealed.body).ok());
        kept.events.iter().any(&is) || aside.into_iter().any(|event| is(&event))
    }

    pub(crate) fn count(&self, is: impl Fn(&Event) -> bool) -> usize {
        self.kept().events.iter().filter(|event| is(event)).count()
    }
}

impl Store for MemStore {
    fn create_run(&self, _: &NewRun) -> Result<(), StoreError> {
        Ok(())
    }

    fn runs(&self) -> Result<Vec<RunSummary>, StoreError> {
        Ok(vec![])
    }

    /// Child runs only.
    fn find(&self, name: &str) -> Result<RunSummary, StoreError> {
        let child = RunId::parse(name).and_then(|run| Some((self.family.store(&run)?, run)));
        let (store, id) = child.ok_or_else(|| refused(StoreErrorKind::Unknown, "there is no such child run"))?;
        let held = store.is_held().then(|| EngineId { host: "sim".to_owned(), boot_id: String::new(), pid: 1 });
        let head_seq = store.kept().records.len() as u64;
        let by = super::run::actor("ada", 1);
        let (title, status, parent) = (String::new(), String::new(), None);
        Ok(RunSummary {
            id,
            title,
            created_at_us: 0,
            updated_at_us: 0,
            status,
            by,
            parent,
            rehearsal: None,
            head_seq,
            held_by: held,
        })
    }

    fn read(
        &self,
        run: &RunId,
        after_seq: u64,
        see: &mut dyn FnMut(Sealed) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        if let Some(other) = self.other(run) {
            return other.read(run, after_seq, see);
        }
        let kept = self.kept();
        let records = kept.plant.as_ref().map_or_else(|| kept.records.clone(), |plant| plant.as_read(&kept.records));
        drop(kept);
        let _ = records.into_iter().filter(|record| record.seq > after_seq).try_for_each(see);
        Ok(())
    }

    fn lease(&self, _: &RunId, _: &EngineId) -> Result<LeaseOutcome, StoreError> {
        Ok(LeaseOutcome::Busy(None))
    }

    fn lease_when_free(&self, _: &RunId, _: &EngineId) -> Result<Box<dyn Lease>, StoreError> {
        Err(refused(StoreErrorKind::Unavailable, "the simulation hands leases to its lives"))
    }

    fn append_along(&self, lease: &dyn Lease, records: &[Sealed], along: &Along<'_>) -> Result<(), StoreError> {
        let released = along.released;
        let takes = self.kept().commit_takes;
        if !takes.is_zero() {
            std::thread::sleep(takes);
        }
        let mut kept = self.kept();
        // A life's number is its fence.
        let life = lease.fence() as u32;
        if self.world.is_dead(life) {
            return Err(refused(StoreErrorKind::Unavailable, "this engine is dead"));
        }
        if kept.fence != lease.fence() && !kept.plant.as_ref().is_some_and(|plant| plant.ignores_fence) {
            return Err(refused(StoreErrorKind::Fenced, "another engine has taken over"));
        }
        if kept.full_at.is_some_and(|full_at| kept.records.len() + records.len() > full_at) {
            return Err(refused(StoreErrorKind::Unavailable, "the disk is full"));
        }
        if kept.plant.is_none() && records.iter().any(|sealed| sealed.fence > lease.fence()) {
            return Err(refused(StoreErrorKind::OutOfOrder, "a record claims a later lease"));
        }
        kept.appends.push(records.len());
        for sealed in records {
            // The moment of a record is its becoming durable: one more is stored than the engine lives to see.
            if !self.world.moment(life) {
                return Err(refused(StoreErrorKind::Unavailable, "this engine has died"));
            }
            let written = kept.plant.as_ref().map(|plant| plant.as_written(&kept.records, sealed));
            for sealed in written.unwrap_or_else(|| vec![sealed.clone()]) {
                // With the record that ends them, as in one transaction.
                let ended = kept.keep(sealed)?;
                if let Some(strange) = ended.iter().find(|path| !released.contains(path)) {
                    self.world.break_rule(format!("a lock is not given up with the record that ends it: {strange}"));
                }
                self.release(lease.run(), &ended);
            }
        }
        // All of them are stored, whether or not their engine lives to see it.
        kept.rest = along.rest.unwrap_or(kept.rest);
        if self.world.is_dead(life) {
            return Err(refused(StoreErrorKind::Unavailable, "this engine has died"));
        }
        self.release(lease.run(), released);
        Ok(())
    }

    fn take_lock(&self, lease: &dyn Lease, name: &str, scope: &Path, at_us: i64) -> Result<Locking, StoreError> {
        let kept = self.kept();
        let life = lease.fence() as u32;
        if self.world.is_dead(life) {
            return Err(refused(StoreErrorKind::Unavailable, "this engine is dead"));
        }
        if kept.fence != lease.fence() {
            return Err(refused(StoreErrorKind::Fenced, "another engine has taken over"));
        }
        let own = Locked { name: name.to_owned(), run: lease.run().clone(), path: scope.clone(), since_us: at_us };
        let mut locks = self.locks.lock().unwrap();
        let same = |held: &Locked| held.run == own.run && held.path == own.path;
        let (holder, first) = (locks.holder(name).cloned(), locks.turn(name, at_us).cloned());
        let busy = match (&holder, &first) {
            (Some(holder), _) if !same(holder) => {
                if let Some(chain) = locks.deadlock(name, lease.run(), scope) {
                    return Ok(Locking::Deadlock(chain));
                }
                Some(holder.clone())
            }
            (None, Some(first)) if !same(first) => {
                if locks.called_us(first).is_none() {
                    locks.called.push(Locked { since_us: at_us, ..first.clone() });
                }
                Some(first.clone())
            }
            _ => None,
        };
        locks.called.retain(|called| !same(called));
        if let Some(busy) = busy {
            if !locks.waiting.iter().any(same) {
                locks.waiting.push(own.clone());
            }
            return Ok(Locking::Busy(busy));
        }
        if holder.is_none() {
            locks.held.push(own.clone());
        }
        locks.waiting.retain(|wait| !same(wait));
        drop(locks);
        // Taken, and its engine may die before it can say so.
        self.world.moment(life);
        if self.world.is_dead(life) {
            return Err(refused(StoreErrorKind::Unavailable, "this engine has died"));
        }
        Ok(Locking::Taken)
    }

    fn locks(&self) -> Result<Locks, StoreError> {
        Ok(self.locks_now())
    }

    fn post(&self, run: &RunId, decision: &Decision, message: &InboxMessage, at_us: i64) -> Result<u64, StoreError> {
        if let Some(other) = self.other(run) {
            return other.post(run, decision, message, at_us);
        }
        let mut kept = self.kept();
        let id = kept.inbox.len() as u64 + 1;
        kept.inbox.push(InboxEntry { id, at_us, decision: decision.clone(), message: message.clone() });
        Ok(id)
    }

    fn inbox(&self, _: &RunId, after_id: u64) -> Result<Vec<InboxEntry>, StoreError> {
        if self.kept().inbox_fails {
            return Err(refused(StoreErrorKind::Unavailable, "the disk is gone"));
        }
        Ok(self.kept().inbox.iter().filter(|entry| entry.id > after_id).cloned().collect())
    }

    fn sources(&self, _: &RunId) -> Result<Vec<(String, Vec<u8>, bool)>, StoreError> {
        Ok(vec![])
    }

    fn replace_sources(&self, _: &dyn Lease, _: &[(String, Vec<u8>, bool)]) -> Result<(), StoreError> {
        Ok(())
    }

    fn id(&self) -> Digest {
        Digest::ZERO
    }
}

/// The side logs as one life sees them: a dead engine writes none.
pub(crate) struct MemSideLogs {
    pub(crate) store: Arc<MemStore>,
    pub(crate) world: Arc<World>,
    pub(crate) life: u32,
}

struct MemSideLog {
    store: Arc<MemStore>,
    world: Arc<World>,
    life: u32,
}

impl SideLog for MemSideLog {
    fn append(&mut self, records: &[Sealed]) -> Result<(), StoreError> {
        let takes = self.store.kept().side_takes;
        if !takes.is_zero() {
            std::thread::sleep(takes);
        }
        let mut kept = self.store.kept();
        if self.world.is_dead(self.life) || kept.side.len() + records.len() > kept.side_room {
            return Err(refused(StoreErrorKind::Unavailable, "the side log is full"));
        }
        for sealed in records {
            if !self.world.moment(self.life) {
                break;
            }
            kept.side.push(sealed.clone());
        }
        if self.world.is_dead(self.life) {
            return Err(refused(StoreErrorKind::Unavailable, "this engine has died"));
        }
        Ok(())
    }
}

impl SideLogs for MemSideLogs {
    fn prepare(&self, _: &RunId) -> Result<Box<dyn SideLog>, StoreError> {
        let mut kept = self.store.kept();
        if self.world.is_dead(self.life) || kept.side_room == 0 {
            return Err(refused(StoreErrorKind::Unavailable, "no space"));
        }
        if kept.full_at.is_some_and(|full_at| kept.records.len() >= full_at) {
            return Err(refused(StoreErrorKind::Unavailable, "the disk is full"));
        }
        assert!(kept.side.is_empty(), "an older side log must have been imported");
        kept.side_prepared = true;
        Ok(self.open())
    }

    fn reopen(&self, _: &RunId) -> Result<Option<Box<dyn SideLog>>, StoreError> {
        Ok(self.store.kept().side_prepared.then(|| self.open()))
    }

    fn read(&self, _: &RunId) -> Result<Vec<Sealed>, StoreError> {
        Ok(self.store.kept().side.clone())
    }

    fn clear(&self, _: &RunId) -> Result<(), StoreError> {
        if !self.world.is_dead(self.life) {
            let mut kept = self.store.kept();
            kept.side.clear();
            kept.side_prepared = false;
        }
        Ok(())
    }
}

impl MemSideLogs {
    fn open(&self) -> Box<dyn SideLog> {
        Box::new(MemSideLog { store: self.store.clone(), world: self.world.clone(), life: self.life })
    }
}
