//! What each event changes, and that no sequence of events breaks the fold.

use super::*;
use crate::digest::Digest;
use crate::event::{AttemptFailed, Event, How, StepSucceeded};
use crate::fixture::*;
use crate::hold::Choice;
use crate::record::{Record, open_all};
use crate::request::Ask;
use crate::scope::ScopeKind;
use crate::undo::undo_plan;
use crate::window::WindowPhase;

/// Counts again what the state counts along the way.
fn counted(state: &RunState) -> [u64; 5] {
    let count = |pick: fn(&Step) -> bool| state.steps.values().filter(|step| pick(step)).count() as u64;
    [Step::is_held, Step::is_done, Step::is_running, Step::is_waiting, Step::is_stuck].map(count)
}

fn counters(state: &RunState) -> [u64; 5] {
    [state.held_steps, state.done_steps, state.running_steps, state.waiting_steps, state.stuck_steps]
}

#[test]
fn a_fold_of_the_sealed_journal_is_the_fold_of_the_live_events() {
    let log = a_full_life();
    let mut replayed = RunState::default();
    for record in open_all(&log.sealed).unwrap() {
        replayed.apply(&record);
    }
    assert_eq!(difference(&replayed, &log.state), None);
    assert_eq!(counters(&replayed), counted(&replayed));
}

/// A state as text, in an order that two folds share; maps and sets print in an order of their own.
fn sorted(state: &RunState) -> String {
    fn take<T: std::fmt::Debug>(map: &mut HashMap<Path, T>) -> Vec<(Path, T)> {
        let mut items: Vec<_> = std::mem::take(map).into_iter().collect();
        items.sort_by(|(a, _), (b, _)| a.cmp(b));
        items
    }
    let mut rest = state.clone();
    let maps = (take(&mut rest.steps), take(&mut rest.scopes), take(&mut rest.windows));
    let mut noted: Vec<Path> = std::mem::take(&mut rest.noted).into_iter().collect();
    noted.sort();
    format!("{rest:#?} {maps:#?} {noted:#?}")
}

/// Nothing, or the first line in which two folds differ.
fn difference(a: &RunState, b: &RunState) -> Option<(String, String)> {
    let (a, b) = (sorted(a), sorted(b));
    a.lines().zip(b.lines()).find(|(a, b)| a != b).map(|(a, b)| (a.to_owned(), b.to_owned()))
}

#[test]
fn an_undo_begins_a_new_generation_that_remembers_nothing_but_its_place() {
    let mut log = Log::new();
    log.done("a").start("b").fail_retry_in("b", 0).start("b").succeed("b");
    let first = log.step("b").first_seq;
    log.begin_undo("").undo("b").undo("a").end_undo("").start("b");
    let step = log.step("b");
    assert_eq!((step.generation, step.attempts, step.forgiven, step.began.len()), (2, 1, 0, 1));
    assert_eq!(step.first_seq, first);
    assert!(step.is_running() && step.outcome.is_none());
}

#[test]
fn a_step_that_was_already_true_has_nothing_to_undo() {
    let mut log = Log::new();
    log.already_true("a");
    assert!(log.step("a").is_done() && log.step("a").began.is_empty());
    let plan = undo_plan(&log.state, &Path::root());
    assert_eq!((plan.items.len(), plan.stays.len()), (0, 0));
}

#[test]
fn what_an_attempt_left_to_undo_is_kept_even_if_the_step_is_then_said_to_be_already_true() {
    let mut log = Log::new();
    log.start("a").fail_retry_in("a", -1);
    let succeeded = StepSucceeded { how: How::AlreadyTrue, undo: Some(sh("undo nothing")), ..log.succeeding("a") };
    log.add(Event::StepSucceeded(Box::new(succeeded)));
    let undos: Vec<_> = log.step("a").undo_actions().iter().map(|action| action.summary()).collect();
    assert_eq!(undos, ["sh undo a"]);
}

