//! Values kept as the JSON that they were written in.
//!
//! Owns `Stored`: outcomes and results as the journal has them, decoded when someone looks. Never checks what they mean.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::marker::PhantomData;
use std::sync::Arc;

/// A value kept as the JSON it was written in, decoded when someone looks. A run of 100,000 outcomes stays small.
#[derive(Clone, Debug)]
pub struct Stored<T> {
    json: Arc<RawValue>,
    of: PhantomData<fn() -> T>,
}

impl<T: Serialize + DeserializeOwned> Stored<T> {
    pub fn seal(value: &T) -> Self {
        // Our types have string keys only, so serialising to memory cannot fail; null would be refused on opening.
        let json = serde_json::value::to_raw_value(value).unwrap_or_else(|_| RawValue::NULL.to_owned());
        Self { json: json.into(), of: PhantomData }
    }

    pub fn open(&self) -> Result<T, serde_json::Error> {
        serde_json::from_str(self.json.get())
    }

    pub fn json(&self) -> &str {
        self.json.get()
    }
}

impl<T> PartialEq for Stored<T> {
    fn eq(&self, other: &Self) -> bool {
        self.json.get() == other.json.get()
    }
}

impl<T> Serialize for Stored<T> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.json.serialize(serializer)
    }
}

impl<'de, T> Deserialize<'de> for Stored<T> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json: Box<RawValue> = Deserialize::deserialize(deserializer)?;
        Ok(Self { json: json.into(), of: PhantomData })
    }
}
