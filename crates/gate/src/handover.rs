//! A gate's listener on its way to the gate that follows it: another version of the program, or one with other settings.
//!
//! The descriptor goes with the answer on the control socket (`SCM_RIGHTS`, unix(7)). It is the same listener in both: what the
//! kernel has queued waits for whoever accepts next, and no connection is refused. HAProxy does it so (`expose-fd listeners`).
//!
//! Owns that transport. Never decides whether a gate may be followed.

use std::io::{Error, ErrorKind, IoSlice, IoSliceMut, Write as _};
use std::mem::MaybeUninit;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::Path;
use std::time::Duration;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};
use serde_json::{Value, json};
use tokio::io::Interest;
use tokio::net::UnixStream;

use crate::error::GateError;

/// A gate answers at once, if it answers at all.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes of an answer.
const LINE_BYTES: usize = 4096;

/// Sends an answer, and the listener with it.
///
/// # Errors
/// When nobody takes it.
pub(crate) async fn send(stream: &UnixStream, line: &str, listener: BorrowedFd<'_>) -> std::io::Result<()> {
    let listeners = [listener];
    let sent = stream.async_io(Interest::WRITABLE, || {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut beside = SendAncillaryBuffer::new(&mut space);
        if !beside.push(SendAncillaryMessage::ScmRights(&listeners)) {
            return Err(Error::other("there is no room for a descriptor"));
        }
        Ok(sendmsg(stream, &[IoSlice::new(line.as_bytes())], &mut beside, SendFlags::NOSIGNAL)?)
    });
    match sent.await? {
        all if all == line.len() => Ok(()),
        _ => Err(ErrorKind::WriteZero.into()),
    }
}

/// Asks the gate at a control socket for its listener; `None` when there is no gate.
///
/// # Errors
/// When it refuses, or listens elsewhere.
pub(crate) fn take(path: &Path, listen: SocketAddr) -> Result<Option<TcpListener>, GateError> {
    let failed = |why: String| GateError::TakeOver { path: path.display().to_string(), why };
    let stream = match StdUnixStream::connect(path) {
        Ok(stream) => stream,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => return Ok(None),
        Err(error) => return Err(failed(error.to_string())),
    };
    let (line, received) = asked(&stream, listen).map_err(|error| failed(error.to_string()))?;
    let answer: Value = serde_json::from_slice(&line).map_err(|_| failed("it gives no answer".to_owned()))?;
    if answer["ok"] != json!(true) {
        return Err(failed(answer["error"].as_str().unwrap_or("it does not say why").to_owned()));
    }
    let listener = TcpListener::from(received.ok_or_else(|| failed("its answer came without a listener".to_owned()))?);
    listener.set_nonblocking(true).map_err(|error| failed(error.to_string()))?;
    Ok(Some(listener))
}

/// The answer, and what came with it.
fn asked(mut stream: &StdUnixStream, listen: SocketAddr) -> std::io::Result<(Vec<u8>, Option<OwnedFd>)> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(format!("{}\n", json!({"do": "hand_over", "listen": listen})).as_bytes())?;
    let (mut line, mut received) = (Vec::new(), None);
    while !line.ends_with(b"\n") && line.len() < LINE_BYTES {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut beside = RecvAncillaryBuffer::new(&mut space);
        let mut bytes = [0; 512];
        let got = recvmsg(stream, &mut [IoSliceMut::new(&mut bytes)], &mut beside, RecvFlags::CMSG_CLOEXEC)?;
        for message in beside.drain() {
            if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                received = descriptors.last().or(received);
            }
        }
        if got.bytes == 0 {
            break;
        }
        line.extend_from_slice(&bytes[..got.bytes]);
    }
    Ok((line, received))
}
