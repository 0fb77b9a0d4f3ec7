//! The write-ahead log: space for it ahead of time, and word of when it should be emptied.
//!
//! Owns what this process knows about the file `journal.db-wal`. Never reads it, and never writes where SQLite has
//! written.
//!
//! Why: a commit that makes the log longer has to sync the file's new size and blocks besides its data, which doubles
//! its cost on ext4, and makes it wait for whatever else that disk's own journal holds just then. SQLite grows its log by
//! one page after the other. So the log is lengthened with zeros, a piece at a time, by whoever is about to commit; the
//! next commits only overwrite. This is safe by the format (<https://sqlite.org/fileformat2.html#walformat>): what
//! follows the last valid frame is not part of the log, and zeros are never a valid frame. Only the holder of SQLite's
//! write lock does it, as only the holder may write the log or cut it; POSIX record locks are on other files.

use super::checkpoint::Call;
use rusqlite::Connection;
use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::SyncSender;

/// A page of 4096 bytes with its frame's header, as the log holds it.
const FRAME_BYTES: u64 = 4096 + 24;

/// Frames that must fit before the log is lengthened: more than any usual commit has.
const MARGIN_FRAMES: u64 = 16;

/// A piece: written and synced in less than a millisecond, and enough for some sixty commits.
const PIECE_BYTES: usize = 256 * 1024;

/// Pages in the log at which it is moved into the database: 16 MiB. More makes recovery after a crash slower. Few in
/// tests, so that kills and faults meet checkpoints.
const DUE_PAGES: u64 = if cfg!(test) { 200 } else { 4000 };

/// Pages in the log at which a committing connection does that itself, should the checkpointer be gone.
const LIMIT_PAGES: u64 = 4 * DUE_PAGES;

#[derive(Debug)]
pub(crate) struct Log {
    path: PathBuf,
    /// Frames in the log after this connection's last commit. Starts again from few when the log was emptied.
    frames: Arc<AtomicU64>,
    /// The file has at least this length: it is never cut while a connection is open.
    length: AtomicU64,
}

impl Log {
    /// Watches the commits of this connection; `due` is told when a checkpoint is.
    pub(crate) fn watch(
        connection: &mut Connection,
        database: &Path,
        due: SyncSender<Call>,
    ) -> Result<Self, rusqlite::Error> {
        let frames = Arc::new(AtomicU64::new(0));
        let seen = frames.clone();
        // Takes the place of SQLite's own automatic checkpoint.
        connection.wal_hook(Some(move |log: &mut rusqlite::hooks::Wal, pages: std::ffi::c_int| {
            let pages = u64::try_from(pages).unwrap_or(0);
            seen.store(pages, Ordering::Relaxed);
            if pages >= LIMIT_PAGES {
                // The commit is durable already, so a failure here must not look like one of the commit.
                let _ = log.checkpoint();
            } else if pages >= DUE_PAGES {
                // Full: word of it is on its way.
                let _ = due.try_send(Call::Due);
            }
            Ok(())
        }))?;
        let mut path = database.as_os_str().to_owned();
        path.push("-wal");
        Ok(Self { path: path.into(), frames, length: AtomicU64::new(0) })
    }

    /// Lengthens the log if the next commit might reach its end. To be called with SQLite's write lock held.
    pub(crate) fn reserve(&self) {
        let needed = (self.frames.load(Ordering::Relaxed) + MARGIN_FRAMES) * FRAME_BYTES;
        if needed > self.length.load(Ordering::Relaxed) {
            // Without it, commits are slower and nothing else; a full disk is the commit's to report.
            if let Ok(length) = lengthen(&self.path, needed) {
                self.length.store(length, Ordering::Relaxed);
            }
        }
    }
}

/// Gives the file's length afterwards.
fn lengthen(path: &Path, needed: u64) -> io::Result<u64> {
    // Not created here: SQLite makes it, with the database's permissions.
    let file = OpenOptions::new().write(true).open(path)?;
    let length = file.metadata()?.len();
    if length >= needed {
        return Ok(length);
    }
    let zeros = vec![0u8; PIECE_BYTES];
    file.write_all_at(&zeros, length)?;
    Ok(length + PIECE_BYTES as u64)
}
