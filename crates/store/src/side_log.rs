//! Side logs: where going back in an open window is recorded when the journal cannot be written.
//!
//! Owns the file `side.log` of a run and its format. Its space is written, not only reserved, before the window opens:
//! an append then overwrites blocks that the file already owns, which a full disk does not prevent. (On file systems that
//! copy on write, btrfs and ZFS, nothing can promise that.) Never decides when it is used; the engine imports it.
//!
//! Beside it stands `side.room`, which is space and nothing else: a command that takes something back needs a directory
//! and files of its own, and on a full disk it has them once that space is given back.
//!
//! Format: 16 bytes of magic, then frames: length of the payload (4 bytes, little-endian), SHA-256 of the frame's place
//! in the file (8 bytes, big-endian) and payload, payload (a JSON list of records). The first length of zero or the first
//! frame that does not match its hash ends the log: what follows was never acknowledged.

use crate::error::{from_io, refused, unreadable};
use crate::home::sync_dir;
use piton_core::Digest;
use piton_core::ports::{SideLog, StoreError, StoreErrorKind};
use piton_core::record::Sealed;
use rustix::fs::{FallocateFlags, fallocate};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Space for about two thousand events of going back; a window has tens of steps, each undone with two or three.
pub(crate) const SIDE_LOG_BYTES: u64 = 4 * 1024 * 1024;

/// Space for about fifty commands that go back, each with a directory and four small files.
const ROOM_BYTES: u64 = 1024 * 1024;

const FILE: &str = "side.log";
const ROOM: &str = "side.room";
pub const MAGIC: [u8; 16] = *b"piton side log 1";
const FRAME_HEAD_BYTES: u64 = 4 + 32;

/// A prepared side log, open for appending.
#[derive(Debug)]
pub(crate) struct FileSideLog {
    path: PathBuf,
    file: File,
    /// Where the next frame goes.
    end: u64,
    bytes: u64,
}

impl FileSideLog {
    /// Makes the file with all its space on disk. Refused while an older one holds records.
    pub(crate) fn prepare(run_dir: &Path, bytes: u64) -> Result<Self, StoreError> {
        let path = run_dir.join(FILE);
        if !read(run_dir)?.is_empty() {
            let what = format!("the side log {} holds records that are not in the journal yet", path.display());
            return Err(refused(StoreErrorKind::OutOfOrder, what));
        }
        let temp = run_dir.join("side.log.tmp");
        let made = allocate(&temp, bytes).and_then(|file| {
            allocate(&run_dir.join(ROOM), ROOM_BYTES)?;
            fs::rename(&temp, &path)?;
            sync_dir(run_dir)?;
            Ok(file)
        });
        match made {
            Ok(file) => Ok(Self { path, file, end: MAGIC.len() as u64, bytes }),
            Err(error) => {
                let _ = fs::remove_file(&temp);
                make_room(run_dir);
                Err(from_io("set aside the space of the side log", &path, error))
            }
        }
    }

    /// Opens what was prepared before, to go on behind its last whole record.
    pub(crate) fn reopen(run_dir: &Path) -> Result<Option<Self>, StoreError> {
        let path = run_dir.join(FILE);
        let Some((_, end)) = read_to_end(&path)? else { return Ok(None) };
        let opened = OpenOptions::new().write(true).open(&path).and_then(|file| Ok((file.metadata()?.len(), file)));
        let (bytes, file) = opened.map_err(|error| from_io("open the side log", &path, error))?;
        Ok(Some(Self { path, file, end, bytes }))
    }

    fn frame(&self, payload: &[u8]) -> Result<Vec<u8>, StoreError> {
        let length = u32::try_from(payload.len()).ok().filter(|length| {
            // Room for the zero length that ends the log, too.
            self.end + FRAME_HEAD_BYTES + u64::from(*length) + 4 <= self.bytes
        });
        let Some(length) = length else {
            let what = format!("the side log {} is full ({} bytes)", self.path.display(), self.bytes);
            return Err(refused(StoreErrorKind::Unavailable, what));
        };
        let mut frame = Vec::with_capacity(payload.len() + FRAME_HEAD_BYTES as usize);
        frame.extend_from_slice(&length.to_le_bytes());
        frame.extend_from_slice(check(self.end, payload).as_bytes());
        frame.extend_from_slice(payload);
        Ok(frame)
    }
}

