//! The counters that hand out ids.
//!
//! A copy has the largest id that is there; the source knows the largest that it ever handed out. Ids whose transaction was
//! rolled back, or whose rows were deleted, would be handed out again by the target, and whoever remembers them elsewhere
//! takes another row for theirs. Owns raising the target's counters and comparing them; never lowers one.

use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use crate::config::TableName;
use crate::error::{MoveError, Result, Side};

/// Ids that the source may hand out between raising and the fence, which follow each other within seconds.
const SLACK: u64 = 10_000;

/// The next id of each table, `None` for one that hands out none.
async fn next_ids(conn: &mut Conn, side: Side, tables: &[TableName]) -> Result<Vec<Option<u64>>> {
    let failed = || MoveError::server(side, "read the counters");
    // MySQL keeps what it tells here for a day otherwise; others do not know the setting.
    let version: Option<String> = conn.query_first("SELECT VERSION()").await.map_err(failed())?;
    if version.is_some_and(|version| !version.contains("MariaDB") && !version.contains("TiDB")) {
        conn.query_drop("SET SESSION information_schema_stats_expiry = 0").await.map_err(failed())?;
    }
    let mut next = Vec::with_capacity(tables.len());
    for table in tables {
        let about: Option<Option<u64>> = conn
            .exec_first(
                "SELECT auto_increment FROM information_schema.tables WHERE table_schema = ? AND table_name = ?",
                (&table.schema, &table.name),
            )
            .await
            .map_err(failed())?;
        next.push(about.flatten());
    }
    Ok(next)
}

/// Raises the target's counters beyond the source's. A type too small for the slack gets what it can hold: the server
/// says no earlier than it would have.
pub(crate) async fn raise(source: &mut Conn, target: &mut Conn, tables: &[TableName]) -> Result<()> {
    let wanted = next_ids(source, Side::Source, tables).await?;
    let there = next_ids(target, Side::Target, tables).await?;
    for ((table, wanted), there) in tables.iter().zip(wanted).zip(there) {
        let Some(wanted) = wanted.filter(|wanted| there.is_none_or(|there| there < wanted.saturating_add(SLACK / 2)))
        else {
            continue;
        };
        let sql = format!("ALTER TABLE {} AUTO_INCREMENT = {}", table.quoted(), wanted.saturating_add(SLACK));
        target.query_drop(sql).await.map_err(MoveError::server(Side::Target, "raise a counter"))?;
    }
    Ok(())
}

/// Tables of which the target would hand out an id that the source has handed out.
pub(crate) async fn behind(source: &mut Conn, target: &mut Conn, tables: &[TableName]) -> Result<Vec<String>> {
    let (source, target) = tokio::join!(next_ids(source, Side::Source, tables), next_ids(target, Side::Target, tables));
    let both = source?.into_iter().zip(target?);
    let is_behind = |(source, target): (Option<u64>, Option<u64>)| source.is_some_and(|next| target < Some(next));
    Ok(tables.iter().zip(both).filter(|(_, both)| is_behind(*both)).map(|(table, _)| table.to_string()).collect())
}
