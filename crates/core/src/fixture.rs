//! Journals for tests, written event by event as a sound engine writes them.
//!
//! Owns the shorthand that lets a test read as what happened. Never used outside tests.

use crate::action::{Action, ChildRun, Effect, Process, Program, Sql};
use crate::child::{ChildEnd, ChildStands, ChildWait};
use crate::decide::{Decision as Decided_, PersonDecision, decide, decide_person};
use crate::digest::Digest;
use crate::duration::Duration;
use crate::event::*;
use crate::guard::{GuardTold, OnTrip, Then};
use crate::hold::{Choice, Decision, HoldReason};
use crate::ids::{Actor, EngineId, RunId};
use crate::outcome::{Failure, FailureKind, Outcome};
use crate::path::Path;
use crate::record::{Moment, Record, Sealed};
use crate::request::{Ask, FieldType, Site, StepKind};
use crate::scope::{OnOver, Scope, ScopeKind};
use crate::secret::{SecretRef, Text};
use crate::state::{RunState, Step};
use crate::value::Value;
use std::sync::Arc;

pub(crate) fn path(text: &str) -> Path {
    Path::from_escaped(text)
}

pub(crate) fn actor(name: &str, uid: u32) -> Actor {
    Actor { name: name.into(), uid, host: "ops1".into() }
}

pub(crate) fn fingerprint(text: &str) -> Digest {
    Digest::of_bytes(text.as_bytes())
}

pub(crate) fn site() -> Site {
    Site { file: "move.star".into(), line: 12, column: 5 }
}

pub(crate) fn sh(script: &str) -> Action {
    let program = Program::Shell { script: script.into() };
    Action::Process(Process { program, env: Default::default(), cwd: None, stdin: None, reads: false })
}

pub(crate) fn sql(statement: &str) -> Action {
    Action::Sql(Sql { url: "mysql://db/x".into(), statements: vec![statement.into()], params: vec![], once: false })
}

pub(crate) fn broke() -> Failure {
    Failure::new(FailureKind::Action, "exit 1")
}

pub(crate) fn ok(value: &str) -> Outcome {
    Outcome { ok: true, out: Some(value.into()), took_us: 42, ..Outcome::default() }
}

pub(crate) fn saw(text: &str) -> Option<Evidence> {
    Some(Evidence { check: "query: select 1".into(), saw: text.into() })
}

pub(crate) fn window_kind() -> ScopeKind {
    ScopeKind::Window { budget: Duration::from_secs(90), reserve: Duration::from_secs(20), on_over: OnOver::Undo }
}

/// Scopes from the run inwards.
pub(crate) fn scopes(kinds: &[(ScopeKind, &str)]) -> Arc<Scope> {
    kinds.iter().fold(Scope::run(), |scope, (kind, name)| scope.child(kind.clone(), name))
}

/// A journal and its state.
#[derive(Clone)]
pub(crate) struct Log {
    pub(crate) sealed: Vec<Sealed>,
    pub(crate) state: RunState,
    pub(crate) now: Moment,
    pub(crate) fence: u64,
}

pub(crate) fn run_started() -> RunStarted {
    let source = ("move.star".to_owned(), fingerprint("source"));
    RunStarted {
        format: FORMAT,
        run: RunId::from_random(7),
        runbook: Runbook {
            root: "/srv/runbooks".into(),
            file: "move.star".into(),
            title: "Move payments".into(),
            digest: fingerprint("runbook"),
            sources: vec![source],
        },
        params: vec![("service".into(), Value::str("payments"))],
        by: actor("ada", 1000),
        piton: "0.1.0".into(),
        plan: None,
        rehearsal: None,
        parent: None,
    }
}

impl Log {
    /// A journal without a record.
    pub(crate) fn empty() -> Self {
        let now = Moment { wall_us: 1_700_000_000_000_000, boot_us: 5_000_000_000 };
        Self { sealed: Vec::new(), state: RunState::default(), now, fence: 1 }
    }

    /// A run that has just started.
    pub(crate) fn new() -> Self {
        let mut log = Self::empty();
        log.add(Event::RunStarted(Box::new(run_started())));
        log.attach(Attach::Started);
        log
    }

    pub(crate) fn attach(&mut self, reason: Attach) -> &mut Self {
        let engine = EngineId { host: "ops1".into(), boot_id: "boot-a".into(), pid: 100 + self.fence as u32 };
        self.add(Event::EngineAttached(EngineAttached {
            engine,
            reason,
            by: Some(actor("ada", 1000)),
            piton: Some("0.1.0".into()),
        }))
    }

