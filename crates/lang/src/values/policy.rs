//! What `check(...)`, `retry(...)` and `inverse()` give: words for a step's options.

use allocative::Allocative;
use piton_core::Action;
use piton_core::request::Retry;
use starlark::coerce::Coerce;
use starlark::values::{
    Freeze, FreezeResult, Freezer, NoSerialize, ProvidesStaticType, StarlarkValue, Trace, ValueLifetimeless, ValueLike,
    starlark_value,
};
use starlark::{starlark_complex_value, starlark_simple_value};
use std::fmt;
use std::sync::Arc;

/// `check(action, predicate)`. The predicate may be a run-time closure: it is called on the thread that made it.
#[derive(Debug, Trace, Coerce, ProvidesStaticType, NoSerialize, Allocative)]
#[repr(C)]
pub(crate) struct CheckGen<V: ValueLifetimeless> {
    #[allocative(skip)]
    #[trace(unsafe_ignore)]
    pub(crate) action: Arc<Action>,
    /// Starlark's None: the action's own truth counts.
    pub(crate) predicate: V,
}

starlark_complex_value!(pub(crate) Check);

impl<V: ValueLifetimeless> fmt::Display for CheckGen<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "check({})", self.action.summary())
    }
}

impl<'v> Freeze for Check<'v> {
    type Frozen = FrozenCheck;
    fn freeze(self, freezer: &Freezer) -> FreezeResult<FrozenCheck> {
        Ok(CheckGen { action: self.action, predicate: self.predicate.freeze(freezer)? })
    }
}

#[starlark_value(type = "check")]
impl<'v, V: ValueLike<'v>> StarlarkValue<'v> for CheckGen<V> where Self: ProvidesStaticType<'v> {}

/// `retry(times, ...)`.
#[derive(Debug, Trace, Coerce, ProvidesStaticType, NoSerialize, Allocative)]
#[repr(C)]
pub(crate) struct RetryValueGen<V: ValueLifetimeless> {
    #[allocative(skip)]
    #[trace(unsafe_ignore)]
    pub(crate) policy: Retry,
    /// `on=`: asked with the failed attempt's outcome. Starlark's None: every failure is tried again.
    pub(crate) on: V,
}

starlark_complex_value!(pub(crate) RetryValue);

impl<V: ValueLifetimeless> fmt::Display for RetryValueGen<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "retry({})", self.policy.times)
    }
}

impl<'v> Freeze for RetryValue<'v> {
    type Frozen = FrozenRetryValue;
    fn freeze(self, freezer: &Freezer) -> FreezeResult<FrozenRetryValue> {
        Ok(RetryValueGen { policy: self.policy, on: self.on.freeze(freezer)? })
    }
}

#[starlark_value(type = "retry")]
impl<'v, V: ValueLike<'v>> StarlarkValue<'v> for RetryValueGen<V> where Self: ProvidesStaticType<'v> {}

/// `inverse()`: the executor captures what is needed to go back.
#[derive(Debug, ProvidesStaticType, NoSerialize, Allocative)]
pub(crate) struct Inverse;

starlark_simple_value!(Inverse);

impl fmt::Display for Inverse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("inverse()")
    }
}

#[starlark_value(type = "inverse")]
impl<'v> StarlarkValue<'v> for Inverse {}
