//! What a MySQL transaction really holds: all of a statement's changes, or not.
//!
//! Owns the rules: which statements commit on their own, and which tables no transaction covers. Where it cannot be
//! told, the answer is no: `once` and "perform again after a crash" stand on it.
//!
//! Known gaps, said in the guide: stored functions that write to non-transactional tables, and triggers that this
//! account may not see. A rollback that leaves something behind is noticed by its warning 1196 all the same.

use super::super::lexer::{Dialect, Statement, Token, split};
use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use std::collections::BTreeSet;

/// More look-ups than this, and we say that it cannot be told.
const MAX_LOOKUPS: usize = 256;

/// Why the statements are not all held, if they are not.
pub(super) async fn held(conn: &mut Conn, statements: &[Statement]) -> mysql_async::Result<Result<(), String>> {
    for statement in statements {
        match targets(statement) {
            Err(why) => return Ok(Err(why)),
            Ok(None) => {}
            Ok(Some(names)) => {
                if let Err(why) = transactional(conn, &names).await? {
                    return Ok(Err(why));
                }
            }
        }
    }
    Ok(Ok(()))
}

/// The names among which the tables are that a statement writes; `None`: it writes none. An error says why no
/// transaction holds it.
fn targets(statement: &Statement) -> Result<Option<BTreeSet<String>>, String> {
    let first = statement.word(0);
    let tokens = statement.tokens.as_slice();
    match first.as_str() {
        "insert" | "replace" if statement.has_word("delayed") => Err("a delayed insert is written later".to_owned()),
        "insert" | "replace" => Ok(Some(first_name(tokens))),
        "update" => Ok(Some(names(until(tokens, &["set"])))),
        "delete" => Ok(Some(names(until(tokens, &["where", "order", "limit", "returning"])))),
        "load" if statement.word(1) == "data" && !statement.has_word("local") => {
            let into = tokens.iter().position(|token| is_word(token, "table")).unwrap_or(0);
            Ok(Some(first_name(&tokens[into..])))
        }
        "with" => Ok(Some(names(tokens))),
        "select" | "values" | "table" if statement.has_word("outfile") || statement.has_word("dumpfile") => {
            Err("a file is outside any transaction".to_owned())
        }
        "select" | "values" | "table" | "do" | "savepoint" | "release" | "rollback" => Ok(None),
        // MariaDB's `SET STATEMENT ... FOR ...`: what follows may commit by itself.
        "set" if statement.word(1) == "statement" => Err("what SET STATEMENT ... FOR does cannot be told".to_owned()),
        "set" => {
            let outside = ["autocommit", "global", "persist", "persist_only", "password", "role", "default"];
            match outside.iter().find(|word| statement.has_word(word)) {
                Some(word) => Err(format!("SET {} takes effect at once", word.to_uppercase())),
                None => Ok(None),
            }
        }
        "call" => Err("a procedure may commit, and what it writes cannot be told".to_owned()),
        "" => Err("what it does cannot be told".to_owned()),
        _ => {
            let second = statement.word(1);
            let said = format!("{} {}", first.to_uppercase(), second.to_uppercase());
            Err(format!("the server commits on its own with {}", said.trim()))
        }
    }
}

fn is_word(token: &Token, word: &str) -> bool {
    matches!(token, Token::Word(own) if own.eq_ignore_ascii_case(word))
}

fn until<'a>(tokens: &'a [Token], words: &[&str]) -> &'a [Token] {
    let end = tokens.iter().position(|token| words.iter().any(|word| is_word(token, word)));
    &tokens[..end.unwrap_or(tokens.len())]
}

/// The name behind the verb and its modifiers, with its schema where it has one.
fn first_name(tokens: &[Token]) -> BTreeSet<String> {
    let skipped =
        ["insert", "replace", "into", "ignore", "low_priority", "high_priority", "concurrent", "table", "data"];
    let start = tokens.iter().position(|token| match token {
        Token::Word(word) => !skipped.iter().any(|skipped| word.eq_ignore_ascii_case(skipped)),
        Token::Name(_) => true,
        _ => false,
    });
    let rest = &tokens[start.unwrap_or(tokens.len())..];
    let qualified = matches!(rest.get(1), Some(Token::Symbol('.')));
    names(&rest[..rest.len().min(if qualified { 3 } else { 1 })])
}

fn names(tokens: &[Token]) -> BTreeSet<String> {
    let name = |token: &Token| match token {
        Token::Word(name) | Token::Name(name) => Some(name.clone()),
        _ => None,
    };
    tokens.iter().filter_map(name).collect()
}

/// Whether every table among these names, and every table that their triggers name, is transactional.
async fn transactional(conn: &mut Conn, names: &BTreeSet<String>) -> mysql_async::Result<Result<(), String>> {
    let database: Option<Option<String>> = conn.query_first("select database()").await?;
    let mut schemas: BTreeSet<String> = database.flatten().into_iter().collect();
    // `schema.table`: the schema is one of the names too.
    schemas.extend(names.iter().cloned());
    let mut also = BTreeSet::new();
    let mut found = false;
    match tables(conn, &schemas, names).await? {
        Err(why) => return Ok(Err(why)),
        Ok(kinds) => {
            for (schema, table, kind) in kinds {
                if let Some(why) = kind {
                    return Ok(Err(why));
                }
                found = true;
                also.extend(named_by_triggers(conn, &schema, &table).await?);
                schemas.insert(schema);
            }
        }
    }
    if !found {
        let names = names.iter().cloned().collect::<Vec<_>>().join(", ");
        return Ok(Err(format!("no table was found that it writes to (looked for: {names})")));
    }
    let also: BTreeSet<String> = also.difference(names).cloned().collect();
    Ok(tables(conn, &schemas, &also).await?.and_then(|kinds| match kinds.into_iter().find_map(|(.., why)| why) {
        Some(why) => Err(format!("a trigger names it: {why}")),
        None => Ok(()),
    }))
}