    /// The engine dies; the next one takes the lease.
    pub(crate) fn crash(&mut self, reason: Attach) -> &mut Self {
        self.fence += 1;
        self.attach(reason)
    }

    pub(crate) fn add(&mut self, event: Event) -> &mut Self {
        self.wait_ms(10);
        let seq = self.state.seq + 1;
        let body = serde_json::to_string(&event).unwrap();
        let sealed = Sealed::new(self.state.head, seq, self.now, self.fence, body);
        self.state.apply(&Record { seq, at: self.now, fence: self.fence, event, hash: sealed.hash });
        self.sealed.push(sealed);
        self
    }

    pub(crate) fn add_all(&mut self, events: impl IntoIterator<Item = Event>) -> &mut Self {
        for event in events {
            self.add(event);
        }
        self
    }

    pub(crate) fn wait_ms(&mut self, ms: u64) -> &mut Self {
        self.now.wall_us += ms as i64 * 1000;
        self.now.boot_us += ms * 1000;
        self
    }

    pub(crate) fn step(&self, at: &str) -> &Step {
        &self.state.steps[&path(at)]
    }

    fn generation(&self, at: &str) -> u32 {
        self.state.next_generation(&path(at))
    }

    fn attempt(&self, at: &str) -> u32 {
        let step = self.state.steps.get(&path(at)).filter(|step| step.generation == self.generation(at));
        step.map_or(0, |step| step.attempts)
    }

    pub(crate) fn starting(&self, at: &str) -> AttemptStarted {
        AttemptStarted {
            path: path(at),
            generation: self.generation(at),
            attempt: self.attempt(at) + 1,
            fingerprint: fingerprint("v1"),
            kind: StepKind::Step,
            site: site(),
            action: sh(&format!("do {at}")),
            undo: Some(sh(&format!("undo {at}"))),
            handle: Handle::Engine,
            again: Again::Never,
            timeout: None,
        }
    }

    pub(crate) fn start(&mut self, at: &str) -> &mut Self {
        let started = self.starting(at);
        self.add(Event::AttemptStarted(Box::new(started)))
    }

    pub(crate) fn failing(&self, at: &str) -> AttemptFailed {
        AttemptFailed {
            path: path(at),
            generation: self.generation(at),
            attempt: self.attempt(at),
            fingerprint: fingerprint("v1"),
            kind: StepKind::Step,
            site: site(),
            failure: broke(),
            outcome: Some(Stored::seal(&Outcome { ok: false, code: Some(1), ..Outcome::default() })),
            retry_at_us: None,
            never_began: false,
        }
    }

    /// The running attempt fails, with no retry left.
    pub(crate) fn fail(&mut self, at: &str) -> &mut Self {
        let failed = self.failing(at);
        self.add(Event::AttemptFailed(Box::new(failed)))
    }

    /// The running attempt fails; the next may start in so many milliseconds.
    pub(crate) fn fail_retry_in(&mut self, at: &str, ms: i64) -> &mut Self {
        let retry_at_us = Some(self.now.wall_us + ms * 1000);
        let failed = AttemptFailed { retry_at_us, ..self.failing(at) };
        self.add(Event::AttemptFailed(Box::new(failed)))
    }

    pub(crate) fn succeeding(&self, at: &str) -> StepSucceeded {
        StepSucceeded {
            path: path(at),
            generation: self.generation(at),
            attempt: self.attempt(at),
            fingerprint: fingerprint("v1"),
            kind: StepKind::Step,
            effect: Some(Effect::Write),
            site: site(),
            how: How::Performed,
            outcome: Stored::seal(&ok(at)),
            undo: None,
            summary: None,
            evidence: None,
        }
    }

    pub(crate) fn succeed(&mut self, at: &str) -> &mut Self {
        let succeeded = self.succeeding(at);
        self.add(Event::StepSucceeded(Box::new(succeeded)))
    }

    /// A step that writes, from its start to its success.
    pub(crate) fn done(&mut self, at: &str) -> &mut Self {
        self.start(at).wait_ms(90).succeed(at)
    }

