//! An outcome as a Starlark value: one handle, whose attributes are decoded when someone looks.
//!
//! Owns `.ok .code .out .err .json .rows .row .value .affected .status .headers .took` and the error for those that
//! this action does not give.

use crate::codec::{json as from_json, plain};
use crate::error::{AuthorError, author};
use allocative::Allocative;
use piton_core::Outcome;
use starlark::coerce::Coerce;
use starlark::environment::{Methods, MethodsBuilder};
use starlark::values::dict::AllocDict;
use starlark::values::list::AllocList;
use starlark::values::{
    Freeze, FreezeResult, Freezer, Heap, NoSerialize, ProvidesStaticType, StarlarkValue, Trace, Value,
    ValueLifetimeless, ValueLike, starlark_value,
};
use starlark::{starlark_complex_value, starlark_module};
use std::fmt;
use std::sync::Arc;

#[derive(Debug, Trace, Coerce, ProvidesStaticType, NoSerialize, Allocative)]
#[repr(C)]
pub(crate) struct OutcomeValueGen<V: ValueLifetimeless> {
    #[allocative(skip)]
    #[trace(unsafe_ignore)]
    pub(crate) outcome: Arc<Outcome>,
    /// Its value, where decoding it needs more than the heap (records, enums, functions); else Starlark's None.
    pub(crate) value: V,
}

starlark_complex_value!(pub(crate) OutcomeValue);

impl<V: ValueLifetimeless> fmt::Display for OutcomeValueGen<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.outcome.summary())
    }
}

impl<'v> Freeze for OutcomeValue<'v> {
    type Frozen = FrozenOutcomeValue;
    fn freeze(self, freezer: &Freezer) -> FreezeResult<FrozenOutcomeValue> {
        Ok(OutcomeValueGen { outcome: self.outcome, value: self.value.freeze(freezer)? })
    }
}

starlark::methods_static!(OUTCOME_METHODS = outcome_methods);

#[starlark_value(type = "outcome")]
impl<'v, V: ValueLike<'v>> StarlarkValue<'v> for OutcomeValueGen<V>
where
    Self: ProvidesStaticType<'v>,
{
    fn get_methods() -> Option<&'static Methods> {
        Some(OUTCOME_METHODS.methods())
    }

    fn equals(&self, other: Value<'v>) -> starlark::Result<bool> {
        Ok(OutcomeValue::from_value(other).is_some_and(|other| self.outcome == other.outcome))
    }
}

/// The error for an attribute that this outcome does not have, naming those it has.
fn missing(outcome: &Outcome, attribute: &str) -> AuthorError {
    let mut has = vec![".ok", ".took"];
    let mut give = |there: bool, names: &[&'static str]| has.extend(if there { names } else { &[] });
    give(outcome.code.is_some(), &[".code"]);
    give(outcome.out.is_some(), &[".out", ".json"]);
    give(outcome.err.is_some(), &[".err"]);
    give(outcome.rows.is_some(), &[".rows", ".row"]);
    give(outcome.rows.is_some() || outcome.value.is_some(), &[".value"]);
    give(outcome.affected.is_some(), &[".affected"]);
    give(outcome.status.is_some(), &[".status", ".headers"]);
    author(format!("this outcome has no .{attribute}")).help(format!("its action gave {}", has.join(" ")))
}

fn cells<'v>(columns: &[String], row: &[piton_core::Value], heap: Heap<'v>) -> Value<'v> {
    let cell = |(name, value): (&String, &piton_core::Value)| {
        (name.clone(), plain(value, heap).unwrap_or_else(Value::new_none))
    };
    heap.alloc(AllocDict(columns.iter().zip(row).map(cell).collect::<Vec<_>>()))
}

