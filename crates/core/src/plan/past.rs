//! Past runs of a runbook, and how long what they did usually takes.
//!
//! Owns what is measured in a journal (`PastRun`) and what many of them say together (`Past`). Pure: the caller reads the
//! journals, newest first, and bounds how much of them is read. Never looks at an outcome's content, and never judges a
//! journal: one that cannot be read tells nothing.
//!
//! A step is known by its path. In an `each` it is also known by its path with the key replaced, so that a new item is
//! expected to take what its siblings took. What real runs took is kept apart from what rehearsals took: stand-ins are
//! slower or faster, so a rehearsal speaks only where no real run does.

use crate::event::{Finish, How, Rehearsal};
use crate::path::Path;
use crate::record::Moment;
use crate::request::StepKind;
use crate::scope::ScopeKind;
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::collections::{HashMap, HashSet};

/// In place of a branch's key. No name is escaped to it.
const ANY_KEY: &str = "%*";

/// One run, as far as its journal was read.
#[derive(Debug, Default)]
pub struct PastRun {
    /// The runbook's file below its project's root; empty before the first record.
    pub file: String,
    pub title: String,
    pub rehearsal: Option<Rehearsal>,
    pub finished: Option<Finish>,
    /// It was not read to its end, and succeeded: what its steps took is known, what the whole took is not.
    pub cut: bool,
    each: HashSet<String>,
    parallel: HashSet<String>,
    /// Attempts and timers that have begun and not ended.
    running: HashMap<Path, Moment>,
    asked: HashSet<Path>,
    undoing: HashMap<Path, Moment>,
    entered: HashMap<Path, u64>,
    /// First begin and last end of each branch, in time worked.
    branches: HashMap<Path, (u64, u64)>,
    /// Time worked when something was last known of each branch, and of the run itself.
    known_us: HashMap<Path, u64>,
    windows: HashMap<Path, OpenWindow>,
    steps: Vec<Step>,
    scopes: Vec<(Path, u64)>,
    totals: Vec<(Path, u64)>,
    undos: Vec<(Path, u64)>,
    pauses: Vec<(Path, Pause)>,
    /// Microseconds in which the run went on by itself: not those in which all of it waited for people, or for an engine.
    worked_us: u64,
    last: Option<Moment>,
}

#[derive(Debug)]
struct Step {
    path: Path,
    us: u64,
    /// False: it was true already, and only looked at.
    acted: bool,
    /// Time worked at its end.
    ended_us: u64,
}

#[derive(Debug, Default)]
struct OpenWindow {
    opened: Option<Moment>,
    committed_us: Option<u64>,
    back: Option<Moment>,
}

/// What one passage through a window took, microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pause {
    pub rehearsed: bool,
    /// From its opening to its commit point, where it passed one.
    pub until_commit_us: Option<u64>,
    /// From its first step to its last, where it did not go back.
    pub whole_us: Option<u64>,
    /// Going back, from the decision to the end.
    pub back_us: Option<u64>,
}

impl PastRun {
    /// Takes in the next record. False: it cannot be read, and neither can what follows.
    pub fn see(&mut self, at: Moment, body: &str) -> bool {
        let Ok(glance) = serde_json::from_str::<Glance>(body) else { return false };
        let waits = self.running.is_empty() && !self.asked.is_empty();
        if !waits && glance.engine_attached.is_none() {
            self.worked_us += self.last.map_or(0, |last| at.boot_us.saturating_sub(last.boot_us));
        }
        self.last = Some(at);
        self.scopes(&glance);
        self.attempts(&glance, at);
        self.windows(&glance, at);
        if let Some(started) = glance.run_started {
            (self.file, self.title) = (started.runbook.file, started.runbook.title);
            self.rehearsal = started.rehearsal;
        }
        if glance.engine_attached.is_some() {
            // What lies between two engines is nobody's time.
            self.running.clear();
            self.undoing.clear();
            self.windows.values_mut().for_each(|window| *window = OpenWindow::default());
        }
        if let Some(finished) = glance.run_finished {
            self.finished = Some(finished.how);
        }
        true
    }

