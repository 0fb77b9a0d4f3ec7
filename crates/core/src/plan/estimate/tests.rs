//! What past runs say of a plan: each rule with the journal it is read from.

use super::super::past::{Past, PastRun};
use super::*;
use crate::digest::Digest;
use crate::plan::{FORMAT, PlannedRunbook, Step};
use crate::record::Moment;
use crate::scope::OnOver;
use serde_json::{Value as Json, json};

/// A journal: milliseconds and event.
fn run(records: &[(u64, Json)]) -> PastRun {
    let mut run = PastRun::default();
    for (ms, event) in records {
        let at = Moment { wall_us: 0, boot_us: 1_000_000 + ms * 1000 };
        assert!(run.see(at, &event.to_string()), "{event}");
    }
    run
}

fn started() -> Json {
    json!({"run_started": {"runbook": {"file": "a.star", "title": "T"}}})
}

fn rehearsed(how: &str) -> Json {
    json!({"run_started": {"runbook": {"file": "a.star", "title": "T"}, "rehearsal": how}})
}

fn finished() -> Json {
    json!({"run_finished": {"how": "succeeded", "value": null}})
}

fn began(path: &str) -> Json {
    json!({"attempt_started": {"path": path, "generation": 1}})
}

fn ended(path: &str) -> Json {
    json!({"step_succeeded": {"path": path, "kind": "step", "how": "performed", "outcome": {"took_us": 7}}})
}

fn entered(path: &str, kind: Json) -> Json {
    json!({"scope_entered": {"path": path, "kind": kind, "total": 2}})
}

fn each() -> Json {
    json!({"scope": "each", "continue_on_failure": false})
}

fn step(path: &str) -> Entry {
    let step = Step {
        kind: StepKind::Step,
        effect: None,
        action: Json::Null,
        summary: String::new(),
        fingerprint: None,
        known: Known::Later,
        saw: None,
        requires: None,
        ensures: None,
        doubt: None,
        undo: Some("back".into()),
    };
    Entry { path: Path::from_escaped(path), site: None, what: What::Step(Box::new(step)) }
}

fn of_kind(path: &str, kind: StepKind, action: Json) -> Entry {
    let mut entry = step(path);
    if let What::Step(step) = &mut entry.what {
        (step.kind, step.action) = (kind, action);
    }
    entry
}

fn scope(path: &str, kind: ScopeKind, total: Option<u64>, concurrency: u32) -> Entry {
    let what = What::Scope { kind, total, concurrency: Some(concurrency), guards: Vec::new() };
    Entry { path: Path::from_escaped(path), site: None, what }
}

const EACH: ScopeKind = ScopeKind::Each { continue_on_failure: false };

fn window(path: &str, budget_ms: u64, reserve_ms: u64) -> Entry {
    let (budget, reserve) = (Duration::from_ms(budget_ms), Duration::from_ms(reserve_ms));
    scope(path, ScopeKind::Window { budget, reserve, on_over: OnOver::Undo }, None, 1)
}

fn what(path: &str, what: What) -> Entry {
    Entry { path: Path::from_escaped(path), site: None, what }
}

fn estimated(entries: Vec<Entry>, runs: Vec<PastRun>) -> Estimate {
    let runbook =
        PlannedRunbook { title: "T".into(), file: "a.star".into(), digest: Digest::ZERO, sources: Vec::new() };
    let plan = Plan { format: FORMAT, runbook, params: Vec::new(), piton: "1".into(), offline: false, entries };
    estimate(&plan, &Past::of(runs)).unwrap()
}

fn one_step(start: Json, took_ms: u64) -> PastRun {
    run(&[(0, start), (0, began("A")), (took_ms, ended("A")), (took_ms, finished())])
}

#[test]
fn a_step_takes_the_median_of_real_runs_and_what_rehearsals_took_where_there_is_none() {
    let runs = |real: &[u64]| {
        let real = real.iter().map(|ms| one_step(started(), *ms));
        real.chain([1, 2, 3].map(|ms| one_step(rehearsed("forward"), ms))).collect::<Vec<_>>()
    };
    for (real, about_ms, only_rehearsed) in [(&[900, 20, 30][..], 30, false), (&[40], 40, false), (&[], 2, true)] {
        let told = estimated(vec![step("A"), step("B")], runs(real));
        assert_eq!(told.total, Span { us: about_ms * 1000, untimed: 1, rehearsed: only_rehearsed }, "{real:?}");
        assert_eq!((told.runs, told.rehearsals), (real.len() as u32, 3));
    }
}

