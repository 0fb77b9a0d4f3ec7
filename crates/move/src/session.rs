//! Sessions on either server, set so that every byte goes through unchanged.
//!
//! Owns what a session is set to, and the identity of the source: file and offset mean nothing on another server.

use std::time::Duration;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts, OptsBuilder, SslOpts, UrlError};

use crate::error::{MoveError, Result, Side};
use crate::position::Position;
use crate::schema::Dialect;

/// Longer than any row: a packet holds at most a GiB.
const MAX_PACKET: usize = 1 << 30;
/// A server that does not answer a connection attempt is given up after this long.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// Binary character set: the server converts nothing. UTC: timestamps read as they are stored. The mode takes
/// the dates, zero ids and empty ENUMs that a source may hold; it is not strict, as that refuses the last. What does
/// not fit is a warning then, and warnings are counted before a transaction commits.
const SETUP: &str = "SET NAMES binary, time_zone = '+00:00', \
     sql_mode = 'NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES,NO_ENGINE_SUBSTITUTION'";
/// Cascades are in the log already as far as they are at all; rows of one lane may come before their parents of
/// another.
const TARGET_SETUP: [&str; 2] = [
    "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
    // Of every warning it is looked at what it says.
    "SET SESSION foreign_key_checks = 0, unique_checks = 1, innodb_lock_wait_timeout = 20, max_error_count = 65535",
];

/// The statements themselves, each a comment in the target's log beside the rows that it wrote, would double that log.
/// Who may not set this, or has no such setting, writes them.
const TARGET_THRIFT: &str = "SET SESSION binlog_annotate_row_events = 0";

/// What else a session on TiDB is set to: optimistic transactions would fail at their COMMIT.
const TIDB_SETUP: &str = "SET SESSION tidb_txn_mode = 'pessimistic'";

/// Which server answers.
pub(crate) async fn dialect(conn: &mut Conn, side: Side) -> Result<Dialect> {
    let version: Option<String> =
        conn.query_first("SELECT VERSION()").await.map_err(MoveError::server(side, "read its version"))?;
    Ok(if version.is_some_and(|version| version.contains("TiDB")) { Dialect::TiDb } else { Dialect::MySql })
}

/// What a URL says, in the words that a runbook's URLs have (`tls`, `ssl_ca`, `tls_name` and their other spellings) beside
/// those of `mysql_async`: one URL serves a query of a runbook and a mover. The authority's file is PEM.
pub(crate) fn options(url: &str) -> std::result::Result<OptsBuilder, UrlError> {
    let (address, words) = url.split_once('?').unwrap_or((url, ""));
    let address = address.replacen("mariadb://", "mysql://", 1);
    let (mut mode, mut ca, mut name, mut theirs) = (None, None, None, Vec::new());
    for word in words.split('&').filter(|word| !word.is_empty()) {
        let (key, value) = word.split_once('=').unwrap_or((word, ""));
        match key.to_ascii_lowercase().replace('_', "-").as_str() {
            "tls" | "ssl-mode" | "sslmode" | "ssl" => {
                mode = Some(decoded(value).to_ascii_lowercase().replace('_', "-"))
            }
            "ssl-ca" | "sslrootcert" | "tls-ca" => ca = Some(decoded(value)),
            "tls-name" => name = Some(decoded(value)),
            _ => theirs.push(word),
        }
    }
    let opts = Opts::from_url(&format!("{address}?{}", theirs.join("&")))?;
    let given = opts.ssl_opts().cloned();
    let builder = OptsBuilder::from_opts(opts);
    let Some(mut tls) = tls(mode.as_deref(), ca.is_some(), given)? else { return Ok(builder) };
    if let Some(ca) = ca {
        tls = tls.with_root_certs(vec![std::path::PathBuf::from(ca).into()]);
    }
    Ok(builder.ssl_opts(Some(tls.with_danger_tls_hostname_override(name))))
}

