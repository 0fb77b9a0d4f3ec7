//! The command line's shape: every command and flag, and which file each command is in.
//!
//! Owns parsing. A runbook's own parameters are parsed by `commands::run`, once the runbook is loaded.

mod gate;
mod mover;

use crate::commands;
use crate::error::{CliError, Kind};
use crate::exit::Exit;
use crate::print;
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

pub(crate) use gate::{BackendsArgs, ControlArgs, GateArgs, GateCommand, HoldArgs, OutsideArgs, ServeArgs, StatusArgs};
pub(crate) use mover::{CutArgs, CutoverArgs, MoveArgs, MoveCommand, MoverArgs, SidesArgs};

#[derive(Parser)]
#[command(
    name = "piton",
    version,
    about = "Durable, dynamic runbooks: programs of steps that change live systems",
    after_help = "RUN may be a unique prefix of a run's id, or @last. Runs live in .piton/ here or above, or in $PITON_HOME.",
    disable_help_subcommand = true
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start a run in the foreground; `piton run FILE --help` shows the runbook's own parameters
    #[command(disable_help_flag = true)]
    Run(RunArgs),
    /// Show what a runbook would do; only reads are performed. `piton plan FILE --help` shows its parameters
    #[command(disable_help_flag = true)]
    Plan(RunArgs),
    /// Check runbooks without running anything: syntax, types, names
    Check(CheckArgs),
    /// Print a runbook's documentation as Markdown
    Docs(FileArgs),
    /// Go on with a run that was interrupted, paused or held
    Resume(ResumeArgs),
    /// Take back what a run has done
    Undo(UndoArgs),
    /// End a run where it is; what was done stays
    Abort(DecideArgs),
    /// Approve, or reject, what a run asks
    Approve(ApproveArgs),
    /// Answer what a run asks, or say that a manual step is done
    Answer(AnswerArgs),
    /// List runs
    Runs(JsonArgs),
    /// Show a run
    Show(ShowArgs),
    /// Follow a run from another terminal
    Watch(WatchArgs),
    /// List the locks that runs hold and wait for, or take one away
    Locks(LocksArgs),
    /// Print a run's events, or a step's output
    Logs(LogsArgs),
    /// Write a run's signed receipt
    Receipt(ReceiptArgs),
    /// Verify a receipt, offline
    Verify(VerifyArgs),
    /// Proxy a service's MySQL connections, so that they can be held, switched to another server and released
    Gate(Box<GateArgs>),
    /// Move live tables to another server, compare both sides, and cut over with a short pause
    Move(MoveArgs),
    /// Start engines for parked runs when they are due, until it is ended: for systemd or cron's @reboot
    Waker,
    /// Print a shell's completion script
    Completions { shell: clap_complete::Shell },

    #[command(name = "__engine", hide = true)]
    Engine { run: String },
    #[command(name = "__waker", hide = true)]
    ParkedWaker,
    #[command(name = "__watchdog", hide = true)]
    Watchdog { run: String, engine_pid: u32 },
}

#[derive(Args)]
pub(crate) struct RunArgs {
    /// The runbook, its parameters, and the command's own flags
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "FILE [--PARAM VALUE]...")]
    pub(crate) rest: Vec<String>,
}

#[derive(Args)]
pub(crate) struct CheckArgs {
    #[arg(required = true)]
    pub(crate) files: Vec<PathBuf>,
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args)]
pub(crate) struct FileArgs {
    pub(crate) file: PathBuf,
}

