//! `piton plan`: what a runbook would do, without doing it.
//!
//! Owns making a plan, reading and writing plan files, and whether one still belongs to a runbook. What a plan says is
//! `core`'s, how it is made `engine`'s, how it looks `ui`'s. Writes nothing but the plan; a store is only looked into, for
//! what earlier runs took, and none is made.

use crate::args::RunArgs;
use crate::commands::call::{Call, Verb, param_flag};
use crate::error::{CliError, Kind};
use crate::exit::Exit;
use crate::print;
use crate::project::{self, SourceFile};
use crate::ui::plan as page;
use crate::ui::text::{count, printable};
use crate::wire::{self, Wire};
use crate::world::{self, SystemClock};
use clap::{Arg, ArgAction};
use piton_core::event::Runbook as Described;
use piton_core::plan::estimate::{Estimate, estimate};
use piton_core::plan::{Entry, FORMAT, Plan, PlannedRunbook, compare};
use piton_core::ports::{Cancel, Clock};
use piton_core::{Digest, Value};
use piton_engine::plan::{NoPlan, NothingKnown, Oracle, Planning, entries};
use piton_lang::Runbook;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::path::Path;
use std::sync::Arc;

const VERB: Verb = Verb { name: "plan", about: "Show what a runbook would do; only reads are performed", flags };

fn flags() -> Vec<Arg> {
    vec![
        Arg::new("output").short('o').long("output").value_name("PLANFILE").help("Write the plan to this file"),
        Arg::new("offline").long("offline").action(ArgAction::SetTrue).help("Read nothing either"),
        Arg::new("against")
            .long("against")
            .value_name("PLANFILE")
            .help("Show only what differs from this plan; exit code 1 where something does"),
        Arg::new("full")
            .long("full")
            .action(ArgAction::SetTrue)
            .help("Each step with its place, conditions and undo, nothing left out"),
        Arg::new("json").long("json").action(ArgAction::SetTrue).help("The plan, or what differs, as JSON"),
        param_flag(),
    ]
}

pub(crate) fn run(args: RunArgs) -> Result<Exit, CliError> {
    let call = match Call::of(&VERB, &args.rest)? {
        Ok(call) => call,
        Err(exit) => return Ok(exit),
    };
    let flag = |name: &str| call.matches.get_flag(name);
    let file = |name: &str| call.matches.get_one::<String>(name).map(Path::new);
    let old = file("against").map(read).transpose()?;
    let params = call.params(&[])?;
    let plan = make(&call, params, flag("offline"))?;
    if let Some(output) = file("output") {
        std::fs::write(output, bytes(&plan)).map_err(|error| {
            CliError::new(Kind::File, format!("{} cannot be written", output.display())).source(error)
        })?;
    }
    if let Some(old) = old {
        let changes = compare(&old, &plan);
        print::out(&match flag("json") {
            true => format!("{:#}\n", page::changes_json(&old, &plan, &changes)),
            false => page::changes(&old, &plan, &changes),
        });
        return Ok(if changes.is_empty() { Exit::Done } else { Exit::Failed });
    }
    let estimate = estimated(&plan);
    if flag("json") {
        let told = estimate.as_ref().map(|estimate| crate::ui::estimate::json(&plan, estimate));
        print::out_bytes(&file_bytes(&plan, told));
    } else {
        print::out(&page::page(&plan, estimate.as_ref(), flag("full")));
    }
    if let Some(output) = file("output") {
        print::note(&format!("the plan is in {}; run it: piton run {} --plan {0}", output.display(), call.below));
    }
    Ok(Exit::Done)
}

/// The plan of a run with these parameters.
fn make(call: &Call, params: Vec<(String, Value)>, offline: bool) -> Result<Plan, CliError> {
    let files = call.snapshot()?;
    let title = call.runbook.interface().title.clone();
    let described = project::describe(&call.root, &call.below, &title, &files);
    let what = Planned { runbook: &call.runbook, described: &described, files: &files, params: &params };
    let entries = what.entries(offline, Arc::new(NothingKnown))?;
    let runbook = PlannedRunbook { title, file: described.file, digest: described.digest, sources: described.sources };
    Ok(Plan { format: FORMAT, runbook, params, piton: world::VERSION.to_owned(), offline, entries })
}

/// How long it will take, where earlier runs tell. Without a store that can be read, nobody tells, and the plan is as good.
fn estimated(plan: &Plan) -> Option<Estimate> {
    let PlannedRunbook { title, file, .. } = &plan.runbook;
    let past = match Wire::open_existing() {
        Ok(None) => return None,
        Ok(Some(wire)) => crate::past::read(&wire.store, title, file, None),
        Err(error) => Err(error),
    };
    match past {
        Ok(past) => estimate(plan, &past),
        Err(error) => {
            print::note(&format!("nothing is estimated from past runs: {}", error.message));
            None
        }
    }
}

/// A runbook to plan.
pub(super) struct Planned<'a> {
    pub(super) runbook: &'a Runbook,
    pub(super) described: &'a Described,
    pub(super) files: &'a [SourceFile],
    pub(super) params: &'a [(String, Value)],
}