#[starlark_module]
fn outcome_methods(builder: &mut MethodsBuilder) {
    /// Whether the action succeeded.
    #[starlark(attribute)]
    fn ok<'v>(this: &OutcomeValue<'v>) -> starlark::Result<bool> {
        Ok(this.outcome.ok)
    }

    /// Exit code of a program.
    #[starlark(attribute)]
    fn code<'v>(this: &OutcomeValue<'v>) -> starlark::Result<i32> {
        this.outcome.code.ok_or_else(|| match this.outcome.signal {
            Some(signal) => author(format!("this outcome has no .code: signal {signal} ended the program")).raise(),
            None => missing(&this.outcome, "code").raise(),
        })
    }

    /// What the program wrote to standard output; a file's text; a response's body.
    #[starlark(attribute)]
    fn out<'v>(this: &OutcomeValue<'v>, heap: Heap<'v>) -> starlark::Result<Value<'v>> {
        match &this.outcome.out {
            Some(text) => Ok(heap.alloc(&**text)),
            None => Err(missing(&this.outcome, "out").raise()),
        }
    }

    /// What the program wrote to standard error.
    #[starlark(attribute)]
    fn err<'v>(this: &OutcomeValue<'v>, heap: Heap<'v>) -> starlark::Result<Value<'v>> {
        match &this.outcome.err {
            Some(text) => Ok(heap.alloc(&**text)),
            None => Err(missing(&this.outcome, "err").raise()),
        }
    }

    /// `.out`, read as JSON.
    #[starlark(attribute)]
    fn json<'v>(this: &OutcomeValue<'v>, heap: Heap<'v>) -> starlark::Result<Value<'v>> {
        let Some(text) = &this.outcome.out else { return Err(missing(&this.outcome, "json").raise()) };
        match serde_json::from_str::<serde_json::Value>(text) {
            Ok(value) => Ok(from_json(&value, heap)),
            Err(error) => Err(author(format!("the output is not JSON: {error}")).raise()),
        }
    }

    /// The rows of a query, each a dict from column to value.
    #[starlark(attribute)]
    fn rows<'v>(this: &OutcomeValue<'v>, heap: Heap<'v>) -> starlark::Result<Value<'v>> {
        let Some(rows) = &this.outcome.rows else { return Err(missing(&this.outcome, "rows").raise()) };
        Ok(heap.alloc(AllocList(rows.rows.iter().map(|row| cells(&rows.columns, row, heap)).collect::<Vec<_>>())))
    }

    /// The only row of a query.
    #[starlark(attribute)]
    fn row<'v>(this: &OutcomeValue<'v>, heap: Heap<'v>) -> starlark::Result<Value<'v>> {
        let Some(rows) = &this.outcome.rows else { return Err(missing(&this.outcome, "row").raise()) };
        match rows.rows.as_slice() {
            [only] => Ok(cells(&rows.columns, only, heap)),
            all => Err(author(format!("there is no single .row: the query gave {} rows", all.len()))
                .help("use .rows, or make the query give one row")
                .raise()),
        }
    }

    /// The value the action gave; of a query, the only column of its only row.
    #[starlark(attribute)]
    fn value<'v>(this: &OutcomeValue<'v>, heap: Heap<'v>) -> starlark::Result<Value<'v>> {
        if !this.value.is_none() {
            return Ok(this.value);
        }
        match (this.outcome.scalar(), &this.outcome.rows) {
            (Some(value), _) => Ok(plain(&value, heap).unwrap_or_else(Value::new_none)),
            (None, Some(rows)) => Err(author(format!(
                "there is no single .value: the query gave {} rows of {} columns",
                rows.rows.len(),
                rows.columns.len()
            ))
            .help("use .rows or .row, or select one column of one row")
            .raise()),
            (None, None) => Err(missing(&this.outcome, "value").raise()),
        }
    }

    /// Rows changed by `sql`.
    #[starlark(attribute)]
    fn affected<'v>(this: &OutcomeValue<'v>, heap: Heap<'v>) -> starlark::Result<Value<'v>> {
        match this.outcome.affected {
            Some(rows) => Ok(heap.alloc(rows)),
            None => Err(missing(&this.outcome, "affected").raise()),
        }
    }

    /// Status code of a response.
    #[starlark(attribute)]
    fn status<'v>(this: &OutcomeValue<'v>) -> starlark::Result<i32> {
        this.outcome.status.map(i32::from).ok_or_else(|| missing(&this.outcome, "status").raise())
    }

    /// Headers of a response, names in lower case; of several with one name, the last.
    #[starlark(attribute)]
    fn headers<'v>(this: &OutcomeValue<'v>, heap: Heap<'v>) -> starlark::Result<Value<'v>> {
        if this.outcome.status.is_none() {
            return Err(missing(&this.outcome, "headers").raise());
        }
        let headers = this.outcome.headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.as_str()));
        Ok(heap.alloc(AllocDict(headers.collect::<Vec<_>>())))
    }

    /// How long the action took.
    #[starlark(attribute)]
    fn took<'v>(this: &OutcomeValue<'v>, heap: Heap<'v>) -> starlark::Result<Value<'v>> {
        let took = piton_core::Duration::from_ms(this.outcome.took_us / 1000);
        Ok(heap.alloc(super::DurationValue(took)))
    }
}
