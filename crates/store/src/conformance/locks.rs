//! Checks of locks: one holder, outliving processes, given up with a record and not without, circles told.

use super::leases::OldLease;
use super::peer::{PEER_LOCK, Peer};
use super::{World, create, lease, record, start};
use piton_core::lock::{Locked, Locking};
use piton_core::ports::{Along, Store, StoreErrorKind};
use piton_core::{Path, RunId};

fn scope(name: &str) -> Path {
    Path::root().child("a/b").child(name)
}

fn locked(name: &str, run: &RunId, at: &str, since_us: i64) -> Locked {
    Locked { name: name.to_owned(), run: run.clone(), path: scope(at), since_us }
}

fn giving_up(released: &[Path]) -> Along<'_> {
    Along { released, ..Along::default() }
}

fn holders(store: &dyn Store) -> Vec<Locked> {
    store.locks().unwrap().held
}

pub(super) fn excludes(world: &dyn World) {
    let (store, other) = (world.open(), world.open());
    let (one, two) = (create(&*store, 1), create(&*store, 2));
    let (first, second) = (lease(&*store, &one), lease(&*other, &two));
    assert_eq!(store.locks().unwrap(), Default::default());
    for at in [5, 99] {
        // Asked again, as after a crash: it is ours since the first time.
        assert_eq!(store.take_lock(&*first, "x", &scope("s"), at).unwrap(), Locking::Taken);
    }
    let held = locked("x", &one, "s", 5);
    assert_eq!(other.take_lock(&*second, "x", &scope("s"), 6).unwrap(), Locking::Busy(held.clone()));
    // Another scope of the same run is another scope.
    assert_eq!(store.take_lock(&*first, "x", &scope("t"), 8).unwrap(), Locking::Busy(held.clone()));
    assert_eq!(other.take_lock(&*second, "x", &scope("s"), 9).unwrap(), Locking::Busy(held.clone()));
    assert_eq!(other.take_lock(&*second, "y", &scope("r"), 7).unwrap(), Locking::Taken);
    let locks = world.open().locks().unwrap();
    assert_eq!(locks.held, [held, locked("y", &two, "r", 7)]);
    assert_eq!(locks.waiting, [locked("x", &two, "s", 6), locked("x", &one, "t", 8)]);
    // Given up with the record that ends the scope.
    let end = record(&start(), first.fence());
    let along = Along { status: Some("running"), released: &[scope("s")], ..Along::default() };
    store.append_along(&*first, &[end], &along).unwrap();
    assert_eq!(holders(&*other), [locked("y", &two, "r", 7)]);
    assert_eq!(other.take_lock(&*second, "x", &scope("s"), 10).unwrap(), Locking::Taken);
    let waiting = other.locks().unwrap().waiting;
    assert_eq!(waiting, [locked("x", &one, "t", 8)], "who has it waits no more");
    // What waits is given up, too, and another run's is not.
    store.append_along(&*first, &[], &giving_up(&[scope("t"), scope("s")])).unwrap();
    assert!(other.locks().unwrap().waiting.is_empty());
    assert_eq!(holders(&*store).len(), 2);
}

pub(super) fn outlives(world: &dyn World) {
    let store = world.open();
    let runs: Vec<RunId> = (1..=4).map(|number| create(&*store, number)).collect();
    let mut peers: Vec<Peer> = runs.iter().map(|run| Peer::start(world, "lock", run)).collect();
    // Whoever is too late says so with a line that does not begin with "taken".
    let taken = peers.iter_mut().map(|peer| peer.says("taken")).filter(|taken| *taken).count();
    assert_eq!(taken, 1);
    let held = holders(&*store);
    let [holder] = held.as_slice() else { panic!("one holds it: {held:?}") };
    assert_eq!((holder.name.as_str(), &holder.path), (PEER_LOCK, &Path::root().child(PEER_LOCK)));
    peers.iter_mut().for_each(|peer| drop(peer.kill()));
    assert_eq!(holders(&*store), held, "it outlives its holder's process");
    let heir = lease(&*store, &holder.run);
    assert_eq!(store.take_lock(&*heir, PEER_LOCK, &holder.path, 9).unwrap(), Locking::Taken);
    store.append_along(&*heir, &[], &giving_up(std::slice::from_ref(&holder.path))).unwrap();
    assert!(holders(&*store).is_empty());
}

pub(super) fn fences(world: &dyn World) {
    let store = world.open();
    let run = create(&*store, 1);
    let old = OldLease { run: run.clone(), fence: lease(&*store, &run).fence() };
    let held = lease(&*store, &run);
    let fenced = |error: piton_core::ports::StoreError| assert_eq!(error.kind, StoreErrorKind::Fenced);
    fenced(store.take_lock(&old, "x", &scope("s"), 1).unwrap_err());
    assert!(holders(&*store).is_empty());
    assert_eq!(store.take_lock(&*held, "x", &scope("s"), 1).unwrap(), Locking::Taken);
    fenced(store.append_along(&old, &[], &giving_up(&[scope("s")])).unwrap_err());
    assert_eq!(holders(&*store).len(), 1);
}

pub(super) fn released_whole(world: &dyn World) {
    let store = world.open();
    let run = create(&*store, 1);
    let held = lease(&*store, &run);
    assert_eq!(store.take_lock(&*held, "x", &scope("s"), 1).unwrap(), Locking::Taken);
    let gap = record(&record(&start(), held.fence()), held.fence());
    let error = store.append_along(&*held, &[gap], &giving_up(&[scope("s")])).unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::OutOfOrder);
    assert_eq!(holders(&*store).len(), 1, "the record that ends the scope was not stored");
}

pub(super) fn deadlocks(world: &dyn World) {
    let store = world.open();
    let runs: Vec<RunId> = (1..=3).map(|number| create(&*store, number)).collect();
    let leases: Vec<_> = runs.iter().map(|run| lease(&*store, run)).collect();
    let take = |at: usize, name: &str, scope: &Path| store.take_lock(&*leases[at], name, scope, 1).unwrap();
    for (at, name) in ["x", "y", "z"].iter().enumerate() {
        assert_eq!(take(at, name, &scope(name)), Locking::Taken);
    }
    // Beside what it holds, not inside: x is given up whatever becomes of it.
    assert!(matches!(take(0, "y", &scope("beside")), Locking::Busy(_)));
    assert!(matches!(take(1, "z", &scope("y").child("in")), Locking::Busy(_)));
    assert!(matches!(take(2, "x", &scope("z").child("in")), Locking::Busy(_)));
    let Locking::Deadlock(chain) = take(0, "y", &scope("x").child("in")) else { panic!("it would wait for ever") };
    let names: Vec<&str> = chain.iter().map(|held| held.name.as_str()).collect();
    assert_eq!(names, ["y", "z", "x"]);
    assert_eq!(store.locks().unwrap().waiting.len(), 3, "who would wait for ever does not wait");
}
