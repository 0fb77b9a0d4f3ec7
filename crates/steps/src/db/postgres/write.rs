//! The session behind `sql` on PostgreSQL.
//!
//! Owns one connection that is known by its process id and start, and the rules of how a write ends: what a lost reply
//! means, when a mark decides, that nothing lands after we returned. Never retries anything.

use super::super::lexer::{Dialect, Statement};
use super::super::mark::{self, Mark};
use super::super::params::{Param, params};
use super::super::session::{Database, Done, Effects, Read, Session, Trouble, Unsettled, Work, settle};
use super::super::{END_LIMIT, PREPARE_LIMIT, failure, too_slow};
use super::connect::{Link, Postgres, identity, said};
use super::held::held;
use super::values::AsText;
use crate::stop::Stop;
use futures_util::StreamExt;
use futures_util::future::{Either, join, select};
use piton_core::event::Handle;
use piton_core::outcome::{Failure, Rows};
use std::cell::Cell;
use std::pin::pin;
use tokio::time::timeout;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, SimpleQueryMessage};

/// Warnings told to a person.
const MAX_WARNINGS: usize = 5;

impl Database for Postgres {
    fn dialect(&self) -> Dialect {
        Dialect::Postgres
    }

    fn query(&self, read: &Read<'_>, stop: &Stop<'_>) -> Result<Rows, Failure> {
        self.read(read, stop)
    }

    fn open(&self, name: &str) -> Result<Box<dyn Session>, Failure> {
        let opened = self.runtime.block_on(async {
            let opening = async {
                let link = self.connect(Some(name)).await?;
                let (pid, since) = identity(&link.client).await.map_err(|error| failure(said(&error)))?;
                link.notices();
                Ok::<_, Failure>((link, pid, since))
            };
            timeout(PREPARE_LIMIT, opening).await
        });
        let (link, pid, since) = opened.unwrap_or_else(|_| Err(too_slow("opening its session")))?;
        Ok(Box::new(Writer { db: self.clone(), link, pid, since, name: name.to_owned() }))
    }

    fn end(&self, handle: &Handle) -> Result<(), String> {
        match handle {
            Handle::Session { id, since: Some(since), .. } => self.runtime.block_on(self.end_session(*id, since)),
            _ => Err("its journal names no session".to_owned()),
        }
    }

    fn has_mark(&self, mark: &Mark) -> Result<bool, Failure> {
        let sql = format!("select 1 from \"{}\" where id = $1", mark::TABLE);
        self.runtime.block_on(async {
            let link = self.connect(None).await?;
            let found = link.client.query_opt(&sql, &[&mark.id]).await;
            link.close().await;
            found.map(|row| row.is_some()).map_err(|error| failure(said(&error)))
        })
    }
}

struct Writer {
    db: Postgres,
    link: Link,
    pid: u64,
    since: String,
    name: String,
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
        Handle::Session { id: self.pid, lock: self.name.clone(), since: Some(self.since.clone()) }
    }

    fn holds(&mut self, statements: &[Statement]) -> Result<Result<(), String>, Failure> {
        Ok(statements.iter().try_for_each(held))
    }

    fn make_mark_table(&mut self) -> Result<(), Failure> {
        let made = async { timeout(PREPARE_LIMIT, make_mark_table(&self.link.client)).await };
        let made = self.db.runtime.block_on(made);
        self.link.notices();
        made.unwrap_or_else(|_| Err(too_slow(&format!("creating the table {}", mark::TABLE))))
    }

    fn perform(self: Box<Self>, work: Work, held: bool, stop: &Stop<'_>) -> Result<Done, Trouble> {
        let params = match params(&work.params) {
            Ok(params) => params,
            Err(failure) => return Err(Trouble { failure, effects: Effects::None }),
        };
        let handle = self.handle();
        let Self { db, link, pid, since, .. } = *self;
        let runtime = db.runtime.clone();
        let committing = Cell::new(false);
        let (ended, why) = runtime.block_on(async {
            let doing = pin!(carry_out(&link, &work, &params, held, &committing));
            match select(doing, pin!(stop.stopped())).await {
                Either::Left((ended, _)) => (Some(ended), None),
                Either::Right((why, doing)) => {
                    // Ended at the server, whatever it is in; if it commits before that, its answer says so.
                    let (ended, proof) = join(timeout(END_LIMIT, doing), db.end_session(pid, &since)).await;
                    (ended.ok(), Some((why, proof)))
                }
            }
        });
        let (failure, ended) = match (ended, why) {
            (Some(Ok(done)), _) => {
                runtime.block_on(link.close());
                return Ok(done);
            }
            (Some(Err(Ending::Refused { failure, clean })), None) => {
                runtime.block_on(link.close());
                return Err(Trouble { failure, effects: if clean { Effects::None } else { Effects::Perhaps } });
            }
            (Some(Err(Ending::Lost(failure))), None) => (failure, None),
            (_, Some((why, proof))) => (why, Some(proof)),
            (None, None) => (failure("its end was not seen"), None),
        };
        link.cut();
        settle(&db, &handle, Unsettled { failure, ended, held, committing: committing.get(), mark: work.mark })
    }
}

