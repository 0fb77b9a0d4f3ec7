//! The HTML page: it shows everything, nothing from outside becomes markup, and a changed page is found out.

use super::*;
use crate::event::{Attach, Event, Finish};
use crate::fixture::*;
use crate::hold::{Choice, HoldReason};
use crate::value::Value;
use std::collections::BTreeSet;

fn page(log: &Log) -> String {
    let statement = Statement::from_journal(&log.sealed).unwrap();
    html(&statement, &statement.seal(&key()).unwrap()).unwrap()
}

fn headings(page: &str) -> Vec<&str> {
    page.split("<h2 id=\"").skip(1).map(|rest| rest.split(['>', '<']).nth(1).unwrap()).collect()
}

/// The value of every attribute of this name.
fn values<'a>(page: &'a str, name: &str) -> Vec<&'a str> {
    let opens = format!(" {name}=\"");
    page.split(&opens).skip(1).map(|rest| rest.split('"').next().unwrap()).collect()
}

#[test]
fn a_page_has_a_section_for_each_thing_that_happened_and_none_for_what_did_not() {
    let expected = [
        "Out of the ordinary",
        "Parameters",
        "Timeline",
        "Windows",
        "People",
        "Holds",
        "Failures that the runbook caught",
        "Taken back",
        "Steps",
        "Values",
        "Notes",
        "Engines",
        "Verification",
    ];
    assert_eq!(headings(&page(&a_full_life())), expected);
    let mut log = Log::new();
    log.done("a").finish(Finish::Succeeded);
    let short = ["Out of the ordinary", "Parameters", "Timeline", "Steps", "Engines", "Verification"];
    assert_eq!(headings(&page(&log)), short);
}

#[test]
fn what_is_out_of_the_ordinary_comes_first_with_who_and_why() {
    let page = page(&a_full_life());
    let (_, rest) = page.split_once("Out of the ordinary").unwrap();
    let (items, _) = rest.split_once("</section>").unwrap();
    for item in [
        "<strong>Waived</strong>: <code>waived</code>, by <code>grace (uid 1001 on ops1)</code>: <code>it is",
        "<strong>Taken as done on a person&#39;s word</strong>: <code>said</code>",
        "<strong>Taken back</strong>: <code>Copy</code>, asked by <code>ada (uid 1000 on ops1)</code>",
        "<strong>Taken back</strong>: <code>w</code>, by its window itself: <code>over</code>",
        "whose watchdog took over: 1",
    ] {
        let item = item.replace("&#39;", "'");
        assert!(items.contains(&item), "{item}\n{items}");
    }
    let mut log = Log::new();
    log.start("x").hold("x", HoldReason::Departed { now: "sh rm".into(), planned: None });
    log.choose("x", Choice::Depart);
    let page = self::page(&log);
    assert!(page.contains("<li><strong>Departed from the plan</strong>: <code>x</code>, by <code>grace"), "{page}");
    assert!(page.contains("The run has not ended"));
}

#[test]
fn a_window_shows_its_budget_its_reserve_its_commit_point_and_what_was_measured() {
    let page = page(&a_full_life());
    assert!(page.contains("<span class=\"how warn\">went back, within budget</span>"));
    assert!(page.contains("<span class=\"how good\">within budget</span>"));
    assert!(page.contains("<b>230.0ms</b> of a budget of <b>1m30s</b>, of which 20s in reserve"), "{page}");
    assert!(page.contains("commit point <code>no way back</code> after 120.0ms"), "{page}");
    // 70 of 90 seconds, in tenths of a thousand.
    assert!(page.contains("<rect class=\"reserve\" x=\"777.7\" y=\"0\" width=\"222.3\""), "{page}");
    let mut log = Log::new();
    log.open_window("w").wait_ms(95_000).done("w/a").close_window("w", false);
    let late = self::page(&log);
    assert!(late.contains("<span class=\"how bad\">over budget</span>"));
    assert!(late.contains("<strong>Over budget</strong>: the window <code>w</code>"));
    assert!(late.contains("<rect class=\"failed\" x=\"0\" y=\"6\" width=\"1000\""));
}

