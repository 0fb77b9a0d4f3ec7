//! Checks of one table: each a row in a list, with what is wrong and its remedy.
//!
//! Owns the list, and reading what the servers say about a table beside its shape. Changes nothing on either server.

use std::collections::{BTreeMap, BTreeSet};

use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use super::target::RowLimit;
use crate::config::TableName;
use crate::error::{MoveError, Result, Side};
use crate::row::named;
use crate::schema::{self, Kind, Table};

/// One table on both sides.
pub(super) struct Pair<'a> {
    pub(super) source: &'a Table,
    pub(super) target: &'a Table,
    pub(super) about: &'a About,
}

/// What the servers say about a table beside its shape.
#[derive(Default)]
pub(super) struct About {
    cascades: Vec<String>,
    triggers: Vec<String>,
    /// Of the source.
    source_triggers: Vec<String>,
    /// Full-text and spatial indexes of the source: each with its kind.
    special_indexes: Vec<String>,
    is_mariadb: bool,
    tidb: bool,
    target_rows: bool,
    resumed: bool,
    /// A row that the target would not take.
    large: Option<String>,
    /// Collations of the table's columns that the target does not have, where the table is still to be made there.
    missing: Vec<String>,
}

pub(super) type Check = (&'static str, fn(&Pair<'_>) -> Option<String>, &'static str);

