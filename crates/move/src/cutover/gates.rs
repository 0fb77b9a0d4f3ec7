//! Both directions between a cutover and a gate: a cutover that holds gates through their control sockets, and a gate
//! that obeys the registers.
//!
//! Owns the words between them. A message to a gate carries no authority: it opens only as the registers say.

use std::path::PathBuf;
use std::time::Duration;

use piton_gate::{Look, Register};
use serde_json::{Value, json};

use super::parts::{Answer, Gate};
use super::register::{Attempt, Server};
use super::registers::{Looked, Registers};

/// Beyond what it was allowed to take, a gate answers within this.
const PATIENCE: Duration = Duration::from_secs(5);
/// What a gate says that is open already.
const NOT_HELD: &str = "the gate is not held";
/// Sessions that are named when a gate did not drain.
const NAMED: usize = 5;

/// A gate of some process, behind its control socket.
#[derive(Debug, Clone)]
pub struct ControlSocket(PathBuf);

impl ControlSocket {
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    async fn ask(&self, request: Value, takes: Duration) -> Result<Value, String> {
        let path = self.0.clone();
        let asked = tokio::task::spawn_blocking(move || piton_gate::ask(&path, &request, takes + PATIENCE));
        let answer = match asked.await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => return Err(format!("the gate at {} does not answer: {error}", self.0.display())),
            Err(error) => return Err(error.to_string()),
        };
        if answer["ok"] == json!(true) {
            return Ok(answer);
        }
        Err(format!("the gate at {}: {}", self.0.display(), answer["error"].as_str().unwrap_or("no reason")))
    }
}

/// Who kept a gate from draining, in words.
fn blockers(answer: &Value) -> String {
    let all = answer["blockers"].as_array().map(Vec::as_slice).unwrap_or_default();
    let one = |blocker: &Value| {
        let text = |name: &str| blocker[name].as_str().unwrap_or_default().to_owned();
        let age = blocker["age_ms"].as_u64().unwrap_or_default();
        format!("{}@{} for {age} ms: {}", text("user"), text("host"), text("statement"))
    };
    let named: Vec<_> = all.iter().take(NAMED).map(one).collect();
    format!("{} sessions did not end in time ({})", answer["blocking"], named.join("; "))
}

impl Gate for ControlSocket {
    fn hold(&self, attempt: Attempt, drain: Duration, deadline: Duration) -> Answer<'_, ()> {
        Box::pin(async move {
            let answer = self
                .ask(
                    json!({
                        "do": "hold", "drain_ms": drain.as_millis() as u64, "deadline_ms": deadline.as_millis() as u64,
                        "attempt": {"epoch": attempt.epoch, "number": attempt.number},
                    }),
                    drain,
                )
                .await?;
            if answer["drained"] == json!(true) { Ok(()) } else { Err(blockers(&answer)) }
        })
    }

    fn release(&self, _: Attempt, _: Server) -> Answer<'_, ()> {
        // It looks at the registers, whoever asks it to and whenever; most often it has done so already and is open.
        Box::pin(async move {
            match self.ask(json!({"do": "release"}), Duration::ZERO).await {
                Err(why) if !why.ends_with(NOT_HELD) => Err(why),
                _ => Ok(()),
            }
        })
    }
}

impl Register for Registers {
    fn look(&self, hold: Option<piton_gate::Attempt>, late: bool) -> piton_gate::Answer<'_> {
        Box::pin(async move {
            let hold = hold.map(|piton_gate::Attempt { epoch, number }| Attempt { epoch, number });
            match Self::look(self, hold, late).await {
                Looked::Open(epoch) => Look::Open(epoch),
                Looked::Undecided(why) => Look::Undecided(why),
                Looked::Unknown(why) => Look::Unknown(why),
            }
        })
    }
}
