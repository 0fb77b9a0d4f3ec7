//! OK, error and end-of-result packets: read where the gate must know them, written where it answers itself.

use super::capabilities::status;
use super::packet::{Malformed, Reader, framed, put_lenenc};

/// Error codes of the server that the gate uses for its own refusals, so that clients know them.
pub(crate) mod code {
    pub(crate) const TOO_MANY_CONNECTIONS: u16 = 1040;
    pub(crate) const BAD_HANDSHAKE: u16 = 1043;
    pub(crate) const ACCESS_DENIED: u16 = 1045;
    pub(crate) const UNKNOWN_COMMAND: u16 = 1047;
    pub(crate) const SERVER_SHUTDOWN: u16 = 1053;
    pub(crate) const NO_SUCH_THREAD: u16 = 1094;
    pub(crate) const PACKETS_OUT_OF_ORDER: u16 = 1156;
    pub(crate) const UNKNOWN_STATEMENT: u16 = 1243;
    pub(crate) const QUERY_INTERRUPTED: u16 = 1317;
    pub(crate) const NEW_ABORTING: u16 = 1184;
}

/// What a session told about itself in an OK packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    /// A system variable of the session now has this name (its value is asked for when it is needed).
    Variable(Vec<u8>),
    /// The default database.
    Schema(Vec<u8>),
}

/// An OK packet, or the end of a result in the same form.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Okay {
    pub(crate) status: u16,
    pub(crate) last_insert_id: u64,
    pub(crate) changes: Vec<Change>,
    /// Where, in the payload, what a client without session tracking does not understand begins.
    pub(crate) state_at: Option<usize>,
    /// Where the status flags are.
    pub(crate) status_at: usize,
}

impl Okay {
    /// Reads the payload of an OK packet of a session that has session tracking (`tracked`) or not.
    pub(crate) fn read(payload: &[u8], tracked: bool) -> Result<Self, Malformed> {
        let mut reader = Reader::new(payload);
        reader.u8()?;
        reader.lenenc()?;
        let last_insert_id = reader.lenenc()?;
        let status_at = payload.len() - reader.rest().len();
        let flags = reader.u16()?;
        reader.u16()?;
        let mut okay = Self { status: flags, last_insert_id, status_at, ..Self::default() };
        if tracked && flags & status::SESSION_STATE_CHANGED != 0 {
            reader.lenenc_bytes()?;
            okay.state_at = Some(payload.len() - reader.rest().len());
            okay.changes = changes(reader.lenenc_bytes()?)?;
        }
        Ok(okay)
    }
}

fn changes(state: &[u8]) -> Result<Vec<Change>, Malformed> {
    let mut reader = Reader::new(state);
    let mut all = Vec::new();
    while !reader.is_empty() {
        let kind = reader.u8()?;
        let mut data = Reader::new(reader.lenenc_bytes()?);
        match kind {
            0 => {
                while !data.is_empty() {
                    let name = data.lenenc_bytes()?;
                    data.lenenc_bytes()?;
                    all.push(Change::Variable(name.to_ascii_lowercase()));
                }
            }
            1 => all.push(Change::Schema(data.lenenc_bytes()?.to_vec())),
            _ => {}
        }
    }
    Ok(all)
}

/// Code and message of an error packet.
pub(crate) fn error_of(payload: &[u8]) -> (u16, String) {
    let code = payload.get(1..3).map_or(0, |bytes| u16::from_le_bytes([bytes[0], bytes[1]]));
    let message = match payload.get(3) {
        Some(b'#') => payload.get(9..),
        _ => payload.get(3..),
    };
    (code, String::from_utf8_lossy(message.unwrap_or_default()).into_owned())
}

/// An OK packet without anything to tell but the status.
pub(crate) fn okay(sequence: u8, flags: u16) -> Vec<u8> {
    let mut payload = vec![0];
    put_lenenc(&mut payload, 0);
    put_lenenc(&mut payload, 0);
    payload.extend_from_slice(&flags.to_le_bytes());
    payload.extend_from_slice(&[0, 0]);
    framed(sequence, &payload)
}

/// An error packet.
pub(crate) fn error(sequence: u8, code: u16, state: &str, message: &str) -> Vec<u8> {
    let mut payload = vec![0xff];
    payload.extend_from_slice(&code.to_le_bytes());
    payload.push(b'#');
    payload.extend_from_slice(state.as_bytes());
    payload.extend_from_slice(message.as_bytes());
    framed(sequence, &payload)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn session_state_is_read_and_found_in_the_packet() {
        let mut payload = vec![0, 0, 0];
        payload.extend_from_slice(&(status::SESSION_STATE_CHANGED | status::AUTOCOMMIT).to_le_bytes());
        payload.extend_from_slice(&[0, 0]);
        payload.extend_from_slice(&[0]);
        let state = [&[1, 5, 4][..], b"shop", &[0, 13, 9], b"time_zone", &[2], b"+1"].concat();
        payload.push(state.len() as u8);
        let at = payload.len() - 1;
        payload.extend_from_slice(&state);
        let okay = Okay::read(&payload, true).unwrap();
        assert_eq!(okay.changes, [Change::Schema(b"shop".to_vec()), Change::Variable(b"time_zone".to_vec())]);
        assert_eq!((okay.state_at, okay.status_at), (Some(at), 3));
        assert!(Okay::read(&payload[..payload.len() - 1], true).is_err());
    }
}