#[test]
fn a_secret_stands_in_the_page_as_its_hash_only() {
    let page = page(&a_full_life());
    assert!(page.contains(&fingerprint("keyed").to_string()));
    assert!(page.contains("«secret target»"));
}

/// Names that try to become markup, to leave an attribute, or to disturb how their neighbours are read.
const HOSTILE: [&str; 14] = [
    "<script>alert(1)</script>",
    "</title></style><script>alert(1)</script>",
    "\" onload=\"alert(1)",
    "' onclick='alert(1)",
    "</pre>\n<pre id=\"envelope\">\n{\"payload\":\"\"}\n",
    "</svg></a><img src=x onerror=alert(1)>",
    "<meta name=\"generator\" content=\"Piton receipt page 9\">",
    "&lt;b&gt;&#60;script&#62;",
    "--><!--",
    "]]><![CDATA[",
    "new\nline\r\n\t\u{85}\u{2028}end",
    "\u{202e}desrever\u{2066}\u{200f}",
    "\u{0}\u{1b}[31m\u{7f}\u{feff}",
    "👩‍🚒 naïve 数据库 شبكة",
];

fn hostile(text: &str) -> Log {
    let mut log = Log::empty();
    let mut started = run_started();
    started.runbook.title = text.into();
    started.runbook.file = text.into();
    started.runbook.sources = vec![(text.into(), fingerprint("x"))];
    started.by.name = text.into();
    started.params = vec![(text.into(), Value::str(text))];
    log.add(Event::RunStarted(Box::new(started))).attach(Attach::Started);
    let name = crate::path::Path::root().child(text);
    let inner = name.child(text);
    log.done(inner.as_str()).ask("go", Log::approval(1, false));
    log.answer("go", text, 1001, crate::event::Answer::Approve).open_window(name.as_str());
    log.start("h").hold("h", HoldReason::Unknown { why: text.into() }).begin_undo(name.as_str());
    log.undo(inner.as_str());
    log.add(Event::AbortAsked { by: actor(text, 1), why: Some(text.into()) });
    log.add(Event::Emitted { path: path("v"), name: text.into(), value: Value::str(text) });
    log.add(Event::Noted { path: inner, markdown: text.into() });
    log
}

/// Tags, attributes and what they hold, of which the page is made whatever its texts are.
fn skeleton(page: &str) -> BTreeSet<String> {
    let mut tags = BTreeSet::new();
    for part in page.split('<').skip(1) {
        let (tag, _) = part.split_once('>').expect("each < begins a tag");
        let name: String = tag.chars().take_while(|c| !c.is_whitespace()).collect();
        let names = tag.split('"').step_by(2).map(|outside| outside.split_once(' ').map_or("", |(_, name)| name));
        tags.insert(format!("{name} {}", names.collect::<Vec<_>>().concat()));
    }
    tags
}

#[test]
fn no_name_becomes_markup_whatever_it_holds() {
    let harmless = page(&hostile("harmless"));
    for text in HOSTILE {
        let page = page(&hostile(text));
        assert_eq!(skeleton(&page), skeleton(&harmless), "{text:?}");
        assert_eq!(headings(&page), headings(&harmless), "{text:?}");
        assert_eq!(page.matches("<pre id=\"envelope\">").count(), 1);
        let strange = page.chars().find(|c| *c != '\n' && crate::receipt::markdown::is_unprintable(*c));
        assert_eq!(strange, None, "{text:?}");
        let report = verify_page(page.as_bytes(), None);
        assert_eq!(failures(&report), [""; 0], "{text:?}");
    }
}

