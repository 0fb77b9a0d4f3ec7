//! What happened when: the statement as stretches of time.
//!
//! Owns reading times out of a statement. Where the journal does not say when something ended, it says the latest that
//! it can have been. Never draws (see `timeline`).

use super::super::statement::*;
use super::super::time::Instant;
use crate::event::Attach;
use crate::path::Path;
use crate::request::StepKind;
use std::collections::HashMap;

/// How a stretch is drawn. In the order of drawing: later ones lie on top.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Look {
    /// Waiting for a person.
    Person,
    /// Waiting for a time, or for something to become true.
    Timer,
    Work,
    /// Work that was taken back later.
    Undone,
    TakingBack,
    /// The engine died meanwhile.
    Interrupted,
    Failed,
}

impl Look {
    pub(super) const ALL: [Self; 7] =
        [Self::Person, Self::Timer, Self::Work, Self::Undone, Self::TakingBack, Self::Interrupted, Self::Failed];

    /// The class in the style sheet.
    pub(super) fn class(self) -> &'static str {
        match self {
            Self::Person => "person",
            Self::Timer => "timer",
            Self::Work => "work",
            Self::Undone => "undone",
            Self::TakingBack => "back",
            Self::Interrupted => "cut",
            Self::Failed => "failed",
        }
    }

    pub(super) fn legend(self) -> &'static str {
        match self {
            Self::Person => "waits for a person",
            Self::Timer => "waits for a time or a condition",
            Self::Work => "performed",
            Self::Undone => "performed, taken back later",
            Self::TakingBack => "taking back",
            Self::Interrupted => "interrupted: its engine died",
            Self::Failed => "attempt failed",
        }
    }

    /// Something was being done: such time is always drawn at its length.
    pub(super) fn is_work(self) -> bool {
        !matches!(self, Self::Person | Self::Timer)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) look: Look,
    pub(super) from: i64,
    pub(super) to: i64,
}

fn span(look: Look, a: Instant, b: Instant) -> Span {
    // A wall clock that was set back makes an end stand before its start.
    Span { look, from: a.0.min(b.0), to: a.0.max(b.0) }
}

fn before(at: Instant, us: u64) -> Instant {
    Instant(at.0.saturating_sub_unsigned(us))
}

/// An engine's life: from its attaching to the last record of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Life {
    pub(super) from: Instant,
    pub(super) to: Instant,
    pub(super) reason: Attach,
}

pub(super) struct Spans {
    /// Of each step of the statement, by its index.
    pub(super) steps: Vec<Vec<Span>>,
    /// When people were waited for.
    pub(super) people: Vec<Span>,
    pub(super) lives: Vec<Life>,
    pub(super) from: i64,
    pub(super) to: i64,
}

impl Spans {
    pub(super) fn of(told: &Predicate) -> Self {
        let lives = lives(told);
        let end_of_life = |at: Instant| {
            let next = lives.partition_point(|life| life.from <= at);
            next.checked_sub(1).map_or(told.run.last_at, |own| lives[own].to.max(at))
        };
        let mut steps: Vec<Vec<Span>> =
            told.steps.iter().map(|step| of_step(step, told.run.last_at, &end_of_life)).collect();
        let index: HashMap<(&Path, u32), usize> =
            told.steps.iter().enumerate().map(|(at, step)| ((&step.path, step.generation), at)).collect();
        let mut held: HashMap<&Path, Vec<Instant>> = HashMap::new();
        for hold in &told.holds {
            if let Some(path) = &hold.path {
                held.entry(path).or_default().push(hold.at);
            }
        }
        for undone in told.undos.iter().flat_map(|undo| &undo.steps) {
            let Some(at) = index.get(&(&undone.path, undone.generation)) else { continue };
            let ends = undone.attempts.iter().skip(1).map(|attempt| attempt.began_at);
            for (attempt, next) in undone.attempts.iter().zip(ends.chain([None])) {
                let Some(began) = attempt.began_at else { continue };
                let look = if attempt.failure.is_some() { Look::Failed } else { Look::TakingBack };
                let end = next.or(undone.ended_at).unwrap_or_else(|| end_of_life(began));
                // The statement does not say when an undo failed; where it held then, it had.
                let hold = held.get(&undone.path).and_then(|holds| holds.iter().find(|at| **at >= began));
                let end = hold.map_or(end, |at| end.min(*at));
                steps[*at].push(span(look, began, end));
            }
        }
        let mut people: Vec<Span> = steps.iter().flatten().filter(|span| span.look == Look::Person).copied().collect();
        for (row, wait) in holds(told) {
            people.push(wait);
            if let Some(row) = row {
                steps[row].push(wait);
            }
        }
        let all = || steps.iter().flatten().chain(&people);
        let from = all().map(|span| span.from).chain([told.run.started_at.0]).min().unwrap_or(0);
        let to = all().map(|span| span.to).chain([told.run.last_at.0]).max().unwrap_or(0);
        Self { steps, people, lives, from, to }
    }
}

