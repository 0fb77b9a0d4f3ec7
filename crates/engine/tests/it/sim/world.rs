//! The outside: named variables and files, a ledger of every effect on them, and the moments at which an engine may die.
//!
//! Owns what is true outside the engine, the fake supervised commands that outlive it, and the list of broken rules.
//! Never knows the engine: executors of a life (see `executor`) act through it, and a dead life's acts do nothing.

use super::script::Command;
use piton_core::Path;
use piton_core::ports::Purpose;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A test that waits this long for something has failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// Whose act it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Who {
    pub(crate) life: u32,
    pub(crate) path: Path,
    pub(crate) generation: u32,
    pub(crate) attempt: u32,
    pub(crate) purpose: Purpose,
}

/// One change of the world.
#[derive(Clone, Debug)]
pub(crate) struct Effect {
    pub(crate) who: Who,
    pub(crate) what: String,
}

/// A writing action that was performed, in part or whole.
#[derive(Clone, Debug)]
pub(crate) struct Performed {
    pub(crate) who: Who,
    pub(crate) whole: bool,
    /// A person has taken back what it half did.
    pub(crate) tidied: bool,
}

/// A fake supervised command.
#[derive(Clone, Debug)]
pub(crate) struct Process {
    pub(crate) who: Who,
    pub(crate) left: Vec<Command>,
    pub(crate) out: String,
    /// Its exit record: `None` while it runs.
    pub(crate) exited: Option<Result<(), String>>,
}

#[derive(Default)]
pub(crate) struct Facts {
    pub(crate) vars: BTreeMap<String, i64>,
    pub(crate) files: BTreeMap<String, String>,
    pub(crate) ledger: Vec<Effect>,
    pub(crate) performed: Vec<Performed>,
    pub(crate) processes: BTreeMap<String, Process>,
    pub(crate) broken_rules: Vec<String>,
    /// How often a `fail N` has failed.
    pub(crate) failed: BTreeMap<String, u32>,
    signals: BTreeSet<String>,
    hooks: HashMap<String, Arc<dyn Fn() + Send + Sync>>,
    moments: u64,
    kill_at: Option<u64>,
    dead: BTreeSet<u32>,
    /// Looks at interrupted attempts end with "cannot be proven" while this is set.
    pub(crate) unprovable: bool,
    /// Reads and writes of the world performed, of any kind.
    pub(crate) calls: u64,
}

#[derive(Default)]
pub(crate) struct World {
    facts: Mutex<Facts>,
    changed: Condvar,
}

impl World {
    pub(crate) fn facts(&self) -> MutexGuard<'_, Facts> {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_dead(&self, life: u32) -> bool {
        self.facts().dead.contains(&life)
    }

    /// The engine dies right after this many further moments.
    pub(crate) fn kill_after(&self, moments: u64) {
        let mut facts = self.facts();
        facts.kill_at = Some(facts.moments + moments);
    }

    pub(crate) fn never_kill(&self) {
        self.facts().kill_at = None;
    }

    pub(crate) fn moments(&self) -> u64 {
        self.facts().moments
    }

    /// Something of this life happened. False where it is dead already: then it did not happen.
    pub(crate) fn moment(&self, life: u32) -> bool {
        self.facts().moment(life)
    }

    /// An engine of another process finds this life dead.
    pub(crate) fn kill(&self, life: u32) {
        self.facts().dead.insert(life);
        self.changed.notify_all();
    }

    pub(crate) fn break_rule(&self, rule: String) {
        self.facts().broken_rules.push(rule);
    }

    pub(crate) fn var(&self, name: &str) -> i64 {
        self.facts().vars.get(name).copied().unwrap_or(0)
    }

    pub(crate) fn set_var(&self, name: &str, value: i64) {
        self.facts().vars.insert(name.to_owned(), value);
    }

    /// What changed, in order, by step: `a: set x`.
    pub(crate) fn ledger(&self) -> Vec<String> {
        self.facts().ledger.iter().map(|effect| format!("{}: {}", effect.who.path, effect.what)).collect()
    }

    pub(crate) fn times(&self, what: &str) -> usize {
        self.facts().ledger.iter().filter(|effect| effect.what == what).count()
    }

    pub(crate) fn on(&self, hook: &str, run: impl Fn() + Send + Sync + 'static) {
        self.facts().hooks.insert(hook.to_owned(), Arc::new(run));
    }

    pub(crate) fn call_hook(&self, hook: &str) {
        let run = self.facts().hooks.get(hook).cloned();
        if let Some(run) = run {
            run();
        }
    }

    pub(crate) fn signal(&self, name: &str) {
        self.facts().signals.insert(name.to_owned());
        self.changed.notify_all();
    }

    pub(crate) fn signalled(&self, name: &str) -> bool {
        self.facts().signals.contains(name)
    }

    pub(crate) fn wait_for(&self, name: &str) {
        let end = Instant::now() + PATIENCE;
        let mut facts = self.facts();
        while !facts.signals.contains(name) {
            let left = end.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "waited too long for \"{name}\"");
            facts = self.changed.wait_timeout(facts, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Facts {
    pub(crate) fn is_dead(&self, life: u32) -> bool {
        self.dead.contains(&life)
    }

    pub(crate) fn moment(&mut self, life: u32) -> bool {
        if self.dead.contains(&life) {
            return false;
        }
        self.moments += 1;
        if self.kill_at.is_some_and(|at| self.moments >= at) {
            self.dead.insert(life);
            self.kill_at = None;
        }
        true
    }

    /// Changes the world as a command says. A supervised command does so whether its engine lives or not.
    pub(crate) fn change(&mut self, who: &Who, command: &Command) {
        match command {
            Command::Set(name) => drop(self.vars.insert(name.clone(), 1)),
            Command::Clear(name) => drop(self.vars.insert(name.clone(), 0)),
            Command::Add(name) => *self.vars.entry(name.clone()).or_default() += 1,
            Command::Sub(name) => *self.vars.entry(name.clone()).or_default() -= 1,
            _ => return,
        }
        self.changed(who, command.to_string());
    }

    pub(crate) fn changed(&mut self, who: &Who, what: String) {
        self.ledger.push(Effect { who: who.clone(), what });
    }

    pub(crate) fn whole(&mut self, who: &Who) {
        if let Some(performed) = self.performed.iter_mut().rev().find(|performed| performed.who == *who) {
            performed.whole = true;
        }
    }
}
