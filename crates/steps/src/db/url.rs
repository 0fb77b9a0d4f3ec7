//! Database URLs: `mysql://`, `mariadb://`, `postgres://`, `postgresql://`, `sqlite:PATH`.
//!
//! Owns which server, account, database and transport an opened URL means. Never connects, and never repeats a URL in
//! an error: it holds a password.

use super::failure;
use crate::text::percent_decode;
use piton_core::outcome::Failure;
use std::path::{Path, PathBuf};

#[derive(Clone, Debug)]
pub(super) enum Target {
    MySql(Server),
    Postgres(Server),
    Sqlite(PathBuf),
}

#[derive(Clone)]
pub(super) struct Server {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) user: String,
    pub(super) password: Option<String>,
    pub(super) database: Option<String>,
    /// A Unix socket (for PostgreSQL its directory), instead of TCP.
    pub(super) socket: Option<PathBuf>,
    pub(super) tls: Tls,
    /// The name that its certificate is checked for, where it is not the host's: tunnels, virtual addresses.
    pub(super) tls_name: Option<String>,
    /// Identifies the URL in the pool of idle connections; never shown.
    pub(super) key: piton_core::Digest,
}

/// How much the transport is trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Tls {
    Off,
    /// Encrypted; the server's certificate is not checked.
    Unchecked,
    /// The certificate is checked against the public roots or this file, without the host's name where so asked.
    Checked {
        roots: Option<PathBuf>,
        host_name: bool,
    },
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.place())
    }
}

impl Server {
    /// Where it is, without the account.
    pub(super) fn place(&self) -> String {
        match &self.socket {
            Some(socket) => socket.display().to_string(),
            None => format!("{}:{}", self.host, self.port),
        }
    }
}

impl Target {
    pub(super) fn parse(text: &str, root: &Path) -> Result<Self, Failure> {
        let scheme = text.split(':').next().unwrap_or_default();
        match scheme {
            "sqlite" => {
                let path = text["sqlite:".len()..].trim_start_matches("//");
                if path.is_empty() {
                    return Err(failure("sqlite: without a path names no database").hint("write sqlite:PATH"));
                }
                Ok(Self::Sqlite(root.join(path)))
            }
            "mysql" | "mariadb" => server(text, 3306, root).map(Self::MySql),
            "postgres" | "postgresql" => server(text, 5432, root).map(Self::Postgres),
            _ => Err(failure("this is not the URL of a database that Piton knows")
                .hint("mysql://, mariadb://, postgres://, postgresql:// and sqlite:PATH are known")),
        }
    }
}

fn server(text: &str, default_port: u16, root: &Path) -> Result<Server, Failure> {
    let parsed = url::Url::parse(text).map_err(|error| {
        failure(format!("the database's URL cannot be read: {error}"))
            .hint("write SCHEME://USER:PASSWORD@HOST:PORT/DATABASE; percent-encode special characters of the password")
    })?;
    let mut server = Server {
        host: percent_decode(parsed.host_str().unwrap_or_default()).trim_matches(['[', ']']).to_owned(),
        port: parsed.port().unwrap_or(default_port),
        user: percent_decode(parsed.username()),
        password: parsed.password().map(percent_decode),
        database: Some(percent_decode(parsed.path().trim_start_matches('/'))).filter(|name| !name.is_empty()),
        socket: None,
        tls: Tls::Off,
        tls_name: None,
        key: piton_core::Digest::of_bytes(text.as_bytes()),
    };
    let mut roots = None;
    let mut mode = None;
    for (name, value) in parsed.query_pairs() {
        match name.to_ascii_lowercase().replace('_', "-").as_str() {
            "socket" => server.socket = Some(root.join(&*value)),
            "host" if value.starts_with('/') => server.socket = Some(root.join(&*value)),
            "host" => server.host = value.into_owned(),
            "user" => server.user = value.into_owned(),
            "password" => server.password = Some(value.into_owned()),
            "ssl-ca" | "sslrootcert" | "tls-ca" => roots = Some(root.join(&*value)),
            "tls-name" => server.tls_name = Some(value.into_owned()),
            "tls" | "ssl-mode" | "sslmode" | "ssl" => mode = Some(value.to_ascii_lowercase().replace('_', "-")),
            // What decides about trust is never ignored; what else other programs put into URLs is.
            other if ["ssl", "tls", "verify"].iter().any(|word| other.contains(word)) => {
                return Err(failure(format!("the URL parameter {name} is not known")).hint(
                    "tls= takes disable, require, verify-ca or verify-full; ssl-ca= a file of certificates; \
                         tls-name= the name to check the certificate for",
                ));
            }
            _ => {}
        }
    }
    server.tls = tls(mode.as_deref(), roots)?;
    if server.host.is_empty() && server.socket.is_none() {
        server.host = "localhost".to_owned();
    }
    if server.user.is_empty() {
        return Err(failure("the database's URL names no user").hint("write SCHEME://USER:PASSWORD@HOST/DATABASE"));
    }
    Ok(server)
}

