//! The planner: evaluates a program and writes down what it would do, performing nothing but reads.
//!
//! Owns what is read now, what is a hole, and where a scope's plan ends. Never writes, never journals, and knows no run
//! but through its oracle. What a plan says and excludes is `core`'s.
//!
//! A read is performed only while no unperformed write precedes it in its branch or an earlier scope, or where its author
//! says that none of them matters to it (`plan = "live"`). What is not
//! performed gives a hole; an evaluation that must decide on one ends its scope's plan, and what follows the scope goes
//! on with a hole in its place.

mod branches;
mod children;
mod host;
mod live;

pub(crate) use host::question;

use crate::shared::{EVALUATION_STACK_BYTES, lock};
use piton_core::event::Stored;
use piton_core::hole;
use piton_core::outcome::Failure;
use piton_core::plan::{Entry, What};
use piton_core::ports::{Cancel, Executor, Program, Unwind, Vault};
use piton_core::request::Site;
use piton_core::scope::{Scope, ScopeKind};
use piton_core::{Digest, Outcome, Path, RunState, Value};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, AtomicUsize};
use std::sync::{Arc, Mutex};

/// What is known already: a run's journal, where one is planned on.
pub trait Oracle: Send + Sync {
    /// The outcome of the step with this path and fingerprint.
    fn known(&self, path: &Path, fingerprint: Digest) -> Option<Stored<Outcome>>;

    /// The postcondition that was looked at when the step was done, in words; empty: it had none. `None`: whatever it is
    /// now, it is not asked again.
    fn checked(&self, _path: &Path) -> Option<String> {
        None
    }
}

/// Before any run.
#[derive(Debug)]
pub struct NothingKnown;

impl Oracle for NothingKnown {
    fn known(&self, _: &Path, _: Digest) -> Option<Stored<Outcome>> {
        None
    }
}

/// A run's journal: what it has done stays done.
#[derive(Debug, Default)]
pub struct Journaled {
    done: HashMap<Path, (Digest, Stored<Outcome>)>,
    checked: HashMap<Path, String>,
}

impl Journaled {
    /// Everything that this state has as done.
    pub fn of(state: &RunState) -> Self {
        let done = |(path, step): (&Path, &piton_core::state::Step)| {
            step.done().map(|(_, outcome)| (path.clone(), (step.fingerprint, outcome.clone())))
        };
        Self { done: state.steps.iter().filter_map(done).collect(), checked: HashMap::new() }
    }

    /// Also which postconditions were looked at: those that are others now are asked again. By path; empty: none was.
    #[must_use]
    pub fn with_checks(mut self, checked: HashMap<Path, String>) -> Self {
        self.checked = checked;
        self
    }
}

impl Oracle for Journaled {
    fn known(&self, path: &Path, fingerprint: Digest) -> Option<Stored<Outcome>> {
        let (known, outcome) = self.done.get(path)?;
        (*known == fingerprint).then(|| outcome.clone())
    }

    fn checked(&self, path: &Path) -> Option<String> {
        self.checked.get(path).cloned()
    }
}

/// What a plan is made from.
pub struct Planning {
    /// The instrumented copy in which holes work.
    pub program: Arc<dyn Program>,
    pub params: Vec<(String, Value)>,
    pub executor: Arc<dyn Executor>,
    pub vault: Arc<dyn Vault>,
    /// A directory for what reads leave behind, whose `tree` holds the snapshot. Absolute.
    pub run_dir: PathBuf,
    /// The project's root. Absolute.
    pub root: PathBuf,
    /// Nothing is read.
    pub offline: bool,
    pub oracle: Arc<dyn Oracle>,
    /// Fired: the plan is given up.
    pub cancel: Cancel,
}

/// Why there is no plan.
#[derive(Debug, Clone)]
pub enum NoPlan {
    /// The runbook is wrong; the text is a whole diagnostic.
    Program(String),
    Cancelled,
    /// A bug, or a thread that cannot be started.
    Broken(String),
}

/// Evaluates the program and gives its entries in program order.
pub fn entries(planning: Planning) -> Result<Vec<Entry>, NoPlan> {
    let planner = Planner::new(planning, Arc::default());
    let root = Scope::run();
    let result = planner.evaluate();
    if planner.planning.cancel.fired() {
        return Err(NoPlan::Cancelled);
    }
    match planner.close(&root, result) {
        Ok(_) => planner.finish(),
        Err(Unwind::Program(message)) => Err(NoPlan::Program(message)),
        Err(Unwind::Broken(why)) => Err(NoPlan::Broken(why)),
        Err(Unwind::Stopping) => Err(NoPlan::Cancelled),
        Err(other) => Err(NoPlan::Broken(format!("a bug in Piton: planning ended with {other:?}"))),
    }
}

