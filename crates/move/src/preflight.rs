//! What is looked at before a move begins: each check a row in a table, with its message and its remedy.
//!
//! Owns the checks. Changes nothing on either server. A move begins only when no check refuses it.

use std::collections::BTreeMap;

use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use crate::config::{Config, TableName};
use crate::error::{MoveError, Result, Side};
use crate::schema::{self, Kind, Table};

/// Why a move cannot begin, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Which check: its name in the tables below.
    pub check: &'static str,
    /// The table concerned, or the server.
    pub subject: String,
    pub what: String,
    pub remedy: &'static str,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}: {} ({}); {}", self.subject, self.what, self.check, self.remedy)
    }
}

/// What the preflight found.
#[derive(Debug, Clone, Default)]
pub struct Preflight {
    pub refusals: Vec<Refusal>,
    /// The source's own guess of the rows to copy.
    pub estimated_rows: u64,
    /// Sessions of the source's users that may still have older settings than those checked: id, user, seconds since
    /// they connected are not known to the server, so all that are connected are listed.
    pub sessions: Vec<String>,
}

/// A setting of the source: its variable, what it must be, what is wrong else, the remedy.
const SETTINGS: &[(&str, &[&str], &str, &str)] = &[
    ("log_bin", &["1", "ON"], "the source writes no log", "start it with log_bin"),
    ("binlog_format", &["ROW"], "changes are not logged as rows", "SET GLOBAL binlog_format = ROW"),
    ("binlog_row_image", &["FULL"], "changes are not logged whole", "SET GLOBAL binlog_row_image = FULL"),
    (
        "binlog_row_metadata",
        &["FULL"],
        "the log does not name columns, so a changed table would not be noticed",
        "SET GLOBAL binlog_row_metadata = FULL",
    ),
    ("log_bin_compress", &["0", "OFF"], "events are compressed", "SET GLOBAL log_bin_compress = OFF"),
    (
        "binlog_transaction_compression",
        &["0", "OFF"],
        "transactions are compressed",
        "SET GLOBAL binlog_transaction_compression = OFF",
    ),
    ("binlog_row_value_options", &[""], "JSON is logged in parts", "SET GLOBAL binlog_row_value_options = ''"),
];

/// One table on both sides.
struct Pair<'a> {
    source: &'a Table,
    target: &'a Table,
    about: &'a About,
}

/// What the servers say about a table beside its shape.
#[derive(Default)]
struct About {
    cascades: Vec<String>,
    triggers: Vec<String>,
    is_mariadb: bool,
    target_rows: bool,
    resumed: bool,
}

type Check = (&'static str, fn(&Pair<'_>) -> Option<String>, &'static str);

/// Checks of one table: a name, what is wrong if anything, the remedy.
const TABLE_CHECKS: &[Check] = &[
    (
        "form",
        |pair| (pair.source.form != "BASE TABLE").then(|| format!("it is a {}", pair.source.form.to_lowercase())),
        "leave it out; views, sequences and system-versioned tables are made anew on the target",
    ),
    (
        "engine",
        |pair| {
            let engine = pair.source.engine.as_deref().unwrap_or("unknown");
            (!engine.eq_ignore_ascii_case("innodb")).then(|| format!("its engine is {engine}"))
        },
        "ALTER TABLE ... ENGINE = InnoDB on the source: only transactions can be followed exactly",
    ),
    (
        "primary-key",
        |pair| pair.source.key().is_empty().then(|| "it has no primary key of whole, stored columns".to_owned()),
        "add a primary key (ALTER TABLE ... ADD PRIMARY KEY), without prefixes and generated columns",
    ),
    (
        "key-type",
        |pair| {
            let inexact = |kind: &Kind| matches!(kind, Kind::Float | Kind::Double | Kind::Json | Kind::Geometry);
            let column = pair.source.key_columns().find(|column| inexact(&column.kind))?;
            Some(format!("its primary key has {} {}", column.name, column.declared))
        },
        "use a key whose values compare exactly",
    ),
    (
        "foreign-keys",
        |pair| {
            let names = &pair.about.cascades;
            (!names.is_empty()).then(|| format!("{} changes rows without the log telling", names.join(", ")))
        },
        "make the foreign key RESTRICT, or have the application delete and update the child rows",
    ),
    (
        "triggers",
        |pair| {
            let names = &pair.about.triggers;
            (!names.is_empty()).then(|| format!("the target has {}", names.join(", ")))
        },
        "create triggers on the target only at the cutover: the log holds what they did on the source",
    ),
    (
        "json",
        |pair| {
            let json = pair.source.columns().find(|column| column.kind == Kind::Json && !pair.about.is_mariadb)?;
            Some(format!("{} is stored in the source's binary JSON", json.name))
        },
        "leave the table out: MySQL's binary JSON is not read yet",
    ),
    ("columns", differing_columns, "make the target's table like the source's"),
    ("unique-keys", differing_keys, "give the target's table the same primary and unique keys"),
    (
        "empty",
        |pair| (pair.about.target_rows && !pair.about.resumed).then(|| "the target's table has rows".to_owned()),
        "empty it, or begin the move under the name it had",
    ),
];

