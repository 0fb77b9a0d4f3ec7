//! SQLite files.
//!
//! Owns opening, types and the one transaction. A statement dies with the engine's process, which the lease proves; so
//! there is no session to find after a crash, and a transaction that was cut off is rolled back by whoever opens the
//! file next. Never waits long for another process' lock: it shows as an error.

use super::lexer::{Dialect, Statement};
use super::mark::{self, Mark};
use super::params::{Param, params};
use super::session::{Database, Done, Effects, Read, Session, Trouble, Work};
use super::{MAX_RESULT_BYTES, failure, too_many_bytes, too_many_rows};
use crate::stop::Stop;
use piton_core::Value;
use piton_core::event::Handle;
use piton_core::outcome::{Failure, Rows};
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, ErrorCode, OpenFlags, ToSql};
use std::path::PathBuf;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

/// How long another process may hold its lock before it is an error.
const BUSY_LIMIT: Duration = Duration::from_secs(5);
/// A statement that begins between two interrupts is interrupted by the next.
const INTERRUPT_AGAIN: Duration = Duration::from_millis(20);

#[derive(Clone)]
pub(super) struct Sqlite {
    path: PathBuf,
}

impl Sqlite {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path }
    }

    fn connect(&self, create: bool) -> Result<Connection, Failure> {
        // Also for reading: a transaction that a crash cut off can only be rolled back by who may write.
        let mut flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        if create {
            flags |= OpenFlags::SQLITE_OPEN_CREATE;
        }
        let opened = Connection::open_with_flags(&self.path, flags).and_then(|conn| {
            conn.busy_timeout(BUSY_LIMIT)?;
            Ok(conn)
        });
        opened.map_err(|error| failure(format!("{} cannot be opened: {error}", self.path.display())))
    }
}

impl Database for Sqlite {
    fn dialect(&self) -> Dialect {
        Dialect::Sqlite
    }

    fn query(&self, read: &Read<'_>, stop: &Stop<'_>) -> Result<Rows, Failure> {
        let params = params(read.params)?;
        let conn = self.connect(false)?;
        conn.pragma_update(None, "query_only", true).map_err(|error| said(&error))?;
        let result = interruptible(&conn, stop, || fetch(&conn, read, &params));
        result.map_err(|failure| stop.why().unwrap_or(failure))
    }

    fn open(&self, _name: &str) -> Result<Box<dyn Session>, Failure> {
        Ok(Box::new(Writer { conn: self.connect(true)? }))
    }

    fn end(&self, _handle: &Handle) -> Result<(), String> {
        Ok(())
    }

    fn has_mark(&self, mark: &Mark) -> Result<bool, Failure> {
        if !self.path.exists() {
            return Ok(false);
        }
        let conn = self.connect(false)?;
        if !has_mark_table(&conn)? {
            return Ok(false);
        }
        let sql = format!("select count(*) from \"{}\" where id = ?", mark::TABLE);
        conn.query_row(&sql, [&mark.id], |row| row.get::<_, i64>(0))
            .map(|count| count > 0)
            .map_err(|error| said(&error))
    }
}

fn said(error: &rusqlite::Error) -> Failure {
    let busy = matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked));
    let failure = failure(error.to_string());
    if busy { failure.hint("another process holds a lock on the file; see who has it open") } else { failure }
}

fn has_mark_table(conn: &Connection) -> Result<bool, Failure> {
    let sql = "select count(*) from sqlite_schema where type = 'table' and name = ?";
    conn.query_row(sql, [mark::TABLE], |row| row.get::<_, i64>(0)).map(|count| count > 0).map_err(|error| said(&error))
}

/// Runs `work`, which is interrupted when its time is over or the engine ends it.
fn interruptible<T>(conn: &Connection, stop: &Stop<'_>, work: impl FnOnce() -> T) -> T {
    let (over, ended) = mpsc::channel::<()>();
    let (fire, fired) = mpsc::channel::<()>();
    let _registration = stop.on_cancel(move |_| {
        let _ = fire.send(());
    });
    let interrupt = conn.get_interrupt_handle();
    let left = stop.left();
    let watcher = std::thread::spawn(move || {
        let end = left.map(|left| std::time::Instant::now() + left);
        // A channel cannot be waited for together with another, so the end is looked for; work is mostly short.
        loop {
            let due = end.is_some_and(|end| std::time::Instant::now() >= end) || fired.try_recv().is_ok();
            if due {
                interrupt.interrupt();
                while ended.recv_timeout(INTERRUPT_AGAIN) == Err(RecvTimeoutError::Timeout) {
                    interrupt.interrupt();
                }
                return;
            }
            if ended.recv_timeout(INTERRUPT_AGAIN) != Err(RecvTimeoutError::Timeout) {
                return;
            }
        }
    });
    let result = work();
    drop(over);
    let _ = watcher.join();
    result
}

