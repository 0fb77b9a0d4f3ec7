//! The one error at the edge: what went wrong, with its code, and what to do about it.
//!
//! Owns the kinds that an operator can meet, each with a code and a page (`docs/errors/P0020.md`), and how an error is
//! shown. A message never repeats its source. Never prints and never ends the process.

use crate::exit::Exit;
use piton_core::ports::{SourceError, StoreError, StoreErrorKind};
use piton_core::receipt::ReceiptError;
use piton_core::record::RecordError;
use piton_engine::Broken;
use piton_lang::{Diagnostics, Severity};
use std::error::Error as StdError;

/// Where a bug is reported.
const ISSUES: &str = concat!(env!("CARGO_PKG_REPOSITORY"), "/issues");

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $code:literal, $exit:ident;)*) => {
        /// What went wrong, as an operator tells cases apart. Codes are never used again for something else.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Kind { $($(#[$doc])* $kind,)* }

        impl Kind {
            #[cfg(test)]
            const ALL: &[Self] = &[$(Self::$kind,)*];

            pub(crate) fn code(self) -> &'static str {
                match self { $(Self::$kind => $code,)* }
            }

            pub(crate) fn exit(self) -> Exit {
                match self { $(Self::$kind => Exit::$exit,)* }
            }
        }
    };
}

kinds! {
    /// Words on the command line that do not go together.
    Usage = "P0001", Wrong;
    /// The runbook has errors; the diagnostics are the error's detail.
    Runbook = "P0002", Wrong;
    /// A parameter is missing, unknown, or of another type.
    Parameter = "P0003", Wrong;
    /// A secret was given as a plain value.
    PlainSecret = "P0004", Wrong;
    /// A file named on the command line cannot be read or written.
    File = "P0005", Wrong;
    /// The project's root or a file in it cannot be used.
    Project = "P0006", Wrong;

    /// Full disk, read-only, no permission, network file system.
    StoreUnavailable = "P0010", Store;
    /// Damaged, or written by a newer version.
    StoreUnreadable = "P0011", Store;
    /// Another engine took the run over.
    Fenced = "P0012", Store;
    /// The engine had to stop: its journal cannot be written.
    EngineStopped = "P0013", Store;
    /// An engine or its watchdog cannot be started on this machine.
    EngineNotStarted = "P0014", Store;
    /// Whoever ends this engine would end its commands and watchdogs too, and the runbook has windows.
    WouldNotSurvive = "P0015", Wrong;

    /// No run has that name, or several.
    UnknownRun = "P0020", Wrong;
    /// A live engine drives the run.
    RunBusy = "P0021", Wrong;
    /// The run has ended.
    RunEnded = "P0022", Wrong;
    /// The run has no step or scope of that path.
    UnknownStep = "P0023", Wrong;
    /// Nothing is asked there now.
    NothingAsked = "P0024", Wrong;
    /// The answer is not valid for what is asked.
    AnswerRefused = "P0025", Wrong;
    /// A decision that the hold does not offer.
    WrongChoice = "P0026", Wrong;
    /// Steps would be left behind by an edit, and nobody said what becomes of them.
    Orphans = "P0028", Wrong;
    /// Nobody has taken the message up yet.
    NotTaken = "P0027", Wrong;

    /// Nobody holds a lock of that name.
    NoSuchLock = "P0029", Wrong;

    /// Not a plan, or not the plan of this runbook.
    BadPlan = "P0032", Wrong;
    /// Not a public key.
    BadKey = "P0030", Wrong;
    /// A receipt cannot be made.
    NoReceipt = "P0031", Wrong;
    /// The run is a step of another one, where this is asked for.
    PartOfAnother = "P0034", Wrong;
    /// The outside record of chain heads did not take this one.
    NotAnchored = "P0033", Failed;

    /// No gate listens at that control socket, or it does not answer.
    GateSilent = "P0040", Again;
    /// The gate does not do that now.
    GateRefused = "P0041", Failed;
    /// The gate cannot be started.
    GateNotStarted = "P0042", Wrong;
    /// The registers do not say which side is true.
    EpochUnknown = "P0043", Failed;

    /// Something stands in the way of a move.
    MoveRefused = "P0044", Failed;
    /// A move has halted, or a server refuses it.
    MoveEnded = "P0045", Failed;
    /// Both sides of a move are not equal.
    MoveDiffers = "P0046", Failed;
    /// A cutover did not begin, or has gone back.
    CutoverBack = "P0047", Failed;
    /// A move has lost a server.
    MoveLost = "P0048", Again;

    /// A bug in Piton.
    Bug = "P0070", Bug;
}

pub(crate) type Source = Box<dyn StdError + Send + Sync>;

#[derive(Debug)]
pub(crate) struct CliError {
    pub(crate) kind: Kind,
    pub(crate) message: String,
    pub(crate) source: Option<Source>,
    /// Each a sentence, or a command to paste.
    pub(crate) hints: Vec<String>,
    /// Shown before the message: diagnostics with their sources.
    pub(crate) detail: Option<String>,
}

