//! What a receipt tells.

use super::*;
use crate::event::{Attach, AttemptFailed, Event, Finish, How};
use crate::fixture::*;
use crate::hold::{Choice, HoldReason};
use crate::receipt::statement::{AttemptEnd, Counts, Did, StepStatus, StepTold};

fn told(log: &Log) -> Statement {
    Statement::from_journal(&log.sealed).unwrap()
}

fn step<'a>(statement: &'a Statement, at: &str) -> &'a StepTold {
    statement.predicate.steps.iter().rfind(|step| step.path.as_str() == at).unwrap()
}

#[test]
fn a_sound_run_gives_a_valid_receipt_and_says_whose_key_signed_it() {
    let bytes = receipt(&a_full_life());
    let report = verify(&bytes, None);
    assert_eq!(failures(&report), [""; 0]);
    assert!(report.is_valid() && !report.is_trusted());
    assert!(
        report.to_string().ends_with("valid, signed by the key it carries: give a trusted key to know whose it is")
    );
    let report = verify(&bytes, Some(&key().public()));
    assert!(report.is_valid() && report.is_trusted());
    assert_eq!(report.signed_by, [SignedBy { key: key().public(), trusted: true }]);
    let lines: Vec<_> =
        report.to_string().lines().map(|line| line.split_whitespace().take(2).collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(lines, ["✓ form", "✓ signature", "✓ chain", "✓ statement", "✓ rules", "valid, signed"]);
}

#[test]
fn a_receipt_by_another_key_than_the_trusted_one_is_invalid() {
    let stranger = SigningKey::from_seed(&[8; 32]).public();
    let report = verify(&receipt(&a_full_life()), Some(&stranger));
    assert!(!report.is_valid() && !report.is_trusted());
    assert_eq!(failures(&report), [format!("it is not signed by the trusted key {stranger}")]);
}

#[test]
fn the_same_journal_gives_the_same_bytes() {
    let log = a_full_life();
    assert_eq!(receipt(&log), receipt(&log));
    assert_eq!(told(&log).to_json().unwrap(), told(&a_full_life()).to_json().unwrap());
}

#[test]
fn every_prefix_of_a_sound_journal_can_be_told_and_breaks_no_rule() {
    let log = a_full_life();
    let records = crate::record::open_all(&log.sealed).unwrap();
    for end in 1..=records.len() {
        assert_eq!(rules::broken(&records[..end]), [""; 0], "after {end} records");
        assert!(Statement::from_journal(&log.sealed[..end]).is_ok(), "after {end} records");
    }
    assert!(matches!(Statement::from_journal(&[]), Err(ReceiptError::Empty)));
}

#[test]
fn subjects_are_the_run_the_runbook_and_the_plan() {
    let log = a_full_life();
    let statement = told(&log);
    let subjects: Vec<_> = statement.subject.iter().map(|s| (s.name.as_str(), s.digest.sha256.clone())).collect();
    assert_eq!(
        subjects,
        [
            ("run:7000000000", log.state.head.hex()),
            ("runbook:move.star", fingerprint("runbook").hex()),
            ("plan", fingerprint("plan").hex()),
        ]
    );
}

#[test]
fn the_counts_add_up_and_tell_each_way_of_being_done() {
    let counts = told(&a_full_life()).predicate.counts;
    let ways = counts.performed
        + counts.already_true
        + counts.recovered
        + counts.adopted
        + counts.said_done
        + counts.waived
        + counts.kept;
    assert_eq!(ways, counts.done);
    assert_eq!(
        counts,
        Counts {
            steps: 19,
            done: 18,
            performed: 12,
            already_true: 1,
            recovered: 1,
            adopted: 1,
            said_done: 1,
            waived: 1,
            kept: 1,
            undone: 0,
            failed: 1,
            held: 0,
            dropped: 0,
            attempts: 20,
            undo_attempts: 6,
            failed_undo_attempts: 2,
            take_overs: 1,
            windows: 2,
            windows_over_budget: 0,
            windows_gone_back: 1,
        }
    );
}

#[test]
fn a_step_tells_its_attempts_with_their_ends_and_times() {
    let statement = told(&a_full_life());
    let flaky = step(&statement, "Discover/flaky");
    let ends: Vec<_> = flaky.attempts.iter().map(|attempt| (attempt.end, attempt.took_us)).collect();
    assert_eq!(ends, [(AttemptEnd::Failed, Some(10_000)), (AttemptEnd::Succeeded, Some(100_000))]);
    assert_eq!(flaky.attempts[0].failure.as_ref().map(|failure| failure.message.as_str()), Some("exit 1"));
    assert_eq!((flaky.at.as_str(), flaky.action.as_deref()), ("move.star:12:5", Some("sh do Discover/flaky")));
    assert_eq!(flaky.took_us, Some(130_000));
    let read = step(&statement, "Discover/tables");
    assert_eq!((read.attempts.len(), read.action.as_deref()), (1, Some("query mysql://db/x: select 1")));
    assert!(read.attempts[0].began_at.is_none(), "a read has no intent");
    let recovered = step(&statement, "Discover/recovered");
    assert_eq!(recovered.evidence.as_ref().map(|evidence| evidence.saw.as_str()), Some("t"));
}

#[test]
fn a_persons_word_ends_the_step_and_not_the_attempt_that_failed_before() {
    let statement = told(&a_full_life());
    let waived = step(&statement, "waived");
    assert_eq!((waived.status, waived.how), (StepStatus::Done, Some(How::Waived)));
    assert_eq!(waived.attempts.iter().map(|attempt| attempt.end).collect::<Vec<_>>(), [AttemptEnd::Failed]);
    let said = step(&statement, "said");
    assert_eq!(said.attempts.iter().map(|attempt| attempt.end).collect::<Vec<_>>(), [AttemptEnd::Open]);
}

#[test]
fn every_generation_of_a_step_is_told() {
    let statement = told(&a_full_life());
    let copies: Vec<_> = (statement.predicate.steps.iter())
        .filter(|step| step.path.as_str() == "Copy/b")
        .map(|step| (step.generation, step.status))
        .collect();
    assert_eq!(copies, [(1, StepStatus::Undone), (2, StepStatus::Done)]);
}

#[test]
fn undos_are_told_with_their_failures_and_their_order() {
    let statement = told(&a_full_life());
    let [asked, window] = statement.predicate.undos.as_slice() else { panic!() };
    let steps: Vec<_> = asked.steps.iter().map(|step| (step.path.as_str(), step.undone, step.attempts.len())).collect();
    assert_eq!(steps, [("Copy/b", true, 3), ("Copy/a", true, 1)]);
    assert_eq!(asked.steps[0].attempts.iter().filter(|attempt| attempt.failure.is_some()).count(), 2);
    assert_eq!(
        window.steps.iter().map(|step| step.path.as_str()).collect::<Vec<_>>(),
        ["w/switch", "w/close the source"]
    );
    assert!(asked.finished_at.is_some() && window.finished_at.is_some());
}

#[test]
fn an_undo_that_could_not_even_be_prepared_is_told_as_failed() {
    let mut log = Log::new();
    log.done("a").begin_undo("");
    let failed =
        crate::event::UndoFailed { path: path("a"), generation: 1, attempt: 1, failure: broke(), retry_at_us: None };
    log.add(Event::UndoFailed(failed));
    let statement = told(&log);
    let attempt = &statement.predicate.undos[0].steps[0].attempts[0];
    assert_eq!((attempt.began_at, attempt.failure.is_some()), (None, true));
    assert_eq!(statement.predicate.counts.failed_undo_attempts, 1);
}

#[test]
fn windows_tell_budget_measure_and_take_overs() {
    let statement = told(&a_full_life());
    let [first, second] = statement.predicate.windows.as_slice() else { panic!() };
    assert_eq!((first.went_back, first.committed, first.take_overs), (Some(true), false, 1));
    assert_eq!(first.going_back.as_deref(), Some("the budget cannot be kept"));
    assert_eq!((second.went_back, second.committed, second.take_overs), (Some(false), true, 0));
    assert_eq!((second.generation, second.within_budget, second.measured_us), (2, Some(true), Some(230_000)));
}

#[test]
fn an_open_window_is_told_as_open() {
    let mut log = Log::new();
    log.open_window("w").done("w/a").commit_point("w/c");
    let statement = told(&log);
    let window = &statement.predicate.windows[0];
    assert_eq!((window.closed_at, window.measured_us, window.committed), (None, None, true));
}

#[test]
fn people_are_told_with_what_they_did_saw_and_why() {
    let statement = told(&a_full_life());
    let people: Vec<_> = (statement.predicate.people.iter())
        .map(|person| (person.did, person.who.name.as_str(), person.path.as_ref().map_or("", |path| path.as_str())))
        .collect();
    assert_eq!(
        people,
        [
            (Did::ChoseWaive, "grace", "waived"),
            (Did::ChoseDone, "grace", "said"),
            (Did::ChoseKeep, "grace", "kept"),
            (Did::AskedUndo, "ada", "Copy"),
            (Did::ChoseRetry, "grace", "Copy/b"),
            (Did::Resumed, "ada", ""),
            (Did::FilledIn, "ada", "ticket"),
            (Did::SaidDone, "ada", "tell"),
            (Did::Approved, "grace", "go"),
            (Did::Approved, "linus", "go"),
            (Did::Approved, "grace", "go"),
            (Did::Approved, "linus", "go"),
        ]
    );
    assert_eq!(statement.predicate.people[0].why.as_deref(), Some("it is fine"));
    assert_eq!(statement.predicate.people[6].fields[0].name, "ticket");
    assert_eq!(statement.predicate.questions.len(), 4);
}

#[test]
fn an_abort_is_told_with_who_asked_and_why() {
    let mut log = Log::new();
    log.done("a").add(Event::AbortAsked { by: actor("ada", 1000), why: Some("wrong service".into()) });
    log.finish(Finish::Aborted);
    let statement = told(&log);
    let person = &statement.predicate.people[0];
    assert_eq!((person.did, person.why.as_deref()), (Did::AskedAbort, Some("wrong service")));
    assert_eq!(statement.predicate.run.status, "aborted");
    assert_eq!(failures(&verify(&receipt(&log), None)), [""; 0]);
}

#[test]
fn caught_failures_holds_and_engines_are_told() {
    let predicate = told(&a_full_life()).predicate;
    assert_eq!(predicate.caught.len(), 1);
    assert_eq!(predicate.caught[0].scope.as_str(), "Discover/maybe");
    let texts: Vec<_> = predicate.holds.iter().map(|hold| hold.text.as_str()).collect();
    assert_eq!(texts[0], "exit 1");
    assert!(texts.contains(&"paused by ada"), "{texts:?}");
    let lives: Vec<_> = predicate.engines.iter().map(|engine| (engine.reason, engine.fence)).collect();
    assert_eq!(lives, [(Attach::Started, 1), (Attach::Resumed, 2), (Attach::TookOver, 3)]);
}

#[test]
fn a_secret_is_told_as_its_reference_and_a_keyed_hash() {
    let json = String::from_utf8(told(&a_full_life()).to_json().unwrap()).unwrap();
    assert!(json.contains(
        r#"{"name":"target","value":{"$":"secret","v":[{"secret":{"name":"target","source":"env:TARGET_URL"}}]}}"#
    ));
    assert!(json.contains(&format!(r#""source":"env:TARGET_URL","keyed_hash":"{}""#, fingerprint("keyed"))));
}

#[test]
fn after_a_restart_of_the_machine_the_wall_clock_tells() {
    let mut log = Log::new();
    log.start("a");
    log.now.boot_us = 1;
    log.fence += 1;
    let engine = crate::ids::EngineId { host: "ops1".into(), boot_id: "boot-b".into(), pid: 1 };
    log.add(Event::EngineAttached(crate::event::EngineAttached {
        engine,
        reason: Attach::Resumed,
        by: None,
        piton: None,
    }));
    log.wait_ms(500);
    let failed = AttemptFailed { retry_at_us: Some(0), ..log.failing("a") };
    log.add(Event::AttemptFailed(Box::new(failed)));
    assert_eq!(step(&told(&log), "a").attempts[0].took_us, Some(520_000));
    assert_eq!(failures(&verify(&receipt(&log), None)), [""; 0]);
}

#[test]
fn each_engine_says_its_version_and_one_of_a_version_that_did_not_is_read_all_the_same() {
    let mut log = Log::new();
    for piton in [None, Some("0.2.0".to_owned())] {
        log.fence += 1;
        let engine = crate::ids::EngineId { host: "ops1".into(), boot_id: "boot-a".into(), pid: 1 };
        let attached = crate::event::EngineAttached { engine, reason: Attach::Resumed, by: None, piton };
        log.add(Event::EngineAttached(attached));
    }
    assert!(!log.sealed[2].body.contains("piton"), "as an older version wrote it: {}", log.sealed[2].body);
    let statement = told(&log);
    let versions: Vec<_> = statement.predicate.engines.iter().map(|engine| engine.piton.as_deref()).collect();
    assert_eq!(versions, [Some("0.1.0"), None, Some("0.2.0")]);
    assert!(markdown(&statement).contains("3 lives, also by Piton `0.2.0`"), "{}", markdown(&statement));
    assert!(!markdown(&told(&Log::new())).contains("also by"));
    assert_eq!(failures(&verify(&receipt(&log), None)), [""; 0]);
}

#[test]
fn how_a_step_stands_is_told_as_the_state_has_it() {
    let mut log = Log::new();
    log.start("running").start("failing").fail_retry_in("failing", 60_000).ask("asked", Log::approval(1, false));
    log.start("held").hold_failed("held").start("decided").hold_failed("decided").choose("decided", Choice::Retry);
    log.start("unsure").hold("unsure", HoldReason::Unprovable { why: "no answer".into() });
    let statement = told(&log);
    for (at, status) in [
        ("running", StepStatus::Running),
        ("failing", StepStatus::Failed),
        ("asked", StepStatus::Waiting),
        ("held", StepStatus::Held),
        ("decided", StepStatus::Running),
        ("unsure", StepStatus::Held),
    ] {
        assert_eq!(step(&statement, at).status, status, "{at}");
    }
    assert_eq!(statement.predicate.run.status, "held");
}

#[test]
fn a_journal_of_a_newer_format_is_refused_and_not_guessed() {
    let mut log = Log::empty();
    log.add(Event::RunStarted(Box::new(crate::event::RunStarted { format: 2, ..run_started() })));
    let error = Statement::from_journal(&log.sealed).unwrap_err();
    assert_eq!(error.to_string(), "the journal is of format 2, and this version of Piton reads up to 1");
}

#[test]
fn a_journal_that_does_not_begin_with_its_start_or_was_changed_gives_no_receipt() {
    let mut log = Log::empty();
    log.done("a");
    assert!(matches!(Statement::from_journal(&log.sealed), Err(ReceiptError::NotStarted)));
    let mut log = Log::new();
    log.sealed[1].at.wall_us += 1;
    assert!(matches!(Statement::from_journal(&log.sealed), Err(ReceiptError::Record(_))));
}