#[derive(Args)]
pub(crate) struct ResumeArgs {
    pub(crate) run: String,
    /// Try again what failed: STEP, or everything that failed
    #[arg(long, num_args = 0..=1, value_name = "STEP", default_missing_value = "")]
    pub(crate) retry: Option<String>,
    /// Go past a step, or on although a guard fails, with --reason
    #[arg(long, value_name = "STEP", requires = "reason")]
    pub(crate) waive: Option<String>,
    /// A step whose outcome nobody knows did happen
    #[arg(long, value_name = "STEP")]
    pub(crate) done: Option<String>,
    /// A step whose outcome nobody knows did not happen: perform it
    #[arg(long, value_name = "STEP")]
    pub(crate) not_done: Option<String>,
    /// Go on with the runbook as this file has it now
    #[arg(long, value_name = "FILE")]
    pub(crate) edited: Option<PathBuf>,
    /// With --edited: show what the edit means for the run, and do nothing
    #[arg(long, requires = "edited")]
    pub(crate) plan: bool,
    /// With --edited: steps that are done and no longer in the runbook stay done
    #[arg(long, requires = "edited")]
    pub(crate) keep_orphans: bool,
    /// Keep what a step did, although the runbook asks for something else now
    #[arg(long, value_name = "STEP")]
    pub(crate) keep: Vec<String>,
    /// Take a step back, and what came after it, and do it anew
    #[arg(long, value_name = "STEP")]
    pub(crate) redo: Vec<String>,
    /// Perform a step that the run's plan excludes, with --reason
    #[arg(long, value_name = "STEP", requires = "reason")]
    pub(crate) depart: Option<String>,
    /// Why, for the receipt
    #[arg(long)]
    pub(crate) reason: Option<String>,
    /// Who decides, for the receipt; the operating system's account is recorded beside it
    #[arg(long = "as", value_name = "NAME")]
    pub(crate) actor: Option<String>,
    /// Open windows even where commands and watchdogs end with this engine, as in a systemd service
    #[arg(long)]
    pub(crate) accept: bool,
    /// Go on in the background
    #[arg(long)]
    pub(crate) detach: bool,
    /// One JSON record per line on standard output
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args)]
pub(crate) struct UndoArgs {
    pub(crate) run: String,
    /// Take back only this scope or step
    #[arg(long, value_name = "PATH")]
    pub(crate) to: Option<String>,
    /// Show what would be taken back, and do nothing
    #[arg(long)]
    pub(crate) plan: bool,
    #[arg(long)]
    pub(crate) reason: Option<String>,
    #[arg(long = "as", value_name = "NAME")]
    pub(crate) actor: Option<String>,
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args)]
pub(crate) struct DecideArgs {
    pub(crate) run: String,
    #[arg(long)]
    pub(crate) reason: Option<String>,
    #[arg(long = "as", value_name = "NAME")]
    pub(crate) actor: Option<String>,
}

#[derive(Args)]
pub(crate) struct ApproveArgs {
    pub(crate) run: String,
    /// Which question, where the run asks more than one
    pub(crate) step: Option<String>,
    #[arg(long)]
    pub(crate) reject: bool,
    #[arg(long)]
    pub(crate) reason: Option<String>,
    #[arg(long = "as", value_name = "NAME")]
    pub(crate) actor: Option<String>,
}

#[derive(Args)]
pub(crate) struct AnswerArgs {
    pub(crate) run: String,
    pub(crate) step: String,
    #[arg(value_name = "FIELD=VALUE", required_unless_present = "done")]
    pub(crate) fields: Vec<String>,
    /// A manual step is done
    #[arg(long)]
    pub(crate) done: bool,
    #[arg(long)]
    pub(crate) reason: Option<String>,
    #[arg(long = "as", value_name = "NAME")]
    pub(crate) actor: Option<String>,
}

#[derive(Args)]
pub(crate) struct JsonArgs {
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args)]
pub(crate) struct ShowArgs {
    pub(crate) run: String,
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args)]
pub(crate) struct WatchArgs {
    pub(crate) run: String,
    /// One JSON record per line
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct LocksArgs {
    #[command(subcommand)]
    pub(crate) command: Option<LocksCommand>,
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Subcommand)]
pub(crate) enum LocksCommand {
    /// Take a lock away from the run that holds it; that run holds before its next step
    Break(BreakArgs),
}

#[derive(Args)]
pub(crate) struct BreakArgs {
    /// The lock's name
    pub(crate) name: String,
    /// Why, for the receipt of the run that holds it
    #[arg(long)]
    pub(crate) reason: String,
    /// Who decides, for the receipt; the operating system's account is recorded beside it
    #[arg(long = "as", value_name = "NAME")]
    pub(crate) actor: Option<String>,
}

