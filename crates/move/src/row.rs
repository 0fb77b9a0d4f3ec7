//! Rows and keys as one run of bytes, and how values are written into statements.
//!
//! A value is NULL or the bytes that the server itself would print for it in the session that [`crate::target`] and
//! [`crate::source`] set up (binary character set, UTC): so a row read by a SELECT and a row decoded from the log are
//! the same bytes. Only floats may print differently; they are no keys.
//!
//! Owns that form. Never talks to a server.

use crate::schema::Column;
use crate::schema::Kind;

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
        _ => quote(into, bytes),
    }
}

/// Writes a value as a key is compared with it: in the column's own character set, so that its collation and its index
/// are used.
pub(crate) fn write_key_value(into: &mut Vec<u8>, column: &Column, value: Option<&[u8]>) {
    let Some(bytes) = value else { return into.extend_from_slice(b"NULL") };
    match (&column.kind, &column.charset) {
        (Kind::Char | Kind::VarChar | Kind::Text, Some(charset)) => {
            into.push(b'_');
            into.extend_from_slice(charset.as_bytes());
            into.push(b' ');
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
    for byte in bytes {
        match byte {
            0 => into.extend_from_slice(b"\\0"),
            b'\'' => into.extend_from_slice(b"\\'"),
            b'\\' => into.extend_from_slice(b"\\\\"),
            byte => into.push(*byte),
        }
    }
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
