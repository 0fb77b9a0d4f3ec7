//! The source's log as changes, marks and ends of transactions.
//!
//! Every event is accounted for by its raw type: what is not known, or cannot be replayed exactly, halts (I8). A lost
//! connection is an error, never an end.
//!
//! Owns the connection to the log and the position in it. Never applies anything.

use std::collections::HashMap;

use futures_util::StreamExt;
use mysql_async::prelude::Queryable;
use mysql_async::{BinlogStream, BinlogStreamRequest, Conn};

use super::bytes::{Bytes, Short};
use super::heartbeat::{self, Mark};
use super::rows::{Change, Head, Unusable, Verb};
use super::statement::{self, Meaning};
use super::table_map::{Stored, TableMap};
use super::value::Unreadable;
use crate::config::{Config, TableName};
use crate::error::{MoveError, Result, Side};
use crate::position::Position;
use crate::schema::Table;

/// The server's code for a log that it cannot give: purged, or never there.
const LOG_GONE: u16 = 1236;
/// The source says that it lives after this long without an event.
const KEEPALIVE_NS: u64 = 1_000_000_000;

/// What the log says next.
#[derive(Debug)]
pub(crate) enum Item {
    Begin,
    /// Changes of one table, by its place in the list of moved tables.
    Changes(u32, Vec<Change>),
    Mark(Mark),
    /// The transaction ended here.
    Commit(Position),
    /// Outside a transaction, everything up to here has been read.
    Passed(Position),
}

/// Whose rows a table id announces.
enum Announced {
    Moved {
        table: u32,
        stored: Vec<Stored>,
    },
    Heartbeat {
        stored: Vec<Stored>,
    },
    /// It stands first in every transaction of a mover.
    Checkpoint,
    /// Another table of movers.
    Ours,
    Other,
}

/// An open log.
pub(crate) struct Log {
    stream: BinlogStream,
    name: String,
    tables: Vec<Table>,
    names: Vec<TableName>,
    heartbeat: Table,
    /// Table maps by id, each with the bytes it was read from: a server repeats them for every statement.
    announced: HashMap<u64, (Vec<u8>, Announced)>,
    position: Position,
    /// File names in events are exact only once the log's own description has been read.
    described: bool,
    inside: bool,
    /// The transaction writes a checkpoint of ours: it is another mover's work, not the application's (I9).
    own: bool,
    /// Something that no mover wrote stands in the transaction being read; and where the last such thing ended.
    is_foreign: bool,
    foreign: Position,
    /// A transaction that ends without a COMMIT of its own: a definition.
    standalone: bool,
}

impl Log {
    /// Opens the log at `from`. `tables` in the order by which changes name them.
    pub(crate) async fn open(
        mut conn: Conn,
        config: &Config,
        tables: Vec<Table>,
        heartbeat: Table,
        from: Position,
    ) -> Result<Self> {
        let failed = || MoveError::server(Side::Source, "open its log");
        // 4: we know MariaDB's own events. Without it the server rewrites them, and hides what XA transactions are.
        conn.query_drop(format!("SET @mariadb_slave_capability = 4, @master_heartbeat_period = {KEEPALIVE_NS}"))
            .await
            .map_err(failed())?;
        let request =
            BinlogStreamRequest::new(config.server_id).with_filename(from.file.as_bytes()).with_pos(from.offset);
        let stream = conn.get_binlog_stream(request).await.map_err(failed())?;
        Ok(Self {
            stream,
            name: config.name.clone(),
            names: tables.iter().map(|table| table.name.clone()).collect(),
            tables,
            heartbeat,
            announced: HashMap::new(),
            is_foreign: false,
            foreign: from.clone(),
            position: from,
            described: false,
            inside: false,
            own: false,
            standalone: false,
        })
    }

