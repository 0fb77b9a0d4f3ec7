//! What one evaluation knows: its host, the scope it is in, the names used there, and why it is leaving.
//!
//! Owns this state, reached from built-ins through the evaluator. Never crosses threads: each branch has its own.

// `ProvidesStaticType` is derived, which writes an `unsafe impl`.
#![allow(unsafe_code)]

use crate::diagnostic::site_of;
use crate::error::{AuthorError, Leaving, author, explain_from, is_leaving, needed_hole};
use crate::limits::MAX_STEPS;
use crate::registry::Registry;
use piton_core::Path;
use piton_core::guard::Guard;
use piton_core::hole;
use piton_core::ports::{Host, Unwind};
use piton_core::request::Site;
use piton_core::scope::{MAX_SCOPE_DEPTH, Scope, ScopeKind};
use starlark::codemap::FileSpan;
use starlark::eval::Evaluator;
use starlark::values::ProvidesStaticType;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::sync::Arc;

#[derive(ProvidesStaticType)]
pub(crate) struct Session<'e> {
    pub(crate) registry: &'e Registry,
    /// Absent while a file loads: then nothing may touch the world.
    host: Option<&'e dyn Host>,
    /// The file that is loading.
    pub(crate) loading: Option<String>,
    frame: RefCell<Frame>,
    leaving: RefCell<Option<Unwind>>,
    /// Steps that may still be asked for.
    steps_left: Cell<u64>,
    /// Set while the author's predicate or undo function is evaluated.
    asking: Cell<Option<&'static str>>,
}

/// The scope in which calls stand, and the names given in it.
struct Frame {
    scope: Arc<Scope>,
    names: HashMap<String, Site>,
    notes: u64,
}

impl Frame {
    /// A guard is named like a step of its scope.
    fn of(scope: Arc<Scope>) -> Self {
        let names = scope.guards.iter().map(|guard| (guard.name.clone(), guard.site.clone())).collect();
        Self { scope, names, notes: 0 }
    }
}

impl<'e> Session<'e> {
    pub(crate) fn running(registry: &'e Registry, host: &'e dyn Host, scope: Arc<Scope>, steps: u64) -> Self {
        let session = Self::new(registry, Some(host), None, scope);
        session.steps_left.set(steps);
        session
    }

    /// For an author's function that is asked by itself: it may touch nothing.
    pub(crate) fn judging(registry: &'e Registry) -> Self {
        Self::new(registry, None, None, Scope::run())
    }

    pub(crate) fn loading(registry: &'e Registry, file: &str) -> Self {
        Self::new(registry, None, Some(file.to_owned()), Scope::run())
    }

    fn new(registry: &'e Registry, host: Option<&'e dyn Host>, loading: Option<String>, scope: Arc<Scope>) -> Self {
        Self {
            registry,
            host,
            loading,
            frame: RefCell::new(Frame::of(scope)),
            leaving: RefCell::new(None),
            steps_left: Cell::new(0),
            asking: Cell::new(None),
        }
    }

    pub(crate) fn of<'v, 'a>(eval: &Evaluator<'v, 'a, 'e>) -> Result<&'a Self, AuthorError> {
        eval.extra
            .and_then(|extra| extra.downcast_ref::<Self>())
            .ok_or_else(|| author("this built-in works only inside a runbook"))
    }

    /// The host, for a built-in that touches the world.
    pub(crate) fn host(&self, builtin: &str) -> Result<&'e dyn Host, AuthorError> {
        if let Some(asking) = self.asking.get() {
            return Err(author(format!("{builtin}() cannot be called in {asking}"))
                .help("it is asked while a step is worked on and may only look at its outcome"));
        }
        self.host.ok_or_else(|| {
            author(format!("{builtin}() cannot be called while the file loads"))
                .help("steps belong into a function: `main` or one that it calls")
        })
    }

    pub(crate) fn scope(&self) -> Arc<Scope> {
        self.frame.borrow().scope.clone()
    }

