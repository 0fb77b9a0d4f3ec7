//! The registers of both servers, as others than a mover see them: gates that hold, and whoever asks which side is true.
//!
//! Owns sessions of its own with both servers; one whose answer did not come in time is never used again. Decides
//! nothing: `holding` does. Commits nothing.

use std::time::Duration;

use mysql_async::Opts;
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::drive::{Driver, Plan};
use super::holding::{self, GateAct, Looks};
use super::link::{Fault, Link};
use super::register::{Attempt, Change, Row, Server, State};
use super::steps::Goal;
use super::table::Table;
use crate::error::Side;
use crate::position::Position;

/// A register answers within this, or says nothing this time.
const ANSWER_TIME: Duration = Duration::from_secs(1);

/// What a look brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Looked {
    /// The server of this epoch is true and open.
    Open(u64),
    /// Both registers answer, and no server is true and open yet; why.
    Undecided(String),
    /// A register does not answer, and the other does not suffice; why.
    Unknown(String),
}

/// What both registers say; why one says nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Both {
    pub first: Result<Row, String>,
    pub second: Result<Row, String>,
}

impl Both {
    fn looks(&self) -> Looks {
        Looks { first: self.first.clone().ok(), second: self.second.clone().ok() }
    }

    /// Which server is true now; a gate that starts does what this says.
    #[must_use]
    pub fn truth(&self) -> Looked {
        match holding::started(false, self.looks()) {
            GateAct::Open(epoch) => Looked::Open(epoch),
            _ => self.not_open(),
        }
    }

    /// Why no server is known to be true and open.
    fn not_open(&self) -> Looked {
        let (first, second) = match (&self.first, &self.second) {
            (Ok(first), Ok(second)) => (first, second),
            (Err(why), _) | (_, Err(why)) => return Looked::Unknown(why.clone()),
        };
        let Row { attempt: Attempt { epoch, number }, state } = *first.max(second);
        Looked::Undecided(match state {
            State::Open => format!("attempt {number} at epoch {epoch} is open"),
            State::Aborted => format!("attempt {number} at epoch {epoch} is aborted, and the old side not open yet"),
            State::Committed => format!("epoch {epoch} is committed, and the new side not open yet"),
            State::Reopened => format!("attempt {number} at epoch {epoch} is over"),
        })
    }
}

/// Both registers of one move.
pub struct Registers {
    name: String,
    table: Table,
    first: Kept,
    second: Kept,
}

/// A server, and the session that is kept with it.
struct Kept {
    url: String,
    session: Mutex<Option<Link>>,
}

impl std::fmt::Debug for Registers {
    /// Without the addresses, which hold passwords.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Registers").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Kept {
    fn new(url: String) -> Self {
        Self { url, session: Mutex::new(None) }
    }

    fn who(&self) -> String {
        match crate::session::options(&self.url).map(Opts::from) {
            Ok(opts) => format!("{}:{}", opts.ip_or_hostname(), opts.tcp_port()),
            Err(_) => "the server".to_owned(),
        }
    }

    async fn row(&self, table: &Table) -> Result<Row, String> {
        let mut kept = self.session.lock().await;
        // Taken out meanwhile: a session whose answer nobody waited for is dropped with it.
        let session = kept.take();
        let work = async {
            let mut session = match session {
                Some(session) => session,
                None => Link::open(Side::Source, &self.url).await?,
            };
            let row = table.read(&mut session).await?;
            *kept = Some(session);
            Ok(row)
        };
        let read: Result<Row, Fault> =
            timeout(ANSWER_TIME, work).await.unwrap_or_else(|_| Err(Fault::Lost("no answer".to_owned())));
        read.map_err(|(Fault::No(why) | Fault::Lost(why))| format!("the register of {}: {why}", self.who()))
    }
}

impl Registers {
    /// Of the move `name`; `first`: `mysql://user:password@host:port/` of the server that is true before any epoch. The
    /// account may read and write the register on both; to open the source again after an abort it also needs what that
    /// takes: `docs/gate.md` has the grants.
    #[must_use]
    pub fn new(name: &str, first: &str, second: &str) -> Self {
        let (first, second) = (Kept::new(first.to_owned()), Kept::new(second.to_owned()));
        Self { table: Table::new(name), name: name.to_owned(), first, second }
    }

    fn of(&self, server: Server) -> &Kept {
        match server {
            Server::First => &self.first,
            Server::Second => &self.second,
        }
    }

    /// Reads both at the same time.
    pub async fn read(&self) -> Both {
        let (first, second) = tokio::join!(self.first.row(&self.table), self.second.row(&self.table));
        Both { first, second }
    }

    /// Where a gate may let things pass. `hold`: the attempt that it holds for. When it is `late`, this tries to abort,
    /// and then to open the source of the aborted attempt; a look after it tells what came of it. Dropping it half way
    /// is as good as a death.
    pub async fn look(&self, hold: Option<Attempt>, late: bool) -> Looked {
        let both = self.read().await;
        let act = match hold {
            Some(hold) => holding::held(hold, late, both.looks()),
            None => holding::started(late, both.looks()),
        };
        let done = match act {
            GateAct::Open(epoch) => return Looked::Open(epoch),
            GateAct::Keep => Ok(()),
            GateAct::Abort(attempt) => self.abort(attempt).await,
            GateAct::Reopen(attempt) => self.reopen(attempt).await,
        };
        match done {
            Ok(()) => both.not_open(),
            Err(Fault::No(why) | Fault::Lost(why)) => Looked::Unknown(why),
        }
    }

    async fn abort(&self, attempt: Attempt) -> Result<(), Fault> {
        let server = self.of(attempt.source());
        let mut link = Link::open(Side::Source, &server.url).await?;
        let flushed: Option<u64> = link.first("SELECT @@GLOBAL.innodb_flush_log_at_trx_commit").await?;
        if flushed != Some(1) {
            // An abort that a crash could take back is none.
            let why = format!("{} does not flush at commit (innodb_flush_log_at_trx_commit)", server.who());
            return Err(Fault::No(why));
        }
        self.table.change(&mut link, attempt, Change::Abort).await.map(drop)
    }

    async fn reopen(&self, attempt: Attempt) -> Result<(), Fault> {
        let mut link = Link::open(Side::Source, &self.of(attempt.source()).url).await?;
        let accounts = self.table.accounts(&mut link).await?;
        let plan = Plan::without_hold(&self.name, attempt.epoch, (&self.first.url, &self.second.url), accounts);
        drop(link);
        Driver::new(plan, Vec::new()).run(Goal::Reopen).await;
        Ok(())
    }

    /// From where the way back of an epoch is to read its target's log: the position before the application's first
    /// write there.
    ///
    /// # Errors
    /// When the epoch's source cannot be read.
    pub async fn reverse(&self, epoch: u64) -> Result<Option<Position>, Fault> {
        let mut link = Link::open(Side::Source, &self.of(Server::of(epoch).other()).url).await?;
        self.table.reverse(&mut link).await
    }
}
