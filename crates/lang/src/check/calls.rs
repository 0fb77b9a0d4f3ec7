//! Calls that are wrong by themselves: what is not there yet, lambdas that would cross threads, scripts that do not
//! exist, secrets among a program's arguments.

use super::lint::{TRANSACTIONS, named, writes};
use super::{Call, File, expressions, literal};
use crate::builtins::{LIVE_HELP, LIVE_WRITE};
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::registry::Registry;
use piton_core::Value;
use starlark::codemap::FileSpan;
use starlark::syntax::AstModule;
use starlark::syntax::ast::{Argument, AssignOp, AstExpr, AstLiteral, AstStmt, Expr, Parameter, Stmt};
use std::collections::HashSet;

pub(super) fn check<'a>(file: &File<'a>, registry: &Registry, found: &mut Diagnostics) {
    expressions(file.ast.statement(), &mut |expr| {
        let Some(call) = file.builtin_call(expr) else { return };
        match call.name {
            "guard" => guard(file, &call, found),
            "step" => live(file, &call, found),
            "run" => run(file, &call, found),
            "each" => lambda(file, call.positional(2), "each", found),
            "parallel" => {
                if let Some(Expr::Dict(branches)) = call.positional(1).map(|expr| &expr.node) {
                    branches.iter().for_each(|(_, function)| lambda(file, Some(function), "parallel", found));
                }
            }
            "script" => script(file, &call, registry, found),
            _ => {}
        }
    });
    times_in_place(file, file.ast.statement(), found);
    functions(file.ast.statement(), &mut |params, body| secrets(file, params, body, found));
}

/// `x *= n`: the bound on what it makes stands at `*`.
fn times_in_place<'a>(file: &File<'a>, stmt: &'a AstStmt, found: &mut Diagnostics) {
    if let Stmt::AssignModify(_, AssignOp::Multiply, _) = &stmt.node {
        found.push(Diagnostic::error("there is no `*=`").at(&file.span(stmt.span)).help("write it out: x = x * n"));
    }
    stmt.visit_stmt(|inner| times_in_place(file, inner, found));
}

fn lambda<'a>(file: &File<'a>, function: Option<&'a AstExpr>, builtin: &str, found: &mut Diagnostics) {
    let Some(function) = function.filter(|function| matches!(function.node, Expr::Lambda(_))) else { return };
    found.push(
        Diagnostic::error(match builtin {
            "guard" => "guard() cannot ask a lambda: it belongs to the thread that made it".to_owned(),
            _ => format!("{builtin}() cannot run a lambda: it belongs to the thread that made it"),
        })
        .at(&file.span(function.span))
        .help("write a top-level `def`; give it what it needs as arguments or with partial(fn, ...)"),
    );
}

/// What a guard looks at and asks, where it is written out.
fn guard<'a>(file: &File<'a>, call: &Call<'a>, found: &mut Diagnostics) {
    lambda(file, named(call, "predicate"), "guard", found);
    let Some(action) = call.positional(1).or_else(|| named(call, "action")) else { return };
    let transaction = || file.builtin_call(action).map(|call| call.name).filter(|name| TRANSACTIONS.contains(name));
    if let Some(action_name) = writes(file, action).or_else(transaction) {
        found.push(
            Diagnostic::error(format!("a guard only looks, and {action_name}() changes the world"))
                .at(&file.span(action.span))
                .help("say reads = True where the command changes nothing"),
        );
    }
}

/// A plan changes nothing, whatever a step says.
fn live<'a>(file: &File<'a>, call: &Call<'a>, found: &mut Diagnostics) {
    let says = named(call, "plan").and_then(literal).is_some_and(|plan| plan == "live");
    let Some(action) = call.positional(1).or_else(|| named(call, "action")).filter(|_| says) else { return };
    let transaction = || file.builtin_call(action).map(|call| call.name).filter(|name| TRANSACTIONS.contains(name));
    if let Some(action_name) = writes(file, action).or_else(transaction) {
        let what = LIVE_WRITE.replace("{}", action_name);
        found.push(Diagnostic::error(what).at(&file.span(action.span)).help(LIVE_HELP));
    }
}

/// The file to run is written out: what may run is in the snapshot that a run is started with.
fn run<'a>(file: &File<'a>, call: &Call<'a>, found: &mut Diagnostics) {
    let Some(runbook) = call.positional(1).or_else(|| call.positional(0)) else { return };
    if literal(runbook).is_none() {
        found.push(
            Diagnostic::error("run() needs the path of its runbook written out")
                .at(&file.span(runbook.span))
                .help("a run's sources are fixed when it starts: run(\"Move\", \"move.star\", ...), one call for each runbook"),
        );
    }
}

/// A call of `run` whose runbook is written out.
pub(crate) struct ChildCall {
    pub(crate) file: String,
    /// Of the path.
    pub(crate) at: FileSpan,
    pub(crate) call: FileSpan,
    /// Parameters, with their values where these are written out.
    pub(crate) given: Vec<(String, Option<Value>, FileSpan)>,
    /// More may be given than can be seen.
    pub(crate) is_open: bool,
}

