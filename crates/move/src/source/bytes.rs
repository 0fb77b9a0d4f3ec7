//! A cursor over an event's bytes. Never reads past their end: a short event is an error with words.

/// Bytes still to be read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bytes<'a>(pub(crate) &'a [u8]);

/// An event ended before what it announced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Short;

impl<'a> Bytes<'a> {
    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8], Short> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Short)?;
        self.0 = rest;
        Ok(taken)
    }

    /// An unsigned integer of `count` bytes, least significant first.
    pub(crate) fn little(&mut self, count: usize) -> Result<u64, Short> {
        Ok(self.take(count)?.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    /// An unsigned integer of `count` bytes, most significant first.
    pub(crate) fn big(&mut self, count: usize) -> Result<u64, Short> {
        Ok(self.take(count)?.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    /// The protocol's length-encoded integer.
    pub(crate) fn packed(&mut self) -> Result<usize, Short> {
        let number = match self.little(1)? {
            0xfc => self.little(2)?,
            0xfd => self.little(3)?,
            0xfe => self.little(8)?,
            short @ 0..=0xfa => short,
            _ => return Err(Short),
        };
        usize::try_from(number).map_err(|_| Short)
    }
}

/// Whether bit `index` is set, the lowest bit of the first byte being the first.
pub(crate) fn bit(bitmap: &[u8], index: usize) -> bool {
    bitmap.get(index / 8).is_some_and(|byte| byte >> (index % 8) & 1 == 1)
}
