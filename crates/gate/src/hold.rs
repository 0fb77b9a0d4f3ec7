//! Hold, switch, release: the only place where the phase and the route change.
//!
//! A hold closes the gate, lets what is open end, and says who did not. What the register says, and what a deadline means,
//! is `follow`'s.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::time::{Instant as Moment, timeout_at};

use crate::error::GateError;
use crate::register::{Attempt, Register};
use crate::shared::Shared;
use crate::slot::{Slot, Standing};

/// Names in a list; the count is always whole.
const NAMED: usize = 100;
/// Sessions that a hold remembers having waited for.
const WAITED: usize = 1000;
/// Who asks too late, or twice, hears this.
const NOT_HELD: GateError = GateError::Phase("the gate is not held");

/// What a hold is allowed.
#[derive(Debug, Clone, Deserialize)]
pub struct HoldOptions {
    /// Time for open transactions to end. If they do not, the gate opens again at once; where the hold belongs to an
    /// attempt, as soon as that is aborted.
    pub drain: Duration,
    /// Time from the start of the hold until the gate decides by itself.
    pub deadline: Duration,
    /// Which attempt the hold belongs to: the register decides how it ends. `None` for a hold that moves nothing, or that
    /// somebody switches by hand.
    pub attempt: Option<Attempt>,
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
    /// Microseconds into the hold after which what was open had ended; none where it had not, or where nobody waited.
    pub ended_us: Option<u64>,
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
            ended_us: None,
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
    /// How many sessions the drain waited for.
    pub waited: usize,
    /// Those that kept it longest, with what they were doing when the gate closed.
    pub waited_for: Vec<Blocker>,
    /// How many sessions could not move.
    pub pinned: usize,
    /// Some of them.
    pub pinned_sessions: Vec<Blocker>,
}

/// How a hold ended.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum HoldEnd {
    /// Somebody called `release` or `abort`.
    Released,
    /// Open transactions did not end in time.
    NotDrained,
    /// The deadline passed; where there is a register, it was decided for abort.
    Expired,
    /// The register was found aborted.
    Aborted,
    /// The register was found committed.
    Committed,
    /// The gate had started, and now knows which backend is true.
    Started,
}

/// A hold that has ended.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, PartialEq, Eq)]
pub struct Opened {
    /// Microseconds during which the gate was closed.
    pub held_us: u64,
    /// How it ended.
    pub how: HoldEnd,
}

/// An open hold.
pub(crate) struct Held {
    pub(crate) number: u64,
    pub(crate) began: Instant,
    pub(crate) drained: bool,
    pub(crate) switched: bool,
    pub(crate) attempt: Option<Attempt>,
    /// The gate has just started and does not know yet which backend is true.
    pub(crate) starting: bool,
}

/// The one who closes and opens.
pub(crate) struct Holder {
    pub(crate) shared: Arc<Shared>,
    pub(crate) register: Option<Arc<dyn Register>>,
    held: Mutex<Option<Held>>,
    last: Mutex<Option<Opened>>,
    /// What the register could not tell, when it was last asked.
    why: Mutex<Option<String>>,
    number: AtomicU64,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A session that was open when the gate closed, and what it was doing.
type Waited = Vec<(Arc<Slot>, Blocker)>;

impl Holder {
    pub(crate) fn new(shared: Arc<Shared>, register: Option<Arc<dyn Register>>) -> Self {
        let empty = || Mutex::new(None);
        Self {
            shared,
            register,
            held: empty(),
            last: Mutex::new(None),
            why: Mutex::new(None),
            number: AtomicU64::new(0),
        }
    }

    pub(crate) fn held(&self) -> MutexGuard<'_, Option<Held>> {
        locked(&self.held)
    }

    pub(crate) fn last(&self) -> Option<Opened> {
        *locked(&self.last)
    }

    pub(crate) fn why(&self) -> Option<String> {
        locked(&self.why).clone()
    }

    pub(crate) fn set_why(&self, why: Option<String>) {
        *locked(&self.why) = why;
    }

    pub(crate) fn index(&self, name: &str) -> Result<u32, GateError> {
        let found = self.shared.routes.iter().position(|route| route.settings.name == name);
        found.map(|index| index as u32).ok_or_else(|| GateError::UnknownBackend { name: name.to_owned() })
    }

