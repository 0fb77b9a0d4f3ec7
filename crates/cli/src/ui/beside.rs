//! What a person is told of guards and locks: their lines, and what is safe to do about them.
//!
//! Owns these words. Foreign text in them is made harmless by whoever prints them.

use super::failure::Offer;
use super::text::{clip, date, path_word, shell_word};
use piton_core::event::Event;
use piton_core::guard::Then;
use piton_core::hold::HoldReason;
use piton_core::lock::LockState;
use piton_core::record::Record;
use piton_core::{Path, RunState};

/// Characters of what is told in one line.
const MAX_CHARS: usize = 300;

/// The plain view's word and text for an event about a guard or a lock.
pub(crate) fn line(record: &Record) -> Option<(&'static str, String)> {
    Some(match &record.event {
        Event::GuardTripped(trip) => {
            let then = match trip.then {
                Then::Hold => "the run holds",
                Then::Undo => "its scope is taken back",
                Then::GoBack => "the window goes back",
                Then::Warn => "past the commit point: recorded only",
            };
            ("tripped", format!("{}: {}; {then}", trip.path, clip(&trip.to_string(), MAX_CHARS)))
        }
        Event::GuardArmed { path, saw } => ("passed", format!("{path}: saw {}", clip(saw, MAX_CHARS))),
        Event::LockTaken { path, name } => ("locked", format!("{path}: nobody else has \"{name}\"")),
        Event::LockAwaited(awaited) => match &awaited.deadlock {
            Some(why) => ("held", format!("{}: waiting would never end: {why}", awaited.path)),
            None => (
                "waits",
                format!(
                    "{}: run {} has the lock \"{}\" since {}",
                    awaited.path,
                    awaited.held_by,
                    awaited.name,
                    date(awaited.since_us)
                ),
            ),
        },
        Event::LockBroken { path, name, decision } => {
            let why = decision.why.as_deref().map(|why| format!(": {}", clip(why, MAX_CHARS))).unwrap_or_default();
            ("broken", format!("{path}: \"{name}\" is taken away by {}{why}", decision.by))
        }
        _ => return None,
    })
}

/// The commands that decide a hold of a guard or a lock; none for other holds.
pub(crate) fn choices(reason: &HoldReason, run: &str, path: &Path) -> Vec<Offer> {
    let path = path_word(path);
    let retry = |does| Offer { command: format!("piton resume {run} --retry {path}"), does };
    match reason {
        HoldReason::Tripped { .. } => vec![
            retry("look again, and go on where it passes"),
            Offer {
                command: format!("piton resume {run} --waive {path} --reason '...'"),
                does: "go on although it fails, until it has passed again",
            },
        ],
        HoldReason::LockBroken { .. } => vec![retry("take the lock again, and go on")],
        HoldReason::Deadlock { lock, held_by, .. } => vec![
            retry("ask for the lock again"),
            Offer { command: format!("piton show {held_by}"), does: "see who holds it" },
            breaking(lock),
        ],
        _ => Vec::new(),
    }
}

fn breaking(lock: &str) -> Offer {
    Offer {
        command: format!("piton locks break {} --reason '...'", shell_word(lock)),
        does: "take the lock away from who holds it",
    }
}

/// A lock that a scope waits for.
pub(crate) struct Awaited<'a> {
    pub(crate) path: &'a Path,
    pub(crate) holder: String,
    pub(crate) offers: Vec<Offer>,
}

/// Whether something in this scope waits for a lock.
pub(crate) fn waits_within(state: &RunState, scope: &Path) -> bool {
    let mut locks = state.locks.iter();
    locks.any(|(path, lock)| matches!(lock, LockState::Waiting { .. }) && path.is_within(scope))
}

pub(crate) fn awaited(state: &RunState) -> impl Iterator<Item = Awaited<'_>> {
    state.locks.iter().filter_map(|(path, lock)| match lock {
        LockState::Waiting { name, held_by, held_at, since_us } => Some(Awaited {
            path,
            holder: format!("\"{name}\" is held by run {held_by} at {held_at} since {}", date(*since_us)),
            offers: vec![Offer { command: format!("piton show {held_by}"), does: "see who holds it" }, breaking(name)],
        }),
        LockState::Held { .. } => None,
    })
}
