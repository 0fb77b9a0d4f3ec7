//! `piton gate status --epoch`: which side is true, from the servers' own registers, with engine and gate dead.
//!
//! Owns how that is shown. Only reads.

use super::{account, backends, register, usage};
use crate::args::StatusArgs;
use crate::error::{CliError, Kind};
use crate::exit::Exit;
use crate::print;
use crate::ui::text::printable;
use piton_gate::{RegisterRead, RegisterState, read_registers, truth};
use serde_json::{Value, json};

pub(super) fn run(args: &StatusArgs) -> Result<Exit, CliError> {
    let backends = backends(&args.backends)?;
    let account = account(&args.backends)?.ok_or_else(|| usage("--epoch needs --account"))?;
    let table = register(&args.backends)?.ok_or_else(|| usage("--epoch needs --register"))?;
    let reads = read_registers(&backends, &account, &table)
        .map_err(|error| CliError::new(Kind::EpochUnknown, "the registers cannot be read").source(error))?;
    let truth = truth(&reads);
    let first = backends.first().map_or("", |backend| backend.name.as_str());
    if args.control.json {
        let known = truth.as_ref().ok();
        let answer = json!({
            "epoch": known.map(|truth| truth.epoch),
            "backend": known.map(|truth| truth.side.as_deref().unwrap_or(first)),
            "open_attempt": known.and_then(|truth| truth.open.as_ref()).map(|open| json!({
                "epoch": open.epoch, "attempt": open.number, "register": open.source,
            })),
            "why": truth.as_ref().err(),
            "registers": reads.iter().map(read_json).collect::<Vec<_>>(),
        });
        print::out(&format!("{answer:#}\n"));
    } else {
        reads.iter().for_each(|read| print::out(&shown(read)));
    }
    let truth = truth.map_err(|why| {
        CliError::new(Kind::EpochUnknown, format!("nobody can tell which side is true: {why}"))
            .hint("bring that server back, or read its register from its files; a guess may lose writes")
    })?;
    if !args.control.json {
        let side = truth.side.as_deref().unwrap_or(first);
        print::line(&format!("{side} is true (epoch {})", truth.epoch));
        if let Some(open) = &truth.open {
            let (epoch, number) = (open.epoch, open.number);
            print::line(&format!("attempt {number} at epoch {epoch} is open: that may change at any moment"));
        }
    }
    Ok(Exit::Done)
}

fn read_json(read: &RegisterRead) -> Value {
    json!({"backend": read.backend, "rows": read.rows.as_ref().ok(), "error": read.rows.as_ref().err()})
}

fn shown(read: &RegisterRead) -> String {
    let rows = match &read.rows {
        Err(why) => return printable(&format!("{}: {why}", read.backend)) + "\n",
        Ok(rows) if rows.is_empty() => return format!("{}: no epoch\n", read.backend),
        Ok(rows) => rows,
    };
    let mut text = format!("{}:\n", read.backend);
    for row in rows {
        let state = match row.state {
            RegisterState::Open => "open",
            RegisterState::Aborted => "aborted",
            RegisterState::Committed => "committed",
        };
        let to = if row.side.is_empty() { String::new() } else { format!(" to {}", row.side) };
        text.push_str(&printable(&format!("  epoch {}{to}: attempt {} {state}", row.epoch, row.attempt)));
        text.push('\n');
    }
    text
}
