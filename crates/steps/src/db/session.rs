//! The interface that every database implements: reading, and a session that writes once.
//!
//! Owns the words for how a write ended. The crash rules live in the implementations; what they have in common:
//! a session is named before it writes, can be found by that name when its client is gone, and is proven dead before
//! anyone looks at what it did.

use super::{Mark, Statement};
use piton_core::event::Handle;
use piton_core::outcome::{Failure, Rows};
use piton_core::value::Value;

use super::lexer::Dialect;
use crate::stop::Stop;

/// What a `query` asks for.
pub(crate) struct Read<'a> {
    pub(crate) statement: &'a Statement,
    pub(crate) params: &'a [Value],
    /// More rows fail.
    pub(crate) limit: u64,
}

/// What a `sql` does.
pub(crate) struct Work {
    pub(crate) statements: Vec<Statement>,
    /// For a single statement only.
    pub(crate) params: Vec<Value>,
    pub(crate) mark: Option<Mark>,
}

#[derive(Debug, Default)]
pub(crate) struct Done {
    pub(crate) affected: u64,
    /// The mark was there already: nothing was done now.
    pub(crate) already: bool,
    pub(crate) notes: Vec<String>,
}

/// What is known of a write that did not succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effects {
    /// Proven: none, and none will come.
    None,
    /// There may be some; nothing of it is alive.
    Perhaps,
    /// The reply was lost, or it cannot be proven that nothing of it is alive: as after a crash.
    Unknown,
}

#[derive(Debug)]
pub(crate) struct Trouble {
    pub(crate) failure: Failure,
    pub(crate) effects: Effects,
}

pub(crate) trait Database: Send + Sync {
    fn dialect(&self) -> Dialect;

    fn query(&self, read: &Read<'_>, stop: &Stop<'_>) -> Result<Rows, Failure>;

    /// Opens a session of its own that carries this name for as long as it lives.
    fn open(&self, name: &str) -> Result<Box<dyn Session>, Failure>;

    /// Ends what is left of a session and proves that nothing of it is alive; blocks a bounded time.
    ///
    /// # Errors
    /// Why it cannot be proven.
    fn end(&self, handle: &Handle) -> Result<(), String>;

    /// Whether the mark is there. Only after `end` is the answer final.
    fn has_mark(&self, mark: &Mark) -> Result<bool, Failure>;
}

/// Dropped without `perform`, a session ends without having done anything.
pub(crate) trait Session: Send {
    fn handle(&self) -> Handle;

    /// Whether one transaction really holds all statements; else why not.
    fn holds(&mut self, statements: &[Statement]) -> Result<Result<(), String>, Failure>;

    /// Creates the table of marks where it is missing. Not part of the attempt: it may commit.
    fn make_mark_table(&mut self) -> Result<(), Failure>;

    /// In one transaction where it holds them all (as `holds` said), else one by one.
    fn perform(self: Box<Self>, work: Work, held: bool, stop: &Stop<'_>) -> Result<Done, Trouble>;
}

/// A write whose reply did not come.
pub(super) struct Unsettled {
    pub(super) failure: Failure,
    /// We ended it, and this came of it; `None`: the connection failed, and nobody has looked yet.
    pub(super) ended: Option<Result<(), String>>,
    pub(super) held: bool,
    /// Its COMMIT was sent.
    pub(super) committing: bool,
    pub(super) mark: Option<Mark>,
}

/// Finds out what a write did whose reply did not come: first that nothing of it is alive, then its mark.
pub(super) fn settle(db: &dyn Database, handle: &Handle, unsettled: Unsettled) -> Result<Done, Trouble> {
    let Unsettled { mut failure, ended, held, committing, mark } = unsettled;
    let stopped = ended.is_some();
    let mut unknown = |why: String| {
        failure.message = format!("{}; {why}", failure.message);
        Err(Trouble { failure: failure.clone(), effects: Effects::Unknown })
    };
    if let Err(why) = ended.unwrap_or_else(|| db.end(handle)) {
        return unknown(format!("it cannot be proven that nothing of it is alive: {why}"));
    }
    if held && !committing {
        return Err(Trouble { failure, effects: Effects::None });
    }
    if let Some(mark) = &mark {
        return match db.has_mark(mark) {
            Ok(true) => {
                let notes = vec!["the reply to its commit was lost; its mark shows that it happened".to_owned()];
                Ok(Done { notes, ..Done::default() })
            }
            Ok(false) => Err(Trouble { failure, effects: Effects::None }),
            Err(unseen) => unknown(format!("its mark cannot be looked for: {unseen}")),
        };
    }
    if held || !stopped {
        return unknown("whether it took effect is not known".to_owned());
    }
    Err(Trouble { failure, effects: Effects::Perhaps })
}
