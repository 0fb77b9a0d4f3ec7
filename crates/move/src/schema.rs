//! What a table looks like: its moved columns, its keys, and how far a key's values tell rows apart.
//!
//! Owns reading a table's shape from `information_schema` and the statements' column lists. Never compares two servers:
//! that is the preflight's.

use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use crate::config::TableName;
use crate::error::{MoveError, Result, Side};
use crate::row::named;

/// What a column's bytes mean.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    Int { unsigned: bool },
    Decimal { precision: usize, scale: usize },
    Float,
    Double,
    Bit { bits: usize },
    Date,
    Time,
    DateTime,
    Timestamp,
    Year,
    Char,
    VarChar,
    Text,
    Binary { length: usize },
    VarBinary,
    Blob,
    Enum,
    Set,
    Json,
    Geometry,
    Uuid,
    Inet6,
    Inet4,
}

/// Whose statements are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Dialect {
    /// MariaDB and MySQL.
    #[default]
    MySql,
    TiDb,
}

/// How the target wants text that is not stored there as on the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Encoding {
    #[default]
    Same,
    /// The same bytes; as a literal, behind this introducer instead of the character set's name, or none.
    Introduced(&'static str),
    /// TiDB's latin1 is UTF-8 by another name.
    Latin1AsUtf8,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    /// As `information_schema` spells the type, to compare both sides and to show.
    pub(crate) declared: String,
    pub(crate) charset: Option<String>,
    pub(crate) collation: Option<String>,
    pub(crate) encoding: Encoding,
    /// Its value follows from others: neither read nor written.
    pub(crate) generated: bool,
}

/// How a unique key's values are told apart when deciding which transactions share one (I3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Equality {
    /// Equal values are equal bytes.
    Bytes,
    /// Printable ASCII is equal but for case and trailing spaces; anything else may be equal to anything.
    Folded,
    /// Nothing is known: every value may be equal to every other.
    Unknown,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UniqueKey {
    pub(crate) name: String,
    /// Places among the moved columns; empty when the key rests on something that is not moved.
    pub(crate) columns: Vec<usize>,
    pub(crate) equality: Vec<Equality>,
}

#[derive(Debug, Clone)]
pub(crate) struct Table {
    pub(crate) name: TableName,
    /// All columns in the server's order, as the log lists them.
    pub(crate) all: Vec<Column>,
    /// Those that are moved: places in `all`.
    pub(crate) moved: Vec<usize>,
    /// The primary key, always the first; its places are among the moved columns.
    pub(crate) keys: Vec<UniqueKey>,
    /// The server's own guess.
    pub(crate) estimated_rows: u64,
    pub(crate) average_row_bytes: u64,
    pub(crate) engine: Option<String>,
    /// `BASE TABLE`, `VIEW`, `SEQUENCE`, `SYSTEM VERSIONED`.
    pub(crate) form: String,
    /// Of the server whose statements name this table.
    pub(crate) dialect: Dialect,
}

impl Table {
    /// The source's table as statements for the target name it.
    pub(crate) fn on_target(&self, dialect: Dialect) -> Self {
        let mut table = Self { dialect, ..self.clone() };
        if dialect == Dialect::TiDb {
            for column in &mut table.all {
                column.encoding = match column.charset.as_deref() {
                    Some("latin1") => Encoding::Latin1AsUtf8,
                    Some("gbk") => Encoding::Introduced(""),
                    Some("utf8mb3") => Encoding::Introduced("_utf8"),
                    _ => Encoding::Same,
                };
            }
        }
        table
    }

    pub(crate) fn columns(&self) -> impl Iterator<Item = &Column> {
        self.moved.iter().map(|place| &self.all[*place])
    }

    pub(crate) fn column(&self, moved: usize) -> &Column {
        &self.all[self.moved[moved]]
    }

    /// Places of the primary key's columns among the moved ones; empty when there is none.
    pub(crate) fn key(&self) -> &[usize] {
        self.keys.first().map_or(&[], |key| &key.columns)
    }

    pub(crate) fn key_columns(&self) -> impl Iterator<Item = &Column> {
        self.key().iter().map(|place| self.column(*place))
    }

    pub(crate) fn key_names(&self) -> String {
        self.key_columns().map(|column| named(&column.name)).collect::<Vec<_>>().join(", ")
    }

