//! Checks of the source as a server: what it logs and for how long, who may write in spite of a fence, what runs by
//! itself.
//!
//! Owns these questions. Changes nothing.

use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use super::Preflight;
use crate::config::Config;
use crate::error::{MoveError, Result, Side};

/// How slowly a copy is expected to go at worst, to judge whether the log is kept for long enough.
const SLOWEST_BYTES_PER_S: u64 = 5 << 20;
/// A mover that died must be noticed and started again before the log that it needs is gone.
const NOTICED_S: u64 = 3600;
/// Sessions that a note names.
const MOST_NAMED: usize = 50;

/// A setting of the source: its variable, what it must be, what is wrong else, the remedy.
const SETTINGS: &[(&str, &[&str], &str, &str)] = &[
    ("log_bin", &["1", "ON"], "the source writes no log", "start it with log_bin"),
    ("binlog_format", &["ROW"], "changes are not logged as rows", "SET GLOBAL binlog_format = ROW"),
    ("binlog_row_image", &["FULL"], "changes are not logged whole", "SET GLOBAL binlog_row_image = FULL"),
    (
        "binlog_row_metadata",
        &["FULL"],
        "the log does not name columns, so a changed table would not be noticed",
        "SET GLOBAL binlog_row_metadata = FULL",
    ),
    ("log_bin_compress", &["0", "OFF"], "events are compressed", "SET GLOBAL log_bin_compress = OFF"),
    (
        "binlog_transaction_compression",
        &["0", "OFF"],
        "transactions are compressed",
        "SET GLOBAL binlog_transaction_compression = OFF",
    ),
    ("binlog_row_value_options", &[""], "JSON is logged in parts", "SET GLOBAL binlog_row_value_options = ''"),
];

/// Checks the source's settings. Says whether it is MariaDB.
pub(super) async fn settings(source: &mut Conn, found: &mut Preflight) -> Result<bool> {
    let failed = || MoveError::server(Side::Source, "read its settings");
    let version: Option<String> = source.query_first("SELECT VERSION()").await.map_err(failed())?;
    if version.as_deref().is_some_and(|version| version.contains("TiDB")) {
        found.refuse(
            "tidb-source",
            "source",
            "TiDB writes no log of its changes".to_owned(),
            "there is no way back from TiDB without another source of changes: decide on that before the commit point",
        );
        return Ok(false);
    }
    for (name, wanted, what, remedy) in SETTINGS {
        let value: Option<(String, String)> =
            source.query_first(format!("SHOW GLOBAL VARIABLES LIKE '{name}'")).await.map_err(failed())?;
        // A server that does not know a setting does not do what it would turn on; those that must be on are known to
        // all.
        let Some((_, value)) = value else { continue };
        if !wanted.iter().any(|wanted| wanted.eq_ignore_ascii_case(&value)) {
            let what = format!("{what} ({name} is {value:?})");
            found.refuse(name, "source", what, remedy);
        }
    }
    let prepared: Vec<mysql_async::Row> = source.query("XA RECOVER").await.map_err(failed())?;
    if !prepared.is_empty() {
        found.refuse(
            "xa",
            "source",
            format!("{} XA transactions are prepared", prepared.len()),
            "commit or roll them back: they are logged before they can be seen",
        );
    }
    Ok(version.is_some_and(|version| version.contains("MariaDB")))
}

/// What does not prevent a move, but must be known before its cutover.
pub(super) async fn notes(source: &mut Conn, config: &Config, bytes: u64, found: &mut Preflight) -> Result<()> {
    retention(source, bytes, found).await?;
    older_sessions(source, found).await?;
    events(source, config, found).await?;
    privileged(source, found).await
}

async fn variable(source: &mut Conn, name: &str) -> Result<Option<f64>> {
    let row: Option<(String, String)> = source
        .query_first(format!("SHOW GLOBAL VARIABLES LIKE '{name}'"))
        .await
        .map_err(MoveError::server(Side::Source, "read its settings"))?;
    Ok(row.and_then(|(_, value)| value.parse().ok()))
}

