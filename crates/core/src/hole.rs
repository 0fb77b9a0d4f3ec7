//! Holes: what a plan cannot know yet, as it stands in texts and values.
//!
//! Owns the private mark of a hole in a string, how it is shown, and when something known fits something with holes.
//! Never occurs in a run: only a planner makes holes.
//!
//! A hole is the text `value of "Checksum source"` between two characters of Unicode's private use area. As a whole
//! string it stands for any value; within a longer one, for any part of it.

use serde_json::Value as Json;
use std::fmt::Write as _;

pub const OPEN: char = '\u{F7B00}';
pub const CLOSE: char = '\u{F7B01}';

/// A hole's mark.
pub fn mark(what: &str) -> String {
    let what: String = what.chars().filter(|c| ![OPEN, CLOSE].contains(c)).collect();
    format!("{OPEN}{what}{CLOSE}")
}

/// What the first hole of a text stands for.
pub fn first(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once(OPEN)?;
    rest.split_once(CLOSE).map(|(what, _)| what)
}

/// What a text stands for that is one hole and nothing else.
pub fn whole(text: &str) -> Option<&str> {
    let inner = text.strip_prefix(OPEN)?.strip_suffix(CLOSE)?;
    (!inner.contains([OPEN, CLOSE])).then_some(inner)
}

/// A text as people read it: `select ‹value of "Count"›`. Marks that stand written out, as in a list, are shown too.
pub fn render(text: &str) -> String {
    let text = text.replace("\\u{f7b00}", "‹").replace("\\u{f7b01}", "›");
    text.chars()
        .map(|c| match c {
            OPEN => '‹',
            CLOSE => '›',
            c => c,
        })
        .collect()
}

/// Applies `change` to what stands between the holes of a text, which stay as they are.
pub fn around(text: &str, mut change: impl FnMut(&str) -> String) -> String {
    let mut changed = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(OPEN) {
        let Some((what, after)) = after.split_once(CLOSE) else { break };
        changed.push_str(&change(before));
        let _ = write!(changed, "{OPEN}{what}{CLOSE}");
        rest = after;
    }
    changed.push_str(&change(rest));
    changed
}

/// Whether a known text is one that a text with holes may become: holes stand for any part, the rest for itself.
pub fn text_fits(planned: &str, known: &str) -> bool {
    let mut parts = Vec::new();
    let mut rest = planned;
    while let Some((before, after)) = rest.split_once(OPEN) {
        parts.push(before);
        rest = after.split_once(CLOSE).map_or("", |(_, after)| after);
    }
    let Some((first, middle)) = parts.split_first() else { return planned == known };
    let Some(mut left) = known.strip_prefix(first).and_then(|left| left.strip_suffix(rest)) else { return false };
    for part in middle {
        match left.split_once(part) {
            Some((_, after)) => left = after,
            None => return false,
        }
    }
    true
}

/// The same for values as JSON.
pub fn fits(planned: &Json, known: &Json) -> bool {
    match (planned, known) {
        (Json::String(planned), _) if whole(planned).is_some() => true,
        (Json::String(planned), Json::String(known)) => text_fits(planned, known),
        (Json::Array(planned), Json::Array(known)) => {
            planned.len() == known.len() && planned.iter().zip(known).all(|(planned, known)| fits(planned, known))
        }
        (Json::Object(planned), Json::Object(known)) => {
            planned.len() == known.len()
                && planned
                    .iter()
                    .zip(known)
                    .all(|((name, planned), (other, known))| text_fits(name, other) && fits(planned, known))
        }
        (planned, known) => planned == known,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_hole_fits_anything_and_the_rest_only_itself() {
        let (a, b) = (mark("value of \"A\""), mark("b"));
        for (planned, known, expected) in [
            ("same".to_owned(), "same", true),
            ("same".to_owned(), "other", false),
            (a.clone(), "anything", true),
            (a.clone(), "", true),
            (format!("drop table {a}"), "drop table t", true),
            (format!("drop table {a}"), "drop view t", false),
            (format!("copy {a} to {b};"), "copy x to y;", true),
            (format!("copy {a} to {b};"), "copy x y;", false),
            (format!("copy {a} to {b};"), "copy x to y", false),
            (format!("a{a}a"), "a", false),
        ] {
            assert_eq!(text_fits(&planned, known), expected, "{planned:?} {known:?}");
        }
        assert!(fits(&json!({"sql": a, "n": [1, b]}), &json!({"sql": {"x": 1}, "n": [1, 2]})));
        assert!(!fits(&json!({"n": [1, b]}), &json!({"n": [2, 2]})));
        assert!(!fits(&json!({"n": 1}), &json!({"n": 1, "m": 1})));
    }

    #[test]
    fn holes_are_found_shown_and_left_alone() {
        let text = format!("select {} from t", mark("value of \"Count\""));
        assert_eq!(first(&text), Some("value of \"Count\""));
        assert_eq!((whole(&text), whole(&mark("x"))), (None, Some("x")));
        assert_eq!(render(&text), "select ‹value of \"Count\"› from t");
        assert_eq!(render(&around(&text, |part| part.to_uppercase())), "SELECT ‹value of \"Count\"› FROM T");
        assert_eq!(around("plain", |part| format!("'{part}'")), "'plain'");
    }
}
