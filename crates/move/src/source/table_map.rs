//! The log's own description of a table, which precedes its rows.
//!
//! Layout: "TABLE_MAP_EVENT" of the MySQL internals manual, and for the optional metadata
//! `Table_map_log_event::init_metadata_fields` of MariaDB's `sql/log_event_server.cc`.
//!
//! Owns parsing it and comparing it with the shape read at the start: a difference is schema drift and halts.

use super::bytes::{Bytes, Short};
use crate::schema::{Kind, Table};

/// One column as the log stores it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) kind: u8,
    /// Two bytes, meaning what the type says.
    pub(crate) meta: [u8; 2],
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TableMap {
    pub(crate) id: u64,
    pub(crate) schema: String,
    pub(crate) name: String,
    pub(crate) columns: Vec<Stored>,
    /// Present when the server writes full metadata.
    pub(crate) names: Option<Vec<String>>,
    /// One flag for each numeric column, in order.
    unsigned: Option<Vec<u8>>,
}

pub(crate) mod kinds {
    //! Type codes of the protocol.
    pub(crate) const TINY: u8 = 1;
    pub(crate) const SHORT: u8 = 2;
    pub(crate) const LONG: u8 = 3;
    pub(crate) const FLOAT: u8 = 4;
    pub(crate) const DOUBLE: u8 = 5;
    pub(crate) const LONGLONG: u8 = 8;
    pub(crate) const INT24: u8 = 9;
    pub(crate) const DATE: u8 = 10;
    pub(crate) const YEAR: u8 = 13;
    pub(crate) const NEWDATE: u8 = 14;
    pub(crate) const VARCHAR: u8 = 15;
    pub(crate) const BIT: u8 = 16;
    pub(crate) const TIMESTAMP2: u8 = 17;
    pub(crate) const DATETIME2: u8 = 18;
    pub(crate) const TIME2: u8 = 19;
    pub(crate) const NEWDECIMAL: u8 = 246;
    pub(crate) const ENUM: u8 = 247;
    pub(crate) const SET: u8 = 248;
    pub(crate) const BLOB: u8 = 252;
    pub(crate) const VAR_STRING: u8 = 253;
    pub(crate) const STRING: u8 = 254;
    pub(crate) const GEOMETRY: u8 = 255;
}

use kinds::*;

impl TableMap {
    pub(crate) fn parse(data: &[u8]) -> Result<Self, Short> {
        let mut bytes = Bytes(data);
        let id = bytes.little(6)?;
        bytes.take(2)?;
        let schema = text(&mut bytes)?;
        let name = text(&mut bytes)?;
        let count = bytes.packed()?;
        let types = bytes.take(count)?;
        let length = bytes.packed()?;
        let mut metas = Bytes(bytes.take(length)?);
        let columns = types.iter().map(|kind| stored(*kind, &mut metas)).collect::<Result<Vec<_>, _>>()?;
        bytes.take(count.div_ceil(8))?;
        let (mut names, mut unsigned) = (None, None);
        while !bytes.0.is_empty() {
            let field = bytes.little(1)?;
            let length = bytes.packed()?;
            let mut value = Bytes(bytes.take(length)?);
            match field {
                1 => unsigned = Some(value.0.to_vec()),
                4 => {
                    let mut all = Vec::with_capacity(count);
                    while !value.0.is_empty() {
                        let length = value.packed()?;
                        all.push(String::from_utf8_lossy(value.take(length)?).into_owned());
                    }
                    names = Some(all);
                }
                _ => {}
            }
        }
        Ok(Self { id, schema, name, columns, names, unsigned })
    }

    /// What differs from the shape the table had at the start.
    pub(crate) fn drift(&self, table: &Table) -> Option<String> {
        let Some(names) = &self.names else {
            return Some("the log has no column names (binlog_row_metadata is not FULL)".to_owned());
        };
        if names.len() != table.all.len() {
            return Some(format!("it had {} columns and has {}", table.all.len(), names.len()));
        }
        let mut numeric = 0;
        for ((column, name), stored) in table.all.iter().zip(names).zip(&self.columns) {
            if column.name != *name {
                return Some(format!("column {} is now {name}", column.name));
            }
            let unsigned = is_numeric(stored.kind) && {
                numeric += 1;
                self.is_unsigned(numeric - 1)
            };
            if !holds(&column.kind, *stored, unsigned) {
                return Some(format!("column {name} is no longer {}", column.declared));
            }
        }
        None
    }

