//! What a program may ask while it is planned.
//!
//! Owns the order of looking, answering and writing down for each built-in. Never performs a write.

use super::live::Live;
use super::{Planner, unknown_result};
use crate::scopes::passed;
use piton_core::action::Effect;
use piton_core::event::{Evidence, Stored};
use piton_core::guard::Guard;
use piton_core::hole;
use piton_core::outcome::Failure;
use piton_core::plan::{Known, Step, What};
use piton_core::ports::{Host, Unwind};
use piton_core::request::{
    Ask, BranchesRequest, Callbacks, Check, PersonRequest, PollRequest, Predicate, Site, StepKind, StepRequest,
    UndoForm, WaitRequest,
};
use piton_core::scope::{Catcher, Scope, ScopeKind};
use piton_core::{Action, Digest, Outcome, Path, Value};
use serde::Serialize;
use serde_json::Value as Json;
use std::sync::Arc;

impl Host for Planner {
    fn step(
        &self,
        scope: &Arc<Scope>,
        request: &StepRequest,
        callbacks: &mut dyn Callbacks,
    ) -> Result<Stored<Outcome>, Unwind> {
        self.going_on()?;
        let mut step = planned(request.kind, &request.action, request.action.summary(), request.fingerprint());
        step.effect = Some(request.action.effect());
        step.requires = request.requires.as_ref().map(described);
        step.ensures = request.ensures.as_ref().map(described);
        let about = About { scope, path: &request.path, site: &request.site };
        if let Some(outcome) = self.remembered(&step, about.path, request.fingerprint()) {
            step.doubt = self.doubted(about, request.ensures.as_ref(), callbacks);
            return Ok(self.known(about, step, Known::Done, outcome));
        }
        if let Action::Run(child) = &*request.action {
            step.undo = Some("the run is taken back".to_owned());
            return self.plan_child(about, step, child);
        }
        if let Some(requires) = &request.requires
            && let Some(failure) = self.unmet(about, requires, callbacks)
        {
            return Err(self.fails(about, step, failure));
        }
        match request.action.effect() {
            Effect::Read => self.read(about, request, step, callbacks),
            Effect::Write => Ok(self.write(about, request, step, callbacks)),
        }
    }

    fn poll(
        &self,
        scope: &Arc<Scope>,
        request: &PollRequest,
        _: &mut dyn Callbacks,
    ) -> Result<Stored<Outcome>, Unwind> {
        self.going_on()?;
        let action = &request.check.action;
        let summary = format!("until {}, every {}, at most {}", action.summary(), request.every, request.timeout);
        let mut step = planned(StepKind::Poll, action, summary, request.fingerprint());
        step.effect = Some(Effect::Read);
        let about = About { scope, path: &request.path, site: &request.site };
        Ok(self.waits(about, step, request.fingerprint()))
    }

    fn wait(&self, scope: &Arc<Scope>, request: &WaitRequest) -> Result<(), Unwind> {
        self.going_on()?;
        let summary = format!("wait {}", request.duration);
        let step = planned(StepKind::Wait, &request.duration, summary, request.fingerprint());
        let about = About { scope, path: &request.path, site: &request.site };
        self.waits(about, step, request.fingerprint());
        Ok(())
    }

    fn person(
        &self,
        scope: &Arc<Scope>,
        request: &PersonRequest,
        callbacks: &mut dyn Callbacks,
    ) -> Result<Stored<Outcome>, Unwind> {
        self.going_on()?;
        if scope.window().is_some() {
            let message = format!("{}: a window never waits for a person: ask before it opens", request.site);
            return Err(Unwind::Program(message));
        }
        let mut step = planned(request.ask.kind(), &request.ask, question(&request.ask), request.fingerprint());
        step.ensures = request.ensures.as_ref().map(described);
        let about = About { scope, path: &request.path, site: &request.site };
        if let Some(outcome) = self.remembered(&step, about.path, request.fingerprint()) {
            return Ok(self.known(about, step, Known::Done, outcome));
        }
        if let Some(ensures) = &request.ensures
            && let Live::Holds(outcome) = self.look(about, ensures, Predicate::Ensures, callbacks)
        {
            return Ok(self.known(about, step, Known::AlreadyTrue, Stored::seal(&outcome)));
        }
        // An approval changes nothing that a read could see; a person at work does.
        let changes = matches!(request.ask, Ask::Manual { .. });
        Ok(self.later(about, step, changes))
    }

    fn scope(&self, scope: &Arc<Scope>, body: &mut dyn FnMut() -> Result<Value, Unwind>) -> Result<Value, Unwind> {
        self.going_on()?;
        self.record(scope, &scope.path, None, entered(scope, None));
        let before = self.track(scope, |track| track.holes);
        let result = body();
        if scope.kind == ScopeKind::Attempt {
            return self.attempted(scope, before, result);
        }
        self.close_unless_caught(scope, result)
    }

