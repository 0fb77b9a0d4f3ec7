//! What the executor tests share: executors over a temporary project, and servers that tests of one binary share.
//!
//! Owns how long those servers live. Never a fake of one.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of it")]
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]

pub mod proxy;

use piton_core::action::{Query, Sql};
use piton_core::event::Handle;
use piton_core::outcome::{Failure, Outcome};
use piton_core::ports::{ActionFailed, AttemptContext, Cancel, Clock, Executor, Prepared, Purpose, Remains};
use piton_core::record::Moment;
use piton_core::secret::SecretRef;
use piton_core::{Action, Duration, Path, RunId, Text, Value};
use piton_steps::process::{Config, Processes, SupervisorCommand};
use piton_steps::{Executors, Vault};
use piton_testkit::available;
use piton_testkit::mariadb::{self, MariaDb};
use piton_testkit::postgres::Postgres;
use piton_testkit::tidb::{self, TiDb};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Instant;

struct FixedClock;

impl Clock for FixedClock {
    fn now(&self) -> Moment {
        Moment { wall_us: 1_700_000_000_000_000, boot_us: 0 }
    }

    fn boot_id(&self) -> &str {
        "boot"
    }

    fn random(&self) -> u128 {
        42
    }
}

static RUNS: AtomicU64 = AtomicU64::new(1);

pub struct World {
    /// Each world's own: attempts of one run with one name are one attempt, and end each other's sessions.
    pub run: RunId,
    pub folder: tempfile::TempDir,
    pub vault: Arc<Vault>,
    pub executors: Arc<Executors>,
}

impl World {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let vault = Arc::new(Vault::new(folder.path().to_owned(), [7; 32]));
        let supervisor = SupervisorCommand { program: "/nonexistent".into(), args: vec![] };
        let processes = Processes::new(Config::new(supervisor, vault.clone()));
        let executors = Arc::new(Executors::new(vault.clone(), Arc::new(FixedClock), processes));
        let run = RunId::from_random(RUNS.fetch_add(1, Ordering::Relaxed));
        Self { run, folder, vault, executors }
    }

    /// A secret whose value is this.
    pub fn secret(&self, name: &str, value: &str) -> Text {
        std::fs::write(self.folder.path().join(name), value).unwrap();
        Text::secret(SecretRef::parse(Some(name), &format!("file:{name}")).unwrap())
    }

    pub fn context(&self, step: &str, attempt: u32) -> AttemptContext {
        AttemptContext {
            run: self.run.clone(),
            run_dir: self.folder.path().join("run"),
            root: self.folder.path().to_owned(),
            path: Path::root().child(step),
            generation: 1,
            attempt,
            purpose: Purpose::Act,
            timeout: None,
            memory_bytes: None,
        }
    }

    pub fn prepare(&self, action: &Action, context: &AttemptContext) -> Box<dyn Prepared> {
        self.executors.prepare(action, context).unwrap_or_else(|failure| panic!("{failure:?}"))
    }

    pub fn perform(&self, action: &Action, context: &AttemptContext) -> Result<Outcome, ActionFailed> {
        self.executors.prepare(action, context)?.perform(&Cancel::new())
    }

    pub fn query(&self, url: &str, sql: &str, params: &[Value]) -> Result<Vec<Vec<Value>>, Failure> {
        let outcome = self.perform(&query(url, sql, params), &self.context("query", 1));
        outcome.map(|outcome| outcome.rows.unwrap().rows).map_err(|failed| failed.failure)
    }

    /// The only value of a query.
    pub fn value(&self, url: &str, sql: &str) -> Value {
        let mut rows = self.query(url, sql, &[]).unwrap_or_else(|failure| panic!("{sql}: {failure:?}"));
        assert_eq!((rows.len(), rows[0].len()), (1, 1), "{sql}");
        rows.remove(0).remove(0)
    }

    /// Performs `sql` as a step of its own.
    pub fn sql(&self, url: &str, text: &str) -> Result<Outcome, ActionFailed> {
        let step = format!("{text} {:?}", Instant::now());
        self.perform(&sql(url, text), &self.context(&step, 1))
    }

    pub fn remains(&self, action: &Action, handle: &Handle, context: &AttemptContext) -> Remains {
        self.executors.remains(action, handle, context)
    }
}

pub fn query(url: &str, sql: &str, params: &[Value]) -> Action {
    Action::Query(Query { url: url.into(), sql: sql.into(), params: params.to_vec(), limit: 10_000 })
}

pub fn sql(url: &str, text: &str) -> Action {
    Action::Sql(Sql { url: url.into(), statements: vec![text.into()], params: vec![], once: false })
}

pub fn once(url: &str, text: &str) -> Action {
    Action::Sql(Sql { url: url.into(), statements: vec![text.into()], params: vec![], once: true })
}

pub fn within(context: AttemptContext, ms: u64) -> AttemptContext {
    AttemptContext { timeout: Some(Duration::from_ms(ms)), ..context }
}

pub fn name(remains: &Remains) -> String {
    match remains {
        Remains::Exited(Ok(outcome)) => format!("exited: {}", outcome.notes.join("; ")),
        Remains::Exited(Err(failed)) => format!("failed: {}", failed.failure),
        Remains::Running(_) => "running".to_owned(),
        Remains::Gone => "gone".to_owned(),
        Remains::NeverBegan => "never began".to_owned(),
        Remains::Unprovable(why) => format!("unprovable: {why}"),
    }
}

/// Waits until `look` says yes; a test that waits for long is one that has failed.
pub fn eventually(what: &str, mut look: impl FnMut() -> bool) {
    let end = Instant::now() + std::time::Duration::from_secs(30);
    while !look() {
        assert!(Instant::now() < end, "in vain: {what}");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

static MARIADB: Mutex<Weak<MariaDb>> = Mutex::new(Weak::new());

/// The server that the tests of this binary share while any of them runs.
pub fn mariadb() -> Option<Arc<MariaDb>> {
    let mut shared = MARIADB.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(server) = shared.upgrade() {
        return Some(server);
    }
    let server = Arc::new(own_mariadb()?);
    *shared = Arc::downgrade(&server);
    Some(server)
}

/// A server for one test, which may crash it.
pub fn own_mariadb() -> Option<MariaDb> {
    available(MariaDb::start(mariadb::Options { buffer_pool_mib: 16, ..mariadb::Options::default() }))
}

/// A server for one test, where one is at hand: `make tidb` builds one.
pub fn tidb() -> Option<TiDb> {
    available(TiDb::start(&tidb::Options::default()))
}

static POSTGRES: Mutex<Weak<Postgres>> = Mutex::new(Weak::new());

pub fn postgres() -> Option<Arc<Postgres>> {
    let mut shared = POSTGRES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(server) = shared.upgrade() {
        return Some(server);
    }
    // No test of these crashes the server, and flushing is most of what creating a database costs.
    let server = Arc::new(available(Postgres::start(&["fsync=off"]))?);
    *shared = Arc::downgrade(&server);
    Some(server)
}
