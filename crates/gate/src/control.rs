//! The control socket: a request is a line of JSON, and so is its answer.
//!
//! `{"do": "hold", "drain_ms": 300, "deadline_ms": 800, "attempt": {"epoch": 1, "number": 1}}`,
//! `{"do": "switch", "backend": "new"}`, and `release`, `abort`, `drill` (with `drain_ms`), `look`, `status`, `outside`,
//! `metrics`, `reload`; `{"do": "hand_over", "listen": "0.0.0.0:3306"}` is what a gate that follows asks. An answer has `ok`,
//! and `error` when that is false. Who may open the socket's file may hold the gate.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::Path;
use std::sync::{Arc, Weak};
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;

use crate::error::GateError;
use crate::gate::Gate;
use crate::handover;
use crate::hold::{HoldOptions, HoldReport, Holder};
use crate::register::Attempt;

/// Bytes of a request.
const LINE_BYTES: u64 = 4096;
/// Usual time for open transactions to end.
const DRAIN_MS: u64 = 300;
/// Usual time of a hold.
const DEADLINE_MS: u64 = 800;

#[derive(Debug, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
enum Request {
    Hold { drain_ms: Option<u64>, deadline_ms: Option<u64>, attempt: Option<Attempt> },
    Drill { drain_ms: Option<u64> },
    Switch { backend: String },
    Release,
    Abort,
    Look,
    Status,
    Outside,
    Metrics,
    Reload,
    HandOver { listen: SocketAddr },
}

/// Holds, and opens again at once.
pub(crate) async fn drill(holder: &Arc<Holder>, drain: Duration) -> Result<HoldReport, GateError> {
    let report = holder.hold(&HoldOptions { drain, deadline: drain * 2, attempt: None }).await?;
    if report.drained {
        // It may have expired by itself meanwhile, which is as good.
        let _ = holder.release().await;
    }
    Ok(report)
}

/// Listens until the gate stops.
pub(crate) async fn listen(path: &Path, gate: Weak<Gate>, mut stopped: watch::Receiver<bool>) -> std::io::Result<()> {
    if StdUnixStream::connect(path).is_ok() {
        return Err(std::io::ErrorKind::AddrInUse.into());
    }
    // Nobody listens there: what is left of a dead gate may go.
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    tokio::spawn(async move {
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                _ = stopped.wait_for(|stop| *stop) => return,
            };
            match accepted {
                Ok((stream, _)) => drop(tokio::spawn(serve(stream, gate.clone()))),
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    });
    Ok(())
}

async fn serve(stream: UnixStream, gate: Weak<Gate>) {
    let (reading, mut writing) = stream.into_split();
    let mut reading = tokio::io::BufReader::new(reading);
    loop {
        let mut line = String::new();
        match (&mut reading).take(LINE_BYTES).read_line(&mut line).await {
            Ok(1..) if line.ends_with('\n') => {}
            _ => return,
        }
        let Some(gate) = gate.upgrade() else { return };
        let answer = match serde_json::from_str(&line) {
            Ok(Request::HandOver { listen }) => match hand_over(&gate, listen, writing.as_ref()).await {
                // Its answer has gone with the listener.
                Ok(()) => {
                    release_elsewhere(gate);
                    return;
                }
                Err(error) => Err(error.to_string()),
            },
            Ok(request) => act(&gate, request).await,
            Err(error) => Err(error.to_string()),
        };
        // The last reference must not be given up on a thread of the gate's own.
        let alive = Arc::strong_count(&gate) > 1;
        release_elsewhere(gate);
        let mut answer = match answer {
            Ok(Value::Object(mut fields)) => {
                fields.insert("ok".to_owned(), Value::Bool(true));
                Value::Object(fields)
            }
            Ok(other) => other,
            Err(error) => json!({"ok": false, "error": error}),
        }
        .to_string();
        answer.push('\n');
        if writing.write_all(answer.as_bytes()).await.is_err() || !alive {
            return;
        }
    }
}

/// Gives the listener away. Until the other has it, this gate can go on as it was.
async fn hand_over(gate: &Gate, listen: SocketAddr, stream: &UnixStream) -> Result<(), GateError> {
    let listener = gate.make_way(listen)?;
    let sent = handover::send(stream, "{\"ok\":true}\n", listener.as_fd()).await;
    match sent {
        Ok(()) => gate.leave(),
        Err(source) => {
            gate.stay();
            return Err(GateError::Io { what: "hand the listener over".to_owned(), source });
        }
    }
    Ok(())
}

/// A gate waits for its threads when it is dropped, which a thread of its own must not do.
fn release_elsewhere(gate: Arc<Gate>) {
    if Arc::strong_count(&gate) == 1 {
        std::thread::spawn(move || drop(gate));
    }
}

async fn act(gate: &Gate, request: Request) -> Result<Value, String> {
    let ms = |given: Option<u64>, usual| Duration::from_millis(given.unwrap_or(usual));
    let text = |error: GateError| error.to_string();
    let shown = |value: Result<Value, serde_json::Error>| value.map_err(|error| error.to_string());
    match request {
        Request::Hold { drain_ms, deadline_ms, attempt } => {
            let options =
                HoldOptions { drain: ms(drain_ms, DRAIN_MS), deadline: ms(deadline_ms, DEADLINE_MS), attempt };
            shown(serde_json::to_value(gate.holder().hold(&options).await.map_err(text)?))
        }
        Request::Drill { drain_ms } => {
            shown(serde_json::to_value(drill(gate.holder(), ms(drain_ms, DRAIN_MS)).await.map_err(text)?))
        }
        Request::Switch { backend } => gate.switch(&backend).map(|epoch| json!({"epoch": epoch})).map_err(text),
        Request::Release => shown(serde_json::to_value(gate.holder().release().await.map_err(text)?)),
        Request::Abort => shown(serde_json::to_value(gate.holder().abort().await.map_err(text)?)),
        Request::Look => shown(serde_json::to_value(gate.look())),
        Request::Status => shown(serde_json::to_value(gate.status())),
        Request::Outside => {
            let (backend, outside) = gate.outside().await.map_err(text)?;
            Ok(json!({"backend": backend, "outside": outside}))
        }
        Request::Metrics => Ok(json!({"text": gate.metrics()})),
        Request::HandOver { .. } => Err("it is asked alone".to_owned()),
        Request::Reload => gate.reload().await.map(|()| json!({})).map_err(text),
    }
}

/// Asks a gate's control socket one thing and gives its answer.
///
/// # Errors
/// When nobody listens, or the answer does not come within the time.
pub fn ask(path: &Path, request: &Value, time: Duration) -> std::io::Result<Value> {
    let mut stream = StdUnixStream::connect(path)?;
    stream.set_read_timeout(Some(time))?;
    stream.write_all(format!("{request}\n").as_bytes())?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    serde_json::from_str(&line).map_err(std::io::Error::other)
}
