//! Moving a session to the backend where statements go: what the old connection knows is asked, and said to a new one.
//!
//! A session moves only at a boundary and only when nothing pins it. Prepared statements move when they are next executed.

use std::fmt::Write as _;
use std::sync::atomic::Ordering;

use crate::backend::{Connection, Value, Wanted};
use crate::config::NAMES;
use crate::error::{BackendError, Ended};
use crate::sql::Pins;
use crate::wire::command;
use crate::wire::reply::{Change, code};

use super::{Session, Snapshot};

/// Variables that are carried in another way, or cannot be.
const LEFT: [&[u8]; 8] = [
    b"last_gtid",
    b"last_insert_id",
    b"identity",
    b"pseudo_thread_id",
    b"pseudo_slave_mode",
    b"warning_count",
    b"error_count",
    b"sql_log_bin",
];

const UNKNOWN_VARIABLE: u16 = 1193;

impl Session {
    /// Whether nothing ties the session to its connection.
    pub(super) fn is_movable(&self) -> bool {
        self.carried.pins.is_empty() && self.carried.cursors == 0 && self.statements.are_kept()
    }

    /// Whether a new connection would not differ from the old one.
    fn is_blank(&self) -> bool {
        !self.carried.inserted && self.carried.user_variables.is_empty() && self.carried.system_variables.is_empty()
    }

    /// Makes sure that the session is connected to where statements go now.
    pub(super) async fn arrive(&mut self) -> Result<(), Ended> {
        let epoch = self.shared.epoch();
        match &self.backend {
            Some(backend) if backend.epoch == epoch => return Ok(()),
            Some(_) if !self.is_movable() => return Err(self.strand("its session is pinned").await),
            Some(_) => self.take_snapshot().await,
            None => {}
        }
        if self.snapshot.is_none() && !self.is_blank() {
            return Err(self.strand("its old backend is gone").await);
        }
        let moves = self.connections > 0;
        if let Err(ended) = self.connect().await {
            self.shared.counters.unmoved.fetch_add(u64::from(moves), Ordering::Relaxed);
            return match ended {
                Ended::Backend(error) if moves => Err(self.tell(1, &error).await),
                other => Err(other),
            };
        }
        self.shared.counters.moved.fetch_add(u64::from(moves), Ordering::Relaxed);
        Ok(())
    }

    /// The session cannot go on: its statement was not sent, and the client hears so.
    async fn strand(&mut self, why: &'static str) -> Ended {
        self.shared.counters.unmoved.fetch_add(1, Ordering::Relaxed);
        let why = match why {
            "its session is pinned" => "Piton's gate: this session cannot move to the new backend; nothing was sent",
            _ => "Piton's gate: this session's old backend is gone; nothing was sent",
        };
        self.refuse(1, code::NEW_ABORTING, "08S01", why).await
    }

    /// Opens a connection where statements go and says to it what the old one knew.
    pub(super) async fn connect(&mut self) -> Result<(), Ended> {
        let epoch = self.shared.epoch();
        let database = self.snapshot.as_ref().map_or(&self.carried.database, |snapshot| &snapshot.database);
        let wanted = Wanted {
            identity: &self.login.identity,
            capabilities: self.login.capabilities,
            max_packet: self.login.max_packet,
            charset: self.login.charset,
            database,
            attributes: &self.login.attributes,
            client: self.slot.client,
            gate: self.local,
        };
        let mut new = Connection::open(self.shared.route(), &wanted).await?;
        self.connections += 1;
        new.epoch = epoch;
        new.serial = self.connections;
        if let Some(replay) = self.snapshot.as_ref().and_then(|snapshot| snapshot.replay.as_ref()) {
            new.ask(&format!("SET {replay}")).await?;
        }
        if let Some(id) = self.snapshot.as_ref().and_then(|snapshot| snapshot.last_insert_id.as_ref()) {
            // Not by the variable of that name, which TiDB takes without a word and forgets.
            new.ask(&format!("SELECT LAST_INSERT_ID({id})")).await?;
        }
        if let Some(option) = self.carried.option {
            let [low, high] = option.to_le_bytes();
            new.own(&[command::SET_OPTION, low, high]).await?;
        }
        self.slot.thread_id.store(new.thread_id, Ordering::SeqCst);
        self.slot.backend.store(new.index as u32, Ordering::SeqCst);
        // The old connection is closed here: it is at a boundary, so that nothing is lost with it.
        self.backend = Some(new);
        Ok(())
    }

    /// Asks the connection what it knows of its session, once.
    pub(super) async fn take_snapshot(&mut self) {
        if self.snapshot.is_some() {
            return;
        }
        let Some(backend) = &mut self.backend else { return };
        let system: Vec<String> = self.carried.system_variables.iter().filter_map(|name| plain_name(name)).collect();
        let users: Vec<String> = self.carried.user_variables.iter().map(|name| quoted_name(name)).collect();
        match ask(backend, &system, &users).await {
            Ok(snapshot) => self.snapshot = Some(snapshot),
            // Without an answer the connection is of no more use: whoever needs it finds it closed.
            Err(_) => self.backend = None,
        }
    }

    /// Notes what an answer said of the session.
    pub(super) fn carry(&mut self, changes: Vec<Change>) {
        for change in changes {
            match change {
                Change::Variable(name) => self.carry_variable(name),
                Change::Schema(name) => self.carried.database = name,
            }
        }
    }

    pub(super) fn carry_variable(&mut self, name: Vec<u8>) {
        if !LEFT.contains(&&name[..]) {
            self.carried.system_variables.insert(name);
        }
        self.bound_names();
    }

    pub(super) fn carry_user_variable(&mut self, name: &[u8]) {
        self.carried.user_variables.insert(name.to_vec());
        self.bound_names();
    }

