//! One writer of the ledger: one transfer after another, each until it is acknowledged.
//!
//! Owns the transfer's transaction and the reading of its failures. A write that may have happened is looked for before it
//! is tried again, and is never sent twice blindly.

use std::sync::atomic::Ordering;
use std::time::Duration;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error, Transaction, TxOpts};

use super::LedgerError;
use super::records::{Kind, Records};
use super::service::Shared;
use super::tables::ACCOUNTS;
use crate::endpoint::CONNECT_LIMIT;

/// An answer that takes longer is taken for lost.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);
/// The first pause after a failed attempt, doubled up to the longest.
const BACKOFF: Duration = Duration::from_millis(10);
const LONGEST_BACKOFF: Duration = Duration::from_millis(100);

const DEADLOCK: u16 = 1213;
const LOCK_WAIT_TIMEOUT: u16 = 1205;
/// `--read-only` refused the commit: the server rolled the transaction back.
const READ_ONLY: u16 = 1290;

struct Transfer {
    id: String,
    debit: u32,
    credit: u32,
    amount: i64,
}

/// Why an attempt gave no acknowledgement.
struct Setback {
    kind: Kind,
    code: u16,
    message: String,
}

/// What an attempt gave when it did: the write is there, and this attempt made it or found it.
enum Written {
    Now,
    Before,
}

pub(super) struct Client<'a> {
    shared: &'a Shared,
    number: usize,
    sequence: u64,
    random: u64,
    connection: Option<(u64, String, Conn)>,
}

impl<'a> Client<'a> {
    pub(super) fn new(shared: &'a Shared, number: usize) -> Self {
        // Any odd seed that differs between clients will do: the amounts need variety, not secrecy.
        let random = (number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        Self { shared, number, sequence: 0, random, connection: None }
    }

    /// Writes until the service stops.
    pub(super) async fn run(mut self) -> Result<(), LedgerError> {
        while !self.shared.stopping() {
            let transfer = self.next_transfer();
            self.write(&transfer).await?;
            tokio::time::sleep(self.shared.pause()).await;
        }
        if let Some((_, _, conn)) = self.connection.take() {
            // The service ends: whether the server hears a goodbye changes nothing.
            let _ = conn.disconnect().await;
        }
        Ok(())
    }

    /// Tries until the transfer is acknowledged, or the service has stopped and its grace is over.
    async fn write(&mut self, transfer: &Transfer) -> Result<(), LedgerError> {
        let mut maybe_there = false;
        let mut backoff = BACKOFF;
        loop {
            let setback = match self.attempt(transfer, maybe_there).await {
                Ok((written, address)) => {
                    let found = matches!(written, Written::Before);
                    return self.shared.records.acknowledge(&transfer.id, found, &address);
                }
                Err(setback) => setback,
            };
            maybe_there |= setback.kind == Kind::Indeterminate;
            self.shared.records.fail(&transfer.id, setback.kind, setback.code, &setback.message)?;
            if setback.kind != Kind::Conflict {
                self.connection = None;
                self.shared.endpoint.refresh();
            }
            if self.shared.grace_is_over() {
                return self.shared.records.fail(&transfer.id, Kind::Unresolved, 0, "the service stopped");
            }
            tokio::time::sleep(backoff).await;
            backoff = (backoff * 2).min(LONGEST_BACKOFF);
        }
    }

    async fn attempt(&mut self, transfer: &Transfer, maybe_there: bool) -> Result<(Written, String), Setback> {
        let (epoch, address) = self.shared.endpoint.current();
        if self.connection.as_ref().is_none_or(|(mine, _, _)| *mine != epoch) {
            self.connection = None;
            let options =
                self.shared.account.options(&address).map_err(|error| Setback::plain(Kind::Connect, &error))?;
            let conn = match tokio::time::timeout(CONNECT_LIMIT, Conn::new(options)).await {
                Ok(Ok(conn)) => conn,
                Ok(Err(error)) => return Err(Setback::of(Kind::Connect, &error)),
                Err(late) => return Err(Setback::plain(Kind::Connect, &late)),
            };
            self.connection = Some((epoch, address, conn));
        }
        let Some((_, address, conn)) = self.connection.as_mut() else {
            return Err(Setback { kind: Kind::Connect, code: 0, message: "no connection".to_owned() });
        };
        let written = transact(&self.shared.records, conn, transfer, maybe_there).await?;
        Ok((written, address.clone()))
    }

    fn next_transfer(&mut self) -> Transfer {
        self.sequence += 1;
        let id = format!("{}-{}-{}", self.shared.session, self.number, self.sequence);
        let debit = self.roll(ACCOUNTS) + 1;
        // A step of 1 to ACCOUNTS - 1 round the circle never comes back to the same account.
        let credit = (debit - 1 + 1 + self.roll(ACCOUNTS - 1)) % ACCOUNTS + 1;
        let amount = i64::from(self.roll(100_000)) + 1;
        Transfer { id, debit, credit, amount }
    }

    /// A number below `limit` (xorshift64, Marsaglia 2003).
    fn roll(&mut self, limit: u32) -> u32 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        u32::try_from(self.random % u64::from(limit)).unwrap_or(0)
    }
}

