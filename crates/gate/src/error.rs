//! What can go wrong: for whoever runs a gate, and inside a session.

use crate::auth::CredentialError;
use crate::wire::packet::Malformed;

/// Why a gate did not start, or did not do what it was told.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GateError {
    /// The configuration names no backend.
    #[error("a gate needs at least one backend")]
    NoBackend,
    /// A name that no backend has.
    #[error("no backend is called {name}")]
    UnknownBackend {
        /// The name.
        name: String,
    },
    /// Something of the system.
    #[error("cannot {what}")]
    Io {
        /// What was tried.
        what: String,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// TLS could not be set up.
    #[error("cannot {what}: {why}")]
    Tls {
        /// What was tried.
        what: String,
        /// What is wrong.
        why: String,
    },
    /// A backend did not let the gate in.
    #[error("backend {name}: {why}")]
    Backend {
        /// Its name.
        name: String,
        /// What it said.
        why: String,
    },
    /// The accounts could not be read.
    #[error(transparent)]
    Credentials(#[from] CredentialError),
    /// An epoch of a register goes from one backend to the other.
    #[error("a gate that obeys a register has two backends, not {0}")]
    NotTwo(usize),
    /// The register does not say what was decided.
    #[error("the register does not say what was decided: {0}")]
    Register(String),
    /// The gate that was to be followed goes on.
    #[error("the gate at {path} hands nothing over: {why}")]
    TakeOver {
        /// Its control socket.
        path: String,
        /// What it said, or what went wrong.
        why: String,
    },
    /// A hold is open where none may be, or none is where one must be.
    #[error("{0}")]
    Phase(&'static str),
}

/// Why a session ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Ended {
    /// The client said goodbye or left.
    #[error("the client left")]
    ClientLeft,
    /// The backend closed the connection while a statement was unanswered.
    #[error("the backend closed the connection")]
    BackendLost,
    /// The backend closed the connection of a session at rest.
    #[error("the backend closed an idle connection")]
    BackendClosed,
    /// The client was told why, and the connection closed.
    #[error("refused: {0}")]
    Refused(&'static str),
    #[error(transparent)]
    Malformed(#[from] Malformed),
    #[error(transparent)]
    Io(#[from] std::io::Error),
    #[error("{0}")]
    Backend(#[from] BackendError),
}

/// Why a backend did not do what the gate itself asked of it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BackendError {
    #[error("cannot connect: {0}")]
    Connect(#[source] std::io::Error),
    #[error("it did not answer in time")]
    Late,
    /// Its own words.
    #[error("{message} ({code})")]
    Said { code: u16, message: String },
    #[error("it wants {0}, which the gate cannot do with what it knows")]
    Plugin(String),
    #[error(transparent)]
    Malformed(#[from] Malformed),
    #[error("it closed the connection")]
    Closed,
    #[error("it does not offer what the client was promised")]
    Capabilities,
}
