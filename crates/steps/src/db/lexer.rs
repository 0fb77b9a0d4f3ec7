//! A lexer for SQL, exact enough to cut a text into statements and to see which words stand in one.
//!
//! Owns quotes, comments, dollar quotes and the bodies of stored programs, per dialect. Never parses expressions, and
//! never changes a statement's text: what the server gets is what the author wrote.
//!
//! Sources: MariaDB knowledge base, "Comment Syntax"; PostgreSQL manual 4.1, "Lexical Structure"; SQLite, "SQL
//! Comment Syntax" and "SQLite Keywords". MySQL's `NO_BACKSLASH_ESCAPES` and `ANSI_QUOTES` modes are not known here:
//! the first would need the session's mode, the second only changes what counts as a name.

/// Which database's rules apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    MySql,
    Postgres,
    Sqlite,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Token {
    /// A bare word: a keyword, a name, or a number.
    Word(String),
    /// A quoted name, without its quotes.
    Name(String),
    /// A string; its content is nobody's business.
    Text,
    Symbol(char),
    /// The beginning or the end of MySQL's `/*! ... */`, whose content the server executes.
    Executable,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Statement {
    /// As written, without the semicolon and what surrounds it.
    pub(crate) text: String,
    pub(crate) tokens: Vec<Token>,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} that begins in line {line} of the SQL never ends")]
pub(crate) struct LexError {
    pub(crate) what: &'static str,
    pub(crate) line: usize,
}

impl Statement {
    /// The bare word at this position among the words, in lower case; empty where there are fewer.
    pub(crate) fn word(&self, index: usize) -> String {
        self.words().nth(index).unwrap_or_default()
    }

    /// Bare words in lower case.
    pub(crate) fn words(&self) -> impl Iterator<Item = String> + '_ {
        self.tokens.iter().filter_map(|token| match token {
            Token::Word(word) => Some(word.to_ascii_lowercase()),
            _ => None,
        })
    }

    pub(crate) fn has_word(&self, word: &str) -> bool {
        self.tokens.iter().any(|token| matches!(token, Token::Word(w) if w.eq_ignore_ascii_case(word)))
    }
}

/// Cuts a text into its statements. Empty ones (comments, lone semicolons) are left out.
pub(crate) fn split(dialect: Dialect, text: &str) -> Result<Vec<Statement>, LexError> {
    let mut lexer = Lexer { dialect, text, at: 0, executable: false };
    let mut statements = Vec::new();
    let mut tokens = Vec::new();
    let mut body = Body::default();
    let mut span: Option<(usize, usize)> = None;
    while let Some((token, start)) = lexer.next()? {
        if token == Token::Symbol(';') && body.depth == 0 {
            finish(&mut statements, &mut tokens, span.take(), text);
            body = Body::default();
            continue;
        }
        body.see(dialect, &tokens, &token);
        span = Some((span.map_or(start, |(first, _)| first), lexer.at));
        tokens.push(token);
    }
    if lexer.executable {
        return Err(lexer.error("a comment /*!", span.map_or(0, |(first, _)| first)));
    }
    if body.depth > 0 {
        return Err(lexer.error("a BEGIN or CASE in the statement", span.map_or(0, |(first, _)| first)));
    }
    finish(&mut statements, &mut tokens, span, text);
    Ok(statements)
}

fn finish(statements: &mut Vec<Statement>, tokens: &mut Vec<Token>, span: Option<(usize, usize)>, text: &str) {
    let tokens = std::mem::take(tokens);
    if let Some((start, end)) = span {
        statements.push(Statement { text: text[start..end].to_owned(), tokens });
    }
}

/// Knows whether we are inside the body of a stored program, where a semicolon ends nothing.
#[derive(Default)]
struct Body {
    /// What `CREATE` creates is a stored program; decided by the first word that names a kind of object.
    program: Option<bool>,
    depth: usize,
}

