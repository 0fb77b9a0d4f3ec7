//! From a file's path to frozen modules: parses it and everything it loads, checks it, evaluates each file once.
//!
//! Owns the order of loading and the way a path is read. Nothing is performed here: a file that calls a step while it
//! loads is wrong.

use crate::builtins;
use crate::builtins::guarded::OPERATORS;
use crate::check;
use crate::diagnostic::{Diagnostic, Diagnostics, Severity};
use crate::error::explain;
use crate::guard;
use crate::limits::{Limits, MAX_LOAD_DEPTH, MAX_SOURCE_BYTES};
use crate::packs;
use crate::plan::{self, instrument};
use crate::registry::Registry;
use crate::session::Session;
use piton_core::ports::{SourceError, Sources};
use starlark::codemap::FileSpan;
use starlark::environment::{FrozenModule, Module};
use starlark::eval::{Evaluator, FileLoader};
use starlark::syntax::{AstModule, Dialect, DialectTypes};
use starlark::typing::Interface;
use starlark::values::FrozenHeapName;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// One loaded file.
#[derive(Clone)]
pub(crate) struct Source {
    pub(crate) bytes: Vec<u8>,
    pub(crate) ast: AstModule,
}

/// A runbook's files, ready to be called.
pub(crate) struct Loaded {
    pub(crate) registry: Registry,
    pub(crate) sources: BTreeMap<String, Source>,
    /// The files in the order in which they were evaluated.
    order: Vec<String>,
    /// What is questionable but not wrong.
    pub(crate) warnings: Diagnostics,
    pub(crate) limits: Limits,
}

/// The language: Starlark with types, records, f-strings and statements at the top level; no `while`.
pub(crate) fn dialect() -> Dialect {
    Dialect {
        enable_def: true,
        enable_lambda: true,
        enable_load: true,
        enable_keyword_only_arguments: true,
        enable_positional_only_arguments: false,
        enable_types: DialectTypes::Enable,
        enable_load_reexport: false,
        enable_top_level_stmt: true,
        enable_f_strings: true,
        ..Dialect::Standard
    }
}

/// A path below the root with `.` and `..` resolved; `None` where it leaves the root.
pub(crate) fn normalize(path: &str) -> Option<String> {
    if path.is_empty() || path.starts_with('/') || path.contains(['\\', '\0']) {
        return None;
    }
    let mut names: Vec<&str> = Vec::new();
    for name in path.split('/') {
        match name {
            "" | "." => {}
            ".." => _ = names.pop()?,
            name => names.push(name),
        }
    }
    if names.is_empty() { None } else { Some(names.join("/")) }
}

pub(crate) fn load(sources: Arc<dyn Sources>, file: &str) -> Result<Loaded, Diagnostics> {
    let standard = builtins::standard().map_err(|error| explain(&error.into()))?;
    let mut loader = Loader {
        registry: Registry::new(sources, builtins::globals(), standard),
        sources: BTreeMap::new(),
        interfaces: HashMap::new(),
        visiting: Vec::new(),
        order: Vec::new(),
        found: Diagnostics::default(),
    };
    let Some(path) = normalize(file) else {
        return Err(Diagnostic::error(SourceError::Outside { path: file.to_owned() }.to_string()).into());
    };
    loader.file(&path, None);
    if loader.found.has_errors() {
        // Warnings wait until there are no errors to look at first.
        loader.found.0.retain(|diagnostic| diagnostic.severity == Severity::Error);
        return Err(loader.found);
    }
    let Loader { registry, sources, order, found: warnings, .. } = loader;
    Ok(Loaded { registry, sources, order, warnings, limits: Limits::default() })
}

struct Loader {
    registry: Registry,
    sources: BTreeMap<String, Source>,
    interfaces: HashMap<String, Interface>,
    /// The files that are loading each other, outermost first.
    visiting: Vec<String>,
    /// The files that are evaluated, in that order.
    order: Vec<String>,
    found: Diagnostics,
}

impl Loader {
    fn wrong(&mut self, diagnostic: Diagnostic, at: Option<&FileSpan>) {
        self.found.push(match at {
            Some(span) => diagnostic.at(span),
            None => diagnostic,
        });
    }

    /// Loads a file unless it is loaded; `at` is the `load` that asks for it.
    fn file(&mut self, path: &str, at: Option<&FileSpan>) {
        if let Some(from) = self.visiting.iter().position(|file| file == path) {
            let mut circle = self.visiting[from..].to_vec();
            circle.push(path.to_owned());
            let message = format!("files load each other in a circle: {}", circle.join(" -> "));
            return self.wrong(Diagnostic::error(message).help("move what both need into a third file"), at);
        }
        if self.sources.contains_key(path) {
            return;
        }
        if self.visiting.len() >= MAX_LOAD_DEPTH {
            return self
                .wrong(Diagnostic::error(format!("more than {MAX_LOAD_DEPTH} files load each other in a chain")), at);
        }
        let bytes = match self.registry.sources.read(path) {
            Ok(bytes) if bytes.len() > MAX_SOURCE_BYTES => {
                let limit = MAX_SOURCE_BYTES as u64;
                let error = SourceError::TooLarge { path: path.to_owned(), bytes: bytes.len() as u64, limit };
                return self.wrong(Diagnostic::error(error.to_string()), at);
            }
            Ok(bytes) => bytes,
            Err(_) if packs::is_pack(path) => {
                let diagnostic = Diagnostic::error(format!("there is no pack {path:?}"));
                return self.wrong(diagnostic.help(format!("the packs of this binary are {}", packs::names())), at);
            }
            Err(error) => return self.wrong(Diagnostic::error(error.to_string()), at),
        };
        let Ok(text) = String::from_utf8(bytes.clone()) else {
            return self.wrong(Diagnostic::error(format!("{path} is not text in UTF-8")), at);
        };
        if let Some(diagnostic) = crate::source::too_deep(path, &text) {
            return self.found.push(diagnostic);
        }
        match AstModule::parse(path, text, &dialect()) {
            Ok(ast) => self.parsed(path, Source { bytes, ast }),
            Err(error) => {
                let diagnostic = check::syntax(&error);
                self.found.push(diagnostic);
            }
        }
    }