#[test]
fn what_a_success_says_about_its_undo_replaces_what_the_intent_said() {
    let mut log = Log::new();
    log.start("a").start("b");
    let undo = Some(sh("drop user 42"));
    let succeeded = StepSucceeded { undo, ..log.succeeding("a") };
    log.add(Event::StepSucceeded(Box::new(succeeded))).succeed("b");
    let summaries = |at: &str| log.step(at).undo_actions().iter().map(|action| action.summary()).collect::<Vec<_>>();
    assert_eq!(summaries("a"), ["sh drop user 42"]);
    assert_eq!(summaries("b"), ["sh undo b"]);
}

#[test]
fn an_open_attempt_stays_open_through_a_hold_and_a_decision_and_ends_with_its_end() {
    let open = |log: &Log| log.step("a").open.as_ref().map(|started| started.attempt);
    let mut log = Log::new();
    log.start("a");
    assert_eq!(open(&log), Some(1));
    log.hold("a", HoldReason::Unprovable { why: "no answer".into() }).choose("a", Choice::Retry);
    assert_eq!(open(&log), Some(1));
    let (mut failed, mut succeeded) = (log.clone(), log.clone());
    assert_eq!((open(failed.fail("a")), open(succeeded.succeed("a"))), (None, None));
    for said in [Choice::Done, Choice::NotDone] {
        let mut log = log.clone();
        log.hold("a", HoldReason::Unprovable { why: "no answer".into() }).choose("a", said);
        assert_eq!(open(&log), None, "a person's word that nothing of it goes on");
    }
    log.hold("a", HoldReason::Unknown { why: "nobody knows".into() });
    assert_eq!(open(&log), None);
}

#[test]
fn a_rotated_secret_is_seen_anew_after_a_person_says_it_is_the_same_place() {
    let mut log = Log::new();
    let seen = |name: &str, text: &str| {
        let keyed_hash = fingerprint(text);
        Event::SecretSeen(crate::event::SecretSeen { name: name.into(), source: format!("env:{name}"), keyed_hash })
    };
    log.add(seen("A", "old")).add(seen("B", "old")).start("a");
    log.hold("a", HoldReason::Rotated { secret: "A".into(), source: "env:A".into() });
    assert_eq!(log.state.secrets.len(), 2);
    log.choose("a", Choice::Retry);
    assert_eq!(log.state.secrets.keys().collect::<Vec<_>>(), ["env:B"]);
}

#[test]
fn a_hold_waits_for_as_many_decisions_as_there_are_held_steps() {
    let mut log = Log::new();
    log.start("a").start("b").hold_failed("a").hold_failed("b");
    assert_eq!((log.state.held_steps, log.state.status()), (2, Status::Held));
    log.choose("a", Choice::Retry);
    assert_eq!((log.state.held_steps, log.state.status()), (1, Status::Held));
    log.choose("b", Choice::Waive).accepted("b", How::Waived);
    assert_eq!((log.state.held_steps, log.state.status()), (0, Status::Running));
}

#[test]
fn a_failed_undo_holds_and_a_person_who_says_retry_gives_it_its_attempts_afresh() {
    let mut log = Log::new();
    log.done("a").done("b").begin_undo("").start_undo("b").fail_undo("b", None);
    log.hold("b", HoldReason::UndoFailed { failure: broke() });
    assert_eq!((log.state.held_steps, log.state.done_steps), (1, 2));
    assert!(log.step("b").is_done(), "a failed undo leaves the step done");
    log.choose("b", Choice::Retry);
    assert_eq!(log.state.held_steps, 0);
    // The next one has a number of its own: its files are not those of one that failed.
    assert_eq!(log.step("b").undo.attempts, 1);
    assert_eq!(undo_plan(&log.state, &Path::root()).items.len(), 2);
    log.undo("b").undo("a").end_undo("");
    assert_eq!(counters(&log.state), [0; 5]);
}

#[test]
fn a_step_whose_undo_holds_is_not_forgotten_when_the_rest_is_taken_back() {
    let mut log = Log::new();
    log.done("a").done("b").begin_undo("").start_undo("b").fail_undo("b", None);
    log.hold("b", HoldReason::UndoFailed { failure: broke() }).undo("a").end_undo("");
    assert_eq!(log.state.held_steps, 1);
    assert!(!log.step("b").began.is_empty());
    assert!(matches!(log.step("a").phase, Phase::Undone));
}

