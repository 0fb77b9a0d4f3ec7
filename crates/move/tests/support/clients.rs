//! A service's clients, which write through a gate throughout a cutover.
//!
//! Owns what they write and what they saw: every error fails their test.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, OptsBuilder};
use tokio::runtime::Runtime;

/// The application's, of its account `app`.
pub(crate) const PASSWORD: &str = "secret";
const WRITERS: u64 = 8;

pub(crate) fn as_app(port: u16) -> OptsBuilder {
    let base = OptsBuilder::default().ip_or_hostname("127.0.0.1").tcp_port(port).prefer_socket(false);
    base.user(Some("app")).pass(Some(PASSWORD)).db_name(Some("shop"))
}

/// Clients that write through the gate until they are stopped. Every error fails the test.
pub(crate) struct Clients {
    stop: Arc<AtomicBool>,
    counts: Vec<Arc<AtomicU64>>,
    tasks: Vec<tokio::task::JoinHandle<(Vec<u64>, Duration)>>,
}

impl Clients {
    pub(crate) fn start(runtime: &Runtime, port: u16) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let counts: Vec<_> = (0..WRITERS).map(|_| Arc::new(AtomicU64::new(0))).collect();
        let tasks = counts.iter().zip(1..).map(|(count, writer)| {
            let (stop, count) = (Arc::clone(&stop), Arc::clone(count));
            runtime.spawn(async move {
                let mut conn = Conn::new(as_app(port)).await.unwrap();
                let (mut done, mut longest, mut id) = (Vec::new(), Duration::ZERO, writer << 32);
                while !stop.load(Ordering::SeqCst) {
                    id += 1;
                    let began = Instant::now();
                    conn.exec_drop("insert into w values (?, 'x')", (id,)).await.unwrap();
                    longest = longest.max(began.elapsed());
                    done.push(id);
                    count.fetch_add(1, Ordering::SeqCst);
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                (done, longest)
            })
        });
        Self { tasks: tasks.collect(), stop, counts }
    }

    /// All of them write on.
    pub(crate) fn go_on(&self) {
        let before: Vec<_> = self.counts.iter().map(|count| count.load(Ordering::SeqCst)).collect();
        let began = Instant::now();
        while self.counts.iter().zip(&before).any(|(count, before)| count.load(Ordering::SeqCst) <= *before) {
            let died = self.tasks.iter().any(tokio::task::JoinHandle::is_finished);
            assert!(!died && began.elapsed() < Duration::from_secs(60), "a writer does not go on");
            std::thread::yield_now();
        }
    }

    /// What was acknowledged, and the longest statement.
    pub(crate) fn stop(self, runtime: &Runtime) -> (BTreeSet<u64>, Duration) {
        self.stop.store(true, Ordering::SeqCst);
        let ends = self.tasks.into_iter().map(|task| runtime.block_on(task).unwrap());
        ends.fold((BTreeSet::new(), Duration::ZERO), |(mut all, longest), (done, one)| {
            all.extend(done);
            (all, longest.max(one))
        })
    }
}
