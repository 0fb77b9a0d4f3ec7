//! What an edit means for a run that has done something already: lists that are made before anything runs.
//!
//! Owns which step is kept, changed, orphaned, inserted or undetermined, and which of those in flight go on otherwise or
//! are dropped. Pure: from the edited program's plan, made with
//! the run's journal as its oracle, and the run's state.

use super::{Entry, Known, What};
use crate::decide::dropped::is_in_flight;
use crate::event::{Evidence, Handle};
use crate::hold::HoldReason;
use crate::path::Path;
use crate::request::Site;
use crate::scope::ScopeKind;
use crate::state::{Phase, RunState, Step as Done};
use serde::Serialize;
use std::collections::{HashMap, HashSet};

/// A step, and where it stands in the edited source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Touched {
    pub path: Path,
    pub site: Option<Site>,
    /// What the edited program would do there.
    pub now: String,
}

/// A done step whose new postcondition does not hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Doubted {
    pub path: Path,
    pub site: Option<Site>,
    pub evidence: Evidence,
}

/// A scope of which only the run can tell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Undetermined {
    pub scope: Path,
    pub why: String,
}

/// A done step that is not visited any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Orphaned {
    pub path: Path,
    /// What would take it back; empty: nothing is declared.
    pub undo: Vec<String>,
    /// It may have changed something.
    pub wrote: bool,
}

/// A step in flight that is not visited any more, or of which only the run can tell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Dropped {
    pub path: Path,
    /// How it stands, in words.
    pub was: String,
    /// What would take it back; empty: nothing is declared.
    pub undo: Vec<String>,
    /// It may have changed something, or do so still.
    pub wrote: bool,
    /// The edited program may come to it all the same.
    pub undetermined: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Lists {
    /// Done, and the same.
    pub kept: u64,
    pub changed: Vec<Touched>,
    pub orphaned: Vec<Orphaned>,
    /// In flight, with another action now.
    pub overtaken: Vec<Touched>,
    pub dropped: Vec<Dropped>,
    /// Scopes that were entered, and are no longer.
    pub left: Vec<Path>,
    /// Windows that are open, and are no longer there to be closed: such an edit is refused.
    pub windows: Vec<Path>,
    /// Held, and waiting for a person's decision still.
    pub held: Vec<Touched>,
    pub inserted: Vec<Touched>,
    pub undetermined: Vec<Undetermined>,
    pub doubted: Vec<Doubted>,
    /// It failed, was held or dropped, and is tried again.
    pub tried_again: Vec<Touched>,
}

/// What `entries`, the plan of the edited program, means for a run that has come so far.
pub fn lists(entries: &[Entry], state: &RunState) -> Lists {
    let mut lists = Lists::default();
    let visited: HashSet<&Path> =
        entries.iter().filter(|entry| entry.step().is_some()).map(|entry| &entry.path).collect();
    let mut later = Frontier::of(entries, state, &visited);
    for entry in entries {
        match &entry.what {
            What::End { why } => {
                lists.undetermined.push(Undetermined { scope: entry.path.clone(), why: crate::hole::render(why) });
            }
            What::Step(step) => {
                let known = state.steps.get(&entry.path);
                let settled = known.is_some_and(|known| known.open.is_none() && known.done().is_none())
                    && state.settled_around(&entry.path).is_some();
                if settled {
                    // A failure that was caught is final.
                    continue;
                }
                let touched = || Touched {
                    path: entry.path.clone(),
                    site: entry.site.clone(),
                    now: crate::hole::render(&step.summary),
                };
                match known.map(|known| (known, &known.phase)) {
                    Some((known, _)) if known.done().is_some() => {
                        later.passed(&entry.path);
                        match &step.doubt {
                            _ if step.known != Known::Done => lists.changed.push(touched()),
                            Some(evidence) => lists.doubted.push(Doubted {
                                path: entry.path.clone(),
                                site: entry.site.clone(),
                                evidence: evidence.clone(),
                            }),
                            None => lists.kept += 1,
                        }
                    }
                    Some((known, _)) if known.open.is_some() && known.kind != step.kind => {
                        lists.dropped.push(dropped(&entry.path, known, false));
                    }
                    Some((known, phase)) if is_overtaken(known, phase, step) => lists.overtaken.push(touched()),
                    Some((_, Phase::Held(reason))) if !is_failure(reason) => lists.held.push(touched()),
                    Some((_, Phase::Held(_) | Phase::Failed { .. } | Phase::Dropped)) => {
                        lists.tried_again.push(touched())
                    }
                    None if later.has_done(&entry.path) => lists.inserted.push(touched()),
                    _ => {}
                }
            }
            What::Scope { .. } | What::CommitPoint | What::Fails { .. } => {}
        }
    }
    gone(&mut lists, state, &visited);
    gone_scopes(&mut lists, entries, state);
    lists
}

/// Its end is not journaled, or not known, and the action is another one now.
fn is_overtaken(known: &Done, phase: &Phase, now: &super::Step) -> bool {
    let undecided = match phase {
        Phase::Held(reason) => matches!(**reason, HoldReason::Unknown { .. } | HoldReason::Unprovable { .. }),
        Phase::Failed { .. } => false,
        _ => is_in_flight(known),
    };
    undecided && now.fingerprint != Some(known.fingerprint)
}

/// An edit has it tried again by itself.
fn is_failure(reason: &HoldReason) -> bool {
    matches!(reason, HoldReason::Failed { .. } | HoldReason::PastCommitPoint { .. })
}