/// One transaction: look if it may be there already, insert the entry, move the balances, commit.
async fn transact(
    records: &Records,
    conn: &mut Conn,
    transfer: &Transfer,
    maybe_there: bool,
) -> Result<Written, Setback> {
    let work = async {
        let mut transaction = records.timed(conn.start_transaction(TxOpts::default())).await?;
        // The locking read waits for a dead connection's transaction that still holds this id: its answer is final.
        if maybe_there && is_there(&mut transaction, &transfer.id).await? {
            transaction.rollback().await?;
            return Ok(None);
        }
        insert(records, &mut transaction, transfer).await?;
        Ok::<_, Error>(Some(transaction))
    };
    let transaction = match tokio::time::timeout(ANSWER_LIMIT, work).await {
        Ok(Ok(Some(transaction))) => transaction,
        Ok(Ok(None)) => return Ok(Written::Before),
        Ok(Err(error)) => return Err(Setback::before_commit(&error)),
        Err(late) => return Err(Setback::plain(Kind::Lost, &late)),
    };
    match records.timed(tokio::time::timeout(ANSWER_LIMIT, transaction.commit())).await {
        Ok(Ok(())) => Ok(Written::Now),
        Ok(Err(error)) => Err(Setback::at_commit(&error)),
        Err(late) => Err(Setback::plain(Kind::Indeterminate, &late)),
    }
}

async fn is_there(transaction: &mut Transaction<'_>, id: &str) -> Result<bool, Error> {
    let found: Option<u64> =
        transaction.exec_first("select seq from ledger_entries where id = ? for update", (id,)).await?;
    Ok(found.is_some())
}

async fn insert(records: &Records, transaction: &mut Transaction<'_>, transfer: &Transfer) -> Result<(), Error> {
    // Balances first, in the order of their ids: no two transfers wait for each other in a circle.
    let change = "update ledger_accounts set balance = balance + ? where id = ?";
    let mut changes = [(-transfer.amount, transfer.debit), (transfer.amount, transfer.credit)];
    changes.sort_by_key(|(_, id)| *id);
    for (amount, id) in changes {
        records.timed(transaction.exec_drop(change, (amount, id))).await?;
    }
    let entry = "insert into ledger_entries (id, debit, credit, amount) values (?, ?, ?, ?)";
    let values = (&transfer.id, transfer.debit, transfer.credit, transfer.amount);
    records.timed(transaction.exec_drop(entry, values)).await
}

impl Setback {
    fn of(kind: Kind, error: &Error) -> Self {
        let code = if let Error::Server(server) = error { server.code } else { 0 };
        Self { kind, code, message: error.to_string() }
    }

    fn plain(kind: Kind, error: &dyn std::error::Error) -> Self {
        Self { kind, code: 0, message: error.to_string() }
    }

    fn before_commit(error: &Error) -> Self {
        let kind = match error {
            Error::Server(server) if matches!(server.code, DEADLOCK | LOCK_WAIT_TIMEOUT) => Kind::Conflict,
            Error::Server(_) => Kind::Refused,
            _ => Kind::Lost,
        };
        Self::of(kind, error)
    }

    /// Only answers that are known to roll back count as a refusal; any other failed commit may have happened.
    fn at_commit(error: &Error) -> Self {
        let kind = match error {
            Error::Server(server) if matches!(server.code, DEADLOCK | LOCK_WAIT_TIMEOUT) => Kind::Conflict,
            Error::Server(server) if server.code == READ_ONLY => Kind::Refused,
            _ => Kind::Indeterminate,
        };
        Self::of(kind, error)
    }
}

impl Shared {
    fn stopping(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}
