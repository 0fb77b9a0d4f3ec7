//! `query`: one statement that reads rows.
//!
//! Owns the refusals: more than one statement, or one that may do more than read. Never writes.

use crate::db::{Databases, Read, reads, split};
use crate::opened::opened;
use crate::stop::Stop;
use crate::vault::Vault;
use piton_core::action::Query;
use piton_core::outcome::{Failure, FailureKind, Outcome};
use piton_core::ports::AttemptContext;

pub(crate) fn run(
    query: &Query,
    context: &AttemptContext,
    stop: &Stop<'_>,
    vault: &Vault,
    databases: &Databases,
) -> Result<Outcome, Failure> {
    let failure = |message: String| Failure::new(FailureKind::Action, message);
    let db = databases.at(&vault.open_text(&query.url)?, &context.root)?;
    let statements = split(db.dialect(), &query.sql).map_err(|error| failure(error.to_string()))?;
    let [statement] = statements.as_slice() else {
        let message = format!("a query is one statement, and this has {}", statements.len());
        return Err(failure(message).hint("make each a step of its own"));
    };
    reads(db.dialect(), statement).map_err(|why| failure(why).hint("use sql() for what writes"))?;
    let params = opened(&query.params, vault)?;
    let rows = db.query(&Read { statement, params: &params, limit: query.limit }, stop)?;
    Ok(Outcome { ok: true, rows: Some(rows), ..Outcome::default() })
}
