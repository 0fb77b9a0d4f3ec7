//! Dates and times as the log packs them, as the text that the server prints.
//!
//! Formats: `my_datetime_packed_from_binary`, `my_time_packed_from_binary` and `my_timestamp_from_binary` of MariaDB's
//! `sql/compat56.cc`.

use super::bytes::{Bytes, Short};

/// Bytes of a fraction of `decimals` digits.
fn fraction_bytes(decimals: u8) -> usize {
    usize::from(decimals.div_ceil(2)).min(3)
}

/// A fraction in microseconds. Stored in units of its last stored pair of digits.
fn microseconds(raw: u64, bytes: usize) -> u64 {
    raw * [0, 10_000, 100, 1][bytes]
}

fn push_fraction(text: &mut String, micros: u64, decimals: u8) {
    if decimals > 0 {
        let digits = format!("{micros:06}");
        text.push('.');
        text.push_str(&digits[..usize::from(decimals.min(6))]);
    }
}

/// `2026-11-21 20:52:51.123456`, as many digits as declared; any of its parts may be zero.
pub(super) fn datetime(bytes: &mut Bytes<'_>, decimals: u8) -> Result<String, Short> {
    let packed = bytes.big(5)? & 0x7f_ffff_ffff;
    let fraction = fraction_bytes(decimals);
    let micros = microseconds(bytes.big(fraction)?, fraction);
    let (date, time) = (packed >> 17, packed & 0x1_ffff);
    let (month, day) = (date >> 5, date & 31);
    let mut text = format!(
        "{:04}-{:02}-{day:02} {:02}:{:02}:{:02}",
        month / 13,
        month % 13,
        time >> 12,
        time >> 6 & 63,
        time & 63
    );
    push_fraction(&mut text, micros, decimals);
    Ok(text)
}

/// UTC; zero is the zero date.
pub(super) fn timestamp(bytes: &mut Bytes<'_>, decimals: u8) -> Result<String, Short> {
    let seconds = bytes.big(4)?;
    let fraction = fraction_bytes(decimals);
    let micros = microseconds(bytes.big(fraction)?, fraction);
    let mut text = if seconds == 0 && micros == 0 {
        "0000-00-00 00:00:00".to_owned()
    } else {
        let (year, month, day) = civil(seconds / 86_400);
        let time = seconds % 86_400;
        format!("{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02}", time / 3600, time / 60 % 60, time % 60)
    };
    push_fraction(&mut text, micros, decimals);
    Ok(text)
}

/// Days since 1970 as year, month and day: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms",
/// `civil_from_days`.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + u64::from(month <= 2), month, day)
}

/// `-838:59:59.000000`. Stored with an offset, so that negative times sort first.
pub(super) fn time(bytes: &mut Bytes<'_>, decimals: u8) -> Result<String, Short> {
    let fraction = fraction_bytes(decimals);
    let width = 3 + fraction;
    let zero = 0x80_0000_i64 << (8 * fraction);
    let raw = i64::try_from(bytes.big(width)?).map_err(|_| Short)? - zero;
    let (sign, raw) = (if raw < 0 { "-" } else { "" }, raw.unsigned_abs());
    let (seconds, rest) = (raw >> (8 * fraction), raw & ((1 << (8 * fraction)) - 1));
    let mut text = format!("{sign}{:02}:{:02}:{:02}", seconds >> 12 & 0x3ff, seconds >> 6 & 63, seconds & 63);
    push_fraction(&mut text, microseconds(rest, fraction), decimals);
    Ok(text)
}

pub(super) fn date(bytes: &mut Bytes<'_>) -> Result<String, Short> {
    let packed = bytes.little(3)?;
    Ok(format!("{:04}-{:02}-{:02}", packed >> 9, packed >> 5 & 15, packed & 31))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_become_dates_over_leap_years() {
        assert_eq!(civil(0), (1970, 1, 1));
        assert_eq!(civil(11_016), (2000, 2, 29));
        assert_eq!(civil(24_855), (2038, 1, 19));
    }

    #[test]
    fn a_time_below_zero_keeps_its_fraction() {
        // -00:00:01.10, as the server's own comment in compat56.cc lists it.
        assert_eq!(time(&mut Bytes(&[0x7f, 0xff, 0xfe, 0xf6]), 2), Ok("-00:00:01.10".to_owned()));
    }
}
