//! Rules that a journal keeps, whoever wrote it: what cannot have happened is told.
//!
//! Owns the rules. A chain proves that nobody changed a journal since; these show that it is one that a sound engine
//! can have written. They look at the state before each record and never ask `decide`: an auditor who only repeats the
//! decision repeats its mistakes.
//! Never judges the runbook: a step that failed, or a window over its budget, is no broken rule.

use super::limits::path_of;
use super::rules_undo::UndoRules;
use crate::action::Effect;
use crate::decide::windows::rehearsal_is_over;
use crate::decide::{check_answer, check_decision};
use crate::digest::Digest;
use crate::event::{
    Answer, AttemptFailed, AttemptStarted, Decided, Event, Finish, How, PersonAnswered, StepSucceeded, UndoReason,
    WindowClosed,
};
use crate::hold::{Choice, Decision};
use crate::path::Path;
use crate::record::{Moment, Record};
use crate::request::{Ask, StepKind};
use crate::state::{Phase, RunState, Step};
use crate::window::{Window, WindowPhase};
use std::collections::HashSet;

/// What is said where nothing is broken.
pub(super) const HELD: &str = "intent before effect, nothing done twice, people's answers valid, undos as declared, \
                               commit points final, windows measured, nothing after the end";

/// Broken rules told; more only repeat.
const MAX_TOLD: usize = 20;

pub(super) struct Rules {
    /// Before the record that is looked at.
    pub(super) state: RunState,
    seq: u64,
    told: Vec<String>,
    shown: HashSet<Digest>,
    last: (u64, Moment),
    undo: UndoRules,
}

/// One sentence for each broken rule, with the number of the record that breaks it.
pub(super) fn broken(records: &[Record]) -> Vec<String> {
    let mut rules = Rules {
        state: RunState::default(),
        seq: 0,
        told: Vec::new(),
        shown: HashSet::new(),
        last: (0, Moment::default()),
        undo: UndoRules::default(),
    };
    for record in records {
        rules.seq = record.seq;
        rules.record(record);
        if rules.told.len() >= MAX_TOLD {
            rules.told.push("and perhaps more: the rest was not looked at".to_owned());
            break;
        }
        rules.state.apply(record);
        rules.shown.insert(record.hash);
    }
    rules.told
}

/// A name of the journal's in a sentence of ours.
pub(super) fn name(path: &Path) -> String {
    if path.is_root() { "the run".to_owned() } else { format!("\"{}\"", super::compare::clip(path.as_str())) }
}

impl Rules {
    pub(super) fn fail(&mut self, why: impl AsRef<str>) {
        self.told.push(format!("record {}: {}", self.seq, why.as_ref()));
    }

    fn fail_if(&mut self, broken: bool, why: impl FnOnce() -> String) {
        if broken {
            self.fail(why());
        }
    }

    fn record(&mut self, record: &Record) {
        self.order(record);
        match &record.event {
            Event::AttemptStarted(started) => self.attempt_started(started),
            Event::AttemptFailed(failed) => self.attempt_failed(failed),
            Event::StepSucceeded(succeeded) => self.step_succeeded(succeeded),
            Event::StepHeld(held) => self.generation(&held.path, held.generation),
            Event::StepDropped { path, generation } => self.dropped(path, *generation),
            Event::Decided(decided) => self.decided(decided),
            Event::PersonAnswered(answered) => {
                // When it was given, the journal does not say; when it was read may be later than it expired.
                let PersonAnswered { path, answer, decision } = &**answered;
                if let Err(why) = check_answer(&self.state, path, answer, decision, i64::MIN) {
                    self.fail(format!("{} answered {}: {why}", decision.by.name, name(path)));
                }
            }
            Event::RunEdited(edited) => self.saw(&edited.decision),
            Event::CommitPointPassed { path } => self.commit_point(path),
            Event::WindowOpened(opened) => {
                let known = self.state.windows.get(&opened.path);
                let open = known.is_some_and(Window::is_open);
                let expected = known.map_or(1, |window| window.generation.saturating_add(1));
                let generation = opened.generation;
                self.fail_if(open, || format!("the window {} opens while it is open", name(&opened.path)));
                self.fail_if(!open && generation != expected, || {
                    format!("the window {} opens as number {generation} and not {expected}", name(&opened.path))
                });
            }
            Event::WindowGoingBack { path, rehearsed, .. } => self.going_back(path, *rehearsed),
            Event::WindowClosed(closed) => self.window_closed(closed, record.at),
            Event::UndoBegan(began) => {
                match &began.reason {
                    UndoReason::Asked { decision } | UndoReason::Redo { decision, .. } => self.saw(decision),
                    UndoReason::Window { .. } | UndoReason::Guard { .. } => {}
                }
                self.undo_began(began);
            }
            Event::UndoStarted(started) => {
                let mut undo = std::mem::take(&mut self.undo);
                undo.started(self, started);
                self.undo = undo;
            }
            Event::UndoFailed(failed) => self.undo_failed(failed),
            Event::StepUndone { path, generation } => {
                let mut undo = std::mem::take(&mut self.undo);
                undo.done(self, path, *generation);
                self.undo = undo;
            }
            Event::UndoFinished { scope } => self.undo_finished(scope),
            Event::RunFinished { how, .. } => self.finished(*how),
            Event::ScopeLeft { path } => self.scope_left(path),
            Event::GuardTripped(trip) => self.guard_tripped(trip),
            Event::GuardArmed { path, .. } => self.guard_armed(path),
            Event::ChildStands(stands) => self.child_stands(stands),
            Event::LockTaken { path, .. } => self.lock_taken(path),
            Event::LockBroken { path, decision, .. } => {
                self.saw(decision);
                self.lock_broken(path, decision);
            }
            _ => {}
        }
        if let Event::UndoBegan(_) = record.event {
            self.undo = UndoRules::default();
        }
    }

