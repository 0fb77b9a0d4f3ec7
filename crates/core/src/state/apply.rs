//! `apply`: what each event changes.
//!
//! Owns the transition function. One arm per event; nothing here is conditional on time or place.

use super::{Phase, RunState, ScopeState, Settled, Step, UndoProgress};
use crate::action::Action;
use crate::digest::Digest;
use crate::event::{
    AttemptFailed, AttemptStarted, Decided, Doubt, Event, Handle, How, PersonAnswered, PersonAsked, RunEdited,
    ScopeEntered, StepHeld, StepSucceeded, TimerSet, UndoBegan, UndoFailed, UndoReason, UndoStarted,
};
use crate::hold::{Choice, HoldReason};
use crate::outcome::FailureKind;
use crate::path::Path;
use crate::record::{Moment, Record};
use crate::request::{Site, StepKind};
use crate::state::Began;
use crate::window::{Window, WindowPhase};
use std::sync::Arc;

impl RunState {
    /// Folds one record into the state.
    pub fn apply(&mut self, record: &Record) {
        self.seq = record.seq;
        self.head = record.hash;
        self.at = record.at;
        for ended in crate::lock::released(self, &record.event) {
            self.locks.remove(&ended);
        }
        self.apply_event(&record.event, record.seq, record.at);
    }

    fn apply_event(&mut self, event: &Event, seq: u64, at: Moment) {
        match event {
            Event::RunStarted(started) => {
                self.started = Some(Arc::new((**started).clone()));
                self.started_at = at;
            }
            Event::EngineAttached(attached) => self.engine = Some(attached.clone()),
            Event::SecretSeen(seen) => {
                self.secrets.insert(seen.source.clone(), seen.keyed_hash);
            }
            Event::ScopeEntered(entered) => self.scope_entered(entered, seq, at),
            Event::ScopeLeft { path } => {
                if let Some(scope) = self.scopes.get_mut(path) {
                    scope.left_at = Some(at);
                }
            }
            Event::ScopeSettled(settled) => {
                if let Some(scope) = self.scopes.get_mut(&settled.path) {
                    scope.left_at = Some(at);
                    scope.settled = Some(Settled { value: settled.value.clone(), failures: settled.failures.clone() });
                }
                self.end_waiting(&settled.path);
            }
            Event::AttemptStarted(started) => self.attempt_started(started, seq, at),
            Event::AttemptFailed(failed) => self.attempt_failed(failed, seq, at),
            Event::StepSucceeded(succeeded) => self.step_succeeded(succeeded, seq, at),
            Event::StepHeld(held) => self.step_held(held, seq, at),
            Event::StepDropped { path, .. } => self.step_dropped(path, at),
            Event::Decided(decided) => self.decided(decided),
            Event::PersonAsked(asked) => self.person_asked(asked, seq, at),
            Event::PersonAnswered(answered) => self.person_answered(answered),
            Event::TimerSet(timer) => self.timer_set(timer, seq, at),
            Event::RunEdited(edited) => self.edited(edited, seq, at),
            Event::CommitPointPassed { path } => {
                self.commit_points.push((path.clone(), seq));
                for window in self.windows.values_mut().filter(|window| path.is_within(&window.path)) {
                    window.committed = true;
                }
            }
            Event::WindowOpened(opened) => {
                self.windows.insert(opened.path.clone(), Window::opened(opened, at));
            }
            Event::WindowGoingBack { path, why, rehearsed, .. } => {
                let stopping = self.is_held();
                if let Some(window) = self.windows.get_mut(path) {
                    window.phase = WindowPhase::GoingBack { why: why.clone() };
                    window.went_back_because = why.clone();
                    window.back_since = Some(at);
                    window.rehearsed = *rehearsed;
                    window.reopens = stopping;
                }
            }
            Event::WindowClosed(closed) => {
                if let Some(window) = self.windows.get_mut(&closed.path) {
                    window.close(closed, at);
                }
                if closed.went_back {
                    self.forget_approvals_beside(&closed.path);
                }
            }
            Event::GuardTripped(_)
            | Event::GuardArmed { .. }
            | Event::LockTaken { .. }
            | Event::LockAwaited(_)
            | Event::ChildStands(_)
            | Event::LockBroken { .. } => self.apply_beside(event),
            Event::UndoBegan(began) => self.undo_began(began),
            Event::UndoStarted(started) => self.undo_started(started),
            Event::UndoFailed(failed) => self.undo_failed(failed),
            Event::StepUndone { path, .. } => self.change_step(path, |step| {
                step.undo = UndoProgress::default();
                step.began.clear();
                step.open = None;
                step.phase = Phase::Undone;
            }),
            Event::UndoFinished { scope } => self.undo_finished(scope),
            Event::Emitted { path, name, value } => {
                self.noted.insert(path.clone());
                self.emitted.push((name.clone(), value.clone()));
            }
            Event::Noted { path, .. } => _ = self.noted.insert(path.clone()),
            Event::InboxRead { up_to } => self.inbox_seen = *up_to,
            Event::AbortAsked { by, why } => self.abort = Some((by.clone(), why.clone())),
            Event::RunHeld { reason } => {
                self.run_holds.push(reason.clone());
                if self.taken_back.as_ref().is_some_and(|taken| !taken.scope.is_root()) {
                    self.taken_back = None;
                }
            }
            Event::RunResumed { .. } => {
                self.run_holds.clear();
                self.reopen_windows();
            }
            Event::RunFinished { how, value } => {
                self.finished = Some((*how, value.clone()));
                (self.undoing, self.taken_back) = (None, None);
            }
        }
    }

