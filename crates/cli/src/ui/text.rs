//! Words on screens: durations, sizes, clipping by display width, and text from outside made harmless.
//!
//! Owns the rule that no name, output or message can control the terminal: control characters, among them escape
//! sequences' first byte, and characters that reorder or hide text are shown as visible stand-ins.
//! Never prints.

use piton_core::Path;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// One line: control characters and line ends become visible stand-ins.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|c| stand_in(c).unwrap_or(c)).collect()
}

/// Several lines: as `printable`, but line ends and tabs stay.
pub(crate) fn printable_lines(text: &str) -> String {
    text.chars().map(|c| if matches!(c, '\n' | '\t') { c } else { stand_in(c).unwrap_or(c) }).collect()
}

/// What stands for a character that could control a terminal or deceive a reader; `None`: it may stand as it is.
fn stand_in(c: char) -> Option<char> {
    match c {
        // The control pictures stand in the order of what they picture.
        '\0'..='\u{1f}' => char::from_u32(0x2400 + c as u32),
        '\u{7f}' => Some('␡'),
        // C1 controls: 0x9b alone begins a control sequence.
        '\u{80}'..='\u{9f}' => Some('�'),
        // Invisible, or reordering what stands around them (Unicode TR 36).
        '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' => {
            Some('�')
        }
        _ => None,
    }
}

/// Columns a text takes on a terminal.
pub(crate) fn width(text: &str) -> usize {
    text.width()
}

/// The text in at most `columns` columns, with `…` where something is left out at its end.
pub(crate) fn clip(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let mut out = String::new();
    let mut used = 0;
    for c in text.chars() {
        let wide = c.width().unwrap_or(0);
        if used + wide + 1 > columns {
            break;
        }
        used += wide;
        out.push(c);
    }
    if columns > 0 {
        out.push('…');
    }
    out
}

/// The text, clipped or filled with spaces to exactly `columns` columns.
pub(crate) fn pad(text: &str, columns: usize) -> String {
    let mut text = clip(text, columns);
    let used = width(&text);
    text.extend(std::iter::repeat_n(' ', columns.saturating_sub(used)));
    text
}

