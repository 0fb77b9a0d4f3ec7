//! Splits a statement into tokens: words, names, variables, numbers, strings, punctuation.
//!
//! Comments are left out, but what stands in an executable comment (`/*! ... */`, `/*M! ... */`) is code. It never fails:
//! text that no server would take becomes some tokens, and the server says what is wrong.

/// A piece of a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Token<'a> {
    /// A keyword, a function or an unquoted name.
    Word(&'a [u8]),
    /// A name in backquotes.
    Name(&'a [u8]),
    /// `@name`, without the sign and quotes.
    UserVariable(&'a [u8]),
    /// `@@name` or `@@session.name`, without the signs.
    SystemVariable(&'a [u8]),
    Number(&'a [u8]),
    Text,
    Sign(u8),
}

impl Token<'_> {
    pub(crate) fn is(&self, word: &str) -> bool {
        matches!(self, Token::Word(text) if text.eq_ignore_ascii_case(word.as_bytes()))
    }
}

/// The tokens of a text, each with where it begins.
#[derive(Debug)]
pub(crate) struct Lexer<'a> {
    text: &'a [u8],
    at: usize,
    /// Inside an executable comment, whose end is no token.
    in_comment: bool,
}

impl<'a> Lexer<'a> {
    pub(crate) fn new(text: &'a [u8]) -> Self {
        Self { text, at: 0, in_comment: false }
    }

    fn peek(&self, ahead: usize) -> u8 {
        self.text.get(self.at + ahead).copied().unwrap_or(0)
    }

    fn take_while(&mut self, is: impl Fn(u8) -> bool) -> &'a [u8] {
        let from = self.at;
        while self.at < self.text.len() && is(self.text[self.at]) {
            self.at += 1;
        }
        &self.text[from..self.at]
    }

    fn skip_until(&mut self, end: &[u8]) {
        let rest = &self.text[self.at..];
        let found = rest.windows(end.len()).position(|window| window == end);
        self.at = found.map_or(self.text.len(), |found| self.at + found + end.len());
    }

    /// Takes what stands between quotes, the opening one being next.
    fn quoted(&mut self) -> &'a [u8] {
        let quote = self.peek(0);
        self.at += 1;
        let from = self.at;
        while self.at < self.text.len() {
            let byte = self.text[self.at];
            if (byte == b'\\' && quote != b'`') || (byte == quote && self.peek(1) == quote) {
                self.at += 2;
            } else if byte == quote {
                self.at += 1;
                return &self.text[from..self.at - 1];
            } else {
                self.at += 1;
            }
        }
        self.at = self.text.len();
        &self.text[from.min(self.at)..]
    }

    fn skip_space_and_comments(&mut self) {
        loop {
            self.take_while(|byte| byte.is_ascii_whitespace());
            match (self.peek(0), self.peek(1)) {
                (b'#', _) => self.skip_until(b"\n"),
                (b'-', b'-') if self.peek(2).is_ascii_whitespace() || self.at + 2 >= self.text.len() => {
                    self.skip_until(b"\n");
                }
                (b'*', b'/') if self.in_comment => {
                    self.in_comment = false;
                    self.at += 2;
                }
                (b'/', b'*') => {
                    let executable = match (self.peek(2), self.peek(3)) {
                        (b'!', _) => 3,
                        (b'M', b'!') => 4,
                        _ => 0,
                    };
                    if executable == 0 {
                        self.at += 2;
                        self.skip_until(b"*/");
                    } else {
                        self.at += executable;
                        self.take_while(|byte| byte.is_ascii_digit());
                        self.in_comment = true;
                    }
                }
                _ => return,
            }
        }
    }

    fn variable(&mut self) -> Token<'a> {
        self.at += 1;
        if self.peek(0) == b'@' {
            self.at += 1;
            return Token::SystemVariable(self.take_while(|byte| in_word(byte) || byte == b'.' || byte == b'`'));
        }
        match self.peek(0) {
            b'`' | b'\'' | b'"' => Token::UserVariable(self.quoted()),
            _ => Token::UserVariable(self.take_while(|byte| in_word(byte) || byte == b'.')),
        }
    }
}

impl<'a> Iterator for Lexer<'a> {
    type Item = (usize, Token<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        self.skip_space_and_comments();
        let from = self.at;
        let byte = *self.text.get(self.at)?;
        let token = match byte {
            b'@' => self.variable(),
            b'`' => Token::Name(self.quoted()),
            b'\'' | b'"' => {
                self.quoted();
                Token::Text
            }
            b'0'..=b'9' => Token::Number(self.take_while(|byte| in_word(byte) || byte == b'.')),
            byte if in_word(byte) => Token::Word(self.take_while(in_word)),
            sign => {
                self.at += 1;
                Token::Sign(sign)
            }
        };
        Some((from, token))
    }
}

fn in_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$' || byte >= 0x80
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn words(text: &str) -> Vec<String> {
        Lexer::new(text.as_bytes()).map(|(_, token)| format!("{token:?}")).collect()
    }

    #[test]
    fn strings_and_comments_hide_what_looks_like_code() {
        let text = "select 'it''s \\' get_lock(' /* @x */ -- @y\n, `a``b`, @`v w`, @@session.sql_mode # end";
        let tokens: Vec<_> = Lexer::new(text.as_bytes()).map(|(_, token)| token).collect();
        assert_eq!(
            tokens,
            [
                Token::Word(b"select"),
                Token::Text,
                Token::Sign(b','),
                Token::Name(b"a``b"),
                Token::Sign(b','),
                Token::UserVariable(b"v w"),
                Token::Sign(b','),
                Token::SystemVariable(b"session.sql_mode"),
            ]
        );
    }

    #[test]
    fn executable_comments_are_code() {
        assert_eq!(words("/*!40101 SET x=1 */;").len(), 5);
        assert_eq!(words("/*M!100100 SET */").len(), 1);
    }

    proptest! {
        #[test]
        fn lexing_any_bytes_ends_and_moves_forward(text: Vec<u8>) {
            let mut last = None;
            for (from, _) in Lexer::new(&text) {
                prop_assert!(last.is_none_or(|last| from > last));
                last = Some(from);
            }
        }
    }
}