    /// Closes the gate; `None` when it is closed already.
    pub(crate) fn close(&self, attempt: Option<Attempt>, starting: bool) -> Option<u64> {
        let mut held = self.held();
        if held.is_some() {
            return None;
        }
        let number = self.number.fetch_add(1, Ordering::Relaxed) + 1;
        *held = Some(Held { number, began: Instant::now(), drained: false, switched: false, attempt, starting });
        self.shared.open.store(false, Ordering::SeqCst);
        self.shared.counters.holds.fetch_add(u64::from(!starting), Ordering::Relaxed);
        Some(number)
    }

    /// Closes the gate and waits until what is open has ended.
    pub(crate) async fn hold(self: &Arc<Self>, options: &HoldOptions) -> Result<HoldReport, GateError> {
        if let Some(attempt) = options.attempt {
            self.see_that_it_is_open(attempt).await?;
        }
        let began = Instant::now();
        let Some(number) = self.close(options.attempt, false) else {
            return Err(GateError::Phase("the gate is held already"));
        };
        // Whoever asks may leave: the deadline is kept all the same.
        let deadline = Moment::from_std(began + options.deadline);
        tokio::spawn(Arc::clone(self).watch(number, deadline));
        let drain = Moment::from_std(began + options.drain.min(options.deadline));
        let mut waited = Waited::new();
        let drained = timeout_at(drain, self.drain(&mut waited)).await.is_ok();
        let mut report = self.report(began, waited);
        let still = {
            let mut held = self.held();
            let ours = held.as_mut().filter(|held| held.number == number);
            ours.map(|held| held.drained = drained).is_some()
        };
        if drained && !still {
            return Err(GateError::Phase("the hold ended before it had drained"));
        }
        report.drained = drained;
        match (drained, options.attempt) {
            (true, _) => (report.blocking, report.blockers) = (0, Vec::new()),
            (false, None) => drop(self.open(number, HoldEnd::NotDrained)),
            // Whoever asked aborts it now; if nobody does, the watcher does at the deadline.
            (false, Some(_)) => {}
        }
        Ok(report)
    }

    /// Waits for each session in turn: one that was seen at a boundary after the gate closed can open nothing any more.
    pub(crate) async fn drain(&self, waited: &mut Waited) {
        let slots = self.shared.all_slots();
        let open = slots.iter().filter(|slot| slot.standing().blocks()).take(WAITED);
        waited.extend(open.map(|slot| (Arc::clone(slot), Blocker::of(slot))));
        for slot in slots.iter().filter(|slot| slot.standing() == Standing::Unsure) {
            slot.wake.notify_one();
        }
        for slot in slots {
            while slot.standing().blocks() {
                self.shared.reached.notified().await;
            }
        }
    }

    fn report(&self, began: Instant, waited: Waited) -> HoldReport {
        let drain_us = began.elapsed().as_micros() as u64;
        let slots = self.shared.all_slots();
        let blocking = slots.iter().filter(|slot| slot.standing().blocks());
        let (blocking, blockers) = oldest(blocking.map(|slot| Blocker::of(slot)).collect());
        let pinned = slots.iter().filter(|slot| !slot.pins().is_empty());
        let (pinned, pinned_sessions) = oldest(pinned.map(|slot| Blocker::of(slot)).collect());
        let ended = |slot: &Slot| {
            let at = slot.settled().filter(|_| !slot.standing().blocks())?;
            Some(at.saturating_duration_since(began).as_micros() as u64)
        };
        let mut waited_for: Vec<_> =
            waited.into_iter().map(|(slot, blocker)| Blocker { ended_us: ended(&slot), ..blocker }).collect();
        waited_for.sort_by_key(|blocker| std::cmp::Reverse(blocker.ended_us.unwrap_or(u64::MAX)));
        let waited = waited_for.len();
        waited_for.truncate(NAMED);
        HoldReport { drained: false, drain_us, blocking, blockers, waited, waited_for, pinned, pinned_sessions }
    }

    /// Who is pinned and who would block, without holding anything.
    pub(crate) fn look(&self) -> HoldReport {
        self.report(Instant::now(), Waited::new())
    }

