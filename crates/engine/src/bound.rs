//! Keeping a run to what was decided: the plan it was approved with, and the commit points it has passed.
//!
//! Owns when the plan is asked: before a step begins that the journal does not know, and, for the steps of a window,
//! before it opens. What a plan excludes is `core`'s to say.

use crate::plan::{Journaled, NoPlan, Planning, entries};
use crate::shared::{Shared, lock};
use crate::step::About;
use piton_core::hold::{Choice, HoldReason};
use piton_core::plan::{Asked, Bound, Departure, Entry, Step as Planned};
use piton_core::ports::{Program, Unwind};
use piton_core::scope::Scope;
use piton_core::state::{Phase, Step};
use piton_core::{Digest, Path};
use serde::Serialize;
use serde_json::Value as Json;
use std::sync::Arc;

/// A plan that a run is bound to.
#[derive(Clone)]
pub struct Approved {
    pub plan: Arc<Bound>,
    /// The planning copy of the run's program, for looking ahead.
    pub program: Arc<dyn Program>,
}

/// Where a step stands between the plan and a person.
enum Standing {
    /// The plan is asked.
    New,
    /// It was begun, or a person let it depart.
    Allowed,
    /// A person has to decide.
    Held,
}

fn standing(step: Option<&Step>, fingerprint: Digest) -> Standing {
    let Some(step) = step else { return Standing::New };
    match &step.phase {
        Phase::Undone => Standing::New,
        Phase::Held(reason) if matches!(**reason, HoldReason::Departed { .. }) => Standing::Held,
        Phase::Decided { choice: Choice::Depart, .. } => Standing::Allowed,
        // A person's word was about that action; an edit has made another of it.
        _ if step.fingerprint != fingerprint && step.fingerprint != Digest::ZERO => Standing::New,
        _ => Standing::Allowed,
    }
}

impl Shared {
    /// Holds where an edit has put a new step before a commit point that is passed: what comes there is done.
    pub(crate) fn keep_behind_commit_points(&self, about: About<'_>) -> Result<(), Unwind> {
        let seen = lock(&self.commit_points_seen);
        let ahead = self.journal.with(|state| {
            let ahead = |commit: &&Path| !seen.contains(*commit) && state.settled_around(commit).is_none();
            let new = !state.steps.contains_key(about.path);
            state.commit_points.iter().map(|(path, _)| path).find(ahead).filter(|_| new).cloned()
        });
        drop(seen);
        let Some(commit) = ahead else { return Ok(()) };
        let why = format!("and the commit point \"{commit}\" behind it is passed");
        Err(self.hold(about, HoldReason::Inserted { why })?)
    }

    /// Holds where the run's plan excludes what is about to begin.
    pub(crate) fn keep_to_plan<T: Serialize>(
        &self,
        about: About<'_>,
        action: &T,
        summary: impl FnOnce() -> String,
    ) -> Result<(), Unwind> {
        let Some(approved) = &self.options.approved else { return Ok(()) };
        if !self.journal.with(|state| matches!(standing(state.steps.get(about.path), about.fingerprint), Standing::New))
        {
            return Ok(());
        }
        let action = serde_json::to_value(action).unwrap_or(Json::Null);
        let asked = Asked { path: about.path, kind: about.kind, action: &action, fingerprint: about.fingerprint };
        match approved.plan.departure(asked) {
            None => Ok(()),
            Some(departure) => Err(self.hold(about, departed(departure, summary()))?),
        }
    }

    /// Plans the rest of the run with its journal as it is, and holds where the window would do what the run's plan
    /// excludes: once it is open, it could only go back.
    pub(crate) fn look_ahead(&self, window: &Arc<Scope>) -> Result<(), Unwind> {
        let (Some(approved), Some(outside)) = (&self.options.approved, &window.parent) else { return Ok(()) };
        for entry in self.planned(approved)?.iter().filter(|entry| entry.path.is_within(&window.path)) {
            let Some(step) = entry.step() else { continue };
            let asked = Asked {
                path: &entry.path,
                kind: step.kind,
                action: &step.action,
                fingerprint: step.fingerprint.unwrap_or(Digest::ZERO),
            };
            let Some(departure) = approved.plan.departure(asked) else { continue };
            let standing = self.journal.with(|state| {
                let known = state.steps.get(&entry.path);
                // What has holes is not known to be another action.
                let now = step.fingerprint.or(known.map(|known| known.fingerprint));
                standing(known, now.unwrap_or(Digest::ZERO))
            });
            match standing {
                Standing::Allowed => {}
                Standing::Held => return Err(Unwind::Held),
                Standing::New => return Err(self.hold_ahead(outside, entry, step, departure)?),
            }
        }
        Ok(())
    }

    fn hold_ahead(
        &self,
        outside: &Arc<Scope>,
        entry: &Entry,
        step: &Planned,
        departure: Departure,
    ) -> Result<Unwind, Unwind> {
        let site = entry.site.clone().unwrap_or_default();
        let about = About {
            scope: outside,
            path: &entry.path,
            kind: step.kind,
            site: &site,
            fingerprint: step.fingerprint.unwrap_or(Digest::ZERO),
            effect: step.effect,
        };
        self.hold(about, departed(departure, piton_core::hole::render(&step.summary)))
    }

    fn planned(&self, approved: &Approved) -> Result<Vec<Entry>, Unwind> {
        // What is read now must see what was done.
        self.journal.flush()?;
        let (known, params) = self.journal.with(|state| (Journaled::of(state), state.params().to_vec()));
        let registered = self.register(&Path::root());
        let planning = Planning {
            program: approved.program.clone(),
            params,
            executor: self.ports.executor.clone(),
            vault: self.ports.vault.clone(),
            run_dir: self.run_dir.clone(),
            root: self.root.clone(),
            offline: false,
            oracle: Arc::new(known),
            cancel: registered.cancel.clone(),
        };
        entries(planning).map_err(|why| match why {
            NoPlan::Program(message) => Unwind::Program(message),
            NoPlan::Cancelled => Unwind::Stopping,
            NoPlan::Broken(why) => Unwind::Broken(why),
        })
    }
}

fn departed(departure: Departure, now: String) -> HoldReason {
    let planned = match departure {
        Departure::New => None,
        Departure::Changed { planned } => Some(piton_core::hole::render(&planned)),
    };
    HoldReason::Departed { now, planned }
}
