//! What a person is told of child runs: the links both ways, and what is safe to do where one waits.
//!
//! Owns these words. Foreign text in them is made harmless by whoever prints them.

use super::failure::{self, Offer};
use super::text::clip;
use piton_core::child::{self, Child, ChildWait, Parent};
use piton_core::event::{Event, Handle};
use piton_core::ids::RunId;
use piton_core::record::Record;
use piton_core::{Path, RunState};

/// Characters of what is told in one line.
const MAX_CHARS: usize = 300;

/// The plain view's word and text for an event about a child run.
pub(crate) fn line(record: &Record) -> Option<(&'static str, String)> {
    let Event::ChildStands(stands) = &record.event else { return None };
    Some(match &stands.waits {
        Some(wait) => ("waits", format!("{}: {}", stands.path, waits(&stands.run, wait))),
        None => ("goes on", format!("{}: its child run {}", stands.path, stands.run)),
    })
}

/// Which run an attempt is, after what it does.
pub(crate) fn started_as(handle: &Handle) -> String {
    match handle {
        Handle::Run { run } => format!("  as run {run}"),
        _ => String::new(),
    }
}

/// Where to see what an attempt came to that was a run, or took one back.
pub(crate) fn became(handle: Option<&Handle>) -> Option<Offer> {
    let Some(Handle::Run { run }) = handle else { return None };
    Some(Offer { command: format!("piton show {}", run.short()), does: "see how its child run stands" })
}

/// What a step waits for, in one line with the command that goes on.
pub(crate) fn waits(run: &RunId, wait: &ChildWait) -> String {
    let verb = if wait.held { "holds" } else { "waits for a person" };
    format!("waits for its child run {run}: {}   ({verb}: {})", wait.command(run), clip(&wait.why, MAX_CHARS))
}

/// The line that says which run and step this one belongs to.
pub(crate) fn part_of(parent: &Parent) -> String {
    format!("run {}, its step \"{}\"   piton show {}", parent.run, parent.path, parent.run.short())
}

/// A run that nobody drives, and that goes on when its child runs do.
pub(crate) fn follows(state: &RunState) -> String {
    let waits = |path: &Path| state.children.get(path).is_some_and(|child| child.waits.is_some());
    let at_work = child::open(state)
        .filter(|(path, _)| !waits(path))
        .map(|(_, run)| Offer { command: format!("piton watch {}", run.short()), does: "follow its child run" });
    let mut text = "the run goes on by itself when its child run has ended\n".to_owned();
    failure::push_offers(&mut text, "next", &at_work.collect::<Vec<_>>());
    text
}

/// A child run that its step waits for.
pub(crate) struct Awaited<'a> {
    pub(crate) path: &'a Path,
    pub(crate) run: &'a RunId,
    pub(crate) why: &'a str,
    pub(crate) offers: Vec<Offer>,
}

pub(crate) fn awaited(state: &RunState) -> impl Iterator<Item = Awaited<'_>> {
    state.children.iter().filter_map(|(path, child)| {
        let Child { run, waits } = child;
        let wait = waits.as_ref()?;
        let see = Offer { command: format!("piton show {}", run.short()), does: "see what it waits for" };
        let resume = Offer { command: wait.command(run), does: "go on with it" };
        let end = Offer { command: format!("piton abort {}", run.short()), does: "end it; its step fails then" };
        let offers = if wait.held { vec![see, resume, end] } else { vec![see, end] };
        Some(Awaited { path, run, why: &wait.why, offers })
    })
}
