//! The page for people: complete where it matters, and unforgeable by the names in it.

use super::*;
use crate::event::{Event, Finish};
use crate::fixture::*;
use crate::value::Value;

fn page(log: &Log) -> String {
    markdown(&Statement::from_journal(&log.sealed).unwrap())
}

#[test]
fn a_page_has_a_section_for_each_thing_that_happened_and_none_for_what_did_not() {
    let headings =
        |log: &Log| page(log).lines().filter(|line| line.starts_with('#')).map(str::to_owned).collect::<Vec<_>>();
    let full = headings(&a_full_life());
    let expected = [
        "# Receipt of run `7000000000`",
        "## Windows",
        "## People",
        "## Holds",
        "## Caught failures",
        "## Taken back: `Copy`",
        "## Taken back: `w`",
        "## Steps",
        "## Values",
        "## Note `note`",
    ];
    // The author's own heading stands in a block of text.
    assert_eq!(full.iter().filter(|line| *line != "# All is well").collect::<Vec<_>>()[..10], expected);
    let mut log = Log::new();
    log.done("a").finish(Finish::Succeeded);
    assert_eq!(headings(&log), ["# Receipt of run `7000000000`", "## Steps", "## Verification"]);
}

#[test]
fn a_window_shows_budget_and_measure_and_says_loudly_when_it_was_over() {
    let mut log = Log::new();
    log.open_window("w").wait_ms(95_000).done("w/a").close_window("w", false);
    assert!(page(&log).contains("| `w` | 1m30s | 1m35s | **over budget** | – | 0 |"), "{}", page(&log));
}

#[test]
fn an_unfinished_run_is_said_to_be_unfinished() {
    let mut log = Log::new();
    log.start("a").hold_failed("a");
    assert!(page(&log).contains("- **Status**: held (not finished)"));
}

/// Names that try to leave their cell, their code span or their line.
const HOSTILE: [&str; 16] = [
    "a ` [link](https://evil.example) `",
    "`` x ` <script> `` evil",
    "a|b",
    "a\\|b",
    "a\\\\|b",
    "tick ` tick",
    "``` fence",
    "`",
    "ends with \\",
    "new\nline\n## Heading\n| x | y |",
    "<script>alert(1)</script>",
    "[link](https://evil.example) ![](x)",
    "\u{202e}reversed\u{2066}",
    "\u{1b}[31mred\u{7}",
    "   ",
    "| `` | ` |",
];

#[test]
fn no_name_can_forge_a_row_a_heading_or_a_link() {
    for hostile in HOSTILE {
        let mut log = Log::empty();
        let mut started = run_started();
        started.runbook.title = hostile.into();
        started.by.name = hostile.into();
        started.params = vec![(hostile.into(), Value::str(hostile))];
        log.add(Event::RunStarted(Box::new(started))).attach(crate::event::Attach::Started);
        log.done(hostile).ask("go", Log::approval(1, false));
        log.answer("go", hostile, 1001, crate::event::Answer::Approve).open_window(hostile);
        log.begin_undo(hostile);
        log.add(Event::AbortAsked { by: actor(hostile, 1), why: Some(hostile.into()) });
        log.add(Event::Emitted { path: path("v"), name: hostile.into(), value: Value::str(hostile) });
        log.add(Event::Noted { path: path("n"), markdown: hostile.into() });
        let page = page(&log);
        let headings = in_the_open(&page).filter(|line| line.starts_with('#')).count();
        assert_eq!(headings, 8, "{hostile:?}\n{page}");
        rows_have_their_columns(&page, hostile);
        for line in in_the_open(&page) {
            let bare = outside_code(line);
            assert!(!bare.contains("script") && !bare.contains("evil") && !bare.contains("[31m"), "{line}");
        }
        assert!(!page.chars().any(|c| c != '\n' && crate::receipt::markdown::is_unprintable(c)), "{page:?}");
    }
}

/// Lines that are not in a fenced block.
fn in_the_open(page: &str) -> impl Iterator<Item = &str> {
    let mut fence: Option<&str> = None;
    page.lines().filter(move |line| {
        let ticks = &line[..line.len() - line.trim_start_matches('`').len()];
        match fence {
            Some(open) if ticks.len() >= open.len() && ticks == line.trim_end() => {
                fence = None;
                false
            }
            Some(_) => false,
            None if ticks.len() >= 3 => {
                fence = Some(ticks);
                false
            }
            None => true,
        }
    })
}

/// What of a line is not in a code span (CommonMark 0.31, section 6.1).
fn outside_code(line: &str) -> String {
    let mut bare = String::new();
    let mut rest = line;
    while let Some(at) = rest.find('`') {
        bare.push_str(&rest[..at]);
        rest = &rest[at..];
        let ticks = rest.len() - rest.trim_start_matches('`').len();
        let mut from = ticks;
        let mut end = None;
        while let Some(next) = rest[from..].find('`').map(|next| from + next) {
            let run = rest[next..].len() - rest[next..].trim_start_matches('`').len();
            if run == ticks {
                end = Some(next + run);
                break;
            }
            from = next + run;
        }
        match end {
            Some(end) => rest = &rest[end..],
            None => {
                bare.push_str(&rest[..ticks]);
                rest = &rest[ticks..];
            }
        }
    }
    bare + rest
}

/// Cells as both readings of a backslash before a pipe split them: they must agree with the heading's.
fn rows_have_their_columns(page: &str, hostile: &str) {
    let by_pairs = |line: &str| {
        let mut escaped = false;
        line.chars()
            .filter(|c| {
                let delimits = *c == '|' && !escaped;
                escaped = *c == '\\' && !escaped;
                delimits
            })
            .count()
    };
    let by_neighbour = |line: &str| {
        let chars: Vec<char> = line.chars().collect();
        (0..chars.len()).filter(|i| chars[*i] == '|' && (*i == 0 || chars[*i - 1] != '\\')).count()
    };
    let mut columns = 0;
    let mut before = "";
    for line in in_the_open(page) {
        if line.starts_with('|') {
            if !before.starts_with('|') {
                columns = by_pairs(line);
            }
            assert_eq!(by_pairs(line), columns, "{hostile:?}: {line}");
            assert_eq!(by_neighbour(line), columns, "{hostile:?}: {line}");
        }
        before = line;
    }
}
