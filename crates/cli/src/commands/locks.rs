//! `piton locks`: who holds which lock and who waits for it; `piton locks break` takes one away.
//!
//! Owns the table and its JSON, documented in `docs/json.md`. Taking a lock away is the holder's engine's to do, so that it
//! stands in that run's journal with who, when and why.

use crate::args::{LocksArgs, LocksCommand};
use crate::commands::post::{self, Sent};
use crate::commands::waker;
use crate::error::{CliError, Kind};
use crate::exit::Exit;
use crate::print;
use crate::ui::text::{date, printable, rfc3339, shell_word};
use crate::wire::Wire;
use crate::world;
use piton_core::hold::Decision;
use piton_core::lock::{Locked, Locks};
use piton_core::ports::{InboxMessage, Store as _};
use serde_json::json;

pub(crate) fn run(args: LocksArgs) -> Result<Exit, CliError> {
    let wire = waker::open()?;
    let locks = wire.store.locks()?;
    if let Some(LocksCommand::Break(args)) = args.command {
        let holder = locks.holder(&args.name).ok_or_else(|| {
            CliError::new(Kind::NoSuchLock, format!("nobody holds the lock {:?}", args.name)).hint(
                match locks.held.is_empty() {
                    true => "no lock is held in this store".to_owned(),
                    false => "see those that are held: piton locks".to_owned(),
                },
            )
        })?;
        return take_away(&wire, holder, args.actor.as_deref(), args.reason);
    }
    if args.json {
        let rows: Vec<_> = locks.held.iter().map(|held| row_json(held, &locks)).collect();
        print::out(&format!("{:#}\n", serde_json::Value::from(rows)));
    } else if locks.held.is_empty() {
        print::note("no lock is held");
    } else {
        print::out(&table(&locks));
    }
    Ok(Exit::Done)
}

fn take_away(wire: &Wire, holder: &Locked, actor: Option<&str>, reason: String) -> Result<Exit, CliError> {
    let Locked { name, run, path, .. } = holder;
    let saw = wire.state(run)?.head;
    let decision = Decision { by: world::actor(actor), saw, why: Some(reason) };
    let message = InboxMessage::BreakLock { scope: path.clone(), name: name.clone() };
    match post::send(wire, run, &decision, &message)? {
        Sent::Accepted => {
            print::line(&printable(&format!("the lock {name:?} is free; run {run} holds until it may have it again")));
            print::line(&format!("go on with it: piton resume {} --retry", run.short()));
            Ok(Exit::Done)
        }
        Sent::Refused => Err(CliError::new(Kind::NoSuchLock, format!("run {run} does not hold {name:?} any more"))
            .hint("see who does: piton locks")),
    }
}

fn waiting<'a>(held: &'a Locked, locks: &'a Locks) -> impl Iterator<Item = &'a Locked> {
    locks.waiting.iter().filter(move |wait| wait.name == held.name)
}

fn row_json(held: &Locked, locks: &Locks) -> serde_json::Value {
    let place = |locked: &Locked| json!({"run": locked.run, "scope": locked.path, "since": rfc3339(locked.since_us)});
    let waiting: Vec<_> = waiting(held, locks).map(place).collect();
    json!({
        "name": held.name,
        "run": held.run,
        "scope": held.path,
        "since": rfc3339(held.since_us),
        "waiting": waiting,
    })
}

fn table(locks: &Locks) -> String {
    let mut text = String::new();
    for held in &locks.held {
        let Locked { name, run, path, since_us } = held;
        text.push_str(&format!("{}\n", printable(name)));
        text.push_str(&format!("  held by run {run} at {} since {}\n", printable(path.as_str()), date(*since_us)));
        for wait in waiting(held, locks) {
            let (run, path) = (&wait.run, printable(wait.path.as_str()));
            text.push_str(&format!("  run {run} at {path} waits since {}\n", date(wait.since_us)));
        }
        text.push_str(&format!("  take it away: piton locks break {} --reason '...'\n", shell_word(name)));
    }
    text
}
