//! Playing cases on a stage of two servers.
//!
//! Owns the steps of a case and the comparison at its end, which shares nothing with the mover. Never retries.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::StreamExt;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts, Value};
use piton_move::{Config, Limits, MoveError, Mover, Phase, TableName};
use piton_testkit::SetupError;
use piton_testkit::mariadb::MariaDb;
use piton_testkit::tidb::TiDb;

use crate::case::{Case, Verdict};
use crate::support;

/// Cases that are played at the same time.
const TOGETHER: usize = 4;
/// A case that takes longer hangs, even on a crowded machine.
const LIMIT: Duration = Duration::from_secs(300);
/// The mode of a service that stores what it likes, so that there is something to move.
const MODE: &str = "set names utf8mb4, time_zone = '+00:00', sql_mode = 'NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES';";

pub(crate) enum Target {
    MariaDb(MariaDb),
    TiDb(TiDb),
}

impl Target {
    fn sql(&self, statements: &str) -> Result<String, SetupError> {
        match self {
            Self::MariaDb(server) => server.sql(statements),
            Self::TiDb(server) => server.sql(statements),
        }
    }

    fn url(&self, schema: &str) -> String {
        match self {
            Self::MariaDb(server) => server.url(schema),
            Self::TiDb(server) => server.url(schema),
        }
    }

    fn is_tidb(&self) -> bool {
        matches!(self, Self::TiDb(_))
    }
}

pub(crate) struct Stage {
    pub(crate) source: MariaDb,
    pub(crate) target: Target,
}

/// Plays all cases; what is wrong, a line for each. Those that halt come last and alone: what they do on the source
/// halts every mover that reads it.
pub(crate) async fn all(stage: &Stage, cases: Vec<Case>) -> String {
    let halts = |case: &Case| matches!(case.verdict(stage.target.is_tidb()), Verdict::Halted(_));
    let (alone, together): (Vec<Case>, Vec<Case>) = cases.into_iter().partition(halts);
    let play = |case: Case| async move {
        match tokio::time::timeout(LIMIT, one(stage, &case)).await {
            Ok(Ok(())) => String::new(),
            Ok(Err(wrong)) => format!("{}: {wrong}\n", case.name),
            Err(_) => format!("{}: it hangs\n", case.name),
        }
    };
    let mut wrong: Vec<String> =
        futures_util::stream::iter(together).map(play).buffer_unordered(TOGETHER).collect().await;
    for case in alone {
        wrong.push(play(case).await);
    }
    wrong.concat()
}

async fn one(stage: &Stage, case: &Case) -> Result<(), String> {
    let tidb = stage.target.is_tidb();
    let schema = &case.name;
    let on_source = |statements: &str| {
        stage.source.sql(&format!("{MODE} use {schema}; {statements}")).map_err(|error| error.to_string())
    };
    let create = format!("create database {schema};");
    stage.source.sql(&create).map_err(|error| error.to_string())?;
    on_source(&case.schema)?;
    let theirs = case.target_schema(tidb);
    stage.target.sql(&format!("{create} {MODE} use {schema}; {theirs}")).map_err(|error| format!("target: {error}"))?;
    on_source(&case.rows)?;
    let ended = moved(stage, case, &on_source).await?;
    match (case.verdict(tidb), ended) {
        (Verdict::Equal, Ok(())) => compared(stage, case).await,
        (Verdict::Refused(words), Err(MoveError::Refused(refusals))) => {
            let said = refusals.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
            said.contains(words).then_some(()).ok_or(format!("refused, but with the words: {said}"))
        }
        (Verdict::Halted(words), Err(error @ MoveError::Halted(_))) => {
            error.to_string().contains(words).then_some(()).ok_or(format!("halted, but with the words: {error}"))
        }
        (_, Ok(())) => Err("it was moved".to_owned()),
        (_, Err(error)) => Err(format!("it ended so: {error} {error:?}")),
    }
}

/// Moves, with the case's changes made while the copy stands between chunks. The outer error is the case's own.
async fn moved(
    stage: &Stage,
    case: &Case,
    on_source: &impl Fn(&str) -> Result<String, String>,
) -> Result<Result<(), MoveError>, String> {
    let mut mover = match Mover::start(config(stage, case)).await {
        Ok(mover) => mover,
        Err(error) => return Ok(Err(error)),
    };
    let ended = changed(&mut mover, case, on_source).await;
    mover.stop().await;
    match ended {
        Ok(()) => Ok(Ok(())),
        Err(Ended::Move(error)) => Ok(Err(error)),
        Err(Ended::Case(wrong)) => Err(wrong),
    }
}

/// Why a case did not come to its end.
enum Ended {
    Move(MoveError),
    Case(String),
}

impl From<MoveError> for Ended {
    fn from(error: MoveError) -> Self {
        Self::Move(error)
    }
}

impl From<String> for Ended {
    fn from(wrong: String) -> Self {
        Self::Case(wrong)
    }
}

