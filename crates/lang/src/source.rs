//! A look at a source before it is parsed: how deep its expressions and blocks are.
//!
//! Owns this one bound. Parsing, checking and compiling recurse on the native stack, one level for each bracket,
//! operator and block; an overflow would abort the process.

use crate::diagnostic::{Diagnostic, Place};
use crate::limits::{MAX_EXPRESSION_DEPTH, MAX_INDENT};
use piton_core::request::Site;
use std::collections::HashMap;

/// What is wrong with a source that is too deep; `None` for every other.
pub(crate) fn too_deep(path: &str, text: &str) -> Option<Diagnostic> {
    let mut scan = Scan { levels: vec![0], ..Scan::default() };
    for (index, line) in text.lines().enumerate() {
        let Some((column, message, help)) = scan.line(line) else { continue };
        let site = Site {
            file: path.into(),
            line: u32::try_from(index + 1).unwrap_or(u32::MAX),
            column: u32::try_from(column + 1).unwrap_or(u32::MAX),
        };
        // Such a line may be megabytes long: what is shown of it is not.
        let text: String = line.chars().take(column.min(100) + 20).collect();
        let place = Place { site, width: 1, text };
        return Some(Diagnostic { place: (column < 100).then_some(place), ..Diagnostic::error(message).help(help) });
    }
    None
}

type Wrong = (usize, String, &'static str);

#[derive(Default)]
struct Scan {
    /// For each open bracket, outermost first, the operators in its current element; first the statement itself.
    levels: Vec<usize>,
    /// The quotes that end the string across lines.
    string: Option<&'static str>,
    /// The last line ended in a backslash.
    continued: bool,
    /// Branches so far of the `if` at each indentation.
    branches: HashMap<usize, usize>,
}

impl Scan {
    /// Takes in the next line.
    fn line(&mut self, line: &str) -> Option<Wrong> {
        if self.string.is_none() && self.levels.len() == 1 && !self.continued {
            self.levels[0] = 0;
            if let Some(wrong) = self.statement(line) {
                return Some(wrong);
            }
        }
        let wrong = self.inside(line);
        self.continued = line.ends_with('\\');
        wrong
    }

    /// Looks at the indentation and the first word of a statement.
    fn statement(&mut self, line: &str) -> Option<Wrong> {
        let code = line.trim_start();
        let indent = line.len() - code.len();
        if code.is_empty() || code.starts_with('#') {
            return None;
        }
        if indent > MAX_INDENT {
            return Some((
                indent,
                format!("indented by more than {MAX_INDENT} columns"),
                "move the inner blocks into functions",
            ));
        }
        if code.starts_with("elif") {
            let branches = self.branches.entry(indent).or_default();
            *branches += 1;
            if *branches > MAX_EXPRESSION_DEPTH {
                return Some((indent, format!("more than {MAX_EXPRESSION_DEPTH} branches of one `if`"), "use a dict"));
            }
        } else {
            self.branches.remove(&indent);
        }
        None
    }

    fn inside(&mut self, line: &str) -> Option<Wrong> {
        let mut rest = line;
        while let Some(c) = rest.chars().next() {
            let column = line[..line.len() - rest.len()].chars().count();
            if let Some(quotes) = self.string {
                rest = self.in_string(rest, quotes);
                continue;
            }
            let mut next = &rest[c.len_utf8()..];
            match c {
                '#' => return None,
                '"' | '\'' => {
                    let quotes = ["\"\"\"", "'''", "\"", "'"].into_iter().find(|quotes| rest.starts_with(quotes))?;
                    self.string = Some(quotes);
                    next = &rest[quotes.len()..];
                }
                '(' | '[' | '{' => {
                    self.count();
                    self.levels.push(0);
                }
                ')' | ']' | '}' if self.levels.len() > 1 => _ = self.levels.pop(),
                ',' | ';' => {
                    if let Some(level) = self.levels.last_mut() {
                        *level = 0;
                    }
                }
                c if "+-*/%|&^~<>=!.".contains(c) => self.count(),
                c if c.is_alphabetic() || c == '_' => {
                    let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
                    if matches!(&rest[..end], "and" | "or" | "not" | "in" | "if" | "else" | "lambda" | "for") {
                        self.count();
                    }
                    next = &rest[end..];
                }
                _ => {}
            }
            if self.levels.iter().sum::<usize>() + self.levels.len() > MAX_EXPRESSION_DEPTH {
                let message = format!(
                    "an expression of more than {MAX_EXPRESSION_DEPTH} operators and brackets inside each other"
                );
                return Some((column, message, "give its parts names; join a list of texts with \"\".join([...])"));
            }
            rest = next;
        }
        // A string in single quotes ends with its line, whatever the parser will say about it.
        if self.string.is_some_and(|quotes| quotes.len() == 1) && !line.ends_with('\\') {
            self.string = None;
        }
        None
    }

    fn count(&mut self) {
        if let Some(level) = self.levels.last_mut() {
            *level += 1;
        }
    }

    /// What follows the next character of interest inside a string.
    fn in_string<'l>(&mut self, rest: &'l str, quotes: &str) -> &'l str {
        if let Some(after) = rest.strip_prefix(quotes) {
            self.string = None;
            return after;
        }
        let mut chars = rest.chars();
        if chars.next() == Some('\\') {
            chars.next();
        }
        chars.as_str()
    }
}
