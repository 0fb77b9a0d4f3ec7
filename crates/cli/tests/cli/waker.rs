//! The waker between real processes: who lives while runs are parked, who starts whom, and what a kill at any moment costs.

use crate::place::{Place, Ran};
use piton_core::RunId;
use piton_core::ids::EngineId;
use piton_core::park::Rest;
use piton_core::ports::{Along, LeaseOutcome, NewRun, RunSummary, Store as _};
use piton_core::record::Sealed;
use piton_store::SqliteStore;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const PATIENCE: Duration = Duration::from_secs(60);

/// Waits for an hour; each life leaves a line. Nothing is under way at the end.
const SOAK: &str = r#""""Soaks."""

def main():
    step("Before", write_file("before", "x"))
    wait("Soak", "1h")
    step("After", sh("echo x >> after"), repeatable = True)
"#;

const ASKS: &str = r#""""Asks."""

def main():
    approve("Go?", by = "ops")
    step("After", sh("echo x >> after"), repeatable = True)
"#;

pub(crate) fn until(what: &str, is: impl Fn() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is() {
        assert!(Instant::now() < end, "waited too long until {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

pub(crate) fn now_us() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros() as i64
}

/// The words of every process of ours that works on this store; those of the dying are empty and left out.
pub(crate) fn processes(place: &Place) -> Vec<String> {
    let home = format!("PITON_HOME={}", place.home().display());
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let of = |file: &str| std::fs::read(entry.path().join(file)).unwrap_or_default();
        if of("environ").split(|byte| *byte == 0).any(|variable| variable == home.as_bytes()) {
            let words = String::from_utf8_lossy(&of("cmdline")).replace('\0', " ").trim().to_owned();
            if !words.is_empty() {
                found.push(words);
            }
        }
    }
    found
}

fn only_a_waker(place: &Place) -> bool {
    processes(place) == ["piton __waker"]
}

pub(crate) fn store(place: &Place) -> SqliteStore {
    SqliteStore::open(&place.home()).unwrap()
}

fn waker(place: &Place) -> Option<u32> {
    store(place).waker()
}

fn kill_waker(place: &Place) {
    until("a waker lives", || waker(place).is_some());
    let known = waker(place);
    let pid = rustix::process::Pid::from_raw(known.unwrap() as i32).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    until("it is dead", || waker(place) != known);
}

fn log(place: &Place) -> String {
    std::fs::read_to_string(place.home().join("waker.log")).unwrap_or_default()
}

/// A run in the background that has parked.
pub(crate) fn parked(place: &Place, file: &str) -> RunSummary {
    place.ran(&["run", file, "--detach"]).ends(0);
    let store = store(place);
    let stands = || store.find("@last").unwrap();
    until("it is parked", || stands().status == "waiting" && stands().held_by.is_none());
    stands()
}

/// The same run's journal under another id, its timer due at another time. What is told of it is told of that run.
pub(crate) fn copy(store: &SqliteStore, first: &RunSummary, records: &[Sealed], number: u64, due_us: i64) -> RunId {
    // An odd factor keeps the ids apart, and no two begin alike for long.
    let id = RunId::from_random(number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 14);
    let (title, by, sources) = (first.title.clone(), first.by.clone(), store.sources(&first.id).unwrap());
    let new = NewRun {
        id: id.clone(),
        title,
        created_at_us: first.created_at_us,
        by,
        parent: None,
        rehearsal: None,
        sources,
    };
    store.create_run(&new).unwrap();
    let engine = EngineId { host: "test".to_owned(), boot_id: String::new(), pid: std::process::id() };
    let LeaseOutcome::Held(lease) = store.lease(&id, &engine).unwrap() else { panic!("{id} is driven") };
    let mut copied: Vec<Sealed> = Vec::new();
    let mut rest = Rest::ForPeople;
    for record in records {
        let previous = copied.last().map(|record| record.hash).unwrap_or_default();
        let mut body = record.body.replace(first.id.as_str(), id.as_str());
        if let Some((before, after)) = body.split_once("\"due_at_us\":") {
            let after = after.trim_start_matches(|c: char| c.is_ascii_digit());
            body = format!("{before}\"due_at_us\":{due_us}{after}");
            rest = Rest::Parked { due_us: Some(due_us) };
        }
        copied.push(Sealed::new(previous, record.seq, record.at, lease.fence(), body));
    }
    let along = Along { status: Some("waiting"), rest: Some(rest), ..Along::default() };
    store.append_along(&*lease, &copied, &along).unwrap();
    id
}

fn copies(place: &Place, first: &RunSummary, count: u64, due_us: i64) -> Vec<RunId> {
    let store = store(place);
    let records = store.read_all(&first.id, 0).unwrap();
    (1..=count).map(|number| copy(&store, first, &records, number, due_us)).collect()
}

fn status(place: &Place, run: &RunId) -> String {
    store(place).find(run.as_str()).unwrap().status
}

fn show(place: &Place, run: &RunId) -> Ran {
    place.ran(&["show", run.as_str()])
}

#[test]
fn a_run_that_waits_for_a_person_leaves_no_process_behind() {
    let place = Place::with(ASKS);
    let run = parked(&place, "book.star");
    until("its engine is gone", || processes(&place).is_empty());
    place.ran(&["runs"]).ends(0);
    assert_eq!(processes(&place), [""; 0], "nothing is there to be woken");
    let told = std::fs::read_to_string(place.home().join("runs").join(run.id.as_str()).join("engine.log")).unwrap();
    assert!(told.contains("asked") && told.contains("the run waits for a person"), "{told}");
    place.ran(&["approve", "@last"]).ends(0);
    place.ran(&["watch", "@last"]).ends(0);
    assert_eq!(place.read("after"), "x\n");
    until("its engine is gone", || processes(&place).is_empty());
}

#[test]
fn a_run_that_waits_for_a_time_leaves_the_waker_and_nothing_else_and_that_ends_with_the_last_of_them() {
    let place = Place::with(SOAK);
    let run = parked(&place, "book.star").id;
    until("only the waker lives", || only_a_waker(&place) && waker(&place).is_some());
    show(&place, &run).ends(0).says("engine    none; the waker starts one at ");
    assert!(place.show()["wakes_at"].is_string());
    // Another that is started by hand finds the seat taken.
    place.ran(&["__waker"]).ends(0);
    place.ran(&["runs"]).ends(0);
    assert!(only_a_waker(&place), "{:?}", processes(&place));
    // Killed, it is there again with the next command.
    kill_waker(&place);
    assert_eq!(processes(&place), [""; 0]);
    place.ran(&["runs"]).ends(0);
    until("another waker lives", || only_a_waker(&place));
    place.ran(&["abort", "@last"]).ends(4);
    until("nothing is left", || processes(&place).is_empty());
    assert!(log(&place).contains("no run is parked: the waker ends"), "{}", log(&place));
}

#[test]
fn a_parked_run_goes_on_when_it_is_due_and_whoever_watches_it_sees_its_engines_come_and_go() {
    let place = Place::with(SOAK);
    let first = parked(&place, "book.star");
    let run = copies(&place, &first, 1, now_us() + 3_000_000).remove(0);
    let mut watching = place.piton(&["watch", run.as_str()]).started();
    watching.until("timer");
    let seen = watching.ended().ends(0);
    assert!(seen.out.contains("resumed") && seen.out.contains("After"), "{}", seen.out);
    assert_eq!(place.read("after"), "x\n");
    assert!(log(&place).contains(&format!("run {run} is due")), "{}", log(&place));
    assert_eq!(status(&place, &first.id), "waiting");
    until("only the waker lives", || only_a_waker(&place));
}

#[test]
fn a_run_whose_engine_dies_as_it_parks_is_woken_all_the_same() {
    let place = Place::with(SOAK);
    // Its engine attaches, writes a file, sets the timer: then it dies.
    place.piton(&["run", "book.star", "--detach"]).env("PITON_CRASH_AFTER", "4").ran().ends(0);
    until("it died", || processes(&place).is_empty() && waker(&place).is_none());
    assert_eq!(place.read("before"), "x");
    let first = store(&place).find("@last").unwrap();
    show(&place, &first.id).ends(0).says("the waker starts one at");
    until("a waker lives", || only_a_waker(&place));
    // A journal like that, and due.
    let run = copies(&place, &first, 1, now_us()).remove(0);
    place.ran(&["runs"]).ends(0);
    until("it has ended", || status(&place, &run) == "succeeded");
}

#[test]
fn a_waker_that_is_killed_while_it_starts_engines_loses_none_and_starts_none_twice() {
    const RUNS: u64 = 24;
    let place = Place::with(SOAK);
    let first = parked(&place, "book.star");
    kill_waker(&place);
    let runs = copies(&place, &first, RUNS, now_us());
    for round in 0..6 {
        place.ran(&["runs"]).ends(0);
        until("a waker lives", || waker(&place).is_some());
        // Not a wait for anything: each kill comes at another moment of its work.
        std::thread::sleep(Duration::from_millis(15 * round));
        kill_waker(&place);
    }
    place.ran(&["runs"]).ends(0);
    until("all have ended", || runs.iter().all(|run| status(&place, run) == "succeeded"));
    assert_eq!(place.read("after").len() as u64, 2 * RUNS, "each has gone on once");
    assert_eq!(status(&place, &first.id), "waiting");
}

#[test]
fn a_run_whose_engine_ends_at_once_is_not_started_over_and_over() {
    let place = Place::with(SOAK);
    let first = parked(&place, "book.star");
    kill_waker(&place);
    let run = copies(&place, &first, 1, now_us()).remove(0);
    damage(&place.home(), &run);
    let good = copy_of(&place, &first, 2);
    place.ran(&["runs"]).ends(0);
    until("its engine has ended", || log(&place).contains("ended at once with exit code 5"));
    until("the others go on", || status(&place, &good) == "succeeded");
    std::thread::sleep(Duration::from_secs(2));
    let told = log(&place);
    assert_eq!(told.matches(&format!("run {run} is due")).count(), 1, "{told}");
    assert!(told.contains("engine.log") && told.contains("another is started at"), "{told}");
    // A waker that comes later knows it, too.
    kill_waker(&place);
    place.ran(&["runs"]).ends(0);
    until("another waker lives", || waker(&place).is_some());
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(log(&place).matches(&format!("run {run} is due")).count(), 1, "{}", log(&place));
}

fn copy_of(place: &Place, first: &RunSummary, number: u64) -> RunId {
    let store = store(place);
    copy(&store, first, &store.read_all(&first.id, 0).unwrap(), number, now_us())
}

fn damage(home: &Path, run: &RunId) {
    let database = rusqlite::Connection::open(home.join("journal.db")).unwrap();
    let damaged = database.execute(
        "UPDATE records SET body = replace(body, 'Before', 'Behind') WHERE key >> 32 = (SELECT number FROM runs WHERE id = ?1)",
        [run.as_str()],
    );
    assert!(damaged.unwrap() > 0);
}

#[test]
fn in_the_foreground_a_waker_stays_until_it_is_ended_and_waits_for_its_seat() {
    let place = Place::with(SOAK);
    let first = parked(&place, "book.star");
    until("a waker lives", || waker(&place).is_some());
    let mut service = place.piton(&["waker"]).started();
    service.until("another waker lives");
    kill_waker(&place);
    service.until("the waker of");
    let run = copies(&place, &first, 1, now_us()).remove(0);
    place.ran(&["runs"]).ends(0);
    service.until(&format!("run {run} is due"));
    until("it has ended", || status(&place, &run) == "succeeded");
    place.ran(&["abort", first.id.as_str()]).ends(4);
    std::thread::sleep(Duration::from_millis(300));
    assert!(waker(&place).is_some(), "it stays although nothing is parked");
    service.kill();
}

#[test]
fn a_waker_whose_store_is_gone_ends() {
    let place = Place::with(SOAK);
    parked(&place, "book.star");
    until("only the waker lives", || only_a_waker(&place) && log(&place).contains("the waker of"));
    let bell = std::fs::OpenOptions::new().write(true).open(place.home().join("waker.bell")).unwrap();
    std::fs::rename(place.home(), place.path("away")).unwrap();
    std::io::Write::write_all(&mut &bell, b"x").unwrap();
    until("it has ended", || processes(&place).is_empty());
}

#[test]
fn a_waker_hands_over_to_the_version_that_was_installed_in_its_place() {
    let place = Place::with(SOAK);
    parked(&place, "book.star");
    kill_waker(&place);
    let installed = place.path("piton");
    let copy = |to: &Path| std::fs::copy(env!("CARGO_BIN_EXE_piton"), to).unwrap();
    copy(&installed);
    let home = place.home();
    let mut old = std::process::Command::new(&installed);
    let words = std::fs::File::options().append(true).open(home.join("waker.log")).unwrap();
    let mut old = old.arg0("piton").arg("__waker").env("PITON_HOME", &home).stdout(words).spawn().unwrap();
    until("it sits", || waker(&place) == Some(old.id()));
    copy(&place.path("new"));
    std::fs::rename(place.path("new"), &installed).unwrap();
    // A command would do, too, and start another one in the moment in which nobody sits.
    let bell = std::fs::OpenOptions::new().write(true).open(home.join("waker.bell")).unwrap();
    std::io::Write::write_all(&mut &bell, b"x").unwrap();
    let begun = format!("is process {}\n", old.id());
    until("the new one sits", || log(&place).matches(&begun).count() == 2 && waker(&place) == Some(old.id()));
    assert!(log(&place).contains("another version of piton stands in the place of this one"));
    let runs = std::fs::read_link(format!("/proc/{}/exe", old.id())).unwrap();
    assert_eq!(runs, installed.canonicalize().unwrap(), "the file that stands there now");
    old.kill().unwrap();
    old.wait().unwrap();
}

const DEPLOY: &str = r#""""Deploys."""

def main(name: str):
    lock("deploy", deploy, name)

def deploy(name):
    step("Work", sh("echo %s >> order; until [ -e go ]; do sleep 0.02; done" % quote(name)), repeatable = True)
"#;

#[test]
fn runs_that_wait_for_a_lock_are_parked_and_get_it_in_the_order_in_which_they_asked() {
    let place = Place::with(DEPLOY);
    let holder = place.piton(&["run", "book.star", "--name", "holder"]).started();
    place.wait_for("order");
    for name in ["a", "b", "c"] {
        place.ran(&["run", "book.star", "--name", name, "--detach"]).ends(0);
        let store = store(&place);
        until("it is parked", || {
            let run = store.find("@last").unwrap();
            run.status == "waiting" && run.held_by.is_none()
        });
    }
    let run = store(&place).find("@last").unwrap().id;
    show(&place, &run).ends(0).says("the waker starts one when it has its turn at the lock");
    until("no engine of theirs lives", || !processes(&place).iter().any(|words| words.contains("__engine")));
    std::fs::write(place.path("go"), "").unwrap();
    holder.ended().ends(0);
    let runs = store(&place).runs().unwrap();
    until("all have ended", || runs.iter().all(|run| status(&place, &run.id) == "succeeded"));
    assert_eq!(place.read("order"), "holder\na\nb\nc\n");
    until("nothing is left", || processes(&place).is_empty());
}

#[test]
fn a_lock_that_a_person_takes_away_goes_to_the_run_that_is_parked_for_it() {
    let place = Place::with(DEPLOY);
    let mut holder = place.piton(&["run", "book.star", "--name", "holder"]).started();
    holder.until("begin");
    place.ran(&["run", "book.star", "--name", "a", "--detach"]).ends(0);
    let run = store(&place).find("@last").unwrap().id;
    until("it is parked", || store(&place).find(run.as_str()).unwrap().held_by.is_none());
    until("a waker lives", || waker(&place).is_some());
    place.ran(&["locks", "break", "deploy", "--reason", "abandoned"]).ends(0);
    until("it has its turn", || place.read("order") == "holder\na\n");
    std::fs::write(place.path("go"), "").unwrap();
    holder.ended().ends(1);
    place.ran(&["watch", run.as_str()]).ends(0);
}
