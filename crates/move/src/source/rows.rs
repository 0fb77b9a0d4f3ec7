//! Row events: before and after images of a table's rows.
//!
//! Layout: "ROWS_EVENT" of the MySQL internals manual, versions 1 (MariaDB) and 2 (MySQL).

use super::bytes::{Bytes, Short, bit};
use super::table_map::Stored;
use super::value::{self, Unreadable};
use crate::row::Row;
use crate::schema::Table;

/// What happened to a row: it came, went, or became another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) before: Option<Row>,
    pub(crate) after: Option<Row>,
}

impl Change {
    pub(crate) fn images(&self) -> impl Iterator<Item = &Row> {
        self.before.iter().chain(&self.after)
    }

    pub(crate) fn bytes(&self) -> usize {
        self.images().map(Row::len).sum()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    Write,
    Update,
    Delete,
}

/// The head of a row event.
pub(crate) struct Head<'a> {
    pub(crate) table_id: u64,
    columns: usize,
    images: [&'a [u8]; 2],
    rest: Bytes<'a>,
}

/// Why an event's rows could not be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unusable {
    Unreadable(Unreadable),
    /// A moved column is missing: the image is not FULL.
    Missing(String),
}

impl From<Unreadable> for Unusable {
    fn from(why: Unreadable) -> Self {
        Self::Unreadable(why)
    }
}

impl From<Short> for Unusable {
    fn from(_: Short) -> Self {
        Self::Unreadable(Unreadable::Short)
    }
}

impl<'a> Head<'a> {
    pub(crate) fn parse(data: &'a [u8], verb: Verb, version: u8) -> Result<Self, Short> {
        let mut rest = Bytes(data);
        let table_id = rest.little(6)?;
        rest.take(2)?;
        if version == 2 {
            let length = usize::try_from(rest.little(2)?).map_err(|_| Short)?;
            rest.take(length.checked_sub(2).ok_or(Short)?)?;
        }
        let columns = rest.packed()?;
        let first = rest.take(columns.div_ceil(8))?;
        let second = if verb == Verb::Update { rest.take(columns.div_ceil(8))? } else { first };
        Ok(Self { table_id, columns, images: [first, second], rest })
    }

    /// The rows, in the order of the event.
    pub(crate) fn changes(mut self, verb: Verb, stored: &[Stored], table: &Table) -> Result<Vec<Change>, Unusable> {
        if self.columns != stored.len() {
            return Err(Short.into());
        }
        for place in &table.moved {
            if self.images.iter().any(|image| !bit(image, *place)) {
                return Err(Unusable::Missing(table.all[*place].name.clone()));
            }
        }
        let mut changes = Vec::new();
        while !self.rest.0.is_empty() {
            let mut image = |present| row(&mut self.rest, present, stored, table);
            changes.push(match verb {
                Verb::Write => Change { before: None, after: Some(image(self.images[0])?) },
                Verb::Delete => Change { before: Some(image(self.images[0])?), after: None },
                Verb::Update => Change { before: Some(image(self.images[0])?), after: Some(image(self.images[1])?) },
            });
        }
        Ok(changes)
    }
}

fn row(rest: &mut Bytes<'_>, present: &[u8], stored: &[Stored], table: &Table) -> Result<Row, Unusable> {
    let count = (0..stored.len()).filter(|place| bit(present, *place)).count();
    let nulls = rest.take(count.div_ceil(8))?;
    let mut row = Row::with_capacity(stored.len() * 12);
    let mut stands = 0;
    for (place, (stored, column)) in stored.iter().zip(&table.all).enumerate() {
        if !bit(present, place) {
            continue;
        }
        let null = bit(nulls, stands);
        stands += 1;
        match (null, column.generated) {
            (true, true) => {}
            (true, false) => row.push(None),
            (false, generated) => value::read(rest, *stored, &column.kind, (!generated).then_some(&mut row))?,
        }
    }
    Ok(row)
}
