//! Kills the engine at every moment of a run, lets the next one finish, and compares with the run that nobody killed.
//!
//! Owns the comparison: same end, same world, same steps done and undone, no window left open. A moment is a record
//! becoming durable, or an action's start, effect or end.

use super::run::Sim;
use piton_core::state::Phase;
use piton_engine::End;
use std::collections::BTreeMap;

/// Moments of a run that is cut; more means that it does not end.
const MAX_MOMENTS: u64 = 5000;
/// After a death the next engine dies too, as many moments later, in turn.
const SECOND_DEATHS: [u64; 5] = [2, 5, 1, 9, 3];

#[derive(Debug, PartialEq)]
struct Summary {
    end: String,
    vars: BTreeMap<String, i64>,
    files: BTreeMap<String, String>,
    steps: BTreeMap<String, &'static str>,
}

fn summary(sim: &Sim, end: &End) -> Summary {
    let state = sim.state();
    let steps = state.steps.iter().map(|(path, step)| {
        let phase = match &step.phase {
            Phase::Succeeded { .. } => "done",
            Phase::Undone => "undone",
            Phase::Failed { .. } => "failed",
            Phase::Held(_) => "held",
            _ => "under way",
        };
        (path.as_str().to_owned(), phase)
    });
    let facts = sim.world.facts();
    let vars = facts.vars.iter().filter(|(name, value)| **value != 0 && !name.starts_with("mark "));
    Summary {
        end: format!("{end:?}"),
        vars: vars.map(|(name, value)| (name.clone(), *value)).collect(),
        files: facts.files.clone(),
        steps: steps.filter(|(_, phase)| *phase != "undone").collect(),
    }
}

/// Kills the engine at every moment, and the next engine soon after; everything must end as if nobody had.
pub(crate) fn at_every_moment(make: impl Fn() -> Sim) {
    at_every_moment_and(make, |_, _| {});
}

/// The same at some moments, `step` apart: for runs with many.
pub(crate) fn at_some_moments(step: usize, make: impl Fn() -> Sim) {
    cut(&make, step, |_, _| {});
}

/// Also looks at every run when it has ended, and at its world's variables, of which it may take out those that crashes
/// may change.
pub(crate) fn at_every_moment_and(make: impl Fn() -> Sim, look: impl Fn(&Sim, &mut BTreeMap<String, i64>)) {
    cut(&make, 1, look);
}

fn cut(make: &dyn Fn() -> Sim, step: usize, look: impl Fn(&Sim, &mut BTreeMap<String, i64>)) {
    let (expected, _) = run(make, &[], &look);
    for moment in (1..MAX_MOMENTS).step_by(step) {
        let (summary, killed) = run(make, &[moment], &look);
        assert_eq!(summary, expected, "killed at moment {moment}");
        if !killed {
            return;
        }
        let second = SECOND_DEATHS[moment as usize % SECOND_DEATHS.len()];
        let (summary, _) = run(make, &[moment, second], &look);
        assert_eq!(summary, expected, "killed at moment {moment}, and the next engine {second} moments later");
    }
    panic!("the run does not end within {MAX_MOMENTS} moments");
}

/// The run, its engines killed after so many moments each. Whether the last of them was.
fn run(make: &dyn Fn() -> Sim, kills: &[u64], look: &impl Fn(&Sim, &mut BTreeMap<String, i64>)) -> (Summary, bool) {
    let sim = make();
    let mut killed = true;
    for kill in kills {
        sim.world.kill_after(*kill);
        killed = matches!(sim.live(), End::Broken(_));
    }
    sim.world.never_kill();
    let end = sim.finish();
    // Reading a whole journal as a stranger would takes longer than the run.
    if kills.first().is_none_or(|kill| kill % 4 == 0) {
        sim.check()
    } else {
        sim.check_fakes()
    }
    assert!(sim.state().open_window().is_none(), "a window is left open\n{}", sim.story());
    let mut summary = summary(&sim, &end);
    look(&sim, &mut summary.vars);
    (summary, killed)
}