#[test]
fn branches_are_given_to_as_many_hands_as_there_are_and_a_new_one_takes_what_its_siblings_took() {
    let past = || {
        vec![run(&[
            (0, started()),
            (0, entered("Copy", each())),
            (0, began("Copy/a/Load")),
            (0, began("Copy/b/Load")),
            (10, ended("Copy/a/Load")),
            (30, ended("Copy/b/Load")),
            (30, json!({"scope_left": {"path": "Copy"}})),
            (30, finished()),
        ])]
    };
    let plan = |keys: &[&str], hands: u32| {
        let mut entries = vec![scope("Copy", EACH, Some(keys.len() as u64), hands)];
        for key in keys {
            entries.push(scope(&format!("Copy/{key}"), ScopeKind::Branch, None, 1));
            entries.push(step(&format!("Copy/{key}/Load")));
        }
        estimated(entries, past()).total
    };
    // `new` takes 30, the larger of two.
    for (keys, hands, ms) in [
        (&["a", "b", "new"][..], 1, 70),
        (&["a", "b", "new"], 2, 40),
        (&["b", "new", "a"], 2, 40),
        (&["b", "a"], 2, 30),
        (&["a", "b", "new"], 8, 30),
        (&[], 4, 0),
    ] {
        assert_eq!(plan(keys, hands), Span { us: ms * 1000, untimed: 0, rehearsed: false }, "{keys:?} {hands}");
    }
    // One row stands for all: there were two before, in two turns of one hand.
    let key = crate::hole::mark("item of \"Tables\"");
    let template = vec![
        scope("Copy", EACH, None, 1),
        scope(&format!("Copy/{key}"), ScopeKind::Branch, None, 1),
        step(&format!("Copy/{key}/Load")),
    ];
    assert_eq!(estimated(template, past()).total.us, 60_000);
}

#[test]
fn time_of_people_and_time_without_an_engine_is_nobodys_and_a_plan_that_ends_early_takes_what_it_took() {
    let asked = json!({"person_asked": {"path": "Go"}});
    let approved = json!({"step_succeeded": {"path": "Go", "kind": "approve", "how": "performed", "outcome": {}}});
    let past = vec![run(&[
        (0, started()),
        (0, entered("P", json!({"scope": "phase"}))),
        (0, began("P/A")),
        (10, ended("P/A")),
        (10, asked),
        (5_000, approved),
        (5_000, began("P/B")),
        (5_004, json!({"attempt_failed": {"path": "P/B", "retry_at_us": 1}})),
        (9_000, json!({"engine_attached": {}})),
        (9_000, began("P/B")),
        (9_006, ended("P/B")),
        (9_006, json!({"scope_left": {"path": "P"}})),
        (9_006, finished()),
    ])];
    let ends = What::End { why: "depends on x".into() };
    let phase = scope("P", ScopeKind::Phase, None, 1);
    let go = of_kind("Go", StepKind::Approve, Json::Null);
    let told = estimated(vec![phase, step("P/A"), what("P", ends), go, step("P/B")], past);
    // Of 9,006 ms, 4,990 were a person's and 3,996 nobody's.
    assert_eq!((told.lines[0].1.us, told.total.us, told.people), (20_000, 20_000, 1));
    assert_eq!(told.lines.iter().map(|(at, _)| *at).collect::<Vec<_>>(), [0, 1, 4]);
}

#[test]
fn a_wait_takes_as_long_as_it_says_and_what_was_cut_off_tells_of_its_steps_only() {
    let wait = of_kind("W", StepKind::Wait, json!(Duration::from_secs(3)));
    let mut cut = run(&[(0, started()), (0, began("A")), (8, ended("A"))]);
    cut.cut = true;
    let told = estimated(vec![step("A"), wait, what("", What::End { why: String::new() })], vec![cut]);
    assert_eq!(told.total, Span { us: 3_008_000, untimed: 1, rehearsed: false });
    let held = run(&[(0, started()), (0, began("A")), (8, ended("A"))]);
    assert!(Past::of([held]).is_empty());
    assert!(!PastRun::default().see(Moment::default(), "{"));
}

/// A window of 100 ms with its commit point after 40, or one that went back after 30 and took 20 for it.
fn through_window(start: Json, back: bool) -> PastRun {
    let mut records = vec![(0, start), (0, json!({"window_opened": {"path": "W"}})), (0, began("W/Close"))];
    records.push((30, ended("W/Close")));
    if back {
        records.push((30, json!({"window_going_back": {"path": "W", "generation": 1, "why": "x"}})));
        records.push((31, json!({"undo_started": {"path": "W/Close"}})));
        records.push((48, json!({"step_undone": {"path": "W/Close", "generation": 1}})));
        records.push((50, json!({"window_closed": {"path": "W", "went_back": true, "measured_us": 50_000}})));
    } else {
        records.push((40, json!({"commit_point_passed": {"path": "W/Moved"}})));
        records.push((40, began("W/Open")));
        records.push((100, ended("W/Open")));
        records.push((100, json!({"window_closed": {"path": "W", "went_back": false, "measured_us": 100_000}})));
        records.push((100, finished()));
    }
    run(&records)
}

