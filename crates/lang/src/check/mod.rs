//! What can be said about a file before anything runs.
//!
//! Owns the static checks and the words for syntax errors. Never evaluates.

mod calls;
mod closed;
mod growing;
mod keywords;
mod lint;
mod names;
mod reach;

use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::error::explain;
use crate::registry::Registry;
use starlark::codemap::FileSpan;
use starlark::syntax::AstModule;
use starlark::syntax::ast::{AssignTarget, AstExpr, AstStmt, Expr, Stmt};
use starlark::typing::{AstModuleTypecheck, Interface};
use std::collections::{HashMap, HashSet};

pub(crate) use calls::{ChildCall, child_calls, scripts};
pub(crate) use keywords::Signatures;

/// Checks one file; `loads` has the types of what it loads, by the path it asks for.
pub(crate) fn file(
    ast: &AstModule,
    registry: &Registry,
    loads: &HashMap<String, Interface>,
) -> (Diagnostics, Interface) {
    let mut found = Diagnostics::default();
    let file = File::new(ast);
    let (errors, interface) = match growing::endless(&file) {
        Some(endless) => {
            found.push(endless);
            (Vec::new(), Interface::default())
        }
        None => {
            let (errors, _, interface, _) = ast.clone().typecheck(&registry.globals, loads);
            (errors, interface)
        }
    };
    keywords::check(&file, &registry.signatures, &mut found);
    let ours: Vec<_> = found.0.iter().filter_map(|diagnostic| diagnostic.place.clone()).collect();
    for error in &errors {
        let diagnostic = explain(error);
        // Of two about one place, ours knows which built-in is meant.
        if !diagnostic.place.as_ref().is_some_and(|place| ours.iter().any(|our| our.site == place.site)) {
            found.push(diagnostic);
        }
    }
    calls::check(&file, registry, &mut found);
    names::check(&file, &mut found);
    reach::check(&file, &mut found);
    lint::check(&file, &mut found);
    closed::check(&file, &mut found);
    let place = |diagnostic: &Diagnostic| diagnostic.place.as_ref().map(|place| (place.site.line, place.site.column));
    found.0.sort_by_key(place);
    (found, interface)
}

/// A parsed file with the names that it takes from the built-ins.
struct File<'a> {
    ast: &'a AstModule,
    /// Names defined or loaded here, which hide built-ins.
    own: HashSet<&'a str>,
}

impl<'a> File<'a> {
    fn new(ast: &'a AstModule) -> Self {
        let mut own = HashSet::new();
        top_level(ast.statement(), &mut |stmt| match &stmt.node {
            Stmt::Load(load) => own.extend(load.args.iter().map(|arg| arg.local.ident.as_str())),
            Stmt::Def(def) => _ = own.insert(def.name.ident.as_str()),
            Stmt::Assign(assign) => targets(&assign.lhs.node, &mut |name| _ = own.insert(name)),
            _ => {}
        });
        Self { ast, own }
    }

    fn span(&self, span: starlark::codemap::Span) -> FileSpan {
        self.ast.file_span(span)
    }

    /// The name of the built-in that an expression calls, and its arguments.
    fn builtin_call(&self, expr: &'a AstExpr) -> Option<Call<'a>> {
        let Expr::Call(callee, args) = &expr.node else { return None };
        let Expr::Identifier(name) = &callee.node else { return None };
        let name_text = name.node.ident.as_str();
        (!self.own.contains(name_text)).then_some(Call { name: name_text, expr, args: &args.args })
    }
}

struct Call<'a> {
    name: &'a str,
    expr: &'a AstExpr,
    args: &'a [starlark::syntax::ast::AstArgument],
}

impl<'a> Call<'a> {
    /// True where arguments are handed on with `*` or `**`, so that what is given cannot be seen.
    fn is_open(&self) -> bool {
        use starlark::syntax::ast::Argument;
        self.args.iter().any(|arg| matches!(arg.node, Argument::Args(_) | Argument::KwArgs(_)))
    }

    fn positional(&self, index: usize) -> Option<&'a AstExpr> {
        use starlark::syntax::ast::Argument;
        self.args
            .iter()
            .filter_map(|arg| match &arg.node {
                Argument::Positional(expr) => Some(expr),
                _ => None,
            })
            .nth(index)
    }
}

/// A string written out.
fn literal(expr: &AstExpr) -> Option<&str> {
    use starlark::syntax::ast::AstLiteral;
    match &expr.node {
        Expr::Literal(AstLiteral::String(text)) => Some(text.node.as_str()),
        _ => None,
    }
}

