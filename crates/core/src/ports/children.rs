//! Child runs: what an engine asks for that is beyond its own run.
//!
//! Owns the interface. Looking at another run, and telling it something, is the store's.

use crate::action::ChildRun;
use crate::child::Parent;
use crate::ids::{Actor, RunId};

/// A child run as its parent's journal has it.
#[derive(Clone, Debug)]
pub struct NewChild {
    pub run: RunId,
    pub parent: Parent,
    pub what: ChildRun,
    /// Who started the parent.
    pub by: Actor,
}

pub trait Children: Send + Sync {
    /// Sees to it that the run exists, with its first record, from its parent's snapshot. Nothing of it has acted then.
    /// Doing it again, or after a crash in its middle, makes no other run.
    fn create(&self, child: &NewChild) -> Result<(), String>;

    /// Sees to it that an engine drives the run, in a process that outlives this one.
    fn drive(&self, run: &RunId) -> Result<(), String>;
}
