//! The words of the window's model, and the real events and state behind them.
//!
//! Owns the translation. A model's state must be small and hashed; what is decided is decided on the real state, folded
//! from real events.

use piton_core::action::{Effect, Process, Program};
use piton_core::event::{
    Again, Attach, AttemptFailed, AttemptStarted, EngineAttached, Event, Handle, How, StepSucceeded, Stored, UndoBegan,
    UndoReason, UndoStarted, WindowOpened,
};
use piton_core::ids::EngineId;
use piton_core::outcome::{Failure, FailureKind};
use piton_core::record::{Moment, Record};
use piton_core::request::{Site, StepKind};
use piton_core::scope::{OnOver, Scope, ScopeKind};
use piton_core::{Action, Digest, Duration, Outcome, Path, RunState};
use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

/// Half a second: the watchdog's idea of silence.
pub(super) const TICK_US: u64 = piton_engine::watchdog::SILENCE_US;
pub(super) const BUDGET_TICKS: u64 = 4;
pub(super) const RESERVE_TICKS: u64 = 2;
pub(super) const BOOT: &str = "boot";

/// The two steps of the window: one with an undo before the commit point, one behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Step {
    Close,
    Move,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Word {
    Attached,
    Opened,
    Started(Step, u8),
    Done(Step, u8),
    NeverBegan(Step, u8),
    Ended(Step, u8),
    Committed,
    GoingBack,
    UndoBegan,
    UndoStarted(u8),
    Undone,
    UndoFinished,
    Closed { back: bool },
}

/// A word and its time, in ticks; zero but for the opening, from which alone time is counted.
pub(super) type Said = (Word, u8);

pub(super) fn window() -> Arc<Scope> {
    let ms = |ticks: u64| Duration::from_ms(ticks * TICK_US / 1000);
    let (budget, reserve) = (ms(BUDGET_TICKS), ms(RESERVE_TICKS));
    Scope::run().child(ScopeKind::Window { budget, reserve, on_over: OnOver::Undo }, "pause")
}

pub(super) fn commit_point() -> Path {
    window().path.child("moved")
}

impl Step {
    pub(super) fn path(self) -> Path {
        window().path.child(if self == Self::Close { "close" } else { "move" })
    }

    fn undo(self) -> Option<Action> {
        (self == Self::Close).then(|| sh("open"))
    }
}

fn sh(script: &str) -> Action {
    let program = Program::Shell { script: script.to_owned() };
    Action::Process(Process { program, env: Default::default(), cwd: None, stdin: None, reads: false })
}

fn started(step: Step, attempt: u8) -> AttemptStarted {
    AttemptStarted {
        path: step.path(),
        generation: 1,
        attempt: u32::from(attempt),
        fingerprint: Digest::ZERO,
        kind: StepKind::Step,
        site: Site::default(),
        action: sh("do"),
        undo: step.undo(),
        handle: Handle::Engine,
        again: Again::Never,
        timeout: None,
    }
}

fn failed(step: Step, attempt: u8, never_began: bool) -> AttemptFailed {
    let kind = if never_began { FailureKind::Interrupted } else { FailureKind::Stopped };
    AttemptFailed {
        path: step.path(),
        generation: 1,
        attempt: u32::from(attempt),
        fingerprint: Digest::ZERO,
        kind: StepKind::Step,
        site: Site::default(),
        failure: Failure::new(kind, "it was ended"),
        outcome: None,
        retry_at_us: never_began.then_some(0),
        never_began,
    }
}

fn succeeded(step: Step, attempt: u8) -> StepSucceeded {
    StepSucceeded {
        path: step.path(),
        generation: 1,
        attempt: u32::from(attempt),
        fingerprint: Digest::ZERO,
        kind: StepKind::Step,
        effect: Some(Effect::Write),
        site: Site::default(),
        how: How::Performed,
        outcome: Stored::seal(&Outcome { ok: true, ..Outcome::default() }),
        undo: None,
        summary: None,
        evidence: None,
    }
}

fn opened() -> WindowOpened {
    let window = window();
    let ScopeKind::Window { budget, reserve, .. } = window.kind else { unreachable!("it is a window") };
    WindowOpened {
        path: window.path.clone(),
        generation: 1,
        budget,
        reserve,
        boot_id: BOOT.to_owned(),
        watchdog_pid: 2,
    }
}

/// The event of a word. What `decide` itself makes (going back, closing, its hold) is only ever made by it.
fn event(word: Word, state: &RunState, at: Moment) -> Vec<Event> {
    let scope = window();
    let path = scope.path.clone();
    let engine = EngineId { host: "h".to_owned(), boot_id: BOOT.to_owned(), pid: 1 };
    vec![match word {
        Word::Attached => {
            Event::EngineAttached(EngineAttached { engine, reason: Attach::TookOver, by: None, piton: None })
        }
        Word::Opened => Event::WindowOpened(opened()),
        Word::Started(step, attempt) => Event::AttemptStarted(Box::new(started(step, attempt))),
        Word::Done(step, attempt) => Event::StepSucceeded(Box::new(succeeded(step, attempt))),
        Word::NeverBegan(step, attempt) => Event::AttemptFailed(Box::new(failed(step, attempt, true))),
        Word::Ended(step, attempt) => Event::AttemptFailed(Box::new(failed(step, attempt, false))),
        Word::Committed => Event::CommitPointPassed { path: commit_point() },
        Word::GoingBack => return piton_core::decide::windows::going_back(state, &path, "why").into_iter().collect(),
        Word::UndoBegan => {
            let reason = UndoReason::Window { window: path.clone(), why: "why".to_owned() };
            Event::UndoBegan(UndoBegan { scope: path, reason })
        }
        Word::UndoStarted(attempt) => Event::UndoStarted(Box::new(UndoStarted {
            path: Step::Close.path(),
            generation: 1,
            attempt: u32::from(attempt),
            action: sh("open"),
            handle: Handle::Engine,
        })),
        Word::Undone => Event::StepUndone { path: Step::Close.path(), generation: 1 },
        Word::UndoFinished => Event::UndoFinished { scope: path },
        Word::Closed { back } => {
            return piton_core::decide::windows::closing(state, &path, back, at, BOOT).unwrap_or_default();
        }
    }]
}

pub(super) fn moment(tick: u8) -> Moment {
    let boot_us = 1_000_000 + u64::from(tick) * TICK_US;
    Moment { wall_us: boot_us.cast_signed(), boot_us }
}

thread_local! {
    /// There are far fewer journals than states.
    static FOLDED: RefCell<HashMap<Vec<Said>, Arc<RunState>>> = RefCell::default();
}

/// The real state after these words.
pub(super) fn fold<'a>(words: impl Iterator<Item = &'a Said>) -> Arc<RunState> {
    let words: Vec<Said> = words.copied().collect();
    if let Some(known) = FOLDED.with_borrow(|folded| folded.get(&words).cloned()) {
        return known;
    }
    let mut state = RunState::default();
    let mut seq = 0;
    for (word, tick) in &words {
        for event in event(*word, &state, moment(*tick)) {
            seq += 1;
            state.apply(&Record { seq, at: moment(*tick), fence: 1, event, hash: Digest::ZERO });
        }
    }
    let state = Arc::new(state);
    FOLDED.with_borrow_mut(|folded| folded.insert(words, state.clone()));
    state
}
