//! `piton run`: starts a run.
//!
//! Owns turning the runbook's signature into flags, and creating the run with its snapshot. Never drives it: `engine`
//! does.

use crate::args::{self, RunArgs};
use crate::commands::engine::{self, Driven, Waiting};
use crate::error::{CliError, Kind};
use crate::exit::Exit;
use crate::print;
use crate::project::{self, Tree};
use crate::ui::Screen;
use crate::wire::Wire;
use crate::world;
use clap::{Arg, ArgAction, ArgMatches, Command};
use piton_core::Value;
use piton_core::event::{Attach, FORMAT, RunStarted};
use piton_core::ids::{Actor, RunId};
use piton_core::ports::{Clock as _, NewRun, Store as _};
use piton_core::request::FieldType;
use piton_lang::Runbook;
use std::path::PathBuf;
use std::sync::Arc;

/// `run`'s own flags; a parameter of one of these names is given as `--param NAME=VALUE`.
const OWN_FLAGS: [&str; 6] = ["json", "detach", "as", "accept", "param", "help"];

pub(crate) fn run(args: RunArgs) -> Result<Exit, CliError> {
    let Some(file) = runbook_among(&args.rest) else {
        return Ok(no_runbook(&args.rest));
    };
    let (root, below) = project::locate(&file)
        .map_err(|error| CliError::new(Kind::File, format!("{} cannot be read", file.display())).source(error))?;
    let tree = Arc::new(Tree::new(root.clone()));
    let runbook = Runbook::load(tree.clone(), &below).map_err(|diagnostics| CliError::runbook(&below, &diagnostics))?;

    let matches = match command_of(&runbook, &file.to_string_lossy()).try_get_matches_from(&args.rest) {
        Ok(matches) => matches,
        Err(error) => return Ok(args::said(&error)),
    };
    let params = params_of(&runbook, &matches)?;
    let by = world::actor(matches.get_one::<String>("as").map(String::as_str));

    let mut wire = Wire::open()?;
    wire.survival.accept(matches.get_flag("accept"));
    wire.survival.check(&runbook, None)?;
    let sources: Vec<String> = runbook.sources().map(|(path, _)| path.to_owned()).collect();
    let files = tree.snapshot(&sources, &runbook.scripts())?;
    let id = RunId::from_random(world::random() as u64);
    let title = runbook.interface().title.clone();
    let new = NewRun {
        id: id.clone(),
        title: title.clone(),
        created_at_us: wire.clock.now().wall_us,
        by: by.clone(),
        sources: files.clone(),
    };
    wire.store.create_run(&new)?;
    let start = RunStarted {
        format: FORMAT,
        run: id.clone(),
        runbook: project::describe(&root, &below, &title, &files),
        params,
        by: by.clone(),
        piton: world::VERSION.to_owned(),
        plan: None,
        rehearsal: None,
    };
    start_run(&wire, id, start, root, by, &matches)
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
    let program = wire.program_of(&run, &start)?;
    if matches.get_flag("detach") {
        // The first records are made here, so that a run that was announced exists; the rest happens behind.
        engine::announce(wire, lease, program, start, by)?;
        engine::spawn_detached(wire, &run)?;
        print::line(&format!("run {run} goes on in the background; follow it: piton watch {}", run.short()));
        return Ok(Exit::Done);
    }
    let screen = Arc::new(Screen::foreground(matches.get_flag("json")));
    let driven = Driven {
        run,
        lease,
        attach: Attach::Started,
        by: Some(by),
        program,
        root,
        start: Some(start),
        waiting: Waiting::Stays,
    };
    engine::drive(wire, driven, screen)
}

/// The first word that is no flag, and not the value of one of ours.
fn runbook_among(rest: &[String]) -> Option<PathBuf> {
    let mut skip = false;
    for word in rest {
        if std::mem::take(&mut skip) {
            continue;
        }
        match word.as_str() {
            "--as" | "--param" => skip = true,
            flag if flag.starts_with('-') => {}
            file => return Some(PathBuf::from(file)),
        }
    }
    None
}

fn no_runbook(rest: &[String]) -> Exit {
    let command = own_flags(Command::new("run").bin_name("piton run").about("Start a run in the foreground"))
        .arg(Arg::new("FILE").required(true).help("The runbook; `piton run FILE --help` shows its own parameters"));
    let words = std::iter::once("run".to_owned()).chain(rest.iter().cloned());
    match command.try_get_matches_from(words) {
        Err(error) => args::said(&error),
        Ok(_) => Exit::Wrong,
    }
}

