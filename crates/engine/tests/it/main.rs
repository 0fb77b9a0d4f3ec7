//! The engine in a simulated world: every rule with the counterexample that would break it.
//!
//! `sim` is the world; the other modules are the pages.

// A poisoned lock in a fake means that its test has failed already.
#![allow(clippy::unwrap_used)]

mod aside;
mod campaign;
mod children;
mod commits;
mod crashes;
mod guards;
mod holds;
mod locks;
mod parked;
mod people;
mod planted;
mod random;
mod rehearsals;
mod rules;
mod sim;
mod steps;
mod undo;
mod windows;
