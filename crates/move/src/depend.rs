//! Which earlier transactions a transaction must wait for (I3).
//!
//! Each transaction goes to one lane, and a lane applies its transactions in the order of the source. Between lanes it
//! waits for every earlier transaction that shares a key value with it, old or new, primary or unique. Values are
//! remembered as 64-bit hashes of what a collation cannot tell apart: two that collide only wait for each other
//! needlessly.
//!
//! Owns that memory, which is bounded: what is applied is forgotten, and a transaction with too many values counts as
//! touching whole tables. Never applies anything.

use std::collections::HashMap;

use crate::row::Row;
use crate::schema::{Equality, Table, UniqueKey};

/// Values remembered before those of applied transactions are dropped: 24 bytes each.
const MAX_REMEMBERED: usize = 1 << 20;
/// A transaction with more values than this is remembered as touching its tables whole.
const MAX_OF_ONE: usize = 1 << 16;

/// A transaction's place: its lane, and its number in that lane from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) lane: usize,
    pub(crate) number: u64,
}

/// The latest number in each lane that must be applied first; zero where there is none.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct After(pub(crate) Vec<u64>);

/// The values of one transaction, gathered change by change.
#[derive(Debug, Default)]
pub(crate) struct Touched {
    /// Single values: table and the value's hash.
    values: Vec<(u32, u64)>,
    /// Tables of which any value may be touched.
    whole: Vec<u32>,
}

impl Touched {
    /// Adds the keys of a row as it was or as it is.
    pub(crate) fn add(&mut self, number: u32, table: &Table, row: &Row) {
        if self.whole.contains(&number) {
            return;
        }
        let values: Vec<_> = row.values().collect();
        for (index, key) in table.keys.iter().enumerate() {
            match fold(index, key, &values) {
                Folded::Value(hash) => self.values.push((number, hash)),
                Folded::Any => return self.add_whole(number),
                Folded::None => {}
            }
        }
        if self.values.len() > MAX_OF_ONE {
            self.values.sort_unstable();
            self.values.dedup();
            if self.values.len() > MAX_OF_ONE / 2 {
                self.add_whole(number);
            }
        }
    }

    /// Gives single values up for whole tables.
    pub(crate) fn widen(&mut self) {
        let mut tables: Vec<u32> = self.values.drain(..).map(|(table, _)| table).collect();
        tables.sort_unstable();
        tables.dedup();
        tables.into_iter().for_each(|table| self.add_whole(table));
    }

    /// Counts a whole table as touched.
    pub(crate) fn add_whole(&mut self, number: u32) {
        self.values.retain(|(table, _)| *table != number);
        if !self.whole.contains(&number) {
            self.whole.push(number);
        }
    }
}

enum Folded {
    /// NULL in a unique key equals nothing.
    None,
    Value(u64),
    Any,
}

fn fold(index: usize, key: &UniqueKey, values: &[Option<&[u8]>]) -> Folded {
    if key.columns.is_empty() {
        return Folded::Any;
    }
    let mut folded = Vec::with_capacity(64);
    folded.extend_from_slice(&index.to_le_bytes());
    for (place, equality) in key.columns.iter().zip(&key.equality) {
        let Some(value) = values.get(*place).copied().flatten() else { return Folded::None };
        match equality {
            Equality::Bytes => folded.extend_from_slice(value),
            Equality::Folded if value.iter().all(|byte| (0x20..0x7f).contains(byte)) => {
                folded.extend(value.trim_ascii_end().iter().map(u8::to_ascii_lowercase));
            }
            Equality::Folded | Equality::Unknown => return Folded::Any,
        }
        folded.push(0);
    }
    Folded::Value(twox_hash::XxHash64::oneshot(0, &folded))
}

/// Remembers who touched what last.
#[derive(Debug)]
pub(crate) struct Dependencies {
    lanes: usize,
    /// Last transactions to touch a value.
    last: HashMap<(u32, u64), Place>,
    /// The latest in each lane that touched a table at all, and those that touched it whole.
    any: HashMap<u32, Vec<u64>>,
    whole: HashMap<u32, Vec<u64>>,
}

impl Dependencies {
    pub(crate) fn new(lanes: usize) -> Self {
        Self { lanes, last: HashMap::new(), any: HashMap::new(), whole: HashMap::new() }
    }

    /// What a transaction at `place` must wait for; remembers it for those that follow.
    ///
    /// A lane's own order needs no waiting, so the entry of `place.lane` stays zero.
    pub(crate) fn admit(&mut self, place: Place, touched: &Touched) -> After {
        let mut after = vec![0; self.lanes];
        for value in &touched.values {
            if let Some(last) = self.last.insert(*value, place) {
                after[last.lane] = after[last.lane].max(last.number);
            }
            raise(&mut after, self.whole.get(&value.0));
        }
        for table in &touched.whole {
            raise(&mut after, self.any.get(table));
            self.whole.entry(*table).or_insert_with(|| vec![0; self.lanes])[place.lane] = place.number;
        }
        let tables = touched.values.iter().map(|(table, _)| table).chain(&touched.whole);
        let mut before = None;
        for table in tables.filter(|table| before.replace(**table) != Some(**table)) {
            self.any.entry(*table).or_insert_with(|| vec![0; self.lanes])[place.lane] = place.number;
        }
        after[place.lane] = 0;
        After(after)
    }

