//! A byte buffer that is read into at its end and consumed from its front.
//!
//! Owns its memory and grows only when told to, up to a limit that the caller names. At rest it has none: memory of the
//! usual size goes back to its thread, where the next session that has something to say finds it. So thousands of idle
//! sessions cost no buffers, and a busy one no allocation.

use std::cell::RefCell;

/// Memory that a thread keeps for its sessions, of each size; what is beyond is given back.
const KEPT: usize = 256;

thread_local! {
    /// By size: there are as many as there are kinds of buffers.
    static POOL: RefCell<Vec<(usize, Vec<Vec<u8>>)>> = const { RefCell::new(Vec::new()) };
}

fn take(size: usize) -> Vec<u8> {
    let kept =
        POOL.with_borrow_mut(|pool| pool.iter_mut().find(|(of, _)| *of == size).and_then(|(_, kept)| kept.pop()));
    kept.unwrap_or_else(|| vec![0; size])
}

fn give_back(memory: Vec<u8>) {
    POOL.with_borrow_mut(|pool| {
        let size = memory.len();
        let at = pool.iter().position(|(of, _)| *of == size).unwrap_or_else(|| {
            pool.push((size, Vec::new()));
            pool.len() - 1
        });
        if pool[at].1.len() < KEPT {
            pool[at].1.push(memory);
        }
    });
}

/// Bytes between `start` and `end` are filled; the rest is room.
#[derive(Debug)]
pub(crate) struct Buffer {
    data: Vec<u8>,
    start: usize,
    end: usize,
    usual: usize,
}

impl Buffer {
    /// A buffer of `usual` bytes, its size whenever it is in use and nothing large is under way.
    pub(crate) fn new(usual: usize) -> Self {
        Self { data: Vec::new(), start: 0, end: 0, usual }
    }

    /// It has no memory: whoever reads should know first that there is something to read.
    pub(crate) fn is_resting(&self) -> bool {
        self.data.is_empty()
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
        if self.is_resting() {
            self.data = take(self.usual);
        }
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
        self.len() == self.data.len() && !self.is_resting()
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
        if wanted <= self.usual.max(self.data.len()) {
            return;
        }
        if self.is_resting() {
            self.data = vec![0; wanted.next_power_of_two()];
        } else {
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

    /// Gives its memory back, when nothing is in it.
    pub(crate) fn settle(&mut self) {
        if self.is_empty() && !self.is_resting() {
            let memory = std::mem::take(&mut self.data);
            if memory.len() == self.usual {
                give_back(memory);
            }
            (self.start, self.end) = (0, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_cut_out_and_consumed_leaves_the_rest_in_order() {
        let mut buffer = Buffer::new(8);
        assert!(buffer.is_resting() && !buffer.is_full());
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
        assert_eq!((buffer.len(), buffer.capacity()), (0, 0));
        // What was given back is used again, whatever was in it.
        buffer.room()[..3].copy_from_slice(b"abc");
        buffer.add(3);
        let memory = buffer.filled().as_ptr();
        buffer.consume(3);
        buffer.settle();
        let mut other = Buffer::new(8);
        assert_eq!((other.room().as_ptr(), other.len()), (memory, 0));
    }
}
