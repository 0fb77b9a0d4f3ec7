//! Conditions on primary keys: ranges, and lists of keys, in a form whose index every server finds.
//!
//! Owns these pieces of SQL. Never runs them.

use crate::row::{Row, named, write_key_value};
use crate::schema::Table;

/// Keys in one statement. A longer list makes the optimiser give up ranges and read the table.
const MOST_KEYS: usize = 500;
/// The same where a key has several columns, each of which counts.
const MOST_COMPOSITE_KEYS: usize = 100;

/// Writes the WHERE for as many of `keys` as go into a statement.
pub(crate) fn among<'a>(sql: &mut Vec<u8>, table: &Table, keys: &mut impl Iterator<Item = &'a Row>) {
    let columns: Vec<_> = table.key_columns().collect();
    sql.extend_from_slice(b" WHERE ");
    if let [column] = columns[..] {
        sql.extend_from_slice(format!("{} IN (", named(&column.name)).as_bytes());
        for (place, key) in keys.take(MOST_KEYS).enumerate() {
            if place > 0 {
                sql.push(b',');
            }
            write_key_value(sql, column, key.values().next().flatten());
        }
        sql.push(b')');
        return;
    }
    for (place, key) in keys.take(MOST_COMPOSITE_KEYS).enumerate() {
        sql.extend_from_slice(if place > 0 { b" OR (" } else { b"(" });
        for (place, (column, value)) in columns.iter().zip(key.values()).enumerate() {
            if place > 0 {
                sql.extend_from_slice(b" AND ");
            }
            sql.extend_from_slice(named(&column.name).as_bytes());
            sql.push(b'=');
            write_key_value(sql, column, value);
        }
        sql.push(b')');
    }
}

/// A SELECT of a range of keys, in their order.
pub(crate) fn select(
    table: &Table,
    what: &str,
    lower: Option<&Row>,
    upper: Option<&Row>,
    limit: Option<usize>,
) -> Vec<u8> {
    let mut sql = format!("SELECT {what} FROM {}", table.name.quoted()).into_bytes();
    range(&mut sql, table, lower, upper);
    sql.extend_from_slice(format!(" ORDER BY {}", table.key_names()).as_bytes());
    if let Some(limit) = limit {
        sql.extend_from_slice(format!(" LIMIT {limit}").as_bytes());
    }
    sql
}

/// Writes the WHERE of a range: above `lower`, up to `upper`.
pub(crate) fn range(sql: &mut Vec<u8>, table: &Table, lower: Option<&Row>, upper: Option<&Row>) {
    let mut word: &[u8] = b" WHERE ";
    for (bound, beyond, with) in [(lower, ">", ""), (upper, "<", "=")] {
        if let Some(bound) = bound {
            sql.extend_from_slice(word);
            compare(sql, table, bound, beyond, with);
            word = b" AND ";
        }
    }
}

/// `(a, b) > (x, y)` as `a >= x AND (a > x OR (a = x AND b > y))`: every server finds the range of the first column
/// in it.
fn compare(sql: &mut Vec<u8>, table: &Table, bound: &Row, beyond: &str, with: &str) {
    let parts: Vec<_> = table.key_columns().zip(bound.values()).collect();
    let term = |sql: &mut Vec<u8>, part: usize, sign: &str| {
        let (column, value) = parts[part];
        sql.extend_from_slice(format!("{} {sign} ", named(&column.name)).as_bytes());
        write_key_value(sql, column, value);
    };
    if parts.len() > 1 {
        term(sql, 0, &format!("{beyond}="));
        sql.extend_from_slice(b" AND ");
    }
    for part in 0..parts.len() {
        let last = part + 1 == parts.len();
        if !last {
            sql.push(b'(');
        }
        term(sql, part, &if last { format!("{beyond}{with}") } else { beyond.to_owned() });
        if !last {
            sql.extend_from_slice(b" OR (");
            term(sql, part, "=");
            sql.extend_from_slice(b" AND ");
        }
    }
    sql.extend(std::iter::repeat_n(b')', 2 * (parts.len() - 1)));
}