    /// Whether it is time to [`Self::forget`].
    pub(crate) fn is_full(&self) -> bool {
        self.last.len() > MAX_REMEMBERED
    }

    /// Drops what is applied: `done` is the last number applied in each lane.
    pub(crate) fn forget(&mut self, done: &[u64]) {
        self.last.retain(|_, place| place.number > done[place.lane]);
    }
}

fn raise(after: &mut [u64], by: Option<&Vec<u64>>) {
    for (after, by) in after.iter_mut().zip(by.into_iter().flatten()) {
        *after = (*after).max(*by);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::TableName;
    use crate::schema::{Column, Dialect, Encoding, Kind};
    use proptest::prelude::*;

    fn table(equality: Equality) -> Table {
        let column = |name: &str| Column {
            name: name.to_owned(),
            kind: Kind::VarChar,
            declared: "varchar(9)".to_owned(),
            charset: None,
            collation: None,
            encoding: Encoding::Same,
            generated: false,
        };
        let key = |name: &str, place, equality| UniqueKey {
            name: name.to_owned(),
            columns: vec![place],
            equality: vec![equality],
        };
        Table {
            name: TableName::new("s", "t"),
            all: vec![column("id"), column("u")],
            moved: vec![0, 1],
            keys: vec![key("PRIMARY", 0, Equality::Bytes), key("u", 1, equality)],
            estimated_rows: 0,
            average_row_bytes: 0,
            engine: None,
            form: "BASE TABLE".to_owned(),
            dialect: Dialect::MySql,
        }
    }

    fn row(id: u8, u: Option<&str>) -> Row {
        let mut row = Row::default();
        row.push(Some(&[b'0' + id]));
        row.push(u.map(str::as_bytes));
        row
    }

    /// Values that a case-insensitive, padded collation takes for equal have one group; 'ä' may equal anything.
    const VALUES: &[(Option<&str>, u8)] =
        &[(None, 0), (Some("a"), 1), (Some("A "), 1), (Some("b"), 2), (Some("c"), 3), (Some("ä"), 9)];

    fn share(one: &[(u8, usize)], other: &[(u8, usize)]) -> bool {
        one.iter().any(|(id, u)| {
            other.iter().any(|(other_id, other_u)| {
                let (one, other) = (VALUES[*u].1, VALUES[*other_u].1);
                id == other_id || one == 9 || other == 9 || (one != 0 && one == other)
            })
        })
    }

    proptest! {
        /// A transaction may begin when all that it waits for, and all before it in its lane, are done. Whatever
        /// shares a value with it and came before must then be among what is done, by the same rule.
        #[test]
        fn every_two_transactions_that_share_a_value_are_ordered(
            transactions in proptest::collection::vec(
                (0..4_usize, proptest::collection::vec((0..6_u8, 0..VALUES.len()), 1..4), any::<bool>()), 1..40)
        ) {
            let table = table(Equality::Folded);
            let mut dependencies = Dependencies::new(4);
            let mut numbers = [0; 4];
            // What is certainly done before each transaction begins: for each, the set of earlier ones.
            let mut before: Vec<HashMap<usize, ()>> = Vec::new();
            let mut places: Vec<Place> = Vec::new();
            for (index, (lane, rows, widen)) in transactions.iter().enumerate() {
                numbers[*lane] += 1;
                let place = Place { lane: *lane, number: numbers[*lane] };
                let mut touched = Touched::default();
                rows.iter().for_each(|(id, u)| touched.add(0, &table, &row(*id, VALUES[*u].0)));
                if *widen && rows.len() == 3 {
                    touched.widen();
                }
                let after = dependencies.admit(place, &touched);
                let mut done = HashMap::new();
                for (earlier, earlier_place) in places.iter().enumerate() {
                    let same_lane = earlier_place.lane == place.lane;
                    if same_lane || after.0[earlier_place.lane] >= earlier_place.number {
                        done.insert(earlier, ());
                        done.extend(before[earlier].clone());
                    }
                }
                for (earlier, (_, other, _)) in transactions[..index].iter().enumerate() {
                    let ordered = !share(rows, other) || done.contains_key(&earlier);
                    prop_assert!(ordered, "{index} does not wait for {earlier}");
                }
                places.push(place);
                before.push(done);
            }
        }
    }

    #[test]
    fn transactions_that_share_nothing_do_not_wait_and_null_equals_nothing() {
        let table = table(Equality::Folded);
        let mut dependencies = Dependencies::new(2);
        let mut admit = |lane, id, u| {
            let mut touched = Touched::default();
            touched.add(0, &table, &row(id, u));
            dependencies.admit(Place { lane, number: 1 + u64::from(id) }, &touched)
        };
        assert_eq!(admit(0, 1, None), After(vec![0, 0]));
        assert_eq!(admit(1, 2, None), After(vec![0, 0]));
        assert_eq!(admit(1, 3, Some("x")), After(vec![0, 0]));
        assert_eq!(admit(0, 4, Some("X ")), After(vec![0, 4]));
    }
}
