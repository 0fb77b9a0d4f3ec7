//! Runs: created, listed and found by name.
//!
//! Owns the rows of `runs` and how people name a run. Never trusts a row about who holds a lease: the lock tells.

use super::records::{digest, json, json_error, seq_of, to_json};
use super::snapshot;
use crate::error::{Fault, refused};
use piton_core::RunId;
use piton_core::ids::{Actor, EngineId};
use piton_core::ports::StoreErrorKind::{Unavailable, Unknown};
use piton_core::ports::{NewRun, RunSummary};
use rusqlite::{Connection, OptionalExtension, Row, params};

/// Candidates shown for an ambiguous name.
const SHOWN: usize = 8;

/// Status of a run to which no engine has appended yet.
const NEW: &str = "new";

/// A run with the hour of its last record, which is its head's. `head` is found by its key, in one look-up a run.
const SUMMARY: &str = "SELECT r.id, r.title, r.created_us, r.status, r.actor, r.holder, h.key, h.wall_us, r.parent, \
    r.rehearsal FROM runs r \
    LEFT JOIN records h ON h.key = (SELECT key FROM records \
    WHERE key > r.number << 32 AND key < (r.number + 1) << 32 ORDER BY key DESC LIMIT 1)";

pub(crate) fn create(connection: &Connection, run: &NewRun) -> Result<(), Fault> {
    let taken = connection
        .prepare_cached("SELECT 1 FROM runs WHERE id = ?1")?
        .query_row([run.id.as_str()], |_| Ok(()))
        .optional()?;
    if taken.is_some() {
        return Err(refused(Unavailable, format!("there is a run {} already", run.id)).into());
    }
    connection
        .prepare_cached(
            "INSERT INTO runs (id, title, created_us, actor, status, parent, rehearsal) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute(params![
            run.id.as_str(),
            run.title,
            run.created_at_us,
            to_json(&run.by)?,
            NEW,
            run.parent.as_ref().map(RunId::as_str),
                run.rehearsal.map(|how| how.to_string())
        ])?;
    snapshot::insert(connection, connection.last_insert_rowid(), &run.sources)
}

pub(crate) fn list(connection: &Connection) -> Result<Vec<RunSummary>, Fault> {
    let mut select = connection.prepare_cached(&format!("{SUMMARY} ORDER BY r.number DESC"))?;
    let runs = select.query_map([], summary)?;
    Ok(runs.collect::<Result<_, _>>()?)
}

/// Runs come by the ten thousand: only those that are wanted are looked up in the journal.
pub(crate) fn list_of(
    connection: &Connection,
    title: &str,
    statuses: &[&str],
    limit: usize,
) -> Result<Vec<RunSummary>, Fault> {
    let sql = format!(
        "{SUMMARY} WHERE r.title = ?1 AND r.status IN (SELECT value FROM json_each(?2)) ORDER BY r.number DESC LIMIT ?3"
    );
    let mut select = connection.prepare_cached(&sql)?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let runs = select.query_map(params![title, to_json(&statuses)?, limit], summary)?;
    Ok(runs.collect::<Result<_, _>>()?)
}

pub(crate) fn find(connection: &Connection, name: &str) -> Result<RunSummary, Fault> {
    if name == "@last" {
        return connection
            .prepare_cached(&format!("{SUMMARY} WHERE r.parent IS NULL ORDER BY r.number DESC LIMIT 1"))?
            .query_row([], summary)
            .optional()?
            .ok_or_else(|| refused(Unknown, "there is no run yet; `piton run FILE` starts one").into());
    }
    // Ids are lower case; a person may have read one aloud.
    let prefix = name.to_ascii_lowercase();
    let plausible = !prefix.is_empty() && prefix.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let mut found = if plausible { by_prefix(connection, &prefix)? } else { Vec::new() };
    match (found.pop(), found.is_empty()) {
        (Some(run), true) => Ok(run),
        (None, _) => Err(refused(Unknown, format!("no run is named \"{name}\"; `piton runs` lists them")).into()),
        (Some(last), false) => {
            found.push(last);
            Err(refused(Unknown, ambiguous(name, &found)).into())
        }
    }
}

/// Runs whose ids begin so, at most one more than are shown.
fn by_prefix(connection: &Connection, prefix: &str) -> Result<Vec<RunSummary>, Fault> {
    // `{` is the character after `z`.
    let sql = format!("{SUMMARY} WHERE r.id >= ?1 AND r.id < ?1 || '{{' ORDER BY r.id LIMIT ?2");
    let mut select = connection.prepare_cached(&sql)?;
    let runs = select.query_map(params![prefix, SHOWN as i64 + 1], summary)?;
    Ok(runs.collect::<Result<_, _>>()?)
}

fn ambiguous(name: &str, found: &[RunSummary]) -> String {
    let shown: Vec<String> = found.iter().take(SHOWN).map(|run| format!("{} ({})", run.id, run.title)).collect();
    let more = if found.len() > SHOWN { " and more" } else { "" };
    format!("several runs begin with \"{name}\": {}{more}; give more of the id", shown.join(", "))
}

/// A column that holds a run's id.
pub(crate) fn id(row: &Row<'_>, index: usize) -> rusqlite::Result<RunId> {
    let id: String = row.get(index)?;
    RunId::parse(&id).ok_or_else(|| json_error(index, format!("\"{id}\" is not a run's id")))
}

fn summary(row: &Row<'_>) -> rusqlite::Result<RunSummary> {
    let created_at_us = row.get(2)?;
    let holder: Option<EngineId> = if row.get_ref(5)?.as_str_or_null()?.is_some() { Some(json(row, 5)?) } else { None };
    let head: Option<i64> = row.get(6)?;
    let parent = if row.get_ref(8)?.as_str_or_null()?.is_some() { Some(id(row, 8)?) } else { None };
    Ok(RunSummary {
        id: id(row, 0)?,
        title: row.get(1)?,
        created_at_us,
        updated_at_us: row.get::<_, Option<i64>>(7)?.unwrap_or(created_at_us),
        status: row.get(3)?,
        by: json::<Actor>(row, 4)?,
        parent,
        head_seq: head.map_or(0, seq_of),
        held_by: holder,
        rehearsal: row.get_ref(9)?.as_str_or_null()?.and_then(|how| serde_json::from_value(how.into()).ok()),
    })
}

/// The store's identity, made with the database.
pub(crate) fn identity(connection: &Connection) -> Result<piton_core::Digest, Fault> {
    Ok(connection.query_row("SELECT value FROM meta WHERE key = 'identity'", [], |row| digest(row, 0))?)
}
