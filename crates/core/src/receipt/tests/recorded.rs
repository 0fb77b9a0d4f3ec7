//! Recorded receipts: what was valid stays valid, and other implementations agree.
//!
//! `receipt-v1.json` is the receipt of a whole life as version 1 of the predicate tells it, `receipt-v1.md` its page in
//! Markdown, `receipt-v1.html` its page in HTML, form 1.
//! If a change of ours makes them differ, receipts that people hold become invalid: give the predicate a new type
//! instead, and keep telling version 1 as it was. `dsse-other.json` was written by PyPI `securesystemslib` 1.6.

use super::*;
use crate::fixture::a_full_life;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

const RECEIPT: &[u8] = include_bytes!("recorded/receipt-v1.json");
const PAGE: &str = include_str!("recorded/receipt-v1.md");
const HTML: &[u8] = include_bytes!("recorded/receipt-v1.html");
const OTHER: &str = include_str!("recorded/dsse-other.json");

#[test]
fn a_recorded_receipt_of_version_1_is_still_valid() {
    let report = verify(RECEIPT, Some(&key().public()));
    assert_eq!(failures(&report), [""; 0], "see the top of this file");
    assert!(report.is_trusted());
}

#[test]
fn its_page_is_the_recorded_one() {
    let report = verify(RECEIPT, None);
    let page = markdown(report.statement.as_ref().unwrap());
    let difference = page.lines().zip(PAGE.lines()).find(|(now, recorded)| now != recorded);
    assert_eq!(difference, None);
    assert_eq!(page.lines().count(), PAGE.lines().count());
}

#[test]
fn a_recorded_page_of_form_1_is_still_valid() {
    let report = verify_page(HTML, Some(&key().public()));
    assert_eq!(failures(&report), [""; 0], "see the top of this file, and of html/page.rs");
}

#[test]
fn a_signature_by_another_implementation_is_accepted() {
    let envelope: envelope::Envelope = serde_json::from_str(OTHER).unwrap();
    let payload = envelope.open().unwrap();
    assert!(payload.starts_with(b"{\"_type\":\"https://in-toto.io/Statement/v1\""));
    let signature: [u8; 64] = STANDARD.decode(&envelope.signatures[0].sig).unwrap().try_into().unwrap();
    let message = envelope::pae(&envelope.payload_type, &payload);
    assert!(key().public().accepts(&message, &signature));
    // ed25519 is deterministic: ours is the same.
    assert_eq!(envelope::Envelope::seal(&payload, &key()).signatures[0].sig, envelope.signatures[0].sig);
}

/// Run by hand, with `--ignored`, when version 1 is not yet out in the world or a new version begins.
#[test]
#[ignore = "writes the recorded receipt anew"]
fn write_the_recorded_receipt() {
    let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/receipt/tests/recorded");
    let statement = Statement::from_journal(&a_full_life().sealed).unwrap();
    std::fs::write(dir.join("receipt-v1.json"), statement.sign(&key()).unwrap()).unwrap();
    std::fs::write(dir.join("receipt-v1.md"), markdown(&statement)).unwrap();
}

/// Run by hand, with `--ignored`, when form 1 is not yet out in the world or a new form begins.
#[test]
#[ignore = "writes the recorded page anew, from the recorded receipt"]
fn write_the_recorded_page() {
    let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/receipt/tests/recorded");
    let statement = verify(RECEIPT, None).statement.unwrap();
    let page = html(&statement, &envelope::Envelope::read(RECEIPT).unwrap()).unwrap();
    std::fs::write(dir.join("receipt-v1.html"), page).unwrap();
}
