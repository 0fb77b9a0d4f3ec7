//! Telling a journal: from its records to the predicate.
//!
//! Owns the second fold over the journal, beside `RunState`: a state forgets what is over, a receipt may not. The
//! state itself says how things stand at the end. Never guesses: what the journal does not say is left out.

use super::beside_told::{self, Beside};
use super::statement::*;
use super::time::Instant;
use super::undo_told::Undos;
use crate::digest::Digest;
use crate::event::{
    Answer, Attach, AttemptFailed, AttemptStarted, EngineAttached, Event, FORMAT, Handle, How, RunStarted,
    StepSucceeded, UndoReason,
};
use crate::hold::{Choice, Decision, HoldReason};
use crate::ids::Actor;
use crate::outcome::Outcome;
use crate::path::Path;
use crate::record::{Moment, Record, Sealed};
use crate::request::{Site, StepKind};
use crate::state::{Phase, RunState};
use std::collections::HashMap;

/// A moment and the life of the machine it belongs to: boot-time clocks compare only within one boot.
#[derive(Clone, Copy, Default)]
struct Stamp {
    moment: Moment,
    boot: usize,
}

impl Stamp {
    fn until_us(self, end: Self) -> u64 {
        if self.boot == end.boot {
            end.moment.boot_us.saturating_sub(self.moment.boot_us)
        } else {
            u64::try_from(end.moment.wall_us.saturating_sub(self.moment.wall_us)).unwrap_or(0)
        }
    }
}

#[derive(Default)]
struct Teller {
    state: RunState,
    boots: HashMap<String, usize>,
    /// The boot of the engine that drives the run now.
    boot: usize,
    rows: HashMap<(Path, u32), usize>,
    starts: Vec<Stamp>,
    attempt_starts: HashMap<(usize, u32), Stamp>,
    steps: Vec<StepTold>,
    open_windows: HashMap<Path, usize>,
    windows: Vec<WindowTold>,
    engines: Vec<EngineTold>,
    secrets: Vec<SecretTold>,
    caught: Vec<CaughtTold>,
    commit_points: Vec<CommitPointTold>,
    questions: Vec<QuestionTold>,
    people: Vec<PersonTold>,
    holds: Vec<HoldTold>,
    undos: Undos,
    emitted: Vec<EmittedTold>,
    notes: Vec<NoteTold>,
    beside: Beside,
}

pub(super) fn tell(records: &[Record], sealed: &[Sealed]) -> Result<Statement, ReceiptError> {
    let first = records.first().ok_or(ReceiptError::Empty)?;
    let Event::RunStarted(started) = &first.event else { return Err(ReceiptError::NotStarted) };
    if started.format > FORMAT {
        return Err(ReceiptError::TooNew { format: started.format, known: FORMAT });
    }
    let mut teller = Teller::default();
    for record in records {
        teller.record(record)?;
        teller.state.apply(record);
    }
    teller.finish(started, first, sealed)
}

impl Teller {
    fn record(&mut self, record: &Record) -> Result<(), ReceiptError> {
        let (at, seq) = (Instant(record.at.wall_us), record.seq);
        self.beside.record(&self.state, record);
        self.holds.extend(beside_told::hold(record));
        match &record.event {
            Event::EngineAttached(attached) => self.engine(attached, record),
            Event::SecretSeen(seen) => self.secrets.push(SecretTold {
                name: seen.name.clone(),
                source: seen.source.clone(),
                keyed_hash: seen.keyed_hash,
                record: seq,
            }),
            Event::ScopeSettled(settled) if !settled.failures.is_empty() => {
                let item = |(key, failure): &(String, crate::outcome::Failure)| CaughtItem {
                    key: key.clone(),
                    kind: failure.kind,
                    message: failure.message.clone(),
                };
                let failures = settled.failures.iter().map(item).collect();
                self.caught.push(CaughtTold { scope: settled.path.clone(), failures, at, record: seq });
            }
            Event::AttemptStarted(started) => self.attempt_started(started, record),
            Event::AttemptFailed(failed) => self.attempt_failed(failed, record)?,
            Event::StepSucceeded(succeeded) => self.step_succeeded(succeeded, record)?,
            Event::StepHeld(held) => {
                self.row(&held.path, held.generation, held.kind, &held.site, None, record);
                self.hold(Some(held.path.clone()), &held.reason, at, seq);
            }
            Event::RunHeld { reason } => self.hold(None, reason, at, seq),
            Event::PersonAsked(asked) => {
                let generation = self.state.next_generation(&asked.path);
                let what = Some(asked.fingerprint);
                self.row(&asked.path, generation, asked.ask.kind(), &asked.site, what, record);
                self.questions.push(QuestionTold {
                    path: asked.path.clone(),
                    ask: asked.ask.clone(),
                    shown: asked.shown,
                    expires_at: asked.expires_at_us.map(Instant),
                    at,
                    record: seq,
                });
            }
            Event::TimerSet(timer) => {
                let generation = self.state.next_generation(&timer.path);
                self.row(&timer.path, generation, timer.kind, &timer.site, Some(timer.fingerprint), record);
            }
            Event::CommitPointPassed { path } => {
                self.commit_points.push(CommitPointTold { path: path.clone(), at, record: seq });
            }
            Event::Emitted { path, name, value } => self.emitted.push(EmittedTold {
                path: path.clone(),
                name: name.clone(),
                value: value.clone(),
                at,
                record: seq,
            }),
            Event::Noted { path, markdown } => {
                self.notes.push(NoteTold { path: path.clone(), markdown: markdown.clone(), at, record: seq });
            }
            Event::WindowOpened(_) | Event::WindowGoingBack { .. } | Event::WindowClosed(_) => self.window(record),
            event => {
                self.person(event, at, seq);
                self.undos.record(event, at, seq);
            }
        }
        Ok(())
    }

