//! What a gate does of its own accord: it keeps a hold's deadline, follows the register, and waits for it after a start.
//!
//! Owns when the register is asked. Never opens to a backend that the register has not decided for.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant as Moment, sleep, sleep_until, timeout};

use crate::error::GateError;
use crate::hold::{HoldEnd, Holder};
use crate::register::{Attempt, Decision, Register, Truth};

/// How often the register is looked at while the gate is held.
const LOOK_EVERY: Duration = Duration::from_millis(2);
/// A question to the register may take this long before it is asked again.
const LOOK_TIME: Duration = Duration::from_secs(2);
/// How often an open gate looks whether an epoch was committed without it.
const FOLLOW_EVERY: Duration = Duration::from_millis(250);
/// How often a gate that has just started asks which backend is true.
const START_EVERY: Duration = Duration::from_millis(20);
/// Time for open transactions to end on a backend that is true no more: it is fenced, so they end soon or fail.
const LEAVE_TIME: Duration = Duration::from_millis(300);

impl Holder {
    /// Refuses a hold whose attempt is decided already, or whose register does not answer, before anything is held.
    pub(crate) async fn see_that_it_is_open(&self, attempt: &Attempt) -> Result<(), GateError> {
        let register = self.register.as_ref().ok_or(GateError::Phase("this gate has no register to follow"))?;
        match timeout(LOOK_TIME, register.decided(attempt)).await {
            Ok(Ok(None)) => Ok(()),
            Ok(Ok(Some(_))) => Err(GateError::Phase("the register has decided this attempt already")),
            Ok(Err(why)) => Err(GateError::Register(why)),
            Err(_) => Err(GateError::Register("no answer".to_owned())),
        }
    }

    /// What was open did not end in time: nobody may commit this attempt any more, and the gate opens again.
    pub(crate) async fn give_up(&self, number: u64) {
        let attempt = self.held().as_ref().filter(|held| held.number == number).map(|held| held.attempt.clone());
        match (attempt, &self.register) {
            (Some(Some(attempt)), Some(register)) => {
                // Unanswered, the hold's watcher asks again at the deadline.
                if let Ok(Ok(decision)) = timeout(LOOK_TIME, register.try_abort(&attempt)).await {
                    let _ = self.obey(number, attempt.epoch, &decision, HoldEnd::NotDrained);
                }
            }
            (Some(_), _) => drop(self.open(number, HoldEnd::NotDrained)),
            // It has ended by itself.
            (None, _) => {}
        }
    }

    /// Keeps a hold's deadline, and follows the register meanwhile.
    pub(crate) async fn watch(self: Arc<Self>, number: u64, deadline: Moment) {
        let state =
            |holder: &Self| holder.held().as_ref().filter(|held| held.number == number).map(|h| h.attempt.clone());
        let Some(attempt) = state(&self) else { return };
        let Some((register, attempt)) = self.register.clone().zip(attempt) else {
            sleep_until(deadline).await;
            // Whoever switched by hand has decided; else the old backend stays.
            self.open(number, HoldEnd::Expired);
            return;
        };
        while state(&self).is_some() {
            let late = Moment::now() >= deadline;
            let found = timeout(LOOK_TIME, async {
                match register.decided(&attempt).await {
                    Ok(None) if late => register.try_abort(&attempt).await.map(Some),
                    other => other,
                }
            });
            // An error, or no answer, says nothing: the gate holds and asks again.
            match found.await {
                Ok(Ok(Some(decision))) => {
                    match self.obey(
                        number,
                        attempt.epoch,
                        &decision,
                        if late { HoldEnd::Expired } else { HoldEnd::Aborted },
                    ) {
                        Err(error @ GateError::UnknownBackend { .. }) => self.set_why(Some(error.to_string())),
                        _ => return self.set_why(None),
                    }
                }
                Ok(Ok(None)) => self.set_why(None),
                Ok(Err(why)) => self.set_why(Some(why)),
                Err(_) => self.set_why(Some("the register does not answer".to_owned())),
            }
            sleep(LOOK_EVERY).await;
        }
    }

    /// A gate that starts holds until it has read the registers; an attempt that it finds open has until `deadline` to be
    /// decided, then the gate tries the abort itself. From then on it follows.
    pub(crate) async fn start(self: Arc<Self>, number: u64, register: Arc<dyn Register>, deadline: Duration) {
        let mut since = None;
        loop {
            match timeout(LOOK_TIME, register.truth()).await {
                Ok(Ok(Truth { open: Some(attempt), .. })) => {
                    self.set_why(Some(format!("attempt {} at epoch {} is open", attempt.number, attempt.epoch)));
                    if since.get_or_insert_with(Moment::now).elapsed() >= deadline {
                        // Whatever comes of it stands in the register, which is read again.
                        let _ = timeout(LOOK_TIME, register.try_abort(&attempt)).await;
                    }
                }
                Ok(Ok(truth)) => match truth.side.as_deref().map_or(Ok(0), |side| self.index(side)) {
                    Ok(index) => {
                        self.set_why(None);
                        self.route_to(index, truth.epoch);
                        self.open(number, HoldEnd::Started);
                        break;
                    }
                    Err(error) => self.set_why(Some(error.to_string())),
                },
                Ok(Err(why)) => self.set_why(Some(why)),
                Err(_) => self.set_why(Some("the registers do not answer".to_owned())),
            }
            sleep(START_EVERY).await;
        }
        self.follow(register).await;
    }

    /// Looks for an epoch that was committed without this gate: it was cut off from whoever commits.
    async fn follow(self: Arc<Self>, register: Arc<dyn Register>) {
        loop {
            sleep(FOLLOW_EVERY).await;
            // A hold of an attempt is watched already.
            if self.held().as_ref().is_some_and(|held| held.attempt.is_some()) {
                continue;
            }
            let any = self.attempt(u64::MAX);
            match timeout(LOOK_TIME, register.decided(&any)).await {
                Ok(Ok(Some(decision @ Decision::Committed(_)))) => {
                    self.come_after(any.epoch, &decision).await;
                }
                Ok(Ok(_)) => self.set_why(None),
                Ok(Err(why)) => self.set_why(Some(why)),
                Err(_) => self.set_why(Some("the register does not answer".to_owned())),
            }
        }
    }

    /// Goes where an epoch has gone: the old backend takes no writes any more, so nobody is waited for long.
    async fn come_after(&self, epoch: u64, decision: &Decision) {
        let number = match self.close(None, false) {
            Some(number) => {
                let _ = timeout(LEAVE_TIME, self.drain(&mut Vec::new())).await;
                number
            }
            // A drill, or somebody's hold without an attempt: it ends here.
            None => match self.held().as_ref().filter(|held| held.attempt.is_none()) {
                Some(held) => held.number,
                None => return,
            },
        };
        if let Err(error) = self.obey(number, epoch, decision, HoldEnd::Aborted) {
            self.open(number, HoldEnd::Aborted);
            self.set_why(Some(error.to_string()));
        }
    }
}
