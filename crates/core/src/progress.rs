//! What a running attempt says of itself: its last line, and how far it is.
//!
//! Owns the form of a progress line, `piton:progress DONE/TOTAL UNIT`, which any command can print. Shown only: nothing is
//! decided by it, and nothing of it reaches the journal.

/// What a running attempt has printed last, for screens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// The last line that is no progress line.
    pub line: Option<String>,
    pub progress: Option<Progress>,
}

/// How far an attempt says it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    pub done: u64,
    /// Absent: nobody knows how much there is.
    pub total: Option<u64>,
    /// `rows`, `bytes`, `%`; empty: things.
    pub unit: String,
}

const PREFIX: &str = "piton:progress ";
/// Characters of a unit.
const MAX_UNIT_CHARS: usize = 12;

impl Progress {
    /// Reads a line: `piton:progress 812004/2300111 rows`, `piton:progress 812004 rows`, `piton:progress 35%`. `None`: it
    /// is a line as any other.
    pub fn parse(line: &str) -> Option<Self> {
        let told = line.trim().strip_prefix(PREFIX)?.trim();
        let (numbers, unit) = match told.find(|c: char| c != '/' && !c.is_ascii_digit()) {
            Some(end) => told.split_at(end),
            None => (told, ""),
        };
        let unit = unit.trim();
        if unit.chars().count() > MAX_UNIT_CHARS || unit.chars().any(char::is_control) {
            return None;
        }
        let (done, total) = match numbers.split_once('/') {
            Some((done, total)) => (done.parse().ok()?, Some(total.parse().ok()?)),
            None => (numbers.parse().ok()?, None),
        };
        let total = if unit == "%" { total.or(Some(100)) } else { total };
        Some(Self { done, total, unit: unit.to_owned() })
    }
}

impl Said {
    /// Of the last lines that it printed, the oldest first. `None`: it has said nothing.
    pub fn of<'a>(lines: impl DoubleEndedIterator<Item = &'a str>) -> Option<Self> {
        let mut said = Self::default();
        for line in lines.rev().map(str::trim_end).filter(|line| !line.trim().is_empty()) {
            match Progress::parse(line) {
                Some(progress) => said.progress = said.progress.or(Some(progress)),
                None => said.line = said.line.or_else(|| Some(line.to_owned())),
            }
            if said.line.is_some() && said.progress.is_some() {
                break;
            }
        }
        (said != Self::default()).then_some(said)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Option<(u64, Option<u64>, String)> {
        Progress::parse(line).map(|progress| (progress.done, progress.total, progress.unit))
    }

    #[test]
    fn a_line_tells_how_far_it_is_in_one_of_three_forms() {
        assert_eq!(read("piton:progress 812004/2300111 rows"), Some((812_004, Some(2_300_111), "rows".into())));
        assert_eq!(read("  piton:progress 812004 rows\r"), Some((812_004, None, "rows".into())));
        assert_eq!(read("piton:progress 35%"), Some((35, Some(100), "%".into())));
        assert_eq!(read("piton:progress 3/4"), Some((3, Some(4), String::new())));
    }

    #[test]
    fn every_other_line_is_a_line() {
        for line in [
            "piton:progress",
            "piton:progress ",
            "piton:progress many rows",
            "piton:progress 1/2/3",
            "piton:progress 1/ rows",
            "piton:progress 99999999999999999999 rows",
            "piton:progress -1 rows",
            "piton:progress 1 a unit that is far too long",
            "piton:progress 1 a\u{1b}[2J",
            "progress 1/2",
        ] {
            assert_eq!(read(line), None, "{line}");
        }
    }

    #[test]
    fn the_last_line_and_the_last_progress_are_told_whichever_came_later() {
        let lines = ["begins", "piton:progress 1/9", "", "accounts", "piton:progress 2/9", "piton:progress x"];
        let said = Said::of(lines.into_iter()).unwrap();
        assert_eq!((said.line.as_deref(), said.progress.map(|it| it.done)), (Some("piton:progress x"), Some(2)));
        assert_eq!(Said::of(["", "  "].into_iter()), None);
    }
}
