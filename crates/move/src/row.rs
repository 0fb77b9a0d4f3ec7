//! Rows and keys as one run of bytes, and how values are written into statements.
//!
//! A value is NULL or the bytes that the server itself would print for it in the session that [`crate::target`] and
//! [`crate::source`] set up (binary character set, UTC): so a row read by a SELECT and a row decoded from the log are
//! the same bytes. Only floats may print differently; they are no keys.
//!
//! Owns that form. Never talks to a server.

use crate::schema::{Column, Dialect, Encoding, Kind, Table};

const NULL: u32 = u32::MAX;

/// Values in the order of the moved columns (or of a key's columns), each as its length and its bytes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub(crate) struct Row(Vec<u8>);

impl Row {
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        Self(Vec::with_capacity(bytes))
    }

    pub(crate) fn push(&mut self, value: Option<&[u8]>) {
        match value {
            None => self.0.extend_from_slice(&NULL.to_le_bytes()),
            Some(bytes) => {
                // A value is at most max_allowed_packet long: one GiB.
                let length = u32::try_from(bytes.len()).unwrap_or(NULL - 1);
                self.0.extend_from_slice(&length.to_le_bytes());
                self.0.extend_from_slice(bytes);
            }
        }
    }

    pub(crate) fn values(&self) -> Values<'_> {
        Values(&self.0)
    }

    /// The values at `places`, as a row of their own.
    pub(crate) fn pick(&self, places: &[usize]) -> Self {
        let all: Vec<_> = self.values().collect();
        let mut picked = Self::default();
        for place in places {
            picked.push(all.get(*place).copied().flatten());
        }
        picked
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn from_bytes(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// For people: values as text, long ones cut.
    pub(crate) fn shown(&self) -> String {
        const LONGEST: usize = 40;
        let shown = |value: Option<&[u8]>| match value {
            None => "NULL".to_owned(),
            Some(bytes) if bytes.len() > LONGEST => {
                format!("{:?}… ({} bytes)", String::from_utf8_lossy(&bytes[..LONGEST]), bytes.len())
            }
            Some(bytes) => format!("{:?}", String::from_utf8_lossy(bytes)),
        };
        format!("({})", self.values().map(shown).collect::<Vec<_>>().join(", "))
    }
}

pub(crate) struct Values<'a>(&'a [u8]);

impl<'a> Iterator for Values<'a> {
    type Item = Option<&'a [u8]>;

    fn next(&mut self) -> Option<Self::Item> {
        let (length, rest) = self.0.split_first_chunk::<4>()?;
        let length = u32::from_le_bytes(*length);
        if length == NULL {
            self.0 = rest;
            return Some(None);
        }
        let (value, rest) = rest.split_at_checked(length as usize)?;
        self.0 = rest;
        Some(Some(value))
    }
}

/// A row of the text protocol as it stands.
pub(crate) fn taken(row: mysql_async::Row) -> Row {
    let values = row.unwrap_raw();
    let bytes = |value: &Option<mysql_async::Value>| match value {
        Some(mysql_async::Value::Bytes(bytes)) => bytes.len() + 4,
        _ => 4,
    };
    let mut taken = Row::with_capacity(values.iter().map(bytes).sum());
    for value in &values {
        match value {
            Some(mysql_async::Value::Bytes(bytes)) => taken.push(Some(bytes)),
            _ => taken.push(None),
        }
    }
    taken
}

/// Writes a value as it stands in an INSERT.
pub(crate) fn write_value(into: &mut Vec<u8>, column: &Column, value: Option<&[u8]>) {
    let Some(bytes) = value else { return into.extend_from_slice(b"NULL") };
    match column.kind {
        Kind::Int { .. } | Kind::Decimal { .. } | Kind::Enum | Kind::Set => into.extend_from_slice(bytes),
        // A string of the binary character set would be taken as the sixteen bytes themselves.
        Kind::Uuid | Kind::Inet6 | Kind::Inet4 => {
            into.extend_from_slice(b"_latin1");
            quote(into, bytes);
        }
        Kind::Json => {
            into.extend_from_slice(b"_utf8mb4");
            quote(into, bytes);
        }
        _ if column.encoding == Encoding::Latin1AsUtf8 => quote(into, &utf8_of_latin1(bytes)),
        _ => quote(into, bytes),
    }
}

/// What the server's latin1 has between 0x80 and 0x9f: Windows' characters, and itself where Windows has none. Source:
/// `to_uni` of `cs_to_uni` in MariaDB's `strings/ctype-latin1.c`.
const LATIN1_HIGH: [u16; 32] = [
    0x20ac, 0x81, 0x201a, 0x192, 0x201e, 0x2026, 0x2020, 0x2021, 0x2c6, 0x2030, 0x160, 0x2039, 0x152, 0x8d, 0x17d,
    0x8f, 0x90, 0x2018, 0x2019, 0x201c, 0x201d, 0x2022, 0x2013, 0x2014, 0x2dc, 0x2122, 0x161, 0x203a, 0x153, 0x9d,
    0x17e, 0x178,
];

fn utf8_of_latin1(bytes: &[u8]) -> Vec<u8> {
    let character = |byte: &u8| match byte {
        0x80..=0x9f => char::from_u32(LATIN1_HIGH[usize::from(byte - 0x80)].into()).unwrap_or(char::from(*byte)),
        byte => char::from(*byte),
    };
    bytes.iter().map(character).collect::<String>().into_bytes()
}

