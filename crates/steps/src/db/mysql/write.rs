//! The session behind `sql` on MySQL and MariaDB.
//!
//! Owns one connection that carries a lock with the attempt's name, and the rules of how a write ends: what a lost
//! reply means, when a mark decides, that nothing lands after we returned. Never retries anything.

use super::super::lexer::{Dialect, Statement};
use super::super::mark::{self, Mark};
use super::super::params::params;
use super::super::session::{Database, Done, Effects, Read, Session, Trouble, Unsettled, Work, settle};
use super::super::{END_LIMIT, PREPARE_LIMIT, failure, too_slow};
use super::connect::{MySql, PLACE, said};
use super::held::held;
use super::values::to_raw;
use crate::stop::Stop;
use futures_util::future::{Either, join, select};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Params};
use piton_core::event::Handle;
use piton_core::outcome::{Failure, Rows};
use std::cell::Cell;
use std::pin::pin;
use tokio::time::timeout;

/// Warnings told to a person.
const MAX_WARNINGS: usize = 5;

mod code {
    pub(super) const DUPLICATE: u16 = 1062;
    pub(super) const NO_SUCH_TABLE: u16 = 1146;
    pub(super) const NO_DATABASE: u16 = 1046;
    pub(super) const NOT_ROLLED_BACK: u16 = 1196;
    /// A COMMIT that the server refuses with these has not committed: deadlock, lock wait, read-only server, cluster
    /// without quorum.
    pub(super) const NOT_COMMITTED: [u16; 6] = [1213, 1205, 1290, 1792, 1836, 1047];
}

impl Database for MySql {
    fn dialect(&self) -> Dialect {
        Dialect::MySql
    }

    fn query(&self, read: &Read<'_>, stop: &Stop<'_>) -> Result<Rows, Failure> {
        self.read(read, stop)
    }

    fn open(&self, name: &str) -> Result<Box<dyn Session>, Failure> {
        let named = async { timeout(PREPARE_LIMIT, self.named(name)).await };
        let named = self.runtime.block_on(named).unwrap_or_else(|_| Err(too_slow("opening its session")));
        let (id, place, conn) = named?;
        Ok(Box::new(Writer { db: self.clone(), conn, id, lock: name.to_owned(), place }))
    }

    fn end(&self, handle: &Handle) -> Result<(), String> {
        match handle {
            Handle::Session { lock, since, .. } => self.runtime.block_on(self.end_session(lock, since.as_deref())),
            Handle::Engine | Handle::Supervisor { .. } | Handle::Run { .. } => {
                Err("its journal names no session".to_owned())
            }
        }
    }

    fn has_mark(&self, mark: &Mark) -> Result<bool, Failure> {
        self.runtime.block_on(self.is_marked(mark))
    }
}

impl MySql {
    /// A connection that holds the lock of this name.
    async fn named(&self, name: &str) -> Result<(u64, String, Conn), Failure> {
        let mut conn = self.connect().await?;
        let opened = async {
            conn.query_drop("set session autocommit = 1").await?;
            let sql = format!("select connection_id(), {PLACE}, get_lock(?, 0)");
            conn.exec_first::<(u64, String, Option<i64>), _, _>(sql, (name,)).await
        };
        let (id, place, taken) = opened
            .await
            .map_err(|error| failure(said(&error)))?
            .ok_or_else(|| failure("the database does not say who we are"))?;
        if taken != Some(1) {
            // A session that an engine prepared for this very attempt and never used: it died before the intent.
            self.end_session(name, None).await.map_err(failure)?;
            let again: Option<Option<i64>> =
                conn.exec_first("select get_lock(?, 1)", (name,)).await.map_err(|error| failure(said(&error)))?;
            if again.flatten() != Some(1) {
                return Err(failure(format!("the lock {name} that names this attempt's session cannot be taken")));
            }
        }
        Ok((id, place, conn))
    }

    async fn is_marked(&self, mark: &Mark) -> Result<bool, Failure> {
        let mut conn = self.connect().await?;
        let sql = format!("select count(*) from `{}` where id = ?", mark::TABLE);
        match conn.exec_first::<u64, _, _>(sql, (&mark.id,)).await {
            Ok(count) => {
                let _ = conn.disconnect().await;
                Ok(count.unwrap_or(0) > 0)
            }
            Err(error) => Err(failure(said(&error))),
        }
    }
}

struct Writer {
    db: MySql,
    conn: Conn,
    id: u64,
    lock: String,
    place: String,
}

/// How the statements ended, as this connection saw it.
enum Ending {
    /// The server refused one. `clean`: and everything before it is rolled back.
    Refused { failure: Failure, clean: bool },
    /// The connection failed.
    Lost(Failure),
}

impl Session for Writer {
    fn handle(&self) -> Handle {
        Handle::Session { id: self.id, lock: self.lock.clone(), since: Some(self.place.clone()) }
    }

