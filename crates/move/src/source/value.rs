//! One value of the log, as the bytes that the server would print for it.
//!
//! Owns the formats of numbers and strings; dates and times stand in [`super::temporal`]. Never guesses: what it does
//! not know is an error, and halts.

use super::bytes::{Bytes, Short};
use super::table_map::{Stored, kinds::*};
use super::temporal;
use crate::row::Row;
use crate::schema::Kind;

/// Why a value could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unreadable {
    Short,
    /// A storage format this mover does not know.
    Unknown(u8),
}

impl From<Short> for Unreadable {
    fn from(_: Short) -> Self {
        Self::Short
    }
}

/// Reads the next value; pushes it to `row` when there is one to push to.
pub(crate) fn read(
    bytes: &mut Bytes<'_>,
    stored: Stored,
    kind: &Kind,
    row: Option<&mut Row>,
) -> Result<(), Unreadable> {
    let [first, second] = stored.meta;
    let printed: String;
    let value: &[u8] = match stored.kind {
        TINY => return integer(bytes, 1, kind, row),
        SHORT => return integer(bytes, 2, kind, row),
        INT24 => return integer(bytes, 3, kind, row),
        LONG => return integer(bytes, 4, kind, row),
        LONGLONG => return integer(bytes, 8, kind, row),
        FLOAT => {
            let bits = u32::try_from(bytes.little(4)?).unwrap_or(0);
            printed = format!("{:e}", f64::from(f32::from_bits(bits)));
            printed.as_bytes()
        }
        DOUBLE => {
            printed = format!("{:e}", f64::from_bits(bytes.little(8)?));
            printed.as_bytes()
        }
        YEAR => {
            let year = bytes.little(1)?;
            printed = if year == 0 { "0000".to_owned() } else { (1900 + year).to_string() };
            printed.as_bytes()
        }
        DATE | NEWDATE => {
            printed = temporal::date(bytes)?;
            printed.as_bytes()
        }
        TIME2 => {
            printed = temporal::time(bytes, first)?;
            printed.as_bytes()
        }
        DATETIME2 => {
            printed = temporal::datetime(bytes, first)?;
            printed.as_bytes()
        }
        TIMESTAMP2 => {
            printed = temporal::timestamp(bytes, first)?;
            printed.as_bytes()
        }
        NEWDECIMAL => {
            printed = decimal(bytes, usize::from(first), usize::from(second))?;
            printed.as_bytes()
        }
        ENUM | SET => {
            printed = bytes.little(usize::from(first))?.to_string();
            printed.as_bytes()
        }
        BIT => bytes.take(usize::from(second) + usize::from(first > 0))?,
        VARCHAR | VAR_STRING => string(bytes, u16::from_le_bytes(stored.meta))?,
        STRING => return fixed_string(string(bytes, u16::from_le_bytes(stored.meta))?, kind, row),
        BLOB | GEOMETRY => {
            let length = bytes.little(usize::from(first))?;
            bytes.take(usize::try_from(length).map_err(|_| Short)?)?
        }
        unknown => return Err(Unreadable::Unknown(unknown)),
    };
    if let Some(row) = row {
        row.push(Some(value));
    }
    Ok(())
}

/// CHAR and BINARY, and the types that MariaDB stores as if they were.
fn fixed_string(value: &[u8], kind: &Kind, row: Option<&mut Row>) -> Result<(), Unreadable> {
    let Some(row) = row else { return Ok(()) };
    match kind {
        Kind::Binary { length } => padded(value, *length, row),
        Kind::Uuid => fixed(uuid(&whole::<16>(value)?), row),
        Kind::Inet6 => fixed(inet6(&whole::<16>(value)?), row),
        Kind::Inet4 => fixed(std::net::Ipv4Addr::from(whole::<4>(value)?).to_string(), row),
        _ => {
            row.push(Some(value));
            Ok(())
        }
    }
}

fn fixed(text: String, row: &mut Row) -> Result<(), Unreadable> {
    row.push(Some(text.as_bytes()));
    Ok(())
}

fn integer(bytes: &mut Bytes<'_>, width: usize, kind: &Kind, row: Option<&mut Row>) -> Result<(), Unreadable> {
    let raw = bytes.little(width)?;
    let Some(row) = row else { return Ok(()) };
    let shift = 64 - 8 * u32::try_from(width).unwrap_or(8);
    let printed = match kind {
        Kind::Int { unsigned: true } => raw.to_string(),
        _ => ((raw << shift).cast_signed() >> shift).to_string(),
    };
    row.push(Some(printed.as_bytes()));
    Ok(())
}

/// The length takes two bytes when it could need them.
fn string<'a>(bytes: &mut Bytes<'a>, longest: u16) -> Result<&'a [u8], Short> {
    let length = bytes.little(if longest > 255 { 2 } else { 1 })?;
    bytes.take(usize::try_from(length).map_err(|_| Short)?)
}

