//! A loaded runbook, as the rest of Piton sees it.

use crate::children::{Child, Finder};
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::interface::{Interface, ParamError};
use crate::limits::{LOAD_STACK_BYTES, Limits};
use crate::load::{Loaded, load};
use piton_core::outcome::Failure;
use piton_core::ports::{Host, Program, SourceError, Sources, Unwind};
use piton_core::scope::Scope;
use piton_core::value::{Callable, Definition};
use piton_core::{Digest, Outcome, Value};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread::ScopedJoinHandle;

pub struct Runbook {
    loaded: Loaded,
    file: String,
    interface: Interface,
    /// The runbooks that it may run, by their files.
    children: BTreeMap<String, Arc<Runbook>>,
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
                .spawn_scoped(scope, || Self::load_below(&mut Finder::new(sources), file));
            match thread.map(std::thread::ScopedJoinHandle::join) {
                Ok(Ok(result)) => result,
                Ok(Err(_)) => Err(Diagnostic::error("the language gave up while loading: a bug in Piton").into()),
                Err(error) => Err(Diagnostic::error(format!("no thread for loading: {error}")).into()),
            }
        })
    }

    /// With what it may run itself.
    pub(crate) fn load_below(finder: &mut Finder, file: &str) -> Result<Self, Diagnostics> {
        let mut loaded = load(finder.sources.clone(), file)?;
        let file = crate::load::normalize(file).unwrap_or_default();
        let interface = crate::interface::read(&loaded, &file)?;
        let children = finder.children(&file, &loaded)?;
        let known = |(file, child): (&String, &Arc<Self>)| {
            Some((file.clone(), Child { interface: child.interface.clone(), digest: child.digest().ok()? }))
        };
        loaded.registry.children = children.iter().filter_map(known).collect();
        Ok(Self { loaded, file, interface, children })
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
        let planned = |(file, child): (&String, &Arc<Self>)| Ok((file.clone(), Arc::new(child.planning()?)));
        let children = self.children.iter().map(planned).collect::<Result<_, Diagnostics>>()?;
        Ok(Self { loaded, file: self.file.clone(), interface: self.interface.clone(), children })
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

    /// The loaded files, those of the runbooks that it may run among them: path below the root, and bytes.
    pub fn sources(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let mut all: BTreeMap<&str, &[u8]> = BTreeMap::new();
        for runbook in self.family() {
            let sources = runbook.loaded.sources.iter();
            all.extend(sources.map(|(path, source)| (path.as_str(), source.bytes.as_slice())));
        }
        all.into_iter()
    }

    /// Paths written out in `script("...")` calls of the sources; a run's snapshot holds these files.
    pub fn scripts(&self) -> Vec<String> {
        let sources = self.family().into_iter().flat_map(|runbook| runbook.loaded.sources.values());
        let mut scripts: Vec<String> = sources.flat_map(|source| crate::check::scripts(&source.ast)).collect();
        scripts.sort();
        scripts.dedup();
        scripts
    }

    /// Whether a run of it, or one that it starts, may open a window.
    pub fn has_windows(&self) -> bool {
        let mut sources = self.family().into_iter().flat_map(|runbook| runbook.loaded.sources.values());
        sources.any(|source| crate::check::names_builtin(&source.ast, "window"))
    }

    /// Of the sources and scripts: what makes another step of running it.
    pub fn digest(&self) -> Result<Digest, SourceError> {
        let sources = self.sources().map(|(path, bytes)| Ok((path.to_owned(), Digest::of_bytes(bytes))));
        let scripts = self.scripts().into_iter().map(|path| {
            let digest = self.loaded.registry.script_digest(&path)?;
            Ok((path, digest))
        });
        let all: BTreeMap<String, Digest> = sources.chain(scripts).collect::<Result<_, SourceError>>()?;
        Ok(Digest::of_json(&(&self.file, all)))
    }

    /// It, and every runbook that it may run, directly or around, each once.
    fn family(&self) -> Vec<&Self> {
        let mut family: Vec<&Self> = vec![self];
        let mut next = 0;
        while let Some(runbook) = family.get(next).copied() {
            for child in runbook.children.values() {
                if !family.iter().any(|known| known.file == child.file) {
                    family.push(child);
                }
            }
            next += 1;
        }
        family
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

    fn child(&self, file: &str) -> Option<Arc<dyn Program>> {
        self.children.get(file).map(|child| child.clone() as Arc<dyn Program>)
    }

    fn judge(&self, predicate: &Callable, outcome: &Arc<Outcome>) -> Result<bool, Failure> {
        crate::run::judge(&self.loaded, predicate, outcome)
    }
}
