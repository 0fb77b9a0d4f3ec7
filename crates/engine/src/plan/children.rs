//! Child runs while planning: the plan of another runbook, as a scope of this one's.
//!
//! Owns how the two become one list of entries. A child's reads are live where its parent's would be.

use super::host::About;
use super::{NothingKnown, Planner, Planning, Track};
use crate::shared::lock;
use piton_core::action::ChildRun;
use piton_core::event::Stored;
use piton_core::plan::{Entry, Step, What};
use piton_core::ports::Unwind;
use piton_core::scope::Scope;
use piton_core::{Outcome, Path};
use std::sync::Arc;

impl Planner {
    pub(super) fn plan_child(&self, about: About<'_>, step: Step, child: &ChildRun) -> Result<Stored<Outcome>, Unwind> {
        if let Some(window) = about.scope.window() {
            let message =
                format!("{}: a window waits for nobody: run() cannot be inside \"{}\"", about.site, window.path);
            return Err(Unwind::Program(message));
        }
        let Some(program) = self.planning.program.child(&child.file) else {
            return Err(Unwind::Broken(format!("a bug in Piton: {} is not loaded as a child run", child.file)));
        };
        self.record(about.scope, about.path, Some(about.site), What::Step(Box::new(step)));
        let changed = self.track(about.scope, |track| track.changed);
        let planning = Planning {
            program,
            params: child.params.clone(),
            executor: self.planning.executor.clone(),
            vault: self.planning.vault.clone(),
            run_dir: self.planning.run_dir.clone(),
            root: self.planning.root.clone(),
            offline: self.planning.offline,
            oracle: Arc::new(NothingKnown),
            cancel: self.planning.cancel.clone(),
        };
        let inner = Self::new(planning, self.looks.clone());
        lock(&inner.tracks).insert(Path::root(), Track { changed, ..Track::default() });
        let result = inner.evaluate();
        let mut known = result.is_ok();
        let value = inner.close(&Scope::run(), result)?;
        let planned = lock(&inner.tracks).remove(&Path::root()).unwrap_or_default();
        // What it gives is known where every step of it is.
        known &= planned.holes == 0 && planned.changed == changed;
        self.track(about.scope, |track| {
            track.changed |= planned.changed;
            track.holes += planned.holes + u64::from(!known);
            track.entries.extend(planned.entries.into_iter().map(|entry| below(about.path, entry)));
        });
        let hole = || Outcome::hole(&format!("\"{}\"", about.path.name()));
        let outcome = if known { Outcome { ok: true, value: Some(value), ..Outcome::default() } } else { hole() };
        Ok(Stored::seal(&outcome))
    }
}

fn below(step: &Path, entry: Entry) -> Entry {
    let path = if entry.path.is_root() {
        step.clone()
    } else {
        Path::from_escaped(&format!("{}/{}", step.as_str(), entry.path.as_str()))
    };
    Entry { path, ..entry }
}