    /// Whether the server orders this key by the same rule everywhere, so that a range means the same on both sides.
    pub(crate) fn key_orders_alike(&self) -> bool {
        !self.key_columns().any(|column| matches!(column.kind, Kind::Char | Kind::VarChar | Kind::Text))
    }

    /// What to SELECT so that the text protocol gives each value exactly.
    pub(crate) fn select_list(&self) -> String {
        self.columns().map(Self::expression).collect::<Vec<_>>().join(", ")
    }

    /// The same for the primary key.
    pub(crate) fn select_keys(&self) -> String {
        self.key_columns().map(Self::expression).collect::<Vec<_>>().join(", ")
    }

    pub(crate) fn expression(column: &Column) -> String {
        let name = named(&column.name);
        // The log does not know of leading zeros.
        let zeros = column.declared.contains("zerofill");
        match column.kind {
            Kind::Int { .. } if zeros => format!("CAST({name} AS UNSIGNED)"),
            Kind::Decimal { precision, scale } if zeros => format!("CAST({name} AS DECIMAL({precision},{scale}))"),
            Kind::Double if zeros => format!("CAST({name} AS DOUBLE)"),
            // Text of a FLOAT shows six digits; as DOUBLE it shows all that it takes.
            Kind::Float => format!("CAST({name} AS DOUBLE)"),
            // The number, not the label: labels hide the empty error value, and are case-folded on insertion.
            Kind::Enum | Kind::Set => format!("CAST({name} AS UNSIGNED)"),
            _ => name,
        }
    }

    pub(crate) fn insert_list(&self) -> String {
        self.columns().map(|column| named(&column.name)).collect::<Vec<_>>().join(", ")
    }
}

/// Form, engine, rows, bytes of a row.
type About = (String, Option<String>, Option<u64>, Option<u64>);

/// Reads one table's shape; `None` when there is no such table.
pub(crate) async fn read(conn: &mut Conn, side: Side, name: &TableName) -> Result<Option<Table>> {
    let failed = || MoveError::server(side, "read a table's shape");
    let about: Option<About> = conn
        .exec_first(
            "select table_type, engine, table_rows, avg_row_length from information_schema.tables
             where table_schema = ? and table_name = ?",
            (&name.schema, &name.name),
        )
        .await
        .map_err(failed())?;
    let Some((form, engine, estimated_rows, average_row_bytes)) = about else { return Ok(None) };
    let all = columns(conn, side, name).await?;
    let moved: Vec<usize> = (0..all.len()).filter(|place| !all[*place].generated).collect();
    let keys = keys(conn, side, name, &all, &moved).await?;
    Ok(Some(Table {
        name: name.clone(),
        all,
        moved,
        keys,
        estimated_rows: estimated_rows.unwrap_or(0),
        average_row_bytes: average_row_bytes.unwrap_or(0),
        engine,
        form,
        dialect: Dialect::MySql,
    }))
}

type Described = (String, String, String, Option<String>, Option<String>, Option<String>, Option<u64>, Option<u64>);

async fn columns(conn: &mut Conn, side: Side, name: &TableName) -> Result<Vec<Column>> {
    let described: Vec<Described> = conn
        .exec(
            "select column_name, data_type, column_type, character_set_name, collation_name,
                    nullif(generation_expression, ''), numeric_precision, numeric_scale
             from information_schema.columns where table_schema = ? and table_name = ? order by ordinal_position",
            (&name.schema, &name.name),
        )
        .await
        .map_err(MoveError::server(side, "read a table's columns"))?;
    let column = |(column, data_type, declared, charset, collation, generation, precision, scale): Described| {
        let declared = declared.to_lowercase();
        let number = |value: Option<u64>| usize::try_from(value.unwrap_or(0)).unwrap_or(0);
        let kind = kind(&data_type.to_lowercase(), &declared, number(precision), number(scale)).ok_or_else(|| {
            MoveError::halt(
                format!("column {column} of {name} has the type {declared}, which the mover does not know"),
                "change the column's type, or leave the table out",
            )
        })?;
        let generated = generation.is_some();
        Ok(Column { name: column, kind, declared, charset, collation, encoding: Encoding::Same, generated })
    };
    described.into_iter().map(column).collect()
}