/// How long the log is kept, against how long the copy takes at worst and how long a dead mover may go unnoticed.
async fn retention(source: &mut Conn, bytes: u64, found: &mut Preflight) -> Result<()> {
    let seconds = variable(source, "binlog_expire_logs_seconds").await?.unwrap_or(0.0);
    let days = variable(source, "expire_logs_days").await?.unwrap_or(0.0);
    let kept = if seconds > 0.0 { seconds } else { days * 86_400.0 };
    let needed = NOTICED_S + bytes / SLOWEST_BYTES_PER_S;
    #[allow(clippy::cast_precision_loss, reason = "hours, not atoms")]
    if kept > 0.0 && kept < needed as f64 {
        found.refuse(
            "retention",
            "source",
            format!("its log is kept for {kept} s, and the move may need that of {needed} s"),
            "SET GLOBAL binlog_expire_logs_seconds to more while the move runs",
        );
    }
    Ok(())
}

/// A session keeps the settings that it began with. Where one of them was set while the server ran, sessions may be
/// older; which, the server does not tell.
async fn older_sessions(source: &mut Conn, found: &mut Preflight) -> Result<()> {
    let changed: Vec<String> = source
        .query(
            "select lower(variable_name) from information_schema.system_variables
             where variable_name in ('BINLOG_FORMAT', 'BINLOG_ROW_IMAGE') and global_value_origin = 'SQL'
             order by variable_name",
        )
        .await
        // MySQL has no such table: then every session may be older.
        .unwrap_or_else(|_| vec!["binlog_format".to_owned()]);
    if changed.is_empty() {
        return Ok(());
    }
    let sessions: Vec<String> = source
        .query(
            "select concat(id, ' ', user, '@', host) from information_schema.processlist
             where id <> connection_id() and user not in ('system user', 'event_scheduler')
               and command not in ('Binlog Dump', 'Daemon') order by id",
        )
        .await
        .map_err(MoveError::server(Side::Source, "list its sessions"))?;
    if !sessions.is_empty() {
        let shown = sessions[..sessions.len().min(MOST_NAMED)].join(", ");
        found.note(
            "older-sessions",
            "source",
            format!("{} was set while the server ran; sessions may have begun before: {shown}", changed.join(" and ")),
            "let them connect again: a change that they log otherwise halts the move",
        );
    }
    Ok(())
}

/// Events write by themselves: on the source once its fence is lifted, on the target from the cutover on.
async fn events(source: &mut Conn, config: &Config, found: &mut Preflight) -> Result<()> {
    let mut schemas: Vec<&str> = config.tables.iter().map(|table| table.schema.as_str()).collect();
    schemas.sort_unstable();
    schemas.dedup();
    for schema in schemas {
        let events: Vec<String> = source
            .exec(
                "select event_name from information_schema.events where event_schema = ? and status = 'ENABLED'
                 order by event_name",
                (schema,),
            )
            .await
            .map_err(MoveError::server(Side::Source, "list its events"))?;
        if !events.is_empty() {
            found.note(
                "events",
                schema,
                format!("events run by themselves: {}", events.join(", ")),
                "set event_scheduler = OFF before the cutover; make them anew on the target, where it has events",
            );
        }
    }
    Ok(())
}

/// Accounts that write on in spite of `read_only`.
async fn privileged(source: &mut Conn, found: &mut Preflight) -> Result<()> {
    let accounts: Vec<String> = source
        .query(
            "select distinct grantee from information_schema.user_privileges
             where privilege_type in ('READ ONLY ADMIN', 'READ_ONLY ADMIN', 'CONNECTION_ADMIN')
               and grantee not like '%mariadb.sys%' order by grantee",
        )
        .await
        .map_err(MoveError::server(Side::Source, "list privileges"))?;
    let connected: Vec<String> = source
        .query(
            "select distinct user from information_schema.processlist where user <> substring_index(user(), '@', 1)
               and command not in ('Binlog Dump', 'Daemon') order by user",
        )
        .await
        .map_err(MoveError::server(Side::Source, "list its sessions"))?;
    let of = |user: &String| accounts.iter().any(|account| account.starts_with(&format!("'{user}'@")));
    let now: Vec<String> = connected.into_iter().filter(of).collect();
    if !accounts.is_empty() {
        let now = if now.is_empty() { String::new() } else { format!("; connected now: {}", now.join(", ")) };
        found.note(
            "read-only-admin",
            "source",
            format!("accounts write on in spite of read_only: {}{now}", accounts.join(", ")),
            "let none of them but the mover's be connected during the cutover, or revoke READ ONLY ADMIN",
        );
    }
    Ok(())
}
