//! The choke point: whatever leaves an executor goes through here, and no known secret gets past.
//!
//! Owns the walk over outcomes, failures and what remains of attempts. An executor cannot forget to mask, because it
//! never hands anything to the engine itself.

use crate::vault::Vault;
use piton_core::event::Handle;
use piton_core::outcome::{Failure, Outcome, Rows};
use piton_core::ports::{ActionFailed, Cancel, Prepared, Remains, Running};
use piton_core::value::Record;
use piton_core::{Action, Value};
use std::sync::Arc;
use std::time::Instant;

use crate::process::mask::{Masker, Stream};

pub(crate) fn failure(failure: Failure, vault: &Vault) -> Failure {
    match vault.masker() {
        Some(masker) => masked_failure(failure, &masker),
        None => failure,
    }
}

pub(crate) fn outcome(outcome: Outcome, vault: &Vault) -> Outcome {
    match vault.masker() {
        Some(masker) => masked_outcome(outcome, &masker),
        None => outcome,
    }
}

pub(crate) fn failed(failed: ActionFailed, vault: &Vault) -> ActionFailed {
    let Some(masker) = vault.masker() else { return failed };
    ActionFailed {
        failure: masked_failure(failed.failure, &masker),
        outcome: failed.outcome.map(|outcome| masked_outcome(outcome, &masker)),
        ..failed
    }
}

pub(crate) fn text(text: String, vault: &Vault) -> String {
    match vault.masker() {
        Some(masker) => masked(text, &masker),
        None => text,
    }
}

pub(crate) fn remains(remains: Remains, vault: &Arc<Vault>) -> Remains {
    match remains {
        Remains::Exited(Ok(done)) => Remains::Exited(Ok(outcome(done, vault))),
        Remains::Exited(Err(error)) => Remains::Exited(Err(failed(error, vault))),
        Remains::Running(running) => Remains::Running(Box::new(Masked { inner: running, vault: vault.clone() })),
        Remains::Unprovable(why) => Remains::Unprovable(text(why, vault)),
        Remains::Gone | Remains::NeverBegan => remains,
    }
}

/// What an executor prepared, or what still runs, behind the choke point.
pub(crate) struct Masked<T: ?Sized> {
    pub(crate) inner: Box<T>,
    pub(crate) vault: Arc<Vault>,
}

impl Prepared for Masked<dyn Prepared> {
    fn handle(&self) -> Handle {
        self.inner.handle()
    }

    fn atomic(&self) -> bool {
        self.inner.atomic()
    }

    fn inverse(&mut self) -> Result<Option<Action>, Failure> {
        self.inner.inverse().map_err(|error| failure(error, &self.vault))
    }

    fn perform(self: Box<Self>, cancel: &Cancel) -> Result<Outcome, ActionFailed> {
        let Self { inner, vault } = *self;
        let start = Instant::now();
        let took_us = || u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX);
        match inner.perform(cancel) {
            Ok(mut done) => {
                if done.took_us == 0 {
                    done.took_us = took_us();
                }
                Ok(outcome(done, &vault))
            }
            Err(error) => Err(failed(error, &vault)),
        }
    }
}

impl Running for Masked<dyn Running> {
    fn wait(self: Box<Self>, cancel: &Cancel) -> Result<Outcome, ActionFailed> {
        let Self { inner, vault } = *self;
        inner.wait(cancel).map(|done| outcome(done, &vault)).map_err(|error| failed(error, &vault))
    }
}

fn masked(text: String, masker: &Arc<Masker>) -> String {
    masker.mask(&text).unwrap_or(text)
}

fn masked_arc(text: Arc<str>, masker: &Arc<Masker>) -> Arc<str> {
    masker.mask(&text).map_or(text, Arc::from)
}

fn masked_bytes(bytes: &[u8], masker: &Arc<Masker>) -> Vec<u8> {
    let mut stream = Stream::new(masker.clone());
    let mut out = Vec::with_capacity(bytes.len());
    stream.push(bytes, &mut out);
    stream.finish(&mut out);
    out
}

fn masked_failure(failure: Failure, masker: &Arc<Masker>) -> Failure {
    let Failure { kind, message, hint } = failure;
    Failure { kind, message: masked(message, masker), hint: hint.map(|hint| masked(hint, masker)) }
}

