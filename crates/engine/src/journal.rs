//! The journal as the engine writes it: one state, one buffer of records, group commit.
//!
//! Owns the order of events, the point at which they are durable, and what happens when they cannot be made so.
//! Never decides anything: callers hand in events, or a function that makes them from the state under the lock.
//!
//! An appended event changes the state at once and is durable after the next `flush`. Whoever is about to act, show or
//! wait flushes first, so one commit ends step N and starts step N+1; threads that flush at the same time share a
//! commit, whichever comes first doing it for all.

use crate::shared::{Changes, Fault, Observer, Options, Ports};
use piton_core::decide::windows::may_go_aside;
use piton_core::event::Event;
use piton_core::park::{Rest, rest};
use piton_core::ports::{Along, Clock, Lease, SideLog, Store, StoreError, StoreErrorKind, Vault};
use piton_core::record::{Moment, Record, Sealed};
use piton_core::state::Phase;
use piton_core::{Path, RunState};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// The journal cannot be written; the run stops (rule 3).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Broken(pub String);

const GIVEN_BACK: &str = "the run's lease was given back";

thread_local! {
    /// The last record that this evaluating thread's branch depends on.
    static DEPENDS_ON: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}

pub(crate) struct Journal {
    store: Arc<dyn Store>,
    /// The lease's number.
    fence: u64,
    clock: Arc<dyn Clock>,
    vault: Arc<dyn Vault>,
    observer: Arc<dyn Observer>,
    fault: Option<Fault>,
    changes: Arc<Changes>,
    inner: Mutex<Inner>,
    /// This engine leaves a run that waits: with each record it is kept what becomes of the run then.
    leaves: bool,
    /// Held by whoever commits.
    commit: Mutex<Committer>,
    /// Someone commits; the end of each commit is told to all who wait for it.
    committing: Mutex<bool>,
    committed: Condvar,
    durable_seq: AtomicU64,
    is_broken: AtomicBool,
    /// The store has failed, and records go to the side log. Changed by whoever commits.
    side_active: AtomicBool,
    /// Boot-time clock, microseconds, at which the running commit began; 0: none runs.
    committing_since_us: AtomicU64,
    /// Tells the flusher that there is something to flush.
    dirty: Condvar,
}

/// The right to commit; ends when dropped.
struct Turn<'a> {
    journal: &'a Journal,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        *lock(&self.journal.committing) = false;
        self.journal.committed.notify_all();
    }
}

struct Inner {
    state: RunState,
    buffer: Vec<Buffered>,
    /// When polls look next, wall clock, microseconds: no event says so.
    looks: BTreeMap<Path, i64>,
    flusher_waits: bool,
    closed: bool,
}

struct Buffered {
    sealed: Sealed,
    record: Record,
    /// Scopes whose locks end with it.
    released: Vec<Path>,
    /// What becomes of the run where nobody drives it on from here.
    rest: Rest,
}

impl Inner {
    /// When a poll in this scope looks next.
    fn next_look_us(&self, scope: &Path) -> Option<i64> {
        let polls = self.looks.iter().filter(|(path, _)| path.is_within(scope) && self.is_polled(path));
        polls.map(|(_, at_us)| *at_us).min()
    }

    fn is_polled(&self, path: &Path) -> bool {
        self.state.steps.get(path).is_some_and(|step| matches!(step.phase, Phase::Timer(_)))
    }
}

struct Committer {
    /// Until it is given back.
    lease: Option<Box<dyn Lease>>,
    broken: Option<Broken>,
    /// Where records go while going back in a window whose store failed.
    side: Option<Box<dyn SideLog>>,
    /// What the store was last told.
    rest: Option<Rest>,
    committed_this_life: u64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A thread that panicked while holding the state has been reported; the state is changed by `apply` alone, which
    // does not panic.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Journal {
    pub(crate) fn new(ports: &Ports, lease: Box<dyn Lease>, state: RunState, options: &Options) -> Self {
        let Ports { store, clock, vault, observer, .. } = ports.clone();
        let durable_seq = AtomicU64::new(state.seq);
        Self {
            store,
            fence: lease.fence(),
            clock,
            vault,
            observer,
            fault: options.fault.clone(),
            changes: Arc::default(),
            leaves: options.leave_when_waiting,
            inner: Mutex::new(Inner {
                state,
                buffer: Vec::new(),
                looks: BTreeMap::new(),
                flusher_waits: false,
                closed: false,
            }),
            commit: Mutex::new(Committer {
                lease: Some(lease),
                broken: None,
                side: None,
                rest: None,
                committed_this_life: 0,
            }),
            committing: Mutex::new(false),
            committed: Condvar::new(),
            durable_seq,
            is_broken: AtomicBool::new(false),
            side_active: AtomicBool::new(false),
            committing_since_us: AtomicU64::new(0),
            dirty: Condvar::new(),
        }
    }

