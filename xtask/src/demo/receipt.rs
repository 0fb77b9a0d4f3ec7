//! Reading a receipt's signed statement.
//!
//! Owns its envelope. That it is valid is `piton verify`'s to say.

use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::Result;

#[derive(Deserialize)]
struct Envelope {
    payload: String,
}

#[derive(Deserialize)]
struct Statement<T> {
    predicate: T,
}

/// What the statement says (DSSE: base64 in `payload`).
pub(super) fn predicate<T: DeserializeOwned>(file: &Path) -> Result<T> {
    let envelope: Envelope = serde_json::from_slice(&std::fs::read(file)?)?;
    let statement: Statement<T> = serde_json::from_slice(&BASE64_STANDARD.decode(envelope.payload)?)?;
    Ok(statement.predicate)
}
