//! Keys that changed since both sides were last seen to be equal there.
//!
//! A table begins wholly dirty. Once a pass over it has begun, every key that the log tells of is dirty until a later
//! look finds its row equal on both sides. So the cutover has only a few keys to look at.
//!
//! Owns that memory, which is bounded: with too many keys a table is wholly dirty again. It is not kept over a
//! restart: a new mover passes over every table anew. Never reads a server.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::Difference;
use crate::row::Row;

/// Keys remembered, over all tables: about 200 bytes each.
const MOST_KEYS: usize = 100_000;

/// How much is dirty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Dirty {
    /// Single keys. A cutover begins with at most a thousand.
    pub keys: usize,
    /// Tables that have not been passed over whole.
    pub tables: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing is known; its keys are not remembered.
    Whole,
    /// Being passed over: its keys are remembered.
    Passing,
    /// Equal but for the keys that are remembered.
    Passed,
}

#[derive(Debug)]
struct Inner {
    states: Vec<State>,
    /// When each key last changed, counted.
    keys: HashMap<(u32, Row), u64>,
    /// The same the other way round: the oldest come first.
    order: BTreeMap<u64, (u32, Row)>,
    count: u64,
    /// Rows that differ for certain.
    differences: BTreeMap<(u32, Row), Difference>,
}

#[derive(Debug)]
pub(crate) struct DirtyKeys {
    inner: Mutex<Inner>,
    more: Notify,
    /// Whoever passes over tables: two at once would do the same work.
    passing: tokio::sync::Mutex<()>,
    /// How many wait for a comparison of everything, or make it.
    asked: AtomicUsize,
}

/// A comparison of everything that is asked for, until it is dropped.
pub(crate) struct Asking<'a>(&'a AtomicUsize);

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A dirty key, with the change after which it was taken to be looked at.
pub(crate) type Taken = (u32, Row, u64);

impl DirtyKeys {
    pub(crate) fn new(tables: usize) -> Self {
        let inner = Inner {
            states: vec![State::Whole; tables],
            keys: HashMap::new(),
            order: BTreeMap::new(),
            count: 0,
            differences: BTreeMap::new(),
        };
        let passing = tokio::sync::Mutex::new(());
        Self { inner: Mutex::new(inner), more: Notify::new(), passing, asked: AtomicUsize::new(0) }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// These keys changed.
    pub(crate) fn touch(&self, table: u32, keys: impl Iterator<Item = Row>) {
        let mut inner = self.lock();
        if inner.states[table as usize] == State::Whole {
            return;
        }
        for key in keys {
            inner.count += 1;
            let count = inner.count;
            if let Some(before) = inner.keys.insert((table, key.clone()), count) {
                inner.order.remove(&before);
            }
            inner.order.insert(count, (table, key));
        }
        if inner.keys.len() > MOST_KEYS {
            // Whoever has most keys gives them up.
            let mut counts = HashMap::new();
            inner.keys.keys().for_each(|(table, _)| *counts.entry(*table).or_insert(0_usize) += 1);
            if let Some((table, _)) = counts.into_iter().max_by_key(|(_, count)| *count) {
                inner.forget(table);
            }
        }
        drop(inner);
        self.more.notify_one();
    }

    /// Returns when nobody else passes over tables, until what it gives is dropped.
    pub(crate) async fn alone(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.passing.lock().await
    }

    /// Asks whoever passes over tables by itself to give way.
    pub(crate) fn ask(&self) -> Asking<'_> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        Asking(&self.asked)
    }

    pub(crate) fn is_asked(&self) -> bool {
        self.asked.load(Ordering::SeqCst) > 0
    }

    /// A table that is to be passed over.
    pub(crate) fn unpassed(&self) -> Option<u32> {
        let table = self.lock().states.iter().position(|state| *state != State::Passed)?;
        u32::try_from(table).ok()
    }

    /// A table is being passed over; its keys are remembered from now on.
    pub(crate) fn begin_pass(&self, table: u32) {
        self.lock().states[table as usize] = State::Passing;
    }