/// BINARY(n): the log leaves trailing zeros out, a SELECT does not.
fn padded(value: &[u8], length: usize, row: &mut Row) -> Result<(), Unreadable> {
    let mut whole = value.to_vec();
    whole.resize(length.max(value.len()), 0);
    row.push(Some(&whole));
    Ok(())
}

fn whole<const N: usize>(value: &[u8]) -> Result<[u8; N], Short> {
    let mut all = [0; N];
    all.get_mut(..value.len()).ok_or(Short)?.copy_from_slice(value);
    Ok(all)
}

/// Digits of a DECIMAL: groups of nine in four bytes, most significant first, the sign in the first bit, negative
/// numbers inverted. Format: `decimal2bin` of MariaDB's `strings/decimal.c`.
fn decimal(bytes: &mut Bytes<'_>, precision: usize, scale: usize) -> Result<String, Short> {
    const BYTES: [usize; 10] = [0, 1, 1, 2, 2, 3, 3, 4, 4, 4];
    let whole = precision.checked_sub(scale).ok_or(Short)?;
    let length = whole / 9 * 4 + BYTES[whole % 9] + scale / 9 * 4 + BYTES[scale % 9];
    let mut raw = bytes.take(length)?.to_vec();
    let negative = raw.first().is_some_and(|byte| byte & 0x80 == 0);
    if let Some(first) = raw.first_mut() {
        *first ^= 0x80;
    }
    if negative {
        raw.iter_mut().for_each(|byte| *byte = !*byte);
    }
    let mut raw = Bytes(&raw);
    let mut digits = String::with_capacity(precision + 3);
    let group = |raw: &mut Bytes<'_>, count: usize, digits: &mut String| {
        let number = raw.big(BYTES[count])?;
        if count > 0 {
            digits.push_str(&format!("{number:0count$}"));
        }
        Ok(())
    };
    group(&mut raw, whole % 9, &mut digits)?;
    (0..whole / 9).try_for_each(|_| group(&mut raw, 9, &mut digits))?;
    let mut text = digits.trim_start_matches('0').to_owned();
    if text.is_empty() {
        text.push('0');
    }
    if scale > 0 {
        let mut fraction = String::with_capacity(scale);
        (0..scale / 9).try_for_each(|_| group(&mut raw, 9, &mut fraction))?;
        group(&mut raw, scale % 9, &mut fraction)?;
        text = format!("{text}.{fraction}");
    }
    Ok(if negative { format!("-{text}") } else { text })
}

/// MariaDB stores UUIDs of versions 1 to 5 with their segments turned round, so that they sort by time; the last
/// segment, then the fourth, the third, the second, the first. Others stand as they are (`sql/sql_type_uuid.h`).
fn uuid(stored: &[u8; 16]) -> String {
    let turned = stored[6] & 0x80 != 0 && (1..=5).contains(&(stored[8] >> 4));
    let mut raw = *stored;
    if turned {
        raw[..4].copy_from_slice(&stored[12..]);
        raw[4..6].copy_from_slice(&stored[10..12]);
        raw[6..8].copy_from_slice(&stored[8..10]);
        raw[8..10].copy_from_slice(&stored[6..8]);
        raw[10..].copy_from_slice(&stored[..6]);
    }
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    [&raw[..4], &raw[4..6], &raw[6..8], &raw[8..10], &raw[10..]].map(hex).join("-")
}

/// As the server prints it: the longest run of zero groups as `::`, IPv4 addresses inside with dots.
fn inet6(raw: &[u8; 16]) -> String {
    let address = std::net::Ipv6Addr::from(*raw);
    let compatible = raw[..12].iter().all(|byte| *byte == 0) && (raw[12] != 0 || raw[13] != 0);
    match address.to_ipv4_mapped() {
        None if compatible => format!("::{}.{}.{}.{}", raw[12], raw[13], raw[14], raw[15]),
        _ => address.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decimal_of_the_servers_own_example_is_read() {
        // 1234567890.1234 as DECIMAL(14,4), and its negative: the example in decimal.c.
        let positive = [0x81, 0x0d, 0xfb, 0x38, 0xd2, 0x04, 0xd2];
        let negative = positive.map(|byte: u8| !byte);
        assert_eq!(decimal(&mut Bytes(&positive), 14, 4), Ok("1234567890.1234".to_owned()));
        assert_eq!(decimal(&mut Bytes(&negative), 14, 4), Ok("-1234567890.1234".to_owned()));
    }

    #[test]
    fn an_integer_keeps_its_sign_or_lack_of_it() {
        let read_as = |unsigned| {
            let mut row = Row::default();
            integer(&mut Bytes(&[0xff; 3]), 3, &Kind::Int { unsigned }, Some(&mut row)).unwrap();
            String::from_utf8(row.values().next().unwrap().unwrap().to_vec()).unwrap()
        };
        assert_eq!((read_as(true), read_as(false)), ("16777215".to_owned(), "-1".to_owned()));
    }
}
