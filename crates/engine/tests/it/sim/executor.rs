//! Fake actions: what each does to the world, and what is left of it when its engine dies.
//!
//! Owns preparing, performing, re-attaching, and the checks of the rules that only an executor can see: a write's intent
//! is durable, a finished step is not performed again, what a thread did before is durable before it acts again.

use super::clock::SimClock;
use super::script::{Command, parse};
use super::store::MemStore;
use super::world::{Performed, Process, Who, World};
use piton_core::action::{Effect, Program, Sql};
use piton_core::event::Handle;
use piton_core::outcome::{Failure, FailureKind};
use piton_core::ports::{ActionFailed, AttemptContext, Cancel, Clock, Executor, Prepared, Purpose, Remains, Running};
use piton_core::{Action, Outcome, Path, Value};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::ThreadId;
use std::time::{Duration, Instant};

/// An `await` that nobody answers has failed the test.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Core {
    pub(crate) world: Arc<World>,
    pub(crate) store: Arc<MemStore>,
    pub(crate) clock: Arc<SimClock>,
    pub(crate) life: u32,
    /// What each thread has performed since it was last seen to be durable.
    completed: Mutex<HashMap<ThreadId, Vec<Who>>>,
}

pub(crate) struct SimExecutor(pub(crate) Arc<Core>);

#[derive(Clone)]
enum Kind {
    Value(Value),
    Script(Vec<Command>),
    File { path: String, text: Option<String> },
}

struct Ready {
    core: Arc<Core>,
    who: Who,
    action: Action,
    kind: Kind,
    timeout: Option<Duration>,
}

/// What a script has gathered so far.
#[derive(Default)]
struct Gathered {
    value: Option<Value>,
    out: String,
    lost: bool,
    changes: Vec<Command>,
}

impl SimExecutor {
    pub(crate) fn new(world: &Arc<World>, store: &Arc<MemStore>, clock: &Arc<SimClock>, life: u32) -> Self {
        let (world, store, clock) = (world.clone(), store.clone(), clock.clone());
        Self(Arc::new(Core { world, store, clock, life, completed: Mutex::default() }))
    }
}

fn dead() -> ActionFailed {
    Failure::new(FailureKind::Action, "this engine is dead").into()
}

fn dir(who: &Who) -> String {
    format!("{}/{}/{}/{:?}", who.path, who.generation, who.attempt, who.purpose)
}

fn kind_of(action: &Action) -> Kind {
    match action {
        Action::Noop { value } => Kind::Value(value.clone()),
        Action::Now => Kind::Value("now".into()),
        Action::NewId => Kind::Value("id".into()),
        Action::Env { variable } => Kind::Value(variable.as_str().into()),
        Action::Process(process) => match &process.program {
            Program::Shell { script } => Kind::Script(parse(script)),
            other => panic!("the simulation knows no {other:?}"),
        },
        Action::Http(http) => Kind::Script(parse(&http.url.to_string())),
        Action::Query(query) => Kind::Script(parse(&query.sql)),
        Action::Sql(sql) => Kind::Script(sql.statements.iter().flat_map(|text| parse(text)).collect()),
        Action::WriteFile(write) => Kind::File { path: write.path.clone(), text: Some(write.text.to_string()) },
        Action::RestoreFile { path, backup } => Kind::File { path: path.clone(), text: backup.clone() },
        Action::ReadFile { .. } => panic!("the simulation reads no files"),
        Action::Run(_) | Action::UndoRun { .. } => panic!("a child run is the engine's, never an executor's"),
    }
}

impl Executor for SimExecutor {
    fn prepare(&self, action: &Action, context: &AttemptContext) -> Result<Box<dyn Prepared>, Failure> {
        if self.0.world.is_dead(self.0.life) {
            return Err(dead().failure);
        }
        let who = Who {
            life: self.0.life,
            path: context.path.clone(),
            generation: context.generation,
            attempt: context.attempt,
            purpose: context.purpose,
        };
        let timeout = context.timeout.map(piton_core::Duration::to_std);
        Ok(Box::new(Ready { core: self.0.clone(), who, action: action.clone(), kind: kind_of(action), timeout }))
    }