    /// What holds for every record: the start first and once, clock and fence never back, little after the end.
    fn order(&mut self, record: &Record) {
        let starts = matches!(record.event, Event::RunStarted(_));
        self.fail_if(starts != (record.seq == 1), || "a run starts with its first record, and once".to_owned());
        let (fence, at) = self.last;
        self.fail_if(record.fence < fence, || {
            format!("appended under the lease {} after the lease {fence} was taken", record.fence)
        });
        self.fail_if(record.seq > 1 && record.fence == fence && record.at.boot_us < at.boot_us, || {
            "the boot-time clock ran backwards within one life of an engine".to_owned()
        });
        self.last = (record.fence, record.at);
        let again = matches!(
            record.event,
            Event::EngineAttached(_) | Event::UndoBegan(_) | Event::InboxRead { .. } | Event::SecretSeen(_)
        );
        self.fail_if(self.state.finished.is_some() && !again, || {
            let about = path_of(&record.event).map(|path| format!(" ({})", name(path))).unwrap_or_default();
            format!("something happened after the run had finished{about}")
        });
    }

    /// The step as this generation knows it; a generation begins only after the one before it was taken back.
    fn generation(&mut self, path: &Path, generation: u32) {
        let expected = self.state.next_generation(path);
        self.fail_if(generation != expected, || {
            format!("{} is of generation {generation}, and generation {expected} is due", name(path))
        });
    }

    fn current(&self, path: &Path, generation: u32) -> Option<&Step> {
        let step = self.state.steps.get(path)?;
        (step.generation == generation && !matches!(step.phase, Phase::Undone)).then_some(step)
    }

    fn attempt_started(&mut self, started: &AttemptStarted) {
        let path = &started.path;
        self.generation(path, started.generation);
        let why = self.current(path, started.generation).and_then(|step| match &step.phase {
            Phase::Succeeded { .. } => Some("is performed again although it is done"),
            Phase::Running(_) => Some("is performed again while nothing says what became of the attempt before"),
            Phase::Failed { retry_at_us: None, .. } => Some("is performed again although nothing allowed a retry"),
            Phase::Held(_) => Some("is performed while it waits for a person"),
            Phase::Decided { choice: Choice::Retry | Choice::NotDone | Choice::Depart, .. }
                if started.attempt > step.attempts =>
            {
                None
            }
            Phase::Decided { .. } => Some("is performed although a person decided otherwise"),
            _ if started.attempt <= step.attempts => Some("is performed under an attempt's number used before"),
            _ => None,
        });
        self.fail_if(why.is_some(), || format!("{} {}", name(path), why.unwrap_or_default()));
        let forbidden = self.forbids_acting(path);
        self.fail_if(forbidden.is_some(), || format!("{} begins {}", name(path), forbidden.unwrap_or_default()));
    }

