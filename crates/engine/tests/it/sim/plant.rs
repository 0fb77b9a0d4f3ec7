//! Faults planted between an engine and its journal, to see that the checks catch what they are for.
//!
//! Owns the mangling: events on their way into the journal, records on their way back to the next engine, a store that
//! does not heed the fence. The engine itself is the shipped one, and stays so.

use piton_core::action::Effect;
use piton_core::event::{AttemptStarted, Event, How, StepSucceeded, Stored};
use piton_core::record::Sealed;
use piton_core::{Digest, Outcome};
use std::sync::Arc;

/// An engine with this between it and its journal acts as one with the fault in its code would.
#[derive(Clone)]
pub(crate) struct Plant {
    /// What the journal gets instead of an event.
    pub(crate) writes: Arc<dyn Fn(Event) -> Vec<Event> + Send + Sync>,
    /// Whether the next engine heeds a record.
    pub(crate) reads: Arc<dyn Fn(&Event) -> bool + Send + Sync>,
    /// Whoever has had a lease may append.
    pub(crate) ignores_fence: bool,
}

impl Plant {
    pub(crate) fn nothing() -> Self {
        Self { writes: Arc::new(|event| vec![event]), reads: Arc::new(|_| true), ignores_fence: false }
    }

    pub(crate) fn writing(writes: impl Fn(Event) -> Vec<Event> + Send + Sync + 'static) -> Self {
        Self { writes: Arc::new(writes), ..Self::nothing() }
    }

    pub(crate) fn reading(reads: impl Fn(&Event) -> bool + Send + Sync + 'static) -> Self {
        Self { reads: Arc::new(reads), ..Self::nothing() }
    }

    /// What the journal gets for a record, chained to what it has.
    pub(super) fn as_written(&self, journal: &[Sealed], sealed: &Sealed) -> Vec<Sealed> {
        let event = serde_json::from_str(&sealed.body).expect("engines write events");
        let head = journal.last().map_or((Digest::ZERO, 0), |last| (last.hash, last.seq));
        rechained(head, (self.writes)(event).iter().map(|event| (sealed, json(event))))
    }

    /// What an engine makes of the journal it reads.
    pub(super) fn as_read(&self, journal: &[Sealed]) -> Vec<Sealed> {
        let heeded = journal.iter().filter(|sealed| {
            let event = serde_json::from_str(&sealed.body).expect("a journal has events");
            (self.reads)(&event)
        });
        rechained((Digest::ZERO, 0), heeded.map(|sealed| (sealed, sealed.body.clone())))
    }
}

fn json(event: &Event) -> String {
    serde_json::to_string(event).expect("events serialise")
}

/// These bodies as a chain of their own, with the times and the leases of these records.
fn rechained<'a>(
    (mut head, mut seq): (Digest, u64),
    bodies: impl Iterator<Item = (&'a Sealed, String)>,
) -> Vec<Sealed> {
    let mut records = Vec::new();
    for (like, body) in bodies {
        seq += 1;
        let sealed = Sealed::new(head, seq, like.at, like.fence, body);
        head = sealed.hash;
        records.push(sealed);
    }
    records
}

/// The end of a step as if this attempt had been performed well.
pub(crate) fn performed(started: &AttemptStarted) -> StepSucceeded {
    StepSucceeded {
        path: started.path.clone(),
        generation: started.generation,
        attempt: started.attempt,
        fingerprint: started.fingerprint,
        kind: started.kind,
        effect: Some(Effect::Write),
        site: started.site.clone(),
        how: How::Performed,
        outcome: Stored::seal(&Outcome { ok: true, ..Outcome::default() }),
        undo: None,
        summary: None,
        evidence: None,
    }
}
