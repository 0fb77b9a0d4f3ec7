//! What a gate is told when it starts, and its limits.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::auth::Credentials;

/// Bytes that a client's side of a session holds when nothing large is under way.
pub(crate) const CLIENT_BUFFER_BYTES: usize = 4 << 10;
/// Bytes that a backend's side holds; one read of rows.
pub(crate) const BACKEND_BUFFER_BYTES: usize = 16 << 10;
/// Bytes of a client's buffer while a large statement passes.
pub(crate) const STREAM_BYTES: usize = 64 << 10;
/// Bytes of a client's first packets; a response with its attributes has some hundred.
pub(crate) const LOGIN_BYTES: usize = 64 << 10;
/// Bytes of a command other than a statement (a database's name, a number).
pub(crate) const COMMAND_BYTES: usize = 64 << 10;
/// Bytes of a prepared statement's text that the gate keeps to prepare it again; a longer one pins its session.
pub(crate) const PREPARED_TEXT_BYTES: usize = 64 << 10;
/// Bytes of all texts a session keeps.
pub(crate) const PREPARED_ALL_BYTES: usize = 1 << 20;
/// Variables whose names a session keeps; one with more is pinned.
pub(crate) const NAMES: usize = 128;
/// Time a client has to log in, and a backend to let the gate in.
pub(crate) const LOGIN_TIME: Duration = Duration::from_secs(10);
/// Time the gate's own statements may take in a session that moves.
pub(crate) const OWN_STATEMENT_TIME: Duration = Duration::from_secs(10);
/// Connections waiting to be accepted.
pub(crate) const BACKLOG: u32 = 1024;

/// How the gate reaches a backend over TLS.
#[derive(Debug, Clone, Default)]
pub enum BackendTls {
    /// In plain text.
    #[default]
    Off,
    /// Encrypted, whoever answers.
    Unverified,
    /// Encrypted, the certificate signed by an authority in this PEM file.
    Verified(PathBuf),
}

/// Which header tells a backend the client's address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyProtocol {
    /// A line of text.
    V1,
    /// The binary form.
    V2,
}

/// A server behind the gate.
#[derive(Debug, Clone)]
pub struct Backend {
    /// What `switch` calls it.
    pub name: String,
    /// `host:port`.
    pub address: String,
    /// Encryption.
    pub tls: BackendTls,
    /// The header sent before anything else.
    pub proxy_protocol: Option<ProxyProtocol>,
}

impl Backend {
    /// A backend in plain text, without PROXY protocol.
    #[must_use]
    pub fn plain(name: &str, address: &str) -> Self {
        Self { name: name.to_owned(), address: address.to_owned(), tls: BackendTls::Off, proxy_protocol: None }
    }
}

/// The gate's own account, with which it reads stored hashes.
#[derive(Clone)]
pub struct Account {
    /// Its name. It needs SELECT on `mysql.user`.
    pub user: String,
    /// Its password.
    pub password: String,
}

/// Without the password.
impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Account").field("user", &self.user).finish_non_exhaustive()
    }
}

/// The certificate that clients see.
#[derive(Debug, Clone, Default)]
pub enum ClientTls {
    /// One made at the start, signed by itself.
    #[default]
    SelfMade,
    /// From PEM files.
    Files {
        /// The chain, the gate's own first.
        certificates: PathBuf,
        /// The private key.
        key: PathBuf,
    },
    /// No TLS is offered.
    Off,
}

/// All that a gate needs.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where clients connect.
    pub listen: SocketAddr,
    /// The servers; the first is where statements go at the start.
    pub backends: Vec<Backend>,
    /// The accounts that may come in.
    pub credentials: Credentials,
    /// With which account to read more of them from the first backend that answers.
    pub account: Option<Account>,
    /// TLS towards clients.
    pub tls: ClientTls,
    /// Threads; 0 for one a core.
    pub workers: usize,
    /// Client connections at once; more are refused as a server refuses them.
    pub connections: usize,
    /// The unix socket that takes hold, switch and release.
    pub control: Option<PathBuf>,
    /// Takes the listener over from the gate that has the control socket, if there is one; that one's clients stay with it
    /// until they leave.
    pub take_over: bool,
}

impl Config {
    /// Usual settings for an address and backends.
    #[must_use]
    pub fn new(listen: SocketAddr, backends: Vec<Backend>) -> Self {
        Self {
            listen,
            backends,
            credentials: Credentials::default(),
            account: None,
            tls: ClientTls::SelfMade,
            workers: 0,
            connections: 10_000,
            control: None,
            take_over: false,
        }
    }
}
