//! `client_ed25519`, MariaDB's plugin: a signature of the server's random bytes by the key that follows from a password.
//!
//! It is Ed25519 (RFC 8032), but for the key: SHA-512 of the password stands where that of a seed of 32 bytes would. So only
//! who has the password can log in anywhere; what a server stores does not suffice. Source: MariaDB, "Authentication Plugin -
//! ed25519".

use ed25519_dalek::VerifyingKey;
use ed25519_dalek::hazmat::{ExpandedSecretKey, raw_sign};
use sha2::{Digest, Sha512};

/// What to answer to a server's random bytes.
pub(crate) fn ed25519_reply(password: &[u8], random: &[u8]) -> Vec<u8> {
    let key = ExpandedSecretKey::from_bytes(&Sha512::digest(password).into());
    raw_sign::<Sha512>(&key, random, &VerifyingKey::from(&key)).to_bytes().to_vec()
}
