//! Random words for passwords and ids of private servers.
//!
//! Owns the only read of the system's random source in this crate. Never promises more than uniqueness and
//! unguessability on one machine.

use std::fs::File;
use std::io::Read;

/// `bytes` random bytes as lowercase hexadecimal.
pub(crate) fn hex(bytes: usize) -> std::io::Result<String> {
    let mut raw = vec![0_u8; bytes];
    File::open("/dev/urandom")?.read_exact(&mut raw)?;
    Ok(raw.iter().map(|byte| format!("{byte:02x}")).collect())
}
