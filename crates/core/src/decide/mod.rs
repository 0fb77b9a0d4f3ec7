//! `decide`: what the engine does about a request, given the journal. The table of the engine's design page.
//!
//! Owns the decisions, pure functions of state and request. They know no clock beyond the time they are handed, no
//! I/O and no threads, so the live run, the replay after a crash and the tests get the same answers.

pub mod dropped;
pub mod windows;

use crate::digest::Digest;
use crate::event::{Answer, AttemptStarted, How, PersonAnswered, Stored};
use crate::hold::{Choice, HoldReason};
use crate::outcome::{Failure, FailureKind, Outcome};
use crate::path::Path;
use crate::record::Moment;
use crate::request::Ask;
use crate::scope::{Catcher, Scope};
use crate::state::{Phase, RunState, Step};
use crate::window::WindowPhase;
use std::sync::Arc;

#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// The journal knows the outcome.
    Answer(Stored<Outcome>),
    /// Begin an attempt. `untouched`: no attempt of this generation may have had an effect, so `requires` is checked
    /// and `ensures` may show that it is already true. `tries` counts this attempt against the retry policy, from 1.
    Begin { generation: u32, attempt: u32, tries: u32, untouched: bool },
    /// An attempt was interrupted: find out what became of it.
    Recover(Arc<AttemptStarted>),
    /// The next attempt may start at this wall-clock time, microseconds; ask again then.
    PauseUntil(i64),
    /// The step has failed for good, and something around it catches that.
    Raise(Failure),
    /// A person decided that the step counts as done.
    Accept { generation: u32, attempt: u32, how: How, outcome: Option<Stored<Outcome>> },
    /// Take back what the step and everything after it did, then begin anew.
    Redo,
    /// Journal this hold; the branch ends.
    Hold(HoldReason),
    /// The hold is journaled already.
    Held,
    /// Nothing more is started here.
    Stop,
}

/// What to do about a step, at the time of the last record.
pub fn decide(state: &RunState, scope: &Scope, path: &Path, fingerprint: Digest) -> Decision {
    decide_at(state, scope, path, fingerprint, state.at.wall_us)
}

/// What to do about a step at this time (wall clock, microseconds): a pause ends without any record being made.
pub fn decide_at(state: &RunState, scope: &Scope, path: &Path, fingerprint: Digest, now_us: i64) -> Decision {
    let Some(step) = state.steps.get(path) else {
        return begin(state, scope, path, None);
    };
    match &step.phase {
        Phase::Succeeded { outcome, .. } if step.fingerprint == fingerprint => Decision::Answer(outcome.clone()),
        Phase::Succeeded { .. } => Decision::Hold(HoldReason::Changed { was: step.fingerprint, now: fingerprint }),
        Phase::Undone => begin(state, scope, path, Some(step)),
        // Looked after even where nothing new may start: whoever takes back needs to know that nothing of it is alive.
        Phase::Running(started) => Decision::Recover(started.clone()),
        Phase::Failed { failure, retry_at_us, .. } => match (retry_at_us, end_of_failure(state, scope, failure)) {
            _ if state.settled_around(&scope.path).is_some() => Decision::Raise((**failure).clone()),
            // Ended because the run stops: nothing to retry, to catch or to ask a person about.
            _ if failure.kind == FailureKind::Stopped && !may_act(state, scope, path) => Decision::Stop,
            (Some(at), _) if may_act(state, scope, path) => match begin(state, scope, path, Some(step)) {
                begin @ Decision::Begin { .. } if *at <= now_us.max(state.at.wall_us) => begin,
                Decision::Begin { .. } => Decision::PauseUntil(*at),
                other => other,
            },
            (Some(_), _) => Decision::Stop,
            (None, end) => end,
        },
        Phase::Held(_) => Decision::Held,
        // A later edit has it again.
        Phase::Dropped if step.began.is_empty() => begin(state, scope, path, Some(step)),
        Phase::Dropped => {
            let why = "an edit had dropped it, and it may have done something by then";
            Decision::Hold(HoldReason::Unknown { why: why.to_owned() })
        }
        Phase::Decided { choice, outcome, .. } => decided(state, scope, path, step, choice, outcome.as_ref()),
        Phase::Asked { .. } | Phase::Timer(_) => begin(state, scope, path, Some(step)),
    }
}

fn decided(
    state: &RunState,
    scope: &Scope,
    path: &Path,
    step: &Step,
    choice: &Choice,
    outcome: Option<&Stored<Outcome>>,
) -> Decision {
    let accept =
        |how| Decision::Accept { generation: step.generation, attempt: step.attempts, how, outcome: outcome.cloned() };
    match choice {
        // What could not be looked after when it held (not proven dead, a rotated secret) is looked after first.
        Choice::Retry if step.open.is_some() => {
            step.open.clone().map_or_else(|| begin(state, scope, path, Some(step)), Decision::Recover)
        }
        Choice::Retry | Choice::NotDone | Choice::Depart => begin(state, scope, path, Some(step)),
        Choice::Done => accept(How::SaidDone),
        Choice::Waive => accept(How::Waived),
        Choice::Keep => accept(How::Kept),
        Choice::Redo => Decision::Redo,
    }
}