    /// Why nothing may begin at this path now.
    fn forbids_acting(&self, path: &Path) -> Option<&'static str> {
        let state = &self.state;
        if state.undoing.is_some() {
            return Some("while the run is being taken back");
        }
        if state.settled_around(path).is_some() {
            return Some("in a scope whose end is settled");
        }
        if rehearsal_is_over(state) {
            return Some("after the rehearsal has gone back");
        }
        if self.lock_missing(path) {
            return Some("without the lock around it");
        }
        match self.window_around(path) {
            Some(window) if matches!(window.phase, WindowPhase::GoingBack { .. }) => Some("in a window that goes back"),
            Some(window) if window.committed => (state.held_steps > 0).then_some("while another step is held"),
            _ if state.is_held() => Some("while the run is held"),
            _ if state.abort.is_some() => Some("after a person asked to abort"),
            _ => None,
        }
    }

    /// The open window around a path.
    pub(super) fn window_around(&self, path: &Path) -> Option<&Window> {
        self.state.windows.values().find(|window| window.is_open() && path.is_within(&window.path))
    }

    fn attempt_failed(&mut self, failed: &AttemptFailed) {
        self.generation(&failed.path, failed.generation);
        let why = self.current(&failed.path, failed.generation).and_then(|step| match &step.phase {
            Phase::Succeeded { .. } => Some("failed after it was done".to_owned()),
            Phase::Running(running) if running.attempt != failed.attempt => {
                Some(format!("failed in attempt {}, and attempt {} was running", failed.attempt, running.attempt))
            }
            _ => None,
        });
        self.fail_if(why.is_some(), || format!("{} {}", name(&failed.path), why.unwrap_or_default()));
    }

    fn step_succeeded(&mut self, succeeded: &StepSucceeded) {
        self.generation(&succeeded.path, succeeded.generation);
        let step = self.current(&succeeded.path, succeeded.generation);
        let why = match step.map(|step| &step.phase) {
            Some(Phase::Succeeded { .. }) => Some("is done a second time"),
            _ => self.unfounded(succeeded, step),
        };
        self.fail_if(why.is_some(), || format!("{} {}", name(&succeeded.path), why.unwrap_or_default()));
    }

    /// Why the journal does not bear out that the step came to be done in this way.
    fn unfounded(&self, succeeded: &StepSucceeded, step: Option<&Step>) -> Option<&'static str> {
        let running = step.and_then(|step| step.open.as_ref()).map(|open| open.attempt);
        let intended = running == Some(succeeded.attempt);
        match succeeded.how {
            How::Performed => match succeeded.kind {
                StepKind::Approve | StepKind::Ask => {
                    (!answered(step)).then_some("is done without enough valid answers")
                }
                _ if running.is_some() && !intended => Some("was performed by another attempt than the one running"),
                _ if !intended && writes(succeeded) => Some("was performed without its intent being recorded before"),
                _ if self.other_child(succeeded, step) => Some("is done, and its child run did not succeed"),
                StepKind::Step | StepKind::Expect | StepKind::Read if self.must_say(succeeded) => {
                    Some("was performed, and nothing says whether it only read")
                }
                _ => None,
            },
            How::Recovered | How::Adopted if !intended => Some("was recovered from an attempt that never began"),
            How::Recovered if succeeded.evidence.is_none() => Some("was recovered, and no postcondition was seen"),
            How::AlreadyTrue if step.is_some_and(|step| !step.began.is_empty()) => {
                Some("was already true, says the journal, after an attempt of it began")
            }
            How::AlreadyTrue if succeeded.evidence.is_none() => Some("was already true, and no postcondition was seen"),
            How::SaidDone | How::Waived | How::Kept => {
                (!decided_so(step, succeeded)).then_some("is done by the word of nobody")
            }
            How::Recovered | How::Adopted | How::AlreadyTrue => None,
        }
    }

    /// Engines that say their version say of every action whether it reads or writes.
    fn must_say(&self, succeeded: &StepSucceeded) -> bool {
        let versioned = self.state.engine.as_ref().is_some_and(|engine| engine.piton.is_some());
        versioned && succeeded.effect.is_none()
    }

    /// Nothing of it is alive, and somebody keeps what it did, or it did nothing.
    fn dropped(&mut self, path: &Path, generation: u32) {
        self.generation(path, generation);
        let Some(step) = self.current(path, generation) else {
            return self.fail(format!("{} is dropped, and had not begun", name(path)));
        };
        let told = self.state.edited.as_ref().is_some_and(|edited| edited.dropped.contains(path));
        let kept = matches!(step.phase, Phase::Decided { .. });
        let why = match &step.phase {
            _ if step.open.is_some() => Some("is dropped while nothing says how it ended"),
            _ if self.state.edited.is_none() => Some("is dropped, and no edit left it out"),
            Phase::Dropped => Some("is dropped a second time"),
            _ if told || kept || step.began.is_empty() => None,
            _ => Some("is dropped with what it had done, and by the word of nobody"),
        };
        self.fail_if(why.is_some(), || format!("{} {}", name(path), why.unwrap_or_default()));
    }

    fn decided(&mut self, decided: &Decided) {
        self.saw(&decided.decision);
        if let Err(why) = check_decision(&self.state, &decided.path, &decided.choice) {
            self.fail(format!("{} decided what was not theirs to decide: {why}", decided.decision.by.name));
        }
    }

    /// A person decides on what this journal had said.
    fn saw(&mut self, decision: &Decision) {
        self.fail_if(!self.shown.contains(&decision.saw), || {
            format!("{} decided on something that this journal never said", decision.by.name)
        });
    }

    fn commit_point(&mut self, path: &Path) {
        let back = self.window_around(path).is_some_and(|window| window.phase != WindowPhase::Open);
        let undoing = self.state.undoing.is_some();
        self.fail_if(back || undoing, || format!("the commit point {} is passed while going back", name(path)));
        let passes = self.state.rehearses_back() && self.window_around(path).is_some();
        self.fail_if(passes, || {
            format!("the commit point {} is passed in a rehearsal that turns round there", name(path))
        });
    }

    fn going_back(&mut self, path: &Path, rehearsed: bool) {
        self.fail_if(rehearsed && !self.state.rehearses_back(), || {
            format!("the window {} turns round as a rehearsal does, and this is none", name(path))
        });
        let why = match self.state.windows.get(path) {
            Some(window) if window.committed => Some("goes back after its commit point"),
            Some(window) if window.is_open() => None,
            _ => Some("goes back and is not open"),
        };
        self.fail_if(why.is_some(), || format!("the window {} {}", name(path), why.unwrap_or_default()));
    }

    fn window_closed(&mut self, closed: &WindowClosed, at: Moment) {
        let place = name(&closed.path);
        let Some(window) = self.state.windows.get(&closed.path).filter(|window| window.is_open()).cloned() else {
            return self.fail(format!("the window {place} closes and is not open"));
        };
        let going_back = matches!(window.phase, WindowPhase::GoingBack { .. });
        self.fail_if(going_back != closed.went_back, || format!("the window {place} closes otherwise than it went"));
        let within = closed.measured_us <= window.budget_us();
        self.fail_if(within != closed.within_budget, || {
            format!("the window {place} took {} us of {} and is told otherwise", closed.measured_us, window.budget)
        });
        if closed.same_boot {
            let longest = at.boot_us.saturating_sub(window.opened_at.boot_us);
            let shortest = window.last_step_end.boot_us.saturating_sub(window.opened_at.boot_us);
            self.fail_if(closed.measured_us > longest || closed.measured_us < shortest, || {
                format!(
                    "the window {place} is told to have taken {} us, and took {shortest} to {longest}",
                    closed.measured_us
                )
            });
        }
    }

    fn finished(&mut self, how: Finish) {
        let state = &self.state;
        // Only the fold's own order may reach a sentence: a map's would differ from run to run.
        let open = || state.steps_in_order().into_iter().find(|(_, step)| step.open.is_some()).map(|(path, _)| path);
        let why = match how {
            // A person may end a run whose taking back does not get on.
            _ if state.undoing.is_some() && (how != Finish::Aborted || state.stuck_steps == 0) => {
                Some("the run finishes while it is being taken back".to_owned())
            }
            _ if state.open_window().is_some() => Some("the run finishes with a window open".to_owned()),
            Finish::Aborted => state.abort.is_none().then(|| "the run is aborted, and nobody asked for it".to_owned()),
            Finish::Succeeded if state.is_held() => Some("the run succeeds while a person is to decide".to_owned()),
            Finish::Succeeded | Finish::Undone => {
                open().map(|path| format!("the run finishes while nothing says how {} ended", name(path)))
            }
        };
        if let Some(why) = why {
            self.fail(why);
        }
    }
}

