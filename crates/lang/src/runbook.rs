//! A loaded runbook, as the rest of Piton sees it.

use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::interface::{Interface, ParamError};
use crate::limits::{LOAD_STACK_BYTES, Limits};
use crate::load::{Loaded, load};
use piton_core::outcome::Failure;
use piton_core::ports::{Host, Program, Sources, Unwind};
use piton_core::scope::Scope;
use piton_core::value::{Callable, Definition};
use piton_core::{Outcome, Value};
use std::sync::Arc;
use std::thread::ScopedJoinHandle;

pub struct Runbook {
    loaded: Loaded,
    file: String,
    interface: Interface,
}

impl Runbook {
    /// Reads, checks and evaluates `file` and everything it loads, and requires a `main` in it.
    ///
    /// Works on a thread of its own, whose stack is large enough for whatever the sources hold.
    pub fn load(sources: Arc<dyn Sources>, file: &str) -> Result<Self, Diagnostics> {
        std::thread::scope(|scope| {
            let thread = std::thread::Builder::new()
                .name("load".into())
                .stack_size(LOAD_STACK_BYTES)
                .spawn_scoped(scope, || Self::load_here(sources, file));
            match thread.map(std::thread::ScopedJoinHandle::join) {
                Ok(Ok(result)) => result,
                Ok(Err(_)) => Err(Diagnostic::error("the language gave up while loading: a bug in Piton").into()),
                Err(error) => Err(Diagnostic::error(format!("no thread for loading: {error}")).into()),
            }
        })
    }

    fn load_here(sources: Arc<dyn Sources>, file: &str) -> Result<Self, Diagnostics> {
        let loaded = load(sources, file)?;
        let file = crate::load::normalize(file).unwrap_or_default();
        let interface = crate::interface::read(&loaded, &file)?;
        Ok(Self { loaded, file, interface })
    }

    /// The copy that a planner evaluates: in it holes can be passed on, and deciding on one ends the evaluation with
    /// `Unwind::Undetermined`.
    pub fn planning(&self) -> Result<Self, Diagnostics> {
        let loaded = std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().name("load".into()).stack_size(LOAD_STACK_BYTES);
            match thread.spawn_scoped(scope, || crate::load::planning(&self.loaded)).map(ScopedJoinHandle::join) {
                Ok(Ok(loaded)) => loaded,
                Ok(Err(_)) => Err(Diagnostic::error("the language gave up while loading: a bug in Piton").into()),
                Err(error) => Err(Diagnostic::error(format!("no thread for loading: {error}")).into()),
            }
        })?;
        Ok(Self { loaded, file: self.file.clone(), interface: self.interface.clone() })
    }

    /// Lowers what one evaluation may use.
    #[must_use]
    pub fn limited(mut self, limits: Limits) -> Self {
        let most = Limits::default();
        self.loaded.limits = Limits {
            ticks: limits.ticks.min(most.ticks),
            steps: limits.steps.min(most.steps),
            heap_bytes: limits.heap_bytes.min(most.heap_bytes),
        };
        self
    }

    /// The file with `main`, below the project's root.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// What `main` takes: the flags, the form, the documentation.
    pub fn interface(&self) -> &Interface {
        &self.interface
    }

    /// What is questionable but not wrong.
    pub fn warnings(&self) -> &Diagnostics {
        &self.loaded.warnings
    }

    /// Reads a parameter as a person writes it on a command line.
    pub fn parse_param(&self, name: &str, text: &str) -> Result<Value, ParamError> {
        self.parse_params(name, std::slice::from_ref(&text.to_owned()))
    }

    /// Reads a parameter from the texts of a flag that may be repeated: a list takes all, anything else the only one.
    pub fn parse_params(&self, name: &str, texts: &[String]) -> Result<Value, ParamError> {
        let value = self.interface.parse_all(name, texts)?;
        crate::run::check_value(&self.loaded, &value)
            .map_err(|message| ParamError { name: name.to_owned(), message })?;
        Ok(value)
    }

    /// The loaded files: path below the root, and bytes.
    pub fn sources(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.loaded.sources.iter().map(|(path, source)| (path.as_str(), source.bytes.as_slice()))
    }

    /// Paths written out in `script("...")` calls of the sources; a run's snapshot holds these files.
    pub fn scripts(&self) -> Vec<String> {
        let mut scripts: Vec<String> =
            self.loaded.sources.values().flat_map(|source| crate::check::scripts(&source.ast)).collect();
        scripts.sort();
        scripts.dedup();
        scripts
    }

    /// Whether a run of it may open a window.
    pub fn has_windows(&self) -> bool {
        self.loaded.sources.values().any(|source| crate::check::names_builtin(&source.ast, "window"))
    }

    /// The runbook as a page.
    pub fn docs_markdown(&self) -> String {
        crate::docs::page(&self.interface, &self.file)
    }
}

impl Program for Runbook {
    fn main(&self, host: &dyn Host, params: &[(String, Value)]) -> Result<Value, Unwind> {
        let params = self.interface.complete(params).map_err(|error| Unwind::Program(format!("error: {error}")))?;
        let function = Definition { file: self.file.clone(), name: "main".into() };
        crate::run::call(&self.loaded, host, &Scope::run(), &Callable { function, args: vec![], kwargs: params })
    }

    fn call(&self, host: &dyn Host, scope: &Arc<Scope>, call: &Callable) -> Result<Value, Unwind> {
        crate::run::call(&self.loaded, host, scope, call)
    }

    fn judge(&self, predicate: &Callable, outcome: &Arc<Outcome>) -> Result<bool, Failure> {
        crate::run::judge(&self.loaded, predicate, outcome)
    }
}