fn own_flags(command: Command) -> Command {
    command
        .arg(
            Arg::new("json")
                .long("json")
                .action(ArgAction::SetTrue)
                .help("One JSON record per line on standard output"),
        )
        .arg(Arg::new("detach").long("detach").action(ArgAction::SetTrue).help("Go on in the background"))
        .arg(
            Arg::new("as")
                .long("as")
                .value_name("NAME")
                .help("Who starts it, for the receipt; the operating system's account is recorded beside it"),
        )
        .arg(
            Arg::new("accept")
                .long("accept")
                .action(ArgAction::SetTrue)
                .help("Open windows even where commands and watchdogs end with this engine, as in a systemd service"),
        )
        .arg(
            Arg::new("param")
                .long("param")
                .value_name("NAME=VALUE")
                .action(ArgAction::Append)
                .help("A parameter whose name is a flag of piton's own"),
        )
}

/// The signature as flags.
fn command_of(runbook: &Runbook, file: &str) -> Command {
    let interface = runbook.interface();
    let about = interface.summary.clone().unwrap_or_else(|| interface.title.clone());
    let mut command =
        own_flags(Command::new("run").bin_name(format!("piton run {file}")).about(about).no_binary_name(true))
            .override_usage(format!("piton run {file} [--PARAM VALUE]..."))
            .arg(Arg::new("FILE").required(true).hide(true))
            .next_help_heading("Parameters");
    for param in &interface.params {
        let flag = flag_of(&param.name);
        if OWN_FLAGS.contains(&flag.as_str()) {
            continue;
        }
        let mut help = param.doc.clone().unwrap_or_default();
        if let Some(default) = &param.default {
            help = format!("{help} [default: {default}]").trim_start().to_owned();
        }
        let mut arg = Arg::new(param.name.clone()).long(flag).help(help).allow_hyphen_values(true);
        arg = match &param.ty {
            FieldType::Bool => {
                arg.num_args(0..=1).require_equals(true).default_missing_value("true").value_name("BOOL")
            }
            FieldType::List(_) => arg.action(ArgAction::Append).value_name("VALUE"),
            FieldType::Enum { values, .. } => arg.value_name(values.join("|")),
            FieldType::Secret => arg.value_name("env:NAME|file:PATH|cmd:COMMAND"),
            kind => arg.value_name(kind.to_string().to_uppercase()),
        };
        command = command.arg(arg);
    }
    command
}

fn flag_of(name: &str) -> String {
    name.replace('_', "-")
}

fn params_of(runbook: &Runbook, matches: &ArgMatches) -> Result<Vec<(String, Value)>, CliError> {
    let mut given: Vec<(String, Vec<String>)> = Vec::new();
    for pair in matches.get_many::<String>("param").into_iter().flatten() {
        let (name, value) = pair.split_once('=').ok_or_else(|| {
            CliError::new(Kind::Parameter, format!("--param {pair} is not NAME=VALUE"))
                .hint("for example --param plan=blue")
        })?;
        given.push((name.to_owned(), vec![value.to_owned()]));
    }
    let mut params = Vec::new();
    let mut missing = Vec::new();
    for param in &runbook.interface().params {
        let flags = matches.try_get_many::<String>(&param.name).ok().flatten();
        let mut texts: Vec<String> = flags.map(|texts| texts.cloned().collect()).unwrap_or_default();
        texts.extend(given.extract_if(.., |(name, _)| *name == param.name).flat_map(|(_, texts)| texts));
        let value = match (texts.is_empty(), &param.default) {
            (false, _) => runbook
                .parse_param(&param.name, &one_text(texts))
                .map_err(|error| parameter(&param.name, &param.ty, &error.message))?,
            (true, Some(default)) => default.clone(),
            (true, None) => {
                missing.push(format!("--{} {}", flag_of(&param.name), param.doc.as_deref().unwrap_or_default()));
                continue;
            }
        };
        params.push((param.name.clone(), value));
    }
    if let Some((unknown, _)) = given.first() {
        return Err(CliError::new(Kind::Parameter, format!("the runbook has no parameter \"{unknown}\"")));
    }
    if !missing.is_empty() {
        let plural = if missing.len() == 1 { "a parameter is" } else { "parameters are" };
        let error = CliError::new(Kind::Parameter, format!("{plural} missing"));
        return Err(missing.into_iter().fold(error, |error, flag| error.hint(format!("missing: {}", flag.trim_end()))));
    }
    Ok(params)
}

/// A flag given several times is a list.
fn one_text(mut texts: Vec<String>) -> String {
    if texts.len() == 1 { texts.remove(0) } else { serde_json::to_string(&texts).unwrap_or_default() }
}

fn parameter(name: &str, kind: &FieldType, why: &str) -> CliError {
    let code = if *kind == FieldType::Secret { Kind::PlainSecret } else { Kind::Parameter };
    CliError::new(code, format!("--{}: {why}", flag_of(name)))
}
