//! Guards: checks that must keep holding while a scope runs.
//!
//! Owns what a guard is, when its check holds, and what a trip leads to. Pure: the engine looks, and hands in what it saw.
//! Never performs or journals anything.

use crate::action::Action;
use crate::duration::Duration;
use crate::event::GuardTripped;
use crate::outcome::Outcome;
use crate::path::Path;
use crate::request::Site;
use crate::scope::Scope;
use crate::state::RunState;
use crate::value::{Callable, Value};
use crate::window::WindowPhase;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// Guards of one scope. Each is a thread of the engine while the scope is open.
pub const MAX_GUARDS: usize = 16;

/// `guard(name, action, below=, above=, predicate=, every=, tolerate=, on_trip=)`.
#[derive(Clone, Debug, PartialEq)]
pub struct Guard {
    pub name: String,
    /// A read.
    pub action: Arc<Action>,
    pub limit: Limit,
    pub every: Duration,
    /// Failures in a row that do not trip it.
    pub tolerate: u32,
    pub on_trip: OnTrip,
    pub site: Site,
}

/// What must hold of the outcome.
#[derive(Clone, Debug, PartialEq)]
pub enum Limit {
    /// Its value is a number below the one and above the other.
    Number { below: Option<f64>, above: Option<f64> },
    /// A top-level function that the program is asked for.
    Predicate(Callable),
    /// The outcome's own truth.
    Truth,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnTrip {
    /// Running actions finish, none is started, the run holds.
    Hold,
    /// Running actions are ended and the scope is taken back.
    Undo,
}

/// What a trip leads to, given where the run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Then {
    Hold,
    /// The guard's scope is taken back, and the run holds.
    Undo,
    /// The open window around it goes back, since a window never holds.
    GoBack,
    /// Past a window's commit point: recorded, and nothing else.
    Warn,
}

/// A guard as the journal and plans tell it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuardTold {
    pub name: String,
    /// What it looks at, in one line.
    pub check: String,
    pub limit: String,
    pub every: Duration,
    pub tolerate: u32,
    pub on_trip: OnTrip,
}

/// Where a guard stands that has tripped before.
#[derive(Clone, Debug, PartialEq)]
pub struct GuardState {
    pub standing: Standing,
    /// The last trip.
    pub trip: GuardTripped,
    /// Its scope is to be taken back, and that has not begun.
    pub undo_due: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It trips when its check fails.
    Armed,
    /// The run holds.
    Tripped,
    /// A person says to go on: it must pass before anything starts.
    Checking,
    /// A person waived it, or it only warned: it does not trip before it has passed again.
    Quiet,
}

impl Guard {
    /// Its place: what names it to people, beside the steps of its scope.
    pub fn path(&self, scope: &Path) -> Path {
        scope.child(&self.name)
    }

    pub fn told(&self) -> GuardTold {
        GuardTold {
            name: self.name.clone(),
            check: self.action.summary(),
            limit: self.limit.to_string(),
            every: self.every,
            tolerate: self.tolerate,
            on_trip: self.on_trip,
        }
    }
}

impl Limit {
    /// Whether the outcome keeps the limit; an error where it cannot be told. A predicate is the program's to judge.
    pub fn keeps(&self, outcome: &Outcome) -> Result<bool, String> {
        match self {
            Self::Truth | Self::Predicate(_) => Ok(outcome.holds()),
            Self::Number { below, above } => {
                let number = number(outcome)?;
                Ok(below.is_none_or(|below| number < below) && above.is_none_or(|above| number > above))
            }
        }
    }
}

/// The number that an outcome gives: its value, else what was printed or answered, where that is one.
fn number(outcome: &Outcome) -> Result<f64, String> {
    let none = || Err("a number is needed".to_owned());
    let text = match outcome.scalar() {
        Some(Value::Int(number)) => return Ok(number as f64),
        Some(Value::Float(number)) if number.is_finite() => return Ok(number),
        // Databases give decimals as texts.
        Some(Value::Str(text)) => text.to_string(),
        Some(_) => return none(),
        None => outcome.out.as_deref().unwrap_or_default().to_owned(),
    };
    let number = text.trim().parse::<f64>().ok().filter(|number| number.is_finite());
    number.map_or_else(none, Ok)
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number { below: Some(below), above: Some(above) } => write!(f, "above {above} and below {below}"),
            Self::Number { below: Some(below), .. } => write!(f, "below {below}"),
            Self::Number { above: Some(above), .. } => write!(f, "above {above}"),
            Self::Predicate(callable) => write!(f, "as {}() says", callable.function.name),
            Self::Number { .. } | Self::Truth => f.write_str("true"),
        }
    }
}

impl fmt::Display for GuardTold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, check, limit, every, tolerate, on_trip } = self;
        write!(f, "guard \"{name}\": {check} must be {limit}, every {every}")?;
        if *tolerate > 0 {
            write!(f, ", {tolerate} failures tolerated")?;
        }
        match on_trip {
            OnTrip::Hold => f.write_str(", else it holds"),
            OnTrip::Undo => f.write_str(", else the scope is taken back"),
        }
    }
}

/// What tripping now leads to; `None`: it cannot trip, since the run ends, goes back, or the scope is over.
pub fn trip(state: &RunState, scope: &Scope, on_trip: OnTrip) -> Option<Then> {
    let over = state.finished.is_some() || state.abort.is_some() || state.undoing.is_some();
    if over || state.settled_around(&scope.path).is_some() {
        return None;
    }
    let open = state.open_window();
    if let Some(window) = scope.window() {
        return match open.filter(|open| open.path == window.path) {
            Some(open) if open.committed => Some(Then::Warn),
            Some(open) if open.phase == WindowPhase::Open => Some(Then::GoBack),
            Some(_) => None,
            None => Some(Then::Hold),
        };
    }
    let forward = open.is_some_and(|open| open.committed && open.path.is_within(&scope.path));
    Some(if on_trip == OnTrip::Undo && !forward { Then::Undo } else { Then::Hold })
}

/// Where a guard stands.
pub fn standing(state: &RunState, guard: &Path) -> Standing {
    state.guards.get(guard).map_or(Standing::Armed, |guard| guard.standing)
}

/// The scope that a tripped guard wants taken back, with the guard and why.
pub fn undo_due(state: &RunState) -> Option<(Path, Path, String)> {
    if state.abort.is_some() || state.finished.is_some() {
        return None;
    }
    let (guard, due) = state.guards.iter().find(|(_, guard)| guard.undo_due)?;
    Some((guard.parent()?, guard.clone(), due.trip.to_string()))
}

#[cfg(test)]
mod tests;