    /// The bits stand from the highest of each byte down.
    fn is_unsigned(&self, numeric: usize) -> bool {
        let flags = self.unsigned.as_deref().unwrap_or(&[]);
        flags.get(numeric / 8).is_some_and(|byte| byte & (0x80 >> (numeric % 8)) != 0)
    }
}

fn text(bytes: &mut Bytes<'_>) -> Result<String, Short> {
    let length = bytes.packed()?;
    let text = String::from_utf8_lossy(bytes.take(length)?).into_owned();
    bytes.take(1)?;
    Ok(text)
}

fn stored(kind: u8, metas: &mut Bytes<'_>) -> Result<Stored, Short> {
    let length = match kind {
        FLOAT | DOUBLE | TIMESTAMP2 | DATETIME2 | TIME2 | BLOB | GEOMETRY | 140 | 141 | 245 | 249..=251 => 1,
        VARCHAR | VAR_STRING | BIT | NEWDECIMAL | ENUM | SET | STRING => 2,
        _ => 0,
    };
    let mut meta = [0; 2];
    meta[..length].copy_from_slice(metas.take(length)?);
    // Fixed strings, ENUM and SET share a code; the first byte of the metadata tells which, and holds two bits of a
    // long string's length.
    match (kind, meta) {
        (STRING, [ENUM, size]) => Ok(Stored { kind: ENUM, meta: [size, 0] }),
        (STRING, [SET, size]) => Ok(Stored { kind: SET, meta: [size, 0] }),
        (STRING, [real, low]) => {
            let length = u16::from(low) | (u16::from(real & 0x30) ^ 0x30) << 4;
            Ok(Stored { kind: STRING, meta: length.to_le_bytes() })
        }
        _ => Ok(Stored { kind, meta }),
    }
}

fn is_numeric(kind: u8) -> bool {
    matches!(kind, TINY | SHORT | INT24 | LONG | LONGLONG | NEWDECIMAL | FLOAT | DOUBLE | YEAR)
}

/// Whether a column of this kind is stored so.
fn holds(kind: &Kind, stored: Stored, unsigned: bool) -> bool {
    match kind {
        Kind::Int { unsigned: declared } => {
            matches!(stored.kind, TINY | SHORT | INT24 | LONG | LONGLONG) && *declared == unsigned
        }
        Kind::Decimal { precision, scale } => {
            stored.kind == NEWDECIMAL && stored.meta.map(usize::from) == [*precision, *scale]
        }
        Kind::Float => stored.kind == FLOAT,
        Kind::Double => stored.kind == DOUBLE,
        Kind::Bit { bits } => {
            stored.kind == BIT && usize::from(stored.meta[1]) * 8 + usize::from(stored.meta[0]) == *bits
        }
        Kind::Date => matches!(stored.kind, DATE | NEWDATE),
        Kind::Time => stored.kind == TIME2,
        Kind::DateTime => stored.kind == DATETIME2,
        Kind::Timestamp => stored.kind == TIMESTAMP2,
        Kind::Year => stored.kind == YEAR,
        Kind::Char => stored.kind == STRING,
        Kind::Binary { length } => stored.kind == STRING && usize::from(u16::from_le_bytes(stored.meta)) == *length,
        Kind::Uuid | Kind::Inet6 | Kind::Inet4 => stored.kind == STRING,
        Kind::VarChar | Kind::VarBinary => matches!(stored.kind, VARCHAR | VAR_STRING),
        Kind::Text | Kind::Blob => stored.kind == BLOB,
        Kind::Enum => stored.kind == ENUM,
        Kind::Set => stored.kind == SET,
        // MySQL's own JSON (code 245) is refused; MariaDB's is text.
        Kind::Json => stored.kind == BLOB,
        Kind::Geometry => stored.kind == GEOMETRY,
    }
}
