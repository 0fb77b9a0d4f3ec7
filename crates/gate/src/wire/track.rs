//! Where an answer ends: follows a backend's packets by their headers and first bytes.
//!
//! Owns the state of one answer. Bytes are forwarded in bulk by whoever calls; only packets that end something, or that a
//! client would not understand, are looked into. Never does I/O.

use super::buffer::Buffer;
use super::capabilities::status;
use super::command::Answer;
use super::packet::{HEADER, MAX_PAYLOAD, Malformed, Reader, header, length};
use super::reply::{Change, Okay, error_of};

/// Bytes of a packet that is looked into (OK, error, end, head); a server writes a few hundred.
pub(crate) const NOTED_BYTES: usize = 1 << 20;
/// Session changes kept of one answer; an answer has a handful.
const CHANGES: usize = 4096;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// The first packet of a result.
    First,
    /// Column definitions still to come, and what follows them.
    Columns(u64, Then),
    /// The end packet after column definitions.
    ColumnsEnd(Then),
    Rows,
    PreparedHead,
    /// Column definitions until an end packet (COM_FIELD_LIST).
    FieldList,
    Text,
    Done,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    Rows,
    /// Column definitions of a prepared statement, after its parameters.
    PreparedColumns(u64),
    Done,
}

/// How a backend and a client differ, once for a session.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Dialect {
    pub(crate) deprecate_eof: bool,
    /// The backend tracks session state.
    pub(crate) tracked: bool,
    /// The client understands session state.
    pub(crate) shown: bool,
}

/// Follows one answer.
#[derive(Debug)]
pub(crate) struct Tracker {
    at: At,
    dialect: Dialect,
    /// Bytes of the current packet that are still to be forwarded unseen.
    skip: usize,
    /// The next packet goes on with the payload of the last one.
    continued: bool,
    /// Flags of the last packet that had some.
    pub(crate) status: Option<u16>,
    /// Code of the error that ended the answer.
    pub(crate) error: Option<u16>,
    pub(crate) changes: Vec<Change>,
    /// A row got a number from a counter, which LAST_INSERT_ID() remembers.
    pub(crate) inserted: bool,
    /// The statement number for the client, and what the backend gave: its own number and how many parameters.
    pub(crate) client_statement: u32,
    pub(crate) prepared: Option<(u32, u16)>,
}

impl Tracker {
    pub(crate) fn new(answer: Answer, dialect: Dialect) -> Self {
        let at = match answer {
            Answer::Results => At::First,
            Answer::Prepared => At::PreparedHead,
            Answer::Rows => At::Rows,
            Answer::Columns => At::FieldList,
            Answer::Text => At::Text,
            Answer::Nothing => At::Done,
        };
        Self {
            at,
            dialect,
            skip: 0,
            continued: false,
            status: None,
            error: None,
            changes: Vec::new(),
            inserted: false,
            client_statement: 0,
            prepared: None,
        }
    }

    pub(crate) fn is_done(&self) -> bool {
        self.at == At::Done && self.skip == 0 && !self.continued
    }

    /// Looks at what is in the buffer, mends what the client must not see, and says how many bytes may be forwarded.
    pub(crate) fn scan(&mut self, buffer: &mut Buffer) -> Result<usize, Malformed> {
        let mut at = 0;
        loop {
            let left = buffer.len() - at;
            if self.skip > 0 {
                let now = self.skip.min(left);
                at += now;
                self.skip -= now;
                if self.skip > 0 {
                    return Ok(at);
                }
                continue;
            }
            if self.is_done() {
                return Ok(at);
            }
            let packet = &buffer.filled()[at..];
            let Some((size, _)) = header(packet) else { return Ok(at) };
            let Some(first) = (if size == 0 { Some(0) } else { packet.get(HEADER).copied() }) else {
                return Ok(at);
            };
            if self.continued || !self.is_noted(first, size) {
                if !self.continued {
                    self.pass();
                }
                self.continued = size == MAX_PAYLOAD;
                self.skip = HEADER + size;
                continue;
            }
            if size > NOTED_BYTES {
                return Err(Malformed("a status packet beyond any sense"));
            }
            if left < HEADER + size {
                buffer.grow(HEADER + size);
                return Ok(at);
            }
            at += self.note(buffer, at, size)?;
        }
    }

