//! Records: events as a journal keeps them, hash-chained.
//!
//! Owns the chain's rule. A record's hash covers the bytes of its body as stored, never a re-serialisation.
//! Never reads a clock: whoever makes a record hands the times in.

use crate::digest::Digest;
use crate::event::Event;
use serde::{Deserialize, Serialize};

/// When a record was made: wall clock (Unix, may jump) and boot-time clock (monotonic within one boot), microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    pub wall_us: i64,
    pub boot_us: u64,
}

/// One line of a journal as stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed {
    /// From 1, without gaps.
    pub seq: u64,
    pub at: Moment,
    /// Fencing number of the lease under which it was appended.
    pub fence: u64,
    /// The event's JSON, byte for byte as hashed.
    pub body: String,
    pub hash: Digest,
}

/// A record read back.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    pub seq: u64,
    pub at: Moment,
    pub fence: u64,
    pub event: Event,
    pub hash: Digest,
}

#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    #[error("record {seq} does not follow from the one before it: the journal was changed or damaged")]
    BrokenChain { seq: u64 },
    #[error("record {seq} cannot be read by this version of Piton")]
    Unreadable { seq: u64, source: serde_json::Error },
    #[error("record {found} stands where record {expected} should be")]
    Gap { expected: u64, found: u64 },
}

/// Hash of a record: SHA-256 over the previous hash, sequence number, times and fence (big-endian), and the body.
pub fn chain(previous: Digest, seq: u64, at: Moment, fence: u64, body: &str) -> Digest {
    Digest::of_parts(&[
        previous.as_bytes(),
        &seq.to_be_bytes(),
        &at.wall_us.to_be_bytes(),
        &at.boot_us.to_be_bytes(),
        &fence.to_be_bytes(),
        body.as_bytes(),
    ])
}

impl Sealed {
    /// Seals an event's JSON as the record after `previous`.
    pub fn new(previous: Digest, seq: u64, at: Moment, fence: u64, body: String) -> Self {
        let hash = chain(previous, seq, at, fence, &body);
        Self { seq, at, fence, body, hash }
    }

    /// Checks that this record follows `previous` and reads its event.
    pub fn open(&self, previous: Digest, expected_seq: u64) -> Result<Record, RecordError> {
        if self.seq != expected_seq {
            return Err(RecordError::Gap { expected: expected_seq, found: self.seq });
        }
        if chain(previous, self.seq, self.at, self.fence, &self.body) != self.hash {
            return Err(RecordError::BrokenChain { seq: self.seq });
        }
        let event =
            serde_json::from_str(&self.body).map_err(|source| RecordError::Unreadable { seq: self.seq, source })?;
        Ok(Record { seq: self.seq, at: self.at, fence: self.fence, event, hash: self.hash })
    }
}

/// Opens a journal record by record: where it stands, and what must follow.
#[derive(Clone, Copy, Debug, Default)]
pub struct Chain {
    /// Of the last record opened; zero before the first.
    pub seq: u64,
    pub head: Digest,
}

impl Chain {
    pub fn open(&mut self, sealed: &Sealed) -> Result<Record, RecordError> {
        let record = sealed.open(self.head, self.seq + 1)?;
        (self.seq, self.head) = (record.seq, record.hash);
        Ok(record)
    }
}

/// Opens a whole journal from its first record.
pub fn open_all(sealed: &[Sealed]) -> Result<Vec<Record>, RecordError> {
    let mut chain = Chain::default();
    sealed.iter().map(|sealed| chain.open(sealed)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::path::Path;

    fn line(previous: Digest, seq: u64) -> Sealed {
        let event = Event::CommitPointPassed { path: Path::root().child("x") };
        Sealed::new(previous, seq, Moment { wall_us: 5, boot_us: 6 }, 1, serde_json::to_string(&event).unwrap())
    }

    #[test]
    fn any_changed_field_breaks_the_chain() {
        let first = line(Digest::ZERO, 1);
        let second = line(first.hash, 2);
        assert_eq!(open_all(&[first.clone(), second.clone()]).unwrap().len(), 2);
        let mut changed = vec![first.clone(); 4];
        changed[0].body = changed[0].body.replace('x', "y");
        changed[1].at.wall_us += 1;
        changed[2].at.boot_us += 1;
        changed[3].fence += 1;
        for bad in changed {
            assert!(matches!(open_all(&[bad]), Err(RecordError::BrokenChain { seq: 1 })));
        }
        assert!(matches!(open_all(&[second]), Err(RecordError::Gap { expected: 1, found: 2 })));
        assert!(matches!(open_all(&[first.clone(), line(Digest::ZERO, 2)]), Err(RecordError::BrokenChain { seq: 2 })));
    }
}
