//! c0, and the looks at the source's log.
//!
//! Owns what must hold before anybody waits: each check says what is wrong and the remedy. Changes nothing.

use std::time::Duration;

use super::fence::Fence;
use super::link::{Fault, Link, Reply};
use super::steps::WayBack;
use crate::position::Position;
use crate::source::heartbeat;

/// More lag than this and the pause would be spent waiting.
const MOST_LAG: Duration = Duration::from_millis(50);
/// Events after the end that are looked at; a heartbeat has four.
const TAIL_EVENTS: u32 = 400;

/// A variable that must have this value, and the remedy.
const SETTINGS: &[(&str, u64, &str)] = &[
    ("innodb_flush_log_at_trx_commit", 1, "the decision must survive a crash: set it to 1"),
    ("read_only", 0, "something else has fenced the source: find out what"),
];

pub(super) async fn look(
    source: &mut Link,
    target: &mut Link,
    fence: &Fence,
    lag: Option<Option<Duration>>,
    way_back: WayBack,
) -> Reply<Vec<String>> {
    let mut refusals = Vec::new();
    for (name, wanted, remedy) in SETTINGS {
        let value: Option<u64> = source.first(&format!("SELECT @@GLOBAL.{name}")).await?;
        if value != Some(*wanted) {
            refusals.push(format!("{name} of the source is not {wanted}; {remedy}"));
        }
    }
    let flushed: Option<u64> = target.first("SELECT @@GLOBAL.innodb_flush_log_at_trx_commit").await?;
    if flushed != Some(1) {
        refusals.push("innodb_flush_log_at_trx_commit of the target is not 1; set it to 1".to_owned());
    }
    let events: Option<String> = source.first("SELECT @@GLOBAL.event_scheduler").await?;
    if events.as_deref() == Some("ON") {
        refusals.push("the source's event scheduler writes; SET GLOBAL event_scheduler = OFF".to_owned());
    }
    let prepared: Vec<mysql_async::Row> = source.all("XA RECOVER").await?;
    if !prepared.is_empty() {
        refusals.push(format!("{} XA transactions are prepared on the source; end them", prepared.len()));
    }
    let replicates: Vec<mysql_async::Row> = source.all("SHOW ALL SLAVES STATUS").await?;
    if !replicates.is_empty() {
        refusals.push("the source is a replica of another server; STOP and RESET it".to_owned());
    }
    if fence.count() == 0 {
        refusals.push("no account of the application is named; name all that write".to_owned());
    }
    if fence.locked(source).await? > 0 {
        refusals.push("an account of the application is locked on the source; leave it out or unlock it".to_owned());
    }
    if fence.locked(target).await? < fence.count() {
        refusals.push("the target does not refuse the application; prepare it again".to_owned());
    }
    if let Some(lag) = lag.filter(|lag| lag.is_none_or(|lag| lag >= MOST_LAG)) {
        refusals.push(format!("the target is behind by {lag:?}; wait until it is less than {MOST_LAG:?}"));
    }
    if way_back == WayBack::Armed && position(target).await.is_err() {
        refusals.push("the target writes no log, so there is no way back; give it up explicitly".to_owned());
    }
    Ok(refusals)
}

pub(super) async fn position(link: &mut Link) -> Reply<Position> {
    let row: Option<mysql_async::Row> = link.first("SHOW MASTER STATUS").await?;
    let read = row.and_then(|row| Some(Position::new(row.get::<String, _>(0)?, row.get::<u64, _>(1)?)));
    // TiDB answers too, with a timestamp in place of a position.
    let real = read.filter(|position| position.file.contains('.'));
    real.ok_or_else(|| Fault::No("the server writes no log".to_owned()))
}

/// c6b: after the end there is nothing but our heartbeat.
pub(super) async fn nothing_after(link: &mut Link, end: &Position) -> Reply<()> {
    let sql = format!("SHOW BINLOG EVENTS IN '{}' FROM {} LIMIT {TAIL_EVENTS}", end.file, end.offset);
    let events: Vec<mysql_async::Row> = link.all(&sql).await?;
    let text = |row: &mysql_async::Row, column| row.get::<Option<String>, _>(column).flatten().unwrap_or_default();
    for row in &events {
        let (kind, info) = (text(row, 2), text(row, 5));
        if !is_ours(&kind, &info) {
            return Err(Fault::No(format!("after the end the log has {kind} {info}")));
        }
    }
    if events.len() as u32 >= TAIL_EVENTS {
        return Err(Fault::No("the log goes on after the end".to_owned()));
    }
    Ok(())
}

/// Rows are told by the map of their table, which comes before them.
fn is_ours(kind: &str, info: &str) -> bool {
    match kind {
        "Gtid" | "Xid" | "Annotate_rows" | "Binlog_checkpoint" | "Gtid_list" => true,
        "Update_rows_v1" | "Update_rows" | "Update_rows_v2" => true,
        "Table_map" => info.contains(&format!("({})", heartbeat::table())),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_heartbeat_may_follow_the_end() {
        assert!(is_ours("Table_map", "table_id: 21 (piton_move.heartbeat)"));
        assert!(!is_ours("Table_map", "table_id: 22 (shop.orders)"));
        assert!(!is_ours("Query", "use `shop`; drop table orders"));
        assert!(!is_ours("Write_rows_v1", "table_id: 21 flags: STMT_END_F"));
    }
}