impl SideLog for FileSideLog {
    fn append(&mut self, records: &[Sealed]) -> Result<(), StoreError> {
        if records.is_empty() {
            return Ok(());
        }
        let payload = serde_json::to_vec(records).map_err(|error| unreadable("a record cannot be encoded", error))?;
        let frame = self.frame(&payload)?;
        let written = self.file.write_all_at(&frame, self.end).and_then(|()| self.file.sync_data());
        if let Err(error) = written {
            // It may have reached the disk all the same; as it counts as not stored, take it back if that can be done.
            let _ = self.file.write_all_at(&0u32.to_le_bytes(), self.end);
            return Err(from_io("append to the side log", &self.path, error));
        }
        self.end += frame.len() as u64;
        Ok(())
    }
}

/// Whole records of the run's side log, oldest first; none where there is no side log.
pub(crate) fn read(run_dir: &Path) -> Result<Vec<Sealed>, StoreError> {
    Ok(read_to_end(&run_dir.join(FILE))?.map_or_else(Vec::new, |(records, _)| records))
}

/// Whether the run has a side log: a window is open, or was when its engine ended.
pub(crate) fn exists(run_dir: &Path) -> bool {
    run_dir.join(FILE).exists()
}

/// The records, and where the last whole frame ends. `None`: there is no such file.
fn read_to_end(path: &Path) -> Result<Option<(Vec<Sealed>, u64)>, StoreError> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(from_io("read the side log", path, error)),
    };
    let (records, end) = parse(&bytes).map_err(|error| match error {
        Unreadable::Other => {
            let what = format!("{} is not a side log that this version of Piton can read", path.display());
            refused(StoreErrorKind::Unreadable, what)
        }
        Unreadable::Records(error) => {
            unreadable(format!("the side log {} holds unknown records", path.display()), error)
        }
    })?;
    Ok(Some((records, end as u64)))
}

/// Why bytes are no side log.
#[derive(Debug)]
pub enum Unreadable {
    /// Another kind of file, or a newer one.
    Other,
    /// A whole frame does not hold records.
    Records(serde_json::Error),
}

/// The records in a side log's bytes, and where its last whole frame ends.
pub fn parse(bytes: &[u8]) -> Result<(Vec<Sealed>, usize), Unreadable> {
    if !bytes.starts_with(&MAGIC) {
        return Err(Unreadable::Other);
    }
    let mut records = Vec::new();
    let mut at = MAGIC.len();
    while let Some(payload) = frame_at(bytes, at) {
        let some: Vec<Sealed> = serde_json::from_slice(payload).map_err(Unreadable::Records)?;
        records.extend(some);
        at += FRAME_HEAD_BYTES as usize + payload.len();
    }
    Ok((records, at))
}

/// Gives back the space kept for going back.
pub(crate) fn make_room(run_dir: &Path) {
    // It may have been given back before. Where it cannot be, going back does without.
    let _ = fs::remove_file(run_dir.join(ROOM));
}

/// Removes the run's side log. Its records being in the journal, a crash that brings it back does no harm.
pub(crate) fn clear(run_dir: &Path) -> Result<(), StoreError> {
    make_room(run_dir);
    let path = run_dir.join(FILE);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(from_io("remove the side log", &path, error)),
        _ => Ok(()),
    }
}

fn allocate(path: &Path, bytes: u64) -> io::Result<File> {
    static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    // Asks for the whole at once, so that too little space is found before anything is written. Not every file system
    // knows how; writing zeros is what counts.
    match fallocate(&file, FallocateFlags::empty(), 0, bytes) {
        Ok(()) | Err(rustix::io::Errno::OPNOTSUPP) => {}
        Err(errno) => return Err(errno.into()),
    }
    let mut left = bytes;
    while left > 0 {
        let some = left.min(ZEROS.len() as u64);
        file.write_all(&ZEROS[..some as usize])?;
        left -= some;
    }
    file.write_all_at(&MAGIC, 0)?;
    file.sync_all()?;
    Ok(file)
}

fn check(at: u64, payload: &[u8]) -> Digest {
    Digest::of_parts(&[&at.to_be_bytes(), payload])
}

/// Payload of the frame at `at`; `None` where no whole frame stands.
fn frame_at(bytes: &[u8], at: usize) -> Option<&[u8]> {
    let (length, rest) = bytes.get(at..)?.split_first_chunk::<4>()?;
    let (hash, rest) = rest.split_first_chunk::<32>()?;
    let payload = rest.get(..u32::from_le_bytes(*length) as usize).filter(|payload| !payload.is_empty())?;
    (check(at as u64, payload).as_bytes() == hash).then_some(payload)
}

#[cfg(test)]
mod tests {
    use super::*;
    use piton_core::record::Moment;

