//! `json.encode` and `json.decode`, bounded.

use crate::codec::json;
use crate::error::author;
use crate::session::Session;
use starlark::environment::GlobalsBuilder;
use starlark::eval::Evaluator;
use starlark::starlark_module;
use starlark::values::Value;

pub(crate) fn globals(builder: &mut GlobalsBuilder) {
    builder.namespace("json", json_members);
}

#[starlark_module]
pub(crate) fn json_members(builder: &mut GlobalsBuilder) {
    /// The value as JSON. Structs and records are objects.
    fn encode<'v>(
        #[starlark(require = pos)] value: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<String> {
        // Bounds depth and size, and refuses secrets' values by masking them.
        crate::codec::encode(value, "value", Session::of(eval)?.registry, eval.heap())?;
        value.to_json().map_err(|error| {
            let error = error.to_string();
            let kind = error.rsplit('`').nth(1).filter(|_| error.contains("serde::serialize")).unwrap_or("this");
            author(format!("this cannot be written as JSON: a value of type {kind} has no form in it")).raise()
        })
    }

    /// The value that JSON stands for.
    fn decode<'v>(
        #[starlark(require = pos)] text: &str,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        match serde_json::from_str::<serde_json::Value>(text) {
            Ok(value) => Ok(json(&value, eval.heap())),
            Err(error) => Err(author(format!("this is not JSON: {error}")).raise()),
        }
    }
}
