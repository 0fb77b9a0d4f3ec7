//! Ends a command and everything below it: its group, those who left the group, those who daemonised.
//!
//! Owns finding and signalling descendants of this supervisor. Being a subreaper, it is the parent of every orphan
//! below it, so what has no path up to it is not of its making. Never signals a number without knowing whose it is.

use super::record::Survivor;
use crate::linux::{self, Identity, Stat};
use rustix::process::{Pid, Signal, kill_process_group};
use std::collections::HashMap;
use std::io;

/// Every living process below this one, found through its parents.
pub(super) fn descendants() -> io::Result<Vec<Stat>> {
    let me = i32::try_from(std::process::id()).map_err(io::Error::other)?;
    Ok(below(linux::processes()?, |pid| pid == me))
}

/// Those whose chain of parents meets a root; without the roots themselves and without the dead.
pub(super) fn below(all: Vec<Stat>, is_root: impl Fn(i32) -> bool) -> Vec<Stat> {
    let parents: HashMap<i32, i32> = all.iter().map(|stat| (stat.id.pid, stat.parent)).collect();
    let is_below = |stat: &Stat| {
        let mut at = stat.parent;
        // Bounded: a scan is no snapshot, so a loop is thinkable.
        for _ in 0..parents.len() {
            if is_root(at) {
                return true;
            }
            match parents.get(&at) {
                Some(parent) => at = *parent,
                None => return false,
            }
        }
        false
    };
    all.iter().filter(|stat| !stat.is_dead() && is_below(stat)).cloned().collect()
}

/// Signals the command's group and every other descendant. `group`: the command's process, as long as it is not reaped;
/// afterwards its number may belong to anybody.
pub(super) fn signal_all(group: Option<Identity>, signal: Signal) -> io::Result<()> {
    if let Some(pid) = group.and_then(|id| Pid::from_raw(id.pid)) {
        // An error means that nobody is left in it.
        let _ = kill_process_group(pid, signal);
    }
    for stat in descendants()? {
        // Never twice: some programs take a second signal for impatience.
        if group.is_some_and(|id| id.pid == stat.group) {
            continue;
        }
        if let Err(error) = linux::signal(stat.id, signal)
            && error.kind() != io::ErrorKind::PermissionDenied
        {
            return Err(error);
        }
    }
    Ok(())
}

/// What a record says of them.
pub(super) fn survivors(stats: &[Stat]) -> Vec<Survivor> {
    stats.iter().map(|stat| Survivor { process: stat.id, name: stat.name.clone() }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descendants_are_found_through_the_dead_and_a_loop_ends() {
        let stat = |pid, parent, state| Stat {
            id: Identity { pid, start: 1 },
            name: String::new(),
            state,
            parent,
            group: pid,
            session: pid,
        };
        let all =
            vec![stat(2, 1, 'S'), stat(3, 2, 'Z'), stat(4, 3, 'D'), stat(5, 9, 'S'), stat(6, 7, 'S'), stat(7, 6, 'S')];
        let found: Vec<i32> = below(all, |pid| pid == 2).iter().map(|stat| stat.id.pid).collect();
        assert_eq!(found, [4]);
    }
}
