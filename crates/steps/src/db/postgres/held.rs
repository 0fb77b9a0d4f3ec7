//! Which statements PostgreSQL does not hold in a transaction: those that refuse one, and those that reach past it.
//!
//! Owns the list (PostgreSQL manual, the "cannot be executed inside a transaction block" notes of each command).

use super::super::lexer::Statement;

/// Functions whose effect a rollback does not take back.
const OUTSIDE: [&str; 12] = [
    "setval",
    "pg_switch_wal",
    "pg_create_physical_replication_slot",
    "pg_create_logical_replication_slot",
    "pg_drop_replication_slot",
    "pg_reload_conf",
    "pg_terminate_backend",
    "pg_cancel_backend",
    "pg_promote",
    "dblink_exec",
    "pg_replication_slot_advance",
    "pg_file_write",
];

/// Why no transaction holds the statement, if none does.
pub(super) fn held(statement: &Statement) -> Result<(), String> {
    let (first, second, third) = (statement.word(0), statement.word(1), statement.word(2));
    let refuses = match (first.as_str(), second.as_str()) {
        ("", _) => return Err("what it does cannot be told".to_owned()),
        ("create" | "drop", "database" | "tablespace" | "subscription") => true,
        ("alter", "system" | "tablespace" | "subscription") => true,
        ("alter", "database") => statement.has_word("tablespace"),
        ("alter", "type") => third.is_empty() || statement.has_word("add"),
        ("create" | "drop" | "reindex" | "alter", _) if statement.has_word("concurrently") => true,
        ("reindex", "database" | "system" | "schema") => true,
        ("cluster", "") => true,
        ("vacuum" | "checkpoint" | "discard" | "load", _) => true,
        ("commit" | "rollback", "prepared") => true,
        ("copy", _) => statement.has_word("program") || statement.has_word("to"),
        ("call" | "do", _) => false,
        _ => false,
    };
    if refuses {
        let said = format!("{} {}", first.to_uppercase(), second.to_uppercase());
        return Err(format!("PostgreSQL runs {} outside of any transaction", said.trim()));
    }
    if let Some(function) = OUTSIDE.iter().find(|function| statement.has_word(function)) {
        return Err(format!("what {function}() does is not taken back by a rollback"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::super::lexer::{Dialect, split};
    use super::*;

    fn of(text: &str) -> Result<(), String> {
        held(&split(Dialect::Postgres, text).unwrap()[0])
    }

    #[test]
    fn definitions_are_held_and_what_refuses_a_block_is_not() {
        for text in [
            "create table t (a int)",
            "drop table t",
            "create index i on t (a)",
            "truncate t",
            "insert into t values (1)",
            "grant select on t to x",
            "do $$ begin perform 1; end $$",
            "alter table t add b int",
        ] {
            assert_eq!(of(text), Ok(()), "{text}");
        }
        for text in [
            "create database d",
            "vacuum full t",
            "create unique index concurrently i on t (a)",
            "alter system set work_mem = '1MB'",
            "alter table p detach partition x concurrently",
            "select setval('s', 1)",
            "alter type e add value 'x'",
            "copy t to '/tmp/x'",
        ] {
            assert!(of(text).is_err(), "{text}");
        }
    }
}
