//! What one or more transactions come to: for each key, the row that stands in the end, or none.
//!
//! Keys are compared by their exact bytes. `'a'` that became `'A'` is therefore two keys, one gone and one come,
//! which is right under every collation, as all deletions are done before the first insertion.
//!
//! Owns that folding. Never talks to a server.

use std::collections::{BTreeMap, HashMap};

use crate::row::Row;
use crate::schema::Table;
use crate::source::rows::Change;

/// One key's fate.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Fate {
    /// It may stand on the target: the first change was not its coming.
    stood: bool,
    row: Option<Row>,
}

/// The net effect on one table.
#[derive(Debug, Default)]
pub(crate) struct TableNet {
    fates: HashMap<Row, Fate>,
}

impl TableNet {
    /// Keys to delete.
    pub(crate) fn gone(&self) -> impl Iterator<Item = &Row> {
        self.fates.iter().filter(|(_, fate)| fate.stood).map(|(key, _)| key)
    }

    /// Rows to insert after all deletions.
    pub(crate) fn come(&self) -> impl Iterator<Item = &Row> {
        self.fates.values().filter_map(|fate| fate.row.as_ref())
    }
}

/// The net effect on all tables, by their place in the list of moved tables.
#[derive(Debug, Default)]
pub(crate) struct Net {
    pub(crate) tables: BTreeMap<u32, TableNet>,
}

impl Net {
    /// Adds a change, in the order of the source.
    pub(crate) fn add(&mut self, number: u32, table: &Table, change: Change) {
        let fates = &mut self.tables.entry(number).or_default().fates;
        let insertion = change.before.is_none();
        if let Some(before) = change.before {
            let key = before.pick(table.key());
            fates.entry(key).and_modify(|fate| fate.row = None).or_insert(Fate { stood: true, row: None });
        }
        if let Some(after) = change.after {
            // An update to a key that was not there before is an insertion of that key, save that the same key went
            // away just now, in which case it is known.
            let key = after.pick(table.key());
            let fate = fates.entry(key).or_insert(Fate { stood: !insertion, row: None });
            fate.row = Some(after);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::TableName;
    use crate::schema::{Column, Dialect, Encoding, Equality, Kind, UniqueKey};

    fn table() -> Table {
        let column = |name: &str| Column {
            name: name.to_owned(),
            kind: Kind::Int { unsigned: false },
            declared: "int".to_owned(),
            charset: None,
            collation: None,
            encoding: Encoding::Same,
            generated: false,
        };
        Table {
            name: TableName::new("s", "t"),
            all: vec![column("id"), column("u")],
            moved: vec![0, 1],
            keys: vec![UniqueKey { name: "PRIMARY".to_owned(), columns: vec![0], equality: vec![Equality::Bytes] }],
            estimated_rows: 0,
            average_row_bytes: 0,
            engine: None,
            form: "BASE TABLE".to_owned(),
            dialect: Dialect::MySql,
        }
    }

    fn row(id: &str, u: &str) -> Row {
        let mut row = Row::default();
        row.push(Some(id.as_bytes()));
        row.push(Some(u.as_bytes()));
        row
    }

    #[test]
    fn a_swap_through_a_third_value_ends_as_two_rows_and_one_key_that_came_and_went_is_nothing() {
        let table = table();
        let mut net = Net::default();
        let update = |from: Row, to: Row| Change { before: Some(from), after: Some(to) };
        net.add(0, &table, update(row("1", "a"), row("1", "x")));
        net.add(0, &table, update(row("2", "b"), row("2", "a")));
        net.add(0, &table, update(row("1", "x"), row("1", "b")));
        net.add(0, &table, Change { before: None, after: Some(row("3", "c")) });
        net.add(0, &table, Change { before: Some(row("3", "c")), after: None });
        let mut come: Vec<_> = net.tables[&0].come().cloned().collect();
        come.sort();
        assert_eq!(come, [row("1", "b"), row("2", "a")]);
        assert_eq!(net.tables[&0].gone().count(), 2);
    }
}
