//! A mover in a process of its own, for tests that kill it and for measuring.
//!
//! `piton-move-test SOURCE TARGET SCHEMA SERVER_ID CHUNK_ROWS TABLE...` moves until it is killed or halts, and prints
//! a line for each change of its progress. With `PITON_MOVE_UNTIL=copied` it ends when everything is copied.

#![allow(clippy::print_stdout, reason = "a program of tests")]

use std::process::ExitCode;

use piton_move::{Config, Limits, Mover, Phase, TableName};

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [source, target, schema, server_id, chunk_rows, tables @ ..] = &arguments[..] else {
        return ExitCode::from(2);
    };
    let (Ok(server_id), Ok(chunk_rows)) = (server_id.parse(), chunk_rows.parse()) else { return ExitCode::from(2) };
    let config = Config {
        name: schema.clone(),
        source: source.clone(),
        target: target.clone(),
        replicas: Vec::new(),
        tables: tables.iter().map(|table| TableName::new(schema, table)).collect(),
        server_id,
        epoch: 1,
        limits: Limits { chunk_rows, ..Limits::default() },
    };
    let until_copied = std::env::var("PITON_MOVE_UNTIL").is_ok_and(|until| until == "copied");
    let mut mover = match Mover::start(config).await {
        Ok(mover) => mover,
        Err(error) => {
            println!("error: {error} {error:?}");
            return ExitCode::FAILURE;
        }
    };
    let mut progress = mover.progress();
    loop {
        let now = progress.borrow_and_update().clone();
        println!("{:?} {} {} {:.0}", now.phase, now.copied_rows, now.applied_changes, now.rows_per_s);
        if until_copied && now.phase == Phase::Following {
            return ExitCode::SUCCESS;
        }
        tokio::select! {
            changed = progress.changed() => if changed.is_err() { return ExitCode::FAILURE },
            error = mover.ended() => {
                println!("error: {error} {error:?}");
                return ExitCode::FAILURE;
            }
        }
    }
}