fn begin(state: &RunState, scope: &Scope, path: &Path, step: Option<&Step>) -> Decision {
    // A person who was told so said to perform it all the same.
    let told = step.is_some_and(|step| matches!(step.phase, Phase::Decided { .. }));
    if !told
        && let Some(window) = scope.window().and_then(|scope| state.windows.get(&scope.path))
        && let WindowPhase::Closed { went_back: false, .. } = window.phase
    {
        let why = format!("and the window \"{}\" is closed", window.path);
        return Decision::Hold(HoldReason::Inserted { why });
    }
    if !may_act(state, scope, path) {
        return Decision::Stop;
    }
    let Some(step) = step else {
        return Decision::Begin { generation: 1, attempt: 1, tries: 1, untouched: true };
    };
    if matches!(step.phase, Phase::Undone) {
        let generation = step.generation.saturating_add(1);
        return Decision::Begin { generation, attempt: 1, tries: 1, untouched: true };
    }
    Decision::Begin {
        generation: step.generation,
        attempt: step.attempts.saturating_add(1),
        tries: step.attempts.saturating_sub(step.forgiven).saturating_add(1),
        untouched: step.began.is_empty(),
    }
}

/// May a step that the journal does not know as done start something here?
pub fn may_act(state: &RunState, scope: &Scope, path: &Path) -> bool {
    if state.finished.is_some() || state.undoing.is_some() || state.settled_around(path).is_some() {
        return false;
    }
    if windows::rehearsal_is_over(state) {
        return false;
    }
    let window = scope.window().and_then(|scope| state.windows.get(&scope.path)).filter(|window| window.is_open());
    match window {
        Some(window) if matches!(window.phase, WindowPhase::GoingBack { .. }) => false,
        // From the commit point on only forward: a pause or an abort waits for the window's end, and a hold of a
        // sibling must not leave the others undone.
        Some(window) if window.committed => state.held_steps == 0,
        _ => !state.is_held() && state.abort.is_none(),
    }
}

/// Where a failure with its retries used up leads.
pub fn end_of_failure(state: &RunState, scope: &Scope, failure: &Failure) -> Decision {
    match scope.catcher() {
        Catcher::Caught(_) => Decision::Raise(failure.clone()),
        Catcher::Window(window) => match state.windows.get(&window.path) {
            Some(open) if open.committed && open.is_open() => {
                Decision::Hold(HoldReason::PastCommitPoint { failure: failure.clone() })
            }
            _ => Decision::Raise(failure.clone()),
        },
        Catcher::Nobody => Decision::Hold(HoldReason::Failed { failure: failure.clone() }),
    }
}

/// What to do about an `approve`, `ask` or `manual`.
#[derive(Clone, Debug, PartialEq)]
pub enum PersonDecision {
    Answer(Stored<Outcome>),
    /// Journal the question.
    Ask,
    /// The question stands, and not enough has been answered.
    Wait,
    /// These answers settle it.
    Settle(Vec<PersonAnswered>),
    Raise(Failure),
    Hold(HoldReason),
    Held,
    /// Take back what the step and everything after it did, then ask.
    Redo,
    Stop,
}

/// An attempt that an edit has left without a step that could look after it.
pub fn overtaken_kind() -> HoldReason {
    let why = "an edit has made another kind of step of it, and nothing says how it ended";
    HoldReason::Unprovable { why: why.to_owned() }
}

pub fn decide_person(state: &RunState, scope: &Scope, path: &Path, fingerprint: Digest, now: Moment) -> PersonDecision {
    let step = state.steps.get(path);
    if let Some(Step { phase: Phase::Asked { asked, answers }, .. }) = step {
        if asked.fingerprint != fingerprint {
            return if may_act(state, scope, path) { PersonDecision::Ask } else { PersonDecision::Stop };
        }
        if let Some(settled) = enough(&asked.ask, answers) {
            return match settled {
                Ok(answers) => PersonDecision::Settle(answers),
                Err(failure) => PersonDecision::Raise(failure),
            };
        }
        return match asked.expires_at_us {
            Some(expires) if now.wall_us >= expires => {
                PersonDecision::Raise(Failure::new(FailureKind::Expired, "nobody answered in time"))
            }
            _ => PersonDecision::Wait,
        };
    }
    match decide(state, scope, path, fingerprint) {
        Decision::Answer(outcome) => PersonDecision::Answer(outcome),
        Decision::Begin { .. } => PersonDecision::Ask,
        Decision::Raise(failure) => PersonDecision::Raise(failure),
        Decision::Hold(reason) => PersonDecision::Hold(reason),
        Decision::Held => PersonDecision::Held,
        Decision::Accept { .. } => PersonDecision::Settle(Vec::new()),
        Decision::Recover(_) => PersonDecision::Hold(overtaken_kind()),
        // It had failed as another kind of step.
        Decision::PauseUntil(_) => PersonDecision::Ask,
        Decision::Redo => PersonDecision::Redo,
        Decision::Stop => PersonDecision::Stop,
    }
}

