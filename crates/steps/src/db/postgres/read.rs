//! `query` on PostgreSQL: one statement in a read-only transaction, its rows streamed.
//!
//! Owns the bounds on what comes back, and that a statement which takes too long is ended at the server. Rows come in
//! the server's own text form, which exists for every type; the column's types come from preparing the statement.

use super::super::params::{Param, params};
use super::super::session::Read;
use super::super::{END_LIMIT, MAX_RESULT_BYTES, failure, too_many_bytes, too_many_rows};
use super::connect::{Link, Postgres, said};
use super::values::{from_text, literal};
use crate::stop::Stop;
use futures_util::StreamExt;
use futures_util::future::{Either, select};
use piton_core::outcome::{Failure, Rows};
use std::pin::pin;
use tokio::time::timeout;
use tokio_postgres::{Client, SimpleQueryMessage};

impl Postgres {
    pub(super) fn read(&self, read: &Read<'_>, stop: &Stop<'_>) -> Result<Rows, Failure> {
        let params = params(read.params)?;
        self.runtime.block_on(async {
            let link = match stop.bound(self.connect_to_read()).await {
                Ok(Ok(link)) => link,
                Ok(Err(why)) | Err(why) => return Err(why),
            };
            let result = fetch_or_end(self, &link, read, &params, stop).await;
            match result {
                Ok(rows) => {
                    self.idle.put(self.server.key, link);
                    Ok(rows)
                }
                Err(failure) => {
                    link.cut();
                    Err(failure)
                }
            }
        })
    }
}

async fn fetch_or_end(
    db: &Postgres,
    link: &Link,
    read: &Read<'_>,
    params: &[Param],
    stop: &Stop<'_>,
) -> Result<Rows, Failure> {
    let fetching = pin!(fetch(&link.client, read, params));
    match select(fetching, pin!(stop.stopped())).await {
        Either::Left((result, _)) => result,
        Either::Right((why, fetching)) => {
            if !db.cancel(link).await {
                return Err(
                    why.hint("its statement may still run at the server, which did not take the request to end it")
                );
            }
            // The server's last word on this statement says that it is over.
            let _ = timeout(END_LIMIT, fetching).await;
            Err(why)
        }
    }
}

async fn fetch(client: &Client, read: &Read<'_>, params: &[Param]) -> Result<Rows, Failure> {
    let text = read.statement.text.as_str();
    let wrong = |error: tokio_postgres::Error| {
        let failure = failure(said(&error));
        let asks = !params.is_empty() && !text.contains('$');
        if asks { failure.hint("PostgreSQL writes parameters as $1, $2") } else { failure }
    };
    client.batch_execute("begin read only").await.map_err(wrong)?;
    let prepared = client.prepare(text).await.map_err(wrong)?;
    let sql = if params.is_empty() {
        text.to_owned()
    } else {
        client.batch_execute(&format!("prepare _piton as {text}")).await.map_err(wrong)?;
        format!("execute _piton({})", params.iter().map(literal).collect::<Vec<_>>().join(", "))
    };
    let columns = prepared.columns();
    let mut rows = Rows { columns: columns.iter().map(|column| column.name().to_owned()).collect(), rows: vec![] };
    let mut stream = pin!(client.simple_query_raw(&sql).await.map_err(wrong)?);
    let mut bytes = 0;
    while let Some(message) = stream.next().await {
        let SimpleQueryMessage::Row(row) = message.map_err(wrong)? else { continue };
        if rows.rows.len() as u64 >= read.limit {
            return Err(too_many_rows(read.limit));
        }
        let mut values = Vec::with_capacity(columns.len());
        for (index, column) in columns.iter().enumerate() {
            let text = row.try_get(index).map_err(wrong)?;
            bytes += 16 + text.map_or(0, str::len);
            values.push(from_text(column.type_(), text));
        }
        if bytes > MAX_RESULT_BYTES {
            return Err(too_many_bytes());
        }
        rows.rows.push(values);
    }
    client.batch_execute("rollback").await.map_err(wrong)?;
    Ok(rows)
}
