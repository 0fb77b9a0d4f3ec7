//! One output of a command on its way from the pipe into its file: masked, counted, hashed, bounded.
//!
//! Owns the file while the command runs. Never stops reading because of its own trouble: a command must not hang
//! because a disk is full. What was lost is said.

use super::mask::{Masker, Stream};
use super::record::Kept;
use piton_core::Digest;
use sha2::{Digest as _, Sha256};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::Arc;

/// Bytes of one read: a pipe's own size on Linux (pipe(7)).
pub(super) const READ_BYTES: usize = 64 * 1024;

pub(super) struct Output {
    pipe: Option<File>,
    path: PathBuf,
    /// Made with the first byte: most commands say nothing.
    file: Option<File>,
    stream: Stream,
    masked: Vec<u8>,
    hasher: Sha256,
    bytes: u64,
    limit: u64,
    lost: Option<String>,
}

impl Output {
    pub(super) fn new(pipe: impl Into<OwnedFd>, path: PathBuf, masker: Arc<Masker>, limit: u64) -> Self {
        Self {
            pipe: Some(File::from(pipe.into())),
            path,
            file: None,
            stream: Stream::new(masker),
            masked: Vec::new(),
            hasher: Sha256::new(),
            bytes: 0,
            limit,
            lost: None,
        }
    }

    /// To wait for; `None` at the end of the stream.
    pub(super) fn pipe(&self) -> Option<BorrowedFd<'_>> {
        self.pipe.as_ref().map(AsFd::as_fd)
    }

    /// Reads once what poll(2) has announced.
    pub(super) fn read(&mut self, buffer: &mut [u8]) {
        let Some(pipe) = &mut self.pipe else { return };
        match pipe.read(buffer) {
            Ok(0) => self.close(),
            Ok(count) => {
                self.stream.push(&buffer[..count], &mut self.masked);
                self.keep();
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                self.lost.get_or_insert(format!("cannot be read: {error}"));
                self.close();
            }
        }
    }

    /// Stops reading.
    pub(super) fn close(&mut self) {
        if self.pipe.take().is_some() {
            self.stream.finish(&mut self.masked);
            self.keep();
        }
    }

    fn keep(&mut self) {
        if !self.masked.is_empty() && self.lost.is_none() {
            let room = self.limit - self.bytes;
            let count = usize::try_from(room).unwrap_or(usize::MAX).min(self.masked.len());
            if let Err(error) = self.write(count) {
                self.lost = Some(format!("cut after {} bytes: {error}", self.bytes));
            } else if count < self.masked.len() {
                self.lost = Some(format!("cut after {} bytes, the most that is kept", self.bytes));
            }
        }
        self.masked.clear();
    }

    fn write(&mut self, count: usize) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            none => {
                let made = OpenOptions::new().append(true).create(true).truncate(false).mode(0o600).open(&self.path)?;
                none.insert(made)
            }
        };
        let mut rest = &self.masked[..count];
        while !rest.is_empty() {
            match file.write(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    self.hasher.update(&rest[..written]);
                    self.bytes += written as u64;
                    rest = &rest[written..];
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// What was kept. The pipe is closed; with `durable` the file is flushed to the disk.
    pub(super) fn finish(mut self, durable_beyond_bytes: u64) -> Kept {
        self.close();
        if let Some(file) = self.file.filter(|_| self.bytes > durable_beyond_bytes)
            && let Err(error) = file.sync_data()
        {
            self.lost.get_or_insert(format!("cannot be made durable: {error}"));
        }
        Kept { bytes: self.bytes, digest: Digest::from_bytes(self.hasher.finalize().into()), lost: self.lost }
    }
}
