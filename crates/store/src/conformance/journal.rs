//! Checks of appending and reading.

use super::peer::Peer;
use super::{World, create, decision, lease, record, records_after, start};
use piton_core::ports::{InboxMessage, Store, StoreErrorKind};
use piton_core::record::open_all;
use piton_core::{Digest, RunId};
use std::ops::ControlFlow;

pub(super) fn reads_back(world: &dyn World) {
    let store = world.open();
    let run = create(&*store, 1);
    assert!(store.read_all(&run, 0).unwrap().is_empty());
    let held = lease(&*store, &run);
    let records = records_after(&start(), held.fence(), 5);
    store.append(&*held, &records[..1], None).unwrap();
    store.append(&*held, &records[1..], Some("running")).unwrap();
    store.append(&*held, &[], None).unwrap();
    for reader in [&store, &world.open()] {
        assert_eq!(reader.read_all(&run, 0).unwrap(), records);
        assert_eq!(reader.read_all(&run, 3).unwrap(), records[3..]);
        assert!(reader.read_all(&run, 5).unwrap().is_empty());
        assert!(reader.read_all(&run, u64::MAX).unwrap().is_empty());
    }
    // Large enough for a page of its own many times over.
    let mut large = record(&records[4], held.fence());
    large.body = format!("\"{}\"", "x🧗".repeat(300_000));
    let large = piton_core::record::Sealed::new(records[4].hash, 6, large.at, large.fence, large.body);
    store.append(&*held, std::slice::from_ref(&large), None).unwrap();
    assert_eq!(store.read_all(&run, 5).unwrap(), [large]);
    let stranger = RunId::from_random(77);
    assert_eq!(store.read_all(&stranger, 0).unwrap_err().kind, StoreErrorKind::Unknown);
}

pub(super) fn refuses_disorder(world: &dyn World) {
    let store = world.open();
    let run = create(&*store, 1);
    let held = lease(&*store, &run);
    let records = records_after(&start(), held.fence(), 6);
    store.append(&*held, &records[..3], None).unwrap();
    let mut foreign = records[3].clone();
    foreign.hash = Digest::of_bytes(b"another chain");
    let mut unchained = record(&start(), held.fence());
    unchained.seq = 4;
    let later = record(&records[2], held.fence() + 1);
    for bad in [
        vec![records[4].clone()],
        vec![records[2].clone()],
        vec![records[0].clone()],
        vec![records[3].clone(), records[5].clone()],
        vec![foreign],
        vec![unchained],
        vec![later],
    ] {
        let error = store.append(&*held, &bad, Some("wrong")).unwrap_err();
        assert_eq!(error.kind, StoreErrorKind::OutOfOrder, "{error}");
    }
    assert_eq!(store.read_all(&run, 0).unwrap(), records[..3]);
    assert_ne!(store.find(run.as_str()).unwrap().status, "wrong");
    store.append(&*held, &records[3..], None).unwrap();
}

pub(super) fn ten_thousand(world: &dyn World) {
    let store = world.open();
    let run = create(&*store, 1);
    let other = create(&*store, 2);
    let (held, held_other) = (lease(&*store, &run), lease(&*store, &other));
    let records = records_after(&start(), held.fence(), 10_000);
    for (index, batch) in records.chunks(125).enumerate() {
        store.append(&*held, batch, None).unwrap();
        // Another run's records in between must not come into the way.
        let between = records_after(&start(), held_other.fence(), index + 1);
        store.append(&*held_other, &between[index..], None).unwrap();
    }
    let read = world.open().read_all(&run, 0).unwrap();
    assert!(read == records);
    open_all(&read).unwrap();
    assert!(store.read_all(&run, 9_990).unwrap() == records[9_990..]);
    assert_eq!(store.find(run.as_str()).unwrap().head_seq, 10_000);
    assert_eq!(store.find(other.as_str()).unwrap().head_seq, 80);
}

