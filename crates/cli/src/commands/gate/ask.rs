//! Asks a running gate through its control socket.
//!
//! Owns the requests and which answer is a failure. Never decides anything for the gate.

use super::{control, show};
use crate::args::{ControlArgs, HoldArgs, OutsideArgs};
use crate::error::{CliError, Kind};
use crate::exit::Exit;
use crate::print;
use piton_core::duration::Duration;
use piton_gate::{HoldReport, Opened, Outsider, Status};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::Duration as Span;

/// Beyond what was asked for, an answer comes within this: a register may have to be asked first.
const PATIENCE: Span = Span::from_secs(10);

fn ask(args: &ControlArgs, request: &Value, takes: Span) -> Result<Value, CliError> {
    let path = control(args.control.as_ref());
    let answer = piton_gate::ask(&path, request, takes + PATIENCE).map_err(|error| {
        CliError::new(Kind::GateSilent, format!("no gate answers at {}", path.display()))
            .source(error)
            .hint("name its socket: --control SOCKET, or PITON_GATE=SOCKET")
            .hint("with no gate alive, the servers know: piton gate status --epoch --backend ... --register MOVE")
    })?;
    if answer["ok"] == json!(true) {
        return Ok(answer);
    }
    let why = answer["error"].as_str().unwrap_or("it does not say why");
    Err(CliError::new(Kind::GateRefused, format!("the gate refuses: {why}"))
        .hint("see where it stands: piton gate status"))
}

/// The answer as the gate means it; printed as it came when JSON is wanted.
fn told<T: DeserializeOwned>(args: &ControlArgs, mut answer: Value) -> Result<Option<T>, CliError> {
    if args.json {
        if let Some(fields) = answer.as_object_mut() {
            fields.remove("ok");
        }
        print::out(&format!("{answer:#}\n"));
        return Ok(None);
    }
    let read = serde_json::from_value(answer);
    read.map(Some).map_err(|error| {
        CliError::new(Kind::GateSilent, "the gate's answer cannot be read: it may be of another version").source(error)
    })
}

pub(super) fn status(args: &ControlArgs) -> Result<Exit, CliError> {
    let answer = ask(args, &json!({"do": "status"}), Span::ZERO)?;
    if let Some(status) = told::<Status>(args, answer)? {
        print::out(&show::status(&status));
    }
    Ok(Exit::Done)
}

/// Sessions that no gate knows: each gate says which are not its own, and what all of them say is left.
pub(super) fn outside(args: &OutsideArgs) -> Result<Exit, CliError> {
    let one = |control: Option<PathBuf>| -> Result<(Value, Vec<Outsider>), CliError> {
        let args = ControlArgs { control, json: false };
        let mut answer = ask(&args, &json!({"do": "outside"}), PATIENCE)?;
        let outside = answer["outside"].take();
        Ok((answer["backend"].take(), told::<Vec<Outsider>>(&args, outside)?.unwrap_or_default()))
    };
    let mut controls = args.controls.iter().cloned().map(Some).collect::<Vec<_>>();
    if controls.is_empty() {
        controls.push(None);
    }
    let mut answers = controls.into_iter().map(one).collect::<Result<Vec<_>, _>>()?.into_iter();
    let (backend, mut outside) = answers.next().unwrap_or_default();
    for (other, theirs) in answers {
        if other != backend {
            let why = format!("the gates stand before two servers, {backend} and {other}");
            return Err(CliError::new(Kind::GateRefused, why).hint("see where each stands: piton gate status"));
        }
        outside.retain(|one| theirs.iter().any(|their| their.id == one.id));
    }
    outside.retain(|one| args.users.is_empty() || args.users.contains(&one.user));
    if args.json {
        print::out(&format!("{:#}\n", json!({"backend": backend, "outside": outside})));
    } else {
        print::out(&show::outside(&outside));
    }
    Ok(if outside.is_empty() { Exit::Done } else { Exit::Failed })
}

pub(super) fn hold(args: &HoldArgs) -> Result<Exit, CliError> {
    let (drain, deadline) = (args.drain.as_ms(), args.deadline.as_ms());
    let request = json!({"do": "hold", "drain_ms": drain, "deadline_ms": deadline});
    let answer = ask(&args.control, &request, args.drain.to_std())?;
    let drained = answer["drained"] == json!(true);
    if let Some(report) = told::<HoldReport>(&args.control, answer)? {
        let head = if drained { "held" } else { "not held: the gate is open again" };
        print::out(&show::report(head, &report));
    }
    Ok(if drained { Exit::Done } else { Exit::Failed })
}

pub(super) fn drill(args: &ControlArgs, drain: Duration) -> Result<Exit, CliError> {
    let answer = ask(args, &json!({"do": "drill", "drain_ms": drain.as_ms()}), drain.to_std())?;
    let drained = answer["drained"] == json!(true);
    if let Some(report) = told::<HoldReport>(args, answer)? {
        let head = if drained { "a hold would drain" } else { "a hold would not drain" };
        print::out(&show::report(head, &report));
    }
    Ok(if drained { Exit::Done } else { Exit::Failed })
}

pub(super) fn look(args: &ControlArgs) -> Result<Exit, CliError> {
    let answer = ask(args, &json!({"do": "look"}), Span::ZERO)?;
    if let Some(report) = told::<HoldReport>(args, answer)? {
        print::out(&show::look(&report));
    }
    Ok(Exit::Done)
}

pub(super) fn switch(args: &ControlArgs, backend: &str) -> Result<Exit, CliError> {
    let answer = ask(args, &json!({"do": "switch", "backend": backend}), Span::ZERO)?;
    let epoch = answer["epoch"].as_u64().unwrap_or_default();
    if told::<Value>(args, answer)?.is_some() {
        print::line(&format!("switched to {backend} (epoch {epoch}); still held: piton gate release"));
    }
    Ok(Exit::Done)
}

/// `release` and `abort`.
pub(super) fn open(args: &ControlArgs, what: &str) -> Result<Exit, CliError> {
    let answer = ask(args, &json!({"do": what}), Span::ZERO)?;
    if let Some(opened) = told::<Opened>(args, answer)? {
        print::line(&format!("open after {}: {}", show::span(opened.held_us), show::end(opened.how)));
    }
    Ok(Exit::Done)
}

pub(super) fn metrics(args: &ControlArgs) -> Result<Exit, CliError> {
    let answer = ask(args, &json!({"do": "metrics"}), Span::ZERO)?;
    if args.json {
        told::<Value>(args, answer)?;
    } else {
        print::out(answer["text"].as_str().unwrap_or_default());
    }
    Ok(Exit::Done)
}

pub(super) fn reload(args: &ControlArgs) -> Result<Exit, CliError> {
    let answer = ask(args, &json!({"do": "reload"}), PATIENCE)?;
    if told::<Value>(args, answer)?.is_some() {
        print::line("the accounts are read again");
    }
    Ok(Exit::Done)
}
