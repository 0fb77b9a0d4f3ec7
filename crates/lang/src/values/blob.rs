//! Bytes that are no text, as a database gives them.
//!
//! Owns `len`, `.hex()`, `.base64()` and `.text()`.

use allocative::Allocative;
use base64::Engine as _;
use starlark::environment::{Methods, MethodsBuilder};
use starlark::values::{NoSerialize, ProvidesStaticType, StarlarkValue, Value, ValueLike, starlark_value};
use starlark::{starlark_module, starlark_simple_value};
use std::fmt;
use std::fmt::Write as _;

#[derive(Debug, ProvidesStaticType, NoSerialize, Allocative)]
pub(crate) struct Blob(pub(crate) Vec<u8>);

starlark_simple_value!(Blob);

impl fmt::Display for Blob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "‹{} bytes›", self.0.len())
    }
}

starlark::methods_static!(BLOB_METHODS = blob_methods);

#[starlark_value(type = "bytes")]
impl<'v> StarlarkValue<'v> for Blob {
    fn get_methods() -> Option<&'static Methods> {
        Some(BLOB_METHODS.methods())
    }

    fn equals(&self, other: Value<'v>) -> starlark::Result<bool> {
        Ok(other.downcast_ref::<Self>().is_some_and(|other| self.0 == other.0))
    }

    fn write_hash(&self, hasher: &mut starlark::collections::StarlarkHasher) -> starlark::Result<()> {
        std::hash::Hash::hash(&self.0, hasher);
        Ok(())
    }

    fn length(&self) -> starlark::Result<i32> {
        Ok(i32::try_from(self.0.len()).unwrap_or(i32::MAX))
    }

    fn to_bool(&self) -> bool {
        !self.0.is_empty()
    }
}

#[starlark_module]
fn blob_methods(builder: &mut MethodsBuilder) {
    /// The bytes as hexadecimal digits.
    fn hex(this: &Blob) -> starlark::Result<String> {
        Ok(this.0.iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        }))
    }

    /// The bytes in base64 (RFC 4648, with padding).
    fn base64(this: &Blob) -> starlark::Result<String> {
        Ok(base64::engine::general_purpose::STANDARD.encode(&this.0))
    }

    /// The bytes read as UTF-8; an error where they are not.
    fn text(this: &Blob) -> starlark::Result<String> {
        String::from_utf8(this.0.clone()).map_err(|_| {
            crate::error::author("these bytes are no text in UTF-8").help("use .hex() or .base64()").raise()
        })
    }
}