impl CliError {
    pub(crate) fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None, hints: Vec::new(), detail: None }
    }

    #[must_use]
    pub(crate) fn source(mut self, source: impl Into<Source>) -> Self {
        self.source = Some(source.into());
        self
    }

    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    #[must_use]
    pub(crate) fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// `what` went wrong although it cannot.
    pub(crate) fn bug(what: impl Into<String>) -> Self {
        Self::new(Kind::Bug, what)
    }

    /// The runbook cannot be used for what its diagnostics say.
    pub(crate) fn runbook(file: &str, diagnostics: &Diagnostics) -> Self {
        let count = diagnostics.iter().filter(|one| one.severity == Severity::Error).count();
        let plural = if count == 1 { "" } else { "s" };
        Self::new(Kind::Runbook, format!("{file} has {count} error{plural}; nothing was run"))
            .detail(diagnostics.to_string())
    }

    pub(crate) fn exit(&self) -> Exit {
        self.kind.exit()
    }

    /// The message and its causes, for where there is no room for more.
    pub(crate) fn one_line(&self) -> String {
        let mut line = self.message.clone();
        let mut source = self.source.as_deref().map(|source| source as &dyn StdError);
        while let Some(cause) = source {
            line.push_str(&format!(": {cause}"));
            source = cause.source();
        }
        line
    }

    /// As a person reads it, without a newline at the end. Foreign text in it cannot control the terminal.
    pub(crate) fn render(&self) -> String {
        let mut text = String::new();
        if let Some(detail) = &self.detail {
            text.push_str(detail);
            text.push_str("\n\n");
        }
        text.push_str(&format!("error[{}]: {}", self.kind.code(), self.message));
        let mut source = self.source.as_deref().map(|source| source as &dyn StdError);
        while let Some(cause) = source {
            text.push_str(&format!("\n  because: {cause}"));
            source = cause.source();
        }
        for hint in &self.hints {
            text.push_str(&format!("\n  = {hint}"));
        }
        if self.kind == Kind::Bug {
            text.push_str(&format!(
                "\n  = this is a bug in Piton {}, please report it: {ISSUES}",
                env!("CARGO_PKG_VERSION")
            ));
        }
        crate::ui::text::printable_lines(&text)
    }
}

impl From<StoreError> for CliError {
    fn from(error: StoreError) -> Self {
        let kind = match error.kind {
            StoreErrorKind::Unavailable => Kind::StoreUnavailable,
            StoreErrorKind::Unreadable => Kind::StoreUnreadable,
            StoreErrorKind::Fenced => Kind::Fenced,
            StoreErrorKind::Unknown => Kind::UnknownRun,
            StoreErrorKind::OutOfOrder => Kind::Bug,
        };
        let this = Self::new(kind, error.message);
        match error.source {
            Some(source) => this.source(source),
            None => this,
        }
    }
}

impl From<RecordError> for CliError {
    fn from(error: RecordError) -> Self {
        Self::new(Kind::StoreUnreadable, "the run's journal cannot be read").source(error).hint(
            "it is left as it is, and other runs of this store are not touched; restore the store from a backup to go on \
             with this one",
        )
    }
}

impl From<SourceError> for CliError {
    fn from(error: SourceError) -> Self {
        Self::new(Kind::Project, error.to_string())
    }
}

impl From<ReceiptError> for CliError {
    fn from(error: ReceiptError) -> Self {
        Self::new(Kind::NoReceipt, "no receipt can be made of this run").source(error)
    }
}

impl From<Broken> for CliError {
    fn from(broken: Broken) -> Self {
        match broken.0.strip_prefix("a bug in Piton: ") {
            Some(what) => Self::bug(what),
            None => Self::new(Kind::EngineStopped, broken.0).hint(
                "nothing is lost: what was done is in the journal; `piton resume` goes on when the cause is gone",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn each_code_has_a_page_and_each_page_a_code() {
        let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/errors");
        let pages: BTreeSet<String> = std::fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.starts_with('P'))
            .collect();
        let codes: BTreeSet<String> = Kind::ALL.iter().map(|kind| format!("{}.md", kind.code())).collect();
        assert_eq!(codes.len(), Kind::ALL.len(), "a code is used twice");
        assert_eq!(pages, codes);
        for kind in Kind::ALL {
            let page = std::fs::read_to_string(format!("{dir}/{}.md", kind.code())).unwrap();
            assert!(page.starts_with(&format!("# {}: ", kind.code())), "{}", kind.code());
            for heading in ["## What happened", "## What to do"] {
                assert!(page.contains(heading), "{} lacks {heading:?}", kind.code());
            }
            let exit = format!("Exit code {}.", kind.exit().code());
            assert!(page.contains(&exit), "{} should say {exit:?}", kind.code());
        }
    }

    #[test]
    fn an_error_shows_its_causes_once_and_its_hints_last() {
        let cause = std::io::Error::other("no\x1b[2Jspace");
        let error = CliError::new(Kind::File, "cannot write receipt.json").source(cause).hint("free some space");
        assert_eq!(
            error.render(),
            "error[P0005]: cannot write receipt.json\n  because: no␛[2Jspace\n  = free some space"
        );
    }
}
