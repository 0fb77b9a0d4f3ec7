//! Comparing two servers' tables row by row.
//!
//! Owns a comparison that shares nothing with what a runbook does: it reads every column of every row in the binary
//! protocol, which prints nothing and rounds nothing, and compares the two streams in the order of the primary key. Never
//! writes. Both servers must be quiet.

use mysql_async::prelude::Queryable;
use mysql_async::{BinaryProtocol, Conn, Opts, QueryResult, Row};

/// Rows of each table that are named when they differ.
const EXAMPLES: usize = 3;

/// Why a comparison could not be made.
#[derive(Debug, thiserror::Error)]
pub enum CompareError {
    #[error("the address of the {side} server is wrong")]
    Address { side: &'static str, source: mysql_async::UrlError },
    #[error("the {side} server cannot be read")]
    Read { side: &'static str, source: mysql_async::Error },
    #[error("cannot start a runtime")]
    Runtime(#[from] std::io::Error),
}

/// What the comparison found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Comparison {
    pub tables: u64,
    pub rows: u64,
    /// One line for each table that is not the same, with examples.
    pub differences: Vec<String>,
}

impl Comparison {
    #[must_use]
    pub fn is_equal(&self) -> bool {
        self.differences.is_empty()
    }
}

/// Compares all tables of the schema that both URLs name.
///
/// # Errors
/// When a server cannot be reached or read.
pub fn compare(left: &str, right: &str) -> Result<Comparison, CompareError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut left = Side::open("left", left).await?;
        let mut right = Side::open("right", right).await?;
        let mut found = Comparison::default();
        let (ours, theirs) = (left.tables().await?, right.tables().await?);
        if ours != theirs {
            found.differences.push(format!("the tables are not the same: {ours:?} and {theirs:?}"));
        }
        for table in ours.iter().filter(|table| theirs.contains(table)) {
            let (columns, key) = left.columns(table).await?;
            let select = format!("select {columns} from {} order by {key}", named(table));
            let (rows, difference) = compare_table(&mut left, &mut right, &select).await?;
            found.tables += 1;
            found.rows += rows;
            found.differences.extend(difference.map(|difference| format!("{table}: {difference}")));
        }
        Ok(found)
    })
}

struct Side {
    name: &'static str,
    conn: Conn,
}

impl Side {
    async fn open(name: &'static str, url: &str) -> Result<Self, CompareError> {
        let options = Opts::from_url(url).map_err(|source| CompareError::Address { side: name, source })?;
        let conn = Conn::new(options).await.map_err(|source| CompareError::Read { side: name, source })?;
        Ok(Self { name, conn })
    }

    fn failed(&self) -> impl FnOnce(mysql_async::Error) -> CompareError + use<> {
        let side = self.name;
        move |source| CompareError::Read { side, source }
    }

    async fn tables(&mut self) -> Result<Vec<String>, CompareError> {
        let failed = self.failed();
        self.conn
            .query(
                "select table_name from information_schema.tables
                 where table_schema = database() and table_type = 'BASE TABLE' order by binary table_name",
            )
            .await
            .map_err(failed)
    }

    /// The table's columns, invisible ones among them, and what orders its rows.
    async fn columns(&mut self, table: &str) -> Result<(String, String), CompareError> {
        let failed = self.failed();
        let columns: Vec<(String, String)> = self
            .conn
            .exec(
                "select column_name, column_key from information_schema.columns
                 where table_schema = database() and table_name = ? order by ordinal_position",
                (table,),
            )
            .await
            .map_err(failed)?;
        let list = |names: Vec<String>| names.join(", ");
        let all = list(columns.iter().map(|(name, _)| named(name)).collect());
        let key = list(columns.iter().filter(|(_, key)| key == "PRI").map(|(name, _)| named(name)).collect());
        Ok((all, key))
    }
}

type Stream<'a> = QueryResult<'a, 'static, BinaryProtocol>;

async fn compare_table(left: &mut Side, right: &mut Side, select: &str) -> Result<(u64, Option<String>), CompareError> {
    let (left_failed, right_failed) = (left.failed(), right.failed());
    let mut ours: Stream<'_> = left.conn.exec_iter(select, ()).await.map_err(left_failed)?;
    let mut theirs: Stream<'_> = right.conn.exec_iter(select, ()).await.map_err(right_failed)?;
    let (mut rows, mut different, mut examples) = (0, 0_u64, Vec::new());
    loop {
        let one = next(&mut ours, "left").await?;
        let other = next(&mut theirs, "right").await?;
        if one.is_none() && other.is_none() {
            break;
        }
        rows += 1;
        if one != other {
            different += 1;
            if examples.len() < EXAMPLES {
                examples.push(format!("{} / {}", one.unwrap_or_default(), other.unwrap_or_default()));
            }
        }
    }
    let difference =
        (different > 0).then(|| format!("{different} of {rows} rows differ, such as {}", examples.join("; ")));
    Ok((rows, difference))
}

/// The next row as text that tells every two values apart (also 0.0 from -0.0, and NULL from '').
async fn next(stream: &mut Stream<'_>, side: &'static str) -> Result<Option<String>, CompareError> {
    let row: Option<Row> = stream.next().await.map_err(|source| CompareError::Read { side, source })?;
    Ok(row.map(|row| format!("{:?}", row.unwrap_raw())))
}

fn named(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mariadb::{MariaDb, Options};

    #[test]
    fn a_changed_a_missing_and_a_rounded_value_are_seen() {
        let options = Options { binary_log: false, ..Options::default() };
        let (left, right) = (MariaDb::start(options.clone()).unwrap(), MariaDb::start(options).unwrap());
        let same = "create database shop; use shop;
            create table a (id int primary key, f float, hidden int invisible default 1);
            create table `b ``c` (x varchar(5), y int, primary key (y, x));
            insert into a (id, f) values (1, 0.1), (2, 0.2), (3, null); insert into `b ``c` values ('', 1);";
        left.sql(same).unwrap();
        right.sql(same).unwrap();
        let look = || compare(&left.url("shop"), &right.url("shop")).unwrap();
        assert_eq!(look(), Comparison { tables: 2, rows: 4, differences: vec![] });

        right.sql("use shop; update a set f = 0.20000002 where id = 2; update a set hidden = 2 where id = 3").unwrap();
        right.sql("delete from shop.`b ``c`").unwrap();
        let differences = look().differences;
        assert!(differences[0].starts_with("a: 2 of 3 rows differ"), "{differences:?}");
        assert!(differences[1].starts_with("b `c: 1 of 1 rows differ"), "{differences:?}");
    }
}
