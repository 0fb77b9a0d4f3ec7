//! `each` and `parallel`: function calls side by side, each on a thread and heap of its own.
//!
//! Owns the queue, the threads and how results of branches become one. A parked branch frees its thread, and its slot where
//! there is more than one; it is called again from its own start when something it may wait for has changed, and the journal
//! answers what it had done.

use crate::scopes::passed;
use crate::shared::{EVALUATION_STACK_BYTES, MAX_BRANCH_THREADS, Shared, lock};
use piton_core::event::{Event, ScopeSettled};
use piton_core::hold::HoldReason;
use piton_core::outcome::Failure;
use piton_core::ports::{Host, Unwind};
use piton_core::request::{BranchesRequest, OnFailure};
use piton_core::scope::{Catcher, Scope, ScopeKind};
use piton_core::{Path, Value};
use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Threads that a scope's branches begin on. Branches that never block, such as those whose steps the journal knows, are
/// done by these sooner than further threads are made.
const FIRST_THREADS: usize = 4;
/// While no branch begins and no step is answered for so long, those that run are held up by something: more threads are
/// made. Long branches that the journal answers are not: on more threads they would be no sooner done, and all of them
/// would hold their heaps at once.
const HELD_UP: Duration = Duration::from_millis(1);
/// A thread without work looks this often whether a parked branch was woken.
const WAKE_LOOK: Duration = Duration::from_millis(100);

struct Queue {
    /// Branches to call, and whether they had been parked.
    ready: VecDeque<(usize, bool)>,
    parked: Vec<Parked>,
    running: usize,
    /// Calls begun so far.
    begun: u64,
    results: Vec<Option<Result<Value, Unwind>>>,
    /// No further branch is called.
    ended: bool,
}

/// A branch that waits for a person or a timer.
struct Parked {
    index: usize,
    /// Number of changes seen before it was called.
    seen: u64,
    /// When its next timer or expiry is due, wall clock, microseconds.
    due_us: Option<i64>,
}

struct Work<'a> {
    scope: &'a Arc<Scope>,
    request: &'a BranchesRequest,
    queue: Mutex<Queue>,
    changed: Condvar,
    /// For whoever makes the threads: branches wait to be called that did not before, or nothing is left to do.
    threads: Condvar,
}

impl Work<'_> {
    /// As a loop: a branch that waits keeps its turn.
    fn one_by_one(&self) -> bool {
        self.request.concurrency <= 1
    }

    /// Looks on while the first threads work. `more` makes more of them where those there are, are held up; `answered`
    /// counts the steps that the journal has answered.
    fn look_on(&self, answered: impl Fn() -> u64, mut more: impl FnMut(usize)) {
        let mut threads = FIRST_THREADS;
        let mut queue = lock(&self.queue);
        while !queue.ended && (queue.running > 0 || !queue.ready.is_empty()) {
            if queue.ready.is_empty() {
                queue = self.threads.wait(queue).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let seen = (queue.begun, answered());
            queue = self.threads.wait_timeout(queue, HELD_UP).unwrap_or_else(PoisonError::into_inner).0;
            if (queue.begun, answered()) == seen && !queue.ready.is_empty() {
                drop(queue);
                threads = threads.saturating_mul(2);
                more(threads);
                queue = lock(&self.queue);
            }
        }
    }
}

