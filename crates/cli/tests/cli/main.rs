//! The command line as a person meets it: the real binary, what it prints, and how it ends.
//!
//! Owns one file for each thing a person does. Never looks into the store: what it knows, `piton` has said.

#![allow(clippy::unwrap_used, reason = "a test's own trouble is a failed test")]

mod place;

mod calls;
mod children;
mod children_deaths;
mod children_told;
mod dropped;
mod edits;
mod edits_refused;
mod ended;
mod estimates;
mod faults;
mod fleet;
mod guards;
mod holds;
mod hostile;
mod leftovers;
mod locks;
mod looking;
mod people;
mod plans;
mod receipts;
mod rehearsals;
mod survival;
mod taking_back;
mod waker;
mod wrong;