impl Body {
    fn see(&mut self, dialect: Dialect, before: &[Token], token: &Token) {
        let Token::Word(word) = token else { return };
        if matches!(before.last(), Some(Token::Symbol('.' | '@'))) {
            return;
        }
        let word = word.to_ascii_lowercase();
        let last = match before.last() {
            Some(Token::Word(last)) => last.to_ascii_lowercase(),
            _ => String::new(),
        };
        let first = before.iter().find_map(|token| match token {
            Token::Word(word) => Some(word.to_ascii_lowercase()),
            _ => None,
        });
        match first.as_deref() {
            Some("create") if self.program.is_none() => {
                let programs = ["trigger", "procedure", "function", "event", "package"];
                let others = ["table", "view", "index", "database", "schema", "user", "role", "sequence", "type"];
                if programs.contains(&word.as_str()) {
                    self.program = Some(true);
                } else if others.contains(&word.as_str()) {
                    self.program = Some(false);
                }
            }
            Some("begin") if dialect == Dialect::MySql && word == "not" && before.len() == 1 => {
                self.program = Some(true);
                self.depth = 1;
            }
            _ => {}
        }
        if self.program != Some(true) {
            return;
        }
        match word.as_str() {
            "begin" => self.depth += 1,
            "case" if last != "end" => self.depth += 1,
            "end" => self.depth = self.depth.saturating_sub(1),
            // `END IF` and its kin close what was not counted.
            "if" | "loop" | "while" | "repeat" | "for" if last == "end" => self.depth += 1,
            _ => {}
        }
    }
}

struct Lexer<'a> {
    dialect: Dialect,
    text: &'a str,
    at: usize,
    /// Inside `/*! ... */`.
    executable: bool,
}