    fn scopes(&mut self, glance: &Glance) {
        if let Some(entered) = &glance.scope_entered {
            match entered.kind {
                ScopeKind::Each { .. } => drop(self.each.insert(entered.path.as_str().to_owned())),
                ScopeKind::Parallel => drop(self.parallel.insert(entered.path.as_str().to_owned())),
                _ => {}
            }
            self.totals.extend(entered.total.map(|total| (entered.path.clone(), total)));
            self.entered.insert(entered.path.clone(), self.worked_us);
            self.known(&entered.path);
        }
        let left = glance.scope_left.as_ref().or(glance.scope_settled.as_ref());
        if let Some(At { path }) = left
            && let Some(entered_us) = self.entered.remove(path)
        {
            self.scopes.push((path.clone(), self.worked_us - entered_us));
            self.known(path);
        }
    }

    fn attempts(&mut self, glance: &Glance, at: Moment) {
        if let Some(At { path }) = glance.attempt_started.as_ref().or(glance.timer_set.as_ref()) {
            // A retry belongs to what the step takes.
            self.running.entry(path.clone()).or_insert(at);
        }
        if let Some(At { path }) = &glance.person_asked {
            self.asked.insert(path.clone());
        }
        if let Some(failed) = &glance.attempt_failed {
            self.asked.remove(&failed.path);
            if failed.retry_at_us.is_none() {
                self.running.remove(&failed.path);
            }
        }
        if let Some(At { path }) = &glance.step_held {
            self.running.remove(path);
        }
        if let Some(succeeded) = &glance.step_succeeded {
            self.asked.remove(&succeeded.path);
            let began = self.running.remove(&succeeded.path);
            self.succeeded(succeeded, began.map(|began| at.boot_us.saturating_sub(began.boot_us)));
            self.known(&succeeded.path);
        }
        if let Some(At { path }) = &glance.undo_started {
            self.undoing.entry(path.clone()).or_insert(at);
        }
        if let Some(At { path }) = &glance.step_undone
            && let Some(began) = self.undoing.remove(path)
        {
            self.undos.push((path.clone(), at.boot_us.saturating_sub(began.boot_us)));
        }
    }

    fn succeeded(&mut self, succeeded: &Succeeded, took_us: Option<u64>) {
        let people = matches!(succeeded.kind, StepKind::Approve | StepKind::Ask | StepKind::Manual);
        let acted = match succeeded.how {
            How::Performed => true,
            How::AlreadyTrue => false,
            // Whoever recovers, or says so, does not know how long it took.
            _ => return,
        };
        if people {
            return;
        }
        let ended_us = self.worked_us;
        let branches = self.branches_around(&succeeded.path);
        // A read leaves no intent: it began when its branch had come so far. Most of a quick one is making it durable.
        let since_us = self.known_us.get(branches.first().unwrap_or(&Path::root())).map(|known| ended_us - known);
        let us = took_us.unwrap_or(succeeded.outcome.took_us.max(since_us.unwrap_or(0)));
        for branch in branches {
            let span = self.branches.entry(branch).or_insert((ended_us.saturating_sub(us), ended_us));
            span.1 = ended_us;
        }
        self.steps.push(Step { path: succeeded.path.clone(), us, acted, ended_us });
    }

    /// Something has just become known of the branch around this path.
    fn known(&mut self, path: &Path) {
        let branch = self.branches_around(path).into_iter().next().unwrap_or_default();
        self.known_us.insert(branch, self.worked_us);
    }

    fn branches_around(&self, path: &Path) -> Vec<Path> {
        if self.each.is_empty() && self.parallel.is_empty() {
            return Vec::new();
        }
        let of_branches = |scope: &Path| self.each.contains(scope.as_str()) || self.parallel.contains(scope.as_str());
        std::iter::successors(path.parent(), Path::parent)
            .filter(|branch| branch.parent().is_some_and(|scope| !branch.is_root() && of_branches(&scope)))
            .collect()
    }

    fn windows(&mut self, glance: &Glance, at: Moment) {
        if let Some(At { path }) = &glance.window_opened {
            self.windows.insert(path.clone(), OpenWindow { opened: Some(at), ..OpenWindow::default() });
        }
        if let Some(At { path }) = &glance.commit_point_passed {
            let around = self.windows.iter_mut().filter(|(window, _)| path.is_within(window));
            for window in around.map(|(_, window)| window).filter(|window| window.committed_us.is_none()) {
                window.committed_us = window.opened.map(|opened| at.boot_us.saturating_sub(opened.boot_us));
            }
        }
        if let Some(At { path }) = &glance.window_going_back
            && let Some(window) = self.windows.get_mut(path)
        {
            window.back = Some(at);
        }
        if let Some(closed) = &glance.window_closed {
            let window = self.windows.remove(&closed.path).unwrap_or_default();
            let back_us = window.back.map(|began| at.boot_us.saturating_sub(began.boot_us));
            let pause = Pause {
                rehearsed: self.rehearsal.is_some(),
                until_commit_us: window.committed_us,
                whole_us: (!closed.went_back).then_some(closed.measured_us),
                back_us: back_us.filter(|_| closed.went_back),
            };
            self.pauses.push((closed.path.clone(), pause));
        }
    }