fn of_step(step: &StepTold, last: Instant, end_of_life: &dyn Fn(Instant) -> Instant) -> Vec<Span> {
    let ended = step.ended_at.unwrap_or(match step.status {
        StepStatus::Running | StepStatus::Waiting | StepStatus::Held => last,
        _ => step.started_at,
    });
    match step.kind {
        StepKind::Approve | StepKind::Ask | StepKind::Manual => {
            return vec![span(Look::Person, step.started_at, ended)];
        }
        StepKind::Wait | StepKind::Poll => return vec![span(Look::Timer, step.started_at, ended)],
        _ => {}
    }
    let worked = if step.status == StepStatus::Undone { Look::Undone } else { Look::Work };
    let mut spans = Vec::new();
    for attempt in &step.attempts {
        let look = match attempt.end {
            AttemptEnd::Succeeded => worked,
            AttemptEnd::Failed => Look::Failed,
            AttemptEnd::Open if step.status == StepStatus::Running => Look::Work,
            AttemptEnd::Open => Look::Interrupted,
        };
        match (attempt.began_at, attempt.ended_at) {
            (Some(began), Some(end)) => spans.push(span(look, began, end)),
            (Some(began), None) => {
                // Nobody saw its end: at the latest with its engine's, or when someone said what became of the step.
                let known = step.ended_at.filter(|end| *end >= began);
                let end = end_of_life(began);
                spans.push(span(look, began, known.map_or(end, |known| known.min(end))));
            }
            // A read has no intent: its own measure says when it began.
            (None, Some(end)) => {
                let took = if look == worked { step.took_us.unwrap_or(0) } else { 0 };
                spans.push(span(look, before(end, took), end));
            }
            (None, None) => {}
        }
    }
    if spans.is_empty() {
        spans.push(span(worked, before(ended, step.took_us.unwrap_or(0)), ended));
    }
    spans
}

/// Each hold with the row of its step, until someone decided or another engine went on.
fn holds(told: &Predicate) -> Vec<(Option<usize>, Span)> {
    let mut rows: HashMap<&Path, Vec<usize>> = HashMap::new();
    for (row, step) in told.steps.iter().enumerate() {
        rows.entry(&step.path).or_default().push(row);
    }
    let mut decided: HashMap<Option<&Path>, Vec<&PersonTold>> = HashMap::new();
    for person in &told.people {
        decided.entry(person.path.as_ref()).or_default().push(person);
    }
    let first_after = |people: Option<&Vec<&PersonTold>>, record: u64| {
        let people = people?;
        people.get(people.partition_point(|person| person.record <= record)).map(|person| person.at)
    };
    let wait = |hold: &HoldTold| {
        let path = hold.path.as_ref();
        let next = told.engines.partition_point(|engine| engine.record <= hold.record);
        let ends = [
            first_after(decided.get(&path), hold.record),
            first_after(decided.get(&None), hold.record),
            told.engines.get(next).map(|engine| engine.at),
        ];
        let end = ends.into_iter().flatten().min().unwrap_or(told.run.last_at);
        // The latest generation that had begun by then is the one that was held.
        let row = path.and_then(|path| rows.get(path)).and_then(|rows| {
            let next = rows.partition_point(|row| told.steps[*row].record <= hold.record);
            next.checked_sub(1).map(|own| rows[own])
        });
        (row, span(Look::Person, hold.at, end))
    };
    told.holds.iter().map(wait).collect()
}

