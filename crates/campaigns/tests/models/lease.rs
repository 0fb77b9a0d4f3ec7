//! The model of lease hand-over: engines that die, are slow or come back, a store that fails, appends that land late.
//!
//! Owns the protocol around `piton_store::fence`, whose functions decide here as they do in the store. Two kinds of store:
//! a file store, whose lock ends with its holder and whose appends do not outlive it; and a session store, whose lock may
//! be lost while its holder goes on, and whose appends may land after their sender's death.
//! Leaves out what an append says, and records beside the store: see `window`.

use piton_store::fence::{self, Admission};
use stateright::{Checker, HasDiscoveries, Model, Property};

const ENGINES: usize = 3;
const MAX_RECORDS: usize = 4;
const MAX_FAILURES: u8 = 2;

const ONLY_LAST: &str = "only the last holder's appends are accepted";
const ONE_HOLDER: &str = "nothing is appended by two holders under one fence";
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    File,
    Session,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Engine {
    /// Waits for the lease: a watchdog, a person's `resume`.
    Idle,
    Locked,
    /// Believes to hold the lease.
    Holds {
        fence: u64,
        head: usize,
    },
    Dead,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Append {
    by: usize,
    fence: u64,
    after: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    /// The newest number that is written.
    newest: u64,
    /// Fence and author of each record.
    journal: Vec<(u64, usize)>,
    lock: Option<usize>,
    writable: bool,
    failures: u8,
    /// The run has a side log, for a window is open.
    window: bool,
    engines: [Engine; ENGINES],
    in_flight: Vec<Append>,
    /// Who took the last lease.
    latest: Option<usize>,
    /// An append was accepted of someone else.
    stale: bool,
    /// An append was refused because of the fence.
    fenced: bool,
    /// An append wrote a number that was taken unwritten.
    raised: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Action {
    Lock(usize),
    Number(usize),
    Send(usize),
    Land(Append),
    /// It dies; of a file store, with what it was writing.
    Kill(usize),
    LoseLock(usize),
    StoreFails,
    StoreRecovers,
}

/// The protocol with its decisions, so that a test can break one.
#[derive(Clone)]
struct Leases {
    kind: Kind,
    admit: fn(u64, u64) -> Admission,
    step: fn(bool) -> u64,
    /// A number may be taken that is not written.
    unwritten: bool,
}

impl Leases {
    fn sound(kind: Kind) -> Self {
        Self { kind, admit: fence::admit, step: fence::step, unwritten: kind == Kind::File }
    }

    fn number(&self, state: &mut State, by: usize) {
        let known = self.unwritten && state.window;
        let fence = if state.writable {
            state.newest += (self.step)(known);
            state.newest
        } else if known {
            fence::unwritten(state.newest)
        } else {
            // No lease without its number.
            state.engines[by] = Engine::Idle;
            state.lock = None;
            return;
        };
        state.engines[by] = Engine::Holds { fence, head: state.journal.len() };
        state.latest = Some(by);
    }

    fn land(&self, state: &mut State, append: Append) {
        state.in_flight.retain(|other| *other != append);
        if !state.writable {
            // The engine goes on beside the store, or stops; either way nothing was stored.
            return;
        }
        let admission = (self.admit)(state.newest, append.fence);
        let follows = append.after == state.journal.len();
        state.fenced |= admission == Admission::Fenced;
        if admission == Admission::Fenced || !follows {
            return die(state, append.by);
        }
        if admission == Admission::Raises {
            state.newest = append.fence;
            state.raised = true;
        }
        state.stale |= state.latest != Some(append.by);
        state.journal.push((append.fence, append.by));
        if let Engine::Holds { head, .. } = &mut state.engines[append.by] {
            *head += 1;
        }
    }

    /// Whoever waits gets the lease, and where the store can be written appends.
    fn can_be_taken_over(&self, state: &State) -> bool {
        let Some(by) = state.engines.iter().position(|engine| *engine == Engine::Idle) else { return true };
        if state.lock.is_some() || !(state.writable || (self.unwritten && state.window)) {
            return true;
        }
        let mut after = state.clone();
        after.engines[by] = Engine::Locked;
        after.lock = Some(by);
        self.number(&mut after, by);
        let Engine::Holds { fence, head } = after.engines[by] else { return false };
        after.writable = true;
        self.land(&mut after, Append { by, fence, after: head });
        after.journal.last() == Some(&(fence, by))
    }
}

fn die(state: &mut State, by: usize) {
    state.engines[by] = Engine::Dead;
    if state.lock == Some(by) {
        state.lock = None;
    }
}

impl Model for Leases {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let state = |window| State {
            newest: 0,
            journal: vec![],
            lock: None,
            writable: true,
            failures: 0,
            window,
            engines: [Engine::Idle; ENGINES],
            in_flight: vec![],
            latest: None,
            stale: false,
            fenced: false,
            raised: false,
        };
        vec![state(false), state(true)]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for (by, engine) in state.engines.iter().enumerate() {
            let sending = state.in_flight.iter().any(|append| append.by == by);
            match engine {
                Engine::Idle if state.lock.is_none() => actions.push(Action::Lock(by)),
                Engine::Idle | Engine::Dead => continue,
                Engine::Locked => actions.push(Action::Number(by)),
                Engine::Holds { .. } => {
                    if !sending && state.journal.len() + state.in_flight.len() < MAX_RECORDS {
                        actions.push(Action::Send(by));
                    }
                    if self.kind == Kind::Session && state.lock == Some(by) {
                        actions.push(Action::LoseLock(by));
                    }
                }
            }
            if *engine != Engine::Idle {
                actions.push(Action::Kill(by));
            }
        }
        actions.extend(state.in_flight.iter().copied().map(Action::Land));
        if state.writable && state.failures < MAX_FAILURES {
            actions.push(Action::StoreFails);
        }
        if !state.writable {
            actions.push(Action::StoreRecovers);
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        match action {
            Action::Lock(by) => {
                state.lock = Some(by);
                state.engines[by] = Engine::Locked;
            }
            Action::Number(by) => self.number(&mut state, by),
            Action::Send(by) => {
                let Engine::Holds { fence, head } = state.engines[by] else { return None };
                state.in_flight.push(Append { by, fence, after: head });
                state.in_flight.sort_by_key(|append| append.by);
            }
            Action::Land(append) => self.land(&mut state, append),
            Action::Kill(by) => {
                die(&mut state, by);
                if self.kind == Kind::File {
                    // What it was writing has landed before, or never will.
                    state.in_flight.retain(|append| append.by != by);
                }
            }
            Action::LoseLock(_) => state.lock = None,
            Action::StoreFails => (state.writable, state.failures) = (false, state.failures + 1),
            Action::StoreRecovers => state.writable = true,
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("the journal's fences never fall", |_, state: &State| {
                state.journal.is_sorted_by_key(|(fence, _)| *fence)
            }),
            Property::always(ONE_HOLDER, |_, state: &State| {
                state.journal.windows(2).all(|pair| pair[0].0 != pair[1].0 || pair[0].1 == pair[1].1)
            }),
            Property::always(ONLY_LAST, |_, state: &State| !state.stale),
            Property::always("a dead engine's run can be taken over", |model: &Self, state: &State| {
                model.can_be_taken_over(state) && state.lock.is_none_or(|by| state.engines[by] != Engine::Dead)
            }),
            // What follows shows that the model gets to where it matters.
            Property::sometimes("every engine has appended", |_, state: &State| {
                (0..ENGINES).all(|by| state.journal.iter().any(|(_, author)| *author == by))
            }),
        ]
    }
}

fn checked(model: Leases, finish: HasDiscoveries) -> impl Checker<Leases> {
    model.checker().threads(2).finish_when(finish).spawn_bfs().join()
}

/// A property that does not hold of these leases.
fn finds(what: &'static str, model: Leases) -> bool {
    checked(model, HasDiscoveries::AnyOf([what].into())).discovery(what).is_some()
}

fn holds(kind: Kind, states: usize) {
    let checker = checked(Leases::sound(kind), HasDiscoveries::AnyFailures);
    checker.assert_properties();
    assert_eq!(checker.unique_state_count(), states, "the model has changed: say its new size");
}

#[test]
fn leases_of_a_file_store_hand_over() {
    holds(Kind::File, 21_254);
}

#[test]
fn leases_of_a_session_store_hand_over() {
    holds(Kind::Session, 196_160);
}

/// The places at which the fence does its work are reached.
#[test]
fn the_fence_refuses_and_raises() {
    let reaches = |kind, is: fn(&State) -> bool| {
        let model = Leases::sound(kind);
        let mut states = model.init_states();
        let mut seen: std::collections::HashSet<State> = states.iter().cloned().collect();
        while let Some(state) = states.pop() {
            if is(&state) {
                return true;
            }
            states.extend(model.next_states(&state).into_iter().filter(|state| seen.insert(state.clone())));
        }
        false
    };
    assert!(reaches(Kind::Session, |state| state.fenced), "an append of a lease that was taken over");
    assert!(reaches(Kind::File, |state| state.raised), "an append under a number that was not written");
}

#[test]
fn a_store_that_does_not_heed_the_fence_is_found() {
    let model = Leases { admit: |_, _| Admission::Newest, ..Leases::sound(Kind::Session) };
    assert!(finds(ONLY_LAST, model));
}

#[test]
fn a_lease_that_does_not_raise_the_fence_is_found() {
    let model = Leases { step: |_| 0, ..Leases::sound(Kind::Session) };
    assert!(finds(ONE_HOLDER, model));
}

/// Why a number that is not written is for file stores only: it leans on appends that end with their engine.
#[test]
fn a_number_that_is_not_written_would_be_wrong_where_appends_land_late() {
    let model = Leases { unwritten: true, ..Leases::sound(Kind::Session) };
    assert!(finds(ONLY_LAST, model));
}

/// Why a written lease skips one number: whoever has it unwritten must not be its equal.
#[test]
fn a_written_lease_that_skips_no_number_is_not_told_from_an_unwritten_one() {
    assert_eq!(fence::admit(0, fence::unwritten(0)), Admission::Raises);
    assert_eq!(fence::admit(fence::step(true), fence::unwritten(0)), Admission::Fenced);
    assert_eq!(fence::admit(1, fence::unwritten(0)), Admission::Newest, "skipping none would make it so");
}
