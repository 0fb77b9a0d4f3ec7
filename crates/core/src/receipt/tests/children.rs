//! Child runs in a receipt: what is told, and what cannot have happened.

use super::*;
use crate::child::Parent;
use crate::event::{Event, Finish, StepSucceeded, Stored};
use crate::fixture::*;
use crate::ids::RunId;
use crate::outcome::Outcome;
use crate::request::StepKind;

fn child() -> RunId {
    RunId::from_random(8)
}

/// What is broken in the journal that this makes, without the records' numbers.
fn broken(happens: impl FnOnce(&mut Log)) -> Vec<String> {
    let mut log = Log::new();
    happens(&mut log);
    let told = failures(&verify(&receipt(&log), None));
    told.iter().map(|told| told.split_once(": ").map_or(told.as_str(), |(_, why)| why).to_owned()).collect()
}

#[test]
fn a_receipt_names_a_child_run_with_the_head_of_its_chain() {
    let mut log = Log::new();
    log.start_child("sub", &child()).child_stands("sub", &child(), Some("it holds")).child_done("sub", &child());
    assert_eq!(failures(&verify(&receipt(&log), None)), Vec::<String>::new());
    let statement = Statement::from_journal(&log.sealed).unwrap();
    let told = serde_json::to_value(&statement.predicate.steps[0].attempts[0].child).unwrap();
    let head = fingerprint("child's head");
    assert_eq!(told, serde_json::json!({"run": child(), "how": "succeeded", "records": 9, "head": head}));
    let page = crate::receipt::markdown(&statement);
    assert!(page.contains(&format!("| `sub` | `{}` | `succeeded, 9 records, chain head {head}` |", child())), "{page}");
    let page = crate::receipt::html(&statement, &statement.seal(&key()).unwrap()).unwrap();
    assert!(page.contains(child().as_str()) && page.contains(&head.to_string()));
}

#[test]
fn a_child_runs_receipt_names_its_parent() {
    let mut log = Log::empty();
    let parent = Parent { run: RunId::from_random(3), path: path("Move/ledger"), parent: None };
    let started = crate::event::RunStarted { parent: Some(parent.clone()), ..run_started() };
    log.add(Event::RunStarted(Box::new(started))).attach(crate::event::Attach::Started);
    let statement = Statement::from_journal(&log.sealed).unwrap();
    assert_eq!(statement.predicate.run.parent, Some(parent.clone()));
    let page = crate::receipt::markdown(&statement);
    assert!(page.contains(&format!("**Part of**: run `{}`, its step `Move/ledger`", parent.run)), "{page}");
}

#[test]
fn a_step_cannot_be_done_by_a_child_run_that_failed_or_is_another() {
    let ends_as = |run: RunId, how: Finish| {
        broken(move |log| {
            log.start_child("sub", &child());
            let outcome = Stored::seal(&Outcome { run: Log::child_end(&run, how), ..ok("sub") });
            let succeeded = StepSucceeded { kind: StepKind::Run, outcome, ..log.succeeding("sub") };
            log.add(Event::StepSucceeded(Box::new(succeeded)));
        })
    };
    assert_eq!(ends_as(child(), Finish::Succeeded), Vec::<String>::new());
    for (run, how) in [(child(), Finish::Aborted), (RunId::from_random(9), Finish::Succeeded)] {
        assert_eq!(ends_as(run, how), ["\"sub\" is done, and its child run did not succeed"]);
    }
    let strange = broken(|log| {
        log.start("a").child_stands("a", &child(), Some("it holds")).succeed("a");
    });
    assert_eq!(strange, ["\"a\" waits for a child run that it did not start"]);
}
