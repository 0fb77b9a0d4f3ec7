//! What an engine and a supervisor say to each other, over the supervisor's standard input and output.
//!
//! Owns the messages and their framing: four bytes of length, little-endian, then JSON. Opened secrets travel here and
//! nowhere else. Never touches a disk.

use super::mask::Pattern;
use super::record::Record;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::io::{self, Read, Write};

/// Longest message, bytes. A job carries a command's standard input, which an author may have filled from a large file;
/// beyond this it belongs into a file.
const MAX_MESSAGE_BYTES: usize = 256 * 1024 * 1024;

/// One command to run.
#[derive(Serialize, Deserialize)]
pub(super) struct Job {
    /// The attempt's id, also in the command's environment.
    pub(super) id: String,
    /// The attempt's directory, absolute.
    pub(super) dir: String,
    pub(super) argv: Vec<String>,
    /// On top of the supervisor's own environment.
    pub(super) env: Vec<(String, String)>,
    pub(super) cwd: String,
    pub(super) stdin: Option<String>,
    pub(super) timeout_ms: Option<u64>,
    /// Between TERM and KILL.
    pub(super) grace_ms: u64,
    pub(super) memory_bytes: Option<u64>,
    /// Bytes kept of each output.
    pub(super) output_bytes: u64,
    pub(super) patterns: Vec<Pattern>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ToSupervisor {
    Run(Box<Job>),
    /// Ends the job with this id; nothing happens where it runs another or none.
    Cancel {
        id: String,
        reason: String,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum FromSupervisor {
    /// `retires`: it takes no other job, for something of this one is still alive below it.
    Done { record: Box<Record>, retires: bool },
    /// It did not begin and never will.
    Refused { why: String },
}

/// The message as it is sent.
pub(super) fn frame<T: Serialize>(message: &T) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; 4];
    serde_json::to_writer(&mut bytes, message)?;
    let length = bytes.len() - 4;
    if length > MAX_MESSAGE_BYTES {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("{length} bytes for one command, more than {MAX_MESSAGE_BYTES}: give its input in a file"),
        ));
    }
    // Checked above to fit.
    bytes[..4].copy_from_slice(&(length as u32).to_le_bytes());
    Ok(bytes)
}

pub(super) fn send<T: Serialize>(mut to: impl Write, message: &T) -> io::Result<()> {
    to.write_all(&frame(message)?)?;
    to.flush()
}

/// Waits for one message.
pub(super) fn receive<T: DeserializeOwned>(mut from: impl Read) -> io::Result<T> {
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let mut body = Vec::new();
    let length = checked(length)?;
    if from.take(length as u64).read_to_end(&mut body)? < length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(serde_json::from_slice(&body)?)
}

fn checked(length: [u8; 4]) -> io::Result<usize> {
    let length = u32::from_le_bytes(length) as usize;
    if length > MAX_MESSAGE_BYTES {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a message longer than any we send"));
    }
    Ok(length)
}

/// Messages out of bytes as they come.
#[derive(Default)]
pub(super) struct Frames {
    bytes: Vec<u8>,
}

impl Frames {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole message, where there is one.
    pub(super) fn next<T: DeserializeOwned>(&mut self) -> io::Result<Option<T>> {
        let Some(length) = self.bytes.first_chunk::<4>() else { return Ok(None) };
        let end = 4 + checked(*length)?;
        let Some(body) = self.bytes.get(4..end) else { return Ok(None) };
        let message = serde_json::from_slice(body)?;
        self.bytes.drain(..end);
        Ok(Some(message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_out_whole_however_they_are_cut() {
        let cancel = |id: &str| ToSupervisor::Cancel { id: id.into(), reason: "because\n".into() };
        let mut bytes = frame(&cancel("a")).unwrap();
        bytes.extend(frame(&cancel("b")).unwrap());
        let mut frames = Frames::default();
        let mut ids = Vec::new();
        for byte in bytes {
            frames.push(&[byte]);
            while let Some(message) = frames.next::<ToSupervisor>().unwrap() {
                if let ToSupervisor::Cancel { id, .. } = message {
                    ids.push(id);
                }
            }
        }
        assert_eq!(ids, ["a", "b"]);
        frames.push(&u32::MAX.to_le_bytes());
        assert!(frames.next::<ToSupervisor>().is_err());
    }
}
