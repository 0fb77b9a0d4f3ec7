//! One run in the simulated world: lives of engines, people who answer, and what must be true at the end.
//!
//! Owns wiring an engine to the fakes, starting lives one after the other or beside the test, and the checks that every
//! test ends with: no rule broken, a journal that a receipt's verifier accepts.

use super::children::{Family, SimChildren};
use super::clock::SimClock;
use super::executor::SimExecutor;
use super::ports::{Notebook, SimVault, SimWatchdogs};
use super::program::Book;
use super::store::{MemSideLogs, MemStore};
use super::world::World;
use piton_core::child::Parent;
use piton_core::event::{Answer, Attach, FORMAT, Rehearsal, RunStarted, Runbook};
use piton_core::hold::{Choice, Decision, HoldReason};
use piton_core::ids::{Actor, EngineId};
use piton_core::ports::{Clock, InboxMessage, Store};
use piton_core::receipt::envelope::{Envelope, PAYLOAD_TYPE};
use piton_core::receipt::{Finding, Part, Statement, verify};
use piton_core::state::Phase;
use piton_core::window::WindowPhase;
use piton_core::{Digest, Path, RunId, RunState, Value};
use piton_engine::{Control, Drive, End, Engine, Options, Ports};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Seconds of the simulation in a real second, where a test does not say otherwise.
const SPEED: f64 = 20.0;
/// Lives of one run; more means that it does not get on.
const MAX_LIVES: usize = 60;

type Person = Arc<dyn Fn(&Sim) -> bool + Send + Sync>;

#[derive(Clone)]
pub(crate) struct Sim {
    pub(crate) world: Arc<World>,
    pub(crate) store: Arc<MemStore>,
    pub(crate) clock: Arc<SimClock>,
    pub(crate) vault: Arc<SimVault>,
    pub(crate) watchdogs: Arc<SimWatchdogs>,
    pub(crate) notebook: Arc<Notebook>,
    run: RunId,
    book: Book,
    person: Option<Person>,
    leave: bool,
    rehearsal: Option<Rehearsal>,
    /// Of all runs that share the store.
    pub(crate) family: Arc<Family>,
    parent: Option<Parent>,
}

/// An engine that runs beside the test.
pub(crate) struct Beside {
    pub(crate) control: Control,
    thread: JoinHandle<End>,
}

impl Beside {
    pub(crate) fn join(self) -> End {
        self.thread.join().expect("an engine never panics")
    }

    /// Fails the test where the engine takes longer, real time.
    pub(crate) fn join_within(self, patience: Duration) -> End {
        let end = Instant::now() + patience;
        while !self.thread.is_finished() {
            assert!(Instant::now() < end, "the engine goes on and on");
            std::thread::sleep(Duration::from_millis(5));
        }
        self.join()
    }
}

pub(crate) fn actor(name: &str, uid: u32) -> Actor {
    Actor { name: name.to_owned(), uid, host: "sim".to_owned() }
}

pub(crate) fn path(text: &str) -> Path {
    Path::from_escaped(text)
}

impl Sim {
    pub(crate) fn new(book: Book) -> Self {
        Self::at_speed(SPEED, book)
    }

    pub(crate) fn at_speed(speed: f64, book: Book) -> Self {
        let world = Arc::new(World::default());
        let store = MemStore::new(&world);
        Self {
            store: store.clone(),
            clock: Arc::new(SimClock::new(speed)),
            vault: Arc::default(),
            watchdogs: Arc::new(SimWatchdogs::new(&world)),
            notebook: Arc::new(Notebook::new(&store)),
            run: RunId::from_random(7),
            book,
            person: None,
            leave: true,
            rehearsal: None,
            family: store.family(),
            parent: None,
            world,
        }
    }

    /// Another run of the same store.
    pub(crate) fn another(&self, number: u64, book: Book) -> Self {
        let world = Arc::new(World::default());
        let store = self.store.beside(&world);
        Self {
            clock: self.clock.clone(),
            vault: Arc::default(),
            watchdogs: Arc::new(SimWatchdogs::new(&world)),
            notebook: Arc::new(Notebook::new(&store)),
            run: RunId::from_random(number),
            book,
            person: None,
            leave: true,
            rehearsal: None,
            family: store.family(),
            parent: None,
            store,
            world,
        }
    }

    /// A run of the same store that a step of this one starts.
    pub(crate) fn child(&self, run: RunId, book: Book, parent: Parent) -> Self {
        Self { run, parent: Some(parent), ..self.another(0, book) }
    }

    pub(crate) fn id(&self) -> &RunId {
        &self.run
    }

    /// Called whenever the run waits or holds; false where it cannot help.
    #[must_use]
    pub(crate) fn person(mut self, person: impl Fn(&Sim) -> bool + Send + Sync + 'static) -> Self {
        self.person = Some(Arc::new(person));
        self
    }