    /// The next thing the log says. Not safe to cancel within: an event could be lost.
    pub(crate) async fn next(&mut self) -> Result<Item> {
        loop {
            let event = match self.stream.next().await {
                Some(Err(mysql_async::Error::Server(error))) if error.code == LOG_GONE => {
                    return Err(MoveError::halt(
                        format!("the source cannot give its log from {}: {}", self.position, error.message),
                        "the log that the move needs is gone: keep it for longer, and begin the move anew",
                    ));
                }
                Some(event) => event.map_err(MoveError::server(Side::Source, "read its log"))?,
                None => {
                    let end = mysql_async::IoError::Io(std::io::ErrorKind::UnexpectedEof.into());
                    return Err(MoveError::server(Side::Source, "read its log")(end.into()));
                }
            };
            let header = event.header();
            let kind = header.event_type_raw();
            let end = u64::from(header.log_pos());
            let item = self.take(kind, event.data()).map_err(|error| error.at(&self.position))?;
            // Events made up by the server while sending (a first rotation, keepalives) carry no place of their own.
            let real = end != 0 && !matches!(kind, kinds::ROTATE | kinds::FORMAT | kinds::KEEPALIVE);
            if real {
                self.position.offset = end;
                if self.is_foreign && (!self.inside || matches!(item, Some(Item::Commit(_)))) {
                    self.is_foreign = false;
                    self.foreign.clone_from(&self.position);
                }
            }
            match item {
                Some(Item::Commit(_)) => return Ok(Item::Commit(self.position.clone())),
                Some(item) => return Ok(item),
                None if real && !self.inside => return Ok(Item::Passed(self.position.clone())),
                None => {}
            }
        }
    }

    /// The end of the last thing read that no mover wrote.
    pub(crate) fn foreign(&self) -> &Position {
        &self.foreign
    }

    fn take(&mut self, kind: u8, data: &[u8]) -> Result<Option<Item>> {
        match kind {
            kinds::FORMAT => self.described = true,
            kinds::ROTATE => self.rotate(data)?,
            kinds::STOP | kinds::KEEPALIVE | kinds::PREVIOUS_GTIDS | kinds::ANNOTATE => {}
            kinds::CHECKPOINT | kinds::GTID_LIST | kinds::START_ENCRYPTION | kinds::ROWS_QUERY => {}
            kinds::GTID_LOG | kinds::ANONYMOUS_GTID => {}
            kinds::MARIADB_GTID => return self.mariadb_gtid(data),
            kinds::QUERY => return self.query(data),
            kinds::XID => return Ok(self.end()),
            kinds::TABLE_MAP => self.announce(data)?,
            23 => return self.rows(data, Verb::Write, 1),
            24 => return self.rows(data, Verb::Update, 1),
            25 => return self.rows(data, Verb::Delete, 1),
            30 => return self.rows(data, Verb::Write, 2),
            31 => return self.rows(data, Verb::Update, 2),
            32 => return self.rows(data, Verb::Delete, 2),
            unknown => return Err(refuse(unknown)),
        }
        Ok(None)
    }

    fn rotate(&mut self, data: &[u8]) -> Result<()> {
        if !self.described {
            return Ok(());
        }
        let mut bytes = Bytes(data);
        let offset = bytes.little(8).map_err(short)?;
        let file = String::from_utf8_lossy(bytes.0).into_owned();
        // The server repeats the rotation when it opens the next file.
        if file != self.position.file {
            self.position = Position { file, offset };
            self.announced.clear();
        }
        Ok(())
    }

    fn mariadb_gtid(&mut self, data: &[u8]) -> Result<Option<Item>> {
        const STANDALONE: u64 = 1;
        const PREPARED_XA: u64 = 64;
        const COMPLETED_XA: u64 = 128;
        let mut bytes = Bytes(data);
        bytes.take(12).map_err(short)?;
        let flags = bytes.little(1).map_err(short)?;
        if flags & (PREPARED_XA | COMPLETED_XA) != 0 {
            return Err(refuse(kinds::XA_PREPARE));
        }
        self.standalone = flags & STANDALONE != 0;
        if self.standalone {
            return Ok(None);
        }
        Ok(self.begin())
    }