impl Lexer<'_> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn error(&self, what: &'static str, at: usize) -> LexError {
        LexError { what, line: 1 + self.text[..at].bytes().filter(|byte| *byte == b'\n').count() }
    }

    /// The next token and where it starts; afterwards `at` is where it ends.
    fn next(&mut self) -> Result<Option<(Token, usize)>, LexError> {
        loop {
            let Some(first) = self.rest().chars().next() else { return Ok(None) };
            let start = self.at;
            if first.is_whitespace() {
                self.at += first.len_utf8();
            } else if let Some(token) = self.comment()? {
                if token == Token::Executable {
                    return Ok(Some((token, start)));
                }
            } else {
                return Ok(Some((self.token(first)?, start)));
            }
        }
    }

    /// Skips a comment; `Some(Text)` stands for one that was skipped.
    fn comment(&mut self) -> Result<Option<Token>, LexError> {
        let (rest, mysql) = (self.rest(), self.dialect == Dialect::MySql);
        let dashes = rest.starts_with("--") && (!mysql || rest[2..].chars().next().is_none_or(char::is_whitespace));
        if dashes || (mysql && rest.starts_with('#')) {
            self.at += rest.find('\n').unwrap_or(rest.len());
            return Ok(Some(Token::Text));
        }
        if mysql && self.executable && rest.starts_with("*/") {
            self.executable = false;
            self.at += 2;
            return Ok(Some(Token::Executable));
        }
        if mysql && (rest.starts_with("/*!") || rest.starts_with("/*M!")) {
            let marker = if rest.starts_with("/*!") { 3 } else { 4 };
            let version = rest[marker..].bytes().take_while(u8::is_ascii_digit).count();
            self.executable = true;
            self.at += marker + version;
            return Ok(Some(Token::Executable));
        }
        if !rest.starts_with("/*") {
            return Ok(None);
        }
        let start = self.at;
        let mut depth = 0;
        while self.at < self.text.len() {
            let rest = self.rest();
            if rest.starts_with("/*") && (depth == 0 || self.dialect == Dialect::Postgres) {
                depth += 1;
                self.at += 2;
            } else if rest.starts_with("*/") {
                depth -= 1;
                self.at += 2;
                if depth == 0 {
                    return Ok(Some(Token::Text));
                }
            } else {
                self.at += rest.chars().next().map_or(1, char::len_utf8);
            }
        }
        Err(self.error("a comment", start))
    }

    fn token(&mut self, first: char) -> Result<Token, LexError> {
        match first {
            '\'' => self.quoted('\'', self.dialect == Dialect::MySql, "a string").map(|_| Token::Text),
            '"' if self.dialect == Dialect::MySql => self.quoted('"', true, "a string").map(|_| Token::Text),
            '"' => self.quoted('"', false, "a quoted name").map(Token::Name),
            '`' if self.dialect != Dialect::Postgres => self.quoted('`', false, "a quoted name").map(Token::Name),
            '[' if self.dialect == Dialect::Sqlite => self.bracketed(),
            '$' if self.dialect == Dialect::Postgres => self.dollar(),
            _ if is_word(first) => self.word(),
            _ => {
                self.at += first.len_utf8();
                Ok(Token::Symbol(first))
            }
        }
    }

    /// A quoted piece; a doubled quote is one quote of it.
    fn quoted(&mut self, quote: char, backslash: bool, what: &'static str) -> Result<String, LexError> {
        let start = self.at;
        let mut content = String::new();
        let mut chars = self.text[start..].char_indices().skip(1).peekable();
        while let Some((offset, c)) = chars.next() {
            if c == '\\' && backslash {
                chars.next();
            } else if c != quote {
                content.push(c);
            } else if chars.peek().is_some_and(|(_, next)| *next == quote) {
                content.push(c);
                chars.next();
            } else {
                self.at = start + offset + c.len_utf8();
                return Ok(content);
            }
        }
        Err(self.error(what, start))
    }

    fn bracketed(&mut self) -> Result<Token, LexError> {
        let start = self.at;
        let Some(end) = self.rest().find(']') else { return Err(self.error("a quoted name", start)) };
        self.at += end + 1;
        Ok(Token::Name(self.text[start + 1..start + end].to_owned()))
    }

    /// `$tag$ ... $tag$`, or a parameter such as `$1`.
    fn dollar(&mut self) -> Result<Token, LexError> {
        let start = self.at;
        let rest = self.rest();
        let tag = rest[1..].find(|c: char| !is_word(c) || c == '$').map(|end| &rest[..end + 2]);
        let tag = tag.filter(|tag| tag.ends_with('$') && !tag[1..].starts_with(|c: char| c.is_ascii_digit()));
        let Some(tag) = tag else {
            self.at += 1 + rest[1..].bytes().take_while(u8::is_ascii_digit).count();
            return Ok(Token::Symbol('$'));
        };
        match rest[tag.len()..].find(tag) {
            Some(end) => {
                self.at += end + 2 * tag.len();
                Ok(Token::Text)
            }
            None => Err(self.error("a dollar-quoted string", start)),
        }
    }

    fn word(&mut self) -> Result<Token, LexError> {
        let rest = self.rest();
        let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
        let word = rest[..end].to_owned();
        self.at += end;
        // PostgreSQL's E'...' knows backslashes where '...' does not.
        if self.dialect == Dialect::Postgres && word.eq_ignore_ascii_case("e") && self.rest().starts_with('\'') {
            return self.quoted('\'', true, "a string").map(|_| Token::Text);
        }
        Ok(Token::Word(word))
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '$' || !c.is_ascii()
}

#[cfg(test)]
mod tests {
    use super::Dialect::{MySql, Postgres, Sqlite};
    use super::*;

    fn texts(dialect: Dialect, text: &str) -> Vec<String> {
        split(dialect, text).unwrap().into_iter().map(|statement| statement.text).collect()
    }