#[test]
fn a_page_runs_nothing_and_loads_nothing() {
    let page = page(&a_full_life());
    let lower = page.to_ascii_lowercase();
    for forbidden in ["<script", "javascript:", "<img", "<iframe", "<object", "<link", "url(h", "@import", " src="] {
        assert!(!lower.contains(forbidden), "{forbidden}");
    }
    let handlers = skeleton(&page).into_iter().filter(|tag| tag.split([' ', '=']).any(|name| name.starts_with("on")));
    assert_eq!(handlers.collect::<Vec<_>>(), [""; 0]);
    // The policy forbids everything but the one style sheet, whose hash it holds: so no style attributes either.
    let (style, _) = page.split_once("<style>").unwrap().1.split_once("</style>").unwrap();
    let hash = crate::digest::Digest::of_bytes(style.as_bytes());
    let hash = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, hash.as_bytes());
    let policy = format!("default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'");
    assert_eq!(values(&page, "http-equiv"), ["Content-Security-Policy"]);
    assert!(page.contains(&format!("content=\"{policy}\"")));
    assert_eq!(values(&page, "style"), [""; 0]);
    // Links lead to places in this page only.
    let ids: BTreeSet<&str> = values(&page, "id").into_iter().collect();
    let links = values(&page, "href");
    assert!(links.len() > 10);
    for link in links {
        assert!(ids.contains(link.strip_prefix('#').unwrap()), "{link}");
    }
    assert_eq!(ids.len(), values(&page, "id").len(), "ids are each used once");
}

#[test]
fn a_page_carries_the_receipt_and_verifies_with_it() {
    let log = a_full_life();
    let page = page(&log);
    assert!(is_page(page.as_bytes()) && !is_page(&receipt(&log)));
    let line = page.lines().find(|line| line.starts_with("{\"payload\"")).unwrap();
    assert_eq!(format!("{line}\n").as_bytes(), receipt(&log));
    let report = verify_page(page.as_bytes(), Some(&key().public()));
    assert_eq!(failures(&report), [""; 0]);
    assert!(report.is_valid() && report.is_trusted());
    assert_eq!(report.checks.last().unwrap().part, Part::Page);
    let other = SigningKey::from_seed(&[9; 32]).public();
    assert!(!verify_page(page.as_bytes(), Some(&other)).is_valid());
}

#[test]
fn a_page_whose_visible_text_was_changed_is_found_out_and_the_place_is_told() {
    let page = page(&a_full_life());
    for (was, is) in [
        ("<strong>Waived</strong>", "<strong>Approved</strong>"),
        ("grace (uid 1001", "linus (uid 1001"),
        ("went back, within budget", "within budget"),
        ("<b>230.0ms</b>", "<b>130.0ms</b>"),
        ("</head>", "<style>.attention{display:none}</style></head>"),
        ("default-src 'none'", "default-src *"),
        ("<rect class=\"failed\"", "<rect class=\"work\""),
        ("</body>", "<p>All is well.</p></body>"),
    ] {
        let changed = page.replacen(was, is, 1);
        assert_ne!(changed, page, "{was}");
        let report = verify_page(changed.as_bytes(), Some(&key().public()));
        let why = failures(&report);
        assert!(
            !report.is_valid() && why.len() == 1 && why[0].contains("the page was changed: line "),
            "{was}: {why:?}"
        );
    }
    let changed = page.replacen("grace (uid 1001", "linus (uid 1001", 1);
    let why = failures(&verify_page(changed.as_bytes(), None));
    assert!(why[0].contains("linus (uid 1001") && why[0].contains("grace (uid 1001"), "{why:?}");
}