struct Planner {
    planning: Planning,
    /// Of each branch that is being evaluated, and of the run itself, by path.
    tracks: Mutex<HashMap<Path, Track>>,
    /// Environment variables, read once a plan as they are read once a run.
    variables: Mutex<HashMap<Path, Stored<Outcome>>>,
    /// Of the whole plan, child runs and all: no two share an attempt's directory.
    looks: Arc<AtomicU32>,
    threads: AtomicUsize,
}

/// How far one line of evaluation has come.
#[derive(Default)]
struct Track {
    entries: Vec<Entry>,
    /// Something has gone before that would have changed the world.
    changed: bool,
    /// Outcomes that are not known.
    holes: u64,
}

/// The branch that this scope is evaluated in.
fn track_of(scope: &Scope) -> Path {
    scope.outward().find(|scope| scope.kind == ScopeKind::Branch).map_or_else(Path::root, |scope| scope.path.clone())
}

fn unknown_result(scope: &Scope) -> Value {
    Value::from(hole::mark(&format!("result of \"{}\"", scope.path.name())))
}

impl Planner {
    fn new(planning: Planning, looks: Arc<AtomicU32>) -> Self {
        let threads = AtomicUsize::new(0);
        Self { planning, tracks: Mutex::default(), variables: Mutex::default(), looks, threads }
    }

    /// Evaluates `main` on a thread with room for it.
    fn evaluate(&self) -> Result<Value, Unwind> {
        std::thread::scope(|threads| {
            let thread = std::thread::Builder::new().name("plan".into()).stack_size(EVALUATION_STACK_BYTES);
            let main = || self.planning.program.main(self, &self.planning.params);
            let thread = thread
                .spawn_scoped(threads, main)
                .map_err(|error| Unwind::Broken(format!("no thread to evaluate on: {error}")))?;
            thread.join().unwrap_or_else(|_| Err(Unwind::Broken("a bug in Piton: evaluating panicked".into())))
        })
    }

    fn track<R>(&self, scope: &Scope, change: impl FnOnce(&mut Track) -> R) -> R {
        change(lock(&self.tracks).entry(track_of(scope)).or_default())
    }

    fn record(&self, scope: &Scope, path: &Path, site: Option<&Site>, what: What) {
        let entry = Entry { path: path.clone(), site: site.cloned(), what };
        self.track(scope, |track| track.entries.push(entry));
    }

    /// Whether reads still see the world as a run would see it here.
    fn sees(&self, scope: &Scope) -> bool {
        !self.planning.offline && !self.track(scope, |track| track.changed)
    }

    fn going_on(&self) -> Result<(), Unwind> {
        if self.planning.cancel.fired() { Err(Unwind::Stopping) } else { Ok(()) }
    }

    /// A scope's body has ended: gives its result, or ends the scope's plan and gives a hole.
    fn close(&self, scope: &Scope, result: Result<Value, Unwind>) -> Result<Value, Unwind> {
        let why = match result {
            Ok(value) => return Ok(value),
            Err(Unwind::Undetermined(what)) => format!("depends on {}", hole::render(&what)),
            Err(Unwind::Failed { path, failure }) => would_fail(scope, &path, &failure),
            Err(other) => return Err(other),
        };
        self.end(scope, why);
        Ok(unknown_result(scope))
    }

    /// What follows in this scope is not known, nor what it would change.
    fn end(&self, scope: &Scope, why: String) {
        self.record(scope, &scope.path, None, What::End { why });
        self.track(scope, |track| (track.changed, track.holes) = (true, track.holes + 1));
    }

    /// The entries of the whole plan, with every secret masked once more.
    fn finish(self) -> Result<Vec<Entry>, NoPlan> {
        let mut tracks = self.tracks.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut entries = tracks.remove(&Path::root()).unwrap_or_default().entries;
        // A variable that several branches read is one step.
        let mut seen = std::collections::HashSet::new();
        entries.retain(|entry| !matches!(entry.what, What::Step(_)) || seen.insert(entry.path.clone()));
        let unreadable = |error| NoPlan::Broken(format!("a bug in Piton: a plan cannot be written: {error}"));
        let text = serde_json::to_string(&entries).map_err(unreadable)?;
        match self.planning.vault.mask(&text) {
            Some(masked) => serde_json::from_str(&masked).map_err(unreadable),
            None => Ok(entries),
        }
    }
}

/// Where and why a run would fail, for the line that ends a scope's plan.
fn would_fail(scope: &Scope, path: &Path, failure: &Failure) -> String {
    if *path == scope.path || path.is_root() {
        return format!("it would fail: {failure}");
    }
    format!("\"{}\" would fail", path.name())
}