    /// A run on stand-in systems.
    #[must_use]
    pub(crate) fn rehearsing(mut self, rehearsal: Rehearsal) -> Self {
        self.rehearsal = Some(rehearsal);
        self
    }

    /// Engines stay while the run waits for people.
    #[must_use]
    pub(crate) fn staying(mut self) -> Self {
        self.leave = false;
        self
    }

    /// Another source for the next life.
    pub(crate) fn edit(&mut self, book: Book) {
        self.book = book;
    }

    /// A new engine on this run.
    pub(crate) fn attach(&self) -> Result<Engine, String> {
        let state = self.store.state();
        let fresh = state.started.is_none();
        let taken_over = state.open_window().is_some();
        let lease = self.store.take_lease(&self.run);
        let life = piton_core::ports::Lease::fence(&lease) as u32;
        let (world, store, clock) = (&self.world, &self.store, &self.clock);
        self.watchdogs.next_life(life);
        let ports = Ports {
            store: store.clone(),
            side_logs: Arc::new(MemSideLogs { store: store.clone(), world: world.clone(), life }),
            executor: Arc::new(SimExecutor::new(world, store, clock, life)),
            vault: self.vault.clone(),
            clock: clock.clone(),
            children: Arc::new(SimChildren { parent: self.clone(), world: world.clone(), life }),
            watchdogs: self.watchdogs.clone(),
            observer: self.notebook.clone(),
        };
        let attach = match (fresh, taken_over) {
            (true, _) => Attach::Started,
            (_, true) => Attach::TookOver,
            _ => Attach::Resumed,
        };
        let drive = Drive {
            ports,
            program: Arc::new(self.book.clone()),
            lease: Box::new(lease),
            engine: EngineId { host: "sim".to_owned(), boot_id: clock.boot_id().to_owned(), pid: life },
            attach,
            by: Some(actor("ada", 1)),
            piton: "0.0.0".to_owned(),
            run_dir: PathBuf::from("/run"),
            known: None,
            start: fresh.then(|| self.start()),
            edit: None,
            options: Options { leave_when_waiting: self.leave, ..Options::default() },
        };
        Engine::attach(drive).map_err(|broken| broken.0)
    }

    fn start(&self) -> RunStarted {
        let runbook = Runbook {
            root: "/project".to_owned(),
            file: "main.star".to_owned(),
            title: "A simulated run".to_owned(),
            digest: Digest::of_bytes(b"source"),
            sources: vec![],
        };
        RunStarted {
            format: FORMAT,
            run: self.run.clone(),
            runbook,
            params: vec![],
            by: actor("ada", 1),
            piton: "0.0.0".to_owned(),
            plan: None,
            rehearsal: self.rehearsal,
            parent: self.parent.clone(),
        }
    }

    /// One engine, from attaching to its end.
    pub(crate) fn live(&self) -> End {
        match self.attach() {
            Ok(engine) => engine.run(),
            Err(why) => End::Broken(why),
        }
    }

    pub(crate) fn beside(&self) -> Beside {
        let engine = self.attach().expect("it attaches");
        let control = engine.control();
        Beside { control, thread: std::thread::spawn(move || engine.run()) }
    }

    /// Lives and people until the run has ended or nobody can help. What the last life ended with.
    pub(crate) fn finish(&self) -> End {
        for _ in 0..MAX_LIVES {
            match self.live() {
                End::Broken(why) if self.last_life_is_dead() => drop(why),
                end @ (End::Held | End::Waiting) => {
                    self.check_no_window_waits();
                    if !self.person.as_ref().is_some_and(|person| person(self)) {
                        return end;
                    }
                }
                end => return end,
            }
        }
        panic!("the run does not get on:\n{}", self.story());
    }

    /// An engine that stops leaves a window open only where a person must help: past its commit point, or where an undo
    /// failed.
    fn check_no_window_waits(&self) {
        let state = self.state();
        let helpless = state.held_steps > 0;
        if let Some(window) = state.open_window() {
            assert!(helpless && (window.committed || window.phase != WindowPhase::Open), "{}", self.story());
        }
    }

    fn last_life_is_dead(&self) -> bool {
        self.world.is_dead(self.notebook_life())
    }

    fn notebook_life(&self) -> u32 {
        self.watchdogs.life()
    }

    // People.

    pub(crate) fn state(&self) -> RunState {
        self.store.state()
    }

    pub(crate) fn post(&self, by: &Actor, saw: Digest, message: InboxMessage) {
        let decision = Decision { by: by.clone(), saw, why: Some("because".to_owned()) };
        let at_us = self.clock.now().wall_us;
        self.store.post(&self.run, &decision, &message, at_us).expect("the inbox is open");
    }

    /// Answers what is asked there; false where nothing is.
    pub(crate) fn answer_as(&self, by: &Actor, at: &str, answer: Answer) -> bool {
        let shown = match self.state().steps.get(&path(at)).map(|step| step.phase.clone()) {
            Some(Phase::Asked { asked, .. }) => asked.shown,
            _ => return false,
        };
        self.post(by, shown, InboxMessage::Answer { path: path(at), answer });
        true
    }

