//! `noop`, `now`, `new_id`, `env`: reads of the outside that fit on a line each.
//!
//! Owns their forms. Never reads a clock or makes a random number itself: both are handed in.

use piton_core::Value;
use piton_core::outcome::{Failure, FailureKind, Outcome};
use piton_core::ports::Clock;

pub(crate) fn value(value: Value) -> Outcome {
    Outcome { ok: true, value: Some(value), ..Outcome::default() }
}

/// `noop()` without a value gives none, and so holds as a bare check.
pub(crate) fn noop(given: &Value) -> Outcome {
    match given {
        Value::None => Outcome { ok: true, ..Outcome::default() },
        given => value(given.clone()),
    }
}

pub(crate) fn now(clock: &dyn Clock) -> Outcome {
    value(Value::from(rfc3339(clock.now().wall_us)))
}

pub(crate) fn new_id(clock: &dyn Clock) -> Outcome {
    value(Value::from(format!("{:032x}", clock.random())))
}

pub(crate) fn env(variable: &str) -> Result<Outcome, Failure> {
    let refused = |why: &str| Failure::new(FailureKind::Action, format!("the environment variable {variable} {why}"));
    match std::env::var(variable) {
        Ok(text) => Ok(value(Value::from(text))),
        Err(std::env::VarError::NotPresent) => Err(refused("is not set")),
        Err(std::env::VarError::NotUnicode(_)) => Err(refused("is not UTF-8")),
    }
}

/// RFC 3339 in UTC with microseconds. Days to dates by Howard Hinnant's `civil_from_days`.
fn rfc3339(wall_us: i64) -> String {
    let (seconds, micros) = (wall_us.div_euclid(1_000_000), wall_us.rem_euclid(1_000_000));
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_index = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_index + 2) / 5 + 1;
    let month = if month_index < 10 { month_index + 3 } else { month_index - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rfc_3339_in_utc() {
        for (us, text) in [
            (0, "1970-01-01T00:00:00.000000Z"),
            (951_782_400_000_001, "2000-02-29T00:00:00.000001Z"),
            (4_107_542_399_999_999, "2100-02-28T23:59:59.999999Z"),
            (-1, "1969-12-31T23:59:59.999999Z"),
        ] {
            assert_eq!(rfc3339(us), text);
        }
    }

    #[test]
    fn a_noop_without_a_value_holds() {
        assert!(noop(&Value::None).holds());
        assert!(!noop(&Value::Bool(false)).holds());
    }

    #[test]
    fn a_variable_that_is_not_set_is_named() {
        assert!(env("PITON_NO_SUCH_VARIABLE").unwrap_err().message.contains("PITON_NO_SUCH_VARIABLE"));
    }
}