    /// The table was passed over: what is not remembered of it is equal. Unless too much changed meanwhile.
    pub(crate) fn end_pass(&self, table: u32) {
        let state = &mut self.lock().states[table as usize];
        if *state == State::Passing {
            *state = State::Passed;
        }
    }

    /// The keys that have been dirty for longest.
    pub(crate) fn oldest(&self, most: usize) -> Vec<Taken> {
        let inner = self.lock();
        inner.order.iter().take(most).map(|(count, (table, key))| (*table, key.clone(), *count)).collect()
    }

    /// Whether the key has not changed since it was taken.
    pub(crate) fn has(&self, (table, key, count): &Taken) -> bool {
        self.lock().keys.get(&(*table, key.clone())) == Some(count)
    }

    /// Both sides were equal at this key, unless it changed since it was taken.
    pub(crate) fn clean(&self, (table, key, count): Taken) {
        let mut inner = self.lock();
        let place = (table, key);
        inner.differences.remove(&place);
        if inner.keys.get(&place) == Some(&count) {
            inner.keys.remove(&place);
            inner.order.remove(&count);
        }
    }

    /// A row differs for certain. Its key stays dirty until it does no more.
    pub(crate) fn differs(&self, difference: Difference) {
        self.touch(difference.at.0, std::iter::once(difference.at.1.clone()));
        self.lock().differences.insert(difference.at.clone(), difference);
    }

    pub(crate) fn differences(&self) -> Vec<Difference> {
        self.lock().differences.values().cloned().collect()
    }

    pub(crate) fn count(&self) -> Dirty {
        let inner = self.lock();
        let tables = inner.states.iter().filter(|state| **state != State::Passed).count();
        Dirty { keys: inner.keys.len(), tables }
    }

    /// Returns when something may have changed.
    pub(crate) async fn changed(&self) {
        self.more.notified().await;
    }
}

impl Inner {
    fn forget(&mut self, table: u32) {
        self.states[table as usize] = State::Whole;
        self.keys.retain(|(of, _), _| *of != table);
        self.order.retain(|_, (of, _)| *of != table);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: usize) -> Row {
        let mut row = Row::default();
        row.push(Some(number.to_string().as_bytes()));
        row
    }

    #[test]
    fn a_key_that_changes_while_it_is_looked_at_stays_dirty() {
        let dirty = DirtyKeys::new(1);
        dirty.touch(0, [key(1)].into_iter());
        assert_eq!(dirty.count(), Dirty { keys: 0, tables: 1 }, "nothing is known of the table");
        assert_eq!(dirty.unpassed(), Some(0));
        dirty.begin_pass(0);
        dirty.touch(0, [key(1), key(2)].into_iter());
        dirty.end_pass(0);
        assert_eq!(dirty.count(), Dirty { keys: 2, tables: 0 });
        let taken = dirty.oldest(10);
        dirty.touch(0, [key(1)].into_iter());
        taken.into_iter().for_each(|taken| dirty.clean(taken));
        assert_eq!(dirty.oldest(10).into_iter().map(|(_, key, _)| key).collect::<Vec<_>>(), [key(1)]);
    }

    #[test]
    fn with_too_many_keys_a_table_is_wholly_dirty_again() {
        let dirty = DirtyKeys::new(2);
        for _ in 0..2 {
            let table = dirty.unpassed().unwrap();
            dirty.begin_pass(table);
            dirty.end_pass(table);
        }
        dirty.touch(1, [key(1)].into_iter());
        assert_eq!(dirty.unpassed(), None);
        dirty.touch(0, (0..=MOST_KEYS).map(key));
        assert_eq!(dirty.count(), Dirty { keys: 1, tables: 1 });
        assert_eq!(dirty.unpassed(), Some(0));
        dirty.begin_pass(0);
        dirty.touch(0, (0..=MOST_KEYS).map(key));
        dirty.end_pass(0);
        assert_eq!(dirty.count().tables, 1, "a pass during which too much changed does not count");
    }
}