    /// A step that only reads.
    pub(crate) fn read(&mut self, at: &str) -> &mut Self {
        let summary = Some("query mysql://db/x: select 1".to_owned());
        let succeeded = StepSucceeded { attempt: 1, effect: Some(Effect::Read), summary, ..self.succeeding(at) };
        self.add(Event::StepSucceeded(Box::new(succeeded)))
    }

    pub(crate) fn already_true(&mut self, at: &str) -> &mut Self {
        let summary = Some("sh do".to_owned());
        let how = How::AlreadyTrue;
        let succeeded = StepSucceeded { attempt: 0, how, summary, evidence: saw("1"), ..self.succeeding(at) };
        self.add(Event::StepSucceeded(Box::new(succeeded)))
    }

    pub(crate) fn accepted(&mut self, at: &str, how: How) -> &mut Self {
        let succeeded = StepSucceeded { how, summary: Some("sh do".to_owned()), ..self.succeeding(at) };
        self.add(Event::StepSucceeded(Box::new(succeeded)))
    }

    pub(crate) fn hold(&mut self, at: &str, reason: HoldReason) -> &mut Self {
        let generation = self.generation(at);
        self.add(Event::StepHeld(StepHeld { path: path(at), generation, kind: StepKind::Step, site: site(), reason }))
    }

    pub(crate) fn hold_failed(&mut self, at: &str) -> &mut Self {
        self.fail(at).hold(at, HoldReason::Failed { failure: broke() })
    }

    /// A decision by a person who saw everything so far.
    pub(crate) fn by(&self, name: &str, uid: u32) -> Decision {
        Decision { by: actor(name, uid), saw: self.state.head, why: Some("it is fine".into()) }
    }

    pub(crate) fn choose(&mut self, at: &str, choice: Choice) -> &mut Self {
        let decision = self.by("grace", 1001);
        self.add(Event::Decided(Decided { path: path(at), choice, decision }))
    }

    pub(crate) fn enter(&mut self, at: &str, kind: ScopeKind) -> &mut Self {
        self.add(Event::ScopeEntered(ScopeEntered { path: path(at), kind, total: None, guards: vec![] }))
    }

    /// A phase with a guard of this name.
    pub(crate) fn guarded(&mut self, at: &str, guard: &str) -> &mut Self {
        let guard = GuardTold {
            name: guard.into(),
            check: "query mysql://db/x: select load".into(),
            limit: "below 5".into(),
            every: Duration::from_secs(5),
            tolerate: 0,
            on_trip: OnTrip::Hold,
        };
        let guards = vec![guard];
        self.add(Event::ScopeEntered(ScopeEntered { path: path(at), kind: ScopeKind::Phase, total: None, guards }))
    }

    pub(crate) fn trip(&mut self, guard: &str, then: Then) -> &mut Self {
        self.add(Event::GuardTripped(Box::new(GuardTripped {
            path: path(guard),
            check: "query mysql://db/x: select load".into(),
            saw: "9".into(),
            limit: "below 5".into(),
            failures: 1,
            then,
            site: site(),
        })))
    }

    pub(crate) fn pass(&mut self, guard: &str) -> &mut Self {
        self.add(Event::GuardArmed { path: path(guard), saw: "1".into() })
    }

    pub(crate) fn take_lock(&mut self, scope: &str) -> &mut Self {
        self.add(Event::LockTaken { path: path(scope), name: path(scope).name() })
    }

    /// A step that is a child run, with this id.
    pub(crate) fn start_child(&mut self, at: &str, run: &RunId) -> &mut Self {
        let child = ChildRun { file: "child.star".into(), digest: fingerprint("child"), params: vec![] };
        let undo = Some(Action::UndoRun { run: run.clone() });
        let handle = Handle::Run { run: run.clone() };
        let (kind, action) = (StepKind::Run, Action::Run(child));
        let started = AttemptStarted { kind, action, undo, handle, ..self.starting(at) };
        self.add(Event::AttemptStarted(Box::new(started)))
    }

    pub(crate) fn child_stands(&mut self, at: &str, run: &RunId, why: Option<&str>) -> &mut Self {
        let waits = why.map(|why| ChildWait { held: true, why: why.to_owned() });
        self.add(Event::ChildStands(ChildStands { path: path(at), run: run.clone(), waits }))
    }

    /// What a child run that ended so gave.
    pub(crate) fn child_end(run: &RunId, how: Finish) -> Option<Box<ChildEnd>> {
        Some(Box::new(ChildEnd { run: run.clone(), how, records: 9, head: fingerprint("child's head") }))
    }