/// How much the transport is trusted: `None` is the plain one. A named authority means that it is asked.
fn tls(mode: Option<&str>, ca: bool, given: Option<SslOpts>) -> std::result::Result<Option<SslOpts>, UrlError> {
    Ok(match mode {
        None if ca => Some(given.unwrap_or_default()),
        None => given,
        Some("false" | "0" | "off" | "disable" | "disabled" | "prefer" | "preferred" | "allow") => None,
        Some("skip-verify" | "require" | "required") if !ca => {
            Some(SslOpts::default().with_danger_accept_invalid_certs(true))
        }
        Some("true" | "1" | "on" | "verify-full" | "verify-identity") => Some(SslOpts::default()),
        Some(other) => return Err(UrlError::InvalidParamValue { param: "tls".to_owned(), value: other.to_owned() }),
    })
}

/// Text of a URL as it is meant.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let mut ahead = rest.clone();
        let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
        match (byte, digit(ahead.next()), digit(ahead.next())) {
            (b'%', Some(high), Some(low)) => {
                bytes.push((high * 16 + low) as u8);
                rest = ahead;
            }
            _ => bytes.push(byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A session on `side` at `url`.
pub(crate) async fn open(side: Side, url: &str) -> Result<Conn> {
    let opts = options(url)
        .map_err(|source| MoveError::Address { side, source })?
        .prefer_socket(false)
        .max_allowed_packet(Some(MAX_PACKET))
        .wait_timeout(Some(28_800))
        // An UPDATE that changes nothing still has to say whether its row is there.
        .client_found_rows(true)
        .tcp_nodelay(true);
    let failed = || MoveError::server(side, "connect");
    let late = |_| failed()(mysql_async::IoError::Io(std::io::ErrorKind::TimedOut.into()).into());
    let mut conn = tokio::time::timeout(CONNECT_LIMIT, Conn::new(opts)).await.map_err(late)?.map_err(failed())?;
    conn.query_drop(SETUP).await.map_err(MoveError::server(side, "set up a session"))?;
    if side == Side::Target {
        let tidb = dialect(&mut conn, side).await? == Dialect::TiDb;
        for setup in TARGET_SETUP.into_iter().chain(tidb.then_some(TIDB_SETUP)) {
            conn.query_drop(setup).await.map_err(MoveError::server(side, "set up a session"))?;
        }
        match conn.query_drop(TARGET_THRIFT).await {
            Ok(()) | Err(mysql_async::Error::Server(_)) => {}
            Err(lost) => return Err(MoveError::server(side, "set up a session")(lost)),
        }
    }
    Ok(conn)
}

/// What a server calls a statement depends on its age.
pub(crate) struct Words {
    /// Where its log ends: file and offset come first.
    pub(crate) log_status: &'static str,
    pub(crate) replica_status: &'static str,
    /// The same for every server that it replicates from.
    pub(crate) replicas_status: &'static str,
    /// The column of seconds in `replica_status`.
    pub(crate) replica_lag: &'static str,
}

pub(crate) fn words(conn: &Conn) -> Words {
    words_of(conn.server_version())
}

/// MySQL 8.4 has lost the old words, which MariaDB and TiDB (8.0 by its own word) keep. MariaDB's versions begin with 10.
fn words_of((major, minor, _): (u16, u16, u16)) -> Words {
    if major == 9 || (major == 8 && minor >= 4) {
        return Words {
            log_status: "SHOW BINARY LOG STATUS",
            replica_status: "SHOW REPLICA STATUS",
            replicas_status: "SHOW REPLICA STATUS",
            replica_lag: "Seconds_Behind_Source",
        };
    }
    Words {
        log_status: "SHOW MASTER STATUS",
        replica_status: "SHOW SLAVE STATUS",
        replicas_status: if major >= 10 { "SHOW ALL SLAVES STATUS" } else { "SHOW SLAVE STATUS" },
        replica_lag: "Seconds_Behind_Master",
    }
}

/// Where the source's log ends now.
pub(crate) async fn position(conn: &mut Conn) -> Result<Position> {
    let status = words(conn).log_status;
    let row: Option<mysql_async::Row> =
        conn.query_first(status).await.map_err(MoveError::server(Side::Source, "read its position"))?;
    let read = row.and_then(|row| Some(Position::new(row.get::<String, _>(0)?, row.get::<u64, _>(1)?)));
    read.ok_or_else(|| MoveError::halt("the source writes no log", "start the source with log_bin"))
}

/// What makes a server itself: another one, or the same after a restart, may number its log otherwise.
pub(crate) async fn identity(conn: &mut Conn) -> Result<String> {
    let failed = || MoveError::server(Side::Source, "read its identity");
    let who: Option<(u64, String, String)> =
        conn.query_first("SELECT @@server_id, @@hostname, @@port").await.map_err(failed())?;
    let up: Option<(String, u64)> = conn.query_first("SHOW GLOBAL STATUS LIKE 'Uptime'").await.map_err(failed())?;
    let now: Option<u64> = conn.query_first("SELECT UNIX_TIMESTAMP()").await.map_err(failed())?;
    let (id, host, port) = who.unwrap_or_default();
    let started = now.unwrap_or(0).saturating_sub(up.map_or(0, |(_, seconds)| seconds));
    Ok(format!("{id} {host} {port} {started}"))
}

/// Whether two identities are one server in one life. The start is computed from two clock readings, so it may be a
/// little off.
pub(crate) fn is_same(one: &str, other: &str) -> bool {
    const TOLERANCE_S: u64 = 3;
    let split = |text: &str| {
        let (who, started) = text.rsplit_once(' ')?;
        Some((who.to_owned(), started.parse::<u64>().ok()?))
    };
    match (split(one), split(other)) {
        (Some((one, first)), Some((other, second))) => one == other && first.abs_diff(second) <= TOLERANCE_S,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_server_is_asked_in_its_own_words() {
        for old in [(10, 11, 19), (11, 8, 2), (8, 0, 11), (8, 0, 44), (5, 7, 44)] {
            assert_eq!(words_of(old).log_status, "SHOW MASTER STATUS", "{old:?}");
        }
        for new in [(8, 4, 0), (9, 5, 0)] {
            assert_eq!(words_of(new).log_status, "SHOW BINARY LOG STATUS", "{new:?}");
        }
    }

    #[test]
    fn a_url_may_name_the_authority_of_the_servers_certificate() {
        let opts = Opts::from(options("mysql://u:p%40@h:4000/?require_ssl=true&ssl_ca=%2Fetc%2Fmy%20ca.pem").unwrap());
        assert_eq!((opts.ip_or_hostname(), opts.tcp_port(), opts.pass()), ("h", 4000, Some("p@")));
        let tls = opts.ssl_opts().unwrap();
        assert_eq!(tls.root_certs().len(), 1);
        assert!(Opts::from(options("mysql://u@h:1/").unwrap()).ssl_opts().is_none());
        assert!(Opts::from(options("mariadb://u@h:1/").unwrap()).ssl_opts().is_none());
        assert_eq!(decoded("a%2"), "a%2", "what is no escape stays");
    }

    #[test]
    fn what_a_runbooks_url_says_of_trust_is_meant_here_too() {
        let of =
            |words: &str| options(&format!("mysql://u@h:1/?{words}")).map(|all| Opts::from(all).ssl_opts().cloned());
        for plain in ["tls=disable", "sslmode=prefer", "ssl_mode=DISABLED&ssl_ca=x"] {
            assert_eq!(of(plain).unwrap(), None, "{plain}");
        }
        for unchecked in ["tls=require", "ssl-mode=REQUIRED", "tls=skip-verify"] {
            assert!(of(unchecked).unwrap().unwrap().accept_invalid_certs(), "{unchecked}");
        }
        let checked = of("tls=verify-full&tls-ca=ca.pem&tls-name=db.internal").unwrap().unwrap();
        assert!(!checked.accept_invalid_certs() && checked.root_certs().len() == 1);
        assert_eq!(checked.tls_hostname_override(), Some("db.internal"));
        for wrong in ["tls=maybe", "tls=verify-ca", "tls=require&ssl_ca=x"] {
            assert!(of(wrong).is_err(), "{wrong}: what decides about trust is never ignored");
        }
    }
}
