//! The MySQL protocol as bytes: framing, greetings, answers and where an answer ends.
//!
//! Owns every offset and flag of the protocol. Never does I/O and never decides what a session may do.

pub(crate) mod buffer;
pub(crate) mod capabilities;
pub(crate) mod command;
pub(crate) mod handshake;
pub(crate) mod packet;
pub(crate) mod reply;
pub(crate) mod track;