    pub(crate) fn child_done(&mut self, at: &str, run: &RunId) -> &mut Self {
        let outcome = Outcome { run: Self::child_end(run, Finish::Succeeded), ..ok(at) };
        let outcome = Stored::seal(&outcome);
        let succeeded = StepSucceeded { kind: StepKind::Run, outcome, ..self.succeeding(at) };
        self.add(Event::StepSucceeded(Box::new(succeeded)))
    }

    pub(crate) fn await_lock(&mut self, scope: &str, deadlock: Option<&str>) -> &mut Self {
        self.add(Event::LockAwaited(LockAwaited {
            path: path(scope),
            name: path(scope).name(),
            held_by: RunId::from_random(9),
            held_at: path(scope),
            since_us: self.now.wall_us,
            deadlock: deadlock.map(str::to_owned),
        }))
    }

    pub(crate) fn timer(&mut self, at: &str, ms: i64) -> &mut Self {
        self.add(Event::TimerSet(TimerSet {
            path: path(at),
            kind: StepKind::Wait,
            fingerprint: fingerprint("wait"),
            site: site(),
            due_at_us: self.now.wall_us + ms * 1000,
        }))
    }

    pub(crate) fn break_lock(&mut self, scope: &str) -> &mut Self {
        let decision = self.by("grace", 1001);
        self.add(Event::LockBroken { path: path(scope), name: path(scope).name(), decision })
    }

    pub(crate) fn leave(&mut self, scope: &str) -> &mut Self {
        self.add(Event::ScopeLeft { path: path(scope) })
    }

    pub(crate) fn settle(&mut self, at: &str, failures: Vec<(String, Failure)>) -> &mut Self {
        self.add(Event::ScopeSettled(ScopeSettled { path: path(at), value: None, failures }))
    }

    pub(crate) fn commit_point(&mut self, at: &str) -> &mut Self {
        self.add(Event::CommitPointPassed { path: path(at) })
    }

    /// A window of 90 s with a reserve of 20 s.
    pub(crate) fn open_window(&mut self, at: &str) -> &mut Self {
        self.enter(at, window_kind());
        let generation = self.state.windows.get(&path(at)).map_or(1, |window| window.generation + 1);
        self.add(Event::WindowOpened(WindowOpened {
            path: path(at),
            generation,
            budget: Duration::from_secs(90),
            reserve: Duration::from_secs(20),
            boot_id: "boot-a".into(),
            watchdog_pid: 4711,
        }))
    }

    pub(crate) fn go_back(&mut self, at: &str) -> &mut Self {
        let generation = self.state.windows[&path(at)].generation;
        self.add(Event::WindowGoingBack {
            path: path(at),
            generation,
            why: "the budget cannot be kept".into(),
            rehearsed: false,
        })
    }

    pub(crate) fn closing(&self, at: &str, went_back: bool) -> WindowClosed {
        let window = &self.state.windows[&path(at)];
        let end = if went_back { self.now } else { window.last_step_end };
        let (measured_us, same_boot) = window.elapsed_us(end, "boot-a");
        let within_budget = measured_us <= window.budget_us();
        WindowClosed { path: path(at), generation: window.generation, went_back, measured_us, same_boot, within_budget }
    }

    pub(crate) fn close_window(&mut self, at: &str, went_back: bool) -> &mut Self {
        let closed = self.closing(at, went_back);
        self.add(Event::WindowClosed(closed))
    }

    pub(crate) fn begin_undo(&mut self, scope: &str) -> &mut Self {
        let reason = UndoReason::Asked { decision: self.by("ada", 1000) };
        self.add(Event::UndoBegan(UndoBegan { scope: path(scope), reason }))
    }

    pub(crate) fn begin_undo_for_guard(&mut self, scope: &str, guard: &str) -> &mut Self {
        let reason = UndoReason::Guard { guard: path(guard), why: "it tripped".into() };
        self.add(Event::UndoBegan(UndoBegan { scope: path(scope), reason }))
    }

    pub(crate) fn begin_undo_for_window(&mut self, scope: &str) -> &mut Self {
        let reason = UndoReason::Window { window: path(scope), why: "over".into() };
        self.add(Event::UndoBegan(UndoBegan { scope: path(scope), reason }))
    }

