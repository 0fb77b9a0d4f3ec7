//! What a plan says and excludes, how two differ, and what an edit means for a run.

use super::*;
use crate::fixture::Log;
use crate::hole::mark;
use serde_json::json;
use std::sync::Arc;

fn path(text: &str) -> Path {
    Path::from_escaped(text)
}

fn action(sql: &str) -> Json {
    json!({"do": "sql", "statements": [sql]})
}

fn fingerprint(kind: StepKind, action: &Json) -> Digest {
    Digest::of_json(&(kind, action))
}

fn step(at: &str, sql: &str) -> Entry {
    let action = action(sql);
    let fingerprint = hole::first(sql).is_none().then(|| fingerprint(StepKind::Step, &action));
    let step = Step {
        kind: StepKind::Step,
        effect: Some(Effect::Write),
        action,
        summary: format!("sql {sql}"),
        fingerprint,
        known: Known::Later,
        saw: None,
        requires: None,
        ensures: None,
        doubt: None,
        undo: None,
    };
    Entry { path: path(at), site: None, what: What::Step(Box::new(step)) }
}

fn end(at: &str) -> Entry {
    Entry { path: path(at), site: None, what: What::End { why: "depends on value of \"Count\"".into() } }
}

fn phase(at: &str) -> Entry {
    Entry {
        path: path(at),
        site: None,
        what: What::Scope { kind: ScopeKind::Phase, total: None, concurrency: None, guards: vec![] },
    }
}

fn plan(entries: Vec<Entry>) -> Plan {
    let runbook =
        PlannedRunbook { title: "T".into(), file: "a.star".into(), digest: Digest::ZERO, sources: Vec::new() };
    Plan { format: FORMAT, runbook, params: Vec::new(), piton: "1".into(), offline: false, entries }
}

#[test]
fn a_run_departs_where_the_plan_excludes_what_it_asks() {
    let item = mark("item of \"Tables\"");
    let bound = Bound::new(Arc::new(plan(vec![
        step("Create", "create table t"),
        phase("Copy"),
        step(&format!("Copy/{item}/Load"), &format!("load {item}")),
        phase("Check"),
        step("Check/First", "select 1"),
        end("Check"),
        step(&format!("Drop {}", mark("value of \"Name\"")), "drop"),
        end(&format!("Late/{item}")),
    ])));
    let changed = |planned: &str| Some(Departure::Changed { planned: planned.to_owned() });
    for (at, kind, sql, expected) in [
        ("Create", StepKind::Step, "create table t", None),
        ("Create", StepKind::Step, "create table u", changed("sql create table t")),
        ("Create", StepKind::Expect, "create table t", changed("sql create table t")),
        ("Create more", StepKind::Step, "create table t", Some(Departure::New)),
        // A template's row: any item, its steps only, its actions only.
        ("Copy/ledger/Load", StepKind::Step, "load ledger", None),
        ("Copy/ledger/Load", StepKind::Step, "drop ledger", changed(&format!("sql load {item}"))),
        ("Copy/ledger/Drop", StepKind::Step, "load ledger", Some(Departure::New)),
        ("Copy/a/b/Load", StepKind::Step, "load a", Some(Departure::New)),
        // Where the plan ends early, what it names must fit, and the rest may be anything.
        ("Check/First", StepKind::Step, "select 2", changed("sql select 1")),
        ("Check/Second", StepKind::Step, "anything", None),
        ("Check/deeper/Second", StepKind::Step, "anything", None),
        ("Checked", StepKind::Step, "anything", Some(Departure::New)),
        ("Late/ledger/x", StepKind::Step, "anything", None),
        ("Late", StepKind::Step, "anything", Some(Departure::New)),
        ("Drop ledger", StepKind::Step, "drop", None),
        // What is itself only planned may yet become what was planned.
        ("Create", StepKind::Step, &format!("create {item}"), None),
    ] {
        let (at, action) = (path(at), action(sql));
        let asked = Asked { path: &at, kind, action: &action, fingerprint: fingerprint(kind, &action) };
        assert_eq!(bound.departure(asked), expected, "{at} {sql}");
    }
}

#[test]
fn everything_fits_after_the_end_of_the_whole_plan() {
    let bound = Bound::new(Arc::new(plan(vec![step("First", "a"), end("")])));
    let (at, asked) = (path("Any/where"), action("x"));
    let kind = StepKind::Step;
    let ask = Asked { path: &at, kind, action: &asked, fingerprint: fingerprint(kind, &asked) };
    assert_eq!(bound.departure(ask), None);
    let first = path("First");
    assert!(bound.departure(Asked { path: &first, ..ask }).is_some());
}

