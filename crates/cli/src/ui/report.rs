//! A run as JSON: what `piton show RUN --json` prints. Stable: fields are added, never renamed or removed.
//!
//! Owns the shape, documented in `docs/json.md`. Times are RFC 3339 in UTC, spans in milliseconds, absent values null.
//! Never holds a secret: parameters are references, texts in the journal are masked.

use super::failure::{self, Offer};
use super::model::{Mark, Tally, Tree};
use super::story::{Story, span_us};
use super::text::rfc3339;
use piton_core::event::{Attach, Rehearsal};
use piton_core::guard::{OnTrip, Standing};
use piton_core::hold::HoldReason;
use piton_core::ids::{Actor, EngineId, RunId};
use piton_core::lock::LockState;
use piton_core::record::Moment;
use piton_core::request::{Ask, StepKind};
use piton_core::state::{Phase, Step};
use piton_core::window::{Window, WindowPhase};
use piton_core::{Digest, Path, Value};
use serde::Serialize;
use std::collections::BTreeMap;

#[derive(Serialize)]
pub(crate) struct Report<'a> {
    id: &'a str,
    title: &'a str,
    status: &'static str,
    /// The engine that drives it now.
    driven_by: Option<&'a EngineId>,
    /// When the waker starts an engine for it.
    wakes_at: Option<String>,
    started_at: String,
    last_at: String,
    ended_at: Option<String>,
    took_ms: u64,
    by: Option<&'a Actor>,
    rehearsal: Option<Rehearsal>,
    /// The run and the step of it that this run is.
    parent: Option<ParentReport<'a>>,
    runbook: Option<RunbookReport<'a>>,
    params: BTreeMap<&'a str, &'a Value>,
    counts: Counts,
    holds: Vec<HoldReport>,
    waiting: Vec<Waiting<'a>>,
    windows: Vec<WindowReport<'a>>,
    guards: Vec<GuardReport<'a>>,
    locks: Vec<LockReport<'a>>,
    commit_points: Vec<&'a Path>,
    undoing: Option<&'a Path>,
    abort: Option<AbortReport<'a>>,
    engines: Vec<EngineReport<'a>>,
    take_overs: usize,
    emitted: Vec<EmittedReport<'a>>,
    value: Option<Value>,
    steps: Vec<StepReport<'a>>,
    journal: Journal,
}

#[derive(Serialize)]
struct ParentReport<'a> {
    run: &'a RunId,
    path: &'a Path,
}

#[derive(Serialize)]
struct RunbookReport<'a> {
    root: &'a str,
    file: &'a str,
    digest: Digest,
}

#[derive(Serialize)]
struct Counts {
    /// Known by now; a runbook's later steps come from its results.
    steps: u64,
    done: u64,
    running: u64,
    waiting: u64,
    held: u64,
    failed: u64,
    /// Left out by an edit.
    dropped: u64,
    undone: u64,
    attempts: u64,
}

#[derive(Serialize)]
struct HoldReport {
    /// Null: the run itself.
    path: Option<Path>,
    reason: HoldReason,
    text: String,
    site: Option<String>,
    choices: &'static [&'static str],
    commands: Vec<String>,
}

#[derive(Serialize)]
struct Waiting<'a> {
    path: &'a Path,
    kind: StepKind,
    site: String,
    /// What is asked; null for timers.
    ask: Option<&'a Ask>,
    /// Hash of what is shown; an answer must carry it.
    shown: Option<Digest>,
    answered_by: Vec<&'a Actor>,
    expires_at: Option<String>,
    due_at: Option<String>,
    commands: Vec<String>,
}

#[derive(Serialize)]
struct WindowReport<'a> {
    path: &'a Path,
    generation: u32,
    /// `open`, `going_back` or `closed`.
    state: &'static str,
    opened_at: String,
    budget_ms: u64,
    reserve_ms: u64,
    measured_ms: Option<f64>,
    within_budget: Option<bool>,
    went_back: Option<bool>,
    back_ms: Option<f64>,
    /// A rehearsal turned round here.
    rehearsed: bool,
    why: Option<&'a str>,
    committed: bool,
}

