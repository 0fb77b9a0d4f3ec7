//! `duration("90s")`: a length of time as a Starlark value.
//!
//! Owns its operators. Reading and printing are `core::Duration`'s.

use allocative::Allocative;
use piton_core::Duration;
use starlark::starlark_simple_value;
use starlark::values::{Heap, NoSerialize, ProvidesStaticType, StarlarkValue, Value, ValueLike, starlark_value};
use std::cmp::Ordering;
use std::fmt;

#[derive(Debug, ProvidesStaticType, NoSerialize, Allocative)]
pub(crate) struct DurationValue(#[allocative(skip)] pub(crate) Duration);

starlark_simple_value!(DurationValue);

impl fmt::Display for DurationValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[starlark_value(type = "duration")]
impl<'v> StarlarkValue<'v> for DurationValue {
    fn equals(&self, other: Value<'v>) -> starlark::Result<bool> {
        Ok(other.downcast_ref::<Self>().is_some_and(|other| self.0 == other.0))
    }

    fn write_hash(&self, hasher: &mut starlark::collections::StarlarkHasher) -> starlark::Result<()> {
        std::hash::Hash::hash(&self.0, hasher);
        Ok(())
    }

    fn compare(&self, other: Value<'v>) -> starlark::Result<Ordering> {
        match other.downcast_ref::<Self>() {
            Some(other) => Ok(self.0.cmp(&other.0)),
            None => starlark::values::ValueError::unsupported_with(self, "compare", other),
        }
    }

    fn add(&self, rhs: Value<'v>, heap: Heap<'v>) -> Option<starlark::Result<Value<'v>>> {
        let other = rhs.downcast_ref::<Self>()?;
        Some(Ok(heap.alloc(Self(Duration::from_ms(self.0.as_ms().saturating_add(other.0.as_ms()))))))
    }

    fn get_attr(&self, attribute: &str, heap: Heap<'v>) -> Option<Value<'v>> {
        match attribute {
            "ms" => Some(heap.alloc(self.0.as_ms())),
            "seconds" => Some(heap.alloc(self.0.as_ms() as f64 / 1000.0)),
            _ => None,
        }
    }

    fn dir_attr(&self) -> Vec<String> {
        vec!["ms".into(), "seconds".into()]
    }
}