/// Whether a success needs an intent. It says so; the summary, which stands only where there is no intent and begins with
/// the action's verb, tells of those that cannot have read only, and of journals that do not say.
fn writes(succeeded: &StepSucceeded) -> bool {
    let told = match (&succeeded.summary, succeeded.kind) {
        (None, StepKind::Step) => true,
        (Some(summary), StepKind::Step) => {
            matches!(summary.split(' ').next(), Some("sql" | "write_file" | "restore_file"))
        }
        _ => false,
    };
    told || succeeded.effect == Some(Effect::Write)
}

/// Enough different accounts approved, or one filled the form in.
fn answered(step: Option<&Step>) -> bool {
    let Some(Phase::Asked { asked, answers }) = step.map(|step| &step.phase) else { return false };
    let uids: HashSet<u32> = (answers.iter())
        .filter(|answer| answer.answer != Answer::Reject)
        .map(|answer| answer.decision.by.uid)
        .collect();
    let rejected = answers.iter().any(|answer| answer.answer == Answer::Reject);
    let needed = match &asked.ask {
        Ask::Approve { count, .. } => (*count).max(1) as usize,
        Ask::Fields { .. } | Ask::Manual { .. } => 1,
    };
    !rejected && uids.len() >= needed
}

/// A person decided just this, and nothing happened since.
fn decided_so(step: Option<&Step>, succeeded: &StepSucceeded) -> bool {
    let Some(Phase::Decided { choice, .. }) = step.map(|step| &step.phase) else { return false };
    match succeeded.how {
        How::SaidDone => *choice == Choice::Done,
        How::Kept => *choice == Choice::Keep,
        How::Waived => *choice == Choice::Waive,
        _ => false,
    }
}