    fn branches(&self, scope: &Arc<Scope>, request: BranchesRequest) -> Result<Vec<Value>, Unwind> {
        self.going_on()?;
        self.plan_branches(scope, &request)
    }

    fn commit_point(&self, scope: &Arc<Scope>, path: &Path) -> Result<(), Unwind> {
        if scope.in_branch() {
            let message = format!("the commit point \"{path}\" is inside a branch: other branches would be half done");
            return Err(Unwind::Program(message));
        }
        self.record(scope, path, None, What::CommitPoint);
        Ok(())
    }

    fn emit(&self, _: &Arc<Scope>, _: &Path, _: &str, _: &Value) -> Result<(), Unwind> {
        self.going_on()
    }

    fn note(&self, _: &Arc<Scope>, _: &Path, _: &str) -> Result<(), Unwind> {
        self.going_on()
    }
}

/// The line of a scope.
pub(super) fn entered(scope: &Scope, total: Option<u64>) -> What {
    let guards = scope.guards.iter().map(Guard::told).collect();
    What::Scope { kind: scope.kind.clone(), total, concurrency: None, guards }
}

/// The line of a scope with branches.
pub(super) fn entered_branches(scope: &Scope, total: Option<u64>, at_a_time: u32) -> What {
    let mut what = entered(scope, total);
    if let What::Scope { concurrency, .. } = &mut what {
        *concurrency = Some(at_a_time);
    }
    what
}

/// Which step is planned.
#[derive(Clone, Copy)]
pub(super) struct About<'a> {
    pub(super) scope: &'a Arc<Scope>,
    pub(super) path: &'a Path,
    pub(super) site: &'a Site,
}

impl Planner {
    fn remembered(&self, step: &Step, path: &Path, fingerprint: Digest) -> Option<Stored<Outcome>> {
        // What has holes may have been done with any value in their place.
        step.fingerprint?;
        self.planning.oracle.known(path, fingerprint)
    }

    fn read(
        &self,
        about: About<'_>,
        request: &StepRequest,
        step: Step,
        callbacks: &mut dyn Callbacks,
    ) -> Result<Stored<Outcome>, Unwind> {
        if let Action::Env { .. } = *request.action {
            return self.variable(about, request, step, callbacks);
        }
        // Another run has another time and other ids: to show one would be a guess.
        if matches!(*request.action, Action::Now | Action::NewId) {
            return Ok(self.later(about, step, false));
        }
        let constant = matches!(*request.action, Action::Noop { .. });
        let sees = if request.live { !self.planning.offline } else { self.sees(about.scope) };
        let reads = constant || (step.fingerprint.is_some() && sees);
        if !reads {
            return Ok(self.later(about, step, false));
        }
        match self.perform(request, callbacks) {
            Ok(outcome) => Ok(self.known(about, step, Known::Read, Stored::seal(&outcome))),
            Err(_) if self.planning.cancel.fired() => Err(Unwind::Stopping),
            Err(failure) => Err(self.fails(about, step, failure)),
        }
    }

    /// A variable is the same for all who ask, whatever was written before.
    fn variable(
        &self,
        about: About<'_>,
        request: &StepRequest,
        step: Step,
        callbacks: &mut dyn Callbacks,
    ) -> Result<Stored<Outcome>, Unwind> {
        let known = crate::shared::lock(&self.variables).get(about.path).cloned();
        if let Some(outcome) = known {
            return Ok(self.known(about, step, Known::Read, outcome));
        }
        if self.planning.offline {
            return Ok(self.later(about, step, false));
        }
        match self.perform(request, callbacks) {
            Ok(outcome) => {
                let outcome = Stored::seal(&outcome);
                crate::shared::lock(&self.variables).insert(about.path.clone(), outcome.clone());
                Ok(self.known(about, step, Known::Read, outcome))
            }
            Err(failure) => Err(self.fails(about, step, failure)),
        }
    }

    fn write(
        &self,
        about: About<'_>,
        request: &StepRequest,
        mut step: Step,
        callbacks: &mut dyn Callbacks,
    ) -> Stored<Outcome> {
        if let Some(ensures) = &request.ensures
            && let Live::Holds(outcome) = self.look(about, ensures, Predicate::Ensures, callbacks)
        {
            return self.known(about, step, Known::AlreadyTrue, Stored::seal(&outcome));
        }
        step.undo = match request.undo {
            UndoForm::None => None,
            UndoForm::Inverse => Some("inverse()".to_owned()),
            UndoForm::Asked => match callbacks.undo(None) {
                Ok(undo) => undo.map(|undo| undo.summary()),
                Err(_) => Some("known only then".to_owned()),
            },
        };
        self.later(about, step, true)
    }