    fn holds(&mut self, statements: &[Statement]) -> Result<Result<(), String>, Failure> {
        let runtime = self.db.runtime.clone();
        let held = async { timeout(PREPARE_LIMIT, held(&mut self.conn, statements)).await };
        match runtime.block_on(held) {
            Ok(held) => held.map_err(|error| failure(said(&error))),
            Err(_) => Err(too_slow("telling which tables the statements write")),
        }
    }

    fn make_mark_table(&mut self) -> Result<(), Failure> {
        let runtime = self.db.runtime.clone();
        let made = async { timeout(PREPARE_LIMIT, make_mark_table(&mut self.conn)).await };
        runtime.block_on(made).unwrap_or_else(|_| Err(too_slow(&format!("creating the table {}", mark::TABLE))))
    }

    fn perform(self: Box<Self>, work: Work, held: bool, stop: &Stop<'_>) -> Result<Done, Trouble> {
        let values: Vec<_> = match params(&work.params) {
            Ok(params) => params.into_iter().map(to_raw).collect(),
            Err(failure) => return Err(Trouble { failure, effects: Effects::None }),
        };
        let handle = self.handle();
        let Self { db, mut conn, lock, place, .. } = *self;
        let runtime = db.runtime.clone();
        let committing = Cell::new(false);
        let (ended, why) = runtime.block_on(async {
            let doing = pin!(carry_out(&mut conn, &work, values, held, &committing));
            match select(doing, pin!(stop.stopped())).await {
                Either::Left((ended, _)) => (Some(ended), None),
                Either::Right((why, doing)) => {
                    // Ended at the server, whatever it is in; if it commits before the kill, its answer says so.
                    let (ended, proof) = join(timeout(END_LIMIT, doing), db.end_session(&lock, Some(&place))).await;
                    (ended.ok(), Some((why, proof)))
                }
            }
        });
        let (failure, ended) = match (ended, why) {
            (Some(Ok(done)), _) => {
                runtime.block_on(async { drop(timeout(END_LIMIT, conn.disconnect()).await) });
                return Ok(done);
            }
            (Some(Err(Ending::Refused { failure, clean })), None) => {
                let effects = if clean { Effects::None } else { Effects::Perhaps };
                runtime.block_on(async { drop(timeout(END_LIMIT, conn.disconnect()).await) });
                return Err(Trouble { failure, effects });
            }
            (Some(Err(Ending::Lost(failure))), None) => (failure, None),
            (_, Some((why, proof))) => (why, Some(proof)),
            (None, None) => (failure("its end was not seen"), None),
        };
        // A connection in an unknown state: dropped outside the runtime, where it is closed without a word.
        drop(conn);
        settle(&db, &handle, Unsettled { failure, ended, held, committing: committing.get(), mark: work.mark })
    }
}

async fn carry_out(
    conn: &mut Conn,
    work: &Work,
    mut params: Vec<mysql_async::Value>,
    held: bool,
    committing: &Cell<bool>,
) -> Result<Done, Ending> {
    let mut done = Done::default();
    if held {
        conn.query_drop("start transaction").await.map_err(|error| refused(&error, true))?;
    }
    if let Some(mark) = &work.mark {
        // First, so that a second attempt waits for the first one's end here, before it does anything.
        match insert_mark(conn, mark).await {
            Ok(()) => {}
            Err(mysql_async::Error::Server(error)) if error.code == code::DUPLICATE => {
                roll_back(conn).await?;
                done.already = true;
                return Ok(done);
            }
            Err(error) => return Err(undo(conn, &error, held, "its mark: ").await),
        }
    }
    let many = work.statements.len();
    for (index, statement) in work.statements.iter().enumerate() {
        let which = if many > 1 { format!("statement {} of {many}: ", index + 1) } else { String::new() };
        let outcome = match run(conn, &statement.text, std::mem::take(&mut params)).await {
            Ok(affected) => warnings(conn, &mut done.notes).await.map(|warned| (affected, warned)),
            Err(error) => Err(error),
        };
        let (affected, warned) = match outcome {
            Ok(outcome) => outcome,
            Err(error) => return Err(undo(conn, &error, held, &which).await),
        };
        if let Some(warned) = warned {
            let clean = held && roll_back(conn).await?;
            let stays = if clean { "" } else { "; it took effect nevertheless: no transaction holds it" };
            let failure = failure(format!("{which}the server warns: {warned}{stays}"))
                .hint("in a sql() warnings are errors: write the statement so that the server need not guess");
            return Err(Ending::Refused { failure, clean });
        }
        done.affected += affected;
    }
    if held {
        committing.set(true);
        match conn.query_drop("commit").await {
            Ok(()) => {}
            Err(mysql_async::Error::Server(error)) if code::NOT_COMMITTED.contains(&error.code) => {
                let error = mysql_async::Error::Server(error);
                return Err(undo(conn, &error, held, "commit: ").await);
            }
            Err(error) => return Err(Ending::Lost(failure(format!("commit: {}", said(&error))))),
        }
    }
    Ok(done)
}