    fn begin(&mut self) -> Option<Item> {
        let first = !self.inside;
        self.inside = true;
        first.then_some(Item::Begin)
    }

    fn end(&mut self) -> Option<Item> {
        let was = std::mem::take(&mut self.inside);
        self.own = false;
        was.then(|| Item::Commit(Position::default()))
    }

    fn query(&mut self, data: &[u8]) -> Result<Option<Item>> {
        let (schema, text) = parse_query(data).map_err(short)?;
        match statement::meaning(&schema, text, &self.names) {
            Meaning::Begin => Ok(self.begin()),
            Meaning::Commit => Ok(self.end()),
            Meaning::Rollback => Err(MoveError::halt(
                "a transaction that wrote to a non-transactional table was rolled back",
                "let no transaction mix engines while a move runs; begin the move anew",
            )),
            Meaning::Passing => {
                self.is_foreign = true;
                self.standalone = false;
                Ok(None)
            }
            Meaning::Halting { what, remedy } => Err(MoveError::halt(what, remedy)),
        }
    }

    fn announce(&mut self, data: &[u8]) -> Result<()> {
        let id = Bytes(data).little(6).map_err(short)?;
        if self.announced.get(&id).is_some_and(|(known, _)| known == data) {
            return Ok(());
        }
        let map = TableMap::parse(data).map_err(short)?;
        let place = self.names.iter().position(|name| name.schema == map.schema && name.name == map.name);
        let announced = if let Some(place) = place {
            if let Some(drift) = map.drift(&self.tables[place]) {
                return Err(MoveError::halt(
                    format!("table {} has changed its shape: {drift}", self.names[place]),
                    "make both sides alike and begin the move of this table anew",
                ));
            }
            let table = u32::try_from(place).unwrap_or(u32::MAX);
            Announced::Moved { table, stored: map.columns }
        } else if map.schema == heartbeat::SCHEMA && map.name == self.heartbeat.name.name {
            Announced::Heartbeat { stored: map.columns }
        } else {
            match (map.schema == heartbeat::SCHEMA, map.name == crate::checkpoint::LANES) {
                (true, true) => Announced::Checkpoint,
                (true, false) => Announced::Ours,
                (false, _) => Announced::Other,
            }
        };
        self.announced.insert(id, (data.to_vec(), announced));
        Ok(())
    }

    fn rows(&mut self, data: &[u8], verb: Verb, version: u8) -> Result<Option<Item>> {
        let head = Head::parse(data, verb, version).map_err(short)?;
        let Some((_, announced)) = self.announced.get(&head.table_id) else {
            return Err(MoveError::halt("rows of a table that the log has not described", "begin the move anew"));
        };
        self.is_foreign |= !self.own && matches!(announced, Announced::Moved { .. } | Announced::Other);
        match announced {
            Announced::Other | Announced::Ours => Ok(None),
            Announced::Checkpoint => {
                self.own = true;
                Ok(None)
            }
            Announced::Moved { .. } if self.own => Ok(None),
            Announced::Moved { table, stored } => {
                let shape = &self.tables[*table as usize];
                let changes = head.changes(verb, stored, shape).map_err(|why| unusable(why, &shape.name))?;
                Ok(Some(Item::Changes(*table, changes)))
            }
            Announced::Heartbeat { stored } => {
                let changes =
                    head.changes(verb, stored, &self.heartbeat).map_err(|why| unusable(why, &self.heartbeat.name))?;
                let mark =
                    changes.iter().filter_map(|change| heartbeat::read(change.after.as_ref()?, &self.name)).next_back();
                Ok(mark.map(Item::Mark))
            }
        }
    }
}

