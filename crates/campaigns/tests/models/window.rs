//! The model of a window with its watchdog: an engine that dies, stops or is slow at any step, a watchdog that dies, a
//! store that fails and may recover, a deadline, a commit point.
//!
//! Owns what may happen, and what must be true: the source is never left closed, before the commit point the window goes
//! back, behind it only forward, never both. `window_steps` is the engine, `window_words` its journal.
//! Leaves out undos that fail (they hold, loudly), branches, and the deaths of engine and watchdog at the same time: that
//! is a machine's death, which one machine cannot survive.

use super::window_steps::{beat, land, may_begin_aside, monitor, monitor_may, step};
use super::window_words::{Said, Step, Word, fold, moment};
use piton_core::decide::may_act;
use piton_core::decide::windows::may_go_aside;
use piton_core::scope::Scope;
use piton_core::{Path, RunState};
use piton_engine::watchdog::Patience;
use stateright::{Checker, HasDiscoveries, Model, Property};

/// Ticks of half a second in which something may go wrong, and in all: time enough for every deadline and silence.
const FAULTS_UNTIL: u8 = 2;
const LAST_TICK: u8 = 5;

const LEFT_CLOSED: &str = "the source is never left closed";
const NEVER_BOTH: &str = "never both: moved, and gone back";
const ONLY_FORWARD: &str = "behind the commit point only forward";
const NO_MOVE_BEFORE: &str = "nothing moves before the commit point";

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Place {
    Attach,
    /// A window that an earlier engine left.
    Past,
    Enter,
    Body(Step),
    Act(Step, u8),
    Done(Step, u8),
    Commit,
    /// Its event is appended, and not durable.
    Passing,
    EndWell,
    EndBadly,
    TakeBack,
    Undo,
    UndoAct,
    UndoDone,
    Back,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Silence {
    ForAWhile,
    ForEver,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Engine {
    pub(super) at: Place,
    /// Appended, not durable.
    pub(super) buffer: Vec<Said>,
    pub(super) aside: bool,
    /// How many of these are being written beside the store.
    pub(super) landing: usize,
    /// Its watchdog stands by, and its monitor runs.
    pub(super) armed: bool,
    /// Silent: stopped by a signal, or stuck in a flush.
    silent: Option<Silence>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Guard {
    pub(super) last_beat_us: u64,
    pub(super) deadline_us: Option<u64>,
}

/// What may still go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Budget {
    kills: u8,
    guard_kills: u8,
    stops: u8,
    store_failures: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct State {
    pub(super) time: u8,
    pub(super) journal: Vec<Said>,
    pub(super) aside: Vec<Said>,
    pub(super) side_prepared: bool,
    pub(super) store: bool,
    engine: Option<Engine>,
    pub(super) guard: Option<Guard>,
    /// The service's writes are refused at the source.
    pub(super) closed: bool,
    /// They go to the target.
    pub(super) moved: bool,
    /// The source was opened again by going back.
    pub(super) undone: bool,
    /// The store failed behind the commit point, where only forward is left.
    pub(super) needs_person: bool,
    taken_over: bool,
    left: Budget,
}

impl State {
    /// What proving an attempt dead tells.
    pub(super) fn has_done(&self, step: Step) -> bool {
        match step {
            Step::Close => self.closed,
            Step::Move => self.moved,
        }
    }

    fn words(&self) -> impl Iterator<Item = Word> {
        self.journal.iter().chain(&self.aside).map(|(word, _)| *word)
    }

    /// The service can write, or a person is told why not.
    fn is_well(&self) -> bool {
        !self.closed || self.moved || self.needs_person
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Action {
    Tick,
    Step,
    Monitor,
    FlusherBegins,
    FlusherLands,
    WatchdogKills,
    WatchdogTakesOver,
    Kill,
    KillWatchdog,
    Stop(Silence),
    Wake,
    StoreFails,
    StoreRecovers,
}

/// The decisions that a test can break.
#[derive(Clone)]
pub(super) struct Faults {
    pub(super) may_go_aside: fn(&RunState, bool) -> bool,
    pub(super) may_commit: fn(&RunState, &Scope, &Path) -> bool,
    /// An action is performed whose intent stands beside the store.
    pub(super) acts_aside: bool,
    is_over: fn(&Patience, u64) -> bool,
}

impl Faults {
    const NONE: Self = Self {
        may_go_aside,
        may_commit: may_act,
        acts_aside: false,
        is_over: |patience, now_us| patience.is_over(now_us),
    };
}

#[derive(Clone)]
struct Windows {
    faults: Faults,
}

impl Windows {
    fn silent_too_long(&self, state: &State) -> bool {
        let patience =
            state.guard.map(|guard| Patience { last_beat_us: guard.last_beat_us, deadline_us: guard.deadline_us });
        patience.is_some_and(|patience| (self.faults.is_over)(&patience, moment(state.time).boot_us))
    }
}

impl Model for Windows {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let engine = Engine { at: Place::Enter, buffer: vec![], aside: false, landing: 0, armed: false, silent: None };
        vec![State {
            time: 0,
            journal: vec![(Word::Attached, 0)],
            aside: vec![],
            side_prepared: false,
            store: true,
            engine: Some(engine),
            guard: None,
            closed: false,
            moved: false,
            undone: false,
            needs_person: false,
            taken_over: false,
            left: Budget { kills: 2, guard_kills: 1, stops: 1, store_failures: 1 },
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        let faulty = state.time <= FAULTS_UNTIL;
        let left = state.left;
        if state.time < LAST_TICK && (state.engine.is_some() || state.guard.is_some()) {
            actions.push(Action::Tick);
        }
        match &state.engine {
            Some(Engine { silent: Some(Silence::ForAWhile), .. }) => actions.push(Action::Wake),
            Some(Engine { silent: Some(Silence::ForEver), .. }) => {}
            Some(engine) => {
                actions.push(Action::Step);
                if monitor_may(state, engine) {
                    actions.push(Action::Monitor);
                }
                if may_begin_aside(state, engine, &self.faults) {
                    actions.push(Action::FlusherBegins);
                }
                if engine.landing > 0 {
                    actions.push(Action::FlusherLands);
                }
            }
            None if state.guard.is_some() => actions.push(Action::WatchdogTakesOver),
            None => {}
        }
        if let (Some(engine), Some(_)) = (&state.engine, &state.guard) {
            if self.silent_too_long(state) {
                actions.push(Action::WatchdogKills);
            }
            if faulty {
                for (may, action) in [
                    (left.kills > 0, Action::Kill),
                    (left.stops > 0 && engine.silent.is_none(), Action::Stop(Silence::ForAWhile)),
                    (left.stops > 0 && engine.silent.is_none(), Action::Stop(Silence::ForEver)),
                    (left.guard_kills > 0 && engine.silent.is_none(), Action::KillWatchdog),
                ] {
                    if may {
                        actions.push(action);
                    }
                }
            }
        }
        if faulty && state.store && left.store_failures > 0 {
            actions.push(Action::StoreFails);
        }
        if !state.store {
            actions.push(Action::StoreRecovers);
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        match action {
            Action::Tick => {
                state.time += 1;
                if let Some(engine) = state.engine.clone().filter(|engine| engine.armed && engine.silent.is_none()) {
                    beat(&mut state, &engine);
                }
            }
            Action::Step => {
                let engine = state.engine.take()?;
                state.engine = step(&mut state, engine, &self.faults);
            }
            Action::Monitor => {
                let engine = state.engine.take()?;
                state.engine = monitor(&mut state, engine, &self.faults);
            }
            Action::FlusherBegins => {
                let engine = state.engine.as_mut()?;
                engine.landing = engine.buffer.len();
            }
            Action::FlusherLands => {
                let mut engine = state.engine.take()?;
                land(&mut state, &mut engine);
                state.engine = Some(engine);
            }
            Action::WatchdogTakesOver => {
                state.guard = None;
                // As the process does: what the store's journal says.
                if fold(state.journal.iter()).open_window().is_some() {
                    state.taken_over = true;
                    state.engine = Some(Engine {
                        at: Place::Attach,
                        buffer: vec![],
                        aside: false,
                        landing: 0,
                        armed: false,
                        silent: None,
                    });
                }
            }
            Action::WatchdogKills => state.engine = None,
            Action::Kill => (state.engine, state.left.kills) = (None, state.left.kills - 1),
            Action::KillWatchdog => (state.guard, state.left.guard_kills) = (None, 0),
            Action::Stop(silence) => {
                state.engine.as_mut()?.silent = Some(silence);
                state.left.stops -= 1;
            }
            Action::Wake => state.engine.as_mut()?.silent = None,
            Action::StoreFails => (state.store, state.left.store_failures) = (false, 0),
            Action::StoreRecovers => state.store = true,
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            // Whatever happens next: that the store recovers is nothing to count on.
            Property::always(LEFT_CLOSED, |model: &Self, state: &State| {
                let mut actions = Vec::new();
                model.actions(state, &mut actions);
                actions.iter().any(|action| *action != Action::StoreRecovers) || state.is_well()
            }),
            Property::always(NEVER_BOTH, |_, state: &State| !(state.moved && state.undone)),
            Property::always(ONLY_FORWARD, |_, state: &State| {
                let committed = state.words().position(|word| word == Word::Committed);
                let back = |word| matches!(word, Word::GoingBack | Word::UndoBegan | Word::UndoStarted(_));
                committed.is_none_or(|at| !state.words().skip(at).any(back))
            }),
            Property::always(NO_MOVE_BEFORE, |_, state: &State| {
                !state.moved || state.journal.iter().any(|(word, _)| *word == Word::Committed)
            }),
            Property::always("a window that has gone back has opened the source", |_, state: &State| {
                !state.words().any(|word| word == Word::Closed { back: true }) || !state.closed
            }),
            Property::sometimes("a watchdog finishes the move", |_, state: &State| {
                state.taken_over && state.moved && state.words().any(|word| word == Word::Closed { back: false })
            }),
            Property::sometimes("going back stands in the side log", |_, state: &State| {
                state.aside.iter().any(|(word, _)| *word == Word::Closed { back: true }) && state.undone
            }),
            Property::sometimes("a silent engine is replaced", |model: &Self, state: &State| {
                state.engine.as_ref().is_some_and(|engine| engine.silent.is_some() && model.silent_too_long(state))
            }),
        ]
    }
}

fn checked(faults: Faults, finish: HasDiscoveries) -> impl Checker<Windows> {
    Windows { faults }.checker().threads(2).finish_when(finish).spawn_bfs().join()
}

/// A property that does not hold where this is so.
fn finds(what: &'static str, faults: Faults) -> bool {
    let finish = HasDiscoveries::AnyOf([what].into());
    checked(faults, finish).discovery(what).is_some()
}

#[test]
fn a_window_with_its_watchdog_is_never_left_closed() {
    let checker = checked(Faults::NONE, HasDiscoveries::AnyFailures);
    checker.assert_properties();
    assert_eq!(checker.unique_state_count(), 537_879, "the model has changed: say its new size");
}

#[test]
fn a_watchdog_without_an_end_to_its_patience_is_found() {
    assert!(finds(LEFT_CLOSED, Faults { is_over: |_, _| false, ..Faults::NONE }));
}

#[test]
fn a_commit_point_that_does_not_look_whether_the_window_goes_back_is_found() {
    let faults = Faults { may_commit: |_, _, _| true, ..Faults::NONE };
    assert!(finds(LEFT_CLOSED, faults));
}

#[test]
fn an_action_whose_intent_stands_beside_the_store_is_found() {
    // A window whose opening stands there has no watchdog that sees it.
    assert!(finds(LEFT_CLOSED, Faults { acts_aside: true, ..Faults::NONE }));
}

/// As it was once: while a record was being written beside the store, a commit point was appended, and followed it there.
#[test]
fn a_commit_point_that_is_passed_beside_the_store_is_found() {
    let may_go_aside = |state: &RunState, is_aside| is_aside || may_go_aside(state, is_aside);
    assert!(finds(LEFT_CLOSED, Faults { may_go_aside, ..Faults::NONE }));
}

#[test]
fn an_engine_that_cannot_go_back_without_its_store_is_found() {
    assert!(finds(LEFT_CLOSED, Faults { may_go_aside: |_, _| false, ..Faults::NONE }));
}
