//! Our own kinds of values inside Starlark.
//!
//! Owns how they print, compare and give attributes. Each wraps one type of `core`; none does anything by itself.

// The derive macros of `starlark` write `unsafe impl`s (lifetimes, garbage collection); nothing here does by hand.
#![allow(unsafe_code)]

pub(crate) mod duration;
pub(crate) mod secret;

pub(crate) mod action;
pub(crate) mod outcome;

pub(crate) mod blob;
pub(crate) mod guard;
pub(crate) mod hole;
pub(crate) mod partial;
pub(crate) mod policy;

pub(crate) use action::ActionValue;
pub(crate) use blob::Blob;
pub(crate) use duration::DurationValue;
pub(crate) use guard::GuardValue;
pub(crate) use hole::Hole;
pub(crate) use outcome::{Given, OutcomeValue};
pub(crate) use partial::Partial;
pub(crate) use policy::{Check, Inverse, RetryValue};
pub(crate) use secret::SecretValue;
