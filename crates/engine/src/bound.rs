//! Keeping a run to the plan it was approved with.
//!
//! Owns when the plan is asked: before a step begins that the journal does not know, and, for the steps of a window,
//! before it opens. What a plan excludes is `core`'s to say.

use crate::plan::{NoPlan, Oracle, Planning, entries};
use crate::shared::Shared;
use crate::step::About;
use piton_core::event::Stored;
use piton_core::hold::HoldReason;
use piton_core::plan::{Asked, Bound, Departure, Entry, Step as Planned};
use piton_core::ports::{Program, Unwind};
use piton_core::scope::Scope;
use piton_core::state::{Phase, Step};
use piton_core::{Digest, Outcome, Path};
use serde::Serialize;
use serde_json::Value as Json;
use std::collections::HashMap;
use std::sync::Arc;

/// A plan that a run is bound to.
#[derive(Clone)]
pub struct Approved {
    pub plan: Arc<Bound>,
    /// The planning copy of the run's program, for looking ahead.
    pub program: Arc<dyn Program>,
}

/// What the run's journal has, while it is planned on.
struct Journaled(HashMap<Path, (Digest, Stored<Outcome>)>);

impl Oracle for Journaled {
    fn known(&self, path: &Path, fingerprint: Digest) -> Option<Stored<Outcome>> {
        let (known, outcome) = self.0.get(path)?;
        (*known == fingerprint).then(|| outcome.clone())
    }
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

fn standing(step: Option<&Step>) -> Standing {
    match step.map(|step| &step.phase) {
        None | Some(Phase::Undone) => Standing::New,
        Some(Phase::Held(reason)) if matches!(**reason, HoldReason::Departed { .. }) => Standing::Held,
        Some(_) => Standing::Allowed,
    }
}

impl Shared {
    /// Holds where the run's plan excludes what is about to begin.
    pub(crate) fn keep_to_plan<T: Serialize>(
        &self,
        about: About<'_>,
        action: &T,
        summary: impl FnOnce() -> String,
    ) -> Result<(), Unwind> {
        let Some(approved) = &self.options.approved else { return Ok(()) };
        if !self.journal.with(|state| matches!(standing(state.steps.get(about.path)), Standing::New)) {
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
            match self.journal.with(|state| standing(state.steps.get(&entry.path))) {
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
        let done = |(path, step): (&Path, &Step)| match &step.phase {
            Phase::Succeeded { outcome, .. } => Some((path.clone(), (step.fingerprint, outcome.clone()))),
            _ => None,
        };
        let (known, params) = self.journal.with(|state| {
            let params = state.started.as_ref().map(|started| started.params.clone());
            (state.steps.iter().filter_map(done).collect(), params.unwrap_or_default())
        });
        let registered = self.register(&Path::root());
        let planning = Planning {
            program: approved.program.clone(),
            params,
            executor: self.ports.executor.clone(),
            vault: self.ports.vault.clone(),
            run_dir: self.run_dir.clone(),
            root: self.root.clone(),
            offline: false,
            oracle: Arc::new(Journaled(known)),
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
