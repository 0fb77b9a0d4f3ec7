//! Where a session waits: for its client's next command, and for the gate to open.
//!
//! Owns the rule that nothing is sent at a boundary while the gate is held.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::task::Poll;

use crate::error::Ended;
use crate::slot::Standing;
use crate::wire::capabilities::status;
use crate::wire::packet::{HEADER, Malformed, header};
use crate::wire::reply::code;

use super::Session;

/// What stirred a waiting session.
enum Stir {
    Client(usize),
    Backend,
    Woken,
}

impl Session {
    /// Waits until the client's next command has begun to arrive.
    pub(super) async fn next_command(&mut self) -> Result<(), Ended> {
        loop {
            match header(self.input.filled()) {
                Some((0, _)) => return Err(Malformed("a command without a command").into()),
                Some(_) if self.input.len() > HEADER => return Ok(()),
                _ => {}
            }
            if self.client_left {
                return Err(Ended::ClientLeft);
            }
            match self.stir().await? {
                Stir::Client(0) => return Err(Ended::ClientLeft),
                Stir::Client(_) => {}
                Stir::Backend => self.unasked().await?,
                Stir::Woken => self.look_around().await?,
            }
        }
    }

    async fn stir(&mut self) -> Result<Stir, Ended> {
        let Self { client, input, backend, slot, client_left, .. } = self;
        let mut woken = pin!(slot.wake.notified());
        let stir = poll_fn(|cx| {
            if !*client_left
                && !input.is_full()
                && let Poll::Ready(read) = client.poll_fill(cx, input)
            {
                return Poll::Ready(read.map(Stir::Client));
            }
            if let Some(backend) = backend
                && backend.stream.poll_fill(cx, &mut backend.buffer).is_ready()
            {
                return Poll::Ready(Ok(Stir::Backend));
            }
            woken.as_mut().poll(cx).map(|()| Ok(Stir::Woken))
        });
        Ok(stir.await?)
    }

    /// The backend spoke, or closed, without being asked. Where the session is about to move, or may have to, that is no
    /// loss; else the client is told what the backend said and let go, as it would be without a gate.
    async fn unasked(&mut self) -> Result<(), Ended> {
        let Some(mut backend) = self.backend.take() else { return Ok(()) };
        let leaves = backend.epoch != self.shared.epoch() || !self.shared.is_open();
        if leaves && !self.open_unit && self.is_movable() {
            return Ok(());
        }
        let _ = self.client.send(backend.buffer.filled_mut()).await;
        Err(Ended::BackendClosed)
    }

    /// Somebody wants this session to look around while it is at rest.
    async fn look_around(&mut self) -> Result<(), Ended> {
        if self.slot.killed.load(Ordering::SeqCst) {
            return Err(self.refuse(0, code::QUERY_INTERRUPTED, "70100", "Connection was killed").await);
        }
        if self.slot.standing() == Standing::Unsure
            && !self.shared.is_open()
            && let Some(backend) = &mut self.backend
        {
            self.status = backend.ping().await?;
            self.at_rest(false);
        }
        let behind = self.backend.as_ref().is_some_and(|backend| backend.epoch != self.shared.epoch());
        if behind && !self.open_unit && !self.leaves_found_rows && self.is_movable() {
            // With its state in hand it needs its old backend no more, which may throw it out from now on.
            self.take_snapshot().await;
            self.backend = None;
        }
        Ok(())
    }

    /// Passes the gate before a command is sent: waits while the gate is held, unless the command belongs to what is open
    /// or only looks back at what its own session did. Leaves the session on the backend where statements go.
    pub(super) async fn enter(&mut self, follows: bool) -> Result<(), Ended> {
        if self.open_unit {
            self.slot.stand(Standing::Busy);
            return Ok(());
        }
        if follows && self.backend.is_some() {
            return Ok(());
        }
        self.slot.begin();
        loop {
            self.slot.stand(Standing::Busy);
            if self.shared.is_open() {
                break;
            }
            self.held().await?;
        }
        // Whatever the session says next changes what was asked of it.
        let outcome = self.arrive().await;
        self.snapshot = None;
        outcome
    }

    async fn held(&mut self) -> Result<(), Ended> {
        self.shared.counters.held.fetch_add(1, Ordering::Relaxed);
        self.settle(Standing::Held);
        if self.is_movable() {
            self.take_snapshot().await;
        }
        loop {
            self.changed.borrow_and_update();
            if self.shared.is_open() {
                return Ok(());
            }
            let mut changed = self.changed.clone();
            let stir = {
                let mut waiting = pin!(self.stir());
                let mut changed = pin!(changed.changed());
                poll_fn(|cx| {
                    if changed.as_mut().poll(cx).is_ready() {
                        return Poll::Ready(None);
                    }
                    waiting.as_mut().poll(cx).map(Some)
                })
                .await
            };
            match stir {
                None | Some(Ok(Stir::Client(1..))) => {}
                Some(Ok(Stir::Backend)) => self.unasked().await?,
                Some(Ok(Stir::Woken)) => self.look_around().await?,
                Some(Ok(Stir::Client(0))) => {
                    self.shared.counters.dropped.fetch_add(1, Ordering::Relaxed);
                    return Err(Ended::ClientLeft);
                }
                Some(Err(ended)) => return Err(ended),
            }
        }
    }

    /// Says where the session stands after an answer.
    pub(super) fn at_rest(&mut self, failed: bool) {
        let autocommit = self.status & status::AUTOCOMMIT != 0;
        let standing = match (self.in_unit(), failed) {
            (true, true) => Standing::Unsure,
            (true, false) => Standing::InUnit,
            (false, true) if !autocommit => Standing::Unsure,
            (false, _) => Standing::AtBoundary,
        };
        self.open_unit = standing.blocks();
        self.settle(standing);
        if standing == Standing::Unsure && !self.shared.is_open() {
            self.slot.wake.notify_one();
        }
    }
}