    fn counts(&self) -> bool {
        self.cut || self.finished == Some(Finish::Succeeded)
    }
}

/// What many runs say, newest first.
#[derive(Debug, Default)]
pub struct Past {
    /// Runs that succeeded.
    pub runs: u32,
    /// Rehearsals that ended as they should.
    pub rehearsals: u32,
    steps: HashMap<String, Typical>,
    scopes: HashMap<String, Typical>,
    totals: HashMap<String, Typical>,
    undos: HashMap<String, Typical>,
    pauses: HashMap<String, Vec<Pause>>,
    /// Time worked from a step's end to the run's end.
    after: HashMap<String, Typical>,
}

/// The median of what was measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Typical {
    /// Microseconds; of branches, their number.
    pub value: u64,
    /// Only rehearsals say so.
    pub rehearsed: bool,
}

#[derive(Debug, Default)]
struct Samples {
    real: Vec<u64>,
    rehearsed: Vec<u64>,
    /// Of steps that were true already.
    looked: Vec<u64>,
}

type Found = HashMap<String, Samples>;

impl Past {
    /// What these runs say together. Of runs that did not succeed only the ways back count, and their windows.
    pub fn of(runs: impl IntoIterator<Item = PastRun>) -> Self {
        let mut past = Self::default();
        let [mut steps, mut scopes, mut totals, mut undos, mut after] =
            [const { None }; 5].map(|_: Option<Found>| Found::new());
        for run in runs {
            let rehearsed = run.rehearsal.is_some();
            for (path, pause) in &run.pauses {
                let form = form(path, &run.each);
                past.pauses.entry(form).or_default().push(*pause);
            }
            for (path, us) in &run.undos {
                add(&mut undos, path, &run.each, |samples| samples.of(rehearsed).push(*us));
            }
            if !run.counts() {
                continue;
            }
            past.runs += u32::from(!rehearsed);
            past.rehearsals += u32::from(rehearsed);
            // A rehearsal that went back ended where others go on.
            let whole = !run.cut && run.rehearsal != Some(Rehearsal::Back);
            for step in &run.steps {
                add(&mut steps, &step.path, &run.each, |samples| {
                    if step.acted { samples.of(rehearsed).push(step.us) } else { samples.looked.push(step.us) }
                });
                if whole {
                    let left_us = run.worked_us - step.ended_us;
                    after.entry(step.path.as_str().to_owned()).or_default().of(rehearsed).push(left_us);
                }
            }
            let branches = run.branches.iter().map(|(path, (began, ended))| (path, ended - began));
            for (path, us) in run.scopes.iter().map(|(path, us)| (path, *us)).chain(branches) {
                add(&mut scopes, path, &run.each, |samples| samples.of(rehearsed).push(us));
            }
            for (path, total) in &run.totals {
                add(&mut totals, path, &run.each, |samples| samples.of(rehearsed).push(*total));
            }
            if whole {
                scopes.entry(String::new()).or_default().of(rehearsed).push(run.worked_us);
            }
        }
        past.steps = typical(steps);
        past.scopes = typical(scopes);
        past.totals = typical(totals);
        past.undos = typical(undos);
        past.after = typical(after);
        past
    }

    pub fn is_empty(&self) -> bool {
        self.runs == 0 && self.rehearsals == 0 && self.pauses.is_empty()
    }

    /// How long a step takes. `each`: the scopes whose branches have keys, where the path is from.
    pub fn step(&self, path: &Path, each: &HashSet<String>) -> Option<Typical> {
        known(&self.steps, path, each)
    }

    /// How long a scope takes, from its entry to its end, without the time in which all of the run waited for people.
    pub fn scope(&self, path: &Path, each: &HashSet<String>) -> Option<Typical> {
        known(&self.scopes, path, each)
    }

    /// How many branches a scope has.
    pub fn branches(&self, path: &Path, each: &HashSet<String>) -> Option<Typical> {
        known(&self.totals, path, each)
    }