    fn remains(&self, action: &Action, handle: &Handle, context: &AttemptContext) -> Remains {
        let core = &self.0;
        let mut facts = core.world.facts();
        if facts.unprovable {
            return Remains::Unprovable("nobody answers".to_owned());
        }
        if let Action::Sql(Sql { once: true, .. }) = action {
            // Its mark, in the same transaction, tells.
            let mark = format!("mark {} {}", context.path, context.generation);
            let done = facts.vars.get(&mark) == Some(&1);
            let outcome = Outcome { ok: true, affected: Some(1), ..Outcome::default() };
            return if done { Remains::Exited(Ok(outcome)) } else { Remains::NeverBegan };
        }
        let Handle::Supervisor { dir } = handle else { return Remains::Gone };
        match facts.processes.get_mut(dir) {
            // The recovering engine makes the claim, so the command never begins.
            None => Remains::NeverBegan,
            Some(process) => match process.exited.clone() {
                Some(result) => Remains::Exited(supervised(result, &process.out)),
                None => Remains::Running(Box::new(Orphan { core: core.clone(), dir: dir.clone() })),
            },
        }
    }
}

/// A command that outlived its engine.
struct Orphan {
    core: Arc<Core>,
    dir: String,
}

impl Running for Orphan {
    fn wait(self: Box<Self>, cancel: &Cancel) -> Result<Outcome, ActionFailed> {
        self.core.supervise(&self.dir, cancel, None)
    }
}

fn supervised(result: Result<(), String>, out: &str) -> Result<Outcome, ActionFailed> {
    let outcome = |code| Outcome { ok: code == 0, code: Some(code), out: Some(out.into()), ..Outcome::default() };
    result.map(|()| outcome(0)).map_err(|message| ActionFailed {
        failure: Failure::new(FailureKind::Action, message),
        outcome: Some(outcome(1)),
        never_began: false,
        unknown: false,
    })
}

impl Prepared for Ready {
    fn handle(&self) -> Handle {
        match self.action {
            Action::Process(_) => Handle::Supervisor { dir: dir(&self.who) },
            Action::Sql(_) => Handle::Session { id: 7, lock: "lock".to_owned(), since: None },
            _ => Handle::Engine,
        }
    }

    fn atomic(&self) -> bool {
        matches!(self.action, Action::Sql(_) | Action::WriteFile(_) | Action::RestoreFile { .. })
    }

    fn inverse(&mut self) -> Result<Option<Action>, Failure> {
        let undone = self.core.not_durable_before(&self.who);
        self.core.world.facts().broken_rules.extend(undone);
        Ok(match &self.kind {
            Kind::File { path, .. } => {
                let backup = self.core.world.facts().files.get(path).cloned();
                Some(Action::RestoreFile { path: path.clone(), backup })
            }
            _ => None,
        })
    }

    fn perform(self: Box<Self>, cancel: &Cancel) -> Result<Outcome, ActionFailed> {
        let core = self.core.clone();
        let writes = self.action.effect() == Effect::Write && self.who.purpose != Purpose::Look;
        if !core.begin(&self.who, writes) {
            return Err(dead());
        }
        let who = self.who.clone();
        let result = match (self.kind, &self.action) {
            (Kind::Value(value), _) => Ok(Outcome { ok: true, value: Some(value), ..Outcome::default() }),
            (Kind::File { path, text }, _) => core.write(&who, &path, text),
            (Kind::Script(commands), Action::Process(_)) if writes => {
                let process = Process { who: who.clone(), left: commands, out: String::new(), exited: None };
                core.world.facts().processes.insert(dir(&who), process);
                core.supervise(&dir(&who), cancel, self.timeout)
            }
            (Kind::Script(commands), Action::Sql(sql)) => {
                core.transaction(&who, &commands, sql.once, cancel, self.timeout)
            }
            (Kind::Script(commands), _) => core.straight(&who, &commands, cancel, self.timeout),
        };
        if who.purpose == Purpose::Act && !matches!(&result, Err(failed) if failed.unknown) {
            let mut completed = core.completed.lock().unwrap_or_else(PoisonError::into_inner);
            completed.entry(std::thread::current().id()).or_default().push(who);
        }
        result
    }
}

impl Core {
    /// Checks the rules; false where this life is over.
    fn begin(&self, who: &Who, writes: bool) -> bool {
        let mut broken = Vec::new();
        if writes && who.purpose == Purpose::Act {
            if !self.store.intended(who) {
                broken.push(format!("intent before effect: {who:?}"));
            }
            if self.store.succeeded(who) {
                broken.push(format!("a finished step is performed again: {who:?}"));
            }
        }
        if who.purpose == Purpose::Undo && !self.store.undo_intended(who) {
            broken.push(format!("intent before undo: {who:?}"));
        }
        broken.extend(self.not_durable_before(who));
        let mut facts = self.world.facts();
        if facts.is_dead(self.life) {
            return false;
        }
        facts.calls += 1;
        if writes {
            if facts.performed.iter().any(|performed| performed.who == *who) {
                broken.push(format!("one attempt is performed twice: {who:?}"));
            }
            facts.performed.push(Performed { who: who.clone(), whole: false, tidied: false });
        }
        facts.broken_rules.extend(broken);
        true
    }

