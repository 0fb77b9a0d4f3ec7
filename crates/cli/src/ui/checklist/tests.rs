//! Frames of made-up runs, as text.

use super::*;
use piton_core::event::{
    Again, AttemptStarted, Event, Handle, How, RunStarted, Runbook, ScopeEntered, StepSucceeded, Stored, WindowOpened,
};
use piton_core::ids::{Actor, RunId};
use piton_core::record::Record;
use piton_core::request::{Site, StepKind};
use piton_core::scope::{OnOver, ScopeKind};
use piton_core::{Action, Digest, Duration, Outcome, Value};

/// A run told event by event; each a tenth of a second after the one before.
struct Told(Story);

impl Told {
    fn new(title: &str) -> Self {
        let run = RunId::parse("k7m2aaaaaa").unwrap();
        let runbook = Runbook {
            root: "/p".into(),
            file: "a.star".into(),
            title: title.into(),
            digest: Digest::ZERO,
            sources: Vec::new(),
        };
        let by = Actor { name: "ada".into(), uid: 1, host: "h".into() };
        let started = RunStarted {
            format: 1,
            run,
            runbook,
            params: Vec::new(),
            by,
            piton: "1".into(),
            plan: None,
            rehearsal: None,
            parent: None,
        };
        Self(Story::default()).and(Event::RunStarted(Box::new(started)))
    }

    fn and(mut self, event: Event) -> Self {
        let seq = self.0.state.seq + 1;
        self.0.apply(&Record { seq, at: at(seq), fence: 1, event, hash: Digest::ZERO });
        self
    }

    fn enter(self, scope: &str, kind: ScopeKind, total: Option<u64>) -> Self {
        self.and(Event::ScopeEntered(ScopeEntered { path: Path::from_escaped(scope), kind, total, guards: vec![] }))
    }

    fn leave(self, scope: &str) -> Self {
        self.and(Event::ScopeLeft { path: Path::from_escaped(scope) })
    }

    fn begin(self, path: &str) -> Self {
        self.and(Event::AttemptStarted(Box::new(AttemptStarted {
            path: Path::from_escaped(path),
            generation: 1,
            attempt: 1,
            fingerprint: Digest::ZERO,
            kind: StepKind::Step,
            site: Site::default(),
            action: Action::Noop { value: Value::None },
            undo: None,
            handle: Handle::Engine,
            again: Again::Never,
            timeout: None,
        })))
    }

    fn done(self, path: &str) -> Self {
        self.begin(path).and(Event::StepSucceeded(Box::new(StepSucceeded {
            path: Path::from_escaped(path),
            generation: 1,
            attempt: 1,
            fingerprint: Digest::ZERO,
            kind: StepKind::Step,
            effect: Some(piton_core::action::Effect::Write),
            site: Site::default(),
            how: How::Performed,
            outcome: Stored::seal(&Outcome { ok: true, ..Outcome::default() }),
            undo: None,
            summary: None,
            evidence: None,
        })))
    }

    fn frame(&self, columns: usize, rows: usize, colors: bool) -> Vec<String> {
        let now = at(self.0.state.seq + 10);
        let told = |path: &Path| match path.as_str().ends_with("Load") {
            true => vec!["812 004 / 2 300 111 rows  39s left".to_owned(), "35 %  39s left".to_owned()],
            false => Vec::new(),
        };
        frame(&self.0, &Canvas { columns, rows, colors, now, boot_id: "b", past: None, told: &told })
    }
}

fn at(seq: u64) -> Moment {
    Moment { wall_us: seq as i64 * 100_000, boot_us: seq * 100_000 }
}

fn window(scope: &str) -> (ScopeKind, Event) {
    let (budget, reserve) = (Duration::from_secs(10), Duration::from_secs(2));
    let opened = WindowOpened {
        path: Path::from_escaped(scope),
        generation: 1,
        budget,
        reserve,
        boot_id: "b".into(),
        watchdog_pid: 1,
    };
    (ScopeKind::Window { budget, reserve, on_over: OnOver::Undo }, Event::WindowOpened(opened))
}

fn halfway() -> Told {
    let told = Told::new("payments").enter("Discover", ScopeKind::Phase, None).done("Discover/a").done("Discover/b");
    let told = told.leave("Discover").enter("Copy", ScopeKind::Each { continue_on_failure: false }, Some(3));
    let told = told.done("Copy/accounts/Load").begin("Copy/ledger/Load");
    let (kind, opened) = window("Write pause");
    told.enter("Write pause", kind, None).and(opened).begin("Write pause/Stop writes")
}

#[test]
fn finished_scopes_fold_and_what_runs_is_shown_with_its_last_line() {
    insta::assert_snapshot!(halfway().frame(100, 24, false).join("\n"), @r#"
    payments                                       run k7m2   3 steps   2.3s
    ✓ Discover         2 steps    0.5s
    ▶ Copy                 1/3    1.6s  ▕█████▎          ▏  4s left
      ✓ accounts        1 step    0.1s
      ▶ ledger                    1.3s
        ▶ Load                    1.3s  812 004 / 2 300 111 rows  39s left
    ▶ Write pause                       ▕██▏                 ▏ 1.1s of 10s
      ▶ Stop writes               1.0s  noop
    "#);
}

#[test]
fn in_a_narrow_terminal_what_is_said_is_shortened_before_it_is_cut() {
    insta::assert_snapshot!(halfway().frame(52, 24, false).join("\n"), @r"
    payments                 run k7m2   3 steps   2.3s
    ✓ Discover         2 steps    0.5s
    ▶ Copy                 1/3    1.6s  4s left
      ✓ accounts        1 step    0.1s
      ▶ ledger                    1.3s
        ▶ Load                    1.3s  35 %  39s left
    ▶ Write pause                       1.1s of 10s
      ▶ Stop writes               1.0s  noop
    ");
}

#[test]
fn no_frame_is_larger_than_its_terminal() {
    let mut told = halfway();
    for branch in 0..60 {
        told = told
            .done(&format!("Copy/日本 a long name for a branch {branch}/Load"))
            .begin(&format!("Copy/{branch}/Load"));
    }
    for columns in [1, 8, 20, 40, 79, 200] {
        for rows in [1, 2, 5, 24, 100] {
            let frame = told.frame(columns, rows, false);
            assert!(frame.len() < rows.max(4), "{} lines in {rows} rows", frame.len());
            let widest = frame.iter().map(|line| width(line)).max().unwrap_or(0);
            assert!(widest < columns.max(2), "{widest} columns in {columns}: {frame:#?}");
        }
    }
}

#[test]
fn colours_are_only_where_they_are_wanted() {
    assert!(halfway().frame(100, 24, true).iter().any(|line| line.contains("\x1b[36m▶\x1b[0m")));
    // An open window is not dim.
    assert!(halfway().frame(100, 24, true).iter().any(|line| line.ends_with("▏ 1.1s of 10s")));
    assert!(halfway().frame(100, 24, false).iter().all(|line| !line.contains('\x1b')));
}
