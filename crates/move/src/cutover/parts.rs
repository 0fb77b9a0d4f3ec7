//! What a cutover needs of others: gates, the stream, the way back.
//!
//! Owns these traits, and the stream's on a running [`Mover`]. Whoever runs a cutover brings gates of its own: this
//! crate knows none.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use super::register::{Attempt, Server};
use crate::mover::Mover;
use crate::position::Position;

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
    /// How far the target is behind, when that is known.
    fn lag(&self) -> Option<Duration>;

    /// Waits until everything up to here is applied.
    fn wait_applied<'a>(&'a mut self, end: &'a Position) -> Answer<'a, ()>;

    /// Compares what may differ: after the end is applied, nothing does. An error says what.
    fn verify(&mut self) -> Answer<'_, ()>;
}

/// The stream back, from the target to the source.
pub trait Reverse: Send {
    /// Arms it, durably: everything that the target logs after this position will be followed.
    fn arm<'a>(&'a mut self, from: &'a Position) -> Answer<'a, ()>;
}

impl Stream for Mover {
    fn lag(&self) -> Option<Duration> {
        self.look().lag
    }

    fn wait_applied<'a>(&'a mut self, end: &'a Position) -> Answer<'a, ()> {
        Box::pin(async move { Self::wait_applied(self, end).await.map_err(|error| error.to_string()) })
    }

    fn verify(&mut self) -> Answer<'_, ()> {
        Box::pin(async move {
            let verified = Self::verify(self).await.map_err(|error| error.to_string())?;
            match verified.differences.first() {
                None => Ok(()),
                Some(first) => {
                    Err(format!("{} rows differ, as {} of {}", verified.differences.len(), first.key, first.table))
                }
            }
        })
    }
}
