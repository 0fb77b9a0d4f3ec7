//! `make chaos-move`: a live move there and back, in which engine, mover, gate, source and target are killed.
//!
//! Owns the order of the campaign and its verdict. Everything is a real process and every kill is SIGKILL: at named points of
//! the cutover, where the mover stands still meanwhile, and at random instants of the whole run, from a seed that is printed
//! (`PITON_SEED` tries it again). What it starts, it ends. Never touches a system service.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod judge;
mod kills;
mod piton;
mod report;
mod strike;
mod world;

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use judge::Outcome;
use kills::{Kill, Victim, When};
use piton::Piton;
use report::Report;
use strike::Field;
use world::World;

pub(super) type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const BOOK: &str = include_str!("book.star");
/// D and the time to drain within it: the product's own, and for a debug build, which is ten times slower.
const USUAL: (&str, &str, Duration) = ("800ms", "300ms", Duration::from_millis(800));
const SLOW: (&str, &str, Duration) = ("4s", "2s", Duration::from_secs(4));
const RANDOM: usize = 40;
const FEW_RANDOM: usize = 2;
/// A chain of moves there and back begins anew after so many, so that copying is tried under the later kills as well.
const CHAIN: usize = 8;

/// The whole campaign, or a few kills of it.
pub(crate) fn main(few: bool) -> ExitCode {
    match campaign(few) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("\nchaos-move: {error}");
            ExitCode::FAILURE
        }
    }
}

fn campaign(few: bool) -> Result<bool> {
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM, signal_hook::consts::SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(&interrupted))?;
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().ok_or("xtask has no parent folder")?;
    let folder = root.join("target/chaos-move");
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    std::fs::create_dir_all(&folder)?;
    let (binary, debug) = binary(root)?;
    let (deadline, drain, span) = if debug { SLOW } else { USUAL };
    let seed = match std::env::var("PITON_SEED") {
        Ok(text) => text.parse().map_err(|_| format!("PITON_SEED wants a number, not {text}"))?,
        Err(_) => u64::from(std::process::id()),
    };
    println!("D = {deadline}, drain {drain}; random kills from seed {seed} (PITON_SEED={seed} tries them again)");
    let mut kills = if few { kills::few() } else { kills::named() };
    kills.extend(kills::random(if few { FEW_RANDOM } else { RANDOM }, seed));
    if let Ok(word) = std::env::var("PITON_CHAOS") {
        kills.retain(|kill| kill.to_string().contains(&word));
    }
    let piton = Piton::new(&binary, &folder, deadline, drain)?;
    let mut world = World::start(&folder, &binary, deadline)?;
    let mut field = Field { world: &mut world, piton: &piton, folder: &folder, deadline: span };
    let report = strike_all(&mut field, &kills, &interrupted, Report::new(seed, span))?;
    piton.sweep();
    report.write(&root.join("target/chaos-move.json"))?;
    Ok(report.print(kills.len()))
}

/// Release binaries, unless PITON_DEMO_BINARIES names a folder that has others; and whether they are a debug build.
fn binary(root: &Path) -> Result<(PathBuf, bool)> {
    let folder = std::env::var_os("PITON_DEMO_BINARIES").map_or_else(|| root.join("target/release"), PathBuf::from);
    let binary = std::path::absolute(folder.join("piton"))?;
    if !binary.is_file() {
        return Err(format!("{} is not there: cargo build --release -p piton-cli", binary.display()).into());
    }
    // A build says nowhere what it is; its folder does.
    let debug = folder.file_name().is_some_and(|name| name == "debug");
    Ok((binary, debug))
}

/// Where a chain stands: which epoch is next, and how many runs it has had.
struct Chain {
    epoch: u64,
    runs: usize,
}

/// A cutover that goes back each time, as a busy machine lets none be in time, never comes to a late point: the kill is
/// tried again, so often.
const TRIES: u32 = 3;

fn strike_all(field: &mut Field<'_>, kills: &[Kill], interrupted: &AtomicBool, mut report: Report) -> Result<Report> {
    field.world.begin_chain(0)?;
    let length = field.undisturbed(1)?;
    println!("undisturbed, a run takes {:.1} s", length.as_secs_f64());
    report.length_ms = length.as_millis();
    let mut first = field.world.place(1);
    let mut chain: Option<Chain> = None;
    let mut left: VecDeque<(usize, Kill, u32)> =
        kills.iter().enumerate().map(|(at, kill)| (at + 1, *kill, 1)).collect();
    while let Some((number, kill, tries)) = left.pop_front() {
        if interrupted.load(Ordering::SeqCst) {
            // What was seen so far is told; that it is not all makes it a failure.
            println!("interrupted");
            break;
        }
        // A random instant is one of a whole run, which only the first of a chain is.
        let whole = matches!(kill.when, When::Instant(_));
        let Chain { epoch, runs } = match chain.take().filter(|chain| chain.runs < CHAIN && !whole) {
            Some(chain) => chain,
            None => {
                field.world.begin_chain(first)?;
                Chain { epoch: 1, runs: 0 }
            }
        };
        let began = Instant::now();
        let struck = match field.strike(kill, epoch, length) {
            Ok(struck) => struck,
            Err(error) => {
                field.piton.sweep();
                field.world.revive()?;
                if error.is::<strike::NeverCame>() && tries < TRIES {
                    println!("{number:>3}  {kill}: {error}; once more");
                    left.push_front((number, kill, tries + 1));
                } else {
                    report.broken(number, kill, epoch, &error.to_string(), began.elapsed());
                }
                continue;
            }
        };
        let failures = judge::failures(&struck.seen);
        let outcome = judge::outcome(&struck.seen);
        report.add(number, &struck, outcome, failures.clone());
        let truth = struck.seen.truth.unwrap_or(0);
        first = field.world.place(truth);
        // A mover does not go on from a source that was another life ago.
        let lives = match outcome {
            Outcome::Moved => struck.seen.way_back && kill.victim != Victim::Target,
            Outcome::Back => kill.victim != Victim::Source,
            Outcome::Neither => false,
        };
        chain = (lives && failures.is_empty()).then_some(Chain { epoch: truth + 1, runs: runs + 1 });
    }
    Ok(report)
}