async fn changed(
    mover: &mut Mover,
    case: &Case,
    on_source: &impl Fn(&str) -> Result<String, String>,
) -> Result<(), Ended> {
    let must = |holds: bool, else_: &str| if holds { Ok(()) } else { Err(Ended::Case(else_.to_owned())) };
    must(!case.while_copying.is_empty(), "nothing changes while it is copied")?;
    for changes in &case.while_copying {
        let standing = mover.wait_standing().await?;
        must(standing && mover.look().phase == Phase::Copying, "the copy ended before all changes were made")?;
        on_source(changes)?;
        mover.allow_chunks(1);
    }
    mover.allow_chunks(u64::MAX);
    mover.wait_copied().await?;
    if !case.afterwards.trim().is_empty() {
        on_source(&case.afterwards)?;
    }
    let end = mover.source_position().await?;
    mover.wait_applied(&end).await?;
    let verified = mover.verify().await?;
    must(verified.rows > 0 && verified.is_equal(), &format!("{verified:?}"))?;
    must(mover.look().applied_changes > 0, "no change came by the log")
}

fn config(stage: &Stage, case: &Case) -> Config {
    let mut limits = Limits { lanes: 3, copiers: 2, chunk_rows: 1, chunks: 0, ..Limits::default() };
    for (name, value) in &case.limits {
        match name.as_str() {
            "part_bytes" => limits.part_bytes = *value,
            "chunk_rows" => limits.chunk_rows = *value,
            "split_bytes" => limits.split_bytes = Some(*value),
            _ => panic!("{}: no such limit: {name}", case.name),
        }
    }
    Config {
        name: case.name.clone(),
        source: stage.source.url(""),
        target: stage.target.url(""),
        replicas: Vec::new(),
        tables: case.tables.iter().map(|table| TableName::new(&case.name, table)).collect(),
        server_id: support::next_id(),
        epoch: 1,
        limits,
    }
}

/// Compares by reading both sides whole, as UTF-8, whatever the order; and by the mover's own audit.
async fn compared(stage: &Stage, case: &Case) -> Result<(), String> {
    let urls = (stage.source.url(&case.name), stage.target.url(&case.name));
    for table in &case.tables {
        let mut ours = rows(&urls.0, table).await.map_err(|error| error.to_string())?;
        let theirs = rows(&urls.1, table).await.map_err(|error| error.to_string())?;
        if stage.target.is_tidb() {
            // TiDB knows no negative zero; no comparison in SQL tells it from zero.
            ours = ours.into_iter().map(|(row, count)| (row.replace("(-0.0)", "(0.0)"), count)).collect();
        }
        if ours.is_empty() && table == "t" {
            return Err(format!("{table} is empty: nothing was compared"));
        }
        if ours != theirs {
            return Err(format!("{table} differs\n  source {ours:?}\n  target {theirs:?}"));
        }
    }
    let tables: Vec<_> = case.tables.iter().map(|table| TableName::new(&case.name, table)).collect();
    let audited = piton_move::audit::audit(&urls.0, &urls.1, &tables, None).await.map_err(|error| error.to_string())?;
    let different: Vec<_> = audited.iter().filter_map(|audited| audited.difference.as_ref()).collect();
    if different.is_empty() { Ok(()) } else { Err(format!("the audit says {different:?}")) }
}

/// A value as text; its own form for people leaves out what is long.
fn whole(value: &Option<Value>) -> String {
    match value {
        Some(Value::Bytes(bytes)) => format!("Bytes({:?})", bytes.escape_ascii().to_string()),
        other => format!("{other:?}"),
    }
}

/// Rows as text that tells every two values apart, and how often each stands there.
async fn rows(url: &str, table: &str) -> mysql_async::Result<BTreeMap<String, u64>> {
    let mut conn = Conn::new(Opts::from_url(url)?).await?;
    conn.query_drop("set names utf8mb4, time_zone = '+00:00'").await?;
    let columns: Vec<(String, String)> = conn
        .exec(
            "select column_name, cast(column_type as char) from information_schema.columns
             where table_schema = database() and table_name = ? order by ordinal_position",
            (table,),
        )
        .await?;
    let quoted = |name: &String| format!("`{}`", name.replace('`', "``"));
    // Leading zeros are how a number is shown, and TiDB shows none.
    let column = |(name, kind): &(String, String)| match kind.contains("decimal") && kind.contains("zerofill") {
        true => format!("{} + 0", quoted(name)),
        false => quoted(name),
    };
    let list = columns.iter().map(column).collect::<Vec<_>>().join(", ");
    let rows: Vec<mysql_async::Row> =
        conn.exec(format!("select {list} from {}", quoted(&table.to_owned())), ()).await?;
    let mut counted = BTreeMap::new();
    for row in rows {
        let values: Vec<String> = row.unwrap_raw().iter().map(whole).collect();
        *counted.entry(values.join(", ")).or_insert(0) += 1;
    }
    Ok(counted)
}
