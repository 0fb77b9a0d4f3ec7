//! Runbooks that nobody thought of: made from a seed, run once undisturbed and then with engines killed at random
//! moments. A failure prints its seed and how to replay it.
//!
//! Owns the making, and what must be true of each run; `campaign` owns the seeds. Effects outside windows count (`add`), so one too many or too few shows; windows set and clear.

use crate::campaign::every_seed;
use crate::sim::{Book, Ctx, Plant, Result, Sim, http, noop, sh, sql_once};
use piton_core::event::{Answer, Event};
use piton_core::hold::{Choice, HoldReason};
use piton_core::ports::InboxMessage;
use piton_core::state::Phase;
use piton_core::{Path, Value};
use piton_engine::End;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

const DEEPEST: usize = 3;
/// True in the world before any run begins: what is already true is neither done nor taken back.
pub(crate) const STANDS: &str = "stands";

/// xorshift64*: Vigna, "An experimental exploration of Marsaglia's xorshift generators, scrambled", 2016.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % sides
    }
}

#[derive(Clone, Debug)]
enum Node {
    Step { kind: u64, fails: bool, undo: bool, ensures: bool },
    AlreadyTrue,
    Flaky,
    Phase(Vec<Node>),
    Attempt(Vec<Node>),
    Each { count: usize, concurrency: u32, passes: bool, function: String },
    Window { fails_first: bool, commits: bool },
    Approve,
    Wait,
    CommitPoint,
}

#[derive(Default)]
struct Making {
    functions: BTreeMap<String, Vec<Node>>,
    windows: usize,
}

/// Where a node stands.
#[derive(Clone, Copy, Default)]
struct Place {
    depth: usize,
    in_branch: bool,
    caught: bool,
    /// Nothing fails: how far siblings get before a failure is caught is a matter of time.
    sound: bool,
}

fn nodes(dice: &mut Dice, making: &mut Making, place: Place) -> Vec<Node> {
    let count = 1 + dice.roll(4);
    (0..count).map(|_| node(dice, making, place)).collect()
}

fn node(dice: &mut Dice, making: &mut Making, place: Place) -> Node {
    let Place { depth, in_branch, caught, sound } = place;
    let deeper = depth < DEEPEST;
    let inner = Place { depth: depth + 1, ..place };
    match dice.roll(13) {
        0 if deeper => Node::Phase(nodes(dice, making, inner)),
        1 if deeper => Node::Attempt(nodes(dice, making, Place { caught: true, ..inner })),
        2 | 3 if deeper => {
            let passes = dice.roll(2) == 0;
            let sound = sound || (caught && !passes);
            let body = nodes(dice, making, Place { in_branch: true, caught: caught || passes, sound, ..inner });
            let function = format!("function-{}", making.functions.len());
            making.functions.insert(function.clone(), body);
            let count = 1 + dice.roll(4) as usize;
            Node::Each { count, concurrency: 1 + dice.roll(4) as u32, passes, function }
        }
        // Windows are not side by side.
        4 if !in_branch && !sound && making.windows < 2 => {
            making.windows += 1;
            Node::Window { fails_first: dice.roll(2) == 0, commits: dice.roll(2) == 0 }
        }
        5 => Node::Approve,
        6 => Node::Wait,
        7 if !in_branch => Node::CommitPoint,
        8 => Node::Flaky,
        9 => Node::AlreadyTrue,
        _ => {
            let fails = dice.roll(5) == 0 && !sound;
            let (kind, undo) = (dice.roll(4), dice.roll(2) == 0);
            // One that changes nothing makes nothing true.
            let ensures = dice.roll(3) == 0 && !fails && kind < 3;
            Node::Step { kind, fails, undo, ensures }
        }
    }
}

/// What the runbook declared while it ran.
type Undoable = Arc<Mutex<BTreeSet<String>>>;

fn play(nodes: &[Node], ctx: &Ctx<'_>, undoable: &Undoable) -> Result {
    for (index, node) in nodes.iter().enumerate() {
        play_one(node, &format!("n{index}"), ctx, undoable)?;
    }
    Ok(Value::None)
}

fn play_one(node: &Node, name: &str, ctx: &Ctx<'_>, undoable: &Undoable) -> Result<()> {
    let var = ctx.path().child(name).to_string();
    match node {
        Node::Step { kind, fails, undo, ensures } => {
            let script = format!("add {var}{}", if *fails { "; fail" } else { "" });
            let action = match kind {
                0 => sh(&script),
                1 => http(&script),
                2 => sql_once(&script),
                _ => noop(1),
            };
            let mut step = ctx.step(name, action);
            if *ensures {
                step = step.ensures(&var);
            }
            if *undo {
                step = step.undo(sh(&format!("clear {var}")));
                undoable.lock().unwrap().insert(var);
            }
            step.go()?;
        }
        Node::AlreadyTrue => {
            let step = ctx.step(name, sh(&format!("add {STANDS}"))).ensures(STANDS);
            step.undo(sh(&format!("clear {STANDS}"))).go()?;
        }
        Node::Flaky => drop(ctx.step(name, sh(&format!("fail 1; add {var}"))).retry(1).go()?),
        Node::Phase(body) => drop(ctx.phase(name, |inner| play(body, inner, undoable))?),
        Node::Attempt(body) => drop(ctx.attempt(name, |inner| play(body, inner, undoable))?),
        Node::Each { count, concurrency, passes: true, function } => {
            drop(ctx.each_continue(name, *count, *concurrency, function)?)
        }
        Node::Each { count, concurrency, passes: false, function } => {
            drop(ctx.each(name, *count, *concurrency, function)?)
        }
        Node::Window { fails_first, commits } => drop(ctx.window(name, (7200, 600), |window| {
            window.step("close", sh(&format!("set {var}"))).undo(sh(&format!("clear {var}"))).go()?;
            let work = if *fails_first { "fail 1; set work" } else { "set work" };
            window.step("work", sh(work)).undo(sh("clear work")).go()?;
            if *commits {
                window.commit_point("no way back")?;
            }
            window.step("open", sh(&format!("clear {var}"))).go()?;
            Ok(Value::None)
        })?),
        Node::Approve => drop(ctx.approve(name)?),
        Node::Wait => ctx.wait(name, 20)?,
        Node::CommitPoint => ctx.commit_point(name)?,
    }
    Ok(())
}

