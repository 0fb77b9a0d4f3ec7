//! Checks of leases: exclusive, fenced, and gone with their holder.

use super::peer::Peer;
use super::{World, busy, create, engine, lease, record, start};
use piton_core::RunId;
use piton_core::ports::{LeaseOutcome, StoreErrorKind};
use std::sync::atomic::{AtomicBool, Ordering};

pub(super) fn excludes(world: &dyn World) {
    let (store, other) = (world.open(), world.open());
    let run = create(&*store, 1);
    let second = create(&*store, 2);
    assert_eq!(store.find(run.as_str()).unwrap().held_by, None);
    let held = lease(&*store, &run);
    assert_eq!((held.run(), held.fence()), (&run, 1));
    assert_eq!(busy(&*other, &run), Some(engine()));
    assert_eq!(busy(&*store, &run), Some(engine()));
    assert_eq!(other.find(run.as_str()).unwrap().held_by, Some(engine()));
    assert_eq!(other.find(second.as_str()).unwrap().held_by, None);
    drop(lease(&*other, &second));
    drop(held);
    assert_eq!(other.find(run.as_str()).unwrap().held_by, None);
    assert_eq!(lease(&*other, &run).fence(), 2);
    let stranger = RunId::from_random(77);
    assert!(matches!(store.lease(&stranger, &engine()), Err(error) if error.kind == StoreErrorKind::Unknown));
    assert!(matches!(store.lease_when_free(&stranger, &engine()), Err(error) if error.kind == StoreErrorKind::Unknown));
}

pub(super) fn excludes_processes(world: &dyn World) {
    let store = world.open();
    let run = create(&*store, 1);
    let mut peer = Peer::start(world, "hold", &run);
    assert_eq!(peer.expect_number("held"), 1);
    assert_eq!(busy(&*store, &run).unwrap().pid, peer.pid());
    assert_eq!(store.runs().unwrap()[0].held_by.as_ref().unwrap().pid, peer.pid());
    // Its own children must not keep the lease when it dies.
    peer.expect("child");
    peer.kill();
    let held = lease(&*store, &run);
    assert_eq!(held.fence(), 2);
    assert_eq!(store.runs().unwrap()[0].held_by, Some(engine()));
    let mut late = Peer::start(world, "hold", &run);
    late.expect("busy");
    late.kill();
}

/// The row of a killed engine still names it; the lock tells that it is gone.
pub(super) fn forgets_the_dead(world: &dyn World) {
    let store = world.open();
    let run = create(&*store, 1);
    let mut peer = Peer::start(world, "append", &run);
    peer.expect_number("appended");
    assert_eq!(store.find(run.as_str()).unwrap().held_by.unwrap().pid, peer.pid());
    peer.kill();
    assert_eq!(store.find(run.as_str()).unwrap().held_by, None);
    assert_eq!(store.runs().unwrap()[0].held_by, None);
}

pub(super) fn waits(world: &dyn World) {
    let store = world.open();
    let run = create(&*store, 1);
    let mut holder = Peer::start(world, "hold", &run);
    assert_eq!(holder.expect_number("held"), 1);
    let mut waiter = Peer::start(world, "wait", &run);
    waiter.expect("waiting");
    assert!(busy(&*store, &run).is_some());
    holder.kill();
    assert_eq!(waiter.expect_number("held"), 2);
    assert_eq!(busy(&*store, &run).unwrap().pid, waiter.pid());
    waiter.kill();
    assert_eq!(store.lease_when_free(&run, &engine()).unwrap().fence(), 3);
}

pub(super) fn fences(world: &dyn World) {
    let store = world.open();
    let run = create(&*store, 1);
    let old = OldLease { run: run.clone(), fence: lease(&*store, &run).fence() };
    let first = record(&start(), old.fence);
    let held = lease(&*store, &run);
    for attempt in [
        store.append(&old, std::slice::from_ref(&first), Some("wrong")),
        store.append(&old, &[], Some("wrong")),
        store.replace_sources(&old, &[("x".to_owned(), vec![1], false)]),
    ] {
        assert_eq!(attempt.unwrap_err().kind, StoreErrorKind::Fenced);
    }
    assert!(store.read_all(&run, 0).unwrap().is_empty());
    assert!(store.sources(&run).unwrap().is_empty());
    assert_ne!(store.find(run.as_str()).unwrap().status, "wrong");
    // Records made under an older lease may be brought in by the newer one: a side log's are.
    store.append(&*held, &[first], None).unwrap();
}

/// What is left of a lease whose holder believes that it still has it.
pub(super) struct OldLease {
    pub(super) run: RunId,
    pub(super) fence: u64,
}

impl piton_core::ports::Lease for OldLease {
    fn run(&self) -> &RunId {
        &self.run
    }

    fn fence(&self) -> u64 {
        self.fence
    }
}

pub(super) fn listings_do_not_disturb(world: &dyn World) {
    let store = world.open();
    let run = create(&*store, 1);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let reader = world.open();
                while !done.load(Ordering::Relaxed) {
                    reader.find(run.as_str()).unwrap();
                    reader.runs().unwrap();
                }
            });
        }
        for _ in 0..100 {
            let outcome = store.lease(&run, &engine()).unwrap();
            assert!(matches!(outcome, LeaseOutcome::Held(_)), "a listing kept the engine out");
        }
        done.store(true, Ordering::Relaxed);
    });
}