fn kind(data_type: &str, declared: &str, precision: usize, scale: usize) -> Option<Kind> {
    Some(match data_type {
        "tinyint" | "smallint" | "mediumint" | "int" | "bigint" => {
            Kind::Int { unsigned: declared.contains("unsigned") }
        }
        "decimal" => Kind::Decimal { precision, scale },
        "float" => Kind::Float,
        "double" => Kind::Double,
        "bit" => Kind::Bit { bits: precision },
        "date" => Kind::Date,
        "time" => Kind::Time,
        "datetime" => Kind::DateTime,
        "timestamp" => Kind::Timestamp,
        "year" => Kind::Year,
        "char" => Kind::Char,
        "varchar" => Kind::VarChar,
        "tinytext" | "text" | "mediumtext" | "longtext" => Kind::Text,
        "binary" => Kind::Binary { length: declared_length(declared)? },
        "varbinary" => Kind::VarBinary,
        "tinyblob" | "blob" | "mediumblob" | "longblob" => Kind::Blob,
        "enum" => Kind::Enum,
        "set" => Kind::Set,
        "json" => Kind::Json,
        "geometry" | "point" | "linestring" | "polygon" | "multipoint" | "multilinestring" | "multipolygon"
        | "geometrycollection" => Kind::Geometry,
        "uuid" => Kind::Uuid,
        "inet6" => Kind::Inet6,
        "inet4" => Kind::Inet4,
        _ => return None,
    })
}

fn declared_length(declared: &str) -> Option<usize> {
    declared.split(['(', ')']).nth(1)?.parse().ok()
}

async fn keys(
    conn: &mut Conn,
    side: Side,
    name: &TableName,
    all: &[Column],
    moved: &[usize],
) -> Result<Vec<UniqueKey>> {
    let parts: Vec<(String, Option<String>, Option<u64>)> = conn
        .exec(
            "select index_name, column_name, sub_part from information_schema.statistics
             where table_schema = ? and table_name = ? and non_unique = 0
             order by index_name <> 'PRIMARY', index_name, seq_in_index",
            (&name.schema, &name.name),
        )
        .await
        .map_err(MoveError::server(side, "read a table's keys"))?;
    let mut keys: Vec<UniqueKey> = Vec::new();
    let mut partial = Vec::new();
    for (index, column, prefix) in parts {
        if keys.last().is_none_or(|key| key.name != index) {
            keys.push(UniqueKey { name: index, columns: Vec::new(), equality: Vec::new() });
            partial.push(false);
        }
        let place = column.and_then(|column| moved.iter().position(|place| all[*place].name == column));
        let (Some(key), Some(partial)) = (keys.last_mut(), partial.last_mut()) else { continue };
        match (place, prefix) {
            (Some(place), None) => {
                key.columns.push(place);
                key.equality.push(equality(&all[moved[place]]));
            }
            _ => *partial = true,
        }
    }
    for (key, partial) in keys.iter_mut().zip(partial) {
        if partial {
            key.columns.clear();
            key.equality.clear();
        }
    }
    // Without a primary key the first place stays empty, and the preflight refuses the table.
    if keys.first().is_none_or(|key| key.name != "PRIMARY") {
        keys.insert(0, UniqueKey { name: "PRIMARY".to_owned(), columns: Vec::new(), equality: Vec::new() });
    }
    Ok(keys)
}

/// Collations whose printable ASCII differs by case and trailing spaces only. Others (Hungarian, Danish and so on have
/// contractions; Roman takes U for V) are not looked into.
fn equality(column: &Column) -> Equality {
    const PLAIN: &[&str] = &["_general_ci", "_general_nopad_ci", "_unicode_ci", "_unicode_nopad_ci", "_0900_ai_ci"];
    match column.kind {
        Kind::Char | Kind::VarChar | Kind::Text => {
            let collation = column.collation.as_deref().unwrap_or("");
            let root = collation.contains("uca1400_ai_ci") || collation.contains("uca1400_as_c");
            let multibyte_order = ["ucs2", "utf16", "utf32"].iter().any(|wide| collation.starts_with(wide));
            if multibyte_order {
                Equality::Unknown
            } else if collation.ends_with("_bin")
                || root
                || collation == "latin1_swedish_ci"
                || PLAIN.iter().any(|plain| collation.ends_with(plain))
            {
                Equality::Folded
            } else {
                Equality::Unknown
            }
        }
        Kind::Float | Kind::Double | Kind::Json | Kind::Geometry => Equality::Unknown,
        _ => Equality::Bytes,
    }
}