    /// What this thread has done at other steps, and is not durable although it acts or looks again.
    fn not_durable_before(&self, who: &Who) -> Vec<String> {
        let before: Vec<Who> = {
            let mut completed = self.completed.lock().unwrap_or_else(PoisonError::into_inner);
            let mine = completed.entry(std::thread::current().id()).or_default();
            let (other, same): (Vec<Who>, _) = mine.drain(..).partition(|done| done.path != who.path);
            *mine = same;
            other.into_iter().filter(|done| !are_side_by_side(&done.path, &who.path)).collect()
        };
        let not_durable = before.iter().filter(|done| !self.store.ended(done));
        not_durable
            .map(|done| format!("a result is durable before anything that depends on it acts: {done:?} before {who:?}"))
            .collect()
    }

    fn write(&self, who: &Who, path: &str, text: Option<String>) -> Result<Outcome, ActionFailed> {
        let mut facts = self.world.facts();
        if !facts.moment(self.life) || facts.is_dead(self.life) {
            return Err(dead());
        }
        let what = if text.is_some() { format!("write {path}") } else { format!("remove {path}") };
        match text {
            Some(text) => drop(facts.files.insert(path.to_owned(), text)),
            None => drop(facts.files.remove(path)),
        }
        facts.changed(who, what);
        facts.whole(who);
        facts.moment(self.life);
        Ok(Outcome { ok: true, ..Outcome::default() })
    }

    /// Runs a supervised command from where it stands, until it exits or this engine dies.
    fn supervise(&self, dir: &str, cancel: &Cancel, timeout: Option<Duration>) -> Result<Outcome, ActionFailed> {
        let who = self.world.facts().processes[dir].who.clone();
        // Claimed, and nothing done yet.
        self.world.moment(self.life);
        let mut gathered = Gathered::default();
        loop {
            let next = {
                let mut facts = self.world.facts();
                if facts.is_dead(self.life) {
                    return Err(dead());
                }
                let process = facts.processes.get_mut(dir).expect("it was claimed");
                process.out = gathered.out.clone();
                match process.left.first().cloned() {
                    None => {
                        process.exited = Some(Ok(()));
                        facts.whole(&who);
                        facts.moment(self.life);
                        let lost = gathered.lost;
                        let result = supervised(Ok(()), &gathered.out);
                        return if lost { Err(ActionFailed { unknown: true, ..dead() }) } else { result };
                    }
                    Some(command) if command.changes() => {
                        process.left.remove(0);
                        facts.change(&who, &command);
                        facts.moment(self.life);
                        continue;
                    }
                    Some(command) => command,
                }
            };
            if next == Command::Die {
                // The command itself goes on.
                drop(self.world.facts().processes.get_mut(dir).expect("it was claimed").left.remove(0));
            }
            let result = self.obey(&who, &next, &mut gathered, cancel, timeout);
            if self.world.is_dead(self.life) {
                return Err(dead());
            }
            let mut facts = self.world.facts();
            let process = facts.processes.get_mut(dir).expect("it was claimed");
            match result {
                Ok(()) => drop(process.left.remove(0)),
                Err(failure) => {
                    process.exited = Some(Err(failure.message.clone()));
                    facts.moment(self.life);
                    let failed = supervised(Err(String::new()), &gathered.out);
                    return failed.map_err(|failed| ActionFailed { failure, ..failed });
                }
            }
        }
    }

    /// A write that happens whole or not at all.
    fn transaction(
        &self,
        who: &Who,
        commands: &[Command],
        once: bool,
        cancel: &Cancel,
        timeout: Option<Duration>,
    ) -> Result<Outcome, ActionFailed> {
        let mut gathered = Gathered::default();
        self.world.moment(self.life);
        for command in commands {
            if command.changes() {
                gathered.changes.push(command.clone());
            } else if let Err(failure) = self.obey(who, command, &mut gathered, cancel, timeout) {
                return Err(ActionFailed { never_began: true, ..failure.into() });
            }
        }
        let mut facts = self.world.facts();
        if facts.is_dead(self.life) {
            return Err(dead());
        }
        let mark = format!("mark {} {}", who.path, who.generation);
        if !(once && facts.vars.get(&mark) == Some(&1)) {
            for command in &gathered.changes {
                facts.change(who, command);
            }
            if once {
                facts.vars.insert(mark, 1);
            }
        }
        facts.whole(who);
        facts.moment(self.life);
        if gathered.lost {
            return Err(ActionFailed { unknown: true, ..dead() });
        }
        Ok(Outcome { ok: true, affected: Some(1), value: gathered.value, ..Outcome::default() })
    }

