//! What the target takes at most.
//!
//! Owns reading those limits. They are asked for, never assumed, except where a server does not tell.

use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use super::Preflight;
use crate::config::Config;
use crate::error::{MoveError, Result, Side};
use crate::schema::Dialect;

/// TiDB's own default, where it does not tell.
const TIDB_ENTRY_BYTES: u64 = 6 << 20;
/// What else stands in a statement or an entry beside a row's long columns.
const BESIDE_BYTES: u64 = 64 << 10;
/// A transaction in TiDB's memory takes several times its rows' bytes: so small a part of its quota.
const PART_OF_QUOTA: u64 = 16;
/// The limit counts keys and index entries too.
const PART_OF_TOTAL: u64 = 4;

/// Bytes of a row's long columns, and what limits them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RowLimit {
    pub(crate) bytes: u64,
    pub(crate) why: &'static str,
}

/// What one target takes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Takes {
    pub(crate) row: RowLimit,
    /// Bytes of rows in one transaction, where there is a limit.
    pub(crate) transaction: Option<u64>,
}

pub(crate) async fn takes(target: &mut Conn, dialect: Dialect) -> Result<Takes> {
    let failed = || MoveError::server(Side::Target, "read its limits");
    let packet: Option<u64> = target.query_first("SELECT @@max_allowed_packet").await.map_err(failed())?;
    // Every byte may need another to escape it.
    let packet = (packet.unwrap_or(16 << 20) / 2).saturating_sub(BESIDE_BYTES);
    let by_packet = RowLimit { bytes: packet, why: "half of max_allowed_packet" };
    if dialect == Dialect::MySql {
        return Ok(Takes { row: by_packet, transaction: None });
    }
    // Older servers know neither: theirs are the defaults.
    let config: Option<String> = target.query_first("SELECT @@tidb_config").await.ok().flatten();
    let configured = |name: &str| config.as_deref().and_then(|config| number(config, name));
    let session: Option<u64> = target.query_first("SELECT @@tidb_txn_entry_size_limit").await.ok().flatten();
    let entry = session.filter(|bytes| *bytes > 0).or_else(|| configured("txn-entry-size-limit"));
    let entry = entry.unwrap_or(TIDB_ENTRY_BYTES).saturating_sub(BESIDE_BYTES);
    let row = if entry < packet { RowLimit { bytes: entry, why: "tidb_txn_entry_size_limit" } } else { by_packet };
    let quota: Option<i64> = target.query_first("SELECT @@tidb_mem_quota_query").await.ok().flatten();
    let quota = quota.and_then(|quota| u64::try_from(quota).ok()).filter(|quota| *quota > 0);
    let total = configured("txn-total-size-limit");
    let limits = [quota.map(|quota| quota / PART_OF_QUOTA), total.map(|total| total / PART_OF_TOTAL)];
    Ok(Takes { row, transaction: limits.into_iter().flatten().min() })
}

/// A number in the server's configuration, which it gives as JSON.
fn number(config: &str, name: &str) -> Option<u64> {
    let (_, rest) = config.split_once(&format!("\"{name}\":"))?;
    let digits: String = rest.trim_start().chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

/// Checks the target as a server.
pub(super) async fn settings(target: &mut Conn, config: &Config, takes: &Takes, found: &mut Preflight) -> Result<()> {
    let (ours, theirs) = (config.limits.statement_bytes, takes.row.bytes);
    if ours as u64 > theirs {
        found.refuse(
            "statement",
            "target",
            format!("the move's statements have {ours} bytes, more than {theirs}: {}", takes.row.why),
            "raise that limit on the target, or lower the move's statement_bytes",
        );
    }
    let folds: Option<u8> = target
        .query_first("SELECT @@lower_case_table_names")
        .await
        .map_err(MoveError::server(Side::Target, "read its settings"))?;
    let mut names: Vec<_> = config.tables.iter().collect();
    names.sort_by_key(|table| table.to_string().to_lowercase());
    for pair in names.windows(2).filter(|_| folds != Some(0)) {
        if pair[0] != pair[1] && pair[0].to_string().to_lowercase() == pair[1].to_string().to_lowercase() {
            found.refuse(
                "names",
                &pair[0].to_string(),
                format!("the target takes it and {} for one table", pair[1]),
                "rename one of them on the source",
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_found_in_the_configuration() {
        let config = r#"{"performance": {"txn-entry-size-limit": 6291456, "txn-total-size-limit":104857600}}"#;
        assert_eq!(number(config, "txn-entry-size-limit"), Some(6_291_456));
        assert_eq!(number(config, "txn-total-size-limit"), Some(104_857_600));
        assert_eq!(number(config, "txn"), None);
    }
}