/// A span of time for people: `0.4s`, `12.4s`, `2m10s`, `3h05m`, `2d03h`.
pub(crate) fn took(us: u64) -> String {
    let ms = us / 1000;
    let seconds = ms / 1000;
    match seconds {
        0..60 if ms < 100 => format!("{ms}ms"),
        0..60 => format!("{}.{}s", seconds, ms % 1000 / 100),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h{:02}m", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{}d{:02}h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

/// `1 step`, `2 steps`.
pub(crate) fn count(number: u64, word: &str) -> String {
    format!("{number} {word}{}", if number == 1 { "" } else { "s" })
}

/// A wall-clock time in this machine's zone: `12:03:04.123`.
pub(crate) fn clock(wall_us: i64) -> String {
    zoned(wall_us).strftime("%H:%M:%S%.3f").to_string()
}

/// Date and time in this machine's zone: `2026-11-21 12:03:04`.
pub(crate) fn date(wall_us: i64) -> String {
    zoned(wall_us).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// A date in this machine's zone: `2026-11-21`.
pub(crate) fn day(wall_us: i64) -> String {
    zoned(wall_us).strftime("%Y-%m-%d").to_string()
}

/// RFC 3339 in UTC with microseconds, for machines.
pub(crate) fn rfc3339(wall_us: i64) -> String {
    timestamp(wall_us).strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}

fn zoned(wall_us: i64) -> jiff::Zoned {
    timestamp(wall_us).to_zoned(jiff::tz::TimeZone::system())
}

fn timestamp(wall_us: i64) -> jiff::Timestamp {
    // Out of range only where a clock was thousands of years off.
    jiff::Timestamp::from_microsecond(wall_us).unwrap_or_default()
}

/// A bar of `columns` columns, filled by `part` of `whole`.
pub(crate) fn bar(part: u64, whole: u64, columns: usize) -> String {
    const EIGHTHS: [char; 8] = [' ', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];
    let eighths = (part.min(whole) as u128 * columns as u128 * 8).checked_div(u128::from(whole)).unwrap_or(0) as usize;
    let mut text: String = std::iter::repeat_n('█', eighths / 8).collect();
    if !eighths.is_multiple_of(8) {
        text.push(EIGHTHS[eighths % 8]);
    }
    let used = text.chars().count();
    text.extend(std::iter::repeat_n(' ', columns.saturating_sub(used)));
    format!("▕{text}▏")
}

/// The last `lines` lines of a text that say something, each clipped to `columns` characters, harmless.
pub(crate) fn tail(text: &str, lines: usize, columns: usize) -> Vec<String> {
    let mut last: Vec<String> = (text.lines().rev())
        .filter(|line| !line.trim().is_empty())
        .take(lines)
        .map(|line| clip(&printable(line.trim_end()), columns))
        .collect();
    last.reverse();
    last
}

/// A word as a shell takes it: as it is where that is safe, else in single quotes.
pub(crate) fn shell_word(text: &str) -> String {
    let safe = |c: char| c.is_alphanumeric() || "_-./:=@%+,".contains(c);
    if !text.is_empty() && text.chars().all(safe) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// A path as a word of a command: what could control a terminal, and a first `-` that would read as a flag, is written
/// `%1B` as in paths, which `names` reads back.
pub(crate) fn path_word(path: &Path) -> String {
    let mut text = String::new();
    for (index, c) in path.as_str().chars().enumerate() {
        if stand_in(c).is_some() || (index == 0 && c == '-') {
            let mut bytes = [0; 4];
            text.extend(c.encode_utf8(&mut bytes).bytes().map(|byte| format!("%{byte:02X}")));
        } else {
            text.push(c);
        }
    }
    shell_word(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_output_can_control_the_terminal() {
        assert_eq!(printable("a\x1b[31mred\x1b[0m\r\n\u{9b}2J\u{202e}"), "a␛[31mred␛[0m␍␊�2J�");
        assert_eq!(printable_lines("a\n\tb\x07\r"), "a\n\tb␇␍");
        assert_eq!(printable("ö 🧗 日本"), "ö 🧗 日本");
    }

    #[test]
    fn clipping_counts_columns_not_bytes() {
        for (text, columns, clipped) in
            [("abc", 3, "abc"), ("abcd", 3, "ab…"), ("日本語", 5, "日本…"), ("日本語", 4, "日…"), ("abc", 0, "")]
        {
            assert_eq!(clip(text, columns), clipped, "{text} {columns}");
        }
        assert_eq!(pad("日本語", 4), "日… ");
        assert_eq!(pad("ab", 4), "ab  ");
    }

    #[test]
    fn times_read_as_people_say_them() {
        for (us, text) in [
            (0, "0ms"),
            (42_000, "42ms"),
            (412_000, "0.4s"),
            (59_990_000, "59.9s"),
            (130_000_000, "2m10s"),
            (11_100_000_000, "3h05m"),
            (183_600_000_000, "2d03h"),
        ] {
            assert_eq!(took(us), text);
        }
        assert_eq!(rfc3339(1_700_000_000_123_456), "2023-11-14T22:13:20.123456Z");
    }

    #[test]
    fn a_word_pastes_back_as_itself() {
        for (text, word) in [
            ("Copy/ledger/Create", "Copy/ledger/Create"),
            ("Copy/Create table", "'Copy/Create table'"),
            ("it's", r"'it'\''s'"),
            ("a%2Fb", "a%2Fb"),
            ("", "''"),
        ] {
            assert_eq!(shell_word(text), word);
        }
        let path = Path::root().child("-x\n\u{202e}it's");
        assert_eq!(path_word(&path), r"'%2Dx%0A%E2%80%AEit'\''s'");
    }

    #[test]
    fn a_bar_fills_from_empty_to_full() {
        assert_eq!(bar(0, 10, 4), "▕    ▏");
        assert_eq!(bar(5, 10, 4), "▕██  ▏");
        assert_eq!(bar(10, 10, 4), "▕████▏");
        assert_eq!(bar(99, 10, 4), "▕████▏");
        assert_eq!(bar(1, 0, 2), "▕  ▏");
        assert_eq!(bar(9, 16, 2), "▕█▏▏");
    }

    #[test]
    fn a_tail_is_the_last_lines_that_say_something() {
        assert_eq!(tail("a\n\n b \nc\x1b\n\n", 2, 10), [" b", "c␛"]);
    }
}
