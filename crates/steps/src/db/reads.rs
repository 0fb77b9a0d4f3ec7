//! What `query` may send: statements that only read, per database.
//!
//! Owns the lists, which are lists of what is let through: whatever nobody thought of is refused. Never the only guard:
//! the server's session is read-only as well; but no session refuses a file written, or a setting changed for everybody.

use super::lexer::{Dialect, Statement, Token};

/// Pragmas of SQLite that tell of what their argument names.
const PRAGMAS_ABOUT: [&str; 14] = [
    "table_info",
    "table_xinfo",
    "table_list",
    "index_list",
    "index_info",
    "index_xinfo",
    "foreign_key_list",
    "foreign_key_check",
    "integrity_check",
    "quick_check",
    "database_list",
    "collation_list",
    "function_list",
    "compile_options",
];

/// Pragmas of SQLite that tell a value, and would set it if they were given one.
const PRAGMAS_OF: [&str; 16] = [
    "application_id",
    "auto_vacuum",
    "busy_timeout",
    "cache_size",
    "data_version",
    "encoding",
    "foreign_keys",
    "freelist_count",
    "journal_mode",
    "max_page_count",
    "page_count",
    "page_size",
    "query_only",
    "schema_version",
    "synchronous",
    "user_version",
];

/// Whether `query` may send it; else why not.
pub(crate) fn reads(dialect: Dialect, statement: &Statement) -> Result<(), String> {
    let (first, second) = (statement.word(0), statement.word(1));
    let known = match (dialect, first.as_str()) {
        (_, "select" | "with" | "values") => return rows(dialect, statement),
        (Dialect::MySql | Dialect::Postgres, "table") => return rows(dialect, statement),
        // It plans what follows, whatever it is; but with ANALYZE it also runs it. SQLite's never does.
        (Dialect::Sqlite, "explain") => true,
        (Dialect::MySql, "explain" | "describe" | "desc") | (Dialect::Postgres, "explain") => {
            return if statement.has_word("analyze") { explained(dialect, statement) } else { Ok(()) };
        }
        (Dialect::MySql, "analyze") if second != "table" && second != "local" => return explained(dialect, statement),
        (Dialect::MySql | Dialect::Postgres, "show") => true,
        (Dialect::MySql, "help") => true,
        (Dialect::MySql, "checksum") => second == "table" || second == "tables",
        (Dialect::MySql, "xa") => second == "recover",
        (Dialect::Sqlite, "pragma") => reads_pragma(statement),
        _ => false,
    };
    if known {
        return Ok(());
    }
    let said = if first.is_empty() { "this".to_owned() } else { format!("{first} {second}").trim().to_uppercase() };
    Err(format!("a query only reads, and {said} may do more"))
}

/// A statement that gives rows, and nothing in it writes or locks them.
fn rows(dialect: Dialect, statement: &Statement) -> Result<(), String> {
    let words: Vec<String> = statement.words().collect();
    let pair = |a: &str, b: &[&str]| words.windows(2).any(|pair| pair[0] == a && b.contains(&pair[1].as_str()));
    let found = if words.iter().any(|word| word == "into") {
        // A file, a table, a variable; and whatever INSERT, REPLACE or MERGE stands before it.
        "INTO writes"
    } else if pair("for", &["update", "share"]) || pair("key", &["update", "share"]) {
        "FOR UPDATE or SHARE locks rows"
    } else if pair("share", &["mode"]) {
        "LOCK IN SHARE MODE locks rows"
    } else if pair("delete", &["from"]) {
        "DELETE writes"
    } else if words.iter().any(|word| word == "update") && words.iter().any(|word| word == "set") {
        "UPDATE writes"
    } else if dialect == Dialect::MySql && words.iter().any(|word| word == "delete" || word == "update") {
        // Reserved there, so it is no column's name.
        "DELETE or UPDATE writes"
    } else if words.iter().any(|word| word == "nextval" || word == "setval") || pair("next", &["value"]) {
        "NEXTVAL and SETVAL move a sequence on"
    } else {
        return Ok(());
    };
    Err(format!("a query only reads, and {found}"))
}

/// What EXPLAIN ANALYZE runs, which is after all of its own words.
fn explained(dialect: Dialect, statement: &Statement) -> Result<(), String> {
    const VERBS: [&str; 12] = [
        "select", "with", "values", "table", "insert", "update", "delete", "replace", "merge", "create", "execute",
        "declare",
    ];
    let verb = statement.words().find(|word| VERBS.contains(&word.as_str()));
    match verb.as_deref() {
        Some("select" | "with" | "values" | "table") => rows(dialect, statement),
        verb => {
            let verb = verb.unwrap_or("what it explains").to_uppercase();
            Err(format!("a query only reads, and ANALYZE performs {verb}"))
        }
    }
}

fn reads_pragma(statement: &Statement) -> bool {
    // A schema's name may stand before it: `pragma main.user_version`.
    let bare = statement.tokens.iter().position(|token| *token == Token::Symbol('.')).map_or(1, |dot| dot + 1);
    let Some(Token::Word(name)) = statement.tokens.get(bare) else { return false };
    let name = name.to_ascii_lowercase();
    let alone = statement.tokens.len() == bare + 1;
    PRAGMAS_ABOUT.contains(&name.as_str()) || (alone && PRAGMAS_OF.contains(&name.as_str()))
}

