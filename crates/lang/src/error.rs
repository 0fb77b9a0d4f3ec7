//! Errors on their way through Starlark.
//!
//! Owns the two kinds of errors our built-ins raise (the author's mistake, and control leaving the branch) and the
//! words for those that Starlark raises. Never renders: see `diagnostic`.

use crate::diagnostic::{Diagnostic, site_of};
use crate::values::hole::NeedsHole;
use piton_core::request::Site;
use starlark::ErrorKind;
use starlark::codemap::FileSpan;
use std::fmt;

/// A mistake of the author's, found by a built-in.
#[derive(Debug)]
pub(crate) struct AuthorError {
    message: String,
    label: Option<String>,
    help: Option<String>,
    /// The source line may hold a secret.
    hides_strings: bool,
}

impl fmt::Display for AuthorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for AuthorError {}

pub(crate) fn author(message: impl Into<String>) -> AuthorError {
    AuthorError { message: message.into(), label: None, help: None, hides_strings: false }
}

impl AuthorError {
    pub(crate) fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// The source line may hold a secret: its strings are not shown.
    pub(crate) fn hide_strings(mut self) -> Self {
        self.hides_strings = true;
        self
    }

    pub(crate) fn raise(self) -> starlark::Error {
        starlark::Error::new_native(self)
    }
}

impl From<AuthorError> for starlark::Error {
    fn from(error: AuthorError) -> Self {
        error.raise()
    }
}

/// Control leaves the branch; the session knows why. Nothing in the language can catch it.
#[derive(Debug)]
pub(crate) struct Leaving;

impl fmt::Display for Leaving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the branch ends here")
    }
}

impl std::error::Error for Leaving {}

pub(crate) fn is_leaving(error: &starlark::Error) -> bool {
    inner(error).is_some_and(|inner| inner.is::<Leaving>())
}

/// The hole that an evaluation came to.
pub(crate) fn needed_hole(error: &starlark::Error) -> Option<&str> {
    inner(error)?.downcast_ref::<NeedsHole>().map(|needs| needs.0.as_str())
}

macro_rules! anyhow_of {
    ($kind:expr) => {
        match $kind {
            ErrorKind::Fail(e)
            | ErrorKind::StackOverflow(e)
            | ErrorKind::Value(e)
            | ErrorKind::Function(e)
            | ErrorKind::Scope(e)
            | ErrorKind::Parser(e)
            | ErrorKind::Freeze(e)
            | ErrorKind::Internal(e)
            | ErrorKind::Native(e)
            | ErrorKind::Other(e) => Some(e),
            _ => None,
        }
    };
}

fn inner(error: &starlark::Error) -> Option<&(dyn std::error::Error + Send + Sync + 'static)> {
    anyhow_of!(error.kind()).map(|error| &**error)
}

/// The error as a diagnostic, with its place and the calls that led there.
pub(crate) fn explain(error: &starlark::Error) -> Diagnostic {
    explain_from(error, &Clone::clone)
}

/// The same for sources in which the author's place is another than the one that runs.
pub(crate) fn explain_from(error: &starlark::Error, original: &dyn Fn(&FileSpan) -> FileSpan) -> Diagnostic {
    let author = anyhow_of!(error.kind()).and_then(|inner| inner.downcast_ref::<AuthorError>());
    let mut diagnostic = match author {
        Some(author) => Diagnostic {
            label: author.label.clone(),
            help: author.help.clone(),
            ..Diagnostic::error(author.message.clone())
        },
        None => in_authors_words(&error.without_diagnostic().to_string(), error.kind()),
    };
    // An error in handing over arguments has no place of its own: it is where the call stands.
    let call = || error.call_stack().frames.iter().rev().find_map(|frame| frame.location.as_ref());
    if let Some(span) = error.span().or_else(call) {
        diagnostic = diagnostic.at(&original(span));
    }
    if author.is_some_and(|author| author.hides_strings) {
        diagnostic.hide_strings();
    }
    diagnostic.callers = callers(error, diagnostic.place.as_ref().map(|place| &place.site), original);
    diagnostic
}

fn callers(
    error: &starlark::Error,
    own: Option<&Site>,
    original: &dyn Fn(&FileSpan) -> FileSpan,
) -> Vec<(Site, String)> {
    let frames = &error.call_stack().frames;
    let mut callers = Vec::new();
    for pair in frames.windows(2).rev() {
        let [outer, inner] = pair else { continue };
        let Some(site) = inner.location.as_ref().map(|span| site_of(&original(span))) else { continue };
        if Some(&site) == own || outer.name == "None" {
            continue;
        }
        callers.push((site, last_name(&outer.name).to_owned()));
    }
    callers
}

