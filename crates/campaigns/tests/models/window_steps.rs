//! What the engine of the window's model does, one step at a time: the order in which `crates/engine` does it.
//!
//! Owns the engine's place in its work. Whether it may go on, goes back, closes or records beside the store is decided by
//! the functions that the engine calls, on the real state.

use super::window::{Engine, Faults, Guard, Place, State};
use super::window_words::{BOOT, Said, Step, Word, commit_point, fold, moment, window};
use piton_core::Digest;
use piton_core::RunState;
use piton_core::decide::windows::{closing, going_back, late};
use piton_core::decide::{Decision, decide};
use piton_core::undo::undo_plan;
use piton_core::window::WindowPhase;
use std::sync::Arc;

/// What an engine knows: what it has read, and what it has appended since.
pub(super) fn belief(state: &State, engine: &Engine) -> Arc<RunState> {
    fold(state.journal.iter().chain(&state.aside).chain(&engine.buffer))
}

fn say(state: &State, engine: &mut Engine, word: Word) {
    let time = if word == Word::Opened { state.time } else { 0 };
    engine.buffer.push((word, time));
}

/// Makes what was appended durable. False: it cannot be, and the engine is over.
fn flush(state: &mut State, engine: &mut Engine, faults: &Faults) -> bool {
    if engine.buffer.is_empty() {
        return true;
    }
    // Someone else's turn: it comes to its end first.
    land(state, engine);
    let believed = belief(state, engine);
    let batch: Vec<Said> = std::mem::take(&mut engine.buffer);
    if state.store && !engine.aside {
        state.journal.extend(batch);
        return true;
    }
    if state.side_prepared && (faults.may_go_aside)(&believed, engine.aside) {
        state.aside.extend(batch);
        engine.aside = true;
        return true;
    }
    // Past its commit point a window needs the store.
    state.needs_person |= believed.open_window().is_some_and(|window| window.committed);
    false
}

/// The flusher finds that the store has failed, and begins to write beside it.
pub(super) fn may_begin_aside(state: &State, engine: &Engine, faults: &Faults) -> bool {
    let nothing_under_way = engine.landing == 0 && !engine.aside && !state.store;
    let possible = nothing_under_way && !engine.buffer.is_empty() && state.side_prepared;
    possible && (faults.may_go_aside)(&belief(state, engine), false)
}

/// What it writes beside the store is durable there.
pub(super) fn land(state: &mut State, engine: &mut Engine) {
    if engine.landing > 0 {
        state.aside.extend(engine.buffer.drain(..engine.landing));
        engine.landing = 0;
        engine.aside = true;
    }
}

/// Dismisses the watchdog and puts the side log away, unless what stands there is still needed.
fn disarm(state: &mut State, engine: &Engine) {
    state.guard = None;
    if belief(state, engine).open_window().is_none() && !engine.aside {
        state.side_prepared = false;
    }
}

/// The engine's next step. `None`: it has ended, and with it its lease.
pub(super) fn step(state: &mut State, mut engine: Engine, faults: &Faults) -> Option<Engine> {
    let scope = window();
    let believed = belief(state, &engine);
    let known = believed.windows.get(&scope.path).cloned();
    engine.at = match engine.at {
        Place::Attach => attach(state, &mut engine, faults)?,
        Place::Past => match late(&believed, moment(state.time), BOOT, engine.aside) {
            Some((path, why)) => {
                if going_back(&believed, &path, why).is_some() {
                    say(state, &mut engine, Word::GoingBack);
                }
                Place::TakeBack
            }
            None if engine.aside => return None,
            None => Place::Enter,
        },
        Place::Enter => match known.map(|window| window.phase) {
            Some(WindowPhase::Closed { .. }) => return None,
            open => enter(state, &mut engine, open.is_some())?,
        },
        Place::Body(step) => match decide(&believed, &scope, &step.path(), Digest::ZERO) {
            Decision::Begin { attempt, .. } => {
                if known.is_none() {
                    say(state, &mut engine, Word::Opened);
                    beat(state, &engine);
                }
                let attempt = u8::try_from(attempt).expect("few attempts");
                say(state, &mut engine, Word::Started(step, attempt));
                if !flush(state, &mut engine, faults) {
                    return None;
                }
                if engine.aside && !faults.acts_aside {
                    // Its intent stands where only going back may be recorded.
                    say(state, &mut engine, Word::NeverBegan(step, attempt));
                    Place::EndBadly
                } else {
                    Place::Act(step, attempt)
                }
            }
            Decision::Recover(started) => {
                let attempt = u8::try_from(started.attempt).expect("few attempts");
                let word =
                    if state.has_done(step) { Word::Done(step, attempt) } else { Word::NeverBegan(step, attempt) };
                say(state, &mut engine, word);
                Place::Body(step)
            }
            Decision::Answer(_) if step == Step::Close => Place::Commit,
            Decision::Answer(_) => Place::EndWell,
            _ => Place::EndBadly,
        },
        Place::Act(step, attempt) => {
            match step {
                Step::Close => state.closed = true,
                Step::Move => state.moved = true,
            }
            Place::Done(step, attempt)
        }
        Place::Done(step, attempt) => {
            say(state, &mut engine, Word::Done(step, attempt));
            if step == Step::Close { Place::Commit } else { Place::EndWell }
        }
        Place::Commit => {
            let passed = !believed.commit_points.is_empty();
            if engine.aside || !(passed || (faults.may_commit)(&believed, &scope, &commit_point())) {
                Place::EndBadly
            } else {
                if !passed {
                    say(state, &mut engine, Word::Committed);
                }
                Place::Passing
            }
        }
        Place::Passing => {
            if !flush(state, &mut engine, faults) {
                return None;
            }
            Place::Body(Step::Move)
        }
        Place::EndWell => {
            if closing(&believed, &scope.path, false, moment(state.time), BOOT).is_some() {
                say(state, &mut engine, Word::Closed { back: false });
                // What stands beside the store is brought home by whoever comes next.
                if flush(state, &mut engine, faults) && !engine.aside {
                    disarm(state, &engine);
                }
                return None;
            }
            Place::EndBadly
        }
        Place::EndBadly => {
            if known.is_none_or(|window| window.committed) {
                disarm(state, &engine);
                return None;
            }
            if going_back(&believed, &scope.path, "it failed").is_some() {
                say(state, &mut engine, Word::GoingBack);
            }
            Place::TakeBack
        }
        at => return take_back(state, engine, at, faults),
    };
    Some(engine)
}

