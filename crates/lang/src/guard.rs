//! Looks at an evaluation before each of its statements, so that nothing grows beyond its bound in between.
//!
//! Owns two looks that Starlark does not take often enough, or at all: at the heap (a statement can double a value),
//! and at how deep values are nested (printing one recurses on the native stack, and an overflow aborts the process).

use crate::error::{AuthorError, author};
use crate::limits::{Limits, MAX_CALL_DEPTH, MAX_HEAP_BYTES, MAX_NESTING, MAX_SHOWN_VALUES};
use starlark::codemap::FileSpanRef;
use starlark::eval::{BeforeStmtFunc, BeforeStmtFuncDyn, Evaluator};
use starlark::values::dict::DictRef;
use starlark::values::list::ListRef;
use starlark::values::record::Record;
use starlark::values::structs::StructRef;
use starlark::values::tuple::TupleRef;
use starlark::values::{Value, ValueLike};

/// Statements between two looks at the depth of a function's variables: a statement nests a value by what is written
/// in it, which `source` bounds.
const STATEMENTS_BETWEEN_LOOKS: u32 = 128;

/// Values visited in one look. It goes deep first, so a chain is followed to its end before breadth uses this up.
const VALUES_PER_LOOK: usize = 4096;

/// Items of one container visited in one look, from its end.
const ITEMS_PER_CONTAINER: usize = 16;

/// Sets the bounds of an evaluation. Must come before anything is evaluated.
///
/// Starlark's own bounds stand behind ours: it looks every 1,000 ticks and at the end, when it cannot tell the place.
pub(crate) fn set(eval: &mut Evaluator<'_, '_, '_>, limits: Limits) -> starlark::Result<()> {
    eval.set_max_callstack_size(MAX_CALL_DEPTH).map_err(starlark::Error::new_other)?;
    eval.set_max_heap_size(4 * limits.heap_bytes).map_err(starlark::Error::new_other)?;
    eval.set_max_tick_count(2 * limits.ticks).map_err(starlark::Error::new_other)?;
    eval.before_stmt_for_dap(BeforeStmtFunc::from_dyn(Box::new(Guard { limits, statements: 0 })));
    Ok(())
}

struct Guard {
    limits: Limits,
    statements: u32,
}

/// The error for an evaluation that computes too long.
pub(crate) fn too_long() -> AuthorError {
    author("the runbook computes for too long, with no end in sight")
        .help("loops and calls are counted; do heavy work in a step")
}

/// The error for an evaluation that holds too much.
pub(crate) fn too_large() -> AuthorError {
    author("the runbook uses too much memory").help(format!(
        "at most {} MiB of values; keep large data in files or tables and let steps handle it",
        MAX_HEAP_BYTES >> 20
    ))
}

impl<'e> BeforeStmtFuncDyn<'e> for Guard {
    fn call<'v>(
        &mut self,
        _span: FileSpanRef,
        _continued: bool,
        eval: &mut Evaluator<'v, '_, 'e>,
    ) -> starlark::Result<()> {
        if eval.heap().allocated_bytes() > self.limits.heap_bytes {
            return Err(too_large().raise());
        }
        if eval.get_total_tick_count() > self.limits.ticks {
            return Err(too_long().raise());
        }
        self.statements += 1;
        if self.statements >= STATEMENTS_BETWEEN_LOOKS {
            self.statements = 0;
            let variables = eval.local_variables().into_iter().map(|(_, value)| value);
            look(variables.collect(), VALUES_PER_LOOK, ITEMS_PER_CONTAINER)?;
        }
        Ok(())
    }
}

/// Refuses a value that cannot be printed: nested too deep, or, counting what it repeats, too large.
pub(crate) fn check_shown(value: Value<'_>) -> Result<(), AuthorError> {
    match look(vec![value], MAX_SHOWN_VALUES, usize::MAX)? {
        true => Ok(()),
        false => Err(author(format!("this value is too large to be written out: more than {MAX_SHOWN_VALUES} values"))),
    }
}

/// Follows values into their insides; false where it did not get to the end.
fn look(values: Vec<Value<'_>>, mut budget: usize, width: usize) -> Result<bool, AuthorError> {
    let mut open: Vec<(Value<'_>, usize)> = values.into_iter().map(|value| (value, 1)).collect();
    while let Some((value, depth)) = open.pop() {
        if depth > MAX_NESTING {
            return Err(author(format!("a value is nested deeper than {MAX_NESTING} levels"))
                .help("keep a list of items instead of items inside items"));
        }
        let Some(left) = budget.checked_sub(1) else { return Ok(false) };
        budget = left;
        inside(value, width, &mut |inner| open.push((inner, depth + 1)));
    }
    Ok(true)
}

pub(crate) fn inside<'v>(value: Value<'v>, width: usize, visit: &mut dyn FnMut(Value<'v>)) {
    if let Some(list) = ListRef::from_value(value) {
        list.content().iter().rev().take(width).for_each(|value| visit(*value));
    } else if let Some(tuple) = TupleRef::from_value(value) {
        tuple.content().iter().rev().take(width).for_each(|value| visit(*value));
    } else if let Some(dict) = DictRef::from_value(value) {
        for (key, value) in dict.iter().take(width) {
            visit(key);
            visit(value);
        }
    } else if let Some(fields) = StructRef::from_value(value) {
        fields.iter().take(width).for_each(|(_, value)| visit(value));
    } else if let Some(record) = Record::from_value(value) {
        record.iter().take(width).for_each(|(_, value)| visit(value.to_value()));
    }
}