async fn carry_out(
    link: &Link,
    work: &Work,
    params: &[Param],
    held: bool,
    committing: &Cell<bool>,
) -> Result<Done, Ending> {
    let client = &link.client;
    let mut done = Done::default();
    if held {
        client.batch_execute("begin").await.map_err(|error| refused(&error))?;
    }
    if let Some(mark) = &work.mark {
        // First, so that a second attempt waits for the first one's end here, before it does anything.
        match insert_mark(client, mark).await {
            Ok(true) => {}
            Ok(false) => {
                client.batch_execute("rollback").await.map_err(|error| refused(&error))?;
                done.already = true;
                return Ok(done);
            }
            Err(error) => return Err(undo(client, &error, held, "its mark: ").await),
        }
    }
    let many = work.statements.len();
    for (index, statement) in work.statements.iter().enumerate() {
        let which = if many > 1 { format!("statement {} of {many}: ", index + 1) } else { String::new() };
        match run(client, &statement.text, params).await {
            Ok(affected) => done.affected += affected,
            Err(error) => return Err(undo(client, &error, held, &which).await),
        }
        let (warned, told): (Vec<_>, Vec<_>) = link.notices().into_iter().partition(|notice| notice.is_warning);
        done.notes.extend(told.into_iter().take(MAX_WARNINGS).map(|notice| notice.text));
        if !warned.is_empty() {
            let clean = held && client.batch_execute("rollback").await.is_ok();
            let texts: Vec<String> = warned.into_iter().take(MAX_WARNINGS).map(|notice| notice.text).collect();
            let stays = if clean { "" } else { "; it took effect nevertheless: no transaction holds it" };
            let failure = failure(format!("{which}the server warns: {}{stays}", texts.join("; ")))
                .hint("in a sql() warnings are errors: write the statement so that the server need not guess");
            return Err(Ending::Refused { failure, clean });
        }
    }
    if held {
        committing.set(true);
        client.batch_execute("commit").await.map_err(|error| commit_refused(&error))?;
    }
    Ok(done)
}

fn refused(error: &tokio_postgres::Error) -> Ending {
    let failure = failure(said(error));
    match error.as_db_error() {
        Some(_) if !is_end(error) => Ending::Refused { failure, clean: true },
        _ => Ending::Lost(failure),
    }
}

/// A COMMIT that violates a constraint or conflicts has not committed; of any other failure that cannot be said.
fn commit_refused(error: &tokio_postgres::Error) -> Ending {
    let failure = failure(format!("commit: {}", said(error)));
    let class = error.code().map(|code| code.code().get(..2).unwrap_or_default().to_owned());
    match class.as_deref() {
        Some("23" | "40" | "25") => Ending::Refused { failure, clean: true },
        _ => Ending::Lost(failure),
    }
}

/// The session ends with this error.
fn is_end(error: &tokio_postgres::Error) -> bool {
    let ends = [&SqlState::ADMIN_SHUTDOWN, &SqlState::CRASH_SHUTDOWN, &SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT];
    let severity = error.as_db_error().map(tokio_postgres::error::DbError::severity);
    error.is_closed()
        || matches!(severity, Some("FATAL" | "PANIC"))
        || error.code().is_some_and(|code| ends.contains(&code))
}

/// After a statement failed: takes back what came before it.
async fn undo(client: &Client, error: &tokio_postgres::Error, held: bool, which: &str) -> Ending {
    let mut failure = failure(format!("{which}{}", said(error)));
    if error.as_db_error().is_none() && !error.is_closed() && error.code().is_none() && is_ours(error) {
        // The driver itself refused, before anything was sent: a wrong number of parameters.
        failure = failure.hint("PostgreSQL writes parameters as $1, $2");
    } else if error.as_db_error().is_none() || is_end(error) {
        return Ending::Lost(failure);
    }
    if !held {
        return Ending::Refused { failure, clean: false };
    }
    match client.batch_execute("rollback").await {
        Ok(()) => Ending::Refused { failure, clean: true },
        Err(_) => Ending::Lost(failure),
    }
}

fn is_ours(error: &tokio_postgres::Error) -> bool {
    let said = error.to_string();
    said.starts_with("expected ") || said.starts_with("error serializing parameter")
}

/// Runs one statement, reads whatever it gives, and tells how many rows it changed.
async fn run(client: &Client, text: &str, params: &[Param]) -> Result<u64, tokio_postgres::Error> {
    if !params.is_empty() {
        let texts: Vec<AsText> = params.iter().map(AsText::from).collect();
        let given: Vec<&(dyn ToSql + Sync)> = texts.iter().map(|text| text as &(dyn ToSql + Sync)).collect();
        return client.execute(text, &given).await;
    }
    let mut changed = 0;
    let mut selects = false;
    let mut stream = pin!(client.simple_query_raw(text).await?);
    while let Some(message) = stream.next().await {
        match message? {
            SimpleQueryMessage::RowDescription(_) => selects = true,
            SimpleQueryMessage::CommandComplete(rows) if !selects => changed += rows,
            _ => {}
        }
    }
    Ok(changed)
}

async fn insert_mark(client: &Client, mark: &Mark) -> Result<bool, tokio_postgres::Error> {
    let sql = format!(
        "insert into \"{}\" (id, run, path, generation, attempt) values ($1, $2, $3, $4, $5) on conflict do nothing",
        mark::TABLE
    );
    let (generation, attempt) = (i64::from(mark.generation), i64::from(mark.attempt));
    Ok(client.execute(&sql, &[&mark.id, &mark.run, &mark.path, &generation, &attempt]).await? > 0)
}

async fn make_mark_table(client: &Client) -> Result<(), Failure> {
    // Looked for first: creating what is there needs a right that the step may lack.
    let there = client.query_one(&format!("select to_regclass('\"{}\"') is not null", mark::TABLE), &[]).await;
    if there.map_err(|error| failure(said(&error)))?.get(0) {
        return Ok(());
    }
    let sql = format!(
        "create table if not exists \"{}\" (id text primary key, run text not null, path text not null, \
         generation bigint not null, attempt bigint not null, at timestamptz not null default now())",
        mark::TABLE
    );
    client
        .batch_execute(&sql)
        .await
        .map_err(|error| failure(format!("the table {} cannot be created: {}", mark::TABLE, said(&error))))
}