#[derive(Serialize)]
struct GuardReport<'a> {
    path: Path,
    check: &'a str,
    limit: &'a str,
    every_ms: u64,
    tolerate: u32,
    on_trip: OnTrip,
    /// `armed`, `tripped`, `checking` (it must pass before anything starts) or `quiet` (it cannot trip before it passes).
    state: &'static str,
    /// At its last trip.
    saw: Option<&'a str>,
}

#[derive(Serialize)]
struct LockReport<'a> {
    name: &'a str,
    scope: &'a Path,
    /// `held` or `waiting`.
    state: &'static str,
    /// Who has it, while this run waits.
    held_by: Option<&'a RunId>,
    held_at: Option<&'a Path>,
    since: Option<String>,
}

#[derive(Serialize)]
struct AbortReport<'a> {
    by: &'a Actor,
    why: Option<&'a str>,
}

#[derive(Serialize)]
struct EngineReport<'a> {
    reason: Attach,
    engine: &'a EngineId,
    by: Option<&'a Actor>,
    /// Version of Piton; null: an older one, which did not say.
    piton: Option<&'a str>,
    at: String,
}

#[derive(Serialize)]
struct EmittedReport<'a> {
    name: &'a str,
    value: &'a Value,
}

#[derive(Serialize)]
struct StepReport<'a> {
    path: &'a Path,
    kind: StepKind,
    status: &'static str,
    /// How it came to be done.
    how: Option<piton_core::event::How>,
    attempts: u32,
    generation: u32,
    started_at: String,
    ended_at: Option<String>,
    took_ms: Option<f64>,
    site: String,
    /// What it does, in one line.
    summary: Option<&'a str>,
    /// How its last attempt that failed did.
    error: Option<&'a str>,
    /// What its postcondition saw.
    saw: Option<&'a str>,
    /// Its last child run, where it is one.
    child_run: Option<&'a RunId>,
    /// What that waits for a person for.
    child_waits: Option<&'a str>,
}

#[derive(Serialize)]
struct Journal {
    records: u64,
    head: Digest,
}

impl<'a> Report<'a> {
    /// `run`: the name for commands; `now`: for the times of what is unfinished. Beside the journal: who drives it, and when
    /// the waker starts somebody who does.
    pub(crate) fn of(
        story: &'a Story,
        run: &str,
        (driven_by, wakes_at_us): (Option<&'a EngineId>, Option<i64>),
        now: Moment,
    ) -> Self {
        let state = &story.state;
        let started = state.started.as_deref();
        let tally = Tree::of(story, now).run().tally;
        let value = state.finished.as_ref().and_then(|(_, value)| value.as_ref()?.open().ok());
        Self {
            id: started.map_or("", |started| started.run.as_str()),
            title: started.map_or("", |started| &started.runbook.title),
            status: state.status().word(),
            driven_by,
            wakes_at: wakes_at_us.map(rfc3339),
            started_at: rfc3339(state.started_at.wall_us),
            last_at: rfc3339(state.at.wall_us),
            ended_at: story.ended_at.map(|at| rfc3339(at.wall_us)),
            took_ms: span_us(state.started_at, story.ended_at.unwrap_or(now)) / 1000,
            by: started.map(|started| &started.by),
            rehearsal: state.rehearsal(),
            parent: started
                .and_then(|started| started.parent.as_ref())
                .map(|parent| ParentReport { run: &parent.run, path: &parent.path }),
            runbook: started.map(|started| RunbookReport {
                root: &started.runbook.root,
                file: &started.runbook.file,
                digest: started.runbook.digest,
            }),
            params: started
                .iter()
                .flat_map(|started| started.params.iter().map(|(name, value)| (name.as_str(), value)))
                .collect(),
            counts: counts(tally, state.steps.values()),
            holds: holds(story, run),
            waiting: waiting(story, run),
            windows: windows(story),
            guards: guards(story),
            locks: locks(story),
            commit_points: state.commit_points.iter().map(|(path, _)| path).collect(),
            undoing: state.undoing.as_ref().map(|undoing| &undoing.scope),
            abort: state.abort.as_ref().map(|(by, why)| AbortReport { by, why: why.as_deref() }),
            engines: story
                .engines
                .iter()
                .map(|(attached, at)| EngineReport {
                    reason: attached.reason,
                    engine: &attached.engine,
                    by: attached.by.as_ref(),
                    piton: attached.piton.as_deref(),
                    at: rfc3339(at.wall_us),
                })
                .collect(),
            take_overs: story.engines.iter().filter(|(attached, _)| attached.reason == Attach::TookOver).count(),
            emitted: state.emitted.iter().map(|(name, value)| EmittedReport { name, value }).collect(),
            value,
            steps: state.steps_in_order().into_iter().map(|(path, step)| step_report(story, path, step)).collect(),
            journal: Journal { records: state.seq, head: state.head },
        }
    }
}

fn counts<'a>(tally: Tally, steps: impl Iterator<Item = &'a Step>) -> Counts {
    Counts {
        steps: tally.steps,
        done: tally.done,
        running: tally.running,
        waiting: tally.waiting,
        held: tally.held,
        failed: tally.failed,
        dropped: tally.dropped,
        undone: tally.undone,
        attempts: steps.map(|step| u64::from(step.attempts)).sum(),
    }
}

