//! Marks: the row that `sql(..., once=True)` leaves in the same transaction as its statements.
//!
//! Owns the table's name and the mark's key. A mark that is there proves that the statements are committed; one that
//! is not there, once nothing of the attempt is alive, proves that they never will be.

use piton_core::Action;
use piton_core::digest::Digest;
use piton_core::ports::{AttemptContext, Purpose};

/// In the database the URL names; left out of discovery and comparison.
pub(crate) const TABLE: &str = "_piton_marks";

#[derive(Clone, Debug)]
pub(crate) struct Mark {
    /// SHA-256 in hexadecimal: paths may be longer than any key.
    pub(crate) id: String,
    pub(crate) run: String,
    /// For people.
    pub(crate) path: String,
    pub(crate) generation: u32,
    pub(crate) attempt: u32,
}

impl Mark {
    /// All attempts of one generation of a step share a mark. An undo has one of its own for each of its actions: a
    /// step whose attempts declared different undos performs them all.
    pub(crate) fn new(action: &Action, context: &AttemptContext) -> Self {
        let AttemptContext { run, path, generation, attempt, .. } = context;
        let purpose = match context.purpose {
            Purpose::Act | Purpose::Look => "act".to_owned(),
            Purpose::Undo => format!("undo {}", Digest::of_json(action).hex()),
        };
        let id = Digest::of_json(&(run, path, generation, purpose)).hex();
        Self { id, run: run.to_string(), path: path.to_string(), generation: *generation, attempt: *attempt }
    }
}
