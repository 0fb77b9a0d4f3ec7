//! Why an action has to end early: its time is over, or the engine ends it.
//!
//! Owns the deadline and how blocking and asynchronous code wait for it. Never ends anything itself.

use piton_core::outcome::{Failure, FailureKind};
use piton_core::ports::{Cancel, Registration};
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Notify;

pub(crate) struct Stop<'a> {
    cancel: &'a Cancel,
    limit: Option<Duration>,
    end: Option<Instant>,
}

impl<'a> Stop<'a> {
    /// The clock starts now.
    pub(crate) fn new(cancel: &'a Cancel, timeout: Option<piton_core::Duration>) -> Self {
        let limit = timeout.map(piton_core::Duration::to_std);
        Self { cancel, limit, end: limit.and_then(|limit| Instant::now().checked_add(limit)) }
    }

    /// What is left; `None`: no limit.
    pub(crate) fn left(&self) -> Option<Duration> {
        self.end.map(|end| end.saturating_duration_since(Instant::now()))
    }

    /// Why it has to end, if it has to.
    pub(crate) fn why(&self) -> Option<Failure> {
        if let Some(reason) = self.cancel.reason() {
            return Some(Failure::new(FailureKind::Stopped, format!("it was ended: {reason}")));
        }
        let limit = self.limit.filter(|_| self.left().is_some_and(|left| left.is_zero()))?;
        Some(Failure::new(FailureKind::Timeout, format!("it took longer than its timeout of {}", said(limit))))
    }

    pub(crate) fn on_cancel(&self, wake: impl Fn(&str) + Send + 'static) -> Registration {
        self.cancel.on_fire(wake)
    }

    /// Sleeps; true where it has to end.
    pub(crate) fn sleep(&self, duration: Duration) -> bool {
        let duration = self.left().map_or(duration, |left| left.min(duration));
        self.cancel.sleep(duration);
        self.why().is_some()
    }

    /// Ends when the action has to.
    pub(crate) async fn stopped(&self) -> Failure {
        let woken = Arc::new(Notify::new());
        let wake = woken.clone();
        let _registration = self.cancel.on_fire(move |_| wake.notify_one());
        loop {
            if let Some(why) = self.why() {
                return why;
            }
            match self.left() {
                // Timers have a granularity of a millisecond and may fire a little early.
                Some(left) => drop(tokio::time::timeout(left.max(Duration::from_millis(1)), woken.notified()).await),
                None => woken.notified().await,
            }
        }
    }

    /// The future's result, or why it had to end; the future is dropped then.
    pub(crate) async fn bound<T>(&self, future: impl Future<Output = T>) -> Result<T, Failure> {
        use futures_util::future::{Either, select};
        match select(pin!(future), pin!(self.stopped())).await {
            Either::Left((value, _)) => Ok(value),
            Either::Right((why, _)) => Err(why),
        }
    }
}

fn said(limit: Duration) -> piton_core::Duration {
    piton_core::Duration::from_ms(u64::try_from(limit.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cancel_says_its_reason_and_a_timeout_its_length() {
        let cancel = Cancel::new();
        let stop = Stop::new(&cancel, Some(piton_core::Duration::from_ms(5)));
        while !stop.sleep(Duration::from_millis(1)) {}
        assert_eq!(stop.why().unwrap().message, "it took longer than its timeout of 5ms");
        cancel.fire("the run was aborted");
        let why = stop.why().unwrap();
        assert_eq!((why.kind, why.message.as_str()), (FailureKind::Stopped, "it was ended: the run was aborted"));
    }
}
