//! An outcome as a Starlark value: one handle, whose attributes are decoded when someone looks.
//!
//! Owns `.ok .code .signal .out .err .json .rows .row .value .affected .status .headers .took` and the error for those that
//! this action does not give. An evaluation holds every outcome until it ends, and a run may have a hundred thousand:
//! what is kept is the journal's own bytes.

use crate::codec::{is_plain, json as from_json, plain};
use crate::error::{AuthorError, author};
use allocative::Allocative;
use piton_core::Outcome;
use piton_core::event::Stored;
use starlark::coerce::Coerce;
use starlark::environment::{Methods, MethodsBuilder};
use starlark::values::dict::AllocDict;
use starlark::values::list::AllocList;
use starlark::values::none::NoneOr;
use starlark::values::{
    Freeze, FreezeResult, Freezer, Heap, NoSerialize, ProvidesStaticType, StarlarkValue, Trace, Value,
    ValueLifetimeless, ValueLike, starlark_value,
};
use starlark::{starlark_complex_value, starlark_module};
use std::fmt;
use std::sync::Arc;

/// An outcome as it came: sealed from the journal, or open from another branch or for a predicate.
#[derive(Debug, Clone)]
pub(crate) enum Given {
    Sealed(Stored<Outcome>),
    Open(Arc<Outcome>),
}

impl Given {
    pub(crate) fn open(&self) -> Result<Arc<Outcome>, AuthorError> {
        match self {
            Self::Open(outcome) => Ok(outcome.clone()),
            Self::Sealed(outcome) => match outcome.open() {
                Ok(outcome) => Ok(Arc::new(outcome)),
                Err(error) => Err(author(format!("this outcome cannot be read: {error}"))),
            },
        }
    }

    /// Whether its value is such that the heap alone gives it: no record, enum or function is in it. These, and a few
    /// kinds that need no more than the heap, are tagged with `$` in JSON, where a quote inside a text never stands bare.
    pub(crate) fn is_plain(&self) -> bool {
        match self {
            Self::Open(outcome) => outcome.value.as_ref().is_none_or(is_plain),
            Self::Sealed(outcome) => !outcome.json().contains("\"$\""),
        }
    }
}

#[derive(Debug, Trace, Coerce, ProvidesStaticType, NoSerialize, Allocative)]
#[repr(C)]
pub(crate) struct OutcomeValueGen<V: ValueLifetimeless> {
    #[allocative(skip)]
    #[trace(unsafe_ignore)]
    pub(crate) outcome: Given,
    /// Its value, where decoding it needs more than the heap (records, enums, functions); else Starlark's None.
    pub(crate) value: V,
}

starlark_complex_value!(pub(crate) OutcomeValue);

impl<V: ValueLifetimeless> fmt::Display for OutcomeValueGen<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.outcome.open() {
            Ok(outcome) => f.write_str(&outcome.summary()),
            Err(error) => write!(f, "{error}"),
        }
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
        let Some(other) = OutcomeValue::from_value(other) else { return Ok(false) };
        Ok(self.outcome.open()? == other.outcome.open()?)
    }
}

