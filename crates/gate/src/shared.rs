//! What all sessions share: the phase, the route, the accounts, who is connected.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Instant;

use tokio::sync::{Notify, watch};
use tokio_rustls::TlsAcceptor;

use crate::auth::{Credentials, Secret};
use crate::backend::Route;
use crate::slot::{Slot, Standing};

/// Connection ids begin here, so that they are not taken for a backend's.
const FIRST_ID: u32 = 0x4000_0000;
/// They stay below this, as some clients keep them in a signed integer.
const LAST_ID: u32 = 0x7fff_fff0;

/// What greetings say.
#[derive(Debug, Clone)]
pub(crate) struct Offer {
    pub(crate) version: Vec<u8>,
    pub(crate) capabilities: u32,
    pub(crate) charset: u8,
}

/// Numbers since the start.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) accepted: AtomicU64,
    pub(crate) refused: AtomicU64,
    /// Statements of sessions that have ended.
    pub(crate) statements: AtomicU64,
    pub(crate) held: AtomicU64,
    /// Held statements whose client left before the gate opened.
    pub(crate) dropped: AtomicU64,
    pub(crate) moved: AtomicU64,
    /// Sessions that could not be moved and were closed.
    pub(crate) unmoved: AtomicU64,
    /// Connections that a backend closed with a statement unanswered: its outcome is unknown.
    pub(crate) indeterminate: AtomicU64,
    pub(crate) holds: AtomicU64,
    pub(crate) longest_hold_us: AtomicU64,
}

/// Of each user: the stored form against which its password was proven, and the password.
type Proven = HashMap<Vec<u8>, (Secret, Vec<u8>)>;

pub(crate) struct Shared {
    pub(crate) clock: Instant,
    pub(crate) offer: Offer,
    pub(crate) routes: Vec<Route>,
    pub(crate) acceptor: Option<TlsAcceptor>,
    pub(crate) credentials: RwLock<Arc<Credentials>>,
    /// Passwords that clients proved in full, for fast logins with `caching_sha2_password`.
    pub(crate) proven: Mutex<Proven>,
    pub(crate) open: AtomicBool,
    /// How many switches there were, or the register's committed epoch; a session of another epoch moves before its next statement.
    pub(crate) epoch: AtomicU64,
    pub(crate) current: AtomicU32,
    /// Told at every change of phase and route.
    pub(crate) changed: watch::Sender<u64>,
    /// Told by sessions that reach a boundary while the gate is held.
    pub(crate) reached: Notify,
    pub(crate) slots: Mutex<HashMap<u32, Arc<Slot>>>,
    pub(crate) limit: usize,
    pub(crate) counters: Counters,
    next_id: AtomicU32,
}

/// Somewhere: a number that another gate gave to a client is hardly one of ours, and a KILL of it finds nobody here.
fn first_id() -> u32 {
    let mut bytes = [0; 4];
    match getrandom::fill(&mut bytes) {
        Ok(()) => FIRST_ID + u32::from_ne_bytes(bytes) % (LAST_ID - FIRST_ID),
        Err(_) => FIRST_ID,
    }
}

impl Shared {
    pub(crate) fn new(
        offer: Offer,
        routes: Vec<Route>,
        acceptor: Option<TlsAcceptor>,
        credentials: Credentials,
        limit: usize,
    ) -> Self {
        Self {
            clock: Instant::now(),
            offer,
            routes,
            acceptor,
            credentials: RwLock::new(Arc::new(credentials)),
            proven: Mutex::new(HashMap::new()),
            open: AtomicBool::new(true),
            epoch: AtomicU64::new(0),
            current: AtomicU32::new(0),
            changed: watch::channel(0).0,
            reached: Notify::new(),
            slots: Mutex::new(HashMap::new()),
            limit,
            counters: Counters::default(),
            next_id: AtomicU32::new(first_id()),
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        self.open.load(Ordering::SeqCst)
    }

    pub(crate) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::SeqCst)
    }

    pub(crate) fn route(&self) -> &Route {
        &self.routes[self.current.load(Ordering::SeqCst) as usize]
    }

    pub(crate) fn credentials(&self) -> Arc<Credentials> {
        Arc::clone(&self.credentials.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn locked_slots(&self) -> std::sync::MutexGuard<'_, HashMap<u32, Arc<Slot>>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn all_slots(&self) -> Vec<Arc<Slot>> {
        self.locked_slots().values().cloned().collect()
    }

    pub(crate) fn slot(&self, id: u32) -> Option<Arc<Slot>> {
        self.locked_slots().get(&id).cloned()
    }

    /// Whether a number is one of those that the gate gives to connections.
    pub(crate) fn is_ours(id: u32) -> bool {
        (FIRST_ID..=LAST_ID).contains(&id)
    }

    /// Takes a place for a client; `None` when all are taken.
    pub(crate) fn admit(&self, client: std::net::SocketAddr) -> Option<Arc<Slot>> {
        let mut slots = self.locked_slots();
        if slots.len() >= self.limit {
            self.counters.refused.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        loop {
            let id = self.next_id.fetch_add(1, Ordering::Relaxed);
            if !(FIRST_ID..LAST_ID).contains(&id) {
                self.next_id.store(FIRST_ID, Ordering::Relaxed);
                continue;
            }
            if let std::collections::hash_map::Entry::Vacant(place) = slots.entry(id) {
                let slot = Arc::new(Slot::new(id, client, self.clock));
                place.insert(Arc::clone(&slot));
                self.counters.accepted.fetch_add(1, Ordering::Relaxed);
                return Some(slot);
            }
        }
    }

    pub(crate) fn dismiss(&self, slot: &Slot) {
        self.locked_slots().remove(&slot.id);
        self.counters.statements.fetch_add(slot.statements.load(Ordering::Relaxed), Ordering::Relaxed);
        self.settle(slot, Standing::AtBoundary);
    }

    /// A session comes to stand somewhere; a hold that waits for it hears of it.
    pub(crate) fn settle(&self, slot: &Slot, standing: Standing) {
        slot.stand(standing);
        if !standing.blocks() && !self.is_open() {
            slot.mark_settled();
            self.reached.notify_one();
        }
    }
}
