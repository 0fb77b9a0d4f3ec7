//! A runbook called from the command line: its file, and its parameters as flags of the command.
//!
//! Owns turning a signature into flags and back into parameters, for `run` and `plan`. Never starts anything.

use crate::args;
use crate::error::{CliError, Kind};
use crate::exit::Exit;
use crate::project::{self, Tree};
use clap::{Arg, ArgAction, ArgMatches, Command};
use piton_core::Value;
use piton_core::request::FieldType;
use piton_lang::Runbook;
use std::path::PathBuf;
use std::sync::Arc;

/// A command that takes a runbook and its parameters.
pub(super) struct Verb {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    /// Its own flags; a parameter of one of these names is given as `--param NAME=VALUE`.
    pub(super) flags: fn() -> Vec<Arg>,
}

pub(super) struct Call {
    /// The project's root. Absolute.
    pub(super) root: PathBuf,
    /// The runbook's path below it.
    pub(super) below: String,
    pub(super) tree: Arc<Tree>,
    pub(super) runbook: Runbook,
    pub(super) matches: ArgMatches,
}

impl Call {
    /// The runbook that the words name, with its flags; or how it ended: help, or a usage error, is shown already.
    pub(super) fn of(verb: &Verb, rest: &[String]) -> Result<Result<Self, Exit>, CliError> {
        let Some(file) = verb.runbook_among(rest) else {
            return Ok(Err(verb.no_runbook(rest)));
        };
        let (root, below) = project::locate(&file)
            .map_err(|error| CliError::new(Kind::File, format!("{} cannot be read", file.display())).source(error))?;
        let tree = Arc::new(Tree::new(root.clone()));
        let runbook =
            Runbook::load(tree.clone(), &below).map_err(|diagnostics| CliError::runbook(&below, &diagnostics))?;
        Ok(match verb.command_of(&runbook, &file.to_string_lossy()).try_get_matches_from(rest) {
            Ok(matches) => Ok(Self { root, below, tree, runbook, matches }),
            Err(error) => Err(args::said(&error)),
        })
    }

    /// The snapshot: sources, scripts and what lies beside those.
    pub(super) fn snapshot(&self) -> Result<Vec<project::SourceFile>, CliError> {
        let sources: Vec<String> = self.runbook.sources().map(|(path, _)| path.to_owned()).collect();
        Ok(self.tree.snapshot(&sources, &self.runbook.scripts())?)
    }

    /// The parameters in the signature's order: as given, else as known already, else the default.
    pub(super) fn params(&self, known: &[(String, Value)]) -> Result<Vec<(String, Value)>, CliError> {
        params_of(&self.runbook, &self.matches, known)
    }
}

impl Verb {
    fn has_flag(&self, name: &str) -> bool {
        name == "help" || (self.flags)().iter().any(|flag| flag.get_id() == name)
    }

    /// The first word that is no flag, and not the value of one of ours.
    fn runbook_among(&self, rest: &[String]) -> Option<PathBuf> {
        let takes_value = |word: &str| {
            (self.flags)().iter().any(|flag| {
                let long = flag.get_long().is_some_and(|long| word.strip_prefix("--") == Some(long));
                let short = flag.get_short().is_some_and(|short| word == format!("-{short}"));
                (long || short) && !matches!(flag.get_action(), ArgAction::SetTrue)
            })
        };
        let mut skip = false;
        for word in rest {
            if std::mem::take(&mut skip) {
                continue;
            }
            if word.starts_with('-') {
                skip = takes_value(word);
            } else {
                return Some(PathBuf::from(word));
            }
        }
        None
    }

    fn own_flags(&self, command: Command) -> Command {
        command.args((self.flags)())
    }

    fn no_runbook(&self, rest: &[String]) -> Exit {
        let name = self.name;
        let file = format!("The runbook; `piton {name} FILE --help` shows its own parameters");
        let command = self
            .own_flags(Command::new(name).bin_name(format!("piton {name}")).about(self.about))
            .arg(Arg::new("FILE").required(true).help(file));
        let words = std::iter::once(name.to_owned()).chain(rest.iter().cloned());
        match command.try_get_matches_from(words) {
            Err(error) => args::said(&error),
            Ok(_) => Exit::Wrong,
        }
    }

    /// The signature as flags.
    fn command_of(&self, runbook: &Runbook, file: &str) -> Command {
        let interface = runbook.interface();
        let about = interface.summary.clone().unwrap_or_else(|| interface.title.clone());
        let mut command = self
            .own_flags(Command::new(self.name).bin_name(format!("piton {} {file}", self.name)).about(about))
            .no_binary_name(true)
            .override_usage(format!("piton {} {file} [--PARAM VALUE]...", self.name))
            .arg(Arg::new("FILE").required(true).hide(true))
            .next_help_heading("Parameters");
        for param in &interface.params {
            let flag = flag_of(&param.name);
            if self.has_flag(&flag) {
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
}

/// `--param NAME=VALUE`, which every verb has.
pub(super) fn param_flag() -> Arg {
    Arg::new("param")
        .long("param")
        .value_name("NAME=VALUE")
        .action(ArgAction::Append)
        .help("A parameter whose name is a flag of piton's own")
}

fn flag_of(name: &str) -> String {
    name.replace('_', "-")
}

fn params_of(
    runbook: &Runbook,
    matches: &ArgMatches,
    known: &[(String, Value)],
) -> Result<Vec<(String, Value)>, CliError> {
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
        let default =
            known.iter().find(|(name, _)| *name == param.name).map(|(_, value)| value).or(param.default.as_ref());
        let value = match (texts.is_empty(), default) {
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