    pub(crate) fn with<R>(&self, look: impl FnOnce(&RunState) -> R) -> R {
        look(&lock(&self.inner).state)
    }

    /// Told of what somebody may wait for; by the journal, that it is broken.
    pub(crate) fn changes(&self) -> Arc<Changes> {
        self.changes.clone()
    }

    /// An error once the journal could not be written.
    pub(crate) fn check(&self) -> Result<(), Broken> {
        if !self.is_broken.load(Ordering::Acquire) {
            return Ok(());
        }
        lock(&self.commit).broken.clone().map_or(Ok(()), Err)
    }

    /// Asks the store for something that only the run's holder may do; nothing is appended meanwhile.
    pub(crate) fn as_holder<T>(
        &self,
        ask: impl FnOnce(&dyn Store, &dyn Lease) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        match &lock(&self.commit).lease {
            Some(lease) => ask(&*self.store, &**lease),
            None => Err(StoreError { kind: StoreErrorKind::Fenced, message: GIVEN_BACK.to_owned(), source: None }),
        }
    }

    pub(crate) fn fence(&self) -> u64 {
        self.fence
    }

    /// Lets go of the run, for whoever drives it next. Nothing is appended after this.
    pub(crate) fn give_back(&self) {
        lock(&self.commit).lease = None;
    }

    /// Has a poll look at this time, or no more.
    pub(crate) fn look_next(&self, path: &Path, at_us: Option<i64>) {
        let looks = &mut lock(&self.inner).looks;
        match at_us {
            Some(at_us) => drop(looks.insert(path.clone(), at_us)),
            None => drop(looks.remove(path)),
        }
    }

    /// When the poll at this path looks next, once this engine has looked.
    pub(crate) fn next_look_us(&self, path: &Path) -> Option<i64> {
        lock(&self.inner).looks.get(path).copied()
    }

    /// When something in this scope goes on by itself: a timer, a question's end, a retry, a poll's next look. What was due
    /// before it was evaluated last, and still waits, is not in the runbook any more.
    pub(crate) fn next_due_us(&self, scope: &Path, evaluated_us: i64) -> Option<i64> {
        let inner = lock(&self.inner);
        inner.state.next_due_us(scope, evaluated_us).into_iter().chain(inner.next_look_us(scope)).min()
    }

    /// Before this engine leaves a run that waits, all of it being durable: when somebody is to go on with it.
    pub(crate) fn park(&self, evaluated_us: i64) -> Result<(), Broken> {
        let rest = self.rest(&lock(&self.inner), evaluated_us);
        let mut committer = lock(&self.commit);
        let Some(lease) = committer.lease.as_ref().filter(|_| committer.rest != Some(rest)) else { return Ok(()) };
        let along = Along { rest: Some(rest), ..Along::default() };
        let kept = self.store.append_along(&**lease, &[], &along);
        kept.map_err(|error| Broken(format!("when the run goes on cannot be kept: {}", explain(&error))))?;
        committer.rest = Some(rest);
        Ok(())
    }

    fn rest(&self, inner: &Inner, evaluated_us: i64) -> Rest {
        // In the foreground somebody sits before it, and decides what becomes of it.
        let parks = self.leaves.then(|| rest(&inner.state, inner.next_look_us(&Path::root()), evaluated_us));
        parks.unwrap_or_default()
    }

    /// Appends events; durable after the next flush.
    pub(crate) fn append(&self, events: impl IntoIterator<Item = Event>) {
        let mut inner = lock(&self.inner);
        for event in events {
            self.push(&mut inner, event);
        }
        self.wake_flusher(&mut inner);
    }