impl Shared {
    pub(crate) fn run_branches(
        &self,
        host: &dyn Host,
        scope: &Arc<Scope>,
        request: &BranchesRequest,
    ) -> Result<Vec<Value>, Unwind> {
        let total = request.branches.len();
        if self.journal.with(|state| state.is_settled(&scope.path)) {
            self.end_beside(&scope.path)?;
        }
        self.enter(scope, Some(total as u64));
        let work = Work {
            scope,
            request,
            queue: Mutex::new(Queue {
                ready: (0..total).map(|index| (index, false)).collect(),
                parked: Vec::new(),
                running: 0,
                begun: 0,
                results: vec![None; total],
                ended: false,
            }),
            changed: Condvar::new(),
            threads: Condvar::new(),
        };
        // What led here is durable before any branch acts on it.
        self.journal.flush()?;
        let wanted = (request.concurrency.max(1) as usize).min(total.max(1));
        std::thread::scope(|threads| {
            let mut helpers = Vec::new();
            let mut help = |upto: usize| {
                while helpers.len() < upto && self.take_thread() {
                    let helper = std::thread::Builder::new()
                        .name("branch".into())
                        .stack_size(EVALUATION_STACK_BYTES)
                        .spawn_scoped(threads, || self.work(host, &work));
                    match helper {
                        Ok(helper) => helpers.push(helper),
                        Err(_) => {
                            self.give_thread();
                            break;
                        }
                    }
                }
                helpers.len()
            };
            if wanted > FIRST_THREADS && help(FIRST_THREADS) > 0 {
                let answered = || self.answered.load(Ordering::Relaxed);
                work.look_on(answered, |threads| {
                    help(threads.min(wanted));
                });
            } else {
                // The calling thread is one of the workers, so a run that has used up its threads still gets on.
                help(wanted - 1);
                self.work(host, &work);
            }
            for helper in helpers {
                // A panic in a branch is reported as its result by `call_branch`.
                let _ = helper.join();
                self.give_thread();
            }
        });
        self.journal.depend_on_all();
        let queue = work.queue.into_inner().unwrap_or_else(PoisonError::into_inner);
        self.gather(scope, request, queue)
    }

    fn take_thread(&self) -> bool {
        let taken = self.branch_threads.fetch_add(1, Ordering::Relaxed) < MAX_BRANCH_THREADS;
        if !taken {
            self.give_thread();
        }
        taken
    }

    fn give_thread(&self) {
        self.branch_threads.fetch_sub(1, Ordering::Relaxed);
    }

    /// Calls branches until none is left to call.
    fn work(&self, host: &dyn Host, work: &Work<'_>) {
        while let Some(index) = self.next_branch(work) {
            let (seen, now_us) = (self.changes.seen(), self.journal.now().wall_us);
            let result = self.call_branch(host, work.scope, work.request, index);
            let mut queue = lock(&work.queue);
            queue.running -= 1;
            match result {
                Err(Unwind::Parked) => {
                    let path = work.scope.path.child(&work.request.branches[index].key);
                    queue.parked.push(Parked { index, seen, due_us: self.journal.next_due_us(&path, now_us) });
                }
                result => {
                    if let (Err(unwind @ Unwind::Failed { .. }), Catcher::Window(window)) =
                        (&result, work.scope.catcher())
                    {
                        // At once: the others need not finish what will be taken back.
                        self.go_back(&window.path, &crate::windows::explain(unwind));
                    }
                    queue.ended |= ends_the_others(&result, work.request.on_failure);
                    if queue.ended && matches!(result, Err(Unwind::Failed { .. })) {
                        lock(&self.failing).push(work.scope.path.clone());
                    }
                    queue.results[index] = Some(result);
                }
            }
            work.changed.notify_all();
        }
    }