pub(crate) fn child_calls(ast: &AstModule) -> Vec<ChildCall> {
    let file = File::new(ast);
    let mut calls = Vec::new();
    expressions(ast.statement(), &mut |expr| {
        let Some(call) = file.builtin_call(expr).filter(|call| call.name == "run") else { return };
        let runbook = call.positional(1).or_else(|| call.positional(0));
        let Some((runbook, path)) = runbook.and_then(|expr| Some((expr, literal(expr)?))) else { return };
        let given = call.args.iter().filter_map(|arg| match &arg.node {
            Argument::Named(name, value) => Some((name.node.clone(), written_out(value), file.span(arg.span))),
            _ => None,
        });
        calls.push(ChildCall {
            file: path.to_owned(),
            at: file.span(runbook.span),
            call: file.span(call.expr.span),
            given: given.collect(),
            is_open: call.is_open(),
        });
    });
    calls
}

/// A text, a number or a truth value as it is written.
fn written_out(expr: &AstExpr) -> Option<Value> {
    match &expr.node {
        Expr::Literal(AstLiteral::String(text)) => Some(Value::str(&text.node)),
        Expr::Literal(AstLiteral::Int(number)) => number.node.to_string().parse().ok().map(Value::Int),
        Expr::Literal(AstLiteral::Float(number)) => Some(Value::Float(number.node)),
        Expr::Identifier(name) => match name.node.ident.as_str() {
            "True" => Some(Value::Bool(true)),
            "False" => Some(Value::Bool(false)),
            _ => None,
        },
        _ => None,
    }
}

fn script<'a>(file: &File<'a>, call: &Call<'a>, registry: &Registry, found: &mut Diagnostics) {
    let Some((expr, path)) = call.positional(0).and_then(|expr| Some((expr, literal(expr)?))) else { return };
    let problem = match crate::load::normalize(path) {
        None => format!("{path:?} is outside the project"),
        Some(path) => match registry.script_digest(&path) {
            Ok(_) => return,
            Err(error) => error.to_string(),
        },
    };
    found.push(
        Diagnostic::error(problem)
            .at(&file.span(expr.span))
            .help("a script lies below the project's root; give its path from there"),
    );
}

/// Every function with its parameters and body.
fn functions<'a>(stmt: &'a AstStmt, visit: &mut dyn FnMut(&'a [starlark::syntax::ast::AstParameter], &'a AstStmt)) {
    if let Stmt::Def(def) = &stmt.node {
        visit(&def.params, &def.body);
    }
    stmt.visit_stmt(|inner| functions(inner, visit));
}

/// A parameter of type `secret` among the arguments of a program or inside a text for one.
fn secrets<'a>(
    file: &File<'a>,
    params: &'a [starlark::syntax::ast::AstParameter],
    body: &'a AstStmt,
    found: &mut Diagnostics,
) {
    let secret: HashSet<&str> = params
        .iter()
        .filter_map(|param| match &param.node {
            Parameter::Normal(name, Some(ty), _) => match &ty.expr.node {
                Expr::Identifier(ty) if ty.node.ident == "secret" && !file.own.contains("secret") => {
                    Some(name.ident.as_str())
                }
                _ => None,
            },
            _ => None,
        })
        .collect();
    if secret.is_empty() {
        return;
    }
    expressions(body, &mut |expr| {
        let Some(call) = file.builtin_call(expr) else { return };
        let arguments: Vec<&AstExpr> = match call.name {
            "exec" => match call.positional(0).map(|argv| &argv.node) {
                Some(Expr::List(argv)) => argv.iter().collect(),
                _ => return,
            },
            "sh" => call.positional(0).into_iter().collect(),
            "script" => call
                .args
                .iter()
                .filter_map(|arg| match &arg.node {
                    Argument::Positional(expr) => Some(expr),
                    _ => None,
                })
                .collect(),
            _ => return,
        };
        for argument in arguments {
            if let Some((name, span)) = mentions(argument, &secret) {
                let message = format!(
                    "the secret `{name}` is among the arguments of a program, which everyone on the machine can see"
                );
                found.push(
                    Diagnostic::error(message)
                        .at(&file.span(span))
                        .help(format!("pass it with env = {{\"{}\": {name}}}, stdin= or a file", name.to_uppercase())),
                );
            }
        }
    });
}

/// The first of the names used in an expression as a value.
fn mentions<'a>(expr: &'a AstExpr, names: &HashSet<&'a str>) -> Option<(&'a str, starlark::codemap::Span)> {
    if let Expr::Identifier(name) = &expr.node {
        return names.get(name.node.ident.as_str()).map(|name| (*name, expr.span));
    }
    if matches!(expr.node, Expr::Call(..)) {
        return None;
    }
    let mut first = None;
    expr.node.visit_expr(|inner| first = first.or_else(|| mentions(inner, names)));
    first
}

/// Paths of scripts written out in a file.
pub(crate) fn scripts(ast: &AstModule) -> Vec<String> {
    let file = File::new(ast);
    let mut scripts = Vec::new();
    expressions(ast.statement(), &mut |expr| {
        let call = file.builtin_call(expr).filter(|call| call.name == "script");
        let path = call.and_then(|call| literal(call.positional(0)?));
        scripts.extend(path.and_then(crate::load::normalize));
    });
    scripts
}
