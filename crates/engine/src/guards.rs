//! Guards: looks beside a scope, before its first step and as long as it is open.
//!
//! Owns when a guard looks, what its looks journal, and what a trip does to what runs. What a trip leads to is `core`'s to
//! say; taking back stands in `undo`.
//!
//! A guard begins to look when something is about to act in its scope, as a window opens with its first step: replay acts
//! on nothing and never looks. It looks until the scope ends, on a thread of the engine: while branches are parked, too.

use crate::checks::LOOK_TIMEOUT;
use crate::shared::{Admission, Shared, lock};
use crate::undo::Mode;
use piton_core::event::{Event, GuardTripped, UndoReason};
use piton_core::guard::{Guard, Limit, Standing, Then, standing, trip, undo_due};
use piton_core::ports::{ActionFailed, Cancel, Unwind};
use piton_core::scope::Scope;
use piton_core::{Duration, Path, RunState};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::Scope as Threads;
use std::time::Duration as StdDuration;

/// A look may take as long as until the next one, but no less than this.
const SHORTEST_LOOK: Duration = Duration::from_secs(1);
/// Guards that look at the same time in one run; each has a thread.
const MAX_LOOKING: usize = 256;

/// What watches over the scopes of a run.
#[derive(Default)]
pub(crate) struct Watches {
    inner: Mutex<Inner>,
    wanted: Condvar,
}

#[derive(Default)]
struct Inner {
    /// By the scope's path.
    scopes: HashMap<Path, Arc<Watched>>,
    /// Threads to be started: guards that have been looked at once.
    starting: Vec<Looking>,
    threads: usize,
    closed: bool,
}

/// A scope that its guards watch over.
struct Watched {
    scope: Arc<Scope>,
    /// Held by whoever looks before something acts: others wait for what it finds.
    gate: Mutex<()>,
    /// Names of the guards that have a thread.
    looking: Mutex<HashSet<String>>,
    /// The scope is over, or the engine ends.
    over: Cancel,
}

/// One guard with a thread of its own.
struct Looking {
    watched: Arc<Watched>,
    index: usize,
    /// In a row, so far; absent: it has not looked yet.
    failures: Option<u32>,
}

/// What a look saw.
struct Seen {
    passes: bool,
    saw: String,
}

impl Watches {
    /// Some guard looks: an engine that left would leave its scope unguarded.
    pub(crate) fn any(&self) -> bool {
        !lock(&self.inner).scopes.is_empty()
    }

    fn watched(&self, scope: &Arc<Scope>) -> Arc<Watched> {
        let mut inner = lock(&self.inner);
        let new = || {
            let (gate, looking, over) = Default::default();
            Arc::new(Watched { scope: scope.clone(), gate, looking, over })
        };
        inner.scopes.entry(scope.path.clone()).or_insert_with(new).clone()
    }

    fn start(&self, looking: Looking) -> Result<(), Unwind> {
        let mut inner = lock(&self.inner);
        if inner.threads >= MAX_LOOKING {
            let message =
                format!("more than {MAX_LOOKING} guards at the same time: guard the scope around them instead");
            return Err(Unwind::Program(message));
        }
        inner.threads += 1;
        inner.starting.push(looking);
        self.wanted.notify_all();
        Ok(())
    }

    /// The scope has ended, and what is in it.
    pub(crate) fn end_within(&self, scope: &Path) {
        let mut inner = lock(&self.inner);
        if inner.scopes.is_empty() {
            return;
        }
        let ended: Vec<Path> = inner.scopes.keys().filter(|path| path.is_within(scope)).cloned().collect();
        let ended: Vec<Arc<Watched>> = ended.iter().filter_map(|path| inner.scopes.remove(path)).collect();
        drop(inner);
        ended.iter().for_each(|watched| watched.over.fire("its scope has ended"));
    }

    fn close(&self) {
        lock(&self.inner).closed = true;
        self.wanted.notify_all();
        self.end_within(&Path::root());
    }

