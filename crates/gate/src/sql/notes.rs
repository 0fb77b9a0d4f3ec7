//! What a statement means for moving its session: what pins it, what must be carried over, whom it kills.
//!
//! Most statements are reads and writes of rows without anything of the kind; one search for a few words tells them apart
//! before anything is split into tokens.

use std::ops::Range;
use std::sync::LazyLock;

use aho_corasick::AhoCorasick;

use super::lexer::{Lexer, Token};

/// Bytes of a statement that are looked at; beyond them stand rows of data.
pub(crate) const LOOK_BYTES: usize = 16 << 10;

/// What ties a session to its backend for longer than a statement, as bits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Pins(pub(crate) u16);

impl Pins {
    pub(crate) const TEMPORARY_TABLE: Self = Self(1);
    pub(crate) const NAMED_LOCK: Self = Self(1 << 1);
    pub(crate) const HANDLER: Self = Self(1 << 2);
    pub(crate) const TEXT_PREPARED: Self = Self(1 << 3);
    pub(crate) const ROLE: Self = Self(1 << 4);
    pub(crate) const CURSOR: Self = Self(1 << 5);
    pub(crate) const TOO_MUCH: Self = Self(1 << 6);
    pub(crate) const ONE_SHOT: Self = Self(1 << 7);

    const NAMES: [&'static str; 8] = [
        "temporary table",
        "GET_LOCK",
        "HANDLER",
        "PREPARE in text",
        "SET ROLE",
        "open cursor",
        "more state than the gate keeps",
        "SET timestamp, insert_id or rand_seed",
    ];

    pub(crate) fn add(&mut self, other: Self) {
        self.0 |= other.0;
    }

    pub(crate) fn remove(&mut self, other: Self) {
        self.0 &= !other.0;
    }

    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// What each pin is called.
    pub(crate) fn names(self) -> Vec<&'static str> {
        Self::NAMES.iter().enumerate().filter(|(bit, _)| self.0 & (1 << bit) != 0).map(|(_, name)| *name).collect()
    }
}

/// Units of work that are open without a transaction flag, as bits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Units(pub(crate) u8);

impl Units {
    pub(crate) const TABLE_LOCKS: Self = Self(1);
    pub(crate) const XA: Self = Self(1 << 1);
    /// `SET TRANSACTION`, which speaks of the next transaction only.
    pub(crate) const NEXT_TRANSACTION: Self = Self(1 << 2);
    /// Long data sent for a statement that was not executed yet.
    pub(crate) const LONG_DATA: Self = Self(1 << 3);

    pub(crate) fn add(&mut self, other: Self) {
        self.0 |= other.0;
    }

    pub(crate) fn remove(&mut self, other: Self) {
        self.0 &= !other.0;
    }

    pub(crate) fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// A `KILL` statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Kill {
    pub(crate) id: u32,
    /// Where the number stands in the text.
    pub(crate) at: Range<usize>,
}

/// What was seen in a statement.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Notes {
    pub(crate) pins: Pins,
    pub(crate) unpins: Pins,
    pub(crate) opens: Units,
    pub(crate) closes: Units,
    pub(crate) user_variables: Vec<Vec<u8>>,
    pub(crate) system_variables: Vec<Vec<u8>>,
    pub(crate) kill: Option<Kill>,
    /// It may have changed what LAST_INSERT_ID() remembers.
    pub(crate) inserts: bool,
    /// It only reads what the statement before it left in its session, and no table.
    pub(crate) follows: bool,
    /// It begins by asking for what only the connection of the statement before it knows.
    pub(crate) looks_back: bool,
    /// FOUND_ROWS() after it is worth asking for.
    pub(crate) counts_found_rows: bool,
}

/// Functions that touch nothing but their session.
const LOOKING_BACK: [&str; 6] = ["found_rows", "row_count", "last_insert_id", "count", "connection_id", "database"];

const WORDS: [&str; 7] = ["@", "get_lock", "found_rows", "row_count", "last_insert_id", "/*", ";"];

static MARKS: LazyLock<Option<AhoCorasick>> =
    LazyLock::new(|| AhoCorasick::builder().ascii_case_insensitive(true).build(WORDS).ok());

/// Looks at a statement of `whole` bytes, of which `text` has at least the first [`LOOK_BYTES`].
pub(crate) fn look(text: &[u8], whole: usize) -> Notes {
    let head = &text[..text.len().min(LOOK_BYTES)];
    let rows_only = ["select", "insert", "update", "delete", "replace", "commit", "begin", "rollback"]
        .iter()
        .any(|word| head.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word.as_bytes())));
    if rows_only && MARKS.as_ref().is_some_and(|marks| !marks.is_match(head)) {
        return Notes::default();
    }
    let tokens: Vec<_> = Lexer::new(head).collect();
    let mut notes = Notes::default();
    let mut statements = 0;
    for statement in tokens.split(|(_, token)| *token == Token::Sign(b';')) {
        if !statement.is_empty() {
            statements += 1;
            notes.statement(statement);
            let is = |word: &str| statement.iter().any(|(_, token)| token.is(word));
            if statements == 1 {
                notes.looks_back = notes.follows || is("found_rows") || is("row_count");
                notes.looks_back &= !is("last_insert_id") || is("found_rows") || is("row_count");
            }
            notes.counts_found_rows |= is("sql_calc_found_rows");
        }
    }
    notes.follows &= statements == 1;
    if whole > LOOK_BYTES && !rows_only {
        notes.pins.add(Pins::TOO_MUCH);
    }
    notes
}

