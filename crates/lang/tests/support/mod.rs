//! A host that records what it is asked, answers from a table, and runs branches on threads as an engine does.

#![allow(dead_code, unreachable_pub)]

use piton_core::action::Action;
use piton_core::event::Stored;
use piton_core::outcome::{Failure, FailureKind, Rows};
use piton_core::ports::{Host, Program, SourceError, Sources, Unwind};
use piton_core::request::{
    BranchesRequest, Callbacks, OnFailure, PersonRequest, PollRequest, Predicate, StepRequest, UndoForm, WaitRequest,
};
use piton_core::scope::{Scope, ScopeKind};
use piton_core::{Outcome, Path, Value};
use piton_lang::{Diagnostics, Limits, Runbook};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

/// Low enough that a test which uses them up ends soon.
pub const LIMITS: Limits = Limits { ticks: 300_000, steps: 100, heap_bytes: 16 << 20 };

/// Native stack of an evaluating thread, as engines give it.
pub const STACK: usize = 16 << 20;

/// Files of a project, in memory.
#[derive(Default)]
pub struct Files(pub BTreeMap<String, Vec<u8>>);

impl Sources for Files {
    fn read(&self, path: &str) -> Result<Vec<u8>, SourceError> {
        self.0.get(path).cloned().ok_or_else(|| SourceError::Missing { path: path.to_owned() })
    }
}

/// `main.star`, and further files behind lines `### path`.
pub fn files(text: &str) -> Files {
    let mut files = BTreeMap::new();
    let mut path = "main.star".to_owned();
    let mut lines: Vec<&str> = Vec::new();
    for line in text.strip_prefix('\n').unwrap_or(text).lines().chain(["### end"]) {
        match line.strip_prefix("### ") {
            Some(next) => {
                files.insert(std::mem::replace(&mut path, next.to_owned()), (lines.join("\n") + "\n").into_bytes());
                lines.clear();
            }
            None => lines.push(line),
        }
    }
    Files(files)
}

pub fn load(text: &str) -> Result<Arc<Runbook>, Diagnostics> {
    Runbook::load(Arc::new(files(text)), "main.star").map(|runbook| Arc::new(runbook.limited(LIMITS)))
}

/// Runs `work` on a thread with an engine's stack.
pub fn on_engine_stack<R: Send>(work: impl FnOnce() -> R + Send) -> R {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(STACK).spawn_scoped(scope, work).expect("a thread");
        thread.join().expect("no panic")
    })
}

pub struct Fake {
    pub runbook: Arc<Runbook>,
    pub log: Mutex<Vec<(String, String)>>,
    /// Outcomes by path.
    pub outcomes: HashMap<String, Outcome>,
    /// Paths whose step fails.
    pub failing: Vec<String>,
    /// Records actions whole instead of their summaries.
    pub whole_actions: bool,
}

impl Fake {
    fn guards(&self, scope: &Scope) {
        for guard in scope.guards.iter() {
            self.log(&scope.path, format!("  {} @{}", guard.told(), guard.site));
        }
    }

    pub fn new(runbook: Arc<Runbook>) -> Self {
        Self { runbook, log: Mutex::default(), outcomes: HashMap::new(), failing: Vec::new(), whole_actions: false }
    }

    fn log(&self, path: &Path, line: String) {
        self.log.lock().expect("unpoisoned").push((path.to_string(), line));
    }

    /// In the order of paths where threads mix, else as it came.
    pub fn lines(&self) -> Vec<String> {
        self.log.lock().expect("unpoisoned").iter().map(|(_, line)| line.clone()).collect()
    }

    fn outcome(&self, path: &Path, action: &Action) -> Arc<Outcome> {
        if let Some(outcome) = self.outcomes.get(path.as_str()) {
            return Arc::new(outcome.clone());
        }
        let value = match action {
            Action::Noop { value } => Some(value.clone()),
            Action::Now => Some(Value::str("2026-01-02T03:04:05Z")),
            Action::NewId => Some(Value::str("00ff")),
            Action::Env { variable } => (variable == "HOME").then(|| Value::str("/root")),
            _ => None,
        };
        let out = matches!(action, Action::Process(_)).then(|| "out".into());
        let code = matches!(action, Action::Process(_)).then_some(0);
        Arc::new(Outcome { ok: true, value, out, code, ..Outcome::default() })
    }
}