/// Whether the answers settle the question: enough approvals by different uids, one rejection, one filled form.
fn enough(ask: &Ask, answers: &[PersonAnswered]) -> Option<Result<Vec<PersonAnswered>, Failure>> {
    if let Some(no) = answers.iter().find(|answer| answer.answer == Answer::Reject) {
        let why = no.decision.why.as_deref().map(|why| format!(": {why}")).unwrap_or_default();
        return Some(Err(Failure::new(FailureKind::Rejected, format!("rejected by {}{why}", no.decision.by.name))));
    }
    let needed = match ask {
        Ask::Approve { count, .. } => (*count).max(1) as usize,
        _ => 1,
    };
    let mut by_uid: Vec<&PersonAnswered> = Vec::new();
    for answer in answers {
        if !by_uid.iter().any(|known| known.decision.by.uid == answer.decision.by.uid) {
            by_uid.push(answer);
        }
    }
    (by_uid.len() >= needed).then(|| Ok(by_uid.into_iter().cloned().collect()))
}

/// Whether an answer from the inbox is valid for the question that stands; the reason where it is not. `at_us` is when
/// the person gave it (wall clock, microseconds), which may be long before an engine reads it.
pub fn check_answer(
    state: &RunState,
    path: &Path,
    answer: &Answer,
    decision: &crate::hold::Decision,
    at_us: i64,
) -> Result<(), String> {
    let Some(Step { phase: Phase::Asked { asked, answers }, .. }) = state.steps.get(path) else {
        return Err(format!("nothing is asked at \"{path}\" now"));
    };
    if decision.saw != asked.shown {
        return Err("what is asked has changed since it was shown; look again".to_owned());
    }
    if asked.expires_at_us.is_some_and(|expires| at_us >= expires) {
        return Err("the time to answer is over".to_owned());
    }
    let fits = matches!(
        (&asked.ask, answer),
        (Ask::Approve { .. }, Answer::Approve | Answer::Reject)
            | (Ask::Fields { .. }, Answer::Fields { .. })
            | (Ask::Manual { .. }, Answer::Done | Answer::Reject)
    );
    if !fits {
        return Err("that is no answer to this question".to_owned());
    }
    if let (Ask::Fields { fields }, Answer::Fields { fields: given }) = (&asked.ask, answer) {
        let fits = fields.len() == given.len()
            && fields
                .iter()
                .all(|(name, kind)| given.iter().any(|(known, value)| known == name && kind.accepts(value)));
        if !fits {
            let wanted: Vec<String> = fields.iter().map(|(name, kind)| format!("{name} ({kind})")).collect();
            return Err(format!("every field wants a value of its type: {}", wanted.join(", ")));
        }
    }
    if let (Ask::Approve { not_starter: true, .. }, Answer::Approve) = (&asked.ask, answer)
        && state.started.as_ref().is_some_and(|started| started.by.uid == decision.by.uid)
    {
        return Err("whoever started the run may not approve this step".to_owned());
    }
    if matches!(answer, Answer::Approve) && answers.iter().any(|known| known.decision.by.uid == decision.by.uid) {
        return Err("this account has approved already".to_owned());
    }
    Ok(())
}

/// Whether a person may choose this at this step now; the reason where not. The one judge: of what is typed, of what is
/// read from the inbox, and of what a receipt tells.
pub fn check_decision(state: &RunState, path: &Path, choice: &Choice) -> Result<(), String> {
    let choices: &[&str] = match (state.other_holds.get(path), state.steps.get(path)) {
        (Some(reason), _) => reason.choices(),
        (None, None) if state.guards.contains_key(path) || state.locks.contains_key(path) => {
            return Err(format!("\"{path}\" does not wait for a decision"));
        }
        (None, None) => return Err(format!("there is no step \"{path}\" in this run")),
        (None, Some(step)) if *choice == Choice::Redo && step.last_seq <= state.last_commit_seq() => {
            return Err(format!("\"{path}\" was done before a commit point: it is not taken back any more; keep it"));
        }
        (None, Some(step)) => match &step.phase {
            _ if step.undo.held.is_some() => &["--retry"],
            Phase::Held(reason) => reason.choices(),
            _ => return Err(format!("\"{path}\" does not wait for a decision")),
        },
    };
    if choices.contains(&choice.flag()) {
        return Ok(());
    }
    Err(format!("\"{path}\" takes {}, not {}", choices.join(" or "), choice.flag()))
}

#[cfg(test)]
mod tests;