/// The way back; bytes that no latin1 text becomes stay as they are, and differ from all that do.
fn latin1_of_utf8(bytes: &[u8]) -> Vec<u8> {
    let Ok(text) = std::str::from_utf8(bytes) else { return bytes.to_vec() };
    let byte = |character: char| {
        let high = LATIN1_HIGH.iter().zip(0x80_u8..).find(|(high, _)| u32::from(**high) == u32::from(character));
        match (high, u8::try_from(u32::from(character))) {
            (Some((_, byte)), _) => Some(byte),
            (None, Ok(byte)) if !(0x80..=0x9f).contains(&byte) => Some(byte),
            _ => None,
        }
    };
    text.chars().map(byte).collect::<Option<Vec<u8>>>().unwrap_or_else(|| bytes.to_vec())
}

/// Whether rows of this table, named as on the target, must go through [`comparable`] before both sides' are compared.
pub(crate) fn differs_in_form(table: &Table) -> bool {
    let differs = |column: &Column| {
        matches!(column.kind, Kind::Float | Kind::Double) || column.encoding == Encoding::Latin1AsUtf8
    };
    table.dialect == Dialect::TiDb && table.columns().any(differs)
}

/// A row in the form in which both sides' are the same. TiDB prints floats in other words, and has no negative zero;
/// its latin1 is UTF-8.
pub(crate) fn comparable(table: &Table, row: &Row, of_target: bool) -> Row {
    let mut made = Row::with_capacity(row.len());
    for (column, value) in table.columns().zip(row.values()) {
        let form = match (&column.kind, value) {
            (Kind::Float | Kind::Double, Some(text)) => {
                let number: Option<f64> = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
                // Adding zero makes the negative one positive.
                number.map(|number| format!("{:e}", number + 0.0).into_bytes())
            }
            (_, Some(bytes)) if of_target && column.encoding == Encoding::Latin1AsUtf8 => Some(latin1_of_utf8(bytes)),
            _ => None,
        };
        made.push(form.as_deref().or(value));
    }
    made
}

/// Writes a value as a key is compared with it: in the column's own character set, so that its collation and its index
/// are used.
pub(crate) fn write_key_value(into: &mut Vec<u8>, column: &Column, value: Option<&[u8]>) {
    let Some(bytes) = value else { return into.extend_from_slice(b"NULL") };
    match (&column.kind, &column.charset) {
        (Kind::Char | Kind::VarChar | Kind::Text, Some(charset)) => {
            match column.encoding {
                Encoding::Same => into.extend_from_slice(format!("_{charset} ").as_bytes()),
                Encoding::Introduced(word) => into.extend_from_slice(format!("{word} ").as_bytes()),
                Encoding::Latin1AsUtf8 => {
                    into.extend_from_slice(b"_utf8mb4 ");
                    return hex(into, &utf8_of_latin1(bytes));
                }
            }
            hex(into, bytes);
        }
        (Kind::Binary { .. } | Kind::VarBinary | Kind::Blob, _) => hex(into, bytes),
        (Kind::Bit { .. }, _) => {
            let number = bytes.iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
            into.extend_from_slice(number.to_string().as_bytes());
        }
        (Kind::Year, _) => into.extend_from_slice(bytes),
        _ => write_value(into, column, value),
    }
}

fn hex(into: &mut Vec<u8>, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    into.extend_from_slice(b"x'");
    for byte in bytes {
        into.push(DIGITS[usize::from(byte >> 4)]);
        into.push(DIGITS[usize::from(byte & 15)]);
    }
    into.push(b'\'');
}

/// The session's client character set is `binary`, so the server undoes this byte by byte, whatever the bytes mean.
fn quote(into: &mut Vec<u8>, bytes: &[u8]) {
    into.push(b'\'');
    let mut rest = bytes;
    // Most values have none of these: they are taken over whole.
    while let Some(place) = rest.iter().position(|byte| matches!(byte, 0 | b'\'' | b'\\')) {
        into.extend_from_slice(&rest[..place]);
        into.extend_from_slice(match rest[place] {
            0 => b"\\0",
            b'\'' => b"\\'",
            _ => b"\\\\",
        });
        rest = &rest[place + 1..];
    }
    into.extend_from_slice(rest);
    into.push(b'\'');
}

/// A name as an identifier.
pub(crate) fn named(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_row_gives_back_its_values(values in proptest::collection::vec(any::<Option<Vec<u8>>>(), 0..8)) {
            let mut row = Row::default();
            values.iter().for_each(|value| row.push(value.as_deref()));
            prop_assert_eq!(row.values().map(|value| value.map(<[u8]>::to_vec)).collect::<Vec<_>>(), values);
        }
    }

    #[test]
    fn every_byte_of_latin1_comes_back_from_utf8() {
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(latin1_of_utf8(&utf8_of_latin1(&all)), all);
        assert_eq!(utf8_of_latin1(&[0xe9, 0x80, 0x81]), "é€\u{81}".as_bytes());
        // No latin1 text: not taken for one.
        assert_eq!(latin1_of_utf8(&[0xe9]), [0xe9]);
        assert_ne!(latin1_of_utf8("\u{80}".as_bytes()), [0x80]);
    }

    #[test]
    fn what_would_end_a_literal_is_escaped_wherever_it_stands() {
        let quoted = |bytes: &[u8]| {
            let mut into = Vec::new();
            quote(&mut into, bytes);
            into
        };
        assert_eq!(quoted(b""), b"''");
        assert_eq!(quoted(b"plain"), b"'plain'");
        assert_eq!(quoted(b"'a\\'\0\xff"), b"'\\'a\\\\\\'\\0\xff'");
    }

    #[test]
    fn null_and_empty_and_the_word_null_are_three_rows() {
        let of = |value: Option<&[u8]>| {
            let mut row = Row::default();
            row.push(value);
            row
        };
        assert_ne!(of(None), of(Some(b"")));
        assert_ne!(of(None), of(Some(b"NULL")));
    }
}