    /// A write that stops where its engine dies; a read.
    fn straight(
        &self,
        who: &Who,
        commands: &[Command],
        cancel: &Cancel,
        timeout: Option<Duration>,
    ) -> Result<Outcome, ActionFailed> {
        let mut gathered = Gathered::default();
        if who.purpose != Purpose::Look {
            self.world.moment(self.life);
        }
        for command in commands {
            if command.changes() {
                let mut facts = self.world.facts();
                if facts.is_dead(self.life) {
                    return Err(dead());
                }
                facts.change(who, command);
                facts.moment(self.life);
            } else {
                self.obey(who, command, &mut gathered, cancel, timeout)?;
            }
        }
        if self.world.is_dead(self.life) {
            return Err(dead());
        }
        self.world.facts().whole(who);
        if gathered.lost {
            return Err(ActionFailed { unknown: true, ..dead() });
        }
        let out = Some(gathered.out.as_str().into());
        Ok(Outcome { ok: true, out, value: gathered.value, ..Outcome::default() })
    }

    /// What a command does besides changing the world.
    fn obey(
        &self,
        who: &Who,
        command: &Command,
        gathered: &mut Gathered,
        cancel: &Cancel,
        timeout: Option<Duration>,
    ) -> Result<(), Failure> {
        if self.world.is_dead(self.life) {
            return Err(dead().failure);
        }
        match command {
            Command::Get(name) => gathered.value = Some(self.world.var(name).into()),
            Command::Say(text) => gathered.out.push_str(text),
            Command::Fail(times) => {
                let mut facts = self.world.facts();
                let failed = facts.failed.entry(format!("{} {:?}", who.path, who.purpose)).or_default();
                *failed += 1;
                if times.is_none_or(|times| *failed <= times) {
                    return Err(Failure::new(FailureKind::Action, "it failed"));
                }
            }
            Command::Sleep(ms) => {
                let whole = Duration::from_millis(*ms);
                let allowed = timeout.map_or(whole, |timeout| timeout.min(whole));
                if self.clock.sleep(allowed, cancel) {
                    return Err(stopped(cancel));
                }
                if allowed < whole {
                    return Err(Failure::new(FailureKind::Timeout, "it took too long"));
                }
            }
            Command::Lost => gathered.lost = true,
            Command::Die => self.world.kill(self.life),
            Command::Signal(name) => self.world.signal(name),
            Command::Await(name) => self.await_signal(name, cancel)?,
            Command::Hook(name) => self.world.call_hook(name),
            Command::Set(_) | Command::Clear(_) | Command::Add(_) | Command::Sub(_) => {}
        }
        Ok(())
    }

    fn await_signal(&self, name: &str, cancel: &Cancel) -> Result<(), Failure> {
        let end = Instant::now() + PATIENCE;
        while !self.world.signalled(name) && !self.world.is_dead(self.life) {
            if cancel.sleep(Duration::from_millis(1)) {
                return Err(stopped(cancel));
            }
            if Instant::now() > end {
                self.world.break_rule(format!("nobody ended the wait for \"{name}\""));
                return Err(Failure::new(FailureKind::Action, "nobody came"));
            }
        }
        Ok(())
    }
}

fn stopped(cancel: &Cancel) -> Failure {
    Failure::new(FailureKind::Stopped, cancel.reason().unwrap_or_default())
}

/// Branches of one scope that may run at the same time: neither depends on the other. The scopes whose branches run one
/// after the other are named so.
fn are_side_by_side(one: &Path, other: &Path) -> bool {
    let (one, other): (Vec<String>, Vec<String>) = (one.names().collect(), other.names().collect());
    let Some(parting) = one.iter().zip(&other).position(|(one, other)| one != other) else { return false };
    let one_by_one = parting > 0 && one[parting - 1] == "one by one";
    !one_by_one && [one, other].iter().all(|names| names[parting].starts_with("item-"))
}