    fn scope_entered(&mut self, entered: &ScopeEntered, seq: u64, at: Moment) {
        let scope = self.scopes.entry(entered.path.clone()).or_insert_with(|| ScopeState {
            kind: entered.kind.clone(),
            total: None,
            entered_at: at,
            left_at: None,
            settled: None,
            guards: Vec::new(),
            seq,
        });
        scope.kind = entered.kind.clone();
        scope.total = entered.total;
        scope.guards.clone_from(&entered.guards);
        scope.left_at = None;
    }

    /// Changes a step and keeps the counters true.
    fn change_step(&mut self, path: &Path, change: impl FnOnce(&mut Step)) {
        if let Some(step) = self.steps.get_mut(path) {
            let (done, held, running, waiting) = (step.is_done(), step.is_held(), step.is_running(), step.is_waiting());
            let (due, stuck) = (step.due_us(), step.is_stuck());
            change(step);
            let (was_due, due) = (due, step.due_us());
            if was_due != due {
                was_due.map(|was_due| self.dues.remove(&(was_due, path.clone())));
                due.map(|due| self.dues.insert((due, path.clone())));
            }
            let is_running = matches!(step.phase, Phase::Running(_));
            self.done_steps = self.done_steps - u64::from(done) + u64::from(step.is_done());
            self.held_steps = self.held_steps - u64::from(held) + u64::from(step.is_held());
            self.stuck_steps = self.stuck_steps - u64::from(stuck) + u64::from(step.is_stuck());
            self.running_steps = self.running_steps - u64::from(running) + u64::from(step.is_running());
            self.waiting_steps = self.waiting_steps - u64::from(waiting) + u64::from(step.is_waiting());
            if !is_running && let Some(child) = self.children.get_mut(path) {
                child.waits = None;
            }
        }
    }

    /// The step, begun as this generation: what an older generation left is forgotten.
    fn begin_step(
        &mut self,
        path: &Path,
        generation: u32,
        (kind, site, fingerprint): (StepKind, &Site, Digest),
        (seq, at): (u64, Moment),
        change: impl FnOnce(&mut Step),
    ) {
        let site = self.shared(site);
        self.steps.entry(path.clone()).or_insert_with(|| Step::new(kind, site.clone(), fingerprint, seq, at));
        self.change_step(path, |step| {
            if step.generation != generation {
                let first_seq = step.first_seq;
                *step = Step::new(kind, site.clone(), fingerprint, seq, at);
                step.generation = generation;
                step.first_seq = first_seq;
            }
            step.kind = kind;
            step.site = site;
            step.fingerprint = fingerprint;
            step.last_seq = seq;
            change(step);
        });
    }

