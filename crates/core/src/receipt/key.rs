//! Keys: ed25519 (RFC 8032) signing keys from a seed, and public keys as people hand them over.
//!
//! Owns the forms of a public key (base64, hexadecimal, PEM as OpenSSL writes it) and the key's id.
//! Never makes randomness and never stores a key: the seed is handed in. A signing key never prints itself.

use crate::digest::Digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signer as _, VerifyingKey};
use std::fmt;

/// A public key that signatures are checked with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

/// What signs receipts.
#[derive(Clone)]
pub struct SigningKey(ed25519_dalek::SigningKey);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an ed25519 public key: 32 bytes are expected as base64, as 64 hexadecimal digits or as a PEM file")]
pub struct PublicKeyError;

/// `SubjectPublicKeyInfo` of an ed25519 key up to its 32 bytes (RFC 8410, section 4).
const SPKI_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
const PEM_BEGIN: &str = "-----BEGIN PUBLIC KEY-----";
const PEM_END: &str = "-----END PUBLIC KEY-----";

impl SigningKey {
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(ed25519_dalek::SigningKey::from_bytes(seed))
    }

    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }

    pub(super) fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey(of {})", self.public())
    }
}

impl PublicKey {
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, PublicKeyError> {
        VerifyingKey::from_bytes(bytes).map(Self).map_err(|_| PublicKeyError)
    }

    /// Reads base64, 64 hexadecimal digits, or a PEM `PUBLIC KEY`.
    pub fn parse(text: &str) -> Result<Self, PublicKeyError> {
        let text = text.trim();
        let bytes = if let Some(pem) = text.strip_prefix(PEM_BEGIN) {
            let body: String = pem.strip_suffix(PEM_END).ok_or(PublicKeyError)?.split_whitespace().collect();
            let der = STANDARD.decode(body).map_err(|_| PublicKeyError)?;
            der.strip_prefix(&SPKI_PREFIX).ok_or(PublicKeyError)?.to_vec()
        } else if let Some(digest) = Digest::parse(&format!("sha256:{text}")) {
            // 64 hexadecimal digits read alike, whatever they stand for.
            digest.as_bytes().to_vec()
        } else {
            STANDARD.decode(text).map_err(|_| PublicKeyError)?
        };
        let bytes: [u8; 32] = bytes.try_into().map_err(|_| PublicKeyError)?;
        Self::from_bytes(&bytes)
    }

    pub fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }

    pub fn base64(&self) -> String {
        STANDARD.encode(self.as_bytes())
    }

    /// As OpenSSL and most other tools read it.
    pub fn pem(&self) -> String {
        let der = [SPKI_PREFIX.as_slice(), self.as_bytes()].concat();
        format!("{PEM_BEGIN}\n{}\n{PEM_END}\n", STANDARD.encode(der))
    }

    /// SHA-256 of the 32 bytes, hexadecimal.
    pub fn id(&self) -> String {
        Digest::of_bytes(self.as_bytes()).hex()
    }

    /// Strict: refuses keys and signatures of small order, for which a signature says nothing.
    pub(super) fn accepts(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        self.0.verify_strict(message, &ed25519_dalek::Signature::from_bytes(signature)).is_ok()
    }
}

impl fmt::Display for PublicKey {
    /// The start of the key's id, as people compare it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.id()[..16])
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.base64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8032, section 7.1, test 1: seed, public key, signature of the empty message.
    const SEED: &str = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
    const PUBLIC: &str = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";

    fn key() -> SigningKey {
        SigningKey::from_seed(Digest::parse(&format!("sha256:{SEED}")).unwrap().as_bytes())
    }

    #[test]
    fn the_known_answer_of_rfc_8032() {
        assert_eq!(key().public(), PublicKey::parse(PUBLIC).unwrap());
        let signature = key().sign(b"");
        assert_eq!(signature[..4], [0xe5, 0x56, 0x43, 0x00]);
        assert!(key().public().accepts(b"", &signature));
        assert!(!key().public().accepts(b"x", &signature));
    }

    #[test]
    fn a_public_key_reads_back_from_each_of_its_forms() {
        let public = key().public();
        for text in [public.base64(), PUBLIC.to_owned(), public.pem(), format!("  {}\n", public.base64())] {
            assert_eq!(PublicKey::parse(&text), Ok(public), "{text}");
        }
        for rubbish in ["", "AAAA", "-----BEGIN PUBLIC KEY-----", &"z".repeat(64), &"A".repeat(1_000_000)] {
            assert!(PublicKey::parse(rubbish).is_err());
        }
    }

    #[test]
    fn a_signing_key_does_not_print_its_seed() {
        assert!(!format!("{:?}", key()).contains("9d61"));
    }
}