    /// Whether a packet is looked into, by its first byte.
    fn is_noted(&self, first: u8, size: usize) -> bool {
        match self.at {
            At::Rows => first == 0xff || (first == 0xfe && size < self.end_limit()),
            At::FieldList => first == 0xff || (first == 0xfe && size < self.end_limit()),
            At::Columns(..) | At::Text | At::Done => false,
            At::First | At::ColumnsEnd(_) | At::PreparedHead => true,
        }
    }

    /// The end of rows is an OK packet of any length, or the older packet of five bytes.
    fn end_limit(&self) -> usize {
        if self.dialect.deprecate_eof { MAX_PAYLOAD } else { 9 }
    }

    /// A packet that nobody looks into.
    fn pass(&mut self) {
        match self.at {
            At::Columns(1, then) if self.dialect.deprecate_eof => self.go_on(then),
            At::Columns(1, then) => self.at = At::ColumnsEnd(then),
            At::Columns(left, then) => self.at = At::Columns(left - 1, then),
            At::Text => self.at = At::Done,
            _ => {}
        }
    }

    fn go_on(&mut self, then: Then) {
        self.at = match then {
            Then::Rows => At::Rows,
            Then::PreparedColumns(0) | Then::Done => At::Done,
            Then::PreparedColumns(columns) => At::Columns(columns, Then::Done),
        };
    }

    /// Looks into a packet; gives its length as it is to be forwarded.
    fn note(&mut self, buffer: &mut Buffer, at: usize, size: usize) -> Result<usize, Malformed> {
        let from = at + HEADER;
        let payload = &buffer.filled()[from..from + size];
        let first = *payload.first().ok_or(Malformed("an empty answer"))?;
        match self.at {
            _ if first == 0xff => {
                self.error = Some(error_of(payload).0);
                self.at = At::Done;
            }
            At::First if first == 0xfb => return Err(Malformed("LOCAL INFILE was not offered")),
            At::First if first != 0 && !(first == 0xfe && size < 9) => {
                let columns = Reader::new(payload).lenenc()?;
                self.at = At::Columns(columns, Then::Rows);
            }
            At::First if first == 0 => return self.okay(buffer, at, size),
            At::Rows | At::FieldList if self.dialect.deprecate_eof => return self.okay(buffer, at, size),
            At::First | At::Rows | At::FieldList => {
                let flags = eof_status(payload)?;
                self.ended(flags);
            }
            At::ColumnsEnd(then) => {
                let flags = eof_status(payload)?;
                if then == Then::Rows && flags & status::CURSOR_EXISTS != 0 {
                    self.ended(flags);
                } else {
                    self.go_on(then);
                }
            }
            At::PreparedHead => self.prepared_head(buffer, at, size)?,
            At::Columns(..) | At::Text | At::Done => {}
        }
        Ok(HEADER + size)
    }

    fn ended(&mut self, flags: u16) {
        self.status = Some(flags);
        self.at = if flags & status::MORE_RESULTS != 0 { At::First } else { At::Done };
    }

    /// An OK packet: what it says of the session is taken out when the client would not understand it.
    fn okay(&mut self, buffer: &mut Buffer, at: usize, size: usize) -> Result<usize, Malformed> {
        let from = at + HEADER;
        let okay = Okay::read(&buffer.filled()[from..from + size], self.dialect.tracked)?;
        self.ended(okay.status);
        self.inserted |= okay.last_insert_id != 0;
        if self.changes.len() + okay.changes.len() > CHANGES {
            return Err(Malformed("more session changes than an answer may have"));
        }
        self.changes.extend(okay.changes);
        let Some(state_at) = okay.state_at.filter(|_| !self.dialect.shown) else { return Ok(HEADER + size) };
        let clear = (okay.status & !status::SESSION_STATE_CHANGED).to_le_bytes();
        let bytes = buffer.filled_mut();
        bytes[from + okay.status_at..from + okay.status_at + 2].copy_from_slice(&clear);
        bytes[at..at + 3].copy_from_slice(&length(state_at));
        buffer.cut(from + state_at, size - state_at);
        Ok(HEADER + state_at)
    }

