//! The checkpointer: moves committed pages from the write-ahead log into the database, off the path of commits.
//!
//! Owns one thread with a connection of its own. Never holds a commit up, but for the few pages written meanwhile.
//!
//! A passive checkpoint runs beside writers (<https://sqlite.org/wal.html#ckpt>), but the log is only written from its
//! start again once every page of it has been moved. So a second, short one follows between two commits.

use super::connection::{self, Writer};
use crate::home::Home;
use rusqlite::Connection;
use std::sync::Weak;
use std::sync::mpsc::{Receiver, SyncSender};
use std::thread::JoinHandle;

/// What the thread is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    Due,
    Stop,
}

/// Stops when dropped.
#[derive(Debug)]
pub(crate) struct Checkpointer {
    calls: SyncSender<Call>,
    thread: Option<JoinHandle<()>>,
}

impl Checkpointer {
    /// Without a thread to be had, committing connections do it themselves, at their own limit.
    pub(crate) fn start(home: Home, writer: Weak<Writer>, calls: SyncSender<Call>, called: Receiver<Call>) -> Self {
        let thread = std::thread::Builder::new().name("checkpoint".to_owned());
        Self { calls, thread: thread.spawn(move || run(&home, &writer, &called)).ok() }
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        let _ = self.calls.send(Call::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn run(home: &Home, writer: &Weak<Writer>, called: &Receiver<Call>) {
    // Most commands end long before a checkpoint is due, and have no use for the connection.
    let mut own = None;
    while called.recv() == Ok(Call::Due) {
        // A checkpoint that fails loses nothing, and the next one begins where it stopped.
        if own.is_none() {
            own = connection::open(home).ok();
        }
        let _ = own.as_ref().map(passive);
        if let Some(writer) = writer.upgrade() {
            let _ = writer.between(passive);
        }
    }
}

fn passive(connection: &Connection) -> rusqlite::Result<()> {
    connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))
}