#[test]
fn finishing_an_undo_resets_reads_settled_scopes_and_passed_windows_within_it_and_nothing_beside() {
    let mut log = Log::new();
    log.read("in/look").read("out/look");
    log.enter("in/s", ScopeKind::Attempt)
        .settle("in/s", vec![])
        .enter("out/s", ScopeKind::Attempt)
        .settle("out/s", vec![]);
    log.open_window("in/w").close_window("in/w", false);
    log.begin_undo("in").end_undo("in");
    assert!(matches!(log.step("in/look").phase, Phase::Undone));
    assert!(log.step("out/look").is_done());
    assert!(log.state.settled_around(&path("in/s/x")).is_none());
    assert!(log.state.settled_around(&path("out/s/x")).is_some());
    assert!(matches!(log.state.windows[&path("in/w")].phase, WindowPhase::Closed { went_back: true, .. }));
    assert!(log.state.undoing.is_none());
}

#[test]
fn nothing_from_before_a_commit_point_is_reset_by_an_undo() {
    let mut log = Log::new();
    log.read("look").done("a").enter("s", ScopeKind::Attempt).settle("s", vec![]).commit_point("c").read("later");
    log.begin_undo("").end_undo("");
    assert!(log.step("look").is_done() && log.step("a").is_done());
    assert!(log.state.settled_around(&path("s")).is_some());
    assert!(matches!(log.step("later").phase, Phase::Undone));
}

#[test]
fn a_window_that_goes_back_does_not_end_a_larger_taking_back_that_a_person_asked_for() {
    let mut log = Log::new();
    log.done("a").open_window("w").done("w/b").begin_undo("").go_back("w").undo("w/b").end_undo("w");
    assert_eq!(log.state.undoing.as_ref().map(|undoing| undoing.scope.clone()), Some(Path::root()));
    log.close_window("w", true).undo("a").end_undo("");
    assert!(log.state.undoing.is_none());
}

#[test]
fn a_commit_point_commits_the_window_around_it_and_no_other() {
    let mut log = Log::new();
    log.open_window("w").commit_point("w/deep/c");
    assert!(log.state.windows[&path("w")].committed);
    let mut log = Log::new();
    log.open_window("w").commit_point("wide/c");
    assert!(!log.state.windows[&path("w")].committed);
}

#[test]
fn a_window_is_measured_from_its_opening_to_its_last_steps_end_not_to_its_closing() {
    let mut log = Log::new();
    log.open_window("w");
    let opened = log.now;
    log.wait_ms(1000).done("w/a");
    let ended = log.now;
    log.wait_ms(5000).read("beside").wait_ms(5000);
    let closing = log.closing("w", false);
    assert_eq!(closing.measured_us, ended.boot_us - opened.boot_us);
    assert!(closing.within_budget);
    log.close_window("w", false);
    assert!(log.state.open_window().is_none());
}

#[test]
fn entering_a_window_again_is_its_next_generation_and_not_committed() {
    let mut log = Log::new();
    log.open_window("w").go_back("w").close_window("w", true);
    assert_eq!(log.state.windows[&path("w")].went_back_because, "the budget cannot be kept");
    log.open_window("w");
    let window = &log.state.windows[&path("w")];
    assert_eq!((window.generation, window.committed, window.is_open()), (2, false, true));
    assert_eq!(window.until_going_back_us(log.now, "boot-a"), 70_000_000);
}

#[test]
fn a_window_that_went_back_is_entered_again_by_a_persons_word_and_not_where_its_failure_is_caught() {
    let gone_back = |inside: &str| {
        let mut log = Log::new();
        log.enter("maybe", ScopeKind::Attempt).open_window(inside).go_back(inside).close_window(inside, true);
        log.add(Event::RunHeld { reason: HoldReason::WentBack { window: "w".into(), why: "over".into() } });
        log
    };
    let reopens = |log: &Log, at: &str| log.state.windows[&path(at)].reopens;
    for (at, entered_again) in [("w", true), ("maybe/w", false)] {
        let mut log = gone_back(at);
        assert!(!reopens(&log, at));
        log.add(Event::RunResumed { by: actor("ada", 1000) });
        assert_eq!(reopens(&log, at), entered_again, "{at}");
    }
}