    fn now(&self, record: &Record) -> Stamp {
        Stamp { moment: record.at, boot: self.boot }
    }

    /// Index of the step's row for this generation, made where it is new.
    fn row(
        &mut self,
        path: &Path,
        generation: u32,
        kind: StepKind,
        site: &Site,
        fingerprint: Option<Digest>,
        record: &Record,
    ) -> usize {
        let now = self.now(record);
        let index = match self.rows.get(&(path.clone(), generation)) {
            Some(index) => *index,
            None => {
                self.rows.insert((path.clone(), generation), self.steps.len());
                self.starts.push(now);
                self.steps.push(StepTold {
                    path: path.clone(),
                    generation,
                    kind,
                    at: site.to_string(),
                    status: StepStatus::Undone,
                    how: None,
                    action: None,
                    outcome: None,
                    evidence: None,
                    fingerprint: fingerprint.unwrap_or_default(),
                    started_at: Instant(record.at.wall_us),
                    ended_at: None,
                    took_us: None,
                    undo: Vec::new(),
                    attempts: Vec::new(),
                    record: record.seq,
                });
                self.steps.len() - 1
            }
        };
        let step = &mut self.steps[index];
        step.kind = kind;
        step.at = site.to_string();
        step.fingerprint = fingerprint.unwrap_or(step.fingerprint);
        index
    }

    fn attempt(&mut self, row: usize, attempt: u32) -> &mut AttemptTold {
        let attempts = &mut self.steps[row].attempts;
        let known = attempts.iter().rposition(|known| known.attempt == attempt);
        let index = known.unwrap_or_else(|| {
            attempts.push(AttemptTold {
                attempt,
                end: AttemptEnd::Open,
                began_at: None,
                ended_at: None,
                took_us: None,
                failure: None,
                never_began: false,
                child: None,
            });
            attempts.len() - 1
        });
        &mut attempts[index]
    }

    fn attempt_started(&mut self, started: &AttemptStarted, record: &Record) {
        let what = Some(started.fingerprint);
        let row = self.row(&started.path, started.generation, started.kind, &started.site, what, record);
        self.steps[row].action = Some(started.action.summary());
        let told = self.attempt(row, started.attempt);
        told.began_at = Some(Instant(record.at.wall_us));
        if let Handle::Run { run } = &started.handle {
            told.child = Some(ChildTold { run: run.clone(), how: None, records: None, head: None });
        }
        let now = self.now(record);
        self.attempt_starts.insert((row, started.attempt), now);
    }

    /// The step's end, and that of an attempt where its end was seen (`attempt` > 0).
    fn ended(&mut self, row: usize, attempt: u32, record: &Record) {
        let now = self.now(record);
        let at = Instant(record.at.wall_us);
        let took = self.attempt_starts.get(&(row, attempt)).map(|start| start.until_us(now));
        if attempt > 0 {
            let told = self.attempt(row, attempt);
            told.ended_at = Some(at);
            told.took_us = took;
        }
        self.steps[row].ended_at = Some(at);
        self.steps[row].took_us = Some(self.starts[row].until_us(now));
    }

