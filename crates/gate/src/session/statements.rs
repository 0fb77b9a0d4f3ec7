//! Prepared statements of a session: the client's numbers, and what each backend connection knows of them.

use std::collections::HashMap;

use crate::config::{PREPARED_ALL_BYTES, PREPARED_TEXT_BYTES};
use crate::sql::Notes;

/// Prepared statements a session may have; a server's own limit for all of its sessions is about four times this.
pub(crate) const STATEMENTS: usize = 4096;

/// One prepared statement.
#[derive(Debug)]
pub(crate) struct Prepared {
    /// Its text, when it is kept.
    pub(crate) text: Option<Vec<u8>>,
    pub(crate) notes: Option<Box<Notes>>,
    /// On which of the session's connections it is prepared, and under which number there.
    pub(crate) connection: u32,
    pub(crate) number: u32,
    pub(crate) parameters: u16,
    /// The types of its parameters, as last bound.
    pub(crate) types: Vec<u8>,
    /// The types must be sent again: the connection has not seen them.
    pub(crate) unbound: bool,
    pub(crate) cursor: bool,
}

/// All of a session, by the client's numbers.
#[derive(Debug, Default)]
pub(crate) struct Statements {
    all: HashMap<u32, Prepared>,
    last: u32,
    bytes: usize,
}

impl Statements {
    /// The number of the next statement.
    pub(crate) fn next(&mut self) -> u32 {
        self.last = self.last.wrapping_add(1).max(1) & 0x7fff_ffff;
        self.last
    }

    /// Whether there is room for another, and for its text.
    pub(crate) fn has_room(&self) -> bool {
        self.all.len() < STATEMENTS
    }

    pub(crate) fn keeps(&self, text: &[u8]) -> bool {
        text.len() <= PREPARED_TEXT_BYTES && self.bytes + text.len() <= PREPARED_ALL_BYTES
    }

    pub(crate) fn add(&mut self, id: u32, prepared: Prepared) {
        self.bytes += prepared.text.as_ref().map_or(0, Vec::len);
        self.all.insert(id, prepared);
    }

    /// The client's number; all bits mean the last one prepared.
    pub(crate) fn get(&mut self, id: u32) -> Option<&mut Prepared> {
        let id = if id == u32::MAX { self.last } else { id };
        self.all.get_mut(&id)
    }

    pub(crate) fn remove(&mut self, id: u32) -> Option<Prepared> {
        let gone = self.all.remove(&id)?;
        self.bytes -= gone.text.as_ref().map_or(0, Vec::len);
        Some(gone)
    }

    pub(crate) fn clear(&mut self) {
        self.all.clear();
        self.bytes = 0;
    }

    /// Whether all of them can be prepared again elsewhere.
    pub(crate) fn are_kept(&self) -> bool {
        self.all.values().all(|prepared| prepared.text.is_some())
    }
}
