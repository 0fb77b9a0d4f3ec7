//! Options that a built-in does not have, and arguments that it needs.
//!
//! The type checker finds these too; it cannot say which built-in is meant, nor what was probably meant.

use super::{File, expressions};
use crate::diagnostic::{Diagnostic, Diagnostics};
use starlark::docs::{DocItem, DocMember, DocParams};
use starlark::environment::Globals;
use starlark::syntax::ast::Argument;
use std::collections::{HashMap, HashSet};

/// The parameters of every built-in.
pub(crate) struct Signatures(HashMap<String, DocParams>);

impl Signatures {
    pub(crate) fn of(globals: &Globals) -> Self {
        let function = |(name, item): (String, DocItem)| match item {
            DocItem::Member(DocMember::Function(docs)) => Some((name, docs.params)),
            DocItem::Type(docs) => Some((name, docs.constructor?.params)),
            _ => None,
        };
        Self(globals.documentation().members.into_iter().filter_map(function).collect())
    }
}

pub(super) fn check<'a>(file: &File<'a>, signatures: &Signatures, found: &mut Diagnostics) {
    expressions(file.ast.statement(), &mut |expr| {
        let Some(call) = file.builtin_call(expr) else { return };
        let Some(params) = signatures.0.get(call.name) else { return };
        let mut given: HashSet<&str> = HashSet::new();
        let (mut positional, mut open) = (0, false);
        for arg in call.args {
            match &arg.node {
                Argument::Positional(_) => positional += 1,
                Argument::Named(name, _) => {
                    given.insert(name.node.as_str());
                    if let Some(diagnostic) = unknown(call.name, name.node.as_str(), params) {
                        found.push(diagnostic.at(&file.span(name.span)));
                    }
                }
                Argument::Args(_) | Argument::KwArgs(_) => open = true,
            }
        }
        if !open {
            let missing = missing(params, positional, &given);
            if !missing.is_empty() {
                let message = format!("{}() needs {}", call.name, missing.join(" and "));
                found.push(Diagnostic::error(message).at(&file.span(call.expr.span)));
            }
        }
    });
}

fn unknown(builtin: &str, name: &str, params: &DocParams) -> Option<Diagnostic> {
    if params.kwargs.is_some() {
        return None;
    }
    let known: Vec<&str> =
        params.pos_or_named.iter().chain(&params.named_only).map(|param| param.name.as_str()).collect();
    if known.contains(&name) {
        return None;
    }
    let diagnostic = Diagnostic::error(format!("{builtin}() has no option `{name}`"));
    let closest = known.iter().map(|known| (distance(known, name), *known)).min();
    Some(match closest {
        Some((distance, closest)) if distance <= 2 => diagnostic.help(format!("did you mean `{closest}`?")),
        Some(_) => diagnostic.help(format!("its options are {}", known.join(", "))),
        None => diagnostic.help("it has no options"),
    })
}

fn missing(params: &DocParams, positional: usize, given: &HashSet<&str>) -> Vec<String> {
    let in_order = params.pos_only.iter().chain(&params.pos_or_named);
    let needed = in_order.skip(positional).chain(&params.named_only);
    needed
        .filter(|param| param.default_value.is_none() && !given.contains(param.name.as_str()))
        .map(|param| format!("`{}`", param.name))
        .collect()
}

/// Levenshtein's distance: insertions, deletions and replacements between two words.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
