//! Undos as a receipt tells them: each taking back with its steps, each step with its attempts, failed ones too.
//!
//! Owns the fold of the undo events. Never says what should have been taken back (see `undo`).

use super::statement::{UndoAttemptTold, UndoTold, UndoneTold};
use super::time::Instant;
use crate::event::{Event, UndoReason};
use crate::path::Path;
use std::collections::HashMap;

#[derive(Default)]
pub(super) struct Undos {
    pub(super) told: Vec<UndoTold>,
    /// Where in the last taking back a step stands.
    rows: HashMap<(Path, u32), usize>,
}

impl Undos {
    pub(super) fn attempts(&self) -> impl Iterator<Item = &UndoAttemptTold> {
        self.told.iter().flat_map(|undo| &undo.steps).flat_map(|step| &step.attempts)
    }

    pub(super) fn record(&mut self, event: &Event, at: Instant, seq: u64) {
        match event {
            Event::UndoBegan(began) => self.began(&began.scope, began.reason.clone(), at, seq),
            Event::UndoStarted(started) => {
                let attempt = UndoAttemptTold {
                    attempt: started.attempt,
                    action: Some(started.action.summary()),
                    began_at: Some(at),
                    failure: None,
                };
                if let Some(step) = self.step(&started.path, started.generation) {
                    step.attempts.push(attempt);
                }
            }
            Event::UndoFailed(failed) => {
                if let Some(step) = self.step(&failed.path, failed.generation) {
                    step.ended_at = Some(at);
                    let failure = Some(failed.failure.clone());
                    match step.attempts.last_mut().filter(|last| last.attempt == failed.attempt) {
                        Some(attempt) => attempt.failure = failure,
                        None => step.attempts.push(UndoAttemptTold {
                            attempt: failed.attempt,
                            action: None,
                            began_at: None,
                            failure,
                        }),
                    }
                }
            }
            Event::StepUndone { path, generation } => {
                if let Some(step) = self.step(path, *generation) {
                    step.undone = true;
                    step.ended_at = Some(at);
                }
            }
            Event::UndoFinished { .. } => {
                if let Some(undo) = self.told.last_mut() {
                    undo.finished_at = Some(at);
                }
            }
            _ => {}
        }
    }

    fn began(&mut self, scope: &Path, reason: UndoReason, at: Instant, seq: u64) {
        self.rows.clear();
        self.told.push(UndoTold {
            scope: scope.clone(),
            reason,
            began_at: at,
            finished_at: None,
            steps: Vec::new(),
            record: seq,
        });
    }

    /// The step's row in the taking back that goes on; `None` where none has begun.
    fn step(&mut self, path: &Path, generation: u32) -> Option<&mut UndoneTold> {
        let steps = &mut self.told.last_mut()?.steps;
        let index = *self.rows.entry((path.clone(), generation)).or_insert_with(|| {
            steps.push(UndoneTold {
                path: path.clone(),
                generation,
                undone: false,
                attempts: Vec::new(),
                ended_at: None,
            });
            steps.len() - 1
        });
        steps.get_mut(index)
    }
}