    /// Decides and appends under one lock, so that nothing comes between.
    pub(crate) fn transact<R>(&self, decide: impl FnOnce(&RunState) -> (Vec<Event>, R)) -> R {
        let mut inner = lock(&self.inner);
        let (events, result) = decide(&inner.state);
        for event in events {
            self.push(&mut inner, event);
        }
        self.wake_flusher(&mut inner);
        result
    }

    fn push(&self, inner: &mut Inner, event: Event) {
        let at = self.clock.now();
        let mut event = event;
        // Our event types serialise to memory without fail.
        let mut body = serde_json::to_string(&event).unwrap_or_default();
        if let Some(masked) = self.vault.mask(&body)
            && let Ok(reread) = serde_json::from_str(&masked)
        {
            // Rule 6, the last line of defence: executors have masked what they bring.
            body = masked;
            event = reread;
        }
        let seq = inner.state.seq + 1;
        let sealed = Sealed::new(inner.state.head, seq, at, self.fence, body);
        let record = Record { seq, at, fence: sealed.fence, event, hash: sealed.hash };
        let released = piton_core::lock::released(&inner.state, &record.event);
        inner.state.apply(&record);
        let rest = self.rest(inner, i64::MIN);
        inner.buffer.push(Buffered { sealed, record, released, rest });
        DEPENDS_ON.set(seq);
    }

    fn wake_flusher(&self, inner: &mut Inner) {
        if inner.flusher_waits && !inner.buffer.is_empty() {
            inner.flusher_waits = false;
            self.dirty.notify_one();
        }
    }

    /// Makes durable what this thread's next act depends on: everything before its scope began, and what it has
    /// appended or been answered since. For reads; what siblings have appended meanwhile is no cause of theirs, and
    /// becomes durable in order.
    pub(crate) fn flush_own(&self) -> Result<(), Broken> {
        self.check()?;
        self.flush_to(DEPENDS_ON.get())
    }

    /// What follows on this thread depends on nothing that is not durable yet.
    pub(crate) fn depend_on_nothing(&self) {
        DEPENDS_ON.set(0);
    }

    /// What follows on this thread depends on everything that was appended, by whomever.
    pub(crate) fn depend_on_all(&self) {
        DEPENDS_ON.set(lock(&self.inner).state.seq);
    }

    /// Makes everything appended so far durable.
    pub(crate) fn flush(&self) -> Result<(), Broken> {
        let target = lock(&self.inner).state.seq;
        self.flush_to(target)
    }

    fn flush_to(&self, target: u64) -> Result<(), Broken> {
        if self.durable_seq.load(Ordering::Acquire) >= target {
            return Ok(());
        }
        let Some(_turn) = self.turn(target) else { return Ok(()) };
        let mut committer = lock(&self.commit);
        if let Some(broken) = &committer.broken {
            return Err(broken.clone());
        }
        let batch = std::mem::take(&mut lock(&self.inner).buffer);
        self.committing_since_us.store(self.clock.now().boot_us.max(1), Ordering::Release);
        let result = self.commit_batch(&mut committer, &batch);
        self.committing_since_us.store(0, Ordering::Release);
        result?;
        if let Some(last) = batch.last() {
            self.durable_seq.store(last.sealed.seq, Ordering::Release);
        }
        // Under the lock, so that observers see records in order.
        self.observer.durable(&batch.into_iter().map(|buffered| buffered.record).collect::<Vec<_>>());
        Ok(())
    }

