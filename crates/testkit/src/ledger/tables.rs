//! The ledger's tables.
//!
//! Owns their definition. The id of an entry has no unique key on purpose: the service must keep it unique by itself,
//! and the checker can see where it did not. Never changes existing tables.

use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use super::LedgerError;
use crate::endpoint::Account;

/// How many accounts money moves between; few enough that writers meet on the same rows.
pub const ACCOUNTS: u32 = 64;

const DEFINITIONS: [&str; 2] = [
    "create table if not exists ledger_accounts (
        id int unsigned not null primary key,
        balance bigint not null default 0
    ) engine = InnoDB",
    "create table if not exists ledger_entries (
        seq bigint unsigned not null auto_increment primary key,
        id varchar(48) character set ascii collate ascii_bin not null,
        debit int unsigned not null,
        credit int unsigned not null,
        amount bigint not null,
        written_at datetime(6) not null default current_timestamp(6),
        key by_id (id),
        key by_debit (debit),
        key by_credit (credit),
        constraint ledger_debit foreign key (debit) references ledger_accounts (id),
        constraint ledger_credit foreign key (credit) references ledger_accounts (id),
        constraint ledger_moves check (debit <> credit and amount > 0)
    ) engine = InnoDB",
];

/// Creates the tables and the accounts where they are not there yet.
///
/// # Errors
/// When the server cannot be reached or refuses.
pub fn prepare(address: &str, account: &Account) -> Result<(), LedgerError> {
    let runtime = runtime()?;
    runtime.block_on(async {
        let mut conn = Conn::new(account.options(address)?).await.map_err(LedgerError::database("connect"))?;
        for definition in DEFINITIONS {
            conn.query_drop(definition).await.map_err(LedgerError::database("create the ledger's tables"))?;
        }
        let accounts: Vec<(u32,)> = (1..=ACCOUNTS).map(|id| (id,)).collect();
        conn.exec_batch("insert ignore into ledger_accounts (id) values (?)", accounts)
            .await
            .map_err(LedgerError::database("create the ledger's accounts"))?;
        conn.disconnect().await.map_err(LedgerError::database("say goodbye"))
    })
}

pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, LedgerError> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(LedgerError::io("start a runtime"))
}