    fn attempt_started(&mut self, started: &AttemptStarted, seq: u64, at: Moment) {
        let what = (started.kind, &started.site, started.fingerprint);
        self.child_started(started);
        self.keeps_files |= matches!(started.undo, Some(Action::RestoreFile { backup: Some(_), .. }));
        self.begin_step(&started.path, started.generation, what, (seq, at), |step| {
            if step.attempts == 0 {
                step.started_at = at;
            }
            step.attempts = started.attempt;
            step.ended_at = None;
            step.began.push(Began { attempt: started.attempt, undo: started.undo.clone().map(Arc::new) });
            let started = Arc::new(started.clone());
            step.open = Some(started.clone());
            (step.outcome, step.how) = (None, None);
            step.phase = Phase::Running(started);
        });
    }

    fn attempt_failed(&mut self, failed: &AttemptFailed, seq: u64, at: Moment) {
        let what = (failed.kind, &failed.site, failed.fingerprint);
        self.begin_step(&failed.path, failed.generation, what, (seq, at), |step| {
            step.attempts = failed.attempt;
            step.ended_at = Some(at);
            if failed.failure.kind == FailureKind::Interrupted {
                step.forgiven = step.forgiven.saturating_add(1);
            }
            if failed.never_began {
                step.began.retain(|began| began.attempt != failed.attempt);
            }
            step.open = None;
            step.how = None;
            step.outcome.clone_from(&failed.outcome);
            step.phase = Phase::Failed { failure: Box::new(failed.failure.clone()), retry_at_us: failed.retry_at_us };
        });
        self.touch_window(&failed.path, at);
    }

    fn step_succeeded(&mut self, succeeded: &StepSucceeded, seq: u64, at: Moment) {
        let what = (succeeded.kind, &succeeded.site, succeeded.fingerprint);
        self.begin_step(&succeeded.path, succeeded.generation, what, (seq, at), |step| {
            step.attempts = step.attempts.max(succeeded.attempt);
            step.ended_at = Some(at);
            // What was already true brings no undo; one that an attempt left is never dropped.
            if let Some(undo) = succeeded.undo.as_ref().filter(|_| succeeded.how != How::AlreadyTrue) {
                let undo = Some(Arc::new(undo.clone()));
                match step.began.iter_mut().find(|began| began.attempt == succeeded.attempt) {
                    Some(began) => began.undo = undo,
                    None => step.began.push(Began { attempt: succeeded.attempt, undo }),
                }
            }
            step.open = None;
            step.how = Some(succeeded.how);
            step.outcome = Some(succeeded.outcome.clone());
            step.phase = Phase::Succeeded { how: succeeded.how, outcome: succeeded.outcome.clone() };
        });
        self.touch_window(&succeeded.path, at);
    }

    /// A window ends with its last step's end.
    fn touch_window(&mut self, path: &Path, at: Moment) {
        if self.windows.is_empty() {
            return;
        }
        for window in self.windows.values_mut().filter(|window| window.is_open() && path.is_within(&window.path)) {
            window.last_step_end = at;
        }
    }

    fn step_held(&mut self, held: &StepHeld, seq: u64, at: Moment) {
        let known = self.steps.get(&held.path).map_or(Digest::ZERO, |step| step.fingerprint);
        let last_seq = self.steps.get(&held.path).map_or(seq, |step| step.last_seq);
        let what = (held.kind, &held.site, known);
        self.begin_step(&held.path, held.generation, what, (seq, at), |step| {
            // A hold is not an act: the order of taking back stays.
            step.last_seq = last_seq;
            if let HoldReason::UndoFailed { failure } = &held.reason {
                step.undo.held = Some(Box::new(failure.clone()));
            } else {
                if let HoldReason::Unknown { .. } = held.reason {
                    // What it did is unknown; that nothing of it is alive is proven.
                    step.open = None;
                }
                step.phase = Phase::Held(Box::new(held.reason.clone()));
            }
        });
    }