fn masked_outcome(outcome: Outcome, masker: &Arc<Masker>) -> Outcome {
    let Outcome {
        ok,
        code,
        signal,
        out,
        err,
        rows,
        affected,
        value,
        status,
        headers,
        artifacts,
        took_us,
        usage,
        run,
        notes,
    } = outcome;
    Outcome {
        ok,
        code,
        signal,
        out: out.map(|text| masked_arc(text, masker)),
        err: err.map(|text| masked_arc(text, masker)),
        rows: rows.map(|rows| masked_rows(rows, masker)),
        affected,
        value: value.map(|value| masked_value(value, masker)),
        status,
        headers: headers.into_iter().map(|(name, value)| (masked(name, masker), masked(value, masker))).collect(),
        artifacts,
        took_us,
        usage,
        run,
        notes: notes.into_iter().map(|note| masked(note, masker)).collect(),
    }
}

fn masked_rows(rows: Rows, masker: &Arc<Masker>) -> Rows {
    let Rows { columns, rows } = rows;
    Rows {
        columns: columns.into_iter().map(|column| masked(column, masker)).collect(),
        rows: rows.into_iter().map(|row| masked_values(row, masker)).collect(),
    }
}

fn masked_values(values: Vec<Value>, masker: &Arc<Masker>) -> Vec<Value> {
    values.into_iter().map(|value| masked_value(value, masker)).collect()
}

/// Values are at most `value::MAX_DEPTH` deep, so recursion is bounded.
fn masked_value(value: Value, masker: &Arc<Masker>) -> Value {
    let fields = |fields: Vec<(String, Value)>| {
        fields.into_iter().map(|(name, value)| (masked(name, masker), masked_value(value, masker))).collect()
    };
    match value {
        Value::Str(text) => Value::Str(masked_arc(text, masker)),
        Value::Bytes(bytes) => Value::Bytes(masked_bytes(&bytes, masker)),
        Value::List(items) => Value::List(masked_values(items, masker)),
        Value::Tuple(items) => Value::Tuple(masked_values(items, masker)),
        Value::Dict(items) => Value::Dict(
            items.into_iter().map(|(key, value)| (masked_value(key, masker), masked_value(value, masker))).collect(),
        ),
        Value::Struct(items) => Value::Struct(fields(items)),
        Value::Record(record) => {
            let Record { of, fields: items } = *record;
            Value::Record(Box::new(Record { of, fields: fields(items) }))
        }
        Value::Enum { of, value } => Value::Enum { of, value: Box::new(masked_value(*value, masker)) },
        Value::Outcome(outcome) => Value::Outcome(Arc::new(masked_outcome(Arc::unwrap_or_clone(outcome), masker))),
        // These are the author's own words, or hold secrets by reference only.
        Value::None
        | Value::Bool(_)
        | Value::Int(_)
        | Value::Float(_)
        | Value::Duration(_)
        | Value::Secret(_)
        | Value::Action(_)
        | Value::Function(_) => value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::mask::forms;
    use piton_core::outcome::FailureKind;

    #[test]
    fn every_text_of_an_outcome_is_masked() {
        let masker = Arc::new(Masker::new(forms("db", b"hunter2hunter2")).unwrap());
        let said = || Value::str("x hunter2hunter2");
        let inner = Outcome { out: Some(Arc::from("hunter2hunter2")), ..Outcome::default() };
        let full = Outcome {
            out: Some(Arc::from("hunter2hunter2")),
            err: Some(Arc::from("hunter2hunter2")),
            rows: Some(Rows {
                columns: vec!["hunter2hunter2".into()],
                rows: vec![vec![said(), Value::Bytes(b"hunter2hunter2".to_vec())]],
            }),
            value: Some(Value::List(vec![
                Value::Tuple(vec![said()]),
                Value::Dict(vec![(said(), said())]),
                Value::Struct(vec![("a".into(), said())]),
                Value::Outcome(Arc::new(inner)),
            ])),
            headers: vec![("hunter2hunter2".into(), "hunter2hunter2".into())],
            notes: vec!["hunter2hunter2".into()],
            ..Outcome::default()
        };
        let told = format!("{:?}", masked_outcome(full, &masker));
        assert!(!told.contains("hunter2") && !told.contains("104, 117, 110"), "{told}");
        let failure = Failure::new(FailureKind::Action, "hunter2hunter2").hint("hunter2hunter2");
        assert!(!format!("{:?}", masked_failure(failure, &masker)).contains("hunter2"));
    }
}