#[cfg(test)]
mod tests {
    use super::super::lexer::split;
    use super::*;
    use Dialect::{MySql, Postgres, Sqlite};

    const ALL: &[Dialect] = &[MySql, Postgres, Sqlite];

    /// Statement, who lets it through; all others refuse it.
    const READS: &[(&str, &[Dialect])] = &[
        ("select 1", ALL),
        ("(select 1)", ALL),
        ("values (1), (2)", ALL),
        ("with a as (select 1) select * from a", ALL),
        ("select 'into', 'for update', 'delete from t' -- into outfile", ALL),
        ("select \"into\" from t", ALL),
        ("select replace(a, 'x', 'y') from t", ALL),
        ("table t", &[MySql, Postgres]),
        ("show slave status", &[MySql, Postgres]),
        ("show create table t", &[MySql, Postgres]),
        ("describe t", &[MySql]),
        ("desc t", &[MySql]),
        ("explain select 1", ALL),
        ("explain delete from t", ALL),
        ("explain query plan delete from t", ALL),
        ("explain format=json update t set a = 1", ALL),
        ("explain (analyze, buffers) select 1", ALL),
        ("explain analyze with a as (select 1) select * from a", ALL),
        ("analyze select 1", &[MySql]),
        ("analyze format=json select 1", &[MySql]),
        ("checksum table t", &[MySql]),
        ("xa recover", &[MySql]),
        ("xa recover convert xid", &[MySql]),
        ("help 'select'", &[MySql]),
        ("pragma user_version", &[Sqlite]),
        ("pragma main.user_version", &[Sqlite]),
        ("pragma table_info(t)", &[Sqlite]),
        ("pragma integrity_check(10)", &[Sqlite]),
    ];

    /// What nobody lets through.
    const WRITES: &[&str] = &[
        "delete from t",
        "insert into t values (1)",
        "replace into t values (1)",
        "select 1 into outfile '/tmp/x'",
        "select 1 into dumpfile '/tmp/x'",
        "select 1 /*!80000 into outfile '/tmp/x' */ into t",
        "select a into x from t",
        "table t into outfile '/tmp/x'",
        "select nextval(s)",
        "select next value for s",
        "select * from t for update",
        "select * from t for update skip locked",
        "select * from t for share",
        "select * from t for no key update",
        "select * from t for key share",
        "select * from t lock in share mode",
        "with gone as (delete from t returning 1) select * from gone",
        "with new as (insert into t values (1) returning 1) select * from new",
        "with new as (update t set a = 1 returning 1) select * from new",
        "with a as (select 1) delete from t",
        "with a as (select 1) update t set a = 2",
        "analyze table t",
        "analyze local table t",
        "analyze update t set a = 1",
        "analyze format=json update t set a = 1",
        "analyze format=json delete from t",
        "analyze",
        "set global x = 1",
        "set x = 1",
        "call p()",
        "do release_lock('x')",
        "handler t open",
        "kill 7",
        "checksum",
        "xa start 'x'",
        "xa commit 'x'",
        "xa",
        "check table t",
        "use other",
        "attach 'x' as y",
        "copy t to stdout",
        "vacuum",
        "pragma user_version = 7",
        "pragma user_version(7)",
        "pragma main.user_version = 7",
        "pragma journal_mode = wal",
        "pragma wal_checkpoint",
        "pragma optimize",
        "pragma query_only = off",
        "pragma",
        "begin",
        "'x'",
    ];

    /// What only some would perform, and do not: EXPLAIN ANALYZE runs what it explains.
    const PERFORMED: &[(&str, &[Dialect])] = &[
        ("explain analyze delete from t", &[MySql, Postgres]),
        ("explain (analyze, buffers) insert into t values (1)", &[MySql, Postgres]),
        ("explain analyze create table x as select 1", &[MySql, Postgres]),
        ("explain analyze execute writes", &[MySql, Postgres]),
        ("explain analyze with a as (delete from t returning 1) select 1", &[MySql, Postgres]),
        ("/*! delete from t */", &[MySql]),
        ("select 1 /*! into outfile '/tmp/x' */", &[MySql]),
    ];

    fn said(dialect: Dialect, text: &str) -> Result<(), String> {
        reads(dialect, &split(dialect, text).unwrap().remove(0))
    }

    #[test]
    fn a_query_lets_through_what_reads_and_nothing_else() {
        for (text, dialects) in READS {
            for dialect in ALL {
                assert_eq!(said(*dialect, text).is_ok(), dialects.contains(dialect), "{dialect:?}: {text}");
            }
        }
        for text in WRITES {
            for dialect in ALL {
                assert!(said(*dialect, text).is_err(), "{dialect:?}: {text}");
            }
        }
        for (text, dialects) in PERFORMED {
            for dialect in *dialects {
                assert!(said(*dialect, text).is_err(), "{dialect:?}: {text}");
            }
        }
    }

    #[test]
    fn a_refusal_names_what_writes() {
        for (text, why) in [
            ("kill 7", "a query only reads, and KILL 7 may do more"),
            ("select 1 into outfile 'x'", "a query only reads, and INTO writes"),
            ("explain analyze delete from t", "a query only reads, and ANALYZE performs DELETE"),
            ("select * from t for update", "a query only reads, and FOR UPDATE or SHARE locks rows"),
        ] {
            assert_eq!(said(MySql, text), Err(why.to_owned()));
        }
    }
}
