//! The application's accounts, made on the target as they are on the source.
//!
//! Owns reading an account's password hash and rights, and making it with them. A hash goes from server to server and is never
//! shown. Rights beyond the moved schemas are left out and told: they belong to the platform, not to the service. An account
//! that is there already is not changed, only told about.

use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use crate::config::TableName;
use crate::cutover::Account;
use crate::error::{MoveError, Result, Side};
use crate::schema::Dialect;
use crate::session;

/// What became of an account on the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copied {
    pub account: Account,
    /// It was not there before.
    pub made: bool,
    /// Rights on the moved schemas, as statements would grant them, without the account.
    pub rights: Vec<String>,
    /// Rights of the source's account that the target's does not have.
    pub left_out: Vec<String>,
}

/// Makes each account on the target where it is missing: locked on MariaDB, so that nobody comes in before a cutover.
///
/// # Errors
/// A halt when an account is not on the source, or its password cannot be carried; and when a server cannot be used.
pub async fn copy(source: &str, target: &str, accounts: &[Account], tables: &[TableName]) -> Result<Vec<Copied>> {
    let mut source = session::open(Side::Source, source).await?;
    let mut target = session::open(Side::Target, target).await?;
    let dialect = session::dialect(&mut target, Side::Target).await?;
    if dialect != Dialect::TiDb {
        let off = target.query_drop("SET SESSION sql_log_bin = 0").await;
        off.map_err(MoveError::server(Side::Target, "set up a session"))?;
    }
    let mut copied = Vec::with_capacity(accounts.len());
    for account in accounts {
        copied.push(one(&mut source, &mut target, dialect, account, tables).await?);
    }
    Ok(copied)
}

async fn one(
    source: &mut Conn,
    target: &mut Conn,
    dialect: Dialect,
    account: &Account,
    tables: &[TableName],
) -> Result<Copied> {
    let named = account.quoted();
    let identified = identified(source, dialect, account).await?;
    let (rights, left_out) = rights(source, account, tables).await?;
    let failed = || MoveError::server(Side::Target, "make an account");
    let there: Option<u64> = target
        .exec_first("SELECT COUNT(*) FROM mysql.user WHERE user = ? AND host = ?", (&account.user, &account.host))
        .await
        .map_err(failed())?;
    let made = there == Some(0);
    if made {
        let lock = if dialect == Dialect::TiDb { "" } else { " ACCOUNT LOCK" };
        target.query_drop(format!("CREATE USER {named} {identified}{lock}")).await.map_err(failed())?;
    }
    for right in &rights {
        target.query_drop(format!("GRANT {right} TO {named}")).await.map_err(failed())?;
    }
    Ok(Copied { account: account.clone(), made, rights, left_out })
}

/// The clause that gives the target's account the source's password.
async fn identified(source: &mut Conn, dialect: Dialect, account: &Account) -> Result<String> {
    let found: Option<(String, String)> = source
        .exec_first(
            "SELECT plugin, authentication_string FROM mysql.user WHERE user = ? AND host = ?",
            (&account.user, &account.host),
        )
        .await
        .map_err(MoveError::server(Side::Source, "read an account"))?;
    let Some((plugin, hash)) = found else {
        let what = format!("the source has no account {}", account.quoted());
        return Err(MoveError::halt(what, "name the accounts as SHOW GRANTS does, with their hosts"));
    };
    let is_native = plugin.is_empty() || plugin == "mysql_native_password";
    let plain = hash.is_empty() || (hash.starts_with('*') && hash[1..].bytes().all(|byte| byte.is_ascii_hexdigit()));
    if !is_native || !plain {
        let what = format!("{} logs in by {plugin}, which the target cannot take over", account.quoted());
        return Err(MoveError::halt(what, "make the account on the target by hand, or give it a native password"));
    }
    Ok(match dialect {
        Dialect::TiDb => format!("IDENTIFIED WITH 'mysql_native_password' AS '{hash}'"),
        Dialect::MySql => format!("IDENTIFIED BY PASSWORD '{hash}'"),
    })
}

/// Rights on the moved schemas, and all others.
async fn rights(source: &mut Conn, account: &Account, tables: &[TableName]) -> Result<(Vec<String>, Vec<String>)> {
    let grants: Vec<String> = source
        .query(format!("SHOW GRANTS FOR {}", account.quoted()))
        .await
        .map_err(MoveError::server(Side::Source, "read an account's rights"))?;
    let (mut rights, mut left_out) = (Vec::new(), Vec::new());
    for grant in grants {
        // Behind the account may stand its password's hash.
        let Some(right) =
            grant.strip_prefix("GRANT ").and_then(|grant| grant.split_once(" TO ")).map(|(right, _)| right)
        else {
            continue;
        };
        match right.split_once(" ON ") {
            _ if right == "USAGE ON *.*" => {}
            Some((_, on)) if tables.iter().any(|table| is_of(on, &table.schema)) => rights.push(right.to_owned()),
            _ => left_out.push(right.to_owned()),
        }
    }
    Ok((rights, left_out))
}

/// Whether a grant's object is in this schema: `` `shop`.* ``, or a table of it. In the first form `_` and `%` of the name
/// are written with a backslash.
fn is_of(on: &str, schema: &str) -> bool {
    let plain = format!("`{}`.", schema.replace('`', "``"));
    let escaped = plain.replace('_', "\\_").replace('%', "\\%");
    on.starts_with(&plain) || on.starts_with(&escaped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_right_is_of_its_own_schema_only() {
        assert!(is_of("`shop`.*", "shop") && is_of("`shop`.`orders`", "shop"));
        assert!(is_of("`my\\_shop`.*", "my_shop") && is_of("`my_shop`.`t`", "my_shop"));
        for other in ["*.*", "`shop2`.*", "`sho`.*", "`x`.`shop`"] {
            assert!(!is_of(other, "shop"), "{other}");
        }
    }
}