type Spot<'a> = (usize, Token<'a>);

impl Notes {
    fn statement(&mut self, tokens: &[Spot<'_>]) {
        let word = |index: usize, word: &str| tokens.get(index).is_some_and(|(_, token)| token.is(word));
        let any = |word: &str| tokens.iter().any(|(_, token)| token.is(word));
        match tokens {
            _ if word(0, "create") && any("temporary") => self.pins.add(Pins::TEMPORARY_TABLE),
            _ if word(0, "lock") || word(0, "backup") => self.opens.add(Units::TABLE_LOCKS),
            _ if word(0, "flush") && any("with") => self.opens.add(Units::TABLE_LOCKS),
            _ if word(0, "unlock") => self.closes.add(Units::TABLE_LOCKS),
            _ if word(0, "handler") => self.pins.add(Pins::HANDLER),
            _ if word(0, "prepare") => self.pins.add(Pins::TEXT_PREPARED),
            _ if word(0, "xa") && (word(1, "start") || word(1, "begin")) => self.opens.add(Units::XA),
            _ if word(0, "xa") && (word(1, "commit") || word(1, "rollback")) => self.closes.add(Units::XA),
            _ if word(0, "set") => self.set(tokens),
            _ if word(0, "kill") => self.kill(tokens),
            _ if word(0, "show") && (any("warnings") || any("errors")) => self.follows = true,
            _ if word(0, "get") && any("diagnostics") => self.follows = true,
            _ if word(0, "select") && !any("from") => {
                self.follows = any("found_rows") || any("row_count") || any("last_insert_id");
            }
            _ => {}
        }
        for (index, (_, token)) in tokens.iter().enumerate() {
            match token {
                Token::UserVariable(name) => self.user_variables.push(name.to_ascii_lowercase()),
                token if token.is("get_lock") => {
                    self.pins.add(Pins::NAMED_LOCK);
                    self.follows = false;
                }
                token if token.is("last_insert_id") => self.inserts = true,
                token if token.is("release_all_locks") => self.unpins.add(Pins::NAMED_LOCK),
                // A function of an author's own may do anything: what calls it does more than look back.
                Token::Word(name) | Token::Name(name)
                    if tokens.get(index + 1).is_some_and(|(_, next)| *next == Token::Sign(b'('))
                        && !LOOKING_BACK.iter().any(|known| name.eq_ignore_ascii_case(known.as_bytes())) =>
                {
                    self.follows = false;
                }
                _ => {}
            }
        }
    }

    fn set(&mut self, tokens: &[Spot<'_>]) {
        let is = |index: usize, word: &str| tokens.get(index).is_some_and(|(_, token)| token.is(word));
        if is(1, "names") || is(1, "character") || is(1, "charset") {
            for name in ["character_set_client", "character_set_results", "character_set_connection"] {
                self.system_variables.push(name.as_bytes().to_vec());
            }
            self.system_variables.push(b"collation_connection".to_vec());
            return;
        }
        if is(1, "role") {
            return self.pins.add(Pins::ROLE);
        }
        if is(1, "transaction") {
            return self.opens.add(Units::NEXT_TRANSACTION);
        }
        if is(2, "transaction") && !is(1, "global") {
            self.system_variables.push(b"tx_isolation".to_vec());
            return self.system_variables.push(b"tx_read_only".to_vec());
        }
        // `SET STATEMENT x = 1 FOR ...` ends with its statement.
        if !is(1, "statement") {
            self.assignments(tokens);
        }
    }

    /// `[SESSION] name = value, @@name = value, ...`; a name is what stands before a sign of assignment, outside brackets.
    fn assignments(&mut self, tokens: &[Spot<'_>]) {
        let mut depth = 0;
        let mut global = false;
        let mut begins = true;
        for (index, (_, token)) in tokens.iter().enumerate().skip(1) {
            match token {
                Token::Sign(b'(') => depth += 1,
                Token::Sign(b')') => depth -= 1,
                Token::Sign(b',') if depth == 0 => (begins, global) = (true, false),
                token if begins && (token.is("global") || token.is("persist")) => global = true,
                token if begins && (token.is("session") || token.is("local")) => {}
                Token::Word(name) | Token::Name(name) if begins => {
                    let assigned = matches!(tokens.get(index + 1), Some((_, Token::Sign(b'=' | b':'))));
                    if assigned && !global {
                        self.system_variable(name);
                    }
                    begins = false;
                }
                Token::SystemVariable(name) if begins => {
                    let name = name.to_ascii_lowercase();
                    let name: Vec<u8> = name.into_iter().filter(|byte| *byte != b'`').collect();
                    let scope = name.iter().position(|byte| *byte == b'.');
                    let (scope, plain) = scope.map_or((&[][..], &name[..]), |dot| (&name[..dot], &name[dot + 1..]));
                    if !matches!(scope, b"global" | b"persist") {
                        self.system_variable(plain);
                    }
                    begins = false;
                }
                _ => begins = false,
            }
        }
    }

    fn system_variable(&mut self, name: &[u8]) {
        let name = name.to_ascii_lowercase();
        if matches!(&name[..], b"timestamp" | b"insert_id" | b"rand_seed1" | b"rand_seed2") {
            // Their value when asked is not what was set.
            self.pins.add(Pins::ONE_SHOT);
        } else {
            self.system_variables.push(name);
        }
    }

    /// `KILL [HARD | SOFT] [CONNECTION | QUERY] number`.
    fn kill(&mut self, tokens: &[Spot<'_>]) {
        let Some((at, Token::Number(digits))) = tokens.last() else { return };
        let id = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
        self.kill = id.map(|id| Kill { id, at: *at..*at + digits.len() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(text: &[u8]) -> Notes {
        super::look(text, text.len())
    }

    fn pins(text: &str) -> Vec<&'static str> {
        look(text.as_bytes()).pins.names()
    }

    fn system(text: &str) -> String {
        let names = look(text.as_bytes()).system_variables;
        names.iter().map(|name| String::from_utf8_lossy(name)).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn what_pins_a_session_is_seen_and_what_only_looks_so_is_not() {
        assert_eq!(pins("CREATE /* x */ TEMPORARY TABLE t (id int)"), ["temporary table"]);
        assert_eq!(pins("create or replace temporary table t select 1"), ["temporary table"]);
        assert_eq!(pins("select get_lock('a', 1)"), ["GET_LOCK"]);
        assert_eq!(pins("select 'get_lock(' , \"@x\""), [""; 0]);
        assert_eq!(pins("insert into t values ('; handler t open')"), [""; 0]);
        assert_eq!(pins("select 1; handler t open"), ["HANDLER"]);
        assert_eq!(pins("set @@session.timestamp = 1"), ["SET timestamp, insert_id or rand_seed"]);
        assert_eq!(look(b"select release_all_locks(), get_lock('x',1)").unpins, Pins::NAMED_LOCK);
    }

    #[test]
    fn assigned_variables_are_named_with_their_scope() {
        assert_eq!(
            system("SET sql_mode = 'a', global max_connections = 3, @@time_zone = '+01:00'"),
            "sql_mode time_zone"
        );
        assert_eq!(system("set @@global.x = 1, @@session.y := 2, local z = greatest(1, a = 2)"), "y z");
        assert_eq!(system("SET NAMES latin1").split(' ').count(), 4);
        assert_eq!(system("/*!40101 SET sql_mode = '' */"), "sql_mode");
        assert_eq!(system("update t set sql_mode = 1"), "");
        assert_eq!(look(b"select @A := 1, @b into @`C d`").user_variables, [&b"a"[..], b"b", b"c d"]);
    }

    #[test]
    fn units_without_a_flag_open_and_close() {
        assert!(look(b"LOCK TABLES t WRITE").opens.has(Units::TABLE_LOCKS));
        assert!(look(b"unlock tables").closes.has(Units::TABLE_LOCKS));
        assert!(look(b"flush tables with read lock").opens.has(Units::TABLE_LOCKS));
        assert!(look(b"XA START 'x'").opens.has(Units::XA));
        assert!(look(b"XA ROLLBACK 'x'").closes.has(Units::XA));
        assert!(look(b"set transaction read only").opens.has(Units::NEXT_TRANSACTION));
        assert_eq!(system("set session transaction read only"), "tx_isolation tx_read_only");
    }

    #[test]
    fn a_kill_is_found_with_the_place_of_its_number() {
        let kill = look(b"KILL QUERY 1073741825").kill.unwrap();
        assert_eq!((kill.id, kill.at), (1_073_741_825, 11..21));
        assert_eq!(look(b"kill /* hm */ 7 ").kill.unwrap().at, 14..15);
        assert_eq!(look(b"kill user 'x'").kill, None);
    }

    #[test]
    fn only_what_looks_back_follows() {
        for text in ["select found_rows()", "SHOW WARNINGS", "show count(*) errors", "select row_count()"] {
            assert!(look(text.as_bytes()).follows, "{text}");
        }
        for text in [
            "select found_rows() from t",
            "select 1",
            "select row_count(); insert into t values (1)",
            "select row_count(), f()",
        ] {
            assert!(!look(text.as_bytes()).follows, "{text}");
        }
        for text in
            ["select found_rows()", "show warnings", "select row_count(), f()", "insert into t select found_rows()"]
        {
            assert!(look(text.as_bytes()).looks_back, "{text}");
        }
        for text in ["select last_insert_id()", "select 1", "select 1; select found_rows()"] {
            assert!(!look(text.as_bytes()).looks_back, "{text}");
        }
        assert!(look(b"select SQL_CALC_FOUND_ROWS * from t limit 1").counts_found_rows);
    }
}