impl ToSql for Param {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self {
            Self::Null => ToSqlOutput::Borrowed(ValueRef::Null),
            Self::Bool(value) => ToSqlOutput::Borrowed(ValueRef::Integer(i64::from(*value))),
            Self::Int(value) => ToSqlOutput::Borrowed(ValueRef::Integer(*value)),
            Self::UInt(value) => match i64::try_from(*value) {
                Ok(value) => ToSqlOutput::Borrowed(ValueRef::Integer(value)),
                Err(error) => return Err(rusqlite::Error::ToSqlConversionFailure(Box::new(error))),
            },
            Self::Float(value) => ToSqlOutput::Borrowed(ValueRef::Real(*value)),
            Self::Text(value) => ToSqlOutput::Borrowed(ValueRef::Text(value.as_bytes())),
            Self::Bytes(value) => ToSqlOutput::Borrowed(ValueRef::Blob(value)),
        })
    }
}

fn fetch(conn: &Connection, read: &Read<'_>, params: &[Param]) -> Result<Rows, Failure> {
    let mut statement = conn.prepare(&read.statement.text).map_err(|error| said(&error))?;
    if !statement.readonly() {
        return Err(failure("a query only reads, and this statement writes").hint("use sql() for it"));
    }
    let mut rows = Rows { columns: statement.column_names().map(str::to_owned).collect(), rows: vec![] };
    let width = rows.columns.len();
    let mut cursor = statement.query(rusqlite::params_from_iter(params)).map_err(|error| said(&error))?;
    let mut bytes = 0;
    while let Some(row) = cursor.next().map_err(|error| said(&error))? {
        if rows.rows.len() as u64 >= read.limit {
            return Err(too_many_rows(read.limit));
        }
        let mut values = Vec::with_capacity(width);
        for index in 0..width {
            let value = row.get_ref(index).map_err(|error| said(&error))?;
            bytes += 16 + value.as_bytes_or_null().ok().flatten().map_or(0, <[u8]>::len);
            values.push(from_sqlite(value));
        }
        if bytes > MAX_RESULT_BYTES {
            return Err(too_many_bytes());
        }
        rows.rows.push(values);
    }
    Ok(rows)
}

fn from_sqlite(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Null => Value::None,
        ValueRef::Integer(value) => Value::Int(i128::from(value)),
        ValueRef::Real(value) => Value::Float(value),
        ValueRef::Text(text) => match std::str::from_utf8(text) {
            Ok(text) => Value::str(text),
            Err(_) => Value::Bytes(text.to_vec()),
        },
        ValueRef::Blob(bytes) => Value::Bytes(bytes.to_vec()),
    }
}

struct Writer {
    conn: Connection,
}

impl Session for Writer {
    fn handle(&self) -> Handle {
        Handle::Engine
    }

    fn holds(&mut self, statements: &[Statement]) -> Result<Result<(), String>, Failure> {
        let outside = statements
            .iter()
            .map(|statement| statement.word(0))
            .find(|first| matches!(first.as_str(), "vacuum" | "pragma" | "attach" | "detach" | ""));
        Ok(match outside {
            Some(first) => Err(format!("SQLite runs {} outside of any transaction", first.to_uppercase())),
            None => Ok(()),
        })
    }

    fn make_mark_table(&mut self) -> Result<(), Failure> {
        if has_mark_table(&self.conn)? {
            return Ok(());
        }
        let sql = format!(
            "create table if not exists \"{}\" (id text primary key, run text not null, path text not null, \
             generation integer not null, attempt integer not null, at text not null default current_timestamp) \
             without rowid",
            mark::TABLE
        );
        self.conn.execute_batch(&sql).map_err(|error| said(&error))
    }

    fn perform(self: Box<Self>, work: Work, held: bool, stop: &Stop<'_>) -> Result<Done, Trouble> {
        let result = params(&work.params)
            .and_then(|params| interruptible(&self.conn, stop, || carry_out(&self.conn, &work, &params, held)));
        result.map_err(|failure| {
            let _ = self.conn.execute_batch("rollback");
            let effects = if held && self.conn.is_autocommit() { Effects::None } else { Effects::Perhaps };
            Trouble { failure: stop.why().unwrap_or(failure), effects }
        })
    }
}

fn carry_out(conn: &Connection, work: &Work, params: &[Param], held: bool) -> Result<Done, Failure> {
    let mut done = Done::default();
    if held {
        conn.execute_batch("begin immediate").map_err(|error| said(&error))?;
    }
    if let Some(mark) = &work.mark {
        let sql = format!(
            "insert or ignore into \"{}\" (id, run, path, generation, attempt) values (?, ?, ?, ?, ?)",
            mark::TABLE
        );
        let given = (&mark.id, &mark.run, &mark.path, mark.generation, mark.attempt);
        if conn.execute(&sql, given).map_err(|error| said(&error))? == 0 {
            conn.execute_batch("rollback").map_err(|error| said(&error))?;
            done.already = true;
            return Ok(done);
        }
    }
    let many = work.statements.len();
    for (index, text) in work.statements.iter().enumerate() {
        let run = || -> rusqlite::Result<u64> {
            let before = conn.total_changes();
            let mut statement = conn.prepare(&text.text)?;
            let mut rows = statement.query(rusqlite::params_from_iter(params))?;
            while rows.next()?.is_some() {}
            drop(rows);
            let writes_rows = matches!(text.word(0).as_str(), "insert" | "update" | "delete" | "replace" | "with");
            Ok(if writes_rows && conn.total_changes() > before { conn.changes() } else { 0 })
        };
        done.affected += run().map_err(|error| {
            let mut failure = said(&error);
            if many > 1 {
                failure.message = format!("statement {} of {many}: {}", index + 1, failure.message);
            }
            failure
        })?;
    }
    if held {
        conn.execute_batch("commit").map_err(|error| said(&error))?;
    }
    Ok(done)
}

