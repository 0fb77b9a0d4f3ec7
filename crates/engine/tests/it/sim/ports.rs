//! The small fakes: a vault, watchdogs, and a notebook of what was durable.
//!
//! Owns recording what the engine tells each of them. Never decides anything.

use super::store::MemStore;
use super::world::World;
use piton_core::Digest;
use piton_core::ids::RunId;
use piton_core::outcome::Failure;
use piton_core::ports::{Vault, Watchdog, Watchdogs};
use piton_core::record::Record;
use piton_core::secret::SecretRef;
use piton_engine::Observer;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// Values of secrets by source; known, and so masked, from the first use on.
#[derive(Default)]
pub(crate) struct SimVault {
    values: Mutex<BTreeMap<String, String>>,
    known: Mutex<BTreeMap<String, String>>,
    on_admit: Mutex<Option<Arc<dyn Fn() + Send + Sync>>>,
}

impl SimVault {
    pub(crate) fn put(&self, source: &str, value: &str) {
        self.values.lock().unwrap().insert(source.to_owned(), value.to_owned());
    }

    /// Called whenever a secret is opened.
    pub(crate) fn on_admit(&self, hook: impl Fn() + Send + Sync + 'static) {
        *self.on_admit.lock().unwrap() = Some(Arc::new(hook));
    }
}

impl Vault for SimVault {
    fn admit(&self, secret: &SecretRef) -> Result<Digest, Failure> {
        let hook = self.on_admit.lock().unwrap().clone();
        if let Some(hook) = hook {
            hook();
        }
        let value = self.values.lock().unwrap().get(&secret.source).cloned().expect("the test put the secret there");
        self.known.lock().unwrap().insert(value.clone(), secret.to_string());
        Ok(Digest::of_parts(&[b"key", value.as_bytes()]))
    }

    fn mask(&self, text: &str) -> Option<String> {
        let mut masked = text.to_owned();
        for (value, name) in self.known.lock().unwrap().iter() {
            masked = masked.replace(value, name);
        }
        (masked != text).then_some(masked)
    }
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Guard {
    pub(crate) beats: u64,
    pub(crate) deadlines: Vec<u64>,
    pub(crate) dismissed: bool,
    /// It had a deadline, and was told that there is none any more.
    pub(crate) lulled: bool,
}

pub(crate) struct SimWatchdogs {
    world: Arc<World>,
    life: Mutex<u32>,
    pub(crate) guards: Arc<Mutex<Vec<Guard>>>,
    pub(crate) refuse: Mutex<bool>,
}

struct SimWatchdog {
    world: Arc<World>,
    guards: Arc<Mutex<Vec<Guard>>>,
    index: usize,
    life: u32,
}

impl SimWatchdogs {
    pub(crate) fn new(world: &Arc<World>) -> Self {
        Self { world: world.clone(), life: Mutex::new(0), guards: Arc::default(), refuse: Mutex::new(false) }
    }

    pub(crate) fn next_life(&self, life: u32) {
        *self.life.lock().unwrap() = life;
    }

    pub(crate) fn life(&self) -> u32 {
        *self.life.lock().unwrap()
    }

    pub(crate) fn all(&self) -> Vec<Guard> {
        self.guards.lock().unwrap().clone()
    }
}

impl Watchdogs for SimWatchdogs {
    fn start(&self, _: &RunId) -> Result<Box<dyn Watchdog>, String> {
        if *self.refuse.lock().unwrap() {
            return Err("no process can be started".to_owned());
        }
        let life = self.life();
        let mut guards = self.guards.lock().unwrap();
        guards.push(Guard::default());
        let index = guards.len() - 1;
        Ok(Box::new(SimWatchdog { world: self.world.clone(), guards: self.guards.clone(), index, life }))
    }
}

impl Watchdog for SimWatchdog {
    fn pid(&self) -> u32 {
        1000 + self.index as u32
    }

    fn beat(&mut self, deadline_boot_us: Option<u64>) {
        let guard = &mut self.guards.lock().unwrap()[self.index];
        guard.beats += 1;
        guard.lulled |= deadline_boot_us.is_none() && !guard.deadlines.is_empty();
        if let Some(deadline) = deadline_boot_us.filter(|deadline| guard.deadlines.last() != Some(deadline)) {
            guard.deadlines.push(deadline);
        }
    }

    fn dismiss(self: Box<Self>) {
        if !self.world.is_dead(self.life) {
            self.guards.lock().unwrap()[self.index].dismissed = true;
        }
    }
}

/// Collects what was shown, and notices what was shown too early or twice.
pub(crate) struct Notebook {
    store: Arc<MemStore>,
    shown: Mutex<u64>,
    wrong: Mutex<Vec<String>>,
    pub(crate) warnings: Mutex<Vec<String>>,
    pub(crate) aside: Mutex<Vec<String>>,
}

impl Notebook {
    pub(crate) fn new(store: &Arc<MemStore>) -> Self {
        Self {
            store: store.clone(),
            shown: Mutex::new(0),
            wrong: Mutex::default(),
            warnings: Mutex::default(),
            aside: Mutex::default(),
        }
    }

    pub(crate) fn wrong(&self) -> Vec<String> {
        self.wrong.lock().unwrap().clone()
    }
}

impl Observer for Notebook {
    fn durable(&self, records: &[Record]) {
        let durable = {
            let kept = self.store.kept();
            kept.records.len().max(kept.side.last().map_or(0, |sealed| sealed.seq as usize))
        };
        let mut shown = self.shown.lock().unwrap();
        for record in records {
            if record.seq as usize > durable {
                self.wrong.lock().unwrap().push(format!("record {} is shown before it is durable", record.seq));
            }
            if record.seq <= *shown {
                self.wrong.lock().unwrap().push(format!("record {} is shown out of order", record.seq));
            }
            *shown = record.seq;
        }
    }

    fn side_log(&self, why: &str) {
        self.aside.lock().unwrap().push(why.to_owned());
    }

    fn warn(&self, text: &str) {
        self.warnings.lock().unwrap().push(text.to_owned());
    }
}