    fn step_dropped(&mut self, path: &Path, at: Moment) {
        self.change_step(path, |step| {
            step.ended_at = step.ended_at.or(Some(at));
            step.phase = Phase::Dropped;
        });
        // Once for an edit: what becomes of it where the program comes to it again is another matter.
        if let Some(edited) = self.edited.as_mut().filter(|edited| edited.dropped.contains(path)) {
            Arc::make_mut(edited).dropped.retain(|dropped| dropped != path);
        }
    }

    fn decided(&mut self, decided: &Decided) {
        if self.decided_beside(decided) {
            return;
        }
        if let Some(Step { phase: Phase::Held(reason), .. }) = self.steps.get(&decided.path)
            && let HoldReason::Rotated { source, .. } = &**reason
        {
            // A person says it is the same place: the next use records the new value's hash.
            self.secrets.remove(source);
        }
        self.change_step(&decided.path, |step| {
            if step.undo.held.is_some() {
                // Its tries begin anew, its attempts' numbers do not: each has files of its own.
                step.undo = UndoProgress { attempts: step.undo.attempts, ..UndoProgress::default() };
                return;
            }
            let outcome = step.outcome.clone();
            match decided.choice {
                Choice::Retry => step.forgiven = step.attempts,
                // A person's word that nothing of it goes on.
                Choice::Done | Choice::NotDone => step.open = None,
                Choice::Waive | Choice::Keep | Choice::Redo | Choice::Depart => {}
            }
            let decision = Box::new(decided.decision.clone());
            step.phase = Phase::Decided { choice: decided.choice.clone(), decision, outcome };
        });
    }

    fn person_asked(&mut self, asked: &PersonAsked, seq: u64, at: Moment) {
        let generation = self.next_generation(&asked.path);
        let what = (asked.ask.kind(), &asked.site, asked.fingerprint);
        self.begin_step(&asked.path, generation, what, (seq, at), |step| {
            step.started_at = at;
            step.phase = Phase::Asked { asked: Arc::new(asked.clone()), answers: Vec::new() };
        });
    }

    fn person_answered(&mut self, answered: &PersonAnswered) {
        self.change_step(&answered.path, |step| {
            if let Phase::Asked { answers, .. } = &mut step.phase {
                answers.push(answered.clone());
            }
        });
    }

    fn timer_set(&mut self, timer: &TimerSet, seq: u64, at: Moment) {
        let generation = self.next_generation(&timer.path);
        let what = (timer.kind, &timer.site, timer.fingerprint);
        self.begin_step(&timer.path, generation, what, (seq, at), |step| {
            step.started_at = at;
            step.phase = Phase::Timer(Box::new(timer.clone()));
        });
    }

    /// The generation in which a step is begun now.
    pub fn next_generation(&self, path: &Path) -> u32 {
        match self.steps.get(path) {
            None => 1,
            Some(step) if matches!(step.phase, Phase::Undone) => step.generation.saturating_add(1),
            Some(step) => step.generation,
        }
    }

    fn undo_began(&mut self, began: &UndoBegan) {
        match &began.reason {
            UndoReason::Asked { .. } | UndoReason::Redo { .. } => {
                self.run_holds.clear();
                self.look_again_within(&began.scope);
                self.try_undos_again(&began.scope);
                if self.finished.is_some() {
                    // A person has thought again about a run that was ended.
                    self.abort = None;
                }
            }
            UndoReason::Guard { guard, .. } => {
                if let Some(guard) = self.guards.get_mut(guard) {
                    guard.undo_due = false;
                }
            }
            UndoReason::Window { .. } => {}
        }
        self.undoing = Some(began.clone());
        self.taken_back = None;
        self.finished = None;
    }