    /// Waits for the turn to commit; `None` where someone else has made it durable meanwhile. Whoever waits is told of
    /// each commit's end at once: queueing for a lock would let a commit begin with one record while the others, whose
    /// records are durable, still wait to hear of it.
    fn turn(&self, target: u64) -> Option<Turn<'_>> {
        let mut committing = lock(&self.committing);
        loop {
            if self.durable_seq.load(Ordering::Acquire) >= target {
                return None;
            }
            if !*committing {
                *committing = true;
                return Some(Turn { journal: self });
            }
            committing = self.committed.wait(committing).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn commit_batch(&self, committer: &mut Committer, batch: &[Buffered]) -> Result<(), Broken> {
        let first = committer.committed_this_life + 1;
        let due = self.fault.as_ref().and_then(|fault| {
            let struck = (first..).zip(batch).position(|(nth, record)| (fault.due)(nth, &record.sealed));
            Some((fault, struck? + 1))
        });
        let Some((fault, room)) = due else { return self.commit_records(committer, batch) };
        // Up to the record it strikes at, then, where it is survived, the rest.
        self.commit_records(committer, &batch[..room])?;
        (fault.strike)();
        self.commit_records(committer, &batch[room..])
    }

    fn commit_records(&self, committer: &mut Committer, batch: &[Buffered]) -> Result<(), Broken> {
        let sealed: &[Sealed] = &batch.iter().map(|buffered| buffered.sealed.clone()).collect::<Vec<_>>();
        let released: Vec<Path> = batch.iter().flat_map(|buffered| buffered.released.iter().cloned()).collect();
        let rest = batch.last().map(|last| last.rest);
        let stored = match &committer.lease {
            _ if self.on_side_log() => Err(String::new()),
            None => Err(GIVEN_BACK.to_owned()),
            Some(lease) => {
                let status = Some(self.with(|state| state.status().word()));
                // Told where it changes only: every commit would touch one page more.
                let along = Along { status, released: &released, rest: rest.filter(|_| rest != committer.rest) };
                let appended = self.store.append_along(&**lease, sealed, &along);
                appended.map_err(|error| explain(&error))
            }
        };
        match stored {
            Ok(()) => committer.rest = rest.or(committer.rest),
            Err(why) => self.commit_aside(committer, sealed, why)?,
        }
        committer.committed_this_life += sealed.len() as u64;
        Ok(())
    }

    /// The store failed. While a window that has not passed its commit point is open, going back is recorded in its
    /// side log; otherwise the run stops.
    fn commit_aside(&self, committer: &mut Committer, sealed: &[Sealed], why: String) -> Result<(), Broken> {
        let is_aside = self.on_side_log();
        if self.with(|state| may_go_aside(state, is_aside))
            && let Some(side) = &mut committer.side
            && side.append(sealed).is_ok()
        {
            self.go_aside(&why);
            return Ok(());
        }
        let broken = Broken(format!("the journal cannot be written: {why}"));
        committer.broken = Some(broken.clone());
        self.is_broken.store(true, Ordering::Release);
        // Whoever waits for something that could no longer be recorded waits for nothing.
        self.changes.notify();
        Err(broken)
    }

    /// From now on records go to the side log: what stands there already must come before anything in the store.
    pub(crate) fn go_aside(&self, why: &str) {
        if !self.side_active.swap(true, Ordering::AcqRel) {
            self.observer.side_log(why);
        }
    }

    /// True once the store failed and records go to a window's side log: the window must go back.
    pub(crate) fn on_side_log(&self) -> bool {
        self.side_active.load(Ordering::Acquire)
    }

    pub(crate) fn set_side_log(&self, side: Option<Box<dyn SideLog>>) {
        let mut committer = lock(&self.commit);
        if !self.on_side_log() {
            committer.side = side;
        }
    }

    /// How long the running commit has taken, microseconds.
    pub(crate) fn stuck_us(&self) -> u64 {
        match self.committing_since_us.load(Ordering::Acquire) {
            0 => 0,
            since => self.clock.now().boot_us.saturating_sub(since),
        }
    }

    /// Flushes what nobody else has within a few milliseconds, until `close`.
    pub(crate) fn flusher(&self, delay: std::time::Duration) {
        let cancel = piton_core::ports::Cancel::new();
        loop {
            {
                let mut inner = lock(&self.inner);
                while inner.buffer.is_empty() && !inner.closed {
                    inner.flusher_waits = true;
                    inner = self.dirty.wait(inner).unwrap_or_else(PoisonError::into_inner);
                }
                if inner.closed {
                    return;
                }
            }
            self.clock.sleep(delay, &cancel);
            if self.flush().is_err() {
                return;
            }
        }
    }

    pub(crate) fn close(&self) {
        lock(&self.inner).closed = true;
        self.dirty.notify_all();
    }

    pub(crate) fn now(&self) -> Moment {
        self.clock.now()
    }
}

/// A store's error with its causes, in one line.
fn explain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
