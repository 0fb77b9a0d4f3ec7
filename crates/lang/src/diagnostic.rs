//! What is wrong with a runbook, told with file, line, caret and a hint.
//!
//! Owns the diagnostic as data and its one renderer. Never decides what is wrong: `check`, `load` and `run` do.

use piton_core::request::Site;
use serde::Serialize;
use starlark::codemap::FileSpan;
use std::fmt;

/// Callers told after an error's own place. More would bury the message.
const MAX_CALLERS: usize = 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    Error,
    Warning,
}

/// A stretch of a source line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Place {
    #[serde(flatten)]
    pub site: Site,
    /// Characters marked with carets.
    pub width: u32,
    /// The whole line, without its end.
    pub text: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    pub severity: Severity,
    pub message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
    /// Words beside the carets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// The calls that led here, innermost first: where, and in which function.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub callers: Vec<(Site, String)>,
}

impl Diagnostic {
    pub fn error(message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            message: message.into(),
            place: None,
            label: None,
            help: None,
            callers: Vec::new(),
        }
    }

    #[must_use]
    pub fn warning(mut self) -> Self {
        self.severity = Severity::Warning;
        self
    }

    #[must_use]
    pub(crate) fn at(mut self, span: &FileSpan) -> Self {
        self.place = Some(Place::of(span));
        self
    }

    /// Hides what stands between quotes in the source line, which may be a secret.
    pub(crate) fn hide_strings(&mut self) {
        let Some(place) = &mut self.place else { return };
        let mut quote = None;
        let hide = |c: char| match quote {
            Some(open) if c == open => {
                quote = None;
                c
            }
            Some(_) => '*',
            None => {
                quote = matches!(c, '"' | '\'').then_some(c);
                c
            }
        };
        place.text = place.text.chars().map(hide).collect();
    }

    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// Position of a span's begin, lines and columns from 1.
pub(crate) fn site_of(span: &FileSpan) -> Site {
    let begin = span.resolve_span().begin;
    Site {
        file: span.filename().into(),
        line: u32::try_from(begin.line + 1).unwrap_or(u32::MAX),
        column: u32::try_from(begin.column + 1).unwrap_or(u32::MAX),
    }
}

impl Place {
    pub(crate) fn of(span: &FileSpan) -> Self {
        let begin = span.resolve_span().begin;
        let text = span.file.source_line(begin.line).trim_end_matches(['\n', '\r']).to_owned();
        let marked = marked(span.source_span());
        let rest = text.chars().count().saturating_sub(begin.column);
        let width = u32::try_from(marked.chars().count().clamp(1, rest.max(1))).unwrap_or(1);
        Self { site: site_of(span), width, text }
    }
}

/// The part of a span worth marking: of a call, only what is called; else the first line.
fn marked(source: &str) -> &str {
    let line = source.lines().next().unwrap_or_default();
    match line.find('(') {
        Some(end)
            if source.ends_with(')')
                && end > 0
                && line[..end].chars().all(|c| c.is_alphanumeric() || c == '_' || c == '.') =>
        {
            &line[..end]
        }
        _ => line,
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        write!(f, "{severity}: {}", self.message)?;
        let number = self.place.as_ref().map(|place| place.site.line.to_string()).unwrap_or_default();
        let gutter = " ".repeat(number.len());
        if let Some(Place { site, width, text }) = &self.place {
            let column = site.column.saturating_sub(1) as usize;
            let lead: String = text.chars().take(column).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
            write!(f, "\n{gutter}┌─ {site}\n{number}│ {text}\n{gutter}│ {lead}{}", "^".repeat(*width as usize))?;
            if let Some(label) = &self.label {
                write!(f, " {label}")?;
            }
        }
        for (site, function) in self.callers.iter().take(MAX_CALLERS) {
            write!(f, "\n{gutter}= called at {site}, in {function}")?;
        }
        if let Some(more) = self.callers.len().checked_sub(MAX_CALLERS).filter(|more| *more > 0) {
            write!(f, "\n{gutter}= and from {more} calls around that")?;
        }
        if let Some(help) = &self.help {
            write!(f, "\n{gutter}= help: {help}")?;
        }
        Ok(())
    }
}

/// Everything that is wrong, in the order of the sources.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Diagnostics(pub Vec<Diagnostic>);

impl Diagnostics {
    pub fn has_errors(&self) -> bool {
        self.0.iter().any(|diagnostic| diagnostic.severity == Severity::Error)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Diagnostic> {
        self.0.iter()
    }

    pub(crate) fn push(&mut self, diagnostic: Diagnostic) {
        // The type checker and the evaluator may both find the same thing at the same place.
        let known = |other: &Diagnostic| {
            other.place == diagnostic.place && other.place.is_some() && other.message == diagnostic.message
        };
        if !self.0.iter().any(known) {
            self.0.push(diagnostic);
        }
    }
}

impl From<Diagnostic> for Diagnostics {
    fn from(diagnostic: Diagnostic) -> Self {
        Self(vec![diagnostic])
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, diagnostic) in self.0.iter().enumerate() {
            write!(f, "{}{diagnostic}", if index > 0 { "\n\n" } else { "" })?;
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostics {}
