//! Hold, switch, release: the only place where the phase and the route change.
//!
//! A hold closes the gate, lets what is open end, and says who did not. It carries its deadline: when that passes, the gate
//! itself asks the register to abort and obeys the answer.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::time::{Instant as Moment, sleep_until, timeout_at};

use crate::error::GateError;
use crate::register::{Decision, Register};
use crate::shared::Shared;
use crate::slot::{Slot, Standing};

/// How often a register is looked at while the gate is held.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// A question to the register may take this long before it is asked again.
const LOOK_TIME: Duration = Duration::from_secs(2);
/// Names in a list; the count is always whole.
const NAMED: usize = 100;

/// What a hold is allowed.
#[derive(Debug, Clone, Deserialize)]
pub struct HoldOptions {
    /// Time for open transactions to end; if they do not, the gate opens again at once.
    pub drain: Duration,
    /// Time from the start of the hold until the gate decides by itself.
    pub deadline: Duration,
    /// Where a committed epoch goes, when the register says so before anybody calls `switch`.
    pub target: Option<String>,
}

/// A session that keeps a hold from draining, or that could not move.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub struct Blocker {
    /// The gate's number of the connection.
    pub id: u32,
    /// Who.
    pub user: String,
    /// From where.
    pub host: String,
    /// How long what is open has been open, in milliseconds.
    pub age_ms: u64,
    /// The last statement, without its values.
    pub statement: String,
    /// What pins the session.
    pub pins: Vec<String>,
}

impl Blocker {
    fn of(slot: &Slot) -> Self {
        Self {
            id: slot.id,
            user: slot.user(),
            host: slot.client.to_string(),
            age_ms: slot.age().as_millis() as u64,
            statement: slot.digest(),
            pins: slot.pins().names().into_iter().map(str::to_owned).collect(),
        }
    }
}

/// What came of asking for a hold.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub struct HoldReport {
    /// All that was open has ended; the gate is held. Otherwise it is open again.
    pub drained: bool,
    /// Microseconds from closing the gate until the last open transaction had ended (or was given up).
    pub drain_us: u64,
    /// How many did not end in time.
    pub blocking: usize,
    /// The oldest of them.
    pub blockers: Vec<Blocker>,
    /// How many sessions could not move.
    pub pinned: usize,
    /// Some of them.
    pub pinned_sessions: Vec<Blocker>,
}

/// How the last hold ended.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum HoldEnd {
    /// Somebody called `release` or `abort`.
    Released,
    /// Open transactions did not end in time.
    NotDrained,
    /// The deadline passed; the register was decided for abort.
    Expired,
    /// The register was found aborted.
    Aborted,
    /// The register was found committed.
    Committed,
}

/// An open hold.
struct Held {
    number: u64,
    began: Instant,
    drained: bool,
    switched: bool,
    target: Option<u32>,
}

/// The one who closes and opens.
pub(crate) struct Holder {
    shared: Arc<Shared>,
    register: Arc<dyn Register>,
    held: Mutex<Option<Held>>,
    last: Mutex<Option<HoldEnd>>,
    number: Mutex<u64>,
}

impl Holder {
    pub(crate) fn new(shared: Arc<Shared>, register: Arc<dyn Register>) -> Self {
        Self { shared, register, held: Mutex::new(None), last: Mutex::new(None), number: Mutex::new(0) }
    }

