//! Many seeds over all cores: what `make sim` runs.
//!
//! Owns which seeds are tried, spreading them, and what is said of the one that fails. Never knows what a seed makes.

use std::any::Any;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// Seeds of `cargo test`; `make sim` tries a thousand.
const SEEDS: Range<u64> = 1..41;

/// `PITON_SIM_SEEDS=FROM..TO`, else a few.
fn seeds() -> Range<u64> {
    let Ok(text) = std::env::var("PITON_SIM_SEEDS") else { return SEEDS };
    let range = text.split_once("..").and_then(|(from, to)| Some(from.trim().parse().ok()?..to.trim().parse().ok()?));
    let range = range.filter(|range: &Range<u64>| range.start < range.end);
    range.unwrap_or_else(|| panic!("PITON_SIM_SEEDS is FROM..TO, two numbers and the first the smaller, not {text:?}"))
}

/// How often each is tried. A seed makes the same runbook and the same kills each time; threads come and go as they like.
fn times() -> u64 {
    let Ok(text) = std::env::var("PITON_SIM_TIMES") else { return 1 };
    text.parse().unwrap_or_else(|_| panic!("PITON_SIM_TIMES is a number, not {text:?}"))
}

/// Tries every seed, as many at the same time as there are cores; the first to fail ends the rest, and the test.
pub(crate) fn every_seed(trial: impl Fn(u64) + Sync) {
    let (seeds, times) = (seeds(), times());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let next = AtomicU64::new(0);
    let failed = Mutex::new(None);
    std::thread::scope(|threads| {
        for _ in 0..cores {
            threads.spawn(|| {
                while failed.lock().unwrap().is_none() {
                    let seed = seeds.start.saturating_add(next.fetch_add(1, Ordering::Relaxed) / times);
                    if !seeds.contains(&seed) {
                        return;
                    }
                    if let Err(why) = caught(|| trial(seed)) {
                        failed.lock().unwrap().get_or_insert((seed, why));
                    }
                }
            });
        }
    });
    if let Some((seed, why)) = failed.into_inner().unwrap() {
        panic!("{why}\n\n{}", replay(seed));
    }
}

/// How to see a seed fail again.
fn replay(seed: u64) -> String {
    let after = seed + 1;
    format!("seed {seed} fails. Again: make sim SEEDS={seed}..{after} (where its threads must meet just so: TIMES=100)")
}

/// What a trial failed with.
pub(crate) fn caught(trial: impl FnOnce()) -> Result<(), String> {
    catch_unwind(AssertUnwindSafe(trial)).map_err(|panic| said(&*panic))
}

fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
}

#[test]
fn the_seed_that_fails_is_named_with_the_way_to_replay_it() {
    let seeds = seeds();
    let unlucky = seeds.end - 1;
    let said = caught(|| every_seed(|seed| assert_ne!(seed, unlucky, "a thing went wrong")));
    let said = said.expect_err("one seed fails");
    assert!(said.contains("a thing went wrong"), "{said}");
    assert!(said.contains(&format!("make sim SEEDS={unlucky}..{}", seeds.end)), "{said}");
}
