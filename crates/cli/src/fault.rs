//! Fault injection for tests, asked for in the environment: an engine that dies, or stops, once a record is durable.
//!
//! Owns the variables and what they mean. Never strikes unless asked.

use piton_core::record::Sealed;
use piton_engine::Fault;
use std::collections::HashSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// Die as if killed after so many events of this life.
pub(crate) const CRASH_AFTER: &str = "PITON_CRASH_AFTER";
/// Stop, as by SIGSTOP, after so many.
pub(crate) const STOP_AFTER: &str = "PITON_STOP_AFTER";
/// Die after the first event of each place, a kind of event at a path, that the file of this name does not list yet,
/// having added it. An engine that is resumed until it ends has died after every event there is; so has every watchdog.
pub(crate) const CRASH_ONCE_AT_EACH: &str = "PITON_CRASH_ONCE_AT_EACH";

/// What the environment asks for.
pub(crate) fn asked() -> Option<Fault> {
    let number = |variable: &str| std::env::var(variable).ok()?.parse().ok();
    let after = |strike: fn(), after: u64| Fault { due: Arc::new(move |nth, _| nth == after), strike };
    None.or_else(|| Some(after(die, number(CRASH_AFTER)?)))
        .or_else(|| Some(after(stop, number(STOP_AFTER)?)))
        .or_else(|| Some(at_each(PathBuf::from(std::env::var_os(CRASH_ONCE_AT_EACH)?))))
}

fn die() {
    std::process::abort()
}

fn stop() {
    // It cannot fail: every process may signal itself.
    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::STOP);
}

fn at_each(file: PathBuf) -> Fault {
    let known = std::fs::read_to_string(&file).unwrap_or_default();
    let known = Mutex::new(known.lines().map(str::to_owned).collect::<HashSet<_>>());
    let due = move |_, record: &Sealed| {
        let Some(place) = place(&record.body) else { return false };
        let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
        // Where the place cannot be listed it does not strike, or it would for ever.
        known.insert(place.clone()) && list(&file, &place).is_ok()
    };
    Fault { due: Arc::new(due), strike: die }
}

fn list(file: &Path, place: &str) -> std::io::Result<()> {
    let mut file = std::fs::File::options().create(true).append(true).open(file)?;
    file.write_all(format!("{place}\n").as_bytes())
}

/// The kind of an event and what it is about.
fn place(body: &str) -> Option<String> {
    let event: serde_json::Map<String, serde_json::Value> = serde_json::from_str(body).ok()?;
    let (kind, fields) = event.iter().next()?;
    let about = ["path", "scope", "name"].iter().find_map(|field| fields.get(field)?.as_str());
    Some(format!("{kind} {}", about.unwrap_or_default().escape_debug()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_kind_of_event_and_what_it_is_about() {
        let named = |body: &str| place(body).unwrap();
        assert_eq!(named(r#"{"step_succeeded":{"path":"copy/t\n1","generation":3}}"#), "step_succeeded copy/t\\n1");
        assert_eq!(named(r#"{"undo_began":{"scope":""}}"#), "undo_began ");
        assert_eq!(named(r#"{"engine_attached":{"engine":{"pid":1}}}"#), "engine_attached ");
        assert_eq!(place("[]"), None);
    }
}
