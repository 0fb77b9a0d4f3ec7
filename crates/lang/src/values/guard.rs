//! What `guard(...)` gives: a check for the `guards=` of scopes.

use allocative::Allocative;
use piton_core::guard::Guard;
use starlark::starlark_simple_value;
use starlark::values::{NoSerialize, ProvidesStaticType, StarlarkValue, starlark_value};
use std::fmt;
use std::sync::Arc;

/// A predicate in it is a top-level function: it is asked on another thread.
#[derive(Debug, ProvidesStaticType, NoSerialize, Allocative)]
pub(crate) struct GuardValue(#[allocative(skip)] pub(crate) Arc<Guard>);

starlark_simple_value!(GuardValue);

impl fmt::Display for GuardValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "guard({:?})", self.0.name)
    }
}

#[starlark_value(type = "guard")]
impl<'v> StarlarkValue<'v> for GuardValue {}