/// Approves everything, waives what fails, retries windows, and knows what happened.
fn person(sim: &Sim) -> bool {
    if sim.say_what_is_known() {
        return true;
    }
    let state = sim.state();
    let mut helped = false;
    for (at, step) in &state.steps {
        match &step.phase {
            Phase::Asked { answers, .. } if answers.is_empty() => {
                sim.answer_as(&crate::sim::actor("bob", 2), at.as_str(), Answer::Approve);
            }
            Phase::Held(reason) => match **reason {
                HoldReason::Failed { .. } => sim.decide(at.as_str(), Choice::Waive),
                HoldReason::PastCommitPoint { .. } => sim.decide(at.as_str(), Choice::Retry),
                _ => continue,
            },
            _ => continue,
        }
        helped = true;
    }
    if !helped && !state.run_holds.is_empty() {
        sim.tell(InboxMessage::RetryAll);
        helped = true;
    }
    helped
}

/// A runbook with its world, and what it declares an undo for.
struct Made {
    sim: Sim,
    undoable: Undoable,
}

fn make(seed: u64, undo: bool, plant: Option<&Plant>) -> Made {
    let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let mut making = Making::default();
    let main = Arc::new(nodes(&mut dice, &mut making, Place::default()));
    let undoable = Undoable::default();
    let declared = undoable.clone();
    let mut book = Book::new(move |ctx| play(&main, ctx, &declared));
    for (name, body) in making.functions {
        let declared = undoable.clone();
        book = book.function(&name, move |ctx, _| play(&body, ctx, &declared));
    }
    let sim = Sim::new(book).person(move |sim| {
        // An undo that was asked for when the first question or hold came up.
        if undo && !sim.store.any(|event| matches!(event, Event::UndoBegan(e) if e.scope.is_root())) {
            sim.undo("");
            return true;
        }
        person(sim)
    });
    sim.world.set_var(STANDS, 1);
    sim.store.kept().plant = plant.cloned();
    Made { sim, undoable }
}

type World = (String, BTreeMap<String, i64>);

fn world(sim: &Sim, end: &End) -> World {
    sim.check_fakes();
    assert!(sim.state().open_window().is_none(), "{}", sim.story());
    let facts = sim.world.facts();
    let vars = facts.vars.iter().filter(|(name, value)| **value != 0 && !name.starts_with("mark "));
    (format!("{end:?}"), vars.map(|(name, value)| (name.clone(), *value)).collect())
}

/// The undisturbed run, then some whose engines die.
pub(crate) fn ends_the_same(seed: u64, plant: Option<&Plant>) {
    let Made { sim, .. } = make(seed, false, plant);
    let expected = world(&sim, &sim.finish());
    sim.check();
    let moments = sim.world.moments();
    let mut dice = Dice(seed | 1 << 40);
    for _ in 0..8 {
        let Made { sim, .. } = make(seed, false, plant);
        let mut kills = Vec::new();
        for _ in 0..1 + dice.roll(4) {
            let kill = 1 + dice.roll(moments);
            kills.push(kill);
            sim.world.kill_after(kill);
            sim.live();
            person(&sim);
        }
        sim.world.never_kill();
        let end = sim.finish();
        if kills.len() > 3 {
            sim.check();
        }
        assert_eq!(world(&sim, &end), expected, "seed {seed}, killed after {kills:?}\n{}", sim.story());
    }
}

/// Runs that are taken back, whose engines die.
pub(crate) fn is_taken_back(seed: u64, plant: Option<&Plant>) {
    let mut dice = Dice(seed | 1 << 41);
    for _ in 0..3 {
        let made = make(seed, true, plant);
        let sim = &made.sim;
        for _ in 0..1 + dice.roll(3) {
            sim.world.kill_after(1 + dice.roll(60));
            sim.live();
        }
        sim.world.never_kill();
        let end = sim.finish();
        let (_, vars) = world(sim, &end);
        let stands = vars.get(STANDS);
        assert_eq!(stands, Some(&1), "seed {seed}: what was already true is taken back\n{}", sim.story());
        if matches!(end, End::Undone) {
            let left = made.left(&vars);
            assert!(left.is_none(), "seed {seed}: {left:?} has an undo and is not taken back\n{}", sim.story());
        }
        sim.check();
    }
}

impl Made {
    /// What has an undo, was not behind a commit point, and is still there. The runbook says what has one: asking the
    /// journal would miss an undo that was never written.
    fn left<'a>(&self, vars: &'a BTreeMap<String, i64>) -> Option<&'a String> {
        let state = self.sim.state();
        let undoable = self.undoable.lock().unwrap();
        let committed = |var: &str| {
            let step = state.steps.get(&Path::from_escaped(var));
            step.is_some_and(|step| step.last_seq <= state.last_commit_seq())
        };
        vars.keys().find(|var| undoable.contains(*var) && !committed(var))
    }
}

#[test]
fn random_runbooks_end_the_same_however_often_their_engines_die() {
    every_seed(|seed| ends_the_same(seed, None));
}

#[test]
fn random_runbooks_are_taken_back_however_often_their_engines_die() {
    every_seed(|seed| is_taken_back(seed, None));
}
