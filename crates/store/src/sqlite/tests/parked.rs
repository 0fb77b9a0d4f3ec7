//! Parked runs: kept with the record that parks them, found when they are due, and started no oftener than back-offs allow.

use super::{next, start};
use crate::SqliteStore;
use piton_core::ids::{Actor, EngineId};
use piton_core::lock::{CALL_PATIENCE_US, Locking};
use piton_core::park::{Rest, back_off_us};
use piton_core::ports::{Along, Lease, LeaseOutcome, NewRun, Parking, Store, StoreErrorKind};
use piton_core::record::Sealed;
use piton_core::{Path, RunId};

struct Place {
    store: SqliteStore,
    _temp: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let temp = tempfile::tempdir().unwrap();
        Self { store: SqliteStore::open(&temp.path().join(".piton")).unwrap(), _temp: temp }
    }

    fn run(&self, number: u64) -> RunId {
        let by = Actor { name: "test".to_owned(), uid: 1, host: "here".to_owned() };
        let id = RunId::from_random(number << 40);
        let new = NewRun {
            id: id.clone(),
            title: "a test".to_owned(),
            created_at_us: 1,
            by,
            parent: None,
            rehearsal: None,
            sources: Vec::new(),
        };
        self.store.create_run(&new).unwrap();
        id
    }

    fn lease(&self, run: &RunId) -> Box<dyn Lease> {
        let engine = EngineId { host: "here".to_owned(), boot_id: "b".to_owned(), pid: std::process::id() };
        let LeaseOutcome::Held(lease) = self.store.lease(run, &engine).unwrap() else { panic!("{run} is driven") };
        lease
    }

    /// One more engine's life: it appends a record, and leaves the run like that.
    fn left(&self, run: &RunId, rest: Rest) {
        let lease = self.lease(run);
        let head = self.store.read_all(run, 0).unwrap().pop().unwrap_or_else(start);
        let record: Sealed = next(&head, lease.fence(), 10);
        self.store.append_along(&*lease, &[record], &Along { rest: Some(rest), ..Along::default() }).unwrap();
    }

    fn until(&self, run: &RunId, due_us: i64) {
        self.left(run, Rest::Parked { due_us: Some(due_us) });
    }

    fn asks(&self, run: &RunId, scope: &str, at_us: i64) -> Locking {
        self.store.take_lock(&*self.lease(run), "db", &Path::root().child(scope), at_us).unwrap()
    }

    fn gives_up(&self, run: &RunId, scope: &str) {
        let released = [Path::root().child(scope)];
        let along = Along { released: &released, ..Along::default() };
        self.store.append_along(&*self.lease(run), &[], &along).unwrap();
    }

    fn due(&self, now_us: i64) -> Vec<RunId> {
        self.store.look_at_parked(now_us, 100).unwrap().due
    }
}

#[test]
fn those_due_longest_come_first_and_no_more_than_asked_for() {
    let place = Place::new();
    let runs: Vec<RunId> = (1..6).map(|number| place.run(number)).collect();
    assert_eq!(place.store.look_at_parked(1000, 9).unwrap(), Default::default());
    for (run, due_us) in runs.iter().zip([50, 30, 40, 2000, 20]) {
        place.until(run, due_us);
    }
    let found = place.store.look_at_parked(1000, 2).unwrap();
    assert_eq!((found.due, found.any, found.look_again_us), (vec![runs[4].clone(), runs[1].clone()], true, Some(2000)));
    assert_eq!(place.due(1000).len(), 4);
    assert_eq!(place.due(19), []);
    assert_eq!(place.store.look_at_parked(1, 9).unwrap().look_again_us, Some(20));
    assert_eq!(place.store.parked_until(&runs[3]).unwrap(), Some(Some(2000)));
    place.left(&runs[4], Rest::ForPeople);
    assert_eq!(place.store.parked_until(&runs[4]).unwrap(), None);
    assert_eq!(place.due(1000).len(), 3);
}

#[test]
fn a_run_is_parked_with_its_record_or_not_at_all() {
    let place = Place::new();
    let run = place.run(1);
    let lease = place.lease(&run);
    let gap = next(&next(&start(), lease.fence(), 10), lease.fence(), 10);
    let along = Along { rest: Some(Rest::Parked { due_us: Some(5) }), ..Along::default() };
    assert_eq!(place.store.append_along(&*lease, &[gap], &along).unwrap_err().kind, StoreErrorKind::OutOfOrder);
    assert!(!place.store.any_parked().unwrap());
    drop(lease);
    place.until(&run, 5);
    // What says nothing of it changes nothing.
    place.store.append(&*place.lease(&run), &[], Some("waiting")).unwrap();
    assert!(place.store.any_parked().unwrap());
}

