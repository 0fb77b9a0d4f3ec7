//! c0, and the looks at the source's log.
//!
//! Owns what must hold before anybody waits: each check says what is wrong and the remedy. Changes nothing.

use super::fence::Fence;
use super::link::{Fault, Link, Reply};
use super::steps::WayBack;
use crate::position::Position;
use crate::source::heartbeat::SCHEMA;

/// Events after the end that are looked at; a heartbeat has four.
const TAIL_EVENTS: u32 = 400;
/// Sessions that are named at most.
const MOST_NAMED: u32 = 20;

/// A variable that must have this value, and the remedy.
const SETTINGS: &[(&str, u64, &str)] = &[
    ("innodb_flush_log_at_trx_commit", 1, "the decision must survive a crash: set it to 1"),
    ("read_only", 0, "something else has fenced the source: find out what"),
];

pub(super) async fn look(source: &mut Link, target: &mut Link, fence: &Fence, way_back: WayBack) -> Reply<Vec<String>> {
    let mut refusals = Vec::new();
    for (name, wanted, remedy) in SETTINGS {
        let value: Option<u64> = source.first(&format!("SELECT @@GLOBAL.{name}")).await?;
        if value != Some(*wanted) {
            refusals.push(format!("{name} of the source is not {wanted}; {remedy}"));
        }
    }
    if !target.is_tidb() {
        let flushed: Option<u64> = target.first("SELECT @@GLOBAL.innodb_flush_log_at_trx_commit").await?;
        if flushed != Some(1) {
            refusals.push("innodb_flush_log_at_trx_commit of the target is not 1; set it to 1".to_owned());
        }
    }
    let events: Option<String> = source.first("SELECT @@GLOBAL.event_scheduler").await?;
    if events.as_deref() == Some("ON") {
        refusals.push("the source's event scheduler writes; SET GLOBAL event_scheduler = OFF".to_owned());
    }
    let prepared: Vec<mysql_async::Row> = source.all("XA RECOVER").await?;
    if !prepared.is_empty() {
        refusals.push(format!("{} XA transactions are prepared on the source; end them", prepared.len()));
    }
    let replicates: Vec<mysql_async::Row> = source.all(source.words().replicas_status).await?;
    if !replicates.is_empty() {
        refusals.push("the source is a replica of another server; STOP and RESET it".to_owned());
    }
    refusals.extend(above_the_fence(source).await?);
    refusals.extend(definitions(source).await?);
    if fence.count() == 0 {
        refusals.push("no account of the application is named; name all that write".to_owned());
    }
    if fence.locked(source).await? > 0 {
        refusals.push("an account of the application is locked on the source; leave it out or unlock it".to_owned());
    }
    if !fence.is_up(target).await? {
        refusals.push("the target does not refuse the application; prepare it again".to_owned());
    }
    if way_back == WayBack::Armed && position(target).await.is_err() {
        refusals.push("the target writes no log, so there is no way back; give it up explicitly".to_owned());
    }
    Ok(refusals)
}

/// Sessions that write on in spite of `read_only`. The gates' account may, too: it is known by its rights to the registers.
async fn above_the_fence(source: &mut Link) -> Reply<Vec<String>> {
    let is_his = "SUBSTRING_INDEX(grantee, '''@''', 1) = CONCAT('''', user)";
    let sessions: Vec<(u64, String, String)> = source
        .all(&format!(
            "SELECT id, user, host FROM information_schema.processlist WHERE command NOT IN ('Binlog Dump', 'Daemon')
               AND user <> SUBSTRING_INDEX(USER(), '@', 1)
               AND EXISTS (SELECT 1 FROM information_schema.user_privileges WHERE {is_his}
                     AND privilege_type IN ('READ ONLY ADMIN', 'READ_ONLY ADMIN', 'CONNECTION_ADMIN'))
               AND NOT EXISTS (SELECT 1 FROM information_schema.schema_privileges WHERE {is_his}
                     AND table_schema = '{SCHEMA}')
             ORDER BY id LIMIT {MOST_NAMED}"
        ))
        .await?;
    let remedy = "writes on in spite of the fence; let it leave, or revoke READ ONLY ADMIN";
    let told = |(id, user, host): (u64, String, String)| format!("{user}@{host} (session {id}) {remedy}");
    Ok(sessions.into_iter().map(told).collect())
}

/// Statements that hold locks which a fence would wait for, or change what is moved.
async fn definitions(source: &mut Link) -> Reply<Vec<String>> {
    let words = "ALTER|CREATE|DROP|RENAME|TRUNCATE|OPTIMIZE|REPAIR|LOCK|FLUSH|BACKUP";
    let sessions: Vec<(u64, String, String, String)> = source
        .all(&format!(
            "SELECT id, user, host, UPPER(REGEXP_SUBSTR(info, _utf8mb4'{words}')) FROM information_schema.processlist
             WHERE id <> CONNECTION_ID() AND info REGEXP _utf8mb4'^([[:space:]]|/[*].*[*]/)*({words})[[:space:]]'
               AND info NOT REGEXP _utf8mb4'CREATE[[:space:]]+TEMPORARY' ORDER BY id LIMIT {MOST_NAMED}"
        ))
        .await?;
    let told = |(id, user, host, word)| format!("{user}@{host} (session {id}) runs {word} on the source; let it end");
    Ok(sessions.into_iter().map(told).collect())
}

pub(super) async fn position(link: &mut Link) -> Reply<Position> {
    // TiDB answers too, with a timestamp in place of a position.
    let real = instant(link).await?.filter(|position| position.file.contains('.'));
    real.ok_or_else(|| Fault::No("the server writes no log".to_owned()))
}

/// What a server calls now: a position of its log, or TiDB's timestamp.
pub(super) async fn instant(link: &mut Link) -> Reply<Option<Position>> {
    let row: Option<mysql_async::Row> = link.first(link.words().log_status).await?;
    Ok(row.and_then(|row| Some(Position::new(row.get::<String, _>(0)?, row.get::<u64, _>(1)?))))
}

/// c6b: after the end there is nothing but what movers write.
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
        // MySQL's: a GTID of its own kind, and a BEGIN apart from it.
        "Anonymous_Gtid" | "Gtid_tagged" | "Rows_query" => true,
        "Query" => info == "BEGIN",
        "Update_rows_v1" | "Update_rows" | "Update_rows_v2" => true,
        "Write_rows_v1" | "Write_rows" | "Write_rows_v2" => true,
        // Heartbeats, and the checkpoints of the way back.
        "Table_map" => info.split_once(" (").is_some_and(|(_, name)| name.starts_with(&format!("{SCHEMA}."))),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_movers_write_may_follow_the_end() {
        assert!(is_ours("Table_map", "table_id: 21 (piton_move.heartbeat)"));
        assert!(is_ours("Table_map", "table_id: 23 (piton_move.lanes)"));
        assert!(!is_ours("Table_map", "table_id: 22 (shop.orders)"));
        assert!(!is_ours("Table_map", "table_id: 22 (shop.`(piton_move.`)"), "a table of a strange name");
        assert!(is_ours("Anonymous_Gtid", "SET @@SESSION.GTID_NEXT= 'ANONYMOUS'") && is_ours("Query", "BEGIN"));
        assert!(!is_ours("Query", "use `shop`; drop table orders"));
        assert!(!is_ours("Delete_rows_v1", "table_id: 21 flags: STMT_END_F"));
    }
}
