//! Guards and locks in a receipt: what is told, and what cannot have happened.

use super::*;
use crate::event::{Event, ScopeEntered};
use crate::fixture::*;
use crate::guard::{GuardTold, OnTrip, Then};
use crate::hold::Choice;
use crate::scope::ScopeKind;

/// What is broken in the journal that this makes, without the records' numbers.
fn broken(happens: impl FnOnce(&mut Log)) -> Vec<String> {
    let mut log = Log::new();
    happens(&mut log);
    let bytes = receipt(&log);
    assert!(matches!(fails_at(&bytes), None | Some(Part::Rules)));
    let told = failures(&verify(&bytes, None));
    told.iter().map(|told| told.split_once(": ").map_or(told.as_str(), |(_, why)| why).to_owned()).collect()
}

/// Guards with each way out, locks with each end.
fn sound(log: &mut Log) {
    log.guarded("p", "calm").done("p/a").trip("p/calm", Then::Hold).choose("p/calm", Choice::Retry).pass("p/calm");
    log.trip("p/calm", Then::Hold).choose("p/calm", Choice::Waive).done("p/b").leave("p");
    log.guarded("q", "calm").done("q/a").trip("q/calm", Then::Undo).begin_undo_for_guard("q", "q/calm").undo("q/a");
    log.end_undo("q").choose("q/calm", Choice::Retry).pass("q/calm").done("q/a").leave("q");
    log.open_window("w");
    let guard = GuardTold {
        name: "calm".into(),
        check: "noop".into(),
        limit: "true".into(),
        every: crate::Duration::from_secs(1),
        tolerate: 2,
        on_trip: OnTrip::Hold,
    };
    let guards = vec![guard];
    log.add(Event::ScopeEntered(ScopeEntered { path: path("w"), kind: window_kind(), total: None, guards }));
    log.done("w/a").commit_point("w/no way back").trip("w/calm", Then::Warn).done("w/b").close_window("w", false);
    log.leave("w").enter("db", ScopeKind::Lock).await_lock("db", None).take_lock("db").done("db/a").break_lock("db");
    log.choose("db", Choice::Retry).await_lock("db", Some("a circle")).choose("db", Choice::Retry).take_lock("db");
    log.done("db/b").leave("db");
}

#[test]
fn a_sound_run_with_guards_and_locks_is_told_and_every_prefix_of_it_breaks_no_rule() {
    let mut log = Log::new();
    sound(&mut log);
    for end in 2..=log.sealed.len() {
        let part = Log { sealed: log.sealed[..end].to_vec(), ..log.clone() };
        assert_eq!(failures(&verify(&receipt(&part), None)), Vec::<String>::new(), "the first {end} records");
    }
    let page = crate::receipt::markdown(&Statement::from_journal(&log.sealed).unwrap());
    let told: Vec<&str> = page
        .lines()
        .skip_while(|line| *line != "## Guards")
        .take_while(|line| !line.starts_with("## Taken back"))
        .collect();
    assert_eq!(told.join("\n").trim_end(), include_str!("recorded/beside.md").trim_end());
    let statement = Statement::from_journal(&log.sealed).unwrap();
    let page = crate::receipt::html(&statement, &statement.seal(&key()).unwrap()).unwrap();
    for told in [
        "<strong>Guard tripped</strong>: <code>q/calm</code>",
        "by its guard <code>q/calm</code>",
        "<strong>Lock taken away</strong>: <code>db</code>",
        "<h2 id=\"guards\">",
        "<strong>deadlock</strong>",
    ] {
        assert!(page.contains(told), "{told} is not on the page");
    }
}

#[test]
fn a_guard_trips_as_its_scope_and_the_run_allow() {
    assert_eq!(
        broken(|log| {
            log.enter("p", ScopeKind::Phase).trip("p/calm", Then::Hold);
        }),
        ["the guard \"p/calm\" trips, and its scope has no such guard"]
    );
    assert_eq!(
        broken(|log| {
            log.guarded("p", "calm").trip("p/calm", Then::Hold).trip("p/calm", Then::Hold);
        }),
        ["the guard \"p/calm\" trips although it has not passed since"]
    );
    assert_eq!(
        broken(|log| {
            log.open_window("w").guarded("w/p", "calm").trip("w/p/calm", Then::Hold);
            log.guarded("p", "calm").trip("p/calm", Then::GoBack);
        }),
        ["the guard \"p/calm\" sends a window back, and none is open around it"]
    );
    assert_eq!(
        broken(|log| {
            log.open_window("w").guarded("w/p", "calm").commit_point("w/c").trip("w/p/calm", Then::GoBack);
        }),
        ["the guard \"w/p/calm\" trips in a window, and leads elsewhere than a window goes"]
    );
    assert_eq!(
        broken(|log| {
            log.guarded("p", "calm").pass("p/calm");
        }),
        ["the guard \"p/calm\" is armed again, and nobody had decided about it"]
    );
}

#[test]
fn nothing_goes_on_past_a_guard_that_tripped() {
    assert_eq!(
        broken(|log| {
            log.guarded("p", "calm").trip("p/calm", Then::Hold).start("p/a");
        }),
        ["\"p/a\" begins while the run is held"]
    );
    for choice in [None, Some(Choice::Retry)] {
        let told = broken(|log| {
            log.guarded("p", "calm").trip("p/calm", Then::Hold);
            if let Some(choice) = choice.clone() {
                log.choose("p/calm", choice);
            }
            log.leave("p");
        });
        assert_eq!(told, ["\"p\" ends although its guard \"p/calm\" has not passed"]);
    }
    assert_eq!(
        broken(|log| {
            log.guarded("p", "calm").done("p/a").trip("p/calm", Then::Hold).begin_undo_for_guard("p", "p/calm");
        }),
        ["taken back for the guard \"p/calm\", which did not ask for it"]
    );
}

#[test]
fn nothing_acts_in_a_lock_without_it() {
    assert_eq!(
        broken(|log| {
            log.enter("db", ScopeKind::Lock).start("db/a");
        }),
        ["\"db/a\" begins without the lock around it"]
    );
    assert_eq!(
        broken(|log| {
            log.enter("db", ScopeKind::Lock).take_lock("db").done("db/a").break_lock("db");
            log.choose("db", Choice::Retry).start("db/b");
        }),
        ["\"db/b\" begins without the lock around it"]
    );
    assert_eq!(
        broken(|log| {
            log.enter("db", ScopeKind::Lock).take_lock("db").take_lock("db");
        }),
        ["\"db\" takes a lock, which it holds already"]
    );
    assert_eq!(
        broken(|log| {
            log.enter("db", ScopeKind::Phase).take_lock("db");
        }),
        ["\"db\" takes a lock, which is none of a lock's scope"]
    );
    assert_eq!(
        broken(|log| {
            log.enter("db", ScopeKind::Lock).take_lock("db").break_lock("db").take_lock("db");
        }),
        ["\"db\" takes its lock while a person is to decide"]
    );
    assert_eq!(
        broken(|log| {
            log.enter("db", ScopeKind::Lock).break_lock("db");
        }),
        ["grace broke a lock that \"db\" does not hold"]
    );
}