    fn parsed(&mut self, path: &str, source: Source) {
        self.visiting.push(path.to_owned());
        let loads: Vec<(String, FileSpan)> =
            source.ast.loads().into_iter().map(|load| (load.module_id.to_owned(), load.span)).collect();
        let before = self.found.0.len();
        for (asked, span) in &loads {
            match normalize(asked) {
                Some(file) => self.file(&file, Some(span)),
                None => {
                    let diagnostic = Diagnostic::error(format!("{asked:?} is outside the project"))
                        .help("only files below the project's root can be loaded; give the path from there, as in load(\"lib/mysql.star\", ...)");
                    self.wrong(diagnostic, Some(span));
                }
            }
        }
        self.visiting.pop();
        let loads_are_fine = !self.found.0[before..].iter().any(|d| d.severity == Severity::Error);
        let interfaces = loads
            .iter()
            .filter_map(|(asked, _)| Some((asked.clone(), self.interfaces.get(&normalize(asked)?)?.clone())))
            .collect();
        let (checked, interface) = check::file(&source.ast, &self.registry, &interfaces);
        let is_fine = loads_are_fine && !checked.has_errors();
        checked.0.into_iter().for_each(|diagnostic| self.found.push(diagnostic));
        self.interfaces.insert(path.to_owned(), interface);
        if is_fine {
            match evaluate(path, &source.ast, &self.registry, &OPERATORS) {
                Ok(module) => {
                    self.order.push(path.to_owned());
                    self.registry.add(path, module, &check::top_level_names(&source.ast));
                }
                Err(diagnostic) => self.found.push(diagnostic),
            }
        }
        self.sources.insert(path.to_owned(), source);
    }
}

/// The same files as a planning copy: see `plan`.
pub(crate) fn planning(loaded: &Loaded) -> Result<Loaded, Diagnostics> {
    let standard = builtins::standard().map_err(|error| explain(&error.into()))?;
    let mut registry = Registry::new(loaded.registry.sources.clone(), plan::globals(), standard);
    registry.children = loaded.registry.children.clone();
    let read = |source: &Source| String::from_utf8_lossy(&source.bytes).into_owned();
    let instrumented = |(path, source): (&String, &Source)| (path.clone(), instrument(&source.ast, &read(source)));
    registry.planning = Some(loaded.sources.iter().map(instrumented).collect());
    for path in &loaded.order {
        let Some(source) = loaded.sources.get(path) else { continue };
        let text = registry.planning.as_ref().and_then(|all| all.get(path)).map(|source| source.text.clone());
        let dialect = Dialect { enable_types: DialectTypes::ParseOnly, ..dialect() };
        let ast = AstModule::parse(path, text.unwrap_or_default(), &dialect).map_err(|error| explain(&error))?;
        let module = evaluate(path, &ast, &registry, &plan::OPERATORS)?;
        registry.add(path, module, &check::top_level_names(&source.ast));
    }
    // Checks are calls, too.
    let limits = Limits { ticks: loaded.limits.ticks.saturating_mul(4), ..loaded.limits };
    let sources = loaded.sources.iter().map(|(path, source)| (path.clone(), source.clone())).collect();
    Ok(Loaded { registry, sources, order: loaded.order.clone(), warnings: Diagnostics::default(), limits })
}

/// Hands out the files that are loaded already.
struct Files<'r>(&'r Registry);

impl FileLoader for Files<'_> {
    fn load(&self, path: &str) -> starlark::Result<FrozenModule> {
        let module = normalize(path).and_then(|file| self.0.modules.get(&file).cloned());
        module.ok_or_else(|| crate::error::author(format!("{path} is not loaded")).raise())
    }
}

fn evaluate(
    path: &str,
    ast: &AstModule,
    registry: &Registry,
    operators: &[(&str, &str)],
) -> Result<FrozenModule, Diagnostic> {
    let mut ast = ast.clone();
    // The type checker has seen the file as written; what runs guards operators that can multiply a value.
    ast.replace_binary_operators(
        &operators.iter().map(|(operator, function)| ((*operator).to_owned(), (*function).to_owned())).collect(),
    );
    Module::with_temp_heap(|module| {
        let session = Session::loading(registry, path);
        let files = Files(registry);
        {
            let mut eval = Evaluator::new(&module);
            eval.set_loader(&files);
            eval.extra = Some(&session);
            guard::set(&mut eval, Limits::default()).map_err(|error| explain(&error))?;
            eval.eval_module(ast, &registry.globals).map_err(|error| explain(&error))?;
        }
        module.freeze_named(FrozenHeapName::User(Box::new(path.to_owned()))).map_err(|error| explain(&error.into()))
    })
}
