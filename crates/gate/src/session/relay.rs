//! Sends a command to the backend and its answer to the client, as bytes.

use std::future::poll_fn;
use std::sync::atomic::Ordering;
use std::task::Poll;

use crate::config::STREAM_BYTES;
use crate::error::Ended;
use crate::sql::{Notes, Units};
use crate::wire::capabilities as cap;
use crate::wire::command::Answer;
use crate::wire::packet::{HEADER, MAX_PAYLOAD, Malformed, header};
use crate::wire::reply;
use crate::wire::track::{Dialect, Tracker};

use super::Session;

impl Session {
    /// Makes sure that `wanted` bytes of the input are there.
    pub(super) async fn need(&mut self, wanted: usize) -> Result<(), Ended> {
        self.input.grow(wanted);
        while self.input.len() < wanted {
            if self.client.fill(&mut self.input).await? == 0 {
                return Err(Ended::ClientLeft);
            }
        }
        Ok(())
    }

    /// Sends the command that is next in the input, with `head` in place of its first `instead` bytes.
    pub(super) async fn send_command(&mut self, head: &[u8], instead: usize) -> Result<(), Ended> {
        let (mut size, _) = header(self.input.filled()).ok_or(Malformed("no command"))?;
        let mut left = HEADER + size - instead;
        self.input.consume(instead);
        let Some(backend) = &mut self.backend else { return Err(Ended::BackendLost) };
        if !head.is_empty() {
            backend.stream.send(head).await.map_err(|_| Ended::BackendLost)?;
        }
        loop {
            let now = left.min(self.input.len());
            if now > 0 {
                let bytes = &self.input.filled()[..now];
                backend.stream.send(bytes).await.map_err(|_| Ended::BackendLost)?;
                self.input.consume(now);
                left -= now;
            }
            match header(self.input.filled()) {
                _ if left > 0 => {}
                _ if size < MAX_PAYLOAD => return Ok(()),
                Some((next, _)) => {
                    size = next;
                    left = HEADER + size;
                    continue;
                }
                None => {}
            }
            self.input.grow(STREAM_BYTES);
            if self.client.fill(&mut self.input).await? == 0 {
                return Err(Ended::ClientLeft);
            }
        }
    }

    /// Reads the command that is next in the input to its end and forgets it.
    pub(super) async fn discard(&mut self) -> Result<(), Ended> {
        loop {
            self.need(HEADER).await?;
            let (size, _) = header(self.input.filled()).ok_or(Malformed("no command"))?;
            let mut left = HEADER + size;
            while left > 0 {
                let now = left.min(self.input.len());
                self.input.consume(now);
                left -= now;
                if left > 0 && self.client.fill(&mut self.input).await? == 0 {
                    return Err(Ended::ClientLeft);
                }
            }
            if size < MAX_PAYLOAD {
                return Ok(());
            }
        }
    }

    /// Forgets the command and answers it with an error; the session goes on.
    pub(super) async fn decline(&mut self, code: u16, state: &str, message: &str) -> Result<(), Ended> {
        self.discard().await?;
        self.client.send(&reply::error(1, code, state, message)).await?;
        Ok(())
    }

    pub(super) fn tracker(&self, answer: Answer) -> Tracker {
        let capabilities = self.login.capabilities;
        let dialect = Dialect {
            deprecate_eof: capabilities & cap::DEPRECATE_EOF != 0,
            tracked: self.backend.as_ref().is_some_and(|backend| backend.tracked),
            shown: capabilities & cap::SESSION_TRACK != 0,
        };
        Tracker::new(answer, dialect)
    }

    /// Passes the answer on until it is complete.
    pub(super) async fn answer(&mut self, tracker: &mut Tracker) -> Result<(), Ended> {
        let Self { client, input, backend, client_left, .. } = self;
        let Some(backend) = backend else { return Err(Ended::BackendLost) };
        while !tracker.is_done() {
            if backend.buffer.is_full() {
                backend.buffer.grow(STREAM_BYTES.max(backend.buffer.capacity() + 1));
            }
            let read = poll_fn(|cx| {
                // What the client says meanwhile waits in the input; that it leaves is noted.
                while !*client_left && !input.is_full() {
                    match client.poll_fill(cx, input) {
                        Poll::Ready(Ok(1..)) => {}
                        Poll::Ready(_) => *client_left = true,
                        Poll::Pending => break,
                    }
                }
                backend.stream.poll_fill(cx, &mut backend.buffer)
            })
            .await;
            if !matches!(read, Ok(1..)) {
                return Err(Ended::BackendLost);
            }
            let ready = tracker.scan(&mut backend.buffer)?;
            if ready > 0 {
                client.send(&backend.buffer.filled()[..ready]).await?;
                backend.buffer.consume(ready);
            }
        }
        Ok(())
    }

    /// Sends the next command as it is, passes its answer on, and notes what came of it.
    pub(super) async fn relay(&mut self, answer: Answer, notes: &Notes) -> Result<Tracker, Ended> {
        self.pin(notes);
        let mut tracker = self.tracker(answer);
        self.send_command(&[], 0).await?;
        self.answer(&mut tracker).await?;
        self.conclude(&mut tracker, notes);
        Ok(tracker)
    }

    /// What an answer means for the session.
    pub(super) fn conclude(&mut self, tracker: &mut Tracker, notes: &Notes) {
        if let Some(status) = tracker.status {
            self.status = status;
        }
        if !tracker.changes.is_empty() {
            self.carry(std::mem::take(&mut tracker.changes));
        }
        self.carried.inserted |= tracker.inserted | notes.inserts;
        self.last_ran_on = self.serial();
        self.leaves_found_rows = notes.counts_found_rows;
        let failed = tracker.error.is_some();
        let had_next = self.carried.units.has(Units::NEXT_TRANSACTION);
        if *notes != Notes::default() {
            self.note(notes, failed);
        }
        let in_transaction = self.status & cap::status::IN_TRANSACTION != 0;
        if had_next && !in_transaction && !notes.opens.has(Units::NEXT_TRANSACTION) {
            self.carried.units.remove(Units::NEXT_TRANSACTION);
        }
        self.at_rest(failed);
    }

    /// What pins a session shows before the statement is sent, and stays when it fails: it may have done its part before.
    pub(super) fn pin(&mut self, notes: &Notes) {
        if !notes.pins.is_empty() {
            self.carried.pins.add(notes.pins);
            self.show_pins();
        }
    }

    fn note(&mut self, notes: &Notes, failed: bool) {
        for name in &notes.user_variables {
            self.carry_user_variable(name);
        }
        for name in &notes.system_variables {
            self.carry_variable(name.clone());
        }
        if !failed {
            if notes.pins.is_empty() {
                self.carried.pins.remove(notes.unpins);
            }
            self.carried.units.add(notes.opens);
            self.carried.units.remove(notes.closes);
        }
        self.show_pins();
    }

    pub(super) fn count(&self) {
        self.slot.statements.fetch_add(1, Ordering::Relaxed);
    }
}