    pub(crate) fn start_undo(&mut self, at: &str) -> &mut Self {
        let step = self.step(at);
        let (generation, attempt) = (step.generation, step.undo.attempts + 1);
        let action = step.undo_actions().first().map_or(sh("nothing"), |action| (**action).clone());
        let handle = Handle::Engine;
        self.add(Event::UndoStarted(Box::new(UndoStarted { path: path(at), generation, attempt, action, handle })))
    }

    pub(crate) fn fail_undo(&mut self, at: &str, retry_at_us: Option<i64>) -> &mut Self {
        let step = self.step(at);
        let (generation, attempt) = (step.generation, step.undo.attempts);
        self.add(Event::UndoFailed(UndoFailed { path: path(at), generation, attempt, failure: broke(), retry_at_us }))
    }

    pub(crate) fn undone(&mut self, at: &str) -> &mut Self {
        let generation = self.step(at).generation;
        self.add(Event::StepUndone { path: path(at), generation })
    }

    pub(crate) fn undo(&mut self, at: &str) -> &mut Self {
        self.start_undo(at).undone(at)
    }

    pub(crate) fn end_undo(&mut self, scope: &str) -> &mut Self {
        self.add(Event::UndoFinished { scope: path(scope) })
    }

    pub(crate) fn approval(count: u32, not_starter: bool) -> Ask {
        Ask::Approve { by: "dba".into(), count, not_starter, show: Value::Int(24), expires: None }
    }

    pub(crate) fn asking(&self, at: &str, ask: Ask) -> PersonAsked {
        PersonAsked {
            path: path(at),
            fingerprint: Digest::of_json(&ask),
            site: site(),
            shown: fingerprint("shown"),
            ask,
            expires_at_us: None,
        }
    }

    pub(crate) fn ask(&mut self, at: &str, ask: Ask) -> &mut Self {
        let asked = self.asking(at, ask);
        self.add(Event::PersonAsked(Box::new(asked)))
    }

    pub(crate) fn answer(&mut self, at: &str, name: &str, uid: u32, answer: Answer) -> &mut Self {
        let decision = Decision { by: actor(name, uid), saw: fingerprint("shown"), why: None };
        self.add(Event::PersonAnswered(Box::new(PersonAnswered { path: path(at), answer, decision })))
    }

    /// The question is settled.
    pub(crate) fn answered(&mut self, at: &str, ask: &Ask) -> &mut Self {
        let (kind, fingerprint) = (ask.kind(), Digest::of_json(ask));
        let succeeded = StepSucceeded { kind, fingerprint, effect: None, ..self.succeeding(at) };
        self.add(Event::StepSucceeded(Box::new(succeeded)))
    }

    pub(crate) fn finish(&mut self, how: Finish) -> &mut Self {
        let value = Some(Stored::seal(&Value::str("moved")));
        self.add(Event::RunFinished { how, value })
    }

    pub(crate) fn decide(&self, scope: &Scope, at: &str) -> Decided_ {
        decide(&self.state, scope, &path(at), fingerprint("v1"))
    }

    pub(crate) fn decide_person(&self, at: &str, ask: &Ask) -> PersonDecision {
        decide_person(&self.state, &Scope::run(), &path(at), Digest::of_json(ask), self.now)
    }
}

/// A sound run in which nearly everything happens once.
pub(crate) fn a_full_life() -> Log {
    let mut log = Log::empty();
    let secret = SecretRef::parse(Some("target"), "env:TARGET_URL").unwrap();
    let params = vec![
        ("service".into(), Value::str("payments | `rm -rf` <b>")),
        ("target".into(), Value::Secret(Text::secret(secret))),
    ];
    let started = RunStarted { plan: Some(fingerprint("plan")), params, ..run_started() };
    log.add(Event::RunStarted(Box::new(started))).attach(Attach::Started);
    let (name, source) = ("target".to_owned(), "env:TARGET_URL".to_owned());
    log.add(Event::SecretSeen(SecretSeen { name, source, keyed_hash: fingerprint("keyed") }));
    discover(&mut log);
    decide_and_undo(&mut log);
    ask_people(&mut log);
    windows(&mut log);
    log.add(Event::Emitted { path: path("rows"), name: "rows".into(), value: Value::Float(0.5) });
    log.add(Event::Noted { path: path("note"), markdown: "# All is well\n\n```\nfor now\n".into() });
    log.finish(Finish::Succeeded);
    log
}

