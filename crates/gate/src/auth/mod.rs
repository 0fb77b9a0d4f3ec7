//! Who a client is: the gate checks it itself, and keeps what a backend will want to see.

mod credentials;
mod ed25519;
mod native;
mod sha2crypt;

pub use credentials::{CredentialError, Credentials};
pub(crate) use credentials::{Identity, Secret};
pub(crate) use ed25519::ed25519_reply;
pub(crate) use native::{native_reply, native_stage1, native_verify};
pub(crate) use sha2crypt::{sha2_reply, sha2_verify_stored};

/// The plugins' names.
pub(crate) const NATIVE: &[u8] = b"mysql_native_password";
pub(crate) const SHA2: &[u8] = b"caching_sha2_password";
/// As a server asks a client for it; accounts have it as `ed25519`.
pub(crate) const ED25519: &[u8] = b"client_ed25519";
pub(crate) const ED25519_ACCOUNT: &[u8] = b"ed25519";