pub fn rows(columns: &[&str], rows: Vec<Vec<Value>>) -> Outcome {
    let columns = columns.iter().map(|c| (*c).to_owned()).collect();
    Outcome { ok: true, rows: Some(Rows { columns, rows }), ..Outcome::default() }
}

fn options(request: &StepRequest) -> String {
    let mut text = String::new();
    let mut add = |name: &str, value: String| text.push_str(&format!(" {name}={value}"));
    let check = |check: &piton_core::request::Check| {
        format!("[{}{}]", check.action.summary(), if check.has_predicate { " ?" } else { "" })
    };
    if let Some(requires) = &request.requires {
        add("requires", check(requires));
    }
    if let Some(ensures) = &request.ensures {
        add("ensures", check(ensures));
    }
    if request.has_predicate {
        add("predicate", "?".into());
    }
    if let Some(hint) = &request.hint {
        add("hint", format!("{hint:?}"));
    }
    if request.undo != UndoForm::None {
        add("undo", format!("{:?}", request.undo));
    }
    if request.retry.times > 0 {
        let retry = &request.retry;
        add(
            "retry",
            format!("{}/{}/{}/{}/{}", retry.times, retry.backoff, retry.factor, retry.cap, retry.has_predicate),
        );
    }
    if let Some(timeout) = request.timeout {
        add("timeout", timeout.to_string());
    }
    if request.settle.as_ms() > 0 {
        add("settle", request.settle.to_string());
    }
    if request.repeatable {
        add("repeatable", "True".into());
    }
    if let Some(memory) = request.memory_bytes {
        add("memory", memory.to_string());
    }
    if let Some(doc) = &request.doc {
        add("doc", format!("{doc:?}"));
    }
    text
}

impl Host for Fake {
    fn step(
        &self,
        scope: &Arc<Scope>,
        request: &StepRequest,
        callbacks: &mut dyn Callbacks,
    ) -> Result<Stored<Outcome>, Unwind> {
        let kind = format!("{:?}", request.kind).to_lowercase();
        let action = match self.whole_actions {
            true => serde_json::to_string(&request.action).expect("json"),
            false => request.action.summary(),
        };
        let line = format!("{kind} {} @{}: {action}{}", request.path, request.site, options(request));
        self.log(&request.path, line);
        if request.kind != piton_core::request::StepKind::Read {
            assert_eq!(request.path.parent().as_ref(), Some(&scope.path));
        }
        let outcome = self.outcome(&request.path, &request.action);
        let mut ask = |which, there: bool| -> Result<(), Unwind> {
            if there {
                let answer = match callbacks.predicate(which, &outcome) {
                    Ok(holds) => holds.to_string(),
                    Err(failure) => format!("{:?}: {failure}", failure.kind),
                };
                self.log(&request.path, format!("  {which:?} -> {answer}"));
            }
            Ok(())
        };
        ask(Predicate::Requires, request.requires.as_ref().is_some_and(|check| check.has_predicate))?;
        ask(Predicate::Ensures, request.ensures.as_ref().is_some_and(|check| check.has_predicate))?;
        ask(Predicate::Check, request.has_predicate)?;
        ask(Predicate::Retry, request.retry.has_predicate)?;
        if request.undo == UndoForm::Asked {
            for given in [None, Some(&*outcome)] {
                let undo = match callbacks.undo(given) {
                    Ok(action) => action.map_or("nothing".to_owned(), |action| action.summary()),
                    Err(failure) => format!("{:?}: {failure}", failure.kind),
                };
                self.log(
                    &request.path,
                    format!("  undo({}) -> {undo}", if given.is_some() { "outcome" } else { "None" }),
                );
            }
        }
        if self.failing.iter().any(|path| path == request.path.as_str()) {
            let failure = Failure::new(FailureKind::Action, "it did not work");
            return Err(Unwind::Failed { path: request.path.clone(), failure });
        }
        Ok(Stored::seal(&*outcome))
    }

    fn poll(
        &self,
        _: &Arc<Scope>,
        request: &PollRequest,
        callbacks: &mut dyn Callbacks,
    ) -> Result<Stored<Outcome>, Unwind> {
        let PollRequest { path, site, check, every, timeout, .. } = request;
        self.log(path, format!("poll {path} @{site}: {} every={every} timeout={timeout}", check.action.summary()));
        let outcome = self.outcome(path, &check.action);
        if check.has_predicate {
            let holds = callbacks.predicate(Predicate::Check, &outcome);
            self.log(
                path,
                format!("  Check -> {}", holds.map_or_else(|failure| failure.to_string(), |b| b.to_string())),
            );
        }
        Ok(Stored::seal(&*outcome))
    }

