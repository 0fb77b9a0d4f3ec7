//! `piton run`: starts a run.
//!
//! Owns creating the run with its snapshot, bound to a plan where one is given. Never drives it: `engine` does.

use crate::args::RunArgs;
use crate::commands::call::{Call, Verb, param_flag};
use crate::commands::engine::{self, Driven, Waiting};
use crate::commands::plan;
use crate::commands::waker;
use crate::error::CliError;
use crate::exit::Exit;
use crate::print;
use crate::project;
use crate::ui::Screen;
use crate::wire::{PLAN_SOURCE, Wire};
use crate::world;
use clap::{Arg, ArgAction, ArgMatches};
use piton_core::event::{Attach, FORMAT, Rehearsal, RunStarted};
use piton_core::ids::{Actor, RunId};
use piton_core::ports::{Clock as _, NewRun, Store as _};
use std::path::PathBuf;
use std::sync::Arc;

const VERB: Verb = Verb { name: "run", about: "Start a run in the foreground", flags };

fn flags() -> Vec<Arg> {
    vec![
        Arg::new("json").long("json").action(ArgAction::SetTrue).help("One JSON record per line on standard output"),
        Arg::new("detach").long("detach").action(ArgAction::SetTrue).help("Go on in the background"),
        Arg::new("plan").long("plan").value_name("PLANFILE").help(
            "Do only what this plan allows, and hold where the runbook wants something else; parameters are the \
                   plan's",
        ),
        Arg::new("as")
            .long("as")
            .value_name("NAME")
            .help("Who starts it, for the receipt; the operating system's account is recorded beside it"),
        Arg::new("rehearse")
            .long("rehearse")
            .value_name("forward|back")
            .value_parser(["forward", "back"])
            .hide_possible_values(true)
            .help("A rehearsal on stand-in systems: forward as any run, or back at its window's commit point"),
        Arg::new("accept")
            .long("accept")
            .action(ArgAction::SetTrue)
            .help("Open windows even where commands and watchdogs end with this engine, as in a systemd service"),
        param_flag(),
    ]
}

pub(crate) fn run(args: RunArgs) -> Result<Exit, CliError> {
    let call = match Call::of(&VERB, &args.rest)? {
        Ok(call) => call,
        Err(exit) => return Ok(exit),
    };
    let approved = call.matches.get_one::<String>("plan").map(|file| plan::approved(file.as_ref())).transpose()?;
    let params = call.params(approved.as_ref().map_or(&[], |plan| &plan.params))?;
    let files = call.snapshot()?;
    let title = call.runbook.interface().title.clone();
    let runbook = project::describe(&call.root, &call.below, &title, &files);
    if let Some(plan) = &approved {
        plan::check_bound(plan, &runbook, &params)?;
    }
    let by = world::actor(call.matches.get_one::<String>("as").map(String::as_str));

    let mut wire = waker::open()?;
    wire.survival.accept(call.matches.get_flag("accept"));
    wire.survival.check(&call.runbook, None)?;
    let id = RunId::from_random(world::random() as u64);
    let mut sources = files;
    // Beside the snapshot, where every engine of this run finds it.
    sources.extend(approved.as_ref().map(|plan| (PLAN_SOURCE.to_owned(), plan::bytes(plan), false)));
    let (created_at_us, parent) = (wire.clock.now().wall_us, None);
    let new = NewRun {
        id: id.clone(),
        title,
        created_at_us,
        by: by.clone(),
        parent,
        rehearsal: rehearsal(&call.matches),
        sources,
    };
    wire.store.create_run(&new)?;
    let start = RunStarted {
        format: FORMAT,
        run: id.clone(),
        runbook,
        params,
        by: by.clone(),
        piton: world::VERSION.to_owned(),
        plan: approved.as_ref().map(piton_core::plan::Plan::digest),
        rehearsal: rehearsal(&call.matches),
        parent: None,
    };
    start_run(&wire, id, start, call.root, by, &call.matches)
}

fn rehearsal(matches: &ArgMatches) -> Option<Rehearsal> {
    matches.get_one::<String>("rehearse").map(|how| if how == "back" { Rehearsal::Back } else { Rehearsal::Forward })
}

fn start_run(
    wire: &Wire,
    run: RunId,
    start: RunStarted,
    root: PathBuf,
    by: Actor,
    matches: &ArgMatches,
) -> Result<Exit, CliError> {
    let lease = engine::take_lease(wire, &run)?;
    let program = wire.program_of(&run, &start.runbook)?;
    let driven = Driven {
        run,
        lease,
        attach: Attach::Started,
        by: Some(by),
        program,
        root,
        known: None,
        start: Some(start),
        edit: None,
        waiting: Waiting::Stays,
    };
    if matches.get_flag("detach") {
        // The first records are made here, so that a run that was announced exists; the rest happens behind.
        let run = driven.run.clone();
        engine::announce(wire, driven)?;
        engine::spawn_detached(wire, &run)?;
        print::line(&format!("run {run} goes on in the background; follow it: piton watch {}", run.short()));
        return Ok(Exit::Done);
    }
    let screen = Arc::new(Screen::foreground(matches.get_flag("json")));
    engine::drive(wire, driven, screen)
}