    /// The path of a name in the current scope. A second use of the name is the author's mistake.
    pub(crate) fn name(&self, builtin: &str, name: &str, site: &Site) -> Result<Path, AuthorError> {
        let mut frame = self.frame.borrow_mut();
        if name.trim().is_empty() {
            return Err(author(format!("{builtin}() needs a name"))
                .help("the name is how people find the step on a screen and in the receipt"));
        }
        let mut name = name.to_owned();
        let unknown = self.registry.planning.is_some() && hole::first(&name).is_some();
        if unknown && frame.names.contains_key(&name) {
            // What is not known yet may tell it from the others of this name.
            let another = frame.names.len();
            name.push_str(&hole::mark(&another.to_string()));
        }
        if let Some(first) = frame.names.get(&name) {
            let label = if first == site {
                format!("{name:?} again: this call has made it before")
            } else {
                format!("{name:?} again; it is first made at {first}")
            };
            return Err(author("two steps of one scope have the same name").label(label).help(if first == site {
                "a step's path is its identity across resumes: put what differs into the name, or use each(...)"
            } else {
                "a step's path is its identity across resumes; give each its own name"
            }));
        }
        let path = frame.scope.path.child(&name);
        frame.names.insert(name, site.clone());
        Ok(path)
    }

    pub(crate) fn note_path(&self) -> Path {
        let mut frame = self.frame.borrow_mut();
        frame.notes += 1;
        frame.scope.path.child(&format!("note {}", frame.notes))
    }

    pub(crate) fn count_step(&self) -> Result<(), AuthorError> {
        match self.steps_left.get().checked_sub(1) {
            Some(left) => {
                self.steps_left.set(left);
                Ok(())
            }
            None => Err(author("more steps than one branch may have").help(format!(
                "at most {MAX_STEPS}: spread them over the branches of each(...), or let one step handle many items"
            ))),
        }
    }

    /// A scope inside the current one.
    pub(crate) fn child_scope(
        &self,
        kind: ScopeKind,
        path: &Path,
        guards: Vec<Guard>,
    ) -> Result<Arc<Scope>, AuthorError> {
        let scope = self.scope();
        if scope.depth() >= MAX_SCOPE_DEPTH {
            return Err(author(format!("scopes are nested deeper than {MAX_SCOPE_DEPTH} levels"))
                .help("a phase that calls itself needs an end; use each(...) over a list"));
        }
        Ok(Arc::new(Scope { path: path.clone(), kind, parent: Some(scope), guards: guards.into() }))
    }

    /// Runs `body` with `scope` as the current one.
    pub(crate) fn inside<R>(&self, scope: &Arc<Scope>, body: impl FnOnce() -> R) -> R {
        let outer = self.frame.replace(Frame::of(scope.clone()));
        let result = body();
        self.frame.replace(outer);
        result
    }

    /// Runs `body` while an author's function is asked about an outcome.
    pub(crate) fn asking<R>(&self, what: &'static str, body: impl FnOnce() -> R) -> R {
        let outer = self.asking.replace(Some(what));
        let result = body();
        self.asking.set(outer);
        result
    }

    /// Makes the evaluation end; `ended` gets the reason back.
    pub(crate) fn leave(&self, why: Unwind) -> starlark::Error {
        self.leaving.replace(Some(why));
        starlark::Error::new_native(Leaving)
    }

    /// Why an evaluation ended with this error.
    pub(crate) fn ended(&self, error: &starlark::Error) -> Unwind {
        self.ended_at(error, None)
    }

    /// The same for the function that the engine called: what has no place of its own stands at its definition.
    pub(crate) fn ended_at(&self, error: &starlark::Error, definition: Option<&FileSpan>) -> Unwind {
        match self.leaving.take() {
            Some(why) if is_leaving(error) => why,
            _ if let Some(what) = needed_hole(error) => Unwind::Undetermined(what.to_owned()),
            _ => {
                let diagnostic = explain_from(error, &|span| self.registry.original(span));
                Unwind::Program(match definition {
                    Some(definition) if diagnostic.place.is_none() => diagnostic.at(definition).to_string(),
                    _ => diagnostic.to_string(),
                })
            }
        }
    }
}

/// Where the author called the built-in that is running: the innermost place in a source.
pub(crate) fn call_site(eval: &Evaluator<'_, '_, '_>) -> Site {
    let innermost = (0..eval.call_stack_count()).find_map(|outward| eval.call_stack_nth_location(outward));
    let registry = Session::of(eval).map(|session| session.registry).ok();
    let original = |span: FileSpan| registry.map_or(span.clone(), |registry| registry.original(&span));
    innermost.map(|span| site_of(&original(span))).unwrap_or_default()
}