#[derive(Args)]
pub(crate) struct LogsArgs {
    pub(crate) run: String,
    pub(crate) step: Option<String>,
    /// Follow
    #[arg(short, long)]
    pub(crate) follow: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReceiptFormat {
    /// The signed receipt
    Json,
    /// A page that carries the signed receipt and shows what it says
    Html,
    /// A reading aid, not signed
    Md,
}

#[derive(Args)]
pub(crate) struct ReceiptArgs {
    pub(crate) run: String,
    #[arg(long, value_enum, default_value = "json")]
    pub(crate) format: ReceiptFormat,
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Hand the chain head to an outside record: a line at the end of FILE, or a POST to an http(s) URL
    #[arg(long, value_name = "FILE|URL")]
    pub(crate) anchor: Option<String>,
}

#[derive(Args)]
pub(crate) struct VerifyArgs {
    /// A receipt: the JSON, or the HTML page that carries it
    pub(crate) receipt: PathBuf,
    /// The public key that you trust
    #[arg(long, value_name = "PUB")]
    pub(crate) key: Option<PathBuf>,
}

/// Parses, runs, and says how it ended.
pub(crate) fn dispatch() -> std::process::ExitCode {
    // Before anything else: a supervisor has nothing to do with the rest.
    if std::env::args_os().nth(1).is_some_and(|arg| arg == "__supervise") {
        return piton_steps::process::supervise_main();
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return said(&error).into(),
    };
    let exit = match run(cli.command) {
        Ok(exit) => exit,
        Err(error) => {
            print::note(&error.render());
            error.exit()
        }
    };
    print::failure().map_or(exit, |error| unread(exit, error)).into()
}

/// How a command ends whose output is lost. Where it only prints, it has failed. What it did to a run is done all the same:
/// the exit code tells of that.
fn unread(exit: Exit, error: std::io::Error) -> Exit {
    let lost = "standard output cannot be written";
    match print::told() {
        Some(run) => {
            let see = format!("see how it stands: piton show {}", run.short());
            print::note(&format!("warning: {lost} ({error}): the run went on without it; {see}"));
            exit
        }
        None => {
            print::note(&CliError::new(Kind::File, lost).source(error).render());
            Kind::File.exit()
        }
    }
}

/// What clap has to say: help and version on standard output, errors on standard error.
pub(crate) fn said(error: &clap::Error) -> Exit {
    let text = error.render();
    if error.use_stderr() {
        print::note(text.to_string().trim_end());
        Exit::Wrong
    } else {
        print::out(&if print::colors() { text.ansi().to_string() } else { text.to_string() });
        Exit::Done
    }
}

fn run(command: Command) -> Result<Exit, CliError> {
    match command {
        Command::Run(args) => commands::run::run(args),
        Command::Plan(args) => commands::plan::run(args),
        Command::Check(args) => commands::check::run(args),
        Command::Docs(args) => commands::docs::run(args),
        Command::Resume(args) => commands::resume::run(args),
        Command::Undo(args) => commands::undo::run(args),
        Command::Abort(args) => commands::abort::run(args),
        Command::Approve(args) => commands::approve::run(args),
        Command::Answer(args) => commands::answer::run(args),
        Command::Runs(args) => commands::runs::run(args),
        Command::Show(args) => commands::show::run(args),
        Command::Watch(args) => commands::watch::run(args),
        Command::Locks(args) => commands::locks::run(args),
        Command::Logs(args) => commands::logs::run(args),
        Command::Receipt(args) => commands::receipt::run(args),
        Command::Verify(args) => commands::verify::run(args),
        Command::Completions { shell } => commands::completions::run(shell),
        Command::Gate(args) => commands::gate::run(*args),
        Command::Move(args) => commands::mover::run(args),
        Command::Engine { run } => commands::engine::run(&run),
        Command::Waker => commands::waker::run(true),
        Command::ParkedWaker => commands::waker::run(false),
        Command::Watchdog { run, engine_pid } => commands::watchdog::run(&run, engine_pid),
    }
}