    fn prepared_head(&mut self, buffer: &mut Buffer, at: usize, size: usize) -> Result<(), Malformed> {
        let from = at + HEADER;
        let mut reader = Reader::new(&buffer.filled()[from..from + size]);
        reader.u8()?;
        let (statement, columns, parameters) = (reader.u32()?, reader.u16()?, reader.u16()?);
        self.prepared = Some((statement, parameters));
        buffer.filled_mut()[from + 1..from + 5].copy_from_slice(&self.client_statement.to_le_bytes());
        let columns = Then::PreparedColumns(u64::from(columns));
        if parameters == 0 {
            self.go_on(columns);
        } else {
            self.at = At::Columns(u64::from(parameters), columns);
        }
        Ok(())
    }
}

fn eof_status(payload: &[u8]) -> Result<u16, Malformed> {
    let mut reader = Reader::new(payload);
    if reader.u8()? != 0xfe {
        return Err(Malformed("an end packet was due"));
    }
    reader.u16()?;
    reader.u16()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::packet::framed;
    use crate::wire::reply::{error, okay};
    use proptest::prelude::*;

    const NEW: Dialect = Dialect { deprecate_eof: true, tracked: true, shown: false };
    const OLD: Dialect = Dialect { deprecate_eof: false, tracked: false, shown: false };

    fn eof(sequence: u8, flags: u16) -> Vec<u8> {
        let [low, high] = flags.to_le_bytes();
        framed(sequence, &[0xfe, 0, 0, low, high])
    }

    fn end(sequence: u8, flags: u16) -> Vec<u8> {
        let mut packet = okay(sequence, flags);
        packet[HEADER] = 0xfe;
        packet
    }

    /// Feeds an answer in pieces and gives what was forwarded until the answer was done.
    fn feed(tracker: &mut Tracker, bytes: &[u8], piece: usize) -> Result<Vec<u8>, Malformed> {
        let mut buffer = Buffer::new(16);
        let mut out = Vec::new();
        for part in bytes.chunks(piece.max(1)) {
            assert!(!tracker.is_done(), "done before the last byte");
            buffer.put(part);
            let ready = tracker.scan(&mut buffer)?;
            out.extend_from_slice(&buffer.filled()[..ready]);
            buffer.consume(ready);
        }
        assert!(buffer.is_empty());
        Ok(out)
    }

    fn result_set(dialect: Dialect, flags: u16) -> Vec<u8> {
        let mut bytes = [framed(1, &[2]), framed(2, b"\x03defone"), framed(3, b"\x03deftwo")].concat();
        if !dialect.deprecate_eof {
            bytes.extend(eof(4, 2));
        }
        bytes.extend(framed(5, b"\x01a\x01b"));
        bytes.extend(framed(6, &[]));
        bytes.extend(if dialect.deprecate_eof { end(7, flags) } else { eof(7, flags) });
        bytes
    }

    proptest! {
        #[test]
        fn an_answer_ends_at_its_last_byte_however_it_arrives(piece in 1_usize..40, deprecate_eof: bool) {
            let dialect = Dialect { deprecate_eof, ..OLD };
            let bytes = [result_set(dialect, status::MORE_RESULTS), okay(8, status::IN_TRANSACTION)].concat();
            let mut tracker = Tracker::new(Answer::Results, dialect);
            let out = feed(&mut tracker, &bytes, piece)?;
            prop_assert!(tracker.is_done());
            prop_assert_eq!(out, bytes);
            prop_assert_eq!(tracker.status, Some(status::IN_TRANSACTION));
        }

        #[test]
        fn any_bytes_are_followed_or_refused_within_the_limits(bytes: Vec<u8>, piece in 1_usize..9, deprecate_eof: bool) {
            let mut tracker = Tracker::new(Answer::Results, Dialect { deprecate_eof, ..NEW });
            let mut buffer = Buffer::new(16);
            for part in bytes.chunks(piece) {
                buffer.put(part);
                let Ok(ready) = tracker.scan(&mut buffer) else { break };
                prop_assert!(buffer.capacity() <= 2 * (NOTED_BYTES + HEADER));
                buffer.consume(ready);
                if tracker.is_done() { break; }
            }
        }
    }

    #[test]
    fn an_error_ends_an_answer_wherever_it_comes() {
        for dialect in [NEW, OLD] {
            let whole = result_set(dialect, 2);
            let rows = whole.len() - if dialect.deprecate_eof { end(7, 2) } else { eof(7, 2) }.len();
            let bytes = [&whole[..rows], &error(7, 1213, "40001", "Deadlock found")].concat();
            let mut tracker = Tracker::new(Answer::Results, dialect);
            assert_eq!(feed(&mut tracker, &bytes, 3).unwrap(), bytes);
            assert_eq!((tracker.is_done(), tracker.error), (true, Some(1213)));
        }
    }

    #[test]
    fn a_cursor_without_rows_ends_after_its_columns() {
        let bytes = [framed(1, &[1]), framed(2, b"\x03def"), eof(3, status::CURSOR_EXISTS)].concat();
        let mut tracker = Tracker::new(Answer::Results, OLD);
        feed(&mut tracker, &bytes, 100).unwrap();
        assert_eq!((tracker.is_done(), tracker.status), (true, Some(status::CURSOR_EXISTS)));
    }

    #[test]
    fn a_row_of_two_packets_is_one_row_whatever_its_second_begins_with() {
        let mut bytes = [framed(1, &[1]), framed(2, b"\x03def")].concat();
        bytes.extend([0xff, 0xff, 0xff, 3]);
        bytes.extend(vec![b'x'; MAX_PAYLOAD]);
        bytes.extend(framed(4, &[0xfe, 0, 0, 0, 0]));
        bytes.extend(end(5, 2));
        let mut tracker = Tracker::new(Answer::Results, NEW);
        assert_eq!(feed(&mut tracker, &bytes, 1 << 20).unwrap(), bytes);
        assert!(tracker.is_done());
    }

    #[test]
    fn a_prepared_statement_gets_the_clients_number_and_keeps_its_columns() {
        for dialect in [NEW, OLD] {
            let head = framed(1, &[0, 9, 0, 0, 0, 1, 0, 2, 0, 0, 0, 0]);
            let mut bytes = [head, framed(2, b"p1"), framed(3, b"p2")].concat();
            if !dialect.deprecate_eof {
                bytes.extend(eof(4, 2));
            }
            bytes.extend(framed(5, b"c1"));
            if !dialect.deprecate_eof {
                bytes.extend(eof(6, 2));
            }
            let mut tracker = Tracker::new(Answer::Prepared, dialect);
            tracker.client_statement = 77;
            let out = feed(&mut tracker, &bytes, 5).unwrap();
            assert_eq!((tracker.is_done(), tracker.prepared, out[5]), (true, Some((9, 2)), 77));
        }
    }

    #[test]
    fn session_state_is_taken_out_for_a_client_that_does_not_know_it() {
        let mut payload = vec![0, 0, 0, 2, 0x40, 0, 0, 0];
        payload.extend([7, 1, 5, 4, b's', b'h', b'o', b'p']);
        let bytes = framed(1, &payload);
        let mut tracker = Tracker::new(Answer::Results, NEW);
        assert_eq!(feed(&mut tracker, &bytes, 4).unwrap(), framed(1, &[0, 0, 0, 2, 0, 0, 0, 0]));
        assert_eq!(tracker.changes, [Change::Schema(b"shop".to_vec())]);
        let mut shown = Tracker::new(Answer::Results, Dialect { shown: true, ..NEW });
        assert_eq!(feed(&mut shown, &bytes, 4).unwrap(), bytes);
    }
}