    fn attempt_failed(&mut self, failed: &AttemptFailed, record: &Record) -> Result<(), ReceiptError> {
        let what = Some(failed.fingerprint);
        let row = self.row(&failed.path, failed.generation, failed.kind, &failed.site, what, record);
        self.ended(row, failed.attempt, record);
        if let Some(outcome) = &failed.outcome {
            let outcome = outcome.open().map_err(|source| ReceiptError::Outcome { seq: record.seq, source })?;
            self.steps[row].outcome = Some(outcome.summary());
            self.child_ended(row, failed.attempt, &outcome);
        }
        let told = self.attempt(row, failed.attempt);
        told.end = AttemptEnd::Failed;
        told.failure = Some(failed.failure.clone());
        told.never_began = failed.never_began;
        Ok(())
    }

    fn step_succeeded(&mut self, succeeded: &StepSucceeded, record: &Record) -> Result<(), ReceiptError> {
        let what = Some(succeeded.fingerprint);
        let row = self.row(&succeeded.path, succeeded.generation, succeeded.kind, &succeeded.site, what, record);
        let outcome = succeeded.outcome.open().map_err(|source| ReceiptError::Outcome { seq: record.seq, source })?;
        // A person's word ends the step, not the attempt whose end nobody saw.
        let acted = matches!(succeeded.how, How::Performed | How::Recovered | How::Adopted);
        let attempt = if acted { succeeded.attempt } else { 0 };
        self.ended(row, attempt, record);
        if attempt > 0 {
            self.attempt(row, attempt).end = AttemptEnd::Succeeded;
            self.child_ended(row, attempt, &outcome);
        }
        let step = &mut self.steps[row];
        step.how = Some(succeeded.how);
        step.outcome = Some(outcome.summary());
        // What has no intent has no start in the journal; the action's own measure tells.
        step.took_us = step.took_us.max(Some(outcome.took_us));
        step.evidence = succeeded.evidence.clone();
        if step.action.is_none() {
            step.action = succeeded.summary.clone();
        }
        Ok(())
    }

    fn child_ended(&mut self, row: usize, attempt: u32, outcome: &Outcome) {
        if let (Some(end), Some(child)) = (&outcome.run, &mut self.attempt(row, attempt).child) {
            (child.how, child.records, child.head) = (Some(end.how), Some(end.records), Some(end.head));
        }
    }

    fn engine(&mut self, attached: &EngineAttached, record: &Record) {
        let fresh = self.boots.len() + 1;
        self.boot = *self.boots.entry(attached.engine.boot_id.clone()).or_insert(fresh);
        if attached.reason == Attach::TookOver {
            self.open_windows.values().for_each(|index| self.windows[*index].take_overs += 1);
        }
        self.engines.push(EngineTold {
            reason: attached.reason,
            host: attached.engine.host.clone(),
            pid: attached.engine.pid,
            boot_id: attached.engine.boot_id.clone(),
            fence: record.fence,
            by: attached.by.clone(),
            piton: attached.piton.clone(),
            at: Instant(record.at.wall_us),
            record: record.seq,
        });
    }

    fn hold(&mut self, path: Option<Path>, reason: &HoldReason, at: Instant, record: u64) {
        self.holds.push(HoldTold { path, reason: reason.clone(), text: reason.to_string(), at, record });
    }

    fn window(&mut self, record: &Record) {
        match &record.event {
            Event::WindowOpened(opened) => {
                self.open_windows.insert(opened.path.clone(), self.windows.len());
                self.windows.push(WindowTold {
                    path: opened.path.clone(),
                    generation: opened.generation,
                    budget: opened.budget,
                    reserve: opened.reserve,
                    opened_at: Instant(record.at.wall_us),
                    closed_at: None,
                    measured_us: None,
                    within_budget: None,
                    same_boot: None,
                    going_back: None,
                    went_back: None,
                    rehearsed_back_us: None,
                    committed: false,
                    take_overs: 0,
                    record: record.seq,
                });
            }
            Event::WindowGoingBack { path, why, .. } => {
                if let Some(index) = self.open_windows.get(path) {
                    self.windows[*index].going_back = Some(why.clone());
                }
            }
            Event::WindowClosed(closed) => {
                let Some(index) = self.open_windows.remove(&closed.path) else { return };
                let window = &mut self.windows[index];
                window.closed_at = Some(Instant(record.at.wall_us));
                window.measured_us = Some(closed.measured_us);
                window.within_budget = Some(closed.within_budget);
                window.same_boot = Some(closed.same_boot);
                window.went_back = Some(closed.went_back);
                let known = self.state.windows.get(&closed.path).filter(|window| window.rehearsed);
                let since = known.and_then(|window| window.back_since).filter(|_| closed.same_boot);
                window.rehearsed_back_us = since.map(|since| record.at.boot_us.saturating_sub(since.boot_us));
                window.committed = self.state.windows.get(&closed.path).is_some_and(|window| window.committed);
            }
            _ => {}
        }
    }

