//! A text with secrets in it, which a runbook carries and never reads.
//!
//! Owns that it joins with plain texts and prints masked. Secrets are opened in `steps`, never here.

use allocative::Allocative;
use piton_core::Text;
use starlark::starlark_simple_value;
use starlark::values::{Heap, NoSerialize, ProvidesStaticType, StarlarkValue, Value, ValueLike, starlark_value};
use std::fmt;

#[derive(Debug, ProvidesStaticType, NoSerialize, Allocative)]
pub(crate) struct SecretValue(#[allocative(skip)] pub(crate) Text);

starlark_simple_value!(SecretValue);

impl fmt::Display for SecretValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A string or a secret as a text.
pub(crate) fn text_of(value: Value<'_>) -> Option<Text> {
    match value.unpack_str() {
        Some(text) => Some(Text::plain(text)),
        None => value.downcast_ref::<SecretValue>().map(|secret| secret.0.clone()),
    }
}

#[starlark_value(type = "secret")]
impl<'v> StarlarkValue<'v> for SecretValue {
    fn equals(&self, other: Value<'v>) -> starlark::Result<bool> {
        Ok(other.downcast_ref::<Self>().is_some_and(|other| self.0 == other.0))
    }

    fn write_hash(&self, hasher: &mut starlark::collections::StarlarkHasher) -> starlark::Result<()> {
        std::hash::Hash::hash(&self.0, hasher);
        Ok(())
    }

    fn add(&self, rhs: Value<'v>, heap: Heap<'v>) -> Option<starlark::Result<Value<'v>>> {
        Some(Ok(heap.alloc(Self(self.0.clone().concat(text_of(rhs)?)))))
    }

    fn radd(&self, lhs: Value<'v>, heap: Heap<'v>) -> Option<starlark::Result<Value<'v>>> {
        Some(Ok(heap.alloc(Self(text_of(lhs)?.concat(self.0.clone())))))
    }
}
