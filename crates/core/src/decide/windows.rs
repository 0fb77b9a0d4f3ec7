//! Decisions about windows: when one goes back, how it closes, what a store's failure leaves possible.
//!
//! Owns these rules, pure: the engine calls them under the state's lock, the model of the window with its watchdog calls
//! them in every state it can reach.

use crate::event::{Event, UndoReason, WindowClosed};
use crate::hold::HoldReason;
use crate::path::Path;
use crate::record::Moment;
use crate::scope::{OnOver, ScopeKind};
use crate::state::RunState;
use crate::window::{Window, WindowPhase};

/// The decision that a window goes back. `None`: its commit point is passed, it goes back already, or it is not open.
pub fn going_back(state: &RunState, path: &Path, why: &str) -> Option<Event> {
    let window = state.windows.get(path).filter(|window| window.phase == WindowPhase::Open && !window.committed)?;
    let (path, generation, why) = (path.clone(), window.generation, why.to_owned());
    Some(Event::WindowGoingBack { path, generation, why, rehearsed: false })
}

/// The decision that a rehearsal turns round in a window instead of going on: at its commit point, or at its end where it
/// has none. `None`: it is no such rehearsal, or the window goes back already, or cannot any more.
pub fn turning_round(state: &RunState, path: &Path, place: &str) -> Option<Event> {
    if !state.rehearses_back() {
        return None;
    }
    let mut event = going_back(state, path, &format!("a rehearsal turns round at {place}"))?;
    if let Event::WindowGoingBack { rehearsed, .. } = &mut event {
        *rehearsed = true;
    }
    Some(event)
}

/// A rehearsal has gone back in a window, and nothing around that window catches it: what follows would need what the
/// window has not done, so nothing more is started.
pub fn rehearsal_is_over(state: &RunState) -> bool {
    let over = |window: &Window| {
        let back = matches!(window.phase, WindowPhase::Closed { went_back: true, .. });
        back && window.rehearsed && !window.reopens && !state.is_caught(&window.path)
    };
    state.rehearses_back() && state.windows.values().any(over)
}

/// How a window closes: well with its last step's end, or with the end of going back. `None`: it is not open, or goes
/// back and so does not close well.
pub fn closing(state: &RunState, path: &Path, went_back: bool, now: Moment, boot_id: &str) -> Option<Vec<Event>> {
    let window = state.windows.get(path).filter(|window| window.is_open())?;
    if !went_back && window.phase != WindowPhase::Open {
        return None;
    }
    let end = if went_back { now } else { window.last_step_end };
    let (measured_us, same_boot) = window.elapsed_us(end, boot_id);
    let closed = WindowClosed {
        path: path.clone(),
        generation: window.generation,
        went_back,
        measured_us,
        same_boot,
        within_budget: measured_us <= window.budget_us(),
    };
    // The hold first: a window that has gone back is never seen without what keeps it from being entered again.
    let hold = if went_back { hold_of(state, window) } else { None };
    let close = [Event::WindowClosed(closed), Event::ScopeLeft { path: path.clone() }];
    Some(hold.into_iter().chain(close).collect())
}

/// The window that an earlier engine left open and that must go back before anything else, with the reason to give
/// where it does not go back yet.
pub fn late(state: &RunState, now: Moment, boot_id: &str, store_failed: bool) -> Option<(Path, &'static str)> {
    let window = state.open_window().filter(|window| !window.committed)?;
    let going_back = matches!(window.phase, WindowPhase::GoingBack { .. });
    let over = !only_warns(state, &window.path) && window.until_going_back_us(now, boot_id) == 0;
    let stopping = state.abort.is_some() || state.undoing.is_some() || state.is_held();
    let why = if store_failed {
        "its engine died, and the store has failed"
    } else {
        "its engine died, and its budget cannot be kept otherwise"
    };
    (going_back || over || stopping || store_failed).then(|| (window.path.clone(), why))
}

/// Whether records may go to the side log when the store fails, once they are part of this state: going back needs them,
/// going forward would need more. A commit point does not pass there either, even where other records have gone there in
/// the meantime. What follows the window's end stands where the end does.
pub fn may_go_aside(state: &RunState, is_aside: bool) -> bool {
    state.open_window().map_or(is_aside, |window| !window.committed)
}

/// A window that is over its budget says so, and does not go back for it.
pub fn only_warns(state: &RunState, window: &Path) -> bool {
    let kind = state.scopes.get(window).map(|scope| &scope.kind);
    matches!(kind, Some(ScopeKind::Window { on_over: OnOver::Warn, .. }))
}

/// The hold of a window that goes back by itself, where nothing catches that and nothing else holds the run.
pub fn hold_of(state: &RunState, window: &Window) -> Option<Event> {
    let stopping = state.abort.is_some()
        || state.undoing.as_ref().is_some_and(|undoing| !matches!(undoing.reason, UndoReason::Window { .. }));
    let quiet =
        window.reopens || window.rehearsed || stopping || !state.run_holds.is_empty() || state.is_caught(&window.path);
    let reason = HoldReason::WentBack { window: window.path.name(), why: window.went_back_because.clone() };
    (!quiet).then_some(Event::RunHeld { reason })
}