/// Scopes that the journal has as entered and that the edited program does not come to.
fn gone_scopes(lists: &mut Lists, entries: &[Entry], state: &RunState) {
    let visited: HashMap<&Path, &ScopeKind> = (entries.iter())
        .filter_map(|entry| match &entry.what {
            What::Scope { kind, .. } => Some((&entry.path, kind)),
            _ => None,
        })
        .collect();
    let undetermined = |path: &Path| lists.undetermined.iter().any(|end| path.is_within(&end.scope));
    let is_window = |path: &Path| matches!(visited.get(path), Some(ScopeKind::Window { .. }));
    let open = state.windows.values().filter(|window| window.is_open()).map(|window| &window.path);
    lists.windows = open.filter(|path| !is_window(path) && !undetermined(path)).cloned().collect();
    lists.windows.sort();
    let mut left: Vec<(u64, &Path)> = (state.scopes.iter())
        .filter(|(path, scope)| scope.left_at.is_none() && !visited.contains_key(path) && !undetermined(path))
        .map(|(path, scope)| (scope.seq, path))
        .collect();
    // The innermost first.
    left.sort_by_key(|(seq, _)| std::cmp::Reverse(*seq));
    lists.left = left.into_iter().map(|(_, path)| path.clone()).collect();
}

/// What the journal knows and the edited program does not come to.
fn gone(lists: &mut Lists, state: &RunState, visited: &HashSet<&Path>) {
    let ended: Vec<Path> = lists.undetermined.iter().map(|end| end.scope.clone()).collect();
    for (path, step) in state.steps_in_order() {
        if visited.contains(path) {
            continue;
        }
        let undetermined = ended.iter().any(|scope| path.is_within(scope));
        // What is alive would go on beside steps that were to come after it.
        if step.open.is_some() || (is_in_flight(step) && !undetermined && state.settled_around(path).is_none()) {
            lists.dropped.push(dropped(path, step, undetermined));
        } else if step.done().is_some() && !undetermined {
            let wrote = !step.began.is_empty();
            lists.orphaned.push(Orphaned { path: path.clone(), undo: undos(step), wrote });
        }
    }
}

fn undos(step: &Done) -> Vec<String> {
    step.undo_actions().iter().map(|action| action.summary()).collect()
}

fn dropped(path: &Path, step: &Done, undetermined: bool) -> Dropped {
    let wrote = !step.began.is_empty();
    Dropped { path: path.clone(), was: standing(step), undo: undos(step), wrote, undetermined }
}

/// How a step in flight stands, in words.
fn standing(step: &Done) -> String {
    match (&step.phase, &step.open) {
        (_, Some(open)) => match &open.handle {
            Handle::Run { run } => format!("its child run {} has not ended", run.short()),
            _ => "it has begun, and nothing says how it ended".to_owned(),
        },
        (Phase::Asked { .. }, None) => "it waits for a person".to_owned(),
        (Phase::Timer(_), None) => "it waits for a time".to_owned(),
        (Phase::Failed { .. }, None) => "it failed".to_owned(),
        (Phase::Held(reason), None) => format!("it holds: {reason}"),
        (_, None) => "it waits to go on".to_owned(),
    }
}

/// What is done in the rest of the program, as the walk through it goes on: per scope, since branches side by side do
/// not come after each other.
struct Frontier {
    /// Done steps that the walk has not passed yet, within each scope.
    left: HashMap<Path, u64>,
    /// Scopes whose children run side by side.
    forks: HashSet<Path>,
}

impl Frontier {
    fn of(entries: &[Entry], state: &RunState, visited: &HashSet<&Path>) -> Self {
        let (mut left, mut forks) = (HashMap::new(), HashSet::new());
        for entry in entries {
            match &entry.what {
                What::Scope { kind: ScopeKind::Each { .. } | ScopeKind::Parallel, .. } => {
                    forks.insert(entry.path.clone());
                }
                // What the plan does not come to is behind its end.
                What::End { .. } => {
                    let behind = |path: &&Path| path.is_within(&entry.path) && !visited.contains(*path);
                    let behind = state.steps.keys().filter(behind).filter(|path| is_done(state, path)).count() as u64;
                    for scope in scopes(&entry.path) {
                        *left.entry(scope).or_insert(0) += behind;
                    }
                }
                What::Step(_) if is_done(state, &entry.path) => {
                    for scope in scopes(&entry.path) {
                        *left.entry(scope).or_insert(0) += 1;
                    }
                }
                _ => {}
            }
        }
        Self { left, forks }
    }

    fn passed(&mut self, path: &Path) {
        for scope in scopes(path) {
            if let Some(left) = self.left.get_mut(&scope) {
                *left -= 1;
            }
        }
    }

    fn in_scope(&self, scope: &Path) -> u64 {
        self.left.get(scope).copied().unwrap_or(0)
    }

    /// Something after this step is done: in its own branch, or behind the scopes around it.
    fn has_done(&self, path: &Path) -> bool {
        let mut side_by_side = 0;
        let mut branch = path.clone();
        for scope in scopes(path).skip(1) {
            if self.forks.contains(&scope) {
                side_by_side += self.in_scope(&scope) - self.in_scope(&branch);
            }
            branch = scope;
        }
        self.in_scope(&Path::root()) > side_by_side
    }
}

fn is_done(state: &RunState, path: &Path) -> bool {
    state.steps.get(path).is_some_and(|step| step.done().is_some())
}

/// The path itself and every scope around it, the run last.
fn scopes(path: &Path) -> impl Iterator<Item = Path> {
    std::iter::successors(Some(path.clone()), Path::parent)
}
