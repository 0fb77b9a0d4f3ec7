//! Points in time as a receipt prints them: RFC 3339, UTC, whole microseconds.
//!
//! Owns the printing. Never reads a clock: the journal says when.

use serde::{Serialize, Serializer};
use std::fmt;

/// Wall clock, microseconds since 1970-01-01T00:00:00Z without leap seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instant(pub i64);

const DAY_US: i64 = 86_400_000_000;

/// Year, month and day of a number of days since 1970-01-01, in the proleptic Gregorian calendar.
/// Source: Howard Hinnant, "chrono-compatible low-level date algorithms", `civil_from_days`.
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

impl fmt::Display for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = civil(self.0.div_euclid(DAY_US));
        let rest = self.0.rem_euclid(DAY_US);
        let (seconds, micros) = (rest / 1_000_000, rest % 1_000_000);
        let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z")
    }
}

impl Serialize for Instant {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Microseconds as people read a length of time: `950us`, `12.3ms`, `4.210s`, `2m05s`, `3h07m`.
pub fn human(us: u64) -> String {
    match us {
        0..1_000 => format!("{us}us"),
        1_000..1_000_000 => format!("{}.{}ms", us / 1000, us / 100 % 10),
        1_000_000..60_000_000 => format!("{}.{:03}s", us / 1_000_000, us / 1000 % 1000),
        60_000_000..3_600_000_000 => format!("{}m{:02}s", us / 60_000_000, us / 1_000_000 % 60),
        _ => format!("{}h{:02}m", us / 3_600_000_000, us / 60_000_000 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_prints_as_rfc_3339_for_every_i64() {
        for (us, text) in [
            (0, "1970-01-01T00:00:00.000000Z"),
            (-1, "1969-12-31T23:59:59.999999Z"),
            (951_782_400_000_000, "2000-02-29T00:00:00.000000Z"),
            (1_735_689_599_000_001, "2024-12-31T23:59:59.000001Z"),
            (4_107_542_400_000_000, "2100-03-01T00:00:00.000000Z"),
        ] {
            assert_eq!(Instant(us).to_string(), text);
        }
        assert_eq!(Instant(i64::MAX).to_string(), "294247-01-10T04:00:54.775807Z");
        assert_eq!(Instant(i64::MIN).to_string(), "-290308-12-21T19:59:05.224192Z");
    }

    #[test]
    fn lengths_of_time_read_at_a_glance() {
        for (us, text) in
            [(7, "7us"), (12_345, "12.3ms"), (4_210_999, "4.210s"), (125_000_000, "2m05s"), (11_220_000_000, "3h07m")]
        {
            assert_eq!(human(us), text);
        }
    }
}
