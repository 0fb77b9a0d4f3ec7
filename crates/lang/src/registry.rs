//! The loaded files of a runbook: frozen modules, and which value is defined where.
//!
//! Owns the way from a definition (file and name) to its value and back, which is how functions, records and enums
//! cross threads and the journal. Never evaluates.

use crate::check::Signatures;
use crate::children::Child;
use crate::plan::Instrumented;
use piton_core::Digest;
use piton_core::ports::{SourceError, Sources};
use piton_core::value::Definition;
use starlark::codemap::FileSpan;
use starlark::environment::{FrozenModule, Globals};
use starlark::typing::Ty;
use starlark::values::enumeration::EnumType;
use starlark::values::record::RecordType;
use starlark::values::typing::TypeCompiled;
use starlark::values::{Heap, OwnedFrozenValue, Value, ValueIdentity, ValueTypedComplex};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

pub(crate) struct Registry {
    pub(crate) sources: Arc<dyn Sources>,
    pub(crate) globals: Globals,
    pub(crate) signatures: Signatures,
    /// The standard globals, for built-ins of ours that wrap one of them.
    pub(crate) standard: FrozenModule,
    pub(crate) modules: BTreeMap<String, FrozenModule>,
    functions: HashMap<ValueIdentity<'static>, Definition>,
    types: HashMap<Ty, Definition>,
    /// The runbooks that this one may run, by their files.
    pub(crate) children: BTreeMap<String, Child>,
    scripts: Mutex<HashMap<String, Digest>>,
    /// Of the planning copy: the sources as they are evaluated. `None` for the runbook itself.
    pub(crate) planning: Option<HashMap<String, Instrumented>>,
}

impl Registry {
    pub(crate) fn new(sources: Arc<dyn Sources>, globals: Globals, standard: FrozenModule) -> Self {
        Self {
            sources,
            signatures: Signatures::of(&globals),
            globals,
            standard,
            modules: BTreeMap::new(),
            functions: HashMap::new(),
            types: HashMap::new(),
            children: BTreeMap::new(),
            scripts: Mutex::new(HashMap::new()),
            planning: None,
        }
    }

    /// The author's place of a stretch of what is evaluated.
    pub(crate) fn original(&self, span: &FileSpan) -> FileSpan {
        let instrumented = self.planning.as_ref().and_then(|sources| sources.get(span.filename()));
        instrumented.map_or_else(|| span.clone(), |source| source.original(span.span))
    }

    /// Takes in a frozen module and the names its source defines at top level, in their order. Modules come after
    /// those they load, so a value is known by the file that made it.
    pub(crate) fn add(&mut self, file: &str, module: FrozenModule, names: &[String]) {
        for name in names {
            let Ok((owned, _)) = module.get_any_visibility(name) else { continue };
            let definition = || Definition { file: file.to_owned(), name: name.clone() };
            if owned.value().get_type() != "function" {
                continue;
            }
            Heap::temp(|heap| {
                let value = heap.access_owned_frozen_value(&owned);
                match instance_type(value, heap) {
                    Some(ty) => _ = self.types.entry(ty).or_insert_with(definition),
                    None => {
                        if let Some(identity) = frozen_identity(value) {
                            self.functions.entry(identity).or_insert_with(definition);
                        }
                    }
                }
            });
        }
        self.modules.insert(file.to_owned(), module);
    }

    pub(crate) fn value(&self, definition: &Definition) -> Option<OwnedFrozenValue> {
        let (value, _) = self.modules.get(&definition.file)?.get_any_visibility(&definition.name).ok()?;
        Some(value)
    }

    /// Where a top-level function is defined.
    pub(crate) fn definition_of_function(&self, function: Value<'_>) -> Option<&Definition> {
        self.functions.get(&frozen_identity(function)?)
    }

    /// Where the type of a record or an enum value is defined.
    pub(crate) fn definition_of_instance(&self, value: Value<'_>) -> Option<&Definition> {
        self.types.get(&Ty::of_value(value))
    }

    /// Where a record or enum type itself is defined.
    pub(crate) fn definition_of_type<'v>(&self, ty: Value<'v>, heap: Heap<'v>) -> Option<&Definition> {
        self.types.get(&instance_type(ty, heap)?)
    }

    /// The record or enum type of that name, in the first file that defines one.
    pub(crate) fn definition_of_type_named(&self, name: &str) -> Option<Definition> {
        self.definitions_by_name().remove(name)
    }

    /// Every record and enum type; of several with one name, that of the first file.
    pub(crate) fn definitions_by_name(&self) -> BTreeMap<String, Definition> {
        let mut all: Vec<&Definition> = self.types.values().collect();
        all.sort_by(|a, b| (&b.file, &b.name).cmp(&(&a.file, &a.name)));
        all.into_iter().map(|of| (of.name.clone(), of.clone())).collect()
    }

    /// Content digest of a script, read once.
    pub(crate) fn script_digest(&self, path: &str) -> Result<Digest, SourceError> {
        let mut scripts = self.scripts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(digest) = scripts.get(path) {
            return Ok(*digest);
        }
        let digest = Digest::of_bytes(&self.sources.read(path)?);
        scripts.insert(path.to_owned(), digest);
        Ok(digest)
    }
}

/// The type of a record type's or enum type's instances; `None` for functions.
fn instance_type<'v>(value: Value<'v>, heap: Heap<'v>) -> Option<Ty> {
    let is_type = ValueTypedComplex::<RecordType>::new(value).is_some() || is_enum_type(value);
    if !is_type {
        return None;
    }
    TypeCompiled::new(value, heap).ok().map(|ty| ty.as_ty().clone())
}

pub(crate) fn is_enum_type(value: Value<'_>) -> bool {
    ValueTypedComplex::<EnumType>::new(value).is_some()
}

fn frozen_identity(value: Value<'_>) -> Option<ValueIdentity<'static>> {
    Some(value.unpack_frozen()?.to_value().identity())
}
