//! Child runs: the runbooks that a runbook may run, found where their paths are written out and loaded with it.
//!
//! Owns finding them, refusing circles, and fitting what a call gives to the child's signature. Nothing is run here: an
//! engine starts a child from the snapshot that these files go into.

use crate::check::{ChildCall, child_calls};
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::interface::Interface;
use crate::load::{Loaded, normalize};
use crate::runbook::Runbook;
use piton_core::child::MAX_DEPTH;
use piton_core::hole;
use piton_core::ports::Sources;
use piton_core::request::FieldType;
use piton_core::{Digest, Value};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// What a run needs to know of a runbook that it may run.
#[derive(Clone)]
pub(crate) struct Child {
    pub(crate) interface: Interface,
    /// Of its sources and scripts.
    pub(crate) digest: Digest,
}

/// Loads what is run, once each, on the way from a runbook to those below it.
pub(crate) struct Finder {
    pub(crate) sources: Arc<dyn Sources>,
    /// The runbooks that run each other, outermost first.
    visiting: Vec<String>,
    known: HashMap<String, Arc<Runbook>>,
}

impl Finder {
    pub(crate) fn new(sources: Arc<dyn Sources>) -> Self {
        Self { sources, visiting: Vec::new(), known: HashMap::new() }
    }

    /// The runbooks that a loaded one may run, by their files.
    pub(crate) fn children(
        &mut self,
        file: &str,
        loaded: &Loaded,
    ) -> Result<BTreeMap<String, Arc<Runbook>>, Diagnostics> {
        let mut children: BTreeMap<String, Arc<Runbook>> = BTreeMap::new();
        let mut found = Diagnostics::default();
        self.visiting.push(file.to_owned());
        for call in loaded.sources.values().flat_map(|source| child_calls(&source.ast)) {
            match self.child(&call) {
                Ok(child) => {
                    check_given(&call, child.interface(), &mut found);
                    children.insert(child.file().to_owned(), child);
                }
                Err(wrong) => wrong.0.into_iter().for_each(|diagnostic| found.push(diagnostic)),
            }
        }
        self.visiting.pop();
        if found.has_errors() { Err(found) } else { Ok(children) }
    }

    fn child(&mut self, call: &ChildCall) -> Result<Arc<Runbook>, Diagnostics> {
        let wrong = |message: String, help: &str| -> Diagnostics {
            Diagnostic::error(message).at(&call.at).help(help.to_owned()).into()
        };
        let Some(file) = normalize(&call.file) else {
            let message = format!("{:?} is outside the project", call.file);
            return Err(wrong(message, "a runbook to run lies below the project's root; give its path from there"));
        };
        if let Some(from) = self.visiting.iter().position(|visiting| *visiting == file) {
            let circle: Vec<&str> = self.visiting[from..].iter().map(String::as_str).chain([file.as_str()]).collect();
            let message = if circle.len() == 2 {
                format!("{file} would run itself")
            } else {
                format!("runbooks run each other in a circle: {}", circle.join(" -> "))
            };
            return Err(wrong(message, "such a run would never end; use each(...) over a list, or phase(...)"));
        }
        if self.visiting.len() > MAX_DEPTH {
            let message = format!("runbooks run each other more than {MAX_DEPTH} levels deep");
            return Err(wrong(message, "each level is a process of its own; use load(...) and phase(...)"));
        }
        if let Some(known) = self.known.get(&file) {
            return Ok(known.clone());
        }
        if let Err(error) = self.sources.read(&file) {
            return Err(wrong(error.to_string(), "its path starts at the project's root"));
        }
        let child = Runbook::load_below(self, &file).map_err(|mut found| {
            // What is wrong with the file as a whole has no place but the call.
            let call = call.at.clone();
            found.0 = (found.0.into_iter())
                .map(|diagnostic| if diagnostic.place.is_none() { diagnostic.at(&call) } else { diagnostic })
                .collect();
            found
        })?;
        let child = Arc::new(child);
        self.known.insert(file, child.clone());
        Ok(child)
    }
}

/// What a call gives, as far as it is written out.
fn check_given(call: &ChildCall, interface: &Interface, found: &mut Diagnostics) {
    for (name, value, at) in &call.given {
        let value = match value {
            Some(value) => value.clone(),
            None if interface.param(name).is_some() => continue,
            None => Value::None,
        };
        if let Err(error) = interface.fit(name, value) {
            found.push(wrong_param(&call.file, &error.message).at(at));
        }
    }
    let given = |name: &str| call.given.iter().any(|(known, ..)| known == name);
    let missing: Vec<&str> = (interface.params.iter())
        .filter(|param| param.default.is_none() && !given(&param.name))
        .map(|param| param.name.as_str())
        .collect();
    if !call.is_open && !missing.is_empty() {
        let message = format!("{} needs {}", call.file, missing.join(" and "));
        let help = "its parameters are given by name: run(\"Name\", \"file.star\", parameter = value)";
        found.push(Diagnostic::error(message).at(&call.call).help(help.to_owned()));
    }
}

pub(crate) fn wrong_param(file: &str, message: &str) -> Diagnostic {
    Diagnostic::error(format!("{file}: {message}"))
}

impl Interface {
    /// The value as the parameter takes it; the message names the parameter.
    pub(crate) fn fit(&self, name: &str, value: Value) -> Result<Value, crate::params::ParamError> {
        let error = |message: String| Err(crate::params::ParamError { name: name.to_owned(), message });
        let Some(param) = self.param(name) else {
            let names: Vec<&str> = self.params.iter().map(|param| param.name.as_str()).collect();
            let takes = if names.is_empty() { "nothing".to_owned() } else { names.join(", ") };
            return error(format!("there is no parameter `{name}`; it takes {takes}"));
        };
        // What is not known yet fits any type.
        let unknown = serde_json::to_string(&value).is_ok_and(|text| hole::first(&text).is_some());
        if unknown || param.ty.accepts(&value) {
            return Ok(value);
        }
        let wanted = match &param.ty {
            FieldType::Optional(inner) => inner,
            ty => ty,
        };
        match (wanted, &value) {
            // As other built-ins take it.
            (FieldType::Duration, Value::Str(text)) => self.parse_field(name, wanted, text).map_err(|error| {
                crate::params::ParamError { message: format!("`{name}`: {}", error.message), ..error }
            }),
            (FieldType::Secret, _) => {
                error(format!("`{name}` is a secret: hand on a parameter of type secret, or secret(\"env:NAME\")"))
            }
            (ty, value) => error(format!("`{name}` is of type {ty}, not {value}")),
        }
    }

    /// Every parameter in the signature's order: as given, else its default.
    pub(crate) fn fill(&self, given: Vec<(String, Value)>) -> Result<Vec<(String, Value)>, crate::params::ParamError> {
        let mut fitted: HashMap<String, Value> = HashMap::new();
        for (name, value) in given {
            fitted.insert(name.clone(), self.fit(&name, value)?);
        }
        let mut params = Vec::new();
        for param in &self.params {
            match fitted.remove(&param.name).or_else(|| param.default.clone()) {
                Some(value) => params.push((param.name.clone(), value)),
                None => {
                    let message = format!("`{}` must be given", param.name);
                    return Err(crate::params::ParamError { name: param.name.clone(), message });
                }
            }
        }
        Ok(params)
    }
}
