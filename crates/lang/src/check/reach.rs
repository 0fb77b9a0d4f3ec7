//! What may not be inside a window or a branch, found through the functions that they call.
//!
//! Follows calls and functions handed to scopes by name, within one file. What this does not see is found when it runs.

use super::{File, expressions};
use crate::diagnostic::{Diagnostic, Diagnostics, site_of};
use starlark::codemap::Span;
use starlark::syntax::ast::{AstExpr, AstStmt, Expr, Stmt};
use std::collections::{HashMap, HashSet};

pub(super) fn check<'a>(file: &File<'a>, found: &mut Diagnostics) {
    let mut bodies: HashMap<&'a str, &'a AstStmt> = HashMap::new();
    super::top_level(file.ast.statement(), &mut |stmt| {
        if let Stmt::Def(def) = &stmt.node {
            bodies.insert(def.name.ident.as_str(), &def.body);
        }
    });
    expressions(file.ast.statement(), &mut |expr| {
        let Some(call) = file.builtin_call(expr) else { return };
        match call.name {
            "window" => {
                for function in call.positional(1).into_iter().flat_map(named) {
                    let inside = Inside { file, bodies: &bodies, what: Forbidden::Person, from: expr.span };
                    inside.visit(function, &mut HashSet::new(), found);
                }
            }
            "each" | "parallel" => {
                let functions = call.positional(if call.name == "each" { 2 } else { 1 });
                for function in functions.into_iter().flat_map(named) {
                    let inside = Inside { file, bodies: &bodies, what: Forbidden::CommitPoint, from: expr.span };
                    inside.visit(function, &mut HashSet::new(), found);
                }
            }
            _ => {}
        }
    });
}

/// Functions that an argument names: itself, the first argument of `partial`, the values of a dict.
fn named(expr: &AstExpr) -> Vec<&str> {
    match &expr.node {
        Expr::Identifier(name) => vec![name.node.ident.as_str()],
        Expr::Call(callee, args) => match &callee.node {
            Expr::Identifier(name) if name.node.ident == "partial" => {
                args.args.first().map(|arg| named(arg.node.expr())).unwrap_or_default()
            }
            _ => vec![],
        },
        Expr::Dict(entries) => entries.iter().flat_map(|(_, value)| named(value)).collect(),
        _ => vec![],
    }
}

enum Forbidden {
    /// `approve`, `ask`, `manual`, `lock`, `run` inside a window: what waits.
    Person,
    /// `commit_point` inside a branch.
    CommitPoint,
}

struct Inside<'f, 'a> {
    file: &'f File<'a>,
    bodies: &'f HashMap<&'a str, &'a AstStmt>,
    what: Forbidden,
    from: Span,
}

impl<'a> Inside<'_, 'a> {
    fn visit(&self, function: &'a str, seen: &mut HashSet<&'a str>, found: &mut Diagnostics) {
        let Some(body) = self.bodies.get(function).filter(|_| seen.insert(function)) else { return };
        let mut next: Vec<&'a str> = Vec::new();
        expressions(body, &mut |expr| {
            if let Some(call) = self.file.builtin_call(expr) {
                self.look(call.name, expr, found);
                if matches!(call.name, "phase" | "attempt" | "lock" | "each" | "parallel" | "window") {
                    (1..=2).filter_map(|at| call.positional(at)).for_each(|arg| next.extend(named(arg)));
                }
            }
            if let Expr::Call(callee, _) = &expr.node {
                next.extend(named(callee));
            }
        });
        next.into_iter().for_each(|function| self.visit(function, seen, found));
    }

    fn look(&self, builtin: &str, expr: &'a AstExpr, found: &mut Diagnostics) {
        let from = site_of(&self.file.span(self.from));
        let diagnostic = match (&self.what, builtin) {
            (Forbidden::Person, "approve" | "ask" | "manual") => {
                Diagnostic::error(format!("{builtin}() cannot be inside a window: a window never waits for a person"))
                    .label(format!("called from the window at {from}"))
                    .help("ask before the window opens, or after it closes")
            }
            (Forbidden::Person, "lock") => {
                Diagnostic::error("a lock cannot be inside a window: a window waits for nobody")
                    .label(format!("called from the window at {from}"))
                    .help("take the lock around the window")
            }
            (Forbidden::Person, "run") => {
                Diagnostic::error("run() cannot be inside a window: a window waits for nobody")
                    .label(format!("called from the window at {from}"))
                    .help("run it before the window opens, or after it closes")
            }
            (Forbidden::CommitPoint, "commit_point") => {
                Diagnostic::error("a commit point cannot be inside a branch of each() or parallel()")
                    .label(format!("called from {from}"))
                    .help("its siblings could still go back; put it after the each() or parallel()")
            }
            _ => return,
        };
        found.push(diagnostic.at(&self.file.span(expr.span)));
    }
}