    /// Sends statements to another backend from now on; the gate stays held until it is released.
    pub(crate) fn switch(&self, name: &str) -> Result<u64, GateError> {
        let index = self.index(name)?;
        if self.register.is_some() {
            return Err(GateError::Phase("this gate obeys a register: it switches when an epoch is committed there"));
        }
        let mut held = self.held();
        let held = held.as_mut().ok_or(GateError::Phase("only a held gate can be switched"))?;
        if !held.drained {
            return Err(GateError::Phase("transactions are still open on the old backend"));
        }
        if !held.switched {
            held.switched = true;
            self.send_to(index, self.shared.epoch() + 1);
        }
        Ok(self.shared.epoch())
    }

    /// Sends statements where an epoch of the register sends them.
    pub(crate) fn route_to(&self, epoch: u64) {
        self.send_to((epoch % 2) as u32, epoch);
    }

    fn send_to(&self, index: u32, epoch: u64) {
        self.shared.current.store(index, Ordering::SeqCst);
        self.shared.epoch.store(epoch, Ordering::SeqCst);
        // Sessions at rest ask their old backend now, while it still answers.
        self.shared.all_slots().iter().for_each(|slot| slot.wake.notify_one());
    }

    /// Opens the gate; where the hold belongs to an attempt, as the register has decided it.
    pub(crate) async fn release(&self) -> Result<Opened, GateError> {
        let (number, attempt) = self.current()?;
        let Some(attempt) = attempt else { return self.open(number, HoldEnd::Released).ok_or(NOT_HELD) };
        let undecided = || Err(GateError::Phase("the attempt is not decided yet: commit it, or abort the hold"));
        self.as_decided(number, attempt).await.unwrap_or_else(undecided)
    }

    /// Opens the gate to the old backend; refused after a switch. Where the hold belongs to an attempt, the register is
    /// asked to abort, and obeyed.
    pub(crate) async fn abort(&self) -> Result<Opened, GateError> {
        let (number, attempt) = self.current()?;
        if self.held().as_ref().is_some_and(|held| held.switched) {
            return Err(GateError::Phase("it has switched: from here on only forward"));
        }
        match attempt {
            Some(attempt) => self.win_abort(number, attempt).await,
            None => self.open(number, HoldEnd::Released).ok_or(NOT_HELD),
        }
    }

    fn current(&self) -> Result<(u64, Option<Attempt>), GateError> {
        match self.held().as_ref() {
            Some(held) if held.starting => {
                Err(GateError::Phase("the gate has just started and does not know yet which backend is true"))
            }
            Some(held) => Ok((held.number, held.attempt)),
            None => Err(NOT_HELD),
        }
    }

    /// Opens where this epoch is true; `back`: how it ended when that is no new one.
    pub(crate) fn obey(&self, number: u64, epoch: u64, back: HoldEnd) -> Result<Opened, GateError> {
        let is_new = {
            let mut held = self.held();
            let held = held.as_mut().filter(|held| held.number == number).ok_or(NOT_HELD)?;
            let is_new = self.shared.epoch() < epoch;
            if is_new {
                held.switched = true;
                self.route_to(epoch);
            }
            is_new
        };
        self.open(number, if is_new { HoldEnd::Committed } else { back }).ok_or(NOT_HELD)
    }

    /// Ends one hold, once; says how long it was.
    pub(crate) fn open(&self, number: u64, how: HoldEnd) -> Option<Opened> {
        let mut held = self.held();
        let length = held.as_ref().filter(|held| held.number == number)?.began.elapsed();
        let opened = Opened { held_us: length.as_micros() as u64, how };
        *held = None;
        *locked(&self.last) = Some(opened);
        if how != HoldEnd::Started {
            self.shared.counters.longest_hold_us.fetch_max(opened.held_us, Ordering::Relaxed);
        }
        self.shared.open.store(true, Ordering::SeqCst);
        self.shared.changed.send_modify(|count| *count += 1);
        Some(opened)
    }
}

/// How many, and the oldest of them.
fn oldest(mut chosen: Vec<Blocker>) -> (usize, Vec<Blocker>) {
    chosen.sort_by_key(|blocker| std::cmp::Reverse(blocker.age_ms));
    let count = chosen.len();
    chosen.truncate(NAMED);
    (count, chosen)
}
