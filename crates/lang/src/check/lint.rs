//! What is questionable but may be meant: texts for SQL or a shell put together from data, writes that a crash leaves
//! to a person, writes in a window that nothing takes back.

use super::{Call, File, expressions, literal};
use crate::diagnostic::{Diagnostic, Diagnostics};
use starlark::syntax::ast::{Argument, AstExpr, AstLiteral, AstStmt, BinOp, Expr, Stmt};
use std::collections::{HashMap, HashSet};

pub(super) fn check<'a>(file: &File<'a>, found: &mut Diagnostics) {
    expressions(file.ast.statement(), &mut |expr| {
        let Some(call) = file.builtin_call(expr) else { return };
        match call.name {
            "query" | "sql" => assembled(file, call.positional(1), "SQL", "params=, ident(...) or literal(...)", found),
            "sh" => assembled(file, call.positional(0), "a shell script", "env= and \"$NAME\", or quote(...)", found),
            "step" => interrupted(file, &call, found),
            _ => {}
        }
    });
    windows(file, found);
}

/// A text that is not written out as a whole, where a part comes from data unquoted.
fn assembled<'a>(file: &File<'a>, text: Option<&'a AstExpr>, what: &str, instead: &str, found: &mut Diagnostics) {
    let Some(part) = text.filter(|text| is_assembled(text)).and_then(|text| unquoted(file, text)) else { return };
    found.push(
        Diagnostic::error(format!("{what} is put together from data that is not quoted"))
            .warning()
            .at(&file.span(part.span))
            .help(format!("a quote in the data would change what runs: use {instead}")),
    );
}

fn is_assembled(expr: &AstExpr) -> bool {
    match &expr.node {
        Expr::Op(_, BinOp::Add | BinOp::Percent, _) | Expr::FString(_) => true,
        Expr::Call(callee, _) => {
            matches!(&callee.node, Expr::Dot(_, method) if method.node == "format" || method.node == "join")
        }
        _ => false,
    }
}

/// The first part of an assembled text that is neither written out nor quoted.
fn unquoted<'a>(file: &File<'a>, expr: &'a AstExpr) -> Option<&'a AstExpr> {
    match &expr.node {
        Expr::Literal(AstLiteral::String(_) | AstLiteral::Int(_)) => None,
        Expr::Op(a, BinOp::Add, b) => unquoted(file, a).or_else(|| unquoted(file, b)),
        Expr::Op(format, BinOp::Percent, values) => {
            unquoted(file, format).or_else(|| texts(format, values).into_iter().find_map(|part| unquoted(file, part)))
        }
        Expr::Tuple(parts) | Expr::List(parts) => parts.iter().find_map(|part| unquoted(file, part)),
        Expr::FString(text) => text.expressions.iter().find_map(|part| unquoted(file, part)),
        Expr::If(parts) => unquoted(file, &parts.1).or_else(|| unquoted(file, &parts.2)),
        Expr::ListComprehension(item, ..) => unquoted(file, item),
        Expr::Call(callee, args) => match (&callee.node, file.builtin_call(expr).map(|call| call.name)) {
            (_, Some("ident" | "literal" | "quote" | "len" | "int" | "range")) => None,
            (Expr::Dot(text, method), _) if method.node == "format" || method.node == "join" => {
                unquoted(file, text).or_else(|| args.args.iter().find_map(|arg| unquoted(file, arg.node.expr())))
            }
            // A function of this file that is nothing but quoted text.
            (Expr::Identifier(name), _) => match gives(file, &name.node.ident) {
                Some(text) if unquoted(file, text).is_none() => None,
                _ => Some(expr),
            },
            _ => Some(expr),
        },
        // A name in capitals is a constant of the file.
        Expr::Identifier(name) if name.node.ident.chars().all(|c| !c.is_lowercase()) => None,
        _ => Some(expr),
    }
}

/// What a function of this file gives, where it does nothing else and calls no other.
fn gives<'a>(file: &File<'a>, name: &str) -> Option<&'a AstExpr> {
    let mut body = None;
    super::top_level(file.ast.statement(), &mut |stmt| match &stmt.node {
        Stmt::Def(def) if def.name.ident == name => body = Some(&def.body),
        _ => {}
    });
    let text = match &body?.node {
        Stmt::Return(Some(text)) => text,
        Stmt::Statements(all) => match all.as_slice() {
            [one] | [AstStmt { node: Stmt::Expression(_), .. }, one] => match &one.node {
                Stmt::Return(Some(text)) => text,
                _ => return None,
            },
            _ => return None,
        },
        _ => return None,
    };
    let mut calls = false;
    expressions(body?, &mut |part| {
        calls |= matches!(&part.node, Expr::Call(callee, _)
            if matches!(&callee.node, Expr::Identifier(name) if file.own.contains(name.node.ident.as_str())));
    });
    (!calls).then_some(text)
}

