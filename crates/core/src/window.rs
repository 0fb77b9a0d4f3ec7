//! Windows: scopes with a time budget.
//!
//! Owns a window's state and its arithmetic: how long it has been open, when it must go back. Pure: the caller hands
//! in the time.

use crate::duration::Duration;
use crate::event::{WindowClosed, WindowOpened};
use crate::path::Path;
use crate::record::Moment;

/// Part of the budget kept for going back where the author names none.
pub const DEFAULT_RESERVE_FRACTION: u64 = 4;

#[derive(Clone, Debug, PartialEq)]
pub struct Window {
    pub path: Path,
    pub generation: u32,
    pub opened_at: Moment,
    pub boot_id: String,
    pub budget: Duration,
    pub reserve: Duration,
    pub phase: WindowPhase,
    /// Its commit point is passed: from here only forward.
    pub committed: bool,
    pub last_step_end: Moment,
    /// Why it goes, or went, back; empty where it does not.
    pub went_back_because: String,
    /// When that was decided.
    pub back_since: Option<Moment>,
    /// What going back took, microseconds, once it is done.
    pub back_took_us: Option<u64>,
    /// It went back because a rehearsal does.
    pub rehearsed: bool,
    /// It may be entered again: it went back because the run was stopping, or a person has said so since.
    pub reopens: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WindowPhase {
    Open,
    GoingBack { why: String },
    Closed { measured_us: u64, within_budget: bool, went_back: bool },
}

impl Window {
    pub(crate) fn opened(opened: &WindowOpened, at: Moment) -> Self {
        Self {
            path: opened.path.clone(),
            generation: opened.generation,
            opened_at: at,
            boot_id: opened.boot_id.clone(),
            budget: opened.budget,
            reserve: opened.reserve,
            phase: WindowPhase::Open,
            committed: false,
            last_step_end: at,
            went_back_because: String::new(),
            back_since: None,
            back_took_us: None,
            rehearsed: false,
            reopens: false,
        }
    }

    pub(crate) fn close(&mut self, closed: &WindowClosed, at: Moment) {
        self.back_took_us = self.back_since.map(|since| match closed.same_boot {
            true => at.boot_us.saturating_sub(since.boot_us),
            false => u64::try_from(at.wall_us.saturating_sub(since.wall_us)).unwrap_or(0),
        });
        self.phase = WindowPhase::Closed {
            measured_us: closed.measured_us,
            within_budget: closed.within_budget,
            went_back: closed.went_back,
        };
    }

    pub fn is_open(&self) -> bool {
        !matches!(self.phase, WindowPhase::Closed { .. })
    }

    /// Microseconds from opening to `now`, and whether the boot-time clock told. After a reboot the wall clock tells,
    /// which may have jumped.
    pub fn elapsed_us(&self, now: Moment, boot_id: &str) -> (u64, bool) {
        if boot_id == self.boot_id {
            (now.boot_us.saturating_sub(self.opened_at.boot_us), true)
        } else {
            (u64::try_from(now.wall_us.saturating_sub(self.opened_at.wall_us)).unwrap_or(0), false)
        }
    }

    /// Microseconds left until it must start going back to be done within its budget; zero: now.
    pub fn until_going_back_us(&self, now: Moment, boot_id: &str) -> u64 {
        self.limit_us().saturating_sub(self.elapsed_us(now, boot_id).0)
    }

    /// The budget without the reserve.
    pub fn limit_us(&self) -> u64 {
        (self.budget.as_ms().saturating_sub(self.reserve.as_ms())).saturating_mul(1000)
    }

    pub fn budget_us(&self) -> u64 {
        self.budget.as_ms().saturating_mul(1000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window() -> Window {
        let opened = WindowOpened {
            path: Path::root().child("pause"),
            generation: 1,
            budget: Duration::from_secs(90),
            reserve: Duration::from_secs(30),
            boot_id: "a".into(),
            watchdog_pid: 1,
        };
        Window::opened(&opened, Moment { wall_us: 1_000_000, boot_us: 5_000_000 })
    }

    #[test]
    fn a_jumping_wall_clock_does_not_move_the_deadline_within_one_boot() {
        let now = Moment { wall_us: -7_000_000_000, boot_us: 15_000_000 };
        assert_eq!(window().elapsed_us(now, "a"), (10_000_000, true));
        assert_eq!(window().until_going_back_us(now, "a"), 50_000_000);
    }

    #[test]
    fn after_a_reboot_the_wall_clock_tells_and_says_so() {
        let now = Moment { wall_us: 81_000_000, boot_us: 3 };
        assert_eq!(window().elapsed_us(now, "b"), (80_000_000, false));
        assert_eq!(window().until_going_back_us(now, "b"), 0);
        let earlier = Moment { wall_us: 0, boot_us: 3 };
        assert_eq!(window().elapsed_us(earlier, "b"), (0, false));
    }

    #[test]
    fn it_goes_back_when_only_the_reserve_is_left_and_not_a_microsecond_before() {
        let at = |us: u64| Moment { wall_us: 0, boot_us: 5_000_000 + us };
        for (elapsed_us, left_us) in
            [(0, 60_000_000), (59_999_999, 1), (60_000_000, 0), (95_000_000, 0), (u64::MAX / 2, 0)]
        {
            assert_eq!(window().until_going_back_us(at(elapsed_us), "a"), left_us, "{elapsed_us}");
        }
        assert_eq!(window().budget_us(), 90_000_000);
    }

    #[test]
    fn a_reserve_beyond_the_budget_goes_back_at_once_and_the_largest_budget_does_not_overflow() {
        let now = Moment { wall_us: 1_000_000, boot_us: 5_000_000 };
        let greedy = Window { reserve: Duration::from_secs(91), ..window() };
        assert_eq!(greedy.until_going_back_us(now, "a"), 0);
        let endless = Window { budget: Duration::from_ms(u64::MAX), reserve: Duration::from_ms(0), ..window() };
        assert_eq!(endless.until_going_back_us(now, "a"), u64::MAX);
        assert_eq!(endless.budget_us(), u64::MAX);
        let clock_before_opening = Moment { wall_us: i64::MIN, boot_us: 0 };
        assert_eq!(window().elapsed_us(clock_before_opening, "a"), (0, true));
        assert_eq!(window().elapsed_us(clock_before_opening, "b"), (0, false));
    }
}