    fn next_branch(&self, work: &Work<'_>) -> Option<usize> {
        let mut queue = lock(&work.queue);
        loop {
            if queue.ended {
                work.threads.notify_all();
                return None;
            }
            let (changes, now_us) = (self.changes.seen(), self.journal.now().wall_us);
            let awake = |parked: &mut Parked| parked.seen != changes || parked.due_us.is_some_and(|due| due <= now_us);
            let woken: Vec<usize> = queue.parked.extract_if(.., awake).map(|parked| parked.index).collect();
            if !woken.is_empty() {
                work.threads.notify_all();
            }
            if work.one_by_one() {
                woken.into_iter().for_each(|index| queue.ready.push_front((index, true)));
            } else {
                queue.ready.extend(woken.into_iter().map(|index| (index, true)));
            }
            if work.one_by_one() && !queue.parked.is_empty() {
                // The others wait for the one that waits.
                return None;
            }
            if let Some((index, woken)) = queue.ready.pop_front() {
                queue.running += 1;
                queue.begun += 1;
                drop(queue);
                if woken {
                    // Whoever woke it has appended why.
                    self.journal.depend_on_all();
                } else if !work.one_by_one() {
                    // Everything before the scope is durable, and what siblings do side by side is no cause of it.
                    self.journal.depend_on_nothing();
                }
                return Some(index);
            }
            // What is left is parked: the whole scope parks, unless a sibling still runs.
            if queue.running == 0 || queue.parked.is_empty() {
                work.threads.notify_all();
                return None;
            }
            queue = work.changed.wait_timeout(queue, WAKE_LOOK).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn call_branch(
        &self,
        host: &dyn Host,
        scope: &Arc<Scope>,
        request: &BranchesRequest,
        index: usize,
    ) -> Result<Value, Unwind> {
        let branch = &request.branches[index];
        let inner = scope.child(ScopeKind::Branch, &branch.key);
        let call = std::panic::AssertUnwindSafe(|| self.program.call(host, &inner, &branch.call));
        match std::panic::catch_unwind(call) {
            Ok(result) => result,
            Err(_) => Err(Unwind::Broken(format!("a bug in Piton: evaluating \"{}\" panicked", inner.path))),
        }
    }

    /// One result of all branches' results.
    fn gather(&self, scope: &Arc<Scope>, request: &BranchesRequest, queue: Queue) -> Result<Vec<Value>, Unwind> {
        lock(&self.failing).retain(|path| *path != scope.path);
        let mut worst: Option<Unwind> = None;
        let mut values = Vec::with_capacity(queue.results.len());
        let mut failures: Vec<(String, Failure)> = Vec::new();
        if !queue.parked.is_empty() {
            worst = Some(Unwind::Parked);
        }
        for (branch, result) in request.branches.iter().zip(queue.results) {
            match (result, request.on_failure) {
                (Some(Ok(value)), OnFailure::Hold) => values.push(value),
                (Some(Ok(value)), OnFailure::Continue) => values.push(passed(Ok(value))),
                (Some(Err(Unwind::Failed { failure, .. })), OnFailure::Continue) => {
                    values.push(passed(Err(&failure)));
                    failures.push((branch.key.clone(), failure));
                }
                (Some(Err(unwind)), _) => worst = Some(worse(worst, unwind)),
                (None, _) => {}
            }
        }
        match worst {
            Some(Unwind::Failed { path, failure }) => Err(self.branch_failed(scope, path, failure)?),
            Some(unwind) => Err(unwind),
            None => {
                self.ends_well(scope)?;
                self.settle_branches(scope, request.on_failure, failures);
                self.end_beside(&scope.path)?;
                Ok(values)
            }
        }
    }

    fn settle_branches(&self, scope: &Arc<Scope>, on_failure: OnFailure, failures: Vec<(String, Failure)>) {
        if on_failure == OnFailure::Hold {
            return self.leave(&scope.path);
        }
        self.journal.transact(|state| {
            let settled = state.is_settled(&scope.path);
            let event = ScopeSettled { path: scope.path.clone(), value: None, failures };
            (if settled { Vec::new() } else { vec![Event::ScopeSettled(event)] }, ())
        });
    }

    /// A branch failed without a step that holds (`fail()`, an expiry): what is around catches it, or the run holds.
    fn branch_failed(&self, scope: &Arc<Scope>, path: Path, failure: Failure) -> Result<Unwind, Unwind> {
        if scope.catcher() != Catcher::Nobody {
            return Ok(Unwind::Failed { path, failure });
        }
        self.journal.append([Event::RunHeld { reason: HoldReason::Failed { failure } }]);
        self.journal.flush()?;
        Ok(Unwind::Held)
    }
}

fn ends_the_others(result: &Result<Value, Unwind>, on_failure: OnFailure) -> bool {
    match result {
        Ok(_) | Err(Unwind::Parked) => false,
        Err(Unwind::Failed { .. }) => on_failure == OnFailure::Hold,
        Err(_) => true,
    }
}

/// The more serious of two: what stops the engine, then the author's error, then a hold, then a stop.
fn worse(known: Option<Unwind>, new: Unwind) -> Unwind {
    let weight = |unwind: &Unwind| match unwind {
        Unwind::Broken(_) => 6,
        Unwind::Program(_) => 5,
        Unwind::Failed { .. } => 4,
        Unwind::Held => 3,
        Unwind::Stopping => 2,
        Unwind::Parked | Unwind::Undetermined(_) => 1,
    };
    match known {
        Some(known) if weight(&known) >= weight(&new) => known,
        _ => new,
    }
}
