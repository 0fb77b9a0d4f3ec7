//! A connection, plain or under TLS, on either side.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;

use crate::wire::buffer::Buffer;

/// One side of a session.
#[derive(Debug)]
pub(crate) enum Stream {
    Plain(TcpStream),
    /// To a client.
    Served(Box<tokio_rustls::server::TlsStream<TcpStream>>),
    /// To a backend.
    Dialled(Box<tokio_rustls::client::TlsStream<TcpStream>>),
    /// Taken to be encrypted: nothing comes and nothing goes.
    Gone,
}

impl Stream {
    pub(crate) fn is_encrypted(&self) -> bool {
        matches!(self, Self::Served(_) | Self::Dialled(_))
    }

    /// Takes a plain connection out, to be encrypted.
    pub(crate) fn take_plain(&mut self) -> Option<TcpStream> {
        match std::mem::replace(self, Self::Gone) {
            Self::Plain(stream) => Some(stream),
            other => {
                *self = other;
                None
            }
        }
    }

    /// Reads into a buffer's room; 0 is the end of the stream. The room must not be empty.
    pub(crate) fn poll_fill(&mut self, cx: &mut Context<'_>, buffer: &mut Buffer) -> Poll<io::Result<usize>> {
        // Memory is taken for what has come, not for what may come.
        if buffer.is_resting()
            && let Self::Plain(stream) = self
        {
            ready!(stream.poll_read_ready(cx))?;
        }
        let mut room = ReadBuf::new(buffer.room());
        debug_assert!(room.remaining() > 0);
        let read = match self {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, &mut room),
            Self::Served(stream) => Pin::new(stream.as_mut()).poll_read(cx, &mut room),
            Self::Dialled(stream) => Pin::new(stream.as_mut()).poll_read(cx, &mut room),
            Self::Gone => Poll::Ready(Ok(())),
        };
        let count = room.filled().len();
        read.map_ok(|()| {
            buffer.add(count);
            count
        })
    }

    pub(crate) async fn fill(&mut self, buffer: &mut Buffer) -> io::Result<usize> {
        std::future::poll_fn(|cx| self.poll_fill(cx, buffer)).await
    }

    /// Fills a buffer to `limit` bytes and no further: what follows is somebody else's to read.
    pub(crate) async fn fill_to(&mut self, buffer: &mut Buffer, limit: usize) -> io::Result<usize> {
        let wanted = limit.saturating_sub(buffer.len());
        let room = buffer.room();
        let wanted = wanted.min(room.len());
        let read = match self {
            Self::Plain(stream) => stream.read(&mut room[..wanted]).await,
            Self::Served(stream) => stream.read(&mut room[..wanted]).await,
            Self::Dialled(stream) => stream.read(&mut room[..wanted]).await,
            Self::Gone => Ok(0),
        };
        read.inspect(|count| buffer.add(*count))
    }

    /// Writes all bytes and hands them to the network.
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            // The readiness of a socket is remembered: mostly this is one system call.
            Self::Plain(stream) => stream.write_all(bytes).await,
            Self::Served(stream) => flushed(stream.as_mut(), bytes).await,
            Self::Dialled(stream) => flushed(stream.as_mut(), bytes).await,
            Self::Gone => Err(io::ErrorKind::NotConnected.into()),
        }
    }
}

async fn flushed(stream: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> io::Result<()> {
    stream.write_all(bytes).await?;
    stream.flush().await
}