fn lives(told: &Predicate) -> Vec<Life> {
    let ends = told.engines.iter().skip(1).map(|next| {
        // Records count from 1: this is the one before it attached.
        let last = next.record.checked_sub(2).and_then(|index| told.journal.get(usize::try_from(index).ok()?));
        last.map_or(next.at, |record| Instant(record.at.wall_us))
    });
    let ends = ends.chain([told.run.last_at]);
    told.engines
        .iter()
        .zip(ends)
        .map(|(engine, end)| Life { from: engine.at, to: end.max(engine.at), reason: engine.reason })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::super::Statement;
    use super::*;
    use crate::fixture::{Log, a_full_life, path};

    fn told(log: &Log) -> Predicate {
        Statement::from_journal(&log.sealed).unwrap().predicate
    }

    /// The spans of a step's first generation, with their lengths in milliseconds.
    fn of(told: &Predicate, at: &str) -> Vec<(Look, i64)> {
        let row = told.steps.iter().position(|step| step.path == path(at)).unwrap();
        Spans::of(told).steps[row].iter().map(|span| (span.look, (span.to - span.from) / 1000)).collect()
    }

    #[test]
    fn every_attempt_has_its_span_and_so_has_what_came_between() {
        let told = told(&a_full_life());
        use Look::*;
        for (at, spans) in [
            ("Discover/a", vec![(Work, 100)]),
            ("Discover/tables", vec![(Work, 0)]),
            ("Discover/flaky", vec![(Failed, 10), (Work, 100)]),
            ("Discover/again", vec![(Failed, 40), (Work, 100)]),
            ("waived", vec![(Failed, 10), (Person, 10)]),
            // Nobody saw its end; someone said what it was.
            ("said", vec![(Interrupted, 30), (Person, 10)]),
            ("Copy/b", vec![(Undone, 100), (Failed, 20), (Failed, 20), (TakingBack, 10), (Person, 10)]),
            ("ticket", vec![(Person, 20)]),
            ("soak", vec![(Timer, 1010)]),
            ("w/switch", vec![(Failed, 20), (TakingBack, 10)]),
        ] {
            assert_eq!(of(&told, at), spans, "{at}");
        }
    }

    #[test]
    fn a_read_begins_as_long_before_its_end_as_it_took() {
        let mut log = Log::new();
        log.wait_ms(500).read("a");
        let mut told = told(&log);
        told.steps[0].took_us = Some(300_000);
        assert_eq!(of(&told, "a"), [(Look::Work, 300)]);
    }

    #[test]
    fn an_engines_life_ends_with_the_last_record_before_the_next_one() {
        let mut log = Log::new();
        log.start("a").wait_ms(3000).crash(Attach::TookOver).fail("a");
        let told = told(&log);
        let lives = Spans::of(&told).lives;
        assert_eq!(lives.iter().map(|life| life.reason).collect::<Vec<_>>(), [Attach::Started, Attach::TookOver]);
        assert_eq!((lives[0].to.0 - lives[0].from.0, lives[1].from.0 - lives[0].to.0), (10_000, 3_010_000));
        assert_eq!(lives[1].to, told.run.last_at);
    }

    #[test]
    fn a_hold_that_nobody_decided_lasts_to_the_end_or_until_another_engine_goes_on() {
        let mut log = Log::new();
        log.start("a").hold_failed("a").wait_ms(990);
        log.done("b");
        assert_eq!(of(&told(&log), "a"), [(Look::Failed, 10), (Look::Person, 1100)]);
        log.crash(Attach::Resumed).wait_ms(500).done("c");
        assert_eq!(of(&told(&log), "a"), [(Look::Failed, 10), (Look::Person, 1110)]);
    }
}
