//! Checks of listings, and of how people name a run.

use super::{World, actor, lease, new_run, record, start};
use piton_core::RunId;
use piton_core::ports::{NewRun, Store, StoreErrorKind};

fn create(store: &dyn Store, id: &str, created_at_us: i64) {
    store.create_run(&new_run(&RunId::parse(id).unwrap(), created_at_us)).unwrap();
}

fn refusal(store: &dyn Store, name: &str) -> String {
    let error = store.find(name).unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Unknown);
    error.message
}

pub(super) fn finds(world: &dyn World) {
    let store = world.open();
    assert!(refusal(&*store, "@last").contains("piton run"));
    for (id, at) in [("k7m2000000", 30), ("k7m2zzzzzz", 10), ("k9aaaaaaaa", 20)] {
        create(&*store, id, at);
    }
    for (name, id) in [
        ("k9", "k9aaaaaaaa"),
        ("K9A", "k9aaaaaaaa"),
        ("k7m20", "k7m2000000"),
        ("k7m2zzzzzz", "k7m2zzzzzz"),
        // The last created, whatever the clock said.
        ("@last", "k9aaaaaaaa"),
    ] {
        assert_eq!(store.find(name).unwrap().id.as_str(), id, "{name}");
    }
    // A child run is nobody's last: who asks for it means the run they started.
    let (child, parent) = (RunId::parse("c0aaaaaaaa").unwrap(), RunId::parse("k9aaaaaaaa").unwrap());
    store.create_run(&NewRun { parent: Some(parent.clone()), ..new_run(&child, 40) }).unwrap();
    assert_eq!(store.find("@last").unwrap().id, parent);
    assert_eq!(store.find("c0").unwrap().parent, Some(parent));
    assert_eq!(store.find("k9").unwrap().parent, None);
    let ambiguous = refusal(&*store, "k7");
    assert!(ambiguous.contains("k7m2000000") && ambiguous.contains("k7m2zzzzzz"), "{ambiguous}");
    for unknown in ["", "x", "k7m2000000x", "%", "_", "k*", "'", "@first", "é"] {
        assert!(refusal(&*store, unknown).contains("piton runs"), "{unknown}");
    }
    assert!(store.create_run(&new_run(&RunId::parse("k9aaaaaaaa").unwrap(), 1)).is_err());
    assert_eq!(store.find("k9").unwrap().created_at_us, 20);
}

pub(super) fn lists(world: &dyn World) {
    let store = world.open();
    assert!(store.runs().unwrap().is_empty());
    for (id, at) in [("aaaaaaaaaa", 30), ("bbbbbbbbbb", 10), ("cccccccccc", 20)] {
        create(&*store, id, at);
    }
    let run = RunId::parse("bbbbbbbbbb").unwrap();
    let held = lease(&*store, &run);
    let mut first = record(&start(), held.fence());
    first.at.wall_us = 99;
    let first = piton_core::record::Sealed::new(start().hash, 1, first.at, first.fence, first.body);
    store.append(&*held, &[first], Some("waiting for zoë")).unwrap();
    store.append(&*held, &[], Some("holds")).unwrap();
    let runs = world.open().runs().unwrap();
    let ids: Vec<&str> = runs.iter().map(|run| run.id.as_str()).collect();
    assert_eq!(ids, ["cccccccccc", "bbbbbbbbbb", "aaaaaaaaaa"]);
    let [fresh, busy, _] = &runs[..] else { panic!("three runs") };
    assert_eq!((busy.status.as_str(), busy.created_at_us, busy.updated_at_us, busy.head_seq), ("holds", 10, 99, 1));
    assert_eq!(busy.by, actor());
    assert_eq!(busy.title, new_run(&run, 0).title);
    assert_eq!((fresh.created_at_us, fresh.updated_at_us, fresh.head_seq), (20, 20, 0));
    assert_eq!(*busy, store.find("bb").unwrap());
}

pub(super) fn lists_of_a_title(world: &dyn World) {
    let store = world.open();
    for (id, title, status) in [
        ("aaaaaaaaaa", "one", "succeeded"),
        ("bbbbbbbbbb", "two", "succeeded"),
        ("cccccccccc", "one", "waiting"),
        ("dddddddddd", "one", "held"),
        ("eeeeeeeeee", "one", "succeeded"),
    ] {
        let run = RunId::parse(id).unwrap();
        store.create_run(&piton_core::ports::NewRun { title: title.to_owned(), ..new_run(&run, 1) }).unwrap();
        store.append(&*lease(&*store, &run), &[], Some(status)).unwrap();
    }
    let ids = |statuses: &[&str], limit| -> Vec<String> {
        let runs = store.runs_of("one", statuses, limit).unwrap();
        runs.iter().map(|run| run.id.as_str()[..1].to_owned()).collect()
    };
    assert_eq!(ids(&["succeeded", "held"], 9), ["e", "d", "a"]);
    assert_eq!(ids(&["succeeded", "held"], 2), ["e", "d"]);
    assert_eq!(ids(&["succeeded"], 9), ["e", "a"]);
    assert_eq!(ids(&[], 9), [""; 0]);
}

pub(super) fn identity(world: &dyn World) {
    let store = world.open();
    assert_eq!(store.id(), world.open().id());
    assert_ne!(store.id(), piton_core::Digest::ZERO);
}