    /// Undos that held are tried again, as by a person's word on each.
    fn try_undos_again(&mut self, scope: &Path) {
        if self.stuck_steps == 0 {
            return;
        }
        let held = |(path, step): &(&Path, &Step)| path.is_within(scope) && step.undo.held.is_some();
        let held: Vec<Path> = self.steps.iter().filter(held).map(|(path, _)| path.clone()).collect();
        for path in held {
            self.change_step(&path, |step| {
                step.undo = UndoProgress { attempts: step.undo.attempts, ..UndoProgress::default() };
            });
        }
    }

    fn undo_started(&mut self, started: &UndoStarted) {
        self.change_step(&started.path, |step| {
            step.undo.attempts = started.attempt;
            step.undo.retry_at_us = None;
            step.undo.running = Some(Arc::new(started.clone()));
        });
    }

    fn undo_failed(&mut self, failed: &UndoFailed) {
        self.change_step(&failed.path, |step| {
            step.undo.running = None;
            step.undo.attempts = failed.attempt;
            step.undo.retry_at_us = failed.retry_at_us;
        });
    }

    /// What failed is tried again as it is now; what its author was told of waits for them.
    fn edited(&mut self, edited: &RunEdited, seq: u64, at: Moment) {
        self.edited = Some(Arc::new(edited.clone()));
        self.run_holds.clear();
        self.reopen_windows();
        let held = self.steps.iter().filter(|(_, step)| matches!(step.phase, Phase::Held(_)));
        let held: Vec<Path> = held.map(|(path, _)| path.clone()).collect();
        for path in held {
            self.change_step(&path, |step| {
                let Phase::Held(hold) = &step.phase else { return };
                step.phase = match **hold {
                    HoldReason::Failed { .. } | HoldReason::PastCommitPoint { .. } => {
                        step.forgiven = step.attempts;
                        let (decision, outcome) = (Box::new(edited.decision.clone()), step.outcome.clone());
                        Phase::Decided { choice: Choice::Retry, decision, outcome }
                    }
                    // What was to depart from the plan may be something else now.
                    HoldReason::Departed { .. } if step.began.is_empty() => Phase::Undone,
                    // What held for an earlier edit is judged anew by this one.
                    _ => match step.done() {
                        Some((how, outcome)) => Phase::Succeeded { how, outcome: outcome.clone() },
                        None => return,
                    },
                };
            });
        }
        for path in &edited.asks_again {
            self.change_step(path, |step| step.phase = Phase::Undone);
        }
        for Doubt { path, evidence } in &edited.doubted {
            let Some(step) = self.steps.get(path) else { continue };
            let reason = HoldReason::Doubted { check: evidence.check.clone(), saw: evidence.saw.clone() };
            let (generation, kind, site) = (step.generation, step.kind, step.site.clone());
            self.step_held(&StepHeld { path: path.clone(), generation, kind, site, reason }, seq, at);
        }
    }

    /// What is to be done anew, and what came after it, is taken back: it begins anew where it is evaluated.
    fn redo_finished(&mut self, step: &Path) {
        let concerned: Vec<Path> = crate::undo::redone(self, step).into_iter().map(|(path, _)| path.clone()).collect();
        let from = self.steps.get(step).map_or(0, |step| step.first_seq);
        for path in &concerned {
            let kept = path != step && self.steps.get(path).is_some_and(|step| !step.began.is_empty());
            if !kept {
                self.change_step(path, |step| {
                    step.phase = Phase::Undone;
                    step.began.clear();
                    step.open = None;
                    step.undo = UndoProgress::default();
                });
            }
        }
        let within = |scope: &Path| concerned.iter().any(|path| path.is_within(scope));
        for window in self.windows.values_mut().filter(|window| within(&window.path) && !window.committed) {
            if let WindowPhase::Closed { went_back, .. } = &mut window.phase {
                *went_back = true;
                window.reopens = true;
            }
        }
        for (path, scope) in &mut self.scopes {
            if step.is_within(path) || scope.seq > from {
                scope.settled = None;
                scope.left_at = None;
            }
        }
        self.undoing = None;
    }