fn parse_query(data: &[u8]) -> std::result::Result<(String, &[u8]), Short> {
    let mut bytes = Bytes(data);
    bytes.take(8)?;
    let schema = usize::try_from(bytes.little(1)?).map_err(|_| Short)?;
    bytes.take(2)?;
    let variables = usize::try_from(bytes.little(2)?).map_err(|_| Short)?;
    bytes.take(variables)?;
    let schema = String::from_utf8_lossy(bytes.take(schema)?).into_owned();
    bytes.take(1)?;
    Ok((schema, bytes.0))
}

fn short(_: Short) -> MoveError {
    MoveError::halt("an event is shorter than it says", "check the source's log (mariadb-binlog reads it)")
}

fn unusable(why: Unusable, table: &TableName) -> MoveError {
    match why {
        Unusable::Unreadable(Unreadable::Short) => short(Short),
        Unusable::Unreadable(Unreadable::Unknown(kind)) => MoveError::halt(
            format!("a value of {table} is stored in a format the mover does not know (type {kind})"),
            "rebuild the table (ALTER TABLE ... FORCE) so that its columns are stored in today's formats",
        ),
        Unusable::Missing(column) => MoveError::halt(
            format!("a change of {table} does not show column {column}"),
            "set binlog_row_image = FULL for every session on the source and begin the move anew",
        ),
    }
}

/// Events that cannot be gone past, each with what to do.
fn refuse(kind: u8) -> MoveError {
    let rows = "set binlog_format = ROW for every session on the source and begin the move anew";
    let (what, remedy) = match kind {
        kinds::XA_PREPARE => {
            ("an XA transaction".to_owned(), "end XA transactions on the source and begin the move anew")
        }
        5 | 13 | 14 | 17 | 18 => (format!("a change logged as a statement (event type {kind})"), rows),
        165..=169 => (
            format!("a compressed event (type {kind})"),
            "set log_bin_compress = OFF on the source, rotate its log, and begin the move anew",
        ),
        40 => (
            "a compressed transaction".to_owned(),
            "set binlog_transaction_compression = OFF for every session and begin the move anew",
        ),
        39 => (
            "a partial JSON update".to_owned(),
            "set binlog_row_value_options = '' for every session and begin the move anew",
        ),
        26 => ("an incident: the source lost events".to_owned(), "begin the move anew"),
        unknown => (
            format!("an event of a type the mover does not know ({unknown})"),
            "find out what writes it; the mover goes past nothing it does not know",
        ),
    };
    MoveError::halt(what, remedy)
}

mod kinds {
    //! Types of events: `Log_event_type` of MariaDB's `sql/log_event.h`.
    pub(super) const QUERY: u8 = 2;
    pub(super) const STOP: u8 = 3;
    pub(super) const ROTATE: u8 = 4;
    pub(super) const FORMAT: u8 = 15;
    pub(super) const XID: u8 = 16;
    pub(super) const TABLE_MAP: u8 = 19;
    pub(super) const KEEPALIVE: u8 = 27;
    pub(super) const ROWS_QUERY: u8 = 29;
    pub(super) const GTID_LOG: u8 = 33;
    pub(super) const ANONYMOUS_GTID: u8 = 34;
    pub(super) const PREVIOUS_GTIDS: u8 = 35;
    pub(super) const XA_PREPARE: u8 = 38;
    pub(super) const ANNOTATE: u8 = 160;
    pub(super) const CHECKPOINT: u8 = 161;
    pub(super) const MARIADB_GTID: u8 = 162;
    pub(super) const GTID_LIST: u8 = 163;
    pub(super) const START_ENCRYPTION: u8 = 164;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_replayed_is_named_with_its_remedy() {
        for (kind, word) in [(38, "XA"), (13, "statement"), (166, "compressed"), (200, "does not know (200)")] {
            let halt = refuse(kind).at(&Position::new("binlog.000007", 420)).to_string();
            assert!(halt.contains(word) && halt.contains("binlog.000007:420"), "{halt}");
        }
    }
}
