//! An action as a Starlark value: it can be stored, passed on, printed and compared; a step performs it.

use allocative::Allocative;
use piton_core::Action;
use starlark::starlark_simple_value;
use starlark::values::{NoSerialize, ProvidesStaticType, StarlarkValue, Value, ValueLike, starlark_value};
use std::fmt;
use std::sync::Arc;

#[derive(Debug, ProvidesStaticType, NoSerialize, Allocative)]
pub(crate) struct ActionValue(#[allocative(skip)] pub(crate) Arc<Action>);

starlark_simple_value!(ActionValue);

impl ActionValue {
    pub(crate) fn new(action: Action) -> Self {
        Self(Arc::new(action))
    }
}

impl fmt::Display for ActionValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.summary())
    }
}

#[starlark_value(type = "action")]
impl<'v> StarlarkValue<'v> for ActionValue {
    fn equals(&self, other: Value<'v>) -> starlark::Result<bool> {
        Ok(other.downcast_ref::<Self>().is_some_and(|other| self.0 == other.0))
    }
}
