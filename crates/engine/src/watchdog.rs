//! The watchdog's patience: when a silent engine with an open window is replaced.
//!
//! Owns the rule, pure. The process that waits, kills and takes over is the command line's.

/// An engine that has said nothing for this long while its window is past its deadline is replaced, microseconds.
pub const SILENCE_US: u64 = 500_000;

/// What the watchdog knows of the engine it guards. Times on the boot-time clock, microseconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Patience {
    pub last_beat_us: u64,
    /// When the window starts going back; absent: it is not open.
    pub deadline_us: Option<u64>,
}

impl Patience {
    pub fn beat(&mut self, now_us: u64, deadline_us: Option<u64>) {
        self.last_beat_us = now_us;
        self.deadline_us = deadline_us;
    }

    /// The engine is silent past its deadline: it is killed, and this watchdog becomes the engine.
    pub fn is_over(&self, now_us: u64) -> bool {
        let silent = now_us.saturating_sub(self.last_beat_us) >= SILENCE_US;
        silent && self.deadline_us.is_some_and(|deadline| now_us >= deadline)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silent_engine_is_replaced_at_the_deadline_and_not_before() {
        let mut patience = Patience::default();
        assert!(!patience.is_over(u64::MAX), "a window that is not open needs nobody");
        patience.beat(1_000_000, Some(5_000_000));
        assert!(!patience.is_over(4_999_999), "silence is no death before the deadline");
        assert!(patience.is_over(5_000_000));
        patience.beat(4_900_000, Some(5_000_000));
        assert!(!patience.is_over(5_100_000), "an engine that speaks goes back by itself");
        assert!(patience.is_over(5_400_000));
    }
}
