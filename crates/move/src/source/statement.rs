//! What a statement in the log means for the move.
//!
//! With row images, statements in the log are definitions (DDL), rights, and our own brackets of transactions.
//! Whether one concerns a moved table is told by its words: too careful is a halt that a person can look at, too
//! careless is lost data.
//!
//! Owns that judgement. Never executes anything.

use crate::config::TableName;

/// What to do at a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Meaning {
    Begin,
    Commit,
    /// Its changes are not to be applied: a transaction that wrote something that cannot be rolled back says so.
    Rollback,
    /// Nothing that concerns the moved tables.
    Passing,
    /// The move cannot go past it.
    Halting {
        what: String,
        remedy: String,
    },
}

/// Judges `text`, run in `schema`.
pub(crate) fn meaning(schema: &str, text: &[u8], moved: &[TableName]) -> Meaning {
    let text = String::from_utf8_lossy(text);
    let words = words(&text);
    let word = |place: usize| words.get(place).map_or("", String::as_str);
    let halting = |what: &str, remedy: &str| Meaning::Halting {
        what: format!("{what}: {}", text.chars().take(200).collect::<String>()),
        remedy: remedy.to_owned(),
    };
    match word(0) {
        "begin" => return Meaning::Begin,
        "start" if word(1) == "transaction" => return Meaning::Begin,
        "commit" => return Meaning::Commit,
        "rollback" if word(1) != "to" => return Meaning::Rollback,
        "savepoint" | "rollback" | "release" => return Meaning::Passing,
        "xa" => return halting("an XA transaction", "end XA transactions on the source and begin the move anew"),
        "insert" | "update" | "delete" | "replace" | "load" => {
            return halting(
                "a change logged as a statement",
                "set binlog_format = ROW for every session on the source and begin the move anew",
            );
        }
        "grant" | "revoke" | "flush" | "analyze" | "optimize" | "check" | "set" => return Meaning::Passing,
        _ => {}
    }
    if words.iter().take(4).any(|word| word == "temporary") {
        return Meaning::Passing;
    }
    let whole = word(0) == "drop" && matches!(word(1), "database" | "schema");
    // A table's name counts wherever it stands. `drop database x` names a schema instead.
    let concerns = |table: &&TableName| {
        let named = |name: &str| words.contains(&name.to_lowercase());
        if whole {
            return named(&table.schema);
        }
        named(&table.name) && (table.schema == schema || named(&table.schema))
    };
    match moved.iter().find(concerns) {
        Some(table) => halting(
            &format!("a definition that names {table}"),
            "leave definitions alone while a move runs; begin the move of this table anew",
        ),
        None => Meaning::Passing,
    }
}

/// Words and names in lower case, comments and quotes taken away. `/*! ... */` counts: the server executes it.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = text.chars().peekable();
    while let Some(letter) = rest.next() {
        match letter {
            '/' if rest.peek() == Some(&'*') => {
                rest.next();
                if matches!(rest.peek(), Some('!' | 'M')) {
                    continue;
                }
                let mut last = ' ';
                for letter in rest.by_ref() {
                    if last == '*' && letter == '/' {
                        break;
                    }
                    last = letter;
                }
            }
            '#' => rest.by_ref().find(|letter| *letter == '\n').map_or((), drop),
            '`' | '"' | '\'' => {
                let mut word = String::new();
                while let Some(inside) = rest.next() {
                    if inside == letter && rest.next_if_eq(&letter).is_none() {
                        break;
                    }
                    word.push(inside);
                }
                words.push(word.to_lowercase());
            }
            letter if is_word(letter) => {
                let mut word = String::from(letter);
                while let Some(next) = rest.next_if(|next| is_word(*next)) {
                    word.push(next);
                }
                words.push(word.to_lowercase());
            }
            _ => {}
        }
    }
    words
}

fn is_word(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_' || letter == '$'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Meaning {
        let moved = [TableName::new("shop", "orders"), TableName::new("shop", "Odd `name")];
        meaning("shop", text.as_bytes(), &moved)
    }

    #[test]
    fn what_names_a_moved_table_halts_and_what_does_not_passes() {
        for text in [
            "truncate table orders",
            "ALTER TABLE `shop`.`orders` add x int",
            "drop table if exists a, orders",
            "rename table b to orders",
            "create index i on Orders (x)",
            "/* a comment */ truncate orders",
            "DROP /*!40005 */ TABLE orders",
            "alter table `Odd ``name` engine = innodb",
            "drop database shop",
            "insert into elsewhere values (1)",
            "XA START 'x'",
        ] {
            assert!(matches!(of(text), Meaning::Halting { .. }), "{text}");
        }
        for text in [
            "create table other (x int)",
            "GRANT ALL ON shop.orders TO x",
            "DROP /*!40005 TEMPORARY */ TABLE IF EXISTS `orders`",
            "drop database other",
            "SAVEPOINT a",
            "flush tables orders",
            "",
        ] {
            assert_eq!(of(text), Meaning::Passing, "{text}");
        }
        assert_eq!(meaning("other", b"truncate orders", &[TableName::new("shop", "orders")]), Meaning::Passing);
        assert_eq!((of("BEGIN"), of("COMMIT")), (Meaning::Begin, Meaning::Commit));
    }
}
