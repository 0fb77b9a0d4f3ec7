//! Writes checks into a source, around every place where a value decides what happens next.
//!
//! Owns which places those are, and the way from a place in the written copy back to the author's. What can be caught
//! in a value's own code (arithmetic, iteration, hashing) or in an operator is not written here.

use super::operators::{KEYS, KNOWN, KNOWN_INSIDE, PART, SHOWN, TEXTS, WHOLE};
use starlark::codemap::{FileSpan, Pos, Span};
use starlark::syntax::AstModule;
use starlark::syntax::ast::{
    Argument, AssignOp, AssignTarget, AstArgument, AstAssignTarget, AstExpr, AstStmt, AstTypeExpr, BinOp, Clause, Expr,
    Parameter, Stmt,
};

/// Methods that give parts of their arguments back and decide nothing by them.
const PASSING: [&str; 2] = ["append", "extend"];
/// Methods that compare what their object holds.
const COMPARING: [&str; 7] = ["count", "difference", "index", "intersection", "issubset", "issuperset", "remove"];

/// A source with checks in it.
pub(crate) struct Instrumented {
    pub(crate) text: String,
    /// What was written, in order: offset in `text`, and bytes.
    written: Vec<(u32, u32)>,
    original: AstModule,
}

impl Instrumented {
    /// Where a stretch of the copy stands in the author's source.
    pub(crate) fn original(&self, span: Span) -> FileSpan {
        let back = |pos: Pos| {
            let at = pos.get();
            let before = self.written.iter().take_while(|(offset, _)| *offset < at);
            Pos::new(at - before.map(|(offset, bytes)| (at - offset).min(*bytes)).sum::<u32>())
        };
        self.original.file_span(Span::new(back(span.begin()), back(span.end())))
    }
}

/// A check around a stretch: what to write before it; after it stands `)`.
struct Wrap {
    span: Span,
    check: &'static str,
}

pub(crate) fn instrument(ast: &AstModule, text: &str) -> Instrumented {
    let mut walk = Walk { brackets: brackets(text), types: Vec::new(), wraps: Vec::new(), called: Vec::new() };
    types(ast.statement(), text, &mut walk.types);
    let text = walk.without_types(text);
    walk.statement(ast.statement());
    ast.statement().visit_expr(|expr| walk.expression(expr));
    let mut points: Vec<(u32, u32, bool, String)> = Vec::new();
    for Wrap { span, check } in walk.wraps {
        let (begin, end) = (span.begin().get(), span.end().get());
        // At one place: what ends comes before what begins; the longer begins first and ends last.
        points.push((begin, u32::MAX - (end - begin), true, format!("{check}(")));
        points.push((end, end - begin, false, ")".to_owned()));
    }
    points.sort_by_key(|(at, order, begins, _)| (*at, *begins, *order));
    let (mut copy, mut written, mut from) = (String::with_capacity(text.len() * 2), Vec::new(), 0usize);
    for (at, _, _, check) in points {
        copy.push_str(text.get(from..at as usize).unwrap_or_default());
        from = at as usize;
        written.push((offset(copy.len()), offset(check.len())));
        copy.push_str(&check);
    }
    copy.push_str(text.get(from..).unwrap_or_default());
    Instrumented { text: copy, written, original: ast.clone() }
}