fn refused(error: &mysql_async::Error, clean: bool) -> Ending {
    let failure = failure(said(error));
    if error.is_fatal() { Ending::Lost(failure) } else { Ending::Refused { failure, clean } }
}

/// After a statement failed: takes back what came before it.
async fn undo(conn: &mut Conn, error: &mysql_async::Error, held: bool, which: &str) -> Ending {
    let failure = failure(format!("{which}{}", said(error)));
    if error.is_fatal() {
        return Ending::Lost(failure);
    }
    if !held {
        return Ending::Refused { failure, clean: false };
    }
    match roll_back(conn).await {
        Ok(clean) => Ending::Refused { failure, clean },
        Err(_) => Ending::Lost(failure),
    }
}

/// True where nothing is left behind.
async fn roll_back(conn: &mut Conn) -> Result<bool, Ending> {
    conn.query_drop("rollback").await.map_err(|error| Ending::Lost(failure(said(&error))))?;
    if conn.get_warnings() == 0 {
        return Ok(true);
    }
    let warnings: Vec<(String, u16, String)> =
        conn.query("show warnings").await.map_err(|error| Ending::Lost(failure(said(&error))))?;
    Ok(!warnings.iter().any(|(_, code, _)| *code == code::NOT_ROLLED_BACK))
}

/// Runs one statement, reads whatever it gives, and tells how many rows it changed.
async fn run(conn: &mut Conn, text: &str, params: Vec<mysql_async::Value>) -> mysql_async::Result<u64> {
    let mut affected = 0;
    if params.is_empty() {
        let mut result = conn.query_iter(text).await?;
        loop {
            affected +=
                if result.columns().is_none_or(|columns| columns.is_empty()) { result.affected_rows() } else { 0 };
            while result.next().await?.is_some() {}
            if result.is_empty() {
                return Ok(affected);
            }
        }
    }
    let mut result = conn.exec_iter(text, Params::Positional(params)).await?;
    affected += if result.columns().is_none_or(|columns| columns.is_empty()) { result.affected_rows() } else { 0 };
    while !result.is_empty() {
        while result.next().await?.is_some() {}
    }
    Ok(affected)
}

/// What the server warns of; notes (a table that was not there to be dropped) are told, and no errors.
async fn warnings(conn: &mut Conn, notes: &mut Vec<String>) -> mysql_async::Result<Option<String>> {
    if conn.get_warnings() == 0 {
        return Ok(None);
    }
    let all: Vec<(String, u16, String)> = conn.query("show warnings").await?;
    let (told, bad): (Vec<_>, Vec<_>) = all.into_iter().partition(|(level, ..)| level.eq_ignore_ascii_case("note"));
    let line = |(level, code, message): (String, u16, String)| format!("{} {code}: {message}", level.to_lowercase());
    notes.extend(told.into_iter().take(MAX_WARNINGS).map(line));
    let more = bad.len().saturating_sub(MAX_WARNINGS);
    let mut lines: Vec<String> = bad.into_iter().take(MAX_WARNINGS).map(line).collect();
    if more > 0 {
        lines.push(format!("and {more} more"));
    }
    Ok((!lines.is_empty()).then(|| lines.join("; ")))
}

async fn insert_mark(conn: &mut Conn, mark: &Mark) -> mysql_async::Result<()> {
    let sql = format!("insert into `{}` (id, run, path, generation, attempt) values (?, ?, ?, ?, ?)", mark::TABLE);
    conn.exec_drop(sql, (&mark.id, &mark.run, &mark.path, mark.generation, mark.attempt)).await
}

async fn make_mark_table(conn: &mut Conn) -> Result<(), Failure> {
    // Looked for first: creating what is there would still wait for locks, and needs a right that the step may lack.
    match conn.query_drop(format!("select id from `{}` limit 0", mark::TABLE)).await {
        Ok(()) => return Ok(()),
        Err(mysql_async::Error::Server(error)) if error.code == code::NO_SUCH_TABLE => {}
        Err(mysql_async::Error::Server(error)) if error.code == code::NO_DATABASE => {
            return Err(failure("once=True keeps its mark in the URL's database, and the URL names none")
                .hint("write SCHEME://USER:PASSWORD@HOST/DATABASE"));
        }
        Err(error) => return Err(failure(format!("the table {} cannot be read: {}", mark::TABLE, said(&error)))),
    }
    let sql = format!(
        "create table if not exists `{}` (\
         id char(64) character set ascii collate ascii_bin not null primary key comment 'SHA-256 of run, path, generation', \
         run varchar(32) character set ascii not null, \
         path text character set utf8mb4 not null, \
         generation int unsigned not null, \
         attempt int unsigned not null, \
         `at` timestamp(6) not null default current_timestamp(6)\
         ) engine = InnoDB comment = 'Piton: statements that happened exactly once'",
        mark::TABLE
    );
    conn.query_drop(sql)
        .await
        .map_err(|error| failure(format!("the table {} cannot be created: {}", mark::TABLE, said(&error))))
}
