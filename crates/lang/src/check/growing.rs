//! Variables whose type has no end: `x = ("x", x)` makes a tuple of tuples of tuples.
//!
//! Owns finding them before the types of a file are worked out: the checker of types goes on for hours there, since a
//! tuple's type has those of its members in it, and doubles with every round. Coarse: what may grow is not checked.

use super::{File, targets};
use crate::diagnostic::Diagnostic;
use starlark::codemap::Span;
use starlark::syntax::ast::{AssignTarget, AstAssignTarget, AstExpr, AstStmt, Clause, Expr, ForClause, Stmt};
use std::collections::{HashMap, HashSet};

/// The first variable that is made of itself, inside a tuple.
pub(super) fn endless(file: &File<'_>) -> Option<Diagnostic> {
    let mut found: Option<(Span, &str)> = None;
    let mut outside = Flows::default();
    super::top_level(file.ast.statement(), &mut |stmt| match &stmt.node {
        Stmt::Def(def) => {
            let mut flows = Flows::default();
            flows.statement(&def.body);
            found = found.or_else(|| flows.cycle());
        }
        _ => outside.own(stmt),
    });
    let (span, name) = found.or_else(|| outside.cycle())?;
    Some(
        Diagnostic::error(format!("the types in this file are not checked: \"{name}\" is made of itself, in a tuple"))
            .warning()
            .at(&file.span(span))
            .help("give what is put together another name, or collect it in a list"),
    )
}

/// What goes into the variables of one function: from where, and whether as a member of a tuple.
#[derive(Default)]
struct Flows<'a> {
    into: HashMap<&'a str, Vec<(&'a str, bool, Span)>>,
    /// In the order of the source.
    nested: Vec<(&'a str, &'a str, Span)>,
}

impl<'a> Flows<'a> {
    fn statement(&mut self, stmt: &'a AstStmt) {
        self.own(stmt);
        stmt.node.visit_stmt(|inner| self.statement(inner));
    }

    /// What this statement does itself, not what stands inside it.
    fn own(&mut self, stmt: &'a AstStmt) {
        match &stmt.node {
            Stmt::Assign(assign) => self.assign(&assign.lhs, &assign.rhs),
            Stmt::AssignModify(target, _, value) => self.assign(target, value),
            Stmt::For(each) => self.assign(&each.var, &each.over),
            // A list or a dict takes on the types of what is put into it.
            Stmt::Expression(expr) => {
                if let Expr::Call(callee, args) = &expr.node
                    && let Expr::Dot(of, _) = &callee.node
                    && let Some(name) = root(of)
                {
                    args.args.iter().for_each(|arg| self.flow(name, arg.node.expr(), false));
                }
            }
            _ => {}
        }
    }

    fn assign(&mut self, target: &'a AstAssignTarget, value: &'a AstExpr) {
        match (&target.node, &value.node) {
            (AssignTarget::Tuple(targets), Expr::Tuple(values)) if targets.len() == values.len() => {
                targets.iter().zip(values).for_each(|(target, value)| self.assign(target, value));
            }
            (AssignTarget::Index(of), _) => {
                if let Some(name) = root(&of.0) {
                    self.flow(name, value, false);
                }
            }
            (node, _) => {
                let mut names = Vec::new();
                targets(node, &mut |name| names.push(name));
                names.into_iter().for_each(|name| self.flow(name, value, false));
            }
        }
    }

    /// Everything in `expr` that is a part of its value's type.
    fn flow(&mut self, into: &'a str, expr: &'a AstExpr, nested: bool) {
        match &expr.node {
            Expr::Identifier(name) => {
                let from = name.node.ident.as_str();
                self.into.entry(into).or_default().push((from, nested, expr.span));
                if nested {
                    self.nested.push((into, from, expr.span));
                }
            }
            Expr::Tuple(parts) => parts.iter().for_each(|part| self.flow(into, part, true)),
            Expr::List(parts) => parts.iter().for_each(|part| self.flow(into, part, nested)),
            Expr::Dict(pairs) => pairs.iter().for_each(|(key, value)| {
                self.flow(into, key, nested);
                self.flow(into, value, nested);
            }),
            Expr::ListComprehension(item, first, clauses) => {
                self.clauses(first, clauses);
                self.flow(into, item, nested);
            }
            Expr::DictComprehension(pair, first, clauses) => {
                self.clauses(first, clauses);
                self.flow(into, &pair.0, nested);
                self.flow(into, &pair.1, nested);
            }
            Expr::Op(left, _, right) => {
                self.flow(into, left, nested);
                self.flow(into, right, nested);
            }
            Expr::If(parts) => {
                self.flow(into, &parts.1, nested);
                self.flow(into, &parts.2, nested);
            }
            Expr::Index(parts) => self.flow(into, &parts.0, nested),
            Expr::Slice(of, ..) => self.flow(into, of, nested),
            Expr::Call(callee, args) => match &callee.node {
                // Pairs of what is in it.
                Expr::Dot(of, method) => self.flow(into, of, nested || method.node == "items"),
                Expr::Identifier(name) => {
                    let pairs = matches!(name.node.ident.as_str(), "zip" | "enumerate");
                    let same = matches!(
                        name.node.ident.as_str(),
                        "list" | "dict" | "set" | "tuple" | "sorted" | "reversed" | "max" | "min"
                    );
                    let given = args.args.iter().filter(|_| pairs || same);
                    given.for_each(|arg| self.flow(into, arg.node.expr(), nested || pairs));
                }
                _ => {}
            },
            _ => {}
        }
    }

    fn clauses(&mut self, first: &'a ForClause, clauses: &'a [Clause]) {
        self.assign(&first.var, &first.over);
        for clause in clauses {
            if let Clause::For(each) = clause {
                self.assign(&each.var, &each.over);
            }
        }
    }

    /// A variable that comes back to itself, at least once as a member of a tuple.
    fn cycle(&self) -> Option<(Span, &'a str)> {
        let back = |into: &str, from: &'a str| {
            let (mut seen, mut left) = (HashSet::new(), vec![from]);
            while let Some(name) = left.pop() {
                if name == into {
                    return true;
                }
                if seen.insert(name) {
                    left.extend(self.into.get(name).into_iter().flatten().map(|(from, ..)| *from));
                }
            }
            false
        };
        self.nested.iter().find(|(into, from, _)| back(into, from)).map(|(into, _, span)| (*span, *into))
    }
}

/// The variable that an expression is a part of.
fn root(expr: &AstExpr) -> Option<&str> {
    match &expr.node {
        Expr::Identifier(name) => Some(name.node.ident.as_str()),
        Expr::Dot(of, _) | Expr::Slice(of, ..) => root(of),
        Expr::Index(parts) => root(&parts.0),
        _ => None,
    }
}
