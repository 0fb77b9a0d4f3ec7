//! `caching_sha2_password`: the fast reply, and the stored form of a password (SHA-crypt over SHA-256).
//!
//! Sources: MySQL "Caching SHA-2 Pluggable Authentication"; Ulrich Drepper, "Unix crypt using SHA-256 and SHA-512".

use sha2::{Digest, Sha256};

use crate::wire::handshake::SCRAMBLE;

/// What a client that knows the password answers to a scramble.
pub(crate) fn sha2_reply(password: &[u8], scramble: &[u8; SCRAMBLE]) -> Vec<u8> {
    let first: [u8; 32] = Sha256::digest(password).into();
    let second: [u8; 32] = Sha256::digest(first).into();
    let mask: [u8; 32] = Sha256::new().chain_update(second).chain_update(scramble).finalize().into();
    first.iter().zip(mask).map(|(one, other)| one ^ other).collect()
}

/// Whether a password is the one behind `$A$RRR$` + 20 bytes of salt + 43 characters.
pub(crate) fn sha2_verify_stored(password: &[u8], stored: &[u8]) -> bool {
    let Some(rest) = stored.strip_prefix(b"$A$") else { return false };
    let (Some(rounds), Some(b'$'), Some(salt), Some(hash)) =
        (rest.get(..3), rest.get(3), rest.get(4..24), rest.get(24..))
    else {
        return false;
    };
    let rounds = std::str::from_utf8(rounds).ok().and_then(|text| u32::from_str_radix(text, 16).ok());
    let Some(rounds) = rounds.filter(|rounds| (1..=0xfff).contains(rounds)) else { return false };
    crypt(password, salt, rounds * 1000) == hash
}

fn repeated(digest: &[u8; 32], count: usize) -> Vec<u8> {
    digest.iter().copied().cycle().take(count).collect()
}

/// SHA-crypt's 43 characters.
fn crypt(password: &[u8], salt: &[u8], rounds: u32) -> Vec<u8> {
    let b: [u8; 32] = Sha256::new().chain_update(password).chain_update(salt).chain_update(password).finalize().into();
    let mut a = Sha256::new().chain_update(password).chain_update(salt).chain_update(repeated(&b, password.len()));
    let mut bits = password.len();
    while bits > 0 {
        if bits & 1 == 1 {
            a.update(b);
        } else {
            a.update(password);
        }
        bits >>= 1;
    }
    let a: [u8; 32] = a.finalize().into();
    let mut dp = Sha256::new();
    for _ in 0..password.len() {
        dp.update(password);
    }
    let p = repeated(&dp.finalize().into(), password.len());
    let mut ds = Sha256::new();
    for _ in 0..16 + usize::from(a[0]) {
        ds.update(salt);
    }
    let s = repeated(&ds.finalize().into(), salt.len());
    let mut state = a;
    for round in 0..rounds {
        let mut c = Sha256::new();
        if round % 2 == 1 {
            c.update(&p)
        } else {
            c.update(state)
        }
        if round % 3 != 0 {
            c.update(&s);
        }
        if round % 7 != 0 {
            c.update(&p);
        }
        if round % 2 == 1 {
            c.update(state)
        } else {
            c.update(&p)
        }
        state = c.finalize().into();
    }
    encode(&state)
}

/// SHA-crypt's own order of bytes and its own base 64.
fn encode(digest: &[u8; 32]) -> Vec<u8> {
    const SIGNS: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut out = Vec::with_capacity(43);
    let mut put = |value: u32, count: usize| {
        out.extend((0..count).map(|index| SIGNS[(value >> (6 * index)) as usize & 63]));
    };
    let (mut x, mut y, mut z) = (0_usize, 10, 20);
    for _ in 0..10 {
        put(u32::from(digest[x]) << 16 | u32::from(digest[y]) << 8 | u32::from(digest[z]), 4);
        (x, y, z) = (z + 1, x + 1, y + 1);
    }
    put(u32::from(digest[31]) << 8 | u32::from(digest[30]), 3);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `openssl passwd -5` gives them.
    #[test]
    fn sha_crypt_gives_what_other_tools_give() {
        assert_eq!(crypt(b"Hello world!", b"saltstring", 5000), b"5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5");
        let long = b"we have a short salt string but not a short password";
        assert_eq!(crypt(long, b"short", 5000), b"k38kpRP0CfxHLIcmymaSTFLK.iFfF4tKryDuEGKp6SC");
    }

    #[test]
    fn a_stored_hash_knows_its_password_and_refuses_what_is_no_hash() {
        let salt = b"01234567890123456789";
        let stored = [b"$A$005$", &salt[..], &crypt(b"secret", salt, 5000)].concat();
        assert!(sha2_verify_stored(b"secret", &stored));
        assert!(!sha2_verify_stored(b"Secret", &stored));
        for bad in [&b""[..], b"$A$", b"$A$005$short", b"$A$fff"] {
            assert!(!sha2_verify_stored(b"secret", bad));
        }
    }
}