type Kinds = Vec<(String, String, Option<String>)>;

/// The tables that exist among the names: schema, table, and why it is not transactional.
async fn tables(
    conn: &mut Conn,
    schemas: &BTreeSet<String>,
    names: &BTreeSet<String>,
) -> mysql_async::Result<Result<Kinds, String>> {
    if schemas.len() * names.len() > MAX_LOOKUPS {
        return Ok(Err("it names too many tables to tell".to_owned()));
    }
    if names.is_empty() {
        return Ok(Ok(Vec::new()));
    }
    // One look-up per name: with both names given the server opens one table, not all of them.
    let lookup = conn
        .prep(
            "select t.table_type, t.engine, e.transactions from information_schema.tables t \
             left join information_schema.engines e on e.engine = t.engine \
             where t.table_schema = ? and t.table_name = ?",
        )
        .await?;
    let mut kinds = Vec::new();
    for schema in schemas {
        for name in names {
            type Row = (String, Option<String>, Option<String>);
            let Some((kind, engine, transactions)) = conn.exec_first::<Row, _, _>(&lookup, (schema, name)).await?
            else {
                continue;
            };
            let why = match engine {
                _ if kind.contains("VIEW") => Some(format!("{name} is a view, and what it writes cannot be told")),
                Some(_) if transactions.as_deref() == Some("YES") => None,
                Some(engine) => Some(format!("{name} is a table of the engine {engine}, which has no transactions")),
                None => Some(format!("the engine of {name} cannot be told")),
            };
            kinds.push((schema.clone(), name.clone(), why));
        }
    }
    conn.close(lookup).await?;
    Ok(Ok(kinds))
}

async fn named_by_triggers(conn: &mut Conn, schema: &str, table: &str) -> mysql_async::Result<BTreeSet<String>> {
    let bodies: Vec<String> = conn
        .exec(
            "select action_statement from information_schema.triggers \
             where event_object_schema = ? and event_object_table = ?",
            (schema, table),
        )
        .await?;
    let mut all = BTreeSet::new();
    for body in bodies {
        // A body that starts with BEGIN is cut at its semicolons; for its names that makes no difference.
        for statement in split(Dialect::MySql, &body).unwrap_or_default() {
            all.extend(written_names(&statement));
        }
    }
    Ok(all)
}

/// Names behind the verbs that write, so that not every column of a body is looked up.
fn written_names(statement: &Statement) -> BTreeSet<String> {
    let verbs = ["into", "update", "from", "table", "ignore", "replace", "insert"];
    let mut all = BTreeSet::new();
    for (index, token) in statement.tokens.iter().enumerate() {
        if verbs.iter().any(|verb| is_word(token, verb)) {
            all.extend(first_name(&statement.tokens[index + 1..]));
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<Option<Vec<String>>, String> {
        let statement = split(Dialect::MySql, text).unwrap().remove(0);
        Ok(targets(&statement)?.map(|names| names.into_iter().collect()))
    }

    #[test]
    fn the_written_tables_are_found() {
        for (text, expected) in [
            ("insert into t values (1)", vec!["t"]),
            ("INSERT IGNORE INTO `shop`.`t` (a) select b from c", vec!["shop", "t"]),
            ("replace t set a = 1", vec!["t"]),
            ("update a.t as x, b set x.c = 1", vec!["a", "as", "b", "t", "update", "x"]),
            ("delete from t where a in (select b from c)", vec!["delete", "from", "t"]),
            ("load data infile '/x' into table t", vec!["t"]),
        ] {
            assert_eq!(of(text), Ok(Some(expected.into_iter().map(str::to_owned).collect())), "{text}");
        }
        for text in ["select 1", "set @x = 1", "do sleep(0)", "set session sql_mode = ''"] {
            assert_eq!(of(text), Ok(None), "{text}");
        }
    }

    #[test]
    fn what_commits_on_its_own_is_not_held() {
        for text in [
            "create table t (a int)",
            "drop table if exists t",
            "alter table t add b int",
            "truncate t",
            "set global read_only = 1",
            "set statement lock_wait_timeout = 5 for alter table t add c int",
            "set autocommit = 1",
            "set @@global.read_only = 1",
            "set password = 'x'",
            "change master to master_host = 'x'",
            "start slave",
            "stop slave",
            "grant select on *.* to x",
            "lock tables t write",
            "flush tables with read lock",
            "call p()",
            "insert delayed into t values (1)",
            "select 1 into outfile '/tmp/x'",
            "begin not atomic delete from t; end",
            "/*!40101 create table t (a int) */",
        ] {
            assert!(of(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_triggers_body_names_what_it_writes() {
        let statement =
            split(Dialect::MySql, "begin not atomic insert into log.x set a = new.a; update y set b = 1; end");
        let names = written_names(&statement.unwrap()[0]);
        assert_eq!(names.into_iter().collect::<Vec<_>>(), ["log", "x", "y"]);
    }
}
