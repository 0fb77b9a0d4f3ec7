//! After a supervisor's own death: finds what is left of its command, ends it, and proves that nothing is alive.
//!
//! Owns the proof. A process belongs to an attempt when it was started with the attempt's marker in its environment, is
//! in the session that the supervisor had made, is the command itself, or descends from one that does. Only a process
//! that left the session, dropped its environment and lost all its parents escapes this; a living supervisor, being a
//! subreaper, would have found that one too.
//! Never signals a process by its number alone.

use super::attempt::{Attempt, Claim, Claimed, MARKER};
use super::ending::{below, survivors};
use super::record::listed;
use crate::linux::{self, Identity, Stat};
use rustix::process::Signal;
use std::collections::HashSet;
use std::io;
use std::time::{Duration, Instant};

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What KILL has not ended after this long hangs in the kernel.
const GIVE_UP: Duration = Duration::from_secs(10);

/// Clean looks in a row that prove it: a scan of /proc is no snapshot, and something may fork behind its back.
const CLEAN_LOOKS: u32 = 2;

/// Ends everything of the attempt: TERM, `grace`, KILL. `Err`: why it cannot be proven that nothing is alive.
pub(super) fn end(attempt: &Attempt, claimed: &Claimed, grace: Duration) -> Result<(), String> {
    let unseen = |error: io::Error| format!("processes cannot be looked at: {error}");
    let kill_at = Instant::now() + grace;
    let give_up_at = kill_at + GIVE_UP;
    let mut asked: HashSet<i32> = HashSet::new();
    let mut clean = 0;
    loop {
        let alive = of_attempt(attempt, claimed).map_err(unseen)?;
        if alive.iter().any(|stat| u32::try_from(stat.id.pid) == Ok(std::process::id())) {
            return Err("this very process was started by it".into());
        }
        clean = if alive.is_empty() { clean + 1 } else { 0 };
        if clean == CLEAN_LOOKS {
            return Ok(());
        }
        let now = Instant::now();
        if now >= give_up_at {
            return Err(format!("still alive: {}", listed(&survivors(&alive))));
        }
        for stat in &alive {
            let signals: &[Signal] = match now >= kill_at {
                true => &[Signal::KILL],
                // Asked once: some programs take a second TERM for impatience.
                false if asked.insert(stat.id.pid) => &[Signal::TERM, Signal::CONT],
                false => &[],
            };
            for signal in signals {
                linux::signal(stat.id, *signal).map_err(|error| {
                    format!("{} cannot be ended: {error}", listed(&survivors(std::slice::from_ref(stat))))
                })?;
            }
        }
        if clean == 0 {
            std::thread::sleep(LOOK_EVERY);
        }
    }
}

fn of_attempt(attempt: &Attempt, claimed: &Claimed) -> io::Result<Vec<Stat>> {
    let marker = format!("{MARKER}={}", attempt.mark()?);
    let session = match &claimed.claim {
        Some(Claim::Supervisor { process, .. }) => session_of(*process)?,
        _ => None,
    };
    let all = linux::processes()?;
    let mut roots = HashSet::new();
    for stat in all.iter().filter(|stat| !stat.is_dead()) {
        let known = Some(stat.id) == claimed.command || Some(stat.session) == session;
        // A process that we may not look into is another user's; those of the session are known already.
        if known || linux::started_with(stat.id.pid, &marker)? == Some(true) {
            roots.insert(stat.id.pid);
        }
    }
    let mut ours: Vec<Stat> = all.iter().filter(|stat| roots.contains(&stat.id.pid)).cloned().collect();
    let more = below(all, |pid| roots.contains(&pid));
    ours.extend(more.into_iter().filter(|stat| !roots.contains(&stat.id.pid)));
    Ok(ours)
}

/// The session that the supervisor had made: its number is not given away while anything lives in it. `None`: the number
/// belongs to another process now, so nothing of that session was left.
fn session_of(supervisor: Identity) -> io::Result<Option<i32>> {
    let same = linux::stat(supervisor.pid)?.is_none_or(|stat| stat.id == supervisor);
    Ok(same.then_some(supervisor.pid))
}