/// Sources are bounded far below.
fn offset(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

/// Where types stand, each with the sign before it.
fn types(stmt: &AstStmt, text: &str, found: &mut Vec<Span>) {
    let with_sign = |ty: &AstTypeExpr, sign: &str| {
        let before = text.get(..ty.span.begin().get() as usize).unwrap_or_default();
        let begin = before.rfind(sign).map_or(ty.span.begin(), |at| Pos::new(offset(at)));
        Span::new(begin, ty.span.end())
    };
    match &stmt.node {
        Stmt::Def(def) => {
            found.extend(def.return_type.as_ref().map(|ty| with_sign(ty, "->")));
            found.extend(def.params.iter().filter_map(|param| match &param.node {
                Parameter::Normal(_, ty, _) | Parameter::Args(_, ty) | Parameter::KwArgs(_, ty) => {
                    ty.as_ref().map(|ty| with_sign(ty, ":"))
                }
                _ => None,
            }));
        }
        Stmt::Assign(assign) => found.extend(assign.ty.as_ref().map(|ty| with_sign(ty, ":"))),
        _ => {}
    }
    stmt.node.visit_stmt(|inner| types(inner, text, found));
}

/// Round brackets outside strings and comments. The source has been parsed: strings end.
fn brackets(text: &str) -> Vec<(u32, bool)> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let at = text.len() - rest.len();
        let quote = ["\"\"\"", "'''", "\"", "'"].into_iter().find(|quote| rest.starts_with(quote));
        let skipped = match (c, quote) {
            ('#', _) => rest.find('\n').unwrap_or(rest.len()),
            (_, Some(quote)) => string_length(rest, quote),
            ('(' | ')', _) => {
                found.push((offset(at), c == '('));
                1
            }
            _ => c.len_utf8(),
        };
        rest = rest.get(skipped..).unwrap_or_default();
    }
    found
}

/// Bytes of the string that begins here, with its quotes.
fn string_length(text: &str, quote: &str) -> usize {
    let mut at = quote.len();
    while let Some(rest) = text.get(at..) {
        if rest.starts_with(quote) {
            return at + quote.len();
        }
        let mut chars = rest.chars();
        let Some(c) = chars.next() else { break };
        at += c.len_utf8();
        // In a raw string, too, a backslash keeps a quote from ending it.
        if c == '\\' {
            at += chars.next().map_or(0, char::len_utf8);
        }
    }
    text.len()
}

struct Walk {
    /// Round brackets of the source, outside strings and comments: offset, and whether it opens.
    brackets: Vec<(u32, bool)>,
    /// Where types stand in the source; in the copy there are none.
    types: Vec<Span>,
    wraps: Vec<Wrap>,
    /// Methods that are called where they are taken.
    called: Vec<Span>,
}

impl Walk {
    /// The source with blanks in the place of types, which a hole would not fit.
    fn without_types(&self, text: &str) -> String {
        let mut blanked = String::with_capacity(text.len());
        let mut types: Vec<Span> = self.types.iter().map(|ty| self.balanced(*ty)).collect();
        types.sort_by_key(|ty| ty.begin());
        let mut from = 0;
        for ty in types {
            let (begin, end) = (ty.begin().get() as usize, ty.end().get() as usize);
            blanked.push_str(text.get(from..begin).unwrap_or_default());
            blanked.extend(std::iter::repeat_n(' ', end.saturating_sub(begin.max(from))));
            from = end;
        }
        blanked.push_str(text.get(from..).unwrap_or_default());
        blanked
    }

    fn wrap(&mut self, expr: &AstExpr, check: &'static str) {
        let in_type = || self.types.iter().any(|ty| ty.begin() <= expr.span.begin() && expr.span.end() <= ty.end());
        if !matches!(expr.node, Expr::Literal(_)) && !in_type() {
            let span = self.balanced(expr.span);
            self.wraps.push(Wrap { span, check });
        }
    }

    /// With the brackets that its ends cut off: the parser's place of `(a) == (b)` is `a) == (b`.
    fn balanced(&self, span: Span) -> Span {
        let (mut begin, mut end) = (span.begin().get(), span.end().get());
        let from = self.brackets.partition_point(|(at, _)| *at < begin);
        let to = self.brackets.partition_point(|(at, _)| *at < end);
        let (mut depth, mut lowest) = (0i32, 0i32);
        for (_, opens) in self.brackets.get(from..to).unwrap_or_default() {
            depth += if *opens { 1 } else { -1 };
            lowest = lowest.min(depth);
        }
        let (before, after) = (usize::try_from(-lowest).unwrap_or(0), usize::try_from(depth - lowest).unwrap_or(0));
        if let Some((at, _)) = from.checked_sub(before).filter(|_| before > 0).and_then(|i| self.brackets.get(i)) {
            begin = *at;
        }
        if let Some((at, _)) = (to + after).checked_sub(1).filter(|_| after > 0).and_then(|i| self.brackets.get(i)) {
            end = at + 1;
        }
        Span::new(Pos::new(begin), Pos::new(end))
    }