#[cfg(test)]
mod tests {
    use super::super::lexer::split;
    use super::*;
    use piton_core::ports::Cancel;

    fn read(db: &Sqlite, text: &str, params: &[Value], limit: u64) -> Result<Rows, Failure> {
        let statement = split(Dialect::Sqlite, text).unwrap().remove(0);
        let cancel = Cancel::new();
        db.query(&Read { statement: &statement, params, limit }, &Stop::new(&cancel, None))
    }

    fn write(db: &Sqlite, text: &str, mark: Option<Mark>) -> Result<Done, Trouble> {
        let statements = split(Dialect::Sqlite, text).unwrap();
        let mut session = db.open("x").unwrap();
        let held = session.holds(&statements).unwrap().is_ok();
        if mark.is_some() {
            session.make_mark_table().unwrap();
        }
        let cancel = Cancel::new();
        session.perform(Work { statements, params: vec![], mark }, held, &Stop::new(&cancel, None))
    }

    fn db() -> (tempfile::TempDir, Sqlite) {
        let folder = tempfile::tempdir().unwrap();
        let db = Sqlite::new(folder.path().join("test.db"));
        (folder, db)
    }

    #[test]
    fn values_keep_their_types() {
        let (_folder, db) = db();
        write(&db, "create table t (a)", None).unwrap();
        let rows = read(
            &db,
            "select ?, ?, ?, ?, x'ff00', cast(x'ff' as text), null",
            &[Value::Int(i128::from(i64::MIN)), Value::Float(0.1), Value::str("é"), Value::Bool(true)],
            10,
        )
        .unwrap();
        assert_eq!(
            rows.rows,
            [vec![
                Value::Int(i128::from(i64::MIN)),
                Value::Float(0.1),
                Value::str("é"),
                Value::Int(1),
                Value::Bytes(vec![0xff, 0]),
                Value::Bytes(vec![0xff]),
                Value::None,
            ]]
        );
    }

    #[test]
    fn a_transaction_is_whole_or_not_at_all() {
        let (_folder, db) = db();
        write(&db, "create table t (a primary key); insert into t values (1), (2)", None).unwrap();
        let trouble = write(&db, "insert into t values (3); insert into t values (1)", None).unwrap_err();
        assert_eq!(trouble.effects, Effects::None);
        assert!(trouble.failure.message.starts_with("statement 2 of 2: "), "{}", trouble.failure);
        assert_eq!(read(&db, "select count(*) from t", &[], 1).unwrap().rows, [[Value::Int(2)]]);
    }

    #[test]
    fn a_mark_makes_it_happen_once() {
        let (_folder, db) = db();
        write(&db, "create table t (a)", None).unwrap();
        let mark = Mark { id: "x".repeat(64), run: "r".into(), path: "p".into(), generation: 1, attempt: 1 };
        assert!(!db.has_mark(&mark).unwrap());
        assert_eq!(write(&db, "insert into t values (1)", Some(mark.clone())).unwrap().affected, 1);
        assert!(db.has_mark(&mark).unwrap());
        assert!(write(&db, "insert into t values (1)", Some(mark)).unwrap().already);
        assert_eq!(read(&db, "select count(*) from t", &[], 1).unwrap().rows, [[Value::Int(1)]]);
    }

    #[test]
    fn a_query_cannot_write_and_has_a_limit() {
        let (_folder, db) = db();
        write(&db, "create table t (a)", None).unwrap();
        assert!(read(&db, "insert into t values (1)", &[], 1).is_err());
        let failure = read(&db, "values (1), (2), (3)", &[], 2).unwrap_err();
        assert!(failure.message.contains("more than 2 rows"));
    }

    #[test]
    fn a_statement_without_end_is_ended_by_its_timeout() {
        let (_folder, db) = db();
        write(&db, "create table t (a)", None).unwrap();
        let endless = "with recursive n(i) as (select 1 union all select i + 1 from n) select max(i) from n";
        let statement = split(Dialect::Sqlite, endless).unwrap().remove(0);
        let cancel = Cancel::new();
        let stop = Stop::new(&cancel, Some(piton_core::Duration::from_ms(100)));
        let failure = db.query(&Read { statement: &statement, params: &[], limit: 1 }, &stop).unwrap_err();
        assert_eq!(failure.kind, piton_core::outcome::FailureKind::Timeout);
    }
}