fn differing_columns(pair: &Pair<'_>) -> Option<String> {
    let (ours, theirs) = (&pair.source.all, &pair.target.all);
    if ours.len() != theirs.len() {
        return Some(format!("the source has {} columns, the target {}", ours.len(), theirs.len()));
    }
    let differ = |(one, other): &(&schema::Column, &schema::Column)| {
        let charset = |column: &schema::Column| column.charset.as_deref().map(|name| name.replace("utf8mb3", "utf8"));
        one.name != other.name
            || one.kind != other.kind
            || width(&one.declared) != width(&other.declared)
            || one.generated != other.generated
            || charset(one) != charset(other)
    };
    let (one, other) = ours.iter().zip(theirs).find(differ)?;
    let shown = |column: &schema::Column| {
        let charset = column.charset.as_deref().map(|name| format!(" in {name}")).unwrap_or_default();
        format!("{} {}{charset}", column.name, column.declared)
    };
    Some(format!("{} on the source is {} on the target", shown(one), shown(other)))
}

/// A declared type without the display width of integers, which some servers have given up.
fn width(declared: &str) -> String {
    match declared.split_once('(') {
        Some((kind, rest)) if kind.ends_with("int") => {
            format!("{kind}{}", rest.split_once(')').map_or("", |(_, rest)| rest)).replace(" zerofill", "")
        }
        _ => declared.to_owned(),
    }
}

fn differing_keys(pair: &Pair<'_>) -> Option<String> {
    let places = |table: &Table| -> BTreeMap<Vec<usize>, String> {
        let named = table.keys.iter().filter(|key| !key.columns.is_empty());
        named.map(|key| (key.columns.clone(), key.name.clone())).collect()
    };
    let (ours, theirs) = (places(pair.source), places(pair.target));
    if pair.source.key() != pair.target.key() {
        return Some("the primary keys differ".to_owned());
    }
    let only = |some: &BTreeMap<_, String>, others: &BTreeMap<_, _>| {
        some.iter().find(|(columns, _)| !others.contains_key(*columns)).map(|(_, name)| name.clone())
    };
    let lacks = only(&ours, &theirs).map(|name| format!("the target lacks {name}"));
    lacks.or_else(|| only(&theirs, &ours).map(|name| format!("only the target has {name}")))
}

/// Looks at both servers.
///
/// # Errors
/// When a server cannot be reached or read. What is wrong with the move itself is in the result.
pub async fn preflight(config: &Config) -> std::result::Result<Preflight, MoveError> {
    let mut source = crate::session::open(Side::Source, &config.source).await?;
    let mut target = crate::session::open(Side::Target, &config.target).await?;
    look(config, &mut source, &mut target).await.map(|(found, _)| found)
}

/// The same with open sessions; gives the tables' shapes too.
pub(crate) async fn look(config: &Config, source: &mut Conn, target: &mut Conn) -> Result<(Preflight, Vec<Table>)> {
    let mut found = Preflight::default();
    configuration(config, &mut found);
    let is_mariadb = settings(source, &mut found).await?;
    let resumed = crate::checkpoint::exists(target, config).await?;
    let mut tables = Vec::with_capacity(config.tables.len());
    for name in &config.tables {
        let shapes = (schema::read(source, Side::Source, name).await?, schema::read(target, Side::Target, name).await?);
        let (Some(ours), Some(theirs)) = shapes else {
            found.refusals.push(Refusal {
                check: "exists",
                subject: name.to_string(),
                what: "it is not on both servers".to_owned(),
                remedy: "create it on the target as it is on the source",
            });
            continue;
        };
        let about = About {
            cascades: cascades(source, name).await?,
            triggers: triggers(target, name).await?,
            target_rows: !resumed && has_rows(target, &theirs).await?,
            is_mariadb,
            resumed,
        };
        let pair = Pair { source: &ours, target: &theirs, about: &about };
        let refusal = |(check, look, remedy): &Check| {
            look(&pair).map(|what| Refusal { check, subject: name.to_string(), what, remedy })
        };
        found.refusals.extend(TABLE_CHECKS.iter().filter_map(refusal));
        found.estimated_rows += ours.estimated_rows;
        tables.push(ours);
    }
    found.sessions = sessions(source).await?;
    Ok((found, tables))
}

