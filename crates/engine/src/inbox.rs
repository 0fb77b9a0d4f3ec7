//! What people send to a running run: answers, decisions, pause, abort, undo.
//!
//! Owns turning inbox entries into events, each exactly once: the events and the entry's id are one append.
//! Never asks who somebody is: the entry carries the operating system's word.

use crate::journal::Broken;
use crate::shared::{Shared, lock};
use piton_core::Path;
use piton_core::RunState;
use piton_core::decide::{check_answer, check_decision};
use piton_core::event::{Decided, Event, PersonAnswered, UndoBegan, UndoReason};
use piton_core::hold::{Choice, Decision, HoldReason};
use piton_core::ids::Actor;
use piton_core::ports::{Cancel, InboxEntry, InboxMessage};
use piton_core::state::{Phase, Step};
use piton_core::undo::{Begins, begins};
use std::time::Duration;

/// The inbox is looked at this often.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// An engine that only waits ends when its inbox cannot be read for this long.
const INBOX_PATIENCE_US: u64 = 5_000_000;

impl Shared {
    /// Takes new messages into account until `done`. A failure is told once, not at every look.
    pub(crate) fn watch_inbox(&self, done: &Cancel) {
        let mut failing_since_us = None;
        while !self.ports.clock.sleep(LOOK_EVERY, done) {
            self.look_for_locks();
            self.look_for_children();
            let Err(broken) = self.read_inbox() else {
                failing_since_us = None;
                *lock(&self.unreachable) = None;
                continue;
            };
            let now_us = self.journal.now().boot_us;
            let since_us = *failing_since_us.get_or_insert_with(|| {
                self.ports.observer.warn(&broken.0);
                now_us
            });
            let lasts = now_us.saturating_sub(since_us) >= INBOX_PATIENCE_US;
            if lasts && lock(&self.unreachable).replace(broken).is_none() {
                self.changes.notify();
            }
        }
    }

    /// An error where people have not been able to reach this engine for some time: one that only waits would wait for
    /// ever. One that works goes on; its journal tells whether it can.
    pub(crate) fn reachable(&self) -> Result<(), Broken> {
        lock(&self.unreachable).clone().map_or(Ok(()), Err)
    }

    pub(crate) fn read_inbox(&self) -> Result<(), Broken> {
        let seen = self.journal.with(|state| state.inbox_seen);
        let entries = self
            .ports
            .store
            .inbox(&self.run, seen)
            .map_err(|error| Broken(format!("the inbox cannot be read: {error}")))?;
        for entry in entries {
            self.take_message(&entry)?;
        }
        Ok(())
    }

    fn take_message(&self, entry: &InboxEntry) -> Result<(), Broken> {
        let _locking = matches!(entry.message, InboxMessage::BreakLock { .. }).then(|| lock(&self.locking));
        let refused = self.journal.transact(|state| {
            if entry.id <= state.inbox_seen {
                // Another thread has taken it meanwhile.
                return (Vec::new(), None);
            }
            let (mut events, refused) = match events_of(state, entry) {
                Ok(events) => (events, None),
                Err(why) => (Vec::new(), Some(why)),
            };
            events.push(Event::InboxRead { up_to: entry.id });
            (events, refused)
        });
        self.journal.flush()?;
        match (&entry.message, refused) {
            (_, Some(why)) => {
                self.ports.observer.warn(&format!("a message of {} was refused: {why}", entry.decision.by.name))
            }
            (InboxMessage::Pause | InboxMessage::Abort | InboxMessage::BreakLock { .. }, None) => self.stop_running(),
            (InboxMessage::Undo { scope }, None) => {
                self.stop_running();
                self.cancel_within(scope, "it is being taken back");
            }
            _ => {}
        }
        self.changes.notify();
        Ok(())
    }

    /// Ctrl-C once: finish the running steps, then hold. An open window goes back at once.
    pub(crate) fn pause(&self, by: &Actor) -> Result<(), Broken> {
        self.journal.append([Event::RunHeld { reason: HoldReason::Paused { by: by.name.clone() } }]);
        self.journal.flush()?;
        self.stop_running();
        self.changes.notify();
        Ok(())
    }

    /// What runs in an open window goes back; an abort ends everything else that runs, too.
    fn stop_running(&self) {
        let (window, committed, abort) = self.journal.with(|state| {
            let window = state.open_window();
            (window.map(|w| w.path.clone()), window.is_some_and(|w| w.committed), state.abort.is_some())
        });
        if committed {
            return;
        }
        if let Some(window) = window {
            let broken = self.journal.with(|state| {
                let mut holds = state.other_holds.values();
                holds.find(|hold| matches!(hold, HoldReason::LockBroken { .. })).map(ToString::to_string)
            });
            let why = if abort { "the run is aborted".to_owned() } else { "the run is paused".to_owned() };
            self.go_back(&window, &broken.unwrap_or(why));
        }
        if abort {
            self.cancel_within(&Path::root(), "the run is aborted");
        }
    }
}

/// The events a message becomes now, or why it is refused.
fn events_of(state: &RunState, entry: &InboxEntry) -> Result<Vec<Event>, String> {
    if state.finished.is_some() && !matches!(entry.message, InboxMessage::Undo { .. }) {
        return Err("the run has ended".to_owned());
    }
    let decision = &entry.decision;
    match &entry.message {
        InboxMessage::Answer { path, answer } => {
            check_answer(state, path, answer, decision, entry.at_us)?;
            let answered = PersonAnswered { path: path.clone(), answer: answer.clone(), decision: decision.clone() };
            Ok(vec![Event::PersonAnswered(Box::new(answered))])
        }
        InboxMessage::Decide { path, choice } => {
            check_decision(state, path, choice)?;
            Ok(vec![decided(path, choice, decision)])
        }
        InboxMessage::RetryAll => {
            let resumed = (!state.run_holds.is_empty()).then(|| Event::RunResumed { by: decision.by.clone() });
            let steps = state.steps_in_order();
            let steps = steps.into_iter().filter(|(_, step)| retries_with_all(step)).map(|(path, _)| path);
            let retried = state.other_holds.keys().chain(steps);
            Ok(resumed.into_iter().chain(retried.map(|path| decided(path, &Choice::Retry, decision))).collect())
        }
        InboxMessage::Pause => Ok(vec![Event::RunHeld { reason: HoldReason::Paused { by: decision.by.name.clone() } }]),
        InboxMessage::Abort => Ok(vec![Event::AbortAsked { by: decision.by.clone(), why: decision.why.clone() }]),
        InboxMessage::Undo { scope } => {
            if begins(state, scope) != Begins::Now {
                return Err("it is taking back already".to_owned());
            }
            if state.open_window().is_some_and(|window| window.committed) {
                return Err("an open window is past its commit point: only forward until it ends".to_owned());
            }
            let reason = UndoReason::Asked { decision: decision.clone() };
            Ok(vec![Event::UndoBegan(UndoBegan { scope: scope.clone(), reason })])
        }
        InboxMessage::BreakLock { scope, name } => Shared::break_lock(state, (scope, name), decision),
    }
}

fn decided(path: &Path, choice: &Choice, decision: &Decision) -> Event {
    Event::Decided(Decided { path: path.clone(), choice: choice.clone(), decision: decision.clone() })
}

/// `resume --retry` without a step: all that failed. What nobody knows the outcome of is decided one by one.
fn retries_with_all(step: &Step) -> bool {
    step.undo.held.is_some()
        || matches!(&step.phase, Phase::Held(reason)
            if !matches!(**reason, HoldReason::Unknown { .. }) && reason.choices().contains(&Choice::Retry.flag()))
}
