//! `piton approve`: a person says yes, or no, to what a run asks.
//!
//! Owns choosing the question and what is said afterwards. An answer carries the hash of what was shown, so an edit in
//! between asks again.

use crate::args::ApproveArgs;
use crate::commands::ended::ended;
use crate::commands::{engine, names, post, waker};
use crate::error::{CliError, Kind};
use crate::exit::Exit;
use crate::print;
use crate::ui::failure;
use crate::ui::text::{path_word, printable};
use crate::wire::Wire;
use crate::world;
use piton_core::decide::check_answer;
use piton_core::event::{Answer, PersonAnswered, PersonAsked};
use piton_core::hold::Decision;
use piton_core::ids::RunId;
use piton_core::ports::{Clock as _, InboxMessage, Store as _};
use piton_core::request::Ask;
use piton_core::state::{Phase, Step};
use piton_core::{Path, RunState};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A live engine goes on from an answer within this time, unless the runbook is very long.
const SEE_THROUGH: Duration = Duration::from_secs(2);
const LOOK_EVERY: Duration = Duration::from_millis(20);

pub(crate) fn run(args: ApproveArgs) -> Result<Exit, CliError> {
    let wire = waker::open()?;
    let run = wire.store.find(&args.run)?.id;
    let state = wire.state(&run)?;
    if state.finished.is_some() {
        return Err(ended(&wire, &run, &state));
    }
    let answer = if args.reject { Answer::Reject } else { Answer::Approve };
    let (path, asked) = match &args.step {
        Some(name) => asked_at(&state, names::step(&state, name, run.short())?, &run)?,
        None => only_question(&state, &answer, &run)?,
    };
    let decision = Decision { by: world::actor(args.actor.as_deref()), saw: asked.shown, why: args.reason };
    give(&wire, &run, &state, Given { path, asked, answer, decision })
}

/// An answer to a question that stands.
pub(crate) struct Given {
    pub(crate) path: Path,
    pub(crate) asked: Arc<PersonAsked>,
    pub(crate) answer: Answer,
    pub(crate) decision: Decision,
}

/// Sends the answer and says what came of it.
pub(crate) fn give(wire: &Wire, run: &RunId, state: &RunState, given: Given) -> Result<Exit, CliError> {
    let Given { path, asked, answer, decision } = given;
    let name = printable(path.as_str());
    let now_us = wire.clock.now().wall_us;
    check_answer(state, &path, &answer, &decision, now_us)
        .map_err(|why| refused(&name, &why, &asked.ask, run, &path))?;
    let message = InboxMessage::Answer { path: path.clone(), answer: answer.clone() };
    match post::send(wire, run, &decision, &message)? {
        post::Sent::Accepted => {
            see_through(wire, run, &path)?;
            print::line(&said(wire, run, &path, &name, &answer)?);
            Ok(Exit::Done)
        }
        post::Sent::Refused => {
            // Somebody else was faster, or the question changed meanwhile: the state says which.
            let now = wire.state(run)?;
            let why = check_answer(&now, &path, &answer, &decision, now_us).err();
            Err(refused(
                &name,
                why.as_deref().unwrap_or("the question had changed when it arrived"),
                &asked.ask,
                run,
                &path,
            ))
        }
    }
}

/// An engine in the background may leave, with nothing to do, in the moment in which an answer arrives: then another
/// goes on with it.
fn see_through(wire: &Wire, run: &RunId, path: &Path) -> Result<(), CliError> {
    let settled = |state: &RunState| match state.steps.get(path).map(|step| &step.phase) {
        Some(Phase::Asked { asked, answers }) => is_settled(&asked.ask, answers),
        _ => false,
    };
    let until = Instant::now() + SEE_THROUGH;
    while Instant::now() < until && settled(&wire.state(run)?) {
        if !post::is_driven(wire, run)? {
            return engine::spawn_detached(wire, run);
        }
        std::thread::sleep(LOOK_EVERY);
    }
    Ok(())
}

fn refused(name: &str, why: &str, ask: &Ask, run: &RunId, path: &Path) -> CliError {
    let error = CliError::new(Kind::AnswerRefused, format!("\"{name}\": {why}"));
    match ask {
        Ask::Approve { .. } => error,
        _ => failure::answers_to(ask, run.short(), path)
            .into_iter()
            .fold(error, |error, offer| error.hint(offer.command)),
    }
}

fn said(wire: &Wire, run: &RunId, path: &Path, name: &str, answer: &Answer) -> Result<String, CliError> {
    let state = wire.state(run)?;
    let what = match answer {
        Answer::Approve => "approved",
        Answer::Reject => "rejected",
        Answer::Fields { .. } => "answered",
        Answer::Done => "said to be done",
    };
    // More than one has to agree: how many do by now.
    if let Some(Phase::Asked { asked, answers }) = state.steps.get(path).map(|step| &step.phase)
        && let Ask::Approve { count, .. } = asked.ask
        && *answer == Answer::Approve
        && answers.len() < count as usize
    {
        return Ok(format!("{what}: {name} ({} of {count}); it waits for the others", answers.len()));
    }
    Ok(format!("{what}: {name}; follow the run: piton watch {}", run.short()))
}

/// The question that stands at this step.
pub(crate) fn asked_at(state: &RunState, path: Path, run: &RunId) -> Result<(Path, Arc<PersonAsked>), CliError> {
    match state.steps.get(&path) {
        Some(Step { phase: Phase::Asked { asked, .. }, .. }) => Ok((path, asked.clone())),
        _ => {
            let error =
                CliError::new(Kind::NothingAsked, format!("nothing is asked at \"{}\" now", printable(path.as_str())));
            Err(error.hint(format!("see what is: piton show {}", run.short())))
        }
    }
}

/// Nobody's answer is wanted any more; the engine has yet to go on from there.
fn is_settled(ask: &Ask, answers: &[PersonAnswered]) -> bool {
    let needed = match ask {
        Ask::Approve { count, .. } => (*count).max(1) as usize,
        _ => 1,
    };
    answers.len() >= needed || answers.iter().any(|answer| answer.answer == Answer::Reject)
}

/// The only question that this answer could be meant for.
fn only_question(state: &RunState, answer: &Answer, run: &RunId) -> Result<(Path, Arc<PersonAsked>), CliError> {
    let fits = |ask: &Ask| match ask {
        Ask::Approve { .. } => true,
        Ask::Manual { .. } => *answer == Answer::Reject,
        Ask::Fields { .. } => false,
    };
    let mut questions: Vec<_> = state
        .steps_in_order()
        .into_iter()
        .filter_map(|(path, step)| match &step.phase {
            Phase::Asked { asked, answers } if fits(&asked.ask) && !is_settled(&asked.ask, answers) => {
                Some((path.clone(), asked.clone()))
            }
            _ => None,
        })
        .collect();
    // By path: branches ask in any order, and a list should look the same when it is asked for again.
    questions.sort_by(|(a, _), (b, _)| a.as_str().cmp(b.as_str()));
    match questions.as_slice() {
        [one] => Ok(one.clone()),
        [] => Err(CliError::new(Kind::NothingAsked, format!("run {run} asks for no approval now"))
            .hint(format!("see how it stands: piton show {}", run.short()))),
        several => {
            let error = CliError::new(Kind::Usage, format!("run {run} asks more than one question: say which"));
            let hint = |path: &Path| format!("piton approve {} {}", run.short(), path_word(path));
            Err(several.iter().fold(error, |error, (path, _)| error.hint(hint(path))))
        }
    }
}
