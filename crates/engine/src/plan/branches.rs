//! `each` and `parallel` while planning: branches on threads, their lines in the order of their items.
//!
//! Owns the threads and how branches' lines become one plan. A branch is not kept from reading by what its siblings would
//! write, only by what went before all of them.

use super::host::{entered, entered_branches};
use super::{Planner, Track};
use crate::shared::{EVALUATION_STACK_BYTES, MAX_BRANCH_THREADS, lock};
use piton_core::hole;
use piton_core::ports::Unwind;
use piton_core::request::{BranchesRequest, OnFailure};
use piton_core::scope::{Scope, ScopeKind};
use piton_core::{Path, Value};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

type Results = Mutex<Vec<Option<Result<Value, Unwind>>>>;

impl Planner {
    pub(super) fn plan_branches(&self, scope: &Arc<Scope>, request: &BranchesRequest) -> Result<Vec<Value>, Unwind> {
        let template = request.branches.iter().any(|branch| hole::whole(&branch.key).is_some());
        let total = (!template).then_some(request.branches.len() as u64);
        self.record(scope, &scope.path, None, entered_branches(scope, total, request.concurrency));
        let changed = self.track(scope, |track| track.changed);
        let next = AtomicUsize::new(0);
        let results: Results = Mutex::new(vec![None; request.branches.len()]);
        let work = || {
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let Some(branch) = request.branches.get(index) else { return };
                let inner = scope.child(ScopeKind::Branch, &branch.key);
                let result = self.plan_branch(&inner, changed, request.on_failure, &branch.call);
                lock(&results)[index] = Some(result);
            }
        };
        let wanted = (request.concurrency.max(1) as usize).min(request.branches.len());
        std::thread::scope(|threads| {
            for _ in 1..wanted {
                if self.threads.fetch_add(1, Ordering::Relaxed) >= MAX_BRANCH_THREADS {
                    self.threads.fetch_sub(1, Ordering::Relaxed);
                    break;
                }
                let helper = std::thread::Builder::new().name("branch".into()).stack_size(EVALUATION_STACK_BYTES);
                let spawned = helper.spawn_scoped(threads, || {
                    work();
                    self.threads.fetch_sub(1, Ordering::Relaxed);
                });
                if spawned.is_err() {
                    self.threads.fetch_sub(1, Ordering::Relaxed);
                    break;
                }
            }
            // The calling thread is one of the workers: without another one it still gets on.
            work();
        });
        let keys: Vec<Path> = request.branches.iter().map(|branch| scope.path.child(&branch.key)).collect();
        self.merge(scope, &keys);
        let results = results.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        results.into_iter().map(|result| result.unwrap_or(Err(Unwind::Stopping))).collect()
    }

    fn plan_branch(
        &self,
        scope: &Arc<Scope>,
        changed: bool,
        on_failure: OnFailure,
        call: &piton_core::value::Callable,
    ) -> Result<Value, Unwind> {
        self.going_on()?;
        lock(&self.tracks).insert(scope.path.clone(), Track { changed, ..Track::default() });
        self.record(scope, &scope.path, None, entered(scope, None));
        let body = std::panic::AssertUnwindSafe(|| self.planning.program.call(self, scope, call));
        let result = std::panic::catch_unwind(body)
            .unwrap_or_else(|_| Err(Unwind::Broken(format!("a bug in Piton: evaluating \"{}\" panicked", scope.path))));
        match on_failure {
            OnFailure::Continue => self.attempted(scope, 0, result),
            OnFailure::Hold => self.close_unless_caught(scope, result),
        }
    }

    /// The branches' lines, in the order of their items, after what went before them.
    fn merge(&self, scope: &Scope, branches: &[Path]) {
        let ended: Vec<Track> = {
            let mut tracks = lock(&self.tracks);
            branches.iter().filter_map(|path| tracks.remove(path)).collect()
        };
        self.track(scope, |track| {
            for branch in ended {
                track.changed |= branch.changed;
                track.holes += branch.holes;
                track.entries.extend(branch.entries);
            }
        });
    }
}