    /// The next guard that wants a thread; `None`: the engine ends.
    fn next(&self) -> Option<Looking> {
        let mut inner = lock(&self.inner);
        loop {
            if inner.closed {
                return None;
            }
            if let Some(looking) = inner.starting.pop() {
                return Some(looking);
            }
            inner = self.wanted.wait(inner).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Looking {
    fn guard(&self) -> &Guard {
        &self.watched.scope.guards[self.index]
    }
}

impl Shared {
    /// Gives each guard that begins to look a thread, until the engine ends.
    pub(crate) fn keep_guards<'scope>(&'scope self, threads: &'scope Threads<'scope, '_>, done: &Cancel) {
        let watches = self.watches.clone();
        let _closing = done.on_fire(move |_| watches.close());
        while let Some(looking) = self.watches.next() {
            let (watched, name) = (looking.watched.clone(), looking.guard().name.clone());
            let thread = std::thread::Builder::new().name("guard".into());
            if thread.spawn_scoped(threads, move || self.keep_looking(&looking)).is_err() {
                // Its scope gets no further than to its next step, before which it is looked at again.
                self.ports.observer.warn(&format!("no thread for the guard \"{name}\""));
                lock(&watched.looking).remove(&name);
                lock(&self.watches.inner).threads -= 1;
            }
        }
    }

    /// Before anything acts in a scope: the guards of the scopes around it have passed once and look from now on.
    pub(crate) fn arm_guards(&self, scope: &Scope) -> Result<(), Unwind> {
        let forward = |state: &RunState| {
            state.open_window().is_some_and(|window| window.committed && scope.path.is_within(&window.path))
        };
        self.each_guard(scope, |watched, guard| {
            let path = guard.path(&watched.scope.path);
            match self.journal.with(|state| (forward(state), standing(state, &path))) {
                // Past its commit point a window waits for nobody: what holds the run holds it when the window has ended.
                (true, Standing::Tripped) => Ok(Begin::Never),
                (true, _) => Ok(Begin::AtOnce),
                (false, _) => self.pass(watched, guard).map(Begin::After),
            }
        })
    }

    /// Guards look although they may not have passed: something runs already that must be looked after.
    pub(crate) fn watch_guards(&self, scope: &Scope) -> Result<(), Unwind> {
        self.each_guard(scope, |_, _| Ok(Begin::AtOnce))
    }

    fn each_guard(
        &self,
        scope: &Scope,
        begin: impl Fn(&Arc<Watched>, &Guard) -> Result<Begin, Unwind>,
    ) -> Result<(), Unwind> {
        if scope.outward().all(|scope| scope.guards.is_empty()) {
            return Ok(());
        }
        let mut around: Vec<Arc<Scope>> = Vec::new();
        let mut next = Some(scope);
        while let Some(scope) = next {
            if !scope.guards.is_empty() {
                around.push(Arc::new(scope.clone()));
            }
            next = scope.parent.as_deref();
        }
        // From the outside in.
        for scope in around.iter().rev() {
            let watched = self.watches.watched(scope);
            let _gate = lock(&watched.gate);
            for (index, guard) in scope.guards.iter().enumerate() {
                if lock(&watched.looking).contains(&guard.name) {
                    continue;
                }
                let failures = match begin(&watched, guard)? {
                    Begin::Never => continue,
                    Begin::AtOnce => None,
                    Begin::After(failures) => Some(failures),
                };
                lock(&watched.looking).insert(guard.name.clone());
                self.watches.start(Looking { watched: watched.clone(), index, failures })?;
            }
        }
        Ok(())
    }

    /// Looks before the first step, until the guard passes; its failures so far where an open window cannot wait for that.
    fn pass(&self, watched: &Arc<Watched>, guard: &Guard) -> Result<u32, Unwind> {
        let path = guard.path(&watched.scope.path);
        // What is seen may depend on anything done before.
        self.journal.flush()?;
        let mut failures = 0;
        loop {
            let seen = self.look_for(watched, guard);
            if seen.passes {
                self.passed(&path, &seen);
                return Ok(0);
            }
            failures += 1;
            match self.failed_look(watched, guard, &seen, failures) {
                Failed::Trips(Then::Warn) | Failed::Quiet => return Ok(0),
                Failed::Trips(_) | Failed::TooLate => return Err(Unwind::Stopping),
                Failed::Tolerated => {}
            }
            let waits = self.journal.with(|state| state.open_window().is_none());
            if !waits {
                return Ok(failures);
            }
            let registered = self.register(&path);
            if self.ports.clock.sleep(guard.every.to_std(), &registered.cancel)
                || !self.journal.with(|state| piton_core::decide::may_act(state, &watched.scope, &path))
            {
                return Err(Unwind::Stopping);
            }
        }
    }

    fn keep_looking(&self, looking: &Looking) {
        let (watched, guard) = (&looking.watched, looking.guard());
        let path = guard.path(&watched.scope.path);
        let mut failures = looking.failures.unwrap_or_default();
        let mut pause = looking.failures.map_or(StdDuration::ZERO, |_| guard.every.to_std());
        while !self.ports.clock.sleep(pause, &watched.over) {
            pause = guard.every.to_std();
            let seen = self.look_for(watched, guard);
            if watched.over.fired() {
                break;
            }
            if seen.passes {
                failures = 0;
                self.passed(&path, &seen);
                continue;
            }
            failures += 1;
            if let Failed::Trips(then) = self.failed_look(watched, guard, &seen, failures)
                && then != Then::Warn
            {
                // It looks again before anything acts in its scope again.
                lock(&watched.looking).remove(&guard.name);
                break;
            }
        }
        lock(&self.watches.inner).threads -= 1;
    }

    /// One look. A read that fails counts as a check that does not hold.
    fn look_for(&self, watched: &Watched, guard: &Guard) -> Seen {
        let failed = |why: &str| Seen { passes: false, saw: format!("no answer: {}", one_line(why)) };
        let path = guard.path(&watched.scope.path);
        match self.admit_secrets(&guard.action) {
            Ok(()) => {}
            Err(admission @ (Admission::Failed(_) | Admission::Hold(_))) => return failed(&admission.explain()),
        }
        let registered = self.register(&path);
        let cancel = registered.cancel.clone();
        let _over = watched.over.on_fire(move |why| cancel.fire(why));
        let mut context = self.look_context(&path);
        context.timeout = Some(guard.every.max(SHORTEST_LOOK).min(LOOK_TIMEOUT));
        let performed = self
            .ports
            .executor
            .prepare(&guard.action, &context)
            .map_err(ActionFailed::from)
            .and_then(|prepared| prepared.perform(&registered.cancel));
        let outcome = match performed {
            Ok(outcome) => Arc::new(outcome),
            Err(ActionFailed { failure, .. }) => return failed(&failure.message),
        };
        let keeps = match &guard.limit {
            Limit::Predicate(predicate) => self.program.judge(predicate, &outcome).map_err(|failure| failure.message),
            limit => limit.keeps(&outcome),
        };
        match keeps {
            Ok(passes) => Seen { passes, saw: outcome.summary() },
            Err(why) => Seen { passes: false, saw: format!("{} ({})", outcome.summary(), one_line(&why)) },
        }
    }

    fn passed(&self, path: &Path, seen: &Seen) {
        self.journal.transact(|state| {
            let again = matches!(standing(state, path), Standing::Checking | Standing::Quiet);
            let armed = Event::GuardArmed { path: path.clone(), saw: seen.saw.clone() };
            (if again { vec![armed] } else { Vec::new() }, ())
        });
    }

    /// The check did not hold, so often in a row.
    fn failed_look(&self, watched: &Watched, guard: &Guard, seen: &Seen, failures: u32) -> Failed {
        let (path, scope) = (guard.path(&watched.scope.path), &watched.scope);
        let tripped = self.journal.transact(|state| {
            match standing(state, &path) {
                Standing::Quiet => return (Vec::new(), Err(Failed::Quiet)),
                Standing::Tripped => return (Vec::new(), Err(Failed::TooLate)),
                Standing::Armed | Standing::Checking => {}
            }
            if failures <= guard.tolerate {
                return (Vec::new(), Err(Failed::Tolerated));
            }
            let over = watched.over.fired();
            let Some(then) = trip(state, scope, guard.on_trip).filter(|_| !over) else {
                return (Vec::new(), Err(Failed::TooLate));
            };
            let tripped = GuardTripped {
                path: path.clone(),
                check: guard.action.summary(),
                saw: seen.saw.clone(),
                limit: guard.limit.to_string(),
                failures,
                then,
                site: guard.site.clone(),
            };
            (vec![Event::GuardTripped(Box::new(tripped.clone()))], Ok(tripped))
        });
        match tripped {
            Err(failed) => failed,
            Ok(tripped) => {
                self.tripped(scope, &tripped);
                Failed::Trips(tripped.then)
            }
        }
    }

    /// What a trip does to what runs. That nothing more starts follows from the journal.
    fn tripped(&self, scope: &Scope, trip: &GuardTripped) {
        // If this flush fails, so does the next one, and that one is reported.
        let _ = self.journal.flush();
        let why = trip.to_string();
        if trip.then == Then::Warn {
            self.ports.observer.warn(&why);
            return;
        }
        // A window that has not passed its commit point never holds.
        let window = self.journal.with(|state| state.open_window().map(|window| window.path.clone()));
        if let Some(window) = window {
            self.go_back(&window, &why);
        }
        if trip.then == Then::Undo {
            self.cancel_within(&scope.path, &why);
        }
        self.changes.notify();
    }

    /// A scope's body has ended well: nothing of it looks any more, and a guard that tripped or has still to pass keeps it
    /// from being left.
    pub(crate) fn ends_well(&self, scope: &Arc<Scope>) -> Result<(), Unwind> {
        if scope.guards.is_empty() {
            return Ok(());
        }
        let unsettled = |of: Standing| {
            self.journal.with(|state| {
                let guards = scope.guards.iter();
                guards.filter(|guard| standing(state, &guard.path(&scope.path)) == of).count() > 0
            })
        };
        if unsettled(Standing::Checking) {
            self.arm_guards(scope)?;
        }
        self.watches.end_within(&scope.path);
        if unsettled(Standing::Tripped) { Err(Unwind::Stopping) } else { Ok(()) }
    }

    /// However a scope ended: unless something in it is parked, nothing of it looks any more.
    pub(crate) fn unguard<T>(&self, scope: &Scope, result: Result<T, Unwind>) -> Result<T, Unwind> {
        if !matches!(result, Err(Unwind::Parked)) {
            self.watches.end_within(&scope.path);
        }
        result
    }

    /// Takes back what guards have asked for, or goes on with it. False where an undo holds.
    pub(crate) fn take_back_for_guards(&self) -> Result<bool, Unwind> {
        let due = self.journal.with(|state| match &state.undoing {
            Some(undoing) => match &undoing.reason {
                UndoReason::Guard { guard, why } => Some((undoing.scope.clone(), guard.clone(), why.clone())),
                _ => None,
            },
            None => undo_due(state),
        });
        match due {
            Some((scope, guard, why)) => self.take_back(&scope, &Mode::Guard { guard, why }),
            None => Ok(true),
        }
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// How a guard begins to look on its thread.
enum Begin {
    Never,
    AtOnce,
    /// It has been looked at, and has failed so often in a row.
    After(u32),
}

/// What a failed look comes to.
enum Failed {
    Tolerated,
    Trips(Then),
    /// It has tripped before and not passed since, and a person or a commit point lets that be.
    Quiet,
    /// The run or the scope goes no further anyway.
    TooLate,
}