fn commands(offers: Vec<Offer>) -> Vec<String> {
    offers.into_iter().map(|offer| offer.command).collect()
}

fn holds(story: &Story, run: &str) -> Vec<HoldReport> {
    let state = &story.state;
    let of_steps = state.steps_in_order().into_iter().filter_map(|(path, step)| {
        let reason = match (&step.undo.held, &step.phase) {
            (Some(failure), _) => HoldReason::UndoFailed { failure: (**failure).clone() },
            (None, Phase::Held(reason)) => (**reason).clone(),
            _ => return None,
        };
        let child = super::children::became(story.step(path).handle());
        Some(HoldReport {
            path: Some(path.clone()),
            text: reason.to_string(),
            site: Some(step.site.to_string()),
            choices: reason.choices(),
            commands: commands(failure::choices(&reason, run, path).into_iter().chain(child).collect()),
            reason,
        })
    });
    let of_run = state.run_holds.iter().map(|reason| HoldReport {
        path: None,
        text: reason.to_string(),
        site: None,
        choices: reason.choices(),
        commands: commands(failure::run_offers(state, std::slice::from_ref(reason), run)),
        reason: reason.clone(),
    });
    let of_others = state.other_holds.iter().map(|(path, reason)| HoldReport {
        path: Some(path.clone()),
        text: reason.to_string(),
        site: match reason {
            HoldReason::Tripped { trip } => Some(trip.site.to_string()),
            _ => None,
        },
        choices: reason.choices(),
        commands: commands(failure::choices(reason, run, path)),
        reason: reason.clone(),
    });
    of_steps.chain(of_others).chain(of_run).collect()
}

fn guards(story: &Story) -> Vec<GuardReport<'_>> {
    let mut scopes: Vec<_> = story.state.scopes.iter().filter(|(_, scope)| !scope.guards.is_empty()).collect();
    scopes.sort_by_key(|(_, scope)| scope.seq);
    let guards = scopes.into_iter().flat_map(|(path, scope)| scope.guards.iter().map(move |guard| (path, guard)));
    guards
        .map(|(scope, guard)| {
            let path = scope.child(&guard.name);
            let known = story.state.guards.get(&path);
            GuardReport {
                path,
                check: &guard.check,
                limit: &guard.limit,
                every_ms: guard.every.as_ms(),
                tolerate: guard.tolerate,
                on_trip: guard.on_trip,
                state: known.map_or("armed", |known| match known.standing {
                    Standing::Armed => "armed",
                    Standing::Tripped => "tripped",
                    Standing::Checking => "checking",
                    Standing::Quiet => "quiet",
                }),
                saw: known.map(|known| known.trip.saw.as_str()),
            }
        })
        .collect()
}

