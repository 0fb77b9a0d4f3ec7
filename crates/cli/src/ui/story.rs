//! A run as screens tell it: its state, and what the state forgets but people want to see.
//!
//! Owns the second fold beside `RunState`: what each step does in one line, how it last failed and with which output,
//! how long it took, and which engines drove the run. Pure: the same records give the same story.

use piton_core::event::{EngineAttached, Event, Handle, Stored};
use piton_core::outcome::Failure;
use piton_core::record::{Moment, Record};
use piton_core::{Outcome, Path, RunState};
use serde::Deserialize;
use std::collections::HashMap;

/// Characters kept of what a step does; a script can have thousands.
const MAX_SUMMARY_CHARS: usize = 500;

#[derive(Clone, Debug, Default)]
pub(crate) struct Story {
    pub(crate) state: RunState,
    /// Each life of an engine, and when it began.
    pub(crate) engines: Vec<(EngineAttached, Moment)>,
    pub(crate) ended_at: Option<Moment>,
    steps: HashMap<Path, StepStory>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct StepStory {
    /// What it does, in one line.
    pub(crate) does: Option<Box<str>>,
    pub(crate) took_us: Option<u64>,
    /// What most steps of a long run do not have.
    rare: Option<Box<Rare>>,
}

#[derive(Clone, Debug, Default)]
struct Rare {
    handle: Option<Handle>,
    failed: Option<Failed>,
    /// When the attempt that runs, or ran last, began.
    began_at: Option<Moment>,
    /// What its postcondition saw.
    saw: Option<String>,
}

impl StepStory {
    fn rare(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }

    pub(crate) fn handle(&self) -> Option<&Handle> {
        self.rare.as_ref()?.handle.as_ref()
    }

    pub(crate) fn failed(&self) -> Option<&Failed> {
        self.rare.as_ref()?.failed.as_ref()
    }

    fn began_at(&self) -> Option<Moment> {
        self.rare.as_ref()?.began_at
    }

    pub(crate) fn saw(&self) -> Option<&str> {
        self.rare.as_ref()?.saw.as_deref()
    }
}

/// The last attempt that failed, kept while the step holds and after it succeeded.
#[derive(Clone, Debug)]
pub(crate) struct Failed {
    pub(crate) attempt: u32,
    pub(crate) failure: Failure,
    pub(crate) outcome: Option<Stored<Outcome>>,
    pub(crate) at: Moment,
}

impl Story {
    pub(crate) fn apply(&mut self, record: &Record) {
        self.tell(record);
        self.state.apply(record);
    }

    /// What is told of a step beyond its state; empty for steps that never began.
    pub(crate) fn step(&self, path: &Path) -> &StepStory {
        const NOTHING: &StepStory = &StepStory { does: None, took_us: None, rare: None };
        self.steps.get(path).unwrap_or(NOTHING)
    }

    /// How long the step of this record took: since its attempt or question began, else as its action measured.
    pub(crate) fn took_us(&self, path: &Path, outcome: Option<&Stored<Outcome>>, at: Moment) -> Option<u64> {
        let open = self.state.steps.get(path).filter(|step| step.is_running() || step.is_waiting());
        match open {
            Some(step) => Some(span_us(self.step(path).began_at().unwrap_or(step.started_at), at)),
            None => {
                outcome.and_then(|outcome| serde_json::from_str::<Took>(outcome.json()).ok()).map(|took| took.took_us)
            }
        }
    }

    fn tell(&mut self, record: &Record) {
        match &record.event {
            Event::EngineAttached(attached) => self.engines.push((attached.clone(), record.at)),
            Event::AttemptStarted(started) => {
                let step = self.steps.entry(started.path.clone()).or_default();
                step.does = Some(first_chars(started.action.summary()));
                let rare = step.rare();
                rare.handle = Some(started.handle.clone());
                rare.began_at = Some(record.at);
            }
            Event::AttemptFailed(failed) => {
                let step = self.steps.entry(failed.path.clone()).or_default();
                step.rare().failed = Some(Failed {
                    attempt: failed.attempt,
                    failure: failed.failure.clone(),
                    outcome: failed.outcome.clone(),
                    at: record.at,
                });
            }
            Event::StepSucceeded(succeeded) => {
                let took_us = self.took_us(&succeeded.path, Some(&succeeded.outcome), record.at);
                let step = self.steps.entry(succeeded.path.clone()).or_default();
                step.took_us = took_us;
                if let Some(summary) = &succeeded.summary {
                    step.does = Some(first_chars(summary.clone()));
                }
                let saw = succeeded.evidence.as_ref();
                if let Some(saw) = saw.map(|evidence| format!("{} gave {}", evidence.check, evidence.saw)) {
                    step.rare().saw = Some(saw);
                } else if let Some(rare) = &mut step.rare {
                    rare.saw = None;
                }
            }
            Event::UndoStarted(started) => {
                self.steps.entry(started.path.clone()).or_default().rare().handle = Some(started.handle.clone());
            }
            Event::UndoFailed(failed) => {
                let step = self.steps.entry(failed.path.clone()).or_default();
                let failure = failed.failure.clone();
                step.rare().failed = Some(Failed { attempt: failed.attempt, failure, outcome: None, at: record.at });
            }
            Event::UndoBegan(_) => self.ended_at = None,
            Event::RunFinished { .. } => self.ended_at = Some(record.at),
            _ => {}
        }
    }
}

/// The one field looked for in an outcome that may be a megabyte.
#[derive(Deserialize)]
struct Took {
    took_us: u64,
}

fn first_chars(mut text: String) -> Box<str> {
    if let Some((at, _)) = text.char_indices().nth(MAX_SUMMARY_CHARS) {
        text.truncate(at);
        text.push('…');
    }
    text.into_boxed_str()
}

/// Microseconds between two moments, on the boot-time clock unless a reboot lay between.
pub(crate) fn span_us(from: Moment, to: Moment) -> u64 {
    let wall = u64::try_from(to.wall_us.saturating_sub(from.wall_us)).unwrap_or(0);
    let boot = to.boot_us.checked_sub(from.boot_us).filter(|_| from.boot_us > 0);
    // The boot-time clock starts anew with each boot: a difference far from the wall clock's is of two boots.
    boot.filter(|boot| boot.abs_diff(wall) < SAME_BOOT_US).unwrap_or(wall)
}

/// A wall clock that jumped further than this within one boot tells the wrong time on screens, and only there.
const SAME_BOOT_US: u64 = 60 * 1_000_000;
