//! The signature of `main` as the runbook's interface: parameters with types, defaults and words.
//!
//! Owns reading it from the source and the frozen function. Reading what a person types is in `params`.

use crate::check::top_level_names;
use crate::codec::encode;
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::error::explain;
use crate::guard;
use crate::limits::Limits;
use crate::load::{Loaded, dialect};
use crate::plan;
use crate::registry::{Registry, is_enum_type};
use crate::session::Session;
use piton_core::Value;
use piton_core::request::FieldType;
use piton_core::value::Definition;
use starlark::docs::{DocFunction, DocItem, DocMember, DocStringKind};
use starlark::environment::Module;
use starlark::eval::Evaluator;
use starlark::syntax::AstModule;
use starlark::syntax::ast::{AstLiteral, AstNoPayload, AstStmt, DefP, Expr, Parameter, Stmt};
use starlark::values::typing::TypeCompiled;
use starlark::values::{Heap, Value as Live};
use std::collections::BTreeMap;

pub(crate) use crate::params::ParamError;

/// Types nested in each other in a parameter.
const MAX_TYPE_DEPTH: usize = 8;

#[derive(Clone, Debug, PartialEq)]
pub struct Param {
    pub name: String,
    pub ty: FieldType,
    /// Absent: it must be given.
    pub default: Option<Value>,
    /// Its line of the docstring's `Args:`.
    pub doc: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Interface {
    /// First line of the file's docstring, else of `main`'s, else the file's name.
    pub title: String,
    /// First paragraph of `main`'s docstring, or of the file's.
    pub summary: Option<String>,
    /// The rest of `main`'s docstring, without `Args:`.
    pub details: Option<String>,
    pub params: Vec<Param>,
    /// Where the records and enums among the types are defined, by name.
    pub(crate) definitions: BTreeMap<String, Definition>,
}

pub(crate) fn read(loaded: &Loaded, file: &str) -> Result<Interface, Diagnostics> {
    let Some(source) = loaded.sources.get(file) else {
        return Err(Diagnostic::error(format!("{file} is not loaded")).into());
    };
    let Some((def, span)) = main_of(&source.ast) else {
        return Err(Diagnostic::error(format!("{file} has no `main` function"))
            .help("a runbook starts with `def main(...)`; its parameters are what a run is given")
            .into());
    };
    let docs = documentation(loaded, file, def);
    let mut interface = Interface { definitions: loaded.registry.definitions_by_name(), ..Interface::default() };
    words(&mut interface, loaded, file, &docs);
    let mut wrong = Diagnostics::default();
    for param in &def.params {
        let (name, ty, default) = match &param.node {
            Parameter::Normal(name, ty, default) => (name, ty, default),
            Parameter::NoArgs | Parameter::Slash => continue,
            Parameter::Args(name, _) | Parameter::KwArgs(name, _) => {
                wrong.push(
                    Diagnostic::error(format!(
                        "`main` cannot have the parameter `{}` that takes any arguments",
                        name.ident
                    ))
                    .at(&source.ast.file_span(param.span))
                    .help("its parameters are the runbook's interface: give each a name and a type"),
                );
                continue;
            }
        };
        let text = |span| source.ast.file_span(span).source_span().to_owned();
        let asked = ty.as_ref().map(|ty| text(ty.expr.span));
        let ty = match asked.as_ref().map_or(Some(FieldType::Str), |asked| type_of_text(loaded, file, asked)) {
            Some(ty) => ty,
            None => {
                let asked = asked.unwrap_or_default();
                wrong.push(
                    Diagnostic::error(format!("`{asked}` is no type that a person can give on a command line"))
                        .at(&source.ast.file_span(ty.as_ref().map_or(span, |ty| ty.expr.span)))
                        .help("str, int, float, bool, duration, secret, path, list[...], an enum or a record"),
                );
                continue;
            }
        };
        let default: Option<Value> = match default {
            None => None,
            Some(default) => match value_of_text(loaded, file, &text(default.span), name.ident.as_str()) {
                Ok(value) => Some(value),
                Err(diagnostic) => {
                    wrong.push(diagnostic.at(&source.ast.file_span(default.span)));
                    continue;
                }
            },
        };
        // Without a type its default tells; without either, a text is what a command line has.
        let ty = match (&asked, &default) {
            (None, Some(default)) => type_of_value(default).unwrap_or(ty),
            _ => ty,
        };
        let doc = docs.as_ref().and_then(|docs| {
            let param = docs.params.regular_params().find(|param| param.name == name.ident)?;
            Some(param.docs.as_ref()?.summary.clone())
        });
        interface.params.push(Param { name: name.ident.clone(), ty, default, doc });
    }
    if wrong.has_errors() { Err(wrong) } else { Ok(interface) }
}

type Def = DefP<AstNoPayload>;

fn main_of(ast: &AstModule) -> Option<(&Def, starlark::codemap::Span)> {
    fn find(stmt: &AstStmt) -> Option<(&Def, starlark::codemap::Span)> {
        match &stmt.node {
            Stmt::Def(def) if def.name.ident == "main" => Some((def, def.name.span)),
            Stmt::Statements(all) => all.iter().find_map(find),
            _ => None,
        }
    }
    find(ast.statement())
}

fn documentation(loaded: &Loaded, file: &str, main: &Def) -> Option<DocFunction> {
    let frozen = loaded.registry.value(&Definition { file: file.to_owned(), name: "main".to_owned() })?;
    let DocItem::Member(DocMember::Function(docs)) = frozen.value().documentation() else { return None };
    let Some(text) = docstring(&main.body) else { return Some(docs) };
    let mut docs =
        DocFunction::from_docstring(DocStringKind::Starlark, docs.params, docs.ret.typ, Some(&args_apart(text)));
    docs.docs = docs.docs.filter(|docs| docs.summary != NO_SUMMARY);
    Some(docs)
}

/// Stands where a docstring has no words before its `Args:`.
const NO_SUMMARY: &str = "-";

/// The text that a function's body begins with.
fn docstring(body: &AstStmt) -> Option<&str> {
    match &body.node {
        Stmt::Statements(all) => docstring(all.first()?),
        Stmt::Expression(expr) => match &expr.node {
            Expr::Literal(AstLiteral::String(text)) => Some(&text.node),
            _ => None,
        },
        _ => None,
    }
}

/// The docstring with its `Args:` in a paragraph that is not the first: there alone the language's crate finds it.
fn args_apart(text: &str) -> String {
    let mut apart = String::new();
    for line in text.split_inclusive('\n') {
        if matches!(line.trim(), "Args:" | "Arguments:") {
            apart.push_str(if apart.trim().is_empty() { NO_SUMMARY } else { "" });
            apart.push_str("\n\n");
        }
        apart.push_str(line);
    }
    apart
}

fn words(interface: &mut Interface, loaded: &Loaded, file: &str, docs: &Option<DocFunction>) {
    let of_file = loaded.registry.modules.get(file).and_then(|module| module.documentation().docs);
    let of_main = docs.as_ref().and_then(|docs| docs.docs.clone());
    let summary = |docs: &Option<starlark::docs::DocString>| docs.as_ref().map(|docs| docs.summary.clone());
    interface.title = summary(&of_file).or_else(|| summary(&of_main)).unwrap_or_else(|| file.to_owned());
    interface.summary = summary(&of_main).or_else(|| of_file.as_ref().and_then(|docs| docs.details.clone()));
    let details = of_main.and_then(|docs| docs.details).map(|details| without_args(&details));
    interface.details = details.filter(|details| !details.is_empty());
}

/// A docstring's text without its `Args:` section, whose lines stand beside the parameters.
fn without_args(details: &str) -> String {
    let mut kept = Vec::new();
    let mut skipping = false;
    for line in details.lines() {
        let heading = !line.starts_with(char::is_whitespace) && !line.trim().is_empty();
        if heading {
            skipping = line.trim() == "Args:";
        }
        if !skipping {
            kept.push(line);
        }
    }
    kept.join("\n").trim().to_owned()
}

/// Evaluates an expression of a file among that file's names.
fn evaluate<R>(
    loaded: &Loaded,
    file: &str,
    text: &str,
    read: impl for<'v> FnOnce(Live<'v>, &mut Evaluator<'v, '_, '_>) -> R,
) -> Result<R, Diagnostic> {
    let registry = &loaded.registry;
    let ast = AstModule::parse(file, format!("({text})\n"), &dialect()).map_err(|error| explain(&error))?;
    Module::with_temp_heap(|module| {
        let session = Session::loading(registry, file);
        for (name, value) in names_of(loaded, file) {
            module.set(&name, module.heap().access_owned_frozen_value(&value));
        }
        let mut eval = Evaluator::new(&module);
        eval.extra = Some(&session);
        guard::set(&mut eval, Limits::default()).map_err(|error| explain(&error))?;
        let value = eval.eval_module(ast, &registry.globals).map_err(|error| explain(&error))?;
        Ok(read(value, &mut eval))
    })
}

/// Everything that a file names at its top level: its own and what it loads.
fn names_of(loaded: &Loaded, file: &str) -> Vec<(String, starlark::values::OwnedFrozenValue)> {
    let Some(source) = loaded.sources.get(file) else { return Vec::new() };
    let mut names: Vec<(String, Definition)> = Vec::new();
    for load in source.ast.loads() {
        let Some(from) = crate::load::normalize(load.module_id) else { continue };
        for (local, their) in load.symbols {
            names.push((local.to_owned(), Definition { file: from.clone(), name: their.to_owned() }));
        }
    }
    for name in top_level_names(&source.ast) {
        names.push((name.clone(), Definition { file: file.to_owned(), name }));
    }
    names.into_iter().filter_map(|(name, of)| Some((name, loaded.registry.value(&of)?))).collect()
}

fn value_of_text(loaded: &Loaded, file: &str, text: &str, name: &str) -> Result<Value, Diagnostic> {
    evaluate(loaded, file, text, |value, eval| {
        encode(value, name, &loaded.registry, eval.heap()).map_err(|error| explain(&error.raise()))
    })?
}

/// The type that a value of a simple kind has.
fn type_of_value(value: &Value) -> Option<FieldType> {
    Some(match value {
        Value::Bool(_) => FieldType::Bool,
        Value::Int(_) => FieldType::Int,
        Value::Float(_) => FieldType::Float,
        Value::Str(_) => FieldType::Str,
        Value::Duration(_) => FieldType::Duration,
        Value::Secret(_) => FieldType::Secret,
        Value::List(items) => {
            FieldType::List(Box::new(items.first().and_then(type_of_value).unwrap_or(FieldType::Str)))
        }
        _ => return None,
    })
}

fn type_of_text(loaded: &Loaded, file: &str, text: &str) -> Option<FieldType> {
    evaluate(loaded, file, text, |value, eval| field_type_of_value(value, eval)).ok().flatten()
}

/// What a type stands for when a person gives its value; `None` where no person can.
pub(crate) fn field_type_of_value<'v>(ty: Live<'v>, eval: &Evaluator<'v, '_, '_>) -> Option<FieldType> {
    let registry = Session::of(eval).ok()?.registry;
    field_type(ty, eval.heap(), registry, MAX_TYPE_DEPTH)
}