    fn held(&self) -> std::sync::MutexGuard<'_, Option<Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn last(&self) -> Option<HoldEnd> {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn index(&self, name: &str) -> Result<u32, GateError> {
        let found = self.shared.routes.iter().position(|route| route.settings.name == name);
        found.map(|index| index as u32).ok_or_else(|| GateError::UnknownBackend { name: name.to_owned() })
    }

    /// Closes the gate and waits until what is open has ended.
    pub(crate) async fn hold(self: &Arc<Self>, options: &HoldOptions) -> Result<HoldReport, GateError> {
        let target = options.target.as_deref().map(|name| self.index(name)).transpose()?;
        let began = Instant::now();
        let number = {
            let mut held = self.held();
            if held.is_some() {
                return Err(GateError::Phase("the gate is held already"));
            }
            let mut number = self.number.lock().unwrap_or_else(PoisonError::into_inner);
            *number += 1;
            *held = Some(Held { number: *number, began, drained: false, switched: false, target });
            self.shared.open.store(false, Ordering::SeqCst);
            *number
        };
        self.shared.counters.holds.fetch_add(1, Ordering::Relaxed);
        // Whoever asks may leave: the deadline is kept all the same.
        let deadline = Moment::from_std(began + options.deadline);
        tokio::spawn(Arc::clone(self).watch(number, deadline));
        let drain = Moment::from_std(began + options.drain.min(options.deadline));
        let drained = timeout_at(drain, self.drain()).await.is_ok();
        let mut report = self.report(began);
        let still = {
            let mut held = self.held();
            let ours = held.as_mut().filter(|held| held.number == number);
            ours.map(|held| held.drained = drained).is_some()
        };
        if drained && !still {
            return Err(GateError::Phase("the hold ended before it had drained"));
        }
        report.drained = drained;
        if !drained {
            self.open(number, HoldEnd::NotDrained);
        } else {
            (report.blocking, report.blockers) = (0, Vec::new());
        }
        Ok(report)
    }

    /// Waits for each session in turn: one that was seen at a boundary after the gate closed can open nothing any more.
    async fn drain(&self) {
        let slots = self.shared.all_slots();
        for slot in slots.iter().filter(|slot| slot.standing() == Standing::Unsure) {
            slot.wake.notify_one();
        }
        for slot in slots {
            while slot.standing().blocks() {
                self.shared.reached.notified().await;
            }
        }
    }

    fn report(&self, began: Instant) -> HoldReport {
        let slots = self.shared.all_slots();
        let list = |mut chosen: Vec<Blocker>| {
            chosen.sort_by_key(|blocker| std::cmp::Reverse(blocker.age_ms));
            let count = chosen.len();
            chosen.truncate(NAMED);
            (count, chosen)
        };
        let blocking = slots.iter().filter(|slot| slot.standing().blocks());
        let (blocking, blockers) = list(blocking.map(|slot| Blocker::of(slot)).collect());
        let pinned = slots.iter().filter(|slot| !slot.pins().is_empty());
        let (pinned, pinned_sessions) = list(pinned.map(|slot| Blocker::of(slot)).collect());
        let drain_us = began.elapsed().as_micros() as u64;
        HoldReport { drained: false, drain_us, blocking, blockers, pinned, pinned_sessions }
    }

    /// Who is pinned and who would block, without holding anything.
    pub(crate) fn look(&self) -> HoldReport {
        self.report(Instant::now())
    }

    /// Sends statements to another backend from now on; the gate stays held until it is released.
    pub(crate) fn switch(&self, name: &str) -> Result<u64, GateError> {
        let index = self.index(name)?;
        let mut held = self.held();
        let held = held.as_mut().ok_or(GateError::Phase("only a held gate can be switched"))?;
        if !held.drained {
            return Err(GateError::Phase("transactions are still open on the old backend"));
        }
        if !held.switched {
            held.switched = true;
            self.route_to(index);
        }
        Ok(self.shared.epoch())
    }

    fn route_to(&self, index: u32) {
        self.shared.current.store(index, Ordering::SeqCst);
        self.shared.epoch.fetch_add(1, Ordering::SeqCst);
        // Sessions at rest ask their old backend now, while it still answers.
        self.shared.all_slots().iter().for_each(|slot| slot.wake.notify_one());
    }

    /// Opens the gate.
    pub(crate) fn release(&self) -> Result<Duration, GateError> {
        let number = self.held().as_ref().map(|held| held.number);
        let number = number.ok_or(GateError::Phase("the gate is not held"))?;
        self.open(number, HoldEnd::Released).ok_or(GateError::Phase("the gate is not held"))
    }

    /// Opens the gate to the old backend; refused after a switch.
    pub(crate) fn abort(&self) -> Result<Duration, GateError> {
        let number = match self.held().as_ref() {
            Some(held) if held.switched => return Err(GateError::Phase("it has switched: from here on only forward")),
            Some(held) => held.number,
            None => return Err(GateError::Phase("the gate is not held")),
        };
        self.open(number, HoldEnd::Released).ok_or(GateError::Phase("the gate is not held"))
    }

    /// Ends one hold, once; gives how long it was.
    fn open(&self, number: u64, how: HoldEnd) -> Option<Duration> {
        let mut held = self.held();
        let length = held.as_ref().filter(|held| held.number == number)?.began.elapsed();
        *held = None;
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(how);
        let longest = &self.shared.counters.longest_hold_us;
        longest.fetch_max(length.as_micros() as u64, Ordering::Relaxed);
        self.shared.open.store(true, Ordering::SeqCst);
        self.shared.changed.send_modify(|count| *count += 1);
        Some(length)
    }

    /// Keeps a hold's deadline, and follows the register meanwhile.
    async fn watch(self: Arc<Self>, number: u64, deadline: Moment) {
        let mut next = Moment::now();
        loop {
            let late = Moment::now() >= deadline;
            let state = self.held().as_ref().filter(|held| held.number == number).map(|held| held.switched);
            let Some(switched) = state else { return };
            if switched && late {
                // Whoever switched did so after the commit: there is no way back, and no reason to wait.
                self.open(number, HoldEnd::Committed);
                return;
            }
            let epoch = self.shared.epoch() + u64::from(!switched);
            let found = timeout_at(next + LOOK_TIME, async {
                match self.register.decided(epoch).await {
                    Ok(None) if late => self.register.try_abort(epoch).await.map(Some),
                    other => other,
                }
            });
            // An error, or no answer, says nothing: the gate holds and asks again.
            if let Ok(Ok(Some(decision))) = found.await {
                self.obey(number, decision, if late { HoldEnd::Expired } else { HoldEnd::Aborted });
                return;
            }
            next = Moment::now() + LOOK_EVERY;
            sleep_until(next).await;
        }
    }

    fn obey(&self, number: u64, decision: Decision, aborted: HoldEnd) {
        if decision == Decision::Aborted {
            self.open(number, aborted);
            return;
        }
        let target = {
            let mut held = self.held();
            let Some(held) = held.as_mut().filter(|held| held.number == number) else { return };
            let target = held.target.filter(|_| !held.switched);
            held.switched = true;
            target
        };
        target.into_iter().for_each(|index| self.route_to(index));
        self.open(number, HoldEnd::Committed);
    }
}
