//! Checks of what people send, and of snapshots.

use super::peer::{PEER_MESSAGES, Peer};
use super::{World, create, decision, lease, new_run, run_id};
use piton_core::event::Answer;
use piton_core::hold::Choice;
use piton_core::ports::{InboxMessage, StoreErrorKind};
use piton_core::{Path, RunId, Value};

fn messages() -> Vec<InboxMessage> {
    let path = Path::root().child("a/b").child("🧗");
    let fields = vec![("n".to_owned(), Value::Int(1 << 100)), ("t".to_owned(), Value::Tuple(vec![Value::None]))];
    vec![
        InboxMessage::Answer { path: path.clone(), answer: Answer::Fields { fields } },
        InboxMessage::Decide { path: path.clone(), choice: Choice::Redo },
        InboxMessage::RetryAll,
        InboxMessage::Pause,
        InboxMessage::Abort,
        InboxMessage::Undo { scope: path.clone() },
        InboxMessage::BreakLock { scope: path, name: "the \"lock\" 🧗".to_owned() },
    ]
}

pub(super) fn inbox(world: &dyn World) {
    let store = world.open();
    let (run, other) = (create(&*store, 1), create(&*store, 2));
    let mut ids = Vec::new();
    for (at, message) in messages().iter().enumerate() {
        ids.push(store.post(&run, &decision(), message, -(at as i64)).unwrap());
        store.post(&other, &decision(), &InboxMessage::Pause, 5).unwrap();
    }
    assert!(ids.is_sorted_by(|a, b| a < b), "{ids:?}");
    let entries = world.open().inbox(&run, 0).unwrap();
    assert_eq!(entries.iter().map(|entry| entry.message.clone()).collect::<Vec<_>>(), messages());
    assert_eq!(entries.iter().map(|entry| entry.id).collect::<Vec<_>>(), ids);
    assert!(entries.iter().enumerate().all(|(at, entry)| entry.at_us == -(at as i64) && entry.decision == decision()));
    assert_eq!(store.inbox(&run, ids[3]).unwrap(), entries[4..]);
    assert!(store.inbox(&run, ids[messages().len() - 1]).unwrap().is_empty());
    assert_eq!(store.inbox(&other, 0).unwrap().len(), messages().len());
    let error = store.post(&RunId::from_random(77), &decision(), &InboxMessage::Pause, 5).unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Unknown);
}

pub(super) fn version(world: &dyn World) {
    let store = world.open();
    let run = create(&*store, 1);
    let Some(before) = store.version() else { return };
    assert_eq!(store.version(), Some(before), "it changed without a commit");
    let mut peer = Peer::start(world, "post", &run);
    peer.expect("posted");
    assert_ne!(store.version(), Some(before));
    assert_eq!(store.inbox(&run, 0).unwrap().len() as u64, PEER_MESSAGES);
    peer.kill();
    let before = store.version();
    store.post(&run, &decision(), &InboxMessage::Pause, 5).unwrap();
    assert_ne!(store.version(), before, "a commit of this very handle");
}

pub(super) fn snapshot(world: &dyn World) {
    let store = world.open();
    let all_bytes: Vec<u8> = (0..=255).collect();
    let first = vec![
        ("z.star".to_owned(), b"main".to_vec(), false),
        ("a b/\u{fc}\n'.sh".to_owned(), all_bytes.repeat(1000), true),
        ("empty".to_owned(), Vec::new(), false),
        ("copy of z".to_owned(), b"main".to_vec(), true),
    ];
    let run = run_id(1);
    let mut new = new_run(&run, 1);
    new.sources.clone_from(&first);
    store.create_run(&new).unwrap();
    let other = create(&*store, 2);
    assert_eq!(world.open().sources(&run).unwrap(), first);
    let held = lease(&*store, &run);
    let second = vec![("z.star".to_owned(), b"edited".to_vec(), true)];
    store.replace_sources(&*held, &second).unwrap();
    assert_eq!(world.open().sources(&run).unwrap(), second);
    store.replace_sources(&*held, &[]).unwrap();
    assert!(store.sources(&run).unwrap().is_empty());
    assert!(store.sources(&other).unwrap().is_empty());
    // A path twice is a snapshot that means two things: refused whole.
    let twice = [first[0].clone(), first[0].clone()];
    assert!(store.replace_sources(&*held, &twice).is_err());
    assert!(store.sources(&run).unwrap().is_empty());
}