    fn person(&mut self, event: &Event, at: Instant, record: u64) {
        let mut add = |who: &Actor, did, path: Option<&Path>, decision: Option<&Decision>| {
            self.people.push(PersonTold {
                who: who.clone(),
                did,
                path: path.cloned(),
                fields: Vec::new(),
                saw: decision.map(|decision| decision.saw),
                why: decision.and_then(|decision| decision.why.clone()),
                at,
                record,
            });
        };
        match event {
            Event::PersonAnswered(answered) => {
                let did = match &answered.answer {
                    Answer::Approve => Did::Approved,
                    Answer::Reject => Did::Rejected,
                    Answer::Fields { .. } => Did::FilledIn,
                    Answer::Done => Did::SaidDone,
                };
                add(&answered.decision.by, did, Some(&answered.path), Some(&answered.decision));
                if let (Answer::Fields { fields }, Some(told)) = (&answered.answer, self.people.last_mut()) {
                    told.fields = fields.iter().cloned().map(|(name, value)| ParamTold { name, value }).collect();
                }
            }
            Event::Decided(decided) => {
                let did = match decided.choice {
                    Choice::Retry => Did::ChoseRetry,
                    Choice::Done => Did::ChoseDone,
                    Choice::NotDone => Did::ChoseNotDone,
                    Choice::Waive => Did::ChoseWaive,
                    Choice::Keep => Did::ChoseKeep,
                    Choice::Redo => Did::ChoseRedo,
                    Choice::Depart => Did::ChoseDepart,
                };
                add(&decided.decision.by, did, Some(&decided.path), Some(&decided.decision));
            }
            Event::UndoBegan(began) => match &began.reason {
                UndoReason::Asked { decision } => {
                    add(&decision.by, Did::AskedUndo, Some(&began.scope), Some(decision));
                }
                UndoReason::Redo { step, decision } => {
                    add(&decision.by, Did::AskedRedo, Some(step), Some(decision));
                }
                UndoReason::Window { .. } | UndoReason::Guard { .. } => {}
            },
            Event::LockBroken { path, decision, .. } => add(&decision.by, Did::BrokeLock, Some(path), Some(decision)),
            Event::AbortAsked { by, why } => {
                add(by, Did::AskedAbort, None, None);
                if let Some(told) = self.people.last_mut() {
                    told.why.clone_from(why);
                }
            }
            Event::RunResumed { by } => add(by, Did::Resumed, None, None),
            Event::RunEdited(edited) => add(&edited.decision.by, Did::Edited, None, Some(&edited.decision)),
            _ => {}
        }
    }

    /// How each row stands at the end.
    fn settle_rows(&mut self) {
        for told in &mut self.steps {
            let Some(step) = self.state.steps.get(&told.path) else { continue };
            if step.generation != told.generation {
                told.status = StepStatus::Undone;
                continue;
            }
            told.undo = step.undo_actions().iter().map(|action| action.summary()).collect();
            told.status = match &step.phase {
                _ if step.is_held() => StepStatus::Held,
                Phase::Succeeded { .. } => StepStatus::Done,
                Phase::Failed { .. } => StepStatus::Failed,
                Phase::Running(_) | Phase::Decided { .. } | Phase::Held(_) => StepStatus::Running,
                Phase::Asked { .. } | Phase::Timer(_) => StepStatus::Waiting,
                Phase::Dropped => StepStatus::Dropped,
                Phase::Undone => StepStatus::Undone,
            };
        }
        for (path, index) in &self.open_windows {
            self.windows[*index].committed = self.state.windows.get(path).is_some_and(|window| window.committed);
        }
    }

