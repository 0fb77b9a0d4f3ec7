//! What every thread of a run shares: the ports, the journal, the running actions, the wake-ups.
//!
//! Owns registering and ending running actions, and waiting until something changes.
//! Never decides; see the file of each built-in.

use crate::bound::Approved;
use crate::journal::{Broken, Journal};
use piton_core::event::Event;
use piton_core::hold::HoldReason;
use piton_core::ids::RunId;
use piton_core::ports::{
    AttemptContext, Cancel, Children, Clock, Executor, Program, Purpose, SideLogs, Store, Unwind, Vault, Watchdogs,
};
use piton_core::record::{Record, Sealed};
use piton_core::window::WindowPhase;
use piton_core::{Action, Path, RunState};
use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Stack of a thread that evaluates, bytes: room for the evaluator's bounded call depth inside nested scopes.
pub(crate) const EVALUATION_STACK_BYTES: usize = 64 * 1024 * 1024;
/// Threads that evaluate branches at the same time, over all of a run's `each` and `parallel`. Beyond it branches run
/// on the thread that asked for them, so nothing deadlocks.
pub(crate) const MAX_BRANCH_THREADS: usize = 512;
/// An unflushed event waits at most this long.
pub(crate) const FLUSH_DELAY: Duration = Duration::from_millis(5);

/// Everything outside that an engine needs.
#[derive(Clone)]
pub struct Ports {
    pub store: Arc<dyn Store>,
    pub side_logs: Arc<dyn SideLogs>,
    pub executor: Arc<dyn Executor>,
    pub vault: Arc<dyn Vault>,
    pub clock: Arc<dyn Clock>,
    pub children: Arc<dyn Children>,
    pub watchdogs: Arc<dyn Watchdogs>,
    pub observer: Arc<dyn Observer>,
}

/// Whether a fault strikes after this record, whose number in this life, from 1, is given.
pub type Due = dyn Fn(u64, &Sealed) -> bool + Send + Sync;

/// Fault injection: what strikes an engine as soon as a certain record is durable.
#[derive(Clone)]
pub struct Fault {
    pub due: Arc<Due>,
    /// Death, or a stop.
    pub strike: fn(),
}

#[derive(Clone, Default)]
pub struct Options {
    /// Fault injection, for tests.
    pub fault: Option<Fault>,
    /// Return instead of waiting when everything that is left waits: for people, times, locks.
    pub leave_when_waiting: bool,
    /// The plan that the run is bound to.
    pub approved: Option<Approved>,
}

pub(crate) struct Shared {
    pub(crate) run: RunId,
    pub(crate) run_dir: PathBuf,
    pub(crate) root: PathBuf,
    pub(crate) ports: Ports,
    pub(crate) program: Arc<dyn Program>,
    pub(crate) journal: Journal,
    pub(crate) options: Options,
    running: Mutex<HashMap<u64, (Path, Cancel)>>,
    next_running: AtomicU64,
    /// Looks are numbered so that no two share an attempt's directory, across lives as well.
    looks: AtomicU32,
    pub(crate) changes: Arc<Changes>,
    pub(crate) branch_threads: AtomicUsize,
    /// Steps that the journal has answered in this life.
    pub(crate) answered: AtomicU64,
    pub(crate) window: Mutex<Option<crate::windows::Opening>>,
    /// Why people cannot reach this engine, once that has lasted too long.
    pub(crate) unreachable: Mutex<Option<Broken>>,
    /// Commit points that this evaluation has come to.
    pub(crate) commit_points_seen: Mutex<HashSet<Path>>,
    /// An edit has replaced the program since the run started.
    pub(crate) edited: bool,
    /// Steps that this engine's evaluations have come to, where that can be fewer than the journal knows.
    pub(crate) visited: Mutex<HashSet<Path>>,
    /// Scopes in which a branch failed and which are waiting for the others to end.
    pub(crate) failing: Mutex<Vec<Path>>,
    pub(crate) watches: Arc<crate::guards::Watches>,
    pub(crate) children: Mutex<crate::children::Children>,
    /// Held while a lock is taken, or taken away.
    pub(crate) locking: Mutex<()>,
}

/// What a run is shown by. Called in the order of the journal, with durable records only; must return quickly.
pub trait Observer: Send + Sync {
    fn durable(&self, records: &[Record]);
    /// What was durable before this engine attached, from the first record on; a side log's records, too.
    fn recall(&self, _record: &Record) {}
    /// The store failed inside a window; going back is recorded in the side log.
    fn side_log(&self, _why: &str) {}
    /// Something a person should know that is not part of the run's record.
    fn warn(&self, _text: &str) {}
}

