//! Between Starlark's values, which belong to one thread's heap, and plain values, which cross threads and the journal.
//!
//! Owns what may cross, and the words for what may not, with the path to it. Every crossing makes a copy.

mod decode;
mod encode;

pub(crate) use decode::{alloc_outcome, decode, is_plain, json, plain};
pub(crate) use encode::{encode, encode_action};
