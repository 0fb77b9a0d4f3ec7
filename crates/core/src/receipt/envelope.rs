//! The envelope: DSSE v1 (https://github.com/secure-systems-lab/dsse), one or more ed25519 signatures over a payload.
//!
//! Owns the pre-authentication encoding and the JSON form. Reading is strict: an envelope is exactly the bytes that
//! writing makes, so that no byte of a receipt can change unnoticed, those included that no signature covers.

use super::key::SigningKey;
use super::limits::{MAX_ENVELOPE_BYTES, MAX_SIGNATURES};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

pub const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Envelope {
    /// Base64, standard alphabet, padded.
    pub payload: String,
    #[serde(rename = "payloadType")]
    pub payload_type: String,
    pub signatures: Vec<Signature>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signature {
    /// SHA-256 of the public key, hexadecimal.
    pub keyid: String,
    /// Base64 of the 64 bytes.
    pub sig: String,
    /// Base64 of the key's 32 bytes: an addition of ours, which other readers ignore. It lets anyone check that
    /// nothing changed since the signing; who signed is only known to whoever got the key by another way.
    #[serde(rename = "publicKey", default, skip_serializing_if = "Option::is_none")]
    pub public_key: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    #[error("it has {bytes} bytes; a receipt has at most {MAX_ENVELOPE_BYTES}")]
    TooLarge { bytes: usize },
    #[error("it is not a DSSE envelope: {why}")]
    Malformed { why: String },
    #[error("it is not written as Piton writes envelopes: spacing, order or encoding was changed")]
    NotCanonical,
}

/// Pre-authentication encoding: what is signed. `DSSEv1`, then length and bytes of type and payload.
pub fn pae(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let head = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len());
    [head.as_bytes(), payload].concat()
}

impl Envelope {
    pub fn seal(payload: &[u8], key: &SigningKey) -> Self {
        let public = key.public();
        Self {
            payload: STANDARD.encode(payload),
            payload_type: PAYLOAD_TYPE.to_owned(),
            signatures: vec![Signature {
                keyid: public.id(),
                sig: STANDARD.encode(key.sign(&pae(PAYLOAD_TYPE, payload))),
                public_key: Some(public.base64()),
            }],
        }
    }

    /// One line of JSON, with a newline at its end.
    pub fn to_bytes(&self) -> Result<Vec<u8>, serde_json::Error> {
        let mut bytes = serde_json::to_vec(self)?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    /// Reads what `to_bytes` wrote, and nothing else. The newline at the end may be missing: copying loses it.
    pub fn read(bytes: &[u8]) -> Result<Self, EnvelopeError> {
        if bytes.len() > MAX_ENVELOPE_BYTES {
            return Err(EnvelopeError::TooLarge { bytes: bytes.len() });
        }
        let malformed = |why: String| EnvelopeError::Malformed { why };
        let envelope: Self = serde_json::from_slice(bytes).map_err(|error| malformed(error.to_string()))?;
        if envelope.signatures.len() > MAX_SIGNATURES {
            return Err(malformed(format!("more than {MAX_SIGNATURES} signatures")));
        }
        let written = envelope.to_bytes().map_err(|error| malformed(error.to_string()))?;
        if written != bytes && written.strip_suffix(b"\n") != Some(bytes) {
            return Err(EnvelopeError::NotCanonical);
        }
        Ok(envelope)
    }

    /// The payload's bytes.
    pub fn open(&self) -> Result<Vec<u8>, EnvelopeError> {
        let malformed = |_| EnvelopeError::Malformed { why: "its payload is not base64".to_owned() };
        STANDARD.decode(&self.payload).map_err(malformed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_encoding_is_the_one_of_the_specification() {
        // The specification's own example.
        assert_eq!(
            pae("http://example.com/HelloWorld", b"hello world"),
            b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
        );
        assert_eq!(pae("", b""), b"DSSEv1 0  0 ");
        assert_eq!(pae("ö", "ß\0".as_bytes()), "DSSEv1 2 ö 3 ß\0".as_bytes());
    }

    #[test]
    fn an_envelope_reads_back_and_only_as_it_was_written() {
        let envelope = Envelope::seal(b"{}", &SigningKey::from_seed(&[7; 32]));
        let bytes = envelope.to_bytes().unwrap();
        assert_eq!(Envelope::read(&bytes), Ok(envelope.clone()));
        assert_eq!(Envelope::read(bytes.strip_suffix(b"\n").unwrap()), Ok(envelope.clone()));
        assert_eq!(envelope.open().unwrap(), b"{}");
        let text = String::from_utf8(bytes).unwrap();
        for changed in [
            format!(" {text}"),
            format!("{text}\n"),
            text.replace(":", ": "),
            text.replacen("payloadType", "payload\\u0054ype", 1),
        ] {
            assert_eq!(Envelope::read(changed.as_bytes()), Err(EnvelopeError::NotCanonical), "{changed}");
        }
        for malformed in
            [text.replacen('{', "{\"more\":1,", 1), text.replacen('{', "{\"payload\":\"\",", 1), "null".to_owned()]
        {
            let read = Envelope::read(malformed.as_bytes());
            assert!(matches!(read, Err(EnvelopeError::Malformed { .. })), "{malformed}: {read:?}");
        }
    }
}