fn field_type<'v>(ty: Live<'v>, heap: Heap<'v>, registry: &Registry, depth: usize) -> Option<FieldType> {
    let ty = plan::unwrapped(ty);
    // `path` is a string to the checker, and a path to a person.
    if ty.get_type() == "function" && ty.to_str() == "path" {
        return Some(FieldType::Path);
    }
    if let Some(of) = registry.definition_of_type(ty, heap) {
        if is_enum_type(ty) {
            let values = ty.iterate(heap).ok()?.filter_map(|value| value.get_attr("value", heap).ok().flatten());
            return Some(FieldType::Enum {
                name: of.name.clone(),
                values: values.map(|value| value.to_str()).collect(),
            });
        }
        return record(of, &ty.to_str(), registry, depth);
    }
    named(TypeCompiled::new(ty, heap).ok()?.as_ty().to_string().as_str(), registry, depth)
}

/// A record type, which prints as `record(name=field(str), rows=field(int, 0))`.
fn record(of: &Definition, printed: &str, registry: &Registry, depth: usize) -> Option<FieldType> {
    let depth = depth.checked_sub(1)?;
    let inside = printed.strip_prefix("record(")?.strip_suffix(')')?;
    let mut fields = Vec::new();
    for field in split(inside, ',') {
        let (name, ty) = field.split_once('=')?;
        let ty = ty.trim().strip_prefix("field(")?.strip_suffix(')')?;
        fields.push((name.trim().to_owned(), named(split(ty, ',').first()?.trim(), registry, depth)?));
    }
    Some(FieldType::Record { name: of.name.clone(), fields })
}