/// Statements at the top level, inside `if` and `for` as well.
fn top_level<'a>(stmt: &'a AstStmt, visit: &mut dyn FnMut(&'a AstStmt)) {
    visit(stmt);
    if !matches!(stmt.node, Stmt::Def(_)) {
        stmt.visit_stmt(|inner| top_level(inner, visit));
    }
}

fn targets<'a>(target: &'a AssignTarget, visit: &mut dyn FnMut(&'a str)) {
    match target {
        AssignTarget::Tuple(all) => all.iter().for_each(|target| targets(&target.node, visit)),
        AssignTarget::Identifier(name) => visit(name.ident.as_str()),
        AssignTarget::Index(_) | AssignTarget::Dot(..) => {}
    }
}

/// Names that a file defines at its top level, in their order; not those it loads.
pub(crate) fn top_level_names(ast: &AstModule) -> Vec<String> {
    let mut names = Vec::new();
    top_level(ast.statement(), &mut |stmt| match &stmt.node {
        Stmt::Def(def) => names.push(def.name.ident.clone()),
        Stmt::Assign(assign) => targets(&assign.lhs.node, &mut |name| names.push(name.to_owned())),
        _ => {}
    });
    names
}

/// Where a function is defined at the top level of a file.
pub(crate) fn definition(ast: &AstModule, name: &str) -> Option<FileSpan> {
    let mut found = None;
    top_level(ast.statement(), &mut |stmt| {
        if let Stmt::Def(def) = &stmt.node
            && def.name.ident == name
        {
            found = Some(ast.file_span(def.name.span));
        }
    });
    found
}

/// Every expression below a statement, those inside functions and lambdas as well.
fn expressions<'a>(stmt: &'a AstStmt, visit: &mut dyn FnMut(&'a AstExpr)) {
    fn inner<'a>(expr: &'a AstExpr, visit: &mut dyn FnMut(&'a AstExpr)) {
        visit(expr);
        expr.node.visit_expr(|expr| inner(expr, visit));
    }
    stmt.visit_expr(|expr| inner(expr, visit));
}

/// Whether a file names this built-in anywhere: to call it, or to hand it on.
pub(crate) fn names_builtin(ast: &AstModule, builtin: &str) -> bool {
    let file = File::new(ast);
    let mut named = false;
    expressions(ast.statement(), &mut |expr| {
        if let Expr::Identifier(name) = &expr.node {
            named |= name.node.ident == builtin && !file.own.contains(builtin);
        }
    });
    named
}

/// A syntax error, with the way to write what other languages have and this one has not.
pub(crate) fn syntax(error: &starlark::Error) -> Diagnostic {
    let diagnostic = explain(error);
    let Some(place) = &diagnostic.place else { return diagnostic };
    let word = place.text.trim_start().split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
    let (what, help) = match word {
        "while" => ("there is no `while`", "loop over a list or a range; wait for something with poll(...)"),
        "try" | "except" | "finally" => {
            ("there is no `try`", "attempt(name, fn, ...) catches a failure and gives .ok .value .error")
        }
        "raise" => ("there is no `raise`", "fail(message) gives up"),
        "import" | "from" => ("there is no `import`", "load(\"lib/file.star\", \"name\") loads a file of the project"),
        "class" => ("there are no classes", "Table = record(name = str, rows = int) makes a record type"),
        "assert" => ("there is no `assert`", "expect(name, action) looks at the world; fail(message) gives up"),
        "with" => ("there is no `with`", "phase(name, fn, ...) is a scope"),
        "async" | "await" | "yield" => ("there are no coroutines", "each(name, items, fn) runs side by side"),
        "global" | "nonlocal" => {
            ("a function cannot assign to names outside it", "give the value back, and assign it where it is needed")
        }
        _ if diagnostic.message.contains("abs are not allowed") => ("tabs are not allowed", "indent with spaces"),
        _ => {
            let message = diagnostic.message.strip_prefix("parse error: ").unwrap_or(&diagnostic.message);
            let unclosed = message.starts_with("unexpected new line") && message.contains("expected symbol");
            let help = unclosed.then(|| "a bracket that was opened before this is never closed".to_owned());
            return Diagnostic {
                message: format!("syntax error: {message}"),
                help: help.or(diagnostic.help),
                ..diagnostic
            };
        }
    };
    Diagnostic { message: what.into(), help: Some(help.into()), ..diagnostic }
}