fn locks(story: &Story) -> Vec<LockReport<'_>> {
    let locks = story.state.locks.iter().map(|(scope, lock)| match lock {
        LockState::Held { name } => {
            LockReport { name, scope, state: "held", held_by: None, held_at: None, since: None }
        }
        LockState::Waiting { name, held_by, held_at, since_us } => LockReport {
            name,
            scope,
            state: "waiting",
            held_by: Some(held_by),
            held_at: Some(held_at),
            since: Some(rfc3339(*since_us)),
        },
    });
    locks.collect()
}

fn waiting<'a>(story: &'a Story, run: &str) -> Vec<Waiting<'a>> {
    let steps = story.state.steps_in_order().into_iter();
    steps
        .filter_map(|(path, step)| {
            let waiting = Waiting {
                path,
                kind: step.kind,
                site: step.site.to_string(),
                ask: None,
                shown: None,
                answered_by: Vec::new(),
                expires_at: None,
                due_at: None,
                commands: Vec::new(),
            };
            Some(match &step.phase {
                Phase::Asked { asked, answers } => Waiting {
                    ask: Some(&asked.ask),
                    shown: Some(asked.shown),
                    answered_by: answers.iter().map(|answer| &answer.decision.by).collect(),
                    expires_at: asked.expires_at_us.map(rfc3339),
                    commands: commands(failure::answers_to(&asked.ask, run, path)),
                    ..waiting
                },
                Phase::Timer(timer) => Waiting { due_at: Some(rfc3339(timer.due_at_us)), ..waiting },
                Phase::Running(_) => {
                    let child = super::children::awaited(&story.state).find(|child| child.path == path)?;
                    Waiting { commands: commands(child.offers), ..waiting }
                }
                _ => return None,
            })
        })
        .collect()
}

fn windows(story: &Story) -> Vec<WindowReport<'_>> {
    let mut windows: Vec<&Window> = story.state.windows.values().collect();
    windows.sort_by_key(|window| (window.opened_at.wall_us, window.path.clone()));
    windows
        .into_iter()
        .map(|window| {
            let (state, closed) = match &window.phase {
                WindowPhase::Open => ("open", None),
                WindowPhase::GoingBack { .. } => ("going_back", None),
                WindowPhase::Closed { measured_us, within_budget, went_back } => {
                    ("closed", Some((*measured_us, *within_budget, *went_back)))
                }
            };
            WindowReport {
                path: &window.path,
                generation: window.generation,
                state,
                opened_at: rfc3339(window.opened_at.wall_us),
                budget_ms: window.budget.as_ms(),
                reserve_ms: window.reserve.as_ms(),
                measured_ms: closed.map(|(measured_us, ..)| ms(measured_us)),
                within_budget: closed.map(|(_, within, _)| within),
                went_back: closed.map(|(.., back)| back),
                back_ms: window.back_took_us.map(ms),
                rehearsed: window.rehearsed,
                why: Some(window.went_back_because.as_str()).filter(|why| !why.is_empty()),
                committed: window.committed,
            }
        })
        .collect()
}

/// Milliseconds with their microseconds.
fn ms(us: u64) -> f64 {
    us as f64 / 1000.0
}

fn step_report<'a>(story: &'a Story, path: &'a Path, step: &'a Step) -> StepReport<'a> {
    let told = story.step(path);
    let child = story.state.children.get(path);
    let waits = child.and_then(|child| child.waits.as_ref());
    let mark = if waits.is_some() { Mark::Waiting } else { Mark::of(step) };
    let how = match &step.phase {
        Phase::Succeeded { how, .. } => Some(*how),
        _ => None,
    };
    let took_us = told.took_us.filter(|_| mark == Mark::Done);
    StepReport {
        path,
        kind: step.kind,
        status: mark.word(),
        how,
        attempts: step.attempts,
        generation: step.generation,
        started_at: rfc3339(step.started_at.wall_us),
        ended_at: step.ended_at.map(|at| rfc3339(at.wall_us)),
        took_ms: took_us.or_else(|| step.ended_at.map(|at| span_us(step.started_at, at))).map(ms),
        site: step.site.to_string(),
        summary: told.does.as_deref(),
        error: told.failed().map(|failed| failed.failure.message.as_str()),
        saw: told.saw(),
        child_run: child.map(|child| &child.run),
        child_waits: waits.map(|wait| wait.why.as_str()),
    }
}