#[test]
fn what_a_person_asked_to_take_back_is_remembered_until_the_run_ends_or_holds_for_it() {
    let taken = |log: &Log| log.state.taken_back.as_ref().map(|taken| taken.scope.to_string());
    let mut log = Log::new();
    log.done("in/a").begin_undo("in").undo("in/a");
    assert_eq!(taken(&log), None);
    log.end_undo("in");
    assert_eq!(taken(&log), Some("in".to_owned()));
    log.add(Event::RunHeld { reason: HoldReason::Paused { by: "ada".into() } });
    assert_eq!(taken(&log), None);
    log.begin_undo("").end_undo("");
    assert_eq!(taken(&log), Some(String::new()));
    log.finish(Finish::Undone);
    assert_eq!(taken(&log), None);
    let mut log = Log::new();
    log.open_window("w").done("w/a").go_back("w").begin_undo_for_window("w").undo("w/a").end_undo("w");
    assert_eq!(taken(&log), None, "a window goes back by itself");
}

#[test]
fn a_run_is_in_one_word_what_it_needs() {
    let status = |happened: fn(&mut Log) -> &mut Log| {
        let mut log = Log::new();
        happened(&mut log);
        log.state.status()
    };
    assert_eq!(status(|log| log), Status::Running);
    assert_eq!(status(|log| log.ask("go", Log::approval(1, false))), Status::Waiting);
    assert_eq!(status(|log| log.ask("go", Log::approval(1, false)).start("a")), Status::Running);
    assert_eq!(status(|log| log.start("a").hold_failed("a")), Status::Held);
    assert_eq!(status(|log| log.done("a").begin_undo("")), Status::Undoing);
    assert_eq!(status(|log| log.finish(Finish::Succeeded)), Status::Succeeded);
    assert_eq!(status(|log| log.finish(Finish::Aborted)), Status::Aborted);
    assert_eq!(
        status(|log| log.finish(Finish::Succeeded).begin_undo("").end_undo("").finish(Finish::Undone)),
        Status::Undone
    );
}

#[test]
fn a_finished_run_that_is_to_be_taken_back_is_no_longer_finished() {
    let mut log = Log::new();
    log.done("a").finish(Finish::Succeeded).begin_undo("");
    assert!(log.state.finished.is_none());
}

/// Any event at all, about few paths, so that they meet.
pub(crate) mod any {
    use super::*;
    use crate::duration::Duration;
    use crate::event::*;
    use crate::guard::Then;
    use crate::hold::Decision;
    use crate::ids::RunId;
    use crate::outcome::{Failure, FailureKind};
    use crate::request::StepKind;
    use proptest::prelude::*;

    /// An event as numbers: which, where, and three more that its fields are made of.
    pub(crate) type Drawn = (u8, u8, u8, u8, u8);

    pub(crate) fn drawn() -> impl Strategy<Value = Vec<Drawn>> {
        proptest::collection::vec((0..34u8, 0..8u8, 0..4u8, 0..5u8, 0..8u8), 0..60)
    }

    const PATHS: [&str; 8] = ["", "a", "w", "w/a", "w/b", "s", "s/a", "s/k/b"];

    fn number(drawn: u8) -> u32 {
        // Edges of the type, where sums overflow.
        [0, 1, 2, u32::MAX - 1, u32::MAX][drawn as usize % 5]
    }

    fn failure(drawn: u8) -> Failure {
        let kinds = [FailureKind::Action, FailureKind::Interrupted, FailureKind::Stopped, FailureKind::Expired];
        Failure::new(kinds[drawn as usize % 4], "no")
    }

    fn reason(drawn: u8) -> HoldReason {
        let why = String::new();
        match drawn % 8 {
            0 => HoldReason::Failed { failure: failure(0) },
            1 => HoldReason::Unknown { why },
            2 => HoldReason::Unprovable { why },
            3 => HoldReason::Changed { was: Digest::ZERO, now: Digest::ZERO },
            4 => HoldReason::UndoFailed { failure: failure(0) },
            5 => HoldReason::Rotated { secret: why.clone(), source: why },
            6 => HoldReason::WentBack { window: why.clone(), why },
            _ => HoldReason::Paused { by: why },
        }
    }