    /// How long a step's undo takes.
    pub fn undo(&self, path: &Path, each: &HashSet<String>) -> Option<Typical> {
        known(&self.undos, path, each)
    }

    /// Every passage through this window, the newest run's first.
    pub fn pauses(&self, path: &Path, each: &HashSet<String>) -> &[Pause] {
        self.pauses.get(&form(path, each)).map_or(&[], Vec::as_slice)
    }

    /// Microseconds that a run still worked when this step had ended.
    pub fn left_after(&self, path: &Path) -> Option<Typical> {
        self.after.get(path.as_str()).copied()
    }
}

impl Samples {
    fn of(&mut self, rehearsed: bool) -> &mut Vec<u64> {
        if rehearsed { &mut self.rehearsed } else { &mut self.real }
    }

    fn typical(self) -> Option<Typical> {
        let real = median(self.real).map(|value| Typical { value, rehearsed: false });
        let rehearsed = || median(self.rehearsed).map(|value| Typical { value, rehearsed: true });
        let looked = || median(self.looked).map(|value| Typical { value, rehearsed: false });
        real.or_else(rehearsed).or_else(looked)
    }
}

fn add(found: &mut Found, path: &Path, each: &HashSet<String>, push: impl Fn(&mut Samples)) {
    push(found.entry(path.as_str().to_owned()).or_default());
    let form = form(path, each);
    if form != path.as_str() {
        push(found.entry(form).or_default());
    }
}

fn typical(found: Found) -> HashMap<String, Typical> {
    found.into_iter().filter_map(|(path, samples)| Some((path, samples.typical()?))).collect()
}

fn known(all: &HashMap<String, Typical>, path: &Path, each: &HashSet<String>) -> Option<Typical> {
    all.get(path.as_str()).or_else(|| all.get(&form(path, each))).copied()
}

/// The middle one; of two, the larger.
fn median(mut values: Vec<u64>) -> Option<u64> {
    values.sort_unstable();
    values.get(values.len() / 2).copied()
}

/// The path with the key of each branch of an `each` replaced.
fn form(path: &Path, each: &HashSet<String>) -> String {
    if each.is_empty() {
        return path.as_str().to_owned();
    }
    let mut form = String::with_capacity(path.as_str().len());
    let mut end = 0;
    let mut is_key = each.contains("");
    for name in path.as_str().split('/') {
        form.push_str(if end > 0 { "/" } else { "" });
        form.push_str(if is_key { ANY_KEY } else { name });
        end += name.len() + usize::from(end > 0);
        is_key = path.as_str().get(..end).is_some_and(|scope| each.contains(scope));
    }
    form
}

/// What is looked for in a record; everything else in it is passed over unread.
#[derive(Deserialize)]
struct Glance {
    run_started: Option<Started>,
    engine_attached: Option<IgnoredAny>,
    scope_entered: Option<Entered>,
    scope_left: Option<At>,
    scope_settled: Option<At>,
    attempt_started: Option<At>,
    attempt_failed: Option<Failed>,
    step_succeeded: Option<Succeeded>,
    step_held: Option<At>,
    person_asked: Option<At>,
    timer_set: Option<At>,
    commit_point_passed: Option<At>,
    window_opened: Option<At>,
    window_going_back: Option<At>,
    window_closed: Option<Closed>,
    undo_started: Option<At>,
    step_undone: Option<At>,
    run_finished: Option<Finished>,
}

#[derive(Deserialize)]
struct At {
    path: Path,
}

#[derive(Deserialize)]
struct Started {
    runbook: StartedRunbook,
    rehearsal: Option<Rehearsal>,
}

#[derive(Deserialize)]
struct StartedRunbook {
    file: String,
    title: String,
}

#[derive(Deserialize)]
struct Entered {
    path: Path,
    kind: ScopeKind,
    total: Option<u64>,
}

#[derive(Deserialize)]
struct Failed {
    path: Path,
    retry_at_us: Option<i64>,
}

#[derive(Deserialize)]
struct Succeeded {
    path: Path,
    kind: StepKind,
    how: How,
    outcome: Took,
}

#[derive(Deserialize)]
struct Took {
    #[serde(default)]
    took_us: u64,
}

#[derive(Deserialize)]
struct Closed {
    path: Path,
    went_back: bool,
    measured_us: u64,
}

#[derive(Deserialize)]
struct Finished {
    how: Finish,
}