impl Planned<'_> {
    pub(super) fn entries(&self, offline: bool, oracle: Arc<dyn Oracle>) -> Result<Vec<Entry>, CliError> {
        let file = &self.described.file;
        let program = self.runbook.planning().map_err(|diagnostics| CliError::runbook(file, &diagnostics))?;
        let root = Path::new(&self.described.root);
        let place = Place::new(self.files)?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let mut key = [0; 32];
        // Nothing is kept of what is hashed with it.
        key[..16].copy_from_slice(&world::random().to_ne_bytes());
        let (vault, executor) = wire::hands(root, key, clock);
        let cancel = Cancel::new();
        end_on_interrupt(cancel.clone())?;
        let planning = Planning {
            program: Arc::new(program),
            params: self.params.to_vec(),
            executor,
            vault,
            run_dir: place.0.path().to_path_buf(),
            root: root.to_path_buf(),
            offline,
            oracle,
            cancel,
        };
        entries(planning).map_err(|why| match why {
            NoPlan::Program(diagnostic) => {
                CliError { detail: Some(diagnostic), ..CliError::new(Kind::Runbook, "the runbook has an error") }
            }
            NoPlan::Cancelled => CliError::new(Kind::Usage, "interrupted: there is no plan"),
            NoPlan::Broken(why) => CliError::new(Kind::Bug, why),
        })
    }
}

/// Ctrl-C ends what is being read.
fn end_on_interrupt(cancel: Cancel) -> Result<(), CliError> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])
        .map_err(|error| CliError::new(Kind::EngineNotStarted, "signals cannot be followed").source(error))?;
    std::thread::spawn(move || {
        if signals.forever().next().is_some() {
            cancel.fire("interrupted");
        }
    });
    Ok(())
}

/// A temporary directory for what reads leave behind, with the snapshot.
struct Place(tempfile::TempDir);

impl Place {
    fn new(files: &[SourceFile]) -> Result<Self, CliError> {
        let no_place = |error: std::io::Error| {
            CliError::new(Kind::File, "there is no temporary directory to plan in").source(error)
        };
        let dir = tempfile::Builder::new().prefix("piton-plan-").tempdir().map_err(no_place)?;
        project::materialise(dir.path(), files).map_err(no_place)?;
        Ok(Self(dir))
    }
}

/// A plan as its file has it.
pub(crate) fn bytes(plan: &Plan) -> Vec<u8> {
    file_bytes(plan, None)
}

fn file_bytes(plan: &Plan, estimate: Option<serde_json::Value>) -> Vec<u8> {
    let file = PlanFile { digest: plan.digest(), plan: plan.clone(), estimate };
    let mut bytes = serde_json::to_vec_pretty(&file).unwrap_or_default();
    bytes.push(b'\n');
    bytes
}

/// A plan with the hash that whoever approves it names.
#[derive(serde::Serialize, serde::Deserialize)]
struct PlanFile {
    digest: Digest,
    #[serde(flatten)]
    plan: Plan,
    /// Only shown: a plan says what will be done, not how long it takes today.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    estimate: Option<serde_json::Value>,
}

/// The plan of a file's bytes.
pub(crate) fn parse(bytes: &[u8], name: &str) -> Result<Plan, CliError> {
    let wrong = || CliError::new(Kind::BadPlan, format!("{name} is no plan"));
    let value: serde_json::Value = serde_json::from_slice(bytes).map_err(|error| wrong().source(error))?;
    if let Some(format) = value.get("format").and_then(serde_json::Value::as_u64).filter(|it| *it > FORMAT.into()) {
        return Err(CliError::new(Kind::BadPlan, format!("{name} was written by a newer version of Piton"))
            .hint(format!("its format is {format}, this version knows up to {FORMAT}: use that version")));
    }
    let file: PlanFile = serde_json::from_value(value).map_err(|error| wrong().source(error))?;
    if file.plan.digest() != file.digest {
        return Err(CliError::new(Kind::BadPlan, format!("{name} was changed after it was made"))
            .hint("its hash is of other steps than it has; make it again: piton plan"));
    }
    Ok(file.plan)
}

fn read(file: &Path) -> Result<Plan, CliError> {
    let name = file.display().to_string();
    let bytes = std::fs::read(file)
        .map_err(|error| CliError::new(Kind::File, format!("{name} cannot be read")).source(error))?;
    parse(&bytes, &name)
}

/// The plan that a run is to be bound to.
pub(super) fn approved(file: &Path) -> Result<Plan, CliError> {
    read(file)
}

/// Whether a run of this runbook with these parameters is what was planned.
pub(super) fn check_bound(plan: &Plan, runbook: &Described, params: &[(String, Value)]) -> Result<(), CliError> {
    let again = "make a new plan and review what differs: piton plan FILE --against PLANFILE";
    if plan.runbook.digest != runbook.digest || plan.runbook.file != runbook.file {
        let error = CliError::new(Kind::BadPlan, "the plan is of another runbook than this one is now");
        let changed = changed_files(&plan.runbook.sources, &runbook.sources);
        return Err(changed.into_iter().fold(error, CliError::hint).hint(again));
    }
    let other: Vec<&str> =
        params.iter().filter(|param| !plan.params.contains(param)).map(|(name, _)| name.as_str()).collect();
    if !other.is_empty() {
        let names = other.join(", ");
        return Err(CliError::new(Kind::BadPlan, format!("the plan was made with another value of {names}"))
            .hint("leave the parameters out: the plan's are taken")
            .hint(again));
    }
    Ok(())
}

fn changed_files(was: &[(String, Digest)], now: &[(String, Digest)]) -> Vec<String> {
    let mut lines = Vec::new();
    for (path, digest) in now {
        match was.iter().find(|(known, _)| known == path) {
            None => lines.push(format!("{} is new", printable(path))),
            Some((_, known)) if known != digest => lines.push(format!("{} has changed", printable(path))),
            Some(_) => {}
        }
    }
    let gone = was.iter().filter(|(path, _)| !now.iter().any(|(known, _)| known == path));
    lines.extend(gone.map(|(path, _)| format!("{} is gone", printable(path))));
    if lines.len() > 5 {
        let more = lines.len() - 5;
        lines.truncate(5);
        lines.push(format!("and {}", count(more as u64, "more file")));
    }
    lines
}
