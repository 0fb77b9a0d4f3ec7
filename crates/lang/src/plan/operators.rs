//! Operators and places that decide, in the planning copy: each looks for holes before the language's own does.
//!
//! Owns their names in the copy and which of them a hole, or a text with one, may pass.

use super::globals::unwrapped;
use crate::builtins::guarded;
use crate::values::Hole;
use crate::values::hole::{hole_in, hole_within, marked, needs};
use starlark::environment::GlobalsBuilder;
use starlark::eval::Evaluator;
use starlark::starlark_module;
use starlark::values::dict::DictRef;
use starlark::values::list::{AllocList, ListRef};
use starlark::values::tuple::{AllocTuple, TupleRef};
use starlark::values::{Heap, Value, ValueLike};

/// Around a value that decides: it is given back unless it is a hole or a text with one.
pub(super) const KNOWN: &str = "__piton_known";
/// The same for everything inside it, too.
pub(super) const KNOWN_INSIDE: &str = "__piton_known_inside";
/// Around what is looked into: a hole passes, its parts are holes; a text with one does not.
pub(super) const WHOLE: &str = "__piton_whole";
/// Around what becomes entries of a dict, whose keys decide.
pub(super) const KEYS: &str = "__piton_keys";
/// Around what is written into a text.
pub(super) const SHOWN: &str = "__piton_shown";
/// Around what a part is taken of: a hole's parts are holes, and a method that is not called there is not followed.
pub(super) const PART: &str = "__piton_part";
/// Around what is joined: holes become texts.
pub(super) const TEXTS: &str = "__piton_texts";

/// What the copy has in place of an operator. `and`, `or` and `not` are written otherwise: see `instrument`.
pub(crate) const OPERATORS: [(&str, &str); 19] = [
    ("==", "__piton_equal"),
    ("!=", "__piton_unequal"),
    ("<", "__piton_less"),
    ("<=", "__piton_at_most"),
    (">", "__piton_more"),
    (">=", "__piton_at_least"),
    ("in", "__piton_in"),
    ("not in", "__piton_not_in"),
    ("+", "__piton_planned_plus"),
    ("-", "__piton_minus"),
    ("*", "__piton_planned_times"),
    ("/", "__piton_over"),
    ("//", "__piton_whole_over"),
    ("%", "__piton_planned_percent"),
    ("&", "__piton_and"),
    ("|", "__piton_or"),
    ("^", "__piton_xor"),
    ("<<", "__piton_planned_shift"),
    (">>", "__piton_shift_right"),
];

/// A method that is passed on would decide on what it is given without a look at it.
pub(super) const METHOD: &str = "a method that is passed on, which a plan cannot follow";

/// One of the language's own kinds, whose attributes are methods.
pub(super) fn has_methods(value: Value<'_>) -> bool {
    matches!(value.get_type(), "string" | "list" | "dict" | "set" | "tuple" | "range")
}

fn known<'v>(value: Value<'v>) -> starlark::Result<Value<'v>> {
    hole_in(value).map_or(Ok(value), |what| Err(needs(&what)))
}

fn known_inside<'v>(value: Value<'v>) -> starlark::Result<Value<'v>> {
    hole_within(value).map_or(Ok(value), |what| Err(needs(&what)))
}

/// A dict's keys are known already; pairs become keys.
pub(super) fn entries<'v>(value: Value<'v>) -> starlark::Result<Value<'v>> {
    if DictRef::from_value(value).is_some() { Ok(value) } else { known_inside(value) }
}

/// A hole as the text that stands for it.
pub(super) fn as_text<'v>(value: Value<'v>, heap: Heap<'v>) -> Value<'v> {
    match value.downcast_ref::<Hole>() {
        Some(hole) => heap.alloc(hole.mark()),
        None => remarked(value, heap),
    }
}

/// A text in which marks were written out, with its marks.
pub(super) fn remarked<'v>(value: Value<'v>, heap: Heap<'v>) -> Value<'v> {
    value.unpack_str().and_then(marked).map_or(value, |text| heap.alloc(text))
}

/// What stands to the right of `%`.
fn as_texts<'v>(value: Value<'v>, heap: Heap<'v>) -> Value<'v> {
    match TupleRef::from_value(value) {
        Some(items) => heap.alloc(AllocTuple(items.content().iter().map(|item| as_text(*item, heap)))),
        None => as_text(value, heap),
    }
}

macro_rules! operators {
    ($builder:ident: $($name:ident, $look:ident, |$a:ident, $b:ident, $heap:ident| $body:expr;)*) => {$(
        {
            #[starlark_module]
            fn one(builder: &mut GlobalsBuilder) {
                fn $name<'v>(
                    #[starlark(require = pos)] a: Value<'v>,
                    #[starlark(require = pos)] b: Value<'v>,
                    eval: &mut Evaluator<'v, '_, '_>,
                ) -> starlark::Result<Value<'v>> {
                    let ($a, $b, $heap) = ($look(a)?, $look(b)?, eval.heap());
                    let _ = $heap;
                    $body
                }
            }
            one($builder);
        }
    )*};
}