#[test]
fn whoever_is_driven_is_left_alone_and_looked_at_again() {
    let place = Place::new();
    let run = place.run(1);
    place.until(&run, 5);
    let lease = place.lease(&run);
    let found = place.store.look_at_parked(10, 9).unwrap();
    assert_eq!((found.due.len(), found.look_again_us), (0, Some(5_000_010)));
    drop(lease);
    assert_eq!(place.due(10), [run]);
}

#[test]
fn a_run_that_stays_due_is_started_ever_more_rarely_until_it_waits_for_something_else() {
    let place = Place::new();
    let run = place.run(1);
    place.until(&run, 5);
    let mut now_us = 10;
    for tries in 1..4 {
        assert_eq!(place.due(now_us), std::slice::from_ref(&run));
        let woken = place.store.waking(&run, now_us).unwrap().unwrap();
        assert_eq!((woken.tries, woken.not_before_us), (tries, now_us + back_off_us(tries)));
        let found = place.store.look_at_parked(now_us, 9).unwrap();
        assert_eq!((found.due.len(), found.look_again_us), (0, Some(woken.not_before_us)));
        // An engine that came no further than to attach.
        place.until(&run, 5);
        assert_eq!(place.due(woken.not_before_us - 1), []);
        now_us = woken.not_before_us;
    }
    place.store.waking(&run, now_us).unwrap();
    place.until(&run, 6);
    assert_eq!(place.due(now_us), std::slice::from_ref(&run));
    assert_eq!(place.store.waking(&run, now_us).unwrap().unwrap().tries, 1);
    place.left(&run, Rest::ForPeople);
    assert_eq!(place.store.waking(&run, now_us).unwrap(), None, "it was answered meanwhile");
}

#[test]
fn a_free_lock_is_given_to_whoever_waited_longest_and_the_others_are_called_when_they_do_not_come() {
    let place = Place::new();
    let [holder, first, second, third] = [1, 2, 3, 4].map(|number| place.run(number));
    assert_eq!(place.asks(&holder, "a", 1), Locking::Taken);
    for (run, at_us) in [(&first, 2), (&second, 3)] {
        assert!(matches!(place.asks(run, "b", at_us), Locking::Busy(holding) if holding.run == holder));
        place.left(run, Rest::Parked { due_us: None });
    }
    assert_eq!(place.store.look_at_parked(9, 9).unwrap().look_again_us, None, "nothing but the lock is waited for");
    place.gives_up(&holder, "a");
    // Who comes along has it not, though nobody holds it: that calls the first.
    let Locking::Busy(turn) = place.asks(&third, "c", 20) else { panic!("it is another's turn") };
    assert_eq!((&turn.run, turn.since_us), (&first, 2));
    let found = place.store.look_at_parked(30, 9).unwrap();
    let late_us = 20 + CALL_PATIENCE_US as i64;
    assert_eq!((found.due, found.look_again_us), (vec![first.clone()], Some(late_us)));
    place.store.waking(&first, 30).unwrap();
    assert_eq!(place.due(40), [], "its engine is on its way");
    // It does not come. The second is called, and comes.
    assert_eq!(place.due(late_us), std::slice::from_ref(&second));
    assert_eq!(place.due(late_us + 20), [first.clone(), second.clone()], "the first may still");
    assert!(matches!(place.asks(&third, "c", late_us), Locking::Busy(turn) if turn.run == second));
    assert_eq!(place.asks(&second, "b", late_us + 1), Locking::Taken);
    assert_eq!(place.due(late_us + 2), []);
    // Having asked again it is the first once more.
    assert!(matches!(place.asks(&first, "b", late_us + 3), Locking::Busy(holding) if holding.run == second));
    place.gives_up(&second, "b");
    assert!(matches!(place.asks(&third, "c", late_us + 4), Locking::Busy(turn) if turn.run == first));
    assert_eq!(place.asks(&first, "b", late_us + 5), Locking::Taken);
    place.gives_up(&first, "b");
    // Its run is gone with its waits: nobody stands in the way.
    place.gives_up(&third, "c");
    assert_eq!(place.asks(&holder, "a", late_us + 6), Locking::Taken);
}
