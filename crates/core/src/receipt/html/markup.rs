//! Building HTML that no text from outside can break.
//!
//! Owns the escaping. Markup is written from literals only (`raw` takes `&'static str`); whatever else is shown goes
//! through `text`, `code` or `block`, so forgetting to escape does not compile. Never knows what a receipt says.

use super::super::markdown::is_unprintable;
use std::fmt::Write as _;

/// Longest text in a cell, characters; the signed receipt has it whole.
const MAX_CELL_CHARS: usize = 400;
/// Longest text of several lines, characters.
const MAX_BLOCK_CHARS: usize = 8000;

/// A piece of HTML in which everything from outside is escaped.
#[derive(Clone, Debug, Default)]
pub(super) struct Markup(String);

/// Escaped for content and for attributes in double quotes. What shows nothing, or changes how its neighbours are
/// shown, becomes a visible mark.
fn escape(out: &mut String, c: char) {
    match c {
        '&' => out.push_str("&amp;"),
        '<' => out.push_str("&lt;"),
        '>' => out.push_str("&gt;"),
        '"' => out.push_str("&quot;"),
        '\'' => out.push_str("&#39;"),
        '\n' | '\t' | '\r' => out.push(' '),
        c if is_unprintable(c) => out.push('\u{fffd}'),
        c => out.push(c),
    }
}

impl Markup {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// Our own words and tags.
    pub(super) fn raw(&mut self, html: &'static str) -> &mut Self {
        self.0.push_str(html);
        self
    }

    /// Text from anywhere, on one line, whole.
    pub(super) fn text(&mut self, text: &str) -> &mut Self {
        text.chars().for_each(|c| escape(&mut self.0, c));
        self
    }

    /// At most so many characters of it.
    pub(super) fn clipped(&mut self, text: &str, max_chars: usize) -> &mut Self {
        text.chars().take(max_chars).for_each(|c| escape(&mut self.0, c));
        if text.chars().nth(max_chars).is_some() {
            self.0.push('…');
        }
        self
    }

    /// Text from outside as a cell shows it; a dash where there is nothing to see.
    pub(super) fn code(&mut self, text: &str) -> &mut Self {
        if text.trim().is_empty() {
            return self.raw("–");
        }
        self.raw("<code>").clipped(text, MAX_CELL_CHARS).raw("</code>")
    }

    /// Text of several lines, as it stands.
    pub(super) fn block(&mut self, text: &str) -> &mut Self {
        // The parser drops the first newline after the tag, ours.
        self.raw("<pre>\n");
        for c in text.chars().take(MAX_BLOCK_CHARS) {
            if c == '\n' { self.0.push('\n') } else { escape(&mut self.0, c) }
        }
        if text.chars().nth(MAX_BLOCK_CHARS).is_some() {
            self.0.push('…');
        }
        self.raw("</pre>\n")
    }

    /// Words of ours, in which `**` puts weight on what stands between.
    pub(super) fn words(&mut self, words: &str) -> &mut Self {
        for (index, part) in words.split("**").enumerate() {
            match index % 2 {
                0 => self.text(part),
                _ => self.raw("<strong>").text(part).raw("</strong>"),
            };
        }
        self
    }

    pub(super) fn number(&mut self, number: u64) -> &mut Self {
        let _ = write!(self.0, "{number}");
        self
    }

    /// A length or a place in a picture, given in tenths.
    pub(super) fn tenths(&mut self, tenths: i64) -> &mut Self {
        let sign = if tenths < 0 { "-" } else { "" };
        let tenths = tenths.unsigned_abs();
        let _ = write!(self.0, "{sign}{}", tenths / 10);
        if !tenths.is_multiple_of(10) {
            let _ = write!(self.0, ".{}", tenths % 10);
        }
        self
    }

    pub(super) fn push(&mut self, other: &Self) -> &mut Self {
        self.0.push_str(&other.0);
        self
    }

    /// A line that must be found again as it is; of markup it may hold quotes only, the rest is escaped.
    pub(super) fn line(&mut self, line: &str) -> &mut Self {
        for c in line.chars() {
            if c == '"' { self.0.push('"') } else { escape(&mut self.0, c) }
        }
        self
    }

    pub(super) fn heading(&mut self, id: &'static str, heading: &'static str) -> &mut Self {
        self.raw("<h2 id=\"").raw(id).raw("\">").raw(heading).raw("</h2>\n")
    }

    /// A table; nothing where it has no rows. On narrow screens each cell says its column.
    pub(super) fn table(&mut self, columns: &[&'static str], rows: &[Vec<Self>]) -> &mut Self {
        if rows.is_empty() {
            return self;
        }
        self.raw("<table class=\"plain\">\n<thead><tr>");
        for column in columns {
            self.raw("<th scope=\"col\">").raw(column).raw("</th>");
        }
        self.raw("</tr></thead>\n<tbody>\n");
        for row in rows {
            self.raw("<tr>");
            for (column, cell) in columns.iter().zip(row) {
                self.raw("<td data-of=\"").raw(column).raw("\">").push(cell).raw("</td>");
            }
            self.raw("</tr>\n");
        }
        self.raw("</tbody>\n</table>\n")
    }

    pub(super) fn into_string(self) -> String {
        self.0
    }
}

/// A cell with text from outside.
pub(super) fn code(text: &str) -> Markup {
    let mut cell = Markup::new();
    cell.code(text);
    cell
}

/// A cell with words of ours.
pub(super) fn words(words: &str) -> Markup {
    let mut cell = Markup::new();
    cell.words(words);
    cell
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(write: impl Fn(&mut Markup)) -> String {
        let mut markup = Markup::new();
        write(&mut markup);
        markup.into_string()
    }

    #[test]
    fn text_from_outside_is_text_in_content_and_in_attributes() {
        let hostile = "</code><b title=\"x\" id='y'>&amp;\u{202e}\u{7}\n🧗";
        let safe = "&lt;/code&gt;&lt;b title=&quot;x&quot; id=&#39;y&#39;&gt;&amp;amp;\u{fffd}\u{fffd} 🧗";
        assert_eq!(
            shown(|m| {
                m.text(hostile);
            }),
            safe
        );
        assert_eq!(
            shown(|m| {
                m.code(hostile);
            }),
            format!("<code>{safe}</code>")
        );
        assert_eq!(
            shown(|m| {
                m.words("**<b>** & c");
            }),
            "<strong>&lt;b&gt;</strong> &amp; c"
        );
        assert_eq!(
            shown(|m| {
                m.block("a\n</pre>");
            }),
            "<pre>\na\n&lt;/pre&gt;</pre>\n"
        );
        assert_eq!(
            shown(|m| {
                m.line("{\"a\":\"<\"}");
            }),
            "{\"a\":\"&lt;\"}"
        );
    }

    #[test]
    fn long_texts_are_cut_between_characters_and_empty_ones_are_a_dash() {
        assert_eq!(
            shown(|m| {
                m.clipped("äöü", 2);
            }),
            "äö…"
        );
        assert_eq!(
            shown(|m| {
                m.clipped("äö", 2);
            }),
            "äö"
        );
        assert_eq!(
            shown(|m| {
                m.code(" \n");
            }),
            "–"
        );
    }

    #[test]
    fn places_in_a_picture_print_with_a_tenth_where_there_is_one() {
        for (tenths, text) in [(0, "0"), (7, "0.7"), (-15, "-1.5"), (7100, "710"), (i64::MIN, "-922337203685477580.8")]
        {
            assert_eq!(
                shown(|m| {
                    m.tenths(tenths);
                }),
                text
            );
        }
    }
}