/// Reads, retries, a crash with each way out of it, a caught failure.
fn discover(log: &mut Log) {
    log.enter("Discover", ScopeKind::Phase).read("Discover/tables").done("Discover/a").already_true("Discover/b");
    log.start("Discover/flaky").fail_retry_in("Discover/flaky", 5).wait_ms(10).done("Discover/flaky");
    log.start("Discover/adopted").start("Discover/recovered").start("Discover/again").crash(Attach::Resumed);
    log.accepted("Discover/adopted", How::Adopted);
    let recovered = StepSucceeded { how: How::Recovered, evidence: saw("t"), ..log.succeeding("Discover/recovered") };
    log.add(Event::StepSucceeded(Box::new(recovered)));
    let failure = Failure::new(FailureKind::Interrupted, "the engine died");
    let failed = AttemptFailed { failure, retry_at_us: Some(0), outcome: None, ..log.failing("Discover/again") };
    log.add(Event::AttemptFailed(Box::new(failed))).done("Discover/again");
    log.enter("Discover/maybe", ScopeKind::Attempt).start("Discover/maybe/x").fail("Discover/maybe/x");
    log.settle("Discover/maybe", vec![(String::new(), broke())]);
    log.add(Event::ScopeLeft { path: path("Discover") });
}

/// Holds with each decision, a taking back whose undo fails first, and a commit point.
fn decide_and_undo(log: &mut Log) {
    log.start("waived").hold_failed("waived").choose("waived", Choice::Waive).accepted("waived", How::Waived);
    log.start("said").hold("said", HoldReason::Unknown { why: "interrupted".into() });
    log.choose("said", Choice::Done).accepted("said", How::SaidDone);
    log.done("kept").hold("kept", HoldReason::Changed { was: fingerprint("v1"), now: fingerprint("v2") });
    log.choose("kept", Choice::Keep).accepted("kept", How::Kept);
    log.done("Copy/a").done("Copy/b").begin_undo("Copy").start_undo("Copy/b").fail_undo("Copy/b", Some(0));
    log.start_undo("Copy/b").fail_undo("Copy/b", None).hold("Copy/b", HoldReason::UndoFailed { failure: broke() });
    log.choose("Copy/b", Choice::Retry).undo("Copy/b").undo("Copy/a").end_undo("Copy");
    log.add(Event::RunHeld { reason: HoldReason::Paused { by: "ada".into() } });
    log.add(Event::InboxRead { up_to: 3 }).add(Event::RunResumed { by: actor("ada", 1000) });
    log.done("Copy/a").done("Copy/b").commit_point("copied");
}

fn ask_people(log: &mut Log) {
    let form = Ask::Fields { fields: vec![("ticket".into(), FieldType::Str)] };
    log.ask("ticket", form.clone());
    let fields = vec![("ticket".into(), Value::str("OPS-1"))];
    log.answer("ticket", "ada", 1000, Answer::Fields { fields }).answered("ticket", &form);
    let manual = Ask::Manual { instructions: "Tell support.\n\nThen wait.".into() };
    log.ask("tell", manual.clone()).answer("tell", "ada", 1000, Answer::Done).answered("tell", &manual);
    approve(log);
    log.timer("soak", 1000).wait_ms(1000);
    let waited = StepSucceeded {
        kind: StepKind::Wait,
        fingerprint: fingerprint("wait"),
        effect: None,
        summary: Some("wait 1s".into()),
        ..log.succeeding("soak")
    };
    log.add(Event::StepSucceeded(Box::new(waited)));
}

fn approve(log: &mut Log) {
    let approval = Log::approval(2, true);
    log.ask("go", approval.clone()).answer("go", "grace", 1001, Answer::Approve);
    log.answer("go", "linus", 1002, Answer::Approve).answered("go", &approval);
}

/// A window that goes back after a watchdog took over, then, approved again, one that is passed.
fn windows(log: &mut Log) {
    log.open_window("w").done("w/close the source").start("w/switch").crash(Attach::TookOver).fail("w/switch");
    log.go_back("w").begin_undo_for_window("w").undo("w/switch").undo("w/close the source").end_undo("w");
    log.close_window("w", true);
    approve(log);
    log.open_window("w").done("w/close the source").commit_point("w/no way back").done("w/switch");
    log.wait_ms(3).close_window("w", false).add(Event::ScopeLeft { path: path("w") });
}
