//! A server of either kind, for what asks the same of both.
//!
//! Owns nothing but the choice.

use crate::mariadb::MariaDb;
use crate::process::SetupError;
use crate::tidb::TiDb;

/// A private server that speaks MySQL's protocol.
#[derive(Debug)]
pub enum Server {
    MariaDb(MariaDb),
    TiDb(TiDb),
}

impl Server {
    /// Its name, as people write it.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::MariaDb(_) => "MariaDB",
            Self::TiDb(_) => "TiDB",
        }
    }

    #[must_use]
    pub fn is_tidb(&self) -> bool {
        matches!(self, Self::TiDb(_))
    }

    /// `host:port`, as a client writes it.
    #[must_use]
    pub fn address(&self) -> String {
        match self {
            Self::MariaDb(server) => server.address(),
            Self::TiDb(server) => server.address(),
        }
    }

    /// The administrator's URL for a schema (which may be empty).
    #[must_use]
    pub fn url(&self, schema: &str) -> String {
        match self {
            Self::MariaDb(server) => server.url(schema),
            Self::TiDb(server) => server.url(schema),
        }
    }

    /// The URL of another account. Name and password must need no URL encoding.
    #[must_use]
    pub fn url_as(&self, user: &str, password: &str, schema: &str) -> String {
        match self {
            Self::MariaDb(server) => server.url_as(user, password, schema),
            Self::TiDb(server) => server.url_as(user, password, schema),
        }
    }

    /// Executes statements as the administrator; what they print.
    ///
    /// # Errors
    /// What the server refused.
    pub fn sql(&self, statements: &str) -> Result<String, SetupError> {
        match self {
            Self::MariaDb(server) => server.sql(statements),
            Self::TiDb(server) => server.sql(statements),
        }
    }
}
