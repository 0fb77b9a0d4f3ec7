//! Standard operations that could exhaust memory or stack in one go, behind a bound.
//!
//! Owns `range`, `str`, `repr`, and what `load` puts in place of the operators that can multiply a value. `guard` looks
//! at the rest between statements.

use crate::error::author;
use crate::guard::check_shown;
use crate::limits::{MAX_INT_BITS, MAX_ITEMS, MAX_STRING_BYTES};
use crate::session::Session;
use num_bigint::BigInt;
use starlark::environment::GlobalsBuilder;
use starlark::eval::Evaluator;
use starlark::starlark_module;
use starlark::values::list::ListRef;
use starlark::values::string::StarlarkStr;
use starlark::values::tuple::TupleRef;
use starlark::values::{Heap, UnpackValue, Value, ValueOfUnchecked};

/// What `load` writes for an operator.
pub(crate) const OPERATORS: [(&str, &str); 4] =
    [("*", "__piton_times"), ("+", "__piton_plus"), ("%", "__piton_percent"), ("<<", "__piton_shift")];

/// Bits of an integer.
fn bits(value: Value<'_>) -> Option<u64> {
    match value.unpack_i32() {
        Some(_) => Some(32),
        None if value.get_type() == "int" => Some(BigInt::unpack_value(value).ok().flatten()?.bits()),
        None => None,
    }
}

fn check_bits(bits: Option<u64>) -> starlark::Result<()> {
    match bits {
        Some(bits) if bits > MAX_INT_BITS => {
            Err(author(format!("an integer of more than {MAX_INT_BITS} bits")).raise())
        }
        _ => Ok(()),
    }
}

/// Refuses to repeat a string, list or tuple into something huge.
fn check_times(sequence: Value<'_>, times: Value<'_>) -> starlark::Result<()> {
    let Some(times) = times.unpack_i32() else { return Ok(()) };
    let times = usize::try_from(times).unwrap_or(0);
    let (length, limit, unit) = match sequence.unpack_str() {
        Some(text) => (text.len(), MAX_STRING_BYTES, "bytes"),
        None => {
            let list = ListRef::from_value(sequence).map(|list| list.content().len());
            let tuple = || TupleRef::from_value(sequence).map(|tuple| tuple.len());
            (list.or_else(tuple).unwrap_or(0), MAX_ITEMS, "items")
        }
    };
    if length.checked_mul(times).is_none_or(|total| total > limit) {
        return Err(author(format!("{length} {unit} times {times} are too many: at most {limit}")).raise());
    }
    Ok(())
}

pub(crate) fn times<'v>(a: Value<'v>, b: Value<'v>, heap: Heap<'v>) -> starlark::Result<Value<'v>> {
    check_times(a, b)?;
    check_times(b, a)?;
    check_bits(bits(a).zip(bits(b)).map(|(a, b)| a.saturating_add(b)))?;
    a.mul(b, heap)
}

pub(crate) fn plus<'v>(a: Value<'v>, b: Value<'v>, heap: Heap<'v>) -> starlark::Result<Value<'v>> {
    check_bits(bits(a).max(bits(b)))?;
    a.add(b, heap)
}

pub(crate) fn shift<'v>(a: Value<'v>, b: Value<'v>, heap: Heap<'v>) -> starlark::Result<Value<'v>> {
    let by = b.unpack_i32().map_or(u64::MAX, |by| u64::try_from(by).unwrap_or(0));
    check_bits(bits(a).and(bits(b)).map(|_| bits(a).unwrap_or(0).saturating_add(by)))?;
    a.left_shift(b, heap)
}

pub(crate) fn percent<'v>(a: Value<'v>, b: Value<'v>, heap: Heap<'v>) -> starlark::Result<Value<'v>> {
    check_shown(b)?;
    a.percent(b, heap)
}

#[starlark_module]
pub(crate) fn globals(builder: &mut GlobalsBuilder) {
    /// The integers from `a` (or 0) to below `b`, every `step`th.
    fn range<'v>(
        #[starlark(require = pos)] a: i32,
        #[starlark(require = pos)] b: Option<i32>,
        #[starlark(require = pos)] step: Option<i32>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        let (from, to) = b.map_or((0, a), |b| (a, b));
        let step = step.unwrap_or(1);
        let span = (i64::from(to) - i64::from(from)).unsigned_abs();
        if step != 0 && span / u64::from(step.unsigned_abs()) > MAX_ITEMS as u64 {
            return Err(author(format!("a range of more than {MAX_ITEMS} integers")).raise());
        }
        let owned = Session::of(eval)?.registry.standard.get("range").map_err(|error| author(error.to_string()))?;
        let heap = eval.heap();
        let standard = heap.access_owned_frozen_value(&owned);
        eval.eval_function(standard, &[heap.alloc(from), heap.alloc(to), heap.alloc(step)], &[])
    }

    fn __piton_times<'v>(
        #[starlark(require = pos)] a: Value<'v>,
        #[starlark(require = pos)] b: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        times(a, b, eval.heap())
    }

    fn __piton_plus<'v>(
        #[starlark(require = pos)] a: Value<'v>,
        #[starlark(require = pos)] b: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        plus(a, b, eval.heap())
    }

    fn __piton_shift<'v>(
        #[starlark(require = pos)] a: Value<'v>,
        #[starlark(require = pos)] b: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        shift(a, b, eval.heap())
    }

    fn __piton_percent<'v>(
        #[starlark(require = pos)] a: Value<'v>,
        #[starlark(require = pos)] b: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        percent(a, b, eval.heap())
    }

    /// The value as a text, as the language writes it.
    fn repr<'v>(#[starlark(require = pos)] a: Value<'v>) -> starlark::Result<String> {
        check_shown(a)?;
        Ok(a.to_repr())
    }

    /// The value as a text; a string is itself.
    #[starlark(as_type = StarlarkStr)]
    fn str<'v>(
        #[starlark(require = pos)] a: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<ValueOfUnchecked<'v, String>> {
        if a.unpack_str().is_some() {
            return Ok(ValueOfUnchecked::new(a));
        }
        check_shown(a)?;
        Ok(ValueOfUnchecked::new(eval.heap().alloc(a.to_str())))
    }
}