impl From<Broken> for Unwind {
    fn from(broken: Broken) -> Self {
        Unwind::Broken(broken.0)
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How often something has changed that somebody may wait for, and who waits. The waiting itself is the clock's.
#[derive(Default)]
pub(crate) struct Changes(Mutex<(u64, Vec<Cancel>)>);

impl Changes {
    pub(crate) fn seen(&self) -> u64 {
        lock(&self.0).0
    }

    /// Wakes everyone who waits.
    pub(crate) fn notify(&self) {
        let waiting = {
            let (count, waiting) = &mut *lock(&self.0);
            *count += 1;
            std::mem::take(waiting)
        };
        waiting.iter().for_each(|woken| woken.fire("something has changed"));
    }

    /// Waits until something changed since `seen`, or the time is over.
    pub(crate) fn wait(&self, clock: &dyn Clock, seen: u64, timeout: Duration) {
        let woken = Cancel::new();
        {
            let (count, waiting) = &mut *lock(&self.0);
            if *count != seen {
                return;
            }
            waiting.push(woken.clone());
        }
        clock.sleep(timeout, &woken);
        woken.fire("the time is over");
        lock(&self.0).1.retain(|waiting| !waiting.fired());
    }
}

/// A registered running action; dropping it takes it off the list.
pub(crate) struct Registered<'a> {
    shared: &'a Shared,
    id: u64,
    pub(crate) cancel: Cancel,
}

impl Drop for Registered<'_> {
    fn drop(&mut self) {
        lock(&self.shared.running).remove(&self.id);
    }
}

impl Shared {
    pub(crate) fn new(
        (run, run_dir, root): (RunId, PathBuf, PathBuf),
        ports: Ports,
        program: Arc<dyn Program>,
        journal: Journal,
        options: Options,
    ) -> Self {
        // The fence grows with every life, so the numbers of two lives do not meet before a million looks.
        let edited = journal.with(|state| state.edited.is_some());
        let looks = AtomicU32::new((journal.fence() as u32).wrapping_shl(20));
        Self {
            run,
            run_dir,
            root,
            ports,
            program,
            changes: journal.changes(),
            journal,
            options,
            running: Mutex::default(),
            next_running: AtomicU64::new(1),
            looks,
            branch_threads: AtomicUsize::new(0),
            commit_points_seen: Mutex::default(),
            edited,
            visited: Mutex::default(),
            answered: AtomicU64::new(0),
            window: Mutex::new(None),
            unreachable: Mutex::new(None),
            failing: Mutex::default(),
            watches: Arc::default(),
            children: Mutex::default(),
            locking: Mutex::default(),
        }
    }

    /// Puts an action on the list of running ones, so that it can be ended.
    pub(crate) fn register(&self, path: &Path) -> Registered<'_> {
        let id = self.next_running.fetch_add(1, Ordering::Relaxed);
        let cancel = Cancel::new();
        lock(&self.running).insert(id, (path.clone(), cancel.clone()));
        // What was told to end before it was on the list is told now.
        if let Some(why) = self.journal.with(|state| ending(state, path)) {
            cancel.fire(&why);
        }
        Registered { shared: self, id, cancel }
    }

    /// Ends what runs within a scope.
    pub(crate) fn cancel_within(&self, scope: &Path, reason: &str) {
        let running: Vec<Cancel> = lock(&self.running)
            .values()
            .filter(|(path, _)| path.is_within(scope))
            .map(|(_, cancel)| cancel.clone())
            .collect();
        for cancel in running {
            cancel.fire(reason);
        }
    }

    pub(crate) fn context(&self, path: &Path, generation: u32, attempt: u32, purpose: Purpose) -> AttemptContext {
        AttemptContext {
            run: self.run.clone(),
            run_dir: self.run_dir.clone(),
            root: self.root.clone(),
            path: path.clone(),
            generation,
            attempt,
            purpose,
            timeout: None,
            memory_bytes: None,
        }
    }

    pub(crate) fn look_context(&self, path: &Path) -> AttemptContext {
        self.context(path, 0, self.looks.fetch_add(1, Ordering::Relaxed), Purpose::Look)
    }

    /// Opens the action's secrets. A value that differs from the one this run used first is a hold: it may be another
    /// place.
    pub(crate) fn admit_secrets(&self, action: &Action) -> Result<(), Admission> {
        for secret in action.secrets() {
            let keyed_hash = self.ports.vault.admit(secret).map_err(Admission::Failed)?;
            let rotated = self.journal.transact(|state| match state.secrets.get(&secret.source) {
                Some(known) if *known == keyed_hash => (Vec::new(), false),
                Some(_) => (Vec::new(), true),
                None => {
                    let seen = piton_core::event::SecretSeen {
                        name: secret.name.clone(),
                        source: secret.source.clone(),
                        keyed_hash,
                    };
                    (vec![Event::SecretSeen(seen)], false)
                }
            });
            if rotated {
                return Err(Admission::Hold(HoldReason::Rotated {
                    secret: secret.name.clone(),
                    source: secret.source.clone(),
                }));
            }
        }
        Ok(())
    }

    /// Salt of a step's jitter: the same in every replay of this run.
    pub(crate) fn salt(&self, path: &Path) -> Vec<u8> {
        [self.run.as_str().as_bytes(), b"/", path.as_str().as_bytes()].concat()
    }
}

/// Why nothing at this path may go on.
fn ending(state: &RunState, path: &Path) -> Option<String> {
    let window = state.open_window();
    if let Some(window) = window.filter(|window| path.is_within(&window.path))
        && let WindowPhase::GoingBack { why } = &window.phase
    {
        return Some(format!("the window goes back: {why}"));
    }
    if let Some((scope, _, why)) = piton_core::guard::undo_due(state)
        && path.is_within(&scope)
    {
        return Some(why);
    }
    let forward = window.is_some_and(|window| window.committed);
    (state.abort.is_some() && !forward).then(|| "the run is aborted".to_owned())
}

pub(crate) enum Admission {
    Failed(piton_core::outcome::Failure),
    Hold(HoldReason),
}