/// The error for an attribute that this outcome does not have, naming those it has.
fn missing(outcome: &Outcome, attribute: &str) -> AuthorError {
    let mut has = vec![".ok", ".took"];
    let mut give = |there: bool, names: &[&'static str]| has.extend(if there { names } else { &[] });
    give(outcome.code.is_some(), &[".code"]);
    give(outcome.code.is_some() || outcome.signal.is_some(), &[".signal"]);
    give(outcome.out.is_some(), &[".out", ".json"]);
    give(outcome.err.is_some(), &[".err"]);
    give(outcome.rows.is_some(), &[".rows", ".row"]);
    give(outcome.rows.is_some() || outcome.value.is_some(), &[".value"]);
    give(outcome.affected.is_some(), &[".affected"]);
    give(outcome.status.is_some(), &[".status", ".headers"]);
    author(format!("this outcome has no .{attribute}")).help(format!("its action gave {}", has.join(" ")))
}

/// What this outcome has under that name, or the error that it has none.
fn field<T>(given: &Given, attribute: &str, pick: impl FnOnce(&Outcome) -> Option<T>) -> starlark::Result<T> {
    let outcome = given.open()?;
    pick(&outcome).ok_or_else(|| missing(&outcome, attribute).raise())
}

fn exit_code(outcome: &Outcome) -> starlark::Result<i32> {
    outcome.code.ok_or_else(|| match outcome.signal {
        Some(signal) => author(format!("this outcome has no .code: signal {signal} ended the program")).raise(),
        None => missing(outcome, "code").raise(),
    })
}

fn ended_by(outcome: &Outcome) -> starlark::Result<NoneOr<i32>> {
    match (outcome.signal, outcome.code) {
        (Some(signal), _) => Ok(NoneOr::Other(signal)),
        (None, Some(_)) => Ok(NoneOr::None),
        (None, None) => Err(missing(outcome, "signal").raise()),
    }
}

fn headers_of<'v>(outcome: &Outcome, heap: Heap<'v>) -> starlark::Result<Value<'v>> {
    if outcome.status.is_none() {
        return Err(missing(outcome, "headers").raise());
    }
    let headers = outcome.headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.as_str()));
    Ok(heap.alloc(AllocDict(headers.collect::<Vec<_>>())))
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
        Ok(this.outcome.open()?.ok)
    }

    /// Exit code of a program.
    #[starlark(attribute)]
    fn code<'v>(this: &OutcomeValue<'v>) -> starlark::Result<i32> {
        exit_code(&*this.outcome.open()?)
    }

    /// The number of the signal that ended a program; None where it ended by itself.
    #[starlark(attribute)]
    fn signal<'v>(this: &OutcomeValue<'v>) -> starlark::Result<NoneOr<i32>> {
        ended_by(&*this.outcome.open()?)
    }

    /// What the program wrote to standard output; a file's text; a response's body.
    #[starlark(attribute)]
    fn out<'v>(this: &OutcomeValue<'v>, heap: Heap<'v>) -> starlark::Result<Value<'v>> {
        Ok(heap.alloc(&*field(&this.outcome, "out", |outcome| outcome.out.clone())?))
    }

    /// What the program wrote to standard error.
    #[starlark(attribute)]
    fn err<'v>(this: &OutcomeValue<'v>, heap: Heap<'v>) -> starlark::Result<Value<'v>> {
        Ok(heap.alloc(&*field(&this.outcome, "err", |outcome| outcome.err.clone())?))
    }

    /// `.out`, read as JSON.
    #[starlark(attribute)]
    fn json<'v>(this: &OutcomeValue<'v>, heap: Heap<'v>) -> starlark::Result<Value<'v>> {
        let text = field(&this.outcome, "json", |outcome| outcome.out.clone())?;
        match serde_json::from_str::<serde_json::Value>(&text) {
            Ok(value) => Ok(from_json(&value, heap)),
            Err(error) => Err(author(format!("the output is not JSON: {error}")).raise()),
        }
    }

    /// The rows of a query, each a dict from column to value.
    #[starlark(attribute)]
    fn rows<'v>(this: &OutcomeValue<'v>, heap: Heap<'v>) -> starlark::Result<Value<'v>> {
        let outcome = this.outcome.open()?;
        let Some(rows) = &outcome.rows else { return Err(missing(&outcome, "rows").raise()) };
        Ok(heap.alloc(AllocList(rows.rows.iter().map(|row| cells(&rows.columns, row, heap)).collect::<Vec<_>>())))
    }

    /// The only row of a query.
    #[starlark(attribute)]
    fn row<'v>(this: &OutcomeValue<'v>, heap: Heap<'v>) -> starlark::Result<Value<'v>> {
        let outcome = this.outcome.open()?;
        let Some(rows) = &outcome.rows else { return Err(missing(&outcome, "row").raise()) };
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
        let outcome = this.outcome.open()?;
        match (outcome.scalar(), &outcome.rows) {
            (Some(value), _) => Ok(plain(&value, heap).unwrap_or_else(Value::new_none)),
            (None, Some(rows)) => Err(author(format!(
                "there is no single .value: the query gave {} rows of {} columns",
                rows.rows.len(),
                rows.columns.len()
            ))
            .help("use .rows or .row, or select one column of one row")
            .raise()),
            (None, None) => Err(missing(&outcome, "value").raise()),
        }
    }

    /// Rows changed by `sql`.
    #[starlark(attribute)]
    fn affected<'v>(this: &OutcomeValue<'v>, heap: Heap<'v>) -> starlark::Result<Value<'v>> {
        Ok(heap.alloc(field(&this.outcome, "affected", |outcome| outcome.affected)?))
    }

    /// Status code of a response.
    #[starlark(attribute)]
    fn status<'v>(this: &OutcomeValue<'v>) -> starlark::Result<i32> {
        field(&this.outcome, "status", |outcome| outcome.status.map(i32::from))
    }

    /// Headers of a response, names in lower case; of several with one name, the last.
    #[starlark(attribute)]
    fn headers<'v>(this: &OutcomeValue<'v>, heap: Heap<'v>) -> starlark::Result<Value<'v>> {
        headers_of(&*this.outcome.open()?, heap)
    }

    /// How long the action took.
    #[starlark(attribute)]
    fn took<'v>(this: &OutcomeValue<'v>, heap: Heap<'v>) -> starlark::Result<Value<'v>> {
        let took = piton_core::Duration::from_ms(this.outcome.open()?.took_us / 1000);
        Ok(heap.alloc(super::DurationValue(took)))
    }
}