    pub(crate) fn approve(&self, at: &str) -> bool {
        self.answer_as(&actor("bob", 2), at, Answer::Approve)
    }

    pub(crate) fn tell(&self, message: InboxMessage) {
        self.post(&actor("bob", 2), self.state().head, message);
    }

    pub(crate) fn decide(&self, at: &str, choice: Choice) {
        self.tell(InboxMessage::Decide { path: path(at), choice });
    }

    pub(crate) fn undo(&self, scope: &str) {
        self.tell(InboxMessage::Undo { scope: path(scope) });
    }

    /// An honest person: looks at what every step of unknown outcome did, and says so; tidies up what was half done.
    pub(crate) fn say_what_is_known(&self) -> bool {
        let mut helped = false;
        for (at, step) in self.state().steps {
            if let Phase::Held(reason) = &step.phase
                && let HoldReason::Unknown { .. } | HoldReason::Unprovable { .. } = **reason
            {
                let done = self.tidy_up(&at);
                self.decide(at.as_str(), if done { Choice::Done } else { Choice::NotDone });
                helped = true;
            }
        }
        helped
    }

    /// Whether the last attempt there did all of it; takes back what it half did.
    fn tidy_up(&self, at: &Path) -> bool {
        let mut facts = self.world.facts();
        let last = facts.performed.iter_mut().rev().find(|performed| performed.who.path == *at);
        let Some(last) = last.filter(|last| !last.tidied) else { return false };
        if last.whole {
            return true;
        }
        last.tidied = true;
        let last = last.clone();
        let half: Vec<String> =
            facts.ledger.iter().filter(|effect| effect.who == last.who).map(|effect| effect.what.clone()).collect();
        for what in half {
            let (verb, name) = what.split_once(' ').expect("verb and name");
            let var = facts.vars.entry(name.to_owned()).or_default();
            match verb {
                "add" | "set" => *var -= 1,
                "sub" => *var += 1,
                _ => panic!("{what} cannot be tidied up"),
            }
        }
        false
    }

    // What must be true.

    pub(crate) fn done(&self, at: &str) -> bool {
        self.state().steps.get(&path(at)).is_some_and(piton_core::state::Step::is_done)
    }

    pub(crate) fn undone(&self, at: &str) -> bool {
        self.state().steps.get(&path(at)).is_some_and(|step| matches!(step.phase, Phase::Undone))
    }

    pub(crate) fn held(&self, at: &str) -> Option<HoldReason> {
        match &self.state().steps.get(&path(at))?.phase {
            Phase::Held(reason) => Some((**reason).clone()),
            _ => None,
        }
    }

    /// The journal and the ledger, for a test that failed.
    pub(crate) fn story(&self) -> String {
        let kept = self.store.kept();
        let lines = kept.records.iter().map(|sealed| format!("{:>3} /{} {}", sealed.seq, sealed.fence, sealed.body));
        let journal = lines.collect::<Vec<_>>().join("\n");
        let aside = kept.side.len();
        drop(kept);
        format!("{journal}\n{aside} records aside\n{}", self.world.ledger().join("\n"))
    }

    /// The fakes saw no rule broken.
    pub(crate) fn check_fakes(&self) {
        let broken = self.world.facts().broken_rules.clone();
        assert!(broken.is_empty(), "{broken:#?}\n{}", self.story());
        let wrong = self.notebook.wrong();
        assert!(wrong.is_empty(), "{wrong:#?}\n{}", self.story());
    }

    /// Neither did they, and the journal is sound.
    pub(crate) fn check(&self) {
        self.check_fakes();
        self.check_journal();
    }

    /// The journal is one that a sound engine can have written: the receipt's rules.
    pub(crate) fn check_journal(&self) {
        let records = self.store.kept().records.clone();
        let statement = Statement::from_journal(&records).unwrap_or_else(|error| panic!("{error}\n{}", self.story()));
        let bytes = Value::Bytes(statement.to_json().expect("it serialises"));
        // Bytes are base64 in a value's JSON.
        let payload = serde_json::to_value(bytes).expect("it serialises")["v"].as_str().unwrap_or_default().to_owned();
        // Unsigned: signatures cost milliseconds where nothing is optimised, and are not the engine's.
        let envelope = Envelope { payload, payload_type: PAYLOAD_TYPE.to_owned(), signatures: vec![] };
        let report = verify(&envelope.to_bytes().expect("it serialises"), None);
        let sound = report.checks.iter().all(|check| match check.finding {
            Finding::Holds(_) => true,
            _ => check.part == Part::Signature,
        });
        assert!(sound, "{report}\n{}", self.story());
    }
}

/// The value of a run that succeeded.
pub(crate) fn value(end: &End) -> Value {
    match end {
        End::Succeeded(value) => value.clone(),
        other => panic!("it ended with {other:?}"),
    }
}