/// The values that `format % values` may turn into any text. What goes into `%d` and its like is a number, or an error.
fn texts<'a>(format: &AstExpr, values: &'a AstExpr) -> Vec<&'a AstExpr> {
    let values: Vec<&AstExpr> = match &values.node {
        Expr::Tuple(parts) => parts.iter().collect(),
        _ => vec![values],
    };
    let Some(format) = literal(format) else { return values };
    // `%%` is a percent sign and takes no value.
    let directives = format.split("%%").flat_map(|text| text.split('%').skip(1));
    let mut numbers = directives.map(|directive| directive.starts_with(['d', 'i', 'o', 'x', 'X', 'e', 'f', 'g']));
    values.into_iter().filter(|_| !numbers.next().unwrap_or(false)).collect()
}

pub(super) fn named<'a>(call: &Call<'a>, option: &str) -> Option<&'a AstExpr> {
    call.args.iter().find_map(|arg| match &arg.node {
        Argument::Named(name, value) if name.node == option => Some(value),
        _ => None,
    })
}

fn is_false(expr: &AstExpr) -> bool {
    matches!(&expr.node, Expr::Identifier(name) if name.node.ident == "False" || name.node.ident == "None")
}

/// Actions that change the world whole or not at all.
pub(super) const TRANSACTIONS: [&str; 2] = ["sql", "write_file"];

/// The call of an action that changes the world and that no transaction holds, written out in a step.
pub(super) fn writes<'a>(file: &File<'a>, action: &'a AstExpr) -> Option<&'a str> {
    let call = file.builtin_call(action)?;
    let reads = named(&call, "reads").is_some_and(|reads| !is_false(reads));
    match call.name {
        "sh" | "exec" | "script" if !reads => Some(call.name),
        "http" if !matches!(literal(call.positional(0)?)?.to_ascii_uppercase().as_str(), "GET" | "HEAD") => {
            Some(call.name)
        }
        _ => None,
    }
}

/// A program that a crash may stop half way, of which nothing says that it may be run again.
fn interrupted<'a>(file: &File<'a>, call: &Call<'a>, found: &mut Diagnostics) {
    let Some(action) = call.positional(1).and_then(|action| writes(file, action)) else { return };
    let repeatable = named(call, "repeatable").is_some_and(|repeatable| !is_false(repeatable));
    if !repeatable && !call.is_open() {
        found.push(
            Diagnostic::error(format!("a crash during this {action}() leaves a person to say what became of it"))
                .warning()
                .at(&file.span(call.expr.span))
                .help("say repeatable = True where it is safe to run again after any part of it"),
        );
    }
}

/// Writes of a window's function before its commit point, without an undo.
fn windows<'a>(file: &File<'a>, found: &mut Diagnostics) {
    let mut inside: HashSet<&'a str> = HashSet::new();
    expressions(file.ast.statement(), &mut |expr| {
        let call = file.builtin_call(expr).filter(|call| call.name == "window");
        if let Some(Expr::Identifier(name)) = call.and_then(|call| call.positional(1)).map(|function| &function.node) {
            inside.insert(name.node.ident.as_str());
        }
    });
    let mut bodies: HashMap<&'a str, &'a AstStmt> = HashMap::new();
    super::top_level(file.ast.statement(), &mut |stmt| {
        if let Stmt::Def(def) = &stmt.node {
            bodies.insert(def.name.ident.as_str(), &def.body);
        }
    });
    for body in inside.iter().filter_map(|name| bodies.get(name)) {
        let mut committed = false;
        expressions(body, &mut |expr| {
            let Some(call) = file.builtin_call(expr) else { return };
            committed |= call.name == "commit_point";
            let writes = call.name == "step"
                && call.positional(1).is_some_and(|action| {
                    let sql = file.builtin_call(action).is_some_and(|call| TRANSACTIONS.contains(&call.name));
                    sql || writes(file, action).is_some()
                });
            if writes && !committed && named(&call, "undo").is_none() && !call.is_open() {
                found.push(
                    Diagnostic::error("a write before the window's commit point, which nothing takes back")
                        .warning()
                        .at(&file.span(call.expr.span))
                        .help("the window goes back when its budget cannot be kept: give undo=, or move it behind the commit point"),
                );
            }
        });
    }
}
