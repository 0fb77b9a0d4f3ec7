//! `duration`, `secret`, `path`: constructors that are types as well.

use super::args::{duration as read_duration, plain_text, shown};
use crate::error::author;
use crate::values::{DurationValue, SecretValue};
use piton_core::{SecretRef, Text};
use starlark::environment::GlobalsBuilder;
use starlark::eval::Evaluator;
use starlark::starlark_module;
use starlark::values::string::StarlarkStr;
use starlark::values::{Value, ValueLike};

#[starlark_module]
pub(crate) fn globals(builder: &mut GlobalsBuilder) {
    /// A length of time, as in `duration("90s")`.
    #[starlark(as_type = DurationValue)]
    fn duration<'v>(#[starlark(require = pos)] text: Value<'v>) -> starlark::Result<DurationValue> {
        Ok(DurationValue(read_duration(text, "duration()")?))
    }

    /// A secret by reference: `secret("env:NAME")`, `secret("file:PATH")` or `secret("cmd:COMMAND")`.
    #[starlark(as_type = SecretValue)]
    fn secret<'v>(
        #[starlark(require = pos)] reference: Value<'v>,
        #[starlark(require = named)] name: Option<&str>,
    ) -> starlark::Result<SecretValue> {
        if let Some(secret) = reference.downcast_ref::<SecretValue>() {
            return Ok(SecretValue(secret.0.clone()));
        }
        let Some(reference) = reference.unpack_str() else {
            return Err(author(format!("secret(): a reference is needed, not {}", shown(reference))).raise());
        };
        match SecretRef::parse(name, reference) {
            Ok(secret) => Ok(SecretValue(Text::secret(secret))),
            Err(error) => Err(author(error.to_string()).hide_strings().raise()),
        }
    }

    /// The path of a file. Relative ones start at the project's root.
    #[starlark(as_type = StarlarkStr)]
    fn path<'v>(
        #[starlark(require = pos)] text: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        let path = plain_text(text, "path()", "a path is no secret")?;
        if path.is_empty() || path.contains('\0') {
            return Err(author(format!("{path:?} is not a path")).raise());
        }
        Ok(eval.heap().alloc(path))
    }
}