    fn records(seqs: std::ops::Range<u64>) -> Vec<Sealed> {
        let seal =
            |seq| Sealed::new(Digest::ZERO, seq, Moment { wall_us: -1, boot_us: 2 }, 3, format!("\"{seq} ü\n\""));
        seqs.map(seal).collect()
    }

    #[test]
    fn what_was_appended_is_read_back_until_cleared() {
        let temp = tempfile::tempdir().unwrap();
        assert!(read(temp.path()).unwrap().is_empty());
        let mut log = FileSideLog::prepare(temp.path(), 64 * 1024).unwrap();
        assert!(read(temp.path()).unwrap().is_empty());
        log.append(&records(1..3)).unwrap();
        log.append(&[]).unwrap();
        log.append(&records(3..4)).unwrap();
        assert_eq!(read(temp.path()).unwrap(), records(1..4));
        assert_eq!(FileSideLog::prepare(temp.path(), 64 * 1024).unwrap_err().kind, StoreErrorKind::OutOfOrder);
        clear(temp.path()).unwrap();
        clear(temp.path()).unwrap();
        assert!(read(temp.path()).unwrap().is_empty());
        FileSideLog::prepare(temp.path(), 64 * 1024).unwrap();
    }

    #[test]
    fn a_log_cut_or_damaged_anywhere_gives_its_whole_beginning() {
        let temp = tempfile::tempdir().unwrap();
        let mut log = FileSideLog::prepare(temp.path(), 4096).unwrap();
        let mut ends = vec![(log.end, 0)];
        for seq in 1..5 {
            log.append(&records(seq..seq + 1)).unwrap();
            ends.push((log.end, seq));
        }
        let whole = fs::read(temp.path().join(FILE)).unwrap();
        let known = |at: u64| ends.iter().rfind(|(end, _)| *end <= at).map_or(0, |(_, seq)| *seq);
        for at in MAGIC.len() as u64..log.end {
            // Torn: zeros from here on, as the space was before.
            let mut torn = whole.clone();
            torn[at as usize..].fill(0);
            fs::write(temp.path().join(FILE), &torn).unwrap();
            assert_eq!(read(temp.path()).unwrap(), records(1..known(at) + 1), "torn at {at}");
            let mut flipped = whole.clone();
            flipped[at as usize] ^= 0x40;
            fs::write(temp.path().join(FILE), &flipped).unwrap();
            assert_eq!(read(temp.path()).unwrap(), records(1..known(at) + 1), "flipped at {at}");
            fs::write(temp.path().join(FILE), &whole[..at as usize]).unwrap();
            assert_eq!(read(temp.path()).unwrap(), records(1..known(at) + 1), "cut at {at}");
        }
    }

    #[test]
    fn a_full_log_refuses_and_keeps_what_it_has() {
        let temp = tempfile::tempdir().unwrap();
        let mut log = FileSideLog::prepare(temp.path(), 2048).unwrap();
        let stored = (1..).take_while(|seq| log.append(&records(*seq..seq + 1)).is_ok()).count() as u64;
        assert!(stored > 3);
        assert_eq!(log.append(&records(9..10)).unwrap_err().kind, StoreErrorKind::Unavailable);
        assert_eq!(read(temp.path()).unwrap(), records(1..stored + 1));
        assert_eq!(temp.path().join(FILE).metadata().unwrap().len(), 2048);
    }

    #[test]
    fn a_reopened_log_goes_on_behind_its_last_whole_record() {
        let temp = tempfile::tempdir().unwrap();
        assert!(FileSideLog::reopen(temp.path()).unwrap().is_none());
        let mut log = FileSideLog::prepare(temp.path(), 4096).unwrap();
        log.append(&records(1..3)).unwrap();
        // Torn: a frame of which only the beginning was written, longer than what will overwrite it.
        log.file.write_all_at(&[0x5a; 900], log.end).unwrap();
        drop(log);
        let mut log = FileSideLog::reopen(temp.path()).unwrap().unwrap();
        log.append(&records(3..4)).unwrap();
        assert_eq!(read(temp.path()).unwrap(), records(1..4));
        let stored = (4..).take_while(|seq| log.append(&records(*seq..seq + 1)).is_ok()).count();
        assert_eq!(read(temp.path()).unwrap().len(), stored + 3);
        assert_eq!(temp.path().join(FILE).metadata().unwrap().len(), 4096);
    }

    #[test]
    fn another_kind_of_file_is_refused() {
        let temp = tempfile::tempdir().unwrap();
        fs::write(temp.path().join(FILE), b"piton side log 2").unwrap();
        assert_eq!(read(temp.path()).unwrap_err().kind, StoreErrorKind::Unreadable);
    }
}