#[test]
fn any_changed_added_or_missing_byte_of_a_page_makes_it_invalid() {
    let mut log = Log::new();
    log.done("a").finish(Finish::Succeeded);
    let page = page(&log).into_bytes();
    assert!(verify_page(&page, None).is_valid());
    for at in (0..page.len()).step_by(997).chain([page.len() - 1]) {
        let mut changed = page.clone();
        changed[at] ^= 0x20;
        assert!(!verify_page(&changed, None).is_valid(), "byte {at}");
        assert!(!verify_page(&page[..at], None).is_valid(), "cut after {at}");
        changed[at] = page[at];
        changed.insert(at, b' ');
        assert!(!verify_page(&changed, None).is_valid(), "a space before {at}");
    }
    for added in [b"\n".as_slice(), b"<!-- -->", b"x"] {
        assert!(!verify_page(&[page.as_slice(), added].concat(), None).is_valid());
    }
}

#[test]
fn a_page_of_another_form_is_not_said_to_be_forged_and_not_said_to_be_valid() {
    let page = page(&a_full_life()).replacen("Piton receipt page 1", "Piton receipt page 2", 1);
    let report = verify_page(page.as_bytes(), None);
    assert!(!report.is_valid());
    assert!(failures(&report)[0].contains("a page of form 2, and this version of Piton renders form 1"));
}

#[test]
fn a_page_with_another_runs_receipt_in_it_is_found_out() {
    let mut other = Log::new();
    other.done("b").finish(Finish::Succeeded);
    let own = String::from_utf8(receipt(&a_full_life())).unwrap();
    let swapped =
        page(&a_full_life()).replacen(own.trim_end(), String::from_utf8(receipt(&other)).unwrap().trim_end(), 1);
    let report = verify_page(swapped.as_bytes(), Some(&key().public()));
    assert!(!report.is_valid() && failures(&report)[0].contains("the page was changed"), "{:?}", failures(&report));
    for nothing in ["<!doctype html>\n", "<!doctype html>\n<pre id=\"envelope\">\n", "<html>\u{fffd}"] {
        assert!(!verify_page(nothing.as_bytes(), None).is_valid());
    }
}

#[test]
fn a_picture_of_three_thousand_steps_is_as_large_as_one_of_a_hundred() {
    let picture = |each: &dyn Fn(u32) -> String, steps: u32| {
        let mut log = Log::new();
        for step in 0..steps {
            log.done(&each(step));
        }
        let page = page(&log.finish(Finish::Succeeded).clone());
        let svg = page.split_once("<svg class=\"timeline\"").unwrap().1.split_once("</svg>").unwrap().0.to_owned();
        (svg.matches("<a href").count(), svg.len())
    };
    let phases = |step: u32| format!("phase {}/item {}/step {step}", step % 7, step % 500);
    let flat = |step: u32| format!("step {step}");
    let one = |step: u32| format!("Rotate/item {step}/write");
    for each in [&phases as &dyn Fn(u32) -> String, &flat, &one] {
        let ((few, _), (many, size)) = (picture(each, 100), picture(each, 3_000));
        assert!((7..=44).contains(&few) && (7..=44).contains(&many), "{few} {many}");
        assert!(size < 400_000, "{size}");
    }
    let (five, _) = picture(&|step| format!("Phase/step {step}"), 5);
    assert_eq!(five, 6, "each of five steps has its line");
}

#[test]
fn times_of_a_clock_that_jumps_are_drawn_inside_the_picture() {
    for jump in [-86_400_000_000i64 * 365, 86_400_000_000 * 365_000, i64::MAX - 1_700_000_100_000_000] {
        let mut log = Log::new();
        log.done("a").start("b");
        log.now.wall_us += jump;
        log.succeed("b").finish(Finish::Succeeded);
        let page = page(&log);
        let svg = page.split_once("<svg class=\"timeline\"").unwrap().1.split_once("</svg>").unwrap().0;
        for x in values(svg, "x").into_iter().chain(values(svg, "width")) {
            let x: f64 = x.parse().unwrap();
            assert!((0.0..=1000.0).contains(&x), "{jump}: {x}");
        }
        assert!(verify_page(page.as_bytes(), None).is_valid());
    }
}