    fn choice(drawn: u8) -> Choice {
        let choices = [Choice::Retry, Choice::Done, Choice::NotDone, Choice::Waive, Choice::Keep, Choice::Redo];
        choices[drawn as usize % 6].clone()
    }

    fn how(drawn: u8) -> How {
        use How::*;
        [Performed, AlreadyTrue, Recovered, Adopted, SaidDone, Waived, Kept][drawn as usize % 7]
    }

    fn step_event(which: u8, at: &str, (a, b, c): (u8, u8, u8)) -> Event {
        let log = Log::empty();
        let (generation, attempt) = (number(a), number(b));
        match which {
            0..4 => Event::AttemptStarted(Box::new(AttemptStarted { generation, attempt, ..log.starting(at) })),
            4..7 => Event::AttemptFailed(Box::new(AttemptFailed {
                generation,
                attempt,
                failure: failure(c),
                never_began: c % 2 == 0,
                retry_at_us: [None, Some(i64::MIN), Some(i64::MAX)][c as usize % 3],
                ..log.failing(at)
            })),
            7..10 => Event::StepSucceeded(Box::new(StepSucceeded {
                generation,
                attempt,
                how: how(c),
                undo: (c % 2 == 0).then(|| sh("undo")),
                ..log.succeeding(at)
            })),
            10 => Event::StepHeld(StepHeld {
                path: path(at),
                generation,
                kind: StepKind::Approve,
                site: site(),
                reason: reason(c),
            }),
            11..13 => {
                let decision = Decision { by: actor("x", 1), saw: Digest::ZERO, why: None };
                Event::Decided(Decided { path: path(at), choice: choice(c), decision })
            }
            13 => Event::PersonAsked(Box::new(log.asking(at, Log::approval(c.into(), true)))),
            14 => {
                let decision = Decision { by: actor("x", c.into()), saw: Digest::ZERO, why: None };
                let answer = if c % 2 == 0 { Answer::Approve } else { Answer::Reject };
                Event::PersonAnswered(Box::new(PersonAnswered { path: path(at), answer, decision }))
            }
            _ => {
                let due_at_us = i64::MAX;
                let fingerprint = fingerprint("t");
                Event::TimerSet(TimerSet { path: path(at), kind: StepKind::Wait, fingerprint, site: site(), due_at_us })
            }
        }
    }

    fn undo_event(which: u8, at: &str, (a, b, c): (u8, u8, u8)) -> Event {
        let (path, generation, attempt) = (path(at), number(a), number(b));
        match which {
            16 => {
                let reasons = [
                    UndoReason::Window { window: path.clone(), why: String::new() },
                    UndoReason::Asked { decision: Log::empty().by("x", 1) },
                    UndoReason::Redo { step: path.clone(), decision: Log::empty().by("x", 1) },
                ];
                Event::UndoBegan(UndoBegan { scope: path, reason: reasons[c as usize % 3].clone() })
            }
            17 => {
                let (action, handle) = (sh("undo"), Handle::Engine);
                Event::UndoStarted(Box::new(UndoStarted { path, generation, attempt, action, handle }))
            }
            18 => Event::UndoFailed(UndoFailed { path, generation, attempt, failure: failure(c), retry_at_us: None }),
            19 => Event::StepUndone { path, generation },
            _ => Event::UndoFinished { scope: path },
        }
    }

