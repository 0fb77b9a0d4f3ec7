//! Child runs in the simulation: runs of the same store, each with a world of its own, whose engines are threads.
//!
//! Owns the family of a run: its children's books, their stores and their engines. A child's engine outlives its parent's
//! lives, as a process of its own does; the moments at which a parent may die are also those around making a child.

use super::program::Book;
use super::run::Sim;
use super::store::MemStore;
use super::world::World;
use piton_core::RunId;
use piton_core::child::Parent;
use piton_core::ports::{Children, NewChild};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

#[derive(Default)]
pub(crate) struct Family {
    books: Mutex<BTreeMap<String, Book>>,
    sims: Mutex<BTreeMap<RunId, Sim>>,
    /// Engines that were started.
    started: Mutex<u32>,
}

impl Family {
    pub(crate) fn book(&self, file: &str, book: Book) {
        self.books.lock().unwrap().insert(file.to_owned(), book);
    }

    pub(crate) fn all(&self) -> Vec<Sim> {
        self.sims.lock().unwrap().values().cloned().collect()
    }

    /// The only child.
    pub(crate) fn only(&self) -> Sim {
        let mut all = self.all();
        assert_eq!(all.len(), 1, "one child run, and no other");
        all.remove(0)
    }

    pub(crate) fn engines(&self) -> u32 {
        *self.started.lock().unwrap()
    }

    pub(crate) fn store(&self, run: &RunId) -> Option<Arc<MemStore>> {
        self.sims.lock().unwrap().get(run).map(|sim| sim.store.clone())
    }
}

/// The port as one life of the parent's has it: a dead engine makes nothing.
pub(crate) struct SimChildren {
    pub(crate) parent: Sim,
    pub(crate) world: Arc<World>,
    pub(crate) life: u32,
}

impl SimChildren {
    fn alive(&self) -> Result<(), String> {
        self.world.moment(self.life);
        if self.world.is_dead(self.life) { Err("this engine has died".to_owned()) } else { Ok(()) }
    }
}

impl Children for SimChildren {
    fn create(&self, child: &NewChild) -> Result<(), String> {
        self.alive()?;
        let family = &self.parent.family;
        let known = family.sims.lock().unwrap().get(&child.run).cloned();
        let sim = match known {
            Some(sim) => sim,
            None => {
                let book = family.books.lock().unwrap()[&child.what.file].clone();
                let parent: Parent = child.parent.clone();
                let sim = self.parent.child(child.run.clone(), book, parent);
                family.sims.lock().unwrap().insert(child.run.clone(), sim.clone());
                sim
            }
        };
        // Its row stands, and nothing in it.
        self.alive()?;
        if sim.state().started.is_none() {
            drop(sim.attach()?);
        }
        self.alive()
    }

    fn drive(&self, run: &RunId) -> Result<(), String> {
        self.alive()?;
        let sim = self.parent.family.sims.lock().unwrap()[run].clone();
        if sim.store.is_held() {
            return Ok(());
        }
        *self.parent.family.started.lock().unwrap() += 1;
        let engine = sim.attach()?;
        std::thread::spawn(move || {
            let end = engine.run();
            engine.give_back();
            end
        });
        self.alive()
    }
}