/// Parts between separators that stand outside brackets and quotes.
fn split(text: &str, separator: char) -> Vec<&str> {
    let (mut parts, mut start, mut depth, mut quoted, mut escaped) = (Vec::new(), 0, 0i32, false, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ if quoted => {}
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth -= 1,
            c if c == separator && depth == 0 => {
                parts.push(&text[start..at]);
                start = at + c.len_utf8();
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts.retain(|part| !part.trim().is_empty());
    parts
}

/// A type by the words it prints as.
fn named(text: &str, registry: &Registry, depth: usize) -> Option<FieldType> {
    let depth = depth.checked_sub(1)?;
    let alternatives = split(text, '|');
    if alternatives.len() > 1 {
        let rest: Vec<&str> = alternatives.iter().map(|part| part.trim()).filter(|part| *part != "None").collect();
        return match rest.as_slice() {
            [only] if alternatives.len() == 2 => Some(FieldType::Optional(Box::new(named(only, registry, depth)?))),
            // A number written with or without a fraction.
            ["float", "int"] | ["int", "float"] => Some(FieldType::Float),
            _ => None,
        };
    }
    Some(match text.trim() {
        "str" | "string" => FieldType::Str,
        "int" => FieldType::Int,
        "float" => FieldType::Float,
        "bool" => FieldType::Bool,
        "duration" => FieldType::Duration,
        "secret" => FieldType::Secret,
        "typing.Any" => FieldType::Any,
        list if list.starts_with("list[") => {
            FieldType::List(Box::new(named(list.strip_prefix("list[")?.strip_suffix(']')?, registry, depth)?))
        }
        name => {
            let of = registry.definition_of_type_named(name)?;
            let owned = registry.value(&of)?;
            return Heap::temp(|heap| field_type(heap.access_owned_frozen_value(&owned), heap, registry, depth));
        }
    })
}
