//! The receipt, tested: what it tells, what verification notices, what it survives.

mod beside;
mod children;
mod edits;
mod hostile;
mod html;
mod journal_rules;
mod page;
mod recorded;
mod rehearsals;
mod telling;

use super::*;
use crate::fixture::Log;

pub(super) const SEED: [u8; 32] = [7; 32];

pub(super) fn key() -> SigningKey {
    SigningKey::from_seed(&SEED)
}

/// The receipt of a journal, signed by `key()`.
pub(super) fn receipt(log: &Log) -> Vec<u8> {
    Statement::from_journal(&log.sealed).unwrap().sign(&key()).unwrap()
}

/// A payload of an attacker's making, signed by a key of theirs, so that only its content can give it away.
pub(super) fn forged(payload: &[u8]) -> Vec<u8> {
    envelope::Envelope::seal(payload, &SigningKey::from_seed(&[66; 32])).to_bytes().unwrap()
}

pub(super) fn failures(report: &Report) -> Vec<String> {
    report.failures().map(str::to_owned).collect()
}

/// The part at which verification first fails.
pub(super) fn fails_at(bytes: &[u8]) -> Option<Part> {
    let report = verify(bytes, None);
    assert_eq!(report.is_valid(), failures(&report).is_empty() && report.checks.len() == Part::ALL.len());
    let failing = |check: &&Check| matches!(check.finding, Finding::Fails(_));
    report.checks.iter().find(failing).map(|check| check.part)
}
