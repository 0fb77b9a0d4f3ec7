//! What ends a move, and what to do about it.
//!
//! Owns the errors of this crate. Never decides to go on after one: a halt is final until somebody has followed its
//! remedy.

use crate::position::Position;
use crate::preflight::Refusal;

/// What a server says that is shutting down, or whose session was killed.
pub(crate) const GOING: [u16; 3] = [1053, 1927, 3169];

/// Which of the two servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Source,
    Target,
}

impl std::fmt::Display for Side {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Source => "source",
            Self::Target => "target",
        })
    }
}

/// Something the mover must not go past: going on would lose or invent data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Halt {
    /// Where in the source's log, when it was met there.
    pub position: Option<Position>,
    pub what: String,
    pub remedy: String,
}

impl std::fmt::Display for Halt {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.position {
            Some(position) => write!(formatter, "halted at {position}: {}; {}", self.what, self.remedy),
            None => write!(formatter, "halted: {}; {}", self.what, self.remedy),
        }
    }
}

/// Why a move ended.
#[derive(Debug, thiserror::Error)]
pub enum MoveError {
    #[error("{0}")]
    Halted(Halt),
    #[error("the move is refused: {}", .0.iter().map(|refusal| refusal.to_string()).collect::<Vec<_>>().join("; "))]
    Refused(Vec<Refusal>),
    #[error("another mover has taken over: lane {lane} is no longer of generation {generation}")]
    Fenced { lane: u32, generation: u64 },
    #[error("the move is of epoch {ours}, and the target belongs to epoch {found}")]
    Retired { ours: u64, found: u64 },
    /// A connection was lost or a statement failed for a passing reason: starting again goes on from the checkpoint.
    #[error("the {side} server cannot be used ({doing})")]
    Server { side: Side, doing: &'static str, source: mysql_async::Error },
    #[error("the address of the {side} server is wrong")]
    Address { side: Side, source: mysql_async::UrlError },
    #[error("the move has ended")]
    Ended,
}

impl MoveError {
    pub(crate) fn server(side: Side, doing: &'static str) -> impl FnOnce(mysql_async::Error) -> Self {
        move |source| Self::Server { side, doing, source }
    }

    /// Whether a server could not be reached, or was lost: what it last did may still happen, and starting again goes on.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        match self {
            Self::Server { source: mysql_async::Error::Server(error), .. } => GOING.contains(&error.code),
            Self::Server { .. } => true,
            _ => false,
        }
    }

    pub(crate) fn halt(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::Halted(Halt { position: None, what: what.into(), remedy: remedy.into() })
    }

    /// Names the place in the log at which a halt was met.
    pub(crate) fn at(self, position: &Position) -> Self {
        match self {
            Self::Halted(halt) if halt.position.is_none() => {
                Self::Halted(Halt { position: Some(position.clone()), ..halt })
            }
            other => other,
        }
    }
}

/// What every fallible function here gives.
pub(crate) type Result<T> = std::result::Result<T, MoveError>;