/// A function's name without its file, as in `lib/mysql.star.copy`.
fn last_name(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or_default()
}

/// Starlark's message, in our words where its own would puzzle, with a hint where there is one.
fn in_authors_words(message: &str, kind: &ErrorKind) -> Diagnostic {
    if matches!(kind, ErrorKind::StackOverflow(_)) || message.contains("call stack overflow") {
        return Diagnostic::error("functions call each other too deeply: more than 200 calls inside each other")
            .help("a function that calls itself needs an end; loop over a list instead");
    }
    if message.contains("ticks has been exceeded") {
        return explain(&crate::guard::too_long().raise());
    }
    if message.contains("Heap memory limit") {
        return explain(&crate::guard::too_large().raise());
    }
    let quoted = |n: usize| message.split('`').nth(2 * n + 1).unwrap_or_default();
    if message.starts_with("Variable `") && message.contains("not found") {
        let close = if message.contains("did you mean") { quoted(1) } else { "" };
        let diagnostic = Diagnostic::error(format!("unknown name `{}`", quoted(0)));
        return match (quoted(0), close) {
            ("print", _) => diagnostic.help("a runbook prints nothing; note(markdown) writes into the receipt"),
            (_, "") => diagnostic,
            (_, close) => diagnostic.help(format!("did you mean `{close}`?")),
        };
    }
    if message.contains("referenced before assignment") {
        return Diagnostic::error(format!("`{}` is used before it has a value", quoted(0)));
    }
    if message.starts_with("Value `") && message.contains("does not match the type annotation") {
        let (value, kind, needed, argument) = (quoted(0), quoted(1), quoted(2), quoted(3));
        let place = if argument.is_empty() { String::new() } else { format!("argument `{argument}`: ") };
        return Diagnostic::error(clip(&format!("{place}{needed} is needed, not `{value}` ({kind})")));
    }
    if message.starts_with("Module has no symbol") {
        let diagnostic = Diagnostic::error(format!("the loaded file has no `{}`", quoted(0)));
        return if quoted(1).is_empty() {
            diagnostic
        } else {
            diagnostic.help(format!("did you mean `{}`?", quoted(1)))
        };
    }
    if message.starts_with("Cannot import private symbol") {
        return Diagnostic::error(format!("`{}` is private to its file", quoted(0)))
            .help("a name that starts with _ cannot be loaded; rename it there");
    }
    if message.starts_with("Missing named-only parameter") || message.starts_with("Missing parameter") {
        return Diagnostic::error(format!("the call of `{}` needs `{}`", last_name(quoted(1)), quoted(0)));
    }
    if let Some((number, function)) =
        message.strip_prefix("Found ").and_then(|rest| rest.split_once(" extra positional argument(s) for call to "))
    {
        let arguments = if number == "1" { "argument" } else { "arguments" };
        return Diagnostic::error(format!(
            "`{}` is given {number} {arguments} more than it takes",
            last_name(function)
        ));
    }
    if message.starts_with("Missing required parameter") {
        return Diagnostic::error(format!("the call needs `{}`", quoted(0)));
    }
    if message.starts_with("Unexpected parameter named")
        || message.starts_with("Found `") && message.contains("extra named")
    {
        return Diagnostic::error(format!("the function has no parameter `{}`", quoted(0)));
    }
    Diagnostic::error(lower_first(&clip(message)))
}

/// Longest piece of code, such as a type, in a message.
const MAX_QUOTED_CHARS: usize = 80;

/// The message with long pieces of code cut.
fn clip(message: &str) -> String {
    let cut = |(index, piece): (usize, &str)| match piece.char_indices().nth(MAX_QUOTED_CHARS) {
        Some((at, _)) if index % 2 == 1 => format!("{}…", &piece[..at]),
        _ => piece.to_owned(),
    };
    message.split('`').enumerate().map(cut).collect::<Vec<_>>().join("`")
}

fn lower_first(message: &str) -> String {
    let mut chars = message.chars();
    match (chars.next(), chars.clone().next()) {
        (Some(first), Some(second)) if first.is_uppercase() && second.is_lowercase() => {
            first.to_lowercase().chain(chars).collect()
        }
        _ => message.to_owned(),
    }
}
