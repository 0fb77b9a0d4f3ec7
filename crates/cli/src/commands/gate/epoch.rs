//! `piton gate status --epoch`: which side is true, from the servers' own registers, with engine and gate dead.
//!
//! Owns how that is shown. Only reads.

use super::{account, backends, registers, usage};
use crate::args::StatusArgs;
use crate::error::{CliError, Kind};
use crate::exit::Exit;
use crate::print;
use crate::ui::text::printable;
use piton_gate::Backend;
use piton_move::cutover::register::Row;
use piton_move::cutover::{Both, Looked, Registers};
use serde_json::{Value, json};

pub(super) fn run(args: &StatusArgs) -> Result<Exit, CliError> {
    let backends = backends(&args.backends)?;
    let account = account(&args.backends)?;
    let registers = registers(&args.backends, &backends, account.as_ref())?;
    let both = read(&registers.ok_or_else(|| usage("--epoch needs --register"))?)?;
    let rows = [(&backends[0], &both.first), (&backends[1], &both.second)];
    let side = |epoch: u64| backends[usize::from(epoch % 2 == 1)].name.as_str();
    let truth = both.truth();
    if args.control.json {
        let (epoch, why) = match &truth {
            Looked::Open(epoch) => (Some(*epoch), None),
            Looked::Undecided(why) | Looked::Unknown(why) => (None, Some(why)),
        };
        let answer = json!({
            "epoch": epoch,
            "backend": epoch.map(side),
            "why": why,
            "registers": rows.map(|(backend, row)| row_json(backend, row)),
        });
        print::out(&format!("{answer:#}\n"));
    } else {
        rows.iter().for_each(|(backend, row)| print::line(&printable(&shown(backend, row))));
    }
    match truth {
        Looked::Open(epoch) if !args.control.json => print::line(&format!("{} is true (epoch {epoch})", side(epoch))),
        Looked::Open(_) => {}
        Looked::Undecided(why) | Looked::Unknown(why) => {
            return Err(CliError::new(Kind::EpochUnknown, format!("nobody can tell which side is true: {why}"))
                .hint("bring that server back, or let a mover or a gate settle the attempt; a guess may lose writes"));
        }
    }
    Ok(Exit::Done)
}

fn read(registers: &Registers) -> Result<Both, CliError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime =
        runtime.map_err(|error| CliError::new(Kind::EpochUnknown, "the registers cannot be read").source(error))?;
    Ok(runtime.block_on(registers.read()))
}

fn row_json(backend: &Backend, row: &Result<Row, String>) -> Value {
    match row {
        Ok(Row { attempt, state }) => json!({
            "backend": backend.name, "epoch": attempt.epoch, "attempt": attempt.number, "state": state.word(),
            "error": null,
        }),
        Err(why) => {
            json!({"backend": backend.name, "epoch": null, "attempt": null, "state": null, "error": why})
        }
    }
}

fn shown(backend: &Backend, row: &Result<Row, String>) -> String {
    let name = &backend.name;
    match row {
        Ok(row) if *row == Row::FIRST => format!("{name}: nothing was moved"),
        Ok(Row { attempt, state }) => {
            format!("{name}: epoch {}, attempt {} {}", attempt.epoch, attempt.number, state.word())
        }
        Err(why) => format!("{name}: {why}"),
    }
}
