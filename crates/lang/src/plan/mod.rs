//! A runbook's planning copy: the same program, in which a hole can be passed on and never be decided on.
//!
//! Owns what differs from the program that runs: sources with checks around every place that decides, operators and
//! built-ins that look at what they are given, types that are read and not checked.
//! Never guesses: what needs to know a hole ends with `NeedsHole`.

mod globals;
mod instrument;
mod operators;

pub(crate) use globals::{globals, unwrapped};
pub(crate) use instrument::{Instrumented, instrument};
pub(crate) use operators::OPERATORS;

#[cfg(test)]
mod tests;
