//! Runbooks as Rust closures: what the language makes of a source, written by hand.
//!
//! Owns `Ctx`, which reads like the built-ins, and `Book`, a main function with named functions for branches.
//! Never knows a journal: it only calls `Host`.

use piton_core::action::ChildRun;
use piton_core::event::Stored;
use piton_core::guard::{Guard, Limit, OnTrip};
use piton_core::ports::{Host, Program, Unwind};
use piton_core::request::{
    Ask, Branch, BranchesRequest, Callbacks, Check, FieldType, OnFailure, PersonRequest, PollRequest, Predicate, Retry,
    Site, StepKind, StepRequest, UndoForm, WaitRequest,
};
use piton_core::scope::{OnOver, Scope, ScopeKind};
use piton_core::value::{Callable, Definition};
use piton_core::{Action, Digest, Duration, Outcome, Path, Value, outcome::Failure, outcome::FailureKind};
use std::collections::BTreeMap;
use std::sync::Arc;

use super::script::query;

pub(crate) type Result<T = Value> = std::result::Result<T, Unwind>;
type Function = Arc<dyn Fn(&Ctx<'_>, Value) -> Result + Send + Sync>;

#[derive(Clone)]
pub(crate) struct Book {
    main: Function,
    functions: BTreeMap<String, Function>,
}

impl Book {
    pub(crate) fn new(main: impl Fn(&Ctx<'_>) -> Result + Send + Sync + 'static) -> Self {
        Self { main: Arc::new(move |ctx, _| main(ctx)), functions: BTreeMap::new() }
    }

    #[must_use]
    pub(crate) fn function(
        mut self,
        name: &str,
        body: impl Fn(&Ctx<'_>, Value) -> Result + Send + Sync + 'static,
    ) -> Self {
        self.functions.insert(name.to_owned(), Arc::new(body));
        self
    }
}

impl Program for Book {
    fn main(&self, host: &dyn Host, _: &[(String, Value)]) -> Result {
        (self.main)(&Ctx { host, scope: Scope::run() }, Value::None)
    }

    fn judge(&self, predicate: &Callable, outcome: &Arc<Outcome>) -> std::result::Result<bool, Failure> {
        assert_eq!(predicate.function.name, "calm", "the only predicate of these runbooks");
        match outcome.scalar() {
            Some(Value::Int(13)) => Err(Failure::new(FailureKind::Predicate, "it raised an error")),
            value => Ok(value == Some(Value::Int(0))),
        }
    }

    fn call(&self, host: &dyn Host, scope: &Arc<Scope>, call: &Callable) -> Result {
        let function = &self.functions[&call.function.name];
        function(&Ctx { host, scope: scope.clone() }, call.args.first().cloned().unwrap_or_default())
    }
}

/// A place in a runbook: what its built-ins are called on.
#[derive(Clone)]
pub(crate) struct Ctx<'a> {
    host: &'a dyn Host,
    scope: Arc<Scope>,
}

pub(crate) struct StepCall<'a> {
    ctx: &'a Ctx<'a>,
    request: StepRequest,
    callbacks: Told,
}

#[derive(Default)]
struct Told {
    before: Option<Action>,
    after: Option<Action>,
}

impl Callbacks for Told {
    fn predicate(&mut self, _: Predicate, outcome: &Outcome) -> std::result::Result<bool, Failure> {
        Ok(outcome.holds())
    }

    fn undo(&mut self, outcome: Option<&Outcome>) -> std::result::Result<Option<Action>, Failure> {
        Ok(if outcome.is_some() { self.after.clone().or_else(|| self.before.clone()) } else { self.before.clone() })
    }
}

fn check(script: &str) -> Option<Check> {
    let script = if script.contains(' ') { script.to_owned() } else { format!("get {script}") };
    Some(Check { action: query(&script), has_predicate: false })
}

impl StepCall<'_> {
    /// Holds while the variable is not zero; or a whole script.
    pub(crate) fn ensures(mut self, var: &str) -> Self {
        self.request.ensures = check(var);
        self
    }

    pub(crate) fn requires(mut self, var: &str) -> Self {
        self.request.requires = check(var);
        self
    }

    pub(crate) fn undo(mut self, action: Action) -> Self {
        self.request.undo = UndoForm::Asked;
        self.callbacks.before = Some(action);
        self
    }

    /// What the undo is once the outcome is known.
    pub(crate) fn undo_after(mut self, action: Action) -> Self {
        self.callbacks.after = Some(action);
        self
    }

    pub(crate) fn inverse(mut self) -> Self {
        self.request.undo = UndoForm::Inverse;
        self
    }

    pub(crate) fn retry(mut self, times: u32) -> Self {
        self.request.retry = Retry { times, backoff: Duration::from_ms(20), ..Retry::NONE };
        self
    }

    pub(crate) fn retry_after(mut self, times: u32, ms: u64) -> Self {
        self.request.retry = Retry { times, backoff: Duration::from_ms(ms), cap: Duration::from_ms(ms), ..Retry::NONE };
        self
    }

    pub(crate) fn timeout(mut self, ms: u64) -> Self {
        self.request.timeout = Some(Duration::from_ms(ms));
        self
    }

    pub(crate) fn settle(mut self, ms: u64) -> Self {
        self.request.settle = Duration::from_ms(ms);
        self
    }

    pub(crate) fn repeatable(mut self) -> Self {
        self.request.repeatable = true;
        self
    }

    pub(crate) fn expect(mut self, hint: &str) -> Self {
        self.request.kind = StepKind::Expect;
        self.request.hint = Some(hint.to_owned());
        self
    }

    pub(crate) fn go(mut self) -> Result<Arc<Outcome>> {
        self.ctx.host.step(&self.ctx.scope, &self.request, &mut self.callbacks).map(opened)
    }
}

