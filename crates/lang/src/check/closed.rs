//! Comparisons that can never hold: of a parameter that has one of a few values with something else.
//!
//! Sees parameters whose type is an `enum(...)` of the same file, in functions that do not assign to them. What this does
//! not see is no mistake.

use super::{File, literal, targets, top_level};
use crate::diagnostic::{Diagnostic, Diagnostics};
use starlark::syntax::ast::{AstExpr, AstParameter, AstStmt, BinOp, Expr, Parameter, Stmt};
use std::collections::HashMap;

/// The values of an `enum(...)`, and its name.
type Enum<'a> = (&'a str, Vec<&'a str>);

pub(super) fn check<'a>(file: &File<'a>, found: &mut Diagnostics) {
    let mut enums: HashMap<&'a str, Vec<&'a str>> = HashMap::new();
    top_level(file.ast.statement(), &mut |stmt| {
        if let Stmt::Assign(assign) = &stmt.node
            && let starlark::syntax::ast::AssignTarget::Identifier(name) = &assign.lhs.node
            && let Some(values) = values(file, &assign.rhs)
        {
            enums.insert(name.ident.as_str(), values);
        }
    });
    if !enums.is_empty() {
        defs(file, &enums, file.ast.statement(), found);
    }
}

/// The values of `enum("a", "b")`, all written out.
fn values<'a>(file: &File<'a>, expr: &'a AstExpr) -> Option<Vec<&'a str>> {
    let call = file.builtin_call(expr).filter(|call| call.name == "enum" && !call.is_open())?;
    (0..call.args.len()).map(|index| call.positional(index).and_then(literal)).collect()
}

fn defs<'a>(file: &File<'a>, enums: &HashMap<&'a str, Vec<&'a str>>, stmt: &'a AstStmt, found: &mut Diagnostics) {
    if let Stmt::Def(def) = &stmt.node {
        let mut closed: HashMap<&'a str, Enum<'a>> =
            def.params.iter().filter_map(|param| of_enum(enums, param)).collect();
        assigned(&def.body, &mut |name| drop(closed.remove(name)));
        if !closed.is_empty() {
            super::expressions(&def.body, &mut |expr| comparison(file, &closed, expr, found));
        }
    }
    stmt.node.visit_stmt(|inner| defs(file, enums, inner, found));
}

fn of_enum<'a>(enums: &HashMap<&'a str, Vec<&'a str>>, param: &'a AstParameter) -> Option<(&'a str, Enum<'a>)> {
    let Parameter::Normal(name, Some(ty), _) = &param.node else { return None };
    let Expr::Identifier(of) = &ty.node.expr.node else { return None };
    let (of, values) = enums.get_key_value(of.node.ident.as_str())?;
    Some((name.node.ident.as_str(), (of, values.clone())))
}

/// Names that a function's body gives another value.
fn assigned<'a>(stmt: &'a AstStmt, visit: &mut dyn FnMut(&'a str)) {
    match &stmt.node {
        Stmt::Assign(assign) => targets(&assign.lhs.node, visit),
        Stmt::AssignModify(target, ..) => targets(&target.node, visit),
        Stmt::For(of) => targets(&of.var.node, visit),
        _ => {}
    }
    stmt.node.visit_stmt(|inner| assigned(inner, visit));
}

fn comparison<'a>(file: &File<'a>, closed: &HashMap<&'a str, Enum<'a>>, expr: &'a AstExpr, found: &mut Diagnostics) {
    let Expr::Op(left, op, right) = &expr.node else { return };
    let texts: Vec<&'a AstExpr> = match (op, &right.node) {
        (BinOp::Equal | BinOp::NotEqual, _) => vec![left, right],
        (BinOp::In | BinOp::NotIn, Expr::List(items) | Expr::Tuple(items)) => {
            std::iter::once(&**left).chain(items).collect()
        }
        _ => return,
    };
    let Some((name, (of, values), whole)) = texts.iter().find_map(|side| subject(closed, side)) else { return };
    let wrong = texts.iter().filter_map(|side| Some((*side, literal(side)?)));
    for (side, text) in wrong.filter(|(_, text)| whole || !values.contains(text)) {
        let always = if matches!(op, BinOp::NotEqual | BinOp::NotIn) { "always" } else { "never" };
        let help = match values.contains(&text) {
            true => format!("`{name}` is a value of {of}, not a text: compare {name}.value, or with {of}({text:?})"),
            false => format!("`{name}` is one of {}", values.join(", ")),
        };
        found.push(
            Diagnostic::error(format!("this comparison with {text:?} {always} holds"))
                .warning()
                .at(&file.span(side.span))
                .help(help),
        );
    }
}

/// The parameter that one side is, and whether it is the enum's value itself or its text.
fn subject<'a, 'c>(closed: &'c HashMap<&'a str, Enum<'a>>, side: &'a AstExpr) -> Option<(&'a str, &'c Enum<'a>, bool)> {
    let (name, whole) = match &side.node {
        Expr::Identifier(name) => (name, true),
        Expr::Dot(object, attribute) if attribute.node == "value" => match &object.node {
            Expr::Identifier(name) => (name, false),
            _ => return None,
        },
        _ => return None,
    };
    closed.get_key_value(name.node.ident.as_str()).map(|(name, of)| (*name, of, whole))
}
