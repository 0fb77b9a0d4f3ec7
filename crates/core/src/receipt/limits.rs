//! Bounds on what a verifier accepts: a receipt comes from a stranger and may be made to harm.
//!
//! Owns the limits on size, depth and work. Never judges what the journal says (see `rules`).

use crate::event::Event;
use crate::path::Path;
use crate::record::Record;
use crate::scope::MAX_SCOPE_DEPTH;
use std::collections::HashMap;

/// Largest envelope. A run of 100,000 steps with short outcomes has about half of it.
pub(super) const MAX_ENVELOPE_BYTES: usize = 512 * 1024 * 1024;
/// Signatures of one envelope: the engine's and a few countersignatures.
pub(super) const MAX_SIGNATURES: usize = 16;
/// Names in a path: the scopes, the step, and a commit point or an emitted value below it.
const MAX_PATH_DEPTH: usize = MAX_SCOPE_DEPTH + 4;
/// Bytes of a path. Finding the scopes around a path copies it once for each name.
const MAX_PATH_BYTES: usize = 64 * 1024;
/// Elementary steps of folding the journal. Real journals stay below a hundredth; this many take some seconds.
const MAX_WORK: u64 = 4_000_000_000;

/// The path an event is about.
pub(super) fn path_of(event: &Event) -> Option<&Path> {
    Some(match event {
        Event::ScopeEntered(e) => &e.path,
        Event::ScopeLeft { path } | Event::CommitPointPassed { path } => path,
        Event::GuardTripped(e) => &e.path,
        Event::GuardArmed { path, .. } | Event::LockTaken { path, .. } | Event::LockBroken { path, .. } => path,
        Event::LockAwaited(e) => &e.path,
        Event::ChildStands(e) => &e.path,
        Event::ScopeSettled(e) => &e.path,
        Event::AttemptStarted(e) => &e.path,
        Event::AttemptFailed(e) => &e.path,
        Event::StepSucceeded(e) => &e.path,
        Event::StepHeld(e) => &e.path,
        Event::Decided(e) => &e.path,
        Event::PersonAsked(e) => &e.path,
        Event::PersonAnswered(e) => &e.path,
        Event::TimerSet(e) => &e.path,
        Event::WindowOpened(e) => &e.path,
        Event::WindowGoingBack { path, .. } | Event::StepUndone { path, .. } | Event::StepDropped { path, .. } => path,
        Event::WindowClosed(e) => &e.path,
        Event::UndoBegan(e) => &e.scope,
        Event::UndoStarted(e) => &e.path,
        Event::UndoFailed(e) => &e.path,
        Event::UndoFinished { scope } => scope,
        Event::Emitted { path, .. } | Event::Noted { path, .. } => path,
        Event::RunStarted(_)
        | Event::EngineAttached(_)
        | Event::RunEdited(_)
        | Event::SecretSeen(_)
        | Event::AbortAsked { .. }
        | Event::RunHeld { .. }
        | Event::RunResumed { .. }
        | Event::InboxRead { .. }
        | Event::RunFinished { .. } => return None,
    })
}

/// Refuses journals that no engine writes and whose fold would take minutes or a deep stack.
pub(super) fn check(records: &[Record]) -> Result<(), String> {
    let (mut windows, mut sweeps, mut answers) = (0u64, 0u64, 0u64);
    let mut events_of: HashMap<&Path, u64> = HashMap::new();
    for record in records {
        match &record.event {
            Event::WindowOpened(_) => windows += 1,
            Event::UndoBegan(_) | Event::UndoFinished { .. } | Event::WindowClosed(_) => sweeps += 1,
            Event::PersonAnswered(_) => answers += 1,
            _ => {}
        }
        let Some(path) = path_of(&record.event) else { continue };
        if path.as_str().len() > MAX_PATH_BYTES || path.depth() > MAX_PATH_DEPTH {
            return Err(format!("record {} has a path longer or deeper than any step's", record.seq));
        }
        *events_of.entry(path).or_default() += 1;
    }
    let all = records.len() as u64;
    let paths = events_of.len() as u64;
    let busiest = events_of.values().copied().max().unwrap_or(0);
    // Every event passes the windows, a sweep passes all steps, an event passes its step's attempts, an answer the
    // answers before it.
    let work = [(all, windows), (sweeps, paths), (busiest, busiest), (answers, answers)]
        .iter()
        .fold(0u64, |sum, (a, b)| sum.saturating_add(a.saturating_mul(*b)));
    if work > MAX_WORK { Err("folding this journal would take too long".to_owned()) } else { Ok(()) }
}