    fn bound_names(&mut self) {
        for names in [&mut self.carried.user_variables, &mut self.carried.system_variables] {
            if names.len() > NAMES {
                names.pop_last();
                self.carried.pins.add(Pins::TOO_MUCH);
            }
        }
    }
}

/// A system variable's name, when it is one.
fn plain_name(name: &[u8]) -> Option<String> {
    let plain = !name.is_empty() && name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    plain.then(|| String::from_utf8_lossy(name).into_owned())
}

fn quoted_name(name: &[u8]) -> String {
    format!("@`{}`", String::from_utf8_lossy(name).replace("``", "`").replace('`', "``"))
}

async fn ask(backend: &mut Connection, system: &[String], users: &[String]) -> Result<Snapshot, BackendError> {
    let mut sql = "SELECT DATABASE(), LAST_INSERT_ID()".to_owned();
    for name in users {
        let _ = write!(sql, ", HEX({name}), CHARSET({name}), COLLATION({name}), {name}");
    }
    let mut system = system.to_vec();
    let together = system.iter().map(|name| format!(", @@session.{name}")).collect::<String>();
    let row = match backend.ask(&format!("{sql}{together}")).await {
        Err(BackendError::Said { code: UNKNOWN_VARIABLE, .. }) => {
            // Some name is no variable of this server: find out which, one by one.
            let mut values = Vec::new();
            let mut known = Vec::new();
            for name in system {
                match backend.ask(&format!("SELECT @@session.{name}")).await {
                    Ok(value) => {
                        values.extend(value);
                        known.push(name);
                    }
                    Err(BackendError::Said { .. }) => {}
                    Err(other) => return Err(other),
                }
            }
            system = known;
            let mut row = backend.ask(&sql).await?;
            row.extend(values);
            row
        }
        other => other?,
    };
    Ok(snapshot(row, users, &system))
}

/// Makes statements of what was answered.
fn snapshot(row: Vec<Value>, users: &[String], system: &[String]) -> Snapshot {
    let mut values = row.into_iter();
    let mut next = || values.next().unwrap_or_default();
    let database = next().1.unwrap_or_default();
    let last_insert_id = next().1.unwrap_or_default();
    let mut sets = Vec::new();
    for name in users {
        let (hex, charset, collation, value) = (next().1, next().1, next().1, next());
        sets.push(format!("{name} = {}", user_literal(hex, charset, collation, value)));
    }
    for name in system {
        sets.push(format!("@@session.{name} = {}", literal(next())));
    }
    let last_insert_id = String::from_utf8(last_insert_id).ok().filter(|id| id.parse().is_ok_and(|id: u64| id > 0));
    Snapshot { database, replay: (!sets.is_empty()).then(|| sets.join(", ")), last_insert_id }
}

/// The protocol's numbers of column types that are numbers.
mod kind {
    pub(super) const FLOAT: u8 = 4;
    pub(super) const DOUBLE: u8 = 5;

    pub(super) fn is_number(kind: u8) -> bool {
        matches!(kind, 0..=5 | 8 | 9 | 246)
    }
}

fn user_literal(hex: Option<Vec<u8>>, charset: Option<Vec<u8>>, collation: Option<Vec<u8>>, value: Value) -> String {
    let (Some(hex), Some(text)) = (hex, &value.1) else { return "NULL".to_owned() };
    if kind::is_number(value.0) {
        let number = String::from_utf8_lossy(text).into_owned();
        // Without an exponent it would come back as a decimal.
        let inexact = matches!(value.0, kind::FLOAT | kind::DOUBLE) && !number.contains('e');
        return if inexact { format!("{number}e0") } else { number };
    }
    let word = |name: Option<Vec<u8>>| name.and_then(|name| plain_name(&name));
    let hex = String::from_utf8_lossy(&hex).into_owned();
    match (word(charset), word(collation)) {
        (Some(charset), _) if charset == "binary" => format!("X'{hex}'"),
        (Some(charset), Some(collation)) => format!("_{charset} X'{hex}' COLLATE {collation}"),
        _ => format!("X'{hex}'"),
    }
}

fn literal((kind, value): Value) -> String {
    let Some(value) = value else { return "NULL".to_owned() };
    let text = String::from_utf8_lossy(&value);
    if kind::is_number(kind) {
        return text.into_owned();
    }
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some(text: &str) -> Option<Vec<u8>> {
        Some(text.as_bytes().to_vec())
    }

    #[test]
    fn what_a_session_knows_becomes_one_statement() {
        let row = vec![
            (253, some("shop")),
            (8, some("42")),
            (253, some("C3A9")),
            (253, some("utf8mb4")),
            (253, some("utf8mb4_bin")),
            (253, some("x")),
            (253, some("1")),
            (253, some("binary")),
            (253, some("binary")),
            (5, some("1.5")),
            (253, some("O'Neil\\")),
            (8, some("0")),
            (253, None),
        ];
        let names = ["sql_mode", "autocommit", "character_set_results"].map(str::to_owned);
        let snapshot = snapshot(row, &[quoted_name(b"a"), quoted_name(b"b`c")], &names);
        assert_eq!(snapshot.database, b"shop");
        assert_eq!(
            snapshot.replay.unwrap(),
            "@`a` = _utf8mb4 X'C3A9' COLLATE utf8mb4_bin, @`b``c` = 1.5e0, @@session.sql_mode = 'O''Neil\\\\', \
             @@session.autocommit = 0, @@session.character_set_results = NULL"
        );
        assert_eq!(snapshot.last_insert_id.as_deref(), Some("42"));
        assert_eq!(plain_name(b"a b"), None);
    }
}
