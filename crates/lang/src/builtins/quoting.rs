//! `ident`, `literal`, `quote`: values inside SQL and shell texts.
//!
//! Owns the quoting rules: SQL identifiers (MySQL's backticks, the standard's double quotes), SQL literals, and words
//! of a POSIX shell.

use super::args::shown;
use crate::error::{AuthorError, author};
use crate::values::{Blob, SecretValue};
use starlark::environment::GlobalsBuilder;
use starlark::starlark_module;
use starlark::values::{Value, ValueLike};
use std::fmt::Write as _;

fn no_secret(value: Value<'_>, builtin: &str) -> Result<(), AuthorError> {
    match value.downcast_ref::<SecretValue>() {
        Some(_) => Err(author(format!("{builtin}(): a secret cannot stand in a text"))
            .help("in SQL pass it with params=, in a shell script with env= and write \"$NAME\"")),
        None => Ok(()),
    }
}

fn quote_ident(name: &str, dialect: &str) -> Result<String, AuthorError> {
    if name.is_empty() || name.contains('\0') {
        return Err(author(format!("{name:?} cannot be the name of a table or column")));
    }
    match dialect {
        "mysql" => Ok(format!("`{}`", name.replace('`', "``"))),
        "postgres" | "sqlite" | "ansi" => Ok(format!("\"{}\"", name.replace('"', "\"\""))),
        other => {
            Err(author(format!("dialect: {other:?} is not known"))
                .help("\"mysql\", \"postgres\", \"sqlite\" or \"ansi\""))
        }
    }
}

/// Backslashes are doubled for MySQL, whose default mode reads them as escapes; other dialects take them as they are.
fn sql_literal(value: Value<'_>, dialect: &str) -> Result<String, AuthorError> {
    let backslash = match dialect {
        "mysql" => "\\\\",
        "postgres" | "sqlite" | "ansi" => "\\",
        other => return Err(author(format!("dialect: {other:?} is not known"))),
    };
    if value.is_none() {
        return Ok("NULL".into());
    }
    if let Some(value) = value.unpack_bool() {
        return Ok(if value { "TRUE" } else { "FALSE" }.into());
    }
    if let Some(text) = value.unpack_str() {
        if text.contains('\0') {
            return Err(author("literal(): a text with a zero byte cannot be written as a literal").help("use params="));
        }
        return Ok(format!("'{}'", text.replace('\\', backslash).replace('\'', "''")));
    }
    if let Some(blob) = value.downcast_ref::<Blob>() {
        let hex = blob.0.iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        });
        return Ok(if dialect == "postgres" { format!("'\\x{hex}'::bytea") } else { format!("x'{hex}'") });
    }
    match value.get_type() {
        "int" => Ok(value.to_str()),
        "float" if value.to_str().bytes().all(|b| b.is_ascii_digit() || b"+-.e".contains(&b)) => Ok(value.to_str()),
        _ => Err(author(format!("literal(): {} cannot be written in SQL", shown(value)))),
    }
}

fn shell_word(text: &str) -> String {
    let safe = |c: char| c.is_ascii_alphanumeric() || "_-./:=@%+,".contains(c);
    if !text.is_empty() && text.chars().all(safe) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[starlark_module]
pub(crate) fn globals(builder: &mut GlobalsBuilder) {
    /// A name of a table or column for SQL, in MySQL's backticks unless `dialect` is "postgres", "sqlite" or "ansi".
    fn ident<'v>(
        #[starlark(require = pos)] name: Value<'v>,
        #[starlark(require = named, default = "mysql")] dialect: &str,
    ) -> starlark::Result<String> {
        no_secret(name, "ident")?;
        let Some(name) = name.unpack_str() else {
            return Err(author(format!("ident(): a name is needed, not {}", shown(name))).raise());
        };
        Ok(quote_ident(name, dialect)?)
    }

    /// A value written as an SQL literal. Where there are parameters, use those instead.
    fn literal<'v>(
        #[starlark(require = pos)] value: Value<'v>,
        #[starlark(require = named, default = "mysql")] dialect: &str,
    ) -> starlark::Result<String> {
        no_secret(value, "literal")?;
        Ok(sql_literal(value, dialect)?)
    }

    /// One word of a POSIX shell.
    fn quote<'v>(#[starlark(require = pos)] value: Value<'v>) -> starlark::Result<String> {
        let word = super::args::word(value, "quote()", "pass it with env= and write \"$NAME\" in the script")?;
        if word.contains('\0') {
            return Err(author("quote(): a word of a shell cannot hold a zero byte").raise());
        }
        Ok(shell_word(&word))
    }
}
