//! Time that runs faster than real time, and jumps when a test says so.
//!
//! Owns the clock of a simulated machine. One second of the simulation is `1 / speed` real seconds, so back-offs and
//! budgets of seconds take milliseconds, and every thread sees the same time.

use piton_core::ports::{Cancel, Clock};
use piton_core::record::Moment;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

const EPOCH_US: u64 = 1_700_000_000_000_000;

pub(crate) struct SimClock {
    start: Instant,
    speed: f64,
    jumped_us: AtomicU64,
    boot: Mutex<&'static str>,
    random: AtomicU64,
}

impl SimClock {
    pub(crate) fn new(speed: f64) -> Self {
        let random = AtomicU64::new(1);
        Self { start: Instant::now(), speed, jumped_us: AtomicU64::new(0), boot: Mutex::new("boot-1"), random }
    }

    pub(crate) fn jump(&self, by: Duration) {
        self.jumped_us.fetch_add(by.as_micros() as u64, Ordering::SeqCst);
    }

    fn passed_us(&self) -> u64 {
        self.start.elapsed().mul_f64(self.speed).as_micros() as u64 + self.jumped_us.load(Ordering::SeqCst)
    }
}

impl Clock for SimClock {
    fn now(&self) -> Moment {
        let passed = self.passed_us();
        Moment { wall_us: (EPOCH_US + passed) as i64, boot_us: 1_000_000 + passed }
    }

    fn boot_id(&self) -> &str {
        *self.boot.lock().unwrap()
    }

    fn sleep(&self, duration: Duration, cancel: &Cancel) -> bool {
        cancel.sleep(duration.div_f64(self.speed))
    }

    fn random(&self) -> u128 {
        u128::from(self.random.fetch_add(1, Ordering::SeqCst))
    }
}
