//! `piton completions`: a shell's completion script.
//!
//! Owns nothing of its own: it is made from the commands' shape.

use crate::args::Cli;
use crate::error::CliError;
use crate::exit::Exit;
use crate::print;
use clap::CommandFactory as _;

pub(crate) fn run(shell: clap_complete::Shell) -> Result<Exit, CliError> {
    let whole = Cli::command();
    // Without the commands by which Piton starts itself.
    let offered = whole.get_subcommands().filter(|command| !command.is_hide_set()).cloned();
    let mut command = clap::Command::new("piton").disable_help_subcommand(true).subcommands(offered);
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, "piton", &mut script);
    print::out_bytes(&script);
    Ok(Exit::Done)
}
