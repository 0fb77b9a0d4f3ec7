//! What a cutover needs of others: gates, the stream, the way back.
//!
//! Owns these traits, and the stream's and the way back's on movers. Gates behind control sockets are `gates`'.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use super::register::{Attempt, Server};
use crate::error::MoveError;
use crate::mover::{Mover, Reverse as Feeding};
use crate::position::Position;
use crate::progress::Phase;
use crate::verify::Difference;
use crate::verify::dirty::Dirty;

/// An answer that may take a while; an error says why there is none.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, String>> + Send + 'a>>;

/// A gate before the service. One that does not answer holds up a cutover's beginning, and never its end.
pub trait Gate: Send + Sync {
    /// Holds, and waits until nothing is open any more; an error names what is. At the deadline the gate decides by
    /// `holding`, whether or not anybody is there to ask.
    fn hold(&self, attempt: Attempt, drain: Duration, deadline: Duration) -> Answer<'_, ()>;

    /// The attempt has ended: everything held for it goes to this server. A gate that does not hold for this attempt
    /// ignores it.
    fn release(&self, attempt: Attempt, to: Server) -> Answer<'_, ()>;
}

/// The mover's stream from the source to the target.
pub trait Stream: Send {
    /// c0: what keeps it from ending soon enough, each with what to do about it.
    fn refusals(&self) -> Vec<String>;

    /// c0: the target hands out ids well beyond those that the source has handed out, seen or not: an id of a
    /// transaction that was rolled back never arrives by the log.
    fn raise_counters(&mut self) -> Answer<'_, ()>;

    /// Waits until everything up to here is applied.
    fn wait_applied<'a>(&'a mut self, end: &'a Position) -> Answer<'a, ()>;

    /// c5: compares what may differ: after the end is applied, nothing does; and the target's counters are not behind.
    /// An error says what.
    fn verify(&mut self) -> Answer<'_, ()>;
}

/// The stream back, from the target to the source.
pub trait Reverse: Send {
    /// Arms it: once this returns, everything that the target logs after this position will be followed, whoever dies.
    fn arm<'a>(&'a mut self, from: &'a Position) -> Answer<'a, ()>;
}

/// More lag than this and the pause would be spent waiting.
const MOST_LAG: Duration = Duration::from_millis(50);
/// More dirty keys than this are not looked at within a pause.
const MOST_DIRTY: usize = 1000;

impl Stream for Mover {
    fn refusals(&self) -> Vec<String> {
        let mut refusals = Vec::new();
        let look = self.look();
        if look.phase == Phase::Copying {
            refusals.push("not everything is copied yet; wait for it".to_owned());
        }
        match look.lag {
            Some(lag) if lag < MOST_LAG => {}
            Some(lag) => refusals.push(format!(
                "the target is behind by {} ms; wait until it is less than {}",
                lag.as_millis(),
                MOST_LAG.as_millis()
            )),
            None => refusals.push("how far the target is behind is not known yet; wait for it".to_owned()),
        }
        let Dirty { keys, tables } = self.dirty();
        if tables > 0 {
            refusals.push(format!("{tables} tables have not been compared whole yet; wait for it"));
        }
        if keys > MOST_DIRTY {
            refusals
                .push(format!("{keys} keys have changed since they were compared; wait for fewer than {MOST_DIRTY}"));
        }
        if let Some(told) = told(&self.differences()) {
            refusals.push(format!("{told}; repair them"));
        }
        refusals
    }

    fn raise_counters(&mut self) -> Answer<'_, ()> {
        Box::pin(async move { Self::raise_counters(self).await.map_err(|error| error.to_string()) })
    }

    fn wait_applied<'a>(&'a mut self, end: &'a Position) -> Answer<'a, ()> {
        Box::pin(async move { Self::wait_applied(self, end).await.map_err(|error| error.to_string()) })
    }

    fn verify(&mut self) -> Answer<'_, ()> {
        Box::pin(async move {
            let behind = self.counters_behind().await.map_err(|error| error.to_string())?;
            if !behind.is_empty() {
                return Err(format!("the target would hand out ids again, in {}", behind.join(", ")));
            }
            let looked = self.verify_dirty().await.map_err(|error| error.to_string())?;
            if let Some(told) = told(&looked.differences).or_else(|| told(&self.differences())) {
                return Err(told);
            }
            match self.dirty() {
                Dirty { keys: 0, tables: 0 } => Ok(()),
                // Only with a writer behind the fence.
                Dirty { keys, tables } => {
                    Err(format!("{keys} keys and {tables} tables have changed since they were compared"))
                }
            }
        })
    }
}

/// Rows that differ, in words.
fn told(differences: &[Difference]) -> Option<String> {
    let first = differences.first()?;
    Some(format!("{} rows differ, as {} of {}", differences.len(), first.key, first.table))
}

/// The way back of a cutover: recorded before anybody waits, looked at in c6, and started when nobody waits any more.
#[derive(Debug)]
pub struct Feed {
    feed: Feeding,
    armed: Option<Position>,
}

impl Feed {
    #[must_use]
    pub fn ready(feed: Feeding) -> Self {
        Self { feed, armed: None }
    }

    /// Starts the mover that follows the new platform, if the cutover has armed it.
    ///
    /// # Errors
    /// When the new platform cannot give its log.
    pub async fn armed(self) -> Result<Option<Mover>, MoveError> {
        match self.armed {
            Some(from) => self.feed.arm(&from).await.map(Some),
            None => Ok(None),
        }
    }
}

impl Reverse for Feed {
    fn arm<'a>(&'a mut self, from: &'a Position) -> Answer<'a, ()> {
        Box::pin(async move {
            self.feed.stands(from).map_err(|error| error.to_string())?;
            self.armed = Some(from.clone());
            Ok(())
        })
    }
}
