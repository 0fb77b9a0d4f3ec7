//! The other process of a check: what it does, and how the check talks with it.
//!
//! A peer says what it has done in lines on its standard output, and lives until it is killed.

use super::{World, decision, engine, record, start};
use piton_core::RunId;
use piton_core::lock::Locking;
use piton_core::ports::{InboxMessage, LeaseOutcome, Store};
use std::io::{BufRead, BufReader, Lines, Write};
use std::process::{Child, ChildStdout, Command, Stdio};

/// Messages that the role `post` posts.
pub(super) const PEER_MESSAGES: u64 = 3;

/// The lock, and the scope, of the role `lock`.
pub(super) const PEER_LOCK: &str = "the lock / of peers";

/// Before each line a peer says, so that what a test runner prints is told apart.
const MARK: &str = "peer: ";

/// Plays `role` with the run of this id. Returns only when nothing is left to do.
pub fn run_peer(store: &dyn Store, role: &str, run: &str) {
    let run = RunId::parse(run).unwrap();
    match role {
        "hold" => hold(store, &run),
        "wait" => {
            say("waiting");
            let lease = store.lease_when_free(&run, &engine()).unwrap();
            say(&format!("held {}", lease.fence()));
            until_killed();
        }
        "append" => append(store, &run),
        "lock" => {
            let LeaseOutcome::Held(lease) = store.lease(&run, &engine()).unwrap() else { panic!("the lease is free") };
            let scope = piton_core::Path::root().child(PEER_LOCK);
            match store.take_lock(&*lease, PEER_LOCK, &scope, 7).unwrap() {
                Locking::Taken => say("taken"),
                other => say(&format!("not {other:?}")),
            }
            until_killed();
        }
        "post" => {
            for at in 0..PEER_MESSAGES {
                store.post(&run, &decision(), &InboxMessage::Pause, at as i64).unwrap();
            }
            say("posted");
            until_killed();
        }
        _ => panic!("no role {role}"),
    }
}

fn hold(store: &dyn Store, run: &RunId) {
    match store.lease(run, &engine()).unwrap() {
        LeaseOutcome::Busy(_) => say("busy"),
        LeaseOutcome::Held(lease) => {
            say(&format!("held {}", lease.fence()));
            // Outlives this process for seconds, and must not keep the lease meanwhile.
            let child = Command::new("sleep").arg("3").stdin(Stdio::null()).stdout(Stdio::null()).spawn();
            say("child");
            until_killed();
            let _ = child.and_then(|mut child| child.wait());
        }
    }
}

fn append(store: &dyn Store, run: &RunId) {
    let LeaseOutcome::Held(lease) = store.lease(run, &engine()).unwrap() else { panic!("the lease is not free") };
    let mut head = store.read_all(run, 0).unwrap().pop().unwrap_or_else(start);
    loop {
        let first = record(&head, lease.fence());
        head = record(&first, lease.fence());
        store.append(&*lease, &[first, head.clone()], Some("running")).unwrap();
        say(&format!("appended {}", head.seq));
    }
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    // In one write: a line is whole or not there, whenever the kill comes.
    out.write_all(format!("\n{MARK}{line}\n").as_bytes()).unwrap();
    out.flush().unwrap();
}

fn until_killed() {
    // Ends with the check, too: its end of the pipe closes.
    let _ = std::io::stdin().read_line(&mut String::new());
}

/// A running peer; killed when dropped.
pub(super) struct Peer {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Peer {
    pub(super) fn start(world: &dyn World, role: &str, run: &RunId) -> Self {
        let mut child = world.peer(role, run.as_str()).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    fn next(&mut self) -> Option<String> {
        loop {
            let line = self.lines.next()?.unwrap();
            if let Some(said) = line.strip_prefix(MARK) {
                return Some(said.to_owned());
            }
        }
    }

    /// Whether the next line is this word.
    pub(super) fn says(&mut self, word: &str) -> bool {
        self.next().unwrap_or_else(|| panic!("the peer ended before it said anything")) == word
    }

    /// Waits for the line that begins with this word, which must be the next; gives the rest.
    pub(super) fn expect(&mut self, word: &str) -> String {
        let line = self.next().unwrap_or_else(|| panic!("the peer ended before it said \"{word}\""));
        let rest = line.strip_prefix(word).unwrap_or_else(|| panic!("\"{word}\" expected of the peer, not \"{line}\""));
        rest.trim().to_owned()
    }

    pub(super) fn expect_number(&mut self, word: &str) -> u64 {
        self.expect(word).parse().unwrap()
    }

    /// SIGKILL; gives the lines that nobody has read yet.
    pub(super) fn kill(&mut self) -> Vec<String> {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        std::iter::from_fn(|| self.next()).collect()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