    /// What a done step's postcondition sees, where it is another one than was looked at then, and does not hold.
    fn doubted(&self, about: About<'_>, ensures: Option<&Check>, callbacks: &mut dyn Callbacks) -> Option<Evidence> {
        let ensures = ensures?;
        if self.planning.oracle.checked(about.path)? == described(ensures) {
            return None;
        }
        self.denied(about, ensures, callbacks)
    }

    /// Why `requires` does not hold now; nothing where that cannot be looked at.
    fn unmet(&self, about: About<'_>, requires: &Check, callbacks: &mut dyn Callbacks) -> Option<Failure> {
        match self.look(about, requires, Predicate::Requires, callbacks) {
            Live::Holds(_) | Live::Unseen => None,
            Live::DoesNot(failure) => Some(failure),
        }
    }

    /// A timer or a poll: the world afterwards is another one.
    fn waits(&self, about: About<'_>, step: Step, fingerprint: Digest) -> Stored<Outcome> {
        match self.remembered(&step, about.path, fingerprint) {
            Some(outcome) => self.known(about, step, Known::Done, outcome),
            None => self.later(about, step, true),
        }
    }

    fn known(&self, about: About<'_>, mut step: Step, known: Known, outcome: Stored<Outcome>) -> Stored<Outcome> {
        step.known = known;
        // A constant needs no telling.
        let tells = !matches!(known, Known::AlreadyTrue) && !step.summary.starts_with("noop");
        step.saw = tells.then(|| outcome.open().map(|outcome| outcome.summary()).unwrap_or_default());
        self.record(about.scope, about.path, Some(about.site), What::Step(Box::new(step)));
        outcome
    }

    fn later(&self, about: About<'_>, step: Step, changes: bool) -> Stored<Outcome> {
        self.record(about.scope, about.path, Some(about.site), What::Step(Box::new(step)));
        self.track(about.scope, |track| (track.changed, track.holes) = (track.changed || changes, track.holes + 1));
        Stored::seal(&Outcome::hole(&format!("\"{}\"", about.path.name())))
    }

    fn fails(&self, about: About<'_>, step: Step, failure: Failure) -> Unwind {
        self.record(about.scope, about.path, Some(about.site), What::Step(Box::new(step)));
        let what = What::Fails { message: failure.message.clone(), hint: failure.hint.clone() };
        self.record(about.scope, about.path, Some(about.site), what);
        Unwind::Failed { path: about.path.clone(), failure }
    }

    /// What something around catches goes on to it; the rest ends here.
    pub(super) fn close_unless_caught(&self, scope: &Scope, result: Result<Value, Unwind>) -> Result<Value, Unwind> {
        match result {
            Err(Unwind::Failed { .. }) if matches!(scope.catcher(), Catcher::Caught(_)) => result,
            result => self.close(scope, result),
        }
    }

    /// The result of something that catches failures: known only where all of it is. `before`: the holes then.
    pub(super) fn attempted(&self, scope: &Scope, before: u64, result: Result<Value, Unwind>) -> Result<Value, Unwind> {
        match result {
            Err(Unwind::Failed { failure, .. }) => Ok(passed(Err(&failure))),
            Ok(value) if self.track(scope, |track| track.holes) == before => Ok(passed(Ok(value))),
            Ok(_) => Ok(unknown_result(scope)),
            Err(_) => self.close(scope, result),
        }
    }
}

fn planned<T: Serialize>(kind: StepKind, action: &T, summary: String, fingerprint: Digest) -> Step {
    let action = serde_json::to_value(action).unwrap_or(Json::Null);
    let has_holes = hole::first(&action.to_string()).is_some();
    Step {
        kind,
        effect: None,
        action,
        summary,
        fingerprint: (!has_holes).then_some(fingerprint),
        known: Known::Later,
        saw: None,
        requires: None,
        ensures: None,
        doubt: None,
        undo: None,
    }
}

fn described(check: &Check) -> String {
    check.action.summary()
}

/// A question in one line.
pub(crate) fn question(ask: &Ask) -> String {
    match ask {
        Ask::Approve { by, count, not_starter, show, expires } => {
            let many = if *count > 1 { format!("{count} of ") } else { String::new() };
            let other = if *not_starter { ", not who started the run" } else { "" };
            let until = expires.map_or_else(String::new, |expires| format!(", within {expires}"));
            let shown = if *show == Value::None { String::new() } else { format!("; shown: {show}") };
            format!("approval by {many}{by}{other}{until}{shown}")
        }
        Ask::Fields { fields } => {
            let fields: Vec<String> = fields.iter().map(|(name, kind)| format!("{name} ({kind})")).collect();
            format!("a person fills in {}", fields.join(", "))
        }
        Ask::Manual { instructions } => format!("a person does: {instructions}"),
    }
}
