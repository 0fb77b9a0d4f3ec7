//! What a gate does of its own accord: it keeps a hold's deadline, follows the register, and waits for it after a start.
//!
//! Owns when the register is asked. Never opens to a backend that the register has not decided for.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant as Moment, sleep, sleep_until, timeout};

use crate::error::GateError;
use crate::hold::{HoldEnd, Holder, Opened};
use crate::register::{Attempt, Look, Register};

/// How often the register is looked at while the gate is held.
const LOOK_EVERY: Duration = Duration::from_millis(2);
/// A look may take this long before it is begun again.
const LOOK_TIME: Duration = Duration::from_secs(2);
/// A look that is to abort has to open the old backend too.
const ABORT_TIME: Duration = Duration::from_secs(5);
/// How often an open gate looks whether an epoch was committed without it.
const FOLLOW_EVERY: Duration = Duration::from_millis(250);
/// How often a gate that has just started asks which backend is true.
const START_EVERY: Duration = Duration::from_millis(20);
/// Time for open transactions to end on a backend that is true no more: it is fenced, so they end soon or fail.
const LEAVE_TIME: Duration = Duration::from_millis(300);

impl Holder {
    /// One look; what it could not tell can be read in the gate's status.
    async fn look_once(&self, register: &dyn Register, hold: Option<Attempt>, late: bool) -> Look {
        let time = if late { ABORT_TIME } else { LOOK_TIME };
        let look = timeout(time, register.look(hold, late)).await;
        let look = look.unwrap_or_else(|_| Look::Unknown("the registers do not answer".to_owned()));
        self.set_why(match &look {
            Look::Open(_) => None,
            Look::Undecided(why) | Look::Unknown(why) => Some(why.clone()),
        });
        look
    }

    /// Refuses a hold whose attempt is decided already, or whose registers do not answer, before anything is held.
    pub(crate) async fn see_that_it_is_open(&self, attempt: Attempt) -> Result<(), GateError> {
        let register = self.register.as_ref().ok_or(GateError::Phase("this gate has no register to follow"))?;
        match self.look_once(&**register, Some(attempt), false).await {
            Look::Undecided(_) => Ok(()),
            Look::Open(_) => Err(GateError::Phase("the register has decided this attempt already")),
            Look::Unknown(why) => Err(GateError::Register(why)),
        }
    }

    /// Keeps a hold's deadline, and follows the register meanwhile.
    pub(crate) async fn watch(self: Arc<Self>, number: u64, deadline: Moment) {
        let state = |holder: &Self| holder.held().as_ref().filter(|held| held.number == number).map(|h| h.attempt);
        let Some(attempt) = state(&self) else { return };
        let Some((register, attempt)) = self.register.clone().zip(attempt) else {
            sleep_until(deadline).await;
            // Whoever switched by hand has decided; else the old backend stays.
            self.open(number, HoldEnd::Expired);
            return;
        };
        while state(&self).is_some() {
            let late = Moment::now() >= deadline;
            if let Look::Open(epoch) = self.look_once(&*register, Some(attempt), late).await {
                // An error: it was ended by whoever released it.
                let _ = self.obey(number, epoch, if late { HoldEnd::Expired } else { HoldEnd::Aborted });
                return;
            }
            sleep(LOOK_EVERY).await;
        }
    }

    /// Opens a hold of an attempt as the register has decided it; `None` while it has not.
    pub(crate) async fn as_decided(&self, number: u64, attempt: Attempt) -> Option<Result<Opened, GateError>> {
        match self.look_once(&**self.register.as_ref()?, Some(attempt), false).await {
            Look::Open(epoch) => Some(self.obeyed(number, epoch)),
            Look::Undecided(_) | Look::Unknown(_) => None,
        }
    }

    /// Has the register abort an attempt, and opens as it is then decided.
    pub(crate) async fn win_abort(&self, number: u64, attempt: Attempt) -> Result<Opened, GateError> {
        let register = self.register.as_ref().ok_or(GateError::Phase("this gate has no register to follow"))?;
        let began = Moment::now();
        loop {
            match self.look_once(&**register, Some(attempt), true).await {
                Look::Open(epoch) => return self.obeyed(number, epoch),
                Look::Undecided(why) | Look::Unknown(why) if began.elapsed() >= ABORT_TIME => {
                    return Err(GateError::Register(why));
                }
                _ => sleep(LOOK_EVERY).await,
            }
        }
    }

    /// Opens as was decided, unless the hold's watcher was quicker.
    fn obeyed(&self, number: u64, epoch: u64) -> Result<Opened, GateError> {
        self.obey(number, epoch, HoldEnd::Aborted).or_else(|error| self.last().ok_or(error))
    }

    /// A gate that starts holds until it has read the registers; an attempt that it finds open has until `deadline` to be
    /// decided, then the gate tries the abort itself. From then on it follows.
    pub(crate) async fn start(self: Arc<Self>, number: u64, register: Arc<dyn Register>, deadline: Duration) {
        let began = Moment::now();
        loop {
            let late = began.elapsed() >= deadline;
            if let Look::Open(epoch) = self.look_once(&*register, None, late).await {
                self.route_to(epoch);
                self.open(number, HoldEnd::Started);
                break;
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
            match self.look_once(&*register, None, false).await {
                Look::Open(epoch) if epoch > self.shared.epoch() => self.come_after(epoch).await,
                _ => {}
            }
        }
    }

    /// Goes where an epoch has gone: the old backend takes no writes any more, so nobody is waited for long.
    async fn come_after(&self, epoch: u64) {
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
        // An error: that hold has ended meanwhile, and the next look finds the epoch again.
        let _ = self.obey(number, epoch, HoldEnd::Aborted);
    }
}