#[test]
fn a_window_is_warned_of_where_its_budget_or_its_reserve_did_not_hold() {
    let words = |budget: u64, reserve: u64, runs: Vec<PastRun>| {
        let commit = what("W/Moved", What::CommitPoint);
        let plan = vec![window("W", budget, reserve), step("W/Close"), commit, step("W/Open")];
        let told = estimated(plan, runs).windows.remove(0);
        (told.warnings.iter().map(ToString::to_string).collect::<Vec<_>>(), told)
    };
    let runs = || vec![through_window(started(), false), through_window(started(), true)];
    // 30 until the commit point, 90 in all, 100 as measured; 20 back.
    let (none, told) = words(100, 20, runs());
    assert_eq!(none, Vec::<String>::new());
    assert_eq!((told.pause.us, told.until_commit.unwrap().us, told.back.unwrap().us), (90_000, 30_000, 17_000));
    assert_eq!(told.measured.unwrap().longest_until_commit_us, 40_000);
    let rows: [(u64, u64, &[&str]); 3] = [
        (99, 20, &["1 of 1 past run took longer than its budget of 99ms, up to 100ms"]),
        (100, 19, &["going back took longer than its reserve of 19ms in 1 of 1 past run, up to 20ms"]),
        (
            60,
            31,
            &[
                "its steps take about 90ms: more than its budget of 60ms",
                "it takes about 30ms to its commit point, and goes back by itself after 29ms",
                "1 of 1 past run took longer than its budget of 60ms, up to 100ms",
            ],
        ),
    ];
    for (budget, reserve, expected) in rows {
        assert_eq!(words(budget, reserve, runs()).0, expected, "{budget} {reserve}");
    }
    // Rehearsals are told apart from runs.
    let mixed = vec![through_window(rehearsed("back"), true), through_window(started(), false)];
    let (warnings, told) = words(1000, 10, mixed);
    assert_eq!(warnings, ["going back took longer than its reserve of 10ms in 1 of 1 past rehearsal, up to 20ms"]);
    assert_eq!((told.measured.unwrap().backs, told.rehearsed.unwrap().backs), (0, 1));
    // Where no way back was measured as a whole, the undos count.
    let undone = run(&[
        (0, started()),
        (0, json!({"undo_started": {"path": "W/Close"}})),
        (17, json!({"step_undone": {"path": "W/Close", "generation": 1}})),
    ]);
    let (warnings, _) = words(1000, 10, vec![undone, through_window(started(), false)]);
    assert_eq!(warnings, ["its undos take about 17ms: more than its reserve of 10ms"]);
}

#[test]
fn a_read_takes_as_long_as_its_branch_needed_for_it_and_not_what_others_did_meanwhile() {
    let past = vec![run(&[
        (0, started()),
        (0, entered("Each", each())),
        (5, ended("Each/a/A")),
        (9, ended("Each/b/A")),
        (12, ended("Each/a/B")),
        (90, json!({"scope_left": {"path": "Each"}})),
        (93, ended("After")),
        (93, finished()),
    ])];
    let told = estimated(vec![step("Each/a/B"), step("After")], past);
    assert_eq!(told.lines.iter().map(|(_, span)| span.us).collect::<Vec<_>>(), [7_000, 3_000]);
}

#[test]
fn what_is_left_after_a_step_is_what_past_runs_still_worked() {
    let runs = [4, 6, 90].map(|left| {
        run(&[
            (0, started()),
            (0, began("A")),
            (10, ended("A")),
            (10, began("B")),
            (10 + left, ended("B")),
            (10 + left, finished()),
        ])
    });
    let past = Past::of(runs);
    assert_eq!(past.left_after(&Path::from_escaped("A")).unwrap().value, 6_000);
    assert_eq!(past.left_after(&Path::from_escaped("B")).unwrap().value, 0);
    // A rehearsal that went back ended early.
    let back = run(&[(0, rehearsed("back")), (0, began("A")), (10, ended("A")), (10, finished())]);
    assert!(Past::of([back]).left_after(&Path::from_escaped("A")).is_none());
}
