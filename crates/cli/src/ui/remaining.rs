//! How long a run that goes on will still take, as past runs took.
//!
//! Owns the choice of what to go by: of the steps that are done, the one after which past runs had the least left to do, so
//! that side by side or not, it is the furthest point reached. Pure: story, past and time give the answer.

use super::estimate::about;
use super::story::{Story, span_us};
use piton_core::Path;
use piton_core::plan::estimate::Span;
use piton_core::plan::past::{Past, Typical};
use piton_core::record::Moment;
use piton_core::state::Status;
use std::collections::HashSet;

/// `~2m10s left`; none where the run does not go on, nobody knows, or it takes longer than it ever did.
pub(crate) fn left(story: &Story, past: &Past, now: Moment) -> Option<String> {
    let state = &story.state;
    if state.status() != Status::Running {
        return None;
    }
    let ends = state.steps.iter().filter_map(|(path, step)| Some((path, step.ended_at.filter(|_| step.is_done())?)));
    let furthest = ends.filter_map(|(path, ended)| Some((past.left_after(path)?, ended)));
    let whole = || Some((past.scope(&Path::root(), &HashSet::new())?, state.started_at));
    let (Typical { value, rehearsed }, since) = furthest.min_by_key(|(left, _)| left.value).or_else(whole)?;
    let us = value.saturating_sub(span_us(since, now));
    (us > 0).then(|| format!("{} left", about(Span { us, untimed: 0, rehearsed })))
}