#[test]
fn a_digest_covers_what_would_be_done_and_not_what_was_seen() {
    let known = plan(vec![step("Create", "create table t"), end("Copy")]);
    let change = |change: fn(&mut Plan)| {
        let mut other = known.clone();
        change(&mut other);
        other.digest() == known.digest()
    };
    let in_step = |change: fn(&mut Step)| {
        let mut other = known.clone();
        if let What::Step(step) = &mut other.entries[0].what {
            change(step);
        }
        other.digest() == known.digest()
    };
    assert!(in_step(|step| step.saw = Some("3 rows".into())));
    assert!(change(|plan| plan.piton = "2".into()));
    assert!(!in_step(|step| step.known = Known::AlreadyTrue));
    assert!(!in_step(|step| step.undo = Some("drop".into())));
    assert!(!in_step(|step| step.action = json!({"do": "noop"})));
    assert!(!change(|plan| plan.params.push(("batch".into(), 40i64.into()))));
    assert!(!change(|plan| drop(plan.entries.pop())));
    assert!(!change(|plan| plan.runbook.digest = Digest::of_bytes(b"other")));
    let read: Plan = serde_json::from_str(&serde_json::to_string(&known).unwrap()).unwrap();
    assert_eq!((read.digest(), &read), (known.digest(), &known));
}

#[test]
fn counts_are_of_what_would_be_done() {
    let (a, b) = (mark("value of \"A\""), mark("value of \"B\""));
    let mut read = step("Read", "select 1");
    if let What::Step(step) = &mut read.what {
        (step.effect, step.known) = (Some(Effect::Read), Known::Read);
    }
    let mut there = step("There", "create table t");
    if let What::Step(step) = &mut there.what {
        step.known = Known::AlreadyTrue;
    }
    let plan = plan(vec![read, there, step("X", &format!("{a} {b}")), step("Y", &a), end("Z")]);
    let expected = Counts { steps: 4, writes: 2, read_now: 1, already_true: 1, holes: 2, ends: 1, ..Counts::default() };
    assert_eq!(plan.counts(), expected);
}

#[test]
fn two_plans_are_compared_line_by_line() {
    let old = plan(vec![phase("A"), step("A/x", "one"), step("A/y", "two"), step("A/z", "three")]);
    let mut learnt = step("A/x", "one");
    if let What::Step(step) = &mut learnt.what {
        (step.known, step.saw) = (Known::AlreadyTrue, Some("1".into()));
    }
    learnt.site = Some(Site { file: "a.star".into(), line: 9, column: 1 });
    let new = plan(vec![phase("A"), learnt, step("A/y", "other"), end("A")]);
    let changes = compare(&old, &new);
    let paths = |lines: &[Line]| lines.iter().map(|line| line.path.to_string()).collect::<Vec<_>>();
    assert_eq!((paths(&changes.added), paths(&changes.removed)), (vec!["A".to_owned()], vec!["A/z".to_owned()]));
    assert_eq!(changes.unchanged, 2);
    let changed: Vec<_> = changes.changed.iter().map(|one| (one.path.as_str(), &*one.was, &*one.now)).collect();
    assert_eq!(changed, [("A/y", "sql two", "sql other")]);
    assert!(!changes.is_empty() && compare(&new, &new).is_empty());
}

fn known(mut entry: Entry) -> Entry {
    if let What::Step(step) = &mut entry.what {
        step.known = Known::Done;
    }
    entry
}

fn each(at: &str) -> Entry {
    let kind = ScopeKind::Each { continue_on_failure: false };
    Entry {
        path: path(at),
        site: None,
        what: What::Scope { kind, total: Some(2), concurrency: None, guards: Vec::new() },
    }
}

#[test]
fn an_edit_keeps_changes_leaves_behind_and_inserts() {
    let mut log = Log::new();
    log.done("a").done("b").done("e/1/x").done("e/2/x").done("gone").hold_failed("f");
    let entries = vec![
        known(step("a", "same")),
        step("new", "before what is done"),
        step("b", "other"),
        each("e"),
        known(step("e/1/x", "same")),
        // Behind what is done in its branch, and side by side with the rest.
        step("e/1/y", "next"),
        step("e/2/w", "before x"),
        known(step("e/2/x", "same")),
        step("f", "mended"),
        step("later", "at the end"),
    ];
    let lists = edit::lists(&entries, &log.state);
    let paths = |touched: &[edit::Touched]| touched.iter().map(|one| one.path.to_string()).collect::<Vec<_>>();
    assert_eq!(lists.kept, 3);
    assert_eq!(paths(&lists.changed), ["b"]);
    assert_eq!(paths(&lists.inserted), ["new", "e/2/w"]);
    assert_eq!(paths(&lists.tried_again), ["f"]);
    let orphaned: Vec<_> = lists.orphaned.iter().map(|one| (one.path.as_str(), one.wrote)).collect();
    assert_eq!(orphaned, [("gone", true)]);
    assert!(lists.undetermined.is_empty());
}

#[test]
fn what_lies_behind_an_end_is_undetermined_and_not_left_behind() {
    let mut log = Log::new();
    log.done("a").done("p/b").done("p/c").done("z");
    let entries = vec![known(step("a", "same")), phase("p"), step("p/new", "look"), end("p"), known(step("z", "same"))];
    let lists = edit::lists(&entries, &log.state);
    assert_eq!((lists.kept, lists.orphaned.len(), lists.inserted.len()), (2, 0, 1));
    assert_eq!(lists.undetermined[0].scope, path("p"));
    // Nothing is done behind it: it is merely next.
    let mut log = Log::new();
    log.done("a");
    let lists = edit::lists(&entries, &log.state);
    assert!(lists.inserted.is_empty() && lists.orphaned.is_empty());
}
