//! Receipts from a stranger.
//!
//! Owns what must hold of any bytes: they are verified without a panic, told as a page where there is something to tell,
//! and never found valid without a signature that holds.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use piton_core::receipt::envelope::{Envelope, PAYLOAD_TYPE};
use piton_core::receipt::{SigningKey, markdown, verify};

/// Of nobody who signed anything here.
const STRANGER: [u8; 32] = [0x5a; 32];

/// Bytes as an envelope; and as the statement in one.
pub fn receipt(bytes: &[u8]) {
    look(bytes);
    let payload = STANDARD.encode(bytes);
    let envelope = Envelope { payload, payload_type: PAYLOAD_TYPE.to_owned(), signatures: vec![] };
    if let Ok(bytes) = envelope.to_bytes() {
        look(&bytes);
    }
}

fn look(bytes: &[u8]) {
    let stranger = SigningKey::from_seed(&STRANGER).public();
    let report = verify(bytes, Some(&stranger));
    assert!(!report.is_trusted(), "nobody has signed with this key");
    assert!(!report.is_valid() || !report.signed_by.is_empty(), "valid, and signed by nobody");
    let _ = report.to_string();
    if let Some(statement) = &report.statement {
        let _ = markdown(statement);
    }
}