fn configuration(config: &Config, found: &mut Preflight) {
    let limits = &config.limits;
    let wrong = [
        (config.name.is_empty() || config.name.len() > 64, "the move's name has no or more than 64 bytes"),
        (config.tables.is_empty(), "no table is named"),
        (limits.lanes == 0 || limits.copiers == 0, "there must be at least one lane and one copier"),
        (limits.chunk_rows == 0 || limits.chunk_bytes == 0, "a chunk must hold something"),
        (limits.part_bytes > limits.queue_bytes, "a part must fit into the queue"),
    ];
    for (_, what) in wrong.into_iter().filter(|(wrong, _)| *wrong) {
        let remedy = "change the move's configuration";
        found.refusals.push(Refusal {
            check: "configuration",
            subject: "move".to_owned(),
            what: what.to_owned(),
            remedy,
        });
    }
}

/// Checks the source's settings. Says whether it is MariaDB.
async fn settings(source: &mut Conn, found: &mut Preflight) -> Result<bool> {
    let failed = || MoveError::server(Side::Source, "read its settings");
    for (name, wanted, what, remedy) in SETTINGS {
        let value: Option<(String, String)> =
            source.query_first(format!("SHOW GLOBAL VARIABLES LIKE '{name}'")).await.map_err(failed())?;
        // A server that does not know a setting does not do what it would turn on; those that must be on are known to
        // all.
        let Some((_, value)) = value else { continue };
        if !wanted.iter().any(|wanted| wanted.eq_ignore_ascii_case(&value)) {
            let what = format!("{what} ({name} is {value:?})");
            found.refusals.push(Refusal { check: name, subject: "source".to_owned(), what, remedy });
        }
    }
    let prepared: Vec<mysql_async::Row> = source.query("XA RECOVER").await.map_err(failed())?;
    if !prepared.is_empty() {
        found.refusals.push(Refusal {
            check: "xa",
            subject: "source".to_owned(),
            what: format!("{} XA transactions are prepared", prepared.len()),
            remedy: "commit or roll them back: they are logged before they can be seen",
        });
    }
    let version: Option<String> = source.query_first("SELECT VERSION()").await.map_err(failed())?;
    Ok(version.is_some_and(|version| version.contains("MariaDB")))
}

async fn cascades(source: &mut Conn, name: &TableName) -> Result<Vec<String>> {
    source
        .exec(
            "select constraint_name from information_schema.referential_constraints
             where constraint_schema = ? and table_name = ?
               and (update_rule in ('CASCADE', 'SET NULL') or delete_rule in ('CASCADE', 'SET NULL'))",
            (&name.schema, &name.name),
        )
        .await
        .map_err(MoveError::server(Side::Source, "read foreign keys"))
}

async fn triggers(target: &mut Conn, name: &TableName) -> Result<Vec<String>> {
    target
        .exec(
            "select trigger_name from information_schema.triggers
             where event_object_schema = ? and event_object_table = ?",
            (&name.schema, &name.name),
        )
        .await
        .map_err(MoveError::server(Side::Target, "read triggers"))
}

async fn has_rows(target: &mut Conn, table: &Table) -> Result<bool> {
    let row: Option<u8> = target
        .query_first(format!("SELECT 1 FROM {} LIMIT 1", table.name.quoted()))
        .await
        .map_err(MoveError::server(Side::Target, "look whether a table is empty"))?;
    Ok(row.is_some())
}

async fn sessions(source: &mut Conn) -> Result<Vec<String>> {
    source
        .query(
            "select concat(id, ' ', user, '@', host) from information_schema.processlist
             where id <> connection_id() and user not in ('system user', 'event_scheduler')",
        )
        .await
        .map_err(MoveError::server(Side::Source, "list its sessions"))
}
