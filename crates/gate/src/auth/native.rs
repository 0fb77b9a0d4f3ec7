//! `mysql_native_password`: SHA1(password) is what a client proves, SHA1(SHA1(password)) what a server keeps.
//!
//! A client's reply and the stored hash give SHA1(password), which is enough to log in anywhere with the same password.
//! Source: MySQL "Native Authentication".

use sha1::{Digest, Sha1};

use crate::wire::handshake::SCRAMBLE;

pub(crate) fn native_stage1(password: &[u8]) -> [u8; 20] {
    Sha1::digest(password).into()
}

fn mask(scramble: &[u8; SCRAMBLE], stage2: &[u8; 20]) -> [u8; 20] {
    Sha1::new().chain_update(scramble).chain_update(stage2).finalize().into()
}

fn xor(one: [u8; 20], other: [u8; 20]) -> [u8; 20] {
    std::array::from_fn(|index| one[index] ^ other[index])
}

/// What to answer to a server's scramble.
pub(crate) fn native_reply(stage1: &[u8; 20], scramble: &[u8; SCRAMBLE]) -> [u8; 20] {
    xor(*stage1, mask(scramble, &Sha1::digest(stage1).into()))
}

/// The password's first hash, when the reply is right for a stored hash.
pub(crate) fn native_verify(reply: &[u8], scramble: &[u8; SCRAMBLE], stage2: &[u8; 20]) -> Option<[u8; 20]> {
    let stage1 = xor(*reply.first_chunk().filter(|_| reply.len() == 20)?, mask(scramble, stage2));
    let again: [u8; 20] = Sha1::digest(stage1).into();
    // Comparing hashes of what was sent tells nothing about what is stored.
    (again == *stage2).then_some(stage1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_right_reply_gives_the_first_hash_and_a_wrong_one_nothing() {
        let scramble = *b"abcdefghijklmnopqrst";
        let stage1 = native_stage1(b"secret");
        let stage2: [u8; 20] = Sha1::digest(stage1).into();
        let reply = native_reply(&stage1, &scramble);
        assert_eq!(native_verify(&reply, &scramble, &stage2), Some(stage1));
        assert_eq!(native_verify(&reply[..19], &scramble, &stage2), None);
        assert_eq!(native_verify(&native_reply(&native_stage1(b"other"), &scramble), &scramble, &stage2), None);
        assert_eq!(native_verify(&reply, b"another-scramble-xyz", &stage2), None);
    }
}