    #[test]
    fn a_text_is_cut_where_its_dialect_says() {
        let rows: &[(Dialect, &str, &[&str])] = &[
            (MySql, "select 1; select 2;", &["select 1", "select 2"]),
            (MySql, " ; ;; ", &[]),
            (MySql, "-- only a comment;\n# another;\n/* third; */", &[]),
            (MySql, "select ';' ; select \";\"; select `;`", &["select ';'", "select \";\"", "select `;`"]),
            (MySql, r"select 'it\'s; x'; select 2", &[r"select 'it\'s; x'", "select 2"]),
            (MySql, "select 'a''; b'; select 2", &["select 'a''; b'", "select 2"]),
            (MySql, "select 1--1; select 2", &["select 1--1", "select 2"]),
            (MySql, "select 1 -- x; y\n; select 2", &["select 1", "select 2"]),
            (MySql, "/*!40101 set names utf8 */; select 1", &["/*!40101 set names utf8 */", "select 1"]),
            (MySql, "/* /* not nested; */ select 1", &["select 1"]),
            (Postgres, "/* /* nested; */ still; */ select 1", &["select 1"]),
            (Postgres, r"select 'a\'; select E'a\'; b'", &[r"select 'a\'", r"select E'a\'; b'"]),
            (Postgres, "select $$a; b$$; select $x$ $$; $x$", &["select $$a; b$$", "select $x$ $$; $x$"]),
            (Postgres, "select $1; select $2", &["select $1", "select $2"]),
            (Postgres, "select \"a;\"\"b\"; select 1 # 2", &["select \"a;\"\"b\"", "select 1 # 2"]),
            (Postgres, "select 1--1; select 2", &["select 1"]),
            (Sqlite, "select [a;b], `c;d`, \"e;f\"; select 2", &["select [a;b], `c;d`, \"e;f\"", "select 2"]),
            (Sqlite, r"select 'a\'; select 2", &[r"select 'a\'", "select 2"]),
        ];
        for (dialect, text, expected) in rows {
            assert_eq!(texts(*dialect, text), *expected, "{dialect:?}: {text}");
        }
    }

    #[test]
    fn a_stored_programs_body_is_not_cut() {
        let one = [
            (MySql, "create procedure p() begin select 1; if x then select 2; end if; end"),
            (MySql, "create trigger t before insert on a for each row begin set new.b = case when 1 then 2 end; end"),
            (MySql, "create definer=`a`@`b` function f() returns int begin case x when 1 then return 1; end case; end"),
            (MySql, "begin not atomic select 1; select 2; end"),
            (MySql, "create event e on schedule every 1 day do begin while x do select 1; end while; end"),
            (Postgres, "create function f() returns int language sql begin atomic select 1; select 2; end"),
            (Sqlite, "create trigger t after insert on a begin insert into b values (1); delete from c; end"),
        ];
        for (dialect, text) in one {
            assert_eq!(texts(dialect, &format!("{text}; select 3")), [text, "select 3"], "{text}");
        }
        let table = "create table event (begin int, `end` int)";
        assert_eq!(texts(MySql, &format!("{table}; select 1")), [table, "select 1"]);
        assert_eq!(
            texts(MySql, "create procedure p() select 1; select 2"),
            ["create procedure p() select 1", "select 2"]
        );
    }

    #[test]
    fn what_never_ends_is_refused_with_its_line() {
        for (dialect, text, what, line) in [
            (MySql, "select 1;\nselect 'abc", "a string", 2),
            (MySql, "select `abc", "a quoted name", 1),
            (Postgres, "select $x$ abc $$", "a dollar-quoted string", 1),
            (Sqlite, "\n\n/* abc", "a comment", 3),
            (MySql, "create procedure p() begin select 1;", "a BEGIN or CASE in the statement", 1),
            (MySql, "/*! select 1", "a comment /*!", 1),
        ] {
            assert_eq!(split(dialect, text), Err(LexError { what, line }), "{text}");
        }
    }

    #[test]
    fn words_are_seen_past_comments_and_quotes() {
        let statement = split(MySql, "/*!50001 Insert */ /* x */ INTO `t` VALUES ('into', now())").unwrap().remove(0);
        assert_eq!(statement.words().collect::<Vec<_>>(), ["insert", "into", "values", "now"]);
        assert_eq!(statement.word(1), "into");
        assert!(statement.tokens.contains(&Token::Name("t".into())));
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[-;'\"`$/*!#a-zé\\\\\n\\[\\] ]{0,40}") {
            for dialect in [MySql, Postgres, Sqlite] {
                let _ = split(dialect, &text);
            }
        }
    }
}
