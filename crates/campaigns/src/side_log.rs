//! Side logs after a machine's death: any bytes a disk may give back.
//!
//! Owns what must hold of each: it is read or refused, and what is read is what whole frames hold, in their order.

use piton_core::Digest;
use piton_store::side_log;

/// Bytes as a file; and as the payload of the only frame of one, and cut off behind it.
pub fn side_log(bytes: &[u8]) {
    if let Ok((records, end)) = side_log::parse(bytes) {
        assert!(end <= bytes.len());
        let whole = side_log::parse(&bytes[..end]).expect("what was read is readable");
        assert_eq!(whole, (records, end), "what stands behind the last whole frame counts for nothing");
    }
    let at = side_log::MAGIC.len() as u64;
    let Ok(length) = u32::try_from(bytes.len()) else { return };
    let check = Digest::of_parts(&[&at.to_be_bytes(), bytes]);
    let framed = [&side_log::MAGIC[..], &length.to_le_bytes(), check.as_bytes(), bytes, &[0; 4]].concat();
    if let Ok((records, end)) = side_log::parse(&framed) {
        assert!(records.is_empty() || end == framed.len() - 4, "a frame that counts is read to its end");
    }
}