fn opened(outcome: Stored<Outcome>) -> Arc<Outcome> {
    Arc::new(outcome.open().unwrap())
}

impl<'a> Ctx<'a> {
    fn site(&self) -> Site {
        Site { file: "main.star".into(), line: 1, column: 1 }
    }

    pub(crate) fn step(&'a self, name: &str, action: Action) -> StepCall<'a> {
        let request = StepRequest {
            path: self.scope.path.child(name),
            site: self.site(),
            kind: StepKind::Step,
            action: action.into(),
            requires: None,
            ensures: None,
            has_predicate: false,
            hint: None,
            undo: UndoForm::None,
            retry: Retry::NONE,
            timeout: None,
            settle: Duration::from_ms(0),
            repeatable: false,
            memory_bytes: None,
            live: false,
            doc: None,
        };
        StepCall { ctx: self, request, callbacks: Told::default() }
    }

    fn scope(&self, kind: ScopeKind, name: &str, mut body: impl FnMut(&Ctx<'_>) -> Result) -> Result {
        self.guarded_scope((kind, name), vec![], &mut body)
    }

    fn guarded_scope(
        &self,
        (kind, name): (ScopeKind, &str),
        guards: Vec<Guard>,
        body: &mut dyn FnMut(&Ctx<'_>) -> Result,
    ) -> Result {
        let scope = self.scope.guarded_child(kind, name, guards);
        let inner = Ctx { host: self.host, scope: scope.clone() };
        self.host.scope(&scope, &mut || body(&inner))
    }

    pub(crate) fn guarded_phase(
        &self,
        name: &str,
        guards: Vec<Guard>,
        mut body: impl FnMut(&Ctx<'_>) -> Result,
    ) -> Result {
        self.guarded_scope((ScopeKind::Phase, name), guards, &mut body)
    }

    /// With a long budget.
    pub(crate) fn guarded_window(
        &self,
        name: &str,
        guards: Vec<Guard>,
        mut body: impl FnMut(&Ctx<'_>) -> Result,
    ) -> Result {
        let (budget, reserve) = (Duration::from_secs(7200), Duration::from_secs(600));
        self.guarded_scope((ScopeKind::Window { budget, reserve, on_over: OnOver::Undo }, name), guards, &mut body)
    }

    /// A child run of the book with this name.
    pub(crate) fn run(&'a self, name: &str, file: &str) -> Result<Arc<Outcome>> {
        let child = ChildRun { file: file.to_owned(), digest: Digest::of_bytes(file.as_bytes()), params: vec![] };
        let mut call = self.step(name, Action::Run(child));
        (call.request.kind, call.request.undo) = (StepKind::Run, UndoForm::Inverse);
        call.go()
    }

    pub(crate) fn lock(&self, name: &str, body: impl FnMut(&Ctx<'_>) -> Result) -> Result {
        self.scope(ScopeKind::Lock, name, body)
    }

    pub(crate) fn phase(&self, name: &str, body: impl FnMut(&Ctx<'_>) -> Result) -> Result {
        self.scope(ScopeKind::Phase, name, body)
    }

    /// Gives a struct `(ok, value, error)`.
    pub(crate) fn attempt(&self, name: &str, body: impl FnMut(&Ctx<'_>) -> Result) -> Result {
        self.scope(ScopeKind::Attempt, name, body)
    }

    /// Budget and reserve in seconds of the simulation.
    pub(crate) fn window(
        &self,
        name: &str,
        (budget, reserve): (u64, u64),
        body: impl FnMut(&Ctx<'_>) -> Result,
    ) -> Result {
        let (budget, reserve) = (Duration::from_secs(budget), Duration::from_secs(reserve));
        self.scope(ScopeKind::Window { budget, reserve, on_over: OnOver::Undo }, name, body)
    }

    /// A window that only says so when it takes too long.
    pub(crate) fn warning_window(&self, name: &str, budget: u64, body: impl FnMut(&Ctx<'_>) -> Result) -> Result {
        let (budget, reserve) = (Duration::from_secs(budget), Duration::from_ms(0));
        self.scope(ScopeKind::Window { budget, reserve, on_over: OnOver::Warn }, name, body)
    }

    pub(crate) fn commit_point(&self, name: &str) -> Result<()> {
        self.host.commit_point(&self.scope, &self.scope.path.child(name))
    }

    fn branches(
        &self,
        (name, kind): (&str, ScopeKind),
        branches: Vec<Branch>,
        (concurrency, on_failure): (u32, OnFailure),
    ) -> Result {
        let scope = self.scope.child(kind, name);
        let request = BranchesRequest { branches, concurrency, on_failure };
        Ok(Value::List(self.host.branches(&scope, request)?))
    }

    /// `function(key)` for `0..count`, keys `item-0` and so on.
    pub(crate) fn each(&self, name: &str, count: usize, concurrency: u32, function: &str) -> Result {
        let kind = ScopeKind::Each { continue_on_failure: false };
        self.branches((name, kind), items(count, function), (concurrency, OnFailure::Hold))
    }

    pub(crate) fn each_continue(&self, name: &str, count: usize, concurrency: u32, function: &str) -> Result {
        let kind = ScopeKind::Each { continue_on_failure: true };
        self.branches((name, kind), items(count, function), (concurrency, OnFailure::Continue))
    }

    /// Functions side by side; each is its own key.
    pub(crate) fn parallel(&self, name: &str, functions: &[&str]) -> Result {
        let branches = functions.iter().map(|function| branch(function, function)).collect();
        self.branches((name, ScopeKind::Parallel), branches, (functions.len() as u32, OnFailure::Hold))
    }

    fn person(&self, name: &str, ask: Ask, ensures: Option<Check>) -> Result<Arc<Outcome>> {
        let request = PersonRequest {
            path: self.scope.path.child(name),
            site: self.site(),
            ask,
            ensures,
            settle: Duration::from_ms(0),
            doc: None,
        };
        self.host.person(&self.scope, &request, &mut Told::default()).map(opened)
    }

    pub(crate) fn approve(&self, name: &str) -> Result<Arc<Outcome>> {
        self.approve_by(name, 1, false, None)
    }

    pub(crate) fn approve_by(
        &self,
        name: &str,
        count: u32,
        not_starter: bool,
        expires_s: Option<u64>,
    ) -> Result<Arc<Outcome>> {
        let expires = expires_s.map(Duration::from_secs);
        self.person(name, Ask::Approve { by: "ops".to_owned(), count, not_starter, show: Value::None, expires }, None)
    }

    /// A number.
    pub(crate) fn ask(&self, name: &str) -> Result<Arc<Outcome>> {
        self.person(name, Ask::Fields { fields: vec![("number".to_owned(), FieldType::Int)] }, None)
    }

    pub(crate) fn manual(&self, name: &str, ensures: &str) -> Result<Arc<Outcome>> {
        let instructions = "Turn the key.".to_owned();
        self.person(name, Ask::Manual { instructions }, check(ensures))
    }

    pub(crate) fn wait(&self, name: &str, ms: u64) -> Result<()> {
        let duration = Duration::from_ms(ms);
        let request = WaitRequest { path: self.scope.path.child(name), site: self.site(), duration, doc: None };
        self.host.wait(&self.scope, &request)
    }

    pub(crate) fn poll(&self, name: &str, script: &str, (every_ms, timeout_ms): (u64, u64)) -> Result<Arc<Outcome>> {
        let request = PollRequest {
            path: self.scope.path.child(name),
            site: self.site(),
            check: check(script).expect("a check"),
            every: Duration::from_ms(every_ms),
            timeout: Duration::from_ms(timeout_ms),
            doc: None,
        };
        self.host.poll(&self.scope, &request, &mut Told::default()).map(opened)
    }

    pub(crate) fn emit(&self, name: &str, value: i64) -> Result<()> {
        self.host.emit(&self.scope, &self.scope.path.child(name), name, &value.into())
    }

    pub(crate) fn fail(&self, message: &str) -> Unwind {
        Unwind::Failed { path: self.scope.path.clone(), failure: Failure::new(FailureKind::Fail, message) }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.scope.path
    }
}

fn branch(key: &str, function: &str) -> Branch {
    let definition = Definition { file: "main.star".into(), name: function.to_owned() };
    Branch { key: key.to_owned(), call: Callable { function: definition, args: vec![key.into()], kwargs: vec![] } }
}

fn items(count: usize, function: &str) -> Vec<Branch> {
    (0..count).map(|index| branch(&format!("item-{index}"), function)).collect()
}

/// Trips when what the script gets is not below 5.
pub(crate) fn guard(name: &str, script: &str, on_trip: OnTrip) -> Guard {
    Guard {
        name: name.to_owned(),
        action: query(script).into(),
        limit: Limit::Number { below: Some(5.0), above: None },
        every: Duration::from_ms(50),
        tolerate: 0,
        on_trip,
        site: Site::default(),
    }
}

/// As `calm()` says.
pub(crate) fn judged(guard: Guard) -> Guard {
    let function = Definition { file: "main.star".to_owned(), name: "calm".to_owned() };
    Guard { limit: Limit::Predicate(Callable { function, args: vec![], kwargs: vec![] }), ..guard }
}

/// `.ok` of what an attempt or a passed item gave.
pub(crate) fn is_ok(passed: &Value) -> bool {
    let Value::Struct(fields) = passed else { panic!("{passed} is no struct") };
    fields.iter().any(|(name, value)| name == "ok" && *value == Value::Bool(true))
}