    fn counts(&self) -> Counts {
        let mut counts = Counts { steps: self.state.steps.len() as u64, ..Counts::default() };
        for step in &self.steps {
            counts.attempts += step.attempts.len() as u64;
            let latest = self.state.steps.get(&step.path).is_some_and(|known| known.generation == step.generation);
            match step.status {
                _ if !latest => {}
                StepStatus::Done => counts.count_done(step.how),
                StepStatus::Failed => counts.failed += 1,
                StepStatus::Held => counts.held += 1,
                StepStatus::Dropped => counts.dropped += 1,
                StepStatus::Undone => counts.undone += 1,
                StepStatus::Running | StepStatus::Waiting => {}
            }
        }
        for attempt in self.undos.attempts() {
            counts.undo_attempts += 1;
            counts.failed_undo_attempts += u64::from(attempt.failure.is_some());
        }
        counts.take_overs = self.engines.iter().filter(|engine| engine.reason == Attach::TookOver).count() as u64;
        counts.windows = self.windows.len() as u64;
        counts.windows_over_budget =
            self.windows.iter().filter(|window| window.within_budget == Some(false)).count() as u64;
        counts.windows_gone_back = self.windows.iter().filter(|window| window.went_back == Some(true)).count() as u64;
        counts
    }

    fn finish(mut self, started: &RunStarted, first: &Record, sealed: &[Sealed]) -> Result<Statement, ReceiptError> {
        self.settle_rows();
        let counts = self.counts();
        let seq = self.state.seq;
        let (finished, value) = match &self.state.finished {
            Some((how, value)) => (Some(*how), value.as_ref()),
            None => (None, None),
        };
        let value =
            value.map(|value| value.open()).transpose().map_err(|source| ReceiptError::Outcome { seq, source })?;
        let predicate = Predicate {
            run: RunTold {
                id: started.run.clone(),
                title: started.runbook.title.clone(),
                status: self.state.status().word(),
                rehearsal: started.rehearsal,
                parent: started.parent.clone(),
                piton: started.piton.clone(),
                started_at: Instant(first.at.wall_us),
                last_at: Instant(self.state.at.wall_us),
                finished,
                value,
            },
            runbook: RunbookTold {
                file: started.runbook.file.clone(),
                digest: started.runbook.digest,
                sources: (started.runbook.sources.iter())
                    .map(|(path, digest)| SourceTold { path: path.clone(), digest: *digest })
                    .collect(),
            },
            plan: started.plan,
            started_by: started.by.clone(),
            params: (started.params.iter().cloned()).map(|(name, value)| ParamTold { name, value }).collect(),
            secrets: self.secrets,
            engines: self.engines,
            counts,
            steps: self.steps,
            caught: self.caught,
            windows: self.windows,
            commit_points: self.commit_points,
            questions: self.questions,
            people: self.people,
            holds: self.holds,
            undos: self.undos.told,
            guards: self.beside.guards,
            locks: self.beside.locks,
            emitted: self.emitted,
            notes: self.notes,
            chain: ChainTold { records: seq, head: self.state.head, rule: CHAIN_RULE },
            journal: sealed.to_vec(),
        };
        Ok(Statement {
            statement_type: STATEMENT_TYPE,
            subject: subjects(started, &self.state),
            predicate_type: PREDICATE_TYPE,
            predicate,
        })
    }
}

fn subjects(started: &RunStarted, state: &RunState) -> Vec<Subject> {
    let subject = |name: String, digest: &Digest| Subject { name, digest: Sha256 { sha256: digest.hex() } };
    let mut subjects = vec![
        subject(format!("run:{}", started.run), &state.head),
        subject(format!("runbook:{}", started.runbook.file), &started.runbook.digest),
    ];
    let edited = state.edited.as_ref().map(|edited| &edited.runbook);
    subjects.extend(edited.map(|runbook| subject(format!("runbook:{} (edited)", runbook.file), &runbook.digest)));
    subjects.extend(started.plan.as_ref().map(|plan| subject("plan".to_owned(), plan)));
    subjects
}

impl Counts {
    fn count_done(&mut self, how: Option<How>) {
        self.done += 1;
        let Some(how) = how else { return };
        *match how {
            How::Performed => &mut self.performed,
            How::AlreadyTrue => &mut self.already_true,
            How::Recovered => &mut self.recovered,
            How::Adopted => &mut self.adopted,
            How::SaidDone => &mut self.said_done,
            How::Waived => &mut self.waived,
            How::Kept => &mut self.kept,
        } += 1;
    }
}