pub(crate) fn globals(builder: &mut GlobalsBuilder) {
    checks(builder);
    multiplying(builder);
    operators!(builder:
        __piton_equal, known_inside, |a, b, heap| Ok(Value::new_bool(a.equals(b)?));
        __piton_unequal, known_inside, |a, b, heap| Ok(Value::new_bool(!a.equals(b)?));
        __piton_less, known_inside, |a, b, heap| Ok(Value::new_bool(a.compare(b)?.is_lt()));
        __piton_at_most, known_inside, |a, b, heap| Ok(Value::new_bool(a.compare(b)?.is_le()));
        __piton_more, known_inside, |a, b, heap| Ok(Value::new_bool(a.compare(b)?.is_gt()));
        __piton_at_least, known_inside, |a, b, heap| Ok(Value::new_bool(a.compare(b)?.is_ge()));
        __piton_in, known_inside, |a, b, heap| Ok(Value::new_bool(b.is_in(a)?));
        __piton_not_in, known_inside, |a, b, heap| Ok(Value::new_bool(!b.is_in(a)?));
        __piton_minus, known, |a, b, heap| a.sub(b, heap);
        __piton_over, known, |a, b, heap| a.div(b, heap);
        __piton_whole_over, known, |a, b, heap| a.floor_div(b, heap);
        __piton_and, known_inside, |a, b, heap| a.bit_and(b, heap);
        __piton_or, known, |a, b, heap| unwrapped(a).bit_or(unwrapped(b), heap);
        __piton_xor, known_inside, |a, b, heap| a.bit_xor(b, heap);
        __piton_shift_right, known, |a, b, heap| a.right_shift(b, heap);
    );
}

/// Those that `guarded` bounds.
#[starlark_module]
fn multiplying(builder: &mut GlobalsBuilder) {
    fn __piton_planned_plus<'v>(
        #[starlark(require = pos)] a: Value<'v>,
        #[starlark(require = pos)] b: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        // A hole beside a text is a part of a text; a list of holes is a list.
        match (a.downcast_ref::<Hole>(), b.downcast_ref::<Hole>()) {
            (Some(_), None) if b.unpack_str().is_none() => known(a),
            (None, Some(_)) if a.unpack_str().is_none() => known(b),
            (Some(_), Some(_)) => known(a),
            _ => {
                let heap = eval.heap();
                guarded::plus(as_text(a, heap), as_text(b, heap), heap)
            }
        }
    }

    fn __piton_planned_times<'v>(
        #[starlark(require = pos)] a: Value<'v>,
        #[starlark(require = pos)] b: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        guarded::times(known(a)?, known(b)?, eval.heap())
    }

    fn __piton_planned_percent<'v>(
        #[starlark(require = pos)] a: Value<'v>,
        #[starlark(require = pos)] b: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        let heap = eval.heap();
        let (a, texts) = (known(a)?, as_texts(b, heap));
        // Such as %d, which needs the number itself.
        let written = guarded::percent(a, texts, heap).map(|text| remarked(text, heap));
        written.or_else(|error| hole_within(b).map_or(Err(error), |what| Err(needs(&what))))
    }

    fn __piton_planned_shift<'v>(
        #[starlark(require = pos)] a: Value<'v>,
        #[starlark(require = pos)] b: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        guarded::shift(known(a)?, known(b)?, eval.heap())
    }
}

#[starlark_module]
fn checks(builder: &mut GlobalsBuilder) {
    fn __piton_known<'v>(#[starlark(require = pos)] value: Value<'v>) -> starlark::Result<Value<'v>> {
        known(value)
    }

    fn __piton_known_inside<'v>(#[starlark(require = pos)] value: Value<'v>) -> starlark::Result<Value<'v>> {
        known_inside(value)
    }

    fn __piton_whole<'v>(#[starlark(require = pos)] value: Value<'v>) -> starlark::Result<Value<'v>> {
        if value.downcast_ref::<Hole>().is_some() { Ok(value) } else { known(value) }
    }

    fn __piton_keys<'v>(#[starlark(require = pos)] value: Value<'v>) -> starlark::Result<Value<'v>> {
        entries(value)
    }

    fn __piton_shown<'v>(
        #[starlark(require = pos)] value: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        // Within a list a text is written with its quotes, and its marks otherwise.
        let holds = value.unpack_str().is_none() && has_methods(value) && hole_within(value).is_some();
        let written = || marked(&value.to_str()).map(|text| eval.heap().alloc(text));
        Ok(if holds { written().unwrap_or(value) } else { value })
    }

    fn __piton_part<'v>(#[starlark(require = pos)] value: Value<'v>) -> starlark::Result<Value<'v>> {
        if has_methods(value) { Err(needs(METHOD)) } else { Ok(value) }
    }

    fn __piton_texts<'v>(
        #[starlark(require = pos)] value: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        let heap = eval.heap();
        let texts = |items: &[Value<'v>]| heap.alloc(AllocList(items.iter().map(|item| as_text(*item, heap))));
        match (ListRef::from_value(value), TupleRef::from_value(value)) {
            (Some(list), _) => Ok(texts(list.content())),
            (_, Some(tuple)) => Ok(texts(tuple.content())),
            _ => known(value),
        }
    }
}