    /// Everything in the scope since the last commit point is as if it had not been done: reads too, since what they
    /// saw may have changed. Steps whose undo holds keep what they need to be taken back later.
    fn undo_finished(&mut self, scope: &Path) {
        if let Some(UndoBegan { reason: UndoReason::Redo { step, .. }, .. }) = self.undoing.clone() {
            return self.redo_finished(&step);
        }
        let committed = self.last_commit_seq();
        let paths: Vec<Path> = self
            .steps
            .iter()
            .filter(|(path, step)| path.is_within(scope) && step.last_seq > committed && step.undo.held.is_none())
            .map(|(path, _)| path.clone())
            .collect();
        for path in paths {
            self.change_step(&path, |step| {
                step.phase = Phase::Undone;
                step.began.clear();
                step.open = None;
                step.undo = UndoProgress::default();
            });
        }
        // A window that was passed and taken back is entered again, as one that went back by itself.
        for window in self.windows.values_mut().filter(|window| window.path.is_within(scope) && !window.committed) {
            if let WindowPhase::Closed { went_back, .. } = &mut window.phase {
                *went_back = true;
                window.reopens = true;
            }
        }
        for (path, state) in &mut self.scopes {
            if path.is_within(scope) && state.seq > committed {
                state.settled = None;
                state.left_at = None;
            }
        }
        // A window may go back while a larger taking back waits for it.
        if let Some(undone) = self.undoing.take_if(|undoing| undoing.scope == *scope)
            && !matches!(undone.reason, UndoReason::Window { .. } | UndoReason::Guard { .. })
        {
            self.taken_back = Some(undone);
        }
    }

    /// The windows that hold the run since they went back; where a scope catches that, it is final.
    fn reopen_windows(&mut self) {
        let held: Vec<Path> = self
            .windows
            .values()
            .filter(|window| matches!(window.phase, WindowPhase::Closed { went_back: true, .. }))
            .map(|window| window.path.clone())
            .filter(|path| !self.is_caught(path))
            .collect();
        for path in held {
            if let Some(window) = self.windows.get_mut(&path) {
                window.reopens = true;
            }
        }
    }

    /// A question, a timer or a retry beside a failure that was caught: nobody waits for it any more.
    fn end_waiting(&mut self, scope: &Path) {
        if self.waiting_steps == 0 {
            // Scopes settle by the thousand, and looking at every step costs more the longer the run is.
            return;
        }
        let waiting: Vec<Path> = self
            .steps
            .iter()
            .filter(|(path, step)| step.is_waiting() && path.is_within(scope))
            .map(|(path, _)| path.clone())
            .collect();
        for path in waiting {
            self.change_step(&path, |step| match &mut step.phase {
                Phase::Failed { retry_at_us, .. } => *retry_at_us = None,
                phase => *phase = Phase::Undone,
            });
        }
    }

    /// A window that went back asks again before it is entered again: approvals beside it are asked anew.
    fn forget_approvals_beside(&mut self, window: &Path) {
        let Some(parent) = window.parent() else { return };
        let committed = self.last_commit_seq();
        let approvals: Vec<Path> = self
            .steps
            .iter()
            .filter(|(path, step)| {
                step.kind == StepKind::Approve && step.last_seq > committed && path.parent().as_ref() == Some(&parent)
            })
            .map(|(path, _)| path.clone())
            .collect();
        for path in approvals {
            self.change_step(&path, |step| step.phase = Phase::Undone);
        }
    }
}

impl Handle {
    /// True where the attempt cannot outlive the engine that started it.
    pub fn dies_with_engine(&self) -> bool {
        matches!(self, Self::Engine)
    }
}
