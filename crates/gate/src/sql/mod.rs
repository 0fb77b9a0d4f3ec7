//! What the gate reads of a statement's text: tokens, and what they mean for moving a session.

mod digest;
mod lexer;
mod notes;

pub(crate) use digest::digest;
pub(crate) use notes::{Kill, LOOK_BYTES, Notes, Pins, Units, look};
