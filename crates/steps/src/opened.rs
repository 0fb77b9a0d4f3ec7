//! Values with their secrets opened, on their way into an action's target.
//!
//! Owns the walk. What it gives is never journaled, printed or kept.

use crate::vault::Vault;
use piton_core::Value;
use piton_core::outcome::Failure;
use piton_core::value::Record;

/// The values, with every secret in them replaced by its opened text.
pub(crate) fn opened(values: &[Value], vault: &Vault) -> Result<Vec<Value>, Failure> {
    values.iter().map(|value| open(value, vault)).collect()
}

/// Values are at most `value::MAX_DEPTH` deep, so recursion is bounded.
pub(crate) fn open(value: &Value, vault: &Vault) -> Result<Value, Failure> {
    let fields = |fields: &[(String, Value)]| {
        fields.iter().map(|(name, value)| Ok((name.clone(), open(value, vault)?))).collect::<Result<Vec<_>, Failure>>()
    };
    Ok(match value {
        Value::Secret(text) => Value::from(vault.open_text(text)?),
        Value::List(items) => Value::List(opened(items, vault)?),
        Value::Tuple(items) => Value::Tuple(opened(items, vault)?),
        Value::Dict(items) => Value::Dict(
            items
                .iter()
                .map(|(key, value)| Ok((open(key, vault)?, open(value, vault)?)))
                .collect::<Result<_, Failure>>()?,
        ),
        Value::Struct(items) => Value::Struct(fields(items)?),
        Value::Record(record) => {
            Value::Record(Box::new(Record { of: record.of.clone(), fields: fields(&record.fields)? }))
        }
        other => other.clone(),
    })
}