    fn statement(&mut self, stmt: &AstStmt) {
        match &stmt.node {
            Stmt::If(condition, _) | Stmt::IfElse(condition, _) => self.wrap(condition, KNOWN),
            Stmt::Assign(assign) => self.target(&assign.lhs),
            Stmt::AssignModify(target, op, value) => {
                self.target(target);
                if *op != AssignOp::Add {
                    self.wrap(value, KNOWN_INSIDE);
                }
            }
            _ => {}
        }
        stmt.node.visit_stmt(|inner| self.statement(inner));
    }

    fn target(&mut self, target: &AstAssignTarget) {
        match &target.node {
            AssignTarget::Index(parts) => self.wrap(&parts.1, KNOWN),
            AssignTarget::Tuple(targets) => targets.iter().for_each(|target| self.target(target)),
            _ => {}
        }
    }

    fn expression(&mut self, expr: &AstExpr) {
        match &expr.node {
            Expr::If(parts) => self.wrap(&parts.0, KNOWN),
            Expr::Not(inner) => self.wrap(inner, KNOWN),
            Expr::Op(left, BinOp::And | BinOp::Or, _) => self.wrap(left, KNOWN),
            Expr::Index(parts) => {
                self.wrap(&parts.0, WHOLE);
                self.wrap(&parts.1, KNOWN);
            }
            Expr::Slice(of, from, to, step) => {
                self.wrap(of, WHOLE);
                [from, to, step].into_iter().flatten().for_each(|part| self.wrap(part, KNOWN));
            }
            Expr::Dict(entries) => entries.iter().for_each(|(key, _)| self.wrap(key, KNOWN)),
            Expr::DictComprehension(entry, _, clauses) => {
                self.wrap(&entry.0, KNOWN);
                self.clauses(clauses);
            }
            Expr::ListComprehension(_, _, clauses) => self.clauses(clauses),
            Expr::Call(function, args) => {
                for arg in &args.args {
                    if let Argument::Args(values) | Argument::KwArgs(values) = &arg.node {
                        self.wrap(values, KNOWN);
                    }
                }
                if let Expr::Dot(object, method) = &function.node {
                    self.called.push(function.span);
                    self.method(object, method, &args.args);
                }
            }
            Expr::Dot(object, _) if !self.called.contains(&expr.span) => self.wrap(object, PART),
            Expr::Dot(object, name) if name.node != "join" => self.wrap(object, WHOLE),
            _ => {}
        }
        expr.node.visit_expr(|inner| self.expression(inner));
    }

    fn clauses(&mut self, clauses: &[Clause]) {
        for clause in clauses {
            if let Clause::If(condition) = clause {
                self.wrap(condition, KNOWN);
            }
        }
    }

    fn method(&mut self, object: &AstExpr, method: &str, args: &[AstArgument]) {
        if COMPARING.contains(&method) {
            self.wrap(object, KNOWN_INSIDE);
        }
        let check = match method {
            "join" => TEXTS,
            "format" => SHOWN,
            "update" => KEYS,
            "insert" | "setdefault" => {
                if let Some(Argument::Positional(first)) = args.first().map(|arg| &arg.node) {
                    self.wrap(first, KNOWN);
                }
                return;
            }
            method if PASSING.contains(&method) => return,
            _ => KNOWN_INSIDE,
        };
        for arg in args {
            match &arg.node {
                Argument::Named(..) if check == KEYS => {}
                Argument::Positional(value) | Argument::Named(_, value) => self.wrap(value, check),
                Argument::Args(values) | Argument::KwArgs(values) => self.wrap(values, KNOWN_INSIDE),
            }
        }
    }
}
