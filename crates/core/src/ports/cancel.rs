//! A token that ends an action early: made by the engine, watched by executors.
//!
//! Owns the flag, its reason and the wake-ups. Never ends anything itself.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

type Wake = Box<dyn Fn(&str) + Send>;

#[derive(Default)]
struct Inner {
    reason: Option<String>,
    wakes: HashMap<u64, Wake>,
    next: u64,
}

/// Cloning shares the token.
#[derive(Clone, Default)]
pub struct Cancel {
    shared: Arc<(Mutex<Inner>, Condvar)>,
}

/// Dropping it takes the wake-up back.
pub struct Registration {
    cancel: Cancel,
    id: u64,
}

impl Cancel {
    pub fn new() -> Self {
        Self::default()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // The state is valid after every statement, so a panicking holder leaves nothing half done.
        self.shared.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Fires the token once; later reasons are ignored. Wake-ups run on the calling thread.
    pub fn fire(&self, reason: &str) {
        let wakes = {
            let mut inner = self.lock();
            if inner.reason.is_some() {
                return;
            }
            inner.reason = Some(reason.to_owned());
            std::mem::take(&mut inner.wakes)
        };
        self.shared.1.notify_all();
        for wake in wakes.values() {
            wake(reason);
        }
    }

    /// Why it was fired.
    pub fn reason(&self) -> Option<String> {
        self.lock().reason.clone()
    }

    pub fn fired(&self) -> bool {
        self.lock().reason.is_some()
    }

    /// Calls `wake` when the token fires, at once if it has.
    #[must_use]
    pub fn on_fire(&self, wake: impl Fn(&str) + Send + 'static) -> Registration {
        let mut inner = self.lock();
        let id = inner.next;
        inner.next += 1;
        if let Some(reason) = inner.reason.clone() {
            drop(inner);
            wake(&reason);
        } else {
            inner.wakes.insert(id, Box::new(wake));
        }
        Registration { cancel: self.clone(), id }
    }

    /// Sleeps; true where the token fired meanwhile.
    pub fn sleep(&self, duration: Duration) -> bool {
        let end = Instant::now() + duration;
        let mut inner = self.lock();
        loop {
            if inner.reason.is_some() {
                return true;
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            inner = self.shared.1.wait_timeout(inner, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl fmt::Debug for Cancel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cancel").field("reason", &self.reason()).finish()
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.cancel.lock().wakes.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[test]
    fn a_token_wakes_those_registered_and_those_who_come_late() {
        let count = Arc::new(AtomicU32::new(0));
        let add = |n: u32| {
            let count = count.clone();
            move |_: &str| {
                count.fetch_add(n, Ordering::SeqCst);
            }
        };
        let cancel = Cancel::new();
        let gone = cancel.on_fire(add(100));
        drop(gone);
        let _kept = cancel.on_fire(add(1));
        cancel.fire("first");
        cancel.fire("second");
        let _late = cancel.on_fire(add(10));
        assert_eq!(count.load(Ordering::SeqCst), 11);
        assert_eq!(cancel.reason().as_deref(), Some("first"));
        assert!(cancel.sleep(Duration::from_secs(3600)));
    }
}
