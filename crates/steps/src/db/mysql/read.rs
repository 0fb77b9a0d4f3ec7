//! `query` on MySQL and MariaDB: one statement, read-only, its rows streamed.
//!
//! Owns the bounds on what comes back, and that a statement which takes too long is ended at the server. Never holds
//! more rows than asked for.

use super::super::params::params;
use super::super::session::Read;
use super::super::{END_LIMIT, MAX_RESULT_BYTES, failure};
use super::connect::{MySql, said};
use super::values::{from_raw, to_raw, weight};
use crate::stop::Stop;
use futures_util::future::{Either, select};
use mysql_async::prelude::{Protocol, Queryable};
use mysql_async::{Conn, Params, QueryResult};
use piton_core::outcome::{Failure, Rows};
use std::pin::pin;
use tokio::time::timeout;

impl MySql {
    pub(super) fn read(&self, read: &Read<'_>, stop: &Stop<'_>) -> Result<Rows, Failure> {
        let params: Vec<_> = params(read.params)?.into_iter().map(to_raw).collect();
        let (conn, result) = self.runtime.block_on(async {
            let mut conn = match stop.bound(self.connect_to_read()).await {
                Ok(Ok(conn)) => conn,
                Ok(Err(why)) | Err(why) => return (None, Err(why)),
            };
            let result = self.fetch(&mut conn, read, params, stop).await;
            (Some(conn), result)
        });
        match (conn, result) {
            (Some(conn), Ok(rows)) => {
                self.idle.put(self.server.key, conn);
                Ok(rows)
            }
            // A connection with unread rows is dropped here, outside the runtime: there it would first read them all.
            (_, result) => result,
        }
    }

    async fn fetch(
        &self,
        conn: &mut Conn,
        read: &Read<'_>,
        params: Vec<mysql_async::Value>,
        stop: &Stop<'_>,
    ) -> Result<Rows, Failure> {
        let id = u64::from(conn.id());
        let text = read.statement.text.as_str();
        let fetching = pin!(async {
            if params.is_empty() {
                // The text protocol: not every SHOW can be prepared.
                collect(conn.query_iter(text).await?, read.limit).await
            } else {
                collect(conn.exec_iter(text, Params::Positional(params)).await?, read.limit).await
            }
        });
        match select(fetching, pin!(stop.stopped())).await {
            Either::Left((result, _)) => result.map_err(Fault::failure),
            Either::Right((why, fetching)) => {
                if let Err(unkilled) = self.kill(id).await {
                    return Err(why.hint(format!("its statement may still run at the server: {unkilled}")));
                }
                // The server's last word on this connection says that the statement is over.
                let _ = timeout(END_LIMIT, fetching).await;
                Err(why)
            }
        }
    }
}

enum Fault {
    Sql(mysql_async::Error),
    Bound(Failure),
}

impl From<mysql_async::Error> for Fault {
    fn from(error: mysql_async::Error) -> Self {
        Self::Sql(error)
    }
}

impl Fault {
    fn failure(self) -> Failure {
        match self {
            Self::Sql(error) => failure(said(&error)),
            Self::Bound(failure) => failure,
        }
    }
}

async fn collect<P: Protocol>(mut result: QueryResult<'_, '_, P>, limit: u64) -> Result<Rows, Fault> {
    let columns = result.columns().unwrap_or_else(|| Vec::new().into());
    let mut rows =
        Rows { columns: columns.iter().map(|column| column.name_str().into_owned()).collect(), rows: vec![] };
    let mut bytes = 0;
    while let Some(row) = result.next().await? {
        if rows.rows.len() as u64 >= limit {
            return Err(Fault::Bound(super::super::too_many_rows(limit)));
        }
        let values = row.unwrap();
        bytes += values.iter().map(weight).sum::<usize>();
        if bytes > MAX_RESULT_BYTES {
            return Err(Fault::Bound(super::super::too_many_bytes()));
        }
        rows.rows.push(columns.iter().zip(values).map(|(column, raw)| from_raw(column, raw)).collect());
    }
    Ok(rows)
}