fn tls(mode: Option<&str>, roots: Option<PathBuf>) -> Result<Tls, Failure> {
    Ok(match mode {
        // Without a word about it a named authority means that it is to be checked.
        None if roots.is_some() => Tls::Checked { roots, host_name: true },
        // "Preferred" protects against nobody who is in the way, so it means the plain transport.
        None | Some("false" | "0" | "off" | "disable" | "disabled" | "prefer" | "preferred" | "allow") => Tls::Off,
        Some("skip-verify" | "require" | "required") if roots.is_none() => Tls::Unchecked,
        Some("require" | "required" | "verify-ca") => Tls::Checked { roots, host_name: false },
        Some("true" | "1" | "on" | "verify-full" | "verify-identity") => Tls::Checked { roots, host_name: true },
        Some(other) => {
            return Err(failure(format!("{other:?} is not a TLS mode"))
                .hint("use disable, require (encrypted, unchecked), verify-ca or verify-full"));
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Server {
        match Target::parse(text, Path::new("/project")).unwrap() {
            Target::MySql(server) | Target::Postgres(server) => server,
            Target::Sqlite(_) => panic!("{text}"),
        }
    }

    #[test]
    fn a_url_means_a_server_an_account_and_a_database() {
        let server = parsed("mysql://app:p%40ss%2F@db.example/shop?charset=utf8mb4");
        assert_eq!((server.host.as_str(), server.port), ("db.example", 3306));
        assert_eq!((server.user.as_str(), server.password.as_deref()), ("app", Some("p@ss/")));
        assert_eq!((server.database.as_deref(), server.tls), (Some("shop"), Tls::Off));
        let server = parsed("postgresql://u@[::1]:6000/");
        assert_eq!((server.host.as_str(), server.port, server.database), ("::1", 6000, None));
        assert_eq!(parsed("mariadb://root@localhost/?socket=/run/db.sock").place(), "/run/db.sock");
        assert!(
            matches!(Target::parse("sqlite:a/b.db", Path::new("/p")).unwrap(), Target::Sqlite(p) if p == Path::new("/p/a/b.db"))
        );
        assert!(
            matches!(Target::parse("sqlite:///abs.db", Path::new("/p")).unwrap(), Target::Sqlite(p) if p == Path::new("/abs.db"))
        );
    }

    #[test]
    fn what_decides_about_trust_is_never_ignored() {
        for (query, tls) in [
            ("tls=skip-verify", Tls::Unchecked),
            ("sslmode=require", Tls::Unchecked),
            ("ssl-mode=VERIFY_CA", Tls::Checked { roots: None, host_name: false }),
            ("tls=true", Tls::Checked { roots: None, host_name: true }),
            ("ssl-ca=ca.pem", Tls::Checked { roots: Some("/project/ca.pem".into()), host_name: true }),
            ("sslmode=require&sslrootcert=/ca", Tls::Checked { roots: Some("/ca".into()), host_name: false }),
        ] {
            assert_eq!(parsed(&format!("mysql://u@h/?{query}")).tls, tls, "{query}");
        }
        for bad in [
            "mysql://u@h/?sslcert=x",
            "mysql://u@h/?require_ssl=true",
            "mysql://u@h/?verify_ca=true",
            "mysql://u@h/?tls=maybe",
            "mysql://h/db",
            "oracle://u@h",
            "",
            "mysql://u@h:port/",
        ] {
            assert!(Target::parse(bad, Path::new("/")).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_error_never_repeats_the_url() {
        for bad in
            ["mysql://u:hunter2@h:port/", "oracle://u:hunter2@h", "mysql://:hunter2@h/", "mysql://u:hunter2@h/?tls=x"]
        {
            let failure = Target::parse(bad, Path::new("/")).unwrap_err();
            assert!(!format!("{failure:?}").contains("hunter2"), "{failure:?}");
        }
    }
}