/// Reads the journal, brings the side log home, says that it drives from here.
fn attach(state: &mut State, engine: &mut Engine, faults: &Faults) -> Option<Place> {
    let believed = belief(state, engine);
    let goes_back = believed.open_window().is_some_and(|window| !window.committed);
    if state.store {
        let aside = std::mem::take(&mut state.aside);
        state.journal.extend(aside);
        state.side_prepared &= goes_back;
    } else if goes_back && state.side_prepared {
        engine.aside = !state.aside.is_empty();
    } else if !state.aside.is_empty() {
        return None;
    }
    say(state, engine, Word::Attached);
    flush(state, engine, faults).then_some(Place::Past)
}

/// Arms the window: space beside the store, and a watchdog.
fn enter(state: &mut State, engine: &mut Engine, is_open: bool) -> Option<Place> {
    if !state.side_prepared && !state.store {
        let believed = belief(state, engine);
        if !is_open {
            // Nothing is opened that nobody could record: the run holds.
            return None;
        }
        if let Some((path, why)) = late(&believed, moment(state.time), BOOT, true) {
            if going_back(&believed, &path, why).is_some() {
                say(state, engine, Word::GoingBack);
            }
            return Some(Place::TakeBack);
        }
        // Behind the commit point it goes on, guarded or not.
        return Some(Place::Body(Step::Close));
    }
    state.side_prepared = true;
    engine.armed = true;
    state.guard = Some(Guard::default());
    if is_open {
        beat(state, engine);
    }
    Some(Place::Body(Step::Close))
}

fn take_back(state: &mut State, mut engine: Engine, at: Place, faults: &Faults) -> Option<Engine> {
    let scope = window();
    let believed = belief(state, &engine);
    engine.at = match at {
        Place::TakeBack => {
            if believed.undoing.is_none() {
                say(state, &mut engine, Word::UndoBegan);
            }
            for step in [Step::Close, Step::Move] {
                let open = believed.steps.get(&step.path()).and_then(|known| known.open.clone());
                let Some(open) = open else { continue };
                let attempt = u8::try_from(open.attempt).expect("few attempts");
                let done = state.has_done(step);
                say(
                    state,
                    &mut engine,
                    if done { Word::Ended(step, attempt) } else { Word::NeverBegan(step, attempt) },
                );
            }
            Place::Undo
        }
        Place::Undo => {
            let plan = undo_plan(&believed, &scope.path);
            if plan.items.is_empty() {
                say(state, &mut engine, Word::UndoFinished);
                say(state, &mut engine, Word::Closed { back: true });
                if !flush(state, &mut engine, faults) {
                    return None;
                }
                Place::Back
            } else {
                let tried = believed.steps.get(&Step::Close.path()).map_or(0, |step| step.undo.attempts);
                say(state, &mut engine, Word::UndoStarted(u8::try_from(tried + 1).expect("few attempts")));
                if !flush(state, &mut engine, faults) {
                    return None;
                }
                Place::UndoAct
            }
        }
        Place::UndoAct => {
            state.closed = false;
            state.undone = true;
            Place::UndoDone
        }
        Place::UndoDone => {
            say(state, &mut engine, Word::Undone);
            Place::Undo
        }
        _ => {
            if !engine.aside {
                disarm(state, &engine);
            }
            return None;
        }
    };
    Some(engine)
}

/// The monitor beside the body: holds the budget, and goes back where the store has failed.
pub(super) fn monitor_may(state: &State, engine: &Engine) -> bool {
    let scope = window();
    let believed = belief(state, engine);
    let over = (believed.windows.get(&scope.path))
        .is_some_and(|window| window.until_going_back_us(moment(state.time), BOOT) == 0);
    engine.armed && (over || engine.aside) && going_back(&believed, &scope.path, "why").is_some()
}

pub(super) fn monitor(state: &mut State, mut engine: Engine, faults: &Faults) -> Option<Engine> {
    say(state, &mut engine, Word::GoingBack);
    flush(state, &mut engine, faults).then_some(engine)
}

/// The watchdog hears of the engine, and when the window goes back.
pub(super) fn beat(state: &mut State, engine: &Engine) {
    let believed = belief(state, engine);
    let now = moment(state.time);
    let deadline = believed
        .windows
        .get(&window().path)
        .filter(|window| window.is_open())
        .map(|window| now.boot_us + window.until_going_back_us(now, BOOT));
    if let Some(guard) = &mut state.guard {
        guard.deadline_us = deadline.or(guard.deadline_us);
        guard.last_beat_us = now.boot_us;
    }
}
