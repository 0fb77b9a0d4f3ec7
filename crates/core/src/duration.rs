//! Durations as people write them: `250ms`, `90s`, `10m`, `2h`, `1d`, `1h30m`.
//!
//! Owns the type, its reading and its printing. Never reads a clock.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A length of time in whole milliseconds.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Duration {
    ms: u64,
}

/// Longest duration we accept: 10 years. Longer ones are typing errors, and the bound keeps sums far from overflow.
const MAX_MS: u64 = 10 * 366 * 24 * 3600 * 1000;

const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{text}\" is not a duration: write a number and a unit, as in \"250ms\", \"90s\", \"10m\", \"2h\", \"1d\" or \"1h30m\"; at most 10 years"
)]
pub struct DurationError {
    pub text: String,
}

impl Duration {
    pub const fn from_ms(ms: u64) -> Self {
        Self { ms }
    }

    pub const fn from_secs(seconds: u64) -> Self {
        Self { ms: seconds * 1000 }
    }

    pub const fn as_ms(self) -> u64 {
        self.ms
    }

    pub const fn to_std(self) -> std::time::Duration {
        std::time::Duration::from_millis(self.ms)
    }

    /// Reads one or more numbers with units, largest unit first. A part may have a decimal fraction (`1.5s`).
    pub fn parse(text: &str) -> Result<Self, DurationError> {
        let error = || DurationError { text: text.to_owned() };
        let mut rest = text.trim();
        let mut total: u64 = 0;
        let mut last_unit = u64::MAX;
        if rest.is_empty() {
            return Err(error());
        }
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(error)?;
            let (number, tail) = rest.split_at(digits);
            let unit_len = tail.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(tail.len());
            let (unit, tail) = tail.split_at(unit_len);
            let scale = UNITS.iter().find(|(name, _)| *name == unit).map(|(_, scale)| *scale).ok_or_else(error)?;
            if scale >= last_unit {
                return Err(error());
            }
            last_unit = scale;
            let part = scaled(number, scale).ok_or_else(error)?;
            total = total.checked_add(part).filter(|ms| *ms <= MAX_MS).ok_or_else(error)?;
            rest = tail;
        }
        Ok(Self { ms: total })
    }
}

/// `number * scale` in whole milliseconds, exactly; `None` where the number is malformed or finer than a millisecond.
fn scaled(number: &str, scale: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() || fraction.len() > 9 || (number.contains('.') && fraction.is_empty()) {
        return None;
    }
    let mut ms = whole.parse::<u64>().ok()?.checked_mul(scale)?;
    if !fraction.is_empty() {
        let denominator = 10u64.checked_pow(u32::try_from(fraction.len()).ok()?)?;
        let numerator = fraction.parse::<u64>().ok()?.checked_mul(scale)?;
        if numerator % denominator != 0 {
            return None;
        }
        ms = ms.checked_add(numerator / denominator)?;
    }
    Some(ms)
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.ms == 0 {
            return f.write_str("0s");
        }
        let mut rest = self.ms;
        for (name, scale) in UNITS {
            if rest >= scale {
                write!(f, "{}{name}", rest / scale)?;
                rest %= scale;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Duration {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.ms)
    }
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        u64::deserialize(deserializer).map(Self::from_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_write_durations_in_these_ways() {
        for (text, ms) in [
            ("250ms", 250),
            ("90s", 90_000),
            ("1.5s", 1500),
            ("10m", 600_000),
            ("1h30m", 5_400_000),
            ("2h", 7_200_000),
            ("1d", 86_400_000),
            ("0s", 0),
        ] {
            assert_eq!(Duration::parse(text), Ok(Duration::from_ms(ms)), "{text}");
        }
    }

    #[test]
    fn rubbish_is_refused_with_the_way_to_write_it() {
        for text in ["", "90", "s", "-1s", "1x", "1m1h", "1s1s", "0.0001s", "1.s", ".5s", "99999999999d", "1e3s"] {
            assert!(Duration::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn printing_reads_back() {
        for ms in [0, 1, 999, 1000, 61_001, 3_600_000, 90_061_001] {
            let duration = Duration::from_ms(ms);
            assert_eq!(Duration::parse(&duration.to_string()), Ok(duration));
        }
    }
}
