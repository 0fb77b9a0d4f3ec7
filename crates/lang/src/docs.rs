//! A runbook as a Markdown page: title, words, parameters.

use crate::interface::Interface;
use piton_core::Value;
use piton_core::request::FieldType;
use std::fmt::Write as _;

/// A type as an author writes it.
pub fn type_name(ty: &FieldType) -> String {
    match ty {
        FieldType::Str => "str".into(),
        FieldType::Int => "int".into(),
        FieldType::Float => "float".into(),
        FieldType::Bool => "bool".into(),
        FieldType::Duration => "duration".into(),
        FieldType::Secret => "secret".into(),
        FieldType::Path => "path".into(),
        FieldType::Any => "any".into(),
        FieldType::List(inner) => format!("list[{}]", type_name(inner)),
        FieldType::Optional(inner) => format!("{} or None", type_name(inner)),
        FieldType::Enum { values, .. } => values.join(" \\| "),
        FieldType::Record { name, fields } => {
            let fields: Vec<String> = fields.iter().map(|(name, ty)| format!("{name}: {}", type_name(ty))).collect();
            format!("{name}({})", fields.join(", "))
        }
    }
}

pub(crate) fn page(interface: &Interface, file: &str) -> String {
    let mut page = format!("# {}\n\n", interface.title);
    for text in [&interface.summary, &interface.details].into_iter().flatten() {
        if *text != interface.title {
            let _ = write!(page, "{text}\n\n");
        }
    }
    let _ = write!(page, "```\npiton run {file}");
    for param in interface.params.iter().filter(|param| param.default.is_none()) {
        let _ = write!(page, " --{} {}", flag(&param.name), flag(&param.name).to_uppercase());
    }
    page.push_str("\n```\n");
    if interface.params.is_empty() {
        return page;
    }
    page.push_str("\n| parameter | type | default | |\n|---|---|---|---|\n");
    for param in &interface.params {
        let default = param.default.as_ref().map_or_else(String::new, |value| format!("`{}`", plain(value)));
        let doc = param.doc.as_deref().unwrap_or_default().replace('\n', " ").replace('|', "\\|");
        let _ = writeln!(page, "| `--{}` | {} | {default} | {doc} |", flag(&param.name), type_name(&param.ty));
    }
    if interface.params.iter().any(|param| param.ty == FieldType::Secret) {
        page.push_str("\nA secret is given by reference: `env:NAME`, `file:PATH` or `cmd:COMMAND`.\n");
    }
    page
}

/// A default as a person would give it.
fn plain(value: &Value) -> String {
    match value {
        Value::Str(text) => text.to_string(),
        Value::Enum { value, .. } => plain(value),
        other => other.to_string(),
    }
}

/// The flag of a parameter: `pause_budget` is `--pause-budget`.
pub fn flag(name: &str) -> String {
    name.replace('_', "-")
}
