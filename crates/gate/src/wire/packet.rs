//! Packets: a length of three bytes, a sequence number, a payload; and the primitives inside a payload.
//!
//! A payload of 16 MiB less one byte goes on in the next packet. Protocol pages: MySQL "Protocol Basics".

/// Bytes before a payload.
pub(crate) const HEADER: usize = 4;
/// A payload of this length goes on in the next packet.
pub(crate) const MAX_PAYLOAD: usize = 0xff_ffff;

/// Bytes that are not what the protocol says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed packet: {0}")]
pub(crate) struct Malformed(pub(crate) &'static str);

/// Length of the payload and sequence number, when the header is there.
pub(crate) fn header(bytes: &[u8]) -> Option<(usize, u8)> {
    let [a, b, c, sequence, ..] = *bytes else { return None };
    Some((usize::from(a) | usize::from(b) << 8 | usize::from(c) << 16, sequence))
}

/// Writes a header in front of a payload of fewer than 16 MiB.
pub(crate) fn framed(sequence: u8, payload: &[u8]) -> Vec<u8> {
    debug_assert!(payload.len() < MAX_PAYLOAD);
    let mut packet = Vec::with_capacity(HEADER + payload.len());
    packet.extend_from_slice(&length(payload.len()));
    packet.push(sequence);
    packet.extend_from_slice(payload);
    packet
}

/// A length as three bytes.
pub(crate) fn length(length: usize) -> [u8; 3] {
    [length as u8, (length >> 8) as u8, (length >> 16) as u8]
}

/// Appends a length-encoded integer.
pub(crate) fn put_lenenc(out: &mut Vec<u8>, value: u64) {
    match value {
        0..=250 => out.push(value as u8),
        251..=0xffff => {
            out.push(0xfc);
            out.extend_from_slice(&(value as u16).to_le_bytes());
        }
        0x1_0000..=0xff_ffff => {
            out.push(0xfd);
            out.extend_from_slice(&(value as u32).to_le_bytes()[..3]);
        }
        _ => {
            out.push(0xfe);
            out.extend_from_slice(&value.to_le_bytes());
        }
    }
}

/// Appends bytes with their length before them.
pub(crate) fn put_lenenc_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_lenenc(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Reads a payload from its front.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(payload: &'a [u8]) -> Self {
        Self { rest: payload }
    }

    pub(crate) fn rest(self) -> &'a [u8] {
        self.rest
    }

    pub(crate) fn is_empty(self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn bytes(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (head, rest) = self.rest.split_at_checked(count).ok_or(Malformed("it ends too early"))?;
        self.rest = rest;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (head, rest) = self.rest.split_first_chunk().ok_or(Malformed("it ends too early"))?;
        self.rest = rest;
        Ok(*head)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Malformed> {
        self.array().map(u8::from_le_bytes)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, Malformed> {
        self.array().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn lenenc(&mut self) -> Result<u64, Malformed> {
        Ok(match self.u8()? {
            small @ 0..=0xfa => u64::from(small),
            0xfc => u64::from(self.u16()?),
            0xfd => {
                let [a, b, c] = self.array()?;
                u64::from(u32::from_le_bytes([a, b, c, 0]))
            }
            0xfe => u64::from_le_bytes(self.array()?),
            _ => return Err(Malformed("not a length")),
        })
    }

    pub(crate) fn lenenc_bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let count = usize::try_from(self.lenenc()?).map_err(|_| Malformed("a length beyond memory"))?;
        self.bytes(count)
    }

    /// A value of a text row; `None` is NULL.
    pub(crate) fn text_value(&mut self) -> Result<Option<&'a [u8]>, Malformed> {
        if self.rest.first() == Some(&0xfb) {
            self.bytes(1)?;
            return Ok(None);
        }
        self.lenenc_bytes().map(Some)
    }

    /// Up to a zero byte, which is taken too; to the end where there is none.
    pub(crate) fn zero_ended(&mut self) -> &'a [u8] {
        let end = self.rest.iter().position(|byte| *byte == 0);
        let text = &self.rest[..end.unwrap_or(self.rest.len())];
        self.rest = end.map_or(&[][..], |end| &self.rest[end + 1..]);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_length_encoded_integer_reads_back(value: u64) {
            let mut bytes = Vec::new();
            put_lenenc(&mut bytes, value);
            let mut reader = Reader::new(&bytes);
            prop_assert_eq!(reader.lenenc(), Ok(value));
            prop_assert!(reader.is_empty());
        }

        #[test]
        fn whatever_the_bytes_are_reading_them_ends(bytes: Vec<u8>) {
            let mut reader = Reader::new(&bytes);
            let mut before = reader.rest().len();
            while reader.lenenc_bytes().is_ok() {
                prop_assert!(reader.rest().len() < before);
                before = reader.rest().len();
            }
        }
    }

    #[test]
    fn a_length_beyond_the_packet_is_malformed() {
        let huge = [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, b'x'];
        assert!(Reader::new(&huge).lenenc_bytes().is_err());
    }
}