pub(super) fn in_pieces(world: &dyn World) {
    let store = world.open();
    let run = create(&*store, 1);
    let held = lease(&*store, &run);
    let records = records_after(&start(), held.fence(), 5_001);
    store.append(&*held, &records[..5_000], None).unwrap();
    let mut seen = 0;
    let read = store.read(&run, 10, &mut |record| {
        assert!(record == records[10 + seen]);
        seen += 1;
        if seen < 2_500 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    assert_eq!((read.is_ok(), seen), (true, 2_500), "it stops where it is told to");
    // Whoever reads may ask the store for something else meanwhile, and others append.
    let mut seen = 0;
    let read = store.read(&run, 0, &mut |record| {
        if seen == 0 {
            assert_eq!(store.find(run.as_str()).unwrap().head_seq, 5_000);
            store.append(&*held, &records[5_000..], None).unwrap();
        }
        assert!(record == records[seen]);
        seen += 1;
        ControlFlow::Continue(())
    });
    assert!(read.is_ok() && (5_000..=5_001).contains(&seen), "{seen}");
}

pub(super) fn all_or_nothing(world: &dyn World) {
    let store = world.open();
    let run = create(&*store, 1);
    let held = lease(&*store, &run);
    let mut records = records_after(&start(), held.fence(), 64);
    // The last one cannot be stored; the 63 before it must not be either.
    records[63].at.boot_us = u64::MAX;
    assert!(store.append(&*held, &records, Some("wrong")).is_err());
    assert!(store.read_all(&run, 0).unwrap().is_empty());
    assert_ne!(store.find(run.as_str()).unwrap().status, "wrong");
    store.append(&*held, &records_after(&start(), held.fence(), 64), Some("right")).unwrap();
    assert_eq!(store.read_all(&run, 0).unwrap().len(), 64);
}

pub(super) fn runs_are_apart(world: &dyn World) {
    let store = world.open();
    let runs: Vec<RunId> = (1..=5).map(|number| create(&*store, number)).collect();
    let leases: Vec<_> = runs.iter().map(|run| lease(&*store, run)).collect();
    let mut heads = vec![start(); runs.len()];
    for round in 0..40 {
        let at = round * 3 % runs.len();
        let next = record(&heads[at], leases[at].fence());
        store.append(&*leases[at], std::slice::from_ref(&next), None).unwrap();
        heads[at] = next;
    }
    for (run, head) in runs.iter().zip(&heads) {
        let records = store.read_all(run, 0).unwrap();
        assert_eq!(records.len(), 8);
        assert_eq!(records.last(), Some(head));
        open_all(&records).unwrap();
    }
}

/// Kills of the appending process; each finds another instant by itself, as the disk is never equally fast.
const KILLS: u64 = 12;

pub(super) fn survives_kills(world: &dyn World) {
    let store = world.open();
    let run = create(&*store, 1);
    let mut acknowledged = 0;
    for round in 0..KILLS {
        let mut peer = Peer::start(world, "append", &run);
        while peer.expect_number("appended") < acknowledged + 5 + round * 3 {}
        acknowledged = peer
            .kill()
            .iter()
            .filter_map(|line| line.strip_prefix("appended "))
            .fold(acknowledged + 5 + round * 3, |last, line| last.max(line.parse().unwrap()));
        let records = world.open().read_all(&run, 0).unwrap();
        open_all(&records).unwrap();
        let stored = records.len() as u64;
        // One commit may have become durable without having been acknowledged any more; a commit has two records.
        assert!((acknowledged..=acknowledged + 2).contains(&stored), "{stored} stored, {acknowledged} acknowledged");
        assert_eq!(stored % 2, 0, "half a commit was stored");
        acknowledged = stored;
    }
    let held = lease(&*store, &run);
    assert_eq!(held.fence(), KILLS + 1);
    append_one(&*store, &run, &*held);
}

/// Commits that each of the processes must get through while the others do the same.
const SIDE_BY_SIDE: u64 = 150;

pub(super) fn side_by_side(world: &dyn World) {
    let store = world.open();
    let runs: Vec<RunId> = (1..=3).map(|number| create(&*store, number)).collect();
    let mut peers: Vec<Peer> = runs.iter().map(|run| Peer::start(world, "append", run)).collect();
    // They never pause, and yet a person gets a message in between.
    for at in 0..20 {
        store.post(&runs[0], &decision(), &InboxMessage::Pause, at).unwrap();
    }
    for peer in &mut peers {
        while peer.expect_number("appended") < 2 * SIDE_BY_SIDE {}
    }
    for (peer, run) in peers.iter_mut().zip(&runs) {
        peer.kill();
        let records = store.read_all(run, 0).unwrap();
        open_all(&records).unwrap();
        assert!(records.len() as u64 >= 2 * SIDE_BY_SIDE);
    }
}

fn append_one(store: &dyn Store, run: &RunId, held: &dyn piton_core::ports::Lease) {
    let head = store.read_all(run, 0).unwrap().pop().unwrap_or_else(start);
    store.append(held, &[record(&head, held.fence())], None).unwrap();
}