    pub(crate) fn event((which, at, a, b, c): Drawn) -> Event {
        let place = PATHS[at as usize % 8];
        let (path, generation) = (path(place), number(a));
        match which {
            0..16 => step_event(which, place, (a, b, c)),
            16..21 => undo_event(which, place, (a, b, c)),
            21 => Event::ScopeEntered(ScopeEntered { path, kind: ScopeKind::Attempt, total: None, guards: vec![] }),
            22 => Event::ScopeSettled(ScopeSettled { path, value: None, failures: vec![] }),
            23 => Event::CommitPointPassed { path },
            24 => Event::WindowOpened(WindowOpened {
                path,
                generation,
                budget: Duration::from_ms(u64::MAX),
                reserve: Duration::from_ms(u64::from(c)),
                boot_id: String::new(),
                watchdog_pid: 1,
            }),
            25 => Event::WindowGoingBack { path, generation, why: String::new(), rehearsed: false },
            26 => Event::WindowClosed(WindowClosed {
                path,
                generation,
                went_back: c % 2 == 0,
                measured_us: u64::MAX,
                same_boot: true,
                within_budget: false,
            }),
            27 => Event::GuardTripped(Box::new(GuardTripped {
                path,
                check: String::new(),
                saw: String::new(),
                limit: String::new(),
                failures: u32::MAX,
                then: [Then::Hold, Then::Undo, Then::GoBack, Then::Warn][c as usize % 4],
                site: site(),
            })),
            28 => Event::GuardArmed { path, saw: String::new() },
            29 => Event::LockTaken { path, name: String::new() },
            30 => Event::LockAwaited(LockAwaited {
                path: path.clone(),
                name: String::new(),
                held_by: RunId::from_random(1),
                held_at: path,
                since_us: i64::MIN,
                deadlock: (c % 2 == 0).then(String::new),
            }),
            31 => Event::LockBroken { path, name: String::new(), decision: Log::empty().by("x", 1) },
            _ if c % 8 == 7 => Event::StepDropped { path, generation },
            _ => match c % 4 {
                0 => Event::RunHeld { reason: reason(b) },
                1 => Event::RunResumed { by: actor("x", 1) },
                2 => Event::RunFinished { how: Finish::Succeeded, value: None },
                _ => Event::AbortAsked { by: actor("x", 1), why: None },
            },
        }
    }
}

mod no_sequence_of_events {
    use super::*;
    use crate::decide::{decide, decide_person};
    use crate::guard::OnTrip;
    use crate::record::Moment;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

        #[test]
        fn breaks_the_counters_or_panics(drawn in any::drawn()) {
            let mut state = RunState::default();
            for (index, drawn) in drawn.into_iter().enumerate() {
                let times = [Moment { wall_us: i64::MIN, boot_us: 0 }, Moment { wall_us: i64::MAX, boot_us: u64::MAX }];
                let (seq, at) = (index as u64 + 1, times[index % 2]);
                state.apply(&Record { seq, at, fence: 1, event: any::event(drawn), hash: Digest::ZERO });
                prop_assert_eq!(counters(&state), counted(&state));
            }
            looks_at_everything(&state);
        }

        #[test]
        fn folds_otherwise_after_it_was_sealed_and_opened(drawn in any::drawn()) {
            let mut log = Log::new();
            for drawn in drawn {
                log.add(any::event(drawn));
            }
            let mut replayed = RunState::default();
            open_all(&log.sealed).unwrap().iter().for_each(|record| replayed.apply(record));
            prop_assert_eq!(difference(&replayed, &log.state), None);
        }
    }

    /// Everything that is asked of a state answers for this one.
    fn looks_at_everything(state: &RunState) {
        let scope = scopes(&[(window_kind(), "w"), (ScopeKind::Attempt, "s")]);
        for at in ["a", "w/a", "s/a", "new"].map(path) {
            let now = Moment { wall_us: i64::MAX, boot_us: u64::MAX };
            decide(state, &scope, &at, fingerprint("v1"));
            decide_person(state, &scope, &at, Digest::of_json(&Ask::Manual { instructions: String::new() }), now);
            undo_plan(state, &at);
        }
        for on_trip in [OnTrip::Hold, OnTrip::Undo] {
            crate::guard::trip(state, &scope, on_trip);
        }
        crate::guard::undo_due(state);
        for window in state.windows.values() {
            window.until_going_back_us(Moment { wall_us: i64::MIN, boot_us: 0 }, "other");
        }
        state.status();
        state.steps_in_order();
    }
}

#[test]
fn attempts_interrupted_by_a_crash_may_have_had_an_effect_and_those_that_never_began_may_not() {
    let mut log = Log::new();
    log.start("a").start("b");
    let failed = AttemptFailed { never_began: true, retry_at_us: Some(0), ..log.failing("b") };
    log.fail("a").add(Event::AttemptFailed(Box::new(failed)));
    assert_eq!((log.step("a").began.len(), log.step("b").began.len()), (1, 0));
    log.start("b");
    assert_eq!(log.step("b").began.iter().map(|began| began.attempt).collect::<Vec<_>>(), [2]);
}