/// Checks of one table: a name, what is wrong if anything, the remedy.
pub(super) const CHECKS: &[Check] = &[
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
    (
        "tidb-type",
        tidb_type,
        "ALTER TABLE ... MODIFY the column on the source to a type that both have (CHAR(36), VARCHAR(45), BLOB)",
    ),
    ("tidb-charset", tidb_charset, "ALTER TABLE ... CONVERT TO CHARACTER SET utf8mb4 on the source"),
    (
        "tidb-triggers",
        |pair| {
            let names = pair.about.source_triggers.join(", ");
            (pair.about.tidb && !names.is_empty()).then(|| format!("TiDB has no triggers, the source has {names}"))
        },
        "have the application do what the triggers do, and drop them on the source",
    ),
    (
        "tidb-index",
        |pair| {
            let names = pair.about.special_indexes.join(", ");
            (pair.about.tidb && !names.is_empty()).then(|| format!("TiDB has no {names}"))
        },
        "have the application search elsewhere, and drop the index on the source",
    ),
    (
        "collation-missing",
        |pair| {
            let missing = &pair.about.missing;
            (!missing.is_empty()).then(|| format!("the target has no collation {}", missing.join(", ")))
        },
        "give the column on the source a collation that both have (TiDB: ascii_bin, latin1_bin, utf8mb4_general_ci and others); \
         or make the table on the target by hand, with one that tells more apart (ending in _bin)",
    ),
    (
        "json-target",
        |pair| {
            let becomes =
                |pair: &(&schema::Column, &schema::Column)| pair.0.kind != Kind::Json && pair.1.kind == Kind::Json;
            let (column, _) = pair.source.all.iter().zip(&pair.target.all).find(becomes)?;
            Some(format!("{} is text on the source; as JSON of the target it would be written otherwise", column.name))
        },
        "make it LONGTEXT on the target",
    ),
    (
        "collation",
        coarser_collation,
        "give the target's column the source's collation, or one that tells more apart (ending in _bin)",
    ),
    ("large-row", |pair| pair.about.large.clone(), "raise the limit on the target, or take the row out of the table"),
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

/// A declared type without the display width of integers and years and the leading zeros, which some servers have given up: they
/// say how a value is shown, not what it is.
fn width(declared: &str) -> String {
    let plain = declared.replace(" zerofill", "");
    match plain.split_once('(') {
        Some((kind, rest)) if kind.ends_with("int") || kind == "year" => {
            format!("{kind}{}", rest.split_once(')').map_or("", |(_, rest)| rest))
        }
        _ => plain,
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

/// TiDB takes the number of a SET for one with a sign.
const MOST_MEMBERS: usize = 64;

/// Whether the target's rule for equal text may take two values of the source's unique keys for one.
fn coarser_collation(pair: &Pair<'_>) -> Option<String> {
    let differ = |place: &&usize| {
        let source = pair.source.column(**place);
        let target = pair.target.all.iter().find(|column| column.name == source.name);
        let (Some(ours), Some(theirs)) = (&source.collation, target.and_then(|target| target.collation.as_ref()))
        else {
            return false;
        };
        let plain = |name: &str| name.replace("utf8mb3_", "utf8_");
        let pads = !(ours.contains("nopad") || ours.contains("_0900_"));
        let finer = theirs.ends_with("_bin") && pads;
        !matches!(source.kind, Kind::Enum | Kind::Set) && plain(ours) != plain(theirs) && !finer
    };
    let column = pair.source.column(*pair.source.keys.iter().flat_map(|key| &key.columns).find(differ)?);
    Some(format!(
        "the target takes values for equal in the unique column {} that {} tells apart",
        column.name,
        column.collation.as_deref().unwrap_or("the source"),
    ))
}

fn tidb_type(pair: &Pair<'_>) -> Option<String> {
    let foreign = |kind: &Kind| matches!(kind, Kind::Uuid | Kind::Inet6 | Kind::Inet4 | Kind::Geometry);
    let whole_set = |column: &&schema::Column| {
        column.kind == Kind::Set && column.declared.matches("','").count() + 1 >= MOST_MEMBERS
    };
    if let Some(column) = pair.source.all.iter().find(whole_set).filter(|_| pair.about.tidb) {
        return Some(format!("TiDB gives the last member of a SET of 64 as another number (column {})", column.name));
    }
    let column = pair.source.all.iter().find(|column| pair.about.tidb && foreign(&column.kind))?;
    Some(format!("TiDB has no type {} (column {})", column.declared, column.name))
}

fn tidb_charset(pair: &Pair<'_>) -> Option<String> {
    const HELD: [&str; 7] = ["ascii", "binary", "gbk", "latin1", "utf8", "utf8mb3", "utf8mb4"];
    let foreign = |charset: &Option<String>| charset.as_deref().is_some_and(|charset| !HELD.contains(&charset));
    let column = pair.source.columns().find(|column| pair.about.tidb && foreign(&column.charset))?;
    let charset = column.charset.as_deref().unwrap_or("");
    Some(format!("TiDB has no character set {charset} (column {})", column.name))
}

/// What holds for all tables.
pub(super) struct General {
    pub(super) is_mariadb: bool,
    pub(super) tidb: bool,
    pub(super) resumed: bool,
    pub(super) row_limit: RowLimit,
}

/// What the servers say about one table.
pub(super) async fn about(
    (source, target): (&mut Conn, &mut Conn),
    (ours, theirs, is_there): (&Table, &Table, bool),
    general: &General,
) -> Result<About> {
    let name = &ours.name;
    Ok(About {
        cascades: cascades(source, name).await?,
        triggers: triggers(target, Side::Target, name).await?,
        source_triggers: if general.tidb { triggers(source, Side::Source, name).await? } else { Vec::new() },
        special_indexes: if general.tidb { special_indexes(source, name).await? } else { Vec::new() },
        target_rows: is_there && !general.resumed && has_rows(target, theirs).await?,
        is_mariadb: general.is_mariadb,
        tidb: general.tidb,
        resumed: general.resumed,
        missing: if is_there { Vec::new() } else { missing_collations(target, ours).await? },
        large: if general.resumed { None } else { large(source, ours, general.row_limit).await? },
    })
}

async fn special_indexes(source: &mut Conn, name: &TableName) -> Result<Vec<String>> {
    source
        .exec(
            "select distinct concat(if(index_type = 'FULLTEXT', 'full-text', 'spatial'), ' index (', index_name, ')')
             from information_schema.statistics
             where table_schema = ? and table_name = ? and index_type in ('FULLTEXT', 'SPATIAL')",
            (&name.schema, &name.name),
        )
        .await
        .map_err(MoveError::server(Side::Source, "read indexes"))
}

async fn missing_collations(target: &mut Conn, table: &Table) -> Result<Vec<String>> {
    let had: Vec<String> = target
        .query("select lower(collation_name) from information_schema.collations")
        .await
        .map_err(MoveError::server(Side::Target, "read its collations"))?;
    let used: BTreeSet<&String> = table.columns().filter_map(|column| column.collation.as_ref()).collect();
    Ok(used.into_iter().filter(|name| !had.contains(&name.to_lowercase())).cloned().collect())
}

/// Looks for a row that the target would not take. Only tables that may hold one are read.
async fn large(source: &mut Conn, table: &Table, limit: RowLimit) -> Result<Option<String>> {
    let long = |column: &&schema::Column| {
        matches!(column.kind, Kind::Json | Kind::Geometry)
            || ["mediumtext", "longtext", "mediumblob", "longblob"].contains(&column.declared.as_str())
    };
    let lengths: Vec<String> =
        table.columns().filter(long).map(|column| format!("IFNULL(LENGTH({}), 0)", named(&column.name))).collect();
    if lengths.is_empty() || table.key().is_empty() || table.form != "BASE TABLE" {
        return Ok(None);
    }
    let (bytes, keys) = (lengths.join(" + "), table.select_keys());
    let sql = format!("SELECT {bytes}, {keys} FROM {} WHERE {bytes} > {} LIMIT 1", table.name.quoted(), limit.bytes);
    let row: Option<mysql_async::Row> =
        source.query_first(sql).await.map_err(MoveError::server(Side::Source, "look for large rows"))?;
    Ok(row.map(crate::row::taken).map(|row| {
        let size = row.values().next().flatten().map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        let places: Vec<usize> = (1..=table.key().len()).collect();
        let (key, size) = (row.pick(&places).shown(), size.unwrap_or_default());
        format!("the row {key} has {size} bytes, larger than {}: {}", limit.bytes, limit.why)
    }))
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

async fn triggers(conn: &mut Conn, side: Side, name: &TableName) -> Result<Vec<String>> {
    conn.exec(
        "select trigger_name from information_schema.triggers
             where event_object_schema = ? and event_object_table = ?",
        (&name.schema, &name.name),
    )
    .await
    .map_err(MoveError::server(side, "read triggers"))
}

async fn has_rows(target: &mut Conn, table: &Table) -> Result<bool> {
    let row: Option<u8> = target
        .query_first(format!("SELECT 1 FROM {} LIMIT 1", table.name.quoted()))
        .await
        .map_err(MoveError::server(Side::Target, "look whether a table is empty"))?;
    Ok(row.is_some())
}
