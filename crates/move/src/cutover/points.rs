//! Named points of a cutover at which its process dies or stands still, for those who test what comes of that.
//!
//! Owns two variables of the environment; without them nothing happens here. A point is `before:` or `after:` and a step
//! as `steps` names it, such as `before:Commit`. Never used in a move that is meant.

use std::fs::File;
use std::io::Write as _;

use rustix::process::{Signal, getpid, kill_process};

use super::steps::Step;

/// `POINT`: the process dies there, as if killed, whenever it comes there.
const KILL: &str = "PITON_CUTOVER_KILL";
/// `POINT=FILE`: the first process to come there, and only that one, makes the file with its process id in it and stands
/// still (SIGSTOP), until somebody lets it go on (SIGCONT) or kills it. So another's death can be put exactly there.
const STOP: &str = "PITON_CUTOVER_STOP";

pub(super) fn reached(when: &str, step: Step) {
    let is_here = |point: &str| point == format!("{when}:{step:?}");
    if std::env::var(KILL).is_ok_and(|point| is_here(&point)) {
        std::process::abort();
    }
    let stop = std::env::var(STOP).unwrap_or_default();
    let Some((_, file)) = stop.split_once('=').filter(|(point, _)| is_here(point)) else { return };
    // The file is there already: somebody has stood here before.
    let Ok(mut marker) = File::create_new(file) else { return };
    // Whoever waits for the file waits for the line's end; without one this process is not stopped for ever.
    if writeln!(marker, "{}", std::process::id()).is_ok() {
        let _ = kill_process(getpid(), Signal::STOP);
    }
}
