//! What stood beside the steps: guards with their trips, locks with their waits.
//!
//! Owns their two tables, and their lines under what is out of the ordinary. What happened is the statement's to say.

use super::super::markdown::trip_led_to;
use super::super::statement::*;
use super::super::time::Instant;
use super::markup::{Markup, code, words};
use super::timeline::moment;
use crate::guard::Then;

pub(super) fn tables(page: &mut Markup, told: &Predicate) {
    if !told.guards.is_empty() {
        page.heading("guards", "Guards");
        let rows: Vec<_> = told.guards.iter().map(guard).collect();
        page.table(&["Guard", "Looks at", "Must be", "Every", "Tolerates", "Trips"], &rows);
    }
    if !told.locks.is_empty() {
        page.heading("locks", "Locks");
        let rows: Vec<_> = told.locks.iter().map(lock).collect();
        page.table(&["Lock", "Scope", "Taken (UTC)", "Released (UTC)", "Waited"], &rows);
    }
}

/// What an auditor looks for first: guards that tripped, locks that a person took away.
pub(super) fn attention(told: &Predicate) -> Vec<Markup> {
    let tripped = told.guards.iter().flat_map(|guard| guard.trips.iter().map(move |trip| (guard, trip)));
    let tripped = tripped.map(|(guard, trip)| {
        let mut item = Markup::new();
        item.raw("<strong>Guard tripped</strong>: ").code(guard.path.as_str()).raw(" saw ").code(&trip.saw);
        item.raw(", ").raw(trip_led_to(trip.then));
        item
    });
    let broken = told.locks.iter().filter(|lock| lock.broken).map(|lock| {
        let mut item = Markup::new();
        item.raw("<strong>Lock taken away</strong>: ").code(&lock.name).raw(" from ").code(lock.path.as_str());
        item
    });
    tripped.chain(broken).collect()
}

fn guard(guard: &GuardRow) -> Vec<Markup> {
    let mut trips = Markup::new();
    for trip in &guard.trips {
        trips.text(&moment(trip.at)).raw(" UTC saw ").code(&trip.saw).raw(": ");
        trips.raw(if trip.then == Then::Warn { "" } else { "<strong>" }).raw(trip_led_to(trip.then));
        trips.raw(if trip.then == Then::Warn { "<br>" } else { "</strong><br>" });
    }
    if guard.trips.is_empty() {
        trips.raw("none");
    }
    let told = &guard.guard;
    let mut tolerates = Markup::new();
    tolerates.number(u64::from(told.tolerate));
    let every = words(&told.every.to_string());
    vec![code(guard.path.as_str()), code(&told.check), code(&told.limit), every, tolerates, trips]
}

fn lock(lock: &LockRow) -> Vec<Markup> {
    let when = |at: Option<Instant>| words(&at.map_or("–".to_owned(), moment));
    let mut waited = Markup::new();
    for wait in &lock.waits {
        match &wait.deadlock {
            Some(why) => waited.raw("<strong>deadlock</strong>: ").code(why),
            None => waited.raw("for run ").code(wait.held_by.as_str()),
        };
        waited.raw("<br>");
    }
    if lock.waits.is_empty() {
        waited.raw("–");
    }
    let mut released = when(lock.released_at);
    if lock.broken {
        released.raw(" <strong>taken away</strong>");
    }
    vec![code(&lock.name), code(lock.path.as_str()), when(lock.taken_at), released, waited]
}
