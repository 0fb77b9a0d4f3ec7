//! `sql`: statements that write, in one transaction where there is one.
//!
//! Owns the way of a write: cut, judged, a named session opened, the mark prepared; performed; and after a crash, that
//! nothing of it is alive before its mark is believed. Never speaks to a server itself: `db` does.

use crate::db::{Databases, Dialect, Effects, Mark, Session, Statement, Work, ends_with_the_step, refused, split};
use crate::opened::opened;
use crate::stop::Stop;
use crate::vault::Vault;
use piton_core::Action;
use piton_core::Duration;
use piton_core::action::Sql;
use piton_core::digest::Digest;
use piton_core::event::Handle;
use piton_core::outcome::{Failure, FailureKind, Outcome};
use piton_core::ports::{ActionFailed, AttemptContext, Cancel, Prepared, Purpose, Remains};

/// Hexadecimal digits of a session's name: with the prefix it has to fit into the 64 characters of a MySQL lock and
/// the 63 of a PostgreSQL application's name.
const NAME_DIGITS: usize = 40;

struct Ready {
    session: Box<dyn Session>,
    work: Work,
    held: bool,
    timeout: Option<Duration>,
}

pub(crate) fn prepare(
    sql: &Sql,
    context: &AttemptContext,
    vault: &Vault,
    databases: &Databases,
) -> Result<Box<dyn Prepared>, Failure> {
    let db = databases.at(&vault.open_text(&sql.url)?, &context.root)?;
    let statements = statements(db.dialect(), &sql.statements)?;
    if !sql.params.is_empty() && statements.len() != 1 {
        return Err(failure("parameters belong to a single statement, and there are several")
            .hint("make each statement a step of its own, or write the values with literal()"));
    }
    let params = opened(&sql.params, vault)?;
    let mut session = db.open(&name(sql, context))?;
    let held = session.holds(&statements)?;
    let mark = match (sql.once, &held) {
        (false, _) => None,
        (true, Ok(())) => {
            session.make_mark_table()?;
            Some(Mark::new(&Action::Sql(sql.clone()), context))
        }
        (true, Err(why)) => {
            return Err(failure(format!("once=True needs a transaction that holds everything, and {why}"))
                .hint("leave once= out and say how it can be recognised: ensures=, or repeatable=True"));
        }
    };
    let work = Work { statements, params, mark };
    Ok(Box::new(Ready { session, work, held: held.is_ok(), timeout: context.timeout }))
}

/// What is left of an attempt whose engine is gone.
pub(crate) fn remains(
    sql: &Sql,
    handle: &Handle,
    context: &AttemptContext,
    vault: &Vault,
    databases: &Databases,
) -> Remains {
    let db = match vault.open_text(&sql.url).and_then(|url| databases.at(&url, &context.root)) {
        Ok(db) => db,
        Err(failure) => return Remains::Unprovable(failure.message),
    };
    if let Err(why) = db.end(handle) {
        return Remains::Unprovable(why);
    }
    if !sql.once {
        return Remains::Gone;
    }
    match db.has_mark(&Mark::new(&Action::Sql(sql.clone()), context)) {
        Ok(true) => {
            let notes = vec!["its mark shows that it happened before the engine died".to_owned()];
            Remains::Exited(Ok(Outcome { ok: true, notes, ..Outcome::default() }))
        }
        Ok(false) => Remains::NeverBegan,
        // Nothing of it is alive, and performing it again meets the mark if there is one.
        Err(_) => Remains::Gone,
    }
}

fn failure(message: impl Into<String>) -> Failure {
    Failure::new(FailureKind::Action, message)
}

fn statements(dialect: Dialect, texts: &[String]) -> Result<Vec<Statement>, Failure> {
    let mut all = Vec::new();
    for text in texts {
        all.extend(split(dialect, text).map_err(|error| failure(error.to_string()))?);
    }
    if all.is_empty() {
        return Err(failure("there is no statement in it"));
    }
    for statement in &all {
        refused(dialect, statement).map_err(failure)?;
    }
    ends_with_the_step(dialect, &all).map_err(|why| {
        failure(why).hint("take it together with what needs it, in one sql(), or hold it in a program run by sh()")
    })?;
    Ok(all)
}

/// No other attempt of any run has this name, ever.
fn name(sql: &Sql, context: &AttemptContext) -> String {
    let AttemptContext { run, path, generation, attempt, .. } = context;
    let purpose = match context.purpose {
        Purpose::Act => "act".to_owned(),
        Purpose::Look => "look".to_owned(),
        Purpose::Undo => format!("undo {}", Digest::of_json(sql).hex()),
    };
    let digest = Digest::of_json(&(run, path, generation, attempt, purpose)).hex();
    format!("piton:{}", &digest[..NAME_DIGITS])
}

impl Prepared for Ready {
    fn handle(&self) -> Handle {
        self.session.handle()
    }

    fn atomic(&self) -> bool {
        self.held
    }

    fn inverse(&mut self) -> Result<Option<Action>, Failure> {
        Ok(None)
    }

    fn perform(self: Box<Self>, cancel: &Cancel) -> Result<Outcome, ActionFailed> {
        let stop = Stop::new(cancel, self.timeout);
        if let Some(failure) = stop.why() {
            return Err(ActionFailed { never_began: true, ..failure.into() });
        }
        match self.session.perform(self.work, self.held, &stop) {
            Ok(mut done) => {
                if done.already {
                    done.notes.push("it had happened before: its mark is there, so nothing was done now".to_owned());
                }
                let affected = Some(done.affected);
                Ok(Outcome { ok: true, affected, notes: done.notes, ..Outcome::default() })
            }
            Err(trouble) => Err(ActionFailed {
                never_began: trouble.effects == Effects::None,
                unknown: trouble.effects == Effects::Unknown,
                ..trouble.failure.into()
            }),
        }
    }
}
