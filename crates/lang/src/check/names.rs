//! The same name for two steps of one scope, where both are written out.
//!
//! A function's body is (part of) one scope. Ways that exclude each other (`if`/`else`, an early `return`) may use a
//! name each; what a loop repeats is found when it runs.

use super::{Call, File, literal};
use crate::diagnostic::{Diagnostic, Diagnostics, site_of};
use starlark::codemap::Span;
use starlark::syntax::ast::{AstExpr, AstStmt, Expr, Stmt};
use std::collections::HashMap;

const NAMED: [&str; 17] = [
    "step",
    "expect",
    "phase",
    "each",
    "parallel",
    "window",
    "commit_point",
    "attempt",
    "lock",
    "approve",
    "ask",
    "manual",
    "wait",
    "poll",
    "now",
    "new_id",
    "run",
];

pub(super) fn check<'a>(file: &File<'a>, found: &mut Diagnostics) {
    defs(file, file.ast.statement(), found);
}

fn defs<'a>(file: &File<'a>, stmt: &'a AstStmt, found: &mut Diagnostics) {
    if let Stmt::Def(def) = &stmt.node {
        let mut body = Body { file, names: HashMap::new(), found };
        body.stmt(&def.body);
        let found = body.found;
        return def.body.visit_stmt(|inner| defs(file, inner, found));
    }
    stmt.visit_stmt(|inner| defs(file, inner, found));
}

/// The name as it is written out; that of a child run is its file's where it has none of its own.
fn name_of<'a>(call: &Call<'a>) -> Option<&'a str> {
    let first = literal(call.positional(0)?)?;
    let is_file = call.name == "run" && call.positional(1).is_none();
    Some(if is_file { crate::builtins::stem(first) } else { first })
}

struct Body<'f, 'a> {
    file: &'f File<'a>,
    names: HashMap<&'a str, Span>,
    found: &'f mut Diagnostics,
}

impl<'a> Body<'_, 'a> {
    /// True where the statement never goes on to the next.
    fn stmt(&mut self, stmt: &'a AstStmt) -> bool {
        match &stmt.node {
            Stmt::Statements(all) => {
                for stmt in all {
                    if self.stmt(stmt) {
                        return true;
                    }
                }
                false
            }
            Stmt::If(condition, then) => {
                self.expr(condition);
                let before = self.names.clone();
                if self.stmt(then) {
                    self.names = before;
                }
                false
            }
            Stmt::IfElse(condition, ways) => {
                self.expr(condition);
                let before = self.names.clone();
                let then_ends = self.stmt(&ways.0);
                let after_then = std::mem::replace(&mut self.names, before.clone());
                let else_ends = self.stmt(&ways.1);
                if else_ends {
                    self.names = before;
                }
                if !then_ends {
                    self.names.extend(after_then);
                }
                then_ends && else_ends
            }
            Stmt::For(each) => {
                self.expr(&each.over);
                self.stmt(&each.body);
                false
            }
            Stmt::Return(_) | Stmt::Break | Stmt::Continue => {
                stmt.visit_expr(|expr| self.expr(expr));
                true
            }
            Stmt::Expression(expr) => {
                self.expr(expr);
                matches!(&expr.node, Expr::Call(callee, _)
                    if matches!(&callee.node, Expr::Identifier(name) if name.node.ident == "fail"))
            }
            // A function inside the function is a scope of its own.
            Stmt::Def(_) | Stmt::Load(_) | Stmt::Pass => false,
            Stmt::Assign(_) | Stmt::AssignModify(..) => {
                stmt.visit_expr(|expr| self.expr(expr));
                false
            }
        }
    }

    fn expr(&mut self, expr: &'a AstExpr) {
        match &expr.node {
            Expr::Lambda(_) => return,
            Expr::If(parts) => {
                self.expr(&parts.0);
                let before = self.names.clone();
                self.expr(&parts.1);
                let after = std::mem::replace(&mut self.names, before);
                self.expr(&parts.2);
                self.names.extend(after);
                return;
            }
            _ => {}
        }
        expr.node.visit_expr(|inner| self.expr(inner));
        let call = self.file.builtin_call(expr).filter(|call| NAMED.contains(&call.name));
        let Some(name) = call.and_then(|call| name_of(&call)) else { return };
        match self.names.get(name) {
            Some(first) => {
                let first = site_of(&self.file.span(*first));
                self.found.push(
                    Diagnostic::error("two steps of one scope have the same name")
                        .at(&self.file.span(expr.span))
                        .label(format!("{name:?} again; it is first made at {first}"))
                        .help("a step's path is its identity across resumes; give each its own name"),
                );
            }
            None => _ = self.names.insert(name, expr.span),
        }
    }
}
