//! What is looked at before a move begins: each check with its message and its remedy.
//!
//! Owns the order of the checks and what they found. Changes nothing on either server. A move begins only when no check
//! refuses it.

mod source;
mod tables;
pub(crate) mod target;

use mysql_async::Conn;

use crate::config::Config;
use crate::error::{MoveError, Result, Side};
use crate::schema::{self, Dialect, Table};

/// Why a move cannot begin, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Which check: its name in the tables below.
    pub check: &'static str,
    /// The table concerned, or the server.
    pub subject: String,
    pub what: String,
    pub remedy: &'static str,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}: {} ({}); {}", self.subject, self.what, self.check, self.remedy)
    }
}

/// What the preflight found.
#[derive(Debug, Clone, Default)]
pub struct Preflight {
    pub refusals: Vec<Refusal>,
    /// What does not prevent the move, but must be seen to before the cutover.
    pub notes: Vec<Refusal>,
    /// The source's own guess of the rows to copy, and of their bytes.
    pub estimated_rows: u64,
    pub estimated_bytes: u64,
}

impl Preflight {
    fn refuse(&mut self, check: &'static str, subject: &str, what: String, remedy: &'static str) {
        self.refusals.push(Refusal { check, subject: subject.to_owned(), what, remedy });
    }

    fn note(&mut self, check: &'static str, subject: &str, what: String, remedy: &'static str) {
        self.notes.push(Refusal { check, subject: subject.to_owned(), what, remedy });
    }
}

/// What a mover goes by after its preflight.
pub(crate) struct Looked {
    pub(crate) found: Preflight,
    pub(crate) tables: Vec<Table>,
    pub(crate) dialect: Dialect,
    /// Bytes of one transaction of the target at most.
    pub(crate) split_bytes: Option<usize>,
}

/// Looks at both servers. `to_come`: tables that are not on the target yet are judged as if they were there, like on the
/// source.
///
/// # Errors
/// When a server cannot be reached or read. What is wrong with the move itself is in the result.
pub async fn preflight(config: &Config, to_come: bool) -> std::result::Result<Preflight, MoveError> {
    let mut source = crate::session::open(Side::Source, &config.source).await?;
    let mut target = crate::session::open(Side::Target, &config.target).await?;
    let mode = if to_come { Mode::ToCome } else { Mode::There };
    look(config, &mut source, &mut target, mode).await.map(|looked| looked.found)
}

/// What the target's tables are to a look at them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// They will be made like the source's where they are not there.
    ToCome,
    /// They are there, and empty unless the move goes on.
    There,
    /// They are equal to the source's already.
    Armed,
}

/// The same with open sessions; gives the tables' shapes too. An armed feed is like a move that goes on.
pub(crate) async fn look(config: &Config, source: &mut Conn, target: &mut Conn, mode: Mode) -> Result<Looked> {
    let mut found = Preflight::default();
    configuration(config, &mut found);
    let is_mariadb = source::settings(source, &mut found).await?;
    let dialect = crate::session::dialect(target, Side::Target).await?;
    let takes = target::takes(target, dialect).await?;
    target::settings(target, config, &takes, &mut found).await?;
    let general = tables::General {
        is_mariadb,
        tidb: dialect == Dialect::TiDb,
        resumed: mode == Mode::Armed || crate::checkpoint::exists(target, config).await?,
        row_limit: takes.row,
    };
    let mut shapes = Vec::with_capacity(config.tables.len());
    for name in &config.tables {
        let both = (schema::read(source, Side::Source, name).await?, schema::read(target, Side::Target, name).await?);
        let (ours, theirs, is_there) = match both {
            (Some(ours), Some(theirs)) => (ours, theirs, true),
            (Some(ours), None) if mode == Mode::ToCome => (ours.clone(), ours, false),
            (ours, _) => {
                let missing = if ours.is_some() { "target" } else { "source" };
                let what = format!("it is not on the {missing}");
                found.refuse("exists", &name.to_string(), what, "create it on the target as it is on the source");
                continue;
            }
        };
        let about = tables::about((&mut *source, &mut *target), (&ours, &theirs, is_there), &general).await?;
        let pair = tables::Pair { source: &ours, target: &theirs, about: &about };
        for (check, look, remedy) in tables::CHECKS {
            if let Some(what) = look(&pair) {
                found.refuse(check, &name.to_string(), what, remedy);
            }
        }
        found.estimated_rows += ours.estimated_rows;
        found.estimated_bytes += ours.estimated_rows * ours.average_row_bytes;
        shapes.push(ours);
    }
    let bytes = found.estimated_bytes;
    source::notes(source, config, bytes, &mut found).await?;
    let limit = takes.transaction.map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
    Ok(Looked { found, tables: shapes, dialect, split_bytes: config.limits.split_bytes.or(limit) })
}

fn configuration(config: &Config, found: &mut Preflight) {
    let limits = &config.limits;
    let wrong = [
        (config.name.is_empty() || config.name.len() > 64, "the move's name has no or more than 64 bytes"),
        (config.tables.is_empty(), "no table is named"),
        (limits.lanes == 0 || limits.copiers == 0, "there must be at least one lane and one copier"),
        (limits.chunk_rows == 0 || limits.chunk_bytes == 0, "a chunk must hold something"),
        (limits.part_bytes > limits.queue_bytes, "a part must fit into the queue"),
    ];
    for (_, what) in wrong.into_iter().filter(|(wrong, _)| *wrong) {
        let remedy = "change the move's configuration";
        found.refuse("configuration", "move", what.to_owned(), remedy);
    }
}
