//! What an edit leaves behind in flight: ended before anything else runs, and never forgotten at the run's end.
//!
//! Owns ending and dropping such steps, and asking a person where they may have changed something and nobody was told.
//! Which steps those are is `core`'s to say.

use crate::shared::{Shared, lock};
use piton_core::decide::dropped::{LeftOver, left_over, to_drop};
use piton_core::event::{Event, StepHeld};
use piton_core::hold::HoldReason;
use piton_core::ports::Unwind;
use piton_core::{Path, RunState};
use std::collections::HashSet;

impl Shared {
    /// The program comes to this step. Kept only where an edit may have made it come to fewer.
    pub(crate) fn visit(&self, path: &Path) {
        if self.edited {
            lock(&self.visited).insert(path.clone());
        }
    }

    /// Ends and drops what the last edit drops. False where nobody can say that all of it has ended.
    pub(crate) fn drop_what_the_edit_drops(&self) -> Result<bool, Unwind> {
        let paths: HashSet<Path> = self.journal.with(to_drop).into_iter().collect();
        if paths.is_empty() || self.drop_steps(&paths)? {
            self.leave_what_the_edit_leaves();
            return Ok(true);
        }
        // A window waits for nobody.
        let window = self.journal.with(|state| {
            let open = state.open_window().filter(|window| !window.committed);
            open.map(|window| window.path.clone()).filter(|window| paths.iter().any(|path| path.is_within(window)))
        });
        match window {
            Some(window) => self.go_back(&window, "what an edit drops cannot be ended"),
            None => return Ok(false),
        }
        Ok(true)
    }

    /// The scopes that the edited program has no more are left, and their locks given up. A guard that has tripped keeps its
    /// scope until a person has decided.
    fn leave_what_the_edit_leaves(&self) {
        self.journal.transact(|state| {
            let Some(edited) = state.edited.clone() else { return (Vec::new(), ()) };
            let entered = |path: &&Path| state.scopes.get(*path).is_some_and(|scope| scope.left_at.is_none());
            let trips = |path: &&Path| state.other_holds.keys().any(|guard| guard.is_within(path));
            let left = edited.left.iter().filter(entered).filter(|path| !trips(path));
            (left.map(|path| Event::ScopeLeft { path: path.clone() }).collect(), ())
        });
    }

    /// A window that the edited program has no more: it goes back, or holds past its commit point. False: there is none.
    pub(crate) fn window_left_open(&self) -> Result<bool, Unwind> {
        let window =
            self.journal.with(|state| state.open_window().map(|window| (window.path.clone(), window.committed)));
        let Some((path, committed)) = window else { return Ok(false) };
        if !committed {
            self.go_back(&path, "the edited runbook has it no more");
            self.finish_going_back(&path)?;
            return Ok(true);
        }
        let message = format!(
            "the runbook has come to its end, and its window \"{path}\" is open past its commit point: \
             give the window back to the runbook, and go on with resume --edited"
        );
        let reason = HoldReason::Program { message };
        self.journal.transact(|state| {
            let new = !state.run_holds.contains(&reason);
            (new.then_some(Event::RunHeld { reason }).into_iter().collect(), ())
        });
        self.journal.flush()?;
        Err(Unwind::Held)
    }

    /// The program has come to its end: what it has not come to is dropped, or held for a person.
    pub(crate) fn leave_nothing_behind(&self) -> Result<(), Unwind> {
        let left = self.journal.with(|state| {
            let visited = lock(&self.visited);
            left_over(state, |path| visited.contains(path))
        });
        let (mut drops, mut holds) = (HashSet::new(), Vec::new());
        for (path, what) in left {
            match what {
                LeftOver::Drop => _ = drops.insert(path),
                LeftOver::Hold(reason) => holds.push((path, reason)),
            }
        }
        if !holds.is_empty() {
            self.journal.transact(|state| {
                let held = |(path, reason)| {
                    let step = state.steps.get(&path)?;
                    let (generation, kind, site) = (step.generation, step.kind, step.site.clone());
                    Some(Event::StepHeld(StepHeld { path, generation, kind, site, reason }))
                };
                (holds.into_iter().filter_map(held).collect(), ())
            });
            self.changes.notify();
        }
        if !drops.is_empty() {
            self.drop_steps(&drops)?;
        }
        self.journal.flush()?;
        Ok(())
    }

    /// Why an evaluation came to no end and nothing holds: an edit has put a step where nothing begins any more.
    pub(crate) fn why_stopped(&self, state: &RunState) -> String {
        let visited = lock(&self.visited);
        let unknown = |path: &&Path| !state.steps.contains_key(*path) && !state.scopes.contains_key(*path);
        let settled = visited.iter().filter(unknown).find_map(|path| {
            let mut around = std::iter::successors(path.parent(), Path::parent);
            around.find(|scope| state.is_settled(scope)).map(|scope| (path, scope))
        });
        match settled {
            Some((path, scope)) => format!(
                "the edited runbook has a new step \"{path}\" in \"{scope}\", whose end is settled: nothing begins there any \
                 more; put it behind that scope, or take the scope back first (piton undo {} --to '{scope}')",
                self.run.short()
            ),
            None => "a bug in Piton: the run stopped without a reason".to_owned(),
        }
    }

    fn drop_steps(&self, paths: &HashSet<Path>) -> Result<bool, Unwind> {
        let whole = self.end_open(|path| paths.contains(path), "ended: the edited runbook has it no more")?;
        self.journal.transact(|state: &RunState| {
            let ended = |(path, step): (&Path, &piton_core::state::Step)| {
                let ended = paths.contains(path) && step.open.is_none();
                ended.then(|| Event::StepDropped { path: path.clone(), generation: step.generation })
            };
            (state.steps_in_order().into_iter().filter_map(ended).collect(), ())
        });
        self.journal.flush()?;
        Ok(whole)
    }
}
