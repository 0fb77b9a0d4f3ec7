//! What the rest of the gate sees of a session, and the agreement by which holds and sessions do not miss each other.
//!
//! A session says `Busy` and then looks whether the gate is open; a hold closes the gate and then looks who is busy. Both
//! are sequentially consistent, so at least one of them sees the other: no statement slips through a hold.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::sql::{Pins, digest};

/// Bytes of a session's last statement that are kept for reports.
const STATEMENT_BYTES: usize = 256;

/// Where a session stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Standing {
    /// At a boundary: nothing is open and nothing unanswered.
    AtBoundary = 0,
    /// A statement is under way.
    Busy = 1,
    /// Between statements of an open transaction.
    InUnit = 2,
    /// A statement, or a login, waits unsent for the gate to open.
    Held = 3,
    /// As `InUnit`, but after an error, which does not say whether the transaction is still open.
    Unsure = 4,
}

impl Standing {
    fn read(number: u8) -> Self {
        match number {
            0 => Self::AtBoundary,
            2 => Self::InUnit,
            3 => Self::Held,
            4 => Self::Unsure,
            _ => Self::Busy,
        }
    }

    /// Whether a hold must wait for it.
    pub(crate) fn blocks(self) -> bool {
        matches!(self, Self::Busy | Self::InUnit | Self::Unsure)
    }
}

/// One session, as others see it.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) id: u32,
    pub(crate) client: SocketAddr,
    standing: AtomicU8,
    /// Milliseconds of the gate's clock at which what is open was opened.
    since_ms: AtomicU64,
    /// Microseconds of the gate's clock, plus one, at which it last came to a boundary while the gate was closed.
    settled_us: AtomicU64,
    pub(crate) pins: AtomicU16,
    pub(crate) thread_id: AtomicU32,
    pub(crate) backend: AtomicU32,
    pub(crate) statements: AtomicU64,
    /// Somebody killed the session, or its statement, through the gate.
    pub(crate) killed: AtomicBool,
    /// Tells a session at rest to look around.
    pub(crate) wake: Notify,
    user: Mutex<String>,
    statement: Mutex<Vec<u8>>,
    clock: Instant,
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Slot {
    pub(crate) fn new(id: u32, client: SocketAddr, clock: Instant) -> Self {
        Self {
            id,
            client,
            standing: AtomicU8::new(Standing::AtBoundary as u8),
            since_ms: AtomicU64::new(0),
            settled_us: AtomicU64::new(0),
            pins: AtomicU16::new(0),
            thread_id: AtomicU32::new(0),
            backend: AtomicU32::new(0),
            statements: AtomicU64::new(0),
            killed: AtomicBool::new(false),
            wake: Notify::new(),
            user: Mutex::new(String::new()),
            statement: Mutex::new(Vec::new()),
            clock,
        }
    }

    pub(crate) fn standing(&self) -> Standing {
        Standing::read(self.standing.load(Ordering::SeqCst))
    }

    pub(crate) fn stand(&self, standing: Standing) {
        self.standing.store(standing as u8, Ordering::SeqCst);
    }

    /// Something is opened now.
    pub(crate) fn begin(&self) {
        self.since_ms.store(self.clock.elapsed().as_millis() as u64, Ordering::Relaxed);
    }

    /// It has come to a boundary, and somebody waits for that.
    pub(crate) fn mark_settled(&self) {
        self.settled_us.store(self.clock.elapsed().as_micros() as u64 + 1, Ordering::Relaxed);
    }

    /// When it last came to a boundary while the gate was closed.
    pub(crate) fn settled(&self) -> Option<Instant> {
        let at = self.settled_us.load(Ordering::Relaxed).checked_sub(1)?;
        Some(self.clock + Duration::from_micros(at))
    }

    pub(crate) fn age(&self) -> Duration {
        let now = self.clock.elapsed().as_millis() as u64;
        Duration::from_millis(now.saturating_sub(self.since_ms.load(Ordering::Relaxed)))
    }

    pub(crate) fn set_user(&self, user: &[u8]) {
        *locked(&self.user) = String::from_utf8_lossy(user).into_owned();
    }

    pub(crate) fn user(&self) -> String {
        locked(&self.user).clone()
    }

    pub(crate) fn set_statement(&self, text: &[u8]) {
        let mut statement = locked(&self.statement);
        statement.clear();
        statement.extend_from_slice(&text[..text.len().min(STATEMENT_BYTES)]);
    }

    pub(crate) fn digest(&self) -> String {
        digest(&locked(&self.statement))
    }

    pub(crate) fn pins(&self) -> Pins {
        Pins(self.pins.load(Ordering::Relaxed))
    }
}
