//! What `sql` refuses, as far as a statement's first words tell: what meddles with the transaction.
//!
//! Owns the lists. Whatever nobody thought of is sent to the server, outside any promise. What `query` lets through
//! stands in `reads`.

use super::lexer::{Dialect, Statement, Token};

/// Statements that `sql` refuses, with the reason: the transaction is its own, and a server is not a client program.
pub(crate) fn refused(dialect: Dialect, statement: &Statement) -> Result<(), String> {
    let (first, second) = (statement.word(0), statement.word(1));
    let controls = match first.as_str() {
        "begin" => second != "not",
        "start" => second == "transaction",
        "commit" | "rollback" => !matches!(second.as_str(), "prepared" | "to"),
        "end" | "abort" => dialect != Dialect::MySql,
        "xa" => dialect == Dialect::MySql,
        "prepare" => second == "transaction",
        "savepoint" | "release" => false,
        "set" => statement.has_word("autocommit") || (second == "transaction" && dialect == Dialect::MySql),
        _ => false,
    };
    if controls {
        return Err(format!(
            "{} is not for a statement to say: sql() makes the transaction itself",
            first.to_uppercase()
        ));
    }
    if first == "delimiter" {
        return Err("DELIMITER is a command of the mysql program; leave it out, bodies are recognised".to_owned());
    }
    let streams = first == "copy" && (statement.has_word("stdin") || statement.has_word("stdout"));
    if streams {
        return Err("COPY through the connection is not for sql(); use psql in sh()".to_owned());
    }
    if matches!(statement.tokens.first(), Some(Token::Symbol('\\'))) {
        return Err("a line that begins with a backslash is a command of a client program, not SQL".to_owned());
    }
    Ok(())
}

/// A lock that only its session holds ends with the step; an author who takes one last believes in it for longer.
pub(crate) fn ends_with_the_step(dialect: Dialect, statements: &[Statement]) -> Result<(), String> {
    let Some(last) = statements.last() else { return Ok(()) };
    let (first, second) = (last.word(0), last.word(1));
    let takes = match (dialect, first.as_str()) {
        (Dialect::MySql, "flush") => last.has_word("lock") || last.has_word("export"),
        (Dialect::MySql, "lock") => matches!(second.as_str(), "table" | "tables" | "instance"),
        (Dialect::MySql, "backup") => second != "stage" || !last.has_word("end"),
        (Dialect::MySql, "select" | "do") => last.has_word("get_lock"),
        (Dialect::Postgres, "lock") => true,
        (Dialect::Postgres, "select") => last.words().any(|word| word.starts_with("pg_advisory_lock")),
        _ => false,
    };
    if takes {
        Err(format!("the lock that {} takes ends with this step's session", first.to_uppercase()))
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::lexer::split;
    use super::*;

    fn one(dialect: Dialect, text: &str) -> Statement {
        split(dialect, text).unwrap().remove(0)
    }

    #[test]
    fn a_lock_taken_last_is_refused() {
        for (dialect, text, fine) in [
            (Dialect::MySql, "flush tables with read lock", false),
            (Dialect::MySql, "lock tables t write", false),
            (Dialect::MySql, "lock tables t write; alter table t add a int; unlock tables", true),
            (Dialect::MySql, "flush tables", true),
            (Dialect::MySql, "backup stage start", false),
            (Dialect::Postgres, "lock table t", false),
            (Dialect::Postgres, "lock table t; delete from t", true),
        ] {
            let statements = split(dialect, text).unwrap();
            assert_eq!(ends_with_the_step(dialect, &statements).is_ok(), fine, "{text}");
        }
    }

    #[test]
    fn the_transaction_is_not_for_a_statement_to_end() {
        for (dialect, text) in [
            (Dialect::MySql, "begin"),
            (Dialect::MySql, "COMMIT"),
            (Dialect::MySql, "rollback"),
            (Dialect::MySql, "start transaction read only"),
            (Dialect::MySql, "xa start 'x'"),
            (Dialect::MySql, "set @@autocommit = 0"),
            (Dialect::MySql, "delimiter //"),
            (Dialect::Postgres, "end"),
            (Dialect::Postgres, "prepare transaction 'x'"),
            (Dialect::Postgres, "copy t from stdin"),
            (Dialect::Postgres, "\\dt"),
            (Dialect::Sqlite, "commit"),
        ] {
            assert!(refused(dialect, &one(dialect, text)).is_err(), "{text}");
        }
        for (dialect, text) in [
            (Dialect::MySql, "begin not atomic select 1; end"),
            (Dialect::MySql, "rollback to here"),
            (Dialect::MySql, "start slave"),
            (Dialect::Postgres, "commit prepared 'x'"),
            (Dialect::Postgres, "insert into t values ('commit')"),
        ] {
            assert_eq!(refused(dialect, &one(dialect, text)), Ok(()), "{text}");
        }
    }
}