    fn wait(&self, _: &Arc<Scope>, request: &WaitRequest) -> Result<(), Unwind> {
        self.log(&request.path, format!("wait {} @{}: {}", request.path, request.site, request.duration));
        Ok(())
    }

    fn person(
        &self,
        _: &Arc<Scope>,
        request: &PersonRequest,
        _: &mut dyn Callbacks,
    ) -> Result<Stored<Outcome>, Unwind> {
        let ask = serde_json::to_string(&request.ask).expect("json");
        self.log(&request.path, format!("person {} @{}: {ask}", request.path, request.site));
        Ok(Stored::seal(&*self.outcome(&request.path, &Action::Noop { value: Value::None })))
    }

    fn scope(&self, scope: &Arc<Scope>, body: &mut dyn FnMut() -> Result<Value, Unwind>) -> Result<Value, Unwind> {
        let kind = serde_json::to_string(&scope.kind).expect("json");
        self.log(&scope.path, format!("enter {} {kind}", scope.path));
        self.guards(scope);
        let result = body();
        self.log(&scope.path, format!("leave {}", scope.path));
        if scope.kind != ScopeKind::Attempt {
            return result;
        }
        caught(result)
    }

    fn branches(&self, scope: &Arc<Scope>, request: BranchesRequest) -> Result<Vec<Value>, Unwind> {
        let keys: Vec<&str> = request.branches.iter().map(|branch| branch.key.as_str()).collect();
        let (concurrency, on_failure) = (request.concurrency, request.on_failure);
        self.log(&scope.path, format!("branches {} {keys:?} concurrency={concurrency} {on_failure:?}", scope.path));
        self.guards(scope);
        let mut results = Vec::new();
        for branch in &request.branches {
            // One after the other, so that the record is the same each time; each on a thread of its own all the same.
            let inner = scope.child(ScopeKind::Branch, &branch.key);
            let result = on_engine_stack(|| self.runbook.call(self, &inner, &branch.call));
            results.push(match request.on_failure {
                OnFailure::Hold => result?,
                OnFailure::Continue => caught(result)?,
            });
        }
        Ok(results)
    }

    fn commit_point(&self, _: &Arc<Scope>, path: &Path) -> Result<(), Unwind> {
        self.log(path, format!("commit point {path}"));
        Ok(())
    }

    fn emit(&self, _: &Arc<Scope>, path: &Path, name: &str, value: &Value) -> Result<(), Unwind> {
        self.log(path, format!("emit {path} {name} = {value}"));
        Ok(())
    }

    fn note(&self, _: &Arc<Scope>, path: &Path, markdown: &str) -> Result<(), Unwind> {
        self.log(path, format!("note {path}: {markdown}"));
        Ok(())
    }
}

fn caught(result: Result<Value, Unwind>) -> Result<Value, Unwind> {
    let (ok, value, error) = match result {
        Ok(value) => (true, value, Value::None),
        Err(Unwind::Failed { failure, .. }) => (false, Value::None, Value::str(failure.message)),
        Err(other) => return Err(other),
    };
    Ok(Value::Struct(vec![("ok".into(), ok.into()), ("value".into(), value), ("error".into(), error)]))
}

/// What a run of the sources asks of its host and gives, or what is wrong with them.
pub fn run(text: &str, prepare: impl FnOnce(&mut Fake) + Send) -> String {
    on_engine_stack(|| {
        let runbook = match load(text) {
            Ok(runbook) => runbook,
            Err(diagnostics) => return format!("{diagnostics}\n"),
        };
        let mut fake = Fake::new(runbook.clone());
        prepare(&mut fake);
        let result = runbook.main(&fake, &[]);
        let mut lines = fake.lines();
        lines.push(match result {
            Ok(value) => format!("=> {value}"),
            Err(Unwind::Program(diagnostic)) => diagnostic,
            Err(Unwind::Failed { path, failure }) => format!("=> failed in {path:?}: {failure}"),
            Err(other) => format!("=> {other:?}"),
        });
        lines.join("\n") + "\n"
    })
}
