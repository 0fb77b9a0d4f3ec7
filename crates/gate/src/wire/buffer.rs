//! A byte buffer that is read into at its end and consumed from its front.
//!
//! Owns its memory and grows only when told to, up to a limit that the caller names.

/// Bytes between `start` and `end` are filled; the rest is room.
#[derive(Debug)]
pub(crate) struct Buffer {
    data: Vec<u8>,
    start: usize,
    end: usize,
    usual: usize,
}

impl Buffer {
    /// A buffer of `usual` bytes, its size whenever it is empty.
    pub(crate) fn new(usual: usize) -> Self {
        Self { data: vec![0; usual], start: 0, end: 0, usual }
    }

    pub(crate) fn filled(&self) -> &[u8] {
        &self.data[self.start..self.end]
    }

    pub(crate) fn filled_mut(&mut self) -> &mut [u8] {
        &mut self.data[self.start..self.end]
    }

    pub(crate) fn len(&self) -> usize {
        self.end - self.start
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    pub(crate) fn capacity(&self) -> usize {
        self.data.len()
    }

    /// Where the next bytes go; what is filled is moved to the front when there is no room behind it.
    pub(crate) fn room(&mut self) -> &mut [u8] {
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
        } else if self.end == self.data.len() && self.start > 0 {
            self.data.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        &mut self.data[self.end..]
    }

    pub(crate) fn is_full(&self) -> bool {
        self.len() == self.data.len()
    }

    pub(crate) fn add(&mut self, count: usize) {
        self.end += count;
        debug_assert!(self.end <= self.data.len());
    }

    pub(crate) fn consume(&mut self, count: usize) {
        self.start += count;
        debug_assert!(self.start <= self.end);
    }

    /// Takes `count` bytes out at `at` (from the front of what is filled).
    pub(crate) fn cut(&mut self, at: usize, count: usize) {
        let at = self.start + at;
        self.data.copy_within(at + count..self.end, at);
        self.end -= count;
    }

    /// Room for at least `wanted` bytes in all.
    pub(crate) fn grow(&mut self, wanted: usize) {
        if self.data.len() < wanted {
            self.data.resize(wanted.next_power_of_two(), 0);
        }
    }

    /// Appends bytes, growing as needed.
    #[cfg(test)]
    pub(crate) fn put(&mut self, mut bytes: &[u8]) {
        self.grow(self.len() + bytes.len());
        while !bytes.is_empty() {
            let room = self.room();
            let count = room.len().min(bytes.len());
            room[..count].copy_from_slice(&bytes[..count]);
            self.add(count);
            bytes = &bytes[count..];
        }
    }

    /// Gives memory back that a large packet needed, when nothing is in it.
    pub(crate) fn settle(&mut self) {
        if self.is_empty() && self.data.len() > self.usual {
            self.data = vec![0; self.usual];
            self.start = 0;
            self.end = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_cut_out_and_consumed_leaves_the_rest_in_order() {
        let mut buffer = Buffer::new(8);
        buffer.room()[..8].copy_from_slice(b"abcdefgh");
        buffer.add(8);
        assert!(buffer.is_full());
        buffer.cut(2, 3);
        assert_eq!(buffer.filled(), b"abfgh");
        buffer.consume(1);
        assert_eq!(buffer.room().len(), 3);
        buffer.grow(20);
        assert_eq!((buffer.filled(), buffer.capacity()), (&b"bfgh"[..], 32));
        buffer.consume(4);
        buffer.settle();
        assert_eq!((buffer.len(), buffer.capacity()), (0, 8));
    }
}
